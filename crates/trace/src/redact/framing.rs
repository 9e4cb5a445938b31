//! How long a message says that it is, after its words have changed.

/// Names of the header that says how long the body is (RFC 3261 §20.14).
const NAMES: [&str; 2] = ["content-length", "l"];

/// The masked text of a message, saying of its length what the message said of its own: the same when that was true, and
/// otherwise as much too little or too much, for that is what was wrong with it.
pub(super) fn keep(message: &[u8], masked: String) -> String {
    let was = message.len().saturating_sub(head_of(message));
    let head = head_of(masked.as_bytes());
    let is = masked.len().saturating_sub(head);
    if was == is {
        return masked;
    }
    let (head, body) = masked.split_at(head);
    let mut out = String::with_capacity(masked.len() + 2);
    for line in head.split_inclusive('\n') {
        match declared(line) {
            Some((before, number, after)) => {
                let number = number.saturating_add(is).saturating_sub(was);
                out.push_str(&format!("{before}{number}{after}"));
            }
            None => out.push_str(line),
        }
    }
    out.push_str(body);
    out
}

/// Octets up to the body, the empty line with them; all where there is none.
fn head_of(message: &[u8]) -> usize {
    let after = |end: &[u8]| {
        let found = message.windows(end.len()).position(|window| window == end);
        found.map(|at| at + end.len())
    };
    let ends = [after(b"\r\n\r\n"), after(b"\n\n")];
    ends.into_iter().flatten().min().unwrap_or(message.len())
}

/// The number of octets in this line, and what stands around it.
fn declared(line: &str) -> Option<(&str, usize, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim().to_ascii_lowercase();
    let number = value.trim();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !NAMES.contains(&name.as_str()) || !is_number {
        return None;
    }
    let at = line.rfind(number)?;
    let (before, rest) = line.split_at(at);
    let (digits, after) = rest.split_at(number.len());
    Some((before, digits.parse().ok()?, after))
}
