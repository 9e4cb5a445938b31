//! Operations on their way out: what is sent, and where.

use std::time::Instant;

use sip_message::{HeaderName, Method, Request, Uri};

use super::mapping::Mapping;
use super::{Binding, Operation, Purpose, Registration, RegistrationEvent, Step};
use crate::client::{
    ClientContext, ClientRequest, ClientRequestOutput, ContactTemplate, Draft, RequestResult,
};
use crate::path::{Destination, Path, ResolveId};

impl Registration {
    pub(super) fn register_soon(&mut self, now: Instant) {
        match &self.operation {
            None => self.begin(now, Purpose::Register),
            Some(operation) => self.again = operation.purpose != Purpose::Register,
        }
    }

    pub(super) fn begin(&mut self, now: Instant, purpose: Purpose) {
        if !purpose.is_aside() {
            self.refresher.begin();
        }
        if purpose == Purpose::Register {
            self.outbox.event(RegistrationEvent::Trying);
        }
        // The binding is taken away where it was made, if that is still there.
        if purpose != Purpose::Register
            && let Some(binding) = &self.binding
        {
            let destination = binding.destination();
            self.operation = None;
            self.send_to(now, purpose, vec![destination]);
            return;
        }
        self.resolve_counter += 1;
        let id = ResolveId(self.resolve_counter);
        self.operation = Some(Operation {
            purpose,
            step: Step::Resolving(id),
        });
        let next_hop = self.config.route.as_ref().unwrap_or(&self.config.registrar);
        self.outbox
            .resolve(id, next_hop.clone(), self.config.transport);
    }

    /// Sends to the paths in their order; where the binding stands already, its flow first, unless
    /// a better server is to have it now.
    pub(super) fn send(&mut self, now: Instant, purpose: Purpose, mut paths: Vec<Path>) {
        let bound = self.binding.as_ref().map(Binding::destination);
        let in_order = std::mem::take(&mut self.in_order);
        if let Some(at) = bound
            .filter(|_| !in_order)
            .and_then(|bound| paths.iter().position(|path| path == bound.path()))
        {
            let path = paths.remove(at);
            paths.insert(0, path);
        }
        let destination = |path| {
            bound
                .filter(|bound| *bound.path() == path)
                .unwrap_or(Destination::Path(path))
        };
        let destinations = paths.into_iter().map(destination).collect();
        self.send_to(now, purpose, destinations);
    }

    pub(super) fn send_to(
        &mut self,
        now: Instant,
        purpose: Purpose,
        destinations: Vec<Destination>,
    ) {
        if let Some(local) = destinations.first().map(|first| first.path().local)
            && self.mapping.local != Some(local)
        {
            // Another network: what was said about the old address means nothing here.
            self.mapping = Mapping {
                local: Some(local),
                ..Mapping::default()
            };
        }
        let draft = self.draft(purpose, destinations.first().map(Destination::path));
        let mut context = ClientContext {
            authenticator: &mut self.authenticator,
            tokens: &mut self.tokens,
            cseq: &mut self.cseq,
            timers: &self.config.timers,
        };
        let request = ClientRequest::new(now, draft, destinations, &mut context)
            .with_patience(self.config.patience);
        self.operation = Some(Operation {
            purpose,
            step: Step::Requesting(Box::new(request)),
        });
        self.drain_request(now);
    }

    /// REGISTER without what each sending adds (RFC 3261 §10.2).
    /// `path` is the one tried first.
    pub(super) fn draft(&self, purpose: Purpose, path: Option<&Path>) -> Draft {
        let mut uri = self.config.registrar.clone();
        uri.user = None;
        uri.password = None;
        uri.headers.clear();
        let expires = match purpose {
            Purpose::Register => self.refresher.asked().as_secs(),
            Purpose::Unregister | Purpose::Clear | Purpose::Fetch | Purpose::Remove => 0,
        };
        let mut request = Request::new(Method::Register, uri);
        let headers = &mut request.headers;
        if let Some(route) = &self.config.route {
            headers.push(HeaderName::Route, route_value(route));
        }
        let mut from = self.config.aor.clone();
        from.set_tag(&self.key.local_tag);
        headers.push(HeaderName::From, from.to_string());
        headers.push(HeaderName::To, self.config.aor.to_string());
        headers.push(HeaderName::CallId, self.key.call_id.as_str());
        let mut params = vec![format!("expires={expires}")];
        if let Some(instance) = &self.config.instance_id {
            params.push(format!("+sip.instance=\"<{instance}>\""));
        }
        let reg_id = self.reg_id();
        if let Some(reg_id) = reg_id {
            params.push(format!("reg-id={reg_id}"));
        }
        let contact = ContactTemplate {
            user: self.contact_user.clone(),
            public: self.public_address(path.map(|path| path.local)),
            name: path.and_then(|path| self.config.inside.told(path)),
            params,
        };
        // The binding that this one replaces goes with the same request, before the new one, so
        // that no call is sent to an address where we no longer are.
        let bound = self
            .bound_contact
            .as_deref()
            .filter(|_| matches!(purpose, Purpose::Register | Purpose::Unregister));
        if let Some(outdated) =
            bound.filter(|bound| path.is_some_and(|path| contact.uri_text(path) != **bound))
        {
            headers.push(HeaderName::Contact, format!("<{outdated}>;expires=0"));
        }
        if let (Purpose::Remove, Some(uri)) = (purpose, &self.to_remove) {
            headers.push(HeaderName::Contact, format!("<{uri}>;expires=0"));
        }
        if purpose != Purpose::Fetch {
            headers.push(HeaderName::Expires, expires.to_string());
        }
        // RFC 3327 §5.1: proxies may put themselves into the way.
        let mut supported = vec!["path"];
        supported.extend(reg_id.map(|_| "outbound"));
        supported.extend(self.asks_for_gruu().then_some("gruu"));
        headers.push(HeaderName::Supported, supported.join(", "));
        if !self.config.user_agent.is_empty() {
            headers.push(HeaderName::UserAgent, self.config.user_agent.as_str());
        }
        if purpose == Purpose::Clear {
            headers.push(HeaderName::Contact, "*");
        }
        Draft {
            request,
            contact: matches!(purpose, Purpose::Register | Purpose::Unregister).then_some(contact),
        }
    }

    /// The `reg-id` to say, unless it would mean nothing or was refused.
    pub(super) fn reg_id(&self) -> Option<u32> {
        self.config
            .reg_id
            .filter(|_| self.config.instance_id.is_some() && !self.outbound_refused)
    }

    fn asks_for_gruu(&self) -> bool {
        self.config.gruu && self.config.instance_id.is_some()
    }

    pub(super) fn with_request(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut ClientRequest, &mut ClientContext<'_>),
    ) {
        if let Some(Operation {
            step: Step::Requesting(request),
            ..
        }) = &mut self.operation
        {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            act(request, &mut context);
            self.drain_request(now);
        }
    }

    pub(super) fn drain_request(&mut self, now: Instant) {
        loop {
            let Some(Operation {
                step: Step::Requesting(request),
                ..
            }) = &mut self.operation
            else {
                return;
            };
            while let Some(tried) = request.poll_tried() {
                self.outbox.event(RegistrationEvent::Tried(tried));
            }
            match request.poll_output() {
                None => return,
                Some(ClientRequestOutput::Transmit(transmit)) => self.outbox.transmit(transmit),
                // Without a login it has failed, and whoever gives one registers anew.
                Some(
                    ClientRequestOutput::Provisional(_)
                    | ClientRequestOutput::LoginWanted(_)
                    | ClientRequestOutput::LoginSettled { .. },
                ) => {}
                Some(ClientRequestOutput::Notice(text)) => {
                    self.outbox.event(RegistrationEvent::Notice(text));
                }
                Some(ClientRequestOutput::Done(RequestResult::Answered(answered))) => {
                    self.on_answer(now, &answered);
                }
                Some(ClientRequestOutput::Done(RequestResult::Failed(failure))) => {
                    self.on_failure(now, failure);
                }
            }
        }
    }
}

/// The value of Route for an outbound proxy; with `lr`, or the proxy would take us for an RFC
/// 2543 element.
pub(crate) fn route_value(proxy: &Uri) -> String {
    let mut uri = proxy.clone();
    if !uri.params.has("lr") {
        uri.params.set_flag("lr");
    }
    format!("<{uri}>")
}
