//! Hops about one agent: may he be heard, is he there, is he on a call, is his phone's address known?

use silentmon_proto::cti::AgentState;
use silentmon_proto::reason::{Code, Evidence, Reason};

use super::case::{Subject, seconds};
use super::{Case, LegCase};
use crate::directory::CallState;
use crate::policy::Mute;

pub(super) fn authority(case: &Case<'_>) -> Option<Reason> {
    let refused = case.subject.as_ref()?.refused_at("authority");
    refused.map(|refusal| refusal.reason.without_evidence())
}

pub(super) fn authority_evidence(case: &Case<'_>) -> Evidence {
    let Some(subject) = &case.subject else {
        return Evidence::new();
    };
    let rule = subject.refused_at("authority").map(|refusal| refusal.rule.name());
    Evidence::new()
        .with_known("team", subject.team)
        .with_known("rule", rule)
}

/// A pause keeps him silent, or policy lets none of the media that are there be heard.
pub(super) fn policy(case: &Case<'_>) -> Option<Reason> {
    let subject = case.subject.as_ref()?;
    if let Some(refusal) = subject.refused_at("policy") {
        return Some(refusal.reason.without_evidence());
    }
    subject.signed_in()?;
    let mute = subject.mute.as_ref()?;
    let paused = matches!(mute, Mute::Paused { .. });
    (paused || !holds(subject)).then(|| mute.reason())
}

pub(super) fn policy_evidence(case: &Case<'_>) -> Evidence {
    let Some(subject) = &case.subject else {
        return Evidence::new();
    };
    let call = subject.agent.and_then(|agent| agent.call_in_progress());
    let acd = call.map(|call| match call.acd {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not told",
    });
    let left = subject
        .muted_until
        .map(|until| seconds(until.saturating_since(case.now)));
    let refused = subject
        .refused_at("policy")
        .map(|refusal| refusal.rule.name().to_owned());
    let rule = refused.or_else(|| subject.mute.as_ref().map(Mute::rule));
    Evidence::new()
        .with_known("rule", rule)
        .with_known("call", call.map(|call| &call.id))
        .with_known("through the queue", acd)
        .with_known("ends at the latest in", left)
}

/// Whether he is signed in, and on a call that isn't held.
pub(super) fn presence(case: &Case<'_>) -> Option<Reason> {
    let subject = case.subject.as_ref()?;
    let id = subject.id;
    let Some(agent) = subject.signed_in() else {
        return Some(Reason::new(
            Code::AgentNotSignedIn,
            format!("Agent {id} is not signed in."),
        ));
    };
    if !subject.media.is_empty() {
        let silent = !subject.legs.iter().any(LegCase::is_visible);
        return (silent && agent.state == AgentState::Hold)
            .then(|| waiting("The agent holds the call; its media have stopped."));
    }
    if holds(subject) {
        return Some(waiting(
            "The agent holds the call; nothing is heard until he takes it back.",
        ));
    }
    let on_call = agent.call_in_progress().is_some() || agent.state == AgentState::Talking;
    (!on_call).then(|| {
        let state = agent.state.words();
        waiting(&format!("Agent {id} is {state}; waiting for the next call."))
    })
}

pub(super) fn presence_evidence(case: &Case<'_>) -> Evidence {
    let Some(agent) = case.subject.as_ref().and_then(|subject| subject.agent) else {
        return Evidence::new().with("last event", "never");
    };
    Evidence::new()
        .with("state", agent.state.words())
        .with("for", case.age(Some(agent.since)))
        .with("calls", agent.calls().len())
        .with_known("extension", agent.extension.as_ref())
}

/// Whether the address of his phone's media is known, and media have had the time to begin.
pub(super) fn address(case: &Case<'_>) -> Option<Reason> {
    let subject = case.subject.as_ref()?;
    let agent = subject.signed_in()?;
    if subject.media.is_empty() {
        let (id, state) = (subject.id, agent.state.words());
        let asked = asked(case);
        return agent.is_on_call().then(|| {
            let text = format!("Agent {id} is {state} but the CTI source gave no media address (asked: {asked}).");
            Reason::new(Code::NoMediaAddress, text)
        });
    }
    let silent = !subject.legs.iter().any(LegCase::is_visible);
    let yet = silent && subject.is_announced_encrypted().is_none() && subject.has_just_begun(case.now);
    yet.then(|| waiting("The call's media are about to start."))
}

pub(super) fn address_evidence(case: &Case<'_>) -> Evidence {
    let Some(subject) = &case.subject else {
        return Evidence::new();
    };
    if subject.told.is_empty() {
        let devices: Vec<_> = (subject.devices)().iter().map(ToString::to_string).collect();
        return Evidence::new()
            .with("asked", asked(case))
            .with("phones", devices.join(", "));
    }
    let told = subject.told.iter();
    told.fold(Evidence::new(), |evidence, leg| {
        evidence.with(leg.origin.words(), leg.address)
    })
}

fn asked(case: &Case<'_>) -> String {
    let words: Vec<_> = case.resolvers.iter().map(|origin| origin.words()).collect();
    words.join(", ")
}

fn holds(subject: &Subject<'_>) -> bool {
    let Some(agent) = subject.agent else { return false };
    let call = agent.call_in_progress();
    call.map_or(agent.state == AgentState::Hold, |call| call.state == CallState::Held)
}

fn waiting(text: &str) -> Reason {
    Reason::new(Code::AgentNotOnCall, text)
}
