//! Certificates with every flaw, old versions of TLS and plain text, against every end of every connection.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on panics"
)]

mod chain;
mod changing;
#[path = "../common/mod.rs"]
mod common;
mod handshake;
mod independent;
mod joining;
mod peers;
mod pki;
