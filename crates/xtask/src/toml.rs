//! The little of TOML that `tests/data/features.toml` is written in: `[table]` headers and
//! `key = { name = "text", list = ["text"] }` lines, comments, and nothing else.

use crate::shell::{Fault, failed};

/// One `key = { … }` line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The table it stands in.
    pub(crate) table: String,
    pub(crate) key: String,
    pub(crate) fields: Vec<(String, Field)>,
    /// Line number, from 1.
    pub(crate) number: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Text(String),
    List(Vec<String>),
}

impl Line {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|(key, field)| match field {
            Field::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn list(&self, name: &str) -> Option<&[String]> {
        self.fields.iter().find_map(|(key, field)| match field {
            Field::List(items) if key == name => Some(items.as_slice()),
            _ => None,
        })
    }
}

/// Reads a whole file. A `tests = [` list may go over several lines.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, Fault> {
    let mut reader = Reader {
        rest: text,
        number: 1,
    };
    let mut table = String::new();
    let mut lines = Vec::new();
    loop {
        reader.blank();
        let number = reader.number;
        if reader.rest.is_empty() {
            return Ok(lines);
        }
        if reader.take('[') {
            table = reader.key()?;
            reader.expect(']')?;
            continue;
        }
        let key = reader.key()?;
        reader.expect('=')?;
        let fields = reader.fields()?;
        lines.push(Line {
            table: table.clone(),
            key,
            fields,
            number,
        });
    }
}

struct Reader<'a> {
    rest: &'a str,
    number: usize,
}

impl Reader<'_> {
    fn fields(&mut self) -> Result<Vec<(String, Field)>, Fault> {
        self.expect('{')?;
        let mut fields = Vec::new();
        loop {
            let name = self.key()?;
            self.expect('=')?;
            self.blank();
            let field = if self.rest.starts_with('[') {
                Field::List(self.list()?)
            } else {
                Field::Text(self.quoted()?)
            };
            fields.push((name, field));
            if self.take('}') {
                return Ok(fields);
            }
            self.expect(',')?;
        }
    }

    fn list(&mut self) -> Result<Vec<String>, Fault> {
        self.expect('[')?;
        let mut items = Vec::new();
        loop {
            if self.take(']') {
                return Ok(items);
            }
            items.push(self.quoted()?);
            if !self.take(',') {
                self.expect(']')?;
                return Ok(items);
            }
        }
    }

    fn key(&mut self) -> Result<String, Fault> {
        self.blank();
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
            .unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.wrong("a name is missing"));
        }
        let (key, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(key.to_owned())
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        self.expect('"')?;
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match letters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => return Err(self.wrong("only \\\" and \\\\ are read")),
                },
                '\n' => break,
                other => text.push(other),
            }
        }
        Err(self.wrong("the closing quote is missing"))
    }

    fn blank(&mut self) {
        loop {
            let trimmed = self.rest.trim_start_matches([' ', '\t', '\r']);
            if let Some(rest) = trimmed.strip_prefix('\n') {
                self.number += 1;
                self.rest = rest;
            } else if trimmed.starts_with('#') {
                self.rest = trimmed.find('\n').map_or("", |end| &trimmed[end..]);
            } else {
                self.rest = trimmed;
                return;
            }
        }
    }

    fn take(&mut self, letter: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(letter) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, letter: char) -> Result<(), Fault> {
        if self.take(letter) {
            Ok(())
        } else {
            Err(self.wrong(&format!("{letter:?} is missing")))
        }
    }

    fn wrong(&self, what: &str) -> Fault {
        failed(&format!("line {}: {what}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn tables_lines_and_lists_over_several_lines_are_read() {
        let lines = parse(
            "# head\n[signalling]\nS1 = { what = \"a \\\"b\\\"\", tests = [] } # tail\n\n[seeds]\n\
             \"000+01\" = { what = \"x\", tests = [\n  \"a::b\", # why\n  \"c\",\n] }\n",
        )
        .unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].table, "signalling");
        assert_eq!(lines[0].text("what"), Some("a \"b\""));
        assert_eq!(lines[0].list("tests"), Some(&[][..]));
        assert_eq!((lines[1].key.as_str(), lines[1].number), ("000+01", 6));
        assert_eq!(lines[1].list("tests").unwrap(), ["a::b", "c"]);
    }

    #[test]
    fn a_fault_names_its_line() {
        let fault = parse("[a]\nb = { c = \"d }\n").unwrap_err();
        assert!(fault.text.contains("line 2"), "{fault}");
        assert!(parse("= {}").is_err());
        assert!(parse("a = { b = 3 }").is_err());
    }
}
