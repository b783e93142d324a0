//! Payment pauses, private calls and disclosure: what must not leave the server doesn't, on any path.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use proptest::prelude::*;
use silentmon_proto::cti::{CallEnded, CallVariables};
use silentmon_proto::relay::RepairRequest;

use super::*;
use crate::policy::{
    DigitBurst, NumberList, PauseEnd, PauseKind, PauseOf, PauseSource, Undisclosed, UnknownNumbers, VariableRule,
};

const LONGEST: Duration = Duration::from_secs(5);
const BURST: DigitBurst = DigitBurst {
    digits: const { NonZeroUsize::new(4).expect("4 is not 0") },
    within: Duration::from_secs(3),
};
const DIGITS: u8 = 101;

fn rules(policy: &mut Policy) {
    policy.payment_pauses.longest = LONGEST;
    policy.payment_pauses.digits = Some(BURST);
    policy.payment_pauses.variable = Some(VariableRule {
        name: "CallVariable7".to_owned(),
        values: vec!["PAY".to_owned()],
    });
    policy.private_calls.longest = LONGEST;
    policy.private_calls.variable = Some(VariableRule {
        name: "user.private".to_owned(),
        values: vec!["1".to_owned()],
    });
    let mut numbers = NumberList::default();
    numbers.add(
        "policy.private_numbers",
        [(1, "+49301234*".parse().expect("a pattern"))],
    );
    policy.private_calls.numbers = numbers;
}

/// Anna listens to agent 4711, who talks on call 81.
fn listening() -> House {
    let mut house = House::with_policy(rules);
    house.talking();
    house.start(ANNA, "4711", None);
    assert!(house.heard(GATEWAY, PHONE, 50) > 0, "sound flows before");
    house
}

fn of_agent() -> PauseOf {
    PauseOf::Agent("4711".into())
}

impl House {
    fn pause(&mut self, kind: PauseKind, of: PauseOf, seconds: Option<u64>) -> PauseGranted {
        let request = PauseRequest {
            kind,
            of,
            by: "desktop".to_owned(),
            lasting: seconds.map(Duration::from_secs),
        };
        let granted = self.engine.handle_pause(request, self.now).expect("room for a pause");
        self.collect();
        granted
    }

    fn resume(&mut self, kind: PauseKind, of: &PauseOf) -> usize {
        let ended = self.engine.handle_resume(kind, of, "desktop", self.now);
        self.collect();
        ended
    }

    fn variable(&mut self, call: &str, name: &str, value: &str) {
        let variables = [(name.to_owned(), value.to_owned())].into();
        let call = call.into();
        self.cti(&CallVariables { call, variables }.into());
    }

    fn numbered_call(&mut self, call: &str, calling: Option<&str>, acd: bool) {
        self.cti(&CtiEvent::from(CallEvent {
            acd: Some(acd),
            calling: calling.map(str::to_owned),
            called: Some("0800".to_owned()),
            ..CallEvent::of_agent("4711", call, CallEventKind::Established)
        }));
        self.media("4711", call, PHONE);
    }

    fn end_call(&mut self, call: &str) {
        let (call, controlling_party) = (call.into(), None);
        self.cti(
            &CallEnded {
                call,
                controlling_party,
            }
            .into(),
        );
    }

    /// The customer keys a digit, which takes three packets.
    fn key(&mut self, timestamp: u32) {
        for duration in [160_u16, 320, 480] {
            self.fresh_sequence += 1;
            let [d0, d1] = duration.to_be_bytes();
            let mut packet = rtp(DIGITS, self.fresh_sequence, &[5, 10, d0, d1]);
            packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
            self.packet(GATEWAY, PHONE, &packet);
            self.pass(Duration::from_millis(20));
        }
    }

    /// Packets of sound that Anna hears of `count` from the customer.
    fn sound(&mut self, count: u16) -> usize {
        let before = self.sounds(ANNA);
        self.heard(GATEWAY, PHONE, count);
        self.sounds(ANNA) - before
    }

    fn sounds(&self, to: ConnectionId) -> usize {
        let audio = self.audio(to);
        audio.iter().filter(|(header, _)| header.kind == AudioKind::Rtp).count()
    }

    fn code(&self) -> Code {
        self.last_status().reason.code
    }

    fn ends(&self) -> Vec<PauseEnd> {
        let end = |event: &EngineEvent| match event {
            EngineEvent::PauseEnded { end, .. } => Some(end.clone()),
            _ => None,
        };
        self.events.iter().filter_map(end).collect()
    }

    /// Rules that muted sessions, with how long they did so where that is over.
    fn mutes(&self) -> Vec<(String, Option<Duration>)> {
        let muted = |event: &EngineEvent| match event {
            EngineEvent::SessionMuted { rule, .. } => Some((rule.rule(), None)),
            EngineEvent::SessionUnmuted { rule, lasted, .. } => Some((rule.rule(), Some(*lasted))),
            _ => None,
        };
        self.events.iter().filter_map(muted).collect()
    }
}

#[test]
fn a_payment_pause_silences_the_next_packet_and_says_so_at_once() {
    let mut house = listening();
    let granted = house.pause(PauseKind::Payment, of_agent(), None);
    assert_eq!((granted.agents, granted.lasting), (vec!["4711".into()], LONGEST));
    assert_eq!(house.code(), Code::PaymentPause);
    let text = "Muted by payment pause since 00:16:41 UTC (asked for by desktop); it ends by itself.";
    assert_eq!(house.last_status().reason.text, text);
    let before = house.audio(ANNA).len();
    assert_eq!(house.sound(50), 0);
    let silent = &house.audio(ANNA)[before..];
    assert_eq!(silent.len(), 50, "time goes on for the supervisor");
    assert!(silent.iter().all(|(_, rtp)| rtp.len() == 12));
    let rule = "payment pause: asked for by desktop".to_owned();
    assert_eq!(house.mutes(), [(rule.clone(), None)]);
    assert_eq!(house.resume(PauseKind::Payment, &of_agent()), 1);
    assert_eq!(house.sound(50), 50);
    assert_eq!(
        house.mutes(),
        [(rule.clone(), None), (rule, Some(Duration::from_secs(1)))]
    );
    assert_eq!(
        house.resume(PauseKind::Payment, &of_agent()),
        0,
        "what has ended ends no second time"
    );
}

#[test]
fn a_pause_ends_at_its_limit_and_with_its_call() {
    let mut house = listening();
    house.pause(PauseKind::Payment, of_agent(), Some(2));
    house.pause(PauseKind::Payment, of_agent(), Some(1));
    assert_eq!(
        house.count(|event| matches!(event, EngineEvent::PauseStarted(_))),
        1,
        "twice is once"
    );
    assert_eq!(house.sound(99), 0);
    assert_eq!(house.sound(50), 49, "after two seconds");
    let granted = house.pause(PauseKind::Payment, of_agent(), Some(3600));
    assert_eq!(granted.lasting, LONGEST, "never longer than policy allows");
    house.end_call("81");
    house.numbered_call("82", Some("+441"), true);
    assert_eq!(house.sound(10), 10, "the next call is another one");
    assert_eq!(house.ends(), [PauseEnd::Limit, PauseEnd::CallOver]);
}

#[test]
fn a_pause_holds_for_sessions_that_start_in_it_and_for_an_agent_yet_unknown() {
    let mut house = House::with_policy(rules);
    let granted = house.pause(PauseKind::Payment, PauseOf::Extension("3001".into()), None);
    assert_eq!(granted.agents, []);
    house.signed_in("4711", "3001", AgentState::Talking);
    house.talking();
    house.start(ANNA, "4711", None);
    assert_eq!(house.code(), Code::PaymentPause);
    assert_eq!(house.sound(20), 0);
    house.end_call("81");
    house.numbered_call("82", Some("+441"), true);
    assert_eq!(house.sound(20), 20, "it became the pause of the first call");
}

#[test]
fn a_pause_holds_for_everybody_on_the_call() {
    let mut house = listening();
    house.call("4712", "81", CallEventKind::Conferenced);
    house.media("4712", "81", "10.1.1.21:20000");
    house.start(BERT, "4712", None);
    house.stream(GATEWAY, "10.1.1.21:20000", 0..30, speech);
    assert!(house.sounds(BERT) > 0);
    let granted = house.pause(PauseKind::Payment, PauseOf::Call("81".into()), None);
    assert_eq!(granted.agents, ["4711".into(), "4712".into()]);
    let before = house.sounds(BERT);
    house.stream(GATEWAY, "10.1.1.21:20000", 30..60, speech);
    assert_eq!((house.sounds(BERT), house.sound(10)), (before, 0));
}

#[test]
fn what_goes_to_a_paused_phone_is_silent_for_others_who_hear_the_other_end() {
    let mut house = House::with_policy(rules);
    house.talking();
    // Nobody tells which call the media of the second agent belong to.
    house.engine.settings.policy.calls = HeardCalls::All;
    house.agent_state("4712", AgentState::Talking);
    house.cti(&CtiEvent::from(MediaStarted {
        agent: Some("4712".into()),
        ..MediaStarted::at("10.1.1.21:20000".parse().expect("an address"))
    }));
    house.start(BERT, "4712", None);
    house.stream(PHONE, "10.1.1.21:20000", 0..30, speech);
    assert!(house.sounds(BERT) > 0);
    house.pause(PauseKind::Payment, of_agent(), None);
    let before = house.sounds(BERT);
    house.stream(PHONE, "10.1.1.21:20000", 30..60, speech);
    assert_eq!(house.sounds(BERT), before);
}

#[test]
fn nothing_said_before_a_pause_is_sent_again_in_it() {
    let mut house = listening();
    let (last, _) = house.audio(ANNA).last().cloned().expect("sound");
    house.pause(PauseKind::Payment, of_agent(), None);
    house.sound(5);
    let mut request = RepairRequest::new(last.channel, Leg::Customer, 0);
    (0..6).for_each(|later| assert!(request.ask(last.relay_sequence + later)));
    let before = house.audio(ANNA).len();
    house
        .engine
        .handle_repair_request(ANNA, &request, Duration::from_millis(1), house.now);
    house.collect();
    let again = &house.audio(ANNA)[before..];
    assert_eq!(again.len(), 5, "silence may be sent again");
    assert!(
        again
            .iter()
            .all(|(header, rtp)| header.kind == AudioKind::Suppressed && rtp.len() == 12)
    );
}

#[test]
fn a_call_variable_begins_a_pause_and_its_change_ends_it() {
    let mut house = listening();
    house.variable("81", "CallVariable8", "PAY");
    assert_eq!(house.sound(5), 5, "another variable means nothing");
    house.variable("81", "CallVariable7", "pay");
    assert_eq!((house.code(), house.sound(5)), (Code::PaymentPause, 0));
    house.variable("81", "CallVariable7", "");
    assert_eq!(house.sound(5), 5);
    assert_eq!(house.ends(), [PauseEnd::VariableChanged]);
}

#[test]
fn a_variable_that_nobody_takes_back_pauses_no_longer_than_the_limit_and_only_once() {
    let mut house = listening();
    house.variable("81", "CallVariable7", "PAY");
    house.pass(LONGEST);
    assert_eq!(house.ends(), [PauseEnd::Limit]);
    house.variable("81", "CallVariable7", "PAY");
    assert_eq!(house.sound(5), 5);
    house.variable("81", "CallVariable7", "DONE");
    house.variable("81", "CallVariable7", "PAY");
    assert_eq!(house.sound(5), 0, "a second payment");
}

#[test]
fn a_variable_set_before_the_call_reaches_the_agent_holds_for_him() {
    let mut house = House::with_policy(rules);
    house.agent_state("4711", AgentState::Available);
    house.variable("90", "CallVariable7", "PAY");
    house.variable("91", "CallVariable7", "PAY");
    house.start(ANNA, "4711", None);
    house.numbered_call("90", Some("+441"), true);
    assert_eq!((house.code(), house.sound(5)), (Code::PaymentPause, 0));
    assert_eq!(house.engine.pauses().count(), 1, "a call without an agent needs none");
}

#[test]
fn a_burst_of_digits_begins_a_pause_and_single_digits_dont() {
    let mut house = listening();
    house.key(1_000_000);
    house.key(1_001_000);
    assert!(house.sound(20) > 0, "two digits choose from a menu");
    for digit in 2..4 {
        house.key(1_000_000 + digit * 1000);
    }
    assert_eq!(house.sound(20), 0);
    let sources: Vec<_> = house.engine.pauses().map(|record| record.pause.source).collect();
    assert_eq!(sources, [PauseSource::Digits]);
    house.pass(LONGEST);
    assert_eq!(house.sound(5), 5);
}

#[test]
fn what_was_announced_as_digits_never_leaves_whatever_it_looks_like() {
    let mut house = listening();
    house.described = Some((PayloadType(DIGITS), Codec::TelephoneEvent));
    let before = house.sounds(ANNA);
    for payload in [vec![5, 10, 0, 160, 9], cipher(1), vec![]] {
        house.fresh_sequence += 1;
        let packet = rtp(DIGITS, house.fresh_sequence, &payload);
        house.packet(GATEWAY, PHONE, &packet);
    }
    assert_eq!(house.sounds(ANNA), before);
}

#[test]
fn a_call_with_a_private_number_is_silent_from_its_first_packet_and_the_next_is_heard() {
    let mut house = listening();
    house.end_call("81");
    house.numbered_call("82", Some("0049 30 1234-5"), true);
    let reason = house.last_status().reason;
    assert_eq!(reason.code, Code::ExcludedByPolicy);
    assert_eq!(
        reason.text,
        "This call is private: its number is on the list policy.private_numbers, no. 1."
    );
    assert_eq!(house.heard(GATEWAY, PHONE, 50), 0);
    house.end_call("82");
    house.numbered_call("83", Some("+441"), true);
    assert_eq!(house.sound(50), 50);
    let [began, ended] = &house.mutes()[..] else {
        panic!("{:?}", house.mutes())
    };
    assert_eq!(
        (began.0.as_str(), ended.1),
        ("policy.private_numbers, no. 1", Some(Duration::from_secs(1)))
    );
}

#[test]
fn a_private_call_stays_private_when_it_is_transferred() {
    let mut house = listening();
    house.end_call("81");
    house.numbered_call("82", Some("+493012345"), true);
    house.numbered_call("82", Some("3002"), true);
    assert_eq!(house.heard(GATEWAY, PHONE, 10), 0);
}

#[test]
fn unknown_numbers_are_private_where_policy_says_so() {
    for (rule, heard) in [(UnknownNumbers::Heard, 10), (UnknownNumbers::Private, 0)] {
        let mut house = listening();
        house.engine.settings.policy.private_calls.unknown_numbers = rule;
        house.end_call("81");
        house.numbered_call("82", Some("anonymous"), true);
        assert_eq!(house.sound(10), heard, "{rule:?}");
    }
}

#[test]
fn an_agent_and_a_variable_can_mark_a_call_private() {
    let mut house = listening();
    house.pause(PauseKind::Private, of_agent(), None);
    assert_eq!((house.code(), house.sound(10)), (Code::ExcludedByPolicy, 0));
    house.resume(PauseKind::Payment, &of_agent());
    assert_eq!(house.sound(10), 0, "the end of a payment pause is none of it");
    house.resume(PauseKind::Private, &of_agent());
    assert_eq!(house.sound(10), 10);
    house.variable("81", "user.private", "1");
    assert_eq!(
        (house.code(), house.heard(GATEWAY, PHONE, 10)),
        (Code::ExcludedByPolicy, 0)
    );
    house.variable("81", "user.private", "0");
    assert_eq!(house.sound(10), 10);
}

#[test]
fn where_disclosure_is_required_nothing_is_heard_until_the_agents_desk_can_be_told() {
    let mut house = House::with_policy(|policy| {
        policy.disclosure = Disclosure::WhileListening;
        policy.undisclosed = Undisclosed::Muted;
    });
    house.talking();
    house.start(ANNA, "4711", None);
    assert_eq!(
        (house.code(), house.heard(GATEWAY, PHONE, 30)),
        (Code::ExcludedByPolicy, 0)
    );
    house.engine.handle_desk(&"4711".into(), Desk::Opened, house.now);
    house.collect();
    assert!(house.sound(50) > 0);
    assert_eq!(house.count(|event| matches!(event, EngineEvent::Disclosed(_))), 1);
    house.engine.handle_desk(&"4711".into(), Desk::Closed, house.now);
    house.collect();
    assert_eq!(house.heard(GATEWAY, PHONE, 30), 0);
}

#[test]
fn agents_are_told_when_listening_begins_and_ends() {
    let mut house = House::with_policy(|policy| policy.disclosure = Disclosure::WhileListening);
    house.talking();
    let agent = AgentId::from("4711");
    assert!(!house.engine.is_listened_to(&agent));
    house.start(ANNA, "4711", None);
    let changed =
        |event: &EngineEvent| matches!(event, EngineEvent::ListeningChanged { agent } if *agent == "4711".into());
    assert!(house.engine.is_listened_to(&agent));
    assert_eq!(house.count(changed), 1);
    let session = house.session();
    house.say(ANNA, ClientMessage::StopMonitor { session });
    assert!(!house.engine.is_listened_to(&agent));
    assert_eq!(house.count(changed), 2);
}

/// What may happen around a call.
#[derive(Debug, Clone)]
enum Step {
    Call { private: bool, acd: bool },
    EndCall,
    Pause(PauseKind, u64),
    Resume(PauseKind),
    Variable(bool),
    Speak { customer: bool, packets: u8 },
    Key(u8),
    Repair { customer: bool, back: u8, copies: u8 },
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(PauseKind::Payment), Just(PauseKind::Private)];
    prop_oneof![
        2 => (prop::bool::weighted(0.3), prop::bool::weighted(0.8)).prop_map(|(private, acd)| Step::Call { private, acd }),
        1 => Just(Step::EndCall),
        2 => (kind.clone(), 1..7_u64).prop_map(|(kind, seconds)| Step::Pause(kind, seconds)),
        1 => kind.prop_map(Step::Resume),
        2 => any::<bool>().prop_map(Step::Variable),
        8 => (any::<bool>(), 1..40_u8).prop_map(|(customer, packets)| Step::Speak { customer, packets }),
        2 => (1..6_u8).prop_map(Step::Key),
        4 => (any::<bool>(), 0..30_u8, 0..3_u8).prop_map(|(customer, back, copies)| Step::Repair { customer, back, copies }),
        1 => (0..4000_u16).prop_map(Step::Pass),
    ]
}

/// What is certain about one agent with at most one call at a time: while it holds, nothing may leave.
#[derive(Debug, Default)]
struct Certain {
    call: Option<(String, bool)>,
    /// Until when, and whether it has its call already.
    payment: Option<(Instant, bool)>,
    private: Option<(Instant, bool)>,
    variable: Option<Instant>,
    variable_set: bool,
    digits: Option<Instant>,
}

impl Certain {
    fn is_muted(&self, now: Instant) -> bool {
        let Some((_, heard)) = &self.call else { return true };
        let asked = [self.payment, self.private]
            .into_iter()
            .flatten()
            .map(|(until, _)| until);
        let runs = asked.chain(self.variable).chain(self.digits).any(|until| now < until);
        !heard || runs
    }

    fn call_over(&mut self) {
        let waits = |pause: Option<(Instant, bool)>| pause.filter(|(_, has_call)| !has_call);
        *self = Self {
            payment: waits(self.payment),
            private: waits(self.private),
            ..Self::default()
        };
    }
}

/// A house with two supervisors on one agent, one over the relay and one by plain RTP, and a number for each payload.
struct Rehearsal {
    house: House,
    certain: Certain,
    calls: u32,
    payloads: u32,
    timestamp: u32,
    forbidden: HashSet<Vec<u8>>,
    looked_at: usize,
}

impl Rehearsal {
    fn new() -> Self {
        let mut house = House::with_policy(rules);
        house.agent_state("4711", AgentState::Talking);
        house.start(ANNA, "4711", None);
        let receiver = "127.0.0.1:39200".parse().expect("an address");
        let (request, agent) = (6, "4711".into());
        let output = OutputKind::PlainRtp { receiver };
        let (resume, purpose) = (None, None);
        house.say(
            BERT,
            ClientMessage::StartMonitor {
                request,
                agent,
                resume,
                purpose,
                output,
            },
        );
        Self {
            house,
            certain: Certain::default(),
            calls: 0,
            payloads: 0,
            timestamp: 1_000_000,
            forbidden: HashSet::new(),
            looked_at: 0,
        }
    }

    fn go(&mut self, step: &Step) {
        match step {
            Step::Call { private, acd } => self.call(*private, *acd),
            Step::EndCall => self.end_call(),
            Step::Pause(kind, seconds) => {
                self.house.pause(*kind, of_agent(), Some(*seconds));
                let until = self.house.now + Duration::from_secs(*seconds).min(LONGEST);
                let pause = match kind {
                    PauseKind::Payment => &mut self.certain.payment,
                    PauseKind::Private => &mut self.certain.private,
                };
                let running = pause.filter(|(until, _)| *until > self.house.now);
                let has_call = running.map_or(self.certain.call.is_some(), |(_, has_call)| has_call);
                *pause = Some((until.max(running.map_or(until, |(until, _)| until)), has_call));
            }
            Step::Resume(PauseKind::Payment) => {
                self.house.resume(PauseKind::Payment, &of_agent());
                (self.certain.payment, self.certain.variable, self.certain.digits) = (None, None, None);
            }
            Step::Resume(PauseKind::Private) => {
                self.house.resume(PauseKind::Private, &of_agent());
                self.certain.private = None;
            }
            Step::Variable(pays) => self.variable(*pays),
            Step::Speak { customer, packets } => (0..*packets).for_each(|_| self.speak(*customer)),
            Step::Key(digits) => self.key(*digits),
            Step::Repair { customer, back, copies } => self.repair(*customer, *back, *copies),
            Step::Pass(milliseconds) => self.house.pass(Duration::from_millis(u64::from(*milliseconds))),
        }
        self.look();
    }

    fn call(&mut self, private: bool, acd: bool) {
        self.end_call();
        self.calls += 1;
        let call = format!("call{}", self.calls);
        let calling = if private { "+493012345" } else { "+441" };
        self.house.numbered_call(&call, Some(calling), acd);
        self.certain.call = Some((call, acd && !private));
        for pause in [&mut self.certain.payment, &mut self.certain.private] {
            *pause = pause
                .filter(|(until, _)| *until > self.house.now)
                .map(|(until, _)| (until, true));
        }
    }

    fn end_call(&mut self) {
        if let Some((call, _)) = self.certain.call.take() {
            self.house.end_call(&call);
            self.certain.call_over();
        }
    }

    fn variable(&mut self, pays: bool) {
        let Some((call, _)) = self.certain.call.clone() else {
            return;
        };
        self.house
            .variable(&call, "CallVariable7", if pays { "PAY" } else { "" });
        match (pays, self.certain.variable_set) {
            (true, false) => self.certain.variable = Some(self.house.now + LONGEST),
            (true, true) => {}
            (false, _) => self.certain.variable = None,
        }
        self.certain.variable_set = pays;
    }

    fn speak(&mut self, customer: bool) {
        self.payloads += 1;
        let mut payload = speech(0);
        for (at, byte) in payload.iter_mut().take(8).enumerate() {
            *byte = 0x80 | ((self.payloads >> (4 * at)) & 0xf) as u8;
        }
        if self.certain.is_muted(self.house.now) {
            self.forbidden.insert(payload.clone());
        }
        self.house.fresh_sequence += 1;
        let packet = rtp(0, self.house.fresh_sequence, &payload);
        let (from, to) = if customer { (GATEWAY, PHONE) } else { (PHONE, GATEWAY) };
        self.house.packet(from, to, &packet);
        self.house.pass(Duration::from_millis(20));
    }

    fn key(&mut self, digits: u8) {
        for _ in 0..digits {
            self.timestamp += 1000;
            self.house.key(self.timestamp);
        }
        let listened = self.certain.call.as_ref().is_some_and(|(_, heard)| *heard);
        if usize::from(digits) >= BURST.digits.get() && listened {
            // The last digit before this moment began or renewed it at the latest.
            let keying = Duration::from_millis(60) * u32::from(digits);
            self.certain.digits = Some((self.house.now + LONGEST).saturating_back(keying));
        }
    }

    fn repair(&mut self, customer: bool, back: u8, copies: u8) {
        let leg = if customer { Leg::Customer } else { Leg::Agent };
        let audio = self.house.audio(ANNA);
        let Some((last, _)) = audio.iter().rev().find(|(header, _)| header.leg == leg) else {
            return;
        };
        let mut request = RepairRequest::new(last.channel, leg, copies);
        let back = u32::from(back);
        (0..=back).for_each(|later| _ = request.ask(last.relay_sequence.wrapping_sub(back - later)));
        let now = self.house.now;
        self.house
            .engine
            .handle_repair_request(ANNA, &request, Duration::from_millis(1), now);
        self.house.collect();
    }

    /// No datagram that left since the last look holds what was forbidden, or a digit; in a mute none holds sound at all.
    fn look(&mut self) {
        for transmit in &self.house.sent[self.looked_at..] {
            let rtp = match transmit {
                Transmit::Audio { datagram, .. } | Transmit::PeerDatagram { datagram, .. } => {
                    AudioHeader::parse(datagram).expect("an audio datagram").1.to_vec()
                }
                Transmit::PlainRtp { packet, .. } => packet.clone(),
                Transmit::Message { .. } | Transmit::Close { .. } => continue,
            };
            assert!(
                rtp.len() <= 12 || !self.forbidden.contains(&rtp[12..]),
                "muted bytes left"
            );
            assert!(rtp.len() <= 12 || rtp[1] & 0x7f != DIGITS, "a digit left");
        }
        self.looked_at = self.house.sent.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn muted_bytes_never_leave_on_any_path(steps in prop::collection::vec(step(), 1..60)) {
        let mut rehearsal = Rehearsal::new();
        for step in &steps {
            rehearsal.go(step);
        }
    }
}

fn former(of: PauseOf, source: PauseSource, since: Instant, until: Option<Instant>) -> FormerPause {
    FormerPause {
        kind: PauseKind::Payment,
        of,
        source,
        by: "CallVariable7".to_owned(),
        since,
        until,
    }
}

#[test]
fn a_pause_that_ran_before_a_restart_goes_on_and_ends_by_itself() {
    let mut house = House::with_policy(rules);
    let since = house.now;
    let until = house.now + Duration::from_secs(2);
    let pause = former(of_agent(), PauseSource::Request, since, Some(until));
    house.engine.handle_former_pause(pause, house.now);
    house.collect();
    house.talking();
    house.start(ANNA, "4711", None);
    assert_eq!((house.code(), house.sound(20)), (Code::PaymentPause, 0));
    assert_eq!(
        house.engine.pauses().next().expect("it runs").pause.calls,
        ["81".into()]
    );
    house.pass(LONGEST);
    assert_eq!(house.ends(), [PauseEnd::Limit]);
    assert_eq!(house.sound(20), 20);
}

#[test]
fn a_former_pause_by_a_variable_is_that_calls_and_no_others() {
    let mut house = House::with_policy(rules);
    let (now, call) = (house.now, PauseOf::Call("81".into()));
    let pause = former(call, PauseSource::Variable, now, Some(now + Duration::from_secs(3)));
    house.engine.handle_former_pause(pause, now);
    house.collect();
    house.numbered_call("80", Some("+441"), true);
    house.start(ANNA, "4711", None);
    assert!(house.sound(20) > 0, "another call");
    house.end_call("80");
    house.talking();
    assert_eq!((house.code(), house.sound(5)), (Code::PaymentPause, 0));
    house.variable("81", "CallVariable7", "PAY");
    assert_eq!(house.engine.pauses().count(), 1, "the same pause");
    house.variable("81", "CallVariable7", "");
    assert_eq!(house.sound(5), 5);
    assert_eq!(house.ends(), [PauseEnd::VariableChanged]);
}

#[test]
fn a_former_pause_lasts_no_longer_than_policy_allows_and_one_that_is_over_is_over() {
    let mut house = House::with_policy(rules);
    let now = house.now;
    let over = Instant::from_parts(980, 0);
    house
        .engine
        .handle_former_pause(former(of_agent(), PauseSource::Digits, over, Some(over)), now);
    assert_eq!(house.engine.pauses().count(), 0);
    let hour = now + Duration::from_secs(3600);
    for until in [Some(hour), None] {
        house
            .engine
            .handle_former_pause(former(of_agent(), PauseSource::Request, now, until), now);
        let found = house.engine.pauses().next().expect("it runs").pause.until;
        assert_eq!(found, now + LONGEST);
    }
}
