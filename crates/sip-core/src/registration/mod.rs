//! One account's registration (RFC 3261 §10.2), from "be reachable" to "be gone".
//!
//! ```text
//!            register              2xx
//!    Off ─────────────► Trying ──────────► Registered ─┐ refresh before the granted
//!     ▲                  │  ▲                  │       │ time, flow lost, new mapping
//!     │                  │  └──────────────────┼───────┘
//!     │   refused for    │ silence, 5xx,       │
//!     │   good           │ transport error     │ unregister
//!     │  ┌──── Refused ◄─┤                     ▼
//!     │  │               └──► Waiting ──► Trying   Leaving
//!     │  └ register                 back-off       │
//!     └────────────────────────────────────────────┘ 2xx, or no answer
//! ```
//!
//! There is one operation at a time: what is asked for meanwhile waits for its end, so that an
//! un-REGISTER never overtakes the REGISTER that it undoes.

mod answer;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, NameAddr, Request, Response, StatusCode, Uri};
use thiserror::Error;

use crate::auth::{AuthError, Authenticator, Credentials};
use crate::client::{
    Answered, ClientContext, ClientRequest, ClientRequestOutput, ContactTemplate, Draft,
    RequestFailure, RequestResult,
};
use crate::dispatch::OwnerKey;
use crate::output::{Outbox, Output};
use crate::path::{
    Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Transport, TransportError,
};
use crate::timers::{Deadlines, Timers};
use crate::tokens::{Seed, Tokens};

pub use answer::mapped_address;

/// What a registration is for. Does not change while it lives.
#[derive(Clone, Debug)]
pub struct RegistrationConfig {
    /// The registrar: `sip:` and the domain. A user part is left out of the request URI.
    pub registrar: Uri,
    /// The address of record, as To and From say it.
    pub aor: NameAddr,
    /// User part of our Contact; a random one that no scanner guesses when `None`.
    pub contact_user: Option<String>,
    /// The outbound proxy through which all goes.
    pub route: Option<Uri>,
    /// The only transport to use; whatever RFC 3263 gives when `None`.
    pub transport: Option<Transport>,
    /// The time to ask for. The registrar grants what it likes.
    pub expires: Duration,
    /// `urn:uuid:…` of this instance (RFC 5626 §4.1), by which the registrar and we tell our
    /// binding from others'.
    pub instance_id: Option<String>,
    /// Passwords.
    pub credentials: Vec<Credentials>,
    /// Value of User-Agent; none is sent when empty.
    pub user_agent: String,
    /// Whether to put the address at which the registrar sees us into the Contact (RFC 3581
    /// §4 tells it in the response's Via). Only done on UDP: on a connection it is the
    /// connection that counts and not its address.
    pub rewrite_contact: bool,
    /// Timer values.
    pub timers: Timers,
}

impl RegistrationConfig {
    /// A registration with everything but registrar and address at its default: ten minutes, no
    /// proxy, no password.
    pub fn new(registrar: Uri, aor: NameAddr) -> Self {
        Self {
            registrar,
            aor,
            contact_user: None,
            route: None,
            transport: None,
            expires: Duration::from_secs(600),
            instance_id: None,
            credentials: Vec::new(),
            user_agent: String::new(),
            rewrite_contact: true,
            timers: Timers::default(),
        }
    }
}

/// What the owner of a registration learns.
#[derive(Clone, Debug)]
pub enum RegistrationEvent {
    /// A REGISTER is on its way, for the first time or again.
    Trying,
    /// The registrar holds our binding. Comes after each refresh too.
    Registered(Box<Registered>),
    /// The registrar, or the lack of a password, says no for good. Nothing more is tried until
    /// [`Registration::register`] is called.
    Refused(Refusal),
    /// It did not work and is tried again by itself.
    Failed {
        /// Why.
        what: Trouble,
        /// In how long the next try comes.
        retry_in: Duration,
    },
    /// Signed out, or given up at our own wish.
    Unregistered,
    /// Something a person may want to know: a peer's fault repaired, a path changed.
    Notice(String),
}

/// A binding that the registrar holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// How long from now the registrar keeps it.
    pub granted: Duration,
    /// In how long it is refreshed.
    pub refresh_in: Duration,
    /// The flow on which the registrar answered, and on which requests to us will come.
    pub flow: FlowId,
    /// Its path: `remote` is the real address of the server that answered.
    pub path: Path,
    /// From REGISTER to answer; `None` when the REGISTER had to be repeated.
    pub round_trip: Option<Duration>,
    /// How the server sees us, if it told.
    pub mapped: Option<SocketAddr>,
    /// The URI of our binding: what calls to us will have as request URI.
    pub contact: String,
    /// Service-Route values, for the Route of our requests (RFC 3608).
    pub service_route: Vec<String>,
    /// P-Associated-URI values: further addresses that are ours (RFC 7315).
    pub associated: Vec<String>,
    /// Bindings of others under our address of record.
    pub other_bindings: usize,
    /// All bindings that the registrar lists, ours among them.
    pub bindings: Vec<BoundContact>,
}

/// One binding in the registrar's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundContact {
    /// Its URI.
    pub uri: String,
    /// How long it stays, if the registrar says so.
    pub expires: Option<Duration>,
    /// Whether it is ours.
    pub own: bool,
}

/// A no for good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The registrar's own words.
    #[error("{code} {phrase}: {path}", code = .status.code())]
    Status {
        /// Its status.
        status: StatusCode,
        /// Its phrase.
        phrase: String,
        /// Who said it.
        path: Path,
    },
    /// It wants a password and has none that it likes.
    #[error("{error}: {path}")]
    Auth {
        /// Refused, missing, or no method known.
        error: AuthError,
        /// Status of the challenge: 401 or 407.
        status: StatusCode,
        /// Who said it.
        path: Path,
    },
}

/// Something that may pass by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The way to the registrar was not found.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Nobody answered, or no path carried the request.
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// The registrar cannot now.
    #[error("{code} {phrase}: {path}", code = .status.code())]
    Status {
        /// Its status.
        status: StatusCode,
        /// Its phrase.
        phrase: String,
        /// Who said it.
        path: Path,
    },
    /// It said yes and granted no time.
    #[error("registration granted for no time: {path}")]
    NothingGranted {
        /// Who said it.
        path: Path,
    },
    /// Connections close as soon as the registration stands.
    #[error("connection lost right after registering")]
    FlowLost,
}

/// One account's registration. See the module's text for its states.
#[derive(Debug)]
pub struct Registration {
    config: RegistrationConfig,
    key: OwnerKey,
    contact_user: String,
    authenticator: Authenticator,
    tokens: Tokens,
    cseq: u32,
    /// Whether the account is to be reachable.
    wanted: bool,
    operation: Option<Operation>,
    /// The binding that the registrar holds as far as we know.
    binding: Option<Binding>,
    /// What to ask for: the configured time until a 423 raises it.
    expires: Duration,
    mapping: Mapping,
    /// The URI of the Contact last registered, to be removed when another takes its place.
    bound_contact: Option<String>,
    /// Set when the present operation is to be followed by another REGISTER.
    again: bool,
    /// Failures in a row.
    failures: u32,
    /// Flows lost in a row, each soon after the answer that came on it.
    quick_losses: u32,
    resolve_counter: u64,
    deadlines: Deadlines<Due>,
    outbox: Outbox<RegistrationEvent>,
}

/// The one thing that is going on.
#[derive(Debug)]
struct Operation {
    purpose: Purpose,
    step: Step,
    /// Whether Min-Expires was followed already (RFC 3261 §10.2.8: once is enough).
    raised: bool,
}

#[derive(Debug)]
enum Step {
    Resolving(ResolveId),
    Requesting(Box<ClientRequest>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Register,
    Unregister,
    /// Removes the bindings of everybody under our address of record.
    Clear,
}

#[derive(Clone, Debug)]
struct Binding {
    /// `None` once it is lost.
    flow: Option<FlowId>,
    path: Path,
    since: Instant,
}

impl Binding {
    fn destination(&self) -> Destination {
        let path = self.path;
        self.flow
            .map_or(Destination::Path(path), |id| Destination::Flow { id, path })
    }
}

/// What the server says about our address, and what we made of it.
#[derive(Clone, Debug, Default)]
struct Mapping {
    /// In the Contact now.
    public: Option<SocketAddr>,
    /// Seen once and not yet believed.
    candidate: Option<SocketAddr>,
    /// Whether the Contact was rewritten since our own address last changed.
    rewritten: bool,
    /// Our own address at the last answer.
    local: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Refresh,
    Retry,
    Expiry,
}

/// The first wait after a failure; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// The longest wait after a failure that names none itself.
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);
/// A Retry-After beyond this is cut: the account would look dead.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Flows that die sooner than this after the answer, twice in a row, count as failures, so that a
/// server which accepts and hangs up is not called in a tight loop.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// A Min-Expires beyond this is not followed.
const LONGEST_MIN_EXPIRES: Duration = Duration::from_secs(7 * 24 * 3600);

impl Registration {
    /// A registration that is off.
    pub fn new(config: RegistrationConfig, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        let key = OwnerKey {
            call_id: tokens.call_id(),
            local_tag: tokens.tag(),
        };
        let random_user = tokens.contact_user();
        Self {
            contact_user: config.contact_user.clone().unwrap_or(random_user),
            authenticator: Authenticator::new(config.credentials.clone()),
            cseq: tokens.cseq(),
            expires: config.expires,
            key,
            tokens,
            config,
            wanted: false,
            operation: None,
            binding: None,
            mapping: Mapping::default(),
            bound_contact: None,
            again: false,
            failures: 0,
            quick_losses: 0,
            resolve_counter: 0,
            deadlines: Deadlines::default(),
            outbox: Outbox::default(),
        }
    }

    /// Makes the account reachable: registers now, also when a retry is still waiting or the
    /// registrar has refused before. While a REGISTER is on its way it changes nothing.
    pub fn register(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.wanted = true;
        self.failures = 0;
        self.register_soon(now);
    }

    /// Signs out. If a REGISTER is on its way, its end is awaited first.
    pub fn unregister(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.wanted = false;
        self.again = false;
        self.deadlines.clear(Due::Refresh);
        self.deadlines.clear(Due::Retry);
        match &self.operation {
            // Nothing was sent yet, so there is nothing to undo.
            Some(operation)
                if matches!(operation.step, Step::Resolving(_)) && self.binding.is_none() =>
            {
                self.operation = None;
                self.outbox.event(RegistrationEvent::Unregistered);
            }
            Some(operation) if matches!(operation.step, Step::Resolving(_)) => {
                self.operation = None;
                self.begin(now, Purpose::Unregister);
            }
            Some(_) => {}
            None if self.binding.is_some() => self.begin(now, Purpose::Unregister),
            None => self.outbox.event(RegistrationEvent::Unregistered),
        }
    }

    /// Removes every binding under the address of record, those of other phones included (RFC
    /// 3261 §10.2.2). Its end is told as [`RegistrationEvent::Unregistered`]; an account that is
    /// to be reachable registers again after it. While something else is on its way it does
    /// nothing and answers false.
    pub fn clear_bindings(&mut self, now: Instant) -> bool {
        self.outbox.begin_input();
        if self.operation.is_some() {
            return false;
        }
        self.deadlines.clear(Due::Refresh);
        self.deadlines.clear(Due::Retry);
        self.begin(now, Purpose::Clear);
        true
    }

    /// The transport layer lost a flow. If our binding is on it, it is made anew at once.
    pub fn flow_lost(&mut self, now: Instant, flow: FlowId) {
        self.outbox.begin_input();
        let Some(binding) = self.binding.as_mut().filter(|b| b.flow == Some(flow)) else {
            return;
        };
        binding.flow = None;
        let age = now.saturating_duration_since(binding.since);
        if !self.wanted {
            return;
        }
        self.quick_losses = if age < STABLE_AFTER {
            self.quick_losses.saturating_add(1)
        } else {
            0
        };
        // Once may be a change of network, which must not keep us waiting.
        if self.quick_losses >= 2 && self.operation.is_none() {
            self.deadlines.clear(Due::Refresh);
            self.failures = self.quick_losses - 2;
            self.retry_later(now, Trouble::FlowLost, None);
        } else {
            self.register_soon(now);
        }
    }

    /// Takes the answer to a [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        self.outbox.begin_input();
        let Some(Operation {
            purpose,
            step: Step::Resolving(wanted),
            ..
        }) = &self.operation
        else {
            return;
        };
        if *wanted != id {
            return;
        }
        let purpose = *purpose;
        match outcome {
            Ok(paths) => self.send(now, purpose, paths),
            Err(error) => self.on_trouble(now, Trouble::Resolve(error), None),
        }
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.outbox.begin_input();
        self.with_request(now, |request, context| {
            request.handle_response(now, response, inbound, context);
        });
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.outbox.begin_input();
        self.with_request(now, |request, context| {
            request.handle_transport_error(now, branch, error, context);
        });
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.with_request(now, |request, context| request.handle_timeout(now, context));
        while let Some((due, _)) = self.deadlines.pop_due(now) {
            match due {
                Due::Refresh | Due::Retry => self.register_soon(now),
                Due::Expiry => self.binding = None,
            }
        }
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<RegistrationEvent> {
        let of_request = match &self.operation {
            Some(Operation {
                step: Step::Requesting(request),
                ..
            }) => request.deadline(),
            _ => None,
        };
        let deadline = [of_request, self.deadlines.next()]
            .into_iter()
            .flatten()
            .min();
        self.outbox.poll(deadline)
    }

    /// Under which responses find this registration.
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// The user part of our Contact: the dispatcher knows our calls by it.
    pub fn contact_user(&self) -> &str {
        &self.contact_user
    }

    /// Whether the registrar holds our binding, as far as we know.
    pub fn is_registered(&self) -> bool {
        self.binding.is_some()
    }

    /// Whether it is off and nothing runs any more.
    pub fn is_drained(&self) -> bool {
        !self.wanted && self.operation.is_none()
    }

    // ---- Operations ----

    fn register_soon(&mut self, now: Instant) {
        self.deadlines.clear(Due::Refresh);
        self.deadlines.clear(Due::Retry);
        match &self.operation {
            None => self.begin(now, Purpose::Register),
            Some(operation) => self.again = operation.purpose != Purpose::Register,
        }
    }

    fn begin(&mut self, now: Instant, purpose: Purpose) {
        if purpose == Purpose::Register {
            self.outbox.event(RegistrationEvent::Trying);
        }
        // The binding is taken away where it was made, if that is still there.
        if purpose != Purpose::Register
            && let Some(binding) = &self.binding
        {
            let destination = binding.destination();
            self.operation = None;
            self.send_to(now, purpose, vec![destination]);
            return;
        }
        self.resolve_counter += 1;
        let id = ResolveId(self.resolve_counter);
        self.operation = Some(Operation {
            purpose,
            step: Step::Resolving(id),
            raised: false,
        });
        let next_hop = self.config.route.as_ref().unwrap_or(&self.config.registrar);
        self.outbox
            .resolve(id, next_hop.clone(), self.config.transport);
    }

    /// Sends to the paths in their order; where the binding stands already, its flow first.
    fn send(&mut self, now: Instant, purpose: Purpose, paths: Vec<Path>) {
        let mut destinations: Vec<Destination> = Vec::new();
        if let Some(binding) = &self.binding
            && paths.contains(&binding.path)
        {
            destinations.push(binding.destination());
        }
        let known = destinations.first().map(|first| *first.path());
        destinations.extend(
            paths
                .into_iter()
                .filter(|path| Some(*path) != known)
                .map(Destination::Path),
        );
        self.send_to(now, purpose, destinations);
    }

    fn send_to(&mut self, now: Instant, purpose: Purpose, destinations: Vec<Destination>) {
        let raised = self
            .operation
            .as_ref()
            .is_some_and(|operation| operation.raised);
        if let Some(local) = destinations.first().map(|first| first.path().local)
            && self.mapping.local != Some(local)
        {
            // Another network: what was said about the old address means nothing here.
            self.mapping = Mapping {
                local: Some(local),
                ..Mapping::default()
            };
        }
        let draft = self.draft(purpose, destinations.first().map(Destination::path));
        let mut context = ClientContext {
            authenticator: &mut self.authenticator,
            tokens: &mut self.tokens,
            cseq: &mut self.cseq,
            timers: &self.config.timers,
        };
        let request = ClientRequest::new(now, draft, destinations, &mut context);
        self.operation = Some(Operation {
            purpose,
            step: Step::Requesting(Box::new(request)),
            raised,
        });
        self.drain_request(now);
    }

    /// REGISTER without what each sending adds (RFC 3261 §10.2).
    /// `path` is the one tried first.
    fn draft(&self, purpose: Purpose, path: Option<&Path>) -> Draft {
        let mut uri = self.config.registrar.clone();
        uri.user = None;
        uri.password = None;
        uri.headers.clear();
        let expires = match purpose {
            Purpose::Register => self.expires.as_secs(),
            Purpose::Unregister | Purpose::Clear => 0,
        };
        let mut request = Request::new(Method::Register, uri);
        let headers = &mut request.headers;
        if let Some(route) = &self.config.route {
            headers.push(HeaderName::Route, route_value(route));
        }
        let mut from = self.config.aor.clone();
        from.set_tag(&self.key.local_tag);
        headers.push(HeaderName::From, from.to_string());
        headers.push(HeaderName::To, self.config.aor.to_string());
        headers.push(HeaderName::CallId, self.key.call_id.as_str());
        let mut params = vec![format!("expires={expires}")];
        if let Some(instance) = &self.config.instance_id {
            params.push(format!("+sip.instance=\"<{instance}>\""));
        }
        let contact = ContactTemplate {
            user: self.contact_user.clone(),
            public: self.mapping.public,
            params,
        };
        // The binding that this one replaces goes with the same request, before the new one, so
        // that no call is sent to an address where we no longer are.
        let bound = self
            .bound_contact
            .as_deref()
            .filter(|_| purpose != Purpose::Clear);
        if let Some(outdated) =
            bound.filter(|bound| path.is_some_and(|path| contact.uri_text(path) != **bound))
        {
            headers.push(HeaderName::Contact, format!("<{outdated}>;expires=0"));
        }
        headers.push(HeaderName::Expires, expires.to_string());
        // RFC 3327 §5.1: proxies may put themselves into the way.
        headers.push(HeaderName::Supported, "path");
        if !self.config.user_agent.is_empty() {
            headers.push(HeaderName::UserAgent, self.config.user_agent.as_str());
        }
        if purpose == Purpose::Clear {
            headers.push(HeaderName::Contact, "*");
        }
        Draft {
            request,
            contact: (purpose != Purpose::Clear).then_some(contact),
        }
    }

    fn with_request(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut ClientRequest, &mut ClientContext<'_>),
    ) {
        if let Some(Operation {
            step: Step::Requesting(request),
            ..
        }) = &mut self.operation
        {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            act(request, &mut context);
            self.drain_request(now);
        }
    }

    fn drain_request(&mut self, now: Instant) {
        loop {
            let Some(Operation {
                step: Step::Requesting(request),
                ..
            }) = &mut self.operation
            else {
                return;
            };
            match request.poll_output() {
                None => return,
                Some(ClientRequestOutput::Transmit(transmit)) => self.outbox.transmit(transmit),
                Some(ClientRequestOutput::Provisional(_)) => {}
                Some(ClientRequestOutput::Notice(text)) => {
                    self.outbox.event(RegistrationEvent::Notice(text));
                }
                Some(ClientRequestOutput::Done(RequestResult::Answered(answered))) => {
                    self.on_answer(now, &answered);
                }
                Some(ClientRequestOutput::Done(RequestResult::Failed(failure))) => {
                    self.on_failure(now, failure);
                }
            }
        }
    }

    // ---- Ends of operations ----

    fn on_answer(&mut self, now: Instant, answered: &Answered) {
        let Some(Operation {
            purpose, raised, ..
        }) = self.operation.take()
        else {
            return;
        };
        let status = answered.response.status;
        match purpose {
            Purpose::Unregister | Purpose::Clear => {
                if !status.is_success() {
                    let phrase = &answered.response.reason;
                    self.notice(format!(
                        "signing out was answered {} {phrase}",
                        status.code()
                    ));
                }
                self.on_gone(now);
            }
            Purpose::Register if status.is_success() => self.on_registered(now, answered),
            // RFC 3261 §10.2.8.
            Purpose::Register if status == StatusCode::INTERVAL_TOO_BRIEF && !raised => {
                self.on_interval_too_brief(now, answered);
            }
            Purpose::Register if is_for_good(status) => {
                self.on_refused(
                    now,
                    Refusal::Status {
                        status,
                        phrase: answered.response.reason.clone(),
                        path: answered.path,
                    },
                );
            }
            Purpose::Register => {
                let what = Trouble::Status {
                    status,
                    phrase: answered.response.reason.clone(),
                    path: answered.path,
                };
                self.on_trouble(now, what, answer::retry_after(&answered.response));
            }
        }
    }

    fn on_failure(&mut self, now: Instant, failure: RequestFailure) {
        match failure {
            RequestFailure::Auth {
                error: AuthError::TooOften { .. },
                ..
            } => {
                self.on_trouble(now, Trouble::Request(failure), None);
            }
            RequestFailure::Auth {
                path,
                status,
                error,
            } => match self.operation.take().map(|operation| operation.purpose) {
                Some(Purpose::Unregister | Purpose::Clear) => self.on_gone(now),
                _ => self.on_refused(
                    now,
                    Refusal::Auth {
                        error,
                        status,
                        path,
                    },
                ),
            },
            _ => self.on_trouble(now, Trouble::Request(failure), None),
        }
    }

    fn on_registered(&mut self, now: Instant, answered: &Answered) {
        let sent = answered.contact.as_deref().unwrap_or_default();
        let (contact, _) = answer::split_contact(sent);
        let found = answer::own_binding(
            &answered.response,
            contact,
            self.config.instance_id.as_deref(),
            &self.contact_user,
        );
        if let Some(text) = found.notice {
            self.notice(text);
        }
        let granted = found.granted.unwrap_or(self.expires);
        if granted.is_zero() {
            self.binding = None;
            self.deadlines.clear(Due::Expiry);
            let what = Trouble::NothingGranted {
                path: answered.path,
            };
            self.on_trouble(now, what, None);
            return;
        }
        self.failures = 0;
        self.bound_contact = Some(contact.to_owned());
        self.binding = Some(Binding {
            flow: Some(answered.inbound.flow),
            path: answered.path,
            since: now,
        });
        self.deadlines.set(Due::Expiry, now + granted);
        let refresh_in = self.refresh_after(granted);
        let mapped = mapped_address(&answered.response);
        self.outbox
            .event(RegistrationEvent::Registered(Box::new(Registered {
                granted,
                refresh_in,
                flow: answered.inbound.flow,
                path: answered.inbound.path,
                round_trip: answered.round_trip,
                mapped,
                contact: contact.to_owned(),
                service_route: answer::values(&answered.response, HeaderName::ServiceRoute),
                associated: answer::values(&answered.response, HeaderName::PAssociatedUri),
                other_bindings: found.others,
                bindings: found.bindings,
            })));
        if !self.wanted {
            self.begin(now, Purpose::Unregister);
            return;
        }
        self.deadlines.set(Due::Refresh, now + refresh_in);
        if self.learn_mapping(answered, mapped) {
            self.register_soon(now);
        }
    }

    /// Whether the Contact is to be rewritten now: on the first sight of a mapping, later only
    /// when the same new one is seen twice in a row, so that a mapping which flaps never makes us
    /// register again and again.
    fn learn_mapping(&mut self, answered: &Answered, mapped: Option<SocketAddr>) -> bool {
        let path = answered.path;
        let Some(mapped) = mapped else {
            return false;
        };
        if !self.config.rewrite_contact || path.transport != Transport::Udp {
            return false;
        }
        let present = self.mapping.public.unwrap_or(path.local);
        if mapped == present || mapped.is_ipv4() != path.local.is_ipv4() {
            self.mapping.candidate = None;
            return false;
        }
        if self.mapping.rewritten && self.mapping.candidate != Some(mapped) {
            self.mapping.candidate = Some(mapped);
            self.notice(format!(
                "the registrar now sees us at {mapped}, waiting whether it stays"
            ));
            return false;
        }
        self.notice(format!(
            "the registrar sees us at {mapped}, the Contact says so from now on"
        ));
        self.mapping.rewritten = true;
        self.mapping.candidate = None;
        self.mapping.public = (mapped != path.local).then_some(mapped);
        true
    }

    fn on_interval_too_brief(&mut self, now: Instant, answered: &Answered) {
        let minimum = answer::seconds(&answered.response, HeaderName::MinExpires);
        match minimum {
            Some(minimum) if minimum > self.expires && minimum <= LONGEST_MIN_EXPIRES => {
                self.notice(format!(
                    "the registrar wants at least {} s, asking for that",
                    minimum.as_secs()
                ));
                self.expires = minimum;
                if !self.wanted {
                    self.on_gone(now);
                    return;
                }
                self.operation = Some(Operation {
                    purpose: Purpose::Register,
                    step: Step::Resolving(ResolveId(0)),
                    raised: true,
                });
                let destination = Destination::Flow {
                    id: answered.inbound.flow,
                    path: answered.path,
                };
                self.send_to(now, Purpose::Register, vec![destination]);
            }
            _ => self.on_refused(
                now,
                Refusal::Status {
                    status: answered.response.status,
                    phrase: answered.response.reason.clone(),
                    path: answered.path,
                },
            ),
        }
    }

    fn on_refused(&mut self, now: Instant, refusal: Refusal) {
        self.operation = None;
        self.binding = None;
        self.bound_contact = None;
        self.deadlines.clear_all();
        if !self.wanted {
            self.on_gone(now);
            return;
        }
        self.wanted = false;
        self.again = false;
        self.outbox.event(RegistrationEvent::Refused(refusal));
    }

    fn on_trouble(&mut self, now: Instant, what: Trouble, retry_after: Option<Duration>) {
        let purpose = self.operation.take().map(|operation| operation.purpose);
        let leaving = matches!(purpose, Some(Purpose::Unregister | Purpose::Clear));
        if !self.wanted || leaving {
            self.notice(format!("signing out: {what}"));
            self.on_gone(now);
            return;
        }
        self.retry_later(now, what, retry_after);
    }

    fn retry_later(&mut self, now: Instant, what: Trouble, retry_after: Option<Duration>) {
        let backoff = self.next_backoff();
        // RFC 3261 §20.33: not sooner than asked; a little spread, for we are not alone.
        let asked = retry_after.map(|asked| {
            let asked = asked.min(LONGEST_RETRY_AFTER);
            asked + asked.mul_f64(0.1 * self.tokens.fraction())
        });
        let retry_in = asked.map_or(backoff, |asked| asked.max(backoff));
        self.deadlines.set(Due::Retry, now + retry_in);
        self.outbox
            .event(RegistrationEvent::Failed { what, retry_in });
    }

    /// The end of everything that was ours at the registrar.
    fn on_gone(&mut self, now: Instant) {
        self.operation = None;
        self.binding = None;
        self.bound_contact = None;
        self.deadlines.clear_all();
        self.outbox.event(RegistrationEvent::Unregistered);
        if self.wanted || self.again {
            self.again = false;
            self.register_soon(now);
        }
    }

    /// Half to the whole of a time that doubles with each failure (as RFC 5626 §4.5, with a
    /// shorter start, because a person is waiting).
    fn next_backoff(&mut self) -> Duration {
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled
            .min(LONGEST_BACKOFF)
            .mul_f64(0.5 + 0.5 * self.tokens.fraction())
    }

    /// Four fifths to nine tenths of the granted time: early enough for a lost REGISTER to be
    /// repeated, spread so that accounts registered together do not stay together.
    fn refresh_after(&mut self, granted: Duration) -> Duration {
        granted.mul_f64(0.8 + 0.1 * self.tokens.fraction())
    }

    fn notice(&mut self, text: String) {
        self.outbox.event(RegistrationEvent::Notice(text));
    }
}

/// The value of Route for an outbound proxy; with `lr`, or the proxy would take us for an RFC
/// 2543 element.
pub(crate) fn route_value(proxy: &Uri) -> String {
    let mut uri = proxy.clone();
    if !uri.params.has("lr") {
        uri.params.set_flag("lr");
    }
    format!("<{uri}>")
}

/// Whether the answer would be the same next time. What may pass by itself: timeouts, overload,
/// a proxy that lost its flow (430), 480, 494, and the 5xx that speak of the present.
fn is_for_good(status: StatusCode) -> bool {
    match status.code() {
        408 | 413 | 425 | 429 | 430 | 480 | 482 | 483 | 486 | 487 | 491 | 494 => false,
        501 | 505 | 513 | 555 => true,
        500..=599 => false,
        _ => true,
    }
}
