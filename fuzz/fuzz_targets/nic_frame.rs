//! Frames that a NIC test reads: with and without a tag beside them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_nic_core::plan::VOICE_TAG;
use silentmon_nic_core::read::{Arrived, read};
use silentmon_proto::time::Instant;

fuzz_target!(|bytes: &[u8]| {
    let stamp = Instant::EPOCH;
    for metadata in [None, Some(VOICE_TAG)] {
        read(&Arrived { bytes, metadata, stamp });
    }
});
