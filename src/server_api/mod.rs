//! HTTPS on the TCP side of the service port: events pushed by anything that knows of agents and calls, and how things
//! stand for anything that wants to show it.
//!
//! TLS 1.3 with the server's identity (`listener`). A request proves itself at the `door`, by a certificate, by a token or
//! by a session (`web_session`) that a `sign_in` began; a batch of the `routes` is taken as a whole or not at all. `desk` is
//! for the programs at agents' desks.

mod desk;
mod door;
mod listener;
mod routes;
mod sign_in;
mod web_session;

use std::sync::Arc;

use silentmon_capture_io::cti::CtiSources;
use silentmon_capture_io::service::{Order, Question};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::door::{Door, Guest, PushSource};
use self::listener::SecureListener;
pub use self::listener::WebDoor;
use self::routes::routes;
use self::sign_in::SignIns;
use crate::config::capture::CaptureConfig;
use crate::config::cti::{self, CtiSection};
use crate::config::secret;
use crate::exit::{ExitKind, Failure};
use crate::oidc::Oidc;
use crate::users::Users;

/// The interface, bound but not yet served.
pub struct ServerApi {
    listener: TcpListener,
    tls: WebDoor,
    door: Door,
}

impl ServerApi {
    /// Binds the service port where the configuration asks for it: with a source of kind `http`, with users, or in so many
    /// words. Otherwise there is no interface.
    ///
    /// # Errors
    /// `BadConfig` where the token, the users or the identity can't be read, `Unavailable` where the port is taken.
    pub async fn bind(
        config: &CaptureConfig,
        sources: &CtiSources,
        (questions, orders): (mpsc::Sender<Question>, mpsc::Sender<Order>),
        tls: WebDoor,
    ) -> anyhow::Result<Option<Self>> {
        let source = push_source(config, sources)?;
        let sign_ins = sign_ins(config)?;
        if source.is_none() && sign_ins.is_none() && !config.service.https {
            return Ok(None);
        }
        let service = &config.service;
        // Checked with the configuration.
        let Some(listen) = service.listen.address() else {
            return Ok(None);
        };
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::error(ExitKind::Unavailable, format!("service.listen (TCP): {error}")))?;
        let door = Door {
            source,
            sign_ins,
            questions,
            tls: Arc::clone(&tls.tls),
            orders,
        };
        Ok(Some(Self { listener, tls, door }))
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let routes = routes(self.door).into_make_service_with_connect_info::<Guest>();
        let listener = SecureListener::start(self.listener, self.tls, shutdown.clone());
        let served = axum::serve(listener, routes)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the HTTPS interface ended");
        }
    }
}

/// The source of kind `http`, where there is one.
fn push_source(config: &CaptureConfig, sources: &CtiSources) -> anyhow::Result<Option<PushSource>> {
    let named = cti::names(&config.cti).into_iter().zip(&config.cti);
    let found = named.into_iter().find_map(|(name, section)| match section {
        CtiSection::Http(section) => Some((name, section)),
        _ => None,
    });
    let Some((name, section)) = found else {
        return Ok(None);
    };
    let token = secret::of_source(&name, "token", section.token_file.as_deref(), None)?;
    Ok(Some(PushSource {
        token: token.map(Arc::new),
        roles: section.roles.as_slice().into(),
        pushed: sources.pushed(name),
    }))
}

fn sign_ins(config: &CaptureConfig) -> anyhow::Result<Option<SignIns>> {
    let users = config.service.users.as_deref().map(Users::open).transpose()?;
    let oidc = config.oidc.as_ref().map(Oidc::new).transpose()?;
    let somebody = users.is_some() || oidc.is_some();
    Ok(somebody.then(|| SignIns::new(users, oidc)))
}
