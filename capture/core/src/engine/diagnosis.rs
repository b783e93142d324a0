//! What the engine knows, as the case that the hops of [`crate::diagnosis`] judge.

use std::collections::BTreeMap;

use silentmon_proto::ids::{AgentId, Leg, MediaAddress, SessionId};
use silentmon_proto::reason::{Code, Evidence, Hop, Reason};
use silentmon_proto::time::Instant;

use super::Engine;
use super::visibility::lately;
use crate::diagnosis::{self, Case, Diagnosis, LegCase, LegCounts, Subject};
use crate::directory::MediaLeg;
use crate::policy::{Principal, Refusal, Role, Rule};
use crate::session::MonitorSession;
use crate::stream::{Encryption, Stream, Validity};

/// Talkers that evidence names.
const TOP: usize = 3;

/// How many agents and sessions there are for each reason.
pub type ReasonCounts = BTreeMap<Code, usize>;

impl Engine {
    /// Why a session has sound or none.
    pub(super) fn diagnose_session(&self, session: &MonitorSession, now: Instant) -> Diagnosis {
        let judged = Judged {
            session: Some(session),
            refusal: None,
            locked: None,
        };
        let own = self.with_case(Some(&session.agent), judged, now, diagnosis::first_broken);
        self.as_others_see(session, own, now)
    }

    /// Whether an agent could be heard now, and why not.
    pub(super) fn diagnose_agent(&self, id: &AgentId, now: Instant) -> Diagnosis {
        let refusal = self.refusal_to_all(id);
        let judged = Judged {
            session: self.session_of(id),
            refusal,
            locked: None,
        };
        self.with_case(Some(id), judged, now, diagnosis::first_broken)
    }

    /// Every hop from authority to media: of one agent, as whoever asks may hear him, or of the house.
    pub fn examine(&self, agent: Option<&AgentId>, asks: Option<&Principal>, now: Instant) -> Vec<Hop> {
        let rules = &self.settings.policy;
        let refusal = agent.and_then(|agent| match asks {
            Some(asks) => rules.authorise(asks, agent, &self.directory, self.local).err(),
            None => self.refusal_to_all(agent),
        });
        let locked = asks.and_then(|asks| self.lock_out.admit(&asks.name, asks.from, now).err());
        let judged = Judged {
            session: agent.and_then(|agent| self.session_of(agent)),
            // Of an agent nobody knows the hop of the agent speaks.
            refusal: refusal.filter(|refusal| refusal.rule != Rule::UnknownAgent),
            locked: locked.map(Reason::from),
        };
        self.with_case(agent, judged, now, diagnosis::examine)
    }

    /// Why each agent can be heard or not: all of them, or those whom somebody is shown.
    pub fn diagnose_all(&self, asks: Option<&Principal>, now: Instant) -> Vec<(AgentId, Diagnosis)> {
        let agents = self.directory.agents();
        agents
            .filter(|(id, _)| asks.is_none_or(|asks| self.shows(asks, id)))
            .map(|(id, _)| (id.clone(), self.diagnose_agent(id, now)))
            .collect()
    }

    /// Why each session is heard or not: all of them, or those that somebody is shown. A supervisor sees his own.
    pub fn diagnose_sessions(&self, asks: Option<&Principal>, now: Instant) -> Vec<(SessionId, AgentId, Diagnosis)> {
        let sessions = self.sessions.values();
        let rules = &self.settings.policy;
        let shown = |asks: &Principal, session: &MonitorSession| {
            rules.role_of(asks) == Role::Administrator || session.principal.is_same(asks)
        };
        sessions
            .filter(|session| asks.is_none_or(|asks| shown(asks, session)))
            .map(|session| (session.id, session.agent.clone(), self.diagnose_session(session, now)))
            .collect()
    }

    /// Agents by the reason why they can be heard or not, and sessions by the same.
    pub fn reasons(&self, now: Instant) -> (ReasonCounts, ReasonCounts) {
        let (mut agents, mut sessions) = (ReasonCounts::new(), ReasonCounts::new());
        let count = |counts: &mut ReasonCounts, found: &Diagnosis| {
            for reason in found.warnings.iter().chain([&found.reason]) {
                *counts.entry(reason.code).or_default() += 1;
            }
        };
        for (_, found) in self.diagnose_all(None, now) {
            count(&mut agents, &found);
        }
        for (.., found) in self.diagnose_sessions(None, now) {
            count(&mut sessions, &found);
        }
        (agents, sessions)
    }

    fn session_of(&self, agent: &AgentId) -> Option<&MonitorSession> {
        let first = self.sessions_on.get(agent)?.first()?;
        self.sessions.get(first)
    }

    fn with_case<T>(
        &self,
        id: Option<&AgentId>,
        Judged {
            session,
            refusal,
            locked,
        }: Judged<'_>,
        now: Instant,
        judge: impl FnOnce(&Case<'_>) -> T,
    ) -> T {
        let talkers = || self.talkers(now);
        let devices = || id.map(|id| self.directory.devices(id)).unwrap_or_default();
        let subject = id.map(|id| {
            let media = self.audible_media(id);
            let agent = self.directory.agent(id);
            Subject {
                id,
                agent,
                team: agent.and_then(|agent| self.directory.team(id, agent)),
                link: self.link_of.get(id),
                devices: &devices,
                refusal,
                mute: self.mute_of(id),
                muted_until: self.pause_of(id).map(|pause| pause.until),
                told: self.directory.media(id),
                shared: self.shared_address(id, &media),
                legs: match session {
                    Some(session) => session_legs(session, now),
                    None => Leg::BOTH.map(|leg| self.leg_case(id, &media, leg, now)),
                },
                media,
                listened_since: session.map(|session| session.started),
            }
        });
        judge(&Case {
            now,
            source: &self.settings.source,
            links: self.links.states(),
            span: &self.span,
            voice: subject.is_none() && self.is_voice_seen(now),
            talkers: &talkers,
            resolvers: &self.settings.resolvers,
            members: self.members_case(),
            audit: self.journal_failure.as_ref(),
            locked,
            subject,
        })
    }

    /// What is known of one leg of an agent nobody listens to.
    fn leg_case(&self, agent: &AgentId, media: &[MediaLeg], leg: Leg, now: Instant) -> LegCase {
        let here = media.iter().filter_map(|media| self.counted(media.address, leg)).max();
        let seen = if self.is_seen_elsewhere(agent, leg) {
            Some(now)
        } else {
            here
        };
        let streams = media.iter().filter_map(|media| self.last_stream(media.address, leg));
        let stream = streams.max_by_key(|stream| stream.last_captured());
        let Some(stream) = stream.filter(|stream| lately(stream.last_captured(), now)) else {
            return LegCase {
                heard: seen.is_some_and(|at| lately(at, now)),
                last: seen,
                ..LegCase::default()
            };
        };
        let encrypted = stream.encryption() == Encryption::Encrypted;
        let codec = stream.codec();
        let payload_type = stream.payload_types().find(|seen| seen.codec() == codec);
        LegCase {
            heard: !encrypted,
            encrypted,
            last: Some(stream.last_captured()),
            codec: payload_type
                .filter(|_| codec.is_speech() && stream.validity() == Validity::Valid)
                .map(|seen| (codec, seen.payload_type)),
            counts: Some(LegCounts {
                packets: stream.sequence().unique(),
                duplicates: stream.sequence().duplicates(),
                // Where they were lost is judged only for who is listened to.
                lost_in_mirror: 0,
                lost_in_call: 0,
            }),
        }
    }

    fn last_stream(&self, address: MediaAddress, leg: Leg) -> Option<&Stream> {
        let last = |(_, stream): &(_, &Stream)| stream.last_captured();
        let found = match leg {
            Leg::Agent => self.streams.from_address(address).max_by_key(last),
            Leg::Customer => self.streams.to_address(address).max_by_key(last),
        };
        found.map(|(_, stream)| stream)
    }

    /// An address of the agent's media that is also said to be another's, who sits at another phone.
    fn shared_address(&self, id: &AgentId, media: &[MediaLeg]) -> Option<MediaAddress> {
        let extension = |id: &AgentId| self.directory.agent(id).and_then(|agent| agent.extension.as_ref());
        let shared = |address: &MediaAddress| {
            let owners = self.owners.get(address).map_or(&[][..], Vec::as_slice);
            owners
                .iter()
                .any(|owner| owner != id && extension(owner) != extension(id))
        };
        media.iter().map(|leg| leg.address).find(shared)
    }

    fn is_voice_seen(&self, now: Instant) -> bool {
        self.phones_counted(now).next().is_some() || self.voice_streams(now).next().is_some()
    }

    fn voice_streams(&self, now: Instant) -> impl Iterator<Item = &Stream> {
        let streams = self.streams.iter().map(|(_, stream)| stream);
        streams.filter(move |stream| stream.validity() == Validity::Valid && lately(stream.last_captured(), now))
    }

    /// Who is seen in the mirror: those who send most, and how many of the agents' phones.
    fn talkers(&self, now: Instant) -> Evidence {
        let mut by_source = BTreeMap::<_, u64>::new();
        let mut streams = 0;
        for stream in self.voice_streams(now) {
            streams += 1;
            *by_source.entry(stream.key().source.ip()).or_default() += stream.packets();
        }
        let mut top: Vec<_> = by_source.into_iter().collect();
        top.sort_by_key(|&(_, packets)| std::cmp::Reverse(packets));
        let top: Vec<_> = top
            .into_iter()
            .take(TOP)
            .map(|(ip, packets)| format!("{ip} ({packets} packets)"))
            .collect();
        let phones = self.phones_counted(now).count();
        let known = self.phones_known();
        let counted = (known > 0).then(|| format!("{phones} of {known}"));
        let top = (!top.is_empty()).then(|| top.join(", "));
        Evidence::new()
            .with("voice streams", streams)
            .with_known("top talkers", top)
            .with_known("agents' phones seen", counted)
    }
}

/// As what an agent is judged: by a session on him, by what stands against whoever asks.
struct Judged<'a> {
    session: Option<&'a MonitorSession>,
    refusal: Option<Refusal>,
    /// Why whoever asks may not listen at all.
    locked: Option<Reason>,
}

fn session_legs(session: &MonitorSession, now: Instant) -> [LegCase; 2] {
    let status = session.leg_status();
    let health = session.health(now);
    Leg::BOTH.map(|leg| {
        let (health, status) = (health[leg.index()], &status[leg.index()]);
        LegCase {
            heard: health.audible,
            encrypted: health.encrypted,
            last: health.last,
            codec: health.codec,
            counts: Some(LegCounts {
                packets: status.captured,
                duplicates: status.duplicates,
                lost_in_mirror: status.lost_in_mirror,
                lost_in_call: status.lost_in_call,
            }),
        }
    })
}
