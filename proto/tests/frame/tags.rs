//! Tags between Ethernet and IP.

use silentmon_proto::frame::Rejected;

use crate::build::*;

#[test]
fn one_tag_with_priority_and_drop_eligibility() {
    for (tci, id) in [(0xa055, 85), (0xb000, 0), (0xdfff, 4095), (0x1ffe, 4094)] {
        let bytes = ethernet(DOT1Q, &tag(tci, IPV4, &voice()));
        assert_eq!(read(&bytes), Ok(read_voice(&[id], None)), "{tci:#06x}");
    }
}

#[test]
fn any_stack_of_tags_outermost_first() {
    let two = ethernet(DOT1AD, &tag(30, DOT1Q, &tag(200, IPV4, &voice())));
    assert_eq!(read(&two), Ok(read_voice(&[30, 200], None)));
    let three = ethernet(
        0x9100,
        &tag(1, 0x9200, &tag(2, DOT1Q, &tag(0, IPV6, &ipv6(UDP, &udp(VOICE))))),
    );
    assert_eq!(read(&three), Ok(read_voice_v6(&[1, 2, 0], None)));
}

#[test]
fn tags_beyond_the_eighth_are_passed_but_not_kept() {
    let inner = tag(9, IPV4, &voice());
    let stack = (1..=8).rev().fold(inner, |payload, id| tag(id, DOT1Q, &payload));
    let bytes = ethernet(DOT1Q, &stack);
    assert_eq!(read(&bytes), Ok(read_voice(&[1, 2, 3, 4, 5, 6, 7, 8], None)));
}

#[test]
fn tags_without_end_are_too_deep() {
    let endless = ethernet(DOT1Q, &[0x81, 0x00].repeat(400));
    assert_eq!(read(&endless), Err(Rejected::TooDeep));
}

#[test]
fn a_tagged_802_3_frame() {
    let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00], &voice()]);
    let length = u16::try_from(snap.len()).expect("a short frame");
    let bytes = ethernet(DOT1Q, &tag(85, length, &snap));
    assert_eq!(read(&bytes), Ok(read_voice(&[85], None)));
}

#[test]
fn cisco_metadata_with_a_security_group_between_tag_and_ip() {
    let metadata = join(&[&[1, 1, 0, 1, 0x12, 0x34, 0x08, 0x00], &voice()]);
    let bytes = ethernet(DOT1Q, &tag(110, 0x8909, &metadata));
    assert_eq!(read(&bytes), Ok(read_voice(&[110], None)));
}

#[test]
fn tags_of_switch_extensions() {
    let inner = tag(110, IPV4, &voice());
    let vn_tag = join(&[&[0, 1, 0, 2, 0x81, 0x00], &inner]);
    assert_eq!(read(&ethernet(0x8926, &vn_tag)), Ok(read_voice(&[110], None)));
    let e_tag = join(&[&[0, 0, 0, 2, 0, 0, 0x81, 0x00], &inner]);
    assert_eq!(read(&ethernet(0x893f, &e_tag)), Ok(read_voice(&[110], None)));
    let i_tag = join(&[&[0, 0, 0x13, 0x88], &ethernet(DOT1Q, &inner)]);
    assert_eq!(
        read(&ethernet(DOT1AD, &tag(7, 0x88e7, &i_tag))),
        Ok(read_voice(&[7, 110], None))
    );
}
