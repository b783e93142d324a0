//! Hops of the mirror: does it show this agent, both sides of him, once, and whole?

use std::time::Duration;

use silentmon_proto::ids::Leg;
use silentmon_proto::reason::{Code, Evidence, Reason};

use super::case::{LegCase, LegCounts, Subject};
use super::{Case, media, span};

/// A side that was seen may be quiet for so long: phones that save silence send nothing then (RFC 3389).
const QUIET: Duration = Duration::from_secs(30);
/// Packets below which shares say nothing.
const FEW_PACKETS: u64 = 50;
/// From this share of copies on the mirror delivers everything twice, in percent.
const TWICE: u64 = 50;
/// From this share of losses on the mirror is worth a word, in percent.
const LOSSY: u64 = 1;

/// Whether both sides are seen.
pub(super) fn sides(case: &Case<'_>) -> Option<Reason> {
    let subject = case.subject.as_ref()?;
    if subject.media.is_empty() {
        return None;
    }
    let [agent, customer] = subject.legs.map(|leg| leg.is_visible());
    if !agent && !customer {
        if subject.is_announced_encrypted().is_some() {
            return None;
        }
        let addresses: Vec<_> = subject.media.iter().map(|leg| leg.address.to_string()).collect();
        let text = format!("Frames arrive, but no voice from or to {}.", addresses.join(", "));
        return Some(Reason::new(Code::AgentNotInMirror, text));
    }
    let hidden = Leg::BOTH
        .into_iter()
        .find(|leg| !subject.legs[leg.index()].is_visible())?;
    // What can't be played can't be played from both sides either.
    let missing =
        !subject.has_just_begun(case.now) && !is_quiet(case, subject, hidden) && media::playable(case).is_none();
    missing.then(|| {
        let side = if agent { "agent's" } else { "customer's" };
        Reason::new(Code::OneSideOnly, format!("Only the {side} side is visible."))
    })
}

/// Whether a side that isn't seen now was seen in this call.
fn is_quiet(case: &Case<'_>, subject: &Subject<'_>, leg: Leg) -> bool {
    let begun = subject.media.iter().map(|media| media.since).min();
    let last = subject.legs[leg.index()].last;
    last.is_some_and(|last| Some(last) >= begun && case.now - last <= QUIET)
}

pub(super) fn sides_evidence(case: &Case<'_>) -> Evidence {
    let Some(subject) = &case.subject else {
        return Evidence::new();
    };
    let legs = Leg::BOTH.into_iter().fold(Evidence::new(), |evidence, leg| {
        evidence.with(name(leg), packets(case, &subject.legs[leg.index()]))
    });
    if subject.legs.iter().any(LegCase::is_visible) {
        return legs;
    }
    legs.and((case.talkers)())
}

fn packets(case: &Case<'_>, leg: &LegCase) -> String {
    let last = match leg.last {
        Some(at) => format!("last packet {} ago", case.age(Some(at))),
        None => "no packet".to_owned(),
    };
    match leg.counts {
        Some(counts) => format!("{} packets, {last}", counts.packets),
        None => last,
    }
}

const fn name(leg: Leg) -> &'static str {
    match leg {
        Leg::Agent => "from the phone",
        Leg::Customer => "to the phone",
    }
}

pub(super) fn duplicates(case: &Case<'_>) -> Option<Reason> {
    let counts = counts(case);
    let many = counts.packets >= FEW_PACKETS && counts.duplicates * 100 >= counts.packets * TWICE;
    many.then(|| {
        let share = counts.duplicates * 100 / counts.packets.max(1);
        let text = if share >= 90 {
            "Every packet arrives twice; duplicates are removed.".to_owned()
        } else {
            format!("{share} % of the packets arrive twice; duplicates are removed.")
        };
        Reason::new(Code::DuplicateMirror, text)
    })
}

pub(super) fn duplicates_evidence(case: &Case<'_>) -> Evidence {
    let counts = counts(case);
    Evidence::new()
        .with("packets", counts.packets)
        .with("copies", counts.duplicates)
        .with("share", share(counts.duplicates, counts.packets))
}

pub(super) fn losses(case: &Case<'_>) -> Option<Reason> {
    let counts = counts(case);
    let expected = counts.packets + counts.lost_in_mirror;
    let lossy = expected >= FEW_PACKETS && counts.lost_in_mirror * 100 >= expected * LOSSY;
    lossy.then(|| {
        let share = share(counts.lost_in_mirror, expected);
        let text = format!("The mirror loses {share} of the packets; the call itself is fine.");
        Reason::new(Code::MirrorLoses, text)
    })
}

pub(super) fn losses_evidence(case: &Case<'_>) -> Evidence {
    let counts = counts(case);
    let expected = counts.packets + counts.lost_in_mirror + counts.lost_in_call;
    Evidence::new()
        .with("expected", expected)
        .with("lost in the mirror", counts.lost_in_mirror)
        .with("lost in the call", counts.lost_in_call)
        .with("dropped by the kernel or here lately", span::dropped_lately(case))
}

/// All is well: the sentence of SM-0000.
pub(super) fn flowing(case: &Case<'_>) -> Reason {
    let Some(subject) = &case.subject else {
        return Code::AudioFlowing.into();
    };
    let text = match subject.legs.iter().filter(|leg| leg.is_visible()).count() {
        1 if subject.has_just_begun(case.now) => "Audio is flowing: 1 leg so far.".to_owned(),
        1 => "Audio is flowing: 1 leg, the other is quiet now.".to_owned(),
        legs => format!("Audio is flowing: {legs} legs."),
    };
    let counts = counts(case);
    let lost = counts.lost_in_mirror + counts.lost_in_call;
    let evidence = sides_evidence(case);
    Reason::new(Code::AudioFlowing, text).with_evidence(match counts.packets {
        0 => evidence,
        packets => evidence.with("lost", share(lost, packets + lost)),
    })
}

/// Both legs together.
fn counts(case: &Case<'_>) -> LegCounts {
    let legs = case.subject.as_ref().map_or(&[][..], |subject| &subject.legs[..]);
    let known = legs.iter().filter_map(|leg| leg.counts);
    known.fold(LegCounts::default(), |sum, leg| LegCounts {
        packets: sum.packets + leg.packets,
        duplicates: sum.duplicates + leg.duplicates,
        lost_in_mirror: sum.lost_in_mirror + leg.lost_in_mirror,
        lost_in_call: sum.lost_in_call + leg.lost_in_call,
    })
}

fn share(part: u64, whole: u64) -> String {
    let permille = part * 1000 / whole.max(1);
    format!("{}.{} %", permille / 10, permille % 10)
}
