//! What a switch says, and what follows from it.

use silentmon_proto::cti::csta::{
    CstaError, Event, Frame, InvokeId, Message, MonitorCrossRefId, Request, Response, SnapshotContent, SnapshotEntry,
    SystemStatus,
};
use silentmon_proto::ids::{CallId, Extension};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::CstaLink;
use super::monitors::number_of;
use super::pending::Asked;
use super::session::Phase;

/// Most snapshots that come in parts at a time.
const MOST_PARTED: usize = 64;
/// Most connections of such a snapshot.
const MOST_ENTRIES: usize = 1024;

impl CstaLink {
    pub(super) fn handle_frame(&mut self, frame: &Frame, now: Instant) {
        self.counters.documents += 1;
        self.unanswered = 0;
        match Message::parse(&frame.document) {
            Ok(message) => self.handle_message(frame.invoke_id, message, now),
            Err(error) => {
                self.counters.malformed += 1;
                self.counters.last_complaint = Some(error.to_string());
            }
        }
    }

    fn handle_message(&mut self, id: InvokeId, message: Message, now: Instant) {
        match message {
            Message::Response(response) => self.handle_response(id, response, now),
            Message::SystemStatus(status) => {
                self.send(id, &Request::SystemStatusResponse);
                self.handle_status(status);
            }
            Message::Event { cross_ref, event } => self.handle_event(&cross_ref, event),
            Message::MonitorStop(cross_ref) => {
                self.send(id, &Request::MonitorStopResponse);
                self.monitors.stopped(&cross_ref, now);
            }
            Message::SnapshotSegment {
                cross_ref,
                entries,
                last,
            } => self.handle_segment(&cross_ref, entries, last),
            Message::SessionTerminated => self.handle_session_terminated(now),
            Message::Unknown(name) => {
                self.counters.unknown_messages += 1;
                self.counters.last_complaint = Some(format!("unknown message {name}"));
            }
        }
    }

    fn handle_event(&mut self, cross_ref: &MonitorCrossRefId, event: Event) {
        let Some(device) = self.monitors.device(cross_ref).cloned() else {
            self.counters.unknown_monitors += 1;
            return;
        };
        match event {
            Event::Agent(event) => {
                let event = self.agents.event(&device, event);
                self.tell(event);
            }
            Event::Feature => self.counters.features += 1,
            event => {
                for event in self.calls.event(&device, event) {
                    self.tell(event);
                }
            }
        }
    }

    fn handle_session_terminated(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Opening | Phase::Up) {
            self.session = None;
            self.old_session = None;
            self.fail(Code::CtiLinkDown, "the switch ended the session", now);
        }
    }

    fn handle_response(&mut self, id: InvokeId, response: Response, now: Instant) {
        let Some(asked) = self.pending.answered(id) else {
            return self.handle_stray(response, now);
        };
        if let Response::Refused(error) = &response {
            self.counters.refused += 1;
            self.counters.last_complaint = Some(error.to_string());
        }
        match asked {
            Asked::Probe | Asked::Resume(_) | Asked::StartSession(_) => {
                if self.phase == Phase::Opening {
                    self.opened(asked, response, now);
                }
            }
            Asked::Renew => self.renewed(response, now),
            Asked::StopSession => self.close_when_answered(true),
            Asked::MonitorStop => self.close_when_answered(false),
            Asked::Heartbeat => {
                if let Response::SystemStatus(status) = response {
                    self.handle_status(status);
                }
            }
            Asked::MonitorStart(place) => self.handle_monitor(place, response, now),
            Asked::SnapshotDevice(device) => self.handle_snapshot(&device, response),
            Asked::SnapshotCall(device, call) => self.handle_call_snapshot(&device, &call, &response),
            Asked::AgentState(device) => self.handle_agents(&device, response),
            Asked::Supervise(number) => self.done(number, result_of(response)),
            Asked::Register => {}
        }
    }

    /// An answer that comes too late. A monitor that nobody waits for any more is stopped.
    fn handle_stray(&mut self, response: Response, now: Instant) {
        self.counters.stray_answers += 1;
        if let (Phase::Up, Response::MonitorStarted(cross_ref)) = (self.phase, response)
            && self.monitors.device(&cross_ref).is_none()
        {
            self.ask(Asked::MonitorStop, &Request::MonitorStop { cross_ref }, now);
        }
    }

    fn handle_monitor(&mut self, place: usize, response: Response, now: Instant) {
        match response {
            Response::MonitorStarted(cross_ref) => self.monitors.started(place, cross_ref, self.settings.agent_states),
            Response::Refused(error) => self.monitors.refuse(place, error.to_string(), now),
            _ => self.monitors.refuse(
                place,
                "the switch answers with something else than a monitor".into(),
                now,
            ),
        }
    }

    fn handle_snapshot(&mut self, device: &Extension, response: Response) {
        match response {
            Response::DeviceSnapshot(SnapshotContent::Entries(entries)) => self.tell_snapshot(device, &entries),
            Response::DeviceSnapshot(SnapshotContent::Follows(cross_ref)) => {
                if self.parts.len() >= MOST_PARTED {
                    self.parts.pop_first();
                }
                self.parts.insert(cross_ref, (device.clone(), Vec::new()));
            }
            _ => {}
        }
    }

    fn handle_segment(&mut self, cross_ref: &str, entries: Vec<SnapshotEntry>, last: bool) {
        let Some((_, known)) = self.parts.get_mut(cross_ref) else {
            self.counters.stray_answers += 1;
            return;
        };
        let room = MOST_ENTRIES.saturating_sub(known.len());
        known.extend(entries.into_iter().take(room));
        if last && let Some((device, entries)) = self.parts.remove(cross_ref) {
            self.tell_snapshot(&device, &entries);
        }
    }

    fn tell_snapshot(&mut self, device: &Extension, entries: &[SnapshotEntry]) {
        let (snapshot, untold) = self.calls.snapshot(&number_of(device), entries);
        self.tell(snapshot);
        for call in untold {
            self.monitors.snapshot_call(device.clone(), call);
        }
    }

    fn handle_call_snapshot(&mut self, device: &Extension, call: &CallId, response: &Response) {
        if let Response::CallSnapshot(entries) = response
            && let Some(event) = self.calls.call_snapshot(&number_of(device), call, entries)
        {
            self.tell(event);
        }
    }

    fn handle_agents(&mut self, device: &Extension, response: Response) {
        if let Response::AgentState(entries) = response {
            for event in self.agents.listed(&number_of(device), entries) {
                self.tell(event);
            }
        }
    }

    /// The switch's own state: whether events come, and whether some were lost.
    fn handle_status(&mut self, status: SystemStatus) {
        if self.phase != Phase::Up {
            return;
        }
        let was_down = self.told.as_ref().is_some_and(|told| told.down.is_some());
        match status {
            SystemStatus::Disabled => {
                let text = format!(
                    "{} (the switch has disabled its CTI service)",
                    Code::CtiLinkDown.sentence()
                );
                self.tell_link(Some(Reason::new(Code::CtiLinkDown, text)));
            }
            SystemStatus::MessagesLost => self.monitors.snapshot_all(),
            SystemStatus::Normal if was_down => {
                self.tell_link(None);
                self.monitors.snapshot_all();
            }
            SystemStatus::Normal | SystemStatus::Other => {}
        }
    }
}

fn result_of(response: Response) -> Result<(), String> {
    match response {
        Response::Refused(error) => Err(CstaError::to_string(&error)),
        _ => Ok(()),
    }
}
