//! A registration against a registrar made of answers, in virtual time.

mod cases;
mod hostile;
mod networks;
mod operations;
mod rfc3665;
mod sequences;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::{HeaderName, Message, NameAddr, Request, Response, StatusCode, Uri};

use super::{Refusal, Registered, Registration, RegistrationConfig, RegistrationEvent, Trouble};
use crate::auth::{AuthError, Credentials};
use crate::dispatch::mark_received;
use crate::locate::{Fault, Tried};
use crate::output::Output;
use crate::path::{
    Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Transport, TransportError,
};
use crate::stateless;
use crate::tokens::Seed;

const INSTANCE: &str = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
const FLOW: FlowId = FlowId(9);

fn config() -> RegistrationConfig {
    let aor = NameAddr::parse("<sip:alice@example.com>").unwrap();
    RegistrationConfig {
        contact_user: Some("alice-1".to_owned()),
        instance_id: Some(INSTANCE.to_owned()),
        credentials: vec![Credentials::new("alice", "wonder")],
        ..RegistrationConfig::new(Uri::parse("sip:someone@example.com").unwrap(), aor)
    }
}

fn path(remote: &str, local: &str, transport: Transport) -> Path {
    Path {
        transport,
        remote: remote.parse().unwrap(),
        local: local.parse().unwrap(),
    }
}

fn udp() -> Path {
    path("192.0.2.1:5060", "10.0.0.5:40000", Transport::Udp)
}

struct Bench {
    now: Instant,
    registration: Registration,
    paths: Result<Vec<Path>, ResolveError>,
    resolved: Vec<(ResolveId, Uri, Option<Transport>)>,
    sent: Vec<(Destination, Request)>,
    events: Vec<RegistrationEvent>,
    deadline: Option<Instant>,
}

impl Bench {
    fn new(config: RegistrationConfig) -> Self {
        Self::seeded(config, 1)
    }

    fn seeded(config: RegistrationConfig, seed: u64) -> Self {
        Self {
            now: Instant::now(),
            registration: Registration::new(config, &Seed::from_number(seed)),
            paths: Ok(vec![udp()]),
            resolved: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            deadline: None,
        }
    }

    /// One that has registered for this long.
    fn registered(config: RegistrationConfig, granted: u32) -> Self {
        let mut bench = Self::new(config);
        bench.register();
        bench.grant(granted);
        assert!(bench.registration.is_registered());
        bench
    }

    fn drain(&mut self) {
        loop {
            match self.registration.poll_output() {
                Output::Transmit(transmit) => {
                    let Ok(Message::Request(request)) = Message::parse(&transmit.bytes) else {
                        panic!("not a request");
                    };
                    self.sent.push((transmit.destination, request));
                }
                Output::Resolve {
                    id, uri, transport, ..
                } => {
                    self.resolved.push((id, *uri, transport));
                }
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
    }

    /// Drains, and answers the questions for paths.
    fn settle(&mut self) {
        self.drain();
        while let Some((id, ..)) = self.resolved.pop() {
            let paths = self.paths.clone();
            self.registration.handle_resolved(self.now, id, paths);
            self.drain();
        }
    }

    fn register(&mut self) {
        self.registration.register(self.now);
        self.settle();
    }

    fn unregister(&mut self) {
        self.registration.unregister(self.now);
        self.settle();
    }

    fn fail_back(&mut self) {
        self.registration.fail_back(self.now);
        self.settle();
    }

    fn last_path(&self) -> Path {
        *self.sent.last().expect("something was sent").0.path()
    }

    fn lose(&mut self, flow: FlowId) {
        self.registration.flow_lost(self.now, flow);
        self.settle();
    }

    fn moved(&mut self) {
        self.registration.moved(self.now);
        self.settle();
    }

    fn wait(&mut self, wait: Duration) {
        let end = self.now + wait;
        while let Some(next) = self.deadline.filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.registration.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Lets time pass until the next REGISTER goes out by itself.
    fn refresh(&mut self) {
        let sent = self.sent.len();
        while self.sent.len() == sent {
            let next = self.deadline.expect("something is due");
            self.wait(next.saturating_duration_since(self.now));
        }
    }

    fn fail(&mut self, error: TransportError) {
        let branch = self.last().headers.via_top().unwrap();
        let branch = branch.branch().unwrap().to_owned();
        self.registration
            .handle_transport_error(self.now, &branch, error);
        self.settle();
    }

    fn last(&self) -> &Request {
        &self.sent.last().expect("something was sent").1
    }

    /// Answers the last REGISTER, which the server saw coming from `seen`.
    fn reply(&mut self, code: u16, headers: &[(HeaderName, String)], seen: Option<&str>) {
        let (destination, mut request) = self.sent.last().expect("something was sent").clone();
        let mut inbound = Inbound {
            flow: FLOW,
            path: *destination.path(),
        };
        if let Some(seen) = seen {
            let there = Inbound {
                path: path(seen, "192.0.2.1:5060", destination.transport()),
                ..inbound
            };
            mark_received(&mut request, &there);
        }
        if let Destination::Flow { id, .. } = destination {
            inbound.flow = id;
        }
        let status = StatusCode::new(code).unwrap();
        let mut response: Response = stateless::response(&request, status, Some("reg"));
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        self.registration
            .handle_response(self.now, &response, &inbound);
        self.settle();
    }

    fn answer(&mut self, code: u16, headers: &[(HeaderName, &str)]) {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.clone(), (*value).to_owned()))
            .collect();
        self.reply(code, &headers, None);
    }

    /// 200 with our Contact as we sent it and the time granted.
    fn grant(&mut self, seconds: u32) {
        self.grant_seen(seconds, None);
    }

    fn grant_seen(&mut self, seconds: u32, seen: Option<&str>) {
        if self.last().headers.get(HeaderName::Contact) == Some("*") {
            self.reply(200, &[], seen);
            return;
        }
        let own = format!("<{}>;expires={seconds}", self.contact().uri);
        self.reply(200, &[(HeaderName::Contact, own)], seen);
    }

    /// The Contact of the last REGISTER that is not a removal beside another.
    fn contact(&self) -> NameAddr {
        let contacts = self.contacts();
        contacts.last().expect("a REGISTER has a Contact").clone()
    }

    fn contacts(&self) -> Vec<NameAddr> {
        self.last().headers.list(HeaderName::Contact).unwrap()
    }

    fn last_registered(&self) -> &Registered {
        let found = self.events.iter().rev().find_map(|event| match event {
            RegistrationEvent::Registered(registered) => Some(registered),
            _ => None,
        });
        found.expect("registered")
    }

    fn last_retry(&self) -> (&Trouble, Duration) {
        match self.events.last() {
            Some(RegistrationEvent::Failed { what, retry_in }) => (what, *retry_in),
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, is: impl Fn(&RegistrationEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }
}

fn is_unregistered(event: &RegistrationEvent) -> bool {
    matches!(event, RegistrationEvent::Unregistered)
}

fn is_refused(event: &RegistrationEvent) -> bool {
    matches!(event, RegistrationEvent::Refused(_))
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// ---- What is sent ----

#[test]
fn a_register_names_the_domain_ourselves_and_our_contact() {
    let mut bench = Bench::new(config());
    bench.register();
    let sent = bench.last();
    assert_eq!(sent.uri.to_string(), "sip:example.com");
    let (from, to) = (sent.headers.from().unwrap(), sent.headers.to().unwrap());
    assert_eq!(from.uri, to.uri);
    assert!(from.tag().is_some() && to.tag().is_none());
    assert_eq!(sent.headers.get(HeaderName::Expires), Some("600"));
    assert_eq!(
        sent.headers.get(HeaderName::Contact).unwrap(),
        format!("<sip:alice-1@10.0.0.5:40000>;expires=600;+sip.instance=\"<{INSTANCE}>\"")
    );
    let key = bench.registration.owner_key();
    assert_eq!(sent.headers.call_id().unwrap(), key.call_id);
    assert_eq!(from.tag(), Some(key.local_tag.as_str()));
}

#[test]
fn an_outbound_proxy_is_asked_for_and_stands_in_route() {
    let mut bench = Bench::new(RegistrationConfig {
        route: Some(Uri::parse("sip:proxy.example.net:5070").unwrap()),
        transport: Some(Transport::Tcp),
        ..config()
    });
    bench.registration.register(bench.now);
    bench.drain();
    let (_, uri, transport) = &bench.resolved[0];
    assert_eq!(uri.to_string(), "sip:proxy.example.net:5070");
    assert_eq!(*transport, Some(Transport::Tcp));
    bench.settle();
    assert_eq!(
        bench.last().headers.get(HeaderName::Route),
        Some("<sip:proxy.example.net:5070;lr>")
    );
    assert_eq!(bench.last().uri.to_string(), "sip:example.com");
}

#[test]
fn contacts_and_vias_are_of_the_family_in_use() {
    let mut bench = Bench::new(config());
    bench.paths = Ok(vec![path(
        "[2001:db8::1]:5061",
        "[2001:db8::5]:40001",
        Transport::Tls,
    )]);
    bench.register();
    assert_eq!(
        bench.contact().uri.to_string(),
        "sip:alice-1@[2001:db8::5]:40001;transport=tls"
    );
    let via = bench.last().headers.get(HeaderName::Via).unwrap();
    assert!(via.starts_with("SIP/2.0/TLS [2001:db8::5]:40001;"), "{via}");
}

#[test]
fn without_a_contact_user_one_is_drawn_that_nobody_guesses() {
    let unnamed = || RegistrationConfig {
        contact_user: None,
        ..config()
    };
    let one = Registration::new(unnamed(), &Seed::from_number(1));
    let two = Registration::new(unnamed(), &Seed::from_number(2));
    assert_eq!(one.contact_user().len(), 16);
    assert_ne!(one.contact_user(), two.contact_user());
}

// ---- What is granted ----

#[test]
fn the_granted_time_is_that_of_our_own_binding_among_others() {
    let foreign = "<sip:alice@203.0.113.1>;expires=30";
    let own = "<sip:alice-1@10.0.0.5:40000>;expires=300";
    let cases: [(&[&str], u64, usize); 6] = [
        (&[foreign, own], 300, 1),
        (&[own, foreign], 300, 1),
        // By instance, with the address rewritten.
        (
            &[
                foreign,
                "<sip:x@198.51.100.1:9>;expires=200;+sip.instance=\"<URN:UUID:F81D4FAE-7dec-11d0-a765-00a0c91e6bf6>\"",
            ],
            200,
            1,
        ),
        // By user, with the rest rewritten.
        (
            &[foreign, "<sip:alice-1@198.51.100.1:9>;expires=150"],
            150,
            1,
        ),
        // Not there at all: the Expires header.
        (&[foreign], 77, 1),
        // No time of its own: the Expires header.
        (&["<sip:alice-1@10.0.0.5:40000>"], 77, 0),
    ];
    for (contacts, granted, others) in cases {
        let mut bench = Bench::new(config());
        bench.register();
        let mut headers: Vec<_> = contacts
            .iter()
            .map(|contact| (HeaderName::Contact, *contact))
            .collect();
        headers.push((HeaderName::Expires, "77"));
        bench.answer(200, &headers);
        let registered = bench.last_registered();
        assert_eq!(registered.granted, s(granted), "{contacts:?}");
        assert_eq!(registered.other_bindings, others, "{contacts:?}");
    }
}

#[test]
fn a_200_without_any_time_grants_what_was_asked_for() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(200, &[]);
    assert_eq!(bench.last_registered().granted, s(600));
}

#[test]
fn the_refresh_comes_before_the_granted_time_ends_whatever_it_is() {
    for granted in [1, 10, 60, 600, 3600, 86_400] {
        let mut bench = Bench::registered(config(), granted);
        assert_eq!(bench.sent.len(), 1);
        let before = s(u64::from(granted)).mul_f64(0.79);
        bench.wait(before);
        assert_eq!(bench.sent.len(), 1, "too early for {granted}");
        bench.wait(s(u64::from(granted)).mul_f64(0.12));
        assert!(bench.sent.len() >= 2, "too late for {granted}");
        let numbers: Vec<u32> = [0, 1]
            .map(|i: usize| bench.sent[i].1.headers.cseq().unwrap().number)
            .to_vec();
        assert_eq!(numbers[1], numbers[0] + 1);
        assert_eq!(
            bench.sent[0].1.headers.call_id(),
            bench.sent[1].1.headers.call_id()
        );
    }
}

#[test]
fn a_refresh_goes_on_the_flow_of_the_binding() {
    let mut bench = Bench::registered(config(), 60);
    bench.wait(s(55));
    let (destination, _) = &bench.sent[1];
    assert_eq!(
        *destination,
        Destination::Flow {
            id: FLOW,
            path: udp()
        }
    );
}

#[test]
fn a_registration_granted_for_no_time_is_tried_again_later() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.grant(0);
    assert!(!bench.registration.is_registered());
    assert!(matches!(
        bench.last_retry(),
        (Trouble::NothingGranted { .. }, _)
    ));
}

#[test]
fn what_the_registrar_tells_besides_is_passed_on() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.now += Duration::from_millis(42);
    bench.answer(
        200,
        &[
            (
                HeaderName::Contact,
                "<sip:alice-1@10.0.0.5:40000>;expires=60",
            ),
            (
                HeaderName::ServiceRoute,
                "<sip:one.example.com;lr>, <sip:two.example.com;lr>",
            ),
            (HeaderName::PAssociatedUri, "<tel:+4930123>"),
        ],
    );
    let registered = bench.last_registered();
    assert_eq!(registered.round_trip, Some(Duration::from_millis(42)));
    assert_eq!(registered.flow, FLOW);
    assert_eq!(registered.path, udp());
    assert_eq!(registered.contact, "sip:alice-1@10.0.0.5:40000");
    assert_eq!(
        registered.service_route,
        ["<sip:one.example.com;lr>", "<sip:two.example.com;lr>"]
    );
    assert_eq!(registered.associated, ["<tel:+4930123>"]);
}

// ---- 423 ----

#[test]
fn after_a_423_the_minimum_is_asked_for_once() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(423, &[(HeaderName::MinExpires, "1800")]);
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("1800"));
    bench.answer(423, &[(HeaderName::MinExpires, "3600")]);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.count(is_refused), 1);
    assert!(bench.registration.is_drained());
}

#[test]
fn after_a_423_the_raised_time_stays() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(423, &[(HeaderName::MinExpires, "1800")]);
    bench.grant(1800);
    bench.wait(s(1700));
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("1800"));
}

#[test]
fn a_423_that_makes_no_sense_is_a_refusal() {
    for minimum in [None, Some("60"), Some("99999999"), Some("soon")] {
        let mut bench = Bench::new(config());
        bench.register();
        let headers: Vec<_> = minimum
            .iter()
            .map(|value| (HeaderName::MinExpires, *value))
            .collect();
        bench.answer(423, &headers);
        assert_eq!(bench.sent.len(), 1, "{minimum:?}");
        assert_eq!(bench.count(is_refused), 1, "{minimum:?}");
    }
}

// ---- Refusals and failures ----

#[test]
fn definitive_refusals_stop_the_retries_until_a_person_asks_again() {
    for code in [
        302, 400, 403, 404, 405, 410, 416, 420, 501, 505, 600, 603, 604,
    ] {
        let mut bench = Bench::new(config());
        bench.register();
        bench.answer(code, &[]);
        assert_eq!(bench.count(is_refused), 1, "{code}");
        bench.wait(s(100_000));
        assert_eq!(bench.sent.len(), 1, "{code}");
        assert_eq!(bench.deadline, None, "{code}");
        bench.register();
        bench.grant(60);
        assert!(bench.registration.is_registered(), "{code}");
    }
}

#[test]
fn what_may_pass_is_tried_again_by_itself() {
    for code in [408, 480, 486, 500, 502, 503, 504] {
        let mut bench = Bench::new(config());
        bench.register();
        bench.answer(code, &[]);
        let (what, retry_in) = bench.last_retry();
        assert!(matches!(what, Trouble::Status { status, .. } if status.code() == code));
        bench.wait(retry_in);
        assert_eq!(bench.sent.len(), 2, "{code}");
        bench.grant(60);
        assert!(bench.registration.is_registered(), "{code}");
    }
}

#[test]
fn retry_after_is_honoured_with_a_little_spread() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(
        503,
        &[(HeaderName::RetryAfter, "120 (back soon);duration=9")],
    );
    let (_, retry_in) = bench.last_retry();
    assert!((s(120)..s(133)).contains(&retry_in), "{retry_in:?}");
    bench.wait(s(119));
    assert_eq!(bench.sent.len(), 1);
    bench.wait(retry_in - s(119));
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn waits_grow_up_to_ten_minutes_and_differ_between_phones() {
    let waits = |seed: u64| -> Vec<Duration> {
        let mut bench = Bench::seeded(config(), seed);
        bench.register();
        (0..12)
            .map(|_| {
                bench.answer(500, &[]);
                let (_, retry_in) = bench.last_retry();
                bench.wait(retry_in);
                retry_in
            })
            .collect()
    };
    let one = waits(1);
    for (n, wait) in one.iter().enumerate() {
        let whole = s(5 << n.min(20)).min(s(600));
        assert!(*wait >= whole / 2 && *wait <= whole, "{n}: {wait:?}");
    }
    assert_ne!(one, waits(2));
}

#[test]
fn silence_is_tried_again_after_timer_f_and_a_wait() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.wait(s(32));
    let (what, retry_in) = bench.last_retry();
    assert!(matches!(what, Trouble::Request(_)), "{what:?}");
    let sent = bench.sent.len();
    bench.wait(retry_in);
    assert_eq!(bench.sent.len(), sent + 1);
}

#[test]
fn the_next_server_is_tried_when_one_is_dead() {
    let mut bench = Bench::new(config());
    let second = path("192.0.2.2:5060", "10.0.0.5:40000", Transport::Udp);
    bench.paths = Ok(vec![udp(), second]);
    bench.register();
    bench.fail(TransportError::Refused);
    bench.grant(60);
    assert_eq!(bench.last_registered().path, second);
}

#[test]
fn a_silent_server_is_left_after_six_seconds_for_the_next_one_and_told() {
    let mut bench = Bench::new(config());
    let second = path("192.0.2.2:5060", "10.0.0.5:40000", Transport::Udp);
    bench.paths = Ok(vec![udp(), second]);
    bench.register();
    let started = bench.now;
    while bench.last_path() == udp() {
        let next = bench.deadline.expect("something is due");
        bench.wait(next.saturating_duration_since(bench.now));
    }
    assert_eq!(bench.now.duration_since(started), s(6));
    bench.grant(60);
    assert_eq!(bench.last_registered().path, second);
    let told = bench.events.iter().find_map(|event| match event {
        RegistrationEvent::Tried(tried) => Some(tried.clone()),
        _ => None,
    });
    let fault = Fault::Silence;
    assert_eq!(told, Some(Tried { path: udp(), fault }));
}

#[test]
fn a_refresh_stays_with_its_server_and_a_fail_back_goes_in_the_order_told() {
    let mut bench = Bench::new(config());
    let second = path("192.0.2.2:5060", "10.0.0.5:40000", Transport::Udp);
    bench.paths = Ok(vec![udp(), second]);
    bench.register();
    bench.fail(TransportError::Refused);
    bench.grant(60);
    bench.refresh();
    let bound = Destination::Flow {
        id: FLOW,
        path: second,
    };
    assert_eq!(bench.sent.last().map(|(to, _)| *to), Some(bound));
    bench.grant(60);

    // Still dead: back on the flow that stands.
    bench.fail_back();
    assert_eq!(bench.last_path(), udp());
    bench.fail(TransportError::Refused);
    assert_eq!(bench.sent.last().map(|(to, _)| *to), Some(bound));
    bench.grant(60);
    assert_eq!(bench.last_registered().path, second);

    bench.fail_back();
    bench.grant(60);
    assert_eq!(bench.last_registered().path, udp());
}

#[test]
fn a_fail_back_without_binding_or_beside_something_else_does_nothing() {
    let mut bench = Bench::new(config());
    bench.fail_back();
    assert_eq!(bench.sent.len(), 0);
    bench.register();
    bench.fail_back();
    bench.grant(60);
    assert_eq!(bench.sent.len(), 1);
    bench.unregister();
    bench.fail_back();
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn a_name_that_is_not_found_is_tried_again() {
    let mut bench = Bench::new(config());
    bench.paths = Err(ResolveError::NoAnswer);
    bench.register();
    assert_eq!(bench.sent.len(), 0);
    let (what, retry_in) = bench.last_retry();
    assert_eq!(*what, Trouble::Resolve(ResolveError::NoAnswer));
    bench.paths = Ok(vec![udp()]);
    bench.wait(retry_in);
    assert_eq!(bench.sent.len(), 1);
}

// ---- Passwords ----

fn challenge(nonce: &str, stale: bool) -> String {
    let stale = if stale { ", stale=true" } else { "" };
    format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}")
}

#[test]
fn a_wrong_password_is_refused_after_one_try_and_not_tried_again() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(
        401,
        &[(HeaderName::WwwAuthenticate, &challenge("a", false))],
    );
    bench.answer(
        401,
        &[(HeaderName::WwwAuthenticate, &challenge("b", false))],
    );
    bench.wait(s(100_000));
    assert_eq!(bench.sent.len(), 2);
    assert!(matches!(
        bench.events.last(),
        Some(RegistrationEvent::Refused(Refusal::Auth {
            error: AuthError::Refused { .. },
            ..
        }))
    ));
}

#[test]
fn a_missing_password_is_told_apart() {
    let mut bench = Bench::new(RegistrationConfig {
        credentials: Vec::new(),
        ..config()
    });
    bench.register();
    bench.answer(
        401,
        &[(HeaderName::WwwAuthenticate, &challenge("a", false))],
    );
    assert!(matches!(
        bench.events.last(),
        Some(RegistrationEvent::Refused(Refusal::Auth {
            error: AuthError::NoCredentials { .. },
            ..
        }))
    ));
}

#[test]
fn a_refresh_uses_the_nonce_at_once_and_follows_a_stale_one() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(
        401,
        &[(HeaderName::WwwAuthenticate, &challenge("a", false))],
    );
    bench.grant(60);
    bench.wait(s(55));
    let value = bench.last().headers.get(HeaderName::Authorization);
    assert!(value.unwrap().contains("nonce=\"a\"") && value.unwrap().contains("nc=00000002"));
    let sent = bench.sent.len();
    bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge("b", true))]);
    assert_eq!(bench.sent.len(), sent + 1);
    let value = bench.last().headers.get(HeaderName::Authorization);
    assert!(value.unwrap().contains("nonce=\"b\"") && value.unwrap().contains("nc=00000001"));
    bench.grant(60);
    assert_eq!(bench.count(is_refused), 0);
}

#[test]
fn a_proxy_and_a_registrar_of_different_realms_both_get_their_answer() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(
        407,
        &[(HeaderName::ProxyAuthenticate, &challenge("p", false))],
    );
    bench.answer(
        401,
        &[(HeaderName::WwwAuthenticate, &challenge("w", false))],
    );
    assert!(bench.last().headers.has(HeaderName::Authorization));
    assert!(bench.last().headers.has(HeaderName::ProxyAuthorization));
    bench.grant(60);
    assert!(bench.registration.is_registered());
}

/// RFC 7616 §3.5: a registrar that takes each nonce once, and says the next one, is asked once for each refresh.
#[test]
fn a_registrar_with_nonces_for_one_request_costs_no_question_each() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(
        401,
        &[(HeaderName::WwwAuthenticate, &challenge("n0", false))],
    );
    for round in 1..=5 {
        let own = format!("<{}>;expires=60", bench.contact().uri);
        let next = format!("nextnonce=\"n{round}\", qop=auth");
        bench.answer(
            200,
            &[
                (HeaderName::Contact, &own),
                (HeaderName::AuthenticationInfo, &next),
            ],
        );
        bench.wait(s(55));
        let value = bench.last().headers.get(HeaderName::Authorization);
        let value = value.unwrap();
        assert!(value.contains(&format!("nonce=\"n{round}\"")), "{value}");
        assert!(value.contains("nc=00000001"), "{value}");
    }
}
