//! OPTIONS (RFC 3261 §11): one asked by us, and the answer to one that asks us. Any other method that
//! begins no call is asked in the same way, those that nobody has heard of included.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use privacy::{Private, Sentence};
use sip_message::{HeaderName, Method, NameAddr, Request, Response, StatusCode, Uri};

use crate::auth::{Authenticator, Credentials, Home, LoginWanted};
use crate::client::{
    ClientContext, ClientRequest, ClientRequestOutput, ContactTemplate, Draft, RequestFailure,
    RequestResult,
};
use crate::dispatch::OwnerKey;
use crate::output::{Outbox, Output};
use crate::path::{Destination, Inbound, Path, ResolveError, ResolveId, Transport, TransportError};
use crate::registration::route_value;
use crate::stateless::{Capabilities, respond_statelessly};
use crate::timers::Timers;
use crate::tokens::{Seed, Tokens};

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct OptionsConfig {
    /// Request URI and To.
    pub target: Uri,
    /// Our address, for From.
    pub from: NameAddr,
    /// The outbound proxy through which all goes.
    pub route: Option<Uri>,
    /// The only transport to use; whatever RFC 3263 gives when `None`.
    pub transport: Option<Transport>,
    /// Passwords.
    pub credentials: Vec<Credentials>,
    /// Whose challenges they answer.
    pub home: Home,
    /// How long it waits for a login that is not there, or was refused ([`Options::login`]).
    pub login_wait: Option<Duration>,
    /// What we say that we can do.
    pub capabilities: Capabilities,
    /// What is asked.
    pub question: Question,
    /// Timer values.
    pub timers: Timers,
}

/// What is asked: OPTIONS, unless somebody wants another method sent.
#[derive(Clone)]
pub struct Question {
    /// Any token (RFC 3261 §7.1) but those of [`Question::refusal`].
    pub method: Method,
    /// Headers to add, behind our own. A Contact among them takes the place of ours.
    pub headers: Vec<(String, String)>,
    /// Content-Type and body.
    pub body: Option<(String, Vec<u8>)>,
    /// User part of our Contact, for methods that have to have one.
    pub contact_user: String,
}

impl Question {
    /// Why a method cannot be sent alone, if it cannot.
    pub fn refusal(method: &Method) -> Option<&'static str> {
        match method {
            // RFC 3261 §17.1.1: another transaction, and a call behind it.
            Method::Invite => Some("an INVITE begins a call"),
            // §17.1.1.3, §9.1 and RFC 3262 §7.2: each belongs to an INVITE that we sent.
            Method::Ack => Some("an ACK answers the end of an INVITE"),
            Method::Cancel => Some("a CANCEL takes back an INVITE"),
            Method::Prack => Some("a PRACK answers a provisional response to an INVITE"),
            _ => None,
        }
    }

    /// Whether a request with this method says where its sender is reached (RFC 3515 §2.2, RFC 6665
    /// §8.2.1, RFC 3311 §6). One in a REGISTER would be a binding.
    fn names_us(&self) -> bool {
        let wants = matches!(
            self.method,
            Method::Subscribe | Method::Notify | Method::Refer | Method::Update
        );
        let given =
            |(name, _): &(String, String)| HeaderName::parse(name) == Some(HeaderName::Contact);
        wants && !self.headers.iter().any(given)
    }
}

impl Default for Question {
    fn default() -> Self {
        Self {
            method: Method::Options,
            headers: Vec::new(),
            body: None,
            contact_user: String::new(),
        }
    }
}

impl std::fmt::Debug for Question {
    /// Without what is said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("length", &self.body.as_ref().map(|(_, body)| body.len()))
            .finish_non_exhaustive()
    }
}

/// What came of it. Exactly one of `Answered`, `Failed` and `Unresolved` comes.
#[derive(Clone, Debug)]
pub enum OptionsEvent {
    /// Somebody answered; any answer shows that somebody is there.
    Answered {
        /// The status.
        status: StatusCode,
        /// Its phrase.
        phrase: Private,
        /// Who said it.
        path: Path,
        /// From request to answer; `None` when the request had to be repeated.
        round_trip: Option<Duration>,
        /// Value of Allow, if there was one.
        allow: Option<String>,
        /// Value of Server or User-Agent, if there was one.
        server: Option<String>,
        /// All of it.
        response: Box<Response>,
    },
    /// Nobody answered.
    Failed(RequestFailure),
    /// The way there was not found.
    Unresolved(ResolveError),
    /// It is asked for a login that we do not have, and waits for [`Options::login`].
    LoginWanted(LoginWanted),
    /// Nobody waits for that login any more.
    LoginSettled {
        /// Who asked.
        realm: String,
    },
    /// Something a person may want to know.
    Notice(Sentence),
}

/// One question, an OPTIONS or another. Made, asked, drained, dropped.
#[derive(Debug)]
pub struct Options {
    config: OptionsConfig,
    key: OwnerKey,
    authenticator: Authenticator,
    tokens: Tokens,
    cseq: u32,
    step: Step,
    outbox: Outbox<OptionsEvent>,
}

#[derive(Debug)]
enum Step {
    Idle,
    Resolving,
    Requesting(Box<ClientRequest>),
    Done,
}

/// The only question that is ever asked.
const QUESTION: ResolveId = ResolveId(1);

impl Options {
    /// A question not yet asked.
    pub fn new(config: OptionsConfig, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        Self {
            key: OwnerKey {
                call_id: tokens.call_id(),
                local_tag: tokens.tag(),
            },
            authenticator: Authenticator::at_home(config.credentials.clone(), config.home.clone()),
            cseq: tokens.cseq(),
            tokens,
            config,
            step: Step::Idle,
            outbox: Outbox::default(),
        }
    }

    /// Asks. A second time it does nothing.
    pub fn ask(&mut self, _now: Instant) {
        self.outbox.begin_input();
        if matches!(self.step, Step::Idle) {
            self.step = Step::Resolving;
            let next_hop = self.config.route.as_ref().unwrap_or(&self.config.target);
            self.outbox
                .resolve(QUESTION, next_hop.clone(), self.config.transport);
        }
    }

    /// Takes the answer to [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        self.outbox.begin_input();
        if id != QUESTION || !matches!(self.step, Step::Resolving) {
            return;
        }
        match outcome {
            Ok(paths) => {
                let hop = self.config.route.as_ref().unwrap_or(&self.config.target);
                self.authenticator.learn(hop, &paths);
                let draft = self.draft();
                let destinations = paths.into_iter().map(Destination::Path).collect();
                let mut context = ClientContext {
                    authenticator: &mut self.authenticator,
                    tokens: &mut self.tokens,
                    cseq: &mut self.cseq,
                    timers: &self.config.timers,
                };
                let request = ClientRequest::new(now, draft, destinations, &mut context)
                    .asking(self.config.login_wait);
                self.step = Step::Requesting(Box::new(request));
                self.drain_request();
            }
            Err(error) => {
                self.step = Step::Done;
                self.outbox.event(OptionsEvent::Unresolved(error));
            }
        }
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.outbox.begin_input();
        self.with_request(|request, context| {
            request.handle_response(now, response, inbound, context);
        });
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.outbox.begin_input();
        self.with_request(|request, context| {
            request.handle_transport_error(now, branch, error, context);
        });
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.with_request(|request, context| request.handle_timeout(now, context));
    }

    /// Gives the login that it waits for since [`OptionsEvent::LoginWanted`]; `None` gives up waiting.
    pub fn login(&mut self, now: Instant, credentials: Option<Credentials>) {
        self.outbox.begin_input();
        self.with_request(|request, context| {
            match credentials {
                Some(credentials) => request.login(now, credentials, context),
                None => request.give_up_login(now, context),
            };
        });
    }

    /// Its owner waits no longer: what would be told at the end of all patience is told now.
    pub fn give_up(&mut self, now: Instant) {
        self.outbox.begin_input();
        match &mut self.step {
            Step::Resolving => {
                self.step = Step::Done;
                let error = ResolveError::NoAnswer;
                self.outbox.event(OptionsEvent::Unresolved(error));
            }
            Step::Requesting(request) => {
                request.give_up(now);
                self.drain_request();
            }
            Step::Idle | Step::Done => {}
        }
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<OptionsEvent> {
        let deadline = match &self.step {
            Step::Requesting(request) => request.deadline(),
            _ => None,
        };
        self.outbox.poll(deadline)
    }

    /// Under which responses find it.
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// Whether nothing runs: before the question and after its end.
    pub fn is_drained(&self) -> bool {
        matches!(self.step, Step::Idle | Step::Done)
    }

    fn draft(&self) -> Draft {
        let config = &self.config;
        let question = &config.question;
        let mut uri = config.target.clone();
        // RFC 3261 §19.1.5: headers of a URI do not stand in a request line.
        uri.headers.clear();
        let mut request = Request::new(question.method.clone(), uri);
        let headers = &mut request.headers;
        if let Some(route) = &config.route {
            headers.push(HeaderName::Route, route_value(route));
        }
        let mut from = config.from.clone();
        from.set_tag(&self.key.local_tag);
        headers.push(HeaderName::From, from.to_string());
        headers.push(HeaderName::To, format!("<{}>", config.target));
        headers.push(HeaderName::CallId, self.key.call_id.as_str());
        if question.method == Method::Options {
            config.capabilities.write_all(headers);
        }
        if !config.capabilities.user_agent.is_empty() {
            headers.push(
                HeaderName::UserAgent,
                config.capabilities.user_agent.as_str(),
            );
        }
        for (name, value) in &question.headers {
            headers.push(name.as_str(), value);
        }
        if let Some((content_type, body)) = &question.body {
            request.set_body(content_type, body.clone());
        }
        Draft {
            request,
            contact: question.names_us().then(|| ContactTemplate {
                user: question.contact_user.clone(),
                public: None,
                name: None,
                params: Vec::new(),
            }),
        }
    }

    fn with_request(&mut self, act: impl FnOnce(&mut ClientRequest, &mut ClientContext<'_>)) {
        if let Step::Requesting(request) = &mut self.step {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            act(request, &mut context);
            self.drain_request();
        }
    }

    fn drain_request(&mut self) {
        while let Step::Requesting(request) = &mut self.step {
            match request.poll_output() {
                None => return,
                Some(ClientRequestOutput::Transmit(transmit)) => self.outbox.transmit(transmit),
                Some(ClientRequestOutput::Provisional(_)) => {}
                Some(ClientRequestOutput::Notice(text)) => {
                    self.outbox.event(OptionsEvent::Notice(text));
                }
                Some(ClientRequestOutput::LoginWanted(wanted)) => {
                    self.outbox.event(OptionsEvent::LoginWanted(wanted));
                }
                Some(ClientRequestOutput::LoginSettled { realm }) => {
                    self.outbox.event(OptionsEvent::LoginSettled { realm });
                }
                Some(ClientRequestOutput::Done(result)) => {
                    self.step = Step::Done;
                    self.outbox.event(event_of(result));
                }
            }
        }
    }
}

fn event_of(result: RequestResult) -> OptionsEvent {
    match result {
        RequestResult::Failed(failure) => OptionsEvent::Failed(failure),
        RequestResult::Answered(answered) => {
            let first = |name: HeaderName| answered.response.headers.get(name).map(str::to_owned);
            OptionsEvent::Answered {
                status: answered.response.status,
                path: answered.inbound.path,
                round_trip: answered.round_trip,
                allow: first(HeaderName::Allow),
                server: first(HeaderName::Server).or_else(|| first(HeaderName::UserAgent)),
                phrase: answered.response.reason.as_str().into(),
                response: Box::new(answered.response),
            }
        }
    }
}

/// The answer to an OPTIONS that asks us outside a dialog (RFC 3261 §11.2): 200 with what we can,
/// or 486 while we would answer an INVITE so.
pub fn answer_options(
    request: &Request,
    busy: bool,
    capabilities: &Capabilities,
    tokens: &Tokens,
) -> Response {
    let status = if busy {
        StatusCode::BUSY_HERE
    } else if capabilities.unsupported(request).is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_EXTENSION
    };
    respond_statelessly(request, status, capabilities, tokens)
}
