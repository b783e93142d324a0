//! A bucket of NATS JetStream as the members' store: `StoreDirectory`'s puts and reads, carried out.
//!
//! The bucket is laid out as NATS key-value buckets are (ADR-8), so that NATS's own tools read it. The JetStream API is
//! spoken here, over plain requests, as little as is needed: its shape is the same since nats-server 2.9, while
//! libraries' readings of it are tied to the newest. TLS always; the reconnecting is the library's.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::connection::State;
use async_nats::header::{self, HeaderMap};
use async_nats::{Client, ConnectOptions, Event, RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use silentmon_capture_core::cluster::{Expected, PutOutcome, StoreInput, StorePut, StoreTransmit};
use silentmon_proto::ids::{ClusterName, ServerName};
use silentmon_proto::store::{MemberRecord, StoreKey, bucket, decode, keys_of};
use tokio::sync::mpsc;

use super::watch::{Told, Watch};

/// Changes that may wait for the engine; while they do, the server keeps back what follows.
const INPUTS: usize = 4_096;
/// A request that takes longer has failed, as while a JetStream cluster elects a leader (some 5 s).
const REQUEST_LIMIT: Duration = Duration::from_secs(3);
/// How long the last orders may take.
const FINISH_LIMIT: Duration = Duration::from_secs(3);
/// Before the bucket is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Longest wait before the next attempt to connect.
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_secs(4);
/// What all members together keep in the bucket at most.
const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// JetStream's error codes of a value that stands at another revision than expected.
const WRONG_LAST_SEQUENCE: [u32; 2] = [10_071, 10_164];

/// Where the store is, and how this member may use it.
pub struct NatsSettings {
    /// The servers, `nats://HOST[:PORT]`.
    pub servers: Vec<String>,
    /// Certificates of the authorities that may have issued the servers' (PEM).
    pub ca: PathBuf,
    /// Who this member is to the servers.
    pub credentials: NatsCredentials,
    /// The cluster: each has a bucket.
    pub cluster: ClusterName,
    /// This member's name, which the servers' connection lists show.
    pub name: ServerName,
    /// On how many servers the bucket is kept, where it has to be made.
    pub replicas: u8,
}

/// See [`NatsSettings::credentials`].
pub enum NatsCredentials {
    /// A user and his password.
    Password {
        /// The user.
        user: String,
        /// His password.
        password: String,
    },
    /// The seed of an nkey.
    NkeySeed(String),
    /// A credentials file's content: a JWT and the seed that it belongs to.
    Jwt(String),
}

impl fmt::Debug for NatsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Password { .. } => "a password",
            Self::NkeySeed(_) => "an nkey",
            Self::Jwt(_) => "a JWT",
        };
        f.write_str(kind)
    }
}

/// The event loop's side of the store.
pub struct Store {
    inputs: mpsc::Receiver<StoreInput>,
    orders: mpsc::UnboundedSender<(u64, StoreTransmit)>,
    /// How often it became available: an order of an earlier time is void.
    time: u64,
}

impl Store {
    /// Begins to reach for the store, as long as this is kept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Addresses or credentials that can't be.
    pub fn start(settings: &NatsSettings) -> anyhow::Result<Self> {
        let (events, happened) = mpsc::unbounded_channel();
        let options = connect_options(settings, events)?;
        let servers: Vec<async_nats::ServerAddr> = settings
            .servers
            .iter()
            .map(|server| {
                server
                    .parse()
                    .with_context(|| format!("expected nats://HOST:PORT, found {server}"))
            })
            .collect::<anyhow::Result<_>>()?;
        let (inputs_in, inputs) = mpsc::channel(INPUTS);
        let (orders, orders_out) = mpsc::unbounded_channel();
        let keeper = Keeper {
            bucket: Bucket::new(settings),
            inputs: inputs_in,
            orders: orders_out,
            happened,
            time: 0,
        };
        tokio::spawn(keeper.run(options, servers));
        Ok(Self {
            inputs,
            orders,
            time: 0,
        })
    }

    /// What happens next. Safe to be given up in a `select`.
    pub async fn next(&mut self) -> Option<StoreInput> {
        let input = self.inputs.recv().await;
        if matches!(input, Some(StoreInput::Available)) {
            self.time += 1;
        }
        input
    }

    /// Gives an order. Few wait: of puts there is one at a time.
    pub fn order(&self, order: StoreTransmit) {
        // Where nobody takes it any longer, the service ends.
        let _ = self.orders.send((self.time, order));
    }

    /// Lets what was ordered arrive.
    pub async fn finish(self) {
        let Self { mut inputs, orders, .. } = self;
        drop(orders);
        // Ends with the task that owns the connection; late is better than never.
        let ending = async { while inputs.recv().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_LIMIT, ending).await;
    }
}

/// The members whose records are in the store, without being one.
///
/// # Errors
/// Why the store can't be reached or read. Where no server answers, this waits for ever.
pub async fn read_members(settings: &NatsSettings) -> anyhow::Result<Vec<(ServerName, MemberRecord)>> {
    let mut store = Store::start(settings)?;
    let mut members = BTreeMap::new();
    while let Some(input) = store.next().await {
        match input {
            StoreInput::Available => store.order(StoreTransmit::Read),
            StoreInput::Unavailable(why) | StoreInput::Missed(why) => bail!(why),
            StoreInput::Change { key, value, .. } => {
                if let Ok(StoreKey::Member(name)) = key.parse() {
                    match value.and_then(|value| decode(&value).ok()) {
                        Some(record) => members.insert(name, record),
                        None => members.remove(&name),
                    };
                }
            }
            StoreInput::CaughtUp => return Ok(members.into_iter().collect()),
            StoreInput::Outcome(_) => {}
        }
    }
    bail!("the connection's task ended")
}

fn connect_options(settings: &NatsSettings, events: mpsc::UnboundedSender<Event>) -> anyhow::Result<ConnectOptions> {
    let options = match &settings.credentials {
        NatsCredentials::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        NatsCredentials::NkeySeed(seed) => ConnectOptions::with_nkey(seed.trim().to_owned()),
        NatsCredentials::Jwt(credentials) => {
            ConnectOptions::with_credentials(credentials).context("expected a NATS credentials file")?
        }
    };
    Ok(options
        .name(format!("silentmon {}", settings.name))
        .require_tls(true)
        .add_root_certificates(settings.ca.clone())
        .retry_on_initial_connect()
        .max_reconnects(None)
        .request_timeout(Some(REQUEST_LIMIT))
        .connection_timeout(REQUEST_LIMIT)
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            // Few come, and the keeper takes them at once.
            let _ = events.send(event);
            async {}
        }))
}

/// Doubles up to [`LONGEST_RECONNECT_DELAY`]; up to half of it less, so that members don't come back in step.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.min(7)).unwrap_or(7);
    let longest = (Duration::from_millis(50) * 2_u32.pow(doublings)).min(LONGEST_RECONNECT_DELAY);
    let mut random = [0; 1];
    // Without randomness they do come back in step.
    let _ = getrandom::fill(&mut random);
    longest / 512 * (512 - u32::from(random[0]))
}

/// Where a put's answer comes from.
type Putting = Pin<Box<dyn Future<Output = PutOutcome> + Send>>;

/// The task that owns the connection.
struct Keeper {
    bucket: Bucket,
    inputs: mpsc::Sender<StoreInput>,
    orders: mpsc::UnboundedReceiver<(u64, StoreTransmit)>,
    happened: mpsc::UnboundedReceiver<Event>,
    /// How often the store became available.
    time: u64,
}

/// The event loop is gone.
struct Abandoned;

impl Keeper {
    async fn run(mut self, options: ConnectOptions, servers: Vec<async_nats::ServerAddr>) {
        let client = match options.connect(servers).await {
            Ok(client) => client,
            Err(error) => {
                let _ = self.tell(StoreInput::Unavailable(error.to_string())).await;
                return;
            }
        };
        loop {
            let Ok(why) = self.reach(&client).await else { return };
            if self.tell(StoreInput::Unavailable(why)).await.is_err() {
                return;
            }
        }
    }

    /// From the connection's beginning to its end; says why it ended.
    async fn reach(&mut self, client: &Client) -> Result<String, Abandoned> {
        self.connected(client).await?;
        self.time += 1;
        self.tell(StoreInput::Available).await?;
        let mut watch = Watching::No;
        let mut putting: Option<Putting> = None;
        loop {
            tokio::select! {
                event = self.happened.recv() => match event {
                    Some(Event::Disconnected | Event::Closed) => {
                        return Ok("the connection to the NATS server broke".to_owned());
                    }
                    Some(event) => note(&event),
                    None => return Err(Abandoned),
                },
                told = watch.next() => match told {
                    Ok(Told::Change { key, value, revision }) => {
                        let value = value.map(Vec::from);
                        self.tell(StoreInput::Change { key, value, revision }).await?;
                    }
                    Ok(Told::CaughtUp) => self.tell(StoreInput::CaughtUp).await?,
                    Err(error) => {
                        watch = Watching::No;
                        self.tell(StoreInput::Missed(format!("{error:#}"))).await?;
                    }
                },
                outcome = answer(&mut putting) => {
                    putting = None;
                    self.tell(StoreInput::Outcome(outcome)).await?;
                }
                order = self.orders.recv(), if putting.is_none() => {
                    let (time, order) = order.ok_or(Abandoned)?;
                    if time != self.time {
                        continue;
                    }
                    match order {
                        StoreTransmit::Read => watch = Watching::Begins(self.bucket.watch(client.clone())),
                        StoreTransmit::Put(put) => putting = Some(self.bucket.put(client.clone(), put)),
                        StoreTransmit::Purge { origin, before } => self.bucket.purge(client, &origin, before).await,
                    }
                }
            }
        }
    }

    /// Waits until a server is connected.
    async fn connected(&mut self, client: &Client) -> Result<(), Abandoned> {
        loop {
            while let Ok(event) = self.happened.try_recv() {
                note(&event);
            }
            if client.connection_state() == State::Connected {
                return Ok(());
            }
            tokio::select! {
                event = self.happened.recv() => note(&event.ok_or(Abandoned)?),
                () = self.inputs.closed() => return Err(Abandoned),
            }
        }
    }

    async fn tell(&self, input: StoreInput) -> Result<(), Abandoned> {
        self.inputs.send(input).await.map_err(|_| Abandoned)
    }
}

fn note(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to the NATS server"),
        event => tracing::warn!("NATS: {event}"),
    }
}

/// How far the watch over the bucket's values is.
enum Watching {
    No,
    Begins(Pin<Box<dyn Future<Output = anyhow::Result<Watch>> + Send>>),
    Yes(Box<Watch>),
}

impl Watching {
    /// Safe to be given up in a `select`.
    async fn next(&mut self) -> anyhow::Result<Told> {
        loop {
            match self {
                Self::No => return std::future::pending().await,
                Self::Begins(begins) => *self = Self::Yes(Box::new(begins.await?)),
                Self::Yes(watch) => return watch.next().await,
            }
        }
    }
}

async fn answer(putting: &mut Option<Putting>) -> PutOutcome {
    match putting {
        Some(putting) => putting.await,
        None => std::future::pending().await,
    }
}

/// The stream behind the cluster's bucket.
#[derive(Clone)]
struct Bucket {
    stream: String,
    /// What stands before the keys in subjects.
    prefix: String,
    replicas: u8,
}

/// An answer of JetStream's.
#[derive(Deserialize)]
struct Answer {
    error: Option<ApiError>,
    /// Of a put: the revision.
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Bucket {
    fn new(settings: &NatsSettings) -> Self {
        let bucket = bucket(&settings.cluster);
        Self {
            stream: format!("KV_{bucket}"),
            prefix: format!("$KV.{bucket}."),
            replicas: settings.replicas,
        }
    }

    /// Makes the bucket where it isn't there. One that an administrator made otherwise is taken as it is.
    async fn ensure(&self, client: &Client) -> anyhow::Result<()> {
        let stream = &self.stream;
        if api(client, &format!("STREAM.INFO.{stream}"), &json!({})).await.is_ok() {
            return Ok(());
        }
        // Volatile: whoever lives tells everything again, so that memory will do.
        let settings = json!({
            "name": stream,
            "subjects": [format!("{}>", self.prefix)],
            "retention": "limits",
            "storage": "memory",
            "num_replicas": self.replicas,
            "max_msgs_per_subject": 1,
            "max_bytes": MOST_BYTES,
            "discard": "new",
            "deny_delete": true,
            "allow_rollup_hdrs": true,
        });
        api(client, &format!("STREAM.CREATE.{stream}"), &settings).await?;
        tracing::info!(%stream, "made the cluster's bucket");
        Ok(())
    }

    /// Begins to watch the bucket, once it is there. Waits a little before it fails, as it is tried again at once.
    fn watch(&self, client: Client) -> Pin<Box<dyn Future<Output = anyhow::Result<Watch>> + Send>> {
        let bucket = self.clone();
        Box::pin(async move {
            let watch = async {
                bucket.ensure(&client).await?;
                Watch::start(&client, &bucket.stream, &bucket.prefix).await
            };
            let watch = watch.await;
            if watch.is_err() {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            watch
        })
    }

    fn put(&self, client: Client, put: StorePut) -> Putting {
        let subject = format!("{}{}", self.prefix, put.key);
        let mut headers = HeaderMap::new();
        if let Expected::Revision(revision) = put.expected {
            headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
        }
        if put.value.is_none() {
            headers.insert("KV-Operation", "DEL");
        }
        let value = Bytes::from(put.value.unwrap_or_default());
        Box::pin(async move {
            match client.request_with_headers(subject, headers, value).await {
                Ok(message) => outcome(&message.payload),
                Err(error) if error.kind() == RequestErrorKind::MaxPayloadExceeded => PutOutcome::TooLarge,
                Err(_) => PutOutcome::Failed,
            }
        })
    }

    async fn purge(&self, client: &Client, origin: &ServerName, before: u64) {
        for keys in keys_of(origin) {
            let request = json!({ "filter": format!("{}{keys}", self.prefix), "seq": before });
            if let Err(error) = api(client, &format!("STREAM.PURGE.{}", self.stream), &request).await {
                tracing::warn!(%origin, "what a former member told stays in the store: {error:#}");
            }
        }
    }
}

fn outcome(answer: &[u8]) -> PutOutcome {
    match serde_json::from_slice(answer) {
        Ok(Answer { error: Some(error), .. }) if WRONG_LAST_SEQUENCE.contains(&error.err_code) => PutOutcome::Conflict,
        Ok(Answer {
            error: None,
            seq: Some(revision),
        }) => PutOutcome::Stored(revision),
        _ => PutOutcome::Failed,
    }
}

/// A request to the JetStream API.
///
/// # Errors
/// No answer, or its error, in words.
pub(super) async fn api(client: &Client, subject: &str, request: &serde_json::Value) -> anyhow::Result<Bytes> {
    let payload = Bytes::from(request.to_string());
    let answer = client
        .request(format!("$JS.API.{subject}"), payload)
        .await
        .with_context(|| format!("JetStream doesn't answer {subject}"))?;
    match serde_json::from_slice(&answer.payload) {
        Ok(Answer { error: Some(error), .. }) => bail!("JetStream refuses {subject}: {}", error.description),
        Ok(_) => Ok(answer.payload),
        Err(_) => bail!("JetStream's answer to {subject} is no JSON object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_puts_are_told_apart() {
        let cases: [(&str, PutOutcome); 5] = [
            (r#"{"stream":"KV_a","seq":17}"#, PutOutcome::Stored(17)),
            (
                r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 12"},"stream":"KV_a","seq":0}"#,
                PutOutcome::Conflict,
            ),
            (
                r#"{"error":{"code":503,"err_code":10077,"description":"no"},"stream":"KV_a","seq":0}"#,
                PutOutcome::Failed,
            ),
            ("{}", PutOutcome::Failed),
            ("x", PutOutcome::Failed),
        ];
        for (answer, expected) in cases {
            assert_eq!(outcome(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[test]
    fn members_wait_longer_and_longer_before_they_dial_again() {
        for attempts in 0..100 {
            let delay = reconnect_delay(attempts);
            assert!(
                delay >= Duration::from_millis(25) && delay <= LONGEST_RECONNECT_DELAY,
                "{attempts}: {delay:?}"
            );
        }
        assert!(reconnect_delay(9) >= LONGEST_RECONNECT_DELAY / 2);
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = NatsCredentials::NkeySeed("SUSECRET".to_owned());
        assert_eq!(format!("{credentials:?}"), "an nkey");
    }
}
