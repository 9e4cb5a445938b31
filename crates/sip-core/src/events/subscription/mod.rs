//! One subscription of ours (RFC 6665 §4.1), from "tell me" to "tell me no more".
//!
//! ```text
//!            subscribe            2xx             NOTIFY (maybe before the 2xx)
//!    Off ────────────► Trying ──────► Accepted ─────────► Standing ─┐ refresh before
//!     ▲                 │  ▲            │ Timer N          │  │ ▲   │ the granted time
//!     │   489, 403 …    │  │            ▼                  │  │ └───┘
//!     │◄────────────────┘  └───────── Waiting ◄────────────┘  │ unsubscribe
//!     │                              back-off   481, expired, ▼
//!     └─────────────────────────────────── terminated ◄──── Leaving
//! ```
//!
//! A dialog is made by a NOTIFY and by nothing else (§4.4.1): one that overtakes the 2xx is
//! welcome, and each notifier that a forked SUBSCRIBE reached has its own, a *leg*. When all legs
//! are over and the subscription is still wanted, an unrelated one takes its place.

mod config;
mod initial;
mod leg;
mod notify;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use privacy::Sentence;
use sip_message::{Request, Response};

pub use config::{
    Forks, LegId, LegState, Notified, SubscriptionConfig, SubscriptionEnd, SubscriptionEvent,
};
use leg::Leg;

use super::Fault;
use super::answers::Answers;
use crate::auth::Authenticator;
use crate::client::ClientContext;
use crate::dispatch::OwnerKey;
use crate::errand::{Errand, ErrandOutput};
use crate::output::{Outbox, Output};
use crate::path::{Inbound, Path, ResolveError, ResolveId, TransportError};
use crate::refresh::{Backoff, Due, Refresher};
use crate::spacing::Spacing;
use crate::tokens::{Seed, Tokens};

/// One subscription. See the module's text for its states.
#[derive(Debug)]
pub struct Subscription {
    config: SubscriptionConfig,
    key: OwnerKey,
    /// Whether something was sent under the key.
    key_used: bool,
    authenticator: Authenticator,
    tokens: Tokens,
    /// CSeq of the SUBSCRIBEs outside the dialogs.
    cseq: u32,
    wanted: bool,
    /// Whether [`SubscriptionEvent::Ended`] is still to come.
    open: bool,
    /// The SUBSCRIBE that makes the subscription.
    initial: Option<Errand>,
    /// The time that the 2xx granted, for notifiers that name none.
    granted: Option<Duration>,
    /// Timer N: until then NOTIFYs may make dialogs though the SUBSCRIBE is answered.
    first_notify_until: Option<Instant>,
    /// Notifiers that the present SUBSCRIBE has found.
    found: usize,
    /// How the last leg ended while others may still come.
    last_over: Option<(Duration, Fault, Again)>,
    refresher: Refresher,
    /// Subscriptions in a row that ended soon after they began.
    quick_ends: u32,
    /// Refreshes for the sake of a state that is missing.
    missing: Spacing,
    legs: Vec<Leg>,
    leg_counter: u32,
    answers: Answers,
    refused_notifies: u64,
    resolve_counter: u64,
    outbox: Outbox<SubscriptionEvent>,
}

/// When to subscribe again after the last leg is over (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// At once, unless that happens too often.
    Now,
    /// After a while, not sooner than asked.
    Later(Option<Duration>),
    Never,
}

/// A subscription that ends sooner than this, twice in a row, is not made anew at once, so that a
/// notifier which accepts and ends is not asked in a tight loop.
const STABLE_AFTER: Duration = Duration::from_secs(30);

impl Subscription {
    /// A subscription that is off.
    pub fn new(config: SubscriptionConfig, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        Self {
            key: OwnerKey {
                call_id: tokens.call_id(),
                local_tag: tokens.tag(),
            },
            key_used: false,
            authenticator: Authenticator::at_home(config.credentials.clone(), config.home.clone()),
            cseq: tokens.cseq(),
            tokens,
            wanted: false,
            open: false,
            initial: None,
            granted: None,
            first_notify_until: None,
            found: 0,
            last_over: None,
            refresher: Refresher::new(config.expires, Backoff::default()),
            quick_ends: 0,
            missing: Spacing::default(),
            legs: Vec::new(),
            leg_counter: 0,
            answers: Answers::default(),
            refused_notifies: 0,
            resolve_counter: 0,
            outbox: Outbox::default(),
            config,
        }
    }

    /// Subscribes: now, also when a retry is still waiting or it was refused before. While it
    /// stands or is on its way it changes nothing.
    pub fn subscribe(&mut self, now: Instant) {
        self.outbox.begin_input();
        let leaving = !self.wanted && self.is_busy();
        self.wanted = true;
        self.open = true;
        self.refresher.forgive();
        self.quick_ends = 0;
        // What is being left is left first; its end begins anew.
        if !leaving && !self.is_busy() {
            self.begin(now);
        }
    }

    /// Ends it: each notifier is told, and its last NOTIFY awaited for Timer N.
    pub fn unsubscribe(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.wanted = false;
        self.refresher.stop();
        self.missing.stop();
        if self.initial.as_ref().is_some_and(Errand::is_unsent) {
            self.initial = None;
        }
        self.leave_all(now);
        self.finish_if_over(now);
    }

    /// Renews it now, or retries now, e.g. because the network changed.
    pub fn refresh(&mut self, now: Instant) {
        self.outbox.begin_input();
        if !self.wanted {
            return;
        }
        if !self.is_busy() {
            self.begin(now);
            return;
        }
        self.refresh_legs(now);
    }

    /// A state does not fit the one before, so all of it is asked for again, as the packages want it (RFC 4235 §3.10,
    /// RFC 4575 §4.3): at once, or further and further apart with a notifier whose states never fit. In how long it
    /// is asked for; nothing at all for at once.
    pub fn ask_anew(&mut self, now: Instant) -> Duration {
        self.outbox.begin_input();
        if !self.wanted || self.is_poll() {
            return Duration::ZERO;
        }
        let wait = self.missing.want(now);
        if wait.is_zero() {
            self.refresh_legs(now);
        }
        wait
    }

    fn refresh_legs(&mut self, now: Instant) {
        let legs: Vec<LegId> = self.legs.iter().map(|leg| leg.id).collect();
        for leg in legs {
            self.refresh_leg(now, leg);
        }
    }

    /// Takes the answer to a [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        self.outbox.begin_input();
        self.with_errands(now, |errand, context| {
            errand.handle_resolved(now, id, outcome.clone(), context)
        });
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.outbox.begin_input();
        self.with_errands(now, |errand, context| {
            errand.handle_response(now, response, inbound, context)
        });
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.outbox.begin_input();
        self.with_errands(now, |errand, context| {
            errand.handle_transport_error(now, branch, &error, context)
        });
    }

    /// Takes a request that is for [`Self::owner_key`]; all but NOTIFY are refused.
    pub fn handle_request(&mut self, now: Instant, request: &Request, inbound: &Inbound) {
        self.outbox.begin_input();
        self.on_request(now, request, inbound);
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.answers.handle_timeout(now);
        self.with_errands(now, |errand, context| {
            errand.handle_timeout(now, context);
            false
        });
        if self.first_notify_until.is_some_and(|until| until <= now) {
            self.on_timer_n(now);
        }
        while let Some(due) = self.refresher.pop_due(now) {
            match due {
                Due::Refresh | Due::Retry if self.wanted && !self.is_busy() => self.begin(now),
                Due::Refresh | Due::Retry | Due::Expiry => {}
            }
        }
        self.legs_due(now);
        if self.missing.pop_due(now) && self.wanted {
            self.refresh_legs(now);
        }
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<SubscriptionEvent> {
        let deadline = self
            .legs
            .iter()
            .filter_map(Leg::deadline)
            .chain(self.initial.as_ref().and_then(Errand::deadline))
            .chain(self.first_notify_until)
            .chain(self.refresher.deadline())
            .chain(self.missing.deadline())
            .chain(self.answers.deadline())
            .min();
        self.outbox.poll(deadline)
    }

    /// Under which responses and NOTIFYs find it, now. It changes with
    /// [`SubscriptionEvent::NewKey`].
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// Whether a notifier stands to it.
    pub fn is_standing(&self) -> bool {
        !self.legs.is_empty()
    }

    /// Requests that belonged to no leg and were refused without keeping anything of them.
    pub fn refused_notifies(&self) -> u64 {
        self.refused_notifies
    }

    /// Whether it is off and nothing runs any more.
    pub fn is_drained(&self) -> bool {
        !self.wanted && !self.open && !self.is_busy() && self.answers.is_empty()
    }

    fn is_poll(&self) -> bool {
        self.config.expires.is_zero()
    }

    /// Whether something stands, is on its way or is awaited.
    fn is_busy(&self) -> bool {
        self.initial.is_some() || self.first_notify_until.is_some() || !self.legs.is_empty()
    }

    /// Lets each errand act until one says that the input was its own, then does what they want.
    fn with_errands(
        &mut self,
        now: Instant,
        mut act: impl FnMut(&mut Errand, &mut ClientContext<'_>) -> bool,
    ) {
        let mut taken = false;
        if let Some(errand) = &mut self.initial {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            taken = act(errand, &mut context);
        }
        for leg in &mut self.legs {
            if taken {
                break;
            }
            if let Some((_, errand)) = &mut leg.errand {
                let mut context = ClientContext {
                    authenticator: &mut self.authenticator,
                    tokens: &mut self.tokens,
                    cseq: &mut leg.cseq,
                    timers: &self.config.timers,
                };
                taken = act(errand, &mut context);
            }
        }
        self.drain_errands(now);
    }

    fn drain_errands(&mut self, now: Instant) {
        while let Some(output) = self.initial.as_mut().and_then(Errand::poll_output) {
            match output {
                ErrandOutput::Transmit(transmit) => self.outbox.transmit(transmit),
                ErrandOutput::Notice(text) => self.notice(text),
                // Its owner begins anew with another login.
                ErrandOutput::LoginWanted(_) | ErrandOutput::LoginSettled { .. } => {}
                ErrandOutput::Done(end) => {
                    self.initial = None;
                    self.on_initial_end(now, end);
                }
            }
        }
        // Ends of errands may remove legs and start others.
        while let Some((leg, output)) = self.legs.iter_mut().find_map(|leg| {
            let (_, errand) = leg.errand.as_mut()?;
            errand.poll_output().map(|output| (leg.id, output))
        }) {
            match output {
                ErrandOutput::Transmit(transmit) => self.outbox.transmit(transmit),
                ErrandOutput::Notice(text) => self.notice(text),
                // Its owner begins anew with another login.
                ErrandOutput::LoginWanted(_) | ErrandOutput::LoginSettled { .. } => {}
                ErrandOutput::Done(end) => self.on_leg_errand_end(now, leg, end),
            }
        }
    }

    fn next_question(&mut self) -> ResolveId {
        self.resolve_counter += 1;
        ResolveId(self.resolve_counter)
    }

    fn notice(&mut self, text: impl Into<Sentence>) {
        self.outbox.event(SubscriptionEvent::Notice(text.into()));
    }

    /// The last leg is over, or none came to be.
    fn over(&mut self, now: Instant, lived: Duration, what: Fault, again: Again) {
        if !self.wanted {
            self.finish_if_over(now);
            return;
        }
        if self.is_poll() {
            self.end(SubscriptionEnd::Refused(what));
            return;
        }
        self.quick_ends = if lived < STABLE_AFTER {
            self.quick_ends.saturating_add(1)
        } else {
            self.refresher.forgive();
            0
        };
        match again {
            Again::Never => self.end(SubscriptionEnd::Refused(what)),
            Again::Now if self.quick_ends < 2 => {
                self.outbox.event(SubscriptionEvent::Failed {
                    what,
                    retry_in: Duration::ZERO,
                });
                self.begin(now);
            }
            Again::Now => {
                self.refresher.set_failures(self.quick_ends - 2);
                self.retry_later(now, what, None);
            }
            Again::Later(after) => self.retry_later(now, what, after),
        }
    }

    fn retry_later(&mut self, now: Instant, what: Fault, after: Option<Duration>) {
        let retry_in = self.refresher.failed(now, after, &mut self.tokens);
        self.outbox
            .event(SubscriptionEvent::Failed { what, retry_in });
    }

    /// Everything is over for good; tells so once.
    fn end(&mut self, end: SubscriptionEnd) {
        self.wanted = false;
        self.initial = None;
        self.first_notify_until = None;
        self.forget_legs(|_| true);
        self.refresher.stop();
        self.missing.stop();
        if std::mem::take(&mut self.open) {
            self.outbox.event(SubscriptionEvent::Ended(end));
        }
    }

    /// Something of it ended while it is not wanted: is that all?
    fn finish_if_over(&mut self, now: Instant) {
        if self.is_busy() {
            return;
        }
        if self.wanted {
            self.begin(now);
        } else {
            self.end(SubscriptionEnd::Unsubscribed);
        }
    }
}
