use std::time::{Duration, Instant};

use super::{Deadlines, Timer, Timers};

#[test]
fn timers_have_the_values_of_rfc_3261_table_4() {
    let ms = |timer: Timer, reliable| {
        timer
            .length(&Timers::default(), reliable)
            .map(|d| d.as_millis())
    };
    let table = [
        (Timer::A, Some(500), None),
        (Timer::B, Some(32_000), Some(32_000)),
        (Timer::C, Some(181_000), Some(181_000)),
        (Timer::D, Some(32_000), Some(0)),
        (Timer::E, Some(500), None),
        (Timer::F, Some(32_000), Some(32_000)),
        (Timer::G, Some(500), None),
        (Timer::H, Some(32_000), Some(32_000)),
        (Timer::I, Some(5_000), Some(0)),
        (Timer::J, Some(32_000), Some(0)),
        (Timer::K, Some(5_000), Some(0)),
        (Timer::L, Some(32_000), Some(32_000)),
        (Timer::M, Some(32_000), Some(32_000)),
        (Timer::N, Some(32_000), Some(32_000)),
        (Timer::Trying, Some(200), Some(200)),
        (Timer::LateTrying, Some(3_500), Some(3_500)),
        (Timer::Unanswered, Some(32_000), Some(32_000)),
    ];
    for (timer, unreliable, reliable) in table {
        assert_eq!(ms(timer, false), unreliable, "{timer:?} unreliable");
        assert_eq!(ms(timer, true), reliable, "{timer:?} reliable");
    }
}

#[test]
fn due_deadlines_come_earliest_first() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut deadlines = Deadlines::default();
    deadlines.set('b', at(20));
    deadlines.set('a', at(10));
    deadlines.set('c', at(90));
    deadlines.set('b', at(30));
    assert_eq!(deadlines.next(), Some(at(10)));
    assert_eq!(deadlines.pop_due(at(50)), Some(('a', at(10))));
    assert_eq!(deadlines.pop_due(at(50)), Some(('b', at(30))));
    assert_eq!(deadlines.pop_due(at(50)), None);
    assert_eq!(deadlines.at('c'), Some(at(90)));
    deadlines.clear('c');
    assert!(deadlines.is_empty());
}
