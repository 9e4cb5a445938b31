//! The filter language of the list.
//!
//! ```text
//! account:alice method:INVITE code:4xx          all of them
//! code:486 or code:603                          either
//! number:5910 not method:OPTIONS                digits anywhere in a number; without
//! (from:bob or to:bob) text:"no route"          groups, words with spaces
//! ```
//!
//! | Key | Matches |
//! |---|---|
//! | `tenant:` `account:` | its id or a part of it; for `account:` also the user of From or To |
//! | `method:` | a request, and the answers to it |
//! | `code:` | an answer: `404`, `4xx`, `400-499` |
//! | `call:` | Call-ID or a part of it |
//! | `number:` | digits in the user part of From, To or Request-URI, whatever stands between them |
//! | `from:` `to:` | display name or address |
//! | `peer:` | an address on either end |
//! | `transport:` `dir:` `topic:` | `udp` …; `sent` or `received`; word of a note |
//! | `is:` | `request`, `response`, `note`, `noise`, `failure`, `broken` |
//! | `since:` `until:` | a time in UTC, `2026-01-31T12:00:00Z` or a part of it from the left |
//! | `text:` or a bare word | anywhere in the message or note |
//!
//! Upper and lower case are alike, and `key=value` is the same as `key:value`. Text with either sign in
//! it stands in quotation marks: `"branch=z9hG4bK1"`.

mod parse;
mod select;

use model::{Timestamp, TraceBody, TraceRecord, Transport};

use crate::summary::{Kind, PartySummary, Summary};
pub use parse::QueryError;
pub use select::{Index, Selection};

/// A filter that was understood. The default lets everything through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    root: Option<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Is(Term),
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Tenant(String),
    Account(String),
    Method(String),
    Code(u16, u16),
    CallId(String),
    Number(String),
    From(String),
    To(String),
    Peer(String),
    Transport(Transport),
    Sent(bool),
    Topic(String),
    What(What),
    Since(Timestamp),
    Until(Timestamp),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Request,
    Response,
    Note,
    Noise,
    Failure,
    Broken,
}

impl Query {
    /// Reads a filter. An empty one lets everything through.
    ///
    /// # Errors
    /// [`QueryError`] with the place and a sentence.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::parse(text).map(|root| Self { root })
    }

    /// Whether everything gets through.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Whether a record gets through. The record's bytes are looked at only for `text:`, and after all
    /// that is cheaper.
    pub fn matches(&self, summary: &Summary, record: &TraceRecord) -> bool {
        self.root
            .as_ref()
            .is_none_or(|root| root.matches(summary, record))
    }
}

impl std::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Node {
    fn matches(&self, summary: &Summary, record: &TraceRecord) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(summary, record)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(summary, record)),
            Self::Not(node) => !node.matches(summary, record),
            Self::Is(term) => term.matches(summary, record),
        }
    }

    /// Whether the bytes have to be searched: such parts are tried last.
    fn is_costly(&self) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(Self::is_costly),
            Self::Not(node) => node.is_costly(),
            Self::Is(term) => matches!(term, Term::Text(_)),
        }
    }
}

impl Term {
    fn matches(&self, s: &Summary, record: &TraceRecord) -> bool {
        let party = |party: &Option<PartySummary>, word: &str| {
            party.as_ref().is_some_and(|party| {
                contains(&party.uri, word)
                    || party
                        .display
                        .as_deref()
                        .is_some_and(|name| contains(name, word))
            })
        };
        let user_is = |party: &Option<PartySummary>, word: &str| {
            let user = party.as_ref().and_then(|party| party.user.as_deref());
            user.is_some_and(|user| user.eq_ignore_ascii_case(word))
        };
        let wire = s.wire.as_ref();
        match self {
            Self::Tenant(word) => contains(s.tenant.as_str(), word),
            Self::Account(word) => {
                s.account
                    .as_ref()
                    .is_some_and(|id| contains(id.as_str(), word))
                    || user_is(&s.from, word)
                    || user_is(&s.to, word)
            }
            Self::Method(method) => s
                .method
                .as_deref()
                .is_some_and(|m| m.eq_ignore_ascii_case(method)),
            Self::Code(low, high) => s.code().is_some_and(|code| (*low..=*high).contains(&code)),
            Self::CallId(word) => s.call_id.as_deref().is_some_and(|id| contains(id, word)),
            Self::Number(digits) => numbers(s).any(|user| has_digits(user, digits)),
            Self::From(word) => party(&s.from, word),
            Self::To(word) => party(&s.to, word),
            Self::Peer(word) => {
                wire.is_some_and(|w| contains(&w.peer, word) || contains(&w.local, word))
            }
            Self::Transport(transport) => wire.is_some_and(|w| w.transport == *transport),
            Self::Sent(sent) => wire.is_some_and(|w| w.sent == *sent),
            Self::Topic(word) => {
                matches!(&s.kind, Kind::Note { topic, .. } if contains(topic, word))
            }
            Self::What(what) => what.matches(s),
            Self::Since(time) => s.time >= *time,
            Self::Until(time) => s.time <= *time,
            Self::Text(word) => match &record.body {
                TraceBody::Sip { bytes, .. } => contains_bytes(bytes, word.as_bytes()),
                TraceBody::Note { topic, text, .. } => {
                    contains(text.reveal(), word) || contains(topic, word)
                }
            },
        }
    }
}

impl What {
    fn matches(self, s: &Summary) -> bool {
        match self {
            Self::Request => s.kind == Kind::Request,
            Self::Response => s.code().is_some(),
            Self::Note => matches!(s.kind, Kind::Note { .. }),
            Self::Noise => s.noise.is_some(),
            Self::Failure => s
                .code()
                .is_some_and(|code| code >= 400 && !matches!(code, 401 | 407)),
            Self::Broken => matches!(s.kind, Kind::Broken { .. }),
        }
    }
}

/// User parts in which a number may stand.
fn numbers(summary: &Summary) -> impl Iterator<Item = &str> {
    let request = summary.request_uri.as_deref().map(|uri| {
        let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
        rest.split(['@', ';']).next().unwrap_or(rest)
    });
    let parties = [summary.from.as_ref(), summary.to.as_ref()];
    let users = parties.into_iter().flatten();
    users
        .filter_map(|party| party.user.as_deref())
        .chain(request)
}

/// Whether the digits of `text`, put together, hold `digits`: `+49 (30) 12-34` holds `301234`.
fn has_digits(text: &str, digits: &str) -> bool {
    let mut rest = text.bytes().filter(u8::is_ascii_digit);
    loop {
        let mut here = rest.clone();
        if digits.bytes().all(|digit| here.next() == Some(digit)) {
            return true;
        }
        if rest.next().is_none() {
            return false;
        }
    }
}

fn contains(text: &str, word: &str) -> bool {
    contains_bytes(text.as_bytes(), word.as_bytes())
}

/// ASCII letters alike in both cases; `word` is in lower case already.
fn contains_bytes(text: &[u8], word: &[u8]) -> bool {
    let Some((first, _)) = word.split_first() else {
        return true;
    };
    let Some(last) = text.len().checked_sub(word.len()) else {
        return false;
    };
    let upper = first.to_ascii_uppercase();
    text.iter().take(last + 1).enumerate().any(|(at, byte)| {
        (byte == first || *byte == upper)
            && text
                .get(at..at + word.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests;
