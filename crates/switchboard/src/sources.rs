//! Who sends how much: a bucket of tokens for each source, and a share of what can be kept.
//!
//! A source is an address and whether it comes by datagrams, whose senders can be forged: somebody
//! who writes another's address on datagrams takes nothing from that other's connections. Sources
//! that have proved themselves, by a password or, where everybody is welcome, by a registration, are
//! given more, and a part of everything is kept free for them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sip_core::{Inbound, Transport};

/// Sources remembered at most; those that come beyond share one bucket.
const SOURCES: usize = 8_192;
/// How long a source that says nothing and holds nothing is remembered.
const IDLE: Duration = Duration::from_secs(60);
/// How often the idle ones are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a source that proved itself is trusted: as long as the longest registration.
const TRUST: Duration = Duration::from_secs(3_600);

/// What a source may do.
struct Allowance {
    /// Messages a second, in the long run.
    rate: f64,
    /// Messages at once: a phone that starts asks for everything it wants to know.
    burst: f64,
    /// Requests kept at once, as a part of all.
    share: usize,
}

/// Somebody that nobody knows: thirty phones that all start at once, or two hundred and fifty
/// messages a second.
const STRANGER: Allowance = Allowance {
    rate: 250.0,
    burst: 1_000.0,
    share: 8,
};
/// Somebody known: three hundred calls a second.
const FRIEND: Allowance = Allowance {
    rate: 2_000.0,
    burst: 4_000.0,
    share: 4,
};
/// All that strangers hold together is at most this part of everything.
const STRANGERS_SHARE: usize = 2;
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
        let ip = match inbound.path.remote.ip() {
            IpAddr::V6(ip) => {
                let network = u128::from(ip) >> 64 << 64;
                IpAddr::V6(network.into())
            }
            ip => ip,
        };
        Self {
            ip,
            datagram: inbound.path.transport == Transport::Udp,
        }
    }
}

/// All sources that were heard of lately.
#[derive(Default)]
pub(crate) struct Sources {
    known: HashMap<Source, Meter>,
    /// For those for whom there is no room.
    crowd: Meter,
    /// Kept for strangers, all together.
    strangers_hold: Held,
    next_sweep: Option<Instant>,
    /// Messages that were dropped since the start.
    dropped: u64,
    /// The loudest source that had something dropped since it was last asked, and how much.
    loudest: Option<(Source, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    requests: usize,
    octets: usize,
}

struct Meter {
    tokens: f64,
    filled: Option<Instant>,
    trusted_until: Option<Instant>,
    held: Held,
    /// Dropped since the loudest was last asked for.
    dropped: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            tokens: STRANGER.burst,
            filled: None,
            trusted_until: None,
            held: Held::default(),
            dropped: 0,
        }
    }
}

impl Meter {
    fn is_trusted(&self, now: Instant) -> bool {
        self.trusted_until.is_some_and(|until| until > now)
    }

    fn allowance(&self, now: Instant) -> &'static Allowance {
        if self.is_trusted(now) {
            &FRIEND
        } else {
            &STRANGER
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let allowance = self.allowance(now);
        let since = self
            .filled
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.filled = Some(self.filled.map_or(now, |at| at.max(now)));
        self.tokens = (self.tokens + since * allowance.rate).min(allowance.burst);
        if self.tokens < 1.0 {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.held.requests == 0
            && !self.is_trusted(now)
            && self
                .filled
                .is_none_or(|at| now.saturating_duration_since(at) >= IDLE)
    }
}

/// What a request that is to be kept was charged to, to be given back with [`Sources::release`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    /// `None` when it went to the crowd's bucket.
    source: Option<Source>,
    stranger: bool,
    pub(crate) octets: usize,
}

impl Sources {
    /// Whether one more message of this source is looked at; else it is dropped without a word.
    pub(crate) fn admit(&mut self, now: Instant, source: Source) -> bool {
        self.sweep(now);
        let admitted = self.meter(source).take(now);
        if !admitted {
            self.dropped = self.dropped.saturating_add(1);
            let dropped = self.meter(source).dropped;
            if self.loudest.is_none_or(|(_, most)| dropped >= most) {
                self.loudest = Some((source, dropped));
            }
        }
        admitted
    }

    /// A source has proved itself.
    pub(crate) fn trust(&mut self, now: Instant, source: Source) {
        if self.known.len() >= SOURCES && !self.known.contains_key(&source) {
            self.forget_a_stranger(now);
        }
        let meter = self.meter(source);
        if !meter.is_trusted(now) {
            // It has waited long enough.
            meter.tokens = FRIEND.burst;
        }
        meter.trusted_until = Some(now + TRUST);
    }

    /// Whether a source is trusted.
    pub(crate) fn is_trusted(&self, now: Instant, source: Source) -> bool {
        self.known
            .get(&source)
            .is_some_and(|meter| meter.is_trusted(now))
    }

    /// Room for a request of this many octets out of `most` requests and `most_octets`, of which
    /// `held` are taken; `None` when the source has had its share.
    pub(crate) fn charge(
        &mut self,
        now: Instant,
        source: Source,
        octets: usize,
        (held, most): (usize, usize),
        (held_octets, most_octets): (usize, usize),
    ) -> Option<Charge> {
        let strangers = self.strangers_hold;
        let meter = self.meter(source);
        let stranger = !meter.is_trusted(now);
        let share = meter.allowance(now).share;
        let mine = meter.held;
        let fits = |mine: Held, part: usize| {
            mine.requests < most / part && mine.octets.saturating_add(octets) <= most_octets / part
        };
        let last =
            held >= most - most / RESERVE || held_octets >= most_octets - most_octets / RESERVE;
        let may = fits(mine, share)
            && (!stranger || fits(strangers, STRANGERS_SHARE))
            && (!last || mine.requests < LITTLE)
            && held < most
            && held_octets < most_octets;
        if !may {
            return None;
        }
        meter.held.requests += 1;
        meter.held.octets += octets;
        if stranger {
            self.strangers_hold.requests += 1;
            self.strangers_hold.octets += octets;
        }
        Some(Charge {
            source: self.known.contains_key(&source).then_some(source),
            stranger,
            octets,
        })
    }

    /// What was kept is not kept any more.
    pub(crate) fn release(&mut self, charge: Charge) {
        let give_back = |held: &mut Held| {
            held.requests = held.requests.saturating_sub(1);
            held.octets = held.octets.saturating_sub(charge.octets);
        };
        // Who holds something is not forgotten: it is charged where it was.
        match charge.source.and_then(|source| self.known.get_mut(&source)) {
            Some(meter) => give_back(&mut meter.held),
            None => give_back(&mut self.crowd.held),
        }
        if charge.stranger {
            give_back(&mut self.strangers_hold);
        }
    }

    /// Messages that were dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The source that had most dropped since this was last asked, and how much that was.
    pub(crate) fn take_loudest(&mut self) -> Option<(IpAddr, u64)> {
        let (source, dropped) = self.loudest.take()?;
        self.crowd.dropped = 0;
        for meter in self.known.values_mut() {
            meter.dropped = 0;
        }
        Some((source.ip, dropped))
    }

    /// How many sources are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    fn meter(&mut self, source: Source) -> &mut Meter {
        if self.known.len() >= SOURCES && !self.known.contains_key(&source) {
            return &mut self.crowd;
        }
        self.known.entry(source).or_default()
    }

    fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_some_and(|at| at > now) {
            return;
        }
        self.next_sweep = Some(now + SWEEP);
        self.known.retain(|_, meter| !meter.is_idle(now));
    }

    fn forget_a_stranger(&mut self, now: Instant) {
        let strangers = self
            .known
            .iter()
            .filter(|(_, meter)| meter.held.requests == 0 && !meter.is_trusted(now));
        let quietest = strangers.min_by_key(|(_, meter)| meter.filled);
        if let Some(source) = quietest.map(|(source, _)| *source) {
            self.known.remove(&source);
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

    /// How many of `n` messages, evenly over a second, are looked at.
    fn second(sources: &mut Sources, start: Instant, source: Source, n: u32) -> usize {
        let admitted = (0..n).filter(|i| {
            let at = start + Duration::from_secs(1) * *i / n;
            sources.admit(at, source)
        });
        admitted.count()
    }

    #[test]
    fn a_stranger_is_heard_two_hundred_and_fifty_times_a_second_and_others_are_not_hurt() {
        let now = Instant::now();
        let mut sources = Sources::default();
        for n in 0..10 {
            second(&mut sources, now + Duration::from_secs(n), source(1), 5_000);
        }
        let now = now + Duration::from_secs(10);
        let loud = second(&mut sources, now, source(1), 5_000);
        assert!((240..=260).contains(&loud), "{loud}");
        assert_eq!(second(&mut sources, now, source(2), 200), 200);
        assert_eq!(sources.take_loudest().map(|(ip, _)| ip), Some(source(1).ip));
        assert_eq!(sources.take_loudest(), None);
        assert!(sources.dropped() > 40_000);
    }

    #[test]
    fn who_proved_itself_is_heard_more() {
        let now = Instant::now();
        let mut sources = Sources::default();
        sources.trust(now, source(1));
        for n in 0..5 {
            second(&mut sources, now + Duration::from_secs(n), source(1), 9_000);
        }
        let late = now + Duration::from_secs(5);
        let heard = second(&mut sources, late, source(1), 9_000);
        assert!((1_990..=2_010).contains(&heard), "{heard}");
        let over = now + TRUST;
        second(&mut sources, over, source(1), 9_000);
        let heard = second(
            &mut sources,
            over + Duration::from_secs(1),
            source(1),
            9_000,
        );
        assert!((240..=260).contains(&heard), "{heard}");
    }

    #[test]
    fn a_crowd_of_forged_addresses_does_not_grow_the_table_and_does_not_push_friends_out() {
        let now = Instant::now();
        let mut sources = Sources::default();
        sources.trust(now, source(0));
        for n in 1..100_000 {
            sources.admit(now, source(n));
        }
        assert_eq!(sources.len(), SOURCES);
        assert_eq!(second(&mut sources, now, source(0), 1_000), 1_000);
        // One more phone that knows its password is a friend like any other.
        sources.trust(now, source(200_000));
        assert!(sources.is_trusted(now, source(200_000)));
        assert_eq!(second(&mut sources, now, source(200_000), 1_000), 1_000);
        let later = now + IDLE + SWEEP;
        sources.admit(later, source(5));
        assert_eq!(sources.len(), 3, "the idle are forgotten");
    }

    #[test]
    fn nobody_holds_more_than_a_share_and_all_is_given_back() {
        let now = Instant::now();
        let mut sources = Sources::default();
        let (most, octets) = (1_024, 1 << 20);
        let mut charges = Vec::new();
        let mut fill = |sources: &mut Sources, n: u32| {
            let before = charges.len();
            while let Some(charge) =
                sources.charge(now, source(n), 10, (charges.len(), most), (0, octets))
            {
                charges.push(charge);
            }
            charges.len() - before
        };
        let strangers: Vec<usize> = (0..6).map(|n| fill(&mut sources, n)).collect();
        assert_eq!(strangers, [128, 128, 128, 128, 0, 0]);
        sources.trust(now, source(10));
        sources.trust(now, source(11));
        sources.trust(now, source(12));
        assert_eq!(fill(&mut sources, 10), 256);
        // The last eighth is for those who hold next to nothing.
        assert_eq!(fill(&mut sources, 11), 128);
        assert_eq!(fill(&mut sources, 12), LITTLE);
        for charge in charges {
            sources.release(charge);
        }
        assert_eq!(sources.strangers_hold.requests, 0);
        assert!(sources.known.values().all(|m| m.held.octets == 0));
    }
}
