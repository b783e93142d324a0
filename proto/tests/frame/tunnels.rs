//! Tunnels of mirrors and providers, and datagrams that only look like them.

use silentmon_proto::frame::{LinkType, Rejected, Tunnel};

use crate::build::*;

fn read_ip(protocol: u8, payload: &[u8]) -> Result<Read, Rejected> {
    read(&ethernet(IPV4, &ipv4(protocol, payload)))
}

#[test]
fn gre_with_every_optional_field() {
    let routes = [0, 0x08, 0, 4, 10, 0, 0, 1, 0, 0, 0, 0];
    let options: [(u16, &[u8]); 7] = [
        (0x0000, &[]),
        (0x8000, &[1, 2, 0, 0]),
        (0x2000, &[0, 0, 0, 7]),
        (0x1000, &[0, 0, 0, 1]),
        (0xb000, &[1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1]),
        (0x4000, &join(&[&[1, 2, 0, 0], &routes])),
        (0xf000, &join(&[&[1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], &routes])),
    ];
    for (flags, fields) in options {
        let packet = gre(flags, IPV4, fields, &voice());
        assert_eq!(
            read_ip(47, &packet),
            Ok(read_voice(&[], Some(Tunnel::Gre))),
            "{flags:#06x}"
        );
    }
}

#[test]
fn gre_with_ethernet_ipv6_mpls_and_a_web_cache_redirect() {
    let bridged = gre(0, 0x6558, &[], &tagged_voice());
    assert_eq!(read_ip(47, &bridged), Ok(read_voice(&[200], Some(Tunnel::Gre))));
    let six = gre(0, IPV6, &[], &ipv6(UDP, &udp(VOICE)));
    assert_eq!(read_ip(47, &six), Ok(read_voice_v6(&[], Some(Tunnel::Gre))));
    let labelled = gre(0, 0x8847, &[], &mpls(2, &voice()));
    assert_eq!(read_ip(47, &labelled), Ok(read_voice(&[], Some(Tunnel::Mpls))));
    let redirected = gre(0, 0x883e, &[0, 1, 2, 3], &voice());
    assert_eq!(read_ip(47, &redirected), Ok(read_voice(&[], Some(Tunnel::Gre))));
}

#[test]
fn pptp_with_and_without_acknowledgment() {
    let ppp = join(&[&[0xff, 3, 0, 0x21], &voice()]);
    let length = u8::try_from(ppp.len()).expect("a short packet");
    let key = [0, length, 0, 5];
    let plain = gre(0x3001, 0x880b, &join(&[&key, &[0, 0, 0, 1]]), &ppp);
    assert_eq!(read_ip(47, &plain), Ok(read_voice(&[], Some(Tunnel::Gre))));
    let acknowledging = gre(0x3081, 0x880b, &join(&[&key, &[0, 0, 0, 1, 0, 0, 0, 1]]), &ppp);
    assert_eq!(read_ip(47, &acknowledging), Ok(read_voice(&[], Some(Tunnel::Gre))));
}

#[test]
fn erspan_of_all_three_types() {
    let one = gre(0, 0x88be, &[], &tagged_voice());
    assert_eq!(read_ip(47, &one), Ok(read_voice(&[200], Some(Tunnel::Erspan1))));
    let two = erspan2(3, &tagged_voice());
    assert_eq!(read_ip(47, &two), Ok(read_voice(&[200], Some(Tunnel::Erspan2))));
    let three = erspan3(0, &[], &tagged_voice());
    assert_eq!(read_ip(47, &three), Ok(read_voice(&[200], Some(Tunnel::Erspan3))));
    let with_subheader = erspan3(0, &[0x0c, 0, 0, 0, 0, 0, 0, 1], &tagged_voice());
    assert_eq!(
        read_ip(47, &with_subheader),
        Ok(read_voice(&[200], Some(Tunnel::Erspan3)))
    );
    let without_ethernet = erspan3(2, &[], &voice());
    assert_eq!(
        read_ip(47, &without_ethernet),
        Ok(read_voice(&[], Some(Tunnel::Erspan3)))
    );
}

#[test]
fn a_tag_that_erspan_took_off_the_frame_is_put_back() {
    let untagged = ethernet(IPV4, &voice());
    for (encapsulation, vlan) in [(0, &[][..]), (1, &[110]), (2, &[110]), (3, &[])] {
        let expected = read_voice(vlan, Some(Tunnel::Erspan2));
        assert_eq!(
            read_ip(47, &erspan2(encapsulation, &untagged)),
            Ok(expected),
            "{encapsulation}"
        );
    }
}

#[test]
fn tags_outside_and_inside_a_tunnel_make_one_stack() {
    let inner = ethernet(DOT1AD, &tag(30, DOT1Q, &tag(200, IPV4, &voice())));
    let outer = ethernet(DOT1Q, &tag(7, IPV4, &ipv4(UDP, &vxlan(&inner))));
    assert_eq!(read(&outer), Ok(read_voice(&[7, 30, 200], Some(Tunnel::Vxlan))));
}

#[test]
fn vxlan_at_its_ports_and_with_group_policy() {
    let expected = Ok(read_voice(&[200], Some(Tunnel::Vxlan)));
    assert_eq!(read_ip(UDP, &vxlan(&tagged_voice())), expected);
    let policy = join(&[&[0x88, 0, 0, 9, 0, 0x13, 0x88, 0], &tagged_voice()]);
    for port in [4789, 8472] {
        assert_eq!(read_ip(UDP, &udp_between((50000, port), &policy)), expected, "{port}");
    }
}

#[test]
fn vxlan_gpe_with_each_next_protocol() {
    let expected = |vlan| Ok(read_voice(vlan, Some(Tunnel::Vxlan)));
    assert_eq!(read_ip(UDP, &vxlan_gpe(1, &voice())), expected(&[]));
    assert_eq!(read_ip(UDP, &vxlan_gpe(3, &tagged_voice())), expected(&[200]));
    let service = join(&[&[0x0f, 0xc6, 1, 3, 0, 0, 1, 255], &[0; 16], &tagged_voice()]);
    assert_eq!(read_ip(UDP, &vxlan_gpe(4, &service)), expected(&[200]));
    let six = read_ip(UDP, &vxlan_gpe(2, &ipv6(UDP, &udp(VOICE))));
    assert_eq!(six, Ok(read_voice_v6(&[], Some(Tunnel::Vxlan))));
}

#[test]
fn geneve_with_options_and_with_plain_ip() {
    let options = [1, 2, 0x80, 1, 0, 0, 0, 9];
    let expected = Ok(read_voice(&[200], Some(Tunnel::Geneve)));
    assert_eq!(read_ip(UDP, &geneve(0x6558, &options, &tagged_voice())), expected);
    let plain = read_ip(UDP, &geneve(IPV4, &[], &voice()));
    assert_eq!(plain, Ok(read_voice(&[], Some(Tunnel::Geneve))));
}

#[test]
fn mpls_with_ip_and_pseudowires() {
    let expected = |vlan| Ok(read_voice(vlan, Some(Tunnel::Mpls)));
    assert_eq!(read(&ethernet(0x8847, &mpls(3, &voice()))), expected(&[]));
    assert_eq!(read(&ethernet(0x8848, &mpls(1, &tagged_voice()))), expected(&[200]));
    let control_word = join(&[&[0, 0, 0, 0], &tagged_voice()]);
    assert_eq!(read(&ethernet(0x8847, &mpls(2, &control_word))), expected(&[200]));
    let in_udp = udp_between((50000, 6635), &mpls(1, &voice()));
    assert_eq!(read_ip(UDP, &in_udp), expected(&[]));
    assert_eq!(read_ip(137, &mpls(1, &voice())), expected(&[]));
}

#[test]
fn a_pseudowire_frame_whose_address_begins_like_ip() {
    for first in [0x45, 0x60] {
        let mut inner = tagged_voice();
        (inner[0], inner[2], inner[4]) = (first, 0xff, 0xff);
        let bytes = ethernet(0x8847, &mpls(1, &inner));
        assert_eq!(read(&bytes), Ok(read_voice(&[200], Some(Tunnel::Mpls))), "{first:#04x}");
    }
}

#[test]
fn labelled_ip_whose_address_looks_like_an_ether_type() {
    let mut packet = voice();
    (packet[12], packet[13]) = (8, 0);
    let read = read(&ethernet(0x8847, &mpls(1, &packet))).expect("a datagram");
    assert_eq!(read.source.to_string(), "8.0.1.20:24678");
}

#[test]
fn pppoe_sessions_but_not_their_discovery() {
    let session = ethernet(DOT1Q, &tag(7, 0x8864, &pppoe(0x0021, &voice())));
    assert_eq!(read(&session), Ok(read_voice(&[7], Some(Tunnel::Pppoe))));
    let six = ethernet(0x8864, &pppoe(0x0057, &ipv6(UDP, &udp(VOICE))));
    assert_eq!(read(&six), Ok(read_voice_v6(&[], Some(Tunnel::Pppoe))));
    assert_eq!(read(&ethernet(0x8863, &[0x11, 9, 0, 0, 0, 0])), Err(Rejected::NotIp));
}

#[test]
fn ip_in_ip_in_all_four_combinations() {
    let (four, six) = (voice(), ipv6(UDP, &udp(VOICE)));
    let tunnel = Some(Tunnel::IpInIp);
    assert_eq!(read_ip(4, &four), Ok(read_voice(&[], tunnel)));
    assert_eq!(read_ip(41, &six), Ok(read_voice_v6(&[], tunnel)));
    assert_eq!(read_as(LinkType::RawIp, &ipv6(4, &four)), Ok(read_voice(&[], tunnel)));
    assert_eq!(
        read_as(LinkType::RawIp, &ipv6(41, &six)),
        Ok(read_voice_v6(&[], tunnel))
    );
}

#[test]
fn the_innermost_of_several_tunnels_is_named() {
    let inner = ethernet(IPV4, &ipv4(47, &erspan2(3, &tagged_voice())));
    let outer = ipv4(UDP, &geneve(0x6558, &[], &ethernet(0x8847, &mpls(1, &inner))));
    let read = read_ip(4, &outer);
    assert_eq!(read, Ok(read_voice(&[200], Some(Tunnel::Erspan2))));
}

#[test]
fn voice_sent_to_a_tunnels_port_stays_voice() {
    for port in [4789, 4790, 8472, 6081, 6635] {
        for marker in [0x00, 0x80] {
            let mut payload = [VOICE, &[0xd5; 160]].concat();
            payload[1] |= marker;
            let read = read_ip(UDP, &udp_between((24678, port), &payload)).expect("a datagram");
            assert_eq!(
                (read.payload, read.tunnel, read.destination.port()),
                (payload, None, port)
            );
        }
    }
}

#[test]
fn voice_whose_header_passes_for_a_label_and_ip_stays_voice() {
    let mut payload = [VOICE, &[6; 160]].concat();
    (payload[2], payload[4], payload[6]) = (0x13, 0x45, 0x01);
    let read = read_ip(UDP, &udp_between((24678, 6635), &payload)).expect("a datagram");
    assert_eq!((read.payload, read.tunnel), (payload, None));
}

#[test]
fn a_tunnel_with_nothing_readable_in_it_is_a_plain_datagram() {
    let arp = ethernet(0x0806, &[0; 28]);
    let read = read_ip(UDP, &vxlan(&arp)).expect("the outer datagram");
    assert_eq!((read.tunnel, read.destination.port()), (None, 4789));
    let broken = read_ip(UDP, &geneve(IPV4, &[], &[0x45, 0, 0])).expect("the outer datagram");
    assert_eq!((broken.tunnel, broken.destination.port()), (None, 6081));
}

#[test]
fn a_tunnel_with_tcp_or_a_quote_in_it_is_no_datagram() {
    let tcp = ethernet(IPV4, &ipv4(6, &[0; 20]));
    assert_eq!(read_ip(UDP, &vxlan(&tcp)), Err(Rejected::NotUdp));
    let quote = ethernet(IPV4, &ipv4(1, &join(&[&[3, 3, 0, 0, 0, 0, 0, 0], &voice()])));
    assert_eq!(read_ip(UDP, &vxlan(&quote)), Err(Rejected::IcmpQuoted));
}

#[test]
fn tunnels_in_tunnels_without_end_are_too_deep() {
    let nested = (0..20).fold(ethernet(IPV4, &voice()), |inner, _| {
        ethernet(IPV4, &ipv4(UDP, &vxlan(&inner)))
    });
    assert_eq!(read(&nested), Err(Rejected::TooDeep));
}

#[test]
fn a_mirrored_frame_that_the_mirror_cut_is_truncated() {
    let whole = tagged_voice();
    let read = read_ip(47, &erspan2(3, &whole[..whole.len() - 4])).expect("a datagram");
    assert_eq!((read.payload.len(), read.truncated), (VOICE.len() - 4, true));
}
