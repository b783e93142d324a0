//! A stage for one play: certificates, a simulated CTI source, the capture service, a mirror with RTP, a supervisor.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use super::common::{House, Service, free_address, said, silentmon};
use super::heard::{Stretch, stretches};
use super::lab::{INTERFACE, Lab, MIRROR, Running};
use super::media::{Mirror, Tone};

/// The source that is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    CtiServer,
    Csta,
    BroadWorks,
}

/// Where the mirror is.
pub enum Place {
    /// A capture file, read at its own pace: needs no rights.
    File,
    /// A veth pair between two network namespaces.
    Lab(Lab),
}

impl Place {
    fn wrap(&self, command: Command) -> Command {
        match self {
            Self::File => command,
            Self::Lab(lab) => lab.inside(&command),
        }
    }
}

/// See the module.
pub struct Stage {
    pub house: House,
    pub place: Place,
    pub sides: Vec<SocketAddr>,
    pub server: SocketAddr,
    source: Source,
}

impl Stage {
    /// Certificates and a configuration; `more` is added to the source's section, `sections` to the file.
    pub fn build(source: Source, place: Place, more: &str, sections: &str) -> Self {
        let house = House::build();
        let sides: Vec<_> = (0..2).map(|_| free_address()).collect();
        let [a, b] = [sides[0], sides[1]];
        let section = match source {
            Source::CtiServer => format!("kind = \"cisco-cti-server\"\nside_a = \"{a}\"\nside_b = \"{b}\"\n"),
            Source::Csta => format!("kind = \"csta\"\naddress = \"{a}\"\ndevices = [\"3001\", \"3002\"]\n"),
            Source::BroadWorks => format!(
                "kind = \"broadworks\"\nxsps = [\"https://{a}\", \"https://{b}\"]\nuser = \"monitor@example.com\"\npassword = \"x\"\n\
                 ca = \"ca.pem\"\nusers = [{{ user = \"3001@example.com\", extension = \"3001\" }}, \
                 {{ user = \"3002@example.com\", extension = \"3002\" }}]\n"
            ),
        };
        let frames = match place {
            Place::File => "{ file = \"mirror.pcap\", pace = \"real\" }".to_owned(),
            Place::Lab(_) => format!("{{ interface = \"{INTERFACE}\" }}"),
        };
        let server = free_address();
        let config = format!(
            r#"schema = 1
[capture]
source = {frames}
[service]
listen = "{server}"
identity = "gw1.pem"
ca = "ca.pem"
[cluster]
name = "gw1"
[policy]
disclosure = "never"
who = "any-supervisor"
recording = "allowed"
acd_only = false
[audit]
path = "audit.jsonl"
{sections}
[[cti]]
name = "source"
{section}{more}
"#
        );
        std::fs::write(house.path("capture.toml"), config).expect("writes");
        let identity = ["gw1.pem", "gw1.key"].map(|name| std::fs::read_to_string(house.path(name)).expect("reads"));
        house.write_secret("simulator.pem", identity.concat());
        Self {
            house,
            place,
            sides,
            server,
            source,
        }
    }

    /// Starts the simulator, which plays `script` once the capture service is connected.
    pub fn simulate(&self, script: &str, more: &[&str]) -> Service {
        std::fs::write(self.house.path("script.jsonl"), script).expect("writes");
        let (kind, sides) = match self.source {
            Source::CtiServer => ("cti-server", 2),
            Source::Csta => ("csta", 1),
            Source::BroadWorks => ("broadworks", 2),
        };
        let mut command = silentmon();
        command.args(["simulate", kind, "--script", &self.house.text("script.jsonl")]);
        for side in self.sides.iter().take(sides) {
            command.args(["--listen", &side.to_string()]);
        }
        if self.source == Source::BroadWorks {
            command.args(["--tls-identity", &self.house.text("simulator.pem")]);
        }
        command.args(more);
        let mut command = self.place.wrap(command);
        let requests = std::fs::File::create(self.house.path("requests.jsonl")).expect("creates");
        command.stdout(requests);
        Service::start(command)
    }

    /// What the simulator was asked so far, one JSON object a line.
    pub fn requests(&self) -> String {
        std::fs::read_to_string(self.house.path("requests.jsonl")).expect("reads")
    }

    /// Starts the capture service.
    pub fn serve(&self) -> Service {
        let mut command = silentmon();
        command.args(["capture", "--config", &self.house.text("capture.toml")]);
        Service::start(self.place.wrap(command))
    }

    /// Writes what passes on the mirror: before [`Self::serve`], whose file it may be.
    pub fn record(&self, mirror: &Mirror) {
        mirror.write(&self.house.path("mirror.pcap"));
    }

    /// Sends it, where the mirror isn't a file, as if it had begun then.
    pub fn send(&self, begun: SystemTime) -> Option<Running> {
        let Place::Lab(lab) = &self.place else { return None };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cti/send-frames");
        let since_epoch = begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut command = lab.at_mirror(script);
        command.arg(MIRROR).arg(self.house.path("mirror.pcap"));
        command.arg(since_epoch.as_secs_f64().to_string());
        Some(Running::start(command))
    }

    /// Waits until the service knows an agent, then listens to him into a WAV file.
    pub fn listen(&self, agent: &str, seconds: u32) -> Listening {
        self.wait_for_agents(|agents| agents.contains(&format!("\"agent\":\"{agent}\"")));
        let wav = self.house.text(&format!("{agent}.wav"));
        let (output, seconds) = (format!("wav:{wav}"), seconds.to_string());
        let more = ["--output", &output, "--for", &seconds];
        let command = self.house.listen("anna", agent, self.server, &more);
        let child = self
            .place
            .wrap(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("listen starts");
        Listening { child, wav }
    }

    /// What `agents --json` says.
    pub fn agents(&self) -> String {
        let mut command = silentmon();
        command.args(["agents", "--json", "--server", &self.server.to_string()]);
        command.args(["--identity", &self.house.text("bert.pem")]);
        command.args(["--ca", &self.house.text("ca.pem")]);
        let output = self.place.wrap(command).output().expect("runs");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// How many calls an agent has; nothing where he isn't known.
    pub fn calls(agents: &str, agent: &str) -> Option<usize> {
        let rows: serde_json::Value = serde_json::from_str(agents).expect("JSON");
        let mut rows = rows.as_array().expect("an array").iter();
        let row = rows.find(|row| row["agent"] == agent)?;
        row["calls"].as_array().map(Vec::len)
    }

    /// Asks for the agents until they are as wanted, and says how long that took.
    pub fn wait_for_agents(&self, wanted: impl Fn(&str) -> bool) -> std::time::Duration {
        let begun = std::time::Instant::now();
        loop {
            let agents = self.agents();
            if wanted(&agents) {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed().as_secs() < 30,
                "the agents never were as wanted: {agents}"
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

/// A supervisor that listens in the background.
pub struct Listening {
    child: Child,
    wav: String,
}

impl Listening {
    /// Waits for the end: what was heard of agent and customer, and the summary.
    pub fn finish(self, tones: &[Tone]) -> (Vec<Vec<Stretch>>, serde_json::Value) {
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output));
        let summary = serde_json::from_slice(&output.stdout).expect("a JSON summary");
        (stretches(Path::new(&self.wav), tones), summary)
    }
}
