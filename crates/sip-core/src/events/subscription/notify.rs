//! NOTIFYs of a subscription (RFC 6665 §4.1.3).

use std::time::{Duration, Instant};

use sip_message::{HeaderError, HeaderName, Method, Request, Response, StatusCode, Substate};

use super::leg::Leg;
use super::{
    Again, Forks, LegId, LegState, Notified, Subscription, SubscriptionEnd, SubscriptionEvent,
};
use crate::dialog::Dialog;
use crate::events::Fault;
use crate::events::answers::answer;
use crate::path::Inbound;
use crate::refresh::{Backoff, Refresher};
use crate::stateless::{self, StatusLine};

/// Notifiers of one subscription at most.
const MOST_LEGS: usize = 32;
/// A `retry-after` or `expires` that is no number is as if it were not there.
type Seconds = Option<u32>;

/// What Subscription-State says.
struct Said {
    state: LegState,
    expires: Seconds,
    reason: Option<String>,
    retry_after: Seconds,
}

impl Subscription {
    pub(super) fn on_request(&mut self, now: Instant, request: &Request, inbound: &Inbound) {
        if request.method == Method::Ack {
            return;
        }
        if let Some(again) = self.answers.repeated(request) {
            self.outbox.transmit(again);
            return;
        }
        match self.judge(request) {
            Ok((leg, said)) => self.on_notify(now, request, inbound, leg, said),
            Err(response) => {
                self.refused_notifies = self.refused_notifies.saturating_add(1);
                // Nothing is kept of it: a repeat is judged the same.
                self.outbox
                    .transmit(answer(request, inbound.destination(), &response));
            }
        }
    }

    /// Whether a NOTIFY is one of ours: of which leg, `None` when it makes one.
    fn judge(&self, request: &Request) -> Result<(Option<LegId>, Said), Box<Response>> {
        let refuse = |line: StatusLine| {
            let tag = Some(self.key.local_tag.as_str());
            Box::new(stateless::response(request, line, tag))
        };
        let gone = || refuse(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST.into());
        if request.method != Method::Notify {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED.into());
            response.headers.push(HeaderName::Allow, Method::Notify);
            return Err(response);
        }
        let headers = &request.headers;
        let malformed = |error: HeaderError| refuse((&error).into());
        let from = headers.from().map_err(malformed)?;
        let to = headers.to().map_err(malformed)?;
        let call_id = headers.call_id().map_err(malformed)?;
        let cseq = headers.cseq().map_err(malformed)?;
        if call_id != self.key.call_id || to.tag() != Some(self.key.local_tag.as_str()) {
            return Err(gone());
        }
        // Packages and ids are compared byte by byte (RFC 6665 §8.2.1).
        match headers.event() {
            Ok(event) if event.package != self.config.event.package => {
                return Err(refuse(StatusCode::BAD_EVENT.into()));
            }
            Ok(event) if event.id() != self.config.event.id() => return Err(gone()),
            Ok(_) => {}
            Err(_) => return Err(refuse(StatusCode::BAD_EVENT.into())),
        }
        let said = headers.subscription_state().map_err(malformed)?;
        // RFC 3261 §8.1.1.3: without it there is no dialog to tell from another.
        let Some(tag) = from.tag() else {
            return Err(refuse(StatusLine::bad_request("Missing From Tag")));
        };
        let leg = self
            .legs
            .iter()
            .find(|leg| leg.dialog.id().remote_tag == tag);
        match leg {
            None if !self.takes_another() => return Err(gone()),
            // RFC 3261 §12.2.2.
            Some(leg) if cseq.number < leg.last_notify => {
                return Err(refuse(StatusCode::SERVER_INTERNAL_ERROR.into()));
            }
            None | Some(_) => {}
        }
        self.judge_body(request, &refuse)?;
        Ok((
            leg.map(|leg| leg.id),
            Said {
                state: match said.state {
                    Substate::Terminated => LegState::Terminated,
                    Substate::Pending => LegState::Pending,
                    // RFC 6665 §4.1.3 lets states that we do not know be as active.
                    Substate::Active | Substate::Other(_) => LegState::Active,
                },
                expires: said.expires_s(),
                reason: said.reason().map(str::to_owned),
                retry_after: said.retry_after_s(),
            },
        ))
    }

    fn judge_body(
        &self,
        request: &Request,
        refuse: &impl Fn(StatusLine) -> Box<Response>,
    ) -> Result<(), Box<Response>> {
        if request.body.is_empty() {
            return Ok(());
        }
        if request.body.len() > self.config.largest_body {
            return Err(refuse(StatusCode::REQUEST_ENTITY_TOO_LARGE.into()));
        }
        let accept = &self.config.accept;
        let known = request.headers.content_type().is_ok_and(|kind| {
            accept.is_empty()
                || accept.iter().any(|accepted| {
                    sip_message::MediaType::parse(accepted)
                        .is_ok_and(|accepted| kind.is(&accepted.kind, &accepted.subtype))
                })
        });
        if known {
            return Ok(());
        }
        let mut response = refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE.into());
        response.headers.push(HeaderName::Accept, accept.join(", "));
        Err(response)
    }

    /// Whether a notifier not heard before is welcome: while the SUBSCRIBE is on its way or Timer N
    /// runs (RFC 6665 §4.1.2.4).
    fn takes_another(&self) -> bool {
        let sent = self
            .initial
            .as_ref()
            .is_some_and(|errand| !errand.is_unsent());
        let open = sent || self.first_notify_until.is_some();
        let room = match self.config.forks {
            Forks::First => self.found == 0,
            Forks::All => self.found < MOST_LEGS,
        };
        open && room
    }

    fn on_notify(
        &mut self,
        now: Instant,
        request: &Request,
        inbound: &Inbound,
        known: Option<LegId>,
        said: Said,
    ) {
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let mut ok = stateless::response(request, StatusCode::OK, Some(&self.key.local_tag));
        if !self.config.user_agent.is_empty() {
            ok.headers
                .push(HeaderName::Server, self.config.user_agent.as_str());
        }
        let transmit = self
            .answers
            .give(now, request, inbound, &ok, &self.config.timers);
        self.outbox.transmit(transmit);
        let id = match known {
            Some(id) => {
                let Some(leg) = self.leg_mut(id) else { return };
                // The same again by another way: answered, and not told twice.
                if leg.last_notify == number {
                    return;
                }
                leg.last_notify = number;
                leg.dialog.accept_cseq(number);
                // A NOTIFY is a target refresh (RFC 6665 §4.4.1).
                leg.dialog.refresh_target(&request.headers);
                id
            }
            None => match self.add_leg(now, request, number) {
                Some(id) => id,
                None => return,
            },
        };
        self.take_state(now, id, &said);
        self.outbox
            .event(SubscriptionEvent::Notified(Box::new(Notified {
                leg: id,
                state: said.state,
                content_type: request
                    .headers
                    .get(HeaderName::ContentType)
                    .filter(|_| !request.body.is_empty())
                    .map(str::to_owned),
                body: request.body.clone(),
            })));
        if self.is_poll() {
            self.on_polled(id);
        } else if said.state == LegState::Terminated {
            self.on_terminated(now, id, said);
        } else if !self.wanted {
            self.leave_leg(now, id);
        }
    }

    fn add_leg(&mut self, now: Instant, request: &Request, number: u32) -> Option<LegId> {
        let mut dialog =
            Dialog::from_request(request, &self.key.local_tag, self.cseq.saturating_add(1))?;
        dialog.confirm();
        self.found += 1;
        self.leg_counter = self.leg_counter.saturating_add(1);
        let id = LegId(self.leg_counter);
        let mut refresher = Refresher::new(self.refresher.asked(), Backoff::default());
        let granted = self.granted.unwrap_or_else(|| self.refresher.asked());
        refresher.granted(now, granted, &mut self.tokens);
        self.legs.push(Leg {
            id,
            dialog,
            cseq: self.cseq,
            last_notify: number,
            // Told as a change below, whatever the NOTIFY says.
            state: LegState::Terminated,
            told_time: false,
            refresher,
            errand: None,
            way: None,
            leave_until: None,
            since: now,
        });
        Some(id)
    }

    /// RFC 6665 §4.1.3: what the NOTIFY says of the time goes before what the 2xx said.
    fn take_state(&mut self, now: Instant, id: LegId, said: &Said) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.id == id) else {
            return;
        };
        if said.state == LegState::Terminated {
            return;
        }
        let expires = said.expires.map(|s| Duration::from_secs(u64::from(s)));
        if let Some(expires) = expires
            && leg.leave_until.is_none()
            && !self.config.expires.is_zero()
        {
            leg.told_time = true;
            // A refresh on its way settles the time itself.
            if leg.errand.is_none() {
                leg.refresher.granted(now, expires, &mut self.tokens);
            }
        }
        if leg.state != said.state {
            leg.state = said.state;
            let expires_in = leg
                .refresher
                .expires_at()
                .map(|at| at.saturating_duration_since(now));
            self.outbox.event(SubscriptionEvent::State {
                leg: id,
                state: said.state,
                expires_in,
            });
        }
    }

    /// RFC 6665 §4.4.3: one NOTIFY is the whole of it.
    fn on_polled(&mut self, id: LegId) {
        self.forget_legs(|leg| leg.id == id);
        if self.config.forks == Forks::First {
            let end = if self.wanted {
                SubscriptionEnd::Polled
            } else {
                SubscriptionEnd::Unsubscribed
            };
            self.end(end);
        }
    }

    /// RFC 6665 §4.1.3 on the reasons.
    fn on_terminated(&mut self, now: Instant, id: LegId, said: Said) {
        let after = said.retry_after.map(|s| Duration::from_secs(u64::from(s)));
        let again = match (said.reason.as_deref(), after) {
            (Some("rejected" | "noresource" | "invariant"), _) => Again::Never,
            (Some("deactivated" | "timeout"), _) => Again::Now,
            (Some("probation" | "giveup"), after) => Again::Later(after),
            (_, Some(after)) => Again::Later(Some(after)),
            (_, None) => Again::Now,
        };
        let what = Fault::Terminated {
            reason: said.reason.map(Into::into),
        };
        self.leg_over(now, id, what, again);
    }
}
