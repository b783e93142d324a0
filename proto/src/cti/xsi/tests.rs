use proptest::prelude::*;

use super::stream::MAX_DOCUMENT;
use super::*;

/// Protocol sheet 3.1: the first two documents of a real stream.
const CHANNEL: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Channel xmlns=\"http://schema.broadsoft.com/xsi\">\
    <channelId>64eddc79-b707-4827-aacd-487fb5cb8427</channelId><expires>86400</expires></Channel>";
const SUBSCRIBED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xsi:Event xmlns:xsi=\"http://schema.broadsoft.com/xsi\" \
    xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\" xsi1:type=\"xsi:SubscriptionEvent\">\
    <xsi:eventID>957d0482-6cdd-4189-b477-19c6793f113a</xsi:eventID><xsi:sequenceNumber>1</xsi:sequenceNumber>\
    <xsi:userId>username@qsc.de</xsi:userId><xsi:externalApplicationId>1234</xsi:externalApplicationId>\
    <xsi:subscriptionId>98ed3939-c113-419c-8012-092556b85c66</xsi:subscriptionId>\
    <xsi:channelId>64eddc79-b707-4827-aacd-487fb5cb8427</xsi:channelId>\
    <xsi:eventData xsi1:type=\"xsi:CallSubscriptionEvent\"><xsi:hookStatus>On-Hook</xsi:hookStatus></xsi:eventData>\
    </xsi:Event>";
const HEARTBEAT: &str = "<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>";

fn event(data_type: &str, data: &str) -> String {
    format!(
        "<xsi:Event xmlns:xsi=\"{NAMESPACE}\" xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi1:type=\"xsi:SubscriptionEvent\"><xsi:eventID>e1</xsi:eventID><xsi:sequenceNumber>9</xsi:sequenceNumber>\
         <xsi:userId>u@d</xsi:userId><xsi:subscriptionId>s1</xsi:subscriptionId><xsi:targetId>t@d</xsi:targetId>\
         <xsi:eventData xsi1:type=\"xsi:{data_type}\">{data}</xsi:eventData></xsi:Event>"
    )
}

fn data(data_type: &str, data: &str) -> EventData {
    match StreamItem::parse(event(data_type, data).as_bytes()) {
        Ok(StreamItem::Event(event)) => match event.kind {
            EventKind::Subscription(data) => data,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_the_real_stream_of_the_sheet() {
    assert_eq!(CHANNEL.len(), 0xb5, "as the chunk's size says");
    let mut reader = StreamReader::default();
    let documents = reader.push(format!("{CHANNEL}{SUBSCRIBED}").as_bytes()).expect("small");
    let items: Vec<_> = documents.iter().map(|document| StreamItem::parse(document)).collect();
    let channel_id = "64eddc79-b707-4827-aacd-487fb5cb8427".to_owned();
    assert_eq!(
        items,
        [
            Ok(StreamItem::Channel(Channel {
                channel_id: channel_id.clone(),
                expires: Some(86_400),
            })),
            Ok(StreamItem::Event(Box::new(Event {
                event_id: Some("957d0482-6cdd-4189-b477-19c6793f113a".into()),
                sequence_number: Some(1),
                user_id: Some("username@qsc.de".into()),
                external_application_id: Some("1234".into()),
                subscription_id: Some("98ed3939-c113-419c-8012-092556b85c66".into()),
                channel_id: Some(channel_id),
                target_id: None,
                kind: EventKind::Subscription(EventData::CallSubscription(CallSubscription {
                    resync: false,
                    calls: vec![],
                    conference: None,
                    hook_status: Some(HookStatus::OnHook),
                })),
            }))),
        ]
    );
    assert_eq!((reader.pending(), reader.skipped()), (0, 0));
}

#[test]
fn a_heartbeat_is_a_document_without_content() {
    let documents = StreamReader::default().push(HEARTBEAT.as_bytes()).expect("small");
    assert_eq!(documents, [HEARTBEAT.as_bytes()]);
    assert_eq!(StreamItem::parse(&documents[0]), Ok(StreamItem::HeartBeat));
}

#[test]
fn reads_all_that_matters_of_a_call() {
    let text = "<xsi:call><xsi:callId>callhalf-11296441472:0</xsi:callId>\
        <xsi:extTrackingId>9248474:1</xsi:extTrackingId><xsi:personality>Terminator</xsi:personality>\
        <xsi:state>Active</xsi:state><xsi:releasingParty>remoteRelease</xsi:releasingParty>\
        <xsi:remoteParty><xsi:name>A &amp; B</xsi:name><xsi:address countryCode=\"49\">tel:+49301234</xsi:address>\
        <xsi:callType>Network</xsi:callType></xsi:remoteParty>\
        <xsi:endpoint xsi1:type=\"xsi:AccessEndpoint\"><xsi:addressOfRecord>sip:3001@d</xsi:addressOfRecord></xsi:endpoint>\
        <xsi:startTime>1412607268159</xsi:startTime><xsi:answerTime>1412607269000</xsi:answerTime>\
        <xsi:releaseCause><xsi:internalReleaseCause>Busy</xsi:internalReleaseCause></xsi:releaseCause>\
        <xsi:acdCallInfo><xsi:acdUserId>q@d</xsi:acdUserId><xsi:acdName>Claims</xsi:acdName>\
        <xsi:acdNumber>tel:8001</xsi:acdNumber><xsi:numCallsInQueue>2</xsi:numCallsInQueue>\
        <xsi:callingPartyInfo><xsi:address>tel:+49301234</xsi:address></xsi:callingPartyInfo></xsi:acdCallInfo></xsi:call>";
    let expected = Call {
        call_id: "callhalf-11296441472:0".into(),
        ext_tracking_id: Some("9248474:1".into()),
        network_call_id: None,
        personality: Some(Personality::Terminator),
        state: Some(CallState::Active),
        releasing_party: Some(XsiReleasingParty::Remote),
        remote_party: RemoteParty {
            name: Some("A & B".into()),
            address: Some("+49301234".into()),
            call_type: Some("Network".into()),
            ..RemoteParty::default()
        },
        address_of_record: Some("sip:3001@d".into()),
        start_time: Some(1_412_607_268_159),
        answer_time: Some(1_412_607_269_000),
        internal_release_cause: Some("Busy".into()),
        acd: Some(AcdCallInfo {
            user_id: Some("q@d".into()),
            name: Some("Claims".into()),
            number: Some("8001".into()),
            calls_in_queue: Some(2),
            calling_address: Some("+49301234".into()),
        }),
    };
    assert_eq!(
        data("CallAnsweredEvent", text),
        EventData::Call(CallEventType::Answered, Box::new(expected.clone()))
    );
    let snapshot = format!("<xsi:calls>{text}</xsi:calls><xsi:hookStatus>Off-Hook</xsi:hookStatus>");
    assert_eq!(
        data("CallSubscriptionResyncEvent", &snapshot),
        EventData::CallSubscription(CallSubscription {
            resync: true,
            calls: vec![expected],
            conference: None,
            hook_status: Some(HookStatus::OffHook),
        })
    );
}

#[test]
fn every_type_of_the_sheet_is_known() {
    let call = "<xsi:call><xsi:callId>c</xsi:callId></xsi:call>";
    for name in [
        "CallOriginatingEvent",
        "CallOriginatedEvent",
        "CallCollectingEvent",
        "CallReceivedEvent",
        "CallAnsweredEvent",
        "CallUpdatedEvent",
        "CallHeldEvent",
        "CallRetrievedEvent",
        "CallDetachedEvent",
        "CallForwardedEvent",
        "CallRedirectedEvent",
        "CallTransferredEvent",
        "CallPickedUpEvent",
        "CallBargedInEvent",
        "CallReleasingEvent",
        "CallReleasedEvent",
        "CallRecordingStartedEvent",
        "CallRecordingStoppedEvent",
    ] {
        assert!(matches!(data(name, call), EventData::Call(..)), "{name}");
    }
    for name in ["Started", "Updated", "Held", "Retrieved", "Released"] {
        let conference = "<xsi:conference><xsi:conferenceParticipantList><xsi:conferenceParticipant>\
            <xsi:callId>c1</xsi:callId></xsi:conferenceParticipant></xsi:conferenceParticipantList></xsi:conference>";
        let found = data(&format!("Conference{name}Event"), conference);
        assert!(
            matches!(&found, EventData::Conference(_, conference) if conference.call_ids == ["c1"]),
            "{name}: {found:?}"
        );
    }
    for name in [
        "Added",
        "Abandoned",
        "AnsweredByAgent",
        "OfferedToAgent",
        "Bounced",
        "Overflowed",
        "Transferred",
        "Stranded",
    ] {
        let entry = "<xsi:queueEntry><xsi:callId>c1</xsi:callId></xsi:queueEntry>";
        let found = data(&format!("ACDCall{name}Event"), entry);
        assert!(
            matches!(&found, EventData::Queue(_, entry) if entry.call_id.as_deref() == Some("c1")),
            "{name}: {found:?}"
        );
    }
    assert_eq!(data("ACDAgentJoinUpdateEvent", ""), EventData::AgentJoinUpdate);
    assert_eq!(data("CallCenterMonitoringEvent", ""), EventData::CallCenterMonitoring);
    assert_eq!(
        data("HookStatusEvent", "<xsi:hookStatus>Off-Hook</xsi:hookStatus>"),
        EventData::Hook(HookStatus::OffHook)
    );
    assert_eq!(
        data(
            "DoNotDisturbEvent",
            "<xsi:info><xsi:active>true</xsi:active></xsi:info>"
        ),
        EventData::Service {
            name: "DoNotDisturbEvent".into(),
            active: Some(true),
        }
    );
    assert_eq!(
        data("VoiceMessagingEvent", ""),
        EventData::Other("VoiceMessagingEvent".into())
    );
}

#[test]
fn reads_an_agents_state_in_both_forms_of_the_sheet() {
    let plain = "<xsi:agentStateInfo><xsi:state>Available</xsi:state><xsi:stateTimestamp>1412607268159</xsi:stateTimestamp>\
        <xsi:signInTimestamp>1412607266974</xsi:signInTimestamp><xsi:totalAvailableTime>0</xsi:totalAvailableTime>\
        </xsi:agentStateInfo>";
    assert_eq!(
        data("AgentStateEvent", plain),
        EventData::AgentState(AgentStateInfo {
            state: Some(AgentAcdState::Available),
            state_timestamp: Some(1_412_607_268_159),
            unavailable_code: None,
            sign_in_timestamp: Some(1_412_607_266_974),
        })
    );
    let nested = "<xsi:stateInfo><xsi:state>Unavailable</xsi:state><xsi:stateTimestamp><xsi:value>1471291373547</xsi:value>\
        <xsi:severity>1</xsi:severity></xsi:stateTimestamp><xsi:unavailableCode>7</xsi:unavailableCode></xsi:stateInfo>";
    assert_eq!(
        data("AgentSubscriptionEvent", nested),
        EventData::AgentSubscription(Some(AgentStateInfo {
            state: Some(AgentAcdState::Unavailable),
            state_timestamp: Some(1_471_291_373_547),
            unavailable_code: Some("7".into()),
            sign_in_timestamp: None,
        }))
    );
    assert_eq!(data("AgentSubscriptionEvent", ""), EventData::AgentSubscription(None));
}

#[test]
fn a_guest_has_a_host_while_the_service_is_on() {
    let on = "<xsi:info><xsi:active>true</xsi:active><xsi:hostUserId>h@d</xsi:hostUserId></xsi:info>";
    assert_eq!(
        data("HotelingGuestEvent", on),
        EventData::Hoteling(Hoteling {
            active: true,
            host_user_id: Some("h@d".into()),
        })
    );
    for off in [
        "<xsi:info><xsi:active>false</xsi:active></xsi:info>",
        "<xsi:unassigned/>",
    ] {
        let expected = Hoteling {
            active: false,
            host_user_id: None,
        };
        assert_eq!(data("HotelingGuestEvent", off), EventData::Hoteling(expected), "{off}");
    }
}

#[test]
fn the_ends_of_subscriptions_and_channels_carry_their_reason() {
    for (name, kind) in [
        (
            "SubscriptionTerminatedEvent",
            EventKind::SubscriptionTerminated {
                reason: Some("Expired".into()),
            },
        ),
        (
            "ChannelTerminatedEvent",
            EventKind::ChannelTerminated {
                reason: Some("Expired".into()),
            },
        ),
        ("FutureEvent", EventKind::Other("FutureEvent".into())),
    ] {
        let text = format!(
            "<Event xmlns=\"{NAMESPACE}\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:type=\"{name}\">\
             <eventID>e</eventID><channelId>c</channelId><reason>Expired</reason></Event>"
        );
        let Ok(StreamItem::Event(event)) = StreamItem::parse(text.as_bytes()) else {
            panic!("{name}")
        };
        assert_eq!((event.kind, event.channel_id.as_deref()), (kind, Some("c")));
    }
}

#[test]
fn what_is_missing_is_named() {
    let no_call = StreamItem::parse(event("CallReceivedEvent", "").as_bytes()).expect_err("no call");
    assert_eq!(no_call.to_string(), "expected a call in <eventData>");
    let no_id = Subscription::parse(b"<Subscription/>").expect_err("no id");
    assert_eq!(no_id.to_string(), "expected subscriptionId in <Subscription>");
}

#[test]
fn composes_the_request_of_the_sheet() {
    let body = request::open_channel("KIWI-040D0D020D06040A0902080E010B0A0C", 1, 3600, "silentmon");
    assert_eq!(
        body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Channel xmlns=\"http://schema.broadsoft.com/xsi\">\
         <channelSetId>KIWI-040D0D020D06040A0902080E010B0A0C</channelSetId><priority>1</priority><weight>50</weight>\
         <expires>3600</expires><applicationId>silentmon</applicationId></Channel>"
    );
    assert_eq!(
        request::user("a b/c@example.com"),
        "/com.broadsoft.xsi-events/v2.0/user/a%20b%2Fc@example.com"
    );
    assert!(request::event_response("<1>").contains("<eventID>&lt;1&gt;</eventID>"));
}

#[test]
fn garbage_between_documents_is_skipped_and_counted() {
    let mut reader = StreamReader::default();
    let documents = reader
        .push(format!("\u{feff}  x</stray>{HEARTBEAT}<!-- > --><?pi >?>\r\n{HEARTBEAT}<!DOCTYPE a>").as_bytes())
        .expect("small");
    assert_eq!(documents.len(), 2);
    assert_eq!(reader.skipped(), 3 + 1 + 8);
    assert_eq!(reader.pending(), 0);
}

#[test]
fn markup_in_quotes_comments_and_character_data_ends_nothing() {
    let document = "<a b=\"</a>\" c='/>'><!-- </a> --><![CDATA[</a>]]><?p </a>?><!ignored></a>";
    let documents = StreamReader::default().push(document.as_bytes()).expect("small");
    assert_eq!(documents, [document.as_bytes()]);
}

#[test]
fn a_document_without_end_breaks_the_stream_but_not_the_reader() {
    let mut reader = StreamReader::default();
    assert_eq!(
        reader.push(&[&b"<a>"[..], &vec![b'x'; MAX_DOCUMENT]].concat()),
        Err(Oversized)
    );
    assert_eq!(
        reader.push(HEARTBEAT.as_bytes()).map(|documents| documents.len()),
        Ok(1)
    );
}

proptest! {
    #[test]
    fn chunk_borders_mean_nothing(sizes in proptest::collection::vec(1_usize..40, 1..80)) {
        let stream = [CHANNEL, HEARTBEAT, "\r\n", SUBSCRIBED, &event("CallSubscriptionEvent", "<![CDATA[<x>]]>"), HEARTBEAT].concat();
        let whole = StreamReader::default().push(stream.as_bytes()).expect("small");
        prop_assert_eq!(whole.len(), 5);
        let mut reader = StreamReader::default();
        let mut parts = Vec::new();
        let mut rest = stream.as_bytes();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, later) = rest.split_at((*size).min(rest.len()));
            parts.extend(reader.push(chunk).expect("small"));
            rest = later;
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for document in StreamReader::default().push(&bytes).expect("small") {
            let _ = StreamItem::parse(&document);
            let _ = Subscription::parse(&document);
        }
    }

    #[test]
    fn anything_like_xml_never_panics(text in "(<|>|/|Event|eventData|call|\"|'|!--|-->|!\\[CDATA\\[|\\]\\]|\\?| |xsi:type=|=){0,80}") {
        for document in StreamReader::default().push(text.as_bytes()).expect("small") {
            let _ = StreamItem::parse(&document);
        }
    }
}
