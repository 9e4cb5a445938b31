//! Two phones, or a phone and a scripted peer, on the virtual network.

mod auth;
mod cancel;
mod faults;
mod flows;
mod fork;
mod forks;
mod headers;
mod info;
mod invitations;
mod modify;
mod moved;
mod open_offers;
mod peer;
mod redirect;
mod refer;
mod reliable;
mod replace;
mod rfc3665;
mod second_offer;
mod sequences;
mod success;
mod timer;
mod update;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::{HeaderName, Message, Method, NameAddr, Request, Response, Uri};
use testkit::{NodeId, Outbox, Packet, World};

use super::{Call, CallConfig, CallEvent, EndKind, EndReason, Phase, ReferId, ReferProgress};
use crate::auth::{Credentials, Home};
use crate::dispatch::response_owner;
use crate::output::Output;
use crate::path::{FlowId, Inbound, Path, ResolveError, ResolveId, Transport, TransportError};
use crate::tokens::Seed;

pub(super) use self::fork::Proxy;
pub(super) use self::peer::Script;

pub(super) const ALICE: &str = "192.0.2.1:5060";
pub(super) const BOB: &str = "192.0.2.2:5060";
pub(super) const CAROL: &str = "192.0.2.3:5060";
pub(super) const OFFER: &[u8] = b"v=0 offer";
pub(super) const ANSWER: &[u8] = b"v=0 answer";

/// A user agent with one call.
pub(super) struct Phone {
    pub(super) address: SocketAddr,
    pub(super) call: Option<Call>,
    pub(super) events: Vec<CallEvent>,
    /// What it resolves names to; an address in a URI stands for itself.
    pub(super) names: HashMap<String, Vec<SocketAddr>>,
    /// Addresses at which the transport layer reports a closed port.
    pub(super) closed: Vec<SocketAddr>,
    /// How TCP fails everywhere.
    pub(super) no_tcp: Option<TransportError>,
    /// The network takes no datagram of more octets.
    pub(super) largest: Option<usize>,
    /// What went over TCP for its size alone.
    pub(super) for_size: Vec<String>,
    /// Configuration for calls that come in.
    pub(super) config: CallConfig,
    seed: u64,
    deadline: Option<Instant>,
    /// What was seen of the call after the step before.
    seen: Seen,
}

/// How far a call has come.
#[derive(Default)]
struct Seen {
    stage: u8,
    events: usize,
    ended: bool,
    is_card: bool,
    /// Whether each side had what it waited for.
    settled: bool,
    cause: Cause,
    /// What the call has said so far.
    said: HashSet<Vec<u8>>,
    transfers_done: Vec<ReferId>,
}

/// Whoever lives at an address.
pub(super) enum Peer {
    Phone(Box<Phone>),
    Script(Script),
    Proxy(Proxy),
}

pub(super) type Net = World<Vec<u8>, Peer>;

/// What a call acts upon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Cause {
    /// A wish of the user's.
    #[default]
    Wish,
    Time,
    Request,
    Response,
    /// A 2xx to an INVITE, also one that another fork says late.
    Taken,
}

impl Cause {
    fn of(message: &Message) -> Self {
        match message {
            Message::Request(_) => Self::Request,
            Message::Response(response) => {
                let cseq = response.headers.cseq();
                let of_invite = cseq.is_ok_and(|cseq| cseq.method == Method::Invite);
                match of_invite && response.status.is_success() {
                    true => Self::Taken,
                    false => Self::Response,
                }
            }
        }
    }
}

impl Seen {
    /// Whoever is settled has nothing more to say by itself, and asks nothing: it answers what it is asked, says an ACK
    /// again, and ends a fork that takes the call after all (RFC 3261 §13.2.2.4). A transfer outlives the session: of
    /// that it tells more (RFC 3515 §2.4.4).
    fn check_said(&mut self, bytes: &[u8]) {
        let is_new = self.said.insert(bytes.to_vec());
        let message = Message::parse(bytes);
        let answers = matches!(message, Ok(Message::Response(_)));
        let reports = matches!(message, Ok(Message::Request(r)) if r.method == Method::Notify);
        let fits = match self.cause {
            _ if reports => true,
            Cause::Wish | Cause::Taken => true,
            Cause::Time => false,
            Cause::Request => answers,
            Cause::Response => !answers && !is_new,
        };
        assert!(
            !self.settled || fits,
            "settled, and says because of {:?}: {}",
            self.cause,
            String::from_utf8_lossy(bytes)
        );
    }
}

impl Phone {
    pub(super) fn new(address: &str, user: &str, seed: u64) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        Self {
            address,
            call: None,
            events: Vec::new(),
            names: HashMap::new(),
            closed: Vec::new(),
            no_tcp: None,
            largest: None,
            for_size: Vec::new(),
            config: config(&format!("sip:{user}@{}", address.ip()), user),
            seed,
            deadline: None,
            seen: Seen::default(),
        }
    }

    /// Has this call from now on, of which nothing was told yet; or the card of one, which only says goodbye.
    pub(super) fn begin(&mut self, call: Call, is_card: bool) {
        self.call = Some(call);
        self.seen = Seen {
            events: self.events.len(),
            is_card,
            ..Seen::default()
        };
    }

    pub(super) fn call(&mut self) -> &mut Call {
        self.call.as_mut().expect("a call was made before")
    }

    /// The one end of the call, if it came.
    pub(super) fn ended(&self) -> Option<&EndKind> {
        let mut ends = self.events.iter().filter_map(|event| match event {
            CallEvent::Ended(EndReason { kind }) => Some(kind),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "a call ends once");
        if end.is_some() {
            let of_session = |event: &&CallEvent| !matches!(event, CallEvent::Refer { .. });
            let last = self.events.iter().rfind(of_session);
            assert!(
                matches!(last, Some(CallEvent::Ended(_))),
                "the end comes last, but for transfers that outlive the session"
            );
        }
        end
    }

    pub(super) fn established(&self) -> bool {
        self.events.contains(&CallEvent::Established)
    }

    /// The answers of the peer that were told, in order.
    pub(super) fn answers_told(&self) -> Vec<String> {
        let text = |event: &CallEvent| match event {
            CallEvent::Answer { body, .. } => Some(String::from_utf8(body.clone()).unwrap()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    pub(super) fn notices(&self) -> Vec<&str> {
        let mut notices = Vec::new();
        for event in &self.events {
            if let CallEvent::Notice(text) = event {
                notices.push(text.reveal());
            }
        }
        notices
    }

    fn next_seed(&mut self) -> Seed {
        self.seed += 1;
        Seed::from_number(self.seed)
    }

    fn receive(&mut self, now: Instant, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        let inbound = inbound(self.address, packet.from);
        let Ok(message) = Message::parse(&packet.payload) else {
            return;
        };
        self.seen.cause = Cause::of(&message);
        match (message, &mut self.call) {
            (Message::Response(response), Some(call)) => {
                // The dialogs of requests about the call from outside of it carry our tag as well.
                let owner = response_owner(&response);
                if owner.is_some_and(|owner| owner.local_tag == call.owner_key().local_tag) {
                    call.handle_response(now, response, inbound);
                }
            }
            (Message::Request(request), Some(call)) => {
                let call_id = request.headers.get(HeaderName::CallId);
                let knows = request.headers.has(HeaderName::TargetDialog);
                if knows || call_id == Some(call.owner_key().call_id.as_str()) {
                    call.handle_request(now, request, inbound);
                }
            }
            (Message::Request(request), None) => {
                let (config, seed) = (self.config.clone(), self.next_seed());
                match Call::incoming(now, request, inbound, config, &seed) {
                    Ok(call) => self.begin(call, false),
                    Err(rejection) => {
                        let to = rejection.destination.path().remote;
                        out.send(self.address, to, rejection.response.to_bytes());
                    }
                }
            }
            (Message::Response(_), None) => {}
        }
        self.drain(now, out);
    }

    /// Carries out what the call wants, until nothing is left.
    pub(super) fn drain(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        loop {
            let mut answers: Vec<(ResolveId, Uri)> = Vec::new();
            let mut unsent = Vec::new();
            let Some(call) = &mut self.call else { return };
            loop {
                match call.poll_output() {
                    Output::Transmit(transmit) => {
                        let to = transmit.destination.path().remote;
                        let tcp = transmit.destination.transport() == Transport::Tcp;
                        let closed = self.closed.contains(&to);
                        let refused = closed.then_some(TransportError::Refused);
                        if transmit.for_size {
                            assert!(tcp, "{}", transmit.what);
                            self.for_size.push(transmit.what.clone());
                            assert!(self.for_size.len() < 100, "no end of tries");
                        }
                        let length = transmit.bytes.len();
                        let large = self.largest.filter(|most| !tcp && length > *most);
                        let refused = refused.or(large.map(|_| TransportError::TooLarge));
                        self.seen.check_said(&transmit.bytes);
                        match refused.or(self.no_tcp.clone().filter(|_| tcp)) {
                            Some(error) => unsent.push((branch_of(&transmit.bytes), error)),
                            None => out.send(self.address, to, transmit.bytes),
                        }
                    }
                    Output::Resolve { id, uri, .. } => answers.push((id, *uri)),
                    Output::Event(event) => self.events.push(event),
                    Output::Deadline(at) => {
                        self.deadline = at;
                        break;
                    }
                }
            }
            if answers.is_empty() && unsent.is_empty() {
                return self.check_step(now);
            }
            // Each input is drained before the next one.
            for (branch, error) in unsent {
                self.call().handle_transport_error(now, &branch, error);
                self.drain(now, out);
            }
            for (id, uri) in answers {
                let result = self.resolve(&uri);
                self.call().handle_resolved(now, id, result);
                self.drain(now, out);
            }
        }
    }

    /// What holds after every step of every test: nothing is kept beyond its limit, no timer is left in the past, a
    /// call goes forward alone and ends once, and so does a transfer.
    fn check_step(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        let limits = [
            Call::CLIENT_LIMIT + 2 * Call::FORK_LIMIT,
            Call::SERVER_LIMIT,
            Call::FORK_LIMIT + 1,
            Call::SERVER_LIMIT,
            2 * 8,
        ];
        for (count, limit) in call.counts().into_iter().zip(limits) {
            assert!(count <= limit, "{:?} of {limits:?}", call.counts());
        }
        assert!(
            self.deadline.is_none_or(|due| due >= now),
            "a timer is late"
        );
        let seen = &mut self.seen;
        for event in &self.events[seen.events.min(self.events.len())..] {
            match event {
                CallEvent::Ended(_) => {
                    assert!(!seen.ended, "a call ends once");
                    seen.ended = true;
                }
                CallEvent::Refer {
                    id,
                    progress: ReferProgress::Done(_),
                } => {
                    assert!(!seen.transfers_done.contains(id), "a transfer ends once");
                    seen.transfers_done.push(*id);
                }
                CallEvent::Refer { .. } => {}
                _ => assert!(!seen.ended, "{event:?} after the end"),
            }
        }
        seen.events = self.events.len();
        let stage = match call.phase() {
            Phase::Calling | Phase::Ringing => 0,
            Phase::Talking => 1,
            Phase::Ended => 2,
        };
        assert!(stage >= seen.stage, "a call goes forward");
        assert!(
            seen.is_card || seen.ended == (stage == 2),
            "whoever has ended says so"
        );
        seen.stage = stage;
        seen.settled = call.is_settled();
        if call.is_drained() {
            assert!(seen.is_card || seen.settled, "nothing is left to wait for");
            assert_eq!(call.counts(), [0; 5]);
            assert_eq!(self.deadline, None);
        }
    }

    fn resolve(&self, uri: &Uri) -> Result<Vec<Path>, ResolveError> {
        let remotes = match uri.host.ip() {
            Some(ip) => vec![SocketAddr::new(ip, uri.port.unwrap_or(5060))],
            None => self
                .names
                .get(&uri.host.to_string())
                .cloned()
                .unwrap_or_default(),
        };
        if remotes.is_empty() {
            return Err(ResolveError::NotFound(uri.host.to_string()));
        }
        let path = |remote| Path {
            transport: Transport::Udp,
            remote,
            local: self.address,
        };
        Ok(remotes.into_iter().map(path).collect())
    }
}

impl testkit::Node<Vec<u8>> for Peer {
    fn handle_packet(&mut self, now: Instant, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        match self {
            Self::Phone(phone) => phone.receive(now, packet, out),
            Self::Script(script) => script.receive(packet),
            Self::Proxy(proxy) => proxy.receive(packet, out),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        if let Self::Phone(phone) = self {
            phone.seen.cause = Cause::Time;
            phone.call().handle_timeout(now);
            phone.drain(now, out);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Phone(phone) => phone.deadline,
            Self::Script(_) | Self::Proxy(_) => None,
        }
    }
}

pub(super) fn config(address: &str, user: &str) -> CallConfig {
    let mut config = CallConfig::new(NameAddr::new(Uri::parse(address).unwrap()), user);
    config.capabilities.user_agent = "Tipring".to_owned();
    config
}

pub(super) fn login(config: &mut CallConfig) {
    config.credentials = vec![Credentials::new("alice", "secret")];
    config.home = Home::new(vec![Uri::parse("sip:192.0.2.2").unwrap()]);
}

pub(super) fn inbound(local: SocketAddr, remote: SocketAddr) -> Inbound {
    Inbound {
        flow: FlowId(u64::from(remote.port())),
        path: path(local, &remote.to_string()),
    }
}

pub(super) fn path(local: SocketAddr, remote: &str) -> Path {
    Path {
        transport: Transport::Udp,
        remote: remote.parse().unwrap(),
        local,
    }
}

fn branch_of(bytes: &[u8]) -> String {
    let message = Message::parse(bytes).unwrap();
    message
        .headers()
        .via_top()
        .unwrap()
        .branch()
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn add_phone(net: &mut Net, address: &str, user: &str) -> NodeId {
    let seed = 1000 * (net.trace().len() as u64 + 1)
        + address.len() as u64
        + u64::from(user.as_bytes()[0]);
    let phone = Phone::new(address, user, seed);
    net.add(address.parse().unwrap(), Peer::Phone(Box::new(phone)))
}

pub(super) fn add_script(net: &mut Net, address: &str) -> NodeId {
    let script = Script::new(address);
    net.add(address.parse().unwrap(), Peer::Script(script))
}

pub(super) fn phone(net: &Net, id: NodeId) -> &Phone {
    match net.node(id) {
        Peer::Phone(phone) => phone,
        Peer::Script(_) | Peer::Proxy(_) => panic!("no phone"),
    }
}

/// Acts as the user of a phone and lets what follows from it go out.
pub(super) fn act<R>(net: &mut Net, id: NodeId, verb: impl FnOnce(&mut Phone, Instant) -> R) -> R {
    net.with(id, |peer, now, out| match peer {
        Peer::Phone(phone) => {
            let result = verb(phone, now);
            phone.seen.cause = Cause::Wish;
            phone.drain(now, out);
            result
        }
        Peer::Script(_) | Peer::Proxy(_) => panic!("no phone"),
    })
}

/// Lets a phone call an address.
pub(super) fn dial(net: &mut Net, id: NodeId, to: &str, offer: Option<&[u8]>) {
    act(net, id, |phone, now| {
        let remote = NameAddr::new(Uri::parse(to).unwrap());
        let config = phone.config.clone().to(remote);
        let seed = phone.next_seed();
        let call = Call::outgoing(now, config, offer.map(<[u8]>::to_vec), &seed);
        phone.begin(call, false);
    });
}

/// Two phones with the call between them established, the first one having called.
pub(super) fn talking(seed: u64) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(seed);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 100);
    act(&mut net, bob, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 100);
    assert!(phone(&net, alice).established() && phone(&net, bob).established());
    (net, alice, bob)
}

/// The user does something; it has to fit.
pub(super) fn user(
    net: &mut Net,
    id: NodeId,
    verb: impl FnOnce(&mut Call, Instant) -> Result<(), super::WrongState>,
) {
    act(net, id, |phone, now| verb(phone.call(), now)).expect("the verb fits");
}

/// Lets time pass.
pub(super) fn wait(net: &mut Net, ms: u64) {
    net.run_for(Duration::from_millis(ms));
}

/// All that was sent, one line each: `.1>.2 INVITE`, `.2>.1 180 INVITE`.
pub(super) fn wire(net: &Net) -> Vec<String> {
    net.trace()
        .iter()
        .map(|traced| line(&traced.packet))
        .collect()
}

/// The lines of [`wire`] that were sent from this moment of the world on.
pub(super) fn wire_since(net: &Net, from: Duration) -> Vec<String> {
    let sent = net.trace().iter().filter(|traced| traced.at >= from);
    sent.map(|traced| line(&traced.packet)).collect()
}

fn line(packet: &Packet<Vec<u8>>) -> String {
    let last = |address: SocketAddr| {
        address
            .ip()
            .to_string()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned()
    };
    let ends = format!(".{}>.{}", last(packet.from), last(packet.to));
    match Message::parse(&packet.payload) {
        Ok(Message::Request(request)) => format!("{ends} {}", request.method),
        Ok(Message::Response(response)) => {
            let method = response.headers.cseq().unwrap().method;
            format!("{ends} {} {method}", response.status.code())
        }
        Err(error) => format!("{ends} broken: {error}"),
    }
}

/// The requests with this method that were sent, in order.
pub(super) fn requests(net: &Net, method: &str) -> Vec<Request> {
    let parse = |traced: &testkit::Traced<Vec<u8>>| match Message::parse(&traced.packet.payload) {
        Ok(Message::Request(request)) if request.method.as_str() == method => Some(request),
        _ => None,
    };
    net.trace().iter().filter_map(parse).collect()
}

/// The responses to this method that were sent, in order.
pub(super) fn responses(net: &Net, method: &str) -> Vec<Response> {
    let parse = |traced: &testkit::Traced<Vec<u8>>| match Message::parse(&traced.packet.payload) {
        Ok(Message::Response(response))
            if response.headers.cseq().unwrap().method.as_str() == method =>
        {
            Some(response)
        }
        _ => None,
    };
    net.trace().iter().filter_map(parse).collect()
}

pub(super) fn assert_wire(net: &Net, expected: &[&str]) {
    assert_eq!(wire(net), expected);
}

/// Runs until both calls are drained and nothing is left of them.
pub(super) fn assert_all_gone(net: &mut Net, ids: &[NodeId]) {
    net.run_for(Duration::from_secs(32 * 5));
    for id in ids {
        let Some(call) = &phone(net, *id).call else {
            continue;
        };
        assert_eq!(call.counts(), [0; 5], "what is left of a call");
        assert!(call.is_drained());
        assert!(phone(net, *id).deadline.is_none(), "no timer is left");
    }
}
