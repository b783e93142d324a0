use silentmon_proto::cti::{AgentState, AgentUpdate, DeviceSnapshot};

use super::*;

const CALLS: &str = "mkern@d/Advanced Call";

#[test]
fn every_event_is_acknowledged_once_it_came() {
    let mut pair = Pair::ready();
    pair.event(CALLS, "CallReceivedEvent", &call("c1", "Alerting", ""));
    let request = pair.take("POST", "/com.broadsoft.xsi-events/v2.0/channel/eventresponse");
    assert!(
        request
            .body
            .contains("<eventID>event-1</eventID><statusCode>200</statusCode>")
    );
    pair.outer_event(
        "SubscriptionTerminatedEvent",
        "<subscriptionId>nobody's</subscriptionId>",
    );
    pair.outer_event("FutureEvent", "");
    for number in [2, 3] {
        let request = pair.take("POST", "eventresponse");
        assert!(request.body.contains(&format!("<eventID>event-{number}</eventID>")));
    }
}

#[test]
fn a_repeated_event_is_acknowledged_and_changes_nothing() {
    let mut pair = Pair::ready();
    let text = pair.event(CALLS, "CallReceivedEvent", &call("c1", "Alerting", ""));
    pair.take("POST", "eventresponse");
    pair.told();
    pair.stream(Endpoint(0), &text);
    pair.take("POST", "eventresponse");
    assert_eq!(pair.told(), []);
    assert!(!pair.is_asked("PUT", "/subscription/"));
}

#[test]
fn subscriptions_are_refreshed_at_half_of_what_was_granted() {
    let mut pair = Pair::ready();
    pair.pass(299);
    assert!(!pair.is_asked("PUT", "/subscription/"));
    pair.pass(1);
    for package in ["Advanced%20Call", "Call%20Center%20Agent", "Hoteling%20Guest"] {
        let request = pair.take("PUT", &format!("/subscription/mkern@d%2F{package}"));
        pair.answer(&request, 200, "<Subscription><expires>86400</expires></Subscription>");
    }
    pair.asked.clear();
    pair.pass(1);
    assert!(!pair.is_asked("PUT", "/subscription/"));
}

#[test]
fn a_refresh_that_fails_is_tried_again_and_one_without_subscription_subscribes_anew() {
    let mut pair = Pair::ready();
    pair.pass(300);
    let request = pair.take("PUT", "/subscription/mkern@d%2FAdvanced");
    pair.answer(&request, 503, "");
    pair.pass(10);
    let request = pair.take("PUT", "/subscription/mkern@d%2FAdvanced");
    pair.answer(&request, 404, "");
    pair.pass(2);
    let request = pair.take("POST", "/user/mkern@d");
    assert!(request.body.contains("Advanced Call"));
}

#[test]
fn a_gap_in_the_sequence_asks_for_the_state_anew_which_replaces() {
    let mut pair = Pair::ready();
    pair.numbered_event(CALLS, 1, "CallReceivedEvent", &call("c1", "Alerting", ""));
    pair.numbered_event(CALLS, 4, "CallReceivedEvent", &call("c2", "Alerting", ""));
    pair.told();
    pair.pass(1);
    let request = pair.take("PUT", "/subscription/mkern@d%2FAdvanced");
    pair.answer(&request, 200, &grant(CALLS));
    let snapshot = format!("<xsi:calls>{}</xsi:calls>", call("c2", "Active", ""));
    pair.numbered_event(CALLS, 5, "CallSubscriptionEvent", &snapshot);
    let [CtiEvent::DeviceSnapshot(DeviceSnapshot { device, calls })] = &pair.told_cti()[..] else {
        panic!("no snapshot")
    };
    assert_eq!(
        (device.as_str(), calls.len(), calls[0].call.as_str()),
        ("3001", 1, "c2")
    );
}

#[test]
fn what_comes_late_is_not_applied_but_the_state_asked_for() {
    let mut pair = Pair::ready();
    pair.pass(5);
    pair.numbered_event(CALLS, 2, "CallReceivedEvent", &call("c1", "Alerting", ""));
    pair.told();
    pair.numbered_event(CALLS, 1, "CallReleasedEvent", &call("c1", "Released", ""));
    assert_eq!(pair.told(), []);
    assert!(pair.is_asked("PUT", "/subscription/mkern@d%2FAdvanced"));
    pair.numbered_event(CALLS, 2, "CallAnsweredEvent", &call("c1", "Active", ""));
    assert_eq!(pair.told().len(), 1, "the count has begun anew");
}

#[test]
fn many_gaps_ask_once_a_second_at_most() {
    let mut pair = Pair::ready();
    pair.pass(5);
    let mut asked = 0;
    for number in 0..40 {
        pair.numbered_event(CALLS, 10 + number * 2, "CallUpdatedEvent", &call("c1", "Active", ""));
        let acknowledged = pair.take("POST", "eventresponse");
        pair.answer(&acknowledged, 200, "");
        pair.now += Duration::from_millis(100);
        pair.link.handle_timeout(pair.now);
        pair.collect();
        if pair.is_asked("PUT", "/subscription/") {
            let request = pair.take("PUT", "/subscription/");
            asked += 1;
            pair.answer(&request, 200, &grant(CALLS));
        }
    }
    assert!((3..=5).contains(&asked), "{asked} requests in 4 s");
}

#[test]
fn a_first_event_may_come_before_the_answer_to_its_subscription() {
    let mut pair = Pair::of(1, vec![MonitoredUser::agent("mkern@d", "3001")]);
    pair.open(Endpoint(0));
    let hook = "<xsi:hookStatus>On-Hook</xsi:hookStatus>";
    pair.event(CALLS, "CallSubscriptionEvent", hook);
    assert!(matches!(&pair.told_cti()[..], [CtiEvent::DeviceSnapshot(_)]));
    pair.event(CALLS, "CallReceivedEvent", &call("c1", "Alerting", ""));
    assert_eq!(pair.told().len(), 1);
    pair.sequences.clear();
    pair.grant_all();
    pair.numbered_event(CALLS, 3, "CallAnsweredEvent", &call("c1", "Active", ""));
    assert!(matches!(&pair.told_cti()[..], [CtiEvent::Link(_), CtiEvent::Call(_)]));
}

#[test]
fn a_subscription_that_the_server_ends_is_made_anew() {
    let mut pair = Pair::ready();
    pair.outer_event(
        "SubscriptionTerminatedEvent",
        &format!("<subscriptionId>{CALLS}</subscriptionId><reason>Expired</reason>"),
    );
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)], "the only one");
    assert!(!pair.is_asked("POST", "/user/"), "after a pause");
    pair.pass(2);
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn a_user_without_call_centres_is_known_all_the_same() {
    let mut pair = Pair::of(1, vec![MonitoredUser::agent("mkern@d", "3001")]);
    pair.open(Endpoint(0));
    let calls = pair.take("POST", "/user/");
    pair.answer(&calls, 200, &grant(CALLS));
    let agent = pair.take("POST", "/user/");
    pair.answer(&agent, 404, "");
    let known = AgentUpdate {
        extension: Some("3001".into()),
        ..AgentUpdate::new("mkern@d", AgentState::Unknown)
    };
    assert!(pair.told_cti().contains(&CtiEvent::AgentState(known)));
}

#[test]
fn a_server_that_refuses_every_user_refuses_the_session() {
    let users = vec![MonitoredUser::agent("a@d", "1"), MonitoredUser::queue("q@d", "8001")];
    let mut pair = Pair::of(1, users);
    pair.open(Endpoint(0));
    while pair.is_asked("POST", "/user/") {
        assert_eq!(pair.told_status(), []);
        let request = pair.take("POST", "/user/");
        pair.answer(&request, 403, "");
    }
    assert_eq!(pair.told_status(), [Some(Code::CtiRefused)]);
    pair.pass(301);
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn one_unknown_user_does_not_keep_the_link_down() {
    let users = vec![MonitoredUser::agent("a@d", "1"), MonitoredUser::agent("b@d", "2")];
    let mut pair = Pair::of(1, users);
    pair.open(Endpoint(0));
    let request = pair.take("POST", "/user/a@d");
    pair.answer(&request, 404, "");
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn a_request_without_answer_is_given_up_after_ten_seconds_and_made_again() {
    let mut pair = Pair::of(1, vec![MonitoredUser::agent("mkern@d", "3001")]);
    pair.open(Endpoint(0));
    let ids: Vec<_> = pair.asked.iter().map(|request| request.id).collect();
    pair.pass(10);
    assert_eq!(pair.cancelled, ids);
    pair.pass(2);
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn no_more_than_sixteen_requests_are_under_way_and_acknowledgements_go_first() {
    let users = (0..100).map(|number| MonitoredUser::agent(format!("u{number}@d"), format!("{number}").as_str()));
    let mut pair = Pair::of(1, users.collect());
    pair.open(Endpoint(0));
    assert_eq!(pair.asked.len(), 16);
    pair.outer_event("FutureEvent", "");
    assert_eq!(pair.asked.len(), 16);
    let first = pair.asked.remove(0);
    let id = subscription_id(&first);
    pair.answer(&first, 200, &grant(&id));
    assert!(pair.is_asked("POST", "eventresponse"));
    while !pair.asked.is_empty() {
        assert!(pair.asked.len() <= 16);
        let request = pair.asked.remove(0);
        let body = if request.body.contains("<event>") {
            grant(&subscription_id(&request))
        } else {
            String::new()
        };
        pair.answer(&request, 200, &body);
    }
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn a_snapshot_is_answered_from_an_update_of_the_subscription() {
    let mut pair = Pair::ready();
    pair.pass(5);
    pair.command(LinkCommand::SnapshotDevice("3001".into()));
    let request = pair.take("PUT", "/subscription/mkern@d%2FAdvanced");
    pair.answer(&request, 200, &grant(CALLS));
    let snapshot = format!("<xsi:calls>{}</xsi:calls>", call("c1", "Held", ""));
    pair.event(CALLS, "CallSubscriptionEvent", &snapshot);
    let told = pair.told_cti();
    assert!(
        matches!(&told[..], [CtiEvent::DeviceSnapshot(snapshot)] if snapshot.calls.len() == 1),
        "{told:?}"
    );
    pair.command(LinkCommand::SnapshotDevice("unknown".into()));
    assert!(!pair.is_asked("PUT", "/subscription/"));
}
