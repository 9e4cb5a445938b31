//! A publication against a server made of answers, in virtual time (RFC 3903 §4).

mod sequences;

use std::time::{Duration, Instant};

use sip_message::{Event, HeaderName, Message, NameAddr, Request, StatusCode};

use super::{Publication, PublicationConfig, PublicationEvent};
use crate::events::Fault;
use crate::output::Output;
use crate::path::{FlowId, Inbound, Path, ResolveError, ResolveId, Transport};
use crate::stateless;
use crate::tokens::Seed;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Bench {
    now: Instant,
    publication: Publication,
    lost: bool,
    sent: Vec<Request>,
    events: Vec<PublicationEvent>,
    deadline: Option<Instant>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let entity = NameAddr::parse("<sip:alice@example.com>").unwrap();
        let config = PublicationConfig::new(entity, Event::new("presence"));
        Self {
            now: Instant::now(),
            publication: Publication::new(config, &Seed::from_number(seed)),
            lost: false,
            sent: Vec::new(),
            events: Vec::new(),
            deadline: None,
        }
    }

    fn published(seconds: u32) -> Self {
        let mut bench = Self::new(1);
        bench.publish("open");
        bench.done("e1", seconds);
        assert!(bench.publication.is_published());
        bench
    }

    fn settle(&mut self) {
        let mut asked: Option<ResolveId> = None;
        loop {
            match self.publication.poll_output() {
                Output::Transmit(transmit) => match Message::parse(&transmit.bytes).unwrap() {
                    Message::Request(request) => self.sent.push(request),
                    Message::Response(_) => unreachable!("nobody asked"),
                },
                Output::Resolve { id, .. } => asked = Some(id),
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    let Some(id) = asked.take() else { return };
                    let paths = if self.lost {
                        Err(ResolveError::NoAnswer)
                    } else {
                        Ok(vec![path()])
                    };
                    self.publication.handle_resolved(self.now, id, paths);
                }
            }
        }
    }

    fn publish(&mut self, state: &str) {
        let body = state.as_bytes().to_vec();
        self.publication
            .publish(self.now, "application/pidf+xml", body);
        self.settle();
    }

    fn remove(&mut self) {
        self.publication.remove(self.now);
        self.settle();
    }

    fn wait(&mut self, wait: Duration) {
        let end = self.now + wait;
        while let Some(next) = self.deadline.filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.publication.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn last(&self) -> &Request {
        self.sent.last().expect("something was sent")
    }

    /// SIP-If-Match, Expires and the body of the last PUBLISH.
    fn table_1(&self) -> (Option<&str>, &str, &str) {
        let last = self.last();
        (
            last.headers.get(HeaderName::SipIfMatch),
            last.headers.get(HeaderName::Expires).unwrap(),
            std::str::from_utf8(&last.body).unwrap(),
        )
    }

    fn answer(&mut self, code: u16, headers: &[(HeaderName, &str)]) {
        let status = StatusCode::new(code).unwrap();
        let mut response = stateless::response(self.last(), status, Some("esc"));
        for (name, value) in headers {
            response.headers.push(name.clone(), value);
        }
        let inbound = Inbound {
            flow: FlowId(9),
            path: path(),
        };
        self.publication
            .handle_response(self.now, &response, &inbound);
        self.settle();
    }

    fn done(&mut self, etag: &str, seconds: u32) {
        let expires = seconds.to_string();
        self.answer(
            200,
            &[(HeaderName::SipEtag, etag), (HeaderName::Expires, &expires)],
        );
    }

    fn count(&self, is: impl Fn(&PublicationEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }
}

fn path() -> Path {
    Path {
        transport: Transport::Udp,
        remote: "192.0.2.1:5060".parse().unwrap(),
        local: "10.0.0.5:40000".parse().unwrap(),
    }
}

fn is_removed(event: &PublicationEvent) -> bool {
    matches!(event, PublicationEvent::Removed)
}

fn is_published(event: &PublicationEvent) -> bool {
    matches!(event, PublicationEvent::Published { .. })
}

// ---- RFC 3903 §4.1 Table 1: which headers each operation has ----

#[test]
fn the_first_publication_has_a_body_and_no_condition() {
    let mut bench = Bench::new(1);
    bench.publish("open");
    assert_eq!(bench.table_1(), (None, "3600", "open"));
    assert_eq!(
        bench.last().headers.get(HeaderName::Event),
        Some("presence")
    );
    assert!(!bench.last().headers.has(HeaderName::Contact));
    bench.done("e1", 600);
    assert_eq!(bench.count(is_published), 1);
}

#[test]
fn a_refresh_names_the_etag_and_has_no_body() {
    let mut bench = Bench::published(600);
    bench.wait(s(541));
    assert_eq!(bench.table_1(), (Some("e1"), "3600", ""));
    bench.done("e2", 600);
    bench.wait(s(541));
    assert_eq!(bench.table_1(), (Some("e2"), "3600", ""));
}

#[test]
fn changed_state_names_the_etag_and_has_a_body() {
    let mut bench = Bench::published(600);
    bench.publish("busy");
    assert_eq!(bench.table_1(), (Some("e1"), "3600", "busy"));
}

#[test]
fn a_removal_names_the_etag_and_asks_for_no_time() {
    let mut bench = Bench::published(600);
    bench.remove();
    assert_eq!(bench.table_1(), (Some("e1"), "0", ""));
    bench.answer(
        200,
        &[(HeaderName::SipEtag, "e2"), (HeaderName::Expires, "0")],
    );
    assert_eq!(bench.count(is_removed), 1);
    assert!(bench.publication.is_drained());
    assert_eq!(bench.deadline, None);
}

#[test]
fn of_several_changes_on_the_way_only_the_last_goes_out() {
    let mut bench = Bench::new(1);
    for state in ["one", "two", "three"] {
        bench.publish(state);
    }
    assert_eq!(bench.sent.len(), 1);
    bench.done("e1", 600);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.table_1(), (Some("e1"), "3600", "three"));
    assert_eq!(bench.count(is_published), 0, "not yet what was given last");
    bench.done("e2", 600);
    assert_eq!(bench.count(is_published), 1);
}

// ---- RFC 3903 §4.2–4.5, the answers ----

#[test]
fn a_412_begins_as_for_the_first_time() {
    let mut bench = Bench::published(600);
    bench.wait(s(541));
    bench.answer(412, &[]);
    assert_eq!(bench.table_1(), (None, "3600", "open"));
    bench.done("e9", 600);
    bench.publish("busy");
    bench.answer(412, &[]);
    assert_eq!(bench.table_1(), (None, "3600", "busy"));
    bench.done("e10", 600);
    bench.remove();
    bench.answer(412, &[]);
    assert_eq!(bench.count(is_removed), 1);
}

#[test]
fn a_423_is_followed_once() {
    let mut bench = Bench::new(1);
    bench.publish("open");
    bench.answer(423, &[(HeaderName::MinExpires, "7200")]);
    assert_eq!(bench.table_1(), (None, "7200", "open"));
    bench.answer(423, &[(HeaderName::MinExpires, "9000")]);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(
        bench.count(|e| matches!(e, PublicationEvent::Refused(_))),
        1
    );
}

#[test]
fn refusals_stop_it_and_troubles_do_not() {
    for code in [403, 404, 415, 489] {
        let mut bench = Bench::new(1);
        bench.publish("open");
        bench.answer(code, &[]);
        bench.wait(s(100_000));
        assert_eq!(bench.sent.len(), 1, "{code}");
        assert!(bench.publication.is_drained(), "{code}");
        bench.publish("again");
        assert_eq!(bench.sent.len(), 2, "{code}");
    }
    for code in [500, 503, 480] {
        let mut bench = Bench::new(1);
        bench.publish("open");
        bench.answer(code, &[]);
        bench.wait(s(5));
        assert_eq!(bench.table_1(), (None, "3600", "open"), "{code}");
        bench.done("e1", 600);
        assert_eq!(bench.count(is_published), 1, "{code}");
    }
}

#[test]
fn a_2xx_without_etag_or_time_is_told_and_tried_again() {
    let mut bench = Bench::new(1);
    bench.publish("open");
    bench.answer(200, &[]);
    assert!(matches!(
        bench.events.last(),
        Some(PublicationEvent::Failed {
            what: Fault::Incomplete { .. },
            ..
        })
    ));
    bench.wait(s(5));
    bench.done("e1", 0);
    assert!(matches!(
        bench.events.last(),
        Some(PublicationEvent::Failed {
            what: Fault::NothingGranted { .. },
            ..
        })
    ));
}

#[test]
fn state_not_renewed_in_time_is_published_anew() {
    let mut bench = Bench::published(60);
    bench.lost = true;
    bench.wait(s(70));
    assert!(!bench.publication.is_published());
    bench.lost = false;
    bench.wait(s(100));
    let last = bench.table_1();
    assert_eq!(last, (None, "3600", "open"));
}

#[test]
fn a_removal_waits_for_what_is_on_its_way() {
    let mut bench = Bench::new(1);
    bench.publish("open");
    bench.remove();
    assert_eq!(bench.sent.len(), 1);
    bench.done("e1", 600);
    assert_eq!(bench.table_1(), (Some("e1"), "0", ""));
    bench.publish("back");
    bench.answer(200, &[]);
    assert_eq!(bench.table_1(), (None, "3600", "back"));
    assert_eq!(bench.count(is_removed), 0);
}

#[test]
fn removing_nothing_is_done_at_once() {
    let mut bench = Bench::new(1);
    bench.remove();
    assert_eq!(bench.sent.len(), 0);
    assert_eq!(bench.count(is_removed), 1);
    assert!(bench.publication.is_drained());
}
