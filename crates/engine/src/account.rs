//! One account: its registration, over one flow to the registrar or several, and what hangs on it.

mod flows;
mod unbound;
mod watch;

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{
    AccountId, AccountSettings, AccountView, CertificateView, Event, Failure, PresenceState,
    Private, QuestionId, RegistrationState, Sentence, TenantId,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use replay::Taped;
use sip_core::auth::Strength;
use sip_core::registration::{FlowEvent, FlowSet, RegistrationConfig};
use sip_core::{Inbound, Path};
use sip_message::{Message, NameAddr, Request, Uri};

pub(crate) use self::unbound::Unbound;
pub(crate) use self::watch::Seen;
use self::watch::Watch;
use crate::drive::{self, Outlet, Questions};
use crate::failures::Unreadable;
use crate::identity::Identity;
use crate::logins::LoginQuestion;
use crate::network::{Drift, Mooring, Moved};
use crate::passwords::Passwords;
use crate::recorder::RecorderMsg;
use crate::shared::{Service, Shared};
use crate::tenant::TenantMsg;
use crate::transport::{Delivery, Owner, Reachable, TransportMsg};
use crate::wake::{Wake, now};
use crate::{failures, wall};

/// How long a local address that cannot be used rests before it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);

/// What an [`AccountActor`] can be told.
pub(crate) enum AccountMsg {
    /// Sign in, or sign in anew.
    Register,
    /// Sign out and stay out.
    Unregister,
    /// No login is given to this question of ours.
    NoLogin(QuestionId),
    /// Ask the registrar for its list, or have it shortened.
    Bindings(Wish),
    /// What no server needs to know of is set differently.
    Settings(Box<AccountSettings>),
    /// Tell this of our person.
    Presence(PresenceState, Private),
    /// The registrar has ended our binding.
    Unbound(Unbound),
    /// The time that it wanted to be left alone is over.
    RegisterAgain,
    /// A NOTIFY that belongs to no subscription reached the account.
    Told {
        request: Box<Request>,
        inbound: Inbound,
    },
    /// What is known of others, and of ourselves at the server, is different.
    Seen(Box<Seen>),
    /// What watches others has failed and rested.
    WatchAgain,
    /// Sign out, then end.
    Leave {
        /// Whether the account is still shown: not when it was removed.
        shown: bool,
    },
    /// The transport brought something.
    Delivered(Delivery),
    /// A deadline has come.
    Wake(u64),
    /// The tenant has a new transport.
    TransportReplaced(ActorRef<TransportMsg>),
    /// Whether the tenant's transport can listen where this account wants.
    Listens(Result<(), sip_core::TransportError>),
    /// Ask again whether it can.
    ListenAgain,
    /// The tenant has no transport any more.
    TransportLost,
    /// The machine came to another network, or slept.
    Moved(Arc<Moved>),
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
    /// Make what watches others fail.
    #[cfg(test)]
    CrashWatch,
}

/// What is wanted of the registrar's list of bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To see it.
    List,
    /// One entry of somebody else gone.
    Remove(String),
    /// Everything gone.
    Clear,
}

/// Wishes that wait for what is on its way.
const MOST_WISHES: usize = 8;

/// Owns one account's registration.
pub(crate) struct AccountActor;

/// What an [`AccountActor`] is started with.
#[derive(Clone)]
pub(crate) struct AccountArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tenant: ActorRef<TenantMsg>,
    pub(crate) tenant_id: TenantId,
    pub(crate) id: AccountId,
    pub(crate) settings: AccountSettings,
    pub(crate) identity: Identity,
    pub(crate) passwords: Passwords,
    pub(crate) transport: ActorRef<TransportMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
}

/// What the tenant needs to know of an account to place its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AccountFacts {
    /// Routes that the registrar wants requests to take (RFC 3608).
    pub(crate) service_route: Vec<NameAddr>,
    /// Realms that the registration was let in by.
    pub(crate) realms: Vec<String>,
    /// The weakest way in which one of them asked for it.
    pub(crate) weakest_login: Option<Strength>,
    /// Where the registrar, or the proxy before it, answered from, first that of the flow that stands for all; and the
    /// other servers of the domain.
    pub(crate) servers: Vec<SocketAddr>,
    /// Our Contact in dialogs, where another than that of the path is better: the lasting address of
    /// this phone (RFC 5627 §4.4), or the flow that the registrar keeps to (RFC 5626 §4.3).
    pub(crate) contact: Option<Uri>,
    /// The same for calls that do not tell who we are.
    pub(crate) anonymous_contact: Option<Uri>,
}

/// A flow that stands.
#[derive(Clone, Debug)]
struct Standing {
    facts: AccountFacts,
    /// To the server that holds it.
    path: Path,
}

pub(crate) struct AccountState {
    args: AccountArgs,
    owner: Owner,
    registration: Taped<FlowSet>,
    events: VecDeque<FlowEvent>,
    /// What each flow learned of the registrar, while it stands.
    standing: Vec<Option<Standing>>,
    /// Where the registration is at home, as the transport was told.
    home: Option<Path>,
    /// What the tenant was told.
    told: Option<AccountFacts>,
    wishes: VecDeque<Wish>,
    /// Whether the bindings of the other flows went with a list that was cleared.
    cleared: bool,
    watch: Watch,
    view: AccountView,
    wake: Wake,
    /// Hosts our registrar answered from.
    servers: HashSet<IpAddr>,
    /// The servers that its domain names.
    named: Vec<SocketAddr>,
    questions: Questions,
    /// Where the registrar answered last, and how that path fares through changes of the network.
    path: Option<Path>,
    mooring: Mooring,
    /// Why its local address cannot be used. Whatever fails because of that is told as this.
    unbound: Option<Failure>,
    /// The certificate that was not trusted last: whatever fails for TLS is because of it.
    untrusted: Option<Box<CertificateView>>,
    /// The last answer, where it could not be read.
    unreadable: Option<Unreadable>,
    /// When the registrar ended our binding last.
    unbound_at: Option<Instant>,
    /// Whether it waits to register anew since.
    registers_again: bool,
    /// The login that it is missing.
    login: LoginQuestion,
    leaving: bool,
    shown: bool,
}

impl Actor for AccountActor {
    type Msg = AccountMsg;
    type State = AccountState;
    type Arguments = AccountArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let owner = Owner::new(&myself, args.id.clone(), None, AccountMsg::Delivered)
            .ruled_by(&args.identity.rules)
            .registering();
        let registration = flows::flow_set(&args);
        let view = flows::first_view(&args);
        let mut state = AccountState {
            standing: vec![None; registration.len()],
            home: None,
            told: None,
            wishes: VecDeque::new(),
            cleared: false,
            watch: Watch::default(),
            owner,
            registration,
            events: VecDeque::new(),
            view,
            wake: Wake::default(),
            servers: HashSet::new(),
            named: Vec::new(),
            questions: Questions::default(),
            path: None,
            mooring: Mooring::default(),
            unbound: None,
            untrusted: None,
            unreadable: None,
            unbound_at: None,
            registers_again: false,
            login: LoginQuestion::new(&args.shared.hub),
            leaving: false,
            shown: true,
            args,
        };
        state.join_transport();
        state.publish();
        state.start_watching(&myself).await;
        if state.args.settings.register {
            state.registration.register(now());
        }
        state.drive(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            AccountMsg::Register => {
                state.leaving = false;
                state.registration.register(now());
            }
            AccountMsg::Unregister => {
                state.login.settle();
                state.sign_out();
            }
            AccountMsg::NoLogin(question) => {
                if state.login.is(question) {
                    state.login.settle();
                }
            }
            AccountMsg::Bindings(wish) => {
                if state.wishes.len() < MOST_WISHES && !state.wishes.contains(&wish) {
                    state.wishes.push_back(wish);
                }
            }
            AccountMsg::Settings(settings) => {
                state.args.settings = (*settings).clone();
                state.args.identity.set_aside(&settings);
                state.view.settings = *settings;
                state.publish();
            }
            AccountMsg::Presence(presence, note) => state.choose_presence(presence, note),
            AccountMsg::Unbound(unbound) => state.on_unbound(&myself, unbound),
            AccountMsg::RegisterAgain => state.register_again(),
            AccountMsg::Told { request, inbound } => state.on_told(request, inbound),
            AccountMsg::Seen(seen) => state.on_seen(*seen),
            AccountMsg::WatchAgain => state.start_watching(&myself).await,
            AccountMsg::Leave { shown } => {
                state.leaving = true;
                state.login.settle();
                state.stop_watching();
                state.shown = shown;
                let _ = state
                    .args
                    .transport
                    .cast(TransportMsg::Unreachable(state.args.id.clone()));
                state.sign_out();
            }
            AccountMsg::Delivered(delivery) => state.on_delivery(delivery),
            AccountMsg::Wake(generation) => {
                if state.wake.is_current(generation) {
                    state.registration.handle_timeout(now());
                }
            }
            AccountMsg::TransportReplaced(transport) => {
                state.args.transport = transport;
                state.on_transport_replaced();
            }
            AccountMsg::Listens(result) => state.on_listens(&myself, result),
            AccountMsg::ListenAgain => state.tell_reachable(),
            AccountMsg::TransportLost => {
                state.view.listening = false;
                let lost = failures::transport(&sip_core::TransportError::Closed).registering();
                state.fail_all(lost);
            }
            AccountMsg::Moved(moved) => state.on_moved(&moved),
            #[cfg(test)]
            AccountMsg::Crash => panic!("told to fail with {:?}", state.args.settings),
            #[cfg(test)]
            AccountMsg::CrashWatch => state.watch.crash(),
        }
        state.drive(&myself);
        state.stop_when_drained(&myself);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => {
                state.on_watch_ended(&myself, Some(error.to_string()));
            }
            SupervisionEvent::ActorTerminated(..) => state.on_watch_ended(&myself, None),
            _ => {}
        }
        state.stop_when_drained(&myself);
        Ok(())
    }
}

impl AccountState {
    /// Makes the account known to the transport: its registration's keys, and how it can be called.
    fn join_transport(&self) {
        for key in self.registration.owner_keys() {
            let claim = TransportMsg::Claim {
                key,
                server_key: None,
                owner: self.owner.clone(),
            };
            let _ = self.args.transport.cast(claim);
        }
        self.tell_reachable();
    }

    fn stop_when_drained(&self, myself: &ActorRef<AccountMsg>) {
        if self.leaving && self.registration.is_drained() && !self.watch.is_running() {
            myself.stop(Some(crate::DRAINED.to_owned()));
        }
    }

    /// What was asked of the old transport is asked again, and whoever was signed in or on the way
    /// signs in anew. A no for good stays one.
    fn on_transport_replaced(&mut self) {
        self.join_transport();
        self.watch.on_transport_replaced(&self.args.transport);
        let outlet = Outlet::of(&self.owner, &self.args.transport, &self.args.identity);
        self.questions.ask_again(&outlet);
        let wanted = matches!(
            self.view.state,
            RegistrationState::Trying | RegistrationState::Registered | RegistrationState::Silent
        );
        if wanted && !self.leaving && self.args.settings.register {
            self.registration.register(now());
        }
    }

    /// An address that another program holds may become free.
    fn on_listens(
        &mut self,
        myself: &ActorRef<AccountMsg>,
        result: Result<(), sip_core::TransportError>,
    ) {
        let before = std::mem::replace(&mut self.view.listening, result.is_ok());
        match result {
            Ok(()) => {
                if self.unbound.take().is_none() {
                    if !before {
                        self.publish();
                    }
                    return;
                }
                if self.args.settings.register {
                    self.registration.register(now());
                } else {
                    self.all_flows(RegistrationState::Off, None);
                }
            }
            Err(error) => {
                let failure = failures::bind(&error).registering();
                if self.unbound.as_ref() != Some(&failure) {
                    self.unbound = Some(failure.clone());
                    self.fail_all(failure);
                }
                myself.send_after(LISTEN_AGAIN, || AccountMsg::ListenAgain);
            }
        }
    }

    /// Signs in anew when the way to the registrar is another one, or may be. Who has not reached it
    /// yet tries again at once.
    fn on_moved(&mut self, moved: &Moved) {
        let wanted = matches!(
            self.view.state,
            RegistrationState::Trying | RegistrationState::Registered | RegistrationState::Silent
        );
        if !wanted || self.leaving || !self.args.settings.register {
            return;
        }
        let bind = self.args.identity.bind.map(|bind| bind.ip());
        let bind = bind.filter(|ip| !ip.is_unspecified());
        let drift = match &self.path {
            Some(path) => self.mooring.on_moved(moved, path, bind),
            None if moved.ways.is_empty() => Drift::Moored,
            None => Drift::Ashore,
        };
        match drift {
            Drift::Moored => {}
            Drift::Adrift => {
                let lost = failures::transport(&sip_core::TransportError::Unreachable);
                self.fail_all(lost.registering());
            }
            Drift::Ashore => {
                self.note("signs in anew because of the network".to_owned());
                self.registration.moved(now());
            }
        }
    }

    fn tell_reachable(&self) {
        let identity = &self.args.identity;
        let reachable = Reachable {
            account: self.args.id.clone(),
            contact_user: identity.contact_user.clone(),
            bind: identity.bind,
            aor_user: identity.user().to_owned(),
            aor_host: identity.from.uri.host.clone(),
            servers: self.args.settings.register.then(|| self.servers.clone()),
            ws_path: identity.ws_path.clone(),
        };
        let _ = self.args.transport.cast(TransportMsg::Reachable(reachable));
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Message {
                message,
                inbound,
                at,
            } => match *message {
                Message::Response(response) => {
                    self.unreadable = None;
                    self.registration.handle_response(at, &response, &inbound);
                }
                // Nobody has a dialog with a registration.
                Message::Request(_) => {}
            },
            Delivery::Resolved { id, result } => {
                self.questions.on_answer(id);
                self.registration.handle_resolved(now(), id, result);
            }
            Delivery::Unreadable(unreadable) => {
                if self.registration.awaits_answer_to(&unreadable.branch) {
                    self.unreadable = Some(unreadable);
                }
            }
            Delivery::Unsent { branch, error } => {
                self.registration
                    .handle_transport_error(now(), &branch, error);
            }
            Delivery::FlowLost(flow) => self.registration.flow_lost(now(), flow),
            Delivery::Targets { views, servers } => {
                if self.view.targets != views {
                    self.view.targets = views;
                    self.publish();
                }
                if self.named != servers {
                    self.named = servers;
                    self.pass_on_facts(false);
                }
            }
            Delivery::BetterServer => self.registration.fail_back(now()),
            Delivery::Untrusted(certificate) => self.untrusted = Some(certificate),
            // Only calls are told.
            Delivery::OnTheWay { .. } => {}
        }
    }

    /// Drains the registration, handling its events one by one, and re-arms the wake-up.
    fn drive(&mut self, myself: &ActorRef<AccountMsg>) {
        loop {
            let outlet = Outlet::of(&self.owner, &self.args.transport, &self.args.identity);
            let deadline = drive::drain(
                || self.registration.poll_output(),
                &outlet,
                &mut self.questions,
                &mut self.events,
            );
            match self.events.pop_front() {
                Some(event) => self.on_event(event),
                None if self.begin_wish() => {}
                None => return self.wake.arm(deadline, myself, AccountMsg::Wake),
            }
        }
    }

    fn note(&self, text: impl Into<Sentence>) {
        self.args.recorder.cast(RecorderMsg::Note {
            time: wall(),
            topic: "registration",
            text: text.into(),
            account: Some(self.args.id.clone()),
            call: None,
            sip_call_id: None,
        });
    }

    fn publish(&self) {
        if !self.shown {
            return;
        }
        self.args.shared.hub.publish(Event::Account {
            account: Box::new(self.view.clone()),
        });
    }
}
