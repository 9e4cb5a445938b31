//! The SUBSCRIBE that makes a subscription (RFC 6665 §4.1.2.1).

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, NameAddr, Request, StatusCode};

use super::{Again, Subscription, SubscriptionEnd, SubscriptionEvent};
use crate::client::{Answered, ContactTemplate, Draft};
use crate::dispatch::OwnerKey;
use crate::errand::{Errand, ErrandEnd};
use crate::events::fault::answer_of;
use crate::events::{Fault, contact_template, outside_dialogs};
use crate::refresh::seconds;
use crate::timers::Timer;

impl Subscription {
    /// Begins a subscription that has nothing to do with any before it.
    pub(super) fn begin(&mut self, now: Instant) {
        if std::mem::replace(&mut self.key_used, true) {
            self.key = OwnerKey {
                call_id: self.tokens.call_id(),
                local_tag: self.tokens.tag(),
            };
            self.cseq = self.tokens.cseq();
            self.outbox
                .event(SubscriptionEvent::NewKey(self.key.clone()));
        }
        self.refresher.begin();
        self.granted = None;
        self.found = 0;
        self.last_over = None;
        self.first_notify_until = None;
        self.outbox.event(SubscriptionEvent::Trying);
        self.send_initial(now);
    }

    fn send_initial(&mut self, _now: Instant) {
        let config = &self.config;
        let request = outside_dialogs(
            Method::Subscribe,
            &config.target,
            &NameAddr::new(config.target.clone()),
            &config.from,
            &self.key,
            &config.route,
        );
        let next_hop = config.route.first().unwrap_or(&config.target).clone();
        let draft = self.dressed(request, self.refresher.asked());
        let id = self.next_question();
        self.initial = Some(Errand::resolving(id, &next_hop, draft, None));
        self.outbox.resolve(id, next_hop, self.config.transport);
    }

    /// What every SUBSCRIBE says, inside a dialog and outside.
    pub(super) fn dressed(&self, mut request: Request, expires: Duration) -> Draft {
        let config = &self.config;
        let headers = &mut request.headers;
        headers.push(HeaderName::Event, &config.event);
        headers.push(HeaderName::Expires, expires.as_secs());
        if !config.accept.is_empty() {
            headers.push(HeaderName::Accept, config.accept.join(", "));
        }
        if !config.user_agent.is_empty() {
            headers.push(HeaderName::UserAgent, config.user_agent.as_str());
        }
        if let Some((kind, body)) = config.filter.as_ref().filter(|_| !expires.is_zero()) {
            request.set_body(kind, body.clone());
        }
        let contact: Option<ContactTemplate> =
            contact_template(&mut request, &config.contact_user, config.contact.as_ref());
        Draft { request, contact }
    }

    pub(super) fn on_initial_end(&mut self, now: Instant, end: ErrandEnd) {
        match answer_of(end) {
            Ok(answered) if answered.response.status.is_success() => {
                self.on_accepted(now, &answered);
            }
            Ok(answered)
                if answered.response.status == StatusCode::INTERVAL_TOO_BRIEF
                    && self.wanted
                    && self.refresher.raise(&answered.response) =>
            {
                let seconds = self.refresher.asked().as_secs();
                self.notice(format!(
                    "the notifier wants at least {seconds} s, asking for that"
                ));
                self.send_initial(now);
            }
            Ok(answered) => self.on_refused(now, Fault::of_answer(&answered)),
            Err(fault) => self.on_refused(now, fault),
        }
    }

    /// RFC 6665 §4.1.2.1: a 2xx says that the request was understood; the state follows in a
    /// NOTIFY, which may have come already.
    fn on_accepted(&mut self, now: Instant, answered: &Answered) {
        let granted = seconds(&answered.response, HeaderName::Expires)
            .unwrap_or_else(|| self.refresher.asked());
        self.granted = Some(granted);
        let sent = now
            .checked_sub(answered.round_trip.unwrap_or_default())
            .unwrap_or(now);
        self.first_notify_until = Timer::N.length(&self.config.timers, true).map(|n| sent + n);
        for leg in &mut self.legs {
            leg.cseq = leg.cseq.max(self.cseq);
            if !leg.told_time {
                leg.refresher.granted(now, granted, &mut self.tokens);
            }
        }
        if !self.wanted {
            self.leave_all(now);
        }
    }

    fn on_refused(&mut self, now: Instant, fault: Fault) {
        // Whoever notified although the SUBSCRIBE failed is not kept.
        self.forget_legs(|_| true);
        if !self.wanted {
            self.finish_if_over(now);
        } else if self.is_poll() || fault.is_for_good() {
            self.end(SubscriptionEnd::Refused(fault));
        } else {
            let after = fault.retry_after();
            self.retry_later(now, fault, after);
        }
    }

    /// RFC 6665 §4.1.2.4: whoever has not notified by now never will.
    pub(super) fn on_timer_n(&mut self, now: Instant) {
        self.first_notify_until = None;
        let last = self.last_over.take();
        if self.found == 0 {
            self.over(now, Duration::ZERO, Fault::NoNotify, Again::Later(None));
        } else if !self.legs.is_empty() {
            // Whoever answered stands.
        } else if self.is_poll() {
            self.end(SubscriptionEnd::Polled);
        } else if let Some((lived, what, again)) = last {
            self.over(now, lived, what, again);
        } else {
            self.finish_if_over(now);
        }
    }
}
