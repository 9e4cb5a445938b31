//! Whom a relay is to carry for: channels to those that are sent to, and permissions for those that may be heard.
//!
//! ```text
//!  wanted ─► asked ─bound─► renewed in time ─┐
//!              ▲  └─refused, silent─► a pause │      sixteen at a time: another one takes the place of one that
//!              └──────────────────────┘ ◄────┘      failed, or of the one that was not used for the longest time
//! ```
//!
//! A relay has no word for giving a channel back: it is not renewed any more, and its number is nobody else's before the
//! relay has forgotten it (RFC 8656 §12).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Peers of one call: further ones are not reached through the relay.
pub(super) const MOST_CHANNELS: usize = 16;
/// Those of before that a relay may know still.
const MOST_FORMER: usize = 48;
/// Who is permitted without a channel: where the signalling came from.
const MOST_PERMITS: usize = 4;
/// RFC 8656 §12.
pub(super) const FIRST_CHANNEL: u16 = 0x4000;
pub(super) const LAST_CHANNEL: u16 = 0x4fff;
/// How long a permission lasts; the channel itself lasts ten minutes (§9, §12).
const PERMISSION: Duration = Duration::from_secs(300);
/// For as long its number is the peer's: ten minutes, five more (§12), and the time in which a question may be on its way.
const CHANNEL: Duration = Duration::from_secs(960);
/// A channel that was used within this time is nobody else's.
const IDLE: Duration = Duration::from_secs(30);
/// How long until a relay that refused a peer, or did not answer, is asked again, and how much longer with each time.
const PAUSE: Duration = Duration::from_secs(5);
/// How long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

struct Channel {
    number: u16,
    peer: SocketAddr,
    bound: bool,
    /// How often in a row it was refused.
    failures: u32,
    /// When it is asked for next, to renew it or once more.
    due: Instant,
    used: Instant,
    /// Until when the relay may know it; none where it has said that it does not.
    until: Option<Instant>,
}

/// One that is not used any more.
struct Former {
    number: u16,
    peer: SocketAddr,
    until: Instant,
}

struct Permit {
    ip: IpAddr,
    failures: u32,
    due: Instant,
}

/// See the module.
#[derive(Default)]
pub(super) struct Peers {
    channels: Vec<Channel>,
    former: Vec<Former>,
    permits: Vec<Permit>,
}

/// A channel that is to be asked for, and which one it took the place of.
pub(super) struct Begun {
    pub(super) number: u16,
    pub(super) instead_of: Option<u16>,
}

impl Peers {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether a peer has a channel, or will have: false when the last question for it was refused. It is in use.
    pub(super) fn holds(&mut self, now: Instant, peer: SocketAddr) -> Option<bool> {
        let channel = self.channels.iter_mut().find(|c| c.peer == peer)?;
        channel.used = now;
        Some(channel.failures == 0)
    }

    /// The channel to a peer, which is used now; none while there is none.
    pub(super) fn bound_to(&mut self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let channel = self.channels.iter_mut().find(|c| c.peer == peer)?;
        channel.used = now;
        channel.bound.then_some(channel.number)
    }

    /// Whose channel this is, which is used now. One of before carries what comes for as long as the relay knows it.
    pub(super) fn peer_of(&mut self, now: Instant, number: u16) -> Option<SocketAddr> {
        if let Some(channel) = self.channels.iter_mut().find(|c| c.number == number) {
            channel.used = now;
            return Some(channel.peer);
        }
        let former = self.former.iter().find(|former| former.number == number);
        former.map(|former| former.peer)
    }

    /// Where a question for this channel leads.
    pub(super) fn asked_for(&self, number: u16) -> Option<SocketAddr> {
        let channel = self.channels.iter().find(|c| c.number == number);
        channel.map(|channel| channel.peer)
    }

    /// Those that carry packets.
    pub(super) fn bound(&self) -> impl Iterator<Item = (u16, SocketAddr)> + '_ {
        let bound = self.channels.iter().filter(|channel| channel.bound);
        bound.map(|channel| (channel.number, channel.peer))
    }

    /// Finds a number for a peer that has none; none where all are in use.
    pub(super) fn begin(&mut self, now: Instant, peer: SocketAddr) -> Option<Begun> {
        self.former.retain(|former| former.until > now);
        let mut instead_of = None;
        if self.channels.len() >= MOST_CHANNELS {
            let place = self.spare(now)?;
            let gone = self.channels.swap_remove(place);
            instead_of = Some(gone.number);
            self.former.extend(gone.until.map(|until| Former {
                number: gone.number,
                peer: gone.peer,
                until,
            }));
        }
        // A relay has one number for a peer (§12.2).
        let before = self.former.iter().position(|former| former.peer == peer);
        let number = match before {
            Some(place) => self.former.swap_remove(place).number,
            None => {
                let taken = |number: &u16| {
                    let mut former = self.former.iter().map(|former| former.number);
                    let mut held = self.channels.iter().map(|channel| channel.number);
                    former.any(|taken| taken == *number) || held.any(|taken| taken == *number)
                };
                (FIRST_CHANNEL..=LAST_CHANNEL).find(|number| !taken(number))?
            }
        };
        self.channels.push(Channel {
            number,
            peer,
            bound: false,
            failures: 0,
            due: now + PERMISSION / 5 * 4,
            used: now,
            until: Some(now + CHANNEL),
        });
        Some(Begun { number, instead_of })
    }

    /// Whose place another may take.
    fn spare(&self, now: Instant) -> Option<usize> {
        let room = self.former.len() < MOST_FORMER;
        let is_spare = |channel: &Channel| {
            let idle = now.saturating_duration_since(channel.used) >= IDLE;
            (channel.failures > 0 || idle) && (channel.until.is_none() || room)
        };
        let numbered = self.channels.iter().enumerate();
        numbered
            .filter(|(_, channel)| is_spare(channel))
            .min_by_key(|(_, channel)| (channel.failures == 0, channel.used))
            .map(|(place, _)| place)
    }

    /// The relay has bound it. Who that leads to, where it is news.
    pub(super) fn on_bound(&mut self, number: u16) -> Option<SocketAddr> {
        let channel = self.channels.iter_mut().find(|c| c.number == number)?;
        channel.failures = 0;
        let is_news = !std::mem::replace(&mut channel.bound, true);
        is_news.then_some(channel.peer)
    }

    /// It came to nothing, with or without a word of the relay, and is asked for again in a while. Who it was to lead to,
    /// where that is news.
    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        number: u16,
        answered: bool,
    ) -> Option<SocketAddr> {
        let channel = self.channels.iter_mut().find(|c| c.number == number)?;
        let was_bound = std::mem::replace(&mut channel.bound, false);
        if answered && !was_bound && channel.failures == 0 {
            channel.until = None;
        }
        channel.due = now + pause(channel.failures);
        channel.failures += 1;
        (channel.failures == 1).then_some(channel.peer)
    }

    /// Has this address permitted. True when that is to be asked for.
    pub(super) fn permit(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.permits.iter().any(|permit| permit.ip == ip) {
            return false;
        }
        if self.permits.len() >= MOST_PERMITS {
            self.permits.remove(0);
        }
        self.permits.push(Permit {
            ip,
            failures: 0,
            due: now + PERMISSION / 5 * 4,
        });
        true
    }

    pub(super) fn on_permitted(&mut self, ip: IpAddr) {
        let mut permits = self.permits.iter_mut();
        if let Some(permit) = permits.find(|permit| permit.ip == ip) {
            permit.failures = 0;
        }
    }

    pub(super) fn on_not_permitted(&mut self, now: Instant, ip: IpAddr) {
        let mut permits = self.permits.iter_mut();
        if let Some(permit) = permits.find(|permit| permit.ip == ip) {
            permit.due = now + pause(permit.failures);
            permit.failures += 1;
        }
    }

    /// What is to be asked for now: channels, and permissions.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<u16>, Vec<IpAddr>) {
        let next = now + PERMISSION / 5 * 4;
        let channels = self.channels.iter_mut().filter(|c| now >= c.due);
        let channels = channels.map(|channel| {
            channel.due = next;
            channel.until = Some(now + CHANNEL);
            channel.number
        });
        let permits = self.permits.iter_mut().filter(|p| now >= p.due);
        let permits = permits.map(|permit| {
            permit.due = next;
            permit.ip
        });
        (channels.collect(), permits.collect())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let channels = self.channels.iter().map(|channel| channel.due);
        let permits = self.permits.iter().map(|permit| permit.due);
        channels.chain(permits).min()
    }
}

fn pause(failures: u32) -> Duration {
    (PAUSE * 2u32.pow(failures.min(8))).min(LONGEST_PAUSE)
}
