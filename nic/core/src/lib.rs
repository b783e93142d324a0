//! NIC qualification without IO: the frames of each check, the session they belong to, generator and target that find each
//! other over the wire under test, and what is said about a NIC in the end.
//!
//! A run: the [`Generator`](generator::Generator) announces its session, the [`Target`](target::Target) answers, the
//! generator sends the frames of every check, says how many it really sent, and the target judges what came
//! ([`evaluate`]). Where the target can't answer, as behind a mirror, it judges by the announcements alone.

pub mod advice;
pub mod burst;
pub mod check;
pub mod classic;
pub mod control;
pub mod evaluate;
pub mod frame;
pub mod generator;
pub mod mac;
pub mod model;
pub mod plan;
pub mod read;
pub mod tally;
pub mod target;
pub mod wire;
