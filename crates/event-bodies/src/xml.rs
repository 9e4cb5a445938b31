//! XML as small trees, bounded, and written with everything escaped.

use std::fmt::Write;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::{BodyError, Scope};

/// An element with what is in it. Names are without their prefix.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    text: String,
}

/// A larger body is not read.
const LARGEST: usize = 256 * 1024;
/// Elements inside each other.
const DEEPEST: usize = 24;
const MOST_ELEMENTS: usize = 8192;
/// Attributes of one element; further ones are passed over.
const MOST_ATTRIBUTES: usize = 32;

impl Element {
    /// Reads a document whose root has this name.
    pub(crate) fn read(body: &[u8], root: &str) -> Result<Self, BodyError> {
        let element = read(body)?;
        if element.name == root {
            Ok(element)
        } else {
            Err(BodyError::SomethingElse(element.name))
        }
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of an attribute, on its own.
    pub(crate) fn owned<T: From<String>>(&self, name: &str) -> Option<T> {
        self.attribute(name).map(|value| T::from(value.to_owned()))
    }

    /// The value of an attribute that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.attribute(name)?.trim().parse().ok()
    }

    /// The first child with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children with this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the element, without blanks around it and what nobody can see; `None` when there is none.
    pub(crate) fn text<T: From<String>>(&self) -> Option<T> {
        let unseen =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        let text = self.text.trim_matches(unseen);
        (!text.is_empty()).then(|| T::from(text.to_owned()))
    }

    /// The text of the first child with this name.
    pub(crate) fn text_of<T: From<String>>(&self, name: &str) -> Option<T> {
        self.child(name)?.text()
    }

    /// The attributes `version` and `state` of the root.
    pub(crate) fn version_and_scope(&self) -> Result<(u32, Scope), BodyError> {
        let version = self
            .number("version")
            .ok_or(BodyError::Missing("a version"))?;
        let scope = match self.attribute("state") {
            Some("partial") => Scope::Partial,
            _ => Scope::Full,
        };
        Ok((version, scope))
    }
}

fn read(body: &[u8]) -> Result<Element, BodyError> {
    if body.len() > LARGEST {
        return Err(BodyError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::NotUtf8)?;
    let ill = |error: &dyn std::fmt::Display| BodyError::IllFormed(error.to_string());
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    let mut elements = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| ill(&error))?;
        match event {
            Event::Start(_) | Event::Empty(_) if root.is_some() => {
                return Err(ill(&"a second root"));
            }
            Event::Start(start) => {
                elements += 1;
                if elements > MOST_ELEMENTS || open.len() >= DEEPEST {
                    return Err(BodyError::TooManyElements);
                }
                open.push(begun(&start)?);
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > MOST_ELEMENTS {
                    return Err(BodyError::TooManyElements);
                }
                close(begun(&start)?, &mut open, &mut root);
            }
            Event::End(_) => {
                let element = open.pop().ok_or_else(|| ill(&"an end without a begin"))?;
                close(element, &mut open, &mut root);
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    let text = text.xml10_content().map_err(|error| ill(&error))?;
                    element.text.push_str(&text);
                }
            }
            Event::CData(text) => {
                if let Some(element) = open.last_mut() {
                    let text = text.xml10_content().map_err(|error| ill(&error))?;
                    element.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let named = reference.decode().map_err(|error| ill(&error))?;
                let known = match reference.resolve_char_ref().map_err(|error| ill(&error))? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_xml_entity(&named)
                        .ok_or(BodyError::Declaration)?
                        .to_owned(),
                };
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&known);
                }
            }
            Event::DocType(_) => return Err(BodyError::Declaration),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if !open.is_empty() => return Err(ill(&"it ends too early")),
            Event::Eof => return root.ok_or_else(|| ill(&"there is no element")),
        }
    }
}

fn begun(start: &BytesStart<'_>) -> Result<Element, BodyError> {
    let local = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut element = Element {
        name: local(start.local_name().as_ref()),
        ..Element::default()
    };
    let mut attributes = start.attributes();
    // Looking for doubles costs the square of their number; the first one counts.
    attributes.with_checks(false);
    for attribute in attributes.take(MOST_ATTRIBUTES) {
        let attribute = attribute.map_err(|error| BodyError::IllFormed(error.to_string()))?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|_| BodyError::Declaration)?;
        element.attributes.push((
            local(attribute.key.local_name().as_ref()),
            value.into_owned(),
        ));
    }
    Ok(element)
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

/// Writes a document, element by element.
pub(crate) struct Writer {
    text: String,
    open: Vec<&'static str>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
            open: Vec::new(),
        }
    }

    /// Begins an element; attributes without a value are left out.
    pub(crate) fn begin(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)]) {
        self.tag(name, attributes);
        self.text.push('>');
        self.open.push(name);
    }

    /// Ends the element begun last.
    pub(crate) fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            let _ = write!(self.text, "</{name}>");
        }
    }

    /// An element with nothing in it.
    pub(crate) fn empty(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)]) {
        self.tag(name, attributes);
        self.text.push_str("/>");
    }

    /// An element with a text, or nothing when there is none.
    pub(crate) fn text(
        &mut self,
        name: &'static str,
        attributes: &[(&str, Option<&str>)],
        text: Option<&str>,
    ) {
        if let Some(text) = text {
            self.begin(name, attributes);
            push_escaped(&mut self.text, text);
            self.end();
        }
    }

    /// The document.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.text.push('\n');
        self.text.into_bytes()
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, Option<&str>)]) {
        let _ = write!(self.text, "<{name}");
        for (name, value) in attributes {
            if let Some(value) = value {
                let _ = write!(self.text, " {name}=\"");
                push_escaped(&mut self.text, value);
                self.text.push('"');
            }
        }
    }
}

/// Escapes what XML gives a meaning, and leaves out what it cannot say at all (XML 1.0 §2.2).
fn push_escaped(to: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '&' => to.push_str("&amp;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&apos;"),
            // Bare, a reader would turn them into blanks in an attribute.
            '\t' | '\n' | '\r' => {
                let _ = write!(to, "&#{};", u32::from(character));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => to.push(character),
        }
    }
}
