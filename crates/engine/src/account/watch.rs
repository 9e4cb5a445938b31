//! What an account knows of others, kept by an actor of its own: a fault in what strangers tell must not
//! cost the registration.

use model::{LampView, OwnPresence, Sentence, WaitingView};
use sip_message::StatusCode;

use super::*;
use crate::subscriptions::{SubscriptionsActor, SubscriptionsArgs, SubscriptionsMsg};
use crate::supervise::Budget;

/// How long it rests after a failure, doubled with each.
const REST: Duration = Duration::from_millis(500);

/// The actor that watches others, while the account wants one.
pub(super) struct Watch {
    actor: Option<ActorRef<SubscriptionsMsg>>,
    budget: Budget,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            actor: None,
            budget: Budget::account(),
        }
    }
}

/// What is known of others, and of ourselves at the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) waiting: Option<WaitingView>,
    pub(crate) waiting_sentence: Option<Sentence>,
    pub(crate) lamps: Vec<LampView>,
    pub(crate) presence: Option<OwnPresence>,
}

impl Watch {
    pub(super) fn is_running(&self) -> bool {
        self.actor.is_some()
    }

    /// How others are reached. `returned` says that the account could not be reached before.
    pub(super) fn on_facts(&self, facts: &AccountFacts, returned: bool) {
        self.cast(SubscriptionsMsg::Facts {
            facts: Box::new(facts.clone()),
            returned,
        });
    }

    pub(super) fn on_transport_replaced(&self, transport: &ActorRef<TransportMsg>) {
        self.cast(SubscriptionsMsg::TransportReplaced(transport.clone()));
    }

    #[cfg(test)]
    pub(super) fn crash(&self) {
        self.cast(SubscriptionsMsg::Crash);
    }

    fn cast(&self, message: SubscriptionsMsg) {
        if let Some(actor) = &self.actor {
            let _ = actor.cast(message);
        }
    }
}

impl AccountState {
    pub(super) async fn start_watching(&mut self, myself: &ActorRef<AccountMsg>) {
        let settings = &self.args.settings;
        let of_ours = settings.mwi || settings.reg_event || settings.publish_presence;
        let wanted = of_ours || !settings.watched.is_empty();
        if !wanted || self.leaving || self.watch.is_running() {
            return;
        }
        let args = SubscriptionsArgs {
            account: myself.clone(),
            of: self.args.clone(),
            presence: self.view.presence.clone().unwrap_or_default(),
        };
        match Actor::spawn_linked(None, SubscriptionsActor, args, myself.get_cell()).await {
            Ok((actor, _)) => self.watch.actor = Some(actor),
            Err(error) => return self.note(format!("watching others does not start: {error}")),
        }
        // Who signs in nowhere is reached as it is.
        let facts = match &self.told {
            None if !self.args.settings.register => Some(AccountFacts::default()),
            told => told.clone(),
        };
        if let Some(facts) = facts {
            self.watch.on_facts(&facts, true);
        }
    }

    pub(super) fn stop_watching(&self) {
        self.watch.cast(SubscriptionsMsg::Leave);
    }

    pub(super) fn on_watch_ended(&mut self, myself: &ActorRef<AccountMsg>, error: Option<String>) {
        if let Some(actor) = self.watch.actor.take() {
            let ended = TransportMsg::Release(actor.get_id());
            let _ = self.args.transport.cast(ended);
        }
        let Some(error) = error.filter(|_| !self.leaving) else {
            return;
        };
        if self.watch.budget.take(now()) {
            self.note(format!(
                "watching others failed inside ({error}) and is started again"
            ));
            let rest = REST * 2_u32.pow(self.watch.budget.taken().saturating_sub(1).min(6));
            myself.send_after(rest, || AccountMsg::WatchAgain);
        } else {
            self.note(format!(
                "watching others failed too often ({error}) and rests until new settings"
            ));
        }
    }

    pub(super) fn choose_presence(&mut self, state: PresenceState, note: Private) {
        if self.args.settings.publish_presence {
            self.watch.cast(SubscriptionsMsg::Presence(state, note));
        }
    }

    /// Word of waiting messages that nobody asked for: many servers send it to whoever registers.
    pub(super) fn on_told(&self, request: Box<Request>, inbound: Inbound) {
        let taken = self.args.settings.mwi && self.watch.is_running();
        if taken {
            let body = request.body.clone();
            self.watch.cast(SubscriptionsMsg::Waiting(body));
        }
        let status = if taken {
            StatusCode::OK
        } else {
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST
        };
        let _ = self.args.transport.cast(TransportMsg::TurnAway {
            request,
            inbound,
            line: status.into(),
        });
    }

    pub(super) fn on_seen(&mut self, seen: Seen) {
        let Seen {
            waiting,
            waiting_sentence,
            lamps,
            presence,
        } = seen;
        self.view.waiting = waiting;
        self.view.waiting_sentence = waiting_sentence;
        self.view.lamps = lamps;
        self.view.presence = presence;
        self.publish();
    }
}
