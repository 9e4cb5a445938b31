//! An address for media at a relay (TURN, RFC 8656): asked for before the media is told to anybody, and kept until its
//! stream takes it over.
//!
//! ```text
//!  udp    media socket ◄────────────────────────────────► relay
//!  tcp    media socket ◄──► a socket beside it ◄─stream─► relay      the stream's other end is on this machine
//!  tls    the same, inside TLS
//! ```
//!
//! The pump knows datagrams only. Where the relay wants a stream, a socket beside that of the media takes its place, and
//! what comes to it is carried on.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nat::turn::{self, Allocation, Client, Config, Event, Frames, Login, Output};
use sip_core::Transport;
use sip_core::locate::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use wire::ClientTls;

use crate::mapped::{self, Failures, Place, Search};
use crate::transport::Resolver;
use crate::wake::now;

/// A person waits for the call to begin: a relay that has given nothing within this is done without.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long until a socket that cannot be heard is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a stream stays after its media is over, for the farewell.
const LINGER: Duration = Duration::from_secs(1);

/// What is to be carried on and has waited longer than this for a stream that stalls is of no use to anybody: speech that
/// comes late is not played, and delays what comes after it.
const FRESH: Duration = Duration::from_millis(200);

/// Datagrams of each kind that wait for the stream: two seconds of two streams of speech.
const MOST_WAITING: usize = 256;

/// Room for what the system keeps of the stream, in octets: nobody can take that back, and left alone it keeps seconds of
/// speech. A flight of a handshake fits.
const SEND_BUFFER: u32 = 16 * 1024;

/// Room for any datagram that a network carries whole.
const LONGEST: usize = 2_048;

/// How often a relay may send us to another one (RFC 8489 §10).
const MOST_ELSEWHERE: usize = 2;

/// How packets get to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Udp,
    Tcp,
    Tls,
}

/// A relay as settings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) place: Place,
    /// Inside TLS (`turns:`).
    pub(crate) secure: bool,
    /// The way that is written.
    pub(crate) carrier: Option<Carrier>,
}

/// Reads `turn:HOST:PORT?transport=tcp` and `turns:HOST:PORT` (RFC 7065), or a bare `HOST:PORT`.
pub(crate) fn server(text: &str) -> Option<Server> {
    let text = text.trim();
    let (secure, rest) = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("turn") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("turns") => (true, rest),
        _ => (false, text),
    };
    let (place, carrier) = match rest.split_once('?') {
        None => (rest, None),
        Some((place, query)) => (place, Some(query.strip_prefix("transport=")?)),
    };
    let carrier = match (secure, carrier) {
        (true, None | Some("tcp")) => Some(Carrier::Tls),
        (false, None) => None,
        (false, Some("udp")) => Some(Carrier::Udp),
        (false, Some("tcp")) => Some(Carrier::Tcp),
        (_, Some(_)) => return None,
    };
    Some(Server {
        place: mapped::place(place)?,
        secure,
        carrier,
    })
}

impl Carrier {
    fn transport(self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls => Transport::Tls,
        }
    }

    fn of(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tls | Transport::Wss => Self::Tls,
            Transport::Tcp | Transport::Ws => Self::Tcp,
        }
    }
}

/// What it takes to ask a relay.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) server: Server,
    pub(crate) login: Option<Login>,
    /// For `turns:`.
    pub(crate) tls: Option<Arc<ClientTls>>,
}

/// An address at a relay that no stream has yet: its way is kept open, and when this goes first, it is given back.
pub(crate) struct Relay {
    pub(crate) allocation: Allocation,
    client: Arc<Mutex<Option<Client>>>,
    socket: Arc<UdpSocket>,
    tender: JoinHandle<()>,
    bridge: Option<Bridge>,
}

/// The stream to the relay, as long as this is there.
pub(crate) struct Bridge {
    _stay: oneshot::Sender<()>,
    at: SocketAddr,
    stays: watch::Receiver<()>,
}

impl Bridge {
    /// The place on this machine that stands for the relay.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Waits until the stream has ended, at whichever end.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stays = self.stays.clone();
        // Nothing is ever told but its end.
        async move { while stays.changed().await.is_ok() {} }
    }
}

impl Relay {
    /// Whether the relay sees the socket of the media, and not the near end of a stream.
    pub(crate) fn sees_media(&self) -> bool {
        self.bridge.is_none()
    }

    /// Whether the address is gone already.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.client).as_ref().is_some_and(Client::is_over)
    }

    /// For the stream that uses the socket from now on, with the way to the relay where that is not the socket's own.
    pub(crate) fn take(mut self) -> (Option<Client>, Option<Bridge>) {
        let client = lock(&self.client).take();
        let bridge = self.bridge.take();
        (client, bridge)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tender.abort();
        if let Some(mut client) = lock(&self.client).take() {
            client.release(now());
            say(&mut client, &self.socket);
        }
    }
}

/// Asks the relay for an address for this socket; of several the next one, when one is silent or refuses.
///
/// # Errors
/// Why there is none, as a sentence's end.
pub(crate) async fn ask(
    socket: &UdpSocket,
    asking: Asking,
    resolver: &Resolver,
) -> Result<Relay, String> {
    let local = socket.local_addr().map_err(|error| error.to_string())?;
    let server = &asking.server;
    let search = Search {
        kind: Kind::Turn,
        place: server.place.clone(),
        transport: server.carrier.map(Carrier::transport),
        // RFC 5928 §3: those that the scheme allows.
        transports: match server.secure {
            true => &[Transport::Tls],
            false => &[Transport::Udp, Transport::Tcp],
        },
    };
    let found = mapped::find(resolver, search, local, PATIENCE, "relay").await?;
    let mut left = found.len().min(mapped::MOST_SERVERS);
    let mut failures = Failures::new(left);
    for target in found.into_iter().take(mapped::MOST_SERVERS) {
        left -= 1;
        // Another one is worth no long wait for this one.
        let patience = if left == 0 { PATIENCE } else { PATIENCE / 3 };
        let carrier = Carrier::of(target.transport);
        match ask_at(
            socket,
            &asking,
            target.addr,
            carrier,
            Instant::now() + patience,
        )
        .await
        {
            Ok(relay) => return Ok(relay),
            Err(why) => failures.add(&target, why),
        }
    }
    Err(failures.told())
}

/// Asks at this address, and where it sends us.
async fn ask_at(
    socket: &UdpSocket,
    asking: &Asking,
    mut server: SocketAddr,
    carrier: Carrier,
    until: Instant,
) -> Result<Relay, String> {
    let local = socket.local_addr().map_err(|error| error.to_string())?;
    for _ in 0..=MOST_ELSEWHERE {
        let (to, bridge) = match carrier {
            Carrier::Udp => (server, None),
            Carrier::Tcp | Carrier::Tls => {
                let (to, bridge) = timeout_at(until, connect(server, local, asking, carrier))
                    .await
                    .map_err(|_| "it does not take our connection".to_owned())??;
                (to, Some(bridge))
            }
        };
        let mut seed = [0; 16];
        crate::shared::fill(&mut seed);
        let config = Config {
            server: to,
            reliable: carrier != Carrier::Udp,
            ipv6: local.is_ipv6(),
            login: asking.login.clone(),
            seed,
        };
        let asked = mapped::handle(socket)?;
        let ended = async {
            match &bridge {
                Some(bridge) => bridge.ended().await,
                None => std::future::pending().await,
            }
        };
        let allocated = async {
            tokio::select! {
                allocated = allocate(Client::new(now(), config), &asked) => allocated,
                () = ended => Err(turn::Refusal::Ended),
            }
        };
        match timeout_at(until, allocated).await {
            Ok(Ok((client, allocation))) => return tend(socket, client, allocation, bridge),
            Ok(Err(turn::Refusal::Elsewhere(other))) if other.is_ipv4() == local.is_ipv4() => {
                server = other;
            }
            Ok(Err(refusal)) => return Err(refusal.to_string()),
            Err(_) => return Err(turn::Refusal::Silent.to_string()),
        }
    }
    Err("it sends us from one server to the next".to_owned())
}

async fn allocate(
    mut client: Client,
    socket: &tokio::net::UdpSocket,
) -> Result<(Client, Allocation), turn::Refusal> {
    let mut buffer = [0; LONGEST];
    loop {
        let deadline = match client.poll_output() {
            Output::Transmit(datagram) => {
                // What cannot be sent now may be in a moment.
                let _ = socket.send_to(&datagram, client.server()).await;
                continue;
            }
            Output::Event(Event::Allocated(mut allocation)) => {
                let seen = allocation.mapped;
                allocation.mapped =
                    seen.map(|seen| SocketAddr::new(seen.ip().to_canonical(), seen.port()));
                return Ok((client, allocation));
            }
            Output::Event(Event::Lost(refusal)) => return Err(refusal),
            Output::Event(_) => continue,
            Output::Deadline(deadline) => deadline,
        };
        let deadline = deadline.map_or_else(Instant::now, Instant::from_std);
        match timeout_at(deadline, socket.recv_from(&mut buffer)).await {
            // Whoever else has found the port is not listened to.
            Ok(Ok((length, from))) if from == client.server() => {
                client.handle_datagram(now(), buffer.get(..length).unwrap_or_default());
            }
            Ok(_) => {}
            Err(_) => client.handle_timeout(now()),
        }
    }
}

/// Keeps the way open while nobody else has the socket: a call may ring for minutes.
fn tend(
    socket: &UdpSocket,
    client: Client,
    allocation: Allocation,
    bridge: Option<Bridge>,
) -> Result<Relay, String> {
    let socket = socket.try_clone().map_err(|error| error.to_string())?;
    let socket = Arc::new(socket);
    let client = Arc::new(Mutex::new(Some(client)));
    let (tended, line) = (Arc::clone(&client), Arc::clone(&socket));
    let ears = mapped::handle(&socket)?;
    let tender = tokio::spawn(async move {
        let mut buffer = [0; LONGEST];
        loop {
            let next = lock(&tended).as_mut().and_then(|client| {
                client.handle_timeout(now());
                say(client, &line).map(|deadline| (deadline, client.waits()))
            });
            let Some((deadline, waits)) = next else {
                return;
            };
            let deadline = Instant::from_std(deadline);
            // What peers send early is for the stream, and waits for it as long as nothing else is to be heard.
            if !waits {
                sleep_until(deadline).await;
                continue;
            }
            match timeout_at(deadline, ears.recv_from(&mut buffer)).await {
                Ok(Ok((length, from))) => {
                    let mut client = lock(&tended);
                    if let Some(client) = client.as_mut().filter(|client| client.server() == from) {
                        client.handle_datagram(now(), buffer.get(..length).unwrap_or_default());
                    }
                }
                Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
                Err(_) => {}
            }
        }
    });
    Ok(Relay {
        allocation,
        client,
        socket,
        tender,
        bridge,
    })
}

/// Says what there is to say; answers when there is more.
fn say(client: &mut Client, socket: &UdpSocket) -> Option<std::time::Instant> {
    loop {
        match client.poll_output() {
            Output::Transmit(datagram) => {
                let _ = socket.send_to(&datagram, client.server());
            }
            Output::Event(_) => {}
            Output::Deadline(deadline) => return deadline,
        }
    }
}

/// A stream to the relay, and the place on this machine that stands for it.
async fn connect(
    server: SocketAddr,
    media: SocketAddr,
    asking: &Asking,
    carrier: Carrier,
) -> Result<(SocketAddr, Bridge), String> {
    let refused = |error: std::io::Error| format!("it does not take our connection: {error}");
    let socket = if server.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let stream = socket.and_then(|socket| {
        socket.bind(SocketAddr::new(media.ip(), 0))?;
        // A wish.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        Ok(socket)
    });
    let stream = stream.map_err(refused)?.connect(server).await;
    let stream: TcpStream = stream.map_err(refused)?;
    // Speech does not wait to be more.
    let _ = stream.set_nodelay(true);
    let beside = tokio::net::UdpSocket::bind(SocketAddr::new(media.ip(), 0)).await;
    let beside = beside.map_err(|error| error.to_string())?;
    beside
        .connect(media)
        .await
        .map_err(|error| error.to_string())?;
    let to = beside.local_addr().map_err(|error| error.to_string())?;
    let (stay, gone) = oneshot::channel();
    let (here, stays) = watch::channel(());
    if carrier == Carrier::Tls {
        let tls = asking.tls.as_ref().ok_or("TLS cannot be used")?;
        // The name that the settings have, and not one that DNS says (RFC 5928 §5).
        let host = asking.server.place.host.to_string();
        let secured = tls.connect_to_host(&host, stream, PATIENCE).await;
        let (stream, _) = secured.map_err(|error| error.to_string())?;
        tokio::spawn(carry(stream, beside, gone, here));
    } else {
        tokio::spawn(carry(stream, beside, gone, here));
    }
    let bridge = Bridge {
        _stay: stay,
        at: to,
        stays,
    };
    Ok((to, bridge))
}

/// Carries messages both ways until one end is gone, which `_here` tells by going, too.
async fn carry<S>(
    stream: S,
    beside: tokio::net::UdpSocket,
    mut gone: oneshot::Receiver<()>,
    _here: watch::Sender<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let (outbox, waiting) = outbox();
    // Read at once: what waits in the system's buffer does not say for how long.
    let outward = async {
        let mut buffer = [0; LONGEST];
        loop {
            // Some systems report here that a datagram before was not wanted.
            let Ok(length) = beside.recv(&mut buffer).await else {
                continue;
            };
            outbox.put(buffer.get(..length).unwrap_or_default());
        }
    };
    let outward = async {
        tokio::select! {
            () = outward => {}
            () = waiting.write(writer) => {}
        }
    };
    let inward = async {
        let mut frames = Frames::default();
        let mut passed_over = 0;
        let mut buffer = [0; LONGEST];
        loop {
            let Ok(length @ 1..) = reader.read(&mut buffer).await else {
                return;
            };
            frames.push(buffer.get(..length).unwrap_or_default());
            loop {
                match frames.poll() {
                    Ok(Some(message)) => drop(beside.send(&message).await),
                    Ok(None) => break,
                    Err(error) => return tracing::info!(%error, "relay"),
                }
            }
            if frames.passed_over() > passed_over {
                passed_over = frames.passed_over();
                tracing::debug!(passed_over, "datagrams of peers are too long for media");
            }
        }
    };
    let both = async {
        tokio::select! {
            () = outward => {}
            () = inward => {}
        }
    };
    tokio::pin!(both);
    tokio::select! {
        () = &mut both => {}
        _ = &mut gone => drop(timeout(LINGER, both).await),
    }
}

/// Takes what waits for a stream. When there is no room for more it is lost, as on any way.
struct Outbox {
    words: mpsc::Sender<Vec<u8>>,
    carried: mpsc::Sender<(Instant, Vec<u8>)>,
}

/// The stream's end of it.
struct Waiting {
    words: mpsc::Receiver<Vec<u8>>,
    carried: mpsc::Receiver<(Instant, Vec<u8>)>,
}

fn outbox() -> (Outbox, Waiting) {
    let (words, words_out) = mpsc::channel(MOST_WAITING);
    let (carried, carried_out) = mpsc::channel(MOST_WAITING);
    let waiting = Waiting {
        words: words_out,
        carried: carried_out,
    };
    (Outbox { words, carried }, waiting)
}

impl Outbox {
    fn put(&self, datagram: &[u8]) {
        let is_carried = turn::is_carried(datagram);
        let message = turn::padded(datagram.to_vec());
        if is_carried {
            let _ = self.carried.try_send((Instant::now(), message));
        } else {
            let _ = self.words.try_send(message);
        }
    }
}

impl Waiting {
    /// Writes until the stream takes nothing any more: what we say to the relay first, and what it is to carry on while that
    /// is of use.
    async fn write(mut self, mut writer: impl AsyncWrite + Unpin) {
        loop {
            let message = tokio::select! {
                biased;
                Some(word) = self.words.recv() => word,
                Some((since, message)) = self.carried.recv() => {
                    if since.elapsed() > FRESH {
                        continue;
                    }
                    message
                }
                else => return,
            };
            // TLS keeps what the stream did not take, and says that it is written.
            if writer.write_all(&message).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    }
}

/// Nothing in there can be left half done by a panic.
fn lock(client: &Mutex<Option<Client>>) -> std::sync::MutexGuard<'_, Option<Client>> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream has been given until nothing more comes.
    async fn read(stream: &mut tokio::io::DuplexStream) -> Vec<Vec<u8>> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        let mut buffer = [0; LONGEST];
        while let Ok(Ok(length @ 1..)) =
            timeout(Duration::from_millis(10), stream.read(&mut buffer)).await
        {
            frames.push(&buffer[..length]);
            while let Some(message) = frames.poll().expect("what was written is framed") {
                all.push(message);
            }
        }
        all
    }

    /// ChannelData, as RFC 8656 §12.4 has it.
    fn speech(number: u8) -> Vec<u8> {
        let mut datagram = vec![0x40, 0x00, 0, 160];
        datagram.resize(164, number);
        datagram
    }

    /// STUN of this type (RFC 8489 §5, RFC 8656 §17).
    fn stun(kind: u16, number: u8) -> Vec<u8> {
        let mut datagram = kind.to_be_bytes().to_vec();
        datagram.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
        datagram.extend([number; 12]);
        datagram
    }

    const REFRESH: u16 = 0x0004;
    const SEND: u16 = 0x0016;

    #[tokio::test]
    async fn speech_that_waited_for_a_stream_that_stalled_is_not_sent_late() {
        tokio::time::pause();
        let (outbox, waiting) = outbox();
        let (near, mut far) = tokio::io::duplex(1_024);
        let writes = tokio::spawn(waiting.write(near));
        outbox.put(&speech(1));
        assert_eq!(read(&mut far).await, [speech(1)]);
        // The stream takes six packets, and stalls for three seconds: more than may wait.
        for number in 0..150 {
            outbox.put(&speech(number));
            outbox.put(&speech(number));
            if number == 100 {
                outbox.put(&stun(REFRESH, 1));
                outbox.put(&stun(SEND, 1));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let late = read(&mut far).await;
        let words = late.iter().position(|message| *message == stun(REFRESH, 1));
        let of_before = words.expect("what we say to the relay is said");
        // The system has those, and one was about to be written.
        assert!((6..=7).contains(&of_before), "{of_before}");
        let after: Vec<_> = late.iter().skip(of_before + 1).collect();
        assert!(after.is_empty(), "{after:?}");
        // And what is said now is heard now, with what has waited a little.
        outbox.put(&stun(SEND, 2));
        outbox.put(&speech(200));
        assert_eq!(read(&mut far).await, [stun(SEND, 2), speech(200)]);
        for number in 0..20 {
            outbox.put(&speech(number));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(read(&mut far).await.len(), 20);
        drop(outbox);
        writes.await.expect("it ends with who gives");
    }

    #[test]
    fn relays_are_read_as_rfc_7065_and_people_write_them() {
        for (text, host, port, secure, carrier) in [
            (
                "turn:turn.example.com",
                "turn.example.com",
                None,
                false,
                None,
            ),
            (
                "turn:192.0.2.1:3479?transport=udp",
                "192.0.2.1",
                Some(3479),
                false,
                Some(Carrier::Udp),
            ),
            (
                "turn:turn.example.com?transport=tcp",
                "turn.example.com",
                None,
                false,
                Some(Carrier::Tcp),
            ),
            (
                "turns:turn.example.com",
                "turn.example.com",
                None,
                true,
                Some(Carrier::Tls),
            ),
            (
                "TURNS:[2001:db8::1]:443?transport=tcp",
                "[2001:db8::1]",
                Some(443),
                true,
                Some(Carrier::Tls),
            ),
            (
                "turn.example.com:3480",
                "turn.example.com",
                Some(3480),
                false,
                None,
            ),
            (" turn.example.com ", "turn.example.com", None, false, None),
        ] {
            let host = sip_message::Host::parse(host).unwrap();
            let relay = Server {
                place: Place { host, port },
                secure,
                carrier,
            };
            assert_eq!(server(text), Some(relay), "{text}");
        }
        for text in [
            "",
            "turn:",
            "turns:a?transport=udp",
            "turn:a?transport=sctp",
            "turn:a?b=c",
            "turn:a:b",
            "a b",
        ] {
            assert_eq!(server(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_relay_that_is_silent_or_not_there_costs_a_moment() {
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        media.set_nonblocking(true).unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let asking = |carrier| Asking {
            server: Server {
                place: mapped::place(&format!("127.0.0.1:{port}")).unwrap(),
                secure: false,
                carrier: Some(carrier),
            },
            login: None,
            tls: None,
        };
        let naming = crate::transport::Naming::default();
        let resolver = Resolver::new(&naming, &sip_core::Seed::from_number(1));
        let said = ask(&media, asking(Carrier::Udp), &resolver).await.map(drop);
        assert_eq!(said, Err("it does not answer".to_owned()));
        let said = ask(&media, asking(Carrier::Tcp), &resolver)
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            said.starts_with("it does not take our connection"),
            "{said}"
        );
    }
}
