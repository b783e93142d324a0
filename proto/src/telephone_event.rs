//! Named telephone events (RFC 4733): DTMF digits and tones sent as packets instead of sound.
//!
//! Only what is needed to recognise them and keep them out of the audio; the digits themselves are nobody's business.

/// One event of a telephone-event payload (RFC 4733 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code: 0 to 15 are DTMF.
    pub event: u8,
    /// Whether it has ended.
    pub end: bool,
    /// Power, as dB below 0 dBm0: 0 to 63.
    pub volume: u8,
    /// Ticks of the RTP clock from the packet's timestamp on.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Length of an event in a payload, in bytes.
    pub const LENGTH: usize = 4;

    /// The first event of `payload`, or `None` where the payload isn't made of events: its length is no multiple of four,
    /// or the reserved bit is set.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (first, rest) = payload.split_first_chunk()?;
        let whole = rest.len().is_multiple_of(Self::LENGTH);
        whole.then(|| Self::read(*first)).flatten()
    }

    /// Every event of `payload`: several where a sender packs them (RFC 4733 section 2.5.1.5).
    pub fn all(payload: &[u8]) -> impl Iterator<Item = Self> + '_ {
        payload.as_chunks().0.iter().map_while(|block| Self::read(*block))
    }

    const fn read([event, flags, high, low]: [u8; Self::LENGTH]) -> Option<Self> {
        const END: u8 = 0x80;
        const RESERVED: u8 = 0x40;
        if flags & RESERVED != 0 {
            return None;
        }
        Some(Self {
            event,
            end: flags & END != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_ended_digit() {
        let digit = TelephoneEvent {
            event: 5,
            end: true,
            volume: 10,
            duration: 800,
        };
        assert_eq!(TelephoneEvent::parse(&[5, 0x8a, 0x03, 0x20]), Some(digit));
    }

    #[test]
    fn reads_packed_events_in_turn() {
        let events: Vec<_> = TelephoneEvent::all(&[1, 0x8a, 0, 160, 2, 0x0a, 1, 64])
            .map(|event| (event.event, event.duration))
            .collect();
        assert_eq!(events, [(1, 160), (2, 320)]);
    }

    #[test]
    fn sound_is_no_event() {
        assert_eq!(TelephoneEvent::parse(&[0xd5; 160]), None);
        assert_eq!(TelephoneEvent::parse(&[5, 0x0a, 0, 160, 1]), None);
        assert_eq!(TelephoneEvent::parse(&[]), None);
    }
}
