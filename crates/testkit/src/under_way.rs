use crate::{Chance, Link};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;
use std::time::{Duration, Instant};

/// Packets on their way over a [`Link`] in one direction, by whatever clock the caller has.
///
/// A [`World`](crate::World) has its own time and its own nodes. This is for tests between real programs: whoever moves the
/// bytes puts in what comes and sends on what has arrived, and the link's luck is as seeded as in a world. It holds what the
/// link delays, and no more.
#[derive(Debug)]
pub struct UnderWay<P> {
    link: Link,
    chance: Chance,
    /// Keyed by arrival, then by the order of sending.
    copies: BTreeMap<(Instant, u64), Arrival<P>>,
    sent: u64,
    /// The number of the latest packet that has arrived.
    latest: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Arrival<P> {
    /// Of the packet, by the order of sending, from 1.
    number: u64,
    is_first: bool,
    packet: P,
}

impl<P: Clone> UnderWay<P> {
    /// Nothing is under way yet; luck is drawn from `seed`.
    #[must_use]
    pub fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            chance: Chance::new(seed),
            copies: BTreeMap::new(),
            sent: 0,
            latest: 0,
            counts: Counts::default(),
        }
    }

    /// A packet begins its way; what becomes of it is drawn at once.
    pub fn handle_packet(&mut self, now: Instant, packet: P) {
        let delays = self.link.draw(&mut self.chance);
        self.sent += 1;
        self.counts.carried += u64::from(!delays.is_empty());
        self.counts.lost += u64::from(delays.is_empty());
        self.counts.twice += u64::from(delays.len() > 1);
        let first = delays.iter().min().copied().unwrap_or_default();
        let mut is_first = true;
        for (delay, order) in delays.into_iter().zip(2 * self.sent..) {
            let is_first = delay == first && std::mem::take(&mut is_first);
            let copy = Arrival {
                number: self.sent,
                is_first,
                packet: packet.clone(),
            };
            self.copies.insert((now + delay, order), copy);
        }
    }

    /// The next packet that has arrived by `now`, in the order of arrival.
    pub fn poll_arrived(&mut self, now: Instant) -> Option<P> {
        let next = self.copies.first_entry()?;
        if next.key().0 > now {
            return None;
        }
        let copy = next.remove();
        if copy.is_first && copy.number < self.latest {
            self.counts.overtaken += 1;
        }
        self.latest = self.latest.max(copy.number);
        Some(copy.packet)
    }

    /// How long it is from `now` until something arrives; zero when something has.
    #[must_use]
    pub fn next_in(&self, now: Instant) -> Option<Duration> {
        let ((at, _), _) = self.copies.first_key_value()?;
        Some(at.saturating_duration_since(now))
    }

    /// What has become of all packets so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// What has become of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that arrived or will, once or twice.
    pub carried: u64,
    /// Packets that never arrive.
    pub lost: u64,
    /// Of those that are carried: which arrive twice.
    pub twice: u64,
    /// Of those that have arrived: before which a later one did, by jitter or because they were held back.
    pub overtaken: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            carried: self.carried + other.carried,
            lost: self.lost + other.lost,
            twice: self.twice + other.twice,
            overtaken: self.overtaken + other.overtaken,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            carried,
            lost,
            twice,
            overtaken,
        } = self;
        write!(
            f,
            "{carried} carried, {lost} lost, {twice} twice, {overtaken} overtaken"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(20);

    /// Numbers from 0, one each 20 ms: what arrives, with how long each took.
    fn carry(link: Link, seed: u64, count: u32) -> (Vec<(u32, Duration)>, Counts) {
        let began = Instant::now();
        let mut now = began;
        let mut way = UnderWay::new(link, seed);
        let mut arrived = Vec::new();
        for number in 0..=count {
            // The last step of all has no end.
            let sends = (number < count).then(|| began + STEP * number);
            while let Some(next) = way.next_in(now).map(|wait| now + wait)
                && sends.is_none_or(|sends| next <= sends)
            {
                now = next;
                let number = way.poll_arrived(now).expect("it was to arrive now");
                arrived.push((number, now - (began + STEP * number)));
            }
            if let Some(sends) = sends {
                now = sends;
                way.handle_packet(now, number);
            }
        }
        (arrived, way.counts())
    }

    #[test]
    fn nothing_arrives_before_the_delay_of_the_link() {
        let now = Instant::now();
        let mut way = UnderWay::new(Link::PERFECT, 1);
        assert_eq!(way.next_in(now), None);
        way.handle_packet(now, "hello");
        assert_eq!(way.next_in(now), Some(Link::PERFECT.delay));
        assert_eq!(way.poll_arrived(now), None);
        let later = now + Link::PERFECT.delay;
        assert_eq!(way.next_in(later), Some(Duration::ZERO));
        assert_eq!(way.poll_arrived(later), Some("hello"));
        assert_eq!(way.poll_arrived(later), None);
        assert_eq!(way.next_in(later), None);
    }

    #[test]
    fn a_perfect_link_carries_everything_once_and_in_order() {
        let (arrived, counts) = carry(Link::PERFECT, 1, 50);
        let all: Vec<_> = (0..50).map(|n| (n, Link::PERFECT.delay)).collect();
        assert_eq!(arrived, all);
        let carried = 50;
        assert_eq!(
            counts,
            Counts {
                carried,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn what_is_counted_is_what_has_arrived() {
        let link = Link {
            loss: 100,
            duplicate: 50,
            reorder: 50,
            reorder_by: Duration::from_millis(50),
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(30),
        };
        let sent = 10_000;
        let (arrived, counts) = carry(link, 7, sent);
        assert!(
            arrived.iter().all(|(_, took)| *took >= link.delay
                && *took <= link.delay + link.jitter + link.reorder_by)
        );
        let mut copies = vec![0_u64; sent as usize];
        let (mut latest, mut overtaken) = (0, 0);
        for (number, _) in &arrived {
            let count = &mut copies[*number as usize];
            *count += 1;
            overtaken += u64::from(*count == 1 && *number < latest);
            latest = latest.max(*number);
        }
        let of = |wanted: u64| copies.iter().filter(|count| **count == wanted).count() as u64;
        let seen = Counts {
            carried: of(1) + of(2),
            lost: of(0),
            twice: of(2),
            overtaken,
        };
        assert_eq!(counts, seen);
        // Four standard deviations of a tenth and of a twentieth of ten thousand.
        assert!((880..1_120).contains(&counts.lost), "{counts}");
        assert!((370..=540).contains(&counts.twice), "{counts}");
        // One that is held for longer than two steps and the jitter is overtaken always.
        assert!(counts.overtaken > 370, "{counts}");
    }

    #[test]
    fn the_same_seed_has_the_same_luck() {
        let run = |seed| carry(Link::BAD, seed, 500);
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
