//! Whether a single packet may be RTP: the weak evidence that is left when there is no second one.
//!
//! A header of 12 arbitrary bytes passes RFC 3550's checks easily, so more is asked for: a payload that fits its static
//! type, or numbers as a sender picks them, between ports where media can be.

use std::net::SocketAddr;

use silentmon_proto::rtp::Packet;

/// Ports below are services, not media.
const FIRST_MEDIA_PORT: u16 = 1024;

/// Whether a packet could begin a stream: what an announced address needs, and the least for a lone packet.
pub fn is_plausible(packet: &Packet<'_>) -> bool {
    let length = packet.payload.len();
    if packet.contributing_sources != 0 || length == 0 {
        return false;
    }
    match packet.payload_type.0 {
        0 | 8 | 9 => (40..=960).contains(&length),
        3 => length.is_multiple_of(33),
        4 => length.is_multiple_of(4) && length <= 240,
        13 | 19 => length <= 32,
        18 => matches!(length % 10, 0 | 2) && length <= 240,
        5..=7 | 10..=12 | 14..=17 | 25..=34 => length >= 10,
        96..=127 => true,
        _ => false,
    }
}

/// Whether a packet that stayed alone is credible without anything beside it. A heuristic: one in some thousand
/// arbitrary datagrams would pass.
pub fn is_credible_alone(packet: &Packet<'_>, source: SocketAddr, destination: SocketAddr) -> bool {
    let ports = source.port() >= FIRST_MEDIA_PORT && destination.port() >= FIRST_MEDIA_PORT;
    ports && is_plausible(packet) && has_arbitrary_numbers(packet) && fits_exactly(packet)
}

/// RFC 3550 section 5.1 has the sequence number, the timestamp and the SSRC start at random.
const fn has_arbitrary_numbers(packet: &Packet<'_>) -> bool {
    packet.sequence.0 != 0 && packet.timestamp.0 > 0xff && packet.ssrc.0 > 0xffff && packet.ssrc.0 != u32::MAX
}

/// G.711 comes in multiples of 5 ms.
const fn fits_exactly(packet: &Packet<'_>) -> bool {
    match packet.payload_type.0 {
        0 | 8 | 9 => packet.payload.len().is_multiple_of(40),
        _ => true,
    }
}
