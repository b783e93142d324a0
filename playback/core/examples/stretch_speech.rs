//! What the change of the time scale costs in quality: leaves a stretch out and says one again as soon as it can, so that
//! the sound stays in time with the original and can be compared with it.
//!
//! `stretch_speech REFERENCE REST_MS OUT`: REFERENCE is signed 16 bit little endian at 8000 samples per second; between two
//! such pairs REST_MS are played as they are. Where no place is good, 5 ms are played and it is tried again. Writes what
//! was played to OUT.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "an example may read and write files"
)]

use std::error::Error;

use silentmon_playback_core::stretch::Stretcher;

const TICK: usize = 40;
/// What is too short to be said again: 2.5 ms.
const LEAST: usize = 20;
/// What the stretcher is shown of the past and of what waits: 40 ms.
const SHOWN: usize = 320;
const FULL_SCALE: f32 = 32768.0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, reference, rest, out] = &arguments[..] else {
        return Err("usage: stretch_speech REFERENCE REST_MS OUT".into());
    };
    let rest = rest.parse::<usize>()? * 8;
    let speech: Vec<f32> = std::fs::read(reference)?
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&sample| f32::from(i16::from_le_bytes(sample)) / FULL_SCALE)
        .collect();
    let played = play(&speech, rest);
    std::fs::write(out, samples(&played))?;
    Ok(())
}

fn play(speech: &[f32], rest: usize) -> Vec<f32> {
    let stretcher = Stretcher::new(8000);
    let mut played: Vec<f32> = Vec::with_capacity(speech.len() + SHOWN);
    let mut room = [0.0; SHOWN];
    let (mut at, mut rested) = (0, 0);
    let (mut changes, mut moved) = (0_usize, 0);
    while let Some(input) = speech.get(at..at + SHOWN) {
        let short = at.saturating_sub(played.len());
        let scaled = if short >= LEAST {
            stretcher.lengthen(&played[played.len() - SHOWN..], input, short, &mut room)
        } else if rested >= rest && played.len() >= SHOWN {
            stretcher.shorten(input, SHOWN, &mut room)
        } else {
            None
        };
        let Some(scaled) = scaled else {
            played.extend(&input[..TICK]);
            at += TICK;
            rested += TICK;
            continue;
        };
        played.extend(&room[..scaled.written]);
        at += scaled.consumed;
        moved += scaled.consumed.abs_diff(scaled.written);
        changes += 1;
        rested = 0;
    }
    let mean = moved as f64 / 8.0 / changes.max(1) as f64;
    let share = moved as f64 * 100.0 / played.len().max(1) as f64;
    eprintln!("{changes} changes of {mean:.1} ms, {share:.1} % of the time");
    played.extend(&speech[at..]);
    played.resize(speech.len(), 0.0);
    played
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to 16 bits")]
fn samples(played: &[f32]) -> Vec<u8> {
    let whole = |sample: &f32| (sample * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1.0) as i16;
    played.iter().flat_map(|sample| whole(sample).to_le_bytes()).collect()
}
