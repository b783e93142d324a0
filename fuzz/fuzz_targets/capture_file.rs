//! Capture files of every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_capture_io::file::CaptureFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = CaptureFile::from_bytes("fuzz", bytes.to_vec()) else { return };
    while let Ok(Some(frame)) = file.next_frame() {
        assert!(frame.bytes.len() <= 1 << 20);
    }
});
