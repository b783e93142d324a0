//! Who may come in: by the bearer token, or by a certificate of an accepted role.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use serde_json::json;
use silentmon_capture_io::cti::Pushed;
use silentmon_capture_io::service::{Answer, Question};
use silentmon_certs::{CertificateProblem, Role, ServerTls, peer_identity};
use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::Code;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::listener::SecureListener;
use super::routes::answer;
use crate::config::secret::Secret;

/// What a request needs: who may come in, and what lies behind.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) token: Option<Arc<Secret>>,
    pub(super) roles: Arc<[Role]>,
    pub(super) pushed: Pushed,
    pub(super) questions: mpsc::Sender<Question>,
    /// Certificates in use: a connection may outlive its guest's.
    pub(super) tls: Arc<ArcSwap<ServerTls>>,
}

/// Lets a request through, or answers it with what it lacks.
pub(super) async fn admit(
    State(door): State<Door>,
    ConnectInfo(guest): ConnectInfo<Guest>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(problem) = guest.problem(&door.tls.load()) {
        tracing::warn!(why = problem.word(), %problem, remote = %guest.remote, "a request was refused");
        let reason = format!("{}: {}", Code::CertificateRefused, problem.to_holder());
        return answer(StatusCode::FORBIDDEN, json!({ "reason": reason }));
    }
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
    pub(super) async fn ask(&self, agent: Option<AgentId>) -> Option<Answer> {
        let (answer, told) = oneshot::channel();
        let question = Question::Diagnosis {
            asks: None,
            agent,
            answer,
        };
        self.questions.send(question).await.ok()?;
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

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    remote: SocketAddr,
    /// The role in his certificate, which an authority of ours vouches for.
    role: Option<Role>,
    /// His certificates, where he showed some.
    chain: Arc<[CertificateDer<'static>]>,
}

impl Guest {
    /// Why his certificate is good no longer, if so.
    fn problem(&self, tls: &ServerTls) -> Option<CertificateProblem> {
        let shown = !self.chain.is_empty();
        shown.then(|| tls.recheck(&self.chain).err()).flatten()
    }
}

impl Connected<IncomingStream<'_, SecureListener>> for Guest {
    fn connect_info(stream: IncomingStream<'_, SecureListener>) -> Self {
        let (_, session) = stream.io().get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let identity = session.peer_certificates().map(peer_identity);
        Self {
            chain: chain.into(),
            remote: *stream.remote_addr(),
            role: identity.and_then(Result::ok).map(|identity| identity.role),
        }
    }
}
