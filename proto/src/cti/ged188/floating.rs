//! The floating part: tagged fields in any order, kept as they came (protocol sheet 1.1).
//!
//! Unknown tags stay, so that what was decoded encodes to the same bytes. Lists repeat their leading tag.

use std::net::{IpAddr, Ipv6Addr};

use super::wire::Wire;
use super::{DecodeError, EncodeError, ProtocolVersion, Tag};

/// How many call variables there are without names of their own.
const CALL_VARIABLES: u16 = 10;

/// Tagged fields of one message, in their order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Floating {
    fields: Vec<(Tag, u16)>,
    octets: Vec<u8>,
}

/// One field: its tag and its data, without tag and length.
pub type Field<'a> = (Tag, &'a [u8]);

impl Floating {
    /// Reads a floating part, which must end with the last byte of `bytes`.
    ///
    /// # Errors
    /// A field that reaches beyond the message, or tag 0, which no field has.
    pub fn decode(bytes: &[u8], version: ProtocolVersion) -> Result<Self, DecodeError> {
        let width = version.tag_width();
        let mut floating = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = bytes.len() - rest.len();
            let overrun = DecodeError::FieldOverrun {
                offset,
                remaining: rest.len(),
            };
            let Some((header, after)) = rest.split_at_checked(2 * width) else {
                return Err(overrun);
            };
            let (tag, length) = header.split_at(width);
            let tag = Tag(u16::from_wire(tag));
            if tag == Tag(0) {
                return Err(DecodeError::TagZero { offset });
            }
            let length = u16::from_wire(length);
            let Some((data, after)) = after.split_at_checked(usize::from(length)) else {
                return Err(overrun);
            };
            floating.fields.push((tag, length));
            floating.octets.extend_from_slice(data);
            rest = after;
        }
        Ok(floating)
    }

    /// Appends the fields' bytes.
    ///
    /// # Errors
    /// A tag or a length that one byte can't hold, before version 20.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for (tag, data) in self.iter() {
            let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
            if version.tag_width() == 2 {
                tag.to_wire(out);
                length.to_wire(out);
            } else {
                let (Ok(narrow_tag), Ok(narrow_length)) = (u8::try_from(tag.0), u8::try_from(length)) else {
                    return Err(EncodeError::FieldTooWide { tag, length, version });
                };
                out.extend([narrow_tag, narrow_length]);
            }
            out.extend_from_slice(data);
        }
        Ok(())
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest = self.octets.as_slice();
        self.fields.iter().map(move |(tag, length)| {
            let (data, after) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
            rest = after;
            (*tag, data)
        })
    }

    /// The data of the first field with this tag.
    pub fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        find(self.iter(), tag)
    }

    /// A STRING: up to its NUL or, where that is missing, its end.
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.bytes(tag).map(text)
    }

    /// The call's variables, by name: `CallVariable1` to `CallVariable10`, ECC variables by their own names, elements of
    /// ECC arrays as `name[index]`. A variable that is there without a value is empty.
    pub fn call_variables(&self) -> impl Iterator<Item = (String, String)> {
        self.iter().filter_map(|(tag, data)| match tag {
            Tag::NAMED_VARIABLE => named(data),
            Tag::NAMED_ARRAY => {
                let (index, rest) = data.split_first()?;
                let (name, value) = named(rest)?;
                Some((format!("{name}[{index}]"), value))
            }
            Tag(number) => {
                let place = number.checked_sub(Tag::CALL_VARIABLE_1.0)? + 1;
                (place <= CALL_VARIABLES).then(|| (format!("CallVariable{place}"), text(data)))
            }
        })
    }

    /// A number of one, two or four bytes.
    pub fn uint(&self, tag: Tag) -> Option<u32> {
        self.bytes(tag).and_then(uint)
    }

    /// A value of fixed size; absent where the field's size is another.
    pub fn value<T: Wire>(&self, tag: Tag) -> Option<T> {
        self.bytes(tag).and_then(value)
    }

    /// An IP address: as text, or as the 16 bytes of IPv6.
    pub fn address(&self, tag: Tag) -> Option<IpAddr> {
        let bytes = self.bytes(tag)?;
        match <[u8; 16]>::try_from(bytes) {
            Ok(octets) if text(bytes).parse::<IpAddr>().is_err() => Some(Ipv6Addr::from(octets).into()),
            _ => text(bytes).trim().parse().ok(),
        }
    }

    /// A port: UINT by the standard, but text is taken too.
    pub fn port(&self, tag: Tag) -> Option<u16> {
        let bytes = self.bytes(tag)?;
        let number = uint(bytes).and_then(|number| u16::try_from(number).ok());
        number.or_else(|| text(bytes).trim().parse().ok())
    }

    /// The entries of a list: each begins with `leader` and goes to the next one.
    pub fn entries(&self, leader: Tag) -> Vec<Entry<'_>> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for field in self.iter() {
            if field.0 == leader {
                entries.push(Entry { fields: vec![field] });
            } else if let Some(entry) = entries.last_mut() {
                entry.fields.push(field);
            }
        }
        entries
    }

    /// Appends a field. Data beyond the 65,535 bytes that a length can tell are cut.
    pub fn push_bytes(&mut self, tag: Tag, data: &[u8]) -> &mut Self {
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        self.fields.push((tag, length));
        self.octets.extend(data.iter().take(usize::from(length)));
        self
    }

    /// Appends a STRING with its NUL.
    pub fn push_text(&mut self, tag: Tag, text: &str) -> &mut Self {
        self.push_bytes(tag, &[text.as_bytes(), &[0]].concat())
    }

    /// Appends a number, id or code of fixed size.
    pub fn push_value<T: Wire>(&mut self, tag: Tag, value: T) -> &mut Self {
        let mut data = Vec::with_capacity(T::SIZE);
        value.to_wire(&mut data);
        self.push_bytes(tag, &data)
    }
}

/// Shows tags, texts and numbers as what they are.
impl std::fmt::Debug for Floating {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for (tag, data) in self.iter() {
            match (uint(data), data.split_last()) {
                (_, Some((0, start))) if start.iter().all(u8::is_ascii_graphic) => map.entry(&tag, &text(data)),
                (Some(number), _) => map.entry(&tag, &number),
                (None, _) => map.entry(&tag, &data),
            };
        }
        map.finish()
    }
}

/// One entry of a list of the floating part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    fields: Vec<Field<'a>>,
}

impl Entry<'_> {
    /// A STRING of this entry.
    pub fn text(&self, tag: Tag) -> Option<String> {
        find(self.fields.iter().copied(), tag).map(text)
    }

    /// A number of one, two or four bytes of this entry.
    pub fn uint(&self, tag: Tag) -> Option<u32> {
        find(self.fields.iter().copied(), tag).and_then(uint)
    }

    /// A value of fixed size of this entry.
    pub fn value<T: Wire>(&self, tag: Tag) -> Option<T> {
        find(self.fields.iter().copied(), tag).and_then(value)
    }
}

fn find<'a>(mut fields: impl Iterator<Item = Field<'a>>, tag: Tag) -> Option<&'a [u8]> {
    fields.find(|(found, _)| *found == tag).map(|(_, data)| data)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

/// NAMEDVAR: name, NUL, value, NUL.
fn named(data: &[u8]) -> Option<(String, String)> {
    let end = data.iter().position(|byte| *byte == 0)?;
    let (name, value) = data.split_at_checked(end + 1)?;
    Some((text(name), text(value)))
}

fn uint(bytes: &[u8]) -> Option<u32> {
    matches!(bytes.len(), 1 | 2 | 4).then(|| u32::from_wire(bytes))
}

pub(super) fn value<T: Wire>(bytes: &[u8]) -> Option<T> {
    (bytes.len() == T::SIZE).then(|| T::from_wire(bytes))
}
