//! Who holds the CTI sessions: the member that the term record names, as long as it lives. A member replaces the record
//! only as it read it last, so that of several that try one succeeds.

use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::CtiDuty;
use silentmon_proto::store::TermRecord;
use silentmon_proto::time::Instant;

use crate::cluster::HoldsCti;

/// How long a member that had to give up doesn't try again, where another can hold.
const UNFIT_FOR: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Term {
    pub own: CtiDuty,
    record: Option<TermRecord>,
    /// Revision of the record, 0 where there never was one.
    revision: u64,
    unfit_until: Option<Instant>,
    /// Whom an administrator wants to hold them, or who could do better.
    wanted: Option<ServerName>,
}

impl Term {
    pub const fn new(has_cti: bool) -> Self {
        Self {
            own: if has_cti { CtiDuty::Ready } else { CtiDuty::None },
            record: None,
            revision: 0,
            unfit_until: None,
            wanted: None,
        }
    }

    /// Whom the record names.
    pub fn named(&self) -> Option<&ServerName> {
        self.record.as_ref().map(|record| &record.holder)
    }

    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.unfit_until
    }

    /// The record is this now.
    pub fn handle_record(&mut self, record: Option<TermRecord>, revision: u64) {
        self.wanted = None;
        self.record = record;
        self.revision = revision;
    }

    pub fn want(&mut self, holder: ServerName) {
        self.wanted = Some(holder);
    }

    /// The sources can't be reached from here, and another member could do better.
    pub fn give_up_to(&mut self, other: ServerName, now: Instant) {
        self.unfit_until = Some(now + UNFIT_FOR);
        self.wanted = Some(other);
    }

    /// Finds out whether this member begins or ends to hold.
    pub fn decide(&mut self, own: &ServerName, now: Instant) -> Option<HoldsCti> {
        if self.unfit_until.is_some_and(|until| until <= now) {
            self.unfit_until = None;
            if self.own == CtiDuty::Unfit {
                self.own = CtiDuty::Ready;
            }
        }
        let held = matches!(self.own, CtiDuty::Holds { .. });
        let record = self.record.as_ref()?;
        if record.holder != *own {
            if held {
                let unfit = self.unfit_until.is_some();
                self.own = if unfit { CtiDuty::Unfit } else { CtiDuty::Ready };
            }
            return held.then_some(HoldsCti::No);
        }
        // One that is to give up waits until the other one is named.
        if self.own == CtiDuty::None || self.wanted.is_some() {
            return None;
        }
        self.unfit_until = None;
        self.own = CtiDuty::Holds { term: record.term };
        (!held).then_some(HoldsCti::Yes)
    }

    /// What the record should be, and the revision that it replaces. `void`: nobody holds; `first`: who is the next then.
    pub fn claim(&self, own: &ServerName, void: bool, first: Option<&ServerName>) -> Option<(TermRecord, u64)> {
        let holder = match &self.wanted {
            Some(wanted) => wanted,
            None if void && first == Some(own) => own,
            None => return None,
        };
        let held = match self.own {
            CtiDuty::Holds { term } => term,
            CtiDuty::None | CtiDuty::Ready | CtiDuty::Unfit => 0,
        };
        let term = self.record.as_ref().map_or(0, |record| record.term).max(held) + 1;
        let holder = holder.clone();
        Some((TermRecord { holder, term }, self.revision))
    }
}
