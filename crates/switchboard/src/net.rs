//! The sockets of a switchboard, and the one task that turns its handle.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sip_core::{Destination, FlowId, Inbound, Path, Seed, Transport, TransportError};
use sip_message::Message;
use sip_message::framer::{Frame, StreamFramer};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::exchange::{Action, Exchange, LineId};
use crate::line::Line;

/// Messages between the sockets and the exchange at any time; more are dropped (UDP) or wait (TCP).
const INPUTS: usize = 4_096;
/// Connections at a time.
const CONNECTIONS: usize = 1_024;
/// Messages waiting for one connection.
const WRITE_QUEUE: usize = 256;
/// How long a connection may take to come up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an idle exchange sleeps at most.
const LONG: Duration = Duration::from_secs(3_600);
/// How often the idle are looked for.
const LOOK: Duration = Duration::from_secs(10);
/// How long a connection by which no message has ever come may stay.
const UNPROVEN: Duration = Duration::from_secs(32);
/// For how many looks a line may hear nothing (half an hour) before its caller is taken for dead.
const SILENT_LOOKS: u32 = 180;
/// How often a free port for both UDP and TCP is looked for.
const PORT_TRIES: usize = 16;

/// Something that happened at a switchboard, in a line of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening(pub String);

/// Why a switchboard did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error("{transport} {addr} cannot be used: {source}")]
    Listen {
        /// The transport.
        transport: Transport,
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The log file.
    #[error("the log file cannot be written: {0}")]
    Log(io::Error),
}

/// A running switchboard. Dropping it stops it.
pub struct Switchboard {
    local: Vec<(Transport, SocketAddr)>,
    happenings: broadcast::Sender<Happening>,
    counts: mpsc::Sender<oneshot::Sender<[usize; 3]>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Switchboard {
    /// Binds, and serves from then on. A port of zero becomes a free one, the same for UDP and TCP
    /// when both ask for zero at the same address.
    ///
    /// # Errors
    /// When an address cannot be used or the log cannot be written.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let log = match &config.log {
            Some(path) => Some(
                File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .await
                    .map_err(StartError::Log)?,
            ),
            None => None,
        };
        // Nothing runs before everything is bound: what fails leaves nothing behind.
        let mut bound = bind_all(&config.listen).await;
        for _ in 1..PORT_TRIES {
            // A port that was free for UDP may be taken for TCP; another one may not.
            match &bound {
                Err(StartError::Listen { source, addr, .. })
                    if source.kind() == io::ErrorKind::AddrInUse
                        && !config.listen.iter().any(|(_, asked)| asked == addr) => {}
                _ => break,
            }
            bound = bind_all(&config.listen).await;
        }
        let (inputs, queue) = mpsc::channel(INPUTS);
        let mut tasks = Vec::new();
        let mut sockets = Vec::new();
        let mut local = Vec::new();
        for (index, bound) in bound?.into_iter().enumerate() {
            match bound {
                Bound::Udp(socket, addr) => {
                    let socket = Arc::new(socket);
                    let flow = FlowId((index as u64 + 1) << 32);
                    local.push((Transport::Udp, addr));
                    tasks.push(tokio::spawn(read_datagrams(
                        Arc::clone(&socket),
                        flow,
                        addr,
                        inputs.clone(),
                    )));
                    sockets.push((flow, addr, socket));
                }
                Bound::Tcp(listener, addr) => {
                    local.push((Transport::Tcp, addr));
                    tasks.push(tokio::spawn(accept(listener, inputs.clone())));
                }
            }
        }
        let mut seed = [0_u8; 32];
        getrandom::fill(&mut seed).expect("the operating system gives randomness");
        let exchange = Exchange::new(
            config.users,
            config.hosts,
            &config.realm,
            local.clone(),
            source_ip,
            &Seed(seed),
        );
        let (happenings, _) = broadcast::channel(256);
        let (counts, count_queue) = mpsc::channel(4);
        let served = Served {
            exchange,
            sockets,
            connections: HashMap::new(),
            next_flow: 1,
            inputs,
            lines: HashMap::new(),
            happenings: happenings.clone(),
            log,
        };
        tasks.push(tokio::spawn(served.run(queue, count_queue)));
        Ok(Self {
            local,
            happenings,
            counts,
            tasks,
        })
    }

    /// Where it listens, with the ports it got.
    pub fn local_addrs(&self) -> &[(Transport, SocketAddr)] {
        &self.local
    }

    /// What happens from now on.
    pub fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.happenings.subscribe()
    }

    /// Requests under way, calls to test numbers, and bindings.
    pub async fn counts(&self) -> Option<[usize; 3]> {
        let (answer, answered) = oneshot::channel();
        self.counts.send(answer).await.ok()?;
        answered.await.ok()
    }
}

enum Bound {
    Udp(UdpSocket, SocketAddr),
    Tcp(TcpListener, SocketAddr),
}

/// Binds all that is asked for; a zero port is the one that an earlier zero at the same address got.
async fn bind_all(listen: &[(Transport, SocketAddr)]) -> Result<Vec<Bound>, StartError> {
    let mut all: Vec<Bound> = Vec::new();
    for (transport, asked) in listen {
        let transport = *transport;
        let mut addr = *asked;
        let same_ip = |bound: &Bound| match (bound, transport) {
            (Bound::Udp(_, at), Transport::Tcp) | (Bound::Tcp(_, at), Transport::Udp) => {
                (at.ip() == asked.ip()).then_some(at.port())
            }
            _ => None,
        };
        if addr.port() == 0 {
            addr.set_port(all.iter().find_map(same_ip).unwrap_or(0));
        }
        let error = |source| StartError::Listen {
            transport,
            addr,
            source,
        };
        all.push(match transport {
            Transport::Udp => {
                let socket = bind_udp(addr).map_err(error)?;
                let at = socket.local_addr().map_err(error)?;
                Bound::Udp(socket, at)
            }
            _ => {
                let listener = TcpListener::bind(addr).await.map_err(error)?;
                let at = listener.local_addr().map_err(error)?;
                Bound::Tcp(listener, at)
            }
        });
    }
    Ok(all)
}

/// What the sockets bring.
enum Input {
    Message {
        bytes: Vec<u8>,
        inbound: Inbound,
    },
    Accepted {
        stream: TcpStream,
        remote: SocketAddr,
        local: SocketAddr,
    },
    Ended {
        flow: FlowId,
        /// What still waited to be written.
        unsent: Vec<Vec<u8>>,
        error: TransportError,
    },
}

struct Served {
    exchange: Exchange,
    sockets: Vec<(FlowId, SocketAddr, Arc<UdpSocket>)>,
    connections: HashMap<FlowId, Connection>,
    next_flow: u64,
    inputs: mpsc::Sender<Input>,
    lines: HashMap<LineId, (Line, Heard)>,
    happenings: broadcast::Sender<Happening>,
    log: Option<File>,
}

/// How many packets a line had heard at the last look, and for how many looks it has been so.
#[derive(Default)]
struct Heard {
    packets: u64,
    silent: u32,
}

struct Connection {
    remote: SocketAddr,
    /// Whether a whole message has come by it, and when something came last.
    proven: bool,
    last: Instant,
    writer: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<Input>,
        mut counts: mpsc::Receiver<oneshot::Sender<[usize; 3]>>,
    ) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.exchange.deadline().unwrap_or_else(|| now() + LONG);
            tokio::select! {
                input = queue.recv() => match input {
                    Some(input) => self.on_input(input).await,
                    None => return,
                },
                () = tokio::time::sleep_until(deadline.into()) => self.exchange.handle_timeout(now()),
                _ = looks.tick() => self.look_for_the_idle(),
                Some(answer) = counts.recv() => drop(answer.send(self.exchange.counts())),
            }
            self.act().await;
        }
    }

    /// Ends connections that never brought a message, and calls of which nothing is heard.
    fn look_for_the_idle(&mut self) {
        let now = now();
        self.connections
            .retain(|_, c| c.proven || now.saturating_duration_since(c.last) < UNPROVEN);
        let mut dead = Vec::new();
        for (id, (line, heard)) in &mut self.lines {
            let packets = line.heard();
            heard.silent = if packets == heard.packets {
                heard.silent + 1
            } else {
                0
            };
            heard.packets = packets;
            if heard.silent == SILENT_LOOKS {
                dead.push(*id);
            }
        }
        for id in dead {
            self.exchange.hang_up_line(now, id);
        }
    }

    /// Makes room for another connection: the one that has been quiet for the longest time goes,
    /// one that never brought a message before one that did.
    fn make_room(&mut self) {
        if self.connections.len() < CONNECTIONS {
            return;
        }
        let quietest = self
            .connections
            .iter()
            .min_by_key(|(_, c)| (c.proven, c.last));
        if let Some(flow) = quietest.map(|(flow, _)| *flow) {
            self.connections.remove(&flow);
            self.exchange.handle_flow_closed(flow);
        }
    }

    async fn on_input(&mut self, input: Input) {
        match input {
            Input::Message { bytes, inbound } => {
                if let Some(connection) = self.connections.get_mut(&inbound.flow) {
                    connection.proven = true;
                    connection.last = now();
                }
                self.write_log("from", &inbound.path, &bytes).await;
                match Message::parse(&bytes) {
                    Ok(message) => self.exchange.handle_message(now(), message, inbound),
                    Err(error) => {
                        if let Some(response) = error.answer() {
                            self.send(inbound.destination(), &response.to_bytes()).await;
                        }
                    }
                }
            }
            Input::Accepted {
                stream,
                remote,
                local,
            } => {
                self.make_room();
                let path = Path {
                    transport: Transport::Tcp,
                    remote,
                    local,
                };
                self.add_connection(path, false, async move { Ok(stream) });
            }
            Input::Ended {
                flow,
                unsent,
                error,
            } => {
                self.connections.remove(&flow);
                self.exchange.handle_flow_closed(flow);
                for branch in unsent.iter().filter_map(|bytes| branch_of(bytes)) {
                    self.exchange.handle_transport_error(now(), &branch, &error);
                }
            }
        }
    }

    /// Does what the exchange wants, until it wants nothing more.
    async fn act(&mut self) {
        loop {
            let actions = self.exchange.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act_once(action).await;
            }
        }
    }

    async fn act_once(&mut self, action: Action) {
        match action {
            Action::Send(sending) => self.send(sending.destination, &sending.bytes).await,
            Action::Log(line) => drop(self.happenings.send(Happening(line))),
            Action::OpenLine {
                line,
                number,
                offer,
                local,
                peer,
            } => {
                let described = match Line::open(number, local, peer, random()).await {
                    Ok(mut opened) => {
                        let described = opened.describe(offer.as_deref());
                        self.lines.insert(line, (opened, Heard::default()));
                        described.map_err(|_| sip_message::StatusCode::NOT_ACCEPTABLE_HERE)
                    }
                    Err(_) => Err(sip_message::StatusCode::SERVICE_UNAVAILABLE),
                };
                self.exchange.answer_line(now(), line, described);
            }
            Action::ChangeLine { line, offer } => {
                if let Some((open, _)) = self.lines.get_mut(&line) {
                    let described = open
                        .describe(offer.as_deref())
                        .map_err(|_| sip_message::StatusCode::NOT_ACCEPTABLE_HERE);
                    self.exchange.answer_line(now(), line, described);
                }
            }
            Action::LineAnswered { line, answer } => {
                if let Some((open, _)) = self.lines.get_mut(&line)
                    && let Err(error) = open.handle_answer(&answer)
                {
                    let _ = self
                        .happenings
                        .send(Happening(format!("line {}: {error}", line.0)));
                }
            }
            Action::CloseLine { line } => drop(self.lines.remove(&line)),
        }
    }

    async fn send(&mut self, destination: Destination, bytes: &[u8]) {
        let path = *destination.path();
        self.write_log("to", &path, bytes).await;
        let result = match destination {
            Destination::Flow { id, path } if path.transport == Transport::Udp => {
                let socket = self
                    .sockets
                    .iter()
                    .find(|(flow, ..)| *flow == id)
                    .map(|(.., s)| Arc::clone(s));
                send_datagram(socket, path.remote, bytes).await
            }
            Destination::Path(path) if path.transport == Transport::Udp => {
                let fits = |local: &SocketAddr| {
                    local.port() == path.local.port() && local.is_ipv4() == path.remote.is_ipv4()
                };
                let exact = self.sockets.iter().find(|(_, l, _)| *l == path.local);
                let socket = exact
                    .or_else(|| self.sockets.iter().find(|(_, local, _)| fits(local)))
                    .map(|(.., s)| Arc::clone(s));
                send_datagram(socket, path.remote, bytes).await
            }
            Destination::Flow { id, path } => self.send_on(Some(id), path, bytes),
            Destination::Path(path) => self.send_on(None, path, bytes),
        };
        if let Err(error) = result
            && let Some(branch) = branch_of(bytes)
        {
            self.exchange.handle_transport_error(now(), &branch, &error);
        }
    }

    /// On the flow while it lives, else on any connection to the same peer, else on a new one.
    fn send_on(
        &mut self,
        flow: Option<FlowId>,
        path: Path,
        bytes: &[u8],
    ) -> Result<(), TransportError> {
        let flow = flow
            .filter(|flow| self.connections.contains_key(flow))
            .or_else(|| {
                self.connections
                    .iter()
                    .find(|(_, c)| c.remote == path.remote)
                    .map(|(f, _)| *f)
            });
        let flow = match flow {
            Some(flow) => flow,
            None => {
                self.make_room();
                let remote = path.remote;
                self.add_connection(path, true, async move {
                    tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(remote))
                        .await
                        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                })
            }
        };
        let connection = self.connections.get(&flow).ok_or(TransportError::Closed)?;
        let sent = connection.writer.try_send(bytes.to_vec());
        if sent.is_err() {
            // A peer that lets its queue run full does not read any more.
            self.connections.remove(&flow);
            self.exchange.handle_flow_closed(flow);
        }
        sent.map_err(|_| TransportError::Closed)
    }

    fn add_connection(
        &mut self,
        path: Path,
        proven: bool,
        stream: impl Future<Output = io::Result<TcpStream>> + Send + 'static,
    ) -> FlowId {
        let flow = FlowId(self.next_flow);
        self.next_flow += 1;
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let inputs = self.inputs.clone();
        let task = tokio::spawn(async move {
            let (unsent, error) = carry(stream.await, flow, path, queue, &inputs).await;
            let _ = inputs
                .send(Input::Ended {
                    flow,
                    unsent,
                    error,
                })
                .await;
        });
        self.connections.insert(
            flow,
            Connection {
                remote: path.remote,
                proven,
                last: now(),
                writer,
                task,
            },
        );
        flow
    }

    async fn write_log(&mut self, direction: &str, path: &Path, bytes: &[u8]) {
        let Some(log) = &mut self.log else { return };
        let at = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let mut text = format!("=== {at:.6} {direction} {path}\n").into_bytes();
        text.extend_from_slice(&without_secrets(bytes));
        text.push(b'\n');
        // A full disk ends the log and nothing else.
        let written = log.write_all(&text).await;
        if written.is_err() || log.flush().await.is_err() {
            self.log = None;
            let _ = self
                .happenings
                .send(Happening("the log cannot be written any more".to_owned()));
        }
    }
}

/// The message with the answers to challenges taken out: they can be tried against word lists.
fn without_secrets(bytes: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"response=\"";
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest
        .windows(MARK.len())
        .position(|w| w.eq_ignore_ascii_case(MARK))
    {
        let (before, after) = rest.split_at(at + MARK.len());
        out.extend_from_slice(before);
        let end = after.iter().position(|b| *b == b'"').unwrap_or(after.len());
        out.extend(std::iter::repeat_n(b'*', end));
        rest = after.get(end..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

fn branch_of(bytes: &[u8]) -> Option<String> {
    let message = Message::parse(bytes).ok()?;
    message
        .headers()
        .via_top()
        .ok()?
        .branch()
        .map(str::to_owned)
}

async fn send_datagram(
    socket: Option<Arc<UdpSocket>>,
    remote: SocketAddr,
    bytes: &[u8],
) -> Result<(), TransportError> {
    let socket = socket.ok_or(TransportError::Closed)?;
    socket
        .send_to(bytes, remote)
        .await
        .map(drop)
        .map_err(|e| transport_error(&e))
}

fn transport_error(error: &io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => TransportError::Refused,
        io::ErrorKind::TimedOut => TransportError::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            TransportError::Unreachable
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted => TransportError::Closed,
        _ => TransportError::Other(error.to_string()),
    }
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // Two hundred phones may speak at once while the exchange is busy with another.
    let _ = socket.set_recv_buffer_size(4 * 1024 * 1024);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

async fn read_datagrams(
    socket: Arc<UdpSocket>,
    flow: FlowId,
    bound: SocketAddr,
    inputs: mpsc::Sender<Input>,
) {
    let mut buffer = vec![0_u8; 65_535];
    loop {
        let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Some(bytes) = buffer
            .get(..length)
            .filter(|b| b.iter().any(|b| !b.is_ascii_whitespace()))
        else {
            continue;
        };
        let ip = if bound.ip().is_unspecified() {
            source_ip(remote)
        } else {
            bound.ip()
        };
        let path = Path {
            transport: Transport::Udp,
            remote,
            local: SocketAddr::new(ip, bound.port()),
        };
        let input = Input::Message {
            bytes: bytes.to_vec(),
            inbound: Inbound { flow, path },
        };
        // When the exchange cannot keep up, the senders' timers are the queue.
        let _ = inputs.try_send(input);
    }
}

async fn accept(listener: TcpListener, inputs: mpsc::Sender<Input>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else {
                    continue;
                };
                if inputs
                    .send(Input::Accepted {
                        stream,
                        remote,
                        local,
                    })
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Carries one connection until it ends: the message that could not be written, and why it ended.
async fn carry(
    stream: io::Result<TcpStream>,
    flow: FlowId,
    path: Path,
    mut queue: mpsc::Receiver<Vec<u8>>,
    inputs: &mpsc::Sender<Input>,
) -> (Vec<Vec<u8>>, TransportError) {
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return (rest_of(queue, None), transport_error(&error)),
    };
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let (pongs, mut pong_queue) = mpsc::channel::<()>(1);
    let read = async {
        let mut framer = StreamFramer::default();
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            let length = match reader.read(&mut chunk).await {
                Ok(0) => return TransportError::Closed,
                Ok(length) => length,
                Err(error) => return transport_error(&error),
            };
            framer.push(chunk.get(..length).unwrap_or_default());
            loop {
                match framer.poll() {
                    Ok(Some(Frame::Message(bytes))) => {
                        let input = Input::Message {
                            bytes,
                            inbound: Inbound { flow, path },
                        };
                        if inputs.send(input).await.is_err() {
                            return TransportError::Closed;
                        }
                    }
                    Ok(Some(Frame::Ping)) => drop(pongs.try_send(())),
                    Ok(Some(Frame::Pong)) => {}
                    Ok(None) => break,
                    Err(error) => return TransportError::Other(error.to_string()),
                }
            }
        }
    };
    let mut unwritten = None;
    let write = async {
        loop {
            let bytes = tokio::select! {
                message = queue.recv() => match message {
                    Some(bytes) => bytes,
                    None => return TransportError::Closed,
                },
                Some(()) = pong_queue.recv() => b"\r\n".to_vec(),
            };
            let bytes = unwritten.insert(bytes);
            if let Err(error) = writer.write_all(bytes).await {
                return transport_error(&error);
            }
            unwritten = None;
        }
    };
    let error = tokio::select! {
        error = read => error,
        error = write => error,
    };
    (rest_of(queue, unwritten), error)
}

/// Everything that was not written, in order; nothing more can be queued from then on.
fn rest_of(mut queue: mpsc::Receiver<Vec<u8>>, first: Option<Vec<u8>>) -> Vec<Vec<u8>> {
    queue.close();
    let mut rest: Vec<Vec<u8>> = first.into_iter().collect();
    while let Ok(bytes) = queue.try_recv() {
        rest.push(bytes);
    }
    rest
}

/// The address the system would send from, found by connecting a socket that never sends.
fn source_ip(remote: SocketAddr) -> IpAddr {
    let any: SocketAddr = if remote.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let found = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(remote)?;
        socket.local_addr()
    });
    found.map_or(any.ip(), |addr| addr.ip())
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn the_log_holds_no_answer_to_a_challenge() {
        let message = b"Authorization: Digest username=\"a\", response=\"0123abcd\", nc=1\r\nX: response=\"zz";
        let logged = without_secrets(message);
        assert_eq!(
            String::from_utf8_lossy(&logged),
            "Authorization: Digest username=\"a\", response=\"********\", nc=1\r\nX: response=\"**"
        );
    }
}
