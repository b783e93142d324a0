//! TLS configurations: version 1.3 only, both sides authenticated, roles checked, no resumption, no early data.
//!
//! A resumed session would skip the checks of dates, roles and revocation; a handshake costs a millisecond.

use std::io;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use time::OffsetDateTime;

use crate::credentials::{Credentials, ResetSecret};
use crate::error::CertsError;
use crate::identity::Identity;
use crate::problem::{CertificateProblem, PeerRefusal, TlsProblem};
use crate::role::Role;
use crate::trust::{Revoked, Trust};
use crate::verify::{Accepted, DialledVerifier, DiallerVerifier, Finding};

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

    /// Why a handshake over TCP failed with this error.
    pub fn explain(&self, error: &io::Error) -> TlsProblem {
        match self.problem() {
            Some(problem) => TlsProblem::Certificate(problem),
            None => TlsProblem::from_io(error),
        }
    }
}

/// TLS for whoever is dialled.
#[derive(Debug, Clone)]
pub struct ServerTls {
    credentials: Credentials,
    trust: Trust,
    webpki: Arc<dyn ClientCertVerifier>,
    accepted: Accepted,
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
        let webpki = client_verifier(trust).build().map_err(|error| unusable_lists(&error))?;
        Self::assemble(credentials, trust, webpki, Accepted::Roles(accepted.into()), alpn)
    }

    /// Serves programs that may prove themselves in another way, a token for one: the certificate of whoever shows one
    /// is checked in full, who shows none is let in as nobody, and what a role may do is judged by the caller.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_web(credentials: &Credentials, trust: &Trust, alpn: &[&[u8]]) -> Result<Self, CertsError> {
        let builder = client_verifier(trust).allow_unauthenticated();
        let webpki = builder.build().map_err(|error| unusable_lists(&error))?;
        Self::assemble(credentials, trust, webpki, Accepted::Anybody, alpn)
    }

    fn assemble(
        credentials: &Credentials,
        trust: &Trust,
        webpki: Arc<dyn ClientCertVerifier>,
        accepted: Accepted,
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
        let alpn: Vec<_> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self {
            credentials: credentials.clone(),
            trust: trust.clone(),
            webpki,
            accepted,
            alpn,
        })
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        self.credentials.identity()
    }

    /// What connections of a former run are ended with.
    pub const fn reset_secret(&self) -> &ResetSecret {
        self.credentials.reset_secret()
    }

    /// Checks the chain of somebody who is connected already as a new handshake would: dates, authority, revocation,
    /// role.
    ///
    /// # Errors
    /// Why he would be refused now.
    pub fn recheck(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateProblem> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateProblem::Missing)?;
        let finding = Finding::default();
        let verifier = self.verifier(&finding);
        verified(
            verifier.verify_client_cert(leaf, intermediates, UnixTime::now()),
            &finding,
        )
    }

    /// When the first of the revocation lists ends: from then on nobody's certificate is good any more.
    pub fn lists_end(&self) -> Option<OffsetDateTime> {
        self.trust.lists_end()
    }

    /// The configuration for one connection, and what will become of its certificate check.
    ///
    /// # Errors
    /// Where the TLS library can't be set up for TLS 1.3.
    pub fn for_connection(&self) -> Result<(Arc<rustls::ServerConfig>, Verdict), CertsError> {
        let finding = Finding::default();
        let config = server_config(&self.credentials, self.verifier(&finding), &self.alpn)?;
        Ok((Arc::new(config), Verdict(finding)))
    }

    fn verifier(&self, finding: &Finding) -> DiallerVerifier {
        DiallerVerifier {
            webpki: Arc::clone(&self.webpki),
            accepted: self.accepted.clone(),
            revoked: self.trust.revoked.clone(),
            finding: finding.clone(),
        }
    }
}

fn client_verifier(trust: &Trust) -> ClientCertVerifierBuilder {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
        .with_crls(trust.revocation_lists.iter().cloned())
        .enforce_revocation_expiration()
}

fn unusable_lists(error: &VerifierBuilderError) -> CertsError {
    CertsError::crypto("reading the revocation lists")(error.to_string())
}

fn verified<T>(outcome: Result<T, rustls::Error>, finding: &Finding) -> Result<(), CertificateProblem> {
    outcome.map(drop).map_err(|error| {
        let unexplained = || CertificateProblem::Unverifiable(error.to_string());
        finding.problem().unwrap_or_else(unexplained)
    })
}

fn server_config(
    credentials: &Credentials,
    verifier: DiallerVerifier,
    alpn: &[Vec<u8>],
) -> Result<rustls::ServerConfig, CertsError> {
    let key = SingleCertAndKey::from(credentials.certified().as_ref().clone());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| CertsError::crypto("setting up TLS 1.3")(error.to_string()))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(key));
    config.alpn_protocols = alpn.to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// TLS for whoever dials.
#[derive(Debug, Clone)]
pub struct ClientTls {
    credentials: Credentials,
    webpki: Arc<WebPkiServerVerifier>,
    revoked: Revoked,
    lists_end: Option<OffsetDateTime>,
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
            .map_err(|error| unusable_lists(&error))?;
        Ok(Self {
            credentials: credentials.clone(),
            webpki,
            revoked: trust.revoked.clone(),
            lists_end: trust.lists_end(),
            alpn: alpn.iter().map(|protocol| protocol.to_vec()).collect(),
        })
    }

    /// The configuration for one connection, and what will become of its certificate check.
    ///
    /// # Errors
    /// Where the TLS library can't be set up for TLS 1.3.
    pub fn for_connection(&self) -> Result<(Arc<rustls::ClientConfig>, Verdict), CertsError> {
        let finding = Finding::default();
        let verifier = self.verifier(&finding);
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

    /// When the first of the revocation lists ends, as [`ServerTls::lists_end`].
    pub const fn lists_end(&self) -> Option<OffsetDateTime> {
        self.lists_end
    }

    /// Checks the chain of a server that is connected already, dialled as `host`, as a new handshake would.
    ///
    /// # Errors
    /// Why it would be refused now.
    pub fn recheck(&self, chain: &[CertificateDer<'_>], host: &str) -> Result<(), CertificateProblem> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateProblem::Missing)?;
        let unnamed = |_| CertificateProblem::Unverifiable(format!("{host} is no host"));
        let name = ServerName::try_from(host).map_err(unnamed)?;
        let finding = Finding::default();
        let verifier = self.verifier(&finding);
        verified(
            verifier.verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now()),
            &finding,
        )
    }

    fn verifier(&self, finding: &Finding) -> DialledVerifier {
        DialledVerifier {
            webpki: Arc::clone(&self.webpki),
            accepted: [Role::Capture].into(),
            revoked: self.revoked.clone(),
            finding: finding.clone(),
        }
    }
}
