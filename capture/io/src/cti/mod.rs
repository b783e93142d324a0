//! CTI sources at work: each link runs as a task of its own, named as in the configuration; what they tell comes
//! together in one bounded channel, and a source that fails takes nothing else with it.

mod connection;
mod cookies;
mod dial;
pub mod http;
mod http_client;
pub mod risport;
pub(crate) mod script;
mod shell;
pub mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use silentmon_capture_core::link::{HttpLink, LinkCommand, LinkEvent, StreamLink, SuperviseAction};
use silentmon_capture_core::resolver::risport::RisPort;
use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{Extension, LinkName, MediaAddress};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::http::{HttpEndpoint, run_http_link};
use self::risport::run_risport;
use self::stream::{StreamEndpoint, run_stream_link};
use crate::clock::Clock;

/// Events of all sources together that may wait for the engine before the sources have to.
const EVENT_QUEUE: usize = 1024;
/// Events of one source that may wait to be put among the others'.
const LINK_QUEUE: usize = 64;
/// Commands that may wait for a link.
const COMMAND_QUEUE: usize = 256;
/// How long the sources' goodbyes may take together.
const FINISH_LIMIT: Duration = Duration::from_secs(4);

/// What came from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A source told something.
    Link {
        /// The source.
        link: LinkName,
        /// What.
        event: LinkEvent,
    },
    /// Where the phones are that a directory was asked for; in place of all it said before.
    Phones(BTreeMap<Extension, MediaAddress>),
}

/// All sources of a service.
pub struct CtiSources {
    clock: Clock,
    shutdown: CancellationToken,
    /// Ends the links that run.
    links_end: CancellationToken,
    told: mpsc::Sender<Told>,
    inbox: mpsc::Receiver<Told>,
    links: BTreeMap<LinkName, Registered>,
    lookup: Option<mpsc::Sender<BTreeSet<Extension>>>,
    wanted: BTreeSet<Extension>,
    tasks: TaskTracker,
}

struct Registered {
    commands: mpsc::Sender<LinkCommand>,
    controls: &'static [SuperviseAction],
}

impl CtiSources {
    /// No sources yet; those that are added run until `shutdown`.
    pub fn new(clock: Clock, shutdown: CancellationToken) -> Self {
        let (told, inbox) = mpsc::channel(EVENT_QUEUE);
        Self {
            clock,
            links_end: shutdown.child_token(),
            shutdown,
            told,
            inbox,
            links: BTreeMap::new(),
            lookup: None,
            wanted: BTreeSet::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// The clock that the links go by.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Starts a link over TCP or TLS. Must be called within a tokio runtime.
    pub fn start_stream(&mut self, name: LinkName, link: Box<dyn StreamLink + Send>, endpoints: Vec<StreamEndpoint>) {
        let (events, commands) = self.register(name, link.controls());
        let shutdown = self.links_end.clone();
        self.tasks
            .spawn(run_stream_link(link, endpoints, self.clock, events, commands, shutdown));
    }

    /// Starts a link over HTTP. Must be called within a tokio runtime.
    pub fn start_http(&mut self, name: LinkName, link: Box<dyn HttpLink + Send>, endpoints: Vec<HttpEndpoint>) {
        let (events, commands) = self.register(name, link.controls());
        let shutdown = self.links_end.clone();
        self.tasks
            .spawn(run_http_link(link, endpoints, self.clock, events, commands, shutdown));
    }

    /// Starts to look up the phones that the service wants. Must be called within a tokio runtime.
    pub fn start_risport(&mut self, risport: RisPort, endpoint: HttpEndpoint) {
        let (wanted, queue) = mpsc::channel(1);
        let (found, mut answers) = mpsc::channel(1);
        self.lookup = Some(wanted);
        let shutdown = self.shutdown.clone();
        self.tasks
            .spawn(run_risport(risport, endpoint, self.clock, queue, found, shutdown));
        let told = self.told.clone();
        self.tasks.spawn(async move {
            while let Some(phones) = answers.recv().await {
                if told.send(Told::Phones(phones)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Whether phones can be looked up.
    pub(crate) const fn looks_up(&self) -> bool {
        self.lookup.is_some()
    }

    /// Says which phones' addresses are wanted; to be repeated now and then, as a busy directory isn't waited for.
    pub(crate) fn want_phones(&mut self, wanted: BTreeSet<Extension>) {
        let Some(lookup) = &self.lookup else { return };
        if wanted != self.wanted && lookup.try_send(wanted.clone()).is_ok() {
            self.wanted = wanted;
        }
    }

    /// Where events go that are pushed to us under a source's name.
    pub fn pushed(&self, name: LinkName) -> Pushed {
        Pushed {
            link: name,
            told: self.told.clone(),
        }
    }

    /// The channels of a source: its events, and the commands to it.
    fn register(
        &mut self,
        name: LinkName,
        controls: &'static [SuperviseAction],
    ) -> (mpsc::Sender<LinkEvent>, mpsc::Receiver<LinkCommand>) {
        let (events, mut queue) = mpsc::channel(LINK_QUEUE);
        let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
        self.links.insert(name.clone(), Registered { commands, controls });
        let told = self.told.clone();
        let (end, shutdown) = (self.links_end.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            while let Some(event) = queue.recv().await {
                // What a link says after it was ended alone, somebody else knows better.
                if end.is_cancelled() && !shutdown.is_cancelled() {
                    continue;
                }
                let link = name.clone();
                if told.send(Told::Link { link, event }).await.is_err() {
                    return;
                }
            }
        });
        (events, command_queue)
    }

    /// Ends the links that run: they say goodbye, and tell nothing more. Names them.
    pub(crate) fn stop_links(&mut self) -> Vec<LinkName> {
        self.links_end.cancel();
        self.links_end = self.shutdown.child_token();
        std::mem::take(&mut self.links).into_keys().collect()
    }

    /// The links there are, and what each can do for a supervisor.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&LinkName, &'static [SuperviseAction])> {
        self.links.iter().map(|(name, link)| (name, link.controls))
    }

    /// What a source tells next. Safe to be given up in a `select`.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        self.inbox.recv().await
    }

    /// Hands a command to a link.
    ///
    /// # Errors
    /// Why it can't be had, in words: there is no such link, or it doesn't get on with what it was told before.
    pub(crate) fn command(&self, link: &LinkName, command: LinkCommand) -> Result<(), String> {
        let Some(registered) = self.links.get(link) else {
            return Err(format!("the CTI source {link} takes no commands"));
        };
        registered
            .commands
            .try_send(command)
            .map_err(|_| format!("the CTI source {link} is busy"))
    }

    /// Waits until every source has said goodbye; for a while.
    pub(crate) async fn finish(mut self) {
        self.inbox.close();
        self.tasks.close();
        if tokio::time::timeout(FINISH_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("a CTI source took too long to say goodbye");
        }
    }
}

/// The way in for events that somebody pushes.
#[derive(Debug, Clone)]
pub struct Pushed {
    link: LinkName,
    told: mpsc::Sender<Told>,
}

impl Pushed {
    /// Queues events in their order, all of them or none; waits where the engine is slow.
    ///
    /// # Errors
    /// Where the service stops.
    pub async fn take(&self, events: Vec<CtiEvent>) -> Result<(), Stopping> {
        for chunk in events.chunks(EVENT_QUEUE / 4) {
            let permits = self.told.reserve_many(chunk.len()).await.map_err(|_| Stopping)?;
            for (permit, event) in permits.zip(chunk) {
                permit.send(Told::Link {
                    link: self.link.clone(),
                    event: LinkEvent::Cti(event.clone()),
                });
            }
        }
        Ok(())
    }
}

/// The service stops and takes no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service stops")]
pub struct Stopping;
