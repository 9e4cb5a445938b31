//! Datagram sockets: one per local address that an account asks for, one per family otherwise.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ractor::ActorRef;
use sip_core::{FlowId, Path, Transport, TransportError};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::stream::Connections;
use super::{Held, Received, TransportMsg, transport_error, unreachable};
use crate::wake::now;

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;
/// What the kernel may keep for us while we are busy.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// Ports tried until one is free for both UDP and TCP.
const PORT_TRIES: usize = 16;

/// The local address a socket is bound to: what was asked for, or any address of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bind(SocketAddr);

impl Bind {
    fn for_target(asked: Option<SocketAddr>, target: SocketAddr) -> Self {
        match asked {
            Some(asked) if asked.is_ipv4() == target.is_ipv4() => Self(asked),
            _ if target.is_ipv4() => Self((Ipv4Addr::UNSPECIFIED, 0).into()),
            _ => Self((Ipv6Addr::UNSPECIFIED, 0).into()),
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
        let pair = open_pair(bind.0)?;
        kept.insert(bind, pair.clone());
        Ok(pair)
    }
}

/// The datagram sockets of one tenant.
pub(super) struct Sockets {
    actor: ActorRef<TransportMsg>,
    permits: Arc<Semaphore>,
    kept: KeptSockets,
    bound: HashMap<Bind, Bound>,
    /// Datagrams that the kernel had no room for.
    pub(super) crowded_out: u64,
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
    pub(super) fn new(actor: ActorRef<TransportMsg>, kept: KeptSockets, permits: usize) -> Self {
        Self {
            actor,
            permits: Arc::new(Semaphore::new(permits)),
            kept,
            bound: HashMap::new(),
            crowded_out: 0,
        }
    }

    /// The address that a peer at `target` sees us at, when no router is between: the one to write
    /// into Via and Contact. Opens the socket, and the listener on the same port, if need be.
    pub(super) fn local_for(
        &mut self,
        target: SocketAddr,
        asked: Option<SocketAddr>,
        connections: &mut Connections,
    ) -> io::Result<SocketAddr> {
        let port = self
            .open(Bind::for_target(asked, target), connections)?
            .local
            .port();
        let ip = match asked {
            Some(asked) if asked.is_ipv4() == target.is_ipv4() && !asked.ip().is_unspecified() => {
                asked.ip()
            }
            _ => source_ip(target)?,
        };
        Ok(SocketAddr::new(ip, port))
    }

    /// Makes sure that an account bound to `asked` can be called.
    pub(super) fn listen(
        &mut self,
        asked: SocketAddr,
        connections: &mut Connections,
    ) -> io::Result<SocketAddr> {
        Ok(self.open(Bind(asked), connections)?.local)
    }

    fn open(&mut self, bind: Bind, connections: &mut Connections) -> io::Result<&Bound> {
        if !self.bound.contains_key(&bind) {
            let Pair { udp: socket, tcp } = self.kept.pair(bind)?;
            let local = socket.local_addr()?;
            connections.accept_from(tcp);
            let flow = wire::next_flow();
            let reader = tokio::spawn(read(
                Arc::clone(&socket),
                flow,
                local,
                self.actor.clone(),
                Arc::clone(&self.permits),
            ));
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
                self.crowded_out += 1;
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

/// The address the system would send from, found by connecting a socket that never sends.
fn source_ip(target: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

async fn read(
    socket: Arc<UdpSocket>,
    flow: FlowId,
    bound: SocketAddr,
    actor: ActorRef<TransportMsg>,
    permits: Arc<Semaphore>,
) {
    let mut buffer = vec![0_u8; DATAGRAM];
    loop {
        let Ok(ready) = socket.ready(Interest::READABLE | Interest::ERROR).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if ready.is_error() && !tell_undelivered(&socket, &actor, &permits) {
            return;
        }
        let Ok((length, remote)) = socket.try_recv_from(&mut buffer) else {
            tokio::task::yield_now().await;
            continue;
        };
        let at = now();
        let Some(bytes) = buffer.get(..length).filter(|b| !b.is_empty()) else {
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let ip = if bound.ip().is_unspecified() {
            source_ip(remote).unwrap_or(bound.ip())
        } else {
            bound.ip()
        };
        let path = Path {
            transport: Transport::Udp,
            remote,
            local: SocketAddr::new(ip, bound.port()),
        };
        let received = Received {
            flow,
            path,
            bytes: bytes.to_vec(),
            at,
            wall: crate::wall(),
            _room: Held::Datagram(permit),
        };
        if actor.cast(TransportMsg::Received(received)).is_err() {
            return;
        }
    }
}

/// Tells the actor what was heard of datagrams that did not arrive. Answers whether it still listens.
fn tell_undelivered(
    socket: &UdpSocket,
    actor: &ActorRef<TransportMsg>,
    permits: &Arc<Semaphore>,
) -> bool {
    let mut found = Vec::new();
    // Whatever comes after this makes the socket ready anew.
    let _ = socket.try_io(Interest::ERROR, || {
        found = unreachable::take(socket);
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    });
    for undelivered in found {
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
            continue;
        };
        let message = TransportMsg::Undelivered(undelivered, permit);
        if actor.cast(message).is_err() {
            return false;
        }
    }
    true
}
