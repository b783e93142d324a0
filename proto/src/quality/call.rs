//! What the capture server tells a supervisor of a leg's quality, beside the counts of
//! [`LegStatus`](crate::relay::LegStatus).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::burst::LossCounts;
use super::e_model::Concealment;
use super::figures::Figures;
use crate::codec::Codec;

/// One leg as the mirror shows it: what the call suffers, and what the mirror itself loses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallQuality {
    /// The codec heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<Codec>,
    /// Sound in a packet, in microseconds; 0 where not known.
    pub packet_time_us: u64,
    /// Mean interarrival jitter (RFC 3550 section 6.4.1) in microseconds.
    pub jitter_us: u64,
    /// The largest that it got.
    pub jitter_max_us: u64,
    /// Packets lost in the call. What the mirror lost counts as come.
    pub call: LossCounts,
    /// Packets lost in the mirror. What the call lost counts as come.
    pub mirror: LossCounts,
    /// What the phone that hears this leg says itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<Reported>,
}

/// What RTCP of the far end said last (RFC 3550 section 6.4.1, RFC 3611 section 4.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Packets it misses, since its stream began.
    pub lost: i32,
    /// Interarrival jitter at its end, in microseconds.
    pub jitter_us: u64,
    /// Its own estimate of listening quality, in tenths of a MOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening_mos: Option<u8>,
}

impl CallQuality {
    /// Sound in a packet; 20 ms where nothing is known.
    pub const fn packet_time(&self) -> Duration {
        match self.packet_time_us {
            0 => Duration::from_millis(20),
            microseconds => Duration::from_micros(microseconds),
        }
    }

    /// The call as its phones suffer it. That they conceal losses is taken for granted; what their jitter buffers throw
    /// away nobody sees.
    pub fn figures(&self) -> Figures {
        let jitter = Some(Duration::from_micros(self.jitter_us)).filter(|_| self.call.packets > 0);
        Figures::of(
            &self.call,
            self.codec,
            Concealment::Concealed,
            self.packet_time(),
            jitter,
        )
    }
}
