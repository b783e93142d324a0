//! The capture server's configuration file.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silentmon_capture_core::filter::SignallingPorts;
use silentmon_capture_core::policy::{
    Administrators, Copies, DirectoryView, Disclosure, HeardCalls, Hours, NumberPattern, Policy, QualityTeams,
    Recording, Roles, UnknownNumbers, Who,
};
use silentmon_proto::cti::ged188::CallMessageMask;
use silentmon_proto::ids::{AgentId, Extension, MediaAddress, SupervisorName, TeamName};
use silentmon_proto::peer::Role;
use silentmon_proto::relay::MediaOrigin;

use super::authority::CONFIRM_WITHIN;
use super::cluster::ClusterSection;
use super::cti::{self, CtiSection};
use super::heard::{PaymentPauseTable, PrivateCallTable};
use super::oidc::OidcSection;
use super::values::{HostPort, Listen, Seconds};
use super::{Complaint, Schema, read_table};
use crate::secret::Secret;
use crate::tls::IdentityFiles;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureConfig {
    /// Version of this schema.
    pub schema: u32,
    /// A file with more of `[devices]`, one `"3001" = "10.1.1.20"` a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices_file: Option<PathBuf>,
    /// Where frames come from.
    pub capture: CaptureSection,
    /// The supervisors' door.
    #[serde(default)]
    pub service: ServiceSection,
    /// The server's place among others.
    #[serde(default)]
    pub cluster: ClusterSection,
    /// Where agents, calls and media addresses come from.
    #[serde(default)]
    pub cti: Vec<CtiSection>,
    /// Where media addresses come from.
    #[serde(default)]
    pub media: MediaSection,
    /// Asks a Cisco Unified CM for the addresses of phones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risport: Option<RisPortSection>,
    /// Device or extension → phone address.
    #[serde(default)]
    pub devices: BTreeMap<Extension, MediaAddress>,
    /// Team → its supervisors, by the names in their certificates.
    #[serde(default)]
    pub teams: BTreeMap<TeamName, Vec<SupervisorName>>,
    /// Supervisor, by the name in his certificate → what the CTI sources call him; they tell his teams.
    #[serde(default)]
    pub supervisors: BTreeMap<SupervisorName, AgentId>,
    /// Names that have another role than their certificates say.
    #[serde(default)]
    pub roles: Roles,
    /// People who sign in where an identity provider vouches for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSection>,
    /// Who may hear whom.
    #[serde(default)]
    pub policy: PolicySection,
    /// Where sessions are written down.
    #[serde(default)]
    pub audit: AuditSection,
    /// Where figures can be read.
    #[serde(default)]
    pub metrics: MetricsSection,
    /// What the service gives up before it serves.
    #[serde(default)]
    pub hardening: HardeningSection,
}

/// `[capture]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureSection {
    /// The interface or file that frames come from.
    pub source: SourceTable,
    /// Kernel buffer for an interface, in MiB.
    #[serde(default = "default_buffer")]
    pub buffer_mib: u32,
}

/// `source = { … }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    untagged,
    expecting = "expected { interface = \"…\" } or { file = \"…\", pace = \"real\" | \"fast\", loop = true | false }"
)]
pub enum SourceTable {
    /// A network interface fed by a mirror port.
    Interface {
        /// Its name.
        interface: String,
    },
    /// A capture file.
    File {
        /// Its path.
        file: PathBuf,
        /// How fast it is read.
        #[serde(default)]
        pace: Pace,
        /// Whether it begins anew at its end.
        #[serde(default, rename = "loop")]
        repeat: bool,
    },
}

impl SourceTable {
    /// The source as people call it.
    pub fn name(&self) -> String {
        match self {
            Self::Interface { interface } => interface.clone(),
            Self::File { file, .. } => {
                let name = file.file_name().unwrap_or(file.as_os_str());
                name.to_string_lossy().into_owned()
            }
        }
    }
}

/// How fast a capture file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As it was captured.
    #[default]
    Real,
    /// As fast as it goes.
    Fast,
}

/// `[service]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSection {
    /// Where supervisors connect; a leaf may let nobody.
    pub listen: Listen,
    /// Certificate chain and key.
    pub identity: PathBuf,
    /// The authority that both sides' certificates come from.
    pub ca: PathBuf,
    /// Its revocation list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Whether HTTPS is answered on the same port, without a source of kind `http` or users too.
    pub https: bool,
    /// People who sign in by password over HTTPS (`silentmon auth add`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
}

/// `[media]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaSection {
    /// Who is asked for an agent's media address, in this order.
    pub resolvers: Vec<MediaOrigin>,
    /// Ports at which SIP is looked for in the mirror.
    pub sip_ports: Vec<u16>,
    /// Ports at which SCCP is looked for in the mirror.
    pub sccp_ports: Vec<u16>,
}

/// `[risport]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RisPortSection {
    /// The service, `https://HOST:8443[/PATH]`.
    pub url: String,
    /// The user.
    pub user: String,
    /// His password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The authority of the service's certificate, or that certificate itself.
    pub ca: PathBuf,
}

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySection {
    /// Whether agents are told; no default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<Disclosure>,
    /// Which supervisors may hear an agent.
    pub who: Who,
    /// Whether only calls known to come through the queue are heard.
    pub acd_only: bool,
    /// Whether `listen --output wav:` may be used.
    pub recording: Recording,
    /// Whether packets may be sent twice over a path that loses much.
    pub copies: Copies,
    /// Standard RTP receivers that may get plain RTP.
    pub rtp_receivers: Vec<IpAddr>,
    /// Whether nothing is heard of an agent while no desktop of his can be told.
    pub disclosure_required: bool,
    /// Numbers whose calls are private.
    pub private_numbers: Vec<NumberPattern>,
    /// A file with more of them, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_numbers_file: Option<PathBuf>,
    /// Whether calls from and to unknown numbers are private.
    pub unknown_numbers: UnknownNumbers,
    /// When payment pauses begin and end.
    pub payment_pause: PaymentPauseTable,
    /// When else a call is private.
    pub private_call: PrivateCallTable,
    /// Whether administrators listen.
    pub administrators: Administrators,
    /// Teams that quality management hears.
    pub quality_teams: QualityTeams,
    /// Agents whom nobody hears.
    pub excluded_agents: Vec<AgentId>,
    /// Devices or extensions at which nobody is heard.
    pub excluded_devices: Vec<Extension>,
    /// When listening is allowed.
    pub hours: Hours,
    /// The zone whose clock the hours are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How long a session may go on before its supervisor has to say that he still listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_limit: Option<Seconds>,
    /// So long before that he is asked.
    pub confirm_within: Seconds,
    /// Supervisors who may hear one agent at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisors_per_agent: Option<NonZeroUsize>,
    /// Sessions that one supervisor may have at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_supervisor: Option<NonZeroUsize>,
    /// What one may listen for, where one of a list is to be named.
    pub purposes: Vec<String>,
    /// Which agents a supervisor is shown.
    pub directory: DirectoryView,
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    /// The journal.
    pub path: PathBuf,
    /// A file that would grow beyond so many MiB is put aside under the numbers of its records.
    pub rotate_mib: NonZeroU32,
    /// A syslog receiver that gets every record too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<SyslogSection>,
}

/// `[audit.syslog]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogSection {
    /// Where it answers with TLS, `HOST:PORT`.
    pub address: HostPort,
    /// The authority of its certificate, or that certificate itself.
    pub ca: PathBuf,
    /// Our certificate chain and key, where it asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
    /// The name in its certificate, where it isn't the host dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether listening is refused while it takes nothing.
    #[serde(default)]
    pub required: bool,
    /// After how long that is so.
    #[serde(default = "default_patience")]
    pub within_s: Seconds,
}

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Where they are served, as plain HTTP; nowhere without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// `[hardening]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardeningSection {
    /// Whether the service refuses to start on a system that can't confine it in full.
    pub required: bool,
}

const fn default_patience() -> Seconds {
    Seconds(Duration::from_secs(60))
}

const fn default_buffer() -> u32 {
    32
}

impl ServiceSection {
    /// The files of the server's identity.
    pub fn files(&self) -> IdentityFiles {
        IdentityFiles {
            identity: self.identity.clone(),
            ca: self.ca.clone(),
            crl: self.crl.clone(),
        }
    }
}

impl CaptureConfig {
    /// What the operator should know of his file: keys that don't do anything in this version, and ways in the open.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, section) in cti::names(&self.cti).into_iter().zip(&self.cti) {
            if section.is_plain() {
                notes.push(format!(
                    "cti {name}: without tls, what it tells can be read and changed on the way"
                ));
            }
        }
        if let Some(open) = self.metrics.listen.filter(|listen| !listen.ip().is_loopback()) {
            notes.push(format!(
                "metrics.listen: whoever reaches {open} can read the figures, unencrypted"
            ));
        }
        let has_desk = self.cti.iter().any(|cti| matches!(cti, CtiSection::Http(_)));
        let tells = self
            .policy
            .disclosure
            .is_some_and(|disclosure| disclosure != Disclosure::Never);
        if tells && !has_desk {
            notes.push(
                "policy.disclosure: no agent's desktop can be told without a [[cti]] source of kind \"http\""
                    .to_owned(),
            );
        }
        for cti in &self.cti {
            if let CtiSection::CiscoCtiServer(section) = cti
                && self.policy.names_variables()
                && section
                    .call_mask
                    .is_some_and(|mask| mask & CallMessageMask::CALL_DATA_UPDATE.0 == 0)
            {
                notes.push(
                    "cti.call_mask: without 0x8000 changes of call variables aren't told, and policy names one"
                        .to_owned(),
                );
            }
        }
        if self.cti.is_empty() && self.cluster.role != Role::Hub {
            notes.push("no [[cti]] source: no agent will ever be known".to_owned());
        }
        notes
    }

    /// Phone addresses: those of the devices' file, and above them those of the configuration itself.
    ///
    /// # Errors
    /// `BadConfig` where the file can't be read, with the line where it is wrong.
    pub fn all_devices(&self) -> anyhow::Result<BTreeMap<Extension, MediaAddress>> {
        let mut devices = match &self.devices_file {
            Some(path) => read_table(path)?,
            None => BTreeMap::new(),
        };
        devices.extend(self.devices.clone());
        Ok(devices)
    }

    /// Ports at which signalling is looked for, as far as anybody asks it for media addresses.
    pub fn signalling(&self) -> SignallingPorts {
        let ports = |origin, ports: &Vec<u16>| {
            if self.media.resolvers.contains(&origin) {
                ports.clone()
            } else {
                Vec::new()
            }
        };
        SignallingPorts {
            sip: ports(MediaOrigin::Sip, &self.media.sip_ports),
            sccp: ports(MediaOrigin::Sccp, &self.media.sccp_ports),
        }
    }

    /// Where the service dials, over TCP.
    pub fn dialled(&self) -> Vec<HostPort> {
        let sources = self.cti.iter().flat_map(CtiSection::dialled);
        let risport = self
            .risport
            .iter()
            .filter_map(|risport| HostPort::of_https(&risport.url));
        let syslog = self.audit.syslog.iter().map(|syslog| syslog.address.clone());
        let issuer = self.oidc.iter().filter_map(OidcSection::dialled);
        let store = self.cluster.dialled();
        sources
            .chain(risport)
            .chain(syslog)
            .chain(issuer)
            .chain(store)
            .collect()
    }

    /// Addresses at which others dial the service, over TCP.
    pub fn listened(&self) -> Vec<SocketAddr> {
        let metrics = self.metrics.listen;
        self.service.listen.address().into_iter().chain(metrics).collect()
    }

    /// A leaf may do without the supervisors' door, where nothing else comes in by it.
    fn check_door(&self) -> Result<(), Complaint> {
        let key = "service.listen";
        if self.service.listen != Listen::Nowhere {
            return Ok(());
        }
        if self.cluster.role != Role::Leaf {
            let expected = "expected \"ADDRESS:PORT\": only a leaf of a cluster may do without".to_owned();
            return Complaint::about(key, expected);
        }
        let users = [
            ("service.https", self.service.https),
            ("service.users", self.service.users.is_some()),
            ("[oidc]", self.oidc.is_some()),
            (
                "the [[cti]] source of kind \"http\"",
                self.cti.iter().any(|cti| matches!(cti, CtiSection::Http(_))),
            ),
        ];
        match users.into_iter().find(|(_, used)| *used) {
            Some((user, _)) => Complaint::about(
                key,
                format!("expected \"ADDRESS:PORT\", which {user} needs, found \"none\""),
            ),
            None => Ok(()),
        }
    }

    /// The sections in which `other` differs and which are read only at the start.
    pub fn needing_restart(&self, other: &Self) -> Vec<&'static str> {
        let sections = [
            ("capture", self.capture != other.capture),
            ("service", self.service != other.service),
            ("cluster", self.cluster != other.cluster),
            ("cti", self.cti != other.cti),
            ("media", self.media != other.media),
            ("risport", self.risport != other.risport),
            ("oidc", self.oidc != other.oidc),
            ("audit", self.audit != other.audit),
            ("metrics", self.metrics != other.metrics),
            ("hardening", self.hardening != other.hardening),
        ];
        let changed = sections.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(name, _)| name).collect()
    }

    /// The operator's rules, as the engine takes them.
    ///
    /// # Errors
    /// `BadConfig` where the file of private numbers can't be read, with the line where it is wrong.
    pub fn rules(&self) -> anyhow::Result<Policy> {
        Ok(Policy {
            disclosure: self.policy.disclosure.unwrap_or(Disclosure::Always),
            who: self.policy.who,
            calls: if self.policy.acd_only {
                HeardCalls::AcdOnly
            } else {
                HeardCalls::All
            },
            recording: self.policy.recording,
            copies: self.policy.copies,
            rtp_receivers: self.policy.rtp_receivers.clone(),
            teams: self.teams.clone(),
            supervisors: self.supervisors.clone(),
            undisclosed: self.policy.undisclosed(),
            private_calls: self.policy.private_calls()?,
            payment_pauses: self.policy.payment_pauses(),
            roles: self.roles.clone(),
            administrators: self.policy.administrators,
            quality_teams: self.policy.quality_teams.clone(),
            excluded: self.policy.excluded(),
            hours: self.policy.hours.clone(),
            limits: self.policy.limits(),
            purposes: self.policy.purposes.clone(),
            directory: self.policy.directory,
        })
    }

    /// The same as the file says it, for the audit.
    pub fn rules_in_words(&self) -> serde_json::Value {
        serde_json::json!({
            "policy": self.policy,
            "roles": self.roles,
            "teams": self.teams,
            "supervisors": self.supervisors,
        })
    }
}

impl Default for ServiceSection {
    fn default() -> Self {
        Self {
            listen: Listen::At(SocketAddr::from(([0, 0, 0, 0], silentmon_proto::relay::SERVICE_PORT))),
            identity: "certs/server.pem".into(),
            ca: "certs/ca.pem".into(),
            crl: None,
            https: false,
            users: None,
        }
    }
}

impl Default for MediaSection {
    fn default() -> Self {
        Self {
            resolvers: MediaOrigin::ALL.to_vec(),
            sip_ports: vec![5060],
            sccp_ports: vec![2000],
        }
    }
}

impl Default for PolicySection {
    fn default() -> Self {
        Self {
            disclosure: None,
            who: Who::default(),
            acd_only: true,
            recording: Recording::default(),
            copies: Copies::default(),
            rtp_receivers: Vec::new(),
            disclosure_required: false,
            private_numbers: Vec::new(),
            private_numbers_file: None,
            unknown_numbers: UnknownNumbers::default(),
            payment_pause: PaymentPauseTable::default(),
            private_call: PrivateCallTable::default(),
            administrators: Administrators::default(),
            quality_teams: QualityTeams::default(),
            excluded_agents: Vec::new(),
            excluded_devices: Vec::new(),
            hours: Hours::default(),
            time_zone: None,
            session_limit: None,
            confirm_within: Seconds(CONFIRM_WITHIN),
            supervisors_per_agent: None,
            sessions_per_supervisor: None,
            purposes: Vec::new(),
            directory: DirectoryView::default(),
        }
    }
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            path: "audit.jsonl".into(),
            rotate_mib: const { NonZeroU32::new(64).expect("64 is not 0") },
            syslog: None,
        }
    }
}

impl Schema for CaptureConfig {
    const SECTIONS: &'static [&'static str] = &[
        "capture",
        "service",
        "cluster",
        "media",
        "risport",
        "oidc",
        "policy",
        "audit",
        "metrics",
        "hardening",
    ];

    fn schema(&self) -> u32 {
        self.schema
    }

    fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        if let SourceTable::File { file, .. } = &mut self.capture.source {
            visit(file);
        }
        visit(&mut self.service.identity);
        visit(&mut self.service.ca);
        self.service.crl.iter_mut().for_each(&mut *visit);
        self.service.users.iter_mut().for_each(&mut *visit);
        for cti in &mut self.cti {
            cti.visit_paths(visit);
        }
        self.devices_file.iter_mut().for_each(&mut *visit);
        if let Some(risport) = &mut self.risport {
            visit(&mut risport.ca);
            risport.password_file.iter_mut().for_each(&mut *visit);
        }
        if let Some(oidc) = &mut self.oidc {
            oidc.visit_paths(visit);
        }
        self.cluster.visit_paths(visit);
        visit(&mut self.audit.path);
        if let Some(syslog) = &mut self.audit.syslog {
            visit(&mut syslog.ca);
            syslog.identity.iter_mut().for_each(&mut *visit);
        }
        self.policy.private_numbers_file.iter_mut().for_each(visit);
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.policy.disclosure.is_none() {
            let expected =
                "expected \"never\", \"while-listening\" or \"always\": there is no default, the operator must \
                            choose whether agents are told"
                    .to_owned();
            return Complaint::about("policy.disclosure", expected);
        }
        self.policy.check_heard()?;
        if self.capture.buffer_mib == 0 || self.capture.buffer_mib > 1024 {
            let expected = format!("expected 1 to 1024 MiB, found {}", self.capture.buffer_mib);
            return Complaint::about("capture.buffer_mib", expected);
        }
        if let Some(risport) = &self.risport
            && !risport.url.starts_with("https://")
        {
            return Complaint::about("risport.url", "expected \"https://HOST:8443\"");
        }
        if let Some(oidc) = &self.oidc {
            oidc.check()?;
        }
        self.policy.check_authority()?;
        self.cluster.check()?;
        self.check_door()?;
        cti::check(&self.cti)
    }
}
