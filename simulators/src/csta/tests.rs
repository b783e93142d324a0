//! Documents as the protocol sheet has them, and sessions as clients see them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{EVENT, Framer, frame};
use super::{Csta, CstaOptions, Dialect};
use crate::xml::Element;
use crate::{Common, Fault, Handle, Scenario};

const SCRIPT: &str = r#"
    {"at":0,"event":"agent_state","agent":"4711","extension":"3001","state":"available"}
    {"at":0,"event":"call","agent":"4711","call":"81","kind":"delivered","acd":true,"calling":"5551234","called":"8001"}
"#;
const REST: &str = r#"
    {"at":0.4,"event":"call","agent":"4711","call":"81","kind":"established"}
    {"at":0.4,"event":"call","agent":"4711","call":"81","kind":"held"}
    {"at":0.4,"event":"call","agent":"4711","call":"82","kind":"originated","called":"3002"}
    {"at":0.4,"event":"call","agent":"4711","call":"82","kind":"conferenced"}
    {"at":0.4,"event":"call","agent":"4711","call":"82","kind":"connection_cleared","released_by":"local"}
    {"at":0.4,"event":"agent_state","agent":"4711","state":"work_not_ready"}
"#;

struct Client {
    stream: TcpStream,
    framer: Framer,
    invoke: u16,
}

impl Client {
    async fn connect(switch: &Handle) -> Self {
        Self {
            stream: TcpStream::connect(switch.addresses()[0])
                .await
                .expect("a listening switch"),
            framer: Framer::default(),
            invoke: 0,
        }
    }

    async fn send(&mut self, invoke: u16, document: &str) {
        let bytes = frame(invoke, document).expect("short enough");
        self.stream.write_all(&bytes).await.expect("an open connection");
    }

    async fn next(&mut self) -> Option<(u16, String)> {
        let read = async {
            loop {
                if let Some(found) = self.framer.next().expect("frames") {
                    return Some(found);
                }
                let mut buffer = [0; 4096];
                let size = self.stream.read(&mut buffer).await.ok().filter(|size| *size > 0)?;
                self.framer.push(&buffer[..size]);
            }
        };
        timeout(Duration::from_secs(20), read).await.expect("an answer in time")
    }

    async fn element(&mut self) -> Element {
        let (_, document) = self.next().await.expect("a document");
        Element::parse(&document).expect("XML")
    }

    /// Sends a request and returns the answer to it; events before it are lost.
    async fn ask(&mut self, document: &str) -> Element {
        self.invoke += 1;
        self.send(self.invoke, document).await;
        loop {
            let (invoke, answer) = self.next().await.expect("an answer");
            if invoke == self.invoke {
                return Element::parse(&answer).expect("XML");
            }
        }
    }

    async fn open(&mut self) -> String {
        let answer = self
            .ask(
                "<StartApplicationSession><applicationInfo><applicationID>q</applicationID><u>a</u><p>b</p>\
                 </applicationInfo><requestedSessionDuration>120</requestedSessionDuration></StartApplicationSession>",
            )
            .await;
        answer.at(&["sessionID"]).expect("a session").to_owned()
    }

    async fn monitor(&mut self, device: &str) -> String {
        let request = format!(
            "<x:MonitorStart xmlns:x='y'><x:monitorObject><x:deviceObject>{device}</x:deviceObject>\
            </x:monitorObject></x:MonitorStart>"
        );
        self.ask(&request)
            .await
            .at(&["monitorCrossRefID"])
            .expect("a monitor")
            .to_owned()
    }
}

fn start(script: &str, options: CstaOptions) -> Handle {
    let common = Common {
        scenario: Scenario::parse(script).expect("a good scenario"),
        ..Common::default()
    };
    Csta::start(CstaOptions { common, ..options }).expect("a free port")
}

#[test]
fn a_frame_counts_its_header_and_carries_four_digits() {
    // Length 0x03eb stands before 995 bytes of XML in the sheet's real message.
    let bytes = frame(EVENT, &"x".repeat(995)).expect("short enough");
    assert_eq!(bytes[..8], [0, 0, 0x03, 0xeb, b'9', b'9', b'9', b'9']);
    assert_eq!(frame(7, &"x".repeat(65_528)), None);
    let mut framer = Framer::default();
    framer.push(&bytes[..500]);
    assert_eq!(framer.next(), Ok(None));
    framer.push(&bytes[500..]);
    assert!(matches!(framer.next(), Ok(Some((EVENT, _)))));
    framer.push(b"garbage!");
    assert!(framer.next().is_err());
}

#[tokio::test]
async fn monitors_get_the_events_of_their_device_in_each_dialect() {
    for dialect in [Dialect::Default, Dialect::Prefix, Dialect::Bare] {
        let options = CstaOptions {
            dialect,
            ..CstaOptions::default()
        };
        let switch = start(&format!("{SCRIPT}{REST}"), options);
        let mut client = Client::connect(&switch).await;
        client.open().await;
        let monitor = client.monitor("N&lt;3001&gt;;noa=nk").await;
        let mut seen = Vec::new();
        for _ in 0..6 {
            let event = client.element().await;
            assert_eq!(event.at(&["monitorCrossRefID"]), Some(monitor.as_str()));
            seen.push(event);
        }
        let names: Vec<_> = seen.iter().map(|event| event.name.as_str()).collect();
        let expected = [
            "EstablishedEvent",
            "HeldEvent",
            "OriginatedEvent",
            "ConferencedEvent",
            "ConnectionClearedEvent",
            "AgentWorkingAfterCallEvent",
        ];
        assert_eq!(names, expected, "{dialect:?}: {names:?}");
        assert_eq!(
            seen[0].at(&["answeringDevice", "deviceIdentifier"]),
            Some("N<3001>;noa=nk")
        );
        assert_eq!(seen[0].at(&["establishedConnection", "callID"]), Some("81"));
        assert_eq!(seen[0].at(&["callCharacteristics", "acdCall"]), Some("true"));
        assert_eq!(seen[3].at(&["primaryOldCall", "callID"]), Some("81"));
        assert_eq!(
            seen[4].at(&["releasingDevice", "deviceIdentifier"]),
            Some("N<3001>;noa=nk")
        );
        switch.shutdown().await;
    }
}

#[tokio::test]
async fn snapshots_and_agent_state_are_answered_from_what_is_so_now() {
    let switch = start(SCRIPT, CstaOptions::default());
    let mut client = Client::connect(&switch).await;
    client.open().await;
    let answer = client
        .ask("<SnapshotDevice><snapshotObject>3001</snapshotObject></SnapshotDevice>")
        .await;
    let item = ["crossRefIDorSnapshotData", "snapshotData", "snapshotDeviceResponseInfo"];
    let at = |tail: &[&'static str]| [&item[..], tail].concat();
    assert_eq!(answer.at(&at(&["connectionIdentifier", "callID"])), Some("81"));
    let state = at(&["localCallState", "compoundCallState", "localConnectionState"]);
    assert_eq!(answer.at(&state), Some("alerting"));
    let call =
        "<SnapshotCall><snapshotObject><callID>81</callID><deviceID>3001</deviceID></snapshotObject></SnapshotCall>";
    let answer = client.ask(call).await;
    let info = [
        "crossRefIDorSnapshotData",
        "snapshotData",
        "snapshotCallResponseInfo",
        "localConnectionInfo",
    ];
    assert_eq!(answer.at(&info), Some("alerting"));
    let answer = client.ask("<GetAgentState><device>3001</device></GetAgentState>").await;
    let state = [
        "agentStateList",
        "agentStateEntry",
        "agentInfo",
        "agentInfoItem",
        "agentState",
    ];
    assert_eq!(answer.at(&state), Some("agentReady"));
    let answer = client
        .ask("<SnapshotCall><snapshotObject><callID>9</callID></snapshotObject></SnapshotCall>")
        .await;
    assert_eq!(
        (answer.name.as_str(), answer.at(&["operation"])),
        ("CSTAErrorCode", Some("invalidCallID"))
    );
}

#[tokio::test]
async fn logins_and_monitors_are_refused_when_told() {
    let options = CstaOptions {
        login: Some(("a".into(), "b".into())),
        ..CstaOptions::default()
    };
    let switch = start("", options);
    let mut client = Client::connect(&switch).await;
    let answer = client.ask("<MonitorStart/>").await;
    assert_eq!(
        answer.at(&["stateIncompatibility"]),
        Some("invalidObjectState"),
        "no session"
    );
    let answer = client
        .ask("<StartApplicationSession><applicationInfo/></StartApplicationSession>")
        .await;
    assert_eq!(answer.name, "StartApplicationSessionNegResponse");
    client.open().await;
    switch.fault(Fault::RefuseMonitor {
        device: Some("3001".into()),
        count: 1,
        error: None,
    });
    switch.wait_for(|counters| counters.faults == 1).await.expect("running");
    let monitor = "<MonitorStart><monitorObject><deviceObject>3001</deviceObject></monitorObject></MonitorStart>";
    assert_eq!(client.ask(monitor).await.at(&["operation"]), Some("invalidDeviceID"));
    let answer = client.ask(monitor).await;
    let id = answer.at(&["monitorCrossRefID"]).expect("granted now");
    let stop = format!("<MonitorStop><monitorCrossRefID>{id}</monitorCrossRefID></MonitorStop>");
    assert_eq!(client.ask(&stop).await.name, "MonitorStopResponse");
    assert_eq!(client.ask(&stop).await.name, "CSTAErrorCode");
    let counters = switch.counters();
    assert_eq!((counters.sessions_refused, counters.sessions_opened), (1, 1));
}

#[tokio::test]
async fn a_session_that_is_not_renewed_expires_and_takes_its_monitors_along() {
    let options = CstaOptions {
        session_duration: Duration::from_secs(1),
        ..CstaOptions::default()
    };
    let switch = start("", options);
    let mut client = Client::connect(&switch).await;
    let id = client.open().await;
    let renew = format!("<ResetApplicationSessionTimer><sessionID>{id}</sessionID></ResetApplicationSessionTimer>");
    let answer = client.ask(&renew).await;
    assert_eq!(answer.at(&["actualSessionDuration"]), Some("1"));
    client.monitor("3001").await;
    assert_eq!(client.element().await.name, "ApplicationSessionTerminated");
    let answer = client.ask(&renew).await;
    assert_eq!(answer.name, "ResetApplicationSessionTimerNegResponse");
}

#[tokio::test]
async fn a_client_that_answers_no_system_status_is_dropped() {
    let options = CstaOptions {
        answer_limit: Duration::from_millis(300),
        ..CstaOptions::default()
    };
    let switch = start("", options);
    let mut client = Client::connect(&switch).await;
    client.open().await;
    switch.fault(Fault::SystemStatus {
        status: "normal".into(),
    });
    let (invoke, question) = client.next().await.expect("a question");
    assert!(question.contains("<systemStatus>normal</systemStatus>"), "{question}");
    client.send(invoke, "<SystemStatusResponse/>").await;
    switch.wait_for(|counters| counters.acks == 1).await.expect("running");
    switch.fault(Fault::SystemStatus {
        status: "normal".into(),
    });
    client.next().await.expect("a question");
    assert_eq!(client.next().await, None, "dropped");
}

#[tokio::test]
async fn a_third_device_joins_and_strange_elements_come_along() {
    let switch = start(SCRIPT, CstaOptions::default());
    let mut client = Client::connect(&switch).await;
    client.open().await;
    client.monitor("3001").await;
    switch.fault(Fault::UnknownElements { count: 1 });
    let join = "<SingleStepConferenceCall><activeCall><callID>81</callID><deviceID>3001</deviceID></activeCall>\
        <deviceToJoin>3900</deviceToJoin></SingleStepConferenceCall>";
    let answer = client.ask(join).await;
    assert_eq!(answer.at(&["conferencedCall", "deviceID"]), Some("3900"));
    let first = client.element().await;
    assert_eq!(first.name, "DeliveredEvent");
    assert!(first.child("futureElement").is_some() && first.child("extensions").is_some());
    let events = [client.element().await.name, client.element().await.name];
    assert_eq!(events, ["EstablishedEvent", "ConferencedEvent"]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic_the_framer(bytes: Vec<u8>) {
        let mut framer = Framer::default();
        framer.push(&bytes);
        while let Ok(Some(_)) = framer.next() {}
    }
}
