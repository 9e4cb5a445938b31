//! What one call and one registration cost inside the core: `cargo xtask bench signalling` runs it.
//!
//! Two phones face each other without a network between them. Whatever reaches a side is bytes and
//! whatever leaves it is bytes, so that parsing and writing are in the figures; the time runs as the
//! test wants it, so that nothing else is. The call is the one of every day:
//!
//! ```text
//!   caller                                   callee
//!     │ INVITE ──────────────────────────────► │
//!     │ ◄──────────────────────────────── 401 │  by the server half of digest
//!     │ ACK, INVITE with a login ────────────► │
//!     │ ◄─────────────────────── 100, 180, 200 │
//!     │ ACK ─────────────────────────────────► │
//!     │ BYE ─────────────────────────────────► │
//!     │ ◄──────────────────────────────── 200 │
//!     └ timers, until both are drained         ┘
//! ```
//!
//! One argument chooses: `time` (microseconds a call and side), `memory` (bytes a settled call and an
//! idle registration), or `calls N`, which only makes calls, for a profiler: everything that a side
//! does is below [`on_caller`] or [`on_callee`].

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use sip_core::auth::server::{Verdict, Verifier};
use sip_core::auth::{Algorithm, Credentials, Home};
use sip_core::call::{Call, CallConfig, CallEvent};
use sip_core::dispatch::{RequestClass, mark_received, response_owner};
use sip_core::registration::{Registration, RegistrationConfig};
use sip_core::{FlowId, Inbound, Output, Path, Seed, Tokens, Transport, stateless};
use sip_message::{HeaderName, Message, Method, NameAddr, Request, Response, StatusCode, Uri};
use testkit::Counting;

const OFFER: &str = "v=0\r\no=- 2890844526 2890844526 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
    t=0 0\r\nm=audio 49172 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n\
    a=sendrecv\r\n";
const ANSWER: &str = "v=0\r\no=- 3890844526 3890844526 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\n\
    t=0 0\r\nm=audio 40000 RTP/AVP 96 101\r\na=rtpmap:96 opus/48000/2\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

const CALLS_FOR_TIME: u64 = 4_000;
const CALLS_FOR_MEMORY: u64 = 1_000;
const REGISTRATIONS: u64 = 1_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["time"] => time(),
        ["memory"] => memory(),
        ["calls", count] => {
            let count: u64 = count.parse().expect("a number of calls");
            for number in 0..count {
                black_box(one_call(number));
            }
        }
        _ => panic!("time, memory or calls N"),
    }
}

/// Medians over many calls, after some that only warm up.
fn time() {
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..CALLS_FOR_TIME {
        let world = one_call(number);
        if number >= CALLS_FOR_TIME / 8 {
            for (times, side) in took.iter_mut().zip(&world.sides) {
                times.push(side.took);
            }
        }
    }
    for (name, times) in ["caller", "callee"].into_iter().zip(&mut took) {
        times.sort();
        let median = times[times.len() / 2];
        println!("{name}-microseconds {:.2}", median.as_secs_f64() * 1e6);
    }
}

/// What calls hold that talk and have no transaction left, and registrations that wait for their next
/// refresh: what is given back when they go, as it was asked of the allocator.
fn memory() {
    let mut calls = [Vec::new(), Vec::new()];
    for number in 0..CALLS_FOR_MEMORY {
        let mut world = World::new(number);
        world.establish();
        // Past 64·T1, after which nobody repeats anything (RFC 3261 §17, RFC 6026).
        world.run_for(Duration::from_secs(60));
        for (calls, side) in calls.iter_mut().zip(world.sides) {
            let call = side.call.expect("the call stands");
            assert_eq!(
                call.counts(),
                [0, 0, 1, 0, 0],
                "one dialog and nothing else"
            );
            calls.push(call);
        }
    }
    for (name, calls) in ["caller", "callee"].into_iter().zip(calls) {
        println!(
            "{name}-bytes {}",
            given_back(calls) / CALLS_FOR_MEMORY as usize
        );
    }
    println!("call-struct-bytes {}", size_of::<Call>());
    let registrations: Vec<_> = (0..REGISTRATIONS).map(registered).collect();
    println!(
        "registration-bytes {}",
        given_back(registrations) / REGISTRATIONS as usize
    );
    println!("registration-struct-bytes {}", size_of::<Registration>());
}

/// Bytes of the allocator that a list of boxes frees, without the list itself.
fn given_back<T>(list: Vec<Box<T>>) -> usize {
    let room = list.capacity() * size_of::<Box<T>>();
    let before = ALLOCATED.load(Ordering::Relaxed);
    drop(list);
    let freed = before - ALLOCATED.load(Ordering::Relaxed);
    freed.cast_unsigned() - room
}

/// One call from the first INVITE until nothing is left of it on either side.
fn one_call(number: u64) -> World {
    let mut world = World::new(number);
    world.establish();
    world.act(CALLER, |call, now| call.hang_up(now).expect("it talks"));
    world.run_for(Duration::from_secs(60));
    for side in &world.sides {
        assert!(side.call.as_ref().is_some_and(|call| call.is_drained()));
    }
    world
}

const CALLER: usize = 0;
const CALLEE: usize = 1;

/// Both sides and what is under way between them.
struct World {
    now: Instant,
    sides: [Side; 2],
    /// From which side, and what.
    wire: VecDeque<(usize, Vec<u8>)>,
}

/// One user agent.
struct Side {
    call: Option<Box<Call>>,
    config: CallConfig,
    seed: Seed,
    inbound: Inbound,
    /// The callee's: it lets nobody through without a login.
    door: Verifier,
    tokens: Tokens,
    deadline: Option<Instant>,
    established: bool,
    took: Duration,
}

impl World {
    fn new(number: u64) -> Self {
        Self {
            now: Instant::now(),
            sides: [Side::new(CALLER, number), Side::new(CALLEE, number)],
            wire: VecDeque::new(),
        }
    }

    /// From the first INVITE to the ACK.
    fn establish(&mut self) {
        let Self { now, sides, wire } = self;
        measured(&mut sides[CALLER], *now, CALLER, wire, |side| {
            side.dial(*now);
        });
        self.carry();
        self.act(CALLEE, |call, now| call.ring(now, None).expect("it rings"));
        let answer = ANSWER.as_bytes().to_vec();
        self.act(CALLEE, |call, now| {
            call.answer(now, answer).expect("it rings");
        });
        assert!(self.sides.iter().all(|side| side.established));
    }

    fn act(&mut self, who: usize, verb: impl FnOnce(&mut Call, Instant)) {
        let Self { now, sides, wire } = self;
        measured(&mut sides[who], *now, who, wire, |side| {
            verb(side.call.as_mut().expect("there is a call"), *now);
        });
        self.carry();
    }

    /// Brings to each side what the other has said, until both are silent.
    fn carry(&mut self) {
        while let Some((from, bytes)) = self.wire.pop_front() {
            let to = 1 - from;
            let Self { now, sides, wire } = self;
            let mut said = Vec::new();
            measured(&mut sides[to], *now, to, wire, |side| {
                side.take(*now, &bytes, &mut said);
            });
            wire.extend(said.into_iter().map(|bytes| (to, bytes)));
        }
    }

    /// Lets timers run.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.sides.iter().filter_map(|side| side.deadline).min() {
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            for who in [CALLER, CALLEE] {
                let Self { now, sides, wire } = self;
                if sides[who].deadline.is_some_and(|deadline| deadline <= *now) {
                    measured(&mut sides[who], *now, who, wire, |side| {
                        side.call
                            .as_mut()
                            .expect("it has a deadline")
                            .handle_timeout(*now);
                    });
                }
            }
            self.carry();
        }
        self.now = end;
    }
}

/// One input and all its outputs, with the time they take.
fn measured(
    side: &mut Side,
    now: Instant,
    who: usize,
    wire: &mut VecDeque<(usize, Vec<u8>)>,
    input: impl FnOnce(&mut Side),
) {
    let began = Instant::now();
    if who == CALLER {
        on_caller(side, now, wire, input);
    } else {
        on_callee(side, now, wire, input);
    }
    side.took += began.elapsed();
}

#[inline(never)]
fn on_caller(
    side: &mut Side,
    now: Instant,
    wire: &mut VecDeque<(usize, Vec<u8>)>,
    input: impl FnOnce(&mut Side),
) {
    input(side);
    side.drain(now, |bytes| wire.push_back((CALLER, bytes)));
}

#[inline(never)]
fn on_callee(
    side: &mut Side,
    now: Instant,
    wire: &mut VecDeque<(usize, Vec<u8>)>,
    input: impl FnOnce(&mut Side),
) {
    input(side);
    side.drain(now, |bytes| wire.push_back((CALLEE, bytes)));
}

impl Side {
    fn new(who: usize, number: u64) -> Self {
        let (user, own, other) = if who == CALLER {
            ("alice", "192.0.2.1:5060", "192.0.2.2:5060")
        } else {
            ("bob", "192.0.2.2:5060", "192.0.2.1:5060")
        };
        let name = NameAddr::parse(&format!("\"{user}\" <sip:{user}@example.com>"));
        let mut config =
            CallConfig::new(name.expect("it is an address"), "b1946ac92492d234").with_transfers();
        config.capabilities.user_agent = "Tipring/0.1".to_owned();
        config.credentials = vec![Credentials::new(user, "correct horse")];
        let server = Uri::parse("sip:192.0.2.2").expect("it is a URI");
        config.home = Home::new(vec![server.clone()]);
        if who == CALLER {
            config = config.to(NameAddr::parse("<sip:bob@example.com>").expect("an address"));
            config.route = vec![Uri::parse("sip:192.0.2.2;lr").expect("it is a URI")];
        }
        let number = 2 * number + who as u64;
        Self {
            call: None,
            config,
            seed: Seed::from_number(number),
            inbound: Inbound {
                flow: FlowId(1),
                path: Path {
                    transport: Transport::Udp,
                    remote: other.parse().expect("an address"),
                    local: own.parse().expect("an address"),
                },
            },
            door: Verifier::new(
                "example.com",
                vec![Algorithm::Sha256, Algorithm::Md5],
                false,
                Duration::from_secs(60),
                &Seed::from_number(number ^ 0xffff_0000),
            ),
            tokens: Tokens::new(&Seed::from_number(number ^ 0xff00_ff00)),
            deadline: None,
            established: false,
            took: Duration::ZERO,
        }
    }

    fn dial(&mut self, now: Instant) {
        let offer = Some(OFFER.as_bytes().to_vec());
        let call = Call::outgoing(now, self.config.clone(), offer, &self.seed);
        self.call = Some(Box::new(call));
    }

    /// What arrives: to be parsed, sorted, and given to its owner. What is answered without one goes
    /// into `said`.
    fn take(&mut self, now: Instant, bytes: &[u8], said: &mut Vec<Vec<u8>>) {
        match (
            Message::parse(bytes).expect("phones send sound messages"),
            &mut self.call,
        ) {
            (Message::Response(response), Some(call)) => {
                assert_eq!(response_owner(&response).as_ref(), Some(call.owner_key()));
                call.handle_response(now, response, self.inbound);
            }
            (Message::Request(mut request), call) => {
                mark_received(&mut request, &self.inbound);
                let class = RequestClass::of(&request);
                if let Some(call) = call {
                    assert!(matches!(
                        class,
                        RequestClass::InDialog(..) | RequestClass::Ack(..)
                    ));
                    call.handle_request(now, request, self.inbound);
                } else if request.method == Method::Invite {
                    match self
                        .door
                        .check(now, &request, |_| Some("correct horse".to_owned()))
                    {
                        Verdict::Accepted { .. } => {
                            let config = self.config.clone();
                            let call =
                                Call::incoming(now, request, self.inbound, config, &self.seed);
                            self.call = Some(Box::new(call.expect("nothing is wrong with it")));
                        }
                        Verdict::Missing => {
                            let mut refusal = stateless::respond_statelessly(
                                &request,
                                StatusCode::UNAUTHORIZED,
                                &self.config.capabilities,
                                &self.tokens,
                            );
                            self.challenge(now, &mut refusal);
                            said.push(refusal.to_bytes());
                        }
                        other => panic!("the login is right: {other:?}"),
                    }
                }
            }
            (Message::Response(_), None) => panic!("an answer to nothing"),
        }
    }

    fn challenge(&mut self, now: Instant, refusal: &mut Response) {
        for value in self.door.challenge(now, false) {
            refusal.headers.push(HeaderName::WwwAuthenticate, value);
        }
    }

    fn drain(&mut self, now: Instant, mut send: impl FnMut(Vec<u8>)) {
        let Some(call) = &mut self.call else { return };
        let mut question = None;
        loop {
            match call.poll_output() {
                Output::Transmit(transmit) => send(transmit.bytes),
                Output::Resolve { id, .. } => question = Some(id),
                Output::Event(CallEvent::Established) => self.established = true,
                Output::Event(event) => drop(black_box(event)),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    // The next hop is an address: whoever looks up names answers at once.
                    match question.take() {
                        Some(id) => call.handle_resolved(now, id, Ok(vec![self.inbound.path])),
                        None => return,
                    }
                }
            }
        }
    }
}

/// An account that has signed in with a password and waits for its next refresh.
fn registered(number: u64) -> Box<Registration> {
    let now = Instant::now();
    let mut door = Verifier::new(
        "example.com",
        vec![Algorithm::Sha256, Algorithm::Md5],
        false,
        Duration::from_secs(60),
        &Seed::from_number(!number),
    );
    let inbound = Side::new(CALLER, 0).inbound;
    let aor = NameAddr::parse(&format!("<sip:desk{number}@example.com>"));
    let registrar = Uri::parse("sip:example.com").expect("it is a URI");
    let config = RegistrationConfig {
        instance_id: Some(format!("urn:uuid:f81d4fae-7dec-11d0-a765-{number:012x}")),
        credentials: vec![Credentials::new(format!("desk{number}"), "correct horse")],
        user_agent: "Tipring/0.1".to_owned(),
        ..RegistrationConfig::new(registrar, aor.expect("it is an address"))
    };
    let mut registration = Box::new(Registration::new(config, &Seed::from_number(number)));
    registration.register(now);
    let mut said = VecDeque::new();
    loop {
        let mut question = None;
        loop {
            match registration.poll_output() {
                Output::Transmit(transmit) => said.push_back(transmit.bytes),
                Output::Resolve { id, .. } => question = Some(id),
                Output::Event(event) => drop(black_box(event)),
                Output::Deadline(_) => break,
            }
        }
        if let Some(id) = question {
            registration.handle_resolved(now, id, Ok(vec![inbound.path]));
            continue;
        }
        let Some(bytes) = said.pop_front() else { break };
        let Ok(Message::Request(request)) = Message::parse(&bytes) else {
            panic!("a registration sends requests");
        };
        let response = registrar_says(now, &mut door, &request, number);
        let Ok(Message::Response(response)) = Message::parse(&response.to_bytes()) else {
            panic!("it was written by ourselves");
        };
        registration.handle_response(now, &response, &inbound);
    }
    assert!(registration.is_registered());
    registration
}

fn registrar_says(now: Instant, door: &mut Verifier, request: &Request, number: u64) -> Response {
    let verdict = door.check(now, request, |_| Some("correct horse".to_owned()));
    let tag = Some("a73kszlfl");
    if verdict == Verdict::Missing {
        let mut refusal = stateless::response(request, StatusCode::UNAUTHORIZED, tag);
        for value in door.challenge(now, false) {
            refusal.headers.push(HeaderName::WwwAuthenticate, value);
        }
        return refusal;
    }
    assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
    let mut granted = stateless::response(request, StatusCode::OK, tag);
    let contact = request.headers.contact().expect("a REGISTER has a Contact");
    // Ours, and the same person's phone in the kitchen.
    for value in [
        format!("<{}>;expires=3600", contact.uri),
        format!("<sip:kitchen{number}@192.0.2.9:5060>;expires=1800"),
    ] {
        granted.headers.push(HeaderName::Contact, value);
    }
    let service_route = HeaderName::from("Service-Route");
    granted
        .headers
        .push(service_route, "<sip:edge.example.com;lr>");
    granted
}

static ALLOCATED: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting(|octets| {
    ALLOCATED.fetch_add(octets, Ordering::Relaxed);
});
