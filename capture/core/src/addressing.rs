//! Whom frames are addressed to: what tells a mirror from an interface that sees only its own traffic.

use silentmon_proto::frame::MacAddress;

/// Frames by their addresses (IEEE 802.3 section 3.2.3); sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressCounts {
    /// To one station that isn't this machine: what a mirror delivers.
    pub foreign: u64,
    /// To this machine, or from it.
    pub own: u64,
    /// To all.
    pub broadcast: u64,
    /// To a group.
    pub multicast: u64,
}

impl AddressCounts {
    /// Counts an Ethernet frame. `own` is the interface's address; without it every station counts as foreign.
    #[inline]
    pub fn count(&mut self, frame: &[u8], own: Option<MacAddress>) {
        let Some((destination, rest)) = frame.split_first_chunk() else {
            return;
        };
        let (destination, source) = (MacAddress(*destination), rest.first_chunk().copied().map(MacAddress));
        let counter = if destination == MacAddress::BROADCAST {
            &mut self.broadcast
        } else if destination.is_group() {
            &mut self.multicast
        } else if own.is_some_and(|own| destination == own || source == Some(own)) {
            &mut self.own
        } else {
            &mut self.foreign
        };
        *counter += 1;
    }

    /// All frames counted.
    pub const fn total(&self) -> u64 {
        self.foreign + self.own + self.broadcast + self.multicast
    }

    /// What came since `before`.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            foreign: self.foreign.saturating_sub(before.foreign),
            own: self.own.saturating_sub(before.own),
            broadcast: self.broadcast.saturating_sub(before.broadcast),
            multicast: self.multicast.saturating_sub(before.multicast),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_by_whom_they_are_for() {
        let (own, phone) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]);
        let frame = |destination: [u8; 6], source: [u8; 6]| [destination, source].concat();
        let mut counts = AddressCounts::default();
        let interface = Some(MacAddress(own));
        counts.count(&frame(own, phone), interface);
        counts.count(&frame(phone, own), interface);
        counts.count(&frame([0xff; 6], phone), interface);
        counts.count(&frame([0x01, 0, 0x5e, 0, 0, 1], phone), interface);
        counts.count(&frame(phone, [2, 0, 0, 0, 0, 8]), interface);
        counts.count(&[1, 2], interface);
        let wanted = AddressCounts {
            foreign: 1,
            own: 2,
            broadcast: 1,
            multicast: 1,
        };
        assert_eq!((counts, counts.total()), (wanted, 5));
    }
}
