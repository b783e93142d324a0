//! What becomes of the sessions: asked for over every connection, resumed, refused, stopped.

use std::time::Duration;

use silentmon_proto::ids::SessionId;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{ClientMessage, SessionStatus};
use silentmon_proto::time::Instant;

use super::{Machine, Phase, closed_here};
use crate::receiver::{MonitorRequest, ReceiverEvent, RequestId, SuperviseWish};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be asked for once there is a connection.
    Wanted,
    /// Asked for; whether the session that was lost was asked for.
    Asked {
        resuming: bool,
    },
    Running,
    Stopping,
}

#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) wish: MonitorRequest,
    pub(super) stage: Stage,
    pub(super) session: Option<SessionId>,
    pub(super) channel: Option<u16>,
    pub(super) status: Option<SessionStatus>,
}

impl Machine {
    /// Monitors an agent from now on, over every connection there will be; not once the receiver is closed.
    pub(in crate::receiver) fn start_monitor(&mut self, request: RequestId, wish: MonitorRequest, now: Instant) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Over) {
            return;
        }
        let monitor = Monitor {
            wish,
            stage: Stage::Wanted,
            session: None,
            channel: None,
            status: None,
        };
        self.monitors.insert(request, monitor);
        if matches!(self.phase, Phase::Open { .. }) {
            self.ask(request, now);
        }
    }

    pub(in crate::receiver) fn stop_monitor(&mut self, request: RequestId, now: Instant) {
        let Some(monitor) = self.monitors.get_mut(&request) else {
            return;
        };
        match (monitor.stage, monitor.session) {
            (Stage::Running, Some(session)) => {
                monitor.stage = Stage::Stopping;
                self.transmit(ClientMessage::StopMonitor { session }, now);
            }
            // Its answer is on the way and has to be waited for.
            (Stage::Asked { .. }, _) => monitor.stage = Stage::Stopping,
            (Stage::Stopping, _) => {}
            (Stage::Wanted | Stage::Running, _) => self.forget(request, closed_here()),
        }
    }

    /// Says that the supervisor still listens. Without a connection there is nobody to say it to: the server asks again.
    pub(in crate::receiver) fn confirm(&mut self, request: RequestId, now: Instant) {
        let session = self.monitors.get(&request).and_then(|monitor| monitor.session);
        if let (Some(session), Phase::Open { .. }) = (session, self.phase) {
            self.transmit(ClientMessage::StillThere { session }, now);
        }
    }

    pub(super) fn asked_to_confirm(&mut self, session: SessionId, within_s: u32) {
        if let Some(request) = self.request_of(session) {
            let within = Duration::from_secs(within_s.into());
            self.events
                .push_back(ReceiverEvent::ConfirmListening { request, within });
        }
    }

    /// Asks to be brought into the call of a session that runs; a wish without one has failed.
    pub(in crate::receiver) fn supervise(&mut self, request: RequestId, wish: SuperviseWish, now: Instant) {
        let running = |monitor: &&Monitor| monitor.stage == Stage::Running;
        let session = self
            .monitors
            .get(&request)
            .filter(running)
            .and_then(|monitor| monitor.session);
        let (Some(session), Phase::Open { .. }) = (session, self.phase) else {
            let result = Err("Nobody is listened to just now.".to_owned());
            let number = wish.number;
            return self.events.push_back(ReceiverEvent::Supervised { number, result });
        };
        let SuperviseWish { number, action, device } = wish;
        let message = ClientMessage::Supervise {
            request: number,
            session,
            action,
            device,
        };
        self.transmit(message, now);
    }

    pub(super) fn keep_sessions(&mut self) {
        let requests: Vec<_> = self.monitors.keys().copied().collect();
        for request in requests {
            let Some(monitor) = self.monitors.get_mut(&request) else {
                continue;
            };
            monitor.channel = None;
            match monitor.stage {
                Stage::Stopping => self.forget(request, closed_here()),
                Stage::Wanted | Stage::Asked { .. } | Stage::Running => monitor.stage = Stage::Wanted,
            }
        }
    }

    pub(super) fn ask(&mut self, request: RequestId, now: Instant) {
        let Some(monitor) = self.monitors.get_mut(&request) else {
            return;
        };
        let resume = monitor.session;
        monitor.stage = Stage::Asked {
            resuming: resume.is_some(),
        };
        let start = ClientMessage::StartMonitor {
            request: request.0,
            agent: monitor.wish.agent.clone(),
            resume,
            purpose: monitor.wish.purpose.clone(),
            output: monitor.wish.output,
        };
        self.transmit(start, now);
    }

    pub(super) fn started(&mut self, request: RequestId, session: SessionId, channel: u16, now: Instant) {
        let Some(monitor) = self.monitors.get_mut(&request) else {
            // Nobody wants it any longer; the server must not keep it.
            self.transmit(ClientMessage::StopMonitor { session }, now);
            return;
        };
        let resumed = monitor.session.replace(session) == Some(session);
        let missed = self
            .missed_since
            .filter(|_| resumed)
            .map(|since| now.saturating_since(since));
        monitor.channel = Some(channel);
        if monitor.stage == Stage::Stopping {
            self.transmit(ClientMessage::StopMonitor { session }, now);
            return;
        }
        monitor.stage = Stage::Running;
        self.events.push_back(ReceiverEvent::MonitorStarted {
            request,
            session,
            resumed,
            missed,
        });
    }

    pub(super) fn refused(&mut self, request: RequestId, reason: Reason, now: Instant) {
        let Some(monitor) = self.monitors.get_mut(&request) else {
            return;
        };
        match monitor.stage {
            // The server doesn't know the session, or no longer: a new one will do.
            Stage::Asked { resuming: true } => {
                monitor.session = None;
                self.ask(request, now);
            }
            Stage::Stopping => self.forget(request, closed_here()),
            Stage::Wanted | Stage::Asked { .. } | Stage::Running => {
                self.monitors.remove(&request);
                self.events.push_back(ReceiverEvent::MonitorRefused { request, reason });
            }
        }
    }

    fn request_of(&self, session: SessionId) -> Option<RequestId> {
        let mut monitors = self.monitors.iter();
        let found = monitors.find(|(_, monitor)| monitor.session == Some(session));
        found.map(|(&request, _)| request)
    }

    pub(super) fn status(&mut self, status: SessionStatus) {
        let Some(request) = self.request_of(status.session) else {
            return;
        };
        if let Some(monitor) = self.monitors.get_mut(&request) {
            monitor.status = Some(status.clone());
        }
        self.events.push_back(ReceiverEvent::Status { request, status });
    }

    pub(super) fn stopped(&mut self, session: SessionId, reason: Reason, status: SessionStatus) {
        let Some(request) = self.request_of(session) else {
            return;
        };
        let Some(monitor) = self.monitors.get_mut(&request) else {
            return;
        };
        monitor.status = Some(status);
        // A server that stops says SM-2001; its sessions go on at another one.
        if reason.code == Code::NoCaptureServer && monitor.stage != Stage::Stopping {
            monitor.channel = None;
            monitor.stage = Stage::Wanted;
        } else {
            self.forget(request, reason);
        }
    }

    fn forget(&mut self, request: RequestId, reason: Reason) {
        let Some(monitor) = self.monitors.remove(&request) else {
            return;
        };
        self.events.push_back(ReceiverEvent::MonitorStopped {
            request,
            reason,
            status: monitor.status,
        });
        self.end_if_all_stopped();
    }

    pub(super) fn end_if_all_stopped(&mut self) {
        if matches!(self.phase, Phase::Closing { .. }) && self.monitors.is_empty() {
            self.end();
        }
    }
}
