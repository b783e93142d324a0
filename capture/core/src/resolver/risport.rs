//! Media addresses from a Unified CM's registrations: asks RisPort70 where wanted phones are, seldom enough for its rate
//! limit, and remembers the answers for a while.
//!
//! Only which requests to send and what the answers mean; who sends them lives in `capture/io`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use silentmon_proto::cti::risport::{self, CmDevice, MAX_ITEMS, RisPortError, SelectBy};
use silentmon_proto::ids::{Extension, MediaAddress};
use silentmon_proto::time::Instant;

use crate::link::backoff::Backoff;

/// The time in which requests are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Devices that are looked after; the rest of a longer list isn't.
const MOST_DEVICES: usize = 50_000;
/// Directory numbers of one request: a line may be on several phones, and the answer holds 1000.
const MOST_NUMBERS: usize = MAX_ITEMS / 2;

/// How often to ask, and how long to believe.
#[derive(Debug, Clone)]
pub struct RisPortConfig {
    /// Requests in any minute.
    pub per_minute: usize,
    /// The age at which an address is asked for again.
    pub refresh: Duration,
    /// The same for a device that isn't registered.
    pub refresh_unregistered: Duration,
    /// The age beyond which an address that isn't confirmed is believed no longer.
    pub forget: Duration,
    /// Decides the jitter of pauses.
    pub seed: u64,
}

impl Default for RisPortConfig {
    fn default() -> Self {
        Self {
            per_minute: 15,
            refresh: Duration::from_secs(300),
            refresh_unregistered: MINUTE,
            forget: Duration::from_secs(900),
            seed: 0,
        }
    }
}

/// What became known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RisPortEvent {
    /// All wanted devices whose address is known; replaces what was told before.
    Addresses(BTreeMap<Extension, MediaAddress>),
    /// The service doesn't answer as it should; told once until it does again.
    Failed(String),
    /// It answers again.
    Recovered,
}

/// See the module.
#[derive(Debug)]
pub struct RisPort {
    config: RisPortConfig,
    devices: BTreeMap<Extension, Device>,
    /// When each device is to be asked for.
    due: BTreeSet<(Instant, Extension)>,
    /// Devices of the request under way.
    asked: Option<Vec<Extension>>,
    /// When the requests of the last minute went out.
    sent: VecDeque<Instant>,
    not_before: Instant,
    backoff: Backoff,
    has_failed: bool,
    told: BTreeMap<Extension, MediaAddress>,
    events: VecDeque<RisPortEvent>,
}

#[derive(Debug, Clone, Copy)]
struct Device {
    due: Option<Instant>,
    /// Its address, and when that was last confirmed.
    known: Option<(MediaAddress, Instant)>,
}

impl RisPort {
    /// Nothing wanted yet.
    pub fn new(config: RisPortConfig) -> Self {
        Self {
            backoff: Backoff::new(config.seed),
            config,
            devices: BTreeMap::new(),
            due: BTreeSet::new(),
            asked: None,
            sent: VecDeque::new(),
            not_before: Instant::EPOCH,
            has_failed: false,
            told: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// These devices and no others are wanted: device names (`SEP001122334455`) or directory numbers.
    pub fn handle_wanted(&mut self, wanted: &BTreeSet<Extension>, now: Instant) {
        let wanted: BTreeSet<_> = wanted
            .iter()
            .filter(|device| is_askable(device))
            .take(MOST_DEVICES)
            .collect();
        let due = &mut self.due;
        self.devices.retain(|name, device| {
            let stays = wanted.contains(name);
            if let Some(at) = device.due.filter(|_| !stays) {
                due.remove(&(at, name.clone()));
            }
            stays
        });
        for name in wanted {
            if !self.devices.contains_key(name) {
                self.due.insert((now, name.clone()));
                let device = Device {
                    due: Some(now),
                    known: None,
                };
                self.devices.insert(name.clone(), device);
            }
        }
        self.tell(now);
    }

    /// The body of a request that is to be sent now; answered by [`Self::handle_response`] or [`Self::handle_failed`]
    /// before there is another.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<String> {
        if self.asked.is_some() || self.may_send_at(now) > now {
            return None;
        }
        let select_by = kind(&self.due.first().filter(|(at, _)| *at <= now)?.1);
        let most = match select_by {
            SelectBy::Name => MAX_ITEMS,
            SelectBy::DirNumber => MOST_NUMBERS,
        };
        let batch: Vec<_> = self
            .due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .filter(|(_, name)| kind(name) == select_by)
            .take(most)
            .cloned()
            .collect();
        let mut asked = Vec::with_capacity(batch.len());
        for entry in batch {
            self.due.remove(&entry);
            if let Some(device) = self.devices.get_mut(&entry.1) {
                device.due = None;
            }
            asked.push(entry.1);
        }
        let body = risport::select_cm_device(select_by, asked.iter().map(Extension::as_str));
        self.asked = Some(asked);
        self.sent.push_back(now);
        Some(body)
    }

    /// The request was answered.
    pub fn handle_response(&mut self, status: u16, body: &[u8], now: Instant) {
        match risport::parse(body) {
            Ok(devices) => self.answered(&devices, now),
            Err(RisPortError::RateExceeded(words)) => self.failed(&words, Some(MINUTE), now),
            Err(error) if (200..=299).contains(&status) => self.failed(&error.to_string(), None, now),
            Err(RisPortError::Fault(words)) => self.failed(&words, None, now),
            Err(_) => self.failed(&format!("HTTP {status}"), None, now),
        }
    }

    /// The request couldn't be sent, or wasn't answered.
    pub fn handle_failed(&mut self, why: &str, now: Instant) {
        self.failed(why, None, now);
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tell(now);
    }

    /// The next thing to be told.
    pub fn poll_event(&mut self) -> Option<RisPortEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_transmit`] want to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.asked.is_some() {
            return None;
        }
        let (due, _) = self.due.first()?;
        Some(self.may_send_at(*due))
    }

    /// How long ago the address of a device was confirmed.
    pub fn age(&self, device: &Extension, now: Instant) -> Option<Duration> {
        let (_, confirmed) = self.devices.get(device)?.known?;
        Some(now.saturating_since(confirmed))
    }

    /// The first time from `wanted` on at which the rate allows a request.
    fn may_send_at(&self, wanted: Instant) -> Instant {
        let spare = self.config.per_minute.max(1);
        let oldest = self.sent.len().checked_sub(spare).and_then(|at| self.sent.get(at));
        let allowed = oldest.map_or(Instant::EPOCH, |sent| *sent + MINUTE);
        wanted.max(allowed).max(self.not_before)
    }

    fn answered(&mut self, found: &[CmDevice], now: Instant) {
        let newest = newest(found);
        for name in self.asked.take().unwrap_or_default() {
            let address = newest.get(&name.as_str().to_ascii_uppercase()).copied();
            let Some(device) = self.devices.get_mut(&name) else {
                continue;
            };
            let pause = match address {
                Some(address) => {
                    device.known = Some((address, now));
                    self.config.refresh
                }
                None => self.config.refresh_unregistered,
            };
            device.due = Some(now + pause);
            self.due.insert((now + pause, name));
        }
        self.backoff.succeeded();
        if std::mem::take(&mut self.has_failed) {
            self.events.push_back(RisPortEvent::Recovered);
        }
        self.forget_sent(now);
        self.tell(now);
    }

    fn failed(&mut self, why: &str, pause: Option<Duration>, now: Instant) {
        for name in self.asked.take().unwrap_or_default() {
            if let Some(device) = self.devices.get_mut(&name) {
                device.due = Some(now);
                self.due.insert((now, name));
            }
        }
        self.not_before = now + pause.unwrap_or_else(|| self.backoff.failed());
        if !std::mem::replace(&mut self.has_failed, true) {
            self.events.push_back(RisPortEvent::Failed(why.to_owned()));
        }
        self.forget_sent(now);
        self.tell(now);
    }

    fn forget_sent(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|sent| *sent + MINUTE <= now) {
            self.sent.pop_front();
        }
    }

    /// Tells the addresses where they differ from what was told; those too old are forgotten.
    fn tell(&mut self, now: Instant) {
        let forget = self.config.forget;
        let known: BTreeMap<_, _> = self
            .devices
            .iter()
            .filter_map(|(name, device)| {
                let (address, confirmed) = device.known?;
                (now.saturating_since(confirmed) <= forget).then(|| (name.clone(), address))
            })
            .collect();
        if known != self.told {
            self.told.clone_from(&known);
            self.events.push_back(RisPortEvent::Addresses(known));
        }
    }
}

/// Addresses by device name and by directory number, upper case. Several nodes may know a device, and several devices
/// have a line: the newest registration counts.
fn newest(found: &[CmDevice]) -> BTreeMap<String, MediaAddress> {
    let mut newest: BTreeMap<String, (u64, MediaAddress)> = BTreeMap::new();
    for device in found.iter().filter(|device| device.registered) {
        let Some(ip) = device.address else {
            continue;
        };
        let address = MediaAddress { ip, port: None };
        for name in device.dir_numbers.iter().chain([&device.name]) {
            let entry = newest
                .entry(name.to_ascii_uppercase())
                .or_insert((device.time_stamp, address));
            if device.time_stamp > entry.0 {
                *entry = (device.time_stamp, address);
            }
        }
    }
    newest.into_iter().map(|(name, (_, address))| (name, address)).collect()
}

/// Numbers are directory numbers, all else is a device name.
fn kind(device: &Extension) -> SelectBy {
    let digits = device.as_str().trim_start_matches(['+', '\\']);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        SelectBy::DirNumber
    } else {
        SelectBy::Name
    }
}

/// An asterisk would ask for every phone there is.
fn is_askable(device: &Extension) -> bool {
    !device.as_str().is_empty() && !device.as_str().contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_parts(1_000, 0);

    fn wanted(names: &[&str]) -> BTreeSet<Extension> {
        names.iter().map(|name| Extension::from(*name)).collect()
    }

    fn phone(name: &str, number: &str, ip: &str, status: &str, time_stamp: u64) -> String {
        format!(
            "<item><Name>{name}</Name><DirNumber>{number}</DirNumber><Status>{status}</Status>\
             <TimeStamp>{time_stamp}</TimeStamp><IPAddress><item><IP>{ip}</IP></item></IPAddress></item>"
        )
    }

    fn answer(nodes: &[&[String]]) -> String {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|phones| format!("<item><CmDevices>{}</CmDevices></item>", phones.concat()))
            .collect();
        format!(
            "<Envelope><Body><selectCmDeviceResponse><selectCmDeviceReturn><SelectCmDeviceResult><CmNodes>{}</CmNodes>\
             </SelectCmDeviceResult></selectCmDeviceReturn></selectCmDeviceResponse></Body></Envelope>",
            nodes.concat()
        )
    }

    fn addresses(list: &[(&str, &str)]) -> RisPortEvent {
        let parsed = |(name, ip): &(&str, &str)| (Extension::from(*name), ip.parse().expect("an address"));
        RisPortEvent::Addresses(list.iter().map(parsed).collect())
    }

    fn after(seconds: u64) -> Instant {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn names_and_numbers_are_asked_for_apart_and_the_newest_registration_counts() {
        let mut risport = RisPort::new(RisPortConfig::default());
        risport.handle_wanted(&wanted(&["3001", "SEP000000000001", "SEP*", ""]), START);
        let body = risport.poll_transmit(START).expect("a request");
        assert!(
            body.contains("DirNumber") && body.contains(">3001<") && !body.contains("SEP"),
            "{body}"
        );
        assert_eq!(risport.poll_transmit(START), None, "one at a time");
        let old = phone("SEP1", "3001-Registered", "10.0.0.1", "Registered", 5);
        let new = phone("SEP2", "3001-Registered", "10.0.0.2", "Registered", 7);
        let gone = phone("SEP3", "3001-UnRegistered", "10.0.0.3", "UnRegistered", 9);
        risport.handle_response(200, answer(&[&[old], &[new, gone]]).as_bytes(), START);
        assert_eq!(risport.poll_event(), Some(addresses(&[("3001", "10.0.0.2")])));
        let body = risport.poll_transmit(START).expect("another request");
        assert!(
            body.contains("<soap:SelectBy>Name<") && body.contains(">SEP000000000001<"),
            "{body}"
        );
        assert!(!body.contains('*'), "{body}");
        let found = phone("sep000000000001", "", "10.0.0.4", "Registered", 1);
        risport.handle_response(200, answer(&[&[found]]).as_bytes(), START);
        let both = [("3001", "10.0.0.2"), ("SEP000000000001", "10.0.0.4")];
        assert_eq!(risport.poll_event(), Some(addresses(&both)));
    }

    #[test]
    fn a_request_holds_a_thousand_names_at_most() {
        let mut risport = RisPort::new(RisPortConfig::default());
        let names: BTreeSet<_> = (0..2_500)
            .map(|number| Extension::new(format!("SEP{number:012}")))
            .collect();
        risport.handle_wanted(&names, START);
        let mut counts = Vec::new();
        while let Some(body) = risport.poll_transmit(START) {
            counts.push(body.matches("<soap:Item>").count());
            risport.handle_response(200, answer(&[]).as_bytes(), START);
        }
        assert_eq!(counts, [1000, 1000, 500]);
    }

    #[test]
    fn no_more_requests_go_out_in_a_minute_than_allowed() {
        let config = RisPortConfig {
            per_minute: 2,
            ..RisPortConfig::default()
        };
        let mut risport = RisPort::new(config);
        let numbers: BTreeSet<_> = (0..2_000).map(|number| Extension::new(number.to_string())).collect();
        risport.handle_wanted(&numbers, START);
        let mut sent = Vec::new();
        let mut now = START;
        while sent.len() < 4 {
            now = now.max(risport.poll_timeout().expect("a deadline"));
            risport.handle_timeout(now);
            if risport.poll_transmit(now).is_some() {
                sent.push(now.saturating_since(START).as_secs());
                now += Duration::from_secs(1);
                risport.handle_response(200, answer(&[]).as_bytes(), now);
            }
        }
        assert_eq!(sent, [0, 1, 60, 61]);
    }

    #[test]
    fn a_refused_rate_waits_a_minute_and_is_told_once() {
        let mut risport = RisPort::new(RisPortConfig::default());
        risport.handle_wanted(&wanted(&["3001"]), START);
        let fault = b"<Envelope><Body><Fault><faultstring>Exceeded allowed rate for Reatime information</faultstring>\
            </Fault></Body></Envelope>";
        for round in 0..2 {
            let now = after(60 * round);
            assert!(risport.poll_transmit(now).is_some());
            risport.handle_response(500, fault, now);
            assert_eq!(risport.poll_timeout(), Some(after(60 * round + 60)));
        }
        assert!(matches!(risport.poll_event(), Some(RisPortEvent::Failed(why)) if why.contains("rate")));
        assert_eq!(risport.poll_event(), None);
        assert!(risport.poll_transmit(after(120)).is_some());
        risport.handle_response(200, answer(&[]).as_bytes(), after(120));
        assert_eq!(risport.poll_event(), Some(RisPortEvent::Recovered));
    }

    #[test]
    fn a_failure_is_told_with_its_status_and_tried_again() {
        let mut risport = RisPort::new(RisPortConfig::default());
        risport.handle_wanted(&wanted(&["3001"]), START);
        risport.poll_transmit(START).expect("a request");
        risport.handle_response(401, b"", START);
        assert_eq!(risport.poll_event(), Some(RisPortEvent::Failed("HTTP 401".into())));
        let again = risport.poll_timeout().expect("another attempt");
        assert!(again < after(2));
        assert!(risport.poll_transmit(again).is_some());
        risport.handle_failed("unreachable", again);
        assert!(risport.poll_timeout().is_some());
    }

    #[test]
    fn addresses_are_asked_for_again_and_forgotten_with_age() {
        let mut risport = RisPort::new(RisPortConfig::default());
        risport.handle_wanted(&wanted(&["3001"]), START);
        risport.poll_transmit(START).expect("a request");
        let found = phone("SEP1", "3001", "10.0.0.1", "Registered", 5);
        risport.handle_response(200, answer(&[&[found]]).as_bytes(), START);
        assert_eq!(risport.poll_event(), Some(addresses(&[("3001", "10.0.0.1")])));
        assert_eq!(risport.poll_timeout(), Some(after(300)));
        assert_eq!(risport.age(&"3001".into(), after(30)), Some(Duration::from_secs(30)));
        let mut now = after(300);
        while now <= after(900) {
            assert!(risport.poll_transmit(now).is_some());
            risport.handle_response(200, answer(&[]).as_bytes(), now);
            assert_eq!(risport.poll_event(), None, "a phone may change its node");
            now += MINUTE;
        }
        assert!(risport.poll_transmit(now).is_some());
        risport.handle_response(200, answer(&[]).as_bytes(), now);
        assert_eq!(risport.poll_event(), Some(addresses(&[])));
    }

    #[test]
    fn what_is_wanted_no_longer_is_neither_asked_for_nor_told() {
        let mut risport = RisPort::new(RisPortConfig::default());
        risport.handle_wanted(&wanted(&["3001", "3002"]), START);
        risport.poll_transmit(START).expect("a request");
        let phones = [
            phone("SEP1", "3001", "10.0.0.1", "Registered", 5),
            phone("SEP2", "3002", "10.0.0.2", "Registered", 5),
        ];
        risport.handle_wanted(&wanted(&["3002"]), START);
        risport.handle_response(200, answer(&[&phones]).as_bytes(), START);
        assert_eq!(risport.poll_event(), Some(addresses(&[("3002", "10.0.0.2")])));
        risport.handle_wanted(&wanted(&[]), after(1));
        assert_eq!(risport.poll_event(), Some(addresses(&[])));
        assert_eq!(risport.poll_timeout(), None);
    }
}
