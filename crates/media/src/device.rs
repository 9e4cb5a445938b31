//! The pump's ends of the capture and the playout ring.
//!
//! The device has its own clock and takes its samples in blocks of its own choice; the pump takes 480 every
//! 10 ms by the system's clock. Both ends watch the *least* that was waiting during half a second: what is
//! always there is delay for nothing and is worked off by squeezing two samples out of a frame, too
//! little is built up by stretching a frame by two. That is 0.4 %, far more than clocks differ and
//! too little to be heard. What a device leaves behind when it starts, or catches up with, is worked off four times as fast
//! while it is much: 40 ms in two and a half seconds.
//!
//! A device that has run dry is given more room from then on, for what has happened once on a busy machine will
//! happen again; a long time without a dropout takes the room away again.

use rtrb::{Consumer, Producer};

use crate::FRAME_SAMPLES;

/// By how many samples a frame is squeezed or stretched, and squeezed where there is [`MUCH`] to work off.
const ORDINARY: isize = 2;
const STRONG: isize = 8;
/// Room for the longest frame.
const LONGEST_FRAME: usize = FRAME_SAMPLES + STRONG.unsigned_abs();

/// Steps between two looks at the least that was waiting.
const WINDOW: u32 = 50;

/// The least that should be waiting when the other side has just been: 11 ms to 22 ms.
///
/// One frame of it is for the moment at which the clocks have slipped by a whole step and the other side comes
/// just before us instead of just after; the span is more than a frame, or each slip would be worked against.
const LEAST: usize = 528;
const MOST: usize = 1_056;

/// What is more than this is worked off fast: 10 ms too much.
const MUCH: usize = MOST + 480;

/// What is more than this all the time is not worked off but dropped at once: 50 ms. A device that
/// takes a second to start leaves that much behind.
const TOO_MUCH: usize = 2_400;

/// More than this is dropped without looking twice: 120 ms.
const FAR_TOO_MUCH: usize = 5_760;

/// What waits before the first frame is used, and after a dropout: 30 ms.
const PRIMING: usize = 1_440;

/// What a dropout adds to everything above, and how much that may become: 10 ms and 80 ms.
const MORE_ROOM: usize = 480;
const MOST_ROOM: usize = 3_840;

/// After so many windows without a dropout, a minute, [`LESS_ROOM`], 2 ms, is taken away in every
/// [`LESS_EVERY`] of them, 5 s.
const CALM: u32 = 120;
const LESS_ROOM: usize = 96;
const LESS_EVERY: u32 = 10;

/// Watches how much is waiting and tells what to do about it.
#[derive(Debug)]
struct Watch {
    least: usize,
    steps: u32,
    /// Samples that are to be waiting less after each frame; below nothing, more.
    correction: isize,
    /// What is kept waiting beyond the least that is, because there were dropouts.
    room: usize,
    /// Windows since the last dropout.
    calm: u32,
}

impl Watch {
    fn new() -> Self {
        Self {
            least: usize::MAX,
            steps: 0,
            correction: 0,
            room: 0,
            calm: 0,
        }
    }

    fn on_dropout(&mut self) {
        self.room = (self.room + MORE_ROOM).min(MOST_ROOM);
        self.calm = 0;
    }

    /// Takes note of what is waiting; answers how much of it is to be dropped.
    fn see(&mut self, waiting: usize) -> usize {
        self.least = self.least.min(waiting);
        self.steps += 1;
        if self.steps < WINDOW {
            return 0;
        }
        // What is waiting beyond the room for dropouts.
        let least = self.least.saturating_sub(self.room);
        let drop = if least > TOO_MUCH {
            least - (LEAST + MOST) / 2
        } else {
            0
        };
        self.correction = match least {
            least if least < LEAST => -ORDINARY,
            least if least > MUCH && drop == 0 => STRONG,
            least if least > MOST && drop == 0 => ORDINARY,
            _ => 0,
        };
        self.calm = self.calm.saturating_add(1);
        if self.calm > CALM && self.calm.is_multiple_of(LESS_EVERY) {
            self.room = self.room.saturating_sub(LESS_ROOM);
        }
        self.least = usize::MAX;
        self.steps = 0;
        drop
    }
}

/// From the microphone.
pub(crate) struct Capture {
    ring: Consumer<f32>,
    watch: Watch,
    primed: bool,
}

impl Capture {
    pub(crate) fn new(ring: Consumer<f32>) -> Self {
        Self {
            ring,
            watch: Watch::new(),
            primed: false,
        }
    }

    /// Reads a frame; false, and silence in it, when there is not enough.
    pub(crate) fn read(&mut self, frame: &mut [f32; FRAME_SAMPLES]) -> bool {
        let mut waiting = self.ring.slots();
        let priming = PRIMING + self.watch.room;
        if waiting > FAR_TOO_MUCH + self.watch.room {
            self.drop_oldest(waiting - priming);
            waiting = priming;
        }
        self.primed |= waiting >= priming;
        let count = FRAME_SAMPLES.saturating_add_signed(self.watch.correction);
        let mut samples = [0.0; LONGEST_FRAME];
        let taken = samples.get_mut(..count).unwrap_or_default();
        if !self.primed || waiting < count || self.ring.pop_entire_slice(taken).is_err() {
            if self.primed {
                self.watch.on_dropout();
            }
            self.primed = false;
            frame.fill(0.0);
            return false;
        }
        let drop = self.watch.see(waiting - count);
        self.drop_oldest(drop);
        stretch(taken, frame);
        true
    }

    fn drop_oldest(&mut self, samples: usize) {
        if let Ok(chunk) = self.ring.read_chunk(samples) {
            chunk.commit_all();
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Whether the device has let go of its end.
    pub(crate) fn is_gone(&self) -> bool {
        self.ring.is_abandoned()
    }
}

/// To the speaker.
pub(crate) struct Playout {
    ring: Producer<f32>,
    watch: Watch,
    started: bool,
    /// Frames that are not written, because too much is waiting.
    skip: usize,
}

impl Playout {
    pub(crate) fn new(ring: Producer<f32>) -> Self {
        Self {
            ring,
            watch: Watch::new(),
            started: false,
            skip: 0,
        }
    }

    /// Writes a frame, unless the device has stopped taking any.
    pub(crate) fn write(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        let waiting = self.waiting();
        if waiting > FAR_TOO_MUCH + self.watch.room {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if !self.started {
            self.started = true;
            let _ = self.ring.push_entire_slice(&[0.0; PRIMING - FRAME_SAMPLES]);
        } else if waiting == 0 {
            // A dropout: the device takes more at a time than was waiting. The room is made at once, where
            // the sound is broken anyway.
            self.watch.on_dropout();
            for _ in 0..self.watch.room / FRAME_SAMPLES {
                let _ = self.ring.push_entire_slice(&[0.0; FRAME_SAMPLES]);
            }
        } else {
            self.skip = self.watch.see(waiting) / FRAME_SAMPLES;
        }
        let count = FRAME_SAMPLES.saturating_sub_signed(self.watch.correction);
        let mut samples = [0.0; LONGEST_FRAME];
        let samples = samples.get_mut(..count).unwrap_or_default();
        stretch(frame, samples);
        let _ = self.ring.push_entire_slice(samples);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    /// Whether the device has let go of its end.
    pub(crate) fn is_gone(&self) -> bool {
        self.ring.is_abandoned()
    }
}

/// Spreads `input` over `output`, which is about as long, by straight lines.
fn stretch(input: &[f32], output: &mut [f32]) {
    if input.len() == output.len() {
        output.copy_from_slice(input);
        return;
    }
    let step = input.len() as f32 / output.len() as f32;
    for (n, sample) in output.iter_mut().enumerate() {
        let place = n as f32 * step;
        let left = place as usize;
        let here = input.get(left).copied().unwrap_or_default();
        let next = input.get(left + 1).copied().unwrap_or(here);
        *sample = here + (next - here) * (place - left as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

    /// A microphone whose clock is off by `ppm` and that delivers `block` samples at a time, for ten minutes.
    fn capture_for_ten_minutes(ppm: f64, block: usize) -> (usize, usize) {
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer);
        let (mut made, mut missed, mut most) = (0usize, 0, 0);
        for step in 0..60_000 {
            let due = (f64::from(step) * 480.0 * (1.0 + ppm / 1e6)) as usize;
            while made + block <= due {
                let _ = producer.push_entire_slice(&vec![0.1; block]);
                made += block;
            }
            let mut frame = [0.0; FRAME_SAMPLES];
            let heard = capture.read(&mut frame);
            if step > 200 {
                missed += usize::from(!heard);
                most = most.max(capture.waiting());
            }
        }
        (missed, most)
    }

    #[test]
    fn a_microphone_with_a_wrong_clock_neither_runs_dry_nor_piles_up() {
        for (ppm, block) in [
            (0.0, 480),
            (300.0, 480),
            (-300.0, 480),
            (300.0, 960),
            (-300.0, 1_024),
        ] {
            let (missed, most) = capture_for_ten_minutes(ppm, block);
            println!("{ppm} ppm, {block}: {missed} missed, most {most}");
            assert!(missed <= 3, "{ppm} ppm, {block}: {missed} missed");
            assert!(most < 2_900, "{ppm} ppm, {block}: {most} waiting");
        }
    }

    #[test]
    fn a_speaker_with_a_wrong_clock_neither_runs_dry_nor_piles_up() {
        for (ppm, block) in [
            (0.0, 480usize),
            (300.0, 960),
            (-300.0, 960),
            (-300.0, 1_024),
        ] {
            let (producer, mut consumer) = RingBuffer::new(48_000);
            let mut playout = Playout::new(producer);
            let (mut taken, mut missed, mut most) = (0usize, 0, 0);
            for step in 0..60_000 {
                playout.write(&[0.1; FRAME_SAMPLES]);
                let due = (f64::from(step) * 480.0 * (1.0 + ppm / 1e6)) as usize;
                while taken + block <= due {
                    let mut samples = vec![0.0; block];
                    let (_, rest) = consumer.pop_partial_slice(&mut samples);
                    if step > 200 {
                        missed += usize::from(!rest.is_empty());
                    }
                    taken += block;
                }
                if step > 400 {
                    most = most.max(playout.waiting());
                }
            }
            println!("{ppm} ppm, {block}: {missed} missed, most {most}");
            assert!(missed <= 3, "{ppm} ppm, {block}: {missed} missed");
            assert!(most < 2_900, "{ppm} ppm, {block}: {most} waiting");
        }
    }

    /// How often sound was missing in each of ten minutes at a machine that is held up for 70 ms every 1.3 s in the
    /// first five of them, and how many samples waited at the end of each. `step` moves the pump and the device.
    fn held_up(mut step: impl FnMut(u32, usize) -> (usize, usize)) -> Vec<(usize, usize)> {
        let mut minutes = vec![(0, 0); 10];
        for tick in 0..60_000u32 {
            // What the device has done by now: it stands still and then catches up.
            let at = f64::from(tick) * 0.01;
            let phase = at % 1.3;
            let done = if phase < 0.07 && at < 300.0 {
                at - phase
            } else {
                at
            };
            let (missed, waiting) = step(tick, (done * 48_000.0) as usize / 480 * 480);
            let minute = &mut minutes[tick as usize / 6_000];
            minute.0 += missed;
            minute.1 = waiting;
        }
        println!("{minutes:?}");
        minutes
    }

    fn check_held_up(minutes: &[(usize, usize)]) {
        assert!(minutes[0].0 > 0, "the machine was not held up");
        assert!(
            minutes[1..].iter().all(|minute| minute.0 <= 1),
            "{minutes:?}"
        );
        // The room is given back: 10 s of calm and then 2 ms in each half second.
        assert!(minutes[9].1 < MOST + 960, "{minutes:?}");
    }

    #[test]
    fn a_microphone_that_is_held_up_again_and_again_gets_the_room_it_needs() {
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer);
        let mut made = 0;
        let minutes = held_up(|tick, done| {
            while made < done {
                let _ = producer.push_entire_slice(&[0.1; 480]);
                made += 480;
            }
            let heard = capture.read(&mut [0.0; FRAME_SAMPLES]);
            (usize::from(!heard && tick > 200), capture.waiting())
        });
        check_held_up(&minutes);
    }

    #[test]
    fn a_speaker_that_is_served_late_again_and_again_gets_the_room_it_needs() {
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer);
        let (mut written, mut taken) = (0, 0);
        // The pump is held up here, and the device goes on.
        let minutes = held_up(|tick, done| {
            while written < done {
                playout.write(&[0.1; FRAME_SAMPLES]);
                written += 480;
            }
            let mut missed = 0;
            while taken < tick as usize * 480 {
                let mut samples = [0.0; 480];
                missed += usize::from(!consumer.pop_partial_slice(&mut samples).1.is_empty());
                taken += 480;
            }
            (if tick > 200 { missed } else { 0 }, playout.waiting())
        });
        check_held_up(&minutes);
    }

    #[test]
    fn a_device_that_stands_still_does_not_build_up_delay() {
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer);
        for _ in 0..1_000 {
            playout.write(&[0.0; FRAME_SAMPLES]);
        }
        assert!(playout.waiting() <= FAR_TOO_MUCH + 960);
        let mut all = vec![0.0; playout.waiting()];
        consumer.pop_entire_slice(&mut all).unwrap();
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer);
        producer.push_entire_slice(&vec![0.0; 40_000]).unwrap();
        assert!(capture.read(&mut [0.0; FRAME_SAMPLES]));
        assert!(capture.waiting() < PRIMING);
    }

    #[test]
    fn what_a_slow_start_leaves_behind_is_gone_a_second_later() {
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer);
        for _ in 0..150 {
            playout.write(&[0.1; FRAME_SAMPLES]);
        }
        for _ in 0..100 {
            playout.write(&[0.1; FRAME_SAMPLES]);
            let mut frame = [0.0; FRAME_SAMPLES];
            consumer.pop_entire_slice(&mut frame).unwrap();
        }
        let waiting = playout.waiting();
        assert!((LEAST..TOO_MUCH).contains(&waiting), "{waiting}");
    }

    #[test]
    fn stretching_keeps_a_tone_smooth() {
        let tone: Vec<f32> = (0..482).map(|i| (i as f32 * 0.05).sin()).collect();
        let mut out = [0.0; 480];
        stretch(&tone, &mut out);
        let steepest = out
            .windows(2)
            .map(|w| (w[1] - w[0]).abs())
            .fold(0.0, f32::max);
        assert!(steepest < 0.051, "{steepest}");
    }
}
