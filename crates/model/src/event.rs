//! Everything the engine can tell.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AccountView, CallId, CallView, DevicesView, Failure, HistoryEntry, Identity,
    LoginWanted, MessageView, Private, QualityTrend, Sentence, TenantId, TenantView, Timestamp,
    TraceRecord,
};

/// Everything the program can tell a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The whole state: first of all events, and again after some were lost.
    Resync {
        /// Everything there is.
        snapshot: Box<Snapshot>,
    },
    /// A tenant is new or different.
    Tenant {
        /// All of it.
        tenant: TenantView,
    },
    /// A tenant is gone, with all its accounts.
    TenantRemoved {
        /// Which.
        tenant: TenantId,
    },
    /// An account is new or different.
    Account {
        /// All of it.
        account: Box<AccountView>,
    },
    /// An account is gone.
    AccountRemoved {
        /// Which.
        account: AccountId,
    },
    /// A call is new or different.
    Call {
        /// All of it.
        call: Box<CallView>,
    },
    /// A call was put away.
    CallRemoved {
        /// Which.
        call: CallId,
    },
    /// The peer pressed a key.
    Dtmf {
        /// In which call.
        call: CallId,
        /// Which key.
        digit: char,
        /// How long it was held, in milliseconds, when that is known.
        duration_ms: Option<u32>,
    },
    /// A finished call was filed.
    History {
        /// The new line.
        entry: HistoryEntry,
    },
    /// How a finished call sounded, as it was asked for.
    Quality {
        /// Its line in the history.
        entry: i64,
        /// Second by second; empty where nothing is kept.
        trend: QualityTrend,
    },
    /// The history of a tenant was forgotten.
    HistoryCleared {
        /// Whose.
        tenant: TenantId,
    },
    /// Messages and events that were recorded, in batches.
    Trace {
        /// In order.
        records: Vec<TraceRecord>,
    },
    /// Devices came, went, or were chosen.
    Devices {
        /// All of them.
        devices: DevicesView,
    },
    /// What the user chose about the window is different.
    Preferences {
        /// All of it.
        preferences: Preferences,
    },
    /// Where passwords are kept is different.
    Secrets {
        /// All of it.
        secrets: SecretsView,
    },
    /// An OPTIONS was answered, or was not.
    OptionsAnswered {
        /// Who asked.
        account: AccountId,
        /// Whom.
        target: Identity,
        /// Status and phrase of the answer.
        status: Option<(u16, Private)>,
        /// Round trip in milliseconds.
        round_trip_ms: Option<f32>,
        /// Methods in its Allow header.
        allow: Vec<String>,
        /// What its Server or User-Agent header says.
        server: Option<String>,
        /// Why there is no answer.
        failure: Option<Failure>,
    },
    /// A request that somebody wanted sent ([`crate::Command::SendRequest`]) was answered, or was not.
    RequestAnswered {
        /// Who sent it.
        account: AccountId,
        /// Its method.
        method: String,
        /// Where to, as it was typed.
        target: Identity,
        /// What was answered.
        answer: Option<Box<Answer>>,
        /// Why that is no yes, or why there is no answer.
        failure: Option<Failure>,
    },
    /// A text message is new, or more is known of what became of it.
    Message {
        /// All of it.
        message: Box<MessageView>,
    },
    /// The messages of an account were forgotten.
    MessagesCleared {
        /// Whose.
        account: AccountId,
    },
    /// Somebody asks for a login that is not there, or was refused: [`crate::Command::AnswerLogin`].
    LoginWanted {
        /// Who, for which account, and what for.
        login: Box<LoginWanted>,
    },
    /// Nobody waits for that login any more: it was given, given up, or came too late.
    LoginSettled {
        /// The question.
        login: Box<LoginWanted>,
    },
    /// Something a person should know.
    Notice {
        /// What.
        notice: Notice,
    },
    /// The engine has ended; nothing follows.
    Stopped,
}

/// The final answer to a request, as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Its status.
    pub code: u16,
    /// The phrase beside it.
    pub phrase: Private,
    /// Round trip in milliseconds; `None` when the request had to be repeated.
    pub round_trip_ms: Option<f32>,
    /// Its headers in their order, `Name: value`.
    pub headers: Vec<Private>,
    /// Its body as text; what is no UTF-8 in it is replaced.
    pub body: Private,
}

/// Something a person should know that has no place of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When.
    pub time: Timestamp,
    /// How loud.
    pub level: NoticeLevel,
    /// Whom it concerns.
    pub tenant: Option<TenantId>,
    /// What happened and what goes on, in a sentence or two.
    pub text: Sentence,
}

/// How loud a [`Notice`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something works less well than asked.
    Warning,
    /// Something does not work.
    Error,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    /// As the system says.
    #[default]
    System,
    /// Dark.
    Dark,
    /// Light.
    Light,
    /// White on black, with outlines around everything that can be used.
    HighContrast,
}

/// What the user chose about the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Light or dark.
    pub theme: ThemeChoice,
    /// Text size, 1.0 is normal, up to 2.0.
    pub text_scale: f32,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::System,
            text_scale: 1.0,
        }
    }
}

/// Where passwords are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPlace {
    /// In the system's keystore.
    #[default]
    Keystore,
    /// In an encrypted file, under a passphrase.
    Vault,
    /// In memory, until the program ends.
    Session,
}

/// Where passwords are kept, and what a person should know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretsView {
    /// Where a new password goes.
    pub place: SecretPlace,
    /// Why it is not the keystore.
    pub sentence: Option<Sentence>,
    /// Whether there is an encrypted file that waits for its passphrase.
    pub locked: bool,
}

/// Everything a client needs to start from nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All tenants, in the order of the rail.
    pub tenants: Vec<TenantView>,
    /// All accounts, in the order of the list.
    pub accounts: Vec<AccountView>,
    /// All calls that were not put away.
    pub calls: Vec<CallView>,
    /// The newest text messages of all accounts, oldest first.
    #[serde(default)]
    pub messages: Vec<MessageView>,
    /// The newest lines of the history, newest first.
    pub history: Vec<HistoryEntry>,
    /// The newest trace records, oldest first.
    pub trace: Vec<TraceRecord>,
    /// Logins that are asked for and not there, oldest first.
    #[serde(default)]
    pub logins: Vec<LoginWanted>,
    /// Sound devices.
    pub devices: DevicesView,
    /// What the user chose about the window.
    pub preferences: Preferences,
    /// Where passwords are kept.
    #[serde(default)]
    pub secrets: SecretsView,
    /// The newest notices, oldest first: what was said before anybody listened is said to those who
    /// come later.
    #[serde(default)]
    pub notices: Vec<Notice>,
}
