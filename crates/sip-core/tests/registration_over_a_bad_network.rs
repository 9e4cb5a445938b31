//! A phone and a registrar with passwords, an hour long, over a network that loses, doubles and
//! reorders. Only the public face is used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_core::auth::server::{Verdict, Verifier};
use sip_core::auth::{Algorithm, Credentials};
use sip_core::dispatch::mark_received;
use sip_core::registration::{Registration, RegistrationConfig, RegistrationEvent};
use sip_core::stateless;
use sip_core::transaction::{ServerKey, ServerNonInvite, ServerOutput};
use sip_core::{FlowId, Inbound, Output, Path, Seed, Timers, Transport};
use sip_message::{HeaderName, Message, NameAddr, Request, Response, StatusCode, Uri};
use testkit::{Link, Node, NodeId, Outbox, Packet, World};

const PHONE: &str = "10.0.0.5:40000";
const REGISTRAR: &str = "192.0.2.1:5060";
const GRANTED: Duration = Duration::from_secs(300);

fn path(from: SocketAddr, to: SocketAddr) -> Path {
    Path {
        transport: Transport::Udp,
        remote: to,
        local: from,
    }
}

struct Phone {
    registration: Registration,
    events: Vec<RegistrationEvent>,
    deadline: Option<Instant>,
}

impl Phone {
    fn new(seed: u64) -> Self {
        let aor = NameAddr::parse("<sip:alice@example.com>").expect("a name-addr");
        let registrar = Uri::parse("sip:example.com").expect("a URI");
        let config = RegistrationConfig {
            credentials: vec![Credentials::new("alice", "wonder")],
            ..RegistrationConfig::new(registrar, aor)
        };
        Self {
            registration: Registration::new(config, &Seed::from_number(seed)),
            events: Vec::new(),
            deadline: None,
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        let mut questions = Vec::new();
        loop {
            match self.registration.poll_output() {
                Output::Transmit(transmit) => {
                    let path = transmit.destination.path();
                    out.send(path.local, path.remote, transmit.bytes);
                }
                Output::Resolve { id, .. } => questions.push(id),
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => {
                    self.deadline = deadline;
                    let Some(id) = questions.pop() else {
                        return;
                    };
                    let path = path(address(PHONE), address(REGISTRAR));
                    self.registration.handle_resolved(now, id, Ok(vec![path]));
                }
            }
        }
    }
}

struct Registrar {
    verifier: Verifier,
    transactions: HashMap<ServerKey, (SocketAddr, ServerNonInvite)>,
    /// Contact URI and when it ends.
    bindings: HashMap<String, Instant>,
    stale: usize,
}

impl Registrar {
    fn new(seed: u64) -> Self {
        Self {
            verifier: Verifier::new(
                "example.com",
                vec![Algorithm::Md5, Algorithm::Sha256],
                false,
                Duration::from_secs(1000),
                &Seed::from_number(seed),
            ),
            transactions: HashMap::new(),
            bindings: HashMap::new(),
            stale: 0,
        }
    }

    fn answer(&mut self, now: Instant, request: &Request) -> Response {
        let verdict = self.verifier.check(now, request, |user| {
            (user == "alice").then(|| "wonder".to_owned())
        });
        let status = match verdict {
            Verdict::Accepted { .. } => StatusCode::OK,
            Verdict::Missing | Verdict::Stale => StatusCode::UNAUTHORIZED,
            Verdict::Wrong { .. } | Verdict::Malformed => StatusCode::FORBIDDEN,
        };
        let mut response = stateless::response(request, status, Some("reg"));
        if status == StatusCode::UNAUTHORIZED {
            let stale = verdict == Verdict::Stale;
            self.stale += usize::from(stale);
            let name = self.verifier.challenge_header();
            for value in self.verifier.challenge(now, stale) {
                response.headers.push(&name, value);
            }
        }
        if status == StatusCode::OK {
            self.bind(now, request, &mut response);
        }
        response
    }

    fn bind(&mut self, now: Instant, request: &Request, response: &mut Response) {
        let contacts = request.headers.list::<NameAddr>(HeaderName::Contact);
        for contact in contacts.expect("readable contacts") {
            if contact.params.get("expires") == Some("0") {
                self.bindings.remove(&contact.uri.to_string());
            } else {
                self.bindings.insert(contact.uri.to_string(), now + GRANTED);
            }
        }
        for uri in self.bindings.keys() {
            let value = format!("<{uri}>;expires={}", GRANTED.as_secs());
            response.headers.push(HeaderName::Contact, value);
        }
    }

    fn drain(&mut self, out: &mut Outbox<Vec<u8>>) {
        for (to, transaction) in self.transactions.values_mut() {
            while let Some(output) = transaction.poll_output() {
                if let ServerOutput::Send(bytes) = output {
                    out.send(address(REGISTRAR), *to, bytes);
                }
            }
        }
        self.transactions
            .retain(|_, (_, transaction)| !transaction.is_terminated());
    }
}

enum Peer {
    Phone(Box<Phone>),
    Registrar(Box<Registrar>),
}

impl Node<Vec<u8>> for Peer {
    fn handle_packet(&mut self, now: Instant, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        let inbound = Inbound {
            flow: FlowId(1),
            path: path(packet.to, packet.from),
        };
        match (self, Message::parse(&packet.payload)) {
            (Self::Phone(phone), Ok(Message::Response(response))) => {
                phone.registration.handle_response(now, &response, &inbound);
                phone.drain(now, out);
            }
            (Self::Registrar(registrar), Ok(Message::Request(mut request))) => {
                mark_received(&mut request, &inbound);
                let key = ServerKey::of(&request).expect("a readable Via");
                if let Some((_, transaction)) = registrar.transactions.get_mut(&key) {
                    transaction.handle_request(now, &request);
                } else {
                    let mut transaction =
                        ServerNonInvite::new(now, &request, false, &Timers::default());
                    transaction.respond(now, registrar.answer(now, &request));
                    registrar
                        .transactions
                        .insert(key, (packet.from, transaction));
                }
                registrar.drain(out);
            }
            (_, other) => panic!("unexpected {other:?}"),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        match self {
            Self::Phone(phone) => {
                phone.registration.handle_timeout(now);
                phone.drain(now, out);
            }
            Self::Registrar(registrar) => {
                for (_, transaction) in registrar.transactions.values_mut() {
                    transaction.handle_timeout(now);
                }
                registrar.drain(out);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Phone(phone) => phone.deadline,
            Self::Registrar(registrar) => registrar
                .transactions
                .values()
                .filter_map(|(_, transaction)| transaction.deadline())
                .min(),
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

struct Scene {
    world: World<Vec<u8>, Peer>,
    phone: NodeId,
    registrar: NodeId,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.set_link(Link::BAD);
        let phone = Peer::Phone(Box::new(Phone::new(seed)));
        let registrar = Peer::Registrar(Box::new(Registrar::new(seed)));
        Self {
            phone: world.add(address(PHONE), phone),
            registrar: world.add(address(REGISTRAR), registrar),
            world,
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Registration, Instant)) {
        self.world.with(self.phone, |peer, now, out| {
            if let Peer::Phone(phone) = peer {
                act(&mut phone.registration, now);
                phone.drain(now, out);
            }
        });
    }

    fn phone(&self) -> &Phone {
        match self.world.node(self.phone) {
            Peer::Phone(phone) => phone,
            Peer::Registrar(_) => panic!("not the phone"),
        }
    }

    fn registrar(&self) -> &Registrar {
        match self.world.node(self.registrar) {
            Peer::Registrar(registrar) => registrar,
            Peer::Phone(_) => panic!("not the registrar"),
        }
    }
}

#[test]
fn the_binding_never_lapses_in_an_hour_of_bad_network_and_goes_when_signed_out() {
    let mut stale = 0;
    for seed in 0..20 {
        let mut scene = Scene::new(seed);
        scene.act(Registration::register);
        let up = scene.world.run_until(Duration::from_secs(20), |world| {
            matches!(world.node(NodeId(0)), Peer::Phone(p) if p.registration.is_registered())
        });
        assert!(up, "seed {seed}: not registered");
        for second in 0..3600 {
            scene.world.run_for(Duration::from_secs(1));
            let now = scene.world.now();
            let bindings = &scene.registrar().bindings;
            assert_eq!(bindings.len(), 1, "seed {seed}, second {second}");
            assert!(
                bindings.values().all(|end| *end > now),
                "seed {seed}: lapsed in second {second}"
            );
        }
        for event in &scene.phone().events {
            assert!(
                !matches!(
                    event,
                    RegistrationEvent::Refused(_) | RegistrationEvent::Failed { .. }
                ),
                "seed {seed}: {event:?}"
            );
        }
        stale += scene.registrar().stale;

        scene.act(Registration::unregister);
        scene.world.run_for(Duration::from_secs(120));
        assert!(scene.phone().registration.is_drained(), "seed {seed}");
        assert!(scene.registrar().bindings.is_empty(), "seed {seed}");
        assert!(scene.registrar().transactions.is_empty(), "seed {seed}");
        assert_eq!(scene.world.next_event(), None, "seed {seed}");
    }
    assert!(
        stale >= 20,
        "nonces of 1000 s must have gone stale: {stale}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut scene = Scene::new(7);
        scene.act(Registration::register);
        scene.world.run_for(Duration::from_secs(700));
        let sent: Vec<Vec<u8>> = scene
            .world
            .trace()
            .iter()
            .map(|traced| traced.packet.payload.clone())
            .collect();
        sent
    };
    let first = run();
    assert!(first.len() > 8);
    assert_eq!(first, run());
}
