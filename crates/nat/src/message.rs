//! STUN messages with attributes and a secret (RFC 8489 §5, §9, §14), as TURN and ICE need them.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::stun::{self, COOKIE, HEAD, TransactionId};

/// What both sides know: the key of MESSAGE-INTEGRITY (RFC 8489 §9).
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// From name, realm and password (§9.2.2).
    pub(crate) fn new(username: &str, realm: &str, password: &str) -> Self {
        let mut hash = Md5::new();
        for part in [username, ":", realm, ":", password] {
            hash.update(part.as_bytes());
        }
        Self(Zeroizing::new(hash.finalize().to_vec()))
    }

    /// The password of one session (§9.1.1). Those of ICE have nothing that `OpaqueString` would change (RFC 8839 §5.4).
    pub(crate) fn short_term(password: &str) -> Self {
        Self(Zeroizing::new(password.as_bytes().to_vec()))
    }

    fn mac(&self) -> Hmac<Sha1> {
        Hmac::new_from_slice(&self.0[..]).expect("keys of every length are taken")
    }
}

/// A message that is being written.
pub(crate) struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    pub(crate) fn new(kind: u16, id: TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(COOKIE.to_be_bytes());
        bytes.extend(id.0);
        Self { bytes }
    }

    /// What was written goes on.
    #[cfg(test)]
    pub(crate) fn reopen(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Adds an attribute. One that is too long for any datagram is left out.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let Ok(length) = u16::try_from(value.len()) else {
            return self;
        };
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value);
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
        self
    }

    pub(crate) fn with_address(self, kind: u16, address: SocketAddr, id: TransactionId) -> Self {
        self.with(kind, &stun::mask(address, id))
    }

    /// The message, with a proof that we know the key where there is one, and FINGERPRINT (RFC 8489 §14.5, §14.7).
    pub(crate) fn finish(mut self, key: Option<&Key>) -> Vec<u8> {
        if let Some(key) = key {
            self.set_length(4 + PROOF);
            let proof = key.mac().chain_update(&self.bytes).finalize().into_bytes();
            self = self.with(MESSAGE_INTEGRITY, &proof);
        }
        self.set_length(8);
        let fingerprint = crc32(&self.bytes) ^ FINGERPRINT_MASK;
        self.with(FINGERPRINT, &fingerprint.to_be_bytes()).bytes
    }

    /// The length as it is once so many bytes more are there.
    fn set_length(&mut self, more: usize) {
        let length = (self.bytes.len() + more).saturating_sub(HEAD);
        let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(place) = self.bytes.get_mut(2..4) {
            place.copy_from_slice(&length);
        }
    }
}

/// A message that has come.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) kind: u16,
    pub(crate) id: TransactionId,
    datagram: &'a [u8],
}

impl<'a> View<'a> {
    /// Reads the head, and sees that the attributes fill the rest.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (id, kind) = stun::head(datagram)?;
        let view = Self { kind, id, datagram };
        let mut rest = datagram.get(HEAD..)?;
        while !rest.is_empty() {
            (_, _, rest) = split(rest)?;
        }
        Some(view)
    }

    /// The attributes with where each begins, up to MESSAGE-INTEGRITY: what comes after it nobody vouches for
    /// (RFC 8489 §14.5).
    fn attributes(self) -> impl Iterator<Item = (usize, u16, &'a [u8])> {
        let mut at = HEAD;
        let mut ended = false;
        std::iter::from_fn(move || {
            let rest = self.datagram.get(at..)?;
            let (kind, value, after) = split(rest)?;
            let begins = at;
            at += rest.len() - after.len();
            if ended {
                return None;
            }
            ended = kind == MESSAGE_INTEGRITY;
            Some((begins, kind, value))
        })
    }

    pub(crate) fn get(self, wanted: u16) -> Option<&'a [u8]> {
        let mut all = self.attributes();
        all.find_map(|(_, kind, value)| (kind == wanted).then_some(value))
    }

    pub(crate) fn text(self, wanted: u16) -> Option<&'a str> {
        std::str::from_utf8(self.get(wanted)?).ok()
    }

    /// Whether FINGERPRINT is what it should be; none without one. It is the last attribute, or it is wrong (§14.7).
    pub(crate) fn has_right_fingerprint(self) -> Option<bool> {
        let mut at = HEAD;
        while let Some((kind, value, after)) = self.datagram.get(at..).and_then(split) {
            if kind == FINGERPRINT {
                let before = self.datagram.get(..at)?;
                let right = (crc32(before) ^ FINGERPRINT_MASK).to_be_bytes();
                return Some(after.is_empty() && value == right);
            }
            at = self.datagram.len() - after.len();
        }
        None
    }

    /// Attributes that whoever does not know them must not pass over (§5, §14), and that are not among these.
    pub(crate) fn unknown(self, known: &[u16]) -> Vec<u16> {
        let kinds = self.attributes().map(|(_, kind, _)| kind);
        let mut unknown: Vec<u16> = kinds
            .filter(|kind| *kind < COMPREHENSION_OPTIONAL && !known.contains(kind))
            .collect();
        unknown.dedup();
        unknown.truncate(MOST_UNKNOWN);
        unknown
    }

    pub(crate) fn large_number(self, wanted: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.get(wanted)?.try_into().ok()?))
    }

    pub(crate) fn number(self, wanted: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(wanted)?.try_into().ok()?))
    }

    pub(crate) fn address(self, wanted: u16) -> Option<SocketAddr> {
        stun::unmask(self.get(wanted)?, self.id)
    }

    /// An address that is not masked, as ALTERNATE-SERVER has it (RFC 8489 §14.1).
    pub(crate) fn plain_address(self, wanted: u16) -> Option<SocketAddr> {
        stun::plain(self.get(wanted)?)
    }

    /// Code and phrase of an error (RFC 8489 §14.8).
    pub(crate) fn error(self) -> Option<(u16, &'a str)> {
        let value = self.get(ERROR_CODE)?;
        let (head, phrase) = value.split_at_checked(4)?;
        let (class, number) = (*head.get(2)? & 7, *head.get(3)?);
        let code = u16::from(class) * 100 + u16::from(number);
        let known = (3..=6).contains(&class) && number < 100;
        known.then(|| (code, std::str::from_utf8(phrase).unwrap_or_default()))
    }

    /// Whether whoever wrote it knows the key.
    pub(crate) fn is_proved_by(self, key: &Key) -> bool {
        let mut all = self.attributes();
        let Some((begins, _, proof)) = all.find(|(_, kind, _)| *kind == MESSAGE_INTEGRITY) else {
            return false;
        };
        let Some(covered) = self.datagram.get(..begins) else {
            return false;
        };
        let mut covered = covered.to_vec();
        let length = (begins + 4 + PROOF).saturating_sub(HEAD);
        let (Ok(length), Some(place)) = (u16::try_from(length), covered.get_mut(2..4)) else {
            return false;
        };
        place.copy_from_slice(&length.to_be_bytes());
        key.mac().chain_update(&covered).verify_slice(proof).is_ok()
    }
}

/// The first attribute, and what comes after it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let kind = u16::from_be_bytes([*head.first()?, *head.get(1)?]);
    let length = usize::from(u16::from_be_bytes([*head.get(2)?, *head.get(3)?]));
    let value = rest.get(..length)?;
    let after = rest.get(length.next_multiple_of(4)..)?;
    Some((kind, value, after))
}

/// The CRC of Ethernet (RFC 8489 §14.7).
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let carry = (crc & 1).wrapping_neg();
            crc >> 1 ^ (0xedb8_8320 & carry)
        })
    });
    !crc
}

/// Bytes of an HMAC-SHA1.
const PROOF: usize = 20;
const FINGERPRINT_MASK: u32 = 0x5354_554e;
/// Attributes from here on may be passed over by whoever does not know them.
const COMPREHENSION_OPTIONAL: u16 = 0x8000;
/// Of attributes that nobody knows, so many are named in an answer.
const MOST_UNKNOWN: usize = 8;

pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const LIFETIME: u16 = 0x000d;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const DATA: u16 = 0x0013;
pub(crate) const REALM: u16 = 0x0014;
pub(crate) const NONCE: u16 = 0x0015;
pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(crate) const PRIORITY: u16 = 0x0024;
pub(crate) const USE_CANDIDATE: u16 = 0x0025;
pub(crate) const SOFTWARE: u16 = 0x8022;
pub(crate) const ALTERNATE_SERVER: u16 = 0x8023;
pub(crate) const FINGERPRINT: u16 = 0x8028;
pub(crate) const ICE_CONTROLLED: u16 = 0x8029;
pub(crate) const ICE_CONTROLLING: u16 = 0x802a;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: TransactionId = TransactionId([
        0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e,
    ]);
    const NAME: &str = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";

    /// The sample request of RFC 5769 §2.4.
    #[test]
    fn the_sample_with_a_long_term_secret_is_written_and_proved() {
        let key = Key::new(NAME, "example.org", "TheMatrIX");
        let written = Draft::new(0x0001, ID)
            .with(USERNAME, NAME.as_bytes())
            .with(NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
            .with(REALM, b"example.org")
            .finish(Some(&key));
        let proof = [
            0xf6, 0x70, 0x24, 0x65, 0x6d, 0xd6, 0x4a, 0x3e, 0x02, 0xb8, 0xe0, 0x71, 0x2e, 0x85,
            0xc9, 0xa2, 0x8c, 0xa8, 0x96, 0x66,
        ];
        // The sample has no fingerprint: eight bytes less.
        assert_eq!(written.get(2..4), Some(&[0, 0x68][..]));
        assert_eq!(
            written.get(written.len() - 28..written.len() - 8),
            Some(&proof[..])
        );
        let view = View::parse(&written).unwrap();
        assert_eq!((view.kind, view.id), (1, ID));
        assert!(view.is_proved_by(&key));
        assert!(!view.is_proved_by(&Key::new(NAME, "example.org", "TheMatrix")));
        assert_eq!(view.text(REALM), Some("example.org"));
        // Each bit counts.
        for place in HEAD..written.len() - 8 {
            let mut forged = written.clone();
            forged[place] ^= 1;
            let passes = View::parse(&forged).is_some_and(|view| view.is_proved_by(&key));
            assert!(!passes, "{place}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_ethernet() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_stands_behind_the_proof_does_not_count() {
        let key = Key::new("a", "b", "c");
        let mut bytes = Draft::new(0x0101, ID)
            .with(LIFETIME, &[0; 4])
            .finish(Some(&key));
        bytes.truncate(bytes.len() - 8);
        let bytes = Draft { bytes }.with(REALM, b"evil").finish(None);
        let view = View::parse(&bytes).unwrap();
        assert!(view.is_proved_by(&key));
        assert_eq!(view.get(REALM), None);
        assert_eq!(view.number(LIFETIME), Some(0));
    }

    proptest! {
        #[test]
        fn broken_attributes_neither_panic_nor_pass(
            kinds in proptest::collection::vec((any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        ) {
            let mut bytes = Draft::new(0x0113, ID).bytes;
            for (kind, length, value) in kinds {
                bytes.extend(kind.to_be_bytes());
                bytes.extend((length % 64).to_be_bytes());
                bytes.extend(value);
            }
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let mut draft = Draft { bytes };
            draft.set_length(0);
            if let Some(view) = View::parse(&draft.bytes) {
                let _ = view.error();
                for wanted in 0..0x30 {
                    let _ = (view.get(wanted), view.text(wanted), view.number(wanted), view.address(wanted), view.plain_address(wanted));
                }
                prop_assert!(!view.is_proved_by(&Key::new("a", "b", "c")));
            }
        }
    }
}
