//! Text that names somebody, by types that print masked.
//!
//! Who calls whom stands in an [`Identity`]; what a person typed for nobody else's eyes in a [`Private`]; where a server is
//! in a [`ServerUri`], which may have a user part; and what is told of it all to a person in a [`Sentence`]. All print
//! masked, so nothing that is made of them can tell by accident: a log line, a panic, an assertion, the `Debug` of a whole
//! snapshot. None has a `Display`, nor is it a `&str` by itself: the text is had with `reveal()` alone, which the window,
//! the flight recorder, the settings and the wire call. JSON carries it as it is: the standard output and the control
//! socket are the user's own.
//!
//! Machines are not persons: hosts and IP addresses stay readable, here as in `****5910@192.0.2.1`.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

macro_rules! masked_text {
    ($(#[$doc:meta])* $name:ident, $mask:expr) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it stands.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself: for the user's eyes, the settings, the flight recorder and the wire.
            pub fn reveal(&self) -> &str {
                &self.0
            }

            /// The text itself, to be changed in place.
            pub fn reveal_mut(&mut self) -> &mut String {
                &mut self.0
            }

            /// The text itself, with nothing around it any more.
            pub fn into_revealed(self) -> String {
                self.0
            }

            /// Whether there is no text.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match identities_are_shown() {
                    true => f.write_str(&self.0),
                    false => f.write_str($mask(&self.0).as_ref()),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                self.0 == text
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                self.0 == *text
            }
        }
    };
}

masked_text! {
    /// Who somebody is to the network: an address of record, a number, what was typed to call them.
    /// Prints as `****5910@telefonica.de`, see [`mask_identity`].
    ///
    /// ```
    /// assert_eq!(format!("{:?}", privacy::Identity::from("alice@example.com")), "***ce@example.com");
    /// ```
    /// ```compile_fail
    /// println!("{}", privacy::Identity::from("alice@example.com"));
    /// ```
    /// ```compile_fail
    /// let shown: &str = &privacy::Identity::from("alice@example.com");
    /// ```
    Identity,
    mask_identity
}
masked_text! {
    /// Text of which nothing may be seen in a log: a display name, digits typed in a call, a header of
    /// one's own. Prints as `****`, whatever its length.
    ///
    /// ```
    /// assert_eq!(format!("{:?}", privacy::Private::from("Alice Liddell")), "****");
    /// ```
    /// ```compile_fail
    /// println!("{}", privacy::Private::from("Alice Liddell"));
    /// ```
    /// ```compile_fail
    /// let shown: &str = &privacy::Private::from("Alice Liddell");
    /// ```
    Private,
    hidden
}
masked_text! {
    /// Where a server is, as it was typed: a host, or a URI. Prints without whom it may name, see [`mask_sentence`].
    ///
    /// ```
    /// let printed = |uri: &str| format!("{:?}", privacy::ServerUri::from(uri));
    /// assert_eq!(printed("sip:pbx.example.com:5061;lr"), "sip:pbx.example.com:5061;lr");
    /// assert_eq!(printed("sip:alice:s3cret@pbx.example.com"), "sip:***ce@pbx.example.com");
    /// ```
    /// ```compile_fail
    /// println!("{}", privacy::ServerUri::from("sip:alice@pbx.example.com"));
    /// ```
    /// ```compile_fail
    /// let shown: &str = &privacy::ServerUri::from("sip:alice@pbx.example.com");
    /// ```
    ServerUri,
    mask_sentence
}
masked_text! {
    /// What is said to a person about what happened: a sentence of ours, which may quote what was typed, or the words of a
    /// peer. Prints with the people in it hidden, see [`mask_sentence`].
    ///
    /// ```
    /// let told = privacy::Sentence::from("\u{201c}bob@acme.test\u{201d} is no address");
    /// assert_eq!(format!("{told:?}"), "\u{201c}***@acme.test\u{201d} is no address");
    /// ```
    /// ```compile_fail
    /// println!("{}", privacy::Sentence::from("\u{201c}bob@acme.test\u{201d} is no address"));
    /// ```
    /// ```compile_fail
    /// let shown: &str = &privacy::Sentence::from("\u{201c}bob@acme.test\u{201d} is no address");
    /// ```
    Sentence,
    mask_sentence
}

fn hidden(text: &str) -> &'static str {
    if text.is_empty() { "" } else { "****" }
}

static SHOWN: AtomicBool = AtomicBool::new(false);

/// Lets identities print as they are, for the whole process: what the user asks for with
/// `--log-identities`, and nothing else ever does.
pub fn show_identities(shown: bool) {
    SHOWN.store(shown, Ordering::Relaxed);
}

/// Whether identities print as they are, see [`show_identities`].
pub fn identities_are_shown() -> bool {
    SHOWN.load(Ordering::Relaxed)
}

/// A sentence as it may stand in a log: masked, unless the user asked for more.
pub fn for_log(sentence: &str) -> Cow<'_, str> {
    if identities_are_shown() {
        Cow::Borrowed(sentence)
    } else {
        Cow::Owned(mask_sentence(sentence))
    }
}

/// A sentence with the people in it hidden.
///
/// What stands in quotation marks was said or typed by somebody and goes, but for the end and the host
/// of an address; so does everything with an `@`, every SIP or tel URI and every number of five digits
/// or more that is no IP address. What a peer says beside a status, `(404 Nobody here)` or `: 404 Nobody here:`, goes but
/// for the status. A bare name elsewhere cannot be told from a word: our sentences quote theirs.
///
/// ```
/// assert_eq!(
///     privacy::mask_sentence("\u{201c}bob@acme.test\u{201d} is no address, said 192.0.2.1:50600."),
///     "\u{201c}***@acme.test\u{201d} is no address, said 192.0.2.1:50600."
/// );
/// ```
pub fn mask_sentence(sentence: &str) -> String {
    let mut masked = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some((before, open, quoted, close, after)) = next_quoted(rest) {
        mask_words(before, &mut masked);
        masked.push(open);
        match is_address(quoted) {
            true => masked.push_str(&mask_identity(quoted)),
            false => masked.push_str(hidden(quoted)),
        }
        masked.push(close);
        rest = after;
    }
    mask_words(rest, &mut masked);
    masked
}

/// The first quotation: what is before it, its marks with what is between, what is after it.
fn next_quoted(text: &str) -> Option<(&str, char, &str, char, &str)> {
    let (at, open) = text
        .char_indices()
        .find(|(_, c)| matches!(c, '\u{201c}' | '"' | '`'))?;
    let close = if open == '\u{201c}' { '\u{201d}' } else { open };
    let (before, from) = text.split_at(at);
    let inner = from.strip_prefix(open)?;
    // A quotation that does not end goes to the end.
    let (quoted, after) = inner.split_once(close).unwrap_or((inner, ""));
    Some((before, open, quoted, close, after))
}

fn mask_words(text: &str, masked: &mut String) {
    let mut rest = text;
    while let Some((before, phrase, after)) = next_phrase(rest) {
        mask_plain_words(before, masked);
        masked.push_str(hidden(phrase));
        rest = after;
    }
    mask_plain_words(rest, masked);
}

/// The first phrase of a status: what is before it, the status among that; itself; what is after it. It stands in brackets
/// or behind a colon, and goes to their end or the next one.
fn next_phrase(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices(['(', ':']).find_map(|(at, mark)| {
        let behind = text.get(at + mark.len()..)?;
        let (lead, close) = if mark == "(" { ("", ')') } else { (" ", ':') };
        let status = behind.strip_prefix(lead)?.get(..4)?;
        let is_status = matches!(
            status.as_bytes(),
            [b'1'..=b'6', b'0'..=b'9', b'0'..=b'9', b' ']
        );
        let from = at + mark.len() + lead.len() + 4;
        let phrase = text.get(from..).filter(|_| is_status)?;
        let length = phrase.find(close).unwrap_or(phrase.len());
        let (phrase, after) = phrase.split_at(length);
        Some((text.get(..from)?, phrase, after))
    })
}

fn mask_plain_words(text: &str, masked: &mut String) {
    for piece in text.split_inclusive(char::is_whitespace) {
        let core = piece.trim_matches(|c: char| c.is_whitespace() || ".,;:!?()<>[]'".contains(c));
        let number = |c: char| c.is_ascii_digit() || "+-./()#*".contains(c);
        let digits = core.bytes().filter(u8::is_ascii_digit).count();
        let machine = core.parse::<IpAddr>().is_ok() || core.parse::<SocketAddr>().is_ok();
        let is_number = digits >= 5 && core.chars().all(number) && !machine;
        if core.is_empty() || !(is_number || is_address(core)) {
            masked.push_str(piece);
            continue;
        }
        let (before, after) = piece.split_once(core).unwrap_or((piece, ""));
        masked.push_str(before);
        masked.push_str(&mask_identity(core));
        masked.push_str(after);
    }
}

fn is_address(text: &str) -> bool {
    text.contains('@') || !split_scheme(text).0.is_empty()
}

/// An identity with its person hidden: `****5910@telefonica.de`.
///
/// One star for each hidden character; the end of the user part and the whole domain stay, so that a
/// support desk can still tell calls apart. Of the user part four characters stay and never more than
/// half; one of four characters or fewer is hidden whole. Takes `user@host`, a SIP or tel URI, or a bare number or name.
///
/// ```
/// assert_eq!(privacy::mask_identity("sip:+34915775910@telefonica.de"), "sip:********5910@telefonica.de");
/// assert_eq!(privacy::mask_identity("alice@example.com"), "***ce@example.com");
/// assert_eq!(privacy::mask_identity("bob"), "***");
/// ```
pub fn mask_identity(identity: &str) -> String {
    let (scheme, rest) = split_scheme(identity);
    let (user, host) = match rest.rfind('@') {
        Some(at) => (&rest[..at], &rest[at..]),
        // A URI without a user part names a machine, which is not a person; `sip:+4930123456`, with
        // no host that is one, still does.
        None if is_sip(scheme) && rest.contains(['.', ':', '[']) => ("", rest),
        None => (rest, ""),
    };
    // A password in the user part is a secret, not an identity: it goes whole.
    let user = user.split(':').next().unwrap_or("");
    let length = user.chars().count();
    let shown = if length > 4 { (length / 2).min(4) } else { 0 };
    let mut masked = String::with_capacity(identity.len());
    masked.push_str(scheme);
    masked.extend(std::iter::repeat_n('*', length - shown));
    masked.extend(user.chars().skip(length - shown));
    masked.push_str(host);
    masked
}

fn is_sip(scheme: &str) -> bool {
    scheme
        .get(..3)
        .is_some_and(|s| s.eq_ignore_ascii_case("sip"))
}

fn split_scheme(identity: &str) -> (&str, &str) {
    for scheme in ["sip:", "sips:", "tel:"] {
        if identity
            .get(..scheme.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(scheme))
        {
            return identity.split_at(scheme.len());
        }
    }
    ("", identity)
}

#[cfg(test)]
mod tests {
    use super::{Identity, Private, mask_identity, mask_sentence};

    #[test]
    fn an_identity_prints_masked_and_is_revealed_on_request() {
        let identity = Identity::new("sip:12345910@telefonica.de");
        assert_eq!(format!("{identity:?}"), "sip:****5910@telefonica.de");
        assert_eq!(
            format!("{:?}", Some(&identity)),
            "Some(sip:****5910@telefonica.de)"
        );
        let name = Private::new("Alice Liddell");
        assert_eq!(format!("{name:?}"), "****");
        assert_eq!(name.reveal(), "Alice Liddell");
        assert_eq!(format!("{:?}", Private::default()), "");
    }

    #[test]
    fn sentences_lose_their_people_and_keep_their_machines() {
        for (said, logged) in [
            (
                "no answer from udp:192.0.2.1:50600",
                "no answer from udp:192.0.2.1:50600",
            ),
            (
                "[2001:db8::1]:50600 and 192.0.2.1:50600 are silent",
                "[2001:db8::1]:50600 and 192.0.2.1:50600 are silent",
            ),
            (
                "call from <sip:alice.jones@example.com>, busy",
                "call from <sip:*******ones@example.com>, busy",
            ),
            (
                "alice.jones@example.com (+4930123456).",
                "*******ones@example.com (*******3456).",
            ),
            ("sip:+4930123456 has no host", "sip:*******3456 has no host"),
            (
                "\u{201c}X-Pin: 4711\u{201d} is not a header; X-Room: 42 is",
                "\u{201c}****\u{201d} is not a header; X-Room: 42 is",
            ),
            ("it is inside 'é' of `alicé`", "it is inside 'é' of `****`"),
            ("called \"Alice", "called \"****\""),
            (
                "Not found: nobody has it (404 Alice has moved (to Rome)). Ask at (12) or (503).",
                "Not found: nobody has it (404 ****)). Ask at (12) or (503).",
            ),
            (
                "signing out: 403 Alice must not: udp:192.0.2.1:5060",
                "signing out: 403 ****: udp:192.0.2.1:5060",
            ),
            ("again in: 120 s", "again in: 120 ****"),
            ("", ""),
        ] {
            assert_eq!(mask_sentence(said), logged);
        }
    }

    #[test]
    fn the_last_four_characters_and_the_domain_stay() {
        assert_eq!(
            mask_identity("12345910@telefonica.de"),
            "****5910@telefonica.de"
        );
        assert_eq!(
            mask_identity("SIPS:alice.jones@example.com;x=1"),
            "SIPS:*******ones@example.com;x=1"
        );
        assert_eq!(mask_identity("tel:+4930123456"), "tel:*******3456");
        assert_eq!(
            mask_identity("Ζωή Παπαδοπούλου"),
            "************ύλου".replace("************", &"*".repeat(12))
        );
    }

    #[test]
    fn short_names_and_passwords_are_hidden_whole() {
        assert_eq!(mask_identity("bob@example.com"), "***@example.com");
        assert_eq!(mask_identity("anna"), "****");
        assert_eq!(mask_identity("12345"), "***45");
        assert_eq!(mask_identity("1234567"), "****567");
        assert_eq!(
            mask_identity("sip:alice:s3cret@example.com"),
            "sip:***ce@example.com"
        );
        assert_eq!(mask_identity(""), "");
    }

    #[test]
    fn a_machine_is_not_a_person() {
        assert_eq!(
            mask_identity("sip:pbx.example.com:5060"),
            "sip:pbx.example.com:5060"
        );
        assert_eq!(mask_identity("sip:[2001:db8::1]"), "sip:[2001:db8::1]");
        assert_eq!(mask_identity("sip:+4930123456"), "sip:*******3456");
    }
}
