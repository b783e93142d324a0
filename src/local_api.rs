//! The playback service's interface for programs on the same machine: HTTP with JSON on loopback.
//!
//! Guarded against other web pages and users (console, loopback safety): only loopback names as Host, no foreign
//! Origin, and the token from a file that only its owner can read.

mod sound_stream;

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use silentmon_playback_io::sink::{BrowserSound, Output};
use silentmon_proto::ids::{AgentId, Extension, ServerName};
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::{AgentRow, SuperviseAction};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::metrics::playback::MetricsPage;
use crate::quality::LegQuality;
use crate::secret::Secret;
use crate::sound::{SoundChange, SoundReport};

/// What a local program wants of the playback service.
#[derive(Debug)]
pub enum Wish {
    /// Listen to this agent, instead of any other.
    Listen {
        /// The agent.
        agent: AgentId,
        /// Why, for the audit.
        purpose: Option<String>,
        /// Where the sound goes, if not where the configuration says.
        output: Option<Output>,
    },
    /// Stop listening.
    Stop,
    /// Go on listening, where the server asked.
    Confirm,
    /// Be brought into the call that is listened to.
    Supervise(Supervise),
    /// Hear both sides differently.
    Sound {
        /// What changes; nothing, to ask how it is.
        change: SoundChange,
        /// Where the answer goes.
        answer: oneshot::Sender<SoundReport>,
    },
}

/// See [`Wish::Supervise`].
#[derive(Debug)]
pub struct Supervise {
    /// What is wished for.
    pub action: SuperviseAction,
    /// The supervisor's own phone.
    pub device: Extension,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// How the playback service stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaybackStatus {
    /// The agent listened to.
    pub agent: Option<AgentId>,
    /// The server it goes through.
    pub server: Option<ServerName>,
    /// Why there is sound or none.
    pub reason: Option<Reason>,
    /// The output's state, in words.
    pub output: String,
    /// The session that runs; as text, because a browser's numbers are too short for it.
    pub session: Option<String>,
    /// The server asked so many seconds before the session's end whether anyone still listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_within_s: Option<u64>,
    /// What can be asked for besides listening; nothing where the CTI link can't do it.
    pub controls: Vec<SuperviseAction>,
    /// How good what is heard is; once a second.
    pub quality: Option<Quality>,
}

/// The quality of both legs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// What the agent says.
    pub agent: LegQuality,
    /// What the customer says.
    pub customer: LegQuality,
}

/// What the interface is connected to.
#[derive(Clone)]
pub struct LocalApi {
    /// Where wishes go.
    pub wishes: mpsc::Sender<Wish>,
    /// How the service stands.
    pub status: watch::Receiver<PlaybackStatus>,
    /// The agents, as the server told them.
    pub agents: watch::Receiver<Vec<AgentRow>>,
    /// What browsers hear.
    pub browsers: BrowserSound,
    /// Figures for Prometheus.
    pub metrics: MetricsPage,
}

#[derive(Clone)]
struct Guard {
    token: Arc<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenRequest {
    agent: AgentId,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    output: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuperviseRequest {
    action: SuperviseAction,
    device: Extension,
}

/// Makes a new token and writes it where only its owner can read it.
///
/// # Errors
/// Where there are no random numbers or the file can't be written.
pub fn make_token(path: &Path) -> anyhow::Result<Secret> {
    let token = Secret::random().context("making a token")?;
    let write = || {
        let _ = std::fs::remove_file(path); // One of another owner or mode must not be reused.
        let mut file = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        std::io::Write::write_all(&mut file, token.expose().as_bytes())
    };
    write().with_context(|| format!("writing the token to {}", path.display()))?;
    Ok(token)
}

/// Serves on each address until `shutdown`.
///
/// # Errors
/// Where an address can't be bound.
pub async fn serve(
    addresses: &[SocketAddr],
    token: Secret,
    api: LocalApi,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let routes = routes(token, api);
    for &address in addresses {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("the local interface can't listen on {address}"))?;
        let (routes, shutdown) = (routes.clone(), shutdown.clone());
        tokio::spawn(async move {
            let served = axum::serve(listener, routes)
                .with_graceful_shutdown(shutdown.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the local interface ended");
            }
        });
    }
    Ok(())
}

fn routes(token: Secret, api: LocalApi) -> Router {
    let guard = Guard { token: Arc::new(token) };
    let browsers = sound_stream::routes(guard.clone(), api.browsers.clone());
    let told = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/agents", get(agents))
        .route("/v1/listen", post(listen).delete(stop))
        .route("/v1/confirm", post(confirm))
        .route("/v1/sound", get(sound).patch(change_sound))
        .route("/v1/sessions/{id}/supervise", post(supervise))
        .route("/metrics", get(metrics))
        .with_state(api)
        .layer(middleware::from_fn_with_state(guard, admit));
    told.merge(browsers).layer(middleware::from_fn(keep_local))
}

/// Answers only what this machine's programs and own pages ask.
async fn keep_local(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        Some((status, text)) => (status, text).into_response(),
        None => next.run(request).await,
    }
}

async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match refusal(&guard, request.headers()) {
        Some((status, text)) => (status, text).into_response(),
        None => next.run(request).await,
    }
}

/// A header's value as text.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Why a request that another host or page may have sent is not answered, if so.
fn foreign(headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if !text(headers, header::HOST).is_some_and(is_loopback_name) {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "expected Host 127.0.0.1, [::1] or localhost\n",
        ));
    }
    let foreign = |origin: &str| !origin.split_once("://").is_some_and(|(_, host)| is_loopback_name(host));
    if text(headers, header::ORIGIN).is_some_and(foreign) {
        return Some((StatusCode::FORBIDDEN, "requests of other pages are refused\n"));
    }
    None
}

/// Why a request without the right token is not answered, if so.
fn refusal(guard: &Guard, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let shown = text(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    if !shown.is_some_and(|shown| guard.token.is(shown.as_bytes())) {
        return Some((
            StatusCode::UNAUTHORIZED,
            "expected Authorization: Bearer with the token of the token file\n",
        ));
    }
    None
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    matches!(name, "127.0.0.1" | "::1" | "localhost")
}

async fn status(State(api): State<LocalApi>) -> Json<PlaybackStatus> {
    Json(api.status.borrow().clone())
}

async fn agents(State(api): State<LocalApi>) -> Json<Vec<AgentRow>> {
    Json(api.agents.borrow().clone())
}

async fn metrics(State(api): State<LocalApi>) -> Response {
    api.metrics.answer()
}

async fn listen(State(api): State<LocalApi>, Json(request): Json<ListenRequest>) -> Response {
    let output = match request.output.as_deref().map(live_output).transpose() {
        Ok(output) => output,
        Err(why) => return (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
    };
    let wished = Wish::Listen {
        agent: request.agent,
        purpose: request.purpose,
        output,
    };
    wish(&api, wished).await.into_response()
}

/// An output that a local program may choose: a file is for the configuration to name.
fn live_output(text: &str) -> Result<Output, String> {
    match text.parse::<Output>() {
        Ok(Output::Wav(_)) => Err("expected an output that keeps nothing, found a file\n".to_owned()),
        Ok(output) => Ok(output),
        Err(error) => Err(format!("{error}\n")),
    }
}

async fn stop(State(api): State<LocalApi>) -> StatusCode {
    wish(&api, Wish::Stop).await
}

async fn confirm(State(api): State<LocalApi>) -> StatusCode {
    wish(&api, Wish::Confirm).await
}

async fn sound(State(api): State<LocalApi>) -> Response {
    change_sound(State(api), Json(SoundChange::default())).await
}

/// Answers with the settings as they are then.
async fn change_sound(State(api): State<LocalApi>, Json(change): Json<SoundChange>) -> Response {
    let (answer, answered) = oneshot::channel();
    if api.wishes.send(Wish::Sound { change, answer }).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(report) => Json(report).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Answers once the CTI link did: 200, or 409 with why not.
async fn supervise(
    State(api): State<LocalApi>,
    UrlPath(id): UrlPath<String>,
    Json(request): Json<SuperviseRequest>,
) -> Response {
    let SuperviseRequest { action, device } = request;
    let status = api.status.borrow().clone();
    if status.session.as_ref() != Some(&id) {
        return (StatusCode::NOT_FOUND, "no such session\n").into_response();
    }
    if !status.controls.contains(&action) {
        return (StatusCode::CONFLICT, "the CTI link can't do that\n").into_response();
    }
    let (answer, answered) = oneshot::channel();
    let supervise = Supervise { action, device, answer };
    if api.wishes.send(Wish::Supervise(supervise)).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(why)) => (StatusCode::CONFLICT, format!("{why}\n")).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn wish(api: &LocalApi, wish: Wish) -> StatusCode {
    match api.wishes.send(wish).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().expect("a header")))
            .collect()
    }

    fn answer(pairs: &[(header::HeaderName, &str)]) -> Option<StatusCode> {
        let headers = headers(pairs);
        let token = Arc::new("secret".into());
        let refused = foreign(&headers).or_else(|| refusal(&Guard { token }, &headers));
        refused.map(|(status, _)| status)
    }

    #[test]
    fn answers_local_programs_that_show_the_token() {
        for host in ["127.0.0.1:42228", "localhost:42228", "[::1]:42228"] {
            assert_eq!(
                answer(&[(header::HOST, host), (header::AUTHORIZATION, "Bearer secret")]),
                None,
                "{host}"
            );
        }
    }

    #[test]
    fn refuses_rebound_names_other_pages_and_wrong_tokens() {
        let token = (header::AUTHORIZATION, "Bearer secret");
        let rebound = [(header::HOST, "evil.example:42228"), token.clone()];
        assert_eq!(answer(&rebound), Some(StatusCode::MISDIRECTED_REQUEST));
        let page = [
            (header::HOST, "127.0.0.1:42228"),
            (header::ORIGIN, "https://evil.example"),
            token,
        ];
        assert_eq!(answer(&page), Some(StatusCode::FORBIDDEN));
        for wrong in ["Bearer secreT", "Bearer secret2", "secret"] {
            let request = [(header::HOST, "127.0.0.1:42228"), (header::AUTHORIZATION, wrong)];
            assert_eq!(answer(&request), Some(StatusCode::UNAUTHORIZED), "{wrong}");
        }
    }

    #[test]
    fn a_program_may_choose_any_output_but_a_file() {
        assert_eq!(live_output("browser"), Ok(Output::Browser));
        assert_eq!(live_output("default"), Ok(Output::Default));
        assert!(live_output("wav:/tmp/x.wav").is_err());
        assert!(live_output("").is_err());
    }

    #[test]
    fn the_token_file_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let token = make_token(&path).expect("writes");
        assert_eq!(token.expose().len(), 64);
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(make_token(&path).expect("writes anew") != token);
    }
}
