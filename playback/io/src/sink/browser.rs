//! Sound for browsers: frames at the pace of the system's clock, to as many browsers as listen, or to none. A browser
//! that doesn't keep up loses frames, which are counted, and goes on with the newest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use silentmon_playback_core::player::to_i16;
use silentmon_proto::time::Instant;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::feeder::Feeder;
use super::paced::{self, Pace, PaceRate, Tick};
use super::{Output, SharedPlayer, SinkError, SinkEvent};

/// Bytes before the samples of a frame.
pub const HEADER: usize = 16;
/// Frames per second: what browsers' cards run at, so that they convert nothing.
const SAMPLE_RATE: u32 = 48_000;
/// Frames that wait for a browser: about a third of a second.
const QUEUE: usize = 32;

/// Where browsers get their sound: made once for a service, handed to its outputs and to whoever serves browsers.
///
/// A frame is 10 ms: sequence number (32 bit), frames per second (32 bit), time of its first sample (microseconds
/// since 1970, 64 bit), then 16-bit samples, agent and customer in turn; everything little-endian.
#[derive(Debug, Clone)]
pub struct BrowserSound {
    frames: broadcast::Sender<Bytes>,
    dropped: Arc<AtomicU64>,
}

/// The sound of one browser.
#[derive(Debug)]
pub struct BrowserFrames {
    frames: broadcast::Receiver<Bytes>,
    dropped: Arc<AtomicU64>,
}

impl Default for BrowserSound {
    fn default() -> Self {
        Self {
            frames: broadcast::Sender::new(QUEUE),
            dropped: Arc::default(),
        }
    }
}

impl BrowserSound {
    /// Frames for one more browser, from now on.
    pub fn attach(&self) -> BrowserFrames {
        BrowserFrames {
            frames: self.frames.subscribe(),
            dropped: Arc::clone(&self.dropped),
        }
    }

    /// Browsers that listen now.
    pub fn browsers(&self) -> usize {
        self.frames.receiver_count()
    }

    /// Frames that browsers lost because they didn't keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn send(&self, sequence: u32, tick: &Tick<'_>) {
        if self.browsers() > 0 {
            // All of them may have gone away since.
            let _ = self.frames.send(frame(sequence, tick));
        }
    }
}

impl BrowserFrames {
    /// Waits for the next frame; `None` once the service ends. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.frames.recv().await {
                Ok(frame) => return Some(frame),
                Err(RecvError::Lagged(missed)) => {
                    let left = self.frames.len() as u64;
                    self.dropped.fetch_add(missed + left, Ordering::Relaxed);
                    self.frames = self.frames.resubscribe();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Starts to pull the player for the browsers.
pub(super) fn start(
    sound: BrowserSound,
    player: SharedPlayer,
    events: mpsc::Sender<SinkEvent>,
) -> Result<Feeder, SinkError> {
    let mut sequence = 0_u32;
    Feeder::start(move |stopping| {
        paced::opened(&Output::Browser, SAMPLE_RATE, &events);
        paced::run(
            Pace::new(player, PaceRate::Fixed(SAMPLE_RATE)),
            &stopping,
            &events,
            |tick| {
                sound.send(sequence, &tick);
                sequence = sequence.wrapping_add(1);
                Ok(())
            },
        )
    })
}

fn frame(sequence: u32, tick: &Tick<'_>) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER + tick.frames.len() * 4);
    frame.put_u32_le(sequence);
    frame.put_u32_le(tick.sample_rate);
    frame.put_u64_le(micros(tick.at));
    for sample in tick.frames.iter().flatten() {
        frame.put_i16_le(to_i16(*sample));
    }
    frame.freeze()
}

const fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(frames: &[[f32; 2]]) -> Tick<'_> {
        Tick {
            at: Instant::from_nanos(5_000_000),
            sample_rate: 8000,
            frames,
        }
    }

    #[test]
    fn a_frame_is_as_documented() {
        let frame = frame(7, &tick(&[[0.5, -1.0]]));
        let expected = [
            7, 0, 0, 0, 0x40, 0x1f, 0, 0, 0x88, 0x13, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0x80,
        ];
        assert_eq!(frame[..], expected);
    }

    #[tokio::test]
    async fn every_browser_gets_the_frames_since_it_came() {
        let sound = BrowserSound::default();
        let mut first = sound.attach();
        sound.send(1, &tick(&[]));
        let mut second = sound.attach();
        sound.send(2, &tick(&[]));
        assert_eq!(sound.browsers(), 2);
        assert_eq!(first.next().await.expect("sent")[0], 1);
        assert_eq!(first.next().await.expect("sent")[0], 2);
        assert_eq!(second.next().await.expect("sent")[0], 2);
        drop(first);
        assert_eq!(sound.browsers(), 1);
        drop(sound);
        assert_eq!(second.next().await, None);
    }

    #[tokio::test]
    async fn a_browser_that_lags_loses_frames_which_are_counted_and_hears_the_newest() {
        let sound = BrowserSound::default();
        let mut slow = sound.attach();
        for sequence in 0..100 {
            sound.send(sequence, &tick(&[]));
        }
        // Nothing old is left: the next frame is the one sent from now on.
        let next = tokio::join!(slow.next(), async { sound.send(100, &tick(&[])) }).0;
        assert_eq!(next.expect("sent")[0], 100);
        assert_eq!(sound.dropped(), 100);
    }
}
