//! Frames that no supervisor's program sends.

use std::time::Duration;

use serde_json::json;
use silentmon_proto::relay::MAX_MESSAGE;

use crate::dialler::Dialler;
use crate::{Target, run};

/// The number of `CloseCode::Protocol`.
const PROTOCOL: u32 = 2;

fn framed(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u32::try_from(content.len()).expect("short");
    [&length.to_be_bytes()[..], content].concat()
}

/// What may be wrong, and bytes that are.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let beyond = u32::try_from(MAX_MESSAGE + 1).expect("short").to_be_bytes();
    vec![
        ("a length of 4 GiB", vec![0xff; 4]),
        ("a length beyond the limit", beyond.to_vec()),
        ("the longest frame, of zeros", framed(vec![0; MAX_MESSAGE])),
        ("words", framed("hello")),
        ("brackets without end", framed("[".repeat(100_000))),
        ("bytes that are no text", framed([0xc3, 0x28, 0xff])),
        ("a message nobody knows", framed(r#"{"type":"reboot"}"#)),
        ("a message of the server's", framed(r#"{"type":"heartbeat_lost"}"#)),
        (
            "a session that is none",
            framed(r#"{"type":"stop_monitor","session":{}}"#),
        ),
        (
            "a version beyond its field",
            framed(r#"{"type":"hello","version":70000,"software":"x"}"#),
        ),
        (
            "an output nobody knows",
            framed(r#"{"type":"start_monitor","request":1,"agent":"4711","output":{"kind":"shell"}}"#),
        ),
    ]
}

#[test]
fn malformed_and_oversized_frames_cost_their_sender_the_connection_and_nobody_else_anything() {
    let target = Target::build();
    run(async {
        let mut anna = Dialler::dial(&target.house, "anna", target.server).await;
        let started = anna.start("4711", &json!({})).await;
        assert_eq!(started["type"], "monitor_started", "{started}");
        anna.hear_sound(20).await;
        for (what, bytes) in malformed() {
            let mut bert = Dialler::dial(&target.house, "bert", target.server).await;
            bert.write(&bytes).await;
            let (code, why) = bert.closed().await;
            assert_eq!(code, PROTOCOL.into(), "{what}: {why}");
        }
        let mut bert = Dialler::dial(&target.house, "bert", target.server).await;
        bert.write(&framed(r#"{"type":"goodbye"}"#)[..9]).await;
        bert.finish();
        assert_eq!(bert.closed().await.0, PROTOCOL.into(), "half a message");

        let mut rude = Dialler::dial_silently(&target.house, "bert", target.server).await;
        rude.write(&framed("no greeting")).await;
        assert_eq!(rude.closed().await.0, PROTOCOL.into());

        let _ = anna.datagrams().await;
        anna.hear_sound(50).await;
    });
    target.expect_refused("malformed_message", malformed().len() + 1);
    target.expect_refused("other", 1);
    assert_eq!(target.service.terminate().0, Some(0));
}

#[test]
fn datagrams_that_are_no_requests_are_counted_and_answered_by_nothing() {
    let target = Target::build();
    run(async {
        let bert = Dialler::dial(&target.house, "bert", target.server).await;
        for number in 0..200_u8 {
            let noise: Vec<u8> = std::iter::successors(Some(number), |last| Some(last.wrapping_mul(7).wrapping_add(3)))
                .take(usize::from(number) * 5)
                .collect();
            bert.connection.send_datagram_wait(noise.into()).await.expect("sent");
        }
        target.expect_refused("malformed_datagram", 200);
        assert!(bert.datagrams().await.is_empty());
        assert!(bert.connection.close_reason().is_none());
    });
}

#[test]
fn a_client_gets_one_stream_and_no_more() {
    let target = Target::build();
    run(async {
        let bert = Dialler::dial(&target.house, "bert", target.server).await;
        let wait = Duration::from_millis(300);
        assert!(tokio::time::timeout(wait, bert.connection.open_bi()).await.is_err());
        assert!(tokio::time::timeout(wait, bert.connection.open_uni()).await.is_err());
    });
}

#[test]
fn whoever_asks_without_end_waits_and_the_others_hear_on() {
    let target = Target::build();
    run(async {
        let mut anna = Dialler::dial(&target.house, "anna", target.server).await;
        assert_eq!(anna.start("4711", &json!({})).await["type"], "monitor_started");
        let mut bert = Dialler::dial(&target.house, "bert", target.server).await;
        let listing = framed(r#"{"type":"list_agents","watch":false}"#).repeat(60);
        bert.write(&listing).await;
        let asked = std::time::Instant::now();
        for _ in 0..55 {
            bert.hear_of("agents").await;
        }
        // 50 at once, five in each second after that.
        assert!(asked.elapsed() > Duration::from_millis(800), "{:?}", asked.elapsed());
        let _ = anna.datagrams().await;
        anna.hear_sound(20).await;
    });
    let page = target.metrics();
    let delayed = page
        .lines()
        .find(|line| line.starts_with("silentmon_messages_delayed_total"));
    let count = delayed.and_then(|line| line.rsplit_once(' ')).map(|(_, count)| count);
    assert!(count.is_some_and(|count| count != "0.0"), "{page}");
}
