//! An INVITE of the peer: taking it, answering it, refusing it.

use std::time::{Duration, Instant};

use sip_message::{
    HeaderName, Headers, Method, NameAddr, Request, Scheme, StatusCode, validate_request,
};

use super::ack::Unacked;
use super::body::{is_beyond_us, session_description};
use super::replace::contradiction;
use super::serve::without_body;
use super::task::{ServerMachine, ServerTask, TaskId};
use super::{
    Call, CallConfig, CallEvent, CallTimer, Due, EndKind, Phase, Rejection, Role, WrongState,
};
use crate::dialog::Dialog;
use crate::dispatch::{OwnerKey, mark_received};
use crate::path::Inbound;
use crate::stateless::{Capabilities, StatusLine, is_encoded, respond_statelessly, takes_scheme};
use crate::tokens::{Seed, Tokens};
use crate::transaction::{ServerInvite, ServerKey};

impl Call {
    /// Takes an INVITE outside of any dialog. It waits for [`Call::ring`], [`Call::answer`] or [`Call::reject`]; an
    /// [`CallEvent::Offer`] or [`CallEvent::OfferWanted`] is the first output.
    ///
    /// # Errors
    /// The answer to send instead, when the INVITE breaks a rule or needs what we do not have (RFC 3261 §8.2).
    pub fn incoming(
        now: Instant,
        mut request: Request,
        inbound: Inbound,
        config: CallConfig,
        seed: &Seed,
    ) -> Result<Self, Rejection> {
        mark_received(&mut request, &inbound);
        let mut tokens = Tokens::new(seed);
        let refuse = |tokens: &Tokens, request: &Request, line: StatusLine, why: &str| Rejection {
            response: Box::new(respond_statelessly(
                request,
                line,
                &config.capabilities,
                tokens,
            )),
            destination: inbound.destination(),
            why: why.to_owned(),
        };
        let secure = inbound.path.transport.is_secure();
        if let Some((line, why)) = unfit(&request, secure, &config.capabilities) {
            return Err(refuse(&tokens, &request, line, why));
        }
        let too_short = config
            .session_timer
            .too_short(&config.capabilities, &request.headers);
        if let Some(minimum) = too_short {
            let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
            let why = "an INVITE with a session interval shorter than we take";
            let mut rejection = refuse(&mut tokens, &request, status.into(), why);
            rejection.response.headers.push(HeaderName::MinSe, minimum);
            return Err(rejection);
        }
        let tag = tokens.tag();
        let dialog = Dialog::from_request(&request, &tag, tokens.cseq());
        let (Some(dialog), Some(key)) = (dialog, ServerKey::of(&request)) else {
            let why = "an INVITE without the headers every request has";
            let line = StatusLine::bad_request("Malformed Dialog Headers");
            return Err(refuse(&tokens, &request, line, why));
        };
        let owner = OwnerKey {
            call_id: dialog.id().call_id.clone(),
            local_tag: tag,
        };
        let mut call = Self::new(config, &tokens.seed(), Role::Callee, owner);
        call.source = Some(inbound);
        call.peer_at = Some(inbound.path.remote.ip());
        call.learn(&request.headers);
        call.take_invite(now, &request, inbound, key, dialog);
        call.settle(now);
        Ok(call)
    }

    /// Takes the call: 200 with our answer, or with our offer after [`CallEvent::OfferWanted`].
    /// [`CallEvent::Established`] follows with the ACK.
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer.
    pub fn answer(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        self.answer_as(now, body, false)
    }

    /// [`Call::answer`] without a hand: a caller that wanted it so, or that wanted a hand, is told (RFC 5373 §4.3).
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer.
    pub fn answer_unasked(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        self.answer_as(now, body, true)
    }

    fn answer_as(&mut self, now: Instant, body: Vec<u8>, unasked: bool) -> Result<(), WrongState> {
        self.ringing_task()?;
        self.unasked = unasked;
        self.out.begin_input();
        if !self.reliable.hold_answer(&body) {
            self.take_call(now, body);
        }
        self.settle(now);
        Ok(())
    }

    /// Does not take the call: any status from 300 to 699.
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer, [`WrongState::Status`] for another code.
    pub fn reject(&mut self, now: Instant, status: StatusCode) -> Result<(), WrongState> {
        self.refuse_call(now, status, Vec::new())
    }

    /// Sends the caller elsewhere: 302 with this Contact.
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer.
    pub fn redirect(&mut self, now: Instant, to: &NameAddr) -> Result<(), WrongState> {
        self.redirect_with(now, to, Vec::new())
    }

    /// [`Call::redirect`] with more to say of it.
    pub(super) fn redirect_with(
        &mut self,
        now: Instant,
        to: &NameAddr,
        mut headers: Vec<(HeaderName, String)>,
    ) -> Result<(), WrongState> {
        headers.insert(0, (HeaderName::Contact, to.to_string()));
        self.refuse_call(now, StatusCode::MOVED_TEMPORARILY, headers)
    }

    /// The INVITE that came in, with where it came from in its top Via and without its body: who calls, and what
    /// else the caller says. `None` for a call of ours.
    #[must_use]
    pub fn invitation(&self) -> Option<&Request> {
        self.invitation.as_ref()
    }

    fn refuse_call(
        &mut self,
        now: Instant,
        status: StatusCode,
        headers: Vec<(HeaderName, String)>,
    ) -> Result<(), WrongState> {
        let task = self.ringing_task()?;
        if status.code() < 300 {
            return Err(WrongState::Status(status.code()));
        }
        self.out.begin_input();
        if let Some(mut response) = self.answer_to(task, status, None) {
            for (name, value) in headers {
                response.headers.push(name, value);
            }
            self.respond_with(now, task, response);
        }
        self.end(
            now,
            EndKind::WeRejected {
                code: status.code(),
            },
        );
        self.settle(now);
        Ok(())
    }

    /// Sends the 2xx to the INVITE that makes the call.
    pub(super) fn take_call(&mut self, now: Instant, body: Vec<u8>) {
        let Ok(task) = self.ringing_task() else {
            return;
        };
        if let Due::OurAnswer(other) = self.due
            && other != task
        {
            // The peer's early change has no answer yet: after the call is taken it may try again.
            self.due = Due::Nothing;
            self.refuse_for_now(now, other);
        }
        // RFC 6337 §3.1: once the session was changed early, or our offer was answered, a 2xx says nothing of it.
        let body = if self.reliable.is_changed() {
            Vec::new()
        } else {
            body
        };
        self.ringing = None;
        self.phase = Phase::Talking;
        self.deadlines.clear(CallTimer::RingLimit);
        self.deadlines.clear(CallTimer::InvitationEnd);
        self.deadlines.clear(CallTimer::RepeatProvisional);
        self.provisional = None;
        self.reliable = self.reliable.taken();
        self.accept_invite(now, task, body, true);
    }

    /// Nobody took it in time.
    pub(super) fn ring_limit_passed(&mut self, now: Instant) {
        match self.phase {
            Phase::Calling => {
                self.cancel_invite(now);
                self.end(now, EndKind::NoAnswer);
            }
            Phase::Ringing => {
                if let Ok(task) = self.ringing_task() {
                    self.respond(now, task, StatusCode::TEMPORARILY_UNAVAILABLE, None);
                }
                self.end(now, EndKind::NoAnswer);
            }
            Phase::Talking | Phase::Ended => {}
        }
    }

    /// The caller's invitation holds no longer (RFC 3261 §13.3.1): 487, as if it had been given up.
    pub(super) fn invitation_over(&mut self, now: Instant) {
        if let Ok(task) = self.ringing_task() {
            self.notice(
                "the time that the caller gave for an answer is over (Expires of its INVITE)",
            );
            self.respond(now, task, StatusCode::REQUEST_TERMINATED, None);
            self.end(now, EndKind::Cancelled { reason: None });
        }
    }

    /// Sends the 2xx to an INVITE, first or later, and watches for its ACK.
    pub(super) fn accept_invite(&mut self, now: Instant, task: TaskId, body: Vec<u8>, first: bool) {
        let answer_due = self.due == Due::OurOffer(task);
        self.due = Due::Nothing;
        let target = self.server(task).map(|task| task.request.headers.clone());
        let cseq = target.as_ref().and_then(|headers| headers.cseq().ok());
        // An offer of ours counts when its answer has come.
        if !body.is_empty() && !answer_due {
            self.described = Some(body.clone());
        }
        let response = self.answer_to(task, StatusCode::OK, Some(body));
        let (Some(headers), Some(cseq), Some(mut response)) = (target, cseq, response) else {
            return;
        };
        self.grant_timer(now, task, &mut response);
        if first {
            self.write_answer_mode(&mut response.headers);
        }
        if let Some(dialog) = &mut self.dialog {
            dialog.confirm();
            // RFC 3261 §12.2.2: only an accepted request moves the target.
            dialog.refresh_target(&headers);
        }
        let unacked = Unacked::new(
            now,
            task,
            cseq.number,
            response.clone(),
            &self.config.timers,
        )
        .with_answer_due(answer_due)
        .of_first_invite(first);
        self.unacked.push(unacked);
        self.respond_with(now, task, response);
    }

    /// How it was taken, to who said how it wanted to be (RFC 5373 §4.3).
    fn write_answer_mode(&self, headers: &mut Headers) {
        let mode = if self.unasked { "Auto" } else { "Manual" };
        let asked = |name: &HeaderName| {
            let invitation = self.invitation.as_ref();
            invitation.is_some_and(|invitation| invitation.headers.has(name.clone()))
        };
        let names = [HeaderName::AnswerMode, HeaderName::PrivAnswerMode];
        for name in names.into_iter().filter(asked) {
            headers.push(name, mode);
        }
    }

    fn take_invite(
        &mut self,
        now: Instant,
        request: &Request,
        inbound: Inbound,
        key: ServerKey,
        dialog: Dialog,
    ) {
        let id = self.next_task();
        let reliable = inbound.path.transport.is_reliable();
        let machine = ServerInvite::new(now, request, reliable, &self.config.timers);
        let kept = without_body(request);
        self.invitation = Some(kept.clone());
        self.ringing = Some(id);
        self.servers.push(ServerTask {
            id,
            key,
            request: kept,
            inbound,
            moved_to: None,
            machine: ServerMachine::Invite(Box::new(machine)),
        });
        self.dialog = Some(dialog);
        if let Some(limit) = self.config.ring_limit {
            self.deadlines.set(CallTimer::RingLimit, now + limit);
        }
        // RFC 3261 §13.3.1: the caller says how long its invitation holds.
        let holds = request.headers.expires().ok();
        let holds = holds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        if let Some(end) = holds.and_then(|holds| now.checked_add(holds)) {
            self.deadlines.set(CallTimer::InvitationEnd, end);
        }
        self.offer_received(id, request);
    }

    /// Notes who owes what after an INVITE of the peer.
    pub(super) fn offer_received(&mut self, id: TaskId, request: &Request) {
        match session_description(&request.headers, &request.body) {
            Some(body) => {
                self.due = Due::OurAnswer(id);
                self.event(CallEvent::Offer { body });
            }
            None => {
                self.due = Due::OurOffer(id);
                self.event(CallEvent::OfferWanted);
            }
        }
    }
}

/// Whether it names one address of SIP to send requests to (RFC 3261 §8.1.1.8).
fn check_contact(headers: &Headers) -> Result<(), StatusLine> {
    match headers.contact() {
        Ok(contact) if contact.uri.scheme.is_sip() => Ok(()),
        Ok(_) => Err(StatusLine::bad_request("No SIP URI in Contact Header")),
        Err(error) => Err((&error).into()),
    }
}

/// What stands against an INVITE outside of any dialog (RFC 3261 §8.2).
fn unfit(
    request: &Request,
    secure: bool,
    ours: &Capabilities,
) -> Option<(StatusLine, &'static str)> {
    if let Err(error) = validate_request(request) {
        let line = StatusLine::from(&error);
        return Some((line, "an INVITE that breaks a rule of its syntax"));
    }
    if request.method != Method::Invite {
        return Some((StatusCode::METHOD_NOT_ALLOWED.into(), "not an INVITE"));
    }
    match request.uri.scheme {
        // RFC 3261 §26.2.2: each hop of it is to be protected, the last one, too.
        Scheme::Sips if !secure => {
            return Some((
                StatusCode::FORBIDDEN.into(),
                "an INVITE to a sips address on a way that is not protected",
            ));
        }
        _ if !takes_scheme(request) => {
            return Some((
                StatusCode::UNSUPPORTED_URI_SCHEME.into(),
                "an INVITE to an address that is none of SIP",
            ));
        }
        _ => {}
    }
    if request.headers.to().is_ok_and(|to| to.tag().is_some()) {
        return Some((
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST.into(),
            "an INVITE within a dialog that does not exist",
        ));
    }
    // RFC 3261 §8.1.1.8: without it no request of ours would find the caller.
    if let Err(line) = check_contact(&request.headers) {
        return Some((line, "an INVITE without a Contact to send requests to"));
    }
    if let Some(phrase) = contradiction(&request.headers) {
        return Some((
            StatusLine::bad_request(phrase),
            "an INVITE that is to replace or join more than one call",
        ));
    }
    if !ours.unsupported(request).is_empty() {
        return Some((
            StatusCode::BAD_EXTENSION.into(),
            "an INVITE that requires an extension we do not have",
        ));
    }
    if is_encoded(request) {
        return Some((
            StatusCode::UNSUPPORTED_MEDIA_TYPE.into(),
            "an INVITE with an encoded body",
        ));
    }
    // RFC 3261 §8.2.3.
    if is_beyond_us(&request.headers, &request.body) {
        return Some((
            StatusCode::UNSUPPORTED_MEDIA_TYPE.into(),
            "an INVITE with a body we do not understand",
        ));
    }
    None
}
