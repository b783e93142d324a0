//! RTP and RTCP packets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_proto::rtcp::Compound;
use silentmon_proto::rtp;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = rtp::parse(bytes) {
        assert!(packet.payload.len() <= bytes.len());
    }
    assert!(Compound::new(bytes).count() <= bytes.len());
});
