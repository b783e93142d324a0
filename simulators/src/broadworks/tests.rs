//! Documents as the protocol sheet has them, and channels as clients see them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{BroadWorks, BroadWorksOptions};
use crate::xml::Element;
use crate::{Common, Fault, Handle, Scenario, Side};

const ACTIONS: &str = "/com.broadsoft.xsi-actions/v2.0/user/3001%40example.com/services";
const EVENTS: &str = "/com.broadsoft.xsi-events/v2.0";
const SCRIPT: &str = r#"
    {"at":0,"event":"agent_state","agent":"4711","extension":"3001","state":"available"}
    {"at":0.3,"event":"call","agent":"4711","call":"81","kind":"delivered","acd":true,"calling":"5551234","called":"8001"}
    {"at":0.3,"event":"call","agent":"4711","call":"81","kind":"established"}
    {"at":0.3,"event":"call","agent":"4711","call":"81","kind":"held"}
    {"at":0.3,"event":"call","agent":"4711","call":"81","kind":"retrieved"}
    {"at":0.3,"event":"call","agent":"4711","call":"81","kind":"connection_cleared","released_by":"remote"}
    {"at":0.3,"event":"agent_state","agent":"4711","state":"work_not_ready"}
"#;

fn start(script: &str, options: BroadWorksOptions) -> Handle {
    let common = Common {
        scenario: Scenario::parse(script).expect("a good scenario"),
        ..Common::default()
    };
    BroadWorks::start(BroadWorksOptions { common, ..options }).expect("free ports")
}

/// Sends one request on a connection of its own.
async fn ask(server: &Handle, side: Side, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.addresses()[side.0]).await.expect("an XSP");
    write(&mut stream, method, path, body).await;
    let head = head(&mut stream).await;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).await.expect("a body");
    (status(&head), String::from_utf8(body).expect("text"))
}

async fn write(stream: &mut TcpStream, method: &str, path: &str, body: &str) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("an open connection");
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status")
}

/// A channel's stream, cut into items by their roots.
struct Channel {
    stream: TcpStream,
    text: String,
    chunks: usize,
    id: String,
}

impl Channel {
    async fn open(server: &Handle, side: Side, set: &str) -> Self {
        let mut stream = TcpStream::connect(server.addresses()[side.0]).await.expect("an XSP");
        let body = format!(
            "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>{set}</channelSetId>\
            <priority>{}</priority><weight>50</weight><expires>60</expires></Channel>",
            side.0 + 1
        );
        write(
            &mut stream,
            "POST",
            "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel",
            &body,
        )
        .await;
        let head = head(&mut stream).await;
        assert!(
            head.contains("Transfer-Encoding: chunked") && head.contains("JSESSIONID"),
            "{head}"
        );
        let mut channel = Self {
            stream,
            text: String::new(),
            chunks: 0,
            id: String::new(),
        };
        let opened = channel.next().await.expect("the channel");
        assert_eq!(opened.at(&["expires"]), Some("60"));
        channel.id = opened.at(&["channelId"]).expect("an id").to_owned();
        channel
    }

    async fn chunk(&mut self) -> Option<()> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await.ok()?);
        }
        let size = String::from_utf8(line).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
        let mut bytes = vec![0; size + 2];
        self.stream.read_exact(&mut bytes).await.ok()?;
        bytes.truncate(size);
        self.text.push_str(&String::from_utf8(bytes).ok()?);
        self.chunks += 1;
        Some(())
    }

    /// The next item; `None` where the stream ended.
    async fn next(&mut self) -> Option<Element> {
        loop {
            for end in [
                "</xsi:Event>",
                "</Channel>",
                "<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>",
            ] {
                if let Some(at) = self.text.find(end) {
                    let item: String = self.text.drain(..at + end.len()).collect();
                    return Some(Element::parse(&item).expect("XML"));
                }
            }
            timeout(Duration::from_secs(20), self.chunk())
                .await
                .expect("an item in time")?;
        }
    }

    /// The types of the next events' data.
    async fn types(&mut self, count: usize) -> Vec<String> {
        let mut types = Vec::new();
        for _ in 0..count {
            types.push(data_type(&self.next().await.expect("an event")));
        }
        types
    }
}

fn data_type(event: &Element) -> String {
    let typed = event.child("eventData").unwrap_or(event);
    let found = typed
        .attributes
        .iter()
        .find(|(name, _)| name == "type")
        .map(|(_, value)| value.as_str());
    found
        .and_then(|value| value.strip_prefix("xsi:"))
        .expect("a type")
        .to_owned()
}

async fn subscribe(server: &Handle, package: &str, set: &str) -> String {
    let body = format!(
        "<Subscription><event>{package}</event><expires>60</expires><channelSetId>{set}</channelSetId>\
        <applicationId>a</applicationId></Subscription>"
    );
    let path = format!("{EVENTS}/user/3001%40example.com");
    let (status, answer) = ask(server, Side::A, "POST", &path, &body).await;
    assert_eq!(status, 200);
    let answer = Element::parse(&answer).expect("XML");
    answer.at(&["subscriptionId"]).expect("an id").to_owned()
}

#[tokio::test]
async fn a_call_is_told_in_the_words_of_xsi_events() {
    let server = start(SCRIPT, BroadWorksOptions::default());
    let mut channel = Channel::open(&server, Side::A, "S").await;
    subscribe(&server, "Advanced Call", "S").await;
    subscribe(&server, "Call Center Agent", "S").await;
    let mut seen = Vec::new();
    for _ in 0..9 {
        seen.push(channel.next().await.expect("an event"));
    }
    let types: Vec<_> = seen.iter().map(data_type).collect();
    let expected = [
        "CallSubscriptionEvent",
        "AgentSubscriptionEvent",
        "CallReceivedEvent",
        "CallAnsweredEvent",
        "CallHeldEvent",
        "CallRetrievedEvent",
        "CallReleasedEvent",
        "HookStatusEvent",
        "AgentStateEvent",
    ];
    assert_eq!(types, expected);
    let sequences: Vec<_> = seen.iter().filter_map(|event| event.at(&["sequenceNumber"])).collect();
    assert_eq!(sequences, ["1", "1", "2", "3", "4", "5", "6", "7", "2"]);
    assert_eq!(seen[0].at(&["channelId"]), Some(channel.id.as_str()));
    assert_eq!(seen[0].at(&["eventData", "hookStatus"]), Some("On-Hook"));
    assert_eq!(seen[1].at(&["eventData", "stateInfo", "state"]), Some("Available"));
    let call = |event: usize, name: &str| seen[event].at(&["eventData", "call", name]).map(str::to_owned);
    assert_eq!(call(2, "personality").as_deref(), Some("Terminator"));
    assert_eq!(call(3, "state").as_deref(), Some("Active"));
    assert_eq!(call(3, "callId"), call(6, "callId"));
    assert_eq!(call(6, "releasingParty").as_deref(), Some("remoteRelease"));
    assert_eq!(
        seen[2].at(&["eventData", "call", "remoteParty", "address"]),
        Some("tel:5551234")
    );
    assert!(
        seen[2]
            .child("eventData")
            .and_then(|data| data.child("call")?.child("acdCallInfo"))
            .is_some()
    );
    assert_eq!(seen[8].at(&["eventData", "agentStateInfo", "state"]), Some("Wrap-Up"));
}

#[tokio::test]
async fn an_event_that_is_not_acknowledged_ends_its_subscription() {
    let options = BroadWorksOptions {
        ack_limit: Duration::from_millis(300),
        ..BroadWorksOptions::default()
    };
    let server = start("", options);
    let mut channel = Channel::open(&server, Side::A, "S").await;
    subscribe(&server, "Advanced Call", "S").await;
    let event = channel.next().await.expect("an event");
    let id = event.at(&["eventID"]).expect("an id");
    let ack = format!("<EventResponse><eventID>{id}</eventID><statusCode>200</statusCode></EventResponse>");
    let path = format!("{EVENTS}/channel/eventresponse");
    assert_eq!(ask(&server, Side::A, "POST", &path, &ack).await.0, 200);
    subscribe(&server, "Hoteling Guest", "S").await;
    assert_eq!(
        channel.types(2).await,
        ["HotelingGuestEvent", "SubscriptionTerminatedEvent"]
    );
    assert_eq!(server.counters().acks, 1);
}

#[tokio::test]
async fn refreshing_a_subscription_brings_all_its_calls() {
    let script = SCRIPT.lines().take(4).collect::<Vec<_>>().join("\n");
    let server = start(&script, BroadWorksOptions::default());
    let mut channel = Channel::open(&server, Side::A, "S").await;
    let id = subscribe(&server, "Advanced Call", "S").await;
    assert_eq!(channel.types(3).await[1..], ["CallReceivedEvent", "CallAnsweredEvent"]);
    let path = format!("{EVENTS}/subscription/{id}");
    let body = "<Subscription><expires>7200</expires></Subscription>";
    assert_eq!(ask(&server, Side::A, "PUT", &path, body).await.0, 200);
    let snapshot = channel.next().await.expect("a snapshot");
    assert_eq!(data_type(&snapshot), "CallSubscriptionEvent");
    assert_eq!(snapshot.at(&["eventData", "calls", "call", "state"]), Some("Active"));
    server.fault(Fault::Resync { user: None });
    server.fault(Fault::Failover {
        user: Some("3001".into()),
    });
    assert_eq!(
        data_type(&channel.next().await.expect("an event")),
        "CallSubscriptionResyncEvent"
    );
    let after = channel.next().await.expect("an event");
    assert!(
        after.child("eventData").expect("data").child("calls").is_none(),
        "its calls are forgotten"
    );
    server.fault(Fault::SequenceGap { user: None, count: 1 });
    server.fault(Fault::Resync { user: None });
    server.fault(Fault::Resync { user: None });
    let next = channel.next().await.expect("an event");
    assert_eq!(next.at(&["sequenceNumber"]), Some("8"), "7 was lost");
}

#[tokio::test]
async fn the_channels_of_a_set_stand_in_for_each_other() {
    let any = BroadWorksOptions::default().xsps[0];
    let options = BroadWorksOptions {
        xsps: vec![any, any],
        ..BroadWorksOptions::default()
    };
    let server = start("", options);
    let mut first = Channel::open(&server, Side::A, "S").await;
    let mut second = Channel::open(&server, Side::B, "S").await;
    let beat = |id: &str| format!("{EVENTS}/channel/{id}/heartbeat");
    assert_eq!(ask(&server, Side::A, "PUT", &beat(&first.id), "").await.0, 200);
    assert_eq!(
        ask(&server, Side::B, "PUT", &beat(&first.id), "").await.0,
        404,
        "another XSP's channel"
    );
    assert_eq!(first.next().await, None);
    subscribe(&server, "Advanced Call", "S").await;
    assert_eq!(second.types(1).await, ["CallSubscriptionEvent"]);
    server.fault(Fault::ChannelTerminated { side: Some(Side::B) });
    assert_eq!(second.types(1).await, ["ChannelTerminatedEvent"]);
    assert_eq!(second.next().await, None);
    let (_, set) = ask(&server, Side::A, "GET", &format!("{EVENTS}/channelset/S"), "").await;
    assert!(
        !set.contains("subscriptionId"),
        "subscriptions end with the last channel: {set}"
    );
}

#[tokio::test]
async fn hoteling_requests_are_kept_in_their_order_and_followed() {
    let server = start("", BroadWorksOptions::default());
    let mut channel = Channel::open(&server, Side::A, "S").await;
    subscribe(&server, "Hoteling Guest", "S").await;
    subscribe(&server, "Call Center Agent", "S").await;
    assert_eq!(channel.types(2).await, ["HotelingGuestEvent", "AgentSubscriptionEvent"]);
    server.take_requests();
    let forward = "<CallForwardingAlways><active>true</active><forwardToPhoneNumber>3001</forwardToPhoneNumber></CallForwardingAlways>";
    let host = "/com.broadsoft.xsi-actions/v2.0/user/3900%40example.com/services/CallForwardingAlways";
    assert_eq!(ask(&server, Side::A, "PUT", host, forward).await.0, 200);
    let guest = "<HotelingGuest><active>true</active><hostUserId>3900@example.com</hostUserId></HotelingGuest>";
    assert_eq!(
        ask(&server, Side::A, "PUT", &format!("{ACTIONS}/HotelingGuest"), guest)
            .await
            .0,
        200
    );
    let event = channel.next().await.expect("an event");
    assert_eq!(event.at(&["eventData", "info", "hostUserId"]), Some("3900@example.com"));
    let state = "<CallCenter><agentACDState>Unavailable</agentACDState></CallCenter>";
    assert_eq!(
        ask(&server, Side::A, "PUT", &format!("{ACTIONS}/CallCenter"), state)
            .await
            .0,
        200
    );
    let event = channel.next().await.expect("an event");
    assert_eq!(event.at(&["eventData", "agentStateInfo", "state"]), Some("Unavailable"));
    let names: Vec<_> = server.take_requests().into_iter().map(|request| request.name).collect();
    assert_eq!(
        names,
        ["ModifyCallForwardingAlways", "ModifyHotelingGuest", "SetAgentState"]
    );
}

#[tokio::test]
async fn items_cut_and_joined_at_random_are_the_same_items() {
    let server = start(SCRIPT, BroadWorksOptions::default());
    server.fault(Fault::Split { seed: 7 });
    server.wait_for(|counters| counters.faults == 1).await.expect("running");
    let mut channel = Channel::open(&server, Side::A, "S").await;
    subscribe(&server, "Advanced Call", "S").await;
    let types = channel.types(7).await;
    assert_eq!(types[1..3], ["CallReceivedEvent", "CallAnsweredEvent"]);
    assert!(channel.chunks > 8, "{} chunks", channel.chunks);
}

#[tokio::test]
async fn only_who_says_the_password_comes_in() {
    let options = BroadWorksOptions {
        login: Some(("u".into(), "p".into())),
        ..BroadWorksOptions::default()
    };
    let server = start("", options);
    assert_eq!(
        ask(&server, Side::A, "GET", &format!("{EVENTS}/channelset/S"), "")
            .await
            .0,
        401
    );
    assert_eq!(server.counters().sessions_refused, 1);
}
