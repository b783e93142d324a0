//! What is said of an agent and of the house, and by which evidence.

use silentmon_proto::reason::{Hop, Outcome};

use super::*;
use crate::addressing::AddressCounts;

impl House {
    /// The capture reports, `seconds` after one another, so many frames more each time.
    fn frames(&mut self, seconds: u64, each: CaptureHealth) {
        for round in 1..=seconds {
            let times = |count: u64| count * round;
            let health = CaptureHealth {
                last_frame: Some(self.now),
                frames: times(each.frames),
                tagged: times(each.tagged),
                addressed: AddressCounts {
                    foreign: times(each.addressed.foreign),
                    own: times(each.addressed.own),
                    broadcast: times(each.addressed.broadcast),
                    multicast: times(each.addressed.multicast),
                },
                ..each
            };
            self.engine.handle_capture_health(health, self.now);
            self.pass(Duration::from_secs(1));
        }
    }

    fn found(&self, agent: &str) -> Reason {
        self.engine.diagnose_agent(&agent.into(), self.now).reason
    }

    fn hop(&self, agent: Option<&str>, name: &str) -> Hop {
        let agent = agent.map(AgentId::new);
        let hops = self.engine.examine(agent.as_ref(), Some(&supervisor("anna")), self.now);
        hops.into_iter()
            .find(|hop| hop.hop == name)
            .expect("a hop of this name")
    }
}

fn broadcast_only() -> CaptureHealth {
    CaptureHealth {
        frames: 5,
        addressed: AddressCounts {
            own: 1,
            broadcast: 4,
            ..AddressCounts::default()
        },
        ..CaptureHealth::default()
    }
}

#[test]
fn an_interface_that_gets_only_its_own_traffic_is_told_from_a_wrong_mirror() {
    let mut house = House::new();
    house.talking();
    house.frames(4, broadcast_only());
    let found = house.found("4711");
    assert_eq!(found.code, Code::OnlyOwnTraffic);
    assert_eq!(found.evidence.get("foreign unicast"), Some("0"));
    assert_eq!(found.evidence.get("broadcast"), Some("16"));
    let mut others = broadcast_only();
    others.addressed.foreign = 1;
    house.frames(4, others);
    assert_eq!(house.found("4711").code, Code::AgentNotInMirror);
    assert_eq!(house.hop(None, "promiscuous").result, Outcome::Ok);
}

/// Two agents on calls, at phones of these extensions that the device map has at one address.
fn two_at_one_address(extensions: [&str; 2]) -> House {
    let mut house = House::new();
    let address: MediaAddress = "10.1.1.20".parse().expect("an address");
    let devices = extensions.map(|extension| (extension.into(), address));
    house
        .engine
        .handle_devices(MediaOrigin::Devices, devices.into(), house.now);
    for (agent, extension) in ["4711", "4712"].into_iter().zip(extensions) {
        let mut update = AgentUpdate::new(agent, AgentState::Talking);
        update.extension = Some(extension.into());
        house.cti(&update.into());
        house.call(agent, agent, CallEventKind::Established);
    }
    house
}

#[test]
fn an_address_of_two_phones_is_ambiguous_only_without_tags() {
    let mut house = two_at_one_address(["3001", "3002"]);
    let mut frames = CaptureHealth {
        frames: 50,
        ..CaptureHealth::default()
    };
    house.frames(3, frames);
    let found = house.found("4711");
    assert_eq!(found.code, Code::TagsLost);
    assert_eq!(found.evidence.get("untagged"), Some("150"));
    frames.tagged = 50;
    house.frames(33, frames);
    assert_eq!(house.found("4711").code, Code::AgentNotInMirror);
}

#[test]
fn one_phone_alone_at_its_address_needs_no_tags() {
    let mut house = House::new();
    house.talking();
    let frames = CaptureHealth {
        frames: 50,
        ..CaptureHealth::default()
    };
    house.frames(3, frames);
    assert_eq!(house.found("4711").code, Code::AgentNotInMirror);
}

#[test]
fn a_mirror_that_delivers_twice_is_a_warning_beside_the_sound() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    for number in 0..150 {
        for _ in 0..2 {
            house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
            house.packet(GATEWAY, PHONE, &rtp(0, number, &speech(number + 9)));
        }
        house.pass(Duration::from_millis(20));
    }
    let status = house.last_status();
    assert_eq!(status.reason.code, Code::AudioFlowing);
    let warnings: Vec<_> = status.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(warnings, [Code::DuplicateMirror]);
    assert_eq!(house.hop(Some("4711"), "mirror, duplicates").result, Outcome::Warning);
    let (agents, sessions) = house.engine.reasons(house.now);
    assert_eq!(
        (agents.get(&Code::AudioFlowing), sessions.get(&Code::DuplicateMirror)),
        (Some(&1), Some(&1))
    );
}

#[test]
fn a_side_that_was_seen_may_be_quiet_and_then_is_missed() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    for number in 0..150 {
        house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
        house.packet(GATEWAY, PHONE, &rtp(0, number, &speech(number + 9)));
        house.pass(Duration::from_millis(20));
    }
    house.stream(GATEWAY, PHONE, 150..650, speech);
    let quiet = house.found("4711");
    assert_eq!(quiet.code, Code::AudioFlowing);
    assert!(quiet.text.contains("quiet"), "{quiet}");
    house.stream(GATEWAY, PHONE, 650..2000, speech);
    assert_eq!(house.found("4711").code, Code::OneSideOnly);
}

#[test]
fn what_is_behind_a_broken_hop_is_not_held_against_it() {
    let house = House::new();
    let hop = house.hop(Some("9999"), "agent");
    assert_eq!((hop.result, hop.code), (Outcome::Broken, Some(Code::AgentNotSignedIn)));
    for name in ["address", "mirror", "media"] {
        assert_eq!(house.hop(Some("9999"), name).result, Outcome::NotChecked, "{name}");
    }
    assert_eq!(house.hop(None, "mirror").sentence, "No agent was named.");
}

#[test]
fn a_supervisor_is_told_every_hop_for_the_asking() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let session = Some(house.session());
    let ask = |agent: Option<AgentId>, session| ClientMessage::Diagnose {
        request: 9,
        agent,
        session,
    };
    house.say(ANNA, ask(None, session));
    house.say(BERT, ask(None, session));
    let answers: Vec<_> = house
        .messages()
        .filter_map(|(to, message)| match message {
            ServerMessage::Diagnosis {
                request: 9,
                agent,
                hops,
            } => Some((to, agent.clone(), hops[0].hop.clone())),
            _ => None,
        })
        .collect();
    let wanted = [
        (ANNA, Some("4711".into()), "authority".to_owned()),
        (BERT, None, "session".to_owned()),
    ];
    assert_eq!(answers, wanted, "another's session stays his");
}

#[test]
fn a_journal_that_fails_is_remembered_until_it_works() {
    let mut house = House::new();
    house.talking();
    house.journal_works = false;
    house.start(ANNA, "4711", None);
    let unwritable = Reason::new(Code::AuditUnwritable, "The disk is full.");
    house.engine.handle_unrecorded(SessionId(1), unwritable, house.now);
    assert_eq!(house.hop(None, "audit").code, Some(Code::AuditUnwritable));
    house.journal_works = true;
    house.start(ANNA, "4711", None);
    assert_eq!(house.hop(None, "audit").result, Outcome::Ok);
}
