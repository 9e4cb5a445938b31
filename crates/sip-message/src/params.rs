//! Parameters: of URIs (`;lr`) and of headers (`;tag=…`), which differ in how they are written.

use std::borrow::Cow;
use std::fmt;

use crate::error::Fault;
use crate::scan::{STRICT_URI_PARAM, Scan, TOKEN, URI_PARAM, VALUE, ascii, is, unquote};

/// Parameters in the order they were sent. Names are compared without regard to case; a value
/// stands without its quotes. Equality is structural, but for the quotes that were not needed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

#[derive(Clone)]
struct Param {
    name: String,
    value: Option<String>,
    quoted: bool,
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Eq for Param {}

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value, in place where the name is there already, else at the end. Quotes or
    /// escapes are added on writing where the value needs them.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.put(name.into(), Some(value.into()), false);
    }

    /// Like [`Params::set`], always written as a quoted string.
    pub fn set_quoted(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.put(name.into(), Some(value.into()), true);
    }

    /// Sets a parameter that has no value, such as `lr`.
    pub fn set_flag(&mut self, name: impl Into<String>) {
        self.put(name.into(), None, false);
    }

    /// Takes the parameter out; tells whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0
            .retain(|param| !param.name.eq_ignore_ascii_case(name));
        self.0.len() != before
    }

    /// The value; `None` both where the name is missing and where it has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name)?.value.as_deref()
    }

    /// Whether the name is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|param| (param.name.as_str(), param.value.as_deref()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Option<&Param> {
        self.0
            .iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
    }

    fn put(&mut self, name: String, value: Option<String>, quoted: bool) {
        match self
            .0
            .iter_mut()
            .find(|param| param.name.eq_ignore_ascii_case(&name))
        {
            Some(param) => {
                param.value = value;
                param.quoted = quoted;
            }
            None => self.0.push(Param {
                name,
                value,
                quoted,
            }),
        }
    }

    pub(crate) fn push(&mut self, view: ParamView<'_>) {
        self.0.push(Param {
            name: view.name.to_owned(),
            value: view.value().map(Cow::into_owned),
            quoted: view.quoted,
        });
    }

    /// Writes them as a header's parameters, each behind `;`, quoting what is not a token.
    pub(crate) fn write_in_header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            write!(f, ";{}", param.name)?;
            if let Some(value) = &param.value {
                f.write_str("=")?;
                write_header_value(f, value, param.quoted)?;
            }
        }
        Ok(())
    }

    /// Writes them as authentication parameters, separated by commas.
    pub(crate) fn write_with_commas(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, param) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{}", param.name)?;
            if let Some(value) = &param.value {
                f.write_str("=")?;
                write_header_value(f, value, param.quoted)?;
            }
        }
        Ok(())
    }

    /// Writes them as a URI's parameters. More is read than written: a stricter reader would take
    /// what stands before a bare `@` for the user.
    pub(crate) fn write_in_uri(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            f.write_str(";")?;
            write_escaped(f, &param.name, STRICT_URI_PARAM)?;
            if let Some(value) = &param.value {
                f.write_str("=")?;
                write_escaped(f, value, STRICT_URI_PARAM)?;
            }
        }
        Ok(())
    }
}

fn write_header_value(f: &mut fmt::Formatter<'_>, value: &str, quoted: bool) -> fmt::Result {
    // A host is also allowed bare (`gen-value`), which an IPv6 address in `received` relies on.
    let bare = !value.is_empty()
        && value
            .bytes()
            .all(|byte| is(byte, TOKEN) || b"[]:".contains(&byte));
    if bare && !quoted {
        return f.write_str(value);
    }
    write_quoted(f, value)
}

/// Writes a quoted string; what a quoted string cannot hold becomes a space.
pub(crate) fn write_quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    use fmt::Write;
    f.write_char('"')?;
    for char in value.chars() {
        match char {
            '"' | '\\' => write!(f, "\\{char}")?,
            '\r' | '\n' | '\0' => f.write_char(' ')?,
            _ => f.write_char(char)?,
        }
    }
    f.write_char('"')
}

/// Writes text into a URI: characters of `class` and existing escapes as they are, others escaped.
pub(crate) fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str, class: u16) -> fmt::Result {
    use fmt::Write;
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let escape = *byte == b'%'
            && matches!(after, [one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit());
        if escape || is(*byte, class) {
            f.write_char(char::from(*byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
        rest = after;
    }
    Ok(())
}

impl From<ParamsView<'_>> for Params {
    fn from(view: ParamsView<'_>) -> Self {
        let mut params = Self::new();
        for param in view.iter() {
            params.push(param);
        }
        params
    }
}

/// One parameter as borrowed from a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ParamView<'a> {
    /// The name, as sent.
    pub name: &'a str,
    /// The octets of the value, without the quotes.
    pub raw: Option<&'a [u8]>,
    /// Whether the value stood in quotes.
    pub quoted: bool,
}

impl<'a> ParamView<'a> {
    /// The value as text, its escapes resolved.
    pub fn value(&self) -> Option<Cow<'a, str>> {
        let raw = self.raw?;
        Some(if self.quoted {
            unquote(raw)
        } else {
            crate::scan::text(raw)
        })
    }

    /// `name [= value]` of a header.
    pub(crate) fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let name = scan.token()?;
        if !scan.separator(b'=') {
            return Ok(Self {
                name,
                raw: None,
                quoted: false,
            });
        }
        if scan.peek() == Some(b'"') {
            return Ok(Self {
                name,
                raw: Some(scan.quoted()?),
                quoted: true,
            });
        }
        let raw = scan.take(VALUE);
        if raw.is_empty() {
            return Err(Fault::Param);
        }
        Ok(Self {
            name,
            raw: Some(raw),
            quoted: false,
        })
    }

    /// `name [= value]` of a URI: no white space, no quotes, valid escapes only.
    fn read_in_uri(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let name = read_escaped(scan, URI_PARAM)?;
        if !scan.eat(b'=') {
            return Ok(Self {
                name,
                raw: None,
                quoted: false,
            });
        }
        // A second `=` (base 64 in a parameter) belongs to the value.
        let start = scan.at();
        loop {
            read_escaped(scan, URI_PARAM)?;
            if !scan.eat(b'=') {
                break;
            }
        }
        Ok(Self {
            name,
            raw: Some(scan.since(start)),
            quoted: false,
        })
    }
}

/// A run of characters of `class` and of escapes, perhaps empty.
pub(crate) fn read_escaped<'a>(scan: &mut Scan<'a>, class: u16) -> Result<&'a str, Fault> {
    let start = scan.at();
    loop {
        scan.take(class);
        if !scan.eat(b'%') {
            return Ok(ascii(scan.since(start)));
        }
        for _ in 0..2 {
            if !scan.bump().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Err(Fault::Escape);
            }
        }
    }
}

/// Parameters as borrowed from a message; already checked, read again on each look.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ParamsView<'a> {
    raw: &'a [u8],
    in_uri: bool,
}

impl<'a> ParamsView<'a> {
    /// `*( SEMI generic-param )`, from here to the first thing that is not a parameter.
    pub(crate) fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let start = scan.at();
        let mut end = start;
        while scan.separator(b';') {
            // A parameter that is not there (`;;` or `;` at the end) is a fault of its own.
            ParamView::read(scan)?;
            end = scan.at();
        }
        scan.back_to(end);
        Ok(Self {
            raw: scan.since(start),
            in_uri: false,
        })
    }

    /// `*( ";" uri-parameter )`. A parameter that is not there is passed over.
    pub(crate) fn read_in_uri(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let start = scan.at();
        while scan.eat(b';') {
            ParamView::read_in_uri(scan)?;
        }
        Ok(Self {
            raw: scan.since(start),
            in_uri: true,
        })
    }

    /// The parameters in their order.
    pub fn iter(&self) -> impl Iterator<Item = ParamView<'a>> + use<'a> {
        let mut scan = Scan::new(self.raw);
        let in_uri = self.in_uri;
        std::iter::from_fn(move || {
            loop {
                if !scan.separator(b';') {
                    return None;
                }
                let param = if in_uri {
                    ParamView::read_in_uri(&mut scan).ok()?
                } else {
                    ParamView::read(&mut scan).ok()?
                };
                if !param.name.is_empty() {
                    return Some(param);
                }
            }
        })
    }

    /// The first parameter of that name.
    pub fn find(&self, name: &str) -> Option<ParamView<'a>> {
        self.iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// Whether the name is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The octets of the value as they were sent, without quotes.
    pub fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.find(name)?.raw
    }

    /// The value as text, its escapes resolved.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.find(name)?.value()
    }

    /// The value where it is a token, as nearly all are: a tag, a branch, a number.
    pub fn token(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.raw(name)?).ok()
    }
}
