//! What a capture thread has seen, and what became of it.

use silentmon_capture_core::addressing::AddressCounts;
use silentmon_capture_core::diagnosis::CaptureHealth;
use silentmon_proto::frame::{Frame, LinkType, MacAddress, Rejected};
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
    /// Frames with an 802.1Q tag, of those taken from the source.
    pub tagged: u64,
    /// Frames by whom they are for: of those taken from the source, or of all that the kernel filter saw, where there is
    /// one.
    pub addressed: AddressCounts,
    /// Whether the interface has a link, where that can be told.
    pub carrier: Option<bool>,
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

/// Tags of IEEE 802.1Q, 802.1ad, and those used before it.
const TAGS: [[u8; 2]; 4] = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00], [0x92, 0x00]];

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
    /// What the diagnosis wants to know.
    pub fn health(&self) -> CaptureHealth {
        // Behind a kernel filter only what is wanted is taken: all was seen in the kernel.
        let (frames, tagged) = if self.seen > 0 {
            (self.seen, self.seen_tagged)
        } else {
            (self.frames, self.tagged)
        };
        CaptureHealth {
            last_frame: self.last_frame,
            dropped: self.kernel_dropped + self.dropped_handover,
            frames,
            tagged,
            addressed: self.addressed,
            carrier: self.carrier,
        }
    }

    /// Counts a frame that was taken. `own` is the interface's address, where there is an interface.
    #[inline]
    pub(super) fn count(&mut self, frame: &Frame<'_>, own: Option<MacAddress>) {
        self.frames += 1;
        self.bytes += u64::from(frame.wire_length);
        self.last_frame = Some(frame.captured);
        if frame.link_type == LinkType::Ethernet {
            self.addressed.count(frame.bytes, own);
            self.tagged += u64::from(
                frame
                    .bytes
                    .get(12..14)
                    .is_some_and(|kind| TAGS.iter().any(|tag| tag == kind)),
            );
        }
    }

    pub(super) fn set_kernel(&mut self, counters: LiveCounters) {
        self.kernel_received = counters.received;
        self.kernel_dropped = counters.dropped;
        self.interface_dropped = counters.dropped_by_interface;
    }
}
