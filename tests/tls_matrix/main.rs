//! Certificates with every flaw, old versions of TLS and plain text, against every end of every connection.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on panics")]

mod chain;
mod changing;
#[path = "../common/mod.rs"]
mod common;
mod handshake;
mod pki;
