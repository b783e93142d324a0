//! Hops that the whole server shares: the lock-out of whoever asks, CTI links, the other members of its cluster and the audit
//! journal.

use silentmon_proto::ids::LinkName;
use silentmon_proto::reason::{Code, Evidence, Reason};

use super::Case;
use super::case::LinkState;

/// The link that matters here, and why it is down: the one that told of the agent; where none did, the links are to blame
/// only if all of them are down; where the question is about the whole house, any of them.
pub(super) fn link(case: &Case<'_>) -> Option<Reason> {
    judged(case).1.and_then(|link| link.down.clone())
}

pub(super) fn link_evidence(case: &Case<'_>) -> Evidence {
    let (name, link) = judged(case);
    let down = case.links.values().filter(|link| link.down.is_some()).count();
    let links = Evidence::new().with("links", case.links.len()).with("down", down);
    let (Some(name), Some(link)) = (name, link) else {
        return links;
    };
    let state = if link.down.is_some() { "down for" } else { "up for" };
    links
        .with("link", name)
        .with(state, case.age(link.since))
        .with("last event", ago(case, link))
        .with("events", link.events)
}

fn ago(case: &Case<'_>, link: &LinkState) -> String {
    match link.last_event {
        Some(at) => format!("{} ago", case.age(Some(at))),
        None => "never".to_owned(),
    }
}

fn judged<'a>(case: &'a Case<'_>) -> (Option<&'a LinkName>, Option<&'a LinkState>) {
    let own = case.subject.as_ref().and_then(|subject| subject.link);
    if let Some(own) = own {
        return (Some(own), case.links.get(own));
    }
    let broken = || case.links.iter().find(|(_, link)| link.down.is_some());
    let all_down = case.links.values().all(|link| link.down.is_some());
    let found = match case.subject {
        Some(_) if all_down => broken(),
        Some(_) => None,
        None => broken(),
    };
    match found.or_else(|| case.links.iter().find(|(_, link)| link.down.is_none())) {
        Some((name, link)) => (Some(name), Some(link)),
        None => (None, None),
    }
}

/// Whoever asks failed to sign in too often.
pub(super) fn lock_out(case: &Case<'_>) -> Option<Reason> {
    case.locked.as_ref().map(Reason::without_evidence)
}

pub(super) fn lock_out_evidence(case: &Case<'_>) -> Evidence {
    let locked = case.locked.as_ref();
    locked.map(|reason| reason.evidence.clone()).unwrap_or_default()
}

/// A member that isn't there may see the agent. Whoever is heard doesn't need it.
pub(super) fn cluster(case: &Case<'_>) -> Option<Reason> {
    if case.is_heard() {
        return None;
    }
    // One that is refused won't come by itself.
    let known = || case.members.away.iter().filter_map(|(_, why)| *why);
    let refused = known().find(|why| why.code != Code::NoCaptureServer);
    let store_away = || {
        let why = case.members.store_away?;
        let text = format!(
            "The store by which the cluster's members learn of each other can't be reached: {why}. What was last known stays."
        );
        Some(Reason::new(Code::NoCaptureServer, text))
    };
    let member = refused.or_else(|| known().next()).map(Reason::without_evidence);
    member.or_else(store_away)
}

pub(super) fn cluster_evidence(case: &Case<'_>) -> Evidence {
    let away: Vec<_> = case.members.away.iter().map(|(server, _)| server.as_str()).collect();
    let (leaves, store) = (case.members.leaves, case.members.store_away);
    if case.members.there + away.len() == 0 && leaves.is_none() && store.is_none() {
        return Evidence::new().with("other members", "none configured");
    }
    let away = (!away.is_empty()).then(|| away.join(", "));
    Evidence::new()
        .with("other members there", case.members.there)
        .with_known("not there", away)
        .with_known("leaves there", leaves.map(|leaves| leaves.here))
        .with_known("leaves at other hubs", leaves.map(|leaves| leaves.elsewhere))
        .with_known("leaves lost", leaves.map(|leaves| leaves.lost))
        .with_known("store", store)
}

pub(super) fn audit(case: &Case<'_>) -> Option<Reason> {
    case.audit.map(Reason::without_evidence)
}

pub(super) fn audit_evidence(_case: &Case<'_>) -> Evidence {
    Evidence::new()
}
