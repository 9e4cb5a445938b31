//! What the person is doing in the window. Nothing of it is known to the engine.

use std::collections::BTreeSet;

use model::{
    AccountId, CallId, CallPolicies, CallState, Login, LoginWanted, Outcome, Private,
    RegistrationState, TenantId, Timestamp,
};

use crate::account_form::AccountForm;
use crate::strings;
use crate::view_state::{Data, is_ringing_here};

/// The screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Screen {
    /// Number field, dial pad and calls.
    #[default]
    Phone,
    /// Finished calls.
    History,
    /// Text messages.
    Messages,
    /// The live SIP trace.
    Trace,
    /// Accounts, one at a time.
    Accounts,
    /// Sound, looks, organisations.
    Settings,
}

impl Screen {
    /// All of them, in the order of the tabs.
    pub const ALL: [Self; 6] = [
        Self::Phone,
        Self::History,
        Self::Messages,
        Self::Trace,
        Self::Accounts,
        Self::Settings,
    ];
}

/// A field that is to have the keyboard in the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusWish {
    /// The number field.
    Number,
    /// The filter field of the screen that is shown.
    Filter,
    /// The first field of a form.
    Form,
}

/// Something that is asked about before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Remove this account?
    RemoveAccount(AccountId),
    /// Remove this organisation with everything in it?
    RemoveTenant(TenantId),
    /// Forget the history of this organisation?
    ClearHistory(TenantId),
    /// Forget the messages of this account?
    ClearMessages(AccountId),
    /// Remove every phone that is registered under this account's address?
    ClearBindings(AccountId),
    /// Trust this certificate for this host, whatever is wrong with it?
    TrustCertificate {
        /// Whose accounts trust it then.
        tenant: TenantId,
        /// The name of the server.
        host: String,
        /// SHA-256 over the certificate.
        fingerprint: String,
    },
}

/// Whom the peer of a call is to call instead, while that is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferForm {
    /// Whose peer.
    pub call: CallId,
    /// Whom it is to call.
    pub target: String,
    pub(crate) wants_focus: bool,
}

impl TransferForm {
    /// An empty one, which takes the keyboard.
    pub fn of(call: CallId) -> Self {
        Self {
            call,
            target: String::new(),
            wants_focus: true,
        }
    }
}

/// Which calls are brought together, while that is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// The call that others join.
    pub call: CallId,
    pub(crate) wants_focus: bool,
}

impl Joining {
    /// Nothing chosen yet; it takes the keyboard.
    pub fn of(call: CallId) -> Self {
        Self {
            call,
            wants_focus: true,
        }
    }
}

/// A login that somebody asks for, while it is typed.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginForm {
    /// The question that it answers.
    pub question: LoginWanted,
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whether it is for the next time, too.
    pub keep: bool,
}

impl LoginForm {
    /// Nothing typed yet.
    pub(crate) fn of(question: &LoginWanted) -> Self {
        Self {
            question: question.clone(),
            user: question.user.reveal().to_owned(),
            password: String::new(),
            keep: false,
        }
    }
}

impl std::fmt::Debug for LoginForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LoginForm").field(&self.question).finish()
    }
}

/// A further login of an account, while it is typed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginDraft {
    /// Whose it becomes.
    pub(crate) account: AccountId,
    pub(crate) user: String,
    /// The realm that it is for; empty for any.
    pub(crate) realm: String,
    /// The server that it is for; empty for any.
    pub(crate) server: String,
    pub(crate) password: String,
}

impl LoginDraft {
    /// Nothing typed yet.
    pub(crate) fn new(account: AccountId) -> Self {
        Self {
            account,
            user: String::new(),
            realm: String::new(),
            server: String::new(),
            password: String::new(),
        }
    }

    /// The login, where it has a name and is for somebody.
    pub(crate) fn login(&self) -> Option<Login> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let login = Login {
            realm: some(&self.realm),
            server: some(&self.server),
            user: self.user.trim().into(),
        };
        login.check().is_ok().then_some(login)
    }
}

impl std::fmt::Debug for LoginDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LoginDraft").field(&self.account).finish()
    }
}

/// Where an account's calls are sent, while that is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardForm {
    /// Whose calls.
    pub account: AccountId,
    /// Where all go, where those go that find the line busy, and where those that nobody takes.
    pub typed: [String; 3],
    /// After how many seconds nobody takes them.
    pub after_s: String,
    stored: ([String; 3], String),
}

impl ForwardForm {
    /// What is set.
    pub(crate) fn of(account: AccountId, calls: &CallPolicies) -> Self {
        let stored = Self::stored(calls);
        let (typed, after_s) = stored.clone();
        Self {
            account,
            typed,
            after_s,
            stored,
        }
    }

    fn stored(calls: &CallPolicies) -> ([String; 3], String) {
        let text = |target: &Option<Private>| {
            target
                .as_ref()
                .map_or_else(String::new, |t| t.reveal().to_owned())
        };
        let typed = [
            text(&calls.forward_always),
            text(&calls.forward_busy),
            text(&calls.forward_no_answer),
        ];
        (typed, calls.forward_after_s.to_string())
    }

    /// What is set may have changed meanwhile: it is shown unless something else was typed.
    pub(crate) fn following(self, calls: &CallPolicies) -> Self {
        let stored = Self::stored(calls);
        if stored == self.stored {
            return self;
        }
        if self.is_changed() && (self.typed.clone(), self.after_s.clone()) != stored {
            return Self { stored, ..self };
        }
        Self::of(self.account, calls)
    }

    /// Whether something else was typed than is set.
    pub(crate) fn is_changed(&self) -> bool {
        (&self.typed, &self.after_s) != (&self.stored.0, &self.stored.1)
    }

    /// Why it cannot be taken.
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        let blank = |t: &String| t.trim().contains(char::is_whitespace);
        let after = self.after_s.trim().parse::<u16>();
        if self.typed.iter().any(blank) {
            Some(strings::FORWARD_WRONG)
        } else if !after.is_ok_and(|s| (1..=600).contains(&s)) {
            Some(strings::FORWARD_AFTER_WRONG)
        } else {
            None
        }
    }

    /// Sets what was typed.
    pub(crate) fn put_into(&self, calls: &mut CallPolicies) {
        let target = |text: &str| Some(text.trim()).filter(|t| !t.is_empty()).map(Into::into);
        let [always, busy, no_answer] = &self.typed;
        calls.forward_always = target(always);
        calls.forward_busy = target(busy);
        calls.forward_no_answer = target(no_answer);
        if let Ok(seconds) = self.after_s.trim().parse() {
            calls.forward_after_s = seconds;
        }
    }
}

/// A call that can be tried with one click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// What it is, in a word or two.
    pub words: String,
    /// Whom it calls.
    pub target: String,
}

/// Which part of the history is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Words that the party, the account or the reason must contain.
    pub text: String,
    /// Only calls that ended like this.
    pub outcome: OutcomeFilter,
    /// Only calls of this account.
    pub account: Option<AccountId>,
}

/// Which outcomes are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutcomeFilter {
    /// All.
    #[default]
    All,
    /// Those that were talked in.
    Answered,
    /// Those that rang here in vain.
    Missed,
    /// Those that failed.
    Failed,
}

impl OutcomeFilter {
    /// All of them, in the order of the buttons.
    pub const ALL: [Self; 4] = [Self::All, Self::Answered, Self::Missed, Self::Failed];

    /// Whether a call that ended like this is listed.
    pub fn takes(self, outcome: Outcome) -> bool {
        match self {
            Self::All => true,
            Self::Answered => outcome == Outcome::Answered,
            Self::Missed => outcome == Outcome::Missed,
            Self::Failed => outcome == Outcome::Failed,
        }
    }
}

/// The list of history rows that a filter gave, kept until something changes.
#[derive(Default)]
pub(crate) struct HistoryRows {
    pub(crate) of: Option<(u64, HistoryFilter, Option<TenantId>, i32, i64)>,
    pub(crate) rows: Vec<HistoryRow>,
    pub(crate) calls: usize,
}

/// One line of the history list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryRow {
    /// A new day begins here; the number is the index of its first call.
    Day(usize),
    /// The call with this index.
    Call(usize),
}

/// The list of account rows that a filter gave, kept until something changes.
#[derive(Default)]
pub(crate) struct AccountRows {
    pub(crate) of: Option<(u64, String, Option<TenantId>, BTreeSet<TenantId>)>,
    pub(crate) rows: Vec<AccountRow>,
    pub(crate) accounts: usize,
}

/// One line of an account list, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountRow {
    /// A tenant with how many of its accounts are registered and how many there are.
    Tenant {
        index: usize,
        registered: usize,
        all: usize,
    },
    /// An account.
    Account(usize),
    /// The lamp with the second index of the account with the first.
    Lamp(usize, usize),
}

/// What the person is doing.
#[derive(Default)]
pub struct Window {
    /// The screen that is shown.
    pub screen: Screen,
    /// Only this tenant's things are listed.
    pub tenant: Option<TenantId>,
    /// What stands in the number field.
    pub dial: String,
    /// The account that the next call uses.
    pub dial_account: Option<AccountId>,
    /// The call that is looked at.
    pub call: Option<CallId>,
    /// The account that is looked at.
    pub account: Option<AccountId>,
    /// What stands in the filter of the account list.
    pub account_filter: String,
    /// Tenants whose accounts are folded away.
    pub folded: BTreeSet<TenantId>,
    /// The account that is being added or edited.
    pub form: Option<AccountForm>,
    /// The form of the first run.
    pub first: AccountForm,
    /// Which part of the history is listed.
    pub history: HistoryFilter,
    /// The history line that is looked at.
    pub history_line: Option<i64>,
    /// Whether the shortcut sheet is open.
    pub sheet: bool,
    /// What is being asked.
    pub question: Option<Question>,
    /// The field that gets the keyboard next.
    pub focus: Option<FocusWish>,
    /// The transfer that is being typed.
    pub transfer: Option<TransferForm>,
    /// The call that others are to join, while it is chosen which.
    pub joining: Option<Joining>,
    /// Whether all figures of a call are shown.
    pub figures: bool,
    /// Calls that can be tried with one click; the first is the one to begin with.
    pub suggestions: Vec<Suggestion>,
    /// Whether the keypad of a call is open in a narrow window.
    pub keypad: bool,
    /// Numbers of notices that were put away.
    pub read: BTreeSet<u64>,
    /// The live trace.
    pub trace: crate::screens::TraceWindow,
    /// The text messages.
    pub messages: crate::screens::MessagesWindow,
    /// A tenant that is being renamed, and its new name.
    pub renaming: Option<(TenantId, String)>,
    /// Where the calls of the account that is looked at go, while that is typed.
    pub forward: Option<ForwardForm>,
    /// The word that goes with an account's presence, while it is typed.
    pub presence_note: Option<(AccountId, String)>,
    /// Name of a tenant to be added.
    pub new_tenant: String,
    /// Whether the person tries the sound devices.
    pub(crate) tries_sound: bool,
    /// The login that somebody asks for, while it is typed.
    pub login: Option<LoginForm>,
    /// A further login of an account, while it is typed.
    pub(crate) new_login: Option<LoginDraft>,
    /// The password for the relay of an account, while it is typed.
    pub(crate) relay_password: Option<(AccountId, String)>,
    /// A key asks which way the sound of the next call is to flow.
    pub(crate) asks_direction: bool,
    /// Passphrase of the encrypted file, while it is typed.
    pub passphrase: String,
    /// A new account was asked for and is to be looked at when it comes.
    pub(crate) awaits_account: bool,
    pub(crate) account_choice: String,
    pub(crate) account_choice_at: usize,
    pub(crate) history_rows: HistoryRows,
    pub(crate) account_rows: AccountRows,
    pub(crate) choice_rows: AccountRows,
    pub(crate) reveal_history: bool,
    pub(crate) options_asked: Option<(AccountId, Timestamp)>,
}

impl Window {
    /// Lets go of what is there no more, and takes the next best.
    pub(crate) fn follow(&mut self, data: &Data) {
        let gone = |id: &AccountId| data.account(id).is_none();
        if self
            .tenant
            .as_ref()
            .is_some_and(|t| data.tenant(t).is_none())
        {
            self.tenant = None;
        }
        if self.account.as_ref().is_some_and(gone) {
            self.account = None;
        }
        if self.history.account.as_ref().is_some_and(gone) {
            self.history.account = None;
        }
        if self.dial_account.as_ref().is_none_or(gone) {
            self.dial_account = self.best_account(data);
        }
        if self.call.is_some_and(|c| data.call(c).is_none()) {
            self.call = None;
        }
        let ended = |f: &TransferForm| data.call(f.call).is_none_or(|c| !c.state.is_up());
        if self.transfer.as_ref().is_some_and(ended) {
            self.transfer = None;
        }
        let ended = |j: Joining| data.call(j.call).is_none_or(|c| !c.state.is_up());
        if self.joining.is_some_and(ended) {
            self.joining = None;
        }
        if self
            .messages
            .with
            .as_ref()
            .is_some_and(|with| gone(&with.account))
        {
            self.messages.with = None;
        }
        if let Some(oldest) = data.notices.front().map(|(number, _)| *number) {
            self.read.retain(|number| *number >= oldest);
        }
    }

    /// The account to dial with when nobody chose one: registered before anything else.
    fn best_account(&self, data: &Data) -> Option<AccountId> {
        let ours = || {
            data.accounts
                .iter()
                .filter(|a| self.tenant.as_ref().is_none_or(|t| *t == a.tenant))
        };
        ours()
            .find(|a| a.state == RegistrationState::Registered)
            .or_else(|| ours().next())
            .map(|a| a.id.clone())
    }

    /// Shows one tenant's things, or all; the account to dial with follows.
    pub fn choose_tenant(&mut self, data: &Data, tenant: Option<TenantId>) {
        self.tenant = tenant;
        let fits = self
            .dial_account
            .as_ref()
            .and_then(|id| data.account(id))
            .is_some_and(|a| self.tenant.as_ref().is_none_or(|t| *t == a.tenant));
        if !fits && let Some(best) = self.best_account(data) {
            self.dial_account = Some(best);
        }
    }

    /// The call that keys and the large card are about: the chosen one while it lives, else one that is
    /// up, else one on its way out, else one that rings here, else the last that ended.
    pub fn current_call(&self, data: &Data) -> Option<CallId> {
        let chosen = self.call.and_then(|id| data.call(id));
        if let Some(call) = chosen.filter(|c| c.state.is_live()) {
            return Some(call.id);
        }
        let calls = || data.calls.iter().rev();
        calls()
            .find(|c| c.state == CallState::Connected)
            .or_else(|| calls().find(|c| c.state.is_live() && !is_ringing_here(c)))
            .or_else(|| calls().find(|c| c.state.is_live()))
            .or(chosen)
            .or_else(|| calls().next())
            .map(|c| c.id)
    }
}
