//! The receiver over a path that loses, against a server that sends again what it is asked for.

#![allow(clippy::expect_used, clippy::needless_pass_by_value)]

#[path = "../../../transport/tests/common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::relay::{PathModel, Pattern, Relay};
use common::{Pki, listen};
use silentmon_playback_io::clock;
use silentmon_playback_io::receiver::{
    MonitorRequest, Persistence, Receiver, ReceiverEvent, ReceiverSettings, ReceiverSink, RequestId, ServerOrder,
};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{AgentId, Leg, SessionId};
use silentmon_proto::relay::{AudioHeader, AudioKind, ClientMessage, OutputKind, RepairRequest, ServerMessage};
use silentmon_proto::time::Instant;
use silentmon_transport::{Channel, Settings};
use tokio::sync::mpsc;
use tokio::time::timeout;

const CHANNEL: u16 = 3;
const PACKETS: u32 = 200;

struct Sink {
    packets: mpsc::UnboundedSender<AudioHeader>,
}

impl ReceiverSink for Sink {
    fn event(&mut self, _now: Instant, _event: ReceiverEvent) {}

    fn packet(&mut self, _now: Instant, _request: RequestId, header: &AudioHeader, _rtp: &[u8]) {
        let _ = self.packets.send(*header);
    }

    fn patience(&mut self, _request: RequestId, _leg: Leg) -> Duration {
        Duration::from_secs(1)
    }
}

/// Answers hello and the request for a session.
async fn welcome(channel: &mut Channel) {
    let _: Option<ClientMessage> = channel.receiver.receive().await.expect("a hello");
    let welcome = ServerMessage::Welcome {
        version: 1,
        server: "gw1".into(),
        software: "fake".into(),
    };
    channel.sender.send(&welcome).await.expect("sent");
    let start: Option<ClientMessage> = channel.receiver.receive().await.expect("a start");
    let Some(ClientMessage::StartMonitor { request, .. }) = start else {
        unreachable!("{start:?}");
    };
    let started = ServerMessage::MonitorStarted {
        request,
        session: SessionId(7),
        channel: CHANNEL,
    };
    channel.sender.send(&started).await.expect("sent");
}

/// Sends one leg for four seconds, and again what is asked for until a little later; how often that was.
async fn talk(channel: &Channel) -> u32 {
    let connection = &channel.connection;
    connection.set_audio_streams(1);
    let mut sent = BTreeMap::new();
    let mut again = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let end = tokio::time::sleep(Duration::from_millis(4500));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return again,
            _ = tick.tick(), if sent.len() < PACKETS as usize => {
                let header = AudioHeader {
                    kind: AudioKind::Rtp,
                    leg: Leg::Customer,
                    again: false,
                    codec: Codec::Pcmu,
                    channel: CHANNEL,
                    relay_sequence: u32::try_from(sent.len()).expect("few"),
                    captured: clock::now(),
                };
                let datagram = [&header.to_bytes()[..], &[0; 172]].concat();
                sent.insert(header.relay_sequence, header);
                connection.send_datagram(datagram.into()).expect("sent");
            }
            asked = connection.receive_datagram() => {
                let request = RepairRequest::parse(&asked.expect("open")).expect("a request");
                assert_eq!((request.channel, request.leg), (CHANNEL, Leg::Customer));
                for header in request.numbers().filter_map(|number| sent.get(&number)) {
                    again += 1;
                    let header = AudioHeader { again: true, ..*header };
                    let datagram = [&header.to_bytes()[..], &[0; 172]].concat();
                    connection.send_datagram(datagram.into()).expect("sent");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packet_is_missing_over_a_path_that_loses_five_percent_each_way() {
    let pki = Pki::new();
    let (mut endpoint, _) = listen(pki.server_tls(), Settings::server());
    let path = Relay::start(
        endpoint.local_address(),
        PathModel {
            delay: Duration::from_millis(20),
            loss: 0.05,
            pattern: Pattern::Regular,
            bottleneck: None,
        },
    );
    let settings = ReceiverSettings {
        servers: vec![path.address.into()],
        order: ServerOrder::Given,
        persistence: Persistence::Forever,
        software: "test".into(),
        transport: Settings::client(),
    };
    let (packets, mut heard) = mpsc::unbounded_channel();
    let receiver = Receiver::start(settings, pki.client_tls(), Box::new(Sink { packets }));
    receiver.start_monitor(MonitorRequest {
        agent: AgentId::new("4711"),
        purpose: None,
        output: OutputKind::Play,
    });
    let limit = Duration::from_secs(10);
    let accepted = timeout(limit, endpoint.accept()).await.expect("in time");
    let mut channel = accepted.expect("open").expect("let in");
    timeout(limit, welcome(&mut channel)).await.expect("in time");
    let again = timeout(limit, talk(&channel)).await.expect("in time");

    let (mut numbers, mut repaired) = (BTreeSet::new(), 0);
    // The last packets have no successor that would show that they are lost.
    while let Ok(Some(header)) = timeout(Duration::from_millis(300), heard.recv()).await {
        repaired += u64::from(numbers.insert(header.relay_sequence) && header.again);
    }
    let first = *numbers.first().expect("something was heard");
    let last = *numbers.last().expect("something was heard");
    assert!(first < 3 && last + 3 > PACKETS, "{first} to {last}");
    assert_eq!(numbers.len(), (first..=last).count(), "none is missing");
    assert!(repaired >= 5 && again < 40, "{repaired} repaired by {again} sent again");
    assert_eq!(receiver.statistics().repairs.repaired, repaired);
    assert_eq!(receiver.statistics().malformed, 0);
}
