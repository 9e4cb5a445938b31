//! ACK to a 2xx, both ways: it belongs to the dialog, not to a transaction (RFC 3261 §13).

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Request, Response};

use super::body::session_description;
use super::task::{Machine, Purpose, TaskId, Way};
use super::{Call, CallEvent, Due, EndKind, Owed, Phase};
use crate::dialog::Dialog;
use crate::path::Transmit;
use crate::timers::Timers;

/// So many repeats of a 2xx take 15 s with the default timers: an ACK that was lost now and then has come by then.
const MANY_REPEATS: u32 = 6;

/// A 2xx of ours that waits for its ACK and is repeated until then (RFC 3261 §13.3.1.4).
#[derive(Clone, Debug)]
pub(super) struct Unacked {
    /// Of the INVITE: the ACK has the same number.
    pub(super) cseq: u32,
    pub(super) task: TaskId,
    response: Response,
    interval: Duration,
    next_at: Instant,
    give_up_at: Instant,
    /// The 2xx holds our offer: the ACK has to bring the answer.
    answer_due: bool,
    /// It is the answer to the INVITE that makes the call.
    first: bool,
    /// The ACK to a later one came: it is repeated as ever, and no sign of a peer that is gone.
    overtaken: bool,
}

impl Unacked {
    pub(super) fn new(
        now: Instant,
        task: TaskId,
        cseq: u32,
        response: Response,
        timers: &Timers,
    ) -> Self {
        Self {
            cseq,
            task,
            response,
            interval: timers.t1,
            next_at: now + timers.t1,
            give_up_at: now + timers.patience(),
            answer_due: false,
            first: false,
            overtaken: false,
        }
    }

    pub(super) fn with_answer_due(self, answer_due: bool) -> Self {
        Self { answer_due, ..self }
    }

    pub(super) fn of_first_invite(self, first: bool) -> Self {
        Self { first, ..self }
    }

    /// Whether its ACK has to bring an answer.
    pub(super) fn owes_answer(&self) -> bool {
        self.answer_due
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next_at.min(self.give_up_at)
    }
}

impl Call {
    /// Sends the ACK to a 2xx that came in this dialog, and a BYE behind it where the fork is not wanted.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        dialog: &Dialog,
        cseq: u32,
        answer: Option<Vec<u8>>,
        then_bye: bool,
    ) {
        let mut ack = dialog.ack(cseq);
        // RFC 3261 §22.1: the ACK shows what its INVITE showed.
        for (name, value) in self.credentials_of_invite(cseq) {
            ack.headers.push(name, value);
        }
        if let Some(body) = answer {
            ack.headers.push(HeaderName::ContentType, "application/sdp");
            ack.body = body;
        }
        let tag = dialog.id().remote_tag.clone();
        let hop = dialog.next_hop().clone();
        let id = self.send(
            now,
            Purpose::Ack {
                cseq,
                tag,
                then_bye,
            },
            ack,
            &hop,
        );
        let until = now + self.config.timers.patience();
        if let Some(task) = self.client(id) {
            task.give_up_at = Some(until);
        }
    }

    /// The ACK has its path: out with it, and with the BYE that waits for it.
    pub(super) fn ack_ready(&mut self, now: Instant, id: TaskId) {
        self.transmit_ack(id);
        let Some(task) = self.client(id) else { return };
        let Purpose::Ack { tag, then_bye, .. } = &mut task.purpose else {
            return;
        };
        if std::mem::take(then_bye) {
            let tag = tag.clone();
            self.send_bye(now, &tag);
        }
    }

    /// A 2xx came again: the same ACK again (RFC 3261 §13.2.2.4). False when this 2xx is new.
    pub(super) fn acknowledge_again(&mut self, now: Instant, cseq: u32, tag: &str) -> bool {
        let due = Due::OurAnswerInAck {
            cseq,
            tag: tag.to_owned(),
        };
        if self.due == due {
            // Our user has not answered the offer in it yet.
            return true;
        }
        let known = self.clients.iter_mut().find(|task| {
            matches!(&task.purpose, Purpose::Ack { cseq: c, tag: t, .. } if *c == cseq && t == tag)
        });
        let Some(task) = known else { return false };
        let before = match self.said_again {
            Some((number, times, _)) if number == cseq => times,
            _ => 0,
        };
        self.said_again = Some((cseq, before.saturating_add(1), now));
        let (id, unsent) = (task.id, task.attempt.is_none());
        let pending = matches!(task.way, Way::Asked(_));
        match (unsent, pending) {
            (false, _) => self.transmit_ack(id),
            (true, true) => {}
            (true, false) => self.ask_again(now, id),
        }
        true
    }

    /// How often the peer has repeated its 2xx, where it does so until now and has for so long that its BYE means that
    /// no ACK of ours came: a callee sends none before that, or before the 64·T1 are over (RFC 3261 §15).
    pub(super) fn acks_missed(&self, now: Instant) -> Option<u32> {
        let (_, times, last) = self.said_again?;
        let timers = &self.config.timers;
        let goes_on = now.saturating_duration_since(last) <= timers.t2 + timers.t1;
        (goes_on && times >= MANY_REPEATS).then_some(times)
    }

    /// An ACK of the peer: to a refusal by its branch, or to a 2xx by its CSeq.
    pub(super) fn on_ack(&mut self, now: Instant, ack: &Request) {
        let key = crate::transaction::ServerKey::of(ack);
        let refused = self
            .servers
            .iter_mut()
            .find(|task| task.is_invite() && task.has_final() && Some(&task.key) == key.as_ref());
        match refused {
            // The transaction knows: it absorbs the ACK to a refusal and hands on the one to a 2xx.
            Some(task) => task.handle_request(now, ack),
            None => self.on_ack_of_success(now, ack),
        }
    }

    /// The ACK to one of our 2xx, told by its CSeq number (RFC 3261 §13.3.1.4).
    pub(super) fn on_ack_of_success(&mut self, now: Instant, ack: &Request) {
        let number = ack.headers.cseq().map(|cseq| cseq.number).ok();
        let index = self
            .unacked
            .iter()
            .position(|unacked| Some(unacked.cseq) == number);
        let (Some(index), true) = (index, self.ack_fits(ack)) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        let unacked = self.unacked.remove(index);
        // RFC 3261 §14.1: the peer sends no INVITE before its last one is over at its end. It is there, and may not wait for
        // the answers to those before this one: their ACKs went astray, as when it has moved meanwhile.
        for other in &mut self.unacked {
            other.overtaken |= other.cseq < unacked.cseq && !other.first && !other.answer_due;
        }
        if self.phase == Phase::Ended {
            return self.release_held_bye(now);
        }
        match (
            unacked.answer_due,
            session_description(&ack.headers, &ack.body),
        ) {
            (true, Some(body)) => {
                self.described = Some(unacked.response.body);
                self.event(CallEvent::Answer { body, early: false });
            }
            // RFC 3261 §13.2.1: the answer is due in this ACK.
            (true, None) if unacked.first => {
                self.leave(now);
                let owed = Owed::AnswerInAck;
                return self.end(now, EndKind::NoSessionDescription { owed });
            }
            // RFC 3261 §14.2: the session stays as it was, and our offer is as good as refused (RFC 3264 §8).
            (true, None) => {
                self.notice("an ACK came without the answer it owes; the session stays as it was");
                self.event(CallEvent::OfferUnanswered);
            }
            (false, Some(_)) => {
                self.notice("a session description in an ACK that owes none was ignored");
            }
            (false, None) => {}
        }
        if unacked.first {
            self.event(CallEvent::Established);
        }
    }

    /// Sends each 2xx again that is due: T1, doubling to T2, for 64·T1; then the call has failed.
    pub(super) fn repeat_unacked(&mut self, now: Instant) {
        let timers = self.config.timers;
        self.unacked
            .retain(|unacked| !unacked.overtaken || unacked.give_up_at > now);
        let lost = self.unacked.iter().any(|unacked| unacked.give_up_at <= now);
        if lost {
            self.unacked.clear();
            if self.phase == Phase::Ended {
                return self.release_held_bye(now);
            }
            // RFC 3261 §13.3.1.4: a BYE ends what was never acknowledged.
            self.leave(now);
            return self.end(now, EndKind::NotAcknowledged);
        }
        let mut again = Vec::new();
        for unacked in self
            .unacked
            .iter_mut()
            .filter(|unacked| unacked.next_at <= now)
        {
            again.push((unacked.task, unacked.response.clone()));
            unacked.interval = timers.doubled(unacked.interval);
            unacked.next_at = now + unacked.interval;
        }
        for (task, response) in again {
            self.respond_with(now, task, response);
        }
    }

    fn ack_fits(&mut self, ack: &Request) -> bool {
        let Some(dialog) = &self.dialog else {
            return false;
        };
        let from_tag = ack
            .headers
            .from()
            .ok()
            .and_then(|from| from.tag().map(str::to_owned));
        let to_tag = ack
            .headers
            .to()
            .ok()
            .and_then(|to| to.tag().map(str::to_owned));
        let same_call = ack.headers.get(HeaderName::CallId) == Some(dialog.id().call_id.as_str());
        if !same_call || from_tag.unwrap_or_default() != dialog.id().remote_tag {
            return false;
        }
        if to_tag.as_deref() != Some(dialog.id().local_tag.as_str()) {
            self.notice(
                "an ACK with a wrong To tag was taken, since Call-ID, From tag and CSeq fit",
            );
        }
        true
    }

    fn transmit_ack(&mut self, id: TaskId) {
        let Some(task) = self.clients.iter().find(|task| task.id == id) else {
            return;
        };
        if let Some(attempt) = &task.attempt
            && let Machine::Ack(bytes) = &attempt.machine
        {
            self.out.transmit(Transmit {
                for_size: task.is_for_size(attempt.destination),
                ..Transmit::new(attempt.destination, bytes.clone(), "ACK".to_owned())
            });
        }
    }

    fn credentials_of_invite(&self, cseq: u32) -> Vec<(HeaderName, String)> {
        let invite = self.clients.iter().find_map(|task| {
            match &task.attempt.as_ref()?.machine {
                Machine::Invite(machine) => Some(machine.request()),
                _ => None,
            }
            .filter(|request| request.headers.cseq().is_ok_and(|own| own.number == cseq))
        });
        let Some(invite) = invite else {
            return Vec::new();
        };
        [HeaderName::Authorization, HeaderName::ProxyAuthorization]
            .into_iter()
            .flat_map(|name| {
                let values = invite.headers.get_all(name.clone());
                values
                    .map(move |value| (name.clone(), value.to_owned()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}
