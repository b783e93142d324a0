//! CTI from end to end: a simulated source, the capture service, tagged RTP, the relay, `listen`. What is in the WAV file
//! must be the agent's calls and nothing else, whatever goes wrong with the source.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may fail here, says what it skipped and how long recovery took, and counts in small numbers"
)]

#[path = "../common/mod.rs"]
mod common;
mod dialogs;
mod faults;
mod following;
mod heard;
mod joining;
#[path = "../live/lab.rs"]
#[allow(dead_code, reason = "the tests of live capture use more of it")]
mod lab;
mod media;
mod stage;

use common::punctual::{BEARABLE, on_a_machine_that_keeps_time};

/// Plays that take their time, beside each other; the name of one that fails stands in its message.
fn together(plays: [(&str, fn()); 3]) {
    on_a_machine_that_keeps_time(BEARABLE, || {
        std::thread::scope(|scope| {
            for (name, play) in plays {
                let thread = std::thread::Builder::new().name(name.to_owned());
                thread.spawn_scoped(scope, play).expect("a thread starts");
            }
        });
    });
}
