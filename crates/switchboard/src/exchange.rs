//! The exchange: takes a message, decides what it is, and says what to send. No sockets, no clock.
//!
//! ```text
//!  REGISTER ──▶ registrar ──▶ location service
//!  a test number ──▶ a call of our own ──▶ line (echo, tone)
//!  anybody else ──▶ location, host table, Route ──▶ proxy
//! ```

mod asks;
mod calls;
mod events;
mod keep;
mod login;
mod route;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use event_bodies::{message_summary, reg_info};
use sip_core::auth::Algorithm;
use sip_core::auth::server::Verifier;
use sip_core::dispatch;
use sip_core::stateless::{self, Capabilities};
use sip_core::transaction::ServerKey;
use sip_core::{Destination, FlowId, Inbound, Seed, Tokens, Transport, TransportError};
use sip_message::{
    HeaderName, Headers, Message, Method, Request, Response, StatusCode, validate_request,
};

pub(crate) use self::calls::LineId;
use self::calls::Lines;
use self::events::Events;
use crate::config::{Hosts, Users};
use crate::location::Location;
use crate::numbers::Number;
use crate::proxy::{Context, Sending, Target};
use crate::seal::Secret;
use crate::sources::{Loud, Source, Sources};

/// Requests under way at most: each stays for 32 s after its end, and a call makes three.
const CONTEXTS: usize = 32_768;
/// Room for requests under way that is made at once: fifty calls a second. Tables that grow while requests come and
/// go do so late, and memory is then seen to rise under a load that is even.
const REQUESTS_AT_FIRST: usize = 8_192;
/// Connections known to live at most.
const LIVE: usize = 65_536;
/// What all of them hold at most, in bytes.
const CONTEXT_BYTES: usize = 128 << 20;
/// How long a nonce is good for.
const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Finds the local address that leads to a remote one.
pub(crate) type SourceIp = fn(SocketAddr) -> IpAddr;

/// What an exchange wants done beside sending.
pub(crate) enum Action {
    /// Send this.
    Send(Sending),
    /// A caller of a test number offers media: open a line and answer with it.
    OpenLine {
        line: LineId,
        number: Number,
        offer: Option<Vec<u8>>,
        /// The address that the caller came to.
        local: IpAddr,
        /// The address that the caller came from.
        peer: IpAddr,
    },
    /// The answer of a caller whom we had to make the offer.
    LineAnswered { line: LineId, answer: Vec<u8> },
    /// A caller changes the media of a line.
    ChangeLine {
        line: LineId,
        offer: Option<Vec<u8>>,
    },
    /// A digit came in an INFO.
    PlayDigit { line: LineId, digit: char },
    /// The call is over.
    CloseLine { line: LineId },
    /// A connection is closed, as if it had broken.
    CloseFlow { flow: FlowId },
    /// Something for the log.
    Log(String),
}

/// The exchange.
pub(crate) struct Exchange {
    users: Users,
    hosts: Hosts,
    realm: String,
    listening: Vec<(Transport, SocketAddr)>,
    source_ip: SourceIp,
    tokens: Tokens,
    /// What our flow tokens and loop marks are made with.
    secret: Secret,
    /// Who sends how much.
    sources: Sources,
    /// Connections that something came by and that have not ended.
    live: HashSet<FlowId>,
    www: Verifier,
    proxy: Verifier,
    location: Location,
    /// Each in a place of its own: a table whose entries come and go doubles now and then though they
    /// are no more than before, and must be small for that.
    contexts: HashMap<u64, Box<Context>>,
    /// Contexts by the request they were made for, and by the branches of its copies.
    by_request: HashMap<ServerKey, u64>,
    by_branch: HashMap<String, u64>,
    /// Contexts by their deadlines.
    alarms: BTreeSet<(Instant, u64)>,
    /// Contexts that were told something since they were last asked.
    touched: Vec<u64>,
    /// Contexts that we have answered to strangers ourselves, the oldest first, and which are there in
    /// case the request is repeated.
    answered: VecDeque<u64>,
    next_context: u64,
    /// Bytes that the contexts hold.
    held: usize,
    lines: Lines,
    events: Events,
    /// By whose password the request at hand came.
    login: Option<String>,
    capabilities: Capabilities,
    tally: Tally,
    actions: Vec<Action>,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    looked_at: u64,
    refused_full: u64,
    not_relayed: u64,
}

/// How much there is, and what was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests under way, those included whose answer may have to be repeated.
    pub requests: usize,
    /// Calls to test numbers, until the last message of them may have to be repeated.
    pub lines: usize,
    /// Places where somebody can be reached.
    pub bindings: usize,
    /// Subscriptions to what the switchboard tells.
    pub subscriptions: usize,
    /// Messages that were looked at.
    pub looked_at: u64,
    /// Messages that were dropped because their source sent too many.
    pub dropped: u64,
    /// Requests that were refused because their source, or everybody, had too much under way.
    pub refused_full: u64,
    /// Requests that wanted to be carried to somebody whom nobody may be reached through us.
    pub not_relayed: u64,
    /// Bindings that made room for others of the same source.
    pub evicted: u64,
    /// Packets to encrypted test numbers that were not made with the agreed key, those in the clear among them.
    pub media_forged: u64,
    /// Packets to encrypted test numbers that had come before.
    pub media_replayed: u64,
}

impl Exchange {
    pub(crate) fn new(
        users: Users,
        hosts: Hosts,
        (realm, md5_only): (&str, bool),
        listening: Vec<(Transport, SocketAddr)>,
        source_ip: SourceIp,
        seed: &Seed,
    ) -> Self {
        let mut tokens = Tokens::new(seed);
        let mut algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        if md5_only {
            algorithms.retain(|algorithm| *algorithm == Algorithm::Md5);
        }
        let verifier =
            |proxy, seed: &Seed| Verifier::new(realm, algorithms.clone(), proxy, NONCE_LIFE, seed);
        Self {
            www: verifier(false, &tokens.seed()),
            proxy: verifier(true, &tokens.seed()),
            location: match users {
                Users::Open => Location::open(),
                Users::List(_) => Location::default(),
            },
            users,
            hosts,
            realm: realm.to_owned(),
            listening,
            source_ip,
            secret: Secret::new(tokens.seed()),
            sources: Sources::new(u64::from(tokens.cseq()) << 32 | u64::from(tokens.cseq())),
            live: HashSet::new(),
            tokens,
            contexts: HashMap::with_capacity(REQUESTS_AT_FIRST),
            by_request: HashMap::with_capacity(REQUESTS_AT_FIRST),
            by_branch: HashMap::with_capacity(REQUESTS_AT_FIRST),
            alarms: BTreeSet::new(),
            touched: Vec::new(),
            answered: VecDeque::new(),
            next_context: 1,
            held: 0,
            lines: Lines::default(),
            events: Events::default(),
            login: None,
            capabilities: capabilities(),
            tally: Tally::default(),
            actions: Vec::new(),
        }
    }

    /// Whether this message is looked at: those who send too many are not heard, and not answered
    /// either.
    pub(crate) fn admits(&mut self, now: Instant, inbound: &Inbound, message: &[u8]) -> bool {
        let is_guest = self.location.knows_source(inbound.path.remote.ip());
        let admitted = self
            .sources
            .admit(now, Source::of(inbound), is_guest, message);
        self.tally.looked_at += u64::from(admitted);
        admitted
    }

    /// Takes a message that was admitted.
    pub(crate) fn handle_message(&mut self, now: Instant, message: Message, inbound: Inbound) {
        if inbound.path.transport.is_reliable() && self.live.len() < LIVE {
            self.live.insert(inbound.flow);
        }
        match message {
            Message::Request(request) => self.on_request(now, request, inbound),
            Message::Response(response) => self.on_response(now, response, inbound),
        }
        self.settle(now);
    }

    /// Takes the news that something could not be sent.
    pub(crate) fn handle_transport_error(
        &mut self,
        now: Instant,
        branch: &str,
        error: &TransportError,
    ) {
        let context = self.by_branch.get(branch).copied();
        match context.and_then(|id| Some((id, self.contexts.get_mut(&id)?))) {
            Some((id, context)) => {
                context.handle_transport_error(now, branch, error);
                self.touched.push(id);
            }
            None => {
                self.lines.handle_transport_error(now, branch, error);
                self.events.handle_transport_error(now, branch, error);
            }
        }
        self.settle(now);
    }

    /// Takes the news that a connection is gone.
    pub(crate) fn handle_flow_closed(&mut self, flow: FlowId) {
        self.live.remove(&flow);
        self.location.forget_flow(flow);
    }

    /// Lets due timers fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.location.expire(now);
        let due: Vec<u64> = self
            .alarms
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            if let Some(context) = self.contexts.get_mut(&id) {
                context.handle_timeout(now);
                self.touched.push(id);
            }
        }
        self.handle_line_timeouts(now);
        self.events.handle_timeout(now);
        self.settle(now);
    }

    /// What is to be done, in order.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let contexts = self.alarms.first().map(|(at, _)| *at);
        let others = [
            self.lines.deadline(),
            self.events.deadline(),
            self.location.deadline(),
        ];
        [contexts].into_iter().chain(others).flatten().min()
    }

    /// How much there is, and what was counted.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            requests: self.contexts.len(),
            lines: self.lines.len(),
            bindings: self.location.len(),
            subscriptions: self.events.len(),
            looked_at: self.tally.looked_at,
            dropped: self.sources.dropped(),
            refused_full: self.tally.refused_full,
            not_relayed: self.tally.not_relayed,
            evicted: self.location.evicted(),
            // Media is known to the lines alone.
            media_forged: 0,
            media_replayed: 0,
        }
    }

    /// Of whom most was dropped since this was last asked, and how much.
    pub(crate) fn take_loudest(&mut self) -> Option<Loud> {
        self.sources.take_loudest()
    }

    /// About how many bytes the requests under way hold.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The bindings of an address of record.
    #[cfg(test)]
    pub(crate) fn record_of(&self, aor: &crate::Aor) -> &[crate::Binding] {
        self.location.record_of(aor)
    }

    fn on_request(&mut self, now: Instant, mut request: Request, inbound: Inbound) {
        dispatch::mark_received(&mut request, &inbound);
        let Some(key) = ServerKey::of(&request) else {
            return;
        };
        if request.method == Method::Cancel {
            return self.on_cancel(now, request, inbound, &key);
        }
        let is_ack = request.method == Method::Ack;
        if let Some(context) = self.context_of(&key) {
            // RFC 6026 §7.1: the ACK of a 2xx is not ours, even when it has the INVITE's branch.
            if !(is_ack && context.is_accepted()) {
                return context.handle_request(now, &request);
            }
        }
        let answer_to = way_back(&request.headers, inbound);
        if self.misbehave(now, &key, &request, &answer_to) {
            return;
        }
        self.believe_tags(now, &request, &inbound);
        if let Some(call) = self.lines.find_for(&key, &request) {
            return call.handle_request(now, request, answer_to);
        }
        if let Some(notifier) = self.events.find_for(&key, &request) {
            return notifier.handle_request(now, &request, &answer_to);
        }
        if let Err(error) = validate_request(&request) {
            if !is_ack {
                let mut response = stateless::respond_statelessly(
                    &request,
                    error.status,
                    &self.capabilities,
                    &self.tokens,
                );
                response.reason = error.phrase();
                self.send_response(&answer_to, &response);
            }
            return;
        }
        self.undo_strict_routing(&mut request);
        self.believe_route(now, &request, &inbound);
        if is_ack {
            return self.forward_ack(&request, answer_to);
        }
        let Some(fate) = self.decide(now, request.clone(), answer_to) else {
            return;
        };
        let copies = match &fate {
            // RFC 3261 §8.2.7: what nobody vouches for is answered and forgotten; a repeat finds the
            // same answer.
            Fate::Refuse(response) => return self.send_response(&answer_to, response),
            Fate::Answer(_) => 0,
            Fate::Forward(targets) => targets.iter().map(|t| 1 + t.spares.len()).sum(),
        };
        let octets = Context::weight_of(request.to_bytes().len(), copies);
        let is_invite = request.method == Method::Invite;
        let Some(charge) = self.charge(now, &answer_to, octets, is_invite) else {
            let response = self.no_room(&request);
            return self.send_response(&answer_to, &response);
        };
        let watched = self.watch(now, &request, copies);
        let tag = self.tokens.tag();
        let mut context = Context::new(now, request, answer_to, key.clone(), tag);
        match fate {
            Fate::Answer(response) | Fate::Refuse(response) => context.respond(now, *response),
            Fate::Forward(targets) => context.fork(now, targets),
        }
        let id = self.next_context;
        self.next_context += 1;
        self.by_branch
            .extend(context.branches().map(|branch| (branch.to_owned(), id)));
        self.by_request.insert(key, id);
        self.held += octets;
        if charge.is_strangers() && copies == 0 && !is_invite {
            self.remember_answered(id);
        }
        context.charge = Some(charge);
        context.watched = watched;
        self.contexts.insert(id, Box::new(context));
        self.touched.push(id);
    }

    /// The context that a request belongs to; it will be asked what to send.
    fn context_of(&mut self, key: &ServerKey) -> Option<&mut Context> {
        let id = *self.by_request.get(key)?;
        self.touched.push(id);
        self.contexts.get_mut(&id).map(Box::as_mut)
    }

    /// §9.2 and §16.10. The answer has the same To tag for each repeat.
    fn on_cancel(&mut self, now: Instant, request: Request, inbound: Inbound, key: &ServerKey) {
        let answer_to = way_back(&request.headers, inbound);
        if self.misbehave(now, key, &request, &answer_to) {
            return;
        }
        if let Some(call) = self.lines.find_for(key, &request) {
            return call.handle_request(now, request, answer_to);
        }
        let Some(context) = self.context_of(key) else {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.refuse(&request, &answer_to, status);
        };
        context.handle_cancel(now, &request);
        let response = stateless::response(&request, StatusCode::OK, Some(context.tag()));
        self.send_response(&answer_to, &response);
    }

    fn on_response(&mut self, now: Instant, mut response: Response, inbound: Inbound) {
        if self.take_answer_to_ask(now, &response, &inbound) {
            return;
        }
        self.believe_answer(now, &response, &inbound);
        if let Some(call) = self.lines.find_asker(&response) {
            return call.handle_response(now, response, inbound);
        }
        if let Some(notifier) = self.events.find_asker(&response) {
            return notifier.handle_response(now, &response, &inbound);
        }
        // Responses carry our Via and all of the caller's; transactions want only ours.
        let Ok(via) = response.headers.via_top() else {
            return;
        };
        let Some(branch) = via.branch() else { return };
        let Some(id) = self.by_branch.get(branch).copied() else {
            return;
        };
        // RFC 3325 §5 holds for answers as well.
        self.take_unvouched(&mut response.headers, &inbound);
        if let Some(context) = self.contexts.get_mut(&id) {
            context.handle_response(now, response);
            self.touched.push(id);
        }
    }

    /// What becomes of a new request; `None` when it became a line.
    fn decide(&mut self, now: Instant, mut request: Request, answer_to: Inbound) -> Option<Fate> {
        self.login = None;
        if let Some(refused) = self.refuse_unfit(&request) {
            return Some(refused);
        }
        if let Some(fate) = self.follow_route(&request, answer_to) {
            return Some(fate);
        }
        let elsewhere = self.elsewhere(&request);
        if request.method == Method::Register && elsewhere.is_none() {
            return Some(self.register(now, &request, answer_to));
        }
        if request.method == Method::Options && request.uri.user.is_none() && elsewhere.is_none() {
            // §8.2.2.3: this one is for us.
            let fits = self.capabilities.unsupported(&request).is_empty();
            let status = if fits {
                StatusCode::OK
            } else {
                StatusCode::BAD_EXTENSION
            };
            return Some(self.answer(&request, status));
        }
        if let Some(challenge) = self.challenge(now, &request, &answer_to) {
            return Some(challenge);
        }
        self.take_own_credentials(&mut request);
        let fate = self.serve(now, request, answer_to, elsewhere)?;
        Some(match fate {
            // Who knows a password is worth remembering what it was told.
            Fate::Refuse(response) if matches!(self.users, Users::List(_)) => {
                Fate::Answer(response)
            }
            fate => fate,
        })
    }

    /// Lamps are to show a call that is carried from here on; a BYE that is carried puts them out.
    fn watch(
        &mut self,
        now: Instant,
        request: &Request,
        copies: usize,
    ) -> Option<(String, String)> {
        let headers = &request.headers;
        if copies == 0 || !matches!(request.method, Method::Invite | Method::Bye) {
            return None;
        }
        let call_id = headers.get(HeaderName::CallId)?.to_owned();
        let (from, to) = (headers.from().ok()?, headers.to().ok()?);
        let tags = [from.tag(), to.tag()];
        if request.method == Method::Bye {
            for tag in tags.into_iter().flatten() {
                self.events.end_call(&(call_id.clone(), tag.to_owned()));
            }
            return None;
        }
        if to.tag().is_some() {
            return None;
        }
        let (caller, callee) = (self.whose(now, &from.uri)?, self.whose(now, &request.uri)?);
        let key = (call_id, from.tag()?.to_owned());
        self.events.begin_call(now, key.clone(), caller, callee);
        Some(key)
    }

    /// Where the host table leads a request: by its next Route that is not ours, or by its request
    /// URI.
    fn elsewhere(&self, request: &Request) -> Option<Destination> {
        let next = self.next_route(request);
        self.table_destination(next.as_ref().unwrap_or(&request.uri))
    }

    /// What the switchboard tells of its users, and takes from them.
    fn serve_events(&mut self, now: Instant, request: &Request, answer_to: Inbound) -> Served {
        let package = Self::package_of(request);
        if request.method == Method::Subscribe && package.is_none() {
            return Served::Not;
        }
        if Self::is_quality_report(request) {
            // RFC 6035 §4.9: nobody's state; whoever may speak here may tell how a call sounded.
            return Served::Fate(self.take_quality_report(request));
        }
        let Some(entity) = self.whose(now, &request.uri) else {
            return Served::Fate(self.answer(request, StatusCode::NOT_FOUND));
        };
        if let Users::List(_) = &self.users {
            // Waiting messages, where one's phones are (RFC 3680 §4.4) and what is published are one's own.
            let own_alone = [message_summary::PACKAGE, reg_info::PACKAGE];
            let own = package.is_none_or(|package| own_alone.contains(&package));
            let asks = self.login.clone();
            if own && asks.as_deref() != Some(entity.user.as_str()) {
                return Served::Fate(self.answer(request, StatusCode::FORBIDDEN));
            }
            if !self.users.knows(&entity.user) {
                return Served::Fate(self.answer(request, StatusCode::NOT_FOUND));
            }
        }
        let fate = match package {
            Some(package) => self.subscribe(now, request, answer_to, entity, package),
            None => Some(self.publish(now, request, &entity)),
        };
        fate.map_or(Served::Taken, Served::Fate)
    }

    /// A request whose sender may send it.
    fn serve(
        &mut self,
        now: Instant,
        request: Request,
        answer_to: Inbound,
        elsewhere: Option<Destination>,
    ) -> Option<Fate> {
        if elsewhere.is_none() && matches!(request.method, Method::Subscribe | Method::Publish) {
            match self.serve_events(now, &request, answer_to) {
                Served::Not => {}
                Served::Taken => return None,
                Served::Fate(fate) => return Some(fate),
            }
        }
        if elsewhere.is_none()
            && request.method != Method::Register
            && let Some((aor, bindings)) = self.find_bindings(now, &request.uri)
        {
            let targets = self.targets_of(&request, &aor, bindings, answer_to);
            return Some(Fate::Forward(targets));
        }
        if let Some(destination) = elsewhere {
            let hop = self.hop(destination, None, &request.uri);
            let target = self.target(&request, None, hop, answer_to);
            return Some(Fate::Forward(target.into_iter().collect()));
        }
        let user = request.uri.user_decoded().unwrap_or_default();
        if let Some(number) = Number::dialled(&user) {
            return self.dial_number(now, request, answer_to, number);
        }
        // A Contact as somebody registered it, e.g. one that a transfer names.
        if let Some((aor, inbound)) = self.location.way_to(&request.uri).cloned()
            && !self.is_ours(&inbound.path.remote)
        {
            let hop = self.hop(inbound.destination(), Some(&aor), &request.uri);
            let target = self.target(&request, None, hop, answer_to);
            return Some(Fate::Forward(target.into_iter().collect()));
        }
        let status = if self.users.knows(&user) {
            StatusCode::TEMPORARILY_UNAVAILABLE
        } else {
            StatusCode::NOT_FOUND
        };
        Some(self.answer(&request, status))
    }

    /// §16.3: what no proxy may handle.
    fn refuse_unfit(&mut self, request: &Request) -> Option<Fate> {
        let headers = &request.headers;
        let status = if request.uri.sip_host().is_none() {
            StatusCode::UNSUPPORTED_URI_SCHEME
        } else if headers.max_forwards().is_ok_and(|hops| hops == 0) {
            StatusCode::TOO_MANY_HOPS
        } else if self.has_looped(request) {
            StatusCode::LOOP_DETECTED
        } else if headers.has(HeaderName::ProxyRequire) {
            let mut response = stateless::respond_statelessly(
                request,
                StatusCode::BAD_EXTENSION,
                &self.capabilities,
                &self.tokens,
            );
            response.headers.remove(HeaderName::Unsupported);
            for value in headers.get_all(HeaderName::ProxyRequire) {
                response.headers.push(HeaderName::Unsupported, value);
            }
            return Some(Fate::Refuse(Box::new(response)));
        } else {
            return None;
        };
        Some(self.answer(request, status))
    }

    /// Somebody wanted to be carried where nobody may be carried to.
    fn not_relayed(&mut self) {
        self.tally.not_relayed += 1;
    }

    /// Drains what was touched, and drops what is over.
    fn settle(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.touched) {
            self.drain_context(now, id);
        }
        self.drain_lines(now);
        self.drain_events(now);
    }

    fn answer(&mut self, request: &Request, status: StatusCode) -> Fate {
        let response =
            stateless::respond_statelessly(request, status, &self.capabilities, &self.tokens);
        Fate::Refuse(Box::new(response))
    }

    fn refuse(&mut self, request: &Request, inbound: &Inbound, status: StatusCode) {
        let response =
            stateless::respond_statelessly(request, status, &self.capabilities, &self.tokens);
        self.send_response(inbound, &response);
    }

    fn send_response(&mut self, inbound: &Inbound, response: &Response) {
        let sending = Sending {
            destination: inbound.destination(),
            bytes: response.to_bytes(),
        };
        self.actions.push(Action::Send(sending));
    }
}

/// What came of a request that the switchboard might serve itself.
enum Served {
    Not,
    Taken,
    Fate(Fate),
}

/// What the switchboard can do itself.
fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities {
        user_agent: concat!("Tipring switchboard/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Capabilities::default()
    }
    .with_notifier(&events::packages());
    let more = [Method::Register, Method::Message, Method::Publish];
    capabilities.allow.extend(more);
    let extensions = ["path", "outbound", "gruu"];
    capabilities.supported.extend(extensions.map(str::to_owned));
    capabilities
}

/// What becomes of a new request.
enum Fate {
    /// Answered, and forgotten.
    Refuse(Box<Response>),
    /// Answered, and the answer kept for repeats.
    Answer(Box<Response>),
    /// Carried on.
    Forward(Vec<Target>),
}

impl Fate {
    /// Adds a header to an answer.
    fn add(&mut self, name: HeaderName, value: &str) {
        if let Self::Refuse(response) | Self::Answer(response) = self {
            response.headers.push(name, value);
        }
    }

    /// Removes a header from an answer.
    fn remove(&mut self, name: HeaderName) {
        if let Self::Refuse(response) | Self::Answer(response) = self {
            response.headers.remove(name);
        }
    }
}

/// Where the answers to a request go (RFC 3261 §18.2.2, RFC 3581 §4). A datagram's sender is only
/// where it said, unless it asked for its source port; the end of a connection is found there by a
/// new one when that is gone.
pub(crate) fn way_back(headers: &Headers, mut inbound: Inbound) -> Inbound {
    let transport = inbound.path.transport;
    if let Ok(via) = headers.via_top()
        && (via.rport().is_none() || transport.is_reliable())
    {
        let port = via.port.unwrap_or(transport.default_port());
        inbound.path.remote.set_port(port);
    }
    inbound
}
