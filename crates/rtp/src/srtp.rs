//! Encrypted RTP and RTCP (RFC 3711), with the suites of RFC 4568, RFC 6188 and RFC 7714.
//!
//! ```text
//!  MasterKey ─► derive (RFC 3711 §4.3) ─► session keys
//!                                          │
//!  RTP packet ───► Protector::protect_rtp ─┴─► SRTP on the wire ─► Unprotector::unprotect_rtp ─► RTP packet
//!                  index = ROC ‖ sequence                          replayed? genuine? then, and only then, decrypted
//! ```
//!
//! One [`Protector`] and one [`Unprotector`] belong to one direction each of one media line. Both work in
//! place and need no memory after they were made. Key material is wiped when they go, and `Debug` shows
//! none of it. A [`Shield`] is both together, through all that is negotiated about them in a call.
//!
//! This is written on the block ciphers and not on `rtc-srtp` 0.21.1, which was chosen first: that one
//! makes a new buffer for each packet, keeps state for each source of which it has merely *seen* a packet
//! (so whoever sends forged ones with changing sources makes it grow), and leaves its keys in memory.

mod cipher;
mod derive;
mod protect;
mod shield;
#[cfg(test)]
mod tests;
mod unprotect;

use std::fmt;

use zeroize::Zeroizing;

pub use protect::{KeyMark, Protector};
pub use shield::{Renewal, Security, ServedBefore, Shield, UnusableKey};
pub use unprotect::Unprotector;

/// Room that a packet needs behind its end while it is protected: the longest tag and the SRTCP index.
pub const OVERHEAD: usize = 20;

/// Sources that are told apart at a time. Keeping them apart is what makes a replay seen; a call has one or two. Of ours there
/// may be no more under one key; of theirs a new one takes the place of one that has long been silent.
const MOST_SOURCES: usize = 32;

/// Longest master key with its salt, of `AES_256_CM`.
const LONGEST_MASTER: usize = 46;

/// What protects a stream: cipher, authentication and their lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 §6.2.1): what everybody has.
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 §6.2.2): 32 bits for RTP, 80 for RTCP.
    AesCm128HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188 §4).
    AesCm256HmacSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188 §4).
    AesCm256HmacSha1_32,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm128HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AesCm128HmacSha1_32,
    ];

    /// Length of the key in bytes, of master and session alike.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the salt in bytes, of master and session alike.
    #[must_use]
    pub fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Length of master key and master salt together, as they are written in `a=crypto`.
    #[must_use]
    pub fn master_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }

    /// Length of an RTP packet's tag in bytes. RTCP always has the long one (RFC 3711 §5.2).
    fn rtp_tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AesCm128HmacSha1_80 | Self::AesCm256HmacSha1_80 => 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }
}

/// A master key with its salt, for one direction of one media line. Wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    bytes: Zeroizing<[u8; LONGEST_MASTER]>,
}

impl MasterKey {
    /// From key and salt in a row. None unless they are as long as the suite wants them.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; LONGEST_MASTER]);
        if key_and_salt.len() != suite.master_len() {
            return None;
        }
        bytes
            .get_mut(..key_and_salt.len())?
            .copy_from_slice(key_and_salt);
        Some(Self { suite, bytes })
    }

    /// What it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    fn key(&self) -> &[u8] {
        self.bytes.get(..self.suite.key_len()).unwrap_or_default()
    }

    fn salt(&self) -> &[u8] {
        let range = self.suite.key_len()..self.suite.master_len();
        self.bytes.get(range).unwrap_or_default()
    }
}

/// The suite alone.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// Why a packet cannot be protected, or is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// It is no RTP or RTCP packet with a tag behind it.
    #[error("the packet is too short or malformed")]
    Malformed,
    /// It does not carry the tag that the key makes of it: forged, damaged, or of another key.
    #[error("the packet was not made with the agreed key")]
    NotGenuine,
    /// It was received before, or is so old that this cannot be told.
    #[error("the packet was received before")]
    Replayed,
    /// It was received once before, a moment ago, and is genuine: who sends each packet twice means no harm by it.
    #[error("the packet came a second time")]
    Repeated,
    /// Keys are to come by a handshake, and are not there yet.
    #[error("there is no key yet")]
    NoKey,
    /// Report packets that are authenticated and not encrypted, which was not agreed.
    #[error("the report is not encrypted")]
    NotEncrypted,
    /// We were asked to send from more sources under one key than are told apart.
    #[error("more than {MOST_SOURCES} sources use one key")]
    TooManySources,
    /// We were asked to protect a packet under a number that was used before: that would give the key
    /// stream away (RFC 3711 §9.1).
    #[error("the number of the packet was used before")]
    NumberUsed,
    /// The key has protected all it may (RFC 3711 §9.2: 2⁴⁸ RTP and 2³¹ RTCP packets).
    #[error("the key is used up")]
    KeyUsedUp,
}

/// Where the encrypted part of an RTP packet begins: behind the sources and the extension, which stay
/// readable (RFC 3711 §3.1).
fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let fixed = 12 + 4 * usize::from(first & 0x0F);
    let length = if first & 0x10 == 0 {
        fixed
    } else {
        let words = packet.get(fixed + 2..fixed + 4)?;
        fixed + 4 + 4 * usize::from(u16::from_be_bytes(words.try_into().ok()?))
    };
    (length <= packet.len()).then_some(length)
}

fn word(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn sequence_number(packet: &[u8]) -> Option<u16> {
    let bytes = packet.get(2..4)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}
