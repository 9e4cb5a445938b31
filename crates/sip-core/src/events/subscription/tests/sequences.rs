//! Any sequence of events ends.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Subscribe,
    Unsubscribe,
    Refresh,
    Answer(u16),
    Grant(u32),
    TooBrief(u32),
    Notify(u8, u8, u32),
    Late(u8),
    Fail,
    Unresolved(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Subscribe),
        2 => Just(Step::Unsubscribe),
        1 => Just(Step::Refresh),
        2 => (100_u16..700).prop_map(Step::Answer),
        3 => (0_u32..700).prop_map(Step::Grant),
        1 => (0_u32..90_000).prop_map(Step::TooBrief),
        5 => (0_u8..4, 0_u8..9, 0_u32..400).prop_map(|(t, s, e)| Step::Notify(t, s, e)),
        1 => (0_u8..4).prop_map(Step::Late),
        1 => Just(Step::Fail),
        1 => any::<bool>().prop_map(Step::Unresolved),
        2 => (0_u64..1000).prop_map(Step::Wait),
    ]
}

fn state(number: u8, expires: u32) -> String {
    match number {
        0..3 => format!("active;expires={expires}"),
        3 => "active".to_owned(),
        4 => format!("pending;expires={expires}"),
        5 => format!("terminated;reason=probation;retry-after={expires}"),
        6 => "terminated;reason=deactivated".to_owned(),
        7 => "terminated;reason=rejected".to_owned(),
        _ => "terminated".to_owned(),
    }
}

proptest! {
    #[test]
    fn after_any_sequence_and_unsubscribing_nothing_runs_any_more(
        steps in proptest::collection::vec(step(), 0..60),
        seed: u64,
        all: bool,
        poll in 0_u8..4,
    ) {
        let mut bench = Bench::seeded(SubscriptionConfig {
            forks: if all { Forks::All } else { Forks::First },
            expires: if poll == 0 { Duration::ZERO } else { s(600) },
            ..config()
        }, seed);
        let mut subscribed = false;
        let mut before = 0;
        for step in steps {
            let sent = !bench.sent.is_empty();
            match step {
                Step::Subscribe => { subscribed = true; bench.subscribe(); }
                Step::Unsubscribe => bench.unsubscribe(),
                Step::Refresh => {
                    bench.subscription.refresh(bench.now);
                    bench.settle();
                }
                Step::Answer(code) if sent => bench.answer(code, &[]),
                Step::Grant(seconds) if sent => bench.grant(seconds),
                Step::TooBrief(seconds) if sent => {
                    bench.answer(423, &[(HeaderName::MinExpires, &seconds.to_string())]);
                }
                Step::Notify(tag, number, expires) => {
                    bench.notify(&format!("n{tag}"), &state(number, expires));
                }
                Step::Late(tag) => {
                    let notify = bench.notification(&format!("n{tag}"), "active", 1);
                    bench.deliver(&notify);
                }
                Step::Fail if sent => {
                    let branch = bench.last().headers.via_top().unwrap();
                    let branch = branch.branch().unwrap().to_owned();
                    bench.subscription.handle_transport_error(bench.now, &branch, TransportError::Closed);
                    bench.settle();
                }
                Step::Unresolved(bad) => {
                    bench.paths = if bad { Err(ResolveError::NoAnswer) } else { Ok(vec![path("192.0.2.1:5060")]) };
                }
                Step::Wait(seconds) => bench.wait(s(seconds)),
                Step::Answer(_) | Step::Grant(_) | Step::TooBrief(_) | Step::Fail => {}
            }
            // No input makes more than a handful of messages, but for repeats while time passes.
            prop_assert!(bench.sent.len() - before < 3000, "{}", bench.sent.len() - before);
            before = bench.sent.len();
        }
        bench.unsubscribe();
        // A SUBSCRIBE may be on its way, its NOTIFY awaited, the un-SUBSCRIBE and its NOTIFY after it.
        bench.wait(s(5 * 64));
        prop_assert!(bench.subscription.is_drained());
        prop_assert!(!bench.subscription.is_standing());
        prop_assert_eq!(bench.deadline, None);
        let ends = bench.count(|event| matches!(event, SubscriptionEvent::Ended(_)));
        prop_assert_eq!(ends > 0, subscribed);
    }
}
