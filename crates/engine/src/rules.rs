//! Rules that change the headers of what an account sends, and of the answers it gets, for servers that want a
//! word more or trip over one.
//!
//! ```text
//! out INVITE add X-Room: 42        one more header
//! out * set User-Agent: Desk 7     in place of all of that name
//! out REGISTER remove X-Old        without it
//! out MESSAGE compact              header names in their short forms (RFC 3261 §7.3.3)
//! in * remove Server               the same for answers, by the method that they answer
//! ```
//!
//! What goes out is changed before it is recorded, so the record shows what was sent; answers are recorded
//! as they came, with a note beside them. The headers that make a message one of its transaction, its dialog
//! and its way are not to be had: a rule can neither forge nor break those.

use std::fmt;

use sip_message::{HeaderName, Message, Method, Request, Response};

use crate::identity::IdentityError;
use crate::own_headers::{is_essential, parse_header_unless};

/// So many rules an account may have.
const MOST: usize = 32;
/// So many octets its rules may add to a message. A request leaves for a stream when it passes 1300 octets
/// (RFC 3261 §18.1.1), before rules are looked at; this fits in what is left of an Ethernet frame.
const MOST_ADDED: usize = 160;

/// The rules of one account, in their order.
#[derive(Clone, Default)]
pub(crate) struct Rules(Vec<Rule>);

/// Without the values, which may name people.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.0.len())
    }
}

#[derive(Clone)]
struct Rule {
    way: Way,
    /// `None` is any method.
    method: Option<Method>,
    deed: Deed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Requests that we send.
    Out,
    /// Answers that we get.
    In,
}

#[derive(Clone)]
enum Deed {
    Add(String, String),
    Set(String, String),
    Remove(String),
    Compact,
}

impl Rules {
    /// Reads the lines of the settings.
    pub(crate) fn parse(lines: &[model::Private]) -> Result<Self, IdentityError> {
        let wrong = |line: &str, why: &'static str| IdentityError::Rule(line.into(), why);
        let mut rules = Vec::with_capacity(lines.len().min(MOST));
        let mut added = 0;
        for line in lines {
            let line = line.reveal();
            if rules.len() == MOST {
                return Err(wrong(line, "there are 32 already"));
            }
            let rule = rule(line)?;
            if let (Way::Out, Deed::Add(name, value) | Deed::Set(name, value)) =
                (rule.way, &rule.deed)
            {
                added += name.len() + value.len() + ": \r\n".len();
            }
            if added > MOST_ADDED {
                return Err(wrong(line, "rules may add 160 octets in all"));
            }
            rules.push(rule);
        }
        Ok(Self(rules))
    }

    /// The octets to send in place of these, where a rule is for them.
    pub(crate) fn outgoing(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        // Most accounts have no rules, and answers of ours are left alone.
        if self.0.is_empty() || bytes.starts_with(b"SIP/2.0 ") {
            return None;
        }
        let Ok(Message::Request(mut request)) = Message::parse(bytes) else {
            return None;
        };
        let method = request.method.clone();
        let (mut touched, mut compact) = (false, false);
        for deed in self.deeds(Way::Out, &method) {
            touched = true;
            match deed {
                Deed::Compact => compact = true,
                deed => deed.change(&mut request.headers),
            }
        }
        touched.then(|| written(&request, compact))
    }

    /// Changes an answer before the protocol sees it; says what was done, when anything was.
    pub(crate) fn incoming(&self, response: &mut Response) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let method = response.headers.cseq().ok()?.method;
        let mut said = Vec::new();
        for deed in self.deeds(Way::In, &method) {
            deed.change(&mut response.headers);
            said.push(deed.to_string());
        }
        let said = said.join(", ");
        (!said.is_empty()).then(|| format!("by the account's rules for answers: {said}"))
    }

    fn deeds<'a>(&'a self, way: Way, method: &'a Method) -> impl Iterator<Item = &'a Deed> {
        self.0
            .iter()
            .filter(move |rule| rule.way == way)
            .filter(move |rule| rule.method.as_ref().is_none_or(|of| of == method))
            .map(|rule| &rule.deed)
    }
}

impl Deed {
    fn change(&self, headers: &mut sip_message::Headers) {
        match self {
            Self::Add(name, value) => headers.push(name.as_str(), value),
            Self::Set(name, value) => headers.set(name.as_str(), value),
            Self::Remove(name) => {
                headers.remove(HeaderName::from(name.as_str()));
            }
            Self::Compact => {}
        }
    }
}

/// As it may stand in the record: values are left out.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(name, _) => write!(f, "{name} added"),
            Self::Set(name, _) => write!(f, "{name} set"),
            Self::Remove(name) => write!(f, "{name} removed"),
            Self::Compact => f.write_str("header names shortened"),
        }
    }
}

fn written(request: &Request, compact: bool) -> Vec<u8> {
    if compact {
        request.to_bytes_compact()
    } else {
        request.to_bytes()
    }
}

/// Reads one line, `out INVITE add X-Room: 42`.
fn rule(line: &str) -> Result<Rule, IdentityError> {
    let wrong = |why: &'static str| IdentityError::Rule(line.into(), why);
    let (way, rest) = word(line);
    let way = match way {
        "out" => Way::Out,
        "in" => Way::In,
        _ => return Err(wrong("it begins with “out” or “in”")),
    };
    let (method, rest) = word(rest);
    let method = match method {
        "*" => None,
        name => Some(Method::parse(name).ok_or_else(|| wrong("a method or * comes second"))?),
    };
    let (deed, what) = word(rest);
    let deed = match (deed, way) {
        ("add", _) => {
            let (name, value) = parse_header_unless(what, is_essential)?;
            Deed::Add(name, value)
        }
        ("set", _) => {
            let (name, value) = parse_header_unless(what, is_essential)?;
            Deed::Set(name, value)
        }
        ("remove", _) => {
            let (name, _) = parse_header_unless(&format!("{what}:"), is_essential)?;
            Deed::Remove(name)
        }
        ("compact", Way::Out) if what.is_empty() => Deed::Compact,
        _ => return Err(wrong("add, set, remove or compact comes third")),
    };
    Ok(Rule { way, method, deed })
}

/// The first word, and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((first, rest)) => (first, rest.trim()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n\
        Call-ID: c\r\nCSeq: 1 INVITE\r\nUser-Agent: Tipring\r\nX-Old: 1\r\nx-old: 2\r\nContent-Length: 0\r\n\r\n";

    fn rules(lines: &[&str]) -> Result<Rules, IdentityError> {
        let lines: Vec<_> = lines.iter().map(|line| (*line).into()).collect();
        Rules::parse(&lines)
    }

    fn sent(lines: &[&str]) -> Option<String> {
        let bytes = rules(lines)
            .expect("they are rules")
            .outgoing(INVITE.as_bytes());
        bytes.map(|bytes| String::from_utf8(bytes).expect("it is text"))
    }

    #[test]
    fn requests_get_lose_and_change_headers_and_nothing_else() {
        let changed = sent(&[
            "out INVITE add X-Room: 42",
            "out * set user-agent: Desk 7",
            "out INVITE remove X-OLD",
            "out REGISTER add X-Not: here",
            "in * add X-Not: here",
        ]);
        let expected = INVITE
            .replace("X-Old: 1\r\nx-old: 2\r\n", "")
            .replace("User-Agent: Tipring", "User-Agent: Desk 7");
        let changed = changed.expect("rules are for it");
        assert!(changed.contains("\r\nX-Room: 42\r\n"), "{changed}");
        let without = changed.replace("X-Room: 42\r\n", "");
        let fold = |text: &str| text.to_ascii_lowercase();
        assert_eq!(fold(&without), fold(&expected));
        assert_eq!(
            sent(&["out BYE add X-Room: 42"]),
            None,
            "octets as they were"
        );
        assert_eq!(sent(&[]), None);
    }

    #[test]
    fn header_names_are_short_where_that_is_asked_for() {
        let short = sent(&["out * compact"]).expect("the rule is for it");
        assert!(short.contains("\r\nv: SIP/2.0/UDP"), "{short}");
        assert!(short.contains("\r\ni: c\r\n"), "{short}");
        let Ok(Message::Request(read)) = Message::parse(short.as_bytes()) else {
            panic!("{short}");
        };
        assert_eq!(read.headers.call_id().expect("it has one"), "c");
    }

    #[test]
    fn answers_are_changed_before_they_are_looked_at_and_that_is_said_without_values() {
        let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=a\r\n\
            To: <sip:a@b>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nServer: odd\r\nContent-Length: 0\r\n\r\n";
        let Ok(Message::Response(mut response)) = Message::parse(text.as_bytes()) else {
            panic!("{text}");
        };
        let rules = rules(&["in INVITE remove Server", "in * set P-Said: secret"]).expect("rules");
        let said = rules.incoming(&mut response);
        let said = said.expect("something was done");
        assert!(said.ends_with("Server removed, P-Said set"), "{said}");
        assert!(!response.headers.has(HeaderName::Server));
        let name = HeaderName::from("P-Said");
        assert_eq!(response.headers.get(name), Some("secret"));
    }

    #[test]
    fn what_a_message_is_cannot_be_changed_and_nothing_can_be_smuggled_in() {
        for line in [
            "out * set Via: SIP/2.0/UDP 9.9.9.9",
            "out * set v: SIP/2.0/UDP 9.9.9.9",
            "out * remove Call-ID",
            "out * add Route: <sip:9.9.9.9;lr>",
            "out * set Authorization: Digest x",
            "out INVITE set Content-Length: 0",
            "in * remove WWW-Authenticate",
            "in * set CSeq: 2 INVITE",
            "in REGISTER set Expires: 9999999",
            "out * add X-A: a\r\nX-Evil: 1",
            "out * add X A: a",
            "out * add X-A",
            "out * forge X-A: 1",
            "out INV ITE add X-A: 1",
            "in * compact",
            "round * add X-A: 1",
            "out",
            "",
        ] {
            let said = rules(&[line]).expect_err(line).sentence();
            let said = said.reveal();
            assert!(said.contains('“'), "{said}");
        }
    }

    #[test]
    fn rules_are_bounded_in_number_and_in_what_they_add() {
        assert!(rules(&["out * remove X-A"; 32]).is_ok());
        assert!(rules(&["out * remove X-A"; 33]).is_err());
        let long = format!("out * add X-A: {}", "x".repeat(200));
        assert!(rules(&[&long]).is_err());
        // Any octets as a rule are a rule or a sentence.
        let mut seed = 7_u32;
        for _ in 0..2000 {
            let mut line = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                line.push_str(
                    ["out ", "in ", "* ", "add ", "X", ":", "\r\n", "é"][(seed >> 29) as usize],
                );
            }
            if let Ok(rules) = rules(&[&line]) {
                let _ = rules.outgoing(INVITE.as_bytes());
            }
        }
    }
}
