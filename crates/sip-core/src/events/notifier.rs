//! One subscription of somebody else to state of ours (RFC 6665 §4.2).
//!
//! ```text
//!   SUBSCRIBE ─► accept ─► Pending ──approve──► Active ──► Ending ─► over
//!                  └───────────────────────────►  │ ▲        ▲
//!                                                 │ └ refresh │ expiry, Expires: 0, terminate
//!                                                 └───────────┘
//! ```
//!
//! The state is pulled: when a NOTIFY may go out, [`NotifierEvent::StateWanted`] asks the owner for
//! the whole of it, so that what goes out is always the latest. There is one NOTIFY at a time, and
//! no more of them than the throttle lets through.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use privacy::{Identity, Sentence};
use sip_message::{
    Event, HeaderName, MediaType, Method, Request, Response, StatusCode, Uri, validate_request,
};

use super::answers::{Answers, answer};
use super::fault::answer_of;
use super::{Fault, contact_template};
use crate::auth::{Authenticator, Credentials, Home};
use crate::client::{ClientContext, ContactTemplate, Draft, RequestFailure};
use crate::dialog::Dialog;
use crate::dispatch::OwnerKey;
use crate::errand::{Errand, ErrandEnd, ErrandOutput};
use crate::output::{Outbox, Output};
use crate::path::{Destination, Inbound, Path, ResolveError, ResolveId, Transport, TransportError};
use crate::stateless::{self, StatusLine};
use crate::timers::Timers;
use crate::tokens::{Seed, Tokens};

/// How to take subscriptions.
#[derive(Clone, Debug)]
pub struct NotifierConfig {
    /// The package served; any other is refused with 489.
    pub package: String,
    /// The body type sent; who does not accept it is refused with 406.
    pub content_type: String,
    /// Whether subscribers have to wait for [`Notifier::approve`].
    pub pending: bool,
    /// The time granted to who names none.
    pub usual: Duration,
    /// The shortest time granted; who wants less is refused with 423.
    pub shortest: Duration,
    /// The longest time granted; who wants more gets this.
    pub longest: Duration,
    /// How far apart notifications of changes are at least.
    pub throttle: Duration,
    /// User part of our Contact.
    pub contact_user: Identity,
    /// Our whole Contact instead of one made for the path.
    pub contact: Option<Uri>,
    /// The only transport to use where the subscriber's flow is gone.
    pub transport: Option<Transport>,
    /// Passwords, where a proxy asks.
    pub credentials: Vec<Credentials>,
    /// Whose challenges they answer.
    pub home: Home,
    /// Value of Server and User-Agent; none is sent when empty.
    pub user_agent: String,
    /// Timer values.
    pub timers: Timers,
}

impl NotifierConfig {
    /// Takes everybody at once, for a minute to an hour, and tells at most one change a second.
    pub fn new(package: &str, content_type: &str, contact_user: &str) -> Self {
        Self {
            package: package.to_owned(),
            content_type: content_type.to_owned(),
            pending: false,
            usual: Duration::from_secs(3600),
            shortest: Duration::from_secs(60),
            longest: Duration::from_secs(3600),
            throttle: Duration::from_secs(1),
            contact_user: contact_user.into(),
            contact: None,
            transport: None,
            credentials: Vec::new(),
            home: Home::default(),
            user_agent: String::new(),
            timers: Timers::default(),
        }
    }
}

/// What the owner of a notifier is asked and told.
#[derive(Clone, Debug)]
pub enum NotifierEvent {
    /// A NOTIFY may go out: give the whole state with [`Notifier::give_state`].
    StateWanted {
        /// The number of the document, counted from 0, for packages that number them.
        version: u32,
    },
    /// The one end of it.
    Ended(NotifierEnd),
    /// Something a person may want to know.
    Notice(Sentence),
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifierEnd {
    /// It was not renewed, or the subscriber ended it, or asked only once.
    TimedOut,
    /// We ended it.
    Terminated,
    /// The subscriber cannot be told, or knows nothing of it.
    Failed(Fault),
}

/// One subscription to state of ours. See the module's text for its states.
#[derive(Debug)]
pub struct Notifier {
    config: NotifierConfig,
    key: OwnerKey,
    event: Event,
    dialog: Dialog,
    cseq: u32,
    authenticator: Authenticator,
    tokens: Tokens,
    pending: bool,
    expires_at: Instant,
    /// Number of the next document.
    version: u32,
    /// Whether something is to be told.
    due: bool,
    /// Whether it is to be told without regard to the throttle.
    urgent: bool,
    /// Whether the owner was asked for the state and has not given it.
    asked: bool,
    /// Set when the next NOTIFY is the last one.
    ending: Option<Ending>,
    errand: Option<Errand>,
    /// The NOTIFY on its way, to go by the path when the flow is gone.
    retry: Option<Draft>,
    /// The flow on which the subscriber's last SUBSCRIBE came.
    flow: Destination,
    last_sent: Option<Instant>,
    /// Nothing is sent before.
    not_before: Option<Instant>,
    over: bool,
    answers: Answers,
    resolve_counter: u64,
    outbox: Outbox<NotifierEvent>,
}

/// Why and how the last NOTIFY says the end.
#[derive(Clone, Debug)]
struct Ending {
    reason: String,
    retry_after: Option<Duration>,
    /// Whether the state goes with it.
    with_state: bool,
    end: NotifierEnd,
    /// Whether the NOTIFY that says it is on its way.
    told: bool,
}

impl Notifier {
    /// Takes a SUBSCRIBE outside any dialog: its 200 goes out, and the first state is asked for.
    ///
    /// # Errors
    ///
    /// The refusal to send: 400, 405, 406, 423, 481 or 489.
    pub fn accept(
        now: Instant,
        request: &Request,
        inbound: &Inbound,
        config: NotifierConfig,
        seed: &Seed,
    ) -> Result<Self, Box<Response>> {
        let mut tokens = Tokens::new(seed);
        let tag = tokens.tag();
        let refuse = |line: StatusLine| Box::new(stateless::response(request, line, Some(&tag)));
        // RFC 3261 §8.2: what cannot be understood is refused before anything is done.
        if let Err(error) = validate_request(request) {
            return Err(refuse((&error).into()));
        }
        if request.headers.to().is_ok_and(|to| to.tag().is_some()) {
            return Err(refuse(
                StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST.into(),
            ));
        }
        let (event, granted) = judge(request, &config, &refuse)?;
        accepts(request, &config, &refuse)?;
        let first_cseq = tokens.cseq();
        if let Err(error) = request.headers.contact() {
            return Err(refuse((&error).into()));
        }
        let Some(mut dialog) = Dialog::from_request(request, &tag, first_cseq) else {
            return Err(refuse(StatusLine::bad_request("Malformed Dialog Headers")));
        };
        dialog.confirm();
        let mut notifier = Self {
            key: OwnerKey {
                call_id: dialog.id().call_id.clone(),
                local_tag: tag,
            },
            event,
            dialog,
            cseq: first_cseq,
            authenticator: Authenticator::at_home(config.credentials.clone(), config.home.clone()),
            tokens,
            pending: config.pending,
            expires_at: now + granted,
            version: 0,
            due: false,
            urgent: false,
            asked: false,
            ending: None,
            errand: None,
            retry: None,
            flow: inbound.destination(),
            last_sent: None,
            not_before: None,
            over: false,
            answers: Answers::default(),
            resolve_counter: 0,
            outbox: Outbox::default(),
            config,
        };
        notifier.outbox.begin_input();
        notifier.on_granted(now, request, inbound, granted);
        Ok(notifier)
    }

    /// The state changed: asks for it as soon as it may be told.
    pub fn changed(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.due = true;
        self.act(now);
    }

    /// The whole state, as [`NotifierEvent::StateWanted`] asked for it. Without that it does
    /// nothing.
    pub fn give_state(&mut self, now: Instant, body: Vec<u8>) {
        self.outbox.begin_input();
        if std::mem::take(&mut self.asked) && self.errand.is_none() && !self.over {
            self.version = self.version.saturating_add(1);
            self.notify(now, Some(body));
        }
    }

    /// A waiting subscriber may know.
    pub fn approve(&mut self, now: Instant) {
        self.outbox.begin_input();
        if std::mem::take(&mut self.pending) {
            (self.due, self.urgent) = (true, true);
            self.act(now);
        }
    }

    /// Ends it with one of the reasons of RFC 6665 §4.1.3: `deactivated`, `probation`, `rejected`,
    /// `giveup`, `noresource`, `invariant`.
    pub fn terminate(&mut self, now: Instant, reason: &str, retry_after: Option<Duration>) {
        self.outbox.begin_input();
        self.begin_end(now, reason, retry_after, false, NotifierEnd::Terminated);
    }

    /// Takes a request within the subscription.
    pub fn handle_request(&mut self, now: Instant, request: &Request, inbound: &Inbound) {
        self.outbox.begin_input();
        if request.method == Method::Ack {
            return;
        }
        if let Some(again) = self.answers.repeated(request) {
            self.outbox.transmit(again);
            return;
        }
        match self.judge_refresh(request) {
            Ok(granted) => {
                self.dialog.refresh_target(&request.headers);
                self.flow = inbound.destination();
                self.expires_at = now + granted;
                self.on_granted(now, request, inbound, granted);
            }
            Err(response) => {
                self.outbox
                    .transmit(answer(request, inbound.destination(), &response));
            }
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
        self.answers.handle_timeout(now);
        self.with_errand(now, |errand, context| errand.handle_timeout(now, context));
        if now >= self.expires_at && !self.over {
            // RFC 6665 §4.2.1.4: not renewed in time.
            self.begin_end(now, "timeout", None, false, NotifierEnd::TimedOut);
        }
        if self.not_before.is_some_and(|until| until <= now) {
            self.not_before = None;
            self.act(now);
        }
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<NotifierEvent> {
        let standing = !self.over && self.ending.is_none();
        let deadline = [
            self.errand.as_ref().and_then(Errand::deadline),
            standing.then_some(self.expires_at),
            self.not_before.filter(|_| !self.over),
            self.answers.deadline(),
        ];
        self.outbox.poll(deadline.into_iter().flatten().min())
    }

    /// Under which requests and responses find it.
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// Whether it is over and nothing runs any more.
    pub fn is_drained(&self) -> bool {
        self.over && self.answers.is_empty()
    }

    /// RFC 6665 §4.2.1.1 for a SUBSCRIBE within the dialog.
    fn judge_refresh(&mut self, request: &Request) -> Result<Duration, Box<Response>> {
        let refuse = |line: StatusLine| {
            let tag = Some(self.key.local_tag.as_str());
            Box::new(stateless::response(request, line, tag))
        };
        let gone = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
        let from = request.headers.from();
        let tag = from.as_ref().ok().and_then(|from| from.tag());
        let ended = self.over || self.ending.is_some();
        if ended || tag.unwrap_or_default() != self.dialog.id().remote_tag {
            return Err(refuse(gone.into()));
        }
        let (event, granted) = judge(request, &self.config, &refuse)?;
        if event.id() != self.event.id() {
            return Err(refuse(gone.into()));
        }
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        if !self.dialog.accept_cseq(number) {
            return Err(refuse(StatusCode::SERVER_INTERNAL_ERROR.into()));
        }
        Ok(granted)
    }

    /// Says yes, and tells the state at once (RFC 6665 §4.2.1.2).
    fn on_granted(
        &mut self,
        now: Instant,
        request: &Request,
        inbound: &Inbound,
        granted: Duration,
    ) {
        let config = &self.config;
        let mut ok = stateless::response(request, StatusCode::OK, Some(&self.key.local_tag));
        for value in request.headers.get_all(HeaderName::RecordRoute) {
            ok.headers.push(HeaderName::RecordRoute, value);
        }
        ok.headers.push(HeaderName::Expires, granted.as_secs());
        let contact = match &config.contact {
            Some(uri) => format!("<{uri}>"),
            None => ContactTemplate {
                user: config.contact_user.reveal().to_owned(),
                public: None,
                name: None,
                params: Vec::new(),
            }
            .value(&inbound.path),
        };
        ok.headers.push(HeaderName::Contact, contact);
        if !config.user_agent.is_empty() {
            ok.headers
                .push(HeaderName::Server, config.user_agent.as_str());
        }
        let transmit = self
            .answers
            .give(now, request, inbound, &ok, &config.timers);
        self.outbox.transmit(transmit);
        if granted.is_zero() {
            let with_state = !self.pending;
            self.begin_end(now, "timeout", None, with_state, NotifierEnd::TimedOut);
        } else {
            (self.due, self.urgent) = (true, true);
            self.act(now);
        }
    }

    fn begin_end(
        &mut self,
        now: Instant,
        reason: &str,
        retry_after: Option<Duration>,
        with_state: bool,
        end: NotifierEnd,
    ) {
        if self.over || self.ending.is_some() {
            return;
        }
        self.ending = Some(Ending {
            reason: reason.to_owned(),
            retry_after,
            with_state,
            end,
            told: false,
        });
        self.not_before = None;
        (self.due, self.urgent) = (true, true);
        self.act(now);
    }

    /// Tells what is due, as soon as nothing is on its way and the throttle is open.
    fn act(&mut self, now: Instant) {
        if !self.due || self.over || self.errand.is_some() {
            return;
        }
        if self.not_before.is_some_and(|until| now < until) {
            return;
        }
        let throttled = self
            .last_sent
            .map(|last| last + self.config.throttle)
            .filter(|until| *until > now && !self.urgent);
        if throttled.is_some() {
            self.not_before = throttled;
            return;
        }
        let with_state = match &self.ending {
            Some(ending) => ending.with_state,
            None => !self.pending,
        };
        if !with_state {
            self.asked = false;
            self.notify(now, None);
        } else if !std::mem::replace(&mut self.asked, true) {
            let version = self.version;
            self.outbox.event(NotifierEvent::StateWanted { version });
        }
    }

    /// RFC 6665 §4.2.2.
    fn notify(&mut self, now: Instant, body: Option<Vec<u8>>) {
        (self.due, self.urgent) = (false, false);
        self.last_sent = Some(now);
        let mut request = self.dialog.request(Method::Notify);
        let headers = &mut request.headers;
        headers.push(HeaderName::Event, &self.event);
        let left = self.expires_at.saturating_duration_since(now).as_secs();
        let state = match &mut self.ending {
            Some(ending) => {
                ending.told = true;
                let reason = &ending.reason;
                match ending.retry_after {
                    Some(after) => {
                        let after = after.as_secs();
                        format!("terminated;reason={reason};retry-after={after}")
                    }
                    None => format!("terminated;reason={reason}"),
                }
            }
            None if self.pending => format!("pending;expires={left}"),
            None => format!("active;expires={left}"),
        };
        headers.push(HeaderName::SubscriptionState, state);
        let config = &self.config;
        if !config.user_agent.is_empty() {
            headers.push(HeaderName::UserAgent, config.user_agent.as_str());
        }
        if let Some(body) = body {
            request.set_body(&config.content_type, body);
        }
        let contact = contact_template(
            &mut request,
            config.contact_user.reveal(),
            config.contact.as_ref(),
        );
        let draft = Draft { request, contact };
        self.retry = Some(draft.clone());
        let mut context = ClientContext {
            authenticator: &mut self.authenticator,
            tokens: &mut self.tokens,
            cseq: &mut self.cseq,
            timers: &self.config.timers,
        };
        // First where the SUBSCRIBE came from: the way through any NAT in between.
        let errand = Errand::along(now, draft, vec![self.flow], &mut context);
        self.errand = Some(errand);
        self.drain_errand(now);
    }

    fn with_errand(&mut self, now: Instant, act: impl FnOnce(&mut Errand, &mut ClientContext<'_>)) {
        if let Some(errand) = &mut self.errand {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            act(errand, &mut context);
        }
        self.drain_errand(now);
    }

    fn drain_errand(&mut self, now: Instant) {
        while let Some(output) = self.errand.as_mut().and_then(Errand::poll_output) {
            match output {
                ErrandOutput::Transmit(transmit) => self.outbox.transmit(transmit),
                ErrandOutput::Notice(text) => self.outbox.event(NotifierEvent::Notice(text)),
                // Its owner begins anew with another login.
                ErrandOutput::LoginWanted(_) | ErrandOutput::LoginSettled { .. } => {}
                ErrandOutput::Done(end) => {
                    self.errand = None;
                    self.on_notified(now, end);
                }
            }
        }
    }

    fn on_notified(&mut self, now: Instant, end: ErrandEnd) {
        let fault = match answer_of(end) {
            Ok(answered) if answered.response.status.is_success() => {
                self.retry = None;
                self.dialog.refresh_target(&answered.response.headers);
                match self.ending.take_if(|ending| ending.told) {
                    Some(ending) => self.end(ending.end),
                    None => self.act(now),
                }
                return;
            }
            Ok(answered) => Fault::of_answer(&answered),
            Err(fault) => fault,
        };
        let unsent = matches!(fault, Fault::Request(RequestFailure::Transport { .. }));
        if let Some(draft) = self.retry.take_if(|_| unsent) {
            // The flow is gone: by the path that the dialog names.
            self.resolve_counter += 1;
            let id = ResolveId(self.resolve_counter);
            let hop = self.dialog.next_hop().clone();
            self.errand = Some(Errand::resolving(id, &hop, draft, None));
            self.outbox.resolve(id, hop, self.config.transport);
            return;
        }
        let told = self.ending.take_if(|ending| ending.told);
        match (told, fault.retry_after()) {
            // Whoever does not hear the end has ended all the same.
            (Some(ending), _) => self.end(ending.end),
            // RFC 6665 §4.2.2: with a Retry-After it has not failed yet.
            (None, Some(after)) if self.ending.is_none() => {
                self.due = true;
                self.not_before = Some(now + after.min(LONGEST_RETRY_AFTER));
            }
            (None, _) => self.end(NotifierEnd::Failed(fault)),
        }
    }

    fn end(&mut self, end: NotifierEnd) {
        self.over = true;
        self.asked = false;
        self.not_before = None;
        self.ending = None;
        self.outbox.event(NotifierEvent::Ended(end));
    }
}

/// A subscriber that wants to be told only later than this is told then.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Method, package and time of a SUBSCRIBE (RFC 6665 §4.2.1.1).
fn judge(
    request: &Request,
    config: &NotifierConfig,
    refuse: &impl Fn(StatusLine) -> Box<Response>,
) -> Result<(Event, Duration), Box<Response>> {
    if request.method != Method::Subscribe {
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED.into());
        response.headers.push(HeaderName::Allow, Method::Subscribe);
        return Err(response);
    }
    let event = match request.headers.event() {
        Ok(event) if event.package == config.package => event,
        _ => {
            let mut response = refuse(StatusCode::BAD_EVENT.into());
            response
                .headers
                .push(HeaderName::AllowEvents, config.package.as_str());
            return Err(response);
        }
    };
    let wanted = match request.headers.get(HeaderName::Expires) {
        None => config.usual,
        Some(_) => match request.headers.expires() {
            Ok(seconds) => Duration::from_secs(u64::from(seconds)),
            Err(error) => return Err(refuse((&error).into())),
        },
    };
    if !wanted.is_zero() && wanted < config.shortest {
        let mut response = refuse(StatusCode::INTERVAL_TOO_BRIEF.into());
        response
            .headers
            .push(HeaderName::MinExpires, config.shortest.as_secs());
        return Err(response);
    }
    Ok((event, wanted.min(config.longest)))
}

/// Whether the subscriber reads what we write; without an Accept it reads the package's own type
/// (RFC 6665 §4.2.1.1, RFC 3261 §20.1).
fn accepts(
    request: &Request,
    config: &NotifierConfig,
    refuse: &impl Fn(StatusLine) -> Box<Response>,
) -> Result<(), Box<Response>> {
    let accept = request.headers.accept().unwrap_or_default();
    let Ok(ours) = MediaType::parse(&config.content_type) else {
        return Ok(());
    };
    let fits = |kind: &MediaType| {
        kind.is(&ours.kind, &ours.subtype) || kind.is(&ours.kind, "*") || kind.is("*", "*")
    };
    if accept.is_empty() || accept.iter().any(fits) {
        Ok(())
    } else {
        Err(refuse(StatusCode::NOT_ACCEPTABLE.into()))
    }
}
