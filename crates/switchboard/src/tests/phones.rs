//! Whole calls between phones, the switchboard in between, over good and bad networks.

use sip_core::call::{Call, CallConfig, CallEvent, EndKind};
use sip_core::dispatch::{request_owner, response_owner};
use sip_core::transaction::ServerKey;
use sip_core::{Output, ResolveId};
use sip_message::{Method, Uri};
use testkit::{Link, NodeId, Outbox, Packet, World};

use super::*;

pub(super) type Net = World<Vec<u8>, Peer>;

pub(super) enum Peer {
    Board(Box<Bench>),
    Phone(Box<Phone>),
}

/// A phone with any number of calls.
pub(super) struct Phone {
    address: SocketAddr,
    pub(super) config: CallConfig,
    pub(super) legs: Vec<Leg>,
}

/// A call, and what it told.
pub(super) struct Leg {
    pub(super) call: Call,
    /// The INVITE that it was made by.
    key: Option<ServerKey>,
    pub(super) events: Vec<CallEvent>,
    deadline: Option<Instant>,
}

impl Leg {
    fn new(call: Call, key: Option<ServerKey>) -> Self {
        Self {
            call,
            key,
            events: Vec::new(),
            deadline: None,
        }
    }

    pub(super) fn end(&self) -> Option<&EndKind> {
        self.events.iter().find_map(|event| match event {
            CallEvent::Ended(reason) => Some(&reason.kind),
            _ => None,
        })
    }

    /// Drains what the call wants; every name is the switchboard's.
    fn drain(&mut self, now: Instant, path: Path, out: &mut Outbox<Vec<u8>>) {
        let mut questions: Vec<ResolveId> = Vec::new();
        loop {
            match self.call.poll_output() {
                Output::Transmit(transmit) => {
                    let to = transmit.destination.path().remote;
                    out.send(path.local, to, transmit.bytes);
                }
                Output::Resolve { id, .. } => questions.push(id),
                Output::Event(event) => self.events.push(event),
                Output::Deadline(at) => {
                    self.deadline = at;
                    let Some(id) = questions.pop() else { return };
                    self.call.handle_resolved(now, id, Ok(vec![path]));
                }
            }
        }
    }
}

impl Phone {
    fn new(address: &str, user: &str) -> Self {
        let local = Uri::parse(&format!("sip:{user}@board.test")).expect("a URI");
        Self {
            address: addr(address),
            config: CallConfig::new(NameAddr::new(local), user).with_transfers(),
            legs: Vec::new(),
        }
    }

    fn inbound(&self) -> Inbound {
        Inbound {
            flow: FlowId(1),
            path: self.path(),
        }
    }

    fn path(&self) -> Path {
        Path {
            transport: Transport::Udp,
            remote: addr(BOARD),
            local: self.address,
        }
    }

    /// Randomness for the next call.
    fn seed(&self) -> Seed {
        let IpAddr::V4(ip) = self.address.ip() else {
            panic!("the tests speak IPv4")
        };
        Seed::from_number(u64::from(u32::from(ip)) << 8 | self.legs.len() as u64)
    }

    fn receive(&mut self, now: Instant, message: Message) {
        let inbound = self.inbound();
        match message {
            Message::Response(response) => {
                let owner = response_owner(&response);
                let mut legs = self.legs.iter_mut();
                if let Some(leg) = legs.find(|leg| owner.as_ref() == Some(leg.call.owner_key())) {
                    leg.call.handle_response(now, response, inbound);
                }
            }
            Message::Request(request) => {
                let (owner, key) = (request_owner(&request), ServerKey::of(&request));
                let fits = |leg: &&mut Leg| {
                    owner.as_ref() == Some(leg.call.owner_key()) || key.is_some() && leg.key == key
                };
                if let Some(leg) = self.legs.iter_mut().find(fits) {
                    leg.call.handle_request(now, request, inbound);
                } else if request.method == Method::Invite {
                    let (config, seed) = (self.config.clone(), self.seed());
                    let call = Call::incoming(now, request, inbound, config, &seed);
                    self.legs.extend(call.ok().map(|call| Leg::new(call, key)));
                }
            }
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        let path = self.path();
        for leg in &mut self.legs {
            leg.drain(now, path, out);
        }
    }

    /// The only call, or the first.
    pub(super) fn call(&mut self) -> &mut Call {
        &mut self.legs.first_mut().expect("a call").call
    }

    fn events(&self) -> &[CallEvent] {
        self.legs.first().map_or(&[], |leg| &leg.events)
    }

    fn end(&self) -> Option<&EndKind> {
        self.legs.first().and_then(Leg::end)
    }

    /// Calls somebody by way of the switchboard.
    pub(super) fn dial(&mut self, now: Instant, config: CallConfig, target: Uri) {
        let mut config = config.to(NameAddr::new(target));
        config.route = vec![Uri::parse("sip:10.0.0.9:5060;lr").expect("a URI")];
        let call = Call::outgoing(now, config, Some(b"v=0".to_vec()), &self.seed());
        self.legs.push(Leg::new(call, None));
    }
}

impl testkit::Node<Vec<u8>> for Peer {
    fn handle_packet(&mut self, now: Instant, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        match self {
            Self::Board(bench) => {
                bench.now = now;
                let text = String::from_utf8(packet.payload).expect("text");
                bench.say(&packet.from.to_string(), &text);
                flush(bench, out);
            }
            Self::Phone(phone) => {
                phone.receive(now, Message::parse(&packet.payload).expect("a message"));
                phone.drain(now, out);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        match self {
            Self::Board(bench) => {
                bench.now = now;
                bench.exchange.handle_timeout(now);
                bench.act();
                flush(bench, out);
            }
            Self::Phone(phone) => {
                for leg in &mut phone.legs {
                    leg.call.handle_timeout(now);
                }
                phone.drain(now, out);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Board(bench) => bench.exchange.deadline(),
            Self::Phone(phone) => phone.legs.iter().filter_map(|leg| leg.deadline).min(),
        }
    }
}

fn flush(bench: &mut Bench, out: &mut Outbox<Vec<u8>>) {
    for sent in bench.sent.drain(..) {
        let bytes = match sent.message {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        };
        out.send(addr(BOARD), sent.to, bytes);
    }
}

/// The switchboard, and Alice, Bob, Carol and Dave, of whom the last three are all "bob".
fn net(seed: u64) -> (Net, NodeId, [NodeId; 4]) {
    house(seed, ["alice", "bob", "bob", "bob"])
}

/// The switchboard and four phones, registered under these names.
pub(super) fn house(seed: u64, names: [&str; 4]) -> (Net, NodeId, [NodeId; 4]) {
    let mut net = Net::new(seed);
    let mut bench = Bench::open();
    bench.now = net.now();
    let phones = [ALICE, BOB, CAROL, DAVE].into_iter().zip(names);
    for (at, name) in phones.clone() {
        bench.register(name, at);
    }
    let board = net.add(addr(BOARD), Peer::Board(Box::new(bench)));
    let mut ids = phones.map(|(at, name)| {
        let phone = Phone::new(at, name);
        net.add(addr(at), Peer::Phone(Box::new(phone)))
    });
    let ids = [(); 4].map(|()| ids.next().expect("four phones"));
    (net, board, ids)
}

pub(super) fn act<R>(net: &mut Net, id: NodeId, verb: impl FnOnce(&mut Phone, Instant) -> R) -> R {
    net.with(id, |peer, now, out| match peer {
        Peer::Phone(phone) => {
            let result = verb(phone, now);
            phone.drain(now, out);
            result
        }
        Peer::Board(_) => panic!("not a phone"),
    })
}

pub(super) fn dial(net: &mut Net, id: NodeId, user: &str) {
    act(net, id, |phone, now| {
        let uri = Uri::parse(&format!("sip:{user}@board.test")).expect("a URI");
        phone.dial(now, phone.config.clone(), uri);
    });
}

pub(super) fn phone(net: &Net, id: NodeId) -> &Phone {
    match net.node(id) {
        Peer::Phone(phone) => phone,
        Peer::Board(_) => panic!("not a phone"),
    }
}

pub(super) fn seconds(net: &mut Net, seconds: u64) {
    net.run_for(Duration::from_secs(seconds));
}

pub(super) fn assert_all_forgotten(net: &mut Net, board: NodeId) {
    seconds(net, 300);
    let Peer::Board(bench) = net.node(board) else {
        panic!("the switchboard");
    };
    let counts = bench.exchange.counts();
    assert_eq!((counts.requests, counts.lines), (0, 0));
}

#[test]
fn one_of_three_phones_takes_the_call_and_the_others_stop_ringing() {
    for (seed, link) in [
        (1, Link::PERFECT),
        (2, Link::BAD),
        (3, Link::BAD),
        (4, Link::BAD),
    ] {
        let (mut net, board, [alice, bob, carol, dave]) = net(seed);
        net.set_link(link);
        dial(&mut net, alice, "bob");
        let all_ring = |net: &Net| {
            [bob, carol, dave]
                .iter()
                .all(|id| !phone(net, *id).legs.is_empty())
        };
        assert!(
            net.run_until(Duration::from_secs(30), all_ring),
            "seed {seed}"
        );
        for id in [bob, carol, dave] {
            act(&mut net, id, |phone, now| {
                let call = phone.call();
                call.ring(now, None).expect("it may ring");
            });
        }
        seconds(&mut net, 4);
        act(&mut net, carol, |phone, now| {
            let call = phone.call();
            call.answer(now, b"v=0".to_vec()).expect("it may answer");
        });
        seconds(&mut net, 30);
        for id in [alice, carol] {
            let events = phone(&net, id).events();
            assert!(
                events.contains(&CallEvent::Established),
                "seed {seed}: {events:?}"
            );
        }
        for id in [bob, dave] {
            let end = phone(&net, id).end();
            assert!(
                matches!(end, Some(EndKind::Cancelled { .. })),
                "seed {seed}: {end:?}"
            );
        }
        act(&mut net, carol, |phone, now| {
            let call = phone.call();
            call.hang_up(now).expect("it may hang up");
        });
        seconds(&mut net, 40);
        let end = phone(&net, alice).end();
        assert!(
            matches!(end, Some(EndKind::PeerHungUp { .. })),
            "seed {seed}: {end:?}"
        );
        assert_all_forgotten(&mut net, board);
    }
}

#[test]
fn a_caller_who_gives_up_stops_all_phones() {
    for (seed, link) in [(1, Link::PERFECT), (2, Link::BAD), (5, Link::BAD)] {
        let (mut net, board, [alice, others @ ..]) = net(seed);
        net.set_link(link);
        dial(&mut net, alice, "bob");
        seconds(&mut net, 10);
        for id in others {
            act(&mut net, id, |phone, now| {
                let call = phone.call();
                call.ring(now, None).expect("it may ring");
            });
        }
        seconds(&mut net, 5);
        act(&mut net, alice, |phone, now| {
            let call = phone.call();
            call.hang_up(now).expect("it may give up");
        });
        seconds(&mut net, 60);
        for id in others {
            let end = phone(&net, id).end();
            assert!(
                matches!(end, Some(EndKind::Cancelled { .. })),
                "seed {seed}: {end:?}"
            );
        }
        assert_eq!(phone(&net, alice).end(), Some(&EndKind::WeHungUp));
        assert_all_forgotten(&mut net, board);
    }
}

#[test]
fn hold_through_the_proxy_and_on_an_echo_line() {
    for number in ["bob", "echo"] {
        let (mut net, board, [alice, bob, ..]) = net(9);
        dial(&mut net, alice, number);
        seconds(&mut net, 1);
        if number == "bob" {
            act(&mut net, bob, |phone, now| {
                let call = phone.call();
                call.answer(now, b"v=0".to_vec()).expect("it may answer");
            });
        }
        seconds(&mut net, 1);
        act(&mut net, alice, |phone, now| {
            phone.legs[0].events.clear();
            let call = phone.call();
            call.reoffer(now, b"v=0 hold".to_vec())
                .expect("it may hold");
        });
        seconds(&mut net, 1);
        if number == "bob" {
            act(&mut net, bob, |phone, now| {
                let offered = phone
                    .events()
                    .iter()
                    .any(|event| matches!(event, CallEvent::Offer { body } if body == b"v=0 hold"));
                assert!(offered, "{:?}", phone.events());
                let call = phone.call();
                call.accept_offer(now, b"v=0".to_vec())
                    .expect("an answer is due");
            });
        }
        seconds(&mut net, 1);
        let events = phone(&net, alice).events();
        let answered = |event: &CallEvent| matches!(event, CallEvent::Answer { early: false, .. });
        assert!(events.iter().any(answered), "{number}: {events:?}");
        act(&mut net, alice, |phone, now| {
            let call = phone.call();
            call.hang_up(now).expect("it may hang up");
        });
        assert_all_forgotten(&mut net, board);
    }
}
