//! The store by which members of a cluster learn of each other, where it isn't a mesh: NATS JetStream.

pub mod nats;
mod watch;
