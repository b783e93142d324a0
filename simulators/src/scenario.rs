//! A scenario: the `script` source's lines, one CTI event each, and lines that say what goes wrong. The same file can
//! be played by each simulator.

use std::time::Duration;

use serde::Deserialize;
use silentmon_proto::cti::{CtiEvent, script};
use thiserror::Error;

use crate::Fault;

/// What happens, ordered by time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scenario {
    /// The steps; those of one time in the order of their lines.
    pub steps: Vec<Step>,
}

/// One line of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When it happens, from the start of the script's clock.
    pub at: Duration,
    /// What happens.
    pub action: Action,
}

/// What a [`Step`] does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The telephone system goes on.
    Event(CtiEvent),
    /// Something goes wrong.
    Fault(Fault),
}

/// A line of a scenario that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct ScenarioError {
    /// Line number, from 1.
    pub line: usize,
    /// What was expected and what came.
    pub what: String,
}

#[derive(Deserialize)]
struct FaultLine {
    at: f64,
    #[serde(flatten)]
    fault: serde_json::Map<String, serde_json::Value>,
}

impl Scenario {
    /// Reads a whole scenario. Blank lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// The first line that is neither event nor fault, with its number.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let parsed = parse_line(line.trim());
            steps.extend(parsed.map_err(|what| ScenarioError { line: index + 1, what })?);
        }
        steps.sort_by_key(|step| step.at);
        Ok(Self { steps })
    }
}

fn parse_line(line: &str) -> Result<Option<Step>, String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let value: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if value.get("fault").is_some() {
        return parse_fault(value).map(Some);
    }
    let events = script::parse(line).map_err(|error| error.what)?;
    Ok(events.into_iter().next().map(|scripted| Step {
        at: scripted.at,
        action: Action::Event(scripted.event),
    }))
}

fn parse_fault(value: serde_json::Value) -> Result<Step, String> {
    let FaultLine { at, fault } = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let at =
        Duration::try_from_secs_f64(at).map_err(|_| format!("expected \"at\" in seconds from start, found {at}"))?;
    let fault = serde_json::from_value(fault.into()).map_err(|error| error.to_string())?;
    Ok(Step {
        at,
        action: Action::Fault(fault),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseHow, Seconds, Side};

    fn fault(line: &str) -> Fault {
        match Scenario::parse(line).expect(line).steps.remove(0).action {
            Action::Fault(fault) => fault,
            Action::Event(event) => panic!("{event:?}"),
        }
    }

    #[test]
    fn events_and_faults_stand_in_one_order_of_time() {
        let scenario = Scenario::parse(
            r#"
            # side A goes away while the agent talks
            {"at":5,"fault":"down","side":"a","seconds":2.5,"how":"rst"}
            {"at":0,"event":"agent_state","agent":"4711","state":"talking"}
        "#,
        )
        .expect("a good scenario");
        assert!(matches!(
            scenario.steps[0].action,
            Action::Event(CtiEvent::AgentState(_))
        ));
        assert_eq!(scenario.steps[1].at, Duration::from_secs(5));
        assert_eq!(
            scenario.steps[1].action,
            Action::Fault(Fault::Down {
                side: Some(Side::A),
                seconds: Some(Seconds(Duration::from_millis(2500))),
                how: CloseHow::Rst,
            })
        );
    }

    #[test]
    fn a_fault_that_says_little_means_the_usual() {
        let refused = Fault::RefuseOpen { status: 36, count: 1 };
        assert_eq!(fault(r#"{"at":0,"fault":"refuse_open"}"#), refused);
        let closed = Fault::Close {
            side: None,
            how: CloseHow::Fin,
        };
        assert_eq!(fault(r#"{"at":0,"fault":"close"}"#), closed);
        assert_eq!(
            fault(r#"{"at":0,"fault":"half_open","side":1}"#),
            Fault::HalfOpen { side: Some(Side::B) }
        );
    }

    #[test]
    fn a_line_that_is_neither_is_named_by_its_number() {
        for bad in [
            r#"{"at":0,"fault":"earthquake"}"#,
            r#"{"at":0,"fault":"down","side":"c"}"#,
            r#"{"at":0,"fault":"down","sied":"a"}"#,
            r#"{"at":-1,"fault":"down"}"#,
            r#"{"at":0,"fault":"garbage","hex":"0g"}"#,
            r#"{"at":0,"event":"agent_state","agent":"1","state":"sleeping"}"#,
            "nonsense",
        ] {
            let error = Scenario::parse(&format!("\n{bad}")).expect_err(bad);
            assert_eq!(error.line, 2, "{bad}");
        }
    }
}
