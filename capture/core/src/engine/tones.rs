//! Digits that a customer keys in the sound itself: G.711 streams of sessions are listened to where a burst of digits begins a
//! payment pause. Only that a digit began is noted, not which.

use std::collections::BTreeSet;
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::codec::Codec;
use silentmon_proto::dtmf::DtmfDetector;
use silentmon_proto::frame::Datagram;
use silentmon_proto::g711::{Law, SAMPLE_RATE};
use silentmon_proto::ids::{AgentId, Leg};
use silentmon_proto::time::Instant;

use super::Engine;
use crate::policy::{DigitBurst, KeyedDigits};
use crate::stream::{Encryption, Freshness, RtpArrival, StreamId, Validity};

/// Most streams listened to; beyond it the one heard longest ago is forgotten, with no more than the digit it is in.
const MOST_STREAMS: usize = 4096;
/// A stream that was silent for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// Most silence that is made good where a sender paused: enough to end any digit.
const MOST_SILENCE: u32 = SAMPLE_RATE / 20;

/// Streams that are listened to.
#[derive(Debug, Default)]
pub(super) struct Tones(HashMap<StreamId, Listened>);

#[derive(Debug)]
struct Listened {
    detector: DtmfDetector,
    /// Whether a digit is being heard.
    heard: bool,
    /// Number and time that the next packet has where nothing is lost and the sender doesn't pause.
    next_sequence: u64,
    next_timestamp: u32,
    last: Instant,
}

impl Tones {
    /// Takes a packet of a stream; how many digits begin in it.
    fn handle(&mut self, arrival: &RtpArrival<'_>, at: Instant) -> usize {
        let Some(law) = law(arrival.codec) else {
            self.pass_over(arrival);
            return 0;
        };
        if self.0.len() >= MOST_STREAMS && !self.0.contains_key(&arrival.stream) {
            let oldest = self.0.iter().min_by_key(|(_, listened)| listened.last);
            if let Some(oldest) = oldest.map(|(stream, _)| *stream) {
                self.0.remove(&oldest);
            }
        }
        let listened = self.0.entry(arrival.stream).or_insert_with(|| Listened {
            detector: DtmfDetector::new(SAMPLE_RATE),
            heard: false,
            next_sequence: arrival.extended_sequence,
            next_timestamp: arrival.packet.timestamp.0,
            last: at,
        });
        listened.handle(arrival, law, at)
    }

    /// A packet without samples, comfort noise for one, is none that was lost.
    fn pass_over(&mut self, arrival: &RtpArrival<'_>) {
        if let Some(listened) = self.0.get_mut(&arrival.stream) {
            listened.next_sequence = arrival.extended_sequence.wrapping_add(1);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets streams that are silent.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0
            .retain(|_, listened| now.saturating_since(listened.last) < FORGOTTEN_AFTER);
    }
}

impl Listened {
    fn handle(&mut self, arrival: &RtpArrival<'_>, law: Law, at: Instant) -> usize {
        let payload = arrival.packet.payload;
        let timestamp = arrival.packet.timestamp.0;
        // What was lost may be the middle of a digit, but where nothing was lost the sender was silent between two.
        let pause = timestamp.wrapping_sub(self.next_timestamp);
        let paused = arrival.extended_sequence == self.next_sequence && pause <= u32::MAX / 2;
        let silence = if paused { pause.min(MOST_SILENCE) } else { 0 };
        let mut digits = 0;
        for _ in 0..silence {
            self.listen(0.0);
        }
        for &code in payload {
            digits += usize::from(self.listen(law.decode_to_full_scale(code)));
        }
        self.next_sequence = arrival.extended_sequence.wrapping_add(1);
        self.next_timestamp = timestamp.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        self.last = at;
        digits
    }

    /// Whether a digit begins.
    fn listen(&mut self, sample: f32) -> bool {
        let Some(now) = self.detector.observe(sample) else {
            return false;
        };
        let begins = now && !self.heard;
        self.heard = now;
        begins
    }
}

const fn law(codec: Codec) -> Option<Law> {
    match codec {
        Codec::Pcmu => Some(Law::Mu),
        Codec::Pcma => Some(Law::A),
        _ => None,
    }
}

impl Engine {
    /// Listens for digits in a packet that sessions hear as the customer's; this packet is in the pause already that they
    /// begin.
    pub(super) fn hear_digits(&mut self, datagram: &Datagram<'_>, arrival: &RtpArrival<'_>) {
        if self.settings.policy.payment_pauses.digits.is_none()
            || arrival.validity != Validity::Valid
            || arrival.encryption == Encryption::Encrypted
            || arrival.freshness != Freshness::Fresh
        {
            return;
        }
        let listeners = self.routes.listeners(datagram.source, datagram.destination);
        if listeners.of(Leg::Customer).next().is_none() {
            return;
        }
        for _ in 0..self.tones.handle(arrival, datagram.captured) {
            self.count_digit(datagram, KeyedDigits::handle_tone);
        }
    }

    /// A digit in the customer's voice may be one of many that begin a payment pause.
    pub(super) fn count_digit(
        &mut self,
        datagram: &Datagram<'_>,
        count: impl Fn(&mut KeyedDigits, Instant, DigitBurst) -> bool,
    ) {
        let Some(burst) = self.settings.policy.payment_pauses.digits else {
            return;
        };
        let listeners = self.routes.listeners(datagram.source, datagram.destination);
        let sessions = listeners.of(Leg::Customer).filter_map(|id| self.sessions.get(&id));
        let agents: BTreeSet<AgentId> = sessions.map(|session| session.agent.clone()).collect();
        for agent in agents {
            let keyed = self.digits.entry(agent.clone()).or_default();
            if count(keyed, datagram.captured, burst) {
                self.pause_for_digits(&agent, datagram.captured);
            }
        }
    }
}
