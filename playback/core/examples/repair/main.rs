//! What stays missing, what it costs and how long packets must wait, for each way of meeting losses on the relay; in
//! virtual time. `scripts/bench-repair` runs it; docs/repair.md has the outcome.

#![allow(clippy::print_stdout, reason = "the outcome is printed")]

mod house;

use std::time::Duration;

use house::{CONDITIONS, House, Losses, PathModel, Strategy};

const ROUND_TRIPS: [u64; 4] = [10, 40, 100, 200];
const STRATEGIES: [(&str, Strategy); 6] = [
    ("nothing", Strategy::Nothing),
    ("requests", Strategy::Requests),
    ("copies 1", Strategy::Copies(1)),
    ("copies 4", Strategy::Copies(4)),
    ("copies 8", Strategy::Copies(8)),
    ("chosen", Strategy::Chosen),
];
/// Unless the first argument gives other minutes.
const MINUTES: u64 = 10;
/// The listener has learnt the path by then.
const LEARNT: Duration = Duration::from_secs(10);

fn main() {
    let minutes = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let span = Duration::from_secs(60 * minutes.unwrap_or(MINUTES));
    println!(
        "Missing after {LEARNT:?} of {span:?}, extra bytes, and the player's delay in ms beyond the path's own.\n"
    );
    let names: Vec<_> = STRATEGIES.iter().map(|(name, _)| *name).collect();
    println!("| losses | round trip | {} | plan |", names.join(" | "));
    println!("|---|---|{}---|", "---|".repeat(names.len()));
    for (name, losses) in CONDITIONS {
        for round_trip in ROUND_TRIPS {
            row(name, losses, round_trip, span);
        }
    }
}

fn row(name: &str, losses: Losses, round_trip: u64, span: Duration) {
    let path = PathModel {
        losses,
        round_trip: Duration::from_millis(round_trip),
        jitter: Duration::from_millis(2),
        seed: round_trip,
    };
    let mut plan = None;
    let cells = STRATEGIES.map(|(_, strategy)| {
        let mut house = House::with(path, strategy);
        if let Strategy::Copies(distance) = strategy {
            house.usual_patience = Duration::from_millis(20) * u32::from(distance) + Duration::from_millis(7);
        }
        house.run(span);
        plan = Some(house.repair.plan());
        let missing = 100.0 * house.missing_after(LEARNT);
        let (extra, delay) = (100.0 * house.extra(), house.patience().as_millis());
        format!("{missing:.2} % +{extra:.0} % {delay}")
    });
    let plan = plan.map_or_else(String::new, |plan| {
        let order = if plan.asks_first { " before them" } else { "" };
        format!("copies {}, tries {}{order}", plan.copy_distance, plan.tries)
    });
    println!("| {name} | {round_trip} | {} | {plan} |", cells.join(" | "));
}
