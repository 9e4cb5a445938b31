//! What a wire tells, and what it counts.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip_core::{FlowId, Path};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Error, Step};
use crate::tls::Secured;

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A message came.
    Arrived(Arrived),
    /// A connection of ours has got so far on its way up that this step has begun: TLS or WebSocket.
    /// The first step, TCP, goes without saying.
    Begun {
        /// Its name.
        flow: FlowId,
        /// Where it leads.
        path: Path,
        /// What is being agreed on now.
        step: Step,
    },
    /// A connection is up.
    Up {
        /// Its name.
        flow: FlowId,
        /// Where it leads.
        path: Path,
        /// Whether the peer opened it.
        accepted: bool,
        /// What TLS agreed on, where there is TLS.
        secured: Option<Secured>,
    },
    /// A connection ended, or never came up.
    Closed(Closed),
    /// A peer of datagrams did not answer our keepalives (RFC 5626 §4.4.2).
    FlowFailed {
        /// The socket.
        flow: FlowId,
        /// The peer.
        remote: SocketAddr,
    },
    /// Where a peer sees us, as it says in answer to a keepalive; told when it is news.
    Mapped {
        /// The socket.
        flow: FlowId,
        /// The peer.
        remote: SocketAddr,
        /// Our address from there.
        mapped: SocketAddr,
    },
    /// Something was counted that was not told otherwise. Told once until [`Wire::counts`](crate::Wire::counts) is asked.
    Counted,
}

/// A message that came: a datagram, or what was framed on a stream or in a WebSocket.
pub struct Arrived {
    /// The socket or connection; the answer goes back there.
    pub flow: FlowId,
    /// Its `remote` is where the message came from.
    pub path: Path,
    /// When.
    pub at: Instant,
    /// The message, not parsed yet.
    pub bytes: Vec<u8>,
    /// To be kept until the message has been handled.
    pub room: Room,
}

/// The room that a message takes between the wire and whoever handles it. It is given back when
/// this is dropped, so the number of messages under way is bounded even in a mailbox that is not.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held, not looked at")] Permits);

type Permits = (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit);

/// Without the message, which says who calls whom.
impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrived")
            .field("flow", &self.flow)
            .field("path", &self.path)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Without the messages, which say who calls whom.
impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed")
            .field("flow", &self.flow)
            .field("path", &self.path)
            .field("accepted", &self.accepted)
            .field("was_up", &self.was_up)
            .field("error", &self.error)
            .field("unsent", &self.unsent.len())
            .field("unheard", &self.unheard.len())
            .finish()
    }
}

impl Room {
    pub(super) fn of_datagram(place: OwnedSemaphorePermit) -> Self {
        Self((None, place))
    }

    pub(crate) fn of_stream(own: OwnedSemaphorePermit, common: OwnedSemaphorePermit) -> Self {
        Self((Some(own), common))
    }
}

/// How a connection ended.
pub struct Closed {
    /// Its name; it will not be used again.
    pub flow: FlowId,
    /// Where it led.
    pub path: Path,
    /// Whether the peer opened it.
    pub accepted: bool,
    /// Whether it ever was up.
    pub was_up: bool,
    /// Why.
    pub error: Error,
    /// What was handed over and not written, in order.
    pub unsent: Vec<Vec<u8>>,
    /// The last requests that were written, and after which nothing came any more: a connection that
    /// its peer has just closed takes them, and nobody reads them.
    pub unheard: Vec<Vec<u8>>,
}

/// How to keep a way of datagrams open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// A line end that nobody answers: it only keeps routers from forgetting us.
    Crlf(Duration),
    /// A STUN binding request, which tells whether the peer is there and where it sees us. Only for
    /// servers that are known to take them (RFC 5626 §4.4).
    Stun(Duration),
    /// The first of them goes out after this time; a peer that has never answered a STUN request gets
    /// line ends from then on.
    StunOrCrlf(Duration),
}

/// What went by without reaching anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that came when there was no room.
    pub dropped: u64,
    /// Datagrams that the kernel had no room to send.
    pub crowded_out: u64,
    /// Connections that were closed at once, or to make room.
    pub turned_away: u64,
}

/// Who is told what happens. Called from the tasks of the wire, so it only hands on; `false` says
/// that nobody listens any more.
pub type Sink = Arc<dyn Fn(Event) -> bool + Send + Sync>;
