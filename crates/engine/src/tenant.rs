//! One organisation: the hard boundary. Almost no logic, so that it does not fail.
//!
//! It starts its transport, its recorder, its accounts and its calls, passes commands on by id, and
//! answers their failures as the supervision table of the crate's documentation says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{
    AccountId, AccountSettings, AccountView, CallId, CallState, CallView, Command, Direction,
    Event, Failure, FailureKind, Outcome, RegistrationState, TenantView,
};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use secrecy::SecretString;
use sip_core::{Inbound, TransportError};
use sip_message::{Request, StatusCode};

use crate::account::{AccountActor, AccountArgs, AccountFacts, AccountMsg};
use crate::cards::{Card, Cards};
use crate::dialog::{DialogActor, DialogArgs, DialogMsg, Start};
use crate::identity::Identity;
use crate::oneshot::{OneShotActor, OneShotArgs, OneShotMsg, Task};
use crate::recorder::{RecorderActor, RecorderArgs, RecorderMsg};
use crate::shared::{Service, Shared};
use crate::supervise::Budget;
use crate::transport::{KeptSockets, TransportActor, TransportArgs, TransportMsg};
use crate::wake::now;
use crate::{DRAINED, dialog, wall};

/// Calls of one tenant that are going on, theirs and ours: each has two sockets.
const LIVE_CALLS: usize = 256;
/// Calls of one account that may ring here at once; whoever comes after them hears busy.
const RINGING_CALLS: usize = 64;
/// Calls of one tenant with those that have ended and wait 64·T1 for repeats.
const CALLS: usize = 4_096;
/// Why a call is not begun.
const TOO_MANY: &str = "there are as many calls as this phone carries at a time";
/// How long a failed account rests before its first restart; doubled with each.
const ACCOUNT_REST: Duration = Duration::from_millis(500);
/// How long signing out may hold up new settings.
const SIGN_OUT: Duration = Duration::from_secs(2);
/// How long the last words of a tenant may take to leave its connections, and their answers to come.
const LINGER: Duration = Duration::from_millis(250);
/// How long goodbyes may take when the program ends.
const FAREWELL: Duration = Duration::from_secs(4);
/// The same where nobody is known to listen: no registration stands and no call.
const FAREWELL_TO_NOBODY: Duration = Duration::from_secs(1);

/// What a [`TenantActor`] can be told.
pub(crate) enum TenantMsg {
    /// A client's command about one of this tenant's accounts or calls.
    Command(Command),
    /// Make, or make anew, an account.
    PutAccount(Box<AccountSpec>),
    /// Start a call with a number that the phone has given out.
    PlaceCall {
        call: CallId,
        account: AccountId,
        target: String,
        headers: Vec<String>,
    },
    /// An INVITE reached one of the accounts.
    NewCall {
        account: AccountId,
        request: Box<Request>,
        inbound: Inbound,
        at: Instant,
    },
    /// Whether the transport can listen where an account wants.
    Listens {
        account: AccountId,
        bind: SocketAddr,
        result: Result<(), TransportError>,
    },
    /// An account learned something.
    AccountFacts {
        account: AccountId,
        facts: AccountFacts,
    },
    /// An account with new settings has had its time to sign out.
    StopAccount(ActorRef<AccountMsg>),
    /// A failed account has rested.
    RestartAccount(AccountId),
    /// The tenant's name or colour is different.
    Renamed { name: String, colour: u8 },
    /// Hang up, sign out, and end.
    Leave,
    /// Goodbyes have had their time.
    LeaveNow,
    /// Make a child fail, so that the answer can be seen.
    #[cfg(test)]
    Crash(Child),
}

/// A child that a test can make fail.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) enum Child {
    Transport,
    Account(AccountId),
    Dialog(CallId),
    Stream(CallId),
    Recorder,
    Tenant,
}

/// An account to be started.
#[derive(Clone)]
pub(crate) struct AccountSpec {
    pub(crate) id: AccountId,
    pub(crate) settings: AccountSettings,
    pub(crate) identity: Identity,
    pub(crate) password: Option<SecretString>,
}

/// Owns one organisation.
pub(crate) struct TenantActor;

/// What a [`TenantActor`] is started with.
#[derive(Clone)]
pub(crate) struct TenantArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) view: TenantView,
    pub(crate) accounts: Vec<AccountSpec>,
    pub(crate) kept: Kept,
}

/// What a tenant leaves to the one that takes its place when it fails.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    /// The goodbyes of its calls.
    pub(crate) cards: Cards,
    /// The ports that those calls name.
    pub(crate) sockets: KeptSockets,
}

pub(crate) struct TenantState {
    shared: Arc<Shared>,
    view: TenantView,
    recorder: Arc<Service<RecorderMsg>>,
    transport: ActorRef<TransportMsg>,
    kept: Kept,
    transport_budget: Budget,
    recorder_budget: Budget,
    accounts: HashMap<AccountId, Account>,
    calls: HashMap<CallId, ActorRef<DialogMsg>>,
    one_shots: Vec<ActorRef<OneShotMsg>>,
    leaving: bool,
    /// Set when all is said and only its arrival is waited for.
    lingering: bool,
}

struct Account {
    spec: AccountSpec,
    actor: Option<ActorRef<AccountMsg>>,
    facts: AccountFacts,
    budget: Budget,
    /// Set when it is to be forgotten once it has signed out.
    removed: bool,
    /// Settings that take over once the old registration has signed out.
    next: Option<Box<AccountSpec>>,
}

impl Actor for TenantActor {
    type Msg = TenantMsg;
    type State = TenantState;
    type Arguments = TenantArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let TenantArgs {
            shared,
            view,
            accounts,
            kept,
        } = args;
        shared.hub.publish(Event::Tenant {
            tenant: view.clone(),
        });
        let recorder_args = RecorderArgs {
            tenant: view.id.clone(),
            hub: Arc::clone(&shared.hub),
            dir: shared.trace_dir.clone(),
        };
        let recorder = Actor::spawn_linked(None, RecorderActor, recorder_args, myself.get_cell())
            .await?
            .0;
        let recorder = Arc::new(Service::new(recorder));
        let transport = start_transport(&myself, &shared, &recorder, &kept.sockets).await?;
        let mut state = TenantState {
            shared,
            view,
            recorder,
            transport,
            kept,
            transport_budget: Budget::service(),
            recorder_budget: Budget::service(),
            accounts: HashMap::new(),
            calls: HashMap::new(),
            one_shots: Vec::new(),
            leaving: false,
            lingering: false,
        };
        for spec in accounts {
            state.put_account(&myself, spec).await;
        }
        state.end_what_was_left(&myself).await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TenantMsg::Command(command) => state.on_command(&myself, command).await,
            TenantMsg::PutAccount(spec) => state.put_account(&myself, *spec).await,
            TenantMsg::PlaceCall {
                call,
                account,
                target,
                headers,
            } => {
                state
                    .place_call(&myself, call, &account, target, &headers)
                    .await;
            }
            TenantMsg::NewCall {
                account,
                request,
                inbound,
                at,
            } => {
                let call = state.shared.next_call();
                let start = Start::Incoming {
                    request,
                    inbound,
                    at,
                };
                state.start_call(&myself, call, &account, start).await;
            }
            TenantMsg::Listens {
                account,
                bind,
                result,
            } => {
                if let Err(error) = &result {
                    state.note("transport", format!("{bind} cannot be used: {error}"));
                }
                if let Some(actor) = state.account_actor(&account) {
                    let _ = actor.cast(AccountMsg::Listens(result));
                }
            }
            TenantMsg::AccountFacts { account, facts } => {
                if let Some(account) = state.accounts.get_mut(&account) {
                    account.facts = facts;
                }
            }
            // Ended long ago unless the registrar is silent.
            TenantMsg::StopAccount(actor) => actor.stop(Some(DRAINED.to_owned())),
            TenantMsg::RestartAccount(id) => state.start_account(&myself, &id).await,
            TenantMsg::Renamed { name, colour } => {
                state.view.name = name;
                state.view.colour = colour;
                state.shared.hub.publish(Event::Tenant {
                    tenant: state.view.clone(),
                });
            }
            TenantMsg::Leave => state.leave(&myself),
            TenantMsg::LeaveNow => myself.stop(Some(DRAINED.to_owned())),
            #[cfg(test)]
            TenantMsg::Crash(child) => state.crash(child),
        }
        state.stop_when_empty(&myself);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => {
                state
                    .on_child_ended(&myself, who.get_id(), Some(error.to_string()))
                    .await;
            }
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                let drained = reason.as_deref() == Some(DRAINED);
                let error = (!drained).then(|| reason.unwrap_or_else(|| "it ended".to_owned()));
                state.on_child_ended(&myself, who.get_id(), error).await;
            }
            _ => {}
        }
        state.stop_when_empty(&myself);
        Ok(())
    }
}

impl TenantState {
    async fn on_command(&mut self, myself: &ActorRef<TenantMsg>, command: Command) {
        match command {
            Command::Register { account } => {
                self.revive(myself).await;
                if let Some(entry) = self.accounts.get_mut(&account) {
                    entry.budget.refill();
                    match &entry.actor {
                        Some(actor) => drop(actor.cast(AccountMsg::Register)),
                        None => self.start_account(myself, &account).await,
                    }
                }
            }
            Command::Unregister { account } => {
                if let Some(actor) = self.account_actor(&account) {
                    let _ = actor.cast(AccountMsg::Unregister);
                }
            }
            Command::RemoveAccount { account } => self.remove_account(&account),
            Command::SendOptions { account, target } => self.ask(myself, account, target).await,
            Command::AnswerCall { call } => self.tell(call, DialogMsg::Answer),
            Command::RejectCall { call, code } => self.tell(call, DialogMsg::Reject(code)),
            Command::EndCall { call } => self.tell(call, DialogMsg::End),
            Command::HoldCall { call } => self.tell(call, DialogMsg::Hold(true)),
            Command::ResumeCall { call } => self.tell(call, DialogMsg::Hold(false)),
            Command::MuteCall { call, muted } => self.tell(call, DialogMsg::Mute(muted)),
            Command::SendDtmf { call, digits } => self.tell(call, DialogMsg::Digits(digits)),
            Command::DismissCall { call } => match self.calls.get(&call) {
                Some(leg) => drop(leg.cast(DialogMsg::Dismiss)),
                // Its actor is drained and gone; the view is all there is.
                None => self.shared.hub.publish(Event::CallRemoved { call }),
            },
            // The phone keeps the rest for itself.
            _ => {}
        }
    }

    /// A person asks for another try after the transport failed too often.
    async fn revive(&mut self, myself: &ActorRef<TenantMsg>) {
        if std::mem::take(&mut self.view.degraded) {
            self.transport_budget.refill();
            self.restart_transport(myself).await;
            self.shared.hub.publish(Event::Tenant {
                tenant: self.view.clone(),
            });
        }
    }

    fn tell(&self, call: CallId, message: DialogMsg) {
        if let Some(leg) = self.calls.get(&call) {
            let _ = leg.cast(message);
        }
    }

    fn account_actor(&self, id: &AccountId) -> Option<&ActorRef<AccountMsg>> {
        self.accounts
            .get(id)
            .and_then(|account| account.actor.as_ref())
    }

    /// A new account starts; an old one signs out first and then starts anew.
    async fn put_account(&mut self, myself: &ActorRef<TenantMsg>, spec: AccountSpec) {
        let id = spec.id.clone();
        match self.accounts.get_mut(&id) {
            Some(Account {
                actor: Some(actor),
                next,
                ..
            }) => {
                *next = Some(Box::new(spec));
                let _ = actor.cast(AccountMsg::Leave { shown: true });
                let old = actor.clone();
                myself.send_after(SIGN_OUT, move || TenantMsg::StopAccount(old));
            }
            _ => {
                let account = Account {
                    spec,
                    actor: None,
                    facts: AccountFacts::default(),
                    budget: Budget::account(),
                    removed: false,
                    next: None,
                };
                self.accounts.insert(id.clone(), account);
                self.start_account(myself, &id).await;
            }
        }
    }

    async fn start_account(&mut self, myself: &ActorRef<TenantMsg>, id: &AccountId) {
        let Some(account) = self.accounts.get_mut(id).filter(|a| a.actor.is_none()) else {
            return;
        };
        let args = AccountArgs {
            shared: Arc::clone(&self.shared),
            tenant: myself.clone(),
            tenant_id: self.view.id.clone(),
            id: id.clone(),
            settings: account.spec.settings.clone(),
            identity: account.spec.identity.clone(),
            password: account.spec.password.clone(),
            transport: self.transport.clone(),
            recorder: self.recorder.clone(),
        };
        match Actor::spawn_linked(None, AccountActor, args, myself.get_cell()).await {
            Ok((actor, _)) => account.actor = Some(actor),
            Err(error) => {
                let detail = error.to_string();
                self.show_degraded(id, &detail);
            }
        }
    }

    fn remove_account(&mut self, id: &AccountId) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.removed = true;
        match &account.actor {
            Some(actor) => drop(actor.cast(AccountMsg::Leave { shown: false })),
            None => drop(self.accounts.remove(id)),
        }
        self.shared.hub.publish(Event::AccountRemoved {
            account: id.clone(),
        });
    }

    async fn place_call(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        call: CallId,
        account: &AccountId,
        typed: String,
        headers: &[String],
    ) {
        let Some(entry) = self.accounts.get(account).filter(|_| !self.leaving) else {
            let failure = Failure::new(FailureKind::Internal {
                detail: "the account cannot be used".to_owned(),
            });
            return self
                .shared
                .publish_still_call(&self.view.id, account, call, &typed, failure);
        };
        let headers = headers
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        match entry.spec.identity.target(&typed) {
            Ok(target) => {
                self.start_call(myself, call, account, Start::Outgoing { target, headers })
                    .await;
            }
            Err(detail) => {
                let failure = Failure::new(FailureKind::BadTarget { detail });
                self.shared
                    .publish_still_call(&self.view.id, account, call, &typed, failure);
            }
        }
    }

    async fn start_call(
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
        if let Some(status) = self.too_many(account, &start) {
            return self.turn_away(id, account, start, TOO_MANY, status);
        }
        let args = DialogArgs {
            shared: Arc::clone(&self.shared),
            cards: self.kept.cards.clone(),
            tenant_id: self.view.id.clone(),
            account: account.clone(),
            settings: entry.spec.settings.clone(),
            identity: entry.spec.identity.clone(),
            password: entry.spec.password.clone(),
            facts: entry.facts.clone(),
            transport: self.transport.clone(),
            recorder: self.recorder.clone(),
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
    fn too_many(&self, account: &AccountId, start: &Start) -> Option<StatusCode> {
        let (live, ringing) = self.shared.hub.read(|state| {
            let ours = state
                .calls
                .iter()
                .filter(|c| c.tenant == self.view.id && c.state.is_live());
            let rings = |c: &&CallView| {
                c.account == *account && c.direction == Direction::Incoming && !c.state.is_up()
            };
            (ours.clone().count(), ours.filter(rings).count())
        });
        let incoming = matches!(start, Start::Incoming { .. });
        if live >= LIVE_CALLS || self.calls.len() >= CALLS {
            Some(StatusCode::SERVICE_UNAVAILABLE)
        } else if incoming && ringing >= RINGING_CALLS {
            Some(StatusCode::BUSY_HERE)
        } else {
            None
        }
    }

    /// A call that is not begun: the caller gets an answer, the user a reason.
    fn turn_away(
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
                let failure = Failure::new(FailureKind::NotPossible {
                    detail: why.to_owned(),
                });
                let target = target.to_string();
                self.shared
                    .publish_still_call(&self.view.id, account, id, &target, failure);
            }
            Start::Incoming {
                request, inbound, ..
            } => {
                let _ = self.transport.cast(TransportMsg::TurnAway {
                    request,
                    inbound,
                    status,
                });
            }
        }
    }

    async fn ask(&mut self, myself: &ActorRef<TenantMsg>, account: AccountId, typed: String) {
        let Some(entry) = self.accounts.get(&account) else {
            return;
        };
        match entry.spec.identity.target(&typed) {
            Ok(target) => {
                let args = self.one_shot_args(&account, Task::Ask { target, typed });
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

    fn one_shot_args(&self, account: &AccountId, task: Task) -> Option<OneShotArgs> {
        let entry = self.accounts.get(account)?;
        Some(OneShotArgs {
            shared: Arc::clone(&self.shared),
            account: account.clone(),
            identity: entry.spec.identity.clone(),
            config: dialog::call_config(
                &self.shared,
                &entry.spec.identity,
                &entry.facts,
                entry.spec.password.as_ref(),
            ),
            transport: self.transport.clone(),
            task,
        })
    }

    async fn start_one_shot(&mut self, myself: &ActorRef<TenantMsg>, args: Option<OneShotArgs>) {
        let Some(args) = args else { return };
        match Actor::spawn_linked(None, OneShotActor, args, myself.get_cell()).await {
            Ok((actor, _)) => self.one_shots.push(actor),
            Err(error) => self.note(
                "supervision",
                format!("a request could not be started: {error}"),
            ),
        }
    }

    /// A child ended; `error` is why when it was not drained. This is the supervision table.
    async fn on_child_ended(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        who: ActorId,
        error: Option<String>,
    ) {
        let _ = self.transport.cast(TransportMsg::Release(who));
        self.one_shots.retain(|actor| actor.get_id() != who);
        if let Some(id) = self
            .calls
            .iter()
            .find(|(_, leg)| leg.get_id() == who)
            .map(|(id, _)| *id)
        {
            if self.calls.remove(&id).is_some()
                && let Some(error) = error
            {
                self.on_dialog_failed(myself, id, &error).await;
            } else {
                self.kept.cards.put(id, None);
            }
            return;
        }
        let account = self
            .accounts
            .iter()
            .find(|(_, a)| a.actor.as_ref().is_some_and(|a| a.get_id() == who));
        if let Some(id) = account.map(|(id, _)| id.clone()) {
            return self.on_account_ended(myself, &id, error).await;
        }
        if who == self.transport.get_id() {
            return self
                .on_transport_failed(myself, &error.unwrap_or_default())
                .await;
        }
        if who == self.recorder.id() && !self.leaving {
            let error = error.unwrap_or_default();
            return self.restart_recorder(myself, &error).await;
        }
    }

    /// Calls of a tenant that failed, whose place this one takes.
    async fn end_what_was_left(&mut self, myself: &ActorRef<TenantMsg>) {
        for (id, card) in self.kept.cards.take_all() {
            let text = format!("call {id} went down with its tenant; the peer is told");
            self.note("supervision", text);
            self.say_goodbye(myself, card).await;
        }
    }

    async fn say_goodbye(&mut self, myself: &ActorRef<TenantMsg>, card: Card) {
        let task = Task::Farewell { card: card.bye };
        let args = self.one_shot_args(&card.account, task);
        self.start_one_shot(myself, args).await;
    }

    /// The call ends as internal, and the peer is told from the card.
    async fn on_dialog_failed(&mut self, myself: &ActorRef<TenantMsg>, id: CallId, error: &str) {
        self.note(
            "supervision",
            format!("call {id} failed inside ({error}); the peer is told"),
        );
        self.shared.live.remove(id);
        self.shared.release_devices(id);
        let view = self
            .shared
            .hub
            .read(|s| s.calls.iter().find(|c| c.id == id).cloned());
        if let Some(mut view) = view.filter(|v| v.state != CallState::Ended) {
            view.state = CallState::Ended;
            view.ended_at = Some(wall());
            view.failure = Some(Failure::new(FailureKind::Internal {
                detail: "the call's own actor".to_owned(),
            }));
            self.shared.file(&view, Outcome::Failed);
            self.shared.hub.publish(Event::Call {
                call: Box::new(view),
            });
        }
        if let Some(card) = self.kept.cards.take(id) {
            self.say_goodbye(myself, card).await;
        }
    }

    async fn on_account_ended(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        id: &AccountId,
        error: Option<String>,
    ) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.actor = None;
        if account.removed {
            self.accounts.remove(id);
            return;
        }
        if let Some(next) = account.next.take() {
            account.spec = *next;
            account.facts = AccountFacts::default();
            return self.start_account(myself, id).await;
        }
        let Some(error) = error.filter(|_| !self.leaving) else {
            return;
        };
        if account.budget.take(now()) {
            // Spread by the name, so that accounts that failed together do not return together.
            let spread =
                Duration::from_millis(id.as_str().bytes().map(u64::from).sum::<u64>() % 250);
            let rest =
                ACCOUNT_REST * 2_u32.pow(account.budget.taken().saturating_sub(1).min(6)) + spread;
            self.note(
                "supervision",
                format!("account {id} failed inside ({error}) and is started again"),
            );
            let again = id.clone();
            myself.send_after(rest, move || TenantMsg::RestartAccount(again));
        } else {
            self.show_degraded(id, &error);
        }
    }

    fn show_degraded(&self, id: &AccountId, error: &str) {
        self.note(
            "supervision",
            format!("account {id} failed too often ({error}) and rests until you retry"),
        );
        let Some(account) = self.accounts.get(id) else {
            return;
        };
        let failure = Failure::new(FailureKind::Internal {
            detail: "the account's own actor".to_owned(),
        })
        .registering();
        let view = AccountView {
            id: id.clone(),
            tenant: self.view.id.clone(),
            settings: account.spec.settings.clone(),
            state: RegistrationState::Degraded,
            since: wall(),
            expires_at: None,
            retry_at: None,
            target: None,
            mapped: None,
            round_trip_ms: None,
            failure: Some(failure),
        };
        self.shared.hub.publish(Event::Account {
            account: Box::new(view),
        });
    }

    /// Accounts go offline and sign in again on the new transport; calls keep their dialogs.
    async fn on_transport_failed(&mut self, myself: &ActorRef<TenantMsg>, error: &str) {
        if self.leaving {
            return;
        }
        self.note("supervision", format!("the transport failed ({error})"));
        if !self.transport_budget.take(now()) {
            self.view.degraded = true;
            self.shared.hub.publish(Event::Tenant {
                tenant: self.view.clone(),
            });
            self.note(
                "supervision",
                "the transport failed too often; this tenant is offline until you sign in"
                    .to_owned(),
            );
            for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
                let _ = actor.cast(AccountMsg::TransportLost);
            }
            return;
        }
        self.restart_transport(myself).await;
    }

    async fn restart_transport(&mut self, myself: &ActorRef<TenantMsg>) {
        match start_transport(myself, &self.shared, &self.recorder, &self.kept.sockets).await {
            Ok(transport) => {
                self.transport = transport;
                for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
                    let _ = actor.cast(AccountMsg::TransportReplaced(self.transport.clone()));
                }
                for leg in self.calls.values() {
                    let _ = leg.cast(DialogMsg::TransportReplaced(self.transport.clone()));
                }
                for actor in &self.one_shots {
                    let _ = actor.cast(OneShotMsg::TransportReplaced(self.transport.clone()));
                }
                self.note(
                    "supervision",
                    "the transport is back; accounts sign in again".to_owned(),
                );
            }
            Err(error) => self.note(
                "supervision",
                format!("the transport does not start: {error}"),
            ),
        }
    }

    async fn restart_recorder(&mut self, myself: &ActorRef<TenantMsg>, error: &str) {
        if !self.recorder_budget.take(now()) {
            return;
        }
        let args = RecorderArgs {
            tenant: self.view.id.clone(),
            hub: Arc::clone(&self.shared.hub),
            dir: self.shared.trace_dir.clone(),
        };
        if let Ok((recorder, _)) =
            Actor::spawn_linked(None, RecorderActor, args, myself.get_cell()).await
        {
            self.recorder.replace(recorder);
            self.note(
                "supervision",
                format!("the recorder failed ({error}) and was started again"),
            );
        }
    }

    fn leave(&mut self, myself: &ActorRef<TenantMsg>) {
        self.leaving = true;
        for leg in self.calls.values() {
            let _ = leg.cast(DialogMsg::End);
        }
        for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
            let _ = actor.cast(AccountMsg::Leave { shown: true });
        }
        let somebody_listens = self.shared.hub.read(|s| {
            let ours = |tenant: &model::TenantId| *tenant == self.view.id;
            let registered = |a: &AccountView| {
                matches!(
                    a.state,
                    RegistrationState::Registered | RegistrationState::Leaving
                )
            };
            s.accounts.iter().any(|a| ours(&a.tenant) && registered(a))
                || s.calls.iter().any(|c| ours(&c.tenant) && c.state.is_live())
        });
        let patience = if somebody_listens {
            FAREWELL
        } else {
            FAREWELL_TO_NOBODY
        };
        myself.send_after(patience, || TenantMsg::LeaveNow);
    }

    /// When leaving: gone as soon as every account has signed out and every call has ended for its
    /// user; what is left of a dialog only waits for repeats.
    fn stop_when_empty(&mut self, myself: &ActorRef<TenantMsg>) {
        let silent = || {
            self.shared.hub.read(|s| {
                !s.calls
                    .iter()
                    .any(|c| c.tenant == self.view.id && c.state.is_live())
            })
        };
        if self.leaving
            && !self.lingering
            && self.accounts.values().all(|a| a.actor.is_none())
            && silent()
        {
            self.lingering = true;
            myself.send_after(LINGER, || TenantMsg::LeaveNow);
        }
    }

    fn note(&self, topic: &'static str, text: String) {
        tracing::info!(tenant = %self.view.id, topic, text);
        self.recorder.cast(RecorderMsg::Note {
            time: wall(),
            topic,
            text,
            account: None,
            call: None,
            sip_call_id: None,
        });
    }

    #[cfg(test)]
    fn crash(&self, child: Child) {
        match child {
            Child::Transport => drop(self.transport.cast(TransportMsg::Crash)),
            Child::Account(id) => {
                self.account_actor(&id)
                    .into_iter()
                    .for_each(|a| drop(a.cast(AccountMsg::Crash)));
            }
            Child::Dialog(id) => self.tell(id, DialogMsg::Crash),
            Child::Stream(id) => self.tell(id, DialogMsg::CrashStream),
            Child::Recorder => self.recorder.cast(RecorderMsg::Crash),
            Child::Tenant => panic!("told to fail"),
        }
    }
}

async fn start_transport(
    myself: &ActorRef<TenantMsg>,
    shared: &Arc<Shared>,
    recorder: &Arc<Service<RecorderMsg>>,
    sockets: &KeptSockets,
) -> Result<ActorRef<TransportMsg>, ActorProcessingErr> {
    let args = TransportArgs {
        tenant: myself.clone(),
        recorder: recorder.clone(),
        sockets: sockets.clone(),
        hosts: shared.hosts.clone(),
        capabilities: shared.capabilities.clone(),
        seed: shared.stateless.clone(),
    };
    Ok(
        Actor::spawn_linked(None, TransportActor, args, myself.get_cell())
            .await?
            .0,
    )
}
