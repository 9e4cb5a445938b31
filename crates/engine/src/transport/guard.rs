//! Who may send how much, decided where it comes in: in the tasks that read the sockets, before
//! anything is copied, parsed or cast.
//!
//! ```text
//! datagram ─▶ how well known is its source? ─▶ bucket of the source ─▶ bucket of all strangers ─▶ room ─▶ actor
//!                server, peer, stranger          │ empty                  │ empty (strangers)      │ none
//!                                                ▼ limited                ▼ limited                ▼ no room
//! ```
//!
//! Three kinds of sources have room of their own, so that none can take another's: the servers of our
//! accounts, those whom an owner here has sent something to (calls in progress), and strangers. What
//! strangers may ask for altogether is bounded too, or a flood from a thousand addresses would not be.
//! An address of UDP can be forged, so a server's has a limit as well.
//!
//! Everything is counted, and every table is bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{LimitedSource, Timestamp, Traffic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a known source may send, and at once.
const KNOWN: Rate = Rate {
    per_second: 2_000.0,
    burst: 4_000.0,
};
/// The same of a stranger.
const STRANGER: Rate = Rate {
    per_second: 200.0,
    burst: 1_000.0,
};
/// The same of all strangers together.
const STRANGERS: Rate = Rate {
    per_second: 1_000.0,
    burst: 3_000.0,
};
/// Answers that a stranger gets, and at once: more than anybody needs to find out who we are.
const ANSWERS: Rate = Rate {
    per_second: 10.0,
    burst: 20.0,
};
/// The same of all strangers together.
const ALL_ANSWERS: Rate = Rate {
    per_second: 200.0,
    burst: 400.0,
};
/// What of strangers' messages is written down, weighed as they are limited.
const RECORDS: Rate = Rate {
    per_second: 50.0,
    burst: 500.0,
};
/// A message counts once, and once more for so many octets.
const OCTETS: usize = 2_048;
/// What one message takes beside its octets.
const OVERHEAD: usize = 512;
/// Octets that have been let in and are not handled yet, of servers, of peers and of strangers.
const ROOM: [usize; 3] = [8 << 20, 4 << 20, 1 << 20];
/// Strangers remembered at a time; past it those that are new share one bucket.
const STRANGERS_KNOWN: usize = 4_096;
/// Peers remembered at a time.
const PEERS: usize = 1_024;
/// Servers remembered at a time.
const SERVERS: usize = 256;
/// How long somebody stays a peer after we last sent something there.
const PEER_LIFE: Duration = Duration::from_secs(600);
/// How often it is written down that we did.
const PEER_NEWS: Duration = Duration::from_secs(10);
/// How often strangers that rest are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Limited sources that are told of.
const TOLD: usize = 5;

/// A rate and what may come at once.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: rate.burst,
            filled_at: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * rate.per_second).min(rate.burst);
        self.filled_at = now;
    }

    /// Takes from it what there is enough of.
    fn take(&mut self, rate: Rate, weight: f64, now: Instant) -> bool {
        self.fill(rate, now);
        let enough = self.tokens >= weight;
        if enough {
            self.tokens -= weight;
        }
        enough
    }

    fn is_rested(&self, rate: Rate, now: Instant) -> bool {
        let mut later = *self;
        later.fill(rate, now);
        later.tokens >= rate.burst
    }
}

/// How well a source is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// A server of one of our accounts.
    Server,
    /// Somebody whom an owner here has sent something to.
    Peer,
    /// Anybody.
    Stranger,
}

/// The guard at the sockets of one tenant.
#[derive(Debug)]
pub(crate) struct Guard {
    table: Mutex<Table>,
    rooms: [Arc<Semaphore>; 3],
    limited: AtomicU64,
    no_room: AtomicU64,
    pub(crate) crowded_out: AtomicU64,
    /// Set while the actor knows that there is something to tell.
    told: AtomicBool,
}

#[derive(Debug)]
struct Table {
    servers: HashMap<IpAddr, Bucket>,
    peers: HashMap<IpAddr, Peer>,
    strangers: HashMap<IpAddr, Stranger>,
    /// Of those strangers that there was no place for.
    crowd: Stranger,
    /// When those who rest were last forgotten: not for each message of a flood.
    swept_at: Option<Instant>,
    everybody: Bucket,
    all_answers: Bucket,
    records: Bucket,
    limited: Vec<Limited>,
}

#[derive(Debug)]
struct Peer {
    bucket: Bucket,
    sent_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Stranger {
    messages: Bucket,
    answers: Bucket,
}

impl Stranger {
    fn new(now: Instant) -> Self {
        Self {
            messages: Bucket::full(STRANGER, now),
            answers: Bucket::full(ANSWERS, now),
        }
    }
}

#[derive(Debug)]
struct Limited {
    source: IpAddr,
    dropped: u64,
    last: Instant,
}

impl Guard {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            table: Mutex::new(Table {
                servers: HashMap::new(),
                peers: HashMap::new(),
                strangers: HashMap::new(),
                crowd: Stranger::new(now),
                swept_at: None,
                everybody: Bucket::full(STRANGERS, now),
                all_answers: Bucket::full(ALL_ANSWERS, now),
                records: Bucket::full(RECORDS, now),
                limited: Vec::new(),
            }),
            rooms: ROOM.map(|octets| Arc::new(Semaphore::new(octets))),
            limited: AtomicU64::new(0),
            no_room: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    /// Whether a message of this source may come in, by how much it sends.
    pub(crate) fn admit(&self, source: IpAddr, octets: usize, now: Instant) -> Option<Standing> {
        let admitted = self.table().admit(wire::source_of(source), octets, now);
        if admitted.is_none() {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Room for a datagram that may come in, to be held until it has been handled.
    pub(crate) fn room(&self, standing: Standing, octets: usize) -> Option<OwnedSemaphorePermit> {
        let room = &self.rooms[standing as usize];
        let weight = u32::try_from(octets.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);
        let held = Arc::clone(room).try_acquire_many_owned(weight).ok();
        if held.is_none() {
            self.no_room.fetch_add(1, Ordering::Relaxed);
        }
        held
    }

    /// How well a source is known.
    pub(crate) fn standing(&self, source: IpAddr, now: Instant) -> Standing {
        self.table().standing(wire::source_of(source), now)
    }

    /// This is the address of a server of ours.
    pub(crate) fn know_server(&self, server: IpAddr, now: Instant) {
        let mut table = self.table();
        if table.servers.len() < SERVERS {
            let server = wire::source_of(server);
            table
                .servers
                .entry(server)
                .or_insert(Bucket::full(KNOWN, now));
        }
    }

    /// Somebody here has sent something there.
    pub(crate) fn know_peer(&self, peer: IpAddr, now: Instant) {
        self.table().know_peer(wire::source_of(peer), now);
    }

    /// Whether somebody whom nobody here knows gets an answer.
    pub(crate) fn may_answer(&self, source: IpAddr, now: Instant) -> bool {
        self.table().may_answer(wire::source_of(source), now)
    }

    /// Whether a message of nobody we know is written down.
    pub(crate) fn may_record(&self, octets: usize, now: Instant) -> bool {
        self.table().records.take(RECORDS, weight(octets), now)
    }

    /// Whether there is something to tell that was not asked for yet: true once, until
    /// [`Guard::fill_in`].
    pub(crate) fn has_news(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// Writes its counts into what is told.
    pub(crate) fn fill_in(&self, traffic: &mut Traffic, now: Instant, wall: Timestamp) {
        self.told.store(false, Ordering::Release);
        traffic.limited = self.limited.load(Ordering::Relaxed);
        traffic.no_room = self.no_room.load(Ordering::Relaxed);
        traffic.crowded_out = self.crowded_out.load(Ordering::Relaxed);
        let table = self.table();
        let source = |limited: &Limited| LimitedSource {
            address: limited.source.to_string(),
            dropped: limited.dropped,
            last: crate::before(wall, now.saturating_duration_since(limited.last)),
        };
        traffic.sources = table.limited.iter().take(TOLD).map(source).collect();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn standing(&self, source: IpAddr, now: Instant) -> Standing {
        let lives = |peer: &Peer| now.saturating_duration_since(peer.sent_at) < PEER_LIFE;
        if self.servers.contains_key(&source) {
            Standing::Server
        } else if self.peers.get(&source).is_some_and(lives) {
            Standing::Peer
        } else {
            Standing::Stranger
        }
    }

    fn admit(&mut self, source: IpAddr, octets: usize, now: Instant) -> Option<Standing> {
        let weight = weight(octets);
        let standing = self.standing(source, now);
        let admitted = match standing {
            Standing::Server => {
                let bucket = self.servers.get_mut(&source);
                bucket.is_some_and(|bucket| bucket.take(KNOWN, weight, now))
            }
            Standing::Peer => {
                let peer = self.peers.get_mut(&source);
                peer.is_some_and(|peer| peer.bucket.take(KNOWN, weight, now))
            }
            Standing::Stranger => {
                let own = self.stranger(source, now);
                // Who is over its own limit takes nothing from the others.
                own.messages.take(STRANGER, weight, now)
                    && self.everybody.take(STRANGERS, weight, now)
            }
        };
        if !admitted {
            self.on_limited(source, now);
        }
        admitted.then_some(standing)
    }

    fn may_answer(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.standing(source, now) != Standing::Stranger {
            return true;
        }
        let own = self.stranger(source, now);
        own.answers.take(ANSWERS, 1.0, now) && self.all_answers.take(ALL_ANSWERS, 1.0, now)
    }

    fn stranger(&mut self, source: IpAddr, now: Instant) -> &mut Stranger {
        let is_full =
            self.strangers.len() >= STRANGERS_KNOWN && !self.strangers.contains_key(&source);
        if is_full {
            self.sweep(now);
            if self.strangers.len() >= STRANGERS_KNOWN {
                return &mut self.crowd;
            }
        }
        self.strangers
            .entry(source)
            .or_insert_with(|| Stranger::new(now))
    }

    fn sweep(&mut self, now: Instant) {
        let is_young = |at: Instant| now.saturating_duration_since(at) < SWEEP_EVERY;
        if self.swept_at.is_some_and(is_young) {
            return;
        }
        self.swept_at = Some(now);
        self.strangers.retain(|_, stranger| {
            !stranger.messages.is_rested(STRANGER, now) || !stranger.answers.is_rested(ANSWERS, now)
        });
    }

    fn know_peer(&mut self, source: IpAddr, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&source) {
            if now.saturating_duration_since(peer.sent_at) >= PEER_NEWS {
                peer.sent_at = now;
            }
            return;
        }
        if self.peers.len() >= PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.sent_at);
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.peers.remove(&oldest);
            }
        }
        let bucket = Bucket::full(KNOWN, now);
        let sent_at = now;
        self.peers.insert(source, Peer { bucket, sent_at });
    }

    /// Keeps the worst, and of the others the newest.
    fn on_limited(&mut self, source: IpAddr, now: Instant) {
        match self.limited.iter_mut().position(|l| l.source == source) {
            Some(at) => {
                if let Some(limited) = self.limited.get_mut(at) {
                    limited.dropped += 1;
                    limited.last = now;
                }
                // One step is enough: it moves with each message.
                if at > 0
                    && self.limited.get(at).map(|l| l.dropped)
                        > self.limited.get(at - 1).map(|l| l.dropped)
                {
                    self.limited.swap(at, at - 1);
                }
            }
            None => {
                if self.limited.len() >= TOLD * 2 {
                    self.limited.pop();
                }
                self.limited.push(Limited {
                    source,
                    dropped: 1,
                    last: now,
                });
            }
        }
    }
}

fn weight(octets: usize) -> f64 {
    // A datagram has 65,535 octets at most.
    let more = u32::try_from(octets / OCTETS).unwrap_or(u32::MAX);
    1.0 + f64::from(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const QUIET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));

    /// So many messages of `octets` evenly within a second: how many pass.
    fn pass(guard: &Guard, source: IpAddr, octets: usize, start: Instant) -> usize {
        (0..100_000_u64)
            .filter(|i| {
                let now = start + Duration::from_micros(i * 10);
                guard.admit(source, octets, now).is_some()
            })
            .count()
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_others_do_not_notice() {
        let start = Instant::now();
        let guard = Guard::new(start);
        guard.know_server(SERVER, start);
        let passed = pass(&guard, FLOOD, 100, start);
        assert!(
            (1_190..=1_210).contains(&passed),
            "burst and one second's rate of a stranger, got {passed}"
        );
        let later = start + Duration::from_secs(1);
        assert_eq!(guard.admit(QUIET, 100, later), Some(Standing::Stranger));
        assert_eq!(guard.admit(SERVER, 100, later), Some(Standing::Server));
        let mut traffic = Traffic::default();
        guard.fill_in(&mut traffic, later, Timestamp(5_000));
        assert_eq!(traffic.limited, 100_000 - passed as u64);
        let [worst] = traffic.sources.as_slice() else {
            panic!("{:?}", traffic.sources)
        };
        assert_eq!(worst.address, FLOOD.to_string());
        assert_eq!(worst.dropped, traffic.limited);
    }

    #[test]
    fn large_messages_count_more_than_small_ones() {
        let start = Instant::now();
        let guard = Guard::new(start);
        let passed = pass(&guard, FLOOD, 64 * 1024 - 1, start);
        assert_eq!(passed, 37, "1,200 messages of two kilobytes");
    }

    #[test]
    fn a_peer_may_send_more_and_is_forgotten_when_nothing_goes_there_any_more() {
        let start = Instant::now();
        let guard = Guard::new(start);
        guard.know_peer(FLOOD, start);
        let passed = pass(&guard, FLOOD, 100, start);
        assert!((5_900..=6_100).contains(&passed), "got {passed}");
        let end = start + PEER_LIFE;
        assert_eq!(guard.standing(FLOOD, end), Standing::Stranger);
        guard.know_peer(FLOOD, end);
        assert_eq!(guard.standing(FLOOD, end), Standing::Peer);
    }

    #[test]
    fn a_flood_from_everywhere_is_cut_too_and_takes_nothing_from_servers() {
        let start = Instant::now();
        let guard = Guard::new(start);
        guard.know_server(SERVER, start);
        let somewhere = |i: u32| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + i));
        let passed = (0..100_000)
            .filter(|i| guard.admit(somewhere(*i), 100, start).is_some())
            .count();
        assert_eq!(
            passed, 3_000,
            "what all strangers together may send at once"
        );
        assert_eq!(guard.admit(SERVER, 100, start), Some(Standing::Server));
        let later = start + Duration::from_secs(1);
        assert!(guard.admit(QUIET, 100, later).is_some(), "and it passes");
        let answered = (0..100_000)
            .filter(|i| guard.may_answer(somewhere(*i), start))
            .count();
        assert!(answered <= 400, "{answered}");
    }

    #[test]
    fn tables_and_rooms_are_bounded() {
        let start = Instant::now();
        let guard = Guard::new(start);
        for i in 0..100_000_u32 {
            let source = IpAddr::V4(Ipv4Addr::from(i));
            guard.admit(source, 100, start);
            guard.know_peer(source, start);
            guard.know_server(source, start);
        }
        {
            let table = guard.table();
            assert!(table.strangers.len() <= STRANGERS_KNOWN);
            assert!(table.peers.len() <= PEERS);
            assert!(table.servers.len() <= SERVERS);
            assert!(table.limited.len() <= TOLD * 2);
        }
        let held: Vec<_> = (0..10_000)
            .map_while(|_| guard.room(Standing::Stranger, 1_000))
            .collect();
        assert_eq!(held.len(), (1 << 20) / (1_000 + OVERHEAD));
        assert!(
            guard.room(Standing::Server, 1_000).is_some(),
            "strangers do not take the room of servers"
        );
        let mut traffic = Traffic::default();
        guard.fill_in(&mut traffic, start, Timestamp(0));
        assert_eq!(traffic.no_room, 1);
        drop(held);
        assert!(guard.room(Standing::Stranger, 1_000).is_some());
    }

    #[test]
    fn a_stranger_gets_an_answer_now_and_then() {
        let start = Instant::now();
        let guard = Guard::new(start);
        let answers = |at| (0..1_000).filter(|_| guard.may_answer(FLOOD, at)).count();
        assert_eq!(answers(start), 20);
        assert_eq!(answers(start + Duration::from_secs(1)), 10);
        assert!(guard.may_answer(QUIET, start));
        guard.know_peer(FLOOD, start);
        assert_eq!(answers(start), 1_000, "who is known is answered");
    }

    #[test]
    fn news_is_asked_for_once() {
        let guard = Guard::new(Instant::now());
        assert!(guard.has_news());
        assert!(!guard.has_news());
        guard.fill_in(&mut Traffic::default(), Instant::now(), Timestamp(0));
        assert!(guard.has_news());
    }
}
