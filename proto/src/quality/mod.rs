//! How good speech is, from what became of its packets: the E-model (ITU-T G.107), burst and gap metrics (RFC 3611), and
//! what the two ends of the relay tell each other of it.
//!
//! Pure arithmetic, for the capture server (the call as its phones suffer it) and the player (our copy) alike.

mod burst;
mod call;
mod e_model;
mod figures;
mod histogram;

pub use burst::{BurstMeter, GMIN, LossCounts};
pub use call::{CallQuality, Reported};
pub use e_model::{Concealment, Impairment, PacketLoss, Rating, Scale, Verdict, delay_impairment};
pub use figures::{BurstFigures, Figures};
pub use histogram::{DELAY_BOUNDS, Histogram, MOS_BOUNDS};
