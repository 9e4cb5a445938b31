//! What of a message may stand in a log: everything but what proves who somebody is, and the keys of
//! media. An answer to a challenge can be tried against word lists, and a bearer token be used.
//!
//! Works on octets and not on parsed messages, so that a message too broken to parse is masked like
//! any other. In the headers that carry credentials only parameters known to be harmless are written;
//! whatever else stands there, however it is spaced, folded or quoted, is withheld. Anywhere else the
//! value of a parameter called `response` is, and of every URI the password (RFC 3261 §19.1.1, which
//! advises against it and allows it).

use std::ops::Range;

/// What stands in place of a secret.
const WITHHELD: &[u8] = b"[withheld]";
/// Parameters of credentials that prove nothing (RFC 7616 §3.4).
const HARMLESS: [&[u8]; 10] = [
    b"username",
    b"username*",
    b"userhash",
    b"realm",
    b"nonce",
    b"uri",
    b"algorithm",
    b"qop",
    b"nc",
    b"opaque",
];
/// Parameters whose names may be read, and their values not.
const PROOFS: [&[u8]; 4] = [b"response", b"cnonce", b"rspauth", b"nextnonce"];
/// Headers that carry credentials, or prove that they are known.
const CREDENTIALS: [&[u8]; 4] = [
    b"authorization",
    b"proxy-authorization",
    b"authentication-info",
    b"proxy-authentication-info",
];

/// The message without its secrets.
pub(crate) fn without_secrets(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        let colon = field.iter().position(|b| *b == b':').unwrap_or(0);
        let (name, value) = field.split_at(colon);
        let name = name.trim_ascii().to_ascii_lowercase();
        if CREDENTIALS.contains(&name.as_slice()) {
            let text = value.strip_prefix(b":").unwrap_or(value);
            let mut masked = field.get(..colon + 1).unwrap_or(field).to_vec();
            masked.extend_from_slice(b" ");
            write_credentials(text, &mut masked);
            masked.extend_from_slice(line_end(field));
            out.extend_from_slice(&without_passwords(&masked));
        } else if is_media_key(field) {
            let equals = field.iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
            out.extend_from_slice(field.get(..equals).unwrap_or_default());
            out.extend_from_slice(WITHHELD);
            out.extend_from_slice(line_end(field));
        } else {
            write_without_responses(&without_passwords(field), &mut out);
        }
    }
    out
}

/// Lines with their continuations (RFC 3261 §7.3.1) and their ends.
fn fields(message: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let mut end = 0;
        loop {
            let line = rest.get(end..).unwrap_or_default();
            end += line
                .iter()
                .position(|b| *b == b'\n')
                .map_or(line.len(), |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        fields.push(field);
        rest = after;
    }
    fields
}

fn line_end(field: &[u8]) -> &[u8] {
    let text = field.trim_ascii_end().len();
    let end = field.get(text..).unwrap_or_default();
    let start = end.iter().position(|b| matches!(b, b'\r' | b'\n'));
    end.get(start.unwrap_or(end.len())..).unwrap_or_default()
}

/// SDP's keys (RFC 4568 §9.1, RFC 4566 §5.12, RFC 4567 §3.1) and the password by which the ends of a
/// path know each other (RFC 8839 §5.4).
fn is_media_key(line: &[u8]) -> bool {
    const KEYS: [&[u8]; 4] = [b"a=crypto:", b"k=", b"a=key-mgmt:", b"a=ice-pwd:"];
    let line = line.to_ascii_lowercase();
    KEYS.iter().any(|key| line.starts_with(key))
}

/// The line without the passwords of its URIs: in `sip:user:password@host` what stands between the
/// first colon and the last `@`, so that no part of an odd one is left.
fn without_passwords(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(scheme) = scheme(rest) {
        let (before, uri) = rest.split_at(scheme.end);
        out.extend_from_slice(before);
        let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'<' | b'>' | b'"');
        let end = uri.iter().position(ends).unwrap_or(uri.len());
        // Another URI in the same word has a password of its own.
        let end = self::scheme(uri).map_or(end, |next| end.min(next.start));
        let (uri, after) = uri.split_at(end);
        let host = uri.iter().rposition(|b| *b == b'@');
        let password = uri.iter().position(|b| *b == b':').map(|at| at + 1);
        match (password, host) {
            (Some(password), Some(host)) if password < host => {
                out.extend_from_slice(uri.get(..password).unwrap_or_default());
                out.extend_from_slice(WITHHELD);
                out.extend_from_slice(uri.get(host..).unwrap_or_default());
            }
            _ => out.extend_from_slice(uri),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// Where the first `sip:` or `sips:` stands.
fn scheme(text: &[u8]) -> Option<Range<usize>> {
    let places = [b"sip:".as_slice(), b"sips:"].map(|scheme| {
        let mut words = text.windows(scheme.len());
        let at = words.position(|word| word.eq_ignore_ascii_case(scheme));
        at.map(|at| at..at + scheme.len())
    });
    places.into_iter().flatten().min_by_key(|place| place.start)
}

/// The scheme, and of its parameters those that are harmless.
fn write_credentials(value: &[u8], out: &mut Vec<u8>) {
    let value = value.trim_ascii();
    let scheme = value
        .iter()
        .position(|b| !b.is_ascii_alphanumeric() && *b != b'-')
        .unwrap_or(0);
    let (scheme, rest) = value.split_at(scheme);
    if !rest.first().is_some_and(u8::is_ascii_whitespace) {
        // No scheme: parameters alone, as in Authentication-Info, or something else altogether.
        return write_params(value, out);
    }
    out.extend_from_slice(scheme);
    out.push(b' ');
    write_params(rest, out);
}

fn write_params(params: &[u8], out: &mut Vec<u8>) {
    for (n, param) in split_at_commas(params).into_iter().enumerate() {
        if n > 0 {
            out.extend_from_slice(b", ");
        }
        let param = param.trim_ascii();
        let equals = param.iter().position(|b| *b == b'=');
        let name = param
            .get(..equals.unwrap_or(0))
            .unwrap_or_default()
            .trim_ascii();
        let value = param.get(name.len()..).unwrap_or_default().trim_ascii();
        let known = name.to_ascii_lowercase();
        if HARMLESS.contains(&known.as_slice()) && is_one_value(value) {
            out.extend_from_slice(param);
        } else if PROOFS.contains(&known.as_slice()) {
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(WITHHELD);
        } else {
            out.extend_from_slice(WITHHELD);
        }
    }
}

/// Whether this is `= token` or `= "quoted"` and nothing behind it, which might be another parameter.
fn is_one_value(text: &[u8]) -> bool {
    let value = text.strip_prefix(b"=").unwrap_or(text).trim_ascii();
    match value.strip_prefix(b"\"") {
        Some(inside) => {
            let mut escaped = false;
            let end = inside.iter().position(|b| match b {
                _ if escaped => {
                    escaped = false;
                    false
                }
                b'\\' => {
                    escaped = true;
                    false
                }
                b => *b == b'"',
            });
            end.is_some_and(|end| end + 1 == inside.len())
        }
        None => !value
            .iter()
            .any(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'=')),
    }
}

/// Commas inside quotes part nothing.
fn split_at_commas(params: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    let mut start = 0;
    for (at, byte) in params.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(params.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(params.get(start..).unwrap_or_default());
    parts
}

/// Copies a line, but for the value of what is called `response` in it: a header of credentials may
/// be misspelt, or stand inside of something else.
fn write_without_responses(line: &[u8], out: &mut Vec<u8>) {
    const NAME: &[u8] = b"response";
    let mut rest = line;
    while let Some(at) = rest
        .windows(NAME.len())
        .position(|word| word.eq_ignore_ascii_case(NAME))
    {
        let (before, after) = rest.split_at(at + NAME.len());
        out.extend_from_slice(before);
        rest = after;
        let spaces = |text: &[u8]| text.len() - text.trim_ascii_start().len();
        let equals = spaces(rest);
        if rest.get(equals) != Some(&b'=') {
            continue;
        }
        let after = rest.get(equals + 1..).unwrap_or_default();
        let begin = equals + 1 + spaces(after);
        let (mark, value) = rest.split_at(begin.min(rest.len()));
        let length = match value.strip_prefix(b"\"") {
            Some(inside) => inside
                .iter()
                .position(|b| *b == b'"')
                .map_or(value.trim_ascii_end().len(), |end| end + 2),
            None => value
                .iter()
                .position(|b| b.is_ascii_whitespace() || matches!(b, b',' | b';' | b'"'))
                .unwrap_or(value.len()),
        };
        out.extend_from_slice(mark);
        out.extend_from_slice(WITHHELD);
        rest = value.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(message: &str) -> String {
        String::from_utf8(without_secrets(message.as_bytes())).expect("text")
    }

    #[test]
    fn answers_to_challenges_are_withheld_however_they_are_written() {
        let spellings = [
            "Authorization: Digest username=\"a\", response=\"SECRET\", nc=1",
            "Authorization: Digest username=\"a\", response = \"SECRET\"",
            "Proxy-Authorization :\tDigest response\t=\t\"SECRET\",realm=\"x\"",
            "AUTHORIZATION: Digest realm=\"a, b\",\r\n\tRESPONSE =\r\n  \"SECRET\"",
            "Authorization: Digest response=SECRET",
            "Authorization: Digest response='SECRET'",
            "Authorization: Digest\tresponse=\"SECRET",
            "Authorization: Digest realm=\"un\\\"closed, response=\"SECRET\"",
            "Authorization: Digest cnonce=\"SECRET\"",
            "Authorization: Digest respońse=\"SECRET\"",
            "Authorization: Basic SECRETSECRET==",
            "Authorization: Bearer SECRET",
            "Authorization: Bearer,SECRET",
            "Authorization: SECRET",
            "Authentication-Info: rspauth=\"SECRET\", nextnonce=\"n\"",
            "Authorisation: Digest response = \"SECRET\"",
            "X: response=\"SECRET",
            "X: response\r\n = SECRET",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET",
            "k=clear:SECRET",
            "a=ice-pwd:SECRET",
            "A=ICE-PWD:SECRET",
            "From: \"x\" <sip:a:SECRET@b>;tag=1",
            "Contact: SIPS:a:SECRET@b:5061, <sip:c:SECRET:SECRET@d;x=y?X=z>",
            "Refer-To: sip:a:SECRET@SECRET@b",
            "X: sip:a:1@b,sip:c:SECRET@d",
            "Authorization: Digest username=\"a\", uri=\"sip:a:SECRET@b\"",
            "INVITE sip:a:SECRET@b SIP/2.0",
        ];
        for spelling in spellings {
            let logged = log(&format!(
                "REGISTER sip:x SIP/2.0\r\n{spelling}\r\nTo: <sip:a@b>\r\n"
            ));
            assert!(!logged.contains("SECRET"), "{logged}");
            assert!(logged.contains("[withheld]"), "{logged}");
            assert!(logged.ends_with("\r\nTo: <sip:a@b>\r\n"), "{logged}");
        }
    }

    #[test]
    fn the_rest_of_a_login_and_of_a_message_stays() {
        let logged = log(
            "Authorization: Digest username=\"a\", realm=\"x, y\", response=\"0123\", nc=00000001\r\n",
        );
        assert_eq!(
            logged,
            "Authorization: Digest username=\"a\", realm=\"x, y\", response=[withheld], nc=00000001\r\n"
        );
        let plain = "SIP/2.0 200 OK\r\nX-Response: 1\r\nSubject: no response yet\r\n\
            To: <sip:a@b:5060>;tag=1, sip:c:5060, <sip:d:5060;lr>\r\nCall-ID: a:1@b\r\n\r\n\
            v=0\r\na=x\r\na=ice-ufrag:8hhY\r\n";
        assert_eq!(log(plain), plain);
    }

    #[test]
    fn no_octets_are_too_odd() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut message = Vec::new();
            for _ in 0..24 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let pieces: [&[u8]; 15] = [
                    b"Authorization",
                    b":",
                    b"response",
                    b"=",
                    b"\"",
                    b"\r\n",
                    b" ",
                    b",",
                    b"\\",
                    b"\xff",
                    b"Digest ",
                    b"k=",
                    b"sip:",
                    b"sips:a:b",
                    b"@",
                ];
                message.extend_from_slice(pieces[(state >> 33) as usize % pieces.len()]);
            }
            without_secrets(&message);
        }
    }
}
