//! What is needed to end a call whose object is lost.

use std::fmt;
use std::time::Instant;

use sip_message::StatusCode;

use super::session_id::SessionIds;
use super::task::{ClientTask, Machine, Purpose};
use super::{Call, CallConfig, EndKind, Phase, Role};
use crate::auth::Home;
use crate::dialog::Dialog;
use crate::dispatch::{OwnerKey, ServerKey};
use crate::output::Outbox;
use crate::path::Inbound;
use crate::tokens::{Seed, Tokens};

/// A copy of what a goodbye needs. Its holder renews it while the call lives, whenever its
/// [stamp](Call::card_stamp) is another, and says goodbye with it when the call's owner has died: a CANCEL for a call
/// that we make, a 500 for one that rings here, a BYE for one that is up.
#[derive(Clone)]
pub struct ByeCard(Kind);

#[derive(Clone)]
enum Kind {
    /// The call itself, with the transaction of its INVITE: it has to go on, to hear its answer and to acknowledge it.
    Early(Box<Call>),
    /// Ids, route set, target and CSeq, and the flow the peer was heard on.
    Talking(Box<Talking>),
}

#[derive(Clone)]
struct Talking {
    dialog: Dialog,
    source: Option<Inbound>,
    role: Role,
    home: Home,
    session_ids: SessionIds,
}

/// From what a card was drawn. As long as it is the same, so is the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardStamp {
    /// Nothing is on the wire, or all is over: there is no card.
    None,
    /// Our INVITE with this branch is out, and whether somebody has answered it already (RFC 3261 §9.1: not before is
    /// there a CANCEL).
    Calling {
        /// Branch of the INVITE.
        branch: String,
        /// Whether a provisional answer has come.
        heard: bool,
    },
    /// The peer's INVITE waits for our answer.
    Ringing,
    /// The dialog as it stands.
    Talking {
        /// The number of our last request.
        cseq: u32,
        /// Where requests go.
        next_hop: String,
    },
}

impl ByeCard {
    /// Under which the dispatcher finds the call that [`ByeCard::into_bye`] makes: that of the lost one.
    #[must_use]
    pub fn owner_key(&self) -> OwnerKey {
        match &self.0 {
            Kind::Early(call) => call.owner.clone(),
            Kind::Talking(talking) => {
                let id = talking.dialog.id();
                OwnerKey {
                    call_id: id.call_id.clone(),
                    local_tag: id.local_tag.clone(),
                }
            }
        }
    }

    /// Under which its repeats and the CANCEL of an INVITE that waits for our answer are found.
    #[must_use]
    pub fn server_key(&self) -> Option<ServerKey> {
        let Kind::Early(call) = &self.0 else {
            return None;
        };
        let ringing = call.ringing_task().ok()?;
        let task = call.servers.iter().find(|task| task.id == ringing)?;
        Some(task.key.clone())
    }

    /// A call that only says goodbye: it has ended, tells so once, sends its CANCEL, 500 or BYE with repeats, other
    /// paths and credentials like any call, and is drained afterwards.
    ///
    /// The lost owner may have sent requests in the dialog that the card does not know of, so the CSeq of a BYE leaves
    /// room for them; a jump is legal (RFC 3261 §12.2.2).
    #[must_use]
    pub fn into_bye(self, now: Instant, config: CallConfig, seed: &Seed) -> Call {
        match self.0 {
            Kind::Early(call) => end_early(now, *call, seed),
            Kind::Talking(talking) => end_dialog(now, *talking, config, seed),
        }
    }
}

fn end_early(now: Instant, mut call: Call, seed: &Seed) -> Call {
    // What the lost owner sent after this copy was made has the branches that these tokens would make.
    call.tokens = Tokens::new(seed);
    call.out = Outbox::default();
    // Either fits its phase.
    let _ = match call.phase {
        Phase::Ringing => call.reject(now, StatusCode::SERVER_INTERNAL_ERROR),
        _ => call.hang_up(now),
    };
    call
}

fn end_dialog(now: Instant, talking: Talking, config: CallConfig, seed: &Seed) -> Call {
    let Talking {
        mut dialog,
        source,
        role,
        home,
        session_ids,
    } = talking;
    let id = dialog.id();
    let owner = OwnerKey {
        call_id: id.call_id.clone(),
        local_tag: id.local_tag.clone(),
    };
    let mut call = Call::new(CallConfig { home, ..config }, seed, role, owner);
    dialog.set_local_cseq(dialog.local_cseq().saturating_add(CSEQ_ROOM));
    call.source = source;
    call.session_ids = session_ids;
    call.phase = Phase::Talking;
    call.dialog = Some(dialog);
    call.leave(now);
    call.end(now, EndKind::WeHungUp);
    call.settle(now);
    call
}

impl fmt::Debug for ByeCard {
    /// Without identities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Early(call) => f.debug_tuple("ByeCard").field(call).finish(),
            Kind::Talking(talking) => f
                .debug_struct("ByeCard")
                .field("role", &talking.role)
                .field("local_cseq", &talking.dialog.local_cseq())
                .finish_non_exhaustive(),
        }
    }
}

impl Call {
    /// The card of the call as it stands; `None` while nothing was said, and after its end.
    #[must_use]
    pub fn bye_card(&self) -> Option<ByeCard> {
        match self.card_stamp() {
            CardStamp::None => None,
            CardStamp::Calling { .. } | CardStamp::Ringing => {
                Some(ByeCard(Kind::Early(Box::new(self.clone()))))
            }
            CardStamp::Talking { .. } => Some(ByeCard(Kind::Talking(Box::new(Talking {
                dialog: self.dialog.clone()?,
                source: self.source,
                role: self.role,
                session_ids: self.session_ids.clone(),
                home: self.authenticator.home().cloned().unwrap_or_default(),
            })))),
        }
    }

    /// From what a card would be drawn now.
    #[must_use]
    pub fn card_stamp(&self) -> CardStamp {
        match (self.phase, &self.dialog) {
            (Phase::Calling, _) => self.calling_stamp().unwrap_or(CardStamp::None),
            (Phase::Ringing, _) => CardStamp::Ringing,
            (Phase::Talking, Some(dialog)) => CardStamp::Talking {
                cseq: dialog.local_cseq(),
                next_hop: dialog.next_hop().to_string(),
            },
            (Phase::Talking, None) | (Phase::Ended, _) => CardStamp::None,
        }
    }

    fn calling_stamp(&self) -> Option<CardStamp> {
        let open = |task: &&ClientTask| task.purpose == Purpose::Invite && task.is_open();
        let attempt = self.clients.iter().find(open)?.attempt.as_ref()?;
        let heard = matches!(&attempt.machine, Machine::Invite(machine) if machine.is_proceeding());
        Some(CardStamp::Calling {
            branch: attempt.branch.clone(),
            heard,
        })
    }
}

/// How many requests the lost owner may have sent since its card was drawn.
const CSEQ_ROOM: u32 = 100;
