//! Samples of two independent implementations: every message is decoded and compared with what they say is in it.
//!
//! Their expectations stand in the notation of their languages; [`crate::notation`] reads both. Fields are compared by
//! name and value; what can't be compared is printed with the reason.
#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test reads reference files, and says what it skips"
)]

use std::path::{Path, PathBuf};

use silentmon_proto::cti::ged188::*;

use crate::notation::{Expected, Item, haskell, scala};

/// Types whose DepartmentID the Scala samples lack, though they are of version 19.
const WITHOUT_DEPARTMENT: [u32; 4] = [4, 30, 37, 128];

fn samples() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("SILENTMON_SHARED").map_or(beside, PathBuf::from);
    let folder = shared.join("data/vectors/ged188");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no reference data at {}", folder.display());
    None
}

struct Row {
    title: String,
    message: Message,
    deviation: Option<FixedSizeDeviation>,
    expectation: String,
}

fn rows(path: &Path, version: ProtocolVersion) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| row(line, version)).collect()
}

fn row(line: &str, version: ProtocolVersion) -> Row {
    let columns: Vec<&str> = line.split('\t').collect();
    let [_, name, hex, expectation] = columns[..] else {
        panic!("four columns in {line}")
    };
    let octets = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    let octets: Vec<u8> = octets.collect();
    let (number, body) = octets.split_first_chunk().unwrap();
    let message_type = MessageType(u32::from_be_bytes(*number));
    let title = format!("{message_type} ({name})");
    let decoded = Message::decode(message_type, body, version).unwrap_or_else(|error| panic!("{title}: {error}"));
    if decoded.deviation.is_none() {
        assert_eq!(
            decoded.message.encode(version).unwrap()[HEADER_SIZE..],
            *body,
            "{title}"
        );
    }
    Row {
        title,
        message: decoded.message,
        deviation: decoded.deviation,
        expectation: expectation.to_owned(),
    }
}

#[test]
fn the_samples_of_version_19_are_read() {
    let Some(folder) = samples() else { return };
    let rows = rows(&folder.join("v19_uccertweb.tsv"), ProtocolVersion(19));
    for row in &rows {
        let deviates = WITHOUT_DEPARTMENT.contains(&row.message.message_type().0);
        assert_eq!(row.deviation.is_some(), deviates, "{}", row.title);
    }
    compare(&rows, scala, 53);
}

#[test]
fn the_samples_of_version_20_are_read() {
    let Some(folder) = samples() else { return };
    let rows = rows(&folder.join("v20_ucce-ctidriver.tsv"), ProtocolVersion(20));
    for row in &rows {
        assert_eq!(row.deviation, None, "{}", row.title);
    }
    compare(&rows, haskell, 31);
}

fn compare(rows: &[Row], read: impl Fn(&str) -> Expected, at_least: usize) {
    let (mut compared, mut left_out, mut wrong) = (0, Vec::new(), Vec::new());
    for row in rows {
        let Some(floating) = row.message.floating() else {
            left_out.push(format!("{}: passed through undecoded", row.title));
            continue;
        };
        compared += 1;
        let expected = read(&row.expectation);
        let fixed = fixed_fields(&row.message);
        let tagged: Vec<(Tag, &[u8])> = floating.iter().collect();
        if tagged.len() != expected.floating.len() {
            wrong.push(format!(
                "{}: {} floating fields for {:?}",
                row.title,
                tagged.len(),
                expected.floating
            ));
        }
        let fixed_results = expected.fixed.iter().map(|item| compare_fixed(item, &fixed));
        let tagged_results = expected
            .floating
            .iter()
            .zip(&tagged)
            .map(|(item, field)| compare_tagged(item, *field));
        for result in fixed_results.chain(tagged_results) {
            match result {
                Ok(()) => {}
                Err(Mismatch::Wrong(what)) => wrong.push(format!("{}: {what}", row.title)),
                Err(Mismatch::Incomparable(what)) => left_out.push(format!("{}: {what}", row.title)),
            }
        }
    }
    eprintln!(
        "{compared} of {} messages compared; left out:\n  {}",
        rows.len(),
        left_out.join("\n  ")
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= at_least, "only {compared} messages compared");
}

enum Mismatch {
    Wrong(String),
    Incomparable(String),
}

/// The fields of the fixed part as the message shows them, names in the samples' spelling.
fn fixed_fields(message: &Message) -> Vec<(String, String)> {
    let shown = format!("{message:?}");
    let fields = shown.split_once("{ ").map_or("", |(_, fields)| fields);
    let fields = fields.split("floating: ").next().unwrap_or_default();
    let field = |field: &str| {
        let (name, value) = field.split_once(": ")?;
        let value = value.rsplit('(').next()?.trim_end_matches(')');
        Some((crate::notation::plain(name), value.to_owned()))
    };
    fields.trim_end_matches(", ").split(", ").filter_map(field).collect()
}

fn compare_fixed(item: &Item, fixed: &[(String, String)]) -> Result<(), Mismatch> {
    let Some((_, value)) = fixed.iter().find(|(name, _)| *name == item.name) else {
        return Err(Mismatch::Wrong(format!("no field for {item:?} in {fixed:?}")));
    };
    if let Some(number) = item.number() {
        let found = value.parse::<u64>().ok();
        return same(found == Some(number), item, value);
    }
    compare_words(item, value)
}

/// Compares names of values: `LineType.SUPERVISOR` and `LineTypeSupervisor` are `SUPERVISOR`.
fn compare_words(item: &Item, value: &str) -> Result<(), Mismatch> {
    let found: Vec<String> = value
        .split(' ')
        .filter(|word| !word.starts_with("0x"))
        .map(crate::notation::plain)
        .collect();
    if item.words.iter().any(|word| word == "protocolversion") {
        return Err(Mismatch::Incomparable(format!(
            "{} is a constant of the samples",
            item.name
        )));
    }
    let alike = |expected: &String| found.iter().any(|found| expected.ends_with(found.as_str()));
    same(
        found.len() == item.words.len() && item.words.iter().all(alike),
        item,
        value,
    )
}

fn compare_tagged(item: &Item, (tag, data): (Tag, &[u8])) -> Result<(), Mismatch> {
    let name = crate::notation::plain(&tag.to_string());
    if name != item.name {
        return Err(Mismatch::Wrong(format!("expected {item:?}, found {tag}")));
    }
    if !item.words.is_empty() {
        return match value_name(tag, data) {
            Some(value) => compare_words(item, &value),
            None => Err(Mismatch::Incomparable(format!("{tag} has no type of its own here"))),
        };
    }
    let found = format!("{data:?}");
    same(item.encoded().iter().any(|encoded| encoded == data), item, &found)
}

fn same(is_same: bool, item: &Item, found: &str) -> Result<(), Mismatch> {
    if is_same {
        Ok(())
    } else {
        Err(Mismatch::Wrong(format!("expected {item:?}, found {found}")))
    }
}

fn value_name(tag: Tag, data: &[u8]) -> Option<String> {
    let number = data.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
    let code = u16::try_from(number).ok()?;
    Some(match tag {
        Tag::NEXT_AGENT_STATE | Tag::SKILL_GROUP_STATE | Tag::ATC_AGENT_STATE => AgentState(code).to_string(),
        Tag::DIRECTION => CallDirection(number).to_string(),
        Tag::CONNECTED_PARTY_DEVICE_ID_TYPE => DeviceIdType(code).to_string(),
        Tag::CALL_CONNECTION_DEVICE_ID_TYPE => ConnectionDeviceIdType(code).to_string(),
        Tag::CALL_STATE => LocalConnectionState(code).to_string(),
        Tag::SILENT_MONITOR_STATUS => SilentMonitorStatus(code).to_string(),
        Tag::AGENT_FLAGS => AgentFlags(code).names().collect::<Vec<_>>().join(" "),
        Tag::MULTILINE_AGENT_CONTROL => (number != 0).to_string(),
        _ => return None,
    })
}
