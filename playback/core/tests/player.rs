//! The player as its users see it: packets in, sound out, in virtual time.
#![allow(
    clippy::expect_used,
    clippy::similar_names,
    reason = "a test may fail here; played and player"
)]

mod common;

use common::{Dice, Phone, START, Sent, decoded, hangover, heard, ms, play, play_with, speech, steady, trimmed, turns};
use proptest::prelude::*;
use silentmon_playback_core::g711::Law;
use silentmon_playback_core::player::{Player, PlayoutSettings, Preset, to_i16};
use silentmon_playback_core::quality::Concealment;
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, AudioKind};

/// A jitter that delays by up to 40 ms without ever reordering more than the buffer can put right.
fn jittered(mut sent: Vec<Sent>, most: u64, seed: u64) -> Vec<Sent> {
    let mut dice = Dice(seed);
    for packet in &mut sent {
        packet.arrives += ms(dice.roll(most + 1));
    }
    sent
}

#[test]
fn an_undamaged_call_plays_exactly_as_it_decodes_agent_left_customer_right() {
    let agent = Phone::new(Leg::Agent).talk(500, 160);
    let mut customer = Phone::new(Leg::Customer);
    customer.payload_type = 8;
    let customer = customer.talk(500, 160);
    let (player, [left, right]) = play([agent.clone(), customer.clone()].concat(), ms(11_000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    assert_eq!(heard(&right, &decoded(&customer)), decoded(&customer));
    let report = player.report(Leg::Agent);
    assert_eq!(report.audible, ms(10_000));
    assert_eq!(report.first_audio, Some(START + ms(60)));
    assert_eq!(
        (report.received, report.lost, report.late, report.concealed),
        (500, 0, 0, ms(0))
    );
    assert!((ms(60)..=ms(62)).contains(&report.delay.p95), "{:?}", report.delay);
}

#[test]
fn forty_milliseconds_of_jitter_leave_no_trace() {
    for seed in 1..6 {
        let agent = Phone::new(Leg::Agent).talk(400, 160);
        let (player, [left, _]) = play(jittered(agent.clone(), 40, seed), ms(9_000));
        assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent), "seed {seed}");
        assert_eq!(player.report(Leg::Agent).late, 0);
    }
}

#[test]
fn jitter_before_the_capture_leaves_no_trace_either() {
    for seed in 1..6 {
        let mut dice = Dice(seed);
        let agent = Phone::new(Leg::Agent).talk(400, 160);
        let mut sent = agent.clone();
        for packet in &mut sent {
            packet.captured += ms(dice.roll(41));
            packet.arrives = packet.captured;
        }
        let (_, [left, _]) = play(sent, ms(9_000));
        assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent), "seed {seed}");
    }
}

#[test]
fn both_legs_take_the_same_time_from_capture_to_ear() {
    let mut agent = Phone::new(Leg::Agent);
    let mut customer = Phone::new(Leg::Customer);
    customer.at = START + ms(700);
    let mut slower = turns(&mut customer, 8);
    for packet in &mut slower {
        packet.arrives += ms(80);
    }
    let (_, [left, right]) = play([turns(&mut agent, 10), slower].concat(), ms(11_000));
    let last = |samples: &[i16]| samples.iter().rposition(|&sample| sample != 0).expect("heard");
    let (left, right) = (last(&left), last(&right));
    // The last word of the customer was said 1300 ms before that of the agent.
    let apart = (left - right) / 8;
    assert!((1285..=1315).contains(&apart), "{apart}");
}

#[test]
fn reordered_packets_are_put_in_order() {
    let agent = Phone::new(Leg::Agent).talk(100, 160);
    let mut sent = agent.clone();
    for pair in sent.chunks_mut(7) {
        pair[0].arrives += ms(45);
    }
    let (player, [left, _]) = play(sent, ms(3000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    assert_eq!(player.report(Leg::Agent).late, 0);
}

#[test]
fn a_first_packet_that_comes_second_is_still_played() {
    let agent = Phone::new(Leg::Agent).talk(100, 160);
    let mut sent = agent.clone();
    sent[0].arrives += ms(25);
    let (player, [left, _]) = play(sent, ms(3000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    assert_eq!(player.report(Leg::Agent).lost, 0);
}

#[test]
fn duplicates_are_played_once_and_counted() {
    let agent = Phone::new(Leg::Agent).talk(100, 160);
    let mut sent = agent.clone();
    let mut again = agent.clone();
    for (n, packet) in again.iter_mut().enumerate() {
        packet.arrives += ms(n as u64 * 7 % 150);
    }
    sent.append(&mut again);
    let (player, [left, _]) = play(sent, ms(3000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    let report = player.report(Leg::Agent);
    assert_eq!((report.received, report.duplicates, report.late), (100, 100, 0));
}

#[test]
fn a_lost_packet_is_concealed_counted_and_shifts_nothing() {
    let agent = Phone::new(Leg::Agent).talk(100, 160);
    let mut sent = agent.clone();
    sent.remove(50);
    let (player, [left, _]) = play(sent, ms(3000));
    let original = decoded(&agent);
    let played = heard(&left, &original);
    assert_eq!(played[..50 * 160], original[..50 * 160]);
    assert_eq!(played[51 * 160 + 80..], original[51 * 160 + 80..]);
    assert!(played[50 * 160..51 * 160].iter().any(|&sample| sample != 0));
    let report = player.report(Leg::Agent);
    assert_eq!((report.lost, report.concealed, report.audible), (1, ms(20), ms(1980)));
}

#[test]
fn a_late_packet_is_dropped_and_counted() {
    let agent = Phone::new(Leg::Agent).talk(100, 160);
    let mut sent = agent.clone();
    sent[50].arrives += ms(120);
    let (player, [left, _]) = play(sent, ms(3000));
    let report = player.report(Leg::Agent);
    assert_eq!((report.lost, report.late, report.concealed), (0, 1, ms(20)));
    assert_eq!(
        heard(&left, &decoded(&agent))[51 * 160 + 80..],
        decoded(&agent)[51 * 160 + 80..]
    );
}

#[test]
fn sequence_numbers_and_timestamps_may_wrap() {
    let mut phone = Phone::new(Leg::Agent);
    phone.sequence = u16::MAX - 20;
    phone.timestamp = u32::MAX - 30 * 160 - 77;
    let agent = phone.talk(100, 160);
    let (player, [left, _]) = play(agent.clone(), ms(3000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    assert_eq!(player.report(Leg::Agent).resyncs, 0);
}

#[test]
fn packets_of_10_to_60_ms_may_follow_each_other() {
    let mut phone = Phone::new(Leg::Agent);
    let agent: Vec<Sent> = [80, 160, 240, 320, 480, 160, 80, 480]
        .iter()
        .cycle()
        .take(80)
        .flat_map(|&length| phone.talk(1, length))
        .collect();
    let mut sent = agent.clone();
    // A packet leaves the phone when its last sample was spoken.
    for packet in &mut sent {
        let length = packet.rtp.len() as u64 - 12;
        packet.captured += std::time::Duration::from_micros(length * 125);
        packet.arrives = packet.captured;
    }
    let (_, [left, _]) = play(sent, ms(4000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
}

#[test]
fn a_change_between_the_two_laws_is_followed() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(20, 160);
    phone.payload_type = 8;
    agent.extend(phone.talk(20, 160));
    let (player, [left, _]) = play(agent.clone(), ms(2000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    assert_eq!(player.report(Leg::Agent).resyncs, 0);
}

#[test]
fn a_pause_that_was_not_sent_is_silence_and_no_loss() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(20, 160);
    agent.extend(hangover(&mut phone));
    phone.pause(8000);
    agent.extend(phone.talk(20, 160));
    let (player, [left, _]) = play(agent.clone(), ms(4000));
    let played = trimmed(&left);
    assert_eq!(played[..3200], decoded(&agent)[..3200]);
    assert!(played[3200..4000 + 8000].iter().all(|&sample| sample == 0));
    assert!(played[12000..].starts_with(&decoded(&agent)[4000..]));
    let report = player.report(Leg::Agent);
    assert_eq!((report.lost, report.concealed, report.resyncs), (0, ms(0), 0));
}

#[test]
fn the_noise_of_the_line_ends_at_once_where_a_sender_pauses() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = Vec::new();
    for _ in 0..4 {
        agent.extend(phone.talk(50, 160));
        // Hangover with noise of 8 of 32,768.
        agent.extend((0..5).map(|_| phone.send(&[0xfe; 160])));
        phone.pause(8000);
    }
    agent.extend(phone.talk(20, 160));
    let (player, [left, _]) = play(agent, ms(10_000));
    let played = trimmed(&left);
    let turn = 55 * 160 + 8000;
    for pause in [1, 2, 3] {
        let begin = pause * turn + 55 * 160;
        assert!(played[begin - 1] != 0, "pause {pause}");
        assert!(
            played[begin + 40..begin + 8000].iter().all(|&sample| sample == 0),
            "pause {pause}"
        );
    }
    assert_eq!(player.report(Leg::Agent).concealed, ms(0));
}

#[test]
fn comfort_noise_and_suppressed_events_are_silence_and_no_loss() {
    let mut phone = Phone::new(Leg::Agent);
    let mut sent = phone.talk(20, 160);
    phone.payload_type = 13;
    for _ in 0..5 {
        sent.push(phone.send(&[0x30]));
        phone.pause(799);
    }
    phone.payload_type = 0;
    sent.extend(phone.talk(20, 160));
    let mut player = Player::new(steady());
    let [left, _] = play_with(&mut player, sent, ms(1600));

    phone.pause(2400);
    phone.payload_type = 101;
    for _ in 0..5 {
        let header = phone.packet(&[]);
        let kept_back = AudioHeader {
            kind: AudioKind::Suppressed,
            ..common::header(Leg::Agent, phone.at)
        };
        player.handle_packet(START + ms(1600), &kept_back, &header);
        phone.sequence += 1;
    }
    phone.payload_type = 0;
    for packet in phone.talk(3, 160) {
        player.handle_packet(START + ms(1600), &packet.header(), &packet.rtp);
    }
    player.pull(START + ms(1600), &mut vec![[0.0; 2]; 3200]);

    assert_eq!(heard(&left, &vec![0; 2 * 3200 + 4000]).len(), 2 * 3200 + 4000);
    let report = player.report(Leg::Agent);
    assert_eq!((report.lost, report.concealed, report.suppressed), (0, ms(0), 5));
    assert_eq!(report.received, 48);
}

#[test]
fn another_ssrc_is_heard_without_a_sample_lost() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(30, 160);
    phone.ssrc = 99;
    phone.sequence = 7;
    phone.timestamp = 4_000_000_000;
    agent.extend(phone.talk(30, 160));
    let (player, [left, _]) = play(agent.clone(), ms(2000));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    let report = player.report(Leg::Agent);
    assert_eq!((report.resyncs, report.lost, report.late), (1, 0, 0));
}

#[test]
fn a_straggler_of_the_old_ssrc_does_not_bring_it_back() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(30, 160);
    phone.ssrc = 99;
    agent.extend(phone.talk(30, 160));
    let mut sent = agent.clone();
    sent[29].arrives += ms(25);
    let (player, [left, _]) = play(sent, ms(2000));
    let report = player.report(Leg::Agent);
    assert_eq!((report.resyncs, report.late, report.received), (1, 1, 59));
    assert_eq!(heard(&left, &decoded(&agent))[30 * 160..], decoded(&agent)[30 * 160..]);
}

#[test]
fn timestamps_that_jump_either_way_begin_the_time_line_anew() {
    for jump in [1_000_000_u32, 0_u32.wrapping_sub(1_000_000), 0x8000_0000] {
        let mut phone = Phone::new(Leg::Agent);
        let mut agent = phone.talk(30, 160);
        phone.timestamp = phone.timestamp.wrapping_add(jump);
        agent.extend(phone.talk(30, 160));
        let (player, [left, _]) = play(agent.clone(), ms(2000));
        assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent), "jump {jump}");
        assert_eq!(player.report(Leg::Agent).resyncs, 1, "jump {jump}");
    }
}

#[test]
fn a_hold_of_minutes_is_survived_whether_the_timestamps_go_on_or_not() {
    for goes_on in [true, false] {
        let mut phone = Phone::new(Leg::Agent);
        let mut agent = phone.talk(30, 160);
        agent.extend(hangover(&mut phone));
        let stopped = phone.timestamp;
        phone.pause(8000 * 180);
        if !goes_on {
            phone.timestamp = stopped;
        }
        agent.extend(phone.talk(30, 160));
        let (player, [left, _]) = play(agent.clone(), ms(183_000));
        let loud: Vec<i16> = left.into_iter().filter(|&sample| sample != 0).collect();
        let expected: Vec<i16> = decoded(&agent).into_iter().filter(|&sample| sample != 0).collect();
        assert!(loud.starts_with(&expected), "timestamps go on: {goes_on}");
        let report = player.report(Leg::Agent);
        assert_eq!((report.late, report.lost, report.concealed), (0, 0, ms(0)));
    }
}

#[test]
fn loss_on_the_relay_is_counted_by_its_own_numbers() {
    let mut player = Player::new(PlayoutSettings::default());
    for number in [u32::MAX - 1, u32::MAX, 2, 1, 5, 5] {
        let header = AudioHeader {
            relay_sequence: number,
            ..common::header(Leg::Customer, START)
        };
        player.handle_packet(START, &header, &[]);
    }
    assert_eq!(player.report(Leg::Customer).lost_on_relay, 3);
    assert_eq!(player.report(Leg::Agent).lost_on_relay, 0);
}

#[test]
fn other_codecs_are_counted_and_silent() {
    let mut phone = Phone::new(Leg::Agent);
    phone.payload_type = 15;
    let (player, [left, _]) = play(phone.talk(10, 20), ms(500));
    assert!(left.iter().all(|&sample| sample == 0));
    assert_eq!(player.report(Leg::Agent).undecodable, 10);
    assert_eq!(player.report(Leg::Agent).mos(), None);
}

#[test]
fn the_level_follows_the_sound() {
    let mut phone = Phone::new(Leg::Agent);
    let sent: Vec<Sent> = (0..50).map(|_| phone.send(&[0x80; 160])).collect();
    let (player, _) = play(sent, ms(900));
    let level = player.report(Leg::Agent).level_dbfs;
    assert!((-0.5..0.0).contains(&level), "{level}");
    assert!(player.report(Leg::Customer).level_dbfs < -90.0);
}

#[test]
fn tells_how_much_is_still_to_be_played() {
    let agent = Phone::new(Leg::Agent).talk(10, 160);
    let mut player = Player::new(steady());
    assert_eq!(player.buffered(), ms(0));
    let [mut left, _] = play_with(&mut player, agent.clone(), ms(200));
    let rest = player.buffered();
    assert_eq!(rest, ms(60));
    let mut frames = vec![[0.0; 2]; 480];
    player.pull(START + ms(200), &mut frames);
    left.extend(frames.into_iter().map(|[left, _]| to_i16(left)));
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
    assert_eq!(player.buffered(), ms(0));
}

#[test]
fn pulls_of_any_size_give_the_same_sound() {
    let agent = Phone::new(Leg::Agent).talk(50, 160);
    let mut player = Player::new(steady());
    let mut left = Vec::new();
    let mut waiting = agent.iter().peekable();
    let mut sizes = [1, 37, 80, 5, 64].iter().cycle();
    while left.len() < 12_000 {
        let now = START + std::time::Duration::from_micros(125 * left.len() as u64);
        while let Some(packet) = waiting.next_if(|packet| packet.arrives <= now) {
            player.handle_packet(now, &packet.header(), &packet.rtp);
        }
        let mut frames = vec![[0.0; 2]; *sizes.next().expect("endless")];
        player.pull(now, &mut frames);
        left.extend(frames.into_iter().map(|[left, _]| to_i16(left)));
    }
    assert_eq!(heard(&left, &decoded(&agent)), decoded(&agent));
}

/// Loud marks that packets are told apart by.
const MARKS: usize = 48;

/// A payload that tells which packet it is: the same code throughout.
fn marked(n: usize) -> [u8; 160] {
    [0x80 | u8::try_from(n % MARKS).expect("small"); 160]
}

/// Which of the marks a sample is.
fn mark(sample: i16) -> usize {
    (0..MARKS)
        .find(|&n| Law::Mu.decode(marked(n)[0]) == sample)
        .expect("a sample that was sent")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_packet_is_played_twice_or_out_of_order(
        fates in proptest::collection::vec((0_u64..100, 0_u64..200, 0_u64..200), 50..300),
        timestamp in any::<u32>(),
        sequence in any::<u16>(),
    ) {
        let mut phone = Phone::new(Leg::Agent);
        phone.timestamp = timestamp;
        phone.sequence = sequence;
        let mut sent = Vec::new();
        for (n, &(fate, delay, again)) in fates.iter().enumerate() {
            let mut packet = phone.send(&marked(n));
            packet.arrives += ms(delay * delay / 200);
            let mut second = packet.clone();
            second.arrives += ms(again);
            match fate {
                0..10 => {}
                10..30 => sent.extend([packet, second]),
                _ => sent.push(packet),
            }
        }
        let settings = PlayoutSettings { concealment: Concealment::None, ..PlayoutSettings::default() };
        let mut player = Player::new(settings);
        let [left, _] = play_with(&mut player, sent, ms(20 * fates.len() as u64 + 500));
        let mut highest = None;
        let mut played = 0;
        for sample in left.into_iter().filter(|&sample| sample != 0) {
            let number = mark(sample);
            if highest == Some(number) {
                played += 1;
                prop_assert!(played <= 160, "packet {number} was played twice");
                continue;
            }
            if let Some(highest) = highest {
                let step = (number + MARKS - highest) % MARKS;
                prop_assert!(step < MARKS / 2, "packet {number} came after {highest}");
            }
            highest = Some(number);
            played = 1;
        }
    }

    #[test]
    fn no_packet_is_played_later_than_the_longest_delay_allows(
        fates in proptest::collection::vec((0_u64..20, 0_u64..900), 50..150),
        preset in 0_usize..3,
    ) {
        let mut phone = Phone::new(Leg::Agent);
        let mut sent = Vec::new();
        let mut since_late = 0;
        for (n, &(fate, delay)) in fates.iter().enumerate() {
            let mut packet = phone.send(&marked(n));
            // More than two late ones in a row would be a path that became slower.
            if fate == 0 && since_late > 3 {
                packet.arrives += ms(delay);
                since_late = 0;
            }
            since_late += 1;
            sent.push(packet);
        }
        let settings = PlayoutSettings {
            preset: Preset::ALL[preset],
            max_delay: ms(150),
            concealment: Concealment::None,
            ..PlayoutSettings::default()
        };
        let mut player = Player::new(settings);
        let [left, _] = play_with(&mut player, sent, ms(20 * fates.len() as u64 + 1000));
        let mut packet = 0;
        for (at, sample) in left.into_iter().enumerate().filter(|&(_, sample)| sample != 0) {
            packet += (mark(sample) + MARKS - packet % MARKS) % MARKS;
            prop_assert!(at <= (packet * 20 + 20 + 150 + 10) * 8, "packet {packet} at {} ms", at / 8);
        }
    }

    #[test]
    fn any_packets_at_any_time_never_panic_and_stay_bounded(
        packets in proptest::collection::vec(
            (any::<u16>(), any::<u32>(), 0_u32..3, 0_u8..20, 0_usize..600, any::<u32>(), 0_u64..50),
            1..200,
        ),
    ) {
        let mut player = Player::new(PlayoutSettings::default());
        let mut now = START;
        for (sequence, timestamp, ssrc, payload_type, length, captured, wait) in packets {
            now += ms(wait);
            let mut phone = Phone::new(Leg::Customer);
            phone.sequence = sequence;
            phone.timestamp = timestamp;
            phone.ssrc = ssrc;
            phone.payload_type = payload_type;
            let captured = START + ms(u64::from(captured) / 1000);
            player.handle_packet(now, &common::header(Leg::Customer, captured), &phone.packet(&speech(timestamp, length)));
            let mut frames = vec![[0.0; 2]; usize::try_from(wait).expect("short") * 8];
            player.pull(now, &mut frames);
            prop_assert!(player.buffered() < ms(20_000), "{:?}", player.buffered());
            prop_assert!(frames.iter().flatten().all(|sample| sample.abs() <= 1.0));
            let repairs = (timestamp % 3 == 0).then_some(ms(wait));
            player.expect_repairs(repairs);
            prop_assert!(player.report(Leg::Customer).target <= ms(1000));
        }
    }
}
