//! RTCP as hand-built bytes: what each packet tells, and what a broken one says about itself.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn packet(first: u8, packet_type: u8, content: &[u8]) -> Vec<u8> {
    let words = u16::try_from(content.len() / 4).expect("a short packet");
    let mut bytes = vec![first, packet_type];
    bytes.extend_from_slice(&words.to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn block_words(lost: u32) -> [u32; 6] {
    [0x0000_00bb, lost, 0x0001_0010, 24, 0xb44d_b705, 0x0005_4000]
}

fn block(fraction_lost: u8, cumulative_lost: i32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(0xbb),
        fraction_lost,
        cumulative_lost,
        highest_sequence: 0x0001_0010,
        jitter: 24,
        last_sender_report: Some(0xb44d_b705),
        delay_since_last_sender_report: 0x0005_4000,
    }
}

fn all(bytes: &[u8]) -> Vec<Result<Packet<'_>, Malformed>> {
    Compound::new(bytes).collect()
}

#[test]
fn reads_a_sender_report_with_its_block() {
    let mut content = words(&[0xaa, 0xdead_beef, 0x8000_0000, 160, 50, 8000]);
    content.extend(words(&block_words(0x4000_0002)));
    let bytes = packet(0x81, 200, &content);
    let [Ok(Packet::SenderReport(report))] = all(&bytes)[..] else {
        panic!("one sender report: {:?}", all(&bytes));
    };
    assert_eq!(report.ssrc, Ssrc(0xaa));
    assert_eq!(report.sent, NtpTimestamp(0xdead_beef_8000_0000));
    assert_eq!(report.timestamp, RtpTimestamp(160));
    assert_eq!((report.packets, report.octets), (50, 8000));
    assert_eq!(report.blocks().collect::<Vec<_>>(), [block(0x40, 2)]);
}

#[test]
fn a_negative_loss_keeps_its_sign() {
    let mut content = words(&[0xaa]);
    content.extend(words(&block_words(0x00ff_ffff)));
    let bytes = packet(0x81, 201, &content);
    let [Ok(Packet::ReceiverReport(report))] = all(&bytes)[..] else {
        panic!("one receiver report: {:?}", all(&bytes));
    };
    assert_eq!(report.blocks().collect::<Vec<_>>(), [block(0, -1)]);
}

#[test]
fn measures_the_round_trip_of_rfc_3550_figure_2() {
    let received = NtpTimestamp(0x0000_b710_8000_0000 | 0xb710 << 32);
    let block = ReportBlock {
        last_sender_report: Some(0xb705_2000),
        ..block(0, 0)
    };
    let round_trip = block.round_trip(received).expect("clocks agree");
    assert_eq!(round_trip, Duration::from_millis(6_125));
    let without_report = ReportBlock {
        last_sender_report: None,
        ..block
    };
    assert_eq!(without_report.round_trip(received), None);
}

#[test]
fn reads_names_of_sources_and_their_goodbye() {
    let mut content = words(&[0xaa]);
    content.extend_from_slice(b"\x01\x05a@b.c\x06\x03sip\x00\x00\x00\x00");
    content.extend(words(&[0xbb]));
    content.extend_from_slice(b"\x02\x01x\x00");
    let mut bytes = packet(0x82, 202, &content);
    bytes.extend(packet(0x82, 203, &[words(&[0xaa, 0xbb]), b"\x03end".to_vec()].concat()));
    let packets = all(&bytes);
    let [Ok(Packet::SourceDescription(description)), Ok(Packet::Goodbye(goodbye))] = packets[..] else {
        panic!("a description and a goodbye: {packets:?}");
    };
    let chunks: Vec<_> = description.chunks().collect();
    assert_eq!(chunks[0].canonical_name(), Some(&b"a@b.c"[..]));
    assert_eq!(chunks[0].items().last(), Some((ItemType::Tool, &b"sip"[..])));
    assert_eq!((chunks[1].ssrc, chunks[1].canonical_name()), (Ssrc(0xbb), None));
    assert_eq!(goodbye.sources().collect::<Vec<_>>(), [Ssrc(0xaa), Ssrc(0xbb)]);
    assert_eq!(goodbye.reason(), Some(&b"end"[..]));
}

#[test]
fn reads_what_a_phone_measured() {
    let mut content = words(&[0xaa, 0x0400_0002, 0xdead_beef, 0x0102_0304]);
    content.extend(words(&[0x0500_0003, 0xbb, 0x1234_5678, 0x0001_0000]));
    content.extend(words(&[0x0700_0008, 0xcc]));
    content.extend_from_slice(&[
        5, 6, 7, 8, 0, 100, 1, 0, 0, 40, 0, 20, 0xe2, 127, 127, 16, 93, 127, 42, 41, 0xb0, 0,
    ]);
    content.extend_from_slice(&[0, 60, 0, 120, 1, 44]);
    content.extend(words(&[0x0100_0001, 0]));
    let bytes = packet(0x80, 207, &content);
    let packets = all(&bytes);
    let [Ok(Packet::ExtendedReport(report))] = packets[..] else {
        panic!("one extended report: {packets:?}");
    };
    let blocks: Vec<_> = report.blocks().collect();
    let [time, Block::DelayReports(delays), Block::VoipMetrics(metrics), other] = blocks[..] else {
        panic!("four blocks: {blocks:?}");
    };
    assert_eq!(time, Block::ReceiverReferenceTime(NtpTimestamp(0xdead_beef_0102_0304)));
    let delay = DelayReport {
        ssrc: Ssrc(0xbb),
        last_receiver_report: 0x1234_5678,
        delay_since_last_receiver_report: 0x0001_0000,
    };
    assert_eq!(delays.answers().collect::<Vec<_>>(), [delay]);
    let expected = VoipMetrics {
        ssrc: Ssrc(0xcc),
        loss_rate: 5,
        discard_rate: 6,
        burst_density: 7,
        gap_density: 8,
        burst_duration: 100,
        gap_duration: 256,
        round_trip_delay: 40,
        end_system_delay: 20,
        signal_level: Some(-30),
        noise_level: None,
        residual_echo_return_loss: None,
        gap_threshold: 16,
        r_factor: Some(93),
        external_r_factor: None,
        listening_mos: Some(42),
        conversational_mos: Some(41),
        receiver_configuration: 0xb0,
        jitter_buffer_nominal: 60,
        jitter_buffer_maximum: 120,
        jitter_buffer_absolute_maximum: 300,
    };
    assert_eq!(metrics, expected);
    assert_eq!(other, Block::Other { block_type: 1 });
}

#[test]
fn skips_feedback_and_application_packets() {
    let mut bytes = packet(0x80, 201, &words(&[0xaa]));
    for packet_type in [204, 205, 206] {
        bytes.extend(packet(0x81, packet_type, &words(&[0xaa, 0xbb])));
    }
    let others = all(&bytes)
        .into_iter()
        .filter(|packet| matches!(packet, Ok(Packet::Other { packet_type: 204..=206 })));
    assert_eq!(others.count(), 3);
}

#[test]
fn padding_is_taken_off_the_last_packet_only() {
    let padded = packet(0xa0, 201, &words(&[0xaa, 4]));
    assert!(matches!(all(&padded)[..], [Ok(Packet::ReceiverReport(_))]));
    let mut first = padded.clone();
    first.extend(packet(0x80, 201, &words(&[0xaa])));
    assert_eq!(all(&first), [Err(Malformed::Padding { found: 4, offset: 0 })]);
    let odd = packet(0xa0, 201, &words(&[0xaa, 3]));
    assert_eq!(all(&odd), [Err(Malformed::Padding { found: 3, offset: 0 })]);
}

#[test]
fn says_what_is_wrong_and_where() {
    let mut bytes = packet(0x80, 201, &words(&[0xaa]));
    bytes.extend_from_slice(&[0x80, 200, 0, 6, 0, 0]);
    let cut = Malformed::TooShort {
        expected: 28,
        found: 6,
        offset: 8,
    };
    assert_eq!(all(&bytes).last(), Some(&Err(cut)));
    let missing_block = Malformed::TooShort {
        expected: 32,
        found: 8,
        offset: 0,
    };
    assert_eq!(all(&packet(0x81, 201, &words(&[0xaa]))), [Err(missing_block)]);
    let version = Malformed::Version { found: 1, offset: 0 };
    assert_eq!(all(&[0x40, 200, 0, 0]), [Err(version)]);
    let not_rtcp = Malformed::PacketType { found: 96, offset: 0 };
    assert_eq!(all(&[0x80, 96, 0, 0]), [Err(not_rtcp)]);
}

/// Looks at everything a compound holds.
fn exhaust(bytes: &[u8]) -> usize {
    Compound::new(bytes)
        .map(|packet| match packet {
            Ok(Packet::SenderReport(report)) => report.blocks().count(),
            Ok(Packet::ReceiverReport(report)) => report.blocks().count(),
            Ok(Packet::SourceDescription(description)) => description.chunks().map(|chunk| chunk.items().count()).sum(),
            Ok(Packet::Goodbye(goodbye)) => goodbye.sources().count(),
            Ok(Packet::ExtendedReport(report)) => report.blocks().count(),
            Ok(Packet::Other { .. }) | Err(_) => 1,
        })
        .sum()
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exhaust(&bytes);
    }

    #[test]
    fn any_content_behind_a_valid_header_never_panics(
        first in 0x80u8..=0xbf,
        packet_type in 192u8..=223,
        content in prop::collection::vec(any::<u32>(), 0..40),
    ) {
        exhaust(&packet(first, packet_type, &words(&content)));
    }

    #[test]
    fn report_blocks_come_out_as_they_went_in(blocks in prop::collection::vec(any::<[u32; 6]>(), 0..=31)) {
        let count = u8::try_from(blocks.len()).expect("at most 31");
        let content = [words(&[0xaa]), words(&blocks.concat())].concat();
        let bytes = packet(0x80 | count, 201, &content);
        let Some(Ok(Packet::ReceiverReport(report))) = Compound::new(&bytes).next() else {
            panic!("a receiver report");
        };
        let sequences: Vec<_> = report.blocks().map(|block| (block.ssrc.0, block.highest_sequence, block.jitter)).collect();
        let expected: Vec<_> = blocks.iter().map(|block| (block[0], block[2], block[3])).collect();
        prop_assert_eq!(sequences, expected);
    }
}
