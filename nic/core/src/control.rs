//! What generator and target tell each other, in untagged frames of at most 128 bytes, so that a NIC which drops tags or
//! cuts frames doesn't keep them from talking.

use silentmon_proto::time::Instant;

use crate::check::{CheckId, Checks};
use crate::model::{CheckResult, Verdict};
use crate::plan::{BurstPlan, Plan};
use crate::wire::Kind;

/// What the generator has really sent in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Checks of the round.
    pub checks: Checks,
    /// Frames sent of each check, by the order of [`CheckId::ALL`].
    frames: [u32; CheckId::ALL.len()],
    /// How long the burst took, in microseconds.
    pub burst_us: u64,
    /// Frames of the burst asked for a second.
    pub burst_rate: u32,
}

impl Sent {
    /// Nothing yet, of these checks.
    pub const fn none(checks: Checks, burst_rate: u32) -> Self {
        Self {
            checks,
            frames: [0; CheckId::ALL.len()],
            burst_us: 0,
            burst_rate,
        }
    }

    /// All of a plan, as is to be assumed where the generator's own count didn't come.
    pub fn as_planned(plan: Plan) -> Self {
        let mut sent = Self::none(plan.checks, plan.burst.rate);
        for check in plan.checks.iter() {
            sent.add(check, plan.frames(check));
        }
        sent.burst_us = u64::try_from(plan.burst.duration().as_micros()).unwrap_or(u64::MAX);
        sent
    }

    /// Frames sent of a check.
    pub fn frames(&self, check: CheckId) -> u32 {
        self.frames.get(place(check)).copied().unwrap_or(0)
    }

    /// Counts frames sent.
    pub fn add(&mut self, check: CheckId, frames: u32) {
        if let Some(count) = self.frames.get_mut(place(check)) {
            *count = count.saturating_add(frames);
        }
    }

    /// Frames of the burst sent a second.
    pub fn burst_per_second(&self) -> u32 {
        let frames = u64::from(self.frames(CheckId::Burst));
        u32::try_from(frames * 1_000_000 / self.burst_us.max(1)).unwrap_or(u32::MAX)
    }
}

/// A verdict as the generator hears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The verdict.
    pub verdict: Verdict,
    /// Number of the reason code, where there is one.
    pub code: Option<u16>,
    /// Result and frames seen of each check, by the order of [`CheckId::ALL`].
    pub checks: [(CheckResult, u32); CheckId::ALL.len()],
}

/// A message from one end to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// What the generator will send.
    Hello(Plan),
    /// What the generator has sent.
    Done(Sent),
    /// The target listens.
    Ready,
    /// The target wants these checks sent again, in the round after the one named in the header.
    Again(Checks),
    /// The end.
    Verdict(Told),
}

impl Control {
    /// What a header says it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Done(_) => Kind::Done,
            Self::Ready => Kind::Ready,
            Self::Again(_) => Kind::Again,
            Self::Verdict(_) => Kind::Verdict,
        }
    }

    /// The message's bytes.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut number = |value: u32| body.extend(value.to_be_bytes());
        match self {
            Self::Hello(plan) => {
                number(plan.checks.bits());
                number(plan.burst.rate);
                number(plan.burst.frames);
            }
            Self::Done(sent) => {
                number(sent.checks.bits());
                number(sent.burst_rate);
                body.extend(sent.burst_us.to_be_bytes());
                body.extend(sent.frames(CheckId::Burst).to_be_bytes());
                // Of every other check at most 13 frames are sent.
                let count = |check: &CheckId| u8::try_from(sent.frames(*check)).unwrap_or(u8::MAX);
                body.extend(CheckId::ALL.iter().map(count));
            }
            Self::Ready => {}
            Self::Again(checks) => number(checks.bits()),
            Self::Verdict(told) => {
                body.push(told.verdict.number());
                body.extend(told.code.unwrap_or(0).to_be_bytes());
                for (result, seen) in told.checks {
                    body.push(result.number());
                    body.extend(seen.to_be_bytes().get(1..).unwrap_or_default());
                }
            }
        }
        body
    }

    /// Reads a message; `None` where it is none. Bytes behind it are left out.
    pub fn read(kind: Kind, body: &[u8]) -> Option<Self> {
        let mut words = Words(body);
        match kind {
            Kind::Probe(_) => None,
            Kind::Ready => Some(Self::Ready),
            Kind::Again => Some(Self::Again(Checks::from_bits(words.number()?))),
            Kind::Hello => {
                let checks = Checks::from_bits(words.number()?);
                let rate = words.number()?;
                let frames = words.number()?.min(BurstPlan::MAX_FRAMES);
                let burst = BurstPlan { rate, frames };
                Some(Self::Hello(Plan { checks, burst }))
            }
            Kind::Done => {
                let mut sent = Sent::none(Checks::from_bits(words.number()?), words.number()?);
                sent.burst_us = u64::from_be_bytes(words.take()?);
                let burst = words.number()?;
                for &check in CheckId::ALL {
                    let [frames] = words.take()?;
                    sent.add(check, if check == CheckId::Burst { burst } else { frames.into() });
                }
                Some(Self::Done(sent))
            }
            Kind::Verdict => {
                let [verdict] = words.take()?;
                let code = u16::from_be_bytes(words.take()?);
                let mut checks = [(CheckResult::NotRun, 0); CheckId::ALL.len()];
                for check in &mut checks {
                    let [result, a, b, c] = words.take()?;
                    *check = (CheckResult::from_number(result)?, u32::from_be_bytes([0, a, b, c]));
                }
                Some(Self::Verdict(Told {
                    verdict: Verdict::from_number(verdict)?,
                    code: (code != 0).then_some(code),
                    checks,
                }))
            }
        }
    }
}

/// A message and how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// What it says.
    pub control: Control,
    /// Of which round.
    pub round: u8,
    /// When it came.
    pub arrived: Instant,
}

fn place(check: CheckId) -> usize {
    usize::from(check.number()).saturating_sub(1)
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*word)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{HEADER, TRAILER};

    fn plan() -> Plan {
        Plan {
            checks: Checks::all(),
            burst: BurstPlan::lasting(250_000, Duration::from_secs(10)),
        }
    }

    fn messages() -> [Control; 5] {
        let told = Told {
            verdict: Verdict::NotQualified,
            code: Some(2201),
            checks: [(CheckResult::Fail, 2_400_000); CheckId::ALL.len()],
        };
        [
            Control::Hello(plan()),
            Control::Done(Sent::as_planned(plan())),
            Control::Ready,
            Control::Again(Checks::all().without(CheckId::Burst)),
            Control::Verdict(told),
        ]
    }

    #[test]
    fn messages_read_back_and_fit_into_128_bytes() {
        for message in messages() {
            let body = message.body();
            assert_eq!(Control::read(message.kind(), &body), Some(message));
            let ethernet = 14;
            assert!(ethernet + HEADER + body.len() + TRAILER <= 124, "{message:?}");
            if let Some(shorter) = body.len().checked_sub(1) {
                assert_eq!(Control::read(message.kind(), &body[..shorter]), None);
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..120)) {
            for message in messages() {
                let _ = Control::read(message.kind(), &body);
            }
        }
    }
}
