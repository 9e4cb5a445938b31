//! Further logins of an account, and those that somebody asks for.

use model::{
    AccountId, Identity, Login, LoginFault, LoginPurpose, LoginWanted, NoticeLevel, Password,
    QuestionId,
};
use ractor::ActorRef;
use secrecy::SecretString;

use super::{PhoneMsg, PhoneState};
use crate::passwords::{GivenLogin, Secret};
use crate::tenant::TenantMsg;

/// Further logins of one account.
const MOST_LOGINS: usize = 32;

impl PhoneState {
    /// Gives an account one more login, in the place of one for the same.
    pub(super) fn set_login(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        id: &AccountId,
        login: Login,
        password: Option<Password>,
    ) {
        if self.keep_login(myself, id, &login, password.as_ref())
            && let Some((tenant, _)) = self.settings.account(id)
        {
            let tenant = tenant.id.clone();
            self.put_anew(&tenant, id);
            self.save();
        }
    }

    /// Writes a login into the settings and has its password kept. One that cannot be used is said, and not kept.
    fn keep_login(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        id: &AccountId,
        login: &Login,
        password: Option<&Password>,
    ) -> bool {
        let Some((tenant, _)) = self.settings.account(id) else {
            return false;
        };
        let tenant = tenant.id.clone();
        if let Err(fault) = login.check() {
            self.unusable(&fault);
            return false;
        }
        let Some(account) = self.settings.account_mut(id) else {
            return false;
        };
        let logins = &mut account.settings.logins;
        logins.retain(|other| !other.is_for_the_same(login));
        if logins.len() >= MOST_LOGINS {
            let text = format!("An account has at most {MOST_LOGINS} further logins.");
            self.notice(NoticeLevel::Error, text);
            return false;
        }
        logins.push(login.clone());
        let passwords = self.passwords.entry(id.clone()).or_default();
        let Some(password) = password else {
            let mut of = passwords.logins.iter_mut();
            if let Some((kept, _)) = of.find(|(other, _)| other.is_for_the_same(login)) {
                *kept = login.clone();
            }
            return true;
        };
        let secret = SecretString::from(password.0.clone());
        passwords.put(login.clone(), secret.clone());
        let (store, account, login) = (self.secrets.clone(), id.clone(), login.clone());
        let myself = myself.clone();
        tokio::task::spawn_blocking(move || {
            let result = store.set_login(&tenant, &account, &login, secret);
            let _ = myself.cast(PhoneMsg::SecretKept(result));
        });
        true
    }

    /// Takes a further login away.
    pub(super) fn remove_login(
        &mut self,
        id: &AccountId,
        realm: Option<String>,
        server: Option<String>,
    ) {
        let gone = Login {
            realm,
            server,
            user: Identity::default(),
        };
        let Some(tenant) = self.settings.account(id).map(|(t, _)| t.id.clone()) else {
            return;
        };
        let Some(account) = self.settings.account_mut(id) else {
            return;
        };
        let old = account.settings.logins.clone();
        account
            .settings
            .logins
            .retain(|login| !login.is_for_the_same(&gone));
        let new = account.settings.logins.clone();
        self.settle_logins(&tenant, id, &old, &new);
        self.put_anew(&tenant, id);
        self.save();
    }

    /// Forgets the passwords of logins that are gone, and takes the user names of those that stay.
    pub(super) fn settle_logins(
        &mut self,
        tenant: &model::TenantId,
        id: &AccountId,
        old: &[Login],
        new: &[Login],
    ) {
        let stays = |login: &Login| new.iter().find(|now| now.is_for_the_same(login));
        if let Some(passwords) = self.passwords.get_mut(id) {
            passwords.logins.retain_mut(|(login, _)| {
                let now = stays(login).cloned();
                let was_set = old.iter().any(|before| before.is_for_the_same(login));
                if let Some(now) = &now {
                    *login = now.clone();
                }
                now.is_some() || !was_set
            });
        }
        let gone: Vec<Login> = old.iter().filter(|l| stays(l).is_none()).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let (store, tenant, account) = (self.secrets.clone(), tenant.clone(), id.clone());
        tokio::task::spawn_blocking(move || {
            for login in gone {
                if let Err(error) = store.remove_login(&tenant, &account, &login) {
                    tracing::warn!(%error, "a password could not be removed");
                }
            }
        });
    }

    /// Gives the login that somebody asks for. What waits goes on with it; an account that could not sign in without
    /// it does so anew.
    pub(super) fn answer_login(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        question: QuestionId,
        user: Option<Identity>,
        password: &Password,
        keep: bool,
    ) {
        let Some(asked) = self.question(question) else {
            return self.nobody_asks();
        };
        let id = &asked.account;
        let Some((tenant, account)) = self.settings.account(id) else {
            return;
        };
        let tenant = tenant.id.clone();
        let signs_in = asked.purpose == LoginPurpose::Registration;
        let own = own_user(account);
        let login = Login {
            realm: Some(asked.realm.clone()),
            server: None,
            user: user.unwrap_or_else(|| asked.user.clone()),
        };
        if let Err(fault) = login.check() {
            return self.unusable(&fault);
        }
        let secret = SecretString::from(password.0.clone());
        // What the registrar asks for is the account's own login, unless another name is given for it.
        let of_account = signs_in && login.user == own;
        if of_account && keep {
            self.keep_secret(myself, &tenant, id, Secret::Own, password);
        } else if of_account || !keep || !self.keep_login(myself, id, &login, Some(password)) {
            let passwords = self.passwords.entry(id.clone()).or_default();
            match of_account {
                true => passwords.own = Some(secret.clone()),
                false => passwords.put(login.clone(), secret.clone()),
            }
        }
        if keep {
            self.save();
        }
        let given = GivenLogin {
            login,
            password: secret,
        };
        let message = TenantMsg::Login {
            account: id.clone(),
            questions: self.questions_like(&asked),
            given: Some(given),
            passwords: Some(self.passwords_of(id)),
        };
        self.to_tenant(&tenant, message);
        if signs_in {
            self.put_anew(&tenant, id);
        }
    }

    /// Gives no login: what waits has failed.
    pub(super) fn decline_login(&mut self, question: QuestionId) {
        let Some(asked) = self.question(question) else {
            return self.nobody_asks();
        };
        let account = asked.account.clone();
        if let Some((tenant, _)) = self.settings.account(&account) {
            let message = TenantMsg::Login {
                account,
                questions: vec![asked],
                given: None,
                passwords: None,
            };
            self.to_tenant(&tenant.id, message);
        }
    }

    fn question(&self, id: QuestionId) -> Option<LoginWanted> {
        let asked = |login: &&LoginWanted| login.id == id;
        self.shared
            .hub
            .read(|state| state.logins.iter().find(asked).cloned())
    }

    /// This question, and the others that its asker waits with. A realm is a name that anybody can take: who asks in it
    /// from elsewhere is not answered by the way.
    fn questions_like(&self, asked: &LoginWanted) -> Vec<LoginWanted> {
        let like = |login: &&LoginWanted| login.id == asked.id || login.is_of_the_same_asker(asked);
        self.shared
            .hub
            .read(|state| state.logins.iter().filter(like).cloned().collect())
    }

    fn unusable(&self, fault: &LoginFault) {
        let text = format!("The login was not taken: {fault}.");
        self.notice(NoticeLevel::Error, text);
    }

    fn nobody_asks(&self) {
        let text = "Nobody waits for that login any more.";
        self.notice(NoticeLevel::Warning, text.to_owned());
    }
}

/// The user name of an account's own login.
fn own_user(account: &settings::Account) -> Identity {
    match &account.settings.auth_user {
        Some(user) => user.clone(),
        None => {
            let aor = account.settings.aor.reveal();
            let rest = aor.split_once(':').map_or(aor, |(_, rest)| rest);
            Identity::from(rest.split('@').next().unwrap_or_default())
        }
    }
}
