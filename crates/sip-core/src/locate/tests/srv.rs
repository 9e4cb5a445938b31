//! RFC 2782: priority, weight, and what is not there.

use std::collections::HashMap;

use super::{Zone, find, find_with};
use crate::locate::Outcome;
use crate::locate::{LocateConfig, RecordKind};
use crate::path::ResolveError;

const NAME: &str = "_sip._udp.example.com";

fn hosts(zone: Zone, count: u16) -> Zone {
    (1..=count).fold(zone, |zone, n| {
        zone.host(
            &format!("h{n}.example.com"),
            &format!("192.0.{}.{}", n >> 8, n & 255),
        )
    })
}

#[test]
fn rfc2782_lower_priorities_come_first() {
    let zone = hosts(Zone::default(), 3)
        .srv(NAME, 30, 100, 5060, "h3.example.com")
        .srv(NAME, 10, 0, 5060, "h1.example.com")
        .srv(NAME, 20, 50, 5060, "h2.example.com");
    for seed in 0..50 {
        let found = find_with("sip:example.com", &zone, LocateConfig::default(), seed);
        assert_eq!(
            found.targets(),
            [
                "udp:192.0.0.1:5060",
                "udp:192.0.0.2:5060",
                "udp:192.0.0.3:5060"
            ]
        );
    }
}

/// How often each came first, and came second, in so many draws.
fn draws(weights: &[u16], count: u64) -> [HashMap<String, u64>; 2] {
    let zone = weights
        .iter()
        .zip(1..)
        .fold(hosts(Zone::default(), 9), |zone, (weight, n)| {
            zone.srv(NAME, 0, *weight, 5060, &format!("h{n}.example.com"))
        });
    let mut places = [HashMap::new(), HashMap::new()];
    for seed in 0..count {
        let found = find_with("sip:example.com", &zone, LocateConfig::default(), seed);
        assert_eq!(
            found.targets().len(),
            weights.len(),
            "all of them are tried in the end"
        );
        for (place, target) in places.iter_mut().zip(found.targets()) {
            *place.entry(target).or_insert(0) += 1;
        }
    }
    places
}

#[test]
fn rfc2782_weights_are_shares_of_the_load() {
    // Expected 6000, 3000, 1000 of 10000, a little less for the first numbers drawn; four standard
    // deviations are at most 200.
    let [first, second] = draws(&[60, 30, 10], 10_000);
    let share = |place: &HashMap<String, u64>, n: u32| {
        place
            .get(&format!("udp:192.0.0.{n}:5060"))
            .copied()
            .unwrap_or(0)
    };
    for (n, expected) in [(1, 6000_i64), (2, 3000), (3, 1000)] {
        let seen = share(&first, n) as i64;
        assert!((seen - expected).abs() < 200, "h{n} was first {seen} times");
    }
    // The second is drawn among the rest in the same way: h2 after h1 in 30 of 40, after h3 in 30
    // of 90: 0.6·0.75 + 0.1·0.333 = 0.483.
    let seen = share(&second, 2) as i64;
    assert!((seen - 4833).abs() < 200, "h2 was second {seen} times");
}

#[test]
fn rfc2782_weight_zero_has_a_very_small_chance() {
    let [first, _] = draws(&[100, 0, 100], 4_000);
    let zero = first.get("udp:192.0.0.2:5060").copied().unwrap_or(0);
    // One in 201: 20 of 4000.
    assert!((1..60).contains(&zero), "{zero}");
}

#[test]
fn equal_servers_without_weights_share_evenly() {
    let [first, _] = draws(&[0, 0, 0, 0], 4_000);
    assert_eq!(first.len(), 4);
    assert!(first.values().all(|n| (850..1150).contains(n)), "{first:?}");
}

#[test]
fn rfc2782_a_lone_dot_means_there_is_no_such_service() {
    let zone = Zone::default()
        .srv(NAME, 0, 0, 0, ".")
        .host("example.com", "192.0.2.1");
    // UDP is said to be missing, TCP is not.
    let found = find("sip:example.com", &zone);
    assert_eq!(found.targets(), ["tcp:192.0.2.1:5060"]);
    assert_eq!(
        found.notices,
        ["_sip._udp.example.com is said not to exist"]
    );
    let found = find("sip:example.com;transport=udp", &zone);
    let nothing = ResolveError::Unusable("example.com says that it has no such service".to_owned());
    assert_eq!(found.result, Err(nothing.clone()));
    assert!(!found.asked.iter().any(|asked| asked.starts_with("A ")));
    let zone = zone.srv("_sip._tcp.example.com", 0, 0, 0, ".");
    assert_eq!(find("sip:example.com", &zone).result, Err(nothing));
}

#[test]
fn hosts_of_which_nothing_is_known_do_not_fall_back_to_the_domain() {
    let zone = Zone::default()
        .srv(NAME, 0, 0, 5060, "gone.example.com")
        .host("example.com", "192.0.2.1");
    assert!(matches!(
        find("sip:example.com", &zone).result,
        Err(ResolveError::NotFound(_))
    ));
}

#[test]
fn one_host_without_addresses_leaves_the_others() {
    let zone = hosts(Zone::default(), 1)
        .srv(NAME, 0, 0, 5060, "gone.example.com")
        .srv(NAME, 1, 0, 5060, "h1.example.com")
        .fails(RecordKind::A, "gone.example.com", Outcome::ServerFailed);
    assert_eq!(
        find("sip:example.com", &zone).targets(),
        ["udp:192.0.0.1:5060"]
    );
}

#[test]
fn srv_and_naptr_that_name_the_same_place_twice_give_it_once() {
    let zone = hosts(Zone::default(), 1)
        .srv(NAME, 0, 0, 5060, "h1.example.com")
        .srv(NAME, 1, 0, 5060, "H1.example.com.")
        .host("h2.example.com", "192.0.0.1")
        .srv(NAME, 2, 0, 5060, "h2.example.com");
    let found = find("sip:example.com", &zone);
    assert_eq!(found.targets(), ["udp:192.0.0.1:5060"]);
    assert_eq!(
        found
            .asked
            .iter()
            .filter(|asked| *asked == "A h1.example.com")
            .count(),
        1
    );
}

#[test]
fn an_address_in_place_of_a_host_is_used_and_told() {
    let zone = Zone::default().srv(NAME, 0, 0, 5060, "192.0.2.5");
    let found = find("sip:example.com", &zone);
    assert_eq!(found.targets(), ["udp:192.0.2.5:5060"]);
    assert_eq!(
        found.notices,
        ["an SRV record names an address and no host: 192.0.2.5"]
    );
}

#[test]
fn an_answer_with_more_than_forty_targets_is_cut_and_told() {
    let zone = (0..60).fold(
        Zone::default().srv(NAME, 0, 0, 5060, "big.example.com"),
        |zone, n| zone.host("big.example.com", &format!("192.0.2.{}", n + 1)),
    );
    let found = find("sip:example.com", &zone);
    assert_eq!(found.targets().len(), 40);
    assert_eq!(
        found.notices,
        ["sip:example.com: 40 servers are used and 20 more are not"]
    );
    // Sixty hosts with an address each: the questions end first.
    let zone = (1..=60).fold(hosts(Zone::default(), 60), |zone, n| {
        zone.srv(NAME, n, 0, 5060, &format!("h{n}.example.com"))
    });
    let found = find("sip:example.com", &zone);
    assert_eq!(found.asked.len(), 32);
    assert_eq!(found.targets().len(), 14);
    assert_eq!(
        found.notices,
        ["sip:example.com: after 32 questions to name servers no more are asked"]
    );
}
