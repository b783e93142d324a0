//! The receiver's decisions in virtual time.

use proptest::prelude::*;
use silentmon_proto::cti::AgentState;
use silentmon_proto::ids::{AgentId, ServerName, SessionId};
use silentmon_proto::relay::{OutputKind, SessionStatus, SuperviseAction};

use super::*;
use crate::receiver::{MonitorRequest, SuperviseWish};

mod dialling;
mod sessions;

const START: Instant = Instant::from_parts(1_000_000, 0);
const REQUEST: RequestId = RequestId(1);
const SESSION: SessionId = SessionId(77);

fn settings(servers: &[&str]) -> ReceiverSettings {
    ReceiverSettings {
        servers: servers
            .iter()
            .map(|server| server.parse().expect("an address"))
            .collect(),
        order: ServerOrder::Given,
        persistence: Persistence::Forever,
        software: "test".into(),
        transport: silentmon_transport::Settings::client(),
    }
}

fn wish() -> MonitorRequest {
    MonitorRequest {
        agent: AgentId::new("4711"),
        purpose: None,
        output: OutputKind::Play,
    }
}

fn status() -> SessionStatus {
    SessionStatus {
        session: SESSION,
        agent: AgentId::new("4711"),
        agent_state: AgentState::Talking,
        calls: Vec::new(),
        reason: Code::AudioFlowing.into(),
        warnings: Vec::new(),
        legs: Default::default(),
        controls: Vec::new(),
    }
}

fn welcome(version: u16) -> ServerMessage {
    ServerMessage::Welcome {
        version,
        server: ServerName::new("gw1"),
        software: "test".into(),
    }
}

fn started() -> ServerMessage {
    ServerMessage::MonitorStarted {
        request: 1,
        session: SESSION,
        channel: 9,
    }
}

fn unreachable() -> Reason {
    Reason::new(Code::NoCaptureServer, "no answer")
}

/// A machine and the time it believes in.
struct World {
    machine: Machine,
    now: Instant,
}

impl World {
    fn new(settings: ReceiverSettings) -> Self {
        Self {
            machine: Machine::new(settings, 42, START),
            now: START,
        }
    }

    fn welcomed(servers: &[&str]) -> Self {
        let mut world = Self::new(settings(servers));
        world.until_dialled();
        world.connect();
        world
    }

    fn listening() -> Self {
        let mut world = Self::welcomed(&["a"]);
        world.machine.start_monitor(REQUEST, wish(), world.now);
        world.hear(started());
        world.said();
        world.events();
        world
    }

    fn connect(&mut self) {
        self.machine.handle_connected(self.now);
        self.hear(welcome(1));
        self.said();
        self.events();
    }

    fn hear(&mut self, message: ServerMessage) {
        self.machine.handle_message(message, self.now);
    }

    /// Lets time pass up to the next timeout.
    fn wait(&mut self) -> Duration {
        let at = self.machine.poll_timeout().expect("something is due");
        let waited = at - self.now;
        self.now = self.now.max(at);
        self.machine.handle_timeout(self.now);
        waited
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.machine.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn until_dialled(&mut self) -> String {
        for _ in 0..10 {
            while let Some(action) = self.machine.poll_action() {
                if let Action::Dial(server) = action {
                    return server.host().to_owned();
                }
            }
            self.wait();
        }
        unreachable!("never dials")
    }

    fn said(&mut self) -> Vec<ClientMessage> {
        std::iter::from_fn(|| self.machine.poll_transmit()).collect()
    }

    fn events(&mut self) -> Vec<ReceiverEvent> {
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.machine.poll_action()).collect()
    }
}

fn start_message(resume: Option<SessionId>) -> ClientMessage {
    ClientMessage::StartMonitor {
        request: 1,
        agent: AgentId::new("4711"),
        resume,
        purpose: None,
        output: OutputKind::Play,
    }
}

#[test]
fn says_hello_and_waits_for_the_welcome_before_asking_for_sessions() {
    let mut world = World::new(settings(&["a"]));
    world.machine.start_monitor(REQUEST, wish(), world.now);
    world.until_dialled();
    world.machine.handle_connected(world.now);
    assert_eq!(
        world.said(),
        [ClientMessage::Hello {
            version: 1,
            software: "test".into()
        }]
    );
    world.hear(welcome(1));
    assert_eq!(world.said(), [start_message(None)]);
}

#[test]
fn sends_a_heartbeat_where_it_said_nothing_for_five_seconds() {
    let mut world = World::listening();
    assert_eq!(world.wait(), HEARTBEAT);
    assert_eq!(world.said(), [ClientMessage::Heartbeat { sent: world.now }]);
    world.machine.watch_agents(world.now + Duration::from_secs(3));
    world.now += Duration::from_secs(3);
    world.said();
    assert_eq!(world.wait(), HEARTBEAT, "the list was said three seconds later");
}

#[test]
fn fifteen_seconds_of_silence_are_a_lost_connection() {
    let mut world = World::listening();
    world.pass(Duration::from_millis(14_999));
    assert_eq!(world.events(), []);
    world.pass(Duration::from_millis(1));
    let events = world.events();
    assert!(matches!(events.as_slice(), [ReceiverEvent::Lost { .. }]), "{events:?}");
    assert_eq!(world.actions(), [Action::HangUp(CloseCode::Silence, "silence".into())]);
}

#[test]
fn audio_alone_keeps_a_connection() {
    let mut world = World::listening();
    for _ in 0..10 {
        world.pass(Duration::from_secs(10));
        assert_eq!(world.machine.handle_datagram(9, world.now), Some(REQUEST));
    }
    assert_eq!(world.events(), []);
}

#[test]
fn a_server_whose_audio_stops_is_asked_once_whether_it_is_there() {
    let mut world = World::listening();
    for _ in 0..50 {
        world.pass(Duration::from_millis(20));
        world.machine.handle_datagram(9, world.now);
    }
    let begin = world.now;
    assert_eq!(world.said(), []);
    world.wait();
    assert_eq!(world.now - begin, QUIET);
    assert_eq!(world.said(), [ClientMessage::Heartbeat { sent: world.now }]);
    world.hear(ServerMessage::Heartbeat { sent: world.now });
    world.pass(Duration::from_secs(4));
    assert_eq!(world.said(), [], "it is there: a call may be silent");
}

#[test]
fn closing_stops_the_sessions_waits_for_them_and_says_goodbye() {
    let mut world = World::listening();
    world.machine.close(world.now);
    assert_eq!(world.said(), [ClientMessage::StopMonitor { session: SESSION }]);
    assert_eq!(world.events(), []);
    world.hear(ServerMessage::MonitorStopped {
        session: SESSION,
        reason: closed_here(),
        status: status(),
    });
    assert_eq!(world.said(), [ClientMessage::Goodbye]);
    let events = world.events();
    assert!(
        matches!(
            events.as_slice(),
            [ReceiverEvent::MonitorStopped { .. }, ReceiverEvent::Closed]
        ),
        "{events:?}"
    );
    assert_eq!(
        world.actions(),
        [Action::HangUp(CloseCode::Done, "goodbye".into()), Action::End]
    );
}

#[test]
fn closing_waits_no_longer_than_two_seconds() {
    let mut world = World::listening();
    world.machine.close(world.now);
    world.said();
    assert_eq!(world.wait(), STOP_LIMIT);
    assert_eq!(world.said(), [ClientMessage::Goodbye]);
    assert_eq!(world.events().pop(), Some(ReceiverEvent::Closed));
}

#[test]
fn closing_while_dialling_ends_at_once() {
    let mut world = World::new(settings(&["a"]));
    world.until_dialled();
    world.machine.close(world.now);
    assert_eq!(world.events().pop(), Some(ReceiverEvent::Closed));
    assert_eq!(world.actions(), [Action::End]);
}

#[test]
fn a_server_without_a_welcome_or_with_an_unknown_version_is_left() {
    let mut world = World::new(settings(&["a", "b"]));
    world.until_dialled();
    world.machine.handle_connected(world.now);
    assert_eq!(world.wait(), WELCOME_LIMIT);
    assert_eq!(world.until_dialled(), "b");
    world.machine.handle_connected(world.now);
    world.hear(welcome(2));
    let text = format!("{:?}", world.events());
    assert!(text.contains("speaks version 2"), "{text}");
}

#[test]
fn watching_agents_is_asked_for_again_on_every_connection() {
    let mut world = World::welcomed(&["a"]);
    world.machine.watch_agents(world.now);
    assert_eq!(world.said(), [ClientMessage::ListAgents { watch: true }]);
    world.machine.handle_lost(unreachable(), world.now);
    world.until_dialled();
    world.machine.handle_connected(world.now);
    world.said();
    world.hear(welcome(1));
    assert_eq!(world.said(), [ClientMessage::ListAgents { watch: true }]);
}

#[test]
fn a_listing_in_pages_is_handed_over_whole() {
    let mut world = World::welcomed(&["a"]);
    let page = |id: &str| {
        vec![AgentRow {
            agent: id.into(),
            name: None,
            state: AgentState::Available,
            since: START,
            team: None,
            calls: Vec::new(),
            extension: None,
            media: Vec::new(),
            audible: false,
            reason: Reason::from(Code::AgentNotOnCall),
            warnings: Vec::new(),
            server: "gw1".into(),
        }]
    };
    let listed = |world: &mut World| -> Vec<usize> {
        world
            .events()
            .into_iter()
            .filter_map(|event| match event {
                ReceiverEvent::Agents(rows) => Some(rows.len()),
                _ => None,
            })
            .collect()
    };
    world.hear(ServerMessage::Agents {
        agents: page("1"),
        more: true,
        notice: None,
    });
    assert_eq!(listed(&mut world), [0; 0]);
    world.hear(ServerMessage::Agents {
        agents: page("2"),
        more: false,
        notice: None,
    });
    assert_eq!(listed(&mut world), [2]);
}

/// Anything that may happen to a receiver, in any order.
fn anything(world: &mut World, kind: u8, detail: u8) {
    let request = RequestId(u32::from(detail % 3));
    let session = SessionId(u64::from(detail % 3));
    let now = world.now;
    let reasons = [
        Code::NoCaptureServer,
        Code::NotAuthorised,
        Code::ExcludedByPolicy,
        Code::CertificateRefused,
    ];
    let reason = Reason::from(reasons[usize::from(detail % 4)]);
    match kind {
        0 => world.machine.handle_connected(now),
        1 => world.machine.handle_dial_failed(reason, now),
        2 => world.machine.handle_lost(reason, now),
        3 => world.hear(welcome(u16::from(detail % 3))),
        4 => world.hear(ServerMessage::MonitorStarted {
            request: request.0,
            session,
            channel: u16::from(detail),
        }),
        5 => world.hear(ServerMessage::MonitorRefused {
            request: request.0,
            reason,
        }),
        6 => world.hear(ServerMessage::MonitorStopped {
            session,
            reason,
            status: status(),
        }),
        7 => world.hear(ServerMessage::Goodbye { reason }),
        8 => world.machine.start_monitor(request, wish(), now),
        9 => world.machine.stop_monitor(request, now),
        10 => world.machine.watch_agents(now),
        11 => drop(world.machine.handle_datagram(u16::from(detail), now)),
        12 => world.pass(Duration::from_millis(u64::from(detail) * 100)),
        _ if detail < 8 => world.machine.close(now),
        _ => world.pass(Duration::from_millis(100)),
    }
}

proptest! {
    #[test]
    fn whatever_happens_it_dials_once_at_a_time_and_says_nothing_after_the_end(
        steps in proptest::collection::vec((0_u8..14, any::<u8>()), 0..200)
    ) {
        let mut world = World::new(settings(&["a", "b"]));
        let (mut dialling, mut connected, mut over) = (false, false, false);
        for (kind, detail) in steps {
            // A dial that wasn't asked for can't come to anything, a connection that isn't there can't be lost.
            if (matches!(kind, 0 | 1) && !dialling) || (matches!(kind, 2..=7) && !connected) {
                continue;
            }
            connected = match kind { 0 => true, 2 => false, _ => connected };
            dialling &= !matches!(kind, 0 | 1);
            anything(&mut world, kind, detail);
            let (said, events) = (world.said(), world.events());
            prop_assert!(!over || (said.is_empty() && events.is_empty()), "{said:?} {events:?}");
            for action in world.actions() {
                match action {
                    Action::Dial(_) => {
                        prop_assert!(!dialling && !over);
                        dialling = true;
                    }
                    Action::StopDialling => {
                        prop_assert!(dialling && connected);
                        dialling = false;
                    }
                    Action::HangUp(..) => connected = false,
                    Action::End => {
                        prop_assert!(!over, "it ends once");
                        over = true;
                    }
                }
            }
            let last = matches!(events.last(), Some(ReceiverEvent::Closed | ReceiverEvent::GaveUp { .. }));
            prop_assert!(!over || last || events.is_empty(), "{events:?}");
            prop_assert!(over || dialling || world.machine.poll_timeout().is_some(), "it never stalls");
        }
    }
}
