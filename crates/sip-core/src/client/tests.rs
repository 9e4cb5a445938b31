//! One request over its paths and through its challenges.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Message, Method, Request, Response, StatusCode, Uri};

use super::{
    Answered, ClientContext, ClientRequest, ClientRequestOutput, ContactTemplate, Draft,
    RequestFailure, RequestResult,
};
use crate::auth::{AuthError, Authenticator, Credentials};
use crate::locate::Fault;
use crate::path::{Destination, FlowId, Inbound, Path, Transport, TransportError};
use crate::stateless;
use crate::timers::Timers;
use crate::tokens::{Seed, Tokens};

fn path(host: u8, transport: Transport) -> Path {
    Path {
        transport,
        remote: format!("192.0.2.{host}:5060").parse().unwrap(),
        local: "192.0.2.100:40000".parse().unwrap(),
    }
}

/// A request, its owner's shared things, and what it has sent.
struct Bench {
    now: Instant,
    request: ClientRequest,
    authenticator: Authenticator,
    tokens: Tokens,
    cseq: u32,
    sent: Vec<(Destination, Request)>,
    /// Whether each of these went over TCP for its size alone.
    for_size: Vec<bool>,
    notices: Vec<String>,
    provisionals: Vec<u16>,
    result: Vec<RequestResult>,
    /// The realms that a person is asked for a login of.
    asked: Vec<String>,
}

macro_rules! context {
    ($bench:expr) => {
        &mut ClientContext {
            authenticator: &mut $bench.authenticator,
            tokens: &mut $bench.tokens,
            cseq: &mut $bench.cseq,
            timers: &Timers::default(),
        }
    };
}

impl Bench {
    fn new(destinations: Vec<Destination>, body: usize) -> Self {
        Self::asking(Method::Message, destinations, body)
    }

    fn asking(method: Method, destinations: Vec<Destination>, body: usize) -> Self {
        let mut request = Request::new(method, Uri::parse("sip:bob@example.com").unwrap());
        for (name, value) in [
            (HeaderName::From, "<sip:alice@example.com>;tag=a"),
            (HeaderName::To, "<sip:bob@example.com>"),
            (HeaderName::CallId, "c"),
        ] {
            request.headers.push(name, value);
        }
        request.set_body("text/plain", vec![b'x'; body]);
        let draft = Draft {
            request,
            contact: Some(ContactTemplate {
                user: "me".to_owned(),
                public: None,
                name: None,
                params: vec!["expires=60".to_owned()],
            }),
        };
        let now = Instant::now();
        let mut authenticator = Authenticator::new(vec![Credentials::new("alice", "wonder")]);
        let mut tokens = Tokens::new(&Seed::from_number(5));
        let mut cseq = 10;
        let request = ClientRequest::new(
            now,
            draft,
            destinations,
            &mut ClientContext {
                authenticator: &mut authenticator,
                tokens: &mut tokens,
                cseq: &mut cseq,
                timers: &Timers::default(),
            },
        );
        let mut bench = Self {
            now,
            request,
            authenticator,
            tokens,
            cseq,
            sent: Vec::new(),
            for_size: Vec::new(),
            notices: Vec::new(),
            provisionals: Vec::new(),
            result: Vec::new(),
            asked: Vec::new(),
        };
        bench.drain();
        bench
    }

    fn udp(hosts: &[u8]) -> Self {
        let to = |host: &u8| Destination::Path(path(*host, Transport::Udp));
        Self::new(hosts.iter().map(to).collect(), 0)
    }

    fn registering(hosts: &[u8]) -> Self {
        let to = |host: &u8| Destination::Path(path(*host, Transport::Udp));
        Self::asking(Method::Register, hosts.iter().map(to).collect(), 0)
    }

    fn drain(&mut self) {
        while let Some(output) = self.request.poll_output() {
            match output {
                ClientRequestOutput::Transmit(transmit) => {
                    let Ok(Message::Request(request)) = Message::parse(&transmit.bytes) else {
                        panic!("not a request");
                    };
                    self.sent.push((transmit.destination, request));
                    self.for_size.push(transmit.for_size);
                }
                ClientRequestOutput::Provisional(response) => {
                    self.provisionals.push(response.status.code());
                }
                ClientRequestOutput::Notice(text) => self.notices.push(text.into_revealed()),
                ClientRequestOutput::LoginWanted(wanted) => self.asked.push(wanted.realm),
                ClientRequestOutput::LoginSettled { realm } => {
                    self.asked.retain(|asked| *asked != realm);
                }
                ClientRequestOutput::Done(result) => self.result.push(result),
            }
        }
    }

    fn last(&self) -> &(Destination, Request) {
        self.sent.last().expect("something was sent")
    }

    fn answer_with(&mut self, code: u16, header: Option<(HeaderName, &str)>) {
        let (destination, request) = self.last().clone();
        let status = StatusCode::new(code).unwrap();
        let mut response: Response = stateless::response(&request, status, Some("b"));
        if let Some((name, value)) = header {
            response.headers.push(name, value);
        }
        let inbound = Inbound {
            flow: FlowId(77),
            path: *destination.path(),
        };
        self.request
            .handle_response(self.now, &response, &inbound, context!(self));
        self.drain();
    }

    fn answer(&mut self, code: u16) {
        self.answer_with(code, None);
    }

    fn fail(&mut self, error: TransportError) {
        let branch = self.request.branch().expect("something runs").to_owned();
        self.request
            .handle_transport_error(self.now, &branch, error, context!(self));
        self.drain();
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = self.request.deadline().filter(|next| *next <= end) {
            self.now = next;
            self.request.handle_timeout(self.now, context!(self));
            self.drain();
        }
        self.now = end;
    }

    fn answered(&self) -> &Answered {
        match self.result.as_slice() {
            [RequestResult::Answered(answered)] => answered,
            other => panic!("{other:?}"),
        }
    }

    fn failure(&self) -> &RequestFailure {
        match self.result.as_slice() {
            [RequestResult::Failed(failure)] => failure,
            other => panic!("{other:?}"),
        }
    }
}

fn numbers(bench: &Bench) -> Vec<u32> {
    bench
        .sent
        .iter()
        .map(|(_, request)| request.headers.cseq().unwrap().number)
        .collect()
}

const CHALLENGE: &str = r#"Digest realm="r", nonce="n", qop="auth""#;

#[test]
fn a_request_carries_the_via_and_contact_of_its_path_and_says_who_answered() {
    let mut bench = Bench::udp(&[1]);
    let (_, sent) = bench.last();
    let via = sent.headers.via_top().unwrap();
    assert!(via.has_magic_cookie() && via.rport() == Some(None));
    assert_eq!(via.sent_by.to_string(), "192.0.2.100");
    assert_eq!(
        sent.headers.get(HeaderName::Contact),
        Some("<sip:me@192.0.2.100:40000>;expires=60")
    );
    assert_eq!(sent.headers.get(HeaderName::MaxForwards), Some("70"));
    assert_eq!(sent.headers.get(HeaderName::CSeq), Some("11 MESSAGE"));
    bench.now += Duration::from_millis(30);
    bench.answer(200);
    let answered = bench.answered();
    assert_eq!(answered.inbound.flow, FlowId(77));
    assert_eq!(answered.path, path(1, Transport::Udp));
    assert_eq!(answered.round_trip, Some(Duration::from_millis(30)));
    assert!(bench.request.is_done() && bench.request.deadline().is_none());
}

#[test]
fn the_round_trip_of_a_repeated_request_is_not_known() {
    let mut bench = Bench::udp(&[1]);
    bench.wait(600);
    bench.answer(200);
    assert_eq!(bench.answered().round_trip, None);
}

#[test]
fn the_next_path_is_tried_on_a_transport_error_on_503_and_on_silence() {
    let mut bench = Bench::udp(&[1, 2, 3, 4]);
    bench.fail(TransportError::Refused);
    bench.answer(503);
    bench.wait(32_000);
    let hosts: Vec<String> = bench
        .sent
        .iter()
        .map(|(to, _)| to.path().remote.ip().to_string())
        .collect();
    assert_eq!(hosts[..3], ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(hosts.last().unwrap(), "192.0.2.4");
    let branches: std::collections::HashSet<String> = bench
        .sent
        .iter()
        .map(|(_, r)| r.headers.via_top().unwrap().branch().unwrap().to_owned())
        .collect();
    assert_eq!(branches.len(), 4);
    assert_eq!(bench.notices.len(), 3);
    bench.answer(200);
    assert_eq!(bench.answered().path, path(4, Transport::Udp));
}

#[test]
fn a_503_of_the_last_server_is_the_answer() {
    let mut bench = Bench::udp(&[1]);
    bench.answer_with(503, Some((HeaderName::RetryAfter, "60")));
    assert_eq!(bench.answered().response.status.code(), 503);
}

#[test]
fn a_late_answer_of_a_path_given_up_is_dropped() {
    let mut bench = Bench::udp(&[1, 2]);
    let first = bench.last().clone();
    bench.fail(TransportError::Unreachable);
    let late = stateless::response(&first.1, StatusCode::OK, Some("b"));
    let inbound = Inbound {
        flow: FlowId(1),
        path: *first.0.path(),
    };
    assert!(
        !bench
            .request
            .handle_response(bench.now, &late, &inbound, context!(bench))
    );
    assert_eq!(bench.request.ignored(), 1);
    assert!(!bench.request.is_done());
}

#[test]
fn the_last_failure_is_told_when_no_path_is_left() {
    let mut silent = Bench::udp(&[1]);
    silent.wait(32_000);
    assert_eq!(
        *silent.failure(),
        RequestFailure::Silent {
            path: path(1, Transport::Udp)
        }
    );
    let mut refused = Bench::udp(&[1]);
    refused.fail(TransportError::Refused);
    assert_eq!(
        *refused.failure(),
        RequestFailure::Transport {
            path: path(1, Transport::Udp),
            error: TransportError::Refused
        }
    );
    assert_eq!(*Bench::udp(&[]).failure(), RequestFailure::NoPath);
}

#[test]
fn a_challenge_after_a_provisional_is_answered_with_the_next_cseq_and_a_new_branch_on_the_flow() {
    let mut bench = Bench::udp(&[1]);
    bench.answer(100);
    bench.answer_with(401, Some((HeaderName::WwwAuthenticate, CHALLENGE)));
    assert_eq!(bench.provisionals, [100]);
    assert_eq!(numbers(&bench), [11, 12]);
    let (destination, request) = bench.last();
    assert!(matches!(
        destination,
        Destination::Flow { id: FlowId(77), .. }
    ));
    assert!(request.headers.has(HeaderName::Authorization));
    assert_ne!(
        request.headers.via_top().unwrap().branch(),
        bench.sent[0].1.headers.via_top().unwrap().branch()
    );
    bench.answer(200);
    assert_eq!(bench.answered().response.status.code(), 200);
    assert_eq!(bench.cseq, 12);
}

#[test]
fn a_password_refused_is_told_once_and_not_tried_again() {
    let mut bench = Bench::udp(&[1, 2]);
    bench.answer_with(407, Some((HeaderName::ProxyAuthenticate, CHALLENGE)));
    bench.answer_with(407, Some((HeaderName::ProxyAuthenticate, CHALLENGE)));
    assert_eq!(bench.sent.len(), 2);
    assert!(matches!(
        bench.failure(),
        RequestFailure::Auth {
            error: AuthError::Refused { .. },
            ..
        }
    ));
}

#[test]
fn whoever_gives_up_a_request_takes_its_question_back() {
    let mut bench = Bench::udp(&[1]);
    bench.authenticator = Authenticator::new(Vec::new());
    bench.request = bench.request.asking(Some(Duration::from_secs(60)));
    let challenge = "Digest realm=\"pbx\", nonce=\"n\", algorithm=MD5";
    bench.answer_with(401, Some((HeaderName::WwwAuthenticate, challenge)));
    assert_eq!(bench.asked, ["pbx"]);
    assert!(bench.result.is_empty());
    bench.request.give_up(bench.now);
    bench.drain();
    assert_eq!(bench.asked, Vec::<String>::new());
    assert!(matches!(bench.failure(), RequestFailure::Silent { .. }));
    assert!(bench.request.is_done() && bench.request.deadline().is_none());
}

#[test]
fn a_request_over_1300_bytes_goes_by_tcp_and_says_so() {
    let bench = Bench::new(vec![Destination::Path(path(1, Transport::Udp))], 1300);
    let (destination, request) = bench.last();
    assert_eq!(destination.transport(), Transport::Tcp);
    assert_eq!(
        request.headers.via_top().unwrap().transport.to_string(),
        "TCP"
    );
    assert_eq!(bench.notices.len(), 1);
    let small = Bench::new(vec![Destination::Path(path(1, Transport::Udp))], 500);
    assert_eq!(small.last().0.transport(), Transport::Udp);
    assert_eq!(small.notices.len(), 0);
    assert_eq!(small.for_size, [false]);
    // Where TCP is what was asked for, its size is not the reason.
    let by_tcp = Bench::new(vec![Destination::Path(path(1, Transport::Tcp))], 1300);
    assert_eq!(by_tcp.for_size, [false]);
}

#[test]
fn a_large_request_goes_by_udp_after_all_only_when_there_is_no_tcp() {
    let large = || Bench::new(vec![Destination::Path(path(1, Transport::Udp))], 1300);
    let mut refused = large();
    refused.fail(TransportError::Refused);
    assert_eq!(refused.last().0.transport(), Transport::Udp);
    assert_eq!(refused.notices.len(), 2);
    assert_eq!(refused.for_size, [true, false]);
    refused.answer(200);
    assert_eq!(refused.result.len(), 1);

    // Nothing is told as tried that was not.
    let mut known = large();
    known.fail(TransportError::NoTcp);
    assert_eq!(known.last().0.transport(), Transport::Udp);
    assert_eq!(known.for_size, [true, false]);
    let [first, second] = known.notices.as_slice() else {
        panic!("{:?}", known.notices)
    };
    assert!(!first.to_string().contains("trying"), "{first}");
    assert_eq!(
        second.to_string(),
        "TCP is known not to lead there, the large request goes by UDP"
    );

    // On a connection that was there it may have arrived, however that ended.
    let timed_out = TransportError::Other("connection timed out".to_owned());
    for error in [TransportError::Closed, timed_out] {
        let mut broken = large();
        broken.fail(error);
        assert_eq!(broken.sent.len(), 1);
        assert!(matches!(broken.failure(), RequestFailure::Transport { .. }));
    }
}

#[test]
fn a_connection_that_is_gone_is_made_again_before_the_next_server() {
    let flow = Destination::Flow {
        id: FlowId(3),
        path: path(1, Transport::Tcp),
    };
    let next = Destination::Path(path(2, Transport::Tcp));
    let mut bench = Bench::new(vec![flow, next], 0);
    bench.fail(TransportError::Closed);
    assert_eq!(bench.last().0, Destination::Path(path(1, Transport::Tcp)));
    bench.fail(TransportError::Refused);
    assert_eq!(bench.last().0, next);
}

#[test]
fn contacts_put_brackets_round_ipv6_and_keep_to_the_family_of_the_path() {
    let template = ContactTemplate {
        user: "me".to_owned(),
        public: Some("198.51.100.1:1024".parse().unwrap()),
        name: None,
        params: Vec::new(),
    };
    let six = Path {
        transport: Transport::Tcp,
        remote: "[2001:db8::1]:5060".parse().unwrap(),
        local: "[2001:db8::2]:5062".parse().unwrap(),
    };
    assert_eq!(
        template.value(&six),
        "<sip:me@[2001:db8::2]:5062;transport=tcp>"
    );
    assert_eq!(
        template.value(&path(1, Transport::Udp)),
        "<sip:me@198.51.100.1:1024>"
    );
}

// ---- Patience ----

fn impatient(hosts: &[u8]) -> Bench {
    let mut bench = Bench::udp(hosts);
    bench.request = bench.request.with_patience(Some(Duration::from_secs(6)));
    bench
}

fn tried(bench: &mut Bench) -> Vec<(String, Fault)> {
    std::iter::from_fn(|| bench.request.poll_tried())
        .map(|tried| (tried.path.remote.ip().to_string(), tried.fault))
        .collect()
}

#[test]
fn a_silent_server_is_left_early_while_there_is_another_and_the_last_has_timer_f() {
    let mut bench = impatient(&[1, 2]);
    bench.wait(5_999);
    assert_eq!(bench.last().0.path().remote.ip().to_string(), "192.0.2.1");
    bench.wait(1);
    assert_eq!(bench.last().0.path().remote.ip().to_string(), "192.0.2.2");
    assert_eq!(
        tried(&mut bench),
        [("192.0.2.1".to_owned(), Fault::Silence)]
    );
    bench.wait(31_999);
    assert!(bench.result.is_empty());
    bench.wait(1);
    assert!(matches!(bench.failure(), RequestFailure::Silent { .. }));
    assert_eq!(
        tried(&mut bench),
        [("192.0.2.2".to_owned(), Fault::Silence)]
    );
}

#[test]
fn a_server_that_said_anything_may_take_its_time() {
    let mut bench = impatient(&[1, 2]);
    bench.answer(100);
    bench.wait(20_000);
    assert_eq!(bench.last().0.path().remote.ip().to_string(), "192.0.2.1");
    bench.wait(12_000);
    assert_eq!(bench.last().0.path().remote.ip().to_string(), "192.0.2.2");
}

#[test]
fn servers_that_failed_are_told_with_the_reason() {
    let mut bench = Bench::registering(&[1, 2, 3]);
    bench.answer_with(503, Some((HeaderName::RetryAfter, "120 (busy)")));
    bench.fail(TransportError::Refused);
    // The last one's 503 is the answer, and told too.
    bench.answer(503);
    assert_eq!(bench.answered().response.status.code(), 503);
    let unavailable = |seconds: Option<u64>| Fault::Unavailable {
        retry_after: seconds.map(Duration::from_secs),
    };
    assert_eq!(
        tried(&mut bench),
        [
            ("192.0.2.1".to_owned(), unavailable(Some(120))),
            (
                "192.0.2.2".to_owned(),
                Fault::Transport(TransportError::Refused)
            ),
            ("192.0.2.3".to_owned(), unavailable(None)),
        ]
    );
}

#[test]
fn rfc3263_4_3_a_503_to_what_is_no_registration_leads_on_and_is_told_of_no_server() {
    let methods = [
        Method::Message,
        Method::Subscribe,
        Method::Publish,
        Method::Options,
    ];
    for method in methods {
        let to = |host| Destination::Path(path(host, Transport::Udp));
        let mut bench = Bench::asking(method.clone(), vec![to(1), to(2), to(3)], 0);
        bench.answer_with(503, Some((HeaderName::RetryAfter, "120")));
        assert_eq!(bench.last().0, to(2), "{method}");
        // What is wrong with a server is told as for any request.
        bench.fail(TransportError::Refused);
        bench.answer(503);
        assert_eq!(bench.answered().response.status.code(), 503, "{method}");
        let refused = Fault::Transport(TransportError::Refused);
        assert_eq!(
            tried(&mut bench),
            [("192.0.2.2".to_owned(), refused)],
            "{method}"
        );
    }
}

#[test]
fn a_server_without_tcp_for_what_is_large_has_not_failed() {
    // Most firewalls say nothing where RFC 3261 §18.1.1 knows a refusal.
    for error in [
        TransportError::Refused,
        TransportError::TimedOut,
        TransportError::Unreachable,
    ] {
        let to = Destination::Path(path(1, Transport::Udp));
        let mut bench = Bench::new(vec![to], 2_000);
        assert_eq!(bench.last().0.transport(), Transport::Tcp);
        bench.fail(error);
        assert_eq!(bench.last().0.transport(), Transport::Udp);
        bench.answer(200);
        assert_eq!(tried(&mut bench), []);
    }
}
