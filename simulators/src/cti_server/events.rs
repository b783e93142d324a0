//! Event messages of GED-188 (protocol sheet 1.5), for one client's protocol version.

use std::net::IpAddr;

use silentmon_proto::cti::{AgentState, CallEventKind, MediaDirection, TeamMember, TeamOperation};
use silentmon_proto::ids::{AgentId, Extension, MediaAddress};

use super::wire::{Message, Version};
use super::words::{
    ENTERPRISE_AGENT, NONE_16, NONE_32, agent_state_number, call_type, direction, line_type, payload_type, tag,
};
use crate::world::{Connection, Media, Party, Told};

/// What events hold that no script says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub version: Version,
    pub peripheral: u32,
    /// A skill group that stands in call events.
    pub skill_group: u32,
}

/// A call by its number, as seen from one device.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallAt<'a> {
    pub number: u32,
    pub device: &'a str,
}

impl Place {
    fn event(self, message_type: u32) -> Message {
        Message::new(self.version, message_type).u32(0).u32(self.peripheral)
    }

    /// MonitorID to ConnectionCallID, as most call events begin.
    fn call_event(self, message_type: u32, call: u32) -> Message {
        self.event(message_type).u16(ENTERPRISE_AGENT).u16(0).u32(call)
    }

    /// LineHandle to SkillGroupPriority, as events of a call's beginning have them.
    fn line(self, message: Message, connection: &Connection) -> Message {
        let group = self.skill_group;
        message
            .u16(NONE_16)
            .u16(line_type(self.version, connection))
            .u32(NONE_32)
            .u32(NONE_32)
            .u32(group)
            .u32(group)
            .u16(0)
    }

    pub fn begin_call(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        self.event(23)
            .u16(ENTERPRISE_AGENT)
            .u16(0)
            .u16(0)
            .u16(0)
            .u16(call_type(self.version, &told.connection))
            .u16(0)
            .u32(call.number)
            .u16(0)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .maybe_text(tag::ANI, told.connection.calling.as_deref(), 40)
            .maybe_text(tag::DNIS, told.connection.called.as_deref(), 32)
            .finish()
    }

    pub fn end_call(self, call: CallAt<'_>) -> Vec<u8> {
        self.call_event(24, call.number)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .finish()
    }

    pub fn call_cleared(self, call: CallAt<'_>) -> Vec<u8> {
        self.call_event(13, call.number)
            .u16(0)
            .u16(NONE_16)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .finish()
    }

    /// CALL_DATA_UPDATE_EVENT with a new id.
    pub fn renamed(self, told: &Told, from: CallAt<'_>, to: u32) -> Vec<u8> {
        self.event(25)
            .u16(ENTERPRISE_AGENT)
            .u16(0)
            .u16(0)
            .u16(0)
            .u16(call_type(self.version, &told.connection))
            .u16(0)
            .u32(from.number)
            .u16(0)
            .u32(to)
            .u16(0)
            .u32(0)
            .u32(0)
            .text(tag::CONNECTION_DEVICE_ID, from.device, 64)
            .text(tag::NEW_CONNECTION, from.device, 64)
            .finish()
    }

    pub fn delivered(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        let message = self.line(self.call_event(9, call.number), &told.connection);
        let message = message.u16(0).u16(0).u16(0).u16(NONE_16).u16(2).u16(22).u16(0).u16(0);
        let message = message
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .text(tag::ALERTING, call.device, 64);
        ends(message, told)
            .maybe_text(tag::ANI, told.connection.calling.as_deref(), 40)
            .maybe_text(tag::DNIS, told.connection.called.as_deref(), 32)
            .finish()
    }

    pub fn established(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        let message = self.line(self.call_event(10, call.number), &told.connection);
        let message = message.u16(0).u16(0).u16(0).u16(NONE_16).u16(3).u16(22);
        let message = message
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .text(tag::ANSWERING, call.device, 64);
        ends(message, told).finish()
    }

    /// CALL_HELD_EVENT or CALL_RETRIEVED_EVENT.
    pub fn held_or_retrieved(self, held: bool, call: CallAt<'_>) -> Vec<u8> {
        let (message_type, state, who) = if held {
            (11, 4, tag::HOLDING)
        } else {
            (12, 3, tag::RETRIEVING)
        };
        self.call_event(message_type, call.number)
            .u16(0)
            .u16(state)
            .u16(NONE_16)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .text(who, call.device, 64)
            .finish()
    }

    pub fn connection_cleared(self, call: CallAt<'_>, releasing: Option<&str>, cause: u16) -> Vec<u8> {
        let releasing_type = if releasing.is_some() { 0 } else { NONE_16 };
        self.call_event(14, call.number)
            .u16(releasing_type)
            .u16(0)
            .u16(cause)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .maybe_text(tag::RELEASING, releasing, 64)
            .finish()
    }

    pub fn originated(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        let message = self.line(self.call_event(15, call.number), &told.connection);
        let message = message.u16(0).u16(0).u16(3).u16(22);
        ends(message.text(tag::CONNECTION_DEVICE_ID, call.device, 64), told).finish()
    }

    pub fn service_initiated(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        let message = self.line(self.call_event(20, call.number), &told.connection);
        let message = message.u16(0).u16(1).u16(22);
        message
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .text(tag::CALLING, call.device, 64)
            .finish()
    }

    pub fn failed(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        self.call_event(16, call.number)
            .u16(0)
            .u16(0)
            .u16(6)
            .u16(NONE_16)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .text(tag::FAILING, call.device, 64)
            .maybe_text(tag::CALLED, told.connection.called.as_deref(), 64)
            .finish()
    }

    pub fn diverted(self, told: &Told, call: CallAt<'_>) -> Vec<u8> {
        self.call_event(19, call.number)
            .u32(NONE_32)
            .u32(NONE_32)
            .u16(0)
            .u16(0)
            .u16(0)
            .u16(28)
            .text(tag::CONNECTION_DEVICE_ID, call.device, 64)
            .text(tag::DIVERTING, call.device, 64)
            .maybe_text(tag::CALLED, told.connection.called.as_deref(), 64)
            .finish()
    }

    /// CALL_CONFERENCED_EVENT or CALL_TRANSFERRED_EVENT: the call that goes away is the primary one (it was held), the
    /// party list names the one that stays.
    pub fn merged(
        self,
        told: &Told,
        stays: CallAt<'_>,
        gone: Option<u32>,
        kind: CallEventKind,
        parties: &[Extension],
    ) -> Vec<u8> {
        let transferred = kind == CallEventKind::Transferred;
        let listed = &parties[..parties.len().min(16)];
        let group = self.skill_group;
        let message = self
            .call_event(if transferred { 18 } else { 17 }, gone.unwrap_or(stays.number))
            .u16(NONE_16)
            .u16(line_type(self.version, &told.connection))
            .u32(group)
            .u32(group)
            .u16(0)
            .u16(u16::try_from(listed.len()).unwrap_or_default())
            .u16(if gone.is_some() { 0 } else { NONE_16 })
            .u32(gone.map_or(NONE_32, |_| stays.number))
            .u16(0)
            .u16(0)
            .u16(if transferred { 0 } else { 3 })
            .u16(if transferred { 32 } else { NONE_16 })
            .text(tag::PRIMARY, stays.device, 64);
        let message = match gone {
            Some(_) => message.text(tag::SECONDARY, stays.device, 64),
            None => message,
        };
        let other = parties
            .iter()
            .map(Extension::as_str)
            .find(|party| *party != stays.device);
        let (controller, added) = if transferred {
            (tag::TRANSFERRING, tag::TRANSFERRED)
        } else {
            (tag::CONTROLLER, tag::ADDED_PARTY)
        };
        let message = message.text(controller, stays.device, 64).maybe_text(added, other, 64);
        let with_party = |message: Message, party: &Extension| {
            message
                .float_u32(tag::PARTY_CALL_ID, stays.number)
                .float_u16(tag::PARTY_DEVICE_ID_TYPE, 0)
                .text(tag::PARTY_DEVICE_ID, party.as_str(), 64)
        };
        listed.iter().fold(message, with_party).finish()
    }

    pub fn rtp_started(self, media: &Media, call: u32) -> Vec<u8> {
        let message = self
            .event(116)
            .u32(u32::from(media.address.port.unwrap_or_default()))
            .u16(direction(media.direction))
            .u16(0)
            .u32(0)
            .u16(0)
            .u32(20)
            .u16(payload_type(media.codec.as_deref()))
            .u16(0)
            .u32(call);
        rtp_floats(message, media, media.remote).finish()
    }

    pub fn rtp_stopped(self, media: &Media, call: u32) -> Vec<u8> {
        let message = self
            .event(117)
            .u32(u32::from(media.address.port.unwrap_or_default()))
            .u16(direction(media.direction))
            .u16(0)
            .u32(call);
        rtp_floats(message, media, None).finish()
    }

    pub fn agent_state(self, party: &Party, agent: AgentTold<'_>, group: u32) -> Vec<u8> {
        let state = agent_state_number(agent.state);
        let message = self
            .event(30)
            .u32(0)
            .u16(ENTERPRISE_AGENT)
            .u16(state)
            .u32(0)
            .u32(group)
            .u32(group)
            .u16(0)
            .u16(state)
            .u16(0)
            .u32(1)
            .u32(u32::from(agent.state == AgentState::Talking))
            .u16(1)
            .u32(1)
            .u32(agent.number)
            .u32(0)
            .u16(0)
            .department();
        let message = message.text(tag::AGENT_ID, agent.id, 12);
        let message = phone(message, party);
        match self.version.0 {
            ..16 => message.finish(),
            16.. => message
                .float_u32(tag::DIRECTION, u32::from(agent.state == AgentState::Talking))
                .finish(),
        }
    }

    /// One AGENT_TEAM_CONFIG_EVENT for at most 64 members.
    pub fn team_config(self, team: TeamTold<'_>, members: &[(TeamMember, AgentState)]) -> Vec<u8> {
        let operation = match team.operation {
            TeamOperation::Replace => 0,
            TeamOperation::Add => 1,
            TeamOperation::Remove => 2,
        };
        let message = Message::new(self.version, 128)
            .u32(self.peripheral)
            .u32(team.number)
            .u16(u16::try_from(members.len()).unwrap_or_default())
            .u16(operation)
            .department();
        let message = match self.version.0 {
            ..16 => message,
            16.. => message.text(tag::AGENT_TEAM_NAME, team.name, 32),
        };
        let with_member = |message: Message, (member, state): &(TeamMember, AgentState)| {
            message
                .text(tag::ATC_AGENT_ID, member.agent.as_str(), 12)
                .float_u16(tag::AGENT_FLAGS, if member.supervisor { 4 } else { 0 })
                .float_u16(tag::ATC_AGENT_STATE, agent_state_number(*state))
                .float_u32(tag::ATC_STATE_DURATION, 0)
        };
        members.iter().fold(message, with_member).finish()
    }
}

/// An agent in an AGENT_STATE_EVENT.
#[derive(Debug, Clone, Copy)]
pub(super) struct AgentTold<'a> {
    pub id: &'a str,
    pub number: u32,
    pub state: AgentState,
}

/// A team in an AGENT_TEAM_CONFIG_EVENT.
#[derive(Debug, Clone, Copy)]
pub(super) struct TeamTold<'a> {
    pub name: &'a str,
    pub number: u32,
    pub operation: TeamOperation,
}

/// AgentExtension and AgentInstrument.
pub(super) fn phone(message: Message, party: &Party) -> Message {
    message.text(tag::AGENT_EXTENSION, party.extension.as_str(), 16).text(
        tag::AGENT_INSTRUMENT,
        party.instrument.as_str(),
        64,
    )
}

fn ends(message: Message, told: &Told) -> Message {
    message
        .maybe_text(tag::CALLING, told.connection.calling.as_deref(), 64)
        .maybe_text(tag::CALLED, told.connection.called.as_deref(), 64)
}

fn rtp_floats(message: Message, media: &Media, remote: Option<MediaAddress>) -> Message {
    let message = message.text(tag::CONNECTION_DEVICE_ID, media.party.extension.as_str(), 64);
    let message = address(message, tag::CLIENT_ADDRESS, tag::CLIENT_ADDRESS_IPV6, media.address);
    let message = message.maybe_text(tag::AGENT_ID, media.party.agent.as_ref().map(AgentId::as_str), 12);
    let message = phone(message, &media.party);
    let sends = media.direction == MediaDirection::Send && message.version().0 >= 14;
    let Some(remote) = remote.filter(|_| sends) else {
        return message;
    };
    let message = address(message, tag::SENDING_ADDRESS, tag::SENDING_ADDRESS_IPV6, remote);
    message.float_u32(tag::SENDING_PORT, u32::from(remote.port.unwrap_or_default()))
}

/// An address as text; IPv6 in its own field before version 19, and not at all before 14.
fn address(message: Message, text: u16, ipv6: u16, address: MediaAddress) -> Message {
    match (address.ip, message.version().0) {
        (IpAddr::V4(ip), _) => message.text(text, &ip.to_string(), 16),
        (IpAddr::V6(ip), 19..) => message.text(text, &ip.to_string(), 64),
        (IpAddr::V6(ip), 14..19) => message.float(ipv6, &ip.octets()),
        (IpAddr::V6(_), ..14) => message,
    }
}
