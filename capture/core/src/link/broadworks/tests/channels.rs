use super::*;

#[test]
fn comes_up_once_a_channel_is_open_and_the_subscriptions_are_granted() {
    let mut pair = Pair::of(1, vec![MonitoredUser::agent("mkern@d", "3001")]);
    assert!(
        pair.asked[0]
            .body
            .contains("<channelSetId>silentmon-0000000000000007</channelSetId>")
    );
    assert!(pair.asked[0].body.contains("<expires>3600</expires>"));
    pair.open(Endpoint(0));
    assert_eq!(pair.told(), []);
    let packages: Vec<_> = pair.asked.iter().map(subscription_id).collect();
    assert_eq!(
        packages,
        [
            "mkern@d/Advanced Call",
            "mkern@d/Call Center Agent",
            "mkern@d/Hoteling Guest"
        ]
    );
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn every_server_gets_a_channel_of_the_same_set() {
    let pair = Pair::of(3, vec![]);
    let endpoints: Vec<_> = pair.asked.iter().map(|request| request.endpoint).collect();
    assert_eq!(endpoints, [Endpoint(0), Endpoint(1), Endpoint(2)]);
    let sets: Vec<_> = pair
        .asked
        .iter()
        .map(|request| between(&request.body, "<channelSetId>", "</channelSetId>"))
        .collect();
    assert!(sets.iter().all(|set| *set == sets[0]), "{sets:?}");
}

#[test]
fn a_wrong_password_is_told_apart_and_tried_again_later() {
    let mut pair = Pair::of(1, vec![]);
    let request = pair.take("POST", "async");
    pair.answer(&request, 401, "");
    assert_eq!(pair.told_status(), [Some(Code::CtiRefused)]);
    assert_eq!(pair.cancelled, [request.id], "the answer's body isn't waited for");
    pair.pass(2);
    pair.open(Endpoint(0));
    assert_eq!(pair.told_status(), [None], "without users a channel is enough");
}

#[test]
fn a_plain_port_is_told_apart_from_a_server_that_is_away() {
    let mut pair = Pair::of(1, vec![]);
    let request = pair.take("POST", "async");
    pair.fail(&request, Closed::Unreachable("refused".into()));
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)]);
    pair.pass(2);
    let request = pair.take("POST", "async");
    pair.fail(&request, Closed::PlainPort(b"HTTP".to_vec()));
    assert_eq!(pair.told_status(), [Some(Code::CtiPortIsPlain)]);
}

#[test]
fn pauses_between_attempts_grow() {
    let mut pair = Pair::of(1, vec![]);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let request = pair.take("POST", "async");
        pair.fail(&request, Closed::ByPeer);
        let before = pair.now;
        pair.now = pair.link.poll_timeout().expect("another attempt");
        pair.link.handle_timeout(pair.now);
        pair.collect();
        pauses.push(pair.now.saturating_since(before).as_secs_f64());
    }
    for (pause, base) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0]) {
        assert!((base * 0.75..=base * 1.25).contains(pause), "{pauses:?}");
    }
}

#[test]
fn a_channel_that_is_never_granted_is_given_up() {
    let mut pair = Pair::of(1, vec![]);
    let request = pair.take("POST", "async");
    pair.answer(&request, 200, "");
    pair.pass(10);
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)]);
    assert_eq!(pair.cancelled, [request.id]);
}

#[test]
fn a_heartbeat_goes_out_every_fifteen_seconds_and_again_after_ten_where_it_fails() {
    let mut pair = Pair::ready();
    pair.pass_silently(14);
    assert!(!pair.is_asked("PUT", "heartbeat"));
    pair.pass_silently(1);
    let request = pair.take("PUT", "/channel/channel-0/heartbeat");
    pair.answer(&request, 500, "");
    pair.pass_silently(9);
    assert!(!pair.is_asked("PUT", "heartbeat"));
    pair.pass_silently(1);
    let request = pair.take("PUT", "/channel/channel-0/heartbeat");
    pair.answer(&request, 200, "");
    assert_eq!(pair.told(), []);
}

#[test]
fn a_heartbeat_that_finds_no_channel_opens_it_anew() {
    for status in [401, 404] {
        let mut pair = Pair::ready();
        pair.pass_silently(15);
        let request = pair.take("PUT", "heartbeat");
        pair.answer(&request, status, "");
        assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)], "{status}");
        let goodbye = pair.take("DELETE", "/channel/channel-0");
        pair.answer(&goodbye, 404, "");
        pair.pass(2);
        pair.open(Endpoint(0));
        pair.grant_all();
        assert_eq!(pair.told_status(), [None], "{status}");
    }
}

#[test]
fn a_dead_stream_is_noticed_after_four_heartbeats() {
    let mut pair = Pair::ready();
    pair.pass_silently(59);
    assert_eq!(pair.told_status(), []);
    pair.pass_silently(1);
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)]);
    assert!(pair.streams.is_empty(), "the stream is dropped");
}

#[test]
fn a_living_stream_lasts() {
    let mut pair = Pair::ready();
    pair.pass(280);
    assert_eq!(pair.told(), []);
}

#[test]
fn the_channel_is_refreshed_at_half_of_what_was_granted() {
    let mut pair = Pair::ready();
    pair.pass(299);
    assert!(!pair.is_asked("PUT", "/channel/"));
    pair.pass(1);
    let request = pair.take("PUT", "/channel/channel-0");
    assert!(request.body.contains("<expires>3600</expires>"), "{}", request.body);
    pair.answer(&request, 200, "<Channel><expires>1000</expires></Channel>");
    pair.pass(499);
    assert!(!pair.is_asked("PUT", "/channel/"));
    pair.pass(1);
    assert!(pair.is_asked("PUT", "/channel/channel-0"));
}

#[test]
fn the_servers_end_of_a_channel_is_not_acknowledged() {
    let mut pair = Pair::ready();
    pair.outer_event(
        "ChannelTerminatedEvent",
        "<channelId>channel-0</channelId><reason>Expired</reason>",
    );
    assert!(!pair.is_asked("POST", "eventresponse"));
    let LinkEvent::Cti(CtiEvent::Link(update)) = pair.told().remove(0) else {
        panic!("no status")
    };
    let reason = update.down.expect("down").to_string();
    assert_eq!(reason, "SM-1201 the server ended the channel: Expired");
}

#[test]
fn while_one_channel_lives_the_subscriptions_do_and_their_state_is_asked_for() {
    let mut pair = Pair::of(2, vec![MonitoredUser::agent("mkern@d", "3001")]);
    pair.open(Endpoint(0));
    pair.open(Endpoint(1));
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
    pair.pass(5);
    let stream = pair.streams[&Endpoint(0)];
    pair.streams.remove(&Endpoint(0));
    pair.link.handle_ended(stream, Closed::ByPeer, pair.now);
    pair.collect();
    assert_eq!(pair.told(), []);
    for _ in 0..3 {
        let request = pair.take("PUT", "/subscription/mkern@d");
        assert_eq!(request.endpoint, Endpoint(1));
        pair.answer(&request, 200, "");
    }
    pair.event(
        "mkern@d/Advanced Call",
        "CallReceivedEvent",
        &call("c1", "Alerting", ""),
    );
    assert_eq!(pair.told().len(), 1, "the other channel delivers");
    let acknowledged = pair.take("POST", "eventresponse");
    assert_eq!(acknowledged.endpoint, Endpoint(1), "where the event came from");
    pair.pass(2);
    pair.open(Endpoint(0));
    assert!(!pair.is_asked("POST", "/user/"), "nothing is subscribed to twice");
}

#[test]
fn a_first_state_that_a_dying_channel_took_along_is_asked_for_again() {
    for arrived in [false, true] {
        let mut pair = Pair::of(2, vec![MonitoredUser::agent("mkern@d", "3001")]);
        pair.open(Endpoint(0));
        pair.open(Endpoint(1));
        let stream = pair.streams[&Endpoint(1)];
        pair.streams.remove(&Endpoint(1));
        pair.link.handle_ended(stream, Closed::ByPeer, pair.now);
        pair.collect();
        if arrived {
            pair.event("mkern@d/Advanced Call", "CallSubscriptionEvent", "");
        }
        pair.grant_all();
        pair.pass(1);
        assert_eq!(pair.is_asked("PUT", "/subscription/mkern@d%2FAdvanced"), !arrived);
    }
}

#[test]
fn requests_that_a_lost_server_owed_go_to_another() {
    let mut pair = Pair::of(2, vec![MonitoredUser::agent("mkern@d", "3001")]);
    pair.open(Endpoint(0));
    pair.open(Endpoint(1));
    assert_eq!(pair.take("POST", "/user/").endpoint, Endpoint(0));
    let stream = pair.streams[&Endpoint(0)];
    pair.link.handle_ended(stream, Closed::ByPeer, pair.now);
    pair.collect();
    pair.pass(2);
    assert_eq!(pair.take("POST", "/user/").endpoint, Endpoint(1));
}

#[test]
fn a_server_that_takes_no_requests_is_passed_over_while_another_does() {
    let mut pair = Pair::of(2, vec![MonitoredUser::agent("mkern@d", "3001")]);
    pair.open(Endpoint(0));
    pair.open(Endpoint(1));
    pair.grant_all();
    pair.pass_silently(15);
    let heartbeat = pair.take("PUT", "/channel/channel-1/heartbeat");
    pair.answer(&heartbeat, 200, "");
    let heartbeat = pair.take("PUT", "/channel/channel-0/heartbeat");
    pair.fail(&heartbeat, Closed::Unreachable("refused".into()));
    pair.command(LinkCommand::SnapshotDevice("3001".into()));
    let request = pair.take("PUT", "/subscription/mkern@d");
    assert_eq!(request.endpoint, Endpoint(1));
    pair.answer(&request, 200, "");
    pair.pass_silently(10);
    let heartbeat = pair.take("PUT", "/channel/channel-0/heartbeat");
    pair.answer(&heartbeat, 200, "");
    pair.command(LinkCommand::SnapshotDevice("3001".into()));
    let request = pair.take("PUT", "/subscription/mkern@d");
    assert_eq!(request.endpoint, Endpoint(0), "it is back");
}

#[test]
fn when_every_channel_was_lost_all_is_subscribed_to_anew() {
    let mut pair = Pair::ready();
    let stream = pair.streams.remove(&Endpoint(0)).expect("open");
    pair.link.handle_ended(stream, Closed::ByPeer, pair.now);
    pair.collect();
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)]);
    pair.pass(2);
    pair.open(Endpoint(0));
    assert_eq!(
        pair.asked
            .iter()
            .filter(|request| request.path.contains("/user/"))
            .count(),
        3
    );
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn a_stream_that_never_ends_a_document_is_opened_anew() {
    let mut pair = Pair::ready();
    pair.stream(Endpoint(0), "<xsi:Event>");
    for _ in 0..17 {
        if pair.streams.is_empty() {
            break;
        }
        pair.stream(Endpoint(0), &"x".repeat(64 << 10));
    }
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)]);
}

#[test]
fn an_unreadable_document_is_counted_and_the_next_one_read() {
    let mut pair = Pair::ready();
    pair.stream(Endpoint(0), "<xsi:Event a=1></xsi:Event>junk<other/>");
    assert_eq!(pair.link.unreadable(), 1);
    pair.event(
        "mkern@d/Advanced Call",
        "CallReceivedEvent",
        &call("c1", "Alerting", ""),
    );
    assert_eq!(pair.told().len(), 1);
}

#[test]
fn a_session_is_opened_anew_on_request() {
    let mut pair = Pair::ready();
    pair.command(LinkCommand::Reconnect);
    assert_eq!(pair.told_status(), [Some(Code::CtiLinkDown)]);
    pair.take("DELETE", "/channel/channel-0");
    pair.pass(0);
    pair.open(Endpoint(0));
    pair.grant_all();
    assert_eq!(pair.told_status(), [None]);
}

#[test]
fn says_goodbye_when_it_ends() {
    let mut pair = Pair::ready();
    let stream = pair.streams[&Endpoint(0)];
    pair.link.close(pair.now);
    pair.collect();
    assert!(pair.cancelled.contains(&stream));
    let goodbye = pair.take("DELETE", "/com.broadsoft.xsi-events/v2.0/channel/channel-0");
    pair.answer(&goodbye, 200, "");
    assert_eq!(pair.asked, []);
    assert_eq!(pair.link.poll_timeout(), None, "nothing is left to be done");
    assert_eq!(pair.told(), []);
}
