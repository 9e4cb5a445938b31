//! Any sequence of events ends.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Register,
    Unregister,
    Clear,
    Lose(u64),
    Answer(u16),
    Grant(u32, u16),
    Challenge(u8, bool),
    Fail,
    Unresolved(bool),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Register),
        2 => Just(Event::Unregister),
        1 => Just(Event::Clear),
        1 => (8_u64..11).prop_map(Event::Lose),
        2 => (100_u16..700).prop_map(Event::Answer),
        3 => (0_u32..700, 1_u16..4).prop_map(|(s, p)| Event::Grant(s, p)),
        2 => (0_u8..4, any::<bool>()).prop_map(|(n, stale)| Event::Challenge(n, stale)),
        1 => Just(Event::Fail),
        1 => any::<bool>().prop_map(Event::Unresolved),
        2 => (0_u64..1000).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn after_any_sequence_and_signing_out_nothing_runs_any_more(
        events in proptest::collection::vec(event(), 0..60),
        seed: u64,
    ) {
        let mut bench = Bench::seeded(config(), seed);
        let mut sent_bound = 0;
        for event in events {
            match event {
                Event::Register => bench.register(),
                Event::Unregister => bench.unregister(),
                Event::Clear => {
                    bench.registration.clear_bindings(bench.now);
                    bench.settle();
                }
                Event::Lose(flow) => bench.lose(FlowId(flow)),
                Event::Fail if !bench.sent.is_empty() => bench.fail(TransportError::Closed),
                Event::Answer(code) if !bench.sent.is_empty() => bench.answer(code, &[]),
                Event::Grant(seconds, port) if !bench.sent.is_empty() => {
                    bench.grant_seen(seconds, Some(&format!("198.51.100.7:{port}")));
                }
                Event::Challenge(nonce, stale) if !bench.sent.is_empty() => {
                    let text = challenge(&nonce.to_string(), stale);
                    bench.answer(401, &[(HeaderName::WwwAuthenticate, &text)]);
                }
                Event::Unresolved(bad) => {
                    bench.paths = if bad { Err(ResolveError::NoAnswer) } else { Ok(vec![udp()]) };
                }
                Event::Wait(seconds) => bench.wait(s(seconds)),
                Event::Fail | Event::Answer(_) | Event::Grant(..) | Event::Challenge(..) => {}
            }
            // No timer is left in the past, a binding is renewed by itself, and what is told last of it is true.
            prop_assert!(bench.deadline.is_none_or(|due| due >= bench.now));
            prop_assert!(!bench.registration.is_registered() || bench.deadline.is_some());
            let told = bench.events.iter().rev().find_map(|event| match event {
                RegistrationEvent::Registered(_) => Some(true),
                event if is_unregistered(event) || is_refused(event) => Some(false),
                _ => None,
            });
            prop_assert!(!bench.registration.is_registered() || told == Some(true));
            prop_assert!(!bench.registration.is_drained() || bench.deadline.is_none());
            // No input makes more than a handful of messages, but for repeats while time passes.
            prop_assert!(bench.sent.len() - sent_bound < 600);
            sent_bound = bench.sent.len();
        }
        bench.unregister();
        // A REGISTER may still be on its way, and the un-REGISTER after it.
        bench.wait(s(64));
        prop_assert!(bench.registration.is_drained());
        prop_assert!(!bench.registration.is_registered());
        prop_assert_eq!(bench.deadline, None);
        prop_assert!(bench.events.iter().rev().any(is_unregistered));
    }
}
