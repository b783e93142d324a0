//! The link against a switch that is played by hand, in virtual time.

mod events;
mod session;

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use silentmon_proto::cti::csta::{Frame, Framer, InvokeId};
use silentmon_proto::cti::xml::{self, Element};
use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::ids::{Extension, LinkName};
use silentmon_proto::reason::Code;
use silentmon_proto::time::Instant;

use super::*;

/// A request as the switch received it.
#[derive(Debug, Clone)]
struct Received {
    id: u16,
    element: Element,
}

impl Received {
    fn name(&self) -> &str {
        &self.element.name
    }

    fn text(&self, path: &[&str]) -> &str {
        self.element.at(path).map_or("", |found| &found.text)
    }
}

/// A link and the switch it speaks to.
struct Rig {
    link: CstaLink,
    now: Instant,
    received: VecDeque<Received>,
    /// What was done besides sending.
    done: VecDeque<StreamOutput>,
    framer: Framer,
    endpoint: Endpoint,
}

fn settings(devices: &[&str]) -> CstaSettings {
    CstaSettings {
        agent_states: false,
        heartbeat: Duration::from_secs(3600),
        request_pause: Duration::ZERO,
        ..CstaSettings::new(
            LinkName::new("switch"),
            devices.iter().map(|&device| Extension::new(device)).collect(),
        )
    }
}

impl Rig {
    fn new(settings: CstaSettings) -> Self {
        let now = Instant::from_parts(1_700_000_000, 0);
        let mut rig = Self {
            link: CstaLink::new(settings, now),
            now,
            received: VecDeque::new(),
            done: VecDeque::new(),
            framer: Framer::default(),
            endpoint: Endpoint(0),
        };
        rig.collect();
        rig
    }

    /// Connected, with a session of 600 s if there is one, and every device monitored under its own number, idle.
    fn up(settings: CstaSettings) -> Self {
        let mut rig = Self::new(settings);
        rig.connect();
        if rig.link.settings.session.is_some() {
            rig.accept_session("s1", 600);
        }
        rig.accept_all();
        rig.events();
        rig
    }

    fn collect(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                StreamOutput::Send(endpoint, bytes) => {
                    assert_eq!(endpoint, self.endpoint);
                    self.framer.push(&bytes);
                }
                StreamOutput::Connect(endpoint) => {
                    self.endpoint = endpoint;
                    self.framer = Framer::default();
                    self.received.clear();
                    self.done.push_back(output);
                }
                StreamOutput::Disconnect(_) => self.done.push_back(output),
            }
            while let Some(frame) = self.framer.next_frame().expect("frames") {
                self.received.push_back(Received {
                    id: frame.invoke_id.number(),
                    element: xml::parse(&frame.document).expect("XML"),
                });
            }
        }
    }

    fn connect(&mut self) {
        assert_eq!(self.done.pop_front(), Some(StreamOutput::Connect(self.endpoint)));
        self.link.handle_connected(self.endpoint, self.now);
        self.collect();
    }

    fn next(&mut self, name: &str) -> Received {
        let received = self
            .received
            .pop_front()
            .unwrap_or_else(|| panic!("expected {name}, received nothing"));
        assert_eq!(received.name(), name);
        received
    }

    fn say(&mut self, id: u16, document: &str) {
        let bytes = framed(id, document);
        self.link.handle_bytes(self.endpoint, &bytes, self.now);
        self.collect();
    }

    /// Answers the next request, which must be of this name.
    fn answer(&mut self, name: &str, document: &str) -> Received {
        let received = self.next(name);
        self.say(received.id, document);
        received
    }

    fn event(&mut self, name: &str, cross_ref: &str, body: &str) {
        self.say(
            9999,
            &format!("<{name}><monitorCrossRefID>{cross_ref}</monitorCrossRefID>{body}</{name}>"),
        );
    }

    fn accept_session(&mut self, id: &str, duration: u64) -> Received {
        self.answer("StartApplicationSession", &session(id, duration))
    }

    /// Answers everything as an idle switch does, monitors under the device's own number.
    fn accept_all(&mut self) {
        while let Some(received) = self.received.pop_front() {
            self.say(received.id, &idle_answer(&received));
        }
    }

    /// Lets time pass, with every time-out on the way.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.link.poll_timeout()
            && at <= until
        {
            self.now = self.now.max(at);
            self.link.handle_timeout(self.now);
            self.collect();
            assert!(
                self.link.poll_timeout().is_none_or(|next| next > at),
                "time-outs advance"
            );
        }
        self.now = until;
    }

    fn close(&mut self, why: Closed) {
        self.link.handle_closed(self.endpoint, why, self.now);
        self.collect();
    }

    fn command(&mut self, command: LinkCommand) {
        self.link.handle_command(command, self.now);
        self.collect();
    }

    fn events(&mut self) -> Vec<LinkEvent> {
        std::iter::from_fn(|| self.link.poll_event()).collect()
    }

    fn cti(&mut self) -> Vec<CtiEvent> {
        let only_cti = |event| match event {
            LinkEvent::Cti(event) => event,
            LinkEvent::Done { .. } => panic!("{event:?}"),
        };
        self.events().into_iter().map(only_cti).collect()
    }

    fn only_cti(&mut self) -> CtiEvent {
        let [event] = self.cti().try_into().expect("one event");
        event
    }

    /// The code told with the one link event there is.
    fn link_state(&mut self) -> Option<Code> {
        match self.cti().as_slice() {
            [CtiEvent::Link(LinkUpdate { down, .. })] => down.as_ref().map(|reason| reason.code),
            other => panic!("{other:?}"),
        }
    }
}

fn framed(id: u16, document: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(document.len() + 8).expect("short").to_be_bytes().to_vec();
    bytes.extend_from_slice(format!("{id:04}{document}").as_bytes());
    bytes
}

fn session(id: &str, duration: u64) -> String {
    format!(
        "<StartApplicationSessionPosResponse><sessionID>{id}</sessionID>\
         <actualSessionDuration>{duration}</actualSessionDuration></StartApplicationSessionPosResponse>"
    )
}

fn monitor_started(cross_ref: &str) -> String {
    format!("<MonitorStartResponse><monitorCrossRefID>{cross_ref}</monitorCrossRefID></MonitorStartResponse>")
}

fn refused(class: &str, value: &str) -> String {
    format!("<CSTAErrorCode><{class}>{value}</{class}></CSTAErrorCode>")
}

fn idle_answer(received: &Received) -> String {
    match received.name() {
        "MonitorStart" => monitor_started(received.text(&["monitorObject", "deviceObject"])),
        "StartApplicationSession" => session("s1", 600),
        "ResetApplicationSessionTimer" => "<ResetApplicationSessionTimerPosResponse/>".into(),
        "StopApplicationSession" => "<StopApplicationSessionPosResponse/>".into(),
        name => format!("<{name}Response/>"),
    }
}

fn snapshot_of(entries: &[(&str, &str)]) -> String {
    let mut list = String::new();
    for (call, state) in entries {
        list = format!(
            "{list}<snapshotDeviceResponseInfo><connectionIdentifier><callID>{call}</callID><deviceID>3001</deviceID>\
             </connectionIdentifier><localCallState><simpleCallState>{state}</simpleCallState></localCallState>\
             </snapshotDeviceResponseInfo>"
        );
    }
    format!(
        "<SnapshotDeviceResponse><crossRefIDorSnapshotData><snapshotData>{list}</snapshotData>\
         </crossRefIDorSnapshotData></SnapshotDeviceResponse>"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_switch_sends_time_outs_advance_and_nothing_panics(
        steps in proptest::collection::vec((0_usize..12, any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..60),
    ) {
        let mut rig = Rig::new(CstaSettings {
            heartbeat: Duration::from_secs(5),
            agent_states: true,
            ..settings(&["3001", "3002"])
        });
        for (step, number, bytes) in steps {
            let answer = |rig: &mut Rig, document: String| {
                let id = rig.received.pop_front().map_or(number % 10_000, |received| received.id);
                rig.say(id, &document);
            };
            match step {
                0 => rig.link.handle_bytes(rig.endpoint, &bytes, rig.now),
                1 => rig.pass(Duration::from_millis(u64::from(number))),
                2 => {
                    rig.done.clear();
                    rig.link.handle_connected(rig.endpoint, rig.now);
                }
                3 => rig.close(Closed::ByPeer),
                4 => answer(&mut rig, session(&number.to_string(), u64::from(number % 50))),
                5 => answer(&mut rig, monitor_started("3001")),
                6 => answer(&mut rig, refused("operation", "generic")),
                7 => rig.accept_all(),
                8 => rig.command(LinkCommand::Reconnect),
                9 => rig.say(number % 10_000, "<SystemStatus/>"),
                10 => rig.say(number % 10_000, "<MonitorStop><monitorCrossRefID>3001</monitorCrossRefID></MonitorStop>"),
                _ => rig.event(
                    "EstablishedEvent",
                    "3001",
                    "<establishedConnection><callID>1</callID><deviceID>3001</deviceID></establishedConnection>",
                ),
            }
            rig.collect();
            rig.events();
        }
        rig.pass(Duration::from_secs(120));
    }
}

#[test]
fn a_frame_may_come_in_any_portions() {
    let mut rig = Rig::new(settings(&["3001"]));
    rig.connect();
    let start = rig.next("StartApplicationSession");
    for byte in framed(start.id, &session("s1", 600)) {
        rig.link.handle_bytes(rig.endpoint, &[byte], rig.now);
    }
    rig.collect();
    assert_eq!(rig.link_state(), None);
    let _: InvokeId = InvokeId::of_request(rig.next("MonitorStart").id);
}

#[test]
fn a_document_that_is_not_understood_is_counted_and_the_link_goes_on() {
    let mut rig = Rig::up(settings(&["3001"]));
    for document in ["<HeldEvent", "<HeldEvent/>", "", "<!DOCTYPE a><a/>"] {
        rig.say(9999, document);
    }
    rig.say(9999, "<SomethingNew/>");
    rig.event("DoNotDisturbEvent", "3001", "");
    rig.event("DoNotDisturbEvent", "77", "");
    let counters = rig.link.counters();
    assert_eq!((counters.malformed, counters.unknown_messages), (4, 1));
    assert_eq!((counters.features, counters.unknown_monitors), (1, 1));
    assert_eq!(rig.events(), []);
    assert_eq!(rig.done, []);
    let frame = Frame {
        invoke_id: InvokeId::of_request(1),
        document: b"<SystemStatus/>".to_vec(),
    };
    rig.say(1, std::str::from_utf8(&frame.document).expect("text"));
    rig.next("SystemStatusResponse");
}
