//! Which machines are phones and which are servers, learnt from what they say.
//!
//! A PBX that stands between two phones speaks to each in the other's name, and gives its own media address. What it
//! says counts only as long as the phone itself isn't heard.

use std::net::IpAddr;

use foldhash::HashMap;
use silentmon_proto::sip::{Message, NameAddr, StartLine};

use super::Hop;
use crate::resolver::publish::Evidence;

/// Most machines and registrations that are remembered; beyond, nothing new is learnt.
const MOST: usize = 65_536;
/// The longest name of a device.
const LONGEST_NAME: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    machines: HashMap<IpAddr, Machine>,
    registered: HashMap<String, IpAddr>,
}

#[derive(Debug)]
enum Machine {
    /// It has spoken for this device only.
    SpeaksFor(String),
    Server,
}

impl Endpoints {
    /// Learns from a message who its sender is. Answers whether he turned out to be a server just now, so that what he
    /// said before counts less.
    pub(super) fn learn(&mut self, message: &Message<'_>, hop: Hop) -> bool {
        let was_server = self.speaks_for_many(hop.source);
        self.learn_from(message, hop);
        !was_server && self.speaks_for_many(hop.source)
    }

    fn speaks_for_many(&self, machine: IpAddr) -> bool {
        matches!(self.machines.get(&machine), Some(Machine::Server))
    }

    fn learn_from(&mut self, message: &Message<'_>, hop: Hop) {
        let is_register = message.cseq().method == "REGISTER";
        match (&message.start, is_register) {
            (StartLine::Response { status: 200..=299 }, true) => {
                self.is_server(hop.source);
                self.learn_registration(message, hop.destination);
            }
            (StartLine::Response { status: 401 | 407 }, true) => self.is_server(hop.source),
            (StartLine::Response { .. } | StartLine::Request { .. }, true) => {}
            (StartLine::Request { .. }, false) => {
                if forwarded(message) {
                    self.is_server(hop.source);
                }
                self.speaks_for(hop.source, message.from());
            }
            (StartLine::Response { .. }, false) => self.speaks_for(hop.source, message.to()),
        }
    }

    /// How well founded what this machine says about a device's media is.
    pub(super) fn evidence(&self, device: &str, machine: IpAddr) -> Evidence {
        if self.registered.get(device) == Some(&machine) {
            return Evidence::Registered;
        }
        match self.machines.get(&machine) {
            Some(Machine::Server) => Evidence::Server,
            Some(Machine::SpeaksFor(_)) | None => Evidence::Phone,
        }
    }

    /// Only the last hop of a registration says where the phone is. Without a Contact, it is registered no more.
    fn learn_registration(&mut self, message: &Message<'_>, phone: IpAddr) {
        if forwarded(message) {
            return;
        }
        let contact = message.values("contact").next().map(NameAddr::parse);
        let names = [Some(message.to()), contact].into_iter().flatten();
        for name in names.filter_map(|name| device_name(&name)) {
            if contact.is_none() {
                self.registered.remove(&name);
            } else if self.registered.len() < MOST || self.registered.contains_key(&name) {
                self.registered.insert(name, phone);
            }
        }
    }

    fn speaks_for(&mut self, machine: IpAddr, party: NameAddr<'_>) {
        let Some(device) = device_name(&party) else {
            return;
        };
        match self.machines.get_mut(&machine) {
            Some(known @ Machine::SpeaksFor(_)) => {
                if !matches!(known, Machine::SpeaksFor(other) if *other == device) {
                    *known = Machine::Server;
                }
            }
            Some(Machine::Server) => {}
            None => {
                if self.machines.len() < MOST {
                    self.machines.insert(machine, Machine::SpeaksFor(device));
                }
            }
        }
    }

    fn is_server(&mut self, machine: IpAddr) {
        if self.machines.len() < MOST || self.machines.contains_key(&machine) {
            self.machines.insert(machine, Machine::Server);
        }
    }
}

/// Whether a proxy passed the message on: each adds a Via (RFC 3261 section 16.6).
fn forwarded(message: &Message<'_>) -> bool {
    message.values("via").nth(1).is_some()
}

/// The name of a device, where the address has one that may be one.
pub(super) fn device_name(address: &NameAddr<'_>) -> Option<String> {
    let device = address.uri.device()?;
    let somebody =
        !["anonymous", "unavailable", "unknown", "restricted"].contains(&device.to_ascii_lowercase().as_str());
    (somebody && device.len() <= LONGEST_NAME).then_some(device)
}
