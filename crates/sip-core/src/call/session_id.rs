//! Session-ID (RFC 7989): one name for a call on all its legs, however many B2BUAs stand between.

use sip_message::{HeaderName, Headers, SessionId};

use super::Call;
use crate::tokens::Tokens;

/// The half of an end that is not known yet (RFC 7989 §4.1).
const NIL: &str = "00000000000000000000000000000000";

/// Both halves of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionIds {
    local: String,
    remote: Option<String>,
}

impl SessionIds {
    /// Ours as it was given, or a new one: a UUID of version 4 in 32 digits (RFC 7989 §5).
    pub(super) fn new(given: Option<&str>, tokens: &mut Tokens) -> Self {
        let given = given.map(str::to_ascii_lowercase);
        let local = given.filter(|given| is_uuid(given));
        Self {
            local: local.unwrap_or_else(|| version_4(&tokens.hex(16))),
            remote: None,
        }
    }

    /// Notes the peer's half. It may change in the middle of a call, when a B2BUA connects us to somebody else
    /// (RFC 7989 §6).
    pub(super) fn learn(&mut self, headers: &Headers) {
        if let Ok(heard) = headers.session_id()
            && heard.local != NIL
        {
            self.remote = Some(heard.local.to_ascii_lowercase());
        }
    }

    /// Writes the header as it stands into a message of ours.
    pub(super) fn write(&self, headers: &mut Headers) {
        let remote = self.remote.as_deref().unwrap_or(NIL);
        let value = format!("{};remote={remote}", self.local);
        headers.set(HeaderName::SessionId, value);
    }
}

impl Call {
    /// The name that this call has on all its legs: our half, and the peer's once it was heard.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId {
            local: self.session_ids.local.clone(),
            remote: self.session_ids.remote.clone(),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == NIL.len() && text != NIL && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Random digits with the marks of a random UUID (RFC 9562 §5.4).
fn version_4(digits: &str) -> String {
    let mark = |(at, digit): (usize, char)| match at {
        12 => '4',
        16 => {
            let value = digit.to_digit(16).unwrap_or_default();
            char::from_digit(8 + (value & 3), 16).unwrap_or('8')
        }
        _ => digit,
    };
    digits.chars().enumerate().map(mark).collect()
}
