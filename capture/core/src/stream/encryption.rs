//! Tells encrypted media from plain ones, for payload types whose bytes would decode to noise either way.
//!
//! Ciphertext is uniform: its bytes collide by chance only and its samples don't follow each other. Speech, tones, fax
//! and noise, however loud, are far from that in the logarithmic codes of G.711 and the sub-band codes of G.722. Both
//! measures are normalised to a standard deviation of 1 under ciphertext and tested sequentially (Wald).

use silentmon_proto::codec::Codec;

/// Whether a stream's media can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verdict {
    /// Not enough seen yet, or a codec of which nothing can be told.
    #[default]
    Undecided,
    /// Not encrypted.
    Plain,
    /// Encrypted (SRTP): never relayed, never decoded.
    Encrypted,
}

/// Standard deviations above chance that make a stream plain. Ciphertext gets there once in some 10^7 payloads.
const PLAIN: f32 = 7.0;
/// The same for a stream that was found encrypted before.
const PLAIN_AFTER_ENCRYPTED: f32 = 10.0;
/// Below this after [`ENOUGH`] payloads it is ciphertext. Plain media stand at 15 and more by then.
const CHANCE: f32 = 3.5;
/// Payloads needed to call a stream encrypted by its bytes alone.
const ENOUGH: u16 = 6;
/// Payloads needed where their length shows an authentication tag as well.
const ENOUGH_WITH_TAG: u16 = 3;
/// Shorter payloads say too little.
const SHORTEST: usize = 20;
/// 40 ms of G.711: more adds cost, not certainty.
const LONGEST: usize = 320;
/// Bytes that SRTP adds to a payload: tags of RFC 3711 (10, 4), RFC 7714 (16), and 4 bytes of MKI with them.
const TAGS: [u32; 6] = [4, 8, 10, 14, 16, 20];

/// Watches the payloads of one stream.
#[derive(Debug, Clone, Default)]
pub struct EncryptionDetector {
    verdict: Verdict,
    payloads: u16,
    tagged: u16,
    collisions: f32,
    structure: f32,
}

impl EncryptionDetector {
    /// What is known so far.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Settles it by other evidence, such as a DTLS handshake on the same ports.
    pub const fn declare_encrypted(&mut self) {
        self.verdict = Verdict::Encrypted;
    }

    /// Takes the payload of a packet seen for the first time. `ticks` is the step of the timestamp from the packet
    /// before, where that is known.
    pub fn handle(&mut self, codec: Codec, payload: &[u8], ticks: Option<u32>) -> Verdict {
        let Some(measures) = measure(codec, payload) else {
            return self.verdict;
        };
        self.payloads += 1;
        self.tagged += u16::from(has_tag(codec, payload.len(), ticks));
        self.collisions += measures.collisions;
        self.structure += measures.structure;
        self.judge();
        self.verdict
    }

    fn judge(&mut self) {
        let deviations = self.collisions.max(self.structure) / f32::from(self.payloads).sqrt();
        let plain = match self.verdict {
            Verdict::Encrypted => PLAIN_AFTER_ENCRYPTED,
            Verdict::Undecided | Verdict::Plain => PLAIN,
        };
        let enough = if self.tagged + 1 >= self.payloads {
            ENOUGH_WITH_TAG
        } else {
            ENOUGH
        };
        if deviations >= plain {
            self.conclude(Verdict::Plain);
        } else if self.payloads >= enough && deviations < CHANCE {
            self.conclude(Verdict::Encrypted);
        } else if self.payloads >= 4 * ENOUGH {
            self.conclude(self.verdict);
        }
    }

    /// A new test begins with each verdict, so that a change in mid call is found.
    const fn conclude(&mut self, verdict: Verdict) {
        *self = Self {
            verdict,
            payloads: 0,
            tagged: 0,
            collisions: 0.0,
            structure: 0.0,
        };
    }
}

/// Standard deviations above what ciphertext shows.
struct Measures {
    /// Pairs of equal bytes.
    collisions: f32,
    /// G.711: likeness of neighbouring samples. G.722: absence of the low-band codes an encoder never sends.
    structure: f32,
}

#[allow(clippy::cast_precision_loss)]
fn measure(codec: Codec, payload: &[u8]) -> Option<Measures> {
    let payload = payload.get(..payload.len().min(LONGEST))?;
    if payload.len() < SHORTEST {
        return None;
    }
    let structure = match codec {
        Codec::Pcmu => likeness(payload, 0xff),
        Codec::Pcma => likeness(payload, 0x55),
        Codec::G722 => forbidden_codes(payload),
        Codec::G723 | Codec::G728 | Codec::G729 | Codec::Gsm | Codec::Cn | Codec::TelephoneEvent | Codec::Unknown => {
            return None;
        }
    };
    Some(Measures {
        collisions: collisions(payload),
        structure,
    })
}

fn collisions(payload: &[u8]) -> f32 {
    let mut counts = [0u16; 256];
    let mut found = 0u32;
    for &byte in payload {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            found += u32::from(*count);
            *count += 1;
        }
    }
    let pairs = (payload.len() * (payload.len() - 1) / 2) as f32;
    let by_chance = pairs / 256.0;
    (found as f32 - by_chance) / (by_chance * 255.0 / 256.0).sqrt()
}

/// Correlation of each sample with the next, in the companded domain where ciphertext is uniform; either sign counts.
fn likeness(payload: &[u8], inversion: u8) -> f32 {
    let mut before = 0i32;
    let (mut power, mut product) = (0i32, 0i32);
    for &byte in payload {
        let code = byte ^ inversion;
        let magnitude = i32::from(code & 0x7f);
        let sample = if code & 0x80 == 0 { magnitude } else { -magnitude };
        power += sample * sample;
        product += sample * before;
        before = sample;
    }
    if power == 0 {
        return 0.0;
    }
    product.unsigned_abs() as f32 / power as f32 * (payload.len() as f32).sqrt()
}

/// The four codes 0000xx of the 6-bit low band are no output of an encoder (G.722 table 11).
fn forbidden_codes(payload: &[u8]) -> f32 {
    let found = payload.iter().filter(|&byte| byte & 0x3f < 4).count() as f32;
    let length = payload.len() as f32;
    (length / 16.0 - found) / (length * 15.0 / 256.0).sqrt()
}

/// Whether the payload is longer than its ticks by the length of an authentication tag. One byte a tick is what
/// G.711 and G.722 have in common.
fn has_tag(codec: Codec, length: usize, ticks: Option<u32>) -> bool {
    let one_byte_a_tick = matches!(codec, Codec::Pcmu | Codec::Pcma | Codec::G722);
    let Some(ticks) = ticks.filter(|_| one_byte_a_tick) else {
        return false;
    };
    u32::try_from(length).is_ok_and(|length| TAGS.iter().any(|tag| ticks + tag == length))
}
