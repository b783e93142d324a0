//! What a listening session comes to: the JSON of `listen --json` and the sentence for people.

use std::time::Duration;

use serde::Serialize;
use silentmon_playback_core::report::LegReport;
use silentmon_proto::ids::{AgentId, CallId, ServerName};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::LegStatus;

use crate::quality::LegQuality;

/// The summary of one session (command-line contract, `listen`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The agent.
    pub agent: AgentId,
    /// The server it went through; empty where none answered.
    pub server: Option<ServerName>,
    /// How long at least one leg was heard, in seconds.
    pub audible_s: f64,
    /// The calls heard, in their order.
    pub calls: Vec<CallId>,
    /// From the start of the command to the first sample.
    pub time_to_first_audio_ms: Option<u64>,
    /// How long packets waited here before they were heard, the sound card included.
    pub delay_ms: DelaySummary,
    /// Each leg.
    pub legs: Legs,
    /// Why there was sound, or none, at the end.
    pub reason: Code,
    /// The same as a sentence.
    #[serde(skip)]
    pub sentence: String,
}

/// Delay over both legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DelaySummary {
    /// The mean.
    pub mean: u64,
    /// 95 of 100 packets waited no longer.
    pub p95: u64,
}

/// Both legs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Legs {
    /// What the agent said.
    pub agent: LegSummary,
    /// What the customer said.
    pub customer: LegSummary,
}

/// One leg.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LegSummary {
    /// Packets received.
    pub received: u64,
    /// Packets lost in the call, before the mirror.
    pub lost_in_call: u64,
    /// Packets lost by the mirror or the capture server.
    pub lost_in_mirror: u64,
    /// Packets lost between capture server and here.
    pub lost_on_relay: u64,
    /// Of those, packets sent again in time.
    pub repaired: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Time for which sound had to be made up.
    pub concealed_ms: u64,
    /// Estimated mean opinion score of what was heard; absent where nothing was.
    pub mos: Option<f64>,
    /// How good the call is, and how good our copy of it.
    #[serde(flatten)]
    pub quality: LegQuality,
}

/// What a summary is made of.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The agent.
    pub agent: AgentId,
    /// The server, once it answered.
    pub server: Option<ServerName>,
    /// The calls heard, in their order.
    pub calls: Vec<CallId>,
    /// What the server said of each leg last: agent, customer.
    pub status: [LegStatus; 2],
    /// What the player said of each leg: agent, customer.
    pub reports: [LegReport; 2],
    /// From the player to the ear, as the output said last.
    pub output_delay: Duration,
    /// From the start of the command to the first sample.
    pub time_to_first_audio: Option<Duration>,
    /// Why there was sound, or none, at the end.
    pub reason: Reason,
}

impl Summary {
    /// Sums up.
    pub fn of(heard: Heard) -> Self {
        let [agent, customer] = &heard.reports;
        let audible = agent.audible.max(customer.audible);
        let [agent_status, customer_status] = &heard.status;
        Self {
            audible_s: (audible.as_secs_f64() * 10.0).round() / 10.0,
            time_to_first_audio_ms: heard.time_to_first_audio.map(milliseconds),
            delay_ms: DelaySummary {
                mean: milliseconds(agent.delay.mean.max(customer.delay.mean) + heard.output_delay),
                p95: milliseconds(agent.delay.p95.max(customer.delay.p95) + heard.output_delay),
            },
            legs: Legs {
                agent: leg(agent, agent_status),
                customer: leg(customer, customer_status),
            },
            agent: heard.agent,
            server: heard.server,
            calls: heard.calls,
            reason: heard.reason.code,
            sentence: heard.reason.text,
        }
    }

    /// For people.
    pub fn words(&self) -> String {
        let leg = |name: &str, leg: &LegSummary| {
            let mos = leg.mos.map_or_else(|| "-".to_owned(), |mos| format!("{mos:.1}"));
            let quality = match leg.quality.words() {
                none if none.is_empty() => none,
                words => format!("\n           {words}"),
            };
            format!(
                "  {name:<9}{:>6} packets; lost {} in the call, {} in the mirror, {} on the relay ({} of them \
                 repaired); {} late; MOS {mos}{quality}",
                leg.received, leg.lost_in_call, leg.lost_in_mirror, leg.lost_on_relay, leg.repaired, leg.late
            )
        };
        let calls: Vec<_> = self.calls.iter().map(CallId::as_str).collect();
        let calls = if calls.is_empty() {
            "no call".to_owned()
        } else {
            format!("call {}", calls.join(", "))
        };
        let server = self.server.as_ref().map_or("no server", ServerName::as_str);
        format!(
            "Agent {} through {server}: {:.1} s heard, {calls}, delay {} ms.\n{}\n{}\n  {} {}",
            self.agent,
            self.audible_s,
            self.delay_ms.mean,
            leg("agent", &self.legs.agent),
            leg("customer", &self.legs.customer),
            self.reason,
            self.sentence,
        )
    }
}

fn leg(report: &LegReport, status: &LegStatus) -> LegSummary {
    LegSummary {
        received: report.received,
        lost_in_call: status.lost_in_call,
        lost_in_mirror: status.lost_in_mirror,
        lost_on_relay: report.lost_on_relay + report.repaired,
        repaired: report.repaired,
        late: report.late,
        concealed_ms: milliseconds(report.concealed),
        mos: report.mos().map(|mos| (mos * 10.0).round() / 10.0),
        quality: LegQuality::of(report, status),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use silentmon_playback_core::player::{Player, PlayoutSettings};
    use silentmon_proto::codec::Codec;
    use silentmon_proto::ids::Leg;
    use silentmon_proto::quality::{CallQuality, LossCounts};
    use silentmon_proto::reason::Code;
    use silentmon_proto::time::Instant;

    use super::*;

    /// Ten seconds in which so many packets of each kind are missing, each alone.
    fn counts(lost: u64) -> LossCounts {
        LossCounts {
            packets: 500,
            lost,
            runs: lost,
            gaps: 1,
            ..LossCounts::default()
        }
    }

    fn heard() -> Heard {
        let report = LegReport {
            codec: Some(Codec::Pcma),
            received: 490,
            lost_on_relay: 5,
            first_audio: Some(Instant::EPOCH),
            audible: Duration::from_secs(10),
            packet_time: Duration::from_millis(20),
            copy: counts(5),
            heard: counts(10),
            ..Player::new(PlayoutSettings::default()).report(Leg::Agent)
        };
        let quality = CallQuality {
            codec: Some(Codec::Pcma),
            packet_time_us: 20_000,
            jitter_us: 12_000,
            call: counts(3),
            mirror: counts(2),
            ..CallQuality::default()
        };
        let status = LegStatus {
            lost_in_call: 3,
            lost_in_mirror: 2,
            quality: Some(quality),
            ..LegStatus::default()
        };
        Heard {
            agent: "4711".into(),
            server: Some("gw1".into()),
            calls: vec!["81".into()],
            status: [status, LegStatus::default()],
            reports: [report, Player::new(PlayoutSettings::default()).report(Leg::Customer)],
            output_delay: Duration::ZERO,
            time_to_first_audio: Some(Duration::from_millis(140)),
            reason: Code::AudioFlowing.into(),
        }
    }

    #[test]
    fn a_summary_tells_the_call_from_our_copy() {
        let words = Summary::of(heard()).words();
        let leg = "  agent       490 packets; lost 3 in the call, 2 in the mirror, 5 on the relay (0 of them \
                   repaired); 0 late; MOS 4.2\n           \
                   the call: good (0.6 % loss, 12 ms jitter, MOS 4.4)   our copy: good (1.4 % loss, MOS 4.3)\n  customer ";
        assert!(words.contains(leg), "{words}");
    }

    #[test]
    fn each_leg_has_its_figures_beside_the_counts() {
        let json = serde_json::to_value(Summary::of(heard())).expect("is JSON");
        let agent = &json["legs"]["agent"];
        let old = ["received", "lost_in_call", "lost_in_mirror", "lost_on_relay", "late"].map(|name| &agent[name]);
        assert_eq!(old, [490, 3, 2, 5, 0]);
        assert_eq!(agent["mos"], 4.2);
        assert_eq!(
            (&agent["call"]["loss_percent"], &agent["copy"]["loss_percent"]),
            (&0.6.into(), &1.4.into())
        );
        assert_eq!(agent["call"]["jitter_ms"], 12.0);
        let customer = &json["legs"]["customer"];
        assert!(customer["call"].is_null() && customer["copy"].is_null(), "{customer}");
    }
}
