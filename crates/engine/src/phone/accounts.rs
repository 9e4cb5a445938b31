//! Tenants and accounts: made, changed, signed in and forgotten.

use model::{
    AccountId, AccountSettings, Command, NoticeLevel, Password, TenantId, TrustedCertificate,
};
use ractor::ActorRef;
use secrecy::SecretString;
use settings::{Account, Tenant};

use super::{PhoneMsg, PhoneState};
use crate::identity::{Identity, IdentityError};
use crate::passwords::Secret;
use crate::shared::random_u64;
use crate::store::StoreMsg;
use crate::tenant::{AccountSpec, TenantMsg};

impl PhoneState {
    pub(super) fn add_tenant(&mut self, name: &str) -> TenantId {
        let id = self.settings.fresh_tenant_id(name);
        let colour = u8::try_from(self.settings.tenants.len() % 8).unwrap_or(0);
        self.settings
            .tenants
            .push(Tenant::new(id.clone(), name, colour));
        id
    }

    pub(super) fn update_tenant(&mut self, id: &TenantId, name: String, colour: u8) {
        if let Some(tenant) = self.settings.tenant_mut(id) {
            tenant.name.clone_from(&name);
            tenant.colour = colour;
            self.to_tenant(id, TenantMsg::Renamed { name, colour });
            self.save();
        }
    }

    /// Accounts that name no local address of their own move to this one.
    pub(super) fn bind_tenant(&mut self, id: &TenantId, bind: Option<String>) {
        let bind = bind.filter(|text| !text.trim().is_empty());
        if let Some(text) = &bind
            && let Err(error) = crate::identity::local_address(text)
        {
            return self.notice(NoticeLevel::Error, error.sentence());
        }
        let Some(tenant) = self.settings.tenant_mut(id) else {
            return;
        };
        tenant.bind.clone_from(&bind);
        let moving: Vec<AccountId> = tenant
            .accounts
            .iter()
            .filter(|account| account.settings.bind.is_none())
            .map(|account| account.id.clone())
            .collect();
        self.to_tenant(id, TenantMsg::Bound { bind });
        for account in moving {
            self.put_anew(id, &account);
        }
        self.save();
    }

    /// Trusts a certificate for a host, or forgets that it was trusted.
    pub(super) fn trust(&mut self, id: &TenantId, host: &str, fingerprint: Option<&str>) {
        let fingerprint = match fingerprint.map(str::parse::<wire::Fingerprint>).transpose() {
            Ok(fingerprint) => fingerprint,
            Err(error) => {
                return self.notice(NoticeLevel::Error, format!("Nothing is trusted: {error}."));
            }
        };
        let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
        let Some(tenant) = self.settings.tenant_mut(id) else {
            return;
        };
        tenant.trusted.retain(|trusted| trusted.host != host);
        if let Some(fingerprint) = fingerprint {
            tenant.trusted.push(TrustedCertificate {
                host: host.clone(),
                fingerprint: fingerprint.to_string(),
            });
        }
        self.to_tenant(id, TenantMsg::Trust { host, fingerprint });
        self.save();
    }

    /// Starts an account anew with the settings that stand.
    pub(super) fn put_anew(&mut self, tenant: &TenantId, id: &AccountId) {
        let Some((entry, account)) = self.settings.account(id) else {
            return;
        };
        let (settings, bind) = (account.settings.clone(), entry.bind.clone());
        let identity = match self.identity_of(id, &settings, bind.as_deref()) {
            Ok(identity) => identity,
            Err(error) => return self.notice(NoticeLevel::Error, error.sentence()),
        };
        let spec = AccountSpec {
            id: id.clone(),
            settings,
            identity,
            passwords: self.passwords_of(id),
        };
        self.to_tenant(tenant, TenantMsg::PutAccount(Box::new(spec)));
    }

    pub(super) fn remove_tenant(&mut self, id: &TenantId) {
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

    pub(super) async fn add_account(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        tenant: Option<TenantId>,
        settings: AccountSettings,
        password: Option<Password>,
    ) {
        let id = self.settings.fresh_account_id(settings.aor.reveal());
        let owner = tenant.as_ref().and_then(|id| self.settings.tenant(id));
        let owner = owner.or_else(|| self.settings.tenants.first());
        let bind = owner.and_then(|tenant| tenant.bind.clone());
        let identity = match self.identity_of(&id, &settings, bind.as_deref()) {
            Ok(identity) => identity,
            Err(error) => return self.notice(NoticeLevel::Error, error.sentence()),
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
        if let Some(password) = password {
            self.keep_secret(myself, &tenant, &id, Secret::Own, &password);
        }
        let spec = AccountSpec {
            passwords: self.passwords_of(&id),
            id,
            settings,
            identity,
        };
        self.to_tenant(&tenant, TenantMsg::PutAccount(Box::new(spec)));
        self.save();
    }

    pub(super) fn update_account(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        id: &AccountId,
        settings: AccountSettings,
        password: Option<Password>,
    ) {
        let bind = self
            .settings
            .account(id)
            .and_then(|(tenant, _)| tenant.bind.clone());
        let identity = match self.identity_of(id, &settings, bind.as_deref()) {
            Ok(identity) => identity,
            Err(error) => return self.notice(NoticeLevel::Error, error.sentence()),
        };
        let Some(tenant) = self
            .settings
            .account(id)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            return;
        };
        let Some(account) = self.settings.account_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut account.settings, settings.clone());
        self.shared.failing.forget(id);
        if password.is_none() && is_aside(&old, &settings) {
            let message = TenantMsg::SetAside(id.clone(), Box::new(settings));
            self.to_tenant(&tenant, message);
            return self.save();
        }
        if let Some(password) = password {
            self.keep_secret(myself, &tenant, id, Secret::Own, &password);
        }
        self.settle_logins(&tenant, id, &old.logins, &settings.logins);
        let spec = AccountSpec {
            id: id.clone(),
            settings,
            identity,
            passwords: self.passwords_of(id),
        };
        self.to_tenant(&tenant, TenantMsg::PutAccount(Box::new(spec)));
        self.save();
    }

    /// Keeps the password for the relay of an account's media; calls from now on use it.
    pub(super) fn set_relay_password(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        id: &AccountId,
        password: &Password,
    ) {
        let tenant = self
            .settings
            .account(id)
            .map(|(tenant, _)| tenant.id.clone());
        if let Some(tenant) = tenant {
            self.shared.failing.forget(id);
            self.keep_secret(myself, &tenant, id, Secret::Relay, password);
            self.put_anew(&tenant, id);
        }
    }

    pub(super) fn remove_account(&mut self, id: AccountId) {
        let Some(tenant) = self
            .settings
            .account(&id)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            return;
        };
        self.forget_secret(&tenant, &id);
        self.shared.failing.forget(&id);
        if let Some(entry) = self.settings.tenant_mut(&tenant) {
            entry.accounts.retain(|a| a.id != id);
        }
        self.to_tenant(
            &tenant,
            TenantMsg::Command(Command::RemoveAccount { account: id }),
        );
        self.save();
    }

    /// An account as the protocol sees it, its key opened where it is locked and its passphrase known.
    pub(super) fn identity_of(
        &mut self,
        id: &AccountId,
        settings: &AccountSettings,
        bind: Option<&str>,
    ) -> Result<Identity, IdentityError> {
        let secret = self.contact_secret(id);
        let passphrase = self.passwords.get(id).and_then(|known| known.key.as_ref());
        let identity = Identity::at(settings, secret, bind, passphrase)?;
        if let Some(file) = &identity.locked_key {
            let text = format!(
                "The key in {} is protected by a passphrase; until that is given (`set_key_passphrase`), servers that want its certificate do not get it.",
                file.reveal()
            );
            self.notice(NoticeLevel::Warning, text);
        }
        Ok(identity)
    }

    /// Opens the key of an account with its passphrase, and keeps that if it is the right one.
    pub(super) fn open_key(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        id: &AccountId,
        passphrase: &Password,
    ) {
        let Some((tenant, account)) = self.settings.account(id) else {
            return;
        };
        let (tenant, settings) = (tenant.id.clone(), account.settings.clone());
        let secret = SecretString::from(passphrase.0.clone());
        if let Err(error) = Identity::at(&settings, 0, None, Some(&secret)) {
            return self.notice(
                NoticeLevel::Error,
                format!("{}.", error.sentence().reveal()),
            );
        }
        self.keep_secret(myself, &tenant, id, Secret::Key, passphrase);
        self.put_anew(&tenant, id);
    }

    /// Signs an account in; a tenant that rests after repeated failures gets another try.
    pub(super) async fn register(&mut self, myself: &ActorRef<PhoneMsg>, account: AccountId) {
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

    /// Stays the same for an account as long as the program runs, so that a new registration takes
    /// the place of the old one.
    fn contact_secret(&mut self, account: &AccountId) -> u32 {
        *self
            .contact_secrets
            .entry(account.clone())
            .or_insert_with(|| (random_u64() >> 32) as u32)
    }
}

/// Whether new settings differ only in what no server needs to know of: the account's name in lists, what it does with
/// calls by itself, how it sounds, and how long a person may take.
fn is_aside(old: &AccountSettings, new: &AccountSettings) -> bool {
    let mut changed = old.clone();
    changed.label.clone_from(&new.label);
    changed.calls.clone_from(&new.calls);
    changed.voice = new.voice;
    changed.recording_tone_s = new.recording_tone_s;
    changed.recording_opus = new.recording_opus;
    changed.hold_music.clone_from(&new.hold_music);
    changed.quality_report.clone_from(&new.quality_report);
    changed.login_wait_s = new.login_wait_s;
    old != new && changed == *new
}
