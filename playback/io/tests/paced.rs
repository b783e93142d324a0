//! The outputs that need no sound card, in real time.
#![allow(clippy::expect_used, reason = "a test may fail here")]

mod common;

use std::time::{Duration, Instant};

use common::{patient_player, play_tone, tone_samples};
use silentmon_playback_io::sink::{Output, Sink, SinkError, SinkEvent};
use silentmon_proto::ids::Leg;

/// The two channels of a stereo file.
fn channels(file: &[u8]) -> [Vec<i16>; 2] {
    let mut channels = [Vec::new(), Vec::new()];
    for frame in file[44..].chunks_exact(4) {
        channels[0].push(i16::from_le_bytes([frame[0], frame[1]]));
        channels[1].push(i16::from_le_bytes([frame[2], frame[3]]));
    }
    channels
}

fn size_in_header(file: &[u8]) -> usize {
    u32::from_le_bytes([file[40], file[41], file[42], file[43]]) as usize
}

#[test]
fn a_file_holds_the_decoded_samples_and_as_many_as_time_passed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.wav");
    let player = patient_player();
    let begun = Instant::now();
    let mut sink = Sink::open(&Output::Wav(path.clone()), player.clone()).expect("opens");
    let opened = Instant::now();
    play_tone(&player, 75);
    std::thread::sleep(Duration::from_millis(500));
    let event = sink.poll_event();
    let shortest = opened.elapsed();
    let summary = sink.close();
    let longest = begun.elapsed();

    let file = std::fs::read(&path).expect("written");
    let [left, right] = channels(&file);
    assert_eq!(size_in_header(&file), file.len() - 44);
    assert_eq!(summary.frames, left.len() as u64);
    let length = Duration::from_micros(left.len() as u64 * 125);
    let slack = Duration::from_millis(100);
    assert!(length <= longest && length + slack >= shortest, "{length:?}");
    let expected = tone_samples(75);
    let first = left.iter().position(|&sample| sample != 0).expect("sound");
    // The tone begins with a zero.
    assert!(left[first - 1..].starts_with(&expected));
    assert!(right.iter().all(|&sample| sample == 0));
    assert!(matches!(event, Some(SinkEvent::Opened { sample_rate: 8000, .. })));
    let report = player.lock().expect("no thread died").report(Leg::Agent);
    assert_eq!(report.audible, Duration::from_millis(1500));
}

#[test]
fn a_file_is_readable_while_it_is_written_and_after_a_drop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.wav");
    let sink = Sink::open(&Output::Wav(path.clone()), patient_player()).expect("opens");
    std::thread::sleep(Duration::from_millis(1300));
    let file = std::fs::read(&path).expect("written");
    assert!(size_in_header(&file) >= 8000, "{} bytes", size_in_header(&file));
    drop(sink);
    let file = std::fs::read(&path).expect("written");
    assert_eq!(size_in_header(&file), file.len() - 44);
}

#[test]
fn nothing_at_all_takes_its_time() {
    let sink = Sink::open(&Output::Null, patient_player()).expect("opens");
    let opened = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let shortest = opened.elapsed();
    let pulled = Duration::from_micros(sink.close().frames * 125);
    let slack = Duration::from_millis(100);
    assert!(
        pulled + slack >= shortest && pulled <= opened.elapsed() + slack,
        "{pulled:?}"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let output = Output::Wav("/no/such/folder/out.wav".into());
    let error = Sink::open(&output, patient_player()).expect_err("no folder");
    assert!(matches!(error, SinkError::File { .. }));
    assert!(error.to_string().contains("/no/such/folder/out.wav"), "{error}");
}

#[test]
fn a_card_that_does_not_exist_is_sm_4001() {
    let output = Output::Device("no such card".into());
    let error = Sink::open(&output, patient_player()).expect_err("no card");
    let reason = error.reason().to_string();
    assert!(reason.starts_with("SM-4001 No sound card \"no such card\""), "{reason}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_the_session_goes_on() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    // The header itself can't be written there, so the file is refused at once.
    let error = Sink::open(&Output::Wav("/dev/full".into()), patient_player()).expect_err("full");
    assert!(error.to_string().contains("/dev/full"), "{error}");
}
