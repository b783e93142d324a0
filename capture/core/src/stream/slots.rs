//! Where streams live: slots that are reused, in two queues by age of the last packet, so that the stream to give up
//! first is known without searching.

use std::num::NonZeroU32;

use super::{Stream, Validity};

/// Names a stream of a [`super::StreamTable`]. One that has expired is never mistaken for a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    generation: NonZeroU32,
    slot: u32,
}

impl StreamId {
    /// Sorts before all others.
    pub(super) const LOWEST: Self = Self {
        generation: NonZeroU32::MIN,
        slot: 0,
    };
    /// Sorts after all others.
    pub(super) const HIGHEST: Self = Self {
        generation: NonZeroU32::MAX,
        slot: u32::MAX,
    };
}

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Queue {
    const EMPTY: Self = Self {
        oldest: NONE,
        newest: NONE,
        len: 0,
    };
}

#[derive(Debug)]
struct Slot {
    generation: NonZeroU32,
    older: u32,
    newer: u32,
    stream: Option<Stream>,
}

/// The streams of a table.
#[derive(Debug)]
pub struct Slots {
    entries: Vec<Slot>,
    free: Vec<u32>,
    probation: Queue,
    valid: Queue,
}

impl Slots {
    /// No streams.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            probation: Queue::EMPTY,
            valid: Queue::EMPTY,
        }
    }

    /// Number of streams.
    pub const fn len(&self) -> usize {
        self.probation.len + self.valid.len
    }

    /// Number of streams that are not valid yet.
    pub const fn in_probation(&self) -> usize {
        self.probation.len
    }

    /// The stream in a slot.
    pub fn at(&self, slot: u32) -> Option<&Stream> {
        self.entries.get(slot as usize)?.stream.as_ref()
    }

    /// The stream in a slot.
    pub fn at_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        self.entries.get_mut(slot as usize)?.stream.as_mut()
    }

    /// The name of the stream in a slot.
    pub fn id(&self, slot: u32) -> Option<StreamId> {
        let generation = self.entries.get(slot as usize)?.generation;
        Some(StreamId { generation, slot })
    }

    /// The slot of a stream, if it is still there.
    pub fn slot(&self, id: StreamId) -> Option<u32> {
        let slot = self.entries.get(id.slot as usize)?;
        (slot.generation == id.generation && slot.stream.is_some()).then_some(id.slot)
    }

    /// All streams, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        (0u32..).zip(&self.entries).filter_map(|(slot, entry)| {
            let id = StreamId {
                generation: entry.generation,
                slot,
            };
            Some((id, entry.stream.as_ref()?))
        })
    }

    /// Puts a stream in a slot, as the newest of its queue.
    pub fn insert(&mut self, stream: Stream) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Slot {
                generation: NonZeroU32::MIN,
                older: NONE,
                newer: NONE,
                stream: None,
            });
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        });
        let validity = stream.validity();
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            entry.stream = Some(stream);
        }
        self.link(slot, validity);
        slot
    }

    /// Takes a stream out of its slot.
    pub fn remove(&mut self, slot: u32) -> Option<Stream> {
        let validity = self.at(slot)?.validity();
        self.unlink(slot, validity);
        let entry = self.entries.get_mut(slot as usize)?;
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.free.push(slot);
        entry.stream.take()
    }

    /// Makes a stream the newest of the queue it belongs to now; `before` is what it was until now.
    pub fn touch(&mut self, slot: u32, before: Validity) {
        let Some(now) = self.at(slot).map(Stream::validity) else {
            return;
        };
        if now != before || self.queue(now).newest != slot {
            self.unlink(slot, before);
            self.link(slot, now);
        }
    }

    /// The stream heard longest ago, of those valid or not yet valid.
    pub fn oldest(&self, validity: Validity) -> Option<u32> {
        let oldest = match validity {
            Validity::Probation => self.probation.oldest,
            Validity::Valid => self.valid.oldest,
        };
        (oldest != NONE).then_some(oldest)
    }

    const fn queue(&mut self, validity: Validity) -> &mut Queue {
        match validity {
            Validity::Probation => &mut self.probation,
            Validity::Valid => &mut self.valid,
        }
    }

    fn link(&mut self, slot: u32, validity: Validity) {
        let queue = self.queue(validity);
        let before = std::mem::replace(&mut queue.newest, slot);
        queue.len += 1;
        if before == NONE {
            queue.oldest = slot;
        }
        if let Some(entry) = self.entries.get_mut(before as usize) {
            entry.newer = slot;
        }
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            entry.older = before;
            entry.newer = NONE;
        }
    }

    fn unlink(&mut self, slot: u32, validity: Validity) {
        let Some((older, newer)) = self.entries.get(slot as usize).map(|entry| (entry.older, entry.newer)) else {
            return;
        };
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.queue(validity).oldest = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.queue(validity).newest = older,
        }
        self.queue(validity).len -= 1;
    }
}
