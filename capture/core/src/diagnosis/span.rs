//! Hops of the capture interface: do frames come, are there others' among them, have they kept their tags?

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::reason::{Code, Evidence, Reason};
use silentmon_proto::time::Instant;

use super::case::seconds;
use super::{Case, LegCase};
use crate::addressing::AddressCounts;

/// Without any frame for this long the mirror counts as dead.
const SILENT_MIRROR: Duration = Duration::from_secs(5);
/// What came in this time is what is looked at.
const LATELY: Duration = Duration::from_secs(30);
/// How far apart the readings are that are kept of it.
const APART: Duration = Duration::from_secs(1);
/// Frames below which nothing is said about all of them.
const FEW_FRAMES: u64 = 3;

/// What the capture threads report now and then; sums since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureHealth {
    /// When the last frame came, of whatever kind.
    pub last_frame: Option<Instant>,
    /// Frames lost by the kernel or on the way to the engine.
    pub dropped: u64,
    /// Frames that came.
    pub frames: u64,
    /// Those of them with an 802.1Q tag.
    pub tagged: u64,
    /// Those of them whose addresses were looked at, by whom they are for.
    pub addressed: AddressCounts,
    /// Whether the interface has a link; nothing where it isn't known, and for a file.
    pub carrier: Option<bool>,
}

/// What came lately, by what is reported now and then.
#[derive(Debug, Default)]
pub struct SpanWatch {
    health: CaptureHealth,
    past: VecDeque<(Instant, CaptureHealth)>,
}

/// What came within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recent {
    over: Duration,
    frames: u64,
    tagged: u64,
    dropped: u64,
    addressed: AddressCounts,
}

impl SpanWatch {
    /// Takes a report.
    pub fn handle(&mut self, health: CaptureHealth, now: Instant) {
        let last_frame = health.last_frame.max(self.health.last_frame);
        let before = std::mem::replace(&mut self.health, CaptureHealth { last_frame, ..health });
        if self.past.back().is_none_or(|(at, _)| now - *at >= APART) {
            self.past.push_back((now, before));
        }
        while self.past.len() > 1 && self.past.front().is_some_and(|(at, _)| now - *at > LATELY) {
            self.past.pop_front();
        }
    }

    /// The last report.
    pub const fn health(&self) -> &CaptureHealth {
        &self.health
    }

    fn recent(&self, now: Instant) -> Recent {
        let (at, before) = self.past.front().copied().unwrap_or((now, self.health));
        Recent {
            over: now - at,
            frames: self.health.frames.saturating_sub(before.frames),
            tagged: self.health.tagged.saturating_sub(before.tagged),
            dropped: self.health.dropped.saturating_sub(before.dropped),
            addressed: self.health.addressed.since(&before.addressed),
        }
    }
}

/// Whether voice comes through: the agent's, or anyone's where the question is about the house.
fn gets_through(case: &Case<'_>) -> bool {
    match &case.subject {
        Some(subject) => subject.legs.iter().any(LegCase::is_visible),
        None => case.voice,
    }
}

/// Whether the interface is to blame for silence: the agent's media are to be seen in the mirror, and aren't.
fn is_asked(case: &Case<'_>) -> bool {
    match &case.subject {
        Some(subject) => !subject.media.is_empty() && subject.is_announced_encrypted().is_none(),
        None => true,
    }
}

pub(super) fn frames(case: &Case<'_>) -> Option<Reason> {
    if gets_through(case) || !is_asked(case) {
        return None;
    }
    let last = case.span.health.last_frame;
    if case.now - last.unwrap_or(Instant::EPOCH) < SILENT_MIRROR {
        return None;
    }
    let source = case.source;
    let since = match last {
        Some(last) => format!("for {}", seconds(case.now - last)),
        None => "since the start".to_owned(),
    };
    let text = format!("The capture interface ({source}) has received no frames {since}.");
    Some(Reason::new(Code::NoFrames, text))
}

pub(super) fn frames_evidence(case: &Case<'_>) -> Evidence {
    let (health, recent) = (&case.span.health, case.span.recent(case.now));
    let carrier = health.carrier.map(|carrier| if carrier { "up" } else { "none" });
    let last = match health.last_frame {
        Some(_) => format!("{} ago", case.age(health.last_frame)),
        None => "never".to_owned(),
    };
    Evidence::new()
        .with("source", case.source)
        .with_known("link", carrier)
        .with("frames", health.frames)
        .with(format!("in {}", seconds(recent.over)), recent.frames)
        .with("last frame", last)
        .with("dropped here", health.dropped)
}

pub(super) fn promiscuous(case: &Case<'_>) -> Option<Reason> {
    if gets_through(case) || !is_asked(case) {
        return None;
    }
    let recent = case.span.recent(case.now);
    let AddressCounts { foreign, .. } = recent.addressed;
    if recent.addressed.total() < FEW_FRAMES || foreign > 0 {
        return None;
    }
    let text = format!(
        "The capture interface ({}) receives only its own and broadcast traffic (0 foreign unicast frames in {}).",
        case.source,
        seconds(recent.over)
    );
    Some(Reason::new(Code::OnlyOwnTraffic, text))
}

pub(super) fn promiscuous_evidence(case: &Case<'_>) -> Evidence {
    let recent = case.span.recent(case.now);
    let AddressCounts {
        foreign,
        own,
        broadcast,
        multicast,
    } = recent.addressed;
    Evidence::new()
        .with("over", seconds(recent.over))
        .with("foreign unicast", foreign)
        .with("own", own)
        .with("broadcast", broadcast)
        .with("multicast", multicast)
}

/// Without tags an address that two agents' phones share can't be told apart.
pub(super) fn tags(case: &Case<'_>) -> Option<Reason> {
    let shared = case.subject.as_ref()?.shared?;
    let recent = case.span.recent(case.now);
    if recent.tagged > 0 || recent.frames < FEW_FRAMES {
        return None;
    }
    let text =
        format!("Frames arrive without the VLAN tag, and {shared} is the address of more than one agent's phone.");
    Some(Reason::new(Code::TagsLost, text))
}

pub(super) fn tags_evidence(case: &Case<'_>) -> Evidence {
    let recent = case.span.recent(case.now);
    let shared = case.subject.as_ref().and_then(|subject| subject.shared);
    Evidence::new()
        .with("over", seconds(recent.over))
        .with("tagged", recent.tagged)
        .with("untagged", recent.frames.saturating_sub(recent.tagged))
        .with_known("address of several agents", shared)
}

pub(super) fn dropped_lately(case: &Case<'_>) -> u64 {
    case.span.recent(case.now).dropped
}
