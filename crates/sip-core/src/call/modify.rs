//! Changing the session of a call by re-INVITE, both ways, and what happens when both ends do it at once
//! (RFC 3261 §14). The answers to offers are given here, whatever brought the offer.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, Request, Response, StatusCode};

use super::body::session_description;
use super::info::is_gone;
use super::invite::to_tag;
use super::send::is_challenge;
use super::task::{Cancel, ClientTask, Fault, Purpose, TaskId};
use super::{Call, CallEvent, CallTimer, Due, EndKind, Phase, Role, WrongState};

/// How often a change is tried again when both ends keep doing it at once.
pub(super) const MOST_TRIES: u8 = 8;
/// Answers to INVITEs that may wait for their ACK while another INVITE is taken.
const MOST_UNACKED: usize = 4;

/// Our change of the session.
#[derive(Clone, Default)]
pub(super) struct Reoffer {
    /// The offer that waits for its turn; a later one replaces it.
    waiting: Option<Vec<u8>>,
    /// It only refreshes the session.
    refresh: bool,
    /// How often the peer asked to try again.
    tries: u8,
}

impl Call {
    /// Offers another session (hold, resume, another address): a re-INVITE, sent as soon as no other exchange is under
    /// way. [`CallEvent::Answer`] or [`CallEvent::ReofferFailed`] follows. A reoffer that still waits is replaced.
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call is up.
    pub fn reoffer(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        if self.phase != Phase::Talking {
            return Err(WrongState::Phase(self.phase));
        }
        self.out.begin_input();
        self.reoffer.waiting = Some(body);
        self.reoffer.refresh = false;
        self.settle(now);
        Ok(())
    }

    /// Takes the peer's offer with this answer; after [`CallEvent::OfferWanted`] the body is our offer. For the first
    /// INVITE it is the same as [`Call::answer`].
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] when no offer waits.
    pub fn accept_offer(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        match (self.phase, self.due.clone()) {
            (Phase::Ringing, Due::OurAnswer(task)) if Some(task) != self.ringing => {
                self.out.begin_input();
                self.accept_change(now, task, body);
                self.settle(now);
                Ok(())
            }
            (Phase::Ringing, _) => self.answer(now, body),
            (Phase::Calling, Due::OurAnswerInPrack { .. }) => {
                self.out.begin_input();
                self.answer_in_prack(now, body);
                self.settle(now);
                Ok(())
            }
            (Phase::Calling | Phase::Talking, Due::OurAnswer(task) | Due::OurOffer(task)) => {
                self.out.begin_input();
                self.accept_change(now, task, body);
                self.settle(now);
                Ok(())
            }
            (Phase::Talking, Due::OurAnswerInAck { cseq, .. }) => {
                self.out.begin_input();
                self.due = Due::Nothing;
                self.described = Some(body.clone());
                if let Some(dialog) = self.dialog.clone() {
                    self.acknowledge(now, &dialog, cseq, Some(body), false);
                }
                self.event(CallEvent::Established);
                self.settle(now);
                Ok(())
            }
            _ => Err(WrongState::NothingDue),
        }
    }

    /// Does not take the peer's offer; the session goes on as it was. An offer that came with the 2xx to our INVITE
    /// cannot be refused but by ending the call, which is done; the first INVITE is refused as by [`Call::reject`].
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] when no offer waits, [`WrongState::Status`] for a status below 300.
    pub fn reject_offer(&mut self, now: Instant, status: StatusCode) -> Result<(), WrongState> {
        if status.code() < 300 {
            return Err(WrongState::Status(status.code()));
        }
        match (self.phase, self.due.clone()) {
            (Phase::Ringing, Due::OurAnswer(task)) if Some(task) != self.ringing => {
                self.out.begin_input();
                self.refuse_change(now, task, status);
                self.settle(now);
                Ok(())
            }
            (Phase::Ringing, _) => self.reject(now, status),
            (Phase::Calling, Due::OurAnswerInPrack { .. }) => self.hang_up(now),
            (Phase::Calling | Phase::Talking, Due::OurAnswer(task) | Due::OurOffer(task)) => {
                self.out.begin_input();
                self.refuse_change(now, task, status);
                self.settle(now);
                Ok(())
            }
            (Phase::Talking, Due::OurAnswerInAck { .. }) => {
                self.out.begin_input();
                self.leave(now);
                self.end(now, EndKind::WeHungUp);
                self.settle(now);
                Ok(())
            }
            _ => Err(WrongState::NothingDue),
        }
    }

    /// Sends the waiting offer if nothing stands against it. True when it went out.
    pub(super) fn start_reoffer(&mut self, now: Instant) -> bool {
        let idle = self.phase == Phase::Talking
            && self.due == Due::Nothing
            && self.unacked.is_empty()
            && self.deadlines.at(CallTimer::Reoffer).is_none()
            && !self.clients.iter().any(holds_reoffer)
            && !self.invite_waits(None);
        if !idle {
            return false;
        }
        let (Some(dialog), Some(offer)) = (&mut self.dialog, self.reoffer.waiting.take()) else {
            return false;
        };
        let mut request = dialog.request(Method::Invite);
        let hop = dialog.next_hop().clone();
        let refresh = std::mem::take(&mut self.reoffer.refresh);
        self.describe_ourselves(&mut request.headers, false);
        self.ask_for_timer(&mut request.headers);
        request
            .headers
            .push(HeaderName::ContentType, "application/sdp");
        request.body.clone_from(&offer);
        let id = self.send(now, Purpose::Reinvite { offer, refresh }, request, &hop);
        self.give_up_reinvite_later(now, id);
        true
    }

    /// The peer may ask its user; one that never answers must not block the next change for ever.
    pub(super) fn give_up_reinvite_later(&mut self, now: Instant, id: TaskId) {
        let until = now + self.config.timers.patience() * 2;
        if let Some(task) = self.client(id) {
            task.give_up_at = Some(until);
        }
    }

    /// A response to our re-INVITE.
    pub(super) fn on_reinvite_response(&mut self, now: Instant, id: TaskId, response: Response) {
        self.cancel_if_held(now, id, &response);
        let status = response.status;
        if status.is_provisional() {
            return;
        }
        if status.is_success() {
            return self.on_reinvite_success(now, id, &response);
        }
        if self.phase != Phase::Talking {
            return self.finish(id);
        }
        if is_challenge(&response) && self.authorise_and_retry(now, id, &response).is_ok() {
            return;
        }
        if status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && self.lengthen_and_retry(now, id, &response)
        {
            return;
        }
        let given_up = self
            .client(id)
            .is_some_and(|task| task.cancel != Cancel::No);
        let offer = self.client(id).and_then(ClientTask::offer);
        let refresh = offer.as_ref().is_some_and(|(_, refresh)| *refresh);
        self.finish(id);
        if is_gone(status) {
            // RFC 3261 §14.1: the dialog is gone at the peer's end; a BYE tells whoever still holds it.
            let kind = self.status_kind(&response);
            self.leave(now);
            return self.end(now, kind);
        }
        match self.retry_after(&response) {
            Some(wait) if !given_up && self.reoffer.tries < MOST_TRIES => {
                self.reoffer.tries += 1;
                // A change of the user's that came meanwhile goes before this one.
                if let (None, Some((offer, refresh))) = (&self.reoffer.waiting, offer) {
                    self.reoffer.waiting = Some(offer);
                    self.reoffer.refresh = refresh;
                }
                self.deadlines.set(CallTimer::Reoffer, now + wait);
            }
            // Given up and told before.
            _ if given_up => {}
            _ if refresh => {
                self.reoffer.tries = 0;
                let code = status.code();
                self.notice(&format!(
                    "the peer answered a refresh of the session with {code}"
                ));
                if code >= 500 {
                    self.refresh_later(now);
                }
            }
            _ => {
                self.reoffer.tries = 0;
                self.event(CallEvent::ReofferFailed {
                    status: Some(status),
                });
            }
        }
    }

    fn on_reinvite_success(&mut self, now: Instant, id: TaskId, response: &Response) {
        let Ok(cseq) = response.headers.cseq().map(|cseq| cseq.number) else {
            return;
        };
        let tag = to_tag(response);
        let Some(mut dialog) = self.dialog.clone() else {
            return;
        };
        if self.acknowledge_again(now, cseq, &dialog.id().remote_tag) {
            return;
        }
        if tag != dialog.id().remote_tag {
            self.notice("a 2xx to a re-INVITE with another To tag was taken for this dialog");
        }
        // RFC 3261 §12.2.1.2: the target of this 2xx, before its ACK.
        dialog.refresh_target(&response.headers);
        self.dialog = Some(dialog.clone());
        let given_up = self
            .client(id)
            .is_some_and(|task| task.cancel != Cancel::No);
        let offer = self.client(id).and_then(ClientTask::offer);
        let refresh = offer.as_ref().is_some_and(|(_, refresh)| *refresh);
        self.finish(id);
        self.acknowledge(now, &dialog, cseq, None, false);
        self.timer_from_answer(now, &response.headers);
        self.reoffer.tries = 0;
        match session_description(&response.headers, &response.body) {
            // RFC 4028 §7.4: the session is as it was, and another offer may wait for its own answer.
            Some(_) if refresh => {}
            Some(body) => {
                self.described = offer.map(|(offer, _)| offer);
                self.event(CallEvent::Answer { body, early: false });
            }
            None if given_up || refresh => {}
            None => {
                self.notice("a 2xx to a re-INVITE without its answer; the session stays as it was");
                self.event(CallEvent::ReofferFailed {
                    status: Some(response.status),
                });
            }
        }
    }

    /// No path carried our re-INVITE to an answer.
    pub(super) fn reoffer_not_carried(&mut self, now: Instant, refresh: bool, fault: &Fault) {
        if self.phase != Phase::Talking {
            return;
        }
        match fault {
            // RFC 3261 §14.1: no answer at all counts as 408.
            Fault::Silence => {
                self.leave(now);
                self.end(
                    now,
                    EndKind::Silence {
                        address: self.last_tried,
                    },
                );
            }
            _ if refresh => {
                self.notice("a refresh of the session did not reach the peer");
                self.refresh_later(now);
            }
            Fault::Unavailable(response) => {
                self.event(CallEvent::ReofferFailed {
                    status: Some(response.status),
                });
            }
            // The connection may come back: the call stays.
            Fault::Transport(_) | Fault::Unresolved(_) => {
                self.notice(
                    "a change of the session could not be sent; the call goes on as it was",
                );
                self.event(CallEvent::ReofferFailed { status: None });
            }
        }
    }

    /// An INVITE of the peer within the call (RFC 3261 §14.2).
    pub(super) fn on_reinvite(&mut self, now: Instant, id: TaskId, request: &Request) {
        if self.phase == Phase::Calling
            || self.clients.iter().any(holds_offer)
            || self.given_offer_waits()
        {
            // Our own INVITE is out, or an offer of ours in the answer to one: both ends try again later.
            return self.respond(now, id, StatusCode::REQUEST_PENDING, None);
        }
        // An ACK may be late or lost, but one after the other is not: each answer would be said again and again.
        let unheard = self.unacked.len() >= MOST_UNACKED;
        if self.invite_waits(Some(id)) || self.due != Due::Nothing || unheard {
            return self.refuse_for_now(now, id);
        }
        self.offer_received(id, request);
    }

    /// Refreshes the session of a peer that takes no UPDATE: a re-INVITE with the description as it stands
    /// (RFC 4028 §7.4). A change of the user's that waits does the same.
    pub(super) fn refresh_by_reinvite(&mut self) {
        if self.reoffer.waiting.is_none() && self.described.is_some() {
            self.reoffer.waiting.clone_from(&self.described);
            self.reoffer.refresh = true;
        }
    }

    /// Our answer to a change of the peer, or our offer where it asked for one.
    fn accept_change(&mut self, now: Instant, task: TaskId, body: Vec<u8>) {
        if self.server(task).is_some_and(|task| task.is_invite()) {
            return self.accept_invite(now, task, body, false);
        }
        self.due = Due::Nothing;
        self.described = Some(body.clone());
        let Some(request) = self.server(task).map(|task| task.request.clone()) else {
            return;
        };
        let from = request.headers.from().ok();
        let tag = from.and_then(|from| from.tag().map(str::to_owned));
        if request.method == Method::Prack {
            self.respond(now, task, StatusCode::OK, Some(body));
            self.early_exchange_done();
            return self.after_prack(now);
        }
        if let Some(dialog) = self.dialog_with(&tag.unwrap_or_default()) {
            dialog.refresh_target(&request.headers);
        }
        self.accept_update(now, task, Some(body));
        self.early_exchange_done();
    }

    /// Our no to a change of the peer.
    fn refuse_change(&mut self, now: Instant, task: TaskId, status: StatusCode) {
        self.due = Due::Nothing;
        let prack = self
            .server(task)
            .is_some_and(|task| task.request.method == Method::Prack);
        self.respond(now, task, status, None);
        if prack {
            self.after_prack(now);
        }
    }

    /// 500 with a Retry-After of 0 to 10 s: another change is not finished (RFC 3261 §14.2).
    pub(super) fn refuse_for_now(&mut self, now: Instant, id: TaskId) {
        let wait = (self.tokens.fraction() * 11.0) as u32;
        if let Some(mut response) = self.answer_to(id, StatusCode::SERVER_INTERNAL_ERROR, None) {
            response
                .headers
                .push(HeaderName::RetryAfter, wait.to_string());
            self.respond_with(now, id, response);
        }
    }

    /// Whether an INVITE of the peer waits for our answer, other than this one.
    pub(super) fn invite_waits(&self, except: Option<TaskId>) -> bool {
        let waits = |id| Some(id) != except;
        self.servers
            .iter()
            .any(|task| task.is_invite() && !task.has_final() && waits(task.id))
    }

    /// How long to wait before our re-INVITE is tried again, if the answer asks for that.
    pub(super) fn retry_after(&mut self, response: &Response) -> Option<Duration> {
        match response.status.code() {
            // RFC 3261 §14.1, in steps of 10 ms: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other.
            491 => {
                let fraction = self.tokens.fraction();
                let steps = match self.role {
                    Role::Caller => 210 + (fraction * 191.0) as u64,
                    Role::Callee => (fraction * 201.0) as u64,
                };
                Some(Duration::from_millis(steps * 10))
            }
            500 => {
                let seconds: u64 = response
                    .headers
                    .get(HeaderName::RetryAfter)?
                    .trim()
                    .parse()
                    .ok()?;
                (seconds <= 10).then(|| Duration::from_secs(seconds))
            }
            _ => None,
        }
    }
}

/// Whether this is an INVITE of ours that waits for its answer, or an UPDATE with an offer. One that goes out again
/// once a person has given its login waits still: its offer stands.
pub(super) fn holds_offer(task: &ClientTask) -> bool {
    let update = matches!(&task.purpose, Purpose::Update { offer, .. } if offer.is_some());
    (task.is_invite() || update) && (task.is_open() || task.waits_for_login)
}

/// Whether this keeps the next re-INVITE waiting: an INVITE without its answer, or a 2xx without its ACK.
fn holds_reoffer(task: &ClientTask) -> bool {
    let unsent_ack =
        matches!(task.purpose, Purpose::Ack { .. }) && task.attempt.is_none() && !task.done;
    holds_offer(task) || unsent_ack
}
