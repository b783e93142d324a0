//! Which media addresses are being monitored: the set that decides whether a datagram is looked at at all.
//!
//! A snapshot, made anew when sessions or media addresses change and read by the capture threads and the kernel filter.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use foldhash::{HashMap, HashMapExt};
use silentmon_proto::ids::MediaAddress;

/// Ports that signalling is looked for at, whatever the address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignallingPorts {
    /// SIP, over UDP and TCP; 5060 as a rule.
    pub sip: Vec<u16>,
    /// SCCP, over TCP; 2000 as a rule.
    pub sccp: Vec<u16>,
}

/// What carries signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
}

/// A signalling protocol that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignallingProtocol {
    /// SIP (RFC 3261).
    Sip,
    /// SCCP (Cisco's "Skinny").
    Sccp,
}

impl SignallingPorts {
    /// Whether no signalling is looked for.
    pub fn is_empty(&self) -> bool {
        self.sip.is_empty() && self.sccp.is_empty()
    }

    /// Which protocol is spoken between these two, by their ports.
    pub fn protocol(
        &self,
        carrier: Carrier,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Option<SignallingProtocol> {
        let among = |ports: &[u16]| ports.contains(&destination.port()) || ports.contains(&source.port());
        match carrier {
            Carrier::Udp | Carrier::Tcp if among(&self.sip) => Some(SignallingProtocol::Sip),
            Carrier::Tcp if among(&self.sccp) => Some(SignallingProtocol::Sccp),
            Carrier::Udp | Carrier::Tcp => None,
        }
    }
}

/// A set of media addresses with a quick answer for each packet.
#[derive(Debug, Clone, Default)]
pub struct MediaFilter {
    everything: bool,
    signalling: SignallingPorts,
    by_ip: HashMap<IpAddr, Ports>,
    sent_to: HashMap<IpAddr, Vec<MediaAddress>>,
}

/// Where a phone sends and receives media: at its address and, from any port of it, to where it is known to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaPath {
    /// The phone's media address.
    pub address: MediaAddress,
    /// Where it sends its media to, where known.
    pub remote: Option<MediaAddress>,
}

impl From<MediaAddress> for MediaPath {
    fn from(address: MediaAddress) -> Self {
        Self { address, remote: None }
    }
}

impl MediaPath {
    /// Whether a packet comes from the phone: from its address, or from another port of it to where it sends.
    pub fn is_from_phone(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        let to_remote = || self.remote.is_some_and(|remote| remote.covers(destination));
        self.address.covers(source) || (self.address.ip == source.ip() && to_remote())
    }

    /// Whether a packet goes to the phone.
    pub fn is_to_phone(&self, destination: SocketAddr) -> bool {
        self.address.covers(destination)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ports {
    Any,
    Some(Vec<u16>),
}

impl MediaFilter {
    /// A filter that wants every datagram: offline reading, health checks.
    pub fn everything() -> Self {
        Self {
            everything: true,
            signalling: SignallingPorts::default(),
            by_ip: HashMap::new(),
            sent_to: HashMap::new(),
        }
    }

    /// The same filter that wants signalling too.
    #[must_use]
    pub fn with_signalling(self, signalling: SignallingPorts) -> Self {
        Self { signalling, ..self }
    }

    /// Ports of the signalling that is wanted.
    pub const fn signalling(&self) -> &SignallingPorts {
        &self.signalling
    }

    /// Whether a datagram between these two belongs to a wanted media address. RTCP, one port above (RFC 3550
    /// section 11), belongs to it too.
    pub fn wants(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        self.everything || self.has(source) || self.has(destination) || self.is_sent(source, destination)
    }

    /// The IP addresses wanted, or `None` where every datagram is: what a kernel filter can be made of.
    pub fn ips(&self) -> Option<Vec<IpAddr>> {
        if self.everything {
            return None;
        }
        let ordered: BTreeMap<_, _> = self.by_ip.iter().collect();
        Some(ordered.into_keys().copied().collect())
    }

    fn is_sent(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        let remotes = self.sent_to.get(&source.ip());
        remotes.is_some_and(|remotes| remotes.iter().any(|remote| remote.covers(destination)))
    }

    fn has(&self, address: SocketAddr) -> bool {
        match self.by_ip.get(&address.ip()) {
            None => false,
            Some(Ports::Any) => true,
            Some(Ports::Some(ports)) => ports
                .iter()
                .any(|&port| port == address.port() || port.checked_add(1) == Some(address.port())),
        }
    }
}

impl FromIterator<MediaAddress> for MediaFilter {
    fn from_iter<T: IntoIterator<Item = MediaAddress>>(addresses: T) -> Self {
        Self::of_paths(addresses.into_iter().map(MediaPath::from))
    }
}

impl MediaFilter {
    /// A filter that wants what passes there.
    pub fn of_paths(paths: impl IntoIterator<Item = MediaPath>) -> Self {
        let mut filter = Self::default();
        for MediaPath { address, remote } in paths {
            filter.add(address);
            if let Some(remote) = remote {
                filter.sent_to.entry(address.ip).or_default().push(remote);
            }
        }
        filter
    }

    fn add(&mut self, MediaAddress { ip, port }: MediaAddress) {
        let ports = self.by_ip.entry(ip).or_insert_with(|| Ports::Some(Vec::new()));
        match (port, ports) {
            (None, ports) => *ports = Ports::Any,
            (Some(port), Ports::Some(list)) if !list.contains(&port) => list.push(port),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn wants_media_and_its_rtcp_in_both_directions_and_nothing_else() {
        let filter: MediaFilter = ["10.1.1.20:24678".parse().expect("an address")].into_iter().collect();
        let (phone, rtcp, far) = (
            address("10.1.1.20:24678"),
            address("10.1.1.20:24679"),
            address("10.9.9.9:4000"),
        );
        assert!(filter.wants(phone, far));
        assert!(filter.wants(far, phone));
        assert!(filter.wants(far, rtcp));
        assert!(!filter.wants(far, address("10.1.1.20:24680")));
        assert!(!filter.wants(far, far));
        assert_eq!(filter.ips(), Some(vec![phone.ip()]));
    }

    #[test]
    fn an_address_without_port_wins_over_one_with() {
        let addresses = ["10.1.1.20:24678", "10.1.1.20", "10.1.1.20:5"].map(|text| text.parse().expect("an address"));
        let filter: MediaFilter = addresses.into_iter().collect();
        assert!(filter.wants(address("10.1.1.20:1"), address("10.9.9.9:1")));
    }

    #[test]
    fn wants_what_a_phone_sends_to_its_remote_from_another_port() {
        let path = MediaPath {
            address: "10.1.1.20:24678".parse().expect("an address"),
            remote: Some("10.9.9.9:4000".parse().expect("an address")),
        };
        let filter = MediaFilter::of_paths([path]);
        let (odd_port, remote) = (address("10.1.1.20:50000"), address("10.9.9.9:4000"));
        assert!(filter.wants(odd_port, remote));
        assert!(!filter.wants(odd_port, address("10.9.9.9:4002")));
        assert!(!filter.wants(address("10.1.1.21:50000"), remote), "another phone");
        assert_eq!(
            filter.ips(),
            Some(vec![odd_port.ip()]),
            "the gateway's other traffic stays out"
        );
    }

    #[test]
    fn everything_is_wanted_only_on_request() {
        let (a, b) = (address("10.1.1.20:1"), address("10.9.9.9:1"));
        assert!(MediaFilter::everything().wants(a, b));
        assert_eq!(MediaFilter::everything().ips(), None);
        assert!(!MediaFilter::default().wants(a, b));
    }
}
