//! When a datagram arrived: the system notes it, and the pump looks only every 10 ms.
//!
//! Jitter (RFC 3550 §6.4.1), round trips and how long a report has lain here (LSR and DLSR, §6.4.1; RFC 3611 §4.5) are figures
//! of the network. By the pump's own clock a stream without any jitter would seem to have up to five milliseconds of it, and
//! the fastest network would take ten. The jitter buffer counts from there, too: what has waited for the pump need not wait
//! for it once more.
//!
//! Linux tells the time with each datagram (`SO_TIMESTAMPNS`), by the wall clock; elsewhere it is the step in which it was
//! found.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::TICK;

/// Further from now than this the wall clock has been set meanwhile, or the machine was asleep.
const FAR: Duration = Duration::from_secs(1);

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    at: Instant,
    /// Since 1970.
    wall: Duration,
}

impl Clocks {
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            at: Instant::now(),
            wall: wall.unwrap_or_default(),
        }
    }

    /// When that was what the system noted as `stamp`, by the wall clock since 1970; none when it cannot be.
    fn instant(&self, stamp: Duration) -> Option<Instant> {
        let at = if stamp > self.wall {
            self.at.checked_add(stamp - self.wall)
        } else {
            self.at.checked_sub(self.wall - stamp)
        };
        at.filter(|_| stamp.abs_diff(self.wall) < FAR)
    }

    /// When a datagram arrived that is found now and was not yet there at the look before it: never before that, and not later than a
    /// step takes. Where the stamp says otherwise, the wall clock was set meanwhile.
    pub(crate) fn arrival(&self, stamp: Duration, since: Option<Instant>) -> Option<Instant> {
        let at = self.instant(stamp)?.min(self.at + TICK);
        Some(since.map_or(at, |since| at.max(since)))
    }

    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// The NTP timestamp of then, where `ntp` is that of these clocks. What came after they were read came with them.
    pub(crate) fn ntp(&self, ntp: u64, at: Instant) -> u64 {
        let ago = self.at.saturating_duration_since(at).as_nanos();
        let units = (ago << 32) / Duration::from_secs(1).as_nanos();
        ntp.wrapping_sub(u64::try_from(units).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_before_and_after_is_found_and_what_cannot_be_is_not() {
        let clocks = Clocks::now();
        let ms = Duration::from_millis;
        let before = clocks.instant(clocks.wall - ms(7));
        assert_eq!(before, clocks.at.checked_sub(ms(7)));
        // A second is 2³² of the units of NTP (RFC 5905 §6).
        let ntp = (3_900_000_000 << 32) + (1 << 31);
        assert_eq!(
            before.map(|at| clocks.ntp(ntp, at)),
            Some(ntp - (7 << 32) / 1_000)
        );
        let after = clocks.instant(clocks.wall + ms(3));
        assert_eq!(after, Some(clocks.at + ms(3)));
        assert_eq!(after.map(|at| clocks.ntp(ntp, at)), Some(ntp));
        // The wall clock was set.
        for stamp in [clocks.wall + ms(1_000), clocks.wall - ms(1_000)] {
            assert_eq!(clocks.instant(stamp), None);
        }
        for (stamp, at) in [
            (clocks.wall - ms(7), clocks.at - ms(7)),
            (clocks.wall - ms(700), clocks.at - ms(20)),
            (clocks.wall + ms(700), clocks.at + TICK),
        ] {
            let since = Some(clocks.at - ms(20));
            assert_eq!(clocks.arrival(stamp, since), Some(at));
        }
        // What had waited before anybody looked.
        let early = clocks.arrival(clocks.wall - ms(700), None);
        assert_eq!(early, Some(clocks.at - ms(700)));
        assert_eq!(clocks.instant(Duration::ZERO), None);
        assert_eq!(clocks.instant(Duration::MAX), None);
    }
}
