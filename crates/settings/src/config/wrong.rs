//! What is wrong with a value, in words for whoever wrote it.

/// One sentence, without a full stop, from what the reader of the file says: which key, what stands
/// there and what is expected.
pub(super) fn sentence(key: Option<&str>, message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    let fault = fault(&message).unwrap_or(message);
    match key {
        Some(key) => format!("{QUOTE}{key}{UNQUOTE}: {fault}"),
        None => fault,
    }
}

fn fault(message: &str) -> Option<String> {
    let kinds = ["invalid type: ", "invalid value: "];
    if let Some(rest) = kinds.iter().find_map(|kind| message.strip_prefix(kind)) {
        let (found, expected) = rest.rsplit_once(", expected ")?;
        let (found, expected) = (found_words(found), expected_words(expected));
        return Some(format!("{expected} is expected here, and not {found}"));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (found, expected) = rest.split_once(", expected ")?;
        let expected = expected.trim_start_matches("one of ").replace('`', "");
        let found = found.trim_matches('`');
        return Some(format!(
            "{QUOTE}{found}{UNQUOTE} is none of what can stand here: {expected}"
        ));
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        let key = key.trim_matches('`');
        return Some(format!("the key {QUOTE}{key}{UNQUOTE} is missing here"));
    }
    if message == "invalid socket address syntax" {
        return Some("an IP address with a port is expected here, like 192.0.2.53:53".to_owned());
    }
    if message == "invalid IP address syntax" {
        return Some("an IP address is expected here, like 192.0.2.53".to_owned());
    }
    None
}

fn expected_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number that is not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "string" => "text in quotation marks".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list in square brackets".to_owned(),
        "a map" => "a table".to_owned(),
        "IP address" => "an IP address like 192.0.2.53".to_owned(),
        "socket address" => "an IP address with a port, like 192.0.2.53:53".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other if other.contains("variant") => "one word in quotation marks".to_owned(),
        other => other.to_owned(),
    }
}

fn found_words(found: &str) -> String {
    let value = |kind: &str| found.strip_prefix(kind).map(|rest| rest.trim_matches('`'));
    if let Some(text) = found.strip_prefix("string ") {
        return format!("the text {text}");
    }
    let number = value("integer ").or_else(|| value("floating point "));
    if let Some(number) = number {
        return format!("the number {number}");
    }
    if let Some(truth) = value("boolean ") {
        return truth.to_owned();
    }
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        other => other.to_owned(),
    }
}

const QUOTE: char = '\u{201c}';
const UNQUOTE: char = '\u{201d}';
