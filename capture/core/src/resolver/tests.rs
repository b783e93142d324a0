//! Calls as a mirror shows them: phones, proxies and PBXs that talk SIP, phones that talk SCCP.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use silentmon_proto::cti::{CtiEvent, MediaDirection, MediaStarted};

use super::*;

const PHONE: &str = "10.1.1.20";
const OTHER_PHONE: &str = "10.1.1.30";
const PBX: &str = "10.1.1.1";

struct Mirror {
    resolver: Resolver,
    now: Instant,
    /// Next byte of each direction of each connection.
    sequences: BTreeMap<(String, String), u32>,
}

/// A message to be sent: method or status, tags, body.
#[derive(Clone)]
struct Sip {
    first: String,
    method: &'static str,
    number: u32,
    call: &'static str,
    from: &'static str,
    to: &'static str,
    more: String,
    body: Option<String>,
}

fn request(method: &'static str, number: u32) -> Sip {
    Sip {
        first: format!("{method} sip:3002@pbx SIP/2.0"),
        method,
        number,
        call: "call-1",
        from: "<sip:3001@pbx>;tag=a",
        to: "<sip:3002@pbx>;tag=b",
        more: String::new(),
        body: None,
    }
}

fn invite() -> Sip {
    Sip {
        to: "<sip:3002@pbx>",
        ..request("INVITE", 1)
    }
}

fn response(status: u16, method: &'static str, number: u32) -> Sip {
    Sip {
        first: format!("SIP/2.0 {status} x"),
        ..request(method, number)
    }
}

fn audio(address: &str, attributes: &str) -> String {
    let (ip, port) = address.rsplit_once(':').unwrap();
    format!(
        "v=0\r\nc=IN IP4 {ip}\r\nm=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{attributes}\r\n"
    )
}

impl Sip {
    fn with(self, body: String) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    fn text(&self) -> String {
        let Self {
            first,
            method,
            number,
            call,
            from,
            to,
            more,
            body,
        } = self;
        let body = body.as_deref().unwrap_or_default();
        let length = body.len();
        format!(
            "{first}\r\nVia: SIP/2.0/UDP x;branch=1\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n\
             {more}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}

impl Mirror {
    fn new() -> Self {
        let ports = SignallingPorts {
            sip: vec![5060],
            sccp: vec![2000],
        };
        let now = Instant::from_parts(1000, 0);
        Self {
            resolver: Resolver::new(ports, now),
            now,
            sequences: BTreeMap::new(),
        }
    }

    /// Shows a datagram and tells what it was seen to mean.
    fn udp(&mut self, source: &str, destination: &str, message: &Sip) -> Vec<String> {
        let text = message.text();
        self.resolver.handle_signalling(&Signalling {
            captured: self.now,
            source: format!("{source}:5060").parse().unwrap(),
            destination: format!("{destination}:5060").parse().unwrap(),
            transport: Transport::Udp,
            payload: text.as_bytes(),
        });
        self.told()
    }

    fn tcp(&mut self, source: &str, destination: &str, bytes: &[u8]) -> Vec<String> {
        self.segment(source, destination, bytes, false)
    }

    fn segment(&mut self, source: &str, destination: &str, bytes: &[u8], closes: bool) -> Vec<String> {
        let next = self
            .sequences
            .entry((source.to_owned(), destination.to_owned()))
            .or_default();
        let sequence = *next;
        *next += u32::try_from(bytes.len()).unwrap();
        self.resolver.handle_signalling(&Signalling {
            captured: self.now,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            transport: Transport::Tcp {
                sequence,
                opens: false,
                closes,
            },
            payload: bytes,
        });
        self.told()
    }

    fn told(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.resolver.poll_event())
            .map(|(origin, event)| words(origin, &event))
            .collect()
    }

    /// 3001 calls 3002 directly and is answered.
    fn call(&mut self) -> Vec<String> {
        self.udp(PHONE, OTHER_PHONE, &invite().with(audio("10.1.1.20:6000", "")));
        self.udp(
            OTHER_PHONE,
            PHONE,
            &response(200, "INVITE", 1).with(audio("10.1.1.30:7000", "")),
        )
    }
}

fn words(origin: MediaOrigin, event: &CtiEvent) -> String {
    let way = |direction: Option<MediaDirection>| match direction {
        None => "",
        Some(MediaDirection::Send) => " sends",
        Some(MediaDirection::Receive) => " receives",
    };
    assert_eq!(event.check(), Ok(()));
    match event {
        CtiEvent::MediaStarted(MediaStarted {
            device: Some(device),
            address,
            remote,
            direction,
            codec,
            encrypted,
            ..
        }) => {
            let remote = remote.map_or("?".to_owned(), |remote| remote.to_string());
            let codec = codec.as_deref().unwrap_or("?");
            let secret = if *encrypted == Some(true) { " encrypted" } else { "" };
            format!(
                "{origin:?} {device} at {address} to {remote} {codec}{secret}{}",
                way(*direction)
            )
        }
        CtiEvent::MediaStopped(stopped) => {
            let device = stopped.device.as_ref().unwrap();
            let address = stopped.address.unwrap();
            format!("{origin:?} {device} gone from {address}{}", way(stopped.direction))
        }
        other => panic!("{other:?}"),
    }
}

const BOTH: [&str; 2] = [
    "Sip 3001 at 10.1.1.20:6000 to 10.1.1.30:7000 PCMA",
    "Sip 3002 at 10.1.1.30:7000 to 10.1.1.20:6000 PCMA",
];
const NEITHER: [&str; 2] = ["Sip 3001 gone from 10.1.1.20:6000", "Sip 3002 gone from 10.1.1.30:7000"];

#[test]
fn an_answered_call_tells_both_phones_addresses_and_its_end_takes_them_back() {
    let mut mirror = Mirror::new();
    assert_eq!(mirror.call(), BOTH);
    let ok = response(200, "INVITE", 1).with(audio("10.1.1.30:7000", ""));
    assert!(
        mirror.udp(OTHER_PHONE, PHONE, &ok).is_empty(),
        "a retransmission changes nothing"
    );
    assert!(mirror.udp(PHONE, OTHER_PHONE, &request("ACK", 1)).is_empty());
    assert_eq!(mirror.udp(PHONE, OTHER_PHONE, &request("BYE", 2)), NEITHER);
    assert!(mirror.udp(OTHER_PHONE, PHONE, &response(200, "BYE", 2)).is_empty());
}

#[test]
fn media_before_the_answer_are_told() {
    let mut mirror = Mirror::new();
    let offer = invite().with(audio("10.1.1.20:6000", ""));
    assert!(mirror.udp(PHONE, OTHER_PHONE, &offer).is_empty());
    assert!(mirror.udp(OTHER_PHONE, PHONE, &response(180, "INVITE", 1)).is_empty());
    let progress = response(183, "INVITE", 1).with(audio("10.1.1.30:7000", ""));
    assert_eq!(mirror.udp(OTHER_PHONE, PHONE, &progress), BOTH);
    assert!(mirror.udp(OTHER_PHONE, PHONE, &response(200, "INVITE", 1)).is_empty());
}

#[test]
fn a_cancelled_refused_or_forgotten_call_leaves_nothing() {
    for end in 0..3 {
        let mut mirror = Mirror::new();
        mirror.udp(PHONE, OTHER_PHONE, &invite().with(audio("10.1.1.20:6000", "")));
        mirror.udp(
            OTHER_PHONE,
            PHONE,
            &response(183, "INVITE", 1).with(audio("10.1.1.30:7000", "")),
        );
        let told = match end {
            0 => mirror.udp(PHONE, OTHER_PHONE, &request("CANCEL", 1)),
            1 => mirror.udp(OTHER_PHONE, PHONE, &response(486, "INVITE", 1)),
            _ => {
                mirror.resolver.handle_timeout(mirror.now + Duration::from_secs(3600));
                mirror.told()
            }
        };
        assert_eq!(told, NEITHER, "{end}");
    }
}

#[test]
fn a_challenged_call_is_followed_to_its_second_attempt() {
    let mut mirror = Mirror::new();
    mirror.udp(PHONE, OTHER_PHONE, &invite().with(audio("10.1.1.20:6000", "")));
    assert!(mirror.udp(OTHER_PHONE, PHONE, &response(407, "INVITE", 1)).is_empty());
    let again = Sip { number: 2, ..invite() };
    mirror.udp(PHONE, OTHER_PHONE, &again.with(audio("10.1.1.20:6000", "")));
    let ok = response(200, "INVITE", 2).with(audio("10.1.1.30:7000", ""));
    assert_eq!(mirror.udp(OTHER_PHONE, PHONE, &ok), BOTH);
}

#[test]
fn an_answer_may_carry_the_offer() {
    let mut mirror = Mirror::new();
    assert!(mirror.udp(PHONE, OTHER_PHONE, &invite()).is_empty());
    let ok = response(200, "INVITE", 1).with(audio("10.1.1.30:7000", ""));
    assert_eq!(
        mirror.udp(OTHER_PHONE, PHONE, &ok),
        ["Sip 3002 at 10.1.1.30:7000 to ? PCMA"]
    );
    let ack = request("ACK", 1).with(audio("10.1.1.20:6000", ""));
    assert_eq!(mirror.udp(PHONE, OTHER_PHONE, &ack), BOTH);
}

#[test]
fn hold_stops_the_directions_it_holds_and_retrieve_starts_them() {
    for (attribute, address, stopped, started) in [
        (
            "a=sendonly",
            "10.1.1.20:6000",
            &[
                "Sip 3001 gone from 10.1.1.20:6000 receives",
                "Sip 3002 gone from 10.1.1.30:7000 sends",
            ][..],
            2,
        ),
        ("a=inactive", "10.1.1.20:6000", &NEITHER[..], 0),
        (
            "",
            "0.0.0.0:6000",
            &[
                "Sip 3001 gone from 10.1.1.20:6000",
                "Sip 3002 gone from 10.1.1.30:7000 sends",
            ][..],
            1,
        ),
    ] {
        let mut mirror = Mirror::new();
        mirror.call();
        mirror.udp(
            PHONE,
            OTHER_PHONE,
            &request("INVITE", 2).with(audio(address, attribute)),
        );
        let answer = match attribute {
            "a=inactive" => attribute,
            "a=sendonly" => "a=recvonly",
            _ => "",
        };
        let ok = response(200, "INVITE", 2).with(audio("10.1.1.30:7000", answer));
        let told = mirror.udp(OTHER_PHONE, PHONE, &ok);
        let gone: Vec<_> = told.iter().filter(|event| event.contains("gone")).collect();
        assert_eq!(gone, stopped, "{attribute}");
        assert_eq!(told.len() - gone.len(), started, "{attribute}: {told:?}");
        mirror.udp(
            PHONE,
            OTHER_PHONE,
            &request("INVITE", 3).with(audio("10.1.1.20:6000", "")),
        );
        let ok = response(200, "INVITE", 3).with(audio("10.1.1.30:7000", ""));
        assert_eq!(mirror.udp(OTHER_PHONE, PHONE, &ok), BOTH, "{attribute}");
    }
}

#[test]
fn a_refused_change_leaves_the_call_as_it_was_and_an_accepted_one_moves_it() {
    let mut mirror = Mirror::new();
    mirror.call();
    mirror.udp(
        PHONE,
        OTHER_PHONE,
        &request("UPDATE", 2).with(audio("10.1.1.20:6002", "")),
    );
    assert!(mirror.udp(OTHER_PHONE, PHONE, &response(488, "UPDATE", 2)).is_empty());
    mirror.udp(
        PHONE,
        OTHER_PHONE,
        &request("UPDATE", 3).with(audio("10.1.1.20:6004", "")),
    );
    let ok = response(200, "UPDATE", 3).with(audio("10.1.1.30:7000", ""));
    let told: BTreeSet<_> = mirror.udp(OTHER_PHONE, PHONE, &ok).into_iter().collect();
    let expected = [
        "Sip 3001 at 10.1.1.20:6004 to 10.1.1.30:7000 PCMA",
        "Sip 3001 gone from 10.1.1.20:6000",
        "Sip 3002 at 10.1.1.30:7000 to 10.1.1.20:6004 PCMA",
    ];
    assert_eq!(told, expected.map(str::to_owned).into());
}

#[test]
fn of_phones_that_ring_together_the_one_that_answers_stays() {
    let mut mirror = Mirror::new();
    mirror.udp(PHONE, PBX, &invite().with(audio("10.1.1.20:6000", "")));
    let ringing = response(183, "INVITE", 1).with(audio("10.1.1.30:7000", ""));
    mirror.udp(PBX, PHONE, &ringing);
    let other = Sip {
        to: "<sip:3002@pbx>;tag=c",
        ..response(200, "INVITE", 1)
    };
    let told = mirror.udp(PBX, PHONE, &other.with(audio("10.1.1.31:8000", "")));
    assert!(
        told.contains(&"Sip 3002 gone from 10.1.1.30:7000".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"Sip 3001 at 10.1.1.20:6000 to 10.1.1.31:8000 PCMA".to_owned()),
        "{told:?}"
    );
}

#[test]
fn behind_a_pbx_each_phone_counts_for_itself() {
    let mut mirror = Mirror::new();
    let out = |message: Sip| Sip {
        call: "call-2",
        ..message
    };
    mirror.udp(PHONE, PBX, &invite().with(audio("10.1.1.20:6000", "")));
    mirror.udp(PBX, OTHER_PHONE, &out(invite()).with(audio("10.1.1.1:9002", "")));
    let answer = response(200, "INVITE", 1);
    mirror.udp(OTHER_PHONE, PBX, &out(answer.clone()).with(audio("10.1.1.30:7000", "")));
    mirror.udp(PBX, PHONE, &answer.with(audio("10.1.1.1:9000", "")));
    assert_eq!(known(&mirror), [("3001", "10.1.1.20:6000"), ("3002", "10.1.1.30:7000")]);
}

fn known(mirror: &Mirror) -> Vec<(&str, &'static str)> {
    let all = ["10.1.1.20:6000", "10.1.1.30:7000", "10.1.1.1:9000", "10.1.1.1:9002"];
    let told = mirror.resolver.sip_media.told();
    told.map(|(device, address)| {
        (
            device,
            all.into_iter().find(|known| address.to_string() == *known).unwrap(),
        )
    })
    .collect()
}

#[test]
fn through_a_proxy_each_phone_is_told_once() {
    let mut mirror = Mirror::new();
    let proxied = |mut message: Sip| {
        message.more = "Via: SIP/2.0/UDP y;branch=2\r\n".to_owned();
        message
    };
    let offer = invite().with(audio("10.1.1.20:6000", ""));
    let answer = response(200, "INVITE", 1).with(audio("10.1.1.30:7000", ""));
    mirror.udp(PHONE, PBX, &offer);
    mirror.udp(PBX, OTHER_PHONE, &proxied(offer));
    mirror.udp(OTHER_PHONE, PBX, &proxied(answer.clone()));
    mirror.udp(PBX, PHONE, &answer);
    assert_eq!(known(&mirror), [("3001", "10.1.1.20:6000"), ("3002", "10.1.1.30:7000")]);
    mirror.udp(PHONE, PBX, &request("BYE", 2));
    assert_eq!(mirror.udp(PBX, OTHER_PHONE, &request("BYE", 2)).len(), 2);
}

#[test]
fn where_only_the_pbx_is_seen_its_word_is_taken() {
    let mut mirror = Mirror::new();
    for call in ["call-1", "call-2"] {
        let from = if call == "call-1" {
            "<sip:3003@pbx>;tag=a"
        } else {
            "<sip:3001@pbx>;tag=a"
        };
        mirror.udp(
            PBX,
            OTHER_PHONE,
            &Sip { call, from, ..invite() }.with(audio("10.1.1.1:9002", "")),
        );
    }
    let answer = Sip {
        call: "call-2",
        ..response(200, "INVITE", 1)
    };
    mirror.udp(OTHER_PHONE, PBX, &answer.with(audio("10.1.1.30:7000", "")));
    assert!(known(&mirror).contains(&("3001", "10.1.1.1:9002")));
}

#[test]
fn a_phone_is_told_by_all_its_names() {
    let mut mirror = Mirror::new();
    let named = Sip {
        from: "<sip:anonymous@anonymous.invalid>;tag=a",
        more: "P-Asserted-Identity: \"Anna\" <sip:+3001@pbx>, <tel:+49-30-3001>\r\nContact: <sip:6f2a@10.1.1.20>;\
               +u.sip!devicename.ccm.cisco.com=\"SEP001122334455\"\r\n"
            .to_owned(),
        ..invite()
    };
    mirror.udp(PHONE, OTHER_PHONE, &named.with(audio("10.1.1.20:6000", "")));
    mirror.udp(
        OTHER_PHONE,
        PHONE,
        &response(200, "INVITE", 1).with(audio("10.1.1.30:7000", "")),
    );
    let devices: BTreeSet<_> = mirror
        .resolver
        .sip_media
        .told()
        .map(|(device, _)| device.to_owned())
        .collect();
    let expected = ["3001", "49303001", "6f2a", "SEP001122334455", "3002"];
    assert_eq!(devices, expected.map(str::to_owned).into());
}

#[test]
fn keys_make_a_call_encrypted_only_where_both_sides_have_them() {
    for (offer, answer, encrypted) in [("RTP/SAVP", "RTP/SAVP", true), ("RTP/AVP", "RTP/AVP", false)] {
        let mut mirror = Mirror::new();
        let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x";
        let offer = audio("10.1.1.20:6000", crypto).replace("RTP/AVP", offer);
        mirror.udp(PHONE, OTHER_PHONE, &invite().with(offer));
        let answer = audio("10.1.1.30:7000", "").replace("RTP/AVP", answer);
        let told = mirror.udp(OTHER_PHONE, PHONE, &response(200, "INVITE", 1).with(answer));
        assert_eq!(
            told.iter().any(|event| event.ends_with("encrypted")),
            encrypted,
            "{told:?}"
        );
    }
}

#[test]
fn payload_types_are_known_while_the_call_lasts() {
    let mut mirror = Mirror::new();
    mirror.call();
    let (address, number) = ("10.1.1.20:6000".parse().unwrap(), PayloadType(101));
    assert_eq!(mirror.resolver.codec(address, number), Some(Codec::TelephoneEvent));
    mirror.udp(PHONE, OTHER_PHONE, &request("BYE", 2));
    assert_eq!(mirror.resolver.codec(address, number), None);
}

#[test]
fn sip_is_read_over_tcp_in_pieces_too() {
    let mut mirror = Mirror::new();
    let (phone, other) = ("10.1.1.20:5060", "10.1.1.30:5060");
    let text = invite().with(audio("10.1.1.20:6000", "")).text();
    let (first, second) = text.split_at(200);
    mirror.tcp(phone, other, first.as_bytes());
    mirror.tcp(phone, other, second.as_bytes());
    let answer = response(200, "INVITE", 1).with(audio("10.1.1.30:7000", "")).text();
    assert_eq!(mirror.tcp(other, phone, answer.as_bytes()), BOTH);
}

fn sccp(id: u32, numbers: &[u32]) -> Vec<u8> {
    let body: Vec<_> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    sccp_bytes(id, &body)
}

fn sccp_bytes(id: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[length, 0, id].map(u32::to_le_bytes).concat(), body].concat()
}

fn address(last: u8) -> u32 {
    u32::from_le_bytes([10, 1, 1, last])
}

const SKINNY: &str = "10.1.1.20:50000";
const MANAGER: &str = "10.1.1.1:2000";

fn skinny_call(mirror: &mut Mirror) -> Vec<String> {
    let register = [&b"SEP001122334455\0"[..], &[0; 24]].concat();
    let line = [&1_u32.to_le_bytes()[..], b"3001", &[0; 100]].concat();
    let from_phone = [sccp_bytes(0x01, &register), sccp(0x22, &[0, address(20), 6000, 11, 81])];
    let to_phone = [
        sccp_bytes(0x92, &line),
        sccp(0x111, &[5, 1, 81]),
        sccp(0x105, &[7, 11, 20, 4, 0, 0, 81, 0]),
        sccp(0x8a, &[7, 11, address(30), 7000, 20, 4, 0, 0, 0, 0, 81, 0]),
    ];
    let mut told = mirror.tcp(SKINNY, MANAGER, &from_phone[0]);
    told.extend(mirror.tcp(MANAGER, SKINNY, &to_phone.concat()));
    told.extend(mirror.tcp(SKINNY, MANAGER, &from_phone[1]));
    told
}

#[test]
fn a_skinny_phone_is_told_by_name_and_line() {
    let mut mirror = Mirror::new();
    let expected =
        ["SEP001122334455", "3001"].map(|name| format!("Sccp {name} at 10.1.1.20:6000 to 10.1.1.30:7000 PCMU"));
    assert_eq!(skinny_call(&mut mirror), expected);
    let close = [sccp(0x8b, &[7, 11, 81]), sccp(0x106, &[7, 11, 81])].concat();
    let told = mirror.tcp(MANAGER, SKINNY, &close);
    let gone: Vec<_> = told
        .iter()
        .filter(|event| !event.contains("receives") && !event.contains("sends"))
        .collect();
    assert_eq!(
        gone,
        [
            "Sccp SEP001122334455 gone from 10.1.1.20:6000",
            "Sccp 3001 gone from 10.1.1.20:6000"
        ]
    );
}

#[test]
fn a_skinny_phone_that_hangs_up_or_goes_away_has_no_media() {
    for closes in [false, true] {
        let mut mirror = Mirror::new();
        skinny_call(&mut mirror);
        let told = if closes {
            mirror.segment(SKINNY, MANAGER, b"", true)
        } else {
            mirror.tcp(MANAGER, SKINNY, &sccp(0x111, &[2, 1, 81]))
        };
        assert_eq!(told.len(), 2, "{told:?}");
    }
}

#[test]
fn what_a_phone_sends_to_a_recorder_is_not_its_call() {
    let mut mirror = Mirror::new();
    skinny_call(&mut mirror);
    let fork = sccp(0x8a, &[7, 12, address(99), 9000, 20, 4, 0, 0, 0, 0, 82, 0]);
    assert!(mirror.tcp(MANAGER, SKINNY, &fork).is_empty());
    let ack = sccp(0x154, &[7, 12, 82, address(20), 6010, 0]);
    assert!(mirror.tcp(SKINNY, MANAGER, &ack).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_survived_and_what_was_told_is_taken_back(
        steps in proptest::collection::vec((0_usize..9, any::<bool>(), 0_u32..4, 0_usize..3, any::<bool>()), 0..60),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut mirror = Mirror::new();
        let mut standing = BTreeSet::new();
        let mut follow = |events: Vec<String>| {
            for event in events {
                let words: Vec<_> = event.split(' ').collect();
                if event.contains(" at ") {
                    standing.insert((words[1].to_owned(), words[3].to_owned()));
                } else if words.len() == 5 {
                    assert!(standing.remove(&(words[1].to_owned(), words[4].to_owned())), "{event}");
                }
            }
        };
        for (what, forth, number, tag, body) in steps {
            let message = match what {
                0 => invite(),
                1 => request("INVITE", number),
                2 => response(183, "INVITE", number),
                3 => response(200, "INVITE", number),
                4 => request("ACK", number),
                5 => request("BYE", number),
                6 => response(486, "INVITE", number),
                7 => request("UPDATE", number),
                _ => response(200, "UPDATE", number),
            };
            let mut message = Sip { number, to: [message.to, "<sip:3002@pbx>;tag=c", "<sip:3003@pbx>;tag=d"][tag], ..message };
            if body {
                message = message.with(audio(if forth { "10.1.1.20:6000" } else { "10.1.1.30:7000" }, ["", "a=inactive", "a=sendonly"][tag]));
            }
            let (source, destination) = if forth { (PHONE, PBX) } else { (PBX, PHONE) };
            follow(mirror.udp(source, destination, &message));
        }
        follow(mirror.tcp(SKINNY, MANAGER, &bytes));
        mirror.resolver.handle_timeout(mirror.now + Duration::from_secs(100_000));
        follow(mirror.told());
        prop_assert!(standing.is_empty(), "{:?}", standing);
    }
}
