//! Who comes in when more strangers come than may.
//!
//! An address of UDP is easily forged, so a flood may come from as many as it likes, and whoever
//! comes first takes all the room. Two shares are kept for those who behave as callers do:
//!
//! - *Newcomers*: sources that were not seen of late. Those of a flood that uses its addresses again
//!   are seen soon, whoever calls then is new.
//! - *Those who come again*: sources that were seen in the few seconds before these. Of a flood that
//!   never uses an address again nobody comes again, a caller does (RFC 3261 §17.1.1.2: after 0.5,
//!   1.5, 3.5, 7.5, 15.5 and 31.5 seconds). Those who have been coming for longer than a caller would
//!   are out of it.
//!
//! Of both, a network (/24, /48) gets a few places at a time, since whoever has one address there
//! can easily have all of them.
//!
//! What was seen is noted in Bloom filters of fixed size, 4.5 MB in all, which are there only while
//! there is a crowd.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Rate};
use super::strangers::Key;

/// What newcomers may send together while there is a crowd, and at once.
const NEWCOMERS: Rate = Rate {
    per_second: 200.0,
    burst: 500.0,
};
/// The same of those who come again.
const AGAIN: Rate = Rate {
    per_second: 200.0,
    burst: 500.0,
};
/// How long the few seconds are. A caller waits four between the fourth and the fifth INVITE: these two
/// are never in the same few seconds, and always in the same or neighbouring ones of those before.
const FEW_SECONDS: Duration = Duration::from_secs(3);
/// How long a caller tries, and a little more (RFC 3261 §17.1.1.2, Timer B).
const A_CALL: Duration = Duration::from_secs(40);
/// Messages of one network in a few seconds.
const OF_NETWORK: u8 = 2;
/// Places to count those in; networks that share one are counted together.
const NETWORKS: usize = 16_384;
/// Bits to note in who came in a few seconds, and how many that is good for: one in two hundred that
/// was not noted seems to be.
const SEEN_LATELY: (usize, usize) = (1 << 23, 800_000);
/// The same of the time of a call, where a few that seem to be noted do no harm.
const SEEN: (usize, usize) = (1 << 22, 400_000);
/// Bits of one source.
const BITS: u64 = 7;

#[derive(Debug)]
pub(super) struct Crowd {
    key: Key,
    newcomers: Bucket,
    again: Bucket,
    memory: Option<Box<Memory>>,
    /// When there was no room for anybody the last time.
    crowded_at: Option<Instant>,
}

/// What is remembered while there is a crowd.
#[derive(Debug)]
struct Memory {
    /// These few seconds, those before, and those before them.
    lately: [Filter; 3],
    lately_since: Instant,
    /// The time of a call up to now, and those before and before that.
    seen: [Filter; 3],
    seen_since: Instant,
    networks: Vec<u8>,
}

impl Crowd {
    pub(super) fn new(key: Key, now: Instant) -> Self {
        Self {
            key,
            newcomers: Bucket::full(NEWCOMERS, now),
            again: Bucket::full(AGAIN, now),
            memory: None,
            crowded_at: None,
        }
    }

    /// Notes who is here, and says whether there is room in a share that is kept for its kind. While
    /// it is calm nobody needs any.
    pub(super) fn admit(
        &mut self,
        source: IpAddr,
        weight: f64,
        is_calm: bool,
        now: Instant,
    ) -> bool {
        if !is_calm {
            self.crowded_at = Some(now);
        }
        let is_over = |at: Instant| now.saturating_duration_since(at) > A_CALL;
        if self.crowded_at.is_none_or(is_over) {
            self.memory = None;
            return false;
        }
        let memory = self
            .memory
            .get_or_insert_with(|| Box::new(Memory::new(now)));
        memory.turn_over(now);
        let hash = self.key.hash(source);
        let is_new = !memory.seen.iter().any(|filter| filter.has(hash));
        let [_, before @ ..] = &memory.lately;
        let is_again = before.iter().any(|filter| filter.has(hash)) && !memory.seen[2].has(hash);
        memory.lately[0].note(hash);
        memory.seen[0].note(hash);
        if is_calm || !(is_new || is_again) {
            return false;
        }
        let place = self.key.hash(network_of(source)) as usize % NETWORKS;
        let of_network = &mut memory.networks[place];
        // Some of those who come again are new as well: their first word found no room to be noted.
        let share = if is_again {
            &mut self.again
        } else {
            &mut self.newcomers
        };
        let admitted = *of_network < OF_NETWORK && share.take(weight, now);
        *of_network += u8::from(admitted);
        admitted
    }
}

impl Memory {
    fn new(now: Instant) -> Self {
        Self {
            lately: std::array::from_fn(|_| Filter::new(SEEN_LATELY)),
            lately_since: now,
            seen: std::array::from_fn(|_| Filter::new(SEEN)),
            seen_since: now,
            networks: vec![0; NETWORKS],
        }
    }

    fn turn_over(&mut self, now: Instant) {
        if now.saturating_duration_since(self.lately_since) >= FEW_SECONDS {
            self.lately.rotate_right(1);
            self.lately[0].clear();
            self.lately_since = now;
            self.networks.fill(0);
        }
        if now.saturating_duration_since(self.seen_since) >= A_CALL {
            self.seen.rotate_right(1);
            self.seen[0].clear();
            self.seen_since = now;
        }
    }
}

/// A Bloom filter that takes in no more than it is good for.
#[derive(Debug)]
struct Filter {
    words: Vec<u64>,
    room: usize,
    left: usize,
}

impl Filter {
    fn new((bits, room): (usize, usize)) -> Self {
        Self {
            words: vec![0; bits / 64],
            room,
            left: room,
        }
    }

    fn clear(&mut self) {
        self.words.fill(0);
        self.left = self.room;
    }

    fn note(&mut self, hash: u64) {
        if self.left == 0 || self.has(hash) {
            return;
        }
        self.left -= 1;
        for (word, bit) in self.bits(hash) {
            self.words[word] |= bit;
        }
    }

    fn has(&self, hash: u64) -> bool {
        self.bits(hash)
            .all(|(word, bit)| self.words[word] & bit != 0)
    }

    /// The words and bits of a source, from the two halves of its hash.
    fn bits(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (first, step) = (hash & 0xffff_ffff, (hash >> 32) | 1);
        let bits = self.words.len() as u64 * 64;
        (0..BITS).map(move |i| {
            let bit = (first + i * step) % bits;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }
}

/// The network that a source is in, as most of them are given out.
fn network_of(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_forgets_nobody_and_seldom_takes_one_for_another() {
        let key = Key(7);
        let mut filter = Filter::new(SEEN_LATELY);
        for i in 0..SEEN_LATELY.1 as u64 {
            filter.note(key.hash(i));
        }
        // Those that seemed to be there already were not counted.
        let left = filter.left;
        assert!(left < 2_000, "{left}");
        assert!((0..SEEN_LATELY.1 as u64).all(|i| filter.has(key.hash(i))));
        let strange = 10_000_000..10_100_000_u64;
        let wrong = strange.filter(|i| filter.has(key.hash(i))).count();
        assert!(wrong < 1_000, "{wrong} of 100,000");
        filter.clear();
        assert!(!filter.has(key.hash(0_u64)));
    }

    #[test]
    fn networks_are_those_that_are_given_out() {
        let of = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.77"), "192.0.2.0");
        assert_eq!(of("2001:db8:1:2:3::4"), "2001:db8:1::");
    }
}
