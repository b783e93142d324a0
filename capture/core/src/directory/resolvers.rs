//! Where phones are, as told by others than the CTI source: signalling seen in the mirror (SIP, SCCP) and maps (static
//! devices, RisPort answers), protocol sheet 2.4.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use silentmon_proto::cti::{MediaStarted, MediaStopped};
use silentmon_proto::ids::{Extension, MediaAddress, ServerName};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::line::{Directions, Line, MediaEnd, MediaLeg};

/// Most phones kept of which signalling was seen.
const MAX_SIGHTED: usize = 100_000;

/// Whose an address is: one phone's, under all the names its signalling gives it.
type Sockets = HashMap<(MediaOrigin, MediaAddress), Vec<Extension>>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolvers {
    maps: BTreeMap<MediaOrigin, BTreeMap<Extension, MediaAddress>>,
    sighted: HashMap<(MediaOrigin, Extension), Line>,
    sockets: Sockets,
    /// Of devices whose signalling was seen by another member of the cluster only, by which.
    tellers: HashMap<(MediaOrigin, Extension), ServerName>,
}

impl Resolvers {
    /// Takes up a map in place of the former one. Answers the devices that are elsewhere now.
    pub fn replace_map(&mut self, origin: MediaOrigin, map: BTreeMap<Extension, MediaAddress>) -> BTreeSet<Extension> {
        let former = self.maps.insert(origin, map).unwrap_or_default();
        let map = &self.maps[&origin];
        let keys: BTreeSet<&Extension> = former.keys().chain(map.keys()).collect();
        keys.into_iter()
            .filter(|device| former.get(*device) != map.get(*device))
            .cloned()
            .collect()
    }

    /// What a map says of a device.
    pub fn mapped(&self, origin: MediaOrigin, device: &Extension) -> Option<MediaAddress> {
        self.maps.get(&origin)?.get(device).copied()
    }

    /// Media of a device as its signalling shows them. They name the signalling's call, not the CTI source's.
    pub fn sighted(&self, origin: MediaOrigin, device: &Extension) -> impl Iterator<Item = MediaLeg> {
        let line = self.sighted.get(&(origin, device.clone()));
        line.into_iter().flat_map(|line| &line.media).map(|leg| MediaLeg {
            call: None,
            ..leg.clone()
        })
    }

    /// Media that signalling seen here shows.
    pub fn sighted_here(&self) -> impl Iterator<Item = (MediaOrigin, &MediaLeg)> {
        let here = self.sighted.iter().filter(|(key, _)| !self.tellers.contains_key(*key));
        here.flat_map(|((origin, _), line)| line.media.iter().map(|leg| (*origin, leg)))
    }

    /// Of what another member's signalling showed just this goes on. Answers the devices concerned.
    pub fn keep_told(
        &mut self,
        from: &ServerName,
        told: &BTreeSet<(MediaOrigin, Extension, MediaAddress)>,
    ) -> Vec<Extension> {
        let its = self.tellers.iter().filter(|(_, teller)| *teller == from);
        let its: Vec<_> = its.map(|(key, _)| key.clone()).collect();
        for (origin, device) in &its {
            self.edit(*origin, device, |line| {
                line.media
                    .retain(|leg| told.contains(&(*origin, device.clone(), leg.address)));
            });
        }
        its.into_iter().map(|(_, device)| device).collect()
    }

    /// Signalling shows that media start, seen here or by another member of the cluster. Answers the devices concerned: a
    /// socket serves one phone at a time.
    pub fn start(
        &mut self,
        origin: MediaOrigin,
        device: &Extension,
        media: &MediaStarted,
        from: Option<&ServerName>,
        now: Instant,
    ) -> Vec<Extension> {
        let key = (origin, device.clone());
        let new = !self.sighted.contains_key(&key);
        if self.sighted.len() >= MAX_SIGHTED && !self.sighted.contains_key(&key) {
            return Vec::new();
        }
        let mut concerned = vec![device.clone()];
        let socket = (origin, media.address);
        for former in self.sockets.get(&socket).cloned().unwrap_or_default() {
            if former != *device && !self.is_same_phone(origin, &former, media) {
                self.edit(origin, &former, |line| {
                    line.media.retain(|leg| leg.address != media.address);
                });
                concerned.push(former);
            }
        }
        let leg = MediaLeg {
            call: media.call.clone(),
            address: media.address,
            remote: media.remote,
            encrypted: media.encrypted,
            codec: media.codec.clone(),
            origin,
            since: now,
            opened: now,
            told_call: media.call.clone(),
            device: Some(device.clone()),
            named: false,
            directions: Directions::told(media.direction),
            told: now,
        };
        self.edit(origin, device, |line| line.start_media(leg));
        match from {
            // What is seen here counts.
            None => {
                self.tellers.remove(&key);
            }
            Some(from) if new || self.tellers.contains_key(&key) => {
                self.tellers.insert(key, from.clone());
            }
            Some(_) => {}
        }
        concerned
    }

    /// Whether a device at this address is another name of the phone there: it has the same call.
    fn is_same_phone(&self, origin: MediaOrigin, device: &Extension, media: &MediaStarted) -> bool {
        let line = self.sighted.get(&(origin, device.clone()));
        let mut legs = line.into_iter().flat_map(|line| &line.media);
        media.call.is_some() && legs.any(|leg| leg.address == media.address && leg.call == media.call)
    }

    /// Signalling shows that media stop.
    pub fn stop(&mut self, origin: MediaOrigin, device: &Extension, media: &MediaStopped) {
        let end = MediaEnd {
            call: media.call.clone().map(|call| (call.clone(), call)),
            address: media.address,
            directions: Directions::told(media.direction),
        };
        self.edit(origin, device, |line| line.stop_media(&end));
    }

    fn edit(&mut self, origin: MediaOrigin, device: &Extension, change: impl FnOnce(&mut Line)) {
        let key = (origin, device.clone());
        let line = self.sighted.entry(key.clone()).or_default();
        let before: Vec<MediaAddress> = line.media.iter().map(|leg| leg.address).collect();
        change(line);
        for address in before {
            if line.media.iter().all(|leg| leg.address != address) {
                leave(&mut self.sockets, (origin, address), device);
            }
        }
        for leg in line.media.iter().filter(|leg| leg.address.port.is_some()) {
            let names = self.sockets.entry((origin, leg.address)).or_default();
            if !names.contains(device) {
                names.push(device.clone());
            }
        }
        if line.is_empty() {
            self.sighted.remove(&key);
            self.tellers.remove(&key);
        }
    }
}

fn leave(sockets: &mut Sockets, socket: (MediaOrigin, MediaAddress), device: &Extension) {
    if let Some(names) = sockets.get_mut(&socket) {
        names.retain(|name| name != device);
        if names.is_empty() {
            sockets.remove(&socket);
        }
    }
}
