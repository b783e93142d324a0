//! Each flaw against each of our ends, in memory: what our end finds, what the other side is told, and that not a byte of
//! what our end has to say gets across.

use std::io::{Read, Write};
use std::sync::Arc;

use silentmon_certs::{ClientTls, Credentials, Role, ServerTls, TlsProblem, Trust, Verdict};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion, crypto, version,
};

use crate::pki::{Flaw, Pki};

const SOUND: &[u8] = b"what an agent says";
const SERVICE: &[u8] = b"silentmon/1";
const PEER: &[u8] = b"silentmon-peer/1";

/// Which of our ends is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A supervisor's program; a server with a flaw is dialled.
    Dialling,
    /// A capture server; a supervisor with a flaw dials.
    Dialled,
    /// A capture server that dials another one.
    DiallingPeer,
    /// A capture server that another one dials.
    DialledPeer,
}

impl End {
    const ALL: [Self; 4] = [Self::Dialling, Self::Dialled, Self::DiallingPeer, Self::DialledPeer];

    const fn own_role(self) -> &'static str {
        match self {
            Self::Dialling => "supervisor",
            Self::Dialled | Self::DiallingPeer | Self::DialledPeer => "capture",
        }
    }

    const fn other_role(self) -> &'static str {
        match self {
            Self::Dialled => "supervisor",
            Self::Dialling | Self::DiallingPeer | Self::DialledPeer => "capture",
        }
    }

    const fn is_dialled(self) -> bool {
        matches!(self, Self::Dialled | Self::DialledPeer)
    }

    const fn protocol(self) -> &'static [u8] {
        match self {
            Self::Dialling | Self::Dialled => SERVICE,
            Self::DiallingPeer | Self::DialledPeer => PEER,
        }
    }

    fn open(self, pki: &Pki, flaw: Flaw) -> (Connection, Verdict) {
        let own = Credentials::load(&pki.issue(self.own_role(), Flaw::None), None).expect("loads");
        let trust = Trust::load(&pki.path("root.pem"), Some(&pki.path(flaw.lists()))).expect("loads");
        let serve = |accepted: &[Role]| {
            let tls = ServerTls::new(&own, &trust, accepted, &[self.protocol()]).expect("usable");
            let (config, verdict) = tls.for_connection().expect("usable");
            (ServerConnection::new(config).expect("usable").into(), verdict)
        };
        match self {
            Self::Dialled => serve(&[Role::Supervisor, Role::Admin]),
            Self::DialledPeer => serve(&[Role::Capture]),
            Self::Dialling | Self::DiallingPeer => {
                let tls = ClientTls::new(&own, &trust, &[self.protocol()]).expect("usable");
                let (config, verdict) = tls.for_connection().expect("usable");
                let connection = ClientConnection::new(config, host()).expect("usable");
                (connection.into(), verdict)
            }
        }
    }

    /// The other side, which takes everybody.
    fn open_other(self, pki: &Pki, flaw: Flaw, version: &'static SupportedProtocolVersion) -> Connection {
        let pem = std::fs::read(pki.issue(self.other_role(), flaw)).expect("there");
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let (chain, key) = (
            chain.expect("a chain"),
            PrivateKeyDer::from_pem_slice(&pem).expect("a key"),
        );
        let provider = Arc::new(crypto::ring::default_provider());
        if self.is_dialled() {
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("usable")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TakesAll))
                .with_client_auth_cert(chain, key)
                .expect("usable");
            config.alpn_protocols = vec![self.protocol().to_vec()];
            ClientConnection::new(Arc::new(config), host()).expect("usable").into()
        } else {
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("usable")
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .expect("usable");
            config.alpn_protocols = vec![self.protocol().to_vec()];
            ServerConnection::new(Arc::new(config)).expect("usable").into()
        }
    }
}

fn host() -> ServerName<'static> {
    "127.0.0.1".try_into().expect("a host")
}

/// A word of ours, part of the sentence, and the alert that the other side gets.
type Expected = (&'static str, &'static str, AlertDescription);

fn expected(flaw: Flaw, end: End) -> Option<Expected> {
    use AlertDescription as Alert;
    Some(match flaw {
        Flaw::None | Flaw::SoonOver => return None,
        Flaw::Expired => ("expired", "expired on 20", Alert::CertificateExpired),
        Flaw::NotYetValid => ("not_yet_valid", "valid only from 20", Alert::CertificateExpired),
        Flaw::WrongAuthority => ("unknown_authority", "isn't trusted here", Alert::UnknownCA),
        Flaw::WrongRole => ("wrong_role", "is needed here", Alert::AccessDenied),
        Flaw::Revoked => ("revoked", "its certificate has been revoked", Alert::CertificateRevoked),
        Flaw::IssuerRevoked => ("issuer_revoked", "the authority that issued", Alert::CertificateRevoked),
        Flaw::StaleList => ("revocation_list_expired", "to be replaced by 20", Alert::UnknownCA),
        Flaw::MissingList => ("revocation_unknown", "no revocation list covers", Alert::UnknownCA),
        Flaw::SelfSigned => ("self_signed", "signed by itself", Alert::UnknownCA),
        // The role peers have is looked at before the name of whoever dials; his host is nobody's business.
        Flaw::WrongName if end == End::DialledPeer => return None,
        Flaw::WrongName if end == End::Dialled => ("no_role", "more than one name", Alert::AccessDenied),
        Flaw::WrongName => (
            "wrong_name",
            "is for 10.9.9.9, not for 127.0.0.1",
            Alert::BadCertificate,
        ),
    })
}

/// What came of a handshake.
#[derive(Debug)]
struct Outcome {
    ours: Option<TlsProblem>,
    theirs: Option<Error>,
    heard: Vec<u8>,
}

fn shake(mut ours: Connection, verdict: &Verdict, mut theirs: Connection) -> Outcome {
    // Said before anything is known of the other side: it must wait until all of it is.
    ours.writer().write_all(SOUND).expect("kept");
    let mut outcome = Outcome {
        ours: None,
        theirs: None,
        heard: Vec::new(),
    };
    for _ in 0..10 {
        if let Some(error) = pass(&mut theirs, &mut ours) {
            outcome
                .ours
                .get_or_insert(verdict.explain(&std::io::Error::other(error)));
        }
        if let Some(error) = pass(&mut ours, &mut theirs) {
            outcome.theirs.get_or_insert(error);
        }
        let _ = theirs.reader().read_to_end(&mut outcome.heard);
    }
    outcome
}

/// Lets everything that one end has to send reach the other.
fn pass(from: &mut Connection, to: &mut Connection) -> Option<Error> {
    let mut sent = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut sent).expect("memory");
    }
    let mut rest = &sent[..];
    let mut problem = None;
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("memory");
        if let Err(error) = to.process_new_packets() {
            problem.get_or_insert(error);
        }
    }
    problem
}

#[test]
fn every_flaw_is_refused_at_every_end_with_its_own_words_and_without_a_byte_of_sound() {
    let pki = Pki::new();
    for end in End::ALL {
        for flaw in Flaw::ALL {
            let (ours, verdict) = end.open(&pki, flaw);
            let outcome = shake(ours, &verdict, end.open_other(&pki, flaw, &version::TLS13));
            let Some((word, sentence, alert)) = expected(flaw, end) else {
                assert_eq!(outcome.heard, SOUND, "{end:?} {flaw:?}: {outcome:?}");
                continue;
            };
            let problem = outcome
                .ours
                .as_ref()
                .map(|problem| (problem.word(), problem.to_string()));
            let (found, said) = problem.unwrap_or_default();
            assert_eq!(found, word, "{end:?} {flaw:?}: {outcome:?}");
            assert!(said.contains(sentence), "{end:?} {flaw:?}: {said}");
            assert_eq!(outcome.theirs, Some(Error::AlertReceived(alert)), "{end:?} {flaw:?}");
            assert_eq!(outcome.heard, b"", "{end:?} {flaw:?}");
        }
    }
}

#[test]
fn nothing_older_than_tls_1_3_is_spoken_at_any_end() {
    let pki = Pki::new();
    for end in End::ALL {
        let (ours, verdict) = end.open(&pki, Flaw::None);
        let outcome = shake(ours, &verdict, end.open_other(&pki, Flaw::None, &version::TLS12));
        assert_eq!(outcome.ours, Some(TlsProblem::OldVersion), "{end:?}: {outcome:?}");
        // A server of old notices itself that it can't, before our end says so.
        let alert = Error::AlertReceived(AlertDescription::ProtocolVersion);
        assert!(outcome.theirs.is_some(), "{end:?}");
        assert!(
            !end.is_dialled() || outcome.theirs == Some(alert),
            "{end:?}: {outcome:?}"
        );
        assert_eq!(outcome.heard, b"", "{end:?}");
    }
}

#[test]
fn plain_text_is_answered_by_no_end() {
    let pki = Pki::new();
    for end in End::ALL {
        let (mut ours, verdict) = end.open(&pki, Flaw::None);
        ours.writer().write_all(SOUND).expect("kept");
        let mut plain: &[u8] = b"GET /v1/events HTTP/1.1\r\nHost: gw1\r\n\r\n";
        ours.read_tls(&mut plain).expect("memory");
        let error = ours.process_new_packets().expect_err("refused");
        let problem = verdict.explain(&std::io::Error::other(error));
        assert_eq!(problem, TlsProblem::NotTls, "{end:?}");
        let mut sent = Vec::new();
        while ours.wants_write() {
            ours.write_tls(&mut sent).expect("memory");
        }
        let has_sound = sent.windows(SOUND.len()).any(|window| window == SOUND);
        assert!(!has_sound, "{end:?}");
    }
}

/// The other side's own checks are none of this test's business.
#[derive(Debug)]
struct TakesAll;

impl ServerCertVerifier for TakesAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
