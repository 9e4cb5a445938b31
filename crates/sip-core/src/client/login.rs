//! A request that waits for a person to give the login it is asked for (RFC 3261 §22.2).

use std::time::{Duration, Instant};

use sip_message::{Response, StatusCode};

use super::{Attempt, ClientContext, ClientRequest, ClientRequestOutput};
use crate::auth::{AuthError, Credentials, LoginWanted};
use crate::path::Inbound;

/// A challenge that waits for a person.
#[derive(Debug)]
pub(super) struct Waiting {
    realm: String,
    response: Response,
    inbound: Inbound,
    pub(super) attempt: Attempt,
    pub(super) until: Instant,
}

/// How often a person is asked about one request.
const MOST_QUESTIONS: u8 = 3;

impl ClientRequest {
    /// The same, and where a login is missing or refused it waits so long for a person to give one.
    #[must_use]
    pub fn asking(mut self, wait: Option<Duration>) -> Self {
        self.login_wait = wait;
        self
    }

    /// Gives the login that it waits for, and goes on with it. Answers whether it waited for one.
    pub fn login(
        &mut self,
        now: Instant,
        credentials: Credentials,
        context: &mut ClientContext<'_>,
    ) -> bool {
        let Some(waiting) = self.waiting.take() else {
            return false;
        };
        context.authenticator.add_credentials(credentials);
        self.exchange.forgive(&waiting.realm);
        self.go_on(now, *waiting, context);
        true
    }

    /// Gives up waiting for a login. Answers whether it waited for one.
    pub fn give_up_login(&mut self, now: Instant, context: &mut ClientContext<'_>) -> bool {
        let Some(waiting) = self.waiting.take() else {
            return false;
        };
        self.logins_asked = MOST_QUESTIONS;
        self.go_on(now, *waiting, context);
        true
    }

    /// Nobody is asked any more; the attempt whose challenge waited, if one did.
    pub(super) fn stop_asking(&mut self) -> Option<Attempt> {
        let Waiting { realm, attempt, .. } = *self.waiting.take()?;
        self.outputs
            .push_back(ClientRequestOutput::LoginSettled { realm });
        Some(attempt)
    }

    /// What the challenge leads to, now that there is a login for it, or will be none.
    fn go_on(&mut self, now: Instant, waiting: Waiting, context: &mut ClientContext<'_>) {
        let Waiting {
            realm,
            response,
            inbound,
            attempt,
            ..
        } = waiting;
        self.outputs
            .push_back(ClientRequestOutput::LoginSettled { realm });
        self.on_final(now, response, inbound, attempt, context);
    }

    /// Whether a person is to be asked for the login that a challenge lacks.
    pub(super) fn may_ask(&self, error: &AuthError) -> bool {
        self.login_wait.is_some()
            && self.logins_asked < MOST_QUESTIONS
            && LoginWanted::of(error).is_some()
    }

    /// Keeps the challenge until a person has answered.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        error: &AuthError,
        response: Response,
        inbound: Inbound,
        attempt: Attempt,
    ) {
        let (Some(wait), Some(wanted)) = (self.login_wait, LoginWanted::of(error)) else {
            return;
        };
        self.logins_asked = self.logins_asked.saturating_add(1);
        let wanted = LoginWanted {
            proxy: response.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            address: Some(attempt.destination.path().remote),
            ..wanted
        };
        self.waiting = Some(Box::new(Waiting {
            realm: wanted.realm.clone(),
            response,
            inbound,
            attempt,
            until: now + wait,
        }));
        self.outputs
            .push_back(ClientRequestOutput::LoginWanted(wanted));
    }
}
