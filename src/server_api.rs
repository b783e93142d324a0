//! HTTPS on the TCP side of the service port: events pushed by anything that knows of agents and calls, and how things
//! stand for anything that wants to show it.
//!
//! TLS 1.3 with the server's identity. A request proves itself by the bearer token or by a certificate of an accepted
//! role; a batch is taken as a whole or not at all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use serde_json::json;
use silentmon_capture_core::diagnosis::Diagnosis;
use silentmon_capture_io::cti::{CtiSources, Pushed};
use silentmon_capture_io::service::{Answer, Question};
use silentmon_certs::{Role, peer_identity};
use silentmon_proto::cti::{CtiEvent, script};
use silentmon_proto::ids::AgentId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::capture::CaptureConfig;
use crate::config::cti::{self, CtiSection};
use crate::config::secret::{self, Secret};
use crate::exit::{ExitKind, Failure};
use crate::tls;

/// Most bytes of one request.
const MOST_BYTES: usize = 1 << 20;
/// How long a handshake may take (requirements section 3).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Connections whose handshake goes on at the same time.
const MOST_HANDSHAKES: usize = 64;

/// The interface, bound but not yet served.
pub struct ServerApi {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    door: Door,
}

#[derive(Clone)]
struct Door {
    token: Option<Arc<Secret>>,
    roles: Arc<[Role]>,
    pushed: Pushed,
    questions: mpsc::Sender<Question>,
}

impl ServerApi {
    /// Binds the service port where the configuration has a source of kind `http`; otherwise there is no interface.
    ///
    /// # Errors
    /// `BadConfig` where the token or the identity can't be read, `Unavailable` where the port is taken.
    pub async fn bind(
        config: &CaptureConfig,
        sources: &CtiSources,
        questions: mpsc::Sender<Question>,
    ) -> anyhow::Result<Option<Self>> {
        let named = cti::names(&config.cti).into_iter().zip(&config.cti);
        let found = named.into_iter().find_map(|(name, section)| match section {
            CtiSection::Http(section) => Some((name, section)),
            _ => None,
        });
        let Some((name, section)) = found else {
            return Ok(None);
        };
        let token = secret::of_source(&name, "token", section.token_file.as_deref(), None)?;
        let service = &config.service;
        let tls = tls::web_server(&service.identity, &service.ca, service.crl.as_deref())?;
        let listener = TcpListener::bind(service.listen)
            .await
            .map_err(|error| Failure::error(ExitKind::Unavailable, format!("service.listen (TCP): {error}")))?;
        let door = Door {
            token: token.map(Arc::new),
            roles: section.roles.as_slice().into(),
            pushed: sources.pushed(name),
            questions,
        };
        Ok(Some(Self { listener, tls, door }))
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let routes = routes(self.door).into_make_service_with_connect_info::<Guest>();
        let listener = SecureListener::start(self.listener, self.tls, shutdown.clone());
        let served = axum::serve(listener, routes)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the HTTPS interface ended");
        }
    }
}

fn routes(door: Door) -> Router {
    Router::new()
        .route("/v1/events", post(push))
        .route("/v1/diagnosis", get(diagnose_house))
        .route("/v1/diagnosis/{agent}", get(diagnose_agent))
        .layer(middleware::from_fn_with_state(door.clone(), admit))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(door)
}

async fn admit(
    State(door): State<Door>,
    ConnectInfo(guest): ConnectInfo<Guest>,
    request: Request,
    next: Next,
) -> Response {
    match door.refusal(&guest, request.headers()) {
        Some((status, expected)) => {
            tracing::info!(status = status.as_u16(), remote = %guest.remote, "pushed events were refused");
            answer(status, json!({ "expected": expected }))
        }
        None => next.run(request).await,
    }
}

impl Door {
    /// Asks the service how things stand; nothing where it stops.
    async fn ask(&self, agent: Option<AgentId>) -> Option<Answer> {
        let (answer, told) = oneshot::channel();
        self.questions.send(Question { agent, answer }).await.ok()?;
        told.await.ok()
    }

    /// Why a request is not answered, if so.
    fn refusal(&self, guest: &Guest, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        if guest.role.is_some_and(|role| self.roles.contains(&role)) {
            return None;
        }
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match (shown, &self.token) {
            (Some(shown), Some(token)) if token.is(shown) => None,
            (Some(_), _) => Some((StatusCode::FORBIDDEN, "another token")),
            (None, _) if guest.role.is_some() => Some((
                StatusCode::FORBIDDEN,
                "a certificate of a role that `roles` names, or the token",
            )),
            (None, _) => Some((
                StatusCode::UNAUTHORIZED,
                "Authorization: Bearer with the token, or a client certificate",
            )),
        }
    }
}

async fn push(State(door): State<Door>, body: Result<Bytes, axum::extract::rejection::BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let expected = format!("at most {MOST_BYTES} bytes");
            return answer(StatusCode::PAYLOAD_TOO_LARGE, json!({ "expected": expected }));
        }
        Err(refused) => return refused.into_response(),
    };
    let events = match parse(&body) {
        Ok(events) => events,
        Err(wrong) => {
            return answer(
                StatusCode::BAD_REQUEST,
                json!({ "line": wrong.line, "expected": wrong.what }),
            );
        }
    };
    let taken = events.len();
    match door.pushed.take(events).await {
        Ok(()) => answer(StatusCode::ACCEPTED, json!({ "taken": taken })),
        Err(stopping) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "expected": stopping.to_string() }),
        ),
    }
}

/// Every hop of an agent.
async fn diagnose_agent(State(door): State<Door>, Path(agent): Path<AgentId>) -> Response {
    match door.ask(Some(agent.clone())).await {
        Some(told) => answer(StatusCode::OK, json!({ "agent": agent, "hops": told.hops })),
        None => stopping(),
    }
}

/// The hops that all agents share, and why each agent and each session can be heard or not.
async fn diagnose_house(State(door): State<Door>) -> Response {
    let Some(told) = door.ask(None).await else {
        return stopping();
    };
    let Answer { hops, agents, sessions } = told;
    let agents = agents.into_iter().map(
        |(agent, Diagnosis { reason, warnings })| json!({ "agent": agent, "reason": reason, "warnings": warnings }),
    );
    let sessions = sessions
        .into_iter()
        .map(|(session, agent, Diagnosis { reason, warnings })| {
            // As text, because a browser's numbers are too short for it.
            let session = session.to_string();
            json!({ "session": session, "agent": agent, "reason": reason, "warnings": warnings })
        });
    let (agents, sessions): (Vec<_>, Vec<_>) = (agents.collect(), sessions.collect());
    answer(
        StatusCode::OK,
        json!({ "hops": hops, "agents": agents, "sessions": sessions }),
    )
}

fn stopping() -> Response {
    let expected = "a service that goes on; it stops";
    answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "expected": expected }))
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// The events of a request: one object, an array of them, or one a line.
fn parse(body: &[u8]) -> Result<Vec<CtiEvent>, script::ScriptError> {
    let text = std::str::from_utf8(body).map_err(|error| script::ScriptError {
        line: body
            .iter()
            .take(error.valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count()
            + 1,
        what: "expected UTF-8".to_owned(),
    })?;
    script::parse_events(text)
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
struct Guest {
    remote: SocketAddr,
    /// The role in his certificate, which an authority of ours vouches for.
    role: Option<Role>,
}

impl Connected<IncomingStream<'_, SecureListener>> for Guest {
    fn connect_info(stream: IncomingStream<'_, SecureListener>) -> Self {
        let (_, session) = stream.io().get_ref();
        let identity = session.peer_certificates().map(peer_identity);
        Self {
            remote: *stream.remote_addr(),
            role: identity.and_then(Result::ok).map(|identity| identity.role),
        }
    }
}

/// Hands out connections whose handshake is done; a slow one keeps nobody else waiting.
struct SecureListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl SecureListener {
    fn start(listener: TcpListener, tls: Arc<ServerConfig>, shutdown: CancellationToken) -> Self {
        let address = listener
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let (sender, ready) = mpsc::channel(MOST_HANDSHAKES);
        tokio::spawn(shutdown.run_until_cancelled_owned(greet_all(listener, tls, sender)));
        Self { ready, address }
    }
}

impl Listener for SecureListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // Nobody is let in any more; the server is about to end.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn greet_all(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let handshakes = Arc::new(tokio::sync::Semaphore::new(MOST_HANDSHAKES));
    loop {
        let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, as a rule: it passes.
                tracing::warn!(%error, "an HTTPS connection could not be taken");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (acceptor, ready) = (TlsAcceptor::from(Arc::clone(&tls)), ready.clone());
        tokio::spawn(async move {
            let _turn = turn;
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                // The server is gone only when the service stops.
                Ok(Ok(stream)) => drop(ready.send((stream, remote)).await),
                Ok(Err(error)) => tracing::info!(%remote, %error, "an HTTPS connection was refused"),
                Err(_) => tracing::info!(%remote, "an HTTPS handshake took too long"),
            }
        });
    }
}
