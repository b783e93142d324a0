//! What the service says in its log. Names of people stay below INFO.

use silentmon_capture_core::cluster::HoldsCti;
use silentmon_capture_core::engine::{EngineEvent, PauseRecord};
use silentmon_proto::cti::LinkUpdate;
use silentmon_proto::reason::Code;

/// A source that answers no more is something to wake up for.
pub(super) fn link(LinkUpdate { link, down }: &LinkUpdate) {
    match down {
        None => tracing::info!(%link, "events flow from the CTI source"),
        Some(reason) => tracing::warn!(%link, reason = %reason.code, "no events from the CTI source: {}", reason.text),
    }
}

/// What the engine did.
pub(super) fn event(event: &EngineEvent) {
    match event {
        EngineEvent::FilterChanged => tracing::trace!("the filter changes"),
        EngineEvent::PhonesCame(phones) => tracing::trace!(?phones, "phones are watched"),
        EngineEvent::DemandChanged { connection } => {
            tracing::debug!(connection = connection.0, "a connection must carry more or less audio");
        }
        EngineEvent::SessionStarted(record) => tracing::info!(session = %record.session, "a session started"),
        EngineEvent::SessionMoved { session, former } => {
            let home = session.home.as_ref().map(ToString::to_string);
            tracing::info!(session = %session.session, %former, home, "a session goes on that another member held");
        }
        EngineEvent::SessionStopped(record, reason) => {
            tracing::info!(session = %record.session, reason = %reason.code, audible_s = record.audible.as_secs(), "a session ended");
        }
        EngineEvent::SessionRefused { reason, .. } => tracing::info!(reason = %reason.code, "a session was refused"),
        EngineEvent::SessionMuted { session, rule } => {
            tracing::info!(session = %session.session, reason = %rule.reason().code, "a session is muted by rule");
        }
        EngineEvent::SessionUnmuted { session, lasted, .. } => {
            tracing::info!(session = %session.session, muted_s = lasted.as_secs(), "a session is no longer muted by rule");
        }
        EngineEvent::PauseStarted(PauseRecord { pause, .. }) => {
            tracing::info!(kind = pause.kind.words(), source = ?pause.source, "a pause began");
        }
        EngineEvent::PauseProlonged(PauseRecord { pause, .. }) => {
            tracing::info!(kind = pause.kind.words(), "a pause lasts longer");
        }
        EngineEvent::PauseEnded { record, end, lasted } => {
            let kind = record.pause.kind.words();
            tracing::info!(kind, lasted_s = lasted.as_secs(), "a pause ended: {}", end.reason());
        }
        EngineEvent::Disclosed(session) => tracing::info!(session = %session.session, "the agent was told"),
        EngineEvent::ListeningChanged { .. } => tracing::trace!("somebody listens to an agent, or nobody any longer"),
        EngineEvent::SessionConfirmed(record) => {
            tracing::info!(session = %record.session, "a supervisor still listens");
        }
        EngineEvent::SignedIn(principal) => tracing::info!(role = %principal.role, "somebody signed in"),
        EngineEvent::SignInFailed { locked: None, .. } => tracing::warn!("a sign-in failed"),
        EngineEvent::SignInFailed { locked: Some(_), .. } => {
            tracing::warn!(reason = %Code::LockedOut, "a sign-in failed, and its name is locked for a while");
        }
        EngineEvent::Unlocked { .. } => tracing::info!("an administrator unlocked a name"),
        EngineEvent::ConnectionWithdrawn { reason, .. } => {
            tracing::info!(reason = %reason.code, "a supervisor was sent away");
        }
        EngineEvent::MemberLinked(server) => tracing::debug!(%server, "connected with a member of the cluster"),
        EngineEvent::MemberUnlinked(server) => tracing::debug!(%server, "no connection with a member of the cluster"),
        EngineEvent::DialWanted { server, .. } => tracing::debug!(%server, "a member of the cluster is needed"),
        EngineEvent::MemberJoined(server) => tracing::info!(%server, "a member of the cluster is there"),
        EngineEvent::MemberLeft { server, reason } => {
            tracing::warn!(%server, reason = %reason.code, "a member of the cluster is gone: {}", reason.text);
        }
        EngineEvent::MemberRefused { server, reason } => {
            tracing::warn!(%server, reason = %reason.code, "no member of the cluster: {}", reason.text);
        }
        EngineEvent::ProbeWanted { peer, .. } => {
            tracing::info!(server = %peer, "somebody asks whether a member is reached");
        }
        EngineEvent::Cti(HoldsCti::Yes) => tracing::info!("this server holds the cluster's CTI sessions"),
        EngineEvent::Cti(HoldsCti::No) => tracing::info!("another server holds the cluster's CTI sessions"),
        EngineEvent::SuperviseRequested(record) => {
            let refused = record.refused.as_deref();
            tracing::info!(session = %record.session, action = ?record.action, refused, "a supervisor asked to join a call");
        }
        EngineEvent::Command { link, .. } => tracing::debug!(%link, "a command for a CTI link"),
        EngineEvent::Resynchronised(difference) => {
            let (closed, opened) = (difference.closed.len(), difference.opened.len());
            tracing::warn!(closed, opened, "a device's calls were not as thought; put right");
            tracing::debug!(device = %difference.device, "the device");
        }
        EngineEvent::Released(release) => {
            tracing::debug!(device = %release.device, call = %release.call, by = ?release.by, "a connection was released");
        }
        EngineEvent::CallEnded {
            call,
            controlling_party,
        } => tracing::debug!(%call, ?controlling_party, "a call ended"),
    }
}
