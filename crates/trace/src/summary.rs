//! What a list shows of one record.

use model::{AccountId, CallId, TenantId, Timestamp, TraceBody, TraceRecord, Transport};
use sip_message::{
    HeaderName, Limits, MessageView, NameAddrView, ParseErrorKind, StartLineView, UriView,
};

/// A record in the words of a list: read once, then sorted, searched and drawn without the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The record's number.
    pub id: u64,
    /// When.
    pub time: Timestamp,
    /// Whose.
    pub tenant: TenantId,
    /// Which account, when known.
    pub account: Option<AccountId>,
    /// Which call, when known.
    pub call: Option<CallId>,
    /// What it is.
    pub kind: Kind,
    /// The method: of a request its own, of a response the one it answers.
    pub method: Option<Box<str>>,
    /// Number in CSeq.
    pub cseq: Option<u32>,
    /// Branch of the topmost Via.
    pub branch: Option<Box<str>>,
    /// Call-ID.
    pub call_id: Option<Box<str>>,
    /// Who says to be calling, or registering.
    pub from: Option<PartySummary>,
    /// Who is called, or registered.
    pub to: Option<PartySummary>,
    /// The Request-URI.
    pub request_uri: Option<Box<str>>,
    /// How and between whom it travelled; `None` for a note.
    pub wire: Option<Wire>,
    /// Bytes on the wire.
    pub bytes: usize,
    /// Whether the body is a session description.
    pub has_sdp: bool,
    /// Whether credentials are in it.
    pub has_credentials: bool,
    /// Whether it is of the kind that hides the interesting ones.
    pub noise: Option<Noise>,
}

/// How a message travelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Whether we sent it.
    pub sent: bool,
    /// How.
    pub transport: Transport,
    /// Our address.
    pub local: Box<str>,
    /// The peer's address.
    pub peer: Box<str>,
}

impl Wire {
    /// Who sent it and who got it.
    pub fn ends(&self) -> (&str, &str) {
        if self.sent {
            (&self.local, &self.peer)
        } else {
            (&self.peer, &self.local)
        }
    }
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request; its method is in [`Summary::method`].
    Request,
    /// A response.
    Response {
        /// Its status, 100 to 699.
        code: u16,
        /// Its phrase, as sent.
        reason: Box<str>,
    },
    /// Line ends or a STUN binding that only keep a path open.
    KeepAlive,
    /// Bytes that are no SIP message, or none that can be read.
    Broken {
        /// What keeps them from being read.
        why: ParseErrorKind,
    },
    /// Something inside the program.
    Note {
        /// A word for filters.
        topic: Box<str>,
        /// One sentence.
        text: Box<str>,
    },
}

/// A From or To.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartySummary {
    /// The display name.
    pub display: Option<Box<str>>,
    /// The address as a URI.
    pub uri: Box<str>,
    /// The user part or number.
    pub user: Option<Box<str>>,
    /// The tag.
    pub tag: Option<Box<str>>,
}

/// Messages that come all day and say nothing until they fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Noise {
    /// An OPTIONS or its good answer.
    Options,
    /// A REGISTER of a registration, or its good answer. Whether it is a refresh is known only beside
    /// those before it: the selection of a list decides.
    Register,
    /// Keeps a path open.
    KeepAlive,
}

impl Summary {
    /// The status of a response.
    pub fn code(&self) -> Option<u16> {
        match self.kind {
            Kind::Response { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What the row says: `INVITE`, `180 Ringing`, a note's sentence.
    pub fn title(&self) -> String {
        match &self.kind {
            Kind::Request => self.method.as_deref().unwrap_or("?").to_owned(),
            Kind::Response { code, reason } if reason.is_empty() => code.to_string(),
            Kind::Response { code, reason } => format!("{code} {reason}"),
            Kind::KeepAlive => "keep-alive".to_owned(),
            Kind::Broken { why } => format!("{} bytes that cannot be read: {why}", self.bytes),
            Kind::Note { text, .. } => text.to_string(),
        }
    }
}

/// Reads a record. Never fails: what is not there is `None`.
pub fn summary(record: &TraceRecord) -> Summary {
    let mut summary = Summary {
        id: record.id,
        time: record.time,
        tenant: record.tenant.clone(),
        account: record.account.clone(),
        call: record.call,
        kind: Kind::Broken {
            why: ParseErrorKind::Empty,
        },
        method: None,
        cseq: None,
        branch: None,
        call_id: None,
        from: None,
        to: None,
        request_uri: None,
        wire: None,
        bytes: 0,
        has_sdp: false,
        has_credentials: false,
        noise: None,
    };
    match &record.body {
        TraceBody::Note {
            topic,
            text,
            sip_call_id,
        } => {
            summary.call_id = sip_call_id.as_deref().map(Box::from);
            summary.kind = Kind::Note {
                topic: topic.as_str().into(),
                text: text.reveal().into(),
            };
        }
        TraceBody::Sip {
            sent,
            transport,
            local,
            peer,
            bytes,
        } => {
            summary.wire = Some(Wire {
                sent: *sent,
                transport: *transport,
                local: local.as_str().into(),
                peer: peer.as_str().into(),
            });
            summary.bytes = bytes.len();
            read_message(&mut summary, bytes);
        }
    }
    summary
}

fn read_message(summary: &mut Summary, bytes: &[u8]) {
    if is_keep_alive(bytes) {
        summary.kind = Kind::KeepAlive;
        summary.noise = Some(Noise::KeepAlive);
        return;
    }
    let message = match MessageView::parse(bytes, &Limits::default()) {
        Ok(message) => message,
        Err(error) => {
            summary.kind = Kind::Broken { why: error.kind };
            return;
        }
    };
    if let Ok(cseq) = message.cseq() {
        summary.cseq = Some(cseq.number);
        summary.method = Some(cseq.method.as_str().into());
    }
    match message.start() {
        StartLineView::Request { method, uri } => {
            summary.kind = Kind::Request;
            summary.method = Some(method.as_str().into());
            summary.request_uri = Some(String::from_utf8_lossy(uri).into());
        }
        StartLineView::Response { status, reason } => {
            summary.kind = Kind::Response {
                code: status.code(),
                reason: String::from_utf8_lossy(reason).into(),
            };
        }
    }
    summary.call_id = message.call_id().ok().map(Box::from);
    summary.branch = message
        .via_top()
        .ok()
        .and_then(|via| via.branch().map(Box::from));
    summary.from = message.from().ok().map(|from| party(&from));
    summary.to = message.to().ok().map(|to| party(&to));
    summary.has_sdp = message
        .value(&HeaderName::ContentType)
        .is_some_and(|kind| starts_with(kind, b"application/sdp"))
        && !message.body().is_empty();
    summary.has_credentials = message.value(&HeaderName::Authorization).is_some()
        || message.value(&HeaderName::ProxyAuthorization).is_some();
    summary.noise = noise(summary, &message);
}

/// A failure is never noise; neither is an OPTIONS within a call, nor signing out.
fn noise(summary: &Summary, message: &MessageView<'_>) -> Option<Noise> {
    let fine = match summary.code() {
        None => true,
        Some(code) => code < 300 || matches!(code, 401 | 407 | 423),
    };
    let in_dialog =
        summary.code().is_none() && summary.to.as_ref().is_some_and(|to| to.tag.is_some());
    match summary.method.as_deref() {
        Some("OPTIONS") if fine && !in_dialog => Some(Noise::Options),
        Some("REGISTER") if fine && !signs_out(message) => Some(Noise::Register),
        _ => None,
    }
}

fn signs_out(message: &MessageView<'_>) -> bool {
    let header = message.value(&HeaderName::Expires) == Some(b"0");
    let contact = message.contact().is_ok_and(|contact| {
        contact
            .params
            .token("expires")
            .is_some_and(|expires| expires == "0")
    });
    message.method().is_some() && (header || contact)
}

fn party(address: &NameAddrView<'_>) -> PartySummary {
    PartySummary {
        display: address
            .display()
            .filter(|display| !display.is_empty())
            .map(Box::from),
        uri: String::from_utf8_lossy(address.uri.raw).into(),
        user: user(&address.uri),
        tag: address.tag().map(Box::from),
    }
}

fn user(uri: &UriView<'_>) -> Option<Box<str>> {
    uri.user.map(Box::from)
}

/// Double CRLF and its answer (RFC 5626 §3.5.1), a NUL or two of old phones, or STUN (RFC 8489 §6).
fn is_keep_alive(bytes: &[u8]) -> bool {
    let blank = bytes.len() <= 8 && bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0));
    let stun = bytes.len() >= 20
        && bytes.first().is_some_and(|b| *b < 4)
        && bytes.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]);
    blank || stun
}

fn starts_with(value: &[u8], word: &[u8]) -> bool {
    value
        .get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{message, note, sip};

    #[test]
    fn a_request_and_its_answer_are_read() {
        let invite = summary(&sip(
            1,
            0,
            true,
            &message("INVITE sip:600@example.com SIP/2.0", "INVITE", 7),
        ));
        assert_eq!(invite.kind, Kind::Request);
        assert_eq!(invite.method.as_deref(), Some("INVITE"));
        assert_eq!(invite.cseq, Some(7));
        assert_eq!(invite.request_uri.as_deref(), Some("sip:600@example.com"));
        assert_eq!(invite.branch.as_deref(), Some("z9hG4bK-7"));
        let from = invite.from.unwrap();
        assert_eq!(from.display.as_deref(), Some("Alice Liddell"));
        assert_eq!(from.user.as_deref(), Some("alice"));
        assert_eq!(from.tag.as_deref(), Some("from-tag"));
        assert_eq!(
            invite.wire.unwrap().ends(),
            ("127.0.0.1:5070", "192.0.2.1:5060")
        );

        let busy = summary(&sip(
            2,
            0,
            false,
            &message("SIP/2.0 486 Busy Here", "INVITE", 7),
        ));
        assert_eq!(busy.code(), Some(486));
        assert_eq!(busy.title(), "486 Busy Here");
        assert_eq!(busy.method.as_deref(), Some("INVITE"));
    }

    #[test]
    fn what_comes_all_day_is_noise_until_it_fails() {
        let noise =
            |start: &str, method: &str| summary(&sip(1, 0, true, &message(start, method, 1))).noise;
        assert_eq!(
            noise("OPTIONS sip:a@b SIP/2.0", "OPTIONS"),
            Some(Noise::Options)
        );
        assert_eq!(noise("SIP/2.0 200 OK", "OPTIONS"), Some(Noise::Options));
        assert_eq!(noise("SIP/2.0 503 No", "OPTIONS"), None);
        assert_eq!(noise("SIP/2.0 401 Who", "REGISTER"), Some(Noise::Register));
        assert_eq!(noise("SIP/2.0 403 No", "REGISTER"), None);
        assert_eq!(noise("INVITE sip:a@b SIP/2.0", "INVITE"), None);
        assert_eq!(
            summary(&sip(1, 0, true, "\r\n\r\n")).noise,
            Some(Noise::KeepAlive)
        );
        let leaving = message("REGISTER sip:b SIP/2.0", "REGISTER", 9)
            .replace("Max-Forwards: 70", "Expires: 0");
        assert_eq!(summary(&sip(1, 0, true, &leaving)).noise, None);
    }

    #[test]
    fn garbage_and_notes_have_a_row_too() {
        let row = summary(&sip(1, 0, false, "GET / HTTP/1.1\r\n\r\n"));
        assert_eq!(
            row.title(),
            "18 bytes that cannot be read: the start line is neither a request line nor a status line"
        );
        let long = "X-Long: 1\r\n".repeat(200);
        let long = format!("OPTIONS sip:a@b SIP/2.0\r\n{long}\r\n");
        let row = summary(&sip(1, 0, false, &long));
        let why = "the message has too many headers";
        assert_eq!(
            row.title(),
            format!("{} bytes that cannot be read: {why}", long.len())
        );
        let row = summary(&note(2, 0, "transport", "TCP closed."));
        assert_eq!(row.title(), "TCP closed.");
        assert_eq!(row.wire, None);
    }
}
