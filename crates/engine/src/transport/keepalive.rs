//! Ways to registrars that are kept open, and the news of those that have failed (RFC 5626 §4.4).
//!
//! On streams a line end goes out and one comes back; a server that has never answered one is not
//! expected to. A WebSocket has pings of its own. Datagrams are kept alive by STUN requests, whose
//! answers tell where the server sees us: another address there is another way, and the registration
//! is made anew. To a server that knows no STUN go line ends that nobody answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use ractor::ActorId;
use sip_core::{FlowId, Path, Transport};
use wire::Keepalive;

use super::{Delivery, Owner, TransportState};

/// How often datagrams go out where the server does not say (RFC 5626 §4.4.2).
const DATAGRAMS: Duration = Duration::from_secs(29);
/// The same on streams (RFC 5626 §4.4.1).
const STREAMS: Duration = Duration::from_secs(120);
/// No server may ask for more.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// A way to be kept open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) flow: FlowId,
    pub(crate) path: Path,
    /// How often the server wants to hear of us at least (Flow-Timer, RFC 5626 §5.4).
    pub(crate) timer: Option<Duration>,
    /// Whether the server said that it keeps to the flow: then it answers pings.
    pub(crate) outbound: bool,
    /// Where the server sees us.
    pub(crate) mapped: Option<SocketAddr>,
}

/// The ways that are kept open, by owner and by which of its ways it is.
#[derive(Default)]
pub(super) struct KeptAlive(HashMap<(ActorId, u32), Alive>);

struct Alive {
    owner: Owner,
    way: Way,
}

impl Way {
    fn every(&self) -> Duration {
        let usual = match self.path.transport {
            Transport::Udp => DATAGRAMS,
            _ => STREAMS,
        };
        self.timer.map_or(usual, |timer| timer.max(AT_MOST_EVERY))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.flow == other.flow
            && self.path.remote == other.path.remote
            && self.every() == other.every()
            && self.outbound == other.outbound
    }

    fn leads(&self, flow: FlowId, remote: SocketAddr) -> bool {
        self.flow == flow && self.path.remote == remote
    }
}

impl TransportState {
    /// An owner has a way that is to be kept open, or none any more.
    pub(super) fn on_keep_alive(&mut self, owner: Owner, which: u32, way: Option<Way>) {
        let key = (owner.id, which);
        let old = self.kept_alive.0.remove(&key);
        if let Some(way) = way {
            self.kept_alive.0.insert(key, Alive { owner, way });
        }
        let goes_on = |old: &Alive| way.is_some_and(|way| way.is_same(&old.way));
        if old.as_ref().is_some_and(goes_on) {
            return;
        }
        if let Some(old) = old {
            self.let_go(&old.way);
        }
        if let Some(way) = way {
            self.keep_open(&way);
        }
    }

    /// Nothing of this owner is kept open any more.
    pub(super) fn let_all_go(&mut self, owner: ActorId) {
        let its = self.kept_alive.0.keys().filter(|(id, _)| *id == owner);
        let its: Vec<_> = its.copied().collect();
        for key in its {
            if let Some(alive) = self.kept_alive.0.remove(&key) {
                self.let_go(&alive.way);
            }
        }
    }

    fn keep_open(&self, way: &Way) {
        match way.path.transport {
            Transport::Udp => {
                let keepalive = Keepalive::StunOrCrlf(way.every());
                let remote = way.path.remote;
                self.connections
                    .keep_datagrams_alive(way.flow, remote, Some(keepalive));
            }
            // RFC 6455 §5.5.2: everybody answers those pings.
            Transport::Ws | Transport::Wss => {
                self.connections
                    .keep_alive(way.flow, Some(way.every()), true);
            }
            Transport::Tcp | Transport::Tls => {
                self.connections
                    .keep_alive(way.flow, Some(way.every()), way.outbound);
            }
        }
    }

    /// Unless somebody else wants it open.
    fn let_go(&self, way: &Way) {
        let mut others = self.kept_alive.0.values();
        if others.any(|other| other.way.leads(way.flow, way.path.remote)) {
            return;
        }
        if way.path.transport == Transport::Udp {
            self.connections
                .keep_datagrams_alive(way.flow, way.path.remote, None);
        } else {
            self.connections.keep_alive(way.flow, None, true);
        }
    }

    /// A server has answered before and does not any more.
    pub(super) fn on_flow_failed(&mut self, flow: FlowId, remote: SocketAddr) {
        self.note_connection(format!("udp:{remote} does not answer keepalives any more"));
        self.lose(flow, remote, |_| true);
    }

    /// A server sees us at this address. Another one than before is another way to us: whoever knows
    /// the old one does not reach us (RFC 5626 §4.4.2).
    pub(super) fn on_mapped(&mut self, flow: FlowId, remote: SocketAddr, mapped: SocketAddr) {
        let mut was = None;
        self.lose(flow, remote, |way| {
            let old = way.mapped.replace(mapped).filter(|old| *old != mapped);
            was = was.or(old);
            old.is_some()
        });
        if let Some(was) = was {
            let text = format!("udp:{remote} sees us at {mapped} now, and saw us at {was}");
            self.note_connection(text);
        }
    }

    fn lose(
        &mut self,
        flow: FlowId,
        remote: SocketAddr,
        mut is_lost: impl FnMut(&mut Way) -> bool,
    ) {
        for alive in self.kept_alive.0.values_mut() {
            if alive.way.leads(flow, remote) && is_lost(&mut alive.way) {
                alive.owner.deliver(Delivery::FlowLost(flow));
            }
        }
    }
}
