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
