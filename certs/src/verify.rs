//! The checks of a handshake: chain, dates, revocation and host by webpki, then the role; what failed is kept, typed.

use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme};

use crate::identity::{hosts_of, is_self_issued, peer_identity, role_of};
use crate::problem::CertificateProblem;
use crate::role::Role;
use crate::trust::Revoked;

/// What a verifier found wrong. The TLS library passes on only a text and an alert, so the finding is left here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finding(Arc<Mutex<Option<CertificateProblem>>>);

impl Finding {
    pub(crate) fn problem(&self) -> Option<CertificateProblem> {
        self.0.lock().ok()?.clone()
    }

    fn note(&self, problem: CertificateProblem) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(problem);
        }
    }
}

/// Verifies the certificate of whoever dials us.
#[derive(Debug)]
pub(crate) struct DiallerVerifier {
    pub(crate) webpki: Arc<dyn ClientCertVerifier>,
    pub(crate) accepted: Accepted,
    pub(crate) revoked: Revoked,
    pub(crate) finding: Finding,
}

/// Whose certificate is good for a door.
#[derive(Debug, Clone)]
pub(crate) enum Accepted {
    /// Who has one of these roles, and a name.
    Roles(Arc<[Role]>),
    /// Everybody for whom an authority vouches: what each may do is judged later.
    Anybody,
}

impl ClientCertVerifier for DiallerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.webpki.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let accepted: &[Role] = match &self.accepted {
            Accepted::Roles(roles) => roles,
            Accepted::Anybody => &Role::ALL,
        };
        let chain = self.webpki.verify_client_cert(end_entity, intermediates, now);
        let verified = chain.map_err(|error| {
            let suspect = Suspect {
                leaf: end_entity,
                accepted,
                revoked: &self.revoked,
            };
            suspect.explain(error, &self.finding)
        })?;
        if let Accepted::Roles(roles) = &self.accepted {
            require_role(end_entity, roles, &self.finding)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Verifies the certificate of the server we dial.
#[derive(Debug)]
pub(crate) struct DialledVerifier {
    pub(crate) webpki: Arc<WebPkiServerVerifier>,
    pub(crate) accepted: Arc<[Role]>,
    pub(crate) revoked: Revoked,
    pub(crate) finding: Finding,
}

impl ServerCertVerifier for DialledVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let chain = self
            .webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let verified = chain.map_err(|error| {
            let suspect = Suspect {
                leaf: end_entity,
                accepted: &self.accepted,
                revoked: &self.revoked,
            };
            suspect.explain(error, &self.finding)
        })?;
        require_role(end_entity, &self.accepted, &self.finding)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn require_role(leaf: &CertificateDer<'_>, accepted: &[Role], finding: &Finding) -> Result<(), TlsError> {
    let problem = match peer_identity(std::slice::from_ref(leaf)) {
        Ok(found) if accepted.contains(&found.role) => return Ok(()),
        Ok(found) => wrong_role(found.role, accepted),
        Err(problem) => problem,
    };
    finding.note(problem);
    // Alert access_denied: the certificate is valid, but its holder may not do this (RFC 8446 section 6.2).
    Err(TlsError::InvalidCertificate(
        CertificateError::ApplicationVerificationFailure,
    ))
}

fn wrong_role(found: Role, accepted: &[Role]) -> CertificateProblem {
    CertificateProblem::WrongRole {
        found,
        accepted: accepted.to_vec(),
    }
}

/// What of a certificate is asked again where its check failed, to find the better words.
struct Suspect<'a> {
    leaf: &'a CertificateDer<'a>,
    accepted: &'a [Role],
    revoked: &'a Revoked,
}

impl Suspect<'_> {
    /// Notes what webpki found, and gives back the error whose alert tells the other side best.
    fn explain(&self, error: TlsError, finding: &Finding) -> TlsError {
        let Some(problem) = CertificateProblem::from_tls(&error) else {
            return error;
        };
        let problem = self.refine(problem);
        let error = match problem {
            // Alert access_denied.
            CertificateProblem::WrongRole { .. } => {
                TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
            }
            // Alert unknown_ca, whatever the library's error says in detail.
            CertificateProblem::UnknownAuthority
            | CertificateProblem::SelfSigned
            | CertificateProblem::RevocationUnknown => TlsError::InvalidCertificate(CertificateError::UnknownIssuer),
            _ => error,
        };
        finding.note(problem);
        error
    }

    fn refine(&self, problem: CertificateProblem) -> CertificateProblem {
        match problem {
            // A supervisor's certificate used as a server fails by its key usage before its role is looked at; the role
            // is the better explanation.
            CertificateProblem::WrongPurpose => match role_of(self.leaf) {
                Ok(found) if !self.accepted.contains(&found) => wrong_role(found, self.accepted),
                Ok(_) | Err(_) => problem,
            },
            // The library's names for hosts are those of its types.
            CertificateProblem::WrongName { dialled, .. } => CertificateProblem::WrongName {
                dialled,
                presented: hosts_of(self.leaf),
            },
            CertificateProblem::UnknownAuthority if is_self_issued(self.leaf) => CertificateProblem::SelfSigned,
            CertificateProblem::Revoked if !self.revoked.names(self.leaf) => CertificateProblem::IssuerRevoked,
            problem => problem,
        }
    }
}
