//! The supervisor's configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silentmon_playback_core::player::{PlayoutSettings, Preset};
use silentmon_proto::ids::{AgentId, Leg};

use super::{Complaint, Schema};
use crate::sound::{Balance, Sound, Volume};
use crate::tls::IdentityFiles;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybackConfig {
    /// Version of this schema.
    pub schema: u32,
    /// The only section.
    pub playback: PlaybackSection,
}

/// `[playback]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybackSection {
    /// Capture servers, `HOST:PORT`: one is chosen at random, the others are tried in turn.
    pub servers: Vec<String>,
    /// Certificate chain and key of the supervisor.
    #[serde(default = "default_identity")]
    pub identity: PathBuf,
    /// The authority that both sides' certificates come from.
    #[serde(default = "default_ca")]
    pub ca: PathBuf,
    /// Its revocation list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Where the sound goes: `default`, a device's name, `browser`, `wav:FILE` or `null`.
    #[serde(default = "default_output")]
    pub output: String,
    /// What the delay aims at: `low`, `balanced` or `smooth`.
    #[serde(default)]
    pub preset: Preset,
    /// Packets wait at least so long, whatever the preset, in milliseconds.
    #[serde(default)]
    pub min_delay_ms: u64,
    /// Packets wait no longer, in milliseconds.
    #[serde(default = "default_max_delay")]
    pub max_delay_ms: u64,
    /// Volume of both sides in dB, -60 to 20.
    #[serde(default)]
    pub volume_db: Volume,
    /// Which side is louder: -100 only the agent, 100 only the customer.
    #[serde(default)]
    pub balance: Balance,
    /// Sides that aren't heard.
    #[serde(default)]
    pub mute: Vec<Leg>,
    /// Both sides in both ears.
    #[serde(default)]
    pub mono: bool,
    /// Bring the speech of both sides slowly to the same level.
    #[serde(default)]
    pub auto_level: bool,
    /// Mute DTMF digits that are keyed in the sound itself.
    #[serde(default)]
    pub suppress_dtmf: bool,
    /// Where the local interface listens; loopback only.
    #[serde(default = "default_listen")]
    pub listen: Vec<SocketAddr>,
    /// File with the token that local programs must show; made anew at each start, readable by its owner only.
    #[serde(default = "default_token")]
    pub token: PathBuf,
    /// The agent to listen to from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Why, where the server wants to know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

impl PlaybackSection {
    /// The files of the supervisor's identity.
    pub fn files(&self) -> IdentityFiles {
        IdentityFiles {
            identity: self.identity.clone(),
            ca: self.ca.clone(),
            crl: self.crl.clone(),
        }
    }

    /// How both sides are heard at first.
    pub fn sound(&self) -> Sound {
        Sound {
            volume_db: self.volume_db,
            balance: self.balance,
            mute: self.mute.clone(),
            mono: self.mono,
            auto_level: self.auto_level,
            suppress_dtmf: self.suppress_dtmf,
        }
    }
}

fn default_identity() -> PathBuf {
    "certs/supervisor.pem".into()
}

fn default_ca() -> PathBuf {
    "certs/ca.pem".into()
}

fn default_output() -> String {
    "default".to_owned()
}

const fn default_max_delay() -> u64 {
    1000
}

impl PlaybackSection {
    /// How the player is to play.
    pub fn playout(&self) -> PlayoutSettings {
        PlayoutSettings {
            preset: self.preset,
            min_delay: Duration::from_millis(self.min_delay_ms),
            max_delay: Duration::from_millis(self.max_delay_ms),
            ..PlayoutSettings::default()
        }
    }
}

fn default_listen() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, 1], silentmon_proto::relay::SERVICE_PORT))]
}

fn default_token() -> PathBuf {
    "playback.token".into()
}

impl Schema for PlaybackConfig {
    const SECTIONS: &'static [&'static str] = &["playback"];

    fn schema(&self) -> u32 {
        self.schema
    }

    fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        let section = &mut self.playback;
        visit(&mut section.identity);
        visit(&mut section.ca);
        visit(&mut section.token);
        section.crl.iter_mut().for_each(visit);
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.playback.servers.is_empty() {
            let expected = "expected at least one capture server as \"HOST:PORT\"".to_owned();
            return Complaint::about("playback.servers", expected);
        }
        if let Some(open) = self.playback.listen.iter().find(|address| !address.ip().is_loopback()) {
            let expected = format!("expected loopback addresses only, found {open}");
            return Complaint::about("playback.listen", expected);
        }
        if !(20..=2000).contains(&self.playback.max_delay_ms) {
            let expected = format!("expected 20 to 2000 milliseconds, found {}", self.playback.max_delay_ms);
            return Complaint::about("playback.max_delay_ms", expected);
        }
        if self.playback.min_delay_ms > self.playback.max_delay_ms {
            let expected = format!(
                "expected no more than max_delay_ms ({}), found {}",
                self.playback.max_delay_ms, self.playback.min_delay_ms
            );
            return Complaint::about("playback.min_delay_ms", expected);
        }
        Ok(())
    }
}
