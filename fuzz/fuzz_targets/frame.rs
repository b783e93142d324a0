//! Frames of every link type, several in a row so that fragments meet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_proto::frame::{Frame, FrameReader, LinkType};
use silentmon_proto::time::Instant;

fuzz_target!(|frames: Vec<(u8, Vec<u8>)>| {
    let mut reader = FrameReader::default();
    for (number, (kind, bytes)) in frames.iter().enumerate() {
        let link_type = match kind % 8 {
            0 => LinkType::Ethernet,
            1 => LinkType::LinuxSll,
            2 => LinkType::LinuxSll2,
            3 => LinkType::RawIp,
            4 => LinkType::Null,
            5 => LinkType::Loop,
            6 => LinkType::Ppp,
            _ => LinkType::Other(147),
        };
        let wire_length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let captured = Instant::from_parts(number as u64, 0);
        let _ = reader.read(&Frame { link_type, captured, bytes, wire_length });
    }
});
