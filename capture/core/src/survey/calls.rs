//! Streams paired to calls, and calls of which one direction is missing.
//!
//! Two directions belong together where their ports do (RFC 4961), else where their addresses do at the same time. A
//! direction that nothing answers is one-way; a stream to a group of hosts has no answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use silentmon_proto::time::Instant;

use super::report::CallFigures;
use crate::stream::Stream;

/// A direction shorter than this, or of fewer packets, is no call that could be judged.
const SHORTEST: Duration = Duration::from_secs(2);
const FEWEST: u64 = 50;
/// Directions of one call begin and end within this of each other.
const SLACK: Duration = Duration::from_secs(5);

type Ends = (SocketAddr, SocketAddr);

/// Packets from one socket to another, whatever their SSRCs and VLANs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub packets: u64,
    first: Instant,
    last: Instant,
}

/// The calls of a mirror.
#[derive(Debug, Default)]
pub(super) struct Calls {
    two_way: u64,
    one_way: Vec<Flow>,
    unjudged: u64,
}

impl Calls {
    pub(super) fn of<'s>(streams: impl Iterator<Item = &'s Stream>) -> Self {
        let flows = flows(streams);
        let (two_way, mut single) = paired_by_ports(&flows);
        let by_address = pair_by_addresses(&mut single);
        let answered = Answered::of(&flows);
        let mut calls = Self {
            two_way: two_way + by_address,
            ..Self::default()
        };
        for flow in single {
            if answered.holds(&flow) {
                continue;
            }
            if flow.is_judged() {
                calls.one_way.push(flow);
            } else {
                calls.unjudged += 1;
            }
        }
        calls.one_way.sort_by_key(|flow| std::cmp::Reverse(flow.packets));
        calls
    }

    /// One-way calls, those with most packets first.
    pub(super) fn one_way(&self) -> &[Flow] {
        &self.one_way
    }

    pub(super) fn figures(&self) -> CallFigures {
        CallFigures {
            two_way: self.two_way,
            one_way: self.one_way.len() as u64,
            too_short: self.unjudged,
        }
    }
}

impl Flow {
    fn is_judged(&self) -> bool {
        self.packets >= FEWEST && self.last.saturating_since(self.first) >= SHORTEST
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last + SLACK && other.first <= self.last + SLACK
    }
}

fn flows<'s>(streams: impl Iterator<Item = &'s Stream>) -> BTreeMap<Ends, Flow> {
    let mut flows: BTreeMap<Ends, Flow> = BTreeMap::new();
    for stream in streams {
        let key = stream.key();
        if key.destination.ip().is_multicast() {
            continue;
        }
        let flow = flows.entry((key.source, key.destination)).or_insert(Flow {
            source: key.source,
            destination: key.destination,
            packets: 0,
            first: stream.first_captured(),
            last: stream.last_captured(),
        });
        flow.packets += stream.sequence().unique();
        flow.first = flow.first.min(stream.first_captured());
        flow.last = flow.last.max(stream.last_captured());
    }
    flows
}

/// How many pairs there are, and the flows without a counterpart.
fn paired_by_ports(flows: &BTreeMap<Ends, Flow>) -> (u64, Vec<Flow>) {
    let mut pairs = 0;
    let mut single = Vec::new();
    for (&(source, destination), flow) in flows {
        // Who sends to himself is both directions at once.
        if flows.contains_key(&(destination, source)) {
            pairs += u64::from(source <= destination);
        } else {
            single.push(*flow);
        }
    }
    (pairs, single)
}

/// Takes out of `single` what belongs together by addresses, and answers how many pairs that were.
fn pair_by_addresses(single: &mut Vec<Flow>) -> u64 {
    let mut waiting: BTreeMap<(IpAddr, IpAddr), Vec<Flow>> = BTreeMap::new();
    let mut pairs = 0;
    for flow in single.drain(..) {
        let (source, destination) = (flow.source.ip(), flow.destination.ip());
        let others = waiting.get_mut(&(destination, source));
        let other = others.and_then(|others| {
            let at = others.iter().position(|other| other.overlaps(&flow))?;
            Some(others.swap_remove(at))
        });
        match other {
            Some(_) => pairs += 1,
            None => waiting.entry((source, destination)).or_default().push(flow),
        }
    }
    single.extend(waiting.into_values().flatten());
    pairs
}

/// Sockets that receive or send: a phone may hear one server and speak to another.
struct Answered<'f> {
    into: BTreeMap<SocketAddr, Vec<&'f Flow>>,
    from: BTreeMap<SocketAddr, Vec<&'f Flow>>,
}

impl<'f> Answered<'f> {
    fn of(flows: &'f BTreeMap<Ends, Flow>) -> Self {
        let mut answered = Self {
            into: BTreeMap::new(),
            from: BTreeMap::new(),
        };
        for flow in flows.values() {
            answered.into.entry(flow.destination).or_default().push(flow);
            answered.from.entry(flow.source).or_default().push(flow);
        }
        answered
    }

    fn holds(&self, flow: &Flow) -> bool {
        let among =
            |flows: Option<&Vec<&Flow>>| flows.is_some_and(|flows| flows.iter().any(|other| other.overlaps(flow)));
        among(self.into.get(&flow.source)) || among(self.from.get(&flow.destination))
    }
}
