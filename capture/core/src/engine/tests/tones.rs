//! Digits that a customer keys in the sound itself.

use std::f32::consts::TAU;
use std::num::NonZeroUsize;

use silentmon_proto::g711::Law;

use super::*;
use crate::policy::{DigitBurst, PauseSource};

const PCMU: u8 = 0;
const PCMA: u8 = 8;
const G722: u8 = 9;

fn house(digits: Option<usize>) -> House {
    let burst = |digits| DigitBurst {
        digits,
        within: Duration::from_secs(3),
    };
    let mut house = House::with_policy(|policy| {
        policy.payment_pauses.digits = digits.and_then(NonZeroUsize::new).map(burst);
    });
    house.talking();
    house
}

/// Anna listens where four digits begin a pause.
fn listening() -> House {
    let mut house = house(Some(4));
    house.start(ANNA, "4711", None);
    house.heard(GATEWAY, PHONE, 50);
    house.heard(PHONE, GATEWAY, 50);
    house
}

/// 40 ms of a digit, or of silence.
#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
fn samples(law: Law, digit: bool) -> Vec<u8> {
    let wave = |frequency: f32, n: f32| (TAU * frequency * n / 8000.0).sin();
    let sample = |n: u16| {
        let n = f32::from(n);
        let tone = (wave(852.0, n) + wave(1336.0, n)) * 6000.0;
        law.encode(if digit { tone as i16 } else { 0 })
    };
    (0..320).map(sample).collect()
}

impl House {
    fn send(&mut self, payload_type: u8, codes: &[u8]) {
        for payload in codes.chunks(160) {
            self.fresh_sequence += 1;
            let packet = rtp(payload_type, self.fresh_sequence, payload);
            self.packet(GATEWAY, PHONE, &packet);
            self.pass(Duration::from_millis(20));
        }
    }

    fn key_tones(&mut self, payload_type: u8, count: usize) {
        let law = if payload_type == PCMA { Law::A } else { Law::Mu };
        for _ in 0..count {
            self.send(payload_type, &samples(law, true));
            self.send(payload_type, &samples(law, false));
        }
    }

    fn paused(&self) -> Vec<PauseSource> {
        self.engine.pauses().map(|record| record.pause.source).collect()
    }
}

#[test]
fn a_burst_of_digits_in_the_sound_begins_a_pause() {
    for payload_type in [PCMU, PCMA] {
        let mut house = listening();
        house.key_tones(payload_type, 3);
        assert_eq!(house.paused(), [], "three digits choose from a menu");
        house.key_tones(payload_type, 1);
        assert_eq!(house.paused(), [PauseSource::Digits]);
        let before = house.audio(ANNA).len();
        house.key_tones(payload_type, 4);
        let silent = &house.audio(ANNA)[before..];
        assert!(!silent.is_empty() && silent.iter().all(|(_, rtp)| rtp.len() == 12));
    }
}

#[test]
fn speech_other_codecs_and_the_agents_own_digits_begin_none() {
    let mut house = listening();
    house.key_tones(G722, 6);
    for number in 0..200 {
        house.send(PCMU, &speech(number));
    }
    let digits = [samples(Law::Mu, true), samples(Law::Mu, false)].concat();
    for _ in 0..6 {
        for payload in digits.chunks(160) {
            house.fresh_sequence += 1;
            let packet = rtp(PCMU, house.fresh_sequence, payload);
            house.packet(PHONE, GATEWAY, &packet);
            house.pass(Duration::from_millis(20));
        }
    }
    assert_eq!(house.paused(), []);
}

#[test]
fn nothing_is_listened_to_where_nobody_listens_or_no_digits_count() {
    let mut unheard = house(Some(4));
    unheard.key_tones(PCMU, 6);
    let mut without_rule = house(None);
    without_rule.start(ANNA, "4711", None);
    without_rule.key_tones(PCMU, 6);
    for house in [&unheard, &without_rule] {
        assert_eq!(house.paused(), []);
        assert!(house.engine.tones.is_empty());
    }
    let mut house = listening();
    assert!(!house.engine.tones.is_empty());
    house.pass(Duration::from_secs(30));
    assert!(house.engine.tones.is_empty(), "what is silent is forgotten");
}

#[test]
fn a_lost_packet_makes_no_second_digit_and_a_sender_that_pauses_no_longer_one() {
    let mut house = listening();
    let long = [samples(Law::Mu, true), samples(Law::Mu, true)].concat();
    for _ in 0..3 {
        for (place, payload) in long.chunks(160).enumerate() {
            house.fresh_sequence += 1;
            if place != 2 {
                let packet = rtp(PCMU, house.fresh_sequence, payload);
                house.packet(GATEWAY, PHONE, &packet);
            }
            house.pass(Duration::from_millis(20));
        }
        house.send(PCMU, &samples(Law::Mu, false));
    }
    assert_eq!(house.paused(), [], "three digits");
    // Silence isn't sent: time goes on, numbers don't. (The detector sees each digit to its end.)
    let mut house = listening();
    let first = house.fresh_sequence;
    let four = samples(Law::Mu, true).repeat(4);
    for (place, payload) in (0_u32..).zip(four.chunks(160)) {
        house.fresh_sequence += 1;
        let mut packet = rtp(PCMU, house.fresh_sequence, payload);
        let timestamp = (u32::from(first) + 1 + place + place / 2 * 3) * 160;
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        house.packet(GATEWAY, PHONE, &packet);
        house.pass(Duration::from_millis(if place % 2 == 0 { 20 } else { 80 }));
    }
    assert_eq!(house.paused(), [PauseSource::Digits], "four digits");
}
