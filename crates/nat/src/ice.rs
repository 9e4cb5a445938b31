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

/// For how long the peer's last word holds that it wants what we send (RFC 7675 §5.1).
const CONSENT: Duration = Duration::from_secs(30);

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
        self.local == other.local && self.remote == other.remote && self.is_at(other)
    }

    /// Whether the sockets are those of `other`: a way that was found from there is one still.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        self.base == other.base
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
    /// The peer has not said for too long that it still wants what we send: nothing may be sent any more. This agent asks
    /// and selects nothing after it: consent comes with other credentials only, so with a restart (RFC 7675 §5.1).
    Lost,
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
    /// When the peer's consent ends unless it answers before.
    lose_at: Option<Instant>,
    lost: bool,
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
            lose_at: None,
            lost: false,
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
        let answers = message.is_successful_binding_response();
        let packet = stun::StunPacket {
            proto: Protocol::Udp,
            source: way.to,
            destination,
            message,
        };
        self.inner.handle_packet(now, packet);
        self.collect(now);
        // The peer's own questions are no consent: it may be deaf to us, and want nothing of ours (RFC 7675 §5.1).
        if answers && self.selected == Some(way) {
            self.lose_at = Some(now + CONSENT);
        }
        true
    }

    /// Its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
        self.collect(now);
        if self.lose_at.is_some_and(|at| now >= at) {
            self.lose_at = None;
            self.selected = None;
            self.lost = true;
            self.events.push_back(Event::Lost);
        }
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
        while let Some(transmit) = self.inner.poll_transmit() {
            if self.lost
                && stun::StunMessage::parse(&transmit.contents)
                    .is_ok_and(|m| m.is_binding_request())
            {
                continue;
            }
            return Output::Transmit {
                datagram: transmit.contents.to_vec(),
                way: Way {
                    to: transmit.destination,
                    relayed: Some(transmit.source) == self.relayed,
                },
            };
        }
        let deadline = self.inner.poll_timeout().into_iter().chain(self.give_up);
        Output::Deadline(deadline.chain(self.lose_at).min())
    }

    /// Where to send, once that is known.
    #[must_use]
    pub fn selected(&self) -> Option<Way> {
        self.selected
    }

    fn collect(&mut self, now: Instant) {
        while let Some(event) = self.inner.poll_event() {
            let IceAgentEvent::NominatedSend {
                source,
                destination,
                ..
            } = event
            else {
                continue;
            };
            if self.lost {
                continue;
            }
            let way = Way {
                to: destination,
                relayed: Some(source) == self.relayed,
            };
            if self.selected.replace(way) != Some(way) {
                // Another way has until then to answer, too: it was found by an answer, but maybe by an old one.
                self.lose_at.get_or_insert(now + CONSENT);
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
mod tests;
