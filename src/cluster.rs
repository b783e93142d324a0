//! From the `[cluster]` section to a member of a cluster.

use silentmon_capture_core::cluster::ClusterSettings;
use silentmon_capture_io::cluster::nats::{NatsCredentials, NatsSettings, Store};
use silentmon_capture_io::service::{PeerDoor, PeerTls, Refusals};
use silentmon_proto::peer::{HEARTBEAT, RETRIES, Role};
use silentmon_transport::{ServerEndpoint, Settings};
use tokio::sync::mpsc;

use crate::commands::capture::SOFTWARE;
use crate::config::capture::CaptureConfig;
use crate::config::cluster::ClusterSection;
use crate::config::secret;
use crate::exit::{ExitKind, Failure};
use crate::secret::Secret;
use crate::sources::seed;

/// What the engine needs to know; nothing for a server that is alone.
///
/// # Errors
/// Where the system gives no random numbers.
pub fn settings(config: &CaptureConfig) -> anyhow::Result<Option<ClusterSettings>> {
    let section = &config.cluster;
    if !section.is_shared() {
        return Ok(None);
    }
    Ok(Some(ClusterSettings {
        server: section.name.clone(),
        cluster: section.cluster.clone(),
        run: seed()?,
        // None of a leaf that nobody talks to.
        service_port: config.service.listen.address().map_or(0, |listen| listen.port()),
        software: SOFTWARE.to_owned(),
        peers: section.peers.iter().map(|peer| peer.name.clone()).collect(),
        role: section.role,
        has_cti: config.cti.iter().any(|cti| !cti.dialled().is_empty()),
        heartbeat: HEARTBEAT,
        retries: RETRIES,
        store: section.address.as_ref().map(ToString::to_string),
    }))
}

/// How the store is reached by which members learn of each other, where they don't tell each other.
///
/// # Errors
/// `BadConfig` where a secret can't be read.
pub fn store_settings(section: &ClusterSection) -> anyhow::Result<Option<NatsSettings>> {
    let (Some(directory), Some(nats)) = (&section.directory, &section.nats) else {
        return Ok(None);
    };
    let expose = |secret: Secret| secret.expose().to_owned();
    let seed = secret::find(nats.nkey_file.as_deref(), None)?.map(|seed| NatsCredentials::NkeySeed(expose(seed)));
    let jwt = secret::find(nats.credentials_file.as_deref(), None)?.map(|jwt| NatsCredentials::Jwt(expose(jwt)));
    let password = secret::find(nats.password_file.as_deref(), nats.password.as_ref())?;
    let password = nats.user.clone().zip(password.map(expose));
    let password = password.map(|(user, password)| NatsCredentials::Password { user, password });
    let credentials = seed.or(jwt).or(password).ok_or_else(|| {
        let text = "cluster.nats: expected credentials".to_owned();
        Failure::error(ExitKind::BadConfig, text)
    })?;
    Ok(Some(NatsSettings {
        servers: directory.addresses(),
        ca: nats.ca.clone(),
        credentials,
        cluster: section.cluster.clone(),
        name: section.name.clone(),
        replicas: nats.replicas,
    }))
}

/// Begins to reach for that store. Must be called within a tokio runtime.
///
/// # Errors
/// `BadConfig` where a secret can't be read, or is none.
pub fn store(section: &ClusterSection) -> anyhow::Result<Option<Store>> {
    let store = store_settings(section)?.map(|settings| Store::start(&settings));
    store
        .transpose()
        .map_err(|error| Failure::error(ExitKind::BadConfig, format!("cluster.nats: {error:#}")))
}

/// The way to the other members, where there are any. Must be called within a tokio runtime.
///
/// # Errors
/// `Unavailable` where the address can't be listened at, `BadConfig` where the certificate is another server's.
pub fn door(
    section: &ClusterSection,
    tls: PeerTls,
    renewals: mpsc::Receiver<PeerTls>,
    refusals: Refusals,
) -> anyhow::Result<Option<PeerDoor>> {
    if !section.is_shared() {
        return Ok(None);
    }
    let certified = &tls.dialled.identity().name;
    if certified.as_str() != section.name.as_str() {
        let text = format!(
            "cluster.name: expected \"{certified}\", the name in service.identity, found \"{}\"",
            section.name
        );
        return Err(Failure::error(ExitKind::BadConfig, text));
    }
    let endpoint = match section.role {
        Role::Leaf => None,
        Role::Member | Role::Hub => {
            let bound = ServerEndpoint::bind(section.listen, tls.dialled, Settings::server());
            Some(bound.map_err(|error| Failure::error(ExitKind::Unavailable, format!("cluster.listen: {error}")))?)
        }
    };
    let mut peers = Vec::new();
    for peer in &section.peers {
        let server = peer
            .server()
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("cluster.peers: {error}")))?;
        peers.push((peer.name.clone(), server));
    }
    Ok(Some(PeerDoor {
        endpoint,
        dialling: tls.dialling,
        peers,
        renewals,
        refusals,
        seed: seed()?,
    }))
}
