//! What stands between us and one notifier: refreshed, left, over (RFC 6665 §4.1.2.2–4.1.2.3).

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, StatusCode};

use super::{Again, Forks, LegId, LegState, Subscription, SubscriptionEvent};
use crate::dialog::Dialog;
use crate::errand::{Errand, ErrandEnd};
use crate::events::Fault;
use crate::events::fault::answer_of;
use crate::path::Destination;
use crate::refresh::{Due, Refresher, seconds};
use crate::timers::Timer;

/// The subscription at one notifier.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) dialog: Dialog,
    /// CSeq of our requests in the dialog.
    pub(super) cseq: u32,
    /// CSeq of the last NOTIFY.
    pub(super) last_notify: u32,
    pub(super) state: LegState,
    /// Whether a NOTIFY has said how long it lasts; the 2xx does not count then.
    pub(super) told_time: bool,
    pub(super) refresher: Refresher,
    pub(super) errand: Option<(Purpose, Errand)>,
    /// The way on which the last SUBSCRIBE was answered.
    pub(super) way: Option<Destination>,
    /// Timer N: how long the last NOTIFY is awaited once we leave.
    pub(super) leave_until: Option<Instant>,
    pub(super) since: Instant,
}

/// What a SUBSCRIBE in the dialog is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Refresh,
    Leave,
}

impl Leg {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_errand = self.errand.as_ref().and_then(|(_, e)| e.deadline());
        [of_errand, self.leave_until, self.refresher.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_leaving(&self) -> bool {
        self.leave_until.is_some()
    }
}

impl Subscription {
    pub(super) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// Asks for another while, unless something is on its way already.
    pub(super) fn refresh_leg(&mut self, now: Instant, id: LegId) {
        let idle = |leg: &&mut Leg| leg.errand.is_none() && !leg.is_leaving();
        if let Some(leg) = self.leg_mut(id).filter(idle) {
            leg.refresher.begin();
            self.send_in_dialog(now, id, Purpose::Refresh);
        }
    }

    pub(super) fn leave_all(&mut self, now: Instant) {
        let legs: Vec<LegId> = self.legs.iter().map(|leg| leg.id).collect();
        for leg in legs {
            self.leave_leg(now, leg);
        }
    }

    /// RFC 6665 §4.1.2.3: an un-SUBSCRIBE, once what is on its way is answered.
    pub(super) fn leave_leg(&mut self, now: Instant, id: LegId) {
        let patience = Timer::N.length(&self.config.timers, true);
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.id == id) else {
            return;
        };
        let unsent = leg.errand.as_ref().is_some_and(|(_, e)| e.is_unsent());
        if leg.is_leaving() || (leg.errand.is_some() && !unsent) {
            return;
        }
        leg.refresher.stop();
        leg.leave_until = patience.map(|patience| now + patience);
        self.send_in_dialog(now, id, Purpose::Leave);
    }

    fn send_in_dialog(&mut self, _now: Instant, id: LegId, purpose: Purpose) {
        let question = self.next_question();
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        let expires = match purpose {
            Purpose::Refresh => leg.refresher.asked(),
            Purpose::Leave => Duration::ZERO,
        };
        let request = leg.dialog.request(Method::Subscribe);
        let (next_hop, way) = (leg.dialog.next_hop().clone(), leg.way);
        let draft = self.dressed(request, expires);
        if let Some(leg) = self.leg_mut(id) {
            leg.errand = Some((purpose, Errand::resolving(question, &next_hop, draft, way)));
        }
        self.outbox
            .resolve(question, next_hop, self.config.transport);
    }

    pub(super) fn on_leg_errand_end(&mut self, now: Instant, id: LegId, end: ErrandEnd) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.id == id) else {
            return;
        };
        let Some((purpose, _)) = leg.errand.take() else {
            return;
        };
        let outcome = match answer_of(end) {
            Ok(answered) => {
                leg.way = Some(Destination::Flow {
                    id: answered.inbound.flow,
                    path: answered.path,
                });
                let response = &answered.response;
                if response.status.is_success() {
                    leg.dialog.refresh_target(&response.headers);
                    Ok(seconds(response, HeaderName::Expires))
                } else if response.status == StatusCode::INTERVAL_TOO_BRIEF
                    && purpose == Purpose::Refresh
                    && leg.refresher.raise(response)
                {
                    if self.wanted {
                        self.send_in_dialog(now, id, Purpose::Refresh);
                    } else {
                        self.leave_leg(now, id);
                    }
                    return;
                } else {
                    Err(Fault::of_answer(&answered))
                }
            }
            Err(fault) => Err(fault),
        };
        match (purpose, outcome) {
            // The last NOTIFY is awaited (RFC 6665 §4.1.2.3).
            (Purpose::Leave, Ok(_)) => {}
            (Purpose::Leave, Err(fault)) => {
                self.notice(format!("unsubscribing: {}", fault.sentence().reveal()));
                self.leg_over(now, id, fault, Again::Never);
            }
            (Purpose::Refresh, _) if !self.wanted => self.leave_leg(now, id),
            (Purpose::Refresh, Ok(granted)) => {
                let granted = granted.unwrap_or_else(|| leg.refresher.asked());
                leg.refresher.granted(now, granted, &mut self.tokens);
                let (state, expires_in) = (leg.state, Some(granted));
                self.outbox.event(SubscriptionEvent::State {
                    leg: id,
                    state,
                    expires_in,
                });
            }
            // RFC 6665 §4.1.2.2, RFC 5057 §5.1: the notifier knows nothing of it any more.
            (Purpose::Refresh, Err(fault)) if ends_usage(&fault) => {
                self.leg_over(now, id, fault, Again::Now);
            }
            // RFC 6665 §4.1.2.2: anything else, and it stands until its time is over.
            (Purpose::Refresh, Err(fault)) => {
                let retry_in = leg
                    .refresher
                    .failed(now, fault.retry_after(), &mut self.tokens);
                self.notice(format!(
                    "renewing the subscription: {}; again in {} s",
                    fault.sentence().reveal(),
                    retry_in.as_secs()
                ));
            }
        }
    }

    pub(super) fn legs_due(&mut self, now: Instant) {
        let ids: Vec<LegId> = self.legs.iter().map(|leg| leg.id).collect();
        for id in ids {
            let Some(leg) = self.leg_mut(id) else {
                continue;
            };
            if leg.leave_until.is_some_and(|until| until <= now) {
                self.notice("the notifier sent no last notification".to_owned());
                self.leg_over(now, id, Fault::NoNotify, Again::Never);
                continue;
            }
            while let Some(due) = self.leg_mut(id).and_then(|leg| leg.refresher.pop_due(now)) {
                match due {
                    Due::Refresh | Due::Retry => self.refresh_leg(now, id),
                    Due::Expiry => self.leg_over(now, id, Fault::Expired, Again::Now),
                }
            }
        }
    }

    /// Forgets legs. A notifier that is heard of again has the same dialog, in which numbers only rise (RFC 3261
    /// §12.2.1.1): what a leg has counted is kept.
    pub(super) fn forget_legs(&mut self, gone: impl Fn(&Leg) -> bool) {
        let counted = self.legs.iter().filter(|leg| gone(leg));
        let highest = counted.map(|leg| leg.cseq).max().unwrap_or_default();
        self.cseq = self.cseq.max(highest);
        self.legs.retain(|leg| !gone(leg));
    }

    /// One leg is over. With the last one the whole is, or begins anew.
    pub(super) fn leg_over(&mut self, now: Instant, id: LegId, what: Fault, again: Again) {
        let Some(index) = self.legs.iter().position(|leg| leg.id == id) else {
            return;
        };
        let leg = self.legs.remove(index);
        self.cseq = self.cseq.max(leg.cseq);
        self.outbox.event(SubscriptionEvent::State {
            leg: id,
            state: LegState::Terminated,
            expires_in: None,
        });
        if !self.legs.is_empty() {
            return;
        }
        let lived = now.saturating_duration_since(leg.since);
        let awaited = self.initial.is_some() || self.first_notify_until.is_some();
        if self.config.forks == Forks::All && awaited {
            // Others may still answer; Timer N decides.
            self.last_over = Some((lived, what, again));
            return;
        }
        self.initial = None;
        self.first_notify_until = None;
        if leg.is_leaving() {
            self.finish_if_over(now);
        } else {
            self.over(now, lived, what, again);
        }
    }
}

/// Whether a refused refresh says that the subscription is gone: the statuses that RFC 5057 §5.1
/// lets end the dialog or the usage.
fn ends_usage(fault: &Fault) -> bool {
    fault.status().is_some_and(|status| {
        matches!(
            status.code(),
            404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 502 | 604
        )
    })
}
