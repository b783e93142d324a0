//! What others put: their records, news and pages, read one by one.

use std::collections::BTreeMap;

use silentmon_proto::ids::ServerName;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::store::{self, MemberRecord, NewsRecord, PageRecord, StoreKey};
use silentmon_proto::time::Instant;

use super::leases::Renewed;
use super::log::Told;
use super::origin::Brought;
use super::{ClusterEvent, Directory, StoreDirectory};
use crate::cluster::parts::Parts;

impl StoreDirectory {
    /// What the store has of this member's log.
    pub(super) fn own_in(&self, read: &BTreeMap<StoreKey, (Vec<u8>, u64)>) -> Told {
        let mut told = Told::default();
        for (key, (value, _)) in read
            .iter()
            .filter(|(key, _)| key.origin() == Some(&self.settings.server))
        {
            match key {
                StoreKey::News { .. } => {
                    let record = decode(value).filter(|record: &NewsRecord| record.run == self.settings.run);
                    told.news = told.news.max(record.map_or(0, |record| record.number));
                }
                StoreKey::Page { .. } => {
                    told.pages |= decode(value).is_some_and(|record: PageRecord| record.run == self.settings.run);
                }
                StoreKey::Member(_) | StoreKey::Term => {}
            }
        }
        told
    }

    pub(super) fn take(&mut self, key: StoreKey, value: &[u8], revision: u64, now: Instant) {
        let own = key.origin() == Some(&self.settings.server);
        match key {
            StoreKey::Term => self.term.handle_record(decode(value), revision),
            StoreKey::Member(_) if own => self.leases.handle_seen(now),
            StoreKey::News { .. } | StoreKey::Page { .. } if own => {}
            StoreKey::Member(name) => match decode(value) {
                Some(record) => self.take_member(&name, &record, revision, now),
                None => self.bury(&name, format!("{name} stops.")),
            },
            StoreKey::News { origin, .. } => match decode(value) {
                Some(record) => self.take_news(&origin, record),
                None => self.rejected += 1,
            },
            StoreKey::Page { origin, set, page } => {
                let Some(from) = self.leases.get_mut(&origin) else {
                    return;
                };
                let Some(record) = decode(value) else {
                    self.rejected += 1;
                    return;
                };
                let brought = from.take_page(set, page, record);
                self.take_brought(&origin, brought);
            }
        }
    }

    fn take_member(&mut self, name: &ServerName, record: &MemberRecord, revision: u64, now: Instant) {
        if let Err(reason) = self.settings.admit(name, &record.hello) {
            if self.leases.refuse(name, record.hello.run) {
                self.events.push_back(ClusterEvent::Refused(name.clone(), reason));
            }
            return;
        }
        if self.leases.get(name).is_some_and(|known| known.run != record.hello.run) {
            self.bury(name, format!("{name} was started again."));
        }
        match self.leases.renew(name, record, revision, now) {
            Renewed::Known => {}
            Renewed::Joined => {
                self.events.push_back(ClusterEvent::Joined(name.clone()));
                // What it told before isn't told again by itself.
                if record.beat > 0 && self.is_open() {
                    self.read_all();
                }
            }
            Renewed::TooMany => self.rejected += 1,
        }
    }

    pub(super) fn take_news(&mut self, origin: &ServerName, record: NewsRecord) {
        if let Some(from) = self.leases.get_mut(origin) {
            let brought = from.take_news(record);
            self.take_brought(origin, brought);
        }
    }

    fn take_brought(&mut self, origin: &ServerName, brought: Brought) {
        match brought {
            Brought::Nothing => {}
            Brought::Gap => self.read_all(),
            Brought::News(facts) => {
                for fact in facts {
                    self.events.extend(self.known.take(origin, fact));
                }
            }
            Brought::All { facts, as_holder } => {
                let mut parts = Parts::of(facts);
                let alone = parts.known_to_it_alone(origin);
                let facts = parts.cti;
                self.events.extend(self.known.begin_anew(origin, &parts.sees));
                for fact in parts.others {
                    self.events.extend(self.known.take(origin, fact));
                }
                let holder = self.holder();
                let instead = as_holder && holder == Some(origin);
                if instead || (holder.is_none() && !facts.is_empty()) {
                    let from = origin.clone();
                    self.events.push_back(ClusterEvent::ToldAll { from, facts, instead });
                }
                self.events.extend(alone);
            }
        }
    }

    /// A member is gone.
    pub(super) fn bury(&mut self, name: &ServerName, text: String) {
        if self.leases.remove(name) {
            self.events.extend(self.known.forget(name, self.leases.now()));
            let reason = Reason::new(Code::NoCaptureServer, text);
            self.events.push_back(ClusterEvent::Left(name.clone(), reason));
        }
    }
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(value: &[u8]) -> Option<T> {
    store::decode(value).ok()
}
