use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn message(id: u32, version: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    let header = [length, version, id].map(u32::to_le_bytes).concat();
    [header, body.to_vec()].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn read(bytes: &[u8]) -> Message {
    assert_eq!(message_length(bytes), Ok(Some(bytes.len())));
    Message::parse(bytes).unwrap()
}

/// Protocol sheet 2.4.
#[test]
fn reads_the_vectors_of_the_protocol_sheet() {
    let ack = hex("18000000 00000000 22000000 00000000 0a568f14 66600000 0b000000 d2040000");
    let id = ChannelId { party: 11, call: 1234 };
    let address = Some("10.86.143.20:24678".parse().unwrap());
    assert_eq!(read(&ack), Message::OpenReceiveChannelAck(ChannelAck { id, address }));
    let start = hex(
        "30000000 00000000 8a000000 07000000 0b000000 0a568f63 50460000 14000000 04000000 2e000000 00000000 \
                     0000 0000 00000000 d2040000",
    );
    let channel = Channel {
        id,
        payload: 4,
        packet_time: 20,
        encrypted: false,
    };
    let remote = "10.86.143.99:18000".parse().unwrap();
    assert_eq!(read(&start), Message::StartMediaTransmission { channel, remote });
}

#[test]
fn from_version_17_on_addresses_come_with_their_type() {
    let id = ChannelId { party: 11, call: 1234 };
    let six: std::net::Ipv6Addr = "2001:db8::20".parse().unwrap();
    let four = [&[10, 1, 1, 20][..], &[0; 12]].concat();
    for (version, address, expected) in [
        (16, vec![10, 1, 1, 20], "10.1.1.20:24678"),
        (17, [numbers(&[0]), four].concat(), "10.1.1.20:24678"),
        (
            22,
            [numbers(&[1]), six.octets().to_vec()].concat(),
            "[2001:db8::20]:24678",
        ),
    ] {
        let expected = Some(expected.parse().unwrap());
        let ports = numbers(&[24678, 11, 1234]);
        let ack = message(0x22, version, &[numbers(&[0]), address.clone(), ports].concat());
        assert_eq!(
            read(&ack),
            Message::OpenReceiveChannelAck(ChannelAck { id, address: expected })
        );
        let ack = message(
            0x154,
            version,
            &[numbers(&[7, 11, 1234]), address, numbers(&[24678, 0])].concat(),
        );
        assert_eq!(
            read(&ack),
            Message::StartMediaTransmissionAck(ChannelAck { id, address: expected })
        );
    }
}

#[test]
fn a_channel_that_failed_has_no_address() {
    let ack = message(
        0x22,
        0,
        &[numbers(&[1]), vec![10, 1, 1, 20], numbers(&[24678, 11, 1234])].concat(),
    );
    assert!(matches!(
        read(&ack),
        Message::OpenReceiveChannelAck(ChannelAck { address: None, .. })
    ));
}

#[test]
fn media_with_a_key_are_encrypted() {
    let id = ChannelId { party: 11, call: 1234 };
    let open = message(0x105, 20, &numbers(&[7, 11, 20, 4, 0, 0, 1234, 1, 16]));
    let channel = Channel {
        id,
        payload: 4,
        packet_time: 20,
        encrypted: true,
    };
    assert_eq!(read(&open), Message::OpenReceiveChannel(channel));
}

#[test]
fn tells_the_phones_own_number_by_the_direction_of_the_call() {
    let field = |text: &str, size: usize| {
        let mut field = text.as_bytes().to_vec();
        field.resize(size, 0);
        field
    };
    let fixed = [
        field("Customer", 40),
        field("5551", 24),
        field("Anna", 40),
        field("3001", 24),
    ]
    .concat();
    let old = message(0x8f, 0, &[fixed, numbers(&[1, 1234, 1])].concat());
    let new = |direction| {
        let strings = b"3001\0\x003002\x003002\x003002\0\0\0\0\0Anna\0\0\0\0";
        message(
            0x14a,
            20,
            &[&numbers(&[1, 1234, direction, 0, 0, 1, 0, 0])[..], strings].concat(),
        )
    };
    let own = |bytes: &[u8]| match read(bytes) {
        Message::CallInfo(info) => info.own_number().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    assert_eq!(own(&old).as_deref(), Some("3001"));
    assert_eq!(own(&new(2)).as_deref(), Some("3001"));
    assert_eq!(own(&new(1)).as_deref(), Some("3002"));
    assert_eq!(own(&new(9)), None);
}

#[test]
fn reads_names_and_lines() {
    let register = message(0x01, 0, &[&b"SEP001122334455\0"[..], &numbers(&[0, 1])].concat());
    let device = "SEP001122334455".to_owned();
    assert_eq!(read(&register), Message::Register { device });
    let number = || "3001".to_owned();
    let line = message(0x92, 0, &[numbers(&[1]), b"3001".to_vec(), vec![0; 100]].concat());
    assert_eq!(
        read(&line),
        Message::LineStat {
            line: 1,
            number: number()
        }
    );
    let line = message(0x147, 17, &[numbers(&[2, 7]), b"3001\0Anna\0\0".to_vec()].concat());
    assert_eq!(
        read(&line),
        Message::LineStat {
            line: 2,
            number: number()
        }
    );
    let state = message(0x111, 20, &numbers(&[2, 1, 1234, 0, 4, 0]));
    let (state, line, call) = match read(&state) {
        Message::CallState { state, line, call } => (state, line, call),
        other => panic!("{other:?}"),
    };
    assert_eq!((state, line, call), (CallState::OnHook, 1, 1234));
}

#[test]
fn finds_the_next_message_in_the_middle_of_a_stream() {
    let keep_alive = message(0, 0, &[]);
    let stream = [&[0xff, 3, 0, 0, 0][..], &keep_alive, &keep_alive].concat();
    assert_eq!(find_start(&stream), Some(5));
    assert_eq!(message_length(&stream), Err(SccpError::Header));
    assert_eq!(message_length(&keep_alive[..11]), Ok(None));
}

proptest! {
    #[test]
    fn any_body_never_panics(
        id in prop::sample::select(vec![0x01_u32, 0x22, 0x27, 0x8a, 0x8b, 0x8f, 0x92, 0x105, 0x106, 0x111, 0x147, 0x14a, 0x154]),
        version in 0_u32..23,
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = Message::parse(&message(id, version, &body));
        let _ = Message::parse(&body);
        if let Some(start) = find_start(&body) {
            prop_assert!(message_length(&body[start..]).is_ok());
        }
    }
}
