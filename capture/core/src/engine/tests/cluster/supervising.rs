//! Supervisors are brought into calls by the member that holds the CTI sessions, wherever they listen.

use silentmon_proto::cti::{AgentUpdate, LinkUpdate};
use silentmon_proto::relay::SuperviseAction;

use super::net::{Net, agent, server};
use super::*;
use crate::link::{LinkCommand, Supervise};

/// Three members of which the first holds the CTI sessions, and can bring supervisors into calls; the agent is heard at
/// the second.
fn house() -> Net {
    let mut net = Net::of(3);
    net.cti(&CtiEvent::from(LinkUpdate {
        link: "source".into(),
        down: None,
    }));
    net.run(6.0);
    net.on(0, |engine, _| {
        engine.handle_link_controls(&"source".into(), &[SuperviseAction::BargeIn]);
    });
    net.cti(
        &AgentUpdate {
            extension: Some("3001".into()),
            ..AgentUpdate::new(agent(0), AgentState::Talking)
        }
        .into(),
    );
    net.talks(0, &[(1, BOTH)]);
    net.run(3.0);
    net
}

fn barge_in(net: &mut Net, program: usize) {
    net.say(program, |session| ClientMessage::Supervise {
        request: 7,
        session,
        action: SuperviseAction::BargeIn,
        device: "3999".into(),
    });
    net.run(0.5);
}

fn command(net: &Net, member: usize) -> Option<Supervise> {
    net.member(member)
        .commands
        .iter()
        .rev()
        .find_map(|command| match command {
            LinkCommand::Supervise(command) => Some(command.clone()),
            _ => None,
        })
}

fn records(net: &Net, member: usize) -> Vec<SuperviseRecord> {
    let record = |event: &EngineEvent| match event {
        EngineEvent::SuperviseRequested(record) => Some(record.clone()),
        _ => None,
    };
    net.member(member).journal.iter().filter_map(record).collect()
}

#[test]
fn a_supervisor_at_any_member_is_brought_into_the_call_by_the_one_that_holds_the_cti_sessions() {
    let mut net = house();
    let anna = net.listen("anna", 0, &[2]);
    net.run(3.0);
    let controls = |net: &Net| net.programs[anna].status.clone().expect("a status").controls;
    assert_eq!(controls(&net), [SuperviseAction::BargeIn], "it is offered at her home");
    barge_in(&mut net, anna);
    let command = command(&net, 0).expect("the holder's link is asked");
    assert_eq!(
        (command.device.as_str(), command.supervisor_device.as_str()),
        ("3001", "3999")
    );
    assert_eq!(net.programs[anna].supervised, None, "the link has yet to answer");
    net.on(0, |engine, now| engine.handle_link_done(command.number, Ok(()), now));
    net.run(0.5);
    assert_eq!(net.programs[anna].supervised, Some((7, Ok(()))));
    let (home, holder) = (records(&net, 2), records(&net, 0));
    assert_eq!((home.len(), holder.len()), (1, 1), "both write it down");
    assert_eq!((&home[0].home, &holder[0].home), (&None, &Some(server(2))));
    assert_eq!(home[0].session, holder[0].session);
}

#[test]
fn what_the_holders_policy_forbids_is_refused_there_and_written_down_at_both() {
    let mut net = house();
    let anna = net.listen("anna", 0, &[2]);
    net.run(3.0);
    net.change_policy(0, |policy| policy.purposes = vec!["training".to_owned()]);
    barge_in(&mut net, anna);
    assert_eq!(command(&net, 0), None);
    assert!(matches!(net.programs[anna].supervised, Some((7, Err(_)))));
    let refused: Vec<bool> = records(&net, 0).iter().map(|record| record.refused.is_some()).collect();
    assert_eq!(refused, [true]);
    assert_eq!(records(&net, 2).len(), 1);
}

#[test]
fn where_the_holder_does_not_answer_the_supervisor_is_told_so() {
    let mut net = house();
    let anna = net.listen("anna", 0, &[2]);
    net.run(3.0);
    net.cut(0, 2, true);
    barge_in(&mut net, anna);
    assert_eq!(net.programs[anna].supervised, None);
    net.run(17.0);
    assert!(matches!(net.programs[anna].supervised, Some((7, Err(_)))));
    // Once they have noticed, it isn't even asked for.
    net.run(20.0);
    net.programs[anna].supervised = None;
    barge_in(&mut net, anna);
    assert!(matches!(net.programs[anna].supervised, Some((7, Err(_)))));
    assert_eq!(command(&net, 0), None);
}
