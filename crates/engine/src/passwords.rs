//! The secrets of an account: its own, those of its further logins, of its key and of its relay.

use model::{AccountId, Login, TenantId};
use secrecy::{ExposeSecret, SecretString};
use settings::secrets::{SecretError, SecretStore};
use settings::{Account, Settings, Tenant};
use sip_core::auth::Credentials;

use crate::identity::Identity;

/// A secret that an account has once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// Of its own login.
    Own,
    /// The passphrase of the key beside its certificate.
    Key,
    /// The password for the relay of its media, where that has a user of its own.
    Relay,
}

impl Secret {
    pub(crate) const ALL: [Self; 3] = [Self::Own, Self::Key, Self::Relay];

    /// Under which name it is kept.
    pub(crate) fn entry(self, account: &AccountId) -> AccountId {
        match self {
            Self::Own => account.clone(),
            Self::Key => AccountId::new(format!("{} key", account.as_str())),
            Self::Relay => AccountId::new(format!("{} relay", account.as_str())),
        }
    }
}

/// What an account has to show to those who ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passwords {
    /// Of its own login.
    pub(crate) own: Option<SecretString>,
    /// The passphrase of its key.
    pub(crate) key: Option<SecretString>,
    /// That for the relay of its media.
    pub(crate) relay: Option<SecretString>,
    /// Of further logins. A realm or server stands here once.
    pub(crate) logins: Vec<(Login, SecretString)>,
}

/// A login that a person gave to what waits for one.
#[derive(Clone, Debug)]
pub(crate) struct GivenLogin {
    pub(crate) login: Login,
    pub(crate) password: SecretString,
}

impl Passwords {
    /// Puts a login in the place of one for the same.
    pub(crate) fn put(&mut self, login: Login, password: SecretString) {
        self.logins
            .retain(|(other, _)| !other.is_for_the_same(&login));
        self.logins.push((login, password));
    }

    pub(crate) fn set(&mut self, secret: Secret, value: SecretString) {
        *self.slot(secret) = Some(value);
    }

    fn slot(&mut self, secret: Secret) -> &mut Option<SecretString> {
        match secret {
            Secret::Own => &mut self.own,
            Secret::Key => &mut self.key,
            Secret::Relay => &mut self.relay,
        }
    }

    /// Takes what another knows and this one does not.
    pub(crate) fn fill_from(&mut self, mut other: Self) {
        for secret in Secret::ALL {
            let found = other.slot(secret).take();
            let slot = self.slot(secret);
            *slot = slot.take().or(found);
        }
        for (login, password) in other.logins {
            if !self.has(&login) {
                self.put(login, password);
            }
        }
    }

    fn has(&self, login: &Login) -> bool {
        let mut logins = self.logins.iter();
        logins.any(|(other, _)| other.is_for_the_same(login))
    }

    pub(crate) fn is_empty(&self) -> bool {
        let of_account = [&self.own, &self.key, &self.relay];
        of_account.into_iter().all(Option::is_none) && self.logins.is_empty()
    }

    /// Everything to answer challenges with.
    pub(crate) fn credentials(&self, identity: &Identity) -> Vec<Credentials> {
        let further = self.logins.iter().map(|(login, password)| {
            let given = GivenLogin {
                login: login.clone(),
                password: password.clone(),
            };
            given.credentials(identity)
        });
        let guest = identity.guest_login.then(Credentials::guest);
        identity
            .credentials(self.own.as_ref())
            .into_iter()
            .chain(further)
            .chain(guest)
            .collect()
    }
}

impl GivenLogin {
    /// What to answer with in its name; an account that refuses weak logins refuses them here, too.
    pub(crate) fn credentials(&self, identity: &Identity) -> Credentials {
        let user = self.login.user.reveal().to_owned();
        let password = self.password.expose_secret().to_owned();
        let mut credentials = identity.as_strong(Credentials::new(user, password));
        if let Some(realm) = &self.login.realm {
            credentials = credentials.for_realm(realm.clone());
        }
        if let Some(server) = &self.login.server {
            credentials = credentials.for_server(server);
        }
        credentials
    }
}

/// Secrets that are to be read.
pub(crate) struct Wanted {
    tenant: TenantId,
    pub(crate) account: AccountId,
    secrets: Vec<Secret>,
    logins: Vec<Login>,
}

impl Wanted {
    /// All that an account may have.
    pub(crate) fn of(tenant: &Tenant, account: &Account) -> Self {
        let settings = &account.settings;
        let mut secrets = vec![Secret::Own];
        if settings.tls_key.is_some() {
            secrets.push(Secret::Key);
        }
        if settings.turn_user.is_some() {
            secrets.push(Secret::Relay);
        }
        Self {
            tenant: tenant.id.clone(),
            account: account.id.clone(),
            secrets,
            logins: settings.logins.clone(),
        }
    }

    /// Those of all accounts.
    pub(crate) fn of_all(settings: &Settings) -> Vec<Self> {
        let accounts = settings.accounts();
        accounts.map(|(t, account)| Self::of(t, account)).collect()
    }

    /// Without those that are known; `None` where nothing is left.
    pub(crate) fn without(mut self, mut known: Passwords) -> Option<Self> {
        self.secrets.retain(|secret| known.slot(*secret).is_none());
        self.logins.retain(|login| !known.has(login));
        (!self.secrets.is_empty() || !self.logins.is_empty()).then_some(self)
    }

    /// What there is of them, and what kept the rest. It blocks.
    pub(crate) fn read(&self, store: &SecretStore) -> (Passwords, Option<SecretError>) {
        let mut trouble = None;
        let mut found = |result: Result<Option<SecretString>, SecretError>| {
            result.unwrap_or_else(|error| {
                trouble = Some(error);
                None
            })
        };
        let mut passwords = Passwords::default();
        for secret in &self.secrets {
            let entry = secret.entry(&self.account);
            *passwords.slot(*secret) = found(store.password(&self.tenant, &entry));
        }
        for login in &self.logins {
            let password = store.login_password(&self.tenant, &self.account, login);
            if let Some(password) = found(password) {
                passwords.put(login.clone(), password);
            }
        }
        (passwords, trouble)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use model::AccountSettings;
    use settings::secrets::SecretOptions;

    use super::*;

    fn login(realm: Option<&str>, server: Option<&str>) -> Login {
        Login {
            realm: realm.map(str::to_owned),
            server: server.map(str::to_owned),
            user: "alice-2".into(),
        }
    }

    fn word(secret: Option<&SecretString>) -> Option<&str> {
        secret.map(ExposeSecret::expose_secret)
    }

    #[test]
    fn every_secret_of_an_account_is_read_and_none_that_is_known() {
        let store = SecretStore::open(SecretOptions {
            service: String::new(),
            vault_file: PathBuf::new(),
            passphrase: None,
            use_keystore: false,
        });
        let mut settings = AccountSettings::new("sip:alice@example.com");
        settings.tls_key = Some("/etc/own.key".into());
        settings.turn_user = Some("relay-user".into());
        let logins = [
            login(Some("pbx"), None),
            login(Some("pbx"), Some("host")),
            login(None, Some("host")),
        ];
        settings.logins = logins.to_vec();
        let tenant = Tenant::new(TenantId::new("t"), "T", 0);
        let account = Account::new(AccountId::new("alice"), settings);
        for secret in Secret::ALL {
            let entry = secret.entry(&account.id);
            let value = format!("{secret:?}").into();
            store.set(&tenant.id, &entry, value).expect("it is kept");
        }
        for (login, value) in logins.iter().zip(["realm", "both", "server"]) {
            let kept = store.set_login(&tenant.id, &account.id, login, value.into());
            kept.expect("it is kept");
        }
        let (read, trouble) = Wanted::of(&tenant, &account).read(&store);
        assert!(trouble.is_none());
        assert_eq!(word(read.own.as_ref()), Some("Own"));
        assert_eq!(word(read.key.as_ref()), Some("Key"));
        assert_eq!(word(read.relay.as_ref()), Some("Relay"));
        let found = read.logins.iter().map(|(login, password)| {
            let at = logins.iter().position(|other| other == login);
            (at, password.expose_secret())
        });
        let all = [(Some(0), "realm"), (Some(1), "both"), (Some(2), "server")];
        assert_eq!(found.collect::<Vec<_>>(), all);
        assert!(
            Wanted::of(&tenant, &account)
                .without(read.clone())
                .is_none()
        );

        // What was given meanwhile is newer than what is kept.
        let mut given = Passwords {
            own: Some("given".into()),
            ..Passwords::default()
        };
        given.put(logins[1].clone(), "given too".into());
        let missing = Wanted::of(&tenant, &account).without(given.clone());
        let missing = missing.expect("the rest");
        assert_eq!(missing.secrets, [Secret::Key, Secret::Relay]);
        assert_eq!(missing.logins, [logins[0].clone(), logins[2].clone()]);
        given.fill_from(read);
        assert_eq!(word(given.own.as_ref()), Some("given"));
        assert_eq!(word(given.relay.as_ref()), Some("Relay"));
        let mut both = given.logins.iter().filter(|(login, _)| *login == logins[1]);
        assert_eq!(
            both.next().map(|(_, p)| p.expose_secret()),
            Some("given too")
        );
        assert_eq!((both.next().is_none(), given.logins.len()), (true, 3));
    }

    #[test]
    fn an_account_without_md5_has_it_in_none_of_its_logins() {
        let mut passwords = Passwords {
            own: Some("own".into()),
            ..Passwords::default()
        };
        passwords.put(login(Some("pbx"), Some("Host.example.")), "other".into());
        for strong in [true, false] {
            let mut settings = AccountSettings::new("sip:alice@example.com");
            settings.strong_login = strong;
            let identity = Identity::new(&settings, 0).expect("it is an account");
            let credentials = passwords.credentials(&identity);
            let users: Vec<&str> = credentials.iter().map(Credentials::username).collect();
            assert_eq!(users, ["alice", "alice-2"]);
            assert!(credentials.iter().all(|c| c.is_strong_only() == strong));
            assert_eq!(credentials[1].realm(), Some("pbx"));
            assert_eq!(credentials[1].server(), Some("host.example"));
        }
    }
}
