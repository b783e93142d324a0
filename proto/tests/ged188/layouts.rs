//! Sizes of the fixed parts by version, and what is made of a server that has others.

use silentmon_proto::cti::ged188::*;

/// The fixed part of one message, in bytes, before version 19, in 19, from 20, and from 24.
#[derive(Debug, Clone, Copy)]
pub struct FixedSizes {
    pub message_type: MessageType,
    sizes: [usize; 4],
}

impl FixedSizes {
    pub fn size(&self, version: ProtocolVersion) -> usize {
        let [before_19, in_19, from_20, from_24] = self.sizes;
        match version.0 {
            ..19 => before_19,
            19 => in_19,
            20..24 => from_20,
            24.. => from_24,
        }
    }
}

const fn same(message_type: MessageType, size: usize) -> FixedSizes {
    FixedSizes {
        message_type,
        sizes: [size; 4],
    }
}

/// As documented, not as computed from the structs.
pub const FIXED_SIZES: &[FixedSizes] = &[
    same(MessageType::FAILURE_EVENT, 4),
    same(MessageType::OPEN_REQ, 44),
    FixedSizes {
        message_type: MessageType::OPEN_CONF,
        sizes: [26, 30, 30, 32],
    },
    same(MessageType::HEARTBEAT_REQ, 4),
    same(MessageType::HEARTBEAT_CONF, 4),
    same(MessageType::CLOSE_REQ, 8),
    same(MessageType::CLOSE_CONF, 4),
    same(MessageType::CALL_DELIVERED_EVENT, 54),
    same(MessageType::CALL_ESTABLISHED_EVENT, 50),
    same(MessageType::CALL_HELD_EVENT, 22),
    same(MessageType::CALL_RETRIEVED_EVENT, 22),
    same(MessageType::CALL_CLEARED_EVENT, 20),
    same(MessageType::CALL_CONNECTION_CLEARED_EVENT, 22),
    same(MessageType::CALL_ORIGINATED_EVENT, 46),
    same(MessageType::CALL_FAILED_EVENT, 24),
    same(MessageType::CALL_CONFERENCED_EVENT, 46),
    same(MessageType::CALL_TRANSFERRED_EVENT, 46),
    same(MessageType::CALL_DIVERTED_EVENT, 32),
    same(MessageType::CALL_SERVICE_INITIATED_EVENT, 44),
    same(MessageType::CALL_QUEUED_EVENT, 40),
    same(MessageType::CALL_TRANSLATION_ROUTE_EVENT, 4),
    same(MessageType::BEGIN_CALL_EVENT, 26),
    same(MessageType::END_CALL_EVENT, 16),
    same(MessageType::CALL_DATA_UPDATE_EVENT, 40),
    FixedSizes {
        message_type: MessageType::AGENT_STATE_EVENT,
        sizes: [58, 62, 62, 62],
    },
    same(MessageType::SYSTEM_EVENT, 26),
    same(MessageType::CLIENT_EVENT_REPORT_REQ, 6),
    same(MessageType::CLIENT_EVENT_REPORT_CONF, 4),
    same(MessageType::CALL_REACHED_NETWORK_EVENT, 28),
    same(MessageType::CONTROL_FAILURE_CONF, 10),
    same(MessageType::QUERY_AGENT_STATE_REQ, 16),
    FixedSizes {
        message_type: MessageType::QUERY_AGENT_STATE_CONF,
        sizes: [30, 34, 34, 34],
    },
    same(MessageType::SNAPSHOT_CALL_REQ, 14),
    same(MessageType::SNAPSHOT_CALL_CONF, 16),
    same(MessageType::SNAPSHOT_DEVICE_REQ, 10),
    same(MessageType::SNAPSHOT_DEVICE_CONF, 6),
    same(MessageType::CALL_DEQUEUED_EVENT, 34),
    same(MessageType::MONITOR_START_REQ, 24),
    same(MessageType::MONITOR_START_CONF, 8),
    same(MessageType::MONITOR_STOP_REQ, 8),
    same(MessageType::MONITOR_STOP_CONF, 4),
    same(MessageType::CLIENT_SESSION_OPENED_EVENT, 24),
    same(MessageType::CLIENT_SESSION_CLOSED_EVENT, 16),
    FixedSizes {
        message_type: MessageType::AGENT_PRE_CALL_EVENT,
        sizes: [30, 30, 34, 34],
    },
    same(MessageType::AGENT_PRE_CALL_ABORT_EVENT, 8),
    same(MessageType::USER_MESSAGE_REQ, 10),
    same(MessageType::USER_MESSAGE_CONF, 4),
    same(MessageType::USER_MESSAGE_EVENT, 6),
    same(MessageType::RTP_STARTED_EVENT, 34),
    same(MessageType::RTP_STOPPED_EVENT, 20),
    same(MessageType::SUPERVISOR_ASSIST_REQ, 14),
    same(MessageType::SUPERVISOR_ASSIST_CONF, 14),
    same(MessageType::SUPERVISOR_ASSIST_EVENT, 14),
    same(MessageType::EMERGENCY_CALL_REQ, 14),
    same(MessageType::EMERGENCY_CALL_CONF, 14),
    same(MessageType::EMERGENCY_CALL_EVENT, 14),
    same(MessageType::SUPERVISE_CALL_REQ, 22),
    same(MessageType::SUPERVISE_CALL_CONF, 10),
    FixedSizes {
        message_type: MessageType::AGENT_TEAM_CONFIG_EVENT,
        sizes: [12, 16, 16, 16],
    },
    same(MessageType::LIST_AGENT_TEAM_REQ, 8),
    same(MessageType::LIST_AGENT_TEAM_CONF, 10),
    same(MessageType::MONITOR_AGENT_TEAM_START_REQ, 8),
    same(MessageType::MONITOR_AGENT_TEAM_START_CONF, 8),
    same(MessageType::MONITOR_AGENT_TEAM_STOP_REQ, 8),
    same(MessageType::MONITOR_AGENT_TEAM_STOP_CONF, 4),
    same(MessageType::STANDBY_ACTIVE_EVENT, 0),
    same(MessageType::ACTIVE_MAINTENANCE_REQ, 4),
    same(MessageType::ACTIVE_MAINTENANCE_RESP, 6),
    same(MessageType::ACTIVE_MAINTENANCE_EVENT, 2),
    same(MessageType::STOPPING_REQUESTS_TO_THIS_SIDE_IND, 0),
];

const PV14: ProtocolVersion = ProtocolVersion(14);
const PV19: ProtocolVersion = ProtocolVersion(19);
const PV24: ProtocolVersion = ProtocolVersion(24);

fn body(message: impl Into<Message>, version: ProtocolVersion) -> Vec<u8> {
    message.into().encode(version).unwrap().split_off(HEADER_SIZE)
}

fn signed_in() -> AgentStateEvent {
    let mut event = AgentStateEvent {
        agent_state: AgentState::AVAILABLE,
        icm_agent_id: IcmAgentId(5004),
        num_skill_groups: 1,
        ..AgentStateEvent::default()
    };
    event
        .floating
        .push_text(Tag::AGENT_ID, "1001")
        .push_value(Tag::SKILL_GROUP_NUMBER, 7_u32);
    event
}

#[test]
fn the_fixed_parts_have_their_documented_sizes() {
    for version in (9..=25).map(ProtocolVersion) {
        for layout in FIXED_SIZES {
            let size = layout.size(version);
            let decoded = Message::decode(layout.message_type, &vec![0; size], version).unwrap();
            assert_eq!(decoded.deviation, None, "{} in version {version}", layout.message_type);
            let encoded = decoded.message.encode(version).unwrap();
            assert_eq!(
                encoded.len(),
                HEADER_SIZE + size,
                "{} in version {version}",
                layout.message_type
            );
        }
    }
}

#[test]
fn an_older_layout_than_the_sessions_is_found_and_told() {
    let event = signed_in();
    let decoded = Message::decode(MessageType::AGENT_STATE_EVENT, &body(event.clone(), PV14), PV19).unwrap();
    assert_eq!(
        decoded.deviation,
        Some(FixedSizeDeviation {
            expected: 62,
            found: 58
        })
    );
    assert_eq!(decoded.message, event.into());
}

#[test]
fn a_newer_layout_than_the_sessions_is_found_and_told() {
    let event = AgentStateEvent {
        department_id: 3,
        ..signed_in()
    };
    let decoded = Message::decode(MessageType::AGENT_STATE_EVENT, &body(event.clone(), PV19), PV14).unwrap();
    assert_eq!(
        decoded.deviation,
        Some(FixedSizeDeviation {
            expected: 58,
            found: 62
        })
    );
    assert_eq!(decoded.message, event.into());
}

#[test]
fn a_field_that_nobody_documented_is_skipped_and_told() {
    let mut started = RtpStartedEvent {
        client_port: 24678,
        ..RtpStartedEvent::default()
    };
    started.floating.push_text(Tag::CLIENT_ADDRESS, "10.86.143.20");
    let plain = body(started.clone(), PV24);
    for extra in [vec![0, 9], vec![0, 0, 0, 0]] {
        let longer = [&plain[..34], &extra, &plain[34..]].concat();
        let decoded = Message::decode(MessageType::RTP_STARTED_EVENT, &longer, PV24).unwrap();
        let found = 34 + extra.len();
        assert_eq!(decoded.deviation, Some(FixedSizeDeviation { expected: 34, found }));
        assert_eq!(decoded.message, started.clone().into());
    }
}

#[test]
fn a_message_cut_off_is_refused() {
    let cut = Message::decode(MessageType::HEARTBEAT_CONF, &[0, 0], PV24);
    let message_type = MessageType::HEARTBEAT_CONF;
    assert_eq!(
        cut,
        Err(DecodeError::FixedTooShort {
            message_type,
            expected: 4,
            found: 2
        })
    );
    assert_eq!(
        cut.unwrap_err().to_string(),
        "HEARTBEAT_CONF: expected a fixed part of 4 bytes, found 2"
    );
}

#[test]
fn a_field_beyond_the_message_is_refused() {
    let refused = Message::decode(
        MessageType::END_CALL_EVENT,
        &[&[0; 16][..], &[25, 200, 1]].concat(),
        PV14,
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "END_CALL_EVENT: expected floating fields from byte 16 to the end: \
         the field at byte 0 of the floating part reaches beyond the 3 bytes left"
    );
}

#[test]
fn other_messages_pass_through() {
    let message_type = MessageType::CALL_AGENT_GREETING_EVENT;
    let other = OtherMessage {
        message_type,
        body: vec![1, 2, 3],
    };
    let decoded = Message::decode(message_type, &[1, 2, 3], PV24).unwrap();
    assert_eq!(
        decoded,
        Decoded {
            message: Message::Other(other),
            deviation: None
        }
    );
    assert_eq!(body(decoded.message, PV24), [1, 2, 3]);
}

#[test]
fn a_text_may_lack_its_nul_or_hold_foreign_letters() {
    let floating = Floating::decode(b"\x05\x041001\x04\x063001\x00x\x07\x03a\xe9b", PV14).unwrap();
    assert_eq!(floating.text(Tag::AGENT_ID).as_deref(), Some("1001"));
    assert_eq!(floating.text(Tag::AGENT_EXTENSION).as_deref(), Some("3001"));
    assert_eq!(floating.text(Tag::TEXT).as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn a_field_too_wide_for_the_version_is_refused() {
    let mut event = signed_in();
    event.floating.push_value(Tag::MAX_BEYOND_TASK_LIMIT, 1_u32);
    let refused = Message::from(event.clone()).encode(PV14);
    let tag = Tag::MAX_BEYOND_TASK_LIMIT;
    assert_eq!(
        refused,
        Err(EncodeError::FieldTooWide {
            tag,
            length: 4,
            version: PV14
        })
    );
    assert!(Message::from(event).encode(PV24).is_ok());
}

#[test]
fn a_body_too_long_for_a_frame_is_refused() {
    let mut event = UserMessageEvent::default();
    event.floating.push_bytes(Tag::TEXT, &vec![65; 70_000]);
    let refused = Message::from(event).encode(PV24);
    assert_eq!(refused, Err(EncodeError::TooLong { size: 6 + 4 + 65_535 }));
}

#[test]
fn ipv6_addresses_come_as_bytes_or_text() {
    let ip: std::net::Ipv6Addr = "2001:db8::20".parse().unwrap();
    let mut old = RtpStartedEvent {
        client_port: 24678,
        ..RtpStartedEvent::default()
    };
    old.floating
        .push_text(Tag::CLIENT_ADDRESS, "0.0.0.0")
        .push_bytes(Tag::CLIENT_ADDRESS_IPV6, &ip.octets())
        .push_bytes(Tag::SENDING_ADDRESS_IPV6, &ip.octets());
    let mut new = RtpStartedEvent {
        client_port: 24678,
        ..RtpStartedEvent::default()
    };
    new.floating
        .push_text(Tag::CLIENT_ADDRESS, "2001:db8::20")
        .push_text(Tag::SENDING_ADDRESS, "2001:db8::20")
        .push_text(Tag::SENDING_PORT, "18000");
    for started in [&old, &new] {
        assert_eq!(started.client_address(), Some("[2001:db8::20]:24678".parse().unwrap()));
    }
    assert_eq!(old.sending_address(), Some("2001:db8::20".parse().unwrap()));
    assert_eq!(new.sending_address(), Some("[2001:db8::20]:18000".parse().unwrap()));
}

#[test]
fn a_snapshot_lists_a_devices_calls() {
    let mut snapshot = SnapshotDeviceConf {
        num_calls: 2,
        ..SnapshotDeviceConf::default()
    };
    for (call, state) in [(1_u32, Tag::CALL_STATE), (2, Tag::CALL_DEVICE_CONNECTION_STATE)] {
        snapshot
            .floating
            .push_value(Tag::CALL_CONNECTION_CALL_ID, call)
            .push_value(Tag::CALL_CONNECTION_DEVICE_ID_TYPE, ConnectionDeviceIdType::STATIC)
            .push_text(Tag::CALL_CONNECTION_DEVICE_ID, "3001")
            .push_value(state, LocalConnectionState::HOLD);
    }
    let Message::SnapshotDeviceConf(read) =
        Message::decode(MessageType::SNAPSHOT_DEVICE_CONF, &body(snapshot, PV19), PV19)
            .unwrap()
            .message
    else {
        panic!("expected a snapshot");
    };
    let call = |number| DeviceCall {
        call_id: ConnectionCallId(number),
        device_id_type: Some(ConnectionDeviceIdType::STATIC),
        device_id: Some("3001".to_owned()),
        state: Some(LocalConnectionState::HOLD),
    };
    assert_eq!(read.calls(), [call(1), call(2)]);
}

#[test]
fn a_conference_lists_its_parties() {
    let mut conferenced = CallConferencedEvent::default();
    for (call, device) in [(129_u32, "3001"), (130, "5551234")] {
        conferenced
            .floating
            .push_value(Tag::CONNECTED_PARTY_CALL_ID, call)
            .push_value(Tag::CONNECTED_PARTY_DEVICE_ID_TYPE, 0_u16)
            .push_text(Tag::CONNECTED_PARTY_DEVICE_ID, device);
    }
    let party = |call, device: &str| ConnectedParty {
        call_id: Some(ConnectionCallId(call)),
        device_id_type: Some(ConnectionDeviceIdType::STATIC),
        device_id: Some(device.to_owned()),
    };
    assert_eq!(conferenced.parties(), [party(129, "3001"), party(130, "5551234")]);
}

#[test]
fn a_supervisors_teams_are_listed() {
    let mut teams = ListAgentTeamConf::default();
    teams
        .floating
        .push_value(Tag::LIST_TEAM_ID, 5010_u32)
        .push_value(Tag::LIST_TEAM_ID, 5011_u32);
    assert_eq!(teams.teams(), [TeamId(5010), TeamId(5011)]);
}
