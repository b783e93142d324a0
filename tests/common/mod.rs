//! What the end-to-end tests share: the program, certificates made by it, a capture service that ends with the test.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::must_use_candidate,
    reason = "a test that can't go on panics"
)]
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod https;
pub mod memory;
pub mod punctual;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The program under test.
pub fn silentmon() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silentmon"));
    command.stdin(Stdio::null()).env_remove("SILENTMON_LOG");
    command
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The folder of the reference data, or `None` with a word on stderr.
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("SILENTMON_SHARED")
        .map_or(beside, PathBuf::from)
        .join("data");
    if !folder.is_dir() {
        eprintln!("skipped: no reference data at {}", folder.display());
        return None;
    }
    Some(folder)
}

/// A row of a table, by column name.
pub type Row = BTreeMap<String, String>;

/// The rows of a table of the reference data.
pub fn rows(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).expect("a table");
    let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned));
    let names: Vec<String> = lines.next().expect("a header").collect();
    lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect()
}

/// All files of a folder and the folders in it, in order.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Runs the program and gives back how it ended and what it said.
pub fn run(arguments: &[&str]) -> Output {
    silentmon().args(arguments).output().expect("the program starts")
}

/// Both streams of a finished program, for messages.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asks a program to end (SIGINT), as Ctrl-C does, so that it closes its files.
pub fn interrupt(child: &Child) {
    signal(child, "-INT");
}

fn signal(child: &Child, signal: &str) {
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success(), "{signal}");
}

/// What a server without TLS answers to `GET`, head and body.
pub fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer
}

/// Waits until nothing is missing any more; says what was, where that takes too long.
pub fn eventually(limit: Duration, mut missing: impl FnMut() -> Option<String>) {
    let deadline = Instant::now() + limit;
    while let Some(missing) = missing() {
        assert!(Instant::now() < deadline, "{missing}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port that is free for TCP and UDP just now.
pub fn free_address() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("its address");
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// A folder with an authority, a capture server `gw1` and supervisors `anna` and `bert`.
pub struct House {
    folder: tempfile::TempDir,
}

impl House {
    /// The folder alone.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn build() -> Self {
        let house = Self::empty();
        std::fs::write(house.path("password"), "correct horse").expect("writes");
        let (folder, password) = (house.text("."), house.text("password"));
        Self::must(&["certs", "init-ca", "--out", &folder, "--password-file", &password]);
        house.certificate("capture", "gw1", &["--san", "127.0.0.1"]);
        house.certificate("supervisor", "anna", &[]);
        house.certificate("supervisor", "bert", &[]);
        house
    }

    pub fn certificate(&self, role: &str, name: &str, more: &[&str]) {
        let folder = self.text(".");
        let request = ["certs", "request", "--role", role, "--name", name, "--out", &folder];
        Self::must(&[&request, more].concat());
        let (csr, out, password) = (
            self.text(&format!("{name}.csr")),
            self.text(&format!("{name}.pem")),
            self.text("password"),
        );
        Self::must(&[
            "certs",
            "sign",
            "--ca",
            &folder,
            "--csr",
            &csr,
            "--out",
            &out,
            "--password-file",
            &password,
        ]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file for its owner only, as private keys have to be.
    pub fn write_secret(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).expect("writes");
        let secret = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.path(name), secret).expect("sets the mode");
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a UTF-8 path").to_owned()
    }

    fn must(arguments: &[&str]) {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }

    /// Writes a capture configuration around `source` and returns where the service will listen.
    pub fn configure(&self, source: &str, events: &str, policy: &str) -> SocketAddr {
        let listen = free_address();
        std::fs::write(self.path("events.jsonl"), events).expect("writes");
        let config = format!(
            r#"schema = 1
[capture]
source = {source}
[service]
listen = "{listen}"
identity = "gw1.pem"
ca = "ca.pem"
[cluster]
name = "gw1"
[[cti]]
kind = "script"
path = "events.jsonl"
[policy]
disclosure = "never"
who = "any-supervisor"
{policy}
[audit]
path = "audit.jsonl"
"#
        );
        std::fs::write(self.path("capture.toml"), config).expect("writes");
        listen
    }

    /// Starts the capture service of the configuration and waits until it is ready.
    pub fn start(&self) -> Service {
        let mut command = silentmon();
        command.args(["capture", "--config", &self.text("capture.toml")]);
        Service::start(command)
    }

    /// `listen AGENT` as `supervisor` with JSON summary.
    pub fn listen(&self, supervisor: &str, agent: &str, server: SocketAddr, more: &[&str]) -> Command {
        let mut command = silentmon();
        command.args(["listen", agent, "--json", "--server", &server.to_string()]);
        command.args([
            "--identity",
            &self.text(&format!("{supervisor}.pem")),
            "--ca",
            &self.text("ca.pem"),
        ]);
        command.args(more);
        command
    }
}

/// A service in the background, ended when dropped.
pub struct Service {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Service {
    /// Starts it and waits for the line `ready`.
    pub fn start(command: Command) -> Self {
        Self::start_with_log(command).0
    }

    /// The same, with the lines before `ready`.
    pub fn start_with_log(mut command: Command) -> (Self, Vec<String>) {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("a log"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let service = Self { child, lines };
        let (before, _) = service.read_up_to(|line| line.trim_end().ends_with("ready"));
        (service, before)
    }

    /// Waits for a line of the log.
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.read_up_to(wanted).1
    }

    /// Waits for a line of the log; gives the lines before it, too.
    pub fn read_up_to(&self, wanted: impl Fn(&str) -> bool) -> (Vec<String>, String) {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(20)) {
            if wanted(&line) {
                return (seen, line);
            }
            seen.push(line);
        }
        panic!("the line never came; the log was:\n{}", seen.join("\n"));
    }

    /// The lines of the log that nobody waited for yet.
    pub fn log(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Ends it as a crash does (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().expect("is killed");
        self.child.wait().expect("it ends");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the system says of each of its threads: the value of `key` in /proc/PID/task/TID/status.
    pub fn threads(&self, key: &str) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let value = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.expect("a thread").path().join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with(key))?;
            Some(line.split(':').nth(1)?.trim().to_owned())
        };
        tasks.filter_map(value).collect()
    }

    /// The same as [`Self::terminate`], with the last lines of the log.
    pub fn terminate_with(mut self, log: &mut Vec<String>) -> (Option<i32>, Duration) {
        let lines = std::mem::replace(&mut self.lines, mpsc::channel().1);
        let ended = self.terminate();
        log.extend(lines);
        ended
    }

    /// Lets it read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        signal(&self.child, "-HUP");
    }

    /// Sends SIGTERM and waits for the end: exit code and how long it took.
    pub fn terminate(mut self) -> (Option<i32>, Duration) {
        let begun = std::time::Instant::now();
        signal(&self.child, "-TERM");
        let status = self.child.wait().expect("it ends");
        (status.code(), begun.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Samples of a 16-bit PCM WAV file, one vector a channel.
pub fn wav_channels(path: &Path) -> Vec<Vec<i16>> {
    let bytes = std::fs::read(path).expect("the WAV file is there");
    assert_eq!(&bytes[..4], b"RIFF");
    let channels = usize::from(u16::from_le_bytes([bytes[22], bytes[23]]));
    let mut at = 12;
    while &bytes[at..at + 4] != b"data" {
        at += 8 + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes")) as usize;
    }
    let samples: Vec<_> = bytes[at + 8..]
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    (0..channels)
        .map(|channel| samples.iter().skip(channel).step_by(channels).copied().collect())
        .collect()
}

/// The exact decode of one leg of the fixture call.
pub fn exact(house: &House, leg: &str) -> Vec<i16> {
    let wav = house.text(&format!("exact-{leg}.wav"));
    let call = fixture("call.pcap.gz");
    let call = call.to_str().expect("a UTF-8 path");
    let arguments = [
        "replay",
        call,
        "--media-address",
        "10.1.1.20:24678",
        "--leg",
        leg,
        "--exact",
        "--wav",
        &wav,
    ];
    let output = run(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    wav_channels(wav.as_ref()).remove(0)
}

/// The longest run of samples in which `heard` and `exact` agree, for the shift at which they do: where it begins in
/// `heard`, and how long it is. The shift is found by a stretch of loud samples from the middle of `heard`, after the silence
/// until the first packet.
pub fn common_run(heard: &[i16], exact: &[i16]) -> (usize, usize) {
    const PROBE: usize = 400;
    let begun = heard
        .iter()
        .position(|&sample| sample != 0)
        .expect("something is heard");
    let loud = (begun.max(heard.len() / 3)..heard.len().saturating_sub(PROBE))
        .find(|&at| {
            heard[at..at + PROBE]
                .iter()
                .filter(|sample| sample.unsigned_abs() > 500)
                .count()
                > PROBE / 4
        })
        .expect("something is heard");
    let probe = &heard[loud..loud + PROBE];
    let found = exact
        .windows(PROBE)
        .position(|window| window == probe)
        .expect("what is heard is in the call");
    let before = heard[..loud]
        .iter()
        .rev()
        .zip(exact[..found].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let after = heard[loud..]
        .iter()
        .zip(&exact[found..])
        .take_while(|(a, b)| a == b)
        .count();
    (loud - before, before + after)
}
