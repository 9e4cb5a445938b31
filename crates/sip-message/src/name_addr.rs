//! Addresses with a display name and parameters: From, To, Contact, Route and their kin.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::Fault;
use crate::params::{Params, ParamsView, write_quoted};
use crate::scan::{Scan, TOKEN, is, trim, unfold, unquote};
use crate::uri::{Uri, UriView, ends_bare_uri};
use crate::value::{Value, read_whole};

/// `name-addr` or `addr-spec`, with the header's parameters (RFC 3261 §20.10, §25.1). Always
/// written with angle brackets, so that the parameters cannot be taken for the URI's.
#[derive(Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, without quotes and escapes.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// The header's parameters, such as `tag`.
    pub params: Params,
}

impl NameAddr {
    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            params: Params::new(),
        }
    }

    /// The same with a display name.
    #[must_use]
    pub fn with_display(mut self, display: impl Into<String>) -> Self {
        self.display = Some(display.into());
        self
    }

    /// The same with a tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.set_tag(tag);
        self
    }

    /// Reads an address with its parameters.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        read_whole(text.as_bytes())
    }

    /// The tag of a From or To.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// Sets the tag of a From or To.
    pub fn set_tag(&mut self, tag: &str) {
        self.params.set("tag", tag);
    }
}

impl From<Uri> for NameAddr {
    fn from(uri: Uri) -> Self {
        Self::new(uri)
    }
}

impl FromStr for NameAddr {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::parse(text)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write_quoted(f, display)?;
            f.write_str(" ")?;
        }
        write!(f, "<{}>", self.uri)?;
        self.params.write_in_header(f)
    }
}

impl From<NameAddrView<'_>> for NameAddr {
    fn from(view: NameAddrView<'_>) -> Self {
        Self {
            display: view.display().map(Cow::into_owned),
            uri: view.uri.into(),
            params: view.params.into(),
        }
    }
}

impl<'a> Value<'a> for NameAddr {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        NameAddrView::read(scan).map(Self::from)
    }
}

/// An address as borrowed from a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NameAddrView<'a> {
    display: Display<'a>,
    /// The address.
    pub uri: UriView<'a>,
    /// The header's parameters.
    pub params: ParamsView<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Display<'a> {
    None,
    Quoted(&'a [u8]),
    Tokens(&'a [u8]),
}

impl<'a> NameAddrView<'a> {
    /// The display name as text, without quotes and escapes.
    pub fn display(&self) -> Option<Cow<'a, str>> {
        match self.display {
            Display::None => None,
            Display::Quoted(inner) => Some(unquote(inner)),
            Display::Tokens(tokens) => Some(unfold(tokens)),
        }
    }

    /// The tag of a From or To.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.token("tag")
    }

    /// Whether the display name has characters that should have been quoted.
    pub fn has_sloppy_display(&self) -> bool {
        match self.display {
            Display::Tokens(tokens) => !tokens
                .iter()
                .all(|byte| is(*byte, TOKEN) || crate::scan::is_lws(*byte)),
            _ => false,
        }
    }

    fn read_bracketed(scan: &mut Scan<'a>) -> Result<UriView<'a>, Fault> {
        if !scan.eat(b'<') {
            return Err(Fault::Bracket);
        }
        let raw = scan.take_while(|byte| byte != b'>');
        if !scan.eat(b'>') {
            return Err(Fault::Bracket);
        }
        UriView::read(raw)
    }

    fn read_address(scan: &mut Scan<'a>) -> Result<(Display<'a>, UriView<'a>), Fault> {
        match scan.peek() {
            None => return Err(Fault::Empty),
            Some(b'"') => {
                let inner = scan.quoted()?;
                scan.lws();
                return Ok((Display::Quoted(inner), Self::read_bracketed(scan)?));
            }
            Some(b'<') => return Ok((Display::None, Self::read_bracketed(scan)?)),
            Some(_) => {}
        }
        // Tokens before `<` are a display name; whatever could only belong to the next element or
        // to parameters before any `<` shows that the URI stands bare.
        let start = scan.at();
        let name = scan.take_while(|byte| !matches!(byte, b'<' | b',' | b';' | b'"' | 0));
        if scan.peek() == Some(b'<') {
            return Ok((Display::Tokens(trim(name)), Self::read_bracketed(scan)?));
        }
        if scan.peek() == Some(b'"') {
            return Err(Fault::DisplayName);
        }
        scan.back_to(start);
        let raw = scan.take_while(|byte| !ends_bare_uri(byte));
        if scan.peek() == Some(b'?') {
            return Err(Fault::BareUri);
        }
        Ok((Display::None, UriView::read(raw)?))
    }
}

impl<'a> Value<'a> for NameAddrView<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        scan.lws();
        let (display, uri) = Self::read_address(scan)?;
        let params = ParamsView::read(scan)?;
        Ok(Self {
            display,
            uri,
            params,
        })
    }
}

impl fmt::Display for NameAddrView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NameAddr::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests;
