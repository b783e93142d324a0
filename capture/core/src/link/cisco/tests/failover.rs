use super::*;

fn connects(lab: &mut Lab, within: Duration) -> Vec<(u64, usize)> {
    let start = lab.now;
    let mut connects = Vec::new();
    while lab.now - start < within {
        for output in lab.take_outputs() {
            if let StreamOutput::Connect(Endpoint(side)) = output {
                connects.push(((lab.now - start).as_secs(), side));
                lab.refused(side);
            }
        }
        lab.pass(Duration::from_millis(100));
    }
    connects
}

#[test]
fn alternates_between_the_sides_for_ever_with_growing_pauses() {
    let mut lab = Lab::new(settings());
    let connects = connects(&mut lab, seconds(3600));
    assert!(connects.windows(2).all(|pair| pair[0].1 != pair[1].1), "{connects:?}");
    let pause = |pair: &[(u64, usize)]| pair[1].0 - pair[0].0;
    let pauses: Vec<u64> = connects.windows(2).map(pause).collect();
    assert!(pauses[0] <= 1 && pauses[1] <= 1, "{pauses:?}");
    assert!(pauses[20..].iter().all(|pause| (22..=38).contains(pause)), "{pauses:?}");
}

#[test]
fn one_side_alone_is_tried_again_and_again() {
    let mut settings = settings();
    settings.sides = super::super::Sides::A;
    let connects = connects(&mut Lab::new(settings), seconds(600));
    assert!(connects.len() > 20 && connects.iter().all(|(_, side)| *side == A));
}

#[test]
fn a_broken_socket_of_an_open_session_fails_over_at_once() {
    let mut lab = Lab::open();
    lab.take_outputs();
    lab.closed(A, Closed::Broken("connection reset".to_owned()));
    assert_eq!(lab.take_outputs(), [StreamOutput::Connect(Endpoint(B))]);
}

#[test]
fn a_server_that_drops_every_session_is_not_asked_in_a_tight_loop() {
    let mut lab = Lab::open();
    let start = lab.now;
    let mut side = A;
    for _ in 0..6 {
        lab.take_outputs();
        lab.closed(side, Closed::ByPeer);
        side = 1 - side;
        while lab.outputs.is_empty() {
            lab.pass(Duration::from_millis(100));
        }
        lab.accept(side);
    }
    assert!(lab.now - start > seconds(5), "{:?}", lab.now - start);
}

#[test]
fn names_both_sides_reasons_and_since_when() {
    let mut lab = Lab::open();
    lab.pass(seconds(3));
    lab.closed(A, Closed::Broken("connection reset by peer".to_owned()));
    lab.refused(B);
    let text = "side A: connection reset by peer; side B: connection refused; since 22:13:23 UTC";
    assert_eq!(lab.take_link(), Some(down(Code::CtiLinkDown, text)));
}

#[test]
fn the_same_reason_is_told_once() {
    let mut lab = Lab::new(settings());
    connects(&mut lab, seconds(600));
    assert_eq!(lab.take_events().len(), 2, "once for each side");
}

#[test]
fn a_plain_port_has_its_own_code() {
    let mut lab = Lab::new(settings());
    lab.closed(A, Closed::PlainPort(vec![0, 0, 0, 8]));
    let Some(Err(reason)) = lab.take_link() else {
        panic!("expected the link to be down");
    };
    assert_eq!(reason.code, Code::CtiPortIsPlain);
}

#[test]
fn a_server_off_line_or_not_in_charge_sends_to_the_other_side() {
    for status in [Status::CTI_SERVER_OFFLINE, Status::SERVER_NOT_MASTER, Status::TIMEOUT] {
        let mut lab = Lab::new(settings());
        lab.refuse(A, status);
        lab.pass(seconds(2));
        lab.accept(B);
        assert_eq!(lab.take_link(), Some(Ok(())));
    }
}

#[test]
fn a_wrong_configuration_is_said_in_words_and_tried_again_slowly() {
    let mut lab = Lab::new(settings());
    lab.refuse(A, Status::INVALID_PASSWORD);
    lab.pass(seconds(2));
    lab.refuse(B, Status::INVALID_PASSWORD);
    let words = "The CTI Server doesn't accept the client id or password (status 36)";
    let text = format!("side A: {words}; side B: {words}; since 22:13:20 UTC");
    assert_eq!(lab.take_link(), Some(down(Code::CtiRefused, &text)));
    lab.take_outputs();
    lab.pass(seconds(40));
    assert_eq!(lab.take_outputs(), []);
    lab.pass(seconds(40));
    assert_ne!(lab.take_outputs(), []);
}

#[test]
fn says_that_another_instance_holds_the_session() {
    let mut lab = Lab::open();
    lab.say(
        A,
        FailureEvent {
            status: Status::NEW_SESSION_OPENED,
            ..FailureEvent::default()
        },
    );
    let Some(Err(reason)) = lab.take_link() else {
        panic!("expected the link to be down");
    };
    assert_eq!(reason.code, Code::CtiRefused);
    assert!(reason.text.contains("another instance holds the session"), "{reason}");
}

#[test]
fn a_failure_event_closes_and_tries_the_other_side() {
    let mut lab = Lab::open();
    lab.take_outputs();
    lab.say(
        A,
        FailureEvent {
            status: Status::CTI_SERVER_OFFLINE,
            ..FailureEvent::default()
        },
    );
    assert_eq!(
        lab.take_outputs(),
        [
            StreamOutput::Disconnect(Endpoint(A)),
            StreamOutput::Connect(Endpoint(B))
        ]
    );
}

#[test]
fn agents_are_unknown_while_the_link_is_down_and_their_media_stay() {
    let mut lab = Lab::open();
    lab.say(A, agent_state("1001", AgentState::TALKING));
    lab.say(A, agent_state("1002", AgentState::LOGOUT));
    lab.take_events();
    lab.closed(A, Closed::ByPeer);
    let told = lab.take_cti();
    assert!(matches!(
        told.first(),
        Some(CtiEvent::Link(LinkUpdate { down: Some(_), .. }))
    ));
    assert_eq!(told[1..], [AgentUpdate::new("1001", State::Unknown).into()]);
    lab.accept(B);
    lab.take_events();
    lab.say(B, agent_state("1001", AgentState::TALKING));
    assert_eq!(lab.take_cti(), [agent("1001", State::Talking)]);
}
