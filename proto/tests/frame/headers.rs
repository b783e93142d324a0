//! What is told of a frame's headers besides its payload.

use std::net::IpAddr;

use silentmon_proto::frame::{Carried, Frame, FrameReader, Headers, LinkType, MacAddress, Rejected, Tunnel};
use silentmon_proto::time::Instant;

use crate::build::*;

fn headers(link_type: LinkType, bytes: &[u8]) -> (Headers<'_>, Result<(), Rejected>) {
    let frame = Frame {
        link_type,
        captured: Instant::EPOCH,
        bytes,
        wire_length: u32::try_from(bytes.len()).expect("32 bits"),
    };
    let mut reader = FrameReader::default();
    let (headers, carried) = reader.read_headers(&frame);
    let carried = carried.map(|carried| assert!(matches!(carried, Carried::Datagram(_))));
    // What it borrows is the frame.
    let ethernet = bytes.get(bytes.len() - headers.ethernet.len()..).expect("a part of it");
    (Headers { ethernet, ..headers }, carried)
}

fn text(address: Option<(IpAddr, IpAddr)>) -> String {
    address.map_or_else(String::new, |(source, destination)| format!("{source} > {destination}"))
}

#[test]
fn addresses_of_the_link_priority_and_hops_are_told() {
    let bytes = ethernet(DOT1AD, &tag(30, DOT1Q, &tag(0xa0c8, IPV4, &voice())));
    let (headers, carried) = headers(LinkType::Ethernet, &bytes);
    assert_eq!(carried, Ok(()));
    assert_eq!(
        (headers.vlan.ids(), headers.priority, headers.hops),
        (&[30, 200][..], Some(5), 64)
    );
    assert_eq!(text(headers.addresses), "10.1.1.20 > 10.9.8.7");
    let stations = headers.stations().map(|(to, from)| (to.to_string(), from.to_string()));
    assert_eq!(stations, Some(("02:00:00:00:00:01".into(), "02:00:00:00:00:02".into())));
    assert!(!headers.is_cut && headers.tunnel.is_none());
}

#[test]
fn a_frame_without_a_datagram_has_headers_too() {
    let bytes = ethernet(DOT1Q, &tag(0xe055, 0x0806, &[0; 28]));
    let (headers, carried) = headers(LinkType::Ethernet, &bytes);
    assert_eq!(carried, Err(Rejected::NotIp));
    assert_eq!(
        (headers.vlan.ids(), headers.priority, headers.addresses),
        (&[85][..], Some(7), None)
    );
}

#[test]
fn of_a_tunnel_the_headers_inside_are_told() {
    let inner = ethernet(IPV4, &voice());
    let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &inner]);
    let bytes = ethernet(IPV6, &ipv6(UDP, &udp_between((5000, 4789), &vxlan)));
    let (headers, carried) = headers(LinkType::Ethernet, &bytes);
    assert_eq!((carried, headers.tunnel), (Ok(()), Some(Tunnel::Vxlan)));
    assert_eq!(text(headers.addresses), "10.1.1.20 > 10.9.8.7");
    assert_eq!(headers.ethernet, inner);
}

#[test]
fn a_frame_that_ends_before_its_packet_is_cut() {
    let bytes = ethernet(IPV4, &voice());
    let (headers, _) = headers(LinkType::Ethernet, &bytes[..bytes.len() - 1]);
    assert!(headers.is_cut);
}

#[test]
fn what_has_no_link_layer_has_no_stations() {
    let bytes = voice();
    let (headers, carried) = headers(LinkType::RawIp, &bytes);
    assert_eq!((carried, headers.stations(), headers.priority), (Ok(()), None, None));
}

#[test]
fn group_addresses_are_known_by_their_first_bit() {
    assert!(MacAddress::BROADCAST.is_group() && MacAddress([0x01, 0, 0x5e, 0, 0, 1]).is_group());
    assert!(!MacAddress([2, 0, 0, 0, 0, 1]).is_group());
}
