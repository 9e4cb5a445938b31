//! Where TCP does not lead and UDP does. A request that is too large for a datagram has to go by TCP
//! (RFC 3261 §18.1.1), and by UDP after all where there is none. The RFC knows a refusal by then; most
//! firewalls say nothing, and each such request would wait for them anew.
//!
//! ```text
//!   TCP refused, or silent ──▶ suspected ── a large request by UDP is answered ──▶ known: they go by UDP at once
//!                                  │                                                  │
//!                                  └──── ten minutes, TCP came up, or one that ───────┴──▶ forgotten
//!                                        went by UDP is not answered
//! ```
//!
//! Only the answer to a large request shows anything: it goes in fragments, and there are ways on which small
//! datagrams arrive and fragments do not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_core::client::LARGEST_ON_UDP;
use sip_core::{Path, Transport, TransportError};
use sip_message::Message;

use super::branch_of;

/// How long TCP may take to come up for a request that could go by UDP. A first packet that was lost is said again
/// after one second (RFC 6298 §2), and this one has to have its answer still.
pub(super) const PATIENCE: Duration = Duration::from_millis(2_500);
/// After which TCP is tried again.
const LIFE: Duration = Duration::from_secs(600);
/// After which a large request is taken as one that did not arrive: it has gone out five times, and who has it would
/// have said 100 by now, to an INVITE at once (RFC 3261 §17.2.1) and to any other when it is repeated no faster than
/// each T2 (RFC 4320 §4.1).
const SILENCE: Duration = Duration::from_secs(8);
/// How many addresses are remembered; past it the oldest is forgotten.
const MOST: usize = 256;
/// How many large requests that wait for their answer are remembered of one address.
const MOST_ASKED: usize = 16;

/// The addresses of one tenant's servers where TCP did not come up.
#[derive(Default)]
pub(super) struct WithoutTcp {
    known: HashMap<SocketAddr, Known>,
}

struct Known {
    since: Instant,
    /// Whether a large request by UDP was answered since then. Where nothing works it is no matter of TCP.
    by_udp: bool,
    /// Large requests that went there by UDP and wait for their first answer: when they first went, and their branch.
    asked: Vec<(Instant, String)>,
}

impl WithoutTcp {
    /// A connection of ours did not come up. Without a network none does, which says nothing about the peer.
    pub(super) fn on_failed(&mut self, now: Instant, path: &Path, error: &TransportError) {
        let tells = matches!(error, TransportError::Refused | TransportError::TimedOut);
        if !tells || path.transport != Transport::Tcp || self.has(now, path.remote) {
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
            asked: Vec::new(),
        };
        self.known.insert(path.remote, known);
    }

    /// A connection of ours came up.
    pub(super) fn on_up(&mut self, path: &Path) {
        if path.transport == Transport::Tcp {
            self.known.remove(&path.remote);
        }
    }

    /// A datagram of ours goes out.
    pub(super) fn on_sent(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]) {
        // Nobody answers an ACK.
        let is_asked = !bytes.starts_with(b"SIP/2.0 ") && !bytes.starts_with(b"ACK ");
        if bytes.len() <= LARGEST_ON_UDP || !is_asked {
            return;
        }
        self.forget_old(now, remote);
        let Some(known) = self.known.get_mut(&remote) else {
            return;
        };
        // Of so many the first ones tell.
        if known.asked.len() >= MOST_ASKED {
            return;
        }
        let branch = Message::parse(bytes).ok().as_ref().and_then(branch_of);
        let Some(branch) = branch else { return };
        if known.asked.iter().all(|(_, asked)| *asked != branch) {
            known.asked.push((now, branch));
        }
    }

    /// Somebody has answered a request of ours by UDP. Tells for which address TCP is known not to lead there by that.
    pub(super) fn on_answer(&mut self, now: Instant, branch: &str) -> Option<SocketAddr> {
        let (remote, known) = self.known.iter_mut().find_map(|(remote, known)| {
            let at = known.asked.iter().position(|(_, asked)| asked == branch)?;
            known.asked.swap_remove(at);
            Some((*remote, known))
        })?;
        if known.by_udp || !known.is_young(now) {
            return None;
        }
        known.by_udp = true;
        Some(remote)
    }

    /// Whether it is known that TCP does not lead there and UDP does.
    pub(super) fn has(&mut self, now: Instant, remote: SocketAddr) -> bool {
        self.forget_old(now, remote);
        self.known.get(&remote).is_some_and(|known| known.by_udp)
    }

    fn forget_old(&mut self, now: Instant, remote: SocketAddr) {
        let known = self.known.get(&remote);
        if known.is_some_and(|known| !known.is_young(now) || known.is_silent(now)) {
            self.known.remove(&remote);
        }
    }
}

impl Known {
    fn is_young(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < LIFE
    }

    fn is_silent(&self, now: Instant) -> bool {
        let silent = |at: &Instant| now.saturating_duration_since(*at) >= SILENCE;
        self.asked.iter().any(|(at, _)| silent(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SILENT: &TransportError = &TransportError::TimedOut;

    fn path(port: u16, transport: Transport) -> Path {
        Path {
            transport,
            remote: SocketAddr::from(([192, 0, 2, 9], port)),
            local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        }
    }

    fn request(method: &str, branch: &str, body: usize) -> Vec<u8> {
        let mut bytes = format!(
            "{method} sip:bob@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:bob@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
             Max-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend(vec![b'x'; body]);
        bytes
    }

    fn large(branch: &str) -> Vec<u8> {
        request("INVITE", branch, LARGEST_ON_UDP)
    }

    /// One where a large request went by UDP after TCP had failed.
    fn suspected(start: Instant, branch: &str) -> (WithoutTcp, SocketAddr) {
        let tcp = path(5060, Transport::Tcp);
        let mut without = WithoutTcp::default();
        without.on_failed(start, &tcp, SILENT);
        without.on_sent(start, tcp.remote, &large(branch));
        (without, tcp.remote)
    }

    #[test]
    fn tcp_is_left_out_where_it_failed_and_udp_works_for_ten_minutes() {
        let start = Instant::now();
        let tcp = path(5060, Transport::Tcp);
        let there = tcp.remote;
        let mut without = WithoutTcp::default();
        without.on_sent(start, there, &large("z9hG4bK0"));
        assert_eq!(without.on_answer(start, "z9hG4bK0"), None, "TCP may lead");
        without.on_failed(start, &tcp, SILENT);
        without.on_sent(start, there, &large("z9hG4bK1"));
        assert!(!without.has(start, there), "UDP may not work either");
        assert_eq!(without.on_answer(start, "z9hG4bK1"), Some(there));
        assert_eq!(without.on_answer(start, "z9hG4bK1"), None, "told once");
        // A request that was on its way by then does not lengthen it.
        without.on_failed(start + 5 * SECOND, &tcp, SILENT);
        assert!(without.has(start + LIFE - SECOND, there));
        assert!(!without.has(start + LIFE, there));
        // Then it is found out anew.
        without.on_failed(start + LIFE, &tcp, &TransportError::Refused);
        assert!(!without.has(start + LIFE, there));
        without.on_sent(start + LIFE, there, &large("z9hG4bK2"));
        assert_eq!(without.on_answer(start + LIFE, "z9hG4bK2"), Some(there));
        assert!(without.has(start + LIFE, there));
    }

    #[test]
    fn an_answer_to_what_was_small_says_nothing_about_what_is_large() {
        let start = Instant::now();
        let (mut without, there) = suspected(start, "z9hG4bKlarge");
        // Fragments are dropped there, and a REGISTER arrives.
        without.on_sent(start, there, &request("REGISTER", "z9hG4bKsmall", 0));
        assert_eq!(without.on_answer(start, "z9hG4bKsmall"), None);
        assert!(!without.has(start, there));
        // Nor is one waited for that is never answered.
        without.on_sent(start, there, &request("ACK", "z9hG4bKack", LARGEST_ON_UDP));
        assert_eq!(without.on_answer(start, "z9hG4bKlarge"), Some(there));
        assert!(without.has(start + LIFE - SECOND, there));
    }

    #[test]
    fn where_a_large_request_by_udp_stays_without_answer_tcp_is_tried_again() {
        let start = Instant::now();
        let (mut without, there) = suspected(start, "z9hG4bK1");
        without.on_answer(start, "z9hG4bK1");
        let later = start + 60 * SECOND;
        without.on_sent(later, there, &large("z9hG4bK2"));
        // Said again (RFC 3261 §17.1.1.2), it is the same request.
        without.on_sent(later + 7 * SECOND, there, &large("z9hG4bK2"));
        assert!(without.has(later + SILENCE - SECOND, there));
        assert!(!without.has(later + SILENCE, there));
        // A late answer to it is no proof for what comes after.
        assert_eq!(without.on_answer(later + SILENCE, "z9hG4bK2"), None);
        assert!(!without.has(later + SILENCE, there));

        // An answer in time, if only a 100, leaves everything as it is.
        let (mut without, there) = suspected(start, "z9hG4bK1");
        without.on_answer(start + SECOND, "z9hG4bK1");
        assert!(without.has(start + 60 * SECOND, there));
    }

    #[test]
    fn without_a_network_nothing_is_learned_about_a_peer() {
        let now = Instant::now();
        let tcp = path(5060, Transport::Tcp);
        for error in [TransportError::Unreachable, TransportError::Closed] {
            let mut without = WithoutTcp::default();
            without.on_failed(now, &tcp, &error);
            without.on_sent(now, tcp.remote, &large("z9hG4bK1"));
            assert_eq!(without.on_answer(now, "z9hG4bK1"), None, "{error}");
            assert!(!without.has(now, tcp.remote), "{error}");
        }
    }

    #[test]
    fn a_connection_that_comes_up_is_the_end_of_it() {
        let now = Instant::now();
        let (mut without, there) = suspected(now, "z9hG4bK1");
        without.on_answer(now, "z9hG4bK1");
        without.on_up(&path(5060, Transport::Tls));
        assert!(without.has(now, there), "TLS is another matter");
        without.on_up(&path(5060, Transport::Tcp));
        assert!(!without.has(now, there));
        without.on_failed(now, &path(5060, Transport::Tls), SILENT);
        without.on_sent(now, there, &large("z9hG4bK2"));
        assert_eq!(without.on_answer(now, "z9hG4bK2"), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes() {
        let start = Instant::now();
        let mut without = WithoutTcp::default();
        for port in 0..1_000_u16 {
            let now = start + Duration::from_millis(port.into());
            without.on_failed(now, &path(port, Transport::Tcp), SILENT);
        }
        assert_eq!(without.known.len(), MOST);
        let there = |port| path(port, Transport::Tcp).remote;
        let remembered = |port| without.known.contains_key(&there(port));
        assert!(remembered(999) && !remembered(0));
        for i in 0..1_000 {
            without.on_sent(start + SECOND, there(999), &large(&format!("z9hG4bK{i}")));
        }
        assert_eq!(without.known[&there(999)].asked.len(), MOST_ASKED);
    }
}
