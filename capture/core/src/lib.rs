//! The deciding half of the capture server, sans-IO: who is monitored, whose packets matter, what is sent to whom.

pub mod filter;
pub mod stream;
