//! Fingerprints of certificates (RFC 8122 §5).

use sha2::{Digest, Sha256, Sha384, Sha512};

/// How a fingerprint is made. MD5, SHA-1 and SHA-224 are not taken: who can make two certificates with one
/// fingerprint can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// `sha-256`, which everybody has.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

/// The hash of a certificate in DER.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How it is made.
    pub hash: Hash,
    /// The digest.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(hash: Hash, der: &[u8]) -> Self {
        let digest = match hash {
            Hash::Sha256 => Sha256::digest(der).to_vec(),
            Hash::Sha384 => Sha384::digest(der).to_vec(),
            Hash::Sha512 => Sha512::digest(der).to_vec(),
        };
        Self { hash, digest }
    }
}

/// Whether a certificate is one of those announced. With fingerprints by several hashes only the strongest hash
/// counts (RFC 8122 §5.1): its peer knows it, and the weaker ones are there for others.
pub(crate) fn is_announced(der: &[u8], announced: &[Fingerprint]) -> bool {
    let Some(strongest) = announced.iter().map(|f| f.hash).max() else {
        return false;
    };
    let actual = Fingerprint::of(strongest, der);
    announced.contains(&actual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_strongest_hash_counts_and_several_certificates_may_be_announced() {
        let of = |hash, text: &str| Fingerprint::of(hash, text.as_bytes());
        let both = [of(Hash::Sha256, "a"), of(Hash::Sha256, "b")];
        assert!(is_announced(b"a", &both) && is_announced(b"b", &both));
        assert!(!is_announced(b"c", &both));
        let mixed = [of(Hash::Sha256, "a"), of(Hash::Sha512, "b")];
        assert!(is_announced(b"b", &mixed));
        assert!(!is_announced(b"a", &mixed));
        assert!(!is_announced(b"a", &[]));
    }
}
