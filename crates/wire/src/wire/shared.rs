//! What the tasks of a wire share: limits, counts, and the table of sockets and connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sip_core::{FlowId, Path};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;

use super::{Event, Sink, next_flow};
use crate::connection::{Beginning, Connection, Door, Handle, Towards};
use crate::datagram::{same_addr, source_of};
use crate::error::Error;
use crate::limits::Limits;
use crate::stun::TransactionId;

/// What the tasks share with the wire.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(super) sink: Sink,
    /// Room for what comes on streams, and for datagrams: neither crowd keeps the other out.
    pub(crate) streams: Arc<Semaphore>,
    pub(super) datagrams: Arc<Semaphore>,
    pub(super) table: Mutex<Table>,
    pub(super) started: Instant,
    pub(super) dropped: AtomicU64,
    pub(super) crowded_out: AtomicU64,
    pub(super) turned_away: AtomicU64,
    /// Set while there are counts that nobody has asked for.
    pub(super) has_news: AtomicBool,
}

impl Shared {
    pub(crate) fn tell(&self, event: Event) -> bool {
        (self.sink)(event)
    }

    pub(super) fn count(&self, counter: &AtomicU64) {
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

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(
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

    pub(super) fn take_in(this: &Arc<Self>, stream: TcpStream, remote: SocketAddr, door: &Door) {
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
pub(super) struct Table {
    pub(super) sockets: Vec<Datagrams>,
    pub(super) connections: HashMap<FlowId, (Handle, AbortHandle)>,
    /// Those that read datagrams and accept connections.
    pub(super) tasks: Vec<AbortHandle>,
    pub(super) kept_alive: HashMap<(FlowId, SocketAddr), AbortHandle>,
    /// STUN requests that wait for their answer, and whom they were sent to.
    pub(super) asked: HashMap<TransactionId, (SocketAddr, oneshot::Sender<Option<SocketAddr>>)>,
}

pub(super) struct Datagrams {
    pub(super) flow: FlowId,
    pub(super) bound: SocketAddr,
    pub(super) socket: Arc<UdpSocket>,
}

impl Table {
    /// `None` when there is no such connection.
    pub(super) fn send_on(
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
    pub(super) fn find(&self, path: &Path, towards: &Towards) -> Option<FlowId> {
        let fits = |handle: &Handle| {
            let same_way = handle.path.transport == path.transport
                && same_addr(handle.path.remote, path.remote);
            same_way
                && match &handle.towards {
                    Some(opened_for) => opened_for.is_same(towards, path.transport),
                    None => {
                        towards.lane.is_none()
                            && (!path.transport.is_secure() || towards.domain.is_none())
                    }
                }
        };
        self.connections
            .iter()
            .filter(|(_, (handle, _))| fits(handle))
            .map(|(flow, _)| *flow)
            .max()
    }
}
