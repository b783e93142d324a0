//! The engine as its shell sees it: events, datagrams and messages in, messages and audio out, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEvent, CallEventKind, CtiEvent, LinkUpdate, MediaStarted, MediaStopped,
};
use silentmon_proto::frame::{Datagram, VlanStack};
use silentmon_proto::ids::{CallId, Leg, PayloadType, SessionId};
use silentmon_proto::reason::Code;
use silentmon_proto::relay::{AudioHeader, AudioKind, ClientMessage, OutputKind, ServerMessage, SessionStatus};
use silentmon_proto::time::Instant;

mod authority;
mod cluster;
mod codecs;
mod diagnosing;
mod following;
mod links;
mod listening;
mod losing;
mod pausing;
mod repairing;
mod resolving;
mod sessions;
mod signalling;
mod supervising;
mod tones;
mod withdrawing;

use super::*;
use crate::policy::{Copies, Disclosure, HeardCalls, Means, Role, Who};

const ANNA: ConnectionId = ConnectionId(1);
const BERT: ConnectionId = ConnectionId(2);
const PHONE: &str = "10.1.1.20:24678";
const GATEWAY: &str = "10.1.1.2:16384";

/// Somebody with a supervisor's certificate.
fn supervisor(name: &str) -> Principal {
    Principal {
        name: name.into(),
        role: Role::Supervisor,
        from: [10, 1, 9, 1].into(),
        means: Means::Certificate,
    }
}

/// An engine with its clock, and everything it sent so far.
struct House {
    engine: Engine,
    now: Instant,
    fresh_id: u64,
    fresh_sequence: u16,
    journal_works: bool,
    /// What the signalling says of a payload type.
    described: Option<(PayloadType, Codec)>,
    sent: Vec<Transmit>,
    events: Vec<EngineEvent>,
}

impl House {
    fn new() -> Self {
        Self::with_policy(|_| {})
    }

    fn with_policy(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy {
            who: Who::AnySupervisor,
            rtp_receivers: vec![[127, 0, 0, 1].into()],
            ..Policy::new(Disclosure::Never)
        };
        change(&mut policy);
        let settings = EngineSettings {
            server: "gw1".into(),
            software: "test".into(),
            source: "test".into(),
            policy,
            devices: BTreeMap::new(),
            resolvers: MediaOrigin::ALL.to_vec(),
            cluster: None,
        };
        let now = Instant::from_parts(1_000, 0);
        let engine = Engine::new(settings, now);
        let mut house = Self {
            engine,
            now,
            fresh_id: 0,
            fresh_sequence: 0,
            journal_works: true,
            described: None,
            sent: Vec::new(),
            events: Vec::new(),
        };
        house.engine.handle_connected(ANNA, supervisor("anna"));
        house.engine.handle_connected(BERT, supervisor("bert"));
        house
    }

    /// What a device's connection does, told without a word about the agent.
    fn device_call(&mut self, device: &str, call: &str, kind: CallEventKind, acd: Option<bool>) {
        let event = CallEvent::of_device(device, call, kind);
        self.cti(&CallEvent { acd, ..event }.into());
    }

    fn device_media(&mut self, device: &str, call: &str, address: &str) {
        let media = MediaStarted::at(address.parse().expect("an address"));
        let (device, call) = (Some(device.into()), Some(call.into()));
        self.cti(&MediaStarted { device, call, ..media }.into());
    }

    fn media_stopped(&mut self, agent: &str, call: Option<&str>) {
        self.cti(&CtiEvent::from(MediaStopped {
            agent: Some(agent.into()),
            device: None,
            call: call.map(CallId::from),
            address: None,
            direction: None,
        }));
    }

    /// An agent at an extension.
    fn signed_in(&mut self, agent: &str, extension: &str, state: AgentState) {
        let extension = Some(extension.into());
        let update = AgentUpdate::new(agent, state);
        self.cti(&AgentUpdate { extension, ..update }.into());
    }

    fn link(&mut self, down: Option<Reason>) {
        let link = "cisco".into();
        self.cti(&LinkUpdate { link, down }.into());
    }

    /// Lets `count` packets go from a socket and tells how many of them Anna heard.
    fn heard(&mut self, source: &str, destination: &str, count: u16) -> usize {
        let before = self.audio(ANNA).len();
        self.fresh_sequence += count;
        let first = self.fresh_sequence - count;
        self.stream(source, destination, first..self.fresh_sequence, speech);
        self.audio(ANNA).len() - before
    }

    fn count(&self, is_it: impl Fn(&EngineEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is_it(event)).count()
    }

    fn collect(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            if let (EngineEvent::SessionStarted(record) | EngineEvent::SessionMoved { session: record, .. }, true) =
                (&event, self.journal_works)
            {
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
        let health = CaptureHealth {
            last_frame: Some(self.now),
            ..CaptureHealth::default()
        };
        self.engine.handle_capture_health(health, self.now);
        let described = self.described;
        self.engine.handle_datagram(&datagram, |payload_type| {
            described
                .filter(|(number, _)| *number == payload_type)
                .map(|(_, codec)| codec)
        });
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
