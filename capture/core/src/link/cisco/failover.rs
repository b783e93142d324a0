//! Which side is tried when, and what the engine is told of it (protocol sheet 1.2).
//!
//! With one session at a time the sides alternate for ever. From version 24 both are kept where that is configured: the
//! standby side then takes over without being connected first.

use std::time::Duration;

use silentmon_proto::cti::LinkUpdate;
use silentmon_proto::cti::ged188::{OpenConf, PeripheralId};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;
use tracing::{info, warn};

use super::CiscoLink;
use super::failure::{Failure, Retry};
use super::side::Role;
use crate::link::backoff::SHORTEST;

/// Between attempts that somebody has to change something for first.
const SLOW_RETRY: Duration = Duration::from_secs(60);
/// Peripherals remembered.
const PERIPHERALS: usize = 256;

impl CiscoLink {
    /// A session is open.
    pub(super) fn opened(&mut self, index: usize, confirmed: &OpenConf, now: Instant) {
        for (peripheral, _) in confirmed.peripherals() {
            self.is_served(peripheral);
        }
        self.settle_roles(index, confirmed.session_type);
        let standby = self.role(index) == Some(Role::Standby);
        let Some(side) = self.sides.get(index) else { return };
        let (side, version) = (side.name(), side.version.0);
        info!(link = %self.settings.link, side, version, standby, pg_status = ?confirmed.pg_status, "session open");
        if !standby {
            self.activated(index, now);
        }
    }

    /// The CTI Server serves this peripheral.
    pub(super) fn is_served(&mut self, peripheral: PeripheralId) {
        let is_new = self.settings.listens_to(peripheral) && !self.served.contains(&peripheral);
        if is_new && self.served.len() < PERIPHERALS {
            self.served.push(peripheral);
        }
    }

    /// Events come from this side from now on.
    pub(super) fn activated(&mut self, index: usize, now: Instant) {
        let Some(version) = self.sides.get(index).map(|side| side.version) else {
            return;
        };
        self.normaliser.set_version(version);
        self.handover_until = None;
        self.tell_link(now);
        self.rebuild(None);
    }

    /// A side's session, or the attempt to open one, failed.
    pub(super) fn lost(&mut self, index: usize, mut failure: Failure, now: Instant) {
        let Some(side) = self.sides.get_mut(index) else { return };
        let was_asked = matches!(side.role(), Some(Role::Active | Role::Leaving));
        let was_open = side.role().is_some();
        side.reset();
        let lower = self.settings.next_lower_version(side.version);
        if failure.retry == Retry::LowerVersion {
            if let Some(lower) = lower {
                info!(
                    side = side.name(),
                    refused = side.version.0,
                    next = lower.0,
                    "protocol version refused"
                );
                side.version = lower;
                side.not_before = now;
                self.preferred = index;
                self.not_before = now;
                return;
            }
            side.version = self.settings.protocol_version;
            failure.retry = Retry::Slowly;
        }
        let (pause, others_pause) = match failure.retry {
            Retry::Soon | Retry::LowerVersion => {
                let pause = if was_open {
                    side.backoff.broke()
                } else {
                    side.backoff.failed()
                };
                (pause, pause)
            }
            Retry::Slowly => (side.backoff.jittered(SLOW_RETRY), side.backoff.jittered(SHORTEST)),
        };
        warn!(link = %self.settings.link, side = side.name(), was_open, reason = failure.text, "no session");
        side.not_before = now + pause;
        side.failure = Some(failure);
        self.not_before = now + others_pause;
        self.preferred = (index + 1) % self.sides.len();
        if was_asked {
            self.drop_requests();
            self.rebuild(None);
        }
    }

    /// A session was ended as asked.
    pub(super) fn closed(&mut self, index: usize, now: Instant) {
        if let Some(side) = self.sides.get_mut(index) {
            side.reset();
            side.not_before = now;
        }
    }

    pub(super) fn reconnect(&mut self, now: Instant) {
        let version = self.settings.protocol_version;
        self.end_sessions(now);
        for side in &mut self.sides {
            side.version = version;
            side.not_before = now;
            side.failure = Some(Failure::broken("the session is opened anew".to_owned()));
        }
        self.handover_until = None;
        self.not_before = now;
        self.preferred = 0;
    }

    pub(super) fn end_sessions(&mut self, now: Instant) {
        self.drop_requests();
        for index in 0..self.sides.len() {
            let invoke_id = self.next_invoke_id();
            if let Some(side) = self.sides.get_mut(index) {
                side.close(invoke_id, now);
            }
        }
    }

    fn keeps_both_sides(&self) -> bool {
        let mut sides = self.sides.iter();
        sides.all(|side| self.settings.keeps_standby_at(side.version))
    }

    /// Sees to it that each side that should be tried is, and none else.
    pub(super) fn schedule(&mut self, now: Instant) {
        if self.keeps_both_sides() {
            for side in self.sides.iter_mut().filter(|side| side.is_idle()) {
                side.wait(side.not_before, &self.settings, now);
            }
            return;
        }
        let furthest = (0..self.sides.len()).rev().max_by_key(|index| self.progress(*index));
        let Some(furthest) = furthest.filter(|index| self.progress(*index) > 0) else {
            return self.try_next(now);
        };
        for (index, side) in self.sides.iter_mut().enumerate() {
            if index != furthest && side.progress() > 0 {
                side.reset();
            }
        }
    }

    /// Nothing is under way: the side that may be tried first is next.
    fn try_next(&mut self, now: Instant) {
        if self.sides.iter().any(|side| !side.is_idle()) {
            return;
        }
        let (not_before, preferred) = (self.not_before, self.preferred);
        let sides = self.sides.iter_mut().enumerate();
        let next = sides.min_by_key(|(index, side)| (side.not_before.max(not_before), *index != preferred));
        if let Some((_, side)) = next {
            side.wait(side.not_before.max(not_before), &self.settings, now);
        }
    }

    fn progress(&self, index: usize) -> u8 {
        self.sides.get(index).map_or(0, super::Side::progress)
    }

    pub(super) fn role(&self, index: usize) -> Option<Role> {
        self.sides.get(index)?.role()
    }

    /// Whether events come from a side.
    fn is_up(&self) -> bool {
        let active = |side: &super::Side| matches!(side.role(), Some(Role::Active | Role::Leaving));
        self.handover_until.is_some() || self.sides.iter().any(active)
    }

    /// Tells the engine whether events flow, where that or the reason changed.
    pub(super) fn tell_link(&mut self, now: Instant) {
        let was_up = matches!(self.told, Some(Ok(())));
        let state = if self.is_up() {
            Ok(())
        } else {
            if was_up {
                self.down_since = now;
            }
            match self.reason() {
                Some(reason) => Err(reason),
                None => return,
            }
        };
        if self.told.as_ref() == Some(&state) {
            return;
        }
        let is_down = state.is_err();
        self.told = Some(state.clone());
        self.tell(LinkUpdate {
            link: self.settings.link.clone(),
            down: state.err(),
        });
        if was_up && is_down {
            self.forget_states(None);
        }
    }

    /// Why no events come, from each side; absent while the first attempts are under way.
    fn reason(&self) -> Option<Reason> {
        let failures = self.sides.iter().filter_map(|side| side.failure.as_ref());
        let severity = |code: &Code| match code {
            Code::CtiPortIsPlain => 2,
            Code::CtiRefused => 1,
            _ => 0,
        };
        let code = failures.map(|failure| failure.code).max_by_key(severity);
        let code = code.or_else(|| self.told.is_some().then_some(Code::CtiLinkDown))?;
        let text = |side: &super::Side| {
            let why = match (&side.failure, side.role()) {
                (Some(failure), _) => failure.text.as_str(),
                (None, Some(Role::Standby)) => "connected, on standby",
                (None, _) => return None,
            };
            Some(format!("side {}: {why}; ", side.name()))
        };
        let texts: String = self.sides.iter().filter_map(text).collect();
        let since = time_of_day(self.down_since);
        Some(Reason::new(code, format!("{texts}since {since}")))
    }
}

fn time_of_day(instant: Instant) -> String {
    let seconds = instant.as_nanos() / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}
