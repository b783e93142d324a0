//! The link against a CTI Server made of hand-built messages, in virtual time.

mod any_bytes;
mod asking;
mod events;
mod failover;
mod media;
mod session;
mod standby;
mod wire;

use std::time::Duration;

use silentmon_proto::cti::ged188::*;
use silentmon_proto::cti::{AgentState as State, AgentUpdate, CtiEvent, LinkUpdate};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::{CiscoLink, Settings};
use crate::link::{Closed, Endpoint, Link, LinkCommand, LinkEvent, StreamLink, StreamOutput};

const A: usize = 0;
const B: usize = 1;
const PERIPHERAL: PeripheralId = PeripheralId(5000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> Settings {
    Settings::new("cisco".into(), "client", "secret")
}

/// A link, its virtual time, and what it wanted and told that no test has looked at yet.
struct Lab {
    link: CiscoLink,
    now: Instant,
    version: ProtocolVersion,
    outputs: Vec<StreamOutput>,
    events: Vec<LinkEvent>,
}

impl Lab {
    fn new(settings: Settings) -> Self {
        let now = Instant::from_parts(1_700_000_000, 0);
        let version = settings.protocol_version;
        let mut lab = Self {
            link: CiscoLink::new(settings, now),
            now,
            version,
            outputs: Vec::new(),
            events: Vec::new(),
        };
        lab.drain();
        lab
    }

    /// A lab whose session with side A is open.
    fn open() -> Self {
        let mut lab = Self::new(settings());
        lab.accept(A);
        lab.take_events();
        lab
    }

    fn drain(&mut self) {
        self.outputs.extend(std::iter::from_fn(|| self.link.poll_output()));
        self.events.extend(std::iter::from_fn(|| self.link.poll_event()));
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.link.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.link.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn connected(&mut self, side: usize) {
        self.link.handle_connected(Endpoint(side), self.now);
        self.drain();
    }

    fn closed(&mut self, side: usize, why: Closed) {
        self.link.handle_closed(Endpoint(side), why, self.now);
        self.drain();
    }

    fn refused(&mut self, side: usize) {
        self.closed(side, Closed::Unreachable("connection refused".to_owned()));
    }

    fn say(&mut self, side: usize, message: impl Into<Message>) {
        let bytes = message.into().encode(self.version).expect("a message");
        self.bytes(side, &bytes);
    }

    fn bytes(&mut self, side: usize, bytes: &[u8]) {
        self.link.handle_bytes(Endpoint(side), bytes, self.now);
        self.drain();
    }

    fn command(&mut self, command: LinkCommand) {
        self.link.handle_command(command, self.now);
        self.drain();
    }

    fn take_outputs(&mut self) -> Vec<StreamOutput> {
        std::mem::take(&mut self.outputs)
    }

    /// The messages sent to a side; everything else wanted meanwhile is forgotten.
    fn take_sent(&mut self, side: usize) -> Vec<Message> {
        let mut framer = Framer::default();
        let mut messages = Vec::new();
        for output in self.take_outputs() {
            if let StreamOutput::Send(Endpoint(endpoint), bytes) = output
                && endpoint == side
            {
                framer.handle_bytes(&bytes);
                while let Some(frame) = framer.poll_frame().expect("in step") {
                    let decoded = Message::decode(frame.message_type, &frame.body, self.version);
                    messages.push(decoded.expect("a message").message);
                }
            }
        }
        messages
    }

    fn take_events(&mut self) -> Vec<LinkEvent> {
        std::mem::take(&mut self.events)
    }

    fn take_cti(&mut self) -> Vec<CtiEvent> {
        let cti = |event| match event {
            LinkEvent::Cti(event) => Some(event),
            LinkEvent::Done { .. } => None,
        };
        self.take_events().into_iter().filter_map(cti).collect()
    }

    /// The last that was told of the link.
    fn take_link(&mut self) -> Option<Result<(), Reason>> {
        let link = |event| match event {
            CtiEvent::Link(LinkUpdate { down, .. }) => Some(down.map_or(Ok(()), Err)),
            _ => None,
        };
        self.take_cti().into_iter().filter_map(link).next_back()
    }

    /// The connection asked for is open: what the session is asked with.
    fn opening(&mut self, side: usize) -> OpenReq {
        assert_eq!(self.take_outputs().last(), Some(&StreamOutput::Connect(Endpoint(side))));
        self.connected(side);
        let Some(StreamOutput::Send(_, bytes)) = self.outputs.last() else {
            panic!("expected OPEN_REQ, found {:?}", self.outputs);
        };
        let (_, fixed) = bytes.split_at(HEADER_SIZE + 4);
        self.version = ProtocolVersion::from_wire(&fixed[..4]);
        match self.take_sent(side).pop() {
            Some(Message::OpenReq(request)) => request,
            other => panic!("expected OPEN_REQ, found {other:?}"),
        }
    }

    fn accept(&mut self, side: usize) -> OpenReq {
        self.accept_as(side, SessionType::ACTIVE)
    }

    fn accept_as(&mut self, side: usize, session_type: SessionType) -> OpenReq {
        let request = self.opening(side);
        let mut confirmed = OpenConf {
            invoke_id: request.invoke_id,
            services_granted: request.services_requested,
            session_type,
            ..OpenConf::default()
        };
        confirmed.floating.push_value(Tag::PERIPHERAL_ID, PERIPHERAL);
        self.say(side, confirmed);
        request
    }

    fn refuse(&mut self, side: usize, status: Status) -> OpenReq {
        let request = self.opening(side);
        let invoke_id = request.invoke_id;
        self.say(side, failure(invoke_id, status));
        request
    }

    /// Answers the heartbeats that are due within `duration`, so that the session is shown to work.
    fn keep_alive(&mut self, side: usize, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.pass(seconds(1));
            for message in self.take_sent(side) {
                if let Message::HeartbeatReq(request) = message {
                    let invoke_id = request.invoke_id;
                    self.say(side, heartbeat_conf(invoke_id));
                }
            }
        }
    }
}

fn failure(invoke_id: InvokeId, status: Status) -> FailureConf {
    FailureConf {
        invoke_id,
        status,
        ..FailureConf::default()
    }
}

fn heartbeat_conf(invoke_id: InvokeId) -> HeartbeatConf {
    HeartbeatConf {
        invoke_id,
        ..HeartbeatConf::default()
    }
}

fn agent_state(agent: &str, state: AgentState) -> AgentStateEvent {
    let mut event = AgentStateEvent {
        peripheral_id: Some(PERIPHERAL),
        agent_state: state,
        mrd_id: MrdId::VOICE,
        icm_agent_id: IcmAgentId(5004),
        ..AgentStateEvent::default()
    };
    event
        .floating
        .push_text(Tag::AGENT_ID, agent)
        .push_text(Tag::AGENT_EXTENSION, "3001")
        .push_text(Tag::AGENT_INSTRUMENT, "SEP001122334455");
    event
}

fn agent(agent: &str, state: State) -> CtiEvent {
    CtiEvent::from(AgentUpdate {
        extension: Some("3001".into()),
        device: Some("SEP001122334455".into()),
        ..AgentUpdate::new(agent, state)
    })
}

fn down(code: Code, text: &str) -> Result<(), Reason> {
    Err(Reason::new(code, text))
}
