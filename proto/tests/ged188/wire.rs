//! The wire samples of the protocol sheet (1.8): decoded to their fields and encoded to the same bytes.

use silentmon_proto::cti::ged188::*;
use silentmon_proto::ids::MediaAddress;

const PV14: ProtocolVersion = ProtocolVersion(14);
const PV24: ProtocolVersion = ProtocolVersion(24);
const CALL: ConnectionCallId = ConnectionCallId(0x0100_0081);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// The message, after it was found to encode to the same bytes.
fn read(hex: &str, version: ProtocolVersion) -> Message {
    let wire = bytes(hex);
    let mut framer = Framer::default();
    framer.handle_bytes(&wire);
    let frame = framer.poll_frame().unwrap().expect("one whole message");
    assert_eq!(framer.poll_frame(), Ok(None));
    let decoded = Message::decode(frame.message_type, &frame.body, version).unwrap();
    assert_eq!(decoded.deviation, None);
    assert_eq!(decoded.message.encode(version).unwrap(), wire);
    decoded.message
}

macro_rules! read_as {
    ($message:ident, $hex:expr, $version:expr) => {
        match read($hex, $version) {
            Message::$message(message) => message,
            other => panic!("expected {}, found {other:?}", stringify!($message)),
        }
    };
}

fn floating(build: impl FnOnce(&mut Floating)) -> Floating {
    let mut floating = Floating::default();
    build(&mut floating);
    floating
}

fn agent_1001(floating: &mut Floating) {
    floating
        .push_text(Tag::AGENT_ID, "1001")
        .push_text(Tag::AGENT_EXTENSION, "3001")
        .push_text(Tag::AGENT_INSTRUMENT, "3001");
}

fn address(text: &str) -> MediaAddress {
    text.parse().unwrap()
}

#[test]
fn reads_the_open_request_of_an_independent_client() {
    let open = read_as!(
        OpenReq,
        "0000003500000003 00000001 0000000e ffffffff ffffffff 00000012 0060637c 00000018 0000001f 00000000 00000000
         00000000  01 04 52545000  02 01 00",
        PV14
    );
    let expected = OpenReq {
        invoke_id: InvokeId(1),
        version_number: PV14,
        idle_timeout: None,
        peripheral_id: None,
        services_requested: ServiceMask::ALL_EVENTS | ServiceMask::CALL_DATA_UPDATE,
        call_message_mask: CallMessageMask::MONITORING.without(CallMessageMask::DELIVERED),
        agent_state_mask: AgentStateMask::AVAILABLE | AgentStateMask::TALKING,
        config_message_mask: ConfigMessageMask(0x1f),
        floating: floating(|floating| {
            floating
                .push_text(Tag::CLIENT_ID, "RTP")
                .push_text(Tag::CLIENT_PASSWORD, "");
        }),
        ..OpenReq::default()
    };
    assert_eq!(open, expected);
}

#[test]
fn reads_the_open_request_with_wide_tags() {
    let open = read_as!(
        OpenReq,
        "0000003900000003 00000001 00000018 00000014 ffffffff 00000010 0060637f 000003ff 00000000
         000000000000000000000000  0001 0005 716d6f6e00  0002 0000",
        PV24
    );
    assert_eq!(open.version_number, PV24);
    assert_eq!(open.idle_timeout, Some(20));
    assert_eq!(open.agent_state_mask, AgentStateMask::ALL_CALL_STATES);
    assert_eq!(open.floating.text(Tag::CLIENT_ID).as_deref(), Some("qmon"));
    assert_eq!(open.floating.bytes(Tag::CLIENT_PASSWORD), Some(&[][..]));
}

#[test]
fn reads_the_open_confirmation_of_both_layouts() {
    let old = read_as!(
        OpenConf,
        "0000002800000004 00000001 00000012 00000000 00000000 673da060 0001 0011 0000  e4 02 0001  d0 04 00001388
         e0 02 0000",
        PV14
    );
    let new = read_as!(
        OpenConf,
        "0000003400000004 00000001 00000010 00000000 00000000 673da060 0001 0011 0000 00000000 0001  00e4 0002 0001
         00d0 0004 00001388  00e0 0002 0000",
        PV24
    );
    for open in [&old, &new] {
        assert_eq!(open.central_controller_time, 0x673d_a060);
        assert!(open.peripheral_online);
        assert_eq!(open.peripheral_type, Some(PeripheralType::ENTERPRISE_AGENT));
        assert_eq!(open.agent_state, AgentState::LOGIN);
        assert_eq!(open.peripherals(), [(PeripheralId(5000), Some(false))]);
    }
    assert_eq!(
        old.services_granted,
        ServiceMask::ALL_EVENTS | ServiceMask::CALL_DATA_UPDATE
    );
    assert_eq!(old.session_type, SessionType::UNKNOWN);
    assert_eq!(new.services_granted, ServiceMask::ALL_EVENTS);
    assert_eq!(new.session_type, SessionType::ACTIVE);
}

#[test]
fn reads_that_a_peripheral_is_online() {
    let event = read_as!(
        SystemEvent,
        "0000001a0000001f 00000000 673da060 00000003 00001388 00000000 00000000 ffff",
        PV14
    );
    assert_eq!(event.system_event_id, SystemEventId::PERIPHERAL_ONLINE);
    assert_eq!(event.peripheral_id(), Some(PeripheralId(5000)));
    assert_eq!(event.event_device_type, None);
}

#[test]
fn reads_heartbeats() {
    let request = read_as!(HeartbeatReq, "000000040000000500000002", PV24);
    let answer = read_as!(HeartbeatConf, "000000040000000600000002", PV24);
    assert_eq!(request.invoke_id, InvokeId(2));
    assert_eq!(answer.invoke_id, InvokeId(2));
}

#[test]
fn reads_the_first_event_of_a_call() {
    let begin = read_as!(
        BeginCallEvent,
        "0000004300000017 00000000 00001388 0011 0000 0000 0000 0001 0000 01000081 0000  19053330303100
         080835353531323334 00 0a053830303100 0d066b65792d3100 0f07637573742d3100",
        PV14
    );
    let expected = BeginCallEvent {
        peripheral_id: Some(PeripheralId(5000)),
        peripheral_type: Some(PeripheralType::ENTERPRISE_AGENT),
        call_type: Some(CallType::ACD_IN),
        connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
        connection_call_id: Some(CALL),
        floating: floating(|floating| {
            floating
                .push_text(Tag::CONNECTION_DEVICE_ID, "3001")
                .push_text(Tag::ANI, "5551234")
                .push_text(Tag::DNIS, "8001")
                .push_text(Tag::CALL_VARIABLE_1, "key-1")
                .push_text(Tag::CALL_VARIABLE_3, "cust-1");
        }),
        num_cti_clients: 0,
        num_named_variables: 0,
        num_named_arrays: 0,
        monitor_id: MonitorId(0),
        called_party_disposition: Disposition::NONE,
    };
    assert_eq!(begin, expected);
}

#[test]
fn reads_that_a_call_was_answered() {
    let established = read_as!(
        CallEstablishedEvent,
        "000000510000000a00000000000013880011000001000081ffff0000ffffffffffffffff00001389000013890000000000000000ffff
         0003001619053330303100 1e053330303100 1b083535353132333400 1c053830303100",
        PV14
    );
    let expected = CallEstablishedEvent {
        peripheral_id: Some(PeripheralId(5000)),
        peripheral_type: Some(PeripheralType::ENTERPRISE_AGENT),
        connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
        connection_call_id: Some(CALL),
        line_handle: None,
        line_type: Some(LineType::INBOUND_ACD),
        service_number: None,
        service_id: None,
        skill_group_number: Some(5001),
        skill_group_id: Some(5001),
        skill_group_priority: Some(0),
        answering_device_type: Some(DeviceIdType::DEVICE_IDENTIFIER),
        calling_device_type: Some(DeviceIdType::DEVICE_IDENTIFIER),
        called_device_type: Some(DeviceIdType::DEVICE_IDENTIFIER),
        last_redirect_device_type: None,
        local_connection_state: Some(LocalConnectionState::CONNECT),
        event_cause: Some(EventCause::NEW_CALL),
        monitor_id: MonitorId(0),
        floating: floating(|floating| {
            floating
                .push_text(Tag::CONNECTION_DEVICE_ID, "3001")
                .push_text(Tag::ANSWERING_DEVICE_ID, "3001")
                .push_text(Tag::CALLING_DEVICE_ID, "5551234")
                .push_text(Tag::CALLED_DEVICE_ID, "8001");
        }),
    };
    assert_eq!(established, expected);
}

const RTP_STARTED_IN: [(&str, ProtocolVersion); 2] = [
    (
        "0000004d00000074 00000000 00001388 00006066 0000 0000 00000000 0000 00000014 0004 0000 01000081
         19053330303100 510d31302e38362e3134332e323000 05053130303100 04053330303100 06053330303100",
        PV14,
    ),
    (
        "0000005700000074000000000000138800006066000000000000000000000000001400040000010000810019000533303031000051000d
         31302e38362e3134332e323000000500053130303100000400053330303100000600053330303100",
        PV24,
    ),
];

#[test]
fn reads_where_a_phone_receives() {
    for (hex, version) in RTP_STARTED_IN {
        let started = read_as!(RtpStartedEvent, hex, version);
        let expected = RtpStartedEvent {
            peripheral_id: Some(PeripheralId(5000)),
            client_port: 24678,
            direction: RtpDirection::INPUT,
            rtp_type: RtpType::AUDIO,
            packet_size: 20,
            payload_type: MediaPayloadType::G711_MU_LAW_64K,
            connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
            connection_call_id: Some(CALL),
            floating: floating(|floating| {
                floating
                    .push_text(Tag::CONNECTION_DEVICE_ID, "3001")
                    .push_text(Tag::CLIENT_ADDRESS, "10.86.143.20");
                agent_1001(floating);
            }),
            ..RtpStartedEvent::default()
        };
        assert_eq!(started, expected);
        assert_eq!(started.client_address(), Some(address("10.86.143.20:24678")));
        assert_eq!(started.sending_address(), None);
    }
}

#[test]
fn reads_where_a_phone_sends_to() {
    let samples = [
        (
            "0000006200000074 00000000 00001388 00006066 0001 0000 00000000 0000 00000014 0004 0000 01000081
             19053330303100 510d31302e38362e3134332e323000 05053130303100 04053330303100 06053330303100
             7d0d31302e38362e3134332e393900 7e0400004650",
            PV14,
        ),
        (
            "0000007000000074000000000000138800006066000100000000000000000000001400040000010000810019000533303031000051
             000d31302e38362e3134332e323000000500053130303100000400053330303100000600053330303100007d000d31302e38362e
             3134332e393900007e000400004650",
            PV24,
        ),
    ];
    for (hex, version) in samples {
        let started = read_as!(RtpStartedEvent, hex, version);
        assert_eq!(started.direction, RtpDirection::OUTPUT);
        assert_eq!(started.client_address(), Some(address("10.86.143.20:24678")));
        assert_eq!(started.sending_address(), Some(address("10.86.143.99:18000")));
    }
}

#[test]
fn reads_that_media_stopped() {
    let samples = [
        (
            "0000003f00000075 00000000 00001388 00006066 0000 0000 01000081  19053330303100
             510d31302e38362e3134332e323000 05053130303100 04053330303100 06053330303100",
            PV14,
        ),
        (
            "000000490000007500000000000013880000606600000000010000810019000533303031000051000d31302e38362e3134332e3230
             00000500053130303100000400053330303100000600053330303100",
            PV24,
        ),
    ];
    for (hex, version) in samples {
        let stopped = read_as!(RtpStoppedEvent, hex, version);
        assert_eq!(stopped.direction, RtpDirection::INPUT);
        assert_eq!(stopped.connection_call_id, Some(CALL));
        assert_eq!(stopped.client_address(), Some(address("10.86.143.20:24678")));
        assert_eq!(stopped.floating.text(Tag::AGENT_ID).as_deref(), Some("1001"));
    }
}

#[test]
fn reads_an_agents_state_of_both_layouts() {
    let old = read_as!(
        AgentStateEvent,
        "0000004f0000001e0000000000001388000000000011000400000000000013890000138900000004000000000001000000010001000000
         010000138c000000000000 05053130303100 04053330303100 06053330303100",
        PV14
    );
    let new = read_as!(
        AgentStateEvent,
        "000000610000001e0000000000001388000000000011000400000000000013890000138900000004000000000001000000010001000000
         010000138c0000000000000000000000050005313030310000040005333030310000060005333030310000f4000400000001",
        PV24
    );
    let mut expected = AgentStateEvent {
        peripheral_id: Some(PeripheralId(5000)),
        peripheral_type: Some(PeripheralType::ENTERPRISE_AGENT),
        skill_group_state: AgentState::TALKING,
        skill_group_number: Some(5001),
        skill_group_id: Some(5001),
        skill_group_priority: Some(0),
        agent_state: AgentState::TALKING,
        mrd_id: MrdId::VOICE,
        num_tasks: 1,
        agent_mode: true,
        max_task_limit: 1,
        icm_agent_id: IcmAgentId(5004),
        floating: floating(agent_1001),
        ..AgentStateEvent::default()
    };
    assert_eq!(old, expected);
    assert_eq!(old.direction(), None);
    expected.floating.push_value(Tag::DIRECTION, CallDirection::IN);
    assert_eq!(new, expected);
    assert_eq!(new.direction(), Some(CallDirection::IN));
}

#[test]
fn reads_the_end_of_a_call() {
    let cleared = read_as!(
        CallClearedEvent,
        "0000001b0000000d000000000000138800110000010000810000ffff19053330303100",
        PV14
    );
    assert_eq!(cleared.connection_call_id, Some(CALL));
    assert_eq!(cleared.local_connection_state, Some(LocalConnectionState::NULL));
    assert_eq!(cleared.event_cause, None);
    let end = read_as!(
        EndCallEvent,
        "0000001700000018000000000000138800110000 01000081 19053330303100",
        PV14
    );
    assert_eq!(end.connection_call_id, Some(CALL));
    assert_eq!(end.floating.text(Tag::CONNECTION_DEVICE_ID).as_deref(), Some("3001"));
}

#[test]
fn reads_who_belongs_to_a_team() {
    let team = read_as!(
        AgentTeamConfigEvent,
        "00000054000000800000138800001392000200010000000000f300065465616d4100005600053230303100005700020004005800020003
         005900040000003c0056000531303031000057000200000058000200040059000400000005",
        PV24
    );
    assert_eq!(team.team_id, TeamId(5010));
    assert_eq!(team.config_operation, ConfigOperation::ADD_AGENT);
    assert_eq!(team.team_name().as_deref(), Some("TeamA"));
    let supervisor = TeamAgent {
        agent_id: "2001".to_owned(),
        flags: AgentFlags::SUPERVISOR,
        state: Some(AgentState::AVAILABLE),
        state_duration: Some(60),
    };
    let agent = TeamAgent {
        agent_id: "1001".to_owned(),
        flags: AgentFlags(0),
        state: Some(AgentState::TALKING),
        state_duration: Some(5),
    };
    assert_eq!(team.agents(), [supervisor, agent]);
}

#[test]
fn reads_a_refusal_of_either_length() {
    let short = read_as!(FailureConf, "00000008000000010000000100000001", PV24);
    assert_eq!((short.invoke_id, short.status), (InvokeId(1), Status::INVALID_VERSION));
    assert_eq!(short.peripheral_error_code, None);
    let long = read_as!(FailureConf, "0000000a00000001000000010014 00000007", PV24);
    assert_eq!(
        (long.invoke_id, long.status),
        (InvokeId(1), Status::INVALID_CALL_MESSAGE_MASK)
    );
    assert_eq!(long.peripheral_error_code, Some(7));
}
