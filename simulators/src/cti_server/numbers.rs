//! Numbers where GED-188 has numbers and a script has names: calls, agents, teams.

use std::collections::BTreeMap;

/// Gives each name a number of its own: the one it spells, where it does and nobody else has it.
#[derive(Debug)]
pub(super) struct Numbers {
    first: u32,
    by_name: BTreeMap<String, u32>,
    by_number: BTreeMap<u32, String>,
}

impl Numbers {
    /// Names that spell no number are numbered from `first` on.
    pub fn from(first: u32) -> Self {
        Self {
            first,
            by_name: BTreeMap::new(),
            by_number: BTreeMap::new(),
        }
    }

    pub fn of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let taken = |number: &u32| *number == u32::MAX || self.by_number.contains_key(number);
        let free = (self.first..u32::MAX).find(|number| !taken(number));
        let number = spelt(name).filter(|number| !taken(number)).or(free).unwrap_or_default();
        self.by_name.insert(name.to_owned(), number);
        self.by_number.insert(number, name.to_owned());
        if number == self.first {
            self.first += 1;
        }
        number
    }

    pub fn name(&self, number: u32) -> Option<&str> {
        self.by_number.get(&number).map(String::as_str)
    }
}

fn spelt(name: &str) -> Option<u32> {
    match name.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_spells_a_number_has_it_and_the_others_get_their_own() {
        let mut numbers = Numbers::from(0x0100_0081);
        assert_eq!(numbers.of("81"), 81);
        assert_eq!(numbers.of("0x51"), 0x0100_0081, "81 is taken");
        assert_eq!(numbers.of("consult"), 0x0100_0082);
        assert_eq!(numbers.of("consult"), 0x0100_0082);
        assert_eq!(numbers.name(0x0100_0082), Some("consult"));
        assert_eq!(numbers.name(7), None);
    }
}
