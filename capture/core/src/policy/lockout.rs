//! The lock-out after failed sign-ins (requirements section 3): three in a row under one name from one source, and nobody
//! signs in or starts listening under that name from there until 15 minutes after the last one.
//!
//! Failures are in a row as long as no sign-in succeeds between them and the last is less than 15 minutes old. What is
//! tried while it is locked isn't looked at and doesn't lengthen it. A source that fails under ever other names is locked
//! as a whole. Nothing is forgotten by a restart: whoever owns this hands in again what the audit journal has.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::reason::Reason;
use silentmon_proto::time::Instant;

use super::{Refusal, Rule};

/// Failures in a row that lock.
pub const FAILURES: u32 = 3;
/// How long after the last failure it stays locked.
pub const LOCKED_FOR: Duration = Duration::from_secs(15 * 60);
/// How far back failures may lie that lock now: each of them up to 15 minutes before the next.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(LOCKED_FOR.as_secs() * FAILURES as u64);
/// Failures from one source under whatever names that lock the source: a whole office may sit behind one address.
pub const FAILURES_OF_SOURCE: u32 = 30;
/// Most pairs of name and source kept, and most sources. Beyond it the oldest is forgotten, and counted.
const MAX_ENTRIES: usize = 4096;

/// Where a sign-in comes from: an IPv4 address, or the network that one IPv6 host can take addresses from (RFC 4291
/// section 2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// Failures in a row.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// Sign-ins whose password is being checked.
    pending: u32,
    last: Instant,
}

impl Failures {
    const fn none(now: Instant) -> Self {
        Self {
            count: 0,
            pending: 0,
            last: now,
        }
    }

    fn count_at(&self, now: Instant) -> u32 {
        if now < self.last + LOCKED_FOR { self.count } else { 0 }
    }

    fn fail(&mut self, now: Instant) {
        self.count = self.count_at(now).saturating_add(1);
        self.last = now;
    }

    fn is_over(&self, now: Instant) -> bool {
        self.pending == 0 && self.count_at(now) == 0
    }
}

/// A name that is locked from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The name.
    pub name: SupervisorName,
    /// The source.
    pub source: Source,
    /// Failures in a row.
    pub failures: u32,
    /// Until when.
    pub until: Instant,
}

impl Locked {
    fn refusal(&self) -> Refusal {
        let (until, failures) = (time_of_day(self.until), self.failures);
        let text = format!("Monitoring is locked for you until {until} UTC ({failures} failed sign-ins).");
        let mut refusal = Rule::LockOut.refuses(text);
        let evidence = refusal.reason.evidence.clone();
        let evidence = evidence.with("source", self.source).with("failures", failures);
        refusal.reason = refusal
            .reason
            .with_evidence(evidence.with("until", format!("{until} UTC")));
        refusal
    }
}

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInOutcome {
    /// The password was right.
    Succeeded,
    /// It was wrong, or nobody has that name.
    Failed,
    /// It could not be checked: neither good nor bad.
    NotChecked,
}

/// See the module.
#[derive(Debug, Default)]
pub struct LockOut {
    names: HashMap<(SupervisorName, Source), Failures>,
    sources: HashMap<Source, Failures>,
    forgotten: u64,
}

impl LockOut {
    /// Whether somebody may listen or sign in.
    ///
    /// # Errors
    /// `SM-1002` while his name is locked from there.
    pub fn admit(&self, name: &SupervisorName, from: IpAddr, now: Instant) -> Result<(), Refusal> {
        match self.locked_now(name, from.into(), now) {
            Some(locked) => Err(locked.refusal()),
            None => Ok(()),
        }
    }

    /// Somebody is about to show a password; [`Self::handle_outcome`] says how that ended. What is under way counts as
    /// failed until then, so that trying many at a time gains nothing.
    ///
    /// # Errors
    /// `SM-1002` while his name, or all of his source, is locked.
    pub fn handle_attempt(&mut self, name: &SupervisorName, from: IpAddr, now: Instant) -> Result<(), Refusal> {
        let source = Source::from(from);
        self.admit(name, from, now)?;
        if let Some(failures) = self.sources.get(&source)
            && failures.count_at(now) >= FAILURES_OF_SOURCE
        {
            return Err(Locked {
                name: name.clone(),
                source,
                failures: failures.count,
                until: failures.last + LOCKED_FOR,
            }
            .refusal());
        }
        let known = self.of_name(name, source, now);
        if known.count_at(now) + known.pending >= FAILURES {
            let text = "Sign-ins under this name are being checked; try again when they are.";
            return Err(Rule::LockOut.refuses(text));
        }
        known.pending += 1;
        Ok(())
    }

    /// A sign-in that was announced ended. Answers what is locked by it.
    pub fn handle_outcome(
        &mut self,
        name: &SupervisorName,
        from: IpAddr,
        outcome: SignInOutcome,
        now: Instant,
    ) -> Option<Locked> {
        let source = Source::from(from);
        let known = self.of_name(name, source, now);
        known.pending = known.pending.saturating_sub(1);
        match outcome {
            SignInOutcome::NotChecked => None,
            SignInOutcome::Succeeded => {
                known.count = 0;
                None
            }
            SignInOutcome::Failed => {
                self.handle_failure(name, from, now);
                self.locked_now(name, source, now)
            }
        }
    }

    /// A sign-in failed, now or, as the journal has it, before the start.
    pub fn handle_failure(&mut self, name: &SupervisorName, from: IpAddr, at: Instant) {
        let source = Source::from(from);
        self.of_name(name, source, at).fail(at);
        let sources = &mut self.sources;
        self.forgotten += make_room(sources, &source);
        sources.entry(source).or_insert_with(|| Failures::none(at)).fail(at);
    }

    /// Forgets the failures under a name, from one source or from all. Answers what was locked and no longer is.
    pub fn unlock(&mut self, name: &SupervisorName, from: Option<IpAddr>, now: Instant) -> Vec<Locked> {
        let source = from.map(Source::from);
        let meant =
            |other: &(SupervisorName, Source)| other.0 == *name && source.is_none_or(|source| other.1 == source);
        let mut locked: Vec<Locked> = self.locked(now).collect();
        locked.retain(|locked| meant(&(locked.name.clone(), locked.source)));
        let sources: Vec<Source> = self.names.keys().filter(|key| meant(key)).map(|key| key.1).collect();
        for source in sources {
            self.names.remove(&(name.clone(), source));
            self.sources.remove(&source);
        }
        locked
    }

    /// What is locked now, by name and source.
    pub fn locked(&self, now: Instant) -> impl Iterator<Item = Locked> {
        let mut keys: Vec<_> = self.names.keys().collect();
        keys.sort();
        keys.into_iter()
            .filter_map(move |(name, source)| self.locked_now(name, *source, now))
    }

    /// Forgets what is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.names.retain(|_, failures| !failures.is_over(now));
        self.sources.retain(|_, failures| !failures.is_over(now));
    }

    /// Failures forgotten because there were too many to keep.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn locked_now(&self, name: &SupervisorName, source: Source, now: Instant) -> Option<Locked> {
        let failures = self.names.get(&(name.clone(), source))?;
        (failures.count_at(now) >= FAILURES).then(|| Locked {
            name: name.clone(),
            source,
            failures: failures.count,
            until: failures.last + LOCKED_FOR,
        })
    }

    fn of_name(&mut self, name: &SupervisorName, source: Source, now: Instant) -> &mut Failures {
        let key = (name.clone(), source);
        self.forgotten += make_room(&mut self.names, &key);
        self.names.entry(key).or_insert_with(|| Failures::none(now))
    }
}

/// Forgets the oldest where one more wouldn't fit. Answers how many.
fn make_room<K: Clone + Eq + std::hash::Hash>(entries: &mut HashMap<K, Failures>, new: &K) -> u64 {
    if entries.len() < MAX_ENTRIES || entries.contains_key(new) {
        return 0;
    }
    let idle = entries.iter().filter(|(_, failures)| failures.pending == 0);
    // Whoever is locked stays so before one who failed once.
    let oldest = idle.min_by_key(|(_, failures)| (failures.count >= FAILURES, failures.last));
    let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
        return 0;
    };
    entries.remove(&oldest);
    1
}

/// `10:42`, in UTC.
fn time_of_day(at: Instant) -> String {
    // Up to the next whole minute: at that time it is over.
    let minutes = at.as_nanos().div_ceil(60_000_000_000);
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

impl From<&Locked> for Reason {
    fn from(locked: &Locked) -> Self {
        locked.refusal().reason
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::reason::Code;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 9, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 9, 2));

    fn at(seconds: u64) -> Instant {
        Instant::from_parts(36_000 + seconds, 0)
    }

    fn anna() -> SupervisorName {
        "anna".into()
    }

    fn fail(lock_out: &mut LockOut, name: &str, from: IpAddr, now: Instant) -> Option<Locked> {
        lock_out.handle_attempt(&name.into(), from, now).expect("may try");
        lock_out.handle_outcome(&name.into(), from, SignInOutcome::Failed, now)
    }

    #[test]
    fn three_failures_in_a_row_lock_until_15_minutes_after_the_last() {
        let mut lock_out = LockOut::default();
        assert_eq!(fail(&mut lock_out, "anna", HOME, at(0)), None);
        assert_eq!(fail(&mut lock_out, "anna", HOME, at(60)), None);
        let locked = fail(&mut lock_out, "anna", HOME, at(120)).expect("locked");
        assert_eq!((locked.failures, locked.until), (3, at(120) + LOCKED_FOR));
        let refusal = lock_out.handle_attempt(&anna(), HOME, at(121)).expect_err("locked");
        assert_eq!(refusal.reason.code, Code::LockedOut);
        assert!(
            refusal.reason.text.contains("until 10:17 UTC (3 failed sign-ins)"),
            "{}",
            refusal.reason
        );
        let source = refusal.reason.evidence.iter().find(|(key, _)| *key == "source");
        assert_eq!(source.map(|(_, value)| value), Some("10.1.9.1"));
        assert!(
            lock_out.admit(&anna(), HOME, at(120 + 899)).is_err(),
            "trying doesn't lengthen it, nor shorten"
        );
        assert!(lock_out.admit(&anna(), HOME, at(120 + 900)).is_ok());
        assert_eq!(
            fail(&mut lock_out, "anna", HOME, at(1100)),
            None,
            "the count begins anew"
        );
    }

    #[test]
    fn a_lock_holds_for_one_name_from_one_source() {
        let mut lock_out = LockOut::default();
        for second in 0..3 {
            fail(&mut lock_out, "anna", HOME, at(second));
        }
        assert!(lock_out.admit(&anna(), HOME, at(9)).is_err());
        assert!(lock_out.admit(&anna(), AWAY, at(9)).is_ok());
        assert!(lock_out.admit(&"bert".into(), HOME, at(9)).is_ok());
        let mapped = "::ffff:10.1.9.1".parse().expect("an address");
        assert!(lock_out.admit(&anna(), mapped, at(9)).is_err());
    }

    #[test]
    fn one_ipv6_host_is_one_source_whatever_address_it_takes() {
        let mut lock_out = LockOut::default();
        for host in 1..=3 {
            let from = format!("2001:db8:1:2::{host}").parse().expect("an address");
            fail(&mut lock_out, "anna", from, at(host));
        }
        let refusal = lock_out
            .admit(&anna(), "2001:db8:1:2:ffff::1".parse().expect("an address"), at(9))
            .expect_err("locked");
        assert!(
            refusal
                .reason
                .evidence
                .iter()
                .any(|(_, value)| value == "2001:db8:1:2::/64")
        );
    }

    #[test]
    fn a_success_between_them_begins_the_count_anew() {
        let mut lock_out = LockOut::default();
        fail(&mut lock_out, "anna", HOME, at(0));
        fail(&mut lock_out, "anna", HOME, at(1));
        lock_out.handle_attempt(&anna(), HOME, at(2)).expect("may try");
        lock_out.handle_outcome(&anna(), HOME, SignInOutcome::Succeeded, at(2));
        assert_eq!(fail(&mut lock_out, "anna", HOME, at(3)), None);
        assert_eq!(fail(&mut lock_out, "anna", HOME, at(4)), None);
        assert!(fail(&mut lock_out, "anna", HOME, at(5)).is_some());
    }

    #[test]
    fn trying_many_at_a_time_gains_nothing() {
        let mut lock_out = LockOut::default();
        let tries = (0..10).filter(|_| lock_out.handle_attempt(&anna(), HOME, at(0)).is_ok());
        assert_eq!(tries.count(), 3);
        for _ in 0..3 {
            lock_out.handle_outcome(&anna(), HOME, SignInOutcome::NotChecked, at(1));
        }
        assert!(
            lock_out.handle_attempt(&anna(), HOME, at(2)).is_ok(),
            "nothing was wrong with them"
        );
    }

    #[test]
    fn a_source_that_tries_ever_other_names_is_locked_as_a_whole() {
        let mut lock_out = LockOut::default();
        for number in 0..FAILURES_OF_SOURCE {
            fail(&mut lock_out, &format!("name{number}"), HOME, at(1));
        }
        let refusal = lock_out
            .handle_attempt(&"another".into(), HOME, at(2))
            .expect_err("locked");
        assert_eq!(refusal.rule, Rule::LockOut);
        assert!(lock_out.handle_attempt(&"another".into(), AWAY, at(2)).is_ok());
        assert!(
            lock_out.admit(&"another".into(), HOME, at(2)).is_ok(),
            "a certificate isn't guessed"
        );
    }

    #[test]
    fn an_administrator_unlocks_a_name_from_one_source_or_from_all() {
        let mut lock_out = LockOut::default();
        for (second, from) in (0..3).flat_map(|second| [(second, HOME), (second, AWAY)]) {
            fail(&mut lock_out, "anna", from, at(second));
        }
        assert_eq!(lock_out.locked(at(5)).count(), 2);
        assert_eq!(lock_out.unlock(&anna(), Some(HOME), at(5)).len(), 1);
        assert!(lock_out.admit(&anna(), HOME, at(5)).is_ok());
        assert!(lock_out.admit(&anna(), AWAY, at(5)).is_err());
        assert_eq!(lock_out.unlock(&anna(), None, at(5)).len(), 1);
        assert_eq!(lock_out.unlock(&anna(), None, at(5)), []);
    }

    #[test]
    fn what_strangers_can_fill_stays_bounded_and_the_locked_stay_locked() {
        let mut lock_out = LockOut::default();
        for second in 0..3 {
            fail(&mut lock_out, "anna", HOME, at(second));
        }
        for number in 0..10_000_u32 {
            let from = IpAddr::from(std::net::Ipv4Addr::from(0x0b00_0000 + number));
            fail(&mut lock_out, "stranger", from, at(10));
        }
        assert!(lock_out.names.len() <= MAX_ENTRIES && lock_out.sources.len() <= MAX_ENTRIES);
        assert!(lock_out.forgotten() > 0);
        assert!(lock_out.admit(&anna(), HOME, at(20)).is_err());
        lock_out.handle_timeout(at(20) + LOCKED_FOR);
        assert!(lock_out.names.is_empty() && lock_out.sources.is_empty());
    }
}
