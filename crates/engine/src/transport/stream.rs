//! Connections: opened when needed, reused in both directions, framed by Content-Length.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use sip_core::{FlowId, Path, Transport, TransportError};
use sip_message::framer::{Frame, StreamFramer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::{Owner, Received, TransportMsg, transport_error};
use crate::wake::now;

/// How long a connection may take to come up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Connections of one tenant at a time, ours and theirs.
const CONNECTIONS: usize = 1_024;
/// Messages waiting for one connection.
const WRITE_QUEUE: usize = 256;
/// How long a peer that does not read may hold up a write.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
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
    Ended { flow: FlowId, error: TransportError },
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
    next_flow: u64,
}

struct Connection {
    remote: SocketAddr,
    writer: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
    /// What was handed over, so that its owner hears when the connection fails. Bounded: only the
    /// newest can still be waited for.
    handed_over: Vec<(Owner, Vec<u8>)>,
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
            next_flow: 1,
        }
    }

    /// Accepts connections at `bind` from now on.
    pub(super) fn listen(&mut self, bind: SocketAddr) -> io::Result<()> {
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
        let listener = TcpListener::from_std(socket.into())?;
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
        Ok(())
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
                    .find(|(_, c)| c.remote == path.remote)
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
        if connection.handed_over.len() >= WRITE_QUEUE {
            connection.handed_over.drain(..WRITE_QUEUE / 2);
        }
        connection.handed_over.push((owner.clone(), bytes.to_vec()));
        Ok(())
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
        let flow = self.take_flow();
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let (actor, permits) = (self.actor.clone(), Arc::clone(&self.permits));
        let task = tokio::spawn(async move {
            let connecting = TcpStream::connect(path.remote);
            let error = match tokio::time::timeout(CONNECT_PATIENCE, connecting).await {
                Ok(Ok(stream)) => carry(stream, flow, path, queue, &actor, &permits).await,
                Ok(Err(error)) => transport_error(&error),
                Err(_) => TransportError::TimedOut,
            };
            let _ = actor.cast(TransportMsg::Stream(StreamEvent::Ended { flow, error }));
        });
        self.by_flow.insert(
            flow,
            Connection {
                remote: path.remote,
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
                if self.check_room().is_ok() {
                    self.accept(stream, remote, local);
                }
                Vec::new()
            }
            StreamEvent::Ended { flow, error } => {
                let Some(mut connection) = self.by_flow.remove(&flow) else {
                    return Vec::new();
                };
                let unsent = std::mem::take(&mut connection.handed_over);
                let mut losses: Vec<Loss> = unsent
                    .into_iter()
                    .map(|(owner, bytes)| Loss::Unsent {
                        owner,
                        bytes,
                        error: error.clone(),
                    })
                    .collect();
                losses.push(Loss::Flow(flow));
                losses
            }
        }
    }

    fn accept(&mut self, stream: TcpStream, remote: SocketAddr, local: SocketAddr) {
        let flow = self.take_flow();
        let path = Path {
            transport: Transport::Tcp,
            remote,
            local,
        };
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let (actor, permits) = (self.actor.clone(), Arc::clone(&self.permits));
        let task = tokio::spawn(async move {
            let error = carry(stream, flow, path, queue, &actor, &permits).await;
            let _ = actor.cast(TransportMsg::Stream(StreamEvent::Ended { flow, error }));
        });
        self.by_flow.insert(
            flow,
            Connection {
                remote,
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

    fn take_flow(&mut self) -> FlowId {
        let flow = FlowId(self.next_flow);
        self.next_flow += 1;
        flow
    }
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
        let length = match reader.read(&mut chunk).await {
            Ok(0) => return TransportError::Closed,
            Ok(length) => length,
            Err(error) => return transport_error(&error),
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
