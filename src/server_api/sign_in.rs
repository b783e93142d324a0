//! Signing in by name and password or by an ID token of the house's identity provider, and out again.
//!
//! Tries are announced to the engine before a password is looked at, so that the lock-out counts them whatever becomes of
//! the request; hashing goes on beside the event loops, a few at a time. A name that nobody has costs as long as one that
//! somebody has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use silentmon_capture_core::policy::{Means, Principal, Role, SignInOutcome};
use silentmon_capture_io::service::Question;
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::reason::Reason;
use tokio::sync::{Semaphore, oneshot};

use super::door::{Caller, Door, Guest, foreign_page};
use super::routes::answer;
use super::web_session::{IDLE, Proof, WebSessions};
use crate::oidc::{BadToken, Claimed, LONGEST_TOKEN, Oidc};
use crate::secret::Secret;
use crate::users::{self, LONGEST_NAME, LONGEST_PASSWORD, User, Users};

/// The cookie of a session. Its prefix binds it to this host and to TLS (RFC 6265bis section 4.1.3).
pub(super) const COOKIE: &str = "__Host-silentmon";
/// Passwords looked at side by side, at 64 MiB each.
const SIDE_BY_SIDE: usize = 2;
/// Sign-ins that may wait for that; whoever comes then has to come again.
const WAITING: usize = 32;
/// Most bytes of a sign-in.
const MOST_BYTES: usize = 4096;

/// People who sign in, and who has.
#[derive(Clone)]
pub(super) struct SignIns {
    /// Who signs in by password.
    pub(super) users: Option<Arc<Users>>,
    /// Who vouches for others.
    oidc: Option<Arc<Oidc>>,
    pub(super) sessions: Arc<WebSessions>,
    /// Passwords that may be looked at now.
    hashing: Arc<Semaphore>,
    /// Sign-ins that may be under way, waiting or not.
    places: Arc<Semaphore>,
}

impl SignIns {
    /// Of these users and those of this issuer, none of whom has signed in yet.
    pub(super) fn new(users: Option<Users>, oidc: Option<Oidc>) -> Self {
        if users.is_some() {
            // Made now, so that the first unknown name doesn't take longer than others.
            let _ = users::unknown();
        }
        Self {
            users: users.map(Arc::new),
            oidc: oidc.map(Arc::new),
            sessions: Arc::default(),
            hashing: Arc::new(Semaphore::new(SIDE_BY_SIDE)),
            places: Arc::new(Semaphore::new(SIDE_BY_SIDE + WAITING)),
        }
    }

    fn begin(&self, name: SupervisorName, role: Role, proof: Proof) -> Tried {
        let longest = proof.longest();
        match self.sessions.begin(&name, proof, Instant::now()) {
            Some(token) => Tried::SignedIn(SignedIn {
                name,
                role,
                token,
                longest,
            }),
            None => Tried::Busy,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: SupervisorName,
    password: Secret,
    /// Whether the token is to stand in the answer instead of in a cookie: for programs that aren't browsers.
    #[serde(default)]
    bearer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    /// An ID token of the issuer's (OpenID Connect Core section 2).
    id_token: Secret,
    #[serde(default)]
    bearer: bool,
}

/// How somebody signs in.
enum Wanted {
    ByPassword(Request),
    ByToken(TokenRequest),
}

/// Somebody who is in.
struct SignedIn {
    name: SupervisorName,
    role: Role,
    token: Secret,
    /// For how long at most.
    longest: Duration,
}

/// What became of a sign-in.
enum Tried {
    SignedIn(SignedIn),
    /// Locked: password or token wasn't looked at.
    Refused(Reason),
    Wrong(String),
    /// Too many sign in at once, it can't be found out, or the service stops.
    Busy,
}

/// `GET /v1/sign-in`: how one signs in here, and with which nonce an ID token is asked for.
pub(super) async fn ways(State(door): State<Door>) -> Response {
    let sign_ins = door.sign_ins.as_ref();
    let issuer = sign_ins.and_then(|sign_ins| sign_ins.oidc.as_ref());
    let oidc = issuer.and_then(|oidc| {
        let nonce = oidc.nonce()?;
        Some(json!({ "issuer": oidc.issuer(), "client_id": oidc.client_id(), "nonce": nonce }))
    });
    let password = sign_ins.is_some_and(|sign_ins| sign_ins.users.is_some());
    no_store(answer(StatusCode::OK, json!({ "password": password, "oidc": oidc })))
}

/// `POST /v1/sign-in`
pub(super) async fn sign_in(
    State(door): State<Door>,
    ConnectInfo(guest): ConnectInfo<Guest>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(sign_ins) = door.sign_ins.clone() else {
        return answer(StatusCode::NOT_FOUND, json!({ "expected": "service.users, or [oidc]" }));
    };
    if let Some(refused) = foreign_page(&headers) {
        return refused;
    }
    let wanted = match read(&headers, &body) {
        Ok(wanted) => wanted,
        Err((status, expected)) => return answer(status, json!({ "expected": expected })),
    };
    let bearer = match &wanted {
        Wanted::ByPassword(request) => request.bearer,
        Wanted::ByToken(request) => request.bearer,
    };
    // In a task of its own: whoever hangs up in between has tried all the same.
    let tried = tokio::spawn(async move { attempt(&door, &sign_ins, &guest, wanted).await });
    match tried.await.unwrap_or(Tried::Busy) {
        Tried::SignedIn(signed_in) => welcome(&signed_in, bearer),
        Tried::Refused(reason) => answer(StatusCode::FORBIDDEN, json!({ "reason": reason })),
        Tried::Wrong(expected) => answer(StatusCode::UNAUTHORIZED, json!({ "expected": expected })),
        Tried::Busy => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "expected": "fewer sign-ins at a time; try again" }),
        ),
    }
}

/// `POST /v1/sign-out`
pub(super) async fn sign_out(State(door): State<Door>, Extension(caller): Extension<Caller>) -> Response {
    if let (Some(sign_ins), Some(token)) = (&door.sign_ins, caller.token()) {
        sign_ins.sessions.end(token);
    }
    let expired = HeaderValue::from_static("__Host-silentmon=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, expired)], StatusCode::NO_CONTENT).into_response()
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Wanted, (StatusCode, String)> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        let expected = "Content-Type: application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
    }
    if body.len() > MOST_BYTES + LONGEST_TOKEN {
        let expected = format!("at most {} bytes", MOST_BYTES + LONGEST_TOKEN);
        return Err((StatusCode::PAYLOAD_TOO_LARGE, expected));
    }
    if let Ok(request) = serde_json::from_slice(body) {
        return Ok(Wanted::ByToken(request));
    }
    if body.len() > MOST_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MOST_BYTES} bytes")));
    }
    let bad = || {
        let expected = format!(
            "{{\"name\": …, \"password\": …}}, the name of at most {LONGEST_NAME} characters, or {{\"id_token\": …}}"
        );
        (StatusCode::BAD_REQUEST, expected)
    };
    let request: Request = serde_json::from_slice(body).map_err(|_| bad())?;
    let name = request.name.as_str();
    let usable = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
    if !usable || request.password.expose().len() > LONGEST_PASSWORD {
        return Err(bad());
    }
    Ok(Wanted::ByPassword(request))
}

/// Looks at a password or a token, unless the name or its source is locked, and has the outcome counted.
async fn attempt(door: &Door, sign_ins: &SignIns, guest: &Guest, wanted: Wanted) -> Tried {
    let Ok(_place) = sign_ins.places.try_acquire() else {
        return Tried::Busy;
    };
    match wanted {
        Wanted::ByPassword(request) => {
            let Some(users) = sign_ins.users.clone() else {
                return Tried::Wrong("{\"id_token\": …}: nobody signs in by password here".to_owned());
            };
            let Ok(_turn) = sign_ins.hashing.acquire().await else {
                return Tried::Busy;
            };
            let name = request.name.clone();
            counted(
                door,
                guest,
                name,
                Means::Password,
                by_password(sign_ins, &users, request),
            )
            .await
        }
        Wanted::ByToken(request) => {
            let Some(oidc) = sign_ins.oidc.clone() else {
                return Tried::Wrong("a name and a password: no issuer is configured here".to_owned());
            };
            let Some(claimed) = oidc.read(request.id_token.expose()) else {
                return Tried::Wrong("an ID token that names somebody".to_owned());
            };
            let name = claimed.name.clone();
            counted(door, guest, name, Means::Oidc, by_token(sign_ins, &oidc, &claimed)).await
        }
    }
}

/// What came of looking, where a name isn't locked.
async fn counted(
    door: &Door,
    guest: &Guest,
    name: SupervisorName,
    means: Means,
    look: impl Future<Output = Tried>,
) -> Tried {
    let from = guest.address();
    match may_try(door, name.clone(), from).await {
        Some(Ok(())) => {}
        Some(Err(reason)) => return Tried::Refused(reason),
        None => return Tried::Busy,
    }
    let tried = look.await;
    let (outcome, role) = match &tried {
        Tried::SignedIn(signed_in) => (SignInOutcome::Succeeded, signed_in.role),
        Tried::Wrong(_) => (SignInOutcome::Failed, Role::Supervisor),
        Tried::Refused(_) | Tried::Busy => (SignInOutcome::NotChecked, Role::Supervisor),
    };
    let principal = Principal {
        name,
        role,
        from,
        means,
    };
    // The service is gone only when it stops.
    let _ = door.questions.send(Question::SignIn { principal, outcome }).await;
    tried
}

async fn by_password(sign_ins: &SignIns, users: &Users, request: Request) -> Tried {
    let user = users.current().user(&request.name).cloned();
    let right = is_right(user.as_ref(), request.password).await;
    match (right, user) {
        (Some(true), Some(user)) => sign_ins.begin(user.name, user.role, Proof::Password(user.password)),
        (Some(_), _) => Tried::Wrong("the name and password of a user".to_owned()),
        (None, _) => Tried::Busy,
    }
}

async fn by_token(sign_ins: &SignIns, oidc: &Oidc, claimed: &Claimed<'_>) -> Tried {
    match oidc.verify(claimed).await {
        Ok(vouched) => sign_ins.begin(vouched.name, vouched.role, Proof::Token(vouched.role, vouched.lasting)),
        Err(BadToken::NoKeys) => Tried::Busy,
        Err(bad) => Tried::Wrong(format!("an ID token of {} for this service; {bad}", oidc.issuer())),
    }
}

async fn may_try(door: &Door, name: SupervisorName, from: std::net::IpAddr) -> Option<Result<(), Reason>> {
    let (answer, told) = oneshot::channel();
    let question = Question::SignInAttempt { name, from, answer };
    door.questions.send(question).await.ok()?;
    told.await.ok()
}

/// Whether a password is that of a user; `None` where it couldn't be looked at.
async fn is_right(user: Option<&User>, password: Secret) -> Option<bool> {
    let known = user.map(|user| user.password.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let hash = match &known {
            Some(known) => known,
            None => users::unknown()?,
        };
        Some(hash.is_of(password.expose()) && known.is_some())
    });
    looked.await.ok().flatten()
}

fn welcome(signed_in: &SignedIn, bearer: bool) -> Response {
    let (token, longest) = (signed_in.token.expose(), signed_in.longest.as_secs());
    let mut told = json!({
        "name": signed_in.name,
        "role": signed_in.role,
        "idle_s": IDLE.as_secs(),
        "longest_s": longest,
    });
    if bearer {
        if let Some(fields) = told.as_object_mut() {
            fields.insert("token".to_owned(), token.into());
        }
        return no_store(answer(StatusCode::OK, told));
    }
    let cookie = format!("{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={longest}");
    let mut response = answer(StatusCode::OK, told);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    no_store(response)
}

/// What a browser and whoever is between must not keep.
fn no_store(mut response: Response) -> Response {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}
