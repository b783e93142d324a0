//! Certificates from files to the TLS configurations of both ends, with failures as exit codes.

use std::path::Path;

#[cfg(feature = "playback")]
use silentmon_certs::ClientTls;
use silentmon_certs::{CertsError, Credentials, Trust};
#[cfg(feature = "capture")]
use silentmon_certs::{Role, ServerTls};
use silentmon_proto::relay::ALPN;
use time::OffsetDateTime;

use crate::exit::{ExitKind, Failure};

/// For a capture server: lets supervisors and administrators in.
///
/// # Errors
/// `BadConfig` where a file is missing or isn't what it should be, `NotPermitted` where it can't be read.
#[cfg(feature = "capture")]
pub fn server(identity: &Path, ca: &Path, crl: Option<&Path>) -> anyhow::Result<ServerTls> {
    let (credentials, trust) = load(identity, ca, crl)?;
    require_role(&credentials, &[Role::Capture])?;
    let accepted = [Role::Supervisor, Role::Admin];
    ServerTls::new(&credentials, &trust, &accepted, &[ALPN]).map_err(|error| unusable(&error))
}

/// For a capture server's HTTPS: certificates of whoever calls are checked where they are shown.
///
/// # Errors
/// As [`server`].
#[cfg(feature = "capture")]
pub fn web_server(
    identity: &Path,
    ca: &Path,
    crl: Option<&Path>,
) -> anyhow::Result<std::sync::Arc<tokio_rustls::rustls::ServerConfig>> {
    let (credentials, trust) = load(identity, ca, crl)?;
    require_role(&credentials, &[Role::Capture])?;
    silentmon_certs::web_server_tls(&credentials, &trust, &[b"http/1.1"]).map_err(|error| unusable(&error))
}

/// For dialling a telephony system.
///
/// # Errors
/// As [`server`].
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

/// For a supervisor's program: dials capture servers only.
///
/// # Errors
/// As [`server`].
#[cfg(feature = "playback")]
pub fn client(identity: &Path, ca: &Path, crl: Option<&Path>) -> anyhow::Result<ClientTls> {
    let (credentials, trust) = load(identity, ca, crl)?;
    ClientTls::new(&credentials, &trust, &[ALPN]).map_err(|error| unusable(&error))
}

fn load(identity: &Path, ca: &Path, crl: Option<&Path>) -> anyhow::Result<(Credentials, Trust)> {
    let credentials = Credentials::load(identity, None).map_err(|error| unusable(&error))?;
    let trust = Trust::load(ca, crl).map_err(|error| unusable(&error))?;
    let now = OffsetDateTime::now_utc();
    for warning in credentials.warnings(now).into_iter().chain(trust.warnings(now)) {
        tracing::warn!("{warning}");
    }
    Ok((credentials, trust))
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
