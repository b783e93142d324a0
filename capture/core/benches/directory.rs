//! Cost per CTI event with 10,000 agents signed in, through the directory alone and through the engine with sessions and
//! someone who watches the list; and the memory an agent takes.

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use silentmon_capture_core::directory::{AgentDirectory, MediaOrigin};
use silentmon_capture_core::engine::{ConnectionId, Engine, EngineEvent, EngineSettings};
use silentmon_capture_core::policy::{Disclosure, Means, Policy, Principal, Role, Who};
use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind, CtiEvent, MediaDirection, MediaStarted, MediaStopped,
};
use silentmon_proto::ids::{AgentId, CallId, Extension, MediaAddress, SessionId};
use silentmon_proto::relay::{ClientMessage, OutputKind};
use silentmon_proto::time::Instant;

const AGENTS: u32 = 10_000;
const SESSIONS: u32 = 100;
const ANNA: ConnectionId = ConnectionId(1);

fn agent(number: u32) -> AgentId {
    AgentId::new(format!("{}", 100_000 + number))
}

fn device(number: u32) -> Extension {
    Extension::new(format!("{}", 300_000 + number))
}

fn state(number: u32, state: AgentState) -> CtiEvent {
    CtiEvent::from(AgentUpdate {
        extension: Some(device(number)),
        device: Some(Extension::new(format!("SEP{number:012}"))),
        ..AgentUpdate::new(agent(number), state)
    })
}

fn address(number: u32) -> MediaAddress {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}:24680")
        .parse()
        .unwrap_or_else(|_| unreachable!())
}

/// All events of one call of an agent, as a CTI Server tells them: by device, media both ways, two skill groups.
fn call(number: u32, round: u32) -> Vec<CtiEvent> {
    let id = CallId::new(format!("5000:{}", round * AGENTS + number));
    let connection = |kind| {
        CtiEvent::from(CallEvent {
            acd: Some(true),
            ..CallEvent::of_device(device(number), id.clone(), kind)
        })
    };
    let started = |direction| {
        CtiEvent::from(MediaStarted {
            device: Some(device(number)),
            call: Some(id.clone()),
            direction: Some(direction),
            ..MediaStarted::at(address(number))
        })
    };
    let stopped = |direction| {
        CtiEvent::from(MediaStopped {
            agent: None,
            device: Some(device(number)),
            call: Some(id.clone()),
            address: Some(address(number)),
            direction: Some(direction),
        })
    };
    let ended = CallEnded {
        call: id.clone(),
        controlling_party: None,
    };
    vec![
        connection(CallEventKind::Delivered),
        state(number, AgentState::Reserved),
        started(MediaDirection::Receive),
        connection(CallEventKind::Established),
        started(MediaDirection::Send),
        state(number, AgentState::Talking),
        state(number, AgentState::Talking),
        stopped(MediaDirection::Receive),
        stopped(MediaDirection::Send),
        connection(CallEventKind::ConnectionCleared),
        ended.into(),
        state(number, AgentState::Available),
    ]
}

/// The calls of a thousand agents, ten at a time.
fn events(round: u32) -> Vec<CtiEvent> {
    let mut all = Vec::new();
    for first in (0..1000).step_by(10) {
        let calls: Vec<_> = (first..first + 10)
            .map(|number| call(number * 7 % AGENTS, round))
            .collect();
        for at in 0..calls[0].len() {
            all.extend(calls.iter().map(|call| call[at].clone()));
        }
    }
    all
}

fn engine() -> Engine {
    let policy = Policy {
        who: Who::AnySupervisor,
        ..Policy::new(Disclosure::Never)
    };
    let settings = EngineSettings {
        server: "gw1".into(),
        software: "bench".into(),
        source: "bench".into(),
        policy,
        devices: BTreeMap::new(),
        resolvers: MediaOrigin::ALL.to_vec(),
        cluster: None,
    };
    let now = Instant::from_parts(1_000, 0);
    let mut engine = Engine::new(settings, now);
    for number in 0..AGENTS {
        engine.handle_cti(&state(number, AgentState::Available), now);
    }
    let anna = Principal {
        name: "anna".into(),
        role: Role::Supervisor,
        from: [10, 1, 9, 1].into(),
        means: Means::Certificate,
    };
    engine.handle_connected(ANNA, anna);
    engine.handle_message(ANNA, ClientMessage::ListAgents { watch: true }, SessionId(0), now);
    for number in 0..SESSIONS {
        let start = ClientMessage::StartMonitor {
            request: number,
            agent: agent(number),
            resume: None,
            purpose: None,
            output: OutputKind::Play,
        };
        engine.handle_message(ANNA, start, SessionId(u64::from(number)), now);
        engine.handle_recorded(SessionId(u64::from(number)), now);
    }
    drain(&mut engine);
    engine
}

/// What the shell does with what comes out, as far as it costs with the number of agents.
fn drain(engine: &mut Engine) {
    let mut changed = false;
    while let Some(event) = engine.poll_event() {
        changed |= event == EngineEvent::FilterChanged;
    }
    if changed {
        black_box((engine.monitored(), engine.watched()));
    }
    while let Some(transmit) = engine.poll_transmit() {
        black_box(transmit);
    }
}

/// Resident memory of this process in bytes, where the system tells.
#[allow(clippy::disallowed_methods)]
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[allow(clippy::print_stderr)]
fn print_memory() {
    let before = resident();
    let mut directory = AgentDirectory::default();
    for number in 0..AGENTS {
        directory.handle_event(&state(number, AgentState::Available), Instant::EPOCH);
        for event in call(number, 0).iter().take(7) {
            directory.handle_event(event, Instant::EPOCH);
        }
    }
    if let Some((before, after)) = before.zip(resident()) {
        eprintln!(
            "{AGENTS} agents on a call: {} bytes an agent",
            after.saturating_sub(before) / u64::from(AGENTS)
        );
    }
    black_box(directory);
}

fn benchmarks(criterion: &mut Criterion) {
    print_memory();
    let mut group = criterion.benchmark_group("10000 agents");
    group.sample_size(20);
    group.throughput(Throughput::Elements(events(0).len() as u64));
    let mut directory = AgentDirectory::default();
    for number in 0..AGENTS {
        directory.handle_event(&state(number, AgentState::Available), Instant::EPOCH);
    }
    let mut round = 0;
    group.bench_function("directory", |bencher| {
        bencher.iter_batched(
            || {
                round += 1;
                (events(round), Instant::from_parts(u64::from(round) * 24, 0))
            },
            |(events, now)| {
                for event in &events {
                    black_box(directory.handle_event(event, now));
                }
                directory.take_notices()
            },
            criterion::BatchSize::PerIteration,
        );
    });
    let mut engine = engine();
    group.bench_function("engine, 100 sessions, one watcher, filters made", |bencher| {
        bencher.iter_batched(
            || {
                round += 1;
                (events(round), Instant::from_parts(2_000 + u64::from(round) * 24, 0))
            },
            |(events, now)| {
                engine.handle_timeout(now);
                for event in &events {
                    engine.handle_cti(event, now);
                    drain(&mut engine);
                }
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
