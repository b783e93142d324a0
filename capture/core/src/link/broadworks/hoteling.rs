//! Hoteling (requirements C10): the requests that sign a guest in at a host's phone, in the order laid down.
//!
//! In: sign the host's agent out if there is one; forward the host's calls to the guest; associate; once the server has
//! told the association, set the guest Unavailable, whatever state was asked for. Out: the mirror of it.

use std::time::Duration;

use silentmon_proto::cti::xsi::AgentAcdState;
use silentmon_proto::cti::xsi::request;
use silentmon_proto::time::Instant;

use super::BroadWorksLink;
use super::requests::Purpose;
use super::timers::Timer;
use crate::link::{HotelingAction, HotelingRequest, LinkEvent};

/// How long the whole procedure may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Procedures under way at a time.
const MOST: usize = 64;

/// A guest being signed in or out.
#[derive(Debug)]
pub(super) struct Procedure {
    guest: usize,
    host: usize,
    step: Step,
    /// The server told the association before it answered the request for it.
    is_associated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    SignOutHost,
    ForwardHost,
    Associate,
    AwaitAssociation,
    SetGuestUnavailable,
    SignOutGuest,
    EndForwarding,
    Dissociate,
    /// The association failed: the host's calls must not go to the guest.
    TakeBackForwarding,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::SignOutHost => "signing the host's agent out",
            Self::ForwardHost => "forwarding the host's calls to the guest",
            Self::Associate => "associating guest and host",
            Self::AwaitAssociation => "waiting for the server to tell the association",
            Self::SetGuestUnavailable => "setting the guest Unavailable",
            Self::SignOutGuest => "signing the guest out",
            Self::EndForwarding => "ending the forwarding of the host's calls",
            Self::Dissociate => "ending the association",
            Self::TakeBackForwarding => "taking back the forwarding of the host's calls",
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::SignOutHost => Some(Self::ForwardHost),
            Self::ForwardHost => Some(Self::Associate),
            Self::Associate => Some(Self::AwaitAssociation),
            Self::AwaitAssociation => Some(Self::SetGuestUnavailable),
            Self::SignOutGuest => Some(Self::EndForwarding),
            Self::EndForwarding => Some(Self::Dissociate),
            Self::SetGuestUnavailable | Self::Dissociate | Self::TakeBackForwarding => None,
        }
    }
}

impl BroadWorksLink {
    pub(super) fn start_hoteling(&mut self, request: &HotelingRequest, now: Instant) {
        let number = request.number;
        match self.procedure(request) {
            Ok(procedure) => {
                let first = procedure.step;
                self.procedures.insert(number, procedure);
                self.timers.set(Timer::Hoteling(number), now + LIMIT);
                self.take_step(number, first, now);
            }
            Err(why) => self.done(number, Err(why)),
        }
    }

    fn procedure(&self, request: &HotelingRequest) -> Result<Procedure, String> {
        let guest = self
            .user_by_id(request.guest.as_str())
            .ok_or("the guest isn't among the link's users")?;
        let host = self
            .user_by_device(&request.host)
            .or_else(|| self.user_by_id(request.host.as_str()))
            .ok_or("the host isn't among the link's users")?;
        if guest == host {
            return Err("guest and host are the same user".to_owned());
        }
        if self.open_endpoint().is_none() {
            return Err("no channel to the server is open".to_owned());
        }
        let busy = |user| {
            self.procedures
                .values()
                .any(|one| one.guest == user || one.host == user)
        };
        if busy(guest) || busy(host) || self.procedures.contains_key(&request.number) {
            return Err("guest or host is being signed in or out already".to_owned());
        }
        if self.procedures.len() >= MOST {
            return Err("too many guests are being signed in or out".to_owned());
        }
        let host_is_signed_in = self
            .users
            .get(host)
            .and_then(|user| user.acd_state)
            .is_some_and(|state| state != AgentAcdState::SignOut);
        let step = match request.action {
            HotelingAction::Login if host_is_signed_in => Step::SignOutHost,
            HotelingAction::Login => Step::ForwardHost,
            HotelingAction::Logout => Step::SignOutGuest,
        };
        Ok(Procedure {
            guest,
            host,
            step,
            is_associated: false,
        })
    }

    fn take_step(&mut self, number: u64, step: Step, now: Instant) {
        let Some(procedure) = self.procedures.get_mut(&number) else {
            return;
        };
        procedure.step = step;
        let (guest, host) = (procedure.guest, procedure.host);
        if step == Step::AwaitAssociation {
            if procedure.is_associated {
                self.take_step(number, Step::SetGuestUnavailable, now);
            }
            return;
        }
        let (Some(guest), Some(host)) = (self.users.get(guest), self.users.get(host)) else {
            return;
        };
        let (guest, host) = (&guest.config, &host.config);
        let (user, service, body) = match step {
            Step::SignOutHost => (host, "CallCenter", request::agent_state(AgentAcdState::SignOut)),
            Step::ForwardHost => {
                let to = Some(guest.extension.as_str());
                (host, "CallForwardingAlways", request::call_forwarding_always(to))
            }
            Step::Associate => {
                let body = request::hoteling_guest(Some(&host.user_id));
                (guest, "HotelingGuest", body)
            }
            Step::AwaitAssociation => return,
            Step::SetGuestUnavailable => (guest, "CallCenter", request::agent_state(AgentAcdState::Unavailable)),
            Step::SignOutGuest => (guest, "CallCenter", request::agent_state(AgentAcdState::SignOut)),
            Step::EndForwarding | Step::TakeBackForwarding => {
                (host, "CallForwardingAlways", request::call_forwarding_always(None))
            }
            Step::Dissociate => (guest, "HotelingGuest", request::hoteling_guest(None)),
        };
        let path = request::service(&user.user_id, service);
        match self.open_endpoint() {
            Some(endpoint) => {
                self.send(Purpose::Hoteling(number), endpoint, ("PUT", path), body, now);
            }
            None => self.end_procedure(number, Err("the channels to the server were lost".to_owned())),
        }
    }

    /// The request of the present step was answered, or failed with `why`.
    pub(super) fn hoteling_answered(&mut self, number: u64, failed: Option<String>, now: Instant) {
        let Some(step) = self.procedures.get(&number).map(|procedure| procedure.step) else {
            return;
        };
        match failed {
            Some(why) => self.hoteling_failed(number, step, &why, now),
            None => match step.next() {
                Some(next) => self.take_step(number, next, now),
                None => self.end_procedure(number, Ok(())),
            },
        }
    }

    pub(super) fn hoteling_timed_out(&mut self, number: u64, now: Instant) {
        let Some(step) = self.procedures.get(&number).map(|procedure| procedure.step) else {
            return;
        };
        self.hoteling_failed(number, step, &format!("not done within {} s", LIMIT.as_secs()), now);
    }

    fn hoteling_failed(&mut self, number: u64, step: Step, why: &str, now: Instant) {
        let failed = Err(format!("{} failed: {why}", step.words()));
        let undo = matches!(step, Step::Associate | Step::AwaitAssociation);
        if !undo {
            return self.end_procedure(number, failed);
        }
        // Told at once; what is left to do concerns nobody else.
        self.done(number, failed);
        self.timers.clear(Timer::Hoteling(number));
        self.take_step(number, Step::TakeBackForwarding, now);
    }

    fn end_procedure(&mut self, number: u64, result: Result<(), String>) {
        self.timers.clear(Timer::Hoteling(number));
        let told = self
            .procedures
            .remove(&number)
            .is_some_and(|procedure| procedure.step == Step::TakeBackForwarding);
        if !told {
            self.done(number, result);
        }
    }

    /// The server told that a guest is associated with a host now.
    pub(super) fn hoteling_associated(&mut self, guest: usize, host: usize, now: Instant) {
        let found = self.procedures.iter_mut().find(|(_, procedure)| {
            let step = procedure.step;
            (procedure.guest, procedure.host) == (guest, host)
                && matches!(step, Step::Associate | Step::AwaitAssociation)
        });
        let Some((&number, procedure)) = found else {
            return;
        };
        procedure.is_associated = true;
        if procedure.step == Step::AwaitAssociation {
            self.take_step(number, Step::SetGuestUnavailable, now);
        }
    }

    /// Ends all procedures: nothing can be asked for any more.
    pub(super) fn fail_procedures(&mut self) {
        let numbers: Vec<u64> = self.procedures.keys().copied().collect();
        for number in numbers {
            self.end_procedure(number, Err("the channels to the server were lost".to_owned()));
        }
    }

    pub(super) fn done(&mut self, number: u64, result: Result<(), String>) {
        self.events.push_back(LinkEvent::Done { number, result });
    }
}
