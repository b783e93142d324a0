//! Sign-ins as the journal has them: a lock-out outlives a restart, because what it rests on is written down.

use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use silentmon_capture_io::service::FormerSignIn;
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::time::Instant;
use time::OffsetDateTime;

use super::former::records;

const MARKS: [&[u8]; 3] = [
    br#""event":"sign_in_failed""#,
    br#""event":"signed_in""#,
    br#""event":"unlocked""#,
];

#[derive(Deserialize)]
#[serde(tag = "event")]
enum SignIn {
    #[serde(rename = "sign_in_failed")]
    Failed { supervisor: SupervisorName, from: IpAddr },
    #[serde(rename = "signed_in")]
    Succeeded { supervisor: SupervisorName, from: IpAddr },
    #[serde(rename = "unlocked")]
    Unlocked { unlocked: SupervisorName, source: String },
}

/// The sign-ins of a journal's newest file since a time, the oldest first.
///
/// # Errors
/// Where the file can't be read.
pub fn since(path: &Path, begin: OffsetDateTime) -> anyhow::Result<Vec<FormerSignIn>> {
    let found = records(path, &MARKS, begin)?;
    Ok(found
        .into_iter()
        .filter_map(|(at, sign_in)| former(sign_in, at))
        .collect())
}

fn former(sign_in: SignIn, at: OffsetDateTime) -> Option<FormerSignIn> {
    let failed = matches!(sign_in, SignIn::Failed { .. });
    let (name, from) = match sign_in {
        SignIn::Failed { supervisor, from } | SignIn::Succeeded { supervisor, from } => (supervisor, from),
        SignIn::Unlocked { unlocked, source } => (unlocked, source.trim_end_matches("/64").parse().ok()?),
    };
    let at = Instant::from_nanos(u64::try_from(at.unix_timestamp_nanos()).ok()?);
    Some(FormerSignIn { name, from, at, failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::{Event, Who};
    use crate::audit::journal::Journal;

    #[test]
    fn sign_ins_are_found_among_other_records() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = Journal::open(&path, None).expect("opens");
        let at = |second| OffsetDateTime::from_unix_timestamp(second).expect("a time");
        let from = "10.1.9.1".parse().expect("an address");
        let failed = Event::SignInFailed {
            supervisor: "bert",
            from,
            locked_until: None,
        };
        let unlocked = Event::Unlocked {
            who: Who::ANNA,
            unlocked: "bert",
            source: "2001:db8::/64".to_owned(),
            failures: 3,
        };
        let refused = Event::Refused {
            who: Who::ANNA,
            agent: r#""event":"signed_in""#,
            reason: String::new(),
        };
        let events = [failed, refused, Event::SignedIn { who: Who::ANNA }, unlocked];
        for (second, event) in (1..).zip(&events) {
            journal.record(event, at(second)).expect("writes");
        }
        let found = since(&path, at(1)).expect("reads");
        let former = |name: &str, from: &str, second, failed| FormerSignIn {
            name: name.into(),
            from: from.parse().expect("an address"),
            at: Instant::from_parts(second, 0),
            failed,
        };
        let all = [
            former("bert", "10.1.9.1", 1, true),
            former("anna", "127.0.0.1", 3, false),
            former("bert", "2001:db8::", 4, false),
        ];
        assert_eq!(found, all);
        assert_eq!(since(&path, at(2)).expect("reads"), all[1..]);
    }
}
