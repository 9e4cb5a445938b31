//! When things are renewed.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Response, StatusCode};

use super::{Backoff, Due, Refresher, is_for_good};
use crate::tokens::{Seed, Tokens};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn refresher() -> (Refresher, Tokens, Instant) {
    (
        Refresher::new(s(600), Backoff::default()),
        Tokens::new(&Seed::from_number(1)),
        Instant::now(),
    )
}

fn too_brief(minimum: &str) -> Response {
    let mut response = Response::new(StatusCode::INTERVAL_TOO_BRIEF);
    response.headers.push(HeaderName::MinExpires, minimum);
    response
}

#[test]
fn the_renewal_comes_before_the_end_of_any_grant() {
    let (mut refresher, mut tokens, now) = refresher();
    for granted in [1, 2, 60, 3600, 86_400] {
        let refresh_in = refresher.granted(now, s(granted), &mut tokens);
        assert!(refresh_in < s(granted), "{granted}");
        assert!(refresh_in >= s(granted).mul_f64(0.8), "{granted}");
        assert_eq!(refresher.deadline(), Some(now + refresh_in));
        assert_eq!(refresher.pop_due(now + s(granted)), Some(Due::Refresh));
        assert_eq!(refresher.pop_due(now + s(granted)), Some(Due::Expiry));
        assert_eq!(refresher.pop_due(now + s(granted)), None);
    }
}

#[test]
fn a_grant_of_thirty_years_is_renewed_within_a_day_and_one_of_nothing_not_in_a_loop() {
    let (mut refresher, mut tokens, now) = refresher();
    for granted in [30 * 365 * 86_400, u64::from(u32::MAX)] {
        let refresh_in = refresher.granted(now, s(granted), &mut tokens);
        assert!(refresh_in <= s(86_400));
        assert_eq!(refresher.expires_at(), Some(now + s(granted)));
    }
    assert!(refresher.granted(now, Duration::ZERO, &mut tokens) >= Duration::from_millis(500));
    // A time that no clock reaches does not panic.
    assert!(refresher.granted(now, Duration::MAX, &mut tokens) <= s(86_400));
    assert_eq!(refresher.expires_at(), None);
}

#[test]
fn min_expires_is_followed_once_per_operation() {
    let (mut refresher, mut tokens, now) = refresher();
    refresher.begin();
    assert!(refresher.raise(&too_brief("1800")));
    assert_eq!(refresher.asked(), s(1800));
    assert!(!refresher.raise(&too_brief("3600")));
    refresher.granted(now, s(1800), &mut tokens);
    refresher.begin();
    assert!(refresher.raise(&too_brief("3600")));
    for senseless in ["60", "3600", "999999999", "soon", "-1"] {
        refresher.begin();
        assert!(!refresher.raise(&too_brief(senseless)), "{senseless}");
    }
}

#[test]
fn waits_follow_rfc_5626_section_4_5() {
    let mut tokens = Tokens::new(&Seed::from_number(3));
    for (backoff, base) in [
        (Backoff::ALL_FLOWS_FAILED, 30),
        (Backoff::ANOTHER_FLOW_WORKS, 90),
    ] {
        for failures in 0..40 {
            // W = min(max-time, base-time · 2^consecutive-failures), the first failure counted.
            let upper = s(base << (failures + 1).min(20)).min(s(1800));
            let wait = backoff.wait(failures, &mut tokens);
            assert!(wait >= upper / 2 && wait <= upper, "{failures}: {wait:?}");
        }
    }
}

#[test]
fn a_wait_is_never_shorter_than_the_server_asked_nor_longer_than_an_hour_and_a_bit() {
    let (mut refresher, mut tokens, now) = refresher();
    let wait = refresher.failed(now, Some(s(120)), &mut tokens);
    assert!((s(120)..s(133)).contains(&wait));
    let wait = refresher.failed(now, Some(s(u64::from(u32::MAX))), &mut tokens);
    assert!(wait <= s(3960));
    assert_eq!(refresher.pop_due(now + wait), Some(Due::Retry));
}

#[test]
fn only_the_present_is_tried_again() {
    for (code, for_good) in [
        (403, true),
        (489, true),
        (503, false),
        (480, false),
        (501, true),
    ] {
        assert_eq!(
            is_for_good(StatusCode::new(code).unwrap()),
            for_good,
            "{code}"
        );
    }
}
