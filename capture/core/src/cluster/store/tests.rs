//! Members with real directories, and a store that is simulated: it goes and comes, forgets, and reaches some of them.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::Code;
use silentmon_proto::store::NEWS_SLOTS;

use super::*;
use crate::cluster::tests::net::{Node, name, settings};
use crate::cluster::tests::{hangs_up, talks};

/// How long anything is on its way.
const DELAY: Duration = Duration::from_millis(1);

/// What a member is to be told, and when.
enum Parcel {
    Change(String, Option<Vec<u8>>, u64),
    CaughtUp,
    Outcome(PutOutcome),
}

struct Member {
    node: Node<StoreDirectory>,
    parcels: VecDeque<(Instant, Parcel)>,
    reaches: bool,
    watches: bool,
}

struct House {
    now: Instant,
    members: Vec<Option<Member>>,
    settings: Vec<ClusterSettings>,
    values: BTreeMap<String, (Option<Vec<u8>>, u64)>,
    revision: u64,
    puts: u64,
    /// Whether the store takes anything.
    takes: bool,
}

impl House {
    fn of(settings: Vec<ClusterSettings>) -> Self {
        let mut house = Self {
            now: Instant::from_parts(1_000, 0),
            members: settings.iter().map(|_| None).collect(),
            settings,
            values: BTreeMap::new(),
            revision: 0,
            puts: 0,
            takes: true,
        };
        for number in 0..house.members.len() {
            house.start(number);
        }
        house
    }

    fn with(members: usize) -> Self {
        Self::of((0..members).map(|number| settings(number, members)).collect())
    }

    fn start(&mut self, number: usize) {
        let settings = &mut self.settings[number];
        settings.run += 1;
        let address = format!("10.0.0.{number}:42029");
        settings.store = Some(address.clone());
        let mut cluster = StoreDirectory::new(settings.clone(), address);
        cluster.handle_available();
        self.members[number] = Some(Member {
            node: Node::new(cluster),
            parcels: VecDeque::new(),
            reaches: true,
            watches: false,
        });
        self.settle(number);
    }

    fn kill(&mut self, number: usize) {
        self.members[number] = None;
    }

    fn stop(&mut self, number: usize) {
        self.node(number).cluster.stop();
        self.settle(number);
        self.kill(number);
    }

    fn reach(&mut self, number: usize, reaches: bool) {
        let Some(member) = &mut self.members[number] else {
            return;
        };
        if member.reaches == reaches {
            return;
        }
        member.reaches = reaches;
        member.watches = false;
        member.parcels.clear();
        if reaches {
            member.node.cluster.handle_available();
        } else {
            member.node.cluster.handle_unavailable();
        }
        self.settle(number);
    }

    fn reach_all(&mut self, reaches: bool) {
        for number in 0..self.members.len() {
            self.reach(number, reaches);
        }
    }

    /// The store was started anew, and has nothing.
    fn forget(&mut self) {
        self.reach_all(false);
        self.values.clear();
        self.revision = 0;
        self.reach_all(true);
    }

    fn node(&mut self, number: usize) -> &mut Node<StoreDirectory> {
        &mut self.members[number].as_mut().expect("runs").node
    }

    fn tell(&mut self, number: usize, events: &[CtiEvent]) {
        let now = self.now;
        for event in events {
            self.node(number).tell(event, now);
        }
        self.settle(number);
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.step(end) {}
        self.now = end;
    }

    fn step(&mut self, end: Instant) -> bool {
        let due = |member: &Member| {
            let parcel = member.parcels.front().map(|(at, _)| *at);
            parcel.into_iter().chain(member.node.cluster.poll_timeout()).min()
        };
        let next = (0..)
            .zip(&self.members)
            .filter_map(|(number, member)| Some((due(member.as_ref()?)?, number)));
        let Some((at, number)) = next.min().filter(|(at, _)| *at <= end) else {
            return false;
        };
        self.now = self.now.max(at);
        let now = self.now;
        let member = self.members[number].as_mut().expect("due");
        let cluster = &mut member.node.cluster;
        if member.parcels.front().is_some_and(|(at, _)| *at <= now) {
            match member.parcels.pop_front().expect("there").1 {
                Parcel::Change(key, value, revision) => cluster.handle_change(&key, value.as_deref(), revision, now),
                Parcel::CaughtUp => cluster.handle_caught_up(now),
                Parcel::Outcome(outcome) => cluster.handle_outcome(outcome, now),
            }
        } else {
            cluster.handle_timeout(now);
        }
        self.settle(number);
        true
    }

    fn settle(&mut self, number: usize) {
        let now = self.now;
        loop {
            let node = self.node(number);
            node.take_up(now);
            let Some(transmit) = node.cluster.poll_transmit() else {
                break;
            };
            node.sent += 1;
            self.transmit(number, transmit);
        }
    }

    fn transmit(&mut self, from: usize, transmit: StoreTransmit) {
        let at = self.now + DELAY;
        let member = self.members[from].as_mut().expect("runs");
        if !member.reaches {
            return;
        }
        match transmit {
            StoreTransmit::Read => {
                member.watches = true;
                member
                    .parcels
                    .retain(|(_, parcel)| matches!(parcel, Parcel::Outcome(_)));
                for (key, (value, revision)) in &self.values {
                    let change = Parcel::Change(key.clone(), value.clone(), *revision);
                    member.parcels.push_back((at, change));
                }
                member.parcels.push_back((at, Parcel::CaughtUp));
            }
            StoreTransmit::Put(put) => {
                let outcome = self.put(&put);
                let member = self.members[from].as_mut().expect("runs");
                member.parcels.push_back((at, Parcel::Outcome(outcome)));
            }
            StoreTransmit::Purge { origin, before } => self.values.retain(|key, (_, revision)| {
                let key: StoreKey = key.parse().expect("a key");
                let own = !matches!(key, StoreKey::Member(_)) && key.origin() == Some(&origin);
                !own || *revision >= before
            }),
        }
    }

    fn put(&mut self, put: &StorePut) -> PutOutcome {
        if !self.takes {
            return PutOutcome::Failed;
        }
        let key = put.key.to_string();
        let stands = self.values.get(&key).map_or(0, |(_, revision)| *revision);
        if !matches!(put.expected, Expected::Anything) && put.expected != Expected::Revision(stands) {
            return PutOutcome::Conflict;
        }
        self.puts += 1;
        self.revision += 1;
        self.values.insert(key.clone(), (put.value.clone(), self.revision));
        let at = self.now + DELAY;
        for member in self.members.iter_mut().flatten().filter(|member| member.watches) {
            let change = Parcel::Change(key.clone(), put.value.clone(), self.revision);
            member.parcels.push_back((at, change));
        }
        PutOutcome::Stored(self.revision)
    }

    fn holders(&self) -> Vec<usize> {
        let holds = |member: &Option<Member>| member.as_ref().is_some_and(|member| member.node.holds);
        (0..)
            .zip(&self.members)
            .filter(|(_, member)| holds(member))
            .map(|(number, _)| number)
            .collect()
    }

    /// Agents who are on a call, and where their media are, as a member knows it.
    fn media(&mut self, number: usize) -> Vec<(String, Vec<String>)> {
        let all = self.node(number).media().into_iter();
        all.filter(|(_, media)| !media.is_empty()).collect()
    }

    fn seen(&mut self, by: usize, agent: &AgentId) -> Vec<(ServerName, [bool; 2])> {
        let seen = self.node(by).cluster.seen_by(agent);
        seen.map(|(name, legs)| (name.clone(), legs)).collect()
    }
}

#[test]
fn members_meet_in_the_store_and_know_all_agents_and_one_holds_the_cti_sessions() {
    let mut house = House::with(3);
    house.run(1.0);
    assert_eq!(house.holders(), [0]);
    for number in 0..3 {
        assert_eq!(house.node(number).members().len(), 2, "{number}");
    }
    assert_eq!(
        house.node(1).cluster.address_of(&name(2)).map(ToString::to_string),
        Some("10.0.0.2:42029".to_owned())
    );
    house.tell(0, &talks(1, 1));
    house.run(0.1);
    let known = house.media(0);
    assert_eq!(known.len(), 1);
    assert_eq!([house.media(1), house.media(2)], [known.clone(), known]);
    house.tell(0, &[hangs_up(1, 1)]);
    house.run(0.1);
    assert_eq!(house.media(2), []);
    house.run(100.0);
    assert_eq!(house.holders(), [0]);
    for number in 0..3 {
        assert_eq!(house.node(number).reasons(), [], "{number}");
    }
}

#[test]
fn a_dead_holder_is_followed_by_the_next_one_who_knows_the_media() {
    let mut house = House::with(3);
    house.run(1.0);
    house.tell(0, &talks(7, 1));
    house.run(0.1);
    house.kill(0);
    house.run(13.0);
    assert_eq!(house.holders(), [0; 0]);
    house.run(6.0);
    assert_eq!(house.holders(), [1]);
    assert_eq!(house.media(1).len(), 1, "no CTI source can be asked for it");
    let reasons = house.node(2).reasons();
    assert!(
        reasons[0].text.contains("gw000 has said nothing for 15 s"),
        "{reasons:?}"
    );
    house.tell(1, &[hangs_up(7, 1)]);
    house.start(0);
    house.run(1.0);
    assert_eq!(
        (house.holders(), house.media(0).len()),
        (vec![1], 0),
        "who holds goes on"
    );
}

#[test]
fn who_stops_is_gone_at_once() {
    let mut house = House::with(2);
    house.run(1.0);
    house.stop(0);
    house.run(0.1);
    assert_eq!(house.holders(), [1]);
    assert_eq!(house.node(1).members().len(), 0);
}

#[test]
fn a_newcomer_reads_a_snapshot_and_the_news_after_it() {
    let mut house = House::with(3);
    house.run(1.0);
    house.kill(2);
    house.run(20.0);
    for agent in 0..700 {
        house.tell(0, &talks(agent, 1));
        house.run(0.002);
    }
    house.tell(0, &talks(700, 1));
    house.start(2);
    house.run(1.0);
    let known = house.media(0);
    assert_eq!(known.len(), 701);
    assert_eq!(house.media(2), known);
    assert!(
        house
            .node(2)
            .log
            .iter()
            .any(|event| matches!(event, ClusterEvent::ToldAll { instead: true, .. }))
    );
}

#[test]
fn while_the_store_is_away_nobody_is_lost_and_afterwards_everything_is_made_up_for() {
    let mut house = House::with(3);
    house.run(1.0);
    let agent = AgentId::from("7");
    house.tell(0, &talks(7, 1));
    house.node(2).cluster.handle_sees(&agent, [true; 2]);
    house.run(1.0);
    house.reach_all(false);
    house.run(600.0);
    for number in 0..3 {
        assert_eq!(
            (house.node(number).members().len(), house.media(number).len()),
            (2, 1),
            "{number}"
        );
    }
    assert_eq!(house.seen(0, &agent), [(name(2), [true; 2])]);
    house.tell(0, &[hangs_up(7, 1)]);
    house.tell(0, &talks(8, 1));
    house.node(2).cluster.handle_sees(&agent, [false; 2]);
    house.reach_all(true);
    house.run(1.0);
    let known = house.media(0);
    assert_eq!((known.len(), known[0].0.as_str()), (1, "8"));
    assert_eq!([house.media(1), house.media(2)], [known.clone(), known]);
    assert_eq!(house.seen(0, &agent), []);
    house.run(60.0);
    assert_eq!(house.holders(), [0]);
    for number in 0..3 {
        assert_eq!(house.node(number).reasons(), [], "{number}");
    }
}

#[test]
fn a_store_that_takes_nothing_makes_nobody_gone() {
    let mut house = House::with(3);
    house.run(1.0);
    house.takes = false;
    house.run(300.0);
    house.takes = true;
    house.run(30.0);
    for number in 0..3 {
        assert_eq!(house.node(number).reasons(), [], "{number}");
    }
}

#[test]
fn changes_that_cease_to_come_make_nobody_gone_and_are_read_again() {
    let mut house = House::with(3);
    house.run(1.0);
    house.members[2].as_mut().expect("runs").watches = false;
    house.tell(0, &talks(7, 1));
    house.run(30.0);
    assert_eq!(house.node(2).reasons(), []);
    assert_eq!(house.media(2), house.media(0));
    assert_eq!(house.media(2).len(), 1);
}

#[test]
fn a_store_that_forgot_everything_is_told_again() {
    let mut house = House::with(3);
    house.run(1.0);
    house.tell(1, &[]);
    house.tell(0, &talks(7, 1));
    house.run(1.0);
    house.forget();
    house.run(1.0);
    house.start(2);
    house.run(1.0);
    assert_eq!(house.holders(), [0], "who holds goes on");
    assert_eq!(house.media(2), house.media(0));
    assert_eq!(house.media(2).len(), 1);
}

#[test]
fn who_is_cut_off_from_the_store_gives_the_cti_sessions_up_when_he_comes_back() {
    let mut house = House::with(3);
    house.run(1.0);
    house.reach(0, false);
    house.run(20.0);
    assert_eq!(house.holders(), [0, 1], "both: no harm");
    house.tell(1, &talks(9, 1));
    house.reach(0, true);
    house.run(1.0);
    assert_eq!(house.holders(), [1]);
    assert_eq!(house.media(0), house.media(1));
}

#[test]
fn more_than_can_wait_is_made_up_for_by_a_snapshot() {
    let mut house = House::with(2);
    house.run(1.0);
    house.reach(0, false);
    let agent = AgentId::from("7");
    for round in 0..=100_000 {
        house.node(0).cluster.handle_sees(&agent, [round % 2 == 0, true]);
    }
    house.tell(0, &talks(1, 1));
    house.reach(0, true);
    house.run(2.0);
    assert_eq!(house.seen(1, &agent), [(name(0), [true, true])]);
    assert_eq!(house.media(1), house.media(0));
    assert_eq!(house.media(1).len(), 1);
}

#[test]
fn an_administrator_hands_the_sessions_over() {
    let mut all: Vec<_> = (0..3).map(|number| settings(number, 3)).collect();
    all[1].has_cti = false;
    let mut house = House::of(all);
    house.run(1.0);
    let now = house.now;
    for (to, why) in [(9, "expected a member that is there"), (1, "no CTI source")] {
        let refused = house.node(0).cluster.hand_over(&name(to), now);
        assert!(refused.as_ref().is_err_and(|text| text.contains(why)), "{refused:?}");
    }
    assert_eq!(house.node(1).cluster.hand_over(&name(2), now), Ok(()));
    house.settle(1);
    house.run(0.1);
    assert_eq!(house.holders(), [2]);
    let now = house.now;
    house.node(2).cluster.handle_cti_failed(now);
    house.settle(2);
    house.run(0.1);
    assert_eq!(house.holders(), [0], "who can't reach the sources lets another try");
    house.reach(0, false);
    assert!(house.node(0).cluster.hand_over(&name(0), now).is_err());
}

#[test]
fn a_stranger_is_refused_by_name_and_once() {
    let mut all: Vec<_> = (0..2).map(|number| settings(number, 2)).collect();
    all[1].cluster = "south".into();
    let mut house = House::of(all);
    house.run(60.0);
    let reasons = house.node(0).reasons();
    assert_eq!(
        (reasons.len(), reasons[0].code),
        (1, Code::ForeignMember),
        "{reasons:?}"
    );
    assert_eq!(house.node(0).members().len(), 0);
    assert!(house.puts < 100, "{} puts: they don't quarrel without end", house.puts);
}

#[test]
fn what_nobody_could_read_is_counted_and_does_no_harm() {
    let mut house = House::with(2);
    house.run(1.0);
    let now = house.now;
    for (key, value) in [
        ("news.gw001.7", "{"),
        ("page", ""),
        ("page.gw001.odd.1", "[]"),
        ("term.x", ""),
    ] {
        let cluster = &mut house.node(0).cluster;
        cluster.handle_change(key, Some(value.as_bytes()), 999, now);
    }
    assert_eq!(house.node(0).cluster.rejected(), 4);
    house.run(30.0);
    assert_eq!(house.node(0).reasons(), []);
}

#[test]
fn what_a_member_told_is_removed_an_hour_after_it_went() {
    let mut house = House::with(2);
    house.run(1.0);
    house.tell(0, &talks(1, 1));
    house.node(1).cluster.handle_sees(&"1".into(), [true; 2]);
    house.run(1.0);
    let kept = |house: &House| house.values.keys().filter(|key| key.contains("gw001")).count();
    house.kill(1);
    house.run(3_500.0);
    assert!(kept(&house) > 1);
    house.run(130.0);
    assert_eq!(kept(&house), 1, "just that it isn't there");
    house.start(1);
    house.run(1.0);
    assert_eq!(house.node(0).members().len(), 1);
}

#[test]
fn the_store_keeps_no_more_than_the_slots_of_the_ring() {
    let mut house = House::with(2);
    house.run(1.0);
    let agent = AgentId::from("7");
    let rounds = NEWS_SLOTS / 2 + 1_000;
    for round in 0..rounds {
        house.node(1).cluster.handle_sees(&agent, [round % 2 == 0, true]);
        house.settle(1);
        house.run(0.003);
    }
    let slots = |house: &House| house.values.keys().filter(|key| key.starts_with("news.")).count() as u64;
    assert!(slots(&house) <= NEWS_SLOTS);
    house.start(0);
    house.run(1.0);
    assert_eq!(
        house.seen(0, &agent),
        [(name(1), [(rounds - 1).is_multiple_of(2), true])]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Talk(usize),
    HangUp(usize),
    See(usize, usize, bool),
    Kill(usize),
    Reach(usize),
    Takes,
    Forget,
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let member = 0..4_usize;
    let step = prop_oneof![
        4 => (0..5_usize).prop_map(Step::Talk),
        3 => (0..3_usize).prop_map(Step::HangUp),
        3 => (member.clone(), 0..5_usize, any::<bool>()).prop_map(|(by, agent, sees)| Step::See(by, agent, sees)),
        1 => member.clone().prop_map(Step::Kill),
        2 => member.prop_map(Step::Reach),
        1 => Just(Step::Takes),
        1 => Just(Step::Forget),
        4 => any::<u8>().prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Members are killed and started, the store goes and comes and forgets, while every member that holds the CTI
    /// sessions is told what happens. In the end one holds them, all know what it knows, and who sees whom.
    #[test]
    fn whatever_happened_in_the_end_one_holds_and_all_know_the_same(steps in steps()) {
        let mut house = House::with(4);
        house.run(2.0);
        let mut calls: usize = 0;
        for step in steps {
            match step {
                Step::Talk(agent) => {
                    calls += 1;
                    for holder in house.holders() {
                        house.tell(holder, &talks(agent, calls));
                    }
                }
                Step::HangUp(back) => {
                    for holder in house.holders() {
                        for agent in 0..5 {
                            house.tell(holder, &[hangs_up(agent, calls.saturating_sub(back))]);
                        }
                    }
                }
                Step::See(by, agent, sees) if house.members[by].is_some() => {
                    house.node(by).cluster.handle_sees(&format!("{agent}").as_str().into(), [sees; 2]);
                    house.settle(by);
                }
                Step::See(..) => {}
                Step::Kill(number) if house.members[number].is_some() => house.kill(number),
                Step::Kill(number) => house.start(number),
                Step::Reach(number) => {
                    let reaches = house.members[number].as_ref().is_some_and(|member| member.reaches);
                    house.reach(number, !reaches);
                }
                Step::Takes => house.takes = !house.takes,
                Step::Forget => house.forget(),
                Step::Wait(tenths) => house.run(f64::from(tenths) / 10.0),
            }
        }
        house.takes = true;
        for number in 0..4 {
            if house.members[number].is_none() {
                house.start(number);
            }
        }
        house.reach_all(true);
        house.run(60.0);
        let holders = house.holders();
        prop_assert_eq!(holders.len(), 1);
        for number in 0..4 {
            prop_assert_eq!(house.node(number).members().len(), 3, "{}", number);
        }
        // What is told from now on is known to all.
        for agent in 0..5 {
            for call in 0..=calls {
                house.tell(holders[0], &[hangs_up(agent, call)]);
            }
            house.tell(holders[0], &talks(agent, calls + 1));
        }
        house.run(1.0);
        let known = house.media(holders[0]);
        prop_assert_eq!(known.len(), 5);
        for number in 0..4 {
            prop_assert_eq!(&house.media(number), &known, "{}", number);
        }
        for agent in 0..5 {
            let agent = AgentId::new(format!("{agent}"));
            let sees: Vec<Vec<ServerName>> = (0..4)
                .map(|by| house.seen(by, &agent).into_iter().map(|(name, _)| name).collect())
                .collect();
            for (by, other) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
                let apart = [name(by), name(other)];
                let others = |seen: &[ServerName]| -> Vec<ServerName> {
                    seen.iter().filter(|name| !apart.contains(name)).cloned().collect()
                };
                prop_assert_eq!(others(&sees[by]), others(&sees[other]));
            }
        }
    }
}
