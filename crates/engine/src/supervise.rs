//! How often a failed child may be started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A restart budget: so many within such a time, and past it the child rests, *degraded*.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    window: Duration,
    spent: VecDeque<Instant>,
}

impl Budget {
    /// The streams' row of the supervision table.
    pub(crate) fn stream() -> Self {
        Self::new(1, Duration::from_secs(10))
    }

    /// The accounts' row.
    pub(crate) fn account() -> Self {
        Self::new(3, Duration::from_secs(60))
    }

    /// The row of transports and devices.
    pub(crate) fn service() -> Self {
        Self::new(3, Duration::from_secs(15))
    }

    /// The tenants' row.
    pub(crate) fn tenant() -> Self {
        Self::new(3, Duration::from_secs(60))
    }

    fn new(limit: usize, window: Duration) -> Self {
        Self {
            limit,
            window,
            spent: VecDeque::with_capacity(limit),
        }
    }

    /// Takes one restart out of the budget, if there is one left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        while self
            .spent
            .front()
            .is_some_and(|t| now.saturating_duration_since(*t) >= self.window)
        {
            self.spent.pop_front();
        }
        if self.spent.len() >= self.limit {
            return false;
        }
        self.spent.push_back(now);
        true
    }

    /// How many restarts have been taken within the window; the back-off grows with it.
    pub(crate) fn taken(&self) -> u32 {
        u32::try_from(self.spent.len()).unwrap_or(u32::MAX)
    }

    /// Forgets what was spent, when a person asks for another try.
    pub(crate) fn refill(&mut self) {
        self.spent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_comes_back_with_time() {
        let start = Instant::now();
        let mut budget = Budget::account();
        for second in 0..3 {
            assert!(budget.take(start + Duration::from_secs(second)));
        }
        assert!(!budget.take(start + Duration::from_secs(59)));
        assert!(
            budget.take(start + Duration::from_secs(60)),
            "the first one is a minute old"
        );
        assert!(!budget.take(start + Duration::from_millis(60_500)));
        budget.refill();
        assert!(budget.take(start + Duration::from_secs(61)));
    }
}
