//! A peer that says exactly what a test wants it to say.

use std::net::SocketAddr;

use sip_message::{HeaderName, Message, Method, NameAddr, Request, Response, StatusCode, Uri};
use testkit::{NodeId, Packet};

use super::{Net, Peer};

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
        Peer::Phone(_) => panic!("a phone, not a script"),
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
