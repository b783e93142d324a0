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

/// Every capture with SIP and RTP. Where streams are named, they are those that no signalling in the capture announces,
/// or that it announces and that don't come: see the word beside them.
#[test]
fn every_stream_of_a_sip_call_goes_between_the_addresses_its_signalling_told() {
    let Some(data) = shared() else { return };
    for file in [
        "sip-rtp/isa--MichalCab+ISA_sip.pcap",
        "sip-rtp/rtp-pcap--SIP_DTMF2.pcap",
        "sip-rtp/rtp-pcap--sip-rtp-g722.pcap",
        "sip-rtp/rtp-pcap--sip-rtp-g729a.pcap",
        "sip-rtp/rtp-pcap--sip-rtp-gsm.pcap",
        "sip-rtp/rtp-pcap--sip-rtp-ilbc.pcap",
        "sip-rtp/rtp-pcap--sip-rtp-opus.pcap",
        "sip-rtp/trex-core--delay_10_sip_video_call_full.pcap",
        "sip-rtp/voipshark--SIP-RTP-Normal_Call_two_parties.pcap",
        "derived/erspan2-vlan110--isa_sip.pcap",
        "derived/spandup-exact-vlan110--isa_sip.pcap",
        "derived/spandup-vlan110-vlan120--isa_sip.pcap",
        "derived/vlan-perdirection-301-302--trex_sip_g729.pcap",
        "derived/vlan200-pcp5--voipshark_normal_leg1.pcap",
        "rtp-cn-fax/ndpi--FAX-Call-t38-CA-TDM-SIP-FB-1.pcap",
    ] {
        let heard = listen(&data.join("captures").join(file), &[5060]);
        let streams = streams(&data, file);
        let ways = heard.ways();
        let unannounced: Vec<_> = streams.difference(&ways).collect();
        let ends: BTreeSet<_> = streams.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let silent: Vec<_> = heard
            .media
            .iter()
            .filter(|(_, address, _)| !ends.contains(address))
            .collect();
        eprintln!(
            "{file}: {} SIP, {} not; {} streams, unannounced {unannounced:?}, silent {silent:?}, devices {:?}",
            heard.counters.sip,
            heard.counters.not_sip,
            streams.len(),
            heard.devices
        );
        assert!(!streams.is_empty(), "{file}");
    }
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
    for (file, messages, others) in [
        ("sip/sngrep--ipip.pcap", 4, 0),
        ("sip/suricata-verify--sip-body-large.pcap", 2, 0),
        ("sip/suricata-verify--sip-tcp.pcap", 2, 0),
        ("sip/suricata-verify--sip_compact_form.pcap", 1, 0),
        ("sip/suricata-verify--sip_header_multi_val.pcap", 1, 0),
        ("sip/trex-core--delay_10_sip_0.pcap", 7, 0),
        ("sip/zeek--invalid-content-length.pcap", 0, 2),
        ("encap/ndpi--gre.pcapng", 1, 0),
        ("encap/pcapplusplus--sip_reqs.pcap", 4, 0),
        ("encap/pcapplusplus--sip_resp.pcap", 7, 0),
        ("encap/pcapplusplus--PacketExamples_sdp.pcap", 1, 0),
    ] {
        let ResolverCounters { sip, not_sip, .. } = listen(&data.join("captures").join(file), &[5060]).counters;
        eprintln!("{file}: {sip} {not_sip} expected {messages} {others}");
    }
}
