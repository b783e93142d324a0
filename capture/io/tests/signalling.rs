//! Media addresses found in the signalling of real captures, held against the RTP streams in the same captures.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use silentmon_capture_core::filter::SignallingPorts;
use silentmon_capture_core::resolver::{Resolver, ResolverCounters, Signalling};
use silentmon_capture_io::file::CaptureFile;
use silentmon_proto::cti::CtiEvent;
use silentmon_proto::frame::{Carried, FrameReader};
use silentmon_proto::time::Instant;

fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("SILENTMON_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let data = folder.join("data");
    if !data.is_dir() {
        eprintln!("skipped: no reference data at {}", data.display());
        return None;
    }
    Some(data)
}

/// What the signalling of a capture says.
#[derive(Default)]
struct Heard {
    /// Device, address, where it sends to.
    media: BTreeSet<(String, SocketAddr, Option<SocketAddr>)>,
    devices: BTreeSet<String>,
    encrypted: bool,
    counters: ResolverCounters,
}

fn listen(file: &Path, sip: &[u16]) -> Heard {
    let ports = SignallingPorts {
        sip: sip.to_vec(),
        sccp: vec![2000],
    };
    let mut resolver = Resolver::new(ports, Instant::EPOCH);
    let mut frames = FrameReader::default();
    let mut capture = CaptureFile::open(file).expect("a capture");
    let mut heard = Heard::default();
    while let Ok(Some(frame)) = capture.next_frame() {
        match frames.read_any(&frame.into()) {
            Ok(Carried::Datagram(datagram)) => resolver.handle_signalling(&Signalling::from(&datagram)),
            Ok(Carried::Segment(segment)) => resolver.handle_signalling(&Signalling::from(&segment)),
            Err(_) => {}
        }
        while let Some((_, event)) = resolver.poll_event() {
            heard.take(&event);
        }
    }
    heard.counters = resolver.counters();
    heard
}

impl Heard {
    fn take(&mut self, event: &CtiEvent) {
        let CtiEvent::MediaStarted(media) = event else { return };
        let device = media.device.as_ref().expect("a device").as_str().to_owned();
        let socket =
            |address: silentmon_proto::ids::MediaAddress| SocketAddr::new(address.ip, address.port.expect("a port"));
        self.encrypted |= media.encrypted == Some(true);
        self.devices.insert(device.clone());
        self.media
            .insert((device, socket(media.address), media.remote.map(socket)));
    }

    /// Pairs of addresses that media go between, as far as both ends are told.
    fn ways(&self) -> BTreeSet<(SocketAddr, SocketAddr)> {
        let sent = self
            .media
            .iter()
            .filter_map(|(_, here, there)| Some((*here, (*there)?)));
        sent.flat_map(|(here, there)| [(here, there), (there, here)]).collect()
    }
}

/// RTP streams of a capture.
fn streams(data: &Path, file: &str) -> BTreeSet<(SocketAddr, SocketAddr)> {
    let gold = std::fs::read_to_string(data.join("gold/streams.tsv")).expect("a table");
    let socket = |ip: &str, port: &str| SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"));
    let rows = gold.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| row.first() == Some(&file))
        .map(|row| (socket(row[2], row[3]), socket(row[4], row[5])))
        .collect()
}

/// Every capture with SIP and RTP, and how many of its streams no signalling announces as they come.
#[test]
fn every_stream_of_a_sip_call_goes_between_the_addresses_its_signalling_told() {
    let Some(data) = shared() else { return };
    for (file, messages, devices, unannounced) in [
        ("sip-rtp/isa--MichalCab+ISA_sip.pcap", 9, &["1000", "test19"][..], 0),
        // One machine with two addresses: its description names one, its packets bear the other.
        ("sip-rtp/rtp-pcap--SIP_DTMF2.pcap", 29, &["2502", "2504"], 2),
        ("sip-rtp/rtp-pcap--sip-rtp-g722.pcap", 6, &["sipp", "test"], 0),
        ("sip-rtp/rtp-pcap--sip-rtp-g729a.pcap", 6, &["sipp", "test"], 0),
        ("sip-rtp/rtp-pcap--sip-rtp-gsm.pcap", 6, &["sipp", "test"], 0),
        ("sip-rtp/rtp-pcap--sip-rtp-ilbc.pcap", 6, &["sipp", "test"], 0),
        ("sip-rtp/rtp-pcap--sip-rtp-opus.pcap", 6, &["sipp", "test"], 0),
        // The traffic generator numbers RTP and SIP apart: addresses and ports differ.
        (
            "sip-rtp/trex-core--delay_10_sip_video_call_full.pcap",
            7,
            &["callee", "caller"],
            2,
        ),
        // One phone is behind a NAT and tells its private address.
        (
            "sip-rtp/voipshark--SIP-RTP-Normal_Call_two_parties.pcap",
            48,
            &["1111", "2222", "asterisk"],
            2,
        ),
        ("derived/erspan2-vlan110--isa_sip.pcap", 9, &["1000", "test19"], 0),
        (
            "derived/spandup-exact-vlan110--isa_sip.pcap",
            18,
            &["1000", "test19"],
            0,
        ),
        (
            "derived/spandup-vlan110-vlan120--isa_sip.pcap",
            18,
            &["1000", "test19"],
            0,
        ),
        (
            "derived/vlan-perdirection-301-302--trex_sip_g729.pcap",
            7,
            &["callee", "caller"],
            2,
        ),
        (
            "derived/vlan200-pcp5--voipshark_normal_leg1.pcap",
            21,
            &["1111", "2222", "asterisk"],
            2,
        ),
        (
            "rtp-cn-fax/ndpi--FAX-Call-t38-CA-TDM-SIP-FB-1.pcap",
            92,
            &["061963177", "061963177-ikhuuep5bi123", "anonymous.iIiIiI.0a232819."],
            0,
        ),
    ] {
        let heard = listen(&data.join("captures").join(file), &[5060]);
        let streams = streams(&data, file);
        let ways = heard.ways();
        let strange: Vec<_> = streams.difference(&ways).collect();
        assert_eq!(strange.len(), unannounced, "{file}: {strange:?} of {streams:?}");
        assert!(!streams.is_empty() && !heard.media.is_empty(), "{file}");
        assert_eq!(
            heard.devices.iter().map(String::as_str).collect::<Vec<_>>(),
            devices,
            "{file}"
        );
        assert_eq!(heard.counters.sip, messages, "{file}");
    }
}

/// Encrypted calls come with SIP that is encrypted too, which tells nothing; what does come in the clear is read.
#[test]
fn a_call_over_tls_tells_nothing() {
    let Some(data) = shared() else { return };
    let file = "captures/srtp/voipshark--SIP-over-TLS-RSA-SRTP_Normal_Call_two_parties.pcap";
    let heard = listen(&data.join(file), &[5060, 5061]);
    assert!(heard.media.is_empty() && !heard.encrypted);
}

#[test]
fn a_skinny_capture_tells_both_phones_and_not_their_recorder() {
    let Some(data) = shared() else { return };
    let file = "sccp-rtp/ndpi--skinny.pcap";
    let heard = listen(&data.join("captures").join(file), &[]);
    let streams = streams(&data, file);
    let recorder: std::net::IpAddr = "192.168.193.24".parse().expect("an address");
    let calls: BTreeSet<_> = streams.into_iter().filter(|(_, to)| to.ip() != recorder).collect();
    assert_eq!(heard.ways(), calls, "{:?}", heard.media);
    assert_eq!(heard.devices, ["307", "321"].map(str::to_owned).into());
    assert_eq!(heard.counters.not_sccp, 0);
}

#[test]
fn other_captures_of_sip_are_read_to_the_last_message() {
    let Some(data) = shared() else { return };
    for (file, port, messages, others) in [
        ("sip/sngrep--ipip.pcap", 5090, 4, 0),
        // A body of 64 KiB, which no session description needs: the answer alone is read.
        ("sip/suricata-verify--sip-body-large.pcap", 5060, 1, 0),
        ("sip/suricata-verify--sip-tcp.pcap", 5060, 2, 0),
        ("sip/suricata-verify--sip_compact_form.pcap", 5060, 1, 0),
        // Two different To.
        ("sip/suricata-verify--sip_header_multi_val.pcap", 5060, 0, 1),
        ("sip/trex-core--delay_10_sip_0.pcap", 5060, 7, 0),
        ("sip/zeek--invalid-content-length.pcap", 5060, 0, 2),
        ("encap/ndpi--gre.pcapng", 5060, 1, 0),
        ("encap/pcapplusplus--sip_reqs.pcap", 5060, 4, 0),
        ("encap/pcapplusplus--sip_resp.pcap", 5060, 6, 0),
        ("encap/pcapplusplus--sip_resp.pcap", 5054, 1, 0),
        ("encap/pcapplusplus--PacketExamples_sdp.pcap", 5060, 1, 0),
    ] {
        let ResolverCounters { sip, not_sip, .. } = listen(&data.join("captures").join(file), &[port]).counters;
        assert_eq!((sip, not_sip), (messages, others), "{file}");
    }
}
