//! SCCP phones as a listener sees them: name and lines of each, and the channels it was told to open.
//!
//! A call of a phone has a channel it receives on and one it sends on. Recorders are served by channels it only sends
//! on, for calls of no line: these aren't its media, but a copy of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use silentmon_proto::ids::CallId;
use silentmon_proto::sccp::{CallReference, CallState, Channel, ChannelAck, ChannelId, Message, encoding_name};
use silentmon_proto::time::Instant;

use super::publish::{Evidence, Media, Part, Publisher};

/// Phones, lines and calls that are remembered; a new phone displaces the one silent longest.
const MOST_PHONES: usize = 16_384;
const MOST_LINES: usize = 128;
const MOST_CALLS: usize = 32;
/// Keep-alives come every 30 s: a phone this silent is gone.
const SILENT: Duration = Duration::from_secs(15 * 60);
/// The longest name or number.
const LONGEST_NAME: usize = 64;

/// The phones that are followed, by their end of the connection.
#[derive(Debug, Default)]
pub(super) struct Phones {
    phones: BTreeMap<SocketAddr, Phone>,
}

#[derive(Debug)]
struct Phone {
    device: Option<String>,
    lines: BTreeMap<u32, String>,
    calls: BTreeMap<CallReference, Call>,
    last: Instant,
}

/// A call's channels.
#[derive(Debug, Default)]
struct Call {
    /// The number of the line it is on.
    number: Option<String>,
    /// Whether the phone shows it: a recorder's isn't shown.
    shown: bool,
    receives_at: Option<SocketAddr>,
    sends_from: Option<SocketAddr>,
    sends_to: Option<SocketAddr>,
    payload: Option<u32>,
    encrypted: bool,
    /// Under which number, and for which names, its media are told.
    part: Option<Part>,
    told: Vec<String>,
}

impl Phones {
    /// Takes up a message from or to a phone.
    pub(super) fn handle_message(
        &mut self,
        message: &Message,
        address: SocketAddr,
        now: Instant,
        publisher: &mut Publisher,
    ) {
        match message {
            Message::Register { device } => return self.register(device, address, now, publisher),
            Message::Unregister => return self.handle_closed(address, publisher),
            _ => {}
        }
        self.make_room(address, publisher);
        let phone = self.phones.entry(address).or_insert_with(|| Phone::new(now));
        phone.last = now;
        if let Some(call) = phone.handle_message(message, publisher) {
            phone.publish(call, publisher);
        }
    }

    /// The connection of a phone is over.
    pub(super) fn handle_closed(&mut self, address: SocketAddr, publisher: &mut Publisher) {
        if let Some(mut phone) = self.phones.remove(&address) {
            phone.unpublish(publisher);
        }
    }

    /// Forgets phones that were silent too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, publisher: &mut Publisher) {
        let silent = |(address, phone): (&SocketAddr, &Phone)| (now - phone.last > SILENT).then_some(*address);
        for address in self.phones.iter().filter_map(silent).collect::<Vec<_>>() {
            self.handle_closed(address, publisher);
        }
    }

    /// A phone that signs on anew has no calls; what is known of an older connection of it is void.
    fn register(&mut self, device: &str, address: SocketAddr, now: Instant, publisher: &mut Publisher) {
        let of_device = |(other, phone): (&SocketAddr, &Phone)| {
            let same = *other == address || phone.device.as_deref() == Some(device);
            same.then_some(*other)
        };
        for other in self.phones.iter().filter_map(of_device).collect::<Vec<_>>() {
            self.handle_closed(other, publisher);
        }
        self.make_room(address, publisher);
        let mut phone = Phone::new(now);
        phone.device = is_name(device).then(|| device.to_owned());
        self.phones.insert(address, phone);
    }

    fn make_room(&mut self, address: SocketAddr, publisher: &mut Publisher) {
        if self.phones.len() < MOST_PHONES || self.phones.contains_key(&address) {
            return;
        }
        let oldest = self.phones.iter().min_by_key(|(_, phone)| phone.last);
        if let Some(oldest) = oldest.map(|(address, _)| *address) {
            self.handle_closed(oldest, publisher);
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME
}

impl Phone {
    const fn new(now: Instant) -> Self {
        Self {
            device: None,
            lines: BTreeMap::new(),
            calls: BTreeMap::new(),
            last: now,
        }
    }

    /// Takes up a message and names the call whose media it may have changed.
    fn handle_message(&mut self, message: &Message, publisher: &mut Publisher) -> Option<CallReference> {
        match message {
            Message::LineStat { line, number } => {
                if is_name(number) && (self.lines.len() < MOST_LINES || self.lines.contains_key(line)) {
                    self.lines.insert(*line, number.clone());
                }
                None
            }
            Message::CallInfo(info) => {
                let own = info.own_number().filter(|number| is_name(number));
                let number = self.lines.get(&info.line).cloned().or(own.map(str::to_owned));
                let call = self.call(info.call)?;
                call.shown = true;
                call.number = number.or(call.number.take());
                Some(info.call)
            }
            Message::CallState { state, line, call } => self.handle_state(*state, *line, *call, publisher),
            Message::OpenReceiveChannel(channel) => {
                self.describe(channel)?;
                None
            }
            Message::OpenReceiveChannelAck(ChannelAck { id, address }) => {
                self.channel(*id)?.receives_at = *address;
                Some(reference(*id))
            }
            Message::StartMediaTransmission { channel, remote } => {
                self.describe(channel)?.sends_to = Some(*remote);
                Some(reference(channel.id))
            }
            Message::StartMediaTransmissionAck(ChannelAck { id, address }) => {
                self.channel(*id)?.sends_from = *address;
                Some(reference(*id))
            }
            Message::CloseReceiveChannel(id) => {
                self.channel(*id)?.receives_at = None;
                Some(reference(*id))
            }
            Message::StopMediaTransmission(id) => {
                let call = self.channel(*id)?;
                (call.sends_from, call.sends_to) = (None, None);
                Some(reference(*id))
            }
            Message::Register { .. } | Message::Unregister | Message::Other(_) => None,
        }
    }

    fn handle_state(
        &mut self,
        state: CallState,
        line: u32,
        reference: CallReference,
        publisher: &mut Publisher,
    ) -> Option<CallReference> {
        if state == CallState::OnHook {
            if let Some(mut call) = self.calls.remove(&reference) {
                call.unpublish(publisher);
            }
            return None;
        }
        let number = self.lines.get(&line).cloned();
        let call = self.call(reference)?;
        call.shown = true;
        call.number = number.or(call.number.take());
        Some(reference)
    }

    fn describe(&mut self, channel: &Channel) -> Option<&mut Call> {
        let call = self.channel(channel.id)?;
        call.payload = Some(channel.payload);
        call.encrypted = channel.encrypted;
        Some(call)
    }

    fn channel(&mut self, id: ChannelId) -> Option<&mut Call> {
        self.call(reference(id))
    }

    fn call(&mut self, reference: CallReference) -> Option<&mut Call> {
        if self.calls.len() >= MOST_CALLS && !self.calls.contains_key(&reference) {
            let idle = |(reference, call): (&CallReference, &Call)| call.told.is_empty().then_some(*reference);
            let idle = self.calls.iter().find_map(idle)?;
            self.calls.remove(&idle);
        }
        Some(self.calls.entry(reference).or_default())
    }

    fn publish(&mut self, reference: CallReference, publisher: &mut Publisher) {
        let Some(call) = self.calls.get_mut(&reference) else {
            return;
        };
        let names: Vec<_> = self.device.iter().chain(&call.number).cloned().collect();
        let media = call.media(reference);
        let part = *call.part.get_or_insert_with(|| publisher.new_part());
        for name in &names {
            publisher.set(name, part, Evidence::Registered, media.clone());
        }
        for gone in call.told.iter().filter(|name| !names.contains(name)) {
            publisher.set(gone, part, Evidence::Registered, Vec::new());
        }
        call.told = if media.is_empty() { Vec::new() } else { names };
    }

    fn unpublish(&mut self, publisher: &mut Publisher) {
        for call in self.calls.values_mut() {
            call.unpublish(publisher);
        }
    }
}

/// Messages of phones of old name no call: the channel's own number stands for it.
const fn reference(id: ChannelId) -> CallReference {
    if id.call == 0 { id.party } else { id.call }
}

impl Call {
    /// Phones that don't say where they send from send from where they receive.
    fn media(&self, reference: CallReference) -> Vec<Media> {
        if !self.shown && self.receives_at.is_none() {
            return Vec::new();
        }
        let sends_from = self.sends_from.or(self.receives_at).filter(|_| self.sends_to.is_some());
        let medium = |address, sends, receives| Media {
            call: CallId::new(reference.to_string()),
            address,
            remote: self.sends_to,
            codec: self.payload.and_then(encoding_name).map(str::to_owned),
            encrypted: Some(self.encrypted),
            sends,
            receives,
            codecs: Vec::new(),
        };
        match (self.receives_at, sends_from) {
            (Some(here), there) if there.is_none_or(|there| there == here) => {
                vec![medium(here, there.is_some(), true)]
            }
            (here, there) => {
                let receiving = here.map(|here| medium(here, false, true));
                let sending = there.map(|there| medium(there, true, false));
                receiving.into_iter().chain(sending).collect()
            }
        }
    }

    fn unpublish(&mut self, publisher: &mut Publisher) {
        let Some(part) = self.part else { return };
        for name in self.told.drain(..) {
            publisher.set(&name, part, Evidence::Registered, Vec::new());
        }
    }
}
