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

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sip_core::{FlowId, Path, Transport};
use sip_message::framer::{Frame, StreamFramer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use crate::error::{ConnectError, Error};
use crate::tls::{ClientTls, Secured, ServerTls, tls_error};
use crate::websocket;
use crate::wire::{Arrived, Closed, Event, Room, Shared};

/// What is read at a time.
const READ_CHUNK: usize = 8 * 1024;
/// How long the last words on a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests without any sign of life since that are kept; of older ones the timers tell.
const UNHEARD: usize = 64;
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";

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
}

impl Towards {
    /// Whether a connection of this transport made for one will do for the other.
    pub(crate) fn is_same(&self, other: &Self, transport: Transport) -> bool {
        let name = |towards: &Self| towards.domain.as_deref().map(str::to_ascii_lowercase);
        let tls = match (&self.tls, &other.tls) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let is_websocket = matches!(transport, Transport::Ws | Transport::Wss);
        name(self) == name(other)
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

/// How often a connection is kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) every: Duration,
    /// Whether the peer has to answer from the first ping on.
    pub(crate) strict: bool,
}

/// What both sides know of a connection.
#[derive(Default)]
pub(crate) struct Life {
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
    /// What was written since the peer was last heard.
    unheard: Mutex<VecDeque<Vec<u8>>>,
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
            unheard: self.unheard().drain(..).collect(),
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
        let begun = match begin(&self.path, beginning, limits).await {
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
            None => websocket::accept(stream, limits).await,
            Some(towards) => {
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

    fn on_up(&self, secured: Option<Secured>, course: &mut Course) {
        course.was_up = true;
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
        self.unheard().clear();
    }

    fn unheard(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
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
            if unheard.len() >= UNHEARD {
                unheard.pop_front();
            }
            unheard.push_back(bytes);
        }
    }

    fn error_of(error: &io::Error) -> Error {
        tls_error(error, false).map_or_else(|| Error::of_flow(error), Error::from)
    }
}

/// SIP on a stream.
impl Connection {
    async fn carry_stream<S: AsyncRead + AsyncWrite>(
        &mut self,
        stream: S,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        course: &mut Course,
    ) -> Error {
        let (reader, mut writer) = tokio::io::split(stream);
        let pulse = Pulse::default();
        let beat = Beat::new(self.keepalive.clone(), self.shared.limits.pong);
        // What the peer said comes before what is to be said to it: above all that it is gone.
        let (error, last_words) = tokio::select! {
            biased;
            ended = self.read_stream(reader, &pulse) => ended,
            error = self.write_stream(&mut writer, queue, &pulse, beat, course) => (error, None),
        };
        let farewell = async {
            if let Some(words) = last_words.filter(|_| course.unwritten.is_none()) {
                writer.write_all(&words).await?;
            }
            writer.shutdown().await
        };
        // It ends anyway; what ended it is known.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        error
    }

    /// Reads until it cannot go on: why, and what to say to a peer that broke the rules.
    async fn read_stream<R: AsyncRead + Unpin>(
        &self,
        mut reader: R,
        pulse: &Pulse,
    ) -> (Error, Option<Vec<u8>>) {
        let limits = &self.shared.limits;
        let mut framer = StreamFramer::with_limits(sip_message::Limits {
            message: limits.message,
            ..sip_message::Limits::default()
        });
        let mut chunk = vec![0_u8; READ_CHUNK];
        let up_since = Instant::now();
        let mut begun = None;
        loop {
            let (deadline, lateness) = match begun {
                Some(since) => (Some(since + limits.unfinished), Error::Unfinished),
                None => (self.patience(up_since), Error::Idle),
            };
            let length = tokio::select! {
                length = reader.read(&mut chunk) => match length {
                    Ok(0) => return (Error::Closed, None),
                    Ok(length) => length,
                    Err(error) => return (Self::error_of(&error), None),
                },
                () = until(deadline) => return (lateness, None),
            };
            let at = Instant::now();
            self.on_heard();
            pulse.tell(&mut framer);
            framer.push(chunk.get(..length).unwrap_or_default());
            loop {
                match framer.poll() {
                    Ok(None) => break,
                    Ok(Some(Frame::Message(bytes))) => {
                        begun = None;
                        if !self.bring(bytes, at.into_std()).await {
                            return (Error::Dismissed, None);
                        }
                    }
                    // RFC 5626 §4.4.1: one pong for a ping.
                    Ok(Some(Frame::Ping)) => pulse.reply.notify_one(),
                    Ok(Some(Frame::Pong)) => pulse.on_pong(),
                    Err(error) => {
                        let answer = error.0.answer().map(|response| response.to_bytes());
                        return (Error::Unframed(error.to_string()), answer);
                    }
                }
            }
            if framer.buffered() == 0 {
                begun = None;
            } else {
                // From the first octet of a message, however slowly the others drip in.
                begun.get_or_insert(at);
            }
            // The other half has its turn, however much the peer sends.
            tokio::task::yield_now().await;
        }
    }

    async fn write_stream<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        pulse: &Pulse,
        mut beat: Beat,
        course: &mut Course,
    ) -> Error {
        loop {
            let (bytes, is_message) = tokio::select! {
                biased;
                due = beat.due(pulse) => match due {
                    Due::Ping => {
                        pulse.expect();
                        (PING.to_vec(), false)
                    }
                    Due::Failed => return Error::FlowFailed,
                },
                () = pulse.reply.notified() => (PONG.to_vec(), false),
                message = queue.recv() => match message {
                    Some(bytes) => (bytes, true),
                    None => return Error::Dismissed,
                },
            };
            let unwritten = if is_message {
                &*course.unwritten.insert(bytes)
            } else {
                &bytes
            };
            let writing = async {
                writer.write_all(unwritten).await?;
                writer.flush().await
            };
            match tokio::time::timeout(self.shared.limits.write, writing).await {
                Ok(Ok(())) if is_message => self.on_written(course),
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Self::error_of(&error),
                Err(_) => return Error::SlowReader,
            }
        }
    }
}

/// SIP on a WebSocket.
impl Connection {
    async fn carry_websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        websocket: WebSocketStream<S>,
        meter: &AtomicU64,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        course: &mut Course,
    ) -> Error {
        let (mut writer, reader) = websocket.split();
        let pulse = Pulse::default();
        let beat = Beat::new(self.keepalive.clone(), self.shared.limits.pong);
        let error = tokio::select! {
            biased;
            error = self.read_websocket(reader, meter, &pulse) => error,
            error = self.write_websocket(&mut writer, queue, &pulse, beat, course) => error,
        };
        let _ = tokio::time::timeout(FAREWELL, writer.close()).await;
        error
    }

    async fn read_websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut reader: SplitStream<WebSocketStream<S>>,
        meter: &AtomicU64,
        pulse: &Pulse,
    ) -> Error {
        let limits = &self.shared.limits;
        let up_since = Instant::now();
        let mut whole = meter.load(Ordering::Relaxed);
        let mut begun: Option<Instant> = None;
        loop {
            let idle = self.patience(up_since);
            // The library does not say when a message begins: the octets that it reads do.
            let look = Instant::now() + limits.unfinished / 2;
            let item = tokio::select! {
                item = reader.next() => item,
                () = until(idle) => return Error::Idle,
                () = tokio::time::sleep_until(look) => {
                    let is_partial = meter.load(Ordering::Relaxed) != whole;
                    match begun {
                        Some(since) if is_partial && since.elapsed() >= limits.unfinished => {
                            return Error::Unfinished;
                        }
                        _ => begun = is_partial.then(|| begun.unwrap_or_else(Instant::now)),
                    }
                    continue;
                }
            };
            let at = Instant::now();
            let message = match item {
                Some(Ok(message)) => message,
                Some(Err(error)) => return websocket::of_flow(&error),
                None => return Error::Closed,
            };
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                begun = None;
                whole = meter.load(Ordering::Relaxed);
            } else if begun.is_none() {
                whole = meter.load(Ordering::Relaxed);
            }
            self.on_heard();
            let bytes = match message {
                Message::Text(text) => Bytes::from(text),
                Message::Binary(bytes) => bytes,
                Message::Pong(_) => {
                    pulse.on_pong();
                    continue;
                }
                // The library answers pings, and it goes on being read until the peer hangs up.
                Message::Ping(_) | Message::Close(_) | Message::Frame(_) => continue,
            };
            // Keepalives of streams have no meaning here and do no harm.
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if !self.bring(bytes.into(), at.into_std()).await {
                return Error::Dismissed;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn write_websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        writer: &mut SplitSink<WebSocketStream<S>, Message>,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        pulse: &Pulse,
        mut beat: Beat,
        course: &mut Course,
    ) -> Error {
        loop {
            let message = tokio::select! {
                biased;
                due = beat.due(pulse) => match due {
                    Due::Ping => {
                        pulse.expect();
                        Message::Ping(Bytes::new())
                    }
                    Due::Failed => return Error::FlowFailed,
                },
                message = queue.recv() => match message {
                    Some(bytes) => framed(Bytes::from(course.unwritten.insert(bytes).clone())),
                    None => return Error::Dismissed,
                },
            };
            match tokio::time::timeout(self.shared.limits.write, writer.send(message)).await {
                // After a ping there is nothing to take off the list.
                Ok(Ok(())) => self.on_written(course),
                Ok(Err(error)) => return websocket::of_flow(&error),
                Err(_) => return Error::SlowReader,
            }
        }
    }
}

/// One message in one frame: as text when it is, since some peers take nothing else (RFC 7118 §5).
fn framed(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}

/// What keepalives need both halves of a connection for.
#[derive(Default)]
struct Pulse {
    /// A ping is to be answered.
    reply: Notify,
    /// A ping of ours was answered.
    pong: Notify,
    /// Pings of ours without answer so far, and those that the framer knows of.
    due: AtomicU32,
    untold: AtomicU32,
}

impl Pulse {
    /// A ping is about to be sent.
    fn expect(&self) {
        self.due.fetch_add(1, Ordering::AcqRel);
        self.untold.fetch_add(1, Ordering::AcqRel);
    }

    fn tell(&self, framer: &mut StreamFramer) {
        for _ in 0..self.untold.swap(0, Ordering::AcqRel) {
            framer.expect_pong();
        }
    }

    /// A stray line end is no answer to what was not asked.
    fn on_pong(&self) {
        if self.due.swap(0, Ordering::AcqRel) > 0 {
            self.pong.notify_one();
        }
    }
}

/// When to send a ping, and when to give up waiting for its answer.
struct Beat {
    pace: watch::Receiver<Option<Pace>>,
    patience: Duration,
    is_set: bool,
    /// Whether the peer has answered a ping.
    has_answered: bool,
    next: Option<Instant>,
    pong_by: Option<Instant>,
}

enum Due {
    Ping,
    Failed,
}

impl Beat {
    fn new(mut pace: watch::Receiver<Option<Pace>>, patience: Duration) -> Self {
        pace.mark_changed();
        Self {
            pace,
            patience,
            is_set: true,
            has_answered: false,
            next: None,
            pong_by: None,
        }
    }

    /// Waits for what is due next. Can be dropped and asked again at any time.
    async fn due(&mut self, pulse: &Pulse) -> Due {
        loop {
            tokio::select! {
                biased;
                () = pulse.pong.notified(), if self.pong_by.is_some() => {
                    self.has_answered = true;
                    self.pong_by = None;
                }
                () = until(self.pong_by) => {
                    let is_strict = self.pace.borrow().is_none_or(|pace| pace.strict);
                    if is_strict || self.has_answered {
                        return Due::Failed;
                    }
                    self.pong_by = None;
                }
                changed = self.pace.changed(), if self.is_set => {
                    self.is_set = changed.is_ok();
                    let pace = *self.pace.borrow_and_update();
                    self.next = spread(pace.map(|pace| pace.every));
                }
                () = until(self.next) => {
                    let pace = *self.pace.borrow();
                    self.next = spread(pace.map(|pace| pace.every));
                    if self.pong_by.is_none() {
                        self.pong_by = Some(Instant::now() + self.patience);
                        return Due::Ping;
                    }
                }
            }
        }
    }
}

/// A time between 80 and 100 percent of the interval, so that a thousand phones do not ping at once
/// (RFC 5626 §4.4.1).
pub(crate) fn spread(every: Option<Duration>) -> Option<Instant> {
    let every = every.filter(|every| !every.is_zero())?;
    let share = getrandom::u32().unwrap_or(0) % 2_001;
    Some(Instant::now() + every * (8_000 + share) / 10_000)
}

pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A stream of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A stream that is ready for SIP or for a WebSocket.
struct Begun {
    stream: Box<dyn Io>,
    secured: Option<Secured>,
    /// `None` on the side of the server.
    towards: Option<Towards>,
}

async fn begin(path: &Path, beginning: Beginning, limits: &crate::Limits) -> Result<Begun, Error> {
    match beginning {
        Beginning::Open(towards) => {
            let stream = open(path, limits).await?;
            if !path.transport.is_secure() {
                return Ok(Begun {
                    stream: Box::new(stream),
                    secured: None,
                    towards: Some(towards),
                });
            }
            let Some(tls) = &towards.tls else {
                return Err(Error::Unusable("TLS is not set up".to_owned()));
            };
            let domain = match &towards.domain {
                Some(domain) => domain.clone(),
                None => path.remote.ip().to_string(),
            };
            let (stream, secured) = tls.connect(&domain, stream, limits.handshake).await?;
            Ok(Begun {
                stream: Box::new(stream),
                secured: Some(secured),
                towards: Some(towards),
            })
        }
        Beginning::Accepted(stream, door) => {
            // SIP messages are whole thoughts: waiting to fill a segment only delays them.
            let _ = stream.set_nodelay(true);
            match door {
                Door::Tcp | Door::Ws => Ok(Begun {
                    stream: Box::new(stream),
                    secured: None,
                    towards: None,
                }),
                Door::Tls(tls) | Door::Wss(tls) => {
                    let (stream, secured) = tls.accept(stream, limits.handshake).await?;
                    Ok(Begun {
                        stream: Box::new(stream),
                        secured: Some(secured),
                        towards: None,
                    })
                }
            }
        }
    }
}

async fn open(path: &Path, limits: &crate::Limits) -> Result<TcpStream, Error> {
    let connecting = connect_from(path.local, path.remote);
    let stream = tokio::time::timeout(limits.connect, connecting)
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(|e| Error::of_connecting(&e))?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Connects from the address that our Via names; where that is none of this machine, from whichever
/// the system takes.
async fn connect_from(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    let mut local = local;
    local.set_port(0);
    if local.is_ipv4() == remote.is_ipv4() && !local.ip().is_unspecified() {
        let _ = socket.bind(local);
    }
    socket.connect(remote).await
}

/// Counts what is read.
struct Metered {
    inner: Box<dyn Io>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.read
            .fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
