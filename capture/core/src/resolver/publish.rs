//! From what each call says of a device's media to what is told of them: the best-founded of it, and only changes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use foldhash::HashMap;
use silentmon_proto::codec::Codec;
use silentmon_proto::cti::{CtiEvent, MediaDirection, MediaStarted, MediaStopped};
use silentmon_proto::ids::{CallId, Extension, PayloadType};

/// Most devices told of at a time, and most calls of each: a listener's memory is bounded.
const MOST_DEVICES: usize = 65_536;
const MOST_CALLS: usize = 32;

/// One place where a device has media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// The signalling's call: not the id any CTI source gives it.
    pub call: CallId,
    pub address: SocketAddr,
    pub remote: Option<SocketAddr>,
    /// Encoding name (RFC 3551).
    pub codec: Option<String>,
    pub encrypted: Option<bool>,
    pub sends: bool,
    pub receives: bool,
    /// Payload types of what it receives.
    pub codecs: Vec<(PayloadType, Codec)>,
}

/// How well founded it is that media are this device's own, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// Told by a server, which speaks for many.
    Server,
    /// Told by an end that speaks for one device only.
    Phone,
    /// Told by the end the device is registered at.
    Registered,
}

/// One call's, or channel's, part in a device's media.
pub(super) type Part = u64;

#[derive(Debug, Default)]
struct Device {
    parts: BTreeMap<Part, (Evidence, Vec<Media>)>,
    told: BTreeMap<SocketAddr, Media>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    devices: BTreeMap<String, Device>,
    codecs: HashMap<SocketAddr, Vec<(PayloadType, Codec)>>,
    events: VecDeque<CtiEvent>,
    last_part: Part,
}

impl Publisher {
    /// A number for a new call or channel.
    pub(super) fn new_part(&mut self) -> Part {
        self.last_part += 1;
        self.last_part
    }

    /// What a part says of a device now; nothing where it has no media any more.
    pub(super) fn set(&mut self, device: &str, part: Part, evidence: Evidence, media: Vec<Media>) {
        if media.is_empty() {
            return self.remove(device, part);
        }
        if self.devices.len() >= MOST_DEVICES && !self.devices.contains_key(device) {
            return;
        }
        let entry = self.devices.entry(device.to_owned()).or_default();
        entry.parts.insert(part, (evidence, media));
        if entry.parts.len() > MOST_CALLS {
            entry.parts.pop_first();
        }
        self.tell(device);
    }

    fn remove(&mut self, device: &str, part: Part) {
        let Some(entry) = self.devices.get_mut(device) else {
            return;
        };
        if entry.parts.remove(&part).is_some() {
            self.tell(device);
        }
    }

    pub(super) fn drain_events(&mut self) -> impl Iterator<Item = CtiEvent> {
        self.events.drain(..)
    }

    pub(super) fn codec(&self, destination: SocketAddr, payload_type: PayloadType) -> Option<Codec> {
        let known = self.codecs.get(&destination)?;
        let (_, codec) = known.iter().find(|(known, _)| *known == payload_type)?;
        Some(*codec)
    }

    fn tell(&mut self, device: &str) {
        let Some(entry) = self.devices.get_mut(device) else {
            return;
        };
        let wanted = best(&entry.parts);
        let name = Extension::from(device);
        for (address, media) in &wanted {
            match entry.told.get(address) {
                Some(told) if told == media => continue,
                Some(told) => self.events.extend(lost_direction(&name, told, media)),
                None => {}
            }
            self.codecs.insert(*address, media.codecs.clone());
            self.events.push_back(started(&name, media));
        }
        for (address, told) in entry.told.iter().filter(|(address, _)| !wanted.contains_key(address)) {
            self.codecs.remove(address);
            self.events.push_back(stopped(&name, told, None));
        }
        entry.told = wanted;
        if entry.parts.is_empty() {
            self.devices.remove(device);
        }
    }
}

/// The best-founded media, by address. The last call has the last word about one address.
fn best(parts: &BTreeMap<Part, (Evidence, Vec<Media>)>) -> BTreeMap<SocketAddr, Media> {
    let best = parts.values().map(|(evidence, _)| *evidence).max();
    let founded = parts.values().filter(|(evidence, _)| Some(*evidence) == best);
    let media = founded.flat_map(|(_, media)| media);
    media.map(|media| (media.address, media.clone())).collect()
}

fn direction(media: &Media) -> Option<MediaDirection> {
    match (media.sends, media.receives) {
        (true, false) => Some(MediaDirection::Send),
        (false, true) => Some(MediaDirection::Receive),
        _ => None,
    }
}

fn started(device: &Extension, media: &Media) -> CtiEvent {
    CtiEvent::from(MediaStarted {
        device: Some(device.clone()),
        call: Some(media.call.clone()),
        remote: media.remote.map(Into::into),
        direction: direction(media),
        codec: media.codec.clone(),
        encrypted: media.encrypted,
        ..MediaStarted::at(media.address.into())
    })
}

fn stopped(device: &Extension, told: &Media, direction: Option<MediaDirection>) -> CtiEvent {
    CtiEvent::from(MediaStopped {
        agent: None,
        device: Some(device.clone()),
        call: Some(told.call.clone()),
        address: Some(told.address.into()),
        direction,
    })
}

/// A direction that media had and have no more.
fn lost_direction(device: &Extension, told: &Media, now: &Media) -> Option<CtiEvent> {
    let lost = match (told.sends && !now.sends, told.receives && !now.receives) {
        (true, _) => MediaDirection::Send,
        (_, true) => MediaDirection::Receive,
        (false, false) => return None,
    };
    Some(stopped(device, told, Some(lost)))
}

#[cfg(test)]
impl Publisher {
    /// What is told now.
    pub(super) fn told(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let places = |(device, entry)| -> Vec<(&str, SocketAddr)> {
            let (device, entry): (&String, &Device) = (device, entry);
            entry.told.keys().map(|address| (device.as_str(), *address)).collect()
        };
        self.devices.iter().flat_map(places)
    }
}
