//! OPTIONS (RFC 3261 §11): one asked by us, and the answer to one that asks us.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, NameAddr, Request, Response, StatusCode, Uri};

use crate::auth::{Authenticator, Credentials, Home};
use crate::client::{
    ClientContext, ClientRequest, ClientRequestOutput, Draft, RequestFailure, RequestResult,
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
    /// What we say that we can do.
    pub capabilities: Capabilities,
    /// Timer values.
    pub timers: Timers,
}

/// What came of it. Exactly one of `Answered`, `Failed` and `Unresolved` comes.
#[derive(Clone, Debug)]
pub enum OptionsEvent {
    /// Somebody answered; any answer shows that somebody is there.
    Answered {
        /// The status.
        status: StatusCode,
        /// Its phrase.
        phrase: String,
        /// Who said it.
        path: Path,
        /// From request to answer; `None` when the request had to be repeated.
        round_trip: Option<Duration>,
        /// Value of Allow, if there was one.
        allow: Option<String>,
        /// Value of Server or User-Agent, if there was one.
        server: Option<String>,
    },
    /// Nobody answered.
    Failed(RequestFailure),
    /// The way there was not found.
    Unresolved(ResolveError),
    /// Something a person may want to know.
    Notice(String),
}

/// One OPTIONS request. Made, asked, drained, dropped.
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
                if let Some(home) = self.authenticator.home_mut() {
                    let hop = self.config.route.as_ref().unwrap_or(&self.config.target);
                    home.learn(hop, &paths);
                }
                let draft = self.draft();
                let destinations = paths.into_iter().map(Destination::Path).collect();
                let mut context = ClientContext {
                    authenticator: &mut self.authenticator,
                    tokens: &mut self.tokens,
                    cseq: &mut self.cseq,
                    timers: &self.config.timers,
                };
                let request = ClientRequest::new(now, draft, destinations, &mut context);
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
        let mut request = Request::new(Method::Options, config.target.clone());
        let headers = &mut request.headers;
        if let Some(route) = &config.route {
            headers.push(HeaderName::Route, route_value(route));
        }
        let mut from = config.from.clone();
        from.set_tag(&self.key.local_tag);
        headers.push(HeaderName::From, from.to_string());
        headers.push(HeaderName::To, format!("<{}>", config.target));
        headers.push(HeaderName::CallId, self.key.call_id.as_str());
        config.capabilities.write_all(headers);
        if !config.capabilities.user_agent.is_empty() {
            headers.push(
                HeaderName::UserAgent,
                config.capabilities.user_agent.as_str(),
            );
        }
        Draft {
            request,
            contact: None,
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
                phrase: answered.response.reason.clone(),
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
