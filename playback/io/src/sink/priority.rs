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

/// Asks for real-time priority for this thread and those it starts, unless it has at least as much. Linux gives it to root, with
/// `CAP_SYS_NICE`, and within `RLIMIT_RTPRIO`.
#[cfg(unix)]
pub(super) fn promote() -> Scheduling {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
        thread_schedule_policy_param,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};

    // Whoever started the program with more knows why.
    if let Ok((ThreadSchedulePolicy::Realtime(_), given)) = thread_schedule_policy_param(thread_native_id())
        && given.sched_priority >= PRIORITY.into()
    {
        return Scheduling::RealTime;
    }
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

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
        thread_schedule_policy_param,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};

    use super::*;

    /// The priority of a thread that had so much and asked for it; `None` where the system gives none.
    fn promoted_from(priority: u8) -> Option<i32> {
        let ask = move || {
            let wanted = ThreadPriority::Crossplatform(ThreadPriorityValue::try_from(priority).expect("1 to 99"));
            let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
            set_thread_priority_and_policy(thread_native_id(), wanted, policy).ok()?;
            assert_eq!(promote(), Scheduling::RealTime);
            Some(
                thread_schedule_policy_param(thread_native_id())
                    .expect("it exists")
                    .1
                    .sched_priority,
            )
        };
        std::thread::spawn(ask).join().expect("no panic")
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a test says what it skipped")]
    fn whoever_has_more_keeps_it() {
        let (Some(more), Some(less)) = (promoted_from(PRIORITY + 10), promoted_from(1)) else {
            eprintln!("skipped: the system gives no real-time priority");
            return;
        };
        assert_eq!((more, less), (i32::from(PRIORITY) + 10, i32::from(PRIORITY)));
    }
}
