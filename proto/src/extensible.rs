//! Enums of which a newer version of the program may say more: `{"variant": content}`, or `"variant"` where it has none, and
//! whatever isn't known is `Unknown`.
//!
//! serde derives this form, but fails at a variant that it doesn't know; its internally tagged form knows `other`, but reads
//! everything into a tree first, which for the snapshot of a cluster takes longer than all else. Here the derived visitor is
//! given the one entry of the map as it is read.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, IntoDeserializer, MapAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Implements `Serialize` and `Deserialize` for enums that derive both with `#[serde(remote = "Self")]` and have a last
/// variant `Unknown` with `#[serde(other)]`.
macro_rules! extensible {
    ($($name:ident),+) => {$(
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize($crate::extensible::Extensible(deserializer))
            }
        }
    )+};
}
pub(crate) use extensible;

/// Lets a derived enum be read from a self-describing format; see the module.
pub(crate) struct Extensible<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Extensible<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(OneEntry(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Reads a name, or a map with one entry.
struct OneEntry<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for OneEntry<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a map from one name to its content")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        self.0.visit_enum(name.into_deserializer())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let value = self.0.visit_enum(Entry(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("expected one entry in the map, found another one")),
        }
    }
}

/// The one entry: first its name, then its content.
struct Entry<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Entry<'_, A> {
    type Error = A::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), A::Error> {
        let name = self.0.next_key_seed(seed)?;
        let name = name.ok_or_else(|| A::Error::custom("expected an entry in the map, found none"))?;
        Ok((name, self))
    }
}

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Entry<'_, A> {
    type Error = A::Error;

    /// Whatever there is: a variant that isn't known may have any content.
    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.next_value::<IgnoredAny>().map(drop)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(Tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(Fields(fields, visitor))
    }
}

/// Content of a variant with named fields.
struct Fields<V>(&'static [&'static str], V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Fields<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_struct("", self.0, self.1)
    }
}

/// Content of a variant with several fields without names.
struct Tuple<V>(usize, V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Tuple<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_tuple(self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(remote = "Self", rename_all = "snake_case")]
    enum Said {
        Nothing,
        Number(u32),
        Pair(u32, u32),
        Words {
            text: String,
            then: Option<Box<Said>>,
        },
        #[serde(other)]
        Unknown,
    }
    extensible!(Said);

    fn read(text: &str) -> Result<Said, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let words = Said::Words {
            text: "one".to_owned(),
            then: Some(Box::new(Said::Number(2))),
        };
        let said = [
            (Said::Nothing, r#""nothing""#),
            (Said::Number(7), r#"{"number":7}"#),
            (Said::Pair(1, 2), r#"{"pair":[1,2]}"#),
            (words, r#"{"words":{"text":"one","then":{"number":2}}}"#),
        ];
        for (said, text) in said {
            assert_eq!(serde_json::to_string(&said).expect("serialises"), text);
            assert_eq!(read(text), Ok(said));
        }
    }

    #[test]
    fn what_a_newer_version_says_is_unknown_and_no_mistake() {
        for text in [
            r#""song""#,
            r#"{"song":null}"#,
            r#"{"song":{"words":["la","la"],"of":{"number":3}}}"#,
        ] {
            assert_eq!(read(text), Ok(Said::Unknown), "{text}");
        }
        let text = r#"[{"song":{"number":1}},{"number":2}]"#;
        let all: Vec<Said> = serde_json::from_str(text).expect("parses");
        assert_eq!(all, [Said::Unknown, Said::Number(2)]);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, expected) in [
            ("{}", "expected an entry in the map, found none"),
            (r#"{"number":1,"pair":[1,2]}"#, "expected one entry in the map"),
            (r#"{"number":"one"}"#, "expected u32"),
            (r#"{"words":{}}"#, "missing field `text`"),
            (r#"{"pair":[1]}"#, "expected"),
            ("7", "expected a name, or a map from one name to its content"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
