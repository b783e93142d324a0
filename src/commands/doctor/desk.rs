//! The playback service on this machine, asked over its local interface how the session in it stands.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;
use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::{Code, Evidence, Hop, Reason};

use super::Patient;

const HOP: &str = "playback service";
/// How long it may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// Most bytes of its answer.
const MOST_BYTES: u64 = 1 << 20;

/// What the service says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Desk {
    agent: Option<AgentId>,
    reason: Option<Reason>,
    output: String,
    session: Option<String>,
}

/// Asks, where a session is to be looked at.
pub(super) fn ask(patient: &Patient) -> Option<Result<Desk, Hop>> {
    let (session, section) = (patient.session?, patient.desk.as_ref()?);
    let address = section.listen.first().copied()?;
    let token = std::fs::read_to_string(&section.token).unwrap_or_default();
    let desk = match status(address, token.trim()) {
        Ok(desk) => desk,
        Err(problem) => {
            let why = format!("The playback service at {address} doesn't answer: {problem}.");
            return Some(Err(Hop::not_checked(HOP, why)));
        }
    };
    if desk.session.as_deref() != Some(session.to_string().as_str()) {
        let running = desk.session.as_deref().unwrap_or("none");
        let why = format!("Session {session} doesn't run in the playback service at {address}; running: {running}.");
        return Some(Err(Hop::not_checked(HOP, why)));
    }
    Some(Ok(desk))
}

impl Desk {
    /// The agent it listens to.
    pub(super) fn agent(&self) -> Option<AgentId> {
        self.agent.clone()
    }

    /// The hop of the relay, by what the service sees arrive.
    pub(super) fn relay(&self) -> Hop {
        let hop = Code::RelayBlocked.hop();
        match &self.reason {
            Some(reason) if reason.code.hop() == hop => Hop::amiss(hop, reason.clone()),
            Some(reason) => Hop::ok(hop, Evidence::new().with("playback service says", reason)),
            None => Hop::not_checked(hop, "The playback service doesn't know yet how the session stands."),
        }
    }

    /// The hop of the loudspeaker, as the service has it.
    pub(super) fn sound(&self) -> Hop {
        let hop = Code::NoSoundCard.hop();
        match &self.reason {
            Some(reason) if reason.code.hop() == hop => Hop::amiss(hop, reason.clone()),
            _ => Hop::ok(hop, Evidence::new().with("output", &self.output)),
        }
    }
}

/// `GET /v1/status` with the token.
fn status(address: SocketAddr, token: &str) -> anyhow::Result<Desk> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWERED_WITHIN)?;
    stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let code = head.split(' ').nth(1).unwrap_or("none");
    anyhow::ensure!(code == "200", "expected status 200, found {code}");
    Ok(serde_json::from_str(body)?)
}
