//! Stateless resets (RFC 9000 section 10.3): whoever talks to a server that died and was started again is told at once that
//! it knows his connection no longer. Without them he would wait until the connection is silent for too long.
//!
//! That needs a key that outlives the program. It is made of the server's private key and of the address it listens on: two
//! endpoints of one key must not tell each other's tokens (section 21.11).

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use silentmon_certs::ResetSecret;

/// The configuration of an endpoint that listens on an address.
pub(crate) fn configuration(secret: &ResetSecret, address: SocketAddr) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let derive = |purpose: &str| hmac::sign(&secret, format!("{purpose} {address}").as_bytes());
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, derive("reset").as_ref())));
    // Only connections whose numbers a former run can have given are worth an answer.
    let numbers = derive("connection")
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(numbers)));
    config
}
