//! One question and what may come of it.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Message, Method, NameAddr, Request, StatusCode, Uri};

use super::{Options, OptionsConfig, OptionsEvent, Question, answer_options};
use crate::auth::{AuthError, Credentials, Home};
use crate::client::RequestFailure;
use crate::output::Output;
use crate::path::{Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Transport};
use crate::stateless::{self, Capabilities};
use crate::timers::Timers;
use crate::tokens::{Seed, Tokens};

fn udp() -> Path {
    Path {
        transport: Transport::Udp,
        remote: "192.0.2.1:5060".parse().unwrap(),
        local: "10.0.0.5:40000".parse().unwrap(),
    }
}

struct Bench {
    now: Instant,
    options: Options,
    sent: Vec<(Destination, Request)>,
    events: Vec<OptionsEvent>,
    deadline: Option<Instant>,
    asked: Vec<ResolveId>,
}

impl Bench {
    fn asked() -> Self {
        Self::asked_by("sip:example.com")
    }

    /// Asked by somebody whose server is this.
    fn asked_by(home: &str) -> Self {
        Self::asking(home, Question::default())
    }

    fn asking(home: &str, question: Question) -> Self {
        let config = OptionsConfig {
            login_wait: None,
            target: Uri::parse("sip:bob@example.com").unwrap(),
            from: NameAddr::parse("<sip:alice@example.com>").unwrap(),
            route: None,
            transport: None,
            credentials: vec![Credentials::new("alice", "wonder")],
            home: Home::new(vec![Uri::parse(home).unwrap()]),
            capabilities: Capabilities::default(),
            question,
            timers: Timers::default(),
        };
        let mut bench = Self {
            now: Instant::now(),
            options: Options::new(config, &Seed::from_number(3)),
            sent: Vec::new(),
            events: Vec::new(),
            deadline: None,
            asked: Vec::new(),
        };
        bench.options.ask(bench.now);
        bench.drain();
        bench
    }

    fn sent() -> Self {
        let mut bench = Self::asked();
        bench.resolve(Ok(vec![udp()]));
        bench
    }

    fn resolve(&mut self, paths: Result<Vec<Path>, ResolveError>) {
        let id = self.asked.pop().expect("a question");
        self.options.handle_resolved(self.now, id, paths);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.options.poll_output() {
                Output::Transmit(transmit) => {
                    let Ok(Message::Request(request)) = Message::parse(&transmit.bytes) else {
                        panic!("not a request");
                    };
                    self.sent.push((transmit.destination, request));
                }
                Output::Resolve { id, .. } => self.asked.push(id),
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn answer(&mut self, code: u16, header: Option<(HeaderName, &str)>) {
        let (destination, request) = self.sent.last().expect("a request").clone();
        let status = StatusCode::new(code).unwrap();
        let mut response = stateless::response(&request, status, Some("b"));
        if let Some((name, value)) = header {
            response.headers.push(name, value);
        }
        let inbound = Inbound {
            flow: FlowId(4),
            path: *destination.path(),
        };
        self.options.handle_response(self.now, &response, &inbound);
        self.drain();
    }
}

#[test]
fn the_question_says_what_we_can_and_the_answer_who_is_there() {
    let mut bench = Bench::sent();
    let (_, request) = &bench.sent[0];
    assert_eq!(request.method, Method::Options);
    assert_eq!(request.uri.to_string(), "sip:bob@example.com");
    assert_eq!(
        request.headers.get(HeaderName::Accept),
        Some("application/sdp")
    );
    let key = bench.options.owner_key();
    assert_eq!(request.headers.call_id().unwrap(), key.call_id);
    bench.now += Duration::from_millis(12);
    bench.answer(200, Some((HeaderName::Allow, "INVITE, BYE")));
    match bench.events.as_slice() {
        [
            OptionsEvent::Answered {
                status,
                path,
                round_trip,
                allow,
                ..
            },
        ] => {
            assert_eq!(status.code(), 200);
            assert_eq!(*path, udp());
            assert_eq!(*round_trip, Some(Duration::from_millis(12)));
            assert_eq!(allow.as_deref(), Some("INVITE, BYE"));
        }
        other => panic!("{other:?}"),
    }
    assert!(bench.options.is_drained());
    assert_eq!(bench.deadline, None);
}

#[test]
fn a_challenge_is_answered_first() {
    let mut bench = Bench::sent();
    let challenge = r#"Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth""#;
    bench.answer(401, Some((HeaderName::WwwAuthenticate, challenge)));
    assert!(bench.sent[1].1.headers.has(HeaderName::Authorization));
    bench.answer(200, None);
    assert_eq!(bench.events.len(), 1);
}

fn question(method: &str) -> Question {
    Question {
        method: Method::parse(method).unwrap(),
        headers: vec![("X-Room".to_owned(), "42".to_owned())],
        body: Some(("text/plain".to_owned(), b"up".to_vec())),
        contact_user: "alice-7".to_owned(),
    }
}

#[test]
fn a_method_that_nobody_knows_is_sent_challenged_and_answered_like_others() {
    let mut bench = Bench::asking("sip:example.com", question("TELEPORT"));
    bench.resolve(Ok(vec![udp()]));
    let challenge = r#"Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth""#;
    bench.answer(401, Some((HeaderName::WwwAuthenticate, challenge)));
    let (_, request) = &bench.sent[1];
    assert_eq!(request.method.as_str(), "TELEPORT");
    assert_eq!(request.headers.get(HeaderName::from("X-Room")), Some("42"));
    assert_eq!(
        request.headers.get(HeaderName::ContentType),
        Some("text/plain")
    );
    assert_eq!(request.body, b"up");
    assert_eq!(request.headers.cseq().unwrap().method, request.method);
    assert!(request.headers.has(HeaderName::Authorization));
    let more = [HeaderName::Contact, HeaderName::Allow];
    assert!(more.iter().all(|name| !request.headers.has(name)));
    bench.answer(299, Some((HeaderName::Server, "far")));
    let [OptionsEvent::Answered { response, .. }] = bench.events.as_slice() else {
        panic!("{:?}", bench.events);
    };
    assert_eq!(response.status.code(), 299);
    assert_eq!(response.headers.get(HeaderName::Server), Some("far"));
}

#[test]
fn methods_that_have_to_name_their_sender_do_so_once() {
    for (method, given, named) in [
        ("SUBSCRIBE", None, "<sip:alice-7@10.0.0.5:40000>"),
        ("REFER", None, "<sip:alice-7@10.0.0.5:40000>"),
        ("REFER", Some("m"), "<sip:else@example.com>"),
        ("REGISTER", None, ""),
        ("REGISTER", Some("Contact"), "<sip:else@example.com>"),
    ] {
        let mut question = question(method);
        let contact = |name: &str| (name.to_owned(), "<sip:else@example.com>".to_owned());
        question.headers.extend(given.map(contact));
        let mut bench = Bench::asking("sip:example.com", question);
        bench.resolve(Ok(vec![udp()]));
        let (_, request) = &bench.sent[0];
        let contacts: Vec<_> = request.headers.get_all(HeaderName::Contact).collect();
        assert_eq!(contacts.join(" "), named, "{method} {given:?}");
    }
}

#[test]
fn what_belongs_to_an_invite_is_not_sent_alone() {
    for method in ["INVITE", "ACK", "CANCEL", "PRACK"] {
        let method = Method::parse(method).unwrap();
        assert!(Question::refusal(&method).is_some(), "{method}");
    }
    for method in ["OPTIONS", "invite", "BYE", "REGISTER", "X"] {
        let method = Method::parse(method).unwrap();
        assert_eq!(Question::refusal(&method), None, "{method}");
    }
}

#[test]
fn silence_and_unknown_names_are_told() {
    let mut silent = Bench::sent();
    while let Some(next) = silent.deadline {
        silent.now = next;
        silent.options.handle_timeout(next);
        silent.drain();
    }
    assert!(matches!(
        silent.events.as_slice(),
        [OptionsEvent::Failed(RequestFailure::Silent { .. })]
    ));
    assert!(silent.options.is_drained());

    let mut unknown = Bench::asked();
    unknown.resolve(Err(ResolveError::NotFound("example.com".to_owned())));
    assert!(matches!(
        unknown.events.as_slice(),
        [OptionsEvent::Unresolved(_)]
    ));
    assert!(unknown.options.is_drained());
}

#[test]
fn a_second_asking_asks_nothing() {
    let mut bench = Bench::sent();
    bench.options.ask(bench.now);
    bench.drain();
    assert_eq!((bench.sent.len(), bench.asked.len()), (1, 0));
}

#[test]
fn being_asked_we_say_what_we_can_or_that_we_are_busy() {
    let request = Bench::sent().sent[0].1.clone();
    let capabilities = Capabilities::default();
    let tokens = Tokens::new(&Seed::from_number(1));
    let ok = answer_options(&request, false, &capabilities, &tokens);
    assert_eq!(ok.status.code(), 200);
    assert!(ok.headers.has(HeaderName::Allow) && ok.headers.has(HeaderName::Accept));
    let busy = answer_options(&request, true, &capabilities, &tokens);
    assert_eq!(busy.status.code(), 486);
    let mut demanding = request;
    demanding.headers.push(HeaderName::Require, "moon");
    let refused = answer_options(&demanding, false, &capabilities, &tokens);
    assert_eq!(refused.status.code(), 420);
    assert_eq!(refused.headers.get(HeaderName::Unsupported), Some("moon"));
}

#[test]
fn a_stranger_that_challenges_gets_no_credentials() {
    let mut bench = Bench::asked_by("sip:example.org");
    bench.resolve(Ok(vec![udp()]));
    let challenge = r#"Digest realm="example.com", nonce="n", qop="auth""#;
    bench.answer(401, Some((HeaderName::WwwAuthenticate, challenge)));
    assert_eq!(bench.sent.len(), 1, "asked once and not again");
    assert!(matches!(
        bench.events.last(),
        Some(OptionsEvent::Failed(RequestFailure::Auth {
            error: AuthError::NoCredentials { .. },
            ..
        }))
    ));
}

#[test]
fn an_owner_who_waits_no_longer_gets_the_reason_so_far() {
    let mut bench = Bench::sent();
    bench.options.give_up(bench.now);
    bench.drain();
    assert!(matches!(
        bench.events.as_slice(),
        [OptionsEvent::Failed(RequestFailure::Silent { path })] if *path == udp()
    ));
    assert!(bench.options.is_drained());
    assert_eq!(bench.deadline, None);
    // And nothing after that, whatever comes.
    bench.options.give_up(bench.now);
    bench.drain();
    bench.answer(200, None);
    assert_eq!(bench.events.len(), 1);

    let mut unknown = Bench::asked();
    unknown.options.give_up(unknown.now);
    unknown.drain();
    assert!(matches!(
        unknown.events.as_slice(),
        [OptionsEvent::Unresolved(ResolveError::NoAnswer)]
    ));
}
