//! `answer --menu`: what each key of a caller does.
//!
//! ```text
//! # key  what it does
//! 1      call 601
//! 2      call sip:sales@example.com
//! #      hang-up
//! ```

use std::path::Path;

use anyhow::{Context, bail};
use model::{CallId, Command};

/// A menu is read as a whole; one is a few lines.
const LONGEST: u64 = 64 * 1024;

/// What the keys of a telephone do.
#[derive(Debug, Default)]
pub(crate) struct Menu(Vec<(char, Choice)>);

#[derive(Debug, PartialEq)]
enum Choice {
    /// Whoever called is connected with somebody else.
    Call(String),
    /// The call ends.
    HangUp,
}

impl Menu {
    /// Reads the menu of a file.
    ///
    /// # Errors
    /// When there is no such file, or the line that is no choice.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let facts = std::fs::metadata(file).with_context(|| format!("{name} cannot be read"))?;
        if facts.len() > LONGEST {
            bail!("{name} is too long for a menu");
        }
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{name} cannot be read as text in UTF-8"))?;
        Self::parse(&text).map_err(|(line, why)| anyhow::anyhow!("{name}, line {line}: {why}"))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut menu = Self::default();
        for (line, number) in text.lines().zip(1..) {
            let mut words = line.split_whitespace();
            // A key may be #, so a remark is a # with a word behind it that is none of ours.
            let (key, verb) = (words.next(), words.next());
            let Some(key) = key.filter(|_| !is_remark(line)) else {
                continue;
            };
            let target: Vec<&str> = words.collect();
            let wrong = |why: String| (number, why);
            let mut signs = key.chars();
            let (Some(sign), None) = (signs.next(), signs.next()) else {
                return Err(wrong(format!(
                    "“{key}” is no key; there are 0-9, *, # and A-D"
                )));
            };
            let sign = sign.to_ascii_uppercase();
            if !matches!(sign, '0'..='9' | '*' | '#' | 'A'..='D') {
                return Err(wrong(format!(
                    "“{key}” is no key; there are 0-9, *, # and A-D"
                )));
            }
            let choice = match (verb, target.as_slice()) {
                (Some("call"), [_, ..]) => Choice::Call(target.join(" ")),
                (Some("hang-up"), []) => Choice::HangUp,
                _ => {
                    return Err(wrong(
                        "expected `call` with whom to call, or `hang-up`, behind the key"
                            .to_owned(),
                    ));
                }
            };
            if menu.0.iter().any(|(known, _)| *known == sign) {
                return Err(wrong(format!("the key {sign} has a choice already")));
            }
            menu.0.push((sign, choice));
        }
        match menu.0.is_empty() {
            true => Err((1, "there is no choice in it".to_owned())),
            false => Ok(menu),
        }
    }

    /// What a key of the peer leads to; nothing where the menu has none for it.
    pub(crate) fn choose(&self, call: CallId, key: char) -> Option<Command> {
        let key = key.to_ascii_uppercase();
        let (_, choice) = self.0.iter().find(|(known, _)| *known == key)?;
        Some(match choice {
            Choice::Call(target) => Command::TransferCall {
                call,
                target: target.as_str().into(),
            },
            Choice::HangUp => Command::EndCall { call },
        })
    }
}

/// `# words`, but not the choice of the key #.
fn is_remark(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("#"), Some("call" | "hang-up")) => false,
        (Some(first), _) => first.starts_with('#'),
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_leads_where_its_line_says() {
        let menu = "# our menu\n\n1 call 601\n2  call +49 30 123456\n# hang-up\na call bob\n#end";
        let menu = Menu::parse(menu).expect("a menu");
        let call = CallId(3);
        let to = |target: &str| {
            let target = target.into();
            Some(Command::TransferCall { call, target })
        };
        assert_eq!(menu.choose(call, '1'), to("601"));
        assert_eq!(menu.choose(call, '2'), to("+49 30 123456"));
        assert_eq!(menu.choose(call, 'A'), to("bob"));
        assert_eq!(menu.choose(call, '#'), Some(Command::EndCall { call }));
        assert_eq!(menu.choose(call, '7'), None);
    }

    #[test]
    fn a_line_that_is_no_choice_is_named() {
        for (text, line, said) in [
            ("", 1, "no choice"),
            ("# nothing\n", 1, "no choice"),
            ("1 call 601\n12 call 602", 2, "“12” is no key"),
            ("é hang-up", 1, "no key"),
            ("1", 1, "expected"),
            ("1 call", 1, "expected"),
            ("1 hang-up now", 1, "expected"),
            ("1 dance", 1, "expected"),
            ("1 call 601\n1 call 602", 2, "already"),
        ] {
            let (number, why) = Menu::parse(text).expect_err(text);
            assert!(
                number == line && why.contains(said),
                "{text}: {number} {why}"
            );
        }
    }
}
