//! What a secret decides, withheld.

/// Parameters whose value only the password explains, and the scheme whose value is one.
const KEYS: [&str; 2] = ["response", "rspauth"];

/// What stands in place of it.
const WITHHELD: &str = "withheld";

/// What stands before a key in a session description: one for media (RFC 4568 §6.1), a password of ICE
/// (RFC 8839 §5.4), a key of old (RFC 4566 §5.12).
const KEYS_OF_MEDIA: [&[u8]; 3] = [b"inline:", b"a=ice-pwd:", b"\nk="];

/// A body with the letter `A` for each letter of a key: as long as it was, so that lengths that stand
/// elsewhere stay true.
pub(crate) fn body(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for before in KEYS_OF_MEDIA {
        let mut from = 0;
        while let Some(found) = out
            .get(from..)
            .and_then(|rest| rest.windows(before.len()).position(|w| w == before))
        {
            from += found + before.len();
            for byte in out.iter_mut().skip(from) {
                if byte.is_ascii_whitespace() || *byte == b'|' {
                    break;
                }
                *byte = b'A';
            }
        }
    }
    out
}

/// A message without digest answers, tokens and media keys. Each of the first stands in one line of the head; folded
/// lines of a peer are looked at like any other.
pub(crate) fn message(bytes: &[u8]) -> Vec<u8> {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let (head, rest) = bytes.split_at(end);
    let mut out = Vec::with_capacity(bytes.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        out.extend(header(line));
    }
    out.extend(body(rest));
    out
}

fn header(line: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(line) else {
        return line.to_vec();
    };
    let lower = text.to_ascii_lowercase();
    let concerned = lower.contains("authorization:")
        || lower.starts_with("authentication-info:")
        || lower.starts_with([' ', '\t']);
    if !concerned {
        return line.to_vec();
    }
    let mut text = token(text);
    for key in KEYS {
        text = parameter(&text, key);
    }
    text.into_bytes()
}

/// `Bearer abc` is `Bearer withheld`, and so is the password in `Basic abc`.
fn token(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let behind = |scheme: &&str| lower.find(scheme).map(|start| start + scheme.len());
    let Some(start) = ["bearer ", "basic "].iter().find_map(behind) else {
        return line.to_owned();
    };
    let (before, token) = line.split_at(start);
    let end = token
        .find(|c: char| c.is_whitespace() || c == ',')
        .unwrap_or(token.len());
    // `bearer realm="…"` is a challenge and no token.
    let (value, after) = token.split_at(end);
    if value.contains("=\"") || value.is_empty() {
        return line.to_owned();
    }
    format!("{before}{WITHHELD}{after}")
}

/// `key="value"` is `key="withheld"`, wherever the key begins a parameter.
fn parameter(line: &str, key: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    while let Some(found) = lower.get(from..).and_then(|rest| rest.find(key)) {
        let start = from + found;
        let after = start + key.len();
        let begins = lower
            .get(..start)
            .and_then(|before| before.chars().next_back())
            .is_none_or(|c| !c.is_alphanumeric() && c != '-');
        let value = line.get(after..).unwrap_or_default();
        let Some(value) = value.trim_start().strip_prefix('=').filter(|_| begins) else {
            out.push_str(line.get(from..after).unwrap_or_default());
            from = after;
            continue;
        };
        let value = value.trim_start();
        let quoted = value.strip_prefix('"');
        let length = match quoted {
            Some(inner) => inner.find('"').map_or(value.len(), |end| end + 2),
            None => value
                .find(|c: char| c == ',' || c.is_whitespace())
                .unwrap_or(value.len()),
        };
        out.push_str(line.get(from..after).unwrap_or_default());
        out.push_str(&format!("=\"{WITHHELD}\""));
        from = line.len() - value.len() + length;
    }
    out.push_str(line.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::message;

    fn masked(text: &str) -> String {
        String::from_utf8(message(text.as_bytes())).unwrap()
    }

    #[test]
    fn digest_answers_go_and_the_rest_of_the_header_stays() {
        let said = masked(
            "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username=\"a\", realm=\"response\", \
             nonce=\"n\", cnonce=\"c\", response = \"6629fae49393a05397450978507c4ef1\", qop=auth\r\n\
             Proxy-Authorization: Digest response=6629,nc=00000001\r\n\
             X-Other: response=\"kept\"\r\n\r\nresponse=\"body\"",
        );
        assert_eq!(
            said,
            "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username=\"a\", realm=\"response\", \
             nonce=\"n\", cnonce=\"c\", response=\"withheld\", qop=auth\r\n\
             Proxy-Authorization: Digest response=\"withheld\",nc=00000001\r\n\
             X-Other: response=\"kept\"\r\n\r\nresponse=\"body\""
        );
    }

    #[test]
    fn tokens_go_and_challenges_stay() {
        let said = masked("Authorization: Bearer eyJ.abc.def\r\n\r\n");
        assert_eq!(said, "Authorization: Bearer withheld\r\n\r\n");
        let said = masked("Proxy-Authorization: Basic YTpi\r\n\r\n");
        assert_eq!(said, "Proxy-Authorization: Basic withheld\r\n\r\n");
        let challenge = "WWW-Authenticate: Bearer realm=\"x\"\r\n\r\n";
        assert_eq!(masked(challenge), challenge);
    }

    #[test]
    fn media_keys_go_and_lengths_stay() {
        let said = masked("INVITE\r\n\r\na=crypto:1 X inline:WVNfX19z|2^20|1:4\r\na=x\r\ninline:");
        assert_eq!(
            said,
            "INVITE\r\n\r\na=crypto:1 X inline:AAAAAAAA|2^20|1:4\r\na=x\r\ninline:"
        );
    }

    #[test]
    fn passwords_of_ice_and_keys_of_old_go_too() {
        let said = masked("INVITE\r\n\r\nv=0\r\nk=base64:c2Vj\r\na=ice-pwd:asd88fgp\r\na=x\r\n");
        assert_eq!(
            said,
            "INVITE\r\n\r\nv=0\r\nk=AAAAAAAAAAA\r\na=ice-pwd:AAAAAAAA\r\na=x\r\n"
        );
    }

    #[test]
    fn nothing_is_lost_of_what_is_no_text() {
        let odd = b"SIP/2.0 200 OK\r\nX: \xff\xfe\r\n\r\n\x00\x01";
        assert_eq!(message(odd), odd);
    }
}
