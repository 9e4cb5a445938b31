//! What a refusal says about the session description: Warning (RFC 3261 §20.43).

use sip_message::Warning;

use super::{Call, CallConfig};
use crate::path::Path;

/// Why a session description is not taken, in the words of RFC 3261 §20.43.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaWarning {
    /// 302: none of its transports can be used here. Whether media is encrypted is part of that (`RTP/SAVP`).
    Transport,
    /// 304: none of its media types can be used here.
    Type,
    /// 305: none of its formats can be used here.
    Format,
    /// 399: something else.
    Other,
}

impl MediaWarning {
    /// Its three digits.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Transport => 302,
            Self::Type => 304,
            Self::Format => 305,
            Self::Other => 399,
        }
    }

    /// From its three digits.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        let all = [Self::Transport, Self::Type, Self::Format, Self::Other];
        all.into_iter().find(|warning| warning.code() == code)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Transport => "Incompatible transport protocol",
            Self::Type => "Media type not available",
            Self::Format => "Incompatible media format",
            Self::Other => "The session description cannot be used",
        }
    }

    /// The header, which names us as our Contact on this path does; with why, for people.
    pub(super) fn header(self, why: &str, config: &CallConfig, path: &Path) -> String {
        let agent = match &config.contact {
            Some(contact) => match contact.port {
                Some(port) => format!("{}:{port}", contact.host),
                None => contact.host.to_string(),
            },
            None => path.local.to_string(),
        };
        let mut text = self.text().to_owned();
        if !why.is_empty() {
            text.push_str(": ");
            text.push_str(why);
        }
        let code = self.code();
        Warning { code, agent, text }.to_string()
    }
}

impl Call {
    /// Says why with the next 488 of ours (RFC 3261 §13.3.1.3, §21.4.26).
    pub fn warn(&mut self, warning: MediaWarning) {
        self.warn_because(warning, "");
    }

    /// The same with more words for people. They are ours alone: nothing of what the peer sent goes back to it this way.
    pub fn warn_because(&mut self, warning: MediaWarning, why: &'static str) {
        self.warning = Some((warning, why));
    }
}
