//! Where TCP does not lead and UDP does. A request that is too large for a datagram has to go by TCP
//! (RFC 3261 §18.1.1), and by UDP after all where there is none. The RFC knows a refusal by then; most
//! firewalls say nothing, and each such request would wait for them anew.
//!
//! ```text
//!   TCP did not come up ──▶ suspected ── an answer by UDP ──▶ known: large requests go by UDP at once
//!                               ▲                               │
//!                               └──── ten minutes, or TCP came up ──▶ forgotten
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_core::{Path, Transport};

/// How long TCP may take to come up for a request that could go by UDP.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// After which TCP is tried again.
const LIFE: Duration = Duration::from_secs(600);
/// How many addresses are remembered; past it the oldest is forgotten.
const MOST: usize = 256;

/// The addresses of one tenant's servers where TCP did not come up.
#[derive(Default)]
pub(super) struct WithoutTcp {
    known: HashMap<SocketAddr, Known>,
}

struct Known {
    since: Instant,
    /// Whether UDP was seen to work since then. Where nothing works it is no matter of TCP.
    by_udp: bool,
}

impl WithoutTcp {
    /// A connection of ours did not come up.
    pub(super) fn on_failed(&mut self, now: Instant, path: &Path) {
        if path.transport != Transport::Tcp || self.has(now, path.remote) {
            return;
        }
        if self.known.len() >= MOST && !self.known.contains_key(&path.remote) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.since);
            if let Some(oldest) = oldest.map(|(remote, _)| *remote) {
                self.known.remove(&oldest);
            }
        }
        let known = Known {
            since: now,
            by_udp: false,
        };
        self.known.insert(path.remote, known);
    }

    /// A connection of ours came up.
    pub(super) fn on_up(&mut self, path: &Path) {
        if path.transport == Transport::Tcp {
            self.known.remove(&path.remote);
        }
    }

    /// Somebody has answered a request of ours. Tells whether TCP is known not to lead there by that.
    pub(super) fn on_answer(&mut self, now: Instant, path: &Path) -> bool {
        if path.transport != Transport::Udp {
            return false;
        }
        let known = self.known.get_mut(&path.remote);
        let Some(known) = known.filter(|known| !known.by_udp && known.is_young(now)) else {
            return false;
        };
        known.by_udp = true;
        true
    }

    /// Whether it is known that TCP does not lead there and UDP does.
    pub(super) fn has(&self, now: Instant, remote: SocketAddr) -> bool {
        let known = self.known.get(&remote);
        known.is_some_and(|known| known.by_udp && known.is_young(now))
    }
}

impl Known {
    fn is_young(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16, transport: Transport) -> Path {
        Path {
            transport,
            remote: SocketAddr::from(([192, 0, 2, 9], port)),
            local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        }
    }

    #[test]
    fn tcp_is_left_out_where_it_failed_and_udp_works_for_ten_minutes() {
        let start = Instant::now();
        let [tcp, udp] = [Transport::Tcp, Transport::Udp].map(|transport| path(5060, transport));
        let mut without = WithoutTcp::default();
        assert!(!without.on_answer(start, &udp), "nothing has failed");
        without.on_failed(start, &tcp);
        assert!(!without.has(start, tcp.remote), "UDP may not work either");
        assert!(!without.on_answer(start, &path(5070, Transport::Udp)));
        assert!(without.on_answer(start, &udp));
        assert!(!without.on_answer(start, &udp), "told once");
        // A request that was on its way by then does not lengthen it.
        without.on_failed(start + Duration::from_secs(5), &tcp);
        assert!(without.has(start + LIFE - Duration::from_secs(1), tcp.remote));
        assert!(!without.has(start + LIFE, tcp.remote));
        // Then it is found out anew.
        without.on_failed(start + LIFE, &tcp);
        assert!(!without.has(start + LIFE, tcp.remote));
        assert!(without.on_answer(start + LIFE, &udp));
        assert!(without.has(start + LIFE, tcp.remote));
    }

    #[test]
    fn a_connection_that_comes_up_is_the_end_of_it() {
        let now = Instant::now();
        let [tcp, udp] = [Transport::Tcp, Transport::Udp].map(|transport| path(5060, transport));
        let mut without = WithoutTcp::default();
        without.on_failed(now, &tcp);
        without.on_answer(now, &udp);
        without.on_up(&path(5060, Transport::Tls));
        assert!(without.has(now, tcp.remote), "TLS is another matter");
        without.on_up(&tcp);
        assert!(!without.has(now, tcp.remote));
        without.on_failed(now, &path(5060, Transport::Tls));
        assert!(!without.on_answer(now, &udp));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes() {
        let start = Instant::now();
        let mut without = WithoutTcp::default();
        for port in 0..1_000_u16 {
            let now = start + Duration::from_millis(port.into());
            without.on_failed(now, &path(port, Transport::Tcp));
        }
        assert_eq!(without.known.len(), MOST);
        let remembered = |port| {
            without
                .known
                .contains_key(&path(port, Transport::Tcp).remote)
        };
        assert!(remembered(999) && !remembered(0));
    }
}
