//! A relay that is lost in the middle of a call, where all media goes through it: another address is asked for there, and the
//! peer is told of it as of any other change of our address. Where ways are tried (ICE) the sockets get addresses anew, and
//! the ways are tried anew from there.
//!
//! ```text
//!  lost ─► not taken yet, or being told of the last one ─► then
//!   │
//!   ├─► without ways: as another network ─► re-INVITE from the new address
//!   └─► with ways: this one is used ─► restart from other sockets
//!                  another is used  ─► known for the next restart
//! ```

use std::time::Duration;

use model::NoticeLevel;
use nat::turn::Refusal;
use tokio::time::Instant;

use super::DialogState;
use super::ways::Wish;

/// A relay that is lost more often than this in a short time will be lost again.
const MOST_LOSSES: u32 = 5;
/// How long a loss counts.
const LATELY: Duration = Duration::from_secs(600);

/// The relays that a call has lost, one soon after the other.
#[derive(Default)]
pub(super) struct Losses {
    count: u32,
    last: Option<Instant>,
}

impl Losses {
    /// Whether another one is worth its while.
    fn may_go_on(&mut self) -> bool {
        let now = Instant::now();
        let lately = |last: Instant| now.duration_since(last) < LATELY;
        if !self.last.replace(now).is_some_and(lately) {
            self.count = 0;
        }
        self.count += 1;
        self.count <= MOST_LOSSES
    }
}

impl DialogState {
    /// What was lost while another one could not be asked for is asked for now.
    pub(super) async fn replace_relay(&mut self) {
        if let Some((socket, why)) = self.relay_gone.take() {
            self.on_relay_lost(socket, why).await;
        }
    }

    /// The address that the socket of this number had at a relay is gone. Nothing goes past a relay that was asked for before
    /// the peer has agreed to another place.
    pub(super) async fn on_relay_lost(&mut self, socket: u8, why: Refusal) {
        self.note("media", format!("the relay is lost to our media: {why}"));
        let is_up = self.view.state.is_up();
        let Some(media) = &mut self.media else { return };
        let tries_ways = media.tries_ways();
        let matters = match tries_ways {
            true => media.lose_relay(socket),
            false => socket == 0,
        };
        if !matters {
            return;
        }
        if !is_up || self.moving.is_some_and(super::moved::Moving::is_prepared) {
            self.relay_gone = Some((socket, why));
            return;
        }
        // Who moves asks for another one as well.
        if self.moving.is_some() {
            return;
        }
        let local = media.way().0;
        let again = self.relays_lost.may_go_on();
        let then = match again {
            true => "another one is asked for",
            false => "this call has lost too many to ask for another one, and stays silent",
        };
        let text = format!("The relay of call {} is lost: {why}; {then}.", self.view.id);
        let tenant = Some(&self.view.tenant);
        self.shared.notice(NoticeLevel::Warning, tenant, text);
        if !again {
            return;
        }
        if tries_ways {
            self.ways_wanted = Some(Wish::Anew);
            self.gather_for_wish().await;
            return self.settle_hold();
        }
        self.begin_move(
            Some(local),
            "the relay is lost; the peer is told of another place",
        );
    }
}
