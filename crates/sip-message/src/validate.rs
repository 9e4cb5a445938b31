//! What several headers say together (RFC 3261 §8.1.1, §8.2, §20).

use thiserror::Error;

use crate::error::{HeaderError, Layer};
use crate::header_name::HeaderName;
use crate::headers::Headers;
use crate::message::{Request, Response};
use crate::status::StatusCode;

/// Why a message that could be read must not be acted upon.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct ValidateError {
    /// What is wrong.
    pub kind: ValidateErrorKind,
    /// The status to answer a request with. A response that is not valid is dropped.
    pub status: StatusCode,
}

/// What is wrong with a message as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValidateErrorKind {
    /// A header that every message needs is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A header that may stand once stands again with another value.
    #[error("{0} is given more than once")]
    Repeated(HeaderName),
    /// CSeq names another method than the request line.
    #[error("CSeq names another method than the request line")]
    CSeqMethod,
    /// The Request-URI carries headers, which only a URI to be made into a request may
    /// (RFC 3261 §19.1.1, RFC 4475 §3.1.2.11).
    #[error("the Request-URI carries headers")]
    RequestUriHeaders,
}

impl ValidateError {
    /// The layer that objects: a missing header is a matter of the message, a malformed one of the
    /// header.
    pub fn layer(&self) -> Layer {
        match &self.kind {
            ValidateErrorKind::Header(HeaderError::Malformed { .. }) => Layer::Header,
            _ => Layer::Validate,
        }
    }

    /// A reason phrase that names the fault, as RFC 3261 §21.4.1 asks.
    pub fn phrase(&self) -> String {
        match &self.kind {
            ValidateErrorKind::Header(error) => error.phrase(),
            ValidateErrorKind::Repeated(name) => format!("Repeated {name} Header"),
            ValidateErrorKind::CSeqMethod => "CSeq Method Mismatch".to_owned(),
            ValidateErrorKind::RequestUriHeaders => "Headers in Request-URI".to_owned(),
        }
    }
}

impl From<ValidateErrorKind> for ValidateError {
    fn from(kind: ValidateErrorKind) -> Self {
        Self {
            kind,
            status: StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks a request: the headers every request has are there, once and readable, and CSeq names
/// its method. Max-Forwards is 0 to 255 (§20.22) or missing, as it is in requests of RFC 2543; an
/// INVITE's missing Contact is for the dialog to mind.
///
/// # Errors
/// The first fault, with the status to answer.
pub fn validate_request(request: &Request) -> Result<(), ValidateError> {
    check_headers(&request.headers)?;
    let cseq = request.headers.cseq().map_err(ValidateErrorKind::from)?;
    if cseq.method != request.method {
        return Err(ValidateErrorKind::CSeqMethod.into());
    }
    if !request.uri.headers.is_empty() {
        return Err(ValidateErrorKind::RequestUriHeaders.into());
    }
    match request.headers.max_forwards() {
        Ok(_) | Err(HeaderError::Missing(_)) => Ok(()),
        Err(error) => Err(ValidateErrorKind::from(error).into()),
    }
}

/// Checks a response: the headers every response has are there, once and readable.
///
/// # Errors
/// The first fault. There is nobody to answer; the response is dropped (RFC 3261 §8.1.3).
pub fn validate_response(response: &Response) -> Result<(), ValidateError> {
    check_headers(&response.headers)
}

fn check_headers(headers: &Headers) -> Result<(), ValidateError> {
    headers.vias().map_err(ValidateErrorKind::from)?;
    headers.via_top().map_err(ValidateErrorKind::from)?;
    headers.from().map_err(ValidateErrorKind::from)?;
    headers.to().map_err(ValidateErrorKind::from)?;
    headers.call_id().map_err(ValidateErrorKind::from)?;
    headers.cseq().map_err(ValidateErrorKind::from)?;
    for name in &ONCE {
        let mut values = headers.get_all(name);
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            return Err(ValidateErrorKind::Repeated(name.clone()).into());
        }
    }
    Ok(())
}

/// Headers that may stand once, of those whose repetition would make a message ambiguous.
pub(crate) static ONCE: [HeaderName; 17] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::ContentLength,
    HeaderName::ContentType,
    HeaderName::Expires,
    HeaderName::Event,
    HeaderName::SubscriptionState,
    HeaderName::ReferTo,
    HeaderName::ReferredBy,
    HeaderName::Replaces,
    HeaderName::TargetDialog,
    HeaderName::SessionExpires,
    HeaderName::RSeq,
    HeaderName::RAck,
];
