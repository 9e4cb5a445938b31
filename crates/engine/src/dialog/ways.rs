//! Ways to the peer that are tried anew in the middle of a call (RFC 8445 §9), and what becomes of a peer that does not
//! want that.
//!
//! ```text
//!  lost, or our address changed ─► Anew ──answered──► both search; what was found before is used meanwhile
//!                                   │
//!                                   └─refused─► the old address is ours still: the call goes on from there
//!                                             └► it is not, or nobody answers there: Plain ──refused──► told
//! ```
//!
//! An offer without ICE is what any peer understands: media goes where the descriptions say, by what both sides sign for
//! with it.

use std::time::Duration;

use ractor::ActorRef;
use sip_message::StatusCode;

use super::media_leg::MediaLeg;
use super::moved::Moving;
use super::{DialogMsg, DialogState};

/// How long until a peer that did not hear of it, or did not want anything, is asked once more.
const AGAIN: Duration = Duration::from_secs(20);

/// What the next offer says about the ways to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// All are to be tried by other names (RFC 8445 §2.4).
    Anew,
    /// None is to be tried: media goes where the descriptions say.
    Plain,
}

impl DialogState {
    /// The peer may not want anything any more, or the way is broken: it is asked by a restart (RFC 8445 §2.4).
    pub(super) async fn on_way_lost(&mut self) {
        // The peer may have agreed to do without meanwhile.
        if !self.media.as_ref().is_some_and(MediaLeg::has_ways) {
            return;
        }
        let text = "nobody answers any more on the way to the peer; others are tried";
        self.note("media", text.to_owned());
        if self.view.state.is_up() {
            self.ways_wanted = Some(Wish::Anew);
            self.gather_for_wish().await;
            self.settle_hold();
        }
    }

    /// A restart came to nothing: both sides have tried, or the peer has kept its names and so has not. The latter does
    /// not mean it, and gets the media as peers without ICE do.
    pub(super) async fn on_no_way(&mut self) {
        let text = "no way to the peer has answered; nothing is sent until one does";
        self.note("media", text.to_owned());
        let media = self.media.as_ref();
        if self.view.state.is_up() && media.is_some_and(MediaLeg::kept_its_names) {
            let text = "the peer did not try the ways anew though it said so: it is offered the media without ICE";
            self.note("media", text.to_owned());
            self.ways_wanted = Some(Wish::Plain);
            self.gather_for_wish().await;
            self.settle_hold();
        }
    }

    /// From another address everything is tried anew, whatever was before; unless the peer has just refused that.
    pub(super) fn want_ways_after_move(&mut self) {
        if self.media.as_ref().is_some_and(MediaLeg::had_ways) {
            self.ways_wanted.get_or_insert(Wish::Anew);
        }
    }

    /// An offer of ours came to nothing; where it asked for something about the ways, that is asked for in another way.
    pub(super) fn ways_refused(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        status: Option<StatusCode>,
    ) {
        let Some(asked) = self.ways_asked.take() else {
            return;
        };
        let moves = self.moving.is_some_and(Moving::is_told);
        let Some(code) = status.map(StatusCode::code) else {
            // Not heard is not refused. A change of address is told again by itself.
            if !moves {
                myself.send_after(AGAIN, || DialogMsg::WayLost);
            }
            return;
        };
        if moves && self.media.as_mut().is_some_and(MediaLeg::stay) {
            self.moving = None;
            let text = format!(
                "the peer does not take our new address ({code}): the call goes on from the old one, which still works"
            );
            return self.note("media", text);
        }
        let text = match asked {
            Wish::Anew => {
                self.ways_wanted = Some(Wish::Plain);
                format!(
                    "the peer does not want the ways to it tried anew ({code}): it is offered the media without ICE"
                )
            }
            Wish::Plain if moves => return,
            Wish::Plain => {
                myself.send_after(AGAIN, || DialogMsg::WayLost);
                format!(
                    "the peer does not take the media without ICE either ({code}): it is asked again in a while"
                )
            }
        };
        self.note("media", text);
    }
}
