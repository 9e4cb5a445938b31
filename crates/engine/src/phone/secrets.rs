//! Passwords: kept, found again and forgotten, off the mailbox.

use std::collections::HashMap;

use model::{AccountId, NoticeLevel, Password, TenantId};
use ractor::ActorRef;
use secrecy::SecretString;
use settings::secrets::{Backend, SecretError};

use super::{PhoneMsg, PhoneState};
use crate::identity::Identity;
use crate::tenant::{AccountSpec, TenantMsg};

impl PhoneState {
    /// Uses a password from now on and has it kept, off this mailbox: a keystore may take seconds.
    pub(super) fn keep_secret(
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

    pub(super) fn on_secret_kept(&self, result: Result<Backend, SecretError>) {
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
    pub(super) fn unlock_secrets(&self, myself: &ActorRef<PhoneMsg>, passphrase: &Password) {
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

    pub(super) fn on_secrets_unlocked(
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
            let bind = tenant.bind.as_deref();
            let Ok(identity) = Identity::at(&account.settings, secret, bind) else {
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

    pub(super) fn forget_secret(&mut self, tenant: &TenantId, account: &AccountId) {
        self.passwords.remove(account);
        let (store, tenant, account) = (self.secrets.clone(), tenant.clone(), account.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.remove(&tenant, &account) {
                tracing::warn!(%error, "a password could not be removed");
            }
        });
    }
}
