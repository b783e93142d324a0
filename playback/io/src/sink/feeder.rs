//! The thread behind an output: started, stopped and asked for its summary.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{SinkError, SinkSummary};

/// Handle of an output's thread.
#[derive(Debug)]
pub(super) struct Feeder {
    stopping: Stopping,
    thread: Option<JoinHandle<SinkSummary>>,
}

/// Whether the thread is to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopping(Arc<AtomicBool>);

impl Stopping {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Waits, or returns at once when the thread is to end.
    pub(super) fn rest(&self, duration: Duration) {
        if !self.is_set() {
            thread::park_timeout(duration);
        }
    }
}

impl Feeder {
    pub(super) fn start(run: impl FnOnce(Stopping) -> SinkSummary + Send + 'static) -> Result<Self, SinkError> {
        let stopping = Stopping::default();
        let seen = stopping.clone();
        let thread = thread::Builder::new()
            .name("silentmon-sink".to_owned())
            .spawn(move || run(seen))
            .map_err(|error| SinkError::Thread(error.to_string()))?;
        Ok(Self {
            stopping,
            thread: Some(thread),
        })
    }

    pub(super) fn stop(&mut self) -> SinkSummary {
        self.stopping.0.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else {
            return SinkSummary::default();
        };
        thread.thread().unpark();
        thread.join().unwrap_or_default()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What is shared, even where another thread died while it had it.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, unless another thread has it: never waits.
pub(super) fn try_lock<T>(shared: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match shared.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
