//! A sound card through cpal. The card's clock is the master: its callback takes frames from a lock-free ring, and this
//! thread pulls them from the player evenly, as long before as it may itself be late. Where the card is lost the player is pulled by the
//! system's clock until a card is back.

mod ahead;
#[cfg(target_os = "linux")]
mod alsa;
mod callback;
mod lead;
mod reserve;
mod spares;
mod stream;
mod supply;
mod watch;

use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use cpal::Device;
use cpal::traits::{DeviceTrait, HostTrait};
use tokio::sync::mpsc;

use super::feeder::{Feeder, Stopping};
use super::paced::{Pace, PaceRate};
use super::priority;
use super::{OutputDelay, SharedPlayer, SinkError, SinkEvent, SinkSummary, tell};
use crate::clock;
use crate::sink::feeder::lock;
use reserve::{Margins, Reserve};
use spares::{Spares, Wish};
use stream::CardStream;
use watch::DefaultWatch;

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

fn default_identifier() -> Option<String> {
    cpal::default_host()
        .default_output_device()
        .as_ref()
        .and_then(identifier)
}

/// Opens a card, the default one without a `wanted`, and starts to feed it.
pub(super) fn start(
    wanted: Option<String>,
    player: SharedPlayer,
    events: mpsc::Sender<SinkEvent>,
    delay: OutputDelay,
) -> Result<Feeder, SinkError> {
    let (answer, opened) = std_mpsc::sync_channel(1);
    // Opened on the thread that keeps it: not every system lets a stream change its thread.
    let feeder = Feeder::start(move |stopping| {
        // Before this thread's priority is raised, which those that it starts have too.
        let default = wanted.is_none().then(|| DefaultWatch::start(RETRY, default_identifier));
        let scheduling = priority::promote();
        let reserve = Reserve::of(lock(&player).preset(), scheduling);
        let keeper = Keeper {
            wanted,
            default,
            player,
            events,
            delay,
            spares: Spares::new(clock::now(), reserve.spares),
            margins: reserve.margins,
            summary: SinkSummary::default(),
        };
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
    /// Where the default card was asked for.
    default: Option<DefaultWatch>,
    player: SharedPlayer,
    events: mpsc::Sender<SinkEvent>,
    delay: OutputDelay,
    spares: Spares,
    margins: Margins,
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

impl Playing {
    /// Time until there is something to do.
    fn wait(&self) -> Duration {
        match self {
            Self::Card { stream, .. } => stream.wait(),
            Self::Nowhere { pace, .. } => pace.wait(),
        }
    }
}

impl Keeper {
    fn open(&self) -> Result<Box<CardStream>, SinkError> {
        let device = self.find()?;
        let name = identifier(&device).unwrap_or_else(|| device.to_string());
        CardStream::open(&device, &name, &self.player, self.spares.to_ask_for(), self.margins)
            .map(Box::new)
            .map_err(|cause| SinkError::Card {
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
            stopping.rest(playing.wait());
        }
        match playing {
            Playing::Card { stream, .. } => self.account(&stream),
            Playing::Nowhere { pace, .. } => self.summary.frames += pace.frames(),
        }
        self.summary
    }

    fn feed(&mut self, mut stream: Box<CardStream>, looked: Instant) -> Playing {
        if let Err(cause) = stream.feed() {
            // Not sought at once: a card that dies as soon as it is opened would be opened all the time.
            let pace = self.lose(stream, cause);
            return Playing::Nowhere {
                pace,
                tried: Instant::now(),
            };
        }
        self.delay.set(stream.ahead());
        if looked.elapsed() < RETRY {
            return Playing::Card { stream, looked };
        }
        let now = clock::now();
        self.spares.handle_late_callbacks(now, stream.late_callbacks());
        if let Some(wish) = self.spares.poll_change(now, stream.is_pause()) {
            return self.change_spare(stream, wish);
        }
        if self
            .default
            .as_ref()
            .is_some_and(|default| default.moved_from(stream.name()))
        {
            let pace = self.lose(stream, "another card became the default".to_owned());
            return self.reopen(pace);
        }
        Playing::Card {
            stream,
            looked: Instant::now(),
        }
    }

    /// Opens a card anew, to hold more or less.
    fn change_spare(&mut self, stream: Box<CardStream>, wish: Wish) -> Playing {
        let spare = self.spares.to_ask_for().first();
        let cause = match wish {
            Wish::More => "it missed too many callbacks: it is to hold more",
            Wish::Less => "it missed no callback for long: it may hold less",
        };
        tracing::info!(card = stream.name(), ?spare, cause, "the sound card is opened anew");
        let pace = self.lose(stream, cause.to_owned());
        self.reopen(pace)
    }

    fn lose(&mut self, stream: Box<CardStream>, cause: String) -> Pace {
        self.account(&stream);
        self.summary.losses += 1;
        self.delay.set(Duration::ZERO);
        let name = stream.name().to_owned();
        let rate = PaceRate::Fixed(stream.sample_rate());
        drop(stream);
        tell(&self.events, SinkEvent::Lost { name, cause });
        Pace::new(self.player.clone(), rate)
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
                self.spares.handle_opened(clock::now());
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
        self.summary.late_callbacks += stream.late_callbacks();
    }
}
