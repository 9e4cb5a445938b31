//! Who may send how much, decided where it comes in: in the tasks that read the sockets, before
//! anything is copied, parsed or cast.
//!
//! ```text
//! datagram ─▶ how well known is its source? ─▶ bucket of the source ─▶ buckets of all strangers ─▶ room ─▶ actor
//!                server, peer, stranger          │ empty                  │ empty (strangers)       │ none
//!                                                ▼ limited                ▼ limited                 ▼ no room
//! ```
//!
//! Three kinds of sources have room of their own, so that none can take another's: the servers of our
//! accounts, those whom an owner here has sent something to (calls in progress), and strangers. What
//! strangers may ask for altogether is bounded too, or a flood from a thousand addresses would not be;
//! of it a share is kept for those who are likely to be callers ([`crowd`]). An address of UDP can be
//! forged, so a server's has a limit as well.
//!
//! Everything is counted, and every table is bounded.

mod bucket;
mod crowd;
mod strangers;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{LimitedSource, Timestamp, Traffic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use bucket::{Bucket, Rate};
use strangers::{Key, Strangers};

/// What a known source may send, and at once.
const KNOWN: Rate = Rate {
    per_second: 2_000.0,
    burst: 4_000.0,
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
/// Peers remembered at a time.
const PEERS: usize = 1_024;
/// Servers remembered at a time.
const SERVERS: usize = 256;
/// How long somebody stays a peer after we last sent something there: longer than a call is silent whose session timer is
/// the usual half hour (RFC 4028 §4, §7.2).
const PEER_LIFE: Duration = Duration::from_secs(1_200);
/// How often it is written down that we did.
const PEER_NEWS: Duration = Duration::from_secs(10);
/// Limited sources that are told of.
const TOLD: usize = 5;

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
    strangers: Strangers,
    records: Bucket,
    limited: Vec<Limited>,
}

#[derive(Debug)]
struct Peer {
    bucket: Bucket,
    sent_at: Instant,
    /// Whether something was sent there more than once, in a while: an address that was forged for one
    /// INVITE hears no more than the answer to it.
    is_lasting: bool,
}

#[derive(Debug)]
struct Limited {
    source: IpAddr,
    dropped: u64,
    last: Instant,
}

impl Guard {
    pub(crate) fn new(now: Instant) -> Self {
        Self::with_key(Key(RandomState::new().hash_one(())), now)
    }

    fn with_key(key: Key, now: Instant) -> Self {
        Self {
            table: Mutex::new(Table {
                servers: HashMap::new(),
                peers: HashMap::new(),
                strangers: Strangers::new(key, now),
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

    /// An answer of somebody here goes there: who is known stays known by it, and nobody becomes it.
    pub(crate) fn renew_peer(&self, peer: IpAddr, now: Instant) {
        self.table().renew_peer(wire::source_of(peer), now);
    }

    /// Whether somebody whom nobody here knows gets an answer; `guess` when it tells them only who is
    /// not here.
    pub(crate) fn may_answer(&self, source: IpAddr, guess: bool, now: Instant) -> bool {
        self.table().may_answer(wire::source_of(source), guess, now)
    }

    /// Whether a message of nobody we know is written down.
    pub(crate) fn may_record(&self, octets: usize, now: Instant) -> bool {
        self.table().records.take(weight(octets), now)
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
        if self.servers.contains_key(&source) {
            Standing::Server
        } else if self.peers.get(&source).is_some_and(|p| p.lives(now)) {
            Standing::Peer
        } else {
            Standing::Stranger
        }
    }

    fn admit(&mut self, source: IpAddr, octets: usize, now: Instant) -> Option<Standing> {
        let weight = weight(octets);
        let standing = self.standing(source, now);
        let known = match standing {
            Standing::Server => self.servers.get_mut(&source),
            Standing::Peer => self.peers.get_mut(&source).map(|peer| &mut peer.bucket),
            Standing::Stranger => None,
        };
        let admitted = match known {
            Some(bucket) => bucket.take(weight, now),
            None => self.strangers.admit(source, weight, now),
        };
        if !admitted {
            self.on_limited(source, now);
        }
        admitted.then_some(standing)
    }

    fn may_answer(&mut self, source: IpAddr, guess: bool, now: Instant) -> bool {
        self.standing(source, now) != Standing::Stranger
            || self.strangers.may_answer(source, guess, now)
    }

    fn know_peer(&mut self, source: IpAddr, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&source) {
            return peer.on_sent(now);
        }
        if self.peers.len() >= PEERS {
            let worth = |peer: &Peer| (peer.is_lasting, peer.sent_at);
            let oldest = self.peers.iter().min_by_key(|(_, peer)| worth(peer));
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.peers.remove(&oldest);
            }
        }
        let peer = Peer {
            bucket: Bucket::full(KNOWN, now),
            sent_at: now,
            is_lasting: false,
        };
        self.peers.insert(source, peer);
    }

    fn renew_peer(&mut self, source: IpAddr, now: Instant) {
        // Of one whose time is over nobody has wanted anything for long; it is still in the table by chance.
        if let Some(peer) = self.peers.get_mut(&source).filter(|p| p.lives(now)) {
            peer.on_sent(now);
        }
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

impl Peer {
    fn lives(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.sent_at) < PEER_LIFE
    }

    /// Something was sent there once more.
    fn on_sent(&mut self, now: Instant) {
        if now.saturating_duration_since(self.sent_at) >= PEER_NEWS {
            self.sent_at = now;
            self.is_lasting = true;
        }
    }
}

fn weight(octets: usize) -> f64 {
    // A datagram has 65,535 octets at most.
    let more = u32::try_from(octets / OCTETS).unwrap_or(u32::MAX);
    1.0 + f64::from(more)
}

#[cfg(test)]
mod tests;
