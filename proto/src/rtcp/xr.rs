//! Extended reports (RFC 3611): VoIP metrics as the phone itself measured them, and round trips of pure receivers.

use super::wire::{split, word, words};
use super::{NtpTimestamp, Ssrc};

/// An extended report (RFC 3611 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    content: &'a [u8],
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn read(content: &'a [u8]) -> Result<Self, usize> {
        let (ssrc, content) = word(content)?;
        Ok(Self {
            ssrc: Ssrc(ssrc),
            content,
        })
    }

    /// Its blocks; ends early where one runs out of bytes.
    pub const fn blocks(&self) -> Blocks<'a> {
        Blocks { rest: self.content }
    }
}

/// The blocks of an extended report.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    rest: &'a [u8],
}

/// A block of an extended report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block<'a> {
    /// Block type 4: the wall clock of a receiver.
    ReceiverReferenceTime(NtpTimestamp),
    /// Block type 5: answers to reference times.
    DelayReports(DelayReports<'a>),
    /// Block type 7: what a phone measured on its call.
    VoipMetrics(VoipMetrics),
    /// Any other, or one whose length is not that of its type.
    Other {
        /// Block type (RFC 3611 section 6.2).
        block_type: u8,
    },
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        const RECEIVER_REFERENCE_TIME: u8 = 4;
        const DELAY_SINCE_LAST_RECEIVER_REPORT: u8 = 5;
        const VOIP_METRICS: u8 = 7;
        let ([block_type, _, high, low], rest) = split::<4>(self.rest).ok()?;
        let length = usize::from(u16::from_be_bytes([*high, *low])) * 4;
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        let known = match *block_type {
            RECEIVER_REFERENCE_TIME => reference_time(content),
            DELAY_SINCE_LAST_RECEIVER_REPORT => Some(Block::DelayReports(DelayReports(content.as_chunks().0))),
            VOIP_METRICS => VoipMetrics::read(content).map(Block::VoipMetrics),
            _ => None,
        };
        Some(known.unwrap_or(Block::Other {
            block_type: *block_type,
        }))
    }
}

fn reference_time(content: &[u8]) -> Option<Block<'static>> {
    let time = <[u8; 8]>::try_from(content).ok()?;
    Some(Block::ReceiverReferenceTime(NtpTimestamp(u64::from_be_bytes(time))))
}

/// Answers to the reference times of several receivers (RFC 3611 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayReports<'a>(&'a [[u8; 12]]);

impl<'a> DelayReports<'a> {
    /// The answers, by receiver.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = DelayReport> + use<'a> {
        self.0.iter().map(DelayReport::read)
    }
}

/// The answer to one receiver's reference time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayReport {
    /// The receiver.
    pub ssrc: Ssrc,
    /// Middle bits of its reference time; 0 where none has arrived.
    pub last_receiver_report: u32,
    /// Time since that arrived, in 1/65,536 second.
    pub delay_since_last_receiver_report: u32,
}

impl DelayReport {
    fn read(bytes: &[u8; 12]) -> Self {
        let [ssrc, last, delay] = words(bytes.as_chunks().0);
        Self {
            ssrc: Ssrc(ssrc),
            last_receiver_report: last,
            delay_since_last_receiver_report: delay,
        }
    }
}

/// What a phone measured on its call (RFC 3611 section 4.7). `None` stands for "unavailable".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The stream received.
    pub ssrc: Ssrc,
    /// Packets lost in the network, in 256ths.
    pub loss_rate: u8,
    /// Packets that came too late to be played, in 256ths.
    pub discard_rate: u8,
    /// Lost or discarded during bursts, in 256ths.
    pub burst_density: u8,
    /// Lost or discarded during gaps between bursts, in 256ths.
    pub gap_density: u8,
    /// Mean length of a burst in milliseconds.
    pub burst_duration: u16,
    /// Mean length of a gap in milliseconds.
    pub gap_duration: u16,
    /// Round trip in milliseconds; 0 where not measured.
    pub round_trip_delay: u16,
    /// Delay inside the phone in milliseconds; 0 where not measured.
    pub end_system_delay: u16,
    /// Level of the speech in dBm0.
    pub signal_level: Option<i8>,
    /// Level of the noise in dBm0.
    pub noise_level: Option<i8>,
    /// Residual echo return loss in dB.
    pub residual_echo_return_loss: Option<u8>,
    /// Shortest distance between losses that doesn't count as a burst, in packets.
    pub gap_threshold: u8,
    /// R factor, 0 to 100.
    pub r_factor: Option<u8>,
    /// R factor of a network outside, 0 to 100.
    pub external_r_factor: Option<u8>,
    /// MOS of listening, in tenths: 10 to 50.
    pub listening_mos: Option<u8>,
    /// MOS of conversation, in tenths: 10 to 50.
    pub conversational_mos: Option<u8>,
    /// Concealment, jitter buffer's kind and rate (RFC 3611 section 4.7.6), as sent.
    pub receiver_configuration: u8,
    /// Nominal delay of the jitter buffer in milliseconds.
    pub jitter_buffer_nominal: u16,
    /// Longest delay of the jitter buffer so far in milliseconds.
    pub jitter_buffer_maximum: u16,
    /// Longest delay the jitter buffer can grow to in milliseconds.
    pub jitter_buffer_absolute_maximum: u16,
}

impl VoipMetrics {
    fn read(content: &[u8]) -> Option<Self> {
        const UNAVAILABLE: u8 = 127;
        let content: &[u8; 32] = content.try_into().ok()?;
        let short = |at: usize| u16::from_be_bytes([content[at], content[at + 1]]);
        let available = |at: usize| Some(content[at]).filter(|&value| value != UNAVAILABLE);
        Some(Self {
            ssrc: Ssrc(u32::from_be_bytes([content[0], content[1], content[2], content[3]])),
            loss_rate: content[4],
            discard_rate: content[5],
            burst_density: content[6],
            gap_density: content[7],
            burst_duration: short(8),
            gap_duration: short(10),
            round_trip_delay: short(12),
            end_system_delay: short(14),
            signal_level: available(16).map(u8::cast_signed),
            noise_level: available(17).map(u8::cast_signed),
            residual_echo_return_loss: available(18),
            gap_threshold: content[19],
            r_factor: available(20),
            external_r_factor: available(21),
            listening_mos: available(22),
            conversational_mos: available(23),
            receiver_configuration: content[24],
            jitter_buffer_nominal: short(26),
            jitter_buffer_maximum: short(28),
            jitter_buffer_absolute_maximum: short(30),
        })
    }
}
