//! From SIP on the mirror to sound: the CTI source tells of calls and of no media.

use super::*;
use crate::filter::SignallingPorts;
use crate::resolver::{Resolver, Signalling, Transport};

const DESK: &str = "10.1.1.20:5060";
const PBX: &str = "10.1.1.1:5060";

/// Shows SIP to the resolver, and what it makes of it to the engine.
fn show(house: &mut House, resolver: &mut Resolver, source: &str, destination: &str, text: &str) {
    resolver.handle_signalling(&Signalling {
        captured: house.now,
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        transport: Transport::Udp,
        payload: text.as_bytes(),
    });
    while let Some((origin, event)) = resolver.poll_event() {
        house.engine.handle_sighting(origin, &event, house.now);
    }
    house.collect();
}

fn message(first: &str, cseq: &str, address: &str, attribute: &str) -> String {
    let (ip, port) = address.rsplit_once(':').expect("an address with a port");
    let body = format!("v=0\r\nc=IN IP4 {ip}\r\nm=audio {port} RTP/AVP 0\r\n{attribute}\r\n");
    let length = body.len();
    let contact = match address {
        PHONE => "<sip:6f2a@10.1.1.20>;+u.sip!devicename.ccm.cisco.com=\"SEP001122334455\"",
        _ => "<sip:10.1.1.1:5060>",
    };
    format!(
        "{first}\r\nVia: SIP/2.0/UDP x\r\nFrom: <sip:3001@pbx>;tag=a\r\nTo: <sip:0301234@pbx>;tag=b\r\nCall-ID: 1\r\n\
         CSeq: {cseq}\r\nContact: {contact}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn offer(house: &mut House, resolver: &mut Resolver, cseq: &str, attribute: &str) {
    let invite = message("INVITE sip:0301234@pbx SIP/2.0", cseq, PHONE, attribute);
    show(house, resolver, DESK, PBX, &invite);
    let ok = message("SIP/2.0 200 OK", cseq, GATEWAY, attribute);
    show(house, resolver, PBX, DESK, &ok);
}

/// An agent known by extension or device, who talks; SIP alone tells where.
fn overheard(by: impl Fn(AgentUpdate) -> AgentUpdate, device: &str) -> (House, Resolver) {
    let mut house = House::new();
    house.cti(&by(AgentUpdate::new("4711", AgentState::Talking)).into());
    house.device_call(device, "81", CallEventKind::Established, Some(true));
    house.start(ANNA, "4711", None);
    let ports = SignallingPorts {
        sip: vec![5060],
        sccp: vec![2000],
    };
    let mut resolver = Resolver::new(ports, house.now);
    offer(&mut house, &mut resolver, "1 INVITE", "");
    (house, resolver)
}

#[test]
fn an_agent_known_by_extension_or_device_alone_is_heard_by_what_sip_tells() {
    let by_extension = |update| AgentUpdate {
        extension: Some("3001".into()),
        ..update
    };
    let by_device = |update| AgentUpdate {
        device: Some("SEP001122334455".into()),
        ..update
    };
    let is_heard = |mut house: House| {
        assert!(house.heard(PHONE, GATEWAY, 50) > 20);
        assert!(house.heard(GATEWAY, PHONE, 50) > 20);
        let other = "10.9.9.9:4000";
        assert_eq!(house.heard(other, GATEWAY, 20), 0);
    };
    is_heard(overheard(by_extension, "3001").0);
    is_heard(overheard(by_device, "SEP001122334455").0);
    is_heard(overheard(|update| by_device(by_extension(update)), "3001").0);
}

#[test]
fn hold_and_hang_up_seen_in_sip_end_the_sound() {
    let by_extension = |update| AgentUpdate {
        extension: Some("3001".into()),
        ..update
    };
    let (mut house, mut resolver) = overheard(by_extension, "3001");
    assert!(house.heard(PHONE, GATEWAY, 50) > 20);
    offer(&mut house, &mut resolver, "2 INVITE", "a=inactive");
    assert_eq!(house.heard(PHONE, GATEWAY, 20), 0);
    offer(&mut house, &mut resolver, "3 INVITE", "a=sendrecv");
    assert!(house.heard(PHONE, GATEWAY, 50) > 20);
    let bye = message("BYE sip:0301234@pbx SIP/2.0", "4 BYE", PHONE, "");
    show(&mut house, &mut resolver, DESK, PBX, &bye);
    assert_eq!(house.heard(PHONE, GATEWAY, 20), 0);
}
