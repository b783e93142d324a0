//! What a client asks in a session (protocol sheet 1.5, queries and supervisor messages), answered from what is so now.

use silentmon_proto::cti::{CallEvent, CallEventKind, TeamOperation};
use silentmon_proto::ids::{AgentId, CallId, Extension};

use super::events::phone;
use super::server::{Server, fail, invoke};
use super::session::{Session, service, status};
use super::wire::{Body, Message, text_of};
use super::words::{NONE_32, agent_state_number, call_type, connection_state, tag};
use crate::runtime::{ConnectionId, Note, Outbox};
use crate::world::{Connection, ConnectionState, Told};

/// How many calls or devices an answer names.
const LISTED: usize = 16;

/// The floating fields of a request.
struct Fields<'a>(Vec<(u16, &'a [u8])>);

impl Fields<'_> {
    fn text(&self, wanted: u16) -> Option<String> {
        let field = self.0.iter().find(|(tag, data)| *tag == wanted && !data.is_empty());
        field.map(|(_, data)| text_of(data)).filter(|text| !text.is_empty())
    }

    fn shown(&self, wanted: u16) -> String {
        self.text(wanted).unwrap_or_default()
    }
}

impl Server {
    pub(super) fn handle_request(
        &mut self,
        from: ConnectionId,
        session: &Session,
        message_type: u32,
        body: Body<'_>,
        out: &mut Outbox,
    ) {
        let fixed = match message_type {
            36 => 16,
            82 => 14,
            84 => 10,
            124 => 22,
            133 | 135 | 137 => 8,
            _ => return unknown(from, message_type, body, out),
        };
        let Some(fields) = body.floats(session.version, fixed).map(Fields) else {
            out.note(Note::Bad);
            return fail(from, body, status::BAD_FORMAT, out);
        };
        let answer = match message_type {
            36 => self.agent_state(from, session, body, &fields, out),
            82 => self.snapshot_call(from, session, body, out),
            84 => self.snapshot_device(from, session, body, &fields, out),
            124 => return self.handle_supervise(from, session, body, &fields, out),
            133 => Ok(self.list_teams(from, session, body, out)),
            135 => return self.monitor_team(from, session, body, out),
            _ => Ok(Message::new(session.version, 138).u32(invoke(body)).finish()),
        };
        match answer {
            Ok(message) => out.send(from, message),
            Err(status) => fail(from, body, status, out),
        }
    }

    fn agent_state(
        &mut self,
        from: ConnectionId,
        session: &Session,
        body: Body<'_>,
        fields: &Fields<'_>,
        out: &mut Outbox,
    ) -> Result<Vec<u8>, u32> {
        let details = [
            ("AgentID", fields.shown(tag::AGENT_ID)),
            ("AgentExtension", fields.shown(tag::AGENT_EXTENSION)),
            ("AgentInstrument", fields.shown(tag::AGENT_INSTRUMENT)),
        ];
        out.request(from.side, "QUERY_AGENT_STATE_REQ", details);
        let by_number = body
            .u32(12)
            .and_then(|number| self.agents.name(number))
            .map(AgentId::new);
        let named = fields.text(tag::AGENT_ID).map(AgentId::new).or(by_number);
        let at_device = [tag::AGENT_EXTENSION, tag::AGENT_INSTRUMENT];
        let device = at_device.iter().find_map(|tag| fields.text(*tag)).map(Extension::new);
        let party = self
            .world
            .party(named.as_ref(), device.as_ref().filter(|_| named.is_none()));
        let id = party.agent.clone().ok_or(status::INVALID_AGENT_DATA)?;
        let state = self.world.agent(&id).ok_or(status::INVALID_AGENT_DATA)?.state;
        let number = self.agents.of(id.as_str());
        let groups = self.options.skill_groups.clone();
        let message = Message::new(session.version, 37)
            .u32(invoke(body))
            .u16(agent_state_number(state))
            .u16(u16::try_from(groups.len()).unwrap_or_default())
            .u32(1)
            .u32(0)
            .u16(1)
            .u32(1)
            .u32(number)
            .u32(0)
            .department();
        let message = message.text(tag::AGENT_ID, id.as_str(), 12);
        let with_group = |message: Message, group: &u32| {
            message
                .float_u32(tag::SKILL_GROUP_NUMBER, *group)
                .float_u32(tag::SKILL_GROUP_ID, *group)
                .float_u16(tag::SKILL_GROUP_PRIORITY, 0)
                .float_u16(tag::SKILL_GROUP_STATE, agent_state_number(state))
        };
        Ok(groups.iter().fold(phone(message, &party), with_group).finish())
    }

    fn snapshot_device(
        &mut self,
        from: ConnectionId,
        session: &Session,
        body: Body<'_>,
        fields: &Fields<'_>,
        out: &mut Outbox,
    ) -> Result<Vec<u8>, u32> {
        let device = fields.text(tag::AGENT_INSTRUMENT);
        let shown = device.clone().unwrap_or_default();
        out.request(from.side, "SNAPSHOT_DEVICE_REQ", [("AgentInstrument", shown)]);
        if session.services & service::CLIENT_CONTROL == 0 {
            return Err(status::FUNCTION_NOT_AVAILABLE);
        }
        let device = Extension::new(device.ok_or(status::DATA_MISSING)?);
        let calls = self.world.calls_of(&device);
        let listed = &calls[..calls.len().min(LISTED)];
        let message = Message::new(session.version, 85)
            .u32(invoke(body))
            .u16(u16::try_from(listed.len()).unwrap_or_default());
        let with_call = |message: Message, told: &Told| {
            message
                .float_u32(tag::CALL_CONN_CALL_ID, self.calls.of(told.call.as_str()))
                .float_u16(tag::CALL_CONN_DEVICE_ID_TYPE, 0)
                .text(tag::CALL_CONN_DEVICE_ID, told.party.extension.as_str(), 64)
                .float_u16(tag::CALL_STATE, connection_state(told.connection.state))
        };
        Ok(listed.iter().fold(message, with_call).finish())
    }

    fn snapshot_call(
        &mut self,
        from: ConnectionId,
        session: &Session,
        body: Body<'_>,
        out: &mut Outbox,
    ) -> Result<Vec<u8>, u32> {
        let number = body.u32(8).unwrap_or(NONE_32);
        out.request(
            from.side,
            "SNAPSHOT_CALL_REQ",
            [("ConnectionCallID", number.to_string())],
        );
        let call = self
            .calls
            .name(number)
            .map(CallId::from)
            .ok_or(status::INVALID_CALL_ID)?;
        let connections: Vec<_> = self.world.connections(&call).take(LISTED).collect();
        let (_, first) = connections.first().ok_or(status::INVALID_CALL_ID)?;
        let message = Message::new(session.version, 83)
            .u32(invoke(body))
            .u16(call_type(session.version, first))
            .u16(0)
            .u16(u16::try_from(connections.len()).unwrap_or_default())
            .u16(0)
            .u16(0)
            .u16(0)
            .maybe_text(tag::ANI, first.calling.as_deref(), 40)
            .maybe_text(tag::DNIS, first.called.as_deref(), 32);
        let with_device = |message: Message, (device, connection): &(&Extension, &Connection)| {
            message
                .float_u32(tag::CALL_CONN_CALL_ID, number)
                .float_u16(tag::CALL_CONN_DEVICE_ID_TYPE, 0)
                .text(tag::CALL_CONN_DEVICE_ID, device.as_str(), 64)
                .float_u16(tag::CALL_DEVICE_TYPE, 0)
                .text(tag::CALL_DEVICE_ID, device.as_str(), 64)
                .float_u16(tag::CALL_DEVICE_CONNECTION_STATE, connection_state(connection.state))
        };
        Ok(connections.iter().fold(message, with_device).finish())
    }

    /// Answers; barge-in then makes the call a conference with the supervisor's phone.
    fn handle_supervise(
        &mut self,
        from: ConnectionId,
        session: &Session,
        body: Body<'_>,
        fields: &Fields<'_>,
        out: &mut Outbox,
    ) {
        let (call, action) = (body.u32(8).unwrap_or(NONE_32), body.u16(20).unwrap_or_default());
        let details = [
            ("AgentID", fields.shown(tag::AGENT_ID)),
            ("AgentConnectionCallID", call.to_string()),
            ("SupervisorInstrument", fields.shown(tag::SUPERVISOR_INSTRUMENT)),
            ("SupervisoryAction", action.to_string()),
        ];
        out.request(from.side, "SUPERVISE_CALL_REQ", details);
        let Some(supervisor) = fields.text(tag::SUPERVISOR_INSTRUMENT) else {
            return fail(from, body, status::DATA_MISSING, out);
        };
        let Some(told) = self.supervised(call, fields) else {
            return fail(from, body, status::INVALID_CALL_ID, out);
        };
        let number = self.calls.of(told.call.as_str());
        let answer = Message::new(session.version, 125).u32(invoke(body)).u32(number).u16(0);
        out.send(from, answer.text(tag::CONNECTION_DEVICE_ID, &supervisor, 64).finish());
        for event in consequences(&told, &supervisor, action) {
            self.play(event.into(), out);
        }
    }

    /// The agent's connection that is meant: of this call, or the active one.
    fn supervised(&self, call: u32, fields: &Fields<'_>) -> Option<Told> {
        let agent = fields.text(tag::AGENT_ID).map(AgentId::new);
        let at_device = [tag::AGENT_EXTENSION, tag::AGENT_INSTRUMENT];
        let device = at_device.iter().find_map(|tag| fields.text(*tag)).map(Extension::new);
        let party = self.world.party(agent.as_ref(), device.as_ref());
        let meant = |told: &Told| match call {
            NONE_32 => told.connection.state == ConnectionState::Connected,
            number => self.calls.name(number) == Some(told.call.as_str()),
        };
        self.world.calls_of(&party.extension).into_iter().find(meant)
    }

    fn list_teams(&mut self, from: ConnectionId, session: &Session, body: Body<'_>, out: &mut Outbox) -> Vec<u8> {
        out.request(from.side, "LIST_AGENT_TEAM_REQ", []);
        let teams: Vec<String> = self.world.teams().map(|(team, _)| team.to_string()).collect();
        let message = Message::new(session.version, 134)
            .u32(invoke(body))
            .u16(u16::try_from(teams.len()).unwrap_or_default())
            .u16(1)
            .u16(0);
        let with_team = |message: Message, team: &String| message.float_u32(tag::LIST_TEAM_ID, self.teams.of(team));
        teams.iter().fold(message, with_team).finish()
    }

    /// Answers, then tells the team.
    fn monitor_team(&mut self, from: ConnectionId, session: &Session, body: Body<'_>, out: &mut Outbox) {
        let number = body.u32(4).unwrap_or(NONE_32);
        out.request(
            from.side,
            "MONITOR_AGENT_TEAM_START_REQ",
            [("TeamID", number.to_string())],
        );
        let name = self.teams.name(number).map(str::to_owned);
        let known = self
            .world
            .teams()
            .find(|(team, _)| Some(team.as_str()) == name.as_deref());
        let Some((team, members)) = known.map(|(team, members)| (team.clone(), members.to_vec())) else {
            return fail(from, body, status::TEAM_NOT_FOUND, out);
        };
        out.send(
            from,
            Message::new(session.version, 136)
                .u32(invoke(body))
                .u32(number)
                .finish(),
        );
        self.send_team(from, session, &team, TeamOperation::Replace, &members, out);
    }
}

/// What follows from a SupervisoryAction: clear 0, barge-in 3, intercept 4; monitor and whisper change no call.
fn consequences(told: &Told, supervisor: &str, action: u16) -> Vec<CallEvent> {
    let of = |device: &str, kind| CallEvent::of_device(device, told.call.clone(), kind);
    let agent = told.party.extension.as_str();
    let joins = [
        of(supervisor, CallEventKind::Established),
        of(supervisor, CallEventKind::Conferenced),
    ];
    match action {
        0 => vec![of(supervisor, CallEventKind::ConnectionCleared)],
        3 => joins.into(),
        4 => joins
            .into_iter()
            .chain([of(agent, CallEventKind::ConnectionCleared)])
            .collect(),
        _ => Vec::new(),
    }
}

fn unknown(from: ConnectionId, message_type: u32, body: Body<'_>, out: &mut Outbox) {
    tracing::info!(message_type, "a request this simulator doesn't answer");
    out.request(from.side, "unknown", [("MessageType", message_type.to_string())]);
    fail(from, body, status::INVALID_MESSAGE_TYPE, out);
}
