//! Whether what the server sends arrives: its counts beside our own, over a few seconds.
//!
//! The server can't tell: it sees its packets go. Nor can we: a mirror that is silent looks the same from here. Only both
//! counts together say that a firewall lets control through and audio not (SM-3001), or that the path is too slow (SM-3002).

use std::time::Duration;

use silentmon_proto::reason::{Code, Evidence, Reason};
use silentmon_proto::time::Instant;

/// Counts are compared over this time.
const WINDOW: Duration = Duration::from_secs(2);
/// Packets sent below which nothing is said.
const FEW: u64 = 25;
/// Below this share of packets that arrive the way counts as blocked, in percent: what slips through is no sound.
const BLOCKED: u64 = 50;
/// From this share of late packets on the path is too slow, in percent.
const SLOW: u64 = 20;

/// Sums of both legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayCounts {
    /// Packets the server sent.
    pub sent: u64,
    /// Packets that came.
    pub received: u64,
    /// Packets that came too late to be played.
    pub late: u64,
}

/// Compares.
#[derive(Debug, Default)]
pub struct RelayWatch {
    before: Option<(Instant, RelayCounts)>,
    complaint: Option<Reason>,
    judged: bool,
}

impl RelayWatch {
    /// Whether there was enough to judge by yet.
    pub const fn has_judged(&self) -> bool {
        self.judged
    }

    /// Takes the counts as they are and says what is wrong with the relay, if anything is. Until there is enough to judge
    /// by, what was found last stands.
    pub fn handle(&mut self, counts: RelayCounts, now: Instant) -> Option<&Reason> {
        match self.before {
            // A server that counts from the beginning has another session.
            Some((at, before)) if counts.sent >= before.sent => {
                if now - at >= WINDOW {
                    self.complaint = judge(before, counts, now - at);
                    self.judged |= counts.sent - before.sent >= FEW;
                    self.before = Some((now, counts));
                }
            }
            _ => {
                self.before = Some((now, counts));
                self.complaint = None;
            }
        }
        self.complaint.as_ref()
    }
}

fn judge(before: RelayCounts, after: RelayCounts, over: Duration) -> Option<Reason> {
    let since = |after: u64, before: u64| after.saturating_sub(before);
    let (sent, received) = (since(after.sent, before.sent), since(after.received, before.received));
    let late = since(after.late, before.late);
    if sent < FEW {
        return None;
    }
    let seconds = over.as_secs_f64();
    let evidence = Evidence::new()
        .with("over", format!("{seconds:.1} s"))
        .with("sent", sent)
        .with("received", received)
        .with("late", late);
    let reason = if received * 100 < sent * BLOCKED {
        let rate = sent as f64 / seconds;
        let arrive = match received * 100 / sent {
            _ if received == 0 => "none arrive".to_owned(),
            share => format!("only {share} % of them arrive"),
        };
        let text = format!("The server sends {rate:.0} packets/s to you but {arrive}.");
        Reason::new(Code::RelayBlocked, text)
    } else if late * 100 >= received * SLOW {
        let share = late * 100 / received;
        let text = format!("Packets arrive too late to play ({share} % of them).");
        Reason::new(Code::RelayLate, text)
    } else {
        return None;
    };
    Some(reason.with_evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(after: [u64; 3]) -> Option<Code> {
        let counts = |[sent, received, late]: [u64; 3]| RelayCounts { sent, received, late };
        let mut watch = RelayWatch::default();
        assert_eq!(watch.handle(counts([100, 90, 0]), Instant::from_parts(10, 0)), None);
        let later = Instant::from_parts(12, 0);
        watch.handle(counts(after), later).map(|reason| reason.code)
    }

    #[test]
    fn a_path_that_lets_nothing_through_is_told_from_a_silent_mirror_and_a_slow_path() {
        assert_eq!(code([200, 90, 0]), Some(Code::RelayBlocked));
        assert_eq!(
            code([200, 99, 0]),
            Some(Code::RelayBlocked),
            "what slips through is no sound"
        );
        assert_eq!(code([100, 90, 0]), None, "the server sends nothing either");
        assert_eq!(code([200, 188, 0]), None);
        assert_eq!(code([200, 188, 40]), Some(Code::RelayLate));
        assert_eq!(code([3, 0, 0]), None, "another session");
    }

    #[test]
    fn a_complaint_stands_until_packets_come() {
        let counts = |sent, received| RelayCounts {
            sent,
            received,
            late: 0,
        };
        let mut watch = RelayWatch::default();
        let at = |seconds| Instant::from_parts(seconds, 0);
        watch.handle(counts(0, 0), at(0));
        let found = watch.handle(counts(100, 0), at(2)).cloned();
        assert_eq!(watch.handle(counts(150, 0), at(3)).cloned(), found);
        assert_eq!(watch.handle(counts(250, 90), at(5)), None);
    }
}
