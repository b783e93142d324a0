//! Records picked from journals, for people who have to answer who listened to whom.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::chain::Record;

/// Columns of a CSV file. Whatever else a record has stands in the last one, as JSON.
const COLUMNS: [&str; 10] = [
    "n",
    "at",
    "event",
    "session",
    "supervisor",
    "agent",
    "audible_s",
    "purpose",
    "reason",
    "more",
];

/// Which records are wanted; without anything all are.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those about this agent.
    pub agent: Option<String>,
    /// Only those about this supervisor.
    pub supervisor: Option<String>,
    /// From this time on.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

impl Wanted {
    fn has(&self, record: &Record, fields: &Map<String, Value>) -> bool {
        let is = |wanted: &Option<String>, key: &str| {
            let Some(wanted) = wanted else { return true };
            fields.get(key).and_then(Value::as_str) == Some(wanted)
        };
        is(&self.agent, "agent")
            && is(&self.supervisor, "supervisor")
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table with a heading (RFC 4180).
    Csv,
    /// The records as they are in the journal, one a line.
    JsonLines,
}

/// Writes the wanted records of journals, in the order in which they are given, and says how many lines were no records.
///
/// # Errors
/// Where a file can't be read, or `out` can't be written.
pub fn export(files: &[PathBuf], wanted: &Wanted, format: Format, out: impl Write) -> anyhow::Result<u64> {
    let mut writer = Writer::new(format, out)?;
    let mut foreign = 0;
    for file in files {
        let reading = || file.display().to_string();
        for line in BufReader::new(File::open(file).with_context(reading)?).split(b'\n') {
            let line = line.with_context(reading)?;
            let parsed = Record::parse(&line).and_then(|record| Ok((record, serde_json::from_slice(&line)?)));
            match parsed {
                Ok((record, fields)) if wanted.has(&record, &fields) => writer.write(&line, fields)?,
                Ok(_) => {}
                Err(_) => foreign += 1,
            }
        }
    }
    writer.finish()?;
    Ok(foreign)
}

enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Lines(W),
}

impl<W: Write> Writer<W> {
    fn new(format: Format, out: W) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Csv => {
                let mut table = csv::Writer::from_writer(out);
                table.write_record(COLUMNS)?;
                Self::Csv(Box::new(table))
            }
            Format::JsonLines => Self::Lines(out),
        })
    }

    fn write(&mut self, line: &[u8], mut fields: Map<String, Value>) -> anyhow::Result<()> {
        match self {
            Self::Lines(out) => {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
            Self::Csv(table) => {
                fields.remove("previous");
                let known = COLUMNS[..COLUMNS.len() - 1].iter();
                let mut row: Vec<String> = known.map(|column| cell(fields.remove(*column))).collect();
                let more = if fields.is_empty() {
                    String::new()
                } else {
                    Value::Object(fields).to_string()
                };
                row.push(more);
                table.write_record(row)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Self::Csv(mut table) => table.flush(),
            Self::Lines(mut out) => out.flush(),
        }
    }
}

/// A value as a cell. One that a spreadsheet would take for a formula is quoted with an apostrophe: names and purposes
/// come from outside.
fn cell(value: Option<Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: &str = concat!(
        r#"{"n":1,"at":"2026-11-20T09:00:00Z","previous":"0000000000000000000000000000000000000000000000000000000000000000","event":"session_started","session":"7","supervisor":"anna","agent":"4711","purpose":"=1+1, \"why\""}"#,
        "\n",
        r#"{"n":2,"at":"2026-11-20T10:00:00Z","previous":"0000000000000000000000000000000000000000000000000000000000000000","event":"session_refused","supervisor":"bert","agent":"4711","reason":"SM-1001"}"#,
        "\nnoise\n",
        r#"{"n":3,"at":"2026-11-21T09:00:00Z","previous":"0000000000000000000000000000000000000000000000000000000000000000","event":"service_stopped","server":"gw1"}"#,
        "\n",
    );

    fn exported(wanted: &Wanted, format: Format) -> (String, u64) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, JOURNAL).expect("writes");
        let mut out = Vec::new();
        let foreign = export(&[path], wanted, format, &mut out).expect("exports");
        (String::from_utf8(out).expect("text"), foreign)
    }

    #[test]
    fn a_table_has_a_column_for_what_is_asked_for_and_no_formulas() {
        let (table, foreign) = exported(&Wanted::default(), Format::Csv);
        let expected = "n,at,event,session,supervisor,agent,audible_s,purpose,reason,more\n\
             1,2026-11-20T09:00:00Z,session_started,7,anna,4711,,\"'=1+1, \"\"why\"\"\",,\n\
             2,2026-11-20T10:00:00Z,session_refused,,bert,4711,,,SM-1001,\n\
             3,2026-11-21T09:00:00Z,service_stopped,,,,,,,\"{\"\"server\"\":\"\"gw1\"\"}\"\n";
        assert_eq!((table.as_str(), foreign), (expected, 1));
    }

    #[test]
    fn records_are_picked_by_who_whom_and_when_and_stay_as_they_are() {
        let lines: Vec<_> = JOURNAL.lines().collect();
        let at =
            |text| Some(OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).expect("a time"));
        let wanted = [
            (
                Wanted {
                    agent: Some("4711".to_owned()),
                    ..Wanted::default()
                },
                vec![lines[0], lines[1]],
            ),
            (
                Wanted {
                    supervisor: Some("bert".to_owned()),
                    ..Wanted::default()
                },
                vec![lines[1]],
            ),
            (
                Wanted {
                    since: at("2026-11-20T10:00:00Z"),
                    ..Wanted::default()
                },
                vec![lines[1], lines[3]],
            ),
            (
                Wanted {
                    until: at("2026-11-20T10:00:00Z"),
                    ..Wanted::default()
                },
                vec![lines[0]],
            ),
        ];
        for (wanted, expected) in wanted {
            let (text, _) = exported(&wanted, Format::JsonLines);
            assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{wanted:?}");
        }
    }
}
