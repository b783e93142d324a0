//! Fragments: in order, out of order, twice, overlapping, late, too many, and in tunnels.

use std::time::Duration;

use silentmon_proto::frame::{FragmentCounters, Frame, FrameLimits, FrameReader, LinkType, Rejected, Tunnel};

use crate::build::*;

const MORE: u16 = 0x2000;

/// A payload whose bytes tell their place.
fn long_voice(length: usize) -> Vec<u8> {
    let places = (0..length).map(|place| place.to_le_bytes()[0]);
    VOICE.iter().copied().chain(places).collect()
}

/// The fragment of `payload` from `start` to `end`.
fn piece(payload: &[u8], start: usize, end: usize, protocol: u8) -> Vec<u8> {
    let more = if end < payload.len() { MORE } else { 0 };
    let offset = u16::try_from(start / 8).expect("an offset");
    ipv4_with(more | offset, &[], protocol, &payload[start..end.min(payload.len())])
}

fn pieces(payload: &[u8], size: usize, protocol: u8) -> Vec<Vec<u8>> {
    (0..payload.len())
        .step_by(size)
        .map(|start| piece(payload, start, start + size, protocol))
        .collect()
}

fn read_at(reader: &mut FrameReader, after: Duration, packet: &[u8]) -> Result<Read, Rejected> {
    let bytes = ethernet(IPV4, packet);
    let now = frame(LinkType::Ethernet, &bytes);
    let frame = Frame {
        captured: now.captured + after,
        ..now
    };
    reader.read(&frame).map(Read::from)
}

fn read_next(reader: &mut FrameReader, packet: &[u8]) -> Result<Read, Rejected> {
    read_at(reader, Duration::ZERO, packet)
}

fn expected(payload: &[u8]) -> Read {
    Read {
        payload: payload.to_vec(),
        ..read_voice(&[], None)
    }
}

#[test]
fn the_last_fragment_completes_the_datagram() {
    let mut reader = FrameReader::default();
    let payload = long_voice(3000);
    let mut parts = pieces(&udp(&payload), 1000, UDP);
    let last = parts.pop().expect("four fragments");
    for part in &parts {
        assert_eq!(read_next(&mut reader, part), Err(Rejected::FragmentPending));
    }
    assert_eq!(read_next(&mut reader, &last), Ok(expected(&payload)));
    assert_eq!(reader.fragments().reassembled, 1);
}

#[test]
fn any_order_and_copies_of_a_mirror_do_no_harm() {
    let mut reader = FrameReader::default();
    let payload = long_voice(3000);
    let parts = pieces(&udp(&payload), 1000, UDP);
    for index in [3, 1, 3, 1, 0, 0] {
        assert_eq!(read_next(&mut reader, &parts[index]), Err(Rejected::FragmentPending));
    }
    assert_eq!(read_next(&mut reader, &parts[2]), Ok(expected(&payload)));
}

#[test]
fn datagrams_interleave_by_identification_and_vlan() {
    let mut reader = FrameReader::default();
    let payload = long_voice(1000);
    let parts = pieces(&udp(&payload), 800, UDP);
    let on = |vlan, part: &[u8]| ethernet(DOT1Q, &tag(vlan, IPV4, part));
    for vlan in [110, 120] {
        let first = on(vlan, &parts[0]);
        let pending = reader.read(&frame(LinkType::Ethernet, &first));
        assert_eq!(pending, Err(Rejected::FragmentPending));
    }
    for vlan in [110, 120] {
        let last = on(vlan, &parts[1]);
        let read = reader.read(&frame(LinkType::Ethernet, &last)).map(Read::from);
        assert_eq!(
            read.map(|read| (read.vlan, read.payload.len())),
            Ok((vec![vlan], payload.len()))
        );
    }
}

#[test]
fn overlapping_fragments_condemn_their_datagram() {
    let mut reader = FrameReader::default();
    let datagram = udp(&long_voice(3000));
    assert_eq!(
        read_next(&mut reader, &piece(&datagram, 0, 1000, UDP)),
        Err(Rejected::FragmentPending)
    );
    assert_eq!(
        read_next(&mut reader, &piece(&datagram, 992, 2000, UDP)),
        Err(Rejected::FragmentDropped)
    );
    assert_eq!(
        read_next(&mut reader, &piece(&datagram, 1000, 4000, UDP)),
        Err(Rejected::FragmentDropped)
    );
    let counted = FragmentCounters {
        condemned: 1,
        ..FragmentCounters::default()
    };
    assert_eq!(reader.fragments(), counted);
}

#[test]
fn two_ends_condemn_their_datagram() {
    let mut reader = FrameReader::default();
    let datagram = udp(&long_voice(3000));
    let end = ipv4_with(2000 / 8, &[], UDP, &datagram[2000..]);
    let other_end = ipv4_with(1000 / 8, &[], UDP, &datagram[1000..1500]);
    assert_eq!(read_next(&mut reader, &end), Err(Rejected::FragmentPending));
    assert_eq!(read_next(&mut reader, &other_end), Err(Rejected::FragmentDropped));
}

#[test]
fn a_middle_fragment_of_odd_length_condemns_its_datagram() {
    let mut reader = FrameReader::default();
    let odd = ipv4_with(MORE, &[], UDP, &udp(VOICE)[..21]);
    assert_eq!(read_next(&mut reader, &odd), Err(Rejected::FragmentDropped));
}

#[test]
fn a_fragment_beyond_the_largest_datagram_is_dropped() {
    let mut reader = FrameReader::default();
    let beyond = ipv4_with(MORE | 0x1fff, &[], UDP, &[0; 800]);
    assert_eq!(read_next(&mut reader, &beyond), Err(Rejected::FragmentDropped));
}

#[test]
fn waits_no_longer_than_the_time_out() {
    let mut reader = FrameReader::default();
    let parts = pieces(&udp(&long_voice(1000)), 800, UDP);
    assert_eq!(read_next(&mut reader, &parts[0]), Err(Rejected::FragmentPending));
    let late = Duration::from_secs(6);
    assert_eq!(read_at(&mut reader, late, &parts[1]), Err(Rejected::FragmentPending));
    assert_eq!(reader.fragments().timed_out, 1);
    assert!(read_at(&mut reader, late + Duration::from_secs(4), &parts[0]).is_ok());
}

#[test]
fn capture_time_that_jumps_back_starts_anew() {
    let mut reader = FrameReader::default();
    let parts = pieces(&udp(&long_voice(1000)), 800, UDP);
    let hour = Duration::from_secs(3600);
    assert_eq!(read_at(&mut reader, hour, &parts[0]), Err(Rejected::FragmentPending));
    assert_eq!(read_next(&mut reader, &parts[1]), Err(Rejected::FragmentPending));
}

#[test]
fn the_oldest_gives_way_where_there_are_too_many() {
    let limits = FrameLimits {
        datagrams: 4,
        ..FrameLimits::default()
    };
    let mut reader = FrameReader::new(limits);
    let payload = long_voice(1000);
    let datagram = udp(&payload);
    let numbered = |number: u8, mut packet: Vec<u8>| {
        packet[5] = number;
        packet
    };
    for number in 0..5 {
        let first = numbered(number, piece(&datagram, 0, 800, UDP));
        let pending = read_at(&mut reader, Duration::from_millis(number.into()), &first);
        assert_eq!(pending, Err(Rejected::FragmentPending));
    }
    assert_eq!(reader.fragments().displaced, 1);
    let newest = numbered(4, piece(&datagram, 800, 2000, UDP));
    assert_eq!(
        read_at(&mut reader, Duration::from_millis(5), &newest),
        Ok(expected(&payload))
    );
    let displaced = numbered(0, piece(&datagram, 800, 2000, UDP));
    let pending = read_at(&mut reader, Duration::from_millis(6), &displaced);
    assert_eq!(pending, Err(Rejected::FragmentPending));
}

#[test]
fn bytes_held_stay_within_their_limit() {
    let limits = FrameLimits {
        bytes: 10_000,
        ..FrameLimits::default()
    };
    let mut reader = FrameReader::new(limits);
    for number in 0..20u8 {
        let mut first = piece(&[0; 4000], 0, 2000, UDP);
        first[5] = number;
        assert_eq!(read_next(&mut reader, &first), Err(Rejected::FragmentPending));
    }
    assert_eq!(reader.fragments().displaced, 15);
    let too_far = ipv4_with(MORE | (9600 / 8), &[], UDP, &[0; 800]);
    assert_eq!(read_next(&mut reader, &too_far), Err(Rejected::FragmentDropped));
}

#[test]
fn too_many_fragments_condemn_their_datagram() {
    let mut reader = FrameReader::default();
    let parts = pieces(&udp(&long_voice(2000)), 8, UDP);
    let read: Vec<_> = parts.iter().map(|part| read_next(&mut reader, part)).collect();
    assert_eq!(read[127], Err(Rejected::FragmentPending));
    assert_eq!(read[128], Err(Rejected::FragmentDropped));
    assert_eq!(read.last(), Some(&Err(Rejected::FragmentDropped)));
}

#[test]
fn fragmented_ipv6_is_put_together() {
    let mut reader = FrameReader::default();
    let payload = long_voice(2000);
    let datagram = udp(&payload);
    let part = |start: usize, end: usize, more: u8| {
        let [high, low] = u16::try_from(start).expect("an offset").to_be_bytes();
        let header = [UDP, 0, high, low | more, 0, 0, 0, 9];
        ethernet(IPV6, &ipv6(44, &join(&[&header, &datagram[start..end]])))
    };
    let last = part(1000, datagram.len(), 0);
    assert_eq!(
        reader.read(&frame(LinkType::Ethernet, &last)),
        Err(Rejected::FragmentPending)
    );
    let first = part(0, 1000, 1);
    let read = reader.read(&frame(LinkType::Ethernet, &first)).map(Read::from);
    let expected = Read {
        payload,
        ..read_voice_v6(&[], None)
    };
    assert_eq!(read, Ok(expected));
}

#[test]
fn a_mirror_packet_that_was_fragmented_holds_its_frame() {
    let mut reader = FrameReader::default();
    let payload = long_voice(1200);
    let mirrored = erspan2(3, &ethernet(DOT1Q, &tag(200, IPV4, &ipv4(UDP, &udp(&payload)))));
    let parts = pieces(&mirrored, 800, 47);
    assert_eq!(read_next(&mut reader, &parts[0]), Err(Rejected::FragmentPending));
    let expected = Read {
        payload,
        ..read_voice(&[200], Some(Tunnel::Erspan2))
    };
    assert_eq!(read_next(&mut reader, &parts[1]), Ok(expected));
}

#[test]
fn fragments_inside_a_fragmented_tunnel_are_put_together_too() {
    let mut reader = FrameReader::default();
    let payload = long_voice(2000);
    let mut read = Vec::new();
    for (number, inner) in pieces(&udp(&payload), 1400, UDP).iter().enumerate() {
        let mirrored = erspan2(3, &ethernet(IPV4, inner));
        for mut outer in pieces(&mirrored, 800, 47) {
            outer[5] = u8::try_from(number).expect("a small number");
            read.push(read_next(&mut reader, &outer));
        }
    }
    let expected = Read {
        payload,
        ..read_voice(&[], Some(Tunnel::Erspan2))
    };
    assert_eq!(read.pop(), Some(Ok(expected)));
    assert!(read.iter().all(|earlier| *earlier == Err(Rejected::FragmentPending)));
}

#[test]
fn fragments_of_other_protocols_are_not_kept() {
    let mut reader = FrameReader::default();
    for part in pieces(&[0; 2000], 800, 6) {
        assert_eq!(read_next(&mut reader, &part), Err(Rejected::NotUdp));
    }
    let quote = join(&[&[3, 3, 0, 0, 0, 0, 0, 0], &voice()]);
    let quoting = ipv4_with(MORE, &[], 1, &quote[..48]);
    assert_eq!(read_next(&mut reader, &quoting), Err(Rejected::IcmpQuoted));
}

#[test]
fn a_first_fragment_that_the_capture_cut_is_read_as_far_as_it_goes() {
    let datagram = udp(&long_voice(2000));
    let whole = ethernet(IPV4, &piece(&datagram, 0, 1400, UDP));
    let read = read_cut(&whole[..100]).expect("a datagram");
    assert_eq!((read.payload.len(), read.truncated), (100 - 42, true));
    let later = ethernet(IPV4, &piece(&datagram, 1400, 2800, UDP));
    assert_eq!(read_cut(&later[..100]), Err(Rejected::Truncated));
}
