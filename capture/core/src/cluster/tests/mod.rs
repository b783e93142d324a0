//! Members with real directories on a simulated network.

mod leaves;
pub mod net;

use proptest::prelude::*;
use silentmon_proto::cti::{AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind, CtiEvent, MediaStarted};
use silentmon_proto::ids::AgentId;
use silentmon_proto::peer::{CtiDuty, Hello, OLDEST_VERSION, VERSION};

use self::net::{Net, name, settings};
use super::*;

/// An agent signs in and takes a call.
pub fn talks(agent: usize, call: usize) -> [CtiEvent; 3] {
    let id = AgentId::new(format!("{agent}"));
    let call = format!("{agent}-{call}");
    let address = format!("10.{}.{}.20:{}", agent / 250, agent % 250, 20_000 + agent % 1_000);
    [
        AgentUpdate {
            extension: Some(format!("x{agent}").as_str().into()),
            ..AgentUpdate::new(id.clone(), AgentState::Talking)
        }
        .into(),
        CallEvent::of_agent(id.clone(), call.as_str(), CallEventKind::Established).into(),
        MediaStarted {
            agent: Some(id),
            call: Some(call.as_str().into()),
            ..MediaStarted::at(address.parse().expect("an address"))
        }
        .into(),
    ]
}

pub fn hangs_up(agent: usize, call: usize) -> CtiEvent {
    let call = format!("{agent}-{call}");
    CallEnded {
        call: call.as_str().into(),
        controlling_party: None,
    }
    .into()
}

fn holders(net: &Net) -> Vec<usize> {
    let nodes = net.nodes.iter().enumerate();
    nodes
        .filter(|(_, node)| node.as_ref().is_some_and(|node| node.holds))
        .map(|(number, _)| number)
        .collect()
}

fn tell(net: &mut Net, number: usize, events: &[CtiEvent]) {
    for event in events {
        net.tell(number, event);
    }
}

#[test]
fn members_meet_and_know_all_agents_and_one_holds_the_cti_sessions() {
    let mut net = Net::mesh(3);
    net.run(1.0);
    for number in 0..3 {
        assert_eq!(net.node(number).members().len(), 2, "{number}");
    }
    assert_eq!(holders(&net), [0], "the first by name, as all are there");
    tell(&mut net, 0, &talks(1, 1));
    net.run(0.1);
    let known = net.node(0).media();
    assert_eq!(known["1"].len(), 1);
    for number in 1..3 {
        assert_eq!(net.node(number).media(), known);
    }
    tell(&mut net, 0, &[hangs_up(1, 1)]);
    net.run(0.1);
    assert_eq!(net.node(2).media()["1"], [""; 0]);
    net.run(100.0);
    assert_eq!(holders(&net), [0]);
    assert!(
        (0..3).all(|number| net.node(number).reasons().is_empty()),
        "nobody left"
    );
}

#[test]
fn one_connection_remains_of_two_that_were_dialled_at_once() {
    let mut net = Net::mesh(2);
    net.run(30.0);
    let sent = [0, 1].map(|number| net.node(number).sent);
    net.run(50.0);
    let later = [0, 1].map(|number| net.node(number).sent);
    // A heartbeat and an answer each way, every 5 s.
    assert_eq!([later[0] - sent[0], later[1] - sent[1]], [20, 20]);
}

/// A member that was met over a connection it dialled itself, which it closes before it greets over the other one.
fn with_the_greeting_on_its_way(now: Instant) -> Cluster {
    let (met, kept) = (PeerLink(2), PeerLink(1));
    let mut cluster = Cluster::new(settings(1, 2), now);
    cluster.handle_connected(met, Dialled::ByUs, name(0), now);
    cluster.handle_message(met, PeerMessage::Hello(settings(0, 2).hello()), now);
    let (number, cti) = (0, CtiDuty::Holds { term: 1 });
    cluster.handle_message(met, PeerMessage::Heartbeat { sent: now, number, cti }, now);
    cluster.handle_connected(kept, Dialled::ByThem, name(0), now);
    cluster.handle_disconnected(met, "it was closed", now);
    assert_eq!(cluster.holder(), Some(&name(0)));
    cluster
}

fn comings_and_goings(cluster: &mut Cluster) -> Vec<&'static str> {
    let word = |event| match event {
        ClusterEvent::Joined(_) => Some("joined"),
        ClusterEvent::Left(..) => Some("left"),
        ClusterEvent::Cti(_) => Some("sessions"),
        _ => None,
    };
    std::iter::from_fn(|| cluster.poll_event()).filter_map(word).collect()
}

#[test]
fn a_member_that_keeps_the_connection_whose_greeting_is_on_its_way_has_not_left() {
    let now = Instant::from_parts(1_000, 0);
    let mut cluster = with_the_greeting_on_its_way(now);
    cluster.handle_message(PeerLink(1), PeerMessage::Hello(settings(0, 2).hello()), now);
    assert_eq!(comings_and_goings(&mut cluster), ["joined"]);
    assert_eq!(cluster.holder(), Some(&name(0)), "it holds on");
    cluster.handle_disconnected(PeerLink(1), "reset", now);
    assert_eq!(comings_and_goings(&mut cluster), ["left", "sessions"]);
}

/// A member of another version, met by one of this; what the latter thinks of it.
fn met(version: u16, oldest: u16, now: Instant) -> Cluster {
    let mut cluster = Cluster::new(settings(1, 2), now);
    cluster.handle_connected(PeerLink(1), Dialled::ByThem, name(0), now);
    let hello = Hello {
        version,
        oldest,
        ..settings(0, 2).hello()
    };
    cluster.handle_message(PeerLink(1), PeerMessage::Hello(hello), now);
    cluster
}

fn says(cluster: &mut Cluster, message: &str, now: Instant) {
    let message = serde_json::from_str(message).expect("a message");
    cluster.handle_message(PeerLink(1), message, now);
}

#[test]
fn a_member_of_the_next_version_is_one_and_what_is_new_of_it_is_passed_over() {
    let now = Instant::from_parts(1_000, 0);
    let mut cluster = met(VERSION + 1, VERSION, now);
    assert_eq!(comings_and_goings(&mut cluster), ["joined"]);
    let empty = r#"{"snapshot":{"number":0,"facts":[{"weather":{"sky":"blue"}}],"more":false}}"#;
    says(&mut cluster, empty, now);
    while cluster.poll_transmit().is_some() {}
    says(&mut cluster, r#"{"weather":{"sky":"blue"}}"#, now);
    says(
        &mut cluster,
        r#"{"news":{"number":1,"fact":{"weather":{"sky":"grey"}}}}"#,
        now,
    );
    let known = r#"{"news":{"number":2,"fact":{"sees":{"agent":"1","legs":[true,false]}}}}"#;
    says(&mut cluster, known, now);
    let seen: Vec<_> = cluster.seen_by(&"1".into()).collect();
    assert_eq!(seen, [(&name(0), [true, false])]);
    assert!(
        cluster.poll_transmit().is_none(),
        "nothing is missed and asked for again"
    );
}

#[test]
fn a_member_whose_versions_are_all_too_new_or_too_old_is_refused_by_number() {
    let now = Instant::from_parts(1_000, 0);
    for (version, oldest) in [(VERSION + 2, VERSION + 1), (OLDEST_VERSION - 1, 0)] {
        let mut cluster = met(version, oldest, now);
        let refused = std::iter::from_fn(|| cluster.poll_event()).find_map(|event| match event {
            ClusterEvent::Refused(_, reason) => Some(reason.text),
            _ => None,
        });
        let refused = refused.expect("refused");
        assert!(
            refused.contains(&format!("versions {oldest} to {version} ")),
            "{refused}"
        );
    }
}

#[test]
fn a_member_that_was_started_again_meanwhile_has_left() {
    let now = Instant::from_parts(1_000, 0);
    let mut cluster = with_the_greeting_on_its_way(now);
    let again = Hello {
        run: 2,
        ..settings(0, 2).hello()
    };
    cluster.handle_message(PeerLink(1), PeerMessage::Hello(again), now);
    assert_eq!(
        comings_and_goings(&mut cluster),
        ["joined", "left", "sessions", "joined"]
    );
}

#[test]
fn the_next_one_takes_over_at_once_when_the_holders_socket_breaks_and_knows_the_media() {
    let mut net = Net::mesh(3);
    net.run(1.0);
    tell(&mut net, 0, &talks(7, 1));
    net.run(0.1);
    net.kill(0, true);
    net.run(0.1);
    assert_eq!(holders(&net), [1]);
    assert_eq!(net.node(1).media()["7"].len(), 1, "no CTI source can be asked for it");
}

#[test]
fn a_holder_that_dies_silently_is_noticed_after_three_heartbeats() {
    let mut net = Net::mesh(3);
    net.run(1.0);
    net.kill(0, false);
    net.run(14.0);
    assert_eq!(holders(&net), [0; 0]);
    net.run(6.5);
    assert_eq!(holders(&net), [1]);
    assert!(
        net.node(1).reasons()[0].text.contains("has said nothing for 20 s"),
        "{:?}",
        net.node(1).reasons()
    );
}

#[test]
fn a_member_that_comes_back_learns_everything_and_takes_nothing_away() {
    let mut net = Net::mesh(3);
    net.run(1.0);
    net.kill(0, true);
    net.run(1.0);
    tell(&mut net, 1, &talks(7, 1));
    net.start(0);
    net.run(10.0);
    assert_eq!(holders(&net), [1], "who holds goes on");
    assert_eq!(net.node(0).media(), net.node(1).media());
}

#[test]
fn those_who_ask_for_everything_at_once_are_answered_with_one_snapshot() {
    let mut net = Net::mesh(8);
    net.run(1.0);
    tell(&mut net, 0, &talks(7, 1));
    let snapshots = |net: &mut Net| {
        let log = net.node(0).log.iter();
        log.filter(|event| matches!(event, ClusterEvent::SnapshotWanted))
            .count()
    };
    let before = snapshots(&mut net);
    for number in 1..8 {
        net.kill(number, true);
        net.start(number);
    }
    net.run(5.0);
    let made = snapshots(&mut net) - before;
    assert!((1..7).contains(&made), "{made} for seven members");
    for number in 1..8 {
        assert_eq!(net.node(number).media()["7"].len(), 1, "{number}");
    }
}

#[test]
fn what_is_known_from_others_is_told_where_nobody_can_hold_the_sessions() {
    let able = |number| ClusterSettings {
        has_cti: number == 0,
        ..settings(number, 3)
    };
    let mut net = Net::of((0..3).map(able).collect());
    net.run(1.0);
    net.kill(2, true);
    tell(&mut net, 0, &talks(7, 1));
    net.run(1.0);
    net.kill(0, true);
    net.start(2);
    net.run(10.0);
    assert_eq!(holders(&net), [0; 0]);
    assert_eq!(net.node(2).media()["7"].len(), 1);
}

#[test]
fn an_administrator_hands_the_sessions_over() {
    let mut net = Net::mesh(3);
    net.run(1.0);
    let now = net.now;
    assert!(net.node(1).cluster.hand_over(&name(9), now).is_err());
    assert_eq!(net.node(1).cluster.hand_over(&name(2), now), Ok(()));
    net.run(6.0);
    assert_eq!(holders(&net), [2]);
    let now = net.now;
    assert_eq!(net.node(0).cluster.hand_over(&name(0), now), Ok(()));
    net.run(6.0);
    assert_eq!(holders(&net), [0]);
}

#[test]
fn who_cannot_reach_the_sources_lets_another_try() {
    let mut all: Vec<_> = (0..3).map(|number| settings(number, 3)).collect();
    all[1].has_cti = false;
    let mut net = Net::of(all);
    net.run(1.0);
    let now = net.now;
    net.node(0).cluster.handle_cti_failed(now);
    net.run(6.0);
    assert_eq!(holders(&net), [2], "1 has no source configured");
    let now = net.now;
    net.node(2).cluster.handle_cti_failed(now);
    net.run(6.0);
    assert_eq!(holders(&net), [2], "nobody else could do better yet");
    net.run(60.0);
    let now = net.now;
    net.node(2).cluster.handle_cti_failed(now);
    net.run(6.0);
    assert_eq!(holders(&net), [0]);
}

/// A change that makes a server a stranger, why it is refused, and a piece of the sentence.
type Case = (fn(&mut ClusterSettings), Code, &'static str);

#[test]
fn strangers_are_refused_by_name() {
    let cases: [Case; 3] = [
        (
            |other| other.cluster = "south".into(),
            Code::ForeignMember,
            "is of cluster south",
        ),
        (
            |other| other.service_port = 42_300,
            Code::ServicePortMismatch,
            "gw001 listens on 42300, gw000 on 42228",
        ),
        (
            |other| other.server = name(0),
            Code::CertificateRefused,
            "this server is gw000",
        ),
    ];
    for (change, code, words) in cases {
        let mut all: Vec<_> = (0..2).map(|number| settings(number, 2)).collect();
        change(&mut all[1]);
        all[1].peers = vec![name(0)];
        let mut net = Net::of(all);
        net.connect(0, 1);
        net.run(0.5);
        let reasons = net.node(0).reasons();
        let found = reasons.iter().find(|reason| reason.code == code);
        assert!(found.is_some_and(|reason| reason.text.contains(words)), "{reasons:?}");
        assert!(net.node(0).members().is_empty() && net.node(1).members().is_empty());
    }
}

#[test]
fn a_lost_fact_is_made_up_for_by_a_snapshot() {
    let mut net = Net::mesh(2);
    net.run(1.0);
    let [state, call, media] = talks(7, 1);
    net.lose = Some(|message| matches!(message, PeerMessage::News { .. }));
    tell(&mut net, 0, &[state, call]);
    net.run(0.1);
    tell(&mut net, 0, &[media]);
    net.run(0.1);
    assert_eq!(net.node(1).media(), net.node(0).media());
}

#[test]
fn who_sees_an_agent_is_known_everywhere_until_he_is_gone() {
    let mut net = Net::mesh(3);
    net.run(1.0);
    let agent = AgentId::from("7");
    net.node(2).cluster.handle_sees(&agent, [true, false]);
    net.tell(2, &talks(8, 1)[0]);
    net.run(0.1);
    let seen = |net: &mut Net, by: usize| -> Vec<_> {
        let seen = net.node(by).cluster.seen_by(&agent);
        seen.map(|(name, legs)| (name.clone(), legs)).collect()
    };
    assert_eq!(seen(&mut net, 0), [(name(2), [true, false])]);
    net.kill(0, true);
    net.start(0);
    net.run(3.0);
    assert_eq!(seen(&mut net, 0), [(name(2), [true, false])], "by its snapshot");
    net.kill(2, true);
    net.run(0.1);
    assert_eq!(seen(&mut net, 0), []);
}

#[test]
fn clocks_are_compared() {
    let mut net = Net::mesh(2);
    net.run(1.0);
    let cluster = &net.node(0).cluster;
    let clock = cluster
        .members()
        .next()
        .and_then(|name| cluster.member(name))
        .expect("met")
        .clock;
    let clock = clock.expect("measured");
    assert_eq!((clock.ahead, clock.round_trip), (0, Duration::from_millis(2)));
}

#[test]
fn sixteen_members_know_ten_thousand_agents_after_one_comes_back() {
    let mut net = Net::mesh(16);
    net.run(1.0);
    net.kill(9, true);
    net.run(3.0);
    let now = net.now;
    for agent in 0..10_000 {
        net.node(0).directory.handle_event(&talks(agent, 1)[0], now);
    }
    net.start(9);
    net.run(2.5);
    assert_eq!(net.node(9).media().len(), 10_000);
    let told = |event: &ClusterEvent| match event {
        ClusterEvent::ToldAll { facts, .. } => facts.len(),
        _ => 0,
    };
    let facts: usize = net.node(9).log.iter().map(told).sum();
    assert_eq!(facts, 10_000, "by the holder alone, and once");
}

#[derive(Debug, Clone)]
enum Step {
    Talk(usize),
    HangUp(usize),
    Kill(usize, bool),
    Cut(usize, usize),
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..4_usize;
    let step = prop_oneof![
        4 => (0..5_usize).prop_map(Step::Talk),
        3 => (0..3_usize).prop_map(Step::HangUp),
        1 => (node.clone(), any::<bool>()).prop_map(|(number, loudly)| Step::Kill(number, loudly)),
        2 => (node.clone(), node).prop_map(|(one, other)| Step::Cut(one, other)),
        4 => any::<u8>().prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Members are killed and started, cut off and joined again, while every member that holds the CTI sessions is told
    /// what happens. In the end one holds them, and all know what it knows.
    #[test]
    fn whatever_happened_in_the_end_one_holds_and_all_know_the_same(steps in steps()) {
        let mut net = Net::mesh(4);
        net.run(2.0);
        let mut calls = 0;
        for step in steps {
            match step {
                Step::Talk(agent) => {
                    calls += 1;
                    for holder in holders(&net) {
                        tell(&mut net, holder, &talks(agent, calls));
                    }
                }
                Step::HangUp(back) => {
                    for holder in holders(&net) {
                        for agent in 0..5 {
                            tell(&mut net, holder, &[hangs_up(agent, calls.saturating_sub(back))]);
                        }
                    }
                }
                Step::Kill(number, loudly) if net.nodes[number].is_some() => net.kill(number, loudly),
                Step::Kill(number, _) => net.start(number),
                Step::Cut(one, other) if one != other => {
                    let cut = net.is_cut(one, other);
                    net.cut(one, other, !cut);
                }
                Step::Cut(..) => {}
                Step::Wait(tenths) => net.run(f64::from(tenths) / 10.0),
            }
        }
        for one in 0..4 {
            for other in 0..one {
                net.cut(one, other, false);
            }
            if net.nodes[one].is_none() {
                net.start(one);
            }
        }
        net.run(60.0);
        let holders = holders(&net);
        prop_assert_eq!(holders.len(), 1);
        // An agent without media may be known to who was told of him while nobody else could be.
        let media = |net: &mut Net, number: usize| -> Vec<_> {
            let all = net.node(number).media().into_iter();
            all.filter(|(_, media)| !media.is_empty()).collect()
        };
        let known = media(&mut net, holders[0]);
        for number in 0..4 {
            prop_assert_eq!(net.node(number).members().len(), 3);
            // One may have heard of a call's end that the holder missed while they were apart.
            let more: Vec<_> = media(&mut net, number).into_iter().filter(|row| !known.contains(row)).collect();
            prop_assert_eq!(more, [], "{}", number);
        }
        // What is told from now on is known to all.
        for agent in 0..5 {
            for call in 0..=calls {
                tell(&mut net, holders[0], &[hangs_up(agent, call)]);
            }
            tell(&mut net, holders[0], &talks(agent, calls + 1));
        }
        net.run(1.0);
        let known = media(&mut net, holders[0]);
        prop_assert_eq!(known.len(), 5);
        for number in 0..4 {
            prop_assert_eq!(&media(&mut net, number), &known, "{}", number);
        }
    }
}
