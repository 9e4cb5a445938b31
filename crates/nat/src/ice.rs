//! Which of the ways between two sides works (ICE, RFC 8445), for one stream whose reports share its port.
//!
//! ```text
//!  both sides' candidates and credentials ─► Agent ◄─► STUN with a USERNAME, on the media's own port
//!                                              │
//!                                              └─► Selected: send there      Failed: no way answers
//! ```
//!
//! Underneath is `is`, the agent of str0m: full, with regular nomination, role conflicts and consent. It knows no
//! candidates but those it is given: one base, and what a STUN server sees of it. What it does not know, it does not
//! find: TCP candidates of the peer are passed over.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol, stun};

/// Candidates of the peer that are tried; RFC 8445 §6.1.2.5 wants a limit.
const MOST_CANDIDATES: usize = 32;

/// Without any way for so long there is none: the default address is as good as any then.
const GIVE_UP: Duration = Duration::from_secs(10);

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

/// What offer and answer say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Ours.
    pub local: Credentials,
    /// The peer's.
    pub remote: Credentials,
    /// Where our socket is.
    pub base: SocketAddr,
    /// Where the world sees it, where that is another place.
    pub mapped: Option<SocketAddr>,
    /// Our address at a relay, where there is one.
    pub relayed: Option<SocketAddr>,
    /// The peer's candidates, each the value of its attribute.
    pub candidates: Vec<String>,
    /// Whether we nominate: who offered does, and who faces a lite peer.
    pub controlling: bool,
}

impl Session {
    /// Whether this goes on with `other`: other credentials are a restart (RFC 8445 §9).
    #[must_use]
    pub fn goes_on(&self, other: &Self) -> bool {
        self.local == other.local && self.remote == other.remote && self.base == other.base
    }
}

/// A way to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where the peer is.
    pub to: SocketAddr,
    /// Through the relay, and not from our own socket.
    pub relayed: bool,
}

/// What has been found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// This is where to send.
    Selected(Way),
    /// No way has answered in time. One that does later is told all the same.
    Failed,
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

/// See the module.
pub struct Agent {
    inner: IceAgent,
    base: SocketAddr,
    relayed: Option<SocketAddr>,
    selected: Option<Way>,
    give_up: Option<Instant>,
    events: VecDeque<Event>,
}

impl Agent {
    /// Begins to look.
    #[must_use]
    pub fn new(now: Instant, session: &Session) -> Self {
        let creds = |credentials: &Credentials| IceCreds {
            ufrag: credentials.ufrag.clone(),
            pass: credentials.pwd.clone(),
        };
        let mut inner = IceAgent::new(creds(&session.local));
        inner.set_controlling(session.controlling);
        if let Ok(host) = Candidate::host(session.base, Protocol::Udp) {
            inner.add_local_candidate(host);
        }
        if let Some(mapped) = session.mapped
            && let Ok(seen) = Candidate::server_reflexive(mapped, session.base, Protocol::Udp)
        {
            inner.add_local_candidate(seen);
        }
        if let Some(relayed) = session.relayed
            && let Ok(relayed) = Candidate::relayed(relayed, session.base, Protocol::Udp)
        {
            inner.add_local_candidate(relayed);
        }
        inner.set_remote_credentials(creds(&session.remote));
        for text in session.candidates.iter().take(MOST_CANDIDATES) {
            let value = format!("candidate:{}", text.trim_start_matches("candidate:"));
            if let Ok(candidate) = Candidate::from_sdp_string(&value)
                && candidate.proto() == Protocol::Udp
            {
                inner.add_remote_candidate(candidate);
            }
        }
        let mut agent = Self {
            inner,
            base: session.base,
            relayed: session.relayed,
            selected: None,
            give_up: Some(now + GIVE_UP),
            events: VecDeque::new(),
        };
        agent.handle_timeout(now);
        agent
    }

    /// Takes in a datagram that came by this way; false when it is none of this session's checks.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8], way: Way) -> bool {
        let Some(destination) = (if way.relayed {
            self.relayed
        } else {
            Some(self.base)
        }) else {
            return false;
        };
        let Ok(message) = stun::StunMessage::parse(datagram) else {
            return false;
        };
        if !self.inner.accepts_message(&message) {
            return false;
        }
        let packet = stun::StunPacket {
            proto: Protocol::Udp,
            source: way.to,
            destination,
            message,
        };
        self.inner.handle_packet(now, packet);
        self.collect();
        true
    }

    /// Its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
        self.collect();
        if self.give_up.is_some_and(|at| now >= at) {
            self.give_up = None;
            if self.selected.is_none() {
                self.events.push_back(Event::Failed);
            }
        }
    }

    /// The next thing to do for the caller.
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(transmit) = self.inner.poll_transmit() {
            return Output::Transmit {
                datagram: transmit.contents.to_vec(),
                way: Way {
                    to: transmit.destination,
                    relayed: Some(transmit.source) == self.relayed,
                },
            };
        }
        let deadline = self.inner.poll_timeout().into_iter().chain(self.give_up);
        Output::Deadline(deadline.min())
    }

    /// Where to send, once that is known.
    #[must_use]
    pub fn selected(&self) -> Option<Way> {
        self.selected
    }

    fn collect(&mut self) {
        while let Some(event) = self.inner.poll_event() {
            let IceAgentEvent::NominatedSend {
                source,
                destination,
                ..
            } = event
            else {
                continue;
            };
            let way = Way {
                to: destination,
                relayed: Some(source) == self.relayed,
            };
            if self.selected.replace(way) != Some(way) {
                self.events.push_back(Event::Selected(way));
            }
        }
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("selected", &self.selected)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn direct(to: SocketAddr) -> Way {
        Way { to, relayed: false }
    }

    fn credentials(name: &str) -> Credentials {
        Credentials {
            ufrag: format!("ufrag-{name}"),
            pwd: format!("a-password-of-22-signs-{name}"),
        }
    }

    fn session(
        ours: &str,
        theirs: &str,
        base: &str,
        candidates: &[&str],
        controlling: bool,
    ) -> Session {
        Session {
            local: credentials(ours),
            remote: credentials(theirs),
            base: at(base),
            mapped: None,
            relayed: None,
            candidates: candidates.iter().map(|text| (*text).to_owned()).collect(),
            controlling,
        }
    }

    /// Two sides, and a router in front of the second: it is seen at `outside`, and what it has not written to first
    /// does not come in.
    struct Net {
        now: Instant,
        left: Agent,
        right: Agent,
        left_at: SocketAddr,
        right_at: SocketAddr,
        outside: Option<SocketAddr>,
        relay: Option<SocketAddr>,
        opened: bool,
        events: [Vec<Event>; 2],
    }

    impl Net {
        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                let mut next = end;
                for side in 0..2 {
                    next = next.min(self.drain(side).unwrap_or(end));
                }
                self.now = next.max(self.now + Duration::from_millis(1));
                self.left.handle_timeout(self.now);
                self.right.handle_timeout(self.now);
            }
        }

        fn drain(&mut self, side: usize) -> Option<Instant> {
            loop {
                let agent = if side == 0 {
                    &mut self.left
                } else {
                    &mut self.right
                };
                match agent.poll_output() {
                    Output::Transmit { datagram, way } => self.carry(side, &datagram, way),
                    Output::Event(event) => self.events[side].push(event),
                    Output::Deadline(deadline) => return deadline,
                }
            }
        }

        fn carry(&mut self, side: usize, datagram: &[u8], way: Way) {
            assert!(crate::stun::is_stun(datagram));
            let now = self.now;
            if let Some(relay) = self.relay {
                // Nobody is reached but through the relay, which is at the left one's service.
                if side == 0 && way.relayed && way.to == self.right_at {
                    self.right.handle_datagram(now, datagram, direct(relay));
                }
                if side == 1 && way.to == relay {
                    let from = Way {
                        to: self.right_at,
                        relayed: true,
                    };
                    self.left.handle_datagram(now, datagram, from);
                }
                return;
            }
            let front = self.outside.unwrap_or(self.right_at);
            if side == 0 && way.to == front && (self.opened || self.outside.is_none()) {
                let from = direct(self.left_at);
                self.right.handle_datagram(now, datagram, from);
            }
            if side == 1 && way.to == self.left_at {
                self.opened = true;
                self.left.handle_datagram(now, datagram, direct(front));
            }
        }
    }

    fn net(left: &Session, right: &Session, outside: Option<SocketAddr>) -> Net {
        let now = Instant::now();
        Net {
            now,
            left: Agent::new(now, left),
            right: Agent::new(now, right),
            left_at: left.base,
            right_at: right.base,
            outside,
            relay: left.relayed,
            opened: false,
            events: [Vec::new(), Vec::new()],
        }
    }

    const HOST: &str = "1 1 udp 2130706431 192.0.2.1 4000 typ host";
    const INSIDE: &str = "1 1 UDP 2130706431 10.0.0.7 4000 typ host";

    #[test]
    fn a_peer_behind_a_router_is_found_where_it_is_seen() {
        let left = session("l", "r", "192.0.2.1:4000", &[INSIDE], true);
        let right = session("r", "l", "10.0.0.7:4000", &[HOST], false);
        let mut net = net(&left, &right, Some(at("203.0.113.5:61000")));
        net.run(Duration::from_secs(5));
        assert_eq!(net.left.selected(), Some(direct(at("203.0.113.5:61000"))));
        assert_eq!(net.right.selected(), Some(direct(at("192.0.2.1:4000"))));
        assert!(
            !net.events
                .iter()
                .flatten()
                .any(|event| *event == Event::Failed)
        );
    }

    #[test]
    fn where_nothing_else_leads_the_relay_is_the_way() {
        let theirs = "1 1 udp 2130706431 198.51.100.7 4000 typ host";
        let left = Session {
            relayed: Some(at("203.0.113.1:50000")),
            ..session("l", "r", "10.0.0.1:4000", &[theirs], true)
        };
        let ours = [
            "1 1 udp 2130706431 10.0.0.1 4000 typ host",
            "2 1 udp 16777215 203.0.113.1 50000 typ relay raddr 10.0.0.1 rport 4000",
        ];
        let right = session("r", "l", "198.51.100.7:4000", &ours, false);
        let mut net = net(&left, &right, None);
        net.run(Duration::from_secs(5));
        let by_relay = Way {
            to: at("198.51.100.7:4000"),
            relayed: true,
        };
        assert_eq!(net.left.selected(), Some(by_relay));
        assert_eq!(net.right.selected(), Some(direct(at("203.0.113.1:50000"))));
    }

    #[test]
    fn both_may_want_to_nominate() {
        let left = session(
            "l",
            "r",
            "192.0.2.1:4000",
            &["1 1 udp 1 192.0.2.9 4000 typ host"],
            true,
        );
        let right = session("r", "l", "192.0.2.9:4000", &[HOST], true);
        let mut net = net(&left, &right, None);
        net.run(Duration::from_secs(5));
        assert_eq!(net.left.selected(), Some(direct(at("192.0.2.9:4000"))));
        assert_eq!(net.right.selected(), Some(direct(at("192.0.2.1:4000"))));
    }

    #[test]
    fn no_way_is_told_and_strangers_and_junk_are_none() {
        let candidates = [
            "1 1 udp 2130706431 198.51.100.1 4000 typ host",
            "2 1 TCP 2130706431 198.51.100.1 9 typ host tcptype active",
            "nonsense",
            "",
        ];
        let left = session("l", "r", "192.0.2.1:4000", &candidates, true);
        let stranger = session("x", "y", "198.51.100.1:4000", &[HOST], false);
        let mut net = net(&left, &stranger, None);
        net.run(Duration::from_secs(9));
        assert!(net.events[0].is_empty());
        for first in 0..4u8 {
            for length in [0, 19, 20, 21, 60, 1_200] {
                let mut junk = vec![first; length];
                if let Some(cookie) = junk.get_mut(4..8) {
                    cookie.copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
                }
                let from = direct(at("198.51.100.1:4000"));
                net.left.handle_datagram(net.now, &junk, from);
            }
        }
        net.run(Duration::from_secs(2));
        assert_eq!(net.events[0], [Event::Failed]);
        assert_eq!(net.left.selected(), None);
    }
}
