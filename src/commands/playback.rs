//! `silentmon playback`: the service on a supervisor's desktop. It owns the sound; local programs tell it whom to hear.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use silentmon_playback_core::relay_watch::RelayWatch;
use silentmon_playback_io::clock;
use silentmon_playback_io::receiver::{MonitorRequest, Persistence, ReceiverEvent, RequestId, SuperviseWish};
use silentmon_playback_io::sink::{BrowserSound, Output, Sink, SinkEvent};
use silentmon_proto::ids::AgentId;
use silentmon_proto::relay::{AgentRow, LegStatus, OutputKind};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{self, playback::PlaybackConfig, playback::PlaybackSection};
use crate::exit::{ExitKind, Failure};
use crate::listening::{Listener, heard_reason, next_sink_event, relay_counts};
use crate::local_api::{self, LocalApi, PlaybackStatus, Quality, Supervise, Wish};
use crate::metrics::playback::{MetricsPage, PlaybackFigures};
use crate::quality::LegQuality;
use crate::sound::{Sound, SoundChange, SoundReport};
use crate::tls::FileWatch;
use crate::{shutdown, telemetry, tls};

/// How often quality and metrics are brought up to date.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// Wishes of local programs that may wait.
const WISHES: usize = 16;

/// Arguments of `playback`.
#[derive(Debug, Args)]
pub struct PlaybackArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only checks the configuration, as `config check` does.
    #[arg(long)]
    check: bool,
}

/// Serves until it is told to stop.
///
/// # Errors
/// `BadConfig`, `Unavailable` or `NotPermitted`, in one sentence.
pub fn run(args: &PlaybackArgs) -> anyhow::Result<ExitCode> {
    if args.check {
        return super::config::check(&args.config);
    }
    let config = config::load::<PlaybackConfig>(&args.config)?.playback;
    tokio::runtime::Runtime::new()?.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: PlaybackSection) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    shutdown::cancel_on_signal(stop.clone())?;
    let files = config.files();
    let tls = tls::client(&files)?;
    let mut certificates = FileWatch::new(files);
    let output: Output = config
        .output
        .parse()
        .map_err(|error| Failure::error(ExitKind::BadConfig, format!("playback.output: {error}")))?;
    let listener = Listener::connect(&config.servers, tls, Persistence::Forever, config.playout())?;
    listener.watch_agents();
    let (wish_sender, mut wishes) = mpsc::channel(WISHES);
    let (mut desk, api) = Desk::new(listener, output, wish_sender);
    desk.set_sound(config.sound());
    local_api::serve(&config.listen, local_api::make_token(&config.token)?, api, stop.clone()).await?;
    if let Some(agent) = config.agent {
        desk.fulfil(Wish::Listen {
            agent,
            purpose: config.purpose,
            output: None,
        });
    }
    telemetry::ready();
    let mut figures = tokio::time::interval(FIGURES_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(wish) = wishes.recv() => desk.fulfil(wish),
            _ = figures.tick() => desk.show_figures(),
            () = certificates.changed() => match tls::client(certificates.files()) {
                Ok(tls) => desk.listener.use_tls(tls),
                Err(error) => tracing::error!("the certificates in use stay as they were: {error:#}"),
            },
            event = next_sink_event(&mut desk.sink) => desk.handle_output(&event),
            event = desk.listener.next_event() => match event {
                Some(event) => desk.handle(event),
                None => break,
            },
        }
    }
    desk.leave().await;
    Ok(())
}

/// What the supervisor has before him: one session at most, one output, the list of agents.
struct Desk {
    listener: Listener,
    output: Output,
    /// Where sound for browsers goes.
    browsers: BrowserSound,
    sound: Sound,
    sink: Option<Sink>,
    session: Option<RequestId>,
    /// Wishes to join a call that wait for their answer, by number.
    supervising: BTreeMap<u32, oneshot::Sender<Result<(), String>>>,
    next_wish: u32,
    /// What the server said of each leg last.
    legs: [LegStatus; 2],
    /// Whether what the server sends arrives.
    relay: RelayWatch,
    status: watch::Sender<PlaybackStatus>,
    agents: watch::Sender<Vec<AgentRow>>,
    figures: watch::Sender<PlaybackFigures>,
}

impl Desk {
    fn new(listener: Listener, output: Output, wishes: mpsc::Sender<Wish>) -> (Self, LocalApi) {
        let idle = PlaybackStatus {
            agent: None,
            server: None,
            reason: None,
            output: "closed".to_owned(),
            session: None,
            confirm_within_s: None,
            controls: Vec::new(),
            quality: None,
        };
        let browsers = BrowserSound::default();
        let (figures, figures_receiver) = watch::channel(PlaybackFigures::default());
        let (status, status_receiver) = watch::channel(idle);
        let (agents, agents_receiver) = watch::channel(Vec::new());
        let api = LocalApi {
            wishes,
            status: status_receiver,
            agents: agents_receiver,
            browsers: browsers.clone(),
            metrics: MetricsPage::new(figures_receiver),
        };
        (
            Self {
                listener,
                output,
                browsers,
                sound: Sound::default(),
                sink: None,
                session: None,
                supervising: BTreeMap::new(),
                next_wish: 0,
                legs: Default::default(),
                relay: RelayWatch::default(),
                status,
                agents,
                figures,
            },
            api,
        )
    }

    fn fulfil(&mut self, wish: Wish) {
        match wish {
            Wish::Listen { agent, purpose, output } => {
                self.stop();
                let output = output.unwrap_or_else(|| self.output.clone());
                self.start(agent, purpose, &output);
            }
            Wish::Stop => self.stop(),
            Wish::Confirm => self.confirm(),
            Wish::Supervise(supervise) => self.supervise(supervise),
            Wish::Sound { change, answer } => {
                // Whoever asked has gone away where this fails.
                let _ = answer.send(self.change_sound(change));
            }
        }
    }

    /// The supervisor still listens.
    fn confirm(&mut self) {
        let asked = self.status.borrow().confirm_within_s.is_some();
        if let (true, Some(session)) = (asked, self.session) {
            self.listener.confirm(session);
            self.status.send_modify(|status| status.confirm_within_s = None);
        }
    }

    fn change_sound(&mut self, change: SoundChange) -> SoundReport {
        let mut sound = self.sound.clone();
        sound.change(change);
        if sound != self.sound {
            self.set_sound(sound);
        }
        SoundReport {
            sound: self.sound.clone(),
            levels: self.listener.levels(),
        }
    }

    fn set_sound(&mut self, sound: Sound) {
        self.listener.set_mix(sound.mix());
        self.sound = sound;
    }

    fn supervise(&mut self, supervise: Supervise) {
        let Some(session) = self.session else {
            // Whoever asked has gone away where this fails.
            let _ = supervise.answer.send(Err("nobody is listened to".to_owned()));
            return;
        };
        self.next_wish = self.next_wish.wrapping_add(1);
        self.supervising.insert(self.next_wish, supervise.answer);
        let wish = SuperviseWish {
            number: self.next_wish,
            action: supervise.action,
            device: supervise.device,
        };
        self.listener.supervise(session, wish);
    }

    fn start(&mut self, agent: AgentId, purpose: Option<String>, output: &Output) {
        let player = self.listener.player();
        let sink = match output {
            Output::Browser => Sink::open_for_browsers(&self.browsers, player),
            output => Sink::open(output, player),
        };
        match sink {
            Ok(sink) => self.sink = Some(sink),
            Err(error) => {
                let reason = error.reason();
                tracing::error!(reason = %reason.code, "{}", reason.text);
                self.status.send_modify(|status| status.reason = Some(reason));
                return;
            }
        }
        let output = match output {
            Output::Wav(_) => OutputKind::Record,
            Output::Default | Output::Device(_) | Output::Browser | Output::Null => OutputKind::Play,
        };
        let wish = MonitorRequest {
            agent: agent.clone(),
            purpose,
            output,
        };
        self.session = Some(self.listener.start(wish));
        self.legs = Default::default();
        self.relay = RelayWatch::default();
        self.figures.send_modify(|figures| {
            figures.sessions += 1;
            figures.listening = true;
        });
        self.status.send_modify(|status| {
            status.agent = Some(agent);
            status.reason = None;
        });
    }

    /// Once a second: how good what is heard is.
    fn show_figures(&mut self) {
        if !self.figures.borrow().listening {
            return;
        }
        let reports = self.listener.reports();
        let [agent, customer] = LegQuality::of_legs(&reports, &self.legs);
        self.status
            .send_modify(|status| status.quality = Some(Quality { agent, customer }));
        self.figures.send_modify(|figures| figures.set_present(&reports));
    }

    fn stop(&mut self) {
        self.show_figures();
        self.figures.send_modify(PlaybackFigures::end_session);
        if let Some(session) = self.session.take() {
            self.listener.stop(session);
        }
        if let Some(sink) = self.sink.take() {
            sink.close();
        }
        self.listener.forget();
        self.supervising.clear();
        self.status.send_modify(|status| {
            status.agent = None;
            status.reason = None;
            status.session = None;
            status.confirm_within_s = None;
            status.controls.clear();
            status.quality = None;
            "closed".clone_into(&mut status.output);
        });
    }

    fn handle(&mut self, event: ReceiverEvent) {
        match event {
            ReceiverEvent::Connected { server, name, .. } => {
                tracing::info!(%server, %name, "connected");
                self.status.send_modify(|status| status.server = Some(name));
                self.figures.send_modify(|figures| figures.connected = true);
            }
            ReceiverEvent::DialFailed { server, reason } => {
                tracing::warn!(%server, reason = %reason.code, "{}", reason.text);
            }
            ReceiverEvent::Lost { server, reason, .. } => {
                tracing::warn!(%server, reason = %reason.code, "connection lost, the session is kept: {}", reason.text);
                // Answers can no longer come.
                self.supervising.clear();
                self.status.send_modify(|status| status.server = None);
                self.figures.send_modify(|figures| figures.connected = false);
            }
            ReceiverEvent::MonitorStarted {
                missed: Some(missed), ..
            } => {
                tracing::warn!(missed_ms = missed.as_millis(), "the session goes on");
            }
            ReceiverEvent::Status { request, status } if self.session == Some(request) => {
                self.legs.clone_from(&status.legs);
                let counts = relay_counts(&self.legs, &self.listener.reports());
                let reason = heard_reason(&status.reason, self.relay.handle(counts, clock::now()), &self.sound);
                self.status.send_modify(|shown| {
                    shown.reason = Some(reason);
                    shown.session = Some(status.session.to_string());
                    shown.controls = status.controls;
                });
            }
            ReceiverEvent::ConfirmListening { request, within } if self.session == Some(request) => {
                let within_s = within.as_secs();
                tracing::warn!(within_s, "the session ends unless it is confirmed");
                self.status
                    .send_modify(|status| status.confirm_within_s = Some(within_s));
            }
            ReceiverEvent::Supervised { number, result } => {
                if let Some(answer) = self.supervising.remove(&number) {
                    // Whoever asked has gone away where this fails.
                    let _ = answer.send(result);
                }
            }
            ReceiverEvent::MonitorRefused { request, reason }
            | ReceiverEvent::MonitorStopped { request, reason, .. }
                if self.session == Some(request) =>
            {
                tracing::info!(reason = %reason.code, "the session is over");
                self.session = None;
                self.stop();
                self.status.send_modify(|status| status.reason = Some(reason));
            }
            ReceiverEvent::Agents(rows) => {
                self.agents.send_replace(rows);
            }
            ReceiverEvent::AgentChanged(row) => self.agents.send_modify(|rows| replace_row(rows, row)),
            _ => {}
        }
    }

    fn handle_output(&mut self, event: &SinkEvent) {
        let words = match event {
            SinkEvent::Opened { name, sample_rate } => format!("{name}, {sample_rate} Hz"),
            SinkEvent::Lost { name, cause } => format!("{name} is gone ({cause}); looking for it"),
            SinkEvent::Returned { name, sample_rate } => format!("{name}, {sample_rate} Hz, is back"),
            SinkEvent::Failed { cause } => format!("failed: {cause}"),
        };
        tracing::info!("output: {words}");
        self.status.send_modify(|status| status.output = words);
    }

    async fn leave(mut self) {
        self.stop();
        self.listener.close().await;
    }
}

fn replace_row(rows: &mut Vec<AgentRow>, row: AgentRow) {
    match rows.iter_mut().find(|known| known.agent == row.agent) {
        Some(known) => *known = row,
        None => rows.push(row),
    }
}
