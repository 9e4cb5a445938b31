//! A proxy that sends each call to two phones (RFC 3261 §16.7): what they say before and with a 2xx goes to the caller,
//! of their refusals the best one alone, and not before both have refused.

use std::collections::HashMap;
use std::net::SocketAddr;

use sip_message::{HeaderName, Message, Method, Request, Response, StatusCode};
use testkit::{Outbox, Packet};

pub(in crate::call) struct Proxy {
    address: SocketAddr,
    legs: [SocketAddr; 2],
    /// By the branch of the caller.
    forked: HashMap<String, Forked>,
}

struct Forked {
    caller: SocketAddr,
    invite: Request,
    cancelled: bool,
    legs: [Leg; 2],
}

#[derive(Default)]
struct Leg {
    heard: bool,
    done: Option<Response>,
}

impl Proxy {
    pub(super) fn new(address: &str, legs: [&str; 2]) -> Self {
        Self {
            address: address.parse().unwrap(),
            legs: legs.map(|leg| leg.parse().unwrap()),
            forked: HashMap::new(),
        }
    }

    pub(super) fn receive(&mut self, packet: Packet<Vec<u8>>, out: &mut Outbox<Vec<u8>>) {
        match Message::parse(&packet.payload).expect("phones send sound messages") {
            Message::Request(request) => self.on_request(request, packet.from, out),
            Message::Response(response) => self.on_response(response, out),
        }
    }

    fn on_request(&mut self, request: Request, from: SocketAddr, out: &mut Outbox<Vec<u8>>) {
        let branch = branch(&request.headers);
        match request.method {
            Method::Invite => {
                let forked = self.forked.entry(branch.clone()).or_insert_with(|| Forked {
                    caller: from,
                    invite: request,
                    cancelled: false,
                    legs: Default::default(),
                });
                for leg in 0..2 {
                    if forked.legs[leg].done.is_none() && !forked.cancelled {
                        let request = to_leg(self.address, &forked.invite, &branch, leg);
                        out.send(self.address, self.legs[leg], request.to_bytes());
                    }
                }
                self.settle(&branch, out);
            }
            Method::Cancel => {
                let ok = Response::to_request(&request, StatusCode::OK);
                out.send(self.address, from, ok.to_bytes());
                self.give_up(&branch, out);
            }
            // An ACK to a refusal ends here; what is within a dialog goes to the phones themselves.
            _ => {}
        }
    }

    fn on_response(&mut self, mut response: Response, out: &mut Outbox<Vec<u8>>) {
        let own = branch(&response.headers);
        let (leg, of) = own
            .strip_prefix("z9hG4bKleg")
            .and_then(|rest| rest.split_once('-'))
            .expect("an answer to what was sent on");
        let (leg, of) = (leg.parse::<usize>().unwrap(), of.to_owned());
        let Some(forked) = self.forked.get_mut(&of) else {
            return;
        };
        let code = response.status.code();
        if response.headers.cseq().unwrap().method != Method::Invite || code == 100 {
            return;
        }
        forked.legs[leg].heard = true;
        response.headers.remove_first(HeaderName::Via);
        if code >= 300 {
            let mut ack = bare(to_leg(self.address, &forked.invite, &of, leg), Method::Ack);
            let to = response.headers.get(HeaderName::To).unwrap();
            ack.headers.set(HeaderName::To, to);
            out.send(self.address, self.legs[leg], ack.to_bytes());
            let answered = forked.legs[leg].done.get_or_insert(response);
            // RFC 3261 §16.7: after a 6xx nobody else is asked.
            if answered.status.code() >= 600 {
                self.give_up(&of, out);
            }
            return self.settle(&of, out);
        }
        out.send(self.address, forked.caller, response.to_bytes());
        if code >= 200 {
            forked.legs[leg].done = Some(response);
        }
        if code >= 200 || forked.cancelled {
            self.give_up(&of, out);
        }
    }

    /// Cancels the phones that have not decided; those that were not heard of yet, as soon as they are (RFC 3261 §9.1).
    fn give_up(&mut self, branch: &str, out: &mut Outbox<Vec<u8>>) {
        let Some(forked) = self.forked.get_mut(branch) else {
            return;
        };
        forked.cancelled = true;
        for leg in 0..2 {
            if forked.legs[leg].heard && forked.legs[leg].done.is_none() {
                let request = to_leg(self.address, &forked.invite, branch, leg);
                let cancel = bare(request, Method::Cancel);
                out.send(self.address, self.legs[leg], cancel.to_bytes());
            }
        }
    }

    /// Once both have refused, the caller hears the best of it.
    fn settle(&self, branch: &str, out: &mut Outbox<Vec<u8>>) {
        let Some(forked) = self.forked.get(branch) else {
            return;
        };
        let codes: Vec<u16> = forked
            .legs
            .iter()
            .filter_map(|leg| Some(leg.done.as_ref()?.status.code()))
            .collect();
        if codes.len() < 2 || codes.iter().any(|code| *code < 300) {
            return;
        }
        let worth = |response: &&Response| match response.status.code() {
            code @ 600.. => (0, code),
            code => (1, code),
        };
        let done = forked.legs.iter().filter_map(|leg| leg.done.as_ref());
        let best = done.min_by_key(worth).expect("both have refused");
        out.send(self.address, forked.caller, best.to_bytes());
    }
}

/// The request with our Via, whose branch tells the leg.
fn to_leg(address: SocketAddr, request: &Request, branch: &str, leg: usize) -> Request {
    let mut request = request.clone();
    request.headers.insert_first(
        HeaderName::Via,
        format!("SIP/2.0/UDP {address};branch=z9hG4bKleg{leg}-{branch}"),
    );
    request
}

/// ACK or CANCEL to this INVITE (RFC 3261 §9.1, §17.1.1.3).
fn bare(mut invite: Request, method: Method) -> Request {
    let number = invite.headers.cseq().unwrap().number;
    let via = invite.headers.via_top().unwrap();
    for name in [
        HeaderName::Via,
        HeaderName::ContentType,
        HeaderName::Require,
        HeaderName::Contact,
    ] {
        invite.headers.remove(name);
    }
    invite.headers.insert_first(HeaderName::Via, via);
    invite
        .headers
        .set(HeaderName::CSeq, format!("{number} {method}"));
    invite.body.clear();
    invite.method = method;
    invite
}

fn branch(headers: &sip_message::Headers) -> String {
    let via = headers.via_top().expect("phones send a Via");
    via.branch().unwrap_or_default().to_owned()
}
