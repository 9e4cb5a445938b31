//! The tolerant pre-pass: makes of received bytes what a strict reader accepts.
//!
//! Lines may end in LF alone, the last one not at all; NUL bytes and stray CR vanish; `o=` may
//! have a user name with spaces; a line that nobody can read is left out unless it is an `m=`
//! line. Each repair is told.

use sdp_types::{ParserError, Session};

use crate::error::SdpError;

/// Larger than any description of a call; what is larger is refused unread.
const LARGEST: usize = 64 * 1_024;
const MOST_LINES: usize = 2_000;
/// Media lines of one description.
const MOST_MEDIA: usize = 64;
/// Unreadable lines that are left out before the whole is given up.
const MOST_REPAIRS: usize = 32;

/// Reads a session, together with what had to be repaired.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Session, Vec<String>), SdpError> {
    if bytes.len() > LARGEST {
        return Err(SdpError::TooLarge(format!("{} bytes", bytes.len())));
    }
    let mut repairs = Vec::new();
    let mut lines = lines(bytes, &mut repairs)?;
    for _ in 0..=MOST_REPAIRS {
        match Session::parse(lines.join("\r\n").as_bytes()) {
            Ok(session) => return Ok((session, repairs)),
            Err(error) => leave_out(&error, &mut lines, &mut repairs)?,
        }
    }
    Err(SdpError::Malformed("too many unreadable lines".to_owned()))
}

fn lines(bytes: &[u8], repairs: &mut Vec<String>) -> Result<Vec<String>, SdpError> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') {
        repairs.push("NUL bytes were left out".to_owned());
    }
    let mut lines = Vec::new();
    let mut media = 0usize;
    let mut has_version = false;
    for line in text.split('\n') {
        let line: String = line.chars().filter(|c| !matches!(c, '\0' | '\r')).collect();
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let mut chars = line.chars();
        let (Some(key), Some('=')) = (chars.next(), chars.next()) else {
            repairs.push(format!(
                "a line without a type was left out: {}",
                shortened(line)
            ));
            continue;
        };
        let value = chars.as_str().trim();
        media += usize::from(key == 'm');
        if lines.len() >= MOST_LINES || media > MOST_MEDIA {
            return Err(SdpError::TooLarge(format!(
                "{media} media, {} lines",
                lines.len()
            )));
        }
        if key == 'v' {
            if has_version || !lines.is_empty() {
                repairs.push("a v= line was not the first".to_owned());
                continue;
            }
            has_version = true;
        } else if !has_version {
            repairs.push("the v= line was missing".to_owned());
            lines.push("v=0".to_owned());
            has_version = true;
        }
        lines.push(match key {
            'o' => origin(value, repairs),
            'm' => media_line(value, repairs),
            _ => format!("{key}={value}"),
        });
    }
    if lines.is_empty() {
        return Err(SdpError::Malformed("it is empty".to_owned()));
    }
    Ok(lines)
}

/// The last five fields of `o=` are fixed; what stands before them is the user name.
fn origin(value: &str, repairs: &mut Vec<String>) -> String {
    let fields: Vec<&str> = value.split_whitespace().collect();
    let Some((user, [id, version, net, family, address])) = fields.split_last_chunk::<5>() else {
        return format!("o={value}");
    };
    let user = match user {
        [] => "-".to_owned(),
        [user] => (*user).to_owned(),
        several => {
            repairs.push("the user name in o= has spaces".to_owned());
            several.join("_")
        }
    };
    let version = if version.parse::<u64>().is_ok() {
        (*version).to_owned()
    } else {
        repairs.push(format!(
            "the version in o= is no number: {}",
            shortened(version)
        ));
        let digits: String = version
            .chars()
            .filter(char::is_ascii_digit)
            .take(18)
            .collect();
        if digits.is_empty() {
            "0".to_owned()
        } else {
            digits
        }
    };
    format!("o={user} {id} {version} {net} {family} {address}")
}

/// Exactly one space between the fields, and a format even where a refused line has none.
fn media_line(value: &str, repairs: &mut Vec<String>) -> String {
    let fields: Vec<&str> = value.split_whitespace().collect();
    if fields.len() == 3 {
        repairs.push("an m= line has no format".to_owned());
        return format!("m={} 0", fields.join(" "));
    }
    format!("m={}", fields.join(" "))
}

/// Takes the line out that stopped the strict reader.
fn leave_out(
    error: &ParserError,
    lines: &mut Vec<String>,
    repairs: &mut Vec<String>,
) -> Result<(), SdpError> {
    let malformed = || SdpError::Malformed(error.to_string());
    let index = line_of(error)
        .and_then(|n| n.checked_sub(1))
        .ok_or_else(malformed)?;
    match lines.get(index) {
        Some(line) if !line.starts_with("m=") && !line.starts_with("v=") => {
            repairs.push(format!(
                "an unreadable line was left out: {}",
                shortened(line)
            ));
            lines.remove(index);
            Ok(())
        }
        _ => Err(malformed()),
    }
}

#[allow(deprecated)] // Two variants are never made any more, but still have to be matched.
fn line_of(error: &ParserError) -> Option<usize> {
    use ParserError as E;
    match error {
        E::UnexpectedLine(n, _)
        | E::InvalidLineFormat(n, _)
        | E::InvalidFieldEncoding(n, _)
        | E::InvalidFieldFormat(n, _)
        | E::MissingField(n, _)
        | E::FieldTrailingData(n, _)
        | E::InvalidVersion(n, _)
        | E::MultipleVersions(n)
        | E::MultipleOrigins(n)
        | E::MultipleSessionNames(n)
        | E::MultipleSessionDescription(n)
        | E::MultipleUris(n)
        | E::MultipleConnections(n)
        | E::MultipleTimeZones(n)
        | E::MultipleMediaTitles(n)
        | E::MultipleKeys(n)
        | E::RepeatWithoutTime(n) => Some(*n),
        E::NoVersion | E::NoOrigin | E::NoSessionName => None,
    }
}

fn shortened(line: &str) -> String {
    const LONGEST: usize = 60;
    if line.contains("inline:") {
        return "one with a key".to_owned();
    }
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("“{}…”", line.get(..end).unwrap_or_default()),
        None => format!("“{line}”"),
    }
}
