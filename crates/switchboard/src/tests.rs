//! The exchange in virtual time: a bench that says and hears single messages, and phones.

mod events;
mod floods;
mod hostile;
mod numbers;
mod phones;
mod proxy;
mod register;
mod sockets;
mod transfers;
mod trust;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sip_core::{FlowId, Inbound, Path, Seed, Transport};
use sip_message::{HeaderName, Message, NameAddr, Request, Response, StatusCode};

use crate::config::{Hosts, Users};
use crate::exchange::{Action, Exchange, LineId};
use crate::numbers::Number;

pub(super) const BOARD: &str = "10.0.0.9:5060";
pub(super) const ALICE: &str = "10.0.0.1:5060";
pub(super) const BOB: &str = "10.0.0.2:5060";
pub(super) const CAROL: &str = "10.0.0.3:5060";
pub(super) const DAVE: &str = "10.0.0.4:5060";

/// 64·T1, after which nothing of a request is left.
pub(super) const PATIENCE: u64 = 32;

/// An exchange, and everything it wanted.
pub(super) struct Bench {
    pub(super) exchange: Exchange,
    pub(super) now: Instant,
    pub(super) sent: Vec<Sent>,
    pub(super) opened: Vec<(LineId, Number, Option<Vec<u8>>)>,
    pub(super) changed: usize,
    pub(super) line_answers: Vec<Vec<u8>>,
    pub(super) closed: Vec<LineId>,
    pub(super) closed_flows: Vec<FlowId>,
    pub(super) played: Vec<char>,
    calls: u64,
}

/// A message that the exchange sent.
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    pub(super) transport: Transport,
    pub(super) message: Message,
}

impl Bench {
    pub(super) fn new(users: Users, hosts: Hosts) -> Self {
        let board = addr(BOARD);
        let listening = vec![(Transport::Udp, board), (Transport::Tcp, board)];
        let seed = Seed::from_number(7);
        Self {
            exchange: Exchange::new(
                users,
                hosts,
                ("board", false),
                listening,
                |_| addr(BOARD).ip(),
                &seed,
            ),
            now: Instant::now(),
            sent: Vec::new(),
            opened: Vec::new(),
            changed: 0,
            line_answers: Vec::new(),
            closed: Vec::new(),
            closed_flows: Vec::new(),
            played: Vec::new(),
            calls: 0,
        }
    }

    pub(super) fn open() -> Self {
        Self::new(Users::Open, Hosts::default())
    }

    /// Says a message by UDP.
    pub(super) fn say(&mut self, from: &str, text: &str) {
        self.say_by(Transport::Udp, from, text);
    }

    pub(super) fn say_by(&mut self, transport: Transport, from: &str, text: &str) {
        let message = Message::parse(text.as_bytes()).expect("the test writes messages");
        let inbound = inbound(transport, from);
        if self.exchange.admits(self.now, &inbound, text.as_bytes()) {
            self.exchange.handle_message(self.now, message, inbound);
        }
        self.act();
    }

    /// Registers by UDP the Contact at the very address.
    pub(super) fn register(&mut self, user: &str, at: &str) {
        self.register_contact(Transport::Udp, user, at, &format!("<sip:{user}@{at}>"));
    }

    pub(super) fn register_contact(&mut self, by: Transport, user: &str, at: &str, contact: &str) {
        self.calls += 1;
        let n = self.calls;
        let headers = format!("Contact: {contact}\r\nExpires: 3600\r\n");
        let via = at;
        let register = Ask {
            method: "REGISTER",
            uri: "sip:board.test",
            from: &format!("<sip:{user}@board.test>;tag=r{n}"),
            to: &format!("<sip:{user}@board.test>"),
            call_id: &format!("register-{n}"),
            cseq: 1,
            via,
            branch: &format!("z9hG4bKr{n}"),
            headers: &headers,
            ..Ask::default()
        };
        self.say_by(by, at, &register.text());
        let is_answer = |sent: &Sent| sent.line().ends_with(" 200 REGISTER");
        let answer = self.sent.iter().position(is_answer);
        self.sent.remove(answer.expect("registered"));
    }

    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.exchange.deadline().filter(|at| *at <= end) {
            turns += 1;
            assert!(turns < 100_000, "the exchange wants to be woken for ever");
            self.now = self.now.max(at);
            self.exchange.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    pub(super) fn wait_s(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    fn act(&mut self) {
        loop {
            let actions = self.exchange.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act_once(action);
            }
        }
    }

    fn act_once(&mut self, action: Action) {
        match action {
            Action::Send(sending) => {
                let path = *sending.destination.path();
                self.sent.push(Sent {
                    to: path.remote,
                    transport: path.transport,
                    message: Message::parse(&sending.bytes).expect("it sends messages"),
                });
            }
            Action::OpenLine {
                line,
                number,
                offer,
                ..
            } => {
                let body = description(offer.as_deref());
                self.opened.push((line, number, offer));
                self.exchange.answer_line(self.now, line, Ok(body));
            }
            Action::ChangeLine { line, offer } => {
                self.changed += 1;
                let body = description(offer.as_deref());
                self.exchange.answer_line(self.now, line, Ok(body));
            }
            Action::LineAnswered { answer, .. } => self.line_answers.push(answer),
            Action::CloseLine { line } => self.closed.push(line),
            Action::CloseFlow { flow } => self.closed_flows.push(flow),
            Action::PlayDigit { digit, .. } => self.played.push(digit),
            Action::Log(_) => {}
        }
    }

    /// What was sent since it was asked last: `10.0.0.2 INVITE`, `10.0.0.1 180 INVITE`.
    pub(super) fn heard(&mut self) -> Vec<String> {
        let sent = std::mem::take(&mut self.sent);
        sent.iter().map(Sent::line).collect()
    }

    /// Takes the first request with this method that was sent there.
    pub(super) fn request_to(&mut self, to: &str, method: &str) -> Request {
        let place = self.sent.iter().position(|sent| {
            sent.to == addr(to)
                && matches!(&sent.message, Message::Request(r) if r.method.as_str() == method)
        });
        let place = place.unwrap_or_else(|| panic!("no {method} to {to}: {:?}", self.lines()));
        match self.sent.remove(place).message {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!(),
        }
    }

    /// Takes the first response with this status that was sent there.
    pub(super) fn response_to(&mut self, to: &str, status: u16) -> Response {
        let place = self
            .sent
            .iter()
            .position(|sent| sent.to == addr(to) && code(sent) == Some(status));
        let place = place.unwrap_or_else(|| panic!("no {status} to {to}: {:?}", self.lines()));
        match self.sent.remove(place).message {
            Message::Response(response) => response,
            Message::Request(_) => unreachable!(),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.sent.iter().map(Sent::line).collect()
    }

    /// After a long idle time there is nothing left but bindings.
    pub(super) fn assert_forgets(&mut self) {
        self.wait_s(PATIENCE + 1);
        let counts = self.exchange.counts();
        assert_eq!((counts.requests, counts.lines), (0, 0), "all is forgotten");
        assert_eq!(self.exchange.held(), 0);
    }
}

impl Sent {
    fn line(&self) -> String {
        let to = self.to.ip();
        match &self.message {
            Message::Request(request) => format!("{to} {}", request.method),
            Message::Response(response) => {
                let method = response.headers.cseq().expect("a CSeq").method;
                format!("{to} {} {method}", response.status.code())
            }
        }
    }
}

/// A request in the making.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: u32,
    pub(super) via: &'a str,
    pub(super) transport: &'a str,
    pub(super) branch: &'a str,
    pub(super) hops: u8,
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
}

impl Default for Ask<'_> {
    /// Alice invites Bob.
    fn default() -> Self {
        Self {
            method: "INVITE",
            uri: "sip:bob@board.test",
            from: "<sip:alice@board.test>;tag=alice",
            to: "<sip:bob@board.test>",
            call_id: "call",
            cseq: 1,
            via: ALICE,
            transport: "UDP",
            branch: "z9hG4bKone",
            hops: 70,
            headers: "Contact: <sip:alice@10.0.0.1:5060>\r\n",
            body: "",
        }
    }
}

impl Ask<'_> {
    pub(super) fn text(&self) -> String {
        let Self {
            method,
            uri,
            from,
            to,
            call_id,
            cseq,
            via,
            transport,
            branch,
            hops,
            headers,
            body,
        } = self;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {via};branch={branch};rport\r\n\
             Max-Forwards: {hops}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// An answer of the phone that got this request, Record-Route and all.
pub(super) fn reply(request: &Request, status: u16, tag: &str, contact: &str) -> String {
    let mut response = Response::to_request(request, StatusCode::new(status).expect("a status"));
    let to = request.headers.to().expect("a To");
    if status > 100 && to.tag().is_none() {
        response.headers.set(HeaderName::To, to.with_tag(tag));
    }
    for value in request.headers.get_all(HeaderName::RecordRoute) {
        response.headers.push(HeaderName::RecordRoute, value);
    }
    if !contact.is_empty() {
        let contact = format!("<sip:{contact}>");
        response.headers.push(HeaderName::Contact, contact);
    }
    String::from_utf8(response.to_bytes()).expect("text")
}

pub(super) fn inbound(transport: Transport, from: &str) -> Inbound {
    let remote = addr(from);
    let IpAddr::V4(ip) = remote.ip() else {
        panic!("the tests speak IPv4")
    };
    let flow = match transport {
        Transport::Udp => 1 << 60,
        _ => u64::from(u32::from(ip)) << 16 | u64::from(remote.port()),
    };
    let path = Path {
        transport,
        remote,
        local: addr(BOARD),
    };
    Inbound {
        flow: FlowId(flow),
        path,
    }
}

pub(super) fn code(sent: &Sent) -> Option<u16> {
    match &sent.message {
        Message::Response(response) => Some(response.status.code()),
        Message::Request(_) => None,
    }
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn routes_of(response: &Response) -> Vec<NameAddr> {
    let mut routes = response.headers.record_routes().unwrap_or_default();
    routes.reverse();
    routes
}

pub(super) fn list() -> Users {
    let users = [("alice", "one"), ("bob", "two")];
    let users = users.map(|(name, password)| (name.to_owned(), password.to_owned()));
    Users::List(HashMap::from(users))
}

fn description(offer: Option<&[u8]>) -> Vec<u8> {
    let text: &[u8] = if offer.is_some() {
        b"v=0 answer"
    } else {
        b"v=0 offer"
    };
    text.to_vec()
}
