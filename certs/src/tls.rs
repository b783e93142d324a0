//! TLS configurations: version 1.3 only, both sides authenticated, roles checked, no resumption, no early data.
//!
//! A resumed session would skip the checks of dates, roles and revocation; a handshake costs a millisecond.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;

use crate::credentials::Credentials;
use crate::error::CertsError;
use crate::identity::Identity;
use crate::problem::{CertificateProblem, PeerRefusal};
use crate::role::Role;
use crate::trust::Trust;
use crate::verify::{DialledVerifier, DiallerVerifier, Finding};

/// The one cryptographic provider; never a process-wide default, which another crate could change.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What became of the certificate check of one handshake.
#[derive(Debug, Clone)]
pub struct Verdict(Finding);

impl Verdict {
    /// What was wrong with the other side's certificate, if anything.
    pub fn problem(&self) -> Option<CertificateProblem> {
        self.0.problem()
    }

    /// What a handshake that failed with this TLS alert says about certificates: our own finding first, else the other
    /// side's refusal of ours.
    pub fn problem_after(&self, alert: u8) -> Option<CertificateProblem> {
        let refused = || PeerRefusal::from_alert(alert).map(CertificateProblem::RefusedByPeer);
        self.problem().or_else(refused)
    }
}

/// TLS for whoever is dialled.
#[derive(Debug, Clone)]
pub struct ServerTls {
    template: Arc<rustls::ServerConfig>,
    credentials: Credentials,
    trust: Trust,
    webpki: Arc<dyn ClientCertVerifier>,
    accepted: Arc<[Role]>,
    alpn: Vec<Vec<u8>>,
}

impl ServerTls {
    /// Serves with `credentials`, which need role capture, whoever `trust` vouches for and has one of the `accepted`
    /// roles, in the application protocols `alpn` (RFC 7301).
    ///
    /// # Errors
    /// Where the credentials' role isn't capture, or a revocation list can't be used.
    pub fn new(
        credentials: &Credentials,
        trust: &Trust,
        accepted: &[Role],
        alpn: &[&[u8]],
    ) -> Result<Self, CertsError> {
        let found = credentials.identity().role;
        if found != Role::Capture {
            return Err(CertsError::Role {
                path: credentials.path().to_owned(),
                found,
                purpose: "a server",
                needed: Role::Capture,
            });
        }
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
            .with_crls(trust.revocation_lists.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| CertsError::crypto("reading the revocation lists")(error.to_string()))?;
        let accepted: Arc<[Role]> = accepted.into();
        let alpn: Vec<_> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let template = server_config(credentials, &webpki, &accepted, &alpn, Finding::default())?;
        Ok(Self {
            template: Arc::new(template),
            credentials: credentials.clone(),
            trust: trust.clone(),
            webpki,
            accepted,
            alpn,
        })
    }

    /// Whether the holder of a certificate that was accepted earlier would be refused now as revoked, or for his role.
    pub fn refuses(&self, holder: &Identity) -> bool {
        self.trust.is_revoked(holder) || !self.accepted.contains(&holder.role)
    }

    /// The configuration for many connections, without a verdict for each.
    pub fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.template)
    }

    /// The configuration for one connection, and what will become of its certificate check.
    ///
    /// # Errors
    /// Where the TLS library can't be set up for TLS 1.3.
    pub fn for_connection(&self) -> Result<(Arc<rustls::ServerConfig>, Verdict), CertsError> {
        let finding = Finding::default();
        let config = server_config(
            &self.credentials,
            &self.webpki,
            &self.accepted,
            &self.alpn,
            finding.clone(),
        )?;
        Ok((Arc::new(config), Verdict(finding)))
    }
}

fn server_config(
    credentials: &Credentials,
    webpki: &Arc<dyn ClientCertVerifier>,
    accepted: &Arc<[Role]>,
    alpn: &[Vec<u8>],
    finding: Finding,
) -> Result<rustls::ServerConfig, CertsError> {
    let verifier = DiallerVerifier {
        webpki: Arc::clone(webpki),
        accepted: Arc::clone(accepted),
        finding,
    };
    server_template(credentials, Arc::new(verifier), alpn)
}

fn server_template(
    credentials: &Credentials,
    verifier: Arc<dyn ClientCertVerifier>,
    alpn: &[Vec<u8>],
) -> Result<rustls::ServerConfig, CertsError> {
    let key = SingleCertAndKey::from(credentials.certified().as_ref().clone());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| CertsError::crypto("setting up TLS 1.3")(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(key));
    config.alpn_protocols = alpn.to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// TLS for HTTP: as [`ServerTls`], but whoever shows no certificate is let in too and must prove himself otherwise; the
/// role of one that is shown is for the caller to look at ([`crate::peer_identity`]).
///
/// # Errors
/// Where a revocation list can't be used.
pub fn web_server_tls(
    credentials: &Credentials,
    trust: &Trust,
    alpn: &[&[u8]],
) -> Result<Arc<rustls::ServerConfig>, CertsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
        .with_crls(trust.revocation_lists.iter().cloned())
        .enforce_revocation_expiration()
        .allow_unauthenticated()
        .build()
        .map_err(|error| CertsError::crypto("reading the revocation lists")(error.to_string()))?;
    let alpn: Vec<_> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(server_template(credentials, verifier, &alpn)?))
}

/// TLS for whoever dials.
#[derive(Debug, Clone)]
pub struct ClientTls {
    credentials: Credentials,
    webpki: Arc<WebPkiServerVerifier>,
    alpn: Vec<Vec<u8>>,
}

impl ClientTls {
    /// Dials with `credentials`; only servers that `trust` vouches for, that have role capture and a certificate for
    /// the host or address dialled are talked to.
    ///
    /// # Errors
    /// Where a revocation list can't be used.
    pub fn new(credentials: &Credentials, trust: &Trust, alpn: &[&[u8]]) -> Result<Self, CertsError> {
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
            .with_crls(trust.revocation_lists.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| CertsError::crypto("reading the revocation lists")(error.to_string()))?;
        Ok(Self {
            credentials: credentials.clone(),
            webpki,
            alpn: alpn.iter().map(|protocol| protocol.to_vec()).collect(),
        })
    }

    /// The configuration for one connection, and what will become of its certificate check.
    ///
    /// # Errors
    /// Where the TLS library can't be set up for TLS 1.3.
    pub fn for_connection(&self) -> Result<(Arc<rustls::ClientConfig>, Verdict), CertsError> {
        let finding = Finding::default();
        let verifier = DialledVerifier {
            webpki: Arc::clone(&self.webpki),
            accepted: [Role::Capture].into(),
            finding: finding.clone(),
        };
        let key = SingleCertAndKey::from(self.credentials.certified().as_ref().clone());
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| CertsError::crypto("setting up TLS 1.3")(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(key));
        config.alpn_protocols.clone_from(&self.alpn);
        config.resumption = Resumption::disabled();
        Ok((Arc::new(config), Verdict(finding)))
    }
}
