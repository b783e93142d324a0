//! The playback service's figures; they stand behind the guard of its local interface.

use std::fmt;
use std::sync::Arc;

use axum::response::Response;
use silentmon_playback_core::report::LegReport;
use silentmon_proto::ids::Leg;
use silentmon_proto::quality::{DELAY_BOUNDS, Histogram, LossCounts, MOS_BOUNDS};
use tokio::sync::watch;

use super::{Figures, Labels, Metrics, Page};

/// What the service did since its start.
#[derive(Debug, Clone, Default)]
pub struct PlaybackFigures {
    /// Sessions started.
    pub sessions: u64,
    /// Whether one runs.
    pub listening: bool,
    /// Whether a capture server is connected.
    pub connected: bool,
    /// Both legs, the session that runs left out: agent, customer.
    past: [LegTotals; 2],
    /// The session that runs.
    present: [Option<LegReport>; 2],
}

/// One leg over all sessions.
#[derive(Debug, Clone)]
struct LegTotals {
    received: f64,
    lost_before_relay: f64,
    lost_on_relay: f64,
    repaired: f64,
    late: f64,
    dropped: f64,
    concealed: f64,
    audible: f64,
    mos: Histogram,
    delay: Histogram,
}

impl Default for LegTotals {
    fn default() -> Self {
        Self {
            received: 0.0,
            lost_before_relay: 0.0,
            lost_on_relay: 0.0,
            repaired: 0.0,
            late: 0.0,
            dropped: 0.0,
            concealed: 0.0,
            audible: 0.0,
            mos: Histogram::new(MOS_BOUNDS),
            delay: Histogram::new(DELAY_BOUNDS),
        }
    }
}

impl LegTotals {
    fn add(&mut self, report: &LegReport) {
        self.received += report.received as f64;
        self.lost_before_relay += report.heard.missing().saturating_sub(report.copy.missing()) as f64;
        self.lost_on_relay += report.lost_on_relay as f64;
        self.repaired += report.repaired as f64;
        self.late += report.late as f64;
        self.dropped += report.dropped as f64;
        self.concealed += report.concealed.as_secs_f64();
        self.audible += report.audible.as_secs_f64();
    }
}

impl PlaybackFigures {
    /// The session that runs, so far: agent, customer.
    pub fn set_present(&mut self, reports: &[LegReport; 2]) {
        self.present = reports.map(Some);
    }

    /// The session is over; what was set last is added up.
    pub fn end_session(&mut self) {
        self.listening = false;
        for (past, report) in self.past.iter_mut().zip(&mut self.present) {
            let Some(report) = report.take() else { continue };
            past.add(&report);
            if report.first_audio.is_some() {
                past.delay.observe(report.delay.mean.as_secs_f64());
                if let Some(mos) = report.copy_figures(&LossCounts::default()).mos {
                    past.mos.observe(mos);
                }
            }
        }
    }

    fn leg(&self, leg: Leg) -> LegTotals {
        let mut totals = self.past[leg.index()].clone();
        if let Some(report) = &self.present[leg.index()] {
            totals.add(report);
        }
        totals
    }
}

/// The page of the service.
#[derive(Clone)]
pub struct MetricsPage(Arc<Metrics>);

impl MetricsPage {
    /// Shows what is sent.
    pub fn new(figures: watch::Receiver<PlaybackFigures>) -> Self {
        Self(Arc::new(Metrics::new(Shown(figures), Vec::new())))
    }

    /// The figures as they are now.
    pub fn answer(&self) -> Response {
        self.0.answer()
    }
}

#[derive(Debug)]
struct Shown(watch::Receiver<PlaybackFigures>);

impl Figures for Shown {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = self.0.borrow().clone();
        let none: Labels<'_> = &[];
        let is = |yes: bool| f64::from(u8::from(yes));
        page.gauge(
            "listening",
            "Whether an agent is listened to",
            [(none, is(figures.listening))],
        )?;
        page.gauge(
            "server_connected",
            "Whether a capture server is connected",
            [(none, is(figures.connected))],
        )?;
        let sessions = figures.sessions as f64;
        page.counter("sessions_started", "Monitoring sessions started", [(none, sessions)])?;
        let legs = Leg::BOTH.map(|leg| figures.leg(leg));
        let of = |leg: Leg| &legs[leg.index()];
        page.legs("packets_received", "Packets that came", |leg| of(leg).received)?;
        page.legs("packets_late", "Packets that came too late to be played", |leg| {
            of(leg).late
        })?;
        page.legs("packets_dropped", "Packets that couldn't be taken", |leg| {
            of(leg).dropped
        })?;
        page.legs(
            "packets_lost_on_relay",
            "Packets lost on the way from the capture server",
            |leg| of(leg).lost_on_relay,
        )?;
        page.legs(
            "packets_repaired",
            "Of those, packets that came because they were sent again",
            |leg| of(leg).repaired,
        )?;
        page.legs(
            "packets_lost_before_relay",
            "Packets lost in the call or in the mirror",
            |leg| of(leg).lost_before_relay,
        )?;
        page.legs("concealed_seconds", "Sound that had to be made up", |leg| {
            of(leg).concealed
        })?;
        page.legs("audible_seconds", "Decoded sound played", |leg| of(leg).audible)?;
        let [agent, customer] = &legs;
        let help = "Estimated listening quality of our copy, one value for each session that is over";
        page.histogram("copy_mos", help, [&agent.mos, &customer.mos])?;
        let help = "Mean time packets waited for their turn, one value for each session that is over";
        page.histogram("playout_delay_seconds", help, [&agent.delay, &customer.delay])
    }
}
