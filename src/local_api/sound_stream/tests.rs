//! Browsers, played by a WebSocket client and, where there is one, by Chromium.

mod chromium;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_playback_io::clock;
use silentmon_playback_io::sink::{BROWSER_HEADER, SharedPlayer, Sink};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, AudioKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{Request, StatusCode};
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;
use crate::local_api::{LocalApi, PlaybackStatus};
use crate::metrics::playback::{MetricsPage, PlaybackFigures};

/// A local interface on a port of its own, whose token is `secret`.
async fn served(sound: &BrowserSound) -> SocketAddr {
    let idle = PlaybackStatus {
        agent: None,
        server: None,
        reason: None,
        output: "closed".to_owned(),
        session: None,
        confirm_within_s: None,
        controls: Vec::new(),
        quality: None,
    };
    let api = LocalApi {
        wishes: mpsc::channel(1).0,
        status: watch::channel(idle).1,
        agents: watch::channel(Vec::new()).1,
        browsers: sound.clone(),
        metrics: MetricsPage::new(watch::channel(PlaybackFigures::default()).1),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let routes = crate::local_api::routes("secret".into(), api);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

fn request(address: SocketAddr, protocols: &str) -> Request<()> {
    let mut request = format!("ws://{address}/v1/audio")
        .into_client_request()
        .expect("a request");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocols.parse().expect("a header"));
    request
}

async fn refused(request: Request<()>) -> StatusCode {
    match tokio_tungstenite::connect_async(request).await {
        Err(tungstenite::Error::Http(response)) => response.status(),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// A player and a phone that talks a tone of 440 Hz into it, as long as the sink is kept.
fn tone(sound: &BrowserSound) -> Sink {
    let player: SharedPlayer = Arc::new(Mutex::new(Player::new(PlayoutSettings::default())));
    let phone = Arc::downgrade(&player);
    std::thread::spawn(move || {
        let start = Instant::now();
        let mut packet = 0_u32;
        while let Some(player) = phone.upgrade() {
            let header = AudioHeader {
                kind: AudioKind::Rtp,
                leg: Leg::Agent,
                again: false,
                codec: Codec::Pcmu,
                channel: 1,
                relay_sequence: packet,
                captured: clock::now(),
            };
            let rtp = tone_packet(packet);
            player
                .lock()
                .expect("no thread died")
                .handle_packet(clock::now(), &header, &rtp);
            drop(player);
            packet += 1;
            std::thread::sleep((Duration::from_millis(20) * packet).saturating_sub(start.elapsed()));
        }
    });
    Sink::open_for_browsers(sound, player).expect("a thread")
}

fn tone_packet(number: u32) -> Vec<u8> {
    let mut rtp = vec![0x80, 0];
    rtp.extend_from_slice(&number.to_be_bytes()[2..]);
    rtp.extend_from_slice(&(number * 160).to_be_bytes());
    rtp.extend_from_slice(&7_u32.to_be_bytes());
    rtp.extend((number * 160..(number + 1) * 160).map(tone_sample));
    rtp
}

/// One sample of a tone of 440 Hz at half of full scale, as µ-law (ITU-T G.711).
fn tone_sample(n: u32) -> u8 {
    let linear = (f64::from(n % 8000) * std::f64::consts::TAU * 440.0 / 8000.0).sin() * 4000.0;
    let magnitude = linear.abs() + 33.0;
    let segment = (magnitude.log2().floor() - 5.0).clamp(0.0, 7.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 127")]
    let code = (segment * 16.0 + (magnitude / 2_f64.powf(segment + 1.0) - 16.0).floor().clamp(0.0, 15.0)) as u8;
    !(if linear < 0.0 { code | 0x80 } else { code })
}

#[tokio::test]
async fn a_browser_with_the_token_hears_the_sound_frame_by_frame() {
    let sound = BrowserSound::default();
    let address = served(&sound).await;
    let sink = tone(&sound);
    let connected = tokio_tungstenite::connect_async(request(address, "silentmon-audio, token.secret")).await;
    let (mut socket, response) = connected.expect("connects");
    assert_eq!(response.headers()["sec-websocket-protocol"], "silentmon-audio");
    let mut sequence = None;
    let mut loudest = 0;
    for _ in 0..60 {
        let Some(Ok(Message::Binary(frame))) = socket.next().await else {
            panic!("expected a frame");
        };
        let word = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let rate = word(4);
        assert_eq!(frame.len(), BROWSER_HEADER + rate as usize / 100 * 4);
        assert!(sequence.is_none_or(|before| word(0) == before + 1));
        sequence = Some(word(0));
        for samples in frame[BROWSER_HEADER..].chunks_exact(4) {
            loudest = loudest.max(i16::from_le_bytes([samples[0], samples[1]]));
            assert_eq!(samples[2..], [0, 0], "the customer is silent");
        }
    }
    assert!((15_000..17_500).contains(&loudest), "{loudest}");
    assert_eq!(sound.browsers(), 1);
    drop(socket);
    sink.close();
}

#[tokio::test]
async fn without_the_token_or_from_another_page_there_is_no_sound() {
    let address = served(&BrowserSound::default()).await;
    for protocols in ["silentmon-audio", "silentmon-audio, token.wrong", "token."] {
        assert_eq!(refused(request(address, protocols)).await, StatusCode::UNAUTHORIZED);
    }
    let mut other_page = request(address, "silentmon-audio, token.secret");
    let origin = "https://evil.example".parse().expect("a header");
    other_page.headers_mut().insert("origin", origin);
    assert_eq!(refused(other_page).await, StatusCode::FORBIDDEN);
    let mut rebound = request(address, "silentmon-audio, token.secret");
    let host = "evil.example:42228".parse().expect("a header");
    rebound.headers_mut().insert("host", host);
    assert_eq!(refused(rebound).await, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn the_players_files_need_no_token_and_forbid_inline_scripts() {
    let address = served(&BrowserSound::default()).await;
    for (path, kind) in [
        ("test", "text/html"),
        ("test.js", "text/javascript"),
        ("player.js", "text/javascript"),
        ("worklet.js", "text/javascript"),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let request = format!("GET /v1/audio/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(
            answer.contains(&format!("content-type: {kind}; charset=utf-8")),
            "{path}"
        );
        assert!(answer.contains("script-src 'self';"), "{path}");
        assert!(!answer.contains("unsafe"), "{path}");
    }
}

/// What a browser that plays the stream for some seconds says of it.
async fn heard_by(browser: &mut chromium::Browser, address: SocketAddr) -> Result<(), String> {
    browser
        .open(&format!("http://{address}/v1/audio/test#token=secret"))
        .await;
    let figures = browser.evaluate(include_str!("tests/hear.js")).await;
    let number = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    let tone = (number("peak") - 440.0).abs() < 5.0 && (number("level") - 0.345).abs() < 0.02;
    let steady = ["underruns", "overruns", "lost", "reconnects"]
        .iter()
        .all(|name| number(name).abs() < 0.5);
    let enough = figures["state"] == "connected" && number("played") > 1.5 * number("sampleRate");
    if tone && steady && enough {
        Ok(())
    } else {
        Err(figures.to_string())
    }
}

/// Tries three times: on a machine under load even Chromium's own audio thread comes too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_hears_the_tone_without_a_gap() {
    let sound = BrowserSound::default();
    let address = served(&sound).await;
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = chromium::Browser::start(folder.path()).await else {
        return;
    };
    let _sink = tone(&sound);
    let mut failures = Vec::new();
    for _ in 0..3 {
        match heard_by(&mut browser, address).await {
            Ok(()) => return,
            Err(figures) => failures.push(figures),
        }
    }
    panic!("{failures:#?}");
}
