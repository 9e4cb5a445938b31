//! Base64 (RFC 4648 §4), into memory that is wiped.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// More than any key needs.
const LONGEST: usize = 256;

/// With the padding that RFC 4568 §9.2 asks for.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    // Room for all at once: what a growing string leaves behind is not wiped.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let sextet = (group >> (18 - 6 * n)) as usize % 64;
            let letter = ALPHABET.get(sextet).copied().unwrap_or(b'=');
            text.push(char::from(if n <= chunk.len() { letter } else { b'=' }));
        }
    }
    text
}

/// None for what is no base64. Padding may be missing, as some peers leave it out.
pub(super) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=');
    if text.len() > LONGEST || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut group, mut bits) = (0u32, 0);
    for letter in text.bytes() {
        let sextet = ALPHABET.iter().position(|known| *known == letter)?;
        group = group << 6 | u32::try_from(sextet).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits & 0xFF) as u8);
            group &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 §10.
    #[test]
    fn the_vectors_of_the_standard_hold() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(*encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap().as_slice(), bytes.as_bytes());
            let unpadded = text.trim_end_matches('=');
            assert_eq!(decode(unpadded).unwrap().as_slice(), bytes.as_bytes());
        }
        for wrong in ["Z", "Zg=g", "Zm9-", "Zm 9"] {
            assert!(decode(wrong).is_none(), "{wrong}");
        }
        assert!(decode(&"A".repeat(260)).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(&*decode(&encode(&bytes)).unwrap(), &bytes);
        }
    }
}
