//! Who sits where: agents, their devices, and guests who work at another subscriber's phone (requirements C10).

use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};
use silentmon_proto::ids::{AgentId, Extension};

/// Most devices and associations kept.
const MAX_SEATS: usize = 400_000;

/// The devices of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seat {
    pub extension: Option<Extension>,
    pub device: Option<Extension>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats {
    occupants: HashMap<Extension, Vec<AgentId>>,
    of: HashMap<AgentId, Seat>,
    host_of: HashMap<Extension, Extension>,
    guest_of: HashMap<Extension, Extension>,
    /// Who was never told to sit where he is, but named together with his devices.
    inferred: HashSet<AgentId>,
    /// Where those sat whose seats others took.
    displaced: HashMap<AgentId, Seat>,
}

/// What came of an agent's sitting down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Moved {
    /// The seat he left.
    pub left: Option<Seat>,
    /// Who sat there.
    pub displaced: Vec<AgentId>,
}

impl Seat {
    /// His devices, the phone first.
    pub fn devices(&self) -> impl Iterator<Item = &Extension> {
        let extension = self
            .extension
            .as_ref()
            .filter(|extension| Some(*extension) != self.device.as_ref());
        self.device.iter().chain(extension)
    }

    /// The seat after an event, where it was only inferred: what was inferred and is not contradicted stays.
    fn confirmed(&self, extension: Option<&Extension>, device: Option<&Extension>) -> Self {
        let named = |known: &&Extension| Some(*known) != extension && Some(*known) != device;
        let inferred = self.devices().find(named);
        Self {
            extension: extension
                .or(self.extension.as_ref().filter(|_| device.is_none()))
                .cloned(),
            device: device.or(inferred).cloned(),
        }
    }

    /// The seat after an event. At another extension he has another phone, unless that is told too.
    fn moved(&self, extension: Option<&Extension>, device: Option<&Extension>) -> Self {
        let stays = extension.is_none() || extension == self.extension.as_ref();
        let kept = if stays { self.device.clone() } else { None };
        Self {
            extension: extension.or(self.extension.as_ref()).cloned(),
            device: device.cloned().or(kept),
        }
    }
}

impl Seats {
    /// Where an agent sits.
    pub fn of(&self, agent: &AgentId) -> Option<&Seat> {
        self.of.get(agent)
    }

    /// Who may be meant where only the device is named: those who sit there, or the guest who works there.
    pub fn candidates(&self, device: &Extension) -> &[AgentId] {
        let at = |device: &Extension| self.occupants.get(device).map_or(&[][..], Vec::as_slice);
        let here = at(device);
        if let Some(guest) = self.guest_of.get(device) {
            let guests = at(guest);
            return if guests.is_empty() { here } else { guests };
        }
        match self.host_of.get(device) {
            Some(host) if here.is_empty() => at(host),
            _ => here,
        }
    }

    /// The one who is meant where only the device is named, if that is certain.
    pub fn occupant(&self, device: &Extension) -> Option<&AgentId> {
        match self.candidates(device) {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The phones whose media are this agent's: a guest's leave the host's.
    pub fn phones(&self, agent: &AgentId) -> Vec<Extension> {
        let devices = self.of.get(agent).into_iter().flat_map(Seat::devices);
        let mut phones: Vec<Extension> = devices
            .map(|device| self.host_of.get(device).unwrap_or(device).clone())
            .collect();
        phones.dedup();
        phones
    }

    /// Guests, and the hosts at whose phones they work.
    pub fn associations(&self) -> impl Iterator<Item = (&Extension, &Extension)> {
        self.host_of.iter()
    }

    /// The device that stands for another in events: guest and host mean one phone while the association lasts.
    pub fn twin(&self, device: &Extension) -> Option<&Extension> {
        self.host_of.get(device).or_else(|| self.guest_of.get(device))
    }

    /// An agent was told to sit somewhere.
    ///
    /// Whoever sat at just that phone without having signed out has left it: his sign-out was lost. Should he be named
    /// there again, both sit there, and what names neither is nobody's.
    pub fn sit(&mut self, agent: &AgentId, extension: Option<&Extension>, device: Option<&Extension>) -> Moved {
        let inferred = self.inferred.remove(agent);
        let old = self.of.get(agent).cloned().unwrap_or_default();
        let seat = if inferred {
            old.confirmed(extension, device)
        } else {
            old.moved(extension, device)
        };
        if seat == old || self.of.len() >= MAX_SEATS {
            return Moved::default();
        }
        let returns = self.displaced.get(agent) == Some(&seat);
        self.vacate(agent);
        let displaced = if returns { Vec::new() } else { self.displace(&seat) };
        self.take(agent, seat);
        let left = (old != Seat::default() && !inferred).then_some(old);
        Moved { left, displaced }
    }

    /// An event named an agent together with a device. Where nobody is known to sit, it is he, unless he was told to sit
    /// elsewhere. Answers whether that is new.
    pub fn infer(&mut self, agent: &AgentId, device: &Extension) -> bool {
        let known = self.of.get(agent);
        let told = known.is_some() && !self.inferred.contains(agent);
        if told || !self.candidates(device).is_empty() || self.of.len() >= MAX_SEATS {
            return false;
        }
        let seat = match known.cloned() {
            None => Seat {
                extension: None,
                device: Some(device.clone()),
            },
            Some(Seat {
                extension: None,
                device: phone,
            }) => Seat {
                extension: Some(device.clone()),
                device: phone,
            },
            Some(_) => return false,
        };
        self.vacate(agent);
        self.take(agent, seat);
        self.inferred.insert(agent.clone());
        true
    }

    fn displace(&mut self, seat: &Seat) -> Vec<AgentId> {
        let at = |device| self.occupants.get(device).into_iter().flatten();
        let same = |other: &&AgentId| self.of.get(*other) == Some(seat);
        let others: BTreeSet<AgentId> = seat.devices().flat_map(at).filter(same).cloned().collect();
        for other in &others {
            self.vacate(other);
            self.displaced.insert(other.clone(), seat.clone());
        }
        others.into_iter().collect()
    }

    fn take(&mut self, agent: &AgentId, seat: Seat) {
        for device in seat.devices() {
            self.occupants.entry(device.clone()).or_default().push(agent.clone());
        }
        self.of.insert(agent.clone(), seat);
    }

    /// An agent signed out, or sits elsewhere. Answers the seat he left.
    pub fn vacate(&mut self, agent: &AgentId) -> Option<Seat> {
        self.inferred.remove(agent);
        self.displaced.remove(agent);
        let seat = self.of.remove(agent)?;
        for device in seat.devices() {
            if let Some(occupants) = self.occupants.get_mut(device) {
                occupants.retain(|occupant| occupant != agent);
                if occupants.is_empty() {
                    self.occupants.remove(device);
                }
            }
        }
        Some(seat)
    }

    /// A guest works at a host's phone: whoever was signed in there is no longer.
    pub fn associate(&mut self, guest: &Extension, host: &Extension) {
        if self.host_of.get(guest) == Some(host) || self.host_of.len() >= MAX_SEATS {
            return;
        }
        self.dissociate(guest);
        if let Some(former) = self.guest_of.get(host).cloned() {
            self.dissociate(&former);
        }
        let guests = self.occupants.get(guest).cloned().unwrap_or_default();
        let leaving = self.occupants.get(host).cloned().unwrap_or_default();
        for agent in leaving
            .iter()
            .filter(|agent| !guests.contains(agent) && agent.as_str() != guest.as_str())
        {
            self.vacate(agent);
        }
        self.host_of.insert(guest.clone(), host.clone());
        self.guest_of.insert(host.clone(), guest.clone());
    }

    /// The association ended. Answers the host.
    pub fn dissociate(&mut self, guest: &Extension) -> Option<Extension> {
        let host = self.host_of.remove(guest)?;
        self.guest_of.remove(&host);
        Some(host)
    }
}
