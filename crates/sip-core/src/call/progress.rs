//! Provisional answers, heard and given.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Response, StatusCode};

use super::body::session_description;
use super::invite::to_tag;
use super::reliable::Order;
use super::task::TaskId;
use super::{Call, CallEvent, CallTimer, Due, Phase, WrongState};
use crate::dialog::Dialog;

/// How often a provisional answer is repeated, so that no proxy gives up (RFC 3261 §13.3.1.1).
const REPEAT: Duration = Duration::from_secs(60);
/// How many early answers are remembered: one for each fork that is kept.
const EARLY_LIMIT: usize = crate::dialog::DialogSet::LIMIT;

/// The answer that an early dialog gave.
pub(super) struct EarlyAnswer {
    pub(super) body: Vec<u8>,
    /// No other fork's answer was told after it.
    pub(super) told_last: bool,
}

impl Call {
    /// Says that it rings here: 180. A body is early media (an answer to the caller's offer).
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer.
    pub fn ring(&mut self, now: Instant, body: Option<Vec<u8>>) -> Result<(), WrongState> {
        self.progress(now, StatusCode::RINGING, body)
    }

    /// Gives a provisional answer from 101 to 199.
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer, [`WrongState::Status`] for another code,
    /// [`WrongState::NothingDue`] for a body that nobody waits for. Where the caller made no offer, the body is ours,
    /// and only for a caller that takes reliable provisional answers (RFC 3261 §13.2.1): its answer comes in the
    /// PRACK, as an early [`CallEvent::Answer`].
    pub fn progress(
        &mut self,
        now: Instant,
        status: StatusCode,
        body: Option<Vec<u8>>,
    ) -> Result<(), WrongState> {
        let task = self.ringing_task()?;
        if !(101..=199).contains(&status.code()) {
            return Err(WrongState::Status(status.code()));
        }
        let owed = match &self.due {
            Due::OurAnswer(owed) => *owed == task,
            Due::OurOffer(owed) => *owed == task && self.wants_reliable(true),
            _ => false,
        };
        if body.is_some() && !owed {
            return Err(WrongState::NothingDue);
        }
        self.out.begin_input();
        self.give_progress(now, task, status, body);
        self.settle(now);
        Ok(())
    }

    /// Gives a provisional answer, reliably where that is called for.
    pub(super) fn give_progress(
        &mut self,
        now: Instant,
        task: TaskId,
        status: StatusCode,
        body: Option<Vec<u8>>,
    ) {
        if let Some(body) = &body {
            self.described = Some(body.clone());
        }
        let reliable = self.give_reliably(now, task, status, body.as_ref());
        if let Some(response) = self.answer_to(task, status, body) {
            // What goes out again each minute needs no PRACK.
            self.provisional = Some(response.clone());
            self.deadlines
                .set(CallTimer::RepeatProvisional, now + REPEAT);
            if !reliable {
                self.respond_with(now, task, response);
            }
        }
    }

    /// The minute is over.
    pub(super) fn repeat_provisional(&mut self, now: Instant) {
        if let (Ok(task), Some(response)) = (self.ringing_task(), self.provisional.clone()) {
            self.deadlines
                .set(CallTimer::RepeatProvisional, now + REPEAT);
            self.respond_with(now, task, response);
        }
    }

    /// A 1xx to our INVITE.
    pub(super) fn on_provisional(&mut self, now: Instant, id: TaskId, response: &Response) {
        let tag = to_tag(response);
        if response.status == StatusCode::TRYING {
            // RFC 3261 §8.2.6.2: a 100 comes from the next hop and makes no dialog.
            if !tag.is_empty() {
                self.notice("a 100 with a To tag: the tag was ignored");
            }
            return;
        }
        if self.phase != Phase::Calling {
            return;
        }
        self.note_early_dialog(id, response, &tag);
        if response.status.code() == 199 {
            // RFC 6228: that fork has come to nothing; what it said early is no answer any more.
            self.early_answers.retain(|(known, _)| *known != tag);
        }
        match self.order_of(now, response, &tag) {
            Order::Ignore => {}
            Order::Next(rseq) => {
                self.tell_progress(response, &tag);
                self.on_reliable(now, id, response, tag, rseq);
            }
            Order::Unreliable => {
                self.tell_progress(response, &tag);
                let offered = self
                    .client(id)
                    .is_some_and(|task| !task.request.body.is_empty());
                let body = session_description(&response.headers, &response.body);
                if let (true, Some(body)) = (offered, body) {
                    self.note_early_answer(tag, body);
                }
            }
        }
    }

    /// Takes the answer that this early dialog gave.
    pub(super) fn take_early_answer(&mut self, tag: &str) -> Option<EarlyAnswer> {
        let answers = std::mem::take(&mut self.early_answers);
        let last = answers.last().map(|(last, _)| last.clone());
        let (_, body) = answers.into_iter().find(|(known, _)| known == tag)?;
        Some(EarlyAnswer {
            body,
            told_last: last.as_deref() == Some(tag),
        })
    }

    /// The INVITE that rings, if the call is in that phase.
    pub(super) fn ringing_task(&self) -> Result<TaskId, WrongState> {
        match (self.phase, self.ringing) {
            (Phase::Ringing, Some(task)) => Ok(task),
            (phase, _) => Err(WrongState::Phase(phase)),
        }
    }

    fn note_early_dialog(&mut self, id: TaskId, response: &Response, tag: &str) {
        if tag.is_empty() {
            return self.notice("a provisional answer without To tag makes no dialog");
        }
        if let Some(dialog) = self.early.find_mut(tag) {
            dialog.refresh_target(&response.headers);
            return;
        }
        if response.headers.get(HeaderName::Contact).is_none() {
            self.notice("a provisional answer without Contact");
        }
        let Some(task) = self.client(id) else { return };
        if let Some(dialog) = Dialog::from_response(&task.request, response)
            && !self.early.insert(dialog)
        {
            self.notice("more forks answer than are kept apart");
        }
    }

    fn tell_progress(&mut self, response: &Response, tag: &str) {
        let now_told = (response.status.code(), tag.to_owned());
        if self.told.as_ref() == Some(&now_told) {
            return;
        }
        self.told = Some(now_told);
        let dialog = self.early.find_mut(tag).map(|dialog| dialog.id().clone());
        self.event(CallEvent::Progress {
            status: response.status,
            reason: response.reason.as_str().into(),
            dialog,
        });
    }

    /// The first answer of an early dialog counts, what it says later does not (RFC 3261 §13.2.1).
    pub(super) fn note_early_answer(&mut self, tag: String, body: Vec<u8>) {
        match self.early_answers.iter().find(|(known, _)| *known == tag) {
            Some((_, first)) if *first != body => {
                self.notice("a later session description of the same early dialog was ignored");
            }
            Some(_) => {}
            None if self.early_answers.len() >= EARLY_LIMIT => {}
            None => {
                self.early_answers.push((tag, body.clone()));
                self.event(CallEvent::Answer { body, early: true });
            }
        }
    }
}
