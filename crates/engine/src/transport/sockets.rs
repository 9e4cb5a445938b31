//! Datagram sockets: one per local address that an account asks for, one per family otherwise, and one more for each
//! further flow to a server.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ractor::ActorRef;
use sip_core::locate::Target;
use sip_core::{FlowId, Path, Transport, TransportError};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use wire::Stun;

use super::guard::{Guard, Standing};
use super::stream::Connections;
use super::{Held, Received, TransportMsg, transport_error, unreachable};
use crate::wake::now;

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;
/// What the kernel may keep for us while we are busy.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// Datagrams read before others have their turn.
const AT_ONCE: usize = 256;
/// How long an address that the system sends from is believed.
const LOCAL_LIFE: Duration = Duration::from_secs(5);
/// Addresses of peers for which it is remembered.
const LOCALS: usize = 256;
/// Ports tried until one is free for both UDP and TCP.
const PORT_TRIES: usize = 16;

/// The local address a socket is bound to: what was asked for, or any address of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bind {
    addr: SocketAddr,
    /// Which one there, where several flows lead to one server: each but the first has a port of the system's choice.
    lane: u32,
}

/// What somebody wants to send from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// The local address that its account is bound to.
    pub(super) asked: Option<SocketAddr>,
    /// Which of several flows of its account it is for.
    pub(super) lane: Option<u32>,
}

impl Bind {
    fn first(addr: SocketAddr) -> Self {
        Self { addr, lane: 0 }
    }

    fn for_target(from: Place, target: &Target) -> Self {
        let addr = match from.asked {
            Some(asked) if asked.is_ipv4() == target.addr.is_ipv4() => asked,
            _ if target.addr.is_ipv4() => (Ipv4Addr::UNSPECIFIED, 0).into(),
            _ => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // Connections have ports of their own anyway.
        match from.lane.filter(|_| target.transport == Transport::Udp) {
            Some(lane) if lane > 0 => Self { addr, lane },
            _ => Self::first(addr),
        }
    }

    /// Where its socket is opened.
    fn wanted(self) -> SocketAddr {
        match self.lane {
            0 => self.addr,
            _ => SocketAddr::new(self.addr.ip(), 0),
        }
    }
}

/// A tenant's sockets and listeners, which outlive the actor that reads from them: Contact and Via of
/// dialogs that stand name their ports.
#[derive(Clone, Default)]
pub(crate) struct KeptSockets(Arc<Mutex<HashMap<Bind, Pair>>>);

/// A datagram socket and a listener on the same port, since Contact names one port for both.
#[derive(Clone)]
struct Pair {
    udp: Arc<UdpSocket>,
    tcp: Arc<TcpListener>,
}

impl KeptSockets {
    fn pair(&self, bind: Bind) -> io::Result<Pair> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = kept.get(&bind) {
            return Ok(pair.clone());
        }
        let pair = open_pair(bind.wanted())?;
        kept.insert(bind, pair.clone());
        Ok(pair)
    }

    fn pair_elsewhere(&self, bind: Bind) -> io::Result<()> {
        let pair = open_pair(SocketAddr::new(bind.addr.ip(), 0))?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(bind, pair);
        Ok(())
    }
}

/// The datagram sockets of one tenant.
pub(super) struct Sockets {
    actor: ActorRef<TransportMsg>,
    guard: Arc<Guard>,
    kept: KeptSockets,
    bound: HashMap<Bind, Bound>,
    locals: Locals,
}

struct Bound {
    flow: FlowId,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    reader: JoinHandle<()>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Sockets {
    pub(super) fn new(actor: ActorRef<TransportMsg>, kept: KeptSockets, guard: Arc<Guard>) -> Self {
        Self {
            actor,
            guard,
            kept,
            bound: HashMap::new(),
            locals: Locals::default(),
        }
    }

    /// The address that a peer at `target` sees us at, when no router is between: the one to write
    /// into Via and Contact. Opens the socket, and the listener on the same port, if need be.
    pub(super) fn local_for(
        &mut self,
        target: &Target,
        from: Place,
        connections: &mut Connections,
    ) -> io::Result<SocketAddr> {
        let bind = Bind::for_target(from, target);
        let port = self.open(bind, connections)?.local.port();
        let ip = match bind.addr.ip() {
            asked if !asked.is_unspecified() => asked,
            _ => self.locals.toward(target.addr, now())?,
        };
        Ok(SocketAddr::new(ip, port))
    }

    /// The machine is in another network: what was known of the ways there holds no more.
    pub(super) fn forget_ways(&mut self) {
        self.locals = Locals::default();
    }

    /// Makes sure that an account bound to `asked` can be called.
    pub(super) fn listen(
        &mut self,
        asked: SocketAddr,
        connections: &mut Connections,
    ) -> io::Result<SocketAddr> {
        Ok(self.open(Bind::first(asked), connections)?.local)
    }

    /// The same where another program holds the port: on one of the system's choice, which stands for
    /// `asked` as long as the tenant lives.
    pub(super) fn listen_elsewhere(
        &mut self,
        asked: SocketAddr,
        connections: &mut Connections,
    ) -> io::Result<SocketAddr> {
        self.kept.pair_elsewhere(Bind::first(asked))?;
        self.listen(asked, connections)
    }

    fn open(&mut self, bind: Bind, connections: &mut Connections) -> io::Result<&Bound> {
        if !self.bound.contains_key(&bind) {
            let Pair { udp: socket, tcp } = self.kept.pair(bind)?;
            let local = socket.local_addr()?;
            connections.accept_from(tcp);
            let flow = connections.lend(Arc::clone(&socket))?;
            let reader = Reader {
                socket: Arc::clone(&socket),
                flow,
                bound: local,
                actor: self.actor.clone(),
                guard: Arc::clone(&self.guard),
                stun: connections.stun(),
                locals: Locals::default(),
            };
            let reader = tokio::spawn(reader.run());
            self.bound.insert(
                bind,
                Bound {
                    flow,
                    socket,
                    local,
                    reader,
                },
            );
        }
        Ok(&self.bound[&bind])
    }

    /// Sends one datagram from the socket of `flow`, else from the one that is bound to the path's
    /// local port. Never waits: a datagram that finds no room is lost like any other, and timers
    /// send it again.
    pub(super) fn send(
        &mut self,
        flow: Option<FlowId>,
        path: Path,
        bytes: &[u8],
    ) -> Result<(), TransportError> {
        let by_flow = |b: &&Bound| flow == Some(b.flow);
        let by_port = |b: &&Bound| {
            b.local.port() == path.local.port() && b.local.is_ipv4() == path.remote.is_ipv4()
        };
        let Some(bound) = self
            .bound
            .values()
            .find(by_flow)
            .or_else(|| self.bound.values().find(by_port))
        else {
            return Err(TransportError::Closed);
        };
        let send = || SockRef::from(&*bound.socket).send_to(bytes, &path.remote.into());
        // What is reported here may be about a datagram to somebody else: the second word counts.
        let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let sent = send().or_else(|error| if waits(&error) { Err(error) } else { send() });
        match sent {
            Ok(_) => Ok(()),
            Err(error) if waits(&error) => {
                self.guard.crowded_out.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(transport_error(&error)),
        }
    }
}

fn open_pair(bind: SocketAddr) -> io::Result<Pair> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = open_udp(bind)?;
        let port = udp.local_addr()?.port();
        match wire::open_listener(SocketAddr::new(bind.ip(), port)) {
            Ok(tcp) => {
                return Ok(Pair {
                    udp: Arc::new(udp),
                    tcp: Arc::new(tcp),
                });
            }
            // With a port of our own choosing another one will do.
            Err(error) if bind.port() == 0 => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no port is free")))
}

fn open_udp(bind: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel may grant less; that is no reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    // Where that is not to be had, the timers decide.
    let _ = unreachable::listen(&socket, bind.is_ipv6());
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    UdpSocket::from_std(socket.into())
}

/// Whoever reads one socket.
struct Reader {
    socket: Arc<UdpSocket>,
    flow: FlowId,
    bound: SocketAddr,
    actor: ActorRef<TransportMsg>,
    guard: Arc<Guard>,
    stun: Stun,
    locals: Locals,
}

impl Reader {
    async fn run(mut self) {
        let mut buffer = vec![0_u8; DATAGRAM];
        loop {
            let Ok(ready) = self
                .socket
                .ready(Interest::READABLE | Interest::ERROR)
                .await
            else {
                tokio::task::yield_now().await;
                continue;
            };
            if ready.is_error() && !tell_undelivered(&self.socket, &self.actor, &self.guard) {
                return;
            }
            // Others have their turn, however much comes.
            for _ in 0..AT_ONCE {
                let Ok((length, remote)) = self.socket.try_recv_from(&mut buffer) else {
                    break;
                };
                let bytes = buffer.get(..length).unwrap_or_default();
                if !self.on_datagram(bytes, remote) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Brings a datagram to the actor if it may come in. Answers whether the actor still listens.
    fn on_datagram(&mut self, bytes: &[u8], remote: SocketAddr) -> bool {
        // Keepalives of others (RFC 5626 §4.4, and zeroes from some routers and phones).
        let is_keepalive = bytes.iter().all(|b| b.is_ascii_whitespace() || *b == 0);
        if is_keepalive || self.stun.takes(&self.socket, remote, bytes) {
            return true;
        }
        let at = now();
        let admitted = self.guard.admit(remote.ip(), bytes.len(), at);
        let room = admitted.and_then(|standing| self.guard.room(standing, bytes.len()));
        let Some(room) = room else {
            let news = self.guard.has_news();
            return !news || self.actor.cast(TransportMsg::Report).is_ok();
        };
        let path = Path {
            transport: Transport::Udp,
            remote,
            local: self.locals.seen_by(remote, self.bound, at),
        };
        let received = Received {
            flow: self.flow,
            path,
            bytes: bytes.to_vec(),
            at,
            wall: crate::wall(),
            _room: Held::Datagram(room),
        };
        self.actor.cast(TransportMsg::Received(received)).is_ok()
    }
}

/// The addresses that the system sends from, by where it sends to: asking takes a socket each time.
#[derive(Default)]
pub(super) struct Locals(HashMap<IpAddr, (IpAddr, Instant)>);

impl Locals {
    /// The address that a peer at `remote` sees of a socket bound to `bound`, when no router is
    /// between.
    fn seen_by(&mut self, remote: SocketAddr, bound: SocketAddr, now: Instant) -> SocketAddr {
        let ip = if bound.ip().is_unspecified() {
            self.toward(remote, now).unwrap_or(bound.ip())
        } else {
            bound.ip()
        };
        SocketAddr::new(ip, bound.port())
    }

    fn toward(&mut self, remote: SocketAddr, now: Instant) -> io::Result<IpAddr> {
        let is_young = |at: Instant| now.saturating_duration_since(at) < LOCAL_LIFE;
        if let Some((local, since)) = self.0.get(&remote.ip())
            && is_young(*since)
        {
            return Ok(*local);
        }
        let local = wire::local_toward(remote)?.ip();
        if self.0.len() >= LOCALS {
            self.0.retain(|_, (_, since)| is_young(*since));
        }
        if self.0.len() < LOCALS {
            self.0.insert(remote.ip(), (local, now));
        }
        Ok(local)
    }
}

/// Tells the actor what was heard of datagrams that did not arrive. Answers whether it still listens.
fn tell_undelivered(socket: &UdpSocket, actor: &ActorRef<TransportMsg>, guard: &Guard) -> bool {
    let mut found = Vec::new();
    // Whatever comes after this makes the socket ready anew.
    let _ = socket.try_io(Interest::ERROR, || {
        found = unreachable::take(socket);
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    });
    found.into_iter().all(|undelivered| {
        let Some(room) = guard.room(Standing::Peer, 0) else {
            return true;
        };
        let message = TransportMsg::Undelivered(undelivered, Held::Datagram(room));
        actor.cast(message).is_ok()
    })
}
