//! Why there is sound, or none: the chain from authority to mirror, walked up to the first hop that is broken.

use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::cti::AgentState;
use silentmon_proto::ids::{AgentId, Leg, MediaAddress, PayloadType};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::{Engine, SEEN_WITHIN};
use crate::directory::{Agent, CallState, MediaLeg};
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
        if let Some(reason) = unheard_media(legs, &self.audible_media(&session.agent)) {
            return reason;
        }
        self.diagnose(&session.agent, hearing, session.started, now)
    }

    /// Whether an agent could be heard now, and why not.
    pub(super) fn diagnose_agent(&self, id: &AgentId, now: Instant) -> Reason {
        let listened = self.sessions_on.get(id).and_then(|sessions| sessions.first());
        if let Some(session) = listened.and_then(|session| self.sessions.get(session)) {
            return self.diagnose_session(session, now);
        }
        let media = self.audible_media(id);
        let seen = |leg| media.iter().any(|media| self.is_seen(media.address, leg, now));
        let hearing = Hearing {
            agent: seen(Leg::Agent),
            customer: seen(Leg::Customer),
        };
        self.diagnose(id, hearing, Instant::EPOCH, now)
    }

    fn diagnose(&self, id: &AgentId, hearing: Hearing, started: Instant, now: Instant) -> Reason {
        let media = self.audible_media(id);
        let sound = (hearing.agent || hearing.customer) && !media.is_empty();
        if !sound && let Some(down) = self.link_down(id) {
            return down.clone();
        }
        let Some(agent) = self.directory.agent(id).filter(|agent| agent.state.is_signed_in()) else {
            return Reason::new(Code::AgentNotSignedIn, format!("Agent {id} is not signed in."));
        };
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
            } => announced_encryption(&media).unwrap_or_else(|| self.diagnose_silence(&media, agent, started, now)),
            Hearing { agent, .. } => one_side(agent, &media, started, now),
        }
    }

    /// No media address that may be heard: is there no call, one on hold, an excluded one, or one without an address?
    fn diagnose_no_media(&self, id: &AgentId, agent: &Agent) -> Reason {
        let media = self.directory.media(id);
        let held = agent
            .call_in_progress()
            .map_or(agent.state == AgentState::Hold, |call| call.state == CallState::Held);
        if held {
            return Reason::new(
                Code::AgentNotOnCall,
                "The agent holds the call; nothing is heard until he takes it back.",
            );
        }
        let sounding = || media.iter().filter(|leg| agent.sounds(leg));
        let on_call = sounding().any(|leg| agent.call_on(leg).is_some());
        if on_call || (agent.state == AgentState::Talking && sounding().next().is_some()) {
            return Reason::new(
                Code::ExcludedByPolicy,
                "This call is excluded from listening (not known to be an ACD call; acd_only).",
            );
        }
        if agent.call_in_progress().is_some() || agent.state == AgentState::Talking {
            return self.diagnose_no_address(id, agent);
        }
        let text = format!("Agent {id} is {}; waiting for the next call.", agent.state.words());
        Reason::new(Code::AgentNotOnCall, text)
    }

    fn diagnose_no_address(&self, id: &AgentId, agent: &Agent) -> Reason {
        let asked: Vec<&str> = self.settings.resolvers.iter().map(|origin| origin.words()).collect();
        let text = format!(
            "Agent {id} is {} but the CTI source gave no media address (asked: {}).",
            agent.state.words(),
            asked.join(", ")
        );
        Reason::new(Code::NoMediaAddress, text)
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
    pub(super) fn is_seen(&self, address: MediaAddress, leg: Leg, now: Instant) -> bool {
        let counted = self.seen.get(&address.ip).and_then(|seen| match leg {
            Leg::Agent => seen.from,
            Leg::Customer => seen.to,
        });
        counted.is_some_and(|(_, at)| now - at <= SEEN_WITHIN) || self.streams_visible(address, leg, now)
    }
}

/// The signalling said so, though no packet has been seen yet.
fn announced_encryption(media: &[MediaLeg]) -> Option<Reason> {
    let leg = media.iter().find(|leg| leg.encrypted == Some(true))?;
    let text = format!(
        "The call is encrypted (SRTP, announced by the signalling: {} for {}); it can't be heard.",
        leg.origin.words(),
        leg.address
    );
    Some(Reason::new(Code::Encrypted, text))
}

fn unheard_media(legs: [LegHealth; 2], media: &[MediaLeg]) -> Option<Reason> {
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
        .find(|(codec, _)| !codec.is_built_in());
    foreign.map(|(codec, payload_type)| not_built_in(codec, payload_type, media))
}

/// One that nobody described may still have been named by whoever told of the media.
fn not_built_in(codec: Codec, payload_type: PayloadType, media: &[MediaLeg]) -> Reason {
    let unknown = |name: &&str| Codec::from_encoding(name).is_none();
    let name = match codec {
        Codec::Unknown => media.iter().filter_map(|leg| leg.codec.as_deref()).find(unknown),
        _ => Some(codec.name()),
    };
    let number = payload_type.0;
    let text = match name {
        Some(name) => format!("Codec {name} (payload type {number}) is not built in."),
        None => format!("Nobody tells which codec payload type {number} is; it can't be played."),
    };
    Reason::new(Code::CodecNotBuiltIn, text)
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
