//! One account: its registration.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::{
    AccountId, AccountSettings, AccountView, CertificateView, Event, Failure, RegistrationState,
    TenantId,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use secrecy::SecretString;
use sip_core::Path;
use sip_core::registration::{Registered, Registration, RegistrationConfig, RegistrationEvent};
use sip_message::{Message, NameAddr};

use crate::drive::{self, Outlet, Questions};
use crate::identity::Identity;
use crate::network::{Drift, Mooring, Moved};
use crate::recorder::RecorderMsg;
use crate::shared::{Service, Shared};
use crate::tenant::TenantMsg;
use crate::transport::{Delivery, Owner, Reachable, TransportMsg};
use crate::wake::{Wake, now};
use crate::{failures, names, wall};

/// How long a local address that cannot be used rests before it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);

/// What an [`AccountActor`] can be told.
pub(crate) enum AccountMsg {
    /// Sign in, or sign in anew.
    Register,
    /// Sign out and stay out.
    Unregister,
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
}

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
    pub(crate) password: Option<SecretString>,
    pub(crate) transport: ActorRef<TransportMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
}

/// What the tenant needs to know of an account to place its calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountFacts {
    /// Routes that the registrar wants requests to take (RFC 3608).
    pub(crate) service_route: Vec<NameAddr>,
    /// Realms that the registration was let in by.
    pub(crate) realms: Vec<String>,
    /// Where the registrar, or the proxy before it, answered from.
    pub(crate) servers: Vec<SocketAddr>,
}

pub(crate) struct AccountState {
    args: AccountArgs,
    owner: Owner,
    registration: Registration,
    events: VecDeque<RegistrationEvent>,
    view: AccountView,
    wake: Wake,
    /// Hosts our registrar answered from.
    servers: HashSet<IpAddr>,
    questions: Questions,
    /// Where the registrar answered last, and how that path fares through changes of the network.
    path: Option<Path>,
    mooring: Mooring,
    /// Why its local address cannot be used. Whatever fails because of that is told as this.
    unbound: Option<Failure>,
    /// The certificate that was not trusted last: whatever fails for TLS is because of it.
    untrusted: Option<Box<CertificateView>>,
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
        let owner = Owner::new(&myself, args.id.clone(), None, AccountMsg::Delivered).registering();
        let registration = Registration::new(config(&args), &args.shared.seed());
        let view = AccountView::new(
            args.id.clone(),
            args.tenant_id.clone(),
            args.settings.clone(),
            wall(),
        );
        let mut state = AccountState {
            owner,
            registration,
            events: VecDeque::new(),
            view,
            wake: Wake::default(),
            servers: HashSet::new(),
            questions: Questions::default(),
            path: None,
            mooring: Mooring::default(),
            unbound: None,
            untrusted: None,
            leaving: false,
            shown: true,
            args,
        };
        state.join_transport();
        state.publish();
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
            AccountMsg::Unregister => state.sign_out(),
            AccountMsg::Leave { shown } => {
                state.leaving = true;
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
                let lost = failures::transport(&sip_core::TransportError::Closed).registering();
                state.fail(lost, RegistrationState::Silent);
            }
            AccountMsg::Moved(moved) => state.on_moved(&moved),
            #[cfg(test)]
            AccountMsg::Crash => panic!("told to fail"),
        }
        state.drive(&myself);
        if state.leaving && state.registration.is_drained() {
            myself.stop(Some(crate::DRAINED.to_owned()));
        }
        Ok(())
    }
}

impl AccountState {
    /// Makes the account known to the transport: its registration's key, and how it can be called.
    fn join_transport(&self) {
        let claim = TransportMsg::Claim {
            key: self.registration.owner_key(),
            server_key: None,
            owner: self.owner.clone(),
        };
        let _ = self.args.transport.cast(claim);
        self.tell_reachable();
    }

    /// What was asked of the old transport is asked again, and whoever was signed in or on the way
    /// signs in anew. A no for good stays one.
    fn on_transport_replaced(&mut self) {
        self.join_transport();
        let outlet = Outlet {
            owner: &self.owner,
            transport: &self.args.transport,
            bind: self.args.identity.bind,
            tls: self.args.identity.tls.as_ref(),
        };
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
        match result {
            Ok(()) => {
                if self.unbound.take().is_none() {
                    return;
                }
                if self.args.settings.register {
                    self.registration.register(now());
                } else {
                    self.view.failure = None;
                    self.enter(RegistrationState::Off);
                }
            }
            Err(error) => {
                let failure = failures::bind(&error).registering();
                if self.unbound.as_ref() != Some(&failure) {
                    self.unbound = Some(failure.clone());
                    self.fail(failure, RegistrationState::Silent);
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
                self.fail(lost.registering(), RegistrationState::Silent);
            }
            Drift::Ashore => {
                self.note("signs in anew because of the network".to_owned());
                self.registration.moved(now());
            }
        }
    }

    fn sign_out(&mut self) {
        if self.view.state == RegistrationState::Registered {
            self.enter(RegistrationState::Leaving);
        }
        self.registration.unregister(now());
    }

    fn tell_reachable(&self) {
        let identity = &self.args.identity;
        let reachable = Reachable {
            account: self.args.id.clone(),
            contact_user: identity.contact_user.clone(),
            bind: identity.bind,
            aor_user: identity.user().to_owned(),
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
                    self.registration.handle_response(at, &response, &inbound);
                }
                // Nobody has a dialog with a registration.
                Message::Request(_) => {}
            },
            Delivery::Resolved { id, result } => {
                self.questions.on_answer(id);
                self.registration.handle_resolved(now(), id, result);
            }
            Delivery::Unsent { branch, error } => {
                self.registration
                    .handle_transport_error(now(), &branch, error);
            }
            Delivery::FlowLost(flow) => self.registration.flow_lost(now(), flow),
            Delivery::Targets(targets) => {
                if self.view.targets != targets {
                    self.view.targets = targets;
                    self.publish();
                }
            }
            Delivery::BetterServer => self.registration.fail_back(now()),
            Delivery::Untrusted(certificate) => self.untrusted = Some(certificate),
        }
    }

    /// Drains the registration, handling its events one by one, and re-arms the wake-up.
    fn drive(&mut self, myself: &ActorRef<AccountMsg>) {
        loop {
            let outlet = Outlet {
                owner: &self.owner,
                transport: &self.args.transport,
                bind: self.args.identity.bind,
                tls: self.args.identity.tls.as_ref(),
            };
            let deadline = drive::drain(
                || self.registration.poll_output(),
                &outlet,
                &mut self.questions,
                &mut self.events,
            );
            match self.events.pop_front() {
                Some(event) => self.on_event(event),
                None => return self.wake.arm(deadline, myself, AccountMsg::Wake),
            }
        }
    }

    fn on_event(&mut self, event: RegistrationEvent) {
        match event {
            RegistrationEvent::Trying => {
                self.view.retry_at = None;
                // A refresh of what stands is no news.
                if self.view.state != RegistrationState::Registered {
                    self.enter(RegistrationState::Trying);
                }
            }
            RegistrationEvent::Registered(registered) => self.on_registered(*registered),
            RegistrationEvent::Refused(refusal) => {
                self.fail(failures::refusal(&refusal), RegistrationState::Refused);
            }
            RegistrationEvent::Failed { what, retry_in } => {
                self.view.retry_at = Some(crate::after(wall(), retry_in));
                self.fail(failures::trouble(&what), RegistrationState::Silent);
            }
            RegistrationEvent::Bindings(bindings) => {
                self.note(format!("the registrar lists {} bindings", bindings.len()));
            }
            RegistrationEvent::Unregistered => {
                self.tell_home(None);
                self.view.expires_at = None;
                self.view.retry_at = None;
                self.enter(RegistrationState::Off);
            }
            RegistrationEvent::Tried(tried) => {
                let _ = self.args.transport.cast(TransportMsg::Tried(tried));
            }
            RegistrationEvent::Notice(text) => self.note(text),
        }
    }

    fn on_registered(&mut self, registered: Registered) {
        let path = registered.path;
        self.tell_home(Some(path));
        self.path = Some(path);
        self.view.expires_at = Some(crate::after(wall(), registered.granted));
        self.view.retry_at = None;
        self.view.target = Some(path.to_string());
        self.view.mapped = registered.mapped.map(|m| m.to_string());
        self.view.round_trip_ms = registered.round_trip.map(|t| t.as_secs_f32() * 1000.0);
        self.view.failure = None;
        self.unbound = None;
        if self.servers.insert(path.remote.ip()) {
            self.tell_reachable();
        }
        let service_route = registered
            .service_route
            .iter()
            .filter_map(|r| NameAddr::parse(r).ok())
            .collect();
        let facts = AccountFacts {
            service_route,
            realms: registered.realms,
            servers: vec![path.remote],
        };
        let _ = self.args.tenant.cast(TenantMsg::AccountFacts {
            account: self.args.id.clone(),
            facts,
        });
        self.enter(RegistrationState::Registered);
    }

    /// Tells the transport which server holds the registration: it takes the calls first.
    fn tell_home(&self, path: Option<Path>) {
        let owner = self.owner.clone();
        let _ = self.args.transport.cast(TransportMsg::Home { owner, path });
    }

    fn fail(&mut self, failure: Failure, state: RegistrationState) {
        let mut failure = self.unbound.clone().unwrap_or(failure);
        failures::blame(&mut failure, &mut self.untrusted);
        self.note(failure.sentence());
        self.view.failure = Some(failure);
        self.view.expires_at = None;
        self.enter(state);
    }

    fn note(&self, text: String) {
        self.args.recorder.cast(RecorderMsg::Note {
            time: wall(),
            topic: "registration",
            text,
            account: Some(self.args.id.clone()),
            call: None,
            sip_call_id: None,
        });
    }

    /// The one place where the state changes.
    fn enter(&mut self, state: RegistrationState) {
        if self.view.state != state {
            tracing::info!(account = ?self.args.id, from = ?self.view.state, to = ?state, "registration");
            self.note(format!(
                "the registration was {} and is {}",
                names::registration(self.view.state),
                names::registration(state)
            ));
            self.view.state = state;
            self.view.since = wall();
        }
        self.publish();
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

fn config(args: &AccountArgs) -> RegistrationConfig {
    let identity = &args.identity;
    let mut config = RegistrationConfig::new(identity.registrar.clone(), identity.from.clone());
    config.contact_user = Some(identity.contact_user.clone());
    config.route.clone_from(&identity.proxy);
    config.transport = identity.transport;
    if let Some(patience) = args.shared.failover.patience {
        config.patience = Some(patience);
    }
    config.expires = Duration::from_secs(u64::from(args.settings.expires_s));
    config.instance_id = Some(args.shared.instance_id.clone());
    config.credentials = identity
        .credentials(args.password.as_ref())
        .into_iter()
        .collect();
    config
        .user_agent
        .clone_from(&args.shared.capabilities.user_agent);
    config
}
