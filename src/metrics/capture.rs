//! The capture server's figures, served over HTTP without encryption, as Prometheus expects it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use silentmon_capture_core::engine::ClusterFigures;
use silentmon_capture_core::policy::PauseKind;
use silentmon_capture_io::service::{Refusals, ServiceFigures};
use silentmon_certs::Expiry;
use silentmon_proto::ids::{Leg, ServerName};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Figures, Labels, Metrics, Page};
use crate::audit::syslog;
use crate::exit::{ExitKind, Failure};

/// The page, bound but not yet served.
pub struct MetricsPage {
    listener: TcpListener,
    metrics: Metrics,
}

impl MetricsPage {
    /// Binds the address.
    ///
    /// # Errors
    /// `Unavailable` where it is taken.
    pub async fn bind(listen: SocketAddr, server: &ServerName, figures: CaptureFigures) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::error(ExitKind::Unavailable, format!("metrics.listen: {error}")))?;
        let labels = vec![("server", server.to_string())];
        let metrics = Metrics::new(figures, labels);
        Ok(Self { listener, metrics })
    }

    /// Serves `GET /metrics` until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let metrics = Arc::new(self.metrics);
        let routes = Router::new().route("/metrics", get(async move || metrics.answer()));
        let served = axum::serve(self.listener, routes)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the metrics ended");
        }
    }
}

/// Where the figures come from.
#[derive(Debug)]
pub struct CaptureFigures {
    /// The service.
    pub service: watch::Receiver<Option<ServiceFigures>>,
    /// Until when certificates and revocation lists are good.
    pub expiries: watch::Receiver<Vec<Expiry>>,
    /// Who was turned away at a door.
    pub refusals: Refusals,
    /// How the journal's second sink is doing, where there is one.
    pub second_sink: Option<syslog::Progress>,
}

impl Figures for CaptureFigures {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(second) = &self.second_sink {
            second_sink(page, second.lag())?;
        }
        certificates(page, &self.expiries.borrow())?;
        refusals(page, &self.refusals)?;
        let Some(figures) = self.service.borrow().clone() else {
            return Ok(());
        };
        sessions(page, &figures)?;
        reasons(page, &figures)?;
        turned_away(page, &figures)?;
        legs(page, &figures)?;
        if let Some(cluster) = &figures.engine.cluster {
            members(page, cluster)?;
            let dropped = figures.member_datagrams_dropped as f64;
            let help = "Datagrams of other members that came while the event loop was behind";
            page.counter("member_datagrams_dropped", help, [(NONE, dropped)])?;
        }
        capture(page, &figures)
    }
}

const NONE: Labels<'static> = &[];

fn second_sink(page: &mut Page<'_>, lag: syslog::Lag) -> fmt::Result {
    let records = lag.records as f64;
    page.gauge(
        "audit_unsent_records",
        "Audit records that audit.syslog hasn't taken yet",
        [(NONE, records)],
    )?;
    let connected = f64::from(u8::from(lag.connected));
    page.gauge(
        "audit_sink_up",
        "Whether audit.syslog takes records",
        [(NONE, connected)],
    )
}

/// Of each kind the one that ends first.
fn certificates(page: &mut Page<'_>, expiries: &[Expiry]) -> fmt::Result {
    let now = OffsetDateTime::now_utc();
    let mut first = BTreeMap::new();
    for expiry in expiries {
        let days = expiry.days_left(now);
        let least = first.entry(expiry.kind).or_insert(days);
        *least = days.min(*least);
    }
    let values: Vec<_> = first.into_iter().map(|(kind, days)| ([("what", kind)], days)).collect();
    let help = "Days until a certificate, an authority or a revocation list ends; negative once it is over";
    page.gauge(
        "certificate_days_left",
        help,
        values.iter().map(|(labels, days)| (&labels[..], *days)),
    )
}

fn refusals(page: &mut Page<'_>, refusals: &Refusals) -> fmt::Result {
    let counts: Vec<_> = refusals
        .counts()
        .into_iter()
        .map(|(door, why, count)| ([("door", door), ("why", why)], count as f64))
        .collect();
    let help = "Connections turned away before anything was said, by door and reason";
    page.counter(
        "connections_refused",
        help,
        counts.iter().map(|(labels, count)| (&labels[..], *count)),
    )
}

fn sessions(page: &mut Page<'_>, figures: &ServiceFigures) -> fmt::Result {
    let engine = &figures.engine;
    let gauges = [
        ("sessions", "Monitoring sessions that run", engine.sessions),
        (
            "supervisor_connections",
            "Connections of supervisors",
            engine.connections,
        ),
        ("agents", "Agents known", engine.agents),
        (
            "locked_names",
            "Names locked after failed sign-ins, by source",
            engine.locked,
        ),
        ("streams", "RTP streams of agents' phones kept", engine.streams),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, [(NONE, value as f64)])?;
    }
    let started = engine.sessions_started as f64;
    page.counter("sessions_started", "Monitoring sessions started", [(NONE, started)])?;
    let refused = engine.sessions_refused as f64;
    page.counter("sessions_refused", "Monitoring sessions refused", [(NONE, refused)])?;
    let pauses = [(PauseKind::Payment, "payment"), (PauseKind::Private, "private")];
    let pauses = pauses.map(|(kind, name)| ([("kind", name)], engine.pauses.get(&kind).copied().unwrap_or_default()));
    let help = "Pauses in which nothing of a call leaves the server, by what they are for";
    page.gauge(
        "pauses",
        help,
        pauses.iter().map(|(labels, count)| (&labels[..], *count as f64)),
    )?;
    let foreign = engine.foreign_requests.iter();
    let foreign: Vec<_> = foreign
        .map(|(request, count)| ([("request", request.name())], *count as f64))
        .collect();
    let help = "Messages refused because their sender has no right to what they are about";
    let foreign = foreign.iter().map(|(labels, count)| (&labels[..], *count));
    page.counter("foreign_requests", help, foreign)?;
    let forgotten = engine.failures_forgotten as f64;
    let help = "Failed sign-ins forgotten because there were too many to keep";
    page.counter("sign_in_failures_forgotten", help, [(NONE, forgotten)])?;
    let links: Vec<_> = engine
        .links
        .iter()
        .map(|(name, down)| ([("link", name.as_str())], f64::from(u8::from(down.is_none()))))
        .collect();
    let links = links.iter().map(|(labels, up)| (&labels[..], *up));
    page.gauge("cti_link_up", "Whether events flow from a CTI source", links)
}

/// An agent with a warning counts at that too.
fn reasons(page: &mut Page<'_>, figures: &ServiceFigures) -> fmt::Result {
    let (agents, sessions) = &figures.reasons;
    let gauges = [
        (
            "agents_by_reason",
            "Agents, by the reason why they can be heard or not",
            agents,
        ),
        (
            "sessions_by_reason",
            "Sessions, by the reason why they are heard or not",
            sessions,
        ),
    ];
    for (name, help, counts) in gauges {
        let texts: Vec<_> = counts.iter().map(|(code, count)| (code.to_string(), *count)).collect();
        let labels: Vec<_> = texts
            .iter()
            .map(|(code, count)| ([("reason", code.as_str())], *count as f64))
            .collect();
        page.gauge(name, help, labels.iter().map(|(labels, count)| (&labels[..], *count)))?;
    }
    Ok(())
}

fn turned_away(page: &mut Page<'_>, figures: &ServiceFigures) -> fmt::Result {
    let door = figures.door;
    let counts = [
        ("malformed_message", door.messages),
        ("malformed_datagram", door.datagrams),
        ("too_many_repair_requests", door.requests),
    ];
    let labels = counts.map(|(what, count)| ([("what", what)], count as f64));
    let help = "What connected supervisors sent and wasn't taken, by what was wrong with it";
    page.counter(
        "requests_refused",
        help,
        labels.iter().map(|(labels, count)| (&labels[..], *count)),
    )?;
    let help = "Messages of supervisors who ask for too much, which had to wait";
    page.counter("messages_delayed", help, [(NONE, door.delayed as f64)])
}

fn legs(page: &mut Page<'_>, figures: &ServiceFigures) -> fmt::Result {
    let legs = &figures.engine.legs;
    let counts = |leg: Leg| &legs[leg.index()].counts;
    page.legs("packets_captured", "RTP packets of monitored calls captured", |leg| {
        counts(leg).captured as f64
    })?;
    page.legs("packets_duplicate", "Duplicates that the mirror delivered", |leg| {
        counts(leg).duplicates as f64
    })?;
    page.legs("packets_relayed", "Datagrams sent to supervisors", |leg| {
        counts(leg).relayed as f64
    })?;
    page.legs(
        "packets_suppressed",
        "Packets relayed as silence: telephone events, pauses",
        |leg| counts(leg).suppressed as f64,
    )?;
    page.legs(
        "packets_asked_again",
        "Packets that supervisors' programs missed",
        |leg| counts(leg).asked as f64,
    )?;
    page.legs("packets_copied", "Packets sent twice in advance", |leg| {
        counts(leg).copies as f64
    })?;
    let help = "Packets asked for again, by what became of them";
    page.legs_by("repairs", help, "answer", |leg| {
        let counts = counts(leg);
        [
            ("sent", counts.resent),
            ("refused", counts.refused),
            ("not_kept", counts.not_kept),
        ]
    })?;
    let help = "RTP packets missing, by where they were lost";
    page.legs_by("packets_lost", help, "cause", |leg| {
        let counts = counts(leg);
        [
            ("call", counts.lost_in_call),
            ("mirror", counts.lost_in_mirror),
            ("narrow_path", counts.shed),
        ]
    })?;
    let [agent, customer] = legs;
    let help = "Estimated listening quality of calls, one value for each session that is over";
    page.histogram("call_mos", help, [&agent.mos, &customer.mos])
}

fn members(page: &mut Page<'_>, cluster: &ClusterFigures) -> fmt::Result {
    let up: Vec<_> = cluster
        .members
        .iter()
        .map(|(server, there)| ([("member", server.as_str())], f64::from(u8::from(*there))))
        .collect();
    let help = "Whether another member of the cluster is there";
    page.gauge("member_up", help, up.iter().map(|(labels, up)| (&labels[..], *up)))?;
    let clocks: Vec<_> = cluster
        .clocks
        .iter()
        .map(|(server, ahead)| ([("member", server.as_str())], *ahead))
        .collect();
    let help = "How far another member's clock is ahead of ours";
    let clocks = clocks.iter().map(|(labels, ahead)| (&labels[..], *ahead));
    page.gauge("member_clock_ahead_seconds", help, clocks)?;
    if let Some(leaves) = cluster.leaves {
        let help = "Leaves of the cluster, by whether they dialled this hub, others alone, or are reached by none";
        let counts: [(Labels<'_>, f64); 3] = [
            (&[("at", "this_hub")], leaves.here as f64),
            (&[("at", "other_hubs")], leaves.elsewhere as f64),
            (&[("at", "none")], leaves.lost as f64),
        ];
        page.gauge("leaves", help, counts)?;
    }
    let help = "Whether this member holds the cluster's CTI sessions";
    page.gauge("holds_cti", help, [(NONE, f64::from(u8::from(cluster.holds_cti)))])?;
    if let Some(reached) = cluster.store {
        let help = "Whether the store is reached by which members learn of each other";
        page.gauge("cluster_store_up", help, [(NONE, f64::from(u8::from(reached)))])?;
    }
    let help = "Sessions that other members hear for their supervisors";
    page.gauge("relayed_sessions", help, [(NONE, cluster.relayed_sessions as f64)])?;
    let help = "Datagrams of other members that were of no use: of no session here, or too late";
    page.counter("member_datagrams_refused", help, [(NONE, cluster.turned_away as f64)])
}

fn capture(page: &mut Page<'_>, figures: &ServiceFigures) -> fmt::Result {
    let stats = &figures.capture;
    page.counter(
        "capture_frames",
        "Frames taken from the source",
        [(NONE, stats.frames as f64)],
    )?;
    page.counter(
        "capture_bytes",
        "Bytes of frames taken from the source",
        [(NONE, stats.bytes as f64)],
    )?;
    let datagrams: [(Labels<'_>, f64); 2] = [
        (&[("wanted", "yes")], stats.passed as f64),
        (&[("wanted", "no")], stats.unwanted as f64),
    ];
    page.counter(
        "capture_datagrams",
        "Datagrams, by whether a session wants them",
        datagrams,
    )?;
    let dropped: [(Labels<'_>, f64); 3] = [
        (&[("by", "interface")], stats.interface_dropped as f64),
        (&[("by", "kernel")], stats.kernel_dropped as f64),
        (&[("by", "event_loop")], stats.dropped_handover as f64),
    ];
    page.counter("capture_dropped", "Frames lost by the capture itself", dropped)?;
    let failures = figures.plain_rtp_failures as f64;
    page.counter(
        "plain_rtp_failures",
        "Packets of plain RTP that weren't sent",
        [(NONE, failures)],
    )
}
