//! Codes, masks and what is read from them.

use silentmon_proto::cti;
use silentmon_proto::cti::ged188::*;

const PV14: ProtocolVersion = ProtocolVersion(14);
const PV19: ProtocolVersion = ProtocolVersion(19);

#[test]
fn a_non_acd_line_counts_more_than_the_calls_type() {
    let line = Some(LineType::NON_ACD_IN);
    assert_eq!(is_acd(line, Some(CallType::ACD_IN), None, PV19), Some(false));
}

#[test]
fn the_calls_type_counts_more_than_the_device() {
    let device = Some(DeviceIdType::NON_ACD_DEVICE);
    assert_eq!(is_acd(None, Some(CallType::PREROUTE_ACD_IN), device, PV19), Some(true));
    assert_eq!(is_acd(None, Some(CallType::CONSULT), device, PV19), Some(false));
}

#[test]
fn call_type_27_is_non_acd_before_version_19_only() {
    let (old, new) = (Some(CallType(27)), Some(CallType(38)));
    assert_eq!(is_acd(None, old, None, PV14), Some(false));
    assert_eq!(is_acd(None, old, None, PV19), None);
    assert_eq!(is_acd(None, new, None, PV19), Some(false));
}

#[test]
fn a_line_tells_where_nothing_better_does() {
    assert_eq!(is_acd(Some(LineType::INBOUND_ACD), None, None, PV19), Some(true));
    assert_eq!(is_acd(Some(LineType::OUTBOUND), None, None, PV19), Some(false));
    assert_eq!(is_acd(Some(LineType::SUPERVISOR), None, None, PV19), None);
    assert_eq!(is_acd(None, None, None, PV19), None);
}

#[test]
fn agent_states_keep_their_meaning() {
    let states = (0..=10).map(|number| cti::AgentState::from(AgentState(number)));
    for (number, state) in states.enumerate() {
        assert_eq!(usize::from(AgentState::from(state).0), number);
    }
    assert_eq!(cti::AgentState::from(AgentState::PAUSED), cti::AgentState::BusyOther);
    assert_eq!(cti::AgentState::from(AgentState(99)), cti::AgentState::Unknown);
}

#[test]
fn the_bit_of_hold_is_not_its_number() {
    assert_eq!(AgentStateMask::HOLD.0, 1 << 9);
    assert_eq!(AgentState::HOLD.0, 10);
}

#[test]
fn a_monitor_needs_what_the_sheet_says() {
    let named = CallMessageMask::DELIVERED
        | CallMessageMask::ESTABLISHED
        | CallMessageMask::HELD
        | CallMessageMask::RETRIEVED
        | CallMessageMask::CLEARED
        | CallMessageMask::CONNECTION_CLEARED
        | CallMessageMask::CONFERENCED
        | CallMessageMask::TRANSFERRED
        | CallMessageMask::BEGIN_CALL
        | CallMessageMask::END_CALL
        | CallMessageMask::RTP_STARTED
        | CallMessageMask::RTP_STOPPED;
    assert_eq!(CallMessageMask::MONITORING, named);
    for version in ProtocolVersion::LADDER {
        let wanted = named | CallMessageMask::AGENT_TEAM_CONFIG;
        assert!(CallMessageMask::valid_in(version).contains(wanted), "{version}");
    }
    assert!(!CallMessageMask::valid_in(PV14).contains(CallMessageMask::AGENT_GREETING));
}

#[test]
fn the_ladder_of_versions_ends() {
    let steps = std::iter::successors(Some(ProtocolVersion(25)), |version| version.next_lower());
    let numbers: Vec<u32> = steps.map(|version| version.0).collect();
    assert_eq!(numbers, [25, 24, 23, 22, 21, 20, 19, 16, 15, 14, 13]);
}

#[test]
fn each_status_has_its_own_sentence() {
    let known: Vec<Status> = (0..=98).map(Status).filter(|status| status.name().is_some()).collect();
    let unknown = Status(9999).words();
    let sentences: std::collections::BTreeSet<&str> = known.iter().map(|status| status.words()).collect();
    assert_eq!(sentences.len(), known.len());
    assert!(!sentences.contains(unknown));
}

#[test]
fn a_status_says_what_to_do() {
    let reactions = [
        (1, Reaction::LowerVersion),
        (15, Reaction::OtherSide),
        (16, Reaction::OtherSide),
        (92, Reaction::OtherSide),
        (36, Reaction::Misconfigured),
        (12, Reaction::Misconfigured),
        (19, Reaction::Misconfigured),
        (20, Reaction::Misconfigured),
        (21, Reaction::Misconfigured),
        (10, Reaction::SessionTaken),
        (11, Reaction::SessionTaken),
        (17, Reaction::Retry),
    ];
    for (number, reaction) in reactions {
        assert_eq!(Status(number).reaction(), reaction, "{number}");
    }
}

#[test]
fn codecs_have_their_encoding_names() {
    let names = [
        (4, "PCMU"),
        (2, "PCMA"),
        (6, "G722"),
        (11, "G729"),
        (16, "G729"),
        (86, "iLBC"),
        (90, "opus"),
    ];
    for (number, name) in names {
        assert_eq!(MediaPayloadType(number).encoding_name(), Some(name));
    }
    assert_eq!(MediaPayloadType(0x0607).encoding_name(), None);
}

#[test]
fn a_cause_beyond_1000_is_a_disposition() {
    assert_eq!(
        EventCause(1052).disposition(),
        Some(Disposition::CALLED_PARTY_DISCONNECTED)
    );
    assert_eq!(EventCause::REDIRECTED.disposition(), None);
}

#[test]
fn values_show_their_names() {
    assert_eq!(LineType::NON_ACD_IN.to_string(), "NON_ACD_IN");
    assert_eq!(format!("{:?}", LineType(77)), "LineType(77)");
    let services = ServiceMask::ALL_EVENTS | ServiceMask::SUPERVISOR;
    assert_eq!(format!("{services:?}"), "ServiceMask(0x90 ALL_EVENTS SUPERVISOR)");
}
