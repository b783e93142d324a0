//! Audio datagrams, repair requests and control messages from a peer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_proto::cti::script;
use silentmon_proto::relay::{AudioHeader, ClientMessage, RepairRequest, ServerMessage};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, rest)) = AudioHeader::parse(bytes) {
        // Codecs that aren't known are all one.
        let again = [&header.to_bytes()[..], rest].concat();
        assert_eq!(AudioHeader::parse(&again), Ok((header, rest)));
    }
    if let Ok(request) = RepairRequest::parse(bytes) {
        assert_eq!(request.to_bytes()[..], *bytes);
    }
    let _ = serde_json::from_slice::<ClientMessage>(bytes);
    let _ = serde_json::from_slice::<ServerMessage>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = script::parse(text);
    }
});
