//! Headers that tell or ask something besides: Reason, Retry-After, Warning, Alert-Info and kin.

use std::fmt;

use crate::error::Fault;
use crate::params::{Params, ParamsView, write_quoted};
use crate::scan::{Scan, TOKEN, VALUE, ascii, text, unquote};
use crate::uri::{Uri, UriView};
use crate::value::Value;

/// A list element that is one token: Require, Supported, Content-Encoding, Allow-Events, …
pub(crate) struct Token(pub(crate) String);

impl<'a> Value<'a> for Token {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        scan.token().map(|token| Self(token.to_owned()))
    }
}

/// Privacy (RFC 3323 §4.2): tokens between semicolons; commas are sent as well.
pub(crate) struct PrivacyValue(pub(crate) Vec<String>);

impl<'a> Value<'a> for PrivacyValue {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let mut wishes = vec![scan.token()?.to_owned()];
        while scan.separator(b';') || scan.separator(b',') {
            wishes.push(scan.token()?.to_owned());
        }
        Ok(Self(wishes))
    }
}

/// Reason (RFC 3326): why a request was sent, such as a BYE or a CANCEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Whose code it is: `SIP`, `Q.850`, …
    pub protocol: String,
    /// Parameters: `cause` and `text`.
    pub params: Params,
}

impl Reason {
    /// A reason with its cause.
    pub fn new(protocol: impl Into<String>, cause: u16, text: &str) -> Self {
        let mut params = Params::new();
        params.set("cause", cause.to_string());
        params.set_quoted("text", text);
        Self {
            protocol: protocol.into(),
            params,
        }
    }

    /// The code.
    pub fn cause(&self) -> Option<u16> {
        self.params.get("cause")?.parse().ok()
    }

    /// The words for people.
    pub fn text(&self) -> Option<&str> {
        self.params.get("text")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for Reason {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let protocol = scan.token()?.to_owned();
        Ok(Self {
            protocol,
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// Answer-Mode and Priv-Answer-Mode (RFC 5373); also what else is a token with parameters, such as
/// Content-Disposition, Refer-Sub and the Security headers (RFC 3329).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The token: `Auto`, `Manual`, `session`, …
    pub mode: String,
    /// Parameters, such as `require`.
    pub params: Params,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mode)?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for Mode {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let mode = scan.token()?.to_owned();
        Ok(Self {
            mode,
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// User-to-User (RFC 7433): octets for the other side's application.
#[derive(Clone, PartialEq, Eq)]
pub struct UserToUser {
    /// The data, a token or the inside of a quoted string.
    pub data: String,
    /// Parameters: `purpose`, `content`, `encoding`.
    pub params: Params,
}

impl fmt::Display for UserToUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::scan::is_token(&self.data) {
            f.write_str(&self.data)?;
        } else {
            write_quoted(f, &self.data)?;
        }
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for UserToUser {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let data = if scan.peek() == Some(b'"') {
            unquote(scan.quoted()?).into_owned()
        } else {
            let data = scan.take(VALUE);
            if data.is_empty() {
                return Err(Fault::Empty);
            }
            text(data).into_owned()
        };
        Ok(Self {
            data,
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// Alert-Info, Call-Info and Error-Info: a URI with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriInfo {
    /// Where it is.
    pub uri: Uri,
    /// Parameters, such as `purpose` or `info`.
    pub params: Params,
}

impl fmt::Display for UriInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.uri)?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for UriInfo {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        if !scan.eat(b'<') {
            return Err(Fault::Bracket);
        }
        let uri = UriView::read(scan.take_while(|byte| byte != b'>'))?;
        if !scan.eat(b'>') {
            return Err(Fault::Bracket);
        }
        Ok(Self {
            uri: uri.into(),
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// Retry-After (RFC 3261 §20.33).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Seconds to wait.
    pub delay_s: u32,
    /// The comment, without its brackets.
    pub comment: Option<String>,
    /// Parameters, such as `duration`.
    pub params: Params,
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.delay_s)?;
        if let Some(comment) = &self.comment {
            write!(f, " ({comment})")?;
        }
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for RetryAfter {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let delay_s = super::Number::read(scan)?.0;
        scan.lws();
        let comment = if scan.peek() == Some(b'(') {
            Some(read_comment(scan)?)
        } else {
            None
        };
        Ok(Self {
            delay_s,
            comment,
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// `comment`: text in brackets, which nest.
fn read_comment(scan: &mut Scan<'_>) -> Result<String, Fault> {
    let start = scan.at();
    let mut depth = 0u32;
    loop {
        match scan.bump() {
            Some(b'(') => depth = depth.checked_add(1).ok_or(Fault::Bracket)?,
            Some(b')') => depth = depth.checked_sub(1).ok_or(Fault::Bracket)?,
            Some(b'\\') => {
                scan.bump().ok_or(Fault::Bracket)?;
            }
            Some(0) | None => return Err(Fault::Bracket),
            Some(_) => {}
        }
        if depth == 0 {
            let whole = scan.since(start);
            let inner = whole
                .get(1..whole.len().saturating_sub(1))
                .unwrap_or_default();
            return Ok(text(inner).into_owned());
        }
    }
}

/// Warning (RFC 3261 §20.43).
#[derive(Clone, PartialEq, Eq)]
pub struct Warning {
    /// Three digits; 3xx are about the session description.
    pub code: u16,
    /// Who warns: a host or a pseudonym.
    pub agent: String,
    /// The words for people.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} ", self.code, self.agent)?;
        write_quoted(f, &self.text)
    }
}

impl<'a> Value<'a> for Warning {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let start = scan.at();
        let code = scan.number_up_to(999)?;
        if scan.at() - start != 3 {
            return Err(Fault::Range);
        }
        scan.lws();
        let agent = scan.take_while(|byte| crate::scan::is(byte, TOKEN) || b"[]:".contains(&byte));
        if agent.is_empty() {
            return Err(Fault::Token);
        }
        scan.lws();
        let words = unquote(scan.quoted()?).into_owned();
        Ok(Self {
            code: u16::try_from(code).map_err(|_| Fault::Range)?,
            agent: ascii(agent).to_owned(),
            text: words,
        })
    }
}
