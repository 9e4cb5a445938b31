//! Many words looked for at once, in one walk over a text.

use std::collections::HashMap;

use super::SHORT;

/// Words of at least [`SHORT`] bytes, in lower case, by their first bytes, longest first.
#[derive(Debug, Default)]
pub(super) struct Searched(HashMap<[u8; SHORT], Vec<String>>);

impl Searched {
    pub(super) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut searched: HashMap<[u8; SHORT], Vec<String>> = HashMap::new();
        for word in words {
            let word = word.to_ascii_lowercase();
            if let Some(start) = word.as_bytes().first_chunk::<SHORT>() {
                searched.entry(*start).or_default().push(word);
            }
        }
        for same_start in searched.values_mut() {
            same_start.sort_by_key(|word| std::cmp::Reverse(word.len()));
            same_start.dedup();
        }
        Self(searched)
    }

    /// Puts something else in place of each word wherever it stands, in whatever case.
    pub(super) fn replace<'a>(&self, text: &str, with: impl Fn(&str) -> &'a str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        let mut at = 0;
        while at < text.len() {
            let Some(word) = self.word_at(text, at) else {
                at += 1;
                continue;
            };
            out.push_str(text.get(copied..at).unwrap_or_default());
            out.push_str(with(word));
            at += word.len();
            copied = at;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }

    /// Those that stand in a text.
    pub(super) fn found_in(&self, text: &str) -> Vec<String> {
        let mut found: Vec<String> = (0..text.len())
            .filter_map(|at| self.word_at(text, at))
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// The longest word that stands at a byte.
    fn word_at(&self, text: &str, at: usize) -> Option<&str> {
        let rest = text.as_bytes().get(at..)?;
        let start = rest.first_chunk::<SHORT>()?.map(|b| b.to_ascii_lowercase());
        let candidates = self.0.get(&start)?;
        let found = candidates.iter().find(|word| {
            let end = at + word.len();
            text.is_char_boundary(at)
                && text
                    .get(at..end)
                    .is_some_and(|part| part.eq_ignore_ascii_case(word))
        });
        found.map(String::as_str)
    }
}
