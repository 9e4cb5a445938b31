//! Taking out of a trace what must not leave the house.
//!
//! Works on text and not on parsed messages, so that a message too broken to parse is masked like any
//! other. In three steps, because a name learnt from one place stands in others:
//!
//! 1. *Learn*: user parts and display names from every URI and address header of all records, and
//!    every secret.
//! 2. *Mask*: secrets and identities where the grammar puts them, then every other place where a learnt
//!    one stands, a Call-ID or a note as well.
//! 3. *Look again*: [`Redactor::leaks`] searches the result for all that was learnt.
//!
//! A person keeps one pseudonym in one export: the masked form of [`model::mask_identity`], with a
//! number where two people would share it. Bodies are kept only where their grammar is known (SDP,
//! sipfrag); the text of a MESSAGE or the digits of an INFO are nobody's business.
//!
//! Identities of fewer than [`SHORT`] characters are masked where the grammar puts them and not
//! searched for elsewhere, or `200` would take every `200 OK` with it.

mod framing;
mod lines;
mod names;
mod searched;
mod withhold;

use std::net::IpAddr;

use model::{AccountId, TraceBody, TraceRecord, mask_identity};

use names::Names;
use searched::Searched;
pub(crate) use withhold::withhold;

/// Identities shorter than this are not searched for outside addresses.
pub const SHORT: usize = 5;

/// What to take out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactOptions {
    /// Digest answers, passwords, media keys.
    pub secrets: bool,
    /// Users, numbers, display names, subjects.
    pub identities: bool,
    /// IP addresses.
    pub addresses: bool,
    /// Bodies other than session descriptions.
    pub bodies: bool,
}

impl Default for RedactOptions {
    fn default() -> Self {
        Self {
            secrets: true,
            identities: true,
            addresses: false,
            bodies: true,
        }
    }
}

impl RedactOptions {
    /// Identities as they are, secrets still masked: for one's own eyes.
    pub fn secrets_only() -> Self {
        Self {
            secrets: true,
            identities: false,
            addresses: false,
            bodies: false,
        }
    }

    /// Everything as it was recorded; what comes from a file has no secrets any more. Only for who
    /// asked for it in so many words.
    pub fn none() -> Self {
        Self {
            secrets: false,
            ..Self::secrets_only()
        }
    }
}

/// The text of one record as it may be shown, with the defaults of [`RedactOptions`].
pub fn message(record: &TraceRecord) -> String {
    let records = std::slice::from_ref(record);
    Redactor::new(records, RedactOptions::default()).text(record)
}

/// Masks the records of one export.
#[derive(Debug)]
pub struct Redactor {
    options: RedactOptions,
    names: Names,
    secrets: Searched,
}

impl Redactor {
    /// Learns from all records that will be masked.
    pub fn new<'a>(
        records: impl IntoIterator<Item = &'a TraceRecord>,
        options: RedactOptions,
    ) -> Self {
        let mut redactor = Self {
            options,
            names: Names::default(),
            secrets: Searched::default(),
        };
        let mut secrets = Vec::new();
        for record in records {
            let found = lines::learn(&raw_text(record));
            for identity in found.identities {
                redactor.names.learn(&identity);
            }
            // What was withheld before it was stored is none any more.
            let gone = |secret: &str| secret.bytes().all(|byte| byte == MASK);
            let worth_searching =
                |secret: &String| secret.chars().count() >= SHORT && !gone(secret);
            secrets.extend(found.secrets.into_iter().filter(worth_searching));
        }
        redactor.secrets = Searched::new(secrets.iter().map(String::as_str));
        redactor.names.settle();
        redactor
    }

    /// The text of a record, masked: the message, or the note's sentence.
    pub fn text(&mut self, record: &TraceRecord) -> String {
        let raw = raw_text(record);
        if self.options == RedactOptions::none() {
            return raw;
        }
        match &record.body {
            TraceBody::Sip { bytes, .. } => {
                let masked = lines::mask_message(&raw, &self.options, &mut self.names);
                framing::keep(bytes, self.everywhere(masked))
            }
            TraceBody::Note { .. } => {
                let masked = lines::mask_note(&raw, &self.options, &mut self.names);
                self.everywhere(masked)
            }
        }
    }

    /// A record with everything in it masked, its account's name as well.
    pub fn record(&mut self, record: &TraceRecord) -> TraceRecord {
        if self.options == RedactOptions::none() {
            return record.clone();
        }
        let text = self.text(record);
        let body = match &record.body {
            TraceBody::Sip {
                sent,
                transport,
                local,
                peer,
                ..
            } => TraceBody::Sip {
                sent: *sent,
                transport: *transport,
                local: self.everywhere(local.clone()),
                peer: self.everywhere(peer.clone()),
                bytes: text.into_bytes().into(),
            },
            TraceBody::Note {
                topic, sip_call_id, ..
            } => TraceBody::Note {
                topic: self.everywhere(topic.clone()),
                text: text.into(),
                sip_call_id: sip_call_id.clone().map(|id| self.everywhere(id)),
            },
        };
        let account = record.account.as_ref();
        TraceRecord {
            account: account.map(|id| AccountId::new(self.account(id.as_str()))),
            body,
            ..record.clone()
        }
    }

    /// What was learnt and still stands in a text that is to leave: must be empty.
    pub fn leaks(&self, text: &str) -> Vec<String> {
        let mut leaks = Vec::new();
        if self.options.secrets {
            leaks.extend(self.secrets.found_in(text));
        }
        if self.options.identities {
            leaks.extend(self.names.found_in(text));
        }
        leaks
    }

    /// The name of an account. It is made of an address, `user-host`, whose user part may be too short to be
    /// searched for.
    fn account(&mut self, id: &str) -> String {
        let masked = self.everywhere(id.to_owned());
        if !self.options.identities || masked != id {
            return masked;
        }
        match id.split_once('-') {
            Some((user, host)) => format!("{}-{host}", mask_identity(user)),
            // One that a person chose.
            None => masked,
        }
    }

    /// Masks what was learnt wherever it stands.
    fn everywhere(&mut self, mut text: String) -> String {
        if self.options.secrets {
            text = self.secrets.replace(&text, |_| WITHHELD);
        }
        if self.options.identities {
            text = self.names.mask_all(&text);
        }
        if self.options.addresses {
            text = mask_addresses(&text, &mut self.names);
        }
        text
    }
}

/// The text of a record as recorded, with U+FFFD for what is not UTF-8.
pub fn raw_text(record: &TraceRecord) -> String {
    match &record.body {
        TraceBody::Sip { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
        TraceBody::Note { text, .. } => text.reveal().to_owned(),
    }
}

/// Replaces IP addresses by ones of documentation (RFC 5737, RFC 3849), the same ones by the same.
fn mask_addresses(text: &str, names: &mut Names) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (token, after) = from.split_at(end);
        out.push_str(before);
        // A letter before it, as in `branch-a.b`, makes it part of a word.
        let inside_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '-')
            || after.starts_with(|c: char| c.is_alphanumeric());
        match address(token).filter(|_| !inside_word) {
            Some((address, length)) => {
                out.push_str(&names.address(address));
                out.push_str(token.get(length..).unwrap_or_default());
            }
            None => out.push_str(token),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The address at the start of a token and its length; a port may follow an IPv4 one.
fn address(token: &str) -> Option<(IpAddr, usize)> {
    let trimmed = token.trim_end_matches(['.', ':']);
    if let Ok(address) = trimmed.parse() {
        return Some((address, trimmed.len()));
    }
    let (host, _) = token.split_once(':')?;
    let address: std::net::Ipv4Addr = host.parse().ok()?;
    Some((address.into(), host.len()))
}

/// What stands in place of a secret.
pub(crate) const WITHHELD: &str = "[withheld]";

/// What stands in place of each octet of a secret where its length counts.
pub(crate) const MASK: u8 = b'x';

#[cfg(test)]
mod tests;
