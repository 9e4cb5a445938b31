//! The peer's requests: repeats, whose dialog they mean, what they ask, and the responses to them.

use std::time::Instant;

use privacy::Private;
use sip_message::{HeaderName, Method, Request, Response, StatusCode, validate_request};

use super::body::is_beyond_us;
use super::send::contact_value;
use super::task::{ServerMachine, ServerTask, TaskId};
use super::{Call, Phase};
use crate::dispatch::mark_received;
use crate::path::{Inbound, Transmit};
use crate::stateless::{self, StatusLine, is_encoded};
use crate::transaction::{ServerInvite, ServerKey, ServerNonInvite, ServerOutput};

/// Which dialog of ours a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    /// That of the call.
    Call,
    /// An early one, by the peer's tag.
    Early(String),
    /// The call's, by all but its To tag: a BYE from where the peer is.
    Repaired,
    None,
}

impl Call {
    pub(super) fn serve(&mut self, now: Instant, mut request: Request, inbound: Inbound) {
        mark_received(&mut request, &inbound);
        match request.method {
            Method::Ack => return self.on_ack(now, &request),
            Method::Cancel => return self.on_cancel(now, &request, inbound),
            _ => {}
        }
        let Some(key) = ServerKey::of(&request) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        if let Some(repeated) = self.servers.iter_mut().find(|task| task.key == key) {
            return repeated.handle_request(now, &request);
        }
        let meant = self.dialog_meant(&request, &inbound);
        if matches!(meant, Meant::Call) {
            self.peer_at = Some(inbound.path.remote.ip());
        }
        let Some(id) = self.open_server(now, key, &request, inbound) else {
            return;
        };
        // RFC 3261 §8.2: what cannot be understood is refused before anything is done.
        match validate_request(&request) {
            Ok(()) => self.serve_new(now, id, request, &meant),
            Err(error) => self.respond(now, id, &error, None),
        }
    }

    fn serve_new(&mut self, now: Instant, id: TaskId, request: Request, meant: &Meant) {
        if *meant == Meant::None && self.is_asked_outside(&request) {
            return self.serve_outside(now, id, &request);
        }
        if *meant == Meant::None {
            let status = self.verdict_for_stranger(&request);
            return self.respond(now, id, status, None);
        }
        if *meant == Meant::Repaired {
            self.notice(
                "a BYE with a missing To tag was taken, since Call-ID, From tag and address fit",
            );
        }
        if self.phase == Phase::Ended && !self.serves_after_end(&request.method) {
            return self.respond(
                now,
                id,
                StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                None,
            );
        }
        // Another fork of our INVITE is a dialog of its own (RFC 3261 §12, §13.2.2.4). Once the call has one, it may end
        // itself, which it is about to do anyway, and has no say in the call.
        if matches!(meant, Meant::Early(_)) && self.phase != Phase::Calling {
            let status = match request.method {
                Method::Bye => StatusCode::OK,
                _ => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            };
            return self.respond(now, id, status, None);
        }
        let from = request.headers.from().ok();
        let remote_tag = from.and_then(|from| from.tag().map(str::to_owned));
        let remote_tag = remote_tag.unwrap_or_default();
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let in_order = match meant {
            Meant::Early(tag) => self
                .early
                .find_mut(tag)
                .is_some_and(|dialog| dialog.accept_cseq(number)),
            _ => self
                .dialog
                .as_mut()
                .is_some_and(|dialog| dialog.accept_cseq(number)),
        };
        // RFC 3261 §12.2.2.
        if !in_order {
            return self.respond(now, id, StatusCode::SERVER_INTERNAL_ERROR, None);
        }
        let unsupported = self.config.capabilities.unsupported(&request);
        if !unsupported.is_empty() {
            return self.refuse_extensions(now, id, &unsupported);
        }
        if is_encoded(&request) {
            return self.refuse_encoding(now, id);
        }
        if matches!(request.method, Method::Invite | Method::Update)
            && is_beyond_us(&request.headers, &request.body)
        {
            return self.refuse_body(now, id);
        }
        let report = request.method == Method::Notify && self.transfers.has_asked();
        if !report && !self.config.capabilities.allows(&request.method) {
            return self.respond(now, id, StatusCode::METHOD_NOT_ALLOWED, None);
        }
        if let (Method::Invite | Method::Update, Some(minimum)) = (
            &request.method,
            self.config
                .session_timer
                .too_short(&self.config.capabilities, &request.headers),
        ) {
            return self.refuse_interval(now, id, minimum);
        }
        match request.method {
            Method::Bye => self.on_bye(now, id, &request),
            Method::Invite => self.on_reinvite(now, id, &request),
            Method::Prack => self.on_prack(now, id, &request),
            Method::Update => self.on_update(now, id, &request, &remote_tag),
            Method::Info => self.on_info(now, id, request),
            Method::Refer => self.on_refer(now, id, &request),
            Method::Notify => self.on_notify(now, id, &request),
            Method::Options => self.on_options(now, id),
            _ => self.respond(now, id, StatusCode::METHOD_NOT_ALLOWED, None),
        }
    }

    /// A request outside of the call that may be asked by who knows it (RFC 4538).
    fn serve_outside(&mut self, now: Instant, id: TaskId, request: &Request) {
        let unsupported = self.config.capabilities.unsupported(request);
        if !unsupported.is_empty() {
            return self.refuse_extensions(now, id, &unsupported);
        }
        if is_encoded(request) {
            return self.refuse_encoding(now, id);
        }
        if !self.config.capabilities.allows(&request.method) {
            return self.respond(now, id, StatusCode::METHOD_NOT_ALLOWED, None);
        }
        self.on_refer_outside(now, id, request);
    }

    /// Starts the transaction of a new request. `None` where too many of the peer wait for an answer: then this one was
    /// answered with 503 already. Those that have theirs give way, since no request is new because of them: what comes
    /// again of theirs is behind in its CSeq. A BYE has a place always.
    pub(super) fn open_server(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: &Request,
        inbound: Inbound,
    ) -> Option<TaskId> {
        let full = self.servers.len() >= Self::SERVER_LIMIT && !self.forget_answered();
        if full && request.method != Method::Bye {
            let tag = self.owner.local_tag.clone();
            let response =
                stateless::response(request, StatusCode::SERVICE_UNAVAILABLE, Some(&tag));
            self.out.transmit(Transmit::new(
                inbound.destination(),
                response.to_bytes(),
                "503".to_owned(),
            ));
            return None;
        }
        let timers = self.config.timers;
        let reliable = inbound.path.transport.is_reliable();
        let machine = if request.method == Method::Invite {
            ServerMachine::Invite(Box::new(ServerInvite::new(now, request, reliable, &timers)))
        } else {
            ServerMachine::Other(Box::new(ServerNonInvite::new(
                now, request, reliable, &timers,
            )))
        };
        let id = self.next_task();
        let request = without_body(request);
        self.servers.push(ServerTask {
            id,
            key,
            request,
            inbound,
            moved_to: None,
            machine,
        });
        Some(id)
    }

    /// Takes the place of the oldest request that has its answer; an INVITE keeps its own, since its ACK is to come.
    fn forget_answered(&mut self) -> bool {
        let mut servers = self.servers.iter();
        let done = servers.position(|task| task.has_final() && !task.is_invite());
        done.map(|place| self.servers.remove(place)).is_some()
    }

    /// Answers a request, at once.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        id: TaskId,
        line: impl Into<StatusLine>,
        body: Option<Vec<u8>>,
    ) {
        if let Some(response) = self.answer_to(id, line, body) {
            self.respond_with(now, id, response);
        }
    }

    /// Hands a finished response to its transaction and sends what that says, before anything else is said.
    pub(super) fn respond_with(&mut self, now: Instant, id: TaskId, response: Response) {
        let Some(task) = self.server(id) else { return };
        task.respond(now, response);
        while let Some(output) = self.server(id).and_then(ServerTask::poll_output) {
            if let ServerOutput::Send(bytes) = output {
                self.send_response(id, bytes);
            }
        }
    }

    /// A response with all that its kind calls for.
    pub(super) fn answer_to(
        &mut self,
        id: TaskId,
        line: impl Into<StatusLine>,
        body: Option<Vec<u8>>,
    ) -> Option<Response> {
        let tag = self.owner.local_tag.clone();
        let task = self.servers.iter().find(|task| task.id == id)?;
        let request = &task.request;
        let mut response = stateless::response(request, line, Some(&tag));
        let status = response.status;
        let headers = &mut response.headers;
        let opens_dialog =
            request.method == Method::Invite && status.code() > 100 && status.code() < 300;
        let refreshes = matches!(
            request.method,
            Method::Update | Method::Refer | Method::Notify
        ) && status.is_success();
        let outside = request.headers.to().is_ok_and(|to| to.tag().is_none());
        if opens_dialog || (refreshes && outside) {
            // RFC 3261 §12.1.1.
            for route in request.headers.get_all(HeaderName::RecordRoute) {
                headers.push(HeaderName::RecordRoute, route);
            }
        }
        if opens_dialog || refreshes {
            let sips = request.uri.scheme == sip_message::Scheme::Sips;
            let contact = contact_value(&self.config, task.path(), sips);
            headers.push(HeaderName::Contact, contact);
            headers.push(HeaderName::Allow, self.config.capabilities.allow_value());
            if !self.config.capabilities.supported.is_empty() {
                headers.push(
                    HeaderName::Supported,
                    self.config.capabilities.supported.join(", "),
                );
            }
        }
        if (opens_dialog || refreshes) && !self.config.info_packages.is_empty() {
            headers.push(HeaderName::RecvInfo, self.config.info_packages.join(", "));
        }
        self.session_ids.write(headers);
        if status == StatusCode::NOT_ACCEPTABLE_HERE
            && let Some((warning, why)) = self.warning.take()
        {
            let value = warning.header(why, &self.config, task.path());
            headers.push(HeaderName::Warning, value);
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.push(HeaderName::Allow, self.config.capabilities.allow_value());
        }
        if !self.config.capabilities.user_agent.is_empty() {
            headers.push(
                HeaderName::Server,
                self.config.capabilities.user_agent.clone(),
            );
        }
        if opens_dialog {
            for (name, value) in &self.config.extra_headers {
                headers.push(name.as_str(), value);
            }
        }
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            headers.push(HeaderName::ContentType, "application/sdp");
            response.body = body;
        }
        Some(response)
    }

    pub(super) fn send_response(&mut self, id: TaskId, bytes: Vec<u8>) {
        let Some(task) = self.server(id) else { return };
        let code = bytes
            .get(8..11)
            .and_then(|code| std::str::from_utf8(code).ok())
            .unwrap_or("?");
        let what = format!("{code} to {}", task.request.method);
        let destination = task.inbound.destination();
        self.out.transmit(Transmit::new(destination, bytes, what));
    }

    fn refuse_extensions(&mut self, now: Instant, id: TaskId, unsupported: &[String]) {
        if let Some(mut response) = self.answer_to(id, StatusCode::BAD_EXTENSION, None) {
            response
                .headers
                .push(HeaderName::Unsupported, unsupported.join(", "));
            self.respond_with(now, id, response);
        }
    }

    /// 415 with the bodies that we take (RFC 3261 §8.2.3).
    fn refuse_body(&mut self, now: Instant, id: TaskId) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        if let Some(mut response) = self.answer_to(id, status, None) {
            let accept = self.config.capabilities.accept.join(", ");
            response.headers.push(HeaderName::Accept, accept);
            self.respond_with(now, id, response);
        }
    }

    /// 415 with the encodings that we take: none (RFC 3261 §8.2.3).
    fn refuse_encoding(&mut self, now: Instant, id: TaskId) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        if let Some(mut response) = self.answer_to(id, status, None) {
            response
                .headers
                .push(HeaderName::AcceptEncoding, "identity");
            self.respond_with(now, id, response);
        }
    }

    /// 422 with our Min-SE (RFC 4028 §6).
    fn refuse_interval(&mut self, now: Instant, id: TaskId, minimum: u32) {
        let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
        if let Some(mut response) = self.answer_to(id, status, None) {
            response.headers.push(HeaderName::MinSe, minimum);
            self.respond_with(now, id, response);
        }
    }

    /// A request that fits no dialog of ours: the first INVITE once more on another way, or something stale.
    fn verdict_for_stranger(&self, request: &Request) -> StatusCode {
        let number = |request: &Request| request.headers.cseq().ok().map(|cseq| cseq.number);
        let no_tag = request.headers.to().is_ok_and(|to| to.tag().is_none());
        let merged = request.method == Method::Invite
            && no_tag
            && self
                .invitation
                .as_ref()
                .is_some_and(|first| number(first) == number(request));
        if merged {
            // RFC 3261 §8.2.2.2.
            StatusCode::LOOP_DETECTED
        } else {
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST
        }
    }

    fn dialog_meant(&mut self, request: &Request, inbound: &Inbound) -> Meant {
        let call_id = request.headers.get(HeaderName::CallId);
        if call_id != Some(self.owner.call_id.as_str()) {
            return Meant::None;
        }
        let tag_of = |party: Result<sip_message::NameAddr, _>| -> Option<String> {
            party
                .ok()
                .and_then(|party: sip_message::NameAddr| party.tag().map(str::to_owned))
        };
        let remote = tag_of(request.headers.from()).unwrap_or_default();
        let local = tag_of(request.headers.to());
        let ours = local.as_deref() == Some(self.owner.local_tag.as_str());
        let of_call = self
            .dialog
            .as_ref()
            .is_some_and(|dialog| dialog.id().remote_tag == remote);
        match (of_call, ours, local) {
            (true, true, _) => Meant::Call,
            // Peers are known that forget our tag in their BYE. Whoever has seen Call-ID and From tag, as all have who
            // were rung for the same call, could say as much: so it has to come from where the peer is, and nothing but
            // an end is taken so.
            (true, false, None)
                if request.method == Method::Bye
                    && self.peer_at == Some(inbound.path.remote.ip()) =>
            {
                Meant::Repaired
            }
            (false, true, _) if self.early.find_mut(&remote).is_some() => Meant::Early(remote),
            _ => Meant::None,
        }
    }
}

/// The Reason headers of a BYE or CANCEL (RFC 3326 §2: one value for each protocol).
pub(super) fn reason_of(request: &Request) -> Option<Private> {
    let all: Vec<&str> = request.headers.get_all(HeaderName::Reason).collect();
    (!all.is_empty()).then(|| all.join(", ").into())
}

/// A request as it is kept for its responses.
pub(super) fn without_body(request: &Request) -> Request {
    let mut kept = request.clone();
    kept.body.clear();
    kept
}
