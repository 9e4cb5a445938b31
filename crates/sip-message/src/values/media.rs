//! What a body is and what bodies are welcome: Content-Type, Accept and kin (RFC 3261 §20.1–20.3,
//! §20.15).

use std::fmt;

use crate::error::Fault;
use crate::params::{Params, ParamsView};
use crate::scan::Scan;
use crate::value::{Value, read_whole};

/// A media type: Content-Type, or an element of Accept, where `*` may stand for either half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `application`, `multipart`, …; as sent.
    pub kind: String,
    /// `sdp`, `mixed`, …; as sent.
    pub subtype: String,
    /// Parameters: `boundary`, `charset`, in Accept also `q`.
    pub params: Params,
}

impl MediaType {
    /// A media type without parameters.
    pub fn new(kind: impl Into<String>, subtype: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            subtype: subtype.into(),
            params: Params::new(),
        }
    }

    /// Reads a media type.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        read_whole(text.as_bytes())
    }

    /// Whether it is this type, without regard to case and parameters.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// `application/sdp`.
    pub fn is_sdp(&self) -> bool {
        self.is("application", "sdp")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.subtype)?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for MediaType {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let kind = scan.token()?.to_owned();
        scan.expect(b'/', Fault::Separator)?;
        let subtype = scan.token()?.to_owned();
        Ok(Self {
            kind,
            subtype,
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// An element of Accept-Encoding or Accept-Language, with its `q`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coding {
    /// The token: `gzip`, `en-gb`, `*`, …
    pub name: String,
    /// Parameters, `q` among them.
    pub params: Params,
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for Coding {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let name = scan.token()?.to_owned();
        Ok(Self {
            name,
            params: ParamsView::read(scan)?.into(),
        })
    }
}
