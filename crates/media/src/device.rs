//! The pump's ends of the capture and the playout ring.
//!
//! The device has its own clock and takes its samples in blocks of its own choice; the pump takes 480 every
//! 10 ms by the system's clock. Both ends follow the device by its [`Pace`] and know what would be left at the worst of all
//! moments: a microphone's block that has just not come yet, a speaker's that has just been fetched. That much is
//! kept to spare as the callbacks are late at times. What is more is delay for nothing and is worked off by squeezing a sample
//! out of each frame, too little is built up by stretching each by one. That is 0.2 %, far more than clocks differ and too
//! little to be heard; more than 5 ms are worth 0.4 %. What a device leaves behind when it starts, or catches up with, is worked
//! off four times as fast as that while it is much: 40 ms in two and a half seconds.
//!
//! The pump's thread has its steps come just after the microphone's callbacks ([`Capture::lead`]). It follows that clock
//! then, and what was said last is not kept waiting for the next step.
//!
//! A device that has run dry is given more room from then on, for what has happened once on a busy machine will
//! happen again; a long time without a dropout takes the room away again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer};

use crate::pace::{Line, Pace};
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// By how many samples a frame is squeezed or stretched where little is wrong, where more than [`LITTLE`] is, and by how many it
/// is squeezed where there is [`MUCH`] to work off.
const GENTLE: isize = 1;
const ORDINARY: isize = 2;
const STRONG: isize = 8;
/// Room for the longest frame.
const LONGEST_FRAME: usize = FRAME_SAMPLES + STRONG.unsigned_abs();

/// What is to spare beyond the lateness of the callbacks: 1 ms.
const SPARE: f64 = 48.0;

/// What may be more than that before something is done about it, 2 ms, and how far it is brought back.
const BAND: f64 = 96.0;
const MIDDLE: f64 = BAND / 2.0;

/// How far from the band is little: 5 ms.
const LITTLE: f64 = 240.0;

/// What is more than this is worked off fast: 10 ms too much.
const MUCH: f64 = BAND + 480.0;

/// What is more than this for half a second is not worked off but dropped at once: 50 ms. A device that
/// takes a second to start leaves that much behind.
const TOO_MUCH: f64 = 2_400.0;
const WINDOW: u32 = 50;

/// The most that is written in place of a frame: two frames.
const MOST_AT_ONCE: f64 = 960.0;

/// More than this is dropped without looking twice: 120 ms.
const FAR_TOO_MUCH: usize = 5_760;

/// What waits before the first frame is used where the device has told nothing yet: 30 ms.
const PRIMING: usize = 1_440;

/// What a dropout adds to what is to spare, and how much that may become: 10 ms and 80 ms.
const MORE_ROOM: usize = 480;
const MOST_ROOM: usize = 3_840;

/// After so many steps without a dropout, a minute, [`LESS_ROOM`], 2 ms, is taken away in every
/// [`LESS_EVERY`] of them, 5 s.
const CALM: u32 = 6_000;
const LESS_ROOM: usize = 96;
const LESS_EVERY: u32 = 500;

/// The pump's clock is moved by a sixteenth of what it is off in each step, and by no more than 25 us: 0.25 %, which the speaker
/// can follow.
const LEAD: f64 = 1.0 / 16.0;
const MOST_LEAD: f64 = 25e-6;

/// So many steps are looked at before they are brought to the device.
const ALIGNING: u32 = 8;

/// The speaker is looked at for longer, as its first callbacks are the latest of all.
const PLACING: u32 = 16;

/// Steps in which a device shows all the places that a step can have between two of its callbacks.
const PATTERN: u32 = 16;

/// The least and the most of something during the last 16 to 32 steps.
#[derive(Debug)]
struct Span {
    before: (f64, f64),
    now: (f64, f64),
    steps: u32,
}

impl Span {
    const NONE: (f64, f64) = (f64::MAX, f64::MIN);

    fn new() -> Self {
        Self {
            before: Self::NONE,
            now: Self::NONE,
            steps: 0,
        }
    }

    fn see(&mut self, value: f64) {
        self.now = (self.now.0.min(value), self.now.1.max(value));
        self.steps += 1;
        if self.steps == PATTERN {
            self.before = std::mem::replace(&mut self.now, Self::NONE);
            self.steps = 0;
        }
    }

    /// All that was seen, had it been so much more.
    fn shift(&mut self, by: f64) {
        for (least, most) in [&mut self.before, &mut self.now] {
            *least += by;
            *most += by;
        }
    }

    fn least(&self) -> f64 {
        self.before.0.min(self.now.0)
    }

    fn most(&self) -> f64 {
        self.before.1.max(self.now.1)
    }
}

/// Watches how much is to spare and tells what to do about it.
#[derive(Debug)]
struct Watch {
    pace: Arc<Pace>,
    line: Line,
    /// What the pump has taken out of the ring or put into it, in all.
    moved: f64,
    /// Samples that are to be waiting less after each frame; below nothing, more.
    correction: isize,
    /// Steps for which there was [`TOO_MUCH`].
    long: u32,
    /// What has to be to spare at least, because there were dropouts.
    room: usize,
    /// Steps since the last dropout.
    calm: u32,
}

impl Watch {
    fn new(pace: Arc<Pace>) -> Self {
        Self {
            pace,
            line: Line::new(),
            moved: 0.0,
            correction: 0,
            long: 0,
            room: 0,
            calm: 0,
        }
    }

    fn on_moved(&mut self, samples: usize) {
        self.moved += samples as f64;
    }

    fn on_dropout(&mut self) {
        // What happens while a device starts says nothing of what will.
        if self.line.is_settled() {
            self.room = (self.room + MORE_ROOM).min(MOST_ROOM);
        }
        self.calm = 0;
        self.line.restart();
    }

    /// What should be to spare.
    fn least(&self) -> f64 {
        self.line.late().max(self.room as f64) + SPARE
    }

    /// Takes note of how much more is to spare than should be, none where that is not known; answers how much is to be
    /// dropped.
    fn see(&mut self, above: Option<f64>) -> usize {
        self.calm = self.calm.saturating_add(1);
        if self.calm > CALM && self.calm.is_multiple_of(LESS_EVERY) {
            self.room = self.room.saturating_sub(LESS_ROOM);
        }
        let Some(above) = above else {
            self.correction = 0;
            return 0;
        };
        self.long = if above > TOO_MUCH { self.long + 1 } else { 0 };
        if self.long >= WINDOW {
            self.long = 0;
            return (above - MIDDLE) as usize;
        }
        // What is begun goes on until the middle is reached.
        let (working, building) = (self.correction > 0, self.correction < 0);
        self.correction = match above {
            above if above < -LITTLE => -ORDINARY,
            above if above < 0.0 || building && above < MIDDLE => -GENTLE,
            above if above > MUCH => STRONG,
            above if above > BAND + LITTLE => ORDINARY,
            above if above > BAND || working && above > MIDDLE => GENTLE,
            _ => 0,
        };
        0
    }
}

/// How a microphone leads the steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lead {
    /// How much later than 10 ms the next step should come, in seconds; earlier, below nothing.
    pub(crate) later_s: f64,
    /// It is more than a bit, and all who follow the steps should follow at once.
    pub(crate) is_leap: bool,
}

/// From the microphone.
pub(crate) struct Capture {
    ring: Consumer<f32>,
    watch: Watch,
    primed: bool,
    /// It ran dry before it was known.
    uneven: bool,
    /// The steps have been brought to where they follow it.
    aligned: bool,
    /// How long before the steps the latest block came, in samples; none where they do not follow the device.
    led: Option<Span>,
}

impl Capture {
    pub(crate) fn new(ring: Consumer<f32>, pace: Arc<Pace>) -> Self {
        Self {
            ring,
            watch: Watch::new(pace),
            primed: false,
            uneven: false,
            aligned: false,
            led: None,
        }
    }

    /// Reads a frame; false, and silence in it, when there is not enough.
    pub(crate) fn read(&mut self, now: Instant, frame: &mut [f32; FRAME_SAMPLES]) -> bool {
        let mut waiting = self.ring.slots();
        let heard = self.watch.line.look(&self.watch.pace, now);
        let mut block = self.watch.line.block();
        let mut least = self.watch.least();
        let leads = self.leads();
        let since_block = self.watch.line.since_block();
        if let (Some(span), Some(_)) = (&mut self.led, heard.filter(|_| since_block >= 0.0)) {
            // A step that comes late sees the block after the one that was there when it was due; that tells nothing of it.
            span.see(since_block);
        }
        if let Some(span) = self.led.as_ref().filter(|_| leads) {
            // The steps wait for late blocks, so that nothing has to wait here for them.
            block = span.most().clamp(0.0, block);
            least = SPARE.max(self.watch.room as f64);
        }
        let mut enough = FRAME_SAMPLES + (least + block) as usize;
        // A device that gives several blocks at once runs dry as soon as it starts: until it is known, much has to wait.
        let uneven = self.uneven && !self.watch.line.is_settled();
        if heard.is_none() || uneven {
            enough = enough.max(PRIMING);
        }
        if waiting > FAR_TOO_MUCH + enough {
            self.drop_oldest(waiting - enough);
            waiting = enough;
        }
        // What would be left, had the next block just not come.
        let mut spare = heard.map(|heard| heard - self.watch.moved - FRAME_SAMPLES as f64 - block);
        let was_primed = self.primed;
        self.primed |= match spare {
            Some(spare) => spare >= least && waiting + block as usize >= enough,
            None => waiting >= enough,
        };
        if self.primed && !was_primed && !uneven {
            // What is too much is never noticed now.
            let above = spare.map_or(0.0, |spare| spare - least - MIDDLE);
            let dropped = (above.max(0.0) as usize).min(waiting.saturating_sub(LONGEST_FRAME));
            self.drop_oldest(dropped);
            spare = spare.map(|spare| spare - dropped as f64);
        }
        let count = FRAME_SAMPLES.saturating_add_signed(self.watch.correction);
        let mut samples = [0.0; LONGEST_FRAME];
        let taken = samples.get_mut(..count).unwrap_or_default();
        if !self.primed || self.ring.pop_entire_slice(taken).is_err() {
            if self.primed {
                self.uneven |= !self.watch.line.is_settled();
                self.watch.on_dropout();
            }
            self.primed = false;
            frame.fill(0.0);
            return false;
        }
        self.watch.on_moved(count);
        let drop = self.watch.see(spare.map(|spare| spare - least));
        self.drop_oldest(drop);
        stretch(taken, frame);
        true
    }

    /// When the next step should come. Who asks in every step follows the answers.
    pub(crate) fn lead(&mut self) -> Lead {
        let leads = self.leads();
        let span = self.led.get_or_insert_with(Span::new);
        if !self.primed || !leads || span.least() == f64::MAX {
            return Lead::default();
        }
        let off = self.watch.line.late() + SPARE - span.least();
        let rate = f64::from(SAMPLE_RATE_HZ);
        if !self.aligned && span.steps == ALIGNING && !self.watch.line.is_settled() {
            // At once, while hardly anything has been heard: what is brought there bit by bit changes the pitch of what is played.
            self.aligned = true;
            span.shift(off);
            return Lead {
                later_s: off / rate,
                is_leap: true,
            };
        }
        Lead {
            later_s: (off / rate * LEAD).clamp(-MOST_LEAD, MOST_LEAD),
            is_leap: false,
        }
    }

    /// Whether steps can come as long after each block as blocks are late, and before the next.
    fn leads(&self) -> bool {
        self.watch.line.late() + 1.5 * SPARE < self.watch.line.grain()
    }

    fn drop_oldest(&mut self, samples: usize) {
        if let Ok(chunk) = self.ring.read_chunk(samples) {
            chunk.commit_all();
            self.watch.on_moved(samples);
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
    /// Frames written, as far as they are counted.
    begun: u32,
    /// Frames that are not written, because too much is waiting.
    skip: usize,
    /// The steps come at another place: what waits is put right with the next frame.
    leapt: bool,
}

impl Playout {
    pub(crate) fn new(ring: Producer<f32>, pace: Arc<Pace>) -> Self {
        Self {
            ring,
            watch: Watch::new(pace),
            begun: 0,
            skip: 0,
            leapt: false,
        }
    }

    /// Writes a frame, unless the device has stopped taking any. The step for `now` is done by so much too `late`.
    pub(crate) fn write(&mut self, now: Instant, late: Duration, frame: &[f32; FRAME_SAMPLES]) {
        let waiting = self.waiting();
        if waiting > FAR_TOO_MUCH + self.watch.room + self.watch.line.block() as usize {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let played = self.watch.line.look(&self.watch.pace, now);
        // What happens while a device starts says nothing of what will.
        if self.watch.line.is_settled() {
            let late = late.as_secs_f64() * f64::from(SAMPLE_RATE_HZ);
            self.watch.line.on_late(late);
        }
        // What would be left, had the next block just been fetched, beyond what should be.
        let above = played.map(|played| self.watch.moved - played - self.watch.least());
        if self.begun == 0 {
            // What is put into the ring of a device that has not begun is only ever too much or too little.
            if above.is_none() {
                return;
            }
            self.begun = 1;
            self.fill_up(above);
        } else if waiting == 0 {
            // A dropout: the device takes more at a time than was waiting. The room is made at once, where
            // the sound is broken anyway.
            self.watch.on_dropout();
            let above = played.map(|played| self.watch.moved - played - self.watch.least());
            self.fill_up(above);
        } else {
            let drop = self.watch.see(above);
            self.begun = self.begun.saturating_add(1);
            let leapt = std::mem::take(&mut self.leapt);
            if let Some(above) = above {
                // Silence may have any length.
                let is_silent = frame.iter().all(|sample| *sample == 0.0);
                let count = (FRAME_SAMPLES as f64 + MIDDLE - above).clamp(0.0, MOST_AT_ONCE);
                if is_silent {
                    return self.silence(count as usize);
                }
                // As with the steps: at once, while hardly anything has been heard.
                let is_little = (-MIDDLE..BAND + LITTLE).contains(&above);
                if leapt || self.begun == PLACING && !is_little {
                    return self.put(frame, count as usize);
                }
            }
            self.skip = drop / FRAME_SAMPLES;
        }
        let count = FRAME_SAMPLES.saturating_sub_signed(self.watch.correction);
        self.put(frame, count);
    }

    /// The steps come at another place from now on.
    pub(crate) fn leap(&mut self) {
        self.leapt = true;
    }

    /// Writes a frame in so many samples.
    fn put(&mut self, frame: &[f32; FRAME_SAMPLES], count: usize) {
        let mut samples = [0.0; MOST_AT_ONCE as usize];
        let samples = samples.get_mut(..count).unwrap_or_default();
        stretch(frame, samples);
        if self.ring.push_entire_slice(samples).is_ok() {
            self.watch.on_moved(count);
        }
    }

    /// Writes the silence that is to wait before a frame.
    fn fill_up(&mut self, above: Option<f64>) {
        // A device that has stood still may fetch its first block at once, and its second just before the next frame.
        let missing = match above {
            Some(above) => MIDDLE - above,
            None => FRAME_SAMPLES as f64 + self.watch.least() + MIDDLE,
        };
        self.silence(missing.max(0.0) as usize);
    }

    fn silence(&mut self, samples: usize) {
        if let Ok(chunk) = self.ring.write_chunk(samples) {
            chunk.commit_all();
            self.watch.on_moved(samples);
        }
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

    const STEP: Duration = Duration::from_millis(10);

    /// A device in virtual time: `block` samples at a time, a clock that is off by `ppm`, and callbacks that are late by up
    /// to `late`.
    struct Card {
        block: usize,
        ppm: f64,
        late: f64,
        random: u64,
        /// Samples moved, and when the next callback is, in seconds.
        moved: usize,
        next: f64,
    }

    impl Card {
        fn new((ppm, block, late_ms): (f64, usize, f64)) -> Self {
            let mut card = Self {
                block,
                ppm,
                late: late_ms / 1e3,
                random: 0x9e37_79b9_7f4a_7c15,
                moved: 0,
                next: 0.0,
            };
            card.plan();
            card
        }

        fn rate(&self) -> f64 {
            48_000.0 * (1.0 + self.ppm / 1e6)
        }

        fn plan(&mut self) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let share = (self.random >> 11) as f64 / (1u64 << 53) as f64;
            let due = (self.moved + self.block) as f64 / self.rate() + self.late * share;
            // The clock of the test counts in microseconds, like that of a callback.
            self.next = due.max(self.next);
        }

        /// When its next callback is, if that is before `at`.
        fn callback(&mut self, at: f64) -> Option<f64> {
            (self.next <= at).then(|| {
                let now = self.next;
                self.moved += self.block;
                self.plan();
                now
            })
        }
    }

    /// Off by so many ppm, blocks of so many samples, callbacks late by up to so many ms.
    const CARDS: [(f64, usize, f64); 12] = [
        (0.0, 480, 0.0),
        (200.0, 480, 0.0),
        (-200.0, 480, 0.0),
        (300.0, 480, 2.0),
        (-300.0, 480, 2.0),
        (200.0, 240, 2.0),
        (-200.0, 240, 2.0),
        (200.0, 960, 3.0),
        (-200.0, 960, 3.0),
        (200.0, 1_104, 2.0),
        (-200.0, 1_104, 2.0),
        (-300.0, 1_024, 5.0),
    ];

    /// The steps of ten minutes: when each is in seconds, and as the pump has it.
    fn ten_minutes(start: Instant) -> impl Iterator<Item = (f64, Instant)> {
        (0..60_000u32).map(move |step| {
            let at = f64::from(step) * 0.01 + 0.003;
            (at, moment(start, at))
        })
    }

    fn moment(start: Instant, at: f64) -> Instant {
        start + Duration::from_secs_f64(at)
    }

    /// The least and the most of the delays in ms, after ten seconds, and what is right for the card.
    fn check(kind: &str, card: (f64, usize, f64), own: usize, missed: usize, mut delays: Vec<f64>) {
        delays.drain(..1_000);
        let least = delays.iter().copied().fold(f64::MAX, f64::min);
        let most = delays.iter().copied().fold(f64::MIN, f64::max);
        println!("{kind} {card:?}: {missed} missed, {least:.2} to {most:.2} ms");
        assert_eq!(missed, 0, "{kind} {card:?}");
        // What it takes of its own, the lateness of its callbacks, 1 ms at least of it, 1 ms to spare, 2 ms in which
        // nothing is done, and 1 ms for finding out.
        let right = own as f64 / 48.0 + card.2.max(1.0) + 1.0 + 2.0 + 1.0;
        assert!(most < right, "{kind} {card:?}: {most} ms and not {right}");
        assert!(most - least < 4.5, "{kind} {card:?}: {least} to {most} ms");
    }

    #[test]
    fn a_microphone_of_any_block_and_clock_is_heard_without_a_gap_and_hardly_later_than_its_block()
    {
        for kind in CARDS {
            let start = Instant::now();
            let pace = Arc::new(Pace::new(start));
            let (mut producer, consumer) = RingBuffer::new(48_000);
            let mut capture = Capture::new(consumer, Arc::clone(&pace));
            let mut card = Card::new(kind);
            let (mut missed, mut delays) = (0, Vec::new());
            for (at, now) in ten_minutes(start) {
                while let Some(at) = card.callback(at) {
                    producer.push_entire_slice(&vec![0.1; card.block]).unwrap();
                    pace.tell(card.block, card.block, moment(start, at));
                }
                let heard = capture.read(now, &mut [0.0; FRAME_SAMPLES]);
                missed += usize::from(!heard && at > 0.5);
                // How long ago the last sample of the frame was said.
                let taken = card.moved - capture.waiting();
                delays.push((at - taken as f64 / card.rate()) * 1e3);
            }
            check("microphone", kind, kind.1, missed, delays);
        }
    }

    #[test]
    fn steps_that_follow_a_microphone_come_just_after_its_callbacks() {
        for kind in CARDS {
            let start = Instant::now();
            let pace = Arc::new(Pace::new(start));
            let (mut producer, consumer) = RingBuffer::new(48_000);
            let mut capture = Capture::new(consumer, Arc::clone(&pace));
            let mut card = Card::new(kind);
            let (mut missed, mut delays) = (0, Vec::new());
            // Just before a callback, where it takes longest to get from.
            let mut step = 0.009_9;
            while step < 600.0 {
                while let Some(at) = card.callback(step) {
                    producer.push_entire_slice(&vec![0.1; card.block]).unwrap();
                    pace.tell(card.block, card.block, moment(start, at));
                }
                let heard = capture.read(moment(start, step), &mut [0.0; FRAME_SAMPLES]);
                missed += usize::from(!heard && step > 0.5);
                let taken = card.moved - capture.waiting();
                delays.push((step - taken as f64 / card.rate()) * 1e3);
                step += 0.01 + capture.lead().later_s;
            }
            // All but what blocks and steps have in common, and the steps wait as long as blocks are late.
            let own = kind.1 - common(kind.1, FRAME_SAMPLES) + 48 + (kind.2 * 24.0) as usize;
            check("led", kind, own, missed, delays);
        }
    }

    /// What is moved later changes the pitch of all that is heard then.
    #[test]
    fn a_microphone_is_followed_from_the_start_and_not_bit_by_bit() {
        for place in [0.000_5, 0.004, 0.009_9] {
            let start = Instant::now();
            let pace = Arc::new(Pace::new(start));
            let (mut producer, consumer) = RingBuffer::new(48_000);
            let mut capture = Capture::new(consumer, Arc::clone(&pace));
            let mut card = Card::new((0.0, 480, 0.0));
            let (mut step, mut later) = (place, 0.0);
            for n in 0..500 {
                while let Some(at) = card.callback(step) {
                    producer.push_entire_slice(&[0.1; 480]).unwrap();
                    pace.tell(480, 480, moment(start, at));
                }
                capture.read(moment(start, step), &mut [0.0; FRAME_SAMPLES]);
                let lead = capture.lead().later_s;
                if n > 20 {
                    later += f64::abs(lead);
                }
                step += 0.01 + lead;
            }
            assert!(later < 0.000_5, "{place}: {later}");
        }
    }

    /// A machine that is busy: each tenth step is done 4 ms after it was due, when the next block is there already.
    #[test]
    fn steps_that_are_done_late_do_not_run_away_from_the_microphone() {
        for kind in CARDS.into_iter().filter(|(_, block, _)| 480 % block == 0) {
            let start = Instant::now();
            let pace = Arc::new(Pace::new(start));
            let (mut producer, consumer) = RingBuffer::new(48_000);
            let mut capture = Capture::new(consumer, Arc::clone(&pace));
            let mut card = Card::new(kind);
            let (mut missed, mut step, mut led) = (0, 0.009_9, 0.0);
            for n in 0..60_000 {
                let done = if n % 10 == 9 { step + 0.004 } else { step };
                while let Some(at) = card.callback(done) {
                    producer.push_entire_slice(&vec![0.1; card.block]).unwrap();
                    pace.tell(card.block, card.block, moment(start, at));
                }
                let heard = capture.read(moment(start, step), &mut [0.0; FRAME_SAMPLES]);
                let lead = capture.lead().later_s;
                if n > 1_000 {
                    missed += usize::from(!heard);
                    led += lead;
                }
                step += 0.01 + lead;
            }
            println!("late {kind:?}: {missed} missed, led by {:.2} ms", led * 1e3);
            assert_eq!(missed, 0, "{kind:?}");
            // Over ten minutes the clocks are apart by so much.
            let apart = -kind.0 * 1e-6 * 600.0;
            assert!(
                (led - apart).abs() < 0.02,
                "{kind:?}: {led} and not {apart}"
            );
        }
    }

    /// A card of 44.1 kHz gives 239 samples and 240 in turn: two of them are almost a step, and no step follows them.
    #[test]
    fn blocks_that_are_almost_of_a_steps_length_are_not_followed() {
        let start = Instant::now();
        let pace = Arc::new(Pace::new(start));
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer, Arc::clone(&pace));
        let (mut callbacks, mut given, mut step, mut led) = (0u32, 0usize, 0.009_9, 0.0);
        for n in 0..6_000 {
            while f64::from(callbacks + 1) * 220.0 / 44_100.0 <= step {
                callbacks += 1;
                let block = (f64::from(callbacks) * 220.0 * 480.0 / 441.0) as usize - given;
                given += block;
                producer.push_entire_slice(&vec![0.1; block]).unwrap();
                pace.tell(
                    block,
                    block,
                    moment(start, f64::from(callbacks) * 220.0 / 44_100.0),
                );
            }
            capture.read(moment(start, step), &mut [0.0; FRAME_SAMPLES]);
            let lead = capture.lead().later_s;
            if n > 1_000 {
                led += lead;
            }
            step += 0.01 + lead;
        }
        assert_eq!(led, 0.0);
    }

    /// A server that works in blocks of 21 ms hands over several of the small ones that it was asked for at once.
    #[test]
    fn a_microphone_that_gives_several_blocks_at_once_has_one_gap_at_its_start() {
        let start = Instant::now();
        let pace = Arc::new(Pace::new(start));
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer, Arc::clone(&pace));
        let (mut told, mut gaps, mut before) = (0u32, 0, false);
        for n in 0..1_000u32 {
            let step = f64::from(n) * 0.01 + 0.003;
            // What has been made by the end of the latest large block, in small ones.
            let made = (step * 48_000.0 / 1_024.0).floor() * 1_024.0 / 240.0;
            while f64::from(told + 1) <= made {
                told += 1;
                let at = (f64::from(told) * 240.0 / 1_024.0).ceil() * 1_024.0 / 48_000.0;
                producer.push_entire_slice(&[0.1; 240]).unwrap();
                pace.tell(240, 240, moment(start, at));
            }
            let heard = capture.read(moment(start, step), &mut [0.0; FRAME_SAMPLES]);
            capture.lead();
            gaps += u32::from(before && !heard);
            before = heard;
        }
        println!("{gaps} gaps");
        assert!(gaps <= 2, "{gaps}");
    }

    /// The greatest common divisor.
    fn common(one: usize, other: usize) -> usize {
        if other == 0 {
            one
        } else {
            common(other, one % other)
        }
    }

    #[test]
    fn a_speaker_of_any_block_and_clock_plays_without_a_gap_and_hardly_later_than_its_block() {
        for kind in CARDS {
            let start = Instant::now();
            let pace = Arc::new(Pace::new(start));
            let (producer, mut consumer) = RingBuffer::new(48_000);
            let mut playout = Playout::new(producer, Arc::clone(&pace));
            let mut card = Card::new(kind);
            let (mut missed, mut delays) = (0, Vec::new());
            for (at, now) in ten_minutes(start) {
                while let Some(at) = card.callback(at) {
                    let mut samples = vec![0.0; card.block];
                    let (got, rest) = consumer.pop_partial_slice(&mut samples);
                    missed += usize::from(!rest.is_empty() && at > 0.5);
                    pace.tell(got.len(), card.block, moment(start, at));
                }
                // From when a frame is written to when the card has use for its first sample.
                let before = playout.waiting() + card.moved;
                playout.write(now, Duration::ZERO, &[0.1; FRAME_SAMPLES]);
                delays.push((before as f64 / card.rate() - at) * 1e3);
            }
            // A block is fetched before it is played.
            check("speaker", kind, 0, missed, delays);
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
        // The room is given back: a minute of calm and then 2 ms in each 5 s.
        assert!(minutes[9].1 < 1_440, "{minutes:?}");
    }

    #[test]
    fn a_microphone_that_is_held_up_again_and_again_gets_the_room_it_needs() {
        let (start, pace) = (Instant::now(), Arc::<Pace>::default());
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer, Arc::clone(&pace));
        let (mut made, mut heard) = (0, false);
        let minutes = held_up(|tick, done| {
            let now = start + STEP * tick;
            while made < done {
                let _ = producer.push_entire_slice(&[0.1; 480]);
                pace.tell(480, 480, now);
                made += 480;
            }
            let was_heard = heard;
            heard = capture.read(now, &mut [0.0; FRAME_SAMPLES]);
            // A gap may have several frames: room is made while nothing is heard anyway.
            let gap = was_heard && !heard && tick > 200;
            (usize::from(gap), capture.waiting())
        });
        check_held_up(&minutes);
    }

    #[test]
    fn a_speaker_that_is_served_late_again_and_again_gets_the_room_it_needs() {
        let (start, pace) = (Instant::now(), Arc::<Pace>::default());
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer, Arc::clone(&pace));
        let (mut written, mut taken) = (0, 0);
        // The pump is held up here, and the device goes on.
        let minutes = held_up(|tick, done| {
            let now = start + STEP * tick;
            while written < done {
                let due = start + STEP * (written as u32 / 480);
                let late = now.saturating_duration_since(due);
                playout.write(due, late, &[0.1; FRAME_SAMPLES]);
                written += 480;
            }
            let mut missed = 0;
            while taken < tick as usize * 480 {
                let mut samples = [0.0; 480];
                let (got, rest) = consumer.pop_partial_slice(&mut samples);
                missed += usize::from(!rest.is_empty());
                pace.tell(got.len(), 480, now);
                taken += 480;
            }
            (if tick > 200 { missed } else { 0 }, playout.waiting())
        });
        check_held_up(&minutes);
    }

    #[test]
    fn a_device_that_stands_still_does_not_build_up_delay() {
        let (start, pace) = (Instant::now(), Arc::<Pace>::default());
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer, Arc::clone(&pace));
        pace.tell(0, 480, start);
        for step in 0..1_000 {
            playout.write(start + STEP * step, Duration::ZERO, &[0.1; FRAME_SAMPLES]);
        }
        let waiting = playout.waiting();
        let bound = FAR_TOO_MUCH..FAR_TOO_MUCH + 1_440;
        assert!(bound.contains(&waiting), "{waiting}");
        let mut all = vec![0.0; playout.waiting()];
        consumer.pop_entire_slice(&mut all).unwrap();
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut capture = Capture::new(consumer, Arc::default());
        producer.push_entire_slice(&vec![0.0; 40_000]).unwrap();
        assert!(capture.read(start, &mut [0.0; FRAME_SAMPLES]));
        assert!(capture.waiting() < PRIMING);
    }

    #[test]
    fn what_a_slow_start_leaves_behind_is_gone_a_second_later() {
        let (start, pace) = (Instant::now(), Arc::<Pace>::default());
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer, Arc::clone(&pace));
        pace.tell(0, 480, start);
        for step in 0..150 {
            playout.write(start + STEP * step, Duration::ZERO, &[0.1; FRAME_SAMPLES]);
        }
        assert!(playout.waiting() > 5_000, "it is not served for a while");
        for step in 150..250 {
            playout.write(start + STEP * step, Duration::ZERO, &[0.1; FRAME_SAMPLES]);
            let mut samples = [0.0; 480];
            let got = consumer.pop_partial_slice(&mut samples).0.len();
            pace.tell(got, 480, start + STEP * step);
        }
        let waiting = playout.waiting();
        assert!((1..2_400).contains(&waiting), "{waiting}");
    }

    /// Neither a click nor a wrong pitch is heard for it: what is too much goes while there is nothing to hear.
    #[test]
    fn too_much_and_too_little_are_put_right_at_once_where_it_is_silent() {
        let (start, pace) = (Instant::now(), Arc::<Pace>::default());
        let (producer, mut consumer) = RingBuffer::new(48_000);
        let mut playout = Playout::new(producer, Arc::clone(&pace));
        let mut step = 0;
        let mut run = |playout: &mut Playout, steps: u32, level: f32, fetches: bool| {
            let mut played = Vec::new();
            for _ in 0..steps {
                let now = start + STEP * step;
                playout.write(now, Duration::ZERO, &[level; FRAME_SAMPLES]);
                if fetches {
                    let mut samples = [0.0; 480];
                    let got = consumer.pop_partial_slice(&mut samples).0.len();
                    pace.tell(got, 480, now);
                    played.extend_from_slice(&samples);
                }
                step += 1;
            }
            played
        };
        run(&mut playout, 100, 0.0, true);
        // The device stands still for 60 ms.
        run(&mut playout, 6, 0.0, false);
        assert!(playout.waiting() > 2_400);
        run(&mut playout, 10, 0.0, true);
        let waiting = playout.waiting();
        assert!(waiting < 960, "{waiting}");
        let played = run(&mut playout, 100, 0.5, true);
        assert_eq!(playout.watch.correction, 0);
        assert!(played[960..].iter().all(|sample| *sample == 0.5));
    }

    /// What is put right in one frame is not heard as another pitch for seconds.
    #[test]
    fn a_speaker_follows_steps_that_leap_with_the_next_frame() {
        for earlier in [false, true] {
            let (start, pace) = (Instant::now(), Arc::<Pace>::default());
            let (producer, mut consumer) = RingBuffer::new(48_000);
            let mut playout = Playout::new(producer, Arc::clone(&pace));
            let leap = Duration::from_millis(4);
            let mut corrected = 0;
            for step in 0..300 {
                // The device goes on as ever: its callbacks come 5 ms after the steps at first.
                let at = start + STEP * step + leap;
                let now = match step {
                    ..100 => at,
                    _ if earlier => at - leap,
                    _ => at + leap,
                };
                if step == 100 {
                    playout.leap();
                }
                playout.write(now, Duration::ZERO, &[0.5; FRAME_SAMPLES]);
                if step > 101 {
                    corrected += usize::from(playout.watch.correction != 0);
                }
                let got = consumer.pop_partial_slice(&mut [0.0; 480]).0.len();
                pace.tell(got, 480, start + STEP * step + leap + STEP / 2);
            }
            assert_eq!(corrected, 0, "earlier: {earlier}");
        }
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
