//! Accounts: started, given new settings, signed out, and started again when they fail.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{
    AccountId, AccountSettings, AccountView, Event, Failure, FailureKind, LoginPurpose,
    LoginWanted, NoticeLevel, QuestionId, RegistrationState,
};
use ractor::{Actor, ActorRef};

use super::{Account, AccountSpec, TenantMsg, TenantState};
use crate::account::{AccountActor, AccountArgs, AccountFacts, AccountMsg, Wish};
use crate::dialog::DialogMsg;
use crate::oneshot::OneShotMsg;
use crate::passwords::{GivenLogin, Passwords};
use crate::supervise::Budget;
use crate::wake::now;
use crate::wall;

/// How long a failed account rests before its first restart; doubled with each.
const ACCOUNT_REST: Duration = Duration::from_millis(500);
/// How long signing out may hold up new settings.
const SIGN_OUT: Duration = Duration::from_secs(2);

impl TenantState {
    pub(super) fn account_actor(&self, id: &AccountId) -> Option<&ActorRef<AccountMsg>> {
        self.accounts
            .get(id)
            .and_then(|account| account.actor.as_ref())
    }

    pub(super) fn tell_account(&self, id: &AccountId, message: AccountMsg) {
        if let Some(actor) = self.account_actor(id) {
            let _ = actor.cast(message);
        }
    }

    pub(super) fn wish(&self, id: &AccountId, wish: Wish) {
        self.tell_account(id, AccountMsg::Bindings(wish));
    }

    /// Says at once that whom this account holds will hear nothing: at the first hold nobody looks at notices. A disk may be slow,
    /// so the file is read elsewhere.
    pub(super) fn try_hold_music(&self, settings: &AccountSettings) {
        let Some(file) = settings.hold_music.clone().map(PathBuf::from) else {
            return;
        };
        let (shared, tenant) = (Arc::clone(&self.shared), self.view.id.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(why) = shared.sounds.read(&file, None) {
                let text = format!(
                    "Who is put on hold will hear silence, for {} cannot be played: {why}.",
                    file.display()
                );
                shared.notice(NoticeLevel::Warning, Some(&tenant), text);
            }
        });
    }

    /// A new account starts; an old one signs out first and then starts anew.
    pub(super) async fn put_account(&mut self, myself: &ActorRef<TenantMsg>, spec: AccountSpec) {
        let id = spec.id.clone();
        self.try_hold_music(&spec.settings);
        if let Some(tls) = &spec.identity.tls {
            super::trust::remember_all(tls.remembered(), &self.view.trusted);
        }
        match self.accounts.get_mut(&id) {
            Some(Account {
                actor: Some(actor),
                next,
                ..
            }) => {
                *next = Some(Box::new(spec));
                let _ = actor.cast(AccountMsg::Leave { shown: true });
                let old = actor.clone();
                myself.send_after(SIGN_OUT, move || TenantMsg::StopAccount(old));
            }
            _ => {
                let account = Account {
                    spec,
                    actor: None,
                    facts: AccountFacts::default(),
                    budget: Budget::account(),
                    removed: false,
                    next: None,
                };
                self.accounts.insert(id.clone(), account);
                self.start_account(myself, &id).await;
            }
        }
    }

    /// What the account does by itself with the next call is different; its registration goes on.
    pub(super) fn set_aside(&mut self, id: &AccountId, settings: &AccountSettings) {
        self.try_hold_music(settings);
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        let next = account.next.as_deref_mut();
        for spec in next.into_iter().chain([&mut account.spec]) {
            spec.settings = settings.clone();
            spec.identity.set_aside(settings);
        }
        self.tell_account(id, AccountMsg::Settings(Box::new(settings.clone())));
    }

    /// Those who asked go on with this login, or without any; calls and messages to come have what the account has now.
    pub(super) fn pass_login(
        &mut self,
        id: &AccountId,
        questions: &[LoginWanted],
        given: Option<&GivenLogin>,
        passwords: Option<Passwords>,
    ) {
        if let (Some(account), Some(passwords)) = (self.accounts.get_mut(id), passwords) {
            if let Some(next) = &mut account.next {
                next.passwords = passwords.clone();
            }
            account.spec.passwords = passwords;
        }
        for asked in questions {
            if let Some(call) = asked.call {
                let message = DialogMsg::Login {
                    question: asked.id,
                    given: given.cloned().map(Box::new),
                };
                self.tell(call, message);
            } else if asked.purpose == LoginPurpose::Registration && given.is_none() {
                self.tell_account(id, AccountMsg::NoLogin(asked.id));
            }
        }
        let questions: Vec<QuestionId> = questions.iter().map(|asked| asked.id).collect();
        for actor in &self.one_shots {
            let _ = actor.cast(OneShotMsg::Login {
                questions: questions.clone(),
                given: given.cloned().map(Box::new),
            });
        }
    }

    pub(super) async fn start_account(&mut self, myself: &ActorRef<TenantMsg>, id: &AccountId) {
        let Some(account) = self.accounts.get_mut(id).filter(|a| a.actor.is_none()) else {
            return;
        };
        let args = AccountArgs {
            shared: Arc::clone(&self.shared),
            tenant: myself.clone(),
            tenant_id: self.view.id.clone(),
            id: id.clone(),
            settings: account.spec.settings.clone(),
            identity: account.spec.identity.clone(),
            passwords: account.spec.passwords.clone(),
            transport: self.transport.clone(),
            recorder: self.recorder.clone(),
        };
        match Actor::spawn_linked(None, AccountActor, args, myself.get_cell()).await {
            Ok((actor, _)) => account.actor = Some(actor),
            Err(error) => {
                let detail = error.to_string();
                self.show_degraded(id, &detail);
            }
        }
    }

    pub(super) fn remove_account(&mut self, id: &AccountId) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.removed = true;
        match &account.actor {
            Some(actor) => drop(actor.cast(AccountMsg::Leave { shown: false })),
            None => drop(self.accounts.remove(id)),
        }
        self.shared.hub.publish(Event::AccountRemoved {
            account: id.clone(),
        });
    }

    pub(super) async fn on_account_ended(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        id: &AccountId,
        error: Option<String>,
    ) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.actor = None;
        if account.removed {
            self.accounts.remove(id);
            return;
        }
        if let Some(next) = account.next.take() {
            account.spec = *next;
            account.facts = AccountFacts::default();
            return self.start_account(myself, id).await;
        }
        let Some(error) = error.filter(|_| !self.leaving) else {
            return;
        };
        if account.budget.take(now()) {
            // Spread by the name, so that accounts that failed together do not return together.
            let spread =
                Duration::from_millis(id.as_str().bytes().map(u64::from).sum::<u64>() % 250);
            let rest =
                ACCOUNT_REST * 2_u32.pow(account.budget.taken().saturating_sub(1).min(6)) + spread;
            self.note(
                "supervision",
                format!(
                    "account “{}” failed inside ({error}) and is started again",
                    id.as_str()
                ),
            );
            let again = id.clone();
            myself.send_after(rest, move || TenantMsg::RestartAccount(again));
        } else {
            self.show_degraded(id, &error);
        }
    }

    pub(super) fn show_degraded(&self, id: &AccountId, error: &str) {
        self.note(
            "supervision",
            format!(
                "account “{}” failed too often ({error}) and rests until you retry",
                id.as_str()
            ),
        );
        let Some(account) = self.accounts.get(id) else {
            return;
        };
        let failure = Failure::new(FailureKind::Internal {
            detail: "the account's own actor".into(),
        })
        .registering();
        let settings = account.spec.settings.clone();
        let view = AccountView {
            state: RegistrationState::Degraded,
            failure: Some(failure),
            ..AccountView::new(id.clone(), self.view.id.clone(), settings, wall())
        };
        self.shared.hub.publish(Event::Account {
            account: Box::new(view),
        });
    }
}
