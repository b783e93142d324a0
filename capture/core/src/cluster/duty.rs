//! Who holds the sessions with the CTI sources: one member of the cluster (requirements T10), as long as it can.
//!
//! Whoever holds them does so in a term. A higher term beats a lower one and, should two members have begun the same
//! term without knowing of each other, the smaller name the larger: until they meet both hold, which does no harm.
//! Where nobody holds, the first by name of those that can begins the next term.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::CtiDuty;
use silentmon_proto::time::Instant;

use super::HoldsCti;

/// How long a member that had to give up doesn't try again, where another can hold.
const UNFIT_FOR: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Duty {
    own: CtiDuty,
    others: BTreeMap<ServerName, Option<CtiDuty>>,
    highest_term: u64,
    /// Until then, after the start, the others may still be on their way.
    awaits_until: Option<Instant>,
    unfit_until: Option<Instant>,
}

impl Duty {
    pub const fn new(has_cti: bool, awaits_until: Instant) -> Self {
        Self {
            own: if has_cti { CtiDuty::Ready } else { CtiDuty::None },
            others: BTreeMap::new(),
            highest_term: 0,
            awaits_until: Some(awaits_until),
            unfit_until: None,
        }
    }

    pub const fn own(&self) -> CtiDuty {
        self.own
    }

    /// A member came; what it holds isn't known yet.
    pub fn handle_joined(&mut self, member: &ServerName) {
        self.others.insert(member.clone(), None);
    }

    pub fn handle_left(&mut self, member: &ServerName) {
        self.others.remove(member);
    }

    pub fn handle_told(&mut self, member: &ServerName, duty: CtiDuty) {
        if let CtiDuty::Holds { term } = duty {
            self.highest_term = self.highest_term.max(term);
        }
        if let Some(known) = self.others.get_mut(member) {
            *known = Some(duty);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.awaits_until.into_iter().chain(self.unfit_until).min()
    }

    pub fn holder<'a>(&'a self, own: &'a ServerName) -> Option<&'a ServerName> {
        let claim = match self.own {
            CtiDuty::Holds { term } => Some((own, term)),
            _ => None,
        };
        let best = |one: (&'a ServerName, u64), other: (&'a ServerName, u64)| {
            let wins = other.1 > one.1 || (other.1 == one.1 && other.0 < one.0);
            if wins { other } else { one }
        };
        self.claims().chain(claim).reduce(best).map(|(name, _)| name)
    }

    /// Whether somebody can hold them, or may be able to: where nobody holds, somebody will.
    pub fn will_be_held(&self) -> bool {
        self.own != CtiDuty::None || self.others.values().any(|duty| *duty != Some(CtiDuty::None))
    }

    pub const fn next_term(&self) -> u64 {
        self.highest_term + 1
    }

    /// Begins a term; whether it is new.
    pub fn claim(&mut self, term: u64) -> bool {
        if term <= self.highest_term || self.own == CtiDuty::None {
            return false;
        }
        self.highest_term = term;
        self.unfit_until = None;
        let held = matches!(self.own, CtiDuty::Holds { .. });
        self.own = CtiDuty::Holds { term };
        !held
    }

    /// The sources can't be reached from here. Whether that ends this member's duty: not where nobody else could do better.
    pub fn give_up(&mut self, now: Instant) -> bool {
        let holds = matches!(self.own, CtiDuty::Holds { .. });
        let another = self.others.values().any(|other| *other == Some(CtiDuty::Ready));
        if holds && another {
            self.own = CtiDuty::Unfit;
            self.unfit_until = Some(now + UNFIT_FOR);
        }
        holds && another
    }

    pub fn is_able(&self, member: &ServerName, own: bool) -> bool {
        let duty = if own {
            Some(self.own)
        } else {
            self.others.get(member).copied().flatten()
        };
        duty.is_some_and(|duty| duty != CtiDuty::None)
    }

    /// Finds out whether this member begins or ends to hold. `complete`: all members are there.
    pub fn decide(&mut self, own: &ServerName, complete: bool, now: Instant) -> Option<HoldsCti> {
        if self.unfit_until.is_some_and(|until| until <= now) {
            self.unfit_until = None;
            self.own = CtiDuty::Ready;
        }
        let holder = self.holder(own).cloned();
        if complete || holder.is_some() || self.awaits_until.is_some_and(|until| until <= now) {
            self.awaits_until = None;
        }
        if let Some(holder) = holder {
            let beaten = holder != *own && matches!(self.own, CtiDuty::Holds { .. });
            if beaten {
                self.own = CtiDuty::Ready;
            }
            return beaten.then_some(HoldsCti::No);
        }
        let unknown = self.others.values().any(Option::is_none);
        if self.awaits_until.is_some() || unknown || !self.is_first(own) {
            return None;
        }
        self.highest_term += 1;
        self.unfit_until = None;
        self.own = CtiDuty::Holds {
            term: self.highest_term,
        };
        Some(HoldsCti::Yes)
    }

    /// Whether this member is the first by name of those that can hold; those that had to give up only where nobody else
    /// can.
    fn is_first(&self, own: &ServerName) -> bool {
        let others = self.others.iter().filter_map(|(name, duty)| Some((name, (*duty)?)));
        let all = || others.clone().chain([(own, self.own)]);
        let first = |wanted: CtiDuty| all().filter(|(_, duty)| *duty == wanted).map(|(name, _)| name).min();
        first(CtiDuty::Ready).or_else(|| first(CtiDuty::Unfit)) == Some(own)
    }

    fn claims(&self) -> impl Iterator<Item = (&ServerName, u64)> {
        self.others.iter().filter_map(|(name, duty)| match duty {
            Some(CtiDuty::Holds { term }) => Some((name, *term)),
            _ => None,
        })
    }
}
