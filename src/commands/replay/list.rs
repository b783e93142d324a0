//! The list of a file's RTP streams, as JSON (command-line contract, `replay`) and for people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Number;
use silentmon_capture_core::stream::{Encryption, Stream};
use silentmon_proto::frame::VlanStack;

use super::{Reading, ReplayArgs};
use crate::output;

#[derive(Debug, Serialize)]
struct Listing {
    file: String,
    frames: u64,
    streams: Vec<ListedStream>,
    rejected: RejectedFrames,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

/// Frames of no use: `truncated` counts those of listed streams too, whose sound is lost though they count.
#[derive(Debug, Serialize)]
struct RejectedFrames {
    icmp_quoted: u64,
    truncated: u64,
    not_rtp: u64,
}

/// One stream. `vlan` holds the identifiers of its own stack, then those of stacks on which copies were seen, which
/// `copies` lists once more by themselves.
#[derive(Debug, Serialize)]
struct ListedStream {
    ssrc: String,
    vlan: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    copies: Vec<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<&'static str>,
    source: String,
    destination: String,
    payload_types: BTreeMap<u8, u64>,
    codec: &'static str,
    packets: u64,
    unique: u64,
    duplicates: u64,
    reordered: u64,
    expected: u64,
    lost: u64,
    first_sequence: u16,
    last_sequence: u16,
    first_timestamp: u32,
    last_timestamp: u32,
    ptime_ms: Option<Number>,
    jitter_ms: Option<Number>,
    duration_s: Option<Number>,
    first_captured_s: Option<Number>,
    longest_gap_ms: Option<Number>,
    markers: u64,
    cut_short: u64,
    telephone_events: u32,
    payload_type_changes: u32,
    timestamp_jumps: u32,
    restarts: u32,
    encrypted: bool,
}

/// Prints the list.
pub(super) fn run(args: &ReplayArgs, reading: &Reading) -> anyhow::Result<()> {
    let listing = Listing::of(args, reading);
    if args.json {
        return output::json(&listing);
    }
    for stream in &listing.streams {
        output::line(&stream.sentence());
    }
    let RejectedFrames {
        icmp_quoted,
        truncated,
        not_rtp,
    } = listing.rejected;
    let count = listing.streams.len();
    output::line(&format!(
        "{count} RTP streams in {} frames; {not_rtp} other frames, {icmp_quoted} ICMP errors, {truncated} cut short",
        listing.frames
    ));
    Ok(())
}

impl Listing {
    fn of(args: &ReplayArgs, reading: &Reading) -> Self {
        let streams: Vec<_> = reading
            .table
            .listed()
            .into_iter()
            .map(|(_, stream)| ListedStream::of(stream))
            .collect();
        let packets: u64 = streams.iter().map(|stream| stream.packets).sum();
        let beside = reading.truncated + reading.table.rejected().truncated;
        let cut_short: u64 = streams.iter().map(|stream| stream.cut_short).sum();
        let known = packets + beside + reading.icmp_quoted;
        Self {
            file: file_name(args),
            frames: reading.frames,
            rejected: RejectedFrames {
                icmp_quoted: reading.icmp_quoted,
                truncated: beside + cut_short,
                not_rtp: reading.frames.saturating_sub(known),
            },
            streams,
            damage: reading.damage.as_ref().map(ToString::to_string),
        }
    }
}

/// The file as the contract shows it: its name without the way to it.
pub(super) fn file_name(args: &ReplayArgs) -> String {
    let name = args.file.file_name().unwrap_or(args.file.as_os_str());
    name.to_string_lossy().into_owned()
}

impl ListedStream {
    fn of(stream: &Stream) -> Self {
        let (key, sequence, timing) = (stream.key(), stream.sequence(), stream.timing());
        let copies = stream.copies().iter();
        Self {
            ssrc: key.ssrc.to_string(),
            vlan: std::iter::once(&key.vlan)
                .chain(stream.copies())
                .flat_map(VlanStack::ids)
                .copied()
                .collect(),
            copies: copies.map(|stack| stack.ids().to_vec()).collect(),
            tunnel: stream.tunnel().map(silentmon_proto::frame::Tunnel::name),
            source: key.source.to_string(),
            destination: key.destination.to_string(),
            payload_types: stream
                .payload_types()
                .map(|seen| (seen.payload_type.0, seen.packets))
                .collect(),
            codec: stream.codec().name(),
            packets: stream.packets(),
            unique: sequence.unique(),
            duplicates: sequence.duplicates(),
            reordered: sequence.reordered(),
            expected: sequence.expected(),
            lost: sequence.lost(),
            first_sequence: stream.first_sequence().0,
            last_sequence: stream.last_sequence().0,
            first_timestamp: stream.first_timestamp().0,
            last_timestamp: stream.last_timestamp().0,
            ptime_ms: stream.packet_time().and_then(milliseconds),
            jitter_ms: timing.jitter().and_then(milliseconds),
            duration_s: number(stream.duration().as_secs_f64()),
            first_captured_s: Number::from_f64(stream.first_captured().as_secs_f64()),
            longest_gap_ms: milliseconds(stream.longest_gap()),
            markers: stream.markers(),
            cut_short: stream.cut_short(),
            telephone_events: stream.events(),
            payload_type_changes: stream.payload_type_changes(),
            timestamp_jumps: timing.timestamp_jumps(),
            restarts: sequence.restarts(),
            encrypted: stream.encryption() == Encryption::Encrypted,
        }
    }

    /// One line for people.
    fn sentence(&self) -> String {
        let vlan = self.vlan.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let mut parts = vec![format!("{}  {} > {}", self.ssrc, self.source, self.destination)];
        if !vlan.is_empty() {
            parts.push(format!("VLAN {vlan}"));
        }
        parts.extend(self.tunnel.map(str::to_owned));
        let ptime = self.ptime_ms.as_ref().map(|ptime| format!(" {ptime} ms"));
        parts.push(format!("{}{}", self.codec, ptime.unwrap_or_default()));
        parts.push(format!(
            "{} packets, {} lost, {} duplicates, {} reordered",
            self.packets, self.lost, self.duplicates, self.reordered
        ));
        parts.extend(self.jitter_ms.as_ref().map(|jitter| format!("jitter {jitter} ms")));
        parts.extend(self.duration_s.as_ref().map(|duration| format!("{duration} s")));
        if self.encrypted {
            parts.push("encrypted".to_owned());
        }
        parts.join("  ")
    }
}

fn milliseconds(duration: Duration) -> Option<Number> {
    number(duration.as_secs_f64() * 1e3)
}

/// To three decimals, and without any where there are none.
#[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
pub(super) fn number(value: f64) -> Option<Number> {
    let rounded = (value * 1e3).round() / 1e3;
    if rounded.fract() == 0.0 && rounded.abs() < 9e15 {
        return Some(Number::from(rounded as i64));
    }
    Number::from_f64(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let written = |value| number(value).map(|number| number.to_string());
        assert_eq!(written(20.0).as_deref(), Some("20"));
        assert_eq!(written(1.234_56).as_deref(), Some("1.235"));
        assert_eq!(written(26.9).as_deref(), Some("26.9"));
        assert_eq!(written(f64::NAN), None);
    }
}
