//! The audit journal's thread: writing to disk may take long, and sound must not wait for it.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use silentmon_capture_core::engine::EngineEvent;
use silentmon_proto::ids::SessionId;
use silentmon_proto::time::Instant;
use tokio::sync::mpsc::UnboundedSender;

use super::Journal;

/// A session that was written down, or why it could not be.
pub(super) type Written = (SessionId, Result<(), String>);

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Records that may wait until the disk has room again; nobody starts to listen meanwhile, so they don't become many.
const MOST_WAITING: usize = 10_000;

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
    pub(super) fn start(journal: Box<dyn Journal>, written: UnboundedSender<Written>) -> std::io::Result<Self> {
        let (sender, events) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || Writer::new(journal, written).run(&events))?;
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

/// The thread's own.
struct Writer {
    journal: Box<dyn Journal>,
    written: UnboundedSender<Written>,
    /// What has happened and couldn't be written down yet, in order.
    waiting: VecDeque<(EngineEvent, Instant)>,
}

impl Writer {
    const fn new(journal: Box<dyn Journal>, written: UnboundedSender<Written>) -> Self {
        Self {
            journal,
            written,
            waiting: VecDeque::new(),
        }
    }

    fn run(mut self, events: &mpsc::Receiver<(EngineEvent, Instant)>) {
        loop {
            let next = if self.waiting.is_empty() {
                events.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                events.recv_timeout(RETRY)
            };
            match next {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {
                    if self.write_waiting().is_ok() {
                        tracing::warn!("the audit journal can be written again");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Err(error) = self.write_waiting() {
            tracing::error!(%error, records = self.waiting.len(), "the audit journal's last records were not written");
        }
    }

    /// The start of a session, or that it goes on here, is written now or doesn't happen; what has happened is written as soon as it can be.
    fn take(&mut self, (event, now): (EngineEvent, Instant)) {
        if let EngineEvent::SessionStarted(record) | EngineEvent::SessionMoved { session: record, .. } = &event {
            let result = self.write_waiting().and_then(|()| self.journal.record(&event, now));
            if let Err(error) = &result {
                tracing::error!(%error, "the audit journal can't be written");
            }
            // The event loop is gone only when the service stops.
            let _ = self.written.send((record.session, result));
            return;
        }
        if self.waiting.len() == MOST_WAITING {
            tracing::error!("a record is lost: the audit journal can't be written, and too many wait already");
            return;
        }
        self.waiting.push_back((event, now));
        if let Err(error) = self.write_waiting() {
            tracing::error!(%error, records = self.waiting.len(), "the audit journal can't be written; records wait");
        }
    }

    fn write_waiting(&mut self) -> Result<(), String> {
        while let Some((event, at)) = self.waiting.front() {
            self.journal.record(event, *at)?;
            self.waiting.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use std::sync::{Arc, Mutex};

    use silentmon_capture_core::engine::SessionRecord;
    use silentmon_capture_core::policy::{Means, Principal, Role};
    use silentmon_capture_core::session::Disclosed;
    use silentmon_proto::reason::{Code, Reason};

    use super::*;

    /// Takes records while it has room.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<String>)>>);

    impl Disk {
        fn set_room(&self, room: usize) {
            self.0.lock().expect("whole").0 = room;
        }

        fn records(&self) -> Vec<String> {
            self.0.lock().expect("whole").1.clone()
        }
    }

    impl Journal for Disk {
        fn record(&mut self, event: &EngineEvent, _: Instant) -> Result<(), String> {
            let (room, records) = &mut *self.0.lock().expect("whole");
            *room = room.checked_sub(1).ok_or("no space")?;
            records.push(match event {
                EngineEvent::SessionStarted(record) => format!("start {}", record.session.0),
                EngineEvent::SessionStopped(record, _) => format!("stop {}", record.session.0),
                other => format!("{other:?}"),
            });
            Ok(())
        }
    }

    fn record(session: u64) -> SessionRecord {
        SessionRecord {
            session: SessionId(session),
            principal: Principal {
                name: "anna".into(),
                role: Role::Supervisor,
                from: [10, 1, 9, 1].into(),
                means: Means::Certificate,
            },
            disclosed: Disclosed::NotRequired,
            home: None,
            agent: "4711".into(),
            purpose: None,
            started: Instant::EPOCH,
            audible: Duration::ZERO,
        }
    }

    #[test]
    fn on_a_full_disk_nobody_starts_to_listen_and_what_has_happened_is_written_later_in_order() {
        let (disk, (written, mut answers)) = (Disk::default(), tokio::sync::mpsc::unbounded_channel());
        let mut writer = Writer::new(Box::new(disk.clone()), written);
        let start = |session| (EngineEvent::SessionStarted(record(session)), Instant::EPOCH);
        let stop = |session| {
            let reason = Reason::new(Code::AudioFlowing, "Stopped.");
            (EngineEvent::SessionStopped(record(session), reason), Instant::EPOCH)
        };
        disk.set_room(2);
        writer.take(start(1));
        writer.take(start(2));
        writer.take(stop(1));
        disk.set_room(0);
        writer.take(stop(2));
        writer.take(start(3));
        disk.set_room(10);
        writer.take(start(4));
        assert_eq!(disk.records(), ["start 1", "start 2", "stop 1", "stop 2", "start 4"]);
        let mut heard = Vec::new();
        while let Ok((session, result)) = answers.try_recv() {
            heard.push((session.0, result.is_ok()));
        }
        assert_eq!(heard, [(1, true), (2, true), (3, false), (4, true)]);
    }
}
