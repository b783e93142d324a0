#![allow(clippy::disallowed_methods, reason = "the reference messages are files")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn only(text: &str) -> MediaDescription {
    let [media] = SessionDescription::parse(text.as_bytes())
        .media
        .try_into()
        .expect("one medium");
    media
}

#[test]
fn reads_where_and_what_is_received() {
    let media = only(
        "v=0\r\no=- 1 1 IN IP4 10.9.9.9\r\ns=-\r\nc=IN IP4 10.1.1.2\r\nt=0 0\r\nm=audio 5004/2 RTP/AVP 0 97 101\r\n\
         c=IN IP4 10.1.1.20/127\r\na=rtpmap:97 iLBC/8000\r\na=rtpmap:101 telephone-event/8000/1\r\na=fmtp:97 mode=30\r\n\
         a=ptime:20\r\n",
    );
    assert_eq!(media.address(), Some("10.1.1.20:5004".parse().unwrap()));
    assert!(media.is_speech() && !media.is_encrypted());
    assert_eq!(media.direction, Direction::SendReceive);
    assert_eq!(media.packet_time, Some(Duration::from_millis(20)));
    let encodings = [0, 97, 101, 8, 99].map(|number| media.encoding(PayloadType(number)));
    assert_eq!(
        encodings,
        [Some("PCMU"), Some("iLBC"), Some("telephone-event"), Some("PCMA"), None]
    );
    assert_eq!(media.rtp_maps[1].codec(), Some(Codec::TelephoneEvent));
    assert_eq!(media.format_parameters, [(PayloadType(97), "mode=30".to_owned())]);
}

#[test]
fn a_medium_inherits_what_the_session_says_unless_it_says_otherwise() {
    let text = "v=0\nc=IN IP6 2001:db8::20\na=sendonly\na=fingerprint:sha-256 AA\nm=audio 6000 RTP/AVP 8\nm=video 6002 RTP/AVP 96\na=recvonly\n";
    let session = SessionDescription::parse(text.as_bytes());
    let directions: Vec<_> = session.media.iter().map(|media| media.direction).collect();
    assert_eq!(directions, [Direction::SendOnly, Direction::ReceiveOnly]);
    assert_eq!(session.media[0].address(), Some("[2001:db8::20]:6000".parse().unwrap()));
    assert!(session.media.iter().all(MediaDescription::is_encrypted));
}

#[test]
fn tells_encrypted_media_by_profile_and_by_keys() {
    for (text, encrypted) in [
        ("m=audio 6000 RTP/SAVP 0", true),
        ("m=audio 6000 UDP/TLS/RTP/SAVPF 111", true),
        (
            "m=audio 6000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
            true,
        ),
        ("m=audio 6000 RTP/AVPF 0\na=setup:actpass", false),
    ] {
        let media = only(&format!("v=0\nc=IN IP4 10.1.1.20\n{text}\n"));
        assert_eq!((media.is_encrypted(), media.is_speech()), (encrypted, true), "{text}");
    }
}

#[test]
fn a_refused_held_or_unreadable_medium_has_no_address() {
    for text in [
        "c=IN IP4 10.1.1.20\nm=audio 0 RTP/AVP 8",
        "c=IN IP4 0.0.0.0\nm=audio 6000 RTP/AVP 8",
        "c=IN IP6 ::\nm=audio 6000 RTP/AVP 8",
        "c=IN IP4 phone.example.com\nm=audio 6000 RTP/AVP 8",
        "m=audio 6000 RTP/AVP 8",
    ] {
        assert_eq!(only(&format!("v=0\n{text}\n")).address(), None, "{text}");
    }
    let fax = only("v=0\nc=IN IP4 10.1.1.20\nm=image 6000 udptl t38\n");
    assert_eq!((fax.protocol, fax.is_speech()), (MediaProtocol::Udptl, false));
}

#[test]
fn lines_below_a_medium_that_cannot_be_read_are_not_those_of_the_one_before() {
    let media =
        only("v=0\nc=IN IP4 10.1.1.20\nm=audio 6000 RTP/AVP 8\nm=audio $ RTP/AVP 0\na=inactive\nc=IN IP4 10.9.9.9\n");
    assert_eq!(media.address(), Some("10.1.1.20:6000".parse().unwrap()));
    assert_eq!(media.direction, Direction::SendReceive);
}

#[test]
fn finds_every_description_in_whatever_carries_them() {
    let mgcp = "200 1 OK\nI: 1\n\nv=0\nc=IN IP4 10.1.1.20\nm=audio 6000 RTP/AVP 8\n\nv=0\nm=audio 7000 RTP/AVP 8\n";
    let found: Vec<_> = find_in(mgcp).map(|session| session.media[0].port).collect();
    assert_eq!(found, [6000, 7000]);
}

#[test]
fn real_descriptions_never_panic() {
    let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let files = std::fs::read_dir(shared.join("data/vectors/webrtc-sdp-corpus"));
    let mut with_media = 0;
    for file in files.into_iter().flatten().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        with_media += u32::from(!SessionDescription::parse(&bytes).media.is_empty());
    }
    if with_media == 0 {
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no session descriptions (set SILENTMON_SHARED)"
        );
        return;
    }
    assert!(with_media >= 20, "only {with_media} with media");
}

proptest! {
    #[test]
    fn any_text_is_survived_within_bounds(text in "([vcmao]=[: /0-9a-zA-Z.$]{0,20}\r?\n){0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for description in find_in(&text).chain([SessionDescription::parse(&bytes)]) {
            prop_assert!(description.media.len() <= MOST_MEDIA);
            for media in &description.media {
                let _ = (media.address(), media.is_encrypted());
                prop_assert!(media.formats.len() <= MOST_FORMATS && media.rtp_maps.len() <= MOST_FORMATS);
            }
        }
    }
}
