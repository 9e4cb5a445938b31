//! A login that is asked for and not there: the request waits until a person gives one (RFC 3261 §22.2).

use std::time::Instant;

use sip_message::Response;

use super::task::{Purpose, TaskId};
use super::{Call, CallEvent, CallTimer, Phase, WrongState};
use crate::auth::{AuthError, Credentials};

/// The request, and what it was answered.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    task: TaskId,
    realm: String,
    response: Response,
}

impl Call {
    /// Gives the login that a request waits for since [`CallEvent::LoginWanted`]: the request goes on with it, and so
    /// do those that follow.
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] when none waits.
    pub fn login(&mut self, now: Instant, credentials: Credentials) -> Result<(), WrongState> {
        let Some(waiting) = self.login.take() else {
            return Err(WrongState::NothingDue);
        };
        self.out.begin_input();
        self.authenticator.add_credentials(credentials);
        if let Some(task) = self.client(waiting.task) {
            task.exchange.forgive(&waiting.realm);
        }
        self.go_on(now, *waiting);
        self.settle(now);
        Ok(())
    }

    /// Gives up waiting for a login: the request has failed by its challenge.
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] when none waits.
    pub fn give_up_login(&mut self, now: Instant) -> Result<(), WrongState> {
        if self.login.is_none() {
            return Err(WrongState::NothingDue);
        }
        self.out.begin_input();
        self.login_over(now);
        self.settle(now);
        Ok(())
    }

    /// Whether a challenge that cannot be answered is kept until a person answers it. One at a time.
    pub(super) fn waits_for_login(
        &mut self,
        now: Instant,
        id: TaskId,
        response: &Response,
        error: &AuthError,
    ) -> bool {
        let Some(wait) = self.config.login_wait else {
            return false;
        };
        // Whoever hangs up does not want to type, and a report is nothing to be typed for.
        let over = self.phase == Phase::Ended || self.login.is_some();
        let Some(task) = self.client(id).filter(|_| !over) else {
            return false;
        };
        let worth_it = matches!(
            task.purpose,
            Purpose::Invite
                | Purpose::Reinvite { refresh: false, .. }
                | Purpose::Update { refresh: false, .. }
                | Purpose::Refer { .. }
                | Purpose::Info
        );
        let address = task.attempt.as_ref().map(|a| a.destination.path().remote);
        let mut ask = || task.logins_asked.again(error, response.status, address);
        let Some(wanted) = worth_it.then(&mut ask).flatten() else {
            return false;
        };
        task.waits_for_login = true;
        // Nor is it any of the peer's time to answer.
        task.give_up_at = None;
        // The time to type is none of ringing.
        if task.purpose == Purpose::Invite {
            self.deadlines.clear(CallTimer::RingLimit);
        }
        self.deadlines.set(CallTimer::Login, now + wait);
        self.login = Some(Box::new(Waiting {
            task: id,
            realm: wanted.realm.clone(),
            response: response.clone(),
        }));
        self.event(CallEvent::LoginWanted(wanted));
        true
    }

    /// Nobody gave it in time.
    pub(super) fn login_over(&mut self, now: Instant) {
        let Some(waiting) = self.login.take() else {
            return;
        };
        if let Some(task) = self.client(waiting.task) {
            task.logins_asked.in_vain();
        }
        self.go_on(now, *waiting);
    }

    /// The call has ended, and nobody is asked any more.
    pub(super) fn forget_login(&mut self) {
        if let Some(waiting) = self.login.take() {
            self.finish(waiting.task);
            let realm = waiting.realm;
            self.event(CallEvent::LoginSettled { realm });
        }
    }

    /// What the challenge leads to, now that there is a login for it, or will be none.
    fn go_on(&mut self, now: Instant, waiting: Waiting) {
        let Waiting {
            task,
            realm,
            response,
        } = waiting;
        self.deadlines.clear(CallTimer::Login);
        let of_call = self
            .client(task)
            .is_some_and(|task| task.purpose == Purpose::Invite)
            && self.phase == Phase::Calling;
        if let Some(limit) = self.config.ring_limit.filter(|_| of_call) {
            self.deadlines.set(CallTimer::RingLimit, now + limit);
        }
        let of_change = self.client(task).is_some_and(|task| {
            task.waits_for_login = false;
            matches!(task.purpose, Purpose::Reinvite { .. })
        });
        if of_change {
            self.give_up_reinvite_later(now, task);
        }
        self.event(CallEvent::LoginSettled { realm });
        self.on_response(now, task, response);
    }
}
