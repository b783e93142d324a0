//! A supervisor's program that says whatever a test wants: one QUIC connection with a real certificate, control messages
//! as bytes.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test binary uses its own part; a test that can't go on panics"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use serde_json::{Value, json};
use silentmon_certs::{ClientTls, Credentials, Trust};
use silentmon_proto::relay::ALPN;
use tokio::time::timeout;

use super::common::House;

/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
pub struct Dialler {
    /// As QUIC knows it.
    pub connection: quinn::Connection,
    send: SendStream,
    receive: RecvStream,
    _endpoint: Endpoint,
}

impl Dialler {
    /// Dials with a certificate of the house; the control stream is open, nothing was said in it.
    pub async fn dial_silently(house: &House, name: &str, server: SocketAddr) -> Self {
        let credentials = Credentials::load(&house.path(&format!("{name}.pem")), None).expect("loads");
        let trust = Trust::load(&house.path("ca.pem"), None).expect("loads");
        let tls = ClientTls::new(&credentials, &trust, &[ALPN]).expect("a client");
        let (config, _verdict) = tls.for_connection().expect("a configuration");
        let crypto = QuicClientConfig::try_from(config).expect("TLS 1.3");
        let mut endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(server, &server.ip().to_string()).expect("an address");
        let connection = connecting.await.expect("connects");
        let (send, receive) = connection.open_bi().await.expect("a stream");
        Self {
            connection,
            send,
            receive,
            _endpoint: endpoint,
        }
    }

    /// Dials and greets, as a supervisor's program does.
    pub async fn dial(house: &House, name: &str, server: SocketAddr) -> Self {
        let mut dialler = Self::dial_silently(house, name, server).await;
        dialler.write(&[0; 4]).await;
        let mut greeting = [0xff; 4];
        dialler.receive.read_exact(&mut greeting).await.expect("greets");
        assert_eq!(greeting, [0; 4]);
        dialler
            .say(&json!({"type": "hello", "version": 1, "software": "a test"}))
            .await;
        assert_eq!(dialler.hear().await["type"], "welcome");
        dialler
    }

    /// Writes bytes into the control stream; whether the server still reads is told by [`Self::closed`].
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.send.write_all(bytes).await;
    }

    /// Nothing more will be said.
    pub fn finish(&mut self) {
        let _ = self.send.finish();
    }

    /// Sends a message behind its length.
    pub async fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let length = u32::try_from(text.len()).expect("short");
        self.write(&[&length.to_be_bytes()[..], text.as_bytes()].concat()).await;
    }

    /// The next message.
    pub async fn hear(&mut self) -> Value {
        let mut length = [0; 4];
        let reading = async {
            self.receive.read_exact(&mut length).await.expect("a length");
            let mut text = vec![0; u32::from_be_bytes(length) as usize];
            self.receive.read_exact(&mut text).await.expect("a message");
            text
        };
        let text = timeout(PATIENCE, reading).await.expect("an answer");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The next message of a type.
    pub async fn hear_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Asks for a session on an agent and gives back the server's answer to that.
    pub async fn start(&mut self, agent: &str, more: &Value) -> Value {
        let mut message = json!({"type": "start_monitor", "request": 7, "agent": agent, "output": {"kind": "play"}});
        let fields = message.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        self.say(&message).await;
        loop {
            let answer = self.hear().await;
            if answer["request"] == 7 {
                return answer;
            }
        }
    }

    /// Waits until the server has closed the connection: its code and words.
    pub async fn closed(&self) -> (VarInt, String) {
        match timeout(PATIENCE, self.connection.closed()).await.expect("closed") {
            ConnectionError::ApplicationClosed(closed) => {
                (closed.error_code, String::from_utf8_lossy(&closed.reason).into_owned())
            }
            other => (VarInt::MAX, other.to_string()),
        }
    }

    /// Datagrams that came so far and nobody took.
    pub async fn datagrams(&self) -> Vec<bytes::Bytes> {
        let mut datagrams = Vec::new();
        while let Ok(Ok(datagram)) = timeout(Duration::ZERO, self.connection.read_datagram()).await {
            datagrams.push(datagram);
        }
        datagrams
    }

    /// Waits for so many datagrams.
    pub async fn hear_sound(&self, datagrams: usize) {
        for _ in 0..datagrams {
            let next = timeout(PATIENCE, self.connection.read_datagram()).await;
            next.expect("sound").expect("connected");
        }
    }
}
