//! Transfers: a call that becomes a call with somebody else.

use serde::{Deserialize, Serialize};

use crate::{CallId, Party, Private};

/// How far a transfer of ours has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The peer has been asked.
    Asked,
    /// The peer tries.
    Trying,
    /// The peer reached the other party, or no longer tells how it goes; our call with it ends.
    Done,
    /// It did not work; our call goes on.
    Failed,
}

/// A transfer that concerns a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Transfer {
    /// We asked the peer to call somebody else.
    Ours {
        /// Whom it is to call.
        target: Party,
        /// How far it has come.
        state: TransferState,
        /// The last SIP status that the peer said or reported, with its phrase; never invented.
        status: Option<(u16, Private)>,
    },
    /// The peer asks us to call somebody else: [`crate::Command::AnswerTransfer`] decides.
    Wanted {
        /// Whom we are to call.
        target: Party,
        /// Who says that it asks, where that is said (RFC 3892).
        by: Option<Party>,
    },
    /// We call whom the peer asked us to call.
    Following {
        /// Whom we call.
        target: Party,
        /// The new call.
        call: CallId,
    },
}

impl Transfer {
    /// Who the other party is.
    #[must_use]
    pub fn target(&self) -> &Party {
        let (Self::Ours { target, .. }
        | Self::Wanted { target, .. }
        | Self::Following { target, .. }) = self;
        target
    }
}
