//! In-band DTMF digits (ITU-T Q.23 frequencies, accepted as Q.24 asks): the capture server counts them, the player mutes
//! them. Which digit it was is nobody's business.
//!
//! A Goertzel filter for each frequency over 15 ms, looked at every 2.5 ms. A digit is two tones, one of each group, that
//! make up nearly all of the sound, whose true frequencies (by the phase from one look to the next) are right and whose
//! levels fit. It is certain 23 ms after its begin at the latest.

/// Q.23: the frequencies of rows and columns in Hz.
const GROUPS: [[f32; 4]; 2] = [[697.0, 770.0, 852.0, 941.0], [1209.0, 1336.0, 1477.0, 1633.0]];
/// Looks at the sound: every 2.5 ms, which is also the length of the ramp into silence and out of it.
pub const HOPS_PER_SECOND: u32 = 400;
/// Weights of the hops under the window; the bevel keeps one tone out of the other's filter.
const WINDOW: [f32; 6] = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0];
/// Variance of the window in hops squared: by it a tone beside its filter's centre is weakened.
const WINDOW_VARIANCE: f32 = 2.0;
/// Weakest digit: -38 dB relative to a full-scale square wave; Q.24 asks for less than 30 dB below.
const WEAKEST: f32 = 1.6e-4;
/// Q.24: up to 1.5 % off must be accepted, beyond 3.5 % must not.
const TOLERANCE: f32 = 0.025;
/// Q.24: the higher tone may be 4 dB stronger to 8 dB weaker; 2 dB more for what noise adds.
const TWIST: std::ops::RangeInclusive<f32> = 0.1..=4.0;
/// Share of the sound that both tones make up, until it counts as a digit and while it goes on.
const SHARE: f32 = 0.8;
const SHARE_GOING_ON: f32 = 0.5;
/// Looks in a row that must see the same digit.
const LOOKS: u32 = 3;
/// Looks without the digit after which it is over; Q.24 bridges interruptions of 10 ms.
const PATIENCE: u32 = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    fn turned(self, by: Self) -> Self {
        Self {
            re: self.re * by.re - self.im * by.im,
            im: self.re * by.im + self.im * by.re,
        }
    }

    fn conjugate(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    fn plus(self, other: Self, weight: f32) -> Self {
        Self {
            re: self.re + other.re * weight,
            im: self.im + other.im * weight,
        }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// The filter of one frequency.
#[derive(Debug, Clone, Copy)]
struct Tone {
    frequency: f32,
    /// One sample's and one hop's turn of the phase.
    sample_turn: Complex,
    hop_turn: Complex,
    /// Goertzel's state.
    newest: f32,
    before: f32,
    /// Of the hops under the window, oldest first, each seen from its own end.
    hops: [Complex; WINDOW.len()],
    seen: Complex,
    seen_before: Complex,
}

impl Tone {
    fn new(frequency: f32, sample_rate: u32, hop: u32) -> Self {
        let turn = |samples: u32| {
            let angle = std::f32::consts::TAU * frequency * samples as f32 / sample_rate as f32;
            Complex {
                re: angle.cos(),
                im: angle.sin(),
            }
        };
        Self {
            frequency,
            sample_turn: turn(1),
            hop_turn: turn(hop),
            newest: 0.0,
            before: 0.0,
            hops: Default::default(),
            seen: Complex::default(),
            seen_before: Complex::default(),
        }
    }

    fn observe(&mut self, sample: f32) {
        let state = sample + 2.0 * self.sample_turn.re * self.newest - self.before;
        self.before = self.newest;
        self.newest = state;
    }

    fn end_hop(&mut self) {
        self.hops.rotate_left(1);
        if let Some(last) = self.hops.last_mut() {
            *last = Complex {
                re: self.newest - self.sample_turn.re * self.before,
                im: self.sample_turn.im * self.before,
            };
        }
        (self.newest, self.before) = (0.0, 0.0);
        self.seen_before = self.seen;
        self.seen = self
            .hops
            .iter()
            .zip(WINDOW)
            .fold(Complex::default(), |sum, (&hop, weight)| {
                sum.turned(self.hop_turn).plus(hop, weight)
            });
    }

    /// How far the sound's phase turned in a hop beyond what this frequency would have it.
    fn ahead(&self) -> f32 {
        let turned = self
            .seen
            .turned(self.seen_before.conjugate())
            .turned(self.hop_turn.conjugate());
        turned.im.atan2(turned.re)
    }

    /// Deviation from the frequency, as a share of it.
    fn deviation(&self) -> f32 {
        self.ahead() / std::f32::consts::TAU * HOPS_PER_SECOND as f32 / self.frequency
    }

    /// Mean square of the tone, made good for its deviation.
    fn power(&self, hop: u32) -> f32 {
        let weight = WINDOW.iter().sum::<f32>() * hop as f32;
        let weakened = (-self.ahead().powi(2) * WINDOW_VARIANCE).exp();
        2.0 * self.seen.power() / (weight * weight * weakened)
    }
}

/// One of the 16 digits, as row and column.
type Digit = [usize; 2];

/// Listens for digits in samples at full scale ±1.
#[derive(Debug)]
pub struct DtmfDetector {
    hop: u32,
    observed: u32,
    energy: f32,
    /// Of the hops under the window, oldest first.
    energies: [f32; WINDOW.len()],
    groups: [[Tone; 4]; 2],
    digit: Option<Digit>,
    /// Looks in a row that saw `digit`, or, once it is certain, that missed it.
    seen: u32,
    missed: u32,
}

impl DtmfDetector {
    /// For sound of so many samples a second.
    pub fn new(sample_rate: u32) -> Self {
        let hop = (sample_rate / HOPS_PER_SECOND).max(1);
        Self {
            hop,
            observed: 0,
            energy: 0.0,
            energies: [0.0; WINDOW.len()],
            groups: GROUPS.map(|group| group.map(|frequency| Tone::new(frequency, sample_rate, hop))),
            digit: None,
            seen: 0,
            missed: 0,
        }
    }

    /// Takes a sample; says whether a digit is heard where a hop ends with it.
    pub fn observe(&mut self, sample: f32) -> Option<bool> {
        self.energy += sample * sample;
        for tone in self.groups.iter_mut().flatten() {
            tone.observe(sample);
        }
        self.observed += 1;
        (self.observed == self.hop).then(|| self.end_hop())
    }

    fn end_hop(&mut self) -> bool {
        self.observed = 0;
        self.energies.rotate_left(1);
        if let Some(last) = self.energies.last_mut() {
            *last = self.energy;
        }
        self.energy = 0.0;
        for tone in self.groups.iter_mut().flatten() {
            tone.end_hop();
        }
        if self.is_certain() {
            self.go_on();
        } else {
            self.look();
        }
        self.is_certain()
    }

    const fn is_certain(&self) -> bool {
        self.seen >= LOOKS
    }

    fn look(&mut self) {
        let digit = self.strongest();
        let found = self.is_digit(digit).then_some(digit);
        self.seen = match found {
            None => 0,
            Some(_) if found == self.digit => self.seen + 1,
            Some(_) => 1,
        };
        self.digit = found;
        self.missed = 0;
    }

    fn go_on(&mut self) {
        let still = self.digit.is_some_and(|digit| {
            let [low, high] = self.powers(digit);
            let sound = self.mean_square();
            sound > WEAKEST / 4.0 && low + high >= sound * SHARE_GOING_ON
        });
        self.missed = if still { 0 } else { self.missed + 1 };
        if self.missed == PATIENCE {
            self.seen = 0;
            self.digit = None;
        }
    }

    fn strongest(&self) -> Digit {
        self.groups.each_ref().map(|group| {
            let powers = group.iter().map(|tone| tone.seen.power()).enumerate();
            powers.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
        })
    }

    fn is_digit(&self, digit: Digit) -> bool {
        let sound = self.mean_square();
        if sound < WEAKEST {
            return false;
        }
        let [low, high] = self.powers(digit);
        let mut tones = self.tones(digit);
        low + high >= sound * SHARE
            && TWIST.contains(&(high / low))
            && tones.all(|tone| tone.deviation().abs() <= TOLERANCE)
    }

    fn tones(&self, digit: Digit) -> impl Iterator<Item = &Tone> {
        self.groups
            .iter()
            .zip(digit)
            .filter_map(|(group, index)| group.get(index))
    }

    fn powers(&self, digit: Digit) -> [f32; 2] {
        let mut powers = self.tones(digit).map(|tone| tone.power(self.hop));
        [powers.next().unwrap_or(0.0), powers.next().unwrap_or(0.0)]
    }

    /// Of the sound under the window.
    fn mean_square(&self) -> f32 {
        let weighted = self.energies.iter().zip(WINDOW).map(|(energy, weight)| energy * weight);
        weighted.sum::<f32>() / (WINDOW.iter().sum::<f32>() * self.hop as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a digit begins in the sound.
    fn count(samples: impl Iterator<Item = f32>) -> usize {
        let mut detector = DtmfDetector::new(8000);
        let mut heard = false;
        let mut digits = 0;
        for sample in samples {
            if let Some(now) = detector.observe(sample) {
                digits += usize::from(now && !heard);
                heard = now;
            }
        }
        digits
    }

    fn tone(frequencies: [f32; 2], milliseconds: usize) -> impl Iterator<Item = f32> {
        (0..milliseconds * 8).map(move |n| {
            let wave = |frequency: f32| (std::f32::consts::TAU * frequency * n as f32 / 8000.0).sin();
            0.2 * (wave(frequencies[0]) + wave(frequencies[1]))
        })
    }

    #[test]
    fn each_digit_is_heard_once_and_other_tones_not_at_all() {
        let digits = GROUPS[0]
            .into_iter()
            .flat_map(|row| GROUPS[1].map(|column| [row, column]));
        let keyed = digits.flat_map(|digit| tone(digit, 50).chain(tone([0.0; 2], 50)));
        assert_eq!(count(keyed), 16);
        assert_eq!(count(tone([350.0, 440.0], 500)), 0);
        assert_eq!(count(tone([697.0, 0.0], 500)), 0);
    }
}
