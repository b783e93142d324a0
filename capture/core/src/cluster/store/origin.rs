//! What another member told, read from the store: its newest whole snapshot, then the news after it.

use std::collections::BTreeMap;

use silentmon_proto::peer::{CtiDuty, Fact};
use silentmon_proto::store::{MemberRecord, NewsRecord, PageRecord, PageSet};
use silentmon_proto::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Origin {
    pub run: u64,
    /// Since when it is there.
    pub since: Instant,
    /// Its program and version.
    pub software: String,
    /// The newest version of the messages that it speaks.
    pub version: u16,
    pub address: String,
    pub cti: CtiDuty,
    /// Gone, unless it renews its record until then.
    pub void_at: Instant,
    /// Revision of its record.
    pub revision: u64,
    /// Number of the newest news; none where a snapshot has to come first.
    number: Option<u64>,
    /// Whether the next snapshot that it tells as the CTI sessions' holder is wanted.
    wants_all: bool,
    sets: BTreeMap<PageSet, Pages>,
}

/// Pages of one snapshot.
#[derive(Debug)]
struct Pages {
    number: u64,
    count: u32,
    facts: BTreeMap<u32, Vec<Fact>>,
}

/// What a record brought.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Brought {
    /// Nothing new.
    Nothing,
    /// News.
    News(Vec<Fact>),
    /// Everything that the member knows.
    All {
        /// What.
        facts: Vec<Fact>,
        /// Whether it held the CTI sessions then.
        as_holder: bool,
    },
    /// Some were missed: all is to be read again.
    Gap,
}

impl Origin {
    pub fn new(record: &MemberRecord, revision: u64, now: Instant, void_at: Instant) -> Self {
        Self {
            run: record.hello.run,
            since: now,
            software: record.hello.software.clone(),
            version: record.hello.version,
            address: record.address.clone(),
            cti: record.cti,
            void_at,
            revision,
            number: None,
            wants_all: false,
            sets: BTreeMap::new(),
        }
    }

    /// It holds the CTI sessions now: what it knows as the holder is wanted, though nothing is missing.
    pub const fn want_all(&mut self) {
        self.wants_all = true;
    }

    /// Whether pages need to be looked at.
    pub const fn wants_pages(&self) -> bool {
        self.wants_all || self.number.is_none()
    }

    pub fn take_news(&mut self, record: NewsRecord) -> Brought {
        let Some(number) = self.number.filter(|_| record.run == self.run) else {
            return Brought::Nothing;
        };
        if record.number <= number {
            return Brought::Nothing;
        }
        if record.number != number + 1 {
            self.number = None;
            return Brought::Gap;
        }
        self.number = Some(record.number);
        Brought::News(record.facts)
    }

    pub fn take_page(&mut self, set: PageSet, page: u32, record: PageRecord) -> Brought {
        let newer = self.number.is_none_or(|number| record.number > number);
        if record.run != self.run || !(newer || self.wants_all) || page >= record.pages {
            return Brought::Nothing;
        }
        let fresh = || Pages {
            number: record.number,
            count: record.pages,
            facts: BTreeMap::new(),
        };
        let pages = self.sets.entry(set).or_insert_with(fresh);
        if (pages.number, pages.count) != (record.number, record.pages) {
            *pages = fresh();
        }
        let as_holder = record.term.is_some();
        pages.facts.insert(page, record.facts);
        if pages.facts.len() < pages.count as usize {
            return Brought::Nothing;
        }
        let Some(pages) = self.sets.remove(&set) else {
            return Brought::Nothing;
        };
        // Older than the news taken since, it would take them back.
        if self.number.is_some_and(|number| pages.number < number) {
            return Brought::Nothing;
        }
        self.sets.clear();
        self.wants_all &= !as_holder;
        self.number = Some(pages.number);
        let facts = pages.facts.into_values().flatten().collect();
        Brought::All { facts, as_holder }
    }
}
