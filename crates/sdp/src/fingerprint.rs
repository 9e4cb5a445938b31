//! Keys by a DTLS handshake: what a description says about it (`a=fingerprint`, RFC 8122; `a=setup`, RFC 4145;
//! `a=tls-id`, RFC 8842; for media RFC 5763).
//!
//! Unlike with `a=crypto`, who reads the description cannot listen; who can change it on its way, can.

use std::fmt::Write;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::crypto::KeySeed;

/// Fingerprints of a line that are read; further ones are not.
const MOST_FINGERPRINTS: usize = 8;

/// How a fingerprint is made. What is weaker than these is not taken: MD5, SHA-1, SHA-224.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FingerprintHash {
    /// `sha-256`, which everybody has.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl FingerprintHash {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name in `a=fingerprint`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The fingerprint of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How it is made.
    pub hash: FingerprintHash,
    /// The digest of the certificate in DER.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// Reads the value of `a=fingerprint`. None for what is malformed, and for hashes that prove nothing any more.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (name, digits) = value.trim().split_once(char::is_whitespace)?;
        let mut all = FingerprintHash::ALL.into_iter();
        let hash = all.find(|hash| hash.name().eq_ignore_ascii_case(name))?;
        let byte = |pair: &str| {
            let is_hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        // Lower case is not allowed and common.
        let digest: Option<Vec<u8>> = digits.trim().split(':').map(byte).collect();
        let digest = digest.filter(|digest| digest.len() == hash.digest_len())?;
        Some(Self { hash, digest })
    }

    /// The value on the wire.
    #[must_use]
    pub fn to_value(&self) -> String {
        let mut value = format!("{} ", self.hash.name());
        for (place, byte) in self.digest.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            // Writing into memory cannot fail.
            let _ = write!(value, "{colon}{byte:02X}");
        }
        value
    }
}

/// The usable fingerprints among these values.
pub(crate) fn fingerprints<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Fingerprint> {
    let values = values.take(MOST_FINGERPRINTS);
    values.filter_map(Fingerprint::parse).collect()
}

/// Who begins the handshake (RFC 4145 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The author does.
    Active,
    /// The other side does.
    Passive,
    /// The answer decides.
    ActPass,
    /// Nobody, for now.
    HoldConn,
}

impl Setup {
    /// Reads the value of `a=setup`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let all = [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn];
        let mut all = all.into_iter();
        all.find(|setup| setup.as_str().eq_ignore_ascii_case(value.trim()))
    }

    /// The value on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

/// What we are in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// We begin: `active`.
    Client,
    /// The other side begins: `passive`.
    Server,
}

impl DtlsRole {
    pub(crate) fn setup(self) -> Setup {
        match self {
            Self::Client => Setup::Active,
            Self::Server => Setup::Passive,
        }
    }
}

/// What both sides agreed on for a handshake that makes the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedDtls {
    /// The other side's certificates: it has to show one of these.
    pub fingerprints: Vec<Fingerprint>,
    /// What we are.
    pub role: DtlsRole,
    /// The association that is meant, where both sides name it: it goes on for as long as the names stay, and another name is
    /// another one (RFC 8842 §4).
    pub association: Option<Association>,
}

/// The names of an association, from `a=tls-id` (RFC 8842 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Association {
    /// By which we call it.
    pub ours: String,
    /// By which the other side does.
    pub theirs: String,
}

/// The value of `a=tls-id`; none for one that breaks the grammar (RFC 8842 §5.1).
pub(crate) fn association_name(value: &str) -> Option<&str> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let fits = (20..=255).contains(&value.len()) && value.bytes().all(is_sign);
    fits.then_some(value)
}

/// Our side of it.
#[derive(Debug, Clone)]
pub(crate) struct OurDtls {
    pub(crate) fingerprint: Fingerprint,
    /// Whether it is what we offer, instead of `a=crypto`.
    pub(crate) offered: bool,
    /// What we call the association.
    pub(crate) name: String,
    seed: KeySeed,
    drawn: u64,
}

impl OurDtls {
    pub(crate) fn new(fingerprint: Fingerprint, offered: bool, seed: KeySeed) -> Self {
        let mut ours = Self {
            fingerprint,
            offered,
            name: String::new(),
            seed,
            drawn: 0,
        };
        ours.renew();
        ours
    }

    /// Another association from here on, with a name of 120 random bits, as the standard wants it.
    pub(crate) fn renew(&mut self) {
        let mut random = ChaCha20Rng::from_seed(*self.seed.reveal());
        random.set_stream(self.drawn);
        self.drawn += 1;
        self.name = crate::ice::signs(&mut random, 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 8842 §5.1: 20 to 255 signs of letters, digits, plus, slash, hyphen and underscore.
    #[test]
    fn names_of_associations_keep_to_their_grammar() {
        for right in ["abc3de65cddef001be82", "+/-_ABCDEFGHIJabcdef09"] {
            assert_eq!(association_name(right), Some(right));
        }
        let long = "a".repeat(256);
        for wrong in ["", "abc3de65cddef001be8", "abc3de65 cddef001be82", &long] {
            assert_eq!(association_name(wrong), None, "{wrong}");
        }
        let fingerprint = Fingerprint {
            hash: FingerprintHash::Sha256,
            digest: vec![1; 32],
        };
        let seed = KeySeed::drawn(|bytes| *bytes = [1; 32]);
        let mut ours = OurDtls::new(fingerprint, true, seed);
        let first = ours.name.clone();
        ours.renew();
        assert_ne!(ours.name, first);
        assert!(association_name(&first).is_some() && association_name(&ours.name).is_some());
    }

    #[test]
    fn the_example_of_the_standard_is_too_weak_and_its_successor_is_read() {
        // RFC 8122 §5 still shows SHA-1; RFC 5763 §7.1, too.
        let old = "SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";
        assert_eq!(Fingerprint::parse(old), None);
        let digits = (0..32).map(|n| format!("{n:02x}")).collect::<Vec<_>>();
        let value = format!("SHA-256  {} ", digits.join(":"));
        let read = Fingerprint::parse(&value).unwrap();
        assert_eq!(read.digest, (0..32).collect::<Vec<u8>>());
        assert_eq!(Fingerprint::parse(&read.to_value()), Some(read.clone()));
        assert!(read.to_value().starts_with("sha-256 00:01:02:"));
        assert!(read.to_value().ends_with(":1E:1F"));
        for broken in ["sha-256", "sha-256 ", "sha-256 00:01", "sha-999 00"] {
            assert_eq!(Fingerprint::parse(broken), None, "{broken}");
        }
        let colon = format!("sha-256 {}", digits.join(":").replacen("00", "+0", 1));
        assert_eq!(Fingerprint::parse(&colon), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(value in "(sha-256|[a-z0-9-]{0,8}) [0-9A-Fa-f:]{0,200}", other: String) {
            let _ = Fingerprint::parse(&value);
            let _ = Fingerprint::parse(&other);
            let _ = Setup::parse(&other);
        }
    }
}
