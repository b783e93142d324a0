//! Supervisors' programs: whom they dial, what they ask for, and what they hear.

use super::*;

/// How long a program hears nothing before it gives a member up (requirements section 3).
const SILENCE: Duration = Duration::from_secs(15);

/// A supervisor's program.
pub struct Program {
    pub supervisor: &'static str,
    pub agent: usize,
    pub servers: Vec<usize>,
    pub current: usize,
    pub connection: Option<(usize, ConnectionId)>,
    pub(super) next_try: Instant,
    pub(super) last_heard: Instant,
    pub(super) last_said: Instant,
    pub session: Option<SessionId>,
    pub sessions: BTreeSet<SessionId>,
    pub(super) channel: Option<u16>,
    pub status: Option<SessionStatus>,
    pub refusals: Vec<Reason>,
    /// Packets heard, by call and leg: numbers.
    pub heard: BTreeMap<(u32, usize), Vec<u16>>,
    /// When each packet was heard first.
    pub times: Vec<Instant>,
    pub(super) relay_sequence: [Option<u32>; 2],
    pub wants: bool,
    /// What became of a wish to be brought into the call.
    pub supervised: Option<(u32, Result<(), String>)>,
}

impl Net {
    /// A supervisor's program listens, and tries these members in turn.
    pub fn listen(&mut self, supervisor: &'static str, agent: usize, servers: &[usize]) -> usize {
        self.programs.push(Program {
            supervisor,
            agent,
            servers: servers.to_vec(),
            current: 0,
            connection: None,
            next_try: self.now,
            last_heard: self.now,
            last_said: self.now,
            session: None,
            sessions: BTreeSet::new(),
            channel: None,
            status: None,
            refusals: Vec::new(),
            heard: BTreeMap::new(),
            times: Vec::new(),
            relay_sequence: [None; 2],
            wants: true,
            supervised: None,
        });
        self.programs.len() - 1
    }

    pub fn stop(&mut self, program: usize) {
        self.programs[program].wants = false;
        let Program {
            connection, session, ..
        } = self.programs[program];
        if let (Some((member, id)), Some(session)) = (connection, session) {
            self.post(Parcel::ToServer(
                member,
                id,
                Box::new(ClientMessage::StopMonitor { session }),
            ));
        }
    }

    /// A program says something about its session.
    pub fn say(&mut self, program: usize, message: impl FnOnce(SessionId) -> ClientMessage) {
        let Program {
            connection, session, ..
        } = self.programs[program];
        if let (Some((member, id)), Some(session)) = (connection, session) {
            self.post(Parcel::ToServer(member, id, Box::new(message(session))));
        }
    }

    /// A program's connection breaks.
    pub fn lose_connection(&mut self, at: usize) {
        let program = &mut self.programs[at];
        program.next_try = self.now + REDIAL;
        program.channel = None;
        if let Some((member, id)) = program.connection.take() {
            program.current = (program.current + 1) % program.servers.len();
            self.post(Parcel::Hangup(member, id));
        }
    }

    pub(super) fn look_after_program(&mut self, at: usize) {
        let now = self.now;
        let program = &self.programs[at];
        if program.connection.is_some() && now.saturating_since(program.last_heard) >= SILENCE {
            self.lose_connection(at);
        }
        let program = &mut self.programs[at];
        if let Some((member, id)) = program.connection
            && now.saturating_since(program.last_said) >= Duration::from_secs(5)
        {
            program.last_said = now;
            self.post(Parcel::ToServer(
                member,
                id,
                Box::new(ClientMessage::Heartbeat { sent: now }),
            ));
        }
        let program = &mut self.programs[at];
        if program.connection.is_some() || now < program.next_try || !program.wants {
            return;
        }
        let number = program.servers[program.current];
        if self.members[number].is_none() {
            program.current = (program.current + 1) % program.servers.len();
            program.next_try = now + PACKET;
            return;
        }
        self.fresh += 1;
        let id = ConnectionId(self.fresh);
        program.connection = Some((number, id));
        program.last_heard = now;
        program.relay_sequence = [None; 2];
        let (name, wanted, resume) = (program.supervisor, agent(program.agent), program.session);
        if let Some(member) = self.members[number].as_mut() {
            member.sessions_of.insert(id, at);
        }
        self.on(number, |engine, _| engine.handle_connected(id, supervisor(name)));
        let start = ClientMessage::StartMonitor {
            request: 1,
            agent: wanted,
            resume,
            purpose: None,
            output: OutputKind::Play,
        };
        self.post(Parcel::ToServer(number, id, Box::new(start)));
    }

    fn program_at(&mut self, from: usize, id: ConnectionId) -> Option<&mut Program> {
        let now = self.now;
        let at = *self.members[from].as_ref()?.sessions_of.get(&id)?;
        let program = &mut self.programs[at];
        program.last_heard = now;
        (program.connection == Some((from, id))).then_some(program)
    }

    pub(super) fn tell_program(&mut self, from: usize, id: ConnectionId, message: ServerMessage) {
        let now = self.now;
        let Some(program) = self.program_at(from, id) else {
            return;
        };
        match message {
            ServerMessage::MonitorStarted { session, channel, .. } => {
                program.session = Some(session);
                program.sessions.insert(session);
                program.channel = Some(channel);
            }
            ServerMessage::MonitorRefused { reason, .. } | ServerMessage::MonitorStopped { reason, .. } => {
                program.refusals.push(reason);
                program.session = None;
                program.connection = None;
                program.next_try = now + Duration::from_secs(1);
            }
            ServerMessage::SessionStatus(status) => program.status = Some(status),
            ServerMessage::Supervised { request, result } => program.supervised = Some((request, result)),
            _ => {}
        }
    }

    pub(super) fn hear(&mut self, from: usize, id: ConnectionId, datagram: &[u8]) {
        let now = self.now;
        let Some(program) = self.program_at(from, id) else {
            return;
        };
        let (header, packet) = AudioHeader::parse(datagram).expect("audio");
        assert_eq!(Some(header.channel), program.channel, "of the session that was started");
        let next = program.relay_sequence[header.leg.index()].map_or(header.relay_sequence, |last| last + 1);
        assert_eq!(header.relay_sequence, next, "the relay's own numbers have no gaps");
        program.relay_sequence[header.leg.index()] = Some(next);
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().expect("four bytes"));
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        let agent = usize::try_from(ssrc % 50).expect("small");
        assert_eq!(agent, program.agent, "what another agent's call says");
        assert_eq!(usize::from(ssrc % 100 >= 50), header.leg.index(), "the other leg");
        if header.kind == AudioKind::Rtp {
            assert_eq!(packet[12..], payload(ssrc, number), "byte by byte");
            program
                .heard
                .entry((ssrc, header.leg.index()))
                .or_default()
                .push(number);
            program.times.push(now);
        } else {
            assert_eq!(packet.len(), 12, "what is kept back is kept back whole");
        }
    }
}

impl Program {
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// Whether any packet was heard twice.
    pub fn heard_twice(&self) -> bool {
        self.heard.values().any(|numbers| {
            let once: BTreeSet<_> = numbers.iter().collect();
            once.len() < numbers.len()
        })
    }

    /// The longest time without a packet, since a time.
    pub fn longest_gap(&self, since: Instant, until: Instant) -> Duration {
        let times = self.times.iter().copied().filter(|&at| at >= since);
        let ends: Vec<Instant> = [since].into_iter().chain(times).chain([until]).collect();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
