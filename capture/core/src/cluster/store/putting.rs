//! What this member puts, one record at a time, and what becomes of it.

use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::store::{self, MemberRecord, StoreKey, TermRecord};
use silentmon_proto::time::Instant;

use super::{StoreDirectory, StoreTransmit};

/// After something failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// See [`StoreTransmit::Put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePut {
    /// Where.
    pub key: StoreKey,
    /// What; none removes the key.
    pub value: Option<Vec<u8>>,
    /// What must stand there.
    pub expected: Expected,
}

/// See [`StorePut::expected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything, or nothing.
    Anything,
    /// What has this revision; 0: nothing that ever was.
    Revision(u64),
}

/// What became of a [`StoreTransmit::Put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is there, with this revision.
    Stored(u64),
    /// Another revision stood there.
    Conflict,
    /// Nobody knows.
    Failed,
    /// No store takes it: it is too large.
    TooLarge,
}

/// What is on its way to the store.
#[derive(Debug)]
pub(super) enum Sent {
    Member,
    Term(TermRecord),
    Log,
    Grave(ServerName),
}

impl StoreDirectory {
    /// What became of the value that was to be put.
    pub fn handle_outcome(&mut self, outcome: PutOutcome, now: Instant) {
        let Some(sent) = self.sent.take() else { return };
        match (outcome, sent) {
            (PutOutcome::Stored(_), Sent::Member) => self.leases.handle_stored(now),
            (PutOutcome::Stored(revision), Sent::Term(record)) => {
                self.term.handle_record(Some(record), revision);
                self.claim_at = Some(now + self.settings.heartbeat);
            }
            (PutOutcome::Stored(_), Sent::Log) => self.log.handle_stored(),
            (PutOutcome::Stored(before), Sent::Grave(origin)) => {
                self.transmits.push_back(StoreTransmit::Purge { origin, before });
            }
            (PutOutcome::TooLarge, Sent::Log) => self.log.handle_refused(),
            // It lives.
            (PutOutcome::Conflict, Sent::Grave(_)) => {}
            (PutOutcome::Conflict | PutOutcome::Failed | PutOutcome::TooLarge, sent) => {
                self.sent = Some(sent);
                self.drop_sent();
                self.retry_at = Some(now + RETRY_AFTER);
            }
        }
        self.decide_term(now);
    }

    pub(super) fn next_put(&mut self) -> Option<(Sent, StorePut)> {
        let anything = |key, value| StorePut {
            key,
            value: Some(value),
            expected: Expected::Anything,
        };
        let own = &self.settings.server;
        if self.beat_due.is_none() {
            if self.stops {
                return None;
            }
            // Due again by the clock, which `handle_timeout` knows.
            self.beat_due = Some(self.leases.now() + self.settings.heartbeat);
            let record = MemberRecord {
                hello: self.settings.hello(),
                address: self.address.clone(),
                cti: self.term.own,
                beat: self.beat,
            };
            self.beat += 1;
            let put = anything(StoreKey::Member(own.clone()), store::encode(&record));
            return Some((Sent::Member, put));
        }
        if let Some((record, revision)) = self.claim() {
            let put = StorePut {
                key: StoreKey::Term,
                value: Some(store::encode(&record)),
                expected: Expected::Revision(revision),
            };
            return Some((Sent::Term(record), put));
        }
        if let Some((key, value)) = self.log.poll(own) {
            return Some((Sent::Log, anything(key, value)));
        }
        let (grave, revision) = self.leases.poll_grave(own)?;
        let put = StorePut {
            key: StoreKey::Member(grave.clone()),
            value: None,
            expected: Expected::Revision(revision),
        };
        Some((Sent::Grave(grave), put))
    }

    pub(super) fn drop_sent(&mut self) {
        match self.sent.take() {
            Some(Sent::Member) => self.beat_due = None,
            Some(Sent::Log) => self.log.handle_failed(),
            Some(Sent::Term(_) | Sent::Grave(_)) | None => {}
        }
    }
}
