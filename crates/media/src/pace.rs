//! When a device was last there, and how far it is in between.
//!
//! A sound card takes and gives its samples in blocks. What waits in a ring goes up and down by a block for that, and by
//! 10 ms for the pump, so it says little about how much there is to spare. Each callback therefore leaves a [`Pace`]: how
//! many samples the device has moved in all, and when. From these the pump keeps a [`Line`], a small
//! loop that follows the device as if it moved sample by sample, and knows how late its callbacks come.
//!
//! ```text
//!  samples           ╱·    · what the callbacks tell
//!               ·  ╱       ╱ the line
//!          ·    ╱
//!             ╱  └ late by this
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::SAMPLE_RATE_HZ;

/// Bits of a mark that count samples: six minutes of them, and no ring holds more than a second.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// The others are microseconds: twelve days.
const TIME_BITS: u32 = u64::BITS - COUNT_BITS;

const PER_US: f64 = SAMPLE_RATE_HZ as f64 / 1e6;

/// What a device's callback tells the pump beside the samples. It takes a clock's reading and two stores; nothing waits.
#[derive(Debug)]
pub struct Pace {
    base: Instant,
    /// Time and count in one, so that they are of the same callback.
    mark: AtomicU64,
    block: AtomicU32,
}

impl Pace {
    /// Of a device that has not been there yet. Nothing is told for a time before `base`.
    #[must_use]
    pub fn new(base: Instant) -> Self {
        Self {
            base,
            mark: AtomicU64::new(0),
            block: AtomicU32::new(0),
        }
    }

    /// The device has put so many `samples` into its ring, or taken them out of it, and this is when. `block` is how many
    /// it would have, had there been as many. For the one thread that has the device's end, after each callback.
    pub fn tell(&self, samples: usize, block: usize, now: Instant) {
        let us = now.saturating_duration_since(self.base).as_micros() as u64;
        let count = self
            .mark
            .load(Ordering::Relaxed)
            .wrapping_add(samples as u64)
            & COUNT_MASK;
        self.block.store(
            u32::try_from(block).unwrap_or(u32::MAX).max(1),
            Ordering::Relaxed,
        );
        self.mark.store(us << COUNT_BITS | count, Ordering::Release);
    }

    /// What was told last; none before the first callback.
    fn mark(&self, now: Instant) -> Option<Mark> {
        let block = self.block.load(Ordering::Relaxed);
        let mark = self.mark.load(Ordering::Acquire);
        if block == 0 {
            return None;
        }
        let us = now.saturating_duration_since(self.base).as_micros() as u64;
        // Both ends of the difference have lost their upper bits; a callback may be a little after `now`.
        let since = us.wrapping_sub(mark >> COUNT_BITS) << COUNT_BITS;
        Some(Mark {
            count: (mark & COUNT_MASK) as u32,
            since_us: (since as i64) >> (u64::BITS - TIME_BITS),
            block: f64::from(block),
        })
    }
}

impl Default for Pace {
    /// From now on.
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

#[derive(Debug)]
struct Mark {
    /// Samples in all, without the upper bits.
    count: u32,
    since_us: i64,
    block: f64,
}

/// How fast the line follows what the callbacks tell, each 10 ms: half a second, and less at its start.
const FOLLOW: f64 = 0.02;
/// The same for its slope: damped critically.
const FOLLOW_RATE: f64 = FOLLOW * FOLLOW / 4.0;
/// Clocks of sound cards are not further from ours.
const MOST_DRIFT: f64 = 0.005;
/// What is further from the line than 20 ms is another line: the device stood still, or went on after it had.
const JUMP: f64 = 960.0;
/// A device that has not been there for this long beyond its block stands still.
const STILL_US: f64 = 100_000.0;
/// How much later than the line callbacks are taken to be at least, 1 ms, and at most, 30 ms.
const LEAST_LATE: f64 = 48.0;
const MOST_LATE: f64 = 1_440.0;
/// Steps with a new device in which nothing is learned of lateness, half a second: devices start in leaps.
const START: u32 = 50;
/// What came late is remembered for 25 s to 30 s: so many parts of so many steps. Whoever is held up every few seconds has
/// one gap and no second one.
const PARTS: usize = 6;
const PART: u32 = 500;

/// The longest block is forgotten by so much each 10 ms: to a third in ten seconds.
const FORGET: f64 = 0.999;
/// How fast the mean block follows, each 10 ms.
const MEAN: f64 = 0.02;
/// By how much of it a block may miss the steps: what comes of 44.1 kHz has another length every other time.
const FITS: f64 = 0.000_5;

/// Samples of a step, and the most parts of it that are told apart.
const STEP: f64 = crate::FRAME_SAMPLES as f64;
const MOST_PARTS: u32 = 4;

/// Follows a device by its [`Pace`].
#[derive(Debug)]
pub(crate) struct Line {
    count: u32,
    /// The device's samples in all, and where the line says that it is.
    total: f64,
    here: f64,
    /// How much more than 48 000 a second they are.
    drift: f64,
    at: Option<Instant>,
    /// Looks at this line, and at this device.
    looks: u32,
    age: u32,
    /// The longest block of late, and what they are in the mean.
    block: f64,
    mean: f64,
    /// How long the callback that comes next has been waited for.
    overdue: f64,
    /// The most that callbacks were late in each of the latest parts of time, the present one first.
    late: [f64; PARTS],
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            count: 0,
            total: 0.0,
            here: 0.0,
            drift: 0.0,
            at: None,
            looks: 0,
            age: 0,
            block: 0.0,
            mean: 0.0,
            overdue: 0.0,
            late: [0.0; PARTS],
        }
    }

    /// Looks at what a device tells, once in each step. Answers how many samples it has moved by now, in all; none where it
    /// has not begun or stands still.
    pub(crate) fn look(&mut self, pace: &Pace, now: Instant) -> Option<f64> {
        let mark = pace.mark(now)?;
        self.age = self.age.saturating_add(1);
        if self.age.is_multiple_of(PART) {
            self.late.rotate_right(1);
            self.late[0] = 0.0;
        }
        let moved = mark.count.wrapping_sub(self.count) & COUNT_MASK as u32;
        self.count = mark.count;
        self.total += f64::from(moved);
        self.block = mark.block.max(self.block * FORGET);
        if self.mean == 0.0 {
            self.mean = mark.block;
        }
        self.mean += (mark.block - self.mean) * MEAN;
        let since_us = mark.since_us as f64;
        if since_us > STILL_US + self.block / PER_US {
            self.at = None;
            self.overdue = 0.0;
            return None;
        }
        let told = self.total + since_us * PER_US;
        let Some(before) = self.at.replace(now) else {
            (self.here, self.looks) = (told, 0);
            return Some(told);
        };
        let passed = now.saturating_duration_since(before).as_secs_f64();
        self.here += passed * f64::from(SAMPLE_RATE_HZ) * (1.0 + self.drift);
        let off = told - self.here;
        let is_another = off.abs() > JUMP;
        if moved > 0 {
            // What has not been caught up with was no lateness: the device stood still, and more room would not have helped.
            if self.is_settled() && !is_another {
                self.on_late(self.overdue.max(-off));
            }
            self.overdue = 0.0;
        }
        if is_another {
            (self.here, self.looks) = (told, 0);
            return Some(told);
        }
        self.overdue = self.overdue.max(self.since_block() - self.block);
        self.looks = self.looks.saturating_add(1);
        self.here += off * FOLLOW.max(1.0 / f64::from(self.looks + 1));
        self.drift = (self.drift + off * FOLLOW_RATE / 480.0).clamp(-MOST_DRIFT, MOST_DRIFT);
        Some(self.here)
    }

    /// What the pump does late is as if the device had come early.
    pub(crate) fn on_late(&mut self, samples: f64) {
        self.late[0] = self.late[0].max(samples);
    }

    /// How far apart the places are that a step can have between two blocks: where steps and blocks are as `n` to `m`, a
    /// step in `m` parts. Nothing where they have nothing in common.
    pub(crate) fn grain(&self) -> f64 {
        let parts = (1..=MOST_PARTS).map(f64::from).find(|parts| {
            let steps = self.mean * parts / STEP;
            steps > 0.5 && (steps - steps.round()).abs() < FITS * steps
        });
        parts.map_or(0.0, |parts| STEP / parts)
    }

    /// Whether the device has been there for some time.
    pub(crate) fn is_settled(&self) -> bool {
        self.age > START
    }

    /// Forgets where the device was: it did not get what it asked for, or nobody took what it had.
    pub(crate) fn restart(&mut self) {
        self.at = None;
    }

    /// How many samples the device has moved since its latest block, by the line.
    pub(crate) fn since_block(&self) -> f64 {
        self.here - self.total
    }

    /// What the device moves at a time, in samples.
    pub(crate) fn block(&self) -> f64 {
        self.block
    }

    /// How much later than the line its callbacks come, in samples.
    pub(crate) fn late(&self) -> f64 {
        let late = self.late.iter().copied().fold(LEAST_LATE, f64::max);
        late.min(MOST_LATE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    /// A device of blocks of 10 ms that is looked at 3 ms after each of its callbacks.
    fn follow(line: &mut Line, pace: &Pace, begin: Instant, steps: u32) -> Vec<Option<f64>> {
        let told = (0..steps).map(|step| {
            let now = begin + STEP * step;
            pace.tell(480, 480, now);
            line.look(pace, now + Duration::from_millis(3))
        });
        told.collect()
    }

    #[test]
    fn the_line_goes_on_over_the_end_of_what_a_mark_can_count() {
        let base = Instant::now();
        let pace = Pace::new(base);
        let mut line = Line::new();
        // A minute before the microseconds begin anew; the samples do so after six.
        let begin = base + Duration::from_micros((1 << TIME_BITS) - 60_000_000);
        let told = follow(&mut line, &pace, begin, 60_000);
        for (step, here) in told.iter().enumerate() {
            let right = (step + 1) as f64 * 480.0 + 144.0;
            let here = here.expect("it does not stand still");
            assert!((here - right).abs() < 1.0, "step {step}: {here}");
        }
    }

    #[test]
    fn who_has_told_nothing_or_stands_still_is_nowhere() {
        let base = Instant::now();
        let pace = Pace::new(base);
        let mut line = Line::new();
        assert_eq!(line.look(&pace, base), None);
        let told = follow(&mut line, &pace, base, 100);
        assert!(told.iter().all(Option::is_some));
        for waited in 1..=10 {
            line.look(&pace, base + STEP * (99 + waited));
        }
        let still = base + STEP * 99 + Duration::from_millis(115);
        assert_eq!(line.look(&pace, still), None);
        // It goes on where it is then, without a mark that was forged by the pause.
        let told = follow(&mut line, &pace, base + STEP * 300, 1);
        assert_eq!(told, [Some(101.0 * 480.0 + 144.0)]);
        // It stood still and was not late.
        follow(&mut line, &pace, base + STEP * 301, 10);
        assert_eq!(line.late(), LEAST_LATE);
    }

    #[test]
    fn what_comes_late_once_is_remembered_and_moves_the_line_hardly() {
        let base = Instant::now();
        let pace = Pace::new(base);
        let mut line = Line::new();
        follow(&mut line, &pace, base, 500);
        assert_eq!(line.late(), LEAST_LATE);
        // 6 ms after it was due.
        let now = base + STEP * 500;
        line.look(&pace, now + Duration::from_millis(3));
        pace.tell(480, 480, now + Duration::from_millis(6));
        let here = line.look(&pace, now + Duration::from_millis(13));
        let right = 501.0 * 480.0 + 13.0 * 48.0;
        assert!((here.expect("it goes on") - right).abs() < 10.0, "{here:?}");
        assert!((line.late() - 288.0).abs() < 10.0, "{}", line.late());
        follow(&mut line, &pace, base + STEP * 501, 2_400);
        assert!(line.late() > 280.0, "{}", line.late());
        follow(&mut line, &pace, base + STEP * 2_901, 700);
        assert_eq!(line.late(), LEAST_LATE);
    }

    #[test]
    fn a_mark_from_the_future_and_a_clock_before_the_base_do_no_harm() {
        let base = Instant::now();
        let pace = Pace::new(base + STEP);
        let mut line = Line::new();
        pace.tell(usize::MAX, usize::MAX, base);
        assert!(line.look(&pace, base).is_some());
        pace.tell(480, 480, base + STEP * 9);
        let here = line.look(&pace, base);
        assert!(here.is_some_and(f64::is_finite), "{here:?}");
    }
}
