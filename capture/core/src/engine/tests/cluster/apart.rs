//! What is said on one side while members are apart holds on both once they have met again.

use std::time::Duration;

use silentmon_proto::cti::{AgentUpdate, MediaStopped};
use silentmon_proto::relay::MediaOrigin;

use super::net::{Net, agent};
use super::*;
use crate::policy::{PauseKind, PauseOf};

/// Until two sides have noticed that they are apart, or that they aren't any longer.
const NOTICED: f64 = 40.0;

/// Three members of which the last is alone from now on, or no longer.
fn part(net: &mut Net, apart: bool) {
    for other in 0..2 {
        net.cut(2, other, apart);
    }
    net.run(NOTICED);
}

fn pause(net: &mut Net, at: usize, lasting: u64) {
    let request = PauseRequest {
        kind: PauseKind::Payment,
        of: PauseOf::Agent(agent(0)),
        by: "the till".to_owned(),
        lasting: Some(Duration::from_secs(lasting)),
    };
    let granted = net.on(at, |engine, now| engine.handle_pause(request, now));
    assert!(granted.expect("runs").is_ok());
}

fn resume(net: &mut Net, at: usize) {
    let of = PauseOf::Agent(agent(0));
    net.on(at, |engine, now| {
        engine.handle_resume(PauseKind::Payment, &of, "the till", now)
    });
}

fn paused(net: &mut Net) -> [usize; 3] {
    [0, 1, 2].map(|member| net.on(member, |engine, _| engine.pauses().count()).expect("runs"))
}

fn with_a_call() -> Net {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH), (2, BOTH)]);
    net.run(3.0);
    net
}

#[test]
fn a_pause_that_was_ended_on_one_side_ends_on_the_other_when_they_meet() {
    let mut net = with_a_call();
    pause(&mut net, 1, 250);
    net.run(2.0);
    assert_eq!(paused(&mut net), [1, 1, 1]);
    part(&mut net, true);
    resume(&mut net, 0);
    net.run(2.0);
    assert_eq!(paused(&mut net), [0, 0, 1], "the third one can't know");
    part(&mut net, false);
    assert_eq!(paused(&mut net), [0, 0, 0]);
    let ended = |event: &EngineEvent| matches!(event, EngineEvent::PauseEnded { .. });
    for member in 0..3 {
        assert_eq!(net.member(member).count(ended), 1, "member {member}");
    }
}

#[test]
fn a_pause_that_was_asked_for_again_after_it_was_ended_elsewhere_holds_everywhere() {
    let mut net = with_a_call();
    pause(&mut net, 1, 250);
    net.run(2.0);
    part(&mut net, true);
    resume(&mut net, 0);
    net.run(5.0);
    pause(&mut net, 2, 250);
    part(&mut net, false);
    assert_eq!(paused(&mut net), [1, 1, 1]);
    resume(&mut net, 1);
    net.run(2.0);
    assert_eq!(paused(&mut net), [0, 0, 0]);
}

/// What a program pushes to a member.
fn push(net: &mut Net, at: usize, event: &CtiEvent) {
    net.on(at, |engine, now| engine.handle_cti(event, now));
}

fn call(number: usize, kind: CallEventKind) -> CtiEvent {
    CallEvent::of_agent(agent(number), "pushed", kind).into()
}

fn known(net: &mut Net, number: usize) -> [Option<(AgentState, usize)>; 3] {
    [0, 1, 2].map(|member| {
        let found = net.on(member, |engine, _| {
            let found = engine.directory.agent(&agent(number));
            found.map(|agent| (agent.state, agent.calls().len()))
        });
        found.expect("runs")
    })
}

#[test]
fn what_is_pushed_to_a_member_while_it_is_apart_is_known_to_all_when_they_meet() {
    let mut net = with_a_call();
    push(&mut net, 2, &AgentUpdate::new(agent(7), AgentState::Available).into());
    push(&mut net, 2, &call(8, CallEventKind::Established));
    net.run(2.0);
    assert_eq!(known(&mut net, 7), [Some((AgentState::Available, 0)); 3]);
    let on_call = known(&mut net, 8);
    assert!(
        on_call.iter().all(|known| known.is_some_and(|(_, calls)| calls == 1)),
        "{on_call:?}"
    );
    part(&mut net, true);
    push(&mut net, 2, &AgentUpdate::new(agent(7), AgentState::NotReady).into());
    push(&mut net, 2, &call(7, CallEventKind::Established));
    push(&mut net, 2, &call(8, CallEventKind::ConnectionCleared));
    push(&mut net, 2, &AgentUpdate::new(agent(9), AgentState::Talking).into());
    net.run(2.0);
    assert_eq!(known(&mut net, 9), [None, None, Some((AgentState::Talking, 0))]);
    part(&mut net, false);
    assert_eq!(known(&mut net, 7), [Some((AgentState::NotReady, 1)); 3]);
    assert_eq!(known(&mut net, 9), [Some((AgentState::Talking, 0)); 3]);
    let over = known(&mut net, 8);
    assert!(
        over.iter().all(|known| known.is_some_and(|(_, calls)| calls == 0)),
        "{over:?}"
    );
    // What the CTI session tells is the holder's to know.
    assert_eq!(
        known(&mut net, 0).map(|known| known.map(|(_, calls)| calls)),
        [Some(1); 3]
    );
}

fn sighted(address: &str) -> CtiEvent {
    MediaStarted {
        device: Some("3001".into()),
        call: Some("sip".into()),
        ..MediaStarted::at(address.parse().expect("an address"))
    }
    .into()
}

fn over(address: &str) -> CtiEvent {
    MediaStopped {
        agent: None,
        device: Some("3001".into()),
        call: Some("sip".into()),
        address: Some(address.parse().expect("an address")),
        direction: None,
    }
    .into()
}

fn addresses(net: &mut Net) -> [Vec<String>; 3] {
    [0, 1, 2].map(|member| {
        let found = net.on(member, |engine, _| {
            let media = engine.directory.media(&agent(5));
            media.iter().map(|leg| leg.address.to_string()).collect()
        });
        found.expect("runs")
    })
}

#[test]
fn media_that_only_one_mirrors_signalling_shows_are_known_to_all_and_over_for_all() {
    let mut net = with_a_call();
    let update = AgentUpdate {
        extension: Some("3001".into()),
        ..AgentUpdate::new(agent(5), AgentState::Talking)
    };
    net.cti(&update.into());
    let one = "10.1.7.7:4000";
    let show = |net: &mut Net, event: CtiEvent| {
        net.on(2, |engine, now| engine.handle_sighting(MediaOrigin::Sip, &event, now));
        net.run(2.0);
    };
    show(&mut net, sighted(one));
    assert_eq!(addresses(&mut net), [(); 3].map(|()| vec![one.to_owned()]));
    // One that starts anew is told.
    net.kill(1, true);
    net.start(1);
    net.run(8.0);
    assert_eq!(addresses(&mut net)[1], [one]);
    part(&mut net, true);
    show(&mut net, over(one));
    assert_eq!(addresses(&mut net)[0], [one], "it can't know");
    part(&mut net, false);
    assert_eq!(addresses(&mut net), [const { Vec::<String>::new() }; 3]);
}
