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
