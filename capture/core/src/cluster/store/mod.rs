//! A capture server among others that learn of each other by a key-value store (see [`silentmon_proto::store`]) instead
//! of telling each other: many sites, where the store is there already.
//!
//! `mod` holds the state and the verbs, `log` is what this member tells, `origin` what another one told, `term` decides
//! who holds the CTI sessions, `leases` who is there. `taking` takes what others put, `putting` puts one record at a time; facts
//! that come meanwhile share the next.
//!
//! While the store is away, or doesn't take what this member puts, what was last known stays: nobody is gone because he
//! can't be heard of. Afterwards everything is read again, and what changed meanwhile is put.

mod leases;
mod log;
mod origin;
mod putting;
mod taking;
mod term;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::{CtiDuty, Fact};
use silentmon_proto::store::{NewsRecord, StoreKey, TermRecord};
use silentmon_proto::time::Instant;

use super::known::Known;
use super::{ClusterEvent, ClusterSettings, Directory, HoldsCti, Member};

use self::leases::{Leases, Sight};
use self::log::Log;
use self::origin::Origin;
use self::putting::Sent;
pub use self::putting::{Expected, PutOutcome, StorePut};
use self::taking::decode;
use self::term::Term;

/// What is kept of the store's values while all are read.
const MOST_BYTES_READ: usize = 256 * 1024 * 1024;

/// Something to be done with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreTransmit {
    /// All that is there is to be told by [`StoreDirectory::handle_change`], then
    /// [`StoreDirectory::handle_caught_up`] called, then what changes told.
    Read,
    /// A value is to be put, and [`StoreDirectory::handle_outcome`] told: none is sent before that.
    Put(StorePut),
    /// All that a member told is to be removed, as far as it was put before a revision.
    Purge {
        /// Which.
        origin: ServerName,
        /// The revision.
        before: u64,
    },
}

/// What the store tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreInput {
    /// It can be reached, for the first time or again.
    Available,
    /// It can't, and why. What was on its way may have arrived or not.
    Unavailable(String),
    /// Changes were missed, or can't be had, and why.
    Missed(String),
    /// A key has this value now, or none.
    Change {
        /// Which.
        key: String,
        /// What.
        value: Option<Vec<u8>>,
        /// Counts all changes of the store.
        revision: u64,
    },
    /// All that was there when [`StoreTransmit::Read`] was asked for has been told.
    CaughtUp,
    /// What became of a put.
    Outcome(PutOutcome),
}

/// See the module.
#[derive(Debug)]
pub struct StoreDirectory {
    settings: ClusterSettings,
    /// Where other members reach this one.
    address: String,
    reach: Reach,
    sent: Option<Sent>,
    /// Nothing is put before.
    retry_at: Option<Instant>,
    beat: u64,
    /// When this member's record is to be renewed; none: at once.
    beat_due: Option<Instant>,
    leases: Leases,
    term: Term,
    /// This member doesn't claim the CTI sessions before: two that don't take each other for members would never end.
    claim_at: Option<Instant>,
    /// Whom the CTI sessions' holder was last seen to be.
    followed: Option<ServerName>,
    log: Log,
    known: Known,
    stops: bool,
    rejected: u64,
    /// What was said last when it couldn't be reached.
    why_away: Option<String>,
    transmits: VecDeque<StoreTransmit>,
    events: VecDeque<ClusterEvent>,
}

/// Whether the store can be reached.
#[derive(Debug)]
enum Reach {
    Away,
    /// All is being read: values with their revisions.
    Reading(BTreeMap<StoreKey, (Vec<u8>, u64)>, usize),
    Open,
}

impl StoreDirectory {
    /// A member that has read nothing yet; others reach it at `address`, `HOST:PORT`.
    pub fn new(settings: ClusterSettings, address: String) -> Self {
        Self {
            term: Term::new(settings.has_cti),
            log: Log::new(settings.run),
            leases: Leases::new(settings.heartbeat * settings.retries),
            settings,
            address,
            reach: Reach::Away,
            sent: None,
            retry_at: None,
            beat: 0,
            beat_due: None,
            claim_at: None,
            followed: None,
            known: Known::default(),
            stops: false,
            rejected: 0,
            why_away: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The store said something.
    pub fn handle_input(&mut self, input: StoreInput, now: Instant) {
        match input {
            StoreInput::Available => self.handle_available(),
            StoreInput::Unavailable(why) => {
                self.handle_unavailable();
                self.why_away = Some(why);
            }
            StoreInput::Missed(why) => {
                self.handle_missed();
                self.why_away = Some(why);
            }
            StoreInput::Change { key, value, revision } => self.handle_change(&key, value.as_deref(), revision, now),
            StoreInput::CaughtUp => self.handle_caught_up(now),
            StoreInput::Outcome(outcome) => self.handle_outcome(outcome, now),
        }
    }

    /// The store can be reached, for the first time or again.
    pub fn handle_available(&mut self) {
        self.beat_due = None;
        self.retry_at = None;
        self.read_all();
    }

    /// Changes were missed: everything is read again, while this member goes on to say that it is there.
    pub fn handle_missed(&mut self) {
        if !matches!(self.reach, Reach::Away) {
            self.read_all();
        }
    }

    /// The store can't be reached. What was on its way may have arrived or not.
    pub fn handle_unavailable(&mut self) {
        self.reach = Reach::Away;
        self.transmits.clear();
        self.drop_sent();
    }

    /// A key has this value now, or none. Revisions count all changes of the store.
    pub fn handle_change(&mut self, key: &str, value: Option<&[u8]>, revision: u64, now: Instant) {
        let Ok(key) = key.parse::<StoreKey>() else {
            self.rejected += 1;
            return;
        };
        match &mut self.reach {
            Reach::Away => {}
            Reach::Reading(read, bytes) => {
                let length = value.map_or(0, <[u8]>::len);
                if *bytes + length > MOST_BYTES_READ {
                    self.rejected += 1;
                    return;
                }
                *bytes += length;
                read.insert(key, (value.unwrap_or_default().to_vec(), revision));
            }
            Reach::Open => {
                self.take(key, value.unwrap_or_default(), revision, now);
                self.decide_term(now);
            }
        }
    }

    /// All that was there when [`StoreTransmit::Read`] was asked for has been told.
    pub fn handle_caught_up(&mut self, now: Instant) {
        let Reach::Reading(read, _) = &mut self.reach else {
            return;
        };
        let read = std::mem::take(read);
        let in_step: Vec<ServerName> = self.leases.in_step().cloned().collect();
        if self.log.has_told_more_than(&self.own_in(&read)) {
            self.log.want_snapshot();
        }
        self.leases.extend(now);
        if !read.contains_key(&StoreKey::Term) {
            self.term.handle_record(None, 0);
        }
        // Members come before what they told, and their snapshots before their news; news in the order of their numbers.
        let (news, others): (BTreeMap<_, _>, BTreeMap<_, _>) = read
            .into_iter()
            .partition(|(key, _)| matches!(key, StoreKey::News { .. }));
        for (key, (value, revision)) in others {
            self.take(key, &value, revision, now);
        }
        let mut numbered: Vec<(ServerName, NewsRecord)> = news
            .into_iter()
            .filter_map(|(key, (value, _))| Some((key.origin()?.clone(), decode(&value)?)))
            .collect();
        numbered.sort_by(|(one, first), (other, second)| (one, first.number).cmp(&(other, second.number)));
        for (origin, record) in numbered {
            self.take_news(&origin, record);
        }
        self.transmits.clear();
        // Snapshots of those that were in step weren't looked at; who else misses something waits for the next one.
        if in_step
            .iter()
            .any(|name| self.leases.get(name).is_some_and(Origin::wants_pages))
        {
            self.read_all();
        } else {
            self.reach = Reach::Open;
        }
        self.decide_term(now);
    }

    /// The next thing to be done with the store.
    pub fn poll_transmit(&mut self) -> Option<StoreTransmit> {
        if let Some(transmit) = self.transmits.pop_front() {
            return Some(transmit);
        }
        let reading = match &self.reach {
            Reach::Away => return None,
            Reach::Reading(..) => true,
            Reach::Open => false,
        };
        // While it reads, a member says just that it is there.
        if self.sent.is_some() || self.retry_at.is_some() || (reading && self.beat_due.is_some()) {
            return None;
        }
        let (sent, put) = self.next_put()?;
        self.sent = Some(sent);
        Some(StoreTransmit::Put(put))
    }

    /// Whether the store can be reached.
    pub const fn is_open(&self) -> bool {
        matches!(self.reach, Reach::Open)
    }

    /// Why the store can't be reached, or not read; nothing where it can.
    pub fn why_away(&self) -> Option<&str> {
        let why = self.why_away.as_deref().unwrap_or("it hasn't been reached yet");
        (!self.is_open()).then_some(why)
    }

    /// Where another member can be reached.
    pub fn address_of(&self, member: &ServerName) -> Option<&str> {
        self.leases.get(member).map(|origin| origin.address.as_str())
    }

    /// Keys and values that nobody could read, and facts that the store wouldn't take.
    pub const fn rejected(&self) -> u64 {
        self.rejected + self.log.dropped()
    }

    fn read_all(&mut self) {
        self.reach = Reach::Reading(BTreeMap::new(), 0);
        self.transmits.clear();
        self.transmits.push_back(StoreTransmit::Read);
    }

    /// How a member stands to the CTI sources, where it is there.
    fn duty_of(&self, member: &ServerName) -> Option<CtiDuty> {
        if *member == self.settings.server {
            Some(self.term.own)
        } else {
            self.leases.get(member).map(|member| member.cti)
        }
    }

    /// What the term record should be, where it has to change.
    fn claim(&self) -> Option<(TermRecord, u64)> {
        let own = &self.settings.server;
        let named = self.term.named().and_then(|named| self.duty_of(named));
        let void = named.is_none_or(|duty| duty == CtiDuty::None);
        let others = self.leases.iter().map(|(name, member)| (member.cti, name));
        let able = others.chain([(self.term.own, own)]).filter_map(|(duty, name)| {
            let rank = match duty {
                // Where the record was lost, who holds goes on.
                CtiDuty::Holds { .. } => 0,
                CtiDuty::Ready => 1,
                CtiDuty::Unfit => 2,
                CtiDuty::None => return None,
            };
            Some((rank, name))
        });
        let void = void && self.claim_at.is_none();
        self.term.claim(own, void, able.min().map(|(_, name)| name))
    }

    fn decide_term(&mut self, now: Instant) {
        if let Some(holds) = self.term.decide(&self.settings.server, now) {
            self.events.push_back(ClusterEvent::Cti(holds));
            self.beat_due = None;
            if holds == HoldsCti::Yes {
                self.log.want_snapshot();
            }
        }
        let holder = self.holder().cloned();
        if holder != self.followed {
            if let Some(origin) = holder.as_ref().and_then(|holder| self.leases.get_mut(holder)) {
                origin.want_all();
            }
            self.followed = holder;
        }
        if self.is_open() && self.log.asks_for_snapshot() {
            self.events.push_back(ClusterEvent::SnapshotWanted);
        }
    }
}

impl Directory for StoreDirectory {
    fn handle_timeout(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        if self.beat_due.is_some_and(|due| due <= now) {
            self.beat_due = None;
        }
        if self.claim_at.is_some_and(|at| at <= now) {
            self.claim_at = None;
        }
        match self.leases.sight(now, self.settings.heartbeat * 2) {
            Sight::Clear if self.is_open() => {}
            Sight::Clear | Sight::Dim => self.leases.extend(now),
            Sight::Lost => {
                self.leases.extend(now);
                self.handle_missed();
            }
        }
        self.events.extend(self.known.handle_timeout(now));
        for (name, silent) in self.leases.expire(now) {
            self.bury(&name, format!("{name} has said nothing for {} s.", silent.as_secs()));
        }
        self.decide_term(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.beat_due.into_iter().chain(self.retry_at).chain(self.claim_at);
        let away = matches!(self.reach, Reach::Away);
        let open = (!away).then_some(own).into_iter().flatten();
        open.chain(self.leases.poll_timeout())
            .chain(self.term.poll_timeout())
            .min()
    }

    fn poll_event(&mut self) -> Option<ClusterEvent> {
        self.events.pop_front()
    }

    fn tell(&mut self, fact: &Fact) {
        self.log.tell(fact.clone());
    }

    fn give_snapshot(&mut self, known: Vec<Fact>) {
        let term = match self.term.own {
            CtiDuty::Holds { term } => Some(term),
            CtiDuty::None | CtiDuty::Ready | CtiDuty::Unfit => None,
        };
        let facts = known.into_iter().chain(self.known.own()).collect();
        self.log.give_snapshot(facts, term);
    }

    fn tells_cti(&self) -> bool {
        let holder = self.holder();
        holder.is_none_or(|holder| *holder == self.settings.server)
    }

    fn holder(&self) -> Option<&ServerName> {
        let own = &self.settings.server;
        if matches!(self.term.own, CtiDuty::Holds { .. }) {
            return Some(own);
        }
        self.term.named().filter(|name| self.leases.get(name).is_some())
    }

    fn handle_cti_failed(&mut self, now: Instant) {
        let ready = self.leases.iter().find(|(_, member)| member.cti == CtiDuty::Ready);
        let ready = ready.map(|(name, _)| name.clone());
        if let Some(other) = ready.filter(|_| self.holder() == Some(&self.settings.server)) {
            self.term.give_up_to(other, now);
        }
    }

    fn hand_over(&mut self, to: &ServerName, _: Instant) -> Result<(), String> {
        if !self.is_open() {
            return Err("the cluster's store can't be reached now".to_owned());
        }
        match self.duty_of(to) {
            None => Err(format!("expected a member that is there, found {to}")),
            Some(CtiDuty::None) => Err(format!("{to} has no CTI source configured")),
            Some(_) => {
                self.term.want(to.clone());
                Ok(())
            }
        }
    }

    fn stop(&mut self) {
        self.stops = true;
        self.beat_due = None;
        if self.is_open() {
            self.transmits.push_back(StoreTransmit::Put(StorePut {
                key: StoreKey::Member(self.settings.server.clone()),
                value: None,
                expected: Expected::Anything,
            }));
        }
    }

    fn members(&self) -> Box<dyn Iterator<Item = &ServerName> + '_> {
        Box::new(self.leases.iter().map(|(name, _)| name))
    }

    fn member(&self, server: &ServerName) -> Option<Member<'_>> {
        let origin = self.leases.get(server)?;
        Some(Member {
            since: origin.since,
            software: &origin.software,
            version: origin.version,
            clock: None,
            sees: self.known.seen.count(server),
        })
    }

    fn known(&self) -> &Known {
        &self.known
    }

    fn known_mut(&mut self) -> &mut Known {
        &mut self.known
    }
}
