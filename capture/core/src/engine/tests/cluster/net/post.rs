//! What is on its way: messages and datagrams between members, to programs and to disk, and the connections that carry them.

use super::*;

/// How long a message is on its way.
const DELAY: Duration = Duration::from_millis(1);

/// Something on its way.
pub(super) enum Parcel {
    ToMember(usize, PeerLink, Arc<PeerMessage>),
    Datagram(usize, PeerLink, Vec<u8>),
    Broken(usize, PeerLink),
    ToSupervisor(usize, ConnectionId, Box<ServerMessage>),
    Audio(usize, ConnectionId, Vec<u8>),
    ToServer(usize, ConnectionId, Box<ClientMessage>),
    Hangup(usize, ConnectionId),
    OnDisk(usize, u64, SessionId),
}

pub(super) struct Due(pub(super) Instant, pub(super) u64, pub(super) Parcel);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// A connection between two members.
#[derive(Clone, Copy)]
pub(super) struct Wire {
    pub(super) ends: [usize; 2],
    pub(super) runs: [u64; 2],
    pub(super) open: bool,
}

impl Net {
    pub(super) fn post(&mut self, parcel: Parcel) {
        let delay = if matches!(parcel, Parcel::OnDisk(..)) {
            DISK
        } else {
            DELAY
        };
        self.fresh += 1;
        self.parcels.push(Reverse(Due(self.now + delay, self.fresh, parcel)));
    }

    pub(super) fn close(&mut self, link: PeerLink) {
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.open = false;
        }
    }

    /// The connection of two members.
    pub fn link(&self, one: usize, other: usize) -> Option<PeerLink> {
        let joins = |wire: &Wire| wire.open && wire.ends.contains(&one) && wire.ends.contains(&other);
        self.wires.iter().find(|(_, wire)| joins(wire)).map(|(&link, _)| link)
    }

    fn other_end(&self, number: usize, link: PeerLink) -> Option<usize> {
        let wire = self.wires.get(&link).filter(|wire| wire.open)?;
        Some(if wire.ends[0] == number {
            wire.ends[1]
        } else {
            wire.ends[0]
        })
    }

    pub(super) fn send_datagram(&mut self, number: usize, link: PeerLink, datagram: Vec<u8>) {
        let Some(to) = self.other_end(number, link).filter(|&to| !self.is_cut(number, to)) else {
            return;
        };
        self.lost += 1;
        if self.members_lose == 0 || !self.lost.is_multiple_of(self.members_lose) {
            self.post(Parcel::Datagram(to, link, datagram));
        }
    }

    pub(super) fn send_peer(&mut self, number: usize, transmit: PeerTransmit) {
        let (PeerTransmit::Message { link, .. } | PeerTransmit::Close { link }) = &transmit;
        let link = *link;
        let Some(to) = self.other_end(number, link) else { return };
        let cut = self.is_cut(number, to);
        match transmit {
            PeerTransmit::Message { message, .. } if !cut => self.post(Parcel::ToMember(to, link, message)),
            PeerTransmit::Message { .. } => {}
            PeerTransmit::Close { .. } if cut => self.close(link),
            PeerTransmit::Close { .. } => self.post(Parcel::Broken(to, link)),
        }
    }

    pub(super) fn dial(&mut self) {
        for (from, (_, peers)) in self.plan.clone().into_iter().enumerate() {
            for to in peers {
                let met = |member: &Member| {
                    let mut members = member.engine.cluster().expect("a member").members();
                    members.any(|name| *name == server(to))
                };
                let dialled = self.wires.values().any(|wire| wire.open && wire.ends == [from, to]);
                let dials = self.members[from].as_ref().is_some_and(|member| !met(member));
                if dials && self.is_up(to) && !dialled && !self.is_cut(from, to) {
                    self.connect(from, to);
                }
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.fresh += 1;
        let link = PeerLink(self.fresh);
        let wire = Wire {
            ends: [from, to],
            runs: [self.runs[from], self.runs[to]],
            open: true,
        };
        self.wires.insert(link, wire);
        for (number, dialled, peer) in [(from, Dialled::ByUs, to), (to, Dialled::ByThem, from)] {
            self.on(number, |engine, now| {
                engine.handle_peer_connected(link, dialled, server(peer), now);
            });
        }
    }

    pub(super) fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::ToMember(to, link, message) => {
                if self.other_end(to, link).is_some() {
                    // Through JSON, as on the wire.
                    let json = serde_json::to_string(&*message).expect("JSON");
                    let message = serde_json::from_str(&json).expect("the same");
                    self.on(to, |engine, now| engine.handle_peer_message(link, message, now));
                }
            }
            Parcel::Datagram(to, link, datagram) => {
                self.on(to, |engine, now| engine.handle_peer_datagram(link, &datagram, now));
            }
            Parcel::Broken(to, link) => {
                self.close(link);
                let current = self.wires[&link].ends.iter().zip(self.wires[&link].runs);
                if current.into_iter().any(|(&end, run)| end == to && self.runs[to] == run) {
                    self.on(to, |engine, now| engine.handle_peer_disconnected(link, "reset", now));
                }
            }
            Parcel::ToServer(to, id, message) => {
                self.fresh += 1;
                let fresh = SessionId(self.fresh);
                self.on(to, |engine, now| engine.handle_message(id, *message, fresh, now));
            }
            Parcel::Hangup(to, id) => {
                self.on(to, |engine, now| engine.handle_disconnected(id, now));
            }
            Parcel::OnDisk(number, run, session) => {
                if self.runs[number] == run
                    && let Some(member) = self.members[number].as_mut()
                {
                    member.on_disk.insert(session);
                    self.on(number, |engine, now| engine.handle_recorded(session, now));
                }
            }
            Parcel::ToSupervisor(from, id, message) => self.tell_program(from, id, *message),
            Parcel::Audio(from, id, datagram) => self.hear(from, id, &datagram),
        }
    }
}
