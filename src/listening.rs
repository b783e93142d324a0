//! A supervisor's program at work: the receiver keeps the connection, the player makes sound of what comes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use silentmon_certs::ClientTls;
use silentmon_playback_core::mix::{Levels, MixSettings};
use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_playback_core::relay_watch::RelayCounts;
use silentmon_playback_core::report::LegReport;
use silentmon_playback_io::receiver::{
    MonitorRequest, Persistence, Receiver, ReceiverEvent, ReceiverSettings, ReceiverSink, RequestId, ServerOrder,
    SuperviseWish,
};
use silentmon_playback_io::sink::{SharedPlayer, Sink, SinkEvent};
use silentmon_proto::ids::Leg;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AudioHeader, LegStatus};
use silentmon_proto::time::Instant;
use silentmon_transport::{ServerAddress, Settings};
use tokio::sync::mpsc;

use crate::exit::{ExitKind, Failure};
use crate::sound::Sound;

/// Program and version, for the server's log.
pub const SOFTWARE: &str = concat!("silentmon ", env!("CARGO_PKG_VERSION"));
/// No request is being heard.
const NONE: u32 = 0;

/// A connection to the capture servers and the sound of at most one session.
pub struct Listener {
    receiver: Receiver,
    events: mpsc::UnboundedReceiver<ReceiverEvent>,
    player: SharedPlayer,
    playout: PlayoutSettings,
    mix: MixSettings,
    heard: Arc<AtomicU32>,
}

impl Listener {
    /// Starts dialling. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Usage` where a server isn't written as `HOST:PORT`.
    pub fn connect(
        servers: &[String],
        tls: ClientTls,
        persistence: Persistence,
        playout: PlayoutSettings,
    ) -> anyhow::Result<Self> {
        let servers = servers
            .iter()
            .map(|server| server.parse::<ServerAddress>())
            .collect::<Result<Vec<_>, _>>();
        let settings = ReceiverSettings {
            servers: servers.map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?,
            order: ServerOrder::Random,
            persistence,
            software: SOFTWARE.to_owned(),
            transport: Settings::client(),
        };
        let player = Arc::new(Mutex::new(Player::new(playout)));
        let heard = Arc::new(AtomicU32::new(NONE));
        let (sender, events) = mpsc::unbounded_channel();
        let ear = Ear {
            player: Arc::clone(&player),
            heard: Arc::clone(&heard),
            events: sender,
        };
        let receiver = Receiver::start(settings, tls, Box::new(ear));
        Ok(Self {
            receiver,
            events,
            player,
            playout,
            mix: MixSettings::default(),
            heard,
        })
    }

    /// Listens to an agent instead of any other; the sound of the one before is forgotten.
    pub fn start(&self, wish: MonitorRequest) -> RequestId {
        self.forget();
        let request = self.receiver.start_monitor(wish);
        self.heard.store(request.0, Ordering::Release);
        request
    }

    /// Forgets what was heard: nothing of it stays in memory.
    pub fn forget(&self) {
        self.heard.store(NONE, Ordering::Release);
        let mut player = Player::new(self.playout);
        player.set_mix(self.mix);
        // Whoever plays sound must not wait until the old one's memory is wiped.
        let old = std::mem::replace(&mut *lock(&self.player), player);
        drop(old);
    }

    /// Changes how the legs are mixed, now and for sessions to come.
    pub fn set_mix(&mut self, mix: MixSettings) {
        self.mix = mix;
        lock(&self.player).set_mix(mix);
    }

    /// How loud both legs are.
    pub fn levels(&self) -> Levels {
        lock(&self.player).levels()
    }

    /// Stops listening; `MonitorStopped` follows.
    pub fn stop(&self, request: RequestId) {
        self.receiver.stop_monitor(request);
    }

    /// Asks to be brought into the call; `Supervised` follows.
    pub fn supervise(&self, request: RequestId, wish: SuperviseWish) {
        self.receiver.supervise(request, wish);
    }

    /// Says that the supervisor still listens.
    pub fn confirm(&self, request: RequestId) {
        self.receiver.confirm(request);
    }

    /// Dials with other certificates from now on.
    pub fn use_tls(&self, tls: ClientTls) {
        self.receiver.use_tls(tls);
    }

    /// Asks for all agents and every change.
    pub fn watch_agents(&self) {
        self.receiver.watch_agents();
    }

    /// What happens next; `None` once the receiver is over.
    pub async fn next_event(&mut self) -> Option<ReceiverEvent> {
        self.events.recv().await
    }

    /// The player, to be pulled by an output.
    pub fn player(&self) -> SharedPlayer {
        Arc::clone(&self.player)
    }

    /// What became of each leg: agent, customer.
    pub fn reports(&self) -> [LegReport; 2] {
        let player = lock(&self.player);
        Leg::BOTH.map(|leg| player.report(leg))
    }

    /// How long the sound lasts that waits to be played.
    pub fn buffered(&self) -> Duration {
        lock(&self.player).buffered()
    }

    /// Says goodbye and ends.
    pub async fn close(self) {
        self.receiver.close_and_wait().await;
    }
}

/// Both sides' counts of the relay, both legs together.
pub fn relay_counts(told: &[LegStatus; 2], reports: &[LegReport; 2]) -> RelayCounts {
    RelayCounts {
        sent: told.iter().map(|leg| leg.relayed).sum(),
        received: reports.iter().map(|report| report.received + report.suppressed).sum(),
        late: reports.iter().map(|report| report.late).sum(),
    }
}

/// What a supervisor is told of a session: the relay's complaint where the server thinks that sound flows, and that he hears
/// nothing of it himself where it arrives.
pub fn heard_reason(told: &Reason, complaint: Option<&Reason>, sound: &Sound) -> Reason {
    let flows = matches!(told.code, Code::AudioFlowing | Code::OneSideOnly);
    let here = || complaint.cloned().or_else(|| sound.muted());
    flows.then(here).flatten().unwrap_or_else(|| told.clone())
}

/// The next event of an output; never, where there is none or it is closed.
pub async fn next_sink_event(sink: &mut Option<Sink>) -> SinkEvent {
    if let Some(sink) = sink
        && let Some(event) = sink.next_event().await
    {
        return event;
    }
    std::future::pending().await
}

/// Takes what the receiver hears: audio to the player, events to whoever listens.
struct Ear {
    player: SharedPlayer,
    heard: Arc<AtomicU32>,
    events: mpsc::UnboundedSender<ReceiverEvent>,
}

impl ReceiverSink for Ear {
    fn event(&mut self, _: Instant, event: ReceiverEvent) {
        // Nobody listens to events while the program ends.
        let _ = self.events.send(event);
    }

    fn packet(&mut self, now: Instant, request: RequestId, header: &AudioHeader, rtp: &[u8]) {
        if request.0 != self.heard.load(Ordering::Acquire) {
            return;
        }
        let mut player = lock(&self.player);
        player.handle_packet(now, header, rtp);
    }

    fn patience(&mut self, request: RequestId, leg: Leg) -> Duration {
        if request.0 == self.heard.load(Ordering::Acquire) {
            lock(&self.player).patience(leg)
        } else {
            Duration::ZERO
        }
    }

    fn expect_repairs(&mut self, request: RequestId, within: Option<Duration>) {
        if request.0 == self.heard.load(Ordering::Acquire) {
            lock(&self.player).expect_repairs(within);
        }
    }
}

/// A thread that panicked while it held the player left it as it was: playing on is right.
fn lock(player: &SharedPlayer) -> MutexGuard<'_, Player> {
    player.lock().unwrap_or_else(PoisonError::into_inner)
}
