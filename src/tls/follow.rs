//! Keeps the certificates in use those of the files: new ones are taken up while the service runs, bad ones leave the old
//! ones in use. Says in the log what ends soon.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use silentmon_capture_io::service::PeerTls;
use silentmon_certs::{Expiry, Nearness, ServerTls};
use time::OffsetDateTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{FileWatch, IdentityFiles, ServerIdentity};
use crate::audit::Event;

/// Who uses the certificates.
pub struct Doors {
    /// The supervisors' door.
    pub relay: mpsc::Sender<ServerTls>,
    /// The HTTPS interface.
    pub web: Arc<ArcSwap<ServerTls>>,
    /// The other members of the cluster, where there are any.
    pub peers: Option<mpsc::Sender<PeerTls>>,
    /// The metrics: until when everything is good.
    pub expiries: watch::Sender<Vec<Expiry>>,
}

/// Follows the files of a capture server's identity.
pub struct Follower<J> {
    watch: FileWatch,
    hangup: Signal,
    doors: Doors,
    journal: J,
    told: Told,
}

impl<J: Fn(&Event<'_>) -> anyhow::Result<()> + Send + 'static> Follower<J> {
    /// Looks after `files`, which were just read; `journal` writes changes down. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where SIGHUP can't be listened for.
    pub fn new(files: IdentityFiles, doors: Doors, journal: J) -> anyhow::Result<Self> {
        let mut follower = Self {
            watch: FileWatch::new(files),
            hangup: signal(SignalKind::hangup()).context("listening for SIGHUP")?,
            doors,
            journal,
            told: Told::default(),
        };
        follower.warn();
        Ok(follower)
    }

    /// Goes on until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut hours = tokio::time::interval(std::time::Duration::from_secs(3600));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.watch.changed() => self.reload().await,
                _ = self.hangup.recv() => self.reload().await,
                _ = hours.tick() => self.warn(),
            }
        }
    }

    async fn reload(&mut self) {
        let new = match ServerIdentity::load(self.watch.files()) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("the certificates in use stay as they were: {error:#}");
                return;
            }
        };
        let identity = new.relay.identity();
        let event = Event::CertificatesChanged {
            name: identity.name.as_str(),
            serial: identity.serial.to_string(),
            fingerprint: identity.fingerprint.to_string(),
            until: identity.not_after.date().to_string(),
            revoked: new.revoked,
        };
        // A revocation must hold even where it can't be written down.
        if let Err(error) = (self.journal)(&event) {
            tracing::error!("{error:#}");
        }
        self.doors.web.store(Arc::new(new.web));
        self.doors.expiries.send_replace(new.expiries);
        self.warn();
        // The door is gone only when the service stops.
        let _ = self.doors.relay.send(new.relay).await;
        if let Some(peers) = &self.doors.peers {
            let _ = peers.send(new.peers).await;
        }
    }

    fn warn(&mut self) {
        let expiries = self.doors.expiries.borrow().clone();
        for warning in self.told.news(&expiries, OffsetDateTime::now_utc()) {
            tracing::warn!("{warning}");
        }
    }
}

/// What was said already; each is said at 30, 14 and 3 days, and when it is over.
#[derive(Debug, Default)]
struct Told(HashMap<(String, OffsetDateTime), Nearness>);

impl Told {
    fn news(&mut self, expiries: &[Expiry], now: OffsetDateTime) -> Vec<String> {
        self.0
            .retain(|(what, end), _| expiries.iter().any(|expiry| expiry.what == *what && expiry.end == *end));
        let mut news = Vec::new();
        for expiry in expiries {
            let (Some(nearness), Some(warning)) = (expiry.nearness(now), expiry.warning(now)) else {
                continue;
            };
            let key = (expiry.what.clone(), expiry.end);
            if self.0.insert(key, nearness) != Some(nearness) {
                news.push(warning);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    #[test]
    fn an_end_that_comes_nearer_is_told_once_at_each_stage() {
        let end = OffsetDateTime::UNIX_EPOCH + Duration::days(1000);
        let expiries = [Expiry {
            kind: "certificate",
            what: "the certificate in gw1.pem".to_owned(),
            end,
        }];
        let mut told = Told::default();
        let hours = (0..40 * 24).map(|hour| end - Duration::days(39) + Duration::hours(hour));
        let said: Vec<_> = hours.flat_map(|now| told.news(&expiries, now)).collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(
            said[0].ends_with("in 29 days") && said[3].contains("expired on"),
            "{said:?}"
        );
    }
}
