//! Keys for media in the description itself: `a=crypto` (SDES, RFC 4568).
//!
//! Whoever reads the description can listen. That is why it belongs on signalling that is encrypted
//! itself, and why keys are shown by no `Debug` and wiped when they go. (The text of a description that was
//! sent or received is not wiped: it is in the message, too.)

mod base64;

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

/// Attributes of one line that are read; further ones are not.
const MOST_ATTRIBUTES: usize = 32;

/// Bytes of the longest name of a key (MKI) that is taken. RFC 4568 §9.2 allows 128; who names a handful of
/// keys needs one.
const LONGEST_MKI: u32 = 8;

/// What protects media: cipher and authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CryptoSuite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 §6.2.1): what everybody has.
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188 §4).
    AesCm256HmacSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188 §4).
    AesCm256HmacSha1_32,
    /// `AEAD_AES_128_GCM` (RFC 7714 §14).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714 §14).
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// Every suite, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm128HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AesCm128HmacSha1_32,
    ];

    /// What is offered: not the suites with a tag of 32 bits, which save six bytes and are accepted from
    /// those who have nothing better. Each line makes the INVITE longer.
    pub const OFFERED: [Self; 4] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm128HmacSha1_80,
    ];

    /// Its name in `a=crypto`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// From its name. In any case, though the standard fixes it, for peers have written otherwise; and in
    /// the order of words that drafts had for 256 bits.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let renamed = match name.to_ascii_uppercase().as_str() {
            "AES_CM_256_HMAC_SHA1_80" => Some(Self::AesCm256HmacSha1_80),
            "AES_CM_256_HMAC_SHA1_32" => Some(Self::AesCm256HmacSha1_32),
            _ => None,
        };
        let mut all = Self::ALL.into_iter();
        all.find(|suite| suite.name().eq_ignore_ascii_case(name))
            .or(renamed)
    }

    /// Length of master key and master salt together, in bytes.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16 + 14,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 => 32 + 14,
            Self::AeadAes128Gcm => 16 + 12,
            Self::AeadAes256Gcm => 32 + 12,
        }
    }
}

/// Master key and master salt in a row. Wiped when it goes, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoKey(Zeroizing<Vec<u8>>);

impl CryptoKey {
    /// The bytes.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CryptoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CryptoKey(…)")
    }
}

/// One `a=crypto` that can be used: one key, of a suite of ours, without conditions that we do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CryptoAttribute {
    /// Names the attribute within its line; the answer repeats it (RFC 4568 §5.1.2).
    pub tag: u32,
    /// What protects the media.
    pub suite: CryptoSuite,
    /// The key of whoever wrote it: for what it sends.
    pub key: CryptoKey,
    /// The name of the key that each packet carries, empty for none (RFC 3711 §3.1).
    pub mki: Vec<u8>,
}

impl CryptoAttribute {
    /// Reads the value of `a=crypto`. None for what is malformed, and for what is well formed and not ours:
    /// another suite, several keys, a session parameter that changes what is protected (RFC 4568 §6.3).
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let tag = words.next()?;
        let all_digits = tag.bytes().all(|byte| byte.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| all_digits && tag.len() <= 9)?;
        let suite = CryptoSuite::from_name(words.next()?)?;
        let keys = words.next()?;
        if !words.all(is_harmless) {
            return None;
        }
        let (method, info) = keys.split_once(':')?;
        // Several keys are told apart by their names in each packet; one is all that a call needs.
        if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
            return None;
        }
        let mut fields = info.split('|');
        let key = CryptoKey(base64::decode(fields.next()?)?);
        if key.reveal().len() != suite.key_len() {
            return None;
        }
        let mut mki = Vec::new();
        for (place, field) in fields.enumerate() {
            match field.split_once(':') {
                Some((value, length)) if mki.is_empty() => mki = key_name(value, length)?,
                None if place == 0 && is_lifetime(field) => {}
                _ => return None,
            }
        }
        Some(Self {
            tag,
            suite,
            key,
            mki,
        })
    }

    /// The value on the wire.
    #[must_use]
    pub(crate) fn to_value(&self) -> String {
        let key = base64::encode(self.key.reveal());
        format!("{} {} inline:{}", self.tag, self.suite.name(), *key)
    }
}

/// Whether a session parameter may be passed over: the size of the replay window is the reader's own
/// business, and a dash in front asks to be ignored by who does not know it (RFC 4568 §6.3.6, §6.3.7).
fn is_harmless(parameter: &str) -> bool {
    let upper = parameter.to_ascii_uppercase();
    upper.starts_with("WSH=") || upper.starts_with('-') || upper == "KDR=0"
}

/// `2^20` or a count. Ours are never used for so many packets that it would matter, nor is anybody's.
fn is_lifetime(field: &str) -> bool {
    let digits = field.strip_prefix("2^").unwrap_or(field);
    !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number and how many bytes it has in each packet.
fn key_name(value: &str, length: &str) -> Option<Vec<u8>> {
    let length: u32 = length.parse().ok()?;
    if !(1..=LONGEST_MKI).contains(&length) {
        return None;
    }
    let value: u64 = value.parse().ok()?;
    let bytes = value.to_be_bytes();
    let (above, name) = bytes.split_at(8 - length as usize);
    above.iter().all(|byte| *byte == 0).then(|| name.to_vec())
}

/// The usable attributes of a line, in its author's order of preference.
pub(crate) fn attributes<'a>(values: impl Iterator<Item = &'a str>) -> Vec<CryptoAttribute> {
    let values = values.take(MOST_ATTRIBUTES);
    values.filter_map(CryptoAttribute::parse).collect()
}

/// Whether media is to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encryption {
    /// Plain RTP only.
    #[default]
    Off,
    /// Encrypted when the peer can: one media line, `RTP/AVP` with `a=crypto`. Peers that do not know
    /// `a=crypto` pass over it. This is no standard, and what most phones understand.
    OptionalInOneLine,
    /// Encrypted when the peer can: a line of `RTP/SAVP` and one of `RTP/AVP`, of which the peer refuses
    /// one. What gateways understand that stand on the letter of RFC 4568.
    OptionalInTwoLines,
    /// No media without encryption: `RTP/SAVP`.
    Required,
}

impl Encryption {
    /// Whether an encrypted line is welcome.
    #[must_use]
    pub fn may(self) -> bool {
        self != Self::Off
    }

    /// Whether a plain line is not.
    #[must_use]
    pub fn must(self) -> bool {
        self == Self::Required
    }
}

/// Where our keys come from: a secret of the caller's, drawn from the operating system for each call.
#[derive(Clone)]
pub struct KeySeed(Zeroizing<[u8; 32]>);

impl KeySeed {
    /// A seed whose bytes `fill` writes: no copy of them stays anywhere.
    pub fn drawn(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        fill(&mut bytes);
        Self(bytes)
    }
}

impl KeySeed {
    pub(crate) fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySeed(…)")
    }
}

/// Our keys: one for each suite (RFC 4568 §6.1: no two attributes share a key), the same as long as nothing
/// asks for new ones. None comes twice once it was replaced.
#[derive(Debug, Clone, Default)]
pub(crate) struct OurKeys {
    seed: Option<KeySeed>,
    drawn: u64,
    keys: Vec<(CryptoSuite, CryptoKey)>,
}

impl OurKeys {
    pub(crate) fn new(seed: KeySeed) -> Self {
        Self {
            seed: Some(seed),
            ..Self::default()
        }
    }

    /// From here on there are other keys.
    pub(crate) fn renew(&mut self) {
        self.keys.clear();
    }

    /// This key is not given out again: packets may have gone out under it, whose numbers would begin anew
    /// (RFC 3711 §9.1, RFC 7714 §13).
    pub(crate) fn retire(&mut self, served: &CryptoKey) {
        self.keys.retain(|(_, key)| key != served);
    }

    /// Our key for a suite. None where there is no seed, and so no encryption.
    pub(crate) fn of(&mut self, suite: CryptoSuite) -> Option<CryptoKey> {
        if let Some((_, key)) = self.keys.iter().find(|(known, _)| *known == suite) {
            return Some(key.clone());
        }
        let seed = self.seed.as_ref()?;
        let mut random = ChaCha20Rng::from_seed(*seed.0);
        random.set_stream(self.drawn);
        self.drawn += 1;
        let mut key = Zeroizing::new(vec![0; suite.key_len()]);
        random.fill_bytes(&mut key);
        let key = CryptoKey(key);
        self.keys.push((suite, key.clone()));
        Some(key)
    }
}

/// What both sides agreed on to protect the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedCrypto {
    /// Cipher and authentication, the same for both directions.
    pub suite: CryptoSuite,
    /// For what we send.
    pub send_key: CryptoKey,
    /// For what they send.
    pub receive_key: CryptoKey,
    /// The name of their key that each packet of theirs carries, empty for none.
    pub receive_mki: Vec<u8>,
    /// The cryptographic context that the keys are for, by a number: another one where the other party is another, or our
    /// address is (RFC 4568 §7.1.4). The keys of another context have nothing to do with what was sent before them.
    pub context: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4568 §4.1's key: sixteen bytes and a salt of fourteen.
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn read(value: &str) -> Option<CryptoAttribute> {
        CryptoAttribute::parse(value)
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let plain = read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:32"));
        assert_eq!(plain, None, "a name of 32 bytes is longer than ours");
        let named = read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4")).unwrap();
        assert_eq!(
            (named.tag, named.suite, named.mki.as_slice()),
            (1, CryptoSuite::AesCm128HmacSha1_80, &[0, 0, 0, 1][..])
        );
        assert_eq!(named.key.reveal().len(), 30);
        let named = read(&format!("2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|66051:4")).unwrap();
        assert_eq!(named.mki, [0, 1, 2, 3]);
        let bare = read(&format!(
            "3 aes_cm_128_hmac_sha1_32  inline:{KEY} WSH=64 -X"
        ))
        .unwrap();
        assert!(bare.mki.is_empty());
        assert_eq!(read(&bare.to_value()), Some(bare));
    }

    #[test]
    fn what_is_malformed_or_asks_for_more_than_we_do_is_not_used() {
        for value in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline",
            "1 AES_CM_128_HMAC_SHA1_80 inline:",
            "x AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "+1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1234567890 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1 F8_128_HMAC_SHA1_80 inline:KEY",
            "1 AES_256_CM_HMAC_SHA1_80 inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 uri:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY;inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:0",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|256:1",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:1|2^20",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:1|1:1",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=4",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNAUTHENTICATED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY FEC_KEY=inline:KEY",
        ] {
            assert_eq!(read(&value.replace("KEY", KEY)), None, "{value}");
        }
    }

    #[test]
    fn keys_are_of_the_suites_length_each_another_and_never_shown() {
        let mut ours = OurKeys::new(KeySeed::drawn(|bytes| *bytes = [7; 32]));
        let mut seen: Vec<CryptoKey> = Vec::new();
        for _ in 0..2 {
            for suite in CryptoSuite::ALL {
                assert_eq!(CryptoSuite::from_name(suite.name()), Some(suite));
                let key = ours.of(suite).unwrap();
                assert_eq!(ours.of(suite).as_ref(), Some(&key));
                assert_eq!(key.reveal().len(), suite.key_len());
                assert!(!seen.contains(&key));
                let start = |key: &CryptoKey| key.reveal()[..16].to_vec();
                assert!(seen.iter().all(|other| start(other) != start(&key)));
                seen.push(key);
            }
            ours.renew();
        }
        let shown = format!("{ours:?} {:?}", seen.first());
        assert!(!shown.contains('7'), "{shown}");
        assert_eq!(OurKeys::default().of(CryptoSuite::AeadAes128Gcm), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(value in "[0-9]{0,3} (AES_CM_128_HMAC_SHA1_80|[A-Z_]{0,9}) inline:\\PC{0,60}", other: String) {
            let _ = read(&value);
            prop_assert_eq!(read(&other), None);
        }
    }
}
