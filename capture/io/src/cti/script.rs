//! Lets the events of a `script` source happen when they are due: from the service's start, or from the first frame of
//! a capture file.

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::cti::script::ScriptedEvent;
use silentmon_proto::time::Instant;

/// A script and how far it has come.
#[derive(Debug)]
pub(crate) struct ScriptCursor {
    events: Vec<ScriptedEvent>,
    next: usize,
    start: Option<Instant>,
    round: u32,
}

impl ScriptCursor {
    /// With a file source the script begins with the file's first frame, else now.
    pub(crate) fn new(events: Vec<ScriptedEvent>, from_first_frame: bool, now: Instant) -> Self {
        Self {
            events,
            next: 0,
            start: (!from_first_frame).then_some(now),
            round: 0,
        }
    }

    /// A frame came in this round through the file: with the first frame of each round the script begins anew.
    pub(crate) fn begin(&mut self, round: u32, at: Instant) {
        self.start.get_or_insert(at);
        if round != self.round {
            self.next = 0;
            self.start = Some(at);
            self.round = round;
        }
    }

    /// When the next event is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        Some(self.start? + self.events.get(self.next)?.at)
    }

    /// The next event, if it is due.
    pub(crate) fn next(&mut self, now: Instant) -> Option<CtiEvent> {
        if self.due()? > now {
            return None;
        }
        let scripted = self.events.get(self.next)?;
        self.next += 1;
        Some(scripted.event.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use silentmon_proto::cti::{AgentState, AgentUpdate};

    use super::*;

    fn script() -> Vec<ScriptedEvent> {
        let event = |at| ScriptedEvent {
            at: Duration::from_secs(at),
            event: AgentUpdate::new("1", AgentState::Available).into(),
        };
        vec![event(0), event(5)]
    }

    #[test]
    fn a_script_beside_a_file_waits_for_the_first_frame() {
        let mut cursor = ScriptCursor::new(script(), true, Instant::from_parts(100, 0));
        assert_eq!(cursor.next(Instant::from_parts(200, 0)), None);
        cursor.begin(0, Instant::from_parts(300, 0));
        cursor.begin(0, Instant::from_parts(400, 0));
        assert!(cursor.next(Instant::from_parts(300, 0)).is_some());
        assert_eq!(cursor.due(), Some(Instant::from_parts(305, 0)));
        assert_eq!(cursor.next(Instant::from_parts(304, 0)), None);
        assert!(cursor.next(Instant::from_parts(305, 0)).is_some());
        assert_eq!(cursor.due(), None);
    }

    #[test]
    fn a_script_begins_anew_when_the_file_does() {
        let mut cursor = ScriptCursor::new(script(), true, Instant::from_parts(100, 0));
        cursor.begin(0, Instant::from_parts(100, 0));
        assert!(cursor.next(Instant::from_parts(105, 0)).is_some());
        assert!(cursor.next(Instant::from_parts(105, 0)).is_some());
        assert_eq!(cursor.due(), None);
        cursor.begin(1, Instant::from_parts(110, 0));
        assert!(cursor.next(Instant::from_parts(110, 0)).is_some());
        assert_eq!(cursor.due(), Some(Instant::from_parts(115, 0)));
    }

    #[test]
    fn a_script_beside_an_interface_begins_with_the_service() {
        let mut cursor = ScriptCursor::new(script(), false, Instant::from_parts(100, 0));
        assert!(cursor.next(Instant::from_parts(100, 0)).is_some());
        assert_eq!(cursor.next(Instant::from_parts(104, 0)), None);
    }
}
