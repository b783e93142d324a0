//! `silentmon listen AGENT`: hears an agent from a terminal, for a while or until it is stopped.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use silentmon_playback_core::player::{PlayoutSettings, Preset};
use silentmon_playback_core::relay_watch::RelayWatch;
use silentmon_playback_core::report::LegReport;
use silentmon_playback_io::clock;
use silentmon_playback_io::receiver::{MonitorRequest, Persistence, ReceiverEvent, RequestId, SuperviseWish};
use silentmon_playback_io::sink::{Output, Sink, SinkEvent};
use silentmon_proto::ids::{AgentId, CallId, ServerName};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{LegStatus, OutputKind, PLAIN_RTP_PORT, SessionStatus, SuperviseAction};
use silentmon_proto::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::ServerArgs;
use crate::exit::{ExitKind, Failure};
use crate::listening::{Listener, heard_reason, next_sink_event, relay_counts};
use crate::quality::LegQuality;
use crate::sound::{Sound, SoundArgs};
use crate::summary::{Heard, Summary};
use crate::{keyboard, output, shutdown, tls};

/// How often all servers are tried before the command gives up.
const ROUNDS: u32 = 2;
/// The keys by which a supervisor joins a call.
const CONTROLS: [(SuperviseAction, &str); 2] = [(SuperviseAction::BargeIn, "b"), (SuperviseAction::Intercept, "i")];
/// How long the server may take to end a session.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Arguments of `listen`.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// The agent.
    agent: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Where the sound goes: default, DEVICE, wav:FILE, null; or rtp:IP or rtp:IP:PORT, where the server sends plain RTP.
    #[arg(long, value_name = "OUTPUT", default_value = "default")]
    output: String,
    /// How long to listen, from the start of the session; without it until Ctrl-C.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Why, for the server's audit; some servers want one of a list.
    #[arg(long, visible_alias = "purpose", value_name = "TEXT")]
    reason: Option<String>,
    /// Goes on listening without asking when the server's policy asks whether you still do; otherwise Enter says so.
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    delay: DelayArgs,
    /// Your own phone: with it, b and Enter joins the agent's call, i and Enter takes it over, where the server can.
    #[arg(long, value_name = "EXT")]
    supervisor_device: Option<String>,
    #[command(flatten)]
    sound: SoundArgs,
    /// A JSON summary at the end.
    #[arg(long)]
    json: bool,
}

/// How long packets wait.
#[derive(Debug, Args)]
struct DelayArgs {
    /// low: as little delay as possible; balanced; smooth: late packets are waited for. For files smooth, else balanced.
    #[arg(long, value_name = "PRESET", value_parser = preset)]
    preset: Option<Preset>,
    /// Packets wait at least so long, whatever the preset: 0, or 500 where a file is written, which nobody hears live.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=2000))]
    min_delay_ms: Option<u64>,
    /// Packets wait no longer, even if they are lost for that [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(20..=2000))]
    max_delay_ms: Option<u64>,
}

impl DelayArgs {
    fn settings(&self, usual: PlayoutSettings) -> PlayoutSettings {
        let min_delay = self.min_delay_ms.map_or(usual.min_delay, Duration::from_millis);
        PlayoutSettings {
            preset: self.preset.unwrap_or(usual.preset),
            min_delay,
            max_delay: self
                .max_delay_ms
                .map_or(usual.max_delay.max(min_delay), Duration::from_millis),
            ..usual
        }
    }
}

fn preset(text: &str) -> Result<Preset, String> {
    Preset::from_name(text).ok_or_else(|| "expected low, balanced or smooth".to_owned())
}

/// A positive number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.ok_or_else(|| "expected a positive number of seconds".to_owned())
}

/// Listens.
///
/// # Errors
/// `NotPermitted` where the server refuses, `Unavailable` where no server or sound card can be had.
pub fn run(args: &ListenArgs) -> anyhow::Result<ExitCode> {
    let destination = Destination::parse(&args.output)?;
    let server = &args.server;
    let tls = tls::client(&server.files())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let summary = runtime.block_on(async {
        let playout = args.delay.settings(destination.usual_playout());
        let mut listener = Listener::connect(&server.servers, tls, Persistence::Rounds(ROUNDS), playout)?;
        listener.set_mix(args.sound.sound().mix());
        listen(listener, args, destination).await
    })?;
    output::status("");
    if args.json {
        output::json(&summary)?;
    } else {
        output::line(&summary.words());
    }
    Ok(ExitCode::SUCCESS)
}

/// What becomes of the sound.
enum Destination {
    Here(Output),
    PlainRtp(SocketAddr),
}

impl Destination {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let Some(receiver) = text.strip_prefix("rtp:") else {
            let output = text
                .parse::<Output>()
                .map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?;
            return Ok(Self::Here(output));
        };
        let address = receiver.parse().ok().or_else(|| {
            Some(SocketAddr::new(
                receiver.trim_matches(['[', ']']).parse().ok()?,
                PLAIN_RTP_PORT,
            ))
        });
        let wrong = || {
            Failure::error(
                ExitKind::Usage,
                format!("expected rtp:IP or rtp:IP:PORT, found rtp:{receiver}"),
            )
        };
        address.map(Self::PlainRtp).ok_or_else(wrong)
    }

    fn kind(&self) -> OutputKind {
        match self {
            Self::Here(Output::Wav(_)) => OutputKind::Record,
            Self::Here(Output::Default | Output::Device(_) | Output::Browser | Output::Null) => OutputKind::Play,
            Self::PlainRtp(receiver) => OutputKind::PlainRtp { receiver: *receiver },
        }
    }

    /// Nobody hears a file live: there packets may take their time.
    fn usual_playout(&self) -> PlayoutSettings {
        match self {
            Self::Here(Output::Wav(_)) => PlayoutSettings {
                preset: Preset::Smooth,
                min_delay: Duration::from_millis(500),
                ..PlayoutSettings::default()
            },
            Self::Here(Output::Default | Output::Device(_) | Output::Browser | Output::Null) | Self::PlainRtp(_) => {
                PlayoutSettings::default()
            }
        }
    }

    /// A recording is begun only when the server has allowed it; a sound card is tried before anyone is asked.
    const fn opens_early(&self) -> bool {
        !matches!(self, Self::Here(Output::Wav(_)))
    }

    fn open(&self, listener: &Listener) -> anyhow::Result<Option<Sink>> {
        let Self::Here(output) = self else { return Ok(None) };
        let sink = Sink::open(output, listener.player());
        sink.map(Some)
            .map_err(|error| Failure::error(ExitKind::Unavailable, error.reason().to_string()))
    }
}

/// One session from the command to its summary.
struct Session {
    agent: AgentId,
    request: RequestId,
    begun: Instant,
    server: Option<ServerName>,
    calls: Vec<CallId>,
    status: [LegStatus; 2],
    reason: Reason,
    relay: RelayWatch,
    sound: Sound,
    /// Whether the supervisor's phone is known and he can be brought into calls.
    joins: bool,
    controls: Vec<SuperviseAction>,
    started: bool,
    /// How long the server waits to hear that he still listens, once it asked.
    asked: Option<Duration>,
    over: bool,
}

async fn listen(mut listener: Listener, args: &ListenArgs, destination: Destination) -> anyhow::Result<Summary> {
    let stop = CancellationToken::new();
    shutdown::cancel_on_signal(stop.clone())?;
    let mut sink = if destination.opens_early() {
        destination.open(&listener)?
    } else {
        None
    };
    let agent = AgentId::new(&args.agent);
    let wish = MonitorRequest {
        agent: agent.clone(),
        purpose: args.reason.clone(),
        output: destination.kind(),
    };
    let sound = args.sound.sound();
    let mut session = Session::new(agent, listener.start(wish), sound, args.supervisor_device.is_some());
    let mut end = End::NotYetKnown;
    let mut keyboard = keyboard::lines(args.supervisor_device.is_some() || keyboard::is_attended());
    let mut wishes = 0;
    while !session.over {
        if args.confirm {
            session.confirm(&listener);
        }
        let event = tokio::select! {
            Some(line) = keyboard.recv() => {
                session.confirm(&listener);
                wishes += 1;
                let device = args.supervisor_device.as_deref().unwrap_or_default();
                if let Some(wish) = session.wish(&line, device, wishes) {
                    listener.supervise(session.request, wish);
                } else if press(&mut session.sound, &line) {
                    listener.set_mix(session.sound.mix());
                    output::status(&format!("Agent {}: {}", session.agent, session.sound));
                }
                continue;
            }
            () = stop.cancelled() => break,
            () = end.reached() => break,
            event = next_sink_event(&mut sink) => { show_output(&event); continue }
            event = listener.next_event() => event,
        };
        let Some(event) = event else { break };
        session.handle(event, &listener)?;
        if session.started && end == End::NotYetKnown {
            end = args
                .duration
                .map_or(End::Never, |duration| End::At(tokio::time::Instant::now() + duration));
            sink = match sink {
                None => destination.open(&listener)?,
                open => open,
            };
        }
    }
    finish(listener, session, sink).await
}

/// Changes the sound by each key of a line; says whether any of them does.
fn press(sound: &mut Sound, line: &str) -> bool {
    let before = sound.clone();
    for key in line.chars() {
        if let Some(change) = sound.key(key) {
            sound.change(change);
        }
    }
    *sound != before
}

/// Ends the session at the server too, so that its last sums are known.
async fn finish(mut listener: Listener, mut session: Session, sink: Option<Sink>) -> anyhow::Result<Summary> {
    listener.stop(session.request);
    let ended = async {
        while !session.over {
            let Some(event) = listener.next_event().await else {
                break;
            };
            session.handle(event, &listener)?;
        }
        Ok::<_, anyhow::Error>(())
    };
    if let Ok(result) = tokio::time::timeout(STOP_LIMIT, ended).await {
        result?;
    }
    let output_delay = sink.as_ref().map_or(Duration::ZERO, Sink::delay);
    if let Some(sink) = sink {
        // What was captured until the end is still to be played.
        tokio::time::sleep(listener.buffered().min(STOP_LIMIT)).await;
        sink.close();
    }
    let reports = listener.reports();
    listener.close().await;
    Ok(session.sum_up(&reports, output_delay))
}

/// When listening ends by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The session hasn't started.
    NotYetKnown,
    Never,
    At(tokio::time::Instant),
}

impl End {
    async fn reached(self) {
        match self {
            Self::At(end) => tokio::time::sleep_until(end).await,
            Self::NotYetKnown | Self::Never => std::future::pending().await,
        }
    }
}

fn show_output(event: &SinkEvent) {
    match event {
        SinkEvent::Opened { name, sample_rate } => tracing::info!(name, sample_rate, "output opened"),
        SinkEvent::Lost { name, cause } => tracing::warn!(name, cause, "the output is gone; listening goes on"),
        SinkEvent::Returned { name, sample_rate } => tracing::warn!(name, sample_rate, "the output is back"),
        SinkEvent::Failed { cause } => tracing::error!(cause, "the output failed; listening goes on without it"),
    }
}

impl Session {
    fn new(agent: AgentId, request: RequestId, sound: Sound, joins: bool) -> Self {
        Self {
            agent,
            request,
            begun: clock::now(),
            server: None,
            calls: Vec::new(),
            status: Default::default(),
            reason: Code::NoCaptureServer.into(),
            relay: RelayWatch::default(),
            sound,
            joins,
            controls: Vec::new(),
            started: false,
            asked: None,
            over: false,
        }
    }

    /// Says that he still listens, where that was asked.
    fn confirm(&mut self, listener: &Listener) {
        if self.asked.take().is_some() {
            listener.confirm(self.request);
            output::status(&format!("Agent {}: listening goes on", self.agent));
        }
    }

    /// What a line from the terminal asks for, where the server can do it.
    fn wish(&self, line: &str, device: &str, number: u32) -> Option<SuperviseWish> {
        let (action, _) = CONTROLS
            .into_iter()
            .find(|(action, key)| line.trim() == *key && self.controls.contains(action))?;
        Some(SuperviseWish {
            number,
            action,
            device: device.into(),
        })
    }

    /// The keys that do something now, for the status line.
    fn keys(&self) -> String {
        let able = CONTROLS.iter().filter(|(action, _)| self.controls.contains(action));
        let words = able.map(|(action, key)| match action {
            SuperviseAction::BargeIn => format!("{key}: join"),
            SuperviseAction::Intercept => format!("{key}: take over"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn handle(&mut self, event: ReceiverEvent, listener: &Listener) -> anyhow::Result<()> {
        match event {
            ReceiverEvent::Dialling { server } => output::status(&format!("Connecting to {server} …")),
            ReceiverEvent::DialFailed { server, reason } => {
                tracing::info!(%server, %reason, "no connection");
                self.reason = reason;
            }
            ReceiverEvent::Connected { name, .. } => self.server = Some(name),
            ReceiverEvent::Lost { server, reason, .. } => {
                output::status(&format!("Lost {server} ({reason}); your place is kept."));
                self.reason = reason;
            }
            ReceiverEvent::MonitorStarted { missed, .. } => {
                self.started = true;
                if let (Some(missed), Some(server)) = (missed, &self.server) {
                    let missed = missed.as_secs_f64();
                    output::complain(&format!("\nGoes on at {server}; {missed:.1} s were not heard."));
                }
            }
            ReceiverEvent::MonitorRefused { reason, .. } => return Err(refused(&reason)),
            ReceiverEvent::Status { status, .. } => self.take_status(status, &listener.reports()),
            ReceiverEvent::MonitorStopped { status, reason, .. } => {
                let by_server = reason.code != Code::AudioFlowing;
                if by_server && !self.started {
                    return Err(refused(&reason));
                }
                if let Some(status) = status {
                    self.take_status(status, &listener.reports());
                }
                if by_server {
                    self.reason = reason;
                }
                self.over = true;
            }
            ReceiverEvent::ConfirmListening { within, .. } => {
                self.asked = Some(within);
                output::complain(&format!(
                    "\nStill listening? Press Enter within {} s, or the session ends.",
                    within.as_secs()
                ));
            }
            ReceiverEvent::Supervised { result, .. } => match result {
                Ok(()) => output::complain("\nYou are in the call."),
                Err(why) => output::complain(&format!("\nYou are not in the call: {why}")),
            },
            ReceiverEvent::GaveUp { reason } => {
                return Err(Failure::error(ExitKind::Unavailable, reason.to_string()));
            }
            ReceiverEvent::Closed => self.over = true,
            _ => {}
        }
        Ok(())
    }

    fn take_status(&mut self, status: SessionStatus, reports: &[LegReport; 2]) {
        for call in status.calls {
            if !self.calls.contains(&call) {
                self.calls.push(call);
            }
        }
        self.controls = if self.joins { status.controls } else { Vec::new() };
        let complaint = self.relay.handle(relay_counts(&status.legs, reports), clock::now());
        let reason = heard_reason(&status.reason, complaint, &self.sound);
        let [agent, customer] = LegQuality::of_legs(reports, &status.legs);
        let parts = [reason.to_string(), agent.worse(customer).words(), self.keys()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        output::status(&format!("Agent {}: {}", self.agent, parts.join("   ")));
        self.status = status.legs;
        self.reason = reason;
    }

    fn sum_up(self, reports: &[LegReport; 2], output_delay: Duration) -> Summary {
        let first = reports.iter().filter_map(|report| report.first_audio).min();
        Summary::of(Heard {
            agent: self.agent,
            server: self.server,
            calls: self.calls,
            status: self.status,
            reports: *reports,
            output_delay,
            time_to_first_audio: first.map(|first| first - self.begun),
            reason: self.reason,
        })
    }
}

/// A refusal by authority or policy is a matter of rights; an agent nobody knows isn't.
fn refused(reason: &Reason) -> anyhow::Error {
    let kind = match reason.code {
        Code::NotAuthorised | Code::LockedOut | Code::ExcludedByPolicy => ExitKind::NotPermitted,
        _ => ExitKind::Unavailable,
    };
    Failure::error(kind, reason.to_string())
}
