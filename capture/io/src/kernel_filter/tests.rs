//! The program run by the kernel on frames made here, without a network. Skipped where bpf(2) isn't permitted.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use silentmon_proto::frame::{Frame, FrameReader};

use super::*;
use crate::file::CaptureFile;

const AGENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 20));
const KNOWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 21));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9));
const AGENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, 0x20));
const OTHER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 9, 9));

fn filter(capacity: u32) -> Option<KernelFilter> {
    match KernelFilter::load(capacity) {
        Ok(filter) => Some(filter),
        Err(KernelFilterError::NotPermitted(error)) => {
            skip(&format!("bpf(2) is not permitted: {error}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

fn watching() -> Option<KernelFilter> {
    let filter = filter(8)?;
    let watched = [
        (AGENT, Interest::Pass),
        (AGENT6, Interest::Pass),
        (KNOWN, Interest::Count),
    ];
    filter.set_watched(watched).unwrap();
    Some(filter)
}

fn passes(filter: &KernelFilter, frame: &[u8]) -> bool {
    filter.program.run(frame, 1).unwrap().0 > 0
}

/// An Ethernet frame with these EtherTypes (each but the last a tag) and what follows.
fn ethernet(types: &[u16], rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for (number, kind) in types.iter().enumerate() {
        frame.extend(kind.to_be_bytes());
        if number + 1 < types.len() {
            frame.extend([0xa0, 0x64]);
        }
    }
    frame.extend(rest);
    frame
}

fn udp(port: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0x66];
    header.extend(port.to_be_bytes());
    header.extend([0, 20, 0, 0]);
    header.extend([0x80; 12]);
    header
}

/// An IPv4 packet; `fragment` is the field of flags and offset, `options` the words of options.
fn ipv4(from: IpAddr, to: IpAddr, protocol: u8, fragment: u16, options: u8, rest: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
        unreachable!()
    };
    let mut packet = vec![0x45 + options, 0, 0, 40, 0, 1];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(vec![1; usize::from(options) * 4]);
    packet.extend(rest);
    packet
}

fn ipv6(from: IpAddr, to: IpAddr, next_header: u8, rest: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else {
        unreachable!()
    };
    let mut packet = vec![0x60, 0, 0, 0, 0, 20, next_header, 64];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(rest);
    packet
}

fn rtp4(from: IpAddr, to: IpAddr) -> Vec<u8> {
    ethernet(&[0x0800], &ipv4(from, to, 17, 0, 0, &udp(4000)))
}

#[test]
fn passes_datagrams_from_and_to_a_watched_address_and_no_others() {
    let Some(filter) = watching() else { return };
    assert!(passes(&filter, &rtp4(AGENT, OTHER)));
    assert!(passes(&filter, &rtp4(OTHER, AGENT)));
    assert!(!passes(&filter, &rtp4(OTHER, OTHER)));
    assert!(!passes(&filter, &rtp4(KNOWN, OTHER)));
    let six = |from, to| ethernet(&[0x86dd], &ipv6(from, to, 17, &udp(4000)));
    assert!(passes(&filter, &six(AGENT6, OTHER6)));
    assert!(passes(&filter, &six(OTHER6, AGENT6)));
    assert!(!passes(&filter, &six(OTHER6, OTHER6)));
}

#[test]
fn looks_through_two_tags_and_passes_what_has_more() {
    let Some(filter) = watching() else { return };
    for tags in [
        &[0x8100][..],
        &[0x88a8],
        &[0x9100],
        &[0x8100, 0x8100],
        &[0x88a8, 0x8100],
    ] {
        let types = [tags, &[0x0800]].concat();
        let frame = |from| ethernet(&types, &ipv4(from, OTHER, 17, 0, 0, &udp(4000)));
        assert!(passes(&filter, &frame(AGENT)), "{tags:x?}");
        assert!(!passes(&filter, &frame(OTHER)), "{tags:x?}");
    }
    let deep = ethernet(
        &[0x8100, 0x8100, 0x8100, 0x0800],
        &ipv4(OTHER, OTHER, 17, 0, 0, &udp(4000)),
    );
    assert!(passes(&filter, &deep));
}

#[test]
fn passes_whatever_may_carry_a_tunnel() {
    let Some(filter) = watching() else { return };
    for protocol in [4, 41, 47, 51, 137] {
        let four = ethernet(&[0x0800], &ipv4(OTHER, OTHER, protocol, 0, 0, &[0; 40]));
        let six = ethernet(&[0x86dd], &ipv6(OTHER6, OTHER6, protocol, &[0; 40]));
        assert!(passes(&filter, &four) && passes(&filter, &six), "protocol {protocol}");
    }
    for port in [4789, 8472, 4790, 6081, 6635] {
        let plain = ethernet(&[0x0800], &ipv4(OTHER, OTHER, 17, 0, 0, &udp(port)));
        let options = ethernet(&[0x8100, 0x0800], &ipv4(OTHER, OTHER, 17, 0, 10, &udp(port)));
        let six = ethernet(&[0x86dd], &ipv6(OTHER6, OTHER6, 17, &udp(port)));
        assert!(
            passes(&filter, &plain) && passes(&filter, &options) && passes(&filter, &six),
            "port {port}"
        );
    }
    for carrier in [
        0x8847, 0x8848, 0x8864, 0x8909, 0x8926, 0x893f, 0x88e7, 0x894f, 0x6558, 0x0040, 0x05dc,
    ] {
        assert!(passes(&filter, &ethernet(&[carrier], &[0; 40])), "{carrier:x}");
        assert!(passes(&filter, &ethernet(&[0x8100, carrier], &[0; 40])), "{carrier:x}");
    }
    for header in [0, 43, 44, 60, 135, 139, 140] {
        assert!(
            passes(&filter, &ethernet(&[0x86dd], &ipv6(OTHER6, OTHER6, header, &[0; 40]))),
            "{header}"
        );
    }
}

#[test]
fn keeps_what_carries_no_datagram() {
    let Some(filter) = watching() else { return };
    let tcp = ethernet(&[0x0800], &ipv4(AGENT, OTHER, 6, 0, 0, &[0; 20]));
    let arp = ethernet(&[0x0806], &[0; 28]);
    let smallest_type = ethernet(&[0x0600], &[0; 64]);
    let wrong_version = ethernet(&[0x0800], &ipv6(AGENT6, OTHER6, 17, &udp(4000)));
    for frame in [tcp, arp, smallest_type, wrong_version] {
        assert!(!passes(&filter, &frame), "{frame:x?}");
    }
    let whole = rtp4(AGENT, OTHER);
    for length in 1..34 {
        assert!(!passes(&filter, &whole[..length]), "{length} bytes");
    }
    assert!(passes(&filter, &whole[..34]), "addresses are all there");
}

#[test]
fn passes_every_fragment_of_a_watched_address() {
    let Some(filter) = watching() else { return };
    for fragment in [0x2000, 0x2010, 0x0020] {
        let frame = |from| ethernet(&[0x0800], &ipv4(from, OTHER, 17, fragment, 0, &udp(4789)));
        assert!(passes(&filter, &frame(AGENT)));
        assert_eq!(passes(&filter, &frame(OTHER)), fragment == 0x2000, "{fragment:x}");
    }
}

#[test]
fn counts_datagrams_of_addresses_passed_or_not() {
    let Some(filter) = watching() else { return };
    filter.program.run(&rtp4(KNOWN, AGENT), 5).unwrap();
    filter.program.run(&rtp4(AGENT, OTHER), 2).unwrap();
    let six = ethernet(&[0x86dd], &ipv6(OTHER6, AGENT6, 17, &udp(4000)));
    filter.program.run(&six, 3).unwrap();
    let counters = |from, to| AddressCounters { from, to };
    assert_eq!(
        filter.address_counters().unwrap(),
        [
            (AGENT, counters(2, 5)),
            (KNOWN, counters(5, 0)),
            (AGENT6, counters(0, 3))
        ]
    );
    let some = BTreeSet::from([AGENT6, OTHER]);
    assert_eq!(filter.address_counters_of(&some).unwrap(), [(AGENT6, counters(0, 3))]);
    assert_eq!(filter.counters().unwrap(), KernelCounters { seen: 10, tagged: 0 });
}

#[test]
fn a_change_of_interest_takes_effect_and_keeps_the_counters() {
    let Some(filter) = watching() else { return };
    filter.program.run(&rtp4(KNOWN, OTHER), 4).unwrap();
    filter
        .set_watched([(KNOWN, Interest::Pass), (KNOWN, Interest::Count)])
        .unwrap();
    assert!(passes(&filter, &rtp4(KNOWN, OTHER)));
    assert!(!passes(&filter, &rtp4(AGENT, OTHER)));
    let expected = AddressCounters { from: 5, to: 0 };
    assert_eq!(filter.address_counters().unwrap(), [(KNOWN, expected)]);
}

#[test]
fn more_addresses_are_counted_as_far_as_there_is_room() {
    let Some(filter) = filter(2) else { return };
    filter.set_watched([(AGENT, Interest::Pass)]).unwrap();
    filter.program.run(&rtp4(AGENT, OTHER), 2).unwrap();
    filter.count(&BTreeSet::from([AGENT, KNOWN, AGENT6])).unwrap();
    assert!(passes(&filter, &rtp4(AGENT, OTHER)), "as before");
    filter.program.run(&rtp4(KNOWN, OTHER), 3).unwrap();
    assert!(!passes(&filter, &rtp4(KNOWN, OTHER)));
    let counted: Vec<_> = filter.address_counters().unwrap();
    let expected = [(AGENT, 3), (KNOWN, 4)].map(|(ip, from)| (ip, AddressCounters { from, to: 0 }));
    assert_eq!(counted, expected);
}

#[test]
fn an_address_mapped_into_ipv6_is_the_ipv4_one() {
    let Some(filter) = filter(1) else { return };
    let IpAddr::V4(four) = AGENT else { unreachable!() };
    filter
        .set_watched([(IpAddr::V6(four.to_ipv6_mapped()), Interest::Pass)])
        .unwrap();
    assert!(passes(&filter, &rtp4(AGENT, OTHER)));
}

#[test]
fn passes_everything_on_request_and_where_the_table_is_too_small() {
    let Some(filter) = filter(2) else { return };
    let stranger = rtp4(OTHER, OTHER);
    assert!(!passes(&filter, &stranger));
    filter.pass_everything().unwrap();
    assert!(passes(&filter, &stranger));
    filter.set_watched([(AGENT, Interest::Pass)]).unwrap();
    assert!(!passes(&filter, &stranger));
    let three = [AGENT, KNOWN, AGENT6].map(|address| (address, Interest::Pass));
    let full = filter.set_watched(three).unwrap_err();
    assert!(
        matches!(full, KernelFilterError::Full { capacity: 2, found: 3 }),
        "{full}"
    );
    assert!(passes(&filter, &stranger));
    filter
        .set_watched([(KNOWN, Interest::Pass), (AGENT6, Interest::Pass)])
        .unwrap();
    assert!(!passes(&filter, &stranger) && passes(&filter, &rtp4(KNOWN, OTHER)));
}

/// The frame as a socket filter sees it: the kernel has moved its first tag to the metadata.
fn without_first_tag(frame: &[u8]) -> Vec<u8> {
    match frame.get(12..14) {
        Some([0x81, 0x00] | [0x88, 0xa8]) => [&frame[..12], &frame[16.min(frame.len())..]].concat(),
        _ => frame.to_vec(),
    }
}

/// The one thing the filter must never do: keep a datagram that user space would have wanted.
fn never_keeps_what_is_wanted(filter: &KernelFilter, frame: &Frame<'_>) -> bool {
    let mut reader = FrameReader::default();
    let Ok(datagram) = reader.read(frame) else { return false };
    for end in [datagram.source.ip(), datagram.destination.ip()] {
        filter.set_watched([(end, Interest::Pass)]).unwrap();
        assert!(
            passes(filter, &without_first_tag(frame.bytes)),
            "{datagram:x?} in {:x?}",
            frame.bytes
        );
    }
    true
}

#[test]
fn never_keeps_a_wanted_datagram_of_a_real_capture() {
    let Some(filter) = filter(8) else { return };
    let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let mut judged = 0;
    for directory in std::fs::read_dir(shared.join("data/captures"))
        .into_iter()
        .flatten()
        .flatten()
    {
        for file in std::fs::read_dir(directory.path()).into_iter().flatten().flatten() {
            let Ok(mut file) = CaptureFile::open(&file.path()) else {
                continue;
            };
            let mut left = 300;
            while let Ok(Some(frame)) = file.next_frame() {
                left -= 1;
                if left == 0 {
                    break;
                }
                if frame.link_type == LinkType::Ethernet && frame.bytes.len() <= 1500 {
                    judged += u32::from(never_keeps_what_is_wanted(&filter, &frame.into()));
                }
            }
        }
    }
    if judged == 0 {
        skip("no captures (set SILENTMON_SHARED)");
        return;
    }
    assert!(judged > 5_000, "only {judged} datagrams");
}

proptest! {
    #[test]
    fn never_keeps_a_wanted_datagram_of_a_changed_frame(
        tags in proptest::collection::vec(prop::sample::select(vec![0x8100_u16, 0x88a8, 0x9100, 0x9200, 0x8909]), 0..5),
        protocol in prop::sample::select(vec![17_u8, 17, 17, 0, 44, 60, 51, 4, 41, 47]),
        version in prop::sample::select(vec![4_u8, 6]),
        flips in proptest::collection::vec((14_usize..80, any::<u8>()), 0..4),
        port in prop::sample::select(vec![4000_u16, 4789, 6081, 8472, 6635]),
    ) {
        let Ok(filter) = KernelFilter::load(8) else { return Ok(()) };
        let inner = ethernet(&[0x0800], &ipv4(AGENT, KNOWN, 17, 0, 0, &udp(4000)));
        let payload = [udp(port), vec![8, 0, 0, 0, 0, 0, 0, 0], inner].concat();
        let kind = if version == 4 { 0x0800 } else { 0x86dd };
        let packet = match version {
            4 => ipv4(AGENT, OTHER, protocol, 0, 0, &payload),
            _ => ipv6(AGENT6, OTHER6, protocol, &payload),
        };
        let mut bytes = ethernet(&[&tags[..], &[kind]].concat(), &packet);
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let wire_length = u32::try_from(bytes.len()).unwrap();
        let captured = silentmon_proto::time::Instant::EPOCH;
        let link_type = LinkType::Ethernet;
        never_keeps_what_is_wanted(&filter, &Frame { link_type, captured, bytes: &bytes, wire_length });
    }
}

fn looking_for_signalling() -> Option<KernelFilter> {
    let filter = watching()?;
    let ports = SignallingPorts {
        sip: vec![5060, 5062],
        sccp: vec![2000],
    };
    filter.set_signalling(&ports).unwrap();
    Some(filter)
}

/// UDP or TCP: the ports stand at the same place.
fn transport(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 20]].concat()
}

fn every_way(protocol: u8, from: u16, to: u16) -> Vec<Vec<u8>> {
    let header = transport(from, to);
    let four = |options| ipv4(OTHER, OTHER, protocol, 0x4000, options, &header);
    let six = ipv6(OTHER6, OTHER6, protocol, &header);
    let mut frames = Vec::new();
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
        for (kind, packet) in [(0x0800, four(0)), (0x0800, four(6)), (0x86dd, six.clone())] {
            frames.push(ethernet(&[tags, &[kind]].concat(), &packet));
        }
    }
    frames
}

#[test]
fn passes_signalling_by_its_ports_where_it_is_wanted_and_only_there() {
    let Some(filter) = looking_for_signalling() else { return };
    let wanted = [(17, 5060), (17, 5062), (6, 5060), (6, 5062), (6, 2000)];
    let unwanted = [(17, 2000), (17, 5061), (6, 5061), (6, 80), (17, 4000)];
    let frames = |(protocol, port)| [every_way(protocol, 40_000, port), every_way(protocol, port, 40_000)].concat();
    for way in wanted {
        assert!(frames(way).iter().all(|frame| passes(&filter, frame)), "{way:?}");
    }
    for way in unwanted {
        assert!(frames(way).iter().all(|frame| !passes(&filter, frame)), "{way:?}");
    }
    assert!(passes(&filter, &rtp4(AGENT, OTHER)) && !passes(&filter, &rtp4(KNOWN, OTHER)));

    filter.set_signalling(&SignallingPorts::default()).unwrap();
    for way in wanted {
        assert!(frames(way).iter().all(|frame| !passes(&filter, frame)), "{way:?}");
    }
    assert!(passes(&filter, &rtp4(AGENT, OTHER)));
}

#[test]
fn passes_fragments_only_where_signalling_may_be_in_them() {
    let Some(filter) = looking_for_signalling() else { return };
    let later = ethernet(&[0x0800], &ipv4(OTHER, OTHER, 17, 0x0020, 0, &[0; 40]));
    let first = ethernet(&[0x0800], &ipv4(OTHER, OTHER, 17, 0x2000, 0, &transport(4000, 5060)));
    assert!(passes(&filter, &first) && passes(&filter, &later));
    filter.set_signalling(&SignallingPorts::default()).unwrap();
    assert!(!passes(&filter, &first) && !passes(&filter, &later));
}

#[test]
fn a_change_of_what_is_watched_leaves_signalling_alone() {
    let Some(filter) = looking_for_signalling() else { return };
    filter.set_watched([(KNOWN, Interest::Pass)]).unwrap();
    filter.pass_everything().unwrap();
    filter.set_watched([]).unwrap();
    let sip = ethernet(&[0x0800], &ipv4(OTHER, OTHER, 17, 0, 0, &udp(5060)));
    assert!(passes(&filter, &sip) && !passes(&filter, &rtp4(KNOWN, OTHER)));
    let many = SignallingPorts {
        sip: (1000..1100).collect(),
        sccp: Vec::new(),
    };
    assert!(filter.set_signalling(&many).is_err());
    assert!(!passes(&filter, &rtp4(KNOWN, OTHER)));
}
