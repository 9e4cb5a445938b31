//! The exchange: takes a message, decides what it is, and says what to send. No sockets, no clock.
//!
//! ```text
//!  REGISTER ──▶ registrar ──▶ location service
//!  a test number ──▶ a call of our own ──▶ line (echo, tone)
//!  anybody else ──▶ location, host table, Route ──▶ proxy
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sip_core::auth::Algorithm;
use sip_core::auth::server::{Verdict, Verifier};
use sip_core::call::{Call, CallConfig, CallEvent};
use sip_core::dispatch::{self, OwnerKey};
use sip_core::stateless::{self, Capabilities};
use sip_core::transaction::ServerKey;
use sip_core::{Destination, Inbound, Output, Path, Seed, Tokens, Transport, TransportError};
use sip_message::{
    HeaderName, Message, Method, NameAddr, Request, Response, StatusCode, Uri, Via,
    validate_request,
};

use crate::config::{Hosts, Users};
use crate::location::{Aor, Location};
use crate::numbers::Number;
use crate::proxy::{Context, Sending, Target};
use crate::registrar;

/// Requests under way at most.
const CONTEXTS: usize = 4_096;
/// Calls to test numbers at most.
const LINES: usize = 512;
/// How long a nonce is good for.
const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Finds the local address that leads to a remote one.
pub(crate) type SourceIp = fn(SocketAddr) -> IpAddr;

/// What an exchange wants done beside sending.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this.
    Send(Sending),
    /// A caller of a test number offers media: open a line and answer with it.
    OpenLine {
        line: LineId,
        number: Number,
        offer: Option<Vec<u8>>,
        local: IpAddr,
    },
    /// The answer of a caller whom we had to make the offer.
    LineAnswered { line: LineId, answer: Vec<u8> },
    /// A caller changes the media of a line.
    ChangeLine {
        line: LineId,
        offer: Option<Vec<u8>>,
    },
    /// The call is over.
    CloseLine { line: LineId },
    /// Something for the log.
    Log(String),
}

/// One call to a test number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineId(pub(crate) u64);

/// The exchange.
pub(crate) struct Exchange {
    users: Users,
    hosts: Hosts,
    listening: Vec<(Transport, SocketAddr)>,
    source_ip: SourceIp,
    tokens: Tokens,
    www: Verifier,
    proxy: Verifier,
    location: Location,
    contexts: HashMap<u64, Context>,
    /// Contexts by the request they were made for, and by the branches of its copies.
    by_request: HashMap<ServerKey, u64>,
    by_branch: HashMap<String, u64>,
    /// Contexts by their deadlines.
    alarms: BTreeSet<(Instant, u64)>,
    /// Contexts that were told something since they were last asked.
    touched: Vec<u64>,
    next_context: u64,
    lines: HashMap<LineId, Line>,
    next_line: u64,
    capabilities: Capabilities,
    actions: Vec<Action>,
}

struct Line {
    call: Call,
    number: Number,
    server_key: Option<ServerKey>,
    owner_key: OwnerKey,
    local: IpAddr,
    up: bool,
    deadline: Option<Instant>,
}

impl Exchange {
    pub(crate) fn new(
        users: Users,
        hosts: Hosts,
        realm: &str,
        listening: Vec<(Transport, SocketAddr)>,
        source_ip: SourceIp,
        seed: &Seed,
    ) -> Self {
        let mut tokens = Tokens::new(seed);
        let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        let verifier =
            |proxy, seed: &Seed| Verifier::new(realm, algorithms.clone(), proxy, NONCE_LIFE, seed);
        Self {
            www: verifier(false, &tokens.seed()),
            proxy: verifier(true, &tokens.seed()),
            users,
            hosts,
            listening,
            source_ip,
            tokens,
            location: Location::default(),
            contexts: HashMap::new(),
            by_request: HashMap::new(),
            by_branch: HashMap::new(),
            alarms: BTreeSet::new(),
            touched: Vec::new(),
            next_context: 1,
            lines: HashMap::new(),
            next_line: 1,
            capabilities: Capabilities {
                user_agent: concat!("Tipring switchboard/", env!("CARGO_PKG_VERSION")).to_owned(),
                ..Capabilities::default()
            },
            actions: Vec::new(),
        }
    }

    /// Takes a message.
    pub(crate) fn handle_message(&mut self, now: Instant, message: Message, inbound: Inbound) {
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
        if let Some(context) = self
            .by_branch
            .get(branch)
            .and_then(|id| self.contexts.get_mut(id))
        {
            context.handle_transport_error(now, branch, error);
            self.touched.extend(self.by_branch.get(branch));
        }
        for line in self.lines.values_mut() {
            line.call.handle_transport_error(now, branch, error.clone());
        }
        self.settle(now);
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
        for line in self
            .lines
            .values_mut()
            .filter(|line| line.deadline.is_some_and(|at| at <= now))
        {
            line.call.handle_timeout(now);
        }
        self.settle(now);
    }

    /// The line of a test number has its session description.
    pub(crate) fn answer_line(
        &mut self,
        now: Instant,
        line: LineId,
        body: Result<Vec<u8>, StatusCode>,
    ) {
        if let Some(entry) = self.lines.get_mut(&line) {
            let result = match (body, entry.up) {
                (Ok(body), false) => entry.call.answer(now, body),
                (Ok(body), true) => entry.call.accept_offer(now, body),
                (Err(status), false) => entry.call.reject(now, status),
                (Err(status), true) => entry.call.reject_offer(now, status),
            };
            if let Err(error) = result {
                self.actions
                    .push(Action::Log(format!("line {}: {error}", line.0)));
            }
        }
        self.settle(now);
    }

    /// What is to be done, in order.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let contexts = self.alarms.first().map(|(at, _)| *at);
        let lines = self.lines.values().filter_map(|line| line.deadline).min();
        [contexts, lines, self.location.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// How much is under way: contexts, lines, bindings.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.contexts.len(), self.lines.len(), self.location.len()]
    }

    fn on_request(&mut self, now: Instant, mut request: Request, inbound: Inbound) {
        dispatch::mark_received(&mut request, &inbound);
        let Some(key) = ServerKey::of(&request) else {
            return;
        };
        if request.method == Method::Cancel {
            return self.on_cancel(now, request, inbound, &key);
        }
        if let Some(context) = self.context_of(&key) {
            return context.handle_request(now, &request);
        }
        if let Some(line) = self.line_of(&key, &request) {
            return line.call.handle_request(now, request, inbound);
        }
        if let Err(error) = validate_request(&request) {
            if request.method != Method::Ack {
                let mut response =
                    stateless::response(&request, error.status, Some(&self.tokens.tag()));
                response.reason = error.phrase();
                self.send_response(&inbound, &response);
            }
            return;
        }
        if request.method == Method::Ack {
            return self.forward_ack(request, inbound);
        }
        if self.contexts.len() >= CONTEXTS {
            return self.refuse(&request, &inbound, StatusCode::SERVICE_UNAVAILABLE);
        }
        let mut context = Context::new(now, request, inbound, key.clone());
        if let Some(fate) = self.decide(now, &mut context, inbound) {
            match fate {
                Fate::Answer(response) => context.respond(now, *response),
                Fate::Forward(targets) => context.fork(now, targets),
            }
            let id = self.next_context;
            self.next_context += 1;
            self.by_branch
                .extend(context.branches().map(|branch| (branch.to_owned(), id)));
            self.by_request.insert(key, id);
            self.contexts.insert(id, context);
            self.touched.push(id);
        }
    }

    /// The context that a request belongs to; it will be asked what to send.
    fn context_of(&mut self, key: &ServerKey) -> Option<&mut Context> {
        let id = *self.by_request.get(key)?;
        self.touched.push(id);
        self.contexts.get_mut(&id)
    }

    fn line_of(&mut self, key: &ServerKey, request: &Request) -> Option<&mut Line> {
        let owner = dispatch::request_owner(request);
        self.lines.values_mut().find(|line| {
            line.server_key.as_ref() == Some(key) || owner.as_ref() == Some(&line.owner_key)
        })
    }

    fn on_cancel(&mut self, now: Instant, request: Request, inbound: Inbound, key: &ServerKey) {
        if let Some(line) = self.line_of(key, &request) {
            return line.call.handle_request(now, request, inbound);
        }
        let status = match self.context_of(key) {
            Some(context) => {
                context.handle_cancel(now);
                StatusCode::OK
            }
            None => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
        };
        self.refuse(&request, &inbound, status);
    }

    fn on_response(&mut self, now: Instant, response: Response, inbound: Inbound) {
        if let Some(key) = dispatch::response_owner(&response)
            && let Some(line) = self.lines.values_mut().find(|line| line.owner_key == key)
        {
            return line.call.handle_response(now, response, inbound);
        }
        // Responses carry our Via and all of the caller's; transactions want only ours.
        let Ok(via) = response.headers.via_top() else {
            return;
        };
        let Some(branch) = via.branch() else { return };
        let Some(id) = self.by_branch.get(branch).copied() else {
            return;
        };
        if let Some(context) = self.contexts.get_mut(&id) {
            context.handle_response(now, response);
            self.touched.push(id);
        }
    }

    /// What becomes of a new request; `None` when it became a line.
    fn decide(&mut self, now: Instant, context: &mut Context, inbound: Inbound) -> Option<Fate> {
        let request = context.request().clone();
        if request.headers.max_forwards().is_ok_and(|hops| hops == 0) {
            return self.answer(&request, StatusCode::TOO_MANY_HOPS);
        }
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        if request.method == Method::Register {
            return self.register(now, &request, inbound);
        }
        if let Some(fate) = self.follow_route(&request, inbound) {
            return fate;
        }
        if in_dialog {
            return self.answer(&request, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
        }
        if request.method == Method::Options && request.uri.user.is_none() {
            return self.answer(&request, StatusCode::OK);
        }
        if let Some(fate) = self.challenge(now, &request) {
            return fate;
        }
        let user = request.uri.user_decoded().unwrap_or_default();
        let bindings = self.find_bindings(now, &request.uri);
        if !bindings.is_empty() {
            let targets = bindings
                .into_iter()
                .filter_map(|binding| {
                    self.target(
                        &request,
                        Some(binding.contact),
                        binding.inbound.destination(),
                        inbound,
                    )
                })
                .collect::<Vec<_>>();
            return Some(Fate::Forward(targets));
        }
        if let Some(number) = Number::dialled(&user) {
            return self.dial_number(now, request, inbound, number);
        }
        let host = request
            .uri
            .sip_host()
            .map(ToString::to_string)
            .unwrap_or_default();
        if let Some(addr) = self.hosts.find(&host).filter(|addr| !self.is_ours(addr)) {
            let destination = Destination::Path(self.path_to(Transport::Udp, addr));
            let target = self.target(&request, None, destination, inbound)?;
            return Some(Fate::Forward(vec![target]));
        }
        let status = if self.users.knows(&user) {
            StatusCode::TEMPORARILY_UNAVAILABLE
        } else {
            StatusCode::NOT_FOUND
        };
        self.answer(&request, status)
    }

    fn find_bindings(&mut self, now: Instant, uri: &Uri) -> Vec<crate::location::Binding> {
        let Some(aor) = Aor::of(uri) else {
            return Vec::new();
        };
        let exact = self.location.bindings(now, &aor);
        if !exact.is_empty() {
            return exact;
        }
        // Those who dial a name at our own address mean whoever has that name.
        let at_our_address = uri
            .sip_host()
            .and_then(sip_message::Host::ip)
            .is_some_and(|ip| self.is_our_ip(ip));
        if at_our_address {
            self.location.bindings_of_user(now, &aor.user)
        } else {
            Vec::new()
        }
    }

    fn register(&mut self, now: Instant, request: &Request, inbound: Inbound) -> Option<Fate> {
        let aor = request.headers.to().ok().and_then(|to| Aor::of(&to.uri));
        let Some(aor) = aor else {
            return self.answer(request, StatusCode::BAD_REQUEST);
        };
        if let Users::List(_) = &self.users {
            let users = &self.users;
            match self.www.check(now, request, |user| users.password(user)) {
                Verdict::Accepted { username } if username == aor.user => {}
                Verdict::Accepted { .. } => return self.answer(request, StatusCode::FORBIDDEN),
                Verdict::Malformed => return self.answer(request, StatusCode::BAD_REQUEST),
                verdict => {
                    let stale = verdict == Verdict::Stale;
                    let mut response = stateless::response(
                        request,
                        StatusCode::UNAUTHORIZED,
                        Some(&self.tokens.tag()),
                    );
                    for value in self.www.challenge(now, stale) {
                        response.headers.push(HeaderName::WwwAuthenticate, value);
                    }
                    return Some(Fate::Answer(Box::new(response)));
                }
            }
        }
        let tag = self.tokens.tag();
        let done = registrar::register(now, request, inbound, &aor, &mut self.location, &tag);
        self.actions.extend(done.change.map(Action::Log));
        Some(Fate::Answer(Box::new(done.response)))
    }

    /// With a list of users, calls need a login too.
    fn challenge(&mut self, now: Instant, request: &Request) -> Option<Option<Fate>> {
        if matches!(self.users, Users::Open) {
            return None;
        }
        let users = &self.users;
        match self.proxy.check(now, request, |user| users.password(user)) {
            Verdict::Accepted { .. } => None,
            Verdict::Malformed => Some(self.answer(request, StatusCode::BAD_REQUEST)),
            verdict => {
                let stale = verdict == Verdict::Stale;
                let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
                let mut response = stateless::response(request, status, Some(&self.tokens.tag()));
                for value in self.proxy.challenge(now, stale) {
                    response.headers.push(HeaderName::ProxyAuthenticate, value);
                }
                Some(Some(Fate::Answer(Box::new(response))))
            }
        }
    }

    /// Requests inside a dialog come with the Route that our Record-Route made (§16.4, §16.12).
    fn follow_route(&mut self, request: &Request, inbound: Inbound) -> Option<Option<Fate>> {
        let routes = request.headers.routes().unwrap_or_default();
        if !routes
            .first()
            .is_some_and(|route| self.is_our_route(&route.uri))
        {
            return None;
        }
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        if !in_dialog {
            // An outbound proxy's Route on a new request: we are it, and look the request up.
            return None;
        }
        let next = routes.iter().find(|route| !self.is_our_route(&route.uri));
        let hop = next.map_or(&request.uri, |route| &route.uri).clone();
        let Some(destination) = self.destination_of(&hop) else {
            return Some(self.answer(request, StatusCode::NOT_FOUND));
        };
        let target = self.target(request, None, destination, inbound)?;
        Some(Some(Fate::Forward(vec![target])))
    }

    /// The ACK of a 2xx has no transaction (§16.11): it goes its way once.
    fn forward_ack(&mut self, request: Request, inbound: Inbound) {
        let routes = request.headers.routes().unwrap_or_default();
        let next = routes.iter().find(|route| !self.is_our_route(&route.uri));
        let hop = next.map_or(&request.uri, |route| &route.uri).clone();
        let ours = routes
            .first()
            .is_some_and(|route| self.is_our_route(&route.uri));
        if !ours {
            return;
        }
        if let Some(destination) = self.destination_of(&hop)
            && let Some(target) = self.target(&request, None, destination, inbound)
        {
            let bytes = target.request.to_bytes();
            self.actions
                .push(Action::Send(Sending { destination, bytes }));
        }
    }

    /// A copy of a request for one target (§16.6).
    fn target(
        &mut self,
        request: &Request,
        uri: Option<Uri>,
        destination: Destination,
        inbound: Inbound,
    ) -> Option<Target> {
        let mut copy = request.clone();
        if let Some(uri) = uri {
            copy.uri = uri;
        }
        while copy
            .headers
            .routes()
            .ok()
            .and_then(|r| r.first().map(|r| self.is_our_route(&r.uri)))
            == Some(true)
        {
            copy.headers.remove_first(HeaderName::Route);
        }
        let hops = copy.headers.max_forwards().unwrap_or(70).checked_sub(1)?;
        copy.headers.set(HeaderName::MaxForwards, hops);
        if matches!(
            copy.method,
            Method::Invite | Method::Subscribe | Method::Refer
        ) {
            let (from, to) = (inbound.path, *destination.path());
            // Two entries when the ways differ, each with the address its side can reach.
            if from.transport != to.transport || from.local != to.local {
                copy.headers
                    .insert_first(HeaderName::RecordRoute, record_route(from));
            }
            copy.headers
                .insert_first(HeaderName::RecordRoute, record_route(to));
        }
        let branch = self.tokens.branch();
        let via = Via::parse(&destination.path().via_value(&branch)).ok()?;
        copy.headers.insert_first(HeaderName::Via, via);
        Some(Target {
            request: copy,
            branch,
            destination,
        })
    }

    fn destination_of(&self, hop: &Uri) -> Option<Destination> {
        let transport = match hop.params.get("transport") {
            Some(word) => {
                Transport::parse(word).filter(|t| matches!(t, Transport::Udp | Transport::Tcp))?
            }
            None => Transport::Udp,
        };
        let host = hop.sip_host()?;
        let addr = match host.ip() {
            Some(ip) => SocketAddr::new(ip, hop.port.unwrap_or(transport.default_port())),
            None => self.hosts.find(&host.to_string())?,
        };
        // Where a phone registered from is the better address, when it is the same phone.
        Some(Destination::Path(self.path_to(transport, addr)))
    }

    fn path_to(&self, transport: Transport, remote: SocketAddr) -> Path {
        let fits = |(t, local): &&(Transport, SocketAddr)| {
            *t == transport && local.is_ipv4() == remote.is_ipv4()
        };
        let local = self.listening.iter().find(fits).map(|(_, local)| *local);
        let port = local.map_or(transport.default_port(), |local| local.port());
        let ip = match local {
            Some(local) if !local.ip().is_unspecified() => local.ip(),
            _ => (self.source_ip)(remote),
        };
        Path {
            transport,
            remote,
            local: SocketAddr::new(ip, port),
        }
    }

    fn is_our_route(&self, uri: &Uri) -> bool {
        let Some(host) = uri.sip_host() else {
            return false;
        };
        let port = uri.port.unwrap_or(5060);
        let listening = self.listening.iter().any(|(_, local)| local.port() == port);
        let ours = match host.ip() {
            Some(ip) => self.is_our_ip(ip),
            None => self
                .hosts
                .find(&host.to_string())
                .is_some_and(|addr| self.is_ours(&addr)),
        };
        listening && ours
    }

    fn is_ours(&self, addr: &SocketAddr) -> bool {
        self.is_our_ip(addr.ip())
            && self
                .listening
                .iter()
                .any(|(_, local)| local.port() == addr.port())
    }

    fn is_our_ip(&self, ip: IpAddr) -> bool {
        self.listening.iter().any(|(_, local)| {
            local.ip() == ip
                || local.ip().is_unspecified()
                    && local.is_ipv4() == ip.is_ipv4()
                    // What is sent to one of our own addresses leaves from that address.
                    && (self.source_ip)(SocketAddr::new(ip, local.port())) == ip
        })
    }

    fn dial_number(
        &mut self,
        now: Instant,
        request: Request,
        inbound: Inbound,
        number: Number,
    ) -> Option<Fate> {
        if let Number::Status(status) = number {
            return self.answer(&request, status);
        }
        if request.method != Method::Invite {
            return self.answer(&request, StatusCode::OK);
        }
        if self.lines.len() >= LINES {
            return self.answer(&request, StatusCode::SERVICE_UNAVAILABLE);
        }
        let mut local = NameAddr::new(request.uri.clone());
        local.display = Some("Tipring switchboard".to_owned());
        let user = request.uri.user.clone().unwrap_or_default();
        let mut config = CallConfig::new(local, &user);
        config.capabilities = self.capabilities.clone();
        if number == Number::RingForEver {
            config.ring_limit = None;
        }
        let server_key = ServerKey::of(&request);
        let seed = self.tokens.seed();
        match Call::incoming(now, request, inbound, config, &seed) {
            Ok(call) => {
                let id = LineId(self.next_line);
                self.next_line += 1;
                let owner_key = call.owner_key().clone();
                let line = Line {
                    call,
                    number,
                    server_key,
                    owner_key,
                    local: inbound.path.local.ip(),
                    up: false,
                    deadline: None,
                };
                self.lines.insert(id, line);
            }
            Err(rejection) => {
                let bytes = rejection.response.to_bytes();
                self.actions.push(Action::Send(Sending {
                    destination: rejection.destination,
                    bytes,
                }));
            }
        }
        None
    }

    /// Drains contexts and lines, and drops what is over.
    fn settle(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.touched) {
            self.drain_context(now, id);
        }
        let ids: Vec<LineId> = self.lines.keys().copied().collect();
        for id in ids {
            self.drain_line(now, id);
        }
        self.lines.retain(|_, line| !line.call.is_drained());
    }

    fn drain_context(&mut self, now: Instant, id: u64) {
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        self.actions
            .extend(context.poll(now).into_iter().map(Action::Send));
        if let Some(at) = context.filed.take() {
            self.alarms.remove(&(at, id));
        }
        if context.is_over() {
            self.by_request.remove(&context.key);
            for branch in context.branches() {
                self.by_branch.remove(branch);
            }
            self.contexts.remove(&id);
        } else if let Some(at) = context.deadline() {
            context.filed = Some(at);
            self.alarms.insert((at, id));
        }
    }

    /// Polls a line dry; what it asks and tells is handled one by one, each followed by a drain.
    fn drain_line(&mut self, now: Instant, id: LineId) {
        let mut inputs = VecDeque::new();
        loop {
            let Some(line) = self.lines.get_mut(&id) else {
                return;
            };
            match line.call.poll_output() {
                Output::Transmit(transmit) => {
                    let sending = Sending {
                        destination: transmit.destination,
                        bytes: transmit.bytes,
                    };
                    self.actions.push(Action::Send(sending));
                }
                Output::Resolve {
                    id: question,
                    uri,
                    transport,
                } => {
                    let path = self.resolve(&uri, transport);
                    inputs.push_back(LineInput::Resolved(question, path));
                }
                Output::Event(event) => inputs.push_back(LineInput::Event(event)),
                Output::Deadline(deadline) => {
                    line.deadline = deadline;
                    match inputs.pop_front() {
                        Some(input) => self.on_line_input(now, id, input),
                        None => return,
                    }
                }
            }
        }
    }

    fn resolve(&self, uri: &Uri, transport: Option<Transport>) -> Option<Path> {
        match self.destination_of(uri)? {
            Destination::Path(path) => Some(transport.map_or(path, |t| path.over(t))),
            Destination::Flow { path, .. } => Some(path),
        }
    }

    fn on_line_input(&mut self, now: Instant, id: LineId, input: LineInput) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        match input {
            LineInput::Resolved(question, path) => {
                let result = path
                    .map(|path| vec![path])
                    .ok_or_else(|| sip_core::ResolveError::NotFound("no address".to_owned()));
                line.call.handle_resolved(now, question, result);
            }
            LineInput::Event(CallEvent::Offer { body }) => self.on_line_offer(now, id, Some(body)),
            LineInput::Event(CallEvent::OfferWanted) => self.on_line_offer(now, id, None),
            LineInput::Event(CallEvent::Answer { body, .. }) => {
                self.actions.push(Action::LineAnswered {
                    line: id,
                    answer: body,
                });
            }
            LineInput::Event(CallEvent::Established) => line.up = true,
            LineInput::Event(CallEvent::Ended(_)) => {
                self.actions.push(Action::CloseLine { line: id })
            }
            LineInput::Event(_) => {}
        }
    }

    fn on_line_offer(&mut self, now: Instant, id: LineId, offer: Option<Vec<u8>>) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.up {
            self.actions.push(Action::ChangeLine { line: id, offer });
            return;
        }
        if line.call.ring(now, None).is_err() {
            return;
        }
        if line.number != Number::RingForEver {
            let (number, local) = (line.number, line.local);
            self.actions.push(Action::OpenLine {
                line: id,
                number,
                offer,
                local,
            });
        }
    }

    fn answer(&mut self, request: &Request, status: StatusCode) -> Option<Fate> {
        let response =
            stateless::respond_statelessly(request, status, &self.capabilities, &mut self.tokens);
        Some(Fate::Answer(Box::new(response)))
    }

    fn refuse(&mut self, request: &Request, inbound: &Inbound, status: StatusCode) {
        let response =
            stateless::respond_statelessly(request, status, &self.capabilities, &mut self.tokens);
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

enum LineInput {
    Event(CallEvent),
    Resolved(sip_core::ResolveId, Option<Path>),
}

/// What becomes of a new request.
enum Fate {
    Answer(Box<Response>),
    Forward(Vec<Target>),
}

fn record_route(path: Path) -> String {
    format!(
        "<sip:{};transport={};lr>",
        path.local,
        path.transport.as_str()
    )
}
