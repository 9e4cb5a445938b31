//! From text to a [`Query`](super::Query).

use model::{Timestamp, Transport};

use super::{Node, Term, What};

/// Why a filter cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence} (at character {})", .at + 1)]
pub struct QueryError {
    /// Where, in characters from the start.
    pub at: usize,
    /// What is wrong there.
    pub sentence: String,
}

/// A piece of the text and where it began.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    at: usize,
    what: Piece,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Open,
    Close,
    Or,
    And,
    Not,
    /// `key:value`, `key=value` or a bare value.
    Term(Option<String>, String),
}

pub(super) fn parse(text: &str) -> Result<Option<Node>, QueryError> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let end = text.chars().count();
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        end,
        depth: 0,
    };
    let node = parser.any()?;
    match parser.tokens.next() {
        None => Ok(Some(node)),
        Some(token) => Err(error(token.at, "this bracket closes nothing")),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    end: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.all()?];
        while self
            .tokens
            .next_if(|token| token.what == Piece::Or)
            .is_some()
        {
            nodes.push(self.all()?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.one()?];
        loop {
            match self.tokens.peek().map(|token| &token.what) {
                Some(Piece::And) => {
                    self.tokens.next();
                }
                Some(Piece::Not | Piece::Open | Piece::Term(..)) => {}
                Some(Piece::Or | Piece::Close) | None => break,
            }
            nodes.push(self.one()?);
        }
        Ok(one_or(nodes, Node::All))
    }

    fn one(&mut self) -> Result<Node, QueryError> {
        let Some(token) = self.tokens.next() else {
            return Err(error(self.end, "something is missing at the end"));
        };
        match token.what {
            Piece::Term(key, value) => term(token.at, key.as_deref(), &value).map(Node::Is),
            Piece::Not => {
                self.deeper(token.at)?;
                let node = self.one()?;
                self.depth -= 1;
                Ok(Node::Not(Box::new(node)))
            }
            Piece::Open => {
                self.deeper(token.at)?;
                let node = self.any()?;
                self.depth -= 1;
                match self.tokens.next() {
                    Some(next) if next.what == Piece::Close => Ok(node),
                    _ => Err(error(token.at, "this bracket is never closed")),
                }
            }
            Piece::Close => Err(error(token.at, "this bracket closes nothing")),
            Piece::Or | Piece::And => Err(error(token.at, "there is nothing before this")),
        }
    }

    fn deeper(&mut self, at: usize) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(error(at, "the filter is nested too deeply"));
        }
        Ok(())
    }
}

/// Cheap parts first: the bytes are searched only where all else fits.
fn one_or(mut nodes: Vec<Node>, many: impl FnOnce(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1
        && let Some(node) = nodes.pop()
    {
        return node;
    }
    nodes.sort_by_key(Node::is_costly);
    many(nodes)
}

fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    while let Some(&(at, c)) = chars.peek() {
        if tokens.len() >= MOST_TOKENS {
            return Err(error(at, "the filter is too long"));
        }
        let what = match c {
            _ if c.is_whitespace() => {
                chars.next();
                continue;
            }
            '(' => Piece::Open,
            ')' => Piece::Close,
            '-' | '!' => Piece::Not,
            _ => {
                let what = word(&mut chars)?;
                tokens.push(Token { at, what });
                continue;
            }
        };
        chars.next();
        tokens.push(Token { at, what });
    }
    Ok(tokens)
}

type Chars<'a> = std::iter::Peekable<std::iter::Enumerate<std::str::Chars<'a>>>;

/// A bare word, a quoted one, or a key with either behind it.
fn word(chars: &mut Chars<'_>) -> Result<Piece, QueryError> {
    let mut word = String::new();
    let mut key = None;
    let mut quoted = false;
    while let Some(&(at, c)) = chars.peek() {
        match c {
            '"' if word.is_empty() && !quoted => {
                chars.next();
                word = quoted_word(chars, at)?;
                quoted = true;
            }
            ':' | '=' if key.is_none() && !quoted && is_key(&word) => {
                key = Some(word.to_ascii_lowercase());
                word.clear();
                chars.next();
            }
            _ if c.is_whitespace() || matches!(c, '(' | ')' | '"') || quoted => break,
            _ => {
                word.push(c);
                chars.next();
            }
        }
    }
    if key.is_none() && !quoted {
        match word.to_ascii_lowercase().as_str() {
            "or" => return Ok(Piece::Or),
            "and" => return Ok(Piece::And),
            "not" => return Ok(Piece::Not),
            _ => {}
        }
    }
    Ok(Piece::Term(key, word))
}

fn quoted_word(chars: &mut Chars<'_>, at: usize) -> Result<String, QueryError> {
    let mut word = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return Ok(word),
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            _ => word.push(c),
        }
    }
    Err(error(at, "this quotation never ends"))
}

/// `sip:alice@x` is text to look for and no key.
fn is_key(word: &str) -> bool {
    !word.is_empty()
        && word.chars().all(|c| c.is_ascii_alphabetic())
        && !["sip", "sips", "tel", "im"].contains(&word.to_ascii_lowercase().as_str())
}

fn term(at: usize, key: Option<&str>, value: &str) -> Result<Term, QueryError> {
    if value.is_empty() {
        return Err(match key {
            None => error(at, "there is nothing in the quotation"),
            Some(key) if is_known(key) => error(
                at,
                format!("there is nothing after the key \u{201c}{key}\u{201d}"),
            ),
            Some(key) => unknown(at, key),
        });
    }
    let word = value.to_ascii_lowercase();
    let wrong = |expected: &str| {
        Err(error(
            at,
            format!("\u{201c}{value}\u{201d} is not {expected}"),
        ))
    };
    Ok(match key {
        None | Some("text") => Term::Text(word),
        Some("tenant") => Term::Tenant(word),
        Some("account") => Term::Account(word),
        Some("method") => Term::Method(word),
        Some("code") => match codes(&word) {
            Some((low, high)) => Term::Code(low, high),
            None => return wrong("a status like 404, 4xx or 400-499"),
        },
        Some("call") => Term::CallId(word),
        Some("number") => {
            let digits: String = word.chars().filter(char::is_ascii_digit).collect();
            if digits.is_empty() {
                return wrong("a number");
            }
            Term::Number(digits)
        }
        Some("from") => Term::From(word),
        Some("to") => Term::To(word),
        Some("peer") => Term::Peer(word),
        Some("topic") => Term::Topic(word),
        Some("transport") => {
            let all = [
                Transport::Udp,
                Transport::Tcp,
                Transport::Tls,
                Transport::Ws,
                Transport::Wss,
            ];
            match all.into_iter().find(|transport| transport.as_str() == word) {
                Some(transport) => Term::Transport(transport),
                None => return wrong("udp, tcp, tls, ws or wss"),
            }
        }
        Some("dir") => match word.as_str() {
            "sent" | "out" => Term::Sent(true),
            "received" | "in" => Term::Sent(false),
            _ => return wrong("sent or received"),
        },
        Some("is") => Term::What(match word.as_str() {
            "request" => What::Request,
            "response" => What::Response,
            "note" => What::Note,
            "noise" => What::Noise,
            "failure" => What::Failure,
            "broken" => What::Broken,
            _ => return wrong("request, response, note, noise, failure or broken"),
        }),
        Some("since") => match moment(value, "0000-01-01T00:00:00.000000Z") {
            Some(time) => Term::Since(time),
            None => return wrong("a time like 2026-01-31T12:00"),
        },
        Some("until") => match moment(value, "9999-12-31T23:59:59.999999Z") {
            Some(time) => Term::Until(time),
            None => return wrong("a time like 2026-01-31T12:00"),
        },
        Some(key) => {
            return Err(unknown(at, key));
        }
    })
}

fn is_known(key: &str) -> bool {
    KEYS.split(", ").any(|known| known == key)
}

fn unknown(at: usize, key: &str) -> QueryError {
    error(
        at,
        format!(
            "there is no key \u{201c}{key}\u{201d}; the keys are {KEYS}; text with : or = in it stands in quotation marks"
        ),
    )
}

/// `404`, `4xx`, `40x`, `400-499`.
fn codes(word: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let fits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| text.parse().ok()).flatten()
    };
    if let Some((low, high)) = word.split_once('-') {
        return Some((number(low)?, number(high)?));
    }
    Some((
        number(&word.replace('x', "0"))?,
        number(&word.replace('x', "9"))?,
    ))
    .filter(|_| !word.starts_with('x'))
}

/// A time of which the right part may be left out; `template` fills it.
fn moment(text: &str, template: &str) -> Option<Timestamp> {
    if let Some(time) = Timestamp::parse(text) {
        return Some(time);
    }
    let rest = template.get(text.len()..).filter(|_| text.len() >= 4)?;
    // A month has no 31st day everywhere: the last that exists is meant.
    (0..4).find_map(|back| {
        let filled = format!("{text}{rest}");
        let filled = if text.len() <= 7 && back > 0 {
            filled.replace("-31T", &format!("-{}T", 31 - back))
        } else {
            filled
        };
        Timestamp::parse(&filled).filter(|time| time.to_string() == filled)
    })
}

fn error(at: usize, sentence: impl Into<String>) -> QueryError {
    QueryError {
        at,
        sentence: sentence.into(),
    }
}

const KEYS: &str = "tenant, account, method, code, call, number, from, to, peer, transport, dir, topic, is, since, until, text";
const MOST_TOKENS: usize = 256;
const MOST_DEPTH: usize = 32;
