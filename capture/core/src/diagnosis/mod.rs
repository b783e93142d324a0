//! Why there is sound, or none: the chain of hops from authority to media, in the order in which each needs the ones before
//! it.
//!
//! A hop is a function of a [`Case`], what is known at one moment of the house and of one agent in it, to a reason or
//! none. [`first_broken`] walks up to the first hop where the way ends and is what lists, sessions and metrics show;
//! [`examine`] reports on every hop with its evidence, for `doctor` and the API.

mod agent;
mod case;
mod house;
mod media;
mod mirror;
mod span;

use silentmon_proto::reason::{Code, Evidence, Hop, Outcome, Reason};

pub use case::{Case, LegCase, LegCounts, LinkState, MembersCase, Subject};
pub use span::{CaptureHealth, SpanWatch};

/// What a hop is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The whole server.
    House,
    /// One agent.
    Agent,
}

/// One hop: how it is judged, and what is shown of it.
struct Step {
    hop: &'static str,
    about: About,
    check: fn(&Case<'_>) -> Option<Reason>,
    evidence: fn(&Case<'_>) -> Evidence,
}

const CHAIN: [Step; 15] = [
    Step::of_agent("authority", agent::authority, agent::authority_evidence),
    Step::of_house("lock-out", house::lock_out, house::lock_out_evidence),
    Step::of_agent("policy", agent::policy, agent::policy_evidence),
    Step::of_house("CTI link", house::link, house::link_evidence),
    Step::of_agent("agent", agent::presence, agent::presence_evidence),
    Step::of_agent("address", agent::address, agent::address_evidence),
    Step::of_house("SPAN", span::frames, span::frames_evidence),
    Step::of_house("promiscuous", span::promiscuous, span::promiscuous_evidence),
    Step::of_house("tags", span::tags, span::tags_evidence),
    Step::of_house("cluster", house::cluster, house::cluster_evidence),
    Step::of_agent("mirror", mirror::sides, mirror::sides_evidence),
    Step::of_agent("mirror, duplicates", mirror::duplicates, mirror::duplicates_evidence),
    Step::of_agent("mirror, losses", mirror::losses, mirror::losses_evidence),
    Step::of_agent("media", media::playable, media::playable_evidence),
    Step::of_house("audit", house::audit, house::audit_evidence),
];

impl Step {
    const fn of_house(
        hop: &'static str,
        check: fn(&Case<'_>) -> Option<Reason>,
        evidence: fn(&Case<'_>) -> Evidence,
    ) -> Self {
        let about = About::House;
        Self {
            hop,
            about,
            check,
            evidence,
        }
    }

    const fn of_agent(
        hop: &'static str,
        check: fn(&Case<'_>) -> Option<Reason>,
        evidence: fn(&Case<'_>) -> Evidence,
    ) -> Self {
        let about = About::Agent;
        Self {
            hop,
            about,
            check,
            evidence,
        }
    }

    fn finding(&self, case: &Case<'_>) -> Option<(Reason, Outcome)> {
        let reason = (self.check)(case)?;
        let outcome = match reason.code.outcome() {
            // A link that is down takes nothing from the sound of a call that is known.
            Outcome::Broken if !concerns_those_heard(reason.code) && self.about == About::House && case.is_heard() => {
                Outcome::Warning
            }
            outcome => outcome,
        };
        Some((reason, outcome))
    }
}

/// What ends the way though somebody else hears the agent, or something of him is heard.
const fn concerns_those_heard(code: Code) -> bool {
    matches!(code, Code::TagsLost | Code::LockedOut)
}

/// Why an agent can be heard or not: the first hop at which the way ends, with its evidence. What is amiss without ending
/// it is among the warnings.
pub fn first_broken(case: &Case<'_>) -> Diagnosis {
    let mut warnings = Vec::new();
    for step in &CHAIN {
        let Some((reason, outcome)) = step.finding(case) else {
            continue;
        };
        let reason = reason.with_evidence((step.evidence)(case));
        if outcome.stops() {
            return Diagnosis { reason, warnings };
        }
        warnings.push(reason);
    }
    let reason = mirror::flowing(case);
    Diagnosis { reason, warnings }
}

/// See [`first_broken`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Why there is sound, or none.
    pub reason: Reason,
    /// What is amiss all the same.
    pub warnings: Vec<Reason>,
}

/// Every hop of the chain. Those behind one that ends the way are examined too, as far as they can be.
pub fn examine(case: &Case<'_>) -> Vec<Hop> {
    CHAIN.iter().map(|step| report(step, case)).collect()
}

fn report(step: &Step, case: &Case<'_>) -> Hop {
    if step.about == About::Agent {
        match &case.subject {
            None => return Hop::not_checked(step.hop, "No agent was named."),
            Some(_) if step.hop == "authority" => {}
            Some(_) if case.locked.is_some() => {
                return Hop::not_checked(step.hop, "Monitoring is locked for you.");
            }
            Some(subject) if subject.refusal.is_some() && subject.refused_at(step.hop).is_none() => {
                return Hop::not_checked(step.hop, "You may not listen to this agent.");
            }
            Some(_) => {}
        }
    }
    let evidence = (step.evidence)(case);
    let Some((reason, result)) = step.finding(case) else {
        return match (step.about, &case.subject) {
            (About::Agent, Some(subject)) => match subject.unmet(step.hop) {
                Some(why) => Hop::not_checked(step.hop, why),
                None => Hop::ok(step.hop, evidence),
            },
            _ => Hop::ok(step.hop, evidence),
        };
    };
    Hop {
        result,
        ..Hop::amiss(step.hop, reason.with_evidence(evidence))
    }
}
