//! The journal's second sink: every record that is on disk goes to a syslog receiver too, over TLS and never in the open.
//!
//! The journal is the queue: what was sent is kept as a place in the chain in a file beside it, so that memory stays
//! bounded and a restart goes on where it stopped. Syslog has no receipts (RFC 5425 section 4.4): what was written to a
//! connection lately counts as sent, but is sent again where the connection breaks. Nothing is lost; what comes twice
//! bears the same number.

mod message;
mod position;
mod reader;
mod task;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use silentmon_proto::ids::ServerName;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::capture::SyslogSection;

/// How the second sink is doing; shared by who writes records, who sends them and who shows figures.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Listening is refused where nothing was taken for so long though records wait.
    patience: Option<Duration>,
    state: Mutex<State>,
    /// Told when there is more to send.
    written: Notify,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Number of the newest record on disk.
    written: u64,
    /// Number of the newest record that was sent.
    sent: u64,
    connected: bool,
    /// Since when records wait and none was taken.
    waiting: Option<Instant>,
}

/// What metrics show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Records on disk that weren't sent yet.
    pub records: u64,
    /// Whether there is a connection.
    pub connected: bool,
}

impl Progress {
    /// For a journal that ends with the record `written`.
    fn new(written: u64, sent: u64, patience: Option<Duration>) -> Self {
        let state = State {
            written,
            sent: sent.min(written),
            connected: false,
            waiting: (written > sent).then(Instant::now),
        };
        Self(Arc::new(Shared {
            patience,
            state: Mutex::new(state),
            written: Notify::new(),
        }))
    }

    /// Takes note of a record that is on disk now.
    pub fn wrote(&self, number: u64) {
        let mut state = self.state();
        state.written = number;
        state.waiting.get_or_insert_with(Instant::now);
        drop(state);
        self.0.written.notify_one();
    }

    /// # Errors
    /// Why nobody may listen: the sink is required and has taken nothing for too long.
    pub fn require(&self) -> Result<(), String> {
        let (state, patience) = (*self.state(), self.0.patience);
        let waited = state.waiting.map(|since| since.elapsed());
        match (patience, waited) {
            (Some(patience), Some(waited)) if waited > patience => Err(format!(
                "audit.syslog takes no records: {} wait, for {} s; listening needs it within {} s",
                state.written - state.sent,
                waited.as_secs(),
                patience.as_secs(),
            )),
            _ => Ok(()),
        }
    }

    /// How far it is behind.
    pub fn lag(&self) -> Lag {
        let state = *self.state();
        Lag {
            records: state.written - state.sent,
            connected: state.connected,
        }
    }

    fn sent(&self, number: u64) {
        let mut state = self.state();
        state.sent = number.min(state.written);
        state.waiting = (state.sent < state.written).then(Instant::now);
    }

    /// A connection is there, or gone, and then records from `sent` on wait again.
    fn connected(&self, connected: bool, sent: u64) {
        let mut state = self.state();
        state.connected = connected;
        state.sent = sent.min(state.written);
        if state.sent < state.written {
            state.waiting.get_or_insert_with(Instant::now);
        }
    }

    fn newest(&self) -> u64 {
        self.state().written
    }

    /// Returns once there is a record behind `number`.
    async fn written_behind(&self, number: u64) {
        while self.newest() <= number {
            self.0.written.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where records go, and from which journal.
#[derive(Debug, Clone)]
pub struct Sink {
    journal: PathBuf,
    section: SyslogSection,
    server: ServerName,
    position: position::Position,
}

impl Sink {
    /// Reads how far an earlier run came; the newest record in the journal is `written`.
    ///
    /// # Errors
    /// Where the file beside the journal can't be read.
    pub fn open(
        journal: PathBuf,
        written: u64,
        section: SyslogSection,
        server: ServerName,
    ) -> anyhow::Result<(Self, Progress)> {
        let position = position::Position::open(&journal)?;
        let patience = section.required.then_some(section.within_s.0);
        let progress = Progress::new(written, position.number(), patience);
        let sink = Self {
            journal,
            section,
            server,
            position,
        };
        Ok((sink, progress))
    }

    /// Sends what there is and what is written, until `shutdown`; then what is left, for a while. Must be called within a
    /// runtime.
    pub fn start(self, progress: Progress, shutdown: CancellationToken) -> tokio::task::JoinHandle<()> {
        tokio::spawn(task::run(self, progress, shutdown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_sink_that_takes_nothing_forbids_listening_until_it_does() {
        let progress = Progress::new(5, 5, Some(Duration::ZERO));
        assert_eq!(progress.require(), Ok(()));
        progress.wrote(6);
        std::thread::sleep(Duration::from_millis(2));
        let refused = progress.require().expect_err("a record waits for longer than 0 s");
        assert!(refused.contains("1 wait"), "{refused}");
        progress.sent(6);
        assert_eq!(progress.require(), Ok(()));
        assert_eq!(progress.lag().records, 0);
    }

    #[test]
    fn a_sink_that_is_not_required_never_forbids_listening() {
        let progress = Progress::new(9, 0, None);
        assert_eq!((progress.require(), progress.lag().records), (Ok(()), 9));
    }

    #[test]
    fn what_a_broken_connection_may_have_lost_waits_again() {
        let progress = Progress::new(9, 0, None);
        progress.connected(true, 0);
        progress.sent(9);
        progress.connected(false, 7);
        let expected = Lag {
            records: 2,
            connected: false,
        };
        assert_eq!(progress.lag(), expected);
    }
}
