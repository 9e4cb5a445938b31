//! Which servers failed lately and rest, and which one to try now.
//!
//! ```text
//!   untried ──worked──► working          A failed one is left out until its rest is over, and
//!      │                   │             then is as good as any: the next request that would go
//!      └───── failed ──────┴─► resting   there by the domain's order goes there. Each failure in
//!                 ▲              │       a row doubles the rest.
//!                 └── failed ────┴─ rest is over ─► untried, with the reason kept
//! ```
//!
//! Any answer but 503 ends a rest, since the server is there; the time that it asked for itself is
//! kept. A 503 lets a server rest where it answers a REGISTER. To another request it may be a word
//! about that request alone, as a gateway's that has no line to one number: then the next server is
//! tried for that transaction (RFC 3263 §4.3) and nothing is told here, unless it comes with a
//! Retry-After: that is a word about the server, and it rests so long (RFC 3261 §21.5.4).

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::StatusCode;

use super::Target;
use crate::path::{Path, Transport, TransportError};

/// What a server is known by, whatever names lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// How it is reached.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
}

impl From<&Path> for Server {
    fn from(path: &Path) -> Self {
        Self {
            transport: path.transport,
            addr: path.remote,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.addr)
    }
}

/// What is wrong with a server, as a request found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time (RFC 3263 §4.3).
    Silence,
    /// The request could not be carried there.
    Transport(TransportError),
    /// It answered a REGISTER with 503, and when it wants to be asked again if it said so (RFC 3261
    /// §21.5.4).
    Unavailable {
        /// Retry-After.
        retry_after: Option<Duration>,
    },
}

impl Fault {
    /// Whether it says something about the server. A message too large or a flow that closed says
    /// nothing.
    pub fn is_of_the_server(&self) -> bool {
        !matches!(
            self,
            Self::Transport(TransportError::TooLarge | TransportError::Closed)
        )
    }

    fn why(&self) -> Why {
        match self {
            Self::Silence => Why::Silence,
            Self::Transport(TransportError::TimedOut) => Why::Silence,
            Self::Transport(TransportError::Tls(text)) => Why::Tls(text.clone()),
            Self::Transport(error) => Why::Refused(error.to_string()),
            Self::Unavailable { retry_after } => Why::Unavailable {
                retry_after: *retry_after,
            },
        }
    }
}

/// A request that failed at one server and went on, or not, to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Where it was sent.
    pub path: Path,
    /// What came of it.
    pub fault: Fault,
}

/// Why a server rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It did not answer.
    Silence,
    /// It, or the network before it, refused; in the transport layer's words.
    Refused(String),
    /// It answered 503.
    Unavailable {
        /// Its Retry-After.
        retry_after: Option<Duration>,
    },
    /// No secure connection could be made; the words say what about the certificate or handshake.
    Tls(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("no answer"),
            Self::Refused(text) => f.write_str(text),
            Self::Unavailable {
                retry_after: Some(after),
            } => write!(f, "503, asks again in {} s", after.as_secs()),
            Self::Unavailable { retry_after: None } => f.write_str("503"),
            Self::Tls(text) => write!(f, "secure connection failed: {text}"),
        }
    }
}

/// How long servers rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestTimes {
    /// After the first failure; doubled with each further one in a row.
    pub first: Duration,
    /// Never longer than this, whatever a Retry-After says.
    pub longest: Duration,
}

impl Default for RestTimes {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(30),
            longest: Duration::from_secs(600),
        }
    }
}

/// What is known of a server now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Nothing, or nothing that still counts.
    Untried,
    /// It is the one in use.
    InUse,
    /// It answered when it was asked last.
    Working,
    /// It failed and is left alone until then.
    Resting {
        /// The end of its rest.
        until: Instant,
    },
}

/// One line of the list of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Which.
    pub target: Target,
    /// What is known of it.
    pub state: TargetState,
    /// Since when; `None` for one that was never tried.
    pub since: Option<Instant>,
    /// Why it failed last, unless it worked since.
    pub why: Option<Why>,
}

/// What is known of all servers. One for all accounts that may share: what one finds dead the
/// others need not wait for.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    rests: RestTimes,
    known: HashMap<Server, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    since: Instant,
    /// Failures in a row.
    failures: u32,
    /// The end of the rest, and its reason.
    rest: Option<(Instant, Why)>,
}

/// How many servers are remembered.
const SERVERS: usize = 512;

impl Targets {
    /// One that knows nothing.
    pub fn new(rests: RestTimes) -> Self {
        Self {
            rests,
            known: HashMap::new(),
        }
    }

    /// A server answered a request with anything but 503: it is there, so a rest ends early and the
    /// list says so. Not before the end of a Retry-After, which was its own wish (RFC 3261 §21.5.4).
    /// Only a 2xx is the end of its failures in a row: who answers a REGISTER with 401, and the one
    /// with the login with 503 or not at all, takes no registration. Tells whether that is news.
    pub fn answered(&mut self, now: Instant, server: Server, status: StatusCode) -> bool {
        let mut failures = 0;
        if let Some(known) = self.known.get_mut(&server) {
            if let Some((_, Why::Unavailable { retry_after })) = &known.rest {
                let asked = retry_after.unwrap_or_default().min(self.rests.longest);
                let until = known.since.checked_add(asked);
                if until.is_some_and(|until| until > now) {
                    return false;
                }
            }
            if status.is_success() {
                known.failures = 0;
            }
            if known.rest.is_none() {
                return false;
            }
            failures = known.failures;
        }
        self.learn(
            server,
            Known {
                since: now,
                failures,
                rest: None,
            },
        );
        true
    }

    /// A server did what it is there for: it took a registration. Tells whether that is news.
    pub fn worked(&mut self, now: Instant, server: Server) -> bool {
        let is_news = self
            .known
            .get(&server)
            .is_none_or(|known| known.rest.is_some());
        if let Some(known) = self.known.get_mut(&server) {
            known.failures = 0;
        }
        if is_news {
            self.learn(
                server,
                Known {
                    since: now,
                    failures: 0,
                    rest: None,
                },
            );
        }
        is_news
    }

    /// A server failed: it rests. One that rests already is not pushed further away by requests
    /// that were on their way when it failed. Tells whether anything changed.
    pub fn failed(&mut self, now: Instant, server: Server, fault: &Fault) -> bool {
        if !fault.is_of_the_server() {
            return false;
        }
        let before = self.known.get(&server);
        if before.is_some_and(|known| known.rests_at(now)) {
            return false;
        }
        let failures = before.map_or(0, |known| known.failures).saturating_add(1);
        let doubled = self
            .rests
            .first
            .saturating_mul(1 << failures.saturating_sub(1).min(16));
        let asked = match fault {
            Fault::Unavailable {
                retry_after: Some(after),
            } => *after,
            _ => Duration::ZERO,
        };
        let rest = doubled.max(asked).min(self.rests.longest);
        self.learn(
            server,
            Known {
                since: now,
                failures,
                rest: now.checked_add(rest).map(|until| (until, fault.why())),
            },
        );
        true
    }

    /// A server has answered with 503 and a Retry-After what was no REGISTER: nothing else is to go
    /// there for that time (RFC 3261 §21.5.4), up to the longest rest. It is no failure of its own, and
    /// cuts no rest short. Tells whether anything changed.
    pub fn paused(&mut self, now: Instant, server: Server, retry_after: Duration) -> bool {
        let pause = retry_after.min(self.rests.longest);
        let Some(until) = now.checked_add(pause).filter(|until| *until > now) else {
            return false;
        };
        if self.rest_of(server).is_some_and(|rest| rest >= until) {
            return false;
        }
        let failures = self.known.get(&server).map_or(0, |known| known.failures);
        let retry_after = Some(retry_after);
        self.learn(
            server,
            Known {
                since: now,
                failures,
                rest: Some((until, Why::Unavailable { retry_after })),
            },
        );
        true
    }

    /// Forgets everything: another network, another truth.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// Which of these to try, and in which order: `home` first if there is one and it does not rest,
    /// then the domain's order, without those that rest. When all rest, the one whose rest is over
    /// first: something is always tried.
    pub fn in_order(&self, now: Instant, found: &[Target], home: Option<Server>) -> Vec<Target> {
        let awake = |target: &&Target| !self.rests_at(now, target.server());
        let mut order: Vec<Target> = found.iter().filter(awake).cloned().collect();
        if order.is_empty() {
            let first_up = found
                .iter()
                .min_by_key(|target| self.rest_of(target.server()));
            return first_up.cloned().into_iter().collect();
        }
        if let Some(at) = order
            .iter()
            .position(|target| Some(target.server()) == home)
        {
            let home = order.remove(at);
            order.insert(0, home);
        }
        order
    }

    /// From when on a server that the domain likes better than `home` can be tried: `now` if it can
    /// be at once, `None` if there is none or `home` is not among these.
    pub fn better_at(&self, now: Instant, found: &[Target], home: Server) -> Option<Instant> {
        let present = found.iter().find(|target| target.server() == home)?;
        found
            .iter()
            .filter(|target| target.is_better_than(present))
            .map(|target| self.rest_of(target.server()).unwrap_or(now).max(now))
            .min()
    }

    /// What is known of each of these, in the domain's order.
    pub fn listing(
        &self,
        now: Instant,
        found: &[Target],
        in_use: Option<Server>,
    ) -> Vec<TargetStatus> {
        let status = |target: &Target| {
            let server = target.server();
            let known = self.known.get(&server);
            let rest = known.and_then(|known| known.rest.as_ref());
            let state = match (known, rest) {
                (_, Some((until, _))) if *until > now => TargetState::Resting { until: *until },
                (_, None) if in_use == Some(server) => TargetState::InUse,
                (Some(_), None) => TargetState::Working,
                _ => TargetState::Untried,
            };
            TargetStatus {
                target: target.clone(),
                state,
                since: known.map(|known| known.since),
                why: rest.map(|(_, why)| why.clone()),
            }
        };
        found.iter().map(status).collect()
    }

    /// When the next of these ends its rest.
    pub fn next_awake(&self, now: Instant, found: &[Target]) -> Option<Instant> {
        found
            .iter()
            .filter_map(|target| self.rest_of(target.server()))
            .filter(|until| *until > now)
            .min()
    }

    /// How many servers are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn rest_of(&self, server: Server) -> Option<Instant> {
        let (until, _) = self.known.get(&server)?.rest.as_ref()?;
        Some(*until)
    }

    fn rests_at(&self, now: Instant, server: Server) -> bool {
        self.known
            .get(&server)
            .is_some_and(|known| known.rests_at(now))
    }

    fn learn(&mut self, server: Server, known: Known) {
        if self.known.len() >= SERVERS && !self.known.contains_key(&server) {
            let oldest = self
                .known
                .iter()
                .min_by_key(|(server, known)| (known.since, **server))
                .map(|(server, _)| *server);
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(server, known);
    }
}

impl Known {
    fn rests_at(&self, now: Instant) -> bool {
        self.rest.as_ref().is_some_and(|(until, _)| *until > now)
    }
}
