//! What holds for any bytes, and for any encapsulation built around a datagram.

use proptest::prelude::*;
use silentmon_proto::frame::{FrameReader, LinkType, Tunnel};
use silentmon_proto::rtp;

use crate::build::*;

const LINK_TYPES: [LinkType; 8] = [
    LinkType::Ethernet,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::RawIp,
    LinkType::Null,
    LinkType::Loop,
    LinkType::Ppp,
    LinkType::Other(127),
];

/// One layer around what is inside it.
#[derive(Debug, Clone, Copy)]
enum Shell {
    Tag { ether_type: u16, tci: u16 },
    SecurityGroup,
    VnTag,
    ETag,
    Mpls { depth: u8, control_word: bool },
    MplsIp { depth: u8 },
    Pppoe,
    Gre { flags: u16 },
    GreBridge,
    Erspan1,
    Erspan2,
    Erspan3 { subheader: bool },
    Vxlan,
    VxlanGpe,
    Geneve { options: usize },
    IpInIp { version_6: bool },
}

fn shells() -> impl Strategy<Value = Shell> {
    let ether_type = prop::sample::select(vec![DOT1Q, DOT1AD, 0x9100, 0x9200]);
    prop_oneof![
        4 => (ether_type, any::<u16>()).prop_map(|(ether_type, tci)| Shell::Tag { ether_type, tci }),
        1 => Just(Shell::SecurityGroup),
        1 => Just(Shell::VnTag),
        1 => Just(Shell::ETag),
        1 => (1u8..=4, any::<bool>()).prop_map(|(depth, control_word)| Shell::Mpls { depth, control_word }),
        1 => (1u8..=4).prop_map(|depth| Shell::MplsIp { depth }),
        1 => Just(Shell::Pppoe),
        1 => (0u16..8).prop_map(|bits| Shell::Gre { flags: (bits & 4) << 13 | (bits & 3) << 12 }),
        1 => Just(Shell::GreBridge),
        1 => Just(Shell::Erspan1),
        1 => Just(Shell::Erspan2),
        1 => any::<bool>().prop_map(|subheader| Shell::Erspan3 { subheader }),
        1 => Just(Shell::Vxlan),
        1 => Just(Shell::VxlanGpe),
        1 => (0usize..=63).prop_map(|options| Shell::Geneve { options }),
        1 => any::<bool>().prop_map(|version_6| Shell::IpInIp { version_6 }),
    ]
}

/// What has been built so far: an EtherType and what follows it.
struct Built {
    ether_type: u16,
    bytes: Vec<u8>,
    vlan: Vec<u16>,
    tunnel: Option<Tunnel>,
}

impl Built {
    fn framed(&self) -> Vec<u8> {
        ethernet(self.ether_type, &self.bytes)
    }

    /// The IP packet, wrapped in a bridged GRE tunnel where it is something else so far.
    fn into_ip(self) -> Self {
        match self.ether_type {
            IPV4 | IPV6 => self,
            _ => self.inside(Shell::GreBridge),
        }
    }

    fn behind(self, ether_type: u16, header: &[u8]) -> Self {
        let bytes = join(&[header, &self.ether_type.to_be_bytes(), &self.bytes]);
        Self {
            ether_type,
            bytes,
            ..self
        }
    }

    fn carried(self, ether_type: u16, bytes: Vec<u8>, tunnel: Tunnel) -> Self {
        Self {
            ether_type,
            bytes,
            tunnel: self.tunnel.or(Some(tunnel)),
            ..self
        }
    }

    fn inside(self, shell: Shell) -> Self {
        match shell {
            Shell::Tag { ether_type, tci } => {
                let mut built = self.behind(ether_type, &tci.to_be_bytes());
                built.vlan.insert(0, tci & 0x0fff);
                built
            }
            Shell::SecurityGroup => self.behind(0x8909, &[1, 1, 0, 1, 0x12, 0x34]),
            Shell::VnTag => self.behind(0x8926, &[0, 1, 0, 2]),
            Shell::ETag => self.behind(0x893f, &[0, 0, 0, 2, 0, 0]),
            Shell::Mpls { depth, control_word } => {
                let word: &[u8] = if control_word { &[0; 4] } else { &[] };
                let stack = mpls(depth, &join(&[word, &self.framed()]));
                self.carried(0x8847, stack, Tunnel::Mpls)
            }
            Shell::MplsIp { depth } => {
                let built = self.into_ip();
                let stack = mpls(depth, &built.bytes);
                built.carried(0x8847, stack, Tunnel::Mpls)
            }
            Shell::Pppoe => {
                let built = self.into_ip();
                let protocol = if built.ether_type == IPV4 { 0x0021 } else { 0x0057 };
                let session = pppoe(protocol, &built.bytes);
                built.carried(0x8864, session, Tunnel::Pppoe)
            }
            Shell::Gre { flags } => {
                let fields = vec![0; usize::try_from(flags.count_ones() * 4).expect("a few bytes")];
                let packet = ipv4(47, &gre(flags, self.ether_type, &fields, &self.bytes));
                self.carried(IPV4, packet, Tunnel::Gre)
            }
            Shell::GreBridge => {
                let packet = ipv6(47, &gre(0, 0x6558, &[], &self.framed()));
                self.carried(IPV6, packet, Tunnel::Gre)
            }
            Shell::Erspan1 => {
                let packet = ipv4(47, &gre(0, 0x88be, &[], &self.framed()));
                self.carried(IPV4, packet, Tunnel::Erspan1)
            }
            Shell::Erspan2 => {
                let packet = ipv4(47, &erspan2(3, &self.framed()));
                self.carried(IPV4, packet, Tunnel::Erspan2)
            }
            Shell::Erspan3 { subheader } => {
                let fields: &[u8] = if subheader { &[0; 8] } else { &[] };
                let packet = ipv4(47, &erspan3(0, fields, &self.framed()));
                self.carried(IPV4, packet, Tunnel::Erspan3)
            }
            Shell::Vxlan => {
                let packet = ipv4(UDP, &vxlan(&self.framed()));
                self.carried(IPV4, packet, Tunnel::Vxlan)
            }
            Shell::VxlanGpe => {
                let packet = ipv6(UDP, &vxlan_gpe(3, &self.framed()));
                self.carried(IPV6, packet, Tunnel::Vxlan)
            }
            Shell::Geneve { options } => {
                let packet = ipv4(UDP, &geneve(0x6558, &vec![0; options * 4], &self.framed()));
                self.carried(IPV4, packet, Tunnel::Geneve)
            }
            Shell::IpInIp { version_6 } => {
                let built = self.into_ip();
                let protocol = if built.ether_type == IPV4 { 4 } else { 41 };
                let (ether_type, packet) = if version_6 {
                    (IPV6, ipv6(protocol, &built.bytes))
                } else {
                    (IPV4, ipv4(protocol, &built.bytes))
                };
                built.carried(ether_type, packet, Tunnel::IpInIp)
            }
        }
    }
}

fn built(version_6: bool, payload: &[u8], shells: Vec<Shell>) -> Built {
    let (ether_type, bytes) = if version_6 {
        (IPV6, ipv6(UDP, &udp(payload)))
    } else {
        (IPV4, ipv4(UDP, &udp(payload)))
    };
    let core = Built {
        ether_type,
        bytes,
        vlan: Vec::new(),
        tunnel: None,
    };
    shells.into_iter().fold(core, Built::inside)
}

proptest! {
    #[test]
    fn any_bytes_never_panic_whatever_the_link_type(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        wire_length in 0u32..600,
    ) {
        let mut reader = FrameReader::default();
        for link_type in LINK_TYPES {
            let frame = silentmon_proto::frame::Frame { wire_length, ..frame(link_type, &bytes) };
            if let Ok(datagram) = reader.read(&frame) {
                let _ = rtp::parse(datagram.payload);
            }
        }
    }

    #[test]
    fn reads_what_was_built_in_any_encapsulation(
        version_6: bool,
        payload in prop::collection::vec(any::<u8>(), 0..200),
        shells in prop::collection::vec(shells(), 0..5),
    ) {
        let built = built(version_6, &payload, shells);
        let expected = if version_6 { read_voice_v6 } else { read_voice };
        let expected = Read { payload, ..expected(&built.vlan, built.tunnel) };
        prop_assert_eq!(read(&built.framed()), Ok(expected));
    }

    #[test]
    fn damaged_frames_never_panic(
        payload in prop::collection::vec(any::<u8>(), 0..60),
        shells in prop::collection::vec(shells(), 0..5),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        kept in any::<prop::sample::Index>(),
    ) {
        let mut bytes = built(false, &payload, shells).framed();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read(&bytes);
        let _ = read_cut(&bytes[..kept.index(bytes.len())]);
    }

    #[test]
    fn any_fragments_never_panic_nor_outgrow_their_limits(
        parts in prop::collection::vec((0u16..40, any::<bool>(), 0usize..200, 0u8..3), 1..100),
    ) {
        let mut reader = FrameReader::default();
        for (offset, more, length, number) in parts {
            let mut packet = ipv4_with(offset | u16::from(more) << 13, &[], UDP, &vec![number; length]);
            packet[5] = number;
            let bytes = ethernet(IPV4, &packet);
            if let Ok(datagram) = reader.read(&frame(LinkType::Ethernet, &bytes)) {
                prop_assert!(datagram.payload.len() <= 65_535);
            }
        }
    }
}
