//! Delay: what the network needs, kept apart from what the clocks do.

pub(crate) mod baseline;
pub(crate) mod drift;
pub(crate) mod target;
