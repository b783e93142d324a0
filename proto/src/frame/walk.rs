//! The one pass through a frame: header after header until a UDP datagram, a fragment or a reason to stop.
//!
//! What each header looks like is known to the modules beside this one; what follows what is known here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::UdpHeaderSlice;

use super::fragment::Piece;
use super::{Datagram, Frame, Rejected, Tunnel, VlanStack, ip, label, link, tunnel, vlan};
use crate::time::Instant;

/// Most headers read in one frame. The deepest real stacks (QinQ, MPLS, ERSPAN and VXLAN inside each other) stay below 20.
const MAX_LAYERS: u8 = 32;

/// What the next bytes of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Ethernet,
    EtherType(u16),
    Llc,
    LinuxSll,
    LinuxSll2,
    Loopback,
    Ppp,
    Mpls,
    /// IP of the version its first four bits tell.
    Ip,
    Ipv4,
    Ipv6,
    /// What follows an IP header, by protocol number.
    Payload(u8),
    /// A part of what follows an IP header: which one, the path knows.
    Fragment,
}

/// The next bytes and what they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next<'a> {
    pub layer: Layer,
    pub bytes: &'a [u8],
}

impl<'a> Next<'a> {
    pub const fn new(layer: Layer, bytes: &'a [u8]) -> Self {
        Self { layer, bytes }
    }

    /// IP needs no second look at its EtherType.
    #[inline]
    pub const fn ether_type(ether_type: u16, bytes: &'a [u8]) -> Self {
        let layer = match ether_type {
            0x0800 => Layer::Ipv4,
            0x86dd => Layer::Ipv6,
            other => Layer::EtherType(other),
        };
        Self { layer, bytes }
    }
}

/// What reading one header gives.
pub(super) type Step<'a> = Result<Next<'a>, Rejected>;

/// The first `N` bytes and the rest.
#[inline]
pub(super) fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Rejected> {
    bytes.split_first_chunk().ok_or(Rejected::Truncated)
}

/// What the outer headers told about the inner ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub captured: Instant,
    pub vlan: VlanStack,
    /// Priority code point of the innermost tag.
    pub priority: u8,
    pub tunnel: Option<Tunnel>,
    /// Hops the innermost IP packet may yet take; 0 where there is no IP.
    pub hops: u8,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Whether the capture, rather than the network, ends the bytes at hand.
    pub cut: bool,
    /// Where the fragment at hand belongs.
    pub piece: Piece,
}

impl Path {
    /// That of a frame of which nothing has been read.
    pub const fn of(frame: &Frame<'_>) -> Self {
        let unset = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            captured: frame.captured,
            vlan: VlanStack::EMPTY,
            priority: 0,
            tunnel: None,
            hops: 0,
            source: unset,
            destination: unset,
            cut: frame.wire_length as usize > frame.bytes.len(),
            piece: Piece::WHOLE,
        }
    }
}

impl Path {
    /// A header that doesn't fit is the capture's doing only where the capture cut the frame.
    pub const fn blame(&self, why: Rejected) -> Rejected {
        match why {
            Rejected::Truncated if !self.cut => Rejected::Malformed,
            other => other,
        }
    }
}

/// What ends a walk before a datagram.
#[derive(Clone, Copy)]
pub(super) enum Stop<'a> {
    Rejected(Rejected),
    Fragment(&'a [u8]),
    /// TCP, still to be read: most of it is nobody's concern.
    Tcp(&'a [u8]),
}

/// A walk through a frame, or through what its fragments were put together to.
pub(super) struct Walk<'a> {
    pub path: Path,
    /// The innermost Ethernet frame.
    pub ethernet: &'a [u8],
    next: Next<'a>,
    layers_left: u8,
}

impl<'a> Walk<'a> {
    /// A walk from `next` on, what is outside of it being known.
    pub const fn on(path: Path, next: Next<'a>) -> Self {
        Self {
            path,
            ethernet: &[],
            next,
            layers_left: MAX_LAYERS,
        }
    }

    /// Walks to the end. What is next stays in registers: kept in `self`, each step would wait for the last one's stores.
    #[inline]
    pub fn run(&mut self) -> Result<Datagram<'a>, Stop<'a>> {
        let Next { mut layer, mut bytes } = self.next;
        while let Some(left) = self.layers_left.checked_sub(1) {
            self.layers_left = left;
            let step = match layer {
                Layer::Ethernet => {
                    self.ethernet = bytes;
                    link::ethernet(bytes)
                }
                Layer::EtherType(ether_type) => self.ether_type(ether_type, bytes),
                Layer::Ipv4 => ip::v4(bytes, &mut self.path),
                Layer::Ipv6 => ip::v6(bytes, &mut self.path),
                Layer::Payload(ip::UDP) => return self.udp(bytes),
                Layer::Payload(ip::TCP) => return Err(Stop::Tcp(bytes)),
                Layer::Payload(protocol) => self.payload(protocol, bytes),
                Layer::Fragment => return Err(Stop::Fragment(bytes)),
                Layer::Ip => ip::any(bytes),
                Layer::Llc => link::llc(bytes),
                Layer::LinuxSll => link::linux_sll(bytes),
                Layer::LinuxSll2 => link::linux_sll2(bytes),
                Layer::Loopback => link::loopback(bytes),
                Layer::Ppp => link::ppp(bytes),
                Layer::Mpls => label::mpls(bytes, &mut self.path),
            };
            Next { layer, bytes } = step.map_err(|why| self.blame(why))?;
        }
        Err(Stop::Rejected(Rejected::TooDeep))
    }

    fn ether_type(&mut self, ether_type: u16, bytes: &'a [u8]) -> Step<'a> {
        match ether_type {
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => vlan::tag(bytes, &mut self.path),
            0x8847 | 0x8848 => Ok(Next::new(Layer::Mpls, bytes)),
            0x8864 => label::pppoe(bytes, &mut self.path),
            0x8909 => vlan::cisco_metadata(bytes),
            0x8926 => vlan::vn_tag(bytes),
            0x893f => vlan::e_tag(bytes),
            0x88e7 => vlan::i_tag(bytes),
            0x894f => tunnel::service_header(bytes),
            0x6558 => Ok(Next::new(Layer::Ethernet, bytes)),
            _ => Err(Rejected::NotIp),
        }
    }

    fn payload(&mut self, protocol: u8, bytes: &'a [u8]) -> Step<'a> {
        let ipv6 = self.path.source.is_ipv6();
        match protocol {
            ip::IPV4 => Ok(self.ip_in_ip(Layer::Ipv4, bytes)),
            ip::IPV6 => Ok(self.ip_in_ip(Layer::Ipv6, bytes)),
            ip::GRE => tunnel::gre(bytes, &mut self.path),
            ip::MPLS => Ok(Next::new(Layer::Mpls, bytes)),
            ip::AUTHENTICATION => ip::authentication(bytes),
            ip::FRAGMENT if ipv6 => ip::v6_fragment(bytes, &mut self.path),
            ip::HOP_BY_HOP | ip::ROUTING | ip::DESTINATION | ip::MOBILITY | ip::HIP | ip::SHIM6 if ipv6 => {
                ip::v6_extension(bytes)
            }
            ip::ICMP => Err(ip::icmp(bytes)),
            ip::ICMPV6 => Err(ip::icmp_v6(bytes)),
            _ => Err(Rejected::NotUdp),
        }
    }

    /// IP in IP (RFC 2003, RFC 2473, RFC 4213).
    const fn ip_in_ip(&mut self, version: Layer, bytes: &'a [u8]) -> Next<'a> {
        self.path.tunnel = Some(Tunnel::IpInIp);
        Next::new(version, bytes)
    }

    #[inline]
    fn udp(&mut self, bytes: &'a [u8]) -> Result<Datagram<'a>, Stop<'a>> {
        let header = UdpHeaderSlice::from_slice(bytes).map_err(|_| self.blame(Rejected::Truncated))?;
        let rest = bytes.get(header.slice().len()..).unwrap_or_default();
        let (payload, truncated) = match header.length() {
            // jumbograms (RFC 2675 section 4) and frames the NIC will yet segment
            0 => (rest, self.path.cut),
            1..=7 => return Err(Stop::Rejected(Rejected::Malformed)),
            length => {
                let length = usize::from(length) - 8;
                (rest.get(..length).unwrap_or(rest), length > rest.len())
            }
        };
        let datagram = Datagram {
            captured: self.path.captured,
            vlan: self.path.vlan,
            tunnel: self.path.tunnel,
            source: SocketAddr::new(self.path.source, header.source_port()),
            destination: SocketAddr::new(self.path.destination, header.destination_port()),
            payload,
            truncated,
        };
        match tunnel::over_udp(header.destination_port(), payload, truncated) {
            None => Ok(datagram),
            Some((tunnel, next)) => self.inside(datagram, tunnel, next),
        }
    }

    /// What a tunnel over UDP carries, or its datagram as it stands where that holds no IP after all.
    #[cold]
    fn inside(&mut self, datagram: Datagram<'a>, tunnel: Tunnel, next: Next<'a>) -> Result<Datagram<'a>, Stop<'a>> {
        self.path.tunnel = Some(tunnel);
        self.next = next;
        match self.run() {
            Err(Stop::Rejected(Rejected::NotIp | Rejected::Malformed | Rejected::Truncated)) => Ok(datagram),
            inner => inner,
        }
    }

    const fn blame(&self, why: Rejected) -> Stop<'a> {
        Stop::Rejected(self.path.blame(why))
    }
}
