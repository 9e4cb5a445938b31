//! How often a peer can bring us to ask something again.
//!
//! ```text
//!   wanted ──► asked at once ──► wanted again ──► due 1 s, 2 s, 4 s … after it was asked last
//!     ▲                                                │
//!     └────────── nothing wanted for a minute ◄────────┘
//! ```
//!
//! What a peer says can call for a question: a state that does not fit the one before (RFC 4235 §3.10, RFC 4575 §4.3),
//! a phone that came or went (RFC 3680). A peer whose every answer calls for the next question would be asked as fast as
//! the wire carries it. A [`Spacing`] asks the first time at once and then further and further apart; what is wanted
//! while one question is due makes no other.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::refresh::Backoff;

/// Between the first question and the second, and between any two at most.
const PACE: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};
/// When nothing was wanted for so long, the next is asked at once again.
const QUIET: Duration = Duration::from_secs(60);

/// When to ask next what a peer brings about. See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Spacing {
    /// Questions since it was quiet.
    asked: u32,
    asked_at: Option<Instant>,
    /// When it was last wanted, or asked.
    busy_at: Option<Instant>,
    due: Option<Instant>,
}

impl Spacing {
    /// Something calls for the question. In how long it is due: none at all means that the caller asks now.
    pub fn want(&mut self, now: Instant) -> Duration {
        let busy_at = self.busy_at.replace(now);
        let quiet = busy_at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET);
        if quiet && self.due.is_none() {
            self.asked = 0;
        }
        let wait = match self.asked.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => PACE.most(before),
        };
        let due = self
            .due
            .or_else(|| self.asked_at.map(|at| at + wait))
            .filter(|due| *due > now);
        match due {
            Some(due) => {
                self.due = Some(due);
                due.saturating_duration_since(now)
            }
            None => {
                self.ask(now);
                Duration::ZERO
            }
        }
    }

    /// Whether the question that waits is due: true once, and the caller asks now.
    pub fn pop_due(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.ask(now);
        }
        due
    }

    /// When the question that waits is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing waits any more; what was asked before still counts.
    pub fn stop(&mut self) {
        self.due = None;
    }

    fn ask(&mut self, now: Instant) {
        self.asked = self.asked.saturating_add(1);
        self.asked_at = Some(now);
        self.busy_at = Some(now);
        self.due = None;
    }
}
