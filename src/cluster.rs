//! From the `[cluster]` section to a member of a cluster.

use silentmon_capture_core::cluster::ClusterSettings;
use silentmon_capture_io::service::{PeerDoor, PeerTls, Refusals};
use silentmon_proto::peer::{HEARTBEAT, RETRIES, Role};
use silentmon_transport::{ServerEndpoint, Settings};
use tokio::sync::mpsc;

use crate::commands::capture::SOFTWARE;
use crate::config::capture::CaptureConfig;
use crate::config::cluster::ClusterSection;
use crate::exit::{ExitKind, Failure};
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
        service_port: config.service.listen.port(),
        software: SOFTWARE.to_owned(),
        peers: section.peers.iter().map(|peer| peer.name.clone()).collect(),
        role: Role::Member,
        has_cti: config.cti.iter().any(|cti| !cti.dialled().is_empty()),
        heartbeat: HEARTBEAT,
        retries: RETRIES,
    }))
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
    let endpoint = ServerEndpoint::bind(section.listen, tls.dialled, Settings::server())
        .map_err(|error| Failure::error(ExitKind::Unavailable, format!("cluster.listen: {error}")))?;
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
