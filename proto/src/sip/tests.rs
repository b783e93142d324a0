#![allow(clippy::disallowed_methods, reason = "the reference messages are files")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const INVITE: &str = "INVITE sip:3002@pbx SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.1.20:5060;branch=z9hG4bK1\r\nf: <sip:3001@pbx>;tag=a\r\n\
    To: <sip:3002@pbx>\r\nI: call-1\r\nCSeq: 1 INVITE\r\nm: <sip:3001@10.1.1.20>\r\nc: application/sdp\r\nl: 5\r\n\r\nv=0\r\n";

fn parse(text: &str) -> Result<Message<'_>, SipError> {
    Message::parse(text.as_bytes())
}

#[test]
fn reads_start_line_compact_header_fields_and_body() {
    let message = parse(INVITE).unwrap();
    assert!(
        matches!(&message.start, StartLine::Request { method, uri } if method == "INVITE" && uri == "sip:3002@pbx")
    );
    assert_eq!(message.call_id(), "call-1");
    assert_eq!(message.from().tag(), Some("a"));
    assert_eq!(message.to().tag(), None);
    assert_eq!(message.header("contact"), Some("<sip:3001@10.1.1.20>"));
    assert_eq!(message.session_description(), Some(&b"v=0\r\n"[..]));
}

#[test]
fn what_follows_the_content_length_is_left_alone() {
    let twice = format!("\r\n\r\n{INVITE}{INVITE}");
    assert_eq!(parse(&twice).unwrap().body, b"v=0\r\n");
    assert_eq!(message_length(twice.as_bytes()), Ok(Some(4 + INVITE.len())));
}

#[test]
fn a_message_in_a_stream_is_cut_out_only_when_it_is_whole() {
    for end in 0..INVITE.len() {
        assert_eq!(message_length(&INVITE.as_bytes()[..end]), Ok(None), "{end} bytes");
    }
    assert!(message_length(b"GET / HTTP/1.1\r\n\r\n").is_err());
    let endless = INVITE.replace("l: 5", "l: 99999999999999999999");
    assert!(message_length(endless.as_bytes()).is_err());
}

#[test]
fn finds_the_next_message_behind_the_rest_of_another() {
    let torn = format!("a=rtpmap:0 PCMU/8000\r\n{INVITE}");
    assert_eq!(find_start(torn.as_bytes()), Some(22));
    assert_eq!(find_start(b"x\r\nSIP/2.0 200 OK\r\n"), Some(3));
    assert_eq!(find_start(b"x\r\nSIP/2.0 200 OK"), None);
}

#[test]
fn a_message_that_contradicts_itself_is_refused() {
    for (from, to, error) in [
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", SipError::Method),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE", SipError::Value("CSeq")),
        (
            "I: call-1",
            "I: call-1\r\nCall-ID: call-2",
            SipError::Repeated("Call-ID"),
        ),
        ("To: <sip:3002@pbx>\r\n", "", SipError::Missing("To")),
        ("l: 5", "l: 6", SipError::Short { expected: 6, found: 5 }),
        ("l: 5", "l: -5", SipError::Value("Content-Length")),
        ("Via:", "Via", SipError::Header),
        ("SIP/2.0\r\n", "SIP/3.0\r\n", SipError::StartLine),
    ] {
        let changed = INVITE.replacen(from, to, 1);
        assert_eq!(parse(&changed).map(drop), Err(error), "{to}");
    }
}

#[test]
fn a_datagram_may_end_in_the_middle_of_its_header_fields() {
    let bye = "BYE sip:3002@pbx SIP/2.0\r\nFrom: <sip:3001@pbx>;tag=a\r\nTo: <sip:3002@pbx>;tag=b\r\nCall-ID: 1\r\nCSeq: 2 BYE\r\n";
    for end in ["", "Content-Lengt", "P-hint: rr\r\n"] {
        let torn = format!("{bye}{end}");
        assert_eq!(parse(&torn).map(|message| message.cseq().number), Ok(2), "{end}");
    }
}

#[test]
fn opens_multipart_bodies_however_nested() {
    let inner = "--in\r\nContent-Type: text/plain\r\n\r\nHello\r\n--in\r\nc: application/SDP;x=y\r\n\r\nv=0\r\ns=-\r\n--in--\r\n";
    let outer = format!(
        "preamble\r\n--o u t\r\nContent-Type: multipart/alternative;\r\n boundary=in\r\n\r\n{inner}\r\n--o u t\r\n\r\nuntyped\r\n--o u t--"
    );
    let message = INVITE
        .replace(
            "c: application/sdp",
            "Content-Type: Multipart/mixed ; Boundary=\"o u t\"",
        )
        .replace("l: 5\r\n", "")
        .replace("v=0\r\n", &outer);
    let message = parse(&message).unwrap();
    let bodies: Vec<_> = message.bodies().into_iter().map(|body| body.bytes).collect();
    assert_eq!(bodies, [&b"Hello"[..], b"v=0\r\ns=-", b"untyped"]);
    assert_eq!(message.session_description(), Some(&b"v=0\r\ns=-"[..]));
}

fn torture(kind: &str) -> Vec<(String, Vec<u8>)> {
    let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("data/vectors/rfc4475-torture").join(kind);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let read = |file: std::fs::DirEntry| {
        let name = file.path().file_stem()?.to_string_lossy().into_owned();
        Some((name, std::fs::read(file.path()).ok()?))
    };
    let mut files: Vec<_> = files.filter_map(read).collect();
    files.sort();
    if files.is_empty() {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: no torture messages (set SILENTMON_SHARED)");
    }
    files
}

#[test]
fn every_valid_torture_message_is_read() {
    let expected = [
        ("dblreq", "REGISTER", None, "dblreq.0ha0isndaksdj99sdfafnl3lk233412", 0),
        ("esc01", "INVITE", None, "esc01.239409asdfakjkn23onasd0-3234", 2),
        (
            "esc02",
            "RE%47IST%45R",
            None,
            "esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf",
            0,
        ),
        (
            "escnull",
            "REGISTER",
            None,
            "escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd",
            0,
        ),
        (
            "intmeth",
            "!interesting-Method0123456789_*+`.%indeed'~",
            None,
            "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            0,
        ),
        (
            "longreq",
            "INVITE",
            None,
            "longreq.onereallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallylongcallid",
            2,
        ),
        ("lwsdisp", "OPTIONS", None, "lwsdisp.1234abcd@funky.example.com", 0),
        (
            "mpart01",
            "MESSAGE",
            None,
            "3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..",
            0,
        ),
        ("noreason", "INVITE", Some(100), "noreason.asndj203insdf99223ndf", 0),
        ("semiuri", "OPTIONS", None, "semiuri.0ha0isndaksdj", 0),
        ("transports", "OPTIONS", None, "transports.kijh4akdnaqjkwendsasfdj", 0),
        ("unreason", "INVITE", Some(200), "unreason.1234ksdfak3j2erwedfsASdf", 2),
        ("wsinv", "INVITE", None, "wsinv.ndaksdj@192.0.2.1", 2),
    ];
    let files = torture("valid");
    let read = |bytes: &[u8]| {
        let message = Message::parse(bytes).map_err(|error| error.to_string())?;
        let media = message.session_description().map(crate::sdp::SessionDescription::parse);
        let media = media.map_or(0, |description| description.media.len());
        Ok((
            message.cseq().method.to_owned(),
            message.status(),
            message.call_id().to_owned(),
            media,
        ))
    };
    let found: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), read(bytes))).collect();
    let expected = expected.map(|(name, method, status, call, media)| {
        let read: Result<_, String> = Ok((method.to_owned(), status, call.to_owned(), media));
        (name, read)
    });
    assert!(found.is_empty() || found == expected, "{found:#?}");
}

/// Of the invalid ones, those are taken whose fault is none of a listener's concern.
#[test]
fn invalid_torture_messages_are_refused_or_do_no_harm() {
    let files = torture("invalid");
    let refused: Vec<_> = files
        .iter()
        .filter_map(|(name, bytes)| Some((name.as_str(), Message::parse(bytes).err()?)))
        .collect();
    let expected = [
        ("badvers", SipError::StartLine),
        ("bigcode", SipError::StartLine),
        (
            "clerr",
            SipError::Short {
                expected: 9999,
                found: 154,
            },
        ),
        ("insuf", SipError::Missing("From")),
        ("ltgtruri", SipError::StartLine),
        ("lwsruri", SipError::StartLine),
        ("lwsstart", SipError::StartLine),
        ("mcl01", SipError::Repeated("Content-Length")),
        ("mismatch01", SipError::Method),
        ("mismatch02", SipError::Method),
        ("multi01", SipError::Repeated("From")),
        ("ncl", SipError::Value("Content-Length")),
        ("scalar02", SipError::Value("CSeq")),
        ("scalarlg", SipError::Value("CSeq")),
        ("test", SipError::StartLine),
        ("trws", SipError::StartLine),
    ];
    assert!(files.is_empty() || refused == expected, "{refused:#?}");
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&bytes);
    }

    #[test]
    fn a_damaged_message_never_panics(flips in proptest::collection::vec((0..INVITE.len(), any::<u8>()), 0..6), cut in 0..INVITE.len()) {
        let mut bytes = INVITE.as_bytes().to_vec();
        for (at, value) in flips {
            bytes[at] = value;
        }
        survives(&bytes);
        survives(&bytes[cut..]);
    }

    #[test]
    fn a_message_is_cut_out_whatever_follows_it(rest in proptest::collection::vec(any::<u8>(), 0..50)) {
        let stream = [INVITE.as_bytes(), &rest].concat();
        prop_assert_eq!(message_length(&stream), Ok(Some(INVITE.len())));
        prop_assert_eq!(Message::parse(&stream), Message::parse(INVITE.as_bytes()));
    }
}

fn survives(bytes: &[u8]) {
    let _ = find_start(bytes);
    if let Ok(Some(length)) = message_length(bytes) {
        assert!(length <= bytes.len());
    }
    if let Ok(message) = Message::parse(bytes) {
        let _ = (message.from().uri.device(), message.to().tag(), message.bodies());
        let _ = message.values("via").count();
    }
}
