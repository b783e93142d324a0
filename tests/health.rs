//! False alarms: every healthy two-way call of the reference captures, watched second by second as if one of its ends were an
//! agent's phone. Whatever the diagnosis says of it but SM-0000 is wrong.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::shared;
use silentmon_capture_core::engine::{Engine, EngineSettings};
use silentmon_capture_core::policy::{Disclosure, HeardCalls, Policy, Who};
use silentmon_capture_core::stream::{Encryption, Evidence, Limits, Stream, StreamTable};
use silentmon_capture_io::file::CaptureFile;
use silentmon_proto::cti::script;
use silentmon_proto::frame::{Datagram, FrameReader};
use silentmon_proto::ids::MediaAddress;
use silentmon_proto::reason::Code;
use silentmon_proto::time::Instant;

/// A call must last so long that something can be said of it.
const LONG: Duration = Duration::from_secs(6);
/// What is known of a call in its first and last seconds isn't judged.
const EDGE: Duration = Duration::from_secs(3);

/// An end of a two-way call, and when both sides were there.
#[derive(Debug, Clone, Copy)]
struct Phone {
    address: SocketAddr,
    from: Instant,
    until: Instant,
}

fn captures(data: &Path) -> BTreeSet<PathBuf> {
    let gold = std::fs::read_to_string(data.join("gold/streams.tsv")).expect("a table");
    let names = gold.lines().skip(1).filter_map(|line| line.split('\t').next());
    let files = names.map(|name| data.join("captures").join(name));
    // Those are damaged on purpose, these encrypted.
    let sick = ["derived", "srtp", "rtp-impaired"].map(|folder| data.join("captures").join(folder));
    files
        .filter(|file| !sick.iter().any(|folder| file.starts_with(folder)))
        .collect()
}

fn for_each_datagram(file: &Path, mut see: impl FnMut(&Datagram<'_>)) {
    let mut frames = FrameReader::default();
    let mut capture = CaptureFile::open(file).expect("a capture");
    while let Ok(Some(frame)) = capture.next_frame() {
        if let Ok(datagram) = frames.read(&frame.into()) {
            see(&datagram);
        }
    }
}

/// Ends whose sound goes both ways, whole, in clear and of a codec that is built in, and that nothing else uses.
fn healthy_phones(file: &Path) -> Vec<Phone> {
    let limits = Limits {
        max_streams: 10_000,
        idle: None,
    };
    let mut table = StreamTable::new(limits);
    for_each_datagram(file, |datagram| {
        table.handle_datagram(datagram, Evidence::Observed);
    });
    let mut at: BTreeMap<SocketAddr, [Vec<&Stream>; 2]> = BTreeMap::new();
    for (_, stream) in table.listed() {
        at.entry(stream.key().source).or_default()[0].push(stream);
        at.entry(stream.key().destination).or_default()[1].push(stream);
    }
    let phone = |(address, [from, to]): (SocketAddr, [Vec<&Stream>; 2])| {
        let ([out], [back]) = (&from[..], &to[..]) else {
            return None;
        };
        let both = [out, back];
        let good = |stream: &&Stream| {
            let quiet = stream.longest_gap() < Duration::from_secs(2);
            let whole = stream.sequence().lost() == 0 && stream.sequence().duplicates() == 0;
            quiet && whole && stream.codec().is_built_in() && stream.encryption() != Encryption::Encrypted
        };
        let from = out.first_captured().max(back.first_captured());
        let until = out.last_captured().min(back.last_captured());
        (both.iter().all(|stream| good(stream)) && until - from >= LONG).then_some(Phone { address, from, until })
    };
    at.into_iter().filter_map(phone).collect()
}

fn engine(now: Instant) -> Engine {
    let policy = Policy {
        who: Who::AnySupervisor,
        calls: HeardCalls::All,
        ..Policy::new(Disclosure::Never)
    };
    let settings = EngineSettings {
        server: "gw1".into(),
        software: "test".into(),
        source: "a capture".into(),
        policy,
        devices: BTreeMap::new(),
        resolvers: vec![silentmon_proto::relay::MediaOrigin::Cti],
        cluster: None,
    };
    Engine::new(settings, now)
}

/// Walks through the file with an agent at each phone; how often each was looked at, and what was wrong.
fn alarms(file: &Path, phones: &[Phone]) -> (usize, Vec<String>) {
    let mut looks = 0;
    let mut alarms = Vec::new();
    let mut begun = BTreeSet::new();
    let mut engine_and_time = None;
    for_each_datagram(file, |datagram| {
        let now = datagram.captured;
        let (engine, next) = engine_and_time.get_or_insert_with(|| (engine(now), now));
        engine.handle_datagram(datagram, |_| None);
        for phone in phones.iter().filter(|phone| phone.from <= now) {
            if begun.insert(phone.address) {
                for event in begin(phone.address) {
                    engine.handle_cti(&event, now);
                }
            }
        }
        if now < *next {
            return;
        }
        *next = now + Duration::from_secs(1);
        engine.handle_timeout(now);
        for (agent, found) in engine.diagnose_all(None, now) {
            let phone = phones.iter().find(|phone| phone.address.to_string() == agent.as_str());
            if !phone.is_some_and(|phone| phone.from + EDGE <= now && now + EDGE <= phone.until) {
                continue;
            }
            looks += 1;
            if found.reason.code != Code::AudioFlowing || !found.warnings.is_empty() {
                alarms.push(format!("{}: {agent}: {found:?}", file.display()));
            }
        }
    });
    (looks, alarms)
}

fn begin(address: SocketAddr) -> Vec<silentmon_proto::cti::CtiEvent> {
    let media = MediaAddress::from(address);
    let text = format!(
        "{{\"event\":\"agent_state\",\"agent\":\"{address}\",\"state\":\"talking\"}}\n\
         {{\"event\":\"call\",\"agent\":\"{address}\",\"call\":\"c\",\"kind\":\"established\",\"acd\":true}}\n\
         {{\"event\":\"media_started\",\"agent\":\"{address}\",\"call\":\"c\",\"address\":\"{media}\"}}\n"
    );
    script::parse_events(&text).expect("events")
}

#[test]
fn no_healthy_call_of_the_reference_captures_raises_an_alarm() {
    let Some(data) = shared() else { return };
    let (mut phones_seen, mut looks, mut all) = (0, 0, Vec::new());
    for file in captures(&data) {
        let phones = healthy_phones(&file);
        if phones.is_empty() {
            continue;
        }
        phones_seen += phones.len();
        let (looked, found) = alarms(&file, &phones);
        looks += looked;
        all.extend(found);
    }
    eprintln!("{phones_seen} phones, looked at {looks} times");
    assert!(all.is_empty(), "{} false alarms:\n{}", all.len(), all.join("\n"));
    assert!(looks > 50, "{looks}");
}
