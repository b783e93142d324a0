//! What is heard in real time can only be compared on a machine that keeps time. A busy host makes its guests stand still
//! now and then; a failure during which that happened says nothing of the program, so the test is done again. A failure
//! on a machine that was punctual counts at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a test is tried on a machine that stands still each time.
const ATTEMPTS: usize = 4;
/// A standstill that whoever listens with the delay of files bears.
pub const BEARABLE: Duration = Duration::from_millis(300);
/// How often each core is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

/// Notes how late a thread on each core wakes.
struct Watch {
    over: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Duration>>,
}

impl Watch {
    /// Begins to watch every core that this process may use.
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let watchers = cores()
            .into_iter()
            .map(|core| {
                let over = Arc::clone(&over);
                thread::spawn(move || {
                    stay_on(core);
                    watch(&over)
                })
            })
            .collect();
        Self { over, watchers }
    }

    /// The longest time by which any of them was late.
    fn longest_standstill(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let late = self
            .watchers
            .into_iter()
            .map(|watcher| watcher.join().expect("it only sleeps"));
        late.max().unwrap_or_default()
    }
}

fn watch(over: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        thread::sleep(INTERVAL);
        longest = longest.max(asleep.elapsed().saturating_sub(INTERVAL));
    }
    longest
}

#[cfg(target_os = "linux")]
fn cores() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let allowed = sched_getaffinity(None).expect("a process knows its cores");
    (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect()
}

#[cfg(target_os = "linux")]
fn stay_on(core: usize) {
    let mut only = rustix::thread::CpuSet::new();
    only.set(core);
    // Where that isn't allowed the thread watches wherever it runs.
    let _ = rustix::thread::sched_setaffinity(None, &only);
}

#[cfg(not(target_os = "linux"))]
fn cores() -> Vec<usize> {
    (0..thread::available_parallelism().map_or(1, usize::from)).collect()
}

#[cfg(not(target_os = "linux"))]
fn stay_on(_core: usize) {}

/// Runs a test that listens in real time, and bears a machine that stands still for up to `bears`. Where it fails while
/// the machine stood still for longer it is run again; where that goes on it is skipped, which is said with the figures.
///
/// # Panics
/// With the test's own failure where the machine kept time.
pub fn on_a_machine_that_keeps_time(bears: Duration, test: impl Fn()) {
    let mut standstills = Vec::new();
    for _ in 0..ATTEMPTS {
        let watch = Watch::start();
        let outcome = catch_unwind(AssertUnwindSafe(&test));
        let standstill = watch.longest_standstill();
        match outcome {
            Ok(()) => return,
            Err(failure) if standstill < bears => resume_unwind(failure),
            Err(_) => eprintln!("once more: the machine stood still for {standstill:?} meanwhile"),
        }
        standstills.push(standstill);
    }
    eprintln!("skipped: this machine can't keep time; it stood still each time, for {standstills:?}");
}
