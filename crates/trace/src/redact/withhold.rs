//! Secrets withheld before a message is stored.
//!
//! Each octet of a secret becomes an `x`, so the stored message is as long as the one on the wire:
//! its Content-Length stays true, and what was wrong with its framing can still be seen.

use super::MASK;
use super::lines::{Sort, parts};

/// A message without its digest answers, tokens, passwords and keys, as long as it was.
pub(crate) fn withhold(message: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    // Of octets that are no ASCII only the place matters here: with one character for each, places in
    // the text are places in the message.
    let mut text: String = message
        .iter()
        .map(|byte| {
            if byte.is_ascii() {
                char::from(*byte)
            } else {
                'z'
            }
        })
        .collect();
    undo_folds(&mut text);
    let mut in_body = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        if content.is_empty() && start > 0 {
            in_body = true;
        }
        for part in parts(content, in_body) {
            if part.what != Sort::Secret {
                continue;
            }
            let secret = out.get_mut(start + part.start..start + part.end);
            for byte in secret.unwrap_or_default() {
                if !byte.is_ascii_whitespace() {
                    *byte = MASK;
                }
            }
        }
        start += line.len();
    }
    out
}

/// A folded header is one header: half a digest answer on the next line is still one (RFC 3261
/// §7.3.1). Its line ends become blanks, so that everything stays where it was.
fn undo_folds(text: &mut String) {
    let head = ["\r\n\r\n", "\n\n"]
        .iter()
        .filter_map(|end| text.find(end))
        .min()
        .unwrap_or(text.len());
    for fold in ["\r\n ", "\r\n\t", "\n ", "\n\t"] {
        let blanks = " ".repeat(fold.len());
        let folds: Vec<usize> = text.match_indices(fold).map(|(at, _)| at).collect();
        for at in folds.into_iter().filter(|at| *at < head) {
            text.replace_range(at..at + fold.len(), &blanks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::withhold;

    fn check(message: &str, secrets: &[&str], kept: &[&str]) {
        let stored = withhold(message.as_bytes());
        assert_eq!(stored.len(), message.len());
        let stored = String::from_utf8(stored).unwrap();
        for secret in secrets {
            assert!(!stored.contains(secret), "{secret} in\n{stored}");
        }
        for kept in kept {
            assert!(stored.contains(kept), "{kept} not in\n{stored}");
        }
        let again = withhold(stored.as_bytes());
        assert_eq!(again, stored.as_bytes(), "twice is as once");
    }

    #[test]
    fn what_proves_a_password_goes_and_the_rest_of_the_answer_stays() {
        check(
            "REGISTER sip:example.com SIP/2.0\r\n\
             Authorization: Digest username=\"alice\", realm=\"r\",\r\n nonce=\"n\", cnonce=\"c\",\r\n\
             \tresponse=\"6629fae49393a05397450978507c4ef1\", qop=auth, nc=00000001\r\n\
             proxy-authorization:Digest response=0123456789abcdef,nc=00000001\r\n\
             Authentication-Info: rspauth=\"fedcba9876543210\", qop=auth\r\n\r\n",
            &["6629fae4", "0123456789abcdef", "fedcba9876543210"],
            &[
                "username=\"alice\"",
                "cnonce=\"c\",\r\n\tresponse=\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\", qop=auth",
                "response=xxxxxxxxxxxxxxxx,nc=00000001",
            ],
        );
    }

    #[test]
    fn tokens_and_passwords_go_and_challenges_stay() {
        check(
            "INVITE sip:600@example.com SIP/2.0\r\n\
             Authorization: Bearer eyJhbGciOi.abc-def\r\n\
             Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\
             Contact: <sip:alice:hunter2@192.0.2.1;transport=tcp>\r\n\
             WWW-Authenticate: Digest realm=\"x\", nonce=\"dcd98b\"\r\n\r\n",
            &["eyJhbGciOi", "YWxpY2U6c2VjcmV0", "hunter2"],
            &[
                "Bearer xxx",
                "sip:alice:xxxxxxx@192.0.2.1",
                "nonce=\"dcd98b\"",
            ],
        );
    }

    #[test]
    fn media_keys_go_and_what_stands_beside_them_stays() {
        check(
            "INVITE sip:600@example.com SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n\
             v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwg|2^20|1:4;inline:QUVTU0VD|2^20|2:4 UNENCRYPTED_SRTCP\r\n\
             k=base64:c2VjcmV0a2V5\r\na=rtpmap:0 PCMU/8000\r\n",
            &["asd88fgp", "WVNfX19z", "QUVTU0VD", "c2VjcmV0a2V5"],
            &[
                "a=ice-ufrag:abcd",
                "inline:xxxxxxxxxxxxxxxx|2^20|1:4;inline:xxxxxxxx|2^20|2:4 UNENCRYPTED_SRTCP\r\n",
                "a=rtpmap:0 PCMU/8000",
            ],
        );
    }

    #[test]
    fn what_is_no_text_stays_as_it_was() {
        let odd = b"SIP/2.0 200 OK\r\nX: \xff\xfe\xc3\r\n\r\n\x00\x01\n\n \t";
        assert_eq!(withhold(odd), odd);
        let name = "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username=\"\u{e4}\", response=\"ab\"\r\n\r\n";
        let stored = String::from_utf8(withhold(name.as_bytes())).unwrap();
        assert!(stored.contains("\"\u{e4}\", response=\"xx\""), "{stored}");
        assert_eq!(withhold(b""), b"");
        assert_eq!(withhold(b"\n "), b"\n ");
    }
}
