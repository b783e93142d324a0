//! How the delay follows the network, and the clocks that run apart, in virtual time.
#![allow(
    clippy::expect_used,
    clippy::similar_names,
    reason = "a test may fail here; played and player"
)]

mod common;

use common::{Phone, START, Sent, decoded, hangover, heard, ms, play, play_with, steady, trimmed, turns};
use silentmon_playback_core::g711::Law;
use silentmon_playback_core::player::{Player, PlayoutSettings, Preset, to_i16};
use silentmon_proto::ids::Leg;
use silentmon_proto::time::Instant;

#[test]
fn a_path_that_becomes_slower_for_good_is_followed_without_a_sample_lost() {
    for slower in [150, 700] {
        let agent = Phone::new(Leg::Agent).talk(200, 160);
        let mut sent = agent.clone();
        for packet in &mut sent[100..] {
            packet.arrives += ms(slower);
        }
        let (player, [left, _]) = play(sent, ms(6_000));
        assert_eq!(player.report(Leg::Agent).resyncs, 0);
        let original = decoded(&agent);
        let played = trimmed(&left);
        assert_eq!(played[..100 * 160], original[..100 * 160]);
        let rest = &original[100 * 160 + 80..];
        assert!(
            left.windows(rest.len()).any(|stretch| stretch == rest),
            "slower by {slower}"
        );
        let delay = player.patience(Leg::Agent);
        assert!((ms(39)..ms(45)).contains(&delay), "{delay:?}");
    }
}

/// Lets packets come all at once.
fn hold_back(packets: &mut [Sent], until: Instant) {
    for packet in packets {
        packet.arrives = until;
    }
}

/// Packets 60 to 69 come with the 70th.
fn stalled(agent: &[Sent]) -> Vec<Sent> {
    let mut sent = agent.to_vec();
    let end = sent[70].arrives;
    hold_back(&mut sent[60..70], end);
    sent
}

#[test]
fn after_a_stall_the_low_preset_is_back_at_its_old_delay_within_ten_seconds() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(80, 160);
    for _ in 0..12 {
        agent.extend(hangover(&mut phone));
        agent.extend(phone.talk(20, 160));
    }
    let length = ms(20 * agent.len() as u64 - 100);
    let (player, _) = play(stalled(&agent), length);
    assert!(length < ms(10_000));
    let delay = player.patience(Leg::Agent);
    assert!((ms(39)..ms(45)).contains(&delay), "{delay:?}");
}

#[test]
fn after_a_stall_the_smooth_preset_plays_all_that_came() {
    let agent = Phone::new(Leg::Agent).talk(150, 160);
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        ..PlayoutSettings::default()
    });
    let [left, _] = play_with(&mut player, stalled(&agent), ms(4_000));
    let original = decoded(&agent);
    let played = heard(&left, &original);
    assert_eq!(played[..60 * 160], original[..60 * 160]);
    let rest = &original[60 * 160 + 80..];
    assert!(left.windows(rest.len()).any(|stretch| stretch == rest));
    assert_eq!(player.report(Leg::Agent).lengthened, ms(134));
}

#[test]
fn the_delay_of_a_stall_is_gone_ten_seconds_later() {
    let mut phone = Phone::new(Leg::Agent);
    let agent = turns(&mut phone, 16);
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        ..PlayoutSettings::default()
    });
    play_with(&mut player, stalled(&agent), ms(15_900));
    let delay = player.patience(Leg::Agent);
    assert!(delay < ms(65), "{delay:?}");
}

/// Words of 160 ms with so many packets of quiet between them, and a pause of 300 ms after every eighth.
fn words(phone: &mut Phone, count: usize, quiet: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    for word in 1..=count {
        sent.extend(phone.talk(8, 160));
        let quiet = if word % 8 == 0 { 15 } else { quiet };
        sent.extend((0..quiet).map(|_| phone.send(&[0xff; 160])));
    }
    sent
}

/// Lengths of all that is quiet for more than 5 ms, in samples.
fn quiet_stretches(played: &[i16]) -> Vec<usize> {
    let loud_at: Vec<usize> = (0..played.len()).filter(|&at| played[at] != 0).collect();
    loud_at
        .windows(2)
        .map(|pair| pair[1] - pair[0] - 1)
        .filter(|&length| length > 40)
        .collect()
}

#[test]
fn delay_is_given_back_in_pauses_and_neither_within_words_nor_to_their_last() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(80, 160);
    // 160 ms of quiet between words.
    agent.extend(words(&mut phone, 48, 8));
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        ..PlayoutSettings::default()
    });
    let [left, _] = play_with(&mut player, stalled(&agent), ms(18_000));
    let quiet = quiet_stretches(&left[2 * 8000..17 * 8000]);
    let in_words = quiet.iter().filter(|&&length| length == 1280).count();
    let pauses: Vec<usize> = quiet.iter().copied().filter(|&length| length != 1280).collect();
    assert!(in_words >= 35 && pauses.len() <= 6, "{quiet:?}");
    // 10 ms in case the next stall is worse are added to the first.
    assert!(pauses.iter().all(|length| (800..=2480).contains(length)), "{quiet:?}");
    assert!(pauses.iter().filter(|&&length| length > 2400).count() <= 1, "{quiet:?}");
    let shortened = player.report(Leg::Agent).shortened;
    assert!(shortened > ms(100), "{shortened:?}");
}

#[test]
fn delay_that_may_be_needed_is_added_in_pauses_and_not_within_words() {
    let mut phone = Phone::new(Leg::Agent);
    let mut agent = phone.talk(30, 160);
    // 80 ms of quiet between words.
    agent.extend(words(&mut phone, 32, 4));
    // A stall, after which the next may be worse by a little.
    let end = agent[155].arrives;
    hold_back(&mut agent[150..155], end);
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        ..PlayoutSettings::default()
    });
    let [left, _] = play_with(&mut player, agent, ms(9_000));
    let quiet = quiet_stretches(&left[20_000..]);
    let lengthened = player.report(Leg::Agent).lengthened;
    assert!((ms(40)..ms(48)).contains(&lengthened), "{lengthened:?} {quiet:?}");
    let in_words = quiet.iter().filter(|&&length| length == 640).count();
    assert!(in_words >= 20, "{quiet:?}");
    assert!(quiet.iter().all(|&length| length == 640 || length >= 2400), "{quiet:?}");
    assert!(quiet.iter().any(|&length| length > 2440), "{quiet:?}");
}

#[test]
fn speech_is_not_lengthened_for_what_no_packet_has_needed() {
    let mut sent = Phone::new(Leg::Agent).talk(1500, 160);
    // The path becomes slower for good; ten seconds later that is what the usual packet needs, and reordering would need more.
    for packet in &mut sent[400..] {
        packet.arrives += ms(150);
    }
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        ..PlayoutSettings::default()
    });
    play_with(&mut player, sent, ms(29_000));
    let report = player.report(Leg::Agent);
    assert!((ms(66)..ms(70)).contains(&report.target), "{:?}", report.target);
    assert!(
        (ms(84)..ms(110)).contains(&report.lengthened),
        "{:?}",
        report.lengthened
    );
}

#[test]
fn a_talkspurt_whose_first_packet_is_late_begins_when_that_comes_and_loses_nothing_of_it() {
    for comfort_noise in [false, true] {
        let mut phone = Phone::new(Leg::Agent);
        let mut sent = phone.talk(50, 160);
        sent[49].arrives += ms(80);
        if comfort_noise {
            phone.payload_type = 13;
            sent.push(phone.send(&[40]));
            phone.pause(159);
            phone.payload_type = 0;
        }
        phone.pause(8000);
        let mut answer = phone.talk(50, 160);
        let after_it = answer[4].arrives;
        hold_back(&mut answer[..5], after_it);
        sent.extend(answer.iter().cloned());
        phone.pause(8000);
        let last = phone.talk(50, 160);
        sent.extend(last.iter().cloned());
        let (player, [left, _]) = play(sent, ms(5_500));
        for (talkspurt, delay) in [(answer, 80), (last, 60)] {
            let whole = &decoded(&talkspurt)[80..];
            let begins = left.windows(whole.len()).position(|stretch| stretch == whole);
            let expected = (talkspurt[0].captured - START + ms(delay + 10)).as_millis() * 8;
            assert_eq!(
                begins.map(|sample| sample as u128),
                Some(expected),
                "comfort noise {comfort_noise}"
            );
        }
        let delay = player.patience(Leg::Agent);
        assert!((ms(39)..ms(45)).contains(&delay), "{delay:?}");
        assert_eq!(player.report(Leg::Agent).concealed, ms(0), "a pause is no loss");
    }
}

#[test]
fn no_packet_is_waited_for_longer_than_the_longest_delay() {
    let agent = Phone::new(Leg::Agent).talk(300, 160);
    let mut sent = agent.clone();
    let end = sent[130].arrives;
    for packet in &mut sent[100..130] {
        packet.arrives = end;
    }
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        max_delay: ms(200),
        ..PlayoutSettings::default()
    });
    let [left, _] = play_with(&mut player, sent, ms(7_000));
    let original = decoded(&agent);
    let end = left.windows(160).rposition(|stretch| stretch == &original[299 * 160..]);
    let delay = end.and_then(|end| (end / 8).checked_sub(299 * 20));
    assert!(delay.is_some_and(|delay| delay <= 200), "{delay:?}");
    assert_eq!(player.report(Leg::Agent).target, ms(200));
}

/// Plays with a card whose clock is off: `period` nanoseconds a tick of 10 ms.
fn play_on_card(settings: PlayoutSettings, sent: &[Sent], period: u64) -> (Player, Vec<i16>) {
    let mut player = Player::new(settings);
    let mut waiting = sent.iter().peekable();
    let mut out = Vec::new();
    let mut now = START;
    while waiting.peek().is_some() {
        while let Some(packet) = waiting.next_if(|packet| packet.arrives <= now) {
            player.handle_packet(packet.arrives, &packet.header(), &packet.rtp);
        }
        let mut frames = [[0.0; 2]; 80];
        player.pull(now, &mut frames);
        out.extend(frames.map(|[left, _]| to_i16(left)));
        now += std::time::Duration::from_nanos(period);
    }
    (player, out)
}

/// A tone of 400 Hz, as µ-law.
#[expect(clippy::cast_possible_truncation, reason = "8,000 at most")]
fn tone(phone: &mut Phone, packets: usize) -> Vec<Sent> {
    let sample = |n: usize| ((n as f64 * std::f64::consts::TAU / 20.0).sin() * 8_000.0) as i16;
    let payload: Vec<u8> = (0..160).map(|n| Law::Mu.encode(sample(n))).collect();
    (0..packets).map(|_| phone.send(&payload)).collect()
}

#[test]
fn speech_that_comes_late_goes_on_in_phase_with_what_was_made_up_for_it() {
    // 125 Hz: of the 14 ms that were made up, 8 ms are one period.
    let sample = |n: usize| Law::Mu.encode((i16::try_from(n % 64).expect("less than 64") - 32) * 250);
    let mut phone = Phone::new(Leg::Agent);
    let mut sent: Vec<Sent> = (0..100)
        .map(|packet| phone.send(&(0..160).map(|n| sample(packet * 160 + n)).collect::<Vec<_>>()))
        .collect();
    let end = sent[60].arrives + ms(80);
    hold_back(&mut sent[60..64], end);
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        ..PlayoutSettings::default()
    });
    let [left, _] = play_with(&mut player, sent, ms(2_500));
    let report = player.report(Leg::Agent);
    assert_eq!(report.lengthened, ms(8));
    let played = &trimmed(&left)[..99 * 160];
    let off = |n: &usize| (i32::from(played[*n]) - i32::from(played[*n - 64])).abs() > 800;
    let out_of_phase: Vec<usize> = (64..played.len()).filter(off).collect();
    assert_eq!(out_of_phase, [0; 0]);
}

#[test]
fn a_card_off_by_1000_ppm_is_followed_without_a_step_in_the_sound() {
    for period in [10_010_000, 9_990_000] {
        let sent = tone(&mut Phone::new(Leg::Agent), 2000);
        let (player, out) = play_on_card(steady(), &sent, period);
        let report = player.report(Leg::Agent);
        assert_eq!(
            (report.late, report.resyncs, report.concealed),
            (0, 0, ms(0)),
            "{period}"
        );
        assert_eq!((report.shortened, report.lengthened), (ms(0), ms(0)), "{period}");
        // Without a pause the delay runs 20 ms away from 60 before the tone is resampled.
        assert!(report.delay.p95 < ms(82), "{period}: {:?}", report.delay);
        // What a tone of this frequency bends at most: 8000 * (2 pi / 20)^2, and the steps of the law.
        let bends = trimmed(&out)
            .windows(3)
            .map(|w| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs());
        assert!(bends.max() < Some(1_400), "{period}");
    }
}

#[test]
fn between_two_pauses_speech_passes_as_it_was_decoded_though_the_clocks_run_apart() {
    for period in [10_010_000, 9_990_000] {
        let mut phone = Phone::new(Leg::Agent);
        let mut sent = Vec::new();
        let mut speech = Vec::new();
        for _ in 0..6 {
            speech = phone.talk(600, 160);
            sent.extend(speech.clone());
            sent.extend((0..50).map(|_| phone.send(&[0xff; 160])));
        }
        let smooth = PlayoutSettings {
            preset: Preset::Smooth,
            ..PlayoutSettings::default()
        };
        let (player, out) = play_on_card(smooth, &sent, period);
        let report = player.report(Leg::Agent);
        assert!(
            (report.drift_ppm.abs() - 1000.0).abs() < 50.0,
            "{period}: {}",
            report.drift_ppm
        );
        assert_eq!(report.concealed, ms(0), "{period}");
        let spoken = decoded(&speech);
        // What was resampled in the pause comes back to whole samples slowly, so that nobody hears it.
        let spoken = &spoken[2 * 8000..];
        assert!(out.windows(spoken.len()).any(|part| part == spoken), "{period}");
    }
}

#[test]
fn a_card_that_stopped_for_a_second_is_back_at_the_old_delay() {
    let agent = Phone::new(Leg::Agent).talk(300, 160);
    let mut player = Player::new(PlayoutSettings {
        max_delay: ms(300),
        ..steady()
    });
    play_with(&mut player, agent[..100].to_vec(), ms(2000));
    for packet in &agent[100..150] {
        player.handle_packet(packet.arrives, &packet.header(), &packet.rtp);
    }
    let mut out = Vec::new();
    for (n, packet) in agent[150..].iter().enumerate() {
        player.handle_packet(packet.arrives, &packet.header(), &packet.rtp);
        let mut frames = [[0.0; 2]; 160];
        player.pull(START + ms(3000 + 20 * n as u64), &mut frames);
        out.extend(frames.map(|[left, _]| to_i16(left)));
    }
    let original = decoded(&agent[200..299]);
    let place = out.windows(160).position(|stretch| stretch == &original[..160]);
    let delay = place.and_then(|place| place.checked_sub(50 * 160));
    // A packet that comes between two pulls of 20 ms waits for the next.
    assert!(delay.is_some_and(|delay| delay <= 320 * 8), "{delay:?}");
}

#[test]
fn an_output_that_stands_still_once_has_no_drift() {
    let mut player = Player::new(steady());
    let mut waiting = Phone::new(Leg::Agent).talk(1000, 160).into_iter().peekable();
    let mut now = START;
    for tick in 0..2000 {
        while let Some(packet) = waiting.next_if(|packet| packet.arrives <= now) {
            player.handle_packet(packet.arrives, &packet.header(), &packet.rtp);
        }
        player.pull(now, &mut [[0.0; 2]; 80]);
        // A card that is opened again, and one that finds nothing to play for 2 ms: no step may be taken for a slope.
        now += ms(if tick == 1000 {
            22
        } else if tick % 300 == 299 {
            12
        } else {
            10
        });
    }
    let report = player.report(Leg::Agent);
    assert_eq!(report.drift_ppm.to_bits(), 0.0_f64.to_bits(), "{report:?}");
    assert_eq!((report.late, report.concealed), (0, ms(0)), "{report:?}");
}
