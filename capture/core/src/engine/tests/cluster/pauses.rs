//! A pause is a cluster's: whoever sees the agent keeps his words back.

use std::time::Duration;

use super::net::{Net, agent};
use super::*;
use crate::policy::{PauseKind, PauseOf};

fn pause(net: &mut Net, at: usize, number: usize) {
    let request = PauseRequest {
        kind: PauseKind::Payment,
        of: PauseOf::Agent(agent(number)),
        by: "the till".to_owned(),
        lasting: Some(Duration::from_secs(60)),
    };
    let granted = net.on(at, |engine, now| engine.handle_pause(request, now));
    assert!(granted.expect("runs").is_ok());
}

/// The reason that a program was told last.
fn reason(net: &Net, program: usize) -> Code {
    net.programs[program].status.as_ref().expect("a status").reason.code
}

#[test]
fn a_pause_asked_for_at_one_member_holds_at_all_and_ends_at_all() {
    let mut net = Net::of(3);
    net.talks(0, &[(0, BOTH)]);
    net.run(3.0);
    let far = net.listen("anna", 0, &[1]);
    let near = net.listen("bert", 0, &[0]);
    net.run(2.0);
    assert_eq!([reason(&net, far), reason(&net, near)], [Code::AudioFlowing; 2]);

    // Neither where he is seen nor where anybody listens.
    pause(&mut net, 2, 0);
    net.run(2.0);
    assert_eq!([reason(&net, far), reason(&net, near)], [Code::PaymentPause; 2]);
    for member in 0..3 {
        let began = |event: &EngineEvent| matches!(event, EngineEvent::PauseStarted(_));
        assert_eq!(net.member(member).count(began), 1, "member {member}");
    }

    // A member that starts anew is told.
    net.kill(1, true);
    net.start(1);
    net.run(6.0);
    let running = net.on(1, |engine, _| engine.pauses().count());
    assert_eq!(running, Some(1));

    let of = PauseOf::Agent(agent(0));
    net.on(0, |engine, now| {
        engine.handle_resume(PauseKind::Payment, &of, "the till", now)
    });
    net.run(2.0);
    assert_eq!(reason(&net, near), Code::AudioFlowing);
    for member in 0..3 {
        assert_eq!(
            net.on(member, |engine, _| engine.pauses().count()),
            Some(0),
            "member {member}"
        );
    }
}
