//! What is kept of requests under way, and who has room for how many.

use std::time::Instant;

use event_bodies::dialog_info::DialogState;
use sip_core::{Inbound, stateless};
use sip_message::{HeaderName, Request, Response, StatusCode};

use super::{Action, CONTEXT_BYTES, CONTEXTS, Exchange};
use crate::sources::{Charge, Full, Source, Wanted};

impl Exchange {
    /// Room for a request. Where strangers have had theirs, what is only there in case it is repeated
    /// makes way, the oldest first.
    pub(super) fn charge(
        &mut self,
        now: Instant,
        answer_to: &Inbound,
        octets: usize,
        is_invite: bool,
    ) -> Option<Charge> {
        loop {
            let wanted = Wanted {
                octets,
                is_invite,
                requests: (self.contexts.len(), CONTEXTS),
                all_octets: (self.held, CONTEXT_BYTES),
            };
            match self.sources.charge(now, Source::of(answer_to), wanted) {
                Ok(charge) => return Some(charge),
                Err(Full::Strangers) => {
                    let oldest = self.answered.pop_front()?;
                    self.forget(oldest);
                }
                Err(Full::Source | Full::All) => return None,
            }
        }
    }

    pub(super) fn remember_answered(&mut self, id: u64) {
        while let Some(first) = self.answered.front()
            && !self.contexts.contains_key(first)
        {
            self.answered.pop_front();
        }
        self.answered.push_back(id);
    }

    /// A refusal for want of room, which says when to come again (RFC 3261 §21.5.4).
    pub(super) fn no_room(&mut self, request: &Request) -> Response {
        self.tally.refused_full += 1;
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut response =
            stateless::respond_statelessly(request, status, &self.capabilities, &self.tokens);
        let later = self.secret.retry_after(request);
        response.headers.push(HeaderName::RetryAfter, later);
        response
    }

    pub(super) fn drain_context(&mut self, now: Instant, id: u64) {
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        self.actions
            .extend(context.poll(now).into_iter().map(Action::Send));
        // Another way may have been taken to a phone.
        for branch in context.branches() {
            if !self.by_branch.contains_key(branch) {
                self.by_branch.insert(branch.to_owned(), id);
            }
        }
        if let (Some(key), Some((status, tag))) = (&context.watched, context.progress.take()) {
            let state = match status.code() {
                100 => DialogState::Trying,
                101..=199 => DialogState::Early,
                200..=299 => DialogState::Confirmed,
                _ => DialogState::Terminated,
            };
            self.events.call_becomes(key, state, tag);
        }
        if let Some(at) = context.filed.take() {
            self.alarms.remove(&(at, id));
        }
        if context.is_over() {
            self.forget(id);
        } else if let Some(at) = context.deadline() {
            context.filed = Some(at);
            self.alarms.insert((at, id));
        }
    }

    /// Gives back all that a context took.
    fn forget(&mut self, id: u64) {
        let Some(context) = self.contexts.remove(&id) else {
            return;
        };
        if let Some(at) = context.filed {
            self.alarms.remove(&(at, id));
        }
        self.by_request.remove(&context.key);
        for branch in context.branches() {
            self.by_branch.remove(branch);
        }
        if let Some(charge) = context.charge {
            self.held = self.held.saturating_sub(charge.octets);
            self.sources.release(charge);
        }
    }
}
