//! The CTI Server's stream in portions, and single messages of any version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_proto::cti::ged188::{Framer, HEADER_SIZE, Message, MessageType, ProtocolVersion};

fn check(message_type: MessageType, body: &[u8], version: ProtocolVersion) {
    let Ok(decoded) = Message::decode(message_type, body, version) else {
        return;
    };
    show(&decoded.message);
    let Ok(wire) = decoded.message.encode(version) else {
        return;
    };
    let again = Message::decode(message_type, &wire[HEADER_SIZE..], version).expect("what was encoded decodes");
    if decoded.deviation.is_none() {
        assert_eq!(wire.len(), HEADER_SIZE + body.len());
        assert_eq!(again, decoded);
    }
}

fn show(message: &Message) {
    let _ = format!("{message:?}");
    match message {
        Message::OpenConf(open) => drop(open.peripherals()),
        Message::AgentStateEvent(event) => drop(event.skill_groups()),
        Message::AgentTeamConfigEvent(event) => drop(event.agents()),
        Message::CallConferencedEvent(event) => drop(event.parties()),
        Message::RtpStartedEvent(event) => drop((event.client_address(), event.sending_address())),
        Message::SnapshotCallConf(snapshot) => drop(snapshot.devices()),
        Message::SnapshotDeviceConf(snapshot) => drop(snapshot.calls()),
        _ => {}
    }
}

fuzz_target!(|input: (u8, u16, u8, Vec<u8>)| {
    let (version, number, portion, bytes) = input;
    let version = ProtocolVersion(u32::from(version % 32));
    check(MessageType(u32::from(number % 310)), &bytes, version);
    let mut framer = Framer::default();
    for portion in bytes.chunks(usize::from(portion).max(1)) {
        framer.handle_bytes(portion);
        while let Ok(Some(frame)) = framer.poll_frame() {
            check(frame.message_type, &frame.body, version);
        }
    }
});
