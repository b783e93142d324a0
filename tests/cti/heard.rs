//! What was heard: which tone, from when to when.

use std::path::Path;

use super::common::wav_channels;
use super::media::{RATE, Tone};

const FRAME: usize = 160;
/// A stretch shorter than this is the edge of another.
const SHORTEST_S: f64 = 0.1;

/// A stretch of one tone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    pub tone: Tone,
    pub from: f64,
    pub seconds: f64,
}

/// The stretches of each channel of a WAV file: agent, customer. Silence of less than a tenth of a second ends none.
pub fn stretches(wav: &Path, tones: &[Tone]) -> Vec<Vec<Stretch>> {
    wav_channels(wav)
        .iter()
        .map(|channel| of_channel(channel, tones))
        .collect()
}

fn of_channel(samples: &[i16], tones: &[Tone]) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (index, frame) in samples.chunks_exact(FRAME).enumerate() {
        let from = (index * FRAME) as f64 / f64::from(RATE);
        let seconds = FRAME as f64 / f64::from(RATE);
        let Some(tone) = loudest(frame, tones) else { continue };
        match found.last_mut() {
            Some(last) if last.tone == tone && from - last.from - last.seconds < SHORTEST_S => {
                last.seconds = from + seconds - last.from;
            }
            _ => found.push(Stretch { tone, from, seconds }),
        }
    }
    found.retain(|stretch| stretch.seconds >= SHORTEST_S);
    found
}

/// The tone of a frame, by Goertzel's filter; none where it is quiet.
fn loudest(frame: &[i16], tones: &[Tone]) -> Option<Tone> {
    let loud = frame.iter().filter(|sample| sample.unsigned_abs() > 1000).count();
    if loud < FRAME / 4 {
        return None;
    }
    let power = |tone: Tone| {
        let step = 2.0 * (std::f64::consts::TAU * f64::from(tone) / f64::from(RATE)).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for sample in frame {
            (before, last) = (last, f64::from(*sample) + step * last - before);
        }
        last * last + before * before - step * last * before
    };
    tones.iter().copied().max_by(|a, b| power(*a).total_cmp(&power(*b)))
}

/// That exactly these tones were heard in this order, for so long each (give or take `slack` seconds).
pub fn assert_heard(found: &[Stretch], expected: &[(Tone, f64)], slack: f64) {
    let tones = |stretches: &[Stretch]| stretches.iter().map(|stretch| stretch.tone).collect::<Vec<_>>();
    let wanted: Vec<_> = expected.iter().map(|(tone, _)| *tone).collect();
    assert_eq!(tones(found), wanted, "{found:?}");
    for (stretch, (_, seconds)) in found.iter().zip(expected) {
        assert!(
            (stretch.seconds - seconds).abs() <= slack,
            "{stretch:?}, expected {seconds} s"
        );
    }
}
