//! Where the last packets of a stream lay, by sequence number: what tells a pause of the sender from a loss.

/// Packets remembered.
const REMEMBERED: usize = 512;

/// The stretch of a packet: its sequence number, first place, and the place behind its last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) sequence: i64,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The last packets of one run of sequence numbers.
#[derive(Debug)]
pub(crate) struct Spans {
    slots: Box<[Option<Span>; REMEMBERED]>,
    newest: Option<Span>,
}

impl Spans {
    pub(crate) fn new() -> Self {
        Self {
            slots: Box::new([None; REMEMBERED]),
            newest: None,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(None);
        self.newest = None;
    }

    pub(crate) fn insert(&mut self, span: Span) {
        if let Some(slot) = self.slots.get_mut(slot(span.sequence)) {
            *slot = Some(span);
        }
        if self.newest.is_none_or(|newest| span.sequence > newest.sequence) {
            self.newest = Some(span);
        }
    }

    pub(crate) fn of(&self, sequence: i64) -> Option<Span> {
        let found = self.slots.get(slot(sequence)).copied().flatten();
        found.filter(|span| span.sequence == sequence)
    }

    /// The packet with the highest number.
    pub(crate) const fn newest(&self) -> Option<Span> {
        self.newest
    }
}

fn slot(sequence: i64) -> usize {
    let length = i64::try_from(REMEMBERED).unwrap_or(1);
    usize::try_from(sequence.rem_euclid(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_until_its_slot_is_taken_again() {
        let span = |sequence| Span {
            sequence,
            start: 0,
            end: 160,
        };
        let mut spans = Spans::new();
        spans.insert(span(-3));
        spans.insert(span(-4));
        assert_eq!((spans.of(-3), spans.of(4)), (Some(span(-3)), None));
        assert_eq!(spans.newest(), Some(span(-3)));
        spans.insert(span(509));
        assert_eq!(spans.of(-3), None);
    }
}
