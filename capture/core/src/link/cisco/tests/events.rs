use silentmon_proto::cti::{
    CallEnded, CallEvent, CallEventKind as Kind, CallRenamed, CallVariables, ReleasingParty, TeamMember, TeamOperation,
    TeamUpdate,
};

use super::*;

const FIRST: ConnectionCallId = ConnectionCallId(1);
const SECOND: ConnectionCallId = ConnectionCallId(2);

fn texts(texts: &[(Tag, &str)]) -> Floating {
    let mut floating = Floating::default();
    for (tag, text) in texts {
        floating.push_text(*tag, text);
    }
    floating
}

/// A call event of this peripheral whose floating part has these texts.
macro_rules! event {
    ($event:ident { $($field:ident: $value:expr),* $(,)? }, $($tag:ident = $text:expr),*) => {{
        Message::from($event {
            peripheral_id: Some(PERIPHERAL),
            $($field: $value,)*
            floating: texts(&[$((Tag::$tag, $text)),*]),
            ..$event::default()
        })
    }};
}

/// An event of one connection.
macro_rules! connection {
    ($event:ident, $call:expr, $($tag:ident = $text:expr),*) => {
        event!($event {
            connection_call_id: Some($call),
            connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
            event_cause: None,
            local_connection_state: None,
        }, $($tag = $text),*)
    };
}

fn begin(call: ConnectionCallId, call_type: CallType) -> Message {
    event!(
        BeginCallEvent {
            connection_call_id: Some(call),
            call_type: Some(call_type)
        },
        ANI = "5551234",
        DNIS = "8001"
    )
}

fn delivered(call: ConnectionCallId, device: &str) -> Message {
    let unknown = Some(LineType::UNKNOWN);
    event!(
        CallDeliveredEvent {
            connection_call_id: Some(call),
            line_type: unknown
        },
        ALERTING_DEVICE_ID = device
    )
}

fn established(call: ConnectionCallId, device: &str) -> Message {
    let unknown = Some(LineType::UNKNOWN);
    event!(
        CallEstablishedEvent {
            connection_call_id: Some(call),
            line_type: unknown
        },
        ANSWERING_DEVICE_ID = device
    )
}

fn cleared(call: ConnectionCallId, device: &str, releasing: &str) -> Message {
    connection!(
        CallConnectionClearedEvent,
        call,
        CONNECTION_DEVICE_ID = device,
        RELEASING_DEVICE_ID = releasing
    )
}

fn end(call: ConnectionCallId) -> Message {
    event!(EndCallEvent {
        connection_call_id: Some(call)
    },)
}

fn told(messages: impl IntoIterator<Item = Message>) -> Vec<CtiEvent> {
    told_at(24, messages)
}

fn told_at(version: u32, messages: impl IntoIterator<Item = Message>) -> Vec<CtiEvent> {
    let mut settings = settings();
    settings.protocol_version = ProtocolVersion(version);
    let mut lab = Lab::new(settings);
    lab.accept(A);
    lab.take_events();
    messages.into_iter().for_each(|message| lab.say(A, message));
    lab.take_cti()
}

/// What happened to whose connection, and whether by the queue.
fn brief(events: &[CtiEvent]) -> Vec<(String, String, Kind, Option<bool>)> {
    let call = |event: &CtiEvent| match event {
        CtiEvent::Call(call) => {
            let device = call.device.clone().expect("a device");
            Some((device.to_string(), call.call.to_string(), call.kind, call.acd))
        }
        _ => None,
    };
    events.iter().filter_map(call).collect()
}

fn kinds(events: &[CtiEvent]) -> Vec<(String, Kind)> {
    brief(events)
        .into_iter()
        .map(|(device, _, kind, _)| (device, kind))
        .collect()
}

fn at(device: &str, kind: Kind) -> (String, Kind) {
    (device.to_owned(), kind)
}

fn call_of(event: &CtiEvent) -> &CallEvent {
    match event {
        CtiEvent::Call(call) => call,
        other => panic!("expected a call event, found {other:?}"),
    }
}

#[test]
fn tells_a_call_from_its_beginning_to_its_end() {
    let told = told([
        begin(FIRST, CallType::ACD_IN),
        delivered(FIRST, "3001"),
        established(FIRST, "3001"),
        connection!(CallHeldEvent, FIRST, HOLDING_DEVICE_ID = "3001"),
        connection!(CallRetrievedEvent, FIRST, RETRIEVING_DEVICE_ID = "3001"),
        cleared(FIRST, "3001", "3001"),
        connection!(CallClearedEvent, FIRST,),
        end(FIRST),
    ]);
    let of_device = |kind| CallEvent {
        acd: Some(true),
        calling: Some("5551234".to_owned()),
        called: Some("8001".to_owned()),
        ..CallEvent::of_device("3001", "5000/1", kind)
    };
    let expected = [Kind::Delivered, Kind::Established, Kind::Held, Kind::Retrieved].map(of_device);
    assert_eq!(told[..4], expected.map(CtiEvent::from));
    let released = CallEvent {
        released_by: Some(ReleasingParty::Local),
        ..of_device(Kind::ConnectionCleared)
    };
    let ended = CallEnded {
        call: "5000/1".into(),
        controlling_party: Some("3001".into()),
    };
    assert_eq!(told[4..], [released.into(), ended.into()]);
}

#[test]
fn names_the_connections_device_where_the_event_names_none() {
    let told = told([connection!(CallHeldEvent, FIRST, CONNECTION_DEVICE_ID = "3001")]);
    assert_eq!(kinds(&told), [at("3001", Kind::Held)]);
}

#[test]
fn a_dynamic_connection_id_is_no_device() {
    let dynamic = Some(ConnectionDeviceIdType::DYNAMIC);
    let held = event!(
        CallHeldEvent {
            connection_call_id: Some(FIRST),
            connection_device_id_type: dynamic
        },
        CONNECTION_DEVICE_ID = "17-4"
    );
    assert_eq!(told([held]), []);
}

#[test]
fn tells_every_kind_of_connection_event() {
    let told = told([
        connection!(CallServiceInitiatedEvent, FIRST, CALLING_DEVICE_ID = "3001"),
        connection!(CallOriginatedEvent, FIRST, CALLING_DEVICE_ID = "3001"),
        connection!(CallReachedNetworkEvent, FIRST, CONNECTION_DEVICE_ID = "3001"),
        connection!(CallQueuedEvent, FIRST, QUEUE_DEVICE_ID = "6000"),
        connection!(CallDivertedEvent, FIRST, DIVERTING_DEVICE_ID = "3002"),
        connection!(CallFailedEvent, FIRST, FAILING_DEVICE_ID = "3003"),
    ]);
    assert_eq!(
        kinds(&told),
        [
            at("3001", Kind::ServiceInitiated),
            at("3001", Kind::Originated),
            at("3001", Kind::NetworkReached),
            at("6000", Kind::Queued),
            at("3002", Kind::Diverted),
            at("3003", Kind::Failed),
        ]
    );
}

#[test]
fn the_phone_that_made_a_call_is_connected_when_the_other_answers() {
    let answered = event!(
        CallEstablishedEvent {
            connection_call_id: Some(FIRST),
            line_type: Some(LineType::OUTBOUND)
        },
        ANSWERING_DEVICE_ID = "5551234",
        CALLING_DEVICE_ID = "3001"
    );
    let told = told([
        connection!(CallOriginatedEvent, FIRST, CALLING_DEVICE_ID = "3001"),
        answered,
    ]);
    assert_eq!(
        kinds(&told)[1..],
        [at("5551234", Kind::Established), at("3001", Kind::Established)]
    );
}

#[test]
fn says_who_released_a_connection() {
    let released_by = |message| call_of(&told([message])[0]).released_by;
    assert_eq!(released_by(cleared(FIRST, "3001", "3001")), Some(ReleasingParty::Local));
    assert_eq!(
        released_by(cleared(FIRST, "3001", "3002")),
        Some(ReleasingParty::Remote)
    );
    let silent = connection!(CallConnectionClearedEvent, FIRST, CONNECTION_DEVICE_ID = "3001");
    assert_eq!(released_by(silent), Some(ReleasingParty::Unknown));
}

#[test]
fn an_agents_extension_and_instrument_are_one_phone() {
    let told = told([
        agent_state("1001", AgentState::TALKING).into(),
        cleared(FIRST, "3001", "SEP001122334455"),
    ]);
    assert_eq!(call_of(&told[1]).released_by, Some(ReleasingParty::Local));
}

#[test]
fn a_redirected_call_is_diverted_and_nobody_released_it() {
    let redirected = event!(
        CallConnectionClearedEvent {
            connection_call_id: Some(FIRST),
            event_cause: Some(EventCause::REDIRECTED)
        },
        CONNECTION_DEVICE_ID = "3001",
        RELEASING_DEVICE_ID = "3001"
    );
    let told = told([redirected, end(FIRST)]);
    assert_eq!(call_of(&told[0]).kind, Kind::Diverted);
    assert_eq!(call_of(&told[0]).released_by, None);
    let ended = CallEnded {
        call: "5000/1".into(),
        controlling_party: None,
    };
    assert_eq!(told[1], ended.into());
}

#[test]
fn a_call_goes_on_under_its_new_id() {
    let renamed = event!(CallDataUpdateEvent {
        connection_call_id: Some(FIRST),
        new_connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
        new_connection_call_id: Some(SECOND),
        call_type: Some(CallType::ACD_IN),
    },);
    let told = told([
        begin(FIRST, CallType::ACD_IN),
        renamed,
        connection!(CallHeldEvent, FIRST, HOLDING_DEVICE_ID = "3001"),
        end(SECOND),
    ]);
    let (from, call) = ("5000/1".into(), "5000/2".into());
    assert_eq!(told[0], CallRenamed { from, call }.into());
    assert_eq!(
        brief(&told),
        [("3001".to_owned(), "5000/2".to_owned(), Kind::Held, Some(true))]
    );
    assert!(matches!(&told[2], CtiEvent::CallEnded(ended) if ended.call.as_str() == "5000/2"));
}

#[test]
fn a_data_update_without_another_id_is_no_new_call() {
    let update = event!(CallDataUpdateEvent {
        connection_call_id: Some(FIRST),
        new_connection_call_id: Some(FIRST)
    },);
    assert_eq!(told([update]), []);
}

#[test]
fn call_variables_and_ecc_variables_are_told_by_name_before_the_call_goes_on() {
    let mut update = CallDataUpdateEvent {
        peripheral_id: Some(PERIPHERAL),
        connection_call_id: Some(FIRST),
        ..CallDataUpdateEvent::default()
    };
    update
        .floating
        .push_text(Tag::CALL_VARIABLE_7, "PAY")
        .push_text(Tag::CALL_VARIABLE_10, "")
        .push_bytes(Tag::NAMED_VARIABLE, b"user.private\0yes\0")
        .push_bytes(Tag::NAMED_ARRAY, b"\x02user.step\0card\0")
        .push_bytes(Tag::NAMED_VARIABLE, b"without an end");
    let told = told([update.into()]);
    let expected = [
        ("CallVariable7", "PAY"),
        ("CallVariable10", ""),
        ("user.private", "yes"),
        ("user.step[2]", "card"),
    ];
    let call = "5000/1".into();
    let variables = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(told, [CallVariables { call, variables }.into()]);
}

fn parties(message: &mut Floating, call: ConnectionCallId, devices: &[&str]) {
    for device in devices {
        message
            .push_value(Tag::CONNECTED_PARTY_CALL_ID, call)
            .push_value(Tag::CONNECTED_PARTY_DEVICE_ID_TYPE, ConnectionDeviceIdType::STATIC)
            .push_text(Tag::CONNECTED_PARTY_DEVICE_ID, device);
    }
}

fn conferenced() -> Message {
    let mut event = CallConferencedEvent {
        peripheral_id: Some(PERIPHERAL),
        primary_call_id: Some(FIRST),
        secondary_call_id: Some(SECOND),
        num_parties: 3,
        ..CallConferencedEvent::default()
    };
    event.floating.push_text(Tag::CONTROLLER_DEVICE_ID, "3001");
    parties(&mut event.floating, FIRST, &["3001", "3002"]);
    event.into()
}

#[test]
fn a_conference_makes_one_call_of_two() {
    let told = told([
        begin(FIRST, CallType::ACD_IN),
        established(FIRST, "3001"),
        established(SECOND, "3002"),
        conferenced(),
        end(SECOND),
        end(FIRST),
    ]);
    let (from, call) = ("5000/2".into(), "5000/1".into());
    assert_eq!(told[2], CallRenamed { from, call }.into());
    let conferenced = |device: &str| (device.to_owned(), "5000/1".to_owned(), Kind::Conferenced, Some(true));
    assert_eq!(brief(&told)[2..], [conferenced("3001"), conferenced("3002")]);
    let ended = |event: &CtiEvent| matches!(event, CtiEvent::CallEnded(_));
    assert_eq!(told.iter().filter(|event| ended(event)).count(), 1);
    assert!(told.last().is_some_and(ended));
}

#[test]
fn a_transfer_takes_the_call_from_the_one_who_made_it() {
    let mut event = CallTransferredEvent {
        peripheral_id: Some(PERIPHERAL),
        primary_call_id: Some(FIRST),
        secondary_call_id: Some(SECOND),
        num_parties: 2,
        ..CallTransferredEvent::default()
    };
    event.floating.push_text(Tag::TRANSFERRING_DEVICE_ID, "3001");
    parties(&mut event.floating, SECOND, &["3002", "3003"]);
    let told = told([
        established(FIRST, "3001"),
        established(SECOND, "3001"),
        established(SECOND, "3002"),
        event.into(),
    ]);
    let (from, call) = ("5000/1".into(), "5000/2".into());
    assert_eq!(told[3], CallRenamed { from, call }.into());
    assert_eq!(
        kinds(&told)[3..],
        [at("3001", Kind::Transferred), at("3003", Kind::Established)],
        "nothing new for 3002"
    );
}

#[test]
fn a_consultation_is_as_the_call_it_is_about() {
    let told = told([
        begin(FIRST, CallType::ACD_IN),
        established(FIRST, "3001"),
        connection!(CallHeldEvent, FIRST, HOLDING_DEVICE_ID = "3001"),
        begin(SECOND, CallType::CONSULT),
        connection!(CallOriginatedEvent, SECOND, CALLING_DEVICE_ID = "3001"),
    ]);
    assert_eq!(brief(&told).last().and_then(|brief| brief.3), Some(true));
}

#[test]
fn a_non_acd_call_is_told_by_line_call_type_or_device() {
    let acd = |version, messages: Vec<Message>| brief(&told_at(version, messages)).pop().and_then(|brief| brief.3);
    let on_line = |line_type| {
        event!(
            CallDeliveredEvent {
                connection_call_id: Some(FIRST),
                line_type: Some(line_type)
            },
            ALERTING_DEVICE_ID = "3001"
        )
    };
    assert_eq!(acd(24, vec![on_line(LineType::INBOUND_ACD)]), Some(true));
    assert_eq!(acd(24, vec![on_line(LineType::NON_ACD_IN)]), Some(false));
    assert_eq!(acd(24, vec![on_line(LineType::UNKNOWN)]), None);
    assert_eq!(
        acd(24, vec![begin(FIRST, CallType::NON_ACD), delivered(FIRST, "3001")]),
        Some(false)
    );
    assert_eq!(
        acd(14, vec![begin(FIRST, CallType(27)), delivered(FIRST, "3001")]),
        Some(false)
    );
    assert_eq!(
        acd(24, vec![begin(FIRST, CallType(27)), delivered(FIRST, "3001")]),
        None
    );
    let device = event!(
        CallDeliveredEvent {
            connection_call_id: Some(FIRST),
            line_type: Some(LineType::UNKNOWN),
            alerting_device_type: Some(DeviceIdType::NON_ACD_DEVICE),
        },
        ALERTING_DEVICE_ID = "3001"
    );
    assert_eq!(acd(24, vec![device]), Some(false));
}

#[test]
fn a_party_update_rebuilds_calls_and_makes_no_new_ones() {
    let update = |call, state| {
        event!(
            CallDeliveredEvent {
                connection_call_id: Some(call),
                event_cause: Some(EventCause::CALL_PARTY_UPDATE),
                local_connection_state: state,
            },
            ALERTING_DEVICE_ID = "3001"
        )
    };
    let connected = Some(LocalConnectionState::CONNECT);
    let told = told([
        established(FIRST, "3001"),
        update(FIRST, None),
        update(FIRST, connected),
        update(SECOND, connected),
        update(SECOND, Some(LocalConnectionState::HOLD)),
    ]);
    assert_eq!(
        kinds(&told),
        [
            at("3001", Kind::Established),
            at("3001", Kind::Established),
            at("3001", Kind::Held)
        ]
    );
}

#[test]
fn a_change_of_state_is_told_once_though_it_comes_for_each_skill_group() {
    let state = |state| Message::from(agent_state("1001", state));
    let told = told([
        state(AgentState::AVAILABLE),
        state(AgentState::AVAILABLE),
        state(AgentState::NOT_READY),
        state(AgentState::AVAILABLE),
    ]);
    let expected = [State::Available, State::NotReady, State::Available];
    assert_eq!(told, expected.map(|state| agent("1001", state)));
}

#[test]
fn states_in_other_media_than_voice_are_not_told() {
    let chat = AgentStateEvent {
        mrd_id: MrdId(5002),
        ..agent_state("1001", AgentState::AVAILABLE)
    };
    assert_eq!(told([chat.into()]), []);
}

#[test]
fn an_agent_named_by_his_key_alone_is_recognised() {
    let bare = AgentStateEvent {
        floating: Floating::default(),
        ..agent_state("1001", AgentState::NOT_READY)
    };
    let told = told([agent_state("1001", AgentState::AVAILABLE).into(), bare.into()]);
    assert_eq!(told[1], AgentUpdate::new("1001", State::NotReady).into());
}

#[test]
fn a_logout_gives_up_the_phone() {
    let mut other = agent_state("1002", AgentState::AVAILABLE);
    other.icm_agent_id = IcmAgentId(5005);
    let told = told([
        agent_state("1001", AgentState::AVAILABLE).into(),
        agent_state("1001", AgentState::LOGOUT).into(),
        other.into(),
    ]);
    assert_eq!(
        told[1..],
        [agent("1001", State::Logout), agent("1002", State::Available)]
    );
}

fn team(operation: ConfigOperation, agents: &[(&str, u16)]) -> Message {
    let mut event = AgentTeamConfigEvent {
        peripheral_id: Some(PERIPHERAL),
        team_id: TeamId(5010),
        config_operation: operation,
        ..AgentTeamConfigEvent::default()
    };
    event.floating.push_text(Tag::AGENT_TEAM_NAME, "TeamA");
    for (agent, flags) in agents {
        event
            .floating
            .push_text(Tag::ATC_AGENT_ID, agent)
            .push_value(Tag::AGENT_FLAGS, AgentFlags(*flags));
    }
    event.into()
}

#[test]
fn tells_teams_and_their_supervisors() {
    let member = |agent: &str, supervisor| TeamMember {
        agent: agent.into(),
        supervisor,
    };
    let told = told([
        team(ConfigOperation::RESTORE_PERMANENT, &[("2001", 1), ("1001", 0)]),
        team(ConfigOperation::ADD_AGENT, &[("1002", 2)]),
        team(ConfigOperation::REMOVE_AGENT, &[("1001", 0)]),
    ]);
    let update = |operation, members| {
        CtiEvent::from(TeamUpdate {
            team: "TeamA".into(),
            operation,
            members,
        })
    };
    assert_eq!(
        told,
        [
            update(
                TeamOperation::Replace,
                vec![member("2001", true), member("1001", false)]
            ),
            update(TeamOperation::Add, vec![member("1002", false)]),
            update(TeamOperation::Remove, vec![member("1001", false)]),
        ]
    );
}

#[test]
fn a_team_of_several_messages_is_one_team() {
    let ids: Vec<String> = (1001..1065).map(|agent| agent.to_string()).collect();
    let full: Vec<(&str, u16)> = ids.iter().map(|id| (id.as_str(), 0)).collect();
    let restore = ConfigOperation::RESTORE_PERMANENT;
    let told = told([
        team(restore, &full),
        team(restore, &[("2001", 1)]),
        team(restore, &[("2001", 1)]),
    ]);
    let operation = |event: &CtiEvent| match event {
        CtiEvent::Team(team) => team.operation,
        other => panic!("expected a team, found {other:?}"),
    };
    let operations: Vec<_> = told.iter().map(operation).collect();
    assert_eq!(
        operations,
        [TeamOperation::Replace, TeamOperation::Add, TeamOperation::Replace]
    );
}

#[test]
fn only_the_peripherals_configured_are_listened_to() {
    let mut settings = settings();
    settings.peripherals = vec![PeripheralId(5001)];
    let mut lab = Lab::new(settings);
    lab.accept(A);
    lab.take_events();
    lab.say(A, delivered(FIRST, "3001"));
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    assert_eq!(lab.take_events(), []);
}
