//! Pauses that ran when the server ended go on when it starts again: what a customer tells of his card isn't heard because
//! of a restart.
//!
//! Which calls they held for isn't known until the CTI sources tell of them; until then a pause of an agent or a device hits
//! whoever it is of, and takes up the calls that are told first, as one does that was asked for early.

use silentmon_proto::ids::CallId;
use silentmon_proto::pause::ToldPause;
use silentmon_proto::time::Instant;

use super::Engine;
use crate::policy::{Pause, PauseKind, PauseOf, PauseSource, WORTH_WRITING};

/// A pause as it was written down before a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerPause {
    /// What for.
    pub kind: PauseKind,
    /// Whose.
    pub of: PauseOf,
    /// What began it.
    pub source: PauseSource,
    /// Who or what that was, in his own words.
    pub by: String,
    /// Since when.
    pub since: Instant,
    /// Until when; as long as policy allows, where that wasn't written down.
    pub until: Option<Instant>,
}

impl Engine {
    /// Lets a pause go on until it would have ended by itself, and no longer than policy allows now. Where it was
    /// prolonged by less than is written down it lasts that little longer, not shorter.
    pub fn handle_former_pause(&mut self, former: FormerPause, now: Instant) {
        let longest = self.longest(former.kind);
        let written = former.until.unwrap_or(former.since + longest);
        let told = ToldPause {
            kind: former.kind,
            of: former.of,
            source: former.source,
            by: former.by,
            since: former.since,
            until: written + WORTH_WRITING,
            asked: None,
        };
        self.go_on(told, Vec::new(), now);
    }

    /// Lets a pause hold here that was told of: until it would end by itself, and no longer than policy allows now.
    pub(super) fn go_on(&mut self, told: ToldPause, calls: Vec<CallId>, now: Instant) {
        let until = told.until.min(now + self.longest(told.kind));
        if until <= now {
            return;
        }
        let pause = Pause {
            kind: told.kind,
            of: told.of,
            source: told.source,
            by: told.by,
            since: told.since.min(now),
            until,
            asked: told.asked.unwrap_or(told.since).min(now),
            calls,
        };
        if self.was_resumed(&pause) {
            return;
        }
        // Where there are too many, as many are silent as can be.
        let _ = self.begin_pause(pause, now);
    }
}
