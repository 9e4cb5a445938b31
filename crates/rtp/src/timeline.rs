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
mod tests {
    use super::*;

    fn header(sequence_number: u16, timestamp: u32) -> RtpHeader {
        RtpHeader {
            marker: false,
            payload_type: 0,
            sequence_number,
            timestamp,
            ssrc: 1,
        }
    }

    /// Packets of 20 ms: their sequence number, timestamp and clock, and how many milliseconds after the first they come.
    fn placed(packets: &[(u16, u32, u32, u64)]) -> Vec<u32> {
        let (mut timeline, start) = (Timeline::new(48_000), Instant::now());
        let packets = packets.iter();
        packets
            .map(|(sequence, timestamp, clock, at)| {
                let now = start + Duration::from_millis(*at);
                timeline
                    .place(now, &header(*sequence, *timestamp), *clock, clock / 50)
                    .timestamp
            })
            .collect()
    }

    #[test]
    fn what_follows_in_another_clock_begins_where_the_packet_before_ended() {
        let heard = placed(&[
            (7, 160, 8_000, 0),
            (8, 320, 8_000, 20),
            (9, 71_234, 48_000, 40),
            (10, 72_194, 48_000, 60),
            (11, 900, 8_000, 80),
            (12, 1_060, 8_000, 100),
        ]);
        assert_eq!(heard, [960, 1_920, 2_880, 3_840, 4_800, 5_760]);
    }

    #[test]
    fn what_is_lost_at_the_change_leaves_its_place() {
        let heard = placed(&[(65_535, 160, 8_000, 0), (2, 5, 48_000, 60)]);
        assert_eq!(heard, [960, 960 + 3 * 960]);
    }

    #[test]
    fn what_comes_late_from_before_the_change_is_where_it_belongs() {
        let heard = placed(&[
            (1, 160, 8_000, 0),
            (3, 90_000, 48_000, 40),
            (2, 320, 8_000, 41),
            (4, 90_960, 48_000, 60),
        ]);
        assert_eq!(heard, [960, 2_880, 1_920, 3_840]);
    }

    #[test]
    fn after_a_pause_the_arrival_counts() {
        let heard = placed(&[(1, 160, 8_000, 0), (2, 5, 48_000, 2_000)]);
        assert_eq!(heard, [960, 960 + 96_000]);
    }

    #[test]
    fn the_wrap_of_the_slower_clock_is_none_of_ours() {
        let heard = placed(&[(1, u32::MAX - 159, 8_000, 0), (2, 0, 8_000, 20)]);
        assert_eq!(heard[1].wrapping_sub(heard[0]), 960);
    }

    #[test]
    fn a_change_with_each_packet_keeps_even_time() {
        let mut packets = Vec::new();
        for n in 0..500u16 {
            let at = u64::from(n) * 20;
            packets.push(if n % 2 == 0 {
                (n, u32::from(n) * 160, 8_000, at)
            } else {
                (n, u32::from(n) * 7_777, 48_000, at)
            });
        }
        let heard = placed(&packets);
        assert!(heard.windows(2).all(|two| two[1] - two[0] == 960));
    }

    proptest::proptest! {
        #[test]
        fn no_stream_panics(packets: Vec<(u16, u32, bool, u16, u32)>) {
            let (mut timeline, start) = (Timeline::new(48_000), Instant::now());
            for (sequence, timestamp, wide, at, ticks) in packets {
                let clock = if wide { 48_000 } else { 8_000 };
                let now = start + Duration::from_millis(at.into());
                let _ = timeline.place(now, &header(sequence, timestamp), clock, ticks);
            }
        }
    }
}
