//! Tells a judgement: to people, to programs, on paper.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use silentmon_nic_core::check::CheckId;
use silentmon_nic_core::control::Sent;
use silentmon_nic_core::model::{CheckReport, CheckResult, Evidence, TagOutcome, Trial, Verdict};
use silentmon_nic_core::plan::PACKETS_PER_CALL;
use silentmon_nic_io::port::Facts;
use silentmon_nic_io::receive::Outcome;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::TellArgs;
use crate::output;
use crate::report::{Cell, Report, Table, Tone};

/// Exit code of an inconclusive test (command-line contract, nic-test).
const INCONCLUSIVE: u8 = 2;

/// 0 qualified, 1 not, 2 inconclusive.
pub(super) fn exit(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Qualified | Verdict::QualifiedWithNotes => ExitCode::SUCCESS,
        Verdict::NotQualified => ExitCode::from(1),
        Verdict::Inconclusive => ExitCode::from(INCONCLUSIVE),
    }
}

/// What happens meanwhile, for people.
pub(super) fn progress(tell: &TellArgs, event: &str) {
    if !tell.json {
        output::complain(event);
    }
}

/// Tells what came of a test, and ends with its exit code. A test that was stopped is inconclusive.
pub(super) fn outcome(tell: &TellArgs, facts: Facts, outcome: Option<Outcome>) -> anyhow::Result<ExitCode> {
    let Some(outcome) = outcome else {
        output::complain("stopped before there was a verdict; settings are as they were");
        return Ok(exit(Verdict::Inconclusive));
    };
    let told = Told::new(facts, outcome);
    if let Some(path) = &tell.report {
        std::fs::write(path, told.report().html()).with_context(|| format!("writing {}", path.display()))?;
    }
    if tell.json {
        output::json(&told.document())?;
    } else {
        told.print();
    }
    Ok(exit(told.outcome.judgement.verdict))
}

/// What is known of an interface, for a list.
pub(super) fn facts(facts: &Facts) -> Vec<(&'static str, String)> {
    let known = |text: &str| {
        if text.is_empty() {
            "unknown".to_owned()
        } else {
            text.to_owned()
        }
    };
    let link = match (facts.is_up, facts.has_link, facts.speed_mbit) {
        (false, ..) => "down".to_owned(),
        (true, false, _) => "no link".to_owned(),
        (true, true, None) => "up".to_owned(),
        (true, true, Some(speed)) => format!("up, {speed} Mbit/s"),
    };
    let settings: Vec<_> = facts
        .settings
        .iter()
        .map(|setting| {
            format!(
                "{} {}{}",
                setting.name,
                setting.value,
                if setting.changeable { "" } else { " (fixed)" }
            )
        })
        .collect();
    vec![
        ("Driver", format!("{} {}", known(&facts.driver), facts.driver_version)),
        ("Firmware", known(&facts.firmware)),
        ("Bus", known(&facts.bus)),
        ("Link", link),
        ("Settings", settings.join(", ")),
    ]
}

/// What a generator sent, in a line.
pub(super) fn sent(sent: &Sent) -> String {
    let frames: u32 = CheckId::ALL.iter().map(|check| sent.frames(*check)).sum();
    let rate = sent.burst_per_second();
    format!(
        "{frames} frames sent; the burst at {rate} packets/s, as many as {} calls",
        rate / PACKETS_PER_CALL
    )
}

struct Told {
    facts: Facts,
    outcome: Outcome,
    date: String,
    host: String,
}

impl Told {
    fn new(facts: Facts, outcome: Outcome) -> Self {
        let line = |file: &str| std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let kernel = line("/proc/sys/kernel/osrelease");
        let host = line("/proc/sys/kernel/hostname");
        Self {
            facts,
            outcome,
            date: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            host: format!("{host} ({} {kernel})", std::env::consts::OS),
        }
    }

    fn document(&self) -> serde_json::Value {
        let Outcome {
            judgement,
            parties,
            others,
            trials,
            capture_missing,
        } = &self.outcome;
        json!({
            "interface": self.facts.interface,
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "checks": judgement.checks,
            "notes": judgement.notes,
            "parties": parties,
            "others": others,
            "trials": trials,
            "capture_missing": capture_missing,
            "facts": self.facts,
            "host": self.host,
            "date": self.date,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    fn print(&self) {
        let judgement = &self.outcome.judgement;
        for (name, value) in facts(&self.facts) {
            output::line(&format!("{name:<10}{value}"));
        }
        for check in &judgement.checks {
            let (id, result) = (check.id.to_string(), check.result.word());
            let counts = format!("{}/{}", check.seen, check.sent);
            output::line(&format!(
                "{id:<9}{result:<8}{counts:>16}  {:<28}  {}",
                check.title,
                evidence(check)
            ));
        }
        for trial in &self.outcome.trials {
            output::line(&format!("tried {} {}: {}", trial.setting, trial.to, tried(trial)));
        }
        for note in &judgement.notes {
            output::line(&format!("  {note}"));
        }
        output::line(&self.headline());
    }

    fn headline(&self) -> String {
        let judgement = &self.outcome.judgement;
        let verdict = judgement.verdict.words();
        match &judgement.reason {
            Some(reason) => format!("{}: {verdict}. {reason}", self.facts.interface),
            None => format!("{}: {verdict}", self.facts.interface),
        }
    }

    fn report(&self) -> Report {
        let judgement = &self.outcome.judgement;
        let mut known = vec![
            ("Date", self.date.clone()),
            ("Host", self.host.clone()),
            (
                "Interface",
                format!("{} ({})", self.facts.interface, self.facts.address),
            ),
        ];
        known.extend(facts(&self.facts));
        if let Some(parties) = &self.outcome.parties {
            known.push((
                "Generator",
                format!("{}, session {}", parties.generator, parties.session),
            ));
        }
        known.push(("Program", format!("silentmon {}", env!("CARGO_PKG_VERSION"))));
        let mut tables = vec![Table {
            heading: "Checks".to_owned(),
            columns: vec!["Check", "What", "Result", "Seen/sent", "Tag", "Evidence"],
            rows: judgement.checks.iter().map(row).collect(),
        }];
        if !self.outcome.trials.is_empty() {
            let rows = self.outcome.trials.iter().map(|trial| {
                let change = format!("{} to {}", trial.from, trial.to);
                vec![trial.setting.clone().into(), change.into(), tried(trial).into()]
            });
            tables.push(Table {
                heading: "Settings tried, one at a time".to_owned(),
                columns: vec!["Setting", "Change", "What came of it"],
                rows: rows.collect(),
            });
        }
        let reason = judgement.reason.as_ref().map(ToString::to_string);
        Report {
            title: format!("NIC test of {} on {}", self.facts.interface, self.host),
            verdict: (judgement.verdict.words().to_owned(), tone(judgement.verdict)),
            facts: known,
            tables,
            notes: reason.into_iter().chain(judgement.notes.iter().cloned()).collect(),
        }
    }
}

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Qualified => Tone::Good,
        Verdict::QualifiedWithNotes => Tone::Fair,
        Verdict::NotQualified => Tone::Bad,
        Verdict::Inconclusive => Tone::Open,
    }
}

fn row(check: &CheckReport) -> Vec<Cell> {
    let tone = match check.result {
        CheckResult::Pass => Tone::Good,
        CheckResult::Note => Tone::Fair,
        CheckResult::Fail => Tone::Bad,
        CheckResult::NotRun => Tone::Open,
    };
    vec![
        check.id.to_string().into(),
        check.title.into(),
        Cell::toned(check.result.word(), tone),
        format!("{}/{}", check.seen, check.sent).into(),
        check.tag.map_or("", tag).into(),
        evidence(check).into(),
    ]
}

const fn tag(outcome: TagOutcome) -> &'static str {
    match outcome {
        TagOutcome::Kept => "kept",
        TagOutcome::Metadata => "metadata",
        TagOutcome::Lost => "lost",
    }
}

fn evidence(check: &CheckReport) -> String {
    let Evidence {
        cut,
        damaged,
        duplicates,
        reordered,
        tag_raw,
        tag_capture,
        burst,
        stamps,
        ..
    } = &check.evidence;
    let mut words = Vec::new();
    for (count, what) in [
        (cut, "cut"),
        (damaged, "damaged"),
        (duplicates, "twice"),
        (reordered, "reordered"),
    ] {
        if *count > 0 {
            words.push(format!("{count} {what}"));
        }
    }
    if let Some(raw) = tag_raw {
        words.push(format!("tag in raw socket: {}", tag(*raw)));
    }
    if let Some(capture) = tag_capture {
        words.push(format!("in libpcap: {}", tag(*capture)));
    }
    if let Some(burst) = burst {
        words.push(format!(
            "{} packets/s ({} calls), asked {}; lost {}: {} at the socket, {} at the interface, {} before",
            burst.sent_per_second,
            burst.sent_per_second / PACKETS_PER_CALL,
            burst.asked_per_second,
            burst.lost,
            burst.lost_at_socket,
            burst.lost_at_interface,
            burst.lost_before
        ));
    }
    if let Some(stamps) = stamps {
        words.push(format!(
            "{} backwards, {} µs off the clock, spacing within {} µs",
            stamps.backwards, stamps.off_clock_us, stamps.spacing_us
        ));
    }
    words.join(", ")
}

fn tried(trial: &Trial) -> String {
    let helped: Vec<_> = trial.helped.iter().map(ToString::to_string).collect();
    let result = match (&trial.refused, helped.is_empty()) {
        (Some(reason), _) => format!("refused: {reason}"),
        (None, true) => "didn't help".to_owned(),
        (None, false) => format!("helped {}", helped.join(", ")),
    };
    let back = if trial.put_back { "put back" } else { "NOT PUT BACK" };
    format!("{result}; {back}")
}
