//! What can be asked for, and how it is answered.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use silentmon_capture_core::diagnosis::Diagnosis;
use silentmon_capture_io::service::{Answer, Question};
use silentmon_proto::cti::{CtiEvent, script};
use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::Code;

use super::desk;
use super::door::{Caller, Door, NotTold, PUSHER, admit};
use super::sign_in::{sign_in, sign_out, ways};

/// Most bytes of one request.
const MOST_BYTES: usize = 1 << 20;

/// Every route. All but the sign-in are behind the door.
pub(super) fn routes(door: Door) -> Router {
    Router::new()
        .route("/v1/events", post(push))
        .route("/v1/agents", get(agents))
        .route("/v1/diagnosis", get(diagnose_house))
        .route("/v1/diagnosis/{agent}", get(diagnose_agent))
        .route("/v1/sign-out", post(sign_out))
        .merge(desk::routes())
        .layer(middleware::from_fn_with_state(door.clone(), admit))
        .route("/v1/sign-in", get(ways).post(sign_in))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(door)
}

async fn push(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let Some(source) = door.source.filter(|_| caller.pushes) else {
        return answer(StatusCode::FORBIDDEN, json!({ "expected": PUSHER }));
    };
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
    match source.pushed.take(events).await {
        Ok(()) => answer(StatusCode::ACCEPTED, json!({ "taken": taken })),
        Err(stopping) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "expected": stopping.to_string() }),
        ),
    }
}

/// The agents whom the caller is shown, and why he may listen to none of them now, if so.
async fn agents(State(door): State<Door>, Extension(caller): Extension<Caller>) -> Result<Response, NotTold> {
    let asks = caller.asks()?;
    match door.ask(|answer| Question::Agents { asks, answer }).await {
        Some((agents, notice)) => Ok(answer(StatusCode::OK, json!({ "agents": agents, "notice": notice }))),
        None => Ok(stopping()),
    }
}

/// Every hop of an agent; refused where the caller may not listen to him.
async fn diagnose_agent(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Path(agent): Path<AgentId>,
) -> Result<Response, NotTold> {
    let asks = caller.asks()?;
    let about = Some(agent.clone());
    let told = door
        .ask(|answer| Question::Diagnosis {
            asks,
            agent: about,
            answer,
        })
        .await;
    let Some(Answer { hops, .. }) = told else {
        return Ok(stopping());
    };
    let refused = hops.iter().any(|hop| hop.code == Some(Code::NotAuthorised));
    let status = if refused { StatusCode::FORBIDDEN } else { StatusCode::OK };
    Ok(answer(status, json!({ "agent": agent, "hops": hops })))
}

/// The hops that all agents share, and why each agent and each session that the caller is shown can be heard or not.
async fn diagnose_house(State(door): State<Door>, Extension(caller): Extension<Caller>) -> Result<Response, NotTold> {
    let asks = caller.asks()?;
    let told = door
        .ask(|answer| Question::Diagnosis {
            asks,
            agent: None,
            answer,
        })
        .await;
    let Some(told) = told else {
        return Ok(stopping());
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
    let told = json!({ "hops": hops, "agents": agents, "sessions": sessions });
    Ok(answer(StatusCode::OK, told))
}

/// The service ends.
pub(super) fn stopping() -> Response {
    let expected = "a service that goes on; it stops";
    answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "expected": expected }))
}

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, body: serde_json::Value) -> Response {
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
