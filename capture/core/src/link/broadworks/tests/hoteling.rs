use silentmon_proto::cti::Hoteling;

use super::*;
use crate::link::{HotelingAction, HotelingRequest};

const GUEST_EVENTS: &str = "guest@d/Hoteling Guest";
const ASSOCIATED: &str = "<xsi:info><xsi:active>true</xsi:active><xsi:hostUserId>host@d</xsi:hostUserId></xsi:info>";
const DISSOCIATED: &str = "<xsi:info><xsi:active>false</xsi:active></xsi:info>";

fn pair() -> Pair {
    let users = vec![
        MonitoredUser::agent("guest@d", "4001"),
        MonitoredUser::agent("host@d", "3001"),
    ];
    let mut pair = Pair::of(1, users);
    pair.open(Endpoint(0));
    pair.grant_all();
    pair.told();
    pair
}

fn ask(pair: &mut Pair, action: HotelingAction) {
    pair.command(LinkCommand::Hoteling(HotelingRequest {
        number: 9,
        action,
        guest: "guest@d".into(),
        host: "3001".into(),
    }));
}

fn host_signs_in(pair: &mut Pair) {
    let state = "<xsi:agentStateInfo><xsi:state>Available</xsi:state></xsi:agentStateInfo>";
    pair.event("host@d/Call Center Agent", "AgentStateEvent", state);
    pair.told();
    pair.asked.clear();
}

/// The one request of Xsi-Actions under way, as user, service and what it says.
fn step(pair: &mut Pair) -> (HttpRequest, String) {
    let actions: Vec<_> = pair
        .asked
        .iter()
        .filter(|request| request.path.contains("xsi-actions"))
        .collect();
    assert_eq!(actions.len(), 1, "{actions:#?}");
    let request = pair.take("PUT", "/com.broadsoft.xsi-actions/v2.0/user/");
    let path = request.path.trim_start_matches("/com.broadsoft.xsi-actions/v2.0/user/");
    let (_, content) = request.body.split_once("xsi\">").expect("a root");
    let (content, _) = content.rsplit_once("</").expect("its end");
    let words = format!("{path} {content}");
    (request, words)
}

fn answered_step(pair: &mut Pair) -> String {
    let (request, words) = step(pair);
    pair.answer(&request, 200, "");
    words
}

fn done(pair: &mut Pair) -> Option<Result<(), String>> {
    pair.told().into_iter().find_map(|event| match event {
        LinkEvent::Done { number: 9, result } => Some(result),
        _ => None,
    })
}

#[test]
fn a_guest_is_signed_in_by_the_requests_laid_down_in_their_order() {
    let mut pair = pair();
    host_signs_in(&mut pair);
    ask(&mut pair, HotelingAction::Login);
    assert_eq!(
        [
            answered_step(&mut pair),
            answered_step(&mut pair),
            answered_step(&mut pair)
        ],
        [
            "host@d/services/CallCenter <agentACDState>Sign-Out</agentACDState>",
            "host@d/services/CallForwardingAlways <active>true</active><forwardToPhoneNumber>4001</forwardToPhoneNumber>",
            "guest@d/services/HotelingGuest <active>true</active><hostUserId>host@d</hostUserId>",
        ]
    );
    assert_eq!(pair.asked, [], "the association is waited for");
    pair.event(GUEST_EVENTS, "HotelingGuestEvent", ASSOCIATED);
    let told = pair.told_cti();
    assert_eq!(
        told,
        [Hoteling {
            guest: "4001".into(),
            host: Some("3001".into()),
        }
        .into()]
    );
    assert_eq!(
        answered_step(&mut pair),
        "guest@d/services/CallCenter <agentACDState>Unavailable</agentACDState>"
    );
    assert_eq!(done(&mut pair), Some(Ok(())));
}

#[test]
fn a_host_without_an_agent_needs_no_sign_out() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Login);
    assert!(answered_step(&mut pair).contains("CallForwardingAlways"));
}

#[test]
fn the_association_may_be_told_before_its_request_is_answered() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Login);
    answered_step(&mut pair);
    let (request, _) = step(&mut pair);
    pair.event(GUEST_EVENTS, "HotelingGuestEvent", ASSOCIATED);
    assert!(!pair.is_asked("PUT", "xsi-actions"));
    pair.answer(&request, 200, "");
    assert!(answered_step(&mut pair).contains("Unavailable"));
    assert_eq!(done(&mut pair), Some(Ok(())));
}

#[test]
fn a_guest_is_signed_out_in_the_mirrored_order() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Logout);
    assert_eq!(
        [
            answered_step(&mut pair),
            answered_step(&mut pair),
            answered_step(&mut pair)
        ],
        [
            "guest@d/services/CallCenter <agentACDState>Sign-Out</agentACDState>",
            "host@d/services/CallForwardingAlways <active>false</active>",
            "guest@d/services/HotelingGuest <active>false</active>",
        ]
    );
    assert_eq!(done(&mut pair), Some(Ok(())));
    pair.event(GUEST_EVENTS, "HotelingGuestEvent", DISSOCIATED);
    let ended = Hoteling {
        guest: "4001".into(),
        host: None,
    };
    assert_eq!(pair.told_cti(), [ended.into()]);
}

#[test]
fn an_association_made_elsewhere_is_followed_and_asks_nothing() {
    let mut pair = pair();
    for (data, host) in [
        (ASSOCIATED, Some("3001".into())),
        (DISSOCIATED, None),
        (
            "<xsi:info><xsi:active>true</xsi:active><xsi:hostUserId>5005@elsewhere</xsi:hostUserId></xsi:info>",
            Some("5005".into()),
        ),
        ("<xsi:unassigned/>", None),
    ] {
        pair.event(GUEST_EVENTS, "HotelingGuestEvent", data);
        let expected = Hoteling {
            guest: "4001".into(),
            host,
        };
        assert_eq!(pair.told_cti(), [expected.into()], "{data}");
    }
    assert!(!pair.is_asked("PUT", "xsi-actions"));
}

#[test]
fn a_step_that_fails_is_named_and_ends_the_procedure() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Login);
    let (request, _) = step(&mut pair);
    pair.answer(&request, 403, "");
    let failed = "forwarding the host's calls to the guest failed: HTTP 403";
    assert_eq!(done(&mut pair), Some(Err(failed.into())));
    assert_eq!(pair.asked, []);
}

#[test]
fn an_association_that_fails_takes_the_forwarding_back() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Login);
    answered_step(&mut pair);
    let (request, _) = step(&mut pair);
    pair.answer(&request, 500, "");
    assert_eq!(
        done(&mut pair),
        Some(Err("associating guest and host failed: HTTP 500".into()))
    );
    assert_eq!(
        answered_step(&mut pair),
        "host@d/services/CallForwardingAlways <active>false</active>"
    );
    assert_eq!(done(&mut pair), None, "told once");
    ask(&mut pair, HotelingAction::Login);
    assert!(
        answered_step(&mut pair).contains("CallForwardingAlways"),
        "another attempt"
    );
}

#[test]
fn an_association_that_is_never_told_fails_in_the_end() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Login);
    answered_step(&mut pair);
    answered_step(&mut pair);
    pair.pass(30);
    let failed = done(&mut pair).expect("done").expect_err("failed");
    assert_eq!(
        failed,
        "waiting for the server to tell the association failed: not done within 30 s"
    );
    assert!(answered_step(&mut pair).contains("<active>false</active>"));
}

#[test]
fn strangers_and_those_under_way_are_refused_in_words() {
    let mut pair = pair();
    let request = |guest: &str, host: &str| {
        LinkCommand::Hoteling(HotelingRequest {
            number: 9,
            action: HotelingAction::Login,
            guest: guest.into(),
            host: host.into(),
        })
    };
    for (guest, host, why) in [
        ("nobody@d", "3001", "the guest isn't among the link's users"),
        ("guest@d", "nobody", "the host isn't among the link's users"),
        ("guest@d", "4001", "guest and host are the same user"),
    ] {
        pair.command(request(guest, host));
        assert_eq!(done(&mut pair), Some(Err(why.into())));
    }
    ask(&mut pair, HotelingAction::Login);
    pair.command(LinkCommand::Hoteling(HotelingRequest {
        number: 10,
        action: HotelingAction::Logout,
        guest: "guest@d".into(),
        host: "3001".into(),
    }));
    assert!(matches!(
        &pair.told()[..],
        [LinkEvent::Done {
            number: 10,
            result: Err(_)
        }]
    ));
}

#[test]
fn a_lost_channel_ends_what_is_under_way() {
    let mut pair = pair();
    ask(&mut pair, HotelingAction::Login);
    let stream = pair.streams[&Endpoint(0)];
    pair.link.handle_ended(stream, Closed::ByPeer, pair.now);
    pair.collect();
    assert_eq!(
        done(&mut pair),
        Some(Err("the channels to the server were lost".into()))
    );
}
