//! Requests to the service's HTTPS interface, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::House;

/// The bearer token of [`with_source`].
pub const TOKEN: &str = "0123456789abcdef";

/// Adds a source of kind `http` to the configuration of a house.
pub fn with_source(house: &House) {
    std::fs::write(house.path("token"), format!("{TOKEN}\n")).expect("writes");
    let file = house.path("capture.toml");
    let text = std::fs::read_to_string(&file).expect("reads");
    let source = "[[cti]]\nkind = \"http\"\ntoken_file = \"token\"\nroles = [\"admin\"]\n";
    std::fs::write(&file, format!("{text}{source}")).expect("writes");
}

/// Who asks: the name of a certificate, a bearer token.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller<'a> {
    pub identity: Option<&'a str>,
    pub token: Option<&'a str>,
}

impl Caller<'static> {
    /// Whoever has the token.
    pub const WITH_TOKEN: Self = Self {
        identity: None,
        token: Some(TOKEN),
    };
}

/// Sends a request, such as `GET /v1/pauses`.
pub fn send(
    house: &House,
    to: SocketAddr,
    caller: Caller<'_>,
    (wanted, body): (&str, &str),
) -> StreamOwned<ClientConnection, TcpStream> {
    let identity = caller.identity.map(|name| house.path(&format!("{name}.pem")));
    let ca = house.path("ca.pem");
    let config = silentmon_certs::cti_client_tls(Path::new(&ca), identity.as_deref()).expect("a configuration");
    let session = ClientConnection::new(config, to.ip().into()).expect("a session");
    let stream = TcpStream::connect(to).expect("connects");
    let mut stream = StreamOwned::new(session, stream);
    let authorisation = caller
        .token
        .map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "{wanted} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{authorisation}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sends");
    // A body that is too long is answered before it has been read.
    let _ = stream.write_all(body.as_bytes());
    stream
}

/// Sends a request and gives back status and answer.
pub fn ask(house: &House, to: SocketAddr, caller: Caller<'_>, request: (&str, &str)) -> (u16, String) {
    let mut answer = String::new();
    let _ = send(house, to, caller, request).read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (
        status.unwrap_or_else(|| panic!("an answer, not {answer:?}")),
        body.to_owned(),
    )
}
