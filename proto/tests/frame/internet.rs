//! IP and UDP as mirrors show them: options, padding, wrong lengths, cut frames, quotes.

use silentmon_proto::frame::Rejected;

use crate::build::*;

#[test]
fn ipv4_options_are_passed() {
    let packet = ipv4_with(0, &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0], UDP, &udp(VOICE));
    assert_eq!(read(&ethernet(IPV4, &packet)), Ok(read_voice(&[], None)));
}

#[test]
fn padding_of_small_frames_is_no_payload() {
    let padded = join(&[&ethernet(IPV4, &ipv4(UDP, &udp(&[0xff]))), &[0; 17]]);
    assert_eq!(read(&padded).map(|read| read.payload), Ok(vec![0xff]));
}

#[test]
fn a_udp_length_shorter_than_the_packet_wins() {
    let packet = ipv4(UDP, &join(&[&udp(VOICE), b"trailer"]));
    assert_eq!(read(&ethernet(IPV4, &packet)), Ok(read_voice(&[], None)));
}

#[test]
fn lengths_of_zero_mean_all_there_is() {
    let mut packet = voice();
    (packet[2], packet[3]) = (0, 0);
    assert_eq!(read(&ethernet(IPV4, &packet)), Ok(read_voice(&[], None)));
    (packet[24], packet[25]) = (0, 0);
    assert_eq!(read(&ethernet(IPV4, &packet)), Ok(read_voice(&[], None)));
    let mut packet = ipv6(UDP, &udp(VOICE));
    (packet[4], packet[5]) = (0, 0);
    assert_eq!(read(&ethernet(IPV6, &packet)), Ok(read_voice_v6(&[], None)));
}

#[test]
fn a_cut_frame_gives_what_was_captured_and_says_so() {
    let whole = ethernet(IPV4, &voice());
    let cut = read_cut(&whole[..whole.len() - 4]).expect("a datagram");
    assert_eq!(cut.payload, VOICE[..VOICE.len() - 4]);
    assert!(cut.truncated);
}

#[test]
fn a_frame_cut_inside_a_header_is_truncated_and_a_short_one_malformed() {
    let whole = ethernet(DOT1Q, &tag(85, IPV4, &voice()));
    for length in 0..46 {
        assert_eq!(read_cut(&whole[..length]), Err(Rejected::Truncated), "{length}");
    }
    assert_eq!(read(&whole[..30]), Err(Rejected::Malformed));
}

#[test]
fn contradicting_headers_are_malformed() {
    let mut short_header = voice();
    short_header[0] = 0x44;
    let mut wrong_version = voice();
    wrong_version[0] = 0x65;
    let mut short_total = voice();
    (short_total[2], short_total[3]) = (0, 19);
    let mut short_udp = voice();
    (short_udp[24], short_udp[25]) = (0, 7);
    for packet in [short_header, wrong_version, short_total, short_udp] {
        assert_eq!(read(&ethernet(IPV4, &packet)), Err(Rejected::Malformed));
    }
}

#[test]
fn ipv6_extension_headers_are_passed() {
    let authentication = join(&[&[UDP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[0xee; 12], &udp(VOICE)]);
    let routing = join(&[&[51, 0, 0, 0, 0, 0, 0, 0], &authentication]);
    let destination = join(&[&[43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &routing]);
    let hop_by_hop = join(&[&[60, 0, 5, 2, 0, 0, 1, 0], &destination]);
    assert_eq!(
        read(&ethernet(IPV6, &ipv6(0, &hop_by_hop))),
        Ok(read_voice_v6(&[], None))
    );
}

#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let fragment = join(&[&[UDP, 0, 0, 0, 0, 0, 0, 9], &udp(VOICE)]);
    assert_eq!(
        read(&ethernet(IPV6, &ipv6(44, &fragment))),
        Ok(read_voice_v6(&[], None))
    );
}

#[test]
fn an_authenticated_ipv4_datagram_is_read() {
    let authenticated = join(&[&[UDP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[0xee; 12], &udp(VOICE)]);
    assert_eq!(
        read(&ethernet(IPV4, &ipv4(51, &authenticated))),
        Ok(read_voice(&[], None))
    );
}

#[test]
fn voice_quoted_in_an_icmp_error_is_not_voice() {
    for kind in [3, 4, 5, 11, 12] {
        let error = join(&[&[kind, 3, 0, 0, 0, 0, 0, 0], &voice()]);
        assert_eq!(
            read(&ethernet(IPV4, &ipv4(1, &error))),
            Err(Rejected::IcmpQuoted),
            "{kind}"
        );
    }
    let error = join(&[&[1, 4, 0, 0, 0, 0, 0, 0], &ipv6(UDP, &udp(VOICE))]);
    assert_eq!(read(&ethernet(IPV6, &ipv6(58, &error))), Err(Rejected::IcmpQuoted));
    let echo = [8, 0, 0, 0, 0, 1, 0, 1];
    assert_eq!(read(&ethernet(IPV4, &ipv4(1, &echo))), Err(Rejected::NotUdp));
    let echo = [128, 0, 0, 0, 0, 1, 0, 1];
    assert_eq!(read(&ethernet(IPV6, &ipv6(58, &echo))), Err(Rejected::NotUdp));
}

#[test]
fn other_protocols_say_what_they_are_not() {
    assert_eq!(read(&ethernet(0x0806, &[0; 28])), Err(Rejected::NotIp));
    assert_eq!(read(&ethernet(IPV4, &ipv4(6, &[0; 20]))), Err(Rejected::NotUdp));
    assert_eq!(read(&ethernet(IPV6, &ipv6(50, &[0; 20]))), Err(Rejected::NotUdp));
    assert_eq!(read(&ethernet(IPV6, &ipv6(59, &[]))), Err(Rejected::NotUdp));
}

#[test]
fn ipv6_extension_headers_mean_nothing_in_ipv4() {
    for protocol in [0, 43, 44, 60] {
        let packet = ipv4(protocol, &join(&[&[UDP, 0, 0, 0, 0, 0, 0, 0], &udp(VOICE)]));
        assert_eq!(read(&ethernet(IPV4, &packet)), Err(Rejected::NotUdp), "{protocol}");
    }
}
