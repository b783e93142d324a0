//! From a captured datagram to the sessions that hear it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use foldhash::HashMap;
use silentmon_proto::codec::Codec;
use silentmon_proto::frame::Datagram;
use silentmon_proto::ids::{AgentId, Leg, MediaAddress, PayloadType, SessionId};
use silentmon_proto::relay::AudioKind;
use silentmon_proto::time::Instant;

use super::relay::Way;
use super::{Engine, EngineEvent, Transmit};
use crate::directory::MediaLeg;
use crate::filter::MediaPath;
use crate::session::{Admission, Clearance, Heard, MonitorSession, Outgoing, Voice};
use crate::stream::{Arrival, Encryption, Evidence, Freshness, PayloadKind, RtpArrival, Told, Validity};

/// Port of the customer's leg above that of the agent's where plain RTP goes out: RTP ports are even (RFC 3550
/// section 11).
const CUSTOMER_PORT_OFFSET: u16 = 2;
/// Telephone events that are digits (RFC 4733 section 3.2).
const DTMF: std::ops::RangeInclusive<u8> = 0..=15;

/// Which sessions hear a phone, by its IP address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Routes {
    by_ip: HashMap<IpAddr, Vec<Route>>,
    by_session: BTreeMap<SessionId, Vec<HeardPath>>,
}

/// Where a phone's media pass, and the codec they are said to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeardPath {
    pub(super) path: MediaPath,
    codec: Option<Codec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    heard: HeardPath,
    session: SessionId,
}

impl Route {
    fn hears(&self, leg: Leg, source: SocketAddr, destination: SocketAddr) -> bool {
        match leg {
            Leg::Agent => self.heard.path.is_from_phone(source, destination),
            Leg::Customer => self.heard.path.is_to_phone(destination),
        }
    }
}

impl Routes {
    /// Where packets that are heard pass.
    pub(super) fn paths(&self) -> impl Iterator<Item = MediaPath> {
        self.by_session.values().flatten().map(|heard| heard.path)
    }

    /// Lets a session hear these paths and no others. Answers whether that is new.
    pub(super) fn set(&mut self, session: SessionId, paths: &[HeardPath]) -> bool {
        let former = match paths {
            [] => self.by_session.remove(&session),
            paths => self.by_session.insert(session, paths.to_vec()),
        };
        let former = former.unwrap_or_default();
        if former == paths {
            return false;
        }
        for HeardPath { path, .. } in former {
            if let Some(routes) = self.by_ip.get_mut(&path.address.ip) {
                routes.retain(|route| route.session != session);
                if routes.is_empty() {
                    self.by_ip.remove(&path.address.ip);
                }
            }
        }
        for &heard in paths {
            let routes = self.by_ip.entry(heard.path.address.ip).or_default();
            routes.push(Route { heard, session });
        }
        true
    }

    /// The sessions that hear a packet, and as which leg of their agent's.
    pub(super) fn listeners(&self, source: SocketAddr, destination: SocketAddr) -> Listeners<'_> {
        let at = |address: SocketAddr| self.by_ip.get(&address.ip()).map_or(&[][..], Vec::as_slice);
        Listeners {
            source,
            destination,
            from: at(source),
            to: at(destination),
        }
    }
}

/// See [`Routes::listeners`].
pub(super) struct Listeners<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    from: &'a [Route],
    to: &'a [Route],
}

impl Listeners<'_> {
    fn routes(&self, leg: Leg) -> &[Route] {
        match leg {
            Leg::Agent => self.from,
            Leg::Customer => self.to,
        }
    }

    /// The codec that the media are said to have.
    fn codec(&self) -> Option<Codec> {
        Leg::BOTH.into_iter().find_map(|leg| {
            let hears = |route: &&Route| route.hears(leg, self.source, self.destination);
            self.routes(leg)
                .iter()
                .filter(hears)
                .find_map(|route| route.heard.codec)
        })
    }

    /// Each session once, though several of its paths may lead there.
    pub(super) fn of(&self, leg: Leg) -> impl Iterator<Item = SessionId> {
        let (routes, source, destination) = (self.routes(leg), self.source, self.destination);
        let hears = move |route: &Route| route.hears(leg, source, destination);
        let first = move |(at, route): &(usize, &Route)| {
            let same = |other: &Route| other.session == route.session && hears(other);
            hears(route) && !routes[..*at].iter().any(same)
        };
        routes.iter().enumerate().filter(first).map(|(_, route)| route.session)
    }
}

impl Engine {
    /// Takes a captured datagram: a packet of a monitored agent goes to those who listen to him. `described` knows
    /// payload types from the signalling of his call.
    pub fn handle_datagram(&mut self, datagram: &Datagram<'_>, described: impl Fn(PayloadType) -> Option<Codec>) {
        let listeners = self.routes.listeners(datagram.source, datagram.destination);
        let named = listeners.codec();
        let told = |payload_type| Told {
            named,
            described: described(payload_type),
        };
        let Arrival::Rtp(mut arrival) = self.streams.handle_told(datagram, Evidence::Announced, told) else {
            return;
        };
        if described(arrival.packet.payload_type) == Some(Codec::TelephoneEvent) {
            // Whatever the payload looks like: what was announced as digits doesn't leave.
            arrival.codec = Codec::TelephoneEvent;
        }
        if let PayloadKind::TelephoneEvent(event) = arrival.kind {
            let timestamp = arrival.packet.timestamp.0;
            if DTMF.contains(&event.event) {
                self.count_digit(datagram, |keyed, at, burst| keyed.handle_event(timestamp, at, burst));
            }
        }
        self.hear_digits(datagram, &arrival);
        let silenced = self.is_silenced(datagram);
        let listeners = self.routes.listeners(datagram.source, datagram.destination);
        for leg in Leg::BOTH {
            for id in listeners.of(leg) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    let voice = if silenced { Voice::Silenced } else { session.voice() };
                    let way = Way::of(session, self.membership.cluster());
                    deliver(
                        session,
                        way,
                        (leg, voice),
                        datagram.captured,
                        &arrival,
                        &mut self.transmits,
                    );
                }
            }
        }
    }

    /// Whether a packet comes from or goes to a phone of somebody whose call is paused, whoever else listens to it.
    fn is_silenced(&self, datagram: &Datagram<'_>) -> bool {
        !self.silenced.is_empty()
            && self
                .owners_at(datagram.source)
                .chain(self.owners_at(datagram.destination))
                .any(|owner| self.silenced.contains(owner))
    }

    /// Agents whose phones have media at a socket.
    fn owners_at(&self, socket: SocketAddr) -> impl Iterator<Item = &AgentId> {
        let addresses = [Some(socket.port()), None].map(|port| MediaAddress { ip: socket.ip(), port });
        addresses
            .into_iter()
            .filter_map(|address| self.owners.get(&address))
            .flatten()
    }

    /// The agent's media that sound and that policy lets be heard.
    pub(super) fn audible_media(&self, id: &AgentId) -> Vec<MediaLeg> {
        let Some(agent) = self.directory.agent(id) else {
            return Vec::new();
        };
        if self.is_undisclosed(id) {
            return Vec::new();
        }
        let mut media = self.directory.media(id);
        media.retain(|leg| agent.sounds(leg));
        self.settings.policy.admit_media(agent, media)
    }

    /// Makes the routes of an agent's sessions anew after his media, his sessions or the rules changed.
    pub(super) fn reroute(&mut self, agent: &AgentId) {
        let sessions = self.sessions_on(agent);
        if !sessions.is_empty() {
            let heard = heard_paths(&self.audible_media(agent));
            let mut changed = false;
            for id in sessions {
                let session = self.sessions.get(&id);
                let admitted = session.is_some_and(|session| session.admission == Admission::Admitted);
                changed |= self.routes.set(id, if admitted { &heard } else { &[] });
            }
            if changed {
                self.events.push_back(EngineEvent::FilterChanged);
            }
        }
        self.watch(agent);
    }
}

/// Where the packets of some media pass, each once and in order.
pub(super) fn heard_paths(media: &[MediaLeg]) -> Vec<HeardPath> {
    let heard = |leg: &MediaLeg| HeardPath {
        path: MediaPath {
            address: leg.address,
            remote: leg.remote,
        },
        codec: leg.codec.as_deref().and_then(Codec::from_encoding),
    };
    media.iter().map(heard).collect::<BTreeSet<_>>().into_iter().collect()
}

fn deliver(
    session: &mut MonitorSession,
    way: Option<Way>,
    (leg, voice): (Leg, Voice),
    captured: Instant,
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
        codec: arrival.codec,
        payload_type: arrival.packet.payload_type,
        clearance: clearance(arrival),
        voice,
        number: arrival.extended_sequence,
    };
    let id = session.id;
    session.handle_packet(leg, &heard, |outgoing| {
        transmits.extend(way.and_then(|way| transmit(way, id, outgoing)));
    });
}

/// A packet of a session on its way.
pub(super) fn transmit(way: Way, session: SessionId, outgoing: Outgoing<'_>) -> Option<Transmit> {
    let datagram = |(header, bytes): Outgoing<'_>| [&header.to_bytes()[..], bytes].concat();
    match way {
        Way::Plain(receiver) => plain_rtp(receiver, &outgoing),
        Way::Supervisor(connection) => Some(Transmit::Audio {
            connection,
            session,
            datagram: datagram(outgoing),
        }),
        Way::Member(link) => Some(Transmit::PeerDatagram {
            link,
            session,
            datagram: datagram(outgoing),
        }),
    }
}

fn clearance(arrival: &RtpArrival<'_>) -> Clearance {
    match (arrival.encryption, arrival.validity) {
        (Encryption::Encrypted, _) => Clearance::Encrypted,
        (_, Validity::Probation) => Clearance::Pending,
        (Encryption::Plain, Validity::Valid) => Clearance::Clear,
        (Encryption::Undecided, Validity::Valid) => match arrival.codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Cn | Codec::TelephoneEvent => Clearance::Pending,
            // Nothing can be told of the bytes of other codecs; encrypted they don't decode to noise, but not at all.
            _ => Clearance::Clear,
        },
    }
}

fn plain_rtp(receiver: SocketAddr, (header, bytes): &Outgoing<'_>) -> Option<Transmit> {
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
