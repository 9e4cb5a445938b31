//! One tenant's sockets and connections.
//!
//! ```text
//! socket task: receive, stamp the time, ask the guard ──▶ TransportActor: parse, record,
//!                                                        find the owner ──▶ the owner's mailbox
//! owner ──Send──▶ TransportActor: flow or path to a socket or connection, record ──▶ wire
//! ```
//!
//! The guard says how much a source may send and holds room from the socket until the actor has
//! handled the message, so the mailbox cannot grow: past it datagrams are dropped and counted, and
//! streams wait. What is on its way to the recorder has a budget of its own.
//!
//! The actor decides by keys alone. Responses and requests inside a dialog carry the Call-ID and
//! the local tag of whoever made them ([`OwnerKey`]); repeats, CANCEL and the ACK of a failure carry
//! the branch of the request they belong to ([`ServerKey`]); a new INVITE is for the account whose
//! Contact it names. What matches nothing gets one cheap answer and is counted.

mod answer;
mod connect;
mod find;
mod guard;
mod keepalive;
mod moved;
mod owners;
mod places;
mod receive;
mod report;
mod resolve;
mod send;
mod sockets;
mod stream;
mod unreachable;
mod without_tcp;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use model::{AccountId, CallId, CertificateView, TargetView, Timestamp, Traffic, WayStep};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use sip_core::dispatch::{OwnerKey, ServerKey};
use sip_core::locate::{NextHop, RestTimes, Tried};
use sip_core::stateless::{Capabilities, StatusLine};
use sip_core::{
    FlowId, Inbound, Path, ResolveError, ResolveId, Seed, Tokens, Transmit, Transport,
    TransportError,
};
use sip_message::{Host, Message, Request, Uri};
use tokio::sync::OwnedSemaphorePermit;
use wire::{ClientTls, Remembered, Towards};

use self::guard::Guard;
use self::keepalive::KeptAlive;
pub(crate) use self::keepalive::Way;
use self::owners::Requests;
use self::places::Places;
use self::report::Notes;
pub(crate) use self::resolve::Resolver;
pub use self::resolve::{HostTable, Naming};
pub(crate) use self::sockets::KeptSockets;
use self::sockets::{Place, Sockets};
use self::stream::Connections;
use self::unreachable::{Unanswered, Undelivered};
use self::without_tcp::WithoutTcp;
use crate::failures::Unreadable;
use crate::network::Moved;
use crate::recorder::{RecorderMsg, UnderWay};
use crate::rules::Rules;
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
/// What WebSocket servers are asked for: some insist on it, the others take anything.
const WEBSOCKET_RESOURCE: &str = "/ws";

/// What a [`TransportActor`] can be told.
pub(crate) enum TransportMsg {
    /// Bytes arrived; a permit is held until they are handled.
    Received(Received),
    /// A datagram of ours found nobody; room is held as for what was received.
    Undelivered(Undelivered, Held),
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
        /// Which of several flows of its account the way is for.
        lane: Option<u32>,
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
        /// Which of several flows of its account the way is for.
        lane: Option<u32>,
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
    /// Something was counted at a socket: it is to be told soon.
    Report,
    /// It is to be told now.
    ReportNow,
    /// This way of an owner is to be kept open; `None` is none any more.
    KeepAlive {
        /// Whose.
        owner: Owner,
        /// Which of its ways.
        which: u32,
        /// The way.
        way: Option<Way>,
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
    /// Its owner has another key now.
    Disclaim(OwnerKey),
    /// Nobody takes this request after all.
    TurnAway {
        request: Box<Request>,
        inbound: Inbound,
        line: StatusLine,
    },
    /// An account can be called, or how it can be called changed.
    Reachable(Reachable),
    /// An account cannot be called any more.
    Unreachable(AccountId),
    /// The machine came to another network, or slept.
    Moved(Arc<Moved>),
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
    /// Its domain.
    pub(crate) aor_host: Host,
    /// Hosts that may call the address of record itself: our registrar and proxies. `None` is
    /// anybody, for accounts that do not register and are called directly.
    pub(crate) servers: Option<HashSet<IpAddr>>,
    /// What WebSocket servers are asked for, where the settings say so.
    pub(crate) ws_path: Option<String>,
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
    /// What its account changes in messages.
    rules: Arc<Rules>,
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
            rules: Arc::default(),
            deliver,
        }
    }

    /// The same, with the rules of its account.
    pub(crate) fn ruled_by(self, rules: &Arc<Rules>) -> Self {
        Self {
            rules: Arc::clone(rules),
            ..self
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
    /// Somebody answered, and the answer cannot be read.
    Unreadable(Unreadable),
    /// Something could not be sent.
    Unsent {
        /// Branch of its topmost Via.
        branch: String,
        error: TransportError,
    },
    /// A connection is gone.
    FlowLost(FlowId),
    /// What is known of the account's servers has changed.
    Targets {
        views: Vec<TargetView>,
        /// The same ones' addresses.
        servers: Vec<SocketAddr>,
    },
    /// A server that the domain likes better can be tried again.
    BetterServer,
    /// How far the way is that a request of this call takes.
    OnTheWay {
        /// Where it leads.
        to: SocketAddr,
        /// What is under way; `None` once messages go through.
        step: Option<WayStep>,
    },
    /// Why what cannot be sent next cannot: its server showed this certificate.
    Untrusted(Box<CertificateView>),
}

/// Owns the sockets of one tenant.
pub(crate) struct TransportActor;

/// What a [`TransportActor`] is started with.
pub(crate) struct TransportArgs {
    pub(crate) tenant: ActorRef<TenantMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
    pub(crate) sockets: KeptSockets,
    /// Certificates that are trusted whatever is wrong with them.
    pub(crate) remembered: Remembered,
    pub(crate) naming: Naming,
    pub(crate) rests: RestTimes,
    pub(crate) capabilities: Capabilities,
    pub(crate) seed: Seed,
}

pub(crate) struct TransportState {
    myself: ActorRef<TransportMsg>,
    args: TransportArgs,
    guard: Arc<Guard>,
    sockets: Sockets,
    connections: Connections,
    /// Whom a way leads to, by whoever asked for it.
    names: HashMap<(ActorId, SocketAddr), Towards>,
    system_tls: Option<Arc<ClientTls>>,
    resolver: Resolver,
    unanswered: Unanswered<Owner>,
    places: Places,
    without_tcp: WithoutTcp,
    wake: Wake,
    owners: HashMap<OwnerKey, Owner>,
    /// The local tags under each Call-ID of `owners`: one, or two when both ends are ours.
    tags_of: HashMap<String, Vec<String>>,
    requests: Requests,
    reachable: HashMap<AccountId, Reachable>,
    traffic: Traffic,
    notes: Notes,
    kept_alive: KeptAlive,
    under_way: UnderWay,
    capabilities: Capabilities,
    tokens: Tokens,
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
        let guard = Arc::new(Guard::new(now()));
        Ok(TransportState {
            sockets: Sockets::new(myself.clone(), args.sockets.clone(), Arc::clone(&guard)),
            connections: Connections::new(myself.clone(), Arc::clone(&guard)),
            guard,
            myself,
            names: HashMap::new(),
            system_tls: None,
            unanswered: Unanswered::default(),
            resolver: Resolver::new(&args.naming, &shared::seed()),
            places: Places::new(args.rests),
            without_tcp: WithoutTcp::default(),
            wake: Wake::default(),
            owners: HashMap::new(),
            tags_of: HashMap::new(),
            requests: Requests::default(),
            reachable: HashMap::new(),
            traffic: Traffic::default(),
            notes: Notes::new(now()),
            kept_alive: KeptAlive::default(),
            under_way: UnderWay::default(),
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
            TransportMsg::Undelivered(undelivered, room) => {
                state.on_undelivered(undelivered);
                drop(room);
            }
            TransportMsg::Stream(event) => state.on_stream(event),
            TransportMsg::Send { from, transmit } => state.on_send(&from, transmit),
            TransportMsg::Resolve {
                owner,
                id,
                uri,
                transport,
                bind,
                lane,
                tls,
            } => {
                let resolver = state.resolver.clone();
                let towards = state.towards(&owner.account, &uri, tls);
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
                        lane,
                        towards,
                        search,
                    });
                });
            }
            TransportMsg::Resolved {
                owner,
                id,
                bind,
                lane,
                towards,
                search,
            } => {
                let from = Place { asked: bind, lane };
                state.on_resolved(&owner, id, from, towards, search);
                state.arm(&myself);
            }
            TransportMsg::Tried(tried) => {
                state.places.on_tried(now(), &tried);
                state.arm(&myself);
            }
            TransportMsg::Home { owner, path } => {
                if path.is_none() {
                    state.let_all_go(owner.id);
                }
                state.places.on_home(now(), &owner, path);
                state.arm(&myself);
            }
            TransportMsg::KeepAlive { owner, which, way } => state.on_keep_alive(owner, which, way),
            TransportMsg::Report => state.report_soon(),
            TransportMsg::ReportNow => state.report(),
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
                line,
            } => {
                if let Some(key) = ServerKey::of(&request) {
                    state.requests.refuse(&key, line.clone());
                }
                let account = state.called_account(&request, &inbound.path);
                state.refuse(*request, inbound, line, account);
            }
            TransportMsg::Release(id) => state.release(id),
            TransportMsg::Disclaim(key) => state.disclaim(&key),
            TransportMsg::Reachable(reachable) => state.on_reachable(reachable),
            TransportMsg::Unreachable(account) => {
                state.reachable.remove(&account);
            }
            TransportMsg::Moved(moved) => state.on_moved(&moved),
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
        let mut listening = self.sockets.listen(bind, &mut self.connections);
        // Whoever registers tells the registrar the port; others are called at the one that was agreed on.
        if reachable.servers.is_some()
            && let Err(error) = &listening
            && error.kind() == io::ErrorKind::AddrInUse
        {
            listening = self.sockets.listen_elsewhere(bind, &mut self.connections);
        }
        let _ = self.args.tenant.cast(TenantMsg::Listens {
            account: reachable.account.clone(),
            bind,
            result: listening.map_err(|e| transport_error(&e)),
        });
        for server in reachable.servers.iter().flatten() {
            self.guard.know_server(*server, now());
        }
        self.reachable.insert(reachable.account.clone(), reachable);
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
        _ => TransportError::Other(model::system_words(error)),
    }
}
