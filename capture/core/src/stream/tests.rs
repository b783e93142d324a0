//! The table as its callers see it: streams told apart, copies joined, memory bounded.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use silentmon_proto::codec::Codec;
use silentmon_proto::frame::{Datagram, VlanStack};
use silentmon_proto::ids::{MediaAddress, Ssrc};
use silentmon_proto::time::Instant;

use super::{
    Arrival, Encryption, Evidence, Freshness, Limits, PayloadKind, Rejection, RtpArrival, StreamId, StreamTable,
    Validity,
};

const PHONE: &str = "10.1.1.20:24678";
const GATEWAY: &str = "10.9.9.9:16384";
const OFFLINE: Limits = Limits {
    max_streams: 1000,
    idle: None,
};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn vlan(ids: &[u16]) -> VlanStack {
    let mut stack = VlanStack::default();
    for &id in ids {
        stack.push(id);
    }
    stack
}

fn at(milliseconds: u64) -> Instant {
    Instant::from_nanos(1_700_000_000_000_000_000 + milliseconds * 1_000_000)
}

/// A sender of RTP whose packets can be bent.
#[derive(Clone)]
struct Sender {
    source: &'static str,
    destination: &'static str,
    vlan: VlanStack,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    sent: Instant,
}

impl Sender {
    fn new() -> Self {
        Self {
            source: PHONE,
            destination: GATEWAY,
            vlan: vlan(&[110]),
            ssrc: 0x1234_5678,
            payload_type: 8,
            sequence: 100,
            timestamp: 16_000,
            sent: at(0),
        }
    }

    /// The next packet: 20 ms, its payload unlike any other's.
    fn next(&mut self) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.sent += Duration::from_millis(20);
        self.packet(&self.speech())
    }

    fn speech(&self) -> Vec<u8> {
        let mut payload = vec![0xd5; 160];
        payload.splice(..4, self.timestamp.to_be_bytes());
        payload
    }

    fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn datagram<'a>(&self, payload: &'a [u8]) -> Datagram<'a> {
        Datagram {
            captured: self.sent,
            vlan: self.vlan,
            tunnel: None,
            source: address(self.source),
            destination: address(self.destination),
            payload,
            truncated: false,
        }
    }

    /// Sends the next packet.
    fn send<'a>(&mut self, table: &mut StreamTable, buffer: &'a mut Vec<u8>) -> RtpArrival<'a> {
        *buffer = self.next();
        rtp(table.handle_datagram(&self.datagram(buffer), Evidence::Observed))
    }

    fn send_many(&mut self, table: &mut StreamTable, count: usize) -> StreamId {
        let mut last = None;
        for _ in 0..count {
            last = Some(self.send(table, &mut Vec::new()).stream);
        }
        last.expect("at least one")
    }
}

fn rtp(arrival: Arrival<'_>) -> RtpArrival<'_> {
    match arrival {
        Arrival::Rtp(arrival) => arrival,
        other => panic!("expected RTP, found {other:?}"),
    }
}

fn table() -> StreamTable {
    StreamTable::new(OFFLINE)
}

#[test]
fn a_stream_is_valid_with_its_second_packet_in_sequence_and_plain_with_its_first() {
    let (mut table, mut sender) = (table(), Sender::new());
    let mut buffer = Vec::new();
    let first = sender.send(&mut table, &mut buffer);
    assert_eq!(
        (first.validity, first.encryption),
        (Validity::Probation, Encryption::Plain)
    );
    let mut buffer = Vec::new();
    let second = sender.send(&mut table, &mut buffer);
    assert_eq!(second.validity, Validity::Valid);
    assert!(second.news.became_valid && second.is_audible());
    assert_eq!(second.kind, PayloadKind::Speech(Codec::Pcma));
    assert_eq!(second.stream, first.stream);
}

#[test]
fn an_announced_address_is_believed_at_once_but_not_with_nonsense() {
    let mut table = table();
    let mut sender = Sender::new();
    let packet = sender.next();
    let arrival = rtp(table.handle_datagram(&sender.datagram(&packet), Evidence::Announced));
    assert!(arrival.is_audible());
    let mut stranger = Sender {
        ssrc: 9,
        payload_type: 1,
        ..Sender::new()
    };
    let packet = stranger.next();
    let arrival = rtp(table.handle_datagram(&stranger.datagram(&packet), Evidence::Announced));
    assert_eq!(arrival.validity, Validity::Probation);
}

#[test]
fn packets_out_of_sequence_stay_on_probation_and_are_not_listed() {
    let (mut table, mut sender) = (table(), Sender::new());
    for _ in 0..20 {
        let packet = sender.next();
        table.handle_datagram(&sender.datagram(&packet), Evidence::Observed);
        sender.sequence = sender.sequence.wrapping_add(6);
    }
    assert!(table.listed().is_empty());
}

#[test]
fn one_ssrc_on_two_legs_of_a_proxy_and_two_vlans_makes_three_streams() {
    let mut table = table();
    let near = Sender::new();
    let far = Sender {
        source: GATEWAY,
        destination: "10.2.2.2:5000",
        ..near.clone()
    };
    let elsewhere = Sender {
        vlan: vlan(&[30, 200]),
        sequence: 40_000,
        timestamp: 7,
        ..near.clone()
    };
    for mut sender in [near, far, elsewhere] {
        sender.send_many(&mut table, 30);
    }
    let listed = table.listed();
    assert_eq!(listed.len(), 3);
    assert!(
        listed
            .iter()
            .all(|(_, stream)| stream.packets() == 30 && stream.copies().is_empty())
    );
}

#[test]
fn a_copy_on_another_vlan_is_a_duplicate_whichever_comes_first() {
    for copy_first_after in [0, 3, 1000] {
        let (mut table, mut sender) = (table(), Sender::new());
        for number in 0..50 {
            let packet = sender.next();
            let routed = Sender {
                vlan: vlan(&[120]),
                ..sender.clone()
            };
            let mut both = [sender.datagram(&packet), routed.datagram(&packet)];
            if number >= copy_first_after && number > 0 {
                both.reverse();
            }
            for datagram in both {
                table.handle_datagram(&datagram, Evidence::Observed);
            }
        }
        let listed = table.listed();
        let [(_, stream)] = &listed[..] else {
            panic!("expected one stream, found {}", listed.len());
        };
        assert_eq!((stream.packets(), stream.sequence().unique()), (100, 50));
        assert_eq!((stream.sequence().duplicates(), stream.sequence().lost()), (50, 0));
        assert_eq!(
            (stream.key().vlan, stream.copies()),
            (vlan(&[110]), &[vlan(&[120])][..])
        );
    }
}

#[test]
fn a_copy_that_is_seen_before_its_original_joins_it() {
    let (mut table, mut sender) = (table(), Sender::new());
    sender.send_many(&mut table, 10);
    let packets: Vec<_> = (0..12)
        .map(|_| {
            let packet = sender.next();
            (sender.clone(), packet)
        })
        .collect();
    for (sender, packet) in &packets {
        let routed = Sender {
            vlan: vlan(&[120]),
            ..sender.clone()
        };
        table.handle_datagram(&routed.datagram(packet), Evidence::Observed);
        table.handle_datagram(&sender.datagram(packet), Evidence::Observed);
    }
    let listed = table.listed();
    assert_eq!(listed.len(), 1);
    let sequence = listed[0].1.sequence();
    assert_eq!((sequence.unique(), sequence.duplicates(), sequence.lost()), (22, 12, 0));
}

#[test]
fn other_media_on_another_vlan_stay_another_stream() {
    let mut table = table();
    let (mut one, mut two) = (Sender::new(), Sender::new());
    two.vlan = vlan(&[120]);
    for _ in 0..40 {
        one.send(&mut table, &mut Vec::new());
        two.next();
        let payload = [0x55; 160];
        table.handle_datagram(&two.datagram(&two.packet(&payload)), Evidence::Observed);
    }
    assert_eq!(table.listed().len(), 2);
}

#[test]
fn a_new_ssrc_replaces_the_stream_before_it() {
    let (mut table, mut sender) = (table(), Sender::new());
    let before = sender.send_many(&mut table, 10);
    sender.ssrc = 77;
    sender.send(&mut table, &mut Vec::new());
    let mut buffer = Vec::new();
    let arrival = sender.send(&mut table, &mut buffer);
    assert_eq!(arrival.news.replaces, Some(before));
    assert_ne!(arrival.stream, before);
}

#[test]
fn a_payload_type_change_inside_an_ssrc_is_told_and_counted() {
    let (mut table, mut sender) = (table(), Sender::new());
    sender.send_many(&mut table, 5);
    sender.payload_type = 0;
    let mut buffer = Vec::new();
    let arrival = sender.send(&mut table, &mut buffer);
    assert!(arrival.news.payload_type_changed);
    let stream = table.stream(arrival.stream).expect("there");
    assert_eq!(stream.payload_type_changes(), 1);
    let counts: Vec<_> = stream
        .payload_types()
        .map(|seen| (seen.payload_type.0, seen.packets))
        .collect();
    assert_eq!(counts, [(8, 5), (0, 1)]);
}

#[test]
fn digits_and_comfort_noise_are_not_speech_and_change_no_codec() {
    let (mut table, mut sender) = (table(), Sender::new());
    sender.send_many(&mut table, 5);
    let mut digit = Sender {
        payload_type: 97,
        ..sender.clone()
    };
    for duration in [160u16, 320, 480] {
        digit.sequence += 1;
        let [d0, d1] = duration.to_be_bytes();
        let packet = digit.packet(&[5, 10, d0, d1]);
        let arrival = rtp(table.handle_datagram(&digit.datagram(&packet), Evidence::Observed));
        assert!(matches!(arrival.kind, PayloadKind::TelephoneEvent(event) if event.event == 5));
        assert_eq!(arrival.codec, Codec::TelephoneEvent);
    }
    let noise = Sender {
        payload_type: 13,
        sequence: digit.sequence + 1,
        ..digit.clone()
    };
    let arrival = rtp(table.handle_datagram(&noise.datagram(&noise.packet(&[64])), Evidence::Observed)).stream;
    let stream = table.stream(arrival).expect("there");
    assert_eq!(
        (stream.codec(), stream.events(), stream.payload_type_changes()),
        (Codec::Pcma, 1, 0)
    );
}

#[test]
fn the_streams_of_a_media_address_are_found_in_both_directions() {
    let mut table = table();
    let mut agent = Sender::new();
    let mut customer = Sender {
        source: GATEWAY,
        destination: PHONE,
        ssrc: 5,
        ..Sender::new()
    };
    let said = agent.send_many(&mut table, 3);
    let heard = customer.send_many(&mut table, 3);
    for text in [PHONE, "10.1.1.20"] {
        let phone: MediaAddress = text.parse().expect("a media address");
        let from: Vec<_> = table.from_address(phone).map(|(id, _)| id).collect();
        let to: Vec<_> = table.to_address(phone).map(|(id, _)| id).collect();
        assert_eq!((from, to), (vec![said], vec![heard]));
    }
    let other: MediaAddress = "10.1.1.20:24680".parse().expect("a media address");
    assert_eq!(table.from_address(other).count() + table.to_address(other).count(), 0);
}

#[test]
fn silent_streams_are_forgotten_in_time_and_their_names_never_reused() {
    let idle = Duration::from_secs(30);
    let mut table = StreamTable::new(Limits {
        max_streams: 10,
        idle: Some(idle),
    });
    let mut sender = Sender::new();
    let id = sender.send_many(&mut table, 3);
    let last = sender.sent;
    assert_eq!(table.poll_timeout(), Some(last + idle));
    table.handle_timeout((last + idle).saturating_back(Duration::from_millis(1)));
    assert!(table.stream(id).is_some());
    table.handle_timeout(last + idle);
    assert!(table.stream(id).is_none() && table.is_empty());
    assert_eq!(table.poll_timeout(), None);
    assert_ne!(sender.send_many(&mut table, 1), id);
}

#[test]
fn a_flood_of_strangers_drives_out_no_valid_stream() {
    let mut table = StreamTable::new(Limits {
        max_streams: 100,
        idle: None,
    });
    let mut sender = Sender::new();
    let id = sender.send_many(&mut table, 3);
    for ssrc in 1000..6000 {
        let stranger = Sender {
            ssrc,
            sent: sender.sent + Duration::from_millis(u64::from(ssrc)),
            ..Sender::new()
        };
        let packet = stranger.packet(&[0xd5; 160]);
        table.handle_datagram(&stranger.datagram(&packet), Evidence::Observed);
        assert!(table.len() <= 100);
    }
    assert!(table.stream(id).is_some());
    assert_eq!(table.evicted(), 5001 - 100);
    let remaining = table.from_address(address(PHONE).into()).count();
    assert_eq!(remaining, 100, "the index by address forgets with the table");
}

#[test]
fn of_valid_streams_the_one_heard_longest_ago_gives_way() {
    let mut table = StreamTable::new(Limits {
        max_streams: 4,
        idle: None,
    });
    let mut senders: Vec<_> = (1..=4).map(|ssrc| Sender { ssrc, ..Sender::new() }).collect();
    let ids: Vec<_> = senders
        .iter_mut()
        .map(|sender| sender.send_many(&mut table, 2))
        .collect();
    for sender in &mut senders[1..] {
        sender.send_many(&mut table, 1);
    }
    Sender {
        ssrc: 99,
        sent: at(500),
        ..Sender::new()
    }
    .send_many(&mut table, 1);
    let alive: Vec<_> = ids.iter().map(|id| table.stream(*id).is_some()).collect();
    assert_eq!(alive, [false, true, true, true]);
}

#[test]
fn media_beside_a_dtls_handshake_are_encrypted() {
    let (mut table, mut sender) = (table(), Sender::new());
    sender.payload_type = 111;
    let mut hello = vec![22, 0xfe, 0xfd];
    hello.extend([0; 40]);
    let arrival = table.handle_datagram(&sender.datagram(&hello), Evidence::Observed);
    assert_eq!(arrival, Arrival::Rejected(Rejection::Dtls));
    let id = sender.send_many(&mut table, 2);
    assert_eq!(
        table.stream(id).map(super::Stream::encryption),
        Some(Encryption::Encrypted)
    );
}

/// A sender report of `ssrc` over `packets` packets with one block about `about`.
fn sender_report(ssrc: u32, packets: u32, about: u32) -> Vec<u8> {
    let mut report = vec![0x81, 200, 0, 12];
    report.extend(ssrc.to_be_bytes());
    report.extend([0; 12]);
    report.extend(packets.to_be_bytes());
    report.extend([0; 4]);
    report.extend(about.to_be_bytes());
    report.extend([64, 0, 0, 7]);
    report.extend([0; 4]);
    report.extend(33u32.to_be_bytes());
    report.extend([0; 8]);
    report
}

#[test]
fn rtcp_reports_are_kept_with_the_streams_they_speak_of_on_either_port() {
    for (source, destination) in [(PHONE, GATEWAY), ("10.1.1.20:24679", "10.9.9.9:16385")] {
        let mut table = table();
        let mut agent = Sender::new();
        let mut customer = Sender {
            source: GATEWAY,
            destination: PHONE,
            ssrc: 5,
            ..Sender::new()
        };
        let (said, heard) = (agent.send_many(&mut table, 2), customer.send_many(&mut table, 2));
        let reporter = Sender {
            source,
            destination,
            ..agent.clone()
        };
        let report = sender_report(agent.ssrc, 480, 5);
        assert_eq!(
            table.handle_datagram(&reporter.datagram(&report), Evidence::Observed),
            Arrival::Rtcp
        );
        let figures = |id| *table.stream(id).expect("there").rtcp();
        assert_eq!((figures(said).sender_reports, figures(said).sent_packets), (1, 480));
        let told = figures(heard);
        assert_eq!(
            (
                told.reception_reports,
                told.fraction_lost,
                told.cumulative_lost,
                told.jitter
            ),
            (1, 64, 7, 33)
        );
    }
}

#[test]
fn media_relayed_by_a_turn_server_are_found_in_their_wrapping() {
    let (mut table, mut sender) = (table(), Sender::new());
    for _ in 0..2 {
        let packet = sender.next();
        let mut wrapped = vec![0x40, 1];
        wrapped.extend(u16::try_from(packet.len()).expect("short").to_be_bytes());
        wrapped.extend(&packet);
        let arrival = rtp(table.handle_datagram(&sender.datagram(&wrapped), Evidence::Observed));
        assert_eq!(arrival.packet.bytes, packet);
    }
    assert_eq!(table.listed().len(), 1);
}

#[test]
fn a_lone_packet_needs_somebody_to_vouch_for_it() {
    let binding = [&[0u8, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let cases: [(&[u8], usize); 3] = [(&[], 0), (b"hello", 0), (&binding, 1)];
    for (beside, expected) in cases {
        let (mut table, mut sender) = (table(), Sender::new());
        sender.ssrc = 3;
        if !beside.is_empty() {
            table.handle_datagram(&sender.datagram(beside), Evidence::Observed);
        }
        sender.send(&mut table, &mut Vec::new());
        assert_eq!(table.listed().len(), expected, "{beside:?}");
    }
}

#[test]
fn a_session_description_vouches_for_a_lone_packet_and_names_its_codec() {
    let mut table = table().with_signalling();
    let mut sender = Sender::new();
    let offer =
        b"SIP/2.0 200 OK\r\n\r\nv=0\r\nc=IN IP4 10.9.9.9\r\nm=audio 16384 RTP/AVP 97\r\na=rtpmap:97 PCMA/8000\r\n";
    let proxy = Sender {
        source: "10.5.5.5:5060",
        destination: "10.5.5.6:5060",
        ..Sender::new()
    };
    table.handle_datagram(&proxy.datagram(offer), Evidence::Observed);
    (sender.payload_type, sender.ssrc) = (97, 3);
    let mut buffer = Vec::new();
    assert_eq!(
        sender.send(&mut table, &mut buffer).kind,
        PayloadKind::Speech(Codec::Pcma)
    );
    assert_eq!(table.listed().len(), 1);
}

#[test]
fn rejections_are_counted_by_reason() {
    let (mut table, sender) = (table(), Sender::new());
    let cut = Datagram {
        truncated: true,
        ..sender.datagram(&[0x80, 0, 0, 1])
    };
    assert_eq!(
        table.handle_datagram(&cut, Evidence::Observed),
        Arrival::Rejected(Rejection::Truncated)
    );
    table.handle_datagram(&sender.datagram(b"REGISTER sip:x"), Evidence::Observed);
    table.handle_datagram(&sender.datagram(&[]), Evidence::Observed);
    let rejected = table.rejected();
    assert_eq!((rejected.truncated, rejected.not_rtp, rejected.stun), (1, 2, 0));
}

#[test]
fn duplicates_of_the_mirror_are_marked_and_a_restart_is_news() {
    let (mut table, mut sender) = (table(), Sender::new());
    let id = sender.send_many(&mut table, 3);
    let again = sender.packet(&sender.speech());
    let copy = rtp(table.handle_datagram(&sender.datagram(&again), Evidence::Observed));
    assert_eq!((copy.freshness, copy.stream), (Freshness::Duplicate, id));
    (sender.sequence, sender.timestamp) = (30_000, 4_000_000_000);
    let mut buffer = Vec::new();
    let arrival = sender.send(&mut table, &mut buffer);
    assert!(arrival.news.restarted && arrival.freshness == Freshness::Fresh && arrival.is_audible());
    assert_eq!(table.lost(id), Some(0));
}

#[test]
fn an_ssrc_reads_as_it_is_written() {
    let (mut table, mut sender) = (table(), Sender::new());
    let id = sender.send_many(&mut table, 2);
    assert_eq!(
        table.stream(id).map(|stream| stream.key().ssrc),
        Some(Ssrc(0x1234_5678))
    );
}

proptest! {
    #[test]
    fn any_datagrams_are_survived_in_bounded_memory(
        datagrams in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80), any::<bool>()), 0..200),
    ) {
        let mut table = StreamTable::new(Limits { max_streams: 8, idle: Some(Duration::from_secs(1)) }).with_signalling();
        for (number, (first, bytes, truncated)) in datagrams.iter().enumerate() {
            let sender = Sender { sent: at(number as u64 * 100), vlan: vlan(&[u16::from(first % 3)]), ..Sender::new() };
            let payload: Vec<u8> = [0x80 | (first % 4)].into_iter().chain(bytes.iter().copied()).collect();
            let datagram = Datagram { truncated: *truncated, ..sender.datagram(&payload) };
            table.handle_datagram(&datagram, Evidence::Observed);
            table.handle_timeout(sender.sent);
            prop_assert!(table.len() <= 8);
        }
        prop_assert!(table.listed().len() <= table.len());
    }
}
