//! A request that waits for a person to give the login it is asked for (RFC 3261 §22.2).

use std::time::{Duration, Instant};

use sip_message::Response;

use super::{
    Attempt, ClientContext, ClientRequest, ClientRequestOutput, RequestFailure, RequestResult,
};
use crate::auth::{AuthError, Credentials};
use crate::path::Inbound;

/// An attempt that was challenged.
#[derive(Debug)]
pub(super) struct Challenged {
    pub(super) response: Response,
    pub(super) inbound: Inbound,
    pub(super) attempt: Attempt,
}

/// A challenge that waits for a person.
#[derive(Debug)]
pub(super) struct Waiting {
    realm: String,
    challenged: Challenged,
    pub(super) until: Instant,
}

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
        self.logins_asked.in_vain();
        self.go_on(now, *waiting, context);
        true
    }

    /// Nobody is asked any more; the attempt whose challenge waited, if one did.
    pub(super) fn stop_asking(&mut self) -> Option<Attempt> {
        let Waiting {
            realm, challenged, ..
        } = *self.waiting.take()?;
        self.outputs
            .push_back(ClientRequestOutput::LoginSettled { realm });
        Some(challenged.attempt)
    }

    /// What the challenge leads to, now that there is a login for it, or will be none.
    fn go_on(&mut self, now: Instant, waiting: Waiting, context: &mut ClientContext<'_>) {
        let Waiting {
            realm, challenged, ..
        } = waiting;
        let Challenged {
            response,
            inbound,
            attempt,
        } = challenged;
        self.outputs
            .push_back(ClientRequestOutput::LoginSettled { realm });
        self.on_final(now, response, inbound, attempt, context);
    }

    /// Keeps a challenge that is not answered until a person has given what it lacks, where one can and may be asked.
    pub(super) fn ask_or_fail(&mut self, now: Instant, error: AuthError, challenged: Challenged) {
        let path = *challenged.attempt.destination.path();
        let status = challenged.response.status;
        let mut ask = || self.logins_asked.again(&error, status, Some(path.remote));
        let asked = self.login_wait.and_then(|wait| Some((wait, ask()?)));
        let Some((wait, wanted)) = asked else {
            return self.finish(RequestResult::Failed(RequestFailure::Auth {
                path,
                status,
                error,
            }));
        };
        self.waiting = Some(Box::new(Waiting {
            realm: wanted.realm.clone(),
            challenged,
            until: now + wait,
        }));
        self.outputs
            .push_back(ClientRequestOutput::LoginWanted(wanted));
    }
}
