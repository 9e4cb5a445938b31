//! What only this switchboard can write: keyed digests (RFC 2104), and the flow tokens by which a
//! request inside a dialog goes where the dialog was made (RFC 5626 §5.2, RFC 3261 §16.6 step 4).
//!
//! ```text
//!  Record-Route: <sip:TOKEN@192.0.2.9:5060;transport=udp;lr>
//!
//!  TOKEN = base64url( way to the caller | way to the callee | MAC )
//!  MAC   = HMAC-SHA-256( key, Call-ID | caller's tag | the two ways ), its first 96 bits
//! ```
//!
//! A token is good in its own dialog only, and leads to its own two phones only, whatever has been
//! registered since and by whom. Nothing is kept for it. The key is drawn when the switchboard starts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sip_core::{Destination, FlowId, Path, Seed, Transport};
use sip_message::{HeaderName, Request};

/// Octets of the MAC in a token: 96 bits, as many as RFC 2404 finds enough.
const MAC_OCTETS: usize = 12;
/// Who is refused for want of room may come again after so many seconds, up to twice as many.
const RETRY_AFTER_S: u32 = 5;
/// Longest token that is looked at: two ways over IPv6.
const TOKEN: usize = 256;

/// A key that nobody else has.
pub(crate) struct Secret(Seed);

impl Secret {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(seed)
    }

    /// A digest of these words that only we can make; their number and lengths count as well.
    fn mac(&self, words: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0.0).expect("HMAC takes a key of any length");
        for word in words {
            mac.update(&(word.len() as u64).to_be_bytes());
            mac.update(word);
        }
        mac
    }

    /// Thirty-two bits of such a digest: enough for something that must match by itself among few.
    pub(crate) fn short(&self, words: &[&[u8]]) -> u32 {
        let digest = self.mac(words).finalize().into_bytes();
        let mut reader = Reader(&digest);
        reader.u32().unwrap_or_default()
    }

    /// Seconds after which somebody may try again for whom there was no room (RFC 3261 §20.33), apart
    /// from each other, so that not all come at once.
    pub(crate) fn retry_after(&self, request: &Request) -> u32 {
        let call_id = request.headers.get(HeaderName::CallId).unwrap_or_default();
        RETRY_AFTER_S + self.short(&[b"later", call_id.as_bytes()]) % RETRY_AFTER_S
    }

    /// Twenty-four hexadecimal digits of such a digest.
    pub(crate) fn digits(&self, words: &[&[u8]]) -> String {
        let digest = self.mac(words).finalize().into_bytes();
        let octets = digest.iter().take(MAC_OCTETS);
        octets.map(|octet| format!("{octet:02x}")).collect()
    }
}

/// The way to one side of a dialog, as it was when the dialog was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) destination: Destination,
    /// Digest of the address of record that was reached there; zero when it was none of ours.
    pub(crate) owner: u32,
    /// Digest of the Contact that was known then.
    pub(crate) contact: u32,
}

/// Both sides of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) caller: Hop,
    pub(crate) callee: Hop,
}

impl Ways {
    /// The token for a dialog that the caller opens with this Call-ID and From tag.
    pub(crate) fn seal(&self, secret: &Secret, call_id: &str, caller_tag: &str) -> String {
        let mut octets = Vec::with_capacity(TOKEN);
        write_hop(&self.caller, &mut octets);
        write_hop(&self.callee, &mut octets);
        let mac = dialog_mac(secret, call_id, caller_tag, &octets);
        let mac = mac.finalize().into_bytes();
        octets.extend(mac.iter().take(MAC_OCTETS));
        base64url(&octets)
    }

    /// Reads a token; `None` unless it was made here for this very dialog.
    pub(crate) fn open(
        secret: &Secret,
        token: &str,
        call_id: &str,
        caller_tag: &str,
    ) -> Option<Self> {
        let octets = from_base64url(token)?;
        let (ways, mac) = octets.split_at_checked(octets.len().checked_sub(MAC_OCTETS)?)?;
        // In constant time: how much of a guess was right is nobody's business.
        dialog_mac(secret, call_id, caller_tag, ways)
            .verify_truncated_left(mac)
            .ok()?;
        let mut reader = Reader(ways);
        let ways = Self {
            caller: reader.hop()?,
            callee: reader.hop()?,
        };
        reader.0.is_empty().then_some(ways)
    }
}

fn dialog_mac(secret: &Secret, call_id: &str, caller_tag: &str, ways: &[u8]) -> Hmac<Sha256> {
    secret.mac(&[b"dialog", call_id.as_bytes(), caller_tag.as_bytes(), ways])
}

const TRANSPORTS: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

fn write_hop(hop: &Hop, to: &mut Vec<u8>) {
    let path = hop.destination.path();
    let transport = TRANSPORTS.iter().position(|t| *t == path.transport);
    to.push(transport.unwrap_or_default() as u8);
    // Flows are counted from one: zero says that there is none.
    let flow = match hop.destination {
        Destination::Flow { id, .. } => id.0,
        Destination::Path(_) => 0,
    };
    to.extend(flow.to_be_bytes());
    for addr in [path.remote, path.local] {
        match addr {
            SocketAddr::V4(v4) => {
                to.push(4);
                to.extend(v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                to.push(6);
                to.extend(v6.ip().octets());
                to.extend(v6.scope_id().to_be_bytes());
            }
        }
        to.extend(addr.port().to_be_bytes());
    }
    to.extend(hop.owner.to_be_bytes());
    to.extend(hop.contact.to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.octets().map(u32::from_be_bytes)
    }

    fn addr(&mut self) -> Option<SocketAddr> {
        let [version] = self.octets()?;
        let (ip, scope): (IpAddr, u32) = match version {
            4 => (Ipv4Addr::from(self.octets::<4>()?).into(), 0),
            6 => (Ipv6Addr::from(self.octets::<16>()?).into(), self.u32()?),
            _ => return None,
        };
        let port = u16::from_be_bytes(self.octets()?);
        Some(match ip {
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
            IpAddr::V4(_) => SocketAddr::new(ip, port),
        })
    }

    fn hop(&mut self) -> Option<Hop> {
        let [transport] = self.octets()?;
        let transport = *TRANSPORTS.get(usize::from(transport))?;
        let flow = u64::from_be_bytes(self.octets()?);
        let path = Path {
            transport,
            remote: self.addr()?,
            local: self.addr()?,
        };
        Some(Hop {
            destination: match flow {
                0 => Destination::Path(path),
                id => Destination::Flow {
                    id: FlowId(id),
                    path,
                },
            },
            owner: self.u32()?,
            contact: self.u32()?,
        })
    }
}

/// RFC 4648 §5, without padding: all of it may stand in the user part of a URI as it is.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64url(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let bits = chunk
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
        for place in 0..=chunk.len() {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let digit = DIGITS.get(digit as usize).copied().unwrap_or(b'A');
            text.push(char::from(digit));
        }
    }
    text
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    if text.len() > TOKEN {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let digit = match chunk.get(place) {
                Some(digit) => DIGITS.iter().position(|known| known == digit)?,
                None => 0,
            };
            bits = bits << 6 | digit as u32;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        let whole = chunk.len().checked_sub(1).filter(|octets| *octets > 0)?;
        octets.extend([first, second, third].iter().take(whole));
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: u64) -> Secret {
        Secret::new(Seed::from_number(number))
    }

    fn ways() -> Ways {
        let path = |transport, remote: &str, local: &str| Path {
            transport,
            remote: remote.parse().expect("an address"),
            local: local.parse().expect("an address"),
        };
        Ways {
            caller: Hop {
                destination: Destination::Flow {
                    id: FlowId(u64::MAX - 7),
                    path: path(Transport::Wss, "[fe80::1%3]:5061", "[2001:db8::9]:443"),
                },
                owner: 0xdead_beef,
                contact: 1,
            },
            callee: Hop {
                destination: Destination::Path(path(
                    Transport::Udp,
                    "192.0.2.1:5060",
                    "192.0.2.9:5062",
                )),
                owner: 0,
                contact: u32::MAX,
            },
        }
    }

    #[test]
    fn a_token_is_read_back_in_its_own_dialog_and_nowhere_else() {
        let token = ways().seal(&secret(1), "call", "tag");
        assert!(token.bytes().all(|b| DIGITS.contains(&b)), "{token}");
        assert_eq!(Ways::open(&secret(1), &token, "call", "tag"), Some(ways()));
        assert_eq!(Ways::open(&secret(1), &token, "other", "tag"), None);
        assert_eq!(Ways::open(&secret(1), &token, "call", "other"), None);
        // The border between Call-ID and tag counts.
        assert_eq!(Ways::open(&secret(1), &token, "callt", "ag"), None);
        assert_eq!(Ways::open(&secret(2), &token, "call", "tag"), None);
    }

    #[test]
    fn no_changed_or_cut_token_is_taken() {
        let token = ways().seal(&secret(1), "call", "tag");
        for at in 0..token.len() {
            let cut = token.get(..at).expect("ASCII");
            assert_eq!(Ways::open(&secret(1), cut, "call", "tag"), None, "{at}");
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            // The last digit may hold bits that stand for nothing.
            if from_base64url(&changed) != from_base64url(&token) {
                assert_eq!(Ways::open(&secret(1), &changed, "call", "tag"), None);
            }
        }
        for bad in ["", "A", "%", "aé", &"A".repeat(10_000)] {
            assert_eq!(Ways::open(&secret(1), bad, "call", "tag"), None);
        }
    }

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64url(octets.as_bytes()), text);
            assert_eq!(from_base64url(text).as_deref(), Some(octets.as_bytes()));
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }
}
