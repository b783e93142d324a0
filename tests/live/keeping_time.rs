//! When a failure of a test that listens in real time counts, and when it is tried again.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::common::punctual::on_a_machine_that_keeps_time;

#[test]
fn a_failure_on_a_machine_that_keeps_time_counts_at_once() {
    let tried = Cell::new(0);
    let endless = Duration::MAX;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        on_a_machine_that_keeps_time(endless, || {
            tried.set(tried.get() + 1);
            panic!("a defect");
        });
    }));
    assert!(outcome.is_err() && tried.get() == 1, "tried {} times", tried.get());
}

#[test]
fn a_failure_while_the_machine_stood_still_is_tried_again() {
    let tried = Cell::new(0);
    on_a_machine_that_keeps_time(Duration::ZERO, || {
        tried.set(tried.get() + 1);
        assert!(tried.get() == 3, "a gap");
    });
    assert_eq!(tried.get(), 3);
}
