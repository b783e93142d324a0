//! Sessions across members: the home, to which the supervisor talks, hears the agent from a source, which sees him.
//!
//! The source runs the session too, under the same id: what its policy keeps back never leaves it.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, Extension, SessionId};
use crate::principal::Principal;
use crate::reason::Reason;
use crate::relay::{OutputKind, SessionStatus, SuperviseAction};
use crate::time::Instant;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "relay", rename_all = "snake_case")]
pub enum RelayMessage {
    /// The home wants to hear a session's agent from the other member. Said again every few seconds for as long as it
    /// does; a source that hears it no more ends the session.
    Subscribe(HomeSession),
    /// Answer of the source, once the session is in its journal: audio follows.
    Subscribed {
        /// The session.
        session: SessionId,
        /// What its datagrams carry in [`crate::relay::AudioHeader::channel`].
        channel: u16,
    },
    /// Answer of the source: it won't.
    Refused {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// How the session stands at the source.
    Status(Box<SessionStatus>),
    /// The home wants to hear it no more.
    Unsubscribe {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// The source ended it.
    Ended {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// The home's supervisor wants to be brought into the call that he hears, by the member that holds the CTI sessions.
    Supervise(Box<SuperviseWanted>),
    /// Answer: whether he was.
    Supervised {
        /// The number by which it was asked for.
        number: u64,
        /// Why not, in words.
        result: Result<(), String>,
    },
    /// Something that a newer version says; to be ignored.
    #[serde(other)]
    Unknown,
}

/// See [`RelayMessage::Supervise`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuperviseWanted {
    /// Names it in the answer.
    pub number: u64,
    /// His session.
    pub session: HomeSession,
    /// What he wants.
    pub action: SuperviseAction,
    /// His phone.
    pub device: Extension,
}

/// A supervisor's session, as his home tells the other members of it. Times are by the home's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeSession {
    /// The session.
    pub session: SessionId,
    /// To whom he listens.
    pub agent: AgentId,
    /// Who he is.
    pub principal: Principal,
    /// Why, in his own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What becomes of the sound.
    pub output: OutputKind,
    /// When it started, wherever that was.
    pub started: Instant,
    /// When he last said that he still listens.
    pub confirmed: Instant,
    /// When he came to this home: of two that hold the same session, the later one does.
    pub attached: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Fact, PeerMessage};
    use crate::principal::{Means, Role};

    fn session() -> HomeSession {
        HomeSession {
            session: SessionId(7),
            agent: "4711".into(),
            principal: Principal {
                name: "anna".into(),
                role: Role::Supervisor,
                from: [10, 1, 9, 1].into(),
                means: Means::Certificate,
            },
            purpose: None,
            output: OutputKind::Play,
            started: Instant::from_nanos(1),
            confirmed: Instant::from_nanos(2),
            attached: Instant::from_nanos(3),
        }
    }

    #[test]
    fn messages_about_sessions_keep_their_shape_on_the_wire() {
        let about = r#""session":7,"agent":"4711","principal":{"name":"anna","role":"supervisor","from":"10.1.9.1","means":"certificate"},"output":{"kind":"play"},"started":1,"confirmed":2,"attached":3}"#;
        let wanted = PeerMessage::Relay(Box::new(RelayMessage::Subscribe(session())));
        let text = serde_json::to_string(&wanted).expect("serialises");
        assert_eq!(text, format!(r#"{{"relay":{{"relay":"subscribe",{about}}}"#));
        assert_eq!(serde_json::from_str::<PeerMessage>(&text).expect("parses"), wanted);
        let fact = Fact::Session(session());
        let text = serde_json::to_string(&fact).expect("serialises");
        assert_eq!(text, format!(r#"{{"session":{{{about}}}"#));
        assert_eq!(serde_json::from_str::<Fact>(&text).expect("parses"), fact);
    }
}
