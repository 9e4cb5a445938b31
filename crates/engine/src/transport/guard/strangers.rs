//! Those whom nobody here knows: each has a bucket of its own, in a table of fixed size.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Instant;

use super::bucket::{Bucket, Rate};
use super::crowd::Crowd;

/// What one stranger may send, and at once.
const ONE: Rate = Rate {
    per_second: 200.0,
    burst: 1_000.0,
};
/// The same of all of them together, whoever comes first.
const ANYBODY: Rate = Rate {
    per_second: 600.0,
    burst: 2_000.0,
};
/// Answers that a stranger gets, and at once: more than anybody needs to find out who we are.
const ANSWERS: Rate = Rate {
    per_second: 10.0,
    burst: 20.0,
};
/// Answers of those that tell who does not live here: a scanner that tries number after number gets
/// one. Who dials one wrong number gets it too.
const GUESSES: Rate = Rate {
    per_second: 0.2,
    burst: 1.0,
};
/// The same of all strangers together.
const ALL_ANSWERS: Rate = Rate {
    per_second: 200.0,
    burst: 400.0,
};
/// Strangers remembered at a time, in sets: a source has its place in one of them alone.
pub(super) const SETS: usize = 1_024;
/// Places of a set.
pub(super) const WAYS: usize = 4;

/// Hashes sources in a way that nobody outside can foresee.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(pub(super) u64);

impl Key {
    pub(super) fn hash(self, of: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0, of).hash(&mut hasher);
        hasher.finish()
    }
}

#[derive(Debug)]
pub(super) struct Strangers {
    key: Key,
    /// Empty until the first one comes; from then on always as large.
    places: Vec<Option<Stranger>>,
    anybody: Bucket,
    all_answers: Bucket,
    crowd: Crowd,
}

#[derive(Clone, Copy, Debug)]
struct Stranger {
    source: IpAddr,
    messages: Bucket,
    answers: Bucket,
    guesses: Bucket,
}

impl Stranger {
    fn new(source: IpAddr, now: Instant) -> Self {
        Self {
            source,
            messages: Bucket::full(ONE, now),
            answers: Bucket::full(ANSWERS, now),
            guesses: Bucket::full(GUESSES, now),
        }
    }

    /// How little it would notice if it were forgotten.
    fn rest(&self, now: Instant) -> f64 {
        let buckets = [self.messages, self.answers, self.guesses];
        buckets.iter().map(|b| b.rest(now)).fold(1.0, f64::min)
    }
}

impl Strangers {
    pub(super) fn new(key: Key, now: Instant) -> Self {
        Self {
            key,
            places: Vec::new(),
            anybody: Bucket::full(ANYBODY, now),
            all_answers: Bucket::full(ALL_ANSWERS, now),
            crowd: Crowd::new(key, now),
        }
    }

    /// Whether a message of this weight may come in.
    pub(super) fn admit(&mut self, source: IpAddr, weight: f64, now: Instant) -> bool {
        // Who is over its own limit takes nothing from the others.
        if !self.place(source, now).messages.take(weight, now) {
            return false;
        }
        let is_calm = self.anybody.take(weight, now);
        self.crowd.admit(source, weight, is_calm, now) || is_calm
    }

    /// Whether another answer may go there; one that is for a `guess` more seldom.
    pub(super) fn may_answer(&mut self, source: IpAddr, guess: bool, now: Instant) -> bool {
        let place = self.place(source, now);
        if guess && !place.guesses.take(1.0, now) {
            return false;
        }
        place.answers.take(1.0, now) && self.all_answers.take(1.0, now)
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// The place of a source. One that is new takes a free place of its set, or that of whoever has
    /// been quiet for so long that it matters least: those over their limits are not forgotten for it.
    fn place(&mut self, source: IpAddr, now: Instant) -> &mut Stranger {
        if self.places.is_empty() {
            self.places = vec![None; SETS * WAYS];
        }
        let sets = SETS as u64;
        let first = (self.key.hash(source) % sets) as usize * WAYS;
        let set = &mut self.places[first..first + WAYS];
        let of = |place: &Option<Stranger>| place.as_ref().is_some_and(|s| s.source == source);
        let rest = |place: &Option<Stranger>| place.as_ref().map_or(2.0, |s| s.rest(now));
        let at = set.iter().position(of).unwrap_or_else(|| {
            let quietest = (0..WAYS).max_by(|a, b| rest(&set[*a]).total_cmp(&rest(&set[*b])));
            let at = quietest.unwrap_or(0);
            set[at] = None;
            at
        });
        set[at].get_or_insert_with(|| Stranger::new(source, now))
    }
}
