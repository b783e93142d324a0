//! From the gathered packets to a WAV file: bare, or as a supervisor would have heard them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Number;
use silentmon_capture_core::stream::{Encryption, PayloadKind, Stream};
use silentmon_playback_core::codec;
use silentmon_playback_core::player::{Player, PlayoutSettings, SAMPLE_RATE, to_i16};
use silentmon_playback_io::wav::{WavFormat, WavWriter};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::reason::Code;
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::time::Instant;

use super::gather::{Gathered, Gathering};
use super::list::{file_name, number};
use super::{LegChoice, Legs, Reading, ReplayArgs, exact};
use crate::exit::{ExitKind, Failure};
use crate::output;

/// What is pulled from the player at a time.
const PULL_TIME: Duration = Duration::from_millis(10);
const PULLS_A_SECOND: u32 = 100;
/// Longest sound written: beyond it the packets don't belong together.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    wav: String,
    channels: usize,
    sample_rate: u32,
    seconds: Option<Number>,
    agent_packets: usize,
    customer_packets: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

/// Writes what is heard.
pub(super) fn run(args: &ReplayArgs, wav: &Path, reading: &Reading, mut gathering: Gathering) -> anyhow::Result<()> {
    gathering.settle(&reading.table);
    refuse_ambiguity(args, &gathering)?;
    let chosen: Vec<_> = gathering
        .packets()
        .iter()
        .filter(|packet| is_chosen(args, packet))
        .collect();
    let left_out = left_out(reading, &chosen);
    let audible: Vec<_> = chosen
        .into_iter()
        .filter(|packet| packet.encryption == Encryption::Plain)
        .collect();
    if !audible.iter().any(|packet| is_decodable(packet)) {
        return Err(Failure::error(ExitKind::Unavailable, nothing_to_hear(args, &left_out)));
    }
    let legs = if args.exact {
        exact::decode(&gathering, &audible)?
    } else {
        play(&gathering, &audible)?
    };
    let (frames, channels) = write(args, wav, &legs)?;
    let sample_rate = legs.sample_rate;
    let count = |leg| audible.iter().filter(|packet| packet.leg == leg).count();
    report(
        args,
        &Written {
            file: file_name(args),
            wav: wav.display().to_string(),
            channels,
            sample_rate,
            seconds: number(frames as f64 / f64::from(sample_rate)),
            agent_packets: count(Leg::Agent),
            customer_packets: count(Leg::Customer),
            left_out,
        },
    )
}

fn report(args: &ReplayArgs, written: &Written) -> anyhow::Result<()> {
    for stream in &written.left_out {
        output::complain(&format!("silentmon: left out: {stream}"));
    }
    if args.json {
        return output::json(written);
    }
    let seconds = written.seconds.as_ref().map(Number::to_string).unwrap_or_default();
    output::line(&format!(
        "{}: {seconds} s, {} Hz, {} channel(s)",
        written.wav, written.sample_rate, written.channels
    ));
    Ok(())
}

/// One SSRC from several senders is several streams (a proxy's legs); from one sender it is one.
fn refuse_ambiguity(args: &ReplayArgs, gathering: &Gathering) -> anyhow::Result<()> {
    let Some(ssrc) = args.stream.filter(|_| args.media_address.is_none()) else {
        return Ok(());
    };
    let mut sources: Vec<_> = gathering.packets().iter().map(|packet| packet.key.source).collect();
    sources.sort_unstable();
    sources.dedup();
    if sources.len() <= 1 {
        return Ok(());
    }
    let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
    let sentence = format!(
        "SSRC {ssrc} is sent from {}: add --media-address with one of them",
        sources.join(", ")
    );
    Err(Failure::error(ExitKind::Usage, sentence))
}

fn is_chosen(args: &ReplayArgs, packet: &Gathered) -> bool {
    match args.leg {
        LegChoice::Both => true,
        LegChoice::Agent => packet.leg == Leg::Agent,
        LegChoice::Customer => packet.leg == Leg::Customer,
    }
}

fn is_decodable(packet: &Gathered) -> bool {
    matches!(packet.kind, PayloadKind::Speech(codec) if codec.is_built_in())
}

/// The streams of which nothing can be heard, and why.
fn left_out(reading: &Reading, chosen: &[&Gathered]) -> Vec<String> {
    let listed = reading.table.listed();
    let of = |id| chosen.iter().filter(move |packet| packet.stream == id);
    listed
        .into_iter()
        .filter(|(id, _)| of(*id).next().is_some())
        .filter_map(|(id, stream)| {
            let plain = of(id).any(|packet| packet.encryption == Encryption::Plain && is_decodable(packet));
            (!plain).then(|| why_unheard(stream))
        })
        .collect()
}

fn why_unheard(stream: &Stream) -> String {
    let key = stream.key();
    let why = match (stream.encryption(), stream.codec()) {
        (Encryption::Encrypted, _) => format!("its media are encrypted (SRTP, {})", Code::Encrypted),
        (_, codec) if !codec.is_built_in() => format!("its codec {codec} is not built in ({})", Code::CodecNotBuiltIn),
        _ if stream.cut_short() > 0 => "the capture cut its packets short".to_owned(),
        _ => "it can't be told from encrypted media".to_owned(),
    };
    format!("stream {} from {} to {}: {why}", key.ssrc, key.source, key.destination)
}

fn nothing_to_hear(args: &ReplayArgs, left_out: &[String]) -> String {
    let file = args.file.display();
    if !left_out.is_empty() {
        return format!("{file}: nothing can be heard; {}", left_out.join("; "));
    }
    match (args.stream, args.media_address) {
        (Some(ssrc), None) => format!("{file}: there is no RTP stream {ssrc}"),
        (None, Some(address)) => format!("{file}: there is no RTP stream from or to {address}"),
        _ => format!("{file}: there is no such RTP stream"),
    }
}

/// The highest of the codecs' rates.
fn sample_rate(packets: &[&Gathered]) -> u32 {
    let codecs: BTreeSet<Codec> = packets.iter().map(|packet| packet.kind.codec()).collect();
    let rates = codecs.into_iter().filter_map(codec::decoder);
    rates.map(|decoder| decoder.sample_rate()).max().unwrap_or(SAMPLE_RATE)
}

/// Plays the packets as they came, on the capture's own clock.
fn play(gathering: &Gathering, packets: &[&Gathered]) -> anyhow::Result<Legs> {
    let sample_rate = sample_rate(packets);
    let mut player = Player::new(PlayoutSettings {
        sample_rate,
        ..PlayoutSettings::default()
    });
    let start = packets
        .iter()
        .map(|packet| packet.captured)
        .min()
        .unwrap_or(Instant::EPOCH);
    let mut heard = Heard {
        now: start,
        frames: vec![[0.0; 2]; (sample_rate / PULLS_A_SECOND) as usize],
        legs: [Vec::new(), Vec::new()],
    };
    let mut numbers = [0; 2];
    let mut now = start;
    for packet in packets {
        now = now.max(packet.captured);
        if now - start > LONGEST {
            let sentence = "the packets lie more than four hours apart: choose one stream with --stream";
            return Err(Failure::error(ExitKind::BadData, sentence));
        }
        heard.pull_until(now, &mut player);
        let rtp = gathering.rtp(packet);
        player.handle_packet(now, &header(packet, &mut numbers), rtp);
    }
    while !player.buffered().is_zero() {
        let next = heard.now + PULL_TIME;
        heard.pull_until(next, &mut player);
    }
    Ok(Legs {
        sample_rate,
        samples: heard.legs,
    })
}

/// What a capture server would have put before a packet.
fn header(packet: &Gathered, numbers: &mut [u32; 2]) -> AudioHeader {
    let number = &mut numbers[packet.leg.index()];
    *number = number.wrapping_add(1);
    let (kind, codec) = match packet.kind {
        PayloadKind::TelephoneEvent(_) => (AudioKind::Suppressed, Codec::TelephoneEvent),
        PayloadKind::Speech(codec) => (AudioKind::Rtp, codec),
        PayloadKind::ComfortNoise => (AudioKind::Rtp, Codec::Cn),
        PayloadKind::Unknown => (AudioKind::Rtp, Codec::Unknown),
    };
    AudioHeader {
        kind,
        leg: packet.leg,
        again: false,
        codec,
        channel: 0,
        relay_sequence: *number,
        captured: packet.captured,
    }
}

/// What the player handed out so far.
struct Heard {
    now: Instant,
    frames: Vec<[f32; 2]>,
    legs: [Vec<i16>; 2],
}

impl Heard {
    fn pull_until(&mut self, end: Instant, player: &mut Player) {
        while self.now < end {
            player.pull(self.now, &mut self.frames);
            for (index, leg) in self.legs.iter_mut().enumerate() {
                leg.extend(
                    self.frames
                        .iter()
                        .filter_map(|frame| frame.get(index))
                        .copied()
                        .map(to_i16),
                );
            }
            self.now += PULL_TIME;
        }
    }
}

/// Writes one leg in mono, both in stereo. Answers frames and channels.
fn write(args: &ReplayArgs, wav: &Path, legs: &Legs) -> anyhow::Result<(usize, usize)> {
    let [agent, customer] = &legs.samples;
    let stereo = args.media_address.is_some() && args.leg == LegChoice::Both;
    let frames = agent.len().max(customer.len());
    let at = |leg: &[i16], index: usize| leg.get(index).copied().unwrap_or(0);
    let samples: Vec<i16> = match (stereo, args.media_address.is_some() && args.leg == LegChoice::Customer) {
        (true, _) => (0..frames)
            .flat_map(|index| [at(agent, index), at(customer, index)])
            .collect(),
        (false, true) => customer.clone(),
        (false, false) => agent.clone(),
    };
    let channels = if stereo { 2 } else { 1 };
    let format = WavFormat {
        channels,
        sample_rate: legs.sample_rate,
    };
    write_samples(wav, format, &samples)
        .map_err(|error| Failure::error(ExitKind::Unavailable, format!("can't write {}: {error}", wav.display())))?;
    let channels = usize::from(channels);
    Ok((samples.len() / channels, channels))
}

fn write_samples(wav: &Path, format: WavFormat, samples: &[i16]) -> std::io::Result<()> {
    let mut writer = WavWriter::create(wav, format)?;
    writer.write(samples.iter().copied())?;
    writer.finish()
}
