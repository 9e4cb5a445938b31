//! Provisional answers that are acknowledged with PRACK (RFC 3262), heard and given.
//!
//! As a caller we acknowledge each such answer in its own early dialog, in the order of its RSeq. As a callee we send
//! them where the caller insists, or where early media makes it worth it, one at a time, until the PRACK comes.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Headers, Method, Request, Response, StatusCode};

use super::body::session_description;
use super::task::{Purpose, TaskId};
use super::{Call, CallEvent, Due, EndKind, Phase};

/// The option tag.
pub(super) const OPTION: &str = "100rel";

/// A reliable provisional answer of ours that waits for its PRACK.
#[derive(Clone)]
pub(super) struct Unpracked {
    rseq: u32,
    task: TaskId,
    response: Response,
    interval: Duration,
    next_at: Instant,
    give_up_at: Instant,
}

/// What is said reliably in a call that came in.
#[derive(Clone, Default)]
pub(super) struct Reliable {
    waiting: Option<Unpracked>,
    /// What still waited when the call was taken, by RSeq and CSeq: it is repeated no more, and its PRACK may be on its way
    /// (RFC 3262 §3).
    left: Option<(u32, u32)>,
    /// The provisional answer to be given after it; a later one replaces it.
    next: Option<(StatusCode, Option<Vec<u8>>)>,
    /// The final answer that waits until the caller has our early one (RFC 3262 §3).
    answer: Option<Vec<u8>>,
    last_rseq: u32,
    /// Offer and answer are known at both ends: one of them was in an answer that was acknowledged.
    settled: bool,
    /// The session was changed since, or the offer was ours: the 2xx has nothing to say of it.
    changed: bool,
}

impl Reliable {
    /// What is left of it once the call is taken.
    pub(super) fn taken(&self) -> Self {
        Self {
            left: self.waiting.as_ref().map(Unpracked::named),
            ..Self::default()
        }
    }
}

/// The last reliable answer of an early dialog that was taken.
#[derive(Clone)]
pub(super) struct Taken {
    tag: String,
    rseq: u32,
    /// It, or one before it, held the answer to our offer.
    answered: bool,
}

/// How a provisional answer stands in the order of its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It is not reliable.
    Unreliable,
    /// The next one, to be acknowledged.
    Next(u32),
    /// Heard before, or one is missing before it.
    Ignore,
}

impl Unpracked {
    /// As a PRACK names it: RSeq, and CSeq of the INVITE.
    fn named(&self) -> (u32, u32) {
        let cseq = self.response.headers.cseq();
        (self.rseq, cseq.map_or(0, |cseq| cseq.number))
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next_at.min(self.give_up_at)
    }

    fn has_description(&self) -> bool {
        !self.response.body.is_empty()
    }
}

impl Reliable {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(Unpracked::deadline)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Keeps the final answer back while a description of ours is not acknowledged. False: send it now.
    pub(super) fn hold_answer(&mut self, body: &[u8]) -> bool {
        let wait = self.is_describing();
        if wait {
            self.answer = Some(body.to_vec());
        }
        wait
    }

    /// Whether a description of ours waits for its PRACK.
    pub(super) fn is_describing(&self) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(Unpracked::has_description)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled && self.waiting.is_none()
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn session_changed(&mut self) {
        self.changed = true;
    }

    pub(super) fn give_next(&mut self, status: StatusCode, body: Option<Vec<u8>>) {
        self.next = Some((status, body));
    }
}

impl Call {
    /// Sorts a provisional answer to our INVITE, and notes it if it is the next one of its dialog.
    pub(super) fn order_of(&mut self, now: Instant, response: &Response, tag: &str) -> Order {
        let Some(rseq) = reliable_number(response) else {
            return Order::Unreliable;
        };
        if tag.is_empty() {
            return Order::Unreliable;
        }
        if self.clients.len() >= Self::CLIENT_LIMIT {
            // Each one costs a request of ours: a flood of them is not answered.
            self.ignored = self.ignored.saturating_add(1);
            return Order::Ignore;
        }
        let full = self.taken.len() >= crate::dialog::DialogSet::LIMIT;
        match self.taken.iter_mut().find(|taken| taken.tag == tag) {
            Some(taken) if taken.rseq.checked_add(1) == Some(rseq) => {
                taken.rseq = rseq;
                Order::Next(rseq)
            }
            Some(taken) if taken.rseq == rseq => {
                self.acknowledge_repeat(now, response, tag, rseq);
                Order::Ignore
            }
            // RFC 3262 §4: what comes out of order is neither acknowledged nor used.
            Some(_) => {
                self.ignored = self.ignored.saturating_add(1);
                Order::Ignore
            }
            None if full => Order::Ignore,
            None => {
                self.taken.push(Taken {
                    tag: tag.to_owned(),
                    rseq,
                    answered: false,
                });
                Order::Next(rseq)
            }
        }
    }

    /// Uses and acknowledges the next reliable answer of an early dialog.
    pub(super) fn on_reliable(
        &mut self,
        now: Instant,
        id: TaskId,
        response: &Response,
        tag: String,
        rseq: u32,
    ) {
        let offered = self
            .client(id)
            .is_some_and(|task| !task.request.body.is_empty());
        let Ok(cseq) = response.headers.cseq().map(|cseq| cseq.number) else {
            return;
        };
        match session_description(&response.headers, &response.body) {
            Some(body) if offered => {
                self.send_prack(now, &tag, rseq, cseq, None);
                if let Some(taken) = self.taken.iter_mut().find(|taken| taken.tag == tag) {
                    taken.answered = true;
                }
                self.note_early_answer(tag, body);
            }
            // RFC 3262 §5: an offer in a reliable answer is answered in its PRACK.
            Some(body) if self.due == Due::Nothing && !self.early_offers.contains(&tag) => {
                self.due = Due::OurAnswerInPrack { tag, rseq, cseq };
                self.event(CallEvent::Offer { body });
            }
            Some(_) => {
                self.send_prack(now, &tag, rseq, cseq, None);
                self.notice("one more early offer was acknowledged and not answered");
            }
            None => self.send_prack(now, &tag, rseq, cseq, None),
        }
    }

    /// Our answer to an offer that came in a reliable provisional answer.
    pub(super) fn answer_in_prack(&mut self, now: Instant, body: Vec<u8>) {
        if let Due::OurAnswerInPrack { tag, rseq, cseq } =
            std::mem::replace(&mut self.due, Due::Nothing)
        {
            self.described = Some(body.clone());
            self.send_prack(now, &tag, rseq, cseq, Some(body));
            self.early_offers.push(tag);
        }
    }

    /// Gives a provisional answer reliably where that is called for. False: it is to be given as usual.
    pub(super) fn give_reliably(
        &mut self,
        now: Instant,
        task: TaskId,
        status: StatusCode,
        body: Option<&Vec<u8>>,
    ) -> bool {
        if !self.wants_reliable(body.is_some()) {
            return false;
        }
        if self.reliable.is_waiting() {
            // RFC 3262 §3: not before the one before is acknowledged.
            self.reliable.give_next(status, body.cloned());
            return true;
        }
        let Some(mut response) = self.answer_to(task, status, body.cloned()) else {
            return false;
        };
        let rseq = match self.reliable.last_rseq {
            0 => self.tokens.cseq(),
            last => last.saturating_add(1),
        };
        response.headers.push(HeaderName::Require, OPTION);
        response.headers.push(HeaderName::RSeq, rseq);
        let timers = self.config.timers;
        self.reliable.last_rseq = rseq;
        self.reliable.waiting = Some(Unpracked {
            rseq,
            task,
            response: response.clone(),
            interval: timers.t1,
            next_at: now + timers.t1,
            give_up_at: now + timers.patience(),
        });
        self.respond_with(now, task, response);
        true
    }

    /// Sends the unacknowledged answer again when it is due: T1, doubling, for 64·T1; then the INVITE is refused.
    pub(super) fn repeat_reliable(&mut self, now: Instant) {
        let Some(waiting) = &mut self.reliable.waiting else {
            return;
        };
        let task = waiting.task;
        if waiting.give_up_at <= now {
            self.reliable = Reliable::default();
            self.respond(now, task, StatusCode::SERVER_TIMEOUT, None);
            return self.end(now, EndKind::NotAcknowledged);
        }
        if waiting.next_at <= now {
            // RFC 3262 §3: no upper bound as for the 2xx.
            waiting.interval = waiting.interval.saturating_mul(2);
            waiting.next_at = now + waiting.interval;
            let response = waiting.response.clone();
            self.respond_with(now, task, response);
        }
    }

    /// A PRACK of the caller.
    pub(super) fn on_prack(&mut self, now: Instant, id: TaskId, prack: &Request) {
        let named = acknowledged_by(&prack.headers);
        let waiting = self.reliable.waiting.as_ref().map(Unpracked::named);
        if named.is_some() && named == self.reliable.left && prack.body.is_empty() {
            self.reliable.left = None;
            return self.respond(now, id, StatusCode::OK, None);
        }
        if named.is_none() || named != waiting {
            return self.respond(
                now,
                id,
                StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                None,
            );
        }
        let described = self.reliable.waiting.take();
        let described = described.is_some_and(|waiting| waiting.has_description());
        let our_offer = matches!(self.due, Due::OurOffer(_));
        let body = session_description(&prack.headers, &prack.body);
        if described && !our_offer {
            // Our answer has arrived.
            self.due = Due::Nothing;
            self.reliable.settled = true;
        }
        match body {
            // RFC 3262 §5: the answer to an offer in a reliable answer is due in its PRACK.
            Some(body) if described && our_offer => {
                self.due = Due::Nothing;
                self.reliable.settled = true;
                self.reliable.changed = true;
                self.respond(now, id, StatusCode::OK, None);
                self.event(CallEvent::Answer { body, early: true });
            }
            None if described && our_offer => {
                self.respond(now, id, StatusCode::OK, None);
                self.notice("a PRACK came without the answer it owes; the offer is made again");
            }
            // And one more offer may come in it, which the response to the PRACK answers.
            Some(body) if self.reliable.settled && self.due == Due::Nothing => {
                self.due = Due::OurAnswer(id);
                return self.event(CallEvent::Offer { body });
            }
            Some(_) => {
                self.respond(now, id, StatusCode::OK, None);
                self.notice("a session description in a PRACK that owes none was ignored");
            }
            None => self.respond(now, id, StatusCode::OK, None),
        }
        self.after_prack(now);
    }

    /// What waited for the PRACK is said now.
    pub(super) fn after_prack(&mut self, now: Instant) {
        if let Some(body) = self.reliable.answer.take() {
            return self.take_call(now, body);
        }
        if let (Ok(task), Some((status, body))) = (self.ringing_task(), self.reliable.next.take()) {
            self.give_progress(now, task, status, body);
        }
    }

    /// Whether the answer of this early dialog, or its offer, came in a provisional answer that we acknowledged.
    pub(super) fn took_reliably(&self, tag: &str) -> bool {
        self.early_offers.iter().any(|known| known == tag)
            || self
                .taken
                .iter()
                .any(|taken| taken.tag == tag && taken.answered)
    }

    fn send_prack(
        &mut self,
        now: Instant,
        tag: &str,
        rseq: u32,
        cseq: u32,
        answer: Option<Vec<u8>>,
    ) {
        let Some(dialog) = self.early.find_mut(tag) else {
            return;
        };
        let mut request = dialog.request(Method::Prack);
        let hop = dialog.next_hop().clone();
        request
            .headers
            .push(HeaderName::RAck, format!("{rseq} {cseq} INVITE"));
        self.name_ourselves(&mut request.headers);
        if let Some(answer) = answer {
            request.set_body("application/sdp", answer);
        }
        let purpose = Purpose::Prack {
            tag: tag.to_owned(),
            rseq,
        };
        self.send(now, purpose, request, &hop);
    }

    /// The answer came again although no PRACK for it is under way: it got lost beyond its repeats.
    fn acknowledge_repeat(&mut self, now: Instant, response: &Response, tag: &str, rseq: u32) {
        let ours = Purpose::Prack {
            tag: tag.to_owned(),
            rseq,
        };
        let under_way = self
            .clients
            .iter()
            .any(|task| task.purpose == ours && task.is_open());
        let user_thinks = matches!(&self.due, Due::OurAnswerInPrack { tag: due, .. } if due == tag);
        if let (false, false, Ok(cseq)) = (under_way, user_thinks, response.headers.cseq()) {
            self.send_prack(now, tag, rseq, cseq.number, None);
        }
    }

    pub(super) fn wants_reliable(&self, with_body: bool) -> bool {
        let Some(invite) = &self.invitation else {
            return false;
        };
        let required = names_option(&invite.headers, HeaderName::Require, OPTION);
        let supported = names_option(&invite.headers, HeaderName::Supported, OPTION);
        let ours = self
            .config
            .capabilities
            .supported
            .iter()
            .any(|tag| tag.eq_ignore_ascii_case(OPTION));
        ours && self.phase == Phase::Ringing && (required || (supported && with_body))
    }
}

/// The RSeq of a response that has to be acknowledged.
fn reliable_number(response: &Response) -> Option<u32> {
    if !names_option(&response.headers, HeaderName::Require, OPTION) {
        return None;
    }
    response.headers.get(HeaderName::RSeq)?.trim().parse().ok()
}

/// RSeq and CSeq number in the RAck of a PRACK (RFC 3262 §7.2).
fn acknowledged_by(headers: &Headers) -> Option<(u32, u32)> {
    let mut words = headers.get(HeaderName::RAck)?.split_ascii_whitespace();
    let rseq = words.next()?.parse().ok()?;
    let cseq = words.next()?.parse().ok()?;
    (words.next()? == "INVITE").then_some((rseq, cseq))
}

/// Whether this header names an option tag.
pub(super) fn names_option(headers: &Headers, name: HeaderName, option: &str) -> bool {
    let mut tags = headers.get_all(name).flat_map(|value| value.split(','));
    tags.any(|tag| tag.trim().eq_ignore_ascii_case(option))
}
