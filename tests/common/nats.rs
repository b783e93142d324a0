//! Real NATS servers with JetStream on loopback, with TLS and credentials. Skipped where no `nats-server` is installed
//! (`SILENTMON_NATS_SERVER` names another one).
#![allow(dead_code, reason = "not every test needs everything")]
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The password of the user `silentmon`.
pub const PASSWORD: &str = "correct horse battery staple";

/// The servers' binary, if there is one.
pub fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("SILENTMON_NATS_SERVER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let binary = named.into_iter().chain(found).find(|file| file.is_file());
    if binary.is_none() {
        eprintln!("skipped: no nats-server is installed");
    }
    binary
}

/// JetStream on some servers.
pub struct Servers {
    /// With `ca.pem`, the authority of their certificates.
    pub folder: tempfile::TempDir,
    binary: PathBuf,
    pub ports: Vec<u16>,
    running: Vec<Option<Child>>,
    pub nkey: nkeys::KeyPair,
}

impl Servers {
    pub fn start(binary: PathBuf, count: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path());
        let listeners: Vec<TcpListener> = (0..count * 2)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("bound").port())
            .collect();
        drop(listeners);
        let (ports, routes) = ports.split_at(count);
        let nkey = nkeys::KeyPair::new_user();
        let addresses: Vec<String> = routes
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        for (number, (port, route)) in ports.iter().zip(routes).enumerate() {
            let place = folder.path().display();
            let cluster = if count == 1 {
                String::new()
            } else {
                let routes = addresses.join(", ");
                format!("cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n")
            };
            let text = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{port}\"\n{cluster}\
                 jetstream {{ store_dir: \"{place}/n{number}\", max_mem: 1GB, max_file: 64MB }}\n\
                 tls {{ cert_file: \"{place}/server.pem\", key_file: \"{place}/server.key\" }}\n\
                 accounts {{ S {{ jetstream: enabled, users: [\n\
                 {{ user: silentmon, password: \"{PASSWORD}\" }}, {{ nkey: {} }} ] }} }}\n",
                nkey.public_key()
            );
            fs::write(folder.path().join(format!("n{number}.conf")), text).expect("written");
        }
        let mut servers = Self {
            folder,
            binary,
            ports: ports.to_vec(),
            running: (0..count).map(|_| None).collect(),
            nkey,
        };
        for number in 0..count {
            servers.run(number);
        }
        servers
    }

    pub fn run(&mut self, number: usize) {
        let log = fs::File::create(self.folder.path().join(format!("n{number}.log"))).expect("a log");
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(self.folder.path().join(format!("n{number}.conf")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server runs");
        self.running[number] = Some(child);
    }

    pub fn kill(&mut self, number: usize) {
        let mut child = self.running[number].take().expect("runs");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
}

impl Servers {
    /// Where they answer.
    pub fn addresses(&self) -> Vec<String> {
        let address = |port| format!("nats://127.0.0.1:{port}");
        self.ports.iter().map(address).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An authority and a server's certificate of it, and another authority.
fn certificates(folder: &Path) {
    let authority = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join(name), certificate.pem()).expect("written");
        (params, key)
    };
    authority("other.pem");
    let (params, key) = authority("ca.pem");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    fs::write(folder.join("server.pem"), certificate.pem()).expect("written");
    fs::write(folder.join("server.key"), key.serialize_pem()).expect("written");
}
