//! Where packets were lost: in the call, or in the mirror.

use silentmon_proto::quality::{CallQuality, Verdict};
use silentmon_proto::relay::LegStatus;

use super::*;

/// Both legs of a session, as far as `heard`; then a second and a half more, so that all is judged.
fn play(house: &mut House, packets: std::ops::Range<u16>, heard: impl Fn(u16, Leg) -> bool) -> [LegStatus; 2] {
    let (begin, end) = (packets.start, packets.end);
    for number in begin..end + 75 {
        let shows = |leg| number >= end || heard(number, leg);
        if shows(Leg::Agent) {
            house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
        }
        if shows(Leg::Customer) {
            house.packet(GATEWAY, PHONE, &rtp(0, number, &speech(number)));
        }
        house.pass(Duration::from_millis(20));
    }
    house.last_status().legs
}

fn listening() -> House {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house
}

fn lost(leg: &LegStatus) -> (u64, u64) {
    (leg.lost_in_call, leg.lost_in_mirror)
}

fn quality(leg: &LegStatus) -> CallQuality {
    leg.quality.expect("packets came")
}

#[test]
fn an_undamaged_call_misses_nothing_and_is_good() {
    let mut house = listening();
    let [agent, customer] = play(&mut house, 0..200, |_, _| true);
    assert_eq!((lost(&agent), lost(&customer)), ((0, 0), (0, 0)));
    let figures = quality(&agent).figures();
    assert_eq!(
        (figures.r, figures.verdict, figures.jitter_ms),
        (Some(93.2), Some(Verdict::Good), Some(0.0))
    );
    assert_eq!(quality(&agent).packet_time(), Duration::from_millis(20));
}

#[test]
fn what_only_one_leg_misses_was_lost_in_the_call() {
    let mut house = listening();
    let burst = |number: u16| (100..103).contains(&number) || number == 105;
    let [agent, customer] = play(&mut house, 0..300, |number, leg| leg == Leg::Customer || !burst(number));
    assert_eq!((lost(&agent), lost(&customer)), ((4, 0), (0, 0)));
    let (call, mirror) = (quality(&agent).call, quality(&agent).mirror);
    assert_eq!((call.lost, call.bursts, call.burst_packets, call.runs), (4, 1, 6, 2));
    assert_eq!((mirror.lost, mirror.packets), (0, call.packets));
}

#[test]
fn both_legs_may_lose_in_the_call_within_the_same_second() {
    let mut house = listening();
    let shown = |number: u16, leg| match leg {
        Leg::Agent => number % 50 != 10,
        Leg::Customer => number % 50 != 35,
    };
    let [agent, customer] = play(&mut house, 0..300, shown);
    assert_eq!((lost(&agent), lost(&customer)), ((6, 0), (6, 0)));
}

#[test]
fn what_both_legs_miss_at_the_same_moment_was_lost_in_the_mirror() {
    let mut house = listening();
    let shown = |number: u16, leg| !(100..110).contains(&number) && (number != 150 || leg != Leg::Agent);
    let [agent, customer] = play(&mut house, 0..300, shown);
    assert_eq!((lost(&agent), lost(&customer)), ((1, 10), (0, 10)));
    assert_eq!((quality(&agent).mirror.bursts, quality(&agent).call.bursts), (1, 0));
}

#[test]
fn what_is_missing_while_the_capture_drops_frames_was_lost_in_the_mirror() {
    let mut house = listening();
    play(&mut house, 0..100, |_, _| true);
    for number in (175..225).filter(|number| *number != 200) {
        house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
        house.pass(Duration::from_millis(5));
    }
    let health = CaptureHealth {
        last_frame: Some(house.now),
        dropped: 1,
        ..CaptureHealth::default()
    };
    house.engine.handle_capture_health(health, house.now);
    house.pass(Duration::from_secs(2));
    house.start(ANNA, "4711", None);
    let [agent, _] = house.last_status().legs;
    assert_eq!(lost(&agent), (0, 1));
}

#[test]
fn a_packet_that_comes_after_newer_ones_was_never_lost() {
    let mut house = listening();
    for number in [0, 1, 2, 5, 4, 3, 6, 9, 8, 7, 10, 12, 11] {
        house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
        house.pass(Duration::from_millis(20));
    }
    let [agent, _] = play(&mut house, 13..60, |_, leg| leg == Leg::Agent);
    assert_eq!(lost(&agent), (0, 0));
    assert!(
        (61..=135).contains(&quality(&agent).call.packets),
        "one each, by the last status"
    );
}

/// A receiver report of the gateway's on the agent's stream (RFC 3550 section 6.4.2).
fn receiver_report(lost: u8, highest: u16) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    report.extend(0x1234_5678_u32.to_be_bytes());
    report.extend([0, 0, 0, lost, 0, 0]);
    report.extend(highest.to_be_bytes());
    report.extend([0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0]);
    report
}

/// The agent's leg loses a packet a second; after every second the gateway reports how many it misses.
fn reported(admits: impl Fn(u8) -> u8) -> LegStatus {
    let mut house = listening();
    for second in 0..8_u8 {
        for number in (0..50).map(|number| u16::from(second) * 50 + number) {
            if number % 50 != 25 {
                house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
            }
            // The other leg misses the same moments: without a report this is the mirror.
            if number % 50 != 25 {
                house.packet(GATEWAY, PHONE, &rtp(0, number, &speech(number)));
            }
            house.pass(Duration::from_millis(20));
        }
        let report = receiver_report(admits(second), u16::from(second) * 50 + 49);
        house.packet("10.1.1.2:16385", "10.1.1.20:24679", &report);
    }
    house.pass(Duration::from_secs(1));
    let [agent, _] = house.last_status().legs;
    agent
}

#[test]
fn what_the_hearing_phone_admits_to_miss_was_lost_in_the_call() {
    let agent = reported(|second| second + 1);
    assert!(agent.lost_in_call >= 4, "{:?}", lost(&agent));
    assert!(
        agent.lost_in_mirror <= 2,
        "{:?}: only before the first report",
        lost(&agent)
    );
    let told = quality(&agent).reported.expect("a report was seen");
    assert_eq!((told.lost, told.jitter_us), (8, 10_000));
}

#[test]
fn what_the_hearing_phone_does_not_miss_was_lost_in_the_mirror() {
    let agent = reported(|_| 0);
    assert_eq!(agent.lost_in_call, 0);
    assert!(agent.lost_in_mirror >= 5, "{:?}", lost(&agent));
}
