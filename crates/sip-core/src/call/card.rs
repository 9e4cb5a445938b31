//! What is needed to end a call whose object is lost.

use std::fmt;
use std::time::Instant;

use super::{Call, CallConfig, EndKind, Phase, Role};
use crate::auth::Home;
use crate::dialog::Dialog;
use crate::dispatch::OwnerKey;
use crate::path::Inbound;
use crate::tokens::Seed;

/// A copy of what a BYE needs: ids, route set, target, CSeq, and the flow the peer was heard on. Its holder renews it
/// while the call lives (after each event will do) and sends the BYE when the call's owner has died.
#[derive(Clone)]
pub struct ByeCard {
    dialog: Dialog,
    source: Option<Inbound>,
    role: Role,
    home: Home,
}

impl ByeCard {
    /// Under which the dispatcher finds the call that [`ByeCard::into_bye`] makes: that of the lost one.
    #[must_use]
    pub fn owner_key(&self) -> OwnerKey {
        let id = self.dialog.id();
        OwnerKey {
            call_id: id.call_id.clone(),
            local_tag: id.local_tag.clone(),
        }
    }

    /// A call that only says goodbye: it has ended, tells so once ([`EndKind::WeHungUp`]), sends its BYE with
    /// repeats, other paths and credentials like any call, and is drained afterwards.
    ///
    /// The lost owner may have sent requests that the card does not know of, so the CSeq leaves room for them; a jump
    /// is legal (RFC 3261 §12.2.2).
    #[must_use]
    pub fn into_bye(self, now: Instant, config: CallConfig, seed: &Seed) -> Call {
        let owner = self.owner_key();
        let config = CallConfig {
            home: self.home,
            ..config
        };
        let mut call = Call::new(config, seed, self.role, owner);
        let mut dialog = self.dialog;
        dialog.set_local_cseq(dialog.local_cseq().saturating_add(CSEQ_ROOM));
        call.source = self.source;
        call.phase = Phase::Talking;
        call.dialog = Some(dialog);
        call.leave(now);
        call.end(now, EndKind::WeHungUp);
        call.settle(now);
        call
    }
}

impl fmt::Debug for ByeCard {
    /// Without identities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByeCard")
            .field("role", &self.role)
            .field("local_cseq", &self.dialog.local_cseq())
            .finish_non_exhaustive()
    }
}

impl Call {
    /// The card of the call as it stands; `None` while there is no confirmed dialog to end.
    #[must_use]
    pub fn bye_card(&self) -> Option<ByeCard> {
        if self.phase != Phase::Talking {
            return None;
        }
        Some(ByeCard {
            dialog: self.dialog.clone()?,
            source: self.source,
            role: self.role,
            home: self.authenticator.home().cloned().unwrap_or_default(),
        })
    }
}

/// How many requests the lost owner may have sent since its card was drawn.
const CSEQ_ROOM: u32 = 100;
