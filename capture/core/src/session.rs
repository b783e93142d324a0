//! A monitoring session: one supervisor on one agent, from the click until he stops.
//!
//! Holds what was heard of each leg and decides packet by packet what goes to the supervisor. Nothing goes out before a
//! stream is known to be RTP and in clear; what arrived until then is kept and follows in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::cti::AgentState;
use silentmon_proto::ids::{AgentId, CallId, Leg, PayloadType, ServerName, SessionId};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{
    AudioHeader, AudioKind, LegStatus, OutputKind, RepairRequest, SessionStatus, SuperviseAction,
};
use silentmon_proto::time::Instant;

use crate::attribution::{Evidence, LegWatch};
use crate::copies::SeenPackets;
use crate::engine::ConnectionId;
use crate::policy::{Copies, Mute, Principal};
use crate::resend::{Allowance, Budget, SentLately};
use crate::stream::{StreamId, StreamTable};

/// How long a session outlives a broken connection.
pub const RESUME_WITHIN: Duration = Duration::from_secs(30);
/// A leg heard within this time counts as audible.
pub const AUDIBLE_WITHIN: Duration = Duration::from_secs(2);
/// Packets of one stream kept until it is known to be RTP in clear.
const MAX_HELD_PACKETS: usize = 64;
/// Fixed part of an RTP header, in bytes (RFC 3550 section 5.1).
const RTP_HEADER: usize = 12;
/// First byte of an RTP header without padding, extension and contributing sources.
const RTP_VERSION_2: u8 = 0x80;
/// Streams of one leg kept at a time.
const MAX_HELD_STREAMS: usize = 4;
/// After packets were kept back for a path that is too narrow, nothing is sent again for so long.
const NARROW_FOR: Duration = Duration::from_secs(1);

/// One supervisor listening to one agent.
#[derive(Debug)]
pub struct MonitorSession {
    /// The session.
    pub id: SessionId,
    /// The agent.
    pub agent: AgentId,
    /// Who listens.
    pub principal: Principal,
    /// Why, in his own words.
    pub purpose: Option<String>,
    /// What becomes of the sound.
    pub output: OutputKind,
    /// When it started.
    pub started: Instant,
    /// When its supervisor last said that he still listens, or it started.
    pub confirmed: Instant,
    /// Whether he was asked since.
    pub asked: bool,
    /// Number of its audio datagrams' channel.
    pub channel: u16,
    /// The connection it is heard over.
    pub attachment: Attachment,
    /// The member that the supervisor talks to, or talked to last, where it isn't this server.
    pub home: Option<ServerName>,
    /// When the supervisor, or the member he talks to, came.
    pub attached: Instant,
    /// Whether it may be heard yet.
    pub admission: Admission,
    /// When the next status is due while sound flows.
    pub next_status: Instant,
    /// How long at least one leg was audible.
    pub audible: Duration,
    /// Why nothing of the agent is heard by rule, and since when.
    pub muted: Option<(Mute, Instant)>,
    /// Whether the agent was told that somebody listens.
    pub disclosed: Disclosed,
    /// How many audio streams' worth its connection must carry: two, and one for each leg that is sent twice.
    pub streams: usize,
    legs: [LegRelay; 2],
    budget: Budget,
    /// When packets were kept back last because the path was too narrow.
    narrow: Option<Instant>,
    told: Option<Told>,
}

/// What a supervisor was last told, but for counts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    reason: Reason,
    warnings: Vec<Code>,
    agent_state: AgentState,
    calls: Vec<CallId>,
    controls: Vec<SuperviseAction>,
}

/// Whether a session may be heard: not before it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The journal has yet to say that it is on disk; then this request is answered.
    Unrecorded {
        /// The request.
        request: u32,
    },
    /// It may be heard.
    Admitted,
}

/// Whether an agent was told that somebody listens to him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclosed {
    /// Policy doesn't want it.
    NotRequired,
    /// No desktop of his took the notice.
    NotShown,
    /// One did, at this time.
    Shown(Instant),
}

/// The connection a session is heard over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// The supervisor is there.
    Attached(ConnectionId),
    /// His connection broke at this time; he may come back.
    Detached(Instant),
    /// Another member hears it for him, and last said so at this time.
    Relayed(Instant),
}

/// Who is told how a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listener {
    /// The supervisor.
    Supervisor(ConnectionId),
    /// The member that he talks to.
    Member(ServerName),
}

/// An RTP packet of the agent's that may be heard.
#[derive(Debug, Clone, Copy)]
pub struct Sound<'a> {
    /// When it was captured, by our clock.
    pub captured: Instant,
    /// The packet as captured; of one that is silenced, at least its header.
    pub rtp: &'a [u8],
    /// What its payload is.
    pub codec: Codec,
    /// Whether policy lets its sound out.
    pub voice: Voice,
}

/// An RTP packet of the agent's, as the stream table judged it.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Its stream.
    pub stream: StreamId,
    /// When it was captured.
    pub captured: Instant,
    /// The packet as captured.
    pub rtp: &'a [u8],
    /// What its payload is.
    pub codec: Codec,
    /// The payload type that says so.
    pub payload_type: PayloadType,
    /// Whether it may be heard.
    pub clearance: Clearance,
    /// Whether policy lets its sound out now.
    pub voice: Voice,
    /// Its extended sequence number.
    pub number: u64,
}

/// Whether a stream may be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clearance {
    /// Not known yet.
    Pending,
    /// RTP in clear.
    Clear,
    /// Encrypted: never sent.
    Encrypted,
}

/// Whether the sound of a packet may leave the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// As far as policy goes.
    Open,
    /// Only that there was a packet: it is relayed as silence.
    Silenced,
}

/// One datagram's worth to be sent: the kind, and the bytes after the header.
pub type Outgoing<'a> = (AudioHeader, &'a [u8]);

/// How one leg goes out.
#[derive(Debug, Clone, Copy)]
struct Sending {
    leg: Leg,
    channel: u16,
    /// Whether the other side can ask for packets again.
    repairable: bool,
}

#[derive(Debug, Default)]
struct LegRelay {
    status: LegStatus,
    next_sequence: u32,
    sent: SentLately,
    /// What was heard over any way, where there may be several.
    seen: Option<SeenPackets>,
    held: BTreeMap<StreamId, VecDeque<HeldPacket>>,
    watch: LegWatch,
    /// When a packet of it last passed the own mirror.
    last_here: Option<Instant>,
    last_sent: Option<Instant>,
    last_encrypted: Option<Instant>,
    last_codec: Option<(Codec, PayloadType)>,
}

#[derive(Debug)]
struct HeldPacket {
    captured: Instant,
    codec: Codec,
    voice: Voice,
    rtp: Vec<u8>,
}

/// How one leg is doing, for the diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegHealth {
    /// Sound of it went out lately.
    pub audible: bool,
    /// Encrypted packets came lately.
    pub encrypted: bool,
    /// The codec heard last, and its payload type.
    pub codec: Option<(Codec, PayloadType)>,
    /// When a packet of it last came, heard or not.
    pub last: Option<Instant>,
}

impl MonitorSession {
    /// A session that starts now.
    pub fn new(
        id: SessionId,
        channel: u16,
        principal: Principal,
        attachment: Attachment,
        request: SessionRequest,
        now: Instant,
    ) -> Self {
        Self {
            id,
            agent: request.agent,
            principal,
            purpose: request.purpose,
            output: request.output,
            started: now,
            confirmed: now,
            asked: false,
            channel,
            attachment,
            home: None,
            attached: now,
            admission: Admission::Unrecorded {
                request: request.number,
            },
            next_status: now,
            audible: Duration::ZERO,
            muted: None,
            disclosed: Disclosed::NotRequired,
            streams: 2,
            legs: [LegRelay::default(), LegRelay::default()],
            budget: Budget::default(),
            narrow: None,
            told: None,
        }
    }

    /// Notes what the supervisor is told. Answers whether it is something new, besides counts.
    pub fn tell(&mut self, status: &SessionStatus) -> bool {
        let told = Told {
            reason: status.reason.without_evidence(),
            warnings: status.warnings.iter().map(|warning| warning.code).collect(),
            agent_state: status.agent_state,
            calls: status.calls.clone(),
            controls: status.controls.clone(),
        };
        let changed = self.told.as_ref() != Some(&told);
        self.told = Some(told);
        changed
    }

    /// The connection, while the supervisor is there.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self.attachment {
            Attachment::Attached(connection) => Some(connection),
            Attachment::Detached(_) | Attachment::Relayed(_) => None,
        }
    }

    /// Who is told how it stands, while somebody is there.
    pub fn listener(&self) -> Option<Listener> {
        match self.attachment {
            Attachment::Attached(connection) => Some(Listener::Supervisor(connection)),
            Attachment::Detached(_) => None,
            Attachment::Relayed(_) => self.home.clone().map(Listener::Member),
        }
    }

    /// Why it is to end, where nobody came back to it for too long.
    pub fn is_abandoned(&self, now: Instant) -> Option<Reason> {
        let (Attachment::Detached(since) | Attachment::Relayed(since)) = self.attachment else {
            return None;
        };
        let text = match &self.home {
            None => "The supervisor's connection broke and didn't come back.".to_owned(),
            Some(home) => format!("{home}, which the supervisor talked to, has not asked for it any longer."),
        };
        (now.saturating_since(since) >= RESUME_WITHIN).then(|| Reason::new(Code::RelayBlocked, text))
    }

    /// Which legs passed the own mirror within a time: agent, customer.
    pub fn seen_here(&self, within: Duration, now: Instant) -> [bool; 2] {
        let lately = |at: Instant| now.saturating_since(at) <= within;
        self.legs.each_ref().map(|leg| leg.last_here.is_some_and(lately))
    }

    /// Packets that its streams in the own mirror miss, wherever they were lost.
    pub fn missed(&self) -> u64 {
        let missed = self.legs.iter().map(|leg| leg.watch.lost());
        missed.map(|(in_call, in_mirror)| in_call + in_mirror).sum()
    }

    /// Its packets may come over several ways from now on: each is heard once.
    pub fn expect_copies(&mut self) {
        for leg in &mut self.legs {
            leg.seen.get_or_insert_default();
        }
    }

    /// Takes up why nothing of the agent is heard from now on, or that something is. Answers what held before, and since
    /// when, where that is another.
    pub fn mute(&mut self, mute: Option<Mute>, now: Instant) -> Option<Option<(Mute, Instant)>> {
        if self.muted.as_ref().map(|(rule, _)| rule) == mute.as_ref() {
            return None;
        }
        if mute.is_some() {
            self.legs.iter_mut().for_each(LegRelay::silence);
        }
        let muted = mute.map(|mute| (mute, now));
        Some(std::mem::replace(&mut self.muted, muted))
    }

    /// Whether policy lets sound out.
    pub const fn voice(&self) -> Voice {
        match self.muted {
            None => Voice::Open,
            Some(_) => Voice::Silenced,
        }
    }

    /// Takes a packet of one leg and hands every datagram that is due to `send`, in order.
    pub fn handle_packet(&mut self, leg: Leg, heard: &Heard<'_>, mut send: impl FnMut(Outgoing<'_>)) {
        let sending = self.sending(leg);
        let budget = &mut self.budget;
        let relay = &mut self.legs[leg.index()];
        relay.watch.handle(heard.stream, heard.number, heard.captured);
        relay.last_here = relay.last_here.max(Some(heard.captured));
        if heard.codec.is_speech() {
            relay.last_codec = Some((heard.codec, heard.payload_type));
        }
        match heard.clearance {
            Clearance::Pending => relay.hold(heard),
            Clearance::Encrypted => {
                relay.last_encrypted = Some(heard.captured);
                relay.held.remove(&heard.stream);
            }
            Clearance::Clear => {
                for packet in relay.held.remove(&heard.stream).unwrap_or_default() {
                    relay.emit(sending, &packet.as_sound(), budget, &mut send);
                }
                let sound = Sound {
                    captured: heard.captured,
                    rtp: heard.rtp,
                    codec: heard.codec,
                    voice: heard.voice,
                };
                relay.emit(sending, &sound, budget, &mut send);
            }
        }
    }

    /// Takes a packet of one leg that another member captured.
    pub fn handle_relayed(&mut self, leg: Leg, sound: &Sound<'_>, mut send: impl FnMut(Outgoing<'_>)) {
        let sending = self.sending(leg);
        let relay = &mut self.legs[leg.index()];
        if let (true, Some(second)) = (sound.codec.is_speech(), sound.rtp.get(1)) {
            relay.last_codec = Some((sound.codec, PayloadType(second & 0x7f)));
        }
        relay.emit(sending, sound, &mut self.budget, &mut send);
    }

    fn sending(&self, leg: Leg) -> Sending {
        let plain = matches!(self.output, OutputKind::PlainRtp { .. });
        Sending {
            leg,
            channel: self.channel,
            repairable: self.home.is_some() || !plain,
        }
    }

    /// Sends again what the supervisor's program asks for, as far as it is kept and budget and path allow, and takes its
    /// wish for copies. `round_trip` is that of its connection, at its shortest.
    pub fn handle_repair_request(
        &mut self,
        request: &RepairRequest,
        copies: Copies,
        round_trip: Duration,
        now: Instant,
        mut send: impl FnMut(Outgoing<'_>),
    ) {
        let narrow = self.is_narrow(now);
        let relay = &mut self.legs[request.leg.index()];
        relay.sent.want_copies(
            match copies {
                Copies::Allowed if !narrow => request.copy_distance,
                Copies::Allowed | Copies::Refused => 0,
            },
            now,
        );
        if narrow {
            let numbers = request.numbers().count() as u64;
            relay.status.asked += numbers;
            relay.status.refused += numbers;
            return;
        }
        let mut allowance = Allowance {
            now,
            round_trip,
            budget: &mut self.budget,
        };
        for number in request.numbers() {
            relay.sent.repair(number, &mut allowance, &mut relay.status, &mut send);
        }
    }

    fn is_narrow(&self, now: Instant) -> bool {
        self.narrow
            .is_some_and(|narrow| now.saturating_since(narrow) < NARROW_FOR)
    }

    /// Works out [`streams`](Self::streams) anew. Answers whether that changed it.
    pub fn fit_streams(&mut self, now: Instant) -> bool {
        let copied = self.legs.iter().filter(|leg| leg.sent.copies(now)).count();
        std::mem::replace(&mut self.streams, 2 + copied) != 2 + copied
    }

    /// Forgets packets that nobody can ask for any longer.
    pub fn forget_old(&mut self, now: Instant) {
        for leg in &mut self.legs {
            leg.sent.forget_old(now);
        }
    }

    /// Bytes of sound kept in case they are asked for again.
    pub fn kept_bytes(&self) -> usize {
        self.legs.iter().map(|leg| leg.sent.bytes()).sum()
    }

    /// Counts a duplicate that the mirror delivered.
    pub fn count_duplicate(&mut self, leg: Leg) {
        self.legs[leg.index()].status.duplicates += 1;
    }

    /// Shows where packets are missing. `dropped`: the capture lost frames since it was asked last.
    pub fn testify(&mut self, evidence: &mut Evidence, dropped: bool, now: Instant) {
        for leg in &mut self.legs {
            leg.watch.testify(evidence, dropped, now);
        }
    }

    /// Counts missing packets where it can be told where they were lost; all of them `at_last`.
    pub fn judge_losses(&mut self, evidence: &Evidence, streams: &StreamTable, at_last: bool, now: Instant) {
        for leg in &mut self.legs {
            leg.watch.judge(evidence, streams, at_last, now);
        }
    }

    /// Counts datagrams kept back because the path to the supervisor was too narrow.
    pub fn count_shed(&mut self, leg: Leg, datagrams: u64) {
        let leg = &mut self.legs[leg.index()];
        leg.status.shed += datagrams;
        self.narrow = leg.last_sent.max(self.narrow);
    }

    /// How the legs are doing: agent, customer.
    pub fn health(&self, now: Instant) -> [LegHealth; 2] {
        let lately = |at: Option<Instant>| at.is_some_and(|at| now - at <= AUDIBLE_WITHIN);
        self.legs.each_ref().map(|leg| LegHealth {
            audible: lately(leg.last_sent),
            encrypted: lately(leg.last_encrypted),
            codec: leg.last_codec,
            last: leg.last_sent.max(leg.last_encrypted),
        })
    }

    /// What was captured and sent of each leg: agent, customer.
    pub fn leg_status(&self) -> [LegStatus; 2] {
        self.legs.each_ref().map(|leg| {
            let (lost_in_call, lost_in_mirror) = leg.watch.lost();
            let codec = leg.last_codec.map(|(codec, _)| codec);
            LegStatus {
                codec: codec.map(|codec| codec.name().to_owned()),
                lost_in_call,
                lost_in_mirror,
                quality: leg.watch.quality(codec),
                ..leg.status.clone()
            }
        })
    }
}

/// What a supervisor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// His number for it, which stands in the answer.
    pub number: u32,
    /// The agent.
    pub agent: AgentId,
    /// Why, in his own words.
    pub purpose: Option<String>,
    /// What becomes of the sound.
    pub output: OutputKind,
}

impl LegRelay {
    /// Keeps nothing that could still go out as sound.
    fn silence(&mut self) {
        self.sent.clear();
        for packet in self.held.values_mut().flatten() {
            packet.voice = Voice::Silenced;
            packet.rtp.truncate(RTP_HEADER);
        }
    }

    fn hold(&mut self, heard: &Heard<'_>) {
        if self.held.len() >= MAX_HELD_STREAMS && !self.held.contains_key(&heard.stream) {
            self.held.pop_first();
        }
        let queue = self.held.entry(heard.stream).or_default();
        if queue.len() >= MAX_HELD_PACKETS {
            queue.pop_front();
        }
        queue.push_back(HeldPacket {
            captured: heard.captured,
            codec: heard.codec,
            voice: heard.voice,
            rtp: heard.rtp.to_vec(),
        });
    }

    fn emit(&mut self, sending: Sending, heard: &Sound<'_>, budget: &mut Budget, send: &mut impl FnMut(Outgoing<'_>)) {
        if self.seen.as_mut().is_some_and(|seen| !seen.is_first(heard.rtp)) {
            self.status.overlapping += 1;
            return;
        }
        self.status.captured += 1;
        let mut silence = [0; RTP_HEADER];
        let (kind, bytes) = if heard.codec == Codec::TelephoneEvent || heard.voice == Voice::Silenced {
            self.status.suppressed += 1;
            silence.iter_mut().zip(heard.rtp).for_each(|(kept, byte)| *kept = *byte);
            silence[0] = RTP_VERSION_2;
            (AudioKind::Suppressed, &silence[..])
        } else {
            (AudioKind::Rtp, heard.rtp)
        };
        let header = AudioHeader {
            kind,
            leg: sending.leg,
            again: false,
            codec: heard.codec,
            channel: sending.channel,
            relay_sequence: self.next_sequence,
            captured: heard.captured,
        };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.status.relayed += 1;
        if heard.voice == Voice::Open {
            self.last_sent = self.last_sent.max(Some(heard.captured));
        }
        send((header, bytes));
        if sending.repairable {
            self.sent.keep(header, bytes);
            budget.earn(AudioHeader::LEN + bytes.len(), self.sent.bytes());
            if let Some(copy) = self.sent.copy_due(heard.captured) {
                self.status.copies += 1;
                send(copy);
            }
        }
    }
}

impl HeldPacket {
    fn as_sound(&self) -> Sound<'_> {
        Sound {
            captured: self.captured,
            rtp: &self.rtp,
            codec: self.codec,
            voice: self.voice,
        }
    }
}
