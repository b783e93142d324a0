//! From the `[[cti]]` sections to running links.

use std::path::Path;

use anyhow::Context;
use silentmon_capture_core::link::broadworks::{BroadWorksConfig, BroadWorksLink, MonitoredUser};
use silentmon_capture_core::link::cisco::{self, CiscoLink, Sides};
use silentmon_capture_core::link::csta::{CstaLink, CstaSettings, SessionSettings};
use silentmon_capture_core::resolver::risport::{RisPort, RisPortConfig};
use silentmon_capture_io::cti::CtiSources;
use silentmon_capture_io::cti::http::{Authorisation, HttpEndpoint, Plaintext};
use silentmon_capture_io::cti::stream::{StreamEndpoint, TlsTo};
use silentmon_capture_io::service::Clock;
use silentmon_proto::cti::csta::{LoginShape, SessionLogin};
use silentmon_proto::cti::ged188::{AgentStateMask, CallMessageMask, PeripheralId, ProtocolVersion, ServiceMask};
use silentmon_proto::cti::script::{self, ScriptedEvent};
use silentmon_proto::ids::{Extension, LinkName};
use tokio_util::sync::CancellationToken;

use crate::config::capture::CaptureConfig;
use crate::config::cti::{
    self, BroadworksSection, CiscoCtiServerSection, CstaSection, CtiSection, LoginTable, TlsTable, UserTable,
};
use crate::config::secret;
use crate::config::values::HostPort;
use crate::exit::{ExitKind, Failure};
use crate::secret::Secret;
use crate::tls;

/// The events of all `script` sources, in order of time.
///
/// # Errors
/// `BadConfig` with file and line where one can't be read.
pub fn read_scripts(config: &CaptureConfig) -> anyhow::Result<Vec<ScriptedEvent>> {
    let mut events = Vec::new();
    for cti in &config.cti {
        let CtiSection::Script(script) = cti else { continue };
        let path = script.path.display();
        let text = std::fs::read_to_string(&script.path)
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{path}: can't read the script: {error}")))?;
        let parsed = script::parse(&text)
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{path}:{}: {}", error.line, error.what)))?;
        events.extend(parsed);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// Starts a link for each source that has one.
///
/// # Errors
/// `BadConfig` where a password or certificate that a source needs can't be read.
pub fn start(config: &CaptureConfig, sources: &mut CtiSources) -> anyhow::Result<()> {
    for (name, section) in cti::names(&config.cti).into_iter().zip(&config.cti) {
        match section {
            // These have no link: the one goes by the capture file's time, the other comes to us.
            CtiSection::Script(_) | CtiSection::Http(_) => {}
            CtiSection::CiscoCtiServer(section) => start_cisco(name, section, config, sources)?,
            CtiSection::Broadworks(section) => start_broadworks(name, section, sources)?,
            CtiSection::Csta(section) => start_csta(name, section, sources)?,
        }
    }
    Ok(())
}

/// Looks whether the links could be started, without dialling anybody.
///
/// # Errors
/// As [`start`].
pub fn try_out(config: &CaptureConfig, clock: Clock) -> anyhow::Result<()> {
    let ended = CancellationToken::new();
    ended.cancel();
    start(config, &mut CtiSources::new(clock, ended))
}

/// The phones of the device map are asked for from the beginning: a server that has just started learns of calls in
/// progress there without waiting for their next event.
fn start_cisco(
    name: LinkName,
    section: &CiscoCtiServerSection,
    config: &CaptureConfig,
    sources: &mut CtiSources,
) -> anyhow::Result<()> {
    let password = secret::of_source(
        &name,
        "client_password",
        section.client_password_file.as_deref(),
        section.client_password.as_ref(),
    )?;
    let password = password.as_ref().map_or("", Secret::expose);
    let defaults = cisco::Settings::new(name.clone(), section.client_id.as_str(), password);
    let call_messages = if config.policy.names_variables() {
        defaults.call_messages | CallMessageMask::CALL_DATA_UPDATE
    } else {
        defaults.call_messages
    };
    let first = ProtocolVersion(section.protocol_version);
    let sides: Vec<_> = std::iter::once(&section.side_a).chain(&section.side_b).collect();
    let settings = cisco::Settings {
        signature: section.client_signature.clone().unwrap_or_default(),
        devices: config.all_devices()?.into_keys().collect(),
        peripherals: section.peripheral_id.map(PeripheralId).into_iter().collect(),
        protocol_version: first,
        lowest_version: defaults.lowest_version.min(first),
        services: section.services_mask.map_or(defaults.services, ServiceMask),
        call_messages: section.call_mask.map_or(call_messages, CallMessageMask),
        agent_states: section.agent_state_mask.map_or(defaults.agent_states, AgentStateMask),
        sides: if sides.len() > 1 { Sides::AAndB } else { Sides::A },
        active_standby: section.active_standby,
        heartbeat: section.heartbeat.0,
        jitter_seed: seed()?,
        ..defaults
    };
    let endpoints = sides.iter().map(|side| endpoint(side, section.tls.as_ref()));
    let endpoints = endpoints.collect::<anyhow::Result<_>>()?;
    let link = CiscoLink::new(settings, sources.clock().now());
    sources.start_stream(name, Box::new(link), endpoints);
    Ok(())
}

fn start_csta(name: LinkName, section: &CstaSection, sources: &mut CtiSources) -> anyhow::Result<()> {
    let password = secret::of_source(
        &name,
        "password",
        section.password_file.as_deref(),
        section.password.as_ref(),
    )?;
    let login = section.user.as_ref().map(|user| SessionLogin {
        shape: match section.login {
            LoginTable::Avaya => LoginShape::Avaya,
            LoginTable::OpenscapeBusiness => LoginShape::OpenScapeBusiness,
        },
        user: user.clone(),
        password: password.map_or_else(String::new, |password| password.expose().to_owned()),
        session_id: None,
    });
    let session = SessionSettings {
        application_id: section.application_id.clone(),
        login,
        duration: section.session_duration.0,
    };
    let settings = CstaSettings {
        session: section.session.then_some(session),
        heartbeat: section.heartbeat.0,
        seed: seed()?,
        ..CstaSettings::new(name.clone(), section.devices.clone())
    };
    let endpoint = endpoint(&section.address, section.tls.as_ref())?;
    let link = CstaLink::new(settings, sources.clock().now());
    sources.start_stream(name, Box::new(link), vec![endpoint]);
    Ok(())
}

fn start_broadworks(name: LinkName, section: &BroadworksSection, sources: &mut CtiSources) -> anyhow::Result<()> {
    let token = secret::of_source(&name, "token", section.token_file.as_deref(), None)?;
    let password = secret::of_source(
        &name,
        "password",
        section.password_file.as_deref(),
        section.password.as_ref(),
    )?;
    let authorisation = match (token, &section.user) {
        (Some(token), _) => Authorisation::Bearer(token.expose().to_owned()),
        (None, Some(user)) => Authorisation::Basic {
            user: user.clone(),
            password: password.map_or_else(String::new, |password| password.expose().to_owned()),
        },
        (None, None) => Authorisation::None,
    };
    let xsps = section.xsps.iter();
    let endpoints = xsps.map(|url| https_endpoint(url, &section.ca, authorisation.clone()));
    let endpoints = endpoints.collect::<anyhow::Result<Vec<_>>>()?;
    let users = section.users.iter().map(monitored_user).collect();
    let config = BroadWorksConfig {
        application_id: section.application_id.clone(),
        expires: section.expires.0,
        heartbeat: section.heartbeat.0,
        ..BroadWorksConfig::new(name.clone(), endpoints.len(), users, seed()?)
    };
    let link = BroadWorksLink::new(config, sources.clock().now());
    sources.start_http(name, Box::new(link), endpoints);
    Ok(())
}

fn monitored_user(table: &UserTable) -> MonitoredUser {
    let (user, extension, queue) = match table {
        UserTable::Id(user) => (user, None, false),
        UserTable::Table { user, extension, queue } => (user, extension.clone(), *queue),
    };
    let extension = extension.unwrap_or_else(|| Extension::new(user.as_str()));
    if queue {
        MonitoredUser::queue(user, extension)
    } else {
        MonitoredUser::agent(user, extension)
    }
}

/// Host and port of `https://HOST[:PORT]`.
fn https_address(url: &str) -> anyhow::Result<HostPort> {
    HostPort::of_https(url).ok_or_else(|| {
        Failure::error(
            ExitKind::BadConfig,
            format!("expected \"https://HOST[:PORT]\", found \"{url}\""),
        )
    })
}

/// Where a source answers, and how TLS is spoken to it.
fn endpoint(address: &HostPort, tls: Option<&TlsTable>) -> anyhow::Result<StreamEndpoint> {
    let tls = tls.map(|tls| {
        let name = tls.server_name.as_ref().unwrap_or(&address.host);
        Ok::<_, anyhow::Error>(TlsTo {
            config: tls::source(&tls.ca, tls.identity.as_deref())?,
            name: tls::server_name(name)?,
        })
    });
    Ok(StreamEndpoint {
        host: address.host.clone(),
        port: address.port,
        tls: tls.transpose()?,
    })
}

/// A random number, so that the servers of a site don't come back all at the same moment.
/// A random number.
///
/// # Errors
/// Where the system gives none.
pub fn seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("no random numbers")?;
    Ok(u64::from_le_bytes(bytes))
}

/// Starts to ask a Cisco Unified CM for the addresses of phones, where that is configured.
///
/// # Errors
/// `BadConfig` where the password or certificate can't be read.
pub fn start_risport(config: &CaptureConfig, sources: &mut CtiSources) -> anyhow::Result<()> {
    let Some(section) = &config.risport else {
        return Ok(());
    };
    let password = secret::find(section.password_file.as_deref(), section.password.as_ref())?;
    let authorisation = Authorisation::Basic {
        user: section.user.clone(),
        password: password.map_or_else(String::new, |password| password.expose().to_owned()),
    };
    let endpoint = https_endpoint(&section.url, &section.ca, authorisation)?;
    sources.start_risport(
        RisPort::new(RisPortConfig {
            seed: seed()?,
            ..RisPortConfig::default()
        }),
        endpoint,
    );
    Ok(())
}

/// An HTTPS server, its certificate checked against `ca`.
///
/// # Errors
/// `BadConfig` where it isn't the URL of one, or `ca` can't be read.
pub fn https_endpoint(url: &str, ca: &Path, authorisation: Authorisation) -> anyhow::Result<HttpEndpoint> {
    let tls = TlsTable {
        ca: ca.to_owned(),
        identity: None,
        server_name: None,
    };
    let place = endpoint(&https_address(url)?, Some(&tls))?;
    HttpEndpoint::new(place, authorisation, Plaintext::Refused)
        .map_err(|error| Failure::error(ExitKind::BadConfig, error.to_string()))
}
