//! The root: routes commands by id, keeps restart budgets, and owns no protocol state.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{
    AccountId, AccountSettings, CallId, CallState, CallView, Command, DeviceRole, Direction, Event,
    Failure, FailureKind, Notice, NoticeLevel, Password, TenantId, TenantView,
};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use secrecy::SecretString;
use settings::secrets::{Backend, SecretError, SecretStore};
use settings::{Account, Settings, Tenant};

use crate::devices::{DevicesActor, DevicesArgs, DevicesMsg};
use crate::identity::Identity;
use crate::shared::{CallMedia, Ringing, Shared, random_u64};
use crate::store::{StoreActor, StoreArgs, StoreMsg};
use crate::supervise::Budget;
use crate::tenant::{AccountSpec, Kept, TenantActor, TenantArgs, TenantMsg};
use crate::wake::now;
use crate::{DRAINED, wall};

/// What a [`PhoneActor`] can be told.
pub(crate) enum PhoneMsg {
    /// A client's command.
    Command(Command),
    /// The encrypted file was opened, and this is what was in it for our accounts; or it was not.
    SecretsUnlocked(Result<HashMap<AccountId, SecretString>, SecretError>),
    /// Where a password went, or why it could not be kept.
    SecretKept(Result<Backend, SecretError>),
    /// Tell a tenant, so that supervision can be seen.
    #[cfg(test)]
    Tell(TenantId, Box<TenantMsg>),
    /// Make the devices fail.
    #[cfg(test)]
    CrashDevices,
    /// Make the store fail.
    #[cfg(test)]
    CrashStore,
    /// Fail, so that it can be seen who says so.
    #[cfg(test)]
    Crash,
}

/// The root of the tree.
pub(crate) struct PhoneActor;

/// What a [`PhoneActor`] is started with.
pub(crate) struct PhoneArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) devices: ActorRef<DevicesMsg>,
    pub(crate) store: ActorRef<StoreMsg>,
    pub(crate) devices_args: DevicesArgs,
    pub(crate) store_args: StoreArgs,
    /// Accounts and the rest as loaded.
    pub(crate) settings: Settings,
    /// Where changes go; `None` keeps them in memory.
    pub(crate) save_to: Option<PathBuf>,
    pub(crate) secrets: SecretStore,
    /// Passwords known at start, by account.
    pub(crate) passwords: HashMap<AccountId, SecretString>,
}

pub(crate) struct PhoneState {
    shared: Arc<Shared>,
    settings: Settings,
    save_to: Option<PathBuf>,
    secrets: SecretStore,
    passwords: HashMap<AccountId, SecretString>,
    tenants: HashMap<TenantId, TenantChild>,
    devices_args: DevicesArgs,
    devices_budget: Budget,
    store_args: StoreArgs,
    store_budget: Budget,
    /// The part of each account's Contact that cannot be guessed.
    contact_secrets: HashMap<AccountId, u32>,
    /// Calls that a person began or took up, with their tenants: the events that say so may lag
    /// behind the next command.
    taken_up: HashMap<CallId, TenantId>,
    leaving: bool,
}

struct TenantChild {
    actor: Option<ActorRef<TenantMsg>>,
    budget: Budget,
    removed: bool,
    kept: Kept,
}

impl Actor for PhoneActor {
    type Msg = PhoneMsg;
    type State = PhoneState;
    type Arguments = PhoneArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.devices.get_cell().link(myself.get_cell());
        args.store.get_cell().link(myself.get_cell());
        let mut state = PhoneState {
            shared: args.shared,
            settings: args.settings,
            save_to: args.save_to,
            secrets: args.secrets,
            passwords: args.passwords,
            tenants: HashMap::new(),
            devices_args: args.devices_args,
            devices_budget: Budget::service(),
            store_args: args.store_args,
            store_budget: Budget::service(),
            contact_secrets: HashMap::new(),
            taken_up: HashMap::new(),
            leaving: false,
        };
        let preferences = state.settings.preferences;
        state.shared.hub.publish(Event::Preferences { preferences });
        let ids: Vec<TenantId> = state
            .settings
            .tenants
            .iter()
            .map(|t| t.id.clone())
            .collect();
        for id in ids {
            state.start_tenant(&myself, &id).await;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PhoneMsg::Command(command) => state.on_command(&myself, command).await,
            PhoneMsg::SecretsUnlocked(result) => state.on_secrets_unlocked(result),
            PhoneMsg::SecretKept(result) => state.on_secret_kept(result),
            #[cfg(test)]
            PhoneMsg::Tell(tenant, message) => {
                if let Some(actor) = state.tenants.get(&tenant).and_then(|t| t.actor.as_ref()) {
                    let _ = actor.cast(*message);
                }
            }
            #[cfg(test)]
            PhoneMsg::CrashDevices => state.shared.devices.cast(DevicesMsg::Crash),
            #[cfg(test)]
            PhoneMsg::CrashStore => state.shared.store.cast(StoreMsg::Crash),
            #[cfg(test)]
            PhoneMsg::Crash => panic!("told to fail"),
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

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.shared.left.store(true, Ordering::Release);
        Ok(())
    }
}

impl PhoneState {
    async fn on_command(&mut self, myself: &ActorRef<PhoneMsg>, command: Command) {
        match command {
            Command::AddTenant { name } => {
                let id = self.add_tenant(&name);
                self.start_tenant(myself, &id).await;
                self.save();
            }
            Command::UpdateTenant {
                tenant,
                name,
                colour,
            } => self.update_tenant(&tenant, name, colour),
            Command::RemoveTenant { tenant } => self.remove_tenant(&tenant),
            Command::AddAccount {
                tenant,
                settings,
                password,
            } => {
                self.add_account(myself, tenant, *settings, password).await;
            }
            Command::UpdateAccount {
                account,
                settings,
                password,
            } => {
                self.update_account(myself, &account, *settings, password);
            }
            Command::RemoveAccount { account } => self.remove_account(account),
            Command::PlaceCall {
                account,
                target,
                headers,
            } => self.place_call(account, target, headers),
            Command::AnswerCall { call } | Command::ResumeCall { call } => {
                if let Some(tenant) = self.tenant_of(call) {
                    self.take_up(call, tenant);
                }
                self.to_call(call, command);
            }
            Command::RejectCall { call, .. }
            | Command::EndCall { call }
            | Command::HoldCall { call }
            | Command::MuteCall { call, .. }
            | Command::SendDtmf { call, .. }
            | Command::DismissCall { call } => self.to_call(call, command),
            Command::Register { account } => self.register(myself, account).await,
            Command::Unregister { ref account } | Command::SendOptions { ref account, .. } => {
                let account = account.clone();
                self.to_account(&account, command);
            }
            Command::ChooseDevice { role, device } => {
                match role {
                    DeviceRole::Capture => self.settings.devices.capture.clone_from(&device),
                    DeviceRole::Playout => self.settings.devices.playout.clone_from(&device),
                }
                self.devices_args
                    .capture
                    .clone_from(&self.settings.devices.capture);
                self.devices_args
                    .playout
                    .clone_from(&self.settings.devices.playout);
                self.shared
                    .devices
                    .cast(DevicesMsg::Choose { role, device });
                self.save();
            }
            Command::RefreshDevices => self.shared.devices.cast(DevicesMsg::Refresh),
            Command::ClearHistory { tenant } => {
                self.shared.store.cast(StoreMsg::ClearHistory(tenant));
            }
            Command::SetPreferences { preferences } => {
                self.settings.preferences = preferences;
                self.shared.hub.publish(Event::Preferences { preferences });
                self.save();
            }
            Command::Snapshot => {
                let snapshot = Box::new(self.shared.hub.snapshot());
                self.shared.hub.publish(Event::Resync { snapshot });
            }
            Command::UnlockSecrets { passphrase } => self.unlock_secrets(myself, &passphrase),
            Command::Shutdown => self.leave(),
        }
    }

    fn add_tenant(&mut self, name: &str) -> TenantId {
        let id = self.settings.fresh_tenant_id(name);
        let colour = u8::try_from(self.settings.tenants.len() % 8).unwrap_or(0);
        self.settings
            .tenants
            .push(Tenant::new(id.clone(), name, colour));
        id
    }

    fn update_tenant(&mut self, id: &TenantId, name: String, colour: u8) {
        if let Some(tenant) = self.settings.tenant_mut(id) {
            tenant.name.clone_from(&name);
            tenant.colour = colour;
            self.to_tenant(id, TenantMsg::Renamed { name, colour });
            self.save();
        }
    }

    fn remove_tenant(&mut self, id: &TenantId) {
        let accounts: Vec<AccountId> = self
            .settings
            .tenant(id)
            .map(|t| t.accounts.iter().map(|a| a.id.clone()).collect())
            .unwrap_or_default();
        accounts
            .iter()
            .for_each(|account| self.forget_secret(id, account));
        self.settings.tenants.retain(|t| t.id != *id);
        self.shared.store.cast(StoreMsg::ClearHistory(id.clone()));
        if let Some(child) = self.tenants.get_mut(id) {
            child.removed = true;
        }
        self.to_tenant(id, TenantMsg::Leave);
        self.save();
    }

    async fn add_account(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        tenant: Option<TenantId>,
        settings: AccountSettings,
        password: Option<Password>,
    ) {
        let id = self.settings.fresh_account_id(&settings.aor);
        let secret = self.contact_secret(&id);
        let identity = match Identity::new(&settings, secret) {
            Ok(identity) => identity,
            Err(error) => return self.notice(NoticeLevel::Error, error.to_string()),
        };
        let tenant = match tenant.or_else(|| self.settings.tenants.first().map(|t| t.id.clone())) {
            Some(tenant) => tenant,
            None => {
                let id = self.add_tenant("My organisation");
                self.start_tenant(myself, &id).await;
                id
            }
        };
        let Some(entry) = self.settings.tenant_mut(&tenant) else {
            return;
        };
        entry
            .accounts
            .push(Account::new(id.clone(), settings.clone()));
        let password = password.map(|p| self.keep_secret(myself, &tenant, &id, &p));
        let spec = AccountSpec {
            id,
            settings,
            identity,
            password,
        };
        self.to_tenant(&tenant, TenantMsg::PutAccount(Box::new(spec)));
        self.save();
    }

    fn update_account(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        id: &AccountId,
        settings: AccountSettings,
        password: Option<Password>,
    ) {
        let secret = self.contact_secret(id);
        let identity = match Identity::new(&settings, secret) {
            Ok(identity) => identity,
            Err(error) => return self.notice(NoticeLevel::Error, error.to_string()),
        };
        let Some(tenant) = self
            .settings
            .account(id)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            return;
        };
        if let Some(account) = self.settings.account_mut(id) {
            account.settings = settings.clone();
        }
        let password = match password {
            Some(password) => Some(self.keep_secret(myself, &tenant, id, &password)),
            None => self.passwords.get(id).cloned(),
        };
        let spec = AccountSpec {
            id: id.clone(),
            settings,
            identity,
            password,
        };
        self.to_tenant(&tenant, TenantMsg::PutAccount(Box::new(spec)));
        self.save();
    }

    fn remove_account(&mut self, id: AccountId) {
        let Some(tenant) = self
            .settings
            .account(&id)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            return;
        };
        if let Some(entry) = self.settings.tenant_mut(&tenant) {
            entry.accounts.retain(|a| a.id != id);
        }
        self.forget_secret(&tenant, &id);
        self.to_tenant(
            &tenant,
            TenantMsg::Command(Command::RemoveAccount { account: id }),
        );
        self.save();
    }

    fn place_call(&mut self, account: AccountId, target: String, headers: Vec<String>) {
        let call = self.shared.next_call();
        let Some(tenant) = self
            .settings
            .account(&account)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            let failure = Failure::new(FailureKind::BadTarget {
                detail: "There is no such account.".to_owned(),
            });
            return self.shared.publish_still_call(
                &TenantId::new(""),
                &account,
                call,
                &target,
                failure,
            );
        };
        if !self.is_running(&tenant) {
            let failure = Failure::new(FailureKind::Internal {
                detail: "the tenant rests after repeated failures".to_owned(),
            });
            return self
                .shared
                .publish_still_call(&tenant, &account, call, &target, failure);
        }
        self.take_up(call, tenant.clone());
        self.to_tenant(
            &tenant,
            TenantMsg::PlaceCall {
                call,
                account,
                target,
                headers,
            },
        );
    }

    /// One microphone and one pair of ears: talking to one means holding the others, those included
    /// that were taken up a moment ago and are not up yet. Scripts bring sound for each call and
    /// hold nothing.
    fn take_up(&mut self, call: CallId, tenant: TenantId) {
        if !matches!(self.shared.call_media, CallMedia::Devices) {
            return;
        }
        // A call that no event has shown yet is younger than the newest that one has.
        let (live, newest) = self.shared.hub.read(|s| {
            let live: Vec<CallId> = s
                .calls
                .iter()
                .filter(|c| c.state.is_live())
                .map(|c| c.id)
                .collect();
            (live, s.calls.iter().map(|c| c.id).max())
        });
        self.taken_up
            .retain(|id, _| live.contains(id) || Some(*id) > newest);
        self.taken_up.insert(call, tenant);
        let others: Vec<CallId> = self.taken_up.keys().copied().collect();
        // Both ends of one call may be ours: they are the same conversation.
        let ends = self.ends_of(call);
        let others = others.into_iter().filter(|other| !ends.contains(other));
        others.for_each(|call| self.to_call(call, Command::HoldCall { call }));
    }

    /// This call, and its other end if that is ours too.
    fn ends_of(&self, call: CallId) -> Vec<CallId> {
        let mut ends = self.shared.hub.read(|s| {
            let call_id = s
                .calls
                .iter()
                .find(|c| c.id == call)
                .map(|c| c.sip_call_id.as_str())
                .unwrap_or_default();
            let same = |c: &&CallView| !call_id.is_empty() && c.sip_call_id == call_id;
            s.calls
                .iter()
                .filter(same)
                .map(|c| c.id)
                .collect::<Vec<_>>()
        });
        ends.push(call);
        ends
    }

    /// Whose call it is.
    fn tenant_of(&self, call: CallId) -> Option<TenantId> {
        let shown = self.shared.hub.read(|s| {
            s.calls
                .iter()
                .find(|c| c.id == call)
                .map(|c| c.tenant.clone())
        });
        shown.or_else(|| self.taken_up.get(&call).cloned())
    }

    fn to_call(&self, call: CallId, command: Command) {
        match self.tenant_of(call) {
            Some(tenant) if self.is_running(&tenant) => {
                self.to_tenant(&tenant, TenantMsg::Command(command));
            }
            // Its tenant is gone; what is left is the view.
            Some(_) if matches!(command, Command::DismissCall { .. }) => {
                self.shared.hub.publish(Event::CallRemoved { call });
            }
            _ => {}
        }
    }

    /// Signs an account in; a tenant that rests after repeated failures gets another try.
    async fn register(&mut self, myself: &ActorRef<PhoneMsg>, account: AccountId) {
        let Some(tenant) = self.settings.account(&account).map(|(t, _)| t.id.clone()) else {
            return;
        };
        match self.tenants.get_mut(&tenant) {
            Some(child) if child.actor.is_none() && !self.leaving => {
                child.budget.refill();
                self.start_tenant(myself, &tenant).await;
            }
            _ => self.to_account(
                &account,
                Command::Register {
                    account: account.clone(),
                },
            ),
        }
    }

    fn to_account(&self, account: &AccountId, command: Command) {
        if let Some((tenant, _)) = self.settings.account(account) {
            self.to_tenant(&tenant.id, TenantMsg::Command(command));
        }
    }

    fn is_running(&self, id: &TenantId) -> bool {
        self.tenants.get(id).is_some_and(|t| t.actor.is_some())
    }

    fn to_tenant(&self, id: &TenantId, message: TenantMsg) {
        if let Some(actor) = self.tenants.get(id).and_then(|t| t.actor.as_ref()) {
            let _ = actor.cast(message);
        }
    }

    /// Stays the same for an account as long as the program runs, so that a new registration takes
    /// the place of the old one.
    fn contact_secret(&mut self, account: &AccountId) -> u32 {
        *self
            .contact_secrets
            .entry(account.clone())
            .or_insert_with(|| (random_u64() >> 32) as u32)
    }

    async fn start_tenant(&mut self, myself: &ActorRef<PhoneMsg>, id: &TenantId) {
        let Some(tenant) = self.settings.tenant(id).cloned() else {
            return;
        };
        let mut accounts = Vec::new();
        for account in &tenant.accounts {
            match Identity::new(&account.settings, self.contact_secret(&account.id)) {
                Ok(identity) => accounts.push(AccountSpec {
                    id: account.id.clone(),
                    settings: account.settings.clone(),
                    identity,
                    password: self.passwords.get(&account.id).cloned(),
                }),
                Err(error) => {
                    self.notice(
                        NoticeLevel::Error,
                        format!("Account {}: {error}.", account.id),
                    );
                }
            }
        }
        let view = TenantView {
            id: id.clone(),
            name: tenant.name.clone(),
            colour: tenant.colour,
            degraded: false,
        };
        let kept = self.tenants.get(id).map(|child| child.kept.clone());
        let kept = kept.unwrap_or_default();
        let args = TenantArgs {
            shared: Arc::clone(&self.shared),
            view,
            accounts,
            kept: kept.clone(),
        };
        let actor = match Actor::spawn_linked(None, TenantActor, args, myself.get_cell()).await {
            Ok((actor, _)) => Some(actor),
            Err(error) => {
                self.notice(
                    NoticeLevel::Error,
                    format!("Tenant {id} could not be started: {error}."),
                );
                None
            }
        };
        let child = self
            .tenants
            .entry(id.clone())
            .or_insert_with(|| TenantChild {
                actor: None,
                budget: Budget::tenant(),
                removed: false,
                kept,
            });
        child.actor = actor;
    }

    /// A child ended; `error` is why when it was not drained. The others do not notice.
    async fn on_child_ended(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        who: ActorId,
        error: Option<String>,
    ) {
        if who == self.shared.devices.id() {
            return self
                .on_devices_failed(myself, &error.unwrap_or_default())
                .await;
        }
        if who == self.shared.store.id() {
            return self
                .on_store_failed(myself, &error.unwrap_or_default())
                .await;
        }
        let found = self
            .tenants
            .iter()
            .find(|(_, t)| t.actor.as_ref().is_some_and(|a| a.get_id() == who));
        let Some(id) = found.map(|(id, _)| id.clone()) else {
            return;
        };
        let Some(child) = self.tenants.get_mut(&id) else {
            return;
        };
        child.actor = None;
        if child.removed {
            self.tenants.remove(&id);
            // Its last calls were filed after the history was cleared.
            self.shared.store.cast(StoreMsg::ClearHistory(id.clone()));
            self.shared.hub.publish(Event::TenantRemoved { tenant: id });
            return;
        }
        let Some(error) = error.filter(|_| !self.leaving) else {
            return;
        };
        let again = child.budget.take(now());
        if !again {
            // Nobody would read from its sockets.
            child.kept.sockets = Default::default();
        }
        // A tenant that failed took its calls with it.
        let of_tenant = |call: &CallView| call.tenant == id;
        self.shared.fail_calls(of_tenant, "the tenant's own actor");
        if again {
            self.notice(
                NoticeLevel::Warning,
                format!("Tenant {id} failed inside ({error}) and was started again."),
            );
            self.start_tenant(myself, &id).await;
        } else {
            self.notice(
                NoticeLevel::Error,
                format!("Tenant {id} failed too often ({error}) and rests."),
            );
            let view = self
                .shared
                .hub
                .read(|s| s.tenants.iter().find(|t| t.id == id).cloned());
            if let Some(mut tenant) = view {
                tenant.degraded = true;
                self.shared.hub.publish(Event::Tenant { tenant });
            }
        }
    }

    /// Calls go on with a null device, and the user is told.
    async fn on_devices_failed(&mut self, myself: &ActorRef<PhoneMsg>, error: &str) {
        if self.leaving {
            return;
        }
        if !self.devices_budget.take(now()) {
            self.devices_args.hardware = false;
            self.notice(
                NoticeLevel::Error,
                format!("Sound failed too often ({error}); calls go on without it."),
            );
        } else {
            self.notice(
                NoticeLevel::Warning,
                format!("Sound failed ({error}) and was started again."),
            );
        }
        let args = self.devices_args.clone();
        if let Ok((devices, _)) =
            Actor::spawn_linked(None, DevicesActor, args, myself.get_cell()).await
        {
            self.shared.devices.replace(devices);
            // Calls that ring or are up still need sound.
            let needs: Vec<DevicesMsg> = self
                .shared
                .hub
                .read(|s| s.calls.iter().filter_map(need_of).collect());
            needs
                .into_iter()
                .for_each(|need| self.shared.devices.cast(need));
        }
    }

    /// Calls are filed and settings saved by a new one; what was in the mailbox is lost.
    async fn on_store_failed(&mut self, myself: &ActorRef<PhoneMsg>, error: &str) {
        if self.leaving {
            return;
        }
        if !self.store_budget.take(now()) {
            return self.notice(
                NoticeLevel::Error,
                format!("History and settings failed too often ({error}); they are kept no more."),
            );
        }
        self.notice(
            NoticeLevel::Warning,
            format!("History and settings failed ({error}) and were started again."),
        );
        let args = self.store_args.clone();
        if let Ok((store, _)) = Actor::spawn_linked(None, StoreActor, args, myself.get_cell()).await
        {
            self.shared.store.replace(store);
            self.save();
        }
    }

    /// Uses a password from now on and has it kept, off this mailbox: a keystore may take seconds.
    fn keep_secret(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        tenant: &TenantId,
        account: &AccountId,
        password: &Password,
    ) -> SecretString {
        let secret = SecretString::from(password.0.clone());
        self.passwords.insert(account.clone(), secret.clone());
        let (store, tenant, account, kept) = (
            self.secrets.clone(),
            tenant.clone(),
            account.clone(),
            secret.clone(),
        );
        let myself = myself.clone();
        tokio::task::spawn_blocking(move || {
            let result = store.set(&tenant, &account, kept);
            let _ = myself.cast(PhoneMsg::SecretKept(result));
        });
        secret
    }

    fn on_secret_kept(&self, result: Result<Backend, SecretError>) {
        crate::publish_secrets(&self.shared.hub, &self.secrets);
        match result {
            Ok(Backend::Keystore | Backend::Vault) => {}
            Ok(Backend::SessionOnly) => {
                if let Some(sentence) = self.secrets.sentence() {
                    self.notice(NoticeLevel::Warning, sentence);
                }
            }
            Err(error) => {
                self.notice(
                    NoticeLevel::Warning,
                    format!("The password was not kept: {error}."),
                );
            }
        }
    }

    /// Opens the vault off this mailbox: making its key takes a good part of a second by design.
    fn unlock_secrets(&self, myself: &ActorRef<PhoneMsg>, passphrase: &Password) {
        let (store, passphrase, myself) = (
            self.secrets.clone(),
            SecretString::from(passphrase.0.clone()),
            myself.clone(),
        );
        let missing: Vec<(TenantId, AccountId)> = self
            .settings
            .accounts()
            .filter(|(_, account)| !self.passwords.contains_key(&account.id))
            .map(|(tenant, account)| (tenant.id.clone(), account.id.clone()))
            .collect();
        tokio::task::spawn_blocking(move || {
            let result = store.unlock(&passphrase).map(|()| {
                let found = missing.into_iter().filter_map(|(tenant, account)| {
                    let password = store.password(&tenant, &account).ok().flatten()?;
                    Some((account, password))
                });
                found.collect()
            });
            let _ = myself.cast(PhoneMsg::SecretsUnlocked(result));
        });
    }

    fn on_secrets_unlocked(
        &mut self,
        result: Result<HashMap<AccountId, SecretString>, SecretError>,
    ) {
        crate::publish_secrets(&self.shared.hub, &self.secrets);
        let found = match result {
            Ok(found) => found,
            Err(error) => return self.notice(NoticeLevel::Error, format!("{error}.")),
        };
        for (id, password) in found {
            self.passwords.insert(id.clone(), password.clone());
            let secret = self.contact_secret(&id);
            let Some((tenant, account)) = self.settings.account(&id) else {
                continue;
            };
            let Ok(identity) = Identity::new(&account.settings, secret) else {
                continue;
            };
            let spec = AccountSpec {
                id: id.clone(),
                settings: account.settings.clone(),
                identity,
                password: Some(password),
            };
            self.to_tenant(&tenant.id, TenantMsg::PutAccount(Box::new(spec)));
        }
    }

    fn forget_secret(&mut self, tenant: &TenantId, account: &AccountId) {
        self.passwords.remove(account);
        let (store, tenant, account) = (self.secrets.clone(), tenant.clone(), account.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.remove(&tenant, &account) {
                tracing::warn!(%error, "a password could not be removed");
            }
        });
    }

    fn save(&self) {
        if let Some(dir) = &self.save_to {
            let message = StoreMsg::Save {
                dir: dir.clone(),
                settings: Box::new(self.settings.clone()),
            };
            self.shared.store.cast(message);
        }
    }

    fn leave(&mut self) {
        self.leaving = true;
        for actor in self.tenants.values().filter_map(|t| t.actor.as_ref()) {
            let _ = actor.cast(TenantMsg::Leave);
        }
    }

    fn stop_when_empty(&self, myself: &ActorRef<PhoneMsg>) {
        if self.leaving && self.tenants.values().all(|t| t.actor.is_none()) {
            // It has calls to file yet, and ends when the engine does.
            self.shared.store.unlink(myself.get_cell());
            myself.stop(Some(DRAINED.to_owned()));
        }
    }

    fn notice(&self, level: NoticeLevel, text: String) {
        let notice = Notice {
            time: wall(),
            level,
            tenant: None,
            text,
        };
        self.shared.hub.publish(Event::Notice { notice });
    }
}

/// What a call needs of the devices, from its view alone.
fn need_of(call: &CallView) -> Option<DevicesMsg> {
    let ringing = match (call.direction, call.state) {
        (Direction::Incoming, CallState::Ringing) => Some(Ringing::Here),
        (Direction::Outgoing, CallState::Ringing) => Some(Ringing::There),
        _ => None,
    };
    let talking = call.state.is_up() || call.state == CallState::Early;
    (ringing.is_some() || talking).then_some(DevicesMsg::Call {
        call: call.id,
        ringing,
        talking,
    })
}
