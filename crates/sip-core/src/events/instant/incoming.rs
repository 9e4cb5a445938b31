//! A MESSAGE that came: what it says, or why it is refused (RFC 3428 §7).

use sip_message::{HeaderName, MediaType, NameAddr, Request, Response, StatusCode};

use crate::stateless::{self, Capabilities, StatusLine};
use crate::tokens::Tokens;

/// What somebody said.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Who: From, or the From inside a CPIM wrapper.
    pub from: NameAddr,
    /// To whom.
    pub to: NameAddr,
    /// The text.
    pub text: String,
    /// Subject, if there is one.
    pub subject: Option<String>,
    /// When it was written, in the sender's own words: Date of the request or the DateTime of a
    /// CPIM wrapper.
    pub date: Option<String>,
    /// Whether octets that are no text in the named character set were replaced.
    pub repaired: bool,
}

impl std::fmt::Debug for ReceivedMessage {
    /// Without identities and what was said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedMessage")
            .field("length", &self.text.len())
            .field("repaired", &self.repaired)
            .finish_non_exhaustive()
    }
}

/// Why a MESSAGE is not taken, as the status to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRefusal {
    /// It cannot be read: 400, with what is wrong.
    Broken(Broken),
    /// Its body is larger than allowed: 413.
    TooLarge,
    /// Its body is of a kind that we do not show: 415 with what we do.
    UnknownKind,
}

/// What is wrong with a MESSAGE that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// From or To is missing or malformed.
    Address,
    /// It has a body and does not say of what kind (RFC 3261 §20.15).
    NoKind,
    /// Content-Type is malformed.
    Kind,
    /// The CPIM wrapper is (RFC 3862 §2).
    Wrapper,
}

impl MessageRefusal {
    /// The status to answer, and the words beside it.
    pub fn status(self) -> StatusLine {
        match self {
            Self::Broken(what) => StatusLine::bad_request(match what {
                Broken::Address => "Malformed From or To Header",
                Broken::NoKind => "Missing Content-Type Header",
                Broken::Kind => "Malformed Content-Type Header",
                Broken::Wrapper => "Malformed CPIM Body",
            }),
            Self::TooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE.into(),
            Self::UnknownKind => StatusCode::UNSUPPORTED_MEDIA_TYPE.into(),
        }
    }
}

/// What we read, as Accept says it.
pub(crate) const READABLE: &str = "text/plain, message/cpim";
/// Header lines of a CPIM wrapper that are looked at.
const MOST_CPIM_LINES: usize = 32;

/// Reads a MESSAGE: `text/plain`, bare or wrapped in `message/cpim` (RFC 3862).
///
/// # Errors
///
/// Why it is to be refused; see [`answer_message`].
pub fn read_message(request: &Request, largest: usize) -> Result<ReceivedMessage, MessageRefusal> {
    let headers = &request.headers;
    let (Ok(from), Ok(to)) = (headers.from(), headers.to()) else {
        return Err(MessageRefusal::Broken(Broken::Address));
    };
    if request.body.len() > largest {
        return Err(MessageRefusal::TooLarge);
    }
    let encoded = headers
        .get_all(HeaderName::ContentEncoding)
        .any(|coding| !coding.trim().eq_ignore_ascii_case("identity"));
    if encoded {
        return Err(MessageRefusal::UnknownKind);
    }
    let mut message = ReceivedMessage {
        from,
        to,
        text: String::new(),
        subject: headers.subject().map(str::to_owned),
        date: headers.get(HeaderName::Date).map(str::to_owned),
        repaired: false,
    };
    let kind = match headers.get(HeaderName::ContentType) {
        None if request.body.is_empty() => return Ok(message),
        // RFC 3261 §20.15: a body has to say what it is.
        None => return Err(MessageRefusal::Broken(Broken::NoKind)),
        Some(kind) => MediaType::parse(kind).map_err(|_| MessageRefusal::Broken(Broken::Kind))?,
    };
    if kind.is("message", "cpim") {
        message.unwrap_cpim(&request.body)?;
    } else {
        message.take_text(&kind, &request.body)?;
    }
    Ok(message)
}

impl ReceivedMessage {
    fn take_text(&mut self, kind: &MediaType, body: &[u8]) -> Result<(), MessageRefusal> {
        if !kind.is("text", "plain") {
            return Err(MessageRefusal::UnknownKind);
        }
        let charset = kind.params.get("charset").unwrap_or("utf-8");
        self.text = match charset.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" => {
                let text = String::from_utf8_lossy(body);
                self.repaired = matches!(text, std::borrow::Cow::Owned(_));
                text.into_owned()
            }
            "iso-8859-1" | "latin1" => body.iter().copied().map(char::from).collect(),
            _ => return Err(MessageRefusal::UnknownKind),
        };
        Ok(())
    }

    /// RFC 3862 §2: message headers, an empty line, MIME headers, an empty line, the content.
    fn unwrap_cpim(&mut self, body: &[u8]) -> Result<(), MessageRefusal> {
        let broken = MessageRefusal::Broken(Broken::Wrapper);
        let (head, rest) = split_at_empty_line(body).ok_or(broken)?;
        let (mime, content) = split_at_empty_line(rest).ok_or(broken)?;
        for (name, value) in lines(head) {
            match name.to_ascii_lowercase().as_str() {
                "from" => {
                    if let Ok(from) = NameAddr::parse(value) {
                        self.from = from;
                    }
                }
                "datetime" => self.date = Some(value.to_owned()),
                "subject" => self.subject = Some(value.to_owned()),
                _ => {}
            }
        }
        let kind = lines(mime)
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| MediaType::parse(value))
            .transpose()
            .map_err(|_| broken)?
            .unwrap_or_else(|| MediaType::new("text", "plain"));
        self.take_text(&kind, content)
    }
}

/// What stands before and behind the first empty line; line ends may be bare.
fn split_at_empty_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let ends: [&[u8]; 2] = [b"\r\n\r\n", b"\n\n"];
    let (at, length) = ends
        .into_iter()
        .filter_map(|end| {
            let at = bytes.windows(end.len()).position(|window| window == end)?;
            Some((at, end.len()))
        })
        .min()?;
    let head = std::str::from_utf8(bytes.get(..at)?).ok()?;
    Some((head, bytes.get(at + length..)?))
}

fn lines(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines()
        .take(MOST_CPIM_LINES)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// The answer: 200, or the refusal with what it calls for. 200 says that a person will see it, so
/// it is given once it was shown or kept.
pub fn answer_message(
    request: &Request,
    outcome: Result<(), MessageRefusal>,
    capabilities: &Capabilities,
    tokens: &Tokens,
) -> Response {
    let status = outcome.map_or_else(MessageRefusal::status, |()| StatusCode::OK.into());
    stateless::respond_statelessly(request, status, capabilities, tokens)
}
