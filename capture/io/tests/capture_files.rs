//! Every real capture file at hand, whole or broken, gives its frames or an error that names the place; libpcap agrees
//! on the files it can read. Skipped where the captures aren't there.

#![allow(clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};

use common::skip;
use silentmon_capture_io::file::{CaptureFile, Damage, FileError};
use silentmon_proto::frame::LinkType;

fn captures() -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let mut directories = vec![shared.join("data/captures")];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => directories.push(path),
                path => files.push(path),
            }
        }
    }
    files.sort();
    if files.is_empty() {
        skip("no captures (set SILENTMON_SHARED)");
        return None;
    }
    Some(files)
}

/// A frame as both readers give it: link type, nanoseconds, bytes, wire length.
type Seen = (LinkType, u64, Vec<u8>, u32);

fn read(path: &Path) -> (Vec<Seen>, Option<FileError>) {
    let mut seen = Vec::new();
    let mut file = match CaptureFile::open(path) {
        Ok(file) => file,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match file.next_frame() {
            Ok(Some(frame)) => seen.push((
                frame.link_type,
                frame.captured.as_nanos(),
                frame.bytes.to_vec(),
                frame.wire_length,
            )),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

/// What libpcap reads of a file, up to its end or its own error.
fn read_with_libpcap(path: &Path) -> Vec<Seen> {
    let Ok(mut capture) = pcap::Capture::from_file_with_precision(path, pcap::Precision::Nano) else {
        return Vec::new();
    };
    let link_type = u16::try_from(capture.get_datalink().0).map_or(LinkType::Other(u16::MAX), LinkType::from_pcap);
    let mut seen = Vec::new();
    while let Ok(packet) = capture.next_packet() {
        let nanoseconds = packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec;
        seen.push((
            link_type,
            nanoseconds.cast_unsigned(),
            packet.data.to_vec(),
            packet.header.len,
        ));
    }
    seen
}

#[test]
fn every_capture_is_read_or_gives_an_error_that_names_the_place() {
    let Some(files) = captures() else { return };
    for path in files {
        let (frames, error) = read(&path);
        let Some(error) = error else { continue };
        let kept = match frames.len() {
            0 => Damage::Unreadable,
            count => Damage::Kept(count as u64),
        };
        assert_eq!(error.damage(), kept, "{error}");
        assert_eq!(error.file(), path.display().to_string());
        let text = error.to_string();
        assert!(
            text.contains("at byte") && text.contains("expected") && text.contains("found"),
            "{text}"
        );
    }
}

/// libpcap numbers link types in its own way where this program doesn't read them, and cuts frames that are longer than
/// their file's snap length says. Its older versions took seconds after 2038 for seconds before 1970.
/// Frames without a time are at 1970 there.
fn agree(ours: &Seen, theirs: &Seen) -> bool {
    let link_type = ours.0 == theirs.0 || matches!((ours.0, theirs.0), (LinkType::Other(_), LinkType::Other(_)));
    let time = ours.1 == theirs.1 || theirs.1.cast_signed() <= 0;
    link_type && time && ours.2.starts_with(&theirs.2) && ours.3 == theirs.3
}

#[test]
fn libpcap_agrees_on_every_frame_it_can_read() {
    let Some(files) = captures() else { return };
    let mut compared = 0;
    for path in files {
        let theirs = read_with_libpcap(&path);
        let (ours, _) = read(&path);
        assert!(
            ours.len() >= theirs.len(),
            "{}: {} of {}",
            path.display(),
            ours.len(),
            theirs.len()
        );
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            // A fraction of more than a second overflows in libpcap.
            let nonsense = path.ends_with("tcpdump--timestamp_invalid_micro.pcap");
            assert!(
                nonsense || agree(ours, theirs),
                "{} frame {}",
                path.display(),
                number + 1
            );
        }
        compared += theirs.len();
    }
    assert!(compared > 50_000, "only {compared} frames compared");
}
