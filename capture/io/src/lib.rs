//! Packet sources, capture threads and the service loop: the capture service's only code with files, sockets, threads.
//!
//! What is decided lives in `silentmon-capture-core`; this crate feeds it and carries out what it says.

pub mod clock;
pub mod cluster;
pub mod cti;
pub mod feed;
pub mod file;
pub mod kernel_filter;
pub mod link;
pub mod live;
pub mod service;
pub mod survey;
