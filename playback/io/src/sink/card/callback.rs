//! The card's callback: takes frames from a lock-free ring and says what it did in atomics. Nothing here waits,
//! allocates or logs, and nothing here could: it owns no lock, no channel and no device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use cpal::{FromSample, SizedSample};
use rtrb::Consumer;
use silentmon_proto::time::Instant;

use crate::clock;
use crate::sink::length;

/// A frame at full scale ±1: left, right.
pub(super) type Frame = [f32; 2];

/// What the callbacks tell the thread that fills the ring.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Callbacks that began, and those that told what they did: where they differ one is at it.
    begun: AtomicU64,
    callbacks: AtomicU64,
    called_at: AtomicU64,
    longest: AtomicU32,
    missing: AtomicU64,
    taken: AtomicU64,
    origin: AtomicU64,
}

/// What the callbacks so far did, all of it of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    pub(super) callbacks: u64,
    /// When the newest began.
    pub(super) called_at: Instant,
    /// Longest callback in frames.
    pub(super) longest: u32,
    /// Frames that weren't there when the card wanted them.
    pub(super) missing: u64,
    /// Frames taken from the ring.
    pub(super) taken: u64,
    /// When the ring's very first frame would have been heard had the card played without a break since: frame n is heard n
    /// frames later.
    pub(super) origin: Instant,
}

impl Meter {
    /// What the callbacks did; `None` while one is at it.
    pub(super) fn read(&self) -> Option<Reading> {
        let callbacks = self.callbacks.load(Ordering::Acquire);
        let reading = Reading {
            callbacks,
            called_at: Instant::from_nanos(self.called_at.load(Ordering::Relaxed)),
            longest: self.longest.load(Ordering::Relaxed),
            missing: self.missing.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
            origin: Instant::from_nanos(self.origin.load(Ordering::Relaxed)),
        };
        fence(Ordering::Acquire);
        (self.begun.load(Ordering::Relaxed) == callbacks).then_some(reading)
    }
}

/// State of the callback.
pub(super) struct Callback {
    ring: Consumer<Frame>,
    meter: Arc<Meter>,
    channels: usize,
    sample_rate: u32,
    /// Frames taken from the ring so far.
    taken: u64,
}

impl Callback {
    pub(super) fn new(ring: Consumer<Frame>, meter: Arc<Meter>, channels: u16, sample_rate: u32) -> Self {
        Self {
            ring,
            meter,
            channels: usize::from(channels).max(1),
            sample_rate,
            taken: 0,
        }
    }

    /// Fills `out`, which begins to play `delay` after now. Before the ring held its first frame there is silence, and
    /// nothing is missing: the card starts on its own.
    pub(super) fn play<T: SizedSample + FromSample<f32>>(&mut self, out: &mut [T], delay: Duration) {
        let now = clock::now();
        self.meter.begun.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        let wanted = out.len() / self.channels;
        let ready = self.ring.slots().min(wanted);
        let frames = self.ring.read_chunk(ready).ok().into_iter().flatten();
        let silence = std::iter::repeat([0.0; 2]);
        for (target, frame) in out.chunks_mut(self.channels).zip(frames.chain(silence)) {
            place(frame, target);
        }
        self.tell(now, delay, wanted, ready);
    }

    fn tell(&mut self, now: Instant, delay: Duration, wanted: usize, ready: usize) {
        let meter = &self.meter;
        let origin = (now + delay).saturating_back(length(self.taken, self.sample_rate));
        meter.origin.store(origin.as_nanos(), Ordering::Relaxed);
        self.taken += ready as u64;
        meter.taken.store(self.taken, Ordering::Relaxed);
        if self.taken > 0 {
            meter.missing.fetch_add((wanted - ready) as u64, Ordering::Relaxed);
        }
        meter.called_at.store(now.as_nanos(), Ordering::Relaxed);
        let frames = u32::try_from(wanted).unwrap_or(u32::MAX);
        meter.longest.fetch_max(frames, Ordering::Relaxed);
        meter.callbacks.fetch_add(1, Ordering::Release);
    }
}

/// Left and right to the first two channels, or both to the only one.
fn place<T: SizedSample + FromSample<f32>>([left, right]: Frame, target: &mut [T]) {
    match target {
        [only] => *only = T::from_sample((left + right).clamp(-1.0, 1.0)),
        [first, second, others @ ..] => {
            *first = T::from_sample(left);
            *second = T::from_sample(right);
            others.fill(T::EQUILIBRIUM);
        }
        [] => {}
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use rtrb::{Producer, RingBuffer};

    use super::*;
    use crate::counting::allocations;

    fn callback(channels: u16, ring: usize) -> (Producer<Frame>, Callback, Arc<Meter>) {
        let (producer, consumer) = RingBuffer::new(ring);
        let meter = Arc::new(Meter::default());
        let callback = Callback::new(consumer, meter.clone(), channels, 8000);
        (producer, callback, meter)
    }

    #[test]
    fn a_callback_that_finds_too_little_plays_silence_and_counts() {
        let (mut producer, mut callback, meter) = callback(3, 8);
        producer.push([0.5, -0.5]).expect("room");
        let mut out = [1_i16; 9];
        callback.play(&mut out, Duration::ZERO);
        assert_eq!(out, [16384, -16384, 0, 0, 0, 0, 0, 0, 0]);
        let reading = meter.read().expect("no callback is at it");
        assert_eq!((reading.missing, reading.longest, reading.taken), (2, 3, 1));
        assert_eq!(reading.callbacks, 1);
    }

    #[test]
    fn nothing_is_missing_before_the_first_frame_came() {
        let (mut producer, mut callback, meter) = callback(2, 8);
        let mut out = [1_i16; 8];
        callback.play(&mut out, Duration::ZERO);
        assert_eq!(out, [0; 8]);
        assert_eq!(meter.read().expect("read").missing, 0);
        producer.push([0.5, 0.5]).expect("room");
        callback.play(&mut out, Duration::ZERO);
        assert_eq!(meter.read().expect("read").missing, 3);
    }

    #[test]
    fn nothing_is_read_while_a_callback_is_at_it() {
        let meter = Meter::default();
        assert!(meter.read().is_some());
        meter.begun.store(1, Ordering::Relaxed);
        assert!(meter.read().is_none());
        meter.callbacks.store(1, Ordering::Relaxed);
        assert!(meter.read().is_some());
    }

    #[test]
    fn a_mono_card_gets_both_legs_within_full_scale() {
        let mut out = [0_i16; 1];
        place([0.25, 0.25], &mut out);
        assert_eq!(out, [16384]);
        place([0.9, 0.9], &mut out);
        assert_eq!(out, [i16::MAX]);
    }

    #[test]
    fn the_origin_says_when_each_frame_is_heard() {
        let (mut producer, mut callback, meter) = callback(2, 800);
        for _ in 0..800 {
            producer.push([0.1, 0.1]).expect("room");
        }
        let delay = Duration::from_secs(1);
        let before = clock::now();
        // Ten callbacks of 10 ms in no time: as if the card had run ahead by 90 ms.
        for _ in 0..10 {
            callback.play(&mut [0_f32; 160], delay);
        }
        let origin = meter.read().expect("read").origin;
        let behind = (before + delay).saturating_since(origin);
        assert!(behind <= Duration::from_millis(90), "{behind:?}");
        assert!(behind > Duration::from_millis(60), "{behind:?}");
    }

    #[test]
    fn a_callback_allocates_nothing_whatever_it_finds() {
        clock::now();
        let (mut producer, mut callback, _) = callback(2, 960);
        let (mut words, mut floats) = ([0_i16; 960], [0_f32; 960]);
        for ready in [0, 480, 960, 100] {
            for _ in 0..ready {
                producer.push([0.1, 0.2]).expect("room");
            }
            let before = allocations();
            callback.play(black_box(&mut words), Duration::from_millis(10));
            callback.play(black_box(&mut floats), Duration::from_millis(10));
            assert_eq!(allocations() - before, 0, "{ready}");
        }
    }

    #[test]
    fn the_counting_allocator_counts() {
        let before = allocations();
        drop(black_box(Box::new(7_u64)));
        assert_eq!(allocations() - before, 2);
    }
}
