use std::net::Ipv4Addr;

use super::strangers::{SETS, WAYS};
use super::*;

const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const QUIET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));

/// So many messages of `octets` evenly within a second: how many pass.
fn pass(guard: &Guard, source: IpAddr, octets: usize, start: Instant) -> usize {
    (0..100_000_u64)
        .filter(|i| {
            let now = start + Duration::from_micros(i * 10);
            guard.admit(source, octets, now).is_some()
        })
        .count()
}

#[test]
fn a_flood_is_cut_to_the_rate_and_others_do_not_notice() {
    let start = Instant::now();
    let guard = Guard::new(start);
    guard.know_server(SERVER, start);
    let passed = pass(&guard, FLOOD, 100, start);
    assert!(
        (1_190..=1_210).contains(&passed),
        "burst and one second's rate of a stranger, got {passed}"
    );
    let later = start + Duration::from_secs(1);
    assert_eq!(guard.admit(QUIET, 100, later), Some(Standing::Stranger));
    assert_eq!(guard.admit(SERVER, 100, later), Some(Standing::Server));
    let mut traffic = Traffic::default();
    guard.fill_in(&mut traffic, later, Timestamp(5_000));
    assert_eq!(traffic.limited, 100_000 - passed as u64);
    let [worst] = traffic.sources.as_slice() else {
        panic!("{:?}", traffic.sources)
    };
    assert_eq!(worst.address, FLOOD.to_string());
    assert_eq!(worst.dropped, traffic.limited);
}

#[test]
fn large_messages_count_more_than_small_ones() {
    let start = Instant::now();
    let guard = Guard::new(start);
    let passed = pass(&guard, FLOOD, 64 * 1024 - 1, start);
    assert_eq!(passed, 37, "1,200 messages of two kilobytes");
}

#[test]
fn a_peer_may_send_more_and_is_forgotten_when_nothing_goes_there_any_more() {
    let start = Instant::now();
    let guard = Guard::new(start);
    guard.know_peer(FLOOD, start);
    let passed = pass(&guard, FLOOD, 100, start);
    assert!((5_900..=6_100).contains(&passed), "got {passed}");
    let end = start + PEER_LIFE;
    assert_eq!(guard.standing(FLOOD, end), Standing::Stranger);
    guard.know_peer(FLOOD, end);
    assert_eq!(guard.standing(FLOOD, end), Standing::Peer);
}

#[test]
fn who_is_known_stays_known_by_answers_and_nobody_becomes_known_by_them() {
    let start = Instant::now();
    let guard = Guard::new(start);
    guard.renew_peer(FLOOD, start);
    assert_eq!(guard.standing(FLOOD, start), Standing::Stranger);
    // A call by a peer that asks something of us every five minutes, as a session that it refreshes (RFC 4028 §10).
    guard.know_peer(QUIET, start);
    let mut now = start;
    for _ in 0..10 {
        now += Duration::from_secs(300);
        guard.renew_peer(QUIET, now);
        assert_eq!(guard.standing(QUIET, now), Standing::Peer);
    }
    let end = now + PEER_LIFE;
    assert_eq!(guard.standing(QUIET, end), Standing::Stranger);
    guard.renew_peer(QUIET, end);
    assert_eq!(guard.standing(QUIET, end), Standing::Stranger, "too late");
}

#[test]
fn a_flood_from_everywhere_is_cut_too_and_takes_nothing_from_servers() {
    let start = Instant::now();
    let guard = Guard::new(start);
    guard.know_server(SERVER, start);
    let somewhere = |i: u32| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + i));
    let passed = (0..100_000)
        .filter(|i| guard.admit(somewhere(*i), 100, start).is_some())
        .count();
    assert_eq!(
        passed, 2_500,
        "what all strangers together may send at once, but for the share of those who come again"
    );
    assert_eq!(guard.admit(SERVER, 100, start), Some(Standing::Server));
    let later = start + Duration::from_secs(1);
    assert!(guard.admit(QUIET, 100, later).is_some(), "and it passes");
    let answered = (0..100_000)
        .filter(|i| guard.may_answer(somewhere(*i), false, start))
        .count();
    assert!(answered <= 400, "{answered}");
}

#[test]
fn tables_and_rooms_are_bounded() {
    let start = Instant::now();
    let guard = Guard::new(start);
    for i in 0..100_000_u32 {
        let source = IpAddr::V4(Ipv4Addr::from(i));
        guard.admit(source, 100, start);
        guard.know_peer(source, start);
        guard.know_server(source, start);
    }
    {
        let table = guard.table();
        assert!(table.strangers.remembered() <= SETS * WAYS);
        assert!(table.peers.len() <= PEERS);
        assert!(table.servers.len() <= SERVERS);
        assert!(table.limited.len() <= TOLD * 2);
    }
    let held: Vec<_> = (0..10_000)
        .map_while(|_| guard.room(Standing::Stranger, 1_000))
        .collect();
    assert_eq!(held.len(), (1 << 20) / (1_000 + OVERHEAD));
    assert!(
        guard.room(Standing::Server, 1_000).is_some(),
        "strangers do not take the room of servers"
    );
    let mut traffic = Traffic::default();
    guard.fill_in(&mut traffic, start, Timestamp(0));
    assert_eq!(traffic.no_room, 1);
    drop(held);
    assert!(guard.room(Standing::Stranger, 1_000).is_some());
}

#[test]
fn a_stranger_gets_an_answer_now_and_then() {
    let start = Instant::now();
    let guard = Guard::new(start);
    let answers = |at| {
        (0..1_000)
            .filter(|_| guard.may_answer(FLOOD, false, at))
            .count()
    };
    assert_eq!(answers(start), 20);
    assert_eq!(answers(start + Duration::from_secs(1)), 10);
    assert!(guard.may_answer(QUIET, false, start));
    guard.know_peer(FLOOD, start);
    assert_eq!(answers(start), 1_000, "who is known is answered");
}

#[test]
fn a_scanner_gets_one_cheap_answer() {
    let start = Instant::now();
    let guard = Guard::new(start);
    let hits = |at| {
        (0..1_000)
            .filter(|_| guard.may_answer(FLOOD, true, at))
            .count()
    };
    assert_eq!(hits(start), 1);
    assert_eq!(hits(start + Duration::from_secs(4)), 0);
    assert_eq!(hits(start + Duration::from_secs(6)), 1);
    assert!(
        guard.may_answer(QUIET, true, start),
        "another one gets its own"
    );
    assert!(
        guard.may_answer(FLOOD, false, start),
        "and so does another question"
    );
    guard.know_peer(FLOOD, start);
    assert_eq!(hits(start), 1_000, "who is known is answered");
}

#[test]
fn news_is_asked_for_once() {
    let guard = Guard::new(Instant::now());
    assert!(guard.has_news());
    assert!(!guard.has_news());
    guard.fill_in(&mut Traffic::default(), Instant::now(), Timestamp(0));
    assert!(guard.has_news());
}

#[test]
fn who_is_in_a_call_stays_a_peer_while_a_thousand_others_get_one_answer() {
    let start = Instant::now();
    let guard = Guard::new(start);
    guard.know_peer(QUIET, start);
    let later = start + PEER_NEWS;
    guard.know_peer(QUIET, later);
    for i in 0..10_000_u32 {
        guard.know_peer(Ipv4Addr::from(0x0a00_0000 + i).into(), later + PEER_NEWS);
    }
    assert_eq!(guard.standing(QUIET, later), Standing::Peer);
}

/// Numbers that are the same in each run (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn address(&mut self) -> IpAddr {
        Ipv4Addr::from((self.next() >> 32) as u32).into()
    }
}

/// When an INVITE is sent, in milliseconds (RFC 3261 §17.1.1.2, Timers A and B).
const INVITES_MS: [u64; 7] = [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500];

/// Callers that all call within the same minute of a flood of 20,000 datagrams a second, and none of
/// whom was heard of before: how many INVITEs each needed. The flood has gone on for some time.
fn callers_in_a_flood(mut forged: impl FnMut(u64) -> IpAddr) -> Vec<usize> {
    const EVERY_US: u64 = 50;
    const BEFORE_MS: u64 = 10_000;
    let start = Instant::now();
    let guard = Guard::with_key(Key(4_711), start);
    let mut seeded = Seeded(99);
    let mut invites: Vec<(u64, usize, IpAddr)> = Vec::new();
    for caller in 0..50 {
        let (source, begins_ms) = (seeded.address(), BEFORE_MS + seeded.next() % 20_000);
        invites.extend(INVITES_MS.map(|at_ms| ((begins_ms + at_ms) * 1_000, caller, source)));
    }
    invites.sort();
    let mut invites = invites.into_iter().peekable();
    let mut needed = vec![0; 50];
    let mut is_in = [false; 50];
    for i in 0.. {
        let at_us = i * EVERY_US;
        let now = start + Duration::from_micros(at_us);
        guard.admit(forged(i), 500, now);
        while let Some((_, caller, source)) = invites.next_if(|(due_us, ..)| *due_us <= at_us) {
            // A caller who was let in is answered and sends no more.
            if !is_in[caller] {
                needed[caller] += 1;
                is_in[caller] = guard.admit(source, 900, now).is_some();
            }
        }
        if invites.peek().is_none() {
            break;
        }
    }
    assert!(is_in.iter().all(|is_in| *is_in), "{needed:?}");
    let mut traffic = Traffic::default();
    guard.fill_in(&mut traffic, start, Timestamp(0));
    assert!(traffic.limited > 500_000, "there was a flood: {traffic:?}");
    needed
}

#[test]
fn callers_get_through_a_flood_whose_addresses_are_never_used_again() {
    let mut seeded = Seeded(1);
    let needed = callers_in_a_flood(|_| seeded.address());
    assert!(needed.iter().all(|needed| *needed <= 5), "{needed:?}");
}

#[test]
fn callers_get_through_a_flood_of_a_hundred_thousand_addresses() {
    let mut seeded = Seeded(2);
    let forged: Vec<IpAddr> = (0..100_000).map(|_| seeded.address()).collect();
    let needed = callers_in_a_flood(|i| forged[i as usize % forged.len()]);
    assert!(needed.iter().all(|needed| *needed <= 2), "{needed:?}");
}

#[test]
fn callers_get_through_a_flood_of_all_addresses_of_some_networks() {
    let mut seeded = Seeded(3);
    let needed = callers_in_a_flood(|_| {
        let host = seeded.next() % 100_000;
        Ipv4Addr::from(0x0a00_0000 + host as u32).into()
    });
    assert!(needed.iter().all(|needed| *needed <= 5), "{needed:?}");
}
