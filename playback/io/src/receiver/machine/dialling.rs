//! Which server is dialled and when: in turn, in rounds that come ever more slowly, and beside one that doesn't answer.

use std::time::Duration;

use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;
use silentmon_transport::ServerAddress;

use super::sessions::Stage;
use super::{Action, Machine, Phase};
use crate::receiver::{Persistence, ReceiverEvent};

/// How long a server may leave a heartbeat unanswered before another one is dialled beside it: who answers first is talked to.
/// That nothing listens there may not be said (RFC 1812 section 4.3.2.8: ICMP errors are rate-limited).
pub(super) const DOUBTFUL: Duration = Duration::from_millis(400);
/// How long a connection must have lasted before that: two overloaded servers aren't dialled in circles.
const SETTLED: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_millis(200);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// See [`DOUBTFUL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// The server with this index is dialled.
    Dialling(usize),
    /// None of them answers either.
    Tried,
}

impl Machine {
    /// When a server that doesn't answer will have been silent for too long to go on with it alone.
    pub(super) fn doubtful(&self, since: Instant) -> Option<Instant> {
        let asked = self.asked.filter(|_| self.beside.is_none())?;
        let runs = self.monitors.values().any(|monitor| monitor.stage == Stage::Running);
        (runs && self.settings.servers.len() > 1).then(|| (asked + DOUBTFUL).max(since + SETTLED))
    }

    /// Dials the server after this one, besides; the round ends at the one that is talked to.
    pub(super) fn dial_beside(&mut self, after: usize) {
        let next = (after + 1) % self.settings.servers.len().max(1);
        if next == self.current {
            self.beside = Some(Beside::Tried);
            return;
        }
        self.beside = Some(Beside::Dialling(next));
        let server = self.server_at(next);
        self.events
            .push_back(ReceiverEvent::Dialling { server: server.clone() });
        self.actions.push_back(Action::Dial(server));
    }

    /// The server that was dialled besides answered first.
    pub(super) fn change_to(&mut self, other: usize, since: Instant, now: Instant) {
        let text = format!("{} doesn't answer.", self.server());
        self.lost(Reason::new(Code::NoCaptureServer, text), since, now);
        self.current = other;
    }

    pub(super) fn stop_dialling_beside(&mut self) {
        if let Some(Beside::Dialling(_)) = self.beside.take() {
            self.actions.push_back(Action::StopDialling);
        }
    }

    pub(super) fn server(&self) -> ServerAddress {
        self.server_at(self.current)
    }

    fn server_at(&self, index: usize) -> ServerAddress {
        let servers = &self.settings.servers;
        let fallback = || ServerAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        servers.get(index).cloned().unwrap_or_else(fallback)
    }

    pub(super) fn dial(&mut self) {
        self.phase = Phase::Dialling;
        let server = self.server();
        self.events
            .push_back(ReceiverEvent::Dialling { server: server.clone() });
        self.actions.push_back(Action::Dial(server));
    }

    pub(super) fn next_server(&mut self) {
        self.current = (self.current + 1) % self.settings.servers.len().max(1);
    }

    pub(super) fn dial_failed(&mut self, reason: Reason, now: Instant) {
        let server = self.server();
        self.events.push_back(ReceiverEvent::DialFailed {
            server,
            reason: reason.clone(),
        });
        // What a certificate is to blame for is the better explanation of the whole round.
        if self
            .problem
            .as_ref()
            .is_none_or(|problem| problem.code != Code::CertificateRefused)
        {
            self.problem = Some(reason);
        }
        self.next_server();
        self.failed_in_round += 1;
        if self.failed_in_round < self.settings.servers.len() {
            self.phase = Phase::Waiting { until: now };
            return;
        }
        self.round_failed(now);
    }

    fn round_failed(&mut self, now: Instant) {
        self.failed_in_round = 0;
        self.rounds += 1;
        let problem = self.problem.take().unwrap_or_else(|| Code::NoCaptureServer.into());
        match self.settings.persistence {
            Persistence::Rounds(limit) if !self.ever_connected && self.rounds >= limit => self.give_up(problem),
            Persistence::Rounds(_) | Persistence::Forever => {
                self.phase = Phase::Waiting {
                    until: now + self.wait(),
                };
            }
        }
    }

    /// Doubles from 0.2 to 5 s, half of it random: thousands of programs must not come back in step.
    pub(super) fn wait(&mut self) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1_u32 << self.rounds.min(8));
        let longest = doubled.min(LONGEST_WAIT);
        longest / 2 + self.part_of(longest / 2)
    }

    /// 25 to 100 ms, before the next server is dialled where the last one was there for long: all its supervisors come at
    /// once.
    pub(super) fn stagger(&mut self) -> Duration {
        FIRST_WAIT / 8 + self.part_of(FIRST_WAIT / 8 * 3)
    }

    fn part_of(&mut self, span: Duration) -> Duration {
        let share = (self.next_random() >> 40) as f64 / f64::from(1_u32 << 24);
        span.mul_f64(share)
    }

    /// xorshift64 (Marsaglia 2003).
    pub(super) fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
