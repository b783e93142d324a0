//! Packets missing in a row, and when they should have come.

use std::time::Duration;

use silentmon_proto::time::Instant;

/// How far apart two streams' packets of the same moment can be: the length of a packet.
const NEAR: Duration = Duration::from_millis(20);

/// Packets of one stream missing in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Extended number of the first.
    pub(super) first: u64,
    /// How many.
    pub(super) count: u64,
    /// When the first should have come.
    pub(super) begin: Instant,
    /// Time from one to the next.
    pub(super) spacing: Duration,
    /// Packets that came after them, up to the next gap.
    pub(super) came: u64,
    /// Whether the capture is known to have lost frames then.
    pub(super) dropped: bool,
}

impl Gap {
    /// `count` packets from number `first` on, missing between packets captured at `from` and `until`.
    pub(super) fn between(first: u64, count: u64, from: Instant, until: Instant) -> Self {
        let packets = u32::try_from(count + 1).unwrap_or(u32::MAX);
        let spacing = until.saturating_since(from) / packets;
        Self {
            first,
            count,
            begin: from + spacing,
            spacing,
            came: 0,
            dropped: false,
        }
    }

    /// When the last should have come.
    pub(super) fn end(&self) -> Instant {
        let last = u32::try_from(self.count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.begin + self.spacing.saturating_mul(last)
    }

    /// Whether a number is among them.
    pub(super) const fn holds(&self, number: u64) -> bool {
        number >= self.first && number - self.first < self.count
    }

    /// Whether `other` hides at least half of this gap: the cause may be the same.
    pub(super) fn coincides(&self, (begin, end): (Instant, Instant)) -> bool {
        let own = (self.begin, self.end() + NEAR);
        let shared = own.1.min(end + NEAR).saturating_since(own.0.max(begin));
        shared * 2 >= own.1.saturating_since(own.0)
    }

    /// The gap without a packet that came after all: what is missing before it and after it.
    pub(super) fn without(&self, number: u64) -> (Option<Self>, Option<Self>) {
        let ahead = number - self.first;
        let before = (ahead > 0).then_some(Self {
            count: ahead,
            came: 1,
            ..*self
        });
        let passed = u32::try_from(ahead + 1).unwrap_or(u32::MAX);
        let after = (ahead + 1 < self.count).then(|| Self {
            first: number + 1,
            count: self.count - ahead - 1,
            begin: self.begin + self.spacing.saturating_mul(passed),
            ..*self
        });
        (before, after)
    }
}
