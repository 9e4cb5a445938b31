//! Whom a relay is to carry for: channels to those that are sent to, and permissions for those that may be heard.
//!
//! ```text
//!  wanted ─► asked ─bound─► renewed in time ─┐
//!              ▲  └─refused, silent─► a pause │      sixteen at a time: another one takes the place of one that
//!              └──────────────────────┘ ◄────┘      failed, or of the one that was not used for the longest time
//! ```
//!
//! Checks of many candidates (RFC 8445) need more than that at once: whoever has none of the sixteen is sent to by Send
//! indications (RFC 8656 §11), for which the address is permitted. Whom media goes to gets a channel at any rate.
//!
//! A relay has no word for giving a channel back: it is not renewed any more, and its number is nobody else's before the
//! relay has forgotten it (RFC 8656 §12).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Peers of one call that have a channel at once.
pub(super) const MOST_CHANNELS: usize = 16;
/// Those of before that a relay may know still.
const MOST_FORMER: usize = 48;
/// The same where media goes to the one that takes the place.
const MOST_FORMER_FOR_MEDIA: usize = 96;
/// Who is permitted without a channel: where the signalling came from.
const MOST_PERMITS: usize = 4;
/// Who is permitted since there are no channels left. An agent asks 48 places, and 16 of those have one.
pub(super) const MOST_BESIDE: usize = 48;
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
    /// The relay has said so, and has not refused it since.
    granted: bool,
    failures: u32,
    due: Instant,
    used: Instant,
}

impl Permit {
    fn new(now: Instant, ip: IpAddr) -> Self {
        Self {
            ip,
            granted: false,
            failures: 0,
            due: now + PERMISSION / 5 * 4,
            used: now,
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Peers {
    channels: Vec<Channel>,
    former: Vec<Former>,
    permits: Vec<Permit>,
    /// Those that are permitted for as long as something is sent there.
    beside: Vec<Permit>,
}

/// Whose place a new channel may take where there is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// That of one that failed, or is not used.
    Spare,
    /// Any: of those in use that which was not used for the longest time.
    Any,
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

    /// Finds a number for a peer that has none; none where there is no place.
    pub(super) fn begin(&mut self, now: Instant, peer: SocketAddr, place: Place) -> Option<Begun> {
        self.former.retain(|former| former.until > now);
        let mut instead_of = None;
        if self.channels.len() >= MOST_CHANNELS {
            let place = self.find_place(now, place)?;
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
    fn find_place(&self, now: Instant, wanted: Place) -> Option<usize> {
        let most_former = match wanted {
            Place::Spare => MOST_FORMER,
            Place::Any => MOST_FORMER_FOR_MEDIA,
        };
        let room = self.former.len() < most_former;
        let is_spare = |channel: &Channel| {
            let idle = now.saturating_duration_since(channel.used) >= IDLE;
            let may = wanted == Place::Any || channel.failures > 0 || idle;
            may && (channel.until.is_none() || room)
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

    /// Has this address permitted for good. True when that is to be asked for.
    pub(super) fn permit(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.permits.iter().any(|permit| permit.ip == ip) {
            return false;
        }
        if self.permits.len() >= MOST_PERMITS {
            self.permits.remove(0);
        }
        self.permits.push(Permit::new(now, ip));
        true
    }

    /// The same for as long as something is sent there. False where it is permitted or asked for already, or too many are.
    pub(super) fn permit_beside(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.permits_of(ip).next().is_some() {
            return false;
        }
        if self.beside.len() >= MOST_BESIDE {
            let numbered = self.beside.iter().enumerate();
            let idle = numbered.filter(|(_, permit)| permit.is_idle(now));
            let Some((place, _)) = idle.min_by_key(|(_, permit)| permit.used) else {
                return false;
            };
            self.beside.swap_remove(place);
        }
        self.beside.push(Permit::new(now, ip));
        true
    }

    /// Whether the relay carries to this address without a channel. Something is sent there now.
    pub(super) fn is_permitted(&mut self, now: Instant, ip: IpAddr) -> bool {
        let mut granted = false;
        for permit in self.permits_of(ip) {
            permit.used = now;
            granted |= permit.granted;
        }
        granted
    }

    fn permits_of(&mut self, ip: IpAddr) -> impl Iterator<Item = &mut Permit> {
        let all = self.permits.iter_mut().chain(&mut self.beside);
        all.filter(move |permit| permit.ip == ip)
    }

    pub(super) fn on_permitted(&mut self, ip: IpAddr) {
        for permit in self.permits_of(ip) {
            (permit.granted, permit.failures) = (true, 0);
        }
    }

    pub(super) fn on_not_permitted(&mut self, now: Instant, ip: IpAddr) {
        for permit in self.permits_of(ip) {
            permit.due = now + pause(permit.failures);
            permit.granted = false;
            permit.failures += 1;
        }
    }

    /// What is to be asked for now: channels, and permissions.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<u16>, Vec<IpAddr>) {
        let next = now + PERMISSION / 5 * 4;
        self.beside
            .retain(|permit| now < permit.due || !permit.is_idle(now));
        let channels = self.channels.iter_mut().filter(|c| now >= c.due);
        let channels = channels.map(|channel| {
            channel.due = next;
            channel.until = Some(now + CHANNEL);
            channel.number
        });
        let permits = self.permits.iter_mut().chain(&mut self.beside);
        let permits = permits.filter(|p| now >= p.due);
        let permits = permits.map(|permit| {
            permit.due = next;
            permit.ip
        });
        (channels.collect(), permits.collect())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let channels = self.channels.iter().map(|channel| channel.due);
        let permits = self.permits.iter().chain(&self.beside);
        channels.chain(permits.map(|permit| permit.due)).min()
    }
}

fn pause(failures: u32) -> Duration {
    (PAUSE * 2u32.pow(failures.min(8))).min(LONGEST_PAUSE)
}
