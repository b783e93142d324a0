//! Enrolment: a one-time token lets a new server or supervisor have its certificate signed in one go, while somebody with
//! the authority's password lets the authority listen.
//!
//! The key is made where it is used and stays there. The token names the enrolment service's certificate by its SHA-256,
//! so that nothing is said to anybody else; the service knows of each token a hash, for whom it is, until when, and
//! whether it was used.

mod client;
mod conversation;
mod ledger;
mod lockout;
mod server;
mod token;

pub use client::{Enrolled, enrol};
pub use ledger::{Invitation, invite};
pub use server::{EnrolmentServer, Occurrence};
pub use token::{BadToken, Token};

use std::time::Duration;

/// Application protocol of the conversation (RFC 7301).
const ALPN: &[u8] = b"silentmon-enrol/1";
/// Longest conversation, with its handshake.
const LIMIT: Duration = Duration::from_secs(10);
