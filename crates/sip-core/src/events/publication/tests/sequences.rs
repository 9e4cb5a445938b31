//! Any sequence of legal and illegal events keeps the rules after every step, and ends.

use proptest::prelude::*;
use sip_message::{Method, validate_request};

use super::*;
use crate::path::TransportError;

#[derive(Clone, Debug)]
enum Step {
    Publish,
    Remove,
    Answer(u16),
    Done(u8, u32),
    TooBrief(u32),
    Lost(bool),
    Fail,
    Wait(u64),
}

/// What holds after every step, looked at in what is new.
#[derive(Default)]
struct Rules {
    /// How many messages were looked at.
    sent: usize,
    /// The branch and the number of the last new request.
    last: Option<(String, u32)>,
    /// Entity tags that the server gave.
    etags: Vec<String>,
}

impl Rules {
    fn check(&mut self, bench: &Bench) -> Result<(), TestCaseError> {
        let key = bench.publication.owner_key();
        for request in bench.sent.get(self.sent..).unwrap_or_default() {
            let headers = &request.headers;
            prop_assert_eq!(validate_request(request), Ok(()));
            prop_assert_eq!(&request.method, &Method::Publish);
            prop_assert_eq!(headers.get(HeaderName::CallId), Some(key.call_id.as_str()));
            prop_assert_eq!(headers.get(HeaderName::Event), Some("presence"));
            // RFC 3903 §4.1, table 1: what each of the four operations carries.
            let condition = headers.get(HeaderName::SipIfMatch);
            let expires = headers.expires().unwrap();
            match (condition, request.body.is_empty(), expires) {
                (None, false, 1..) | (Some(_), true, _) | (Some(_), false, 1..) => {}
                other => prop_assert!(false, "no operation: {:?}", other),
            }
            // The condition is a tag that the server gave.
            let given = |tag: &str| self.etags.iter().any(|etag| etag == tag);
            prop_assert!(condition.is_none_or(given));
            let branch = headers.via_top().unwrap().branch().unwrap().to_owned();
            let number = headers.cseq().unwrap().number;
            match self.last.as_ref().filter(|(last, _)| *last == branch) {
                Some((_, before)) => prop_assert_eq!(number, *before),
                None => {
                    let before = self.last.as_ref().map(|(_, before)| *before);
                    prop_assert!(before.is_none_or(|before| before < number));
                    self.last = Some((branch, number));
                }
            }
        }
        self.sent = bench.sent.len();
        // Nothing waits for ever, and what the server has is renewed or taken away.
        prop_assert!(bench.deadline.is_some() || bench.publication.is_drained());
        prop_assert!(!bench.publication.is_published() || bench.deadline.is_some());
        Ok(())
    }
}

proptest! {
    #[test]
    fn after_any_sequence_and_a_removal_nothing_runs_any_more(
        steps in proptest::collection::vec(prop_oneof![
            3 => Just(Step::Publish),
            1 => Just(Step::Remove),
            2 => (100_u16..700).prop_map(Step::Answer),
            4 => (any::<u8>(), 0_u32..700).prop_map(|(e, s)| Step::Done(e, s)),
            1 => (0_u32..9000).prop_map(Step::TooBrief),
            1 => any::<bool>().prop_map(Step::Lost),
            1 => Just(Step::Fail),
            2 => (0_u64..1000).prop_map(Step::Wait),
        ], 0..60),
        seed: u64,
    ) {
        let mut bench = Bench::new(seed);
        let mut rules = Rules::default();
        for step in steps {
            let sent = !bench.sent.is_empty();
            match step {
                Step::Publish => bench.publish("open"),
                Step::Remove => bench.remove(),
                Step::Answer(code) if sent => bench.answer(code, &[]),
                Step::Done(etag, seconds) if sent => {
                    rules.etags.push(format!("e{etag}"));
                    bench.done(&format!("e{etag}"), seconds);
                }
                Step::Fail if sent => {
                    let branch = bench.last().headers.via_top().unwrap();
                    let branch = branch.branch().unwrap().to_owned();
                    let closed = TransportError::Closed;
                    bench.publication.handle_transport_error(bench.now, &branch, closed);
                    bench.settle();
                }
                Step::TooBrief(seconds) if sent => {
                    bench.answer(423, &[(HeaderName::MinExpires, &seconds.to_string())]);
                }
                Step::Lost(lost) => bench.lost = lost,
                Step::Wait(seconds) => bench.wait(s(seconds)),
                Step::Answer(_) | Step::Done(..) | Step::TooBrief(_) | Step::Fail => {}
            }
            rules.check(&bench)?;
        }
        bench.remove();
        bench.wait(s(64));
        rules.check(&bench)?;
        prop_assert!(bench.publication.is_drained());
        prop_assert!(!bench.publication.is_published());
        prop_assert_eq!(bench.deadline, None);
        prop_assert!(is_removed(bench.events.last().expect("its end")) || bench.count(is_removed) > 0);
    }
}
