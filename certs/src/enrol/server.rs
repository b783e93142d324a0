//! The enrolment service: signs for whoever shows a good token, as long as somebody lets it run.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ServerConnection, StreamOwned};
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::conversation::{Answer, Ask, LONGEST_REQUEST, Papers, Timed, hear, say};
use super::ledger::{Invitation, Ledger, ServiceIdentity};
use super::lockout::Lockout;
use super::{ALPN, LIMIT};
use crate::authority::{CertificateAuthority, SignOptions};
use crate::csr::SigningRequest;
use crate::error::CertsError;
use crate::pem::Sections;
use crate::tls::provider;

/// Conversations beside each other.
const MOST_CONVERSATIONS: usize = 16;
/// Refusals that are written down; beyond them somebody only wants to fill the disk.
const MOST_REFUSALS: usize = 1000;
/// How often it is looked whether it is over.
const PAUSE: Duration = Duration::from_millis(50);

/// Something that happened, as it is written into `enrolments.jsonl`.
#[derive(Debug, Clone, Serialize)]
pub struct Occurrence {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// From where.
    pub from: IpAddr,
    /// Whom it is about, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Invitation>,
    /// The new certificate's serial number, or why there is none.
    pub outcome: Result<String, String>,
}

/// The service, bound but not yet running.
pub struct EnrolmentServer {
    listener: TcpListener,
    desk: Arc<Desk>,
}

/// What all conversations share.
struct Desk {
    authority: CertificateAuthority,
    ledger: Ledger,
    tls: Arc<rustls::ServerConfig>,
    lockout: Mutex<Lockout>,
    conversations: AtomicUsize,
}

impl EnrolmentServer {
    /// Listens for those who were invited to an authority.
    ///
    /// # Errors
    /// Where its directory can't be read, or the address can't be had.
    pub fn bind(authority: CertificateAuthority, address: SocketAddr) -> Result<Self, CertsError> {
        let identity = ServiceIdentity::open_or_make(authority.directory())?;
        let crypto = |error: rustls::Error| CertsError::crypto("setting up TLS 1.3")(error.to_string());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(crypto)?
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate], identity.key)
            .map_err(crypto)?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        let unavailable = |source| CertsError::Network {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).map_err(unavailable)?;
        listener.set_nonblocking(true).map_err(unavailable)?;
        let desk = Desk {
            ledger: Ledger::at(authority.directory()),
            authority,
            tls: Arc::new(tls),
            lockout: Mutex::default(),
            conversations: AtomicUsize::new(0),
        };
        Ok(Self {
            listener,
            desk: Arc::new(desk),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the system doesn't say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until no token is left that could be used, or for so long; tells what happens.
    ///
    /// # Errors
    /// Where the list of tokens can't be read.
    pub fn serve(self, limit: Duration, mut tell: impl FnMut(&Occurrence)) -> Result<(), CertsError> {
        let until = Instant::now() + limit;
        let (sender, occurrences) = mpsc::channel();
        let mut refusals = 0;
        loop {
            for occurrence in occurrences.try_iter() {
                refusals += usize::from(Occurrence::is_refusal(&occurrence));
                if refusals <= MOST_REFUSALS {
                    occurrence.write_down(self.desk.authority.directory())?;
                    tell(&occurrence);
                }
            }
            let busy = self.desk.conversations.load(Ordering::Acquire);
            let over = Instant::now() >= until || self.desk.ledger.open()? == 0;
            if over && busy == 0 {
                return Ok(());
            }
            match self.listener.accept() {
                Ok((socket, remote)) if !over && busy < MOST_CONVERSATIONS => {
                    self.desk.talk(socket, remote.ip().to_canonical(), sender.clone());
                }
                // Who comes when there is no room may come again.
                Ok(_) => {}
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

impl Occurrence {
    fn is_refusal(&self) -> bool {
        self.outcome.is_err()
    }

    fn write_down(&self, directory: &Path) -> Result<(), CertsError> {
        let path = directory.join("enrolments.jsonl");
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let write = || {
            let mut line = serde_json::to_vec(self)?;
            line.push(b'\n');
            let mut file = options.open(&path)?;
            file.write_all(&line)?;
            file.sync_data()
        };
        write().map_err(|source: io::Error| CertsError::Write {
            path: path.clone(),
            source,
        })
    }
}

impl Desk {
    fn talk(self: &Arc<Self>, socket: TcpStream, from: IpAddr, told: mpsc::Sender<Occurrence>) {
        self.conversations.fetch_add(1, Ordering::AcqRel);
        let desk = Arc::clone(self);
        std::thread::spawn(move || {
            let mut who = None;
            let outcome = desk.converse(socket, from, &mut who);
            let at = OffsetDateTime::now_utc();
            let occurrence = Occurrence { at, from, who, outcome };
            // The service listens until every conversation is over.
            let _ = told.send(occurrence);
            desk.conversations.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// The serial number of what was issued, or why nothing was.
    fn converse(&self, socket: TcpStream, from: IpAddr, who: &mut Option<Invitation>) -> Result<String, String> {
        let words = |error: io::Error| format!("the conversation broke off: {error}");
        socket.set_nonblocking(false).map_err(words)?;
        let session = ServerConnection::new(Arc::clone(&self.tls)).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(session, Timed::new(socket, LIMIT));
        let outcome = self.answer(&mut stream, from, who);
        if let Err(why) = &outcome {
            // He may be gone already.
            let _ = say(&mut stream, &Answer::Refused { why: why.clone() });
        }
        stream.conn.send_close_notify();
        let _ = stream.flush();
        outcome
    }

    fn answer(
        &self,
        stream: &mut StreamOwned<ServerConnection, Timed>,
        from: IpAddr,
        who: &mut Option<Invitation>,
    ) -> Result<String, String> {
        let words = |error: io::Error| format!("the conversation broke off: {error}");
        let internal = |error: CertsError| error.to_string();
        if let Some(left) = self.lockout().left(from, Instant::now()) {
            let minutes = left.as_secs().div_ceil(60);
            return Err(format!(
                "too many failed tries from this address: wait {minutes} minutes"
            ));
        }
        let Ask::Token { id, secret } = hear(stream, Some(LONGEST_REQUEST)).map_err(words)? else {
            return Err("expected a token first".to_owned());
        };
        let (id, secret) = (unhex(&id), Zeroizing::new(unhex(&Zeroizing::new(secret))));
        let invitation = match self.ledger.check(&id, &secret).map_err(internal)? {
            Ok(invitation) => invitation,
            Err(refusal) => {
                self.lockout().failed(from, Instant::now());
                return Err(refusal.to_string());
            }
        };
        self.lockout().succeeded(from);
        *who = Some(invitation.clone());
        say(stream, &Answer::Offer(invitation.clone())).map_err(words)?;
        let Ask::Request { csr } = hear(stream, Some(LONGEST_REQUEST)).map_err(words)? else {
            return Err("expected a certificate request".to_owned());
        };
        self.ledger
            .take(&id)
            .map_err(internal)?
            .map_err(|refusal| refusal.to_string())?;
        let (serial, papers) = self.issue(&csr, invitation).or_else(|why| {
            self.ledger.give_back(&id).map_err(internal)?;
            Err(why)
        })?;
        say(stream, &Answer::Issued(papers)).map_err(words)?;
        Ok(serial)
    }

    /// Nothing but what the token was made for is granted.
    fn issue(&self, csr: &str, invitation: Invitation) -> Result<(String, Papers), String> {
        let internal = |error: CertsError| error.to_string();
        let requests = Sections::parse(csr.as_bytes())?.requests;
        let [request] = requests.as_slice() else {
            return Err(format!("expected one certificate request, found {}", requests.len()));
        };
        let request = SigningRequest::parse(request)?;
        let options = SignOptions {
            days: invitation.days,
            role: Some(invitation.role),
            name: Some(invitation.name),
            hosts: Some(invitation.hosts),
        };
        let (issued, chain) = self
            .authority
            .grant(&request, "the request", &options)
            .map_err(internal)?;
        let papers = Papers {
            chain,
            roots: self.authority.root_pem().map_err(internal)?,
            lists: self.authority.revocation_lists().map_err(internal)?,
        };
        Ok((issued.identity.serial.to_string(), papers))
    }

    fn lockout(&self) -> std::sync::MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What isn't hexadecimal is no bytes at all.
fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let bytes = digits.map(|pair| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    bytes.collect::<Option<_>>().unwrap_or_default()
}
