//! Real-time priority for the threads that keep a card playing.

/// How the system schedules the threads that keep a card playing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheduling {
    /// Before everything ordinary.
    RealTime,
    /// Like everything else.
    Ordinary,
}

/// Real-time priority, out of 1 to 99: above everything ordinary, below what the system itself runs there.
#[cfg(unix)]
const PRIORITY: u8 = 10;

/// Asks for real-time priority for this thread and those it starts. Linux gives it to root, with `CAP_SYS_NICE`, and
/// within `RLIMIT_RTPRIO`.
#[cfg(unix)]
pub(super) fn promote() -> Scheduling {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};

    let Ok(priority) = ThreadPriorityValue::try_from(PRIORITY) else {
        return Scheduling::Ordinary;
    };
    let given = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(priority),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin),
    );
    match given {
        Ok(()) => Scheduling::RealTime,
        Err(error) => {
            tracing::info!(
                ?error,
                "no real-time priority for sound; it waits a little longer instead"
            );
            Scheduling::Ordinary
        }
    }
}

/// Asks for the highest priority for this thread.
#[cfg(not(unix))]
pub(super) fn promote() -> Scheduling {
    match thread_priority::set_current_thread_priority(thread_priority::ThreadPriority::Max) {
        Ok(()) => Scheduling::RealTime,
        Err(_) => Scheduling::Ordinary,
    }
}
