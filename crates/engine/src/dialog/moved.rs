//! Our address changes in the middle of a call: a new Contact and a new place for media, told by a re-INVITE.
//!
//! ```text
//!   Moved ─► way asked for ─► media bound there ─► re-INVITE ─► answered: the call goes on
//!               ▲ no way yet        ▲ no port           │ refused, or not sent
//!               └───────────────────┴── a while later ──┘
//! ```
//!
//! Before the call is taken, what can be told depends on what was said (RFC 3311 §5.1, RFC 6337 §3):
//!
//! ```text
//!   it rings here, and nothing was described ─► the answer names the new address
//!   offer and answer are known for certain ───► UPDATE with a new offer
//!   an early dialog, and they are not ────────► UPDATE with the Contact alone ─┐
//!   nobody who takes UPDATE ───────────────────────────────────────────────────┴─► re-INVITE once it is taken
//! ```
//!
//! The dialog is the same throughout. What the peer sends to the old address meanwhile is lost.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{CallState, Direction};
use ractor::ActorRef;
use sip_core::{Path, ResolveError, ResolveId, Transport};

use super::media_leg::MediaLeg;
use super::{DialogMsg, DialogState, Phase};
use crate::drive::Outlet;
use crate::network::{Drift, Moved as NetworkMoved};
use crate::wake::now;

/// The number of the look-up for the way from the new address.
pub(super) const MOVED_LOOK_UP: ResolveId = ResolveId(u64::MAX - 1);
/// How long until the next try, and how much longer with each.
const WAIT: Duration = Duration::from_millis(500);
/// How long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often it is tried: for about two minutes.
const MOST_TRIES: u32 = 28;

/// A change of address that the peer does not know of yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moving {
    /// Where media is to go, where that is known better than by the way.
    local: Option<IpAddr>,
    /// Tells this change from those before it.
    generation: u32,
    tries: u32,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The way is looked for, or waited with.
    Looking,
    /// All is ready to be told.
    Ready,
    /// The re-INVITE or UPDATE is out.
    Told,
    /// The rest is told when the call is taken.
    Waiting,
}

impl Moving {
    /// Whether it is in the offer that waits for its answer.
    pub(super) fn is_told(self) -> bool {
        self.step == Step::Told
    }

    /// Whether it waits to be told.
    pub(super) fn is_due(self) -> bool {
        self.step == Step::Ready
    }

    /// Whether the new place is there, and the peer is to agree to it or has been asked to.
    pub(super) fn is_prepared(self) -> bool {
        matches!(self.step, Step::Ready | Step::Told)
    }

    /// An offer goes out, and tells it where all is ready for that.
    pub(super) fn goes_out(&mut self) {
        if self.is_due() {
            self.step = Step::Told;
        }
    }
}

impl DialogState {
    /// The machine came to another network, or slept: whether the way of our media is as it was.
    pub(super) fn on_network_moved(&mut self, moved: &NetworkMoved) {
        let Some((local, remote)) = self.media.as_ref().map(MediaLeg::way) else {
            return;
        };
        let drift = match remote {
            Some(remote) => {
                let path = Path {
                    transport: Transport::Udp,
                    remote,
                    local: SocketAddr::new(local, 0),
                };
                let bind = self.identity.bind.map(|bind| bind.ip());
                let bind = bind.filter(|ip| !ip.is_unspecified());
                self.mooring.on_moved(moved, &path, bind)
            }
            // Held in the old way, it has nowhere to send to: then our own address counts.
            None if moved.gone.contains(&local) || moved.slept.is_some() => Drift::Ashore,
            None => Drift::Moored,
        };
        match drift {
            Drift::Moored => {}
            Drift::Adrift => {
                let text = "no way leads to the peer at the moment; the call is kept";
                self.note("call", text.to_owned());
            }
            Drift::Ashore => self.on_moved(None),
        }
    }

    /// Our address is another one.
    pub(super) fn on_moved(&mut self, local: Option<IpAddr>) {
        self.begin_move(
            local,
            match self.view.state.is_up() {
                true => "the network changed; the peer is told",
                false => "the network changed before the call was taken",
            },
        );
    }

    /// Media needs another place, for this reason: at this address, where that is known.
    pub(super) fn begin_move(&mut self, local: Option<IpAddr>, why: &str) {
        // A call that is only being looked up leaves from where we are then.
        if !matches!(self.phase, Phase::Calling(_)) || !self.may_be_talked_in() {
            return;
        }
        self.moves = self.moves.wrapping_add(1);
        self.moving = Some(Moving {
            local,
            generation: self.moves,
            tries: 0,
            step: Step::Looking,
        });
        self.note("call", why.to_owned());
        self.look_for_way();
    }

    /// Whether it is going on, or may still be taken.
    fn may_be_talked_in(&self) -> bool {
        !matches!(self.view.state, CallState::Ending | CallState::Ended)
    }

    /// The wait before another try is over.
    pub(super) fn on_move_again(&mut self, generation: u32) {
        let current = self.moving.is_some_and(|m| m.generation == generation);
        if current && self.may_be_talked_in() {
            self.look_for_way();
        }
    }

    fn look_for_way(&mut self) {
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        let Some(hop) = call.next_hop() else {
            return;
        };
        if let Some(moving) = &mut self.moving {
            moving.step = Step::Looking;
        }
        let outlet = Outlet::of(&self.owner, &self.transport, &self.identity);
        self.questions
            .ask(&outlet, MOVED_LOOK_UP, hop, self.identity.transport);
    }

    /// Where the way from the new address begins.
    pub(super) async fn on_way_after_move(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        result: Result<Vec<Path>, ResolveError>,
    ) {
        let Some(moving) = self.moving.filter(|m| m.step == Step::Looking) else {
            return;
        };
        let way = result.ok().and_then(|paths| paths.first().copied());
        let Some(way) = way else {
            return self.move_later(myself);
        };
        let local = moving.local.unwrap_or(way.local.ip());
        if !self.view.state.is_up() {
            return self.move_before_taken(myself, &way, local).await;
        }
        if let Err(detail) = self.move_media(local).await {
            self.note("media", detail);
            return self.move_later(myself);
        }
        self.leave_from(&way);
        self.want_ways_after_move();
        if let Some(moving) = &mut self.moving {
            moving.step = Step::Ready;
        }
        self.settle_hold();
    }

    /// Signalling goes this way from now on.
    fn leave_from(&mut self, way: &Path) {
        if let Phase::Calling(call) = &mut self.phase {
            call.moved(now(), way);
        }
        self.drain();
    }

    async fn move_before_taken(&mut self, myself: &ActorRef<DialogMsg>, way: &Path, local: IpAddr) {
        self.leave_from(way);
        let Some(media) = &mut self.media else { return };
        if self.view.direction == Direction::Incoming && media.settle_at(local) {
            self.moving = None;
            let text = "the answer will name the new address".to_owned();
            return self.note("call", text);
        }
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        if call.may_update() {
            if let Err(detail) = self.move_media(local).await {
                self.note("media", detail);
                return self.move_later(myself);
            }
            return self.offer_early();
        }
        let told = call.tell_contact(now());
        self.drain();
        let text = match told {
            0 => "the peer is told of the new address once the call is taken",
            _ => "the peer is told of the new address, and of the sound once the call is taken",
        };
        self.note("call", text.to_owned());
        self.wait_to_be_taken();
    }

    /// Offers the session from the new address in an UPDATE.
    fn offer_early(&mut self) {
        let (Some(media), Phase::Calling(call)) = (&mut self.media, &mut self.phase) else {
            return;
        };
        let offer = media.offer();
        let done = call.update(now(), Some(offer));
        if done.is_err() {
            media.rollback();
        }
        if let Some(moving) = &mut self.moving {
            moving.step = match done {
                Ok(()) => Step::Told,
                Err(_) => Step::Waiting,
            };
        }
        self.after_verb("tell the peer of the new address", done);
    }

    fn wait_to_be_taken(&mut self) {
        if let Some(moving) = &mut self.moving {
            moving.step = Step::Waiting;
        }
    }

    /// The call is taken: what waited for that is told now.
    pub(super) fn move_on_when_taken(&mut self) {
        if self.moving.is_some_and(|m| m.step == Step::Waiting) {
            self.look_for_way();
        }
    }

    /// The peer has answered the re-INVITE.
    pub(super) fn move_is_done(&mut self) {
        if self.moving.is_some_and(|m| m.step == Step::Told) {
            self.moving = None;
            let text = "the call goes on from the new address".to_owned();
            self.note("call", text);
        }
    }

    /// The re-INVITE came to nothing. True when that was what it was for.
    pub(super) fn move_failed(&mut self, myself: &ActorRef<DialogMsg>) -> bool {
        let told = self.moving.is_some_and(|m| m.step == Step::Told);
        match self.view.state.is_up() {
            true if told => self.move_later(myself),
            // Who refuses an UPDATE while it rings is asked again when the call is taken.
            false if told => self.wait_to_be_taken(),
            _ => {}
        }
        told
    }

    fn move_later(&mut self, myself: &ActorRef<DialogMsg>) {
        let Some(moving) = &mut self.moving else {
            return;
        };
        moving.step = Step::Looking;
        moving.tries += 1;
        let (generation, tries) = (moving.generation, moving.tries);
        if tries > MOST_TRIES {
            self.moving = None;
            let text = "the peer could not be told of the new address; the call may stay silent";
            return self.note("call", text.to_owned());
        }
        let wait = (WAIT * tries).min(LONGEST_WAIT);
        myself.send_after(wait, move || DialogMsg::MoveAgain(generation));
    }
}
