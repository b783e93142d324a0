//! The bare decode of several streams on one time line per leg: within a stream by its timestamps, among streams by
//! capture time.

use std::collections::BTreeSet;

use silentmon_capture_core::stream::{PayloadKind, StreamId};
use silentmon_playback_core::exact::{DEFAULT_LIMIT, Timeline, TimelineError};
use silentmon_proto::ids::Leg;
use silentmon_proto::time::Instant;

use super::gather::{Gathered, Gathering};
use crate::exit::{ExitKind, Failure};

const SAMPLES_PER_SECOND: f64 = 8000.0;

/// A stretch of decoded sound and when it began.
struct Stretch {
    leg: Leg,
    since: Instant,
    samples: Vec<i16>,
}

/// Decodes the packets; answers agent and customer, equally long unless one is empty.
///
/// # Errors
/// `BadData` where the sound would last for more than four hours.
pub(super) fn decode(gathering: &Gathering, audible: &[&Gathered]) -> anyhow::Result<[Vec<i16>; 2]> {
    let mut stretches = Vec::new();
    for (leg, stream) in streams(audible) {
        let is_its = |packet: &&Gathered| (packet.leg, packet.stream) == (leg, stream);
        let packets: Vec<_> = audible.iter().copied().filter(is_its).collect();
        stretches.extend(decode_stream(gathering, &packets)?);
    }
    let Some(origin) = stretches.iter().map(|stretch| stretch.since).min() else {
        return Ok([Vec::new(), Vec::new()]);
    };
    let mut legs = [Vec::new(), Vec::new()];
    for stretch in &stretches {
        let [agent, customer] = &mut legs;
        let leg = match stretch.leg {
            Leg::Agent => agent,
            Leg::Customer => customer,
        };
        place(leg, offset(stretch.since, origin)?, &stretch.samples);
    }
    Ok(legs)
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
        samples: timeline.finish()?,
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
fn offset(since: Instant, origin: Instant) -> anyhow::Result<usize> {
    let samples = (since.seconds_since(origin) * SAMPLES_PER_SECOND).round() as usize;
    if samples > DEFAULT_LIMIT {
        let sentence = "the streams lie more than four hours apart: choose one with --stream";
        return Err(Failure::error(ExitKind::BadData, sentence));
    }
    Ok(samples)
}

/// Streams that sound at the same time are added.
fn place(leg: &mut Vec<i16>, offset: usize, samples: &[i16]) {
    if leg.len() < offset + samples.len() {
        leg.resize(offset + samples.len(), 0);
    }
    for (place, sample) in leg.iter_mut().skip(offset).zip(samples) {
        *place = place.saturating_add(*sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_at_the_same_time_is_added_and_gaps_are_silent() {
        let mut leg = Vec::new();
        place(&mut leg, 2, &[5, 5]);
        place(&mut leg, 3, &[i16::MAX, 1]);
        assert_eq!(leg, [0, 0, 5, i16::MAX, 1]);
    }
}
