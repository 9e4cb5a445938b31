//! Whether somebody can be reached: `application/pidf+xml` (RFC 3863) with the activities of RFC
//! 4480.

use privacy::{Identity, Private};

use crate::BodyError;
use crate::xml::{Element, Writer};

/// The Content-Type.
pub const CONTENT_TYPE: &str = "application/pidf+xml";
/// The package.
pub const PACKAGE: &str = "presence";

/// The presence of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whose: a URI.
    pub entity: Identity,
    /// The ways to reach them.
    pub tuples: Vec<Tuple>,
    /// What they do: `on-the-phone`, `away`, `meeting`, …; the names of RFC 4480 §3.2.
    pub activities: Vec<String>,
    /// A sentence of theirs.
    pub note: Option<Private>,
}

/// One way to reach somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Names it among the others.
    pub id: String,
    /// Whether they take communication there; `None` when it is not told.
    pub open: Option<bool>,
    /// Where: a URI.
    pub contact: Option<Identity>,
    /// A sentence about it.
    pub note: Option<Private>,
    /// Since when, as written.
    pub timestamp: Option<String>,
}

/// The activity of somebody who has a call.
pub const ON_THE_PHONE: &str = "on-the-phone";

/// Ways of one person kept.
const MOST_TUPLES: usize = 64;
/// Activities of one person kept.
const MOST_ACTIVITIES: usize = 32;

impl Presence {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`BodyError`] says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = Element::read(body, "presence")?;
        let mut presence = Self {
            entity: root.owned("entity").unwrap_or_default(),
            tuples: root
                .all("tuple")
                .map(Tuple::read)
                .take(MOST_TUPLES)
                .collect(),
            activities: Vec::new(),
            note: root.text_of("note"),
        };
        // They belong to the person (RFC 4480 §3.2); older phones put them into a tuple or its
        // status.
        let holders = root
            .children
            .iter()
            .flat_map(|child| [Some(child), child.child("status")].into_iter().flatten());
        for holder in holders {
            for activities in holder.all("activities") {
                for activity in &activities.children {
                    let room = presence.activities.len() < MOST_ACTIVITIES;
                    if room && activity.name != "note" && !presence.does(&activity.name) {
                        presence.activities.push(activity.name.clone());
                    }
                }
            }
            if presence.note.is_none() && holder.name == "person" {
                presence.note = holder.text_of("note");
            }
        }
        Ok(presence)
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.begin(
            "presence",
            &[
                ("xmlns", Some("urn:ietf:params:xml:ns:pidf")),
                ("xmlns:dm", Some("urn:ietf:params:xml:ns:pidf:data-model")),
                ("xmlns:rpid", Some("urn:ietf:params:xml:ns:pidf:rpid")),
                ("entity", Some(self.entity.reveal())),
            ],
        );
        for tuple in &self.tuples {
            tuple.write(&mut writer);
        }
        writer.text("note", &[], self.note.as_ref().map(Private::reveal));
        let known = || {
            self.activities
                .iter()
                .filter_map(|activity| ACTIVITIES.iter().find(|(name, _)| name == activity))
        };
        if known().next().is_some() {
            writer.begin("dm:person", &[("id", Some("p1"))]);
            writer.begin("rpid:activities", &[]);
            for (_, qualified) in known() {
                writer.empty(qualified, &[]);
            }
            writer.end();
            writer.end();
        }
        writer.finish()
    }

    /// Whether they take communication anywhere; `None` when nothing is told.
    pub fn is_open(&self) -> Option<bool> {
        let told: Vec<bool> = self.tuples.iter().filter_map(|tuple| tuple.open).collect();
        (!told.is_empty()).then(|| told.contains(&true))
    }

    /// Whether they do this.
    pub fn does(&self, activity: &str) -> bool {
        self.activities.iter().any(|other| other == activity)
    }
}

/// Activities that are written (RFC 4480 §3.2), with their prefix.
const ACTIVITIES: [(&str, &str); 8] = [
    ("appointment", "rpid:appointment"),
    ("away", "rpid:away"),
    ("busy", "rpid:busy"),
    ("holiday", "rpid:holiday"),
    ("meal", "rpid:meal"),
    ("meeting", "rpid:meeting"),
    (ON_THE_PHONE, "rpid:on-the-phone"),
    ("vacation", "rpid:vacation"),
];

impl Tuple {
    fn read(element: &Element) -> Self {
        let basic = element
            .child("status")
            .and_then(|status| status.text_of::<String>("basic"));
        Self {
            id: element.owned("id").unwrap_or_default(),
            open: match basic.map(|basic| basic.to_ascii_lowercase()).as_deref() {
                Some("open") => Some(true),
                Some("closed") => Some(false),
                _ => None,
            },
            contact: element.text_of("contact"),
            note: element.text_of("note"),
            timestamp: element.text_of("timestamp"),
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin("tuple", &[("id", Some(&self.id))]);
        writer.begin("status", &[]);
        let basic = self.open.map(|open| if open { "open" } else { "closed" });
        writer.text("basic", &[], basic);
        writer.end();
        writer.text("contact", &[], self.contact.as_ref().map(Identity::reveal));
        writer.text("note", &[], self.note.as_ref().map(Private::reveal));
        writer.text("timestamp", &[], self.timestamp.as_deref());
        writer.end();
    }
}
