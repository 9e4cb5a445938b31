//! The end of a call, and what is left of it.

use std::time::Instant;

use sip_message::StatusCode;

use super::modify::Reoffer;
use super::redirect::Redirection;
use super::reliable::Reliable;
use super::task::{Cancel, Purpose, TaskId};
use super::timer::Session;
use super::update::Again;
use super::{Call, CallEvent, CallTimer, Due, EndKind, EndReason, Phase};

/// After how many times 64·T1 a call that has ended is forgotten whatever a peer still does to keep it.
const FORGET_AFTER: u32 = 4;

impl Call {
    /// The one place where a call ends.
    pub(super) fn end(&mut self, now: Instant, kind: EndKind) {
        if self.phase == Phase::Ended {
            return;
        }
        self.forget_login();
        self.event(CallEvent::Ended(EndReason::new(kind)));
        self.phase = Phase::Ended;
        if let (Due::OurAnswerInAck { cseq, .. }, Some(dialog)) = (&self.due, self.dialog.clone()) {
            // Nobody answers the offer of the 2xx any more. It gets its ACK all the same.
            let cseq = *cseq;
            self.acknowledge(now, &dialog, cseq, None, false);
        }
        self.due = Due::Nothing;
        self.reoffer = Reoffer::default();
        self.reliable = Reliable::default();
        self.update_again = Again::default();
        self.session = Session::default();
        self.described = None;
        self.redirection = Redirection::default();
        self.ringing = None;
        self.provisional = None;
        self.deadlines.clear_all();
        let patience = self.config.timers.patience();
        self.deadlines
            .set(CallTimer::Forget, now + patience * FORGET_AFTER);
        self.transfers_after_end(now);
        self.answer_what_waits(now);
        for task in &mut self.clients {
            if task.is_invite() && task.is_open() && task.give_up_at.is_none() {
                task.give_up_at = Some(now + patience);
            }
        }
    }

    /// Requests that nobody answered yet get their answer.
    fn answer_what_waits(&mut self, now: Instant) {
        for id in self.server_ids() {
            let waits = self.server(id).is_some_and(|task| !task.has_final());
            if waits {
                // RFC 3261 §15.1.2.
                self.respond(now, id, StatusCode::REQUEST_TERMINATED, None);
            }
        }
    }

    /// Requests of ours for which no transaction keeps the time.
    pub(super) fn give_up_due(&mut self, now: Instant) {
        for id in self.client_ids() {
            let due = self
                .client(id)
                .is_some_and(|task| task.give_up_at.is_some_and(|at| at <= now));
            if due {
                self.give_up(now, id);
            }
        }
    }

    fn give_up(&mut self, now: Instant, id: TaskId) {
        let patience = self.config.timers.patience();
        let talking = self.phase == Phase::Talking;
        let Some(task) = self.client(id) else { return };
        task.give_up_at = None;
        match task.purpose {
            Purpose::Reinvite { refresh, .. } if talking && task.cancel == Cancel::No => {
                self.cancel(now, id);
                if let Some(task) = self.client(id) {
                    task.give_up_at = Some(now + patience);
                }
                if refresh {
                    self.refresh_later(now);
                } else {
                    self.event(CallEvent::ReofferFailed { status: None });
                }
            }
            // Its transaction may still take 2xx; without an answer it has none to wait for.
            _ => {
                if task.is_open() && task.is_invite() {
                    task.attempt = None;
                }
                self.finish(id);
            }
        }
    }

    /// Dialogs are kept as long as anything in them runs.
    pub(super) fn forget_finished(&mut self) {
        let quiet = self.clients.is_empty() && self.servers.is_empty() && self.unacked.is_empty();
        if quiet && self.transfers.is_empty() {
            self.forget_all();
        }
    }

    /// Time to forget the call, unless a transfer is reported still: each of these has an end of its own.
    pub(super) fn forget_in_time(&mut self, now: Instant) {
        if self.transfers.is_empty() {
            return self.forget_all();
        }
        let again = now + self.config.timers.patience() * FORGET_AFTER;
        self.deadlines.set(CallTimer::Forget, again);
    }

    pub(super) fn forget_all(&mut self) {
        self.clients.clear();
        self.servers.clear();
        self.unacked.clear();
        self.transfers.clear();
        self.early.clear();
        self.early_answers.clear();
        self.given_up.clear();
        self.taken.clear();
        self.early_offers.clear();
        self.dialog = None;
        self.bye_held = false;
        self.deadlines.clear_all();
    }
}
