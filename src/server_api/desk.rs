//! What programs at agents' desks ask for: pauses, private calls, and notices of who is listened to.
//!
//! Whoever may push events may ask for any agent. A certificate of role desktop speaks for the agent whose id is its name,
//! and for nobody else.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, http::HeaderValue, http::header};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use silentmon_capture_core::engine::{PauseRecord, PauseRequest};
use silentmon_capture_core::policy::{Begun, PauseKind, PauseOf};
use silentmon_capture_io::service::{Notices, Order};
use silentmon_proto::ids::{AgentId, CallId, Extension as Device};
use tokio::sync::oneshot;

use super::door::{Caller, Door, PUSHER};
use super::routes::{answer, stopping};

/// How often an open feed says that it is alive; a desk that doesn't acknowledge it is gone after
/// [`super::listener::SILENT_PEER`].
const ALIVE: Duration = Duration::from_secs(5);
/// Most characters in which somebody says who he is.
const MOST_CHARACTERS: usize = 64;

/// For whom a request may speak.
#[derive(Debug, Clone)]
enum Speaks {
    ForAnybody,
    ForAgent(AgentId),
}

impl Speaks {
    fn refusal(&self, of: &PauseOf) -> Option<Refused> {
        match (self, of) {
            (Self::ForAnybody, _) => None,
            (Self::ForAgent(own), PauseOf::Agent(agent)) if own == agent => None,
            (Self::ForAgent(own), _) => Some(Refused {
                status: StatusCode::FORBIDDEN,
                expected: format!("\"agent\": \"{own}\", whose certificate this is"),
            }),
        }
    }
}

/// Why a request isn't taken.
struct Refused {
    status: StatusCode,
    expected: String,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        answer(self.status, json!({ "expected": self.expected }))
    }
}

/// The routes, for whoever may speak for an agent.
pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/v1/pause", post(pause))
        .route("/v1/resume", post(resume))
        .route("/v1/private", post(mark_private))
        .route("/v1/private/end", post(end_private))
        .route("/v1/pauses", get(list))
        .route("/v1/agents/{agent}/notice", get(notices))
        .layer(middleware::from_fn(let_speak))
}

/// Lets a request through with what it [`Speaks`] for.
async fn let_speak(Extension(caller): Extension<Caller>, mut request: Request, next: Next) -> Response {
    let speaks = match caller.desktop {
        _ if caller.pushes => Speaks::ForAnybody,
        Some(agent) => Speaks::ForAgent(agent),
        None => return answer(StatusCode::FORBIDDEN, json!({ "expected": PUSHER })),
    };
    request.extensions_mut().insert(speaks);
    next.run(request).await
}

/// Whose pause, and what is said of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    agent: Option<AgentId>,
    extension: Option<Device>,
    call: Option<CallId>,
    seconds: Option<u32>,
    source: Option<String>,
}

/// The same, understood.
struct Wanted {
    of: PauseOf,
    by: String,
    lasting: Option<Duration>,
}

impl Wanted {
    fn read(body: Result<Bytes, BytesRejection>, speaks: &Speaks) -> Result<Self, Refused> {
        let bad = |expected: String| Refused {
            status: StatusCode::BAD_REQUEST,
            expected,
        };
        let body = body.map_err(|error| Refused {
            status: error.status(),
            expected: "a short JSON object".to_owned(),
        })?;
        let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
            bad(format!(
                "a JSON object with \"agent\", \"extension\" or \"call\", and maybe \"seconds\" and \"source\": {error}"
            ))
        })?;
        let of = match (asked.agent, asked.extension, asked.call) {
            (Some(agent), None, None) => PauseOf::Agent(agent),
            (None, Some(device), None) => PauseOf::Extension(device),
            (None, None, Some(call)) => PauseOf::Call(call),
            _ => return Err(bad("one of \"agent\", \"extension\" and \"call\"".to_owned())),
        };
        if let Some(refused) = speaks.refusal(&of) {
            return Err(refused);
        }
        if asked.seconds == Some(0) {
            return Err(bad("\"seconds\" of at least 1".to_owned()));
        }
        let by = asked.source.unwrap_or_else(|| match speaks {
            Speaks::ForAnybody => "an HTTP request".to_owned(),
            Speaks::ForAgent(_) => "the agent".to_owned(),
        });
        let sayable = by.chars().count() <= MOST_CHARACTERS && !by.is_empty() && !by.chars().any(char::is_control);
        if !sayable {
            return Err(bad(format!("a \"source\" of 1 to {MOST_CHARACTERS} characters")));
        }
        Ok(Self {
            of,
            by,
            lasting: asked.seconds.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

async fn pause(
    State(door): State<Door>,
    Extension(speaks): Extension<Speaks>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    begin(&door, PauseKind::Payment, Wanted::read(body, &speaks)).await
}

async fn resume(
    State(door): State<Door>,
    Extension(speaks): Extension<Speaks>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    end(&door, PauseKind::Payment, Wanted::read(body, &speaks)).await
}

async fn mark_private(
    State(door): State<Door>,
    Extension(speaks): Extension<Speaks>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    begin(&door, PauseKind::Private, Wanted::read(body, &speaks)).await
}

async fn end_private(
    State(door): State<Door>,
    Extension(speaks): Extension<Speaks>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    end(&door, PauseKind::Private, Wanted::read(body, &speaks)).await
}

/// 200 where somebody is hit now, 202 where the pause waits for somebody not known yet.
async fn begin(door: &Door, kind: PauseKind, wanted: Result<Wanted, Refused>) -> Response {
    let Wanted { of, by, lasting } = match wanted {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let request = PauseRequest { kind, of, by, lasting };
    let granted = door.order(|answer| Order::Pause { request, answer }).await;
    match granted {
        None => stopping(),
        Some(Err(full)) => answer(StatusCode::TOO_MANY_REQUESTS, json!({ "expected": full.to_string() })),
        Some(Ok(granted)) => {
            let status = if granted.agents.is_empty() {
                StatusCode::ACCEPTED
            } else {
                StatusCode::OK
            };
            let begun = granted.begun == Begun::New;
            let seconds = granted.lasting.as_secs();
            answer(
                status,
                json!({ "agents": granted.agents, "seconds": seconds, "begun": begun }),
            )
        }
    }
}

async fn end(door: &Door, kind: PauseKind, wanted: Result<Wanted, Refused>) -> Response {
    let Wanted { of, by, .. } = match wanted {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let ended = door.order(|answer| Order::Resume { kind, of, by, answer }).await;
    match ended {
        Some(ended) => answer(StatusCode::OK, json!({ "ended": ended })),
        None => stopping(),
    }
}

async fn list(State(door): State<Door>, Extension(speaks): Extension<Speaks>) -> Response {
    let Some((now, pauses)) = door.order(|answer| Order::ListPauses { answer }).await else {
        return stopping();
    };
    let own = |record: &PauseRecord| match &speaks {
        Speaks::ForAnybody => true,
        Speaks::ForAgent(agent) => record.agents.contains(agent),
    };
    let rows = pauses.into_iter().filter(own).map(|PauseRecord { pause, agents }| {
        json!({
            "kind": pause.kind,
            "of": pause.of,
            "source": pause.source.words(&pause.by),
            "agents": agents,
            "for_s": (now - pause.since).as_secs(),
            "left_s": (pause.until - now).as_secs(),
        })
    });
    answer(StatusCode::OK, json!({ "pauses": rows.collect::<Vec<_>>() }))
}

/// Server-sent events: the notice as it is, then each that is new.
async fn notices(
    State(door): State<Door>,
    Extension(speaks): Extension<Speaks>,
    Path(agent): Path<AgentId>,
) -> Response {
    if let Some(refused) = speaks.refusal(&PauseOf::Agent(agent.clone())) {
        return refused.into_response();
    }
    let opened = door.order(|answer| Order::OpenDesk { agent, answer }).await;
    let mut notices = match opened {
        None => return stopping(),
        Some(None) => {
            let expected = "fewer desktops that take notices";
            return answer(StatusCode::TOO_MANY_REQUESTS, json!({ "expected": expected }));
        }
        Some(Some(notices)) => notices,
    };
    notices.newest.mark_changed();
    let events = stream::unfold(notices, async |mut notices: Notices| {
        // The feed ends with the service.
        notices.newest.changed().await.ok()?;
        let notice = *notices.newest.borrow_and_update();
        let event = Event::default().json_data(notice).unwrap_or_default();
        Some((Ok::<_, Infallible>(event), notices))
    });
    let feed = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE));
    let mut response = feed.into_response();
    // A proxy that waits for more before it passes a notice on would keep it from the agent.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Door {
    /// Has something done; nothing where the service stops.
    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (answer, told) = oneshot::channel();
        self.orders.send(order(answer)).await.ok()?;
        told.await.ok()
    }
}
