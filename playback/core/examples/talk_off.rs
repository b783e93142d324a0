//! How often speech is taken for a DTMF digit: reads mono 16-bit samples at 8 kHz (little endian, no header) from each
//! file, prints what was muted.
//!
//! `cargo run --release -p silentmon-playback-core --example talk_off FILE.s16 ...`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example may read files"
)]

use silentmon_playback_core::mix::{MixSettings, Mixer};

const RATE: u32 = 8000;

fn main() -> std::io::Result<()> {
    let mut hours = 0.0;
    let mut muted = 0;
    for path in std::env::args().skip(1) {
        let samples = read(&path)?;
        let found = digits(&samples);
        hours += samples.len() as f64 / f64::from(RATE) / 3600.0;
        muted += found.len();
        println!("{path}: {} in {} s {found:?}", found.len(), samples.len() / 8000);
    }
    println!("{muted} in {hours:.3} h of speech: {:.1} an hour", muted as f64 / hours);
    Ok(())
}

fn read(path: &str) -> std::io::Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let samples = bytes.chunks_exact(2).map(|pair| match pair {
        &[low, high] => f32::from(i16::from_le_bytes([low, high])) / 32_768.0,
        _ => 0.0,
    });
    Ok(samples.collect())
}

/// Seconds at which something was taken for a digit.
fn digits(samples: &[f32]) -> Vec<f64> {
    let mut mixer = Mixer::new(RATE);
    mixer.set(MixSettings {
        suppress_dtmf: true,
        ..MixSettings::default()
    });
    let mut out = [[0.0; 2]; 20];
    let mut found = Vec::new();
    for (index, chunk) in samples.chunks(out.len()).enumerate() {
        let before = mixer.levels().agent.digits_muted;
        mixer.mix(chunk, &[], &mut out);
        if mixer.levels().agent.digits_muted > before {
            found.push((index * out.len()) as f64 / f64::from(RATE));
        }
    }
    found
}
