//! Passwords: kept, found again and forgotten, off the mailbox.

use std::collections::HashMap;

use model::{AccountId, NoticeLevel, Password, TenantId};
use ractor::ActorRef;
use secrecy::SecretString;
use settings::Settings;
use settings::secrets::{Backend, SecretError};

use super::{PhoneMsg, PhoneState};

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
        let mut missing = wanted(&self.settings);
        missing.retain(|(_, entry)| !self.passwords.contains_key(entry));
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
        let of_found = |id: &AccountId| {
            let entries = [id.clone(), key_entry(id), relay_entry(id)];
            entries.iter().any(|entry| found.contains_key(entry))
        };
        let accounts = self.settings.accounts();
        let waited: Vec<(TenantId, AccountId)> = accounts
            .filter(|(_, account)| of_found(&account.id))
            .map(|(tenant, account)| (tenant.id.clone(), account.id.clone()))
            .collect();
        self.passwords.extend(found);
        waited
            .iter()
            .for_each(|(tenant, account)| self.put_anew(tenant, account));
    }

    pub(super) fn forget_secret(&mut self, tenant: &TenantId, account: &AccountId) {
        let entries = [account.clone(), key_entry(account), relay_entry(account)];
        entries
            .iter()
            .for_each(|entry| drop(self.passwords.remove(entry)));
        let (store, tenant) = (self.secrets.clone(), tenant.clone());
        tokio::task::spawn_blocking(move || {
            for entry in entries {
                if let Err(error) = store.remove(&tenant, &entry) {
                    tracing::warn!(%error, "a password could not be removed");
                }
            }
        });
    }

    /// The password for the relay of an account's media.
    pub(super) fn relay_password(&self, account: &AccountId) -> Option<SecretString> {
        self.passwords.get(&relay_entry(account)).cloned()
    }
}

/// Under which name the password for the relay of an account's media is kept.
pub(crate) fn relay_entry(account: &AccountId) -> AccountId {
    AccountId::new(format!("{} relay", account.as_str()))
}

/// Under which name the passphrase of an account's key is kept, beside its password.
pub(crate) fn key_entry(account: &AccountId) -> AccountId {
    AccountId::new(format!("{} key", account.as_str()))
}

/// All secrets that accounts may have.
pub(crate) fn wanted(settings: &Settings) -> Vec<(TenantId, AccountId)> {
    let mut wanted = Vec::new();
    for (tenant, account) in settings.accounts() {
        wanted.push((tenant.id.clone(), account.id.clone()));
        if account.settings.tls_key.is_some() {
            wanted.push((tenant.id.clone(), key_entry(&account.id)));
        }
        if account.settings.turn_user.is_some() {
            wanted.push((tenant.id.clone(), relay_entry(&account.id)));
        }
    }
    wanted
}
