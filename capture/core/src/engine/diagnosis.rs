//! Why there is sound, or none: the chain from authority to mirror, walked up to the first hop that is broken.

use std::time::Duration;

use silentmon_proto::cti::AgentState;
use silentmon_proto::ids::{AgentId, Leg};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::{Engine, SEEN_WITHIN};
use crate::directory::{Agent, MediaLeg};
use crate::session::{AUDIBLE_WITHIN, LegHealth, MonitorSession};

/// Without any frame for this long the mirror counts as dead.
const SILENT_MIRROR: Duration = Duration::from_secs(5);

/// What is known about the sound of both legs at one moment.
#[derive(Debug, Clone, Copy)]
struct Hearing {
    agent: bool,
    customer: bool,
}

impl Engine {
    /// Why a session has sound or none.
    pub(super) fn diagnose_session(&self, session: &MonitorSession, now: Instant) -> Reason {
        let legs = session.health(now);
        let hearing = Hearing {
            agent: legs[0].audible,
            customer: legs[1].audible,
        };
        if let Some(reason) = unheard_media(legs) {
            return reason;
        }
        self.diagnose(&session.agent, hearing, session.started, now)
    }

    /// Whether an agent could be heard now, and why not.
    pub(super) fn diagnose_agent(&self, id: &AgentId, now: Instant) -> Reason {
        let listened = self.sessions.values().find(|session| session.agent == *id);
        if let Some(session) = listened {
            return self.diagnose_session(session, now);
        }
        let media = self.audible_media(id);
        let seen = |leg| media.iter().any(|media| self.is_seen(media, leg, now));
        let hearing = Hearing {
            agent: seen(Leg::Agent),
            customer: seen(Leg::Customer),
        };
        self.diagnose(id, hearing, Instant::EPOCH, now)
    }

    fn diagnose(&self, id: &AgentId, hearing: Hearing, started: Instant, now: Instant) -> Reason {
        let Some(agent) = self.directory.agent(id).filter(|agent| agent.state.is_signed_in()) else {
            return Reason::new(Code::AgentNotSignedIn, format!("Agent {id} is not signed in."));
        };
        let media = self.audible_media(id);
        if media.is_empty() {
            return self.diagnose_no_media(id, agent);
        }
        match hearing {
            Hearing {
                agent: true,
                customer: true,
            } => Reason::new(Code::AudioFlowing, "Audio is flowing: 2 legs."),
            Hearing {
                agent: false,
                customer: false,
            } => self.diagnose_silence(&media, agent, started, now),
            Hearing { agent, .. } => one_side(agent, &media, started, now),
        }
    }

    /// No media address that may be heard: is there no call, an excluded one, or one without an address?
    fn diagnose_no_media(&self, id: &AgentId, agent: &Agent) -> Reason {
        let excluded = !self.directory.media(id).is_empty();
        if excluded {
            return Reason::new(
                Code::ExcludedByPolicy,
                "This call is excluded from listening (not known to be an ACD call; acd_only).",
            );
        }
        if agent.call_in_progress().is_some() || agent.state == AgentState::Talking {
            return Reason::new(
                Code::NoMediaAddress,
                format!(
                    "Agent {id} is {} but the CTI source gave no media address.",
                    agent.state.words()
                ),
            );
        }
        let text = format!("Agent {id} is {}; waiting for the next call.", agent.state.words());
        Reason::new(Code::AgentNotOnCall, text)
    }

    /// Media addresses are known, but nothing is heard from or to them.
    fn diagnose_silence(&self, media: &[MediaLeg], agent: &Agent, started: Instant, now: Instant) -> Reason {
        if agent.state == AgentState::Hold {
            return Reason::new(
                Code::AgentNotOnCall,
                "The agent holds the call; its media have stopped.",
            );
        }
        if just_begun(media, started, now) {
            return Reason::new(Code::AgentNotOnCall, "The call's media are about to start.");
        }
        let dead_since = self.capture.last_frame.unwrap_or(Instant::EPOCH);
        if now - dead_since >= SILENT_MIRROR {
            let age = match self.capture.last_frame {
                Some(last) => format!("for {:.0} s", (now - last).as_secs_f64()),
                None => "since the start".to_owned(),
            };
            return Reason::new(
                Code::NoFrames,
                format!("The capture interface has received no frames {age}."),
            );
        }
        let addresses: Vec<_> = media.iter().map(|leg| leg.address.to_string()).collect();
        let text = format!("Frames arrive, but no voice from or to {}.", addresses.join(", "));
        Reason::new(Code::AgentNotInMirror, text)
    }

    /// Whether packets of a leg at this address were counted lately, or are in the stream table.
    fn is_seen(&self, media: &MediaLeg, leg: Leg, now: Instant) -> bool {
        let counted = self.seen.get(&media.address.ip).and_then(|seen| match leg {
            Leg::Agent => seen.from,
            Leg::Customer => seen.to,
        });
        counted.is_some_and(|(_, at)| now - at <= SEEN_WITHIN) || self.streams_visible(media.address, leg, now)
    }
}

fn unheard_media(legs: [LegHealth; 2]) -> Option<Reason> {
    if legs.iter().any(|leg| leg.encrypted) && !legs.iter().any(|leg| leg.audible) {
        return Some(Reason::new(
            Code::Encrypted,
            "The call is encrypted (SRTP, recognised by its payload); it can't be heard.",
        ));
    }
    let foreign = legs
        .iter()
        .filter(|leg| leg.audible)
        .filter_map(|leg| leg.codec)
        .find(|codec| !codec.is_built_in());
    foreign.map(|codec| Reason::new(Code::CodecNotBuiltIn, format!("Codec {codec} is not built in.")))
}

fn just_begun(media: &[MediaLeg], started: Instant, now: Instant) -> bool {
    let begun = media
        .iter()
        .map(|leg| leg.since)
        .max()
        .unwrap_or(Instant::EPOCH)
        .max(started);
    now - begun < AUDIBLE_WITHIN
}

fn one_side(agent_is_heard: bool, media: &[MediaLeg], started: Instant, now: Instant) -> Reason {
    if just_begun(media, started, now) {
        return Reason::new(Code::AudioFlowing, "Audio is flowing: 1 leg so far.");
    }
    let side = if agent_is_heard { "agent's" } else { "customer's" };
    Reason::new(Code::OneSideOnly, format!("Only the {side} side is visible."))
}
