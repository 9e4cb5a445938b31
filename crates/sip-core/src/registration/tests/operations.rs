//! One operation at a time.

use super::*;

#[test]
fn signing_out_waits_for_the_register_on_its_way() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.unregister();
    assert_eq!(bench.sent.len(), 1);
    bench.grant(600);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("0"));
    assert_eq!(bench.contact().params.get("expires"), Some("0"));
    bench.answer(200, &[]);
    assert_eq!(bench.count(is_unregistered), 1);
    assert!(bench.registration.is_drained());
    assert_eq!(bench.deadline, None);
}

#[test]
fn signing_in_while_signing_out_comes_after_it() {
    let mut bench = Bench::registered(config(), 600);
    bench.unregister();
    bench.register();
    assert_eq!(bench.sent.len(), 2);
    bench.answer(200, &[]);
    assert_eq!(bench.sent.len(), 3);
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("600"));
    bench.grant(600);
    assert!(bench.registration.is_registered());
}

#[test]
fn a_second_register_while_one_is_on_its_way_changes_nothing() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.register();
    assert_eq!(bench.sent.len(), 1);
    bench.grant(600);
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn signing_out_ends_whatever_the_registrar_says_or_does_not_say() {
    for code in [Some(200), Some(403), Some(500), None] {
        let mut bench = Bench::registered(config(), 600);
        bench.unregister();
        match code {
            Some(code) => bench.answer(code, &[]),
            None => bench.wait(s(32)),
        }
        assert_eq!(bench.count(is_unregistered), 1, "{code:?}");
        assert!(bench.registration.is_drained(), "{code:?}");
        assert!(!bench.registration.is_registered(), "{code:?}");
        assert_eq!(bench.deadline, None, "{code:?}");
    }
}

#[test]
fn signing_out_before_anything_was_sent_sends_nothing() {
    let mut bench = Bench::new(config());
    bench.registration.register(bench.now);
    bench.drain();
    bench.registration.unregister(bench.now);
    bench.settle();
    assert_eq!(bench.sent.len(), 0);
    assert_eq!(bench.count(is_unregistered), 1);
    assert!(bench.registration.is_drained());
}

#[test]
fn signing_out_stops_a_waiting_retry() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(500, &[]);
    bench.unregister();
    bench.wait(s(10_000));
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(bench.count(is_unregistered), 1);
}
