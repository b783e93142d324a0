//! Plays a capture of one RTP stream through the playout engine in virtual time and writes what is heard.
//!
//! `play_trace TRACE.pcap PRESET OUT [--tick-ms 5] [--rate 8000] [--min-delay-ms 0] [--phase-us 2500]` reads a classic
//! pcap (Ethernet, IPv4, UDP), hands each packet over at its capture time, pulls every tick, and writes OUT.s16 (the
//! agent's leg, mono) and OUT.json (`t0` in the time of the trace, which begins at 1,700,000,000).
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a program to measure with: it reads and writes files, and tells how long it took"
)]

use std::error::Error;
use std::time::{Duration, Instant as Stopwatch};

use silentmon_playback_core::player::{Player, PlayoutSettings, Preset, to_i16};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{Leg, PayloadType};
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::time::Instant;

type Failure = Box<dyn Error>;

/// Where the traces begin, in seconds since 1970.
const ORIGIN: u64 = 1_700_000_000;
/// Sound pulled before the first packet and after the last.
const LEAD: Duration = Duration::from_secs(1);
const TAIL: Duration = Duration::from_secs(3);

struct Options {
    trace: String,
    out: String,
    settings: PlayoutSettings,
    tick: Duration,
    phase: Duration,
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let packets = packets(&std::fs::read(&options.trace)?).ok_or("expected a pcap of Ethernet frames")?;
    let (first, last) = match (packets.first(), packets.last()) {
        (Some((first, _)), Some((last, _))) => (*first, *last),
        _ => return Err("expected at least one packet".into()),
    };
    let mut player = Player::new(options.settings);
    let begun = first.saturating_back(LEAD) + options.phase;
    let frames_per_tick =
        options.settings.sample_rate as usize * usize::try_from(options.tick.as_micros())? / 1_000_000;
    let mut frames = vec![[0.0; 2]; frames_per_tick];
    let mut out = Vec::new();
    let mut waiting = packets.iter().peekable();
    let stopwatch = Stopwatch::now();
    let mut now = begun;
    let mut sequence = 0;
    while now < last + TAIL {
        while let Some((at, rtp)) = waiting.next_if(|(at, _)| *at <= now) {
            player.handle_packet(*at, &header(*at, sequence, rtp), rtp);
            sequence += 1;
        }
        player.pull(now, &mut frames);
        out.extend(frames.iter().flat_map(|[left, _]| to_i16(*left).to_le_bytes()));
        now += options.tick;
    }
    let took = stopwatch.elapsed();
    std::fs::write(format!("{}.s16", options.out), out)?;
    let origin = Instant::from_parts(ORIGIN, 0);
    let meta = format!(
        "{{\"t0\": {:.6}, \"rate\": {}, \"channels\": 1}}\n",
        begun.seconds_since(origin),
        options.settings.sample_rate
    );
    std::fs::write(format!("{}.json", options.out), meta)?;
    println!("{took:?} {:?}", player.report(Leg::Agent));
    Ok(())
}

fn options() -> Result<Options, Failure> {
    const USAGE: &str = "expected TRACE.pcap PRESET OUT [--tick-ms N] [--rate N] [--min-delay-ms N] [--phase-us N]";
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or(USAGE);
    let (trace, preset, out) = (next()?, next()?, next()?);
    let mut options = Options {
        trace,
        out,
        settings: PlayoutSettings {
            preset: Preset::from_name(&preset).ok_or(USAGE)?,
            ..PlayoutSettings::default()
        },
        tick: Duration::from_millis(5),
        phase: Duration::from_micros(2500),
    };
    while let Ok(name) = next() {
        let value: u64 = next()?.parse()?;
        match name.as_str() {
            "--tick-ms" => options.tick = Duration::from_millis(value),
            "--rate" => options.settings.sample_rate = u32::try_from(value)?,
            "--min-delay-ms" => options.settings.min_delay = Duration::from_millis(value),
            "--phase-us" => options.phase = Duration::from_micros(value),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

fn header(captured: Instant, relay_sequence: u32, rtp: &[u8]) -> AudioHeader {
    let payload_type = rtp.get(1).copied().unwrap_or(0) & 0x7f;
    AudioHeader {
        kind: AudioKind::Rtp,
        leg: Leg::Agent,
        again: false,
        codec: Codec::from_static_payload_type(PayloadType(payload_type)),
        channel: 0,
        relay_sequence,
        captured,
    }
}

/// The UDP payloads of a little-endian pcap with microseconds, with their times.
fn packets(file: &[u8]) -> Option<Vec<(Instant, Vec<u8>)>> {
    let (header, mut rest) = file.split_first_chunk::<24>()?;
    if header[..4] != [0xd4, 0xc3, 0xb2, 0xa1] {
        return None;
    }
    let mut packets = Vec::new();
    while let Some((record, after)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| Some(u32::from_le_bytes(*record.get(at..)?.first_chunk()?));
        let at = Instant::from_parts(word(0)?.into(), word(4)?.saturating_mul(1000));
        let (frame, after) = after.split_at_checked(word(8)? as usize)?;
        let header = 14 + usize::from(frame.get(14)? & 0x0f) * 4 + 8;
        packets.push((at, frame.get(header..)?.to_vec()));
        rest = after;
    }
    Some(packets)
}
