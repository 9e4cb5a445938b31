//! The sockets and connections of one owner, and the table that finds them again.

mod bindings;
mod events;
mod read;
mod shared;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sip_core::{Destination, FlowId, Path, Transport};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;

pub use self::bindings::Stun;
use self::bindings::keep_alive;
pub use self::events::{Arrived, Closed, Counts, Event, Keepalive, Room, Sink};
use self::read::{accept, read_datagrams};
use self::shared::Datagrams;
pub(crate) use self::shared::Shared;
use crate::connection::{Door, Pace, Towards};
use crate::datagram;
use crate::error::Error;
use crate::limits::Limits;

/// Flows are counted over all wires and never named twice: what somebody remembers of a flow that
/// is gone must not lead to another one.
static FLOWS: AtomicU64 = AtomicU64::new(1);

/// A name for a flow that no other has or will have, for those who own sockets beside a [`Wire`].
pub fn next_flow() -> FlowId {
    FlowId(FLOWS.fetch_add(1, Ordering::Relaxed))
}

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
