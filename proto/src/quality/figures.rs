//! What is shown of a leg's quality: rates, bursts, jitter, and the E-model's verdict on them.

use std::time::Duration;

use serde::Serialize;

use super::burst::LossCounts;
use super::e_model::{Concealment, Impairment, Verdict};
use crate::codec::Codec;

/// The quality of one leg, in the call or of our copy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Packets that never came, in percent.
    pub loss_percent: f64,
    /// Packets that came too late to be played, in percent.
    pub discard_percent: f64,
    /// How the missing packets bunch (RFC 3611 section 4.7.2).
    #[serde(flatten)]
    pub bursts: BurstFigures,
    /// Mean interarrival jitter (RFC 3550 section 6.4.1) in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Transmission rating R (ITU-T G.107; for wideband codecs G.107.1, up to 129).
    pub r: Option<f64>,
    /// Estimated mean opinion score of a listener, 1 to 4.5.
    pub mos: Option<f64>,
    /// The same in a word; absent where the codec can't be rated.
    pub verdict: Option<Verdict>,
}

/// Bursts and gaps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BurstFigures {
    /// Share of packets missing within bursts, in percent.
    pub burst_density_percent: f64,
    /// Share of packets missing between bursts, in percent.
    pub gap_density_percent: f64,
    /// Mean length of a burst in milliseconds.
    pub burst_ms: u64,
    /// Mean length of a gap in milliseconds.
    pub gap_ms: u64,
    /// BurstR: mean run of missing packets, over that of random loss.
    pub burst_ratio: f64,
}

/// Rounded to so many places of ten: figures are read by people.
fn rounded(value: f64, places: f64) -> f64 {
    (value * places).round() / places
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of floats saturates, and lengths aren't negative"
)]
fn milliseconds(packets: f64, packet_time: Duration) -> u64 {
    (packets * packet_time.as_secs_f64() * 1e3).round() as u64
}

impl Figures {
    /// From what became of a leg's packets, each of which holds `packet_time` of sound.
    pub fn of(
        counts: &LossCounts,
        codec: Option<Codec>,
        concealment: Concealment,
        packet_time: Duration,
        jitter: Option<Duration>,
    ) -> Self {
        let loss = counts.packet_loss();
        let impairment = codec.and_then(|codec| Impairment::of(codec, concealment));
        let rating = impairment
            .filter(|_| counts.packets > 0)
            .map(|impairment| impairment.rate(loss));
        Self {
            loss_percent: rounded(counts.loss_rate() * 100.0, 100.0),
            discard_percent: rounded(counts.discard_rate() * 100.0, 100.0),
            bursts: BurstFigures {
                burst_density_percent: rounded(counts.burst_density() * 100.0, 10.0),
                gap_density_percent: rounded(counts.gap_density() * 100.0, 10.0),
                burst_ms: milliseconds(counts.burst_length(), packet_time),
                gap_ms: milliseconds(counts.gap_length(), packet_time),
                burst_ratio: rounded(loss.burst_ratio, 100.0),
            },
            jitter_ms: jitter.map(|jitter| rounded(jitter.as_secs_f64() * 1e3, 10.0)),
            r: rating.map(|rating| rounded(rating.r, 10.0)),
            mos: rating.map(|rating| rounded(rating.mos(), 100.0)),
            verdict: rating.map(super::e_model::Rating::verdict),
        }
    }

    /// For people: `good (0.1 % loss, 12 ms jitter, MOS 4.3)`.
    pub fn words(&self) -> String {
        let missing = self.loss_percent + self.discard_percent;
        let jitter = self.jitter_ms.map(|jitter| format!(", {jitter:.0} ms jitter"));
        let mos = self.mos.map(|mos| format!(", MOS {mos:.1}"));
        let verdict = self.verdict.map_or("not rated", Verdict::word);
        format!(
            "{verdict} ({missing:.1} % loss{}{})",
            jitter.unwrap_or_default(),
            mos.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::BurstMeter;

    fn figures(codec: Option<Codec>) -> Figures {
        let mut meter = BurstMeter::default();
        for at in 0..1000 {
            if at == 500 { meter.lost() } else { meter.received() }
        }
        let jitter = Some(Duration::from_micros(11_960));
        let (concealment, packet_time) = (Concealment::Concealed, Duration::from_millis(20));
        Figures::of(&meter.counts(), codec, concealment, packet_time, jitter)
    }

    #[test]
    fn a_leg_is_told_in_one_line() {
        assert_eq!(
            figures(Some(Codec::Pcma)).words(),
            "good (0.1 % loss, 12 ms jitter, MOS 4.4)"
        );
        assert_eq!(figures(None).words(), "not rated (0.1 % loss, 12 ms jitter)");
    }

    #[test]
    fn json_holds_the_figures_side_by_side() {
        let json = serde_json::to_value(figures(Some(Codec::Pcma))).expect("is JSON");
        let expected = serde_json::json!({
            "loss_percent": 0.1, "discard_percent": 0.0, "burst_density_percent": 0.0, "gap_density_percent": 0.1,
            "burst_ms": 0, "gap_ms": 20_000, "burst_ratio": 1.0, "jitter_ms": 12.0, "r": 92.8, "mos": 4.4,
            "verdict": "good",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn nothing_heard_is_not_rated() {
        let (concealment, packet_time) = (Concealment::Concealed, Duration::from_millis(20));
        let none = Figures::of(
            &LossCounts::default(),
            Some(Codec::Pcma),
            concealment,
            packet_time,
            None,
        );
        assert_eq!((none.r, none.mos, none.verdict), (None, None, None));
    }
}
