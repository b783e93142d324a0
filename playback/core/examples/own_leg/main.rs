//! When packets arrive that our own leg lost and repaired, in virtual time, to be heard by `scripts/bench-sound`.
//!
//! Prints a line for each case: losses, round trip in ms, whether anything was repaired (`repaired` or `alone`), how long
//! the player is asked to wait in ms, and for each packet of 20 ms how much later than the fastest it came, in ms, or `-`.

#![allow(clippy::print_stdout, reason = "the outcome is printed")]

#[path = "../repair/house.rs"]
mod house;

use std::time::Duration;

use house::{CONDITIONS, House, PathModel, Strategy};
use silentmon_proto::ids::Leg;

const ROUND_TRIPS: [u64; 2] = [40, 100];
const STRATEGIES: [(&str, Strategy); 2] = [("alone", Strategy::Nothing), ("repaired", Strategy::Chosen)];
/// The listener has learnt the path after a few seconds of it.
const SPAN: Duration = Duration::from_secs(90);

fn main() {
    for (name, losses) in CONDITIONS {
        for round_trip in ROUND_TRIPS {
            for (what, strategy) in STRATEGIES {
                let path = PathModel {
                    losses,
                    round_trip: Duration::from_millis(round_trip),
                    jitter: Duration::from_millis(2),
                    seed: round_trip,
                };
                let mut house = House::with(path, strategy);
                house.run(SPAN);
                let patience = house.patience().as_millis();
                let delays: Vec<_> = house.arrivals(Leg::Agent).map(written).collect();
                println!("{name} {round_trip} {what} {patience} {}", delays.join(","));
            }
        }
    }
}

fn written(delay: Option<Duration>) -> String {
    delay.map_or_else(|| "-".to_owned(), |delay| format!("{:.2}", delay.as_secs_f64() * 1e3))
}
