//! What an account learns of others and tells of itself: waiting messages, busy lamps, presence.

use serde::{Deserialize, Serialize};

use crate::{Identity, Party, Private, Sentence, Timestamp};

/// What is asked about the addresses that an account watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchKind {
    /// Their calls (RFC 4235): the lamp.
    #[default]
    Calls,
    /// Their presence (RFC 3856): available, away, on the phone.
    Presence,
    /// Both.
    Both,
}

impl WatchKind {
    /// Whether calls are asked about.
    pub fn calls(self) -> bool {
        matches!(self, Self::Calls | Self::Both)
    }

    /// Whether presence is asked about.
    pub fn presence(self) -> bool {
        matches!(self, Self::Presence | Self::Both)
    }
}

/// Messages that wait in a mailbox (RFC 3842).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingView {
    /// The lamp: whether anything waits. A server may say so without a number.
    pub waiting: bool,
    /// Spoken messages not heard yet.
    pub new: u32,
    /// Spoken messages heard.
    pub old: u32,
    /// Of the new ones, urgent.
    pub urgent: u32,
    /// Whom to call for listening, when the server told.
    pub mailbox: Option<Identity>,
    /// When it was told last.
    pub at: Timestamp,
}

/// What a lamp shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LampState {
    /// Nothing is known: not asked yet, or no answer.
    #[default]
    Unknown,
    /// No call.
    Idle,
    /// They call somebody who has not answered yet.
    Calling,
    /// They are called and have not answered: the call can be picked up.
    Ringing,
    /// They talk.
    Talking,
}

/// One watched address as the view shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LampView {
    /// Who is watched, as it stands in the settings.
    pub watched: Identity,
    /// What the lamp shows.
    pub lamp: LampState,
    /// Since when.
    pub since: Timestamp,
    /// Their calls.
    #[serde(default)]
    pub calls: Vec<LampCall>,
    /// Their presence, once it was told.
    #[serde(default)]
    pub presence: Option<PresenceView>,
    /// Why nothing is known, or why it may be out of date.
    #[serde(default)]
    pub sentence: Option<Sentence>,
}

impl LampView {
    /// The call that can be picked up, if there is one.
    pub fn ringing(&self) -> Option<&LampCall> {
        self.calls
            .iter()
            .find(|call| call.lamp == LampState::Ringing)
    }
}

/// One call of somebody who is watched. Tags are told from their side: to pick it up, `Replaces` names
/// `call_id`, `to-tag` = `local_tag` and `from-tag` = `remote_tag` (RFC 3891 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LampCall {
    /// Names it among the calls of this lamp.
    pub id: String,
    /// What it makes the lamp show.
    pub lamp: LampState,
    /// With whom they talk, when that was told.
    pub remote: Option<Party>,
    /// The Call-ID of their dialog.
    pub call_id: Option<String>,
    /// Their own tag.
    pub local_tag: Option<String>,
    /// The tag of the other end.
    pub remote_tag: Option<String>,
    /// Where their phone is: a URI.
    pub target: Option<Identity>,
}

/// The presence of somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceView {
    /// Whether they take calls; `None` when it was not told.
    pub open: Option<bool>,
    /// What they do, in the words of RFC 4480: `on-the-phone`, `away`, `meeting` …
    pub activities: Vec<String>,
    /// A sentence of theirs.
    pub note: Option<Private>,
}

/// What a person tells of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresenceState {
    /// Calls are welcome.
    #[default]
    Available,
    /// Here, and not to be disturbed.
    Busy,
    /// Not here.
    Away,
}

/// What an account tells of its own person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPresence {
    /// What was chosen.
    pub state: PresenceState,
    /// Whether a call is up, which is told by itself.
    pub on_the_phone: bool,
    /// A sentence that goes with it.
    pub note: Private,
    /// Whether the server has it.
    pub published: bool,
    /// Why it has not.
    pub sentence: Option<Sentence>,
}
