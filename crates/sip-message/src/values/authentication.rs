//! Challenges and credentials (RFC 3261 §20.7, §20.44, §22; RFC 7616, RFC 8760, RFC 8898).

use std::fmt;

use crate::error::Fault;
use crate::params::{ParamView, Params};
use crate::scan::{Scan, TOKEN};
use crate::value::{Value, read_whole};

/// A challenge: WWW-Authenticate or Proxy-Authenticate. The grammar has one in each header line;
/// several joined by commas are read as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme: `Digest`, `Bearer`, …
    pub scheme: String,
    /// The parameters: `realm`, `nonce`, …
    pub params: Params,
}

impl Challenge {
    /// Reads one challenge.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        read_whole(text.as_bytes())
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The realm.
    pub fn realm(&self) -> Option<&str> {
        self.params.get("realm")
    }

    /// The nonce.
    pub fn nonce(&self) -> Option<&str> {
        self.params.get("nonce")
    }

    /// What is to be sent back as it is.
    pub fn opaque(&self) -> Option<&str> {
        self.params.get("opaque")
    }

    /// The algorithm; MD5 is meant where there is none.
    pub fn algorithm(&self) -> Option<&str> {
        self.params.get("algorithm")
    }

    /// Whether the nonce alone was the trouble, so that the password need not be asked again.
    pub fn is_stale(&self) -> bool {
        self.params
            .get("stale")
            .is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    }

    /// The qualities of protection offered: `auth`, `auth-int`.
    pub fn qop_options(&self) -> impl Iterator<Item = &str> {
        let options = self.params.get("qop").unwrap_or_default();
        options
            .split(',')
            .map(str::trim)
            .filter(|option| !option.is_empty())
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.scheme)?;
        self.params.write_with_commas(f)
    }
}

impl<'a> Value<'a> for Challenge {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let (scheme, params) = read_scheme(scan)?;
        Ok(Self { scheme, params })
    }
}

/// Credentials: Authorization or Proxy-Authorization.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The scheme: `Digest`, `Bearer`, …
    pub scheme: String,
    /// The parameters: `username`, `realm`, `nonce`, `uri`, `response`, …
    pub params: Params,
}

impl Credentials {
    /// Credentials without parameters yet.
    pub fn new(scheme: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            params: Params::new(),
        }
    }

    /// Reads one set of credentials.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        read_whole(text.as_bytes())
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The user name.
    pub fn username(&self) -> Option<&str> {
        self.params.get("username")
    }

    /// The realm.
    pub fn realm(&self) -> Option<&str> {
        self.params.get("realm")
    }

    /// The nonce.
    pub fn nonce(&self) -> Option<&str> {
        self.params.get("nonce")
    }

    /// The digest.
    pub fn response(&self) -> Option<&str> {
        self.params.get("response")
    }
}

/// A digest can be attacked off line and a bearer token is the key itself: neither belongs in a
/// log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.scheme)?;
        self.params.write_with_commas(f)
    }
}

impl<'a> Value<'a> for Credentials {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let (scheme, params) = read_scheme(scan)?;
        Ok(Self { scheme, params })
    }
}

/// Authentication-Info: what the server proves in turn, and its next nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationInfo {
    /// The parameters: `nextnonce`, `rspauth`, `qop`, `cnonce`, `nc`.
    pub params: Params,
}

impl fmt::Display for AuthenticationInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.params.write_with_commas(f)
    }
}

impl<'a> Value<'a> for AuthenticationInfo {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        Ok(Self {
            params: read_params(scan)?,
        })
    }
}

fn read_scheme(scan: &mut Scan<'_>) -> Result<(String, Params), Fault> {
    let scheme = scan.token()?.to_owned();
    let before = scan.at();
    scan.lws();
    if scan.at() == before {
        return Err(Fault::Separator);
    }
    Ok((scheme, read_params(scan)?))
}

/// Parameters up to the end, or to the comma that another scheme follows.
fn read_params(scan: &mut Scan<'_>) -> Result<Params, Fault> {
    let mut params = Params::new();
    loop {
        params.push(ParamView::read(scan)?);
        let end = scan.at();
        if !scan.separator(b',') || begins_scheme(*scan) {
            scan.back_to(end);
            return Ok(params);
        }
    }
}

/// Whether a word stands here that no `=` makes a parameter.
fn begins_scheme(mut scan: Scan<'_>) -> bool {
    let word = scan.take(TOKEN);
    !word.is_empty() && !scan.separator(b'=') && !scan.is_done()
}
