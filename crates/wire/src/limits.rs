//! How much, and how long: nothing from the network grows without end or waits for ever.

use std::time::Duration;

/// What one [`Wire`](crate::Wire) allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of one message.
    pub message: usize,
    /// Connections at a time, ours and theirs.
    pub connections: usize,
    /// How many of them may have been opened by peers: a crowd at the door leaves us a way out.
    /// When there are more, the one that was quiet for the longest time goes, and one that never
    /// brought a message goes before one that did.
    pub accepted: usize,
    /// How many connections peers may open from one address; more are closed at once.
    pub accepted_per_source: usize,
    /// Messages that have arrived and are not handled yet. Past it streams wait and datagrams are
    /// dropped and counted.
    pub arrived: usize,
    /// Octets of one connection that have arrived and are not handled yet.
    pub arrived_octets: usize,
    /// Messages waiting to be written to one connection.
    pub queued: usize,
    /// Octets waiting to be written to one connection.
    pub queued_octets: usize,
    /// Peers of datagrams that are kept alive.
    pub kept_alive: usize,
    /// How long TCP may take to come up.
    pub connect: Duration,
    /// How long TLS and WebSocket may take to come up, each.
    pub handshake: Duration,
    /// How long one write may take.
    pub write: Duration,
    /// How long the rest of a message that has begun may take.
    pub unfinished: Duration,
    /// How long a connection that a peer opened may stay without bringing a message. Keepalives are
    /// none.
    pub unproven: Duration,
    /// How long a connection that a peer opened may bring nothing at all once it has brought a
    /// message. Longer than a registration usually stays.
    pub idle: Duration,
    /// How long the answer to a keepalive may take (RFC 5626 §4.4.1: ten seconds).
    pub pong: Duration,
    /// How long a peer may bring nothing at all after a request was written to it; then its connection has failed.
    /// A little less than the 64·T1 of a request, which can then be answered on another connection.
    pub answer: Duration,
    /// How long the peer's system may leave unacknowledged what was written, where the system here can tell (Linux's
    /// `TCP_USER_TIMEOUT`, RFC 5482); then the connection has failed.
    pub unacknowledged: Duration,
    /// First wait for the answer to a STUN request; it doubles with each of the seven requests
    /// (RFC 8489 §6.2.1).
    pub stun_first: Duration,
    /// Whether STUN binding requests are answered, as a server on the edge does (RFC 5626 §5.4).
    pub answers_stun: bool,
    /// The hosts whose web pages may open a WebSocket here, besides those of our own addresses and of `localhost`.
    pub pages: Vec<String>,
}

impl Default for Limits {
    /// Those of a client.
    fn default() -> Self {
        Self {
            message: 64 * 1024,
            connections: 1_024,
            accepted: 512,
            accepted_per_source: 64,
            arrived: 2_048,
            arrived_octets: 256 * 1024,
            queued: 256,
            queued_octets: 1024 * 1024,
            kept_alive: 1_024,
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            write: Duration::from_secs(10),
            unfinished: Duration::from_secs(10),
            unproven: Duration::from_secs(32),
            idle: Duration::from_secs(2 * 3_600),
            pong: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            unacknowledged: Duration::from_secs(10),
            stun_first: Duration::from_millis(500),
            answers_stun: false,
            pages: Vec::new(),
        }
    }
}

impl Limits {
    /// Those of a server: a crowd behind one address is welcome, and STUN is answered.
    pub fn of_a_server() -> Self {
        Self {
            accepted: 1_000,
            accepted_per_source: 250,
            arrived: 4_096,
            answers_stun: true,
            ..Self::default()
        }
    }
}
