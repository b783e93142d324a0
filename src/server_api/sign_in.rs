//! Signing in by name and password, and out again.
//!
//! Tries are announced to the engine before a password is looked at, so that the lock-out counts them whatever becomes of
//! the request; hashing goes on beside the event loops, a few at a time. A name that nobody has costs as long as one that
//! somebody has.

use std::sync::Arc;
use std::time::Instant;

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
use super::web_session::{IDLE, LONGEST, WebSessions};
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
#[derive(Debug, Clone)]
pub(super) struct SignIns {
    pub(super) users: Arc<Users>,
    pub(super) sessions: Arc<WebSessions>,
    /// Passwords that may be looked at now.
    hashing: Arc<Semaphore>,
    /// Sign-ins that may be under way, waiting or not.
    places: Arc<Semaphore>,
}

impl SignIns {
    /// Of these users, none of whom has signed in yet.
    pub(super) fn new(users: Users) -> Self {
        // Made now, so that the first unknown name doesn't take longer than others.
        let _ = users::unknown();
        Self {
            users: Arc::new(users),
            sessions: Arc::default(),
            hashing: Arc::new(Semaphore::new(SIDE_BY_SIDE)),
            places: Arc::new(Semaphore::new(SIDE_BY_SIDE + WAITING)),
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

/// What became of a sign-in.
enum Tried {
    SignedIn(User, Secret),
    /// Locked: the password wasn't looked at.
    Refused(Reason),
    Wrong,
    /// Too many sign in at once, or the service stops.
    Busy,
}

/// `POST /v1/sign-in`
pub(super) async fn sign_in(
    State(door): State<Door>,
    ConnectInfo(guest): ConnectInfo<Guest>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(sign_ins) = door.sign_ins.clone() else {
        return answer(StatusCode::NOT_FOUND, json!({ "expected": "service.users" }));
    };
    if let Some(refused) = foreign_page(&headers) {
        return refused;
    }
    let request = match read(&headers, &body) {
        Ok(request) => request,
        Err((status, expected)) => return answer(status, json!({ "expected": expected })),
    };
    let bearer = request.bearer;
    // In a task of its own: whoever hangs up in between has tried all the same.
    let tried = tokio::spawn(async move { attempt(&door, &sign_ins, &guest, request).await });
    match tried.await.unwrap_or(Tried::Busy) {
        Tried::SignedIn(user, token) => welcome(&user, &token, bearer),
        Tried::Refused(reason) => answer(StatusCode::FORBIDDEN, json!({ "reason": reason })),
        Tried::Wrong => answer(
            StatusCode::UNAUTHORIZED,
            json!({ "expected": "the name and password of a user" }),
        ),
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

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, (StatusCode, String)> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        let expected = "Content-Type: application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
    }
    if body.len() > MOST_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MOST_BYTES} bytes")));
    }
    let bad = || {
        let expected = format!("{{\"name\": …, \"password\": …}}, the name of at most {LONGEST_NAME} characters");
        (StatusCode::BAD_REQUEST, expected)
    };
    let request: Request = serde_json::from_slice(body).map_err(|_| bad())?;
    let name = request.name.as_str();
    let usable = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
    if !usable || request.password.expose().len() > LONGEST_PASSWORD {
        return Err(bad());
    }
    Ok(request)
}

/// Looks at a password, unless the name or its source is locked, and has the outcome counted.
async fn attempt(door: &Door, sign_ins: &SignIns, guest: &Guest, request: Request) -> Tried {
    let Ok(_place) = sign_ins.places.try_acquire() else {
        return Tried::Busy;
    };
    let Ok(_turn) = sign_ins.hashing.acquire().await else {
        return Tried::Busy;
    };
    let from = guest.address();
    match may_try(door, request.name.clone(), from).await {
        Some(Ok(())) => {}
        Some(Err(reason)) => return Tried::Refused(reason),
        None => return Tried::Busy,
    }
    let user = sign_ins.users.current().user(&request.name).cloned();
    let right = is_right(user.as_ref(), request.password).await;
    let (outcome, tried) = match (right, user) {
        (Some(true), Some(user)) => match sign_ins.sessions.begin(&user.name, &user.password, Instant::now()) {
            Some(token) => (SignInOutcome::Succeeded, Tried::SignedIn(user, token)),
            None => (SignInOutcome::NotChecked, Tried::Busy),
        },
        (Some(_), _) => (SignInOutcome::Failed, Tried::Wrong),
        (None, _) => (SignInOutcome::NotChecked, Tried::Busy),
    };
    let role = match &tried {
        Tried::SignedIn(user, _) => user.role,
        Tried::Refused(_) | Tried::Wrong | Tried::Busy => Role::Supervisor,
    };
    let principal = Principal {
        name: request.name,
        role,
        from,
        means: Means::Password,
    };
    // The service is gone only when it stops.
    let _ = door.questions.send(Question::SignIn { principal, outcome }).await;
    tried
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

fn welcome(user: &User, token: &Secret, bearer: bool) -> Response {
    let mut told = json!({
        "name": user.name,
        "role": user.role,
        "idle_s": IDLE.as_secs(),
        "longest_s": LONGEST.as_secs(),
    });
    if bearer {
        if let Some(fields) = told.as_object_mut() {
            fields.insert("token".to_owned(), token.expose().into());
        }
        return no_store(answer(StatusCode::OK, told));
    }
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
        token.expose(),
        LONGEST.as_secs()
    );
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
