//! Bindings at a registrar: `application/reginfo+xml` (RFC 3680).

use privacy::{Identity, Private};

use crate::xml::{Element, Writer};
use crate::{BodyError, Scope};

/// The Content-Type.
pub const CONTENT_TYPE: &str = "application/reginfo+xml";
/// The package.
pub const PACKAGE: &str = "reg";

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegInfo {
    /// Counts the documents of one subscription.
    pub version: u32,
    /// Whether it has everything.
    pub scope: Scope,
    /// The addresses of record.
    pub registrations: Vec<RegEntry>,
}

/// The bindings of one address of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegEntry {
    /// The address: a URI.
    pub aor: Identity,
    /// Names it in the documents that follow.
    pub id: String,
    /// Whether it has bindings.
    pub state: RegState,
    /// They.
    pub contacts: Vec<RegContact>,
}

/// Whether an address of record has bindings (RFC 3680 §3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegState {
    /// Never had one.
    Init,
    /// Has some.
    Active,
    /// Has none any more.
    Terminated,
}

/// One binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegContact {
    /// Names it in the documents that follow.
    pub id: String,
    /// Whether it is there.
    pub active: bool,
    /// Why it is as it is: `registered`, `created`, `expired`, `unregistered`, `deactivated`, …
    pub event: String,
    /// The URI.
    pub uri: Identity,
    /// Name to show.
    pub display: Option<Private>,
    /// Seconds that it lasts.
    pub expires_s: Option<u32>,
    /// Seconds to wait before registering again, with `probation`.
    pub retry_after_s: Option<u32>,
    /// Call-ID of the REGISTER.
    pub call_id: Option<String>,
    /// Its CSeq.
    pub cseq: Option<u32>,
}

/// Addresses of record kept.
const MOST_REGISTRATIONS: usize = 64;
/// Bindings of one address of record kept.
const MOST_CONTACTS: usize = 128;

impl RegInfo {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`BodyError`] says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = Element::read(body, "reginfo")?;
        let (version, scope) = root.version_and_scope()?;
        Ok(Self {
            version,
            scope,
            registrations: root
                .all("registration")
                .filter_map(RegEntry::read)
                .take(MOST_REGISTRATIONS)
                .collect(),
        })
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let version = self.version.to_string();
        let scope = match self.scope {
            Scope::Full => "full",
            Scope::Partial => "partial",
        };
        writer.begin(
            "reginfo",
            &[
                ("xmlns", Some("urn:ietf:params:xml:ns:reginfo")),
                ("version", Some(&version)),
                ("state", Some(scope)),
            ],
        );
        for registration in &self.registrations {
            registration.write(&mut writer);
        }
        writer.finish()
    }
}

impl RegEntry {
    fn read(element: &Element) -> Option<Self> {
        Some(Self {
            aor: element.owned("aor")?,
            id: element.owned("id").unwrap_or_default(),
            state: match element.attribute("state")? {
                "init" => RegState::Init,
                "active" => RegState::Active,
                "terminated" => RegState::Terminated,
                _ => return None,
            },
            contacts: element
                .all("contact")
                .filter_map(RegContact::read)
                .take(MOST_CONTACTS)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        let state = match self.state {
            RegState::Init => "init",
            RegState::Active => "active",
            RegState::Terminated => "terminated",
        };
        writer.begin(
            "registration",
            &[
                ("aor", Some(self.aor.reveal())),
                ("id", Some(&self.id)),
                ("state", Some(state)),
            ],
        );
        for contact in &self.contacts {
            contact.write(writer);
        }
        writer.end();
    }
}

impl RegContact {
    fn read(element: &Element) -> Option<Self> {
        Some(Self {
            id: element.owned("id").unwrap_or_default(),
            active: match element.attribute("state")? {
                "active" => true,
                "terminated" => false,
                _ => return None,
            },
            event: element.owned("event").unwrap_or_default(),
            uri: element.text_of("uri")?,
            display: element.text_of("display-name"),
            expires_s: element.number("expires"),
            retry_after_s: element.number("retry-after"),
            call_id: element.owned("callid"),
            cseq: element.number("cseq"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let (expires, retry, cseq) = (
            number(self.expires_s),
            number(self.retry_after_s),
            number(self.cseq),
        );
        writer.begin(
            "contact",
            &[
                ("id", Some(&self.id)),
                (
                    "state",
                    Some(if self.active { "active" } else { "terminated" }),
                ),
                ("event", Some(&self.event)),
                ("expires", expires.as_deref()),
                ("retry-after", retry.as_deref()),
                ("callid", self.call_id.as_deref()),
                ("cseq", cseq.as_deref()),
            ],
        );
        writer.text("uri", &[], Some(self.uri.reveal()));
        writer.text(
            "display-name",
            &[],
            self.display.as_ref().map(Private::reveal),
        );
        writer.end();
    }
}
