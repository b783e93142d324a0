//! Concealment alone: a perfect jitter buffer, packets lost by a mask, and a playout delay after which nothing is waited for.
//!
//! `conceal_masks REFERENCE [MASK PTIME_SAMPLES DELAY_SAMPLES OUT]...`: REFERENCE is what the receiver would have decoded,
//! signed 16 bit little endian at 8000 samples per second; MASK has a byte for each packet, 0 where it was lost. A packet
//! is known from the moment its first sample would be captured, plus the delay; ticks are 5 ms. Writes what was played to
//! OUT, and to standard error what a concealed tick cost.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "an example may read files and a clock"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use silentmon_playback_core::conceal::{Concealer, Future};

const TICK: usize = 40;
const FULL_SCALE: f32 = 32768.0;

struct Job {
    mask: Vec<u8>,
    ptime: usize,
    delay: usize,
}

#[derive(Default)]
struct Cost {
    ticks: u32,
    total: Duration,
    most: Duration,
}

impl Job {
    /// What is known at `at` of the sound after the gap.
    fn future<'a>(&self, at: usize, reference: &'a [f32]) -> Option<Future<'a>> {
        let come = self.mask.len().min((at + self.delay) / self.ptime + 1);
        let first = (at / self.ptime + 1..come).find(|&packet| self.mask[packet] != 0)?;
        let end = (first..come).find(|&packet| self.mask[packet] == 0).unwrap_or(come);
        Some(Future {
            after: first * self.ptime - at,
            samples: &reference[first * self.ptime..end * self.ptime],
        })
    }

    fn play(&self, reference: &[f32], cost: &mut Cost) -> Vec<f32> {
        let mut concealer = Concealer::new(8000);
        let mut played = reference.to_vec();
        let mut gap = false;
        let end = reference.len().min(self.mask.len() * self.ptime) / TICK * TICK;
        for at in (0..end).step_by(TICK) {
            let out = &mut played[at..at + TICK];
            let lost = self.mask[at / self.ptime] == 0;
            match (lost, gap) {
                (false, false) => concealer.heard(out),
                (false, true) => concealer.resume(out),
                (true, _) => {
                    let begin = Instant::now();
                    concealer.conceal(self.future(at, reference), out);
                    let took = begin.elapsed();
                    cost.ticks += 1;
                    cost.total += took;
                    cost.most = cost.most.max(took);
                }
            }
            gap = lost;
        }
        played
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, reference, jobs @ ..] = &arguments[..] else {
        return Err("usage: conceal_masks REFERENCE [MASK PTIME_SAMPLES DELAY_SAMPLES OUT]...".into());
    };
    let reference: Vec<f32> = std::fs::read(reference)?
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&sample| f32::from(i16::from_le_bytes(sample)) / FULL_SCALE)
        .collect();
    let mut cost = Cost::default();
    for job in jobs.as_chunks::<4>().0 {
        let [mask, ptime, delay, out] = job;
        let job = Job {
            mask: std::fs::read(mask)?,
            ptime: ptime.parse()?,
            delay: delay.parse()?,
        };
        std::fs::write(out, samples(&job.play(&reference, &mut cost)))?;
    }
    let mean = cost.total / cost.ticks.max(1);
    eprintln!(
        "{} ticks of 5 ms concealed, {mean:?} each, {:?} at most",
        cost.ticks, cost.most
    );
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to 16 bits")]
fn samples(played: &[f32]) -> Vec<u8> {
    let whole = |sample: &f32| (sample * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1.0) as i16;
    played.iter().flat_map(|sample| whole(sample).to_le_bytes()).collect()
}
