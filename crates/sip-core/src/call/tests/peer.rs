//! A peer that says exactly what a test wants it to say.

use std::net::SocketAddr;

use sip_message::{HeaderName, Message, Method, NameAddr, Request, Response, StatusCode, Uri};
use testkit::{NodeId, Packet};

use super::{ALICE, ANSWER, BOB, Net, OFFER, Peer, act, add_phone, add_script, dial, phone, wait};

/// Remembers what it hears and answers nothing by itself.
pub(in crate::call) struct Script {
    pub(super) address: SocketAddr,
    heard: Vec<(SocketAddr, Message)>,
}

impl Script {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            heard: Vec::new(),
        }
    }

    pub(super) fn receive(&mut self, packet: Packet<Vec<u8>>) {
        let message = Message::parse(&packet.payload).expect("phones send sound messages");
        self.heard.push((packet.from, message));
    }
}

/// The script of this node.
pub(super) fn script(net: &Net, id: NodeId) -> &Script {
    match net.node(id) {
        Peer::Script(script) => script,
        Peer::Phone(_) | Peer::Proxy(_) => panic!("no script"),
    }
}

/// The requests with this method that it heard.
pub(super) fn heard(net: &Net, id: NodeId, method: &str) -> Vec<Request> {
    let script = script(net, id);
    let requests = script
        .heard
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Request(request) if request.method.as_str() == method => Some(request.clone()),
            _ => None,
        });
    requests.collect()
}

/// The final and provisional answers that it heard to this method.
pub(super) fn answers(net: &Net, id: NodeId, method: &str) -> Vec<Response> {
    let script = script(net, id);
    let responses = script
        .heard
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Response(response)
                if response.headers.cseq().unwrap().method.as_str() == method =>
            {
                Some(response.clone())
            }
            _ => None,
        });
    responses.collect()
}

/// The last request with this method that it heard.
pub(super) fn last(net: &Net, id: NodeId, method: &str) -> Request {
    heard(net, id, method)
        .pop()
        .unwrap_or_else(|| panic!("no {method} was heard"))
}

/// A response of the script to a request, with this To tag unless it is empty.
pub(super) fn response(request: &Request, code: u16, tag: &str) -> Response {
    let mut response = Response::to_request(request, StatusCode::new(code).unwrap());
    if !tag.is_empty() {
        let mut to = response.headers.to().unwrap();
        to.set_tag(tag);
        response.headers.set(HeaderName::To, to);
    }
    response
}

/// The same with a Contact, and a body if there is one: what makes dialogs.
pub(super) fn answer(
    request: &Request,
    code: u16,
    tag: &str,
    contact: &str,
    body: &[u8],
) -> Response {
    let mut response = response(request, code, tag);
    response
        .headers
        .push(HeaderName::Contact, format!("<{contact}>"));
    if !body.is_empty() {
        response.set_body("application/sdp", body.to_vec());
    }
    response
}

/// Sends a message from the script.
pub(super) fn say(net: &mut Net, id: NodeId, to: &str, bytes: Vec<u8>) {
    let from = script(net, id).address;
    net.inject(from, to.parse().unwrap(), bytes);
}

/// An INVITE of the script to `user` at `to`, with its own tag, branch and number.
pub(super) fn invite(
    net: &Net,
    id: NodeId,
    to: &str,
    branch: &str,
    cseq: u32,
    body: &[u8],
) -> Request {
    let from = script(net, id).address;
    let uri = Uri::parse(&format!("sip:alice@{to}")).unwrap();
    let mut request = Request::new(Method::Invite, uri.clone());
    let headers = &mut request.headers;
    headers.push(
        HeaderName::Via,
        format!("SIP/2.0/UDP {from};branch=z9hG4bK{branch};rport"),
    );
    headers.push(HeaderName::MaxForwards, 70);
    headers.push(HeaderName::From, "<sip:script@example.com>;tag=scripttag");
    headers.push(HeaderName::To, NameAddr::new(uri));
    headers.push(HeaderName::CallId, "script-call");
    headers.push(HeaderName::CSeq, format!("{cseq} INVITE"));
    headers.push(HeaderName::Contact, format!("<sip:script@{from}>"));
    if !body.is_empty() {
        request.set_body("application/sdp", body.to_vec());
    }
    request
}

/// A request of the script like one before, with another method, branch and number and this To.
pub(super) fn follow(before: &Request, to: &str, method: &str, branch: &str, cseq: u32) -> Request {
    let mut request = before.clone();
    request.method = Method::parse(method).unwrap();
    request.body.clear();
    request.headers.remove(HeaderName::ContentType);
    let mut via = request.headers.via_top().unwrap();
    via.params.set("branch", format!("z9hG4bK{branch}"));
    request.headers.set(HeaderName::Via, via);
    request.headers.set(HeaderName::To, to);
    request
        .headers
        .set(HeaderName::CSeq, format!("{cseq} {method}"));
    request
}

/// ALICE calls a script at BOB, which has the INVITE and says nothing yet.
pub(super) fn calling(offer: Option<&[u8]>) -> (Net, NodeId, NodeId, Request) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    dial(&mut net, alice, "sip:bob@192.0.2.2", offer);
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    (net, alice, bob, request)
}

/// ALICE calls a script that answers.
pub(super) fn calls_script() -> (Net, NodeId, NodeId) {
    calls_script_that(|_| {})
}

/// The same, with a 200 of its own making.
pub(super) fn calls_script_that(change: impl FnOnce(&mut Response)) -> (Net, NodeId, NodeId) {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let mut ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    change(&mut ok);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    (net, alice, bob)
}

/// A script at BOB calls ALICE, which rings silently.
pub(super) fn called_with(
    body: &[u8],
    change: impl FnOnce(&mut Request),
) -> (Net, NodeId, NodeId, Request) {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let mut request = invite(&net, bob, ALICE, "first", 7, body);
    change(&mut request);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    (net, alice, bob, request)
}

/// A script that called ALICE and was answered; with the To of the dialog.
pub(super) fn answered(body: &[u8]) -> (Net, NodeId, NodeId, Request, String) {
    answered_with(body, |_| {})
}

/// The same with an INVITE of its own making.
pub(super) fn answered_with(
    body: &[u8],
    change: impl FnOnce(&mut Request),
) -> (Net, NodeId, NodeId, Request, String) {
    let (mut net, alice, bob, request) = called_with(body, change);
    act(&mut net, alice, |phone, now| {
        phone.call().answer(now, ANSWER.to_vec())
    })
    .unwrap();
    wait(&mut net, 10);
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    let to = ok.headers.get(HeaderName::To).unwrap().to_owned();
    (net, alice, bob, request, to)
}

/// A script that called ALICE and was answered, its INVITE acknowledged; with the To of the dialog.
pub(super) fn called_by_script() -> (Net, NodeId, NodeId, Request, String) {
    called_by_script_with(|_| {})
}

/// The same with an INVITE of its own making.
pub(super) fn called_by_script_with(
    change: impl FnOnce(&mut Request),
) -> (Net, NodeId, NodeId, Request, String) {
    let (mut net, alice, bob, request, to) = answered_with(OFFER, change);
    let ack = follow(&request, &to, "ACK", "ack", 7);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    (net, alice, bob, request, to)
}

/// An INVITE of the script within the call.
pub(super) fn offer_from(
    invite: &Request,
    to: &str,
    branch: &str,
    cseq: u32,
    body: &[u8],
) -> Request {
    let mut request = follow(invite, to, "INVITE", branch, cseq);
    if !body.is_empty() {
        request.set_body("application/sdp", body.to_vec());
    }
    request
}

/// A request of the script within the call that ALICE made to it: `first` is ALICE's INVITE, `tag` the script's.
pub(super) fn within(first: &Request, tag: &str, method: &str, branch: &str, cseq: u32) -> Request {
    let uri = first.headers.contact().unwrap().uri;
    let mut request = Request::new(Method::parse(method).unwrap(), uri);
    let headers = &mut request.headers;
    headers.push(
        HeaderName::Via,
        format!("SIP/2.0/UDP {BOB};branch=z9hG4bK{branch};rport"),
    );
    headers.push(HeaderName::MaxForwards, 70);
    headers.push(HeaderName::From, first.headers.to().unwrap().with_tag(tag));
    headers.push(HeaderName::To, first.headers.get(HeaderName::From).unwrap());
    headers.push(
        HeaderName::CallId,
        first.headers.get(HeaderName::CallId).unwrap(),
    );
    headers.push(HeaderName::CSeq, format!("{cseq} {method}"));
    headers.push(HeaderName::Contact, "<sip:bob@192.0.2.2>");
    request
}
