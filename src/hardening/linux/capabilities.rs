//! Capabilities (capabilities(7)): the sets of this thread emptied, and the bounding set where the process may.

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::words;

/// What may have to stay.
#[derive(Default)]
pub(super) struct Kept<'a> {
    /// A port below 1024 is bound later.
    pub low_ports: bool,
    /// Whether the kernel filter can't be changed without CAP_BPF.
    pub kernel_filter_fails: Option<&'a dyn Fn() -> bool>,
}

/// Drops all capabilities but those in `kept`; says which are left.
pub(super) fn drop_all(kept: &Kept<'_>) -> Result<String, String> {
    let held = thread::capabilities(None).map_err(words)?.permitted;
    drop_bounding_set(held);
    let _ = thread::clear_ambient_capability_set();
    let mut left = CapabilitySet::empty();
    if kept.low_ports {
        left |= CapabilitySet::NET_BIND_SERVICE & held;
    }
    // In effect no more, but still there to be taken back.
    set(left, held)?;
    if kept.kernel_filter_fails.is_some_and(|fails| fails()) {
        left |= CapabilitySet::BPF & held;
    }
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

    fn left(kept: &Kept<'_>) -> (String, CapabilitySets) {
        let said = drop_all(kept).expect("capabilities can always be dropped");
        (said, thread::capabilities(None).expect("they can be read"))
    }

    fn held() -> CapabilitySet {
        thread::capabilities(None).expect("they can be read").permitted
    }

    #[test]
    fn nothing_is_left_unless_it_is_needed() {
        let (said, sets) = on_a_thread(|| left(&Kept::default()));
        assert_eq!(said, "none");
        let none = CapabilitySet::empty();
        assert_eq!([sets.effective, sets.permitted, sets.inheritable], [none; 3]);
    }

    #[test]
    fn a_kernel_that_asks_for_it_leaves_cap_bpf_alone() {
        if !held().contains(CapabilitySet::BPF) {
            return crate::output::complain("skipped: needs CAP_BPF");
        }
        let (said, sets) = on_a_thread(|| {
            let fails = || !thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::BPF));
            left(&Kept {
                kernel_filter_fails: Some(&fails),
                ..Kept::default()
            })
        });
        assert_eq!((said.as_str(), sets.permitted), ("CAP_BPF", CapabilitySet::BPF));
        let works = || false;
        let (said, _) = on_a_thread(|| {
            left(&Kept {
                kernel_filter_fails: Some(&works),
                ..Kept::default()
            })
        });
        assert_eq!(said, "none");
    }

    #[test]
    fn a_low_port_leaves_the_capability_to_bind_it() {
        if !held().contains(CapabilitySet::NET_BIND_SERVICE) {
            return crate::output::complain("skipped: needs CAP_NET_BIND_SERVICE");
        }
        let kept = || Kept {
            low_ports: true,
            kernel_filter_fails: None,
        };
        let (said, _) = on_a_thread(|| left(&kept()));
        assert_eq!(said, "CAP_NET_BIND_SERVICE");
    }
}
