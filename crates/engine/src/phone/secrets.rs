//! Passwords: kept, found again and forgotten, off the mailbox.

use std::collections::HashMap;

use model::{AccountId, NoticeLevel, Password, TenantId};
use ractor::ActorRef;
use secrecy::SecretString;
use settings::secrets::{Backend, SecretError};

use super::{PhoneMsg, PhoneState};
use crate::passwords::{Passwords, Secret, Wanted};

impl PhoneState {
    /// Uses a password from now on and has it kept, off this mailbox: a keystore may take seconds.
    pub(super) fn keep_secret(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        tenant: &TenantId,
        account: &AccountId,
        which: Secret,
        password: &Password,
    ) {
        let secret = SecretString::from(password.0.clone());
        let passwords = self.passwords.entry(account.clone()).or_default();
        passwords.set(which, secret.clone());
        let (store, tenant) = (self.secrets.clone(), tenant.clone());
        let (entry, myself) = (which.entry(account), myself.clone());
        tokio::task::spawn_blocking(move || {
            let result = store.set(&tenant, &entry, secret);
            let _ = myself.cast(PhoneMsg::SecretKept(result));
        });
    }

    /// What an account has to show to those who ask. Its key is opened here, and nobody else needs the passphrase.
    pub(super) fn passwords_of(&self, account: &AccountId) -> Passwords {
        let known = self.passwords.get(account).cloned().unwrap_or_default();
        Passwords { key: None, ..known }
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
        let missing: Vec<Wanted> = Wanted::of_all(&self.settings)
            .into_iter()
            .filter_map(|wanted| {
                let known = self.passwords.get(&wanted.account).cloned();
                wanted.without(known.unwrap_or_default())
            })
            .collect();
        tokio::task::spawn_blocking(move || {
            let result = store.unlock(&passphrase).map(|()| {
                let found = missing.into_iter().filter_map(|wanted| {
                    let (passwords, _) = wanted.read(&store);
                    (!passwords.is_empty()).then_some((wanted.account, passwords))
                });
                found.collect()
            });
            let _ = myself.cast(PhoneMsg::SecretsUnlocked(result));
        });
    }

    /// What has been given meanwhile stays.
    pub(super) fn on_secrets_unlocked(
        &mut self,
        result: Result<HashMap<AccountId, Passwords>, SecretError>,
    ) {
        crate::publish_secrets(&self.shared.hub, &self.secrets);
        let found = match result {
            Ok(found) => found,
            Err(error) => return self.notice(NoticeLevel::Error, format!("{error}.")),
        };
        for (id, found) in found {
            let tenant = self.settings.account(&id).map(|(t, _)| t.id.clone());
            if let Some(tenant) = tenant {
                let known = self.passwords.entry(id.clone()).or_default();
                known.fill_from(found);
                self.put_anew(&tenant, &id);
            }
        }
    }

    pub(super) fn forget_secret(&mut self, tenant: &TenantId, account: &AccountId) {
        self.passwords.remove(account);
        let logins = match self.settings.account(account) {
            Some((_, entry)) => entry.settings.logins.clone(),
            None => Vec::new(),
        };
        let (store, tenant, account) = (self.secrets.clone(), tenant.clone(), account.clone());
        tokio::task::spawn_blocking(move || {
            let own = Secret::ALL.map(|secret| store.remove(&tenant, &secret.entry(&account)));
            let logins = logins
                .iter()
                .map(|login| store.remove_login(&tenant, &account, login));
            for error in own.into_iter().chain(logins).filter_map(Result::err) {
                tracing::warn!(%error, "a password could not be removed");
            }
        });
    }
}
