//! A registrar that does everything wrong that a registrar can, at any time.

use proptest::prelude::*;

use super::*;

/// What it does with the last REGISTER, or with the time.
#[derive(Clone, Debug)]
enum Step {
    /// 200 with these Contacts.
    Grant(Vec<Listed>, Option<u32>),
    /// 423 with this Min-Expires.
    TooBrief(Option<u32>),
    /// The answer to the one before, once more.
    Again,
    /// An answer to something that was never asked.
    Stray(u16),
    Refuse(u16, Option<u32>),
    Challenge(u8, bool),
    Lose,
    Moved,
    Register,
    Unregister,
    Wait(u64),
}

/// A Contact in its list.
#[derive(Clone, Copy, Debug)]
enum Listed {
    /// Ours, with its time or none.
    Own(Option<u32>),
    /// Ours with the instance of somebody else.
    Stolen,
    Foreign(u32),
    Star,
    Broken,
}

fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0_u32),
        Just(1),
        Just(2),
        2_u32..4_000,
        // Thirty years, and what does not fit anywhere.
        Just(946_080_000),
        Just(u32::MAX),
    ]
}

fn listed() -> impl Strategy<Value = Listed> {
    prop_oneof![
        4 => prop::option::of(seconds()).prop_map(Listed::Own),
        1 => Just(Listed::Stolen),
        2 => seconds().prop_map(Listed::Foreign),
        1 => Just(Listed::Star),
        1 => Just(Listed::Broken),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let contacts = || prop::collection::vec(listed(), 0..6);
    prop_oneof![
        6 => (contacts(), prop::option::of(seconds())).prop_map(|(c, e)| Step::Grant(c, e)),
        3 => prop::option::of(seconds()).prop_map(Step::TooBrief),
        2 => Just(Step::Again),
        1 => (100_u16..700).prop_map(Step::Stray),
        2 => (300_u16..700, prop::option::of(seconds())).prop_map(|(c, r)| Step::Refuse(c, r)),
        1 => (0_u8..3, any::<bool>()).prop_map(|(n, stale)| Step::Challenge(n, stale)),
        1 => Just(Step::Lose),
        1 => Just(Step::Moved),
        2 => Just(Step::Register),
        1 => Just(Step::Unregister),
        6 => (0_u64..200).prop_map(Step::Wait),
    ]
}

impl Bench {
    fn contact_values(&self, listed: &[Listed]) -> Vec<(HeaderName, String)> {
        let own = self
            .contacts()
            .last()
            .map_or("sip:x@y".to_owned(), |c| c.uri.to_string());
        let value = |listed: &Listed| match listed {
            Listed::Own(Some(seconds)) => format!("<{own}>;expires={seconds}"),
            Listed::Own(None) => format!("<{own}>"),
            Listed::Stolen => format!("<{own}>;expires=600;+sip.instance=\"<urn:uuid:0>\""),
            Listed::Foreign(seconds) => format!("<sip:other@192.0.2.77>;expires={seconds}"),
            Listed::Star => "*".to_owned(),
            Listed::Broken => "<sip:;;;>;expires=many".to_owned(),
        };
        let values = listed.iter().map(value);
        values.map(|value| (HeaderName::Contact, value)).collect()
    }

    /// One step, and everything that has to be true after it.
    fn suffer(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let before = (self.sent.len(), self.now);
        let asked = !self.sent.is_empty();
        match step {
            Step::Register => self.register(),
            Step::Unregister => self.unregister(),
            Step::Lose => self.lose(FLOW),
            Step::Moved => self.moved(),
            Step::Wait(seconds) => self.wait(s(*seconds)),
            Step::Grant(listed, expires) if asked => {
                let mut headers = self.contact_values(listed);
                if let Some(expires) = expires {
                    headers.push((HeaderName::Expires, expires.to_string()));
                }
                self.reply(200, &headers, None);
            }
            Step::TooBrief(minimum) if asked => {
                let minimum = minimum.map(|minimum| (HeaderName::MinExpires, minimum.to_string()));
                self.reply(423, minimum.as_slice(), None);
            }
            Step::Refuse(code, retry) if asked => {
                let retry = retry.map(|retry| (HeaderName::RetryAfter, retry.to_string()));
                self.reply(*code, retry.as_slice(), None);
            }
            Step::Challenge(nonce, stale) if asked => {
                let text = challenge(&nonce.to_string(), *stale);
                self.answer(401, &[(HeaderName::WwwAuthenticate, &text)]);
            }
            Step::Again if self.sent.len() > 1 => {
                let last = self.sent.pop().expect("there are two");
                self.grant(60);
                self.sent.push(last);
            }
            Step::Stray(code) if asked => {
                let mut request = self.last().clone();
                let mut via = request.headers.via_top().expect("it has one");
                via.params.set("branch", "z9hG4bKnever".to_owned());
                request.headers.set(HeaderName::Via, via);
                let status = StatusCode::new(*code).expect("it is in range");
                let response = stateless::response(&request, status, Some("reg"));
                let inbound = Inbound {
                    flow: FLOW,
                    path: udp(),
                };
                self.registration
                    .handle_response(self.now, &response, &inbound);
                self.settle();
            }
            _ => {}
        }
        let took = self.now.saturating_duration_since(before.1).as_secs();
        let sent = self.sent.len() - before.0;
        // An answer makes one request or two. While time passes a registrar that grants a second can
        // make us ask again, and one that is silent is asked with Timer E; nobody makes us flood it.
        let most = 4 + usize::try_from(took).unwrap_or(usize::MAX);
        prop_assert!(sent <= most, "{sent} messages in {took} s after {step:?}");
        if let Some(deadline) = self.deadline {
            prop_assert!(deadline >= before.1, "a deadline in the past");
            let far = deadline.saturating_duration_since(self.now);
            prop_assert!(far <= s(2 * 24 * 3600), "it would sleep for {far:?}");
        }
        if self.registration.is_drained() {
            prop_assert!(self.deadline.is_none() || self.registration.is_registered());
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_a_registrar_does_nothing_floods_sleeps_for_ever_or_stays_behind(
        steps in prop::collection::vec(step(), 0..60),
        seed: u64,
    ) {
        let run = |steps: &[Step]| -> Result<Bench, TestCaseError> {
            let mut bench = Bench::seeded(config(), seed);
            bench.register();
            for step in steps {
                bench.suffer(step)?;
            }
            bench.unregister();
            bench.wait(s(64));
            Ok(bench)
        };
        let bench = run(&steps)?;
        prop_assert!(bench.registration.is_drained());
        prop_assert!(!bench.registration.is_registered());
        prop_assert_eq!(bench.deadline, None);
        prop_assert!(bench.events.iter().rev().any(is_unregistered));
        // Same seed and same inputs, same bytes.
        let again = run(&steps)?;
        let bytes = |bench: &Bench| -> Vec<Vec<u8>> {
            bench.sent.iter().map(|(_, request)| request.to_bytes()).collect()
        };
        prop_assert_eq!(bytes(&bench), bytes(&again));
    }
}
