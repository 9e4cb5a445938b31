//! What a message says, in plain fields, for tools that list messages. Broken ones included.

use crate::error::{HeaderError, Layer, Salvage};
use crate::framer::{Frame, StreamFramer};
use crate::header_name::HeaderName;
use crate::headers::Headers;
use crate::limits::Limits;
use crate::message::Message;
use crate::name_addr::NameAddr;
use crate::scan::text;
use crate::validate::{validate_request, validate_response};
use crate::via::Via;
use crate::view::MessageView;

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request.
    Request,
    /// A response.
    Response,
}

/// The facts of one message. What could not be read is empty or `None`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The layer that objects first; `None` where the message is valid.
    pub layer: Option<Layer>,
    /// Every fault that was found, as sentences.
    pub errors: Vec<String>,
    /// Every fault that was forgiven, as sentences.
    pub repairs: Vec<String>,
    /// Request or response.
    pub kind: Option<Kind>,
    /// The method of a request.
    pub method: Option<String>,
    /// The Request-URI.
    pub uri: Option<String>,
    /// The status code of a response.
    pub status: Option<u16>,
    /// The reason phrase of a response.
    pub reason: Option<String>,
    /// Each Via, topmost first.
    pub via: Vec<ViaFacts>,
    /// From.
    pub from: Option<AddressFacts>,
    /// To.
    pub to: Option<AddressFacts>,
    /// Call-ID.
    pub call_id: Option<String>,
    /// Number and method of CSeq.
    pub cseq: Option<(u32, String)>,
    /// Each Contact that is an address.
    pub contacts: Vec<AddressFacts>,
    /// Max-Forwards.
    pub max_forwards: Option<u8>,
    /// Content-Length.
    pub content_length: Option<usize>,
    /// Content-Type, as sent.
    pub content_type: Option<String>,
    /// Names and values in their order.
    pub headers: Vec<(String, String)>,
    /// Octets of the body.
    pub body_bytes: usize,
}

impl Facts {
    /// Whether no layer of this crate objects.
    pub fn is_valid(&self) -> bool {
        self.layer.is_none()
    }

    fn object(&mut self, layer: Layer, error: impl ToString) {
        self.layer.get_or_insert(layer);
        let error = error.to_string();
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn read_headers(&mut self, headers: &Headers) {
        let readable = |vias: Result<Vec<Via>, HeaderError>| vias.unwrap_or_default();
        self.via = readable(headers.vias())
            .iter()
            .map(ViaFacts::from)
            .collect();
        if self.via.is_empty() {
            self.via = headers.via_top().iter().map(ViaFacts::from).collect();
        }
        self.from = headers.from().ok().as_ref().map(AddressFacts::from);
        self.to = headers.to().ok().as_ref().map(AddressFacts::from);
        self.call_id = headers.call_id().ok().map(str::to_owned);
        self.cseq = headers
            .cseq()
            .ok()
            .map(|cseq| (cseq.number, cseq.method.to_string()));
        self.contacts = headers
            .contacts()
            .unwrap_or_default()
            .iter()
            .map(AddressFacts::from)
            .collect();
        self.max_forwards = headers.max_forwards().ok();
        self.content_length = headers.content_length().ok();
        self.content_type = headers.get(HeaderName::ContentType).map(str::to_owned);
        let pair = |field: &crate::Field| (field.name().to_string(), field.value().to_owned());
        self.headers = headers.iter().map(pair).collect();
    }

    fn read_salvage(&mut self, salvage: &Salvage) {
        if let Some(method) = &salvage.method {
            self.kind = Some(Kind::Request);
            self.method = Some(method.to_string());
        }
        self.read_headers(&salvage.headers);
    }

    fn read_message(&mut self, message: &Message) {
        self.repairs = message
            .repairs()
            .iter()
            .map(|repair| repair.to_string())
            .collect();
        self.body_bytes = message.body().len();
        self.read_headers(message.headers());
        for fault in message.headers().faults() {
            self.object(Layer::Header, fault);
        }
        let outcome = match message {
            Message::Request(request) => {
                self.kind = Some(Kind::Request);
                self.method = Some(request.method.to_string());
                self.uri = Some(request.uri.to_string());
                validate_request(request)
            }
            Message::Response(response) => {
                self.kind = Some(Kind::Response);
                self.status = Some(response.status.code());
                self.reason = Some(response.reason.clone());
                validate_response(response)
            }
        };
        if let Err(error) = outcome {
            self.object(error.layer(), error);
        }
    }
}

/// One Via.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ViaFacts {
    /// The transport, as sent.
    pub transport: String,
    /// The host of `sent-by`.
    pub host: String,
    /// The port of `sent-by`.
    pub port: Option<u16>,
    /// The branch.
    pub branch: Option<String>,
    /// Every parameter, the branch too.
    pub params: Vec<(String, Option<String>)>,
}

impl From<&Via> for ViaFacts {
    fn from(via: &Via) -> Self {
        let owned =
            |(name, value): (&str, Option<&str>)| (name.to_owned(), value.map(str::to_owned));
        Self {
            transport: via.transport.clone(),
            host: via.sent_by.to_string(),
            port: via.port,
            branch: via.branch().map(str::to_owned),
            params: via.params.iter().map(owned).collect(),
        }
    }
}

/// One From, To or Contact.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AddressFacts {
    /// The display name.
    pub display: Option<String>,
    /// The whole URI.
    pub uri: String,
    /// The user part with its escapes resolved.
    pub user: Option<String>,
    /// The host; `None` where the scheme has none.
    pub host: Option<String>,
    /// The tag.
    pub tag: Option<String>,
}

impl From<&NameAddr> for AddressFacts {
    fn from(address: &NameAddr) -> Self {
        Self {
            display: address.display.clone(),
            uri: address.uri.to_string(),
            user: address.uri.user_decoded(),
            host: address.uri.sip_host().map(ToString::to_string),
            tag: address.tag().map(str::to_owned),
        }
    }
}

/// The facts of one message: a datagram, or (`as_stream`) a message cut out of a stream, where
/// Content-Length has to be there. Every known header is checked, needed or not. Never panics.
pub fn facts(bytes: &[u8], as_stream: bool) -> Facts {
    let limits = Limits::default();
    let view = if as_stream {
        MessageView::parse_framed(bytes, &limits)
    } else {
        MessageView::parse(bytes, &limits)
    };
    let mut facts = Facts::default();
    match view.and_then(|view| Message::from_view(&view)) {
        Ok(message) => facts.read_message(&message),
        Err(error) => {
            facts.object(error.layer(), &error);
            if let Some(salvage) = &error.salvage {
                facts.read_salvage(salvage);
            }
            read_start_line(&mut facts, bytes);
        }
    }
    facts
}

/// The facts of each message of a stream; a stream that cannot be followed ends with the facts of
/// what stopped it. Keepalives are left out.
pub fn stream_facts(bytes: &[u8]) -> Vec<Facts> {
    let mut framer = StreamFramer::new();
    framer.push(bytes);
    let mut all = Vec::new();
    loop {
        match framer.poll() {
            Ok(Some(Frame::Message(message))) => all.push(facts(&message, true)),
            Ok(Some(Frame::Ping | Frame::Pong)) => {}
            Ok(None) if framer.buffered() == 0 || framer.is_between_messages() => return all,
            Ok(None) => {
                all.push(facts(framer.unfinished(), true));
                return all;
            }
            Err(error) => {
                let mut last = Facts::default();
                last.object(error.0.layer(), &error.0);
                if let Some(salvage) = &error.0.salvage {
                    last.read_salvage(salvage);
                }
                all.push(last);
                return all;
            }
        }
    }
}

/// What a start line says that is not in order, as far as its words can be told apart.
fn read_start_line(facts: &mut Facts, bytes: &[u8]) {
    let skipped = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let line = bytes.get(skipped..).unwrap_or_default();
    let line = line
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let second = words.next().map(|word| text(word).into_owned());
    if first
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
    {
        facts.kind = Some(Kind::Response);
        facts.status = second.and_then(|code| code.parse().ok());
        let reason = line.splitn(3, |byte| *byte == b' ').nth(2);
        facts.reason = reason.map(|reason| text(reason).into_owned());
    } else if facts.kind == Some(Kind::Request) {
        facts.uri = second;
    }
}

#[cfg(test)]
mod tests;
