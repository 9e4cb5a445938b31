//! Who is in a conference: `application/conference-info+xml` (RFC 4575), its roster.

use privacy::{Identity, Private};

use crate::xml::{Element, Writer};
use crate::{Applied, BodyError, Scope, judge};

/// The Content-Type.
pub const CONTENT_TYPE: &str = "application/conference-info+xml";
/// The package.
pub const PACKAGE: &str = "conference";

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConferenceInfo {
    /// The conference: a URI.
    pub entity: Identity,
    /// Counts the documents of one subscription.
    pub version: u32,
    /// Whether it has everything.
    pub scope: Scope,
    /// Whether the conference is over.
    pub deleted: bool,
    /// What it is about.
    pub subject: Option<Private>,
    /// How many are in it.
    pub user_count: Option<u32>,
    /// Who is in it.
    pub users: Vec<User>,
    /// Whether `users` are all of them, also in a document that is partial otherwise.
    pub all_users: bool,
}

/// Somebody in a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Who: a URI.
    pub entity: Identity,
    /// Name to show.
    pub display: Option<Private>,
    /// Whether they left.
    pub deleted: bool,
    /// Their phones.
    pub endpoints: Vec<Endpoint>,
    /// Whether the endpoints of a user known before are kept beside these.
    pub partial: bool,
}

/// A phone in a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Where: a URI.
    pub entity: Identity,
    /// `connected`, `on-hold`, `pending`, `dialing-out`, `disconnected`, …
    pub status: Option<String>,
    /// Whether it left.
    pub deleted: bool,
    /// Kinds of media with it, and whether the conference hears it: `sendrecv`, `recvonly`, ….
    pub media: Vec<(String, Option<String>)>,
}

/// Users kept.
const MOST_USERS: usize = 1024;
/// Phones of one user kept.
const MOST_ENDPOINTS: usize = 16;
/// Media of one phone kept.
const MOST_MEDIA: usize = 8;

impl ConferenceInfo {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`BodyError`] says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = Element::read(body, "conference-info")?;
        // RFC 4575 §4.6: without a version it is a document on its own.
        let version = root.number("version").unwrap_or(0);
        let state = root.attribute("state");
        let users = root.child("users");
        let scope = if state == Some("partial") {
            Scope::Partial
        } else {
            Scope::Full
        };
        Ok(Self {
            entity: root.owned("entity").unwrap_or_default(),
            version,
            scope,
            deleted: state == Some("deleted"),
            subject: root
                .child("conference-description")
                .and_then(|description| description.text_of("subject")),
            user_count: root
                .child("conference-state")
                .and_then(|state| state.text_of::<String>("user-count"))
                .and_then(|count| count.parse().ok()),
            users: users
                .into_iter()
                .flat_map(|users| users.all("user"))
                .filter_map(User::read)
                .take(MOST_USERS)
                .collect(),
            all_users: users.is_some_and(|users| users.attribute("state") != Some("partial"))
                || scope == Scope::Full,
        })
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let version = self.version.to_string();
        let state = match (self.deleted, self.scope) {
            (true, _) => "deleted",
            (false, Scope::Full) => "full",
            (false, Scope::Partial) => "partial",
        };
        writer.begin(
            "conference-info",
            &[
                ("xmlns", Some("urn:ietf:params:xml:ns:conference-info")),
                ("entity", Some(self.entity.reveal())),
                ("state", Some(state)),
                ("version", Some(&version)),
            ],
        );
        if self.subject.is_some() {
            writer.begin("conference-description", &[]);
            writer.text("subject", &[], self.subject.as_ref().map(Private::reveal));
            writer.end();
        }
        if let Some(count) = self.user_count {
            writer.begin("conference-state", &[]);
            writer.text("user-count", &[], Some(&count.to_string()));
            writer.end();
        }
        let users = (!self.all_users).then_some("partial");
        writer.begin("users", &[("state", users)]);
        for user in &self.users {
            user.write(&mut writer);
        }
        writer.finish()
    }
}

impl User {
    fn read(element: &Element) -> Option<Self> {
        let state = element.attribute("state");
        Some(Self {
            entity: element.owned("entity")?,
            display: element.text_of("display-text"),
            deleted: state == Some("deleted"),
            partial: state == Some("partial"),
            endpoints: element
                .all("endpoint")
                .filter_map(Endpoint::read)
                .take(MOST_ENDPOINTS)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        let state = match (self.deleted, self.partial) {
            (true, _) => "deleted",
            (false, true) => "partial",
            (false, false) => "full",
        };
        writer.begin(
            "user",
            &[
                ("entity", Some(self.entity.reveal())),
                ("state", Some(state)),
            ],
        );
        writer.text(
            "display-text",
            &[],
            self.display.as_ref().map(Private::reveal),
        );
        for endpoint in &self.endpoints {
            endpoint.write(writer);
        }
        writer.end();
    }

    /// Whether one of their phones is in the conference now.
    pub fn is_connected(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| matches!(endpoint.status.as_deref(), None | Some("connected")))
    }
}

impl Endpoint {
    fn read(element: &Element) -> Option<Self> {
        Some(Self {
            entity: element.owned("entity")?,
            status: element.text_of("status"),
            deleted: element.attribute("state") == Some("deleted"),
            media: element
                .all("media")
                .filter_map(|media| Some((media.text_of("type")?, media.text_of("status"))))
                .take(MOST_MEDIA)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        let state = self.deleted.then_some("deleted");
        writer.begin(
            "endpoint",
            &[("entity", Some(self.entity.reveal())), ("state", state)],
        );
        writer.text("status", &[], self.status.as_deref());
        for (number, (kind, status)) in self.media.iter().enumerate() {
            writer.begin("media", &[("id", Some(&number.to_string()))]);
            writer.text("type", &[], Some(kind));
            writer.text("status", &[], status.as_deref());
            writer.end();
        }
        writer.end();
    }
}

/// Who is in one conference, kept up to date by its documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    version: Option<u32>,
    subject: Option<Private>,
    users: Vec<User>,
    over: bool,
}

impl Roster {
    /// Takes a document in.
    pub fn apply(&mut self, info: &ConferenceInfo) -> Applied {
        let applied = judge(self.version, info.version, info.scope);
        if applied != Applied::Taken {
            return applied;
        }
        self.version = Some(info.version);
        self.over = info.deleted;
        if info.all_users || info.deleted {
            self.users.clear();
        }
        if info.scope == Scope::Full || info.subject.is_some() {
            self.subject.clone_from(&info.subject);
        }
        for user in &info.users {
            self.take(user);
        }
        applied
    }

    fn take(&mut self, user: &User) {
        let index = self
            .users
            .iter()
            .position(|known| known.entity == user.entity);
        let before = index.map(|index| self.users.remove(index));
        if user.deleted {
            return;
        }
        let mut now = user.clone();
        now.endpoints.retain(|endpoint| !endpoint.deleted);
        if let Some(before) = before.filter(|_| user.partial) {
            now.display = now.display.or(before.display);
            let named = |other: &Endpoint| {
                user.endpoints
                    .iter()
                    .any(|endpoint| endpoint.entity == other.entity)
            };
            let kept = before.endpoints.into_iter().filter(|other| !named(other));
            now.endpoints.extend(kept);
            now.endpoints.truncate(MOST_ENDPOINTS);
        }
        now.partial = false;
        // Where they were, or at the end.
        match index {
            Some(index) => self.users.insert(index.min(self.users.len()), now),
            None if self.users.len() < MOST_USERS => self.users.push(now),
            None => {}
        }
    }

    /// Who is in it, in the order they came.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// What it is about.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_ref().map(Private::reveal)
    }

    /// Whether the conference is over.
    pub fn is_over(&self) -> bool {
        self.over
    }
}
