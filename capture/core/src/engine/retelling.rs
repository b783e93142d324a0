//! Takes up what the holder of the CTI sessions tells of all agents in pieces, so that sound goes on between them: of ten
//! thousand agents that takes a tenth of a second. What else members said meanwhile waits until it is done.

use std::collections::BTreeSet;
use std::time::Duration;

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::AgentId;
use silentmon_proto::time::Instant;

use super::Engine;

/// Events in a piece. In tests so few that there are several.
const PIECE: usize = if cfg!(test) { 4 } else { 500 };

/// See the module.
#[derive(Debug)]
pub(super) struct Retelling {
    events: std::vec::IntoIter<CtiEvent>,
    /// What was told until then and isn't told now is over but of these agents, of whom others know better; nothing is
    /// over where the one who tells doesn't know better.
    over: Option<(Instant, BTreeSet<AgentId>)>,
    /// When the last piece was taken up, with a nanosecond for each event.
    at: Instant,
}

impl Retelling {
    /// When the next piece is to be taken up.
    pub(super) const fn due(&self) -> Instant {
        self.at
    }
}

impl Engine {
    /// Begins to take up what a member tells of all agents; `kept` where what it doesn't tell is over, but of these.
    pub(super) fn begin_retelling(&mut self, mut events: Vec<CtiEvent>, kept: Option<BTreeSet<AgentId>>, now: Instant) {
        if let Some(kept) = &kept {
            events.retain(|event| event.agent().is_none_or(|agent| !kept.contains(agent)));
        }
        self.retelling = Some(Retelling {
            events: events.into_iter(),
            over: kept.map(|kept| (now, kept)),
            at: now,
        });
        self.go_on_retelling(now);
    }

    /// Takes up the next piece.
    pub(super) fn go_on_retelling(&mut self, now: Instant) {
        let Some(mut retelling) = self.retelling.take() else {
            return;
        };
        let piece: Vec<CtiEvent> = retelling.events.by_ref().take(PIECE).collect();
        let now = now.max(retelling.at);
        retelling.at = now + Duration::from_nanos(piece.len() as u64);
        let mut agents = self.directory.handle_retelling(&piece, now);
        if retelling.events.len() > 0 {
            self.retelling = Some(retelling);
        } else if let Some((before, kept)) = retelling.over {
            agents.append(&mut self.directory.end_untold_but(&kept, before, retelling.at));
        }
        self.follow_retold(agents, now);
    }
}
