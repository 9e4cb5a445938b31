//! Tenants and accounts: made, changed, signed in and forgotten.

use model::{AccountId, AccountSettings, Command, NoticeLevel, Password, TenantId};
use ractor::ActorRef;
use settings::{Account, Tenant};

use super::{PhoneMsg, PhoneState};
use crate::identity::Identity;
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

    pub(super) fn update_account(
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

    pub(super) fn remove_account(&mut self, id: AccountId) {
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
    pub(super) fn contact_secret(&mut self, account: &AccountId) -> u32 {
        *self
            .contact_secrets
            .entry(account.clone())
            .or_insert_with(|| (random_u64() >> 32) as u32)
    }
}
