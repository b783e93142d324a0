//! The last hops: do packets arrive here, and can they be played?

use std::sync::{Arc, Mutex};
use std::time::Duration;

use silentmon_certs::ClientTls;
use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_playback_core::relay_watch::{RelayCounts, RelayWatch};
use silentmon_playback_io::clock;
use silentmon_playback_io::receiver::{MonitorRequest, Persistence, ReceiverEvent};
use silentmon_playback_io::sink::{Output, Sink};
use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::{Code, Evidence, Hop, Reason};
use silentmon_proto::relay::{LegStatus, OutputKind};

use super::{Patient, Walk};
use crate::config::playback::PlaybackSection;
use crate::listening::{Listener, relay_counts};

/// How long is listened at most.
const LISTEN: Duration = Duration::from_secs(8);

/// The hop of the relay: tested by a short session where that was asked for.
pub(super) async fn relay(patient: &Patient, tls: ClientTls, walk: &Walk) -> anyhow::Result<Hop> {
    let hop = Code::RelayBlocked.hop();
    let why = match &patient.agent {
        _ if !patient.listen => {
            "Say --listen to test it: a session of a few seconds, which the server's journal records."
        }
        None => "No agent was named.",
        Some(_) if walk.is_over() => "The server has nothing to send.",
        Some(agent) => return listen(patient, agent, tls).await,
    };
    Ok(Hop::not_checked(hop, why))
}

async fn listen(patient: &Patient, agent: &AgentId, tls: ClientTls) -> anyhow::Result<Hop> {
    let desk = patient.desk.as_ref();
    let settings = desk.map_or_else(PlayoutSettings::default, PlaybackSection::playout);
    let mut listener = Listener::connect(&patient.servers, tls, Persistence::Rounds(1), settings)?;
    // Nobody hears it, but it must be taken from the player.
    let sink = Sink::open(&Output::Null, listener.player()).ok();
    let request = listener.start(MonitorRequest {
        agent: agent.clone(),
        purpose: Some(patient.reason.clone()),
        output: OutputKind::Play,
    });
    let mut told = Told::default();
    let found = tokio::time::timeout(LISTEN, told.follow(&mut listener)).await;
    let counts = relay_counts(&told.legs, &listener.reports());
    if let Some(sink) = sink {
        sink.close();
    }
    listener.stop(request);
    listener.close().await;
    Ok(found.unwrap_or_else(|_| told.give_up(counts)))
}

/// What the server told last.
#[derive(Default)]
struct Told {
    legs: [LegStatus; 2],
    reason: Option<Reason>,
    watch: RelayWatch,
}

impl Told {
    /// Waits until it is clear whether packets arrive.
    async fn follow(&mut self, listener: &mut Listener) -> Hop {
        while let Some(event) = listener.next_event().await {
            match event {
                ReceiverEvent::Status { status, .. } => {
                    self.legs.clone_from(&status.legs);
                    self.reason = Some(status.reason);
                    let counts = relay_counts(&self.legs, &listener.reports());
                    if let Some(complaint) = self.watch.handle(counts, clock::now()) {
                        return Hop::amiss(complaint.code.hop(), complaint.clone());
                    }
                    if self.watch.has_judged() && counts.received * 2 >= counts.sent {
                        return Hop::ok(Code::RelayBlocked.hop(), evidence(counts));
                    }
                }
                ReceiverEvent::MonitorRefused { reason, .. }
                | ReceiverEvent::MonitorStopped { reason, .. }
                | ReceiverEvent::GaveUp { reason } => return Hop::amiss(reason.code.hop(), reason),
                _ => {}
            }
        }
        self.give_up(RelayCounts::default())
    }

    fn give_up(&self, counts: RelayCounts) -> Hop {
        match &self.reason {
            Some(reason) if reason.code.outcome().stops() => Hop::amiss(reason.code.hop(), reason.clone()),
            _ => Hop {
                evidence: evidence(counts),
                ..Hop::not_checked(
                    Code::RelayBlocked.hop(),
                    format!("Within {} s the server sent too little to judge by.", LISTEN.as_secs()),
                )
            },
        }
    }
}

fn evidence(counts: RelayCounts) -> Evidence {
    Evidence::new()
        .with("sent", counts.sent)
        .with("received", counts.received)
        .with("late", counts.late)
}

/// The hop of the loudspeaker: is opened and closed again.
pub(super) fn output(output: &Output) -> Hop {
    let hop = Code::NoSoundCard.hop();
    let evidence = Evidence::new().with("output", output);
    match output {
        Output::Null | Output::Wav(_) | Output::Browser => {
            return Hop {
                evidence,
                ..Hop::not_checked(hop, format!("{output} is no sound card."))
            };
        }
        Output::Default | Output::Device(_) => {}
    }
    let player = Arc::new(Mutex::new(Player::new(PlayoutSettings::default())));
    match Sink::open(output, player) {
        Ok(sink) => {
            sink.close();
            Hop::ok(hop, evidence.with("muted", "not looked at"))
        }
        Err(error) => Hop::amiss(hop, error.reason().with_evidence(evidence)),
    }
}
