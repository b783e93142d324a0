//! What the hops are judged by.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{AgentId, Extension, LinkName, MediaAddress, PayloadType, ServerName, TeamName};
use silentmon_proto::reason::{Evidence, Reason};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::SpanWatch;
use crate::cluster::LeafCounts;
use crate::directory::{Agent, MediaLeg};
use crate::policy::{Mute, Refusal};
use crate::session::AUDIBLE_WITHIN;

/// The house at one moment, and one agent in it where the question is about one.
pub struct Case<'a> {
    /// The moment.
    pub now: Instant,
    /// What is captured from: an interface or a file.
    pub source: &'a str,
    /// All CTI links.
    pub links: &'a BTreeMap<LinkName, LinkState>,
    /// What the capture threads saw.
    pub span: &'a SpanWatch,
    /// Whether packets of any agent's phone came lately.
    pub voice: bool,
    /// What is seen in the mirror, for a phone that isn't; asked only then.
    pub talkers: &'a dyn Fn() -> Evidence,
    /// Who is asked for media addresses.
    pub resolvers: &'a [MediaOrigin],
    /// Members of the cluster that aren't there, and why, and how many are.
    pub members: MembersCase<'a>,
    /// Why the journal couldn't be written, since it last could.
    pub audit: Option<&'a Reason>,
    /// Why whoever asks may not listen at all: his name is locked after failed sign-ins.
    pub locked: Option<Reason>,
    /// The agent.
    pub subject: Option<Subject<'a>>,
}

/// One agent.
pub struct Subject<'a> {
    /// His id.
    pub id: &'a AgentId,
    /// What is known of him, if anything is.
    pub agent: Option<&'a Agent>,
    /// His team.
    pub team: Option<&'a TeamName>,
    /// The link that told of him.
    pub link: Option<&'a LinkName>,
    /// His phones.
    pub devices: &'a dyn Fn() -> Vec<Extension>,
    /// Why nothing of him is heard by rule.
    pub mute: Option<Mute>,
    /// Until when at the latest, where that is known.
    pub muted_until: Option<Instant>,
    /// The rule by which whoever asks may not listen to him.
    pub refusal: Option<Refusal>,
    /// Where his phone has media.
    pub told: Vec<MediaLeg>,
    /// Those of them that sound and that policy lets be heard.
    pub media: Vec<MediaLeg>,
    /// Another agent whose phone is said to have the same address.
    pub shared: Option<MediaAddress>,
    /// His packets: what he says, what the customer says.
    pub legs: [LegCase; 2],
    /// Since when somebody listens to him.
    pub listened_since: Option<Instant>,
}

/// One leg's packets, as far as anything is known of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegCase {
    /// Packets came, and can be heard.
    pub heard: bool,
    /// Encrypted packets came.
    pub encrypted: bool,
    /// When a packet last came.
    pub last: Option<Instant>,
    /// What the packets carry.
    pub codec: Option<(Codec, PayloadType)>,
    /// What was counted, where packets are looked at and not only counted.
    pub counts: Option<LegCounts>,
}

/// Counts of one leg.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegCounts {
    /// Packets, each counted once.
    pub packets: u64,
    /// Copies of them.
    pub duplicates: u64,
    /// Missing, and lost by the mirror.
    pub lost_in_mirror: u64,
    /// Missing, and lost in the call.
    pub lost_in_call: u64,
}

/// How the other members of the cluster stand.
#[derive(Debug, Clone, Default)]
pub struct MembersCase<'a> {
    /// How many are there.
    pub there: usize,
    /// Leaves, where the server is a hub.
    pub leaves: Option<LeafCounts>,
    /// Those that aren't, and why, where that is known.
    pub away: Vec<(&'a ServerName, Option<&'a Reason>)>,
    /// Why the store by which members learn of each other can't be reached.
    pub store_away: Option<&'a str>,
}

/// How a CTI link stands.
#[derive(Debug, Clone, Default)]
pub struct LinkState {
    /// Why it brings no events.
    pub down: Option<Reason>,
    /// Since when it has been as it is.
    pub since: Option<Instant>,
    /// When it last told anything.
    pub last_event: Option<Instant>,
    /// What it told so far.
    pub events: u64,
}

impl Case<'_> {
    /// Whether sound of the agent gets through.
    pub(super) fn is_heard(&self) -> bool {
        match &self.subject {
            Some(subject) => subject.is_heard(),
            None => false,
        }
    }

    /// How long ago that was, for people.
    pub(super) fn age(&self, at: Option<Instant>) -> String {
        match at {
            Some(at) => seconds(self.now.saturating_since(at)),
            None => "never".to_owned(),
        }
    }
}

impl Subject<'_> {
    /// What is said against listening to him at a hop.
    pub(super) fn refused_at(&self, hop: &str) -> Option<&Refusal> {
        self.refusal.as_ref().filter(|refusal| refusal.reason.code.hop() == hop)
    }

    /// Whether a leg is heard.
    pub(super) fn is_heard(&self) -> bool {
        !self.media.is_empty() && self.legs.iter().any(|leg| leg.heard)
    }

    /// The agent, if he is signed in.
    pub(super) fn signed_in(&self) -> Option<&Agent> {
        self.agent.filter(|agent| agent.state.is_signed_in())
    }

    /// Whether his media began just now, so that packets may yet come.
    pub(super) fn has_just_begun(&self, now: Instant) -> bool {
        let begun = self.media.iter().map(|leg| leg.since).chain(self.listened_since).max();
        now - begun.unwrap_or(Instant::EPOCH) < AUDIBLE_WITHIN
    }

    /// Whether the signalling said that his media are encrypted.
    pub(super) fn is_announced_encrypted(&self) -> Option<&MediaLeg> {
        self.media.iter().find(|leg| leg.encrypted == Some(true))
    }

    /// Why a hop says nothing about him now, though nothing is wrong at it.
    pub(super) fn unmet(&self, hop: &str) -> Option<&'static str> {
        match hop {
            "authority" => None,
            _ if self.signed_in().is_none() => Some("The agent is not signed in."),
            "policy" | "agent" => None,
            _ if self.told.is_empty() && hop != "address" => Some("No media address of the agent is known."),
            "address" if self.told.is_empty() => Some("The agent is not on a call."),
            "media" | "mirror, duplicates" | "mirror, losses" if !self.legs.iter().any(LegCase::is_visible) => {
                Some("No packets of the agent's phone come.")
            }
            "media" if self.legs.iter().all(|leg| leg.codec.is_none() && !leg.encrypted) => {
                Some("Packets are only counted until somebody listens.")
            }
            "mirror, duplicates" | "mirror, losses" if self.legs.iter().all(|leg| leg.counts.is_none()) => {
                Some("Packets are only counted until somebody listens.")
            }
            _ => None,
        }
    }
}

impl LegCase {
    /// Whether packets come, heard or not.
    pub(super) fn is_visible(&self) -> bool {
        self.heard || self.encrypted
    }
}

/// A time for people.
pub(super) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..120 => format!("{} s", time.as_secs()),
        120..7200 => format!("{} min", time.as_secs() / 60),
        _ => format!("{} h", time.as_secs() / 3600),
    }
}
