//! A path that loses, delays and is too narrow; and what its packets are marked with.

#![allow(clippy::expect_used)]

mod common;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::relay::{PathModel, Pattern, Relay};
use common::{Pki, listen, meet, traffic};
use silentmon_transport::{Channel, PlainRtpSocket, SendOutcome, ServerEndpoint, Settings};

const EF: u8 = 0xb8;
const AF31: u8 = 0x68;
/// ECN-capable transport, codepoint 0 (RFC 3168).
const ECT0: u8 = 0x02;

async fn through(model: PathModel) -> (ServerEndpoint, Relay, Channel, Channel) {
    let pki = Pki::new();
    let (mut endpoint, _) = listen(pki.server_tls(), Settings::server());
    let relay = Relay::start(endpoint.local_address(), model);
    let (server, client) = meet(&mut endpoint, &relay.address.into(), &pki.client_tls()).await;
    (endpoint, relay, server.expect("accepted"), client.expect("connected"))
}

fn model(loss: f64) -> PathModel {
    PathModel {
        delay: Duration::from_millis(20),
        loss,
        pattern: Pattern::Random,
        bottleneck: None,
    }
}

async fn audio_lost_at(loss: f64) {
    let (_endpoint, relay, server, client) = through(model(loss)).await;
    let outcome = traffic::run(&server.connection, &client.connection, 200, Duration::from_secs(4)).await;
    let seen = &relay.to_client;
    let path_loss = seen.dropped.load(Ordering::Relaxed) as f64 / seen.packets.load(Ordering::Relaxed) as f64;
    assert!(
        outcome.lost() < path_loss + 0.02,
        "{:.4} lost, the path lost {path_loss:.4}",
        outcome.lost()
    );
    assert!(
        outcome.delay(0.5) < Duration::from_millis(60),
        "{:?}",
        outcome.delay(0.5)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_lose_no_more_than_a_path_that_loses_one_percent() {
    audio_lost_at(0.01).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_lose_no_more_than_a_path_that_loses_five_percent() {
    audio_lost_at(0.05).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_too_narrow_gets_fresh_audio_and_says_what_was_shed() {
    let narrow = PathModel {
        bottleneck: Some((250_000, Duration::from_secs(3))),
        ..model(0.0)
    };
    let (_endpoint, _relay, mut server, mut client) = through(narrow).await;
    let (from, to) = (server.connection.clone(), client.connection.clone());
    let talking = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let begin = Instant::now();
        client.sender.send(&"question").await.expect("sent");
        assert_eq!(server.receiver.receive().await, Ok(Some("question".to_owned())));
        server.sender.send(&"answer").await.expect("sent");
        assert_eq!(client.receiver.receive().await, Ok(Some("answer".to_owned())));
        (begin.elapsed(), server, client)
    });
    let outcome = traffic::run(&from, &to, 4, Duration::from_secs(8)).await;
    let (answered, _server, _client) = talking.await.expect("answered");
    assert!(outcome.shed > 0, "250 kbit/s carry no four streams");
    assert!(
        outcome.delay(0.99) < Duration::from_secs(1),
        "{:?}",
        outcome.delay(0.99)
    );
    assert!(answered < Duration::from_secs(3), "control gets through: {answered:?}");
    assert_eq!(from.statistics().datagrams_shed, outcome.shed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_is_fresh_again_soon_after_an_outage() {
    let (_endpoint, relay, server, client) = through(model(0.0)).await;
    let cut = std::sync::Arc::clone(&relay.cut);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cut.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        cut.store(false, Ordering::Relaxed);
    });
    let outcome = traffic::run(&server.connection, &client.connection, 4, Duration::from_secs(6)).await;
    assert!(outcome.lost() < 0.4, "one second of six was cut: {:.3}", outcome.lost());
    assert!(
        outcome.delay(0.95) < Duration::from_millis(300),
        "{:?}",
        outcome.delay(0.95)
    );
}

#[tokio::test]
async fn a_burst_of_audio_arrives_whole() {
    let (_endpoint, _relay, server, client) = through(model(0.0)).await;
    server.connection.set_audio_streams(2);
    for number in 0..100_u8 {
        let outcome = server.connection.send_datagram(vec![number; 188].into());
        assert_eq!(outcome, Ok(SendOutcome::Sent));
    }
    for number in 0..100 {
        let datagram = client.connection.receive_datagram().await.expect("arrives");
        assert_eq!(datagram.first(), Some(&number));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_program_died_is_noticed_before_the_silence_is_too_long() {
    let (_endpoint, relay, _server, client) = through(model(0.0)).await;
    drop(relay);
    let noticed = tokio::time::timeout(Duration::from_secs(9), client.connection.closed()).await;
    assert!(noticed.is_ok(), "{noticed:?}");
}

#[tokio::test]
async fn audio_leaves_marked_ef_and_control_marked_af31_with_segmentation_kept() {
    let (_endpoint, relay, server, client) = through(model(0.0)).await;
    let outcome = traffic::run(&server.connection, &client.connection, 200, Duration::from_secs(1)).await;
    assert_eq!(outcome.received, outcome.sent);
    let marks = relay.to_client.tos.lock().expect("whole").clone();
    assert!(marks.iter().all(|mark| [EF, EF | ECT0].contains(mark)), "{marks:02x?}");
    let marks = relay.to_server.tos.lock().expect("whole").clone();
    assert!(
        marks.iter().all(|mark| [AF31, AF31 | ECT0].contains(mark)),
        "{marks:02x?}"
    );
    let statistics = server.connection.statistics();
    if cfg!(target_os = "linux") {
        assert!(statistics.send_calls < statistics.udp_sent, "{statistics:?}");
    }
}

#[test]
fn plain_rtp_leaves_marked_ef_even_where_nobody_listens() {
    let receiver = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
    receiver.set_recv_tos_v4(true).expect("ToS");
    receiver
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a port");
    let address = receiver.local_addr().expect("bound").as_socket().expect("an address");
    let sender = PlainRtpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("opens");
    assert!(sender.send(&[0x80; 172], address).expect("sent"));
    assert_eq!(common::relay::receive(&receiver).expect("arrived").2, EF);

    let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .expect("a port")
        .local_addr()
        .expect("bound");
    for _ in 0..5 {
        assert!(
            sender
                .send(&[0x80; 172], nobody)
                .expect("an unreachable receiver is no error")
        );
    }
}
