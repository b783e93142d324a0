use std::net::Ipv6Addr;

use silentmon_proto::cti::{MediaDirection, MediaStarted, MediaStopped};
use silentmon_proto::ids::MediaAddress;

use super::*;

const CALL: ConnectionCallId = ConnectionCallId(16_777_345);
const PHONE: &str = "10.86.143.20:24678";
const FAR_END: &str = "10.86.143.99:18000";

fn address(text: &str) -> MediaAddress {
    text.parse().expect("an address")
}

fn rtp(floating: &mut Floating, client: &str) {
    floating
        .push_text(Tag::CONNECTION_DEVICE_ID, "3001")
        .push_text(Tag::CLIENT_ADDRESS, client)
        .push_text(Tag::AGENT_ID, "1001")
        .push_text(Tag::AGENT_EXTENSION, "3001");
}

fn started(direction: RtpDirection, client: &str, port: u32) -> RtpStartedEvent {
    let mut event = RtpStartedEvent {
        peripheral_id: Some(PERIPHERAL),
        client_port: port,
        direction,
        payload_type: MediaPayloadType::G711_MU_LAW_64K,
        connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
        connection_call_id: Some(CALL),
        ..RtpStartedEvent::default()
    };
    rtp(&mut event.floating, client);
    event
}

fn input() -> RtpStartedEvent {
    started(RtpDirection::INPUT, "10.86.143.20", 24678)
}

fn output(client: &str) -> RtpStartedEvent {
    let mut event = started(RtpDirection::OUTPUT, client, 24678);
    event
        .floating
        .push_text(Tag::SENDING_ADDRESS, "10.86.143.99")
        .push_value(Tag::SENDING_PORT, 18000_u32);
    event
}

fn stopped(direction: RtpDirection) -> RtpStoppedEvent {
    let mut event = RtpStoppedEvent {
        peripheral_id: Some(PERIPHERAL),
        client_port: 24678,
        direction,
        connection_device_id_type: Some(ConnectionDeviceIdType::STATIC),
        connection_call_id: Some(CALL),
        ..RtpStoppedEvent::default()
    };
    rtp(&mut event.floating, "10.86.143.20");
    event
}

fn media(direction: Option<MediaDirection>, remote: Option<&str>) -> CtiEvent {
    CtiEvent::from(MediaStarted {
        agent: Some("1001".into()),
        device: Some("3001".into()),
        call: Some("5000/16777345".into()),
        remote: remote.map(address),
        direction,
        codec: Some("PCMU".to_owned()),
        ..MediaStarted::at(address(PHONE))
    })
}

fn told(events: impl IntoIterator<Item = Message>) -> Vec<CtiEvent> {
    let mut lab = Lab::open();
    events.into_iter().for_each(|event| lab.say(A, event));
    lab.take_cti()
}

#[test]
fn an_input_event_tells_where_the_phone_receives() {
    let receive = media(Some(MediaDirection::Receive), None);
    assert_eq!(told([input().into()]), [receive]);
}

#[test]
fn an_output_event_tells_where_the_phone_sends_to() {
    let told = told([input().into(), output("10.86.143.20").into()]);
    assert_eq!(told[1], media(Some(MediaDirection::Send), Some(FAR_END)));
}

#[test]
fn an_output_event_waits_for_the_input_event() {
    let told = told([output("10.86.143.20").into(), input().into()]);
    assert_eq!(
        told,
        [
            media(Some(MediaDirection::Receive), Some(FAR_END)),
            media(Some(MediaDirection::Send), Some(FAR_END))
        ]
    );
}

#[test]
fn the_far_end_is_never_taken_for_the_phone() {
    assert_eq!(told([output("10.86.143.99").into()]), []);
    let told = told([output("10.86.143.99").into(), input().into()]);
    let is_phone = |event: &CtiEvent| matches!(event, CtiEvent::MediaStarted(media) if media.address == address(PHONE));
    assert!(told.len() == 2 && told.iter().all(is_phone), "{told:?}");
}

#[test]
fn one_event_may_stand_for_both_directions() {
    let mut event = started(RtpDirection::BIDIRECTIONAL, "10.86.143.20", 24678);
    event
        .floating
        .push_text(Tag::SENDING_ADDRESS, "10.86.143.99")
        .push_value(Tag::SENDING_PORT, 18000_u32);
    assert_eq!(told([event.into()]), [media(None, Some(FAR_END))]);
}

#[test]
fn reads_ipv6_addresses_as_text_and_as_bytes() {
    let mut bytes = started(RtpDirection::INPUT, "", 24678);
    let ip: Ipv6Addr = "2001:db8::20".parse().expect("an address");
    bytes.floating.push_bytes(Tag::CLIENT_ADDRESS_IPV6, &ip.octets());
    let text = started(RtpDirection::INPUT, "2001:db8::20", 24678);
    for event in [bytes, text] {
        let told = told([event.into()]);
        let Some(CtiEvent::MediaStarted(media)) = told.first() else {
            panic!("expected media, found {told:?}");
        };
        assert_eq!(media.address, address("[2001:db8::20]:24678"));
    }
}

#[test]
fn media_stop_at_the_address_they_started_at() {
    let stop = |direction| {
        CtiEvent::from(MediaStopped {
            agent: Some("1001".into()),
            device: Some("3001".into()),
            call: Some("5000/16777345".into()),
            address: Some(address(PHONE)),
            direction: Some(direction),
        })
    };
    let told = told([
        input().into(),
        output("10.86.143.20").into(),
        stopped(RtpDirection::OUTPUT).into(),
        stopped(RtpDirection::INPUT).into(),
    ]);
    assert_eq!(told[2..], [stop(MediaDirection::Send), stop(MediaDirection::Receive)]);
}

#[test]
fn a_late_stop_of_the_old_port_leaves_the_new_one() {
    let told = told([
        input().into(),
        started(RtpDirection::INPUT, "10.86.143.20", 30000).into(),
        stopped(RtpDirection::INPUT).into(),
        output("10.86.143.20").into(),
    ]);
    let Some(CtiEvent::MediaStarted(media)) = told.last() else {
        panic!("expected media, found {told:?}");
    };
    assert_eq!(media.address, address("10.86.143.20:30000"));
}

#[test]
fn video_is_no_media_to_listen_to() {
    let event = RtpStartedEvent {
        rtp_type: RtpType::VIDEO,
        ..input()
    };
    assert_eq!(told([event.into()]), []);
}
