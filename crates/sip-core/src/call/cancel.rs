//! CANCEL, both ways (RFC 3261 §9).

use std::time::Instant;

use sip_message::{HeaderName, Method, Request, Response, StatusCode};

use super::serve::reason_of;
use super::task::{Attempt, Cancel, ClientTask, Machine, Purpose, TaskId, Way};
use super::{Call, Due, EndKind, Phase};
use crate::auth::{Asked, Exchange};
use crate::path::Inbound;
use crate::transaction::{ClientNonInvite, ServerKey};

impl Call {
    /// Gives our INVITE up: at once where nothing was sent, by CANCEL after a provisional answer, else when one comes.
    pub(super) fn cancel_invite(&mut self, now: Instant) {
        let open = |task: &&ClientTask| task.purpose == Purpose::Invite && task.is_open();
        let Some(id) = self.clients.iter().find(open).map(|task| task.id) else {
            return;
        };
        self.cancel(now, id);
    }

    /// Gives one of our INVITEs up.
    pub(super) fn cancel(&mut self, now: Instant, id: TaskId) {
        let Some(task) = self.client(id) else { return };
        if task.cancel == Cancel::Sent {
            return;
        }
        match &task.attempt {
            // Nothing is on the wire.
            None => self.finish(id),
            Some(Attempt {
                machine: Machine::Invite(machine),
                ..
            }) if machine.is_proceeding() => {
                self.send_cancel(now, id);
            }
            // RFC 3261 §9.1: not before a provisional answer.
            Some(_) => task.cancel = Cancel::Held,
        }
    }

    /// A response to an INVITE that is to be cancelled.
    pub(super) fn cancel_if_held(&mut self, now: Instant, id: TaskId, response: &Response) {
        let held = self
            .client(id)
            .is_some_and(|task| task.cancel == Cancel::Held);
        if held && response.status.is_provisional() {
            self.send_cancel(now, id);
        }
    }

    /// The CANCEL has the Via, the URI and the Route of its INVITE and goes where that went.
    fn send_cancel(&mut self, now: Instant, id: TaskId) {
        let timers = self.config.timers;
        let cancel_id = self.next_task();
        let farewell = self.farewell.clone();
        let Some(task) = self.client(id) else { return };
        let hop = task.hop.clone();
        let Some(Attempt {
            branch,
            destination,
            machine: Machine::Invite(machine),
            ..
        }) = &task.attempt
        else {
            return;
        };
        let mut request = machine.cancel_request();
        if let Some(reason) = farewell {
            request.headers.push(HeaderName::Reason, reason);
        }
        let (branch, destination) = (branch.clone(), *destination);
        task.cancel = Cancel::Sent;
        // RFC 3261 §9.1: without a final answer 64·T1 after the CANCEL the INVITE counts as cancelled.
        task.give_up_at = Some(now + timers.patience());
        let reliable = destination.transport().is_reliable();
        let machine = ClientNonInvite::new(now, &request, &branch, reliable, &timers);
        self.clients.push(ClientTask {
            id: cancel_id,
            purpose: Purpose::Cancel,
            request,
            hop,
            way: Way::Known([].into()),
            attempt: Some(Attempt {
                branch,
                destination,
                machine: Machine::Other(Box::new(machine)),
                answered: false,
            }),
            past: Vec::new(),
            exchange: Exchange::default(),
            logins_asked: Asked::default(),
            waits_for_login: false,
            cancel: Cancel::No,
            give_up_at: None,
            too_large_for: None,
            lengthened: false,
            done: false,
        });
    }

    /// A CANCEL of the peer (RFC 3261 §9.2): always answered for itself; an INVITE that waits is refused with 487, one
    /// that was answered stays so.
    pub(super) fn on_cancel(&mut self, now: Instant, cancel: &Request, inbound: Inbound) {
        let Some(own_key) = ServerKey::of_cancel(cancel) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        if let Some(repeated) = self.servers.iter_mut().find(|task| task.key == own_key) {
            return repeated.handle_request(now, cancel);
        }
        let Some(id) = self.open_server(now, own_key, cancel, inbound) else {
            return;
        };
        let Some(invite) = self.cancelled_invite(cancel, &inbound) else {
            return self.respond(
                now,
                id,
                StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                None,
            );
        };
        self.respond(now, id, StatusCode::OK, None);
        let waits = self.server(invite).is_some_and(|task| !task.has_final());
        if !waits {
            return;
        }
        self.respond(now, invite, StatusCode::REQUEST_TERMINATED, None);
        if self.phase == Phase::Ringing {
            self.end(
                now,
                EndKind::Cancelled {
                    reason: reason_of(cancel),
                },
            );
        } else {
            self.due = Due::Nothing;
            self.notice("the peer took back its change of the session");
        }
    }

    /// The INVITE that a CANCEL means: by its key, or, where the peer drew another branch, the one that rings when
    /// Call-ID, From tag, CSeq number and the address it comes from are its own.
    fn cancelled_invite(&mut self, cancel: &Request, inbound: &Inbound) -> Option<TaskId> {
        let key = ServerKey::of(cancel)?;
        if let Some(task) = self
            .servers
            .iter()
            .find(|task| task.key == key && task.is_invite())
        {
            return Some(task.id);
        }
        let ringing = self.ringing_task().ok()?;
        let task = self.server(ringing)?;
        if task.inbound.path.remote.ip() != inbound.path.remote.ip() {
            return None;
        }
        let invite = &task.request;
        let tag = |request: &Request| {
            let from = request.headers.from().ok()?;
            from.tag().map(str::to_owned)
        };
        let number = |request: &Request| request.headers.cseq().ok().map(|cseq| cseq.number);
        let same = invite.headers.get(HeaderName::CallId) == cancel.headers.get(HeaderName::CallId)
            && tag(invite) == tag(cancel)
            && number(invite) == number(cancel)
            && cancel.method == Method::Cancel;
        if !same {
            return None;
        }
        self.notice("a CANCEL with another branch than its INVITE was taken, since all else fits");
        Some(ringing)
    }
}
