//! The audit journal: one JSON object a line, appended and synced before sound flows. Each record has a number and the
//! hash of the line before it, so that a removed, changed or moved one shows; the head beside the journal shows what is
//! missing at its end.

pub mod chain;
mod entry;
pub mod export;
mod former;
mod journal;
mod mark;
pub mod pauses;
pub mod sign_ins;
pub mod syslog;
mod tail;
pub mod verify;

pub use entry::Event;
#[cfg(test)]
pub use entry::Who;
pub use journal::Journal;
