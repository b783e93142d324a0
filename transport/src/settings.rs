//! How connections behave; the defaults are the product's (requirements section 3, measured figures of the relay).

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::congestion::{AudioControllerFactory, Demand};

/// Differentiated-services code point of what leaves a socket (RFC 2474). QUIC mixes audio and control in one UDP
/// packet, so a whole socket has one marking: EF where audio is sent, AF31 where only control and acknowledgements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marking {
    /// Expedited forwarding (RFC 3246), ToS 0xB8: the side that sends audio.
    Audio,
    /// Assured forwarding class 3, low drop (RFC 2597), ToS 0x68: the side that sends control only.
    Signalling,
    /// Best effort, ToS 0.
    Default,
}

impl Marking {
    /// The ToS or traffic-class byte, its two ECN bits zero.
    pub const fn tos(self) -> u8 {
        match self {
            Self::Audio => 0xb8,
            Self::Signalling => 0x68,
            Self::Default => 0,
        }
    }
}

/// How the connections of an endpoint behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// DSCP of the packets it sends.
    pub marking: Marking,
    /// Longest handshake, from the first packet until both sides accepted each other's certificate.
    pub handshake_limit: Duration,
    /// Silence after which a connection is lost.
    pub idle_timeout: Duration,
    /// Silence after which a packet is sent to keep the connection and the firewalls between awake.
    pub keep_alive: Duration,
    /// Socket buffer asked of the kernel for each direction, in bytes.
    pub socket_buffer: usize,
    /// Bytes per second that one audio stream may need, QUIC and IP headers apart.
    pub stream_rate: u32,
    /// Whether packets may be handed to the kernel in batches (generic segmentation offload).
    pub segmentation_offload: bool,
}

impl Settings {
    /// For the side that answers supervisors and sends them audio.
    pub fn server() -> Self {
        Self {
            marking: Marking::Audio,
            handshake_limit: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
            keep_alive: Duration::from_secs(4),
            socket_buffer: 8 << 20,
            // G.711 or G.722 in packets of 10 ms: 100 * (80 + 12 RTP + 16 relay + 29 QUIC).
            stream_rate: 16_000,
            segmentation_offload: true,
        }
    }

    /// For the supervisor's side, which sends control only.
    pub fn client() -> Self {
        Self {
            marking: Marking::Signalling,
            ..Self::server()
        }
    }

    pub(crate) fn transport(&self, demand: &Arc<Demand>, side: Side) -> TransportConfig {
        let mut transport = TransportConfig::default();
        let idle = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        transport.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))));
        transport.keep_alive_interval(Some(self.keep_alive));
        transport.max_concurrent_bidi_streams(VarInt::from_u32(match side {
            Side::Dialled => 1,
            Side::Dialling => 0,
        }));
        transport.max_concurrent_uni_streams(VarInt::from_u32(0));
        transport.datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER));
        transport.datagram_send_buffer_size(DATAGRAM_SEND_BUFFER);
        transport.enable_segmentation_offload(self.segmentation_offload);
        transport.congestion_controller_factory(Arc::new(AudioControllerFactory::new(Arc::clone(demand))));
        transport
    }
}

/// Holds four thousand streams for 25 ms: the receiving program may be scheduled late.
const DATAGRAM_RECEIVE_BUFFER: usize = 4 << 20;

/// More than any backlog may grow to: what is kept waiting is bounded by [`crate::backlog`], which sheds the oldest and
/// counts it. The library's own bound sheds in silence.
pub(crate) const DATAGRAM_SEND_BUFFER: usize = 64 << 20;

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialled,
    Dialling,
}
