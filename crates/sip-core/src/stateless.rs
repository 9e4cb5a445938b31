//! Answers made from the request alone, and what we truthfully say that we can do.

use sip_message::{
    HeaderError, HeaderName, Headers, Method, Request, Response, Scheme, StatusCode, ValidateError,
};

use crate::call::SessionTimer;
use crate::events::READABLE;
use crate::tokens::Tokens;

/// What this user agent can do, for Allow, Accept, Supported and Allow-Events (RFC 3261 §11.2).
/// Only what is really there is listed: peers believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Methods answered with something else than 405.
    pub allow: Vec<Method>,
    /// Option tags understood.
    pub supported: Vec<String>,
    /// Body types understood.
    pub accept: Vec<String>,
    /// Event packages that others are notified of (RFC 6665 §4.4.4), and not those that we subscribe to.
    pub allow_events: Vec<String>,
    /// Value of Server and User-Agent; none is sent when empty.
    pub user_agent: String,
}

impl Default for Capabilities {
    /// The phone as it is built: calls with PRACK-free provisional answers, INFO and OPTIONS.
    fn default() -> Self {
        Self {
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Bye,
                Method::Cancel,
                Method::Options,
                Method::Info,
            ],
            supported: Vec::new(),
            accept: vec!["application/sdp".to_owned()],
            allow_events: Vec::new(),
            user_agent: String::new(),
        }
    }
}

impl Capabilities {
    /// The same for who takes text messages (RFC 3428) and hands them to a person.
    #[must_use]
    pub fn with_messages(mut self) -> Self {
        self.add(&[Method::Message], &["text/plain", "message/cpim"]);
        self
    }

    /// The same for who subscribes to others, reads these bodies, and notifies of what comes of a REFER, to which nobody
    /// subscribes in another way (RFC 3515 §2.4.4).
    #[must_use]
    pub fn with_events(mut self, bodies: &[&str]) -> Self {
        self.add(&[Method::Notify], bodies);
        add_words(&mut self.allow_events, &["refer"]);
        self
    }

    /// The same for who lets others subscribe to these packages.
    #[must_use]
    pub fn with_notifier(mut self, packages: &[&str]) -> Self {
        self.add(&[Method::Subscribe], &[]);
        add_words(&mut self.allow_events, packages);
        self
    }

    fn add(&mut self, methods: &[Method], bodies: &[&str]) {
        for method in methods {
            if !self.allows(method) {
                self.allow.push(method.clone());
            }
        }
        add_words(&mut self.accept, bodies);
    }

    /// Whether requests with this method are answered by something else than 405.
    pub fn allows(&self, method: &Method) -> bool {
        self.allow.contains(method)
    }

    /// The option tags of the request's Require that we do not understand (RFC 3261 §8.2.2.3).
    /// Empty for ACK and CANCEL, in which Require means nothing.
    pub fn unsupported(&self, request: &Request) -> Vec<String> {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Vec::new();
        }
        request
            .headers
            .get_all(HeaderName::Require)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .filter(|tag| {
                !self
                    .supported
                    .iter()
                    .any(|ours| ours.eq_ignore_ascii_case(tag))
            })
            .map(str::to_owned)
            .collect()
    }

    /// The value of Allow.
    pub fn allow_value(&self) -> String {
        let methods: Vec<&str> = self.allow.iter().map(Method::as_str).collect();
        methods.join(", ")
    }

    /// Adds Allow, Accept, Supported and Allow-Events, as in the 200 to OPTIONS.
    pub fn write_all(&self, headers: &mut Headers) {
        headers.push(HeaderName::Allow, self.allow_value());
        if !self.accept.is_empty() {
            headers.push(HeaderName::Accept, self.accept.join(", "));
        }
        // RFC 3261 §20.37: an empty Supported says "nothing", which is more than not saying it.
        headers.push(HeaderName::Supported, self.supported.join(", "));
        if !self.allow_events.is_empty() {
            headers.push(HeaderName::AllowEvents, self.allow_events.join(", "));
        }
    }
}

/// A status, and the words beside it where those of the table say too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusLine {
    /// The status.
    pub status: StatusCode,
    /// The words; `None` for those that RFC 3261 §21 gives the status.
    pub phrase: Option<String>,
}

impl StatusLine {
    /// 400 with what is wrong: which header is missing or malformed (RFC 3261 §21.4.1).
    pub fn bad_request(phrase: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            phrase: Some(phrase.into()),
        }
    }

    /// Those of a response.
    pub fn of(response: &Response) -> Self {
        Self {
            status: response.status,
            phrase: (response.reason != response.status.phrase()).then(|| response.reason.clone()),
        }
    }
}

impl From<StatusCode> for StatusLine {
    fn from(status: StatusCode) -> Self {
        let phrase = None;
        Self { status, phrase }
    }
}

impl From<&ValidateError> for StatusLine {
    fn from(error: &ValidateError) -> Self {
        Self {
            status: error.status,
            phrase: Some(error.phrase()),
        }
    }
}

impl From<&HeaderError> for StatusLine {
    fn from(error: &HeaderError) -> Self {
        Self::bad_request(error.phrase())
    }
}

/// The bare response to a request (RFC 3261 §8.2.6.2): its Vias, From, To, Call-ID and CSeq, the
/// Timestamp in a 100, and the given To tag when the request has none. A 100 never gets a tag.
pub fn response(request: &Request, line: impl Into<StatusLine>, to_tag: Option<&str>) -> Response {
    let StatusLine { status, phrase } = line.into();
    let mut response = Response::to_request(request, status);
    if let Some(phrase) = phrase {
        response.reason = phrase;
    }
    // A To that cannot be read goes back as it came.
    if let (Some(tag), Ok(to)) = (to_tag, request.headers.to())
        && to.tag().is_none()
        && status != StatusCode::TRYING
    {
        // As the peer wrote it, with the tag behind: whoever compares octets finds theirs again.
        let written = request.headers.get(HeaderName::To).unwrap_or_default();
        let tagged = format!("{};tag={tag}", written.trim_end());
        response.headers.set(HeaderName::To, tagged);
    }
    response
}

/// A refusal outside any dialog, or the answer to OPTIONS: the bare response with a To tag that is
/// the same for each repeat of the request as long as `tokens` have the same seed (RFC 3261 §8.2.7),
/// and the headers that its status calls for: Allow with 405, Unsupported with 420, Accept with
/// 415, all of them with the 200 to OPTIONS.
///
/// The caller sends nothing for an ACK: there is no response to one.
pub fn respond_statelessly(
    request: &Request,
    line: impl Into<StatusLine>,
    capabilities: &Capabilities,
    tokens: &Tokens,
) -> Response {
    let of = |name: HeaderName| request.headers.get(name).unwrap_or_default();
    let via = request.headers.via_top().ok();
    let tag = tokens.tag_of(&[
        via.as_ref()
            .and_then(|via| via.branch())
            .unwrap_or_default(),
        of(HeaderName::CallId),
        of(HeaderName::From),
        of(HeaderName::CSeq),
    ]);
    let mut response = response(request, line, Some(&tag));
    let status = response.status;
    let headers = &mut response.headers;
    match status.code() {
        200 if request.method == Method::Options => capabilities.write_all(headers),
        405 => headers.push(HeaderName::Allow, capabilities.allow_value()),
        489 if !capabilities.allow_events.is_empty() => {
            headers.push(
                HeaderName::AllowEvents,
                capabilities.allow_events.join(", "),
            );
        }
        415 if is_encoded(request) => headers.push(HeaderName::AcceptEncoding, "identity"),
        // Of all that we read, a text message may be text alone (RFC 3428 §7).
        415 if request.method == Method::Message => headers.push(HeaderName::Accept, READABLE),
        // RFC 4028 §6.
        422 => {
            let least = SessionTimer::default().minimum.as_secs();
            headers.push(HeaderName::MinSe, least.to_string());
        }
        415 => headers.push(HeaderName::Accept, capabilities.accept.join(", ")),
        420 => headers.push(
            HeaderName::Unsupported,
            capabilities.unsupported(request).join(", "),
        ),
        _ => {}
    }
    if !capabilities.user_agent.is_empty() {
        headers.push(HeaderName::Server, capabilities.user_agent.clone());
    }
    response
}

/// Whether the body is encoded in a way that we cannot undo: we know none (RFC 3261 §8.2.3, §20.12).
pub fn is_encoded(request: &Request) -> bool {
    let encodings = request.headers.get_all(HeaderName::ContentEncoding);
    let mut encodings = encodings.flat_map(|value| value.split(',')).map(str::trim);
    !request.body.is_empty() && encodings.any(|name| !name.eq_ignore_ascii_case("identity"))
}

/// Whether the request's target is an address of a kind that we take (RFC 3261 §8.2.2.1).
pub fn takes_scheme(request: &Request) -> bool {
    let scheme = &request.uri.scheme;
    scheme.is_sip() || *scheme == Scheme::Tel
}

/// What to answer to a request that belongs to nobody, `None` for an ACK (RFC 3261 §8.2).
///
/// An OPTIONS to this phone and nobody in particular gets 200; one to somebody gets what an INVITE would (§11.2). A
/// NOTIFY of no subscription: 481. A SUBSCRIBE where nobody can: 489. Inside a dialog that does not exist (any more), what
/// makes sense in one alone, or a CANCEL of nothing: 481. A method we never heard of: 405. A target of another kind than
/// ours: 416. A body that is encoded: 415. A REFER: 403, since nobody outside of a call makes us call anybody. Else the
/// address is not ours: 404.
pub fn verdict_for_stray(request: &Request, capabilities: &Capabilities) -> Option<StatusCode> {
    let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
    let status = match &request.method {
        Method::Ack => return None,
        Method::Cancel => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
        // RFC 6665 §4.1.3: it belongs to a subscription, or to nothing.
        Method::Notify => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
        // RFC 6665 §4.2.1.1 and §8.2.2: nobody can subscribe here, whatever the package; Allow-Events
        // says what we know.
        Method::Subscribe
            if !in_dialog
                && !capabilities.allow_events.is_empty()
                && !capabilities.allows(&Method::Subscribe) =>
        {
            StatusCode::BAD_EVENT
        }
        _ if in_dialog => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
        method if !capabilities.allows(method) => StatusCode::METHOD_NOT_ALLOWED,
        _ if !takes_scheme(request) => StatusCode::UNSUPPORTED_URI_SCHEME,
        _ if !capabilities.unsupported(request).is_empty() => StatusCode::BAD_EXTENSION,
        // What means something in a call alone (RFC 3261 §15.1.2, RFC 3262 §3, RFC 3311 §5.2, RFC 6086 §4.2.2) and names
        // none.
        Method::Bye | Method::Prack | Method::Update | Method::Info => {
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST
        }
        _ if is_encoded(request) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Method::Refer => StatusCode::FORBIDDEN,
        Method::Options if request.uri.user.is_none() => StatusCode::OK,
        _ => StatusCode::NOT_FOUND,
    };
    Some(status)
}

/// Requests that belonged to nobody: answered from themselves alone, with nothing kept but how many
/// there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// NOTIFYs of no subscription.
    pub notifies: u64,
    /// Others within dialogs that do not exist.
    pub in_dialogs: u64,
    /// Everything else.
    pub others: u64,
}

impl Strays {
    /// The answer, counted; `None` for an ACK.
    pub fn answer(
        &mut self,
        request: &Request,
        capabilities: &Capabilities,
        tokens: &Tokens,
    ) -> Option<Response> {
        let status = verdict_for_stray(request, capabilities)?;
        let count = match status {
            _ if request.method == Method::Notify => &mut self.notifies,
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST => &mut self.in_dialogs,
            _ => &mut self.others,
        };
        *count = count.saturating_add(1);
        Some(respond_statelessly(request, status, capabilities, tokens))
    }
}

/// Adds the words that are not there yet.
fn add_words(to: &mut Vec<String>, words: &[&str]) {
    for word in words {
        if !to.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            to.push((*word).to_owned());
        }
    }
}
