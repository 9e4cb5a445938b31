//! Who sends how much: a bucket of tokens for each source, and a share of what can be kept.
//!
//! A source is an address and whether it comes by datagrams, whose senders can be forged: somebody
//! who writes another's address on datagrams takes nothing from that other's connections.
//!
//! ```text
//!  proven ───────────────────▶ a bucket of its own, wide ─────────────────────────▶ heard
//!  by a connection ──────────▶ a bucket of its own ───────────────────────────────▶ heard
//!  registered, not proven ───▶ a bucket of its own, one of its network ─▶ guests ─▶ heard
//!  stranger ─────────────────▶ a bucket of its own, one of its network ─▶ first ──▶ heard
//!            turned away, and says the same again ──────────────────────▶ again ──▶ heard
//! ```
//!
//! *Proven* is who got something that was sent to its address and showed it: by a nonce, by the branch
//! of a request of ours, by a Route or a tag that only we can write. A forged sender never sees any of
//! them. Proven sources are kept by name in a table, and a part of everything is kept free for them.
//!
//! Strangers by datagrams are together heard up to a limit, because a flood of forged addresses has
//! no source that could be limited. Past it, a stranger is turned away once and let in when it says
//! the same again, as everybody does who really wants an answer (RFC 3261 §17.1) and nobody who only
//! makes up addresses. What is needed for that has a fixed size (see `crowd`).

mod crowd;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sip_core::{Inbound, Transport};

use self::crowd::{Bucket, Buckets, Pace, Turned};

/// Proven sources remembered; past that the one that was heard longest ago makes way.
const PROVEN: usize = 8_192;
/// How long a proof is good: as long as the longest registration.
const TRUST: Duration = Duration::from_secs(3_600);
/// How often those are looked for whose proof has grown old.
const SWEEP: Duration = Duration::from_secs(60);

/// Somebody proven: three hundred calls a second.
const FRIEND: Pace = Pace {
    rate: 2_000.0,
    burst: 4_000.0,
};
/// Somebody that nobody knows: thirty phones that all start at once, or two hundred and fifty
/// messages a second.
const STRANGER: Pace = Pace {
    rate: 250.0,
    burst: 1_000.0,
};
/// Strangers of one network, a house whose phones all start at once: half of what all strangers get.
const NETWORK: Pace = Pace {
    rate: 500.0,
    burst: 2_000.0,
};
/// Each of the three kinds of strangers by datagrams, all of that kind together.
const TOGETHER: Pace = Pace {
    rate: 1_000.0,
    burst: 2_000.0,
};

/// Requests kept for one source, as a part of all.
const FRIENDS_SHARE: usize = 4;
const STRANGERS_SHARE: usize = 8;
/// All that strangers hold together is at most this part of everything.
const ALL_STRANGERS_SHARE: usize = 2;
/// Of what strangers may hold, the last part is not for INVITEs, which may stay for minutes.
const NO_INVITES: usize = 8;
/// The last part of everything is for sources that hold next to nothing.
const RESERVE: usize = 8;
/// Next to nothing.
const LITTLE: usize = 64;

/// An address and whether it comes by datagrams; of IPv6 the network of a site, since one machine
/// has as many addresses in it as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    ip: IpAddr,
    datagram: bool,
}

impl Source {
    pub(crate) fn of(inbound: &Inbound) -> Self {
        Self {
            ip: network(inbound.path.remote.ip(), 32, 64),
            datagram: inbound.path.transport == Transport::Udp,
        }
    }
}

/// An address with all but its first bits cleared.
fn network(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - v4_bits).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - v6_bits).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

/// All sources that were heard of lately.
pub(crate) struct Sources {
    proven: HashMap<Source, Proven>,
    /// For those that are not.
    strangers: Buckets,
    networks: Buckets,
    first: Bucket,
    again: Bucket,
    guests: Bucket,
    turned: Turned,
    /// What each source keeps here; as many as requests are kept.
    held: HashMap<Source, Held>,
    /// What strangers keep, all together.
    strangers_hold: Held,
    /// Nobody who chooses an address chooses with it whose bucket is used.
    key: u64,
    began: Option<Instant>,
    next_sweep: Option<Instant>,
    /// Messages that were dropped since the start.
    dropped: u64,
    /// What was turned away since it was last asked: of strangers who are each quiet, and of the
    /// loudest source.
    crowded_out: u64,
    loudest: Option<(Source, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    requests: usize,
    octets: usize,
}

impl Held {
    fn take(&mut self, octets: usize) {
        self.requests += 1;
        self.octets += octets;
    }

    fn give_back(&mut self, octets: usize) {
        self.requests = self.requests.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets);
    }
}

struct Proven {
    bucket: Bucket,
    until: Instant,
    heard: Instant,
    /// Dropped since the loudest was last asked for.
    dropped: u64,
}

/// What a request that is to be kept was charged to, to be given back with [`Sources::release`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    source: Source,
    stranger: bool,
    pub(crate) octets: usize,
}

impl Charge {
    /// Whether it counts as a stranger's.
    pub(crate) fn is_strangers(&self) -> bool {
        self.stranger
    }
}

/// What is to be kept, and what there is already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) octets: usize,
    pub(crate) is_invite: bool,
    /// Requests kept, and how many may be.
    pub(crate) requests: (usize, usize),
    /// The same in octets.
    pub(crate) all_octets: (usize, usize),
}

/// Why there is no room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Its source has had its share.
    Source,
    /// All strangers together have.
    Strangers,
    /// Nobody gets any more.
    All,
}

/// Whose messages were turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loud {
    /// One source that sends too many.
    Source(IpAddr, u64),
    /// Many that nobody knows, each of them quiet.
    Crowd(u64),
}

impl Sources {
    pub(crate) fn new(key: u64) -> Self {
        Self {
            proven: HashMap::new(),
            strangers: Buckets::new(STRANGER),
            networks: Buckets::new(NETWORK),
            first: Bucket::full(TOGETHER, 0),
            again: Bucket::full(TOGETHER, 0),
            guests: Bucket::full(TOGETHER, 0),
            turned: Turned::default(),
            held: HashMap::new(),
            strangers_hold: Held::default(),
            key,
            began: None,
            next_sweep: None,
            dropped: 0,
            crowded_out: 0,
            loudest: None,
        }
    }

    /// Whether this message of a source is looked at; else it is dropped without a word. A guest is
    /// somebody who is registered from that address, or says so.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        source: Source,
        is_guest: bool,
        message: &[u8],
    ) -> bool {
        self.sweep(now);
        let at = self.micros(now);
        let admitted = match self.proven.get_mut(&source).filter(|p| p.until > now) {
            Some(proven) => {
                proven.heard = now;
                let taken = proven.bucket.take(FRIEND, at);
                if !taken {
                    proven.dropped = proven.dropped.saturating_add(1);
                    let dropped = proven.dropped;
                    self.is_loud(source, dropped);
                }
                taken
            }
            None => self.admit_stranger(at, source, is_guest, message),
        };
        self.dropped = self.dropped.saturating_add(u64::from(!admitted));
        admitted
    }

    fn admit_stranger(&mut self, at: u64, source: Source, guest: bool, message: &[u8]) -> bool {
        let mark = self.mark(&source);
        if let Err(dropped) = self.strangers.take(mark, at) {
            self.is_loud(source, dropped);
            return false;
        }
        if !source.datagram {
            // Nobody forges the other end of a connection, and their number is limited.
            return true;
        }
        let mark = self.mark(&network(source.ip, 24, 48));
        if let Err(dropped) = self.networks.take(mark, at) {
            self.is_loud(source, dropped);
            return false;
        }
        if guest {
            let heard = self.guests.take(TOGETHER, at);
            self.crowded_out += u64::from(!heard);
            return heard;
        }
        let mark = self.mark(&(source, message));
        if self.turned.knows(mark, at) && self.again.take(TOGETHER, at)
            || self.first.take(TOGETHER, at)
        {
            return true;
        }
        self.turned.remember(mark, at);
        self.crowded_out += 1;
        false
    }

    /// A source has shown that it gets what is sent to it.
    pub(crate) fn prove(&mut self, now: Instant, source: Source) {
        let until = now + TRUST;
        if let Some(proven) = self.proven.get_mut(&source) {
            proven.until = until;
            return;
        }
        if self.proven.len() >= PROVEN {
            let quietest = self.proven.iter().min_by_key(|(_, proven)| proven.heard);
            if let Some(source) = quietest.map(|(source, _)| *source) {
                self.proven.remove(&source);
            }
        }
        let proven = Proven {
            // It has waited long enough.
            bucket: Bucket::full(FRIEND, self.micros(now)),
            until,
            heard: now,
            dropped: 0,
        };
        self.proven.insert(source, proven);
    }

    /// Whether a source is proven.
    pub(crate) fn is_proven(&self, now: Instant, source: Source) -> bool {
        self.proven
            .get(&source)
            .is_some_and(|proven| proven.until > now)
    }

    /// Room for a request.
    pub(crate) fn charge(
        &mut self,
        now: Instant,
        source: Source,
        wanted: Wanted,
    ) -> Result<Charge, Full> {
        let (requests, most) = wanted.requests;
        let (octets, most_octets) = wanted.all_octets;
        let stranger = !self.is_proven(now, source);
        let share = if stranger {
            STRANGERS_SHARE
        } else {
            FRIENDS_SHARE
        };
        let mine = self.held.get(&source).copied().unwrap_or_default();
        let fits = |held: Held, most: usize, most_octets: usize| {
            held.requests < most && held.octets.saturating_add(wanted.octets) <= most_octets
        };
        let part = |of: usize| of / ALL_STRANGERS_SHARE;
        let strangers = if wanted.is_invite {
            part(most) - part(most) / NO_INVITES
        } else {
            part(most)
        };
        let last =
            requests >= most - most / RESERVE || octets >= most_octets - most_octets / RESERVE;
        if !fits(mine, most / share, most_octets / share) {
            return Err(Full::Source);
        }
        if stranger && !fits(self.strangers_hold, strangers, part(most_octets)) {
            return Err(Full::Strangers);
        }
        if last && mine.requests >= LITTLE || requests >= most || octets >= most_octets {
            return Err(Full::All);
        }
        self.held.entry(source).or_default().take(wanted.octets);
        if stranger {
            self.strangers_hold.take(wanted.octets);
        }
        Ok(Charge {
            source,
            stranger,
            octets: wanted.octets,
        })
    }

    /// What was kept is not kept any more.
    pub(crate) fn release(&mut self, charge: Charge) {
        if let Some(held) = self.held.get_mut(&charge.source) {
            held.give_back(charge.octets);
            if held.requests == 0 {
                self.held.remove(&charge.source);
            }
        }
        if charge.stranger {
            self.strangers_hold.give_back(charge.octets);
        }
    }

    /// Messages that were dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whose messages were turned away since this was last asked: the loudest source, or all quiet
    /// strangers together where that is more.
    pub(crate) fn take_loudest(&mut self) -> Option<Loud> {
        let crowd = std::mem::take(&mut self.crowded_out);
        let loudest = self.loudest.take();
        if loudest.is_some() {
            self.strangers.count_anew();
            self.networks.count_anew();
            for proven in self.proven.values_mut() {
                proven.dropped = 0;
            }
        }
        match loudest {
            Some((source, dropped)) if dropped >= crowd => Some(Loud::Source(source.ip, dropped)),
            _ => (crowd > 0).then_some(Loud::Crowd(crowd)),
        }
    }

    /// How many things are kept by name: proven sources, and sources that hold something.
    #[cfg(test)]
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.proven.len(), self.held.len())
    }

    fn is_loud(&mut self, source: Source, dropped: u64) {
        if self.loudest.is_none_or(|(_, most)| dropped >= most) {
            self.loudest = Some((source, dropped));
        }
    }

    fn mark(&self, of: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        of.hash(&mut hasher);
        hasher.finish()
    }

    fn micros(&mut self, now: Instant) -> u64 {
        let began = *self.began.get_or_insert(now);
        now.saturating_duration_since(began).as_micros() as u64
    }

    fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|at| at <= now) {
            self.next_sweep = Some(now + SWEEP);
            self.proven.retain(|_, proven| proven.until > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> Source {
        Source {
            ip: IpAddr::V4(n.into()),
            datagram: true,
        }
    }

    /// How many of `n` different messages, evenly over a second, are looked at.
    fn second(sources: &mut Sources, start: Instant, source: Source, n: u32) -> usize {
        let admitted = (0..n).filter(|i| {
            let at = start + Duration::from_secs(1) * *i / n;
            sources.admit(at, source, false, &i.to_be_bytes())
        });
        admitted.count()
    }

    #[test]
    fn a_stranger_is_heard_two_hundred_and_fifty_times_a_second_and_others_are_not_hurt() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        for n in 0..10 {
            second(&mut sources, now + Duration::from_secs(n), source(1), 5_000);
        }
        let now = now + Duration::from_secs(10);
        let loud = second(&mut sources, now, source(1), 5_000);
        assert!((240..=260).contains(&loud), "{loud}");
        assert_eq!(second(&mut sources, now, source(2), 200), 200);
        let loudest = sources.take_loudest();
        assert!(matches!(loudest, Some(Loud::Source(ip, _)) if ip == source(1).ip));
        assert_eq!(sources.take_loudest(), None);
        assert!(sources.dropped() > 40_000);
    }

    #[test]
    fn all_addresses_of_a_network_share_what_a_network_gets() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        let from = |n: u32| source(0x0a00_0000 + n % 256);
        for n in 0..200_000 {
            let at = now + Duration::from_micros(u64::from(n) * 50);
            sources.admit(at, from(n), false, &n.to_be_bytes());
        }
        let late = now + Duration::from_secs(10);
        let heard = (0..20_000_u32).filter(|n| {
            let at = late + Duration::from_micros(u64::from(*n) * 50);
            sources.admit(at, from(*n), false, &n.to_be_bytes())
        });
        let heard = heard.count();
        assert!((490..=510).contains(&heard), "{heard}");
        let late = late + Duration::from_secs(1);
        assert_eq!(second(&mut sources, late, source(0x0a00_0100), 200), 200);
    }

    #[test]
    fn who_is_proven_is_heard_more() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        sources.prove(now, source(1));
        for n in 0..5 {
            second(&mut sources, now + Duration::from_secs(n), source(1), 9_000);
        }
        let late = now + Duration::from_secs(5);
        let heard = second(&mut sources, late, source(1), 9_000);
        assert!((1_990..=2_010).contains(&heard), "{heard}");
        let over = now + TRUST;
        for n in 0..4 {
            second(
                &mut sources,
                over + Duration::from_secs(n),
                source(1),
                9_000,
            );
        }
        let heard = second(
            &mut sources,
            over + Duration::from_secs(4),
            source(1),
            9_000,
        );
        assert!((240..=260).contains(&heard), "{heard}");
        assert_eq!(sources.len(), (0, 0), "what has grown old is forgotten");
    }

    /// Twenty thousand messages a second from a hundred thousand forged addresses; the times in
    /// seconds at which somebody else says the same again and again, and which of them is heard.
    fn answered_amid_forgeries(
        seed: u64,
        each_says_it_twice: bool,
        times: &[f64],
    ) -> Option<usize> {
        let now = Instant::now();
        let mut sources = Sources::new(seed);
        sources.prove(now, source(7));
        let mut state = seed;
        let mut heard_of_friend = 0;
        let mut answered = None;
        let mut times = times.iter().enumerate().peekable();
        for n in 0..400_000_u32 {
            let at = now + Duration::from_micros(u64::from(n) * 50);
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let forged = ((state % 100_000) as u32).wrapping_mul(2_654_435_769);
            sources.admit(at, source(forged), false, &n.to_be_bytes());
            if each_says_it_twice {
                sources.admit(at, source(forged), false, &n.to_be_bytes());
            }
            if n % 200 == 0 {
                let heard = sources.admit(at, source(7), false, &n.to_be_bytes());
                heard_of_friend += usize::from(heard);
            }
            // The flood is there before the newcomer is.
            let since = f64::from(n) * 50e-6 - 5.0;
            if let Some((turn, _)) = times.next_if(|(_, at)| **at <= since)
                && sources.admit(at, source(0x0a01_0203), false, b"REGISTER")
            {
                answered.get_or_insert(turn);
            }
        }
        assert_eq!(heard_of_friend, 2_000, "the proven one is always heard");
        assert_eq!(sources.len(), (1, 0), "nothing has grown");
        answered
    }

    #[test]
    fn a_newcomer_is_heard_at_its_second_word_amid_a_hundred_thousand_forged_addresses() {
        // RFC 3261 §17.1.2.2: Timer E.
        let times = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5];
        for seed in 1..6 {
            let answered = answered_amid_forgeries(seed, false, &times);
            assert!(answered <= Some(1) && answered.is_some(), "{answered:?}");
        }
    }

    #[test]
    fn a_flood_that_says_everything_twice_changes_nothing() {
        let times = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5];
        let answered = answered_amid_forgeries(1, true, &times);
        assert!(answered <= Some(1) && answered.is_some(), "{answered:?}");
    }

    #[test]
    fn who_is_registered_does_not_compete_with_those_who_are_not() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        for n in 0..10_000_u32 {
            sources.admit(now, source(n * 40_503), false, &n.to_be_bytes());
        }
        assert!(!sources.admit(now, source(9), false, b"once"));
        assert!(sources.admit(now, source(9), true, b"once"));
        assert!(matches!(sources.take_loudest(), Some(Loud::Crowd(n)) if n > 7_000));
    }

    #[test]
    fn a_connection_does_not_compete_with_datagrams() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        for n in 0..10_000_u32 {
            sources.admit(now, source(n * 40_503), false, &n.to_be_bytes());
        }
        let connected = Source {
            datagram: false,
            ..source(9)
        };
        assert!(sources.admit(now, connected, false, b"once"));
    }

    #[test]
    fn the_table_of_the_proven_does_not_grow_and_the_newest_has_a_place() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        for n in 0..20_000 {
            sources.prove(now + Duration::from_millis(u64::from(n)), source(n));
        }
        let now = now + Duration::from_secs(20);
        assert_eq!(sources.len(), (PROVEN, 0));
        assert!(sources.is_proven(now, source(19_999)));
        assert!(!sources.is_proven(now, source(0)));
    }

    #[test]
    fn nobody_holds_more_than_a_share_and_all_is_given_back() {
        let now = Instant::now();
        let mut sources = Sources::new(1);
        let (most, octets) = (1_024, 1 << 20);
        let mut charges = Vec::new();
        let mut fill = |sources: &mut Sources, n: u32, is_invite: bool| {
            let before = charges.len();
            let wanted = |held| Wanted {
                octets: 10,
                is_invite,
                requests: (held, most),
                all_octets: (0, octets),
            };
            while let Ok(charge) = sources.charge(now, source(n), wanted(charges.len())) {
                charges.push(charge);
            }
            charges.len() - before
        };
        let strangers: Vec<usize> = (0..6).map(|n| fill(&mut sources, n, true)).collect();
        assert_eq!(strangers, [128, 128, 128, 64, 0, 0]);
        assert_eq!(fill(&mut sources, 7, false), 64, "the rest is for others");
        for n in [10, 11, 12] {
            sources.prove(now, source(n));
        }
        assert_eq!(fill(&mut sources, 10, true), 256);
        // The last eighth is for those who hold next to nothing.
        assert_eq!(fill(&mut sources, 11, true), 128);
        assert_eq!(fill(&mut sources, 12, true), LITTLE);
        for charge in charges {
            sources.release(charge);
        }
        assert_eq!(sources.strangers_hold.requests, 0);
        assert_eq!(sources.len(), (3, 0));
    }
}
