//! Calls of somebody, for busy lamps and pickup: `application/dialog-info+xml` (RFC 4235).

use privacy::{Identity, Private};

use crate::xml::{Element, Writer};
use crate::{Applied, BodyError, Scope, judge};

/// The Content-Type.
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";
/// The package.
pub const PACKAGE: &str = "dialog";

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogInfo {
    /// Counts the documents of one subscription.
    pub version: u32,
    /// Whether it has all dialogs.
    pub scope: Scope,
    /// Whose dialogs they are: a URI.
    pub entity: Identity,
    /// The dialogs.
    pub dialogs: Vec<DialogEntry>,
}

/// One dialog, seen from the one whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogEntry {
    /// Names it among the others of the entity.
    pub id: String,
    /// The Call-ID.
    pub call_id: Option<String>,
    /// The tag of the one whose dialog it is.
    pub local_tag: Option<String>,
    /// The other's tag.
    pub remote_tag: Option<String>,
    /// Who began it.
    pub direction: Option<Direction>,
    /// How far it is.
    pub state: DialogState,
    /// Why it came to this state: `cancelled`, `rejected`, `replaced`, `local-bye`, …
    pub event: Option<String>,
    /// The status that ended it.
    pub code: Option<u16>,
    /// Seconds since it began.
    pub duration_s: Option<u32>,
    /// The one whose dialog it is.
    pub local: Party,
    /// The other one.
    pub remote: Party,
}

/// One end of a dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Name to show.
    pub display: Option<Private>,
    /// Address of record: a URI.
    pub identity: Option<Identity>,
    /// Where it really is: a URI.
    pub target: Option<Identity>,
}

/// Who began a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The one whose dialog it is.
    Initiator,
    /// The other one.
    Recipient,
}

/// How far a dialog is (RFC 4235 §3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialogState {
    /// INVITE sent or received.
    Trying,
    /// Provisional answer without a tag.
    Proceeding,
    /// Provisional answer with a tag: it rings.
    Early,
    /// They talk.
    Confirmed,
    /// Over.
    Terminated,
}

/// What a busy lamp shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lamp {
    /// Nothing goes on.
    Idle,
    /// A call goes out and is not answered yet.
    Calling,
    /// A call comes in and can be picked up.
    Ringing,
    /// A call is up.
    Busy,
}

/// What picking a call up needs: a Replaces header (RFC 3891) and where to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pickup {
    /// The Call-ID to replace.
    pub call_id: String,
    /// `to-tag`: that of the one who is called.
    pub to_tag: String,
    /// `from-tag`: that of the one who calls.
    pub from_tag: String,
    /// Who calls.
    pub caller: Party,
    /// Where the one who is called really is, if told.
    pub target: Option<Identity>,
}

/// Dialogs of one entity kept.
const MOST_DIALOGS: usize = 256;

impl DialogInfo {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`BodyError`] says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = Element::read(body, "dialog-info")?;
        let (version, scope) = root.version_and_scope()?;
        Ok(Self {
            version,
            scope,
            entity: root.owned("entity").unwrap_or_default(),
            dialogs: root
                .all("dialog")
                .filter_map(DialogEntry::read)
                .take(MOST_DIALOGS)
                .collect(),
        })
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let version = self.version.to_string();
        writer.begin(
            "dialog-info",
            &[
                ("xmlns", Some("urn:ietf:params:xml:ns:dialog-info")),
                ("version", Some(&version)),
                (
                    "state",
                    Some(match self.scope {
                        Scope::Full => "full",
                        Scope::Partial => "partial",
                    }),
                ),
                ("entity", Some(self.entity.reveal())),
            ],
        );
        for dialog in &self.dialogs {
            dialog.write(&mut writer);
        }
        writer.finish()
    }
}

impl DialogEntry {
    /// A dialog of which nothing but its name and state is known.
    pub fn new(id: impl Into<String>, state: DialogState) -> Self {
        Self {
            id: id.into(),
            call_id: None,
            local_tag: None,
            remote_tag: None,
            direction: None,
            state,
            event: None,
            code: None,
            duration_s: None,
            local: Party::default(),
            remote: Party::default(),
        }
    }

    /// What the lamp shows because of this dialog.
    pub fn lamp(&self) -> Lamp {
        match (self.state, self.direction) {
            (DialogState::Terminated, _) => Lamp::Idle,
            (DialogState::Confirmed, _) => Lamp::Busy,
            (_, Some(Direction::Initiator)) => Lamp::Calling,
            // Many exchanges leave the direction out for calls that come in.
            (_, Some(Direction::Recipient) | None) => Lamp::Ringing,
        }
    }

    /// How to pick it up: an incoming dialog that rings and told its tags.
    pub fn pickup(&self) -> Option<Pickup> {
        if self.lamp() != Lamp::Ringing {
            return None;
        }
        Some(Pickup {
            call_id: self.call_id.clone()?,
            to_tag: self.local_tag.clone()?,
            from_tag: self.remote_tag.clone()?,
            caller: self.remote.clone(),
            target: self.local.target.clone(),
        })
    }

    fn read(element: &Element) -> Option<Self> {
        let state = element.child("state")?;
        let party = |name| element.child(name).map(Party::read).unwrap_or_default();
        Some(Self {
            id: element.owned("id")?,
            call_id: element.owned("call-id"),
            local_tag: element.owned("local-tag"),
            remote_tag: element.owned("remote-tag"),
            direction: match element.attribute("direction") {
                Some("initiator") => Some(Direction::Initiator),
                Some("recipient") => Some(Direction::Recipient),
                _ => None,
            },
            state: match state.text::<String>()?.to_ascii_lowercase().as_str() {
                "trying" => DialogState::Trying,
                "proceeding" => DialogState::Proceeding,
                "early" => DialogState::Early,
                "confirmed" => DialogState::Confirmed,
                "terminated" => DialogState::Terminated,
                _ => return None,
            },
            event: state.owned("event"),
            code: state
                .number("code")
                .and_then(|code| u16::try_from(code).ok()),
            duration_s: element
                .text_of::<String>("duration")
                .and_then(|s| s.parse().ok()),
            local: party("local"),
            remote: party("remote"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin(
            "dialog",
            &[
                ("id", Some(&self.id)),
                ("call-id", self.call_id.as_deref()),
                ("local-tag", self.local_tag.as_deref()),
                ("remote-tag", self.remote_tag.as_deref()),
                (
                    "direction",
                    self.direction.map(|direction| match direction {
                        Direction::Initiator => "initiator",
                        Direction::Recipient => "recipient",
                    }),
                ),
            ],
        );
        let code = self.code.map(|code| code.to_string());
        writer.text(
            "state",
            &[("event", self.event.as_deref()), ("code", code.as_deref())],
            Some(match self.state {
                DialogState::Trying => "trying",
                DialogState::Proceeding => "proceeding",
                DialogState::Early => "early",
                DialogState::Confirmed => "confirmed",
                DialogState::Terminated => "terminated",
            }),
        );
        let duration = self.duration_s.map(|seconds| seconds.to_string());
        writer.text("duration", &[], duration.as_deref());
        self.local.write("local", writer);
        self.remote.write("remote", writer);
        writer.end();
    }
}

impl Party {
    fn read(element: &Element) -> Self {
        let identity = element.child("identity");
        Self {
            display: identity.and_then(|identity| identity.owned("display")),
            identity: identity.and_then(Element::text),
            target: element
                .child("target")
                .and_then(|target| target.owned("uri")),
        }
    }

    fn write(&self, name: &'static str, writer: &mut Writer) {
        if *self == Self::default() {
            return;
        }
        writer.begin(name, &[]);
        let display = [("display", self.display.as_ref().map(Private::reveal))];
        match &self.identity {
            Some(identity) => writer.text("identity", &display, Some(identity.reveal())),
            None if self.display.is_some() => writer.empty("identity", &display),
            None => {}
        }
        if let Some(target) = &self.target {
            writer.empty("target", &[("uri", Some(target.reveal()))]);
        }
        writer.end();
    }
}

/// The dialogs of one entity, kept up to date by its documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogTable {
    version: Option<u32>,
    dialogs: Vec<DialogEntry>,
}

impl DialogTable {
    /// Takes a document in.
    pub fn apply(&mut self, info: &DialogInfo) -> Applied {
        let applied = judge(self.version, info.version, info.scope);
        if applied != Applied::Taken {
            return applied;
        }
        self.version = Some(info.version);
        if info.scope == Scope::Full {
            self.dialogs.clear();
        }
        for dialog in &info.dialogs {
            self.dialogs.retain(|other| other.id != dialog.id);
            if dialog.state != DialogState::Terminated && self.dialogs.len() < MOST_DIALOGS {
                self.dialogs.push(dialog.clone());
            }
        }
        applied
    }

    /// Forgets everything: a new subscription counts anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The dialogs that are not over.
    pub fn dialogs(&self) -> &[DialogEntry] {
        &self.dialogs
    }

    /// What the lamp shows: a call that rings goes before one that is up, because it can be
    /// helped.
    pub fn lamp(&self) -> Lamp {
        let lamps = || self.dialogs.iter().map(DialogEntry::lamp);
        if lamps().any(|lamp| lamp == Lamp::Ringing) {
            return Lamp::Ringing;
        }
        lamps().max().unwrap_or(Lamp::Idle)
    }

    /// The first call that can be picked up.
    pub fn pickup(&self) -> Option<Pickup> {
        self.dialogs.iter().find_map(DialogEntry::pickup)
    }
}
