//! What is said about a NIC: results of checks, verdict, and the document that programs read.

use serde::Serialize;
use silentmon_proto::reason::{Code, Reason};

use crate::check::CheckId;
use crate::mac::MacAddress;
use crate::wire::SessionId;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// As it should be.
    Pass,
    /// Something is to be known; the product works.
    Note,
    /// The product wouldn't work.
    Fail,
    /// Nothing was sent, or nothing can be said.
    NotRun,
}

impl CheckResult {
    /// The result as it goes over the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Pass => 1,
            Self::Note => 2,
            Self::Fail => 3,
            Self::NotRun => 4,
        }
    }

    /// The result with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Pass),
            2 => Some(Self::Note),
            3 => Some(Self::Fail),
            4 => Some(Self::NotRun),
            _ => None,
        }
    }

    /// A word for a table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Note => "note",
            Self::Fail => "FAIL",
            Self::NotRun => "not run",
        }
    }
}

/// What is said about a NIC in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does all that is needed.
    Qualified,
    /// It does, and something is to be known.
    QualifiedWithNotes,
    /// It doesn't.
    NotQualified,
    /// Nothing can be said about it.
    Inconclusive,
}

impl Verdict {
    /// The verdict as it goes over the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Qualified => 1,
            Self::QualifiedWithNotes => 2,
            Self::NotQualified => 3,
            Self::Inconclusive => 4,
        }
    }

    /// The verdict with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Qualified),
            2 => Some(Self::QualifiedWithNotes),
            3 => Some(Self::NotQualified),
            4 => Some(Self::Inconclusive),
            _ => None,
        }
    }

    /// The verdict as people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Qualified => "QUALIFIED",
            Self::QualifiedWithNotes => "QUALIFIED WITH NOTES",
            Self::NotQualified => "NOT QUALIFIED",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// What became of the tags of a check's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TagOutcome {
    /// They are in the frame.
    Kept,
    /// The outermost is beside the frame.
    Metadata,
    /// They are nowhere.
    Lost,
}

/// What was counted of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Evidence {
    /// Frames that arrived shorter than they were sent.
    #[serde(skip_serializing_if = "is_none")]
    pub cut: u64,
    /// Frames that arrived changed.
    #[serde(skip_serializing_if = "is_none")]
    pub damaged: u64,
    /// Frames that arrived more than once.
    #[serde(skip_serializing_if = "is_none")]
    pub duplicates: u64,
    /// Frames that arrived behind a later one.
    #[serde(skip_serializing_if = "is_none")]
    pub reordered: u64,
    /// Frames that arrived whole without their tags.
    #[serde(skip_serializing_if = "is_none")]
    pub untagged: u64,
    /// Where the raw socket found the tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_raw: Option<TagOutcome>,
    /// Where libpcap, through which the product reads, showed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_capture: Option<TagOutcome>,
    /// Of the burst: rate and where frames were lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<BurstEvidence>,
    /// Of the stamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamps: Option<StampEvidence>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What was counted of the burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BurstEvidence {
    /// Frames a second asked for.
    pub asked_per_second: u32,
    /// Frames a second sent.
    pub sent_per_second: u32,
    /// Frames lost altogether.
    pub lost: u64,
    /// Of them, those the kernel dropped because this test's socket was full.
    pub lost_at_socket: u64,
    /// Of them, those the interface counted as dropped or missed.
    pub lost_at_interface: u64,
    /// The others: on the wire, in a switch, in the generator's driver, or by a driver that doesn't count.
    pub lost_before: u64,
}

/// What was measured of the stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StampEvidence {
    /// Stamps that ran backwards.
    pub backwards: u32,
    /// Most by which a stamp was off the clock when its frame was read, in microseconds.
    pub off_clock_us: u64,
    /// Most by which the time between two frames differed from that of sending, in microseconds.
    pub spacing_us: u64,
}

/// A check's result with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Which check.
    pub id: CheckId,
    /// A few words on it.
    pub title: &'static str,
    /// What came of it.
    pub result: CheckResult,
    /// Frames sent.
    pub sent: u32,
    /// Frames that arrived whole, each counted once.
    pub seen: u32,
    /// What became of the tags, where the check has tags and frames were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagOutcome>,
    /// Why it isn't a pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What was counted.
    pub evidence: Evidence,
}

/// What became of a setting that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The setting, as ethtool names it.
    pub setting: String,
    /// Its value before and after.
    pub from: String,
    /// The value that was tried.
    pub to: String,
    /// Checks that failed or had a note before and passed with it.
    pub helped: Vec<CheckId>,
    /// Whether it was put back.
    pub put_back: bool,
    /// Why it couldn't be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Frames that belonged to no check of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Others {
    /// Ordinary traffic.
    pub foreign: u64,
    /// Frames of other sessions.
    pub other_sessions: u64,
    /// Frames of a test whose header was damaged.
    pub damaged: u64,
    /// Frames like those of the documented sample (VLAN 85, priority 5), without a session.
    pub classic: u64,
}

/// The judgement of one target over all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// In a word.
    pub verdict: Verdict,
    /// The first reason why it isn't better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The checks.
    pub checks: Vec<CheckReport>,
    /// What to know and what to do.
    pub notes: Vec<String>,
}

impl Judgement {
    /// The reason's code.
    pub fn code(&self) -> Option<Code> {
        self.reason.as_ref().map(|reason| reason.code)
    }

    /// A check's result.
    pub fn result(&self, check: CheckId) -> CheckResult {
        let found = self.checks.iter().find(|report| report.id == check);
        found.map_or(CheckResult::NotRun, |report| report.result)
    }
}

/// Who was tested by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parties {
    /// The session.
    pub session: SessionId,
    /// Address of the generator's interface.
    pub generator: MacAddress,
}
