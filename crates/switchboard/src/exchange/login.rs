//! Passwords: who may register, and who may call as whom (RFC 3261 §22).

use std::time::Instant;

use sip_core::auth::server::Verdict;
use sip_core::{Inbound, stateless};
use sip_message::{HeaderName, Request, StatusCode};

use super::{Action, Exchange, Fate};
use crate::config::Users;
use crate::location::Aor;
use crate::numbers::Number;
use crate::registrar;
use crate::sources::Source;

impl Exchange {
    /// §22.3: credentials for our realm are for us, and nobody behind us should see them.
    pub(super) fn take_own_credentials(&self, request: &mut Request) {
        let headers = &mut request.headers;
        if matches!(self.users, Users::Open) || !headers.has(HeaderName::ProxyAuthorization) {
            return;
        }
        let realm = format!("realm=\"{}\"", self.realm);
        let all = headers.get_all(HeaderName::ProxyAuthorization);
        let others = all.filter(|value| !value.contains(&realm));
        let others: Vec<String> = others.map(str::to_owned).collect();
        headers.remove(HeaderName::ProxyAuthorization);
        for value in others {
            headers.push(HeaderName::ProxyAuthorization, value);
        }
    }

    pub(super) fn register(&mut self, now: Instant, request: &Request, answer_to: Inbound) -> Fate {
        if !self.capabilities.unsupported(request).is_empty() {
            return self.answer(request, StatusCode::BAD_EXTENSION);
        }
        let aor = request.headers.to().ok().and_then(|to| Aor::of(&to.uri));
        let Some(aor) = aor else {
            return self.answer(request, StatusCode::BAD_REQUEST);
        };
        if let Users::List(_) = &self.users {
            let users = &self.users;
            match self.www.check(now, request, |user| users.password(user)) {
                Verdict::Accepted { username } if username == aor.user => {
                    self.believe(now, &answer_to);
                }
                Verdict::Accepted { .. } => return self.answer(request, StatusCode::FORBIDDEN),
                Verdict::Malformed => return self.answer(request, StatusCode::BAD_REQUEST),
                verdict => {
                    let stale = verdict == Verdict::Stale;
                    return self.ask_for_login(now, request, StatusCode::UNAUTHORIZED, stale);
                }
            }
        }
        // Who is not on a list could take any number, and what is dialled for a test would lead to a stranger.
        if matches!(self.users, Users::Open) && Number::dialled(&aor.user).is_some() {
            return self.answer(request, StatusCode::FORBIDDEN);
        }
        let tag = self.tokens.tag();
        let secret = &self.secret;
        let location = &mut self.location;
        let proven = answer_to.path.transport.is_reliable()
            || self.sources.is_proven(now, Source::of(&answer_to));
        let sender = (answer_to, proven);
        let done = registrar::register(now, request, sender, &aor, location, secret, &tag);
        self.actions.extend(done.change.map(Action::Log));
        match done.response.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                self.tally.refused_full += 1;
                return Fate::Refuse(Box::new(done.response));
            }
            status if status.is_success() && proven => self.believe(now, &answer_to),
            _ => {}
        }
        self.ask_who_is_there();
        Fate::Answer(Box::new(done.response))
    }

    /// With a list of users, calls need a login too.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        request: &Request,
        answer_to: &Inbound,
    ) -> Option<Fate> {
        if matches!(self.users, Users::Open) {
            return None;
        }
        let users = &self.users;
        match self.proxy.check(now, request, |user| users.password(user)) {
            Verdict::Accepted { username } => {
                self.believe(now, answer_to);
                if !may_call_as(&username, request) {
                    return Some(self.answer(request, StatusCode::FORBIDDEN));
                }
                self.login = Some(username);
                None
            }
            Verdict::Malformed => Some(self.answer(request, StatusCode::BAD_REQUEST)),
            verdict => {
                let stale = verdict == Verdict::Stale;
                let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
                Some(self.ask_for_login(now, request, status, stale))
            }
        }
    }

    /// A 401 or 407 with challenges, which leave nothing behind.
    pub(super) fn ask_for_login(
        &mut self,
        now: Instant,
        request: &Request,
        status: StatusCode,
        stale: bool,
    ) -> Fate {
        let mut response =
            stateless::respond_statelessly(request, status, &self.capabilities, &self.tokens);
        let verifier = if status == StatusCode::UNAUTHORIZED {
            &mut self.www
        } else {
            &mut self.proxy
        };
        let name = verifier.challenge_header();
        for value in verifier.challenge(now, stale) {
            response.headers.push(name.clone(), value);
        }
        Fate::Refuse(Box::new(response))
    }
}

/// Whether the user who logged in is the one that the request is said to be from, or nobody is said (RFC 3323 §4.1).
fn may_call_as(username: &str, request: &Request) -> bool {
    let Ok(from) = request.headers.from() else {
        return false;
    };
    let unnamed = from
        .uri
        .sip_host()
        .is_some_and(|host| host.to_string().eq_ignore_ascii_case("anonymous.invalid"));
    unnamed || Aor::of(&from.uri).is_some_and(|aor| aor.user == username)
}
