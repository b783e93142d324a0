//! Sound for browsers on the same machine: a WebSocket of frames, and the small player that hears it.
//!
//! A browser can't add headers to a WebSocket, so the token comes as a subprotocol. The player's files hold no secret
//! and need no token; like everything here they are for loopback names and no foreign page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use silentmon_playback_io::sink::{BrowserFrames, BrowserSound};

use super::Guard;

/// The subprotocol that is spoken.
const PROTOCOL: &str = "silentmon-audio";
/// What comes before the token in the list of subprotocols.
const TOKEN_PREFIX: &str = "token.";
/// A browser that takes no frame for so long is let go.
const STUCK: Duration = Duration::from_secs(2);
/// Longest message that a browser may send: none is expected.
const LONGEST_MESSAGE: usize = 256;
/// Own scripts and connections to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self' ws://localhost:* ws://127.0.0.1:* ws://[::1]:*; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Clone)]
struct Stream {
    guard: Guard,
    sound: BrowserSound,
    /// Browsers that were let go because they took no frame.
    stuck: Arc<AtomicU64>,
}

/// `/v1/audio` and the files of its player.
pub(super) fn routes(guard: Guard, sound: BrowserSound) -> Router {
    let stream = Stream {
        guard,
        sound,
        stuck: Arc::default(),
    };
    Router::new()
        .route("/v1/audio", get(connect))
        .with_state(stream)
        .route(
            "/v1/audio/player.js",
            get(async || script(include_str!("assets/player.js"))),
        )
        .route(
            "/v1/audio/worklet.js",
            get(async || script(include_str!("assets/worklet.js"))),
        )
        .route(
            "/v1/audio/test.js",
            get(async || script(include_str!("assets/test.js"))),
        )
        .route("/v1/audio/test", get(async || page(include_str!("assets/test.html"))))
}

fn script(text: &'static str) -> Response {
    asset("text/javascript; charset=utf-8", text)
}

fn page(text: &'static str) -> Response {
    asset("text/html; charset=utf-8", text)
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

async fn connect(State(stream): State<Stream>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let shown = shown_token(&headers);
    if !shown.is_some_and(|shown| stream.guard.token.is(shown.as_bytes())) {
        let expected = "expected the subprotocols silentmon-audio and token.TOKEN, with the token of the token file\n";
        return (StatusCode::UNAUTHORIZED, expected).into_response();
    }
    let frames = stream.sound.attach();
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(LONGEST_MESSAGE)
        .on_upgrade(move |socket| async move {
            tracing::info!(browsers = stream.sound.browsers(), "a browser listens");
            if play(socket, frames).await == Ended::Stuck {
                stream.stuck.fetch_add(1, Ordering::Relaxed);
            }
            tracing::info!(
                browsers = stream.sound.browsers(),
                dropped_frames = stream.sound.dropped(),
                stuck = stream.stuck.load(Ordering::Relaxed),
                "a browser has gone"
            );
        })
}

/// The token among the subprotocols that a browser offers.
fn shown_token(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut protocols = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','));
    protocols.find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PREFIX))
}

/// Why a browser's stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The browser went away, or the service ends.
    Closed,
    /// It took no frame.
    Stuck,
}

async fn play(mut socket: WebSocket, mut frames: BrowserFrames) -> Ended {
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::Closed,
                Some(Ok(_)) => continue,
            },
        };
        let Some(frame) = frame else { return Ended::Closed };
        match tokio::time::timeout(STUCK, socket.send(Message::Binary(frame))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ended::Closed,
            Err(_) => return Ended::Stuck,
        }
    }
}

#[cfg(test)]
mod tests;
