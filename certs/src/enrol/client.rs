//! The newcomer: shows his token to nobody but the service it names, makes his key, and puts what he gets in place.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConnection, DigitallySignedStruct, Error as TlsError, SignatureScheme, StreamOwned,
};

use super::conversation::{Answer, Ask, Papers, Timed, hear, say};
use super::token::Token;
use super::{ALPN, Invitation, LIMIT};
use crate::credentials::Credentials;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::identity::{Fingerprint, Hex, Identity};
use crate::request::{RequestOptions, new_key, request_pem, write_key};
use crate::tls::provider;
use crate::trust::Trust;

/// What was written.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Who the holder is now.
    pub identity: Identity,
    /// The certificate with its chain; the key lies beside it.
    pub certificate: PathBuf,
    /// Whom to trust.
    pub authorities: PathBuf,
    /// Whom not any more.
    pub revocation_lists: PathBuf,
}

/// Has a certificate signed at `server`, `HOST:PORT`, and writes `NAME.key`, `NAME.pem`, `ca.pem` and `crl.pem` into
/// `directory`. Nothing is written, and the token isn't used up, where one of them can't be.
///
/// # Errors
/// Where the server can't be reached, isn't the one that the token names, or refuses; or a file can't be written.
pub fn enrol(server: &str, token: &Token, directory: &Path) -> Result<Enrolled, CertsError> {
    let mut stream = connect(server, token)?;
    let mut talk = Talk {
        server,
        stream: &mut stream,
    };
    let secret = Hex(&token.secret[..]).to_string();
    let answer = talk.ask(&Ask::Token {
        id: Hex(&token.id).to_string(),
        secret,
    })?;
    let Answer::Offer(Invitation { role, name, hosts, .. }) = answer else {
        return Err(talk.unexpected("who it is to be"));
    };
    files::create_directory(directory)?;
    let file = |end: &str| directory.join(format!("{name}.{end}"));
    let (key_path, certificate) = (file("key"), file("pem"));
    if let Some(path) = [&key_path, &certificate].into_iter().find(|path| path.exists()) {
        return Err(CertsError::Exists { path: path.clone() });
    }
    let key = new_key()?;
    let options = RequestOptions { role, name, hosts };
    let csr = request_pem(&options, &key)?;
    let Answer::Issued(papers) = talk.ask(&Ask::Request { csr })? else {
        return Err(talk.unexpected("a certificate"));
    };
    write_key(&key_path, &key)?;
    files::write(&certificate, papers.chain.as_bytes(), Readers::All, Existing::Kept)?;
    let (authorities, revocation_lists) = put_trust(directory, &papers)?;
    let identity = Credentials::load(&certificate, None)?.identity().clone();
    Trust::load(&authorities, Some(&revocation_lists))?;
    Ok(Enrolled {
        identity,
        certificate,
        authorities,
        revocation_lists,
    })
}

/// Lists are replaced by newer ones; whom to trust isn't changed behind anybody's back.
fn put_trust(directory: &Path, papers: &Papers) -> Result<(PathBuf, PathBuf), CertsError> {
    let (authorities, lists) = (directory.join("ca.pem"), directory.join("crl.pem"));
    let known = authorities.exists() && files::read(&authorities)? == papers.roots.as_bytes();
    if !known {
        files::write(&authorities, papers.roots.as_bytes(), Readers::All, Existing::Kept)?;
    }
    files::write(&lists, papers.lists.as_bytes(), Readers::All, Existing::Replaced)?;
    Ok((authorities, lists))
}

type Stream = StreamOwned<ClientConnection, Timed>;

fn connect(server: &str, token: &Token) -> Result<Stream, CertsError> {
    let unreachable = |source| CertsError::Network {
        address: server.to_owned(),
        source,
    };
    let socket = dial(server).map_err(unreachable)?;
    let crypto = |error: TlsError| CertsError::crypto("setting up TLS 1.3")(error.to_string());
    let provider = provider();
    let verifier = PinnedService {
        pin: token.pin,
        provider: Arc::clone(&provider),
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(crypto)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    // The certificate is known by its hash; its name says nothing more, and the host's needn't be shown to anybody.
    config.enable_sni = false;
    let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
    let session = ClientConnection::new(Arc::new(config), name).map_err(crypto)?;
    Ok(StreamOwned::new(session, Timed::new(socket, LIMIT)))
}

/// The first of the server's addresses that answers.
fn dial(server: &str) -> std::io::Result<TcpStream> {
    let mut outcome = Err(std::io::Error::other("the name has no address"));
    for address in server.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, LIMIT);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

struct Talk<'a> {
    server: &'a str,
    stream: &'a mut Stream,
}

impl Talk<'_> {
    fn ask(&mut self, question: &Ask) -> Result<Answer, CertsError> {
        let answer = say(self.stream, question).and_then(|()| hear(self.stream, None));
        match answer {
            Ok(Answer::Refused { why }) => Err(self.refused(why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: std::io::Error) -> CertsError {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match tls {
            Some(TlsError::InvalidCertificate(_)) => {
                self.refused("it isn't the service that the token was made for; nothing was said to it".to_owned())
            }
            Some(TlsError::InvalidMessage(_)) => self.refused("it speaks no TLS".to_owned()),
            _ => CertsError::Network {
                address: self.server.to_owned(),
                source: error,
            },
        }
    }

    fn unexpected(&self, expected: &str) -> CertsError {
        self.refused(format!("expected {expected}, it said something else"))
    }

    fn refused(&self, why: String) -> CertsError {
        CertsError::Enrolment {
            server: self.server.to_owned(),
            why,
        }
    }
}

/// Trusts one certificate, whatever it says.
#[derive(Debug)]
struct PinnedService {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedService {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if Fingerprint::of(end_entity) == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 isn't spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
