//! What became of a leg's packets, one by one in the order of the sender.

use silentmon_proto::quality::{BurstMeter, LossCounts};

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketFate {
    /// It came in time, at once or sent again; kept-back events (RFC 4733) count as played.
    Played,
    /// It came, but its time was over.
    Late,
    /// The capture server sent it, and it never came.
    LostOnRelay,
    /// The capture server never had it: lost in the call or in the mirror, which only the server can tell apart.
    LostBeforeRelay,
}

/// Counts fates, for our copy and for the ear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyMeter {
    copy: BurstMeter,
    heard: BurstMeter,
}

impl CopyMeter {
    /// Takes the fate of the sender's next packet.
    pub const fn fate(&mut self, fate: PacketFate) {
        match fate {
            PacketFate::Played => {
                self.copy.received();
                self.heard.received();
            }
            PacketFate::Late => {
                self.copy.discarded();
                self.heard.discarded();
            }
            PacketFate::LostOnRelay => {
                self.copy.lost();
                self.heard.lost();
            }
            PacketFate::LostBeforeRelay => {
                self.copy.received();
                self.heard.lost();
            }
        }
    }

    /// A packet given as lost on the relay came after all, too late.
    pub const fn came_late(&mut self) {
        self.copy.came_late();
        self.heard.came_late();
    }

    /// What the way from the capture server to the ear lost, and what came late.
    pub const fn copy(&self) -> LossCounts {
        self.copy.counts()
    }

    /// All that is missing at the ear, wherever it was lost.
    pub const fn heard(&self) -> LossCounts {
        self.heard.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_call_lost_is_missing_at_the_ear_but_not_in_our_copy() {
        let mut meter = CopyMeter::default();
        let fates = [
            PacketFate::Played,
            PacketFate::LostBeforeRelay,
            PacketFate::Late,
            PacketFate::LostOnRelay,
            PacketFate::Played,
        ];
        fates.into_iter().for_each(|fate| meter.fate(fate));
        let (copy, heard) = (meter.copy(), meter.heard());
        assert_eq!((copy.packets, copy.lost, copy.discarded, copy.bursts), (5, 1, 1, 1));
        assert_eq!(
            (heard.packets, heard.lost, heard.discarded, heard.burst_packets),
            (5, 2, 1, 3)
        );
        meter.came_late();
        assert_eq!((meter.copy().lost, meter.copy().discarded), (0, 2));
    }
}
