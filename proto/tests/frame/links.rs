//! What a frame begins with.

use silentmon_proto::frame::{LinkType, Rejected};

use crate::build::*;

#[test]
fn ethernet_with_ipv4_and_ipv6() {
    assert_eq!(read(&ethernet(IPV4, &voice())), Ok(read_voice(&[], None)));
    let bytes = ethernet(IPV6, &ipv6(UDP, &udp(VOICE)));
    assert_eq!(read(&bytes), Ok(read_voice_v6(&[], None)));
}

#[test]
fn ethernet_of_802_3_with_snap_and_with_plain_llc() {
    let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00], &voice()]);
    let length = u16::try_from(snap.len()).expect("a short frame");
    let padded = join(&[&ethernet(length, &snap), &[0; 20]]);
    assert_eq!(read(&padded), Ok(read_voice(&[], None)));
    let llc = join(&[&[6, 6, 3], &voice()]);
    let length = u16::try_from(llc.len()).expect("a short frame");
    assert_eq!(read(&ethernet(length, &llc)), Ok(read_voice(&[], None)));
    let spanning_tree = ethernet(38, &[0x42; 38]);
    assert_eq!(read(&spanning_tree), Err(Rejected::NotIp));
}

#[test]
fn linux_cooked_captures_of_both_versions() {
    let sll = join(&[&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &voice()]);
    assert_eq!(read_as(LinkType::LinuxSll, &sll), Ok(read_voice(&[], None)));
    let unknown_hardware = join(&[&[0, 9, 0xff, 0xfe, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &voice()]);
    assert_eq!(
        read_as(LinkType::LinuxSll, &unknown_hardware),
        Ok(read_voice(&[], None))
    );
    let tagged = join(&[
        &[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0],
        &tag(85, IPV4, &voice()),
    ]);
    assert_eq!(read_as(LinkType::LinuxSll, &tagged), Ok(read_voice(&[85], None)));
    let sll2 = join(&[&[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0], &voice()]);
    assert_eq!(read_as(LinkType::LinuxSll2, &sll2), Ok(read_voice(&[], None)));
}

#[test]
fn loopback_in_both_byte_orders() {
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        let bytes = join(&[&family, &voice()]);
        assert_eq!(read_as(LinkType::Null, &bytes), Ok(read_voice(&[], None)));
        assert_eq!(read_as(LinkType::Loop, &bytes), Ok(read_voice(&[], None)));
    }
    for family in [10, 23, 24, 28, 30] {
        let bytes = join(&[&[family, 0, 0, 0], &ipv6(UDP, &udp(VOICE))]);
        assert_eq!(
            read_as(LinkType::Null, &bytes),
            Ok(read_voice_v6(&[], None)),
            "{family}"
        );
    }
    let appletalk = join(&[&[16, 0, 0, 0], &[0; 30]]);
    assert_eq!(read_as(LinkType::Null, &appletalk), Err(Rejected::NotIp));
}

#[test]
fn raw_ip_of_either_version() {
    assert_eq!(read_as(LinkType::RawIp, &voice()), Ok(read_voice(&[], None)));
    let bytes = ipv6(UDP, &udp(VOICE));
    assert_eq!(read_as(LinkType::RawIp, &bytes), Ok(read_voice_v6(&[], None)));
    assert_eq!(read_as(LinkType::RawIp, &[0x50; 40]), Err(Rejected::NotIp));
}

#[test]
fn ppp_in_its_framings() {
    let framings: [&[u8]; 4] = [&[0xff, 3, 0, 0x21], &[0, 0x21], &[0x21], &[0x0f, 0, 8, 0]];
    for framing in framings {
        let bytes = join(&[framing, &voice()]);
        assert_eq!(read_as(LinkType::Ppp, &bytes), Ok(read_voice(&[], None)), "{framing:?}");
    }
    let link_control = [0xff, 3, 0xc0, 0x21, 1, 1, 0, 4];
    assert_eq!(read_as(LinkType::Ppp, &link_control), Err(Rejected::NotIp));
}

#[test]
fn other_link_types_are_counted_not_read() {
    let wireless = LinkType::from_pcap(127);
    assert_eq!(read_as(wireless, &voice()), Err(Rejected::UnsupportedLinkType));
}
