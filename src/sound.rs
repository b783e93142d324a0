//! How a supervisor wants to hear both sides: the same settings on the command line, in the configuration, over the local
//! interface and by keys.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use serde::{Deserialize, Serialize};
use silentmon_playback_core::mix::{Levels, MixSettings, VOLUME_DB};
use silentmon_proto::ids::Leg;
use silentmon_proto::reason::{Code, Evidence, Reason};

/// One press of + or -.
const VOLUME_STEP_DB: f32 = 2.0;
/// One press of `[` or `]`.
const BALANCE_STEP: i8 = 10;

/// A volume in dB, -60 to 20.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f32")]
pub struct Volume(f32);

impl TryFrom<f32> for Volume {
    type Error = String;

    fn try_from(decibels: f32) -> Result<Self, String> {
        if VOLUME_DB.contains(&decibels) {
            return Ok(Self(decibels));
        }
        let (low, high) = VOLUME_DB.into_inner();
        Err(format!("expected a volume of {low} to {high} dB, found {decibels}"))
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (low, high) = VOLUME_DB.into_inner();
        let wrong = |_| format!("expected a volume of {low} to {high} dB, found \"{text}\"");
        text.parse::<f32>().map_err(wrong)?.try_into()
    }
}

impl Volume {
    fn changed(self, by: f32) -> Self {
        Self((self.0 + by).clamp(*VOLUME_DB.start(), *VOLUME_DB.end()))
    }
}

/// Which side is louder, in percent: -100 only the agent, 100 only the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Balance(i8);

impl TryFrom<i64> for Balance {
    type Error = String;

    fn try_from(percent: i64) -> Result<Self, String> {
        let within = i8::try_from(percent)
            .ok()
            .filter(|percent| (-100..=100).contains(percent));
        within
            .map(Self)
            .ok_or_else(|| format!("expected a balance of -100 (agent) to 100 (customer), found {percent}"))
    }
}

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("expected a balance of -100 (agent) to 100 (customer), found \"{text}\"");
        text.parse::<i64>().map_err(wrong)?.try_into()
    }
}

impl Balance {
    fn changed(self, by: i8) -> Self {
        Self(self.0.saturating_add(by).clamp(-100, 100))
    }
}

/// How both sides are heard.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Sound {
    /// Volume of both.
    pub volume_db: Volume,
    /// Which of them is louder.
    pub balance: Balance,
    /// Which of them is not heard.
    pub mute: Vec<Leg>,
    /// Both in both ears.
    pub mono: bool,
    /// Bring the speech of each slowly to the same level.
    pub auto_level: bool,
    /// Mute in-band DTMF digits.
    pub suppress_dtmf: bool,
}

/// What the settings become; whatever isn't said stays.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoundChange {
    /// See [`Sound::volume_db`].
    pub volume_db: Option<Volume>,
    /// See [`Sound::balance`].
    pub balance: Option<Balance>,
    /// See [`Sound::mute`].
    pub mute: Option<Vec<Leg>>,
    /// See [`Sound::mono`].
    pub mono: Option<bool>,
    /// See [`Sound::auto_level`].
    pub auto_level: Option<bool>,
    /// See [`Sound::suppress_dtmf`].
    pub suppress_dtmf: Option<bool>,
}

/// The settings, and how loud both sides are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SoundReport {
    /// The settings in force.
    #[serde(flatten)]
    pub sound: Sound,
    /// How loud each side is; silent where nobody is listened to.
    pub levels: Levels,
}

impl Sound {
    /// Takes over what a change says.
    pub fn change(&mut self, change: SoundChange) {
        fn take<T>(place: &mut T, wanted: Option<T>) {
            if let Some(wanted) = wanted {
                *place = wanted;
            }
        }
        take(&mut self.volume_db, change.volume_db);
        take(&mut self.balance, change.balance);
        take(&mut self.mute, change.mute);
        take(&mut self.mono, change.mono);
        take(&mut self.auto_level, change.auto_level);
        take(&mut self.suppress_dtmf, change.suppress_dtmf);
    }

    /// Why nothing is heard of what arrives, where these settings are the cause.
    pub fn muted(&self) -> Option<Reason> {
        let text = if Leg::BOTH.iter().all(|leg| self.mute.contains(leg)) {
            "Your output is muted: both sides are."
        } else if self.volume_db.0 <= *VOLUME_DB.start() {
            "Your output is muted: the volume is at its lowest."
        } else {
            return None;
        };
        let evidence = Evidence::new()
            .with(
                "muted",
                self.mute.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            )
            .with("volume", format!("{} dB", self.volume_db.0));
        Some(Reason::new(Code::OutputMuted, text).with_evidence(evidence))
    }

    /// What a key changes; `None` where it isn't one of these.
    ///
    /// `1` and `2` mute the agent's and the customer's side or bring it back, `m` both; `+` and `-` volume; `[` and `]`
    /// balance.
    pub fn key(&self, key: char) -> Option<SoundChange> {
        let mut change = SoundChange::default();
        match key {
            '1' => change.mute = Some(self.mute_toggled(Leg::Agent)),
            '2' => change.mute = Some(self.mute_toggled(Leg::Customer)),
            'm' | 'M' => {
                let silent = Leg::BOTH.iter().all(|leg| self.mute.contains(leg));
                change.mute = Some(if silent { Vec::new() } else { Leg::BOTH.to_vec() });
            }
            '+' => change.volume_db = Some(self.volume_db.changed(VOLUME_STEP_DB)),
            '-' => change.volume_db = Some(self.volume_db.changed(-VOLUME_STEP_DB)),
            '[' => change.balance = Some(self.balance.changed(-BALANCE_STEP)),
            ']' => change.balance = Some(self.balance.changed(BALANCE_STEP)),
            _ => return None,
        }
        Some(change)
    }

    fn mute_toggled(&self, leg: Leg) -> Vec<Leg> {
        let muted = |other: &Leg| self.mute.contains(other) != (*other == leg);
        Leg::BOTH.into_iter().filter(muted).collect()
    }

    /// The settings as the mixer takes them.
    pub fn mix(&self) -> MixSettings {
        MixSettings {
            volume_db: self.volume_db.0,
            balance: f32::from(self.balance.0) / 100.0,
            muted: Leg::BOTH.map(|leg| self.mute.contains(&leg)),
            mono: self.mono,
            auto_level: self.auto_level,
            suppress_dtmf: self.suppress_dtmf,
        }
    }
}

impl fmt::Display for Sound {
    /// Such as `volume +4 dB, balance 20, customer muted`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {:+} dB", self.volume_db.0)?;
        if self.balance != Balance::default() {
            write!(f, ", balance {}", self.balance.0)?;
        }
        for leg in &self.mute {
            write!(f, ", {leg} muted")?;
        }
        Ok(())
    }
}

/// The settings on the command line.
#[derive(Debug, Args)]
pub struct SoundArgs {
    /// Volume, -60 to 20.
    #[arg(long, value_name = "DB", default_value = "0", allow_negative_numbers = true)]
    volume: Volume,
    /// Which side is louder: -100 only the agent, 100 only the customer.
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    balance: Balance,
    /// Both sides in both ears.
    #[arg(long)]
    mono: bool,
    /// A side that isn't to be heard: agent or customer.
    #[arg(long, value_name = "SIDE", value_parser = leg)]
    mute: Vec<Leg>,
    /// Bring the speech of both sides slowly to the same level.
    #[arg(long)]
    auto_level: bool,
    /// Mute DTMF digits that are keyed in the sound itself.
    #[arg(long)]
    suppress_dtmf: bool,
}

impl SoundArgs {
    /// The settings to begin with.
    pub fn sound(&self) -> Sound {
        Sound {
            volume_db: self.volume,
            balance: self.balance,
            mute: self.mute.clone(),
            mono: self.mono,
            auto_level: self.auto_level,
            suppress_dtmf: self.suppress_dtmf,
        }
    }
}

fn leg(text: &str) -> Result<Leg, String> {
    let named = Leg::BOTH.into_iter().find(|leg| leg.to_string() == text);
    named.ok_or_else(|| "expected agent or customer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &str) -> Sound {
        let mut sound = Sound::default();
        for key in keys.chars() {
            if let Some(change) = sound.key(key) {
                sound.change(change);
            }
        }
        sound
    }

    #[test]
    fn keys_change_volume_balance_and_mute() {
        assert_eq!(pressed("++-]]x").to_string(), "volume +2 dB, balance 20");
        assert_eq!(pressed("1").mute, [Leg::Agent]);
        assert_eq!(pressed("21").mute, Leg::BOTH);
        assert_eq!(pressed("211").mute, [Leg::Customer]);
        assert_eq!(pressed("1m").mute, Leg::BOTH);
        assert_eq!(pressed("mm").mute, []);
        assert_eq!(pressed(&"-".repeat(50)).volume_db, Volume(-60.0));
        assert_eq!(pressed(&"[".repeat(50)).balance, Balance(-100));
    }

    #[test]
    fn settings_by_which_nothing_is_heard_are_a_reason() {
        for (keys, muted) in [("m", true), ("12", true), ("1", false), ("mm", false)] {
            assert_eq!(pressed(keys).muted().is_some(), muted, "{keys}");
        }
        let quiet = pressed(&"-".repeat(50)).muted().expect("nothing is heard");
        assert_eq!(quiet.code, Code::OutputMuted);
        assert_eq!(
            quiet.to_string(),
            "SM-4002 Your output is muted: the volume is at its lowest."
        );
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_say() {
        let mut sound = pressed("+2");
        let change: SoundChange = serde_json::from_str("{\"balance\":-30,\"mono\":true}").expect("a change");
        sound.change(change);
        let expected = Sound {
            volume_db: Volume(2.0),
            balance: Balance(-30),
            mute: vec![Leg::Customer],
            mono: true,
            ..Sound::default()
        };
        assert_eq!(sound, expected);
        assert_eq!(
            sound.mix(),
            MixSettings {
                volume_db: 2.0,
                balance: -0.3,
                muted: [false, true],
                mono: true,
                ..MixSettings::default()
            }
        );
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_what_was_expected() {
        let refused = |text| {
            serde_json::from_str::<SoundChange>(text)
                .expect_err("out of range")
                .to_string()
        };
        assert!(refused("{\"volume_db\":21}").starts_with("expected a volume of -60 to 20 dB, found 21"));
        assert!(refused("{\"balance\":-101}").contains("expected a balance of -100 (agent) to 100 (customer)"));
        assert!(refused("{\"mute\":[\"caller\"]}").contains("expected `agent` or `customer`"));
        assert!(refused("{\"loudness\":1}").contains("expected one of `volume_db`"));
        assert!("loud".parse::<Volume>().is_err() && "NaN".parse::<Volume>().is_err());
        assert!("1.5".parse::<Balance>().is_err() && "300".parse::<Balance>().is_err());
    }
}
