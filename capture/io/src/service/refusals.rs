//! Counts of who was turned away at a door, and why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by door and by the word for the reason; both are words of the program, so there are only so many. Clones are
/// the same counts.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<(&'static str, &'static str), u64>>>);

impl Refusals {
    /// One more.
    pub fn count(&self, door: &'static str, why: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((door, why)).or_default() += 1;
    }

    /// Door, reason and how many.
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|((door, why), count)| (*door, *why, *count))
            .collect()
    }
}
