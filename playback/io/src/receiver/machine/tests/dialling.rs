//! Which server is dialled and when.

use super::super::dialling::DOUBTFUL;
use super::*;

#[test]
fn tries_the_other_servers_at_once_and_waits_only_after_a_round() {
    let mut world = World::new(settings(&["a", "b", "c"]));
    let mut hosts = Vec::new();
    let begin = world.now;
    for _ in 0..3 {
        hosts.push(world.until_dialled());
        world.machine.handle_dial_failed(unreachable(), world.now);
    }
    assert_eq!(hosts, ["a", "b", "c"]);
    assert_eq!(world.now, begin, "no wait within a round");
    let waited = world.wait();
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
}

#[test]
fn waits_grow_from_a_fifth_of_a_second_to_five() {
    let mut world = World::new(settings(&["a"]));
    let mut waits = Vec::new();
    for _ in 0..12 {
        world.until_dialled();
        world.machine.handle_dial_failed(unreachable(), world.now);
        waits.push(world.wait());
    }
    assert!(waits[0] <= Duration::from_millis(400), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT), "{waits:?}");
    assert!(waits[11] >= LONGEST_WAIT / 2, "{waits:?}");
}

#[test]
fn gives_up_after_the_rounds_it_was_given_and_names_a_certificate_first() {
    let mut world = World::new(ReceiverSettings {
        persistence: Persistence::Rounds(1),
        ..settings(&["a", "b"])
    });
    let refused = Reason::new(Code::CertificateRefused, "revoked");
    world.machine.start_monitor(REQUEST, wish(), world.now);
    world.until_dialled();
    world.machine.handle_dial_failed(refused.clone(), world.now);
    world.until_dialled();
    world.machine.handle_dial_failed(unreachable(), world.now);
    let events = world.events();
    assert_eq!(events.last(), Some(&ReceiverEvent::GaveUp { reason: refused }));
    let whys = events.iter().filter_map(|event| match event {
        ReceiverEvent::MonitorStopped { reason, .. } => Some(reason.code),
        _ => None,
    });
    assert_eq!(whys.collect::<Vec<_>>(), [Code::CertificateRefused]);
    assert_eq!(world.actions(), [Action::End]);
}

#[test]
fn never_gives_up_once_it_was_connected() {
    let mut world = World::new(ReceiverSettings {
        persistence: Persistence::Rounds(1),
        ..settings(&["a"])
    });
    world.until_dialled();
    world.connect();
    world.machine.handle_lost(unreachable(), world.now);
    for _ in 0..20 {
        world.until_dialled();
        world.machine.handle_dial_failed(unreachable(), world.now);
    }
    assert!(
        !world
            .events()
            .iter()
            .any(|event| matches!(event, ReceiverEvent::GaveUp { .. }))
    );
}

#[test]
fn a_random_order_starts_with_different_servers() {
    let mut firsts: Vec<_> = (0..50)
        .map(|seed: u64| {
            let settings = ReceiverSettings {
                order: ServerOrder::Random,
                ..settings(&["a", "b", "c"])
            };
            let machine = Machine::new(settings, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), START);
            World { machine, now: START }.until_dialled()
        })
        .collect();
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts, ["a", "b", "c"]);
}

#[test]
fn a_server_that_is_lost_gives_way_to_the_next_one_at_once() {
    let mut world = World::welcomed(&["a", "b", "c"]);
    world.machine.start_monitor(REQUEST, wish(), world.now);
    world.hear(started());
    world.pass(Duration::from_secs(6));
    world.hear(ServerMessage::Heartbeat { sent: world.now });
    world.pass(Duration::from_secs(2));
    let lost = world.now;
    world.machine.handle_lost(unreachable(), lost);
    assert_eq!(world.until_dialled(), "b");
    assert!(world.now - lost <= Duration::from_millis(400), "{:?}", world.now - lost);
    world.connect();
    world.hear(started());
    let missed = world.events().into_iter().find_map(|event| match event {
        ReceiverEvent::MonitorStarted { missed, .. } => missed,
        _ => None,
    });
    assert_eq!(
        missed,
        Some(world.now - lost + Duration::from_secs(2)),
        "since something was last heard"
    );
}

#[test]
fn after_a_first_short_connection_the_next_server_is_dialled_at_once_and_after_more_of_them_ever_later() {
    let mut world = World::new(settings(&["a", "b"]));
    let waits: Vec<_> = (0..4)
        .map(|_| {
            world.until_dialled();
            world.connect();
            world.pass(Duration::from_millis(100));
            world.machine.handle_lost(unreachable(), world.now);
            world.wait()
        })
        .collect();
    assert!(waits[0] <= Duration::from_millis(100), "{waits:?}");
    assert!(waits[1] >= Duration::from_millis(200), "{waits:?}");
    assert!(waits[3] >= Duration::from_millis(800), "{waits:?}");
}

/// A machine that hears audio from the first of two servers until now.
fn hearing_the_first_of_two() -> World {
    let mut world = World::welcomed(&["a", "b"]);
    world.machine.start_monitor(REQUEST, wish(), world.now);
    world.hear(started());
    for _ in 0..200 {
        world.pass(Duration::from_millis(20));
        world.machine.handle_datagram(9, world.now);
    }
    world.said();
    world.events();
    world.actions();
    world
}

fn dials(world: &mut World) -> Vec<String> {
    let host = |action| match action {
        Action::Dial(server) => server.host().to_owned(),
        other => format!("{other:?}"),
    };
    world.actions().into_iter().map(host).collect()
}

#[test]
fn beside_a_server_that_does_not_answer_another_one_is_dialled_and_the_first_to_answer_is_talked_to() {
    let mut world = hearing_the_first_of_two();
    let heard = world.now;
    world.pass(QUIET + DOUBTFUL);
    assert_eq!(dials(&mut world), ["b"]);
    world.said();
    world.machine.handle_connected(world.now);
    world.hear(welcome(1));
    assert!(world.said().contains(&start_message(Some(SESSION))));
    world.hear(started());
    let missed = world.events().into_iter().find_map(|event| match event {
        ReceiverEvent::MonitorStarted { missed, .. } => missed,
        _ => None,
    });
    assert_eq!(missed, Some(world.now - heard));
    assert!(world.now - heard < Duration::from_secs(1));
}

#[test]
fn a_server_that_answers_after_all_is_kept() {
    let mut world = hearing_the_first_of_two();
    world.pass(QUIET + DOUBTFUL);
    assert_eq!(dials(&mut world), ["b"]);
    assert_eq!(world.machine.handle_datagram(9, world.now), Some(REQUEST));
    assert_eq!(dials(&mut world), ["StopDialling"]);
    world.machine.handle_dial_failed(unreachable(), world.now);
    assert_eq!(dials(&mut world), [""; 0]);
}

#[test]
fn where_no_other_server_answers_either_the_silent_one_is_waited_for() {
    let mut world = hearing_the_first_of_two();
    world.pass(QUIET + DOUBTFUL);
    assert_eq!(dials(&mut world), ["b"]);
    world.machine.handle_dial_failed(unreachable(), world.now);
    world.pass(Duration::from_secs(10));
    assert_eq!(dials(&mut world), [""; 0], "each is dialled once");
    assert_eq!(world.machine.handle_datagram(9, world.now), Some(REQUEST));
}

#[test]
fn a_server_that_dies_while_another_one_is_dialled_gives_way_to_that_one() {
    let mut world = hearing_the_first_of_two();
    world.pass(QUIET + DOUBTFUL);
    world.machine.handle_lost(unreachable(), world.now);
    assert_eq!(dials(&mut world), ["b"], "it is dialled already");
    world.said();
    world.machine.handle_connected(world.now);
    world.hear(welcome(1));
    assert!(world.said().contains(&start_message(Some(SESSION))));
}

#[test]
fn goes_to_another_server_when_this_one_says_goodbye() {
    let mut world = World::welcomed(&["a", "b"]);
    world.machine.start_monitor(REQUEST, wish(), world.now);
    world.hear(started());
    world.hear(ServerMessage::MonitorStopped {
        session: SESSION,
        reason: Reason::new(Code::NoCaptureServer, "stopping"),
        status: status(),
    });
    world.hear(ServerMessage::Goodbye {
        reason: Reason::new(Code::NoCaptureServer, "stopping"),
    });
    assert_eq!(world.until_dialled(), "b");
    world.said();
    world.machine.handle_connected(world.now);
    world.hear(welcome(1));
    assert_eq!(world.said().pop(), Some(start_message(Some(SESSION))));
}

#[test]
fn a_supervisor_without_authority_is_not_dialled_for_again() {
    let mut world = World::welcomed(&["a", "b"]);
    world.hear(ServerMessage::Goodbye {
        reason: Code::LockedOut.into(),
    });
    assert_eq!(
        world.events(),
        [ReceiverEvent::GaveUp {
            reason: Code::LockedOut.into()
        }]
    );
    assert_eq!(world.actions().pop(), Some(Action::End));
}

#[test]
fn a_service_whose_certificate_was_refused_tries_again_and_a_command_does_not() {
    let reason = Reason::new(Code::CertificateRefused, "Your certificate has been revoked.");
    for (persistence, gives_up) in [(Persistence::Forever, false), (Persistence::Rounds(3), true)] {
        let mut world = World::new(ReceiverSettings {
            persistence,
            ..settings(&["a"])
        });
        world.until_dialled();
        world.connect();
        world.events();
        world.hear(ServerMessage::Goodbye { reason: reason.clone() });
        let last = world.events().pop();
        match last {
            Some(ReceiverEvent::GaveUp { reason: found }) => assert!(gives_up && found == reason),
            Some(ReceiverEvent::Lost { reason: found, .. }) => assert!(!gives_up && found == reason),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_that_never_lasts_is_dialled_ever_more_slowly() {
    let mut world = World::welcomed(&["a"]);
    let mut waits = Vec::new();
    for _ in 0..10 {
        world.machine.handle_lost(unreachable(), world.now);
        waits.push(world.wait());
        world.until_dialled();
        world.connect();
    }
    assert!(waits.last().is_some_and(|wait| *wait >= LONGEST_WAIT / 2), "{waits:?}");
}
