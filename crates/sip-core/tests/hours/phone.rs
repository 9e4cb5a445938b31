//! A user agent with one call, over UDP, and who sits before it: what is offered is taken, refused or thought about, as the
//! test says.

use std::net::SocketAddr;
use std::time::Instant;

use sip_core::call::{Call, CallConfig, CallEvent, Phase, ReferRequest};
use sip_core::dispatch::response_owner;
use sip_core::{FlowId, Inbound, Output, Path, ResolveId, Seed, Transport, TransportError};
use sip_message::{HeaderName, Message, Method, NameAddr, Request, StatusCode, Uri};
use testkit::{Node, Outbox, Packet};

/// What becomes of an offer of the peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Takes,
    /// 488.
    Refuses,
    /// Neither yes nor no.
    Thinks,
}

/// The session as one side has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Agreed {
    pub(crate) ours: Vec<u8>,
    pub(crate) theirs: Vec<u8>,
}

pub(crate) struct Phone {
    /// Where it is. What comes to where it was is lost.
    pub(crate) address: SocketAddr,
    pub(crate) call: Option<Box<Call>>,
    config: CallConfig,
    seed: u64,
    deadline: Option<Instant>,
    pub(crate) mood: Mood,
    /// What the next offer asks for: a payload type with its name and clock, and milliseconds.
    pub(crate) codec: String,
    pub(crate) ptime: String,
    /// Whether our person has put the other one on hold.
    pub(crate) holds: bool,
    /// Of the keys that it sends with, the number.
    pub(crate) key: u64,
    version: u64,
    pub(crate) agreed: Agreed,
    /// Our offer that has no answer yet.
    pub(crate) offered: Option<Vec<u8>>,
    /// The CSeq number of our last INVITE or UPDATE that has its answer.
    pub(crate) answered: u32,
    /// What was told since the last look.
    pub(crate) told: Vec<CallEvent>,
    /// REFERs of the peer that nobody has decided upon.
    pub(crate) requested: Vec<ReferRequest>,
    /// What is written otherwise in all that it sends.
    pub(crate) rewrites: Vec<(&'static str, &'static str)>,
    /// Nothing can be sent from here.
    pub(crate) unplugged: bool,
    /// For a test of the test: what a core would hold that forgets to forget.
    pub(crate) leak: Option<Vec<String>>,
}

impl Phone {
    pub(crate) fn new(address: SocketAddr, config: CallConfig, seed: u64) -> Self {
        Self {
            address,
            call: None,
            config,
            seed,
            deadline: None,
            mood: Mood::Takes,
            codec: "0 PCMU/8000".to_owned(),
            ptime: "20".to_owned(),
            holds: false,
            key: 1,
            version: 1_000_000_000,
            agreed: Agreed::default(),
            offered: None,
            answered: 0,
            told: Vec::new(),
            requested: Vec::new(),
            rewrites: Vec::new(),
            unplugged: false,
            leak: None,
        }
    }

    pub(crate) fn call(&mut self) -> &mut Call {
        self.call.as_mut().expect("the call goes on")
    }

    pub(crate) fn dial(&mut self, now: Instant, target: &str) {
        let offer = self.describe(None);
        self.offered = Some(offer.clone());
        let target = NameAddr::new(Uri::parse(target).expect("a URI"));
        let config = self.config.clone().to(target);
        let seed = Seed::from_number(self.seed);
        let call = Call::outgoing(now, config, Some(offer), &seed);
        self.call = Some(Box::new(call));
    }

    /// Our person changes the session, by re-INVITE.
    pub(crate) fn reoffer(&mut self, now: Instant) {
        let offer = self.describe(None);
        self.offered = Some(offer.clone());
        self.call().reoffer(now, offer).expect("the call is up");
    }

    /// The same by UPDATE (RFC 3311). False while that may not be.
    pub(crate) fn update(&mut self, now: Instant) -> bool {
        if !self.call().may_update() {
            return false;
        }
        let offer = self.describe(None);
        self.offered = Some(offer.clone());
        let sent = self.call().update(now, Some(offer));
        sent.expect("it may be");
        true
    }

    /// Is elsewhere from now on.
    pub(crate) fn move_to(&mut self, now: Instant, address: SocketAddr) {
        self.address = address;
        // Where it begins is what matters.
        let way = path(address, address);
        self.call().moved(now, &way);
    }

    /// The peer's first offer is taken, and so the call.
    pub(crate) fn answer(&mut self, now: Instant) {
        let offer = self.agreed.theirs.clone();
        let ours = self.describe(Some(&offer));
        self.agreed.ours.clone_from(&ours);
        self.call().answer(now, ours).expect("it rings");
    }

    /// An offer, or the answer to this one: RFC 3264 §6.1 and §8.4 of the direction.
    fn describe(&mut self, offer: Option<&[u8]>) -> Vec<u8> {
        let direction = match (offer.map(direction), self.holds) {
            (None | Some("sendrecv"), false) => "sendrecv",
            (None | Some("sendrecv" | "recvonly"), true) | (Some("recvonly"), false) => "sendonly",
            (Some("sendonly"), false) => "recvonly",
            (Some(_), _) => "inactive",
        };
        let codec = offer.map_or(self.codec.as_str(), |offer| line(offer, "a=rtpmap:"));
        let ptime = offer.map_or(self.ptime.as_str(), |offer| line(offer, "a=ptime:"));
        let number = codec.split(' ').next().unwrap_or_default();
        let (ip, key) = (self.address.ip(), self.key);
        let rest = format!(
            " IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/SAVP {number}\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key:040}\r\na=rtpmap:{codec}\r\n\
             a=ptime:{ptime}\r\na={direction}\r\n"
        );
        // RFC 3264 §8: the version says whether anything is new.
        if self.agreed.ours.ends_with(rest.as_bytes()) {
            return self.agreed.ours.clone();
        }
        self.version += 1;
        format!("v=0\r\no=- 1 {}{rest}", self.version).into_bytes()
    }

    fn receive(&mut self, now: Instant, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        if packet.to != self.address {
            return;
        }
        let inbound = Inbound {
            flow: FlowId(1),
            path: path(packet.to, packet.from),
        };
        match (Message::parse(&packet.payload), &mut self.call) {
            (Ok(Message::Response(response)), Some(call)) => {
                if response_owner(&response).as_ref() == Some(call.owner_key()) {
                    let cseq = response.headers.cseq().expect("phones write it");
                    let refreshes = matches!(cseq.method, Method::Invite | Method::Update);
                    if refreshes && response.status.is_final() {
                        self.answered = self.answered.max(cseq.number);
                    }
                    call.handle_response(now, response, inbound);
                }
            }
            (Ok(Message::Request(request)), Some(call)) => {
                let call_id = request.headers.get(HeaderName::CallId);
                if call_id == Some(call.owner_key().call_id.as_str()) {
                    call.handle_request(now, request, inbound);
                }
            }
            (Ok(Message::Request(request)), None) => self.begin(now, request, inbound),
            (_, _) => return,
        }
        self.drain(now, out);
    }

    fn begin(&mut self, now: Instant, request: Request, inbound: Inbound) {
        if request.method == Method::Invite && self.agreed == Agreed::default() {
            let (config, seed) = (self.config.clone(), Seed::from_number(self.seed));
            let call = Call::incoming(now, request, inbound, config, &seed);
            self.call = Some(Box::new(call.expect("nothing is wrong with it")));
        }
    }

    /// Carries out what the call wants, until it wants nothing.
    pub(crate) fn drain(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        loop {
            let (mut questions, mut unsent, mut told) = (Vec::new(), Vec::new(), Vec::new());
            let Some(call) = &mut self.call else { return };
            loop {
                match call.poll_output() {
                    Output::Transmit(transmit) if self.unplugged => {
                        unsent.push(branch_of(&transmit.bytes));
                    }
                    Output::Transmit(transmit) => {
                        let bytes = rewritten(transmit.bytes, &self.rewrites);
                        out.send(self.address, transmit.destination.path().remote, bytes);
                    }
                    Output::Resolve { id, uri, .. } => questions.push((id, *uri)),
                    Output::Event(event) => told.push(event),
                    Output::Deadline(deadline) => {
                        self.deadline = deadline;
                        break;
                    }
                }
            }
            if questions.is_empty() && unsent.is_empty() && told.is_empty() {
                return;
            }
            // Each input is drained before the next one.
            for branch in unsent {
                let error = TransportError::Unreachable;
                self.call().handle_transport_error(now, &branch, error);
                self.drain(now, out);
            }
            for (id, uri) in questions {
                self.resolve(now, id, &uri);
                self.drain(now, out);
            }
            for event in told {
                self.react(now, event);
                self.drain(now, out);
            }
        }
    }

    fn resolve(&mut self, now: Instant, id: ResolveId, uri: &Uri) {
        let ip = uri.host.ip().expect("all are called by their addresses");
        let remote = SocketAddr::new(ip, uri.port.unwrap_or(5060));
        let way = path(self.address, remote);
        self.call().handle_resolved(now, id, Ok(vec![way]));
    }

    fn react(&mut self, now: Instant, event: CallEvent) {
        if let (Some(leak), Some(call)) = (&mut self.leak, &self.call) {
            leak.push(format!("z9hG4bK{}", call.owner_key().local_tag));
        }
        match &event {
            CallEvent::Offer { body } if self.call().phase() == Phase::Ringing => {
                self.agreed.theirs.clone_from(body);
                self.call().ring(now, None).expect("it is new");
            }
            CallEvent::Offer { body } => self.decide(now, body),
            CallEvent::Answer { body, .. } => {
                // Without an offer of ours it was one that only refreshed the session, with what was described before.
                if let Some(ours) = self.offered.take() {
                    self.agreed.ours = ours;
                }
                self.agreed.theirs.clone_from(body);
                self.adopt();
            }
            CallEvent::ReofferFailed { .. } => self.offered = None,
            CallEvent::ReferRequested(request) => self.requested.push((**request).clone()),
            _ => {}
        }
        self.told.push(event);
    }

    fn decide(&mut self, now: Instant, offer: &[u8]) {
        match self.mood {
            Mood::Takes => {
                let ours = self.describe(Some(offer));
                self.agreed = Agreed {
                    ours: ours.clone(),
                    theirs: offer.to_vec(),
                };
                self.adopt();
                self.call().accept_offer(now, ours).expect("it is due");
            }
            Mood::Refuses => {
                let status = StatusCode::NOT_ACCEPTABLE_HERE;
                self.call().reject_offer(now, status).expect("it is due");
            }
            Mood::Thinks => {}
        }
    }

    /// The next offer asks for what is agreed, unless our person wants otherwise.
    fn adopt(&mut self) {
        self.codec = line(&self.agreed.theirs, "a=rtpmap:").to_owned();
        self.ptime = line(&self.agreed.theirs, "a=ptime:").to_owned();
    }
}

impl Node<Vec<u8>> for Phone {
    fn handle_packet(&mut self, now: Instant, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        self.receive(now, packet, out);
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Vec<u8>>) {
        self.call().handle_timeout(now);
        self.drain(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

pub(crate) fn path(local: SocketAddr, remote: SocketAddr) -> Path {
    Path {
        transport: Transport::Udp,
        remote,
        local,
    }
}

/// What stands behind this in the first line that begins so; empty where none does.
pub(crate) fn line<'a>(text: &'a [u8], begins: &str) -> &'a str {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut lines = text.split("\r\n");
    lines
        .find_map(|line| line.strip_prefix(begins))
        .unwrap_or_default()
}

/// The direction of a description (RFC 8866 §6.7).
pub(crate) fn direction(description: &[u8]) -> &str {
    let text = std::str::from_utf8(description).unwrap_or_default();
    let words = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let mut lines = text.split("\r\n");
    lines
        .find_map(|line| {
            words
                .iter()
                .find(|word| line.strip_prefix("a=") == Some(word))
        })
        .map_or("", |word| word)
}

/// The branch of the top Via.
pub(crate) fn branch_of(bytes: &[u8]) -> String {
    let via = line(bytes, "Via: ");
    let branch = via.split(";branch=").nth(1).unwrap_or_default();
    branch.split(';').next().unwrap_or_default().to_owned()
}

fn rewritten(bytes: Vec<u8>, rewrites: &[(&str, &str)]) -> Vec<u8> {
    if rewrites.is_empty() {
        return bytes;
    }
    let mut text = String::from_utf8(bytes).expect("all that is said here is text");
    for (from, to) in rewrites {
        text = text.replace(from, to);
    }
    text.into_bytes()
}
