//! What the system says of a fault, in words for a person.

use std::io::{Error, ErrorKind};

/// The fault without the system's own numbers, which say nothing to a person.
pub fn system_words(error: &Error) -> String {
    let known = match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder",
        ErrorKind::IsADirectory => "this is a folder, and a file is needed",
        ErrorKind::NotADirectory => "a part of the path is a file and no folder",
        ErrorKind::PermissionDenied => "permission is missing",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::QuotaExceeded => "the disk quota is used up",
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only",
        ErrorKind::AddrInUse => "another program uses it",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        _ => return without_numbers(&error.to_string()),
    };
    known.to_owned()
}

/// `Too many open files (os error 24)` without what stands in brackets.
pub fn without_numbers(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text.get(start..).and_then(|rest| rest.find(')')) else {
            break;
        };
        text.replace_range(start..=start + length, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_the_system_reaches_a_person() {
        let error = Error::from_raw_os_error(24);
        assert!(!system_words(&error).contains("os error"), "{error}");
        assert_eq!(
            system_words(&ErrorKind::StorageFull.into()),
            "the disk is full"
        );
        assert_eq!(without_numbers("a (os error 2): b (os error 3)"), "a: b");
        assert_eq!(without_numbers("a (os error 2"), "a (os error 2");
    }
}
