//! Certificates and endpoints on loopback.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod relay;
pub mod traffic;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, ClientTls, Credentials, Password, RequestOptions, Role, ServerTls,
    SignOptions, SubjectName, Trust,
};
use silentmon_proto::relay::ALPN;
use silentmon_transport::{Channel, ConnectError, Refused, ServerAddress, ServerEndpoint, Settings, connect};
use tempfile::TempDir;

pub struct Pki {
    pub directory: TempDir,
    pub authority: CertificateAuthority,
}

impl Pki {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = AuthorityOptions {
            name: SubjectName::new("Test CA").expect("a name"),
            days: 100,
            algorithm: silentmon_certs::KeyAlgorithm::default(),
        };
        let password = Password::chosen("correct horse").expect("long enough");
        let authority =
            CertificateAuthority::create(&directory.path().join("ca"), &options, &password).expect("an authority");
        Self { directory, authority }
    }

    pub fn issue(&self, role: Role, name: &str, hosts: &[&str]) -> PathBuf {
        let request = RequestOptions {
            role,
            name: SubjectName::new(name).expect("a name"),
            hosts: hosts.iter().map(|host| host.parse().expect("a host")).collect(),
        };
        self.authority
            .issue(self.directory.path(), &request, &SignOptions::default())
            .expect("issued")
    }

    pub fn credentials(&self, role: Role, name: &str) -> Credentials {
        Credentials::load(&self.issue(role, name, &["127.0.0.1", "::1"]), None).expect("loads")
    }

    pub fn trust(&self) -> Trust {
        let ca = self.directory.path().join("ca");
        Trust::load(&ca.join("ca.pem"), Some(&ca.join("crl.pem"))).expect("loads")
    }

    pub fn server_tls(&self) -> ServerTls {
        self.server_tls_of(&self.credentials(Role::Capture, "gw1"))
    }

    pub fn server_tls_of(&self, credentials: &Credentials) -> ServerTls {
        ServerTls::new(credentials, &self.trust(), &[Role::Supervisor, Role::Admin], &[ALPN]).expect("usable")
    }

    pub fn client_tls(&self) -> ClientTls {
        ClientTls::new(&self.credentials(Role::Supervisor, "sonja"), &self.trust(), &[ALPN]).expect("usable")
    }
}

pub fn listen(tls: ServerTls, settings: Settings) -> (ServerEndpoint, ServerAddress) {
    let endpoint = ServerEndpoint::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls, settings).expect("listens");
    let address = endpoint.local_address().into();
    (endpoint, address)
}

/// Dials and accepts at once; both ends' outcome.
pub async fn meet(
    endpoint: &mut ServerEndpoint,
    address: &ServerAddress,
    tls: &ClientTls,
) -> (Result<Channel, Refused>, Result<Channel, ConnectError>) {
    let settings = Settings::client();
    let dial = connect(address, tls, &settings);
    let accept = async {
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, endpoint.accept())
            .await
            .expect("in time")
            .expect("open")
    };
    tokio::join!(accept, dial)
}

/// A connected pair: server's end, client's end.
pub async fn pair(pki: &Pki) -> (ServerEndpoint, Channel, Channel) {
    let (mut endpoint, address) = listen(pki.server_tls(), Settings::server());
    let (server, client) = meet(&mut endpoint, &address, &pki.client_tls()).await;
    (endpoint, server.expect("accepted"), client.expect("connected"))
}
