use silentmon_proto::cti::{CallEvent, CallEventKind, DeviceSnapshot, SnapshotCall};
use silentmon_proto::ids::{AgentId, Extension};

use super::*;
use crate::link::{Supervise, SuperviseAction};

const CALL: ConnectionCallId = ConnectionCallId(16_777_345);

fn lab_with(agents: usize) -> Lab {
    let mut settings = settings();
    settings.agents = (0..agents)
        .map(|number| AgentId::new(format!("{}", 1001 + number)))
        .collect();
    let mut lab = Lab::new(settings);
    lab.accept(A);
    lab.take_events();
    lab
}

fn agent_answer(invoke_id: InvokeId, state: AgentState) -> QueryAgentStateConf {
    let mut answer = QueryAgentStateConf {
        invoke_id,
        agent_state: state,
        mrd_id: MrdId::VOICE,
        ..QueryAgentStateConf::default()
    };
    answer
        .floating
        .push_text(Tag::AGENT_EXTENSION, "3001")
        .push_text(Tag::AGENT_INSTRUMENT, "SEP001122334455");
    answer
}

fn device_answer(invoke_id: InvokeId, state: Option<LocalConnectionState>) -> SnapshotDeviceConf {
    let mut answer = SnapshotDeviceConf {
        invoke_id,
        ..SnapshotDeviceConf::default()
    };
    if let Some(state) = state {
        answer.num_calls = 1;
        answer
            .floating
            .push_value(Tag::CALL_CONNECTION_CALL_ID, CALL)
            .push_value(Tag::CALL_CONNECTION_DEVICE_ID_TYPE, ConnectionDeviceIdType::STATIC)
            .push_text(Tag::CALL_CONNECTION_DEVICE_ID, "3001")
            .push_value(Tag::CALL_STATE, state);
    }
    answer
}

fn call_answer(invoke_id: InvokeId) -> SnapshotCallConf {
    let mut answer = SnapshotCallConf {
        invoke_id,
        call_type: Some(CallType::ACD_IN),
        num_call_devices: 1,
        ..SnapshotCallConf::default()
    };
    answer
        .floating
        .push_text(Tag::ANI, "5551234")
        .push_value(Tag::CALL_CONNECTION_CALL_ID, CALL)
        .push_value(Tag::CALL_CONNECTION_DEVICE_ID_TYPE, ConnectionDeviceIdType::STATIC)
        .push_text(Tag::CALL_CONNECTION_DEVICE_ID, "3001")
        .push_value(Tag::CALL_DEVICE_TYPE, DeviceIdType::AGENT_DEVICE)
        .push_text(Tag::CALL_DEVICE_ID, "3001")
        .push_value(Tag::CALL_DEVICE_CONNECTION_STATE, LocalConnectionState::CONNECT);
    answer
}

/// The one request sent.
macro_rules! asked {
    ($lab:ident, $message:ident) => {
        match $lab.take_sent(A).as_slice() {
            [Message::$message(request)] => request.clone(),
            other => panic!("expected one {}, found {other:?}", stringify!($message)),
        }
    };
}

#[test]
fn asks_for_agents_then_for_their_calls_then_for_the_calls_kind() {
    let mut lab = lab_with(1);
    let query = asked!(lab, QueryAgentStateReq);
    assert_eq!(query.peripheral_id, Some(PERIPHERAL));
    assert_eq!(query.floating.text(Tag::AGENT_ID).as_deref(), Some("1001"));

    lab.say(A, agent_answer(query.invoke_id, AgentState::TALKING));
    assert_eq!(lab.take_cti(), [agent("1001", State::Talking)]);
    let snapshot = asked!(lab, SnapshotDeviceReq);
    assert_eq!(
        snapshot.floating.text(Tag::AGENT_INSTRUMENT).as_deref(),
        Some("SEP001122334455")
    );

    lab.say(
        A,
        device_answer(snapshot.invoke_id, Some(LocalConnectionState::CONNECT)),
    );
    let call = SnapshotCall {
        call: "5000/16777345".into(),
        kind: CallEventKind::Established,
        acd: None,
    };
    let device = Extension::new("3001");
    assert_eq!(
        lab.take_cti(),
        [DeviceSnapshot {
            device,
            calls: vec![call]
        }
        .into()]
    );
    let snapshot = asked!(lab, SnapshotCallReq);
    assert_eq!(snapshot.connection_call_id, Some(CALL));

    lab.say(A, call_answer(snapshot.invoke_id));
    let told = CallEvent {
        acd: Some(true),
        calling: Some("5551234".to_owned()),
        ..CallEvent::of_device("3001", "5000/16777345", CallEventKind::Established)
    };
    assert_eq!(lab.take_cti(), [told.into()]);
}

#[test]
fn a_device_without_calls_has_none() {
    let mut lab = Lab::open();
    lab.command(LinkCommand::SnapshotDevice("3001".into()));
    let snapshot = asked!(lab, SnapshotDeviceReq);
    lab.say(A, device_answer(snapshot.invoke_id, None));
    let (device, calls) = (Extension::new("3001"), Vec::new());
    assert_eq!(lab.take_cti(), [DeviceSnapshot { device, calls }.into()]);
}

#[test]
fn thousands_of_agents_do_not_flood_the_server() {
    let mut lab = lab_with(10_000);
    let mut asked = 0;
    loop {
        let sent = lab.take_sent(A);
        assert!(sent.len() <= 50, "{} requests at once", sent.len());
        if sent.is_empty() {
            break;
        }
        for message in sent {
            let Message::QueryAgentStateReq(query) = message else {
                panic!("expected a query, found {message:?}");
            };
            asked += 1;
            lab.say(A, failure(query.invoke_id, Status::AGENT_NOT_LOGGED_ON));
        }
    }
    assert_eq!(asked, 10_000);
    assert_eq!(lab.take_events().len(), 10_000);
}

#[test]
fn an_agent_who_is_not_signed_in_is_told_as_signed_out() {
    let mut lab = lab_with(1);
    let query = asked!(lab, QueryAgentStateReq);
    lab.say(A, failure(query.invoke_id, Status::AGENT_NOT_LOGGED_ON));
    assert_eq!(lab.take_cti(), [AgentUpdate::new("1001", State::Logout).into()]);
}

#[test]
fn a_question_that_is_not_answered_lets_the_others_be_asked() {
    let mut lab = lab_with(60);
    assert_eq!(lab.take_sent(A).len(), 50);
    lab.keep_alive(A, seconds(9));
    lab.pass(seconds(1));
    let queries = |message: &Message| matches!(message, Message::QueryAgentStateReq(_));
    assert_eq!(lab.take_sent(A).into_iter().filter(queries).count(), 10);
}

#[test]
fn without_client_control_nothing_is_asked() {
    let mut settings = settings();
    settings.services = ServiceMask::ALL_EVENTS;
    settings.agents = vec!["1001".into()];
    let mut lab = Lab::new(settings);
    lab.accept(A);
    assert_eq!(lab.take_sent(A), []);
    assert_eq!(lab.take_link(), Some(Ok(())));
}

#[test]
fn an_agent_first_heard_of_while_he_talks_is_asked_for_his_calls() {
    let mut lab = Lab::open();
    lab.say(A, agent_state("1001", AgentState::TALKING));
    asked!(lab, SnapshotDeviceReq);
    lab.say(A, agent_state("1001", AgentState::HOLD));
    assert_eq!(lab.take_sent(A), []);
}

fn system(event: SystemEventId, argument: u32) -> SystemEvent {
    SystemEvent {
        system_event_id: event,
        system_event_arg_1: argument,
        ..SystemEvent::default()
    }
}

#[test]
fn agents_of_a_peripheral_off_line_are_unknown_and_asked_for_when_it_is_back() {
    let mut lab = Lab::open();
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    lab.take_events();
    lab.say(A, system(SystemEventId::PERIPHERAL_OFFLINE, 5001));
    assert_eq!(lab.take_cti(), [], "another peripheral");
    lab.say(A, system(SystemEventId::PERIPHERAL_OFFLINE, 5000));
    assert_eq!(lab.take_cti(), [AgentUpdate::new("1001", State::Unknown).into()]);
    lab.say(A, system(SystemEventId::PERIPHERAL_ONLINE, 5000));
    let query = asked!(lab, QueryAgentStateReq);
    lab.say(A, agent_answer(query.invoke_id, AgentState::AVAILABLE));
    assert_eq!(lab.take_cti(), [agent("1001", State::Available)]);
}

#[test]
fn everybody_is_unknown_when_the_installation_goes_off_line() {
    for event in [
        SystemEventId::CENTRAL_CONTROLLER_OFFLINE,
        SystemEventId::PERIPHERAL_GATEWAY_OFFLINE,
        SystemEventId::CTI_SERVER_OFFLINE,
    ] {
        let mut lab = Lab::open();
        lab.say(A, agent_state("1001", AgentState::AVAILABLE));
        lab.take_events();
        lab.say(A, system(event, 0));
        assert_eq!(lab.take_cti(), [AgentUpdate::new("1001", State::Unknown).into()]);
    }
}

#[test]
fn an_agent_whose_phone_is_out_of_service_is_unknown_until_it_is_back() {
    let mut lab = Lab::open();
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    lab.take_events();
    for (event, told, asked) in [
        (SystemEventId::INSTRUMENT_OUT_OF_SERVICE, 1, 0),
        (SystemEventId::INSTRUMENT_BACK_IN_SERVICE, 0, 1),
    ] {
        let mut event = system(event, 0);
        event.floating.push_text(Tag::EVENT_DEVICE_ID, "3001");
        lab.take_outputs();
        lab.say(A, event);
        assert_eq!((lab.take_cti().len(), lab.take_sent(A).len()), (told, asked));
    }
}

fn supervise() -> LinkCommand {
    LinkCommand::Supervise(Supervise {
        number: 9,
        action: SuperviseAction::BargeIn,
        agent: "1001".into(),
        device: "3001".into(),
        call: "5000/16777345".into(),
        supervisor_device: "3900".into(),
    })
}

fn done(result: Result<(), &str>) -> LinkEvent {
    let result = result.map_err(str::to_owned);
    LinkEvent::Done { number: 9, result }
}

#[test]
fn brings_a_supervisor_into_a_call() {
    let mut lab = Lab::open();
    lab.command(supervise());
    let request = asked!(lab, SuperviseCallReq);
    assert_eq!(request.peripheral_id, Some(PERIPHERAL));
    assert_eq!(request.agent_connection_call_id, Some(CALL));
    assert_eq!(request.supervisor_connection_call_id, None);
    assert_eq!(request.supervisory_action, SupervisoryAction::BARGE_IN);
    assert_eq!(
        request.floating.text(Tag::SUPERVISOR_INSTRUMENT).as_deref(),
        Some("3900")
    );
    assert_eq!(
        request.floating.text(Tag::AGENT_CONNECTION_DEVICE_ID).as_deref(),
        Some("3001")
    );
    let invoke_id = request.invoke_id;
    lab.say(
        A,
        SuperviseCallConf {
            invoke_id,
            ..SuperviseCallConf::default()
        },
    );
    assert_eq!(lab.take_events(), [done(Ok(()))]);
}

#[test]
fn says_why_a_supervisor_cannot_join() {
    let mut lab = Lab::open();
    lab.command(supervise());
    let invoke_id = asked!(lab, SuperviseCallReq).invoke_id;
    lab.say(
        A,
        ControlFailureConf {
            invoke_id,
            failure_code: ControlFailureCode(13),
            peripheral_error_code: 12005,
            ..ControlFailureConf::default()
        },
    );
    let words =
        "The switch refused the request: invalid connection identifier (failure 13, error 12005 of the peripheral).";
    assert_eq!(lab.take_events(), [done(Err(words))]);

    lab.command(supervise());
    lab.pass(seconds(10));
    assert_eq!(
        lab.take_events(),
        [done(Err("The CTI Server didn't answer within 10 s."))]
    );

    lab.command(supervise());
    lab.closed(A, Closed::ByPeer);
    let broken = done(Err("The CTI link broke before there was an answer."));
    assert!(lab.take_events().contains(&broken));

    lab.command(supervise());
    assert_eq!(lab.take_events(), [done(Err("The CTI link is down."))]);
}

#[test]
fn asks_for_the_teams_of_a_supervisor_where_that_service_is_granted() {
    let mut settings = settings();
    settings.services = settings.services | ServiceMask::SUPERVISOR | ServiceMask::CLIENT_EVENTS;
    let mut lab = Lab::new(settings);
    lab.accept(A);
    let mut team = AgentTeamConfigEvent {
        peripheral_id: Some(PERIPHERAL),
        team_id: TeamId(5010),
        number_of_agents: 1,
        ..AgentTeamConfigEvent::default()
    };
    team.floating
        .push_text(Tag::ATC_AGENT_ID, "2001")
        .push_value(Tag::AGENT_FLAGS, AgentFlags::SUPERVISOR);
    lab.say(A, team);
    let query = asked!(lab, QueryAgentStateReq);
    let mut answer = agent_answer(query.invoke_id, AgentState::LOGOUT);
    answer.icm_agent_id = Some(IcmAgentId(5100));
    lab.say(A, answer);
    let list = asked!(lab, ListAgentTeamReq);
    assert_eq!(list.supervisor_id, IcmAgentId(5100));
    let mut teams = ListAgentTeamConf {
        invoke_id: list.invoke_id,
        number_of_agent_teams: 1,
        ..ListAgentTeamConf::default()
    };
    teams.floating.push_value(Tag::LIST_TEAM_ID, TeamId(5011));
    lab.say(A, teams);
    assert_eq!(asked!(lab, MonitorAgentTeamStartReq).team_id, TeamId(5011));
}
