//! What a finding rests on: counters, ages, addresses, shares. Shown beside every sentence, so that nobody has to believe it.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names and values in the order in which they are shown. In JSON an object of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence(Vec<(String, String)>);

impl Evidence {
    /// No evidence yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more fact.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// One more fact, where it is known.
    #[must_use]
    pub fn with_known<T: fmt::Display>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// All facts of another one behind these.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {value}")?;
        }
        Ok(())
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Facts)
    }
}

struct Facts;

impl<'de> Visitor<'de> for Facts {
    type Value = Evidence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Evidence, A::Error> {
        let mut facts = Vec::new();
        while let Some(fact) = map.next_entry()? {
            facts.push(fact);
        }
        Ok(Evidence(facts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_keep_their_order_in_words_and_in_json() {
        let evidence = Evidence::new()
            .with("frames", 12)
            .with_known("age", None::<u8>)
            .with("agent", "4711");
        assert_eq!(evidence.to_string(), "frames 12, agent 4711");
        let json = serde_json::to_string(&evidence).expect("writes");
        assert_eq!(json, r#"{"frames":"12","agent":"4711"}"#);
        assert_eq!(serde_json::from_str::<Evidence>(&json).expect("reads"), evidence);
        assert_eq!(evidence.get("agent"), Some("4711"));
    }
}
