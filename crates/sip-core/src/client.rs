//! One request of ours other than INVITE and ACK, from its first byte to its one result: over
//! the paths in their order, and through the challenges on the way.
//!
//! ```text
//!   paths ─► next path ─► fresh Via, next CSeq, credentials ─► transaction
//!               ▲                       ▲                          │
//!               │                       └─ 401/407 answerable ─────┤
//!               └─ transport error, silence, 503 ──────────────────┤
//!                                                                  ▼
//!                                                    Done: the answer, or why none
//! ```
//!
//! Registration, OPTIONS and the requests inside a dialog are built on this value. What they
//! share among their requests (credentials, CSeq, tokens) comes along as [`ClientContext`].

mod login;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use privacy::Sentence;
use sip_message::{HeaderName, Method, Request, Response, StatusCode};
use thiserror::Error;

use self::login::{Challenged, Waiting};
use crate::auth::{Asked, AuthError, Authenticator, Exchange, LoginWanted};
use crate::locate::{Fault, Tried};
use crate::path::{Destination, Inbound, Path, Transmit, Transport, TransportError};
use crate::refresh::retry_after;
use crate::timers::Timers;
use crate::tokens::Tokens;
use crate::transaction::{ClientNonInvite, ClientOutput};

/// What the requests of one owner share.
#[derive(Debug)]
pub struct ClientContext<'a> {
    /// Credentials and what realms have asked so far.
    pub authenticator: &'a mut Authenticator,
    /// Branches and client nonces.
    pub tokens: &'a mut Tokens,
    /// The CSeq number used last. Each sending takes the next one: after a challenge RFC 3261
    /// §22.2 asks for it, and after a path that failed a server that got the request all the same
    /// would take an equal number for a repeat.
    pub cseq: &'a mut u32,
    /// Timer values.
    pub timers: &'a Timers,
}

/// What our Contact says. The address in it depends on the path that the request takes.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactTemplate {
    /// User part, already escaped.
    pub user: String,
    /// The address to name instead of the path's local one, when a peer told us how it sees us.
    pub public: Option<SocketAddr>,
    /// A name and a port to tell in place of any address.
    pub name: Option<String>,
    /// Parameters of the header behind the `>`, each as `name=value`.
    pub params: Vec<String>,
}

impl ContactTemplate {
    /// The URI on a path, without angle brackets. IPv6 addresses get their brackets.
    pub fn uri_text(&self, path: &Path) -> String {
        let public = self
            .public
            .filter(|public| public.is_ipv4() == path.local.is_ipv4());
        let address = match &self.name {
            Some(name) => name.clone(),
            None => public.unwrap_or(path.local).to_string(),
        };
        // RFC 7118 §5.2: `ws` also names the secure kind.
        let transport = match path.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
            Transport::Ws | Transport::Wss => ";transport=ws",
        };
        format!("sip:{}@{address}{transport}", self.user)
    }

    /// The value of Contact on a path.
    pub fn value(&self, path: &Path) -> String {
        let mut value = format!("<{}>", self.uri_text(path));
        for param in &self.params {
            value.push(';');
            value.push_str(param);
        }
        value
    }
}

/// A request before it has a path: everything but Via, CSeq, credentials, and the Contact if it
/// depends on the path.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The request so far. A Max-Forwards of 70 is added if it has none.
    pub request: Request,
    /// The Contact to add, made for each path.
    pub contact: Option<ContactTemplate>,
}

/// What a client request wants done.
#[derive(Clone, Debug)]
pub enum ClientRequestOutput {
    /// Send this.
    Transmit(Transmit),
    /// A provisional response came.
    Provisional(Response),
    /// Something a person may want to know, e.g. that TCP was taken because of the size.
    Notice(Sentence),
    /// It is asked for a login that we do not have, and waits for [`ClientRequest::login`]: only after
    /// [`ClientRequest::asking`].
    LoginWanted(LoginWanted),
    /// Nobody waits for that login any more.
    LoginSettled {
        /// Who asked.
        realm: String,
    },
    /// The one end of it. Nothing follows.
    Done(RequestResult),
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum RequestResult {
    /// Somebody gave a final answer, good or bad.
    Answered(Box<Answered>),
    /// Nobody did, or we could not go on.
    Failed(RequestFailure),
}

/// A final answer and who gave it.
#[derive(Clone)]
pub struct Answered {
    /// The answer.
    pub response: Response,
    /// How it came: the flow and the real address of the server.
    pub inbound: Inbound,
    /// The path on which the request went out.
    pub path: Path,
    /// The Contact that the request carried, if it was made from a template.
    pub contact: Option<String>,
    /// From the sending to this answer; `None` when the request was repeated, because then nobody
    /// knows which one was answered.
    pub round_trip: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestFailure {
    /// There was no path to try.
    #[error("no path to the server")]
    NoPath,
    /// Nobody answered on the last of the paths tried.
    #[error("no answer from {path}")]
    Silent {
        /// The last path tried.
        path: Path,
    },
    /// The last of the paths tried could not carry the request.
    #[error("{error}: {path}")]
    Transport {
        /// The last path tried.
        path: Path,
        /// What the transport layer said.
        error: TransportError,
    },
    /// A challenge that we cannot answer.
    #[error("{error}: {path}")]
    Auth {
        /// The path on which the challenge came.
        path: Path,
        /// Status of the challenge: 401 or 407.
        status: StatusCode,
        /// Why it is not answered.
        error: AuthError,
    },
}

/// A request on its way.
#[derive(Debug)]
pub struct ClientRequest {
    draft: Draft,
    /// Where to try still, the next one first.
    untried: VecDeque<Way>,
    exchange: Exchange,
    /// The present attempt; `None` once done.
    attempt: Option<Attempt>,
    outputs: VecDeque<ClientRequestOutput>,
    /// Servers that failed and were not told yet.
    tried: VecDeque<Tried>,
    /// How long one server may be silent while there is another one.
    patience: Option<Duration>,
    /// How long it waits for a person to give a login that is not there.
    login_wait: Option<Duration>,
    waiting: Option<Box<Waiting>>,
    logins_asked: Asked,
    ignored: u32,
}

/// A destination, and how the size of the request bends it.
#[derive(Clone, Copy, Debug)]
struct Way {
    destination: Destination,
    /// TCP was refused for a large request: now it goes by UDP after all.
    udp_in_spite_of_size: bool,
}

struct Attempt {
    transaction: ClientNonInvite,
    way: Way,
    /// Where this attempt really goes: the way's destination, or TCP because of the size.
    destination: Destination,
    contact: Option<String>,
    started: Instant,
    sendings: u32,
    /// Whether the server has said anything: then it is there, and may take its time.
    heard: bool,
}

impl Attempt {
    /// Whether it goes by TCP for its size alone.
    fn is_for_size(&self) -> bool {
        self.destination.transport() != self.way.destination.transport()
    }
}

impl fmt::Debug for Attempt {
    /// Without our Contact, which names us, and the octets of the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("destination", &self.destination)
            .field("sendings", &self.sendings)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

/// Above this a request does not go by UDP (RFC 3261 §18.1.1).
pub const LARGEST_ON_UDP: usize = 1300;
/// Above this the names of a request's headers are written short, which they are there for (RFC 3261 §7.3.3).
const ROOMY: usize = 1200;

/// A request as it goes out: where it would be large for a datagram, in its short form.
pub(crate) fn written(request: &Request, transport: Transport) -> Vec<u8> {
    let bytes = request.to_bytes();
    if transport == Transport::Udp && bytes.len() > ROOMY {
        request.to_bytes_compact()
    } else {
        bytes
    }
}

impl ClientRequest {
    /// Sends a request along the first of these destinations.
    pub fn new(
        now: Instant,
        draft: Draft,
        destinations: Vec<Destination>,
        context: &mut ClientContext<'_>,
    ) -> Self {
        let mut request = Self {
            draft,
            untried: destinations
                .into_iter()
                .map(|destination| Way {
                    destination,
                    udp_in_spite_of_size: false,
                })
                .collect(),
            exchange: Exchange::default(),
            attempt: None,
            outputs: VecDeque::new(),
            tried: VecDeque::new(),
            patience: None,
            login_wait: None,
            waiting: None,
            logins_asked: Asked::default(),
            ignored: 0,
        };
        request.try_next(now, RequestFailure::NoPath, context);
        request
    }

    /// The same, with a limit to the silence of one server while there is another to try. Without it
    /// each may take 64·T1 (Timer F).
    #[must_use]
    pub fn with_patience(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    /// Takes a response. Answers whether it belongs to the present attempt.
    pub fn handle_response(
        &mut self,
        now: Instant,
        response: &Response,
        inbound: &Inbound,
        context: &mut ClientContext<'_>,
    ) -> bool {
        let ours = match &mut self.attempt {
            Some(attempt) => attempt.transaction.handle_response(now, response),
            None => false,
        };
        if ours {
            self.drain_transaction(now, Some(inbound), context);
        } else {
            self.ignored = self.ignored.saturating_add(1);
        }
        ours
    }

    /// Takes the news that what had this branch could not be sent. Answers whether it was ours.
    pub fn handle_transport_error(
        &mut self,
        now: Instant,
        branch: &str,
        error: TransportError,
        context: &mut ClientContext<'_>,
    ) -> bool {
        let Some(attempt) = &mut self.attempt else {
            return false;
        };
        if attempt.transaction.branch() != branch {
            return false;
        }
        attempt.transaction.handle_transport_error(now, error);
        self.drain_transaction(now, None, context);
        true
    }

    /// Lets due timers fire. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant, context: &mut ClientContext<'_>) {
        if let Some(attempt) = &mut self.attempt {
            attempt.transaction.handle_timeout(now);
            self.drain_transaction(now, None, context);
        }
        if self.waiting.as_ref().is_some_and(|w| w.until <= now) {
            self.give_up_login(now, context);
        }
        if self.next_server_due().is_some_and(|due| due <= now)
            && let Some(attempt) = self.attempt.take()
        {
            self.on_silence(now, &attempt, context);
        }
    }

    /// A server that failed, to be told to whoever keeps the list of them.
    pub fn poll_tried(&mut self) -> Option<Tried> {
        self.tried.pop_front()
    }

    /// Its owner waits no longer: it ends as silent, wherever it is.
    pub fn give_up(&mut self, _now: Instant) {
        let waiting = self.stop_asking();
        if let Some(attempt) = self.attempt.as_ref().or(waiting.as_ref()) {
            let path = *attempt.destination.path();
            self.finish(RequestResult::Failed(RequestFailure::Silent { path }));
        }
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<ClientRequestOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        let transaction = self.attempt.as_ref().and_then(|a| a.transaction.deadline());
        let login = self.waiting.as_ref().map(|waiting| waiting.until);
        let deadlines = [transaction, self.next_server_due(), login];
        deadlines.into_iter().flatten().min()
    }

    /// When to leave a silent server for the next one.
    fn next_server_due(&self) -> Option<Instant> {
        let attempt = self.attempt.as_ref()?;
        let patience = self.patience.filter(|_| !self.untried.is_empty())?;
        (!attempt.heard)
            .then(|| attempt.started.checked_add(patience))
            .flatten()
    }

    /// Whether it has ended. Late repeats of its answer belong to nobody and may be dropped.
    pub fn is_done(&self) -> bool {
        self.attempt.is_none() && self.waiting.is_none()
    }

    /// The branch on the wire now.
    pub fn branch(&self) -> Option<&str> {
        self.attempt
            .as_ref()
            .map(|attempt| attempt.transaction.branch())
    }

    /// How many responses did not belong to the present attempt.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// Acts on what the transaction says. `inbound` is that of the response just taken, if any.
    fn drain_transaction(
        &mut self,
        now: Instant,
        inbound: Option<&Inbound>,
        context: &mut ClientContext<'_>,
    ) {
        while let Some((attempt, output)) = self
            .attempt
            .as_mut()
            .and_then(|a| a.transaction.poll_output().map(|output| (a, output)))
        {
            match output {
                ClientOutput::Send(bytes) => {
                    attempt.sendings = attempt.sendings.saturating_add(1);
                    let what = self.draft.request.method.to_string();
                    self.outputs
                        .push_back(ClientRequestOutput::Transmit(Transmit {
                            for_size: attempt.is_for_size(),
                            ..Transmit::new(attempt.destination, bytes, what)
                        }));
                }
                ClientOutput::Deliver(response) if response.status.is_provisional() => {
                    attempt.heard = true;
                    self.outputs
                        .push_back(ClientRequestOutput::Provisional(response));
                }
                ClientOutput::Deliver(response) => {
                    if let (Some(attempt), Some(inbound)) = (self.attempt.take(), inbound) {
                        self.on_final(now, response, *inbound, attempt, context);
                    }
                }
                ClientOutput::TimedOut => {
                    if let Some(attempt) = self.attempt.take() {
                        self.on_silence(now, &attempt, context);
                    }
                }
                ClientOutput::TransportFailed(error) => {
                    if let Some(attempt) = self.attempt.take() {
                        self.on_transport_failed(now, &attempt, error, context);
                    }
                }
                ClientOutput::Terminated => {}
            }
        }
    }

    fn on_silence(&mut self, now: Instant, attempt: &Attempt, context: &mut ClientContext<'_>) {
        let path = *attempt.destination.path();
        self.failed(attempt, Fault::Silence);
        self.try_next(now, RequestFailure::Silent { path }, context);
    }

    fn failed(&mut self, attempt: &Attempt, fault: Fault) {
        let path = *attempt.way.destination.path();
        self.tried.push_back(Tried { path, fault });
    }

    fn on_final(
        &mut self,
        now: Instant,
        response: Response,
        inbound: Inbound,
        attempt: Attempt,
        context: &mut ClientContext<'_>,
    ) {
        let path = *attempt.destination.path();
        // To anything else it may be a word about that request alone.
        if response.status == StatusCode::SERVICE_UNAVAILABLE
            && self.draft.request.method == Method::Register
        {
            let retry_after = retry_after(&response);
            self.failed(&attempt, Fault::Unavailable { retry_after });
        }
        match response.status {
            // RFC 3261 §22.2 and §22.3.
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let outcome = context
                    .authenticator
                    .handle_challenge(&response, &mut self.exchange);
                match outcome {
                    Ok(()) => self.send_again(now, &inbound, &attempt, context),
                    Err(error) => {
                        let challenged = Challenged {
                            response,
                            inbound,
                            attempt,
                        };
                        self.ask_or_fail(now, error, challenged);
                    }
                }
            }
            // RFC 3263 §4.3: this server cannot now, the next one may.
            StatusCode::SERVICE_UNAVAILABLE if !self.untried.is_empty() => {
                self.notice(format!(
                    "{path} is unavailable (503), trying the next server"
                ));
                self.try_next(now, RequestFailure::NoPath, context);
            }
            _ => {
                context
                    .authenticator
                    .handle_success(&response, &self.exchange);
                let round_trip =
                    (attempt.sendings <= 1).then(|| now.saturating_duration_since(attempt.started));
                self.finish(RequestResult::Answered(Box::new(Answered {
                    response,
                    inbound,
                    path,
                    contact: attempt.contact,
                    round_trip,
                })));
            }
        }
    }

    /// The same request with credentials, to the server that asked, on the flow on which it
    /// asked; the same path without the flow stays in reserve.
    fn send_again(
        &mut self,
        now: Instant,
        inbound: &Inbound,
        attempt: &Attempt,
        context: &mut ClientContext<'_>,
    ) {
        let path = *attempt.destination.path();
        let way = Way {
            destination: Destination::Flow {
                id: inbound.flow,
                path,
            },
            udp_in_spite_of_size: attempt.way.udp_in_spite_of_size,
        };
        self.start(now, way, context);
    }

    fn on_transport_failed(
        &mut self,
        now: Instant,
        attempt: &Attempt,
        error: TransportError,
        context: &mut ClientContext<'_>,
    ) {
        let path = *attempt.destination.path();
        let for_size = attempt.is_for_size();
        match (attempt.destination, &error) {
            // RFC 3261 §18.1.1: a peer without TCP gets the large request by UDP after all.
            (_, error) if for_size && error.is_no_listener() => {
                self.notice(match error {
                    TransportError::NoTcp => format!("{error}, the large request goes by UDP"),
                    _ => format!("{path} has no TCP ({error}), the large request goes by UDP"),
                });
                let way = Way {
                    udp_in_spite_of_size: true,
                    ..attempt.way
                };
                self.start(now, way, context);
            }
            // A flow that is gone says nothing about the server: make a new one.
            (Destination::Flow { .. }, error)
                if path.transport.is_reliable() || *error == TransportError::Closed =>
            {
                self.notice(format!("the flow to {path} is gone, making a new one"));
                let way = Way {
                    destination: Destination::Path(path),
                    ..attempt.way
                };
                self.start(now, way, context);
            }
            _ => {
                self.failed(attempt, Fault::Transport(error.clone()));
                self.try_next(now, RequestFailure::Transport { path, error }, context);
            }
        }
    }

    /// Goes on to the next path, or ends with what the last one came to.
    fn try_next(&mut self, now: Instant, failure: RequestFailure, context: &mut ClientContext<'_>) {
        let Some(way) = self.untried.pop_front() else {
            self.finish(RequestResult::Failed(failure));
            return;
        };
        if failure != RequestFailure::NoPath {
            let next = way.destination.path();
            self.notice(format!("{failure}, trying {next}"));
        }
        self.start(now, way, context);
    }

    fn start(&mut self, now: Instant, way: Way, context: &mut ClientContext<'_>) {
        let branch = context.tokens.branch();
        *context.cseq = context.cseq.saturating_add(1);
        let contact = self
            .draft
            .contact
            .as_ref()
            .map(|template| template.value(way.destination.path()));
        let mut request = self.dressed(contact.as_deref(), *context.cseq);
        self.exchange.goes_to(way.destination.path().remote);
        self.exchange
            .set_secure(way.destination.transport().is_secure());
        context
            .authenticator
            .authorize(&mut request, &mut self.exchange, context.tokens);
        let mut destination = way.destination;
        let via = destination.path().via_value(&branch);
        let size = request.to_bytes().len() + via.len() + "Via: \r\n".len();
        if destination.transport() == Transport::Udp
            && size > LARGEST_ON_UDP
            && !way.udp_in_spite_of_size
        {
            let path = destination.path().over(Transport::Tcp);
            self.notice(format!(
                "the request has {size} bytes, too many for UDP: TCP to {} comes first",
                path.remote
            ));
            destination = Destination::Path(path);
        }
        request
            .headers
            .insert_first(HeaderName::Via, destination.path().via_value(&branch));
        let reliable = destination.transport().is_reliable();
        let transaction = ClientNonInvite::new(now, &request, &branch, reliable, context.timers);
        self.attempt = Some(Attempt {
            transaction,
            way,
            destination,
            contact,
            started: now,
            sendings: 0,
            heard: false,
        });
        self.drain_transaction(now, None, context);
    }

    /// The draft with what changes from one sending to the next, but for Via and credentials.
    fn dressed(&self, contact: Option<&str>, cseq: u32) -> Request {
        let mut request = self.draft.request.clone();
        let method = request.method.clone();
        let headers = &mut request.headers;
        headers.set(HeaderName::CSeq, format!("{cseq} {method}"));
        if headers.get(HeaderName::MaxForwards).is_none() {
            headers.insert_first(HeaderName::MaxForwards, "70");
        }
        if let Some(contact) = contact {
            headers.push(HeaderName::Contact, contact);
        }
        request
    }

    fn notice(&mut self, text: String) {
        self.outputs
            .push_back(ClientRequestOutput::Notice(text.into()));
    }

    fn finish(&mut self, result: RequestResult) {
        self.attempt = None;
        self.outputs.push_back(ClientRequestOutput::Done(result));
    }
}
