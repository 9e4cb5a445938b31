//! The sockets of a switchboard, and the one task that turns its handle.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use privacy::Sentence;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use sdp::KeySeed;
use sip_core::{Destination, Inbound, Path, Seed, Transport, TransportError};
use sip_message::Message;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use wire::{
    Closed, Door, Event, Fingerprint, Identity, Limits, ServerTls, TlsError, Towards, Wire,
};

use crate::config::{Config, LOG_BYTES};
use crate::exchange::{Action, Counts, Exchange, LineId, way_back};
use crate::line::{Drawn, Line, News, Refusal, Refused};
use crate::log::Log;
use crate::redact::without_secrets;
use crate::sources::Loud;

/// How long an idle exchange sleeps at most.
const LONG: Duration = Duration::from_secs(3_600);
/// How often the idle are looked for.
const LOOK: Duration = Duration::from_secs(10);
/// For how many looks a line may hear nothing (half an hour) before its caller is taken for dead.
const SILENT_LOOKS: u32 = 180;
/// How often a free port for both UDP and TCP is looked for.
const PORT_TRIES: usize = 16;

/// Something that happened at a switchboard, in a line of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening(pub Sentence);

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
    #[error("the log file {} cannot be written: {source}", .path.display())]
    Log {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate.
    #[error("TLS cannot be served: {0}")]
    Tls(#[from] TlsError),
}

/// A running switchboard. Dropping it stops it.
pub struct Switchboard {
    local: Vec<(Transport, SocketAddr)>,
    happenings: broadcast::Sender<Happening>,
    counts: mpsc::Sender<oneshot::Sender<Counts>>,
    certificate: Option<ShownCertificate>,
    /// Owns the wire, which ends with it.
    task: JoinHandle<()>,
}

/// The certificate that callers by TLS and WSS are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Its fingerprint, to be compared by people.
    pub fingerprint: Fingerprint,
    /// The certificate in PEM when it was made at the start, for those who want to trust it by file.
    pub self_signed: Option<String>,
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Switchboard {
    /// Binds, and serves from then on. A port of zero becomes a free one, the same for UDP and TCP
    /// when both ask for zero at the same address. For TLS and WSS without a certificate one is made,
    /// which nobody but itself vouches for.
    ///
    /// # Errors
    /// When an address cannot be used, the log cannot be written, or the certificate is none.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let log = match &config.log {
            Some(path) => match Log::open(path, LOG_BYTES).await {
                Ok(log) => Some(log),
                Err(source) => {
                    let path = path.clone();
                    return Err(StartError::Log { path, source });
                }
            },
            None => None,
        };
        // Nothing runs before everything is bound: what fails leaves nothing behind.
        let mut bound = bind_all(&config.listen);
        for _ in 1..PORT_TRIES {
            // A port that was free for UDP may be taken for TCP; another one may not.
            match &bound {
                Err(StartError::Listen { source, addr, .. })
                    if source.kind() == io::ErrorKind::AddrInUse
                        && !config.listen.iter().any(|(_, asked)| asked == addr) => {}
                _ => break,
            }
            bound = bind_all(&config.listen);
        }
        let bound = bound?;
        let local: Vec<(Transport, SocketAddr)> = bound.iter().map(Bound::local).collect();
        let (tls, certificate) = if local.iter().any(|(transport, _)| transport.is_secure()) {
            let (tls, certificate) = server_tls(config.certificate.as_ref(), &local)?;
            (Some(tls), Some(certificate))
        } else {
            (None, None)
        };
        let (inputs, queue) = mpsc::unbounded_channel();
        let sink = move |event| inputs.send(event).is_ok();
        let limits = Limits {
            pages: config.pages,
            ..Limits::of_a_server()
        };
        let wire = Wire::new(limits, Arc::new(sink));
        for bound in bound {
            match bound {
                Bound::Udp(socket, addr) => {
                    wire.serve_datagrams(Arc::new(socket)).map_err(|source| {
                        StartError::Listen {
                            transport: Transport::Udp,
                            addr,
                            source,
                        }
                    })?;
                }
                Bound::Listener(transport, listener, _) => {
                    if let Some(door) = door(transport, tls.as_ref()) {
                        wire.serve(Arc::new(listener), door);
                    }
                }
            }
        }
        let mut seed = [0_u8; 32];
        getrandom::fill(&mut seed).expect("the operating system gives randomness");
        let exchange = Exchange::new(
            config.users,
            config.hosts,
            (&config.realm, config.md5_only),
            local.clone(),
            source_ip,
            &Seed(seed),
        );
        let (happenings, _) = broadcast::channel(256);
        let (counts, count_queue) = mpsc::channel(4);
        let served = Served {
            exchange,
            wire,
            lines: HashMap::new(),
            refused: Arc::default(),
            happenings: happenings.clone(),
            log,
        };
        Ok(Self {
            local,
            happenings,
            counts,
            certificate,
            task: tokio::spawn(served.run(queue, count_queue)),
        })
    }

    /// What callers by TLS and WSS are shown, when it listens for them.
    pub fn certificate(&self) -> Option<&ShownCertificate> {
        self.certificate.as_ref()
    }

    /// Where it listens, with the ports it got.
    pub fn local_addrs(&self) -> &[(Transport, SocketAddr)] {
        &self.local
    }

    /// What happens from now on.
    pub fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.happenings.subscribe()
    }

    /// How much there is, and what was counted since the start; `None` when it has ended.
    pub async fn counts(&self) -> Option<Counts> {
        let (answer, answered) = oneshot::channel();
        self.counts.send(answer).await.ok()?;
        answered.await.ok()
    }
}

enum Bound {
    Udp(UdpSocket, SocketAddr),
    Listener(Transport, TcpListener, SocketAddr),
}

impl Bound {
    fn local(&self) -> (Transport, SocketAddr) {
        match self {
            Self::Udp(_, at) => (Transport::Udp, *at),
            Self::Listener(transport, _, at) => (*transport, *at),
        }
    }
}

/// Binds all that is asked for; a zero port is the one that an earlier zero at the same address got.
fn bind_all(listen: &[(Transport, SocketAddr)]) -> Result<Vec<Bound>, StartError> {
    let mut all: Vec<Bound> = Vec::new();
    for (transport, asked) in listen {
        let transport = *transport;
        let mut addr = *asked;
        let same_ip = |bound: &Bound| match (bound.local(), transport) {
            ((Transport::Udp, at), Transport::Tcp) | ((Transport::Tcp, at), Transport::Udp) => {
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
                let socket = wire::open_udp(addr).map_err(error)?;
                let at = socket.local_addr().map_err(error)?;
                Bound::Udp(socket, at)
            }
            _ => {
                let listener = wire::open_listener(addr).map_err(error)?;
                let at = listener.local_addr().map_err(error)?;
                Bound::Listener(transport, listener, at)
            }
        });
    }
    Ok(all)
}

/// What a listener speaks; `None` for what is no connection.
fn door(transport: Transport, tls: Option<&ServerTls>) -> Option<Door> {
    match transport {
        Transport::Udp => None,
        Transport::Tcp => Some(Door::Tcp),
        Transport::Ws => Some(Door::Ws),
        Transport::Tls => tls.cloned().map(Door::Tls),
        Transport::Wss => tls.cloned().map(Door::Wss),
    }
}

/// TLS with the given certificate, or with one made for the addresses at hand.
fn server_tls(
    given: Option<&Identity>,
    local: &[(Transport, SocketAddr)],
) -> Result<(ServerTls, ShownCertificate), TlsError> {
    let (identity, self_signed) = match given {
        Some(identity) => (identity.clone(), None),
        None => {
            let (identity, pem) = make_certificate(local)?;
            (identity, Some(pem))
        }
    };
    let tls = ServerTls::new(&identity, None)?;
    let shown = ShownCertificate {
        fingerprint: tls.fingerprint(),
        self_signed,
    };
    Ok((tls, shown))
}

fn make_certificate(local: &[(Transport, SocketAddr)]) -> Result<(Identity, String), TlsError> {
    let failed = |e: rcgen::Error| TlsError::Setup(format!("no certificate can be made: {e}"));
    let mut params = CertificateParams::new(["localhost".to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Tipring switchboard");
    let mut ips: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    ips.extend(local.iter().map(|(_, addr)| addr.ip()));
    ips.sort_unstable();
    ips.dedup();
    let listed = ips.into_iter().filter(|ip| !ip.is_unspecified());
    params
        .subject_alt_names
        .extend(listed.map(SanType::IpAddress));
    let key = KeyPair::generate().map_err(failed)?;
    let pem = params.self_signed(&key).map_err(failed)?.pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes())?;
    Ok((identity, pem))
}

struct Served {
    exchange: Exchange,
    wire: Wire,
    lines: HashMap<LineId, (Line, Heard)>,
    refused: Arc<Refused>,
    happenings: broadcast::Sender<Happening>,
    log: Option<Log>,
}

/// How many packets a line had heard at the last look, and for how many looks it has been so.
#[derive(Default)]
struct Heard {
    packets: u64,
    silent: u32,
}

impl Served {
    async fn run(
        mut self,
        mut queue: mpsc::UnboundedReceiver<Event>,
        mut counts: mpsc::Receiver<oneshot::Sender<Counts>>,
    ) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.exchange.deadline().unwrap_or_else(|| now() + LONG);
            tokio::select! {
                event = queue.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => return,
                },
                () = tokio::time::sleep_until(deadline.into()) => self.exchange.handle_timeout(now()),
                _ = looks.tick() => self.look_for_the_idle(),
                Some(answer) = counts.recv() => drop(answer.send(self.counts())),
            }
            self.act().await;
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            media_forged: self.refused.forged.load(Ordering::Relaxed),
            media_replayed: self.refused.replayed.load(Ordering::Relaxed),
            ..self.exchange.counts()
        }
    }

    /// Ends calls of which nothing is heard.
    fn look_for_the_idle(&mut self) {
        let now = now();
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
        let line = self.exchange.take_loudest().map(|loud| match loud {
            Loud::Source(source, dropped) => {
                format!("{source} sends too much: {dropped} messages were not looked at")
            }
            Loud::Crowd(dropped) => format!(
                "too many unknown senders at once: {dropped} messages were not looked at, and will \
                 be when they are sent again"
            ),
        });
        if let Some(line) = line {
            let _ = self.happenings.send(Happening(line.into()));
        }
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Arrived(arrived) => {
                let inbound = Inbound {
                    flow: arrived.flow,
                    path: arrived.path,
                };
                // Who floods us does not fill the log as well.
                if !self.exchange.admits(now(), &inbound, &arrived.bytes) {
                    return;
                }
                self.write_log("from", &arrived.path, &arrived.bytes).await;
                match Message::parse(&arrived.bytes) {
                    Ok(message) => self.exchange.handle_message(now(), message, inbound),
                    Err(error) => {
                        if let Some(response) = error.answer() {
                            let back = way_back(&response.headers, inbound).destination();
                            self.send(back, &response.to_bytes()).await;
                        }
                    }
                }
            }
            Event::Closed(closed) => self.on_closed(&closed),
            // Nobody is kept alive from here: phones do that.
            Event::Begun { .. }
            | Event::Up { .. }
            | Event::FlowFailed { .. }
            | Event::Mapped { .. }
            | Event::Counted => {}
        }
    }

    fn on_closed(&mut self, closed: &Closed) {
        if !closed.was_up {
            // Why a phone does not get through is news to whoever runs this.
            let line = format!("{}: {}", closed.path, closed.error);
            let _ = self.happenings.send(Happening(line.into()));
        }
        self.exchange.handle_flow_closed(closed.flow);
        let error = TransportError::from(&closed.error);
        let lost = closed.unheard.iter().chain(&closed.unsent);
        for branch in lost.filter_map(|bytes| branch_of(bytes)) {
            self.exchange.handle_transport_error(now(), &branch, &error);
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
            Action::Log(line) => drop(self.happenings.send(Happening(line.into()))),
            Action::OpenLine {
                line,
                number,
                offer,
                local,
                peer,
            } => {
                let refused = Arc::clone(&self.refused);
                let opened =
                    Line::open(number, local, peer, drawn(), refused, self.news(line)).await;
                let described = match opened {
                    Ok(mut opened) => {
                        let described = opened.describe(offer.as_deref());
                        self.lines.insert(line, (opened, Heard::default()));
                        described
                    }
                    Err(_) => Err(Refusal::NoSocket),
                };
                self.exchange.answer_line(now(), line, described);
            }
            Action::ChangeLine { line, offer } => {
                if let Some((open, _)) = self.lines.get_mut(&line) {
                    let described = open.describe(offer.as_deref());
                    self.exchange.answer_line(now(), line, described);
                }
            }
            Action::LineAnswered { line, answer } => {
                if let Some((open, _)) = self.lines.get_mut(&line)
                    && let Err(error) = open.handle_answer(&answer)
                {
                    let _ = self
                        .happenings
                        .send(Happening(format!("line {}: {error}", line.0).into()));
                }
            }
            Action::PlayDigit { line, digit } => {
                if let Some((open, _)) = self.lines.get(&line) {
                    open.play(digit);
                }
                let text = format!("line {}: digit “{digit}” by INFO", line.0);
                let _ = self.happenings.send(Happening(text.into()));
            }
            Action::CloseLine { line } => drop(self.lines.remove(&line)),
            Action::CloseFlow { flow } => self.wire.close(flow),
        }
    }

    /// Says what a line tells.
    fn news(&self, line: LineId) -> impl Fn(News) + Send + Sync + use<> {
        let happenings = self.happenings.clone();
        move |news| {
            let text = match news {
                News::Digit(digit) => format!("line {}: digit “{digit}” by RTP", line.0),
                News::Forged => format!(
                    "line {}: media came that was not made with the agreed key, and is not heard",
                    line.0
                ),
            };
            let _ = happenings.send(Happening(text.into()));
        }
    }

    async fn send(&mut self, destination: Destination, bytes: &[u8]) {
        let path = *destination.path();
        self.write_log("to", &path, bytes).await;
        // Who answers a TLS connection of ours cannot be checked: names are not known here. Phones
        // are reached by the connections that they opened.
        let sent = self.wire.send(&destination, &Towards::default(), bytes);
        if let Err(error) = sent
            && let Some(branch) = branch_of(bytes)
        {
            let error = TransportError::from(&error);
            self.exchange.handle_transport_error(now(), &branch, &error);
        }
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
        if log.write(&text).await.is_err() {
            self.log = None;
            let _ = self
                .happenings
                .send(Happening("the log cannot be written any more".into()));
        }
    }
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

/// The address the system would send from.
fn source_ip(remote: SocketAddr) -> IpAddr {
    match wire::local_toward(remote) {
        Ok(local) => local.ip(),
        Err(_) if remote.is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
        Err(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What a line needs of randomness.
fn drawn() -> Drawn {
    let fill = |bytes: &mut [u8]| {
        getrandom::fill(bytes).expect("the operating system gives randomness");
    };
    let mut number = [0_u8; 8];
    fill(&mut number);
    Drawn {
        number: u64::from_le_bytes(number),
        keys: KeySeed::drawn(|bytes| fill(bytes)),
    }
}
