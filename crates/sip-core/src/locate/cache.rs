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
mod tests;
