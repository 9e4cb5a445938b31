//! Rests, fail-back and affinity in virtual time.

use std::time::{Duration, Instant};

use sip_message::StatusCode;

use crate::locate::{Fault, RestTimes, Server, Target, TargetState, Targets, Why};
use crate::path::{Transport, TransportError};

const S: Duration = Duration::from_secs(1);
/// The answer that shows no more than that somebody is there.
const CHALLENGE: StatusCode = StatusCode::UNAUTHORIZED;

fn target(n: u16, priority: u16) -> Target {
    Target {
        transport: Transport::Udp,
        addr: format!("192.0.2.{n}:5060").parse().unwrap(),
        host: format!("h{n}.example.com"),
        service: 0,
        priority,
        weight: 0,
    }
}

fn three() -> Vec<Target> {
    vec![target(1, 10), target(2, 20), target(3, 30)]
}

fn server(n: u16) -> Server {
    target(n, 0).server()
}

fn order(targets: &Targets, now: Instant, home: Option<u16>) -> Vec<u8> {
    targets
        .in_order(now, &three(), home.map(server))
        .iter()
        .map(|target| match target.addr.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        })
        .collect()
}

#[test]
fn a_failed_target_rests_and_is_tried_again_after_its_rest() {
    let start = Instant::now();
    let mut targets = Targets::default();
    assert_eq!(order(&targets, start, None), [1, 2, 3]);
    targets.failed(start, server(1), &Fault::Silence);
    assert_eq!(order(&targets, start, None), [2, 3]);
    assert_eq!(targets.next_awake(start, &three()), Some(start + 30 * S));
    assert_eq!(order(&targets, start + 29 * S, None), [2, 3]);
    assert_eq!(order(&targets, start + 30 * S, None), [1, 2, 3]);
    assert_eq!(targets.next_awake(start + 30 * S, &three()), None);
}

#[test]
fn case_31_silence_refusal_and_503_each_lead_to_the_next_and_poison_nothing() {
    let start = Instant::now();
    let faults = [
        Fault::Silence,
        Fault::Transport(TransportError::Refused),
        Fault::Transport(TransportError::Unreachable),
        Fault::Unavailable { retry_after: None },
    ];
    for fault in faults {
        let mut targets = Targets::default();
        targets.failed(start, server(1), &fault);
        // RFC 3263 §4.3: the next one, and the others in their places.
        assert_eq!(order(&targets, start, None), [2, 3], "{fault:?}");
        // Not removed: it is listed, as one that rests and why.
        let listing = targets.listing(start, &three(), None);
        let resting: Vec<_> = listing
            .iter()
            .filter(|l| matches!(l.state, TargetState::Resting { .. }))
            .collect();
        assert_eq!((listing.len(), resting.len()), (3, 1), "{fault:?}");
        // What failed once is the first again when its rest is over, as if nothing had been.
        assert_eq!(
            order(&targets, start + 30 * S, None),
            [1, 2, 3],
            "{fault:?}"
        );
        // And where all have failed somebody is tried all the same.
        for n in [2, 3] {
            targets.failed(start + S, server(n), &fault);
        }
        assert_eq!(order(&targets, start + 2 * S, None).len(), 1, "{fault:?}");
    }
}

#[test]
fn rests_double_with_each_failure_in_a_row_up_to_the_longest() {
    let mut now = Instant::now();
    let mut targets = Targets::new(RestTimes::default());
    let mut rests = Vec::new();
    for _ in 0..7 {
        targets.failed(now, server(1), &Fault::Silence);
        let until = targets.next_awake(now, &three()).unwrap();
        rests.push(until.duration_since(now).as_secs());
        now = until;
    }
    assert_eq!(rests, [30, 60, 120, 240, 480, 600, 600]);
    // One answer, and it starts again.
    targets.worked(now, server(1));
    targets.failed(now, server(1), &Fault::Silence);
    assert_eq!(targets.next_awake(now, &three()), Some(now + 30 * S));
}

#[test]
fn any_answer_ends_a_rest_and_shows_in_the_list() {
    let start = Instant::now();
    let mut targets = Targets::default();
    assert!(
        targets.answered(start, server(2), CHALLENGE),
        "the first is news"
    );
    assert!(
        !targets.answered(start, server(2), CHALLENGE),
        "the next is none"
    );
    let faults = [
        Fault::Silence,
        Fault::Transport(TransportError::Refused),
        Fault::Unavailable { retry_after: None },
    ];
    for fault in faults {
        targets.failed(start, server(1), &fault);
        assert_eq!(order(&targets, start + S, None), [2, 3], "{fault:?}");
        assert!(
            targets.answered(start + 2 * S, server(1), CHALLENGE),
            "{fault:?}"
        );
        assert_eq!(order(&targets, start + 2 * S, None), [1, 2, 3], "{fault:?}");
        let listing = targets.listing(start + 3 * S, &three(), None);
        let line = (&listing[0].state, listing[0].since, &listing[0].why);
        let since = Some(start + 2 * S);
        assert_eq!(line, (&TargetState::Working, since, &None), "{fault:?}");
        targets.worked(start + 3 * S, server(1));
    }
}

#[test]
fn rfc3261_21_5_4_an_answer_does_not_end_the_time_that_a_server_asked_for() {
    let start = Instant::now();
    let mut targets = Targets::default();
    let fault = |seconds| Fault::Unavailable {
        retry_after: Some(seconds * S),
    };
    targets.failed(start, server(1), &fault(20));
    assert!(!targets.answered(start + 19 * S, server(1), CHALLENGE));
    assert_eq!(order(&targets, start + 19 * S, None), [2, 3]);
    // Its rest would be 30 s long; the time it asked for is over.
    assert!(targets.answered(start + 20 * S, server(1), CHALLENGE));
    assert_eq!(order(&targets, start + 20 * S, None), [1, 2, 3]);
    // A day is longer than any rest, and does not hold after it.
    targets.failed(start, server(3), &fault(86_400));
    assert!(!targets.answered(start + 599 * S, server(3), CHALLENGE));
    assert!(targets.answered(start + 600 * S, server(3), CHALLENGE));
}

#[test]
fn rfc3261_21_5_4_a_server_that_asks_for_a_pause_has_it_and_has_not_failed() {
    let start = Instant::now();
    let mut targets = Targets::default();
    assert!(
        !targets.paused(start, server(1), Duration::ZERO),
        "no time at all"
    );
    assert_eq!(order(&targets, start, None), [1, 2, 3]);
    assert!(targets.paused(start, server(1), 5 * S));
    assert_eq!(order(&targets, start, Some(1)), [2, 3], "not even at home");
    let listing = targets.listing(start, &three(), Some(server(1)));
    let until = start + 5 * S;
    assert_eq!(listing[0].state, TargetState::Resting { until });
    let why = Why::Unavailable {
        retry_after: Some(5 * S),
    };
    assert_eq!(listing[0].why, Some(why));
    // What it answers meanwhile is no end of it, and what it asks for later counts from then.
    assert!(!targets.answered(start + 4 * S, server(1), StatusCode::OK));
    assert!(!targets.paused(start + S, server(1), 4 * S));
    assert!(targets.paused(start + S, server(1), 5 * S));
    assert_eq!(order(&targets, start + 5 * S, None), [2, 3]);
    assert_eq!(order(&targets, start + 6 * S, None), [1, 2, 3]);
    // A day is longer than any rest.
    let later = start + 60 * S;
    assert!(targets.paused(later, server(1), 86_400 * S));
    assert_eq!(targets.next_awake(later, &three()), Some(later + 600 * S));
    // The next failure is the first one in a row.
    let end = later + 600 * S;
    targets.failed(end, server(1), &Fault::Silence);
    assert_eq!(targets.next_awake(end, &three()), Some(end + 30 * S));
    // It cuts no rest short.
    assert!(!targets.paused(end, server(1), 29 * S));
}

#[test]
fn who_challenges_and_then_answers_503_rests_longer_each_time() {
    let mut now = Instant::now();
    let mut targets = Targets::default();
    let mut rests = Vec::new();
    for _ in 0..3 {
        // The 401 before the 503.
        targets.answered(now, server(1), CHALLENGE);
        targets.failed(now, server(1), &Fault::Unavailable { retry_after: None });
        let until = targets.next_awake(now, &three()).unwrap();
        rests.push(until.duration_since(now).as_secs());
        now = until;
    }
    assert_eq!(rests, [30, 60, 120]);
    // A registration that it takes is the end of that.
    targets.answered(now, server(1), CHALLENGE);
    targets.answered(now, server(1), CHALLENGE);
    assert!(!targets.worked(now, server(1)), "it was seen to be there");
    targets.failed(now, server(1), &Fault::Unavailable { retry_after: None });
    assert_eq!(targets.next_awake(now, &three()), Some(now + 30 * S));
}

#[test]
fn who_challenges_and_then_is_silent_rests_longer_each_time() {
    for fault in [Fault::Silence, Fault::Transport(TransportError::Refused)] {
        let mut now = Instant::now();
        let mut targets = Targets::default();
        let mut rests = Vec::new();
        for _ in 0..3 {
            // The 401, and nothing to the request with the login.
            targets.answered(now, server(1), CHALLENGE);
            targets.failed(now, server(1), &fault);
            let until = targets.next_awake(now, &three()).unwrap();
            rests.push(until.duration_since(now).as_secs());
            // A challenge ends the rest, and is no end of its failures in a row.
            assert!(targets.answered(now + S, server(1), CHALLENGE), "{fault:?}");
            now = until;
        }
        assert_eq!(rests, [30, 60, 120], "{fault:?}");
        // What it does well is: any request, a call or a question, also long after its rest.
        targets.answered(now, server(1), StatusCode::OK);
        targets.failed(now, server(1), &fault);
        assert_eq!(targets.next_awake(now, &three()), Some(now + 30 * S));
        assert!(targets.answered(now + S, server(1), StatusCode::OK));
        targets.failed(now + 2 * S, server(1), &fault);
        assert_eq!(
            targets.next_awake(now + 2 * S, &three()),
            Some(now + 32 * S)
        );
    }
}

#[test]
fn requests_under_way_when_a_server_fails_do_not_push_it_further_away() {
    let start = Instant::now();
    let mut targets = Targets::default();
    for second in 0..5 {
        targets.failed(start + second * S, server(1), &Fault::Silence);
    }
    assert_eq!(targets.next_awake(start, &three()), Some(start + 30 * S));
}

#[test]
fn rfc3261_21_5_4_retry_after_lengthens_the_rest_within_reason() {
    let start = Instant::now();
    let rest = |seconds: Option<u64>| {
        let mut targets = Targets::default();
        let retry_after = seconds.map(Duration::from_secs);
        targets.failed(start, server(1), &Fault::Unavailable { retry_after });
        targets
            .next_awake(start, &three())
            .unwrap()
            .duration_since(start)
            .as_secs()
    };
    assert_eq!(rest(None), 30);
    assert_eq!(rest(Some(5)), 30);
    assert_eq!(rest(Some(120)), 120);
    assert_eq!(rest(Some(86_400)), 600);
}

#[test]
fn when_all_rest_the_one_that_wakes_first_is_tried() {
    let start = Instant::now();
    let mut targets = Targets::default();
    let retry_after = Some(90 * S);
    targets.failed(start, server(1), &Fault::Unavailable { retry_after });
    targets.failed(start + S, server(3), &Fault::Silence);
    targets.failed(start + 2 * S, server(2), &Fault::Silence);
    assert_eq!(order(&targets, start + 3 * S, None), [3]);
    assert_eq!(order(&targets, start + 31 * S, None), [3]);
    assert_eq!(order(&targets, start + 32 * S, None), [2, 3]);
}

#[test]
fn a_call_goes_to_the_server_that_took_the_registration_unless_that_rests() {
    let start = Instant::now();
    let mut targets = Targets::default();
    assert_eq!(order(&targets, start, Some(2)), [2, 1, 3]);
    targets.failed(start, server(2), &Fault::Silence);
    assert_eq!(order(&targets, start, Some(2)), [1, 3]);
    assert_eq!(order(&targets, start, Some(9)), [1, 3]);
}

#[test]
fn a_better_server_is_gone_back_to_when_its_rest_is_over() {
    let start = Instant::now();
    let mut targets = Targets::default();
    let better = |targets: &Targets, now, home| targets.better_at(now, &three(), server(home));
    assert_eq!(
        better(&targets, start, 1),
        None,
        "nothing is better than the best"
    );
    targets.failed(start, server(1), &Fault::Silence);
    targets.failed(start + 5 * S, server(2), &Fault::Silence);
    assert_eq!(better(&targets, start + 6 * S, 3), Some(start + 30 * S));
    assert_eq!(better(&targets, start + 31 * S, 3), Some(start + 31 * S));
    assert_eq!(better(&targets, start, 9), None, "a server no longer named");
    // Equals are no better.
    let equals = [target(1, 10), target(2, 10)];
    assert_eq!(targets.better_at(start, &equals, server(2)), None);
}

#[test]
fn only_what_a_server_is_to_blame_for_lets_it_rest() {
    let start = Instant::now();
    let mut targets = Targets::default();
    for error in [TransportError::TooLarge, TransportError::Closed] {
        targets.failed(start, server(1), &Fault::Transport(error));
    }
    assert_eq!(order(&targets, start, None), [1, 2, 3]);
    targets.failed(start, server(1), &Fault::Transport(TransportError::Refused));
    assert_eq!(order(&targets, start, None), [2, 3]);
}

#[test]
fn the_listing_says_what_is_known_of_each() {
    let start = Instant::now();
    let mut targets = Targets::default();
    targets.failed(
        start,
        server(1),
        &Fault::Transport(TransportError::Tls("certificate expired".to_owned())),
    );
    targets.worked(start + S, server(2));
    let now = start + 2 * S;
    let listing = targets.listing(now, &three(), Some(server(2)));
    let states: Vec<_> = listing
        .iter()
        .map(|line| (line.state.clone(), line.since, line.why.clone()))
        .collect();
    assert_eq!(
        states,
        [
            (
                TargetState::Resting {
                    until: start + 30 * S
                },
                Some(start),
                Some(Why::Tls("certificate expired".to_owned()))
            ),
            (TargetState::InUse, Some(start + S), None),
            (TargetState::Untried, None, None),
        ]
    );
    assert_eq!(
        targets.listing(now, &three(), None)[1].state,
        TargetState::Working
    );
    let later = targets.listing(start + 40 * S, &three(), None);
    assert_eq!(later[0].state, TargetState::Untried);
    assert_eq!(
        later[0].why.as_ref().map(ToString::to_string).as_deref(),
        Some("secure connection failed: certificate expired")
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let start = Instant::now();
    let mut targets = Targets::default();
    for n in 0..2000_u32 {
        let addr = format!("10.0.{}.{}:5060", n >> 8, n & 255).parse().unwrap();
        let server = Server {
            transport: Transport::Tcp,
            addr,
        };
        targets.failed(start + n * S, server, &Fault::Silence);
    }
    assert_eq!(targets.len(), 512);
    targets.clear();
    assert!(targets.is_empty());
}
