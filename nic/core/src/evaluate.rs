//! From what was sent and what came to results, and from the results to a verdict.

use silentmon_proto::reason::{Code, Reason};

use crate::advice;
use crate::check::{CheckId, Checks, Need};
use crate::control::{Sent, Told};
use crate::model::{BurstEvidence, CheckReport, CheckResult, Evidence, Judgement, Others, TagOutcome, Verdict};
use crate::plan::PACKETS_PER_CALL;
use crate::tally::{TagCounts, Tally};
use crate::target::Round;

/// Share of the burst that may be lost without disqualifying: one packet in a thousand isn't heard.
const BEARABLE_LOSS: f64 = 0.001;
/// Off the clock by more than this, a stamp is wrong.
const OFF_CLOCK_US: u64 = 1_000_000;
/// Spacing that differs by more than this is not that of sending.
const SPACING_US: u64 = 100_000;

/// Losses that something counted during a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// By the kernel at this test's socket.
    pub at_socket: u64,
    /// By the interface: dropped and missed.
    pub at_interface: u64,
}

/// What came of every check of a round.
pub fn checks(round: &Round, losses: Losses) -> Vec<CheckReport> {
    let sent = round.sent.unwrap_or_else(|| Sent::as_planned(round.plan));
    let examined = Examined { round, sent, losses };
    let wanted = round.plan.checks;
    wanted.iter().map(|check| examined.report(check)).collect()
}

struct Examined<'a> {
    round: &'a Round,
    sent: Sent,
    losses: Losses,
}

impl Examined<'_> {
    fn tally(&self, check: CheckId) -> &Tally {
        self.round.tallies.of(check)
    }

    fn sent(&self, check: CheckId) -> u32 {
        match (check, self.round.sent) {
            // Without the generator's word there were at least as many as the last number says.
            (CheckId::Burst, None) => self.tally(check).highest().map_or(0, |highest| highest + 1),
            (CheckId::Timestamps, _) => self.tally(CheckId::Tagged).seen(),
            (check, _) => self.sent.frames(check),
        }
    }

    fn report(&self, check: CheckId) -> CheckReport {
        let tally = self.tally(check);
        let sent = self.sent(check);
        let mut report = CheckReport {
            id: check,
            title: check.title(),
            result: CheckResult::Pass,
            sent,
            seen: if check == CheckId::Timestamps {
                sent
            } else {
                tally.seen()
            },
            tag: None,
            reason: None,
            evidence: Evidence {
                cut: tally.cut,
                damaged: tally.damaged,
                duplicates: tally.duplicates,
                reordered: tally.reordered,
                ..Evidence::default()
            },
        };
        self.look_at_tags(&mut report);
        match check {
            CheckId::Timestamps => self.judge_stamps(&mut report),
            CheckId::Burst => self.judge_burst(&mut report),
            _ => self.judge_frames(&mut report),
        }
        report
    }

    fn look_at_tags(&self, report: &mut CheckReport) {
        let tally = self.tally(report.id);
        let has_tags = report.id.shape(0).is_some_and(|shape| !shape.tags.is_empty());
        if !has_tags || tally.seen() == 0 {
            return;
        }
        let (raw, capture) = (outcome(tally.raw_tags), outcome(tally.capture_tags));
        report.evidence.tag_raw = raw;
        report.evidence.tag_capture = capture;
        report.tag = match (raw, capture) {
            (_, Some(TagOutcome::Kept)) => Some(TagOutcome::Kept),
            (raw, _) => raw,
        };
        if report.tag == Some(TagOutcome::Lost) {
            report.evidence.untagged = tally.raw_tags.lost;
        }
    }

    fn judge_frames(&self, report: &mut CheckReport) {
        let check = report.id;
        if report.sent == 0 {
            report.result = CheckResult::NotRun;
            report.reason = Some(Reason::new(
                Code::FramesLost,
                "The generator's interface lets no frames of that length out; raise its MTU to 1508.",
            ));
            return;
        }
        if report.seen < report.sent {
            let (code, text) = self.why_missing(report);
            fail(report, code, text);
        } else if report.tag == Some(TagOutcome::Lost) {
            let text = format!(
                "{} of {} frames arrived without their tags.",
                report.evidence.untagged, report.seen
            );
            fail(report, Code::TagsLost, text);
            if check == CheckId::PriorityTag {
                // VLAN 0 is no VLAN: without its tag the frame means the same.
                report.result = CheckResult::Note;
            }
        }
    }

    /// Why frames of a check are missing.
    fn why_missing(&self, report: &CheckReport) -> (Code, String) {
        let (check, sent, seen) = (report.id, report.sent, report.seen);
        let Evidence { cut, damaged, .. } = report.evidence;
        let is_absent = |check| {
            let tally = self.tally(check);
            tally.seen() == 0 && tally.cut == 0 && tally.damaged == 0
        };
        let has_tags = check.shape(0).is_some_and(|shape| !shape.tags.is_empty());
        if cut > 0 {
            return (
                Code::FramesCutByNic,
                format!("{cut} of {sent} frames arrived cut short."),
            );
        }
        if damaged > 0 {
            return (
                Code::FramesDamaged,
                format!("{damaged} of {sent} frames arrived damaged."),
            );
        }
        if seen > 0 {
            return (
                Code::FramesLost,
                format!("{} of {sent} frames are missing.", sent - seen),
            );
        }
        let any_untagged = !is_absent(CheckId::Untagged);
        if has_tags && any_untagged && (check != CheckId::DoubleTagged || is_absent(CheckId::Qinq)) {
            let text = format!("None of {sent} tagged frames arrived, while untagged ones do.");
            return (Code::DriverDiscardsTags, text);
        }
        match check {
            CheckId::Promiscuous if any_untagged => {
                let text =
                    format!("None of {sent} frames to a foreign MAC address arrived; those to the NIC's own do.");
                (Code::OnlyOwnTraffic, text)
            }
            CheckId::DoubleTagged => {
                let text = format!(
                    "None of {sent} frames of 1526 bytes arrived, shorter ones with two tags do; raise the MTU to 1508."
                );
                (Code::FramesLost, text)
            }
            _ => (Code::NoFrames, format!("None of {sent} frames arrived.")),
        }
    }

    fn judge_burst(&self, report: &mut CheckReport) {
        let (sent, seen) = (u64::from(report.sent), u64::from(report.seen));
        if sent == 0 {
            report.result = CheckResult::NotRun;
            return;
        }
        let lost = sent.saturating_sub(seen);
        let lost_at_socket = self.losses.at_socket.min(lost);
        let lost_at_interface = self.losses.at_interface.min(lost - lost_at_socket);
        let evidence = BurstEvidence {
            asked_per_second: self.sent.burst_rate,
            sent_per_second: self.sent.burst_per_second(),
            lost,
            lost_at_socket,
            lost_at_interface,
            lost_before: lost - lost_at_socket - lost_at_interface,
        };
        report.evidence.burst = Some(evidence);
        if seen == 0 || report.evidence.cut + report.evidence.damaged > 0 {
            let (code, text) = self.why_burst_is_missing(report);
            fail(report, code, text);
        } else if evidence.lost > evidence.lost_at_socket && lost as f64 > sent as f64 * BEARABLE_LOSS {
            let percent = lost as f64 * 100.0 / sent as f64;
            let text = format!(
                "{lost} of {sent} frames ({percent:.2} %) were lost at {} packets/s: {lost_at_interface} at the interface, {} before it, {lost_at_socket} at this test's socket.",
                evidence.sent_per_second, evidence.lost_before
            );
            fail(report, Code::FramesLost, text);
        } else if lost > 0 {
            let text = format!(
                "{lost} of {sent} frames were lost at {} packets/s, {lost_at_socket} of them because this computer didn't read fast enough.",
                evidence.sent_per_second
            );
            fail(report, Code::FramesLost, text);
            report.result = CheckResult::Note;
        } else if is_limited(&evidence) {
            let text = format!(
                "The generator sent only {} packets/s of the {} asked for, as many as {} calls; more is not proved.",
                evidence.sent_per_second,
                evidence.asked_per_second,
                evidence.sent_per_second / PACKETS_PER_CALL
            );
            fail(report, Code::FramesLost, text);
            report.result = CheckResult::Note;
        } else if report.evidence.reordered > 0 {
            let text = format!("{} frames arrived behind a later one.", report.evidence.reordered);
            fail(report, Code::FramesLost, text);
            report.result = CheckResult::Note;
        }
    }

    fn why_burst_is_missing(&self, report: &CheckReport) -> (Code, String) {
        let no_foreign = self.tally(CheckId::Promiscuous).seen() == 0 && self.sent(CheckId::Promiscuous) > 0;
        let tagged = self.tally(CheckId::Tagged).seen() > 0;
        if report.seen == 0 && tagged && no_foreign {
            let text = format!("None of {} frames to a foreign MAC address arrived.", report.sent);
            return (Code::OnlyOwnTraffic, text);
        }
        self.why_missing(report)
    }

    fn judge_stamps(&self, report: &mut CheckReport) {
        report.evidence.stamps = self.round.tallies.stamps.evidence();
        let Some(stamps) = report.evidence.stamps else {
            report.result = CheckResult::NotRun;
            return;
        };
        let complaint = if stamps.backwards > 0 {
            format!("{} stamps ran backwards.", stamps.backwards)
        } else if stamps.off_clock_us > OFF_CLOCK_US {
            format!("Stamps are {} ms off the clock.", stamps.off_clock_us / 1000)
        } else if stamps.spacing_us > SPACING_US {
            format!(
                "The spacing of stamps differs from that of sending by {} ms.",
                stamps.spacing_us / 1000
            )
        } else {
            return;
        };
        fail(report, Code::StampsWrong, complaint);
    }
}

/// Less than half of what was asked for went out: 500,000 a second are asked for, 250,000 are what 2,500 calls make.
fn is_limited(burst: &BurstEvidence) -> bool {
    burst.sent_per_second < burst.asked_per_second / 2
}

fn fail(report: &mut CheckReport, code: Code, text: String) {
    report.result = match report.id.need() {
        Need::Required => CheckResult::Fail,
        Need::Useful => CheckResult::Note,
    };
    report.reason = Some(Reason::new(code, text));
}

fn outcome(tags: TagCounts) -> Option<TagOutcome> {
    match tags {
        tags if tags.total() == 0 => None,
        TagCounts { lost: 1.., .. } => Some(TagOutcome::Lost),
        TagCounts { metadata: 1.., .. } => Some(TagOutcome::Metadata),
        _ => Some(TagOutcome::Kept),
    }
}

/// What is known besides the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances<'a> {
    /// The interface under test.
    pub interface: &'a str,
    /// Frames of no check.
    pub others: Others,
    /// Whether the generator's own count came.
    pub count_came: bool,
}

/// The verdict where no generator was heard.
pub fn nobody_heard(circumstances: &Circumstances<'_>) -> Judgement {
    let Others {
        foreign,
        damaged,
        classic,
        ..
    } = circumstances.others;
    let text = if damaged > 0 {
        format!("Only damaged frames of a test arrived ({damaged}).")
    } else if foreign + classic > 0 {
        format!("No generator was heard; {} other frames arrived.", foreign + classic)
    } else {
        "No frames at all arrived.".to_owned()
    };
    let mut notes = advice::on(Code::NoFrames, circumstances.interface);
    notes.extend(note_on_others(circumstances));
    Judgement {
        verdict: Verdict::Inconclusive,
        reason: Some(Reason::new(Code::NoFrames, text)),
        checks: Vec::new(),
        notes,
    }
}

/// The verdict on a round's reports.
pub fn judge(checks: Vec<CheckReport>, circumstances: &Circumstances<'_>) -> Judgement {
    let nothing = |report: &CheckReport| report.seen == 0 && report.evidence.cut == 0 && report.evidence.damaged == 0;
    let limited = |report: &CheckReport| report.evidence.burst.as_ref().is_some_and(is_limited);
    let has = |result| checks.iter().any(|report| report.result == result);
    let (verdict, reason) = if checks.iter().all(nothing) {
        let text = "A generator announced itself, but none of its frames arrived, not even the untagged control.";
        (Verdict::Inconclusive, Some(Reason::new(Code::NoFrames, text)))
    } else if has(CheckResult::Fail) {
        (Verdict::NotQualified, first_reason(&checks, CheckResult::Fail))
    } else if checks.iter().any(limited) {
        (Verdict::Inconclusive, first_reason(&checks, CheckResult::Note))
    } else if has(CheckResult::Note) || has(CheckResult::NotRun) {
        (Verdict::QualifiedWithNotes, first_reason(&checks, CheckResult::Note))
    } else {
        (Verdict::Qualified, None)
    };
    let mut notes: Vec<_> = checks.iter().filter_map(note_on).collect();
    if let Some(reason) = reason.as_ref().filter(|_| verdict != Verdict::QualifiedWithNotes) {
        notes.extend(advice::on(reason.code, circumstances.interface));
    }
    if !circumstances.count_came {
        notes.push("The generator's own count didn't arrive: what it had announced is taken as sent.".to_owned());
    }
    notes.extend(note_on_others(circumstances));
    Judgement {
        verdict,
        reason,
        checks,
        notes,
    }
}

/// The reason to name first: what explains most of the others.
fn first_reason(checks: &[CheckReport], result: CheckResult) -> Option<Reason> {
    const ORDER: [Code; 7] = [
        Code::DriverDiscardsTags,
        Code::TagsLost,
        Code::OnlyOwnTraffic,
        Code::FramesCutByNic,
        Code::FramesDamaged,
        Code::FramesLost,
        Code::StampsWrong,
    ];
    let reasons = checks.iter().filter(|report| report.result == result);
    let reasons = reasons.filter_map(|report| report.reason.clone());
    let weight = |reason: &Reason| {
        ORDER
            .iter()
            .position(|code| *code == reason.code)
            .unwrap_or(ORDER.len())
    };
    reasons.min_by_key(weight)
}

fn note_on(report: &CheckReport) -> Option<String> {
    let reason = report.reason.as_ref()?;
    Some(format!("{} ({}): {}", report.id, report.title, reason.text))
}

fn note_on_others(circumstances: &Circumstances<'_>) -> Vec<String> {
    let Others { damaged, classic, .. } = circumstances.others;
    let mut notes = Vec::new();
    if classic > 0 {
        notes.push(format!(
            "Classic sample frames seen (VLAN 85, priority 5, no session): {classic}. Five of five are what the documented test \
             asks for; nothing else is proved by them."
        ));
    }
    if damaged > 0 {
        notes.push(format!(
            "{damaged} frames of a test arrived with a damaged header and count for nobody."
        ));
    }
    notes
}

/// Checks worth repeating with another setting: those without a pass. The controls are repeated with them, as the others
/// are judged by them.
pub fn worth_repeating(checks: &[CheckReport]) -> Checks {
    let wanting = |report: &&CheckReport| matches!(report.result, CheckResult::Fail | CheckResult::Note);
    let failed: Checks = checks.iter().filter(wanting).map(|report| report.id).collect();
    if failed.is_empty() {
        return failed;
    }
    let controls = [
        CheckId::Tagged,
        CheckId::Untagged,
        CheckId::Promiscuous,
        CheckId::Qinq,
        CheckId::Timestamps,
    ];
    failed.iter().chain(controls).collect()
}

/// The judgement as it goes over the wire.
pub fn told(judgement: &Judgement) -> Told {
    let mut checks = [(CheckResult::NotRun, 0); CheckId::ALL.len()];
    for (place, check) in checks.iter_mut().zip(CheckId::ALL) {
        if let Some(report) = judgement.checks.iter().find(|report| report.id == *check) {
            *place = (report.result, report.seen.min(0x00ff_ffff));
        }
    }
    Told {
        verdict: judgement.verdict,
        code: judgement.code().map(Code::number),
        checks,
    }
}
