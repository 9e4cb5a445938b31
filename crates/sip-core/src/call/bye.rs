//! Hanging up, both ways (RFC 3261 §15).

use std::time::Instant;

use sip_message::{HeaderName, Headers, Method, Reason, Request, StatusCode};

use super::serve::reason_of;
use super::task::{Purpose, TaskId};
use super::{Call, Due, EndKind, Phase, WrongState};

impl Call {
    /// Ends the call in whatever state it is: CANCEL or BYE; a call that came in and waits is refused with 486 Busy
    /// Here. [`super::CallEvent::Ended`] comes at once, the farewell goes on in the background.
    ///
    /// # Errors
    /// [`WrongState::Phase`] when it has ended.
    pub fn hang_up(&mut self, now: Instant) -> Result<(), WrongState> {
        match self.phase {
            Phase::Ended => return Err(WrongState::Phase(Phase::Ended)),
            Phase::Ringing => return self.reject(now, StatusCode::BUSY_HERE),
            Phase::Calling => {
                self.out.begin_input();
                self.cancel_invite(now);
            }
            Phase::Talking => {
                self.out.begin_input();
                self.leave(now);
            }
        }
        self.end(now, EndKind::WeHungUp);
        self.settle(now);
        Ok(())
    }

    /// [`Call::hang_up`], and the CANCEL or BYE says why (RFC 3326), like 200 "Call completed elsewhere" for phones that
    /// ring beside the one that was taken.
    ///
    /// # Errors
    /// [`WrongState::Phase`] when it has ended.
    pub fn hang_up_because(&mut self, now: Instant, reason: Reason) -> Result<(), WrongState> {
        self.farewell = Some(reason);
        self.hang_up(now)
    }

    /// [`Call::leave`], and the BYE says why.
    pub(super) fn leave_because(&mut self, now: Instant, cause: u16, text: &str) {
        self.farewell = Some(Reason::new("SIP", cause, text));
        self.leave(now);
    }

    /// Ends the dialog of the call: BYE now, or as soon as the RFC allows it.
    pub(super) fn leave(&mut self, now: Instant) {
        let Some(dialog) = self.dialog.clone() else {
            return;
        };
        if let Due::OurAnswerInAck { cseq, .. } = std::mem::replace(&mut self.due, Due::Nothing) {
            // The peer waits for an answer to its offer. It gets its ACK, and the BYE behind it.
            return self.acknowledge(now, &dialog, cseq, None, true);
        }
        if !self.unacked.is_empty() {
            // RFC 3261 §15: the callee waits for the ACK, or until it will not come.
            self.bye_held = true;
            return;
        }
        let waiting = self.clients.iter_mut().find_map(|task| {
            let unsent = task.attempt.is_none() && !task.done;
            match &mut task.purpose {
                Purpose::Ack { then_bye, .. } if unsent => Some(then_bye),
                _ => None,
            }
        });
        match waiting {
            Some(then_bye) => *then_bye = true,
            None => self.send_bye(now, &dialog.id().remote_tag),
        }
    }

    /// The ACK came, or will not come.
    pub(super) fn release_held_bye(&mut self, now: Instant) {
        if !self.unacked.is_empty() || !std::mem::take(&mut self.bye_held) {
            return;
        }
        if let Some(tag) = self
            .dialog
            .as_ref()
            .map(|dialog| dialog.id().remote_tag.clone())
        {
            self.send_bye(now, &tag);
        }
    }

    /// Sends the BYE in the dialog with this tag of the peer.
    pub(super) fn send_bye(&mut self, now: Instant, tag: &str) {
        let ours = self
            .dialog
            .as_mut()
            .filter(|dialog| dialog.id().remote_tag == tag);
        let Some(dialog) = ours.or_else(|| self.early.find_mut(tag)) else {
            return;
        };
        let mut request = dialog.request(Method::Bye);
        let hop = dialog.next_hop().clone();
        self.name_ourselves(&mut request.headers);
        if let Some(reason) = &self.farewell {
            request.headers.push(HeaderName::Reason, reason);
        }
        self.send(now, Purpose::Bye, request, &hop);
    }

    /// A BYE of the peer.
    pub(super) fn on_bye(&mut self, now: Instant, id: TaskId, bye: &Request) {
        self.respond(now, id, StatusCode::OK, None);
        let reason = reason_of(bye);
        let ours = self
            .dialog
            .as_ref()
            .map(|dialog| dialog.id().remote_tag.clone());
        let from = bye.headers.from().ok();
        let tag = from
            .and_then(|from| from.tag().map(str::to_owned))
            .unwrap_or_default();
        if self.phase == Phase::Calling && ours.is_none() {
            // RFC 3261 §15 lets no callee end an early dialog so; its fork will not answer any more.
            self.early.take(&tag);
            return self.notice("a BYE in an early dialog: that fork is gone");
        }
        self.unacked.clear();
        self.bye_held = false;
        match self.phase {
            // RFC 3261 §15.1.2: what still waits is answered with 487, which end() does.
            Phase::Ringing => self.end(now, EndKind::Cancelled { reason }),
            Phase::Calling | Phase::Talking => {
                // Its own words say more, if it has any.
                let missed = self.acks_missed(now).filter(|_| reason.is_none());
                let kind = match missed {
                    Some(repeats) => EndKind::AckLost { repeats },
                    None => EndKind::PeerHungUp { reason },
                };
                self.end(now, kind);
            }
            Phase::Ended => {}
        }
    }

    /// User-Agent, where we have a name.
    pub(super) fn name_ourselves(&self, headers: &mut Headers) {
        let name = &self.config.capabilities.user_agent;
        if !name.is_empty() {
            headers.push(HeaderName::UserAgent, name.clone());
        }
    }
}
