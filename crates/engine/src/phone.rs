//! The root: routes commands by id, keeps restart budgets, and owns no protocol state.

mod accounts;
mod calls;
mod children;
mod logins;
mod persons;
mod secrets;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{
    AccountId, CallId, Command, DeviceRole, Event, Notice, NoticeLevel, Sentence, TenantId,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use settings::Settings;
use settings::secrets::{Backend, SecretError, SecretStore};

use crate::devices::{DevicesArgs, DevicesMsg};
use crate::network::Moved;
use crate::passwords::Passwords;
use crate::shared::Shared;
use crate::store::{StoreArgs, StoreMsg};
use crate::supervise::Budget;
use crate::tenant::{Dialled, Kept, TenantMsg};
use crate::{DRAINED, wall};

/// What a [`PhoneActor`] can be told.
pub(crate) enum PhoneMsg {
    /// A client's command.
    Command(Command),
    /// The encrypted file was opened, and this is what was in it for our accounts; or it was not.
    SecretsUnlocked(Result<HashMap<AccountId, Passwords>, SecretError>),
    /// Where a password went, or why it could not be kept.
    SecretKept(Result<Backend, SecretError>),
    /// The machine came to another network, or slept.
    Moved(Arc<Moved>),
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
    pub(crate) passwords: HashMap<AccountId, Passwords>,
}

pub(crate) struct PhoneState {
    shared: Arc<Shared>,
    settings: Settings,
    save_to: Option<PathBuf>,
    secrets: SecretStore,
    passwords: HashMap<AccountId, Passwords>,
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
            PhoneMsg::Moved(moved) => state.on_moved(&moved),
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
            Command::SetTenantBind { tenant, bind } => self.bind_tenant(&tenant, bind),
            Command::TrustCertificate {
                tenant,
                host,
                fingerprint,
            } => self.trust(&tenant, &host, Some(&fingerprint)),
            Command::ForgetCertificate { tenant, host } => self.trust(&tenant, &host, None),
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
            Command::SetRelayPassword { account, password } => {
                self.set_relay_password(myself, &account, &password);
            }
            Command::SetLogin {
                account,
                login,
                password,
            } => self.set_login(myself, &account, login, password),
            Command::RemoveLogin {
                account,
                realm,
                server,
            } => self.remove_login(&account, realm, server),
            Command::AnswerLogin {
                question,
                user,
                password,
                keep,
            } => self.answer_login(myself, question, user, &password, keep),
            Command::DeclineLogin { question } => self.decline_login(question),
            Command::RemoveAccount { account } => self.remove_account(account),
            Command::PlaceCall {
                account,
                target,
                headers,
                direction,
            } => {
                let dialled = Dialled {
                    headers,
                    direction,
                    ..Dialled::to(target)
                };
                self.place_call(account, dialled);
            }
            Command::Redial { account } => self.redial(account),
            Command::PickUp {
                account,
                target,
                dialog,
            } => self.pick_up(account, target, dialog),
            Command::JoinIn {
                account,
                target,
                dialog,
            } => self.join_in(account, target, dialog),
            Command::AnswerCall { call } | Command::ResumeCall { call } => {
                if let Some(tenant) = self.tenant_of(call) {
                    self.take_up(&[call], &tenant);
                }
                self.to_call(call, command);
            }
            Command::AnswerTransfer { call, accept } => {
                if accept {
                    self.follow_transfer(call);
                }
                self.to_call(call, command);
            }
            Command::JoinCalls { ref calls } => {
                if let Some(first) = calls.first().copied()
                    && let Some(tenant) = self.tenant_of(first)
                {
                    self.take_up(calls, &tenant);
                    self.to_call(first, command);
                }
            }
            Command::RejectCall { call, .. }
            | Command::EndCall { call }
            | Command::HoldCall { call }
            | Command::MuteCall { call, .. }
            | Command::SetDirection { call, .. }
            | Command::RecordCall { call, .. }
            | Command::PlayFile { call, .. }
            | Command::SendDtmf { call, .. }
            | Command::TransferCall { call, .. }
            | Command::ConnectCalls { call, .. }
            | Command::LeaveConference { call }
            | Command::RenewKeys { call }
            | Command::FollowRedirect { call, .. }
            | Command::DeclineRedirect { call }
            | Command::DismissCall { call } => self.to_call(call, command),
            Command::Register { account } => self.register(myself, account).await,
            Command::Unregister { ref account }
            | Command::SendOptions { ref account, .. }
            | Command::SendRequest { ref account, .. }
            | Command::ListBindings { ref account }
            | Command::RemoveBinding { ref account, .. }
            | Command::ClearBindings { ref account }
            | Command::SendMessage { ref account, .. } => {
                let account = account.clone();
                self.to_account(&account, command);
            }
            Command::MarkMessagesRead { account, from } => {
                self.mark_messages_read(&account, from.as_ref());
            }
            Command::ClearMessages { account } => {
                self.shared.hub.publish(Event::MessagesCleared { account });
            }
            Command::SetPresence {
                account,
                state,
                note,
            } => self.set_presence(account, state, &note),
            Command::ChooseDevice { role, device } => {
                match role {
                    DeviceRole::Capture => self.settings.devices.capture.clone_from(&device),
                    DeviceRole::Playout => self.settings.devices.playout.clone_from(&device),
                    DeviceRole::Ringer => self.settings.devices.ringer.clone_from(&device),
                }
                self.devices_args.choose(role, device.clone());
                self.shared
                    .devices
                    .cast(DevicesMsg::Choose { role, device });
                self.save();
            }
            Command::SetVolume {
                speaker_percent: speaker,
                microphone_percent: microphone,
            } => {
                let kept = &mut self.settings.devices;
                kept.speaker_volume = speaker.or(kept.speaker_volume);
                kept.microphone_gain = microphone.or(kept.microphone_gain);
                self.devices_args.set_volume(speaker, microphone);
                self.shared.devices.cast(DevicesMsg::SetVolume {
                    speaker,
                    microphone,
                });
                self.save_soon();
            }
            Command::ChooseTones { country } => {
                if let Some(Err(why)) = country.as_deref().map(crate::check_tones) {
                    let text = format!("Other tones were not chosen: {why}.");
                    return self.notice(NoticeLevel::Warning, text);
                }
                self.settings.devices.tones.clone_from(&country);
                self.devices_args.tones.clone_from(&country);
                self.shared.devices.cast(DevicesMsg::ChooseTones(country));
                self.save();
            }
            Command::RefreshDevices => self.shared.devices.cast(DevicesMsg::Refresh),
            Command::TestSound { on, with } => {
                let what = on.then_some(with);
                self.shared.devices.cast(DevicesMsg::Test(what));
            }
            Command::ClearHistory { tenant } => {
                self.shared.store.cast(StoreMsg::ClearHistory(tenant));
            }
            Command::ReadQuality { entry } => {
                self.shared.store.cast(StoreMsg::ReadQuality(entry));
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
            Command::SetKeyPassphrase {
                account,
                passphrase,
            } => self.open_key(myself, &account, &passphrase),
            Command::UnlockSecrets { passphrase } => self.unlock_secrets(myself, &passphrase),
            Command::Shutdown => self.leave(),
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

    /// Every tenant has the network of the machine.
    fn on_moved(&mut self, moved: &Arc<Moved>) {
        tracing::info!(%moved, "network");
        for actor in self.tenants.values().filter_map(|t| t.actor.as_ref()) {
            let _ = actor.cast(TenantMsg::Moved(Arc::clone(moved)));
        }
    }

    fn save(&self) {
        if let Some((dir, settings)) = self.to_save() {
            self.shared.store.cast(StoreMsg::Save { dir, settings });
        }
    }

    /// For what changes many times a second while somebody tries what is right.
    fn save_soon(&self) {
        if let Some((dir, settings)) = self.to_save() {
            self.shared.store.cast(StoreMsg::SaveSoon { dir, settings });
        }
    }

    fn to_save(&self) -> Option<(PathBuf, Box<Settings>)> {
        let dir = self.save_to.clone()?;
        Some((dir, Box::new(self.settings.clone())))
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

    fn notice(&self, level: NoticeLevel, text: impl Into<Sentence>) {
        let notice = Notice {
            time: wall(),
            level,
            tenant: None,
            text: text.into(),
        };
        self.shared.hub.publish(Event::Notice { notice });
    }
}
