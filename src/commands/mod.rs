//! One module a command: its arguments, and `run`.

#[cfg(feature = "playback")]
pub mod agents;
#[cfg(feature = "capture")]
pub mod audit;
#[cfg(any(feature = "capture", feature = "playback"))]
pub mod auth;
#[cfg(feature = "capture")]
pub mod capture;
pub mod certs;
#[cfg(any(feature = "capture", feature = "playback"))]
pub mod cluster;
pub mod config;
#[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
pub mod demo;
#[cfg(feature = "playback")]
pub mod doctor;
pub mod explain;
#[cfg(feature = "playback")]
pub mod listen;
#[cfg(feature = "capture")]
pub mod nic_test;
#[cfg(feature = "playback")]
pub mod playback;
#[cfg(all(feature = "capture", feature = "playback"))]
pub mod replay;
#[cfg(feature = "simulate")]
pub mod simulate;
#[cfg(feature = "capture")]
pub mod span;
#[cfg(feature = "capture")]
pub mod span_check;
