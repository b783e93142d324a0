//! CTI links that break and come back: audio in progress goes on (requirements C2).

use super::*;

fn down() -> Reason {
    Reason::new(Code::CtiLinkDown, "No CTI events since 10:31 (side A and B down).")
}

#[test]
fn audio_in_progress_goes_on_while_the_link_is_down_and_agents_are_unknown() {
    let mut house = House::new();
    house.link(None);
    house.talking();
    house.start(ANNA, "4711", None);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    house.link(Some(down()));
    house.agent_state("4711", AgentState::Unknown);
    assert_eq!(house.heard(PHONE, GATEWAY, 500), 500);
    house.link(None);
    assert_eq!(
        house.heard(PHONE, GATEWAY, 5_000),
        5_000,
        "100 s after the link came back"
    );
    assert_ne!(house.last_status().reason.code, Code::CtiLinkDown);
}

#[test]
fn an_agent_without_sound_is_silent_because_of_the_link_in_the_links_own_words() {
    let mut house = House::new();
    house.agent_state("4711", AgentState::Available);
    house.start(ANNA, "4711", None);
    for code in [Code::CtiLinkDown, Code::CtiRefused, Code::CtiPortIsPlain] {
        let why = Reason::new(code, "The link's own words.");
        house.link(Some(why.clone()));
        let reason = house.last_status().reason;
        assert_eq!(reason.without_evidence(), why);
        assert_eq!(reason.evidence.get("link"), Some("cisco"));
    }
    house.link(None);
    assert_eq!(house.last_status().reason.code, Code::AgentNotOnCall);
}

#[test]
fn one_of_two_links_is_to_blame_only_for_its_own_agents() {
    let mut house = House::new();
    let state = |agent: &str| AgentUpdate::new(agent, AgentState::Available).into();
    for (link, agent) in [("cisco", "4711"), ("csta", "4712")] {
        house.engine.handle_link_cti(&link.into(), &state(agent), house.now);
        let up = LinkUpdate {
            link: link.into(),
            down: None,
        };
        house.cti(&up.into());
    }
    house.link(Some(down()));
    house.start(ANNA, "4711", None);
    assert_eq!(house.last_status().reason.code, Code::CtiLinkDown);
    house.start(ANNA, "4712", None);
    assert_eq!(house.last_status().reason.code, Code::AgentNotOnCall);
}

#[test]
fn media_that_ended_while_the_link_was_down_are_forgotten_a_while_after_it_came_back() {
    let mut house = House::new();
    house.link(None);
    house.talking();
    house.start(ANNA, "4711", None);
    house.heard(PHONE, GATEWAY, 10);
    house.pass(Duration::from_secs(1));
    house.link(Some(down()));
    house.pass(Duration::from_secs(600));
    assert!(
        !house.engine.directory.media(&"4711".into()).is_empty(),
        "kept while the link is down"
    );
    house.link(None);
    house.pass(RESYNCHRONISED_WITHIN.saturating_sub(Duration::from_secs(2)));
    assert!(!house.engine.directory.media(&"4711".into()).is_empty());
    house.pass(Duration::from_secs(4));
    assert!(house.engine.directory.media(&"4711".into()).is_empty());
}

#[test]
fn media_told_again_after_the_link_came_back_are_kept() {
    let mut house = House::new();
    house.link(None);
    house.talking();
    house.pass(Duration::from_secs(1));
    house.link(Some(down()));
    house.pass(Duration::from_secs(5));
    house.link(None);
    house.pass(Duration::from_secs(1));
    house.call("4711", "81", CallEventKind::Established);
    house.pass(RESYNCHRONISED_WITHIN * 2);
    assert!(!house.engine.directory.media(&"4711".into()).is_empty());
}
