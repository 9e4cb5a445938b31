//! Which of the ways between two sides works (ICE, RFC 8445), for one stream and its reports.
//!
//! ```text
//!  both sides' candidates and credentials ─► Agent ◄─► STUN with a USERNAME, on the media's own ports
//!                                              │
//!                                              └─► Selected: send there      Failed: no way answers
//! ```
//!
//! A full agent: candidates of every socket that it is given, in pairs that are tried one by one in order of priority
//! (§6.1), those that a pair of the same foundation speaks for first; peers found where nobody announced them (§7.3.1.3);
//! roles that both want, or none (§7.3.1.1); regular nomination (§8.1.1), and consent afterwards (RFC 7675). Media may go
//! to the best way that has answered before one is nominated (§12.1), so nobody waits for that.
//!
//! It gathers nothing and knows no sockets but by number. Candidates of TCP, and names instead of addresses, are passed over.
//!
//! Written here since the agents at hand know one component only, freeze nothing, and settle a conflict of roles in which
//! both sides want to be controlled the wrong way round (`is` 0.12, against §7.3.1.1).

mod agent;
mod candidate;
mod pair;

use std::net::SocketAddr;
use std::time::Instant;

pub use agent::Agent;
pub use candidate::{described, in_order};

/// What shows that a check is of this session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub pwd: String,
}

/// Without the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

/// What a way is for (RFC 8445 §4: a component).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// RTP, and RTCP where that shares its port. The first.
    Media,
    /// RTCP on a port of its own. The second.
    Reports,
}

impl Component {
    /// As attributes name it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Media => 1,
            Self::Reports => 2,
        }
    }
}

/// One of our sockets, and where else it can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Base {
    /// What the owner of the sockets calls it.
    pub socket: u8,
    /// What it is for.
    pub component: Component,
    /// Where it is.
    pub at: SocketAddr,
    /// Where the world sees it, where that is another place.
    pub mapped: Option<SocketAddr>,
    /// Its address at a relay, where there is one.
    pub relayed: Option<SocketAddr>,
}

/// What offer and answer say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Ours.
    pub local: Credentials,
    /// The peer's.
    pub remote: Credentials,
    /// Our sockets, the most preferred address first. Those for reports only where they do not share the port of the
    /// media.
    pub bases: Vec<Base>,
    /// The peer's candidates, each the value of its attribute.
    pub candidates: Vec<String>,
    /// Whether we nominate: who offered does, and who faces a lite peer.
    pub controlling: bool,
}

impl Session {
    /// Whether this goes on with `other`: other credentials are a restart (RFC 8445 §9).
    #[must_use]
    pub fn goes_on(&self, other: &Self) -> bool {
        self.local == other.local && self.remote == other.remote && self.is_at(other)
    }

    /// Whether the sockets are those of `other`: a way that was found from there is one still.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        let places = |of: &Self| -> Vec<_> { of.bases.iter().map(|b| (b.socket, b.at)).collect() };
        places(self) == places(other)
    }
}

/// A way to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Way {
    /// Where the peer is.
    pub to: SocketAddr,
    /// From which of our sockets.
    pub socket: u8,
    /// Through the relay of that socket, and not from itself.
    pub relayed: bool,
}

/// What has been found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// This is where to send.
    Selected(Component, Way),
    /// No way for the media has answered in time. One that does later is told all the same.
    Failed,
    /// The peer has not said for too long that it still wants what we send: nothing may be sent any more. For the media
    /// this is the end: this agent asks and selects nothing after it, since consent comes with other credentials only, so
    /// with a restart (RFC 7675 §5.1).
    Lost(Component),
    /// For three seconds it has been settled which way each component takes. What the other candidates need, such as an
    /// address at a relay, may be freed (RFC 8445 §8.3.1). Told again where the peer nominates another way later.
    Concluded,
}

/// What [`Agent::poll_output`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To be sent.
    Transmit {
        /// The datagram.
        datagram: Vec<u8>,
        /// Where to, and by which way.
        way: Way,
    },
    /// What has been found out.
    Event(Event),
    /// Nothing more until then.
    Deadline(Option<Instant>),
}

#[cfg(test)]
mod tests;
