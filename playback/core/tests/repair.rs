//! Repair from end to end in virtual time: what a session keeps on one side, what its listener asks for on the other, and
//! a path that loses between them.

#![allow(clippy::expect_used, reason = "a test may fail here")]

#[path = "../examples/repair/house.rs"]
mod house;

use std::time::Duration;

use house::{House, Losses, PathModel};
use proptest::prelude::*;
use silentmon_playback_core::repair::Repair;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::time::Instant;

fn model(losses: Losses, round_trip: u64) -> PathModel {
    PathModel {
        losses,
        round_trip: Duration::from_millis(round_trip),
        jitter: Duration::ZERO,
        seed: 1,
    }
}

/// Half a minute over a path, with a player that waits as long as it is asked to.
fn some_time(model: PathModel) -> House {
    let mut house = House::new(model);
    house.run(Duration::from_secs(30));
    house
}

#[test]
fn nothing_is_asked_for_and_nothing_waits_on_a_path_that_loses_nothing() {
    for round_trip in [10, 200] {
        let mut house = House::new(PathModel {
            jitter: Duration::from_millis(15),
            ..model(Losses::Random(0.0), round_trip)
        });
        house.run(Duration::from_secs(30));
        assert_eq!((house.requests, house.again), (0, 0));
        assert_eq!(house.repair.delay_wanted(), None);
    }
}

#[test]
fn next_to_nothing_is_missing_where_the_path_loses_five_percent() {
    for round_trip in [10, 40, 100, 200] {
        let house = some_time(model(Losses::Random(0.05), round_trip));
        let missing = house.missing_after(Duration::from_secs(10));
        assert!(missing < 0.004, "{round_trip} ms: {missing}");
        let longest = Duration::from_millis(150 + round_trip / 2);
        assert!(house.repair.delay_wanted() <= Some(longest));
    }
}

#[test]
fn bursts_on_a_long_way_are_met_with_copies() {
    let house = some_time(model(Losses::Bursts(0.10, 2.0), 200));
    assert!(house.repair.plan().copy_distance > 0, "{:?}", house.repair.plan());
    let missing = house.missing_after(Duration::from_secs(10));
    assert!(missing < 0.01, "{missing}");
}

#[test]
fn long_bursts_leave_little_where_a_packet_is_asked_for_before_its_copy_comes() {
    for (round_trip, most) in [(40, 0.005), (100, 0.005), (200, 0.01)] {
        let mut house = House::new(model(Losses::Bursts(0.10, 5.0), round_trip));
        house.run(Duration::from_secs(300));
        let missing = house.missing_after(Duration::from_secs(10));
        assert!(missing < most, "{round_trip} ms: {missing}, {:?}", house.repair.plan());
    }
}

#[test]
fn a_player_that_does_not_wait_is_asked_for_no_more_than_it_grants() {
    let mut house = House::new(model(Losses::Random(0.05), 200));
    house.longest_patience = Duration::from_millis(60);
    house.run(Duration::from_secs(30));
    let wanted = house.repair.delay_wanted().expect("copies help");
    assert!(wanted <= Duration::from_millis(60), "{wanted:?}");
    assert!(house.repair.plan().copy_distance > 0);
    assert!(house.missing_after(Duration::from_secs(15)) < 0.006);
}

#[test]
fn a_packet_that_was_overtaken_is_soon_known_from_one_that_is_lost() {
    let mut house = House::new(PathModel {
        jitter: Duration::from_millis(30),
        ..model(Losses::Reordered(0.05), 40)
    });
    house.run(Duration::from_secs(30));
    assert!(house.asked() < 20, "{} of 3000 asked for", house.asked());
    assert!(house.missing_after(Duration::ZERO) <= 0.0);
}

#[test]
fn a_standstill_of_the_listener_asks_for_nothing() {
    let mut house = House::new(model(Losses::Random(0.0), 40));
    house.stall(Duration::from_secs(5), Duration::from_millis(500));
    house.run(Duration::from_secs(20));
    assert_eq!(house.asked(), 0);
}

#[test]
fn after_losses_are_over_the_delay_falls_again() {
    let mut house = some_time(model(Losses::Random(0.05), 40));
    assert!(house.repair.delay_wanted().is_some());
    house.path.losses = Losses::Random(0.0);
    house.run(Duration::from_secs(130));
    assert_eq!(house.repair.delay_wanted(), None);
    assert!(house.again < 800, "{}", house.again);
}

#[test]
fn a_connection_cut_for_half_a_second_is_no_reason_to_wait_longer() {
    let mut house = House::new(model(Losses::Random(0.0), 40));
    house.run(Duration::from_secs(5));
    house.path.losses = Losses::Random(1.0);
    house.run(Duration::from_millis(500));
    house.path.losses = Losses::Random(0.0);
    house.run(Duration::from_secs(10));
    assert_eq!(house.repair.delay_wanted(), None);
}

#[test]
fn what_is_lost_late_or_repaired_is_counted_once() {
    let mut house = some_time(model(Losses::Random(0.10), 100));
    house.path.losses = Losses::Random(0.0);
    house.run(Duration::from_secs(2));
    let (mut repaired, mut lost, mut late) = (0, 0, 0);
    for leg in Leg::BOTH {
        let report = house.repair.report(leg);
        (repaired, lost, late) = (repaired + report.repaired, lost + report.lost, late + report.late);
    }
    let (never, again) = house.totals();
    assert!(
        (again.saturating_sub(late)..=again).contains(&repaired),
        "{repaired} {again} {late}"
    );
    // Nobody misses what was lost before the first packet that came.
    assert!((never - 2..=never + late).contains(&lost), "{never} {lost} {late}");
}

#[test]
fn a_loss_before_a_pause_is_guessed_and_a_pause_is_not_asked_for_for_ever() {
    let mut repair = Repair::new(7, Duration::from_millis(10));
    let begin = Instant::from_parts(1_000, 0);
    let mut asked = Vec::new();
    for number in (0..2000_u32).filter(|number| *number < 100 && number % 20 != 0 || *number == 1999) {
        let now = begin + Duration::from_millis(20) * number;
        while let Some(due) = repair.poll_timeout().filter(|due| *due < now) {
            repair.handle_patience(Leg::Agent, Duration::from_millis(100));
            repair.handle_timeout(due);
            asked.extend(
                std::iter::from_fn(|| repair.poll_transmit()).flat_map(|request| request.numbers().collect::<Vec<_>>()),
            );
        }
        let header = AudioHeader {
            kind: AudioKind::Rtp,
            leg: Leg::Agent,
            again: false,
            codec: Codec::Pcmu,
            channel: 7,
            relay_sequence: number,
            captured: now,
        };
        repair.handle_packet(now, &header);
    }
    asked.retain(|number| *number >= 100);
    assert_eq!(asked, [100, 101, 102]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_no_number_is_asked_for_twice_within_twenty_milliseconds(
        packets in proptest::collection::vec((0_u32..400, any::<bool>(), any::<bool>(), 0_u64..60), 1..400),
        patience in 0_u64..1000,
    ) {
        const ROUND_TRIP: Duration = Duration::from_millis(50);
        const APART: Duration = Duration::from_millis(20);
        let mut repair = Repair::new(7, ROUND_TRIP);
        let mut now = Instant::from_parts(1_000, 0);
        let mut asked: Vec<(Leg, u32, Instant)> = Vec::new();
        for (number, again, agent, pause) in packets {
            let leg = if agent { Leg::Agent } else { Leg::Customer };
            let header = AudioHeader {
                kind: AudioKind::Rtp,
                leg,
                again,
                codec: Codec::Pcmu,
                channel: 7,
                relay_sequence: number.wrapping_sub(100),
                captured: Instant::from_parts(900, 0) + Duration::from_millis(20 * u64::from(number)),
            };
            repair.handle_packet(now, &header);
            let end = now + Duration::from_millis(pause);
            let mut rounds = 0;
            while let Some(due) = repair.poll_timeout().filter(|due| *due <= end) {
                now = now.max(due);
                repair.handle_patience(Leg::Agent, Duration::from_millis(patience));
                repair.handle_patience(Leg::Customer, Duration::from_millis(patience));
                repair.handle_timeout(now);
                rounds += 1;
                prop_assert!(rounds < 2000, "timers come to rest");
                while let Some(request) = repair.poll_transmit() {
                    for number in request.numbers() {
                        let same = asked.iter().filter(|(l, n, _)| (*l, *n) == (request.leg, number));
                        let same: Vec<_> = same.collect();
                        prop_assert!(same.iter().all(|(_, _, at)| now.saturating_since(*at) >= APART));
                        prop_assert!(same.len() < 3);
                        asked.push((request.leg, number, now));
                    }
                }
            }
            now = end;
        }
    }
}
