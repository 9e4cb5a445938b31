//! Faults as one sentence for a person.

use std::io::{self, Write};
use std::path::Path;

/// An error and its causes in one line, each said once: some errors already hold the words of their
/// cause, and saying those twice helps nobody.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = match cause.downcast_ref::<io::Error>() {
            // What stands there in the system's own words is put into ours.
            Some(error) => {
                let raw = one_line(&error.to_string());
                if text.contains(&raw) {
                    text = text.replace(&raw, &reason(error));
                }
                reason(error)
            }
            None => one_line(&cause.to_string()),
        };
        if text.is_empty() {
            text = words;
        } else if !words.is_empty() && !text.contains(&words) {
            text = format!("{text}: {words}");
        }
    }
    text
}

/// Prints on standard output.
///
/// # Errors
/// When it cannot be written; a reader that has seen enough is none.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            anyhow::bail!("standard output cannot be written: {}", reason(&error))
        }
        _ => Ok(()),
    }
}

/// What the system said of a file, with the file.
pub(crate) fn of_file(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("{}: {}", path.display(), reason(error))
}

/// What the system says, in words for a person.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "this is not text in UTF-8".to_owned(),
        _ => one_line(&model::system_words(error)),
    }
}

/// Without line ends and without the system's numbers, which say nothing to a person.
fn one_line(text: &str) -> String {
    model::without_numbers(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::error::Error;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "it cannot be used: {}", self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let error = anyhow::Error::new(Outer(io::Error::other("odd thing")));
        assert_eq!(sentence(&error), "it cannot be used: odd thing");
        let error = anyhow::Error::new(Outer(io::ErrorKind::AddrInUse.into()));
        assert_eq!(
            sentence(&error),
            "it cannot be used: another program uses it"
        );
        let error: Result<(), _> = Err(io::Error::from(io::ErrorKind::NotFound));
        let error = error.context("x.wav cannot be played").unwrap_err();
        assert_eq!(
            sentence(&error),
            "x.wav cannot be played: there is no such file or folder"
        );
    }

    #[test]
    fn a_sentence_has_one_line_and_no_number_of_the_system() {
        let error = anyhow::anyhow!("first\n  second: Is a directory (os error 21)");
        assert_eq!(sentence(&error), "first second: Is a directory");
    }
}
