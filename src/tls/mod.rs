//! Certificates from files to the TLS configurations of both ends, with failures as exit codes.

#[cfg(feature = "capture")]
mod follow;
mod watch;

#[cfg(feature = "capture")]
use std::path::Path;

#[cfg(feature = "capture")]
use silentmon_capture_io::service::PeerTls;
use silentmon_certs::CertsError;
use silentmon_certs::ClientTls;
#[cfg(feature = "capture")]
use silentmon_certs::{Credentials, Expiry, Role, ServerTls};
#[cfg(feature = "capture")]
use silentmon_proto::peer;
use silentmon_proto::relay::ALPN;
use time::OffsetDateTime;

#[cfg(feature = "capture")]
pub use self::follow::{Doors, Follower};
pub use self::watch::{FileWatch, IdentityFiles};
use crate::exit::{ExitKind, Failure};

/// What a capture server needs, of one reading of its files.
#[cfg(feature = "capture")]
pub struct ServerIdentity {
    /// For supervisors and administrators.
    pub relay: ServerTls,
    /// For HTTPS: certificates of whoever calls are checked where they are shown.
    pub web: ServerTls,
    /// For the other members of the cluster.
    pub peers: PeerTls,
    /// How many certificates are revoked.
    pub revoked: usize,
    /// Until when all of it is good.
    pub expiries: Vec<Expiry>,
}

#[cfg(feature = "capture")]
impl ServerIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// `BadConfig` where a file is missing or isn't what it should be, `NotPermitted` where it can't be read.
    pub fn load(files: &IdentityFiles) -> anyhow::Result<Self> {
        let (credentials, trust) = files.load()?;
        require_role(&credentials, &[Role::Capture])?;
        let accepted = [Role::Supervisor, Role::Admin];
        let relay = ServerTls::new(&credentials, &trust, &accepted, &[ALPN]).map_err(|error| unusable(&error))?;
        let web = ServerTls::for_web(&credentials, &trust, &[b"http/1.1"]).map_err(|error| unusable(&error))?;
        let peers = PeerTls {
            dialled: ServerTls::new(&credentials, &trust, &[Role::Capture], &[peer::ALPN])
                .map_err(|error| unusable(&error))?,
            dialling: ClientTls::new(&credentials, &trust, &[peer::ALPN]).map_err(|error| unusable(&error))?,
        };
        let mut expiries = credentials.expiries();
        expiries.extend_from_slice(trust.expiries());
        Ok(Self {
            relay,
            web,
            peers,
            revoked: trust.revoked(),
            expiries,
        })
    }
}

/// Reads the files and asks whether all in them is good now and for some time: one sentence for each that isn't.
///
/// # Errors
/// As [`IdentityFiles::load`].
pub fn look_over(files: &IdentityFiles) -> anyhow::Result<Vec<String>> {
    let (credentials, trust) = files.load()?;
    let now = OffsetDateTime::now_utc();
    Ok(credentials
        .warnings(now)
        .into_iter()
        .chain(trust.warnings(now))
        .collect())
}

/// For dialling a telephony system.
///
/// # Errors
/// As [`ServerIdentity::load`].
#[cfg(feature = "capture")]
pub fn source(
    ca: &Path,
    identity: Option<&Path>,
) -> anyhow::Result<std::sync::Arc<tokio_rustls::rustls::ClientConfig>> {
    silentmon_certs::cti_client_tls(ca, identity).map_err(|error| unusable(&error))
}

/// The name that a telephony system's certificate must bear.
///
/// # Errors
/// `BadConfig` where it is neither a host name nor an address.
#[cfg(feature = "capture")]
pub fn server_name(name: &str) -> anyhow::Result<tokio_rustls::rustls::pki_types::ServerName<'static>> {
    let expected = || format!("tls.server_name: expected a host name or address, found \"{name}\"");
    name.to_owned()
        .try_into()
        .map_err(|_| Failure::error(ExitKind::BadConfig, expected()))
}

/// For a supervisor's program: dials capture servers only. Says in the log what ends soon.
///
/// # Errors
/// As [`IdentityFiles::load`].
#[cfg(feature = "playback")]
pub fn client(files: &IdentityFiles) -> anyhow::Result<ClientTls> {
    let (credentials, trust) = files.load()?;
    let now = OffsetDateTime::now_utc();
    for warning in credentials.warnings(now).into_iter().chain(trust.warnings(now)) {
        tracing::warn!("{warning}");
    }
    ClientTls::new(&credentials, &trust, &[ALPN]).map_err(|error| unusable(&error))
}

#[cfg(feature = "capture")]
fn require_role(credentials: &Credentials, wanted: &[Role]) -> anyhow::Result<()> {
    let role = credentials.identity().role;
    if wanted.contains(&role) {
        return Ok(());
    }
    let path = credentials.path().display();
    let sentence = format!("{path}: expected a certificate of role capture, found role {role}");
    Err(Failure::error(ExitKind::BadConfig, sentence))
}

fn unusable(error: &CertsError) -> anyhow::Error {
    let kind = match error {
        CertsError::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            ExitKind::NotPermitted
        }
        _ => ExitKind::BadConfig,
    };
    Failure::error(kind, error.to_string())
}
