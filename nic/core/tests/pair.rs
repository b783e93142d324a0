//! Generator and target joined by a simulated wire, in virtual time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use silentmon_nic_core::check::{CheckId, Checks};
use silentmon_nic_core::evaluate::{self, Circumstances, Losses};
use silentmon_nic_core::frame::Ends;
use silentmon_nic_core::generator::{self, Assignment, Fate, Generator, Transmit};
use silentmon_nic_core::mac::MacAddress;
use silentmon_nic_core::model::{CheckResult, Judgement, Verdict};
use silentmon_nic_core::plan::{BurstPlan, Plan};
use silentmon_nic_core::read::{Arrived, Content, read};
use silentmon_nic_core::target::{self, Answers, Target};
use silentmon_nic_core::wire::SessionId;
use silentmon_proto::reason::Code;
use silentmon_proto::time::Instant;

const ENDS: Ends = Ends {
    generator: MacAddress([2, 0, 0, 0, 0, 1]),
    target: MacAddress([2, 0, 0, 0, 0, 2]),
};
const STEP: Duration = Duration::from_micros(500);

struct Pair {
    now: Instant,
    generator: Generator,
    target: Target,
    /// Whether a frame gets to the target.
    passes: fn(&[u8]) -> bool,
    /// Whether an answer gets to the generator.
    answers_pass: bool,
    rounds: u32,
    heard: Vec<generator::Event>,
}

impl Pair {
    fn new(calling: Option<Duration>, passes: fn(&[u8]) -> bool) -> Self {
        let now = Instant::from_parts(1_700_000_000, 0);
        let assignment = Assignment {
            session: SessionId(0xabc),
            ends: ENDS,
            plan: Plan {
                checks: Checks::all(),
                burst: BurstPlan {
                    rate: 10_000,
                    frames: 400,
                },
            },
            calling,
        };
        Self {
            now,
            generator: Generator::new(assignment, now),
            target: Target::new(ENDS.target, None, Answers::OverTheWire),
            passes,
            answers_pass: calling.is_some(),
            rounds: 0,
            heard: Vec::new(),
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        if (self.passes)(bytes) {
            let arrived = Arrived {
                bytes,
                metadata: None,
                stamp: self.now,
            };
            self.target.handle_frame(&read(&arrived), self.now);
        }
    }

    /// Goes on until the target has a round together or a minute has passed.
    fn round(&mut self) -> Option<Judgement> {
        for _ in 0..120_000 {
            self.step();
            while let Some(event) = self.target.poll_event() {
                if event == target::Event::RoundOver {
                    self.rounds += 1;
                    return Some(self.judgement());
                }
            }
        }
        None
    }

    fn step(&mut self) {
        self.now += STEP;
        while let Some(transmit) = self.generator.poll_transmit(self.now) {
            match transmit {
                Transmit::Frame(frame, check) => {
                    self.deliver(&frame);
                    if let Some(check) = check {
                        self.generator.handle_sent(check, Fate::Sent);
                    }
                }
                Transmit::Burst(frames) => {
                    let mut room = frames.room(1);
                    for number in 0..frames.plan.frames {
                        frames.fill(&mut room, number, self.now);
                        self.deliver(&room);
                    }
                    self.generator
                        .handle_burst_sent(frames.plan.frames, frames.plan.duration(), self.now);
                }
            }
        }
        self.target.handle_timeout(self.now);
        while let Some(bytes) = self.target.poll_transmit() {
            let arrived = Arrived {
                bytes: &bytes,
                metadata: None,
                stamp: self.now,
            };
            if self.answers_pass {
                self.generator.handle_frame(&read(&arrived), self.now);
            }
        }
        while let Some(event) = self.generator.poll_event() {
            self.heard.push(event);
        }
    }

    fn judgement(&self) -> Judgement {
        let round = self.target.round().unwrap();
        let circumstances = Circumstances {
            interface: "eth0",
            others: self.target.others(),
            count_came: round.sent.is_some(),
        };
        evaluate::judge(evaluate::checks(round, Losses::default()), &circumstances)
    }
}

const CALLING: Option<Duration> = Some(Duration::from_secs(5));

#[test]
fn a_healthy_wire_qualifies_and_the_generator_hears_it() {
    let mut pair = Pair::new(CALLING, |_| true);
    let judgement = pair.round().unwrap();
    assert_eq!(
        (judgement.verdict, judgement.reason.clone()),
        (Verdict::Qualified, None),
        "{judgement:?}"
    );
    assert_eq!(judgement.checks.len(), CheckId::ALL.len());
    pair.target.tell(evaluate::told(&judgement), pair.now);
    pair.step();
    let Some(generator::Event::Verdict(told)) = pair.heard.last() else {
        panic!("{:?}", pair.heard);
    };
    assert_eq!(
        (told.verdict, told.checks[11]),
        (Verdict::Qualified, (CheckResult::Pass, 400))
    );
    assert!(pair.generator.is_over());
}

#[test]
fn a_target_that_cannot_answer_judges_by_the_announcements() {
    let mut pair = Pair::new(None, |_| true);
    assert_eq!(pair.round().unwrap().verdict, Verdict::Qualified);
    while !pair.generator.is_over() {
        pair.step();
    }
    assert_eq!(pair.heard, [generator::Event::NoVerdict]);
}

#[test]
fn a_generator_that_nobody_answers_sends_all_the_same() {
    let mut pair = Pair::new(CALLING, |_| false);
    while !pair.generator.is_over() {
        pair.step();
    }
    assert_eq!(
        pair.heard,
        [generator::Event::NobodyAnswers, generator::Event::NoVerdict]
    );
    assert_eq!(pair.target.parties(), None);
}

fn is_untagged(frame: &[u8]) -> bool {
    frame[12..14] != [0x81, 0x00] && frame[12..14] != [0x88, 0xa8]
}

#[test]
fn failed_checks_are_sent_again_when_the_target_asks() {
    let mut pair = Pair::new(CALLING, is_untagged);
    let judgement = pair.round().unwrap();
    assert_eq!(
        (judgement.verdict, judgement.code()),
        (Verdict::NotQualified, Some(Code::DriverDiscardsTags))
    );
    let again = evaluate::worth_repeating(&judgement.checks);
    assert!(again.contains(CheckId::Tagged) && again.contains(CheckId::Untagged));
    pair.passes = |_| true;
    pair.target.ask_again(again, pair.now);
    let judgement = pair.round().unwrap();
    assert_eq!(judgement.result(CheckId::Tagged), CheckResult::Pass);
    assert_eq!(
        (judgement.verdict, pair.rounds),
        (Verdict::Qualified, 2),
        "{judgement:?}"
    );
    assert!(
        pair.heard.contains(&generator::Event::AskedAgain(again)),
        "{:?}",
        pair.heard
    );
}

#[test]
fn nothing_but_the_announcement_is_inconclusive() {
    let is_message = |frame: &[u8]| {
        let arrived = Arrived {
            bytes: frame,
            metadata: None,
            stamp: Instant::EPOCH,
        };
        matches!(read(&arrived).content, Content::Control(..))
    };
    let judgement = Pair::new(CALLING, is_message).round().unwrap();
    assert_eq!(
        (judgement.verdict, judgement.code()),
        (Verdict::Inconclusive, Some(Code::NoFrames))
    );
}

#[test]
fn a_generator_that_falls_silent_is_judged_by_what_it_announced() {
    let is_no_end = |frame: &[u8]| frame[12..14] != [0x88, 0xb5] || frame.get(19) != Some(&3);
    let judgement = Pair::new(CALLING, is_no_end).round().unwrap();
    assert_eq!(judgement.verdict, Verdict::Qualified, "{judgement:?}");
    assert!(
        judgement
            .notes
            .iter()
            .any(|note| note.contains("own count didn't arrive")),
        "{judgement:?}"
    );
}
