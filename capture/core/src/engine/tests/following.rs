//! A session follows its agent through his calls (requirements S1 to S8).

use super::*;

#[test]
fn follows_the_agent_to_the_next_call() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..20, speech);
    house.call("4711", "81", CallEventKind::ConnectionCleared);
    house.agent_state("4711", AgentState::Available);
    house.stream(PHONE, GATEWAY, 20..30, speech);
    assert_eq!(
        house.audio(ANNA).len(),
        20,
        "after the call nothing is heard from the old address"
    );
    assert_eq!(house.last_status().reason.code, Code::AgentNotOnCall);
    house.call("4711", "82", CallEventKind::Established);
    house.media("4711", "82", "10.1.1.20:30000");
    house.stream("10.1.1.20:30000", GATEWAY, 0..20, speech);
    assert_eq!(house.audio(ANNA).len(), 40);
    assert_eq!(house.last_status().calls, ["82".into()]);
}

#[test]
fn a_call_that_policy_excludes_stays_silent_and_says_why() {
    let mut house = House::new();
    house.agent_state("4711", AgentState::Talking);
    let call = CtiEvent::from(CallEvent {
        acd: Some(false),
        ..CallEvent::of_agent("4711", "90", CallEventKind::Established)
    });
    house.cti(&call);
    house.media("4711", "90", PHONE);
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..20, speech);
    assert_eq!(house.audio(ANNA).len(), 0);
    assert_eq!(house.last_status().reason.code, Code::ExcludedByPolicy);
}

use silentmon_proto::cti::{CallEnded, CallRenamed, DeviceSnapshot, Hoteling};

/// Where a phone of agent 4711 sends from on call number `call`.
fn port(call: u16) -> String {
    format!("10.1.1.20:{}", 20_000 + call)
}

#[test]
fn a_session_may_start_in_any_state_and_hears_the_call_when_it_comes() {
    for state in [AgentState::NotReady, AgentState::WorkReady, AgentState::Reserved] {
        let mut house = House::new();
        house.agent_state("4711", state);
        house.start(ANNA, "4711", None);
        assert_eq!(house.last_status().reason.code, Code::AgentNotOnCall);
        house.talking();
        assert_eq!(house.heard(PHONE, GATEWAY, 10), 10, "{state:?}");
    }
}

#[test]
fn a_call_on_hold_is_silent_says_so_and_is_heard_again_on_other_ports() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    house.media_stopped("4711", Some("81"));
    house.call("4711", "81", CallEventKind::Held);
    house.agent_state("4711", AgentState::Hold);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
    let status = house.last_status();
    assert_eq!(
        (status.reason.code, status.agent_state),
        (Code::AgentNotOnCall, AgentState::Hold)
    );
    assert!(status.reason.text.contains("holds"), "{}", status.reason);
    // Media start before the call is taken back, as the order isn't guaranteed.
    house.media("4711", "81", &port(1));
    assert_eq!(house.heard(&port(1), GATEWAY, 10), 10);
    house.call("4711", "81", CallEventKind::Retrieved);
    assert_eq!(house.heard(&port(1), GATEWAY, 10), 10);
}

#[test]
fn a_session_may_start_while_the_agent_holds() {
    let mut house = House::new();
    house.talking();
    house.call("4711", "81", CallEventKind::Held);
    house.start(ANNA, "4711", None);
    assert_eq!(
        house.heard(PHONE, GATEWAY, 10),
        0,
        "media that go on during hold are silent too"
    );
    house.call("4711", "81", CallEventKind::Retrieved);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
}

#[test]
fn a_consult_call_is_part_of_the_acd_call_during_which_it_is_made() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.media_stopped("4711", Some("81"));
    house.call("4711", "81", CallEventKind::Held);
    let outside_the_queue = CtiEvent::from(CallEvent {
        acd: Some(false),
        ..CallEvent::of_agent("4711", "82", CallEventKind::Originated)
    });
    house.cti(&outside_the_queue);
    house.media("4711", "82", &port(2));
    assert_eq!(house.heard(&port(2), GATEWAY, 10), 10, "ringing");
    house.cti(&CallEvent::of_agent("4711", "82", CallEventKind::Established).into());
    assert_eq!(house.heard(&port(2), GATEWAY, 10), 10, "talking");
    assert_eq!(house.last_status().calls, ["82".into()]);
}

#[test]
fn a_direct_call_that_comes_in_during_an_acd_call_is_no_consult_call() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.call("4711", "81", CallEventKind::Held);
    for kind in [CallEventKind::Delivered, CallEventKind::Established] {
        let direct = CallEvent::of_agent("4711", "90", kind);
        house.cti(
            &CallEvent {
                acd: Some(false),
                ..direct
            }
            .into(),
        );
    }
    house.media("4711", "90", &port(3));
    assert_eq!(house.heard(&port(3), GATEWAY, 10), 0);
}

#[test]
fn alternating_between_two_calls_is_heard_on_whichever_is_talked_on() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.call("4711", "81", CallEventKind::Held);
    house.call("4711", "82", CallEventKind::Originated);
    house.media("4711", "82", &port(2));
    house.call("4711", "82", CallEventKind::Established);
    for _ in 0..2 {
        assert_eq!(
            (house.heard(PHONE, GATEWAY, 5), house.heard(&port(2), GATEWAY, 5)),
            (0, 5)
        );
        house.call("4711", "82", CallEventKind::Held);
        house.call("4711", "81", CallEventKind::Retrieved);
        assert_eq!(
            (house.heard(PHONE, GATEWAY, 5), house.heard(&port(2), GATEWAY, 5)),
            (5, 0)
        );
        house.call("4711", "81", CallEventKind::Held);
        house.call("4711", "82", CallEventKind::Retrieved);
    }
}

#[test]
fn a_conference_goes_on_under_one_id_and_outlives_the_end_of_the_other() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.call("4711", "81", CallEventKind::Held);
    house.call("4711", "82", CallEventKind::Originated);
    house.call("4711", "82", CallEventKind::Established);
    let renamed = CallRenamed {
        from: "82".into(),
        call: "81".into(),
    };
    house.cti(&renamed.into());
    house.call("4711", "81", CallEventKind::Conferenced);
    house.media("4711", "81", &port(4));
    house.call("4711", "82", CallEventKind::ConnectionCleared);
    let ended = CallEnded {
        call: "82".into(),
        controlling_party: None,
    };
    house.cti(&ended.into());
    assert_eq!(house.heard(&port(4), GATEWAY, 10), 10);
    assert_eq!(house.last_status().calls, ["81".into()]);
    house.call("4711", "81", CallEventKind::ConnectionCleared);
    assert_eq!(house.heard(&port(4), GATEWAY, 10), 0);
}

#[test]
fn a_transferred_call_is_heard_no_more_whatever_the_order_of_its_events() {
    let renamed = || {
        CtiEvent::from(CallRenamed {
            from: "82".into(),
            call: "81".into(),
        })
    };
    let transferred = |call: &str| CtiEvent::from(CallEvent::of_agent("4711", call, CallEventKind::Transferred));
    for order in [
        [renamed(), transferred("81")],
        [renamed(), transferred("82")],
        [transferred("81"), renamed()],
        [transferred("82"), renamed()],
    ] {
        let mut house = House::new();
        house.talking();
        house.start(ANNA, "4711", None);
        house.call("4711", "81", CallEventKind::Held);
        house.call("4711", "82", CallEventKind::Originated);
        house.call("4711", "82", CallEventKind::Established);
        house.media("4711", "82", &port(5));
        for event in &order {
            house.cti(event);
        }
        let calls = house
            .engine
            .directory
            .agent(&"4711".into())
            .map(|agent| agent.calls().len());
        assert_eq!(calls, Some(0), "{order:?}");
        assert_eq!(house.heard(&port(5), GATEWAY, 10), 0);
    }
}

#[test]
fn a_nailed_up_leg_is_silent_between_acd_calls() {
    let mut house = House::new();
    house.agent_state("4711", AgentState::Available);
    let leg = MediaStarted {
        agent: Some("4711".into()),
        ..MediaStarted::at(PHONE.parse().expect("an address"))
    };
    house.cti(&leg.into());
    house.start(ANNA, "4711", None);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
    assert_eq!(house.last_status().reason.code, Code::AgentNotOnCall);
    for call in ["81", "82"] {
        house.call("4711", call, CallEventKind::Delivered);
        house.call("4711", call, CallEventKind::Established);
        assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
        assert_eq!(house.last_status().calls, [call.into()]);
        house.call("4711", call, CallEventKind::Held);
        assert_eq!(house.heard(PHONE, GATEWAY, 10), 0, "on hold");
        house.call("4711", call, CallEventKind::ConnectionCleared);
        assert_eq!(house.heard(PHONE, GATEWAY, 10), 0, "between calls");
    }
}

#[test]
fn a_nailed_up_leg_with_a_call_of_its_own_carries_the_acd_calls_beside_it() {
    let mut house = House::new();
    let nailed = CallEvent::of_agent("4711", "70", CallEventKind::Established);
    house.cti(
        &CallEvent {
            acd: Some(false),
            ..nailed
        }
        .into(),
    );
    house.media("4711", "70", PHONE);
    house.start(ANNA, "4711", None);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
    house.pass(Duration::from_secs(1));
    house.call("4711", "81", CallEventKind::Established);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    house.call("4711", "81", CallEventKind::ConnectionCleared);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
}

#[test]
fn an_agent_who_signs_out_and_in_again_is_heard_without_another_click() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.agent_state("4711", AgentState::Logout);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
    assert_eq!(house.last_status().reason.code, Code::AgentNotSignedIn);
    house.signed_in("4711", "3002", AgentState::Talking);
    house.device_call("3002", "83", CallEventKind::Established, Some(true));
    house.device_media("3002", "83", &port(6));
    assert_eq!(house.heard(&port(6), GATEWAY, 10), 10);
}

#[test]
fn media_told_before_anyone_says_who_sits_there_are_heard_once_it_is_said() {
    let mut house = House::new();
    house.agent_state("4711", AgentState::Talking);
    house.start(ANNA, "4711", None);
    house.device_media("3001", "81", PHONE);
    house.device_call("3001", "81", CallEventKind::Established, Some(true));
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
    house.signed_in("4711", "3001", AgentState::Talking);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
}

#[test]
fn a_guest_is_heard_at_his_hosts_phone() {
    let mut house = House::new();
    house.signed_in("host", "2000", AgentState::Available);
    house.signed_in("4711", "3001", AgentState::Available);
    house.start(ANNA, "4711", None);
    let at = |host: Option<&str>| {
        CtiEvent::from(Hoteling {
            guest: "3001".into(),
            host: host.map(Extension::from),
        })
    };
    house.cti(&at(Some("2000")));
    house.device_call("3001", "81", CallEventKind::Established, Some(true));
    house.device_media("2000", "81", PHONE);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    house.cti(&at(None));
    assert_eq!(
        house.heard(PHONE, GATEWAY, 10),
        0,
        "the host's phone is the host's again"
    );
}

#[test]
fn an_agent_whose_source_tells_of_no_calls_is_followed_by_his_media() {
    let mut house = House::with_policy(|policy| policy.calls = HeardCalls::All);
    house.agent_state("4711", AgentState::Talking);
    house.media("4711", "81", PHONE);
    house.start(ANNA, "4711", None);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    house.media_stopped("4711", Some("81"));
    house.media("4711", "82", &port(7));
    assert_eq!(house.heard(&port(7), GATEWAY, 10), 10);
}

#[test]
fn a_snapshot_closes_a_stuck_call_and_its_sound_and_is_told_once() {
    let mut house = House::new();
    house.signed_in("4711", "3001", AgentState::Talking);
    house.call("4711", "81", CallEventKind::Established);
    house.media("4711", "81", PHONE);
    house.start(ANNA, "4711", None);
    let empty = CtiEvent::from(DeviceSnapshot {
        device: "3001".into(),
        calls: Vec::new(),
    });
    for _ in 0..2 {
        house.cti(&empty);
        assert_eq!(house.heard(PHONE, GATEWAY, 10), 0);
    }
    assert_eq!(house.count(|event| matches!(event, EngineEvent::Resynchronised(_))), 1);
}

#[test]
fn the_filter_changes_only_when_addresses_do() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let changes = |house: &House| house.count(|event| *event == EngineEvent::FilterChanged);
    let before = changes(&house);
    for _ in 0..5 {
        house.talking();
        house.agent_state("4712", AgentState::Available);
    }
    assert_eq!(changes(&house), before);
    house.media("4711", "81", &port(8));
    assert_eq!(changes(&house), before + 1);
}

#[test]
fn one_agents_events_make_no_routes_for_another() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.agent_state("4712", AgentState::Talking);
    house.call("4712", "90", CallEventKind::Established);
    house.media("4712", "90", "10.1.1.30:24000");
    assert_eq!(house.heard("10.1.1.30:24000", GATEWAY, 10), 0);
    assert_eq!(house.engine.monitored().ips(), Some(vec![[10, 1, 1, 20].into()]));
}
