//! Who released a call: per device and per call (requirements C8, protocol sheet 4).
//!
//! On a call between two known devices, what is local on one side is remote on the other, whatever the source says of
//! the second.

use foldhash::HashMap;
use silentmon_proto::cti::ReleasingParty;
use silentmon_proto::ids::{CallId, Extension};

/// Most devices whose last release is kept.
const MAX_DEVICES: usize = 400_000;
/// Most devices looked at on one call.
const MAX_ON_CALL: usize = 64;

/// The last release of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The device.
    pub device: Extension,
    /// The call it was released from.
    pub call: CallId,
    /// Who released it, seen from the device.
    pub by: ReleasingParty,
}

/// What is known of a call's releases.
#[derive(Debug, Clone, Default)]
pub(super) struct CallReleases {
    /// The devices on it.
    present: Vec<Extension>,
    /// What must hold for a device, because of what its only partner said.
    implied: Vec<(Extension, ReleasingParty)>,
    /// Of a call of two, the device that is gone without a word, and the one that stayed.
    unexplained: Option<(Extension, Extension)>,
    controlling: Option<Extension>,
}

/// The last release of each device.
#[derive(Debug, Clone, Default)]
pub(super) struct Releases {
    last: HashMap<Extension, Release>,
}

impl CallReleases {
    /// A device is on the call.
    pub fn enter(&mut self, device: &Extension) {
        if !self.present.contains(device) && self.present.len() < MAX_ON_CALL {
            self.present.push(device.clone());
        }
    }

    /// The device that ended the call, as far as known.
    pub fn controlling(&self) -> Option<&Extension> {
        self.controlling.as_ref()
    }

    /// The source says who ended the call.
    pub fn control(&mut self, device: Option<&Extension>) {
        self.controlling = device.or(self.controlling.as_ref()).cloned();
    }

    /// Two calls became one.
    pub fn absorb(&mut self, other: &Self) {
        for device in &other.present {
            self.enter(device);
        }
    }

    /// A device's connection ended. Answers what that says of it, and of its partner where that is gone already;
    /// nothing for a device that isn't on the call (any longer).
    fn release(&mut self, device: &Extension, told: ReleasingParty) -> Vec<(Extension, ReleasingParty)> {
        let Some(at) = self.present.iter().position(|present| present == device) else {
            return Vec::new();
        };
        self.present.remove(at);
        let implied = self.implied.iter().find(|(implied, _)| implied == device);
        let by = implied.map_or(told, |(_, by)| *by);
        let mut said = vec![(device.clone(), by)];
        match (self.present.as_slice(), self.unexplained.take()) {
            ([partner], _) => {
                let partner = partner.clone();
                match opposite(by) {
                    Some(of_partner) => self.implied.push((partner.clone(), of_partner)),
                    None => self.unexplained = Some((device.clone(), partner.clone())),
                }
                self.decide(device, by, &partner);
            }
            ([], Some((gone, stayed))) if stayed == *device => {
                said.extend(opposite(by).map(|by| (gone.clone(), by)));
                self.decide(device, by, &gone);
            }
            _ => {}
        }
        said
    }

    fn decide(&mut self, device: &Extension, by: ReleasingParty, partner: &Extension) {
        let controlling = match by {
            ReleasingParty::Local => device,
            ReleasingParty::Remote => partner,
            ReleasingParty::Unknown => return,
        };
        self.controlling.get_or_insert_with(|| controlling.clone());
    }
}

impl Releases {
    /// The last release of a device.
    pub fn last(&self, device: &Extension) -> Option<&Release> {
        self.last.get(device)
    }

    /// A device's connection ended. Answers the releases that are known by that.
    pub fn release(
        &mut self,
        call: &CallId,
        record: &mut CallReleases,
        device: &Extension,
        told: ReleasingParty,
    ) -> Vec<Release> {
        let said = record.release(device, told).into_iter();
        let release = |(device, by)| Release {
            device,
            call: call.clone(),
            by,
        };
        let known: Vec<Release> = said
            .map(release)
            .filter(|release| self.is_newest(release, device))
            .collect();
        for release in &known {
            if self.last.len() < MAX_DEVICES || self.last.contains_key(&release.device) {
                self.last.insert(release.device.clone(), release.clone());
            }
        }
        known
    }

    /// What a partner says afterwards counts only while the device hasn't been released from another call.
    fn is_newest(&self, release: &Release, device: &Extension) -> bool {
        release.device == *device || self.last(&release.device).is_none_or(|last| last.call == release.call)
    }
}

const fn opposite(by: ReleasingParty) -> Option<ReleasingParty> {
    match by {
        ReleasingParty::Local => Some(ReleasingParty::Remote),
        ReleasingParty::Remote => Some(ReleasingParty::Local),
        ReleasingParty::Unknown => None,
    }
}
