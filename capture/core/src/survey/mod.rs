//! What a mirror port delivers, and what is wrong with it, before anyone listens: frames counted, streams paired to calls,
//! copies and losses told by their cause.
//!
//! [`Survey`] is told of every frame and reads it as the capture service does; [`Survey::report`] may be asked at any
//! time. Memory is bounded whatever comes: what isn't kept is counted.

mod addresses;
mod calls;
mod copies;
mod findings;
mod frames;
mod losses;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::frame::{Carried, Datagram, Frame, FrameReader, MacAddress, Segment};
use silentmon_proto::{sccp, sip};

use crate::stream::{Arrival, Encryption, Evidence, Limits, Stream, StreamId, StreamTable};
use addresses::Addresses;
use calls::Calls;
use copies::Copies;
use frames::Frames;
use losses::Losses;

pub use copies::CopyCause;
pub use findings::{Finding, Severity, Verdict};
pub use report::{
    CallFigures, CodecShare, CopyFigures, Counters, Destinations, FrameFigures, Gateway, ListedStream, LossFigures,
    Report, RtpFigures, SignallingFigures, TagFigures, TagShare, Talker,
};

/// Streams kept: some 70 MB.
const MOST_STREAMS: usize = 100_000;
/// Ports of SIP (RFC 3261 section 19.1.2) and of SCCP, at which TCP is looked into.
const SIP_PORT: u16 = 5060;
const SCCP_PORT: u16 = 2000;

/// What is known of the port before the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SurveyOptions {
    /// The capturing interface's own address. Without it, as for a file, nobody can say who frames are addressed to.
    pub own: Option<MacAddress>,
}

/// Watches a mirror port.
#[derive(Debug)]
pub struct Survey {
    options: SurveyOptions,
    reader: FrameReader,
    table: StreamTable,
    frames: Frames,
    addresses: Addresses,
    copies: Copies,
    losses: Losses,
    signalling: SignallingFigures,
    counters: Option<Counters>,
}

impl Survey {
    /// A survey that has seen nothing yet.
    pub fn new(options: SurveyOptions) -> Self {
        let limits = Limits {
            max_streams: MOST_STREAMS,
            idle: None,
        };
        Self {
            options,
            reader: FrameReader::default(),
            table: StreamTable::new(limits).with_signalling(),
            frames: Frames::default(),
            addresses: Addresses::default(),
            copies: Copies::new(),
            losses: Losses::default(),
            signalling: SignallingFigures::default(),
            counters: None,
        }
    }

    /// Takes a frame. Its capture time is the survey's clock.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        let (headers, carried) = self.reader.read_headers(frame);
        self.frames.handle(frame, &headers, &carried, self.options.own);
        if let Some((source, destination)) = headers.addresses {
            self.addresses.handle(source, destination, frame.wire_length);
        }
        match carried {
            Ok(Carried::Datagram(datagram)) => {
                let arrival = self.table.handle_datagram(&datagram, Evidence::Observed);
                match arrival {
                    Arrival::Rtp(rtp) => {
                        self.copies.handle(&headers, &datagram, &rtp);
                        self.losses.handle(&rtp, datagram.captured);
                    }
                    Arrival::Rtcp => self.signalling.rtcp += 1,
                    Arrival::Rejected(_) => self.signalling.note_datagram(&datagram),
                }
            }
            Ok(Carried::Segment(segment)) => self.signalling.note_segment(&segment),
            Err(_) => {}
        }
        self.losses.handle_timeout(&self.table, frame.captured);
    }

    /// Takes what the kernel has counted since the start.
    pub fn handle_counters(&mut self, counters: Counters) {
        let before = self.counters.map_or(0, |counters| counters.lost());
        if counters.lost() > before {
            self.losses.note_dropped();
        }
        self.counters = Some(counters);
    }

    /// Judges what waited for more to come: nothing will.
    pub fn conclude(&mut self) {
        let last = self.frames.last_captured();
        self.losses.conclude(&self.table, last);
    }

    /// Frames so far.
    pub const fn frames(&self) -> u64 {
        self.frames.total()
    }

    /// What was seen so far, and what is to be said of it.
    pub fn report(&self) -> Report {
        let streams = self.table.listed();
        let calls = Calls::of(streams.iter().map(|(_, stream)| *stream));
        let mut report = Report {
            verdict: Verdict::NoFrames,
            findings: Vec::new(),
            notes: Vec::new(),
            frames: self.frames.figures(),
            tags: self.frames.tags(),
            destinations: self.frames.destinations(self.options.own),
            rtp: self.rtp(&streams),
            calls: calls.figures(),
            copies: self.copies.figures(),
            losses: self.losses.figures(),
            signalling: self.signalling,
            counters: self.counters,
            gateways: addresses::gateways(streams.iter().map(|(_, stream)| *stream)),
            talkers: self.addresses.talkers(),
            unlisted_addresses: self.addresses.unlisted(),
            unlisted_streams: streams.len().saturating_sub(report::MOST_LISTED) as u64,
            streams: streams
                .iter()
                .take(report::MOST_LISTED)
                .map(|(_, stream)| ListedStream::of(stream))
                .collect(),
        };
        findings::judge(&mut report, &calls);
        report
    }

    fn rtp(&self, streams: &[(StreamId, &Stream)]) -> RtpFigures {
        let mut codecs: BTreeMap<_, CodecShare> = BTreeMap::new();
        let rejected = self.table.rejected();
        let mut rtp = RtpFigures {
            evicted: self.table.evicted(),
            dtls: rejected.dtls,
            stun: rejected.stun,
            not_rtp: rejected.not_rtp + rejected.udptl,
            bad_rtcp: rejected.bad_rtcp,
            cut: rejected.truncated,
            ..RtpFigures::default()
        };
        for (_, stream) in streams {
            rtp.streams += 1;
            rtp.packets += stream.packets();
            rtp.unique += stream.sequence().unique();
            rtp.expected += stream.sequence().expected();
            rtp.lost += stream.sequence().lost();
            rtp.duplicates += stream.sequence().duplicates();
            rtp.cut_short += stream.cut_short();
            rtp.encrypted += u64::from(stream.encryption() == Encryption::Encrypted);
            rtp.reported += u64::from(stream.rtcp().reception_reports > 0);
            let share = codecs
                .entry(stream.codec())
                .or_insert_with(|| CodecShare::of(stream.codec()));
            share.streams += 1;
            share.packets += stream.packets();
        }
        rtp.codecs = codecs.into_values().collect();
        rtp.codecs.sort_by_key(|share| std::cmp::Reverse(share.packets));
        rtp
    }
}

impl SignallingFigures {
    fn note_datagram(&mut self, datagram: &Datagram<'_>) {
        // Most of what isn't RTP isn't text either.
        if datagram.payload.first().is_some_and(u8::is_ascii_uppercase)
            && sip::find_start(first_line(datagram.payload)) == Some(0)
        {
            self.sip += 1;
        }
    }

    fn note_segment(&mut self, segment: &Segment<'_>) {
        let between = |port: u16| segment.source.port() == port || segment.destination.port() == port;
        if between(SIP_PORT) {
            self.sip += u64::from(sip::find_start(first_line(segment.payload)) == Some(0));
        } else if between(SCCP_PORT) && !segment.payload.is_empty() {
            self.sccp += u64::from(matches!(sccp::message_length(segment.payload), Ok(Some(_))));
        }
    }
}

/// A start line with its end, to be looked at alone: a body may be long.
fn first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().take(512).position(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(..=end)).unwrap_or_default()
}

/// Time between two points in seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

/// A part of a whole in percent, to two decimals; 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 * 1e4 / whole as f64).round() / 1e2
}
