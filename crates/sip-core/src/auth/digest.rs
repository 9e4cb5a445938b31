//! The digest computation (RFC 7616 §3.4, RFC 8760 for the algorithms in SIP).

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use zeroize::Zeroizing;

/// A digest algorithm that we know. Ordered by strength; a `-sess` variant is as strong as its
/// base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`, also meant when a challenge names none (RFC 7616 §3.3).
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
    /// `SHA-512-256`: SHA-512/256 of FIPS 180-4 with its own initial values, not SHA-512 cut
    /// short.
    Sha512_256,
    /// `SHA-512-256-sess`.
    Sha512_256Sess,
}

impl Algorithm {
    /// Reads the token, in any case.
    pub fn parse(token: &str) -> Option<Self> {
        [
            Self::Md5,
            Self::Md5Sess,
            Self::Sha256,
            Self::Sha256Sess,
            Self::Sha512_256,
            Self::Sha512_256Sess,
        ]
        .into_iter()
        .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(token))
    }

    /// The token as registered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// A higher number is a stronger hash.
    pub fn strength(self) -> u8 {
        match self {
            Self::Md5 | Self::Md5Sess => 0,
            Self::Sha256 | Self::Sha256Sess => 1,
            Self::Sha512_256 | Self::Sha512_256Sess => 2,
        }
    }

    /// Whether the secret part is bound to the nonces of the session (RFC 7616 §3.4.2).
    pub fn is_session(self) -> bool {
        matches!(
            self,
            Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess
        )
    }

    /// The hash of the parts joined, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> Zeroizing<String> {
        match self {
            Self::Md5 | Self::Md5Sess => hex_hash::<Md5>(parts),
            Self::Sha256 | Self::Sha256Sess => hex_hash::<Sha256>(parts),
            Self::Sha512_256 | Self::Sha512_256Sess => hex_hash::<Sha512_256>(parts),
        }
    }
}

/// What a digest protects (RFC 7616 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`: method and URI.
    Auth,
    /// `auth-int`: the body as well.
    AuthInt,
}

impl Qop {
    /// Reads the token, in any case.
    pub fn parse(token: &str) -> Option<Self> {
        if token.eq_ignore_ascii_case("auth") {
            Some(Self::Auth)
        } else if token.eq_ignore_ascii_case("auth-int") {
            Some(Self::AuthInt)
        } else {
            None
        }
    }

    /// The token as registered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// Everything that goes into one digest.
#[derive(Clone, Copy)]
pub(crate) struct DigestInput<'a> {
    pub(crate) algorithm: Algorithm,
    /// `None`: the computation of RFC 2069, which servers without qop still want.
    pub(crate) qop: Option<Qop>,
    pub(crate) username: &'a str,
    pub(crate) realm: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) cnonce: &'a str,
    /// The nonce count as it is written: eight hexadecimal digits.
    pub(crate) nc: &'a str,
    pub(crate) body: &'a [u8],
}

impl DigestInput<'_> {
    /// The value of `response`.
    pub(crate) fn response(&self) -> String {
        let algorithm = self.algorithm;
        let hash = |parts: &[&str]| {
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            algorithm.hash(&parts)
        };
        let mut ha1 = hash(&[self.username, ":", self.realm, ":", self.secret]);
        if algorithm.is_session() {
            ha1 = hash(&[&ha1, ":", self.nonce, ":", self.cnonce]);
        }
        let ha2 = match self.qop {
            Some(Qop::AuthInt) => {
                let body = algorithm.hash(&[self.body]);
                hash(&[self.method, ":", self.uri, ":", &body])
            }
            Some(Qop::Auth) | None => hash(&[self.method, ":", self.uri]),
        };
        let response = match self.qop {
            Some(qop) => hash(&[
                &ha1,
                ":",
                self.nonce,
                ":",
                self.nc,
                ":",
                self.cnonce,
                ":",
                qop.as_str(),
                ":",
                &ha2,
            ]),
            None => hash(&[&ha1, ":", self.nonce, ":", &ha2]),
        };
        response.to_string()
    }
}

fn hex_hash<D: Digest>(parts: &[&[u8]]) -> Zeroizing<String> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in hasher.finalize() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, DigestInput, Qop};

    /// The example of RFC 7616 §3.9.1, for other algorithms than its two computed with
    /// Python's hashlib (OpenSSL).
    fn rfc_7616(algorithm: Algorithm, qop: Option<Qop>, body: &[u8]) -> String {
        DigestInput {
            algorithm,
            qop,
            username: "Mufasa",
            realm: "http-auth@example.org",
            secret: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc: "00000001",
            body,
        }
        .response()
    }

    #[test]
    fn rfc_2617_section_3_5_example() {
        let input = DigestInput {
            algorithm: Algorithm::Md5,
            qop: Some(Qop::Auth),
            username: "Mufasa",
            realm: "testrealm@host.com",
            secret: "Circle Of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            nc: "00000001",
            body: b"",
        };
        assert_eq!(input.response(), "6629fae49393a05397450978507c4ef1");
        // The same without qop: RFC 2069, whose own example the errata give as this value.
        assert_eq!(
            DigestInput { qop: None, ..input }.response(),
            "670fd8c2df070c60b045671b8b24ff02"
        );
    }

    #[test]
    fn rfc_7616_section_3_9_1_examples() {
        assert_eq!(
            rfc_7616(Algorithm::Md5, Some(Qop::Auth), b""),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            rfc_7616(Algorithm::Sha256, Some(Qop::Auth), b""),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn every_algorithm_agrees_with_an_independent_computation() {
        let table: [(Algorithm, Option<Qop>, &[u8], &str); 16] = [
            (
                Algorithm::Md5,
                Some(Qop::AuthInt),
                b"v=0\r\n",
                "d1b8e2ac3f6782372de4bf3d8735b406",
            ),
            (
                Algorithm::Md5,
                None,
                b"",
                "7b2cc3b30e75b4777ea31027084363fd",
            ),
            (
                Algorithm::Md5Sess,
                Some(Qop::Auth),
                b"",
                "e783283f46242139c486a698fec7211d",
            ),
            (
                Algorithm::Md5Sess,
                Some(Qop::AuthInt),
                b"v=0\r\n",
                "4321e8772738f242cc32334079264d8c",
            ),
            (
                Algorithm::Md5Sess,
                None,
                b"",
                "37a7f42db2090a3fcac4e26e747d4fc8",
            ),
            (
                Algorithm::Sha256,
                Some(Qop::AuthInt),
                b"v=0\r\n",
                "385d2de062660ced11876f42d9497c69cacf5caaf3d951dd424aee9f7157d563",
            ),
            (
                Algorithm::Sha256,
                None,
                b"",
                "a1306b0595a6c7fe96c448631fb5cfbd5107bd1fe1da729d978dd7446b812363",
            ),
            (
                Algorithm::Sha256Sess,
                Some(Qop::Auth),
                b"",
                "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7",
            ),
            (
                Algorithm::Sha256Sess,
                Some(Qop::AuthInt),
                b"v=0\r\n",
                "cade7e5b751d9c3c2f066a95f2405c5509ad0171cf93f117e98b7f0ebb212e57",
            ),
            (
                Algorithm::Sha256Sess,
                None,
                b"",
                "30bc0742357e535c85094121d22cf826b794be0667e19537beb7b28f2251c274",
            ),
            (
                Algorithm::Sha512_256,
                Some(Qop::Auth),
                b"",
                "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0",
            ),
            (
                Algorithm::Sha512_256,
                Some(Qop::AuthInt),
                b"v=0\r\n",
                "5e69357dfa951887c95e88aae45b1f7f834aeba94f85648b86d532e82afdb589",
            ),
            (
                Algorithm::Sha512_256,
                None,
                b"",
                "93e9122020ea0624d2ca801426d5bfbeb93d10ff4cc24cb410af3920fa4730e7",
            ),
            (
                Algorithm::Sha512_256Sess,
                Some(Qop::Auth),
                b"",
                "3f2a34f923c38b0fb26dce2fdfc2ce326c23cecf86fbb1444f3e51fbbc2cb92e",
            ),
            (
                Algorithm::Sha512_256Sess,
                Some(Qop::AuthInt),
                b"v=0\r\n",
                "1ba4333021256e8b4eebe5c8d20ba53b167f1dac1f6d8c916a08c17ef99eae9a",
            ),
            (
                Algorithm::Sha512_256Sess,
                None,
                b"",
                "7c70dbd9f483cbccedbd3e92ac246a9f2b712bed77914b52c3ae2254fdb2edba",
            ),
        ];
        for (algorithm, qop, body, expected) in table {
            assert_eq!(
                rfc_7616(algorithm, qop, body),
                expected,
                "{algorithm:?} {qop:?}"
            );
        }
    }

    #[test]
    fn sha_512_256_is_not_sha_512_cut_short() {
        // FIPS 180-4 example for "abc"; SHA-512 of it starts with ddaf35a1.
        assert_eq!(
            Algorithm::Sha512_256.hash(&[b"abc"]).as_str(),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
    }
}
