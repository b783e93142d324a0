//! A small XML document as a tree: what the XML sources (CSTA, BroadWorks) are read from.
//!
//! Elements are found by local name, whatever their prefix or namespace: peers disagree about both. There is no document
//! type, no entity beyond the five predefined ones, and every dimension has a limit.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use thiserror::Error;

/// Largest document read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting read.
pub const MAX_DEPTH: usize = 64;
/// Most elements read in one document.
pub const MAX_ELEMENTS: usize = 100_000;
/// Most attributes read on one element.
pub const MAX_ATTRIBUTES: usize = 64;

/// Namespace of `type`, `nil` and their like (XML Schema part 1, section 2.6).
pub const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// An element with all that stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Name without prefix.
    pub name: String,
    /// Attributes without namespace declarations, in the document's order.
    pub attributes: Vec<Attribute>,
    /// The element's own text, entities resolved, without white space around it.
    pub text: String,
    /// The elements in it, in the document's order.
    pub children: Vec<Self>,
}

/// An attribute of an [`Element`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name without prefix.
    pub name: String,
    /// The namespace its prefix is bound to; absent for a name without prefix or with one that is bound to nothing.
    pub namespace: Option<String>,
    /// The value, entities resolved.
    pub value: String,
}

/// Why a document can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum XmlError {
    /// See [`MAX_BYTES`].
    #[error("expected a document of at most {MAX_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// See [`MAX_DEPTH`].
    #[error("expected at most {MAX_DEPTH} elements inside one another")]
    TooDeep,
    /// See [`MAX_ELEMENTS`] and [`MAX_ATTRIBUTES`].
    #[error("expected at most {MAX_ELEMENTS} elements with {MAX_ATTRIBUTES} attributes each")]
    TooMany,
    /// A document type, which no source needs and which can do harm.
    #[error("found a document type declaration, which isn't read")]
    DocumentType,
    /// An entity without a meaning here.
    #[error("found the unknown entity &{0};")]
    UnknownEntity(String),
    /// No element, more than one, or one that doesn't end.
    #[error("expected one complete root element")]
    NoSingleRoot,
    /// It isn't well-formed.
    #[error("not well-formed at byte {at}: {what}")]
    IllFormed {
        /// Where, in bytes from the start.
        at: u64,
        /// In the reader's words.
        what: String,
    },
}

impl Element {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first child of this name, whatever its case (`callID`, `callId`).
    pub fn child_any_case(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name.eq_ignore_ascii_case(name))
    }

    /// All children of this name.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The element that lies this way down, by the first child of each name.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The first element of this name at any depth below, in the document's order.
    pub fn descendant(&self, name: &str) -> Option<&Self> {
        self.children.iter().find_map(|child| {
            if child.name == name {
                Some(child)
            } else {
                child.descendant(name)
            }
        })
    }

    /// The text of the first child of this name, unless it is empty.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name)?.own_text()
    }

    /// The element's own text, unless it is empty.
    pub fn own_text(&self) -> Option<&str> {
        (!self.text.is_empty()).then_some(self.text.as_str())
    }

    /// The value of the first attribute of this local name, in whatever namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|attribute| attribute.name == name)?;
        Some(&found.value)
    }

    /// The value of the attribute of this local name in this namespace.
    pub fn attribute_in(&self, namespace: &str, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|attribute| attribute.name == name && attribute.namespace.as_deref() == Some(namespace))?;
        Some(&found.value)
    }

    /// The local name of the type the element says it has (`xsi:type`, under whatever prefix).
    pub fn type_name(&self) -> Option<&str> {
        let value = self.attribute_in(SCHEMA_INSTANCE, "type")?.trim();
        Some(value.rsplit(':').next().unwrap_or(value))
    }
}

/// Reads a document: UTF-8, or ISO-8859-1 where it isn't UTF-8 (some peers send it undeclared).
///
/// # Errors
/// What is wrong with it, see [`XmlError`].
pub fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    if bytes.len() > MAX_BYTES {
        return Err(XmlError::TooLarge(bytes.len()));
    }
    TreeReader::default().read(&text_of(bytes))
}

/// A text as it may stand in an element or attribute.
pub fn escape(text: &str) -> Cow<'_, str> {
    quick_xml::escape::escape(text)
}

fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// The elements that are open, outermost first, and the root once it is complete.
#[derive(Default)]
struct TreeReader {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl TreeReader {
    fn read(mut self, text: &str) -> Result<Element, XmlError> {
        let mut reader = NsReader::from_str(text);
        loop {
            let at = reader.buffer_position();
            let event = reader.read_event().map_err(|error| ill_formed(at, &error))?;
            match event {
                Event::Start(start) => self.open(element_of(&start, &reader, at)?)?,
                Event::Empty(start) => {
                    self.open(element_of(&start, &reader, at)?)?;
                    self.close()?;
                }
                Event::End(_) => self.close()?,
                Event::Text(text) => self.add_text(&text.xml10_content())?,
                Event::CData(text) => self.add_text(&text.xml10_content())?,
                Event::GeneralRef(reference) => self.add_reference(&reference, at)?,
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(XmlError::NoSingleRoot),
        }
    }

    fn open(&mut self, element: Element) -> Result<(), XmlError> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(XmlError::TooMany);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(XmlError::TooDeep);
        }
        if self.root.is_some() {
            return Err(XmlError::NoSingleRoot);
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), XmlError> {
        let mut closed = self.open.pop().ok_or(XmlError::NoSingleRoot)?;
        closed.text.truncate(closed.text.trim_end().len());
        let blank = closed.text.len() - closed.text.trim_start().len();
        closed.text.drain(..blank);
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
        Ok(())
    }

    fn add_text(&mut self, text: &str) -> Result<(), XmlError> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(XmlError::NoSingleRoot),
        }
        Ok(())
    }

    fn add_reference(&mut self, reference: &BytesRef<'_>, at: u64) -> Result<(), XmlError> {
        let character = reference.resolve_char_ref().map_err(|error| ill_formed(at, &error))?;
        if let Some(character) = character {
            return self.add_text(character.encode_utf8(&mut [0; 4]));
        }
        let name: &str = reference;
        let text = quick_xml::escape::resolve_predefined_entity(name)
            .ok_or_else(|| XmlError::UnknownEntity(name.chars().take(32).collect()))?;
        self.add_text(text)
    }
}

fn element_of(start: &BytesStart<'_>, reader: &NsReader<&[u8]>, at: u64) -> Result<Element, XmlError> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| ill_formed(at, &error))?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(XmlError::TooMany);
        }
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|error| ill_formed(at, &error))?;
        attributes.push(Attribute {
            name: name.into_inner().to_owned(),
            namespace: match namespace {
                ResolveResult::Bound(namespace) => Some(namespace.0.to_owned()),
                ResolveResult::Unbound | ResolveResult::Unknown(_) => None,
            },
            value: value.into_owned(),
        });
    }
    Ok(Element {
        name: start.local_name().into_inner().to_owned(),
        attributes,
        ..Element::default()
    })
}

fn ill_formed(at: u64, error: &impl ToString) -> XmlError {
    XmlError::IllFormed {
        at,
        what: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Element {
        parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn the_same_document_is_read_under_any_prefix_or_none() {
        let plain = read("<a><b>1</b><c/></a>");
        let default = read("<?xml version=\"1.0\"?>\n<a xmlns=\"urn:x\"><b>1</b><c></c></a>\n");
        let prefixed = read("<ns3:a xmlns:ns3=\"urn:x\"><ns3:b> 1\n</ns3:b><ns3:c/></ns3:a>");
        let undeclared = read("<n:a><n:b>1</n:b><n:c/></n:a>");
        assert_eq!(plain, default);
        assert_eq!(plain, prefixed);
        assert_eq!(plain, undeclared);
        assert_eq!(plain.child_text("b"), Some("1"));
        assert_eq!(plain.child_text("c"), None);
    }

    #[test]
    fn a_type_is_known_by_its_namespace_whatever_the_prefixes() {
        let event = read(
            "<xsi:Event xmlns:xsi=\"http://schema.broadsoft.com/xsi\" \
             xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi1:type=\"xsi:SubscriptionEvent\" xsi:type=\"other\" type=\"third\"/>",
        );
        assert_eq!(event.type_name(), Some("SubscriptionEvent"));
        assert_eq!(
            event.attribute_in("http://schema.broadsoft.com/xsi", "type"),
            Some("other")
        );
        assert_eq!(event.attributes[2].namespace, None);
        assert_eq!(event.attributes.len(), 3, "namespace declarations aren't attributes");
    }

    #[test]
    fn predefined_and_numeric_entities_are_resolved_and_others_refused() {
        let element = read("<a b=\"&quot;&#x41;\">N&lt;302&gt;;x=1 &amp; &#246;<![CDATA[<&>]]></a>");
        assert_eq!(element.text, "N<302>;x=1 & ö<&>");
        assert_eq!(element.attribute("b"), Some("\"A"));
        assert_eq!(parse(b"<a>&evil;</a>"), Err(XmlError::UnknownEntity("evil".into())));
    }

    #[test]
    fn a_document_type_is_refused() {
        let bomb = b"<!DOCTYPE a [<!ENTITY b \"cccc\">]><a>&b;</a>";
        assert_eq!(parse(bomb), Err(XmlError::DocumentType));
    }

    #[test]
    fn a_document_beyond_a_limit_is_refused() {
        let deep = "<a>".repeat(MAX_DEPTH + 1) + &"</a>".repeat(MAX_DEPTH + 1);
        assert_eq!(parse(deep.as_bytes()), Err(XmlError::TooDeep));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert_eq!(parse(wide.as_bytes()), Err(XmlError::TooMany));
        let large = vec![b' '; MAX_BYTES + 1];
        assert_eq!(parse(&large), Err(XmlError::TooLarge(MAX_BYTES + 1)));
    }

    #[test]
    fn a_broken_or_doubled_document_is_refused() {
        for text in [
            "", " ", "<a>", "</a>", "<a></b>", "<a/><b/>", "text", "<a/>text", "<a b=1/>", "<a",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_document_that_is_not_utf_8_is_read_as_latin_1() {
        assert_eq!(parse(b"<a>M\xfcller</a>").expect("Latin-1").text, "Müller");
        assert_eq!(
            parse(b"\xef\xbb\xbf<a>M\xc3\xbcller</a>").expect("UTF-8").text,
            "Müller"
        );
    }

    #[test]
    fn finds_by_path_by_any_case_and_at_any_depth() {
        let element = read("<a><b><callId>7</callId><d>1</d></b><b><d>2</d></b></a>");
        assert_eq!(element.at(&["b", "d"]).map(|d| d.text.as_str()), Some("1"));
        assert_eq!(element.descendant("d").and_then(Element::own_text), Some("1"));
        assert_eq!(element.children_named("b").count(), 2);
        let call = element.child("b").and_then(|b| b.child_any_case("callID"));
        assert_eq!(call.and_then(Element::own_text), Some("7"));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn anything_like_xml_never_panics(text in "(<|>|/|a|b:|=|\"|'|&|;|#|x|!|\\[|\\]|\\?|-| |xmlns|CDATA|1){0,60}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn an_escaped_text_is_read_as_it_was(text in "[ -~äöü€]{0,40}") {
            let element = read(&format!("<a b=\"{0}\">{0}</a>", escape(&text)));
            prop_assert_eq!(element.text.as_str(), text.trim());
            prop_assert_eq!(element.attribute("b"), Some(text.as_str()));
        }
    }
}
