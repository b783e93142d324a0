//! Datagrams on their way from a capture thread to the event loop: many in one buffer, none with an allocation of its
//! own.

use std::net::SocketAddr;

use silentmon_capture_core::resolver::{Signalling, Transport};
use silentmon_proto::frame::{Datagram, Tunnel, VlanStack};
use silentmon_proto::time::Instant;

/// Datagrams of a batch after which it is handed over even where more are at hand.
const DATAGRAMS: usize = 512;
/// Payload bytes of a batch after which it is handed over.
const PAYLOADS: usize = 128 * 1024;

/// Datagrams and signalling, each in the order they were captured.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    signalling: Vec<SignallingEntry>,
    payloads: Vec<u8>,
    round: u32,
}

/// A datagram without its payload.
#[derive(Debug, Clone, Copy)]
struct Entry {
    captured: Instant,
    vlan: VlanStack,
    tunnel: Option<Tunnel>,
    source: SocketAddr,
    destination: SocketAddr,
    /// Where its payload begins in the batch.
    start: usize,
    length: usize,
    truncated: bool,
}

/// A piece of signalling without its payload.
#[derive(Debug, Clone, Copy)]
struct SignallingEntry {
    captured: Instant,
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport,
    start: usize,
    length: usize,
}

impl Batch {
    /// The datagrams.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        self.entries.iter().map(|entry| Datagram {
            captured: entry.captured,
            vlan: entry.vlan,
            tunnel: entry.tunnel,
            source: entry.source,
            destination: entry.destination,
            payload: self.payload(entry.start, entry.length),
            truncated: entry.truncated,
        })
    }

    /// The signalling, where a resolver wants it. What was signalled before a datagram of the batch stands here as well
    /// as what was signalled after it: to be taken up first.
    pub fn signalling(&self) -> impl ExactSizeIterator<Item = Signalling<'_>> {
        self.signalling.iter().map(|entry| Signalling {
            captured: entry.captured,
            source: entry.source,
            destination: entry.destination,
            transport: entry.transport,
            payload: self.payload(entry.start, entry.length),
        })
    }

    /// How many datagrams and pieces of signalling there are.
    pub fn len(&self) -> usize {
        self.entries.len() + self.signalling.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.signalling.is_empty()
    }

    fn payload(&self, start: usize, length: usize) -> &[u8] {
        self.payloads.get(start..start + length).unwrap_or(&[])
    }

    pub(super) fn push(&mut self, datagram: &Datagram<'_>) {
        let start = self.payloads.len();
        self.payloads.extend_from_slice(datagram.payload);
        self.entries.push(Entry {
            captured: datagram.captured,
            vlan: datagram.vlan,
            tunnel: datagram.tunnel,
            source: datagram.source,
            destination: datagram.destination,
            start,
            length: datagram.payload.len(),
            truncated: datagram.truncated,
        });
    }

    pub(super) fn push_signalling(&mut self, signalling: &Signalling<'_>) {
        let start = self.payloads.len();
        self.payloads.extend_from_slice(signalling.payload);
        self.signalling.push(SignallingEntry {
            captured: signalling.captured,
            source: signalling.source,
            destination: signalling.destination,
            transport: signalling.transport,
            start,
            length: signalling.payload.len(),
        });
    }

    /// How often the file they come from had begun again before them; 0 for an interface.
    pub const fn round(&self) -> u32 {
        self.round
    }

    pub(super) const fn set_round(&mut self, round: u32) {
        self.round = round;
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= DATAGRAMS || self.payloads.len() >= PAYLOADS
    }

    /// The same memory with nothing in it.
    pub(super) fn emptied(mut self) -> Self {
        self.entries.clear();
        self.signalling.clear();
        // It may lie unused for long: nothing of a call stays in it.
        self.payloads.fill(0);
        self.payloads.clear();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(number: u64, payload: &[u8]) -> Datagram<'_> {
        let mut vlan = VlanStack::default();
        vlan.push(200);
        Datagram {
            captured: Instant::from_nanos(number),
            vlan,
            tunnel: Some(Tunnel::Erspan2),
            source: "10.1.1.20:24678".parse().unwrap(),
            destination: "[2001:db8::1]:4000".parse().unwrap(),
            payload,
            truncated: number.is_multiple_of(2),
        }
    }

    #[test]
    fn gives_back_what_was_put_in() {
        let datagrams = [datagram(1, b"one"), datagram(2, b""), datagram(3, &[3; 2000])];
        let mut batch = Batch::default();
        for datagram in &datagrams {
            batch.push(datagram);
        }
        assert!(batch.datagrams().eq(datagrams));
        assert_eq!(batch.len(), 3);
    }

    #[test]
    fn an_emptied_batch_keeps_its_memory() {
        let mut batch = Batch::default();
        batch.push(&datagram(1, &[7; 5000]));
        let memory = batch.payloads.as_ptr();
        let mut batch = batch.emptied();
        assert!(batch.is_empty());
        batch.push(&datagram(2, &[8; 5000]));
        assert_eq!(batch.payloads.as_ptr(), memory);
    }

    #[test]
    fn is_full_by_datagrams_or_by_bytes() {
        let mut small = Batch::default();
        for number in 0..DATAGRAMS as u64 {
            small.push(&datagram(number, b""));
        }
        let mut large = Batch::default();
        large.push(&datagram(1, &vec![0; PAYLOADS]));
        assert!(small.is_full() && large.is_full() && !Batch::default().is_full());
    }
}
