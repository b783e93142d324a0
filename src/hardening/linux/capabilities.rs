//! Capabilities (capabilities(7)): the sets of this thread emptied, and the bounding set where the process may.

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::words;

/// A capability that stays where something fails without it; asked once no capability is in effect any more.
pub(super) type Kept<'a> = (CapabilitySet, &'a dyn Fn() -> bool);

/// Drops all capabilities but those in `kept` that are still needed; says which are left.
pub(super) fn drop_all(kept: &[Kept<'_>]) -> Result<String, String> {
    let held = thread::capabilities(None).map_err(words)?.permitted;
    drop_bounding_set(held);
    let _ = thread::clear_ambient_capability_set();
    // In effect no more, but still there to be taken back.
    set(CapabilitySet::empty(), held)?;
    let needed = kept
        .iter()
        .filter(|(_, fails)| fails())
        .map(|(capability, _)| *capability);
    let left = needed.collect::<CapabilitySet>() & held;
    set(left, left)?;
    Ok(names(left))
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Result<(), String> {
    let sets = CapabilitySets {
        effective,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    thread::set_capabilities(None, sets).map_err(words)
}

/// Needs CAP_SETPCAP, which a service under systemd doesn't have; there the unit has set the bound already. With
/// `no_new_privs` nothing can be gained from it either way.
fn drop_bounding_set(held: CapabilitySet) {
    if !held.contains(CapabilitySet::SETPCAP) {
        return;
    }
    for capability in CapabilitySet::all().iter() {
        // A kernel that doesn't know a capability can't have it in the set.
        let _ = thread::remove_capability_from_bounding_set(capability);
    }
}

fn names(left: CapabilitySet) -> String {
    if left.is_empty() {
        return "none".to_owned();
    }
    let names = left.iter_names().map(|(name, _)| format!("CAP_{name}"));
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_a_thread;
    use super::*;

    fn left(kept: &[Kept<'_>]) -> (String, CapabilitySets) {
        let said = drop_all(kept).expect("capabilities can always be dropped");
        (said, thread::capabilities(None).expect("they can be read"))
    }

    #[test]
    fn nothing_is_left_unless_it_is_needed() {
        let (said, sets) = on_a_thread(|| left(&[(CapabilitySet::BPF, &|| false)]));
        assert_eq!(said, "none");
        let none = CapabilitySet::empty();
        assert_eq!([sets.effective, sets.permitted, sets.inheritable], [none; 3]);
    }

    #[test]
    fn only_what_fails_without_its_capability_keeps_it() {
        let held = thread::capabilities(None).expect("they can be read").permitted;
        if !held.contains(CapabilitySet::BPF | CapabilitySet::NET_RAW) {
            return crate::output::complain("skipped: needs CAP_BPF and CAP_NET_RAW");
        }
        let (said, sets) = on_a_thread(|| {
            let effective = || thread::capabilities(None).expect("they can be read").effective;
            let fails = || !effective().contains(CapabilitySet::BPF);
            let works = || !effective().is_empty();
            left(&[(CapabilitySet::BPF, &fails), (CapabilitySet::NET_RAW, &works)])
        });
        assert_eq!((said.as_str(), sets.permitted), ("CAP_BPF", CapabilitySet::BPF));
        assert_eq!(sets.effective, CapabilitySet::BPF);
    }
}
