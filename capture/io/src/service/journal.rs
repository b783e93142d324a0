//! The audit journal's thread: writing to disk may take long, and sound must not wait for it.

use std::sync::mpsc;
use std::thread::JoinHandle;

use silentmon_capture_core::engine::EngineEvent;
use silentmon_proto::ids::SessionId;
use silentmon_proto::time::Instant;
use tokio::sync::mpsc::UnboundedSender;

use super::Journal;

/// A session that was written down, or why it could not be.
pub(super) type Written = (SessionId, Result<(), String>);

/// A journal with a thread of its own.
pub(super) struct JournalThread {
    events: Option<mpsc::Sender<(EngineEvent, Instant)>>,
    thread: Option<JoinHandle<()>>,
}

impl JournalThread {
    /// Starts the thread; it tells `written` of each session that started.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(mut journal: Box<dyn Journal>, written: UnboundedSender<Written>) -> std::io::Result<Self> {
        let (sender, events) = mpsc::channel::<(EngineEvent, Instant)>();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            for (event, now) in events {
                let result = journal.record(&event, now);
                if let Err(error) = &result {
                    tracing::error!(%error, "the audit journal can't be written");
                }
                if let EngineEvent::SessionStarted(record) = &event {
                    // The event loop is gone only when the service stops.
                    let _ = written.send((record.session, result));
                }
            }
        })?;
        Ok(Self {
            events: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues an event.
    pub(super) fn record(&self, event: EngineEvent, now: Instant) {
        if let Some(events) = &self.events
            && events.send((event, now)).is_err()
        {
            tracing::error!("the audit journal's thread is gone");
        }
    }

    /// Waits until everything queued is on disk.
    pub(super) fn finish(&mut self) {
        self.events = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the audit journal's thread broke down");
        }
    }
}
