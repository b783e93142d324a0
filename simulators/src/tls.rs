//! The server's side of TLS: identity from PEM, client certificates where wanted.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// TLS 1.2 and 1.3 as a server.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ServerConfig>);

/// PEM that gives no TLS identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Not PEM, or without what is needed.
    #[error("{what}: {source}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Why it wasn't found.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key don't fit, or can't be used.
    #[error("{0}")]
    Unusable(String),
}

impl Tls {
    /// An identity from PEM: certificate chain (the server's own first) and private key, in one text. With
    /// `client_ca`, clients must show a certificate of that authority.
    ///
    /// # Errors
    /// Where something is missing or doesn't fit.
    pub fn from_pem(identity: &[u8], client_ca: Option<&[u8]>) -> Result<Self, TlsError> {
        let chain = certificates(identity, "certificate chain of the simulator")?;
        let key = PrivateKeyDer::from_pem_slice(identity).map_err(|source| TlsError::Pem {
            what: "private key of the simulator",
            source,
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(pem, "authority of the clients")?);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| TlsError::Unusable(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })
}

#[cfg(test)]
mod tests {
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::{Common, CtiServer, CtiServerOptions};

    /// HEARTBEAT_REQ before OPEN_REQ, and the refusal.
    const REQUEST: [u8; 12] = [0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 2];
    const REFUSAL: [u8; 16] = [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];

    #[tokio::test]
    async fn a_secured_side_speaks_tls_from_the_first_byte_and_nothing_else() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let pem = made.cert.pem() + &made.signing_key.serialize_pem();
        let common = Common {
            tls: Some(Tls::from_pem(pem.as_bytes(), None).expect("an identity")),
            ..Common::default()
        };
        let options = CtiServerOptions {
            common,
            ..CtiServerOptions::default()
        };
        let server = CtiServer::start(options).expect("free ports");

        let mut plain = TcpStream::connect(server.addresses()[0]).await.expect("a side");
        plain.write_all(&REQUEST).await.expect("sent");
        let mut answer = Vec::new();
        // The end may be a reset, for not all was read.
        let _ = plain.read_to_end(&mut answer).await;
        assert_ne!(answer.first(), Some(&0), "no plain answer: {answer:?}");

        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(server.addresses()[0]).await.expect("a side");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut secured = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a handshake");
        secured.write_all(&REQUEST).await.expect("sent");
        let mut answer = [0; 16];
        secured.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, REFUSAL);
    }

    #[test]
    fn what_gives_no_identity_is_named() {
        let error = Tls::from_pem(b"nothing", None).expect_err("no identity");
        assert!(error.to_string().contains("private key"), "{error}");
    }
}
