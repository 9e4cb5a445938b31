//! Via: the way that a request came and its answers go back (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::Fault;
use crate::host::{Host, HostView, read_ipv6, read_port};
use crate::params::{Params, ParamsView};
use crate::scan::{Scan, trim};
use crate::value::{Value, read_whole};

/// What a branch begins with that is unique over space and time (RFC 3261 §8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The transport as sent: `UDP`, `TCP`, `TLS`, `WS`, `WSS`, or any other token.
    pub transport: String,
    /// The host of `sent-by`.
    pub sent_by: Host,
    /// The port of `sent-by`, where one is given.
    pub port: Option<u16>,
    /// Parameters, `branch` among them.
    pub params: Params,
}

impl Via {
    /// A Via with a branch.
    pub fn new(
        transport: impl Into<String>,
        sent_by: Host,
        port: Option<u16>,
        branch: &str,
    ) -> Self {
        let mut params = Params::new();
        params.set("branch", branch);
        Self {
            transport: transport.into(),
            sent_by,
            port,
            params,
        }
    }

    /// Reads one Via.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        read_whole(text.as_bytes())
    }

    /// The branch.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Whether the branch is that of an element of RFC 3261: the magic cookie with something
    /// behind it. Otherwise transactions match by the rules of RFC 2543 (§17.2.3).
    pub fn has_magic_cookie(&self) -> bool {
        self.branch().is_some_and(has_cookie)
    }

    /// The address in `received`. An IPv6 address is taken with and without brackets
    /// (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        read_received(self.params.get("received")?)
    }

    /// The port in `rport`: `Some(None)` where the sender asks for it, `Some(Some(port))` where a
    /// server has filled it in (RFC 3581).
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.params.get("rport");
        self.params
            .has("rport")
            .then(|| value.and_then(|port| port.parse().ok()))
    }

    /// The host in `maddr`.
    pub fn maddr(&self) -> Option<Host> {
        Host::parse(self.params.get("maddr")?).ok()
    }

    /// Sets `received` to the address that the request came from.
    pub fn set_received(&mut self, address: IpAddr) {
        self.params.set("received", address.to_string());
    }

    /// Fills `rport` in.
    pub fn set_rport(&mut self, port: u16) {
        self.params.set("rport", port.to_string());
    }
}

fn has_cookie(branch: &str) -> bool {
    branch
        .split_at_checked(MAGIC_COOKIE.len())
        .is_some_and(|(cookie, rest)| cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty())
}

fn read_received(text: &str) -> Option<IpAddr> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match inner {
        Some(inner) => read_ipv6(inner).ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.sent_by)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.write_in_header(f)
    }
}

impl FromStr for Via {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::parse(text)
    }
}

impl From<ViaView<'_>> for Via {
    fn from(view: ViaView<'_>) -> Self {
        Self {
            transport: view.transport.to_owned(),
            sent_by: view.sent_by.into(),
            port: view.port,
            params: view.params.into(),
        }
    }
}

impl<'a> Value<'a> for Via {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        ViaView::read(scan).map(Self::from)
    }
}

/// A Via as borrowed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaView<'a> {
    /// The transport, as sent.
    pub transport: &'a str,
    /// The host of `sent-by`.
    pub sent_by: HostView<'a>,
    /// The port of `sent-by`, where one is given.
    pub port: Option<u16>,
    /// Parameters, `branch` among them.
    pub params: ParamsView<'a>,
}

impl<'a> ViaView<'a> {
    /// The branch.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.token("branch")
    }

    /// Whether the branch is that of an element of RFC 3261; see [`Via::has_magic_cookie`].
    pub fn has_magic_cookie(&self) -> bool {
        self.branch().is_some_and(has_cookie)
    }

    /// The address in `received`, with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        read_received(self.params.token("received")?)
    }

    /// The port in `rport`; see [`Via::rport`].
    pub fn rport(&self) -> Option<Option<u16>> {
        let param = self.params.find("rport")?;
        let digits = param
            .raw
            .and_then(|raw| std::str::from_utf8(trim(raw)).ok());
        Some(digits.and_then(|digits| digits.parse().ok()))
    }
}

impl<'a> Value<'a> for ViaView<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let protocol = scan.token()?;
        scan.expect(b'/', Fault::Separator)?;
        let version = scan.token()?;
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return Err(Fault::Version);
        }
        scan.expect(b'/', Fault::Separator)?;
        let transport = scan.token()?;
        let before = scan.at();
        scan.lws();
        if scan.at() == before {
            return Err(Fault::Separator);
        }
        let sent_by = HostView::read(scan)?;
        let port = if scan.separator(b':') {
            Some(read_port(scan)?)
        } else {
            None
        };
        let params = ParamsView::read(scan)?;
        Ok(Self {
            transport,
            sent_by,
            port,
            params,
        })
    }
}

#[cfg(test)]
mod tests;
