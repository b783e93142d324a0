//! The `script` source: one CTI event a line as JSON, each with the seconds from start at which it happens.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::CtiEvent;

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedEvent {
    /// When it happens, from the start of the service or the first frame of a capture file.
    pub at: Duration,
    /// What happens.
    pub event: CtiEvent,
}

/// A line of a script that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct ScriptError {
    /// Line number, from 1.
    pub line: usize,
    /// What was expected and what came.
    pub what: String,
}

#[derive(Deserialize)]
struct Line {
    at: f64,
    #[serde(flatten)]
    event: serde_json::Map<String, serde_json::Value>,
}

/// Reads a whole script. Blank lines and lines that begin with `#` are skipped; events come back ordered by time,
/// those of one time in the order of their lines.
///
/// # Errors
/// The first line that is no event, with its number.
pub fn parse(text: &str) -> Result<Vec<ScriptedEvent>, ScriptError> {
    let mut events = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        events.push(parse_line(line).map_err(|what| ScriptError { line: index + 1, what })?);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// Reads events without times: one object, an array of objects, or one object a line. Blank lines are skipped.
///
/// # Errors
/// The first line where there is no event, with its number.
pub fn parse_events(text: &str) -> Result<Vec<CtiEvent>, ScriptError> {
    let mut events = Vec::new();
    let mut rest = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let mut begin = 0;
    while let Some(value) = rest.next() {
        let line = line_at(text, begin);
        begin = rest.byte_offset();
        let value = value.map_err(|error| ScriptError {
            line: error.line(),
            what: format!("expected JSON: {error}"),
        })?;
        let items = match value {
            serde_json::Value::Array(items) => items,
            item => vec![item],
        };
        for (index, item) in items.into_iter().enumerate() {
            events.push(parse_event(item).map_err(|what| ScriptError {
                line,
                what: if index == 0 {
                    what
                } else {
                    format!("event {}: {what}", index + 1)
                },
            })?);
        }
    }
    Ok(events)
}

/// The line on which the first thing after `offset` stands.
fn line_at(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    let blank = rest.len() - rest.trim_start().len();
    let before = text.get(..offset + blank).unwrap_or_default();
    before.matches('\n').count() + 1
}

fn parse_event(value: serde_json::Value) -> Result<CtiEvent, String> {
    let event: CtiEvent = serde_json::from_value(value).map_err(|error| error.to_string())?;
    event.check()?;
    Ok(event)
}

fn parse_line(line: &str) -> Result<ScriptedEvent, String> {
    let Line { at, event } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let at =
        Duration::try_from_secs_f64(at).map_err(|_| format!("expected \"at\" in seconds from start, found {at}"))?;
    let event = parse_event(event.into())?;
    Ok(ScriptedEvent { at, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cti::{AgentState, AgentUpdate, CallEvent, CallEventKind};

    #[test]
    fn reads_the_events_of_the_contract_in_order_of_time() {
        let script = r#"
            # two lines out of order
            {"at":0.2,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
            {"at":0.0,"event":"agent_state","agent":"4711","name":"Marko Kern","extension":"3001","team":"claims","state":"talking"}
            {"at":0.1,"event":"call","agent":"4711","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
            {"at":9.0,"event":"media_stopped","agent":"4711","call":"81"}
        "#;
        let events = parse(script).expect("a good script");
        assert_eq!(
            events[0],
            ScriptedEvent {
                at: Duration::ZERO,
                event: CtiEvent::AgentState(AgentUpdate {
                    name: Some("Marko Kern".into()),
                    extension: Some("3001".into()),
                    team: Some("claims".into()),
                    ..AgentUpdate::new("4711", AgentState::Talking)
                }),
            }
        );
        assert!(matches!(
            events[1].event,
            CtiEvent::Call(CallEvent {
                kind: CallEventKind::Established,
                acd: Some(true),
                ..
            })
        ));
        assert!(matches!(events[2].event, CtiEvent::MediaStarted(_)));
        assert_eq!(events[3].at, Duration::from_secs(9));
    }

    #[test]
    fn names_the_line_that_is_no_event() {
        let error =
            parse("\n{\"at\":0,\"event\":\"agent_state\",\"agent\":\"1\",\"state\":\"sleeping\"}").expect_err("bad");
        assert_eq!(error.line, 2);
        assert!(error.what.contains("sleeping"), "{error}");
        assert!(parse("{\"at\":-1,\"event\":\"media_stopped\",\"agent\":\"1\"}").is_err());
        assert!(parse("{\"at\":1,\"event\":\"media_stopped\",\"agent\":\"1\",\"adress\":\"x\"}").is_err());
        let nobody = parse("{\"at\":1,\"event\":\"media_stopped\"}").expect_err("nobody named");
        assert!(nobody.what.contains("\"agent\" or \"device\""), "{nobody}");
    }

    #[test]
    fn reads_one_event_an_array_or_one_a_line() {
        let one = r#"{"event":"media_stopped","agent":"1"}"#;
        for (text, count) in [
            (one.to_owned(), 1),
            (format!("[{one},\n{one}]"), 2),
            (format!("{one}\n\n{one}\n"), 2),
            (String::new(), 0),
        ] {
            assert_eq!(parse_events(&text).expect("good").len(), count, "{text}");
        }
    }

    #[test]
    fn names_the_line_of_a_pushed_event_that_is_none() {
        let one = r#"{"event":"media_stopped","agent":"1"}"#;
        for (bad, words) in [
            (r#"{"event":"lunch"}"#, "lunch"),
            (r#"{"event":"media_stopped"}"#, "\"agent\" or \"device\""),
            (r#"{"event":"#, "JSON"),
            (r#"{"at":1,"event":"media_stopped","agent":"1"}"#, "at"),
        ] {
            let error = parse_events(&format!("{one}\n\n{bad}")).expect_err("bad");
            assert_eq!(error.line, 3, "{error}");
            assert!(error.what.contains(words), "{error}");
        }
    }
}
