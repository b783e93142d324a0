//! Other members hear agents whom this server sees: each for a supervisor of its own, in a session of the same id here.

use silentmon_proto::ids::{ServerName, SessionId};
use silentmon_proto::peer::{HomeSession, RelayMessage};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::super::authority::Standing;
use super::super::control::record;
use super::super::{Engine, EngineEvent, ForeignRequest};
use super::is_relayed_to;
use crate::policy::Refusal;
use crate::session::{Admission, Attachment, MonitorSession, SessionRequest};

impl Engine {
    /// A member wants to hear a session's agent, or still does.
    pub(super) fn handle_subscribe(&mut self, from: &ServerName, wanted: HomeSession, now: Instant) {
        let id = wanted.session;
        let request = SessionRequest {
            number: 0,
            agent: wanted.agent.clone(),
            purpose: wanted.purpose.clone(),
            output: wanted.output,
        };
        let known = self.sessions.get(&id);
        if known.is_some_and(|session| is_relayed_to(session, from) && is_same(session, &wanted)) {
            // Whether he still may is looked at all the time.
            return self.renew(from, &wanted, now);
        }
        if known.is_some_and(|session| !is_same(session, &wanted)) {
            self.count_foreign(ForeignRequest::Resume);
            let reason = Reason::new(Code::NotAuthorised, "Another session has this id here.");
            return self.say(from, RelayMessage::Refused { session: id, reason });
        }
        if let Some(newer) = known.filter(|session| session.home.is_none() && session.attached > wanted.attached) {
            let text = format!(
                "The supervisor of session {} has come to {}.",
                newer.id, self.settings.server
            );
            let reason = Reason::new(Code::NoCaptureServer, text);
            return self.say(from, RelayMessage::Refused { session: id, reason });
        }
        let taken_up = known.map(|session| session.id);
        let standing = match taken_up {
            Some(_) => Standing::Runs,
            None => Standing::Relayed,
        };
        let over = self.unconfirmed_since(wanted.confirmed, now);
        let admitted = over.map_or(Ok(()), Err);
        let admitted = admitted.and_then(|()| self.admit_request(&wanted.principal, &request, standing, now));
        if let Err(Refusal { reason, .. }) = admitted {
            return self.refuse_member(from, wanted, reason);
        }
        match taken_up {
            Some(id) => self.move_to(from, id, &wanted, now),
            None => self.open_for_member(from, wanted, request, now),
        }
    }

    /// A member wants to hear a session no more.
    pub(super) fn handle_unsubscribe(&mut self, from: &ServerName, id: SessionId, reason: &Reason, now: Instant) {
        if self
            .sessions
            .get(&id)
            .is_some_and(|session| is_relayed_to(session, from))
        {
            self.stop_session(id, reason, now);
        }
    }

    fn renew(&mut self, from: &ServerName, wanted: &HomeSession, now: Instant) {
        let id = wanted.session;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.attachment = Attachment::Relayed(now);
        session.confirmed = wanted.confirmed.min(now);
        if session.admission == Admission::Admitted {
            // The home may have lost sight of this server and not the other way round.
            let channel = session.channel;
            self.say(from, RelayMessage::Subscribed { session: id, channel });
        }
    }

    fn refuse_member(&mut self, from: &ServerName, wanted: HomeSession, reason: Reason) {
        let session = wanted.session;
        self.say(
            from,
            RelayMessage::Refused {
                session,
                reason: reason.clone(),
            },
        );
        // It asks again and again: only what is new is worth a record.
        if self.relay.refuse(session, reason.code) {
            self.past.refused += 1;
            self.events.push_back(EngineEvent::SessionRefused {
                principal: wanted.principal,
                agent: wanted.agent,
                reason,
            });
        }
    }

    fn open_for_member(&mut self, from: &ServerName, wanted: HomeSession, request: SessionRequest, now: Instant) {
        self.relay.refused.remove(&wanted.session);
        let attachment = Attachment::Relayed(now);
        let mut session = MonitorSession::new(
            wanted.session,
            self.free_channel(),
            wanted.principal,
            attachment,
            request,
            now,
        );
        session.home = Some(from.clone());
        session.confirmed = wanted.confirmed.min(now);
        self.open_session(session, None);
    }

    /// The session was heard by another member, or by its supervisor here.
    fn move_to(&mut self, from: &ServerName, id: SessionId, wanted: &HomeSession, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.attachment = Attachment::Relayed(now);
        session.attached = now;
        session.confirmed = wanted.confirmed.min(now);
        let former = session.home.replace(from.clone());
        if former.as_ref() != Some(from) {
            let former = former.unwrap_or_else(|| self.settings.server.clone());
            let session = record(session);
            self.events.push_back(EngineEvent::SessionMoved { session, former });
        }
        self.is_home_no_more(id, from);
        self.answer_start(id, 0, now);
        self.events.push_back(EngineEvent::FilterChanged);
    }
}

/// Whether a member means the session that is known here by this id.
fn is_same(session: &MonitorSession, wanted: &HomeSession) -> bool {
    session.principal.is_same(&wanted.principal) && session.agent == wanted.agent && session.output == wanted.output
}
