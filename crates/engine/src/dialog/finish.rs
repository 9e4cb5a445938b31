//! The end of a call: what is told of it, what is filed, and what would end it without this actor.

use model::{CallState, Direction, Ending, Failure, Outcome};
use sip_core::call::EndKind;

use super::{DialogState, Phase, transfer};
use crate::cards::Card;
use crate::devices::DevicesMsg;
use crate::tenant::TenantMsg;
use crate::{failures, wall};

impl DialogState {
    pub(super) fn on_ended(&mut self, kind: &EndKind) {
        self.view.ending = failures::ending(kind);
        let outcome = match kind {
            _ if self.view.connected_at.is_some() => Outcome::Answered,
            EndKind::Cancelled { .. } if self.is_elsewhere() => Outcome::Elsewhere,
            EndKind::Cancelled { .. } => Outcome::Missed,
            // Our own time to ring ran out.
            EndKind::NoAnswer if self.view.direction == Direction::Incoming => Outcome::Missed,
            EndKind::WeRejected { .. } if self.refused_offer.is_some() => Outcome::Failed,
            // Nobody here had a hand in it.
            EndKind::WeRejected { .. } if self.unseen => Outcome::Missed,
            EndKind::WeRejected { .. } => Outcome::Declined,
            EndKind::WeHungUp if self.view.direction == Direction::Outgoing => Outcome::Cancelled,
            EndKind::WeHungUp => Outcome::Declined,
            _ => Outcome::Failed,
        };
        if let EndKind::WeRejected { code } = kind {
            self.view.details.our_status = Some(*code);
        }
        if let EndKind::Status { code, phrase, .. } = kind {
            self.view.last_status = Some((*code, phrase.clone()));
        }
        let mut failure = match (kind, self.on_the_way) {
            // Who was never heard did not fail to pick up.
            (EndKind::NoAnswer, Some((to, step)))
                if self.view.direction == Direction::Outgoing && !self.heard =>
            {
                Some(failures::never_heard(to, step))
            }
            (EndKind::WeRejected { .. }, _) => self.refused_offer.take(),
            _ => failures::call(kind),
        };
        if let Some(failure) = &mut failure {
            failures::blame(failure, &mut self.untrusted);
            failures::blame_answer(failure, &mut self.unreadable);
            if let (EndKind::Status { code: 300..400, .. }, Some(redirect)) =
                (kind, &self.view.redirect)
            {
                failures::tell_places(failure, &redirect.targets);
            }
            self.note("call", failure.sentence());
        }
        self.finish(failure, outcome);
    }

    /// Another phone took the call.
    fn is_elsewhere(&self) -> bool {
        self.view.ending.as_ref().is_some_and(Ending::is_elsewhere)
    }

    /// The call is over for the user; the protocol may still have farewells to repeat.
    pub(super) fn finish(&mut self, failure: Option<Failure>, outcome: Outcome) {
        self.close_media();
        if let Some(text) = self.keys.left_out() {
            self.note("media", text);
        }
        self.report(transfer::status_of_end(
            self.view.state,
            self.view.last_status.as_ref(),
        ));
        self.focus.leave();
        self.view.failure = failure;
        self.view.ended_at = Some(wall());
        self.view.details.outcome = Some(outcome);
        let room = self.view.conference.take();
        self.enter(CallState::Ended);
        if room.is_some() {
            let _ = self.tenant.cast(TenantMsg::Parted(self.view.id));
        }
        self.update_tones();
        self.sound_nothing();
        self.file(outcome);
    }

    /// Lets the user hear that a call of theirs came to nothing, as a telephone does.
    fn sound_nothing(&self) {
        let failed = self.view.connected_at.is_none() && self.view.failure.is_some();
        if failed && self.view.direction == Direction::Outgoing {
            // RFC 3261 §21.4.24 and §21.6.1: busy here, busy everywhere.
            let status = self.view.last_status.as_ref().map(|(code, _)| *code);
            let busy = matches!(status, Some(486 | 600));
            self.shared.devices.cast(DevicesMsg::CameToNothing { busy });
        }
    }

    pub(super) fn file(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.filed, true) {
            let sounded = self.sounded.sounded();
            self.shared.file(&self.view, outcome, sounded);
        }
    }

    /// Leaves what it takes to end the call should this actor fail, or its tenant. Drawn anew when
    /// the old card would not do; the CSeq of a BYE leaves room for what the card does not know.
    pub(super) fn draw_card(&mut self) {
        let Phase::Calling(call) = &self.phase else {
            return;
        };
        let stamp = call.card_stamp();
        if stamp != self.card {
            self.card = stamp;
            let account = self.view.account.clone();
            let card = call.bye_card().map(|bye| Card {
                account,
                bye: Box::new(bye),
            });
            self.cards.put(self.view.id, card);
        }
    }
}
