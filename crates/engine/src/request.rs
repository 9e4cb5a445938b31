//! A request of a method of somebody's own choice: what was written, made into what can be sent.

use model::Private;
use sip_core::options::Question;
use sip_message::{HeaderName, Headers, Method};

use crate::own_headers::{is_made, parse_header_unless};

/// A method is a word; none has come near this many characters.
const METHOD: usize = 32;
/// What a body may have; the rest of the 64 KB of a message is for its headers.
const BODY: usize = 60_000;
/// Headers that somebody may add.
const HEADERS: usize = 64;

/// A request as somebody wrote it.
pub(crate) struct RequestText {
    pub(crate) method: String,
    pub(crate) headers: Vec<Private>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Private,
}

impl RequestText {
    /// What is to be sent, or what is wrong with it.
    pub(crate) fn question(&self, contact_user: &str) -> Result<Question, String> {
        let method = self.method()?;
        if self.headers.len() > HEADERS {
            return Err(format!("it has more than {HEADERS} headers"));
        }
        let parsed = |line: &Private| parse_header_unless(line.reveal(), is_made);
        let headers = self.headers.iter().map(parsed).collect::<Result<_, _>>();
        Ok(Question {
            method,
            headers: headers.map_err(|error| error.sentence().into_revealed())?,
            body: self.body()?,
            contact_user: contact_user.to_owned(),
        })
    }

    fn method(&self) -> Result<Method, String> {
        let written = Some(self.method.as_str()).filter(|method| method.len() <= METHOD);
        let Some(method) = written.and_then(Method::parse) else {
            let shown = shortened(&self.method);
            return Err(format!(
                "“{shown}” is no method; one is a word like PUBLISH"
            ));
        };
        match Question::refusal(&method) {
            None => Ok(method),
            Some(why) => Err(format!("{why} and cannot be sent alone")),
        }
    }

    fn body(&self) -> Result<Option<(String, Vec<u8>)>, String> {
        let body = self.body.reveal();
        let kind = match &self.content_type {
            None if body.is_empty() => return Ok(None),
            None => "text/plain;charset=UTF-8",
            Some(_) if body.is_empty() => return Err("its Content-Type has no body".to_owned()),
            Some(kind) => kind.as_str(),
        };
        if body.len() > BODY {
            return Err(format!("its body has more than {BODY} octets"));
        }
        let mut headers = Headers::new();
        headers.push(HeaderName::ContentType, kind);
        if headers.content_type().is_err() || kind.contains(char::is_control) {
            let shown = shortened(kind);
            return Err(format!(
                "“{shown}” is no Content-Type; one looks like text/plain"
            ));
        }
        Ok(Some((kind.to_owned(), body.as_bytes().to_vec())))
    }
}

/// The beginning of what somebody wrote, on one line.
fn shortened(written: &str) -> String {
    let beginning: String = written.chars().take(METHOD).collect();
    beginning.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: &str, headers: &[&str], kind: Option<&str>, body: &str) -> RequestText {
        RequestText {
            method: method.to_owned(),
            headers: headers.iter().map(|line| Private::from(*line)).collect(),
            content_type: kind.map(str::to_owned),
            body: body.into(),
        }
    }

    #[test]
    fn any_word_is_a_method_and_its_headers_and_body_go_along() {
        let headers = ["Event: moon", "X-Room:42"];
        let request = text("TELEPORT", &headers, Some("text/csv"), "a,b");
        let question = request.question("alice-7").expect("it can be sent");
        assert_eq!(question.method.as_str(), "TELEPORT");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            question.headers,
            [pair("Event", "moon"), pair("X-Room", "42")]
        );
        let body = ("text/csv".to_owned(), b"a,b".to_vec());
        assert_eq!(question.body, Some(body));
        let bare = text("X", &[], None, "").question("").expect("so can this");
        assert_eq!(bare.body, None);
    }

    #[test]
    fn what_would_forge_or_break_a_request_is_refused_with_the_reason() {
        let long = "M".repeat(METHOD + 1);
        let many = vec!["X-A: b"; HEADERS + 1];
        let huge = "x".repeat(BODY + 1);
        for (request, said) in [
            (text("", &[], None, ""), "no method"),
            (text("BAD METHOD", &[], None, ""), "no method"),
            (text("X\r\nVia: y", &[], None, ""), r"“X\r\nVia: y” is no"),
            (text(&long, &[], None, ""), "no method"),
            (text("INVITE", &[], None, ""), "begins a call"),
            (text("ACK", &[], None, ""), "cannot be sent alone"),
            (text("CANCEL", &[], None, ""), "takes back"),
            (text("X", &["X-A: b\r\nVia: c"], None, ""), "not a header"),
            (text("X", &["X A: b"], None, ""), "not a header"),
            (text("X", &["nothing"], None, ""), "not a header"),
            (text("X", &["v: SIP/2.0/UDP x"], None, ""), "itself"),
            (text("X", &["Content-Length: 0"], None, ""), "itself"),
            (text("X", &["authorization: Basic x"], None, ""), "itself"),
            (text("X", &many, None, ""), "more than 64 headers"),
            (text("X", &[], Some("text"), "a"), "no Content-Type"),
            (text("X", &[], Some("a/b\r\nX: y"), "a"), "no Content-Type"),
            (text("X", &[], Some("text/plain"), ""), "has no body"),
            (text("X", &[], None, &huge), "60000 octets"),
        ] {
            let why = request.question("").expect_err("it cannot be sent");
            assert!(why.contains(said), "{said}: {why}");
        }
    }
}
