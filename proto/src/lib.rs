//! Words and wire formats of silentmon, sans-IO: no clock, socket, file or thread.
//!
//! Bytes become types here, once. What a type decides (who may hear whom, when a packet is played) lives in the cores.

pub mod codec;
pub mod cti;
pub mod dtmf;
mod extensible;
pub mod frame;
pub mod g711;
pub mod ids;
pub mod pause;
pub mod peer;
pub mod principal;
pub mod quality;
pub mod reason;
pub mod relay;
pub mod rtcp;
pub mod rtp;
pub mod sccp;
pub mod sdp;
pub mod sip;
pub mod store;
pub mod telephone_event;
pub mod time;
