//! The reference material beside the workspace.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Its folder; `None` where it is absent.
pub fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(beside, PathBuf::from);
    if !shared.join("data").is_dir() {
        eprintln!("skipped: no reference material at {}", shared.display());
        return None;
    }
    Some(shared.join("data"))
}

/// A file of 16 bit little-endian samples.
pub fn words(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).expect("readable");
    bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// The hash of samples as 16 bit little-endian.
pub fn hash(samples: &[i16]) -> String {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    Sha256::digest(bytes).iter().fold(String::new(), |mut hash, byte| {
        write!(hash, "{byte:02x}").expect("writes to memory");
        hash
    })
}
