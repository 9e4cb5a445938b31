//! The life of one connection, from its first packet to why it ended.
//!
//! ```text
//!  ours:   TCP ─► TLS ─► WebSocket ┐         ┌─ read:  frames ─► room ─► Arrived
//!                                  ├─ Up ────┤
//!  theirs: accepted ─► TLS ─► WS ──┘         └─ write: queue, pongs, pings ─► peer
//!                                                     │
//!              the first error of either, or a stop ──┴─► Closed, with what was not written
//! ```
//! Each transport takes those of the steps that it has.

mod begin;
mod keepalive;
mod socket;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sip_core::{FlowId, Path, Transport};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use self::begin::{Metered, begin};
pub(crate) use self::keepalive::{Pace, spread, until};
use crate::error::{Error, Step};
use crate::tls::{ClientTls, Secured, ServerTls, tls_error};
use crate::websocket;
use crate::wire::{Arrived, Closed, Event, Room, Shared};

/// How long the last words on a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests without any sign of life since that are kept; of older ones the timers tell.
const UNHEARD: usize = 64;

/// Whom a connection is for, beyond its address.
#[derive(Clone, Debug, Default)]
pub struct Towards {
    /// The domain that was asked for, which a certificate has to name; an address where there was
    /// none.
    pub domain: Option<String>,
    /// How to be a client of TLS there; needed for TLS and WSS.
    pub tls: Option<Arc<ClientTls>>,
    /// What to ask a WebSocket server for; `/` when there is nothing.
    pub resource: Option<String>,
    /// How long TCP may take to come up, where that is less than [`Limits::connect`](crate::Limits).
    pub connect: Option<Duration>,
    /// Which of several connections to the same peer, none of which does for another; `None` where any will do, one of
    /// these included.
    pub lane: Option<u32>,
}

impl Towards {
    /// Whether a connection of this transport made for this one will do for the other.
    pub(crate) fn is_same(&self, other: &Self, transport: Transport) -> bool {
        let name = |towards: &Self| towards.domain.as_deref().map(str::to_ascii_lowercase);
        let tls = match (&self.tls, &other.tls) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let is_websocket = matches!(transport, Transport::Ws | Transport::Wss);
        (other.lane.is_none() || other.lane == self.lane)
            && name(self) == name(other)
            && (tls || !transport.is_secure())
            && (self.resource == other.resource || !is_websocket)
    }
}

/// What a listener speaks.
#[derive(Clone, Debug)]
pub enum Door {
    /// SIP.
    Tcp,
    /// SIP inside TLS.
    Tls(ServerTls),
    /// SIP over WebSocket.
    Ws,
    /// SIP over WebSocket inside TLS.
    Wss(ServerTls),
}

impl Door {
    /// The transport of what comes through it.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
            Self::Ws => Transport::Ws,
            Self::Wss(_) => Transport::Wss,
        }
    }
}

/// How a connection begins.
pub(crate) enum Beginning {
    Open(Towards),
    Accepted(TcpStream, Door),
}

/// What the table keeps of a connection.
pub(crate) struct Handle {
    pub(crate) path: Path,
    /// Whom it was opened for; `None` when the peer opened it.
    pub(crate) towards: Option<Towards>,
    pub(crate) source: std::net::IpAddr,
    pub(crate) life: Arc<Life>,
    queue: mpsc::Sender<Vec<u8>>,
    keepalive: watch::Sender<Option<Pace>>,
    stop: oneshot::Sender<Error>,
}

/// What both sides know of a connection.
#[derive(Default)]
pub(crate) struct Life {
    /// Whether it has come up.
    pub(crate) up: AtomicBool,
    /// Whether it has brought a message.
    pub(crate) proven: AtomicBool,
    /// When it last brought something, in milliseconds of the wire's time.
    pub(crate) last_ms: AtomicU64,
    /// Octets waiting to be written.
    queued: AtomicUsize,
}

impl Handle {
    pub(crate) fn is_accepted(&self) -> bool {
        self.towards.is_none()
    }

    /// Whether it will do for this one.
    pub(crate) fn is_for(&self, towards: &Towards) -> bool {
        let transport = self.path.transport;
        let Some(opened_for) = &self.towards else {
            return towards.lane.is_none() && (!transport.is_secure() || towards.domain.is_none());
        };
        // What may end any moment for the haste of others is nothing for whoever can wait. Once it is up nobody waits.
        let lasts = opened_for.connect.is_none()
            || towards.connect.is_some()
            || self.life.up.load(Ordering::Acquire);
        lasts && opened_for.is_same(towards, transport)
    }

    /// Hands a message over; `None` when the connection has ended.
    pub(crate) fn send(&self, bytes: &[u8], queued_octets: usize) -> Option<Result<(), Error>> {
        let waiting = self.life.queued.load(Ordering::Acquire);
        if waiting > 0 && waiting.saturating_add(bytes.len()) > queued_octets {
            return Some(Err(Error::SlowReader));
        }
        self.life.queued.fetch_add(bytes.len(), Ordering::AcqRel);
        match self.queue.try_send(bytes.to_vec()) {
            Ok(()) => Some(Ok(())),
            Err(error) => {
                self.life.queued.fetch_sub(bytes.len(), Ordering::AcqRel);
                match error {
                    mpsc::error::TrySendError::Full(_) => Some(Err(Error::SlowReader)),
                    mpsc::error::TrySendError::Closed(_) => None,
                }
            }
        }
    }

    pub(crate) fn keep_alive(&self, pace: Option<Pace>) {
        self.keepalive.send_if_modified(|known| {
            let is_news = *known != pace;
            *known = pace;
            is_news
        });
    }

    pub(crate) fn stop(self, why: Error) {
        // Nobody listens when it has just ended by itself.
        let _ = self.stop.send(why);
    }
}

/// One connection, carried by a task of its own.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    flow: FlowId,
    path: Path,
    accepted: bool,
    life: Arc<Life>,
    arrived: Arc<Semaphore>,
    keepalive: watch::Receiver<Option<Pace>>,
    unheard: Mutex<Unheard>,
}

/// What has had no sign of life since.
#[derive(Default)]
struct Unheard {
    /// Requests that were written since the peer was last heard.
    requests: VecDeque<Vec<u8>>,
    /// When the first of them was.
    since: Option<Instant>,
    /// Whether the peer was asked for a sign of life meanwhile.
    is_probed: bool,
}

/// What the silence of a peer leads to.
enum Silence {
    /// It is asked once, with a ping, which most peers answer.
    Probe,
    Failed,
}

/// What a connection is told, apart from it so that both can be used at once.
pub(crate) struct Orders {
    queue: mpsc::Receiver<Vec<u8>>,
    stop: oneshot::Receiver<Error>,
}

/// What becomes of a connection while it lasts.
#[derive(Default)]
struct Course {
    was_up: bool,
    unwritten: Option<Vec<u8>>,
}

impl Connection {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        flow: FlowId,
        path: Path,
        towards: Option<Towards>,
        source: std::net::IpAddr,
    ) -> (Self, Orders, Handle) {
        let (queue, queue_end) = mpsc::channel(shared.limits.queued.max(1));
        let (stop, stop_end) = oneshot::channel();
        let (keepalive, keepalive_end) = watch::channel(None);
        let life = Arc::new(Life::default());
        life.last_ms.store(shared.clock_ms(), Ordering::Relaxed);
        let connection = Self {
            shared: Arc::clone(shared),
            flow,
            path,
            accepted: towards.is_none(),
            life: Arc::clone(&life),
            arrived: Arc::new(Semaphore::new(
                shared.limits.arrived_octets.min(Semaphore::MAX_PERMITS),
            )),
            keepalive: keepalive_end,
            unheard: Mutex::default(),
        };
        let orders = Orders {
            queue: queue_end,
            stop: stop_end,
        };
        let handle = Handle {
            path,
            towards,
            source,
            life,
            queue,
            keepalive,
            stop,
        };
        (connection, orders, handle)
    }

    /// Lives, and says why it ended.
    pub(crate) async fn run(mut self, beginning: Beginning, orders: Orders) {
        let Orders { mut queue, stop } = orders;
        let mut course = Course::default();
        let error = tokio::select! {
            biased;
            why = stop => why.unwrap_or(Error::Dismissed),
            error = self.carry(beginning, &mut queue, &mut course) => error,
        };
        // Nothing can be handed over from here on, so nothing is lost without a word.
        queue.close();
        let mut unsent: Vec<Vec<u8>> = course.unwritten.into_iter().collect();
        while let Ok(bytes) = queue.try_recv() {
            unsent.push(bytes);
        }
        self.shared.forget(self.flow);
        self.shared.tell(Event::Closed(Closed {
            flow: self.flow,
            path: self.path,
            accepted: self.accepted,
            was_up: course.was_up,
            error,
            unsent,
            unheard: self.unheard().requests.drain(..).collect(),
        }));
    }

    async fn carry(
        &mut self,
        beginning: Beginning,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        course: &mut Course,
    ) -> Error {
        let shared = Arc::clone(&self.shared);
        let limits = &shared.limits;
        let begun = match begin(&self.path, beginning, limits, |step| self.on_step(step)).await {
            Ok(begun) => begun,
            Err(error) => return error,
        };
        if !matches!(self.path.transport, Transport::Ws | Transport::Wss) {
            self.on_up(begun.secured, course);
            return self.carry_stream(begun.stream, queue, course).await;
        }
        let meter = Arc::new(AtomicU64::new(0));
        let stream = Metered {
            inner: begun.stream,
            read: Arc::clone(&meter),
        };
        let shaken = match &begun.towards {
            None => websocket::accept(stream, self.path.local.ip(), limits).await,
            Some(towards) => {
                self.on_step(Step::WebSocket);
                websocket::connect(
                    stream,
                    towards.domain.as_deref(),
                    self.path.remote,
                    towards.resource.as_deref().unwrap_or("/"),
                    self.path.transport.is_secure(),
                    limits,
                )
                .await
            }
        };
        match shaken {
            Ok(websocket) => {
                self.on_up(begun.secured, course);
                self.carry_websocket(websocket, &meter, queue, course).await
            }
            Err(error) => error,
        }
    }

    fn on_step(&self, step: Step) {
        self.shared.tell(Event::Begun {
            flow: self.flow,
            path: self.path,
            step,
        });
    }

    fn on_up(&self, secured: Option<Secured>, course: &mut Course) {
        course.was_up = true;
        self.life.up.store(true, Ordering::Release);
        self.on_heard();
        self.shared.tell(Event::Up {
            flow: self.flow,
            path: self.path,
            accepted: self.accepted,
            secured,
        });
    }

    fn on_heard(&self) {
        let now = self.shared.clock_ms();
        self.life.last_ms.store(now, Ordering::Relaxed);
        *self.unheard() = Unheard::default();
    }

    fn unheard(&self) -> MutexGuard<'_, Unheard> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the peer has been silent for too long after a request (RFC 3261 §17.1.1.2 and §17.1.2.2: it owes
    /// an answer). Can be dropped and asked again at any time; after each write it has to be.
    async fn silence(&self) -> Silence {
        let limits = &self.shared.limits;
        loop {
            let (since, is_probed) = {
                let unheard = self.unheard();
                (unheard.since, unheard.is_probed)
            };
            let Some(since) = since else {
                std::future::pending::<()>().await;
                continue;
            };
            let probe = since + limits.answer.saturating_sub(limits.pong);
            let end = since + limits.answer;
            let now = Instant::now();
            if now >= end {
                return Silence::Failed;
            }
            if now >= probe && !is_probed {
                self.unheard().is_probed = true;
                return Silence::Probe;
            }
            until(Some(if is_probed { end } else { probe })).await;
        }
    }

    /// How long the peer may bring nothing from now on; `None` is for ever.
    fn patience(&self, up_since: Instant) -> Option<Instant> {
        if !self.accepted {
            return None;
        }
        Some(if self.life.proven.load(Ordering::Relaxed) {
            Instant::now() + self.shared.limits.idle
        } else {
            up_since + self.shared.limits.unproven
        })
    }

    /// Brings a message up; waits while there is no room. `false` when nobody listens any more.
    async fn bring(&self, bytes: Vec<u8>, at: std::time::Instant) -> bool {
        self.life.proven.store(true, Ordering::Relaxed);
        self.on_heard();
        // A message may be larger than all the room: then it takes all of it.
        let octets = bytes
            .len()
            .min(self.shared.limits.arrived_octets)
            .try_into()
            .unwrap_or(u32::MAX);
        let own = Arc::clone(&self.arrived).acquire_many_owned(octets).await;
        let common = Arc::clone(&self.shared.streams).acquire_owned().await;
        let (Ok(own), Ok(common)) = (own, common) else {
            return false;
        };
        self.shared.tell(Event::Arrived(Arrived {
            flow: self.flow,
            path: self.path,
            at,
            bytes,
            room: Room::of_stream(own, common),
        }))
    }

    fn on_written(&self, course: &mut Course) {
        let Some(bytes) = course.unwritten.take() else {
            return;
        };
        self.life.queued.fetch_sub(bytes.len(), Ordering::AcqRel);
        // Whoever misses a response asks again, and an ACK is not waited for.
        if !bytes.starts_with(b"SIP/2.0 ") && !bytes.starts_with(b"ACK ") {
            let mut unheard = self.unheard();
            if unheard.requests.len() >= UNHEARD {
                unheard.requests.pop_front();
            }
            unheard.requests.push_back(bytes);
            unheard.since.get_or_insert_with(Instant::now);
        }
    }

    fn error_of(error: &io::Error) -> Error {
        tls_error(error, false).map_or_else(|| Error::of_connection(error), Error::from)
    }
}
