//! Names that nobody can guess: branches, tags, Call-IDs and nonces, from a seed.

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// The randomness of one object. Its owner draws it from the operating system; a test writes it
/// down. Not shown by Debug, because whoever knows it can forge our tags and nonces.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for tests and replays, from a number.
    pub fn from_number(number: u64) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(number.to_le_bytes()) {
            *to = from;
        }
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A source of tokens, deterministic in its seed.
#[derive(Clone)]
pub struct Tokens(ChaCha20Rng);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// A source from a seed.
    pub fn new(seed: &Seed) -> Self {
        Self(ChaCha20Rng::from_seed(seed.0))
    }

    /// A Via branch with the cookie of RFC 3261 §8.1.1.7 and 64 random bits: none is guessed, and a request has to fit
    /// into a datagram.
    pub fn branch(&mut self) -> String {
        let mut branch = MAGIC_COOKIE.to_owned();
        self.write_hex(8, &mut branch);
        branch
    }

    /// A From or To tag of 64 random bits (RFC 3261 §19.3 wants at least 32).
    pub fn tag(&mut self) -> String {
        self.hex(8)
    }

    /// A tag of 64 bits that is the same each time for the same words, and that nobody without the
    /// seed can foresee: for answers without a transaction, whose repeats have to carry the same
    /// one (RFC 3261 §8.2.7).
    pub fn tag_of(&self, words: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0.get_seed());
        for word in words {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word.as_bytes());
        }
        let mut tag = String::with_capacity(16);
        for byte in hash.finalize().iter().take(8) {
            tag.push_str(&format!("{byte:02x}"));
        }
        tag
    }

    /// A Call-ID of 80 random bits, without a host: that would tell an address.
    pub fn call_id(&mut self) -> String {
        self.hex(10)
    }

    /// A client nonce of 64 random bits: it only has to be another one each time (RFC 7616 §3.4).
    pub fn cnonce(&mut self) -> String {
        self.hex(8)
    }

    /// A server nonce of 128 random bits.
    pub fn nonce(&mut self) -> String {
        self.hex(16)
    }

    /// The user part of a Contact that no scanner guesses, of 64 random bits.
    pub fn contact_user(&mut self) -> String {
        self.hex(8)
    }

    /// The first CSeq of a dialog or a registration: below 2^31 (RFC 3261 §8.1.1.5), and low
    /// enough that nobody ever counts over it.
    pub fn cseq(&mut self) -> u32 {
        1 + (self.0.next_u32() & 0xffff)
    }

    /// A number from 0 up to but without 1, for spreading retries.
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    /// A seed for an object inside this one.
    pub fn seed(&mut self) -> Seed {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        Seed(bytes)
    }

    /// `bytes` random bytes in lower-case hexadecimal.
    pub fn hex(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes * 2);
        self.write_hex(bytes, &mut text);
        text
    }

    fn write_hex(&mut self, bytes: usize, to: &mut String) {
        let mut left = bytes;
        while left > 0 {
            for byte in self.0.next_u64().to_le_bytes().iter().take(left) {
                for nibble in [byte >> 4, byte & 15] {
                    to.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
            left = left.saturating_sub(8);
        }
    }
}

/// What every branch made by an RFC 3261 element starts with.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Seed, Tokens};

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let mut a = Tokens::new(&Seed::from_number(7));
        let mut b = Tokens::new(&Seed::from_number(7));
        let mut c = Tokens::new(&Seed::from_number(8));
        let first = a.branch();
        assert_eq!(first, b.branch());
        assert_ne!(first, c.branch());
    }

    #[test]
    fn tokens_differ_and_have_their_length() {
        let mut tokens = Tokens::new(&Seed::from_number(1));
        let branch = tokens.branch();
        assert!(branch.starts_with("z9hG4bK"));
        assert_eq!(branch.len(), 7 + 16);
        assert_eq!(tokens.tag().len(), 16);
        assert_eq!(tokens.call_id().len(), 20);
        assert_eq!(tokens.cnonce().len(), 16);
        let all: HashSet<_> = (0..1000).map(|_| tokens.tag()).collect();
        assert_eq!(all.len(), 1000);
        assert!(
            (0..1000)
                .map(|_| tokens.fraction())
                .all(|f| (0.0..1.0).contains(&f))
        );
        assert!(
            (0..1000)
                .map(|_| tokens.cseq())
                .all(|n| (1..=0x1_0000).contains(&n))
        );
    }

    #[test]
    fn seeds_do_not_show() {
        assert_eq!(format!("{:?}", Seed::from_number(42)), "Seed(…)");
    }
}
