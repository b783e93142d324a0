//! The engine as its shell sees it: events, datagrams and messages in, messages and audio out, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use silentmon_proto::cti::{AgentState, AgentUpdate, CallEvent, CallEventKind, CtiEvent, MediaStarted};
use silentmon_proto::frame::{Datagram, VlanStack};
use silentmon_proto::ids::{Leg, SessionId};
use silentmon_proto::reason::Code;
use silentmon_proto::relay::{AudioHeader, AudioKind, ClientMessage, OutputKind, ServerMessage, SessionStatus};
use silentmon_proto::time::Instant;

use super::*;
use crate::policy::{Disclosure, HeardCalls, Recording, Who};

const ANNA: ConnectionId = ConnectionId(1);
const BERT: ConnectionId = ConnectionId(2);
const PHONE: &str = "10.1.1.20:24678";
const GATEWAY: &str = "10.1.1.2:16384";

/// An engine with its clock, and everything it sent so far.
struct House {
    engine: Engine,
    now: Instant,
    fresh_id: u64,
    journal_works: bool,
    sent: Vec<Transmit>,
    events: Vec<EngineEvent>,
}

impl House {
    fn new() -> Self {
        Self::with_policy(|_| {})
    }

    fn with_policy(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy {
            disclosure: Disclosure::Never,
            who: Who::AnySupervisor,
            calls: HeardCalls::AcdOnly,
            recording: Recording::Refused,
            rtp_receivers: vec![[127, 0, 0, 1].into()],
            teams: BTreeMap::new(),
        };
        change(&mut policy);
        let settings = EngineSettings {
            server: "gw1".into(),
            software: "test".into(),
            policy,
            devices: BTreeMap::new(),
        };
        let now = Instant::from_parts(1_000, 0);
        let engine = Engine::new(settings, now);
        let mut house = Self {
            engine,
            now,
            fresh_id: 0,
            journal_works: true,
            sent: Vec::new(),
            events: Vec::new(),
        };
        house.engine.handle_connected(ANNA, "anna".into());
        house.engine.handle_connected(BERT, "bert".into());
        house
    }

    fn collect(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            if let (EngineEvent::SessionStarted(record), true) = (&event, self.journal_works) {
                self.engine.handle_recorded(record.session, self.now);
            }
            self.events.push(event);
        }
        self.sent.extend(std::iter::from_fn(|| self.engine.poll_transmit()));
    }

    fn cti(&mut self, event: &CtiEvent) {
        self.engine.handle_cti(event, self.now);
        self.collect();
    }

    fn agent_state(&mut self, agent: &str, state: AgentState) {
        self.cti(&AgentUpdate::new(agent, state).into());
    }

    fn call(&mut self, agent: &str, call: &str, kind: CallEventKind) {
        let acd = Some(true);
        self.cti(&CtiEvent::from(CallEvent {
            acd,
            ..CallEvent::of_agent(agent, call, kind)
        }));
    }

    fn media(&mut self, agent: &str, call: &str, address: &str) {
        let address = address.parse().expect("an address");
        self.cti(&CtiEvent::from(MediaStarted {
            agent: Some(agent.into()),
            call: Some(call.into()),
            ..MediaStarted::at(address)
        }));
    }

    /// Agent 4711 talks on call 81.
    fn talking(&mut self) {
        self.agent_state("4711", AgentState::Talking);
        self.call("4711", "81", CallEventKind::Established);
        self.media("4711", "81", PHONE);
    }

    fn say(&mut self, from: ConnectionId, message: ClientMessage) {
        self.fresh_id += 1;
        self.engine
            .handle_message(from, message, SessionId(self.fresh_id), self.now);
        self.collect();
    }

    fn start(&mut self, from: ConnectionId, agent: &str, resume: Option<SessionId>) {
        let agent = agent.into();
        self.say(
            from,
            ClientMessage::StartMonitor {
                request: 5,
                agent,
                resume,
                purpose: None,
                output: OutputKind::Play,
            },
        );
    }

    /// The session of the last `MonitorStarted`.
    fn session(&self) -> SessionId {
        let started = self.messages().rev().find_map(|(_, message)| match message {
            ServerMessage::MonitorStarted { session, .. } => Some(*session),
            _ => None,
        });
        started.expect("a session started")
    }

    fn messages(&self) -> impl DoubleEndedIterator<Item = (ConnectionId, &ServerMessage)> {
        self.sent.iter().filter_map(|transmit| match transmit {
            Transmit::Message { connection, message } => Some((*connection, &**message)),
            _ => None,
        })
    }

    fn last_status(&self) -> SessionStatus {
        let last = self.messages().rev().find_map(|(_, message)| match message {
            ServerMessage::SessionStatus(status) => Some(status.clone()),
            _ => None,
        });
        last.expect("a status was sent")
    }

    fn audio(&self, to: ConnectionId) -> Vec<(AudioHeader, Vec<u8>)> {
        let of_connection = |transmit: &Transmit| match transmit {
            Transmit::Audio {
                connection, datagram, ..
            } if *connection == to => Some(datagram.clone()),
            _ => None,
        };
        let datagrams = self.sent.iter().filter_map(of_connection);
        datagrams
            .map(|datagram| {
                let (header, rtp) = AudioHeader::parse(&datagram).expect("an audio datagram");
                (header, rtp.to_vec())
            })
            .collect()
    }

    /// Lets `count` packets of 20 ms go from one socket to the other, and time with them.
    fn stream(
        &mut self,
        source: &str,
        destination: &str,
        packets: std::ops::Range<u16>,
        payload: impl Fn(u16) -> Vec<u8>,
    ) {
        for number in packets {
            self.packet(source, destination, &rtp(0, number, &payload(number)));
            self.pass(Duration::from_millis(20));
        }
    }

    fn packet(&mut self, source: &str, destination: &str, payload: &[u8]) {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let datagram = Datagram {
            captured: self.now,
            vlan: VlanStack::default(),
            tunnel: None,
            source: address(source),
            destination: address(destination),
            payload,
            truncated: false,
        };
        self.engine.handle_capture_health(CaptureHealth {
            last_frame: Some(self.now),
            dropped: 0,
        });
        self.engine.handle_datagram(&datagram);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.engine.poll_timeout() <= end {
            self.now = self.now.max(self.engine.poll_timeout());
            self.engine.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }
}

fn rtp(payload_type: u8, number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend(0x1234_5678_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

/// µ-law of a soft tone: unmistakably in clear.
fn speech(number: u16) -> Vec<u8> {
    let sample = |i: u16| 0x80 | (number.wrapping_mul(7).wrapping_add(i * 3).to_le_bytes()[0] & 0x1f);
    (0..160).map(sample).collect()
}

/// Bytes as a cipher makes them.
fn cipher(number: u16) -> Vec<u8> {
    let mut state = u64::from(number) + 0x9e37_79b9_7f4a_7c15;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32).to_le_bytes()[0]
    };
    (0..170).map(next).collect()
}

#[test]
fn a_supervisor_hears_both_legs_byte_for_byte() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    for number in 0..50 {
        house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
        house.packet(GATEWAY, PHONE, &rtp(0, number, &speech(number + 9)));
        house.pass(Duration::from_millis(20));
    }
    let audio = house.audio(ANNA);
    for (leg, shift) in [(Leg::Agent, 0), (Leg::Customer, 9)] {
        let leg: Vec<_> = audio.iter().filter(|(header, _)| header.leg == leg).collect();
        let wanted: Vec<_> = (0..50).map(|number| rtp(0, number, &speech(number + shift))).collect();
        assert_eq!(leg.iter().map(|(_, rtp)| rtp.clone()).collect::<Vec<_>>(), wanted);
        assert!(leg.iter().map(|(header, _)| header.relay_sequence).eq(0..50));
    }
    assert_eq!(house.last_status().reason.code, Code::AudioFlowing);
    assert_eq!(house.last_status().calls, ["81".into()]);
    assert!(house.audio(BERT).is_empty());
}

#[test]
fn follows_the_agent_to_the_next_call() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..20, speech);
    house.call("4711", "81", CallEventKind::ConnectionCleared);
    house.agent_state("4711", AgentState::Available);
    house.stream(PHONE, GATEWAY, 20..30, speech);
    assert_eq!(
        house.audio(ANNA).len(),
        20,
        "after the call nothing is heard from the old address"
    );
    assert_eq!(house.last_status().reason.code, Code::AgentNotOnCall);
    house.call("4711", "82", CallEventKind::Established);
    house.media("4711", "82", "10.1.1.20:30000");
    house.stream("10.1.1.20:30000", GATEWAY, 0..20, speech);
    assert_eq!(house.audio(ANNA).len(), 40);
    assert_eq!(house.last_status().calls, ["82".into()]);
}

#[test]
fn several_supervisors_hear_one_agent() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.start(BERT, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    assert_eq!(house.audio(ANNA).len(), 10);
    assert_eq!(house.audio(BERT).len(), 10);
    assert_eq!(house.engine.session_count(), 2);
}

#[test]
fn starting_twice_is_one_session() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let first = house.session();
    house.start(ANNA, "4711", None);
    assert_eq!(house.session(), first);
    assert_eq!(house.engine.session_count(), 1);
}

#[test]
fn a_reconnect_keeps_the_session_and_its_count() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let session = house.session();
    house.stream(PHONE, GATEWAY, 0..10, speech);
    house.engine.handle_disconnected(ANNA, house.now);
    house.stream(PHONE, GATEWAY, 10..15, speech);
    let again = ConnectionId(9);
    house.engine.handle_connected(again, "anna".into());
    house.start(again, "4711", Some(session));
    house.stream(PHONE, GATEWAY, 15..20, speech);
    assert_eq!(house.session(), session);
    let numbers: Vec<_> = house
        .audio(again)
        .iter()
        .map(|(header, _)| header.relay_sequence)
        .collect();
    assert_eq!(
        numbers,
        (15..20).collect::<Vec<_>>(),
        "the gap shows in the relay's own numbers"
    );
    let started = house
        .events
        .iter()
        .filter(|event| matches!(event, EngineEvent::SessionStarted(_)))
        .count();
    assert_eq!(started, 1, "one session, one audit record");
}

#[test]
fn a_session_of_another_supervisor_cannot_be_taken_up() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let annas = house.session();
    house.engine.handle_disconnected(ANNA, house.now);
    house.start(BERT, "4711", Some(annas));
    assert_ne!(house.session(), annas);
}

#[test]
fn a_connection_that_does_not_come_back_ends_its_sessions() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.engine.handle_disconnected(ANNA, house.now);
    house.pass(Duration::from_secs(29));
    assert_eq!(house.engine.session_count(), 1);
    house.pass(Duration::from_secs(2));
    assert_eq!(house.engine.session_count(), 0);
    assert!(
        house
            .events
            .iter()
            .any(|event| matches!(event, EngineEvent::SessionStopped(..)))
    );
}

#[test]
fn encrypted_media_is_said_and_never_sent() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..150, cipher);
    assert_eq!(house.audio(ANNA).len(), 0);
    assert_eq!(house.last_status().reason.code, Code::Encrypted);
}

#[test]
fn a_mirror_that_shows_one_side_is_named() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(GATEWAY, PHONE, 0..200, speech);
    let status = house.last_status();
    assert_eq!(status.reason.code, Code::OneSideOnly);
    assert!(status.reason.text.contains("customer"), "{}", status.reason);
}

#[test]
fn a_mirror_without_the_agent_and_one_without_frames_are_told_apart() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream("10.9.9.9:4000", "10.9.9.8:4000", 0..200, speech);
    assert_eq!(house.last_status().reason.code, Code::AgentNotInMirror);
    house.pass(Duration::from_secs(6));
    assert_eq!(house.last_status().reason.code, Code::NoFrames);
}

#[test]
fn dtmf_events_are_kept_back_as_silence() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    for (number, duration) in (10..16).zip((160_u16..).step_by(160)) {
        let mut event = rtp(101, number, &[[5, 10].as_slice(), &duration.to_be_bytes()].concat());
        event[4..8].copy_from_slice(&1600_u32.to_be_bytes());
        house.packet(PHONE, GATEWAY, &event);
        house.pass(Duration::from_millis(20));
    }
    house.stream(PHONE, GATEWAY, 16..26, speech);
    let audio = house.audio(ANNA);
    let kept_back = audio.iter().filter(|(header, _)| header.kind == AudioKind::Suppressed);
    assert!(
        kept_back.clone().all(|(_, rtp)| rtp.len() == 12),
        "the digit doesn't leave the server"
    );
    assert_eq!(kept_back.count(), 6);
    assert!(
        audio
            .iter()
            .all(|(header, rtp)| header.kind == AudioKind::Suppressed || rtp[1] == 0)
    );
}

#[test]
fn plain_rtp_goes_untouched_to_a_receiver_that_policy_names() {
    let mut house = House::new();
    house.talking();
    let receiver = "127.0.0.1:39200".parse().expect("an address");
    let output = OutputKind::PlainRtp { receiver };
    let start = ClientMessage::StartMonitor {
        request: 5,
        agent: "4711".into(),
        resume: None,
        purpose: None,
        output,
    };
    house.say(ANNA, start);
    house.packet(PHONE, GATEWAY, &rtp(0, 0, &speech(0)));
    house.packet(PHONE, GATEWAY, &rtp(0, 1, &speech(1)));
    house.packet(GATEWAY, PHONE, &rtp(0, 0, &speech(7)));
    house.packet(GATEWAY, PHONE, &rtp(0, 1, &speech(8)));
    let plain = house.sent.iter().filter_map(|transmit| match transmit {
        Transmit::PlainRtp { receiver, packet } => Some((receiver.port(), packet.clone())),
        _ => None,
    });
    let plain: Vec<_> = plain.collect();
    for wanted in [(39200, rtp(0, 0, &speech(0))), (39202, rtp(0, 1, &speech(8)))] {
        assert!(plain.contains(&wanted), "{plain:?}");
    }
    assert_eq!(house.audio(ANNA).len(), 0);
}

#[test]
fn refuses_what_policy_refuses_and_writes_it_down() {
    let mut house = House::with_policy(|policy| policy.who = Who::Team);
    house.talking();
    house.start(ANNA, "4711", None);
    let refused = house.messages().find_map(|(_, message)| match message {
        ServerMessage::MonitorRefused { request: 5, reason } => Some(reason.code),
        _ => None,
    });
    assert_eq!(refused, Some(Code::NotAuthorised));
    assert!(matches!(house.events.last(), Some(EngineEvent::SessionRefused { .. })));
    assert_eq!(house.engine.session_count(), 0);
}

#[test]
fn a_call_that_policy_excludes_stays_silent_and_says_why() {
    let mut house = House::new();
    house.agent_state("4711", AgentState::Talking);
    let call = CtiEvent::from(CallEvent {
        acd: Some(false),
        ..CallEvent::of_agent("4711", "90", CallEventKind::Established)
    });
    house.cti(&call);
    house.media("4711", "90", PHONE);
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..20, speech);
    assert_eq!(house.audio(ANNA).len(), 0);
    assert_eq!(house.last_status().reason.code, Code::ExcludedByPolicy);
}

#[test]
fn stopping_ends_the_sound_and_gives_the_sums() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    let session = house.session();
    house.say(BERT, ClientMessage::StopMonitor { session });
    assert_eq!(
        house.engine.session_count(),
        1,
        "only its own supervisor stops a session"
    );
    house.say(ANNA, ClientMessage::StopMonitor { session });
    let stopped = house.messages().find_map(|(_, message)| match message {
        ServerMessage::MonitorStopped { status, .. } => Some(status.legs[0].captured),
        _ => None,
    });
    assert_eq!(stopped, Some(10));
    house.stream(PHONE, GATEWAY, 10..20, speech);
    assert_eq!(house.audio(ANNA).len(), 10);
    assert_eq!(house.engine.monitored().ips(), Some(vec![]));
}

#[test]
fn agents_are_listed_and_changes_told_to_those_who_watch() {
    let mut house = House::new();
    house.talking();
    house.say(ANNA, ClientMessage::ListAgents { watch: true });
    house.sent.clear();
    house.agent_state("4712", AgentState::NotReady);
    let told: Vec<_> = house.messages().collect();
    let [(to, ServerMessage::AgentChanged { agent })] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((to, agent.agent.as_str(), agent.audible), (ANNA, "4712", false));
    assert_eq!(agent.reason.code, Code::AgentNotOnCall);
}

#[test]
fn an_unmonitored_agent_is_audible_where_his_packets_are_counted() {
    let mut house = House::new();
    house.talking();
    let phone = [10, 1, 1, 20].into();
    house.engine.handle_address_count(phone, 100, 100, house.now);
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    let row = house.messages().find_map(|(_, message)| match message {
        ServerMessage::Agents { agents, .. } => agents.first().cloned(),
        _ => None,
    });
    assert!(row.expect("a row").audible);
}

#[test]
fn a_listing_of_many_agents_comes_in_pages() {
    let mut house = House::new();
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    for number in 0..1_201 {
        house.agent_state(&format!("{number}"), AgentState::Available);
    }
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    let pages: Vec<_> = house
        .messages()
        .filter_map(|(_, message)| match message {
            ServerMessage::Agents { agents, more } => Some((agents.len(), *more)),
            _ => None,
        })
        .collect();
    assert_eq!(pages, [(0, false), (500, true), (500, true), (201, false)]);
}

#[test]
fn nothing_is_heard_before_the_journal_has_it() {
    let mut house = House::new();
    house.journal_works = false;
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    assert_eq!(house.audio(ANNA).len(), 0);
    let started = |house: &House| {
        house
            .messages()
            .any(|(_, message)| matches!(message, ServerMessage::MonitorStarted { .. }))
    };
    assert!(!started(&house));
    house.engine.handle_recorded(SessionId(1), house.now);
    house.stream(PHONE, GATEWAY, 10..20, speech);
    assert!(started(&house));
    assert_eq!(house.audio(ANNA).len(), 10);
}

#[test]
fn a_session_that_the_journal_cannot_have_is_refused() {
    let mut house = House::new();
    house.journal_works = false;
    house.talking();
    house.start(ANNA, "4711", None);
    house
        .engine
        .handle_unrecorded(SessionId(1), Code::AuditUnwritable.into(), house.now);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    let refused = house.messages().find_map(|(_, message)| match message {
        ServerMessage::MonitorRefused { reason, .. } => Some(reason.code),
        _ => None,
    });
    assert_eq!(refused, Some(Code::AuditUnwritable));
    assert_eq!((house.audio(ANNA).len(), house.engine.session_count()), (0, 0));
}
