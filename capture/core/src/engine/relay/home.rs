//! Agents whom this server doesn't see, or not all of: they are heard from members that do, and what comes over several
//! ways is joined. Where the own mirror says nothing, the sources' word is the reason why there is sound or none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use silentmon_proto::ids::{ServerName, SessionId};
use silentmon_proto::peer::{RelayMessage, Role};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AudioHeader, AudioKind, LegStatus, SessionStatus};
use silentmon_proto::time::Instant;

use super::super::media::transmit;
use super::super::{Engine, Transmit};
use super::missing::Missing;
use super::moving::as_told;
use super::{Relay, Way};
use crate::cluster::PeerLink;
use crate::diagnosis::Diagnosis;
use crate::session::{Admission, Attachment, MonitorSession, Sound, Voice};

/// Members that one session is heard from at a time.
const MOST_SOURCES: usize = 3;
/// How often a source is told that it is still needed, and asked again where it doesn't answer.
const RENEWAL: Duration = Duration::from_secs(5);
/// When one that refused is asked again: agents and teams may have reached it meanwhile.
const RETRY: Duration = Duration::from_secs(2);
/// How long a source is kept that nothing is gained from.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// How long after a loss another member's copies are wanted though the own mirror shows the agent.
const POOR_FOR: Duration = Duration::from_secs(30);
/// A leg that the own mirror shows has had a packet within this time.
const SEEN_WITHIN: Duration = Duration::from_millis(500);
/// How long a session may take until the first packet of what this server sees.
const BEGINS_WITHIN: Duration = Duration::from_secs(1);
/// A source that lets an agent be heard says so every second; one that was silent for so long may be gone.
const SAYS_WITHIN: Duration = Duration::from_secs(4);
/// A packet that is so old is of no use.
const LATE: Duration = Duration::from_secs(2);
/// Fixed part of an RTP header, in bytes (RFC 3550 section 5.1).
const RTP_HEADER: usize = 12;

/// From whom a session is heard.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    sources: BTreeMap<ServerName, Source>,
    /// Packets that the own mirror's streams miss, as counted last, and when they became more.
    missed: u64,
    missed_at: Option<Instant>,
    /// The source that was lost last, and why, until another is heard.
    gone: Option<(ServerName, Reason)>,
}

#[derive(Debug)]
struct Source {
    stage: Stage,
    /// When it was last asked.
    asked: Instant,
    /// When something was last gained from it.
    wanted: Instant,
    status: Option<SessionStatus>,
    /// When it last said how it stands.
    said: Instant,
    missing: [Missing; 2],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// It has yet to answer.
    Asked,
    /// Its datagrams have this channel.
    Heard(u16),
    /// It won't.
    Refused(Reason),
}

impl Source {
    fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Asked,
            asked: now,
            wanted: now,
            status: None,
            said: now,
            missing: Default::default(),
        }
    }

    /// For how long it has said nothing more of the sound that flowed when it last did.
    fn silent_for(&self, now: Instant) -> Option<Duration> {
        let flowed = self.status.as_ref()?.reason.code == Code::AudioFlowing;
        let silent = now.saturating_since(self.said);
        (flowed && silent > SAYS_WITHIN).then_some(silent)
    }

    fn is_due(&self, now: Instant) -> bool {
        let wait = match self.stage {
            Stage::Asked | Stage::Heard(_) => RENEWAL,
            Stage::Refused(_) => RETRY,
        };
        now.saturating_since(self.asked) >= wait
    }
}

impl Relay {
    fn source(&mut self, session: SessionId, member: &ServerName) -> Option<&mut Source> {
        self.elsewhere.get_mut(&session)?.sources.get_mut(member)
    }

    /// Hears a session from a member no more. Answers whether it was asked.
    fn forget_source(&mut self, session: SessionId, member: &ServerName) -> bool {
        let sources = self.elsewhere.get_mut(&session).map(|elsewhere| &mut elsewhere.sources);
        let Some(source) = sources.and_then(|sources| sources.remove(member)) else {
            return false;
        };
        self.forget_channel(member, &source.stage);
        true
    }

    fn forget_channel(&mut self, member: &ServerName, stage: &Stage) {
        if let (Stage::Heard(channel), Some(channels)) = (stage, self.channels.get_mut(member)) {
            channels.remove(channel);
        }
    }

    fn set_stage(&mut self, session: SessionId, member: &ServerName, stage: &Stage) -> bool {
        let Some(source) = self.source(session, member) else {
            return false;
        };
        let former = std::mem::replace(&mut source.stage, stage.clone());
        if former == *stage {
            return true;
        }
        if !matches!(stage, Stage::Heard(_)) {
            source.status = None;
        }
        source.missing = Default::default();
        self.forget_channel(member, &former);
        if let Stage::Heard(channel) = *stage {
            let channels = self.channels.entry(member.clone()).or_default();
            channels.insert(channel, session);
        }
        true
    }
}

impl Engine {
    /// Asks members for what they see of a session's agent and this server doesn't, and lets go of those that nothing is
    /// gained from. A hub does so for other members, too: it asks the leaves that dialled it.
    pub(in super::super) fn follow_elsewhere(&mut self, id: SessionId, now: Instant) {
        let session = self.sessions.get(&id).filter(|session| self.hears_elsewhere(session));
        let Some(session) = session else { return };
        let missed = session.missed();
        let wanted = self.members_wanted(session, now);
        let elsewhere = self.relay.elsewhere.entry(id).or_default();
        if missed > elsewhere.missed {
            elsewhere.missed_at = Some(now);
        }
        elsewhere.missed = missed;
        let mut ask = Vec::new();
        for member in wanted {
            match elsewhere.sources.entry(member) {
                Entry::Vacant(vacant) => {
                    ask.push(vacant.key().clone());
                    vacant.insert(Source::new(now));
                }
                Entry::Occupied(mut known) => known.get_mut().wanted = now,
            }
        }
        let mut useless = Vec::new();
        for (member, source) in &mut elsewhere.sources {
            if now.saturating_since(source.wanted) >= KEPT_FOR {
                useless.push(member.clone());
            } else if source.is_due(now) {
                source.asked = now;
                ask.push(member.clone());
            }
        }
        for member in useless {
            let text = format!("{} gains nothing from it any more.", self.settings.server);
            self.unsubscribe(id, &member, &Reason::new(Code::AudioFlowing, text));
        }
        if let Some(session) = self.sessions.get(&id).map(as_told) {
            for member in ask {
                self.say(&member, RelayMessage::Subscribe(session.clone()));
            }
        }
    }

    /// There is a connection with a member: what couldn't be said to it is said.
    pub(in super::super) fn ask_again(&mut self, member: &ServerName, now: Instant) {
        let asked = |elsewhere: &Elsewhere| {
            let source = elsewhere.sources.get(member);
            source.is_some_and(|source| source.stage == Stage::Asked)
        };
        let waiting = self.relay.elsewhere.iter().filter(|(_, elsewhere)| asked(elsewhere));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(source) = self.relay.source(id, member) {
                source.asked = now;
            }
            let session = self.sessions.get(&id).filter(|session| self.hears_elsewhere(session));
            if let Some(session) = session.map(as_told) {
                self.say(member, RelayMessage::Subscribe(session));
            }
        }
    }

    /// Whether other members are asked for a session: where it is at home and, by a hub that another one asks, everywhere.
    fn hears_elsewhere(&self, session: &MonitorSession) -> bool {
        let role = self.cluster().map(|cluster| cluster.settings().role);
        let here = match session.attachment {
            _ if session.home.is_none() => role.is_some(),
            Attachment::Relayed(_) => role == Some(Role::Hub),
            Attachment::Attached(_) | Attachment::Detached(_) => false,
        };
        here && session.admission == Admission::Admitted
    }

    /// Members from which something is gained: a leg that isn't seen here, or copies where the own mirror misses packets. While
    /// nobody sees the agent, those by whom he was heard last: his next call is heard there from its first packet on.
    fn members_wanted(&self, session: &MonitorSession, now: Instant) -> Vec<ServerName> {
        let here = session.seen_here(SEEN_WITHIN, now);
        // Packets begin to pass it a moment after it began.
        let young = now.saturating_since(session.attached) < BEGINS_WITHIN;
        let expected = if young {
            self.sees(&session.agent, now)
        } else {
            [false; 2]
        };
        let own = [here[0] || expected[0], here[1] || expected[1]];
        let known = self.relay.elsewhere.get(&session.id);
        let missed = known.and_then(|elsewhere| elsewhere.missed_at);
        let poor = missed.is_some_and(|at| now.saturating_since(at) < POOR_FOR);
        let gain = |legs: &[bool; 2]| legs.iter().zip(own).filter(|&(&theirs, own)| theirs && !own).count();
        let asked = |member: &ServerName| known.is_some_and(|elsewhere| elsewhere.sources.contains_key(member));
        let mut members: Vec<_> = self
            .seen_by_way_of(session, asked)
            .into_iter()
            .filter(|(_, legs)| poor || gain(legs) > 0)
            .map(|(member, legs)| (std::cmp::Reverse(gain(&legs)), !asked(member), member))
            .collect();
        members.sort();
        if members.is_empty() && own == [false; 2] {
            return known.map(Elsewhere::heard_last).unwrap_or_default();
        }
        let wanted = members.into_iter().take(MOST_SOURCES);
        wanted.map(|(.., member)| member.clone()).collect()
    }

    /// Who can be asked for a session's agent, and for which legs: whoever sees him, or a hub that such a leaf dialled, rather
    /// one that is asked already. For another member a hub asks its own leaves alone: it has a way to all others itself.
    fn seen_by_way_of(
        &self,
        session: &MonitorSession,
        asked: impl Fn(&ServerName) -> bool,
    ) -> BTreeMap<&ServerName, [bool; 2]> {
        let mut ways: BTreeMap<&ServerName, [bool; 2]> = BTreeMap::new();
        let (Some(cluster), Some(directory)) = (self.cluster(), self.membership.directory()) else {
            return ways;
        };
        for (seer, legs) in directory.seen_by(&session.agent) {
            if session.home.is_some() && !cluster.is_leaf_here(seer) {
                continue;
            }
            let known = cluster.ways_to(seer).find(|way| asked(way));
            if let Some(way) = known.or_else(|| cluster.ways_to(seer).next()) {
                let all = ways.entry(way).or_default();
                *all = [all[0] || legs[0], all[1] || legs[1]];
            }
        }
        ways
    }

    /// A member's audio.
    pub(super) fn hear_member(&mut self, from: PeerLink, header: &AudioHeader, rtp: &[u8], now: Instant) {
        if self.join(from, header, rtp, now).is_none() {
            self.relay.turned_away += 1;
        }
    }

    fn join(&mut self, from: PeerLink, header: &AudioHeader, rtp: &[u8], now: Instant) -> Option<()> {
        let cluster = self.membership.cluster()?;
        let member = cluster.member_at(from)?;
        let id = *self.relay.channels.get(member)?.get(&header.channel)?;
        let session = self.sessions.get_mut(&id).filter(|_| rtp.len() >= RTP_HEADER)?;
        let source = self.relay.source(id, member)?;
        let missing = &mut source.missing[header.leg.index()];
        missing.handle(header.relay_sequence, now);
        let round_trip = cluster.round_trip(from);
        if let Some(request) = missing.request((header.channel, header.leg), round_trip, now) {
            self.transmits.push_back(Transmit::PeerDatagram {
                link: from,
                session: id,
                datagram: request.to_bytes().to_vec(),
            });
        }
        let captured = cluster.by_our_clock(from, header.captured, now).min(now);
        if now.saturating_since(captured) > LATE {
            return None;
        }
        let silenced = header.kind == AudioKind::Suppressed || self.silenced.contains(&session.agent);
        let sound = Sound {
            captured,
            rtp,
            codec: header.codec,
            voice: if silenced { Voice::Silenced } else { session.voice() },
        };
        let way = Way::of(session, Some(cluster));
        let transmits = &mut self.transmits;
        session.handle_relayed(header.leg, &sound, |outgoing| {
            transmits.extend(way.and_then(|way| transmit(way, id, outgoing)));
        });
        self.relay.elsewhere.get_mut(&id)?.gone = None;
        Some(())
    }

    /// A source lets a session be heard.
    pub(super) fn handle_subscribed(&mut self, from: &ServerName, id: SessionId, channel: u16, now: Instant) {
        if self.relay.set_stage(id, from, &Stage::Heard(channel)) {
            self.refresh_session(id, now);
        } else {
            let reason = Reason::new(
                Code::AudioFlowing,
                format!("{} has no such session.", self.settings.server),
            );
            self.say(from, RelayMessage::Unsubscribe { session: id, reason });
        }
    }

    /// A source doesn't let a session be heard, or no longer.
    pub(super) fn handle_not_relayed(&mut self, from: &ServerName, id: SessionId, reason: Reason, now: Instant) {
        self.relay.set_stage(id, from, &Stage::Refused(reason));
        self.refresh_session(id, now);
    }

    pub(super) fn handle_source_status(&mut self, from: &ServerName, status: SessionStatus, now: Instant) {
        let id = status.session;
        if let Some(source) = self.relay.source(id, from) {
            source.status = Some(status);
            source.said = now;
            self.refresh_session(id, now);
        }
    }

    /// A member is gone: others that see the same agents take over at once.
    pub(super) fn hear_no_more(&mut self, member: &ServerName, reason: &Reason, now: Instant) {
        self.relay.channels.remove(member);
        let mut lost = Vec::new();
        for (&id, elsewhere) in &mut self.relay.elsewhere {
            if elsewhere.sources.remove(member).is_some() {
                elsewhere.gone = Some((member.clone(), reason.clone()));
                lost.push(id);
            }
        }
        for id in lost {
            self.follow_elsewhere(id, now);
            self.refresh_session(id, now);
        }
    }

    /// Lets all sources of a session know that it needs them no more.
    pub(in super::super) fn unsubscribe_all(&mut self, id: SessionId, reason: &Reason) {
        let sources = self.relay.elsewhere.get(&id).map(|elsewhere| &elsewhere.sources);
        for member in sources
            .into_iter()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect::<Vec<_>>()
        {
            self.unsubscribe(id, &member, reason);
        }
        self.relay.elsewhere.remove(&id);
    }

    /// Lets those know that aren't leaves of this hub: by these it is heard for the session's new home, too.
    pub(super) fn unsubscribe_others(&mut self, id: SessionId, reason: &Reason) {
        let sources = self.relay.elsewhere.get(&id).map(|elsewhere| &elsewhere.sources);
        let others = sources.into_iter().flat_map(BTreeMap::keys);
        let here = |member: &ServerName| self.cluster().is_some_and(|cluster| cluster.is_leaf_here(member));
        for member in others.filter(|member| !here(member)).cloned().collect::<Vec<_>>() {
            self.unsubscribe(id, &member, reason);
        }
    }

    fn unsubscribe(&mut self, id: SessionId, member: &ServerName, reason: &Reason) {
        if self.relay.forget_source(id, member) {
            let reason = reason.clone();
            self.say(member, RelayMessage::Unsubscribe { session: id, reason });
        }
    }

    /// Counts of a session's legs: a leg that the own mirror shows nothing of is judged by a source.
    pub(in super::super) fn leg_status(&self, session: &MonitorSession) -> [LegStatus; 2] {
        let mut legs = session.leg_status();
        let elsewhere = self.relay.elsewhere.get(&session.id);
        let statuses = elsewhere.into_iter().flat_map(Elsewhere::statuses);
        for (_, status) in statuses {
            for (own, theirs) in legs.iter_mut().zip(&status.legs) {
                if own.quality.is_none() && theirs.quality.is_some() {
                    own.lost_in_call = theirs.lost_in_call;
                    own.lost_in_mirror = theirs.lost_in_mirror;
                    own.quality.clone_from(&theirs.quality);
                }
            }
        }
        legs
    }

    /// How a session stands where the own mirror may show nothing: by the member that sees most, or why none is heard.
    pub(in super::super) fn as_others_see(&self, session: &MonitorSession, own: Diagnosis, now: Instant) -> Diagnosis {
        let Some(elsewhere) = self.relay.elsewhere.get(&session.id) else {
            return own;
        };
        if !is_of_the_mirror(own.reason.code) {
            return own;
        }
        let sound = |status: &SessionStatus| status.reason.code.outcome();
        // Where one is gone that saw him, nobody wants to know of mirrors that never showed him.
        let known = |(member, status): &(&ServerName, &SessionStatus)| {
            elsewhere.sources[*member].silent_for(now).is_none()
                && (elsewhere.gone.is_none() || !is_of_the_mirror(status.reason.code))
        };
        if let Some((member, status)) = elsewhere
            .statuses()
            .filter(known)
            .min_by_key(|(_, status)| sound(status))
        {
            let named = |reason: &Reason| Reason {
                text: format!("{member}: {}", reason.text),
                ..reason.clone()
            };
            return Diagnosis {
                reason: named(&status.reason),
                warnings: status.warnings.iter().map(named).collect(),
            };
        }
        let reason = own.reason;
        let mut said = None;
        for (member, source) in &elsewhere.sources {
            if let Some(silent) = source.silent_for(now) {
                let text = format!(
                    "{member}, which sees the agent, has said nothing for {} s.",
                    silent.as_secs()
                );
                said = Some(Reason::new(Code::NoCaptureServer, text));
                continue;
            }
            said = Some(match &source.stage {
                Stage::Refused(why) => Reason::new(why.code, format!("{member} refuses: {}", why.text)),
                Stage::Asked | Stage::Heard(_) => match self.membership.refused().get(member) {
                    Some(why) => Reason::new(
                        why.code,
                        format!("{member} sees the agent and isn't reached: {}", why.text),
                    ),
                    None if elsewhere.gone.is_some() => continue,
                    None => Reason::new(reason.code, format!("{member} sees the agent and was asked for him.")),
                },
            });
        }
        let gone = elsewhere.gone.as_ref().map(|(member, why)| {
            Reason::new(
                Code::NoCaptureServer,
                format!("{member}, which saw the agent, is gone. {}", why.text),
            )
        });
        Diagnosis {
            reason: said.or(gone).unwrap_or(reason),
            warnings: own.warnings,
        }
    }
}

impl Elsewhere {
    /// Sources from which something was gained last.
    fn heard_last(&self) -> Vec<ServerName> {
        let heard = |source: &&Source| matches!(source.stage, Stage::Heard(_));
        let last = self.sources.values().filter(heard).map(|source| source.wanted).max();
        let sources = self.sources.iter();
        let of_last = sources.filter(|(_, source)| heard(source) && Some(source.wanted) == last);
        of_last.map(|(member, _)| member.clone()).collect()
    }

    /// What sources that are heard say.
    fn statuses(&self) -> impl Iterator<Item = (&ServerName, &SessionStatus)> {
        let sources = self.sources.iter();
        sources.filter_map(|(member, source)| Some((member, source.status.as_ref()?)))
    }
}

/// Whether a reason is what the own capture interface shows, or doesn't: signalling that tells addresses is in a mirror, too.
fn is_of_the_mirror(code: Code) -> bool {
    matches!(
        code.hop(),
        "address" | "SPAN" | "promiscuous" | "tags" | "mirror" | "media"
    )
}
