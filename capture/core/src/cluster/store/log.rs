//! What this member tells: records that wait until the store has taken those before them.
//!
//! While the store can't be reached they gather. Where too many do, they are given up, and a snapshot of what is known
//! then is told instead.

use std::collections::VecDeque;

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::Fact;
use silentmon_proto::store::{self, MOST_PAGES, NEWS_SLOTS, NewsRecord, PageRecord, PageSet, StoreKey};

/// Facts of one record.
const MOST_IN_A_RECORD: usize = 100;
/// Facts that wait.
const MOST_WAITING: usize = 100_000;
/// A snapshot follows so many records as the last one had facts, so that telling it costs no more than the news do; at
/// least and at most so many.
const RECORDS_BETWEEN_SNAPSHOTS: (u64, u64) = (1_024, NEWS_SLOTS / 2);

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    run: u64,
    /// Number of the newest record.
    number: u64,
    waiting: VecDeque<Waiting>,
    /// Facts in the records that wait.
    facts: usize,
    /// Whether the first of them is on its way.
    sent: bool,
    /// Number of the newest record that was ever put: others may have read it, whatever is known here.
    put: u64,
    set: PageSet,
    /// Whether the last page of the set was put.
    whole: bool,
    snapshot: Snapshot,
    records_since: u64,
    facts_in_snapshot: u64,
    dropped: u64,
}

/// What the store has of this run.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Number of the newest news.
    pub news: u64,
    /// Whether there are pages.
    pub pages: bool,
}

#[derive(Debug)]
enum Waiting {
    News(NewsRecord),
    Page(u32, PageRecord),
}

/// How it stands with the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    /// One is due.
    Due,
    /// It was asked for.
    Asked,
    /// The last one will do.
    Told,
}

impl Log {
    pub const fn new(run: u64) -> Self {
        Self {
            run,
            number: 0,
            waiting: VecDeque::new(),
            facts: 0,
            sent: false,
            put: 0,
            set: PageSet::Even,
            whole: false,
            snapshot: Snapshot::Due,
            records_since: 0,
            facts_in_snapshot: 0,
            dropped: 0,
        }
    }

    /// Facts that no snapshot makes up for, as no store takes records so large.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn tell(&mut self, fact: Fact) {
        if self.facts >= MOST_WAITING {
            self.drop_waiting(|_| false);
            self.snapshot = Snapshot::Due;
            // Who misses it sees that.
            self.number += 1;
            return;
        }
        self.facts += 1;
        if let Some(Waiting::News(last)) = self.waiting.back_mut()
            && last.number > self.put
            && last.facts.len() < MOST_IN_A_RECORD
        {
            last.facts.push(fact);
            return;
        }
        self.number += 1;
        self.waiting.push_back(Waiting::News(NewsRecord {
            run: self.run,
            number: self.number,
            facts: vec![fact],
        }));
    }

    /// A snapshot is to be told, and none that was given before.
    pub fn want_snapshot(&mut self) {
        self.drop_waiting(|record| matches!(record, Waiting::News(_)));
        self.snapshot = Snapshot::Due;
    }

    /// Whether a snapshot is to be asked for; true once.
    pub fn asks_for_snapshot(&mut self) -> bool {
        let due = self.snapshot == Snapshot::Due;
        if due {
            self.snapshot = Snapshot::Asked;
        }
        due
    }

    /// What is known now, in the term in which this member holds the CTI sessions. Comes after the news that wait, as it
    /// holds them.
    pub fn give_snapshot(&mut self, facts: Vec<Fact>, term: Option<u64>) {
        self.want_snapshot();
        // What isn't whole is of no use to anybody.
        if std::mem::take(&mut self.whole) {
            self.set = self.set.other();
        }
        self.snapshot = Snapshot::Told;
        self.records_since = 0;
        self.facts_in_snapshot = facts.len() as u64;
        let mut pages = store::pages(facts);
        pages.truncate(MOST_PAGES as usize);
        let count = u32::try_from(pages.len()).unwrap_or(MOST_PAGES);
        for (page, facts) in (0..).zip(pages) {
            self.facts += facts.len();
            let record = PageRecord {
                run: self.run,
                number: self.number,
                pages: count,
                term,
                facts,
            };
            self.waiting.push_back(Waiting::Page(page, record));
        }
    }

    /// The next record to be put, if none is on its way.
    pub fn poll(&mut self, origin: &ServerName) -> Option<(StoreKey, Vec<u8>)> {
        if self.sent {
            return None;
        }
        let origin = origin.clone();
        let put = match self.waiting.front()? {
            Waiting::News(record) => {
                self.put = record.number;
                let slot = record.number % NEWS_SLOTS;
                (StoreKey::News { origin, slot }, store::encode(record))
            }
            Waiting::Page(page, record) => {
                let (set, page) = (self.set, *page);
                (StoreKey::Page { origin, set, page }, store::encode(record))
            }
        };
        self.sent = true;
        Some(put)
    }

    /// The record that was on its way is there.
    pub fn handle_stored(&mut self) {
        if !std::mem::take(&mut self.sent) {
            return;
        }
        let Some(record) = self.waiting.pop_front() else { return };
        self.facts -= record.facts();
        match record {
            Waiting::Page(page, record) => self.whole = page + 1 == record.pages && self.snapshot == Snapshot::Told,
            Waiting::News(_) => {
                self.records_since += 1;
                let (least, most) = RECORDS_BETWEEN_SNAPSHOTS;
                if self.records_since == self.facts_in_snapshot.clamp(least, most) {
                    self.snapshot = Snapshot::Due;
                }
            }
        }
    }

    /// It may be there or not: it is put again.
    pub const fn handle_failed(&mut self) {
        self.sent = false;
    }

    /// It can't be put, whatever happens.
    pub fn handle_refused(&mut self) {
        self.dropped += self.waiting.front().map_or(0, Waiting::facts) as u64;
        self.handle_stored();
    }

    /// Whether the store has lost some of what it took.
    pub fn has_told_more_than(&self, there: &Told) -> bool {
        let first_waiting = self.waiting.iter().find_map(|record| match record {
            Waiting::News(record) => Some(record.number),
            Waiting::Page(..) => None,
        });
        let stored = first_waiting.map_or(self.number, |first| first - 1);
        (self.whole && !there.pages) || stored > there.news
    }

    fn drop_waiting(&mut self, keep: fn(&Waiting) -> bool) {
        let first = if self.sent { self.waiting.pop_front() } else { None };
        self.waiting.retain(keep);
        if let Some(first) = first {
            self.waiting.push_front(first);
        }
        self.facts = self.waiting.iter().map(Waiting::facts).sum();
    }
}

impl Waiting {
    const fn facts(&self) -> usize {
        match self {
            Self::News(record) => record.facts.len(),
            Self::Page(_, record) => record.facts.len(),
        }
    }
}
