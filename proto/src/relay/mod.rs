//! What supervisor and capture server say to each other (port 42228, ALPN `silentmon/1`).
//!
//! Control: JSON messages in one bidirectional QUIC stream, each behind a four-byte big-endian length. Audio: unreliable
//! datagrams (RFC 9221) that carry an RTP packet as captured behind [`AudioHeader`]; what was lost of them is asked for
//! with a [`RepairRequest`].

mod cluster;
mod repair;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::Codec;
use crate::cti::AgentState;
use crate::ids::{AgentId, CallId, Extension, Leg, MediaAddress, ServerName, SessionId, SupervisorName, TeamName};
use crate::quality::CallQuality;
use crate::reason::{Hop, Reason};
use crate::time::Instant;

pub use cluster::{ClusterStatus, LEAVES_LISTED, LeafStatus, LeavesStatus, MemberStatus, StoreStatus};
pub use repair::{BadRepairRequest, MOST_COPY_DISTANCE, NUMBERS_IN_A_REQUEST, RepairRequest};

/// Port on which a capture server answers supervisors (requirements section 3).
pub const SERVICE_PORT: u16 = 42228;
/// Port to which a standard RTP receiver gets plain RTP (requirements section 3).
pub const PLAIN_RTP_PORT: u16 = 39200;
/// TLS application protocol of this conversation (RFC 7301).
pub const ALPN: &[u8] = b"silentmon/1";
/// Version of the messages; both sides speak the lower of the two they offer.
pub const VERSION: u16 = 1;
/// Longest control message accepted, in bytes without its length.
pub const MAX_MESSAGE: usize = 1 << 20;
/// Agents listed in one message, so that it stays well below [`MAX_MESSAGE`].
pub const AGENTS_IN_A_PAGE: usize = 500;

/// What a supervisor's program says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// First message of a connection.
    Hello {
        /// Highest message version spoken.
        version: u16,
        /// Program and version, for the log.
        software: String,
    },
    /// Starts a session on an agent, or takes up one that a broken connection left. Starting twice is one session.
    StartMonitor {
        /// Chosen by the client; stands in the answer.
        request: u32,
        /// The agent.
        agent: AgentId,
        /// The session to take up again after a reconnect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<SessionId>,
        /// Why the supervisor listens, for the audit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
        /// What becomes of the sound.
        output: OutputKind,
    },
    /// Ends a session.
    StopMonitor {
        /// The session.
        session: SessionId,
    },
    /// Brings the supervisor into the agent's call (requirements S5). Listening goes on.
    Supervise {
        /// Chosen by the client; stands in the answer.
        request: u32,
        /// His session on the agent.
        session: SessionId,
        /// What is to be done.
        action: SuperviseAction,
        /// The supervisor's own phone.
        device: Extension,
    },
    /// Answers [`ServerMessage::ConfirmListening`]: the supervisor still listens.
    StillThere {
        /// The session.
        session: SessionId,
    },
    /// Asks which names are locked after failed sign-ins; administrators only.
    ListLocks {
        /// Chosen by the client; stands in the answer.
        request: u32,
    },
    /// Unlocks a name; administrators only.
    Unlock {
        /// Chosen by the client; stands in the answer.
        request: u32,
        /// The name.
        name: SupervisorName,
        /// From there only; without it, from everywhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<IpAddr>,
    },
    /// Asks how the cluster stands; administrators only.
    ClusterStatus {
        /// Chosen by the client; stands in the answer.
        request: u32,
    },
    /// Lets a member of the cluster hold the CTI sessions; administrators only.
    HandOver {
        /// Chosen by the client; stands in the answer.
        request: u32,
        /// The member.
        to: ServerName,
    },
    /// Asks for the agents; with `watch`, also for every change from now on.
    ListAgents {
        /// Whether changes are wanted.
        watch: bool,
    },
    /// Asks how every hop from authority to media stands: of an agent, of the one that a session is on, or of the house.
    Diagnose {
        /// Chosen by the client; stands in the answer.
        request: u32,
        /// The agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
        /// A session of this supervisor's, of any of his connections.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
    },
    /// Sent every heartbeat interval where nothing else was.
    Heartbeat {
        /// Sender's time, echoed in the answer.
        sent: Instant,
    },
    /// Ends the connection and its sessions.
    Goodbye,
}

/// What a supervisor does to an agent's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuperviseAction {
    /// Joins it (GED-188 SupervisoryAction 3, CSTA Single Step Conference).
    BargeIn,
    /// Takes it over (GED-188 SupervisoryAction 4).
    Intercept,
}

/// What becomes of the sound at the supervisor's end; the server's policy looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OutputKind {
    /// Played.
    Play,
    /// Written to a file: needs `recording = "allowed"`.
    Record,
    /// The server sends plain RTP to a standard receiver: needs `rtp_receivers` to name it. The agent's leg goes to
    /// this address, the customer's to the port two above.
    PlainRtp {
        /// The receiver of the agent's leg.
        receiver: SocketAddr,
    },
}

/// What a capture server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answer to `Hello`.
    Welcome {
        /// Message version to be spoken.
        version: u16,
        /// The server's name in its cluster.
        server: ServerName,
        /// Program and version, for the log.
        software: String,
    },
    /// A session runs.
    MonitorStarted {
        /// The request it answers.
        request: u32,
        /// The session.
        session: SessionId,
        /// What its audio datagrams carry in [`AudioHeader::channel`].
        channel: u16,
    },
    /// A session was refused, or can't be resumed.
    MonitorRefused {
        /// The request it answers.
        request: u32,
        /// Why.
        reason: Reason,
    },
    /// How a session stands; sent when it changes, and once a second while audio flows.
    SessionStatus(SessionStatus),
    /// A session ended: at the supervisor's wish, by policy or because the server stops.
    MonitorStopped {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Reason,
        /// Its last status.
        status: SessionStatus,
    },
    /// A session has gone on for as long as policy lets it; it ends unless the supervisor answers.
    ConfirmListening {
        /// The session.
        session: SessionId,
        /// So many seconds remain.
        within_s: u32,
    },
    /// Answer to `ListLocks` and `Unlock`: what is locked, or was until now.
    Locks {
        /// The request it answers.
        request: u32,
        /// Each name and source; or why this is not for whoever asked.
        result: Result<Vec<LockRow>, Reason>,
    },
    /// Answer to `ClusterStatus` and `HandOver`.
    Cluster {
        /// The request it answers.
        request: u32,
        /// How the cluster stands; or why it isn't told, or isn't changed.
        result: Result<ClusterStatus, Reason>,
    },
    /// What became of a `Supervise` request.
    Supervised {
        /// The request it answers.
        request: u32,
        /// Why it failed, in words.
        result: Result<(), String>,
    },
    /// The agents that this supervisor is shown, in as many messages as they need.
    Agents {
        /// One row an agent, ordered by id; at most [`AGENTS_IN_A_PAGE`].
        agents: Vec<AgentRow>,
        /// Whether another page of the same listing follows.
        #[serde(default)]
        more: bool,
        /// Why he may listen to none of them now, whatever stands in the rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<Reason>,
    },
    /// One agent's row changed (after `ListAgents` with `watch`).
    AgentChanged {
        /// The row as it is now.
        agent: AgentRow,
    },
    /// Answer to `Diagnose`.
    Diagnosis {
        /// The request it answers.
        request: u32,
        /// The agent it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
        /// Every hop, in order.
        hops: Vec<Hop>,
    },
    /// Answer to a heartbeat.
    Heartbeat {
        /// The time that the client sent.
        sent: Instant,
    },
    /// The server stops or doesn't want to talk any longer.
    Goodbye {
        /// Why.
        reason: Reason,
    },
}

/// How a monitoring session stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The session.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentId,
    /// The agent's state, as far as known.
    pub agent_state: AgentState,
    /// The calls whose media are heard now.
    pub calls: Vec<CallId>,
    /// Why there is sound, or none.
    pub reason: Reason,
    /// What is amiss though there is sound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Reason>,
    /// What was captured of each leg so far: agent, customer.
    pub legs: [LegStatus; 2],
    /// What the supervisor may ask for besides listening; nothing where the CTI link can't do it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<SuperviseAction>,
}

/// What the capture server saw and sent of one leg, summed over the session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegStatus {
    /// Encoding name of the codec heard last, if any.
    pub codec: Option<String>,
    /// Unique RTP packets captured.
    pub captured: u64,
    /// Duplicates the mirror delivered, removed.
    pub duplicates: u64,
    /// Copies of those that other members of the cluster saw too, removed.
    #[serde(default)]
    pub overlapping: u64,
    /// Packets missing by sequence number that were lost in the call.
    pub lost_in_call: u64,
    /// Packets missing by sequence number that the mirror or the kernel lost.
    pub lost_in_mirror: u64,
    /// Datagrams sent to the supervisor, each counted once.
    pub relayed: u64,
    /// Packets that the supervisor's program asked for again.
    #[serde(default)]
    pub asked: u64,
    /// Of those, packets sent again.
    #[serde(default)]
    pub resent: u64,
    /// Of those, packets not sent again because the session's budget or the path had no room, or the last answer may
    /// still be on its way.
    #[serde(default)]
    pub refused: u64,
    /// Of those, packets no longer kept, or not sent yet.
    #[serde(default)]
    pub not_kept: u64,
    /// Copies sent in case the first is lost.
    #[serde(default)]
    pub copies: u64,
    /// Packets kept back because the path to the supervisor was too narrow.
    pub shed: u64,
    /// RFC 4733 event packets kept back.
    pub suppressed: u64,
    /// How good the call itself is, and what the mirror loses of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<CallQuality>,
}

/// A name that is locked after failed sign-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// The name.
    pub name: SupervisorName,
    /// Where the sign-ins came from: an address, or an IPv6 network.
    pub source: String,
    /// How many failed in a row.
    pub failures: u32,
    /// Until when it is locked.
    pub until: Instant,
}

/// One agent as a list shows him.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRow {
    /// The agent.
    pub agent: AgentId,
    /// His name, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// His state.
    pub state: AgentState,
    /// Since when.
    pub since: Instant,
    /// The extension he uses, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub extension: Option<Extension>,
    /// His team, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub team: Option<TeamName>,
    /// His calls.
    pub calls: Vec<CallId>,
    /// Where his phone sends and receives media now, and who told that.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub media: Vec<MediaRow>,
    /// Whether listening now would give sound.
    pub audible: bool,
    /// Why, or why not.
    pub reason: Reason,
    /// What is amiss though there is sound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Reason>,
    /// The server that sees him.
    pub server: ServerName,
}

/// One media address of an [`AgentRow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRow {
    /// The call it belongs to, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<CallId>,
    /// The phone's media address.
    pub address: MediaAddress,
    /// Where the phone sends its media to, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote: Option<MediaAddress>,
    /// Who told it.
    pub origin: MediaOrigin,
}

/// Who told a media address (protocol sheet 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaOrigin {
    /// A media event of the CTI source.
    Cti,
    /// The static device map.
    Devices,
    /// SIP and SDP seen in the mirror.
    Sip,
    /// SCCP seen in the mirror.
    Sccp,
    /// A directory query (RisPort70).
    RisPort,
}

impl MediaOrigin {
    /// All of them, in the order in which they are asked unless configured otherwise.
    pub const ALL: [Self; 5] = [Self::Cti, Self::Devices, Self::Sip, Self::Sccp, Self::RisPort];

    /// Whose word it is, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cti => "CTI",
            Self::Devices => "[devices]",
            Self::Sip => "SIP",
            Self::Sccp => "SCCP",
            Self::RisPort => "RisPort",
        }
    }
}

/// What stands before an RTP packet in an audio datagram. 16 bytes, big-endian:
/// version and kind (4 bits each); codec (6 bits, [`Codec::number`]), sent again, leg (1 bit each); channel (2), relay
/// sequence number (4), capture time in nanoseconds (8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioHeader {
    /// What follows.
    pub kind: AudioKind,
    /// Which side of the call.
    pub leg: Leg,
    /// Whether the datagram went out before: a repair, or a copy in case the first is lost.
    pub again: bool,
    /// What the payload is, by CTI, signalling or the static payload types.
    pub codec: Codec,
    /// The session, by the number that `MonitorStarted` gave.
    pub channel: u16,
    /// Counts the datagrams of this leg modulo 2^32: a gap was lost on the relay, not in the call.
    pub relay_sequence: u32,
    /// When the packet passed the capture NIC.
    pub captured: Instant,
}

/// What follows an [`AudioHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioKind {
    /// The RTP packet as captured.
    Rtp,
    /// The RTP header of an event packet (RFC 4733) whose payload was kept back: silence, not loss.
    Suppressed,
}

/// A datagram that is no audio datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAudioDatagram {
    /// Too short for the header.
    #[error("expected an audio datagram of at least 16 bytes, found {0}")]
    Short(usize),
    /// Another version, kind or leg.
    #[error("expected version 1 and kind 0 or 1, found first byte {0:02x}")]
    Foreign(u8),
}

impl AudioHeader {
    /// Length in bytes.
    pub const LEN: usize = 16;
    const VERSION: u8 = 1;

    /// Writes the header.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let kind = match self.kind {
            AudioKind::Rtp => 0,
            AudioKind::Suppressed => 1,
        };
        let mut bytes = [0; Self::LEN];
        bytes[0] = Self::VERSION << 4 | kind;
        let leg = match self.leg {
            Leg::Agent => 0,
            Leg::Customer => 1,
        };
        bytes[1] = self.codec.number() << 2 | u8::from(self.again) << 1 | leg;
        bytes[2..4].copy_from_slice(&self.channel.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.relay_sequence.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.captured.as_nanos().to_be_bytes());
        bytes
    }

    /// Splits a datagram into header and RTP bytes.
    ///
    /// # Errors
    /// Where it is too short, or of a version, kind or leg that isn't known.
    pub fn parse(datagram: &[u8]) -> Result<(Self, &[u8]), BadAudioDatagram> {
        let Some((head, rest)) = datagram.split_first_chunk::<{ Self::LEN }>() else {
            return Err(BadAudioDatagram::Short(datagram.len()));
        };
        let [first, second, channel @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *head;
        let kind = match (first >> 4, first & 0x0f) {
            (Self::VERSION, 0) => AudioKind::Rtp,
            (Self::VERSION, 1) => AudioKind::Suppressed,
            _ => return Err(BadAudioDatagram::Foreign(first)),
        };
        let leg = match second & 1 {
            0 => Leg::Agent,
            _ => Leg::Customer,
        };
        let [_, _, _, _, s0, s1, s2, s3, time @ ..] = *head;
        Ok((
            Self {
                kind,
                leg,
                again: second & 2 != 0,
                codec: Codec::from_number(second >> 2),
                channel: u16::from_be_bytes(channel),
                relay_sequence: u32::from_be_bytes([s0, s1, s2, s3]),
                captured: Instant::from_nanos(u64::from_be_bytes(time)),
            },
            rest,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audio_header_reads_back_as_it_was_written() {
        for (kind, leg) in [(AudioKind::Rtp, Leg::Agent), (AudioKind::Suppressed, Leg::Customer)] {
            let header = AudioHeader {
                kind,
                leg,
                again: leg == Leg::Customer,
                codec: Codec::Opus,
                channel: 0x0102,
                relay_sequence: 0xfffe_fdfc,
                captured: Instant::from_nanos(0x1122_3344_5566_7788),
            };
            let mut datagram = header.to_bytes().to_vec();
            datagram.extend_from_slice(b"rtp");
            assert_eq!(AudioHeader::parse(&datagram), Ok((header, &b"rtp"[..])));
        }
    }

    #[test]
    fn refuses_short_and_foreign_datagrams() {
        assert_eq!(AudioHeader::parse(&[0x10; 15]), Err(BadAudioDatagram::Short(15)));
        assert_eq!(AudioHeader::parse(&[0x20; 16]), Err(BadAudioDatagram::Foreign(0x20)));
    }

    #[test]
    fn a_row_of_an_older_peer_is_understood_and_says_nothing_of_media() {
        let text = r#"{"agent":"4711","state":"talking","since":5,"calls":["81"],"audible":true,"reason":{"code":"SM-0000","text":"Audio."},"server":"gw1"}"#;
        let row: AgentRow = serde_json::from_str(text).expect("parses");
        assert_eq!((&row.extension, row.media.len()), (&None, 0));
        assert_eq!(serde_json::to_string(&row).expect("serialises"), text);
    }

    #[test]
    fn a_media_row_names_its_origin() {
        let row = MediaRow {
            call: Some("81".into()),
            address: "10.1.1.20:24678".parse().expect("an address"),
            remote: None,
            origin: MediaOrigin::RisPort,
        };
        let text = serde_json::to_string(&row).expect("serialises");
        assert_eq!(text, r#"{"call":"81","address":"10.1.1.20:24678","origin":"risport"}"#);
    }

    #[test]
    fn control_messages_keep_their_shape_on_the_wire() {
        let start = ClientMessage::StartMonitor {
            request: 1,
            agent: "4711".into(),
            resume: None,
            purpose: None,
            output: OutputKind::Play,
        };
        let text = serde_json::to_string(&start).expect("serialises");
        assert_eq!(
            text,
            r#"{"type":"start_monitor","request":1,"agent":"4711","output":{"kind":"play"}}"#
        );
        assert_eq!(serde_json::from_str::<ClientMessage>(&text).expect("parses"), start);
    }
}
