//! What can go wrong between two programs, as sentences that name the other side.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::ConnectionError;
use silentmon_certs::{CertificateProblem, PeerRefusal, Verdict};
use silentmon_proto::reason::{Code, Reason};
use thiserror::Error;

use crate::address::ServerAddress;
use crate::connection::CloseCode;

/// A socket can't be opened to be dialled.
#[derive(Debug, Error)]
#[error("can't listen on {address} (UDP): {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// A connection wasn't established.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A certificate was refused, by us or by the other side.
    #[error("{0}")]
    Certificate(CertificateProblem),
    /// The handshake took too long.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Nothing listens there (ICMP port unreachable).
    #[error("nothing listens there")]
    NothingListens,
    /// The other side speaks another protocol, or another version of it.
    #[error("it speaks another protocol")]
    WrongProtocol,
    /// The other side is too busy.
    #[error("it refuses connections")]
    Refused,
    /// The other side closed it before it began.
    #[error("it closed the connection: {0}")]
    Closed(Closed),
    /// Something else went wrong.
    #[error("{0}")]
    Failed(String),
}

impl HandshakeError {
    /// One word for it, the same in every version: for labels and records.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Certificate(problem) => problem.word(),
            Self::TimedOut(_) => "timed_out",
            Self::NothingListens => "nothing_listens",
            Self::WrongProtocol => "wrong_protocol",
            Self::Refused => "refused",
            Self::Closed(_) => "closed",
            Self::Failed(_) => "other",
        }
    }

    pub(crate) fn explain(error: ConnectionError, verdict: &Verdict, limit: Duration) -> Self {
        if let Some(problem) = verdict.problem() {
            return Self::Certificate(problem);
        }
        match error {
            ConnectionError::TransportError(error) => Self::from_own_alert(error.code.into(), &error.reason),
            ConnectionError::ConnectionClosed(close) => {
                Self::from_peer_alert(close.error_code.into(), &close.to_string())
            }
            ConnectionError::ApplicationClosed(close) => Self::Closed(Closed {
                code: close.error_code.into_inner(),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            }),
            ConnectionError::TimedOut => Self::TimedOut(limit),
            ConnectionError::VersionMismatch => Self::WrongProtocol,
            other => Self::Failed(other.to_string()),
        }
    }

    fn from_own_alert(code: u64, reason: &str) -> Self {
        match alert(code) {
            Some(NO_APPLICATION_PROTOCOL) => Self::WrongProtocol,
            Some(CERTIFICATE_REQUIRED) => Self::Certificate(CertificateProblem::Missing),
            Some(alert) if PeerRefusal::from_alert(alert).is_some() => {
                Self::Certificate(CertificateProblem::Unverifiable(reason.to_owned()))
            }
            Some(_) | None => Self::Failed(reason.to_owned()),
        }
    }

    fn from_peer_alert(code: u64, text: &str) -> Self {
        match alert(code) {
            Some(NO_APPLICATION_PROTOCOL) => Self::WrongProtocol,
            Some(alert) => match PeerRefusal::from_alert(alert) {
                Some(refusal) => Self::Certificate(CertificateProblem::RefusedByPeer(refusal)),
                None => Self::Failed(text.to_owned()),
            },
            None if code == CONNECTION_REFUSED => Self::Refused,
            None => Self::Failed(text.to_owned()),
        }
    }
}

/// TLS alerts (RFC 8446 section 6.2) and QUIC transport errors (RFC 9000 section 20.1) with a meaning of their own.
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;
const CONNECTION_REFUSED: u64 = 0x02;

/// The TLS alert in a QUIC error code, 0x0100 to 0x01ff (RFC 9001 section 4.8).
fn alert(code: u64) -> Option<u8> {
    (code & !0xff == 0x100)
        .then(|| u8::try_from(code & 0xff).ok())
        .flatten()
}

/// A server can't be talked to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Its name has no address.
    #[error("can't find {server}: {problem}")]
    Resolve {
        /// The server.
        server: ServerAddress,
        /// What the resolver said.
        problem: String,
    },
    /// No socket can be opened here.
    #[error("can't open a UDP socket to {server}: {problem}")]
    Socket {
        /// The server.
        server: ServerAddress,
        /// Why.
        problem: String,
    },
    /// The handshake failed.
    #[error("can't connect to {server}: {error}")]
    Handshake {
        /// The server.
        server: ServerAddress,
        /// Why.
        error: HandshakeError,
    },
}

impl ConnectError {
    /// What to tell people: SM-2002 where a certificate is to blame, else SM-2001.
    pub fn reason(&self) -> Reason {
        let code = match self {
            Self::Handshake {
                error: HandshakeError::Certificate(_),
                ..
            } => Code::CertificateRefused,
            _ => Code::NoCaptureServer,
        };
        Reason::new(code, self.to_string())
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason} (code {code})")]
pub struct Closed {
    /// Application error code; see [`crate::CloseCode`].
    pub code: u64,
    /// Why, in words.
    pub reason: String,
}

impl Closed {
    /// Code of a connection that the network ended, not a program.
    pub const LOST: u64 = u64::MAX;

    /// Whether the other side's program ended it for this reason.
    pub fn is(&self, code: CloseCode) -> bool {
        self.code == u64::from(code.number())
    }

    pub(crate) fn from_connection(error: ConnectionError) -> Self {
        let lost = |reason: String| Self {
            code: Self::LOST,
            reason,
        };
        match error {
            ConnectionError::ApplicationClosed(close) => Self {
                code: close.error_code.into_inner(),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            ConnectionError::LocallyClosed => Self {
                code: 0,
                reason: "closed here".to_owned(),
            },
            ConnectionError::TimedOut => lost("nothing came from the other side for too long".to_owned()),
            ConnectionError::Reset => lost("the other side no longer knows the connection".to_owned()),
            other => lost(other.to_string()),
        }
    }
}

/// A datagram wasn't sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// It doesn't fit into a packet on this path.
    #[error("a datagram of {length} bytes doesn't fit the path, at most {limit} do")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The longest that fits.
        limit: usize,
    },
    /// The connection is over.
    #[error("the connection is over: {0}")]
    Closed(Closed),
}

/// A control message wasn't sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It is longer than allowed.
    #[error("expected a control message of at most {limit} bytes, found {length}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// It isn't a message that this program knows. The messages after it can still be received.
    #[error("expected a control message, found {found}: {problem}")]
    Unknown {
        /// Its beginning.
        found: String,
        /// Where it differs.
        problem: String,
    },
    /// The stream ended within a message.
    #[error("the control stream ended within a message")]
    Truncated,
    /// The connection is over.
    #[error("the connection is over: {0}")]
    Closed(Closed),
}
