//! Tapes that are made and played, and those that are kept: a file in `tests/data/replay` is a call or
//! a registration that once went wrong, or one of each kind that goes right.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use replay::{Played, Sink, Taped, play};
use sip_core::auth::server::{Verdict, Verifier};
use sip_core::auth::{Algorithm, Credentials, Home};
use sip_core::call::{Call, CallConfig, InfoDigit};
use sip_core::registration::RegistrationConfig;
use sip_core::{
    FlowId, Inbound, Output, Path, ResolveError, Seed, Transport, TransportError, stateless,
};
use sip_message::{HeaderName, Message, NameAddr, Request, Response, StatusCode, Uri};

const PASSWORD: &str = "a password that stands nowhere";

/// A tape in memory.
#[derive(Clone, Default)]
struct Reel(Arc<Mutex<String>>);

impl Reel {
    fn sink(&self) -> Sink {
        let reel = Arc::clone(&self.0);
        Box::new(move |line| {
            let mut reel = reel.lock().unwrap();
            reel.push_str(&line);
            reel.push('\n');
        })
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

fn inbound() -> Inbound {
    Inbound {
        flow: FlowId(7),
        path: Path {
            transport: Transport::Udp,
            remote: "192.0.2.2:5060".parse().unwrap(),
            local: "192.0.2.1:5060".parse().unwrap(),
        },
    }
}

fn door() -> Verifier {
    Verifier::new(
        "example.com",
        vec![Algorithm::Sha256, Algorithm::Md5],
        false,
        Duration::from_secs(600),
        &Seed::from_number(99),
    )
}

fn config() -> CallConfig {
    let local = NameAddr::parse("\"Alice\" <sip:alice@example.com>").unwrap();
    let mut config = CallConfig::new(local, "alice-1").with_transfers();
    config = config.to(NameAddr::parse("<sip:bob@example.com>").unwrap());
    config.route = vec![Uri::parse("sip:192.0.2.2;lr").unwrap()];
    config.credentials = vec![Credentials::new("alice", PASSWORD)];
    config.home = Home::new(vec![Uri::parse("sip:192.0.2.2").unwrap()]);
    config.capabilities.user_agent = "Tipring".to_owned();
    config.extra_headers = vec![("X-Room".to_owned(), "12".to_owned())];
    config
}

/// A call with a tape, and all that it sent.
struct Phone {
    now: Instant,
    call: Taped<Call>,
    sent: VecDeque<Message>,
    deadline: Option<Instant>,
}

impl Phone {
    fn dial(reel: &Reel, seed: u64) -> Self {
        let now = Instant::now();
        let offer = Some(b"v=0 offer".to_vec());
        let tape = Some(("call 1".to_owned(), reel.sink()));
        let call = Taped::outgoing(now, config(), offer, &Seed::from_number(seed), tape);
        let mut phone = Self {
            now,
            call,
            sent: VecDeque::new(),
            deadline: None,
        };
        phone.settle();
        phone
    }

    fn settle(&mut self) {
        loop {
            let mut question = None;
            loop {
                match self.call.poll_output() {
                    Output::Transmit(transmit) => {
                        self.sent
                            .push_back(Message::parse(&transmit.bytes).unwrap());
                    }
                    Output::Resolve { id, .. } => question = Some(id),
                    Output::Event(_) => {}
                    Output::Deadline(deadline) => {
                        self.deadline = deadline;
                        break;
                    }
                }
            }
            let Some(id) = question else { return };
            self.pass(3);
            self.call
                .handle_resolved(self.now, id, Ok(vec![inbound().path]));
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Lets timers run.
    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.deadline.filter(|next| *next <= end) {
            // No wake-up is quite in time.
            self.now = next + Duration::from_micros(137);
            self.call.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// The last request with this method.
    fn request(&self, method: &str) -> Request {
        let found = self.sent.iter().rev().find_map(|message| match message {
            Message::Request(request) if request.method.as_str() == method => Some(request.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no {method} was sent"))
    }

    fn hear(&mut self, response: &Response) {
        self.pass(11);
        let Ok(Message::Response(response)) = Message::parse(&response.to_bytes()) else {
            panic!("it is a response");
        };
        self.call.handle_response(self.now, response, inbound());
        self.settle();
    }

    fn act(&mut self, verb: impl FnOnce(&mut Taped<Call>, Instant)) {
        self.pass(250);
        verb(&mut self.call, self.now);
        self.settle();
    }
}

fn reply(request: &Request, code: u16) -> Response {
    stateless::response(request, StatusCode::new(code).unwrap(), Some("bob-tag"))
}

fn with_sdp(request: &Request, code: u16) -> Response {
    let mut response = reply(request, code);
    response
        .headers
        .push(HeaderName::Contact, "<sip:bob@192.0.2.2>");
    response.set_body("application/sdp", b"v=0 answer".to_vec());
    response
}

/// A call with everything in it that a tape has to hold: a login, early media, digits, hold, an
/// INVITE of the peer, something that could not be sent, and its end.
fn a_full_call(seed: u64) -> String {
    let reel = Reel::default();
    let mut phone = Phone::dial(&reel, seed);
    let mut door = door();
    let first = phone.request("INVITE");
    let mut refusal = reply(&first, 401);
    for value in door.challenge(phone.now, false) {
        refusal.headers.push(HeaderName::WwwAuthenticate, value);
    }
    phone.hear(&refusal);
    let invite = phone.request("INVITE");
    let verdict = door.check(phone.now, &invite, |_| Some(PASSWORD.to_owned()));
    assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
    phone.hear(&with_sdp(&invite, 183));
    // Nobody answers for a while: nothing repeats, but the time passes.
    phone.wait(2);
    phone.hear(&with_sdp(&invite, 200));
    // The 2xx comes once more, and its ACK goes once more.
    phone.hear(&with_sdp(&invite, 200));
    phone.act(|call, now| {
        let digit = InfoDigit {
            digit: '5',
            duration: Some(Duration::from_millis(160)),
        };
        call.send_digit(now, digit).unwrap();
    });
    let info = phone.request("INFO");
    phone.wait(1);
    phone.hear(&reply(&info, 200));
    phone.act(|call, now| call.reoffer(now, b"v=0 hold".to_vec()).unwrap());
    let again = phone.request("INVITE");
    let branch = again
        .headers
        .via_top()
        .unwrap()
        .branch()
        .unwrap()
        .to_owned();
    phone.act(|call, now| {
        call.handle_transport_error(now, &branch, TransportError::Unreachable);
    });
    phone.wait(40);
    phone.act(|call, now| call.hang_up(now).unwrap());
    let bye = phone.request("BYE");
    phone.hear(&reply(&bye, 200));
    phone.wait(64);
    assert!(phone.call.is_drained());
    reel.text()
}

/// A registration that is challenged, told another time, refreshed, and signed out.
fn a_full_registration(seed: u64) -> String {
    let reel = Reel::default();
    let mut now = Instant::now();
    let config = RegistrationConfig {
        credentials: vec![Credentials::new("alice", PASSWORD)],
        instance_id: Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned()),
        ..RegistrationConfig::new(
            Uri::parse("sip:example.com").unwrap(),
            NameAddr::parse("<sip:alice@example.com>").unwrap(),
        )
    };
    let tape = Some(("registration of alice".to_owned(), reel.sink()));
    let mut it = Taped::flows(now, &config, None, &Seed::from_number(seed), tape);
    let mut door = door();
    it.register(now);
    let mut refreshes = 0;
    let mut look_ups = 0;
    loop {
        let (mut question, mut sent) = (None, None);
        let deadline = loop {
            match it.poll_output() {
                Output::Transmit(transmit) => sent = Some(transmit.bytes),
                Output::Resolve { id, .. } => question = Some(id),
                Output::Event(_) => {}
                Output::Deadline(at) => break at,
            }
        };
        now += Duration::from_millis(7);
        if let Some(id) = question {
            look_ups += 1;
            // The name servers have a bad moment.
            let paths = if look_ups == 1 {
                Err(ResolveError::NoAnswer)
            } else {
                Ok(vec![inbound().path])
            };
            it.handle_resolved(now, id, paths);
        } else if let Some(bytes) = sent {
            let Ok(Message::Request(request)) = Message::parse(&bytes) else {
                panic!("it is a request");
            };
            let response = registrar(now, &mut door, &request);
            it.handle_response(now, &response, &inbound());
        } else if it.is_drained() {
            return reel.text();
        } else if refreshes < 3 {
            refreshes += 1;
            now = deadline.expect("it will be refreshed") + Duration::from_micros(41);
            it.handle_timeout(now);
        } else {
            it.unregister(now);
        }
    }
}

fn registrar(now: Instant, door: &mut Verifier, request: &Request) -> Response {
    if door.check(now, request, |_| Some(PASSWORD.to_owned())) == Verdict::Missing {
        let mut refusal = reply(request, 401);
        for value in door.challenge(now, false) {
            refusal.headers.push(HeaderName::WwwAuthenticate, value);
        }
        return refusal;
    }
    let mut granted = reply(request, 200);
    let contact = request.headers.contact().unwrap();
    granted.headers.push(
        HeaderName::Contact,
        format!("<{}>;expires=120", contact.uri),
    );
    granted
}

fn played(tape: &str) -> Vec<Played> {
    play(tape, Instant::now()).expect("it is a tape")
}

#[track_caller]
fn assert_same(tape: &str) {
    for object in played(tape) {
        assert!(object.is_same(), "{object:#?}");
        assert!(object.messages > 0, "{object:#?}");
    }
}

#[test]
fn a_call_and_a_registration_come_out_as_they_did() {
    for seed in 1..20 {
        assert_same(&a_full_call(seed));
        assert_same(&a_full_registration(seed));
    }
}

#[test]
fn several_objects_share_a_tape() {
    let (call, registration) = (a_full_call(1), a_full_registration(2));
    let mut lines = Vec::new();
    let (mut one, mut two) = (call.lines(), registration.lines());
    loop {
        match (one.next(), two.next()) {
            (None, None) => break,
            (first, second) => lines.extend(first.into_iter().chain(second)),
        }
    }
    let tape = lines.join("\n");
    assert_same(&tape);
    assert_eq!(played(&tape).len(), 2);
}

#[test]
fn no_secret_and_no_digest_answer_is_on_a_tape() {
    for tape in [a_full_call(3), a_full_registration(3)] {
        assert!(!tape.contains(PASSWORD));
        assert!(tape.contains("cnonce="), "there was a login");
        for (at, _) in tape.match_indices("response=") {
            let behind = &tape[at..];
            assert!(
                behind.starts_with("response=\\\"withheld\\\""),
                "{}",
                &behind[..40]
            );
        }
    }
}

#[test]
fn the_first_difference_is_shown() {
    let tape = a_full_call(4);
    // Somebody else picked up: the ACK goes into another dialog.
    let line = tape
        .lines()
        .position(|line| line.contains("200 OK"))
        .expect("it is answered");
    let other: Vec<String> = tape
        .lines()
        .enumerate()
        .map(|(n, text)| {
            if n == line {
                text.replace("bob-tag", "eve-tag")
            } else {
                text.to_owned()
            }
        })
        .collect();
    let played = played(&other.join("\n"));
    let difference = played[0].difference.as_ref().expect("something differs");
    assert!(
        difference
            .then
            .as_ref()
            .is_some_and(|then| then.contains("bob-tag"))
    );
    assert!(
        difference
            .now
            .as_ref()
            .is_some_and(|now| now.contains("eve-tag"))
    );
    // Another seed: already the first message is another one.
    let at = tape.find("\"seed\":\"").expect("it has a seed") + 8;
    let mut other = tape.clone();
    other.replace_range(at..at + 2, "ff");
    assert!(!played_one(&other).is_same());
    // A message that never came.
    let shorter: Vec<&str> = tape
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 2)
        .map(|(_, l)| l)
        .collect();
    assert!(!played_one(&shorter.join("\n")).is_same());
}

fn played_one(tape: &str) -> Played {
    played(tape).remove(0)
}

#[test]
fn what_is_no_tape_says_so() {
    for text in ["", "\n\n", "{}", "nonsense", "{\"object\":\"x\",\"at\":-1}"] {
        assert!(play(text, Instant::now()).is_err(), "{text:?}");
    }
    let tape = a_full_call(5);
    let headless: Vec<&str> = tape.lines().skip(1).collect();
    let stopped = played_one(&headless.join("\n"))
        .stopped
        .expect("it has no beginning");
    assert!(stopped.contains("how it was made"), "{stopped}");
}

#[test]
fn an_input_without_a_word_is_told() {
    let reel = Reel::default();
    let mut phone = Phone::dial(&reel, 6);
    let invite = phone.request("INVITE");
    phone.hear(&with_sdp(&invite, 200));
    let now = phone.now;
    (*phone.call).handle_timeout(now);
    phone.settle();
    let stopped = played_one(&reel.text()).stopped.expect("it was told");
    assert!(stopped.contains("no word for"), "{stopped}");
}

/// Each file is a tape that has to come out the same, for ever. `TIPRING_KEEP_TAPES=1` writes those
/// that this file makes.
#[test]
fn every_kept_tape_comes_out_the_same() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/replay");
    if std::env::var_os("TIPRING_KEEP_TAPES").is_some() {
        std::fs::write(
            folder.join("call_with_login_digits_and_hold.jsonl"),
            a_full_call(1),
        )
        .unwrap();
        std::fs::write(
            folder.join("registration_with_login.jsonl"),
            a_full_registration(1),
        )
        .unwrap();
    }
    let mut count = 0;
    for entry in std::fs::read_dir(&folder)
        .expect("the folder is there")
        .flatten()
    {
        let path = entry.path();
        let tape = std::fs::read_to_string(&path).expect("it can be read");
        for object in played(&tape) {
            assert!(object.is_same(), "{}: {object:#?}", path.display());
        }
        count += 1;
    }
    assert!(count >= 2, "{count} tapes are kept");
}
