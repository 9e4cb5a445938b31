//! Calls and their history as the view shows them.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, CallDetails, CallId, Ending, Failure, Identity, MediaStats, Private, Redirect,
    Sentence, SoundView, Sounded, TenantId, Timestamp, Transfer,
};

/// Who started the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// They called us.
    Incoming,
    /// We called them.
    Outgoing,
}

/// Which way the media of a call flows, or is wished to, seen from here (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaDirection {
    /// Both ways.
    #[default]
    #[serde(rename = "sendrecv")]
    Both,
    /// From here only.
    #[serde(rename = "sendonly")]
    SendOnly,
    /// To here only.
    #[serde(rename = "recvonly")]
    ReceiveOnly,
    /// No way.
    #[serde(rename = "inactive")]
    Inactive,
}

impl MediaDirection {
    /// Whether we send.
    pub fn sends(self) -> bool {
        matches!(self, Self::Both | Self::SendOnly)
    }

    /// Whether we receive.
    pub fn receives(self) -> bool {
        matches!(self, Self::Both | Self::ReceiveOnly)
    }

    /// Whether it is what calls usually are.
    pub fn is_both(&self) -> bool {
        *self == Self::Both
    }
}

/// The far end of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// Display name, when one was sent.
    pub display: Option<Private>,
    /// The address, as a URI without angle brackets.
    pub uri: Identity,
}

impl Party {
    /// The shortest name a person recognises: display name, else user part, else the whole URI.
    pub fn title(&self) -> &str {
        let display = self.display.as_ref().map(Private::reveal);
        if let Some(display) = display.filter(|d| !d.trim().is_empty()) {
            return display;
        }
        let uri = self.uri.reveal();
        let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
        match rest.split_once('@') {
            Some((user, _)) if !user.is_empty() => user,
            _ => rest,
        }
    }
}

/// What a call is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The INVITE is out and nobody rings yet; or an incoming call is being set up.
    Trying,
    /// Their phone rings; or ours does.
    Ringing,
    /// Our user has taken the call, and the caller has not confirmed that yet: its ACK is still on the way.
    Answering,
    /// Sound from before the answer is heard (early media).
    Early,
    /// Both talk.
    Connected,
    /// Connected and silent by someone's wish; see [`CallView::held_by_us`].
    Held,
    /// We hang up and wait for the peer to agree.
    Ending,
    /// Over; the call stays in the view until it is put away.
    Ended,
}

impl CallState {
    /// Whether the call is between its answer and its end.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Connected | Self::Held)
    }

    /// Whether the call still takes part in anything.
    pub fn is_live(self) -> bool {
        self != Self::Ended
    }
}

/// How one direction of a call's media is protected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Protection {
    /// SRTP with a key that was exchanged in the session description (SDES, RFC 4568).
    Sdes {
        /// Cipher and authentication by their registered name, e.g. `AES_CM_128_HMAC_SHA1_80`.
        suite: String,
    },
    /// SRTP with a key that a handshake on the media's own path made, with the peer whose fingerprint the session
    /// description has (DTLS-SRTP, RFC 5763).
    Dtls {
        /// Cipher and authentication by their registered name, e.g. `SRTP_AEAD_AES_256_GCM`.
        suite: String,
    },
}

/// What is true about the secrecy of a call's media, and nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MediaSecurity {
    /// What protects what we send; `None` is plain.
    pub sent: Option<Protection>,
    /// What protects what is heard; `None` is plain. Where it is something, nothing else is played.
    pub received: Option<Protection>,
    /// The keys were readable on their way: the signalling that carried them was, at least once, not
    /// encrypted on its first stretch. Beyond the first server nobody can know.
    pub keys_in_clear: bool,
}

impl MediaSecurity {
    /// Whether both directions are encrypted with keys that were not readable on our side.
    pub fn is_private(&self) -> bool {
        self.sent.is_some() && self.received.is_some() && !self.keys_in_clear
    }
}

/// A call as the view shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallView {
    /// Which call.
    pub id: CallId,
    /// Whose account it uses.
    pub tenant: TenantId,
    /// Which account it uses.
    pub account: AccountId,
    /// Who started it.
    pub direction: Direction,
    /// The far end.
    pub remote: Party,
    /// What it is doing.
    pub state: CallState,
    /// Whether we asked for the hold.
    pub held_by_us: bool,
    /// Whether the peer asked for the hold.
    pub held_by_peer: bool,
    /// Whether our microphone is cut off from this call.
    pub muted: bool,
    /// When it came into being.
    pub created_at: Timestamp,
    /// When it was answered.
    pub connected_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Codec in use, e.g. `opus/48000`.
    pub codec: Option<String>,
    /// Where the peer's media comes from, once it does.
    pub media_peer: Option<String>,
    /// Whether media is encrypted in both directions, with keys that were not readable on their
    /// way: [`MediaSecurity::is_private`] of `security`.
    pub secured: bool,
    /// How each direction is protected.
    #[serde(default)]
    pub security: MediaSecurity,
    /// Digits sent so far.
    pub dtmf_sent: Private,
    /// Digits received so far.
    pub dtmf_received: Private,
    /// Last second's media figures.
    pub stats: Option<MediaStats>,
    /// How it ended, once it has: also for good ends (`FailureKind::None`-like ends leave it empty).
    pub failure: Option<Failure>,
    /// The last SIP status that mattered, with its phrase; never invented.
    pub last_status: Option<(u16, Private)>,
    /// Call-ID of the dialog: the link into the trace.
    pub sip_call_id: String,
    /// The last transfer that was asked for in it, by either side.
    #[serde(default)]
    pub transfer: Option<Transfer>,
    /// Where a call of ours was sent instead.
    #[serde(default)]
    pub redirect: Option<Redirect>,
    /// What it says beside itself.
    #[serde(default)]
    pub details: CallDetails,
    /// The conference that it takes part in: calls with the same number hear each other.
    #[serde(default)]
    pub conference: Option<u64>,
    /// What is true about its sound.
    #[serde(default)]
    pub sound: SoundView,
    /// Who ended it and what was said of why, once it has ended without a failure.
    #[serde(default)]
    pub ending: Option<Ending>,
}

impl CallView {
    /// Why it ended, where that needs saying: what failed, or what was said beside a usual end.
    pub fn why_ended(&self) -> Option<Sentence> {
        match (&self.failure, &self.ending) {
            (Some(failure), _) => Some(failure.sentence()),
            (None, Some(ending)) if ending.is_notable() => ending.sentence(),
            _ => None,
        }
    }
}

/// How a finished call is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Somebody answered.
    Answered,
    /// It rang here and nobody answered.
    Missed,
    /// It rang here and was answered by another phone.
    Elsewhere,
    /// We declined it.
    Declined,
    /// We gave up before they answered.
    Cancelled,
    /// It failed; the reason is kept beside it.
    Failed,
}

/// One line of the call history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Row number in the history.
    pub id: i64,
    /// Whose account it used.
    pub tenant: TenantId,
    /// Which account it used.
    pub account: AccountId,
    /// Who started it.
    pub direction: Direction,
    /// The far end.
    pub remote: Party,
    /// When it came into being.
    pub started_at: Timestamp,
    /// Talking time in milliseconds; zero when it was never answered.
    pub talk_ms: u64,
    /// How it is filed.
    pub outcome: Outcome,
    /// How the peer was heard, where it was.
    #[serde(default)]
    pub sounded: Option<Sounded>,
    /// SIP status and phrase it ended with, if a peer said one.
    pub status: Option<(u16, Private)>,
    /// One sentence on why it ended, when that needs saying.
    pub sentence: Option<Sentence>,
    /// Call-ID of the dialog: the link into the trace.
    pub sip_call_id: String,
}

#[cfg(test)]
mod tests {
    use super::Party;

    #[test]
    fn a_party_is_called_by_the_shortest_name_that_says_who() {
        let party = |display: Option<&str>, uri: &str| Party {
            display: display.map(Into::into),
            uri: uri.into(),
        };
        assert_eq!(party(Some("Bob"), "sip:bob@example.com").title(), "Bob");
        assert_eq!(party(Some("  "), "sip:bob@example.com").title(), "bob");
        assert_eq!(party(None, "tel:+4930123").title(), "+4930123");
        assert_eq!(
            party(None, "sip:pbx.example.com").title(),
            "pbx.example.com"
        );
    }
}
