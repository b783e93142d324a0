//! From RTP packets to sound, sans-IO: jitter buffer, decoders, concealment, mix, levels and quality.
//!
//! A [`player::Player`] is handed packets with the time they came and is asked for samples; it reads no clock and owns no
//! socket, file or thread. [`exact::Timeline`] is the other way to decode: bare, for comparison with other decoders.

pub mod exact;
pub mod g711;
pub mod player;
pub mod quality;
pub mod report;
pub mod sequence;

mod buffer;
mod conceal;
mod decoder;
mod leg;
mod playout;
mod schedule;
mod units;
