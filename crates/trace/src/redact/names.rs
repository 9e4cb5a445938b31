//! Who is who: identities and their pseudonyms within one export.

use std::collections::HashMap;
use std::net::IpAddr;

use model::mask_identity;

use super::SHORT;

/// Learnt identities with their pseudonyms.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// From the identity in lower case.
    pseudonyms: HashMap<String, String>,
    /// How often each masked form was given.
    given: HashMap<String, usize>,
    addresses: HashMap<IpAddr, String>,
    /// Those long enough to be searched for, by their first bytes, longest first.
    searched: HashMap<[u8; SHORT], Vec<String>>,
}

impl Names {
    pub(super) fn learn(&mut self, identity: &str) {
        if !identity.is_empty() {
            self.pseudonym(identity);
        }
    }

    /// To be called when all is learnt.
    pub(super) fn settle(&mut self) {
        for identity in self.pseudonyms.keys() {
            // A star stands in no name a person has, and in every masked one.
            if identity.chars().count() < SHORT || identity.contains('*') {
                continue;
            }
            if let Some(start) = identity.as_bytes().first_chunk::<SHORT>() {
                self.searched
                    .entry(*start)
                    .or_default()
                    .push(identity.clone());
            }
        }
        for same_start in self.searched.values_mut() {
            same_start.sort_by_key(|identity| std::cmp::Reverse(identity.len()));
        }
    }

    /// The same person, in whatever case, gets the same one.
    pub(super) fn pseudonym(&mut self, identity: &str) -> String {
        let key = identity.to_ascii_lowercase();
        if let Some(pseudonym) = self.pseudonyms.get(&key) {
            return pseudonym.clone();
        }
        let masked = stars(identity);
        let given = self.given.entry(masked.clone()).or_insert(0);
        *given += 1;
        let pseudonym = match *given {
            1 => masked,
            n => format!("{masked}~{n}"),
        };
        self.pseudonyms.insert(key, pseudonym.clone());
        pseudonym
    }

    pub(super) fn address(&mut self, address: IpAddr) -> String {
        // Those that name no machine in particular tell nothing about anyone.
        if address.is_loopback() || address.is_unspecified() {
            return address.to_string();
        }
        let next = self.addresses.len() + 1;
        let pseudonym = self
            .addresses
            .entry(address)
            .or_insert_with(|| match address {
                IpAddr::V4(_) if next < 255 => format!("192.0.2.{next}"),
                IpAddr::V4(_) => format!("198.51.100.0~{next}"),
                IpAddr::V6(_) => format!("2001:db8::{next:x}"),
            });
        pseudonym.clone()
    }

    /// Masks each learnt identity wherever it stands.
    pub(super) fn mask_all(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        let mut at = 0;
        while at < text.len() {
            let Some(identity) = self.identity_at(text, at) else {
                at += 1;
                continue;
            };
            out.push_str(text.get(copied..at).unwrap_or_default());
            out.push_str(self.pseudonyms.get(identity).map_or("", String::as_str));
            at += identity.len();
            copied = at;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }

    pub(super) fn found_in(&self, text: &str) -> Vec<String> {
        let mut found: Vec<String> = (0..text.len())
            .filter_map(|at| self.identity_at(text, at))
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// The longest learnt identity that stands at a byte.
    fn identity_at(&self, text: &str, at: usize) -> Option<&str> {
        let rest = text.as_bytes().get(at..)?;
        let start = rest.first_chunk::<SHORT>()?.map(|b| b.to_ascii_lowercase());
        let candidates = self.searched.get(&start)?;
        let found = candidates.iter().find(|identity| {
            let end = at + identity.len();
            text.is_char_boundary(at)
                && text
                    .get(at..end)
                    .is_some_and(|part| part.eq_ignore_ascii_case(identity))
        });
        found.map(String::as_str)
    }
}

/// Masked as everywhere in the program; a number written with its scheme is a number.
fn stars(identity: &str) -> String {
    mask_identity(&identity.replace([':', '@'], "."))
}
