//! The sockets and connections of one owner, and the table that finds them again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sip_core::{Destination, FlowId, Path, Transport};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;

use crate::connection::{Beginning, Connection, Door, Handle, Pace, Towards, spread, until};
use crate::datagram::{self, same_addr, seen_by, source_of};
use crate::error::Error;
use crate::limits::Limits;
use crate::stun::{self, Binding, TransactionId};
use crate::tls::Secured;

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;
/// How often a STUN request is sent (RFC 8489 §6.2.1).
const STUN_TRIES: u32 = 7;
/// How many first waits the last STUN request gets (RFC 8489 §6.2.1).
const STUN_LAST: u32 = 16;
/// How long to leave a socket alone that could not be read or accept.
const REST: Duration = Duration::from_millis(100);

/// Flows are counted over all wires and never named twice: what somebody remembers of a flow that
/// is gone must not lead to another one.
static FLOWS: AtomicU64 = AtomicU64::new(1);

/// A name for a flow that no other has or will have, for those who own sockets beside a [`Wire`].
pub fn next_flow() -> FlowId {
    FlowId(FLOWS.fetch_add(1, Ordering::Relaxed))
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A message came.
    Arrived(Arrived),
    /// A connection is up.
    Up {
        /// Its name.
        flow: FlowId,
        /// Where it leads.
        path: Path,
        /// Whether the peer opened it.
        accepted: bool,
        /// What TLS agreed on, where there is TLS.
        secured: Option<Secured>,
    },
    /// A connection ended, or never came up.
    Closed(Closed),
    /// A peer of datagrams did not answer our keepalives (RFC 5626 §4.4.2).
    FlowFailed {
        /// The socket.
        flow: FlowId,
        /// The peer.
        remote: SocketAddr,
    },
    /// Where a peer sees us, as it says in answer to a keepalive; told when it is news.
    Mapped {
        /// The socket.
        flow: FlowId,
        /// The peer.
        remote: SocketAddr,
        /// Our address from there.
        mapped: SocketAddr,
    },
    /// Something was counted that was not told otherwise. Told once until [`Wire::counts`] is asked.
    Counted,
}

/// A message that came: a datagram, or what was framed on a stream or in a WebSocket.
#[derive(Debug)]
pub struct Arrived {
    /// The socket or connection; the answer goes back there.
    pub flow: FlowId,
    /// Its `remote` is where the message came from.
    pub path: Path,
    /// When.
    pub at: Instant,
    /// The message, not parsed yet.
    pub bytes: Vec<u8>,
    /// To be kept until the message has been handled.
    pub room: Room,
}

/// The room that a message takes between the wire and whoever handles it. It is given back when
/// this is dropped, so the number of messages under way is bounded even in a mailbox that is not.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held, not looked at")] Permits);

type Permits = (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit);

impl Room {
    pub(crate) fn of_stream(own: OwnedSemaphorePermit, common: OwnedSemaphorePermit) -> Self {
        Self((Some(own), common))
    }
}

/// How a connection ended.
#[derive(Debug)]
pub struct Closed {
    /// Its name; it will not be used again.
    pub flow: FlowId,
    /// Where it led.
    pub path: Path,
    /// Whether the peer opened it.
    pub accepted: bool,
    /// Whether it ever was up.
    pub was_up: bool,
    /// Why.
    pub error: Error,
    /// What was handed over and not written, in order.
    pub unsent: Vec<Vec<u8>>,
    /// The last requests that were written, and after which nothing came any more: a connection that
    /// its peer has just closed takes them, and nobody reads them.
    pub unheard: Vec<Vec<u8>>,
}

/// How to keep a way of datagrams open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// A line end that nobody answers: it only keeps routers from forgetting us.
    Crlf(Duration),
    /// A STUN binding request, which tells whether the peer is there and where it sees us. Only for
    /// servers that are known to take them (RFC 5626 §4.4).
    Stun(Duration),
    /// The first of them goes out after this time; a peer that has never answered a STUN request gets
    /// line ends from then on.
    StunOrCrlf(Duration),
}

/// What went by without reaching anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that came when there was no room.
    pub dropped: u64,
    /// Datagrams that the kernel had no room to send.
    pub crowded_out: u64,
    /// Connections that were closed at once, or to make room.
    pub turned_away: u64,
}

/// Who is told what happens. Called from the tasks of the wire, so it only hands on; `false` says
/// that nobody listens any more.
pub type Sink = Arc<dyn Fn(Event) -> bool + Send + Sync>;

/// SIP's sockets of one owner. All its work is done by tasks of the runtime that it was used on;
/// dropping it ends them without another word.
pub struct Wire(Arc<Shared>);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("connections", &self.connections())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut table = self.0.table();
        table.tasks.drain(..).for_each(|task| task.abort());
        table.kept_alive.drain().for_each(|(_, task)| task.abort());
        table
            .connections
            .drain()
            .for_each(|(_, (_, task))| task.abort());
        table.sockets.clear();
    }
}

impl Wire {
    /// A wire without any socket.
    pub fn new(limits: Limits, sink: Sink) -> Self {
        Self(Arc::new(Shared {
            streams: room(limits.arrived),
            datagrams: room(limits.arrived),
            limits,
            sink,
            table: Mutex::default(),
            started: Instant::now(),
            dropped: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            has_news: AtomicBool::new(false),
        }))
    }

    /// Receives from this socket and sends from it. The socket may outlive the wire: Contact and Via
    /// of dialogs that stand name its port.
    ///
    /// # Errors
    /// When the system does not know the socket's address.
    pub fn serve_datagrams(&self, socket: Arc<UdpSocket>) -> std::io::Result<FlowId> {
        let bound = socket.local_addr()?;
        let flow = next_flow();
        let reading = read_datagrams(Arc::clone(&self.0), Arc::clone(&socket), flow, bound);
        let mut table = self.0.table();
        table.sockets.push(Datagrams {
            flow,
            bound,
            socket,
        });
        table.tasks.push(tokio::spawn(reading).abort_handle());
        Ok(flow)
    }

    /// Makes a socket known that somebody else reads, so that its peers can be kept alive. The STUN
    /// messages that come to it are for [`Wire::stun`].
    ///
    /// # Errors
    /// When the system does not know the socket's address.
    pub fn lend_datagrams(&self, socket: Arc<UdpSocket>) -> std::io::Result<FlowId> {
        let bound = socket.local_addr()?;
        let flow = next_flow();
        self.0.table().sockets.push(Datagrams {
            flow,
            bound,
            socket,
        });
        Ok(flow)
    }

    /// What reads the STUN messages of a socket that was lent.
    pub fn stun(&self) -> Stun {
        Stun(Arc::clone(&self.0))
    }

    /// Takes in the connections that come to this listener, which may outlive the wire.
    pub fn serve(&self, listener: Arc<TcpListener>, door: Door) {
        let accepting = accept(Arc::clone(&self.0), listener, door);
        let task = tokio::spawn(accepting).abort_handle();
        self.0.table().tasks.push(task);
    }

    /// Sends one message without waiting, and says on which flow. Datagrams go out at once;
    /// messages for connections are queued, and what cannot be written comes back in
    /// [`Closed::unsent`].
    ///
    /// A flow is used while it lives. Without one, or when it is gone, a connection to the same
    /// address, for the same domain and with the same TLS settings is used, else a new one is
    /// opened. A peer's own connection is never used for a request over TLS that has a domain: nobody
    /// has checked who is at its other end.
    ///
    /// # Errors
    /// When it is known at once that the message will not leave.
    pub fn send(
        &self,
        destination: &Destination,
        towards: &Towards,
        bytes: &[u8],
    ) -> Result<FlowId, Error> {
        let path = *destination.path();
        if bytes.len() > self.0.limits.message {
            return Err(Error::TooLarge(bytes.len()));
        }
        let flow = match destination {
            Destination::Flow { id, .. } => Some(*id),
            Destination::Path(_) => None,
        };
        if path.transport == Transport::Udp {
            return self.send_datagram(flow, &path, bytes);
        }
        let mut table = self.0.table();
        if let Some(flow) = flow
            && let Some(sent) = table.send_on(flow, bytes, self.0.limits.queued_octets)
        {
            return sent.map(|()| flow);
        }
        while let Some(flow) = table.find(&path, towards) {
            if let Some(sent) = table.send_on(flow, bytes, self.0.limits.queued_octets) {
                return sent.map(|()| flow);
            }
        }
        if path.transport.is_secure() && towards.tls.is_none() {
            return Err(Error::Unusable("TLS is not set up".to_owned()));
        }
        let flow = Shared::open(&self.0, &mut table, path, towards.clone())?;
        match table.send_on(flow, bytes, self.0.limits.queued_octets) {
            Some(sent) => sent.map(|()| flow),
            None => Err(Error::Closed),
        }
    }

    /// Answers on the flow that a request came by, and nowhere else.
    ///
    /// # Errors
    /// When that flow is gone or the peer does not read.
    pub fn answer(&self, flow: FlowId, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        if path.transport == Transport::Udp {
            return self.send_datagram(Some(flow), path, bytes).map(drop);
        }
        let sent = self
            .0
            .table()
            .send_on(flow, bytes, self.0.limits.queued_octets);
        sent.unwrap_or(Err(Error::Closed))
    }

    /// Whether this is a connection that lives or a socket that is served.
    pub fn has(&self, flow: FlowId) -> bool {
        let table = self.0.table();
        table.connections.contains_key(&flow) || table.sockets.iter().any(|s| s.flow == flow)
    }

    /// Closes a connection. What was not written by then comes back with its end.
    pub fn close(&self, flow: FlowId) {
        let gone = self.0.table().connections.remove(&flow);
        if let Some((handle, _)) = gone {
            handle.stop(Error::Dismissed);
        }
    }

    /// Closes the connections whose paths are no good any more, as [`Self::close`] does.
    pub fn close_where(&self, is_bad: impl Fn(&Path) -> bool) {
        let bad: Vec<FlowId> = {
            let table = self.0.table();
            let paths = table
                .connections
                .iter()
                .map(|(id, (handle, _))| (id, &handle.path));
            paths
                .filter(|(_, path)| is_bad(path))
                .map(|(id, _)| *id)
                .collect()
        };
        bad.into_iter().for_each(|flow| self.close(flow));
    }

    /// Sends a ping on a connection each `every` (a little earlier, at random), and takes the
    /// connection for failed when no answer comes within [`Limits::pong`] (RFC 5626 §4.4.1); on a
    /// WebSocket with its own pings. `None` ends that.
    pub fn keep_alive(&self, flow: FlowId, every: Option<Duration>) {
        self.beat(
            flow,
            every.map(|every| Pace {
                every,
                strict: true,
            }),
        );
    }

    /// The same for a peer that may not know such pings: only when it has answered one, it has to
    /// answer the others.
    pub fn keep_alive_of_any(&self, flow: FlowId, every: Duration) {
        let strict = false;
        self.beat(flow, Some(Pace { every, strict }));
    }

    fn beat(&self, flow: FlowId, pace: Option<Pace>) {
        if let Some((handle, _)) = self.0.table().connections.get(&flow) {
            handle.keep_alive(pace);
        }
    }

    /// Keeps the way from a datagram socket to a peer open; `None` ends that.
    pub fn keep_alive_datagrams(
        &self,
        flow: FlowId,
        remote: SocketAddr,
        keepalive: Option<Keepalive>,
    ) {
        let mut table = self.0.table();
        if let Some(task) = table.kept_alive.remove(&(flow, remote)) {
            task.abort();
        }
        table.kept_alive.retain(|_, task| !task.is_finished());
        let socket = table.sockets.iter().find(|s| s.flow == flow);
        let (Some(keepalive), Some(socket)) = (keepalive, socket) else {
            return;
        };
        if table.kept_alive.len() < self.0.limits.kept_alive {
            let socket = Arc::clone(&socket.socket);
            let keeping = keep_alive(Arc::clone(&self.0), socket, flow, remote, keepalive);
            let task = tokio::spawn(keeping).abort_handle();
            table.kept_alive.insert((flow, remote), task);
        }
    }

    /// Connections at the moment, ours and theirs.
    pub fn connections(&self) -> usize {
        self.0.table().connections.len()
    }

    /// What went by without reaching anybody.
    pub fn counts(&self) -> Counts {
        self.0.has_news.store(false, Ordering::Release);
        Counts {
            dropped: self.0.dropped.load(Ordering::Relaxed),
            crowded_out: self.0.crowded_out.load(Ordering::Relaxed),
            turned_away: self.0.turned_away.load(Ordering::Relaxed),
        }
    }

    /// From the socket of the flow, else from the one that the path's local address names, else
    /// from one with the same port.
    fn send_datagram(
        &self,
        flow: Option<FlowId>,
        path: &Path,
        bytes: &[u8],
    ) -> Result<FlowId, Error> {
        let table = self.0.table();
        let fits = |s: &&Datagrams| s.bound.is_ipv4() == path.remote.is_ipv4();
        let fitting = || table.sockets.iter().filter(fits);
        let socket = fitting()
            .find(|s| Some(s.flow) == flow)
            .or_else(|| fitting().find(|s| s.bound == path.local))
            .or_else(|| fitting().find(|s| s.bound.port() == path.local.port()))
            .ok_or_else(|| Error::Unusable(format!("no socket is open at {}", path.local)))?;
        if !datagram::send(&socket.socket, path.remote, bytes)? {
            self.0.count(&self.0.crowded_out);
        }
        Ok(socket.flow)
    }
}

fn room(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

/// What the tasks share with the wire.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    sink: Sink,
    /// Room for what comes on streams, and for datagrams: neither crowd keeps the other out.
    pub(crate) streams: Arc<Semaphore>,
    datagrams: Arc<Semaphore>,
    table: Mutex<Table>,
    started: Instant,
    dropped: AtomicU64,
    crowded_out: AtomicU64,
    turned_away: AtomicU64,
    /// Set while there are counts that nobody has asked for.
    has_news: AtomicBool,
}

impl Shared {
    pub(crate) fn tell(&self, event: Event) -> bool {
        (self.sink)(event)
    }

    fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
        if !self.has_news.swap(true, Ordering::AcqRel) {
            self.tell(Event::Counted);
        }
    }

    /// Milliseconds since the wire began.
    pub(crate) fn clock_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A connection has ended by itself.
    pub(crate) fn forget(&self, flow: FlowId) {
        self.table().connections.remove(&flow);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(
        this: &Arc<Self>,
        table: &mut Table,
        path: Path,
        towards: Towards,
    ) -> Result<FlowId, Error> {
        if table.connections.len() >= this.limits.connections && !this.displace(table) {
            return Err(Error::Full);
        }
        let flow = next_flow();
        let beginning = Beginning::Open(towards.clone());
        Self::carry(this, table, flow, path, Some(towards), beginning);
        Ok(flow)
    }

    fn take_in(this: &Arc<Self>, stream: TcpStream, remote: SocketAddr, door: &Door) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let mut table = this.table();
        let source = source_of(remote.ip());
        let accepted = || table.connections.values().filter(|(h, _)| h.is_accepted());
        let is_crowd = accepted().filter(|(h, _)| h.source == source).count()
            >= this.limits.accepted_per_source;
        let is_full = accepted().count() >= this.limits.accepted
            || table.connections.len() >= this.limits.connections;
        if is_crowd || (is_full && !this.displace(&mut table)) {
            this.count(&this.turned_away);
            return;
        }
        let path = Path {
            transport: door.transport(),
            remote,
            local,
        };
        let beginning = Beginning::Accepted(stream, door.clone());
        Self::carry(this, &mut table, next_flow(), path, None, beginning);
    }

    fn carry(
        this: &Arc<Self>,
        table: &mut Table,
        flow: FlowId,
        path: Path,
        towards: Option<Towards>,
        beginning: Beginning,
    ) {
        let source = source_of(path.remote.ip());
        let (connection, orders, handle) = Connection::new(this, flow, path, towards, source);
        // It cannot take itself out of the table before it is in: the table is locked.
        let task = tokio::spawn(connection.run(beginning, orders)).abort_handle();
        table.connections.insert(flow, (handle, task));
    }

    /// Gives up the connection of a peer that was quiet for the longest time, one that never brought
    /// a message first. `false` when there is none.
    fn displace(&self, table: &mut Table) -> bool {
        let quietest = table
            .connections
            .iter()
            .filter(|(_, (handle, _))| handle.is_accepted())
            .min_by_key(|(flow, (handle, _))| {
                let proven = handle.life.proven.load(Ordering::Relaxed);
                (proven, handle.life.last_ms.load(Ordering::Relaxed), **flow)
            })
            .map(|(flow, _)| *flow);
        let Some((handle, _)) = quietest.and_then(|flow| table.connections.remove(&flow)) else {
            return false;
        };
        self.count(&self.turned_away);
        handle.stop(Error::Displaced);
        true
    }
}

#[derive(Default)]
struct Table {
    sockets: Vec<Datagrams>,
    connections: HashMap<FlowId, (Handle, AbortHandle)>,
    /// Those that read datagrams and accept connections.
    tasks: Vec<AbortHandle>,
    kept_alive: HashMap<(FlowId, SocketAddr), AbortHandle>,
    /// STUN requests that wait for their answer, and whom they were sent to.
    asked: HashMap<TransactionId, (SocketAddr, oneshot::Sender<Option<SocketAddr>>)>,
}

struct Datagrams {
    flow: FlowId,
    bound: SocketAddr,
    socket: Arc<UdpSocket>,
}

impl Table {
    /// `None` when there is no such connection.
    fn send_on(
        &mut self,
        flow: FlowId,
        bytes: &[u8],
        queued_octets: usize,
    ) -> Option<Result<(), Error>> {
        let (handle, _) = self.connections.get(&flow)?;
        let sent = handle.send(bytes, queued_octets);
        if sent.is_none() {
            self.connections.remove(&flow);
        }
        sent
    }

    /// The newest connection that will do.
    fn find(&self, path: &Path, towards: &Towards) -> Option<FlowId> {
        let fits = |handle: &Handle| {
            let same_way = handle.path.transport == path.transport
                && same_addr(handle.path.remote, path.remote);
            same_way
                && match &handle.towards {
                    Some(opened_for) => opened_for.is_same(towards, path.transport),
                    None => !path.transport.is_secure() || towards.domain.is_none(),
                }
        };
        self.connections
            .iter()
            .filter(|(_, (handle, _))| fits(handle))
            .map(|(flow, _)| *flow)
            .max()
    }
}

/// Reads the STUN messages of sockets that somebody else reads.
#[derive(Clone)]
pub struct Stun(Arc<Shared>);

impl std::fmt::Debug for Stun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stun").finish_non_exhaustive()
    }
}

impl Stun {
    /// Whether a datagram is STUN; if so it is dealt with. `socket` is where it came to.
    pub fn takes(&self, socket: &UdpSocket, remote: SocketAddr, datagram: &[u8]) -> bool {
        let is_stun = stun::is_stun(datagram);
        if is_stun {
            on_stun(&self.0, socket, remote, datagram);
        }
        is_stun
    }
}

async fn accept(shared: Arc<Shared>, listener: Arc<TcpListener>, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => Shared::take_in(&shared, stream, remote, &door),
            // Out of file descriptors, most likely: give others the time to close some.
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn read_datagrams(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    flow: FlowId,
    bound: SocketAddr,
) {
    let mut buffer = vec![0_u8; DATAGRAM];
    // Asking the system for its address toward a peer takes time, and peers send more than once.
    let mut last_seen: Option<(IpAddr, SocketAddr)> = None;
    loop {
        // An error here belongs to something sent earlier; the socket is as good as before.
        let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let at = tokio::time::Instant::now().into_std();
        let Some(bytes) = buffer.get(..length) else {
            continue;
        };
        if stun::is_stun(bytes) {
            on_stun(&shared, &socket, remote, bytes);
            continue;
        }
        // Keepalives of others (RFC 5626 §4.4, and zeroes from some routers and phones).
        if bytes.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            continue;
        }
        let Ok(room) = Arc::clone(&shared.datagrams).try_acquire_owned() else {
            // When nobody keeps up, the senders' timers are the queue.
            shared.count(&shared.dropped);
            continue;
        };
        let local = match last_seen {
            Some((ip, local)) if ip == remote.ip() && bound.ip().is_unspecified() => local,
            _ => seen_by(remote, bound),
        };
        last_seen = Some((remote.ip(), local));
        let path = Path {
            transport: Transport::Udp,
            remote,
            local,
        };
        let arrived = Arrived {
            flow,
            path,
            at,
            bytes: bytes.to_vec(),
            room: Room((None, room)),
        };
        if !shared.tell(Event::Arrived(arrived)) {
            return;
        }
    }
}

fn on_stun(shared: &Shared, socket: &UdpSocket, remote: SocketAddr, bytes: &[u8]) {
    let (id, mapped) = match Binding::read(bytes) {
        Some(Binding::Request(id)) if shared.limits.answers_stun => {
            let answer = Binding::Success(id, Some(remote)).to_bytes();
            // Lost or refused: whoever asks does so again.
            let _ = datagram::send(socket, remote, &answer);
            return;
        }
        Some(Binding::Success(id, mapped)) => (id, mapped),
        Some(Binding::Error(id)) => (id, None),
        _ => return,
    };
    let mut table = shared.table();
    let is_expected = table
        .asked
        .get(&id)
        .is_some_and(|(asked, _)| same_addr(*asked, remote));
    if is_expected && let Some((_, waiting)) = table.asked.remove(&id) {
        let _ = waiting.send(mapped);
    }
}

async fn keep_alive(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    flow: FlowId,
    remote: SocketAddr,
    keepalive: Keepalive,
) {
    let mut known = None;
    let mut keepalive = keepalive;
    let mut has_answered = false;
    if let Keepalive::StunOrCrlf(every) = keepalive {
        until(spread(Some(every))).await;
    }
    loop {
        let every = match keepalive {
            Keepalive::Crlf(every) => {
                until(spread(Some(every))).await;
                let _ = datagram::send(&socket, remote, b"\r\n\r\n");
                continue;
            }
            Keepalive::Stun(every) | Keepalive::StunOrCrlf(every) => every,
        };
        match ask_where(&shared, &socket, remote).await {
            Some(mapped) => {
                has_answered = true;
                if let Some(mapped) = mapped
                    && known.replace(mapped) != Some(mapped)
                {
                    shared.tell(Event::Mapped {
                        flow,
                        remote,
                        mapped,
                    });
                }
            }
            None if !has_answered && matches!(keepalive, Keepalive::StunOrCrlf(_)) => {
                keepalive = Keepalive::Crlf(every);
                continue;
            }
            None => {
                shared.tell(Event::FlowFailed { flow, remote });
                return;
            }
        }
        until(spread(Some(every))).await;
    }
}

/// One STUN transaction: `None` when nobody answered.
async fn ask_where(
    shared: &Arc<Shared>,
    socket: &UdpSocket,
    remote: SocketAddr,
) -> Option<Option<SocketAddr>> {
    let mut id = [0; 12];
    getrandom::fill(&mut id).ok()?;
    let id = TransactionId(id);
    let (waiting, mut answer) = oneshot::channel();
    shared.table().asked.insert(id, (remote, waiting));
    let _asked = Asked {
        shared: Arc::clone(shared),
        id,
    };
    let request = Binding::Request(id).to_bytes();
    let mut wait = shared.limits.stun_first;
    for this in 1..=STUN_TRIES {
        // What cannot be sent now may be sent a little later.
        let _ = datagram::send(socket, remote, &request);
        let patience = if this == STUN_TRIES {
            shared.limits.stun_first * STUN_LAST
        } else {
            wait
        };
        if let Ok(answered) = tokio::time::timeout(patience, &mut answer).await {
            return answered.ok();
        }
        wait *= 2;
    }
    None
}

/// Takes a STUN request off the list, however its wait ends.
struct Asked {
    shared: Arc<Shared>,
    id: TransactionId,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shared.table().asked.remove(&self.id);
    }
}
