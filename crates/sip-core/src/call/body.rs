//! The session description in a message, also where it is one part of several.

use sip_message::Headers;
use sip_message::MediaType;

/// How many parts of a multipart body are looked at.
const MOST_PARTS: usize = 16;

/// The session description that a message carries, if it does: the whole body, or the first such part of a
/// `multipart/mixed` or `multipart/alternative` (RFC 5621 §3), which gateways send with ISUP beside it. A body
/// without Content-Type counts as one, since nothing else was ever meant.
pub(super) fn session_description(headers: &Headers, body: &[u8]) -> Option<Vec<u8>> {
    if body.is_empty() {
        return None;
    }
    let Ok(media) = headers.content_type() else {
        let absent = !headers.has(sip_message::HeaderName::ContentType);
        return absent.then(|| body.to_vec());
    };
    if media.is_sdp() {
        return Some(body.to_vec());
    }
    if !media.kind.eq_ignore_ascii_case("multipart") {
        return None;
    }
    let boundary = format!("--{}", media.params.get("boundary")?);
    parts(body, boundary.as_bytes())
        .into_iter()
        .find_map(description_in_part)
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

fn description_in_part(part: &[u8]) -> Option<Vec<u8>> {
    // The head starts after the line end of the boundary, and ends with an empty line.
    let (head, content) = match find(part, b"\r\n\r\n") {
        Some(at) => (part.get(..at)?, part.get(at + 4..)?),
        None => {
            let at = find(part, b"\n\n")?;
            (part.get(..at)?, part.get(at + 2..)?)
        }
    };
    let head = std::str::from_utf8(head).ok()?;
    let kind = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.trim().eq_ignore_ascii_case("content-type")
            || name.trim().eq_ignore_ascii_case("c");
        named.then(|| value.trim())
    })?;
    MediaType::parse(kind)
        .is_ok_and(|media| media.is_sdp())
        .then(|| content.to_vec())
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
    use sip_message::HeaderName;

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
}
