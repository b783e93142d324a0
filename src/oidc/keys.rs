//! The issuer's keys: fetched over TLS and kept for a while, or read from a file. A key of a name that isn't known has them
//! looked for again, so that the issuer may change them at any time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use silentmon_capture_io::cti::http::{self, Authorisation};
use tokio::sync::Mutex;

use super::jws::Key;
use crate::sources::https_endpoint;

/// Keys older than this are fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// Keys that can't be fetched again are good for so long.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Unknown names have them fetched so often at most: anybody can make a token with an unknown name.
const PAUSE: Duration = Duration::from_secs(30);
/// How long the issuer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Where keys are.
#[derive(Debug)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// Where the issuer's configuration document says (OpenID Connect Discovery 1.0).
    Issuer {
        /// The issuer's name, which that document must bear.
        issuer: String,
        /// The authority of its certificate.
        ca: PathBuf,
    },
}

/// See the module.
#[derive(Debug)]
pub struct IssuerKeys {
    source: KeySource,
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    keys: Vec<Key>,
    fetched: Instant,
    /// When they were last tried to be fetched.
    tried: Instant,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    /// Nothing is fetched yet.
    pub fn new(source: KeySource) -> Self {
        Self {
            source,
            known: Mutex::default(),
        }
    }

    /// The keys, among them the one of this name where the issuer has it.
    ///
    /// # Errors
    /// Why they can't be had.
    pub async fn with(&self, name: Option<&str>) -> anyhow::Result<Vec<Key>> {
        self.at(name, Instant::now()).await
    }

    async fn at(&self, name: Option<&str>, now: Instant) -> anyhow::Result<Vec<Key>> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known {
            let age = now.saturating_duration_since(known.fetched);
            let is_there = name.is_none() || known.keys.iter().any(|key| key.id.as_deref() == name);
            let tried_lately = now.saturating_duration_since(known.tried) < PAUSE;
            if age < FRESH && is_there || tried_lately && age < STALE {
                return Ok(known.keys.clone());
            }
        }
        let fetched = tokio::time::timeout(LIMIT, self.source.read()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", LIMIT.as_secs())));
        match (fetched, &mut *known) {
            (Ok(keys), _) => {
                *known = Some(Known {
                    keys: keys.clone(),
                    fetched: now,
                    tried: now,
                });
                Ok(keys)
            }
            (Err(error), Some(known)) if now.saturating_duration_since(known.fetched) < STALE => {
                tracing::warn!("the issuer's keys can't be fetched again: {error:#}");
                known.tried = now;
                Ok(known.keys.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl KeySource {
    async fn read(&self) -> anyhow::Result<Vec<Key>> {
        let text = match self {
            Self::File(path) => tokio::fs::read(path).await?,
            Self::Issuer { issuer, ca } => {
                let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let found: Configuration = serde_json::from_slice(&fetch(&place, ca).await?)?;
                anyhow::ensure!(
                    found.issuer == *issuer,
                    "expected the configuration of issuer {issuer}, found that of {}",
                    found.issuer
                );
                anyhow::ensure!(found.jwks_uri.starts_with("https://"), "expected its keys at https://…");
                fetch(&found.jwks_uri, ca).await?
            }
        };
        Key::of_set(&text).map_err(|what| anyhow::anyhow!(what))
    }
}

async fn fetch(url: &str, ca: &Path) -> anyhow::Result<Vec<u8>> {
    let server = https_endpoint(url, ca, Authorisation::None)?;
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    let (status, body) = http::fetch(server, path).await?;
    anyhow::ensure!(status == 200, "{url} was answered with status {status}");
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(path: &Path, name: &str) {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8037 appendix A.2
        let key = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": x });
        std::fs::write(path, serde_json::json!({ "keys": [key] }).to_string()).expect("written");
    }

    #[tokio::test]
    async fn new_keys_are_found_but_not_looked_for_all_the_time_and_old_ones_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let (keys, begun) = (IssuerKeys::new(KeySource::File(path.clone())), Instant::now());
        let found = async |name: &str, seconds: u64| {
            let known = keys.at(Some(name), begun + Duration::from_secs(seconds)).await;
            known.map(|keys| keys.iter().filter_map(|key| key.id.clone()).collect::<Vec<_>>())
        };
        assert!(found("old", 0).await.is_err(), "there is no file");
        publish(&path, "old");
        assert_eq!(found("old", 1).await.expect("known"), ["old"]);
        publish(&path, "new");
        assert_eq!(found("old", 2).await.expect("known"), ["old"], "it is there");
        assert_eq!(found("new", 3).await.expect("known"), ["old"], "looked for lately");
        assert_eq!(found("new", 32).await.expect("known"), ["new"]);
        publish(&path, "newer");
        assert_eq!(found("new", 31 + 3600).await.expect("known"), ["new"]);
        assert_eq!(
            found("new", 32 + 3600).await.expect("known"),
            ["newer"],
            "an hour later"
        );
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(
            found("newer", 3 * 3600).await.expect("known"),
            ["newer"],
            "for lack of others"
        );
        assert!(found("newer", 30 * 3600).await.is_err());
    }
}
