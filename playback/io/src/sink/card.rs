//! A sound card through cpal. The card's clock is the master: its callback takes frames from a lock-free ring, and this
//! thread fills the ring from the player as fast as it empties. Where the card is lost the player is pulled by the
//! system's clock until a card is back.

mod stream;

use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use cpal::Device;
use cpal::traits::{DeviceTrait, HostTrait};
use tokio::sync::mpsc;

use super::feeder::{Feeder, Stopping};
use super::paced::Pace;
use super::{SharedPlayer, SinkError, SinkEvent, SinkSummary, tell};
use stream::CardStream;

/// How often the ring is looked after.
const ROUND: Duration = Duration::from_millis(3);
/// How often a lost card is sought, and the default card looked at.
const RETRY: Duration = Duration::from_secs(1);

/// Names of all cards that play.
pub(super) fn names() -> Vec<String> {
    let Ok(devices) = cpal::default_host().output_devices() else {
        return Vec::new();
    };
    devices.filter_map(|device| identifier(&device)).collect()
}

fn identifier(device: &Device) -> Option<String> {
    device.id().ok().map(|id| id.to_string())
}

/// Opens a card, the default one without a `wanted`, and starts to feed it.
pub(super) fn start(
    wanted: Option<String>,
    player: SharedPlayer,
    events: mpsc::Sender<SinkEvent>,
) -> Result<Feeder, SinkError> {
    let (answer, opened) = std_mpsc::sync_channel(1);
    // Opened on the thread that keeps it: not every system lets a stream change its thread.
    let feeder = Feeder::start(move |stopping| {
        let keeper = Keeper::new(wanted, player, events);
        match keeper.open() {
            Ok(stream) => {
                let _ = answer.send(Ok(()));
                keeper.run(stream, &stopping)
            }
            Err(error) => {
                let _ = answer.send(Err(error));
                SinkSummary::default()
            }
        }
    })?;
    match opened.recv() {
        Ok(Ok(())) => Ok(feeder),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(SinkError::Thread("it ended while opening the sound card".to_owned())),
    }
}

/// Keeps a session's sound on a card, as long as there is one.
struct Keeper {
    wanted: Option<String>,
    player: SharedPlayer,
    events: mpsc::Sender<SinkEvent>,
    summary: SinkSummary,
}

/// What the sound goes to at the moment.
enum Playing {
    Card {
        stream: Box<CardStream>,
        looked: Instant,
    },
    /// No card: by the system's clock.
    Nowhere {
        pace: Pace,
        tried: Instant,
    },
}

impl Keeper {
    fn new(wanted: Option<String>, player: SharedPlayer, events: mpsc::Sender<SinkEvent>) -> Self {
        Self {
            wanted,
            player,
            events,
            summary: SinkSummary::default(),
        }
    }

    fn open(&self) -> Result<Box<CardStream>, SinkError> {
        let device = self.find()?;
        let name = identifier(&device).unwrap_or_else(|| device.to_string());
        let opened = CardStream::open(&device, name, &self.player).map(Box::new);
        opened.map_err(|cause| SinkError::Card {
            card: self.wanted.clone().unwrap_or_else(|| "default".to_owned()),
            cause,
        })
    }

    fn find(&self) -> Result<Device, SinkError> {
        let host = cpal::default_host();
        let Some(wanted) = &self.wanted else {
            return host.default_output_device().ok_or_else(|| SinkError::Card {
                card: "default".to_owned(),
                cause: "there is none".to_owned(),
            });
        };
        let is_wanted = |device: &Device| {
            let by_id = device
                .id()
                .is_ok_and(|id| id.to_string() == *wanted || id.id() == wanted);
            by_id || device.to_string() == *wanted
        };
        let found = host
            .output_devices()
            .ok()
            .and_then(|mut devices| devices.find(is_wanted));
        found.ok_or_else(|| SinkError::NoSuchCard {
            wanted: wanted.clone(),
            found: names(),
        })
    }

    fn run(mut self, stream: Box<CardStream>, stopping: &Stopping) -> SinkSummary {
        tell(
            &self.events,
            SinkEvent::Opened {
                name: stream.name().to_owned(),
                sample_rate: stream.sample_rate(),
            },
        );
        let mut playing = Playing::Card {
            stream,
            looked: Instant::now(),
        };
        while !stopping.is_set() {
            playing = match playing {
                Playing::Card { stream, looked } => self.feed(stream, looked),
                Playing::Nowhere { pace, tried } => self.seek(pace, tried),
            };
            stopping.rest(ROUND);
        }
        match playing {
            Playing::Card { stream, .. } => self.account(&stream),
            Playing::Nowhere { pace, .. } => self.summary.frames += pace.frames(),
        }
        self.summary
    }

    fn feed(&mut self, mut stream: Box<CardStream>, looked: Instant) -> Playing {
        if let Err(cause) = stream.feed(&self.player) {
            // Not sought at once: a card that dies as soon as it is opened would be opened all the time.
            let pace = self.lose(stream, cause);
            return Playing::Nowhere {
                pace,
                tried: Instant::now(),
            };
        }
        if looked.elapsed() < RETRY {
            return Playing::Card { stream, looked };
        }
        if self.default_moved(&stream) {
            let pace = self.lose(stream, "another card became the default".to_owned());
            return self.reopen(pace);
        }
        Playing::Card {
            stream,
            looked: Instant::now(),
        }
    }

    /// Whether the default card was asked for and is another now.
    fn default_moved(&self, stream: &CardStream) -> bool {
        if self.wanted.is_some() {
            return false;
        }
        let default = cpal::default_host().default_output_device();
        default
            .as_ref()
            .and_then(identifier)
            .is_some_and(|name| name != stream.name())
    }

    fn lose(&mut self, stream: Box<CardStream>, cause: String) -> Pace {
        self.account(&stream);
        self.summary.losses += 1;
        let name = stream.name().to_owned();
        drop(stream);
        tell(&self.events, SinkEvent::Lost { name, cause });
        Pace::new(self.player.clone())
    }

    fn seek(&mut self, mut pace: Pace, tried: Instant) -> Playing {
        // Writing nowhere can't fail.
        let _ = pace.run(|_| Ok(()));
        if tried.elapsed() < RETRY {
            return Playing::Nowhere { pace, tried };
        }
        self.reopen(pace)
    }

    fn reopen(&mut self, pace: Pace) -> Playing {
        match self.open() {
            Ok(stream) => {
                self.summary.frames += pace.frames();
                tell(
                    &self.events,
                    SinkEvent::Returned {
                        name: stream.name().to_owned(),
                        sample_rate: stream.sample_rate(),
                    },
                );
                Playing::Card {
                    stream,
                    looked: Instant::now(),
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no sound card yet");
                Playing::Nowhere {
                    pace,
                    tried: Instant::now(),
                }
            }
        }
    }

    fn account(&mut self, stream: &CardStream) {
        self.summary.frames += stream.frames();
        self.summary.underrun_frames += stream.underrun_frames();
    }
}
