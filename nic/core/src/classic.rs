//! The documented sample: five 802.1Q frames, VLAN 85, priority 5, 10 ms apart, as a capture file. They belong to no session,
//! so that any replay tool can send them; they say in plain text what they are.

use crate::frame;
use crate::mac::MacAddress;
use crate::plan::VOICE_TAG;

/// Frames of the sample.
pub const FRAMES: u8 = 5;
/// An address set apart for documentation (RFC 9542).
const SOURCE: MacAddress = MacAddress([0x00, 0x00, 0x5e, 0x00, 0x53, 0x01]);
const GAP_US: u32 = 10_000;
const SNAP_LENGTH: u32 = 65_535;
const ETHERNET: u32 = 1;

/// The sample as a classic pcap file (microseconds, little endian, link type Ethernet). The frames are broadcasts, as it isn't
/// known who will be tested.
pub fn capture_file() -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(4_u16.to_le_bytes());
    for word in [0, 0, SNAP_LENGTH, ETHERNET] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..FRAMES {
        let frame = sample(number);
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        for word in [0, u32::from(number) * GAP_US, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// One frame of the sample.
fn sample(number: u8) -> Vec<u8> {
    let text = format!(
        "silentmon sample: 802.1Q frame {} of {FRAMES}, VLAN 85, priority 5",
        number + 1
    );
    let mut frame = [MacAddress::BROADCAST.0, SOURCE.0].concat();
    frame.extend(VOICE_TAG.tpid.to_be_bytes());
    frame.extend(VOICE_TAG.vlan.to_tci().to_be_bytes());
    frame::push_ipv4(&mut frame, u16::try_from(text.len() + 8).unwrap_or(u16::MAX));
    frame.extend(text.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use silentmon_proto::time::Instant;

    use super::*;
    use crate::read::{Arrived, Content, read};

    #[test]
    fn five_frames_that_a_target_knows_as_classic() {
        let file = capture_file();
        let frame = sample(0);
        assert_eq!(file.len(), 24 + 5 * (16 + frame.len()));
        for number in 0..FRAMES {
            let (bytes, stamp, metadata) = (&sample(number)[..], Instant::EPOCH, None);
            assert_eq!(read(&Arrived { bytes, metadata, stamp }).content, Content::Classic);
        }
    }
}
