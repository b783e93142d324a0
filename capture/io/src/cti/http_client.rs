//! Requests to one HTTP server: connections are opened as needed and used again, cookies and authorisation added.
//!
//! HTTP/1.1 without redirects, proxies or compression.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderValue, SET_COOKIE};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use silentmon_capture_core::link::Closed;
use thiserror::Error;

use super::cookies::Cookies;
use super::dial::{StreamEndpoint, dial};

/// Largest answer that is read as a whole, in bytes.
const LARGEST_ANSWER: usize = 4 << 20;
/// Connections kept open for the next request.
const MOST_IDLE: usize = 4;

/// Whether a server may be spoken to without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// Never.
    Refused,
    /// Yes: this is a lab, and the configuration says so in words.
    InLabOnly,
}

/// How requests are authorised (RFC 7617, RFC 6750).
#[derive(Clone)]
pub enum Authorisation {
    /// Not at all.
    None,
    /// By user and password.
    Basic {
        /// The user, `admin@example.com`.
        user: String,
        /// His password.
        password: String,
    },
    /// By a token.
    Bearer(String),
}

/// An HTTP server.
#[derive(Debug, Clone)]
pub struct HttpEndpoint {
    place: StreamEndpoint,
    authorisation: Authorisation,
}

/// Plain HTTP where it isn't allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{host}:{port} would be spoken to without TLS: use https, or allow plain text for a lab")]
pub struct PlaintextRefused {
    host: String,
    port: u16,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) body: &'a str,
    pub(super) soap_action: Option<&'static str>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct HttpClient {
    endpoint: HttpEndpoint,
    host: String,
    idle: Mutex<Vec<Sender>>,
    cookies: Mutex<Cookies>,
}

type Sender = SendRequest<Full<Bytes>>;

impl std::fmt::Debug for Authorisation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

impl Authorisation {
    fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::None => return None,
            Self::Basic { user, password } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl HttpEndpoint {
    /// A server at `place`.
    ///
    /// # Errors
    /// Where `place` has no TLS and `plaintext` doesn't allow that.
    pub fn new(
        place: StreamEndpoint,
        authorisation: Authorisation,
        plaintext: Plaintext,
    ) -> Result<Self, PlaintextRefused> {
        if place.tls.is_none() && plaintext == Plaintext::Refused {
            return Err(PlaintextRefused {
                host: place.host,
                port: place.port,
            });
        }
        Ok(Self { place, authorisation })
    }
}

impl HttpClient {
    pub(super) fn new(endpoint: HttpEndpoint) -> Self {
        let StreamEndpoint { host, port, tls } = &endpoint.place;
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let usual = if tls.is_some() { 443 } else { 80 };
        let host = if *port == usual {
            bracketed
        } else {
            format!("{bracketed}:{port}")
        };
        Self {
            endpoint,
            host,
            idle: Mutex::default(),
            cookies: Mutex::default(),
        }
    }

    /// Sends a request and waits for status line and headers. With the answer comes the connection, to be given back
    /// by [`Self::whole_body`].
    ///
    /// # Errors
    /// Where no connection can be had or it breaks.
    pub(super) async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, Closed> {
        let mut request = self.request(outgoing)?;
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.answered(sender, response, outgoing.path)),
                Err(mut refused) => match refused.take_message() {
                    // The server had hung up; nothing was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(broken(&refused.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(self.answered(sender, response, outgoing.path))
    }

    /// Reads an answer's body to its end.
    ///
    /// # Errors
    /// Where it breaks off or is too large.
    pub(super) async fn whole_body(&self, answer: Answer) -> Result<(u16, Vec<u8>), Closed> {
        let Answer { sender, response } = answer;
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let mut body = Vec::new();
        while let Some(bytes) = next_bytes(&mut incoming).await? {
            body.extend_from_slice(&bytes);
            if body.len() > LARGEST_ANSWER {
                let why = format!("an answer of more than {LARGEST_ANSWER} bytes");
                return Err(Closed::Broken(why));
            }
        }
        let mut idle = lock(&self.idle);
        if idle.len() < MOST_IDLE && !sender.is_closed() {
            idle.push(sender);
        }
        Ok((status, body))
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = lock(&self.idle);
        idle.retain(|sender| !sender.is_closed());
        let ready = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    async fn connect(&self) -> Result<Sender, Closed> {
        let wire = dial(&self.endpoint.place).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(wire))
            .await
            .map_err(|error| broken(&error))?;
        // Ends with the last of sender and body.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, outgoing: Outgoing<'_>) -> Result<Request<Full<Bytes>>, Closed> {
        let mut request = Request::builder()
            .method(outgoing.method)
            .uri(outgoing.path)
            .header(HOST, &self.host);
        if let Some(value) = self.endpoint.authorisation.header() {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(cookies) = lock(&self.cookies).header(outgoing.path, self.endpoint.place.tls.is_some()) {
            request = request.header(COOKIE, cookies);
        }
        if !outgoing.body.is_empty() {
            request = request.header(CONTENT_TYPE, "text/xml; charset=utf-8");
        }
        if let Some(action) = outgoing.soap_action {
            request = request.header("SOAPAction", action);
        }
        let body = Bytes::copy_from_slice(outgoing.body.as_bytes());
        request
            .body(Full::new(body))
            .map_err(|error| Closed::Broken(error.to_string()))
    }

    fn answered(&self, sender: Sender, response: Response<Incoming>, path: &str) -> Answer {
        let mut cookies = lock(&self.cookies);
        for header in response.headers().get_all(SET_COOKIE) {
            if let Ok(text) = header.to_str() {
                cookies.set(text, path);
            }
        }
        Answer { sender, response }
    }
}

/// Gets one document, over a connection of its own; status and body.
///
/// # Errors
/// Where no connection can be had, it breaks, or the answer is too large.
pub async fn fetch(endpoint: HttpEndpoint, path: &str) -> Result<(u16, Vec<u8>), Closed> {
    let client = HttpClient::new(endpoint);
    let outgoing = Outgoing {
        method: "GET",
        path,
        body: "",
        soap_action: None,
    };
    let answer = client.send(outgoing).await?;
    client.whole_body(answer).await
}

/// Status line and headers, with the body still to come.
pub(super) struct Answer {
    sender: Sender,
    response: Response<Incoming>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The body alone: the connection serves nothing else.
    pub(super) fn into_body(self) -> Incoming {
        self.response.into_body()
    }
}

/// The next portion of a body; `None` at its end.
///
/// # Errors
/// Where the connection breaks.
pub(super) async fn next_bytes(body: &mut Incoming) -> Result<Option<Bytes>, Closed> {
    loop {
        let Some(frame) = body.frame().await else {
            return Ok(None);
        };
        if let Ok(bytes) = frame.map_err(|error| broken(&error))?.into_data() {
            return Ok(Some(bytes));
        }
    }
}

fn broken(error: &hyper::Error) -> Closed {
    if error.is_incomplete_message() {
        return Closed::ByPeer;
    }
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    Closed::Broken(format!("{error}{cause}"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
