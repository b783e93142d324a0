//! `[[cti]]`: one section a source of events about agents, calls and media addresses.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silentmon_certs::Role;
use silentmon_proto::ids::{Extension, LinkName};

use super::Complaint;
use super::values::{HostPort, Seconds};
use crate::secret::Secret;

/// `[[cti]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CtiSection {
    /// Events from a file of JSON Lines.
    Script(ScriptSection),
    /// A Cisco CTI Server (GED-188).
    CiscoCtiServer(CiscoCtiServerSection),
    /// CSTA III XML.
    Csta(CstaSection),
    /// BroadWorks Xsi-Events.
    Broadworks(BroadworksSection),
    /// Events pushed over HTTP.
    Http(HttpSection),
}

/// `kind = "script"`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptSection {
    /// The source's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<LinkName>,
    /// The file.
    pub path: PathBuf,
}

/// `kind = "cisco-cti-server"`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CiscoCtiServerSection {
    /// The source's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<LinkName>,
    /// Side A, `HOST:PORT`.
    pub side_a: HostPort,
    /// Side B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_b: Option<HostPort>,
    /// TLS; absent: plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsTable>,
    /// Who we are to the server.
    #[serde(default = "default_client")]
    pub client_id: String,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_password: Option<Secret>,
    /// A file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_password_file: Option<PathBuf>,
    /// What the server puts beside our name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_signature: Option<String>,
    /// The peripheral; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peripheral_id: Option<u32>,
    /// The highest protocol version to ask for.
    #[serde(default = "default_protocol_version")]
    pub protocol_version: u32,
    /// CTI services asked for; absent: what monitoring needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services_mask: Option<u32>,
    /// Call events asked for; absent: what monitoring needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_mask: Option<u32>,
    /// Agent states asked for; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_state_mask: Option<u32>,
    /// Time between heartbeats.
    #[serde(default = "default_heartbeat")]
    pub heartbeat: Seconds,
    /// Whether a standby server may be kept beside the active one (protocol version 24 and later).
    #[serde(default)]
    pub active_standby: bool,
}

/// `kind = "csta"`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CstaSection {
    /// The source's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<LinkName>,
    /// Where it answers, `HOST:PORT`.
    pub address: HostPort,
    /// TLS; absent: plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsTable>,
    /// Who we are to the switch.
    #[serde(default = "default_client")]
    pub application_id: String,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// His password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// In which shape the switch takes user and password.
    #[serde(default)]
    pub login: LoginTable,
    /// The devices to be monitored.
    #[serde(default)]
    pub devices: Vec<Extension>,
    /// How long a session lasts without renewal.
    #[serde(default = "default_session_duration")]
    pub session_duration: Seconds,
    /// Whether an application session (ECMA-354) is opened.
    #[serde(default = "yes")]
    pub session: bool,
    /// Time between heartbeats.
    #[serde(default = "default_heartbeat")]
    pub heartbeat: Seconds,
}

/// `login`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginTable {
    /// As Avaya's DMCC takes it.
    #[default]
    Avaya,
    /// As OpenScape Business takes it.
    OpenscapeBusiness,
}

/// `kind = "broadworks"`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadworksSection {
    /// The source's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<LinkName>,
    /// The servers, `https://HOST[:PORT]`.
    pub xsps: Vec<String>,
    /// The user that subscribes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// His password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// A file with a bearer token instead of user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The users whose calls are followed.
    pub users: Vec<UserTable>,
    /// Who we are to the servers.
    #[serde(default = "default_client")]
    pub application_id: String,
    /// The authority of the servers' certificates, or their own certificates.
    pub ca: PathBuf,
    /// Time between the heartbeats of a channel.
    #[serde(default = "default_channel_heartbeat")]
    pub heartbeat: Seconds,
    /// For how long channels and subscriptions are asked for.
    #[serde(default = "default_expires")]
    pub expires: Seconds,
}

/// One of `users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    untagged,
    expecting = "expected \"USER@DOMAIN\" or { user = \"USER@DOMAIN\", extension = \"3001\", queue = true | false }"
)]
pub enum UserTable {
    /// An agent whose device goes by his user id.
    Id(String),
    /// An agent or a call centre.
    Table {
        /// User id.
        user: String,
        /// The extension under which his phone is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extension: Option<Extension>,
        /// Whether it is a call centre.
        #[serde(default)]
        queue: bool,
    },
}

/// `kind = "http"`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// The source's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<LinkName>,
    /// A file with the bearer token that may push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Roles whose certificates may push.
    #[serde(default)]
    pub roles: Vec<Role>,
}

/// `tls = { … }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// The authority of the source's certificate, or that certificate itself.
    pub ca: PathBuf,
    /// Our certificate chain and key, where the source asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
    /// The name in the source's certificate, where it isn't the host dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl TlsTable {
    fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        visit(&mut self.ca);
        self.identity.iter_mut().for_each(visit);
    }
}

fn default_client() -> String {
    "silentmon".to_owned()
}

const fn default_protocol_version() -> u32 {
    24
}

const fn default_heartbeat() -> Seconds {
    Seconds(Duration::from_secs(5))
}

const fn default_session_duration() -> Seconds {
    Seconds(Duration::from_secs(600))
}

const fn default_channel_heartbeat() -> Seconds {
    Seconds(Duration::from_secs(15))
}

const fn default_expires() -> Seconds {
    Seconds(Duration::from_secs(3600))
}

const fn yes() -> bool {
    true
}

impl CtiSection {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::CiscoCtiServer(_) => "cisco-cti-server",
            Self::Csta(_) => "csta",
            Self::Broadworks(_) => "broadworks",
            Self::Http(_) => "http",
        }
    }

    /// Whether it is dialled without TLS.
    pub const fn is_plain(&self) -> bool {
        match self {
            Self::CiscoCtiServer(section) => section.tls.is_none(),
            Self::Csta(section) => section.tls.is_none(),
            Self::Script(_) | Self::Broadworks(_) | Self::Http(_) => false,
        }
    }

    const fn given_name(&self) -> Option<&LinkName> {
        match self {
            Self::Script(section) => section.name.as_ref(),
            Self::CiscoCtiServer(section) => section.name.as_ref(),
            Self::Csta(section) => section.name.as_ref(),
            Self::Broadworks(section) => section.name.as_ref(),
            Self::Http(section) => section.name.as_ref(),
        }
    }

    /// Shows `visit` every path.
    pub(super) fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        match self {
            Self::Script(section) => visit(&mut section.path),
            Self::CiscoCtiServer(section) => {
                section.client_password_file.iter_mut().for_each(&mut *visit);
                section.tls.iter_mut().for_each(|tls| tls.visit_paths(visit));
            }
            Self::Csta(section) => {
                section.password_file.iter_mut().for_each(&mut *visit);
                section.tls.iter_mut().for_each(|tls| tls.visit_paths(visit));
            }
            Self::Broadworks(section) => {
                visit(&mut section.ca);
                let files = [&mut section.password_file, &mut section.token_file];
                files.into_iter().flatten().for_each(visit);
            }
            Self::Http(section) => section.token_file.iter_mut().for_each(visit),
        }
    }

    /// Where it is dialled, as far as that can be read.
    pub fn dialled(&self) -> Vec<HostPort> {
        match self {
            Self::CiscoCtiServer(section) => [Some(&section.side_a), section.side_b.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            Self::Csta(section) => vec![section.address.clone()],
            Self::Broadworks(section) => section.xsps.iter().filter_map(|url| HostPort::of_https(url)).collect(),
            Self::Script(_) | Self::Http(_) => Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Complaint> {
        match self {
            Self::CiscoCtiServer(section) => {
                if !(9..=25).contains(&section.protocol_version) {
                    return Complaint::about("cti.protocol_version", "expected a protocol version from 9 to 25");
                }
                either_inline_or_file(
                    "cti.client_password",
                    section.client_password.as_ref(),
                    section.client_password_file.as_ref(),
                )
            }
            Self::Csta(section) => either_inline_or_file(
                "cti.password",
                section.password.as_ref(),
                section.password_file.as_ref(),
            ),
            Self::Broadworks(section) => {
                if section.xsps.is_empty() || section.xsps.iter().any(|url| !url.starts_with("https://")) {
                    return Complaint::about(
                        "cti.xsps",
                        "expected at least one \"https://HOST[:PORT]\" and nothing else",
                    );
                }
                if section.user.is_some() == section.token_file.is_some() {
                    return Complaint::about("cti.user", "expected either user (with its password) or token_file");
                }
                either_inline_or_file(
                    "cti.password",
                    section.password.as_ref(),
                    section.password_file.as_ref(),
                )
            }
            Self::Http(section) if section.token_file.is_none() && section.roles.is_empty() => Complaint::about(
                "cti.token_file",
                "expected token_file, or roles whose certificates may push events",
            ),
            Self::Script(_) | Self::Http(_) => Ok(()),
        }
    }
}

fn either_inline_or_file(key: &'static str, inline: Option<&Secret>, file: Option<&PathBuf>) -> Result<(), Complaint> {
    if inline.is_some() && file.is_some() {
        let expected = "expected the password here or in a file, not both";
        return Complaint::about(key, expected);
    }
    Ok(())
}

/// The names of all sources, in their order: as given, else the kind and its number.
pub fn names(sections: &[CtiSection]) -> Vec<LinkName> {
    let name = |(index, section): (usize, &CtiSection)| {
        let before = sections.iter().take(index);
        let number = before.filter(|other| other.kind() == section.kind()).count() + 1;
        let numbered = || LinkName::new(format!("{}-{number}", section.kind()));
        section.given_name().cloned().unwrap_or_else(numbered)
    };
    sections.iter().enumerate().map(name).collect()
}

/// Checks what types can't say about the sources.
pub(super) fn check(sections: &[CtiSection]) -> Result<(), Complaint> {
    sections.iter().try_for_each(CtiSection::check)?;
    let mut names = names(sections);
    names.sort();
    if let Some([twice, ..]) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        return Complaint::about(
            "cti.name",
            format!("expected each source to have a name of its own, found \"{twice}\" twice"),
        );
    }
    if sections
        .iter()
        .filter(|section| matches!(section, CtiSection::Http(_)))
        .count()
        > 1
    {
        return Complaint::about("cti.kind", "expected at most one source of kind \"http\"");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::capture::CaptureConfig;
    use super::super::parse;
    use std::path::Path;

    use super::*;

    const HEAD: &str = "schema = 1\n[capture]\nsource = { interface = \"ens224\" }\n[policy]\ndisclosure = \"never\"\n";

    fn read(sources: &str) -> Result<CaptureConfig, String> {
        let text = format!("{HEAD}{sources}");
        parse(&text, Path::new("/etc/silentmon/capture.toml"), &[]).map_err(|error| error.to_string())
    }

    const EVERY_KIND: &str = r#"
[[cti]]
kind = "cisco-cti-server"
side_a = "cti-a.example:42030"
side_b = "cti-b.example:43030"
tls = { ca = "cti.pem", identity = "us.pem", server_name = "cti.example" }
client_id = "monitor"
client_password_file = "password"
client_signature = "gw1"
peripheral_id = 5000
protocol_version = 20
services_mask = 0x10
call_mask = 0x0060_637D
agent_state_mask = 0x3ff
heartbeat = 2.5
active_standby = true
[[cti]]
kind = "csta"
address = "[2001:db8::1]:1040"
application_id = "monitor"
user = "monitor"
password = "hunter2"
devices = ["3001", "3002"]
session_duration = 120
session = false
login = "openscape-business"
[[cti]]
kind = "broadworks"
xsps = ["https://xsp1.example", "https://xsp2.example:8443"]
user = "monitor@example"
password = "hunter2"
users = ["anna@example", { user = "bert@example", extension = "3002" }, { user = "q@example", queue = true }]
ca = "xsp.pem"
heartbeat = 10
expires = 600
[[cti]]
kind = "http"
token_file = "token"
roles = ["admin"]
[[cti]]
kind = "script"
path = "events.jsonl"
"#;

    #[test]
    fn every_kind_is_read_and_printed_as_it_was_read_but_for_its_secrets() {
        let config = read(EVERY_KIND).expect("good");
        let printed = toml::to_string_pretty(&config).expect("prints");
        assert!(!printed.contains("hunter2"), "{printed}");
        let again: CaptureConfig = toml::from_str(&printed).expect("reads");
        let hidden = Some(Secret::from("(not shown)"));
        for (mut read, printed) in config.cti.into_iter().zip(again.cti) {
            match &mut read {
                CtiSection::Csta(section) => section.password.clone_from(&hidden),
                CtiSection::Broadworks(section) => section.password.clone_from(&hidden),
                CtiSection::CiscoCtiServer(section) => {
                    assert_eq!(section.call_mask, Some(0x0060_637D));
                    assert_eq!(section.heartbeat, Seconds(Duration::from_millis(2500)));
                    let password = Path::new("/etc/silentmon/password");
                    assert_eq!(section.client_password_file.as_deref(), Some(password));
                }
                CtiSection::Script(_) | CtiSection::Http(_) => {}
            }
            assert_eq!(read, printed);
        }
    }

    #[test]
    fn a_source_without_a_name_gets_its_kind_and_number() {
        let two = "[[cti]]\nkind = \"script\"\npath = \"a\"\n";
        let config = read(&format!("{two}{EVERY_KIND}")).expect("good");
        let names: Vec<_> = names(&config.cti).iter().map(ToString::to_string).collect();
        let expected = [
            "script-1",
            "cisco-cti-server-1",
            "csta-1",
            "broadworks-1",
            "http-1",
            "script-2",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn an_unknown_key_of_a_source_is_refused_where_it_stands() {
        let error = read("[[cti]]\nkind = \"csta\"\naddress = \"a:1\"\npasword = \"x\"\n").expect_err("unknown");
        assert!(
            error.starts_with("/etc/silentmon/capture.toml:9:1: unknown field `pasword`"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_was_expected() {
        for (sources, words) in [
            ("kind = \"csta\"\naddress = \"a\"", "HOST:PORT"),
            (
                "kind = \"csta\"\naddress = \"a:1\"\npassword = \"x\"\npassword_file = \"y\"",
                "not both",
            ),
            (
                "kind = \"cisco-cti-server\"\nside_a = \"a:1\"\nprotocol_version = 8",
                "from 9 to 25",
            ),
            (
                "kind = \"cisco-cti-server\"\nside_a = \"a:1\"\nheartbeat = 0",
                "positive",
            ),
            (
                "kind = \"broadworks\"\nxsps = [\"http://a\"]\nuser = \"u\"\nusers = []\nca = \"c\"",
                "https://",
            ),
            (
                "kind = \"broadworks\"\nxsps = [\"https://a\"]\nusers = []\nca = \"c\"",
                "token_file",
            ),
            ("kind = \"http\"", "token_file"),
            (
                "kind = \"script\"\npath = \"a\"\nname = \"x\"\n[[cti]]\nkind = \"script\"\npath = \"b\"\nname = \"x\"",
                "twice",
            ),
        ] {
            let error = read(&format!("[[cti]]\n{sources}\n")).expect_err(sources);
            assert!(error.contains(words), "{error}");
        }
    }
}
