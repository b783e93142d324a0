//! What a listener would say of a narrow-band connection: mean opinion score by the E-model (ITU-T G.107).
//!
//! Simplified to what a monitor can know: R = 93.2 - Id - Ie,eff, all other parameters at their defaults (G.107 table 2;
//! 93.2 with A = 0). Id is the usual two-line fit of G.107's delay curve. G.711 has Ie = 0 (G.113 appendix I).

use std::time::Duration;

/// R with every parameter at its default (G.107 section 7.7).
const BASE: f64 = 93.2;

/// What fills the gaps: how robust the codec is against loss (Bpl of G.113 table I.4, for G.711).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concealment {
    /// Gaps are silent: Bpl 4.3.
    None,
    /// Gaps are concealed as by G.711 appendix I: Bpl 25.1.
    Concealed,
}

/// Transmission rating R of G.711, 0 to 93.2. `loss` is the share of packets lost at random, 0 to 1; `one_way_delay` from
/// mouth to ear (zero where only the sound, not the conversation, is judged).
pub fn rating(loss: f64, one_way_delay: Duration, concealment: Concealment) -> f64 {
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let robustness = match concealment {
        Concealment::None => 4.3,
        Concealment::Concealed => 25.1,
    };
    let equipment = 95.0 * percent / (percent + robustness);
    (BASE - delay_impairment(one_way_delay) - equipment).max(0.0)
}

fn delay_impairment(one_way_delay: Duration) -> f64 {
    let milliseconds = one_way_delay.as_secs_f64() * 1e3;
    0.024 * milliseconds + 0.11 * (milliseconds - 177.3).max(0.0)
}

/// Mean opinion score of G.711, 1 to 4.41 (G.107 annex B).
pub fn mos(loss: f64, one_way_delay: Duration, concealment: Concealment) -> f64 {
    let r = rating(loss, one_way_delay, concealment);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 0.01, "{actual} instead of {expected}");
    }

    #[test]
    fn an_undamaged_call_scores_as_the_recommendation_says() {
        close(mos(0.0, Duration::ZERO, Concealment::None), 4.41);
        close(rating(0.0, Duration::from_millis(100), Concealment::None), 90.8);
    }

    #[test]
    fn loss_costs_more_without_concealment() {
        close(rating(0.05, Duration::ZERO, Concealment::Concealed), 77.42);
        close(rating(0.05, Duration::ZERO, Concealment::None), 42.12);
    }

    #[test]
    fn the_score_stays_between_1_and_4_5_whatever_happens() {
        for loss in [-1.0, 0.3, 2.0] {
            for delay in [0, 400, 60_000] {
                let score = mos(loss, Duration::from_millis(delay), Concealment::None);
                assert!((1.0..=4.5).contains(&score), "{loss} {delay} {score}");
            }
        }
    }

    #[test]
    fn delay_beyond_177_ms_hurts_more() {
        let at = |ms| rating(0.0, Duration::from_millis(ms), Concealment::None);
        assert!(at(177) - at(277) > 2.0 * (at(77) - at(177)));
    }
}
