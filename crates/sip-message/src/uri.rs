//! URIs: sip, sips, tel and whatever else stands in their place (RFC 3261 §19.1, RFC 3966).

use std::fmt;
use std::str::FromStr;

use crate::error::{Fault, UriError};
use crate::host::{Host, HostView, read_port};
use crate::params::{Params, ParamsView, read_escaped, write_escaped};
use crate::scan::{PASSWORD, Scan, URI_HEADER, USER, ascii, is_lws};

/// A URI's scheme. Schemes are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip`.
    Sip,
    /// `sips`.
    Sips,
    /// `tel`, RFC 3966.
    Tel,
    /// Any other, in lower case.
    Other(Box<str>),
}

impl Scheme {
    /// The scheme without its colon.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }

    /// `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        matches!(self, Self::Sip | Self::Sips)
    }

    fn from_text(text: &str) -> Self {
        [Self::Sip, Self::Sips, Self::Tel]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
            .unwrap_or_else(|| Self::Other(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A URI.
///
/// The derived equality is structural: it tells whether two values are written alike. Whether two
/// URIs *mean* the same is [`Uri::equivalent`], which is not an equivalence relation (a parameter
/// that only one of them has is mostly ignored) and so is not `PartialEq`.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part as sent, escapes included; for tel the number.
    pub user: Option<String>,
    /// The password, which nobody should send.
    pub password: Option<String>,
    /// The host; an empty name where the scheme has none.
    pub host: Host,
    /// The port, where one is given.
    pub port: Option<u16>,
    /// Parameters, of sip, sips and tel.
    pub params: Params,
    /// Headers behind `?`, as sent, escapes included.
    pub headers: Vec<(String, String)>,
    /// Everything behind the colon, for schemes other than sip, sips and tel.
    pub opaque: Option<String>,
}

impl Uri {
    /// `sip:host`, without anything else.
    pub fn sip(host: Host) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: None,
            password: None,
            host,
            port: None,
            params: Params::new(),
            headers: Vec::new(),
            opaque: None,
        }
    }

    /// The same with a user part; what a user part cannot hold is escaped on writing.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The same with a port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        Self::parse_bytes(text.as_bytes())
    }

    /// Reads a URI from octets.
    ///
    /// # Errors
    /// The first rule of the grammar that the octets break.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, UriError> {
        UriView::parse(bytes).map(Self::from)
    }

    /// The user part with its escapes resolved.
    pub fn user_decoded(&self) -> Option<String> {
        self.user.as_deref().map(decode)
    }

    /// The host of a sip or sips URI, `None` for other schemes.
    pub fn sip_host(&self) -> Option<&Host> {
        self.scheme.is_sip().then_some(&self.host)
    }

    /// Whether `lr` marks a loose router. `lr=on` and the like count (a wide-spread mistake),
    /// `lrx` does not.
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }

    /// The URI without parameters, headers, password and port: an address of record (§10.3).
    #[must_use]
    pub fn address_of_record(&self) -> Self {
        let mut aor = self.clone();
        aor.password = None;
        aor.port = None;
        aor.params = Params::new();
        aor.headers.clear();
        aor
    }

    /// A number (`tel:`) as an address where the numbers of `home` are (RFC 3261 §19.1.6): without visual separators, with
    /// the prefix that its `phone-context` has, and `user=phone`. `None` for any other URI, and for what holds no number
    /// (RFC 3966 §3).
    #[must_use]
    pub fn number_at(&self, home: &Self) -> Option<Self> {
        if self.scheme != Scheme::Tel {
            return None;
        }
        let number = visual_digits(self.user.as_deref());
        // What is read is made of digits, but there may be none among the separators.
        if number.trim_start_matches('+').is_empty() {
            return None;
        }
        let context = visual_digits(self.params.get("phone-context"));
        let is_local = context.starts_with('+') && !number.starts_with('+');
        let mut uri = Self {
            user: Some(if is_local { context + &number } else { number }),
            password: None,
            headers: Vec::new(),
            ..home.clone()
        };
        uri.params.set("user", "phone");
        Some(uri)
    }

    /// Whether two URIs mean the same by RFC 3261 §19.1.4 (sip, sips) or RFC 3966 §4 (tel).
    pub fn equivalent(&self, other: &Self) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                escaped_eq(self.user.as_deref(), other.user.as_deref())
                    && escaped_eq(self.password.as_deref(), other.password.as_deref())
                    && self.host.equivalent(&other.host)
                    && self.port == other.port
                    && params_equivalent(&self.params, &other.params)
                    && headers_equivalent(&self.headers, &other.headers)
            }
            Scheme::Tel => {
                visual_digits(self.user.as_deref()) == visual_digits(other.user.as_deref())
                    && self.params.len() == other.params.len()
                    && self.params.iter().all(|(name, _)| {
                        let theirs = first_named(&other.params, name);
                        theirs.is_some() && first_named(&self.params, name) == theirs
                    })
            }
            Scheme::Other(_) => self.opaque == other.opaque,
        }
    }
}

/// Value of the first parameter of this name, where a name that is escaped is the same name: what is
/// compared. Outside `None`: there is no such parameter.
fn first_named(params: &Params, name: &str) -> Option<Option<String>> {
    let plain = |text: &str| decode(text).to_ascii_lowercase();
    let wanted = plain(name);
    params
        .iter()
        .find(|(other, _)| plain(other) == wanted)
        .map(|(_, value)| value.map(plain))
}

/// A number without the visual separators of RFC 3966 §3.
fn visual_digits(number: Option<&str>) -> String {
    number
        .unwrap_or_default()
        .chars()
        .filter(|char| !"-.()".contains(*char))
        .map(|char| char.to_ascii_lowercase())
        .collect()
}

fn escaped_eq(one: Option<&str>, two: Option<&str>) -> bool {
    one == two || one.map(decode) == two.map(decode)
}

/// `user`, `ttl`, `method` and `maddr` never match their absence; any other parameter is compared
/// only where both URIs have it. Of a parameter that stands there twice the first counts, so that every
/// URI is equivalent to itself. `transport` joins the four: its default is not its absence.
fn params_equivalent(one: &Params, two: &Params) -> bool {
    let decisive = ["user", "ttl", "method", "maddr", "transport"];
    decisive.iter().all(|name| one.has(name) == two.has(name))
        && one.iter().all(|(name, _)| match first_named(two, name) {
            Some(value) => first_named(one, name) == Some(value),
            None => true,
        })
}

fn headers_equivalent(one: &[(String, String)], two: &[(String, String)]) -> bool {
    let covered = |here: &[(String, String)], there: &[(String, String)]| {
        here.iter().all(|(name, value)| {
            there.iter().any(|(other, text)| {
                decode(name).eq_ignore_ascii_case(&decode(other)) && decode(value) == decode(text)
            })
        })
    };
    one.len() == two.len() && covered(one, two) && covered(two, one)
}

/// Text with its `%` escapes resolved; octets that are then not UTF-8 are replaced.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%'
            && let [one, two, behind @ ..] = after
            && let (Some(one), Some(two)) = (hex(*one), hex(*two))
        {
            plain.push(one << 4 | two);
            rest = behind;
        } else {
            plain.push(*byte);
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(opaque) = &self.opaque {
            return f.write_str(opaque);
        }
        if let Some(user) = &self.user {
            // `;` in a number would begin a parameter of a tel URI.
            write_escaped(f, user, USER)?;
            if let Some(password) = &self.password {
                f.write_str(":")?;
                write_escaped(f, password, PASSWORD)?;
            }
            if self.scheme.is_sip() {
                f.write_str("@")?;
            }
        }
        if self.scheme.is_sip() {
            write!(f, "{}", self.host)?;
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        self.params.write_in_uri(f)?;
        for (position, (name, value)) in self.headers.iter().enumerate() {
            f.write_str(if position == 0 { "?" } else { "&" })?;
            write_escaped(f, name, URI_HEADER)?;
            f.write_str("=")?;
            write_escaped(f, value, URI_HEADER)?;
        }
        Ok(())
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl From<UriView<'_>> for Uri {
    fn from(view: UriView<'_>) -> Self {
        Self {
            scheme: Scheme::from_text(view.scheme),
            user: view.user.map(str::to_owned),
            password: view.password.map(str::to_owned),
            host: view
                .host
                .map_or_else(|| Host::Name(String::new()), Host::from),
            port: view.port,
            params: view.params.into(),
            headers: view
                .headers()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            opaque: view.opaque.map(str::to_owned),
        }
    }
}

/// A URI as borrowed from a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UriView<'a> {
    /// The whole URI, as sent.
    pub raw: &'a [u8],
    /// The scheme, as sent.
    pub scheme: &'a str,
    /// The user part as sent, escapes included; for tel the number.
    pub user: Option<&'a str>,
    /// The password.
    pub password: Option<&'a str>,
    /// The host of sip and sips URIs.
    pub host: Option<HostView<'a>>,
    /// The port, where one is given.
    pub port: Option<u16>,
    /// Parameters, of sip, sips and tel.
    pub params: ParamsView<'a>,
    /// Everything behind `?`.
    query: &'a str,
    /// Everything behind the colon, for schemes other than sip, sips and tel.
    pub opaque: Option<&'a str>,
}

impl<'a> UriView<'a> {
    /// Reads a URI that fills the octets.
    ///
    /// # Errors
    /// The first rule of the grammar that the octets break.
    pub fn parse(raw: &'a [u8]) -> Result<Self, UriError> {
        Self::read(raw).map_err(UriError)
    }

    /// The headers behind `?`, as sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// Whether there are headers behind `?`.
    pub fn has_headers(&self) -> bool {
        !self.query.is_empty()
    }

    pub(crate) fn read(raw: &'a [u8]) -> Result<Self, Fault> {
        let mut scan = Scan::new(raw);
        let scheme = scan.take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scan.eat(b':') {
            return Err(Fault::Scheme);
        }
        let mut uri = Self {
            raw,
            scheme: ascii(scheme),
            user: None,
            password: None,
            host: None,
            port: None,
            params: ParamsView::default(),
            query: "",
            opaque: None,
        };
        if uri.scheme.eq_ignore_ascii_case("sip") || uri.scheme.eq_ignore_ascii_case("sips") {
            uri.read_sip(&mut scan)?;
        } else if uri.scheme.eq_ignore_ascii_case("tel") {
            uri.read_tel(&mut scan)?;
        } else {
            uri.read_opaque(&mut scan)?;
        }
        if scan.peek().is_some() {
            Err(Fault::UriCharacter)
        } else {
            Ok(uri)
        }
    }

    fn read_sip(&mut self, scan: &mut Scan<'a>) -> Result<(), Fault> {
        if scan.rest().contains(&b'@') {
            let user = read_escaped(scan, USER)?;
            if user.is_empty() {
                return Err(Fault::User);
            }
            self.user = Some(user);
            if scan.eat(b':') {
                self.password = Some(read_escaped(scan, PASSWORD)?);
            }
            if !scan.eat(b'@') {
                return self.read_sip_without_user(scan);
            }
        }
        self.read_host_part(scan)
    }

    /// An `@` that stands behind the host, in a parameter or a header, where it should have been
    /// escaped: the URI has no user part after all.
    fn read_sip_without_user(&mut self, scan: &mut Scan<'a>) -> Result<(), Fault> {
        scan.back_to(self.scheme.len() + 1);
        self.user = None;
        self.password = None;
        if scan
            .rest()
            .iter()
            .take_while(|byte| **byte != b';')
            .any(|byte| *byte == b'@')
        {
            return Err(Fault::User);
        }
        self.read_host_part(scan)
    }

    fn read_host_part(&mut self, scan: &mut Scan<'a>) -> Result<(), Fault> {
        self.host = Some(HostView::read(scan)?);
        if scan.eat(b':') {
            self.port = Some(read_port(scan)?);
        }
        self.params = ParamsView::read_in_uri(scan)?;
        if scan.eat(b'?') {
            let start = scan.at();
            loop {
                read_escaped(scan, URI_HEADER)?;
                if !scan.eat(b'=') && !scan.eat(b'&') {
                    break;
                }
            }
            self.query = ascii(scan.since(start));
        }
        Ok(())
    }

    /// `telephone-subscriber`: digits, the keys a to d, `*`, `#` and visual separators.
    fn read_tel(&mut self, scan: &mut Scan<'a>) -> Result<(), Fault> {
        let number = scan.take_while(|byte| byte.is_ascii_hexdigit() || b"+*#-.()".contains(&byte));
        if number.is_empty() {
            return Err(Fault::User);
        }
        self.user = Some(ascii(number));
        self.params = ParamsView::read_in_uri(scan)?;
        Ok(())
    }

    fn read_opaque(&mut self, scan: &mut Scan<'a>) -> Result<(), Fault> {
        let opaque =
            scan.take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"'));
        if opaque.is_empty() {
            return Err(Fault::Empty);
        }
        self.opaque = Some(ascii(opaque));
        Ok(())
    }
}

impl fmt::Display for UriView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(self.raw))
    }
}

/// Whether a byte ends a URI that no angle brackets enclose (RFC 3261 §20).
pub(crate) fn ends_bare_uri(byte: u8) -> bool {
    matches!(byte, b';' | b',' | b'?') || is_lws(byte)
}

#[cfg(test)]
mod tests;
