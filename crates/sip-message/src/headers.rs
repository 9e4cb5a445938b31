//! The header fields of a message that is ours to change.

use std::borrow::Borrow;

use crate::error::HeaderError;
use crate::header_name::HeaderName;
use crate::scan::unfold;
use crate::value::{Elements, Value, read_whole};
use crate::view::{HeaderView, malformed};

mod typed;

/// Header fields in their order, unknown ones among them.
///
/// Values are text without folds. A field that came from a peer remembers the octets it was sent
/// in, as long as nobody replaces it.
#[derive(Clone, Default)]
pub struct Headers {
    fields: Vec<Field>,
    touched: bool,
}

/// One header field.
#[derive(Clone)]
pub struct Field {
    name: HeaderName,
    value: String,
    /// The line as it was sent, where that is not `Name: value` in our spelling.
    line: Option<Box<[u8]>>,
}

impl Field {
    /// The name; empty where a peer's line was no header field.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }

    pub(crate) fn line(&self) -> Option<&[u8]> {
        self.line.as_deref()
    }

    fn received(view: &HeaderView<'_>) -> Self {
        let name = view
            .header_name()
            .unwrap_or_else(|| HeaderName::Other("".into()));
        let value = unfold(view.value).into_owned();
        let plain = view
            .line
            .strip_prefix(name.as_str().as_bytes())
            .and_then(|rest| rest.strip_prefix(b": "));
        // A NUL may stand escaped in quotes; ours are written without.
        let same = view.is_field() && plain == Some(value.as_bytes()) && !value.contains('\0');
        // A stray CR must not travel on: the next reader may take it for a line end.
        let stray = has_stray_end(view.line);
        let line = (!same && !stray).then(|| view.line.into());
        Self { name, value, line }
    }
}

/// Whether a CR or LF stands in a line other than in a fold.
fn has_stray_end(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(at) = crate::view::find_line_end(rest) {
        let end = rest.get(at..).unwrap_or_default();
        rest = match end {
            [b'\r', b'\n', b' ' | b'\t', after @ ..] | [b'\n', b' ' | b'\t', after @ ..] => after,
            _ => return true,
        };
    }
    false
}

/// Two fields are equal when they say the same, however they were spelt.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Eq for Field {}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Headers {}

impl Headers {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn from_lines<'a>(lines: impl Iterator<Item = HeaderView<'a>>) -> Self {
        Self {
            fields: lines.map(|line| Field::received(&line)).collect(),
            touched: false,
        }
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<HeaderName>, value: impl ToString) {
        self.insert(self.fields.len(), name.into(), value.to_string());
    }

    /// Adds a field in front of the others of its name, or of all where it is the first: the place
    /// of a new Via, Route or Record-Route.
    pub fn insert_first(&mut self, name: impl Into<HeaderName>, value: impl ToString) {
        let name = name.into();
        let position = self
            .fields
            .iter()
            .position(|field| field.name == name)
            .unwrap_or(0);
        self.insert(position, name, value.to_string());
    }

    /// Replaces the fields of a name by one, in the place of the first, or at the end.
    pub fn set(&mut self, name: impl Into<HeaderName>, value: impl ToString) {
        let name = name.into();
        let position = self.fields.iter().position(|field| field.name == name);
        self.remove(&name);
        self.insert(
            position.unwrap_or(self.fields.len()),
            name,
            value.to_string(),
        );
    }

    /// Takes out every field of a name; tells how many there were.
    pub fn remove(&mut self, name: impl Borrow<HeaderName>) -> usize {
        let before = self.fields.len();
        self.fields.retain(|field| field.name != *name.borrow());
        self.touched = true;
        before - self.fields.len()
    }

    /// Takes out the first *element* of a list header (such as the topmost Via), which is its
    /// first field where that holds one element only. Returns the element's text. What cannot be
    /// read as a list goes as a whole field.
    pub fn remove_first(&mut self, name: impl Borrow<HeaderName>) -> Option<String> {
        let position = self
            .fields
            .iter()
            .position(|field| field.name == *name.borrow())?;
        self.touched = true;
        let field = self.fields.get_mut(position)?;
        let end = first_element_end(&field.value);
        match field.value.split_at_checked(end) {
            Some((first, rest)) if !rest.is_empty() => {
                let first = first.trim().to_owned();
                field.value = rest.get(1..).unwrap_or_default().trim().to_owned();
                field.line = None;
                Some(first)
            }
            _ => Some(self.fields.remove(position).value),
        }
    }

    /// Replaces the first element of a list header and leaves the others of its field alone.
    pub fn replace_first(&mut self, name: impl Borrow<HeaderName>, value: impl ToString) {
        let name = name.borrow();
        self.touched = true;
        let Some(field) = self.fields.iter_mut().find(|field| field.name == *name) else {
            self.push(name.clone(), value);
            return;
        };
        let end = first_element_end(&field.value);
        let rest = field.value.get(end..).unwrap_or_default();
        field.value = format!("{}{rest}", value.to_string());
        field.line = None;
    }

    /// The fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: impl Borrow<HeaderName>) -> bool {
        self.get(name).is_some()
    }

    /// The value of the first field of a name, unsplit.
    pub fn get(&self, name: impl Borrow<HeaderName>) -> Option<&str> {
        let name = name.borrow();
        self.fields
            .iter()
            .find(|field| field.name == *name)
            .map(Field::value)
    }

    /// The values of all fields of a name, each unsplit.
    pub fn get_all<N: Borrow<HeaderName>>(
        &self,
        name: N,
    ) -> impl Iterator<Item = &str> + use<'_, N> {
        self.fields
            .iter()
            .filter(move |field| field.name == *name.borrow())
            .map(Field::value)
    }

    /// The first field of a name, read as one value.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn one<'a, T: Value<'a>>(&'a self, name: HeaderName) -> Result<T, HeaderError> {
        let Some(value) = self.get(&name) else {
            return Err(HeaderError::Missing(name));
        };
        read_whole(value.as_bytes()).map_err(|fault| malformed(&name, fault))
    }

    /// All elements of a list header, over all its fields; none where it is missing.
    ///
    /// # Errors
    /// Malformed, when one element is.
    pub fn list<'a, T: Value<'a>>(&'a self, name: HeaderName) -> Result<Vec<T>, HeaderError> {
        let elements: Result<Vec<T>, _> = self
            .get_all(&name)
            .filter(|value| !value.is_empty())
            .flat_map(|value| Elements::new(value.as_bytes()))
            .collect();
        elements.map_err(|fault| malformed(&name, fault))
    }

    /// The first element of a list header.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn first<'a, T: Value<'a>>(&'a self, name: HeaderName) -> Result<T, HeaderError> {
        let Some(value) = self.get(&name) else {
            return Err(HeaderError::Missing(name));
        };
        let first = Elements::new(value.as_bytes()).next();
        first
            .unwrap_or(Err(crate::Fault::Empty))
            .map_err(|fault| malformed(&name, fault))
    }

    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    fn insert(&mut self, position: usize, name: HeaderName, value: String) {
        self.touched = true;
        self.fields.insert(
            position.min(self.fields.len()),
            Field {
                name,
                value,
                line: None,
            },
        );
    }
}

/// Where the first comma is that stands neither in quotes nor in angle brackets.
fn first_element_end(value: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    let mut bracketed = false;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests;
