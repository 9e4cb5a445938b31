//! Addresses at relays that a call has and does not need: they are given back while it goes on, and others are asked for
//! when ways are to be tried once more.
//!
//! ```text
//!  call taken, no offer open ─► reports share the port: theirs go ─► ways settled for three seconds: all go that no way uses
//!                                                                       │
//!      our restart, the peer's, or media without ways ◄─────────────────┘
//!                    └─► other sockets, with addresses of their own
//! ```
//!
//! What an open offer names is kept, and what forks of the call may still answer.

use std::net::SocketAddr;

use media::Settled;
use nat::ice::{Base, Component};
use sdp::Negotiated;

use super::MediaLeg;
use crate::dialog::DialogState;

impl DialogState {
    /// Which ways are used is known, and the peer has had the time to see it, too.
    pub(in crate::dialog) fn on_ways_settled(&mut self, settled: Settled) {
        if let Some(media) = &mut self.media {
            media.ways_settled = Some(settled);
        }
        self.give_back_relays();
    }

    /// Gives addresses at relays back that the call has no use for.
    pub(in crate::dialog) fn give_back_relays(&mut self) {
        if !self.view.state.is_up() {
            return;
        }
        let given = self.media.as_mut().map_or(0, MediaLeg::give_back);
        if given > 0 {
            let text = match given {
                1 => "an address at the relay is not needed and was given back".to_owned(),
                given => {
                    format!("{given} addresses at the relay are not needed and were given back")
                }
            };
            self.note("media", text);
        }
    }

    /// Gets other sockets, with addresses at the relay, where those of before were given back and ways are to be tried once
    /// more. The stream goes on with the old ones until offer and answer are about the new.
    pub(in crate::dialog) async fn gather_anew(&mut self) {
        let Some(media) = self.media.as_ref().filter(|media| media.lacks_relays()) else {
            return;
        };
        let (local, peer) = (media.local, media.peer);
        let (pairs, port) = match self.open_sockets(local) {
            Ok(opened) => opened,
            // What is left may do.
            Err(detail) => return self.note("media", detail),
        };
        let told = self.identity.told_address(local, peer);
        let found = self.look_for_media(&pairs).await;
        let Some(media) = &mut self.media else { return };
        media.negotiator.set_address(told, port);
        media.set_ways(&pairs, found);
        media.sockets = Some(pairs);
    }

    /// The same where an offer of ours is due that says something else about the ways.
    pub(in crate::dialog) async fn gather_for_wish(&mut self) {
        if self.ways_wanted.is_some() && self.view.state.is_up() {
            self.gather_anew().await;
        }
    }
}

impl MediaLeg {
    /// Whether the sockets had addresses at relays that they would need for other ways, and nobody waits for an answer about
    /// the sockets.
    fn lacks_relays(&self) -> bool {
        self.gave_back && self.sockets.is_none() && !self.awaits_answer()
    }

    /// Whether this offer of the peer has ways tried anew, or none, after those were settled.
    pub(in crate::dialog) fn is_left_behind_by(&self, offer: &[u8]) -> bool {
        if !self.lacks_relays() {
            return false;
        }
        let names = |agreed: &Negotiated| agreed.ice.as_ref().map(|ice| ice.remote.clone());
        let before = self.agreed.as_ref().and_then(names);
        let after = self.negotiator.clone().handle_offer(offer);
        after.is_ok_and(|(_, after)| names(&after) != before)
    }

    /// The address that this socket had at a relay is no more: later descriptions do not name it, and before ways are tried
    /// once more there are to be other sockets. Whether the ways in use go through it; where none is chosen yet others may do.
    pub(in crate::dialog) fn lose_relay(&mut self, socket: u8) -> bool {
        // Others are about to be used.
        if self.sockets.is_some() {
            return false;
        }
        let mut bases = self.ways.iter_mut().flatten();
        let base = bases.find(|base| base.socket == socket);
        if base.and_then(|base| base.relayed.take()).is_none() {
            return false;
        }
        self.gave_back = true;
        let is_current = |ways: &Settled| self.stream.as_ref().is_some_and(|s| s.is_current(ways));
        let settled = self.ways_settled.filter(is_current);
        let used = settled.map_or(0, |settled| settled.media.socket);
        let rtcp_mux = self.agreed.as_ref().is_some_and(|agreed| agreed.rtcp_mux);
        self.tell_what_is_left(used, rtcp_mux);
        settled.is_some_and(|settled| settled.needs_relay_of(socket))
    }

    /// Gives addresses at relays back that are not used; answers how many.
    fn give_back(&mut self) -> usize {
        // What is named in an open offer may be used any moment, also by another fork.
        let is_open = self.forks.is_some() || self.sockets.is_some() || self.awaits_answer();
        let (Some(stream), Some(agreed), false) = (&self.stream, &self.agreed, is_open) else {
            return 0;
        };
        let counts = |settled: &Settled| agreed.ice.is_some() && stream.is_current(settled);
        let settled = self.ways_settled.filter(counts);
        let Some(ways) = &mut self.ways else { return 0 };
        let is_kept = |base: &Base| match (&agreed.ice, &settled) {
            // RFC 5761 §5.1.3.
            _ if agreed.rtcp_mux && base.component == Component::Reports => false,
            // Media goes through the one that was told.
            (None, _) => base.socket < 2,
            (Some(_), Some(settled)) => settled.needs_relay_of(base.socket),
            (Some(_), None) => true,
        };
        let relayed = ways.iter().filter(|base| base.relayed.is_some());
        let (kept, spare): (Vec<&Base>, Vec<&Base>) = relayed.partition(|base| is_kept(base));
        let is_media = |base: &&Base| base.component == Component::Media;
        let (given, of_media) = (spare.len(), spare.iter().any(is_media));
        let kept: Vec<u8> = kept.iter().map(|base| base.socket).collect();
        if given == 0 || stream.keep_relays(&kept).is_err() {
            return 0;
        }
        for base in ways.iter_mut().filter(|base| !kept.contains(&base.socket)) {
            base.relayed = None;
        }
        self.bridges.retain(|(number, _)| kept.contains(number));
        // Without ways to choose from nobody misses those of other sockets.
        self.gave_back |= of_media && agreed.ice.is_some();
        let used = settled.map_or(0, |settled| settled.media.socket);
        let rtcp_mux = agreed.rtcp_mux;
        self.tell_what_is_left(used, rtcp_mux);
        given
    }

    /// Later descriptions name what is left, and this socket's place as that of the media.
    fn tell_what_is_left(&mut self, used: u8, rtcp_mux: bool) {
        let Some(ways) = self.ways.clone() else {
            return;
        };
        let place = |socket: u8| {
            let base = ways.iter().find(|base| base.socket == socket)?;
            Some(base.relayed.or(base.mapped).unwrap_or(base.at))
        };
        let Some(media) = place(used) else { return };
        let is_beside = |reports: &SocketAddr| {
            reports.ip() == media.ip() && Some(reports.port()) != media.port().checked_add(1)
        };
        let reports = match rtcp_mux {
            true => Some(media),
            false => place(used + 1).filter(is_beside),
        };
        self.negotiator.retell(
            media.ip(),
            media.port(),
            reports.map(|reports| reports.port()),
            nat::ice::described(&ways),
        );
        if let Some(settled) = &mut self.settled {
            (settled.ways, settled.gave_back) = (ways, self.gave_back);
        }
    }
}
