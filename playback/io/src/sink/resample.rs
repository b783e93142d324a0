//! From 8 kHz to the card's rate: rubato's septic polynomial, 0.5 ms of delay, transparent at these rates.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, PolynomialDegree, Resampler};
use silentmon_playback_core::player::SAMPLE_RATE;

/// Frames taken at once: 10 ms.
pub(super) const TICK: usize = 80;

/// Turns ticks of 8 kHz into frames of the card's rate.
pub(super) struct RateConverter {
    /// `None` where the card runs at 8 kHz: samples then stay as they are.
    resampler: Option<Async<f32>>,
    output: Vec<f32>,
}

impl RateConverter {
    /// For a card of so many frames per second.
    pub(super) fn new(card_rate: u32) -> Result<Self, String> {
        if card_rate == SAMPLE_RATE {
            return Ok(Self {
                resampler: None,
                output: Vec::new(),
            });
        }
        let ratio = f64::from(card_rate) / f64::from(SAMPLE_RATE);
        let resampler = Async::new_poly(ratio, 1.0, PolynomialDegree::Septic, TICK, 2, FixedAsync::Input)
            .map_err(|error| format!("can't convert to {card_rate} Hz: {error}"))?;
        let output = vec![0.0; resampler.output_frames_max() * 2];
        Ok(Self {
            resampler: Some(resampler),
            output,
        })
    }

    /// Converts a tick; full scale is ±1, channels are interleaved.
    pub(super) fn convert<'a>(&'a mut self, tick: &'a [[f32; 2]; TICK]) -> Result<&'a [f32], String> {
        let Some(resampler) = &mut self.resampler else {
            return Ok(tick.as_flattened());
        };
        let room = self.output.len() / 2;
        let input = InterleavedSlice::new(tick.as_flattened(), 2, TICK).map_err(|error| error.to_string())?;
        let mut output = InterleavedSlice::new_mut(&mut self.output, 2, room).map_err(|error| error.to_string())?;
        let (_, frames) = resampler
            .process_into_buffer(&input, &mut output, None)
            .map_err(|error| error.to_string())?;
        Ok(self.output.get(..frames * 2).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "16,000 at most")]
    fn tone(n: usize) -> f32 {
        ((n as f64 * TAU * 440.0 / 8000.0).sin() * 0.488) as f32
    }

    #[test]
    fn a_card_of_8_khz_gets_the_samples_as_they_are() {
        let mut resample = RateConverter::new(8000).expect("a rate");
        let mut tick = [[0.0; 2]; TICK];
        tick[3] = [-1.0, 0.5];
        let converted = resample.convert(&tick).expect("converts");
        assert_eq!(converted.len(), 2 * TICK);
        assert_eq!(converted[6..8], [-1.0, 0.5]);
    }

    #[test]
    fn a_tone_stays_a_tone_at_every_usual_rate() {
        for rate in [11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
            let mut resample = RateConverter::new(rate).expect("a rate");
            let mut left = Vec::new();
            for tick in 0..100 {
                let samples = std::array::from_fn(|n| [tone(tick * TICK + n), 0.0]);
                let converted = resample.convert(&samples).expect("converts");
                left.extend(converted.chunks_exact(2).map(|frame| {
                    assert!(frame[1].abs() < 1e-6);
                    f64::from(frame[0])
                }));
            }
            let expected = f64::from(rate);
            // The interpolation holds back some samples of the input.
            let held_back = expected / 8000.0 * 8.0;
            assert!(
                (expected - left.len() as f64).abs() <= held_back,
                "{rate}: {}",
                left.len()
            );
            // A least-squares fit of the tone leaves next to nothing.
            let steady = &left[left.len() / 10..];
            let angle = |n: usize| n as f64 * TAU * 440.0 / f64::from(rate);
            let project = |wave: &dyn Fn(f64) -> f64| -> f64 {
                let sum: f64 = steady.iter().enumerate().map(|(n, x)| x * wave(angle(n))).sum();
                2.0 * sum / steady.len() as f64
            };
            let (sine, cosine) = (project(&f64::sin), project(&f64::cos));
            let residue: f64 = steady
                .iter()
                .enumerate()
                .map(|(n, x)| (x - sine * angle(n).sin() - cosine * angle(n).cos()).powi(2))
                .sum();
            let ratio = (residue / steady.len() as f64).sqrt() / 0.488;
            assert!(ratio < 0.005, "{rate}: residue {ratio}");
        }
    }
}
