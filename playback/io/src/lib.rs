//! The supervisor's end of the relay, and where sound leaves the program: sound cards, WAV files, or nowhere at all,
//! each at the pace of a clock.
//!
//! The shell around `playback_core`: it owns connections, threads, devices, files and the clock, and decides nothing
//! about the sound.

pub mod clock;
#[cfg(test)]
mod counting;
pub mod receiver;
pub mod sink;
pub mod wav;
