//! Media addresses from the signalling that passes on the same mirror: SIP dialogs with their SDP, SCCP between phones
//! and call managers. Sans-IO: packets in, sightings out, in the words of the CTI event model. Beside it [`risport`], which
//! asks a call manager where its phones are.
//!
//! A sighting names the device by every name the signalling gives it: extension, user part, device name. It says where
//! that phone receives and sends, to whom, in which codec, and whether encrypted.

mod publish;
pub mod risport;
mod sccp;
mod signalling;
mod sip;
mod tcp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::PayloadType;
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;
use silentmon_proto::{sccp as sccp_wire, sip as sip_wire};

pub use signalling::{Signalling, Transport};

use crate::filter::{SignallingPorts, SignallingProtocol};
use publish::Publisher;
use sccp::Phones;
use sip::Dialogs;
use tcp::{Flows, Framing, Piece};

/// How often what was silent too long is looked after.
const TICK: Duration = Duration::from_secs(10);

const SIP_FRAMING: Framing = Framing {
    length: |bytes| sip_wire::message_length(bytes).map_err(drop),
    find_start: sip_wire::find_start,
};
const SCCP_FRAMING: Framing = Framing {
    length: |bytes| sccp_wire::message_length(bytes).map_err(drop),
    find_start: sccp_wire::find_start,
};

/// What was read so far; sums since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResolverCounters {
    /// SIP messages read.
    pub sip: u64,
    /// Messages at a port of SIP that are none (keep-alives aside).
    pub not_sip: u64,
    /// SCCP messages read.
    pub sccp: u64,
    /// Messages at a port of SCCP that are none.
    pub not_sccp: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Resolver {
    ports: SignallingPorts,
    flows: Flows,
    sip: Dialogs,
    sip_media: Publisher,
    sccp: Phones,
    sccp_media: Publisher,
    counters: ResolverCounters,
    events: VecDeque<(MediaOrigin, CtiEvent)>,
    next_tick: Instant,
}

impl Resolver {
    /// A resolver that has seen nothing yet and reads signalling at these ports.
    pub fn new(ports: SignallingPorts, now: Instant) -> Self {
        Self {
            ports,
            flows: Flows::default(),
            sip: Dialogs::default(),
            sip_media: Publisher::default(),
            sccp: Phones::default(),
            sccp_media: Publisher::default(),
            counters: ResolverCounters::default(),
            events: VecDeque::new(),
            next_tick: now + TICK,
        }
    }

    /// Takes a captured piece of signalling. Anything may come: what isn't signalling is counted and left alone.
    pub fn handle_signalling(&mut self, signalling: &Signalling<'_>) {
        let Signalling {
            source, destination, ..
        } = *signalling;
        let carrier = signalling.transport.carrier();
        let Some(protocol) = self.ports.protocol(carrier, source, destination) else {
            return;
        };
        match (protocol, signalling.transport) {
            (SignallingProtocol::Sip, Transport::Udp) => {
                self.handle_sip(signalling.payload, source, destination, signalling.captured);
            }
            (SignallingProtocol::Sip, Transport::Tcp { .. }) => {
                for message in self.messages_of(signalling, SIP_FRAMING) {
                    self.handle_sip(&message, source, destination, signalling.captured);
                }
            }
            (SignallingProtocol::Sccp, Transport::Tcp { closes, .. }) => {
                for message in self.messages_of(signalling, SCCP_FRAMING) {
                    self.handle_sccp(&message, source, destination, signalling.captured);
                }
                if closes {
                    let phone = self.phone_of(source, destination);
                    self.sccp.handle_closed(phone, &mut self.sccp_media);
                }
            }
            (SignallingProtocol::Sccp, Transport::Udp) => {}
        }
        self.collect();
    }

    /// Forgets calls and connections that were silent too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.flows.handle_timeout(now);
        self.sip.handle_timeout(now, &mut self.sip_media);
        self.sccp.handle_timeout(now, &mut self.sccp_media);
        self.collect();
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub const fn poll_timeout(&self) -> Instant {
        self.next_tick
    }

    /// The next sighting: [`CtiEvent::MediaStarted`] or [`CtiEvent::MediaStopped`] of a device, and what it was seen in.
    pub fn poll_event(&mut self) -> Option<(MediaOrigin, CtiEvent)> {
        self.events.pop_front()
    }

    /// What was read so far.
    pub const fn counters(&self) -> ResolverCounters {
        self.counters
    }

    /// The codec of a payload type in packets to an address, as a session description of a call in progress has it.
    pub fn codec(&self, destination: SocketAddr, payload_type: PayloadType) -> Option<Codec> {
        self.sip_media.codec(destination, payload_type)
    }

    fn messages_of(&mut self, signalling: &Signalling<'_>, framing: Framing) -> Vec<Vec<u8>> {
        let Transport::Tcp {
            sequence,
            opens,
            closes,
        } = signalling.transport
        else {
            return Vec::new();
        };
        let piece = Piece {
            sequence,
            opens,
            closes,
            bytes: signalling.payload,
        };
        let key = (signalling.source, signalling.destination);
        let mut messages = Vec::new();
        let take = |message: &[u8]| messages.push(message.to_vec());
        self.flows.handle(key, &piece, framing, signalling.captured, take);
        messages
    }

    fn handle_sip(&mut self, bytes: &[u8], source: SocketAddr, destination: SocketAddr, now: Instant) {
        match sip_wire::Message::parse(bytes) {
            Ok(message) => {
                self.counters.sip += 1;
                let hop = sip::Hop {
                    source: source.ip(),
                    destination: destination.ip(),
                };
                self.sip.handle_message(&message, hop, now, &mut self.sip_media);
            }
            // Keep-alives (RFC 5626 section 3.5): line ends, zero bytes, STUN.
            Err(_) if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) => {}
            Err(_) => self.counters.not_sip += 1,
        }
    }

    fn handle_sccp(&mut self, bytes: &[u8], source: SocketAddr, destination: SocketAddr, now: Instant) {
        let phone = self.phone_of(source, destination);
        match sccp_wire::Message::parse(bytes) {
            Ok(message) => {
                self.counters.sccp += 1;
                self.sccp.handle_message(&message, phone, now, &mut self.sccp_media);
            }
            Err(_) => self.counters.not_sccp += 1,
        }
    }

    /// The phone's end of a connection: the one that isn't at the port of call managers.
    fn phone_of(&self, source: SocketAddr, destination: SocketAddr) -> SocketAddr {
        if self.ports.sccp.contains(&destination.port()) {
            source
        } else {
            destination
        }
    }

    fn collect(&mut self) {
        for (origin, media) in [
            (MediaOrigin::Sip, &mut self.sip_media),
            (MediaOrigin::Sccp, &mut self.sccp_media),
        ] {
            self.events.extend(media.drain_events().map(|event| (origin, event)));
        }
    }
}

#[cfg(test)]
mod tests;
