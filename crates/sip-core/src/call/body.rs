//! The session description in a message, also where it is one part of several.

use sip_message::{HeaderName, Headers, Mode};

/// How many parts of a multipart body are looked at.
const MOST_PARTS: usize = 16;

/// The session description that a message carries, if it does: the whole body, or the first such part of a
/// `multipart/mixed` or `multipart/alternative` (RFC 5621 §3), which gateways send with ISUP beside it. A body
/// without Content-Type counts as one, since nothing else was ever meant; one whose Content-Disposition is another
/// than `session` does not (RFC 3261 §20.11).
pub(super) fn session_description(headers: &Headers, body: &[u8]) -> Option<Vec<u8>> {
    match Body::read(headers, body) {
        Body::Nothing => None,
        Body::One(part) => part.description(),
        Body::Several { parts, .. } => parts.iter().find_map(Part::description),
    }
}

/// Whether the body, or a part of it, has to be understood and is not: its type or disposition is unknown here and
/// its handling is not optional (RFC 3261 §20.11). Such a request is answered 415.
///
/// Beside a session description a part that says nothing of its disposition is passed over: gateways send ISUP so.
pub(super) fn is_beyond_us(headers: &Headers, body: &[u8]) -> bool {
    match Body::read(headers, body) {
        Body::Nothing => false,
        Body::One(part) => part.description().is_none() && !part.is_optional(),
        Body::Several {
            own,
            alternative,
            parts,
        } => {
            let none = parts.iter().all(|part| part.description().is_none());
            let demands = |part: &Part<'_>| {
                part.disposition.is_some()
                    && !part.is_optional()
                    && part.description().is_none()
                    && !alternative
            };
            (none && !own.is_optional()) || parts.iter().any(demands)
        }
    }
}

/// A body as it was sent.
enum Body<'a> {
    Nothing,
    One(Part<'a>),
    Several {
        /// The whole, with the disposition that it has itself.
        own: Part<'a>,
        /// The parts are versions of one thing: one that is understood will do (RFC 2046 §5.1.4).
        alternative: bool,
        parts: Vec<Part<'a>>,
    },
}

/// One content with what its head says.
struct Part<'a> {
    is_sdp: bool,
    disposition: Option<Mode>,
    content: &'a [u8],
}

impl<'a> Body<'a> {
    fn read(headers: &Headers, body: &'a [u8]) -> Self {
        if body.is_empty() {
            return Self::Nothing;
        }
        let own = Part::read(headers, body);
        let Some(media) = headers
            .content_type()
            .ok()
            .filter(|media| media.kind.eq_ignore_ascii_case("multipart"))
        else {
            return Self::One(own);
        };
        let boundary = media
            .params
            .get("boundary")
            .map(|boundary| format!("--{boundary}"));
        let found = boundary.map(|boundary| parts(body, boundary.as_bytes()));
        Self::Several {
            own,
            alternative: media.subtype.eq_ignore_ascii_case("alternative"),
            parts: found
                .into_iter()
                .flatten()
                .filter_map(Part::with_head)
                .collect(),
        }
    }
}

impl<'a> Part<'a> {
    fn read(headers: &Headers, content: &'a [u8]) -> Self {
        let is_sdp = match headers.content_type() {
            Ok(media) => media.is_sdp(),
            Err(_) => !headers.has(HeaderName::ContentType),
        };
        Self {
            is_sdp,
            disposition: headers.content_disposition().ok(),
            content,
        }
    }

    /// A part of a multipart body. Its head starts after the line end of the boundary, and ends with an empty line.
    fn with_head(part: &'a [u8]) -> Option<Self> {
        let (head, content) = match find(part, b"\r\n\r\n") {
            Some(at) => (part.get(..at)?, part.get(at + 4..)?),
            None => {
                let at = find(part, b"\n\n")?;
                (part.get(..at)?, part.get(at + 2..)?)
            }
        };
        let mut headers = Headers::new();
        let lines = std::str::from_utf8(head).ok()?.lines();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name = HeaderName::from(name.trim());
            if matches!(
                name,
                HeaderName::ContentType | HeaderName::ContentDisposition
            ) {
                headers.push(name, value.trim());
            }
        }
        let part = Self::read(&headers, content);
        // RFC 2046 §5.1: without a type it is plain text.
        Some(Self {
            is_sdp: part.is_sdp && headers.has(HeaderName::ContentType),
            ..part
        })
    }

    fn description(&self) -> Option<Vec<u8>> {
        let session = |mode: &Mode| mode.mode.eq_ignore_ascii_case("session");
        let meant = self.is_sdp && self.disposition.as_ref().is_none_or(session);
        meant.then(|| self.content.to_vec())
    }

    /// RFC 3261 §20.11: what says nothing of its handling has to be understood.
    fn is_optional(&self) -> bool {
        let handling = self
            .disposition
            .as_ref()
            .and_then(|mode| mode.params.get("handling"));
        handling.is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
    }
}

/// The parts between the boundary lines (RFC 2046 §5.1.1), heads included.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    let mut rest = body;
    let mut inside = false;
    while let Some(at) = find(rest, boundary) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        if inside {
            found.push(without_line_end(before));
        }
        let after = from.get(boundary.len()..).unwrap_or_default();
        if after.starts_with(b"--") || found.len() >= MOST_PARTS {
            return found;
        }
        inside = true;
        rest = after;
    }
    found
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: Option<&str>, body: &str, expected: Option<&str>) {
        let mut headers = Headers::new();
        if let Some(value) = content_type {
            headers.push(HeaderName::ContentType, value);
        }
        let found = session_description(&headers, body.as_bytes());
        assert_eq!(
            found
                .map(|found| String::from_utf8(found).unwrap())
                .as_deref(),
            expected
        );
    }

    #[test]
    fn a_plain_description_is_the_body() {
        check(Some("application/sdp"), "v=0\r\n", Some("v=0\r\n"));
        check(
            Some("Application/SDP;charset=utf-8"),
            "v=0\r\n",
            Some("v=0\r\n"),
        );
        check(None, "v=0\r\n", Some("v=0\r\n"));
        check(Some("application/sdp"), "", None);
        check(Some("text/plain"), "v=0\r\n", None);
    }

    #[test]
    fn a_description_beside_isup_is_found() {
        let body = "preamble\r\n--x y\r\nContent-Type: application/isup;version=itu\r\n\r\n\u{1}\u{2}\r\n--x y\r\n\
                    Content-Type: application/sdp\r\nContent-Disposition: session\r\n\r\nv=0\r\ns=-\r\n\r\n--x y--\r\nepilogue";
        check(
            Some("multipart/mixed;boundary=\"x y\""),
            body,
            Some("v=0\r\ns=-\r\n"),
        );
    }

    #[test]
    fn broken_multiparts_hold_nothing() {
        let cases = [
            "",
            "--b",
            "--b--",
            "--b\r\n\r\nv=0",
            "--b\r\nContent-Type: application/sdp\r\n\r\nv=0",
        ];
        for body in cases {
            check(Some("multipart/mixed;boundary=b"), body, None);
        }
        check(
            Some("multipart/mixed"),
            "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--",
            None,
        );
        check(
            Some("multipart/mixed;boundary=\"\""),
            "----------------",
            None,
        );
    }

    #[test]
    fn what_has_to_be_understood_and_is_not_is_beyond_us() {
        let beyond = |content_type: &str, disposition: &str, body: &str| {
            let mut headers = Headers::new();
            headers.push(HeaderName::ContentType, content_type);
            if !disposition.is_empty() {
                headers.push(HeaderName::ContentDisposition, disposition);
            }
            is_beyond_us(&headers, body.as_bytes())
        };
        let sdp = "application/sdp";
        // RFC 3261 §20.11: of a session description, `session` is the default.
        assert!(!beyond(sdp, "", "v=0"));
        assert!(!beyond(sdp, "session", "v=0"));
        assert!(!beyond(sdp, "Session;handling=required", "v=0"));
        assert!(beyond(sdp, "early-session", "v=0"));
        assert!(beyond(sdp, "early-session;handling=required", "v=0"));
        assert!(!beyond(sdp, "early-session;handling=optional", "v=0"));
        assert!(beyond("text/plain", "", "hello"));
        assert!(!beyond("text/plain", "render;Handling=Optional", "hello"));
        assert!(!beyond("text/plain", "", ""), "there is no body");
        // One that is not ours to use is none.
        let mut headers = Headers::new();
        headers.push(HeaderName::ContentType, sdp);
        headers.push(
            HeaderName::ContentDisposition,
            "early-session;handling=optional",
        );
        assert_eq!(session_description(&headers, b"v=0"), None);
    }

    #[test]
    fn each_part_says_whether_it_has_to_be_understood() {
        let beyond = |kind: &str, disposition: &str| {
            let mut headers = Headers::new();
            headers.push(
                HeaderName::ContentType,
                format!("multipart/{kind};boundary=b"),
            );
            let body = format!(
                "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n\
                 Content-Type: application/isup\r\n{disposition}\r\n\u{1}\r\n--b--"
            );
            is_beyond_us(&headers, body.as_bytes())
        };
        assert!(!beyond("mixed", ""));
        assert!(!beyond(
            "mixed",
            "Content-Disposition: signal;handling=optional\r\n"
        ));
        assert!(beyond(
            "mixed",
            "Content-Disposition: signal;handling=required\r\n"
        ));
        assert!(beyond("mixed", "Content-Disposition: signal\r\n"));
        assert!(!beyond("alternative", "Content-Disposition: signal\r\n"));
    }
}
