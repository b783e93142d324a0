//! Who may come in: by the bearer token of a source that pushes events, by a certificate, or by the session of somebody
//! who signed in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use serde_json::json;
use silentmon_capture_core::policy::{Means, Principal, Role};
use silentmon_capture_io::cti::Pushed;
use silentmon_capture_io::service::{Order, Question};
use silentmon_certs::{CertificateProblem, Identity, Role as CertificateRole, ServerTls, peer_identity};
use silentmon_proto::ids::{AgentId, SupervisorName};
use silentmon_proto::reason::Code;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::listener::SecureListener;
use super::routes::answer;
use super::sign_in::{COOKIE, SignIns};
use crate::secret::Secret;

/// Who may push events, for whoever may not.
pub(super) const PUSHER: &str = "a certificate of a role that `roles` names, or the token";

/// What a request needs: who may come in, and what lies behind.
#[derive(Clone)]
pub(super) struct Door {
    /// A source of kind `http`, where the configuration has one.
    pub(super) source: Option<PushSource>,
    /// People who sign in by password or ID token, where there are any.
    pub(super) sign_ins: Option<SignIns>,
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) orders: mpsc::Sender<Order>,
    /// Certificates in use: a connection may outlive its guest's.
    pub(super) tls: Arc<ArcSwap<ServerTls>>,
}

/// Who pushes events, and where they go.
#[derive(Clone)]
pub(super) struct PushSource {
    pub(super) token: Option<Arc<Secret>>,
    pub(super) roles: Arc<[CertificateRole]>,
    pub(super) pushed: Pushed,
}

/// Who a request is from.
#[derive(Clone)]
pub(super) struct Caller {
    /// The person; nobody, where a program showed the token or a server its certificate.
    principal: Option<Principal>,
    /// Whether he may push events and say what concerns calls.
    pub(super) pushes: bool,
    /// The agent at whose desk the program is, by its certificate.
    pub(super) desktop: Option<AgentId>,
    /// The session that he showed.
    session: Option<Shown>,
}

/// A session's token as it was shown.
#[derive(Clone)]
struct Shown {
    token: String,
    by_cookie: bool,
}

/// Somebody who is let in, but isn't told how things stand.
pub(super) struct NotTold;

impl IntoResponse for NotTold {
    fn into_response(self) -> Response {
        answer(StatusCode::FORBIDDEN, json!({ "expected": PUSHER }))
    }
}

impl Caller {
    /// As whom he is told how things stand: a person by what he may see, and whoever may push events everything.
    ///
    /// # Errors
    /// The refusal of anybody else.
    pub(super) fn asks(&self) -> Result<Option<Principal>, NotTold> {
        if self.principal.is_some() || self.pushes {
            return Ok(self.principal.clone());
        }
        Err(NotTold)
    }

    /// The token of the session that he showed.
    pub(super) fn token(&self) -> Option<&str> {
        self.session.as_ref().map(|session| session.token.as_str())
    }
}

/// Lets a request through with its [`Caller`], or answers it with what it lacks.
pub(super) async fn admit(
    State(door): State<Door>,
    ConnectInfo(guest): ConnectInfo<Guest>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(problem) = guest.problem(&door.tls.load()) {
        tracing::warn!(why = problem.word(), %problem, "a request was refused");
        tracing::debug!(remote = %guest.remote, "where it came from");
        let reason = format!("{}: {}", Code::CertificateRefused, problem.to_holder());
        return answer(StatusCode::FORBIDDEN, json!({ "reason": reason }));
    }
    let caller = match door.caller(&guest, request.headers()) {
        Ok(caller) => caller,
        Err((status, expected)) => {
            tracing::info!(status = status.as_u16(), "a request was refused");
            tracing::debug!(remote = %guest.remote, "where it came from");
            return answer(status, json!({ "expected": expected }));
        }
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let by_cookie = caller.session.as_ref().is_some_and(|session| session.by_cookie);
        if by_cookie && !request.headers().contains_key(header::ORIGIN) {
            return answer(
                StatusCode::FORBIDDEN,
                json!({ "expected": "Origin, beside the cookie" }),
            );
        }
        if let Some(refused) = foreign_page(request.headers()) {
            return refused;
        }
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The answer to a request that a page of another site may have made a browser send: it shows cookies and certificates by
/// itself.
pub(super) fn foreign_page(headers: &HeaderMap) -> Option<Response> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let origin = text(header::ORIGIN)?;
    let own = text(header::HOST).is_some_and(|host| origin.strip_prefix("https://") == Some(host));
    (!own).then(|| answer(StatusCode::FORBIDDEN, json!({ "expected": "a page of this server" })))
}

impl Door {
    /// Asks the service something; nothing where it stops.
    pub(super) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, told) = oneshot::channel();
        self.questions.send(question(answer)).await.ok()?;
        told.await.ok()
    }

    /// Who a request is from, or what it lacks.
    fn caller(&self, guest: &Guest, headers: &HeaderMap) -> Result<Caller, (StatusCode, &'static str)> {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if bearer.is_some_and(|shown| self.is_token(shown)) {
            return Ok(Caller {
                principal: None,
                pushes: true,
                desktop: None,
                session: None,
            });
        }
        if let Some(caller) = self.signed_in(guest, bearer, headers) {
            return Ok(caller);
        }
        if let Some(caller) = guest
            .identity
            .as_ref()
            .and_then(|identity| self.certified(guest, identity))
        {
            return Ok(caller);
        }
        Err(match bearer {
            Some(_) => (StatusCode::FORBIDDEN, "another token"),
            None if guest.identity.is_some() => (StatusCode::FORBIDDEN, PUSHER),
            None => (
                StatusCode::UNAUTHORIZED,
                "Authorization: Bearer with the token, a client certificate, or a sign-in",
            ),
        })
    }

    fn is_token(&self, shown: &[u8]) -> bool {
        let token = self.source.as_ref().and_then(|source| source.token.as_ref());
        token.is_some_and(|token| token.is(shown))
    }

    /// The person whose session is shown, by bearer token or cookie.
    fn signed_in(&self, guest: &Guest, bearer: Option<&[u8]>, headers: &HeaderMap) -> Option<Caller> {
        let sign_ins = self.sign_ins.as_ref()?;
        let (token, by_cookie) = match bearer {
            Some(bearer) => (std::str::from_utf8(bearer).ok()?.to_owned(), false),
            None => (cookie(headers)?.to_owned(), true),
        };
        let users = sign_ins.users.as_ref().map(|users| users.current());
        let holder = sign_ins.sessions.holder(&token, users.as_deref(), Instant::now())?;
        Some(Caller {
            principal: Some(guest.principal(holder.name, holder.role, holder.means)),
            pushes: false,
            desktop: None,
            session: Some(Shown { token, by_cookie }),
        })
    }

    /// Whoever a certificate says. A server's is nobody's: it is good for pushing, where `roles` names it.
    fn certified(&self, guest: &Guest, identity: &Identity) -> Option<Caller> {
        let (role, name) = (identity.role, identity.name.as_str());
        let pushes = self.source.as_ref().is_some_and(|source| source.roles.contains(&role));
        let person = match role {
            CertificateRole::Capture | CertificateRole::Desktop => None,
            CertificateRole::Supervisor => Some(Role::Supervisor),
            CertificateRole::Admin => Some(Role::Administrator),
        };
        let principal = person.map(|role| guest.principal(SupervisorName::new(name), role, Means::Certificate));
        let desktop = (role == CertificateRole::Desktop).then(|| AgentId::new(name));
        (pushes || principal.is_some() || desktop.is_some()).then_some(Caller {
            principal,
            pushes,
            desktop,
            session: None,
        })
    }
}

/// The session's cookie (RFC 6265 section 5.4).
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) remote: SocketAddr,
    /// Who he is by his certificate, which an authority of ours vouches for.
    identity: Option<Identity>,
    /// His certificates, where he showed some.
    chain: Arc<[CertificateDer<'static>]>,
}

impl Guest {
    /// Why his certificate is good no longer, if so.
    fn problem(&self, tls: &ServerTls) -> Option<CertificateProblem> {
        let shown = !self.chain.is_empty();
        shown.then(|| tls.recheck(&self.chain).err()).flatten()
    }

    /// Where he is.
    pub(super) fn address(&self) -> IpAddr {
        self.remote.ip().to_canonical()
    }

    fn principal(&self, name: SupervisorName, role: Role, means: Means) -> Principal {
        let from = self.address();
        Principal {
            name,
            role,
            from,
            means,
        }
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
            identity: identity.and_then(Result::ok),
        }
    }
}
