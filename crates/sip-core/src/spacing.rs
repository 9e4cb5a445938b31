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

use std::time::{Duration, Instant};

/// Between the first question and the second.
const FIRST: Duration = Duration::from_secs(1);
/// Between two questions at most.
const LONGEST: Duration = Duration::from_secs(300);
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
            Some(before) => FIRST.saturating_mul(1 << before.min(16)).min(LONGEST),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Who wants it after every question, and how often that is asked in ten minutes.
    #[test]
    fn what_is_wanted_after_every_question_is_asked_further_and_further_apart() {
        let start = Instant::now();
        let (mut now, mut spacing, mut asked) = (start, Spacing::default(), Vec::new());
        while now < start + s(1500) {
            let wait = spacing.want(now);
            now += wait;
            assert_eq!(spacing.pop_due(now), !wait.is_zero());
            asked.push((now - start).as_secs());
            // Its answer takes no time.
        }
        assert_eq!(
            asked,
            [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111, 1411, 1711]
        );
    }

    #[test]
    fn one_question_is_due_however_often_it_is_wanted() {
        let now = Instant::now();
        let mut spacing = Spacing::default();
        assert_eq!(spacing.want(now), s(0));
        assert_eq!(spacing.want(now), s(1));
        for ms in (0..1000).step_by(100) {
            let at = now + Duration::from_millis(ms);
            assert_eq!(spacing.want(at), Duration::from_millis(1000 - ms));
            assert!(!spacing.pop_due(at));
        }
        assert!(spacing.pop_due(now + s(1)));
        assert!(!spacing.pop_due(now + s(100)));
        assert_eq!(spacing.deadline(), None);
    }

    #[test]
    fn what_was_quiet_for_a_while_is_asked_at_once() {
        let mut now = Instant::now();
        let mut spacing = Spacing::default();
        for _ in 0..5 {
            now += spacing.want(now);
            spacing.pop_due(now);
        }
        // Longer ago than the wait, but not quiet.
        assert_eq!(spacing.want(now + s(59)), s(0));
        assert_eq!(spacing.want(now + s(60)), s(31));
        assert!(spacing.pop_due(now + s(91)));
        assert_eq!(spacing.want(now + s(151)), s(0));
        assert_eq!(spacing.want(now + s(151)), s(1));
    }

    /// A timer that comes late, e.g. because the machine slept, asks once.
    #[test]
    fn what_is_overdue_is_asked_once() {
        let now = Instant::now();
        let mut spacing = Spacing::default();
        spacing.want(now);
        spacing.want(now);
        assert_eq!(spacing.want(now + s(5)), s(0));
        assert!(!spacing.pop_due(now + s(5)));
        spacing.want(now + s(5));
        spacing.stop();
        assert!(!spacing.pop_due(now + s(50)));
    }
}
