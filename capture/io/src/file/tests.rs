//! Files made here, whole and damaged, read back.

#![allow(clippy::cast_possible_truncation)]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

mod properties;

/// What a test says about a frame: link type, nanoseconds, bytes, wire length.
type Seen = (LinkType, u64, Vec<u8>, u32);

fn read_all(bytes: &[u8]) -> (Vec<Seen>, Option<FileError>) {
    let mut seen = Vec::new();
    let mut file = match CaptureFile::from_bytes("test", bytes.to_vec()) {
        Ok(file) => file,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match file.next_frame() {
            Ok(Some(frame)) => seen.push((
                frame.link_type,
                frame.captured.as_nanos(),
                frame.bytes.to_vec(),
                frame.wire_length,
            )),
            Ok(None) => return (seen, None),
            Err(error) => {
                assert_eq!(file.next_frame(), Ok(None), "an error is the last thing a file gives");
                return (seen, Some(error));
            }
        }
    }
}

fn good(bytes: &[u8]) -> Vec<Seen> {
    let (seen, error) = read_all(bytes);
    assert_eq!(error, None);
    seen
}

/// Writes numbers in either byte order.
#[derive(Clone)]
struct Writer {
    big: bool,
    bytes: Vec<u8>,
}

impl Writer {
    fn new(big: bool) -> Self {
        Self { big, bytes: Vec::new() }
    }

    fn u16(mut self, value: u16) -> Self {
        let bytes = if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(bytes);
        self
    }

    fn u32(mut self, value: u32) -> Self {
        let bytes = if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(bytes);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    fn pcap(self, magic: u32, minor: u16, network: u32) -> Self {
        self.u32(magic).u16(2).u16(minor).u32(0).u32(0).u32(65_535).u32(network)
    }

    fn record(self, time: (u32, u32), wire: u32, data: &[u8]) -> Self {
        self.u32(time.0).u32(time.1).u32(data.len() as u32).u32(wire).raw(data)
    }

    fn block(self, kind: u32, body: &[u8]) -> Self {
        let body_length = body.len().next_multiple_of(4);
        let total = body_length as u32 + 12;
        let padding = vec![0; body_length - body.len()];
        self.u32(kind).u32(total).raw(body).raw(&padding).u32(total)
    }

    fn body(&self) -> Self {
        Self::new(self.big)
    }

    fn section(self) -> Self {
        let body = self.body().u32(0x1a2b_3c4d).u16(1).u16(0).u32(u32::MAX).u32(u32::MAX);
        self.block(0x0a0d_0d0a, &body.bytes)
    }

    fn interface(self, link_type: u16, snap_length: u32, options: &[u8]) -> Self {
        let body = self.body().u16(link_type).u16(0).u32(snap_length).raw(options);
        self.block(1, &body.bytes)
    }

    fn enhanced(self, interface: u32, ticks: u64, wire: u32, data: &[u8]) -> Self {
        let body = self.body().u32(interface).u32((ticks >> 32) as u32).u32(ticks as u32);
        let body = body.u32(data.len() as u32).u32(wire).raw(data);
        self.block(6, &body.bytes)
    }
}

const ETHERNET: LinkType = LinkType::Ethernet;
const NANOSECONDS: [u8; 8] = [9, 0, 1, 0, 9, 0, 0, 0];
const NANOSECONDS_BIG: [u8; 8] = [0, 9, 0, 1, 9, 0, 0, 0];

fn sample_pcapng() -> Vec<u8> {
    let writer = Writer::new(false).section().interface(1, 0, &[]);
    writer
        .enhanced(0, 1_000_000, 60, &[1; 14])
        .enhanced(0, 1_020_000, 60, &[2; 15])
        .bytes
}

#[test]
fn reads_classic_pcap_in_both_byte_orders_and_resolutions() {
    for big in [false, true] {
        let micro = Writer::new(big).pcap(0xa1b2_c3d4, 4, 1).record((7, 5), 214, b"frame");
        assert_eq!(good(&micro.bytes), [(ETHERNET, 7_000_005_000, b"frame".to_vec(), 214)]);
        let nano = Writer::new(big).pcap(0xa1b2_3c4d, 4, 113).record((7, 5), 5, b"frame");
        assert_eq!(
            good(&nano.bytes),
            [(LinkType::LinuxSll, 7_000_000_005, b"frame".to_vec(), 5)]
        );
    }
}

#[test]
fn reads_the_modified_format_with_its_longer_records() {
    let writer = Writer::new(false).pcap(0xa1b2_cd34, 4, 1);
    let writer = writer
        .u32(7)
        .u32(5)
        .u32(2)
        .u32(60)
        .u32(3)
        .u16(0x0800)
        .raw(&[0, 0])
        .raw(b"ab");
    let writer = writer
        .u32(8)
        .u32(0)
        .u32(1)
        .u32(60)
        .u32(3)
        .u16(0x0800)
        .raw(&[0, 0])
        .raw(b"c");
    assert_eq!(
        good(&writer.bytes),
        [
            (ETHERNET, 7_000_005_000, b"ab".to_vec(), 60),
            (ETHERNET, 8_000_000_000, b"c".to_vec(), 60)
        ]
    );
}

#[test]
fn reads_the_swapped_lengths_of_old_versions() {
    let swapped = Writer::new(true)
        .pcap(0xa1b2_c3d4, 2, 1)
        .u32(7)
        .u32(5)
        .u32(60)
        .u32(2)
        .raw(b"ab");
    let either = Writer::new(true)
        .pcap(0xa1b2_c3d4, 3, 1)
        .u32(7)
        .u32(5)
        .u32(60)
        .u32(2)
        .raw(b"ab");
    let expected = [(ETHERNET, 7_000_005_000, b"ab".to_vec(), 60)];
    assert_eq!(good(&swapped.bytes), expected);
    assert_eq!(good(&either.bytes), expected);
}

#[test]
fn knows_every_link_type_the_frame_reader_knows() {
    for (network, link_type) in [
        (0, LinkType::Null),
        (1, LinkType::Ethernet),
        (101, LinkType::RawIp),
        (276, LinkType::LinuxSll2),
        (281, LinkType::Other(281)),
        // Frame check sequences of 4 bytes are said in the uppermost bits.
        (0x2400_0001 & 0xfc00_ffff, LinkType::Ethernet),
    ] {
        let file = Writer::new(false).pcap(0xa1b2_c3d4, 4, network).record((0, 0), 1, b"a");
        assert_eq!(good(&file.bytes)[0].0, link_type);
    }
}

#[test]
fn keeps_what_precedes_a_cut_in_the_last_record() {
    let whole = Writer::new(false)
        .pcap(0xa1b2_c3d4, 4, 1)
        .record((7, 0), 60, &[1; 60])
        .record((8, 0), 60, &[2; 60]);
    let (seen, error) = read_all(&whole.bytes[..whole.bytes.len() - 10]);
    assert_eq!(seen.len(), 1);
    let error = error.unwrap();
    assert_eq!(error.damage(), Damage::Kept(1));
    assert_eq!(
        error.to_string(),
        "test: frame 2 at byte 100: the file is cut short: expected 60 bytes of packet data, found 50; the frame \
         before it is kept"
    );
    let (_, in_header) = read_all(&whole.bytes[..105]);
    let cut = Problem::CutShort {
        what: "record header",
        expected: 16,
        found: 5,
    };
    assert_eq!(in_header.unwrap().problem(), &cut);
}

#[test]
fn refuses_a_nonsense_length_without_allocating_it() {
    let file = Writer::new(false).pcap(0xa1b2_c3d4, 4, 1).record((7, 0), 60, &[1; 60]);
    let file = file.u32(8).u32(0).u32(u32::MAX).u32(60).raw(&[0; 100]);
    let (seen, error) = read_all(&file.bytes);
    assert_eq!(seen.len(), 1);
    let error = error.unwrap();
    assert_eq!(
        error.to_string(),
        "test: frame 2 at byte 100: expected a captured length of at most 1048576 bytes, found 4294967295; the frame \
         before it is kept"
    );
}

#[test]
fn says_what_is_no_capture_file() {
    let says = |bytes: &[u8]| read_all(bytes).1.unwrap().to_string();
    assert_eq!(says(b""), "test: expected a capture file, found an empty one");
    let expected = "test: expected pcap, pcapng, gzip of either, or a NetScreen snoop trace, found";
    assert_eq!(says(b"hello world"), format!("{expected} 0x68656c6c6f20776f"));
    assert_eq!(says(b"\xfd7zXZ\0\0\0"), format!("{expected} an xz-compressed file"));
    assert_eq!(says(b"\n"), format!("{expected} 0x0a"));
    let old = Writer::new(false).u32(0xa1b2_c3d4).u16(1).u16(2).raw(&[0; 16]);
    assert_eq!(
        says(&old.bytes),
        "test: header at byte 0: expected pcap version 2.0 to 2.4, found version 1.2"
    );
    let reserved = Writer::new(false).pcap(0xa1b2_c3d4, 4, 0x0030_0000);
    assert_eq!(
        says(&reserved.bytes),
        "test: header at byte 0: expected a link type of 16 bits, found 3145728"
    );
    let missing = CaptureFile::open(Path::new("/nowhere/x.pcap")).err().unwrap();
    assert_eq!(
        missing.to_string(),
        "/nowhere/x.pcap: can't be opened: No such file or directory (os error 2)"
    );
}

#[test]
fn reads_sections_of_both_byte_orders_with_interfaces_of_their_own() {
    let little = Writer::new(false)
        .section()
        .interface(1, 0, &NANOSECONDS)
        .interface(276, 4, &[])
        .enhanced(1, 7_000_005, 100, b"sll2")
        .enhanced(0, 7_000_000_006, 9, b"ethernet!");
    let big = Writer::new(true)
        .section()
        .interface(101, 0, &NANOSECONDS_BIG)
        .enhanced(0, 8_000_000_000, 2, b"ip");
    let file = [little.bytes, big.bytes].concat();
    assert_eq!(
        good(&file),
        [
            (LinkType::LinuxSll2, 7_000_005_000, b"sll2".to_vec(), 100),
            (LinkType::Ethernet, 7_000_000_006, b"ethernet!".to_vec(), 9),
            (LinkType::RawIp, 8_000_000_000, b"ip".to_vec(), 2),
        ]
    );
}

#[test]
fn reads_simple_and_obsolete_packet_blocks() {
    let writer = Writer::new(false).section().interface(1, 4, &[]);
    let obsolete = writer
        .body()
        .u16(0)
        .u16(9)
        .u32(0)
        .u32(3_000_000)
        .u32(3)
        .u32(60)
        .raw(b"abc");
    let writer = writer.block(2, &obsolete.bytes);
    let simple = writer.body().u32(60).raw(b"defg");
    let file = writer.block(3, &simple.bytes);
    assert_eq!(
        good(&file.bytes),
        [
            (ETHERNET, 3_000_000_000, b"abc".to_vec(), 60),
            (ETHERNET, 3_000_000_000, b"defg".to_vec(), 60)
        ]
    );
}

#[test]
fn a_simple_packet_shorter_than_the_snap_length_has_no_padding() {
    let writer = Writer::new(false).section().interface(1, 0, &[]);
    let simple = writer.body().u32(3).raw(b"abc");
    let file = writer.block(3, &simple.bytes);
    assert_eq!(good(&file.bytes), [(ETHERNET, 0, b"abc".to_vec(), 3)]);
}

#[test]
fn skips_blocks_it_does_not_read_however_long() {
    let mut writer = Writer::new(false).section().interface(1, 0, &[]);
    for (kind, length) in [(4, 32), (5, 64), (10, 3_000_000), (0x0bad, 8), (0x8000_0001, 0)] {
        writer = writer.block(kind, &vec![0xee; length]);
    }
    let file = writer.enhanced(0, 1_000_000, 3, b"abc");
    assert_eq!(good(&file.bytes), [(ETHERNET, 1_000_000_000, b"abc".to_vec(), 3)]);
}

#[test]
fn names_the_block_that_is_broken() {
    let says = |bytes: &[u8]| read_all(bytes).1.unwrap().to_string();
    let start = || {
        Writer::new(false)
            .section()
            .interface(1, 0, &[])
            .enhanced(0, 1, 3, b"abc")
    };
    let kept = "; the frame before it is kept";

    let unknown = start().enhanced(3, 1, 3, b"abc");
    assert_eq!(
        says(&unknown.bytes),
        format!(
            "test: block 4 at byte 84: expected an interface described in this section (1 so far), found a packet of \
             interface 3{kept}"
        )
    );
    let uneven = start().u32(5).u32(13).raw(&[0; 40]);
    assert_eq!(
        says(&uneven.bytes),
        format!("test: block 4 at byte 84: expected a block length of 12 or more, a multiple of 4, found 13{kept}")
    );
    let mut trailer = start().enhanced(0, 1, 3, b"abc");
    let at = trailer.bytes.len() - 4;
    trailer.bytes[at] = 0x20;
    assert_eq!(
        says(&trailer.bytes),
        format!("test: block 4 at byte 84: expected a block length after the block of 36 as before it, found 32{kept}")
    );
    let body = Writer::new(false).u32(0).u32(0).u32(0).u32(999).u32(999).raw(b"abcd");
    let long = start().block(6, &body.bytes);
    assert_eq!(
        says(&long.bytes),
        format!(
            "test: block 4 at byte 84: expected a captured length of at most the 4 bytes left in the block, found 999{kept}"
        )
    );
    let version = start().block(
        0x0a0d_0d0a,
        &Writer::new(false).u32(0x1a2b_3c4d).u16(2).u16(0).raw(&[0; 8]).bytes,
    );
    assert_eq!(
        says(&version.bytes),
        format!("test: block 4 at byte 84: expected pcapng version 1.0, found version 2.0{kept}")
    );
    let huge = start().u32(6).u32(0xffff_fffc).raw(&[0; 64]);
    assert_eq!(
        says(&huge.bytes),
        format!(
            "test: block 4 at byte 84: expected a block length of 32 to 1048576 for its type, found 4294967292{kept}"
        )
    );
}

#[test]
fn a_packet_before_any_interface_is_an_error() {
    let file = Writer::new(false).section().enhanced(0, 1, 3, b"abc");
    let error = read_all(&file.bytes).1.unwrap();
    assert_eq!(error.problem(), &Problem::Interface { known: 0, found: 0 });
    assert_eq!(error.damage(), Damage::Unreadable);
    // Interfaces end with their section.
    let file = Writer::new(false)
        .section()
        .interface(1, 0, &[])
        .section()
        .enhanced(0, 1, 3, b"abc");
    assert_eq!(
        read_all(&file.bytes).1.unwrap().problem(),
        &Problem::Interface { known: 0, found: 0 }
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn reads_gzip_of_one_member_or_several() {
    let plain = sample_pcapng();
    let expected = good(&plain);
    assert_eq!(good(&gzip(&plain)), expected);
    let (front, back) = plain.split_at(61);
    assert_eq!(good(&[gzip(front), gzip(back)].concat()), expected);
}

#[test]
fn keeps_what_a_truncated_gzip_still_gives() {
    let mut plain = Writer::new(false).pcap(0xa1b2_c3d4, 4, 1);
    let mut noise = 1_u32;
    for second in 0..200 {
        let data = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        });
        plain = plain.record((second, 0), 1000, &data.take(1000).collect::<Vec<_>>());
    }
    let compressed = gzip(&plain.bytes);
    let (seen, error) = read_all(&compressed[..compressed.len() / 2]);
    assert!((50..150).contains(&seen.len()), "kept {}", seen.len());
    let error = error.unwrap();
    assert_eq!(error.problem(), &Problem::Gzip("they are cut short".into()));
    assert_eq!(error.damage(), Damage::Kept(seen.len() as u64));
}

#[test]
fn a_gzip_cut_between_two_records_is_still_an_error() {
    let whole = gzip(&sample_pcapng());
    let (seen, error) = read_all(&whole[..whole.len() - 4]);
    assert_eq!(seen.len(), 2);
    assert_eq!(error.unwrap().problem(), &Problem::Gzip("they are cut short".into()));
}

const TRACE: &str = "\
ns5gt-> get db stream
6843828.0: trust(o) len=20:00121ebbd132->00600868d659/0800
              192.168.1.1 -> 192.168.1.10/6
              vhl=45, tos=00, id=37739, frag=0000, ttl=64 tlen=84
              00 60 08 68 d6 59 00 12 1e bb d1 32 08 00 45 00     .`.h.Y.....2..E.
              00 54 93 6b                                         .T.k

6843828.4: serial1/0(i) len=200:  ff03->21
              ff 03 00 21 45 00 00 c4                             ...!E...
";

#[test]
fn reads_a_netscreen_trace() {
    let first = [
        0x00, 0x60, 0x08, 0x68, 0xd6, 0x59, 0x00, 0x12, 0x1e, 0xbb, 0xd1, 0x32, 0x08, 0x00, 0x45, 0x00, 0x00, 0x54,
        0x93, 0x6b,
    ];
    let expected = [
        (ETHERNET, 6_843_828_000_000_000, first.to_vec(), 20),
        (
            LinkType::Ppp,
            6_843_828_400_000_000,
            vec![0xff, 0x03, 0x00, 0x21, 0x45, 0x00, 0x00, 0xc4],
            200,
        ),
    ];
    assert_eq!(good(TRACE.as_bytes()), expected);
    assert_eq!(good(TRACE.replace('\n', "\r\n").as_bytes()), expected);
}

#[test]
fn names_the_line_of_a_netscreen_trace_that_is_broken() {
    let broken = TRACE.replace("00 54 93 6b ", "00 54 93 6b 01 ");
    let (seen, error) = read_all(broken.as_bytes());
    assert_eq!(seen.len(), 0);
    assert_eq!(
        error.unwrap().to_string(),
        "test: frame 1 at byte 22: expected a line of the packet's bytes, no more than its length, found the line \
         '00 54 93 6b 01'"
    );
    let broken = TRACE.replace("6843828.4", "later");
    let (seen, error) = read_all(broken.as_bytes());
    assert_eq!(seen.len(), 1);
    assert!(
        error
            .unwrap()
            .to_string()
            .contains("expected a packet's header line, found the line 'later: serial1/0(i)")
    );
}

#[test]
fn reads_files_larger_than_the_window() {
    let mut classic = Writer::new(false).pcap(0xa1b2_c3d4, 4, 1);
    let mut pcapng = Writer::new(false).section().interface(1, 0, &[]);
    let mut expected = Vec::new();
    for number in 0..3000_u32 {
        let data = vec![number as u8; (number * 7 % 1500) as usize];
        classic = classic.record((number, 0), 1500, &data);
        pcapng = pcapng.enhanced(0, u64::from(number) * 1_000_000, 1500, &data);
        expected.push((ETHERNET, u64::from(number) * 1_000_000_000, data, 1500));
    }
    assert!(good(&classic.bytes) == expected);
    assert!(good(&pcapng.bytes) == expected);
}

#[test]
fn reads_the_longest_record_there_may_be() {
    let data = vec![7; MAX_RECORD];
    let file = Writer::new(false)
        .pcap(0xa1b2_c3d4, 4, 1)
        .record((1, 0), 9, b"a")
        .record((1, 0), 9, &data);
    let seen = good(&file.record((2, 0), 9, b"b").bytes);
    assert_eq!(
        seen.iter().map(|(_, _, data, _)| data.len()).collect::<Vec<_>>(),
        [1, MAX_RECORD, 1]
    );
}
