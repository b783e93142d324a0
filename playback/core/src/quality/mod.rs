//! How good what was heard was: what became of each packet, counted for our copy and for all that reached the ear.
//!
//! The arithmetic (E-model, bursts) is that of [`silentmon_proto::quality`].

mod fate;

pub use fate::{FateMeter, PacketFate};
pub use silentmon_proto::quality::{Concealment, Figures, Impairment, LossCounts};
