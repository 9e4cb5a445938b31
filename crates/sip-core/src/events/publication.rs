//! State of ours at a server that tells it on: PUBLISH (RFC 3903).
//!
//! ```text
//!            publish             2xx with SIP-ETag
//!    Off ─────────────► Trying ───────────────────► Published ─┐ refresh before the granted
//!     ▲                  │  ▲ 412: as if for the      │  │ ▲   │ time, without the body;
//!     │ definitive no    │  │ first time              │  │ └───┘ changed state, with it
//!     │◄─────────────────┘  └── Waiting ◄─────────────┘  │
//!     │                         back-off                 │ remove
//!     └───────────────────────── 2xx, 412, or silence ◄──┘
//! ```

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use privacy::Sentence;
use sip_message::{Event, HeaderName, Method, NameAddr, Response, StatusCode, Uri};

use super::fault::answer_of;
use super::{Fault, outside_dialogs};
use crate::auth::{Authenticator, Credentials};
use crate::client::{Answered, ClientContext, Draft};
use crate::dispatch::OwnerKey;
use crate::errand::{Errand, ErrandEnd, ErrandOutput};
use crate::output::{Outbox, Output};
use crate::path::{Destination, Inbound, Path, ResolveError, ResolveId, Transport, TransportError};
use crate::refresh::{Backoff, Due, Refresher, seconds};
use crate::timers::Timers;
use crate::tokens::{Seed, Tokens};

/// Whose state to publish where. Does not change while it lives.
#[derive(Clone, Debug)]
pub struct PublicationConfig {
    /// Whose state: request URI, To and From (RFC 3903 §4).
    pub entity: NameAddr,
    /// Proxies to pass, nearest first.
    pub route: Vec<Uri>,
    /// The only transport to use; whatever RFC 3263 gives when `None`.
    pub transport: Option<Transport>,
    /// The package.
    pub event: Event,
    /// The time to ask for.
    pub expires: Duration,
    /// Passwords.
    pub credentials: Vec<Credentials>,
    /// Value of User-Agent; none is sent when empty.
    pub user_agent: String,
    /// Timer values.
    pub timers: Timers,
}

impl PublicationConfig {
    /// A publication with everything else at its default: an hour, no proxy, no password.
    pub fn new(entity: NameAddr, event: Event) -> Self {
        Self {
            entity,
            route: Vec::new(),
            transport: None,
            event,
            expires: Duration::from_secs(3600),
            credentials: Vec::new(),
            user_agent: String::new(),
            timers: Timers::default(),
        }
    }
}

/// What the owner of a publication learns.
#[derive(Clone, Debug)]
pub enum PublicationEvent {
    /// The server has the state that was given last.
    Published {
        /// How long it keeps it unless it is renewed.
        granted: Duration,
    },
    /// It did not work and is tried again by itself.
    Failed {
        /// Why.
        what: Fault,
        /// In how long the next try comes.
        retry_in: Duration,
    },
    /// A no for good. Nothing more is tried until state is published again.
    Refused(Fault),
    /// The server keeps nothing of ours any more, at our own wish.
    Removed,
    /// Something a person may want to know.
    Notice(Sentence),
}

/// State kept at a server. See the module's text for how.
#[derive(Debug)]
pub struct Publication {
    config: PublicationConfig,
    key: OwnerKey,
    authenticator: Authenticator,
    tokens: Tokens,
    cseq: u32,
    /// The state to publish; `None` when nothing is to be there.
    state: Option<Body>,
    /// Whether the server has another state than this.
    stale: bool,
    /// Names what the server has (RFC 3903 §4.1).
    etag: Option<String>,
    operation: Option<(Purpose, Errand)>,
    /// Whether a removal is to be told.
    removing: bool,
    way: Option<Destination>,
    refresher: Refresher,
    resolve_counter: u64,
    outbox: Outbox<PublicationEvent>,
}

#[derive(Clone, PartialEq, Eq)]
struct Body {
    kind: String,
    bytes: Vec<u8>,
}

impl fmt::Debug for Body {
    /// Without what it says of its person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.kind, self.bytes.len())
    }
}

/// The three operations on state that is there, and the one that makes it (RFC 3903 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Initial,
    Refresh,
    Modify,
    Remove,
}

impl Publication {
    /// A publication of nothing.
    pub fn new(config: PublicationConfig, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        Self {
            key: OwnerKey {
                call_id: tokens.call_id(),
                local_tag: tokens.tag(),
            },
            authenticator: Authenticator::new(config.credentials.clone()),
            cseq: tokens.cseq(),
            tokens,
            state: None,
            stale: false,
            etag: None,
            operation: None,
            removing: false,
            way: None,
            refresher: Refresher::new(config.expires, Backoff::default()),
            resolve_counter: 0,
            outbox: Outbox::default(),
            config,
        }
    }

    /// Publishes this state in place of the one before. While something is on its way it waits,
    /// and of several that wait only the last goes out.
    pub fn publish(&mut self, now: Instant, content_type: &str, body: Vec<u8>) {
        self.outbox.begin_input();
        self.state = Some(Body {
            kind: content_type.to_owned(),
            bytes: body,
        });
        self.stale = true;
        self.removing = false;
        self.refresher.forgive();
        self.act(now);
    }

    /// Takes the state away (RFC 3903 §4.5).
    pub fn remove(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.state = None;
        self.stale = false;
        self.removing = true;
        self.refresher.stop();
        let unsent = self.operation.as_ref().is_some_and(|(_, e)| e.is_unsent());
        if unsent {
            self.operation = None;
        }
        self.act(now);
    }

    /// Takes the answer to a [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        self.outbox.begin_input();
        self.with_errand(now, |errand, context| {
            errand.handle_resolved(now, id, outcome, context);
        });
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.outbox.begin_input();
        self.with_errand(now, |errand, context| {
            errand.handle_response(now, response, inbound, context);
        });
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.outbox.begin_input();
        self.with_errand(now, |errand, context| {
            errand.handle_transport_error(now, branch, &error, context);
        });
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.with_errand(now, |errand, context| errand.handle_timeout(now, context));
        while let Some(due) = self.refresher.pop_due(now) {
            match due {
                Due::Refresh | Due::Retry => self.renew(now),
                Due::Expiry => {
                    self.etag = None;
                    self.stale = self.state.is_some();
                    // A waiting retry makes it anew.
                    if self.refresher.deadline().is_none() {
                        self.act(now);
                    }
                }
            }
        }
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<PublicationEvent> {
        let of_errand = self.operation.as_ref().and_then(|(_, e)| e.deadline());
        let deadline = [of_errand, self.refresher.deadline()]
            .into_iter()
            .flatten()
            .min();
        self.outbox.poll(deadline)
    }

    /// Under which responses find it.
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// Whether the server has state of ours, as far as we know.
    pub fn is_published(&self) -> bool {
        self.etag.is_some()
    }

    /// Whether nothing is published and nothing runs any more.
    pub fn is_drained(&self) -> bool {
        self.state.is_none() && self.operation.is_none() && !self.removing
    }

    /// Does what has to be done next, unless something is on its way.
    fn act(&mut self, now: Instant) {
        if self.operation.is_some() {
            return;
        }
        match (&self.state, self.etag.is_some()) {
            (Some(_), false) => self.begin(now, Purpose::Initial),
            (Some(_), true) if self.stale => self.begin(now, Purpose::Modify),
            (None, true) => self.begin(now, Purpose::Remove),
            (None, false) if std::mem::take(&mut self.removing) => {
                self.refresher.stop();
                self.outbox.event(PublicationEvent::Removed);
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    fn renew(&mut self, now: Instant) {
        if self.operation.is_none() && self.state.is_some() && !self.stale && self.etag.is_some() {
            self.begin(now, Purpose::Refresh);
        } else {
            self.act(now);
        }
    }

    fn begin(&mut self, _now: Instant, purpose: Purpose) {
        self.refresher.begin();
        self.resolve_counter += 1;
        let id = ResolveId(self.resolve_counter);
        let draft = self.draft(purpose);
        let target = &self.config.entity.uri;
        let next_hop = self.config.route.first().unwrap_or(target).clone();
        self.operation = Some((purpose, Errand::resolving(id, &next_hop, draft, self.way)));
        self.outbox.resolve(id, next_hop, self.config.transport);
    }

    /// RFC 3903 §4.1, Table 1: which of body, SIP-If-Match and a time other than zero each
    /// operation has.
    fn draft(&mut self, purpose: Purpose) -> Draft {
        let config = &self.config;
        let entity = &config.entity;
        let mut request = outside_dialogs(
            Method::Publish,
            &entity.uri,
            entity,
            entity,
            &self.key,
            &config.route,
        );
        let headers = &mut request.headers;
        headers.push(HeaderName::Event, &config.event);
        let expires = match purpose {
            Purpose::Remove => 0,
            Purpose::Initial | Purpose::Refresh | Purpose::Modify => {
                self.refresher.asked().as_secs()
            }
        };
        headers.push(HeaderName::Expires, expires);
        if let Some(etag) = self.etag.as_ref().filter(|_| purpose != Purpose::Initial) {
            headers.push(HeaderName::SipIfMatch, etag);
        }
        if !config.user_agent.is_empty() {
            headers.push(HeaderName::UserAgent, config.user_agent.as_str());
        }
        if let (Purpose::Initial | Purpose::Modify, Some(body)) = (purpose, &self.state) {
            request.set_body(&body.kind, body.bytes.clone());
            self.stale = false;
        }
        Draft {
            request,
            contact: None,
        }
    }

    fn with_errand(&mut self, now: Instant, act: impl FnOnce(&mut Errand, &mut ClientContext<'_>)) {
        if let Some((_, errand)) = &mut self.operation {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            act(errand, &mut context);
        }
        while let Some((purpose, output)) = self
            .operation
            .as_mut()
            .and_then(|(purpose, errand)| errand.poll_output().map(|output| (*purpose, output)))
        {
            match output {
                ErrandOutput::Transmit(transmit) => self.outbox.transmit(transmit),
                ErrandOutput::Notice(text) => self.outbox.event(PublicationEvent::Notice(text)),
                // Its owner begins anew with another login.
                ErrandOutput::LoginWanted(_) | ErrandOutput::LoginSettled { .. } => {}
                ErrandOutput::Done(end) => {
                    self.operation = None;
                    self.on_end(now, purpose, end);
                }
            }
        }
    }

    fn on_end(&mut self, now: Instant, purpose: Purpose, end: ErrandEnd) {
        let answered = match answer_of(end) {
            Ok(answered) => answered,
            Err(fault) => return self.on_fault(now, purpose, fault),
        };
        let response = &answered.response;
        match response.status {
            status if status.is_success() => self.on_done(now, purpose, &answered),
            // RFC 3903 §4.2 and §6 step 3: what we name is not there; begin as for the first time.
            status if status.code() == CONDITIONAL_REQUEST_FAILED && self.etag.is_some() => {
                self.etag = None;
                self.stale = self.state.is_some();
                self.act(now);
            }
            StatusCode::INTERVAL_TOO_BRIEF
                if purpose != Purpose::Remove && self.refresher.raise(response) =>
            {
                self.stale |= purpose != Purpose::Refresh && self.state.is_some();
                self.renew(now);
                // The renewal began an operation anew; the minimum is followed only once in it.
                self.refresher.hold_raised();
            }
            _ => {
                let fault = Fault::of_answer(&answered);
                self.on_fault(now, purpose, fault);
            }
        }
    }

    fn on_done(&mut self, now: Instant, purpose: Purpose, answered: &Answered) {
        let response = &answered.response;
        self.way = Some(Destination::Flow {
            id: answered.inbound.flow,
            path: answered.path,
        });
        if purpose == Purpose::Remove {
            self.etag = None;
            return self.act(now);
        }
        // RFC 3903 §6 step 6: each 2xx has a new one.
        let Ok(etag) = response.headers.sip_etag() else {
            self.etag = None;
            let path = answered.path;
            return self.on_fault(
                now,
                purpose,
                Fault::Incomplete {
                    missing: "SIP-ETag",
                    path,
                },
            );
        };
        let granted =
            seconds(response, HeaderName::Expires).unwrap_or_else(|| self.refresher.asked());
        if granted.is_zero() {
            self.etag = None;
            let path = answered.path;
            return self.on_fault(now, purpose, Fault::NothingGranted { path });
        }
        self.etag = Some(etag);
        if self.state.is_some() {
            self.refresher.granted(now, granted, &mut self.tokens);
            if !self.stale {
                self.outbox.event(PublicationEvent::Published { granted });
            }
        }
        self.act(now);
    }

    fn on_fault(&mut self, now: Instant, purpose: Purpose, fault: Fault) {
        if self.state.is_none() {
            // It expires by itself at the server.
            let text = format!(
                "taking the published state away: {}",
                fault.sentence().reveal()
            );
            self.outbox.event(PublicationEvent::Notice(text.into()));
            self.etag = None;
            return self.act(now);
        }
        self.stale |= purpose != Purpose::Refresh;
        if purpose == Purpose::Remove {
            // State was given again while the old one was taken away, in vain.
            self.etag = None;
            return self.act(now);
        }
        if fault.is_for_good() {
            self.state = None;
            self.stale = false;
            self.etag = None;
            self.refresher.stop();
            self.outbox.event(PublicationEvent::Refused(fault));
            return;
        }
        let retry_in = self
            .refresher
            .failed(now, fault.retry_after(), &mut self.tokens);
        self.outbox.event(PublicationEvent::Failed {
            what: fault,
            retry_in,
        });
    }
}

/// "Conditional Request Failed" (RFC 3903 §11.2.1).
const CONDITIONAL_REQUEST_FAILED: u16 = 412;
