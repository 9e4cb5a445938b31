//! Questions that a peer brings about, in virtual time.

use std::time::{Duration, Instant};

use super::Spacing;

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
