//! How much may come, and at once.

use std::time::Instant;

/// A rate and what may come at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) burst: f64,
}

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            filled_at: now,
        }
    }

    /// Takes from it what there is enough of.
    pub(super) fn take(&mut self, weight: f64, now: Instant) -> bool {
        self.tokens = self.tokens_at(now);
        self.filled_at = now;
        let enough = self.tokens >= weight;
        if enough {
            self.tokens -= weight;
        }
        enough
    }

    /// The share of its burst that could come now, from 0 to 1.
    pub(super) fn rest(&self, now: Instant) -> f64 {
        self.tokens_at(now) / self.rate.burst
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.filled_at);
        (self.tokens + elapsed.as_secs_f64() * self.rate.per_second).min(self.rate.burst)
    }
}
