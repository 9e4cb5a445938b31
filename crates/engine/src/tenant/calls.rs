//! Calls and questions: begun, turned away, and ended for those who cannot.

use std::net::IpAddr;
use std::sync::Arc;

use model::{
    AccountId, CallId, CallState, CallView, Direction, Event, Failure, FailureKind, Outcome,
};
use ractor::{Actor, ActorRef};
use sip_message::StatusCode;

use super::{Dialled, TenantMsg, TenantState};
use crate::cards::Card;
use crate::dialog::{DialogActor, DialogArgs, DialogMsg, Start, is_from_server};
use crate::oneshot::{OneShotActor, OneShotArgs, Task};
use crate::request::RequestText;
use crate::transport::TransportMsg;
use crate::{dialog, own_headers, wall};

/// Calls of one tenant that are going on, theirs and ours: each has two sockets.
const LIVE_CALLS: usize = 256;
/// Those of them that came from an address that is none of its account's servers.
const LIVE_CALLS_OF_STRANGERS: usize = 128;
/// Calls of one account that may ring here at once; whoever comes after them hears busy.
const RINGING_CALLS: usize = 64;
/// The same of one address that is none of the account's servers: it does not keep the others out.
const RINGING_CALLS_OF_A_STRANGER: usize = 16;
/// The same of all such addresses together: the rest is for who calls by the account's servers.
const RINGING_CALLS_OF_STRANGERS: usize = 32;
/// Calls of one tenant with those that have ended and wait 64·T1 for repeats.
const CALLS: usize = 4_096;
/// Why a call is not begun.
const TOO_MANY: &str = "there are as many calls as this phone carries at a time";

impl TenantState {
    pub(super) fn tell(&self, call: CallId, message: DialogMsg) {
        if matches!(message, DialogMsg::Hold(true) | DialogMsg::Mute(true)) {
            self.shared.live.hush(call);
        }
        if let Some(leg) = self.calls.get(&call) {
            let _ = leg.cast(message);
        }
    }

    pub(super) async fn place_call(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        call: CallId,
        account: &AccountId,
        dialled: Dialled,
    ) {
        let Dialled {
            target: typed,
            headers,
            place,
            direction,
        } = dialled;
        let Some(entry) = self.accounts.get(account).filter(|_| !self.leaving) else {
            let failure = Failure::new(FailureKind::Internal {
                detail: "the account cannot be used".into(),
            });
            return self
                .shared
                .publish_still_call(&self.view.id, account, call, &typed, failure);
        };
        let headers = headers
            .iter()
            .map(|line| own_headers::parse_header(line.reveal()));
        let headers = match headers.collect() {
            Ok(headers) => headers,
            Err(error) => {
                let detail = error.sentence();
                let failure = Failure::new(FailureKind::BadHeader { detail });
                return self.shared.publish_still_call(
                    &self.view.id,
                    account,
                    call,
                    &typed,
                    failure,
                );
            }
        };
        match entry.spec.identity.target(typed.reveal()) {
            Ok(target) => {
                let start = Start::Outgoing {
                    target,
                    headers,
                    place: place.map(Box::new),
                    referral: None,
                    direction,
                };
                self.start_call(myself, call, account, start).await;
            }
            Err(detail) => {
                let failure = Failure::new(FailureKind::BadTarget { detail });
                self.shared
                    .publish_still_call(&self.view.id, account, call, &typed, failure);
            }
        }
    }

    pub(super) async fn start_call(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        id: CallId,
        account: &AccountId,
        start: Start,
    ) {
        let Some(entry) = self.accounts.get(account).filter(|_| !self.leaving) else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return self.turn_away(id, account, start, "the account is leaving", status);
        };
        let stranger = match &start {
            Start::Incoming { inbound, .. }
                if !is_from_server(inbound, &entry.spec.identity, &entry.facts) =>
            {
                Some(inbound.path.remote.ip())
            }
            _ => None,
        };
        if let Some(status) = self.too_many(account, &start, stranger) {
            return self.turn_away(id, account, start, TOO_MANY, status);
        }
        self.strangers
            .retain(|call, _| self.calls.contains_key(call));
        self.strangers.extend(stranger.map(|from| (id, from)));
        let Some(entry) = self.accounts.get(account) else {
            return;
        };
        let args = DialogArgs {
            shared: Arc::clone(&self.shared),
            tenant: myself.clone(),
            cards: self.kept.cards.clone(),
            tenant_id: self.view.id.clone(),
            account: account.clone(),
            settings: entry.spec.settings.clone(),
            identity: entry.spec.identity.clone(),
            passwords: entry.spec.passwords.clone(),
            facts: entry.facts.clone(),
            transport: self.transport.clone(),
            recorder: self.recorder.clone(),
            resolver: self.resolver.clone(),
            id,
            start,
        };
        match Actor::spawn_linked(None, DialogActor, args, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.calls.insert(id, actor);
            }
            Err(error) => self.note(
                "supervision",
                format!("call {id} could not be started: {error}"),
            ),
        }
    }

    /// What a caller hears when there is no room for one more call.
    pub(super) fn too_many(
        &self,
        account: &AccountId,
        start: &Start,
        stranger: Option<IpAddr>,
    ) -> Option<StatusCode> {
        let incoming = matches!(start, Start::Incoming { .. });
        let (live, full) = self.shared.hub.read(|state| {
            let ours = state
                .calls
                .iter()
                .filter(|c| c.tenant == self.view.id && c.state.is_live());
            let rings = |c: &&CallView| {
                c.account == *account && c.direction == Direction::Incoming && !c.state.is_up()
            };
            let ringing = ours.clone().filter(rings);
            let of_strangers = ringing
                .clone()
                .filter_map(|c| self.strangers.get(&c.id).copied());
            let of_this_one = of_strangers.clone().filter(|from| Some(*from) == stranger);
            let theirs = ours.clone().filter(|c| self.strangers.contains_key(&c.id));
            let full = ringing.count() >= RINGING_CALLS
                || stranger.is_some()
                    && (theirs.count() >= LIVE_CALLS_OF_STRANGERS
                        || of_strangers.count() >= RINGING_CALLS_OF_STRANGERS
                        || of_this_one.count() >= RINGING_CALLS_OF_A_STRANGER);
            (ours.count(), full)
        });
        if live >= LIVE_CALLS || self.calls.len() >= CALLS {
            Some(StatusCode::SERVICE_UNAVAILABLE)
        } else if incoming && full {
            Some(StatusCode::BUSY_HERE)
        } else {
            None
        }
    }

    /// A call that is not begun: the caller gets an answer, the user a reason.
    pub(super) fn turn_away(
        &self,
        id: CallId,
        account: &AccountId,
        start: Start,
        why: &str,
        status: StatusCode,
    ) {
        self.note("call", format!("a call was turned away: {why}"));
        match start {
            Start::Outgoing { target, .. } => {
                let failure = Failure::new(FailureKind::NotPossible { detail: why.into() });
                let target = target.to_string().into();
                self.shared
                    .publish_still_call(&self.view.id, account, id, &target, failure);
            }
            Start::Incoming {
                request, inbound, ..
            } => {
                let _ = self.transport.cast(TransportMsg::TurnAway {
                    request,
                    inbound,
                    line: status.into(),
                });
            }
        }
    }

    pub(super) async fn ask(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: AccountId,
        typed: model::Identity,
    ) {
        let Some(entry) = self.accounts.get(&account) else {
            return;
        };
        match entry.spec.identity.target(typed.reveal()) {
            Ok(target) => {
                let task = Task::Ask {
                    target,
                    typed,
                    question: None,
                };
                let args = self.one_shot_args(&account, task);
                self.start_one_shot(myself, args).await;
            }
            Err(detail) => self.shared.hub.publish(Event::OptionsAnswered {
                account,
                target: typed,
                status: None,
                round_trip_ms: None,
                allow: Vec::new(),
                server: None,
                failure: Some(Failure::new(FailureKind::BadTarget { detail })),
            }),
        }
    }

    /// Sends what somebody wrote, or says why not.
    pub(super) async fn send_request(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: AccountId,
        typed: model::Identity,
        request: RequestText,
    ) {
        let Some(entry) = self.accounts.get(&account) else {
            return;
        };
        let identity = &entry.spec.identity;
        let task = request
            .question(&identity.contact_user)
            .map_err(|detail| FailureKind::BadRequest {
                detail: detail.into(),
            })
            .and_then(|question| {
                let target = identity.target(typed.reveal());
                let target = target.map_err(|detail| FailureKind::BadTarget { detail })?;
                Ok(Task::Ask {
                    target,
                    typed: typed.clone(),
                    question: Some(Box::new(question)),
                })
            });
        match task {
            Ok(task) => {
                let args = self.one_shot_args(&account, task);
                self.start_one_shot(myself, args).await;
            }
            Err(what) => self.shared.hub.publish(Event::RequestAnswered {
                account,
                method: request.method,
                target: typed,
                answer: None,
                failure: Some(Failure::new(what)),
            }),
        }
    }

    pub(super) fn one_shot_args(&self, account: &AccountId, task: Task) -> Option<OneShotArgs> {
        let entry = self.accounts.get(account)?;
        Some(OneShotArgs {
            shared: Arc::clone(&self.shared),
            account: account.clone(),
            identity: entry.spec.identity.clone(),
            config: dialog::call_config(
                &self.shared,
                &entry.spec.identity,
                &entry.facts,
                &entry.spec.passwords,
            ),
            transport: self.transport.clone(),
            recorder: self.recorder.clone(),
            task,
        })
    }

    pub(super) async fn start_one_shot(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        args: Option<OneShotArgs>,
    ) {
        let Some(args) = args else { return };
        match Actor::spawn_linked(None, OneShotActor, args, myself.get_cell()).await {
            Ok((actor, _)) => self.one_shots.push(actor),
            Err(error) => self.note(
                "supervision",
                format!("a request could not be started: {error}"),
            ),
        }
    }

    /// Calls of a tenant that failed, whose place this one takes.
    pub(super) async fn end_what_was_left(&mut self, myself: &ActorRef<TenantMsg>) {
        for (id, card) in self.kept.cards.take_all() {
            let text = format!("call {id} went down with its tenant; the peer is told");
            self.note("supervision", text);
            self.say_goodbye(myself, card).await;
        }
    }

    pub(super) async fn say_goodbye(&mut self, myself: &ActorRef<TenantMsg>, card: Card) {
        let task = Task::Farewell { card: card.bye };
        let args = self.one_shot_args(&card.account, task);
        self.start_one_shot(myself, args).await;
    }

    /// The call ends as internal, and the peer is told from the card.
    pub(super) async fn on_dialog_failed(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        id: CallId,
        error: &str,
    ) {
        self.note(
            "supervision",
            format!("call {id} failed inside ({error}); the peer is told"),
        );
        self.shared.live.remove(id);
        self.shared.release_devices(id);
        self.on_parted(id);
        let view = self
            .shared
            .hub
            .read(|s| s.calls.iter().find(|c| c.id == id).cloned());
        if let Some(mut view) = view.filter(|v| v.state != CallState::Ended) {
            view.state = CallState::Ended;
            view.ended_at = Some(wall());
            view.failure = Some(Failure::new(FailureKind::Internal {
                detail: "the call's own actor".into(),
            }));
            self.shared.file(&view, Outcome::Failed, None);
            self.shared.hub.publish(Event::Call {
                call: Box::new(view),
            });
        }
        if let Some(card) = self.kept.cards.take(id) {
            self.say_goodbye(myself, card).await;
        }
    }
}
