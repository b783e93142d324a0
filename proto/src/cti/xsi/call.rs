//! The `call` and `conference` elements of call events.

use crate::cti::xml::Element;

/// A user's half of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// Id of this half, `callhalf-11296441472:0`.
    pub call_id: String,
    /// Id of the call, the same for both halves.
    pub ext_tracking_id: Option<String>,
    /// Id of the call in the network.
    pub network_call_id: Option<String>,
    /// Which end the user is.
    pub personality: Option<Personality>,
    /// Where it stands.
    pub state: Option<CallState>,
    /// Who released it.
    pub releasing_party: Option<XsiReleasingParty>,
    /// The other end.
    pub remote_party: RemoteParty,
    /// The device's SIP address, `sip:4711@example.com`.
    pub address_of_record: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub start_time: Option<u64>,
    /// When it was answered, in milliseconds since 1970.
    pub answer_time: Option<u64>,
    /// Why it was released, in the server's word (`Busy`).
    pub internal_release_cause: Option<String>,
    /// Present where the call came through a call centre.
    pub acd: Option<AcdCallInfo>,
}

/// Which end of a call the user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personality {
    /// He calls.
    Originator,
    /// He is called.
    Terminator,
    /// The server calls him, then the other end for him.
    ClickToDial,
}

/// Where a half of a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// It rings.
    Alerting,
    /// They talk.
    Active,
    /// The user holds it.
    Held,
    /// The other end holds it.
    RemoteHeld,
    /// It isn't at the user's device.
    Detached,
    /// It has ended.
    Released,
}

/// Who released a call, seen from the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XsiReleasingParty {
    /// `localRelease`.
    Local,
    /// `remoteRelease`.
    Remote,
}

/// The other end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteParty {
    /// His name.
    pub name: Option<String>,
    /// His number, without `tel:`.
    pub address: Option<String>,
    /// His user id, within the group.
    pub user_id: Option<String>,
    /// His number within the group, without `tel:`.
    pub user_dn: Option<String>,
    /// `Group`, `Network` or `Unknown`.
    pub call_type: Option<String>,
}

/// What a call centre says about a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcdCallInfo {
    /// The call centre's user id.
    pub user_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its number, without `tel:`.
    pub number: Option<String>,
    /// Calls in its queue.
    pub calls_in_queue: Option<u32>,
    /// The caller's number, without `tel:`.
    pub calling_address: Option<String>,
}

/// A conference of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conference {
    /// Where it stands.
    pub state: Option<CallState>,
    /// Call ids of the halves in it.
    pub call_ids: Vec<String>,
}

impl Call {
    /// Reads a `call` element; absent without a call id.
    pub fn read(element: &Element) -> Option<Self> {
        let text = |name| element.child_text(name).map(str::to_owned);
        Some(Self {
            call_id: text("callId")?,
            ext_tracking_id: text("extTrackingId"),
            network_call_id: text("networkCallId"),
            personality: element.child_text("personality").and_then(Personality::read),
            state: element.child_text("state").and_then(CallState::read),
            releasing_party: element.child_text("releasingParty").and_then(XsiReleasingParty::read),
            remote_party: element.child("remoteParty").map(RemoteParty::read).unwrap_or_default(),
            address_of_record: element
                .at(&["endpoint", "addressOfRecord"])
                .and_then(Element::own_text)
                .map(str::to_owned),
            start_time: number(element, "startTime"),
            answer_time: number(element, "answerTime"),
            internal_release_cause: element
                .at(&["releaseCause", "internalReleaseCause"])
                .and_then(Element::own_text)
                .map(str::to_owned),
            acd: element.child("acdCallInfo").map(AcdCallInfo::read),
        })
    }
}

impl Personality {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "Originator" => Self::Originator,
            "Terminator" => Self::Terminator,
            "Click-to-Dial" => Self::ClickToDial,
            _ => return None,
        })
    }
}

impl CallState {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "Alerting" => Self::Alerting,
            "Active" => Self::Active,
            "Held" => Self::Held,
            "Remote Held" => Self::RemoteHeld,
            "Detached" => Self::Detached,
            "Released" => Self::Released,
            _ => return None,
        })
    }
}

impl XsiReleasingParty {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "localRelease" => Self::Local,
            "remoteRelease" => Self::Remote,
            _ => return None,
        })
    }
}

impl RemoteParty {
    pub(super) fn read(element: &Element) -> Self {
        Self {
            name: element.child_text("name").map(str::to_owned),
            address: telephone(element, "address"),
            user_id: element.child_text("userId").map(str::to_owned),
            user_dn: telephone(element, "userDN"),
            call_type: element.child_text("callType").map(str::to_owned),
        }
    }
}

impl AcdCallInfo {
    fn read(element: &Element) -> Self {
        Self {
            user_id: element.child_text("acdUserId").map(str::to_owned),
            name: element.child_text("acdName").map(str::to_owned),
            number: telephone(element, "acdNumber"),
            calls_in_queue: element.child_text("numCallsInQueue").and_then(|text| text.parse().ok()),
            calling_address: element
                .child("callingPartyInfo")
                .and_then(|party| telephone(party, "address")),
        }
    }
}

impl Conference {
    /// Reads a `conference` element.
    pub fn read(element: &Element) -> Self {
        let participants = element
            .child("conferenceParticipantList")
            .map_or(&[][..], |list| &list.children);
        Self {
            state: element.child_text("state").and_then(CallState::read),
            call_ids: participants
                .iter()
                .filter_map(|participant| participant.child_text("callId").map(str::to_owned))
                .collect(),
        }
    }
}

pub(super) fn number(element: &Element, name: &str) -> Option<u64> {
    element.child_text(name)?.parse().ok()
}

/// A number that may stand as `tel:+4930123`, `tel:3001` or bare.
pub(super) fn telephone(element: &Element, name: &str) -> Option<String> {
    let text = element.child_text(name)?;
    Some(text.strip_prefix("tel:").unwrap_or(text).to_owned())
}
