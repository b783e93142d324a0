//! How long packets wait: three presets, and what may be set beside them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::player::SAMPLE_RATE;
use crate::quality::Concealment;

/// Most that a packet may wait, whatever is set.
pub const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// What matters more: little delay, or a sound without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// As little delay as possible. Rare late packets are concealed, and time is kept.
    Low,
    /// One packet more than the network needs, so that a gap of one packet is concealed from both sides.
    #[default]
    Balanced,
    /// Late packets are waited for, and gaps of several packets are concealed from both sides.
    Smooth,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Low, Self::Balanced, Self::Smooth];

    /// Its name on the command line and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Balanced => "balanced",
            Self::Smooth => "smooth",
        }
    }

    /// The preset of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    pub(crate) const fn policy(self) -> Policy {
        match self {
            Self::Low => Policy {
                // Below 19 of 20: where one packet in twenty is late it isn't waited for.
                quantile: 0.945,
                // Packets that are late together are lost together, and a long gap is heard more than as many short ones.
                quantile_in_bursts: 0.965,
                longest: 0.250,
                spike_share: 1.25,
                unhurried: 4.0,
                floor: 0.0,
                floor_in_packets: 0.0,
                longest_gap: 0.0,
            },
            Self::Balanced => Policy {
                quantile: 0.99,
                quantile_in_bursts: 0.99,
                longest: f64::INFINITY,
                spike_share: 1.5,
                unhurried: 8.0,
                floor: -0.004,
                floor_in_packets: 1.0,
                longest_gap: 0.0,
            },
            Self::Smooth => Policy {
                quantile: 0.9998,
                quantile_in_bursts: 0.9998,
                longest: f64::INFINITY,
                spike_share: 2.0,
                unhurried: 8.0,
                floor: 0.066,
                floor_in_packets: 0.0,
                longest_gap: 0.160,
            },
        }
    }
}

/// What a preset means to the target delay. Times in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Share of the packets that are to come in time.
    pub(crate) quantile: f64,
    /// The same where packets are late in bursts.
    pub(crate) quantile_in_bursts: f64,
    /// No packet is waited for longer than this, however many come later. Who talks into a call can't bear more: beyond
    /// 400 ms from mouth to ear, of which this is a part, nobody converses (ITU-T G.114).
    pub(crate) longest: f64,
    /// So many times the worst lateness of the last seconds is waited for, if it was ever needed.
    pub(crate) spike_share: f64,
    /// Too long a delay is made shorter in the pauses of speech alone for so long.
    pub(crate) unhurried: f64,
    /// The least delay: so long ...
    pub(crate) floor: f64,
    /// ... and so many packets.
    pub(crate) floor_in_packets: f64,
    /// Gaps up to this long are waited for, so that what follows them is known when they begin.
    pub(crate) longest_gap: f64,
}

/// How a player plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutSettings {
    /// What the delay aims at.
    pub preset: Preset,
    /// No less than this, whatever the preset.
    pub min_delay: Duration,
    /// No more than this: what comes later still isn't waited for.
    pub max_delay: Duration,
    /// Frames per second to be handed out.
    pub sample_rate: u32,
    /// What fills the gaps that loss leaves. Without concealment the time scale of speech isn't touched either.
    pub concealment: Concealment,
}

impl Default for PlayoutSettings {
    /// `balanced`, at most 1 s, 8 kHz, concealed.
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            min_delay: Duration::ZERO,
            max_delay: Duration::from_secs(1),
            sample_rate: SAMPLE_RATE,
            concealment: Concealment::Concealed,
        }
    }
}
