//! Frames by what they are: tags, tunnels, whom they are addressed to, whole or cut, with what in them.

use std::collections::BTreeMap;

use foldhash::HashMap;
use silentmon_proto::frame::{Carried, Frame, Headers, LinkType, MacAddress, Rejected, Tunnel, VlanStack};
use silentmon_proto::time::Instant;

use super::report::{Destinations, FrameFigures, TagFigures, TagShare};
use super::{percent, seconds};

/// Stacks of tags kept: all identifiers there are, once.
const MOST_STACKS: usize = 4096;
/// Stacks listed.
const MOST_LISTED: usize = 64;

/// Counts frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    total: u64,
    bytes: u64,
    first: Option<Instant>,
    last: Instant,
    cut_by_capture: u64,
    cut_by_mirror: u64,
    datagrams: u64,
    segments: u64,
    rejected: [u64; Rejected::ALL.len()],
    untagged: u64,
    stacks: HashMap<VlanStack, Stack>,
    unlisted: u64,
    tunnels: BTreeMap<Tunnel, u64>,
    destinations: Destinations,
}

/// Frames with the same tags.
#[derive(Debug, Clone, Copy, Default)]
struct Stack {
    frames: u64,
    bytes: u64,
    priorities: [u64; 8],
}

impl Frames {
    pub(super) fn handle(
        &mut self,
        frame: &Frame<'_>,
        headers: &Headers<'_>,
        carried: &Result<Carried<'_>, Rejected>,
        own: Option<MacAddress>,
    ) {
        self.total += 1;
        self.bytes += u64::from(frame.wire_length);
        self.first = Some(self.first.map_or(frame.captured, |first| first.min(frame.captured)));
        self.last = self.last.max(frame.captured);
        if frame.bytes.len() < frame.wire_length as usize {
            self.cut_by_capture += 1;
        } else if headers.is_cut {
            self.cut_by_mirror += 1;
        }
        match carried {
            Ok(Carried::Datagram(_)) => self.datagrams += 1,
            Ok(Carried::Segment(_)) => self.segments += 1,
            Err(why) => {
                if let Some(count) = self.rejected.get_mut(why.index()) {
                    *count += 1;
                }
            }
        }
        if let Some(tunnel) = headers.tunnel {
            *self.tunnels.entry(tunnel).or_default() += 1;
        }
        self.note_tags(frame, headers);
        self.note_destination(frame, headers, own);
    }

    fn note_tags(&mut self, frame: &Frame<'_>, headers: &Headers<'_>) {
        let Some(priority) = headers.priority else {
            self.untagged += 1;
            return;
        };
        if self.stacks.len() >= MOST_STACKS && !self.stacks.contains_key(&headers.vlan) {
            self.unlisted += 1;
            return;
        }
        let stack = self.stacks.entry(headers.vlan).or_default();
        stack.frames += 1;
        stack.bytes += u64::from(frame.wire_length);
        if let Some(count) = stack.priorities.get_mut(usize::from(priority)) {
            *count += 1;
        }
    }

    /// The outermost address is what the NIC goes by.
    fn note_destination(&mut self, frame: &Frame<'_>, headers: &Headers<'_>, own: Option<MacAddress>) {
        let address = match frame.link_type {
            LinkType::Ethernet => frame.bytes.first_chunk::<6>().map(|bytes| MacAddress(*bytes)),
            _ => None,
        };
        let Some(address) = address else {
            self.destinations.without_address += 1;
            return;
        };
        if address == MacAddress::BROADCAST {
            self.destinations.broadcast += 1;
        } else if address.is_group() {
            self.destinations.multicast += 1;
        } else if Some(address) == own {
            self.destinations.own += 1;
            self.destinations.own_tunnelled += u64::from(headers.tunnel.is_some());
        } else {
            self.destinations.foreign += 1;
        }
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    pub(super) const fn last_captured(&self) -> Instant {
        self.last
    }

    pub(super) fn figures(&self) -> FrameFigures {
        let counts = Rejected::ALL.into_iter().zip(self.rejected);
        FrameFigures {
            total: self.total,
            bytes: self.bytes,
            seconds: seconds(self.last.saturating_since(self.first.unwrap_or(self.last))),
            cut_by_capture: self.cut_by_capture,
            cut_by_mirror: self.cut_by_mirror,
            datagrams: self.datagrams,
            tcp_segments: self.segments,
            others: counts
                .filter(|(_, count)| *count > 0)
                .map(|(why, count)| (why.name(), count))
                .collect(),
            tunnels: self
                .tunnels
                .iter()
                .map(|(tunnel, count)| (tunnel.name(), *count))
                .collect(),
        }
    }

    /// The stacks with most frames first.
    pub(super) fn tags(&self) -> TagFigures {
        let mut stacks: Vec<_> = self.stacks.iter().collect();
        stacks.sort_by_key(|(vlan, stack)| (std::cmp::Reverse(stack.frames), **vlan));
        let beyond: u64 = stacks.iter().skip(MOST_LISTED).map(|(_, stack)| stack.frames).sum();
        TagFigures {
            untagged: self.untagged,
            untagged_percent: percent(self.untagged, self.total),
            stacks: stacks
                .into_iter()
                .take(MOST_LISTED)
                .map(|(vlan, stack)| self.share(*vlan, stack))
                .collect(),
            unlisted: self.unlisted + beyond,
        }
    }

    fn share(&self, vlan: VlanStack, stack: &Stack) -> TagShare {
        let priorities = (0u8..).zip(stack.priorities).filter(|(_, count)| *count > 0);
        TagShare {
            vlan: vlan.ids().to_vec(),
            frames: stack.frames,
            bytes: stack.bytes,
            percent: percent(stack.frames, self.total),
            priorities: priorities.collect(),
        }
    }

    pub(super) fn destinations(&self, own: Option<MacAddress>) -> Destinations {
        Destinations {
            own_known: own.is_some(),
            ..self.destinations
        }
    }
}
