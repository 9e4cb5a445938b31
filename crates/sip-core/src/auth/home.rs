//! Whose servers and realms an account's password is for.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr};

use sip_message::{Host, Scheme, Uri};

use super::Strength;
use crate::path::Path;

/// How many addresses of our own servers are remembered; the oldest give way.
const MOST_ADDRESSES: usize = 64;
/// How many realms are remembered.
const MOST_REALMS: usize = 16;

/// The servers that an account belongs to, and the realms that are known to be theirs.
///
/// Anybody can challenge a request that reaches them, and whoever gets a digest answer can guess
/// passwords against it at leisure. So a challenge is answered only when it comes from a place
/// where one of these servers was found; the realm that it names anybody can write. The default
/// has no such place: nobody gets an answer.
///
/// A proxy hands on what the called party asks for, and who is called cannot be told from the proxy
/// then. So the account's own password is shown in no weaker way than the registration, which ends
/// at our own server, showed it: that is the floor.
#[derive(Clone, Debug, Default)]
pub struct Home {
    servers: Vec<Uri>,
    addresses: VecDeque<SocketAddr>,
    realms: Vec<String>,
    floor: Option<Strength>,
}

impl Home {
    /// The account's own servers, as next hops: registrar, outbound proxy, Service-Route, and the
    /// domain of its address.
    #[must_use]
    pub fn new(servers: Vec<Uri>) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// One more server of the account.
    pub fn add_server(&mut self, server: Uri) {
        self.servers.push(server);
    }

    /// An address at which one of the servers was met: a registrar answered from it.
    pub fn add_address(&mut self, address: SocketAddr) {
        if self.addresses.contains(&address) {
            return;
        }
        if self.addresses.len() >= MOST_ADDRESSES {
            self.addresses.pop_front();
        }
        self.addresses.push_back(address);
    }

    /// A realm in which the account has its login: one that a registration was granted in. What is
    /// asked for in it is the account's own login, and not one of the server behind.
    pub fn add_realm(&mut self, realm: impl Into<String>) {
        let realm = realm.into();
        if self.realms.len() < MOST_REALMS && !self.realms.contains(&realm) {
            self.realms.push(realm);
        }
    }

    /// How the registration showed the password: no challenge that is weaker is answered with it.
    pub fn set_floor(&mut self, floor: Option<Strength>) {
        self.floor = floor;
    }

    /// The weakest way in which the password is shown; `None` for any.
    #[must_use]
    pub fn floor(&self) -> Option<Strength> {
        self.floor
    }

    /// The account's own servers.
    #[must_use]
    pub fn servers(&self) -> &[Uri] {
        &self.servers
    }

    /// The addresses at which one of them was met, the oldest first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().copied()
    }

    /// The realms in which the account has its login for certain.
    #[must_use]
    pub fn realms(&self) -> &[String] {
        &self.realms
    }

    /// Takes note of where a next hop was found (RFC 3263); that of a stranger teaches nothing.
    pub fn learn(&mut self, hop: &Uri, paths: &[Path]) {
        if self.is_server(hop) {
            paths.iter().for_each(|path| self.add_address(path.remote));
        }
    }

    /// Whether a next hop is one of the servers: the same host and port. With a `maddr` a request
    /// goes elsewhere (RFC 3261 §19.1.1), and anybody can write one behind our server's name.
    #[must_use]
    pub fn is_server(&self, hop: &Uri) -> bool {
        let same = |server: &Uri| {
            host_of(server) == host_of(hop)
                && port(server) == port(hop)
                && server.params.get("maddr") == hop.params.get("maddr")
        };
        self.servers.iter().any(same)
    }

    /// Whether one of the servers was found or met at this address.
    #[must_use]
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether the account has its login in this realm for certain.
    #[must_use]
    pub fn has_realm(&self, realm: &str) -> bool {
        self.realms.iter().any(|known| known == realm)
    }
}

/// The host of a URI as hosts are compared.
pub(super) fn host_of(uri: &Uri) -> String {
    host_name(&uri.host.to_string())
}

/// A host as hosts are compared: small letters, no dot at the end, and an IPv6 address in brackets and as short as it
/// gets.
pub(super) fn host_name(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(text).parse::<Ipv6Addr>() {
        Ok(address) => Host::V6(address).to_string(),
        Err(_) => text.to_ascii_lowercase(),
    }
}

/// The port that a URI means (RFC 3261 §19.1.2).
fn port(uri: &Uri) -> u16 {
    let secure = uri.scheme == Scheme::Sips
        || uri
            .params
            .get("transport")
            .is_some_and(|transport| transport.eq_ignore_ascii_case("tls"));
    uri.port.unwrap_or(if secure { 5061 } else { 5060 })
}
