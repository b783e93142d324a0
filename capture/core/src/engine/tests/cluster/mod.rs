//! Sessions across members: who is heard where, what policy keeps back, and how they go on when members die or part.

mod apart;
mod chaos;
mod leaves;
mod mirror;
mod net;
mod pauses;
mod retelling;
mod supervising;

use silentmon_proto::reason::Outcome;

use self::net::{Net, agent, server};
use super::*;

const BOTH: [bool; 2] = [true; 2];
const AGENT: [bool; 2] = [true, false];
const CUSTOMER: [bool; 2] = [false, true];

fn started(event: &EngineEvent) -> bool {
    matches!(event, EngineEvent::SessionStarted(_))
}

fn stopped(event: &EngineEvent) -> bool {
    matches!(event, EngineEvent::SessionStopped(..))
}

fn moved(event: &EngineEvent) -> bool {
    matches!(event, EngineEvent::SessionMoved { .. })
}

#[test]
fn any_supervisor_at_any_member_hears_any_agent_as_captured() {
    let mut net = Net::of(3);
    for number in 0..3 {
        net.talks(number, &[(number, BOTH)]);
    }
    net.run(3.0);
    let names = ["anna", "bert", "carl"];
    for (member, name) in names.into_iter().enumerate() {
        for number in 0..3 {
            net.listen(name, number, &[member]);
        }
    }
    net.run(1.0);
    let before: Vec<usize> = net.programs.iter().map(net::Program::count).collect();
    net.run(10.0);
    for (program, before) in net.programs.iter().zip(before) {
        let heard = program.count() - before;
        assert!(
            (999..=1001).contains(&heard),
            "{} heard {heard} of {}",
            program.supervisor,
            program.agent
        );
        assert!(!program.heard_twice());
        let status = program.status.as_ref().expect("a status");
        assert_eq!(status.reason.code, Code::AudioFlowing, "{}", status.reason);
    }
    // Each session is in the journals of its home and of its source, which says whose it is.
    for number in 0..3 {
        let homes = net.member(number).journal.iter().filter_map(|event| match event {
            EngineEvent::SessionStarted(record) => Some(record.home.clone()),
            _ => None,
        });
        let homes: Vec<_> = homes.collect();
        assert_eq!(homes.iter().filter(|home| home.is_none()).count(), 3);
        for other in (0..3).filter(|other| *other != number) {
            assert_eq!(homes.iter().filter(|home| **home == Some(server(other))).count(), 1);
        }
    }
}

#[test]
fn what_nobody_listens_to_any_more_is_not_relayed() {
    let mut net = Net::of(2);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[1]);
    net.run(2.0);
    assert!(net.relayed > 0);
    net.stop(anna);
    net.run(0.1);
    let relayed = net.relayed;
    net.run(5.0);
    assert_eq!(net.relayed, relayed);
    assert_eq!(
        (0..2)
            .map(|number| net.member(number).engine.session_count())
            .sum::<usize>(),
        0
    );
    assert_eq!(
        net.member(0).count(stopped),
        1,
        "the source has the end in its journal, too"
    );
}

#[test]
fn legs_that_different_members_see_are_joined() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, AGENT), (1, CUSTOMER)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[2]);
    net.run(5.0);
    let program = &net.programs[anna];
    assert_eq!(program.heard.len(), 2);
    assert_eq!(
        program.status.as_ref().expect("a status").reason.code,
        Code::AudioFlowing
    );
    let bert = net.listen("bert", 0, &[0]);
    net.run(3.0);
    assert_eq!(net.programs[bert].heard.len(), 2, "one leg seen here, the other there");
}

#[test]
fn mirrors_that_overlap_are_heard_once_and_fill_each_others_gaps() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH), (1, BOTH)]);
    net.run(3.0);
    net.call(0).mirror_loses = 10;
    let anna = net.listen("anna", 0, &[2]);
    net.run(1.0);
    let before = net.programs[anna].count();
    net.run(10.0);
    let program = &net.programs[anna];
    assert!(!program.heard_twice());
    assert!(
        (998..=1002).contains(&(program.count() - before)),
        "{}",
        program.count() - before
    );
    // The home sees them too, loses some, and asks the other.
    let bert = net.listen("bert", 0, &[0]);
    net.run(5.0);
    let before = net.programs[bert].count();
    net.run(10.0);
    assert!(!net.programs[bert].heard_twice());
    assert!(
        net.programs[bert].count() - before >= 998,
        "{}",
        net.programs[bert].count() - before
    );
    let status = net.programs[bert].status.as_ref().expect("a status");
    assert!(
        status.legs[0].overlapping > 100 && status.legs[0].duplicates == 0,
        "{:?}",
        status.legs[0]
    );
}

#[test]
fn a_member_that_sees_everything_asks_nobody() {
    let mut net = Net::of(2);
    net.talks(0, &[(0, BOTH), (1, BOTH)]);
    net.run(3.0);
    net.listen("anna", 0, &[0]);
    net.run(10.0);
    assert_eq!(net.relayed, 0);
    assert_eq!(net.member(1).count(started), 0);
}

#[test]
fn what_the_members_connection_loses_is_asked_for_again() {
    let mut net = Net::of(2);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    net.members_lose = 9;
    let anna = net.listen("anna", 0, &[1]);
    net.run(1.0);
    let before = net.programs[anna].count();
    net.run(20.0);
    let heard = net.programs[anna].count() - before;
    assert!((1_995..=2_003).contains(&heard), "{heard} of 2000");
    assert!(!net.programs[anna].heard_twice());
}

#[test]
fn an_agent_who_moves_to_another_gateway_is_followed() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[2]);
    net.run(5.0);
    for gateway in [1, 2, 0] {
        net.hangs_up(0);
        net.run(1.0);
        let before = net.now;
        net.talks(0, &[(gateway, BOTH)]);
        net.run(8.0);
        let program = &net.programs[anna];
        let gap = program.longest_gap(before, net.now);
        assert!(gap < Duration::from_millis(2_200), "gw{gateway}: {gap:?}");
        assert_eq!(program.sessions.len(), 1);
    }
}

#[test]
fn a_shorter_call_after_a_longer_one_is_heard_elsewhere_too() {
    let mut net = Net::of(2);
    net.talks(0, &[(1, BOTH)]);
    net.run(60.0);
    net.hangs_up(0);
    net.run(30.0);
    let anna = net.listen("anna", 0, &[0]);
    net.talks(0, &[(1, BOTH)]);
    net.run(10.0);
    let heard = net.programs[anna].count();
    assert!(heard > 700, "{heard}");
}

#[test]
fn each_call_is_heard_elsewhere_from_its_beginning_on() {
    let mut net = Net::of(3);
    net.talks(0, &[(1, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[0]);
    net.run(10.0);
    // By the gateway of the last call at once, by another one as soon as its member has seen it.
    for (gateway, within) in [(1, 30), (2, 250), (2, 30), (1, 250)] {
        net.hangs_up(0);
        net.run(60.0);
        net.talks(0, &[(gateway, BOTH)]);
        let begun = net.now;
        net.run(5.0);
        let first = net.programs[anna].times.iter().find(|at| **at >= begun);
        let late = *first.expect("he is heard") - begun;
        assert!(late <= Duration::from_millis(within), "gw{gateway}: {late:?}");
    }
    net.run(15.0);
    let let_go = [1, 2].map(|member| net.member(member).count(stopped));
    assert_eq!(let_go, [1, 1], "each when the other saw him");
}

#[test]
fn a_source_refuses_by_its_own_rules_and_the_home_says_so() {
    let mut net = Net::of(2);
    net.change_policy(0, |policy| {
        policy.excluded.agents.insert(agent(0));
    });
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[1]);
    net.run(10.0);
    assert_eq!((net.programs[anna].count(), net.relayed), (0, 0));
    let status = net.programs[anna].status.as_ref().expect("a status");
    assert_eq!(status.reason.code, Code::NotAuthorised);
    assert!(
        status.reason.text.starts_with("gw0 refuses: "),
        "{}",
        status.reason.text
    );
    let refused = |event: &EngineEvent| matches!(event, EngineEvent::SessionRefused { .. });
    assert_eq!(
        net.member(0).count(refused),
        1,
        "asked again and again, written down once"
    );
    net.change_policy(0, |policy| policy.excluded.agents.clear());
    net.run(5.0);
    assert!(net.programs[anna].count() > 0, "allowed again, he is heard");
    net.change_policy(0, |policy| {
        policy.excluded.agents.insert(agent(0));
    });
    net.run(0.1);
    let heard = net.programs[anna].count();
    net.run(5.0);
    assert_eq!(
        net.programs[anna].count(),
        heard,
        "forbidden at the source, nothing leaves it"
    );
}

#[test]
fn a_pause_at_the_source_keeps_the_sound_there() {
    let mut net = Net::of(2);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[1]);
    net.run(3.0);
    let pause = PauseRequest {
        kind: crate::policy::PauseKind::Payment,
        of: crate::policy::PauseOf::Agent(agent(0)),
        by: "the till".into(),
        lasting: None,
    };
    let begun = net.on(0, |engine, now| engine.handle_pause(pause, now).expect("room"));
    assert_eq!(begun.expect("runs").agents, [agent(0)]);
    net.run(0.1);
    let heard = net.programs[anna].count();
    net.run(3.0);
    assert_eq!(net.programs[anna].count(), heard);
    let status = net.programs[anna].status.as_ref().expect("a status");
    assert_eq!(status.reason.code, Code::PaymentPause, "{}", status.reason);
    let of = crate::policy::PauseOf::Agent(agent(0));
    net.on(0, |engine, now| {
        engine.handle_resume(crate::policy::PauseKind::Payment, &of, "the till", now)
    });
    net.run(1.0);
    assert!(net.programs[anna].count() > heard);
}

#[test]
fn a_supervisor_goes_on_at_another_member_when_his_home_dies() {
    for loudly in [true, false] {
        let mut net = Net::of(3);
        net.talks(0, &[(2, BOTH)]);
        net.run(3.0);
        let anna = net.listen("anna", 0, &[0, 1]);
        net.run(3.0);
        let session = net.programs[anna].session;
        let dies = net.now;
        net.kill(0, loudly);
        net.run(if loudly { 5.0 } else { 30.0 });
        let program = &net.programs[anna];
        assert_eq!(program.session, session, "the same session");
        let gap = program.longest_gap(dies, net.now);
        let limit = if loudly { 1.0 } else { 20.0 };
        assert!(gap < Duration::from_secs_f64(limit), "{gap:?}");
        assert_eq!((net.member(1).count(started), net.member(1).count(moved)), (0, 1));
        assert_eq!((net.member(2).count(started), net.member(2).count(moved)), (1, 1));
        let former = net.member(2).journal.iter().find_map(|event| match event {
            EngineEvent::SessionMoved { session, former } => Some((session.home.clone(), former.clone())),
            _ => None,
        });
        assert_eq!(former, Some((Some(server(1)), server(0))));
        assert!(!program.heard_twice());
        net.run(60.0);
        assert_eq!(net.member(2).engine.session_count(), 1);
        assert_eq!(net.member(2).count(stopped), 0);
    }
}

#[test]
fn a_former_home_that_comes_back_takes_no_session_from_the_new_one() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[2]);
    net.run(3.0);
    let session = net.programs[anna].session;
    // gw2 stands still, and what it tells after that is old.
    for other in [0, 1] {
        net.cut(2, other, true);
    }
    net.lose_connection(anna);
    net.programs[anna].servers = vec![0, 1];
    net.run(25.0);
    // It meets gw1 before it hears from gw0 that the session goes on there.
    net.cut(2, 1, false);
    net.run(2.0);
    net.cut(2, 0, false);
    net.run(2.0);
    net.kill(0, true);
    net.run(5.0);
    assert_eq!(net.programs[anna].connection.map(|(home, _)| home), Some(1));
    assert_eq!(net.programs[anna].session, session, "the same session");
}

#[test]
fn where_the_source_becomes_the_home_the_session_is_there_already() {
    let mut net = Net::of(2);
    net.talks(0, &[(1, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[0, 1]);
    net.run(3.0);
    net.kill(0, true);
    net.run(3.0);
    let program = &net.programs[anna];
    assert_eq!(program.sessions.len(), 1);
    assert_eq!((net.member(1).count(started), net.member(1).count(moved)), (1, 1));
    assert_eq!(
        program.status.as_ref().expect("a status").reason.code,
        Code::AudioFlowing
    );
    assert!(!program.heard_twice());
}

#[test]
fn a_session_that_nobody_takes_over_ends_at_the_source() {
    let mut net = Net::of(2);
    net.talks(0, &[(1, BOTH)]);
    net.run(3.0);
    net.listen("anna", 0, &[0]);
    net.run(3.0);
    net.kill(0, true);
    net.run(29.0);
    assert_eq!(net.member(1).engine.session_count(), 1);
    net.run(3.0);
    assert_eq!(net.member(1).engine.session_count(), 0);
    assert_eq!(net.member(1).count(stopped), 1);
}

#[test]
fn a_session_of_anothers_cannot_be_moved() {
    let mut net = Net::of(2);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[0]);
    net.run(2.0);
    let annas = net.programs[anna].session;
    let bert = net.listen("bert", 0, &[1]);
    net.programs[bert].session = annas;
    net.run(2.0);
    assert_ne!(net.programs[bert].session, annas);
    assert_eq!(net.member(1).count(moved), 0);
    assert!(net.member(1).engine.foreign_requests().values().sum::<u64>() > 0);
    assert!(net.programs[anna].session == annas && net.programs[anna].count() > 100);
}

#[test]
fn another_source_takes_over_at_once_when_one_dies() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH), (1, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[2]);
    net.run(3.0);
    let dies = net.now;
    net.kill(0, true);
    net.run(5.0);
    let gap = net.programs[anna].longest_gap(dies, net.now);
    assert!(gap < Duration::from_millis(50), "{gap:?}");
    net.kill(1, true);
    net.run(4.0);
    let status = net.programs[anna].status.as_ref().expect("a status");
    assert!(status.reason.code.outcome() > Outcome::Warning, "{}", status.reason);
    assert!(
        status.reason.text.contains("gw1"),
        "who is gone is said: {}",
        status.reason.text
    );
}

#[test]
fn each_side_of_a_cut_goes_on_and_they_heal_without_ghosts() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH), (2, BOTH)]);
    net.talks(1, &[(1, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[1]);
    let bert = net.listen("bert", 1, &[0]);
    net.run(3.0);
    // gw0 on the one side, gw1 and gw2 on the other.
    for other in [1, 2] {
        net.cut(0, other, true);
    }
    let cut = net.now;
    net.run(40.0);
    assert!(
        net.programs[anna].longest_gap(cut, net.now) < Duration::from_secs(1),
        "gw2 sees agent 0, too"
    );
    let berts = net.programs[bert].status.clone().expect("a status");
    assert!(berts.reason.code.outcome() > Outcome::Warning, "{}", berts.reason);
    // Bert's program gives up the member that brings no sound.
    net.lose_connection(bert);
    net.programs[bert].servers = vec![1];
    net.programs[bert].current = 0;
    net.run(5.0);
    assert_eq!(
        net.programs[bert].status.as_ref().expect("a status").reason.code,
        Code::AudioFlowing
    );
    for other in [1, 2] {
        net.cut(0, other, false);
    }
    net.run(40.0);
    for program in [anna, bert] {
        let program = &net.programs[program];
        assert_eq!(program.sessions.len(), 1, "{} kept the session", program.supervisor);
        assert!(!program.heard_twice());
        let lately = net.now.saturating_back(Duration::from_secs(5));
        assert!(program.longest_gap(lately, net.now) < Duration::from_millis(50));
    }
    assert_eq!(net.member(1).engine.session_count(), 2, "Anna's at home and Bert's");
    assert_eq!(
        net.member(0).engine.session_count() + net.member(2).engine.session_count(),
        2,
        "sources of Anna's"
    );
}

#[test]
fn an_agent_is_told_at_whichever_member_his_desk_is() {
    let mut net = Net::with_policy(3, |policy| {
        policy.disclosure = Disclosure::WhileListening;
        policy.undisclosed = crate::policy::Undisclosed::Muted;
    });
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[1]);
    net.run(3.0);
    assert_eq!((net.programs[anna].count(), net.relayed), (0, 0), "he can't be told");
    net.on(2, |engine, now| engine.handle_desk(&agent(0), Desk::Opened, now));
    net.run(3.0);
    assert!(net.programs[anna].count() > 200);
    assert!(net.member(2).engine.is_listened_to(&agent(0)), "his desk knows");
    net.stop(anna);
    net.run(0.1);
    assert!(!net.member(2).engine.is_listened_to(&agent(0)));
    let bert = net.listen("bert", 0, &[1]);
    net.run(3.0);
    net.kill(2, true);
    net.run(0.1);
    let heard = net.programs[bert].count();
    net.run(3.0);
    assert_eq!(net.programs[bert].count(), heard, "with the member his desk is gone");
}

#[test]
fn limits_count_the_sessions_of_the_whole_cluster() {
    let one = std::num::NonZeroUsize::new(1);
    let mut net = Net::with_policy(3, |policy| policy.limits.supervisors_per_agent = one);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let anna = net.listen("anna", 0, &[1]);
    net.run(2.0);
    let bert = net.listen("bert", 0, &[2]);
    net.run(2.0);
    assert!(
        net.programs[anna].count() > 0,
        "the source doesn't count the session against itself"
    );
    assert_eq!(net.programs[bert].count(), 0);
    assert_eq!(net.programs[bert].refusals[0].code, Code::ExcludedByPolicy);
    net.stop(anna);
    net.run(4.0);
    assert!(net.programs[bert].count() > 0);
}
