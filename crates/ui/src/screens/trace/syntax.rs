//! The syntax of SIP and SDP, taken apart so that each part can have its own ink.

use std::ops::Range;

/// What a stretch of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The method of a request.
    Method,
    /// Code and phrase of a response.
    Status,
    /// `SIP/2.0`.
    Version,
    /// The name of a header.
    Name,
    /// The name of a parameter.
    Parameter,
    /// What parts the others: `:`, `;`, `=`.
    Sign,
    /// A value.
    Value,
    /// An address.
    Address,
    /// A quoted string.
    Quoted,
    /// What was withheld here.
    Withheld,
    /// The letter of an SDP line (RFC 8866 §5).
    Letter,
    /// The name of an SDP attribute or the kind of a medium.
    Attribute,
    /// A line of a body that is not SDP.
    Body,
}

/// What stands in place of a secret.
const WITHHELD: &str = "[withheld]";

/// Takes a message apart. The ranges are in order and touch; together they are the whole text.
pub(super) fn parts(text: &str) -> Vec<(Part, Range<usize>)> {
    let mut found = Found::default();
    let mut at = 0;
    let mut is_first = true;
    let mut in_head = true;
    for line in text.split_inclusive('\n') {
        let words = line.trim_end_matches(['\r', '\n']);
        if is_first {
            start_line(&mut found, at, words);
        } else if words.is_empty() {
            in_head = false;
        } else if in_head {
            header(&mut found, at, words);
        } else {
            description(&mut found, at, words);
        }
        is_first = false;
        at += line.len();
        // The end of the line belongs to whatever was before it.
        found.up_to(Part::Sign, at);
    }
    found.parts
}

#[derive(Default)]
struct Found {
    parts: Vec<(Part, Range<usize>)>,
    end: usize,
}

impl Found {
    /// The text from where the last part ended to `end` is this.
    fn up_to(&mut self, part: Part, end: usize) {
        if end <= self.end {
            return;
        }
        match self.parts.last_mut() {
            Some((last, range)) if *last == part => range.end = end,
            _ => self.parts.push((part, self.end..end)),
        }
        self.end = end;
    }
}

/// `INVITE sip:bob@example.com SIP/2.0` or `SIP/2.0 180 Ringing` (RFC 3261 §7.1, §7.2).
fn start_line(found: &mut Found, at: usize, line: &str) {
    match line.split_once(' ') {
        Some((version, status)) if version.starts_with("SIP/") => {
            found.up_to(Part::Version, at + version.len() + 1);
            found.up_to(Part::Status, at + version.len() + 1 + status.len());
        }
        Some((method, rest)) => {
            found.up_to(Part::Method, at + method.len() + 1);
            let target = rest.rfind(' ').unwrap_or(rest.len());
            found.up_to(Part::Address, at + method.len() + 1 + target);
            found.up_to(Part::Version, at + line.len());
        }
        None => found.up_to(Part::Value, at + line.len()),
    }
}

/// `Name: value;parameter=value` (RFC 3261 §7.3.1); a line that continues the one before has no name.
fn header(found: &mut Found, at: usize, line: &str) {
    let folded = line.starts_with([' ', '\t']);
    let value = match line.find(':').filter(|_| !folded) {
        Some(colon) => {
            found.up_to(Part::Name, at + colon);
            found.up_to(Part::Sign, at + colon + 1);
            colon + 1
        }
        None => 0,
    };
    values(found, at, line, value);
}

/// Quoted strings, addresses in brackets, parameters, and the rest.
fn values(found: &mut Found, at: usize, line: &str, from: usize) {
    let mut here = from;
    while let Some(rest) = line.get(here..).filter(|rest| !rest.is_empty()) {
        let (part, len) = if rest.starts_with(WITHHELD) {
            (Part::Withheld, WITHHELD.len())
        } else if rest.starts_with('"') {
            let len = quoted(rest);
            let inside = rest.get(1..len.saturating_sub(1));
            let part = if inside == Some(WITHHELD) {
                Part::Withheld
            } else {
                Part::Quoted
            };
            (part, len)
        } else if rest.starts_with('<') {
            (Part::Address, rest.find('>').map_or(rest.len(), |i| i + 1))
        } else if rest.starts_with([';', '=', ',']) {
            (Part::Sign, 1)
        } else {
            // A bracket that withholds nothing is a letter like others.
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let tail = rest.get(first..).unwrap_or("");
            let len = tail
                .find(['"', '<', ';', '=', ',', '['])
                .map_or(rest.len(), |next| first + next);
            let after_semicolon = line.get(..here).is_some_and(|l| l.ends_with(';'));
            let before_equals = rest.get(len..).is_some_and(|r| r.starts_with('='));
            let part = if after_semicolon || before_equals {
                Part::Parameter
            } else {
                Part::Value
            };
            (part, len)
        };
        here += len;
        found.up_to(part, at + here);
    }
}

/// The length of a quoted string with its quotes (RFC 3261 §25.1); one that does not end takes the line.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (index, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// `a=rtpmap:96 opus/48000` (RFC 8866 §5); a line of another shape is part of another body.
fn description(found: &mut Found, at: usize, line: &str) {
    let Some((letter, value)) = line.split_once('=').filter(|(l, _)| l.len() == 1) else {
        found.up_to(Part::Body, at + line.len());
        return;
    };
    found.up_to(Part::Letter, at + 1);
    found.up_to(Part::Sign, at + 2);
    let name = match letter {
        "a" => value.find(':').unwrap_or(value.len()),
        "m" => value.find(' ').unwrap_or(value.len()),
        _ => 0,
    };
    found.up_to(Part::Attribute, at + 2 + name);
    if value.contains(WITHHELD) {
        found.up_to(Part::Withheld, at + line.len());
    } else {
        found.up_to(Part::Value, at + line.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(Part, &str)> {
        parts(text)
            .into_iter()
            .map(|(part, range)| (part, &text[range]))
            .filter(|(_, words)| !words.trim().is_empty())
            .collect()
    }

    #[test]
    fn a_request_with_a_description_is_taken_apart() {
        use Part::*;
        let text = "INVITE sip:bob@example.com SIP/2.0\nFrom: \"A, B\" <sip:a@example.com>;tag=8f\n\
                    Authorization: Digest realm=\"x\", response=\"[withheld]\"\n\nv=0\nm=audio 4000 RTP/AVP 0\n\
                    a=rtpmap:96 opus/48000\n";
        assert_eq!(
            told(text),
            [
                (Method, "INVITE "),
                (Address, "sip:bob@example.com"),
                (Version, " SIP/2.0"),
                (Name, "From"),
                (Sign, ":"),
                (Quoted, "\"A, B\""),
                (Address, "<sip:a@example.com>"),
                (Sign, ";"),
                (Parameter, "tag"),
                (Sign, "="),
                (Value, "8f"),
                (Name, "Authorization"),
                (Sign, ":"),
                (Parameter, " Digest realm"),
                (Sign, "="),
                (Quoted, "\"x\""),
                (Sign, ","),
                (Parameter, " response"),
                (Sign, "="),
                (Withheld, "\"[withheld]\""),
                (Letter, "v"),
                (Sign, "="),
                (Value, "0"),
                (Letter, "m"),
                (Sign, "="),
                (Attribute, "audio"),
                (Value, " 4000 RTP/AVP 0"),
                (Letter, "a"),
                (Sign, "="),
                (Attribute, "rtpmap"),
                (Value, ":96 opus/48000"),
            ]
        );
    }

    #[test]
    fn a_response_shows_its_status() {
        assert_eq!(
            told("SIP/2.0 486 Busy Here\r\n"),
            [(Part::Version, "SIP/2.0 "), (Part::Status, "486 Busy Here")]
        );
    }

    #[test]
    fn whatever_the_text_is_its_parts_are_the_whole_of_it() {
        for text in [
            "",
            "\r\n\r\n",
            "SIP/2.0",
            "Ü: \"ü\nTo: <ü\n \"a\\\"b\n;;==[\n\nä=1\nm=\na=\n=\nx",
            "OPTIONS \nA:[withheld\nB: [withheld];=\"",
        ] {
            let parts = parts(text);
            let mut end = 0;
            for (_, range) in &parts {
                assert_eq!(range.start, end, "{text:?}");
                end = range.end;
            }
            assert_eq!(end, text.len(), "{text:?}");
        }
    }
}
