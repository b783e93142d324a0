//! Pauses that ran when the service ended, as the journal has them.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use silentmon_capture_core::engine::FormerPause;
use silentmon_capture_core::policy::{PauseEnd, PauseKind, PauseOf, PauseSource};
use silentmon_proto::time::Instant;
use time::OffsetDateTime;

use super::former::records;

const MARKS: [&[u8]; 3] = [
    br#""event":"pause_started""#,
    br#""event":"pause_prolonged""#,
    br#""event":"pause_ended""#,
];

/// How much earlier than the longest pause records are looked for: the last seconds of a prolongation aren't written down.
pub const MARGIN: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(tag = "event")]
enum Told {
    #[serde(rename = "pause_started")]
    Started {
        #[serde(flatten)]
        pause: Entry,
        #[serde(default, with = "time::serde::rfc3339::option")]
        until: Option<OffsetDateTime>,
    },
    #[serde(rename = "pause_prolonged")]
    Prolonged {
        #[serde(flatten)]
        pause: Entry,
        #[serde(default, with = "time::serde::rfc3339::option")]
        until: Option<OffsetDateTime>,
    },
    #[serde(rename = "pause_ended")]
    Ended {
        #[serde(flatten)]
        pause: Entry,
        reason: String,
    },
}

#[derive(Deserialize)]
struct Entry {
    kind: PauseKind,
    of: PauseOf,
    source: String,
}

/// What a record says of a pause that runs already.
#[derive(Clone, Copy)]
enum Again {
    /// It was taken up by a restart, which makes it no longer: or restarts in a row would never let it end.
    Same,
    /// It was asked for again.
    Longer,
}

/// Pauses that began since a time and didn't end, or only because the service did.
///
/// # Errors
/// Where the file can't be read.
pub fn running(path: &Path, begin: OffsetDateTime) -> anyhow::Result<Vec<FormerPause>> {
    let mut running: Vec<FormerPause> = Vec::new();
    for (at, told) in records(path, &MARKS, begin)? {
        let (entry, lasts, again) = match told {
            Told::Started { pause, until } => (pause, Some(until), Again::Same),
            Told::Prolonged { pause, until } => (pause, Some(until), Again::Longer),
            Told::Ended { reason, .. } if reason == PauseEnd::ServerStops.words() => continue,
            Told::Ended { pause, .. } => (pause, None, Again::Same),
        };
        let (Some((source, by)), Some(at)) = (PauseSource::from_words(&entry.source), instant(at)) else {
            continue;
        };
        let (kind, of) = (entry.kind, entry.of);
        let known = running
            .iter()
            .position(|pause| pause.kind == kind && pause.of == of && pause.source == source);
        let known = known.map(|known| running.swap_remove(known));
        let Some(until) = lasts else { continue };
        running.push(match (known, again) {
            (Some(known), Again::Same) => known,
            (known, _) => FormerPause {
                kind,
                of,
                source,
                by,
                since: known.map_or(at, |known| known.since),
                until: until.and_then(instant),
            },
        });
    }
    Ok(running)
}

fn instant(at: OffsetDateTime) -> Option<Instant> {
    u64::try_from(at.unix_timestamp_nanos()).ok().map(Instant::from_nanos)
}

#[cfg(test)]
mod tests {
    use silentmon_capture_core::engine::{EngineEvent, PauseRecord};
    use silentmon_capture_core::policy::Pause;

    use super::*;
    use crate::audit::entry::Event;
    use crate::audit::journal::Journal;

    fn pause(agent: &str, source: PauseSource, until: u64) -> PauseRecord {
        PauseRecord {
            pause: Pause {
                kind: PauseKind::Payment,
                of: PauseOf::Agent(agent.into()),
                source,
                by: if source == PauseSource::Request { "till 3" } else { "" }.to_owned(),
                since: Instant::EPOCH,
                until: Instant::from_parts(until, 0),
                asked: Instant::EPOCH,
                calls: vec!["81".into()],
            },
            agents: Vec::new(),
        }
    }

    #[test]
    fn what_has_not_ended_or_ended_with_the_service_still_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = Journal::open(&path, None).expect("opens");
        let ended = |record: PauseRecord, end| EngineEvent::PauseEnded {
            record,
            end,
            lasted: Duration::ZERO,
        };
        let by_hand = PauseEnd::Requested { by: "till".to_owned() };
        let events = [
            EngineEvent::PauseStarted(pause("1", PauseSource::Request, 100)),
            EngineEvent::PauseStarted(pause("2", PauseSource::Request, 100)),
            EngineEvent::PauseStarted(pause("3", PauseSource::Digits, 100)),
            EngineEvent::PauseProlonged(pause("1", PauseSource::Request, 200)),
            ended(pause("2", PauseSource::Request, 100), by_hand),
            ended(pause("1", PauseSource::Request, 200), PauseEnd::ServerStops),
            EngineEvent::PauseStarted(pause("1", PauseSource::Request, 210)),
        ];
        for (second, event) in (1..).zip(&events) {
            let at = OffsetDateTime::from_unix_timestamp(second).expect("a time");
            let event = Event::of(event).expect("audited");
            journal.record(&event, at).expect("writes");
        }
        let former = |agent: &str, source, by: &str, since, until| FormerPause {
            kind: PauseKind::Payment,
            of: PauseOf::Agent(agent.into()),
            source,
            by: by.to_owned(),
            since: Instant::from_parts(since, 0),
            until: Some(Instant::from_parts(until, 0)),
        };
        let first = former("1", PauseSource::Request, "till 3", 1, 200);
        let third = former("3", PauseSource::Digits, "", 3, 100);
        assert_eq!(
            running(&path, OffsetDateTime::UNIX_EPOCH).expect("reads"),
            [third, first]
        );
        let late = OffsetDateTime::from_unix_timestamp(8).expect("a time");
        assert_eq!(running(&path, late).expect("reads"), []);
    }
}
