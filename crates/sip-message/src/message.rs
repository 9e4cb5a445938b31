//! Requests and responses that are ours: made, received, changed, written.

use std::fmt;

use thiserror::Error;

use crate::error::{ParseError, ParseErrorKind, Salvage};
use crate::header_name::HeaderName;
use crate::headers::{Field, Headers};
use crate::limits::Limits;
use crate::method::Method;
use crate::repair::{Repair, Repairs};
use crate::scan::{is_token, text};
use crate::status::StatusCode;
use crate::uri::Uri;
use crate::validate::ONCE;
use crate::view::{MessageView, StartLineView, read_length};

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    wire: Wire,
}

/// A response.
#[derive(Clone)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase, perhaps empty.
    pub reason: String,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    wire: Wire,
}

/// How a received message was written, as far as its parts do not tell.
#[derive(Clone, Default)]
struct Wire {
    /// The start line, where it is not as we would write it.
    start_line: Option<Box<[u8]>>,
    /// The line ends, where one is not CRLF: the whole head then, since it cannot be remade.
    head: Option<Box<[u8]>>,
    /// The length of a body that came without Content-Length.
    unannounced: Option<usize>,
    repairs: Repairs,
}

/// Why a message is not written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SerializeError {
    /// The start line would not be one line, or not of its three parts.
    #[error("the start line holds a character that would break it")]
    StartLine,
    /// A header's name is not a token.
    #[error("{0:?} is not a header name")]
    Name(String),
    /// A header's value holds CR, LF or NUL, so it could forge further headers.
    #[error("the value of {0} holds a line end")]
    Value(HeaderName),
}

impl Message {
    /// Reads a message that fills a datagram, within the default [`Limits`].
    ///
    /// Content-Length shorter than what is there cuts the body, longer is an error, absent means
    /// up to the end.
    ///
    /// # Errors
    /// Framing and start line, with what could be salvaged to answer; header values are not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        Self::parse_with(bytes, &Limits::default())
    }

    /// [`Message::parse`] within other limits.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn parse_with(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        Self::from_view(&MessageView::parse(bytes, limits)?)
    }

    /// Makes an owned message of a borrowed one.
    ///
    /// # Errors
    /// The Request-URI breaks the grammar.
    pub fn from_view(view: &MessageView<'_>) -> Result<Self, ParseError> {
        let headers = Headers::from_lines(view.headers());
        let body = view.body().to_vec();
        let mut wire = Wire {
            repairs: view.repairs(),
            ..Wire::default()
        };
        if !headers.has(HeaderName::ContentLength) {
            wire.unannounced = Some(body.len());
        }
        let head = view.bytes().len() - view.body().len();
        if view
            .bytes()
            .get(..head)
            .is_some_and(|head| std::str::from_utf8(head).is_err())
        {
            wire.repairs.add(Repair::NotUtf8);
        }
        let message = match view.start() {
            StartLineView::Request { method, uri } => match Uri::parse_bytes(uri) {
                Ok(uri) => Self::Request(Request {
                    method: method.into(),
                    uri,
                    headers,
                    body,
                    wire,
                }),
                Err(error) => {
                    let salvage = Salvage {
                        method: Some(method.into()),
                        status: None,
                        headers,
                    };
                    return Err(ParseError {
                        kind: ParseErrorKind::RequestUri(error.0),
                        salvage: Some(Box::new(salvage)),
                    });
                }
            },
            StartLineView::Response { status, reason } => {
                let reason = text(reason).into_owned();
                Self::Response(Response {
                    status,
                    reason,
                    headers,
                    body,
                    wire,
                })
            }
        };
        Ok(message.remembering(view))
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The header fields, to change.
    pub fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Self::Request(request) => &mut request.headers,
            Self::Response(response) => &mut response.headers,
        }
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }

    /// What the peer was forgiven, by the frame and in the headers that are commonly wrong.
    pub fn repairs(&self) -> Repairs {
        match self {
            Self::Request(request) => request.repairs(),
            Self::Response(response) => response.repairs(),
        }
    }

    /// See [`Request::to_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }

    /// Keeps how the peer wrote what we would write otherwise.
    fn remembering(mut self, view: &MessageView<'_>) -> Self {
        let start_line = match &self {
            Self::Request(request) => request.start_line(),
            Self::Response(response) => response.start_line(),
        };
        let wire = match &mut self {
            Self::Request(request) => &mut request.wire,
            Self::Response(response) => &mut response.wire,
        };
        if start_line.as_bytes() != view.start_line() && !has_line_end(view.start_line()) {
            wire.start_line = Some(view.start_line().into());
        }
        if view.repairs().contains(Repair::BareLineFeed)
            && !view.repairs().contains(Repair::LoneCarriageReturn)
        {
            let head = view.bytes().len() - view.body().len();
            wire.head = view.bytes().get(..head).map(Into::into);
        }
        self
    }
}

fn has_line_end(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.to_bytes()))
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: Headers::new(),
            body: Vec::new(),
            wire: Wire::default(),
        }
    }

    /// Sets the body with its Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: Vec<u8>) {
        self.headers.set(HeaderName::ContentType, content_type);
        self.body = body;
    }

    /// What the peer was forgiven.
    pub fn repairs(&self) -> Repairs {
        repairs(self.wire.repairs, &self.headers)
    }

    /// The octets to send. Content-Length is always right: added, corrected, or left alone where
    /// it is right already. A message from a peer that nobody changed comes back octet for octet,
    /// even without Content-Length. CR, LF and NUL in a start line or header are written as spaces,
    /// so no value can forge a header; [`Request::try_to_bytes`] refuses such a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        write(
            self.start(),
            &self.headers,
            &self.body,
            &self.wire,
            Form::Long,
        )
    }

    /// The octets with compact header names, for a datagram that has to be small.
    pub fn to_bytes_compact(&self) -> Vec<u8> {
        write(
            self.start(),
            &self.headers,
            &self.body,
            &self.wire,
            Form::Compact,
        )
    }

    /// The octets to send, or the refusal of a message that holds a line end where none belongs.
    ///
    /// # Errors
    /// The first part that could forge a header or a start line.
    pub fn try_to_bytes(&self) -> Result<Vec<u8>, SerializeError> {
        let uri = self.uri.to_string();
        let sound =
            is_token(self.method.as_str()) && !uri.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        check(sound, &self.headers)?;
        Ok(self.to_bytes())
    }

    fn start_line(&self) -> String {
        format!("{} {} SIP/2.0", self.method, self.uri)
    }

    /// The start line to write: the peer's where it still says what the fields say.
    fn start(&self) -> Vec<u8> {
        if let Some(line) = &self.wire.start_line
            && request_line_says(line, &self.method, &self.uri)
        {
            return line.to_vec();
        }
        self.start_line().into_bytes()
    }
}

fn request_line_says(line: &[u8], method: &Method, uri: &Uri) -> bool {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    parts.next() == Some(method.as_str().as_bytes())
        && parts
            .next()
            .and_then(|part| Uri::parse_bytes(part).ok())
            .as_ref()
            == Some(uri)
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method
            && self.uri == other.uri
            && self.headers == other.headers
            && self.body == other.body
    }
}

impl Eq for Request {}

impl Response {
    /// A response with the registered reason phrase, without headers and body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: status.phrase().to_owned(),
            headers: Headers::new(),
            body: Vec::new(),
            wire: Wire::default(),
        }
    }

    /// The response to a request with what RFC 3261 §8.2.6 copies: every Via, From, To, Call-ID
    /// and CSeq, and Timestamp into a 100. The To tag is the caller's business.
    pub fn to_request(request: &Request, status: StatusCode) -> Self {
        let mut response = Self::new(status);
        let timestamp = (status == StatusCode::TRYING).then_some(HeaderName::Timestamp);
        let copied = [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
        ];
        for name in copied.into_iter().chain(timestamp) {
            for value in request.headers.get_all(&name) {
                response.headers.push(&name, value);
            }
        }
        response
    }

    /// Sets the body with its Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: Vec<u8>) {
        self.headers.set(HeaderName::ContentType, content_type);
        self.body = body;
    }

    /// What the peer was forgiven.
    pub fn repairs(&self) -> Repairs {
        repairs(self.wire.repairs, &self.headers)
    }

    /// The octets to send; see [`Request::to_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        write(
            self.start(),
            &self.headers,
            &self.body,
            &self.wire,
            Form::Long,
        )
    }

    /// The octets with compact header names, for a datagram that has to be small.
    pub fn to_bytes_compact(&self) -> Vec<u8> {
        write(
            self.start(),
            &self.headers,
            &self.body,
            &self.wire,
            Form::Compact,
        )
    }

    /// The octets to send, or the refusal of a message that holds a line end where none belongs.
    ///
    /// # Errors
    /// The first part that could forge a header or a start line.
    pub fn try_to_bytes(&self) -> Result<Vec<u8>, SerializeError> {
        check(!has_line_end(self.reason.as_bytes()), &self.headers)?;
        Ok(self.to_bytes())
    }

    fn start_line(&self) -> String {
        format!("SIP/2.0 {} {}", self.status, self.reason)
    }

    fn start(&self) -> Vec<u8> {
        if let Some(line) = &self.wire.start_line
            && status_line_says(line, self.status, &self.reason)
        {
            return line.to_vec();
        }
        self.start_line().into_bytes()
    }
}

fn status_line_says(line: &[u8], status: StatusCode, reason: &str) -> bool {
    let mut parts = line.splitn(3, |byte| *byte == b' ').skip(1);
    let code = parts.next().map(text);
    code.as_deref() == Some(status.to_string().as_str())
        && text(parts.next().unwrap_or_default()) == reason
}

impl PartialEq for Response {
    fn eq(&self, other: &Self) -> bool {
        self.status == other.status
            && self.reason == other.reason
            && self.headers == other.headers
            && self.body == other.body
    }
}

impl Eq for Response {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Long,
    Compact,
}

fn write(start: Vec<u8>, headers: &Headers, body: &[u8], wire: &Wire, form: Form) -> Vec<u8> {
    let untouched = !headers.is_touched() && form == Form::Long;
    if let Some(head) = &wire.head
        && untouched
        && head.starts_with(&start)
        && announces(headers, body, wire)
    {
        return [head, body].concat();
    }
    let mut out = Vec::with_capacity(start.len() + 64 * headers.len() + body.len() + 64);
    write_plain(&mut out, &start);
    out.extend_from_slice(b"\r\n");
    let mut length_written = untouched && wire.unannounced == Some(body.len());
    for field in headers.iter() {
        // What is no header field goes back as it came or not at all: behind another field it
        // might be taken for a fold.
        if field.name().as_str().is_empty() && !untouched {
            continue;
        }
        if *field.name() == HeaderName::ContentLength {
            if length_written && !untouched {
                continue;
            }
            length_written = true;
            if read_length(field.value().as_bytes()).ok() != u64::try_from(body.len()).ok() {
                write_length(&mut out, body, form);
                continue;
            }
        }
        write_field(&mut out, field, form);
    }
    if !length_written {
        write_length(&mut out, body, form);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// Whether what the headers say of the body's length holds.
fn announces(headers: &Headers, body: &[u8], wire: &Wire) -> bool {
    match headers.get(HeaderName::ContentLength) {
        Some(value) => read_length(value.as_bytes()).ok() == u64::try_from(body.len()).ok(),
        None => wire.unannounced == Some(body.len()),
    }
}

fn write_length(out: &mut Vec<u8>, body: &[u8], form: Form) {
    let name = if form == Form::Compact {
        "l"
    } else {
        "Content-Length"
    };
    out.extend_from_slice(format!("{name}: {}\r\n", body.len()).as_bytes());
}

fn write_field(out: &mut Vec<u8>, field: &Field, form: Form) {
    match field.line() {
        Some(line) if form == Form::Long => out.extend_from_slice(line),
        _ => {
            let compact = field.name().compact().filter(|_| form == Form::Compact);
            let name = compact.unwrap_or_else(|| field.name().as_str());
            write_plain(out, name.as_bytes());
            out.extend_from_slice(b": ");
            write_plain(out, field.value().as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes text that has to stay within its line.
fn write_plain(out: &mut Vec<u8>, text: &[u8]) {
    let spaced = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n' | 0) {
            b' '
        } else {
            *byte
        }
    };
    out.extend(text.iter().map(spaced));
}

fn check(start_line: bool, headers: &Headers) -> Result<(), SerializeError> {
    if !start_line {
        return Err(SerializeError::StartLine);
    }
    for field in headers.iter().filter(|field| field.line().is_none()) {
        if !is_token(field.name().as_str()) {
            return Err(SerializeError::Name(field.name().as_str().to_owned()));
        }
        if has_line_end(field.value().as_bytes()) {
            return Err(SerializeError::Value(field.name().clone()));
        }
    }
    Ok(())
}

/// The repairs of the frame with those that only a look at the values shows.
fn repairs(frame: Repairs, headers: &Headers) -> Repairs {
    let mut repairs = frame;
    if ONCE
        .iter()
        .any(|name| headers.get_all(name).nth(1).is_some())
    {
        repairs.add(Repair::RepeatedHeader);
    }
    for routes in [headers.routes(), headers.record_routes()] {
        let valued = |route: &crate::NameAddr| route.uri.params.get("lr").is_some();
        if routes.is_ok_and(|routes| routes.iter().any(valued)) {
            repairs.add(Repair::ValuedLr);
        }
    }
    for name in [HeaderName::From, HeaderName::To] {
        if headers
            .one::<crate::NameAddrView<'_>>(name)
            .is_ok_and(|address| address.has_sloppy_display())
        {
            repairs.add(Repair::SloppyDisplayName);
        }
    }
    repairs
}

#[cfg(test)]
mod tests;
