//! STUN binding requests and their answers, as far as they need no secrets: keepalives on the SIP port
//! (RFC 5626 §4.4.2, §8), and on the media port where others see us and what keeps the way to us open
//! (RFC 8489; RFC 6263 §4.4).
//!
//! The first two bits of a STUN message are zero and those of SIP, RTP and RTCP never are, so all fit
//! on one port. No attribute but XOR-MAPPED-ADDRESS is read or written: no secrets, no FINGERPRINT.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What names a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// A STUN message that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Somebody asks where we see them.
    Request(TransactionId),
    /// Somebody tells us where they see us; `None` when they do not say.
    Success(TransactionId, Option<SocketAddr>),
    /// Somebody does not want to tell. It is an answer all the same: the flow is alive.
    Error(TransactionId),
}

/// A binding indication: nobody answers it, and a router that sees it keeps the way open (RFC 8489 §2, RFC 6263 §4.4).
#[must_use]
pub fn indication(id: TransactionId) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    let (head, name) = bytes.split_at_mut(8);
    head[..2].copy_from_slice(&INDICATION.to_be_bytes());
    head[4..].copy_from_slice(&COOKIE.to_be_bytes());
    name.copy_from_slice(&id.0);
    bytes
}

/// Whether a datagram is STUN and not SIP, RTP or RTCP.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xc0 == 0)
        && datagram.get(4..8) == Some(&COOKIE.to_be_bytes())
}

/// Whether it says who is meant, as checks of ICE do (RFC 8445 §7.2.2).
pub fn names_somebody(datagram: &[u8]) -> bool {
    username(datagram).is_some()
}

/// The value of USERNAME (RFC 8489 §14.3), which nobody has vouched for yet; none where the message is broken.
pub fn username(datagram: &[u8]) -> Option<&[u8]> {
    crate::message::View::parse(datagram)?.get(crate::message::USERNAME)
}

/// Whether it is STUN that wants an answer, of whatever method (RFC 8489 §5).
pub fn is_request(datagram: &[u8]) -> bool {
    is_stun(datagram) && class(datagram) == Some(0)
}

/// Whether it is STUN that is one, a success or an error.
pub fn is_answer(datagram: &[u8]) -> bool {
    is_stun(datagram) && matches!(class(datagram), Some(0x0100 | 0x0110))
}

/// The two bits of the class among those of the method (RFC 8489 §5, figure 3).
fn class(datagram: &[u8]) -> Option<u16> {
    let kind = datagram.first_chunk().map(|kind| u16::from_be_bytes(*kind));
    kind.map(|kind| kind & 0x0110)
}

impl Binding {
    /// Reads a datagram; `None` for anything else and anything broken.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (id, kind) = head(datagram)?;
        let attributes = datagram.get(HEAD..)?;
        match kind {
            REQUEST => Some(Self::Request(id)),
            SUCCESS => Some(Self::Success(id, mapped(attributes, id))),
            ERROR => Some(Self::Error(id)),
            _ => None,
        }
    }

    /// The message to send. An error carries no reason: nobody here sends one.
    pub fn to_bytes(self) -> Vec<u8> {
        let (kind, id, attributes) = match self {
            Self::Request(id) => (REQUEST, id, Vec::new()),
            Self::Success(id, mapped) => {
                let attribute = mapped.map(|addr| xor_mapped(addr, id)).unwrap_or_default();
                (SUCCESS, id, attribute)
            }
            Self::Error(id) => (ERROR, id, Vec::new()),
        };
        let length = u16::try_from(attributes.len()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(HEAD + attributes.len());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(COOKIE.to_be_bytes());
        bytes.extend(id.0);
        bytes.extend(attributes);
        bytes
    }
}

/// Name and kind of a message, if it is as long as it says.
pub(crate) fn head(datagram: &[u8]) -> Option<(TransactionId, u16)> {
    if !is_stun(datagram) {
        return None;
    }
    let (head, attributes) = datagram.split_at_checked(HEAD)?;
    let length = usize::from(u16::from_be_bytes([*head.get(2)?, *head.get(3)?]));
    if length != attributes.len() || length % 4 != 0 {
        return None;
    }
    let id = TransactionId(head.get(8..)?.try_into().ok()?);
    Some((id, u16::from_be_bytes([*head.first()?, *head.get(1)?])))
}

/// The first XOR-MAPPED-ADDRESS among the attributes (RFC 8489 §14.2).
fn mapped(mut attributes: &[u8], id: TransactionId) -> Option<SocketAddr> {
    loop {
        let (head, rest) = attributes.split_at_checked(4)?;
        let kind = u16::from_be_bytes([*head.first()?, *head.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*head.get(2)?, *head.get(3)?]));
        let value = rest.get(..length)?;
        if kind == XOR_MAPPED_ADDRESS {
            return unmask(value, id);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// The address in the value of MAPPED-ADDRESS and its like (RFC 8489 §14.1).
pub(crate) fn plain(value: &[u8]) -> Option<SocketAddr> {
    let (head, address) = value.split_at_checked(4)?;
    let port = u16::from_be_bytes([*head.get(2)?, *head.get(3)?]);
    let ip: IpAddr = match *head.get(1)? {
        IPV4 => Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into(),
        IPV6 => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The address in the value of XOR-MAPPED-ADDRESS and its like (RFC 8489 §14.2).
pub(crate) fn unmask(value: &[u8], id: TransactionId) -> Option<SocketAddr> {
    plain(value).map(|masked| masked_by(masked, id))
}

/// The value of XOR-MAPPED-ADDRESS and its like.
pub(crate) fn mask(address: SocketAddr, id: TransactionId) -> Vec<u8> {
    let masked = masked_by(address, id);
    let (family, octets) = match masked.ip() {
        IpAddr::V4(ip) => (IPV4, ip.octets().to_vec()),
        IpAddr::V6(ip) => (IPV6, ip.octets().to_vec()),
    };
    let mut bytes = vec![0, family];
    bytes.extend(masked.port().to_be_bytes());
    bytes.extend(octets);
    bytes
}

/// Masks, and takes the mask off.
fn masked_by(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) ^ COOKIE).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) ^ mask_v6(id)).into(),
    };
    SocketAddr::new(ip, address.port() ^ PORT_MASK)
}

fn xor_mapped(addr: SocketAddr, id: TransactionId) -> Vec<u8> {
    let value = mask(addr, id);
    let length = u16::try_from(value.len()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(24);
    bytes.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
    bytes
}

/// The cookie followed by the transaction id.
fn mask_v6(id: TransactionId) -> u128 {
    let low =
        id.0.iter()
            .fold(0_u128, |mask, byte| mask << 8 | u128::from(*byte));
    u128::from(COOKIE) << 96 | low
}

/// The head of every message.
pub(crate) const HEAD: usize = 20;
pub(crate) const COOKIE: u32 = 0x2112_a442;
/// The upper half of the cookie.
const PORT_MASK: u16 = 0x2112;
const REQUEST: u16 = 0x0001;
const INDICATION: u16 = 0x0011;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const IPV4: u8 = 1;
const IPV6: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sample IPv4 response of RFC 5769 §2.2, without the attributes that need a secret.
    #[test]
    fn the_sample_of_rfc_5769_is_read() {
        let id = [
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ];
        let mut bytes = vec![0x01, 0x01, 0x00, 0x1c, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend(id);
        bytes.extend([0x80, 0x22, 0x00, 0x0b]);
        bytes.extend(*b"test vector ");
        bytes.extend([0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47]);
        bytes.extend([0xe1, 0x12, 0xa6, 0x43]);
        let mapped = "192.0.2.1:32853".parse().ok();
        assert_eq!(
            Binding::read(&bytes),
            Some(Binding::Success(TransactionId(id), mapped))
        );
    }

    #[test]
    fn an_indication_is_stun_that_asks_for_nothing() {
        let bytes = indication(TransactionId([7; 12]));
        assert!(is_stun(&bytes));
        assert_eq!(Binding::read(&bytes), None);
        assert_eq!(bytes[..8], [0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(bytes[8..], [7; 12]);
    }

    /// RFC 8489 §5, and the methods of RFC 8656 §17.
    #[test]
    fn who_asks_and_who_answers_is_told_apart_whatever_it_is_about() {
        let mut bytes = indication(TransactionId([7; 12]));
        for (kind, asks, answers) in [
            (0x0001_u16, true, false),
            (0x0011, false, false),
            (0x0101, false, true),
            (0x0111, false, true),
            (0x0004, true, false),
            (0x0017, false, false),
            (0x0104, false, true),
            (0x0119, false, true),
        ] {
            bytes[..2].copy_from_slice(&kind.to_be_bytes());
            assert_eq!(is_request(&bytes), asks, "{kind:#x}");
            assert_eq!(is_answer(&bytes), answers, "{kind:#x}");
        }
        bytes[4] = 0;
        assert!(!is_request(&bytes) && !is_answer(&bytes));
        assert!(!is_request(&[]) && !is_answer(&[0x01]));
    }

    #[test]
    fn sip_is_not_taken_for_stun() {
        assert!(!is_stun(b"REGISTER sip:example.org SIP/2.0\r\n\r\n"));
        assert!(!is_stun(b"\r\n\r\n"));
        assert!(!is_stun(b""));
        assert!(is_stun(
            &Binding::Request(TransactionId([7; 12])).to_bytes()
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(id: [u8; 12], v4: [u8; 4], v6: [u8; 16], port: u16, kind in 0..5) {
            let id = TransactionId(id);
            let binding = match kind {
                0 => Binding::Request(id),
                1 => Binding::Success(id, Some(SocketAddr::new(v4.into(), port))),
                2 => Binding::Success(id, Some(SocketAddr::new(v6.into(), port))),
                3 => Binding::Success(id, None),
                _ => Binding::Error(id),
            };
            prop_assert_eq!(Binding::read(&binding.to_bytes()), Some(binding));
        }

        #[test]
        fn nothing_panics(head in 0_u8..64, mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let cookie = COOKIE.to_be_bytes();
            for (place, byte) in bytes.iter_mut().skip(4).zip(cookie) {
                *place = byte;
            }
            if let Some(first) = bytes.first_mut() {
                *first = head;
            }
            let _ = Binding::read(&bytes);
            let _ = (username(&bytes), is_request(&bytes), is_answer(&bytes));
            // With the announced length put right, the attributes are looked at, too.
            if let (Ok(length), Some(place)) = (u16::try_from(bytes.len().saturating_sub(HEAD)), bytes.get_mut(2..4)) {
                place.copy_from_slice(&length.to_be_bytes());
            }
            let _ = (Binding::read(&bytes), username(&bytes));
        }
    }
}
