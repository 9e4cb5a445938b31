//! Answers that still hold.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::record::{Answer, Outcome, Question};

/// How long answers are kept, whatever their servers say, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// How many answers.
    pub entries: usize,
    /// How many records of one answer.
    pub records: usize,
    /// Nothing is asked again sooner than this, also when its time to live is zero: a phone that
    /// registers and calls asks the same things again at once.
    pub shortest: Duration,
    /// No records are trusted longer than this.
    pub longest: Duration,
    /// No absence is trusted longer than this (RFC 2308 §5).
    pub longest_absence: Duration,
    /// How long the failure of the name servers is remembered (RFC 2308 §7 allows five minutes): as
    /// long as one attempt takes, so that it does not wait for the same silence several times.
    pub failure: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            entries: 512,
            records: 128,
            shortest: Duration::from_secs(5),
            longest: Duration::from_secs(3600),
            longest_absence: Duration::from_secs(300),
            failure: Duration::from_secs(10),
        }
    }
}

/// Answers that still hold. Bounded; the one that would run out first makes place.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    limits: CacheLimits,
    entries: HashMap<Question, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    answer: Answer,
    until: Instant,
}

impl Cache {
    /// An empty one.
    pub fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
        }
    }

    /// Keeps an answer for the time that it holds.
    pub fn insert(&mut self, now: Instant, question: Question, mut answer: Answer) {
        let limits = &self.limits;
        let longest = match &mut answer.outcome {
            Outcome::Records(records) => {
                records.truncate(limits.records);
                limits.longest
            }
            Outcome::NoRecords | Outcome::NoSuchName => limits.longest_absence,
            Outcome::ServerFailed | Outcome::TimedOut => limits.failure,
        };
        let holds = answer.ttl.max(limits.shortest).min(longest);
        let Some(until) = now.checked_add(holds) else {
            return;
        };
        if self.entries.len() >= limits.entries && !self.entries.contains_key(&question) {
            self.make_place(now);
        }
        if self.entries.len() < self.limits.entries {
            self.entries.insert(question, Entry { answer, until });
        }
    }

    /// Forgets everything: what another network answered is worth nothing here.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// An answer that still holds, with what is left of its time.
    pub fn look_up(&self, now: Instant, question: &Question) -> Option<Answer> {
        let entry = self.entries.get(question)?;
        let left = entry.until.saturating_duration_since(now);
        (!left.is_zero()).then(|| Answer::new(entry.answer.outcome.clone(), left))
    }

    /// How many are kept, outdated ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn make_place(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() < self.limits.entries {
            return;
        }
        let first_out = self
            .entries
            .iter()
            .min_by(|(a, x), (b, y)| (x.until, &a.name).cmp(&(y.until, &b.name)))
            .map(|(question, _)| question.clone());
        if let Some(question) = first_out {
            self.entries.remove(&question);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::{Cache, CacheLimits};
    use crate::locate::record::{Answer, Outcome, Question, Record, RecordKind};

    fn question(name: &str) -> Question {
        Question::new(RecordKind::A, name).unwrap()
    }

    fn answer(outcome: Outcome, seconds: u64) -> Answer {
        Answer::new(outcome, Duration::from_secs(seconds))
    }

    fn addresses(count: u8) -> Outcome {
        let record = |n| Record::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
        Outcome::Records((0..count).map(record).collect())
    }

    #[test]
    fn an_answer_holds_for_its_time_between_floor_and_ceiling() {
        let start = Instant::now();
        let holds = |outcome: Outcome, ttl: u64| {
            let mut cache = Cache::default();
            cache.insert(start, question("a.test"), answer(outcome, ttl));
            let there = |s: &u64| {
                let at = start + Duration::from_secs(*s);
                cache.look_up(at, &question("a.test")).is_some()
            };
            (0..100_000).take_while(there).count()
        };
        assert_eq!(holds(addresses(1), 60), 60);
        assert_eq!(holds(addresses(1), 0), 5);
        assert_eq!(holds(addresses(1), 86_400), 3600);
        assert_eq!(holds(Outcome::NoSuchName, 86_400), 300);
        assert_eq!(holds(Outcome::NoRecords, 30), 30);
        assert_eq!(holds(Outcome::TimedOut, 3600), 10);
        assert_eq!(holds(Outcome::ServerFailed, 0), 5);
    }

    #[test]
    fn what_is_left_of_the_time_counts_down() {
        let start = Instant::now();
        let mut cache = Cache::default();
        cache.insert(start, question("A.Test."), answer(addresses(1), 60));
        let later = start + Duration::from_secs(45);
        let found = cache.look_up(later, &question("a.test")).unwrap();
        assert_eq!(found.ttl, Duration::from_secs(15));
        cache.clear();
        assert!(cache.look_up(later, &question("a.test")).is_none());
    }

    #[test]
    fn a_full_cache_drops_what_would_run_out_first() {
        let start = Instant::now();
        let mut cache = Cache::new(CacheLimits {
            entries: 3,
            records: 2,
            ..CacheLimits::default()
        });
        for (name, ttl) in [("a", 100), ("b", 50), ("c", 200), ("d", 70)] {
            cache.insert(start, question(name), answer(addresses(9), ttl));
        }
        assert_eq!(cache.len(), 3);
        assert!(cache.look_up(start, &question("b")).is_none());
        let kept = cache.look_up(start, &question("d")).unwrap();
        assert_eq!(kept.records().len(), 2);
        // Outdated ones go first.
        let later = start + Duration::from_secs(80);
        cache.insert(later, question("e"), answer(addresses(1), 10));
        assert!(cache.look_up(later, &question("a")).is_some());
        assert!(cache.look_up(later, &question("e")).is_some());
        assert_eq!(cache.len(), 3);
    }
}
