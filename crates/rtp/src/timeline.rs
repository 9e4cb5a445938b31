//! One timeline for a stream whose payload types count in several clocks (RFC 7160).
//!
//! Who changes from G.711 to Opus goes on with its sequence numbers, and its timestamps count 48000 a second instead of 8000.
//! RFC 7160 §4.1 would have another source for each clock, §4.2 tells what to do with one, and what was there before begins its
//! timestamps anywhere. So at a change the timestamps are not asked: what follows directly begins where the packet before
//! ended, and what comes after a pause begins by its arrival.
//!
//! ```text
//!  sequence     7     8     9    10         11    12
//!  clock      8000  8000  8000  48000     48000  8000
//!  timestamp   160   320   480  71234     72194   900
//!  here        960  1920  2880   3840      4800  5760     (48000, packets of 20 ms)
//! ```

use std::time::{Duration, Instant};

use crate::packet::RtpHeader;
use crate::sender::ticks;

/// Numbers farther apart than this do not belong to one series (as RFC 3550 A.1).
const SEQUENCE_JUMP: i16 = 3_000;
/// So much later than it should be, a packet of another clock ends a pause. Less is what a network does.
const PAUSE: Duration = Duration::from_millis(200);

/// Brings the timestamps of one stream to one clock.
#[derive(Debug, Clone)]
pub struct Timeline {
    clock_rate_hz: u32,
    /// How the newest packets count, and how those before the last change did.
    current: Option<Counting>,
    before: Option<Counting>,
    newest: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Counting {
    clock_rate_hz: u32,
    offset: u32,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    ssrc: u32,
    sequence: u16,
    /// On our clock.
    timestamp: u32,
    ticks: u32,
    at: Instant,
}

impl Timeline {
    /// Timestamps will be brought to this clock; the clocks of the stream divide it.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1),
            current: None,
            before: None,
            newest: None,
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        *self = Self::new(self.clock_rate_hz);
    }

    /// The header of a packet of audio that arrived at `now`, with its timestamp on our clock. Its own counts at
    /// `clock_rate_hz`, and it lasts so many ticks of that.
    #[must_use]
    pub fn place(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        clock_rate_hz: u32,
        ticks: u32,
    ) -> RtpHeader {
        let counted = header.timestamp.wrapping_mul(self.scale(clock_rate_hz));
        let newest = self.newest.filter(|newest| newest.ssrc == header.ssrc);
        let step = newest.map_or(1, |newest| {
            header
                .sequence_number
                .wrapping_sub(newest.sequence)
                .cast_signed()
        });
        let is_older = (-SEQUENCE_JUMP..=0).contains(&step);
        let same = |counting: &Counting| counting.clock_rate_hz == clock_rate_hz;
        let timestamp = match (newest, self.current.filter(same)) {
            (Some(_), Some(current)) => counted.wrapping_add(current.offset),
            // Another source: whoever holds its packets begins anew, too.
            (None, _) => counted,
            (Some(newest), None) if is_older => match self.before.filter(same) {
                Some(before) => counted.wrapping_add(before.offset),
                None => self.from(now, newest, step),
            },
            (Some(newest), None) => self.from(now, newest, step),
        };
        if !is_older {
            let counting = Counting {
                clock_rate_hz,
                offset: timestamp.wrapping_sub(counted),
            };
            if newest.is_none() {
                (self.before, self.current) = (None, None);
            }
            if !self.current.is_some_and(|current| same(&current)) {
                self.before = self.current.replace(counting);
            }
            self.newest = Some(Newest {
                ssrc: header.ssrc,
                sequence: header.sequence_number,
                timestamp,
                ticks: ticks.saturating_mul(self.scale(clock_rate_hz)),
                at: now,
            });
        }
        RtpHeader {
            timestamp,
            ..*header
        }
    }

    /// Where a packet belongs that is so many behind the newest.
    fn from(&self, now: Instant, newest: Newest, step: i16) -> u32 {
        let steps = i64::from(step) * i64::from(newest.ticks);
        let passed = now.saturating_duration_since(newest.at);
        let passed = ticks(passed, self.clock_rate_hz);
        let pause = ticks(PAUSE, self.clock_rate_hz);
        let jumps = step.unsigned_abs() > SEQUENCE_JUMP.unsigned_abs();
        let forward = if jumps || step > 0 && i64::from(passed) > steps + i64::from(pause) {
            passed
        } else {
            // Modulo 2³², as timestamps are.
            steps as u32
        };
        newest.timestamp.wrapping_add(forward)
    }

    fn scale(&self, clock_rate_hz: u32) -> u32 {
        (self.clock_rate_hz / clock_rate_hz.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests;
