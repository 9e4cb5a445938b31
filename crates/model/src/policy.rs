//! What an account does with calls by itself.

use serde::{Deserialize, Serialize};

use crate::Private;

/// What to do when a call of ours is sent elsewhere (3xx).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectPolicy {
    /// The user chooses, see [`crate::CallView::redirect`].
    #[default]
    Ask,
    /// The first place is called at once.
    Always,
    /// The call has failed.
    Never,
}

/// Whether provisional answers are acknowledged (RFC 3262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrackPolicy {
    /// Never.
    Off,
    /// Where both ends can.
    #[default]
    Supported,
    /// Calls of ours insist on it; a peer that cannot refuses them.
    Required,
}

/// What a caller hears at once, whoever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoNotDisturb {
    /// The phone rings.
    #[default]
    Off,
    /// 486 Busy Here.
    Busy,
    /// 480 Temporarily Unavailable.
    Unavailable,
}

/// Which calls are taken without a hand. A call that is up is never put aside for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoAnswer {
    /// None.
    #[default]
    Never,
    /// Those that ask for it: Answer-Mode and Priv-Answer-Mode (RFC 5373), `answer-after` in Call-Info,
    /// `info=alert-autoanswer` in Alert-Info.
    WhenAsked,
    /// All.
    Always,
}

/// Whether others may join a call that is going on (RFC 3911): then all hear each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinPolicy {
    /// Nobody.
    #[default]
    Never,
    /// Those for whom the account's own server or proxy sends the call.
    FromServer,
    /// Whoever can name the call by its Call-ID and both tags.
    Always,
}

/// What an account does with calls by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallPolicies {
    /// What to do when a call of ours is sent elsewhere.
    pub redirects: RedirectPolicy,
    /// Whether sessions are refreshed, so that a call whose peer has vanished ends (RFC 4028).
    pub session_timers: bool,
    /// How long a session lasts without a refresh, in seconds. At least 90.
    pub session_expires_s: u32,
    /// The shortest such time that we take, in seconds. At least 90.
    pub min_session_expires_s: u32,
    /// Whether provisional answers are acknowledged.
    pub prack: PrackPolicy,
    /// Whether what comes before the answer is heard: announcements, the network's own ring tone.
    pub early_media: bool,
    /// What callers hear instead of a ringing phone.
    pub do_not_disturb: DoNotDisturb,
    /// Where all calls are sent; written like the target of a call.
    pub forward_always: Option<Private>,
    /// Where calls are sent that find the line busy.
    pub forward_busy: Option<Private>,
    /// Where calls are sent that nobody takes.
    pub forward_no_answer: Option<Private>,
    /// After how many seconds of ringing nobody takes them.
    pub forward_after_s: u16,
    /// Which calls are taken without a hand.
    pub auto_answer: AutoAnswer,
    /// Whether others may join a call that is going on.
    pub joins: JoinPolicy,
    /// How many calls the account carries before it is busy; 0 is no limit.
    pub most_calls: u16,
    /// Whether calls do not tell who makes them (RFC 3323).
    pub anonymous: bool,
}

impl Default for CallPolicies {
    fn default() -> Self {
        Self {
            redirects: RedirectPolicy::Ask,
            session_timers: true,
            session_expires_s: 1800,
            min_session_expires_s: 90,
            prack: PrackPolicy::Supported,
            early_media: true,
            do_not_disturb: DoNotDisturb::Off,
            forward_always: None,
            forward_busy: None,
            forward_no_answer: None,
            forward_after_s: 20,
            auto_answer: AutoAnswer::Never,
            joins: JoinPolicy::Never,
            most_calls: 0,
            anonymous: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_calls_are_sent_does_not_print() {
        let policies = CallPolicies {
            forward_always: Some("sip:secretary@example.com".into()),
            ..CallPolicies::default()
        };
        assert!(!format!("{policies:?}").contains("secretary"));
    }
}
