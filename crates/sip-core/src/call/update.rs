//! UPDATE (RFC 3311): the session or the target changed without an INVITE, before and after the call is taken.

use std::time::Instant;

use sip_message::{Method, Request, Response, StatusCode};

use super::body::session_description;
use super::info::is_gone;
use super::modify::{MOST_TRIES, holds_offer};
use super::send::is_challenge;
use super::task::{Fault, Purpose, TaskId};
use super::{Call, CallEvent, CallTimer, Due, EndKind, Phase, WrongState};

/// Our UPDATE that has to be tried again later.
#[derive(Clone, Default)]
pub(super) struct Again {
    waiting: Option<(String, Option<Vec<u8>>, bool)>,
    tries: u8,
}

impl Call {
    /// Sends an UPDATE: with an offer it changes the session ([`CallEvent::Answer`] or [`CallEvent::ReofferFailed`]
    /// follows), without one it only tells our Contact. Before the call is taken this is the only way to change
    /// anything; it goes to the early dialog that answered last.
    ///
    /// # Errors
    /// [`WrongState::Phase`] without a dialog to send it in, [`WrongState::NotTaken`] when the peer does not allow
    /// UPDATE, [`WrongState::Busy`] while another exchange of session descriptions is not finished; in an early dialog
    /// that is until the first one was made reliably (RFC 3311 §5.1).
    pub fn update(&mut self, now: Instant, offer: Option<Vec<u8>>) -> Result<(), WrongState> {
        let tag = match self.phase {
            Phase::Talking | Phase::Ringing => self.dialog_tag(),
            Phase::Calling => self.early_tag(),
            Phase::Ended => None,
        };
        let Some(tag) = tag else {
            return Err(WrongState::Phase(self.phase));
        };
        if !self.takes_update(&tag) {
            return Err(WrongState::NotTaken);
        }
        if offer.is_some() && !self.may_offer_in_update(&tag) {
            return Err(WrongState::Busy);
        }
        self.out.begin_input();
        self.send_update(now, tag, offer, false);
        self.settle(now);
        Ok(())
    }

    /// Whether an UPDATE may change the session now: [`Call::update`] with an offer would go out, and nobody but the
    /// peer that it goes to may take the call.
    pub fn may_update(&mut self) -> bool {
        let tag = match self.phase {
            Phase::Talking | Phase::Ringing => self.dialog_tag(),
            Phase::Calling if self.early.len() == 1 => self.early_tag(),
            Phase::Calling | Phase::Ended => None,
        };
        tag.is_some_and(|tag| self.takes_update(&tag) && self.may_offer_in_update(&tag))
    }

    /// Tells whoever is in an early dialog with us and takes UPDATE our Contact (RFC 3311 §5.1): that may be done at
    /// any time, while a change of the session has to wait for offer and answer. Gives how many are told.
    pub fn tell_contact(&mut self, now: Instant) -> usize {
        let mut tags: Vec<String> = match self.phase {
            Phase::Ringing => self.dialog_tag().into_iter().collect(),
            Phase::Calling => self.early.tags().map(str::to_owned).collect(),
            Phase::Talking | Phase::Ended => Vec::new(),
        };
        tags.retain(|tag| self.takes_update(tag));
        self.out.begin_input();
        for tag in &tags {
            self.send_update(now, tag.clone(), None, false);
        }
        self.settle(now);
        tags.len()
    }

    fn takes_update(&mut self, tag: &str) -> bool {
        let dialog = self.dialog_with(tag);
        dialog.is_some_and(|dialog| dialog.takes(&Method::Update))
    }

    pub(super) fn send_update(
        &mut self,
        now: Instant,
        tag: String,
        offer: Option<Vec<u8>>,
        refresh: bool,
    ) {
        let talking = self.phase == Phase::Talking;
        let Some(dialog) = self.dialog_with(&tag) else {
            return;
        };
        let mut request = dialog.request(Method::Update);
        let hop = dialog.next_hop().clone();
        self.describe_ourselves(&mut request.headers, false);
        if talking {
            self.ask_for_timer(&mut request.headers);
        }
        if let Some(offer) = &offer {
            request.set_body("application/sdp", offer.clone());
        }
        let purpose = Purpose::Update {
            offer,
            tag,
            refresh,
        };
        self.send(now, purpose, request, &hop);
    }

    /// A final response to our UPDATE.
    pub(super) fn on_update_response(&mut self, now: Instant, id: TaskId, response: &Response) {
        let Some(Purpose::Update {
            offer,
            tag,
            refresh,
        }) = self.client(id).map(|task| task.purpose.clone())
        else {
            return;
        };
        let status = response.status;
        if !status.is_final() {
            return;
        }
        if self.phase == Phase::Ended {
            return self.finish(id);
        }
        if is_challenge(response) && self.authorise_and_retry(now, id, response).is_ok() {
            return;
        }
        if status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && self.lengthen_and_retry(now, id, response)
        {
            return;
        }
        self.finish(id);
        if status.is_success() {
            return self.on_update_success(now, &tag, offer, response);
        }
        if is_gone(status) && self.phase == Phase::Talking {
            let kind = self.status_kind(response);
            self.leave(now);
            return self.end(now, kind);
        }
        let wait = self.retry_after(response);
        match wait {
            Some(wait) if self.update_again.tries < MOST_TRIES => {
                self.update_again.tries += 1;
                self.update_again.waiting = Some((tag, offer, refresh));
                self.deadlines.set(CallTimer::UpdateAgain, now + wait);
            }
            _ => self.on_update_refused(now, &tag, offer.is_some(), refresh, status),
        }
    }

    fn on_update_success(
        &mut self,
        now: Instant,
        tag: &str,
        offer: Option<Vec<u8>>,
        response: &Response,
    ) {
        self.update_again = Again::default();
        if let Some(dialog) = self.dialog_with(tag) {
            // RFC 3311 §5.1: UPDATE refreshes the target.
            dialog.refresh_target(&response.headers);
        }
        let early = self.phase != Phase::Talking;
        if !early {
            self.timer_from_answer(now, &response.headers);
        }
        if offer.is_none() {
            return;
        }
        match session_description(&response.headers, &response.body) {
            Some(body) => {
                self.described = offer;
                self.early_changed(tag, &body);
                self.event(CallEvent::Answer { body, early });
            }
            None => {
                self.notice("a 2xx to an UPDATE without its answer; the session stays as it was");
                self.event(CallEvent::ReofferFailed {
                    status: Some(response.status),
                });
            }
        }
    }

    fn on_update_refused(
        &mut self,
        now: Instant,
        tag: &str,
        offered: bool,
        refresh: bool,
        status: StatusCode,
    ) {
        self.update_again = Again::default();
        if offered {
            return self.event(CallEvent::ReofferFailed {
                status: Some(status),
            });
        }
        let code = status.code();
        self.notice(&format!("the peer answered an UPDATE with {code}"));
        let unknown = matches!(code, 405 | 501);
        if let (true, Some(dialog)) = (unknown, self.dialog_with(tag)) {
            dialog.does_not_take(&Method::Update);
        }
        if refresh && unknown {
            self.refresh_by_reinvite();
        } else if refresh && code >= 500 {
            // RFC 4028 §10: a refusal for good is not asked for again and again.
            self.refresh_later(now);
        }
    }

    /// The wait after a 491 is over.
    pub(super) fn try_update_again(&mut self, now: Instant) {
        let Some((tag, offer, refresh)) = self.update_again.waiting.take() else {
            return;
        };
        if self.phase == Phase::Ended {
            return;
        }
        let gone = self.dialog_with(&tag).is_none();
        if gone || (offer.is_some() && !self.may_offer_in_update(&tag)) {
            if offer.is_some() {
                self.event(CallEvent::ReofferFailed { status: None });
            }
            return;
        }
        self.send_update(now, tag, offer, refresh);
    }

    /// No path carried our UPDATE to an answer.
    pub(super) fn update_not_carried(&mut self, now: Instant, purpose: Purpose, fault: &Fault) {
        let Purpose::Update { offer, refresh, .. } = purpose else {
            return;
        };
        match (fault, self.phase) {
            (_, Phase::Ended) => {}
            // RFC 3261 §12.2.1.2 and RFC 4028 §10: no answer at all counts as 408.
            (Fault::Silence, Phase::Talking) => {
                self.leave(now);
                let address = self.last_tried;
                self.end(now, EndKind::Silence { address });
            }
            _ => {
                self.notice("an UPDATE did not reach the peer; the call goes on as it was");
                if offer.is_some() {
                    self.event(CallEvent::ReofferFailed { status: None });
                }
                if refresh {
                    self.refresh_later(now);
                }
            }
        }
    }

    /// An UPDATE of the peer (RFC 3311 §5.2), in the dialog with this tag.
    pub(super) fn on_update(&mut self, now: Instant, id: TaskId, request: &Request, tag: &str) {
        let offer = session_description(&request.headers, &request.body);
        let Some(body) = offer else {
            if let Some(dialog) = self.dialog_with(tag) {
                dialog.refresh_target(&request.headers);
            }
            return self.accept_update(now, id, None);
        };
        // An offer of ours has no answer yet: both ends try again later.
        if self.offer_is_out(tag) || self.given_offer_waits() {
            return self.respond(now, id, StatusCode::REQUEST_PENDING, None);
        }
        // One of the peer's has none.
        if self.due != Due::Nothing {
            return self.refuse_for_now(now, id);
        }
        self.due = Due::OurAnswer(id);
        self.event(CallEvent::Offer { body });
    }

    /// 200 to the peer's UPDATE.
    pub(super) fn accept_update(&mut self, now: Instant, id: TaskId, body: Option<Vec<u8>>) {
        let Some(mut response) = self.answer_to(id, StatusCode::OK, body) else {
            return;
        };
        if self.phase == Phase::Talking {
            self.grant_timer(now, id, &mut response);
        }
        self.respond_with(now, id, response);
    }

    /// The early dialog of our INVITE that gave its answer last, or whose offer we answered.
    fn early_tag(&self) -> Option<String> {
        let answered = self.early_answers.last().map(|(tag, _)| tag);
        answered.or(self.early_offers.last()).cloned()
    }

    /// Whether offer and answer are both known at both ends of this dialog (RFC 3311 §5.1).
    fn may_offer_in_update(&mut self, tag: &str) -> bool {
        let unpracked = self.clients.iter().any(|task| {
            matches!(&task.purpose, Purpose::Prack { tag: of, .. } if of == tag) && task.is_open()
        });
        let settled = match self.phase {
            Phase::Calling => self.took_reliably(tag) && !unpracked,
            Phase::Ringing => self.reliable.is_settled(),
            Phase::Talking => self.unacked.is_empty(),
            Phase::Ended => false,
        };
        settled
            && self.due == Due::Nothing
            && !self.offer_is_out(tag)
            && !self.invite_with_offer_waits()
    }

    /// Whether an offer of ours waits for its answer in the dialog with this tag.
    fn offer_is_out(&self, tag: &str) -> bool {
        let of_call = |purpose: &Purpose| *purpose == Purpose::Invite;
        let answered = self.early_answers.iter().any(|(known, _)| known == tag)
            || self.early_offers.iter().any(|known| known == tag);
        self.clients
            .iter()
            .any(|task| holds_offer(task) && !(of_call(&task.purpose) && answered))
    }

    /// Whether an answer of ours to an INVITE of the peer holds our offer, and the peer's answer has not come: it is
    /// due in the ACK to a 2xx, and in the PRACK for a reliable provisional answer.
    pub(super) fn given_offer_waits(&self) -> bool {
        let in_provisional = matches!(self.due, Due::OurOffer(_)) && self.reliable.is_describing();
        in_provisional || self.unacked.iter().any(super::ack::Unacked::owes_answer)
    }

    fn invite_with_offer_waits(&self) -> bool {
        self.phase == Phase::Talking && self.invite_waits(None)
    }

    /// The session that this early dialog agreed upon is another one now.
    fn early_changed(&mut self, tag: &str, body: &[u8]) {
        if let Some((_, known)) = self
            .early_answers
            .iter_mut()
            .find(|(known, _)| known == tag)
        {
            *known = body.to_vec();
        }
        if self.phase == Phase::Ringing {
            self.reliable.session_changed();
        }
    }

    /// The peer's early UPDATE, or the offer in its PRACK, has our answer.
    pub(super) fn early_exchange_done(&mut self) {
        if self.phase == Phase::Ringing {
            self.reliable.session_changed();
        }
    }
}
