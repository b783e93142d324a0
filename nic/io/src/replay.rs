//! Sends the frames of a capture file, such as somebody else's sample, as they are and at their own pace.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silentmon_capture_io::file::{CaptureFile, FileError};
use silentmon_nic_core::generator::Fate;
use silentmon_nic_core::mac::MacAddress;
use silentmon_proto::frame::LinkType;
use thiserror::Error;

use crate::port::{Port, PortError};

/// The longest pause kept between two frames.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a file wasn't sent to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The frames can't be sent.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// What became of a file's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Sent.
    pub sent: u64,
    /// Not sent: no Ethernet, cut when they were captured, or longer than the interface lets out.
    pub left_out: u64,
}

/// Sends a file's frames; each to `to`, where that is said, else to whom it says itself.
///
/// # Errors
/// Where the file can't be read or the interface is gone.
pub fn run(
    port: &mut dyn Port,
    file: &Path,
    to: Option<MacAddress>,
    stop: &AtomicBool,
) -> Result<Replayed, ReplayError> {
    let mut file = CaptureFile::open(file)?;
    let mut replayed = Replayed::default();
    let mut before = None;
    while let Some(frame) = file.next_frame()? {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let pause = before
            .replace(frame.captured)
            .map_or(Duration::ZERO, |before| frame.captured - before);
        std::thread::sleep(pause.min(LONGEST_PAUSE));
        let mut bytes = frame.bytes.to_vec();
        if let Some((destination, to)) = bytes.get_mut(..6).zip(to) {
            destination.copy_from_slice(&to.0);
        }
        let is_whole = u32::try_from(bytes.len()).is_ok_and(|length| length >= frame.wire_length);
        let is_sendable = frame.link_type == LinkType::Ethernet && is_whole && bytes.len() >= 14;
        if is_sendable && port.send(&bytes)? == Fate::Sent {
            replayed.sent += 1;
        } else {
            replayed.left_out += 1;
        }
    }
    Ok(replayed)
}
