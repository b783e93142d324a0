//! What policy asks of a call: the numbers of both sides, and the variables that rules name.
//!
//! Nothing else of a call's variables is kept: they may hold what a customer entered.

use std::collections::BTreeMap;

use crate::policy::PhoneNumber;

/// Most former numbers kept of a call: it has others after each transfer.
const MOST_FORMER: usize = 8;
/// Most variables kept of a call.
const MOST_VARIABLES: usize = 8;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Who calls, where that is told.
    pub calling: Option<PhoneNumber>,
    /// Who is called, where that is told.
    pub called: Option<PhoneNumber>,
    /// Numbers that it had before, and those of calls that were merged into it.
    pub former: Vec<PhoneNumber>,
    /// Whether the party itself made the call.
    pub outgoing: bool,
    /// Values by name.
    pub variables: BTreeMap<String, String>,
}

impl Content {
    /// Every number that the call has or had.
    pub fn numbers(&self) -> impl Iterator<Item = &PhoneNumber> {
        self.calling.iter().chain(&self.called).chain(&self.former)
    }

    /// The number of the other side.
    pub const fn other_side(&self) -> Option<&PhoneNumber> {
        if self.outgoing {
            self.called.as_ref()
        } else {
            self.calling.as_ref()
        }
    }

    /// Sets variables; an empty value takes one away.
    pub(super) fn set(&mut self, told: &BTreeMap<String, String>) {
        for (name, value) in told {
            if value.is_empty() {
                self.variables.remove(name);
            } else if self.variables.len() < MOST_VARIABLES || self.variables.contains_key(name) {
                self.variables.insert(name.clone(), value.clone());
            }
        }
    }

    /// It was told again: what isn't told stays.
    pub(super) fn take_over(&mut self, told: Self) {
        for (known, told) in [(&mut self.calling, told.calling), (&mut self.called, told.called)] {
            if told.is_some() && *known != told {
                let former = std::mem::replace(known, told);
                remember(&mut self.former, former);
            }
        }
        self.outgoing |= told.outgoing;
        self.set(&told.variables);
    }

    /// Another call became one with it.
    pub(super) fn absorb(&mut self, other: Self) {
        let numbers = [other.calling, other.called].into_iter().flatten().chain(other.former);
        for number in numbers {
            remember(&mut self.former, Some(number));
        }
        for (name, value) in other.variables {
            if self.variables.len() < MOST_VARIABLES {
                self.variables.entry(name).or_insert(value);
            }
        }
    }
}

/// The oldest are kept: those that a call began with say most about whether it is private.
fn remember(former: &mut Vec<PhoneNumber>, number: Option<PhoneNumber>) {
    let Some(number) = number else { return };
    if former.len() < MOST_FORMER && !former.contains(&number) {
        former.push(number);
    }
}
