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

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Its head, from the status line on.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// Its body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON, not {self:?}"))
    }
}

/// Sends a request, such as `GET /v1/pauses`.
pub fn send(
    house: &House,
    to: SocketAddr,
    caller: Caller<'_>,
    request: (&str, &str),
) -> StreamOwned<ClientConnection, TcpStream> {
    let bearer = caller.token.map(|token| format!("Bearer {token}"));
    let authorisation = bearer.as_deref().map(|bearer| ("Authorization", bearer));
    write(house, to, caller.identity, authorisation.as_slice(), request)
}

/// Sends a request and gives back status and answer.
pub fn ask(house: &House, to: SocketAddr, caller: Caller<'_>, request: (&str, &str)) -> (u16, String) {
    let answer = read(send(house, to, caller, request));
    (answer.status, answer.body)
}

/// Sends a request with headers of its own, as the holder of a certificate where one is named.
pub fn exchange(
    house: &House,
    to: SocketAddr,
    identity: Option<&str>,
    headers: &[(&str, &str)],
    request: (&str, &str),
) -> Answer {
    read(write(house, to, identity, headers, request))
}

fn write(
    house: &House,
    to: SocketAddr,
    identity: Option<&str>,
    headers: &[(&str, &str)],
    (wanted, body): (&str, &str),
) -> StreamOwned<ClientConnection, TcpStream> {
    let identity = identity.map(|name| house.path(&format!("{name}.pem")));
    let ca = house.path("ca.pem");
    let config = silentmon_certs::cti_client_tls(Path::new(&ca), identity.as_deref()).expect("a configuration");
    let session = ClientConnection::new(config, to.ip().into()).expect("a session");
    let stream = TcpStream::connect(to).expect("connects");
    let mut stream = StreamOwned::new(session, stream);
    let line = |head: String, (name, value): &(&str, &str)| head + name + ": " + value + "\r\n";
    let headers = headers.iter().fold(String::new(), line);
    let request = format!(
        "{wanted} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sends");
    // A body that is too long is answered before it has been read.
    let _ = stream.write_all(body.as_bytes());
    stream
}

fn read(mut stream: impl Read) -> Answer {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Answer {
        status: status.unwrap_or_else(|| panic!("an answer, not {answer:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
