//! One call on one hop: its parties by their tags, their offers and answers (RFC 3261 section 12, RFC 3264).

use std::net::IpAddr;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::PayloadType;
use silentmon_proto::sdp::{MediaDescription, SessionDescription};
use silentmon_proto::sip::{Message, NameAddr, StartLine};
use silentmon_proto::time::Instant;

use super::Hop;
use super::endpoints::{Endpoints, device_name};
use crate::resolver::publish::{Evidence, Media, Part, Publisher};

/// Phones that ring at once for one call (forking), the caller included.
const MOST_PARTIES: usize = 16;
const MOST_NAMES: usize = 5;
/// A longer tag is nobody's.
const LONGEST_TAG: usize = 256;

/// What a message did to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Unchanged,
    Changed,
    Ended,
}

/// A call on one hop.
#[derive(Debug)]
pub(super) struct Dialog {
    parties: Vec<Party>,
    /// Parties that are gone, whose media are still told.
    gone: Vec<Party>,
    answered: bool,
    last: Instant,
}

/// One side of a call.
#[derive(Debug)]
struct Party {
    tag: String,
    /// What its device is called.
    names: Vec<String>,
    /// The machine that speaks for it on this hop.
    machine: Option<IpAddr>,
    /// An offer that isn't answered, and the number of its request.
    offer: Option<(u32, SessionDescription)>,
    /// What both sides agreed on, in its own words.
    agreed: Option<SessionDescription>,
    /// Under which number, and for which names, its media are told.
    part: Option<Part>,
    told: Vec<String>,
}

/// Whether a message can begin what is known of a call. Calls in progress are joined at their next offer or answer.
pub(super) fn begins(message: &Message<'_>) -> bool {
    let carries_media = matches!(message.cseq().method, "INVITE" | "UPDATE" | "ACK" | "PRACK")
        && message.session_description().is_some();
    let refused = message.status().is_some_and(|status| status >= 300);
    let is_invite = matches!(&message.start, StartLine::Request { method, .. } if method == "INVITE");
    (carries_media || is_invite) && !refused
}

impl Dialog {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            parties: Vec::new(),
            gone: Vec::new(),
            answered: false,
            last: now,
        }
    }

    pub(super) const fn is_answered(&self) -> bool {
        self.answered
    }

    pub(super) const fn last(&self) -> Instant {
        self.last
    }

    pub(super) fn handle_message(&mut self, message: &Message<'_>, hop: Hop, now: Instant) -> Fate {
        self.last = now;
        match message.status() {
            None => self.handle_request(message, hop),
            Some(status) => self.handle_response(message, status, hop),
        }
    }

    fn handle_request(&mut self, message: &Message<'_>, hop: Hop) -> Fate {
        let method = message.cseq().method;
        let (from, to) = (message.from(), message.to());
        match method {
            "BYE" => return self.handle_bye(from.tag(), to.tag()),
            // A call answered already isn't cancelled any more (RFC 3261 section 9.2).
            "CANCEL" if !self.answered => return Fate::Ended,
            "CANCEL" => return Fate::Unchanged,
            _ => {}
        }
        let Some(sender) = self.party(from.tag().unwrap_or_default()) else {
            return Fate::Unchanged;
        };
        sender.machine = Some(hop.source);
        sender.add_names(&from, message);
        let Some(description) = message.session_description().map(SessionDescription::parse) else {
            return Fate::Unchanged;
        };
        if matches!(method, "INVITE" | "UPDATE") {
            sender.offer = Some((message.cseq().number, description));
            return Fate::Unchanged;
        }
        sender.agreed = Some(description);
        Fate::Changed
    }

    fn handle_response(&mut self, message: &Message<'_>, status: u16, hop: Hop) -> Fate {
        let method = message.cseq().method;
        if !matches!(method, "INVITE" | "UPDATE" | "PRACK") || status == 100 {
            return Fate::Unchanged;
        }
        if status >= 300 {
            return self.handle_refusal(message, status);
        }
        let (from, to) = (message.from(), message.to());
        let description = message.session_description().map(SessionDescription::parse);
        let answers = description.is_some();
        let Some(responder) = self.party(to.tag().unwrap_or_default()) else {
            return Fate::Unchanged;
        };
        responder.machine = Some(hop.source);
        responder.add_names(&to, message);
        responder.agreed = description.or(responder.agreed.take());
        let requester_tag = from.tag().unwrap_or_default();
        if answers || status >= 200 {
            self.agree(requester_tag, &from, message.cseq().number);
        }
        if status >= 200 && method == "INVITE" {
            self.answered = true;
            self.drop_other_forks(requester_tag, to.tag().unwrap_or_default());
        }
        Fate::Changed
    }

    /// The offer that this response answers holds now.
    fn agree(&mut self, tag: &str, address: &NameAddr<'_>, number: u32) {
        let Some(party) = self.party(tag) else { return };
        party.add_name(device_name(address));
        if party.offer.as_ref().is_some_and(|(offered, _)| *offered == number) {
            party.agreed = party.offer.take().map(|(_, description)| description);
        }
    }

    /// A refused re-INVITE leaves the call as it was (RFC 3261 section 14.1), unless the other side knows no such call.
    fn handle_refusal(&mut self, message: &Message<'_>, status: u16) -> Fate {
        if !self.answered && message.cseq().method == "INVITE" || matches!(status, 408 | 481) {
            return Fate::Ended;
        }
        if let Some(requester) = self.party(message.from().tag().unwrap_or_default()) {
            requester.offer = None;
        }
        Fate::Unchanged
    }

    /// The caller may part with a phone that answered too late, and keep the one he talks with.
    fn handle_bye(&mut self, from: Option<&str>, to: Option<&str>) -> Fate {
        let is_known = |tag: Option<&str>| self.parties.iter().any(|party| party.tag == tag.unwrap_or_default());
        let strange = !is_known(from) || !is_known(to);
        if strange && self.answered && self.parties.len() > 1 {
            return Fate::Unchanged;
        }
        Fate::Ended
    }

    /// Phones that rang besides the one that answered.
    fn drop_other_forks(&mut self, requester: &str, responder: &str) {
        let stays = |party: &Party| party.tag == requester || party.tag == responder;
        let (stay, go) = self.parties.drain(..).partition(stays);
        self.parties = stay;
        self.gone.extend::<Vec<_>>(go);
    }

    fn party(&mut self, tag: &str) -> Option<&mut Party> {
        let known = self.parties.iter().position(|party| party.tag == tag);
        let index = known.unwrap_or(self.parties.len());
        if known.is_none() {
            if self.parties.len() == MOST_PARTIES || tag.len() > LONGEST_TAG {
                return None;
            }
            self.parties.push(Party::new(tag));
        }
        self.parties.get_mut(index)
    }

    /// Tells what is agreed on now.
    pub(super) fn publish(&mut self, call_id: &str, endpoints: &Endpoints, publisher: &mut Publisher) {
        for mut party in self.gone.drain(..) {
            party.unpublish(publisher);
        }
        let media: Vec<_> = (0..self.parties.len())
            .map(|index| self.media_of(index, call_id))
            .collect();
        for (party, media) in self.parties.iter_mut().zip(media) {
            party.publish(&media, endpoints, publisher);
        }
    }

    /// Tells that nothing of the call is left.
    pub(super) fn unpublish(&mut self, publisher: &mut Publisher) {
        for party in self.gone.iter_mut().chain(&mut self.parties) {
            party.unpublish(publisher);
        }
    }

    fn media_of(&self, index: usize, call_id: &str) -> Vec<Media> {
        let Some(party) = self.parties.get(index) else {
            return Vec::new();
        };
        let others = self.parties.iter().enumerate().rev();
        let mut others = others.filter(|(other, _)| *other != index).map(|(_, other)| other);
        let peer = others.find(|other| other.agreed.is_some());
        let own = party.agreed.as_ref().map_or(&[][..], |description| &description.media);
        let theirs = peer
            .and_then(|peer| peer.agreed.as_ref())
            .map(|description| &description.media);
        own.iter()
            .enumerate()
            .filter_map(|(index, own)| match theirs {
                Some(theirs) => agreed_media(call_id, own, Some(theirs.get(index)?)),
                None => agreed_media(call_id, own, None),
            })
            .collect()
    }
}

/// What one medium comes to, seen from the side whose words are `own`.
fn agreed_media(call_id: &str, own: &MediaDescription, theirs: Option<&MediaDescription>) -> Option<Media> {
    let address = own.address().filter(|_| own.is_speech())?;
    if theirs.is_some_and(|theirs| theirs.port == 0) {
        return None;
    }
    let remote = theirs.and_then(MediaDescription::address);
    let held = theirs.is_some() && remote.is_none();
    let sends = own.direction.sends() && !held && theirs.is_none_or(|theirs| theirs.direction.receives());
    let receives = own.direction.receives() && theirs.is_none_or(|theirs| theirs.direction.sends());
    (sends || receives).then(|| Media {
        call: call_id.into(),
        address,
        remote,
        codec: chosen_codec(own, theirs),
        encrypted: Some(own.is_encrypted() && theirs.is_none_or(MediaDescription::is_encrypted)),
        sends,
        receives,
        codecs: own
            .rtp_maps
            .iter()
            .filter_map(|map| Some((map.payload_type, map.codec()?)))
            .collect(),
    })
}

/// The first codec of speech both sides name; the answer, which is the shorter list, tells the preference.
fn chosen_codec(own: &MediaDescription, theirs: Option<&MediaDescription>) -> Option<String> {
    let other = theirs.unwrap_or(own);
    let (answer, offer) = if other.formats.len() <= own.formats.len() {
        (other, own)
    } else {
        (own, other)
    };
    let named = |description: &MediaDescription, name: &str| {
        let mut encodings = description
            .formats
            .iter()
            .filter_map(|format| description.encoding(*format));
        encodings.any(|encoding| encoding.eq_ignore_ascii_case(name))
    };
    let mut preferred = answer
        .formats
        .iter()
        .filter_map(|format: &PayloadType| answer.encoding(*format));
    let chosen = preferred.find(|name| is_speech(name) && named(offer, name));
    chosen.map(str::to_owned)
}

fn is_speech(encoding: &str) -> bool {
    ![Codec::Cn, Codec::TelephoneEvent]
        .iter()
        .any(|codec| codec.name().eq_ignore_ascii_case(encoding))
}

impl Party {
    fn new(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            names: Vec::new(),
            machine: None,
            offer: None,
            agreed: None,
            part: None,
            told: Vec::new(),
        }
    }

    /// Its From or To, what a trusted network asserts of it (RFC 3325), its Contact, and the name Cisco phones add.
    fn add_names(&mut self, address: &NameAddr<'_>, message: &Message<'_>) {
        self.add_name(device_name(address));
        for asserted in message.values("p-asserted-identity").map(NameAddr::parse) {
            self.add_name(device_name(&asserted));
        }
        if let Some(contact) = message.values("contact").next().map(NameAddr::parse) {
            self.add_name(device_name(&contact));
            self.add_name(contact.parameter("+u.sip!devicename.ccm.cisco.com").map(str::to_owned));
        }
    }

    fn add_name(&mut self, name: Option<String>) {
        if let Some(name) = name
            && self.names.len() < MOST_NAMES
            && !self.names.contains(&name)
        {
            self.names.push(name);
        }
    }

    fn publish(&mut self, media: &[Media], endpoints: &Endpoints, publisher: &mut Publisher) {
        let part = *self.part.get_or_insert_with(|| publisher.new_part());
        for name in &self.names {
            let evidence = self
                .machine
                .map_or(Evidence::Server, |machine| endpoints.evidence(name, machine));
            publisher.set(name, part, evidence, media.to_vec());
        }
        self.told.clone_from(&self.names);
    }

    fn unpublish(&mut self, publisher: &mut Publisher) {
        let Some(part) = self.part else { return };
        for name in self.told.drain(..) {
            publisher.set(&name, part, Evidence::Server, Vec::new());
        }
    }
}
