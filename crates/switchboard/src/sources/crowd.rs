//! Strangers, in memory of a fixed size: whoever forges addresses has as many as there are, so nothing
//! is kept for each.
//!
//! Buckets of tokens stand in sets of a few places. Where a set is full, the fullest bucket makes way:
//! it has not been used lately, and forgetting a full bucket forgets nothing. A loud source has an
//! empty one and stays.

use std::time::Duration;

/// Places for buckets, and how many of them form a set.
const PLACES: usize = 8_192;
const WAYS: usize = 8;
/// Bits of one generation of what was turned away. Twenty thousand messages a second set one bit in
/// thirty of it, and one message in a hundred is taken for the repeat of another.
const BITS: usize = 1 << 19;
/// How long a generation grows: shorter than the 0.5 s after which a sender that hears nothing repeats
/// itself first (RFC 3261 §17.1.2.2, T1), and longer than anybody takes who only says everything twice.
const GENERATION: Duration = Duration::from_millis(400);
/// How many there are: the longest pause between two repeats is 4 s (T2).
const GENERATIONS: usize = 12;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Messages a second, in the long run.
    pub(super) rate: f64,
    /// Messages at once.
    pub(super) burst: f64,
}

/// A bucket of tokens. Time is in microseconds since whatever its owner counts from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    filled: u64,
}

impl Bucket {
    pub(super) fn full(pace: Pace, now: u64) -> Self {
        Self {
            tokens: pace.burst,
            filled: now,
        }
    }

    pub(super) fn take(&mut self, pace: Pace, now: u64) -> bool {
        self.tokens = self.level(pace, now);
        self.filled = self.filled.max(now);
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }

    fn level(&self, pace: Pace, now: u64) -> f64 {
        let since = now.saturating_sub(self.filled) as f64 / 1e6;
        (self.tokens + since * pace.rate).min(pace.burst)
    }
}

/// Buckets by a digest of whom they are for.
pub(super) struct Buckets {
    pace: Pace,
    places: Box<[Place]>,
}

#[derive(Clone, Copy)]
struct Place {
    mark: u64,
    bucket: Bucket,
    /// Turned away since it was last asked.
    dropped: u64,
}

impl Buckets {
    pub(super) fn new(pace: Pace) -> Self {
        let free = Place {
            mark: 0,
            bucket: Bucket::full(pace, 0),
            dropped: 0,
        };
        Self {
            pace,
            places: vec![free; PLACES].into(),
        }
    }

    /// Takes a token; how many have been turned away when there is none.
    pub(super) fn take(&mut self, mark: u64, now: u64) -> Result<(), u64> {
        let pace = self.pace;
        let set = mark as usize % (PLACES / WAYS) * WAYS;
        let Some(set) = self.places.get_mut(set..set + WAYS) else {
            return Ok(());
        };
        let known = set.iter().position(|place| place.mark == mark);
        let fullest = || {
            let level = |at: &usize| set.get(*at).map_or(0.0, |p| p.bucket.level(pace, now));
            (0..WAYS).max_by(|a, b| level(a).total_cmp(&level(b)))
        };
        let at = known.or_else(fullest).unwrap_or(0);
        let Some(place) = set.get_mut(at) else {
            return Ok(());
        };
        if known.is_none() {
            *place = Place {
                mark,
                bucket: Bucket::full(pace, now),
                dropped: 0,
            };
        }
        if place.bucket.take(pace, now) {
            return Ok(());
        }
        place.dropped = place.dropped.saturating_add(1);
        Err(place.dropped)
    }

    /// Counts what is turned away anew.
    pub(super) fn count_anew(&mut self) {
        for place in &mut self.places {
            place.dropped = 0;
        }
    }
}

/// What was turned away lately, as a ring of filters (B. Bloom, 1970), one for each generation: they
/// may take one message for another and never forget one too early.
pub(super) struct Turned {
    filters: Box<[u64]>,
    newest: usize,
    /// When the newest began; `None` while all are empty.
    began: Option<u64>,
}

impl Default for Turned {
    fn default() -> Self {
        Self {
            filters: vec![0; WORDS * GENERATIONS].into(),
            newest: 0,
            began: None,
        }
    }
}

impl Turned {
    /// Remembers a message that was turned away.
    pub(super) fn remember(&mut self, mark: u64, now: u64) {
        self.turn(now);
        self.began.get_or_insert(now);
        for (word, bit) in bits(mark) {
            if let Some(word) = self.filters.get_mut(self.newest * WORDS + word) {
                *word |= bit;
            }
        }
    }

    /// Whether a message was turned away a little while ago; what was just now does not count.
    pub(super) fn knows(&mut self, mark: u64, now: u64) -> bool {
        self.turn(now);
        let bits = bits(mark);
        let is_in = |filter: &[u64]| {
            let mut bits = bits.iter();
            bits.all(|(word, bit)| filter.get(*word).is_some_and(|word| word & bit != 0))
        };
        let filters = self.filters.chunks(WORDS).enumerate();
        let mut older = filters.filter(|(generation, _)| *generation != self.newest);
        self.began.is_some() && older.any(|(_, filter)| is_in(filter))
    }

    fn turn(&mut self, now: u64) {
        let Some(began) = self.began else { return };
        let length = GENERATION.as_micros() as u64;
        let turns = now.saturating_sub(began) / length;
        for _ in 0..turns.min(GENERATIONS as u64) {
            self.newest = (self.newest + 1) % GENERATIONS;
            let start = self.newest * WORDS;
            if let Some(filter) = self.filters.get_mut(start..start + WORDS) {
                filter.fill(0);
            }
        }
        let all_empty = turns >= GENERATIONS as u64;
        self.began = (!all_empty).then_some(began + turns * length);
    }
}

/// Words of a filter.
const WORDS: usize = BITS / 64;

/// The places of a mark in a filter.
fn bits(mark: u64) -> [(usize, u64); 2] {
    [mark, mark >> 32].map(|part| {
        let bit = part as u32 as usize % BITS;
        (bit / 64, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        rate: 10.0,
        burst: 20.0,
    };

    #[test]
    fn a_loud_one_stays_loud_however_many_others_come() {
        let mut buckets = Buckets::new(PACE);
        while buckets.take(7, 1).is_ok() {}
        let mut turned_away = 1;
        for other in 0..1_000_000_u64 {
            assert_eq!(buckets.take(1_000 + other * 7_919, 1), Ok(()));
            if other % 10_000 == 0 {
                turned_away += 1;
                assert_eq!(buckets.take(7, 1), Err(turned_away), "after {other}");
            }
        }
    }

    #[test]
    fn what_was_turned_away_is_known_after_half_a_second_and_for_four() {
        let mut turned = Turned::default();
        assert!(!turned.knows(5, 0));
        turned.remember(5, 10);
        assert!(!turned.knows(5, 60_000), "twice at once is no repeat");
        // RFC 3261 §17.1.2.2: T1 and T2 after it was said before, whenever that was.
        for later in [500_010, 1_500_000, 4_000_010] {
            turned.remember(9_000_000_007 * later, later);
            assert!(turned.knows(5, later), "{later}");
            assert!(!turned.knows(6, later), "{later}");
        }
        assert!(!turned.knows(5, 5_000_000), "it is forgotten");
        assert!(!turned.knows(5, 60_000_000));
    }

    #[test]
    fn few_are_taken_for_another_in_the_midst_of_twenty_thousand_a_second() {
        let mut turned = Turned::default();
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for n in 0..100_000 {
            turned.remember(next(), n * 50);
        }
        let taken = (0..10_000).filter(|_| turned.knows(next(), 4_999_999));
        let taken = taken.count();
        assert!(taken < 250, "{taken} of 10000");
    }
}
