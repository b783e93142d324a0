//! Calls and media of one party: an agent, or a device at which nobody is known to sit yet.

use std::collections::BTreeMap;

use silentmon_proto::cti::{CallEventKind, MediaDirection};
use silentmon_proto::ids::{CallId, Extension, MediaAddress};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::content::Content;

/// Most calls and most media legs kept of one party; the oldest give way.
const MAX_OF_EACH: usize = 32;

/// One call of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The call, by the id under which it goes on.
    pub id: CallId,
    /// Where it stands.
    pub state: CallState,
    /// When it came to stand there.
    pub state_since: Instant,
    /// Whether it came through the queue, where the source said so.
    pub acd: Option<bool>,
    /// Whether it is a consult call made during an ACD call: it counts as part of that.
    pub consult: bool,
    /// When it was first heard of.
    pub since: Instant,
    /// Its numbers and variables.
    pub content: Content,
    pub(super) device: Option<Extension>,
    /// Whether an event named the party itself, not only the device.
    pub(super) named: bool,
    /// Ids of the party's other calls that were merged into this one.
    pub(super) merged: Vec<CallId>,
    /// When it was last spoken of.
    pub(super) told: Instant,
}

/// Where a call stands, from the agent's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// The agent makes it, and nobody answered yet.
    Dialling,
    /// It rings.
    Alerting,
    /// The agent talks.
    Connected,
    /// The agent put it on hold.
    Held,
}

/// A place where an agent's phone sends and receives media now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLeg {
    /// The call it belongs to, where known.
    pub call: Option<CallId>,
    /// The phone's media address.
    pub address: MediaAddress,
    /// Where the phone sends its media to, where the source said so.
    pub remote: Option<MediaAddress>,
    /// Whether the source says that the media are encrypted.
    pub encrypted: Option<bool>,
    /// The codec's encoding name, where the source gives one.
    pub codec: Option<String>,
    /// Who told it.
    pub origin: MediaOrigin,
    /// Since when there are media at this address.
    pub since: Instant,
    /// Since when there are media of this call: an address may be left for another.
    pub(super) opened: Instant,
    /// The call's id as it was told: media of merged calls stop under it.
    pub(super) told_call: Option<CallId>,
    pub(super) device: Option<Extension>,
    pub(super) named: bool,
    pub(super) directions: Directions,
    pub(super) told: Instant,
}

/// Directions in which media flow. A leg lives while one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directions {
    receive: bool,
    send: bool,
}

impl Directions {
    /// Of an event that names one, or none and means both.
    pub const fn told(direction: Option<MediaDirection>) -> Self {
        Self {
            receive: !matches!(direction, Some(MediaDirection::Send)),
            send: !matches!(direction, Some(MediaDirection::Receive)),
        }
    }

    pub(super) const fn receives(self) -> bool {
        self.receive
    }

    pub(super) const fn sends(self) -> bool {
        self.send
    }

    const fn and(self, other: Self) -> Self {
        Self {
            receive: self.receive || other.receive,
            send: self.send || other.send,
        }
    }

    const fn without(self, other: Self) -> Self {
        Self {
            receive: self.receive && !other.receive,
            send: self.send && !other.send,
        }
    }

    const fn is_none(self) -> bool {
        !self.receive && !self.send
    }
}

/// What an event tells of a party's call.
#[derive(Debug, Clone)]
pub(super) struct CallTold {
    pub id: CallId,
    pub state: CallState,
    pub acd: Option<bool>,
    /// Whether the party itself makes the call.
    pub outgoing: bool,
    pub content: Content,
    pub device: Option<Extension>,
    pub named: bool,
}

/// Which media an event says have stopped.
#[derive(Debug, Clone)]
pub(super) struct MediaEnd {
    /// The id as told, and the id under which the call goes on.
    pub call: Option<(CallId, CallId)>,
    pub address: Option<MediaAddress>,
    pub directions: Directions,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    pub calls: Vec<Call>,
    pub media: Vec<MediaLeg>,
}

impl CallState {
    /// Where a call stands after an event; `None` for events that don't tell.
    pub(super) const fn after(kind: CallEventKind) -> Option<Self> {
        match kind {
            CallEventKind::ServiceInitiated | CallEventKind::Originated | CallEventKind::NetworkReached => {
                Some(Self::Dialling)
            }
            CallEventKind::Delivered => Some(Self::Alerting),
            CallEventKind::Established | CallEventKind::Retrieved | CallEventKind::Conferenced => Some(Self::Connected),
            CallEventKind::Held => Some(Self::Held),
            CallEventKind::Queued
            | CallEventKind::Transferred
            | CallEventKind::Diverted
            | CallEventKind::Failed
            | CallEventKind::ConnectionCleared => None,
        }
    }
}

impl Call {
    /// Whether it may be heard where only ACD calls may: it came through the queue, or is a consult call made during one
    /// that did.
    pub fn counts_as_acd(&self) -> bool {
        self.acd == Some(true) || self.consult
    }

    fn enter(&mut self, state: CallState, now: Instant) {
        // Dialling and ringing come before everything else: told late, they change nothing.
        let late = matches!(state, CallState::Dialling | CallState::Alerting)
            && matches!(self.state, CallState::Connected | CallState::Held);
        if self.state != state && !late {
            self.state = state;
            self.state_since = now;
        }
        self.told = now;
    }
}

impl Line {
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.media.is_empty()
    }

    pub fn call(&self, id: &CallId) -> Option<&Call> {
        self.calls.iter().find(|call| call.id == *id)
    }

    /// The call that makes sound now: the one talked on, else one being made, else one on hold.
    pub fn call_in_progress(&self) -> Option<&Call> {
        let in_state = |state| self.calls.iter().rev().find(move |call| call.state == state);
        in_state(CallState::Connected)
            .or_else(|| in_state(CallState::Dialling))
            .or_else(|| in_state(CallState::Held))
    }

    /// The call that is heard on a leg. A nailed-up leg belongs to no call, or to one of its own that began before the
    /// call it carries and goes on beside it.
    pub fn call_on(&self, leg: &MediaLeg) -> Option<&Call> {
        let Some(id) = &leg.call else {
            return self.call_in_progress();
        };
        let own = self.call(id);
        if own.is_some_and(|call| call.counts_as_acd() || call.state == CallState::Held) {
            return own;
        }
        let is_carried = |call: &&Call| {
            call.id != *id
                && call.state == CallState::Connected
                && leg.opened < call.since
                && !self.has_media_of(&call.id)
        };
        self.calls.iter().rev().find(is_carried).or(own)
    }

    /// Whether a leg sounds: nothing of a call on hold does, unless its media began anew since.
    pub fn sounds(&self, leg: &MediaLeg) -> bool {
        let Some(call) = self.call_on(leg) else { return true };
        let own = leg.call.as_ref() == Some(&call.id);
        call.state != CallState::Held || (own && leg.since > call.state_since)
    }

    fn has_media_of(&self, call: &CallId) -> bool {
        self.media.iter().any(|leg| leg.call.as_ref() == Some(call))
    }

    /// Takes up where a call stands.
    pub fn enter_call(&mut self, told: CallTold, now: Instant) {
        let during_acd = told.outgoing && self.calls.iter().any(|call| call.id != told.id && call.counts_as_acd());
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == told.id) {
            call.enter(told.state, now);
            call.acd = told.acd.or(call.acd);
            call.consult |= during_acd;
            call.content.take_over(told.content);
            call.device = told.device.or(call.device.take());
            call.named |= told.named;
            return;
        }
        make_room(&mut self.calls);
        self.calls.push(Call {
            id: told.id,
            state: told.state,
            state_since: now,
            acd: told.acd,
            consult: during_acd,
            since: now,
            content: told.content,
            device: told.device,
            named: told.named,
            merged: Vec::new(),
            told: now,
        });
    }

    /// Sets variables of a call.
    pub fn set_variables(&mut self, id: &CallId, variables: &BTreeMap<String, String>) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == *id) {
            call.content.set(variables);
        }
    }

    /// Takes a call away, and its media: sources may leave the media event out. Answers the call.
    pub fn leave_call(&mut self, id: &CallId) -> Option<Call> {
        self.media.retain(|leg| leg.call.as_ref() != Some(id));
        let at = self.calls.iter().position(|call| call.id == *id)?;
        Some(self.calls.remove(at))
    }

    /// A call goes on under another id, maybe that of another call of this party.
    pub fn rename_call(&mut self, from: &CallId, to: &CallId) {
        for leg in self.media.iter_mut().filter(|leg| leg.call.as_ref() == Some(from)) {
            leg.call = Some(to.clone());
        }
        let Some(at) = self.calls.iter().position(|call| call.id == *from) else {
            return;
        };
        let Some(other) = self.calls.iter().position(|call| call.id == *to) else {
            self.calls[at].id = to.clone();
            return;
        };
        let gone = self.calls.remove(at);
        let kept = &mut self.calls[other - usize::from(at < other)];
        kept.absorb(gone);
    }

    /// Media start, or start anew at another address.
    pub fn start_media(&mut self, mut leg: MediaLeg) {
        let same_place = |old: &MediaLeg| old.address == leg.address && old.call == leg.call;
        let known = self.media.iter().position(same_place);
        if let Some(old) = known.and_then(|at| self.media.get_mut(at)) {
            old.repeat(&leg);
        }
        for old in &mut self.media {
            let replaced = old.address != leg.address && old.call == leg.call && of_one_phone(old, &leg);
            if replaced {
                old.directions = old.directions.without(leg.directions);
                leg.opened = leg.opened.min(old.opened);
            }
            // A phone's port serves one call at a time; a nailed-up line without a call lies below them.
            let taken = old.address == leg.address && old.call.is_some() && leg.call.is_some() && old.call != leg.call;
            if taken {
                old.directions = old.directions.without(Directions::told(None));
            }
        }
        self.drop_silent();
        if known.is_none() {
            make_room(&mut self.media);
            self.media.push(leg);
        }
    }

    /// Media stop. A call's media told under its former id stop under that too, and only they.
    pub fn stop_media(&mut self, end: &MediaEnd) {
        for leg in &mut self.media {
            let of_address = end.address.is_none_or(|address| leg.address == address);
            let of_call = match (&end.call, &leg.call) {
                (None, _) => true,
                (Some(_), None) => end.address.is_some(),
                (Some((told, _)), Some(call)) => leg.told_call.as_ref() == Some(told) || call == told,
            };
            let renamed = end.address.is_some()
                && end
                    .call
                    .as_ref()
                    .is_some_and(|(_, root)| leg.call.as_ref() == Some(root));
            if of_address && (of_call || renamed) {
                leg.directions = leg.directions.without(end.directions);
            }
        }
        self.drop_silent();
    }

    /// Takes over what was told of a device before it was known who sits there.
    pub fn absorb(&mut self, waiting: Self) {
        for call in waiting.calls {
            match self.calls.iter_mut().find(|known| known.id == call.id) {
                Some(known) => known.absorb(call),
                None => self.calls.push(call),
            }
        }
        waiting.media.into_iter().for_each(|leg| self.start_media(leg));
    }

    /// Takes out what only the device was named for: all of one call, where one is named.
    pub fn take_unnamed(&mut self, call: &CallId) -> Self {
        let of_call = |id: Option<&CallId>| id == Some(call);
        Self {
            calls: self
                .calls
                .extract_if(.., |known| of_call(Some(&known.id)) && !known.named)
                .collect(),
            media: self
                .media
                .extract_if(.., |leg| of_call(leg.call.as_ref()) && !leg.named)
                .collect(),
        }
    }

    /// When any of it was last spoken of.
    pub fn told(&self) -> Instant {
        let calls = self.calls.iter().map(|call| call.told);
        let media = self.media.iter().map(|leg| leg.told);
        calls.chain(media).max().unwrap_or(Instant::EPOCH)
    }

    fn drop_silent(&mut self) {
        self.media.retain(|leg| !leg.directions.is_none());
    }
}

impl Call {
    /// Two calls became one: it stands where the one spoken of last stands.
    fn absorb(&mut self, other: Self) {
        if other.id != self.id {
            self.merged.push(other.id);
        }
        self.merged.extend(other.merged);
        if other.state_since > self.state_since || other.state == CallState::Connected {
            self.state = other.state;
            self.state_since = other.state_since;
        }
        self.consult |= other.consult;
        self.acd = self.acd.or(other.acd);
        self.content.absorb(other.content);
        self.named |= other.named;
        self.device = self.device.take().or(other.device);
        self.since = self.since.min(other.since);
        self.told = self.told.max(other.told);
    }
}

impl MediaLeg {
    /// It was told again, maybe for the other direction.
    fn repeat(&mut self, again: &Self) {
        self.directions = self.directions.and(again.directions);
        self.remote = again.remote.or(self.remote);
        self.encrypted = again.encrypted.or(self.encrypted);
        self.codec = again.codec.clone().or(self.codec.take());
        self.named |= again.named;
        self.device = again.device.clone().or(self.device.take());
        self.told = again.told;
    }
}

/// Media of two phones of one agent don't replace each other.
fn of_one_phone(one: &MediaLeg, other: &MediaLeg) -> bool {
    one.call.is_some() || one.device.is_none() || other.device.is_none() || one.device == other.device
}

fn make_room<T>(list: &mut Vec<T>) {
    if list.len() >= MAX_OF_EACH {
        list.remove(0);
    }
}
