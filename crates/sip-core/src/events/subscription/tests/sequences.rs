//! Any sequence of legal and illegal events keeps the rules after every step, and ends.

use std::collections::HashMap;

use proptest::prelude::*;
use sip_message::validate_request;

use super::*;
use crate::dispatch::OwnerKey;

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
    Strange(usize),
    Fail,
    Unresolved(bool),
    Wait(u64),
}

/// What is wrong with a NOTIFY: a header, and what stands there instead of it (nothing for empty).
const FAULTS: &[(&str, &str)] = &[
    ("Call-ID", "somebody-else"),
    ("To", "<sip:alice@example.com>;tag=of-another"),
    ("To", "<sip:alice@example.com>"),
    ("From", "<sip:bob@example.com>"),
    ("Event", "moon"),
    ("Event", "dialog;id=7"),
    ("Event", ""),
    ("Subscription-State", ""),
    ("Subscription-State", "waiting;expires=5"),
    ("Subscription-State", "active;expires=99999999999999999999"),
    ("CSeq", "0 NOTIFY"),
    ("CSeq", "1 SUBSCRIBE"),
    ("Contact", "nowhere"),
    ("Contact", ""),
    ("Content-Type", "text/html"),
    ("Content-Encoding", "gzip"),
    ("Require", "moon"),
];

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
        2 => (0..FAULTS.len()).prop_map(Step::Strange),
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

/// What holds after every step, looked at in what is new.
#[derive(Default)]
struct Rules {
    /// How many messages and events were looked at.
    sent: usize,
    events: usize,
    /// The number of each request, by its branch.
    numbers: HashMap<String, u32>,
    /// The highest number in each dialog, by the notifier's tag; before there is one, of those that are to make one.
    highest: HashMap<(OwnerKey, Option<String>), u32>,
    /// Where the owner was told that messages would come.
    keys: Vec<OwnerKey>,
    subscribed: usize,
}

impl Rules {
    fn check(&mut self, bench: &Bench) -> Result<(), TestCaseError> {
        for event in bench.events.get(self.events..).unwrap_or_default() {
            if let SubscriptionEvent::NewKey(key) = event {
                self.keys.push(key.clone());
            }
        }
        for request in bench.sent.get(self.sent..).unwrap_or_default() {
            let headers = &request.headers;
            prop_assert_eq!(validate_request(request), Ok(()));
            prop_assert_eq!(&request.method, &Method::Subscribe);
            // The notifier's NOTIFYs find us by these two (RFC 6665 §4.4.1), so the owner was told of them.
            let from = headers.from().unwrap();
            let key = OwnerKey {
                call_id: headers.get(HeaderName::CallId).unwrap().to_owned(),
                local_tag: from.tag().unwrap().to_owned(),
            };
            prop_assert!(self.keys.contains(&key));
            // RFC 6665 §3.1.1 and §4.1.2.1: it always says for how long, where to, and of what.
            prop_assert!(headers.expires().is_ok());
            prop_assert!(headers.contact().is_ok());
            prop_assert_eq!(headers.get(HeaderName::Event), Some("dialog"));
            // RFC 3261 §12.2.1.1: in each dialog a new one has a higher number; a repeat is the same.
            let branch = headers.via_top().unwrap().branch().unwrap().to_owned();
            let number = headers.cseq().unwrap().number;
            if let Some(first) = self.numbers.insert(branch, number) {
                prop_assert_eq!(first, number);
                continue;
            }
            let to = headers.to().unwrap();
            let dialog = (key, to.tag().map(str::to_owned));
            let before = self.highest.insert(dialog, number);
            prop_assert!(before.is_none_or(|before| before < number));
        }
        self.sent = bench.sent.len();
        // One end for each wish, and what has ended does not stand.
        let ends = bench.count(|event| matches!(event, SubscriptionEvent::Ended(_)));
        prop_assert!(ends <= self.subscribed, "{} ends", ends);
        if let Some(SubscriptionEvent::Ended(_)) =
            bench.events.get(self.events..).and_then(<[_]>::last)
        {
            prop_assert!(!bench.subscription.is_standing());
        }
        self.events = bench.events.len();
        // Nothing waits for ever: what is not over has a time at which it goes on by itself.
        prop_assert!(bench.deadline.is_some() || bench.subscription.is_drained());
        prop_assert!(!bench.subscription.is_standing() || bench.deadline.is_some());
        Ok(())
    }
}

/// A NOTIFY with something wrong in it.
fn strange(bench: &mut Bench, fault: usize) -> Request {
    bench.cseq += 1;
    let mut notify = bench.notification("n1", "active;expires=60", bench.cseq);
    let (name, value) = FAULTS[fault];
    match value {
        "" => {
            notify.headers.remove(HeaderName::from(name));
        }
        value => notify.headers.set(name, value),
    }
    notify
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
        let mut rules = Rules {
            keys: vec![bench.subscription.owner_key()],
            ..Rules::default()
        };
        let mut before = 0;
        for step in steps {
            let sent = !bench.sent.is_empty();
            match step {
                Step::Subscribe => { rules.subscribed += 1; bench.subscribe(); }
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
                    prop_assert_eq!(bench.answers.len(), 1, "each request has one answer");
                }
                Step::Strange(fault) => {
                    let notify = strange(&mut bench, fault);
                    let events = bench.notified();
                    let code = bench.deliver(&notify);
                    prop_assert_eq!(bench.answers.len(), 1, "each request has one answer");
                    prop_assert!(code == 200 || bench.notified() == events, "what is refused is not told");
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
            rules.check(&bench)?;
        }
        bench.unsubscribe();
        // A SUBSCRIBE may be on its way, its NOTIFY awaited, the un-SUBSCRIBE and its NOTIFY after it.
        bench.wait(s(5 * 64));
        prop_assert!(bench.subscription.is_drained());
        prop_assert!(!bench.subscription.is_standing());
        prop_assert_eq!(bench.deadline, None);
        let ends = bench.count(|event| matches!(event, SubscriptionEvent::Ended(_)));
        prop_assert_eq!(ends > 0, rules.subscribed > 0);
        rules.check(&bench)?;
    }
}
