//! The E-model (ITU-T G.107 (06/2015), wideband G.107.1 (06/2015)) as far as a monitor can know its inputs: the codec, the
//! packets lost, how they bunch, and, where it is asked for, the delay. All other parameters stay at their defaults
//! (G.107 table 3), with which R is 93.2; on the wideband scale it is 129.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::Codec;

/// R of a narrowband connection with every parameter at its default (G.107 clause 7.7).
const NARROWBAND: f64 = 93.2;
/// R of a wideband connection with every parameter at its default (G.107.1 clause 7.7).
const WIDEBAND: f64 = 129.0;
/// Ie,eff where every packet is lost (G.107 equation 7-29).
const WORST_EQUIPMENT: f64 = 95.0;
/// Bpl from which on a codec's concealment is good enough for BurstR to mean anything (G.113 appendix I).
const ROBUST: f64 = 16.0;

/// Bpl of G.711 without concealment (G.113 table I.4).
const G711_BARE: f64 = 4.3;
/// Bpl of G.711 with the concealment of its appendix I (G.113 table I.4).
const G711_CONCEALED: f64 = 25.1;

/// The scale of a rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// G.107: up to 93.2.
    Narrowband,
    /// G.107.1: up to 129. A narrowband R and a wideband R are not comparable.
    Wideband,
}

/// What a decoder does with gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concealment {
    /// They are silent.
    None,
    /// They are filled from the sound around them.
    Concealed,
}

/// What a codec does to speech, without loss and under it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// The scale its figures belong to.
    pub scale: Scale,
    /// Equipment impairment factor without loss (Ie, or Ie,wb).
    pub equipment: f64,
    /// Packet-loss robustness factor (Bpl, or Bpl,wb).
    pub robustness: f64,
}

/// Lost packets, as the E-model takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PacketLoss {
    /// Ppl: packets lost or discarded, in percent.
    pub percent: f64,
    /// BurstR: mean length of the bursts, relative to that of random loss; 1 where loss is random.
    pub burst_ratio: f64,
}

impl PacketLoss {
    /// Nothing is lost.
    pub const NONE: Self = Self::random(0.0);

    /// Random loss of so many percent.
    pub const fn random(percent: f64) -> Self {
        Self {
            percent,
            burst_ratio: 1.0,
        }
    }
}

impl Impairment {
    /// The figures of a codec; `None` where there are none to go by.
    ///
    /// From G.113: G.711, G.729A and G.723.1 (table I.4; both with voice activity detection), GSM full rate's Ie (table
    /// I.1), G.722's Ie,wb at 64 kbit/s (table IV.1). Approximated, because no recommendation has a row for them:
    /// - Bpl of GSM full rate: that of enhanced full rate, which substitutes lost frames alike (10.0).
    /// - iLBC: Ie of G.729A; its packets stand alone, hence Bpl of concealed G.711.
    /// - Bpl,wb of G.722: that of G.711, whose concealment works on the decoded sound as well.
    /// - Opus: Ie,wb of AMR-WB at 23.85 kbit/s (8), Bpl of concealed G.711.
    /// - L16: no impairment; Bpl of G.711. Above 16 kHz it is rated as wideband.
    pub const fn of(codec: Codec, concealment: Concealment) -> Option<Self> {
        let waveform = match concealment {
            Concealment::None => G711_BARE,
            Concealment::Concealed => G711_CONCEALED,
        };
        let (scale, equipment, robustness) = match codec {
            Codec::Pcmu | Codec::Pcma | Codec::L16At8000 => (Scale::Narrowband, 0.0, waveform),
            Codec::G729 => (Scale::Narrowband, 11.0, 19.0),
            Codec::G723 => (Scale::Narrowband, 15.0, 16.1),
            Codec::Gsm => (Scale::Narrowband, 20.0, 10.0),
            Codec::Ilbc => (Scale::Narrowband, 11.0, 25.1),
            Codec::G722 => (Scale::Wideband, 13.0, waveform),
            Codec::Opus => (Scale::Wideband, 8.0, 25.1),
            Codec::L16At16000 | Codec::L16At44100 | Codec::L16At44100Stereo | Codec::L16At48000 => {
                (Scale::Wideband, 0.0, waveform)
            }
            Codec::G728 | Codec::Cn | Codec::TelephoneEvent | Codec::Unknown => return None,
        };
        Some(Self {
            scale,
            equipment,
            robustness,
        })
    }

    /// Ie,eff (G.107 equation 7-29): what the codec and the loss do together.
    pub fn effective(&self, loss: PacketLoss) -> f64 {
        let percent = loss.percent.clamp(0.0, 100.0);
        let burst_ratio = if self.robustness < ROBUST {
            1.0
        } else {
            loss.burst_ratio.max(1.0)
        };
        self.equipment + (WORST_EQUIPMENT - self.equipment) * percent / (percent / burst_ratio + self.robustness)
    }

    /// How good it sounds to a listener, who takes no part in the conversation: without delay.
    pub fn rate(&self, loss: PacketLoss) -> Rating {
        let best = match self.scale {
            Scale::Narrowband => NARROWBAND,
            Scale::Wideband => WIDEBAND,
        };
        Rating {
            scale: self.scale,
            r: (best - self.effective(loss)).max(0.0),
        }
    }
}

/// A transmission rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// The scale that `r` is on.
    pub scale: Scale,
    /// The rating factor R: 0 to 93.2, or to 129 on the wideband scale.
    pub r: f64,
}

impl Rating {
    /// The same for those who talk with each other over so long a way, from mouth to ear.
    #[must_use]
    pub fn with_delay(self, one_way: Duration) -> Self {
        Self {
            r: (self.r - delay_impairment(one_way)).max(0.0),
            ..self
        }
    }

    /// R as the MOS formula takes it: a wideband R is scaled back first (G.107.1 annex A).
    fn scaled(self) -> f64 {
        match self.scale {
            Scale::Narrowband => self.r,
            Scale::Wideband => self.r / 1.29,
        }
    }

    /// Estimated mean opinion score, 1 to 4.5 (G.107 equation B-4).
    pub fn mos(self) -> f64 {
        let r = self.scaled();
        if r >= 100.0 {
            return 4.5;
        }
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
    }

    /// In a word.
    pub fn verdict(self) -> Verdict {
        match self.scaled() {
            r if r >= 80.0 => Verdict::Good,
            r if r >= 70.0 => Verdict::Fair,
            r if r >= 60.0 => Verdict::Poor,
            _ => Verdict::Bad,
        }
    }
}

/// Quality in a word, by the categories of ITU-T G.109 table 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// R of 80 and more: "best" and "high", users are satisfied.
    Good,
    /// From 70: "medium", some users are dissatisfied.
    Fair,
    /// From 60: "low", many users are dissatisfied.
    Poor,
    /// Below 60: "poor", nearly all users are dissatisfied.
    Bad,
}

impl Verdict {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Bad => "bad",
        }
    }
}

/// Id beyond that of no delay (G.107 clause 7.4): what a delay from mouth to ear does to a conversation over phones whose
/// echo is controlled as G.107 assumes (TELR 65 dB, WEPL 110 dB). 0 for no delay.
pub fn delay_impairment(one_way: Duration) -> f64 {
    let milliseconds = one_way.as_secs_f64() * 1e3;
    talker_echo(milliseconds) + listener_echo(2.0 * milliseconds) - listener_echo(0.0) + absolute_delay(milliseconds)
}

/// Idte (G.107 equations 7-19 to 7-22, STMR at its default); `t` is the echo's one-way delay.
fn talker_echo(t: f64) -> f64 {
    /// Talker echo loudness rating, in dB.
    const TELR: f64 = 65.0;
    /// Roe with noise and loudness ratings at their defaults.
    const ROE: f64 = 94.77;
    if t < 1.0 {
        return 0.0;
    }
    let terv = TELR - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10() + 6.0 * (-0.3 * t * t).exp();
    let re = 80.0 + 2.5 * (terv - 14.0);
    let half = f64::midpoint(ROE, -re);
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
}

/// Idle (G.107 equations 7-25 and 7-26); `tr` is the round trip of the four-wire loop.
fn listener_echo(tr: f64) -> f64 {
    /// Weighted echo path loss, in dB.
    const WEPL: f64 = 110.0;
    /// Ro with every parameter at its default.
    const RO: f64 = 94.77;
    let rle = 10.5 * (WEPL + 7.0) * (tr + 1.0).powf(-0.25);
    let half = f64::midpoint(RO, -rle);
    half + (half * half + 169.0).sqrt()
}

/// Idd (G.107 equations 7-27 and 7-28) for users of whom nothing is known (sT 1, mT 100 ms).
fn absolute_delay(ta: f64) -> f64 {
    const LEAST_NOTICED: f64 = 100.0;
    if ta <= LEAST_NOTICED {
        return 0.0;
    }
    let x = (ta / LEAST_NOTICED).log2();
    let root = |value: f64| (1.0 + value.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(codec: Codec) -> Impairment {
        Impairment::of(codec, Concealment::Concealed).expect("has figures")
    }

    fn close(actual: f64, expected: f64, by: f64) {
        assert!((actual - expected).abs() <= by, "{actual} instead of {expected}");
    }

    /// G.107 clause 7.7 and annex B.
    #[test]
    fn an_undamaged_call_is_rated_as_the_recommendation_says() {
        let rating = of(Codec::Pcma).rate(PacketLoss::NONE);
        close(rating.r, 93.2, 1e-9);
        close(rating.mos(), 4.41, 0.005);
    }

    /// G.107 table B.1.
    #[test]
    fn ratings_become_the_scores_of_the_recommendations_table() {
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            let scale = Scale::Narrowband;
            close(Rating { scale, r }.mos(), mos, 0.01);
        }
    }

    /// What the formula stands for: the tables of G.113 appendix I before 2002 (loss in percent, Ie).
    #[test]
    fn loss_costs_what_was_measured_for_each_codec() {
        for (codec, percent, expected, by) in [
            (Codec::G729, 0.0, 11.0, 0.01),
            (Codec::G729, 2.0, 19.0, 0.5),
            (Codec::G729, 8.0, 36.0, 0.5),
            (Codec::G729, 16.0, 49.0, 0.5),
            (Codec::G723, 4.0, 32.0, 1.5),
            (Codec::G723, 16.0, 55.0, 1.0),
            (Codec::Pcmu, 2.0, 7.0, 0.1),
            (Codec::Pcmu, 10.0, 25.0, 2.2),
            (Codec::Pcmu, 20.0, 45.0, 3.0),
        ] {
            close(of(codec).effective(PacketLoss::random(percent)), expected, by);
        }
    }

    #[test]
    fn loss_costs_more_without_concealment() {
        let bare = Impairment::of(Codec::Pcmu, Concealment::None).expect("has figures");
        close(bare.rate(PacketLoss::random(5.0)).r, 42.12, 0.01);
        close(of(Codec::Pcmu).rate(PacketLoss::random(5.0)).r, 77.42, 0.01);
    }

    /// A two-state channel that loses 2 % with a probability of 0.49 to leave the bad state has BurstR 1 / (p + q) = 2.
    #[test]
    fn loss_in_bursts_costs_more_than_random_loss() {
        let bursts = PacketLoss {
            percent: 2.0,
            burst_ratio: 2.0,
        };
        close(of(Codec::Pcmu).effective(bursts), 7.28, 0.01);
        close(of(Codec::Pcmu).effective(PacketLoss::random(2.0)), 7.01, 0.01);
    }

    #[test]
    fn bursts_mean_nothing_to_a_codec_that_conceals_badly() {
        let bursts = PacketLoss {
            percent: 5.0,
            burst_ratio: 3.0,
        };
        close(
            of(Codec::Gsm).effective(bursts),
            of(Codec::Gsm).effective(PacketLoss::random(5.0)),
            0.0,
        );
    }

    /// G.107.1 annex A: R = 129 is R = 100 of the narrowband scale.
    #[test]
    fn wideband_codecs_are_rated_on_their_own_scale() {
        let linear = of(Codec::L16At16000).rate(PacketLoss::NONE);
        assert_eq!((linear.scale, linear.r), (Scale::Wideband, 129.0));
        close(linear.mos(), 4.5, 1e-9);
        let g722 = of(Codec::G722).rate(PacketLoss::NONE);
        close(g722.r, 116.0, 1e-9);
        close(g722.mos(), 4.34, 0.01);
    }

    /// G.107 with echo at its defaults (figure 2 of G.114 is drawn from it): 3.8 at 150 ms; mT is 100 ms.
    #[test]
    fn delay_costs_what_the_delay_curve_says() {
        close(delay_impairment(Duration::ZERO), 0.0, 1e-9);
        close(delay_impairment(Duration::from_millis(150)), 3.8, 0.15);
        close(absolute_delay(100.0), 0.0, 1e-9);
        assert!(absolute_delay(400.0) > 15.0);
        let conversation = of(Codec::Pcmu)
            .rate(PacketLoss::NONE)
            .with_delay(Duration::from_millis(150));
        close(conversation.r, 93.2 - 3.8, 0.15);
    }

    #[test]
    fn words_follow_the_categories_of_g_109() {
        for (r, word) in [
            (93.2, "good"),
            (80.0, "good"),
            (79.9, "fair"),
            (69.0, "poor"),
            (59.0, "bad"),
        ] {
            let scale = Scale::Narrowband;
            assert_eq!(Rating { scale, r }.verdict().word(), word, "{r}");
        }
    }

    proptest! {
        #[test]
        fn every_rating_is_within_its_scale_and_falls_with_loss(
            number in 0usize..Codec::ALL.len(), percent in -10.0..200.0f64, more in 0.0..50.0f64,
            burst_ratio in 0.0..20.0f64, delay in 0u64..100_000,
        ) {
            let Some(impairment) = Impairment::of(Codec::ALL[number], Concealment::Concealed) else {
                return Ok(());
            };
            let rating = impairment.rate(PacketLoss { percent, burst_ratio });
            let worse = impairment.rate(PacketLoss { percent: percent + more, burst_ratio });
            prop_assert!(worse.r <= rating.r);
            prop_assert!((0.0..=129.0).contains(&rating.r));
            prop_assert!((1.0..=4.5).contains(&rating.mos()));
            let delayed = rating.with_delay(Duration::from_millis(delay));
            prop_assert!(delayed.r <= rating.r + 1e-9 && delayed.r >= 0.0);
        }
    }
}
