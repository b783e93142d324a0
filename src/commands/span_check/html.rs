//! A survey as a page to print and file.

use silentmon_capture_core::survey::{Severity, Verdict};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Document, text};
use crate::report::{Cell, Report, Table, Tone};

/// The page.
pub(super) fn page(document: &Document) -> Report {
    let report = &document.report;
    let mut facts = vec![("Looked at", document.source.clone())];
    facts.extend(OffsetDateTime::now_utc().format(&Rfc3339).ok().map(|now| ("Made", now)));
    facts.extend(text::facts(document));
    facts.extend(document.damage.as_ref().map(|damage| ("Ended early", damage.clone())));
    Report {
        title: format!("Mirror port check: {}", document.source),
        verdict: (text::verdict(report).to_owned(), tone(report.verdict)),
        facts,
        tables: [findings(document), tags(document), streams(document)]
            .into_iter()
            .filter(|table| !table.rows.is_empty())
            .collect(),
        notes: report.notes.clone(),
    }
}

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Healthy => Tone::Good,
        Verdict::Impaired => Tone::Fair,
        Verdict::Broken => Tone::Bad,
        Verdict::NoVoice | Verdict::NoFrames => Tone::Open,
    }
}

fn findings(document: &Document) -> Table {
    let row = |finding: &silentmon_capture_core::survey::Finding| {
        let tone = match finding.severity {
            Severity::Breaks => Tone::Bad,
            Severity::Impairs => Tone::Fair,
        };
        vec![
            Cell::toned(finding.code.to_string(), tone),
            text::severity(finding.severity).into(),
            finding.text.as_str().into(),
            finding.fix.as_str().into(),
        ]
    };
    Table {
        heading: "Findings".to_owned(),
        columns: vec!["Code", "Harm", "What was seen", "What to do"],
        rows: document.report.findings.iter().map(row).collect(),
    }
}

fn tags(document: &Document) -> Table {
    let row = |share: &silentmon_capture_core::survey::TagShare| {
        let priorities = share
            .priorities
            .iter()
            .map(|(priority, count)| format!("{priority}: {count}"));
        vec![
            text::vlan(&share.vlan).into(),
            share.frames.to_string().into(),
            format!("{} %", share.percent).into(),
            priorities.collect::<Vec<_>>().join(", ").into(),
        ]
    };
    Table {
        heading: "VLAN tags".to_owned(),
        columns: vec!["Stack", "Frames", "Share", "Priorities"],
        rows: document.report.tags.stacks.iter().map(row).collect(),
    }
}

fn streams(document: &Document) -> Table {
    let row = |stream: &silentmon_capture_core::survey::ListedStream| {
        vec![
            stream.ssrc.to_string().into(),
            format!("{} > {}", stream.source, stream.destination).into(),
            text::vlan(&stream.vlan).into(),
            if stream.encrypted {
                Cell::toned(format!("{}, encrypted", stream.codec), Tone::Bad)
            } else {
                stream.codec.into()
            },
            stream.packets.to_string().into(),
            stream.lost.to_string().into(),
            stream.duplicates.to_string().into(),
        ]
    };
    let report = &document.report;
    let heading = match report.unlisted_streams {
        0 => "Streams".to_owned(),
        more => format!("Streams (and {more} more)"),
    };
    Table {
        heading,
        columns: vec!["SSRC", "From and to", "VLAN", "Codec", "Packets", "Lost", "Duplicates"],
        rows: report.streams.iter().map(row).collect(),
    }
}
