//! `silentmon demo`: a call through the whole chain on this machine. A simulated CTI Server tells of the embedded, tagged
//! two-party call, a capture service reads it as if it came from a mirror port; `listen` hears the agent over the relay.
//! Certificates are made on the fly, everything runs on loopback in one process tree and is gone afterwards.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use crate::commands::certs;
use crate::output;

/// The call: 802.1Q-tagged G.711 both ways, made by `scripts/make-fixtures`.
const CALL: &[u8] = include_bytes!("../../tests/fixtures/call.pcap.gz");
/// Its CTI events.
const EVENTS: &str = include_str!("../../tests/fixtures/call.events.jsonl");
/// How long the call's capture file takes, until it begins anew.
const ROUND: Duration = Duration::from_millis(24_510);
/// The call's number in its events; each round has its own.
const CALL_NUMBER: u32 = 81;
/// The agent in it.
const AGENT: &str = "4711";
/// How long the capture service may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How long to listen.
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u32,
    /// Writes what is heard to a file instead of the sound card: agent left, customer right.
    #[arg(long, value_name = "OUT.wav")]
    wav: Option<PathBuf>,
    /// Opens no browser. (There is no page yet: this version is heard from the terminal.)
    #[arg(long)]
    no_browser: bool,
}

/// Runs the demonstration.
///
/// # Errors
/// Where a part of the chain doesn't start.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = Folder::make()?;
    say("1. Certificates: an authority, a capture server, a supervisor.");
    make_certificates(folder.path())?;
    say("2. A simulated CTI Server tells of agents, calls and media addresses.");
    let (sides, server) = ([free_address()?, free_address()?], free_address()?);
    let script = folder.path().join("call.events.jsonl");
    std::fs::write(&script, events(args.seconds)?).context("writing the CTI events")?;
    let _cti_server = Service::start(&simulation(&script, sides))?;
    say("3. A capture service reads a tagged two-party call as from a mirror port.");
    let config = write_inputs(folder.path(), server, sides)?;
    let _capture = Service::start(&["capture".into(), "--config".into(), config.into()])?;
    say(&format!(
        "4. Supervisor \"demo\" listens to agent {AGENT} for {} s over the relay (QUIC, mutual TLS).",
        args.seconds
    ));
    if !listen(folder.path(), server, args)? {
        say("Not both sides were heard.");
        return Ok(ExitCode::FAILURE);
    }
    match &args.wav {
        Some(wav) => say(&format!(
            "5. {} holds what was heard: agent left, customer right.",
            wav.display()
        )),
        None => say("5. That was the call: agent left, customer right."),
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) {
    output::complain(text);
}

/// A folder of the demonstration's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).context("choosing a name for the demonstration's folder")?;
        let path = std::env::temp_dir().join(format!("silentmon-demo-{:016x}", u64::from_le_bytes(name)));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&path)
            .with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the demonstration's folder stays behind");
        }
    }
}

fn make_certificates(folder: &Path) -> anyhow::Result<()> {
    let ca = certs::ThrowAwayCa::make(folder)?;
    ca.issue(certs::Role::Capture, "gw-demo", &["127.0.0.1"])?;
    ca.issue(certs::Role::Supervisor, "demo", &[])
}

/// A port that is free for both QUIC and HTTPS just now.
fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..16 {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port on 127.0.0.1")
}

/// The call's events, again for each round of the capture file, and for as long as it is listened to.
fn events(seconds: u32) -> anyhow::Result<String> {
    let rounds = seconds / u32::try_from(ROUND.as_secs())? + 2;
    let mut lines = Vec::new();
    for round in 0..rounds {
        for line in EVENTS.lines() {
            let mut event: serde_json::Value = serde_json::from_str(line).context("reading the embedded CTI events")?;
            let at = event["at"].as_f64().unwrap_or(0.0) + (ROUND * round).as_secs_f64();
            event["at"] = at.into();
            if event.get("call").is_some() {
                event["call"] = (CALL_NUMBER + round).to_string().into();
            }
            lines.push(event.to_string());
        }
    }
    Ok(lines.join("\n"))
}

fn simulation(script: &Path, sides: [SocketAddr; 2]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["simulate".into(), "cti-server".into(), "--script".into(), script.into()];
    for side in sides {
        arguments.extend(["--listen".into(), side.to_string().into()]);
    }
    arguments
}

fn write_inputs(folder: &Path, server: SocketAddr, [side_a, side_b]: [SocketAddr; 2]) -> anyhow::Result<PathBuf> {
    std::fs::write(folder.join("call.pcap.gz"), CALL).context("writing the embedded call")?;
    let config = format!(
        r#"schema = 1
[capture]
source = {{ file = "call.pcap.gz", pace = "real", loop = true }}
[service]
listen = "{server}"
identity = "gw-demo.pem"
ca = "ca.pem"
[cluster]
name = "gw-demo"
[[cti]]
kind = "cisco-cti-server"
side_a = "{side_a}"
side_b = "{side_b}"
[policy]
disclosure = "never"
who = "any-supervisor"
recording = "allowed"
[audit]
path = "audit.jsonl"
"#
    );
    let path = folder.join("capture.toml");
    std::fs::write(&path, config).context("writing the capture service's configuration")?;
    Ok(path)
}

/// A child process that ends with the demonstration.
struct Service(Child);

impl Service {
    /// Starts this program with other arguments and waits until it is ready.
    fn start(arguments: &[OsString]) -> anyhow::Result<Self> {
        let mut child = Command::new(program()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting a part of the demonstration")?;
        let log = child.stderr.take().context("reading a part's log")?;
        let service = Self(child);
        wait_until_ready(log)?;
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            tracing::warn!(%error, "a part of the demonstration could not be ended");
        }
    }
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding this program")
}

/// Reads the log until the line `ready`; what came before is shown where it never comes.
fn wait_until_ready(log: std::process::ChildStderr) -> anyhow::Result<()> {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Nobody listens any more once it is ready; reading on keeps the pipe from filling.
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + START_LIMIT;
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.trim_end().ends_with("ready") {
            return Ok(());
        }
        seen.push(line);
    }
    bail!("a part of the demonstration did not start:\n{}", seen.join("\n"))
}

/// Listens with the program's own command and shows its summary; heard is what came of both legs.
fn listen(folder: &Path, server: SocketAddr, args: &DemoArgs) -> anyhow::Result<bool> {
    let output = args
        .wav
        .as_ref()
        .map_or_else(|| "default".to_owned(), |wav| format!("wav:{}", wav.display()));
    let heard = listen_to(&output, folder, server, args)?;
    if heard.is_some() || args.wav.is_some() {
        return Ok(heard == Some(true));
    }
    say("No sound card answers here: the call is followed without sound (--wav OUT.wav writes it to a file).");
    Ok(listen_to("null", folder, server, args)? == Some(true))
}

/// `None` where it could not be listened at all.
fn listen_to(output: &str, folder: &Path, server: SocketAddr, args: &DemoArgs) -> anyhow::Result<Option<bool>> {
    let ended = Command::new(program()?)
        .args(["listen", AGENT, "--json", "--reason", "demonstration", "--server"])
        .arg(server.to_string())
        .arg("--identity")
        .arg(folder.join("demo.pem"))
        .arg("--ca")
        .arg(folder.join("ca.pem"))
        .args(["--output", output, "--for"])
        .arg(args.seconds.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting `listen`")?;
    if !ended.status.success() {
        return Ok(None);
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&ended.stdout).context("reading the summary of `listen`")?;
    output::json(&summary)?;
    let received = |leg: &str| summary["legs"][leg]["received"].as_u64().unwrap_or(0);
    Ok(Some(received("agent") > 0 && received("customer") > 0))
}
