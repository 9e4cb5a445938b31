//! Where in a message the grammar puts identities and secrets.

use super::names::Names;
use super::{MASK, RedactOptions, WITHHELD};

/// What [`learn`] found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) identities: Vec<String>,
    pub(super) secrets: Vec<String>,
}

/// Something that stands at a place in a line.
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) what: Sort,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Identity,
    Secret,
    /// Gone whole where identities are masked: it may hold anything.
    Private,
}

/// Finds what is to be masked, without masking it.
pub(super) fn learn(text: &str) -> Found {
    let mut found = Found::default();
    let message = split(text);
    let head = message.head.iter().map(|line| (line, false));
    let body = message.body.iter().map(|line| (line, true));
    for (line, in_body) in head.chain(body) {
        for part in parts(line, in_body) {
            let piece = line.get(part.start..part.end).unwrap_or_default();
            match part.what {
                Sort::Identity => {
                    found.identities.push(piece.to_owned());
                    let plain = unescaped(piece);
                    if plain != piece {
                        found.identities.push(plain);
                    }
                }
                Sort::Secret => found.secrets.push(piece.to_owned()),
                Sort::Private => {}
            }
        }
    }
    found
}

/// Masks a message line by line.
pub(super) fn mask_message(text: &str, options: &RedactOptions, names: &mut Names) -> String {
    let message = split(text);
    let mut out = String::with_capacity(text.len());
    for line in &message.head {
        out.push_str(&mask_line(line, false, options, names));
        out.push_str("\r\n");
    }
    if !message.has_body {
        return out;
    }
    out.push_str("\r\n");
    let length: usize = message.body.iter().map(String::len).sum();
    if options.bodies && !message.is_known_body && length > 0 {
        out.push_str(&format!("[body of about {length} bytes withheld]\r\n"));
        return out;
    }
    for line in &message.body {
        out.push_str(&mask_line(line, true, options, names));
        out.push_str("\r\n");
    }
    out
}

/// Masks a sentence.
pub(super) fn mask_note(text: &str, options: &RedactOptions, names: &mut Names) -> String {
    mask_line(text, false, options, names)
}

struct Message {
    /// Lines up to the empty one, folds undone.
    head: Vec<String>,
    body: Vec<String>,
    has_body: bool,
    is_known_body: bool,
}

fn split(text: &str) -> Message {
    let mut head: Vec<String> = Vec::new();
    let mut body = Vec::new();
    let mut has_body = false;
    for line in text.lines() {
        if has_body {
            body.push(line.to_owned());
        } else if line.is_empty() && !head.is_empty() {
            has_body = true;
        } else if let Some(last) = head.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            // A folded header is one header: half a digest answer on the next line is still one.
            last.push(' ');
            last.push_str(line.trim_start());
        } else {
            head.push(line.to_owned());
        }
    }
    let is_known_body = head.iter().any(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim().to_ascii_lowercase();
        matches!(
            name.trim().to_ascii_lowercase().as_str(),
            "content-type" | "c"
        ) && (value.starts_with("application/sdp") || value.starts_with("message/sipfrag"))
    });
    Message {
        head,
        body,
        has_body,
        is_known_body,
    }
}

fn mask_line(line: &str, in_body: bool, options: &RedactOptions, names: &mut Names) -> String {
    let mut out = String::with_capacity(line.len());
    let mut copied = 0;
    for part in parts(line, in_body) {
        let wanted = match part.what {
            Sort::Secret => options.secrets,
            Sort::Identity | Sort::Private => options.identities,
        };
        // Parts may overlap: what was masked as a part of a larger one stays masked.
        if !wanted || part.end <= copied {
            continue;
        }
        let start = part.start.max(copied);
        out.push_str(line.get(copied..start).unwrap_or_default());
        let piece = line.get(start..part.end).unwrap_or_default();
        match part.what {
            Sort::Identity => out.push_str(&names.pseudonym(piece)),
            // A key is read by its length; where there are words instead, Wireshark gives up the whole message.
            Sort::Secret if in_body => {
                out.extend(std::iter::repeat_n(char::from(MASK), piece.len()));
            }
            Sort::Secret | Sort::Private => out.push_str(WITHHELD),
        }
        copied = part.end;
    }
    out.push_str(line.get(copied..).unwrap_or_default());
    out
}

/// All that is to be masked in a line, by its start; at one start the largest first.
pub(super) fn parts(line: &str, in_body: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let (name, value_at) = match line.find(':') {
        Some(colon) if !in_body => (
            line.get(..colon)
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase(),
            colon + 1,
        ),
        _ => (String::new(), 0),
    };
    if in_body {
        sdp_parts(line, &mut parts);
    }
    let whole = trimmed(line, value_at);
    match name.as_str() {
        "authorization" | "proxy-authorization" => credentials(line, whole.clone(), &mut parts),
        "subject" | "s" | "identity" | "y" | "user-to-user" | "organization" | "geolocation" => {
            parts.push(Part {
                start: whole.start,
                end: whole.end,
                what: Sort::Private,
            });
        }
        "from"
        | "f"
        | "to"
        | "t"
        | "contact"
        | "m"
        | "p-asserted-identity"
        | "p-preferred-identity"
        | "remote-party-id"
        | "diversion"
        | "history-info"
        | "referred-by"
        | "b"
        | "refer-to"
        | "r"
        | "reply-to"
        | "p-called-party-id"
        | "p-associated-uri"
        | "record-route"
        | "route"
        | "path"
        | "service-route" => {
            display_names(line, value_at, &mut parts);
        }
        _ => {}
    }
    uris(line, &mut parts);
    // A Call-ID and a Via may look like user@host and are not.
    if !matches!(name.as_str(), "call-id" | "i" | "via" | "v") {
        mail_like(line, value_at, &mut parts);
    }
    for key in ["response", "rspauth", "password", "passwd"] {
        parameter(line, key, Sort::Secret, &mut parts);
    }
    parameter(line, "username", Sort::Identity, &mut parts);
    parameter(line, "username*", Sort::Identity, &mut parts);
    parts.retain(|part| part.start < part.end);
    parts.sort_by_key(|part| {
        (
            part.start,
            std::cmp::Reverse(part.end),
            part.what != Sort::Secret,
        )
    });
    parts
}

/// Anything but Digest is a secret as it stands: Basic, Bearer.
fn credentials(line: &str, whole: std::ops::Range<usize>, parts: &mut Vec<Part>) {
    let value = line.get(whole.clone()).unwrap_or_default();
    let scheme = value.split(' ').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("digest") {
        parts.push(Part {
            start: whole.start + scheme.len() + 1,
            end: whole.end,
            what: Sort::Secret,
        });
    }
}

/// Keys of SDP lines, and names people give their machines.
fn sdp_parts(line: &str, parts: &mut Vec<Part>) {
    let mut push = |start: usize, end: usize, what| parts.push(Part { start, end, what });
    let lower = line.to_ascii_lowercase();
    // RFC 4568 §9.1: several keys may follow each other, each with its lifetime and its index.
    for (inline, _) in lower
        .match_indices("inline:")
        .filter(|_| lower.starts_with("a=crypto:"))
    {
        let start = inline + "inline:".len();
        let key = line.get(start..).unwrap_or_default();
        let length = key.find(|c: char| c == '|' || c == ';' || c.is_whitespace());
        push(start, start + length.unwrap_or(key.len()), Sort::Secret);
    }
    for prefix in ["k=", "a=ice-pwd:", "a=key-mgmt:", "a=setup-key:"] {
        if lower.starts_with(prefix) {
            push(prefix.len(), line.len(), Sort::Secret);
        }
    }
    for prefix in ["i=", "e=", "p=", "u="] {
        if lower.starts_with(prefix) {
            push(prefix.len(), line.len(), Sort::Private);
        }
    }
    if lower.starts_with("o=") {
        let end = line.find(' ').unwrap_or(line.len());
        let user = line.get(2..end).unwrap_or_default();
        if user != "-" {
            push(2, end, Sort::Identity);
        }
    }
}

/// What stands before each `<`: a quoted name or words.
fn display_names(line: &str, from: usize, parts: &mut Vec<Part>) {
    let mut begin = from;
    for (open, _) in line.match_indices('<') {
        // A `<` in quotes, as in `+sip.instance="<urn:uuid:…>"`, opens no address.
        let quotes = line.get(from..open).map_or(0, unescaped_quotes);
        if open < begin || quotes % 2 == 1 {
            continue;
        }
        let range = trimmed(line.get(..open).unwrap_or_default(), begin);
        let name = line.get(range.clone()).unwrap_or_default();
        // After the first address comes `>;tag=1,` and then the next name.
        let skipped = match name.starts_with('"') {
            true => 0,
            false => name.rfind(',').map_or(0, |comma| comma + 1),
        };
        let range = trimmed(
            line.get(..range.end).unwrap_or_default(),
            range.start + skipped,
        );
        let name = line.get(range.clone()).unwrap_or_default();
        let inner = match name.strip_prefix('"') {
            Some(rest) => {
                let length = rest.strip_suffix('"').unwrap_or(rest).len();
                range.start + 1..range.start + 1 + length
            }
            None => range,
        };
        parts.push(Part {
            start: inner.start,
            end: inner.end,
            what: Sort::Identity,
        });
        begin = line
            .get(open..)
            .and_then(|rest| rest.find('>'))
            .map_or(line.len(), |close| open + close + 1);
    }
}

/// How many quotes begin or end a quoted string.
fn unescaped_quotes(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .filter(|byte| {
            let counts = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            counts
        })
        .count()
}

/// User parts and passwords of SIP URIs, numbers of tel URIs.
fn uris(line: &str, parts: &mut Vec<Part>) {
    let lower = line.to_ascii_lowercase();
    for scheme in ["sip:", "sips:", "tel:", "im:", "pres:"] {
        for (at, _) in lower.match_indices(scheme) {
            // `sip:` inside `xsip:` is another word; inside `sips:` it does not occur.
            if lower
                .get(..at)
                .is_some_and(|before| before.ends_with(|c: char| c.is_alphanumeric()))
            {
                continue;
            }
            let start = at + scheme.len();
            let rest = line.get(start..).unwrap_or_default();
            let end = rest
                .find(|c: char| c.is_whitespace() || matches!(c, '>' | '<' | '"'))
                .unwrap_or(rest.len());
            let uri = rest.get(..end).unwrap_or_default();
            if scheme == "tel:" {
                let number = uri.split([';', ',', '?']).next().unwrap_or(uri);
                parts.push(Part {
                    start,
                    end: start + number.len(),
                    what: Sort::Identity,
                });
                continue;
            }
            let Some(userinfo) = uri.rfind('@').and_then(|at| uri.get(..at)) else {
                continue;
            };
            let user = userinfo.split(':').next().unwrap_or(userinfo);
            parts.push(Part {
                start,
                end: start + user.len(),
                what: Sort::Identity,
            });
            if userinfo.len() > user.len() {
                parts.push(Part {
                    start: start + user.len() + 1,
                    end: start + userinfo.len(),
                    what: Sort::Secret,
                });
            }
        }
    }
}

/// `someone@somewhere` without a scheme.
fn mail_like(line: &str, from: usize, parts: &mut Vec<Part>) {
    for (at, _) in line.match_indices('@') {
        let before = line.get(from..at).unwrap_or_default();
        let user_from = before
            .rfind(|c: char| {
                !(c.is_alphanumeric()
                    || matches!(c, '.' | '_' | '-' | '+' | '%' | '!' | '~' | '*' | '\''))
            })
            .map_or(0, |other| {
                other
                    + before
                        .get(other..)
                        .and_then(|s| s.chars().next())
                        .map_or(1, char::len_utf8)
            });
        let what = Sort::Identity;
        parts.push(Part {
            start: from + user_from,
            end: at,
            what,
        });
    }
}

/// `key="value"` or `key=value`.
fn parameter(line: &str, key: &str, what: Sort, parts: &mut Vec<Part>) {
    let lower = line.to_ascii_lowercase();
    for (at, _) in lower.match_indices(key) {
        let starts_word = lower
            .get(..at)
            .is_none_or(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '-'));
        let after = line.get(at + key.len()..).unwrap_or_default();
        let Some(value) = after.trim_start().strip_prefix('=').filter(|_| starts_word) else {
            continue;
        };
        let value = value.trim_start();
        let start = line.len() - value.len();
        let (start, length) = match value.strip_prefix('"') {
            Some(quoted) => (start + 1, end_of_quoted(quoted)),
            None => (
                start,
                value
                    .find(|c: char| c == ',' || c == ';' || c.is_whitespace())
                    .unwrap_or(value.len()),
            ),
        };
        parts.push(Part {
            start,
            end: start + length,
            what,
        });
    }
}

fn end_of_quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// The range from `from` to the end without the white space around it.
fn trimmed(line: &str, from: usize) -> std::ops::Range<usize> {
    let rest = line.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_start().len());
    let end = from + rest.trim_end().len();
    start..end.max(start)
}

/// Percent escapes undone (RFC 3261 §19.1.2): the same person written in another way.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        let escape = match (first, tail) {
            (b'%', [high, low, ..]) => hex(high).zip(hex(low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
