//! From RTP packets to sound, sans-IO: jitter buffer, decoders, concealment, mix, levels and quality.
//!
//! A [`player::Player`] is handed packets with the time they came and is asked for samples; it reads no clock and owns no
//! socket, file or thread. [`exact::Timeline`] is the other way to decode: bare, for comparison with other decoders.

pub mod codec;
pub mod conceal;
pub mod exact;
pub mod mix;
pub mod player;
pub mod quality;
pub mod relay_watch;
pub mod repair;
pub mod report;
pub mod resample;
pub mod sequence;
pub mod settings;
pub mod stretch;

pub use silentmon_proto::g711;

mod delay;
mod leg;
mod pitch;
mod stream;
mod units;
