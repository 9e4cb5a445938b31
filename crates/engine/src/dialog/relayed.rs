//! A relay that is lost in the middle of a call, where all media goes through it: another address is asked for there, and the
//! peer is told of it as of any other change of our address. Where ways are tried (ICE) that one leads no further shows by
//! itself, and they are tried anew.

use model::NoticeLevel;
use nat::turn::Refusal;

use super::DialogState;

/// A relay that is lost more often than this in one call will be lost again.
const MOST_LOSSES: u32 = 5;

impl DialogState {
    /// The address that the socket of this number had at a relay is gone. Nothing goes past a relay that was asked for before
    /// the peer has agreed to another place.
    pub(super) fn on_relay_lost(&mut self, socket: u8, why: &Refusal) {
        self.note("media", format!("the relay is lost to our media: {why}"));
        let is_up = self.view.state.is_up();
        let Some(media) = self.media.as_ref().filter(|_| is_up && socket == 0) else {
            return;
        };
        // Who moves asks for another one as well.
        if media.tries_ways() || self.moving.is_some() {
            return;
        }
        let local = media.way().0;
        self.relays_lost += 1;
        let again = self.relays_lost <= MOST_LOSSES;
        let then = match again {
            true => "another one is asked for",
            false => "this call has lost too many to ask for another one, and stays silent",
        };
        let text = format!("The relay of call {} is lost: {why}; {then}.", self.view.id);
        let tenant = Some(&self.view.tenant);
        self.shared.notice(NoticeLevel::Warning, tenant, text);
        if again {
            self.begin_move(
                Some(local),
                "the relay is lost; the peer is told of another place",
            );
        }
    }
}
