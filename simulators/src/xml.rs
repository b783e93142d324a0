//! Just enough XML for simulators: a tree that is written in the dialect wanted, and a reader that keeps local names.

use std::fmt::{Display, Write};

/// How deep a document may nest.
const DEPTH: usize = 64;

/// An element. Names are local: prefixes are lost in reading and chosen in writing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn text(name: &str, text: impl Display) -> Self {
        Self {
            text: text.to_string(),
            ..Self::new(name)
        }
    }

    pub fn attribute(mut self, name: &str, value: impl Display) -> Self {
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn with(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub fn with_text(self, name: &str, text: impl Display) -> Self {
        self.with(Self::text(name, text))
    }

    /// For what may be absent.
    pub fn maybe_text(self, name: &str, text: Option<impl Display>) -> Self {
        match text {
            Some(text) => self.with_text(name, text),
            None => self,
        }
    }

    pub fn with_all(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// The first child of this name, whatever its case.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name.eq_ignore_ascii_case(name))
    }

    /// The text of the element at a path of children.
    pub fn at(&self, path: &[&str]) -> Option<&str> {
        let found = path.iter().try_fold(self, |element, name| element.child(name))?;
        Some(found.text.trim())
    }

    /// Writes the element; `prefix` stands before each name.
    pub fn write(&self, prefix: &str) -> String {
        let mut out = String::new();
        self.write_into(prefix, &mut out);
        out
    }

    fn write_into(&self, prefix: &str, out: &mut String) {
        let name = &self.name;
        // Writing to a String can't fail.
        let _ = write!(out, "<{prefix}{name}");
        for (attribute, value) in &self.attributes {
            let _ = write!(out, " {attribute}=\"{}\"", escape(value));
        }
        if self.text.is_empty() && self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        out.push_str(&escape(&self.text));
        for child in &self.children {
            child.write_into(prefix, out);
        }
        let _ = write!(out, "</{prefix}{name}>");
    }

    /// Reads a document; `None` where it isn't one.
    pub fn parse(document: &str) -> Option<Self> {
        let mut reader = Reader { rest: document };
        reader.skip_prolog()?;
        let root = reader.element(0)?;
        reader.skip_prolog();
        reader.rest.trim().is_empty().then_some(root)
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let Some((entity, after)) = behind.split_once(';') else {
            out.push('&');
            rest = behind;
            continue;
        };
        out.push(character(entity).unwrap_or('\u{fffd}'));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        numeric => {
            let digits = numeric.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Blanks, the declaration and comments. A document type is refused.
    fn skip_prolog(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("<?") {
                self.until("?>")?;
            } else if self.rest.starts_with("<!--") {
                self.until("-->")?;
            } else {
                return Some(());
            }
        }
    }

    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, behind) = self.rest.split_once(end)?;
        self.rest = behind;
        Some(before)
    }

    fn element(&mut self, depth: usize) -> Option<Element> {
        self.rest = self.rest.strip_prefix('<')?;
        let tag = self.tag()?;
        let (tag, empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let end = tag.find(|c: char| c.is_whitespace()).unwrap_or(tag.len());
        let name = &tag[..end];
        if depth > DEPTH || name.is_empty() || name.starts_with(['!', '/', '?']) {
            return None;
        }
        let mut element = Element::new(local(name));
        element.attributes = attributes(&tag[end..])?;
        if empty {
            return Some(element);
        }
        self.content(&mut element, name, depth)?;
        Some(element)
    }

    /// The inside of a tag; `>` may stand in a quoted value.
    fn tag(&mut self) -> Option<&'a str> {
        let mut quote = None;
        for (at, character) in self.rest.char_indices() {
            match (quote, character) {
                (None, '>') => {
                    let tag = &self.rest[..at];
                    self.rest = &self.rest[at + 1..];
                    return Some(tag);
                }
                (None, '"' | '\'') => quote = Some(character),
                (Some(open), close) if open == close => quote = None,
                _ => {}
            }
        }
        None
    }

    fn content(&mut self, element: &mut Element, name: &str, depth: usize) -> Option<()> {
        loop {
            let start = self.rest.find('<')?;
            element.text.push_str(&unescape(&self.rest[..start]));
            self.rest = &self.rest[start..];
            if let Some(behind) = self.rest.strip_prefix("</") {
                self.rest = behind;
                return (self.until(">")?.trim_end() == name).then_some(());
            }
            if let Some(behind) = self.rest.strip_prefix("<![CDATA[") {
                self.rest = behind;
                element.text.push_str(self.until("]]>")?);
            } else if self.rest.starts_with("<!--") {
                self.until("-->")?;
            } else if self.rest.starts_with("<?") {
                self.until("?>")?;
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn attributes(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let quote = behind.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, behind) = behind[1..].split_once(quote)?;
        found.push((local(name.trim()).to_owned(), unescape(value)));
        rest = behind.trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_are_lost_and_text_comes_back_as_it_was() {
        let document = "<?xml version=\"1.0\"?><!-- x --><a:Root xmlns:a='u>v' a:kind=\"b\"><a:id> N&lt;12&gt; </a:id>\
            <empty/><c><![CDATA[<&>]]></c></a:Root>";
        let root = Element::parse(document).expect("a document");
        assert_eq!((root.name.as_str(), root.at(&["ID"])), ("Root", Some("N<12>")));
        assert_eq!(root.at(&["c"]), Some("<&>"));
        assert_eq!(root.attributes[1], ("kind".to_owned(), "b".to_owned()));
        assert_eq!(root.child("c").expect("c").write(""), "<c>&lt;&amp;&gt;</c>");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<!DOCTYPE a><a/>",
            "<a b></a>",
            "<a b=c/>",
            "<></>",
        ] {
            assert_eq!(Element::parse(bad), None, "{bad}");
        }
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        assert_eq!(Element::parse(&deep), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[<>/a:=\"'&;#x! \\[\\]CDAT?-]{0,64}|.{0,64}") {
            let _ = Element::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(text in "[^\r\u{0}-\u{1f}]{0,20}", value in "[^\r\u{0}-\u{1f}]{0,20}") {
            let element = Element::new("r").attribute("v", value).with(Element::text("c", text));
            prop_assert_eq!(Element::parse(&element.write("p:")), Some(element));
        }
    }
}
