//! How fast a peer may press keys.

use std::time::{Duration, Instant};

/// A digit lasts no less (Q.24, to which RFC 4733 §2.5.1.1 leaves it).
const SHORTEST: Duration = Duration::from_millis(40);
/// So many may come at once: the number of a card with all that belongs to it, in INFO requests that wait for nobody.
const AT_ONCE: u32 = 32;

/// The keys that were taken, and those that were not. No person presses more of them, and everyone who listens to events
/// is told of each.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// When those that were taken would have been pressed to their end, one behind the other.
    pressed_until: Option<Instant>,
    left_out: u64,
}

impl Keys {
    /// Whether this one is taken.
    pub(super) fn takes(&mut self, now: Instant) -> bool {
        let until = self.pressed_until.map_or(now, |until| until.max(now));
        if until.duration_since(now) > SHORTEST * (AT_ONCE - 1) {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.pressed_until = Some(until + SHORTEST);
        true
    }

    /// What there is to say of those that were not; it is said once.
    pub(super) fn left_out(&mut self) -> Option<String> {
        let count = std::mem::take(&mut self.left_out);
        let text = || {
            format!(
                "{count} keys of the peer were passed over: they came faster than {} a second",
                Duration::from_secs(1).as_millis() / SHORTEST.as_millis()
            )
        };
        (count > 0).then(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are taken of those that come this far apart for ten seconds.
    fn taken(keys: &mut Keys, apart: Duration) -> usize {
        let begin = Instant::now();
        let times = (0u32..).map(|n| begin + apart * n);
        let times = times.take_while(|at| *at < begin + Duration::from_secs(10));
        times.filter(|at| keys.takes(*at)).count()
    }

    #[test]
    fn no_more_keys_are_taken_than_can_be_pressed() {
        let mut keys = Keys::default();
        // Two thousand a second.
        let count = taken(&mut keys, Duration::from_micros(500));
        assert_eq!(count, 250 + 31);
        let said = keys.left_out().expect("there is something to say");
        let passed_over = 20_000 - count;
        assert_eq!(
            said,
            format!(
                "{passed_over} keys of the peer were passed over: they came faster than 25 a second"
            )
        );
        assert_eq!(keys.left_out(), None);
    }

    #[test]
    fn whoever_presses_as_fast_as_the_standard_has_it_loses_none() {
        let mut keys = Keys::default();
        assert_eq!(taken(&mut keys, SHORTEST), 250);
        let mut keys = Keys::default();
        let at = Instant::now();
        assert!((0..16).all(|_| keys.takes(at)), "a card's number at once");
        assert_eq!(keys.left_out(), None);
    }
}
