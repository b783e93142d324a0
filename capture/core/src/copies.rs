//! Packets of one leg that come over more than one way: from the own mirror and from other members that see it too. The
//! first copy is heard, so that together they lose only what all of them lost.

use silentmon_proto::ids::{RtpTimestamp, SequenceNumber, Ssrc};

/// Packets of a stream that are remembered: five seconds of 20 ms each. A path that is slower is of no use.
const KEPT: usize = 256;
/// Streams of one leg remembered at a time.
const MOST_STREAMS: usize = 4;

/// Which packets of one leg were heard lately.
#[derive(Debug, Default)]
pub struct SeenPackets {
    /// The stream heard last comes last.
    streams: Vec<SeenStream>,
}

#[derive(Debug)]
struct SeenStream {
    ssrc: Ssrc,
    /// By sequence number modulo [`KEPT`].
    packets: Vec<(SequenceNumber, RtpTimestamp)>,
}

impl SeenPackets {
    /// Notes a packet, by the 12 bytes of its fixed header (RFC 3550 section 5.1). Answers whether it is the first copy;
    /// what has no such header never is.
    pub fn is_first(&mut self, rtp: &[u8]) -> bool {
        let Some(&[_, _, n0, n1, t0, t1, t2, t3, s0, s1, s2, s3]) = rtp.first_chunk() else {
            return false;
        };
        let packet = (
            SequenceNumber(u16::from_be_bytes([n0, n1])),
            RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
        );
        let stream = self.stream(Ssrc(u32::from_be_bytes([s0, s1, s2, s3])));
        let place = usize::from(packet.0.0) % KEPT;
        std::mem::replace(&mut stream.packets[place], packet) != packet
    }

    fn stream(&mut self, ssrc: Ssrc) -> &mut SeenStream {
        match self.streams.iter().position(|stream| stream.ssrc == ssrc) {
            Some(place) => self.streams[place..].rotate_left(1),
            None if self.streams.len() < MOST_STREAMS => self.streams.push(SeenStream::new(ssrc)),
            None => {
                self.streams.remove(0);
                self.streams.push(SeenStream::new(ssrc));
            }
        }
        let last = self.streams.len() - 1;
        &mut self.streams[last]
    }
}

impl SeenStream {
    fn new(ssrc: Ssrc) -> Self {
        // No packet with the number after its place's can be kept there.
        let none = |place: u16| (SequenceNumber(place + 1), RtpTimestamp(0));
        Self {
            ssrc,
            packets: (0..).take(KEPT).map(none).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(ssrc: u32, number: u16, timestamp: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet
    }

    #[test]
    fn each_packet_is_heard_once_whichever_way_comes_first() {
        // Over the wrap; one way is ten packets behind and loses every third, the other every fifth.
        let packet = |at: u16| header(7, 65_000_u16.wrapping_add(at), u32::from(at) * 160);
        let mut seen = SeenPackets::default();
        let mut heard = vec![0; 2_000];
        for at in 0..2_000_u16 {
            for (late, lost) in [(0, 5), (10, 3)] {
                if let Some(at) = at.checked_sub(late).filter(|at| !at.is_multiple_of(lost)) {
                    heard[usize::from(at)] += usize::from(seen.is_first(&packet(at)));
                }
            }
        }
        let lost = |at: usize| at.is_multiple_of(15) || (at.is_multiple_of(5) && at >= 1_990);
        assert!(
            heard
                .iter()
                .enumerate()
                .all(|(at, &count)| count == usize::from(!lost(at)))
        );
    }

    #[test]
    fn a_number_that_comes_again_after_a_wrap_is_another_packet() {
        let mut seen = SeenPackets::default();
        assert!(seen.is_first(&header(7, 3, 480)));
        assert!(!seen.is_first(&header(7, 3, 480)));
        assert!(seen.is_first(&header(7, 3, 480 + 65_536 * 160)));
        assert!(seen.is_first(&header(8, 3, 480)), "another stream");
    }

    #[test]
    fn what_is_no_packet_is_never_heard() {
        assert!(!SeenPackets::default().is_first(&[0x80; 11]));
        assert!(SeenPackets::default().is_first(&[0; 12]), "and zeros are one");
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_a_copy_is_known_at_once(packets in proptest::collection::vec((0_u32..9, any::<u16>(), any::<u32>()), 1..300)) {
            let mut seen = SeenPackets::default();
            for (ssrc, number, timestamp) in packets {
                let packet = header(ssrc, number, timestamp);
                seen.is_first(&packet);
                prop_assert!(!seen.is_first(&packet));
                prop_assert!(seen.streams.len() <= MOST_STREAMS);
            }
        }
    }
}
