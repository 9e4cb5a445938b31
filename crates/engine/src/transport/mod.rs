//! One tenant's sockets and connections.
//!
//! ```text
//! socket task: receive, stamp the time, hold a permit ──▶ TransportActor: source rate, parse, record,
//!                                                        find the owner ──▶ the owner's mailbox
//! owner ──Send──▶ TransportActor: flow or path to a socket or connection, record ──▶ wire
//! ```
//!
//! A permit is held from the socket until the actor has handled the message, so the mailbox cannot
//! grow: when permits run out, datagrams are dropped and counted, and streams wait.
//!
//! The actor decides by keys alone. Responses and requests inside a dialog carry the Call-ID and
//! the local tag of whoever made them ([`OwnerKey`]); repeats, CANCEL and the ACK of a failure carry
//! the branch of the request they belong to ([`ServerKey`]); a new INVITE is for the account whose
//! Contact it names. What matches nothing gets one cheap answer and is counted.

mod limit;
mod places;
mod resolve;
mod sockets;
mod stream;
mod unreachable;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{AccountId, CallId, TargetView, Timestamp};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use sip_core::dispatch::{self, OwnerKey, ServerKey};
use sip_core::locate::{NextHop, RestTimes, Target, Tried};
use sip_core::stateless::{self, Capabilities};
use sip_core::{
    Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Seed, Tokens, Transmit, Transport,
    TransportError,
};
use sip_message::{HeaderName, Message, Method, Request, StatusCode, Uri, validate_request};
use tokio::sync::OwnedSemaphorePermit;
use wire::{ClientTls, Remembered, Roots, Towards};

use self::limit::SourceLimiter;
use self::places::Places;
use self::resolve::Resolver;
pub use self::resolve::{HostTable, Naming};
pub(crate) use self::sockets::KeptSockets;
use self::sockets::Sockets;
use self::stream::Connections;
use self::unreachable::{Unanswered, Undelivered};
use crate::recorder::{RecorderMsg, Wire};
use crate::shared::{self, Service};
use crate::tenant::TenantMsg;
use crate::wake::{Wake, now};

/// What we speak, best first where a domain has no order of its own.
const TRANSPORTS: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];
/// Messages between the sockets and the actor at any time.
const PERMITS: usize = 2_048;
/// How long the key of a handled request is remembered: 64·T1, after which no repeat can come.
const SERVER_KEY_LIFE: Duration = Duration::from_secs(33);
/// What WebSocket servers are asked for: some insist on it, the others take anything.
const WEBSOCKET_RESOURCE: &str = "/ws";
/// Keys of requests remembered at a time.
const SERVER_KEYS: usize = 16_384;
/// Messages kept for an owner that is being started.
const PENDING_PER_OWNER: usize = 8;

/// What a [`TransportActor`] can be told.
pub(crate) enum TransportMsg {
    /// Bytes arrived; a permit is held until they are handled.
    Received(Received),
    /// A datagram of ours found nobody; a permit is held as for what was received.
    Undelivered(Undelivered, OwnedSemaphorePermit),
    /// A connection that we opened is up or failed, or any connection ended.
    Stream(wire::Event),
    /// Send this.
    Send {
        /// Who sends, to be told when it cannot be sent.
        from: Owner,
        /// What, and where to.
        transmit: Transmit,
    },
    /// Find the places behind a next hop and tell the owner.
    Resolve {
        /// Who asks.
        owner: Owner,
        /// Which of its questions.
        id: ResolveId,
        /// The next hop.
        uri: Uri,
        /// The transport, when it is fixed.
        transport: Option<Transport>,
        /// The local address its account is bound to.
        bind: Option<SocketAddr>,
        /// How its account is a client of TLS, where it has settings for that.
        tls: Option<Arc<ClientTls>>,
    },
    /// Places were found (from the task that `Resolve` started).
    Resolved {
        /// Who asked.
        owner: Owner,
        /// Which of its questions.
        id: ResolveId,
        /// The local address its account is bound to.
        bind: Option<SocketAddr>,
        /// For which domain, and how.
        towards: Towards,
        /// What was found.
        search: resolve::Search,
    },
    /// A server failed somebody's request.
    Tried(Tried),
    /// A server holds an account's registration, or none does any more.
    Home {
        /// Whose.
        owner: Owner,
        /// Where it answered from.
        path: Option<Path>,
    },
    /// A server's rest may be over.
    Wake(u64),
    /// This owner takes what carries this key.
    Claim {
        /// Call-ID and local tag.
        key: OwnerKey,
        /// The request it was started for, if any.
        server_key: Option<ServerKey>,
        /// Who.
        owner: Owner,
    },
    /// This owner is gone.
    Release(ActorId),
    /// Nobody takes this request after all.
    TurnAway {
        request: Box<Request>,
        inbound: Inbound,
        status: StatusCode,
    },
    /// An account can be called, or how it can be called changed.
    Reachable(Reachable),
    /// An account cannot be called any more.
    Unreachable(AccountId),
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
}

/// Bytes from a socket.
pub(crate) struct Received {
    pub(crate) flow: FlowId,
    pub(crate) path: Path,
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: Instant,
    pub(crate) wall: Timestamp,
    /// Given back when the message has been handled.
    pub(crate) _room: Held,
}

/// The room that a message takes until it has been handled.
pub(crate) enum Held {
    Datagram(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit),
    Stream(#[expect(dead_code, reason = "held, not looked at")] wire::Room),
}

/// How an account can be called.
#[derive(Clone)]
pub(crate) struct Reachable {
    pub(crate) account: AccountId,
    /// The user part of the Contact we register: whoever knows it was told by our registrar.
    pub(crate) contact_user: String,
    /// The local address it wants.
    pub(crate) bind: Option<SocketAddr>,
    /// The user part of the address of record.
    pub(crate) aor_user: String,
    /// Hosts that may call the address of record itself: our registrar and proxies. `None` is
    /// anybody, for accounts that do not register and are called directly.
    pub(crate) servers: Option<HashSet<IpAddr>>,
}

/// Who owns a dialog or a registration.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) id: ActorId,
    /// For the record: whose messages these are.
    pub(crate) account: AccountId,
    /// For the record: the call they belong to, if they do.
    pub(crate) call: Option<CallId>,
    /// Whether it is an account's registration.
    registers: bool,
    deliver: Arc<dyn Fn(Delivery) -> bool + Send + Sync>,
}

impl Owner {
    /// `wrap` turns a delivery into the actor's own message.
    pub(crate) fn new<M: ractor::Message>(
        actor: &ActorRef<M>,
        account: AccountId,
        call: Option<CallId>,
        wrap: impl Fn(Delivery) -> M + Send + Sync + 'static,
    ) -> Self {
        let id = actor.get_id();
        let actor = actor.clone();
        let deliver = Arc::new(move |delivery| actor.cast(wrap(delivery)).is_ok());
        Self {
            id,
            account,
            call,
            registers: false,
            deliver,
        }
    }

    /// The same, for an account's registration.
    pub(crate) fn registering(self) -> Self {
        Self {
            registers: true,
            ..self
        }
    }

    fn deliver(&self, delivery: Delivery) {
        // An owner that ended between the look-up and the cast is released by its supervisor.
        let _ = (self.deliver)(delivery);
    }
}

/// What the transport brings to an owner.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// A message for it.
    Message {
        message: Box<Message>,
        inbound: Inbound,
        at: Instant,
    },
    /// The places behind a next hop.
    Resolved {
        id: ResolveId,
        result: Result<Vec<Path>, ResolveError>,
    },
    /// Something could not be sent.
    Unsent {
        /// Branch of its topmost Via.
        branch: String,
        error: TransportError,
    },
    /// A connection is gone.
    FlowLost(FlowId),
    /// What is known of the account's servers has changed.
    Targets(Vec<TargetView>),
    /// A server that the domain likes better can be tried again.
    BetterServer,
}

/// Owns the sockets of one tenant.
pub(crate) struct TransportActor;

/// What a [`TransportActor`] is started with.
pub(crate) struct TransportArgs {
    pub(crate) tenant: ActorRef<TenantMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
    pub(crate) sockets: KeptSockets,
    pub(crate) naming: Naming,
    pub(crate) rests: RestTimes,
    pub(crate) capabilities: Capabilities,
    pub(crate) seed: Seed,
}

/// What went by without reaching an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// No SIP at all, or too broken to answer.
    pub(crate) garbage: u64,
    /// Requests that belong to nothing of ours.
    pub(crate) strangers: u64,
    /// Responses that belong to nothing of ours.
    pub(crate) stray_responses: u64,
    /// Messages dropped because their source sends too many.
    pub(crate) flooded: u64,
}

pub(crate) struct TransportState {
    args: TransportArgs,
    sockets: Sockets,
    connections: Connections,
    /// Whom a way leads to, by whoever asked for it.
    names: HashMap<(ActorId, SocketAddr), Towards>,
    system_tls: Option<Arc<ClientTls>>,
    resolver: Resolver,
    unanswered: Unanswered<Owner>,
    places: Places,
    wake: Wake,
    limiter: SourceLimiter,
    owners: HashMap<OwnerKey, Owner>,
    /// The local tags under each Call-ID of `owners`: one, or two when both ends are ours.
    tags_of: HashMap<String, Vec<String>>,
    requests: HashMap<ServerKey, Handler>,
    request_order: VecDeque<(Instant, ServerKey)>,
    reachable: HashMap<AccountId, Reachable>,
    counters: Counters,
    capabilities: Capabilities,
    tokens: Tokens,
}

/// Who handles a request that is not in a dialog yet.
enum Handler {
    Owner(Owner),
    /// The owner is being started; what comes meanwhile is kept for it.
    Starting(Vec<Delivery>),
    /// Nobody takes it; its repeats hear the same.
    Refused(StatusCode),
}

impl Actor for TransportActor {
    type Msg = TransportMsg;
    type State = TransportState;
    type Arguments = TransportArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(TransportState {
            sockets: Sockets::new(myself.clone(), args.sockets.clone(), PERMITS),
            connections: Connections::new(myself.clone()),
            names: HashMap::new(),
            system_tls: None,
            unanswered: Unanswered::default(),
            resolver: Resolver::new(&args.naming, &shared::seed()),
            places: Places::new(args.rests),
            wake: Wake::default(),
            limiter: SourceLimiter::default(),
            owners: HashMap::new(),
            tags_of: HashMap::new(),
            requests: HashMap::new(),
            request_order: VecDeque::new(),
            reachable: HashMap::new(),
            counters: Counters::default(),
            capabilities: args.capabilities.clone(),
            tokens: Tokens::new(&args.seed),
            args,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TransportMsg::Received(received) => state.on_received(received),
            TransportMsg::Undelivered(undelivered, permit) => {
                state.on_undelivered(undelivered);
                drop(permit);
            }
            TransportMsg::Stream(event) => state.on_stream(event),
            TransportMsg::Send { from, transmit } => state.on_send(&from, transmit),
            TransportMsg::Resolve {
                owner,
                id,
                uri,
                transport,
                bind,
                tls,
            } => {
                let resolver = state.resolver.clone();
                let towards = state.towards(&uri, tls);
                let hop = NextHop::new(&uri, transport);
                tokio::spawn(async move {
                    let search = match hop {
                        Ok(hop) => resolver.search(hop, &TRANSPORTS, bind).await,
                        Err(error) => resolve::Search {
                            result: Err(error),
                            notices: Vec::new(),
                        },
                    };
                    let _ = myself.cast(TransportMsg::Resolved {
                        owner,
                        id,
                        bind,
                        towards,
                        search,
                    });
                });
            }
            TransportMsg::Resolved {
                owner,
                id,
                bind,
                towards,
                search,
            } => {
                state.on_resolved(&owner, id, bind, towards, search);
                state.arm(&myself);
            }
            TransportMsg::Tried(tried) => {
                state.places.on_tried(now(), &tried);
                state.arm(&myself);
            }
            TransportMsg::Home { owner, path } => {
                state.places.on_home(now(), &owner, path);
                state.arm(&myself);
            }
            TransportMsg::Wake(generation) => {
                if state.wake.is_current(generation) {
                    state.places.on_wake(now());
                    state.arm(&myself);
                }
            }
            TransportMsg::Claim {
                key,
                server_key,
                owner,
            } => state.on_claim(key, server_key, owner),
            TransportMsg::TurnAway {
                request,
                inbound,
                status,
            } => {
                let handler = ServerKey::of(&request).and_then(|key| state.requests.get_mut(&key));
                if let Some(handler) = handler {
                    *handler = Handler::Refused(status);
                }
                let account = state.called_account(&request, &inbound.path);
                state.refuse(*request, inbound, status, account);
            }
            TransportMsg::Release(id) => {
                state.release(id);
                state.places.forget(id);
                state
                    .requests
                    .retain(|_, handler| !matches!(handler, Handler::Owner(o) if o.id == id));
            }
            TransportMsg::Reachable(reachable) => state.on_reachable(reachable),
            TransportMsg::Unreachable(account) => {
                state.reachable.remove(&account);
            }
            #[cfg(test)]
            TransportMsg::Crash => panic!("told to fail"),
        }
        Ok(())
    }
}

impl TransportState {
    /// An account that can be called listens, even before it sends anything.
    fn on_reachable(&mut self, reachable: Reachable) {
        let bind = reachable.bind.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        let listening = self.sockets.listen(bind, &mut self.connections);
        let _ = self.args.tenant.cast(TenantMsg::Listens {
            account: reachable.account.clone(),
            bind,
            result: listening.map(drop).map_err(|e| transport_error(&e)),
        });
        self.reachable.insert(reachable.account.clone(), reachable);
    }

    fn on_received(&mut self, received: Received) {
        let Received {
            flow,
            path,
            bytes,
            at,
            wall,
            _room,
        } = received;
        if !self.limiter.admit(path.remote.ip(), at) {
            let what = "messages beyond what one source may send";
            return self.count(wall, what, |c| &mut c.flooded);
        }
        let message = match Message::parse(&bytes) {
            Ok(message) => message,
            Err(error) => {
                self.count(wall, "no SIP at all, or too broken to answer", |c| {
                    &mut c.garbage
                });
                // Keepalives and stray line ends are no news.
                if bytes.iter().any(|b| !b.is_ascii_whitespace() && *b != 0) {
                    self.record(wall, false, path, &bytes, None, None);
                    if let Some(response) = error.answer() {
                        self.answer_statelessly(flow, path, &response.to_bytes(), None);
                    }
                }
                return;
            }
        };
        self.forget_old_requests(at);
        if matches!(message, Message::Response(_))
            && let Some(branch) = branch_of(&message)
        {
            if path.transport.is_reliable() {
                self.connections.on_response(&branch);
            } else {
                self.unanswered.on_answered(&branch);
            }
        }
        let owner = self.owner_of(&message);
        let called = match (&message, &owner) {
            (Message::Request(request), None) => self.new_call_for(request, &path),
            _ => None,
        };
        // A new call is in the record as that of whoever is called.
        let account = owner.as_ref().map(|o| &o.account).or(called.as_ref());
        let call = owner.as_ref().and_then(|o| o.call);
        self.record(wall, false, path, &bytes, account.cloned(), call);
        let inbound = Inbound { flow, path };
        match (message, owner) {
            (message, Some(owner)) => {
                owner.deliver(Delivery::Message {
                    message: Box::new(message),
                    inbound,
                    at,
                });
            }
            (Message::Response(_), None) => {
                self.count(wall, "responses that answer nothing here", |c| {
                    &mut c.stray_responses
                });
            }
            (Message::Request(request), None) => self.on_new_request(request, inbound, at, called),
        }
    }

    /// Who a message belongs to, by keys alone.
    fn owner_of(&self, message: &Message) -> Option<Owner> {
        let key = match message {
            Message::Response(response) => dispatch::response_owner(response),
            Message::Request(request) => {
                if let Some(Handler::Owner(owner)) =
                    ServerKey::of(request).and_then(|key| self.requests.get(&key))
                {
                    return Some(owner.clone());
                }
                dispatch::request_owner(request)
            }
        };
        if let Some(owner) = key.and_then(|key| self.owners.get(&key)) {
            return Some(owner.clone());
        }
        match message {
            Message::Request(request) => self.owner_by_call_id(request),
            Message::Response(_) => None,
        }
    }

    /// A peer forgot our tag, or invented one for its ACK: the call it names can tell whether the
    /// rest fits. Decides only when one owner alone can be meant. An INVITE without To tag starts
    /// something new, whatever its Call-ID.
    fn owner_by_call_id(&self, request: &Request) -> Option<Owner> {
        let untagged = request.headers.to().is_ok_and(|to| to.tag().is_none());
        let repairable = match request.method {
            Method::Ack => true,
            Method::Invite => false,
            _ => untagged,
        };
        let call_id = request.headers.get(HeaderName::CallId)?;
        let from = request.headers.from().ok()?;
        let mut fitting = self
            .tags_of
            .get(call_id)
            .filter(|_| repairable)?
            .iter()
            // Both ends of the call may be ours; nobody sends to itself.
            .filter(|tag| from.tag() != Some(tag.as_str()));
        let (Some(tag), None) = (fitting.next(), fitting.next()) else {
            return None;
        };
        let key = OwnerKey {
            call_id: call_id.to_owned(),
            local_tag: tag.clone(),
        };
        self.owners.get(&key).cloned()
    }

    /// Whom a request calls that begins a call: an INVITE outside any dialog, in good order.
    fn new_call_for(&self, request: &Request, path: &Path) -> Option<AccountId> {
        let is_call = request.method == Method::Invite
            && request.headers.to().is_ok_and(|to| to.tag().is_none())
            && validate_request(request).is_ok();
        is_call.then(|| self.called_account(request, path))?
    }

    fn on_new_request(
        &mut self,
        request: Request,
        inbound: Inbound,
        at: Instant,
        called: Option<AccountId>,
    ) {
        let server_key = ServerKey::of(&request);
        let handler = server_key
            .as_ref()
            .and_then(|key| self.requests.get_mut(key));
        match handler {
            Some(Handler::Starting(kept)) => {
                if kept.len() < PENDING_PER_OWNER {
                    let message = Box::new(Message::Request(request));
                    kept.push(Delivery::Message {
                        message,
                        inbound,
                        at,
                    });
                }
                return;
            }
            Some(Handler::Refused(status)) if request.method == Method::Invite => {
                let status = *status;
                return self.refuse(request, inbound, status, called);
            }
            _ => {}
        }
        let Some(account) = called else {
            return self.turn_away(request, inbound);
        };
        if let Some(key) = server_key {
            self.remember(key, Handler::Starting(Vec::new()), at);
        }
        let _ = self.args.tenant.cast(TenantMsg::NewCall {
            account,
            request: Box::new(request),
            inbound,
            at,
        });
    }

    /// One cheap answer, from the request alone (RFC 3261 §8.2.7), and a count.
    fn turn_away(&mut self, request: Request, inbound: Inbound) {
        self.count(crate::wall(), "requests that belong to nothing here", |c| {
            &mut c.strangers
        });
        let status = match validate_request(&request) {
            Err(error) if request.method != Method::Ack => Some(error.status),
            Err(_) => None,
            Ok(()) => stateless::verdict_for_stray(&request, &self.capabilities),
        };
        if let Some(status) = status {
            self.refuse(request, inbound, status, None);
        }
    }

    fn refuse(
        &mut self,
        mut request: Request,
        inbound: Inbound,
        status: StatusCode,
        account: Option<AccountId>,
    ) {
        dispatch::mark_received(&mut request, &inbound);
        let response =
            stateless::respond_statelessly(&request, status, &self.capabilities, &self.tokens);
        self.answer_statelessly(inbound.flow, inbound.path, &response.to_bytes(), account);
    }

    /// The account a new request is for: the one whose Contact it names, or whose address it names
    /// when it comes from where that account's calls come from.
    fn called_account(&self, request: &Request, path: &Path) -> Option<AccountId> {
        let user = request.uri.user_decoded().unwrap_or_default();
        let by_contact = self
            .reachable
            .values()
            .find(|r| !user.is_empty() && r.contact_user == user);
        let by_address = || {
            self.reachable.values().find(|r| {
                r.aor_user == user
                    && r.servers
                        .as_ref()
                        .is_none_or(|servers| servers.contains(&path.remote.ip()))
            })
        };
        by_contact.or_else(by_address).map(|r| r.account.clone())
    }

    fn on_claim(&mut self, key: OwnerKey, server_key: Option<ServerKey>, owner: Owner) {
        if let Some(server_key) = server_key {
            let kept = match self.requests.get_mut(&server_key) {
                Some(handler) => match std::mem::replace(handler, Handler::Owner(owner.clone())) {
                    Handler::Starting(kept) => kept,
                    Handler::Owner(_) | Handler::Refused(_) => Vec::new(),
                },
                None => {
                    self.remember(server_key, Handler::Owner(owner.clone()), now());
                    Vec::new()
                }
            };
            kept.into_iter()
                .for_each(|delivery| owner.deliver(delivery));
        }
        let tags = self.tags_of.entry(key.call_id.clone()).or_default();
        if !tags.contains(&key.local_tag) {
            tags.push(key.local_tag.clone());
        }
        self.owners.insert(key, owner);
    }

    fn release(&mut self, id: ActorId) {
        self.names.retain(|(owner, _), _| *owner != id);
        let tags_of = &mut self.tags_of;
        self.owners.retain(|key, owner| {
            let stays = owner.id != id;
            if !stays && let Some(tags) = tags_of.get_mut(&key.call_id) {
                tags.retain(|tag| *tag != key.local_tag);
                if tags.is_empty() {
                    tags_of.remove(&key.call_id);
                }
            }
            stays
        });
    }

    fn remember(&mut self, key: ServerKey, handler: Handler, at: Instant) {
        if self.requests.len() < SERVER_KEYS {
            self.request_order.push_back((at, key.clone()));
            self.requests.insert(key, handler);
        }
    }

    /// A request whose owner is in a dialog by now is found by that; one that never got an owner is
    /// forgotten when its repeats must have ended.
    fn forget_old_requests(&mut self, at: Instant) {
        while let Some((since, _)) = self.request_order.front() {
            if at.saturating_duration_since(*since) < SERVER_KEY_LIFE {
                break;
            }
            let Some((since, key)) = self.request_order.pop_front() else {
                break;
            };
            match self.requests.get(&key) {
                // A phone may ring for minutes, and CANCEL comes with the branch of the INVITE.
                Some(Handler::Owner(_)) => {
                    self.request_order.push_back((since + SERVER_KEY_LIFE, key));
                }
                Some(Handler::Starting(_) | Handler::Refused(_)) => {
                    self.requests.remove(&key);
                }
                None => {}
            }
        }
    }

    fn on_send(&mut self, from: &Owner, transmit: Transmit) {
        let (path, result) = match transmit.destination {
            destination if destination.transport().is_reliable() => {
                let path = *destination.path();
                let known = self.names.get(&(from.id, path.remote)).cloned();
                // A way that was not asked for: back to where a request came from.
                let towards = known.unwrap_or_else(|| Towards {
                    tls: self.default_tls(path.transport),
                    ..Towards::default()
                });
                let sent = self
                    .connections
                    .send(&destination, &towards, &transmit.bytes, from);
                (path, sent)
            }
            Destination::Flow { id, path } => {
                (path, self.sockets.send(Some(id), path, &transmit.bytes))
            }
            Destination::Path(path) => (path, self.sockets.send(None, path, &transmit.bytes)),
        };
        let account = Some(from.account.clone());
        if !path.transport.is_reliable() && result.is_ok() {
            self.unanswered
                .on_sent(now(), path.remote, &transmit.bytes, from);
        }
        self.record(
            crate::wall(),
            true,
            path,
            &transmit.bytes,
            account,
            from.call,
        );
        if let Err(error) = result {
            unsent(from, &transmit.bytes, error);
        }
    }

    /// A request found nobody, and nobody else has answered it.
    fn on_undelivered(&mut self, undelivered: Undelivered) {
        let Some(owner) = self.unanswered.take(&undelivered) else {
            return;
        };
        let Undelivered { to, branch, error } = undelivered;
        self.args.recorder.cast(RecorderMsg::Note {
            time: crate::wall(),
            topic: "transport",
            text: format!("a request to {to} found nobody: {error}"),
            account: Some(owner.account.clone()),
            call: owner.call,
            sip_call_id: None,
        });
        owner.deliver(Delivery::Unsent { branch, error });
    }

    fn on_stream(&mut self, event: wire::Event) {
        let closed = match event {
            wire::Event::Arrived(arrived) => {
                return self.on_received(Received {
                    flow: arrived.flow,
                    path: arrived.path,
                    bytes: arrived.bytes,
                    at: arrived.at,
                    wall: crate::wall(),
                    _room: Held::Stream(arrived.room),
                });
            }
            wire::Event::Up {
                path,
                secured: Some(secured),
                ..
            } => {
                let shown = secured.certificate.map(|shown| shown.to_string());
                let shown = shown.unwrap_or_else(|| "nobody".to_owned());
                let text = format!(
                    "{path} is {} with {}: {shown}",
                    secured.version, secured.cipher
                );
                return self.note(text);
            }
            wire::Event::Closed(closed) => closed,
            // Datagrams have their sockets beside the wire.
            wire::Event::Up { .. }
            | wire::Event::FlowFailed { .. }
            | wire::Event::Mapped { .. } => {
                return;
            }
        };
        if closed.error != wire::Error::Closed {
            self.note(format!("{}: {}", closed.path, closed.error));
        }
        for lost in self.connections.on_closed(&closed) {
            match lost {
                stream::Loss::Unsent {
                    owner,
                    bytes,
                    error,
                } => unsent(&owner, &bytes, error),
                stream::Loss::Flow(flow) => {
                    let mut told = HashSet::new();
                    for owner in self.owners.values() {
                        if told.insert(owner.id) {
                            owner.deliver(Delivery::FlowLost(flow));
                        }
                    }
                }
            }
        }
    }

    fn on_resolved(
        &mut self,
        owner: &Owner,
        id: ResolveId,
        bind: Option<SocketAddr>,
        towards: Towards,
        search: resolve::Search,
    ) {
        for text in search.notices {
            self.args.recorder.cast(RecorderMsg::Note {
                time: crate::wall(),
                topic: "transport",
                text,
                account: Some(owner.account.clone()),
                call: owner.call,
                sip_call_id: None,
            });
        }
        let result = match search.result {
            Ok(located) => {
                let targets = self.places.on_found(now(), owner, located.targets);
                self.paths(targets, bind)
            }
            Err(error) => Err(error),
        };
        for path in result.iter().flatten() {
            if path.transport.is_reliable() {
                self.names.insert((owner.id, path.remote), towards.clone());
            }
        }
        owner.deliver(Delivery::Resolved { id, result });
    }

    /// The domain that is asked for, and how to be a client of TLS there.
    fn towards(&mut self, uri: &Uri, tls: Option<Arc<ClientTls>>) -> Towards {
        let scheme_or_word = uri.params.get("transport").and_then(Transport::parse);
        let secure = scheme_or_word.unwrap_or(Transport::Tls);
        Towards {
            domain: uri.sip_host().map(ToString::to_string),
            tls: tls.or_else(|| self.default_tls(secure)),
            resource: Some(WEBSOCKET_RESOURCE.to_owned()),
        }
    }

    /// TLS by the roots of the system, read when it is first needed.
    fn default_tls(&mut self, transport: Transport) -> Option<Arc<ClientTls>> {
        if !transport.is_secure() {
            return None;
        }
        if self.system_tls.is_none() {
            let made = ClientTls::new(&Roots::Platform, Remembered::default(), None);
            self.system_tls = made.ok().map(Arc::new);
        }
        self.system_tls.clone()
    }

    fn note(&self, text: String) {
        self.args.recorder.cast(RecorderMsg::Note {
            time: crate::wall(),
            topic: "transport",
            text,
            account: None,
            call: None,
            sip_call_id: None,
        });
    }

    /// Wakes up for the end of the next rest.
    fn arm(&mut self, myself: &ActorRef<TransportMsg>) {
        let deadline = self.places.deadline(now());
        self.wake.arm(deadline, myself, TransportMsg::Wake);
    }

    /// Targets with the local address that leads there; those that no way leads to are left out.
    fn paths(
        &mut self,
        targets: Vec<Target>,
        bind: Option<SocketAddr>,
    ) -> Result<Vec<Path>, ResolveError> {
        let mut paths = Vec::new();
        let mut trouble = None;
        for target in targets {
            match self
                .sockets
                .local_for(target.addr, bind, &mut self.connections)
            {
                Ok(local) => paths.push(Path {
                    transport: target.transport,
                    remote: target.addr,
                    local,
                }),
                Err(error) => trouble = Some(error.to_string()),
            }
        }
        if paths.is_empty() {
            return Err(ResolveError::Unusable(
                trouble.unwrap_or_else(|| "no usable address".to_owned()),
            ));
        }
        Ok(paths)
    }

    fn answer_statelessly(
        &mut self,
        flow: FlowId,
        path: Path,
        bytes: &[u8],
        account: Option<AccountId>,
    ) {
        // Nobody waits for the outcome of a stateless answer.
        let _ = if path.transport.is_reliable() {
            self.connections.answer(flow, &path, bytes)
        } else {
            self.sockets.send(Some(flow), path, bytes)
        };
        self.record(crate::wall(), true, path, bytes, account, None);
    }

    /// Counts what went by, and says so at 1, 2, 4, 8 …: a flood must not fill the record.
    fn count(
        &mut self,
        time: Timestamp,
        what: &str,
        counter: impl FnOnce(&mut Counters) -> &mut u64,
    ) {
        let counter = counter(&mut self.counters);
        *counter += 1;
        let count = *counter;
        if count.is_power_of_two() {
            self.args.recorder.cast(RecorderMsg::Note {
                time,
                topic: "transport",
                text: format!("{count} so far: {what}"),
                account: None,
                call: None,
                sip_call_id: None,
            });
        }
    }

    fn record(
        &self,
        time: Timestamp,
        sent: bool,
        path: Path,
        bytes: &[u8],
        account: Option<AccountId>,
        call: Option<CallId>,
    ) {
        self.args.recorder.cast(RecorderMsg::Wire(Wire {
            time,
            sent,
            path,
            bytes: Arc::from(bytes),
            account,
            call,
        }));
    }
}

/// The branch of the topmost Via.
fn branch_of(message: &Message) -> Option<String> {
    let via = message.headers().via_top().ok()?;
    via.branch().map(str::to_owned)
}

/// Tells the owner that a message did not leave, by the branch of its topmost Via.
fn unsent(owner: &Owner, bytes: &[u8], error: TransportError) {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    if let Some(branch) = branch_of(&message) {
        owner.deliver(Delivery::Unsent { branch, error });
    }
}

/// The kind of failure that an error of the system is.
pub(crate) fn transport_error(error: &io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => TransportError::Refused,
        io::ErrorKind::TimedOut => TransportError::TimedOut,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => TransportError::Unreachable,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => TransportError::Closed,
        io::ErrorKind::AddrInUse => TransportError::Other("another program uses it".to_owned()),
        io::ErrorKind::AddrNotAvailable => {
            TransportError::Other("this machine has no such address".to_owned())
        }
        _ => TransportError::Other(error.to_string()),
    }
}
