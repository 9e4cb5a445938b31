//! Ends of operations: what an answer, or none, leads to.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, StatusCode, Uri};

use super::answer::{self, Ours, mapped_address};
use super::{
    Binding, BoundContact, Operation, Purpose, Refusal, Registered, Registration,
    RegistrationEvent, Trouble,
};
use crate::auth::AuthError;
use crate::client::{Answered, RequestFailure};
use crate::path::Destination;
use crate::refresh::{is_for_good, retry_after, seconds};

/// The status with which a proxy says that it cannot keep to flows (RFC 5626 §11.6).
const FIRST_HOP_LACKS_OUTBOUND: u16 = 439;

impl Registration {
    pub(super) fn on_answer(&mut self, now: Instant, answered: &Answered) {
        let Some(Operation { purpose, .. }) = self.operation.take() else {
            return;
        };
        let status = answered.response.status;
        match purpose {
            Purpose::Fetch | Purpose::Remove => {
                if status.is_success() {
                    let bindings = self.listed(answered);
                    self.outbox.event(RegistrationEvent::Bindings(bindings));
                } else {
                    let phrase = &answered.response.reason;
                    let code = status.code();
                    let path = answered.path;
                    self.not_listed(format!("{code} {phrase}: {path}"));
                }
                self.after_aside(now);
            }
            Purpose::Unregister | Purpose::Clear => {
                if !status.is_success() {
                    let phrase = &answered.response.reason;
                    self.notice(format!(
                        "signing out was answered {} {phrase}",
                        status.code()
                    ));
                }
                self.on_gone(now);
            }
            Purpose::Register if status.is_success() => self.on_registered(now, answered),
            // RFC 3261 §10.2.8.
            Purpose::Register if status == StatusCode::INTERVAL_TOO_BRIEF => {
                self.on_interval_too_brief(now, answered);
            }
            // RFC 5626 §11.6: somebody on the way cannot keep to flows; then without.
            Purpose::Register
                if status.code() == FIRST_HOP_LACKS_OUTBOUND && self.reg_id().is_some() =>
            {
                self.notice("the first hop knows no outbound, going on without".to_owned());
                self.outbound_refused = true;
                if self.wanted {
                    self.register_soon(now);
                } else {
                    self.on_gone(now);
                }
            }
            Purpose::Register if is_for_good(status) => {
                self.on_refused(
                    now,
                    Refusal::Status {
                        status,
                        phrase: answered.response.reason.as_str().into(),
                        path: answered.path,
                    },
                );
            }
            Purpose::Register => {
                let what = Trouble::Status {
                    status,
                    phrase: answered.response.reason.as_str().into(),
                    path: answered.path,
                };
                self.on_trouble(now, what, retry_after(&answered.response));
            }
        }
    }

    pub(super) fn on_failure(&mut self, now: Instant, failure: RequestFailure) {
        match failure {
            RequestFailure::Auth {
                error: AuthError::Stale { .. } | AuthError::TooOften { .. },
                ..
            } => {
                self.on_trouble(now, Trouble::Request(failure), None);
            }
            RequestFailure::Auth {
                path,
                status,
                error,
            } => match self.operation.take().map(|operation| operation.purpose) {
                Some(Purpose::Unregister | Purpose::Clear) => self.on_gone(now),
                Some(Purpose::Fetch | Purpose::Remove) => {
                    self.not_listed(error.to_string());
                    self.after_aside(now);
                }
                _ => self.on_refused(
                    now,
                    Refusal::Auth {
                        error,
                        status,
                        path,
                    },
                ),
            },
            _ => self.on_trouble(now, Trouble::Request(failure), None),
        }
    }

    /// What waited for an operation that had nothing to do with our own binding.
    fn after_aside(&mut self, now: Instant) {
        if std::mem::take(&mut self.again) && self.wanted {
            self.register_soon(now);
        }
    }

    fn not_listed(&mut self, why: String) {
        self.outbox.event(RegistrationEvent::NotListed(why.into()));
    }

    fn listed(&self, answered: &Answered) -> Vec<BoundContact> {
        let contact = self.bound_contact.as_deref();
        let contact = contact.and_then(|contact| Uri::parse(contact).ok());
        let bound: Vec<Uri> = self
            .kin
            .bound
            .iter()
            .chain(&self.listed_as)
            .cloned()
            .collect();
        answer::bindings(
            &answered.response,
            self.ours(contact.as_ref(), self.outbound, &bound),
        )
    }

    /// By what the registrar can know our binding, which has this Contact.
    fn ours<'a>(&'a self, contact: Option<&'a Uri>, outbound: bool, bound: &'a [Uri]) -> Ours<'a> {
        Ours {
            contact,
            instance: self.config.instance_id.as_deref(),
            reg_id: self.reg_id(),
            user: &self.contact_user,
            flows: self.kin.flows,
            outbound,
            bound,
        }
    }

    pub(super) fn on_registered(&mut self, now: Instant, answered: &Answered) {
        let sent = answered.contact.as_deref().unwrap_or_default();
        let (contact, _) = answer::split_contact(sent);
        let outbound = self.reg_id().is_some() && answer::requires_outbound(&answered.response);
        let uri = Uri::parse(contact).ok();
        let ours = self.ours(uri.as_ref(), outbound, &self.kin.bound);
        let found = answer::own_binding(&answered.response, ours);
        if let Some(text) = found.notice {
            self.notice(text);
        }
        let granted = found.granted.unwrap_or(self.refresher.asked());
        if granted.is_zero() {
            self.binding = None;
            self.refresher.lapse();
            let what = Trouble::NothingGranted {
                path: answered.path,
            };
            self.on_trouble(now, what, None);
            return;
        }
        self.bound_contact = Some(contact.to_owned());
        self.listed_as = found.uri;
        self.outbound = outbound;
        self.binding = Some(Binding {
            flow: Some(answered.inbound.flow),
            path: answered.path,
            since: now,
        });
        let refresh_in = self.refresher.granted(now, granted, &mut self.tokens);
        let mapped = mapped_address(&answered.response);
        let [public_gruu, temporary_gruu] = found.gruus;
        self.outbox
            .event(RegistrationEvent::Registered(Box::new(Registered {
                granted,
                refresh_in,
                flow: answered.inbound.flow,
                path: answered.inbound.path,
                round_trip: answered.round_trip,
                mapped,
                contact: contact.into(),
                service_route: answer::values(&answered.response, HeaderName::ServiceRoute),
                realms: self.authenticator.realms().map(str::to_owned).collect(),
                weakest_login: self.authenticator.weakest(),
                associated: answer::values(&answered.response, HeaderName::PAssociatedUri),
                outbound,
                flow_timer: seconds(&answered.response, HeaderName::FlowTimer),
                public_gruu,
                temporary_gruu,
                other_bindings: found.others,
                bindings: found.bindings,
            })));
        if !self.wanted {
            self.begin(now, Purpose::Unregister);
            return;
        }
        if self.learn_mapping(answered, mapped) {
            self.register_soon(now);
        }
    }

    pub(super) fn on_interval_too_brief(&mut self, now: Instant, answered: &Answered) {
        if !self.refresher.raise(&answered.response) {
            self.on_refused(
                now,
                Refusal::IntervalTooBrief {
                    asked: self.refresher.asked(),
                    least: seconds(&answered.response, HeaderName::MinExpires),
                    path: answered.path,
                },
            );
            return;
        }
        self.notice(format!(
            "the registrar wants at least {} s, asking for that",
            self.refresher.asked().as_secs()
        ));
        if !self.wanted {
            self.on_gone(now);
            return;
        }
        let destination = Destination::Flow {
            id: answered.inbound.flow,
            path: answered.path,
        };
        self.send_to(now, Purpose::Register, vec![destination]);
    }

    pub(super) fn on_refused(&mut self, now: Instant, refusal: Refusal) {
        self.operation = None;
        self.binding = None;
        self.forget_contact();
        self.refresher.stop();
        if !self.wanted {
            self.on_gone(now);
            return;
        }
        self.wanted = false;
        self.again = false;
        self.outbox.event(RegistrationEvent::Refused(refusal));
    }

    pub(super) fn on_trouble(
        &mut self,
        now: Instant,
        what: Trouble,
        retry_after: Option<Duration>,
    ) {
        let purpose = self.operation.take().map(|operation| operation.purpose);
        if purpose.is_some_and(Purpose::is_aside) {
            self.not_listed(what.sentence());
            return self.after_aside(now);
        }
        let leaving = matches!(purpose, Some(Purpose::Unregister | Purpose::Clear));
        if !self.wanted || leaving {
            self.notice(format!("signing out: {}", what.sentence()));
            self.on_gone(now);
            return;
        }
        self.retry_later(now, what, retry_after);
    }

    pub(super) fn retry_later(
        &mut self,
        now: Instant,
        what: Trouble,
        retry_after: Option<Duration>,
    ) {
        let retry_in = self.refresher.failed(now, retry_after, &mut self.tokens);
        self.outbox
            .event(RegistrationEvent::Failed { what, retry_in });
    }

    /// The end of everything that was ours at the registrar.
    pub(super) fn on_gone(&mut self, now: Instant) {
        self.operation = None;
        self.binding = None;
        self.forget_contact();
        self.refresher.stop();
        self.outbox.event(RegistrationEvent::Unregistered);
        if self.wanted || self.again {
            self.again = false;
            self.register_soon(now);
        }
    }

    /// Nothing is bound for us any more.
    fn forget_contact(&mut self) {
        self.bound_contact = None;
        self.listed_as = None;
        self.outbound = false;
    }

    pub(super) fn notice(&mut self, text: String) {
        self.outbox.event(RegistrationEvent::Notice(text.into()));
    }
}
