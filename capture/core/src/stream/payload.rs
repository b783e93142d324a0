//! What the payload of an RTP packet is: speech, comfort noise or a telephone event (RFC 4733).
//!
//! A dynamic payload type is known to carry events when the signalling said so, or by the shape and the course of its
//! payloads; never by its number, 101 or other.

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{PayloadType, RtpTimestamp};
use silentmon_proto::telephone_event::TelephoneEvent;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// Sound of this codec.
    Speech(Codec),
    /// Comfort noise (RFC 3389): a description of silence.
    ComfortNoise,
    /// A named telephone event (RFC 4733), such as a DTMF digit: never forwarded.
    TelephoneEvent(TelephoneEvent),
    /// A dynamic payload type that nobody described.
    Unknown,
}

impl PayloadKind {
    /// The codec, as far as known.
    pub const fn codec(self) -> Codec {
        match self {
            Self::Speech(codec) => codec,
            Self::ComfortNoise => Codec::Cn,
            Self::TelephoneEvent(_) => Codec::TelephoneEvent,
            Self::Unknown => Codec::Unknown,
        }
    }
}

/// What is known of one payload type of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPayloadType {
    /// The payload type.
    pub payload_type: PayloadType,
    /// Packets of it, copies included.
    pub packets: u64,
    nature: Nature,
    event: u8,
    duration: u16,
    timestamp: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// A static type, or one the signalling described.
    Known(Codec),
    /// Dynamic, and every payload so far was shaped like an event.
    LikeEvents,
    /// Dynamic, and two payloads in succession were one event going on.
    Events,
    /// Dynamic, and no events.
    Other,
}

impl SeenPayloadType {
    /// A payload type seen for the first time; `negotiated` is what the signalling said of it.
    pub fn new(payload_type: PayloadType, negotiated: Option<Codec>) -> Self {
        let nature = match negotiated.unwrap_or(Codec::from_static_payload_type(payload_type)) {
            Codec::Unknown if negotiated.is_none() && payload_type.0 >= 96 => Nature::LikeEvents,
            codec => Nature::Known(codec),
        };
        Self {
            payload_type,
            packets: 0,
            nature,
            event: 0,
            duration: 0,
            timestamp: 0,
        }
    }

    /// The codec, as far as known.
    pub const fn codec(&self) -> Codec {
        match self.nature {
            Nature::Known(codec) => codec,
            Nature::Events => Codec::TelephoneEvent,
            Nature::LikeEvents | Nature::Other => Codec::Unknown,
        }
    }

    /// Takes the next payload of this type and says what it is.
    pub fn handle(&mut self, payload: &[u8], timestamp: RtpTimestamp) -> PayloadKind {
        self.packets += 1;
        match self.nature {
            Nature::Known(codec) => Self::kind_of(codec, payload),
            Nature::LikeEvents | Nature::Events => self.follow_event(payload, timestamp),
            Nature::Other => PayloadKind::Unknown,
        }
    }

    fn kind_of(codec: Codec, payload: &[u8]) -> PayloadKind {
        match codec {
            Codec::Cn => PayloadKind::ComfortNoise,
            Codec::TelephoneEvent => {
                TelephoneEvent::parse(payload).map_or(PayloadKind::Unknown, PayloadKind::TelephoneEvent)
            }
            Codec::Unknown => PayloadKind::Unknown,
            _ => PayloadKind::Speech(codec),
        }
    }

    /// Events keep their timestamp while their duration rises (RFC 4733 section 2.5.1.2). One shaped like an event is
    /// taken for one at once: a digit must not get through before it is certain.
    fn follow_event(&mut self, payload: &[u8], timestamp: RtpTimestamp) -> PayloadKind {
        let lone = TelephoneEvent::parse(payload).filter(|_| payload.len() == TelephoneEvent::LENGTH);
        let Some(event) = lone else {
            self.nature = Nature::Other;
            return PayloadKind::Unknown;
        };
        let goes_on = self.packets > 1 && self.timestamp == timestamp.0;
        if goes_on && event.event != self.event && self.nature == Nature::LikeEvents {
            self.nature = Nature::Other;
            return PayloadKind::Unknown;
        }
        if goes_on && event.duration >= self.duration {
            self.nature = Nature::Events;
        }
        self.timestamp = timestamp.0;
        self.event = event.event;
        self.duration = event.duration;
        PayloadKind::TelephoneEvent(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dynamic() -> SeenPayloadType {
        SeenPayloadType::new(PayloadType(101), None)
    }

    fn digit(event: u8, flags: u8, duration: u16) -> [u8; 4] {
        let [d0, d1] = duration.to_be_bytes();
        [event, flags, d0, d1]
    }

    #[test]
    fn events_are_recognised_by_their_course_and_held_from_the_first_packet() {
        let mut seen = dynamic();
        let first = seen.handle(&digit(5, 10, 160), RtpTimestamp(800));
        assert!(matches!(first, PayloadKind::TelephoneEvent(event) if event.event == 5));
        assert_eq!(seen.codec(), Codec::Unknown);
        seen.handle(&digit(5, 10, 320), RtpTimestamp(800));
        assert_eq!(seen.codec(), Codec::TelephoneEvent);
        seen.handle(&digit(6, 10, 160), RtpTimestamp(2000));
        assert_eq!(seen.codec(), Codec::TelephoneEvent);
    }

    #[test]
    fn payload_type_101_with_speech_in_it_is_no_event() {
        let mut seen = dynamic();
        assert_eq!(seen.handle(&[0x55; 160], RtpTimestamp(0)), PayloadKind::Unknown);
        assert_eq!(seen.handle(&digit(5, 10, 160), RtpTimestamp(160)), PayloadKind::Unknown);
    }

    #[test]
    fn another_event_under_the_same_timestamp_is_no_event() {
        let mut seen = dynamic();
        seen.handle(&digit(5, 10, 160), RtpTimestamp(0));
        assert_eq!(seen.handle(&digit(77, 33, 9), RtpTimestamp(0)), PayloadKind::Unknown);
        assert_eq!(seen.codec(), Codec::Unknown);
    }

    #[test]
    fn the_signalling_has_the_first_word() {
        let mut speech = SeenPayloadType::new(PayloadType(101), Some(Codec::G722));
        assert_eq!(
            speech.handle(&digit(1, 10, 160), RtpTimestamp(0)),
            PayloadKind::Speech(Codec::G722)
        );
        let mut events = SeenPayloadType::new(PayloadType(96), Some(Codec::TelephoneEvent));
        events.handle(&digit(1, 10, 160), RtpTimestamp(0));
        assert_eq!(events.codec(), Codec::TelephoneEvent);
    }

    #[test]
    fn both_comfort_noise_types_are_silence_and_an_unassigned_type_is_unknown() {
        for number in [13, 19] {
            let mut seen = SeenPayloadType::new(PayloadType(number), None);
            assert_eq!(seen.handle(&[60], RtpTimestamp(0)), PayloadKind::ComfortNoise);
        }
        let mut seen = SeenPayloadType::new(PayloadType(23), None);
        assert_eq!(seen.handle(&digit(1, 10, 160), RtpTimestamp(0)), PayloadKind::Unknown);
    }
}
