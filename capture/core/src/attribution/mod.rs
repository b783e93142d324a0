//! Where a packet was lost: in the call, so that the phones miss it too, or in the mirror, so that only we do.
//!
//! A gap in the sequence numbers alone doesn't tell. In this order it was the mirror where the capture lost frames at that
//! time; the call, where the phone that hears the stream admits the loss in its RTCP reports, and the mirror where it
//! doesn't; the mirror, where another stream has a gap at the same moment, or nearly all streams have gaps within the same
//! time; and the call otherwise. [`LegWatch`] keeps the gaps of a leg until that can be told.

mod evidence;
mod gap;
mod watch;

pub use evidence::Evidence;
pub use watch::LegWatch;

use gap::Gap;

/// Where a packet was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Before the mirror: the phones miss it too.
    Call,
    /// By the mirror port or the capture: only we miss it.
    Mirror,
}
