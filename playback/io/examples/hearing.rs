//! Listens to many agents over one connection, as `scripts/bench-hop` and `scripts/chaos` need it, and says what came: how
//! late, with which gaps, and whether any of it was another agent's.
//!
//! `cargo run --release -p silentmon-playback-io --example hearing SERVER[,SERVER] IDENTITY CA SECONDS AGENT…`. With `-` in
//! place of the seconds it listens until its standard input ends. An agent is a number, and the SSRCs of his call are twice
//! that and one more. Says on the way, in lines that begin with `#` and the time, which server it talks to and what became
//! of sessions. Ends with a table: agent, packets, packets of others, packets heard twice, median and 99th percentile of the
//! time from the mirror to here in µs, and gaps as begin+length in seconds since 1970.

#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use silentmon_certs::{ClientTls, Credentials, Trust};
use silentmon_playback_io::clock;
use silentmon_playback_io::receiver::{
    MonitorRequest, Persistence, Receiver, ReceiverEvent, ReceiverSettings, ReceiverSink, RequestId, ServerOrder,
};
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{ALPN, AudioHeader, OutputKind};
use silentmon_proto::time::Instant;
use silentmon_transport::{ServerAddress, Settings};

const USAGE: &str = "hearing SERVER[,SERVER] IDENTITY CA SECONDS|- AGENT…";
/// Silence of an agent that counts as a gap.
const GAP: Duration = Duration::from_millis(100);
/// Packets among which one may come twice.
const REMEMBERED: usize = 512;

/// What came of one agent.
#[derive(Default)]
struct Heard {
    agent: String,
    ssrc: u32,
    packets: u64,
    foreign: u64,
    twice: u64,
    last: Option<Instant>,
    lately: [VecDeque<u16>; 2],
    delays: Vec<u64>,
    gaps: Vec<(Instant, Duration)>,
}

impl Heard {
    /// Answers whether it was heard before.
    fn take(&mut self, now: Instant, header: &AudioHeader, rtp: &[u8]) -> bool {
        let Some(&[_, _, n0, n1, _, _, _, _, s0, s1, s2, s3]) = rtp.first_chunk() else {
            return false;
        };
        let own = self.ssrc + u32::from(header.leg == Leg::Customer);
        self.foreign += u64::from(u32::from_be_bytes([s0, s1, s2, s3]) != own);
        let (number, lately) = (u16::from_be_bytes([n0, n1]), &mut self.lately[header.leg.index()]);
        let twice = lately.contains(&number);
        self.twice += u64::from(twice);
        if lately.len() == REMEMBERED {
            lately.pop_front();
        }
        lately.push_back(number);
        self.packets += 1;
        let delay = now.saturating_since(header.captured).as_micros();
        self.delays.push(u64::try_from(delay).unwrap_or(u64::MAX));
        if let Some(last) = self.last.replace(now)
            && now - last >= GAP
        {
            self.gaps.push((last, now - last));
        }
        twice
    }

    fn delay(&mut self, percent: usize) -> u64 {
        self.delays.sort_unstable();
        let last = self.delays.len().saturating_sub(1);
        self.delays.get(last * percent / 100).copied().unwrap_or_default()
    }
}

type Shared = Arc<Mutex<BTreeMap<u32, Heard>>>;

fn lock(shared: &Shared) -> MutexGuard<'_, BTreeMap<u32, Heard>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Ear(Shared);

impl Ear {
    fn agent(&self, request: RequestId) -> String {
        let heard = lock(&self.0);
        heard
            .get(&request.0)
            .map_or_else(String::new, |heard| heard.agent.clone())
    }

    fn words(&self, event: ReceiverEvent) -> Option<String> {
        Some(match event {
            ReceiverEvent::Dialling { server } => format!("dials {server}"),
            ReceiverEvent::Connected { name, .. } => format!("connected {name}"),
            ReceiverEvent::Lost { server, reason, .. } => format!("lost {server}: {}", reason.text),
            ReceiverEvent::MonitorRefused { request, reason } => {
                format!("{} refused: {}", self.agent(request), reason.text)
            }
            ReceiverEvent::MonitorStopped { request, reason, .. } => {
                format!("{} ended: {}", self.agent(request), reason.text)
            }
            ReceiverEvent::MonitorStarted {
                request,
                missed: Some(missed),
                ..
            } => format!("{} goes on after {:.3} s", self.agent(request), missed.as_secs_f64()),
            ReceiverEvent::MonitorStarted {
                request,
                resumed: false,
                ..
            } => format!("{} starts", self.agent(request)),
            _ => return None,
        })
    }
}

impl ReceiverSink for Ear {
    fn event(&mut self, now: Instant, event: ReceiverEvent) {
        if let Some(words) = self.words(event) {
            println!("# {:.3} {words}", now.as_secs_f64());
        }
    }

    fn packet(&mut self, now: Instant, request: RequestId, header: &AudioHeader, rtp: &[u8]) {
        if let Some(heard) = lock(&self.0).get_mut(&request.0) {
            let twice = heard.take(now, header, rtp);
            if twice {
                println!("# {:.3} {} twice: {header:?}", now.as_secs_f64(), heard.agent);
            }
        }
    }

    fn patience(&mut self, _: RequestId, _: Leg) -> Duration {
        Duration::from_millis(200)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [servers, identity, ca, seconds, agents @ ..] = arguments.as_slice() else {
        anyhow::bail!(USAGE);
    };
    let servers: Result<Vec<ServerAddress>, _> = servers.split(',').map(str::parse).collect();
    let trust = Trust::load(ca.as_ref(), None)?;
    let tls = ClientTls::new(&Credentials::load(identity.as_ref(), None)?, &trust, &[ALPN])?;
    let settings = ReceiverSettings {
        servers: servers?,
        order: ServerOrder::Given,
        persistence: Persistence::Forever,
        software: "hearing".to_owned(),
        transport: Settings::client(),
    };
    let heard = Shared::default();
    let receiver = Receiver::start(settings, tls, Box::new(Ear(Arc::clone(&heard))));
    for agent in agents {
        let number: u32 = agent.parse().context(USAGE)?;
        let of = Heard {
            agent: agent.clone(),
            ssrc: 2 * number,
            ..Heard::default()
        };
        let mut heard = lock(&heard);
        let request = receiver.start_monitor(MonitorRequest {
            agent: agent.as_str().into(),
            purpose: None,
            output: OutputKind::Play,
        });
        heard.insert(request.0, of);
    }
    match seconds.as_str() {
        "-" => tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??,
        seconds => {
            tokio::time::sleep(Duration::from_secs_f64(seconds.parse().context(USAGE)?)).await;
            0
        }
    };
    let now = clock::now();
    println!("# {:.3} over", now.as_secs_f64());
    for heard in lock(&heard).values_mut() {
        if let Some(last) = heard.last.filter(|&last| now - last >= GAP) {
            heard.gaps.push((last, now - last));
        }
        let gaps: Vec<String> = heard
            .gaps
            .iter()
            .map(|(begin, length)| format!("{:.3}+{:.3}", begin.as_secs_f64(), length.as_secs_f64()))
            .collect();
        let Heard {
            packets,
            foreign,
            twice,
            ..
        } = *heard;
        let (median, late, agent) = (heard.delay(50), heard.delay(99), &heard.agent);
        println!(
            "{agent}\t{packets}\t{foreign}\t{twice}\t{median}\t{late}\t{}",
            gaps.join(" ")
        );
    }
    Ok(())
}
