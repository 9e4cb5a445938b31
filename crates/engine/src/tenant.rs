//! One organisation: the hard boundary. Almost no logic, so that it does not fail.
//!
//! It starts its transport, its recorder, its accounts and its calls, passes commands on by id, and
//! answers their failures as the supervision table of the crate's documentation says.

mod accounts;
mod calls;
mod children;
mod conference;
mod messages;
mod transfers;
mod trust;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_bodies::voice_quality::SessionReport;
use model::{
    AccountId, AccountSettings, AccountView, CallId, CertificateView, Command, Event, LoginWanted,
    MediaDirection, NoticeLevel, RegistrationState, Sentence, TenantView, Traffic,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use sip_core::{Inbound, TransportError};
use sip_message::{Request, Uri};
use wire::Remembered;

use self::children::start_transport;
use crate::account::{AccountFacts, AccountMsg, Wish};
use crate::cards::Cards;
use crate::dialog::{DialogMsg, Placement, Referral};
use crate::identity::Identity;
use crate::network::Moved;
use crate::oneshot::OneShotMsg;
use crate::passwords::{GivenLogin, Passwords};
use crate::recorder::{RecorderActor, RecorderArgs, RecorderMsg};
use crate::request::RequestText;
use crate::shared::{Service, Shared};
use crate::supervise::Budget;
use crate::transport::{KeptSockets, Naming, Resolver, TransportMsg};
use crate::{DRAINED, wall};

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
    /// Give an account settings that no server needs to know of.
    SetAside(AccountId, Box<AccountSettings>),
    /// Start a call with a number that the phone has given out.
    PlaceCall {
        call: CallId,
        account: AccountId,
        dialled: Box<Dialled>,
    },
    /// An INVITE reached one of the accounts.
    NewCall {
        account: AccountId,
        request: Box<Request>,
        inbound: Inbound,
        at: Instant,
    },
    /// A request that begins nothing reached one of the accounts: a MESSAGE, or word of waiting
    /// messages.
    NewWord {
        account: AccountId,
        request: Box<Request>,
        inbound: Inbound,
    },
    /// A peer asked for a call with somebody else, and the user agreed.
    FollowTransfer {
        account: AccountId,
        target: Uri,
        referral: Box<Referral>,
    },
    /// Whether the transport can listen where an account wants.
    Listens {
        account: AccountId,
        bind: SocketAddr,
        /// Where it does.
        result: Result<SocketAddr, TransportError>,
    },
    /// An account learned something.
    AccountFacts {
        account: AccountId,
        facts: Box<AccountFacts>,
    },
    /// An account with new settings has had its time to sign out.
    StopAccount(ActorRef<AccountMsg>),
    /// A failed account has rested.
    RestartAccount(AccountId),
    /// What went by at the sockets has changed.
    Traffic(Box<Traffic>),
    /// This certificate is trusted for a host from now on; `None` trusts what the roots vouch for.
    Trust {
        host: String,
        fingerprint: Option<wire::Fingerprint>,
    },
    /// A server shows another certificate than the one that was trusted.
    CertificateChanged(Box<CertificateView>),
    /// The tenant's name or colour is different.
    Renamed { name: String, colour: u8 },
    /// The local address of its accounts is another.
    Bound { bind: Option<String> },
    /// The machine came to another network, or slept.
    Moved(Arc<Moved>),
    /// A person gave the login that somebody asks for, or gives none.
    Login {
        account: AccountId,
        /// All that whoever asked waits with.
        questions: Vec<LoginWanted>,
        given: Option<GivenLogin>,
        /// What the account has from now on.
        passwords: Option<Passwords>,
    },
    /// A call has come by itself to be heard together with another one of ours.
    Admit {
        /// Which.
        call: CallId,
        /// Whom it came for.
        beside: CallId,
    },
    /// A call has ended that was in a conference.
    Parted(CallId),
    /// A call has ended, and somebody is to be told how it sounded.
    QualityReport {
        account: AccountId,
        report: Box<SessionReport>,
    },
    /// Hang up, sign out, and end.
    Leave,
    /// Goodbyes have had their time.
    LeaveNow,
    /// All calls have this address of ours from now on.
    #[cfg(test)]
    MoveCalls(IpAddr),
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
    Watch(AccountId),
    Dialog(CallId),
    Stream(CallId),
    /// No actor: the way on which the media of a call goes.
    Way(CallId),
    Recorder,
    Tenant,
}

/// A call that a person asks for.
pub(crate) struct Dialled {
    /// Whom, as it was typed.
    pub(crate) target: model::Identity,
    /// Headers for this call only.
    pub(crate) headers: Vec<model::Private>,
    /// The call at the far end whose place it is to take, or which it is to join.
    pub(crate) place: Option<Placement>,
    /// Which way media is to flow.
    pub(crate) direction: MediaDirection,
}

impl Dialled {
    /// A call like any other.
    pub(crate) fn to(target: model::Identity) -> Self {
        Self {
            target,
            headers: Vec::new(),
            place: None,
            direction: MediaDirection::Both,
        }
    }
}

/// An account to be started.
#[derive(Clone)]
pub(crate) struct AccountSpec {
    pub(crate) id: AccountId,
    pub(crate) settings: AccountSettings,
    pub(crate) identity: Identity,
    pub(crate) passwords: Passwords,
}

/// Owns one organisation.
pub(crate) struct TenantActor;

/// What a [`TenantActor`] is started with.
#[derive(Clone)]
pub(crate) struct TenantArgs {
    pub(crate) shared: Arc<Shared>,
    /// How its names are found.
    pub(crate) naming: Naming,
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
    naming: Naming,
    /// Finds servers for the media of its calls.
    resolver: Resolver,
    view: TenantView,
    recorder: Arc<Service<RecorderMsg>>,
    transport: ActorRef<TransportMsg>,
    kept: Kept,
    /// Certificates that a person trusts, for those accounts that have no settings of TLS.
    remembered: Remembered,
    /// The certificate that the last alarm was about.
    alarmed: Option<(String, String)>,
    transport_budget: Budget,
    recorder_budget: Budget,
    accounts: HashMap<AccountId, Account>,
    calls: HashMap<CallId, ActorRef<DialogMsg>>,
    /// Where the calls came from that came from no server of their account.
    strangers: HashMap<CallId, IpAddr>,
    /// The conferences of those that are in one.
    rooms: HashMap<CallId, u64>,
    one_shots: Vec<ActorRef<OneShotMsg>>,
    /// Addresses whose port another program holds, which was said.
    other_ports: HashSet<SocketAddr>,
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
            naming,
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
        let remembered = Remembered::default();
        trust::remember_all(&remembered, &view.trusted);
        let transport = start_transport(
            &myself,
            &shared,
            &naming,
            &recorder,
            (&kept.sockets, &remembered),
        )
        .await?;
        let resolver = Resolver::new(&naming, &crate::shared::seed());
        let mut state = TenantState {
            shared,
            naming,
            resolver,
            view,
            recorder,
            transport,
            kept,
            remembered,
            alarmed: None,
            transport_budget: Budget::service(),
            recorder_budget: Budget::service(),
            accounts: HashMap::new(),
            calls: HashMap::new(),
            strangers: HashMap::new(),
            rooms: HashMap::new(),
            one_shots: Vec::new(),
            other_ports: HashSet::new(),
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
            TenantMsg::SetAside(account, settings) => state.set_aside(&account, &settings),
            TenantMsg::PlaceCall {
                call,
                account,
                dialled,
            } => state.place_call(&myself, call, &account, *dialled).await,
            TenantMsg::NewCall {
                account,
                request,
                inbound,
                at,
            } => {
                state
                    .take_call(&myself, &account, request, inbound, at)
                    .await;
            }
            TenantMsg::NewWord {
                account,
                request,
                inbound,
            } => state.take_word(account, request, inbound),
            TenantMsg::FollowTransfer {
                account,
                target,
                referral,
            } => {
                state
                    .follow_transfer(&myself, &account, target, referral)
                    .await;
            }
            TenantMsg::Listens {
                account,
                bind,
                result,
            } => {
                match &result {
                    Ok(local) => state.tell_other_port(bind, *local),
                    Err(error) => {
                        state.note("transport", format!("{bind} cannot be used: {error}"));
                    }
                }
                if let Some(actor) = state.account_actor(&account) {
                    let _ = actor.cast(AccountMsg::Listens(result.map(drop)));
                }
            }
            TenantMsg::AccountFacts { account, facts } => {
                if let Some(account) = state.accounts.get_mut(&account) {
                    account.facts = *facts;
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
            TenantMsg::Bound { bind } => {
                state.view.bind = bind;
                state.shared.hub.publish(Event::Tenant {
                    tenant: state.view.clone(),
                });
            }
            TenantMsg::Trust { host, fingerprint } => state.trust(&host, fingerprint),
            TenantMsg::CertificateChanged(shown) => state.raise_alarm(&shown),
            TenantMsg::Traffic(traffic) => {
                if state.view.traffic != *traffic {
                    state.view.traffic = *traffic;
                    state.shared.hub.publish(Event::Tenant {
                        tenant: state.view.clone(),
                    });
                }
            }
            TenantMsg::Moved(moved) => state.on_moved(&moved),
            TenantMsg::Login {
                account,
                questions,
                given,
                passwords,
            } => state.pass_login(&account, &questions, given.as_ref(), passwords),
            TenantMsg::Admit { call, beside } => state.admit(call, beside),
            TenantMsg::Parted(call) => state.on_parted(call),
            TenantMsg::QualityReport { account, report } => {
                state.report_quality(&myself, account, &report).await;
            }
            TenantMsg::Leave => state.leave(&myself),
            TenantMsg::LeaveNow => myself.stop(Some(DRAINED.to_owned())),
            #[cfg(test)]
            TenantMsg::MoveCalls(local) => {
                let legs = state.calls.values();
                legs.for_each(|leg| drop(leg.cast(DialogMsg::MovedTo(local))));
            }
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
            Command::ListBindings { account } => self.wish(&account, Wish::List),
            Command::ClearBindings { account } => self.wish(&account, Wish::Clear),
            Command::RemoveBinding { account, uri } => {
                self.wish(&account, Wish::Remove(uri.into_revealed()));
            }
            Command::SetPresence {
                account: Some(account),
                state,
                note,
            } => self.tell_account(&account, AccountMsg::Presence(state, note)),
            Command::RemoveAccount { account } => self.remove_account(&account),
            Command::SendOptions { account, target } => self.ask(myself, account, target).await,
            Command::SendRequest {
                account,
                method,
                target,
                headers,
                content_type,
                body,
            } => {
                let request = RequestText {
                    method,
                    headers,
                    content_type,
                    body,
                };
                self.send_request(myself, account, target, request).await;
            }
            Command::SendMessage { account, to, text } => {
                self.say(myself, account, to, text).await;
            }
            Command::AnswerCall { call } => self.tell(call, DialogMsg::Answer),
            Command::RejectCall { call, code } => self.tell(call, DialogMsg::Reject(code)),
            Command::EndCall { call } => self.tell(call, DialogMsg::End),
            Command::HoldCall { call } => self.tell(call, DialogMsg::Hold(true)),
            Command::ResumeCall { call } => self.tell(call, DialogMsg::Hold(false)),
            Command::MuteCall { call, muted } => self.tell(call, DialogMsg::Mute(muted)),
            Command::SetDirection { call, direction } => {
                self.tell(call, DialogMsg::Direction(direction));
            }
            Command::RecordCall { call, on } => self.tell(call, DialogMsg::Record(on)),
            Command::PlayFile { call, file } => {
                self.tell(call, DialogMsg::Play(file.map(Into::into)));
            }
            Command::SendDtmf { call, digits } => self.tell(call, DialogMsg::Digits(digits)),
            Command::TransferCall { call, target } => self.transfer(call, target.reveal()),
            Command::ConnectCalls { call, other } => self.connect(call, other),
            Command::JoinCalls { calls } => self.join(&calls),
            Command::RenewKeys { call } => self.tell(call, DialogMsg::RenewKeys),
            Command::LeaveConference { call } => self.part(call),
            Command::AnswerTransfer { call, accept } => {
                self.tell(call, DialogMsg::AnswerTransfer(accept));
            }
            Command::FollowRedirect { call, target } => {
                self.tell(call, DialogMsg::Follow(target));
            }
            Command::DeclineRedirect { call } => self.tell(call, DialogMsg::DeclineRedirect),
            Command::DismissCall { call } => match self.calls.get(&call) {
                Some(leg) => drop(leg.cast(DialogMsg::Dismiss)),
                // Its actor is drained and gone; the view is all there is.
                None => self.shared.hub.publish(Event::CallRemoved { call }),
            },
            // The phone keeps the rest for itself.
            _ => {}
        }
    }

    /// The transport first: whoever asks it for a way afterwards gets one of the new network.
    fn on_moved(&self, moved: &Arc<Moved>) {
        if self.leaving {
            return;
        }
        self.note("network", moved.to_string());
        let _ = self.transport.cast(TransportMsg::Moved(Arc::clone(moved)));
        for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
            let _ = actor.cast(AccountMsg::Moved(Arc::clone(moved)));
        }
        for leg in self.calls.values() {
            let _ = leg.cast(DialogMsg::Moved(Arc::clone(moved)));
        }
    }

    fn leave(&mut self, myself: &ActorRef<TenantMsg>) {
        self.leaving = true;
        for leg in self.calls.values() {
            let _ = leg.cast(DialogMsg::Leave);
        }
        for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
            let _ = actor.cast(AccountMsg::Leave { shown: true });
        }
        let registered = self.shared.hub.read(|s| {
            let ours = |tenant: &model::TenantId| *tenant == self.view.id;
            let registered = |a: &AccountView| {
                matches!(
                    a.state,
                    RegistrationState::Registered | RegistrationState::Leaving
                )
            };
            s.accounts.iter().any(|a| ours(&a.tenant) && registered(a))
        });
        let patience = if registered || !self.calls.is_empty() {
            FAREWELL
        } else {
            FAREWELL_TO_NOBODY
        };
        myself.send_after(patience, || TenantMsg::LeaveNow);
    }

    /// When leaving: gone as soon as every account has signed out and every peer has answered that its call has
    /// ended. A BYE that is lost leaves it with nobody to talk to (RFC 3261 §17.1.2).
    fn stop_when_empty(&mut self, myself: &ActorRef<TenantMsg>) {
        if self.leaving
            && !self.lingering
            && self.accounts.values().all(|a| a.actor.is_none())
            && self.calls.is_empty()
        {
            self.lingering = true;
            myself.send_after(LINGER, || TenantMsg::LeaveNow);
        }
    }

    /// The port that was asked for is held by another program: said once.
    fn tell_other_port(&mut self, bind: SocketAddr, local: SocketAddr) {
        let (asked, ours) = (bind.port(), local.port());
        if asked == 0 || asked == ours || !self.other_ports.insert(bind) {
            return;
        }
        let text = format!(
            "Port {asked} of {} is used by another program; until Tipring is started anew its calls come to port {ours}.",
            bind.ip()
        );
        self.note("transport", text.clone());
        self.shared
            .notice(NoticeLevel::Warning, Some(&self.view.id), text);
    }

    fn note(&self, topic: &'static str, text: impl Into<Sentence>) {
        let text = text.into();
        tracing::info!(tenant = %self.view.id, topic, ?text);
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
            Child::Watch(id) => self.tell_account(&id, AccountMsg::CrashWatch),
            Child::Dialog(id) => self.tell(id, DialogMsg::Crash),
            Child::Stream(id) => self.tell(id, DialogMsg::CrashStream),
            Child::Way(id) => self.tell(id, DialogMsg::WayLost),
            Child::Recorder => self.recorder.cast(RecorderMsg::Crash),
            Child::Tenant => panic!("told to fail"),
        }
    }
}
