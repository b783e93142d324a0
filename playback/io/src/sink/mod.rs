//! Outputs: a sound card, browsers, a WAV file, or nothing at all. Each pulls a [`Player`] at its own pace on its own thread.

mod browser;
mod card;
mod feeder;
mod paced;
mod priority;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use silentmon_playback_core::player::Player;
use silentmon_proto::reason::{Code, Reason};
use thiserror::Error;
use tokio::sync::mpsc;

pub use browser::{BrowserFrames, BrowserSound, HEADER as BROWSER_HEADER};
use feeder::Feeder;

/// A player that the receiver fills and a sink pulls. Neither holds the lock longer than one packet or tick takes.
pub type SharedPlayer = Arc<Mutex<Player>>;

/// Events that wait before a sink forgets some.
const EVENTS: usize = 64;

/// Where the sound goes, as written on the command line: `default`, `DEVICE`, `browser`, `wav:FILE` or `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The system's default sound card.
    Default,
    /// A sound card by the name or the identifier that [`devices`] lists.
    Device(String),
    /// The browsers that listen, where a service serves them.
    Browser,
    /// A stereo file of 16 bit, agent left, of the rate of the first sound: 8 kHz, or more where its codec is wider.
    Wav(PathBuf),
    /// Nowhere, at the pace of a sound card.
    Null,
}

/// A text that is no output.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an output: default, browser, null, wav:FILE or the name of a sound card, found \"{0}\"")]
pub struct BadOutput(String);

impl FromStr for Output {
    type Err = BadOutput;

    fn from_str(text: &str) -> Result<Self, BadOutput> {
        match text {
            "default" => Ok(Self::Default),
            "browser" => Ok(Self::Browser),
            "null" => Ok(Self::Null),
            "" | "wav:" => Err(BadOutput(text.to_owned())),
            _ => Ok(match text.strip_prefix("wav:") {
                Some(path) => Self::Wav(path.into()),
                None => Self::Device(text.to_owned()),
            }),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Device(name) => f.write_str(name),
            Self::Browser => f.write_str("browser"),
            Self::Wav(path) => write!(f, "wav:{}", path.display()),
            Self::Null => f.write_str("null"),
        }
    }
}

/// Why an output can't be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// No sound card has this name.
    #[error("no sound card \"{wanted}\"; found {}", listed(.found))]
    NoSuchCard {
        /// The name that was asked for.
        wanted: String,
        /// The names there are.
        found: Vec<String>,
    },
    /// The sound card exists, but can't be used.
    #[error("no sound card can be opened (\"{card}\": {cause})")]
    Card {
        /// Its name.
        card: String,
        /// What the sound system says.
        cause: String,
    },
    /// The file can't be written.
    #[error("can't write {}: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Nothing here serves browsers.
    #[error("browsers are served by the playback service only")]
    NoBrowsers,
    /// The system gives no thread.
    #[error("can't start the output's thread: {0}")]
    Thread(String),
}

impl SinkError {
    /// The reason for people: SM-4001 with the sound card's name.
    pub fn reason(&self) -> Reason {
        let mut text = format!("{self}.");
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Reason::new(Code::NoSoundCard, text)
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// What happens to an output while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkEvent {
    /// It plays.
    Opened {
        /// The card's name, or the output as written.
        name: String,
        /// Frames per second of the card or file.
        sample_rate: u32,
    },
    /// The sound card is gone; the session goes on in silence, and the card is sought every second.
    Lost {
        /// The card's name.
        name: String,
        /// What the sound system said.
        cause: String,
    },
    /// A sound card plays again, not necessarily the same.
    Returned {
        /// The card's name.
        name: String,
        /// Frames per second of the card.
        sample_rate: u32,
    },
    /// The file can't be written any longer; the session goes on without it.
    Failed {
        /// Why.
        cause: String,
    },
}

/// What an output did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkSummary {
    /// Frames pulled from the player, at the rate of the output at the time.
    pub frames: u64,
    /// Frames of the card's rate that were missing when the card wanted them.
    pub underrun_frames: u64,
    /// Times the card wanted sound and wasn't answered in time.
    pub late_callbacks: u64,
    /// Times a card was lost.
    pub losses: u64,
}

/// How long it takes at the moment from pulling a frame to hearing it, as far as the output knows.
#[derive(Debug, Clone, Default)]
struct OutputDelay(Arc<AtomicU64>);

impl OutputDelay {
    fn set(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// An open output. Dropping it closes it.
#[derive(Debug)]
pub struct Sink {
    delay: OutputDelay,
    feeder: Feeder,
    events: mpsc::Receiver<SinkEvent>,
}

impl Sink {
    /// Opens an output and begins to pull the player.
    ///
    /// # Errors
    /// Where the sound card or the file can't be opened.
    pub fn open(output: &Output, player: SharedPlayer) -> Result<Self, SinkError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let delay = OutputDelay::default();
        let feeder = match output {
            Output::Default => card::start(None, player, sender, delay.clone())?,
            Output::Device(name) => card::start(Some(name.clone()), player, sender, delay.clone())?,
            Output::Browser => return Err(SinkError::NoBrowsers),
            Output::Wav(path) => paced::start_wav(path, player, sender)?,
            Output::Null => paced::start_null(player, sender)?,
        };
        Ok(Self { delay, feeder, events })
    }

    /// Begins to pull the player for browsers.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn open_for_browsers(sound: &BrowserSound, player: SharedPlayer) -> Result<Self, SinkError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let feeder = browser::start(sound.clone(), player, sender)?;
        Ok(Self {
            delay: OutputDelay::default(),
            feeder,
            events,
        })
    }

    /// Waits for the next event; `None` once the output is closed. May be dropped and called again.
    pub async fn next_event(&mut self) -> Option<SinkEvent> {
        self.events.recv().await
    }

    /// The next event, if one waits.
    pub fn poll_event(&mut self) -> Option<SinkEvent> {
        self.events.try_recv().ok()
    }

    /// How long it takes at the moment from pulling a frame to hearing it: the card's own time included, nothing for
    /// outputs that nobody hears here.
    pub fn delay(&self) -> Duration {
        self.delay.now()
    }

    /// Closes the output and completes the file. Waits some milliseconds for the thread.
    pub fn close(mut self) -> SinkSummary {
        let delay = self.delay();
        let summary = self.feeder.stop();
        let SinkSummary {
            frames,
            underrun_frames,
            late_callbacks,
            losses,
        } = summary;
        tracing::info!(frames, underrun_frames, late_callbacks, losses, ?delay, "output closed");
        summary
    }
}

/// The sound cards of this machine by the names that `--output` takes.
pub fn devices() -> Vec<String> {
    card::names()
}

/// How long so many frames last.
fn length(frames: u64, sample_rate: u32) -> Duration {
    let nanos = u128::from(frames) * 1_000_000_000 / u128::from(sample_rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Tells an event to whom it may concern; one that nobody fetches is logged and forgotten.
fn tell(events: &mpsc::Sender<SinkEvent>, event: SinkEvent) {
    match &event {
        SinkEvent::Opened { name, sample_rate } => tracing::info!(name, sample_rate, "output opened"),
        SinkEvent::Lost { name, cause } => tracing::warn!(name, cause, "sound card lost"),
        SinkEvent::Returned { name, sample_rate } => tracing::info!(name, sample_rate, "sound card returned"),
        SinkEvent::Failed { cause } => tracing::warn!(cause, "output failed"),
    }
    if events.try_send(event).is_err() {
        tracing::debug!("nobody fetches the output's events");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_reads_back_as_it_is_written() {
        for (text, output) in [
            ("default", Output::Default),
            ("browser", Output::Browser),
            ("null", Output::Null),
            ("wav:/tmp/a b.wav", Output::Wav("/tmp/a b.wav".into())),
            ("alsa:hw:0,0", Output::Device("alsa:hw:0,0".into())),
        ] {
            assert_eq!(text.parse(), Ok(output.clone()));
            assert_eq!(output.to_string(), text);
        }
        for text in ["", "wav:"] {
            assert_eq!(text.parse::<Output>(), Err(BadOutput(text.into())));
        }
    }

    #[test]
    fn a_missing_card_is_sm_4001_with_a_sentence() {
        let error = SinkError::Card {
            card: "default".into(),
            cause: "busy".into(),
        };
        assert_eq!(
            error.reason().to_string(),
            "SM-4001 No sound card can be opened (\"default\": busy)."
        );
    }
}
