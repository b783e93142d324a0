//! From a captured datagram to the sessions that hear it.

use std::net::{IpAddr, SocketAddr};

use foldhash::{HashMap, HashMapExt};
use silentmon_proto::codec::Codec;
use silentmon_proto::frame::Datagram;
use silentmon_proto::ids::{AgentId, Leg, MediaAddress, SessionId};
use silentmon_proto::relay::{AudioHeader, AudioKind, OutputKind};
use silentmon_proto::time::Instant;

use super::{Engine, EngineEvent, SEEN_WITHIN, Transmit};
use crate::directory::MediaLeg;
use crate::session::{Admission, Clearance, Heard, MonitorSession};
use crate::stream::{Arrival, Encryption, Evidence, Freshness, PayloadKind, RtpArrival, Stream, Validity};

/// Port of the customer's leg above that of the agent's where plain RTP goes out: RTP ports are even (RFC 3550
/// section 11).
const CUSTOMER_PORT_OFFSET: u16 = 2;

/// Which sessions hear a media address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Routes {
    by_ip: HashMap<IpAddr, Vec<Route>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    address: MediaAddress,
    session: SessionId,
}

impl Routes {
    /// The addresses that are heard.
    pub(super) fn addresses(&self) -> impl Iterator<Item = MediaAddress> {
        self.by_ip.values().flatten().map(|route| route.address)
    }

    fn add(&mut self, address: MediaAddress, session: SessionId) {
        let route = Route { address, session };
        let routes = self.by_ip.entry(address.ip).or_default();
        if !routes.contains(&route) {
            routes.push(route);
        }
    }

    fn sessions_at(&self, address: SocketAddr) -> impl Iterator<Item = SessionId> {
        let routes = self.by_ip.get(&address.ip()).map_or(&[][..], Vec::as_slice);
        routes
            .iter()
            .filter(move |route| route.address.covers(address))
            .map(|route| route.session)
    }
}

impl Engine {
    /// Takes a captured datagram: a packet of a monitored agent goes to those who listen to him.
    pub fn handle_datagram(&mut self, datagram: &Datagram<'_>) {
        let Arrival::Rtp(arrival) = self.streams.handle_datagram(datagram, Evidence::Announced) else {
            return;
        };
        let lost = self
            .streams
            .stream(arrival.stream)
            .map_or(0, |stream| stream.sequence().lost());
        for (leg, address) in [(Leg::Agent, datagram.source), (Leg::Customer, datagram.destination)] {
            for id in self.routes.sessions_at(address) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    deliver(session, leg, datagram.captured, lost, &arrival, &mut self.transmits);
                }
            }
        }
    }

    /// The agent's media that policy lets be heard.
    pub(super) fn audible_media(&self, id: &AgentId) -> Vec<MediaLeg> {
        let Some(agent) = self.directory.agent(id) else {
            return Vec::new();
        };
        self.settings.policy.admit_media(agent, self.directory.media(id))
    }

    /// Makes the routes anew after sessions, media or policy changed.
    pub(super) fn reroute(&mut self) {
        let mut routes = Routes { by_ip: HashMap::new() };
        let admitted = self
            .sessions
            .values()
            .filter(|session| session.admission == Admission::Admitted);
        for session in admitted {
            for leg in self.audible_media(&session.agent) {
                routes.add(leg.address, session.id);
            }
        }
        self.routes = routes;
        self.events.push_back(EngineEvent::FilterChanged);
    }

    /// Whether a stream of a leg at this address was captured lately.
    pub(super) fn streams_visible(&self, address: MediaAddress, leg: Leg, now: Instant) -> bool {
        let lately = |stream: &Stream| now - stream.last_captured() <= SEEN_WITHIN;
        match leg {
            Leg::Agent => self.streams.from_address(address).any(|(_, stream)| lately(stream)),
            Leg::Customer => self.streams.to_address(address).any(|(_, stream)| lately(stream)),
        }
    }
}

fn deliver(
    session: &mut MonitorSession,
    leg: Leg,
    captured: Instant,
    lost: u64,
    arrival: &RtpArrival<'_>,
    transmits: &mut std::collections::VecDeque<Transmit>,
) {
    match arrival.freshness {
        Freshness::Fresh | Freshness::Reordered => {}
        Freshness::Duplicate | Freshness::Late => return session.count_duplicate(leg),
    }
    let heard = Heard {
        stream: arrival.stream,
        captured,
        rtp: arrival.packet.bytes,
        codec: codec(arrival.kind),
        clearance: clearance(arrival),
        lost,
    };
    let (id, connection, output) = (session.id, session.connection(), session.output);
    session.handle_packet(leg, &heard, |(header, bytes)| {
        let transmit = match output {
            OutputKind::PlainRtp { receiver } => plain_rtp(receiver, &header, bytes),
            OutputKind::Play | OutputKind::Record => connection.map(|connection| {
                let datagram = [&header.to_bytes()[..], bytes].concat();
                Transmit::Audio {
                    connection,
                    session: id,
                    datagram,
                }
            }),
        };
        transmits.extend(transmit);
    });
}

fn codec(kind: PayloadKind) -> Codec {
    match kind {
        PayloadKind::Speech(codec) => codec,
        PayloadKind::ComfortNoise => Codec::Cn,
        PayloadKind::TelephoneEvent(_) => Codec::TelephoneEvent,
        PayloadKind::Unknown => Codec::Unknown,
    }
}

fn clearance(arrival: &RtpArrival<'_>) -> Clearance {
    match (arrival.encryption, arrival.validity) {
        (Encryption::Encrypted, _) => Clearance::Encrypted,
        (_, Validity::Probation) => Clearance::Pending,
        (Encryption::Plain, Validity::Valid) => Clearance::Clear,
        (Encryption::Undecided, Validity::Valid) => match codec(arrival.kind) {
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Cn | Codec::TelephoneEvent => Clearance::Pending,
            // Nothing can be told of the bytes of other codecs; encrypted they don't decode to noise, but not at all.
            Codec::G723 | Codec::G728 | Codec::G729 | Codec::Gsm | Codec::Unknown => Clearance::Clear,
        },
    }
}

fn plain_rtp(receiver: SocketAddr, header: &AudioHeader, bytes: &[u8]) -> Option<Transmit> {
    if header.kind == AudioKind::Suppressed {
        return None;
    }
    let port = match header.leg {
        Leg::Agent => receiver.port(),
        Leg::Customer => receiver.port().checked_add(CUSTOMER_PORT_OFFSET)?,
    };
    Some(Transmit::PlainRtp {
        receiver: SocketAddr::new(receiver.ip(), port),
        packet: bytes.to_vec(),
    })
}
