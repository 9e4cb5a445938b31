//! Ways through the network: transports, paths, flows, and what is sent along them.

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;

/// How SIP travels (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream, framed by Content-Length.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// Whether the transport itself repeats what was lost; then transactions do not.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether nobody between the two ends can read along.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The word of the URI parameter `transport`, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The word of the Via header (RFC 3261 §20.42), in upper case.
    pub fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Reads either spelling, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(text))
    }

    /// The port that is meant when none is written (RFC 3261 §19.1.2, RFC 7118 §4).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way to a peer: what resolving a URI gives, in the order in which it should be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// How.
    pub transport: Transport,
    /// Where the peer listens (or, on what was received, where it came from).
    pub remote: SocketAddr,
    /// What our Via and Contact say on this path: the address the peer should answer to.
    pub local: SocketAddr,
}

impl Path {
    /// A Via value for a request on this path, with the branch and an empty `rport` that asks
    /// the peer to answer to where the request came from (RFC 3261 §20.42, RFC 3581 §3).
    pub fn via_value(&self, branch: &str) -> String {
        format!(
            "SIP/2.0/{} {};branch={branch};rport",
            self.transport.via_token(),
            self.local
        )
    }

    /// Whether what goes this way may go along a flow with that path.
    ///
    /// `transport=ws` names WebSocket with and without TLS, a URI has no other word for the first (RFC
    /// 7118 §5.2), and the port that goes without saying is that of the second. So a peer that is
    /// reached securely and writes `ws` means the same way, and not one in the clear.
    pub fn leads_along(&self, flow: &Self) -> bool {
        let (to, there) = (self.remote, flow.remote);
        let is_ws_for_wss = self.transport == Transport::Ws && flow.transport == Transport::Wss;
        let unsaid = Transport::Ws.default_port();
        if is_ws_for_wss && to.ip() == there.ip() {
            return to.port() == there.port() || to.port() == unsaid;
        }
        to == there && self.transport == flow.transport
    }

    /// The same way over another transport, e.g. TCP for a request that UDP cannot carry.
    pub fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }
}

impl fmt::Display for Path {
    /// `udp:192.0.2.1:5060`: the far end, as people are shown it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.remote)
    }
}

/// One socket-with-peer or one connection, named by the transport layer and never used again
/// after it closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// Where to send something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Along this flow. When it is gone, the path says where it led, and a response may take the
    /// path instead (RFC 3261 §18.2.2); a request comes back as a transport error.
    Flow {
        /// The flow.
        id: FlowId,
        /// Where it leads.
        path: Path,
    },
    /// Along this path, on whatever flow the transport layer has or opens for it.
    Path(Path),
}

impl Destination {
    /// The path, with or without a flow.
    pub fn path(&self) -> &Path {
        match self {
            Self::Flow { path, .. } | Self::Path(path) => path,
        }
    }

    /// The transport of the path.
    pub fn transport(&self) -> Transport {
        self.path().transport
    }
}

/// A message to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub destination: Destination,
    /// The whole message.
    pub bytes: Vec<u8>,
    /// What it is, for logs: `REGISTER`, `200 OK to BYE`. Holds no identity.
    pub what: String,
    /// It goes by TCP for its size alone, where UDP was asked for (RFC 3261 §18.1.1): when no connection
    /// comes about soon it goes by UDP after all, and where it is known that none does it need not be
    /// tried ([`TransportError::NoTcp`]).
    pub for_size: bool,
    /// Which of several flows of one account it makes or keeps; `None` goes by whatever leads there. Two flows are never
    /// one connection, and by UDP never one socket, also where they lead to one server (RFC 5626 §2 and §4.2).
    pub lane: Option<u32>,
}

impl Transmit {
    /// A message that goes as it is said, by whatever leads there.
    pub fn new(destination: Destination, bytes: Vec<u8>, what: String) -> Self {
        Self {
            destination,
            bytes,
            what,
            for_size: false,
            lane: None,
        }
    }
}

impl fmt::Debug for Transmit {
    /// Without the bytes: they hold identities and digests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("destination", &self.destination)
            .field("what", &self.what)
            .field("length", &self.bytes.len())
            .finish()
    }
}

/// How a received message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// The flow it came on; answers go there.
    pub flow: FlowId,
    /// The path: `remote` is the source of the message.
    pub path: Path,
}

impl Inbound {
    /// Where an answer to this message goes first (RFC 3261 §18.2.2, RFC 3581 §4).
    pub fn destination(&self) -> Destination {
        Destination::Flow {
            id: self.flow,
            path: self.path,
        }
    }
}

/// Why a message could not be sent, as the transport layer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// Nobody listens there (connection refused, ICMP port unreachable).
    #[error("connection refused")]
    Refused,
    /// No way to that host or network.
    #[error("network unreachable")]
    Unreachable,
    /// The connection could not be made in time.
    #[error("connection timed out")]
    TimedOut,
    /// It was not tried: TCP was asked for the size of the request alone (see [`Transmit::for_size`]), and is known
    /// not to lead there.
    #[error("TCP is known not to lead there")]
    NoTcp,
    /// The connection closed before or while sending.
    #[error("connection closed")]
    Closed,
    /// The message does not fit into a datagram.
    #[error("message too large for a datagram")]
    TooLarge,
    /// The secure channel could not be made; the text says what about the certificate or
    /// handshake.
    #[error("secure connection failed: {0}")]
    Tls(String),
    /// The server does not speak SIP over WebSocket there; the text says what it said.
    #[error("{0}")]
    WebSocket(String),
    /// Anything else, in the words of the operating system.
    #[error("{0}")]
    Other(String),
}

impl TransportError {
    /// Whether no connection came about at all, so that nothing of the request can have arrived.
    pub fn is_no_listener(&self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Unreachable | Self::TimedOut | Self::NoTcp
        )
    }
}

/// Why the way to a URI was not found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// The name exists nowhere.
    #[error("name not found: {0}")]
    NotFound(String),
    /// No answer from the name servers.
    #[error("name servers do not answer")]
    NoAnswer,
    /// The URI asks for a transport, scheme or address family that we do not have here.
    #[error("no usable transport: {0}")]
    Unusable(String),
    /// Anything else, in the words of the resolver.
    #[error("{0}")]
    Other(String),
}

/// Which question an answer belongs to. Counted per object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResolveId(pub u64);

#[cfg(test)]
mod tests {
    use super::{Path, Transport};

    #[test]
    fn a_via_puts_brackets_round_ipv6_and_asks_for_rport() {
        let path = |local: &str| Path {
            transport: Transport::Tls,
            remote: "192.0.2.1:5061".parse().unwrap(),
            local: local.parse().unwrap(),
        };
        assert_eq!(
            path("[2001:db8::1]:5061").via_value("z9hG4bKx"),
            "SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKx;rport"
        );
        assert_eq!(
            path("192.0.2.9:40000").via_value("z9hG4bKx"),
            "SIP/2.0/TLS 192.0.2.9:40000;branch=z9hG4bKx;rport"
        );
    }

    #[test]
    fn transports_are_read_in_any_case() {
        assert_eq!(Transport::parse("UDP"), Some(Transport::Udp));
        assert_eq!(Transport::parse("Wss"), Some(Transport::Wss));
        assert_eq!(Transport::parse("sctp"), None);
    }

    #[test]
    fn ws_in_a_uri_means_the_secure_flow_where_there_is_one() {
        let path = |transport, remote: &str| Path {
            transport,
            remote: remote.parse().unwrap(),
            local: "192.0.2.9:5060".parse().unwrap(),
        };
        let flow = path(Transport::Wss, "192.0.2.1:8443");
        for same in ["192.0.2.1:8443", "192.0.2.1:80"] {
            assert!(path(Transport::Ws, same).leads_along(&flow), "{same}");
        }
        assert!(flow.leads_along(&flow));
        for other in ["192.0.2.1:8080", "192.0.2.2:8443"] {
            assert!(!path(Transport::Ws, other).leads_along(&flow), "{other}");
        }
        assert!(!path(Transport::Tls, "192.0.2.1:8443").leads_along(&flow));
        // What must be secure does not go in the clear.
        let clear = path(Transport::Ws, "192.0.2.1:8443");
        assert!(!flow.leads_along(&clear));
    }
}
