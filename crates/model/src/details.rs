//! What a call says beside itself: who vouches for the caller, by which way it came, and where it might go.

use serde::{Deserialize, Serialize};

use crate::{CallId, MediaDirection, Outcome, Party, Private, Sentence};

/// A call of ours that is sent elsewhere (3xx).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Where the peer may be reached, best first.
    pub targets: Vec<Party>,
    /// The one that is called, by its place among them. `None`: the user chooses, with
    /// [`crate::Command::FollowRedirect`] or [`crate::Command::DeclineRedirect`].
    pub followed: Option<u32>,
}

/// A header of the peer that the program has no use for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHeader {
    /// Its name, as sent.
    pub name: String,
    /// Its value, as sent.
    pub value: Private,
}

/// What a call says beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallDetails {
    /// Whether the account's own server vouches for [`crate::CallView::remote`] (RFC 3325).
    pub asserted: bool,
    /// Who the caller says it is, where that is somebody else than the server says.
    pub claims: Option<Party>,
    /// Whether the caller wants nobody to know who it is (RFC 3323).
    pub anonymous: bool,
    /// Who sent the call on to us, the last one first (RFC 5806, RFC 7044).
    pub forwarded_by: Vec<Party>,
    /// Whether the call carries a signed identity (RFC 8224). Its signature is not checked.
    pub signed: bool,
    /// What it is about, as the caller says.
    pub subject: Option<Private>,
    /// The name of the call on all its legs (RFC 7989): our half, and the peer's behind a slash once it is known.
    pub session_id: String,
    /// Call-ID of the dialog whose knowledge the caller shows (RFC 4538).
    pub target_dialog: Option<String>,
    /// The call of ours whose place it wants (RFC 3891) without that anybody known vouches for it: that one ends when this
    /// one is taken. It is never taken without a hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CallId>,
    /// Headers of the peer that the program has no use for.
    pub headers: Vec<ExtraHeader>,
    /// Whether it was taken without a hand.
    pub auto_answered: bool,
    /// Which way media flows, as agreed; a hold takes away what we would hear.
    #[serde(skip_serializing_if = "MediaDirection::is_both")]
    pub media: MediaDirection,
    /// The codec that the peer is heard with, where it has gone from the agreed one to another of those that it may send
    /// (RFC 3264 §7): its name and its clock rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_codec: Option<String>,
    /// The file that both sides of it are recorded to, while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// The file that is played into it, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playing: Option<String>,
    /// Where its first message came from or what answered it first, `IP:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// How it is filed, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What we answered to a call that was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub our_status: Option<u16>,
    /// The conference that the peer is the middle of, and who is in it (RFC 4575).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roster: Option<Roster>,
}

/// A conference, as the server in its middle tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roster {
    /// What it is about.
    pub subject: Option<Private>,
    /// Who is in it, in the order they came; the first of many.
    pub members: Vec<Member>,
    /// How many there are.
    pub count: u32,
    /// Whether it is over.
    pub over: bool,
    /// Why nothing is known of who is in it.
    pub sentence: Option<Sentence>,
}

/// Somebody in a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Who.
    pub who: Party,
    /// Whether they are in it.
    pub state: MemberState,
}

/// How somebody is in a conference (RFC 4575 §5.7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Takes part.
    #[default]
    Present,
    /// Holds, or is held.
    Held,
    /// Is being called, or waits to be let in.
    Coming,
    /// Was in it.
    Gone,
}
