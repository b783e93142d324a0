//! The card's callback: takes frames from a lock-free ring and says what it did in atomics. Where the thread that fills the
//! ring is late it pulls the player itself, if nobody is at it. Nothing here allocates, logs or waits for a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use cpal::{FromSample, SizedSample};
use rtrb::Consumer;
use silentmon_proto::time::Instant;

use super::supply::SharedSupply;
use crate::clock;
use crate::sink::feeder::try_lock;
use crate::sink::{SharedPlayer, length};

/// How long a callback looks again and again for frames that somebody is just pulling, where the ring has too little. The card
/// has sound for many times as long.
const PATIENCE: Duration = Duration::from_micros(500);

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
    supply: SharedSupply,
    player: SharedPlayer,
    meter: Arc<Meter>,
    channels: usize,
    sample_rate: u32,
    /// Frames taken from the ring so far.
    taken: u64,
}

impl Callback {
    pub(super) fn new(
        ring: Consumer<Frame>,
        (supply, player): (SharedSupply, SharedPlayer),
        meter: Arc<Meter>,
        channels: u16,
        sample_rate: u32,
    ) -> Self {
        Self {
            ring,
            supply,
            player,
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
        let origin = self.origin(now, delay);
        let wanted = out.len() / self.channels;
        while !self.try_gather(wanted, origin) && clock::now() <= now + PATIENCE {
            std::hint::spin_loop();
        }
        let ready = self.ring.slots().min(wanted);
        let frames = self.ring.read_chunk(ready).ok().into_iter().flatten();
        let silence = std::iter::repeat([0.0; 2]);
        for (target, frame) in out.chunks_mut(self.channels).zip(frames.chain(silence)) {
            place(frame, target);
        }
        self.tell(now, origin, wanted, ready);
    }

    /// Whether a callback whose sound begins to play `delay` after now would find as many frames as it wants; pulls those that
    /// the ring lacks, unless somebody else is pulling.
    pub(super) fn is_ready(&self, wanted: usize, delay: Duration) -> bool {
        self.try_gather(wanted, self.origin(clock::now(), delay))
    }

    /// When the ring's very first frame would have been heard, if the next one is heard `delay` after `now`.
    fn origin(&self, now: Instant, delay: Duration) -> Instant {
        (now + delay).saturating_back(length(self.taken, self.sample_rate))
    }

    /// Pulls those of the frames that are wanted which the ring lacks. False where somebody else is pulling.
    fn try_gather(&self, wanted: usize, origin: Instant) -> bool {
        loop {
            let ready = self.ring.slots();
            let is_begun = self.taken > 0 || ready > 0;
            if ready >= wanted || !is_begun {
                return true;
            }
            if !self.try_pull(origin) {
                return false;
            }
        }
    }

    fn try_pull(&self, origin: Instant) -> bool {
        let Some(mut supply) = try_lock(&self.supply) else {
            return false;
        };
        try_lock(&self.player).is_some_and(|mut player| supply.pull(&mut player, origin))
    }

    fn tell(&mut self, now: Instant, origin: Instant, wanted: usize, ready: usize) {
        let meter = &self.meter;
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
    use std::sync::Mutex;

    use rtrb::RingBuffer;
    use silentmon_playback_core::player::{Player, PlayoutSettings};
    use silentmon_proto::codec::Codec;
    use silentmon_proto::ids::Leg;
    use silentmon_proto::relay::{AudioHeader, AudioKind};

    use super::*;
    use crate::counting::allocations;
    use crate::sink::card::supply::Supply;
    use crate::sink::feeder::lock;

    /// A callback of a card of 8 kHz, and what it shares with the thread that feeds it.
    struct Card {
        supply: SharedSupply,
        player: SharedPlayer,
        meter: Arc<Meter>,
        callback: Callback,
    }

    impl Card {
        fn new(channels: u16, ring: usize) -> Self {
            let (producer, consumer) = RingBuffer::new(ring);
            let supply = Arc::new(Mutex::new(Supply::new(producer, 8000)));
            let player = Arc::new(Mutex::new(Player::new(PlayoutSettings::default())));
            let meter = Arc::new(Meter::default());
            let shared = (supply.clone(), player.clone());
            Self {
                callback: Callback::new(consumer, shared, meter.clone(), channels, 8000),
                supply,
                player,
                meter,
            }
        }

        /// As the feeding thread does.
        fn put(&self, frames: &[Frame]) {
            lock(&self.supply).put(frames);
        }

        fn reading(&self) -> Reading {
            self.meter.read().expect("no callback is at it")
        }

        /// Packets of 20 ms of a square wave, all at once.
        fn talk(&self, packets: u16) {
            let now = clock::now();
            for n in 0..packets {
                let mut rtp = vec![0x80, 0];
                rtp.extend_from_slice(&n.to_be_bytes());
                rtp.extend_from_slice(&(u32::from(n) * 160).to_be_bytes());
                rtp.extend_from_slice(&7_u32.to_be_bytes());
                rtp.extend((0..160).map(|sample| if sample % 16 < 8 { 0x10 } else { 0x90 }));
                let header = AudioHeader {
                    kind: AudioKind::Rtp,
                    leg: Leg::Agent,
                    again: false,
                    codec: Codec::Pcmu,
                    channel: 1,
                    relay_sequence: n.into(),
                    captured: now,
                };
                lock(&self.player).handle_packet(now, &header, &rtp);
            }
        }
    }

    #[test]
    fn a_callback_that_finds_too_little_while_the_player_is_held_plays_silence_and_counts() {
        let mut card = Card::new(3, 8);
        card.put(&[[0.5, -0.5]]);
        let player = card.player.clone();
        let held = lock(&player);
        let mut out = [1_i16; 9];
        card.callback.play(&mut out, Duration::ZERO);
        drop(held);
        assert_eq!(out, [16384, -16384, 0, 0, 0, 0, 0, 0, 0]);
        let reading = card.reading();
        assert_eq!((reading.missing, reading.longest, reading.taken), (2, 3, 1));
        assert_eq!(reading.callbacks, 1);
    }

    #[test]
    fn a_callback_stands_in_for_a_feeding_thread_that_sleeps() {
        let mut card = Card::new(2, 800);
        card.talk(20);
        card.put(&[[0.0; 2]]);
        let mut out = [0_i16; 160];
        let mut loudest = 0;
        for _ in 0..30 {
            card.callback.play(&mut out, Duration::from_millis(20));
            loudest = out.iter().copied().max().unwrap_or_default().max(loudest);
        }
        let reading = card.reading();
        assert_eq!((reading.missing, reading.taken), (0, 2400));
        assert!(loudest > 8000, "{loudest}");
        // What it pulled counts as pulled: up to a tick of 20 frames more than was taken.
        let frames = lock(&card.supply).frames();
        assert!((2400..2420).contains(&frames), "{frames}");
    }

    #[test]
    fn whether_a_callback_would_find_enough_is_known_before_it_plays() {
        let mut card = Card::new(2, 800);
        card.talk(20);
        assert!(
            card.callback.is_ready(80, Duration::ZERO),
            "before the first frame there is silence"
        );
        card.put(&[[0.25; 2]]);
        let player = card.player.clone();
        let held = lock(&player);
        assert!(!card.callback.is_ready(80, Duration::from_millis(20)));
        drop(held);
        assert!(card.callback.is_ready(80, Duration::from_millis(20)));
        assert_eq!(card.reading().callbacks, 0);
        card.callback.play(&mut [0_i16; 160], Duration::from_millis(20));
        assert_eq!((card.reading().missing, card.reading().taken), (0, 80));
    }

    #[test]
    fn a_callback_waits_for_whoever_is_just_filling_the_ring() {
        let mut card = Card::new(2, 800);
        card.put(&[[0.25; 2]]);
        let (supply, mut out) = (card.supply.clone(), [0_f32; 4]);
        let held = lock(&supply);
        let ready = std::thread::scope(|scope| {
            let callback = scope.spawn(|| {
                card.callback.play(&mut out, Duration::from_millis(20));
                card.callback.taken
            });
            drop(held);
            callback.join().expect("no panic")
        });
        // It may have run out of patience where this thread was taken off its core.
        assert!((1..=2).contains(&ready), "{ready}");
        assert_eq!(out[..2], [0.25; 2]);
    }

    #[test]
    fn nothing_is_missing_before_the_first_frame_came() {
        let mut card = Card::new(2, 8);
        let player = card.player.clone();
        let held = lock(&player);
        let mut out = [1_i16; 8];
        card.callback.play(&mut out, Duration::ZERO);
        assert_eq!(out, [0; 8]);
        assert_eq!(card.reading().missing, 0);
        card.put(&[[0.5, 0.5]]);
        card.callback.play(&mut out, Duration::ZERO);
        drop(held);
        assert_eq!(card.reading().missing, 3);
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
        let mut card = Card::new(2, 800);
        card.put(&[[0.1, 0.1]; 800]);
        let delay = Duration::from_secs(1);
        let before = clock::now();
        // Ten callbacks of 10 ms in no time: as if the card had run ahead by 90 ms.
        for _ in 0..10 {
            card.callback.play(&mut [0_f32; 160], delay);
        }
        let origin = card.reading().origin;
        let behind = (before + delay).saturating_since(origin);
        assert!(behind <= Duration::from_millis(90), "{behind:?}");
        assert!(behind > Duration::from_millis(60), "{behind:?}");
    }

    #[test]
    fn a_callback_allocates_nothing_whatever_it_finds() {
        clock::now();
        let mut card = Card::new(2, 960);
        card.talk(20);
        let (mut words, mut floats) = ([0_i16; 960], [0_f32; 960]);
        // Whether it pulls itself, all of it or a part, or finds the player held.
        for (ready, is_held) in [
            (0, false),
            (480, false),
            (960, true),
            (100, false),
            (0, false),
            (10, true),
        ] {
            card.put(&vec![[0.1, 0.2]; ready]);
            let player = card.player.clone();
            let held = is_held.then(|| lock(&player));
            let before = allocations();
            black_box(card.callback.is_ready(960, Duration::from_millis(10)));
            card.callback.play(black_box(&mut words), Duration::from_millis(10));
            card.callback.play(black_box(&mut floats), Duration::from_millis(10));
            assert_eq!(allocations() - before, 0, "{ready}");
            drop(held);
        }
    }

    #[test]
    fn the_counting_allocator_counts() {
        let before = allocations();
        drop(black_box(Box::new(7_u64)));
        assert_eq!(allocations() - before, 2);
    }
}
