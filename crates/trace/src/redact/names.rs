//! Who is who: identities and their pseudonyms within one export.

use std::collections::HashMap;
use std::net::IpAddr;

use model::mask_identity;

use super::SHORT;
use super::searched::Searched;

/// Learnt identities with their pseudonyms.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// From the identity in lower case.
    pseudonyms: HashMap<String, String>,
    /// How often each masked form was given.
    given: HashMap<String, usize>,
    addresses: HashMap<IpAddr, String>,
    /// Those long enough to be searched for.
    searched: Searched,
}

impl Names {
    pub(super) fn learn(&mut self, identity: &str) {
        if !identity.is_empty() {
            self.pseudonym(identity);
        }
    }

    /// To be called when all is learnt.
    pub(super) fn settle(&mut self) {
        // A star stands in no name a person has, and in every masked one.
        let is_worth =
            |identity: &&String| identity.chars().count() >= SHORT && !identity.contains('*');
        let searched = self.pseudonyms.keys().filter(is_worth);
        self.searched = Searched::new(searched.map(String::as_str));
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
        self.searched.replace(text, |identity| {
            self.pseudonyms.get(identity).map_or("", String::as_str)
        })
    }

    pub(super) fn found_in(&self, text: &str) -> Vec<String> {
        self.searched.found_in(text)
    }
}

/// Masked as everywhere in the program; a number written with its scheme is a number.
fn stars(identity: &str) -> String {
    mask_identity(&identity.replace([':', '@'], "."))
}
