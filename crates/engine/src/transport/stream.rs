//! Connections: opened when needed, reused in both directions, framed by Content-Length.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use sip_core::{FlowId, Path, Transport, TransportError};
use sip_message::Message;
use sip_message::framer::{Frame, StreamFramer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::{Owner, Received, TransportMsg, branch_of, next_flow, transport_error};
use crate::wake::now;

/// How long a connection may take to come up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Connections of one tenant at a time, ours and theirs.
const CONNECTIONS: usize = 1_024;
/// How many of them may be theirs: a crowd at the door leaves us a way out.
const ACCEPTED: usize = 512;
/// Messages waiting for one connection.
const WRITE_QUEUE: usize = 256;
/// How long a peer that does not read may hold up a write.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a request may wait for its first answer: 64·T1.
const ANSWER_PATIENCE: Duration = Duration::from_secs(32);
/// How long the rest of a message that has begun may take.
const UNFINISHED: Duration = Duration::from_secs(10);
/// As good as for ever.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
/// What is read at a time.
const READ_CHUNK: usize = 16 * 1024;

/// What happens to connections.
pub(crate) enum StreamEvent {
    /// A peer connected to our listener.
    Accepted {
        stream: TcpStream,
        remote: SocketAddr,
        local: SocketAddr,
    },
    /// A connection ended, or never came up.
    Ended {
        flow: FlowId,
        error: TransportError,
        was_up: bool,
    },
}

/// What an ended connection takes with it.
pub(crate) enum Loss {
    /// A message that did not leave.
    Unsent {
        owner: Owner,
        bytes: Vec<u8>,
        error: TransportError,
    },
    /// The flow.
    Flow(FlowId),
}

/// The connections of one tenant.
pub(super) struct Connections {
    actor: ActorRef<TransportMsg>,
    permits: Arc<Semaphore>,
    by_flow: HashMap<FlowId, Connection>,
    listeners: Vec<JoinHandle<()>>,
}

struct Connection {
    path: Path,
    /// Whether the peer opened it.
    accepted: bool,
    writer: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
    /// Requests that were handed over, so that their owners hear when the connection fails. Bounded:
    /// only the newest can still be waited for. Of responses nobody needs to hear: whoever misses
    /// one asks again.
    handed_over: Vec<HandedOver>,
}

/// A request that was handed over and had no answer yet.
struct HandedOver {
    owner: Owner,
    bytes: Vec<u8>,
    branch: String,
    at: Instant,
    /// Whether it was on another connection before.
    again: bool,
}

impl Connection {
    fn remember(&mut self, request: HandedOver) {
        if self.handed_over.len() >= WRITE_QUEUE {
            self.handed_over.drain(..WRITE_QUEUE / 2);
        }
        self.handed_over.push(request);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

impl Connections {
    pub(super) fn new(actor: ActorRef<TransportMsg>, permits: usize) -> Self {
        Self {
            actor,
            permits: Arc::new(Semaphore::new(permits)),
            by_flow: HashMap::new(),
            listeners: Vec::new(),
        }
    }

    /// Accepts connections from now on.
    pub(super) fn accept_from(&mut self, listener: Arc<TcpListener>) {
        let actor = self.actor.clone();
        self.listeners.push(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, remote)) => {
                        let Ok(local) = stream.local_addr() else {
                            continue;
                        };
                        let event = StreamEvent::Accepted {
                            stream,
                            remote,
                            local,
                        };
                        if actor.cast(TransportMsg::Stream(event)).is_err() {
                            return;
                        }
                    }
                    // Out of file descriptors, most likely: give others the time to close some.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }));
    }

    /// Sends on `flow` while it lives, else on any connection to the same peer, else on a new one.
    pub(super) fn send(
        &mut self,
        flow: Option<FlowId>,
        path: Path,
        bytes: &[u8],
        owner: &Owner,
    ) -> Result<(), TransportError> {
        let flow = flow
            .filter(|flow| self.by_flow.contains_key(flow))
            .or_else(|| {
                self.by_flow
                    .iter()
                    .find(|(_, c)| c.path.remote == path.remote)
                    .map(|(flow, _)| *flow)
            });
        let flow = match flow {
            Some(flow) => flow,
            None => self.connect(path)?,
        };
        let Some(connection) = self.by_flow.get_mut(&flow) else {
            return Err(TransportError::Closed);
        };
        if connection.writer.try_send(bytes.to_vec()).is_err() {
            return Err(TransportError::Other("the peer does not read".to_owned()));
        }
        if let Some(branch) = request_branch(bytes) {
            connection.remember(HandedOver {
                owner: owner.clone(),
                bytes: bytes.to_vec(),
                branch,
                at: now(),
                again: false,
            });
        }
        Ok(())
    }

    /// A response came: the request it answers has left, whatever becomes of its connection.
    pub(super) fn on_response(&mut self, branch: &str) {
        for connection in self.by_flow.values_mut() {
            connection.handed_over.retain(|r| r.branch != branch);
        }
    }

    /// The connection may have been closing already when the request was written to it. On a new one
    /// it is a repeat to a peer that knows it, and news to one that does not (RFC 3261 §17.2).
    fn send_again(&mut self, path: Path, request: HandedOver) -> Option<Loss> {
        let HandedOver { owner, bytes, .. } = request;
        let sent = self.send(None, path, &bytes, &owner);
        let remembered = self
            .by_flow
            .values_mut()
            .filter_map(|c| c.handed_over.last_mut())
            .find(|r| r.branch == request.branch);
        if let Some(remembered) = remembered {
            remembered.again = true;
            remembered.at = request.at;
        }
        sent.err().map(|error| Loss::Unsent {
            owner,
            bytes,
            error,
        })
    }

    /// Answers on the connection a request came by, and on no other.
    pub(super) fn answer(&mut self, flow: FlowId, bytes: &[u8]) -> Result<(), TransportError> {
        match self.by_flow.get(&flow) {
            Some(connection) if connection.writer.try_send(bytes.to_vec()).is_ok() => Ok(()),
            _ => Err(TransportError::Closed),
        }
    }

    fn connect(&mut self, path: Path) -> Result<FlowId, TransportError> {
        self.check_room()?;
        let flow = next_flow();
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let (actor, permits) = (self.actor.clone(), Arc::clone(&self.permits));
        let task = tokio::spawn(async move {
            let connecting = TcpStream::connect(path.remote);
            let (error, was_up) = match tokio::time::timeout(CONNECT_PATIENCE, connecting).await {
                Ok(Ok(stream)) => {
                    let error = carry(stream, flow, path, queue, &actor, &permits).await;
                    (error, true)
                }
                Ok(Err(error)) => (transport_error(&error), false),
                Err(_) => (TransportError::TimedOut, false),
            };
            let _ = actor.cast(TransportMsg::Stream(StreamEvent::Ended {
                flow,
                error,
                was_up,
            }));
        });
        self.by_flow.insert(
            flow,
            Connection {
                path,
                accepted: false,
                writer,
                task,
                handed_over: Vec::new(),
            },
        );
        Ok(flow)
    }

    /// What the event takes with it.
    pub(super) fn on_event(&mut self, event: StreamEvent) -> Vec<Loss> {
        match event {
            StreamEvent::Accepted {
                stream,
                remote,
                local,
            } => {
                if self.by_flow.values().filter(|c| c.accepted).count() < ACCEPTED {
                    self.accept(stream, remote, local);
                }
                Vec::new()
            }
            StreamEvent::Ended {
                flow,
                error,
                was_up,
            } => {
                let Some(mut connection) = self.by_flow.remove(&flow) else {
                    return Vec::new();
                };
                let unanswered = std::mem::take(&mut connection.handed_over);
                // Nobody listens at the port that a peer connected from.
                let another = was_up && !connection.accepted;
                let mut losses = vec![Loss::Flow(flow)];
                for request in unanswered {
                    if now().saturating_duration_since(request.at) >= ANSWER_PATIENCE {
                        continue;
                    }
                    if another && !request.again {
                        losses.extend(self.send_again(connection.path, request));
                    } else {
                        losses.push(Loss::Unsent {
                            owner: request.owner,
                            bytes: request.bytes,
                            error: error.clone(),
                        });
                    }
                }
                losses
            }
        }
    }

    fn accept(&mut self, stream: TcpStream, remote: SocketAddr, local: SocketAddr) {
        let flow = next_flow();
        let path = Path {
            transport: Transport::Tcp,
            remote,
            local,
        };
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let (actor, permits) = (self.actor.clone(), Arc::clone(&self.permits));
        let task = tokio::spawn(async move {
            let error = carry(stream, flow, path, queue, &actor, &permits).await;
            let _ = actor.cast(TransportMsg::Stream(StreamEvent::Ended {
                flow,
                error,
                was_up: true,
            }));
        });
        self.by_flow.insert(
            flow,
            Connection {
                path,
                accepted: true,
                writer,
                task,
                handed_over: Vec::new(),
            },
        );
    }

    fn check_room(&self) -> Result<(), TransportError> {
        if self.by_flow.len() < CONNECTIONS {
            return Ok(());
        }
        Err(TransportError::Other("too many connections".to_owned()))
    }
}

/// The branch of a request that waits for an answer; responses and ACKs do not.
fn request_branch(bytes: &[u8]) -> Option<String> {
    if bytes.starts_with(b"SIP/2.0 ") || bytes.starts_with(b"ACK ") {
        return None;
    }
    branch_of(&Message::parse(bytes).ok()?)
}

/// A listener at this address.
pub(super) fn open_listener(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A listener that was closed a moment ago leaves connections in TIME-WAIT.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

/// Carries one connection until it ends; the result is why.
async fn carry(
    stream: TcpStream,
    flow: FlowId,
    path: Path,
    queue: mpsc::Receiver<Vec<u8>>,
    actor: &ActorRef<TransportMsg>,
    permits: &Arc<Semaphore>,
) -> TransportError {
    // SIP messages are whole thoughts: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (pongs, pong_queue) = mpsc::channel(1);
    tokio::select! {
        error = read(reader, flow, path, actor, permits, pongs) => error,
        error = write(writer, queue, pong_queue) => error,
    }
}

async fn read(
    mut reader: OwnedReadHalf,
    flow: FlowId,
    path: Path,
    actor: &ActorRef<TransportMsg>,
    permits: &Arc<Semaphore>,
    pongs: mpsc::Sender<()>,
) -> TransportError {
    let mut framer = StreamFramer::default();
    let mut chunk = vec![0_u8; READ_CHUNK];
    loop {
        // Silence between messages is fine; a message that is begun and never ended holds a place.
        let patience = if framer.buffered() == 0 {
            FOR_EVER
        } else {
            UNFINISHED
        };
        let length = match tokio::time::timeout(patience, reader.read(&mut chunk)).await {
            Ok(Ok(0)) => return TransportError::Closed,
            Ok(Ok(length)) => length,
            Ok(Err(error)) => return transport_error(&error),
            Err(_) => return TransportError::TimedOut,
        };
        let at = now();
        framer.push(chunk.get(..length).unwrap_or_default());
        loop {
            match framer.poll() {
                Ok(None) => break,
                Ok(Some(Frame::Message(bytes))) => {
                    let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
                        return TransportError::Closed;
                    };
                    let received = Received {
                        flow,
                        path,
                        bytes,
                        at,
                        wall: crate::wall(),
                        permit,
                    };
                    if actor.cast(TransportMsg::Received(received)).is_err() {
                        return TransportError::Closed;
                    }
                }
                // RFC 5626 §4.4.1: one pong for a ping; a full queue already holds one.
                Ok(Some(Frame::Ping)) => drop(pongs.try_send(())),
                Ok(Some(Frame::Pong)) => {}
                Err(error) => {
                    return TransportError::Other(error.to_string());
                }
            }
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
    mut pongs: mpsc::Receiver<()>,
) -> TransportError {
    loop {
        let bytes = tokio::select! {
            message = queue.recv() => match message {
                Some(bytes) => bytes,
                None => return TransportError::Closed,
            },
            Some(()) = pongs.recv() => b"\r\n".to_vec(),
        };
        match tokio::time::timeout(WRITE_PATIENCE, writer.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return transport_error(&error),
            Err(_) => return TransportError::TimedOut,
        }
    }
}
