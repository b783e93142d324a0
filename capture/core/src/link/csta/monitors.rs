//! The devices to monitor: which are, which were refused and why, and what is still to be asked about each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use silentmon_proto::cti::csta::{MonitorCrossRefId, normalize};
use silentmon_proto::ids::{CallId, Extension};
use silentmon_proto::time::Instant;

use crate::link::backoff::Backoff;

/// Most requests of setting up that wait for an answer at a time.
pub(super) const WINDOW: usize = 10;

/// A refused monitor is asked for again after this many pauses of a [`Backoff`]: 10 s, growing to 5 minutes. Switches
/// don't learn new devices within seconds.
const RETRY_FACTOR: u32 = 10;

/// Something to be asked when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// By the device's place in the settings.
    Monitor(usize),
    SnapshotDevice(Extension),
    SnapshotCall(Extension, CallId),
    AgentState(Extension),
}

#[derive(Debug)]
struct Device {
    name: Extension,
    /// As events name it.
    number: Extension,
    cross_ref: Option<MonitorCrossRefId>,
    /// A monitor of a session that was taken up again but may have forgotten it.
    stale: Option<MonitorCrossRefId>,
    refused: Option<String>,
    backoff: Backoff,
}

#[derive(Debug)]
pub(super) struct Monitors {
    devices: Vec<Device>,
    by_cross_ref: BTreeMap<MonitorCrossRefId, usize>,
    tasks: VecDeque<Task>,
    queued: BTreeSet<Extension>,
    retries: BTreeSet<(Instant, usize)>,
}

impl Monitors {
    pub(super) fn new(devices: &[Extension], seed: u64) -> Self {
        let devices = devices.iter().zip(seed..).map(|(name, seed)| Device {
            name: name.clone(),
            number: number_of(name),
            cross_ref: None,
            stale: None,
            refused: None,
            backoff: Backoff::new(seed),
        });
        Self {
            devices: devices.collect(),
            by_cross_ref: BTreeMap::new(),
            tasks: VecDeque::new(),
            queued: BTreeSet::new(),
            retries: BTreeSet::new(),
        }
    }

    /// As the switch is asked for the device.
    pub(super) fn name(&self, place: usize) -> Option<&Extension> {
        self.devices.get(place).map(|device| &device.name)
    }

    fn number(&self, place: usize) -> Option<&Extension> {
        self.devices.get(place).map(|device| &device.number)
    }

    /// As the switch is asked for a device that events name so.
    pub(super) fn name_of(&self, number: &Extension) -> Extension {
        let known = self.devices.iter().find(|device| device.number == *number);
        known.map_or_else(|| number.clone(), |device| device.name.clone())
    }

    /// The device whose events come under this id.
    pub(super) fn device(&self, cross_ref: &MonitorCrossRefId) -> Option<&Extension> {
        self.number(*self.by_cross_ref.get(cross_ref)?)
    }

    /// The devices that the switch refuses to monitor, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&Extension, &str)> {
        let refused = |device: &Device| device.refused.is_some();
        let devices = self.devices.iter().filter(move |device| refused(device));
        devices.map(|device| (&device.name, device.refused.as_deref().unwrap_or_default()))
    }

    pub(super) fn monitored(&self) -> usize {
        self.by_cross_ref.len()
    }

    /// A session began: what was asked of an earlier one means nothing any more, and all monitors are to be started.
    pub(super) fn begin(&mut self) {
        self.forget_questions();
        self.by_cross_ref.clear();
        for place in 0..self.devices.len() {
            self.devices[place].cross_ref = None;
            self.devices[place].stale = None;
            self.tasks.push_back(Task::Monitor(place));
        }
    }

    /// A session goes on whose monitors may have been lost: they are stopped, one by one, before they are started anew.
    pub(super) fn begin_again(&mut self) {
        let stale: Vec<_> = self.devices.iter_mut().map(|device| device.cross_ref.take()).collect();
        self.begin();
        for (device, stale) in self.devices.iter_mut().zip(stale) {
            device.stale = stale;
        }
    }

    /// A session goes on together with its monitors: only what may have been missed is asked for.
    pub(super) fn go_on(&mut self, agent_states: bool) {
        self.forget_questions();
        for place in 0..self.devices.len() {
            if self.devices[place].cross_ref.is_none() {
                self.tasks.push_back(Task::Monitor(place));
            } else {
                self.ask_about(place, agent_states);
            }
        }
    }

    /// Asks for the calls of all monitored devices.
    pub(super) fn snapshot_all(&mut self) {
        for place in 0..self.devices.len() {
            if self.devices[place].cross_ref.is_some() {
                self.snapshot(self.devices[place].name.clone());
            }
        }
    }

    /// Asks for a device's calls, unless that is going to be done anyway.
    pub(super) fn snapshot(&mut self, device: Extension) {
        if self.queued.insert(device.clone()) {
            self.tasks.push_back(Task::SnapshotDevice(device));
        }
    }

    pub(super) fn snapshot_call(&mut self, device: Extension, call: CallId) {
        self.tasks.push_back(Task::SnapshotCall(device, call));
    }

    /// The connection is gone; nothing is asked until the next one.
    pub(super) fn forget_questions(&mut self) {
        self.tasks.clear();
        self.queued.clear();
        self.retries.clear();
    }

    pub(super) fn has_task(&self) -> bool {
        !self.tasks.is_empty()
    }

    pub(super) fn next_task(&mut self) -> Option<Task> {
        let task = self.tasks.pop_front()?;
        if let Task::SnapshotDevice(device) = &task {
            self.queued.remove(device);
        }
        Some(task)
    }

    pub(super) fn take_stale(&mut self, place: usize) -> Option<MonitorCrossRefId> {
        self.devices.get_mut(place)?.stale.take()
    }

    pub(super) fn started(&mut self, place: usize, cross_ref: MonitorCrossRefId, agent_states: bool) {
        let Some(device) = self.devices.get_mut(place) else {
            return;
        };
        device.cross_ref = Some(cross_ref.clone());
        device.refused = None;
        device.backoff.succeeded();
        self.by_cross_ref.insert(cross_ref, place);
        self.ask_about(place, agent_states);
    }

    pub(super) fn refuse(&mut self, place: usize, why: String, now: Instant) {
        let Some(device) = self.devices.get_mut(place) else {
            return;
        };
        device.refused = Some(why);
        let pause: Duration = device.backoff.failed() * RETRY_FACTOR;
        self.retries.insert((now + pause, place));
    }

    /// The switch ended a monitor.
    pub(super) fn stopped(&mut self, cross_ref: &MonitorCrossRefId, now: Instant) {
        if let Some(place) = self.by_cross_ref.remove(cross_ref) {
            self.devices[place].cross_ref = None;
            self.refuse(place, "the switch ended the monitor".into(), now);
        }
    }

    /// Everything that is monitored, as the connection is about to be closed.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = MonitorCrossRefId> + use<> {
        self.forget_questions();
        for device in &mut self.devices {
            device.cross_ref = None;
        }
        std::mem::take(&mut self.by_cross_ref).into_keys()
    }

    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    pub(super) fn retry(&mut self, now: Instant) {
        while let Some(&(at, place)) = self.retries.first()
            && at <= now
        {
            self.retries.pop_first();
            self.tasks.push_back(Task::Monitor(place));
        }
    }

    fn ask_about(&mut self, place: usize, agent_states: bool) {
        let name = self.devices[place].name.clone();
        self.snapshot(name.clone());
        if agent_states {
            self.tasks.push_back(Task::AgentState(name));
        }
    }
}

/// A device's bare number, under which events tell of it.
pub(super) fn number_of(name: &Extension) -> Extension {
    normalize(name.as_str()).map_or_else(|| name.clone(), Extension::new)
}
