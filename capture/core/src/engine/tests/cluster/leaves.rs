//! Supervisors at hubs hear agents whom leaves see, whichever hubs these dialled.

use silentmon_proto::peer::{CtiDuty, Fact, HomeSession, PeerMessage, RelayMessage};

use super::*;
use crate::cluster::Directory;

const LEAF: usize = 2;

/// Two hubs, a leaf that dials these, and an agent whose calls its source tells of and its mirror shows.
fn site(dials: &[usize]) -> Net {
    let mut net = Net::of_hubs(2, &[dials]);
    net.source = Some(LEAF);
    net.run(3.0);
    net.talks(0, &[(LEAF, BOTH)]);
    net.run(3.0);
    net
}

fn homes(net: &Net, number: usize) -> Vec<Option<ServerName>> {
    let started = |event: &EngineEvent| match event {
        EngineEvent::SessionStarted(record) => Some(record.home.clone()),
        _ => None,
    };
    net.member(number).journal.iter().filter_map(started).collect()
}

fn reason(net: &Net, program: usize) -> Reason {
    net.programs[program].status.as_ref().expect("a status").reason.clone()
}

#[test]
fn a_supervisor_at_a_hub_hears_an_agent_whom_a_leaf_sees() {
    let mut net = site(&[0, 1]);
    for (hub, name) in ["anna", "bert"].into_iter().enumerate() {
        let program = net.listen(name, 0, &[hub]);
        net.run(1.0);
        let before = net.programs[program].count();
        net.run(10.0);
        let heard = net.programs[program].count() - before;
        assert!((999..=1001).contains(&heard), "{heard}");
        assert!(!net.programs[program].heard_twice());
        assert_eq!(reason(&net, program).code, Code::AudioFlowing);
    }
    // Straight from the leaf: each session is in two journals.
    for hub in 0..2 {
        assert_eq!(homes(&net, hub), [None]);
    }
    assert_eq!(homes(&net, LEAF), [Some(server(0)), Some(server(1))]);
}

#[test]
fn a_leaf_that_another_hub_reaches_is_heard_through_that_hub() {
    let mut net = site(&[1]);
    let anna = net.listen("anna", 0, &[0]);
    net.run(1.0);
    let before = net.programs[anna].count();
    net.run(10.0);
    let heard = net.programs[anna].count() - before;
    assert!((999..=1001).contains(&heard), "{heard}");
    assert!(!net.programs[anna].heard_twice());
    assert_eq!(reason(&net, anna).code, Code::AudioFlowing);
    assert_eq!(homes(&net, 0), [None]);
    assert_eq!(
        homes(&net, 1),
        [Some(server(0))],
        "the hub between has it in its journal"
    );
    assert_eq!(homes(&net, LEAF), [Some(server(1))]);
    // What the leaf's own rules refuse is said at both.
    net.change_policy(LEAF, |policy| {
        policy.excluded.agents.insert(agent(0));
    });
    net.run(0.1);
    let heard = net.programs[anna].count();
    net.run(5.0);
    assert_eq!(net.programs[anna].count(), heard, "nothing leaves the leaf");
    let refused = reason(&net, anna);
    assert_eq!(refused.code, Code::NotAuthorised, "{refused}");
    assert!(refused.text.contains("gw2 refuses: "), "{refused}");
    net.stop(anna);
    net.run(1.0);
    for number in 0..3 {
        assert_eq!(net.member(number).engine.session_count(), 0, "gw{number}");
    }
}

#[test]
fn a_hub_that_comes_to_reach_a_leaf_goes_on_hearing_it_by_the_other() {
    let mut net = site(&[0, 1]);
    net.cut(0, LEAF, true);
    net.run(20.0);
    let anna = net.listen("anna", 0, &[0]);
    net.run(3.0);
    assert_eq!(homes(&net, LEAF), [Some(server(1))]);
    net.cut(0, LEAF, false);
    let healed = net.now;
    net.run(30.0);
    let program = &net.programs[anna];
    assert!(program.longest_gap(healed, net.now) < Duration::from_millis(50));
    assert_eq!(net.member(LEAF).count(moved), 0, "no change of the way for nothing");
    // The other hub dies: heard straight from then on, in the same session.
    let dies = net.now;
    net.kill(1, true);
    net.run(10.0);
    let program = &net.programs[anna];
    assert!(program.longest_gap(dies, net.now) < Duration::from_secs(1));
    assert_eq!((program.sessions.len(), program.heard_twice()), (1, false));
    assert_eq!((net.member(LEAF).count(started), net.member(LEAF).count(moved)), (1, 1));
}

#[test]
fn a_leaf_that_dies_is_missed_by_name_and_heard_again_when_it_is_back() {
    let mut net = site(&[0, 1]);
    let anna = net.listen("anna", 0, &[0]);
    net.run(3.0);
    net.kill(LEAF, true);
    net.run(4.0);
    let gone = reason(&net, anna);
    assert!(
        gone.code.outcome() > Outcome::Warning && gone.text.contains("gw2"),
        "{gone}"
    );
    net.run(20.0);
    assert_eq!(net.member(0).engine.cluster().expect("a hub").leaf_counts().here, 0);
    net.start(LEAF);
    net.run(3.0);
    net.talks(0, &[(LEAF, BOTH)]);
    let back = net.now;
    net.run(5.0);
    let program = &net.programs[anna];
    assert!(program.longest_gap(back + Duration::from_secs(3), net.now) < Duration::from_millis(50));
    assert_eq!(program.sessions.len(), 1, "the session waited");
}

#[test]
fn a_leaf_that_falls_silent_is_named_before_its_connection_is_given_up() {
    let mut net = site(&[0]);
    let anna = net.listen("anna", 0, &[0]);
    net.run(3.0);
    net.kill(LEAF, false);
    net.run(6.0);
    let silent = reason(&net, anna);
    assert_eq!(silent.code, Code::NoCaptureServer, "{silent}");
    assert!(
        silent
            .text
            .starts_with("gw2, which sees the agent, has said nothing for"),
        "{silent}"
    );
    assert_eq!(
        net.member(0).engine.cluster().expect("a hub").leaf_counts().here,
        1,
        "not yet"
    );
}

#[test]
fn a_session_goes_on_at_another_hub_that_the_leaf_dialled_when_its_home_dies() {
    let mut net = site(&[0, 1]);
    let anna = net.listen("anna", 0, &[0, 1]);
    net.run(3.0);
    let dies = net.now;
    net.kill(0, true);
    net.run(10.0);
    let program = &net.programs[anna];
    assert!(program.longest_gap(dies, net.now) < Duration::from_secs(1));
    assert_eq!((program.sessions.len(), program.heard_twice()), (1, false));
    assert_eq!((net.member(1).count(started), net.member(1).count(moved)), (0, 1));
    assert_eq!((net.member(LEAF).count(started), net.member(LEAF).count(moved)), (1, 1));
    net.run(60.0);
    assert_eq!(
        (net.member(LEAF).engine.session_count(), net.member(LEAF).count(stopped)),
        (1, 0)
    );
}

#[test]
fn a_session_goes_on_at_the_hub_between_when_its_home_dies() {
    let mut net = site(&[1]);
    let anna = net.listen("anna", 0, &[0, 1]);
    net.run(3.0);
    let dies = net.now;
    net.kill(0, true);
    net.run(10.0);
    let program = &net.programs[anna];
    assert!(program.longest_gap(dies, net.now) < Duration::from_secs(1));
    assert_eq!((program.sessions.len(), program.heard_twice()), (1, false));
    assert_eq!((net.member(1).count(started), net.member(1).count(moved)), (1, 1));
    assert_eq!(
        (net.member(LEAF).count(started), net.member(LEAF).count(moved)),
        (1, 0),
        "for it nothing changed"
    );
}

#[test]
fn a_supervisor_who_moves_to_another_hub_keeps_the_leafs_session() {
    let mut net = site(&[1]);
    let anna = net.listen("anna", 0, &[1, 0]);
    net.run(3.0);
    net.lose_connection(anna);
    let moves = net.now;
    net.run(60.0);
    let program = &net.programs[anna];
    assert!(program.longest_gap(moves, net.now) < Duration::from_secs(1));
    assert_eq!((program.sessions.len(), program.heard_twice()), (1, false));
    assert_eq!(net.member(0).count(moved), 1);
    assert_eq!(
        (net.member(LEAF).count(started), net.member(LEAF).count(stopped)),
        (1, 0)
    );
}

#[test]
fn a_pause_that_is_asked_for_at_a_leaf_holds_there_and_at_the_hubs() {
    let mut net = site(&[1]);
    let anna = net.listen("anna", 0, &[0]);
    net.run(3.0);
    let of = crate::policy::PauseOf::Agent(agent(0));
    let pause = PauseRequest {
        kind: crate::policy::PauseKind::Payment,
        of: of.clone(),
        by: "the till".into(),
        lasting: None,
    };
    net.on(LEAF, |engine, now| engine.handle_pause(pause, now).expect("room"));
    net.run(0.1);
    let (heard, relayed) = (net.programs[anna].count(), net.relayed);
    net.run(3.0);
    assert_eq!(net.programs[anna].count(), heard);
    assert!(
        net.relayed > relayed,
        "what is kept back is still told, without its sound"
    );
    assert_eq!(reason(&net, anna).code, Code::PaymentPause);
    assert_eq!(net.member(0).engine.pauses().count(), 1);
    net.on(LEAF, |engine, now| {
        engine.handle_resume(crate::policy::PauseKind::Payment, &of, "the till", now)
    });
    net.run(1.0);
    assert!(net.programs[anna].count() > heard);
}

#[test]
fn a_desk_at_a_leaf_that_is_gone_tells_nobody_any_more() {
    let mut net = site(&[0]);
    net.on(LEAF, |engine, now| engine.handle_desk(&agent(0), Desk::Opened, now));
    net.run(1.0);
    let told = |net: &Net| {
        net.member(1)
            .engine
            .cluster()
            .expect("a hub")
            .has_desk_elsewhere(&agent(0))
    };
    assert!(told(&net));
    net.kill(LEAF, true);
    net.run(1.0);
    assert!(!told(&net));
}

#[test]
fn a_hub_says_which_leaves_are_there_and_a_leaf_which_hub_is_not() {
    let mut net = Net::of_hubs(2, &[&[0], &[0, 1]]);
    net.run(3.0);
    let status = |net: &Net, number: usize| net.member(number).engine.cluster_status().expect("in a cluster");
    let leaves = status(&net, 1).leaves.expect("a hub's");
    assert_eq!((leaves.here, leaves.elsewhere, leaves.lost), (1, 1, 0));
    let hubs: Vec<_> = leaves
        .each
        .iter()
        .map(|leaf| (leaf.server.clone(), leaf.hubs.clone()))
        .collect();
    assert_eq!(
        hubs,
        [(server(2), vec![server(0)]), (server(3), vec![server(0), server(1)])]
    );
    assert!(status(&net, 2).leaves.is_none(), "no hub");
    net.kill(1, true);
    net.run(1.0);
    let hops = net.on(3, |engine, now| engine.examine(None, None, now)).expect("up");
    let hop = hops.into_iter().find(|hop| hop.hop == "cluster").expect("a hop");
    assert_eq!(hop.evidence.get("not there"), Some("gw1"));
    let hops = net.on(0, |engine, now| engine.examine(None, None, now)).expect("up");
    let hop = hops.into_iter().find(|hop| hop.hop == "cluster").expect("a hop");
    assert_eq!(hop.evidence.get("leaves there"), Some("2"));
}

#[test]
fn a_leaf_hears_nobody_and_takes_no_session_over_whatever_it_says() {
    let mut net = Net::of_hubs(1, &[&[0], &[0]]);
    net.source = Some(2);
    net.run(3.0);
    net.talks(0, &[(2, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[0]);
    net.run(3.0);
    let hub = net.member(0).engine.cluster().expect("a hub");
    let link = hub.link_to(&server(1)).expect("a leaf");
    let wanted = HomeSession {
        session: net.programs[anna].session.expect("a session"),
        agent: agent(0),
        principal: supervisor("anna"),
        purpose: None,
        output: OutputKind::Play,
        started: net.now,
        confirmed: net.now,
        attached: net.now,
    };
    let other = HomeSession {
        session: SessionId(4_711),
        ..wanted.clone()
    };
    let fact = Fact::Session(wanted.clone());
    let lies = [
        PeerMessage::Snapshot {
            number: 0,
            facts: vec![fact],
            more: false,
        },
        PeerMessage::Relay(Box::new(RelayMessage::Subscribe(wanted))),
        PeerMessage::Relay(Box::new(RelayMessage::Subscribe(other))),
    ];
    net.on(0, |engine, now| {
        engine.handle_peer_message(
            link,
            PeerMessage::Heartbeat {
                sent: now,
                number: 9,
                cti: CtiDuty::None,
            },
            now,
        );
    });
    for lie in lies {
        net.on(0, |engine, now| engine.handle_peer_message(link, lie, now));
    }
    let told = net.now;
    net.run(5.0);
    assert_eq!((net.member(0).count(started), net.member(2).count(started)), (1, 1));
    assert_eq!((net.member(0).count(moved), net.member(2).count(moved)), (0, 0));
    assert!(net.programs[anna].longest_gap(told, net.now) < Duration::from_millis(50));
}
