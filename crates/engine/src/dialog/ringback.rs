//! Whether the other phone is heard ringing from here: while it rings, and no media comes from it (RFC 3960 §3.2). That it
//! has answered our offer says nothing about that: many send an answer with the 180 and nothing until the call is taken.

use std::time::{Duration, Instant};

use model::{CallState, Direction};
use ractor::ActorRef;

use super::media_leg::MediaLeg;
use super::{DialogMsg, DialogState};
use crate::wake::now;

/// For so long nothing has come from who is not heard any more.
const QUIET: Duration = Duration::from_secs(1);

/// How often is looked whether something comes.
const LOOK: Duration = Duration::from_millis(100);

/// What is known of the other phone before the call is taken.
#[derive(Debug, Default)]
pub(super) struct Ringback {
    /// A 180 has come. Without one nothing rings (RFC 3960 §3.2, first rule), whatever else was said.
    rings: bool,
    /// How many packets of media had come, and when there were more than before.
    received: u64,
    heard_at: Option<Instant>,
    sounds: bool,
    /// What was told of that.
    told: bool,
    /// The next look is on its way.
    looks: bool,
}

impl Ringback {
    /// The other phone rings.
    pub(super) fn ring(&mut self, at: Instant) {
        self.rings = true;
        self.settle(at);
    }

    /// Another phone is called instead.
    pub(super) fn start_over(&mut self) {
        self.rings = false;
        self.sounds = false;
    }

    /// Whether it is to be heard ringing from here.
    pub(super) fn sounds(&self) -> bool {
        self.sounds
    }

    /// So many packets of media have come up to now.
    fn look(&mut self, at: Instant, received: u64) {
        if received > self.received {
            self.heard_at = Some(at);
        }
        self.received = received;
        self.settle(at);
    }

    fn settle(&mut self, at: Instant) {
        let is_over = |heard: Instant| at.saturating_duration_since(heard) >= QUIET;
        self.sounds = self.rings && self.heard_at.is_none_or(is_over);
    }

    /// Whether it is to be heard, where that is another than it was when this was asked last.
    fn news(&mut self) -> Option<bool> {
        let before = std::mem::replace(&mut self.told, self.sounds);
        Some(self.sounds).filter(|sounds| *sounds != before)
    }
}

impl DialogState {
    /// A look that was on its way.
    pub(super) fn on_listen_for_media(&mut self, myself: &ActorRef<DialogMsg>) {
        self.ringback.looks = false;
        self.listen_for_media(myself);
    }

    /// Looks whether media comes before the call is taken, and goes on with that.
    pub(super) fn listen_for_media(&mut self, myself: &ActorRef<DialogMsg>) {
        let (direction, state) = (self.view.direction, self.view.state);
        let early = [CallState::Trying, CallState::Ringing, CallState::Early];
        let waits = direction == Direction::Outgoing && early.contains(&state);
        let counters = self.media.as_ref().and_then(MediaLeg::counters);
        let Some(counters) = counters.filter(|_| waits) else {
            return;
        };
        self.ringback.look(now(), counters.received());
        if let Some(sounds) = self.ringback.news() {
            let text = if sounds {
                "the other phone rings and no media comes from it: it is heard ringing from here"
            } else {
                "media comes from the other phone, and is heard in place of its ringing"
            };
            self.note("media", text);
            self.update_tones();
        }
        if !std::mem::replace(&mut self.ringback.looks, true) {
            myself.send_after(LOOK, || DialogMsg::LookForMedia);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 100 ms, with so many packets each time; answers what is to be heard after each.
    fn looks(ringback: &mut Ringback, at: &mut Instant, packets: &[u64]) -> Vec<bool> {
        let each = packets.iter().map(|more| {
            *at += LOOK;
            ringback.look(*at, ringback.received + more);
            ringback.sounds()
        });
        each.collect()
    }

    /// RFC 3960 §3.2, each of its three rules.
    #[test]
    fn it_rings_from_here_after_a_180_and_while_nothing_comes() {
        let mut at = Instant::now();
        let mut ringback = Ringback::default();
        // Never without a 180, media or none.
        assert_eq!(looks(&mut ringback, &mut at, &[0; 30]), [false; 30]);
        assert_eq!(looks(&mut ringback, &mut at, &[5; 30]), [false; 30]);
        // With one, but not while media comes, nor as soon as a packet is missing.
        ringback.ring(at);
        assert!(!ringback.sounds());
        assert_eq!(looks(&mut ringback, &mut at, &[5; 30]), [false; 30]);
        let pause = looks(&mut ringback, &mut at, &[0; 20]);
        assert_eq!(pause.iter().filter(|sounds| **sounds).count(), 11);
        assert!(!pause[8] && pause[9]);
        // The first packet ends it.
        assert_eq!(looks(&mut ringback, &mut at, &[1, 0]), [false, false]);
    }

    #[test]
    fn it_rings_at_once_where_nothing_has_come_and_another_phone_has_to_ring_itself() {
        let mut at = Instant::now();
        let mut ringback = Ringback::default();
        ringback.ring(at);
        assert!(ringback.sounds());
        assert_eq!((ringback.news(), ringback.news()), (Some(true), None));
        assert_eq!(looks(&mut ringback, &mut at, &[0; 3]), [true; 3]);
        ringback.start_over();
        assert!(!ringback.sounds());
        assert_eq!(looks(&mut ringback, &mut at, &[0; 30]), [false; 30]);
        assert_eq!(ringback.news(), Some(false));
        ringback.ring(at);
        assert!(ringback.sounds());
        // A stream that begins anew counts from nothing: that is no media.
        ringback.received = 50;
        ringback.look(at, 0);
        assert!(ringback.sounds());
    }
}
