//! What both sides say: one JSON object a line, over TLS, within a time limit.
//!
//! The newcomer shows his token and is told who he is to be; he sends a request for just that, and gets his certificate.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Invitation;

/// Longest line: a long chain with long revocation lists.
const LONGEST: u64 = 16 << 20;
/// Longest line of somebody who may be anybody.
pub(super) const LONGEST_REQUEST: u64 = 64 << 10;

/// What the newcomer says.
#[derive(Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    Token { id: String, secret: String },
    Request { csr: String },
}

/// What he is told.
#[derive(Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum Answer {
    Offer(Invitation),
    Issued(Papers),
    Refused { why: String },
}

/// His certificate with its chain, whom to trust, and the revocation lists, in PEM.
#[derive(Serialize, Deserialize)]
pub(super) struct Papers {
    pub(super) chain: String,
    pub(super) roots: String,
    pub(super) lists: String,
}

pub(super) fn say(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(message)?);
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.flush()
}

pub(super) fn hear<T: for<'a> Deserialize<'a>>(stream: &mut impl Read, longest: Option<u64>) -> io::Result<T> {
    let mut line = Zeroizing::new(Vec::new());
    // A byte at a time wouldn't do, and what comes after the line is nobody's: each side waits for the other.
    let mut reader = BufReader::new(stream.take(longest.unwrap_or(LONGEST)));
    reader.read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected a line, found none or one too long",
        ));
    }
    Ok(serde_json::from_slice(&line)?)
}

/// A socket that gives up at a certain time, however slowly the other side goes on.
pub(super) struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Timed {
    pub(super) fn new(socket: TcpStream, limit: Duration) -> Self {
        Self {
            socket,
            until: Instant::now() + limit,
        }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(Some(left))
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
