//! The bare decode of several streams on one time line per leg: within a stream by its timestamps, among streams by
//! capture time.

use std::collections::BTreeSet;

use silentmon_capture_core::stream::{PayloadKind, StreamId};
use silentmon_playback_core::exact::{DEFAULT_LIMIT, Line, Timeline, TimelineError};
use silentmon_playback_core::player::SAMPLE_RATE;
use silentmon_proto::ids::Leg;
use silentmon_proto::time::Instant;

use super::Legs;
use super::gather::{Gathered, Gathering};
use crate::exit::{ExitKind, Failure};

/// A stretch of decoded sound and when it began.
struct Stretch {
    leg: Leg,
    since: Instant,
    line: Line,
}

/// Decodes the packets; answers agent and customer, at the highest rate of all their codecs.
///
/// # Errors
/// `BadData` where the sound would last for more than four hours.
pub(super) fn decode(gathering: &Gathering, audible: &[&Gathered]) -> anyhow::Result<Legs> {
    let mut stretches = Vec::new();
    for (leg, stream) in streams(audible) {
        let is_its = |packet: &&Gathered| (packet.leg, packet.stream) == (leg, stream);
        let packets: Vec<_> = audible.iter().copied().filter(is_its).collect();
        stretches.extend(decode_stream(gathering, &packets)?);
    }
    let sounding = || stretches.iter().filter(|stretch| !stretch.line.samples.is_empty());
    let sample_rate = sounding()
        .map(|stretch| stretch.line.sample_rate)
        .max()
        .unwrap_or(SAMPLE_RATE);
    let mut legs = [Leg::Agent, Leg::Customer].map(|_| Line {
        sample_rate,
        ..Line::default()
    });
    if let Some(origin) = stretches.iter().map(|stretch| stretch.since).min() {
        for stretch in stretches {
            let at = offset(stretch.since, origin, sample_rate)?;
            legs[stretch.leg.index()].add(at, &stretch.line.at_rate(sample_rate).samples);
        }
    }
    Ok(Legs {
        sample_rate,
        samples: legs.map(|line| line.samples),
    })
}

fn streams(packets: &[&Gathered]) -> BTreeSet<(Leg, StreamId)> {
    packets.iter().map(|packet| (packet.leg, packet.stream)).collect()
}

/// One time line, or one for each piece where the sender's timestamps jumped out of all reason.
fn decode_stream(gathering: &Gathering, packets: &[&Gathered]) -> anyhow::Result<Vec<Stretch>> {
    match decode_piece(gathering, packets) {
        Err(TimelineError::TooLong { .. }) if packets.iter().skip(1).any(|packet| packet.broken_off) => {
            let pieces = packets.chunk_by(|_, next| !next.broken_off);
            pieces
                .map(|piece| decode_piece(gathering, piece).map_err(too_long))
                .collect()
        }
        other => Ok(vec![other.map_err(too_long)?]),
    }
}

fn decode_piece(gathering: &Gathering, packets: &[&Gathered]) -> Result<Stretch, TimelineError> {
    let mut timeline = Timeline::new();
    let mut first: Option<&Gathered> = None;
    for packet in packets {
        if let PayloadKind::Speech(codec) = packet.kind {
            timeline.push(packet.sequence, packet.timestamp, codec, gathering.payload(packet))?;
            first = first.or(Some(packet));
        }
    }
    Ok(Stretch {
        leg: first.map_or(Leg::Agent, |packet| packet.leg),
        since: first.map_or(Instant::EPOCH, |packet| packet.captured),
        line: timeline.finish()?,
    })
}

fn too_long(error: TimelineError) -> anyhow::Error {
    Failure::error(ExitKind::BadData, error.to_string())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and bounded below"
)]
fn offset(since: Instant, origin: Instant, sample_rate: u32) -> anyhow::Result<usize> {
    let seconds = since.seconds_since(origin);
    if seconds > DEFAULT_LIMIT.as_secs_f64() {
        let sentence = "the streams lie more than four hours apart: choose one with --stream";
        return Err(Failure::error(ExitKind::BadData, sentence));
    }
    Ok((seconds * f64::from(sample_rate)).round() as usize)
}
