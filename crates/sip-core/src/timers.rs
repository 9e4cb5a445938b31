//! The timers of SIP and a small table of deadlines.

use std::time::{Duration, Instant};

/// The three numbers from which all timers follow (RFC 3261 §17.1.1.1 and Table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// T1: the estimated round trip, 500 ms.
    pub t1: Duration,
    /// T2: the longest wait between repeats of a non-INVITE request or an INVITE response, 4 s.
    pub t2: Duration,
    /// T4: how long a message may live in the network, 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// 64·T1: how long a transaction is tried, 32 s.
    pub fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The first wait before a repeat: T1, but never nothing, or repeats would never stop.
    pub fn first_repeat(&self) -> Duration {
        self.t1.max(SHORTEST_REPEAT)
    }

    /// The wait after this one when repeats double up to T2 (Timers E and G, and the 2xx of
    /// RFC 3261 §13.3.1.4).
    pub fn doubled(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2).max(SHORTEST_REPEAT)
    }

    /// How long Timer E takes until it stays at T2: the moment from which RFC 4320 §4.1 allows
    /// and wants a 100 to a non-INVITE request. 3.5 s with the default values.
    pub fn until_t2(&self) -> Duration {
        let (mut sum, mut interval) = (Duration::ZERO, self.t1);
        // A T1 of zero would never reach T2.
        while interval < self.t2 && !interval.is_zero() {
            sum += interval;
            interval = interval.saturating_mul(2);
        }
        sum
    }
}

/// Below this nothing is repeated, whatever T1 and T2 are set to.
const SHORTEST_REPEAT: Duration = Duration::from_millis(1);

/// Every timer of the transactions, by the name its RFC gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// INVITE request repeats on unreliable transports: T1, doubling (RFC 3261 §17.1.1.2).
    A,
    /// INVITE gets no answer at all: 64·T1 (RFC 3261 §17.1.1.2).
    B,
    /// A proxy's INVITE gets no final answer: more than 3 min (RFC 3261 §16.6).
    C,
    /// Time to answer repeats of a non-2xx with the ACK: at least 32 s on unreliable transports,
    /// else 0 (RFC 3261 §17.1.1.2).
    D,
    /// Non-INVITE request repeats on unreliable transports: T1, doubling to T2 (RFC 3261
    /// §17.1.2.2).
    E,
    /// A non-INVITE request gets no final answer: 64·T1 (RFC 3261 §17.1.2.2).
    F,
    /// INVITE non-2xx response repeats on unreliable transports: T1, doubling to T2 (RFC 3261
    /// §17.2.1).
    G,
    /// The ACK to a non-2xx does not come: 64·T1 (RFC 3261 §17.2.1).
    H,
    /// Time to absorb repeated ACKs: T4 on unreliable transports, else 0 (RFC 3261 §17.2.1).
    I,
    /// Time to answer repeats of a non-INVITE request: 64·T1 on unreliable transports, else 0
    /// (RFC 3261 §17.2.2).
    J,
    /// Time to absorb repeated responses to a non-INVITE request: T4 on unreliable transports,
    /// else 0 (RFC 3261 §17.1.2.2).
    K,
    /// Time to absorb repeats of an INVITE that was accepted: 64·T1 (RFC 6026 §7.1).
    L,
    /// Time to take 2xx responses, first and repeated ones of each fork: 64·T1 (RFC 6026 §7.2).
    M,
    /// The NOTIFY that confirms a subscription does not come: 64·T1 (RFC 6665 §4.1.2.4).
    N,
    /// The INVITE's owner has said nothing yet, so the transaction says 100: 200 ms (RFC 3261
    /// §17.2.1; no letter there).
    Trying,
    /// The owner of a non-INVITE request has said nothing yet, so the transaction says 100: when
    /// the peer's Timer E is at T2 (RFC 4320 §4.1; no letter there).
    LateTrying,
    /// The owner of a non-INVITE request never said anything final and the peer has given up:
    /// 64·T1 (RFC 4320 §4.2 forbids the 408; no letter there).
    Unanswered,
}

impl Timer {
    /// Its first length on a transport, `None` where the timer does not run on it.
    pub fn length(self, timers: &Timers, reliable: bool) -> Option<Duration> {
        match self {
            Self::A | Self::E | Self::G => (!reliable).then(|| timers.first_repeat()),
            Self::B | Self::F | Self::H | Self::L | Self::M | Self::N | Self::Unanswered => {
                Some(timers.patience())
            }
            Self::C => Some(Duration::from_secs(181)),
            Self::D if reliable => Some(Duration::ZERO),
            Self::D => Some(timers.patience().max(Duration::from_secs(32))),
            Self::I | Self::K if reliable => Some(Duration::ZERO),
            Self::I | Self::K => Some(timers.t4),
            Self::J if reliable => Some(Duration::ZERO),
            Self::J => Some(timers.patience()),
            Self::Trying => Some(Duration::from_millis(200)),
            Self::LateTrying => Some(timers.until_t2()),
        }
    }
}

/// A few deadlines, each under a key. Made for a handful of entries: looking through them is
/// faster than any map.
#[derive(Clone, Debug)]
pub struct Deadlines<K>(Vec<(K, Instant)>);

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq> Deadlines<K> {
    /// Sets the deadline of a key, in place of an earlier one.
    pub fn set(&mut self, key: K, at: Instant) {
        self.clear(key);
        self.0.push((key, at));
    }

    /// Removes the deadline of a key.
    pub fn clear(&mut self, key: K) {
        self.0.retain(|(other, _)| *other != key);
    }

    /// Removes all deadlines.
    pub fn clear_all(&mut self) {
        self.0.clear();
    }

    /// The deadline of a key.
    pub fn at(&self, key: K) -> Option<Instant> {
        self.0
            .iter()
            .find(|(other, _)| *other == key)
            .map(|(_, at)| *at)
    }

    /// The next deadline of all.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(_, at)| *at).min()
    }

    /// Takes the earliest deadline that is due: its key and the instant it was set to. What repeats
    /// is set again from `now`: after a machine slept, one repeat goes out and not all those
    /// missed.
    pub fn pop_due(&mut self, now: Instant) -> Option<(K, Instant)> {
        let (index, _) = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (_, at))| *at <= now)
            .min_by_key(|(_, (_, at))| *at)?;
        Some(self.0.remove(index))
    }

    /// Whether no deadline is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
