//! What can be wrong with a message, sorted by the layer that objects.

use thiserror::Error;

use crate::header_name::HeaderName;
use crate::headers::Headers;
use crate::message::Response;
use crate::method::Method;
use crate::status::StatusCode;

/// The layer that objects to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The request line or the status line.
    StartLine,
    /// Where headers and body begin and end, and the limits.
    Framing,
    /// One header's value.
    Header,
    /// What several headers say together.
    Validate,
}

impl Layer {
    /// The word for it in listings: `start-line`, `framing`, `header` or `validate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartLine => "start-line",
            Self::Framing => "framing",
            Self::Header => "header",
            Self::Validate => "validate",
        }
    }
}

/// The rule of the grammar that a value breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Fault {
    /// A token was due.
    #[error("a token is missing")]
    Token,
    /// A quoted string does not end.
    #[error("a quoted string does not end")]
    Quote,
    /// A parameter's value is missing.
    #[error("a parameter has no value")]
    Param,
    /// A number was due.
    #[error("a number is missing")]
    Number,
    /// A number is larger than the field allows.
    #[error("a number is out of range")]
    Range,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("an escape is not valid")]
    Escape,
    /// No scheme begins the URI.
    #[error("the URI has no scheme")]
    Scheme,
    /// A character that the URI cannot hold.
    #[error("the URI has a character that must be escaped")]
    UriCharacter,
    /// The user part is empty or not valid.
    #[error("the user part is not valid")]
    User,
    /// Neither a name nor an address.
    #[error("the host is not valid")]
    Host,
    /// Not a port number.
    #[error("the port is not valid")]
    Port,
    /// A `<` without its `>`.
    #[error("an angle bracket is missing")]
    Bracket,
    /// A display name that would have to be quoted.
    #[error("the display name must be quoted")]
    DisplayName,
    /// A URI with `?`, `,` or `;` that has to stand in angle brackets (RFC 3261 §20).
    #[error("the URI must stand in angle brackets")]
    BareUri,
    /// Not SIP 2.0.
    #[error("the protocol version is not SIP/2.0")]
    Version,
    /// A separator such as `/` or `:` was due.
    #[error("a separator is missing")]
    Separator,
    /// Not a date of RFC 1123 in GMT.
    #[error("the date is not valid")]
    Date,
    /// Nothing where a value must be.
    #[error("the value is empty")]
    Empty,
    /// Something follows the value.
    #[error("something follows the value")]
    Trailing,
}

/// Why a text is not a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not a URI: {0}")]
pub struct UriError(pub Fault);

/// Why a typed header cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The message has no such header.
    #[error("{0} is missing")]
    Missing(HeaderName),
    /// It is there and its value breaks the grammar.
    #[error("{name} is malformed: {fault}")]
    Malformed {
        /// The header.
        name: HeaderName,
        /// The rule it breaks.
        fault: Fault,
    },
}

impl HeaderError {
    /// The header it is about.
    pub fn name(&self) -> &HeaderName {
        match self {
            Self::Missing(name) | Self::Malformed { name, .. } => name,
        }
    }

    /// A reason phrase that names the fault, as RFC 3261 §21.4.1 asks of a 400.
    pub fn phrase(&self) -> String {
        match self {
            Self::Missing(name) => format!("Missing {name} Header"),
            Self::Malformed { name, .. } => format!("Malformed {name} Header"),
        }
    }

    /// Whether the header is not there at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// Why octets are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// What could be read all the same, to answer with.
    pub salvage: Option<Box<Salvage>>,
}

impl ParseError {
    pub(crate) fn new(kind: ParseErrorKind) -> Self {
        Self {
            kind,
            salvage: None,
        }
    }

    /// The layer that objects.
    pub fn layer(&self) -> Layer {
        self.kind.layer()
    }

    /// The answer to a broken request, where enough of it could be read: the status that fits the
    /// fault (400, 505 or 513) with the Via, From, To, Call-ID and CSeq of the request. Never for
    /// a response or an ACK, which get no answer.
    pub fn answer(&self) -> Option<Response> {
        self.salvage
            .as_ref()?
            .answer(self.kind.status(), self.kind.phrase())
    }
}

/// What is wrong with the frame of a message or its start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum ParseErrorKind {
    /// No octets but line ends.
    #[error("there is no message")]
    Empty,
    /// Neither a request line nor a status line.
    #[error("the start line is neither a request line nor a status line")]
    StartLine,
    /// The Request-URI breaks the grammar.
    #[error("the Request-URI is malformed: {0}")]
    RequestUri(Fault),
    /// Not SIP 2.0.
    #[error("the protocol version is not SIP/2.0")]
    Version,
    /// The status code is not three digits from 100 to 699.
    #[error("the status code is out of range")]
    StatusCode,
    /// No empty line ends the headers.
    #[error("the headers do not end")]
    HeadersUnended,
    /// Content-Length is not a number.
    #[error("Content-Length is malformed: {0}")]
    ContentLength(Fault),
    /// Two Content-Length headers disagree.
    #[error("Content-Length is given twice with different values")]
    ContentLengthConflict,
    /// Fewer octets than Content-Length announces.
    #[error("the body is shorter than Content-Length")]
    BodyTruncated,
    /// A message on a stream has no Content-Length (RFC 3261 §20.14).
    #[error("Content-Length is missing on a stream")]
    ContentLengthMissing,
    /// More octets than [`crate::Limits::message`].
    #[error("the message is too large")]
    MessageTooLarge,
    /// More header lines than [`crate::Limits::headers`].
    #[error("the message has too many headers")]
    TooManyHeaders,
    /// A header or the start line is longer than the limits allow.
    #[error("a line is too long")]
    LineTooLong,
}

impl ParseErrorKind {
    /// The layer that objects.
    pub fn layer(self) -> Layer {
        match self {
            Self::StartLine | Self::RequestUri(_) | Self::Version | Self::StatusCode => {
                Layer::StartLine
            }
            _ => Layer::Framing,
        }
    }

    /// The status that tells the sender.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::MessageTooLarge | Self::TooManyHeaders | Self::LineTooLong => {
                StatusCode::MESSAGE_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// A reason phrase that names the fault, as RFC 3261 §21.4.1 asks.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::RequestUri(_) => "Malformed Request-URI",
            Self::ContentLength(_) => "Malformed Content-Length",
            Self::ContentLengthConflict => "Conflicting Content-Length",
            Self::ContentLengthMissing => "Missing Content-Length",
            Self::BodyTruncated => "Body Shorter Than Content-Length",
            Self::StartLine => "Malformed Request-Line",
            Self::HeadersUnended => "Unended Header Section",
            other => other.status().phrase(),
        }
    }
}

/// What could be read of a message that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvage {
    /// The method, where the message looked like a request.
    pub method: Option<Method>,
    /// The status, where the message looked like a response.
    pub status: Option<StatusCode>,
    /// The header lines that could be found.
    pub headers: Headers,
}

impl Salvage {
    /// A response to the broken request; `None` where it was an ACK or a response, or where no Via
    /// tells the way back.
    pub fn answer(&self, status: StatusCode, reason: &str) -> Option<Response> {
        if matches!(self.method, None | Some(Method::Ack)) || !self.headers.has(HeaderName::Via) {
            return None;
        }
        let mut response = Response::new(status);
        response.reason = reason.to_owned();
        let echoed = [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
        ];
        for name in &echoed {
            for value in self.headers.get_all(name) {
                response.headers.push(name.clone(), value);
            }
        }
        Some(response)
    }
}
