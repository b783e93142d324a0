//! The BroadWorks link against the simulated BroadWorks, whose documents were written independently.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on panics")]

use std::time::Duration;

use silentmon_capture_core::link::broadworks::{BroadWorksConfig, BroadWorksLink, MonitoredUser};
use silentmon_capture_core::link::{HotelingAction, HotelingRequest, LinkCommand, LinkEvent};
use silentmon_capture_io::clock::Clock;
use silentmon_capture_io::cti::http::{Authorisation, HttpEndpoint, Plaintext, run_http_link};
use silentmon_capture_io::cti::stream::StreamEndpoint;
use silentmon_proto::cti::{AgentState, CallEvent, CallEventKind, CtiEvent, LinkUpdate, ReleasingParty, script};
use silentmon_simulators::{BroadWorks, BroadWorksOptions, Fault, Handle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

struct Session {
    simulator: Handle,
    events: mpsc::Receiver<LinkEvent>,
    commands: mpsc::Sender<LinkCommand>,
    shutdown: CancellationToken,
}

impl Session {
    /// A simulator with so many XSPs, and a link to it that is up.
    async fn start(xsps: usize) -> Self {
        let options = BroadWorksOptions {
            xsps: vec!["127.0.0.1:0".parse().expect("an address"); xsps],
            login: Some(("admin".to_owned(), "secret".to_owned())),
            ..BroadWorksOptions::default()
        };
        let simulator = BroadWorks::start(options).expect("free ports");
        simulator.inject(event(
            r#"{"at":0,"event":"agent_state","agent":"4711","extension":"3001","state":"available"}"#,
        ));
        let endpoints: Vec<_> = simulator
            .addresses()
            .iter()
            .map(|address| {
                let place = StreamEndpoint {
                    host: address.ip().to_string(),
                    port: address.port(),
                    tls: None,
                };
                let login = Authorisation::Basic {
                    user: "admin".to_owned(),
                    password: "secret".to_owned(),
                };
                HttpEndpoint::new(place, login, Plaintext::InLabOnly).expect("allowed")
            })
            .collect();
        let clock = Clock::start();
        let users = ["3001", "4001"].map(|number| MonitoredUser::agent(format!("{number}@example.com"), number));
        let config = BroadWorksConfig {
            heartbeat: Duration::from_millis(300),
            silent_heartbeats: 200,
            ..BroadWorksConfig::new("bw", endpoints.len(), users.to_vec(), 7)
        };
        let link = Box::new(BroadWorksLink::new(config, clock.now()));
        let (told, events) = mpsc::channel(64);
        let (commands, queue) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        tokio::spawn(run_http_link(link, endpoints, clock, told, queue, shutdown.clone()));
        let mut session = Self {
            simulator,
            events,
            commands,
            shutdown,
        };
        let (mut up, mut agent) = (false, false);
        while !(up && agent) {
            let told = session.until(|event| is_up(event) || is_available(event)).await;
            up |= told.iter().any(is_up);
            agent |= told.iter().any(is_available);
        }
        session
            .simulator
            .wait_for(|counters| counters.sessions_opened == xsps as u64)
            .await;
        session.simulator.take_requests();
        session
    }

    /// What the link tells up to the first event that is wanted, with that one last.
    async fn until(&mut self, wanted: impl Fn(&CtiEvent) -> bool) -> Vec<CtiEvent> {
        let mut told = Vec::new();
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
            let Some(LinkEvent::Cti(event)) = event.unwrap_or_else(|_| panic!("told only {told:#?}")) else {
                panic!("told only {told:#?}")
            };
            told.push(event);
            if told.last().is_some_and(&wanted) {
                return told;
            }
        }
    }

    async fn until_call(&mut self, kind: CallEventKind) -> CallEvent {
        let told = self
            .until(|event| matches!(event, CtiEvent::Call(call) if call.kind == kind))
            .await;
        match told.into_iter().next_back() {
            Some(CtiEvent::Call(call)) => call,
            other => panic!("{other:?}"),
        }
    }

    fn call(&self, kind: &str) {
        self.simulator.inject(event(&format!(
            r#"{{"at":0,"event":"call","agent":"4711","call":"81","kind":"{kind}","acd":true,"calling":"5551234","called":"8001"}}"#
        )));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn event(line: &str) -> CtiEvent {
    script::parse(line).expect("a good line").remove(0).event
}

fn is_up(event: &CtiEvent) -> bool {
    matches!(event, CtiEvent::Link(LinkUpdate { down: None, .. }))
}

fn is_available(event: &CtiEvent) -> bool {
    matches!(event, CtiEvent::AgentState(update) if update.state == AgentState::Available)
}

fn is_down(event: &CtiEvent) -> bool {
    matches!(event, CtiEvent::Link(LinkUpdate { down: Some(_), .. }))
}

/// A snapshot of the agent's phone with so many calls.
fn is_snapshot(event: &CtiEvent, calls: usize) -> bool {
    matches!(event, CtiEvent::DeviceSnapshot(snapshot)
        if snapshot.device.as_str() == "3001" && snapshot.calls.len() == calls)
}

#[tokio::test]
async fn a_call_is_told_from_ringing_to_release_however_the_stream_is_cut() {
    let mut session = Session::start(1).await;
    session.simulator.fault(Fault::Split { seed: 5 });
    for kind in ["delivered", "established", "held", "retrieved"] {
        session.call(kind);
    }
    session.simulator.inject(event(
        r#"{"at":0,"event":"call","agent":"4711","call":"81","kind":"connection_cleared","released_by":"remote"}"#,
    ));
    session.simulator.inject(event(
        r#"{"at":0,"event":"agent_state","agent":"4711","state":"work_not_ready"}"#,
    ));
    let delivered = session.until_call(CallEventKind::Delivered).await;
    assert_eq!(
        (delivered.acd, delivered.calling.as_deref()),
        (Some(true), Some("5551234"))
    );
    assert_eq!(delivered.device, Some("3001".into()));
    for kind in [
        CallEventKind::Established,
        CallEventKind::Held,
        CallEventKind::Retrieved,
    ] {
        session.until_call(kind).await;
    }
    let cleared = session.until_call(CallEventKind::ConnectionCleared).await;
    assert_eq!(cleared.released_by, Some(ReleasingParty::Remote));
    session
        .until(|event| matches!(event, CtiEvent::AgentState(update) if update.state == AgentState::WorkReady))
        .await;
    let counters = session.simulator.counters();
    assert_eq!(counters.bad_messages, 0, "{counters:?}");
}

#[tokio::test]
async fn an_xsp_that_goes_away_leaves_the_events_to_the_other() {
    let mut session = Session::start(2).await;
    session.simulator.fault(Fault::Down {
        side: Some(silentmon_simulators::Side(0)),
        seconds: None,
        how: silentmon_simulators::CloseHow::Rst,
    });
    session
        .simulator
        .wait_for(|counters| counters.faults > 0)
        .await
        .expect("the simulator runs");
    session.call("established");
    // Where the dying channel took the event with it, the state is asked for.
    let told = session
        .until(|event| matches!(event, CtiEvent::Call(_)) || is_snapshot(event, 1))
        .await;
    assert!(!told.iter().any(is_down), "{told:#?}");
}

#[tokio::test]
async fn a_lost_event_is_made_good_by_a_snapshot() {
    let mut session = Session::start(1).await;
    session.simulator.fault(Fault::SequenceGap { user: None, count: 1 });
    session.call("delivered");
    session.call("established");
    session.until(|event| is_snapshot(event, 1)).await;
}

#[tokio::test]
async fn a_failover_closes_the_stuck_call() {
    let mut session = Session::start(1).await;
    session.call("established");
    session.until_call(CallEventKind::Established).await;
    session.simulator.fault(Fault::Failover { user: None });
    session.until(|event| is_snapshot(event, 0)).await;
}

#[tokio::test]
async fn a_resync_tells_the_calls_as_they_are() {
    let mut session = Session::start(1).await;
    session.call("established");
    session.until_call(CallEventKind::Established).await;
    session.simulator.fault(Fault::Resync { user: None });
    session.until(|event| is_snapshot(event, 1)).await;
    session
        .commands
        .send(LinkCommand::SnapshotDevice("3001".into()))
        .await
        .expect("taken");
    session.until(|event| is_snapshot(event, 1)).await;
}

#[tokio::test]
async fn channels_and_subscriptions_that_end_are_made_anew() {
    let mut session = Session::start(1).await;
    session.call("established");
    session.until_call(CallEventKind::Established).await;
    session.simulator.fault(Fault::ChannelTerminated { side: None });
    session.until(is_down).await;
    session.until(|event| is_snapshot(event, 1)).await;
    session
        .simulator
        .fault(Fault::HeartbeatStatus { status: 404, count: 1 });
    session.until(is_down).await;
    session.until(|event| is_snapshot(event, 1)).await;
    session.simulator.fault(Fault::SubscriptionTerminated { user: None });
    session.until(|event| is_snapshot(event, 1)).await;
}

#[tokio::test]
async fn a_guest_is_signed_in_and_out() {
    let mut session = Session::start(1).await;
    for (number, action) in [(1, HotelingAction::Login), (2, HotelingAction::Logout)] {
        let request = HotelingRequest {
            number,
            action,
            guest: "4001@example.com".into(),
            host: "3001".into(),
        };
        session
            .commands
            .send(LinkCommand::Hoteling(request))
            .await
            .expect("taken");
        let done = loop {
            match tokio::time::timeout(PATIENCE, session.events.recv())
                .await
                .expect("in time")
            {
                Some(LinkEvent::Done { number, result }) => break (number, result),
                Some(LinkEvent::Cti(_)) => {}
                None => panic!("the link ended"),
            }
        };
        assert_eq!(done, (number, Ok(())));
    }
    let names: Vec<_> = session
        .simulator
        .take_requests()
        .into_iter()
        .map(|request| request.name)
        .filter(|name| !name.contains("ubscri"))
        .collect();
    assert_eq!(
        names,
        [
            "SetAgentState",
            "ModifyCallForwardingAlways",
            "ModifyHotelingGuest",
            "SetAgentState",
            "SetAgentState",
            "ModifyCallForwardingAlways",
            "ModifyHotelingGuest",
        ]
    );
}
