//! Challenges and credentials as text: `Scheme name=value, name="value", …`, one or several in a
//! header (RFC 3261 §20.27 and §20.44, RFC 7235 §2.1).

use super::{Algorithm, Qop};

/// A scheme with its parameters, as one header may hold several of.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SchemeParams {
    pub(crate) scheme: String,
    /// Values without their quotes, escapes inside kept: digests are computed over them so.
    pub(crate) params: Vec<(String, String)>,
}

impl SchemeParams {
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }
}

/// Parameters taken from one scheme; more are a peer's fault or an attack.
const MOST_PARAMS: usize = 32;
/// Schemes taken from one header value.
const MOST_SCHEMES: usize = 16;

/// Reads one header value, comma-joined schemes included. What cannot be read is skipped: one odd
/// scheme must not hide the one that we know.
pub(crate) fn parse_schemes(value: &str) -> Vec<SchemeParams> {
    let mut schemes: Vec<SchemeParams> = Vec::new();
    for item in split_commas(value) {
        let item = item.trim();
        let (before, text) = match item.split_once('=') {
            Some((name, text)) => (name.trim(), Some(text.trim())),
            None => (item, None),
        };
        // `Scheme name` before the equals sign opens a new scheme, so does a lone word.
        let (scheme, name) = match (before.split_once(char::is_whitespace), text) {
            (Some((scheme, name)), _) => (Some(scheme), name.trim()),
            (None, Some(_)) => (None, before),
            (None, None) => (Some(before), ""),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            if schemes.len() == MOST_SCHEMES {
                break;
            }
            schemes.push(SchemeParams {
                scheme: scheme.to_owned(),
                params: Vec::new(),
            });
        }
        if let (Some(current), Some(text)) = (schemes.last_mut(), text)
            && current.params.len() < MOST_PARAMS
        {
            current.params.push((name.to_owned(), unquote(text)));
        }
    }
    schemes
}

/// Splits at commas outside quoted strings.
fn split_commas(value: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, character) in value.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.extend(value.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(value.get(start..));
    parts
}

fn unquote(text: &str) -> String {
    text.strip_prefix('"')
        .map_or(text, |rest| rest.strip_suffix('"').unwrap_or(rest))
        .to_owned()
}

/// A digest challenge that we can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whether a proxy asks (Proxy-Authenticate) rather than the server at the end.
    pub proxy: bool,
    /// Whose password it wants.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// Given back as it came.
    pub opaque: Option<String>,
    /// Whether only the nonce was too old and the password right.
    pub stale: bool,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether the algorithm was named, and so must be repeated.
    pub algorithm_named: bool,
    /// The protection to use; `None` where the server knows no qop.
    pub qop: Option<Qop>,
}

/// How hard it is to find a password from the answer to a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strength {
    /// That of the hash, as [`Algorithm::strength`] counts.
    pub hash: u8,
    /// Whether a number of ours goes into it, so that no table made beforehand helps (RFC 7616 §5.8).
    pub qop: bool,
}

impl Strength {
    /// What both have.
    #[must_use]
    pub fn weaker_of(self, other: Self) -> Self {
        Self {
            hash: self.hash.min(other.hash),
            qop: self.qop && other.qop,
        }
    }

    /// Whether it lacks something that the other has.
    #[must_use]
    pub fn lacks(self, other: Self) -> bool {
        self.weaker_of(other) != other
    }
}

impl Challenge {
    /// How well an answer keeps the password.
    #[must_use]
    pub fn strength(&self) -> Strength {
        Strength {
            hash: self.algorithm.strength(),
            qop: self.qop.is_some() || self.algorithm.is_session(),
        }
    }

    /// Makes sense of a scheme; `None` when it is not Digest, has an algorithm or only
    /// protections that we do not know, or lacks realm or nonce.
    pub(crate) fn of(scheme: &SchemeParams, proxy: bool) -> Option<Self> {
        if !scheme.is_digest() {
            return None;
        }
        let algorithm = scheme.value("algorithm");
        Some(Self {
            proxy,
            realm: scheme.value("realm")?.to_owned(),
            nonce: scheme.value("nonce")?.to_owned(),
            opaque: scheme.value("opaque").map(str::to_owned),
            stale: scheme
                .value("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            algorithm: algorithm.map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            algorithm_named: algorithm.is_some(),
            qop: choose_qop(scheme.value("qop"))?,
        })
    }
}

/// `auth` before `auth-int`: proxies on the way may legally change a body. The outer `None`
/// means that none of those offered is known; an empty list counts as none given.
fn choose_qop(offered: Option<&str>) -> Option<Option<Qop>> {
    let offered = offered.unwrap_or_default();
    if offered.trim().is_empty() {
        return Some(None);
    }
    let known: Vec<Qop> = offered
        .split(',')
        .filter_map(|token| Qop::parse(token.trim()))
        .collect();
    if known.contains(&Qop::Auth) {
        Some(Some(Qop::Auth))
    } else {
        known.first().copied().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Challenge, parse_schemes};
    use crate::auth::{Algorithm, Qop};

    #[test]
    fn comma_joined_schemes_come_apart() {
        let schemes = parse_schemes(
            r#"NewScheme, Bearer realm="a,b", scope=x, Digest realm="a \"b\", c", nonce="n",qop="auth,auth-int" ,algorithm = SHA-256"#,
        );
        let names: Vec<_> = schemes.iter().map(|s| s.scheme.as_str()).collect();
        assert_eq!(names, ["NewScheme", "Bearer", "Digest"]);
        let digest = Challenge::of(&schemes[2], false).unwrap();
        assert_eq!(digest.realm, r#"a \"b\", c"#);
        assert_eq!(digest.algorithm, Algorithm::Sha256);
        assert_eq!(digest.qop, Some(Qop::Auth));
    }

    #[test]
    fn no_algorithm_means_md5_and_an_unknown_one_is_no_challenge() {
        let one = |text: &str| {
            parse_schemes(text)
                .first()
                .and_then(|scheme| Challenge::of(scheme, true))
        };
        let plain = one(r#"Digest realm="r", nonce="n""#).unwrap();
        assert_eq!(
            (plain.algorithm, plain.algorithm_named),
            (Algorithm::Md5, false)
        );
        assert_eq!(plain.qop, None);
        assert_eq!(
            one(r#"Digest realm="r", nonce="n", algorithm=SHA3-999"#),
            None
        );
        assert_eq!(one(r#"Digest realm="r", nonce="n", qop="auth-conf""#), None);
        assert_eq!(one(r#"Digest realm="r", algorithm=MD5"#), None);
        assert_eq!(one(r#"Basic realm="r", nonce="n""#), None);
        let only_int = one(r#"digest REALM="r", Nonce="n", qop="auth-int", stale=TRUE"#).unwrap();
        assert_eq!((only_int.qop, only_int.stale), (Some(Qop::AuthInt), true));
    }

    #[test]
    fn broken_values_are_read_as_far_as_they_go() {
        for text in [
            "",
            ",",
            "=",
            "Digest",
            "Digest realm",
            "Digest realm=\"x",
            "\"",
            "a=b",
            "é=\"\\",
        ] {
            let _ = parse_schemes(text);
        }
        let many = "S a=1, ".repeat(1000);
        assert!(parse_schemes(&many).len() <= 16);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic_and_within_bounds(
            text in r#"([a-zA-Z ,="\\\\é\t]|Digest|realm=|nonce=)*"#,
        ) {
            let schemes = parse_schemes(&text);
            prop_assert!(schemes.len() <= 16);
            prop_assert!(schemes.iter().all(|scheme| scheme.params.len() <= 32));
            for scheme in &schemes {
                let _ = Challenge::of(scheme, false);
            }
        }

        #[test]
        fn what_is_written_as_a_challenge_is_read_as_one(
            realm in "[a-z ,=;]{0,12}", nonce in "[a-zA-Z0-9/+=]{1,20}", before in "[A-Z][a-z]{2,8}",
        ) {
            let text = format!(
                "{before} x=\"a, b\", Digest realm=\"{realm}\",nonce=\"{nonce}\" , stale=true"
            );
            let schemes = parse_schemes(&text);
            prop_assert_eq!(schemes.len(), 2);
            let challenge = Challenge::of(&schemes[1], true).unwrap();
            prop_assert_eq!(challenge.realm, realm);
            prop_assert_eq!(challenge.nonce, nonce);
            prop_assert!(challenge.stale && challenge.proxy);
        }
    }
}
