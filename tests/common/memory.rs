//! Looks for the sound of a call in the memory of a running program.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// Bytes of a packet's payload that are looked for.
const LENGTH: usize = 32;
const PAGE: usize = 4096;

/// Stretches of the payloads of a call, loud ones: silence is found everywhere.
pub struct Traces {
    stretches: HashSet<[u8; LENGTH]>,
    /// Whether any stretch begins with these two bytes.
    begins: Vec<bool>,
}

impl Traces {
    /// Of the G.711 packets of a capture file (libpcap's classic format, compressed or not).
    pub fn of_capture(path: &std::path::Path) -> Self {
        let unpacked = Command::new("gzip")
            .args(["-dcf"])
            .arg(path)
            .output()
            .expect("gzip runs");
        let bytes = unpacked.stdout;
        let mut at = 24;
        let mut stretches = HashSet::<[u8; LENGTH]>::new();
        while let Some(header) = bytes.get(at..at + 16) {
            let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
            let frame = &bytes[at + 16..at + 16 + length];
            at += 16 + length;
            // Addresses, headers and 160 bytes of sound, at the end of the frame.
            let Some(sound) = frame.len().checked_sub(100).map(|from| &frame[from..from + LENGTH]) else {
                continue;
            };
            let different = sound.iter().collect::<HashSet<_>>().len();
            if frame.len() > 200 && different > LENGTH * 3 / 4 {
                stretches.insert(sound.try_into().expect("as long"));
            }
        }
        Self::new(stretches)
    }

    /// Of decoded sound, as a player holds it: samples as 32-bit floating-point numbers at full scale ±1.
    pub fn of_sound(samples: &[i16]) -> Self {
        let loud = |window: &&[i16]| window.iter().collect::<HashSet<_>>().len() == window.len();
        let bytes = |window: &[i16]| {
            let mut bytes = [0; LENGTH];
            for (place, sample) in bytes.chunks_exact_mut(4).zip(window) {
                place.copy_from_slice(&(f32::from(*sample) / 32768.0).to_ne_bytes());
            }
            bytes
        };
        Self::new(samples.chunks_exact(LENGTH / 4).filter(loud).map(bytes).collect())
    }

    fn new(stretches: HashSet<[u8; LENGTH]>) -> Self {
        assert!(stretches.len() > 100, "the call is loud enough to be found");
        let mut begins = vec![false; 1 << 16];
        for stretch in &stretches {
            begins[usize::from(stretch[0]) << 8 | usize::from(stretch[1])] = true;
        }
        Self { stretches, begins }
    }

    /// How often any of them stands in the writable memory of a process, the rings of packet sockets apart: they are the
    /// kernel's, and overwritten by what comes next. `None` where the memory may not be read.
    pub fn count_in(&self, process: u32) -> Option<usize> {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
        let memory = File::open(format!("/proc/{process}/mem")).ok()?;
        let writable = maps
            .lines()
            .filter(|line| line.contains(" rw") && !line.contains("socket:"));
        let mut count = 0;
        for line in writable {
            let (from, to) = line.split(' ').next()?.split_once('-')?;
            let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).expect("an address"));
            let mut bytes = vec![0; usize::try_from(to - from).expect("fits")];
            if memory.read_exact_at(&mut bytes, from).is_ok() {
                // Most of it was never used; a stretch over the end of a page is as good as gone.
                let used = bytes.chunks(PAGE).filter(|page| *page != &[0; PAGE][..page.len()]);
                count += used.map(|page| self.count(page)).sum::<usize>();
            }
        }
        Some(count)
    }

    fn count(&self, bytes: &[u8]) -> usize {
        let mut count = 0;
        for at in 0..bytes.len().saturating_sub(LENGTH) {
            if self.begins[usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])] {
                count += usize::from(self.stretches.contains(&bytes[at..at + LENGTH]));
            }
        }
        count
    }
}
