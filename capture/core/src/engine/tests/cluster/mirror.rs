//! What the kernel filter does with a member's mirror: it counts the packets of each watched phone and passes those of
//! monitored ones. Of a phone that is watched no more it forgets the counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use silentmon_proto::time::Instant;

use crate::engine::Engine;

#[derive(Debug, Default)]
pub struct Mirror {
    phones: BTreeMap<IpAddr, Phone>,
}

#[derive(Debug, Default)]
struct Phone {
    passes: bool,
    from: u64,
    to: u64,
}

impl Mirror {
    /// Watches the phones that the engine wants watched, and no others.
    pub fn change(&mut self, engine: &Engine) {
        let monitored = engine.monitored().ips().expect("no signalling is looked for");
        let counted = engine.watched().ips().expect("no signalling is looked for");
        let mut former = std::mem::take(&mut self.phones);
        for ip in counted.into_iter().chain(monitored.iter().copied()) {
            let phone = former
                .remove(&ip)
                .or_else(|| self.phones.remove(&ip))
                .unwrap_or_default();
            let passes = monitored.contains(&ip);
            self.phones.insert(ip, Phone { passes, ..phone });
        }
    }

    /// Counts packets of these phones, too.
    pub fn count(&mut self, phones: BTreeSet<IpAddr>) {
        for ip in phones {
            self.phones.entry(ip).or_default();
        }
    }

    /// Counts a packet. Answers whether it passes.
    pub fn shows(&mut self, source: SocketAddr, destination: SocketAddr) -> bool {
        let mut passes = false;
        if let Some(phone) = self.phones.get_mut(&source.ip()) {
            phone.from += 1;
            passes |= phone.passes;
        }
        if let Some(phone) = self.phones.get_mut(&destination.ip()) {
            phone.to += 1;
            passes |= phone.passes;
        }
        passes
    }

    /// Tells the engine what was counted of these.
    pub fn tell(&self, engine: &mut Engine, which: impl Fn(&IpAddr) -> bool, now: Instant) {
        for (&ip, phone) in self.phones.iter().filter(|(ip, _)| which(ip)) {
            engine.handle_address_count(ip, phone.from, phone.to, now);
        }
    }
}
