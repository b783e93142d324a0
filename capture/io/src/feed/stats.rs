//! What a capture thread has seen, and what became of it.

use silentmon_proto::frame::Rejected;
use silentmon_proto::time::Instant;

use crate::live::LiveCounters;

/// Sums since the capture's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureStats {
    /// Frames taken from the source.
    pub frames: u64,
    /// Bytes of them, as long as they were on the wire.
    pub bytes: u64,
    /// Datagrams that the filter wants.
    pub passed: u64,
    /// Datagrams that the filter doesn't want.
    pub unwanted: u64,
    /// Datagrams and TCP segments of signalling that a resolver wants; its datagrams count as unwanted besides.
    pub signalling: u64,
    /// Frames without a datagram, by reason.
    pub rejected: RejectedFrames,
    /// Frames seen on the interface by the kernel filter, where there is one; else 0.
    pub seen: u64,
    /// Those of them with an 802.1Q tag.
    pub seen_tagged: u64,
    /// Frames that passed the kernel filter, dropped ones included.
    pub kernel_received: u64,
    /// Frames the kernel dropped because the capture thread was too slow.
    pub kernel_dropped: u64,
    /// Frames the interface dropped, as far as its driver says.
    pub interface_dropped: u64,
    /// Datagrams dropped because the event loop was too slow.
    pub dropped_handover: u64,
    /// When the last frame came. With a kernel filter, frames it keeps count too, to the second.
    pub last_frame: Option<Instant>,
}

/// Frames without a datagram, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RejectedFrames([u64; Rejected::ALL.len()]);

impl RejectedFrames {
    /// Frames rejected for this reason.
    pub fn of(&self, reason: Rejected) -> u64 {
        self.0.get(reason.index()).copied().unwrap_or(0)
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Rejected, u64)> + '_ {
        Rejected::ALL.into_iter().zip(self.0)
    }

    pub(super) fn count(&mut self, reason: Rejected) {
        if let Some(count) = self.0.get_mut(reason.index()) {
            *count += 1;
        }
    }
}

impl CaptureStats {
    pub(super) fn set_kernel(&mut self, counters: LiveCounters) {
        self.kernel_received = counters.received;
        self.kernel_dropped = counters.dropped;
        self.interface_dropped = counters.dropped_by_interface;
    }
}
