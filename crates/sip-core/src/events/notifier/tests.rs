//! A notifier and a subscriber made of requests, in virtual time (RFC 6665 §4.2).

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sip_message::{HeaderName, Message, Request, Response, StatusCode};

use super::{Notifier, NotifierConfig, NotifierEnd, NotifierEvent};
use crate::output::Output;
use crate::path::{Destination, FlowId, Inbound, Path, ResolveId, Transport, TransportError};
use crate::stateless;
use crate::tokens::Seed;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn config() -> NotifierConfig {
    NotifierConfig::new("dialog", "application/dialog-info+xml", "board")
}

fn inbound() -> Inbound {
    Inbound {
        flow: FlowId(7),
        path: Path {
            transport: Transport::Udp,
            remote: "198.51.100.9:1024".parse().unwrap(),
            local: "192.0.2.1:5060".parse().unwrap(),
        },
    }
}

fn subscribe(cseq: u32, tag: &str, expires: &str, change: (&str, &str)) -> Request {
    let text = format!(
        "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{cseq}\r\n\
         From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>{tag}\r\nCall-ID: c\r\n\
         CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:alice@10.0.0.5:40000>\r\nEvent: dialog\r\n{expires}\
         Accept: application/dialog-info+xml\r\n\r\n"
    );
    let text = text.replace(change.0, change.1);
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("it is a request"),
    }
}

struct Bench {
    now: Instant,
    notifier: Notifier,
    sent: Vec<(Destination, Request)>,
    answers: Vec<Response>,
    wanted: Vec<u32>,
    ended: Vec<NotifierEnd>,
    asked: Vec<ResolveId>,
    deadline: Option<Instant>,
    cseq: u32,
}

impl Bench {
    fn accepting(config: NotifierConfig, expires: &str) -> Result<Self, u16> {
        let now = Instant::now();
        let request = subscribe(1, "", expires, ("", ""));
        let notifier = Notifier::accept(now, &request, &inbound(), config, &Seed::from_number(1))
            .map_err(|response| response.status.code())?;
        let mut bench = Self {
            now,
            notifier,
            sent: Vec::new(),
            answers: Vec::new(),
            wanted: Vec::new(),
            ended: Vec::new(),
            asked: Vec::new(),
            deadline: None,
            cseq: 1,
        };
        bench.settle();
        Ok(bench)
    }

    /// One whose first state was told.
    fn standing() -> Self {
        let mut bench = Self::accepting(config(), "Expires: 600\r\n").unwrap();
        bench.give("first");
        bench.answer(200, None);
        bench
    }

    fn settle(&mut self) {
        loop {
            match self.notifier.poll_output() {
                Output::Transmit(transmit) => match Message::parse(&transmit.bytes).unwrap() {
                    Message::Request(request) => self.sent.push((transmit.destination, request)),
                    Message::Response(response) => self.answers.push(response),
                },
                Output::Resolve { id, .. } => self.asked.push(id),
                Output::Event(NotifierEvent::StateWanted { version }) => self.wanted.push(version),
                Output::Event(NotifierEvent::Ended(end)) => self.ended.push(end),
                Output::Event(NotifierEvent::Notice(_)) => {}
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn give(&mut self, state: &str) {
        self.notifier
            .give_state(self.now, state.as_bytes().to_vec());
        self.settle();
    }

    fn change(&mut self) {
        self.notifier.changed(self.now);
        self.settle();
    }

    fn answer(&mut self, code: u16, header: Option<(HeaderName, &str)>) {
        let (_, request) = self.sent.last().expect("a NOTIFY").clone();
        let mut response = stateless::response(&request, StatusCode::new(code).unwrap(), None);
        if let Some((name, value)) = header {
            response.headers.push(name, value);
        }
        self.notifier
            .handle_response(self.now, &response, &inbound());
        self.settle();
    }

    /// A SUBSCRIBE within the dialog; answers the status it got.
    fn refresh(&mut self, expires: &str, change: (&str, &str)) -> u16 {
        self.cseq += 1;
        let tag = format!(";tag={}", self.notifier.owner_key().local_tag);
        let request = subscribe(self.cseq, &tag, expires, change);
        self.deliver(&request)
    }

    fn deliver(&mut self, request: &Request) -> u16 {
        self.answers.clear();
        self.notifier.handle_request(self.now, request, &inbound());
        self.settle();
        self.answers.first().expect("an answer").status.code()
    }

    fn wait(&mut self, wait: Duration) {
        let end = self.now + wait;
        while let Some(next) = self.deadline.filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.notifier.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn state(&self) -> &str {
        let (_, request) = self.sent.last().expect("a NOTIFY");
        request.headers.get(HeaderName::SubscriptionState).unwrap()
    }

    fn body(&self) -> &str {
        std::str::from_utf8(&self.sent.last().expect("a NOTIFY").1.body).unwrap()
    }
}

// ---- RFC 6665 §4.2.1 Processing a SUBSCRIBE ----

#[test]
fn the_answer_names_time_contact_and_tag_and_the_state_follows_at_once() {
    let mut bench = Bench::accepting(config(), "Expires: 600\r\n").unwrap();
    let ok = &bench.answers[0];
    assert_eq!(ok.status, StatusCode::OK);
    assert_eq!(ok.headers.get(HeaderName::Expires), Some("600"));
    assert_eq!(
        ok.headers.get(HeaderName::Contact),
        Some("<sip:board@192.0.2.1:5060>")
    );
    let tag = bench.notifier.owner_key().local_tag;
    assert_eq!(ok.headers.to().unwrap().tag(), Some(tag.as_str()));
    assert_eq!(bench.wanted, [0]);
    bench.give("all of it");
    let (destination, notify) = &bench.sent[0];
    assert_eq!(*destination, inbound().destination(), "on the flow");
    assert_eq!(notify.uri.to_string(), "sip:alice@10.0.0.5:40000");
    assert_eq!(notify.headers.from().unwrap().tag(), Some(tag.as_str()));
    assert_eq!(notify.headers.to().unwrap().tag(), Some("a"));
    assert_eq!(notify.headers.get(HeaderName::Event), Some("dialog"));
    assert_eq!(bench.state(), "active;expires=600");
    assert_eq!(bench.body(), "all of it");
}

#[test]
fn times_are_granted_within_bounds() {
    for (expires, granted) in [
        ("", Ok("3600")),
        ("Expires: 60\r\n", Ok("60")),
        ("Expires: 4294967295\r\n", Ok("3600")),
        ("Expires: 59\r\n", Err(423)),
        ("Expires: soon\r\n", Err(400)),
    ] {
        match Bench::accepting(config(), expires) {
            Ok(bench) => assert_eq!(
                Ok(bench.answers[0].headers.get(HeaderName::Expires).unwrap()),
                granted
            ),
            Err(code) => assert_eq!(Err(code), granted),
        }
    }
}

#[test]
fn what_is_not_served_is_refused() {
    for (change, code) in [
        (("Event: dialog", "Event: presence"), 489),
        (("Event: dialog\r\n", ""), 489),
        (
            ("Accept: application/dialog-info+xml", "Accept: text/plain"),
            406,
        ),
        (("Contact: <sip:alice@10.0.0.5:40000>\r\n", ""), 400),
        (
            (
                "To: <sip:bob@example.com>",
                "To: <sip:bob@example.com>;tag=x",
            ),
            481,
        ),
        (("SUBSCRIBE", "PUBLISH"), 405),
    ] {
        let request = subscribe(1, "", "", change);
        let refused = Notifier::accept(
            Instant::now(),
            &request,
            &inbound(),
            config(),
            &Seed::from_number(1),
        )
        .expect_err("refused");
        assert_eq!(refused.status.code(), code, "{change:?}");
        assert_eq!(
            refused.headers.get(HeaderName::AllowEvents),
            (code == 489).then_some("dialog")
        );
    }
}

#[test]
fn a_refresh_is_granted_and_the_state_told_again() {
    let mut bench = Bench::standing();
    bench.wait(s(500));
    assert_eq!(bench.refresh("Expires: 300\r\n", ("", "")), 200);
    assert_eq!(bench.wanted, [0, 1]);
    bench.give("second");
    assert_eq!(bench.state(), "active;expires=300");
    bench.answer(200, None);
    bench.wait(s(299));
    assert!(bench.ended.is_empty());
}

#[test]
fn requests_that_do_not_fit_change_nothing() {
    let mut bench = Bench::standing();
    let no = ("", "");
    assert_eq!(bench.refresh("Expires: 5\r\n", no), 423);
    assert_eq!(bench.refresh("", ("Event: dialog", "Event: presence")), 489);
    assert_eq!(
        bench.refresh("", ("Event: dialog", "Event: dialog;id=2")),
        481
    );
    assert_eq!(bench.refresh("", ("tag=a", "tag=b")), 481);
    assert_eq!(bench.refresh("", ("SUBSCRIBE", "INFO")), 405);
    assert_eq!(bench.wanted, [0]);
    bench.cseq = 50;
    assert_eq!(bench.refresh("", no), 200, "a jump");
    bench.cseq = 40;
    assert_eq!(bench.refresh("", no), 500, "older");
    assert_eq!(bench.wanted, [0, 1]);
    assert!(bench.ended.is_empty());
}

#[test]
fn a_repeated_subscribe_gets_the_same_answer_and_no_other_notify() {
    let mut bench = Bench::standing();
    bench.cseq = 5;
    let tag = format!(";tag={}", bench.notifier.owner_key().local_tag);
    let request = subscribe(5, &tag, "", ("", ""));
    assert_eq!(bench.deliver(&request), 200);
    assert_eq!(bench.deliver(&request), 200);
    assert_eq!(bench.wanted, [0, 1]);
}

#[test]
fn unsubscribing_tells_the_state_once_more_and_ends_it() {
    let mut bench = Bench::standing();
    assert_eq!(bench.refresh("Expires: 0\r\n", ("", "")), 200);
    bench.give("last");
    assert_eq!(bench.state(), "terminated;reason=timeout");
    assert_eq!(bench.body(), "last");
    bench.answer(200, None);
    assert_eq!(bench.ended, [NotifierEnd::TimedOut]);
    assert_eq!(bench.refresh("", ("", "")), 481);
    bench.wait(s(64));
    assert!(bench.notifier.is_drained());
    assert_eq!(bench.deadline, None);
}

#[test]
fn a_poll_is_one_notify() {
    let mut bench = Bench::accepting(config(), "Expires: 0\r\n").unwrap();
    assert_eq!(bench.answers[0].headers.get(HeaderName::Expires), Some("0"));
    bench.give("now");
    assert_eq!(bench.state(), "terminated;reason=timeout");
    bench.answer(200, None);
    assert_eq!(bench.ended, [NotifierEnd::TimedOut]);
}

#[test]
fn what_is_not_renewed_expires() {
    let mut bench = Bench::standing();
    bench.wait(s(601));
    assert_eq!(bench.state(), "terminated;reason=timeout");
    bench.answer(200, None);
    assert_eq!(bench.ended, [NotifierEnd::TimedOut]);
}

// ---- RFC 6665 §4.2.2 Sending state information ----

#[test]
fn changes_are_told_one_at_a_time_and_no_faster_than_the_throttle() {
    let mut bench = Bench::standing();
    bench.wait(s(10));
    for _ in 0..100 {
        bench.change();
    }
    assert_eq!(bench.wanted, [0, 1]);
    bench.give("one");
    for _ in 0..100 {
        bench.change();
    }
    assert_eq!(bench.sent.len(), 2, "one on its way");
    bench.answer(200, None);
    assert_eq!(bench.wanted, [0, 1], "throttled");
    bench.wait(s(1));
    assert_eq!(bench.wanted, [0, 1, 2]);
    bench.give("two");
    assert_eq!(bench.body(), "two");
    let cseq = |index: usize| bench.sent[index].1.headers.cseq().unwrap().number;
    assert!(cseq(2) > cseq(1));
}

#[test]
fn a_pending_subscriber_learns_nothing_until_approved() {
    let mut waiting = config();
    waiting.pending = true;
    let mut bench = Bench::accepting(waiting, "Expires: 600\r\n").unwrap();
    assert!(bench.wanted.is_empty());
    assert_eq!(bench.state(), "pending;expires=600");
    assert_eq!(bench.body(), "");
    bench.answer(200, None);
    bench.notifier.approve(bench.now);
    bench.settle();
    assert_eq!(bench.wanted, [0]);
    bench.give("all of it");
    assert!(bench.state().starts_with("active"));
}

#[test]
fn ending_it_says_why() {
    let mut bench = Bench::standing();
    bench
        .notifier
        .terminate(bench.now, "probation", Some(s(30)));
    bench.settle();
    assert_eq!(bench.state(), "terminated;reason=probation;retry-after=30");
    bench.answer(481, None);
    assert_eq!(bench.ended, [NotifierEnd::Terminated]);
}

#[test]
fn a_subscriber_that_knows_nothing_of_it_or_is_silent_ends_it() {
    for code in [Some(481), Some(404), Some(500), None] {
        let mut bench = Bench::standing();
        bench.wait(s(2));
        bench.change();
        bench.give("two");
        match code {
            Some(code) => bench.answer(code, None),
            None => bench.wait(s(33)),
        }
        assert!(
            matches!(bench.ended.as_slice(), [NotifierEnd::Failed(_)]),
            "{code:?}"
        );
        bench.wait(s(64));
        assert!(bench.notifier.is_drained());
    }
}

#[test]
fn a_busy_subscriber_is_told_later() {
    let mut bench = Bench::standing();
    bench.wait(s(2));
    bench.change();
    bench.give("two");
    bench.answer(503, Some((HeaderName::RetryAfter, "20")));
    assert!(bench.ended.is_empty());
    bench.wait(s(19));
    assert_eq!(bench.wanted, [0, 1]);
    bench.wait(s(1));
    assert_eq!(bench.wanted, [0, 1, 2]);
}

#[test]
fn when_the_flow_is_gone_the_contact_is_asked_for() {
    let mut bench = Bench::standing();
    bench.wait(s(2));
    bench.change();
    bench.give("two");
    let via = bench.sent.last().unwrap().1.headers.via_top().unwrap();
    let branch = via.branch().unwrap().to_owned();
    bench
        .notifier
        .handle_transport_error(bench.now, &branch, TransportError::Unreachable);
    bench.settle();
    let id = bench.asked.pop().expect("a question");
    bench
        .notifier
        .handle_resolved(bench.now, id, Ok(vec![inbound().path]));
    bench.settle();
    assert_eq!(bench.body(), "two");
    bench.answer(200, None);
    assert!(bench.ended.is_empty());
}

proptest! {
    #[test]
    fn after_any_sequence_and_an_end_nothing_runs_any_more(
        steps in proptest::collection::vec((0_u8..8, 0_u32..700), 0..60),
        seed in 1_u32..1000,
    ) {
        let mut bench = Bench::standing();
        bench.cseq = seed;
        for (step, number) in steps {
            match step {
                0 => bench.change(),
                1 => bench.give("x"),
                2 => { bench.refresh(&format!("Expires: {number}\r\n"), ("", "")); }
                3 => bench.answer(200, None),
                4 => bench.answer(u16::try_from(number).unwrap().clamp(100, 699), None),
                5 => bench.wait(s(u64::from(number))),
                6 => {
                    bench.notifier.approve(bench.now);
                    bench.settle();
                }
                _ => {
                    if let Some(id) = bench.asked.pop() {
                        bench.notifier.handle_resolved(bench.now, id, Ok(vec![]));
                        bench.settle();
                    }
                }
            }
        }
        bench.notifier.terminate(bench.now, "giveup", None);
        bench.settle();
        // Whoever is asked for the state gives it.
        bench.give("x");
        bench.wait(s(3 * 64));
        prop_assert!(bench.notifier.is_drained());
        prop_assert_eq!(bench.deadline, None);
        prop_assert_eq!(bench.ended.len(), 1);
    }
}
