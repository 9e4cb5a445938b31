//! Who is known to be where its messages say that they come from: the sender of a datagram can be made
//! up, and then what is sent there reaches somebody else or nobody. Known is who shows something that
//! only we could write and that went to that very address.

use std::time::Instant;

use sip_core::{Destination, Inbound};
use sip_message::{HeaderName, Method, NameAddr, Request, Response, Uri};

use super::{Action, Exchange};
use crate::location::Ask;
use crate::proxy::Sending;
use crate::sources::Source;

/// How the branch of a question begins whose answer needs no memory.
const ASK: &str = "z9hG4bKask.";

impl Exchange {
    /// Somebody has shown that it is where its messages come from.
    pub(super) fn believe(&mut self, now: Instant, inbound: &Inbound) {
        self.sources.prove(now, Source::of(inbound));
        self.location.prove(inbound.path.remote.ip());
    }

    fn believe_if_at(&mut self, now: Instant, way: Option<Destination>, inbound: &Inbound) {
        if way.is_some_and(|way| {
            let path = way.path();
            path.transport == inbound.path.transport && path.remote.ip() == inbound.path.remote.ip()
        }) {
            self.believe(now, inbound);
        }
    }

    /// A Route of ours went to both sides of a dialog and to nobody else.
    pub(super) fn believe_route(&mut self, now: Instant, request: &Request, inbound: &Inbound) {
        let way = self.way_of_sender(request);
        self.believe_if_at(now, way, inbound);
    }

    /// The tag of one of our own numbers, or of what we tell, went to its caller and to nobody else.
    pub(super) fn believe_tags(&mut self, now: Instant, request: &Request, inbound: &Inbound) {
        let way = self
            .lines
            .way_of_owner(request)
            .or_else(|| self.events.way_of_owner(request));
        self.believe_if_at(now, way, inbound);
    }

    /// The branch of a request went to where it was sent and to nobody else.
    pub(super) fn believe_answer(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        let via = response.headers.via_top().ok();
        let branch = via.as_ref().and_then(|via| via.branch());
        let way = branch.and_then(|branch| {
            let context = self.contexts.get(self.by_branch.get(branch)?)?;
            context.way_of(branch)
        });
        self.believe_if_at(now, way, inbound);
    }

    /// Asks those whose room is wanted whether they are there: an OPTIONS that is sent once, and whose
    /// branch is all that has to come back. Nothing is kept for it.
    pub(super) fn ask_who_is_there(&mut self) {
        for ask in self.location.take_asks() {
            let request = self.question(&ask);
            self.actions.push(Action::Send(Sending {
                destination: ask.inbound.destination(),
                bytes: request.to_bytes(),
            }));
        }
    }

    /// Whether this answers such a question; who answers is believed.
    pub(super) fn take_answer_to_ask(
        &mut self,
        now: Instant,
        response: &Response,
        inbound: &Inbound,
    ) -> bool {
        let via = response.headers.via_top().ok();
        let branch = via.as_ref().and_then(|via| via.branch());
        let Some(ours) = branch.and_then(|branch| branch.strip_prefix(ASK)) else {
            return false;
        };
        let id = ours.split_once('.').and_then(|(id, _)| id.parse().ok());
        if let Some(id) = id
            && let Some(asked) = self.location.asked(id)
            && self.ask_branch(id, &asked) == ours
        {
            self.believe_if_at(now, Some(asked.destination()), inbound);
        }
        true
    }

    fn ask_branch(&self, id: u64, inbound: &Inbound) -> String {
        let (number, remote) = (id.to_string(), inbound.path.remote.to_string());
        let digits = self
            .secret
            .digits(&[b"ask", number.as_bytes(), remote.as_bytes()]);
        format!("{number}.{digits}")
    }

    fn question(&mut self, ask: &Ask) -> Request {
        let path = ask.inbound.path;
        let branch = format!("{ASK}{}", self.ask_branch(ask.id, &ask.inbound));
        let mut request = Request::new(Method::Options, ask.contact.clone());
        let headers = &mut request.headers;
        headers.push(HeaderName::Via, path.via_value(&branch));
        headers.push(HeaderName::MaxForwards, 70);
        // RFC 3327 §5.4: through the proxies between it and us.
        for hop in &ask.path {
            headers.push(HeaderName::Route, hop.as_str());
        }
        if let Ok(own) = Uri::parse(&format!("sip:{}", path.local)) {
            let own = NameAddr::new(own).with_tag(&self.tokens.tag());
            headers.push(HeaderName::From, own);
        }
        headers.push(HeaderName::To, NameAddr::new(ask.contact.clone()));
        headers.push(HeaderName::CallId, self.tokens.call_id());
        headers.push(HeaderName::CSeq, "1 OPTIONS");
        headers.push(HeaderName::UserAgent, &self.capabilities.user_agent);
        request
    }
}
