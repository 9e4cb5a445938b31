//! A subscription against a notifier made of answers, in virtual time.

mod sequences;

use std::time::{Duration, Instant};

use sip_message::{Event, HeaderName, Message, Method, NameAddr, Request, StatusCode, Uri};

use super::{
    Forks, LegState, Subscription, SubscriptionConfig, SubscriptionEnd, SubscriptionEvent,
};
use crate::auth::{Credentials, Home};
use crate::events::Fault;
use crate::output::Output;
use crate::path::{
    Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Transport, TransportError,
};
use crate::stateless;
use crate::tokens::Seed;

fn config() -> SubscriptionConfig {
    let from = NameAddr::parse("<sip:alice@example.com>").unwrap();
    let target = Uri::parse("sip:bob@example.com").unwrap();
    SubscriptionConfig {
        accept: vec!["application/dialog-info+xml".to_owned()],
        credentials: vec![Credentials::new("alice", "wonder")],
        home: Home::new(vec![Uri::parse("sip:example.com").unwrap()]),
        ..SubscriptionConfig::new(target, from, "alice-1", Event::new("dialog"))
    }
}

fn path(remote: &str) -> Path {
    Path {
        transport: Transport::Udp,
        remote: remote.parse().unwrap(),
        local: "10.0.0.5:40000".parse().unwrap(),
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Bench {
    now: Instant,
    subscription: Subscription,
    paths: Result<Vec<Path>, ResolveError>,
    asked: Vec<(ResolveId, Uri)>,
    questions: Vec<Uri>,
    sent: Vec<Request>,
    destinations: Vec<Destination>,
    answers: Vec<(u16, String)>,
    events: Vec<SubscriptionEvent>,
    deadline: Option<Instant>,
    cseq: u32,
    branch: u32,
}

impl Bench {
    fn new(config: SubscriptionConfig) -> Self {
        Self::seeded(config, 1)
    }

    fn seeded(config: SubscriptionConfig, seed: u64) -> Self {
        Self {
            now: Instant::now(),
            subscription: Subscription::new(config, &Seed::from_number(seed)),
            paths: Ok(vec![path("192.0.2.1:5060")]),
            asked: Vec::new(),
            questions: Vec::new(),
            sent: Vec::new(),
            destinations: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
            deadline: None,
            cseq: 100,
            branch: 0,
        }
    }

    fn subscribed(config: SubscriptionConfig) -> Self {
        let mut bench = Self::new(config);
        bench.subscribe();
        bench
    }

    /// One that stands for this long.
    fn standing(seconds: u32) -> Self {
        let mut bench = Self::subscribed(config());
        bench.grant(seconds);
        bench.notify("n1", &format!("active;expires={seconds}"));
        assert!(bench.subscription.is_standing());
        bench
    }

    fn settle(&mut self) {
        loop {
            match self.subscription.poll_output() {
                Output::Transmit(transmit) => match Message::parse(&transmit.bytes).unwrap() {
                    Message::Request(request) => {
                        self.sent.push(request);
                        self.destinations.push(transmit.destination);
                    }
                    Message::Response(response) => {
                        self.answers
                            .push((response.status.code(), response.reason.clone()));
                    }
                },
                Output::Resolve { id, uri, .. } => {
                    self.questions.push((*uri).clone());
                    self.asked.push((id, *uri));
                }
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    let Some((id, _)) = self.asked.pop() else {
                        return;
                    };
                    let paths = self.paths.clone();
                    self.subscription.handle_resolved(self.now, id, paths);
                }
            }
        }
    }

    fn subscribe(&mut self) {
        self.subscription.subscribe(self.now);
        self.settle();
    }

    fn unsubscribe(&mut self) {
        self.subscription.unsubscribe(self.now);
        self.settle();
    }

    fn wait(&mut self, wait: Duration) {
        let end = self.now + wait;
        while let Some(next) = self.deadline.filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.subscription.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn last(&self) -> &Request {
        self.sent.last().expect("something was sent")
    }

    /// Requests sent, repeats not counted.
    fn requests(&self) -> usize {
        let branch = |request: &Request| request.headers.get(HeaderName::Via).map(str::to_owned);
        let all: std::collections::HashSet<_> = self.sent.iter().map(branch).collect();
        all.len()
    }

    /// Answers the last SUBSCRIBE.
    fn answer(&mut self, code: u16, headers: &[(HeaderName, &str)]) {
        let request = self.last().clone();
        let status = StatusCode::new(code).unwrap();
        let mut response = stateless::response(&request, status, Some("n1"));
        for (name, value) in headers {
            response.headers.push(name.clone(), value);
        }
        let inbound = Inbound {
            flow: FlowId(9),
            path: path("192.0.2.1:5060"),
        };
        self.subscription
            .handle_response(self.now, &response, &inbound);
        self.settle();
    }

    fn grant(&mut self, seconds: u32) {
        self.answer(200, &[(HeaderName::Expires, &seconds.to_string())]);
    }

    /// A NOTIFY from the notifier with this tag.
    fn notify(&mut self, tag: &str, state: &str) -> u16 {
        self.cseq += 1;
        let request = self.notification(tag, state, self.cseq);
        self.deliver(&request)
    }

    fn notification(&mut self, tag: &str, state: &str, cseq: u32) -> Request {
        self.branch += 1;
        let key = self.subscription.owner_key();
        let text = format!(
            "NOTIFY sip:alice-1@10.0.0.5:40000 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKn{}\r\n\
             From: <sip:bob@example.com>;tag={tag}\r\nTo: <sip:alice@example.com>;tag={}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nMax-Forwards: 70\r\n\
             Contact: <sip:bob@203.0.113.{}>\r\nRecord-Route: <sip:proxy.example.com;lr>\r\n\
             Event: dialog\r\nSubscription-State: {state}\r\n\
             Content-Type: application/dialog-info+xml\r\n\r\n<body n='{}'/>",
            self.branch,
            key.local_tag,
            key.call_id,
            tag.len(),
            self.branch,
        );
        match Message::parse(text.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!("it is a request"),
        }
    }

    fn deliver(&mut self, request: &Request) -> u16 {
        let inbound = Inbound {
            flow: FlowId(9),
            path: path("192.0.2.1:5060"),
        };
        self.answers.clear();
        self.subscription
            .handle_request(self.now, request, &inbound);
        self.settle();
        self.answers.first().expect("an answer").0
    }

    fn notified(&self) -> usize {
        self.count(|event| matches!(event, SubscriptionEvent::Notified(_)))
    }

    fn count(&self, is: impl Fn(&SubscriptionEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }

    fn ended(&self) -> Option<&SubscriptionEnd> {
        let mut ends = self.events.iter().filter_map(|event| match event {
            SubscriptionEvent::Ended(end) => Some(end),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "one end only");
        end
    }

    fn last_failure(&self) -> (&Fault, Duration) {
        self.events
            .iter()
            .rev()
            .find_map(|event| match event {
                SubscriptionEvent::Failed { what, retry_in } => Some((what, *retry_in)),
                _ => None,
            })
            .expect("it failed")
    }

    fn last_state(&self) -> Option<LegState> {
        self.events.iter().rev().find_map(|event| match event {
            SubscriptionEvent::State { state, .. } => Some(*state),
            _ => None,
        })
    }
}

// ---- RFC 6665 §4.1.2.1 Requesting a subscription ----

#[test]
fn a_subscribe_names_package_time_body_types_and_our_contact() {
    let bench = Bench::subscribed(config());
    let sent = bench.last();
    let header = |name| sent.headers.get(name);
    assert_eq!(sent.method, Method::Subscribe);
    assert_eq!(sent.uri.to_string(), "sip:bob@example.com");
    assert_eq!(header(HeaderName::Event), Some("dialog"));
    assert_eq!(header(HeaderName::Expires), Some("3600"));
    assert_eq!(
        header(HeaderName::Accept),
        Some("application/dialog-info+xml")
    );
    assert_eq!(
        header(HeaderName::Contact),
        Some("<sip:alice-1@10.0.0.5:40000>")
    );
    assert_eq!(
        sent.headers.from().unwrap().tag(),
        Some(bench.subscription.owner_key().local_tag.as_str())
    );
}

#[test]
fn a_gruu_is_the_contact_where_there_is_one() {
    let bench = Bench::subscribed(SubscriptionConfig {
        contact: Some(Uri::parse("sip:alice@example.com;gr=urn:uuid:1").unwrap()),
        ..config()
    });
    assert_eq!(
        bench.last().headers.get(HeaderName::Contact),
        Some("<sip:alice@example.com;gr=urn:uuid:1>")
    );
}

#[test]
fn proxies_are_passed_in_their_order() {
    let route = ["sip:one.example.net", "sip:two.example.net;lr"];
    let bench = Bench::subscribed(SubscriptionConfig {
        route: route.map(|r| Uri::parse(r).unwrap()).to_vec(),
        ..config()
    });
    assert_eq!(bench.questions[0].to_string(), "sip:one.example.net");
    let routes: Vec<_> = bench.last().headers.get_all(HeaderName::Route).collect();
    assert_eq!(
        routes,
        ["<sip:one.example.net;lr>", "<sip:two.example.net;lr>"]
    );
}

#[test]
fn a_challenge_is_answered_and_the_next_server_tried() {
    let mut bench = Bench::new(config());
    bench.paths = Ok(vec![path("192.0.2.1:5060"), path("192.0.2.2:5060")]);
    bench.subscribe();
    bench.answer(503, &[]);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(
        bench.destinations[1].path().remote.to_string(),
        "192.0.2.2:5060"
    );
    bench.answer(
        407,
        &[(
            HeaderName::ProxyAuthenticate,
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"",
        )],
    );
    assert!(bench.last().headers.has(HeaderName::ProxyAuthorization));
    bench.grant(600);
    bench.notify("n1", "active;expires=600");
    assert!(bench.subscription.is_standing());
}

#[test]
fn strangers_get_no_login() {
    let mut bench = Bench::subscribed(SubscriptionConfig {
        target: Uri::parse("sip:bob@stranger.example").unwrap(),
        ..config()
    });
    bench.answer(
        401,
        &[(
            HeaderName::WwwAuthenticate,
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"",
        )],
    );
    assert_eq!(bench.sent.len(), 1);
    assert!(matches!(bench.ended(), Some(SubscriptionEnd::Refused(_))));
}

#[test]
fn a_time_too_short_is_raised_once() {
    let mut bench = Bench::subscribed(config());
    bench.answer(423, &[(HeaderName::MinExpires, "7200")]);
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("7200"));
    bench.answer(423, &[(HeaderName::MinExpires, "9000")]);
    assert_eq!(bench.sent.len(), 2);
    assert!(matches!(bench.ended(), Some(SubscriptionEnd::Refused(_))));
}

#[test]
fn an_unknown_package_is_a_refusal_for_good() {
    for code in [489, 403, 404, 603] {
        let mut bench = Bench::subscribed(config());
        bench.answer(code, &[]);
        let Some(SubscriptionEnd::Refused(fault)) = bench.ended() else {
            panic!("{code}");
        };
        assert_eq!(fault.status().unwrap().code(), code);
        bench.wait(s(100_000));
        assert_eq!(bench.sent.len(), 1, "{code}");
        assert!(bench.subscription.is_drained());
    }
}

#[test]
fn what_may_pass_is_tried_again_with_a_growing_wait() {
    let mut bench = Bench::subscribed(config());
    let key = bench.subscription.owner_key();
    bench.answer(503, &[(HeaderName::RetryAfter, "40")]);
    let (_, retry_in) = bench.last_failure();
    assert!(retry_in >= s(40));
    bench.wait(retry_in);
    assert_eq!(bench.sent.len(), 2);
    assert_ne!(bench.subscription.owner_key(), key, "an unrelated one");
    bench.paths = Err(ResolveError::NoAnswer);
    bench.answer(500, &[]);
    let (_, retry_in) = bench.last_failure();
    bench.wait(retry_in);
    assert!(matches!(bench.last_failure().0, Fault::Unresolved(_)));
}

// ---- RFC 6665 §4.1.2.4 Confirmation of subscription creation, §4.4.1 Dialog creation ----

#[test]
fn case_39_a_notify_before_the_2xx_is_accepted_and_makes_the_dialog() {
    let mut bench = Bench::subscribed(config());
    assert_eq!(bench.notify("n1", "active;expires=300"), 200);
    assert_eq!(bench.notified(), 1);
    bench.grant(3600);
    assert!(bench.subscription.is_standing());
    // The time of the NOTIFY counts; the refresh goes into the dialog that the NOTIFY made.
    bench.wait(s(299));
    let refresh = bench.last();
    assert_eq!(refresh.headers.to().unwrap().tag(), Some("n1"));
    assert_eq!(refresh.uri.to_string(), "sip:bob@203.0.113.2");
    assert_eq!(
        refresh.headers.get(HeaderName::Route),
        Some("<sip:proxy.example.com;lr>")
    );
    assert_eq!(
        bench.questions.last().unwrap().to_string(),
        "sip:proxy.example.com;lr"
    );
}

#[test]
fn without_any_notify_timer_n_fails_it() {
    let mut bench = Bench::subscribed(config());
    bench.grant(3600);
    bench.wait(s(31));
    assert_eq!(
        bench.count(|e| matches!(e, SubscriptionEvent::Failed { .. })),
        0
    );
    bench.wait(s(1));
    assert_eq!(bench.last_failure().0, &Fault::NoNotify);
    assert_eq!(bench.notify("n1", "active"), 481, "after Timer N");
}

#[test]
fn the_first_fork_is_taken_and_the_others_told_481() {
    let mut bench = Bench::subscribed(config());
    assert_eq!(bench.notify("n1", "active;expires=600"), 200);
    assert_eq!(bench.notify("n2", "active;expires=600"), 481);
    bench.grant(600);
    assert_eq!(bench.notify("n3", "active;expires=600"), 481);
    assert_eq!(bench.notify("n1", "active;expires=600"), 200);
    assert_eq!(bench.subscription.refused_notifies(), 2);
    assert_eq!(bench.notified(), 2);
}

#[test]
fn each_fork_is_a_dialog_of_its_own_until_timer_n() {
    let mut bench = Bench::subscribed(SubscriptionConfig {
        forks: Forks::All,
        ..config()
    });
    assert_eq!(bench.notify("n1", "active;expires=600"), 200);
    bench.grant(600);
    assert_eq!(bench.notify("n2", "pending;expires=300"), 200);
    bench.wait(s(33));
    assert_eq!(bench.notify("n3", "active"), 481);
    let before = bench.sent.len();
    bench.wait(s(260));
    assert!(bench.sent.len() > before);
    assert_eq!(bench.last().headers.to().unwrap().tag(), Some("n2"));
    bench.answer(200, &[(HeaderName::Expires, "600")]);
    // One ends, the other stands.
    bench.notify("n1", "terminated;reason=noresource");
    assert!(bench.subscription.is_standing());
    assert_eq!(bench.ended(), None);
    bench.notify("n2", "terminated;reason=noresource");
    assert!(matches!(bench.ended(), Some(SubscriptionEnd::Refused(_))));
}

#[test]
fn thirty_two_forks_are_kept_and_no_more() {
    let mut bench = Bench::subscribed(SubscriptionConfig {
        forks: Forks::All,
        ..config()
    });
    let taken = (0..100)
        .filter(|n| bench.notify(&format!("n{n}"), "active;expires=600") == 200)
        .count();
    assert_eq!(taken, 32);
}

// ---- RFC 6665 §4.1.2.2 Refreshing ----

#[test]
fn the_refresh_comes_before_the_granted_time_ends() {
    let mut bench = Bench::standing(300);
    let first = bench.sent[0].headers.cseq().unwrap().number;
    bench.wait(s(239));
    assert_eq!(bench.sent.len(), 1);
    bench.wait(s(32));
    let refresh = bench.last();
    assert_eq!(refresh.headers.cseq().unwrap().number, first + 1);
    assert_eq!(refresh.headers.get(HeaderName::Expires), Some("3600"));
    assert_eq!(refresh.headers.get(HeaderName::Event), Some("dialog"));
    bench.grant(300);
    bench.wait(s(200));
    assert_eq!(bench.requests(), 2);
}

#[test]
fn a_2xx_shorter_than_asked_counts_where_the_notify_says_nothing() {
    let mut bench = Bench::subscribed(config());
    bench.notify("n1", "active");
    bench.grant(60);
    bench.wait(s(47));
    assert_eq!(bench.requests(), 1);
    bench.wait(s(8));
    assert_eq!(bench.requests(), 2);
}

#[test]
fn a_481_to_the_refresh_makes_a_new_subscription_at_once() {
    let mut bench = Bench::standing(300);
    let old = bench.subscription.owner_key();
    bench.wait(s(271));
    bench.answer(481, &[]);
    let new = bench.subscription.owner_key();
    assert_ne!(new.call_id, old.call_id);
    assert_ne!(new.local_tag, old.local_tag);
    assert!(bench.count(|e| matches!(e, SubscriptionEvent::NewKey(key) if *key == new)) == 1);
    let sent = bench.last();
    assert_eq!(sent.headers.call_id().unwrap(), new.call_id);
    assert!(sent.headers.to().unwrap().tag().is_none());
}

#[test]
fn another_failure_of_the_refresh_leaves_it_standing_until_its_time_is_over() {
    let mut bench = Bench::standing(300);
    bench.wait(s(271));
    bench.answer(500, &[]);
    assert!(bench.subscription.is_standing());
    assert_eq!(bench.notify("n1", "active;expires=29"), 200);
    bench.paths = Err(ResolveError::NoAnswer);
    bench.wait(s(30));
    assert!(!bench.subscription.is_standing());
    assert!(bench.subscription.owner_key().call_id != bench.sent[0].headers.call_id().unwrap());
}

#[test]
fn a_refresh_asked_for_goes_out_now() {
    let mut bench = Bench::standing(3600);
    bench.subscription.refresh(bench.now);
    bench.settle();
    assert_eq!(bench.sent.len(), 2);
    bench.subscription.refresh(bench.now);
    bench.settle();
    assert_eq!(bench.sent.len(), 2, "one at a time");
}

// ---- RFC 6665 §4.1.2.3 Unsubscribing ----

#[test]
fn unsubscribing_awaits_the_last_notify() {
    let mut bench = Bench::standing(300);
    bench.unsubscribe();
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("0"));
    assert_eq!(bench.last().headers.to().unwrap().tag(), Some("n1"));
    bench.answer(200, &[(HeaderName::Expires, "0")]);
    assert_eq!(bench.ended(), None);
    assert_eq!(bench.notify("n1", "terminated;reason=timeout"), 200);
    assert_eq!(bench.ended(), Some(&SubscriptionEnd::Unsubscribed));
    bench.wait(s(64));
    assert!(bench.subscription.is_drained());
    assert_eq!(bench.deadline, None);
}

#[test]
fn unsubscribing_gives_up_after_timer_n() {
    for code in [Some(200), Some(481), None] {
        let mut bench = Bench::standing(300);
        bench.unsubscribe();
        if let Some(code) = code {
            bench.answer(code, &[]);
        }
        bench.wait(s(33));
        assert_eq!(bench.ended(), Some(&SubscriptionEnd::Unsubscribed));
        assert_eq!(bench.notify("n1", "active"), 481);
        bench.wait(s(64));
        assert!(bench.subscription.is_drained());
    }
}

#[test]
fn unsubscribing_before_the_answer_waits_for_it() {
    let mut bench = Bench::subscribed(config());
    bench.unsubscribe();
    bench.grant(600);
    assert_eq!(bench.sent.len(), 1);
    bench.notify("n1", "active;expires=600");
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("0"));
    bench.answer(200, &[]);
    bench.notify("n1", "terminated");
    assert_eq!(bench.ended(), Some(&SubscriptionEnd::Unsubscribed));
}

#[test]
fn subscribing_while_leaving_begins_anew_after_it() {
    let mut bench = Bench::standing(300);
    bench.unsubscribe();
    bench.subscribe();
    assert_eq!(bench.sent.len(), 2);
    bench.answer(200, &[]);
    bench.notify("n1", "terminated;reason=timeout");
    assert_eq!(bench.sent.len(), 3);
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("3600"));
    assert_eq!(bench.ended(), None);
}

// ---- RFC 6665 §4.1.3 Receiving and processing state information ----

#[test]
fn reasons_of_an_end_say_whether_to_come_back() {
    // Reason, retry-after, and whether a SUBSCRIBE comes at once, later, or never.
    for (state, at_once, least) in [
        ("terminated;reason=deactivated", true, Some(0)),
        ("terminated;reason=timeout", true, Some(0)),
        ("terminated", true, Some(0)),
        ("terminated;reason=strange", true, Some(0)),
        ("terminated;reason=strange;retry-after=90", false, Some(90)),
        (
            "terminated;reason=probation;retry-after=60",
            false,
            Some(60),
        ),
        ("terminated;reason=giveup", false, Some(2)),
        ("terminated;reason=rejected", false, None),
        ("terminated;reason=noresource", false, None),
        ("terminated;reason=invariant", false, None),
    ] {
        let mut bench = Bench::standing(3600);
        bench.wait(s(60));
        assert_eq!(bench.notify("n1", state), 200);
        assert_eq!(bench.last_state(), Some(LegState::Terminated), "{state}");
        assert_eq!(bench.sent.len() == 2, at_once, "{state}");
        match least {
            Some(least) => {
                let (_, retry_in) = bench.last_failure();
                assert!(retry_in >= s(least), "{state}: {retry_in:?}");
                bench.wait(retry_in);
                assert_eq!(bench.sent.len(), 2, "{state}");
            }
            None => {
                bench.wait(s(100_000));
                assert_eq!(bench.sent.len(), 1, "{state}");
                assert!(bench.ended().is_some(), "{state}");
            }
        }
    }
}

#[test]
fn a_notifier_that_accepts_and_ends_is_not_asked_in_a_tight_loop() {
    let mut bench = Bench::standing(3600);
    for _ in 0..2 {
        bench.notify("n1", "terminated;reason=deactivated");
        bench.grant(3600);
        bench.notify("n1", "active;expires=3600");
    }
    let mut waits = Vec::new();
    for _ in 0..5 {
        bench.notify("n1", "terminated;reason=deactivated");
        let (_, retry_in) = bench.last_failure();
        waits.push(retry_in);
        bench.wait(retry_in);
        bench.grant(3600);
        bench.notify("n1", "active;expires=3600");
    }
    assert!(waits[0] >= s(2) && waits[4] >= s(30), "{waits:?}");
}

#[test]
fn pending_becomes_active() {
    let mut bench = Bench::subscribed(config());
    bench.answer(202, &[(HeaderName::Expires, "600")]);
    bench.notify("n1", "pending;expires=600");
    assert_eq!(bench.last_state(), Some(LegState::Pending));
    bench.notify("n1", "active;expires=600");
    assert_eq!(bench.last_state(), Some(LegState::Active));
    let bodies: Vec<_> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            SubscriptionEvent::Notified(notified) => Some((
                notified.state,
                notified.content_type.as_deref(),
                notified.body.len(),
            )),
            _ => None,
        })
        .collect();
    let kind = Some("application/dialog-info+xml");
    assert_eq!(
        bodies,
        [(LegState::Pending, kind, 13), (LegState::Active, kind, 13)]
    );
}

#[test]
fn a_repeated_notify_is_answered_again_and_told_once() {
    let mut bench = Bench::standing(3600);
    let told = bench.notified();
    let notify = bench.notification("n1", "active", 200);
    assert_eq!(bench.deliver(&notify), 200);
    assert_eq!(bench.deliver(&notify), 200);
    // The same by another way.
    let other = bench.notification("n1", "active", 200);
    assert_eq!(bench.deliver(&other), 200);
    assert_eq!(bench.notified(), told + 1);
}

#[test]
fn an_older_notify_is_refused_and_a_jump_is_legal() {
    let mut bench = Bench::standing(3600);
    let jump = bench.notification("n1", "active", 100_000);
    assert_eq!(bench.deliver(&jump), 200);
    let late = bench.notification("n1", "terminated", 99_999);
    assert_eq!(bench.deliver(&late), 500);
    assert!(bench.subscription.is_standing());
}

#[test]
fn notifies_that_are_none_of_ours_are_refused_and_change_nothing() {
    let mut bench = Bench::standing(3600);
    let told = bench.notified();
    let mut refused = |name: HeaderName, value: Option<&str>, code: u16| {
        let mut notify = bench.notification("n1", "terminated;reason=rejected", 300);
        match value {
            Some(value) => notify.headers.set(name.clone(), value),
            None => {
                notify.headers.remove(name.clone());
            }
        }
        assert_eq!(bench.deliver(&notify), code, "{name:?} {value:?}");
    };
    refused(HeaderName::Event, Some("presence"), 489);
    refused(HeaderName::Event, None, 489);
    refused(HeaderName::Event, Some("dialog;id=7"), 481);
    refused(HeaderName::CallId, Some("another"), 481);
    refused(HeaderName::To, Some("<sip:alice@example.com>"), 481);
    refused(HeaderName::SubscriptionState, None, 400);
    refused(HeaderName::ContentType, Some("text/plain"), 415);
    refused(HeaderName::ContentType, None, 415);
    let mut large = bench.notification("n1", "active", 301);
    large.body = vec![b'x'; 64 * 1024 + 1];
    assert_eq!(bench.deliver(&large), 413);
    let mut bye = bench.notification("n1", "active", 302);
    bye.method = Method::Bye;
    bye.headers.set(HeaderName::CSeq, "302 BYE");
    assert_eq!(bench.deliver(&bye), 405);
    assert!(bench.subscription.is_standing());
    assert_eq!(bench.notified(), told);
}

#[test]
fn a_flood_of_notifies_makes_nothing_grow() {
    let mut bench = Bench::standing(3600);
    for n in 0..10_000 {
        assert_eq!(bench.notify(&format!("stranger{n}"), "active"), 481);
    }
    assert_eq!(bench.subscription.refused_notifies(), 10_000);
    for _ in 0..1000 {
        assert_eq!(bench.notify("n1", "active;expires=600"), 200);
    }
    bench.unsubscribe();
    bench.wait(s(64));
    assert!(bench.subscription.is_drained());
}

// ---- RFC 6665 §4.4.3 Polling ----

#[test]
fn a_poll_ends_with_its_one_notify() {
    let poll = || SubscriptionConfig {
        expires: Duration::ZERO,
        ..config()
    };
    for before in [false, true] {
        let mut bench = Bench::subscribed(poll());
        assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("0"));
        if !before {
            bench.answer(200, &[(HeaderName::Expires, "0")]);
        }
        assert_eq!(bench.notify("n1", "terminated;reason=timeout"), 200);
        assert_eq!(bench.ended(), Some(&SubscriptionEnd::Polled));
        assert_eq!(bench.notified(), 1);
        bench.wait(s(100));
        assert_eq!(bench.sent.len(), 1);
        assert!(bench.subscription.is_drained());
    }
    let mut silent = Bench::subscribed(poll());
    silent.answer(200, &[]);
    silent.wait(s(40));
    assert_eq!(
        silent.ended(),
        Some(&SubscriptionEnd::Refused(Fault::NoNotify))
    );
    let mut broken = Bench::subscribed(poll());
    broken.answer(500, &[]);
    assert!(matches!(broken.ended(), Some(SubscriptionEnd::Refused(_))));
}

/// RFC 3261 §12.2.1.1: in one dialog numbers only rise, also when its notifier was forgotten in between.
#[test]
fn a_notifier_that_is_heard_of_again_gets_higher_numbers() {
    let mut bench = Bench::subscribed(SubscriptionConfig {
        forks: Forks::All,
        ..config()
    });
    bench.unsubscribe();
    let late = bench.notification("n1", "active", 1);
    bench.deliver(&late);
    let first = bench.last().headers.cseq().unwrap().number;
    bench.answer(423, &[(HeaderName::MinExpires, "0")]);
    let again = bench.notification("n1", "active", 2);
    bench.deliver(&again);
    let second = bench.last().headers.cseq().unwrap().number;
    assert!(first < second, "{first} and then {second}");
}

// ---- States that do not fit together (RFC 4235 §3.10, RFC 4575 §4.3) ----

impl Bench {
    /// Says that a state is missing, and answers in how long it is asked for.
    fn missing(&mut self) -> Duration {
        let wait = self.subscription.ask_anew(self.now);
        self.settle();
        wait
    }

    /// Answers what was asked, with as many states as the notifier has to tell.
    fn answered(&mut self, states: u32) {
        self.grant(3600);
        for _ in 0..states {
            assert_eq!(self.notify("n1", "active;expires=3600"), 200);
        }
    }
}

#[test]
fn a_state_that_is_missing_once_is_asked_for_at_once() {
    let mut bench = Bench::standing(3600);
    assert_eq!(bench.missing(), s(0));
    assert_eq!(bench.requests(), 2);
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("3600"));
    assert!(
        bench.last().headers.to().unwrap().tag().is_some(),
        "in the dialog"
    );
    bench.answered(1);
    // And again when one is missing an hour later.
    bench.wait(s(1800));
    assert_eq!(bench.missing(), s(0));
    assert_eq!(bench.requests(), 3);
}

#[test]
fn a_notifier_whose_states_never_fit_is_asked_ten_times_in_ten_minutes() {
    let mut bench = Bench::standing(3600);
    let end = bench.now + s(600);
    let mut asked = Vec::new();
    while bench.now < end {
        let before = bench.requests();
        // Many of them, and each with a gap before it.
        let waits: Vec<Duration> = (0..5).map(|_| bench.missing()).collect();
        assert!(waits[1..].iter().all(|wait| *wait == waits[1]), "{waits:?}");
        if bench.requests() == before {
            bench.wait(waits[1]);
        }
        assert_eq!(bench.requests(), before + 1, "one is due, not five");
        asked.push(end.saturating_duration_since(bench.now));
        bench.answered(1);
    }
    let times: Vec<u64> = asked.iter().map(|left| 600 - left.as_secs()).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 600]);
    assert!(bench.subscription.is_standing());
}

#[test]
fn ending_the_subscription_makes_it_grow_no_faster() {
    // It ends and begins anew, and its first state has a gap again.
    let mut bench = Bench::standing(3600);
    let end = bench.now + s(600);
    while bench.now < end {
        bench.wait(s(31));
        bench.notify("n1", "terminated;reason=deactivated");
        bench.answered(1);
        bench.missing();
        if bench.last().headers.to().unwrap().tag().is_some() {
            bench.answered(0);
        }
    }
    // One that begins every 31 s, and not one refresh more for each.
    assert!(bench.requests() <= 1 + 20 + 9, "{}", bench.requests());
}

#[test]
fn nothing_is_asked_of_what_was_left() {
    let mut bench = Bench::standing(3600);
    bench.missing();
    bench.answered(1);
    assert_eq!(bench.missing(), s(1));
    bench.unsubscribe();
    bench.answer(200, &[]);
    bench.notify("n1", "terminated");
    let sent = bench.requests();
    assert_eq!(bench.missing(), s(0));
    bench.wait(s(600));
    assert_eq!(bench.requests(), sent);
    assert!(bench.subscription.is_drained());
}
