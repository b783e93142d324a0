//! Receiver and sound outputs.

pub mod receiver;
