//! What reading the CTI Server's stream costs, from bytes to messages: the events of answered calls, as a busy site has
//! them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use silentmon_proto::cti::ged188::{
    AgentState, AgentStateEvent, BeginCallEvent, CallEstablishedEvent, ConnectionCallId, EndCallEvent, Framer, Message,
    PeripheralId, ProtocolVersion, RtpStartedEvent, Tag,
};

const CALLS: u32 = 200;
const PORTION: usize = 1460;

/// The messages of one call.
fn call(number: u32) -> [Message; 6] {
    let peripheral_id = Some(PeripheralId(5000));
    let connection_call_id = Some(ConnectionCallId(number));
    let extension = (3000 + number).to_string();
    let agent = (1000 + number).to_string();
    let mut begin = BeginCallEvent {
        peripheral_id,
        connection_call_id,
        ..BeginCallEvent::default()
    };
    begin
        .floating
        .push_text(Tag::CONNECTION_DEVICE_ID, &extension)
        .push_text(Tag::ANI, "5551234");
    let mut established = CallEstablishedEvent {
        peripheral_id,
        connection_call_id,
        ..CallEstablishedEvent::default()
    };
    established
        .floating
        .push_text(Tag::CONNECTION_DEVICE_ID, &extension)
        .push_text(Tag::ANSWERING_DEVICE_ID, &extension)
        .push_text(Tag::CALLING_DEVICE_ID, "5551234")
        .push_text(Tag::CALLED_DEVICE_ID, "8001");
    let mut started = RtpStartedEvent {
        peripheral_id,
        connection_call_id,
        client_port: 24678,
        ..RtpStartedEvent::default()
    };
    started
        .floating
        .push_text(Tag::CONNECTION_DEVICE_ID, &extension)
        .push_text(Tag::CLIENT_ADDRESS, "10.86.143.20")
        .push_text(Tag::AGENT_ID, &agent)
        .push_text(Tag::AGENT_EXTENSION, &extension)
        .push_text(Tag::AGENT_INSTRUMENT, &extension)
        .push_text(Tag::SENDING_ADDRESS, "10.86.143.99")
        .push_value(Tag::SENDING_PORT, 18000_u32);
    let mut talking = AgentStateEvent {
        peripheral_id,
        agent_state: AgentState::TALKING,
        ..AgentStateEvent::default()
    };
    talking
        .floating
        .push_text(Tag::AGENT_ID, &agent)
        .push_text(Tag::AGENT_EXTENSION, &extension);
    let mut end = EndCallEvent {
        peripheral_id,
        connection_call_id,
        ..EndCallEvent::default()
    };
    end.floating.push_text(Tag::CONNECTION_DEVICE_ID, &extension);
    let sending = started.clone();
    [
        begin.into(),
        established.into(),
        started.into(),
        sending.into(),
        talking.into(),
        end.into(),
    ]
}

fn decode(stream: &[u8], version: ProtocolVersion) -> usize {
    let mut framer = Framer::default();
    let mut messages = 0;
    for portion in stream.chunks(PORTION) {
        framer.handle_bytes(portion);
        while let Ok(Some(frame)) = framer.poll_frame() {
            messages += usize::from(black_box(Message::decode(frame.message_type, &frame.body, version)).is_ok());
        }
    }
    messages
}

fn stream_to_messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ged188");
    for version in [ProtocolVersion(14), ProtocolVersion(24)] {
        let messages: Vec<Message> = (0..CALLS).flat_map(call).collect();
        let stream: Vec<u8> = messages
            .iter()
            .filter_map(|message| message.encode(version).ok())
            .flatten()
            .collect();
        assert_eq!(decode(&stream, version), messages.len());
        group.throughput(Throughput::Elements(messages.len() as u64));
        group.bench_function(format!("version {version}"), |bencher| {
            bencher.iter(|| decode(black_box(&stream), version));
        });
    }
    group.finish();
}

criterion_group!(benches, stream_to_messages);
criterion_main!(benches);
