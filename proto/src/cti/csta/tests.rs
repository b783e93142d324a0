//! Golden messages of the protocol sheet (2.3), every event in three dialects, requests read back.

use proptest::prelude::*;

use super::*;
use crate::cti::CallEventKind as Kind;
use crate::cti::xml::{self, Element};

/// The document as peers write it: without a namespace, with a prefix, with edition 4 as default.
fn dialects(plain: &str) -> [String; 3] {
    let root = plain[1..].split(['>', '/']).next().expect("a root element");
    let prefixed = plain
        .replace("</", "\u{1}")
        .replace('<', "<ns3:")
        .replace('\u{1}', "</ns3:")
        .replacen(root, &format!("{root} xmlns:ns3=\"{EDITION_4}\""), 1);
    let default = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
        plain.replacen(root, &format!("{root} xmlns=\"{EDITION_4}\""), 1)
    );
    [plain.to_owned(), prefixed, default]
}

fn message(document: &str) -> Message {
    Message::parse(document.as_bytes()).expect(document)
}

/// What the document says, the same in every dialect.
fn in_every_dialect(plain: &str) -> Message {
    let [first, second, third] = dialects(plain).map(|document| message(&document));
    assert_eq!(first, second, "{plain}");
    assert_eq!(first, third, "{plain}");
    first
}

fn event(name: &str, body: &str) -> Event {
    let document = format!("<{name}><monitorCrossRefID>7</monitorCrossRefID>{body}</{name}>");
    match in_every_dialect(&document) {
        Message::Event { cross_ref, event } => {
            assert_eq!(cross_ref, MonitorCrossRefId("7".into()));
            event
        }
        other => panic!("{other:?}"),
    }
}

fn connection(call: &str, device: &str) -> ConnectionId {
    ConnectionId {
        call: call.into(),
        device: Some(device.into()),
    }
}

const SERVICE_INITIATED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ServiceInitiatedEvent xmlns=\"http://www.ecma-international.org/standards/ecma-323/csta/ed4\"><monitorCrossRefID>1169730059</monitorCrossRefID><initiatedConnection><callID>FF000100000000002D65C85C1C750000</callID><deviceID>302118840100</deviceID></initiatedConnection><initiatingDevice><deviceIdentifier>N&lt;302118840100&gt;;noa=nk</deviceIdentifier></initiatingDevice><localConnectionInfo>initiated</localConnectionInfo><cause>makeCall</cause><servicesPermitted><callControlServices><clearConnection>true</clearConnection></callControlServices><callAssociatedServices/><mediaAttachementServices/><routeingServices/><voiceServices/></servicesPermitted><mediaCallCharacteristics><mediaClass><voice>true</voice><image>false</image><im>false</im></mediaClass></mediaCallCharacteristics><extensions><privateData><private xmlns:scx=\"http://www.siemens.com/schema/csta\"><scx:extendedServicesPermitted/></private></privateData></extensions></ServiceInitiatedEvent>";

#[test]
fn the_sheets_service_initiated_event_is_framed_and_read() {
    let mut bytes = b"\x00\x00\x03\xeb9999".to_vec();
    bytes.extend_from_slice(SERVICE_INITIATED.as_bytes());
    assert_eq!(
        SERVICE_INITIATED.len(),
        995,
        "the length that the header declares, less the header"
    );
    let mut framer = Framer::default();
    framer.push(&bytes);
    let frame = framer.next_frame().expect("a good header").expect("complete");
    assert_eq!(frame.invoke_id, EVENT_INVOKE_ID);
    assert_eq!(frame.to_bytes().expect("short"), bytes);
    assert_eq!(framer.next_frame(), Ok(None));
    let expected = Message::Event {
        cross_ref: MonitorCrossRefId("1169730059".into()),
        event: Event::Connection(ConnectionEvent {
            kind: Kind::ServiceInitiated,
            connection: connection("FF000100000000002D65C85C1C750000", "302118840100"),
            subject: Some("302118840100".into()),
            calling: None,
            called: None,
            releasing: None,
            local: Some(LocalConnectionState::Initiated),
            acd: None,
        }),
    };
    assert_eq!(Message::parse(&frame.document), Ok(expected));
}

#[test]
fn the_sheets_originated_event_is_read() {
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OriginatedEvent xmlns=\"http://www.ecma-international.org/standards/ecma-323/csta/ed4\"><monitorCrossRefID>1169730059</monitorCrossRefID><originatedConnection><callID>FF000100000000002D65C85C1C750000</callID><deviceID>302118840100</deviceID></originatedConnection><callingDevice><deviceIdentifier>302118840100</deviceIdentifier></callingDevice><calledDevice><deviceIdentifier>N&lt;302118840101&gt;;displayNumber=302118840101;noa=nk</deviceIdentifier></calledDevice><localConnectionInfo>connected</localConnectionInfo><cause>newCall</cause></OriginatedEvent>";
    let Message::Event {
        event: Event::Connection(event),
        ..
    } = message(document)
    else {
        panic!("no connection event")
    };
    assert_eq!(event.kind, Kind::Originated);
    assert_eq!(event.calling, Some("302118840100".into()));
    assert_eq!(event.called, Some("302118840101".into()));
    assert_eq!(event.local, Some(LocalConnectionState::Connected));
}

#[test]
fn the_sheets_delivered_event_is_read_with_its_acd_hint() {
    let event = event(
        "DeliveredEvent",
        "<connection><callID>FF00010000000000EC6114647E570000</callID><deviceID>3021061290002</deviceID></connection>\
         <alertingDevice><deviceIdentifier>N&lt;3021061290002&gt;;noa=nk</deviceIdentifier></alertingDevice>\
         <callingDevice><deviceIdentifier>N&lt;7868772298&gt;Line71001;displayNumber=7868772298;uid=x</deviceIdentifier>\
         </callingDevice><calledDevice><notKnown/></calledDevice>\
         <lastRedirectionDevice><notRequired/></lastRedirectionDevice>\
         <localConnectionInfo>alerting</localConnectionInfo><cause>enteringDistribution</cause>\
         <callCharacteristics><acdCall>true</acdCall></callCharacteristics>",
    );
    let expected = ConnectionEvent {
        kind: Kind::Delivered,
        connection: connection("FF00010000000000EC6114647E570000", "3021061290002"),
        subject: Some("3021061290002".into()),
        calling: Some("7868772298".into()),
        called: None,
        releasing: None,
        local: Some(LocalConnectionState::Alerting),
        acd: Some(true),
    };
    assert_eq!(event, Event::Connection(expected));
}

#[test]
fn every_connection_event_is_read_from_its_own_elements_in_every_dialect() {
    for (name, kind, connection_name, subject) in [
        (
            "ServiceInitiatedEvent",
            Kind::ServiceInitiated,
            "initiatedConnection",
            "initiatingDevice",
        ),
        (
            "OriginatedEvent",
            Kind::Originated,
            "originatedConnection",
            "callingDevice",
        ),
        ("DeliveredEvent", Kind::Delivered, "connection", "alertingDevice"),
        (
            "EstablishedEvent",
            Kind::Established,
            "establishedConnection",
            "answeringDevice",
        ),
        ("HeldEvent", Kind::Held, "heldConnection", "holdingDevice"),
        (
            "RetrievedEvent",
            Kind::Retrieved,
            "retrievedConnection",
            "retrievingDevice",
        ),
        (
            "ConnectionClearedEvent",
            Kind::ConnectionCleared,
            "droppedConnection",
            "releasingDevice",
        ),
        ("DivertedEvent", Kind::Diverted, "connection", "divertingDevice"),
        ("QueuedEvent", Kind::Queued, "queuedConnection", "queue"),
        ("FailedEvent", Kind::Failed, "failedConnection", "failingDevice"),
        (
            "NetworkReachedEvent",
            Kind::NetworkReached,
            "outboundConnection",
            "networkInterfaceUsed",
        ),
    ] {
        let event = event(
            name,
            &format!(
                "<{connection_name}><callID>81</callID><deviceID>3001</deviceID></{connection_name}>\
                 <{subject}><deviceIdentifier>tel:3002</deviceIdentifier></{subject}>\
                 <localConnectionInfo>connected</localConnectionInfo><somethingNew><x>1</x></somethingNew>"
            ),
        );
        let Event::Connection(event) = event else {
            panic!("{name}")
        };
        assert_eq!(event.kind, kind, "{name}");
        assert_eq!(event.connection, connection("81", "3001"), "{name}");
        assert_eq!(event.subject, Some("3002".into()), "{name}");
    }
}

#[test]
fn ids_are_read_in_any_case_and_devices_with_or_without_an_identifier_element() {
    let event = event(
        "ConnectionClearedEvent",
        "<droppedConnection><callId>81</callId><deviceId>3001</deviceId></droppedConnection>\
         <releasingDevice>sip:3001</releasingDevice>",
    );
    let Event::Connection(event) = event else {
        panic!("no connection event")
    };
    assert_eq!(event.connection, connection("81", "3001"));
    assert_eq!(event.releasing, Some("3001".into()));
}

#[test]
fn conference_and_transfer_carry_both_old_calls_and_the_resulting_connections() {
    for (name, list, by, kind) in [
        (
            "ConferencedEvent",
            "conferenceConnections",
            "conferencingDevice",
            MergeKind::Conferenced,
        ),
        (
            "TransferedEvent",
            "transferredConnections",
            "transferringDevice",
            MergeKind::Transferred,
        ),
        (
            "TransferredEvent",
            "transferredConnections",
            "transferringDevice",
            MergeKind::Transferred,
        ),
    ] {
        let event = event(
            name,
            &format!(
                "<primaryOldCall><callID>82</callID><deviceID>3001</deviceID></primaryOldCall>\
                 <secondaryOldCall><callID>81</callID><deviceID>3001</deviceID></secondaryOldCall>\
                 <{by}><deviceIdentifier>3001</deviceIdentifier></{by}>\
                 <{list}><connectionListItem><newConnection><callID>83</callID><deviceID>3002</deviceID></newConnection>\
                 <oldConnection><callID>82</callID><deviceID>3002</deviceID></oldConnection></connectionListItem>\
                 <connectionListItem><newConnection><callID>83</callID><deviceID>3003</deviceID></newConnection>\
                 </connectionListItem></{list}><localConnectionInfo>null</localConnectionInfo>"
            ),
        );
        let expected = MergeEvent {
            kind,
            primary_old_call: connection("82", "3001"),
            secondary_old_call: Some(connection("81", "3001")),
            by: Some("3001".into()),
            connections: vec![
                ConnectionListItem {
                    new: Some(connection("83", "3002")),
                    old: Some(connection("82", "3002")),
                },
                ConnectionListItem {
                    new: Some(connection("83", "3003")),
                    old: None,
                },
            ],
            local: Some(LocalConnectionState::Null),
            acd: None,
        };
        assert_eq!(event, Event::Merge(expected), "{name}");
    }
}

#[test]
fn call_cleared_and_call_information_are_read_in_every_dialect() {
    assert_eq!(
        event(
            "CallClearedEvent",
            "<clearedCall><callID>81</callID></clearedCall><cause>normalClearing</cause>"
        ),
        Event::CallCleared(CallCleared {
            call: "81".into(),
            releasing: None
        })
    );
    assert_eq!(
        event(
            "CallInformationEvent",
            "<connection><callID>81</callID><deviceID>3001</deviceID></connection><device><deviceIdentifier>3001\
             </deviceIdentifier></device><callCharacteristics><acdCall>false</acdCall></callCharacteristics>"
        ),
        Event::CallInformation(CallInformation {
            connection: connection("81", "3001"),
            acd: Some(false)
        })
    );
}

#[test]
fn agent_events_are_read_with_and_without_an_agent_in_every_dialect() {
    for (name, kind) in [
        ("AgentLoggedOnEvent", AgentEventKind::LoggedOn),
        ("AgentLoggedOffEvent", AgentEventKind::LoggedOff),
        ("AgentReadyEvent", AgentEventKind::Ready),
        ("AgentNotReadyEvent", AgentEventKind::NotReady),
        ("AgentBusyEvent", AgentEventKind::Busy),
        ("AgentWorkingAfterCallEvent", AgentEventKind::WorkingAfterCall),
    ] {
        let device = "<agentDevice><deviceIdentifier>N&lt;3001&gt;;noa=nk</deviceIdentifier></agentDevice>";
        let mut expected = AgentEvent {
            kind,
            device: Some("3001".into()),
            agent: Some("4711".into()),
        };
        assert_eq!(
            event(
                name,
                &format!("{device}<agentID>4711</agentID><acdGroup>800</acdGroup>")
            ),
            Event::Agent(expected.clone()),
            "{name}"
        );
        expected.agent = None;
        assert_eq!(event(name, device), Event::Agent(expected), "{name}");
    }
}

#[test]
fn features_are_known_and_the_rest_is_unknown_by_name() {
    let device = "<device><deviceIdentifier>3001</deviceIdentifier></device>";
    assert_eq!(event("DoNotDisturbEvent", device), Event::Feature);
    assert_eq!(event("ForwardingEvent", device), Event::Feature);
    assert_eq!(
        in_every_dialect("<BrandNewEvent><monitorCrossRefID>7</monitorCrossRefID></BrandNewEvent>"),
        Message::Unknown("BrandNewEvent".into())
    );
}

#[test]
fn an_event_without_what_it_needs_is_refused_with_the_name_of_it() {
    for (document, missing) in [
        (
            "<HeldEvent><heldConnection><callID>81</callID></heldConnection></HeldEvent>",
            "monitorCrossRefID",
        ),
        (
            "<HeldEvent><monitorCrossRefID>7</monitorCrossRefID></HeldEvent>",
            "heldConnection",
        ),
        (
            "<HeldEvent><monitorCrossRefID>7</monitorCrossRefID><heldConnection><callID/></heldConnection></HeldEvent>",
            "heldConnection",
        ),
        (
            "<ConferencedEvent><monitorCrossRefID>7</monitorCrossRefID></ConferencedEvent>",
            "primaryOldCall",
        ),
        ("<MonitorStartResponse/>", "monitorCrossRefID"),
    ] {
        let error = Message::parse(document.as_bytes()).expect_err(document);
        assert!(error.to_string().contains(missing), "{error}");
    }
    assert!(matches!(Message::parse(b"<HeldEvent>"), Err(MessageError::Xml(_))));
}

#[test]
fn session_responses_are_read() {
    let granted = "<StartApplicationSessionPosResponse><sessionID>abc</sessionID><actualProtocolVersion>x\
                   </actualProtocolVersion><actualSessionDuration>120</actualSessionDuration><extensions>\
                   <actualHBT>30</actualHBT></extensions></StartApplicationSessionPosResponse>";
    let expected = SessionGranted {
        session_id: Some("abc".into()),
        duration: Some(120),
    };
    assert_eq!(
        in_every_dialect(granted),
        Message::Response(Response::SessionStarted(expected))
    );
    let renewed = "<ResetApplicationSessionTimerPosResponse><actualSessionDuration>60</actualSessionDuration>\
                   </ResetApplicationSessionTimerPosResponse>";
    assert_eq!(
        in_every_dialect(renewed),
        Message::Response(Response::SessionRenewed(Some(60)))
    );
    let refused = "<StartApplicationSessionNegResponse><errorCode><definedError>invalidApplicationInfo</definedError>\
                   </errorCode></StartApplicationSessionNegResponse>";
    let Message::Response(Response::Refused(error)) = in_every_dialect(refused) else {
        panic!("not refused")
    };
    assert_eq!(
        error.to_string(),
        "the switch refuses the session: user or password is wrong (invalidApplicationInfo)"
    );
}

#[test]
fn system_status_is_read_with_and_without_a_value() {
    for (body, status) in [
        ("", SystemStatus::Normal),
        ("<systemStatus>normal</systemStatus>", SystemStatus::Normal),
        ("<systemStatus>messagesLost</systemStatus>", SystemStatus::MessagesLost),
        ("<systemStatus>disabled</systemStatus>", SystemStatus::Disabled),
        ("<systemStatus>overloadReached</systemStatus>", SystemStatus::Other),
    ] {
        assert_eq!(
            in_every_dialect(&format!("<SystemStatus>{body}</SystemStatus>")),
            Message::SystemStatus(status)
        );
    }
}

fn device_entries(entries: &str) -> Vec<SnapshotEntry> {
    let document = format!(
        "<SnapshotDeviceResponse><crossRefIDorSnapshotData><snapshotData>{entries}</snapshotData>\
         </crossRefIDorSnapshotData></SnapshotDeviceResponse>"
    );
    match in_every_dialect(&document) {
        Message::Response(Response::DeviceSnapshot(SnapshotContent::Entries(entries))) => entries,
        other => panic!("{other:?}"),
    }
}

fn entry_with(state: &str) -> String {
    format!(
        "<snapshotDeviceResponseInfo><connectionIdentifier><callID>81</callID><deviceID>3001</deviceID>\
         </connectionIdentifier>{state}</snapshotDeviceResponseInfo>"
    )
}

#[test]
fn a_device_snapshot_tells_how_each_call_stands_for_the_device() {
    let simple = |state: &str| format!("<localCallState><simpleCallState>{state}</simpleCallState></localCallState>");
    let compound = |states: &[&str]| {
        let states = states.join("</localConnectionState><localConnectionState>");
        let states = format!("<localConnectionState>{states}</localConnectionState>");
        format!("<localCallState><compoundCallState>{states}</compoundCallState></localCallState>")
    };
    for (state, kind) in [
        (simple("callEstablished"), Some(Kind::Established)),
        (simple("callEstablishedHeld"), Some(Kind::Held)),
        (simple("callEstablishedOnHold"), Some(Kind::Established)),
        (simple("callReceived"), Some(Kind::Delivered)),
        (simple("callDelivered"), Some(Kind::Originated)),
        (simple("somethingNew"), None),
        (compound(&["connected", "connected"]), Some(Kind::Established)),
        (compound(&["hold", "connected"]), Some(Kind::Held)),
        (compound(&["alerting", "connected"]), Some(Kind::Delivered)),
        (compound(&["connected", "alerting"]), Some(Kind::Originated)),
        (
            "<localConnectionInfo>initiated</localConnectionInfo>".into(),
            Some(Kind::ServiceInitiated),
        ),
        (String::new(), None),
    ] {
        let entries = device_entries(&entry_with(&state));
        assert_eq!(entries.len(), 1, "{state}");
        assert_eq!(entries[0].kind, kind, "{state}");
        assert_eq!(entries[0].device, Some("3001".into()));
    }
    assert_eq!(device_entries(&entry_with(&simple("callNull"))), []);
    assert_eq!(device_entries(""), []);
}

#[test]
fn a_snapshot_in_parts_names_the_parts_to_come() {
    let response = "<SnapshotDeviceResponse><crossRefIDorSnapshotData><serviceCrossRefID>9</serviceCrossRefID>\
                    </crossRefIDorSnapshotData></SnapshotDeviceResponse>";
    assert_eq!(
        in_every_dialect(response),
        Message::Response(Response::DeviceSnapshot(SnapshotContent::Follows("9".into())))
    );
    let entry = entry_with("<localCallState><simpleCallState>callReceived</simpleCallState></localCallState>");
    let part = format!(
        "<SnapshotDeviceData><serviceCrossRefID>9</serviceCrossRefID><segmentID>1</segmentID>\
         <lastSegment>false</lastSegment><snapshotData>{entry}</snapshotData></SnapshotDeviceData>"
    );
    let Message::SnapshotSegment {
        cross_ref,
        entries,
        last,
    } = in_every_dialect(&part)
    else {
        panic!("no segment")
    };
    assert_eq!((cross_ref.as_str(), entries.len(), last), ("9", 1, false));
}

#[test]
fn agents_are_listed_with_their_states() {
    let document = "<GetAgentStateResponse><agentStateList><agentStateEntry><agentID>4711</agentID>\
                    <loggedOnState>true</loggedOnState><agentInfo><agentInfoItem><agentState>agentReady</agentState>\
                    </agentInfoItem></agentInfo></agentStateEntry><agentStateEntry><loggedOnState>false</loggedOnState>\
                    </agentStateEntry></agentStateList></GetAgentStateResponse>";
    let expected = vec![
        AgentEntry {
            agent: Some("4711".into()),
            kind: Some(AgentEventKind::Ready),
        },
        AgentEntry {
            agent: None,
            kind: Some(AgentEventKind::LoggedOff),
        },
    ];
    assert_eq!(
        in_every_dialect(document),
        Message::Response(Response::AgentState(expected))
    );
}

#[test]
fn a_password_is_never_printed() {
    let login = SessionLogin {
        shape: LoginShape::Avaya,
        user: "qmon".into(),
        password: "s3cret".into(),
        session_id: None,
    };
    assert!(!format!("{login:?}").contains("s3cret"));
}

/// Reads a request back; the simulators have readers of their own.
fn read_back(document: &[u8]) -> Request {
    let element = xml::parse(document).expect("well-formed");
    let text = |path: &[&str]| element.at(path).map(|found| found.text.clone()).unwrap_or_default();
    let ids = |name: &str| ConnectionId {
        call: text(&[name, "callID"]),
        device: element.at(&[name, "deviceID"]).map(|found| found.text.clone()),
    };
    let cross_ref = || MonitorCrossRefId(text(&["monitorCrossRefID"]));
    match element.name.as_str() {
        "StartApplicationSession" => Request::StartApplicationSession(StartApplicationSession {
            application_id: text(&["applicationInfo", "applicationID"]),
            login: element.at(&["applicationInfo", "applicationSpecificInfo"]).map(login),
            protocol_version: text(&["requestedProtocolVersions", "protocolVersion"]),
            duration: text(&["requestedSessionDuration"]).parse().expect("seconds"),
        }),
        "ResetApplicationSessionTimer" => Request::ResetApplicationSessionTimer {
            session_id: text(&["sessionID"]),
            duration: text(&["requestedSessionDuration"]).parse().expect("seconds"),
        },
        "StopApplicationSession" => Request::StopApplicationSession {
            session_id: text(&["sessionID"]),
        },
        "SystemRegister" => Request::SystemRegister,
        "RequestSystemStatus" => Request::RequestSystemStatus,
        "SystemStatusResponse" => Request::SystemStatusResponse,
        "MonitorStart" => Request::MonitorStart {
            device: text(&["monitorObject", "deviceObject"]),
        },
        "MonitorStop" => Request::MonitorStop { cross_ref: cross_ref() },
        "MonitorStopResponse" => Request::MonitorStopResponse,
        "SnapshotDevice" => Request::SnapshotDevice {
            device: text(&["snapshotObject"]),
        },
        "SnapshotCall" => Request::SnapshotCall {
            connection: ids("snapshotObject"),
        },
        "GetAgentState" => Request::GetAgentState {
            device: text(&["device"]),
        },
        "SingleStepConferenceCall" => Request::SingleStepConferenceCall {
            active_call: ids("activeCall"),
            device_to_join: text(&["deviceToJoin"]),
        },
        other => panic!("{other}"),
    }
}

fn login(specific: &Element) -> SessionLogin {
    let avaya = specific.child("SessionLoginInfo");
    let fields = avaya.unwrap_or(specific);
    let text = |name: &str| fields.child(name).map(|found| found.text.clone());
    SessionLogin {
        shape: avaya.map_or(LoginShape::OpenScapeBusiness, |info| {
            assert_eq!(info.type_name(), Some("SessionLoginInfo"));
            LoginShape::Avaya
        }),
        user: text("userName").or_else(|| text("user")).unwrap_or_default(),
        password: text("password").unwrap_or_default(),
        session_id: text("sessionID"),
    }
}

fn any_request() -> impl Strategy<Value = Request> {
    let text = || "[!-~äß]{1,12}";
    let connection = (text(), proptest::option::of(text())).prop_map(|(call, device)| ConnectionId { call, device });
    let login = (text(), text(), proptest::option::of(text()), any::<bool>()).prop_map(
        |(user, password, session_id, avaya)| SessionLogin {
            shape: if avaya {
                LoginShape::Avaya
            } else {
                LoginShape::OpenScapeBusiness
            },
            user,
            password,
            session_id: session_id.filter(|_| avaya),
        },
    );
    let start = (text(), proptest::option::of(login), text(), any::<u64>()).prop_map(
        |(application_id, login, protocol_version, duration)| {
            Request::StartApplicationSession(StartApplicationSession {
                application_id,
                login,
                protocol_version,
                duration,
            })
        },
    );
    prop_oneof![
        start,
        (text(), any::<u64>())
            .prop_map(|(session_id, duration)| Request::ResetApplicationSessionTimer { session_id, duration }),
        text().prop_map(|session_id| Request::StopApplicationSession { session_id }),
        prop_oneof![
            Just(Request::SystemRegister),
            Just(Request::RequestSystemStatus),
            Just(Request::SystemStatusResponse),
            Just(Request::MonitorStopResponse)
        ],
        text().prop_map(|device| Request::MonitorStart { device }),
        text().prop_map(|id| Request::MonitorStop {
            cross_ref: MonitorCrossRefId(id)
        }),
        text().prop_map(|device| Request::SnapshotDevice { device }),
        connection
            .clone()
            .prop_map(|connection| Request::SnapshotCall { connection }),
        text().prop_map(|device| Request::GetAgentState { device }),
        (connection, text()).prop_map(|(active_call, device_to_join)| Request::SingleStepConferenceCall {
            active_call,
            device_to_join
        }),
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_back_as_it_was_written(request in any_request()) {
        prop_assert_eq!(read_back(&request.to_document(EDITION_4)), request);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::parse(&bytes);
    }

    #[test]
    fn a_damaged_event_never_panics(at in 0_usize..995, with in any::<u8>(), cut in 0_usize..=995) {
        let mut bytes = SERVICE_INITIATED.as_bytes().to_vec();
        bytes[at] = with;
        bytes.truncate(cut);
        let _ = Message::parse(&bytes);
    }

    #[test]
    fn any_elements_in_any_order_never_panic(names in proptest::collection::vec(0_usize..16, 1..24)) {
        const NAMES: [&str; 16] = [
            "ConferencedEvent", "HeldEvent", "SnapshotDeviceResponse", "CSTAErrorCode", "GetAgentStateResponse",
            "monitorCrossRefID", "heldConnection", "callID", "deviceID", "primaryOldCall", "connectionIdentifier",
            "localCallState", "simpleCallState", "compoundCallState", "agentStateList", "agentStateEntry",
        ];
        let (mut open, mut close) = (String::new(), String::new());
        for name in names.iter().map(|&name| NAMES[name]) {
            open = format!("{open}<{name}>x");
            close = format!("</{name}>{close}");
        }
        let _ = Message::parse(format!("{open}{close}").as_bytes());
    }
}
