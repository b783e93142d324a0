//! From the `[[cti]]` sections to what runs.

use silentmon_proto::cti::script::{self, ScriptedEvent};

use crate::config::capture::CaptureConfig;
use crate::config::cti::CtiSection;
use crate::exit::{ExitKind, Failure};

/// The events of all `script` sources, in order of time.
///
/// # Errors
/// `BadConfig` with file and line where one can't be read.
pub fn read_scripts(config: &CaptureConfig) -> anyhow::Result<Vec<ScriptedEvent>> {
    let mut events = Vec::new();
    for cti in &config.cti {
        let CtiSection::Script(script) = cti else { continue };
        let path = script.path.display();
        let text = std::fs::read_to_string(&script.path)
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{path}: can't read the script: {error}")))?;
        let parsed = script::parse(&text)
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{path}:{}: {}", error.line, error.what)))?;
        events.extend(parsed);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}
