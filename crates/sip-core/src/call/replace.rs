//! Calls that take the place of others, or join them: Replaces (RFC 3891), Join (RFC 3911), Target-Dialog (RFC 4538).
//! The matching is here; the swap itself is its owner's, which holds both calls.

use sip_message::{HeaderName, Headers, Replaces, StatusCode, TargetDialog};

use super::{Call, Phase, Role};
use crate::Path;

/// How a Replaces or Join fits a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It means another call. Where it fits none of all calls, the INVITE is answered 481.
    Other,
    /// It means this one, and the new call may take its place (or join it).
    Yes {
        /// The call was not taken yet: it is given up with CANCEL, not with BYE.
        early: bool,
    },
    /// It means this one, and the INVITE is to be refused so.
    No(StatusCode),
}

impl Call {
    /// The dialog of this call as its other end knows it: for the Replaces of an attended transfer. `None` while
    /// there is no dialog.
    #[must_use]
    pub fn as_replaces(&self) -> Option<Replaces> {
        let id = self.dialog.as_ref()?.id();
        Some(Replaces {
            call_id: id.call_id.clone(),
            to_tag: id.remote_tag.clone(),
            from_tag: id.local_tag.clone(),
            early_only: false,
        })
    }

    /// Target-Dialog for a request to the other end outside of this dialog (RFC 4538). `None` while there is no
    /// dialog.
    #[must_use]
    pub fn as_target_dialog(&self) -> Option<TargetDialog> {
        let id = self.dialog.as_ref()?.id();
        Some(TargetDialog {
            call_id: id.call_id.clone(),
            local_tag: id.local_tag.clone(),
            remote_tag: id.remote_tag.clone(),
        })
    }

    /// Whether an INVITE with this Replaces may take the place of this call (RFC 3891 §3).
    #[must_use]
    pub fn replaced_by(&self, replaces: &Replaces) -> Fit {
        if !self.is_meant(&replaces.call_id, &replaces.to_tag, &replaces.from_tag) {
            return Fit::Other;
        }
        match (self.phase, self.role) {
            (Phase::Ended, _) => Fit::No(StatusCode::DECLINE),
            (Phase::Talking, _) if replaces.early_only => Fit::No(StatusCode::BUSY_HERE),
            (Phase::Talking, _) => Fit::Yes { early: false },
            (_, Role::Caller) => Fit::Yes { early: true },
            // An early dialog that we did not initiate cannot be replaced.
            (_, Role::Callee) => Fit::No(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST),
        }
    }

    /// Whether a request of this path comes from where this call came from, or where our INVITE went: its peer, or the
    /// server between. Nothing that was said in the call since moves that. Of a connection the host alone counts, since
    /// its port is another one each time.
    #[must_use]
    pub fn is_spoken_from(&self, path: &Path) -> bool {
        let known = match &self.invitation {
            Some(invite) => invite.headers.via_top().ok().and_then(|via| {
                let ip = via.received().or_else(|| via.sent_by.ip())?;
                Some((ip, via.rport().flatten()))
            }),
            None => self.invited_at.map(|to| (to.ip(), Some(to.port()))),
        };
        known.is_some_and(|(ip, port)| {
            let any_port = path.transport.is_reliable() || port.is_none();
            ip == path.remote.ip() && (any_port || port == Some(path.remote.port()))
        })
    }

    /// Whether an INVITE with this Join may join this call (RFC 3911 §4).
    #[must_use]
    pub fn joined_by(&self, join: &Replaces) -> Fit {
        match self.replaced_by(&Replaces {
            early_only: false,
            ..join.clone()
        }) {
            Fit::Yes { early: true } => Fit::No(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST),
            fit => fit,
        }
    }

    /// Whether a request outside of this dialog comes from who knows it (RFC 4538): then the peer of this call may ask
    /// what a peer may. Tags are as that peer sees them.
    #[must_use]
    pub fn is_target_of(&self, target: &TargetDialog) -> bool {
        self.phase != Phase::Ended
            && self.is_meant(&target.call_id, &target.remote_tag, &target.local_tag)
    }

    fn is_meant(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> bool {
        if self.owner.call_id != call_id || self.owner.local_tag != local_tag {
            return false;
        }
        let is = |tag: &str| tag == remote_tag || (tag.is_empty() && remote_tag == "0");
        let of_call = self
            .dialog
            .as_ref()
            .is_some_and(|dialog| is(&dialog.id().remote_tag));
        // RFC 3891 §3: `0` stands for the tag of a peer that has none.
        of_call || (self.phase == Phase::Calling && self.early.find(remote_tag).is_some())
    }
}

/// Why what an INVITE outside of any dialog asks to replace or to join makes no sense (RFC 3891 §3, RFC 3911 §4): more
/// than one of them, or one that cannot be read.
pub(super) fn contradiction(headers: &Headers) -> Option<String> {
    let replaces = headers.get_all(HeaderName::Replaces).count();
    let join = headers.get_all(HeaderName::Join).count();
    match (replaces, join) {
        (0, 0) => None,
        (1, 0) => headers.replaces().err().map(|error| error.phrase()),
        (0, 1) => headers.join().err().map(|error| error.phrase()),
        (_, 0) => Some("Repeated Replaces Header".to_owned()),
        (0, _) => Some("Repeated Join Header".to_owned()),
        _ => Some("Replaces and Join Header Together".to_owned()),
    }
}
