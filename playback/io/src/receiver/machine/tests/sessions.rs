//! What becomes of the sessions.

use super::*;

#[test]
fn takes_up_the_session_again_after_a_lost_connection() {
    let mut world = World::listening();
    world.pass(Duration::from_secs(60).min(SILENCE / 2));
    world.machine.handle_lost(unreachable(), world.now);
    let lost = world.now;
    assert_eq!(world.machine.handle_datagram(9, world.now), None, "its channel is gone");
    world.events();
    world.until_dialled();
    assert!(world.now - lost <= Duration::from_millis(400));
    world.machine.handle_connected(world.now);
    world.said();
    world.hear(welcome(1));
    assert_eq!(world.said(), [start_message(Some(SESSION))]);
    world.events();
    world.hear(started());
    assert_eq!(
        world.events(),
        [ReceiverEvent::MonitorStarted {
            request: REQUEST,
            session: SESSION,
            resumed: true,
            missed: Some(world.now - lost + SILENCE / 2)
        }]
    );
}

#[test]
fn asks_for_a_new_session_where_the_old_one_is_unknown() {
    let mut world = World::listening();
    world.machine.handle_lost(unreachable(), world.now);
    world.until_dialled();
    world.connect();
    let refused = ServerMessage::MonitorRefused {
        request: 1,
        reason: Code::NoCaptureServer.into(),
    };
    world.hear(refused.clone());
    assert_eq!(world.said(), [start_message(None)]);
    assert_eq!(world.events(), []);
    world.hear(refused);
    let events = world.events();
    assert!(
        matches!(
            events.as_slice(),
            [ReceiverEvent::MonitorRefused { request: REQUEST, .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_session_stopped_by_policy_is_over() {
    let mut world = World::listening();
    let reason = Reason::new(Code::ExcludedByPolicy, "excluded");
    world.hear(ServerMessage::MonitorStopped {
        session: SESSION,
        reason: reason.clone(),
        status: status(),
    });
    assert_eq!(
        world.events(),
        [ReceiverEvent::MonitorStopped {
            request: REQUEST,
            reason,
            status: Some(status())
        }]
    );
    world.machine.handle_lost(unreachable(), world.now);
    world.until_dialled();
    world.connect();
    assert_eq!(world.said(), []);
}

#[test]
fn a_stop_that_overtakes_the_start_stops_the_session_when_it_runs() {
    let mut world = World::welcomed(&["a"]);
    world.machine.start_monitor(REQUEST, wish(), world.now);
    world.machine.stop_monitor(REQUEST, world.now);
    assert_eq!(world.said(), [start_message(None)]);
    world.hear(started());
    assert_eq!(world.said(), [ClientMessage::StopMonitor { session: SESSION }]);
    assert_eq!(world.events(), []);
}

fn barge_in() -> SuperviseWish {
    SuperviseWish {
        number: 5,
        action: SuperviseAction::BargeIn,
        device: "3900".into(),
    }
}

#[test]
fn a_wish_to_join_a_call_goes_to_the_session_and_its_answer_comes_back() {
    let mut world = World::listening();
    world.machine.supervise(REQUEST, barge_in(), world.now);
    let asked = ClientMessage::Supervise {
        request: 5,
        session: SESSION,
        action: SuperviseAction::BargeIn,
        device: "3900".into(),
    };
    assert_eq!(world.said(), [asked]);
    let result = Err("no".to_owned());
    world.hear(ServerMessage::Supervised {
        request: 5,
        result: result.clone(),
    });
    assert_eq!(world.events(), [ReceiverEvent::Supervised { number: 5, result }]);
}

#[test]
fn a_wish_to_join_a_call_fails_where_nobody_is_listened_to() {
    let mut world = World::welcomed(&["a"]);
    world.machine.supervise(REQUEST, barge_in(), world.now);
    assert!(world.said().is_empty());
    assert!(matches!(
        world.events()[..],
        [ReceiverEvent::Supervised {
            number: 5,
            result: Err(_)
        }]
    ));
}
