//! A real sound interface without sound hardware: a virtual ALSA card that keeps time and writes what was heard. Built
//! from the reference material; skipped where that, gcc or ALSA's headers are absent.
//!
//! ALSA reads its configuration once per process, from the environment, so each test runs itself again as a child.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;
#[path = "../../../tests/common/punctual.rs"]
#[allow(dead_code, reason = "the program's tests bear more than a sound card does")]
mod punctual;

use std::f64::consts::TAU;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{patient_player, play_tone, tone_samples};
use punctual::on_a_machine_that_keeps_time;
use silentmon_playback_io::sink::{Output, Sink};

/// Tells the child where it works; absent in the parent.
const FOLDER: &str = "SILENTMON_TEST_CARD_FOLDER";
/// For how long the child keeps the player from everybody else, now and then, in milliseconds.
const KEEPS: &str = "SILENTMON_TEST_CARD_KEEPS";
/// How long the child plays, in packets of 20 ms.
const PACKETS: &str = "SILENTMON_TEST_CARD_PACKETS";
/// The shortest callback that the card does: one of the longest that it is asked for, since what is tested is not how short
/// they can be.
const PERIOD_MS: u32 = 40;
/// A standstill that a card with such callbacks bears.
const BEARS: Duration = Duration::from_millis(25);

/// A folder in memory where there is one: writing to a disk that is busy takes longer than a card waits.
fn in_memory() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// A virtual card in a folder of its own.
struct VirtualCard {
    folder: tempfile::TempDir,
}

impl VirtualCard {
    /// Builds the card; `None`, with the reason on stderr, where that can't be done.
    fn build() -> Option<Self> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(beside, PathBuf::from);
        let Ok(source) = fs::read_to_string(shared.join("bench/audio/vcard/vcard.c")) else {
            eprintln!("skipped: no virtual card at {}", shared.display());
            return None;
        };
        let folder = in_memory().expect("a folder");
        fs::write(folder.path().join("vcard.c"), adapted(&source)?).expect("writable");
        let library = folder.path().join("libasound_module_pcm_vcard.so");
        let gcc = Command::new("gcc")
            .args(["-O2", "-fPIC", "-shared", "-DPIC", "-o"])
            .arg(&library)
            .arg(folder.path().join("vcard.c"))
            .args(["-lasound", "-lm"])
            .stderr(Stdio::null())
            .status();
        if !gcc.is_ok_and(|status| status.success()) {
            eprintln!("skipped: gcc with ALSA's headers can't build the virtual card");
            return None;
        }
        let configuration = format!(
            "pcm_type.vcard {{ lib \"{}\" }}\n\
             pcm.vcard {{ type vcard hint {{ show on description \"virtual card\" }} }}\n",
            library.display()
        );
        fs::write(folder.path().join("asoundrc"), configuration).expect("writable");
        Some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs this program again, with this card, as `child_plays_a_tone`.
    fn play(&self, packets: usize, rate: u32) -> Child {
        self.play_on(packets, rate, PERIOD_MS, Duration::ZERO)
    }

    /// The same on a card that does callbacks of so many milliseconds, with a player that is kept from it so long at a time.
    fn play_on(&self, packets: usize, rate: u32, period: u32, keeps: Duration) -> Child {
        let _ = fs::remove_file(self.path("heard.s16"));
        let configuration = format!("/usr/share/alsa/alsa.conf:{}", self.path("asoundrc").display());
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_plays_a_tone", "--ignored"])
            .env(FOLDER, self.folder.path())
            .env(PACKETS, packets.to_string())
            .env("ALSA_CONFIG_PATH", configuration)
            .env("VCARD_FILE", self.path("heard.s16"))
            .env("VCARD_META", self.path("heard.json"))
            .env("VCARD_RATE", rate.to_string())
            .env("VCARD_CHANNELS", "2")
            .env("VCARD_PERIOD_BYTES", (rate * period / 1000 * 4).to_string())
            .env(KEEPS, keeps.as_millis().to_string())
            .env("VCARD_GONE", self.path("gone"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts")
    }

    /// What the left channel played.
    fn heard(&self) -> Vec<i16> {
        let bytes = fs::read(self.path("heard.s16")).unwrap_or_default();
        bytes
            .chunks_exact(4)
            .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
            .collect()
    }

    fn events(&self) -> String {
        fs::read_to_string(self.path("events")).unwrap_or_default()
    }

    /// Waits until the child has told of an event so many times.
    fn wait_for(&self, event: &str, times: usize) {
        let begun = Instant::now();
        while self.events().matches(event).count() < times {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "no {event}: {}",
                self.events()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The card's source, changed so that the card is gone as long as the file `VCARD_GONE` names exists, and takes no shorter
/// callbacks than of `VCARD_PERIOD_BYTES`.
fn adapted(source: &str) -> Option<String> {
    let pointer = "static snd_pcm_sframes_t vc_pointer(snd_pcm_ioplug_t *io){";
    let transfer = "    const char *p=(const char*)a->addr";
    let open = "    if(stream!=SND_PCM_STREAM_PLAYBACK) return -EINVAL;";
    let period = "SND_PCM_IOPLUG_HW_PERIOD_BYTES,64,";
    if [pointer, transfer, open, period]
        .iter()
        .any(|place| !source.contains(place))
    {
        eprintln!("skipped: the virtual card's source is another than expected");
        return None;
    }
    let gone = "static int gone(void){ const char *f=getenv(\"VCARD_GONE\"); return f && !access(f,F_OK); }\n";
    Some(
        source
            .replace(pointer, &format!("{gone}{pointer} if(gone()) return -ENODEV;"))
            .replace(transfer, &format!("    if(gone()) return -ENODEV;\n{transfer}"))
            .replace(open, &format!("{open} if(gone()) return -ENODEV;"))
            .replace(
                period,
                "SND_PCM_IOPLUG_HW_PERIOD_BYTES,atoi(getenv(\"VCARD_PERIOD_BYTES\")),",
            ),
    )
}

/// Not a test: what the tests start. Plays a tone on the card and writes down what happens.
#[test]
#[ignore = "started by the tests of this file"]
fn child_plays_a_tone() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let packets = std::env::var(PACKETS).expect("set").parse().expect("a number");
    let mut events = fs::File::create(folder.join("events")).expect("writable");
    let player = patient_player();
    let mut sink = match Sink::open(&Output::Device("alsa:vcard".to_owned()), player.clone()) {
        Ok(sink) => sink,
        Err(error) => {
            writeln!(events, "{}", error.reason()).expect("writable");
            return;
        }
    };
    let keeps = std::env::var(KEEPS).expect("set").parse().expect("a number");
    let keeps = Duration::from_millis(keeps);
    let kept = player.clone();
    let phone = thread::spawn(move || play_tone(&player, packets));
    for turn in 1_u32.. {
        if phone.is_finished() {
            break;
        }
        if !keeps.is_zero() && turn.is_multiple_of(10) {
            let held = kept.lock().expect("no thread died");
            thread::sleep(keeps);
            drop(held);
        }
        while let Some(event) = sink.poll_event() {
            writeln!(events, "{event:?}").expect("writable");
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(600));
    writeln!(events, "{:?}", sink.close()).expect("writable");
}

/// Whether the tone was heard for at least so long, without dropout, slip or change of level.
fn is_whole_tone(heard: &[i16], rate: u32, seconds: f64) -> Result<(), String> {
    let window = rate as usize / 50;
    let turns = |n: usize| n as f64 * TAU * 440.0 / f64::from(rate);
    let phasors: Vec<(f64, f64)> = heard
        .chunks_exact(window)
        .enumerate()
        .map(|(n, samples)| {
            let at = n * window;
            let part = |wave: fn(f64) -> f64| {
                let products = samples.iter().enumerate();
                let sum: f64 = products.map(|(n, &x)| f64::from(x) * wave(turns(at + n))).sum();
                2.0 * sum / window as f64
            };
            let (sine, cosine) = (part(f64::sin), part(f64::cos));
            (sine.hypot(cosine), cosine.atan2(sine))
        })
        .collect();
    let loud = |&(level, _): &(f64, f64)| level > 1000.0;
    let first = phasors.iter().position(loud).ok_or("nothing was heard")?;
    // The first window is cut by the tone's beginning; what follows its end is made up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
    let windows = (seconds * 50.0) as usize;
    let steady = phasors
        .get(first + 1..first + 1 + windows)
        .ok_or("hardly anything was heard")?;
    let phase = steady[0].1;
    for (n, &(level, angle)) in steady.iter().enumerate() {
        let slip = (angle - phase + TAU * 1.5).rem_euclid(TAU) - TAU / 2.0;
        if (level - 16_000.0).abs() > 400.0 || slip.abs() > 0.1 {
            return Err(format!("window {n}: level {level:.0}, phase {slip:.3}"));
        }
    }
    Ok(())
}

/// Tries three times: on a machine under load a card misses a callback now and then, and says so.
fn at_last(bears: Duration, attempt: impl Fn() -> Result<(), String>) {
    on_a_machine_that_keeps_time(bears, || {
        let failures: Vec<String> = (0..3).map_while(|_| attempt().err()).collect();
        assert!(failures.len() < 3, "{failures:#?}");
    });
}

#[test]
fn a_card_of_48_khz_plays_the_tone_from_its_start_without_dropouts() {
    let Some(card) = VirtualCard::build() else { return };
    at_last(BEARS, || {
        card.play(150, 48_000).wait().expect("ends");
        is_whole_tone(&card.heard(), 48_000, 2.9).map_err(|error| format!("{error}; {}", card.events()))?;
        let nothing_missing = card.events().contains("underrun_frames: 0,");
        nothing_missing.then_some(()).ok_or_else(|| card.events())
    });
}

#[test]
fn a_card_of_8_khz_plays_the_very_samples_that_were_decoded() {
    let Some(card) = VirtualCard::build() else { return };
    let expected = tone_samples(100);
    at_last(BEARS, || {
        card.play(100, 8000).wait().expect("ends");
        let heard = card.heard();
        let first = heard.iter().position(|&sample| sample != 0).unwrap_or(1);
        // The tone begins with a zero.
        let whole = heard.get(first - 1..).is_some_and(|heard| heard.starts_with(&expected));
        if whole { Ok(()) } else { Err(card.events()) }
    });
}

/// A figure of what the card wrote of itself.
fn figure(card: &VirtualCard, name: &str) -> u32 {
    let told = fs::read_to_string(card.path("heard.json")).expect("the card wrote it");
    let (_, rest) = told.split_once(&format!("\"{name}\":")).expect("it is there");
    let digits = rest.split([',', '.', '}']).next().unwrap_or_default();
    digits.parse().expect("a number")
}

#[test]
fn a_card_has_most_of_what_it_holds_left_when_it_asks_for_more() {
    let Some(card) = VirtualCard::build() else { return };
    card.play_on(25, 48_000, 5, Duration::ZERO).wait().expect("ends");
    assert_eq!(figure(&card, "period_frames"), 240);
    assert_eq!(figure(&card, "buffer_frames"), 30 * 48);
}

#[test]
fn a_player_that_is_kept_from_the_card_leaves_no_gap_while_the_card_has_sound() {
    let Some(card) = VirtualCard::build() else { return };
    let kept = Duration::from_millis(15);
    at_last(Duration::from_millis(10), || {
        card.play_on(150, 48_000, 5, kept).wait().expect("ends");
        is_whole_tone(&card.heard(), 48_000, 2.9).map_err(|error| format!("{error}; {}", card.events()))?;
        let nothing_missing = card.events().contains("underrun_frames: 0,");
        nothing_missing.then_some(()).ok_or_else(|| card.events())
    });
}

#[test]
fn a_card_that_is_pulled_out_is_told_and_plays_again_when_it_is_back() {
    let Some(card) = VirtualCard::build() else { return };
    let mut child = card.play(500, 48_000);
    card.wait_for("Opened", 1);
    thread::sleep(Duration::from_millis(1500));
    fs::write(card.path("gone"), "").expect("writable");
    card.wait_for("Lost", 1);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(card.events().matches("Returned").count(), 0);
    fs::remove_file(card.path("heard.s16")).expect("was heard before");
    fs::remove_file(card.path("gone")).expect("was there");
    card.wait_for("Returned", 1);
    child.wait().expect("ends");
    let events = card.events();
    assert!(events.contains("losses: 1"), "{events}");
    is_tone_at_the_end(&card.heard());
}

fn is_tone_at_the_end(heard: &[i16]) {
    let loud = heard.iter().filter(|sample| sample.unsigned_abs() > 8000).count();
    assert!(loud > 48_000, "{loud} of {} samples are loud", heard.len());
}

#[test]
fn a_card_that_cannot_be_opened_is_sm_4001() {
    let Some(card) = VirtualCard::build() else { return };
    fs::write(card.path("gone"), "").expect("writable");
    card.play(1, 48_000).wait().expect("ends");
    let told = card.events();
    assert!(
        told.starts_with("SM-4001 No sound card can be opened (\"alsa:vcard\""),
        "{told}"
    );
}
