//! Two network namespaces joined by a veth pair: one is the mirror port, in the other the capture server runs.
//! Frames are sent by `tcpreplay` at the pace of the capture, so the kernel's own path for tagged frames is tested.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::common::{House, Service, interrupt, silentmon};

/// Name of the interface at which the capture server sees the mirror.
pub const INTERFACE: &str = "span0";
/// Name of the interface into which the mirror sends.
pub const MIRROR: &str = "mirror0";
static LABS: AtomicU32 = AtomicU32::new(0);

/// The two namespaces, removed at the end.
pub struct Lab {
    mirror: String,
    server: String,
}

impl Lab {
    /// Builds it, or says on stderr why that can't be done here.
    pub fn build() -> Option<Self> {
        if let Err(reason) = prerequisites() {
            eprintln!("skipped: {reason}");
            return None;
        }
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let [mirror, server] = ["m", "s"].map(|end| format!("smlab-{}-{number}{end}", std::process::id()));
        let lab = Self { mirror, server };
        for namespace in [&lab.mirror, &lab.server] {
            if !ip(&["netns", "add", namespace]) {
                eprintln!("skipped: network namespaces can't be made here");
                return None;
            }
        }
        let (mirror, server) = (lab.mirror.as_str(), lab.server.as_str());
        let pair = [
            "link", "add", MIRROR, "netns", mirror, "type", "veth", "peer", "name", INTERFACE, "netns", server,
        ];
        assert!(ip(&pair), "a veth pair joins the namespaces");
        for (namespace, link) in [(mirror, MIRROR), (server, INTERFACE), (server, "lo")] {
            assert!(ip(&["-n", namespace, "link", "set", link, "up"]), "{link} comes up");
        }
        Some(lab)
    }

    /// The same command, run in the capture server's namespace.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside
            .args(["netns", "exec", &self.server])
            .arg(command.get_program())
            .args(command.get_args());
        inside.stdin(Stdio::null());
        inside
    }

    /// Starts the capture service of the house's configuration on the mirrored interface.
    pub fn serve(&self, house: &House) -> Service {
        let mut command = silentmon();
        command.args(["capture", "--config", &house.text("capture.toml")]);
        Service::start(self.inside(&command))
    }

    /// A command at the other end of the veth pair, whose interface there is [`MIRROR`].
    pub fn at_mirror(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.mirror]).arg(program);
        command
    }

    /// Sends the RTP of one call into the mirror at its real pace: two legs of 50 packets a second.
    ///
    /// By rate and not by the file's stamps: those `tcpreplay` follows frame by frame and falls behind, by 0.4 to 2.5 s
    /// in 24 s on a busy machine, whereas a rate is kept to a few milliseconds.
    pub fn play(&self, capture: &Path) -> Running {
        let mut command = self.at_mirror("tcpreplay");
        command.args(["--quiet", "--timer", "nano", "--pps", "100"]);
        command.args(["--intf1", MIRROR]).arg(capture);
        Running::start(command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.mirror, &self.server] {
            ip(&["netns", "delete", namespace]);
        }
    }
}

fn prerequisites() -> Result<(), String> {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .map_err(|error| format!("id: {error}"))?;
    if id.stdout != b"0\n" {
        return Err("network namespaces need root".to_owned());
    }
    for (tool, argument) in [("ip", "-V"), ("tcpreplay", "--version"), ("python3", "--version")] {
        require(tool, argument)?;
    }
    Ok(())
}

/// Whether a tool is installed.
pub fn require(tool: &str, argument: &str) -> Result<(), String> {
    let tried = Command::new(tool).arg(argument).stdin(Stdio::null()).output();
    tried.map(drop).map_err(|error| format!("{tool} is needed: {error}"))
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip")
        .args(arguments)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A process in the background, ended when dropped.
pub struct Running(Child);

impl Running {
    /// Starts it, its output thrown away.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the tool starts"))
    }

    /// Waits until it ends by itself.
    pub fn finish(mut self) {
        let status = self.0.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// Asks it to end (SIGINT, so that it closes its files) and waits until it did.
    pub fn interrupt(mut self) {
        interrupt(&self.0);
        self.0.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes the RTP of one call of a variant in the house's folder.
pub fn media(house: &House, variant: &str, call: &str) -> PathBuf {
    let out = house.path(&format!("{variant}-{call}.pcap"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
    let arguments = ["--variant", variant, "--media-of", call, "--out"];
    let made = Command::new(script)
        .args(arguments)
        .arg(&out)
        .status()
        .expect("make-fixtures runs");
    assert!(made.success(), "make-fixtures {arguments:?}");
    out
}

/// A configuration that captures at the mirrored interface, and the script of a CTI source that knows both agents and
/// their calls from the start: a live capture has no common clock with the file that is sent.
pub fn configure(house: &House, policy: &str) -> std::net::SocketAddr {
    house.configure(&format!("{{ interface = \"{INTERFACE}\" }}"), EVENTS, policy)
}

const EVENTS: &str = r#"
{"at":0.0,"event":"agent_state","agent":"4711","name":"Marko Kern","extension":"3001","team":"claims","state":"talking"}
{"at":0.0,"event":"call","agent":"4711","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":0.0,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
{"at":0.0,"event":"agent_state","agent":"4712","name":"Ida Ruiz","extension":"3002","team":"claims","state":"talking"}
{"at":0.0,"event":"call","agent":"4712","call":"82","kind":"established","acd":true,"calling":"5559876","called":"8001"}
{"at":0.0,"event":"media_started","agent":"4712","call":"82","address":"10.1.1.21:31020","codec":"PCMU"}
"#;

/// Waits until the audit journal holds `count` started sessions.
pub fn wait_for_sessions(house: &House, count: usize) {
    let limit = Instant::now() + Duration::from_secs(20);
    while Instant::now() < limit {
        let journal = std::fs::read_to_string(house.path("audit.jsonl")).unwrap_or_default();
        if journal.matches("session_started").count() >= count {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("session {count} did not start");
}
