//! Watches which card is the system's default. On a thread of its own: asking may take longer than a card can wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the thread shares.
#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    newest: Mutex<Option<String>>,
}

/// The default card's identifier, looked up again and again.
#[derive(Debug)]
pub(super) struct DefaultWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DefaultWatch {
    /// Looks up the default every `interval`. Where the system gives no thread the default never seems to change.
    pub(super) fn start(interval: Duration, mut look: impl FnMut() -> Option<String> + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let watch = move || {
            while !seen.stopping.load(Ordering::Acquire) {
                let newest = look();
                if let Ok(mut place) = seen.newest.lock() {
                    *place = newest;
                }
                thread::park_timeout(interval);
            }
        };
        let thread = thread::Builder::new().name("silentmon-default".to_owned()).spawn(watch);
        Self {
            shared,
            thread: thread.ok(),
        }
    }

    /// Whether another card than this one is the default now. Never waits.
    pub(super) fn moved_from(&self, name: &str) -> bool {
        let newest = self.shared.newest.try_lock();
        newest.is_ok_and(|newest| newest.as_ref().is_some_and(|newest| newest != name))
    }
}

impl Drop for DefaultWatch {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panicked where this fails; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn another_default_is_noticed() {
        let (looked, looks) = mpsc::channel();
        let (allow, allowed) = mpsc::channel();
        let mut names = ["speakers", "speakers", "headset"].into_iter().map(str::to_owned);
        let watch = DefaultWatch::start(Duration::from_millis(1), move || {
            let _ = looked.send(());
            let _ = allowed.recv();
            names.next()
        });
        for _ in 0..3 {
            looks.recv().expect("looks");
            allow.send(()).expect("waits");
        }
        looks
            .recv()
            .expect("the third answer is known, and the fourth look goes on");
        assert!(watch.moved_from("speakers"));
        assert!(!watch.moved_from("headset"));
        drop(allow);
    }

    #[test]
    fn no_default_at_all_is_no_reason_to_move() {
        let watch = DefaultWatch::start(Duration::from_secs(1), || None);
        assert!(!watch.moved_from("speakers"));
    }
}
