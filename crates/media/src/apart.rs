//! What is done to the microphone's sound, on a thread of its own and in step with the pump.
//!
//! ```text
//!  media          begin ─► hear: decode, mix ─► finish ─► speak: encode, send ─► what is played is kept ─┐
//!                   │                             ▲                                                     │
//!                   ▼ the frame, and what was     │ the same frame, at most 5 ms                        │
//!  tipring-voice    Voice: far end, near end ─────┘ after it is needed                                  │
//!                   ▲ played in the step before ◄───────────────────────────────────────────────────────┘
//! ```
//!
//! The crate that does the work allocates about a hundred times for each frame, and the pump must not. So frames go to another
//! thread by a ring and come back by one; each side wakes the other by an unpark, and nobody takes a lock. The result is
//! that of the same step, so no sound is later than if the pump did it itself, and the order is the same: a frame from the
//! microphone, what the loudspeaker plays, the next frame.
//!
//! Where nothing is to be done for a while the thread sleeps, with all that it knows of the room.
//!
//! Frames have numbers. One that is not back in time is done without: there is silence, led into and out of. When it comes it is
//! thrown away, and the next one is waited for; so nothing becomes later by it. Who is late for too long is given up
//! as if it had failed: sound passes as it comes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread::{Builder, Thread};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::FRAME_SAMPLES;
use crate::pump::Common;
use crate::voice::{Processing, Voice};

/// What the system calls the thread.
pub(crate) const NAME: &str = "tipring-voice";

/// How long a frame is waited for once it is needed: half a step. The rest is enough to encode and send by, so the next step is
/// not late for it; and 0.4 ms is what it takes where it has the processor.
const PATIENCE: Duration = Duration::from_millis(5);

/// Frames that may wait for a thread that does not get on, 160 ms; it is through with them in less than a step then. Further ones
/// are left out, with what was played meanwhile, so that each still has the other.
const JOBS: usize = 16;

/// In so many frames a [change](Voice::change) is over: one in which sound fades out, one in which it comes back.
const FADES: u8 = 2;

/// A late frame counts for so many that are in time, and with so many points it is given up: after a second in which each was
/// late, or a longer time with more than one in five.
const LATE: u32 = 4;
const MOST_LATE: u32 = 100 * LATE;

type Frame = [f32; FRAME_SAMPLES];

/// Who works on the microphone's frames, and where.
#[derive(Debug)]
pub(crate) enum Processor {
    /// On the thread that steps the pump: for whoever steps it by hand and wants the same each time, and where there is no
    /// thread.
    Here(Box<Voice>),
    Apart(Box<Apart>),
}

impl Processor {
    /// On a thread of its own, or here where the system gives none: an echo is worse for the peer than what the pump allocates
    /// then. `pump` is the thread to be woken.
    pub(crate) fn apart(voice: Box<Voice>, pump: Thread, common: &Arc<Common>) -> Self {
        Self::on(Builder::new(), voice, pump, common)
    }

    fn on(thread: Builder, voice: Box<Voice>, pump: Thread, common: &Arc<Common>) -> Self {
        match Apart::start(thread, voice, pump, common) {
            Ok(apart) => Self::Apart(Box::new(apart)),
            Err((error, voice)) => {
                tracing::warn!(%error, "no thread for the microphone's sound, it is processed on the pump's");
                Self::Here(voice)
            }
        }
    }

    /// Begins with 10 ms from the microphone; see [`Voice::near_end`]. Once for each [`finish`](Self::finish).
    pub(crate) fn begin(&mut self, frame: &mut Frame, waiting_ms: u64) {
        match self {
            Self::Here(voice) => voice.near_end(frame, waiting_ms),
            Self::Apart(apart) => apart.begin(frame, waiting_ms),
        }
    }

    /// Puts what became of them in their place.
    pub(crate) fn finish(&mut self, frame: &mut Frame) -> Finished {
        match self {
            Self::Here(_) => Finished::default(),
            Self::Apart(apart) => apart.finish(frame),
        }
    }

    /// Does something else from here on; see [`Voice::change`].
    pub(crate) fn change(&mut self, processing: Processing) {
        match self {
            Self::Here(voice) => voice.change(processing),
            Self::Apart(apart) => apart.change(processing),
        }
    }

    /// Takes note of 10 ms that go to the loudspeaker; see [`Voice::far_end`].
    pub(crate) fn play(&mut self, frame: &Frame) {
        match self {
            Self::Here(voice) => voice.far_end(frame),
            Self::Apart(apart) => apart.played = Some(*frame),
        }
    }

    /// Whether sound passes as it comes.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Here(voice) => voice.has_failed(),
            Self::Apart(apart) => apart.failed,
        }
    }
}

/// How it went with one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    /// It did not come back in time.
    pub(crate) late: bool,
    /// How long the pump has waited for it.
    pub(crate) waited: Duration,
}

/// The pump's end. Dropping it ends the thread, after the frame that it works on; nobody waits for that.
#[derive(Debug)]
pub(crate) struct Apart {
    jobs: Producer<Job>,
    done: Consumer<Done>,
    thread: Thread,
    over: Arc<AtomicBool>,
    processing: Processing,
    /// How many frames are still sent where nothing is to be done: until that has been faded into.
    rest: u8,
    /// How many frames there were.
    number: u64,
    sent: Sent,
    /// What was played since the last frame.
    played: Option<Frame>,
    patience: Duration,
    points: u32,
    failed: bool,
    bridge: Bridge,
}

/// What became of the frame of this step.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// None is worked on any more.
    No,
    Yes,
    /// There was no room for it.
    Lost,
}

#[derive(Debug)]
struct Job {
    number: u64,
    processing: Processing,
    /// First this.
    played: Option<Frame>,
    frame: Frame,
    waiting_ms: u64,
}

#[derive(Debug)]
struct Done {
    number: u64,
    frame: Frame,
    failed: bool,
}

impl Apart {
    /// # Errors
    /// The system gives no thread.
    fn start(
        thread: Builder,
        voice: Box<Voice>,
        pump: Thread,
        common: &Arc<Common>,
    ) -> Result<Self, (io::Error, Box<Voice>)> {
        let processing = voice.processing();
        let mut apart = Self::start_with(thread, pump, common, voice, |voice, job| {
            voice.change(job.processing);
            if let Some(played) = &job.played {
                voice.far_end(played);
            }
            voice.near_end(&mut job.frame, job.waiting_ms);
            voice.has_failed()
        })?;
        apart.processing = processing;
        Ok(apart)
    }

    /// The same with any `work` by means of a `state`; it tells whether it has failed.
    fn start_with<S: Send + 'static>(
        thread: Builder,
        pump: Thread,
        common: &Arc<Common>,
        state: S,
        work: impl FnMut(&mut S, &mut Job) -> bool + Send + 'static,
    ) -> Result<Self, (io::Error, S)> {
        let (jobs, jobs_out) = RingBuffer::new(JOBS);
        // And the one that is worked on.
        let (done, done_out) = RingBuffer::new(JOBS + 1);
        let over = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            jobs: jobs_out,
            done,
            over: Arc::clone(&over),
            pump: Waking(pump),
        };
        // It gets its state when it is there: without a thread that is still ours.
        let (give, given) = mpsc::channel();
        let (running, runs) = mpsc::channel();
        let common = Arc::clone(common);
        let started = thread.name(NAME.to_owned()).spawn(move || {
            let number = crate::thread_number().unwrap_or_default();
            common.voice_thread.store(number, Relaxed);
            let _ = running.send(());
            if let Ok(state) = given.recv() {
                worker.run(state, work);
            }
            // Another may be there meanwhile.
            let _ = common
                .voice_thread
                .compare_exchange(number, 0, Relaxed, Relaxed);
        });
        let thread = match started {
            Ok(handle) => handle.thread().clone(),
            Err(error) => return Err((error, state)),
        };
        // Its number is known from here on.
        let _ = runs.recv();
        let _ = give.send(state);
        Ok(Self {
            jobs,
            done: done_out,
            thread,
            over,
            processing: Processing::ALL,
            rest: FADES,
            number: 0,
            sent: Sent::No,
            played: None,
            patience: PATIENCE,
            points: 0,
            failed: false,
            bridge: Bridge::default(),
        })
    }

    fn change(&mut self, processing: Processing) {
        if self.processing != processing {
            self.processing = processing;
            self.rest = FADES;
        }
    }

    fn begin(&mut self, frame: &Frame, waiting_ms: u64) {
        if self.processing == Processing::NONE {
            // Nobody is woken for nothing.
            let left = self.rest.checked_sub(1);
            self.rest = left.unwrap_or_default();
            if left.is_none() {
                self.played = None;
                self.sent = Sent::No;
                return;
            }
        }
        if self.failed {
            self.sent = Sent::No;
            return;
        }
        self.number += 1;
        let job = Job {
            number: self.number,
            processing: self.processing,
            played: self.played.take(),
            frame: *frame,
            waiting_ms,
        };
        self.sent = match self.jobs.push(job) {
            Ok(()) => Sent::Yes,
            Err(_) => Sent::Lost,
        };
        self.thread.unpark();
    }

    fn finish(&mut self, frame: &mut Frame) -> Finished {
        if self.sent == Sent::No {
            self.bridge.lead_out(frame);
            return Finished::default();
        }
        let began = Instant::now();
        let done = self.wait(began);
        let finished = Finished {
            late: done.is_none() && !self.failed,
            waited: began.elapsed(),
        };
        if let Some(done) = done {
            *frame = done;
        }
        if finished.late {
            self.points += LATE;
            self.failed = self.points >= MOST_LATE;
            self.bridge.lead_in(frame);
        } else {
            self.points = self.points.saturating_sub(1);
            self.bridge.lead_out(frame);
        }
        finished
    }

    /// The frame of this step, if it comes back in time.
    fn wait(&mut self, began: Instant) -> Option<Frame> {
        loop {
            // Before the look at what there is: it may have left something behind.
            let gone = self.done.is_abandoned();
            while let Ok(done) = self.done.pop() {
                self.failed |= done.failed;
                // What is older came too late.
                if done.number == self.number {
                    return Some(done.frame);
                }
            }
            self.failed |= gone;
            if gone || self.sent == Sent::Lost {
                return None;
            }
            let left = self.patience.checked_sub(began.elapsed())?;
            if left.is_zero() {
                return None;
            }
            std::thread::park_timeout(left);
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        self.thread.unpark();
    }
}

/// The other end.
struct Worker {
    jobs: Consumer<Job>,
    done: Producer<Done>,
    over: Arc<AtomicBool>,
    /// The last, so that whoever waits is woken when the rest is gone.
    pump: Waking,
}

/// Wakes it once more when this ends, by a fault, too.
struct Waking(Thread);

impl Drop for Waking {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Worker {
    fn run<S>(mut self, mut state: S, mut work: impl FnMut(&mut S, &mut Job) -> bool) {
        while !self.over.load(Relaxed) {
            let Ok(mut job) = self.jobs.pop() else {
                std::thread::park();
                continue;
            };
            let failed = work(&mut state, &mut job);
            // There is room for all that can be under way; what there is none for is late.
            let _ = self.done.push(Done {
                number: job.number,
                frame: job.frame,
                failed,
            });
            self.pump.0.unpark();
        }
    }
}

/// Leads into silence and out of it.
#[derive(Debug)]
struct Bridge {
    last: Frame,
    silent: bool,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            last: [0.0; FRAME_SAMPLES],
            silent: false,
        }
    }
}

impl Bridge {
    /// In place of a frame that is missing: the one before it backwards, which begins where that ended, fading; then nothing.
    fn lead_in(&mut self, frame: &mut Frame) {
        let gain = |n: usize| 1.0 - (n + 1) as f32 / FRAME_SAMPLES as f32;
        *frame = std::array::from_fn(|n| {
            let before = self.last.get(FRAME_SAMPLES - 1 - n);
            before.copied().unwrap_or(0.0) * gain(n)
        });
        (self.last, self.silent) = ([0.0; FRAME_SAMPLES], true);
    }

    /// A frame that is there: the first one after silence comes up from it.
    fn lead_out(&mut self, frame: &mut Frame) {
        if std::mem::take(&mut self.silent) {
            for (n, sample) in frame.iter_mut().enumerate() {
                *sample *= (n + 1) as f32 / FRAME_SAMPLES as f32;
            }
        }
        self.last = *frame;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What takes no time but that of a busy machine.
    const SOON: Duration = Duration::from_secs(20);

    fn voice() -> Box<Voice> {
        Box::new(Voice::new(Processing::ALL).expect("there is something to do"))
    }

    fn start(voice: Box<Voice>, common: &Arc<Common>) -> Apart {
        let started = Apart::start(Builder::new(), voice, std::thread::current(), common);
        // Not the machine is tested.
        let mut apart = started.expect("there is a thread");
        apart.patience = SOON;
        apart
    }

    /// A worker that turns the sign of a frame for each word that it is sent, and tells whose frames it had: of which step the
    /// sound was, and of which step what was played.
    struct Led {
        apart: Apart,
        go: mpsc::Sender<()>,
        had: mpsc::Receiver<(f32, Option<f32>)>,
        /// Frames that it has not been let do.
        behind: usize,
    }

    impl Led {
        fn new() -> Self {
            let (go, goes) = mpsc::channel::<()>();
            let (tell, had) = mpsc::channel();
            let work = move |goes: &mut mpsc::Receiver<()>, job: &mut Job| {
                let _ = goes.recv();
                let _ = tell.send((job.frame[0], job.played.map(|played| played[0])));
                job.frame = turned(job.frame);
                false
            };
            let pump = std::thread::current();
            let started =
                Apart::start_with(Builder::new(), pump, &Arc::new(Common::new()), goes, work);
            let apart = started.map_err(|(error, _)| error);
            Self {
                apart: apart.expect("there is a thread"),
                go,
                had,
                behind: 0,
            }
        }

        /// A step in which it is let do all that it has to, …
        fn in_time(&mut self, frame: Frame) -> (Frame, Finished) {
            self.apart.patience = SOON;
            for _ in 0..=std::mem::take(&mut self.behind) {
                self.go.send(()).expect("it is there");
            }
            self.step(frame)
        }

        /// … and one in which it is not.
        fn late(&mut self, frame: Frame) -> (Frame, Finished) {
            self.apart.patience = Duration::ZERO;
            self.behind += 1;
            self.step(frame)
        }

        fn step(&mut self, mut frame: Frame) -> (Frame, Finished) {
            self.apart.begin(&frame, 0);
            let finished = self.apart.finish(&mut frame);
            (frame, finished)
        }
    }

    fn sine(step: usize) -> Frame {
        std::array::from_fn(|n| 0.5 * ((step * FRAME_SAMPLES + n) as f32 * 0.003).sin())
    }

    fn turned(frame: Frame) -> Frame {
        frame.map(|sample| -sample)
    }

    fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < SOON, "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_comes_back_is_sample_for_sample_what_it_would_be_here() {
        let mut there = Processor::Apart(Box::new(start(voice(), &Arc::new(Common::new()))));
        let mut here = Processor::Here(voice());
        let mut random = 1u32;
        let mut noise = |gain: f32| -> Frame {
            std::array::from_fn(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                gain * ((random >> 8) as f32 / (1 << 24) as f32 - 0.5)
            })
        };
        let mut echo = [0.0; FRAME_SAMPLES];
        let (mut there_took, mut here_took) = (Duration::ZERO, Duration::ZERO);
        let echo_alone = Processing {
            echo: true,
            ..Processing::NONE
        };
        for step in 0..400 {
            let change = match step {
                100 => Some(echo_alone),
                200 => Some(Processing::NONE),
                260 => Some(Processing::ALL),
                _ => None,
            };
            if let Some(processing) = change {
                there.change(processing);
                here.change(processing);
            }
            // Somebody speaks now and then, into what the loudspeaker plays.
            let said = noise(if step % 60 < 30 { 0.4 } else { 0.01 });
            let mut one: Frame = std::array::from_fn(|n| said[n] + 0.3 * echo[n]);
            let mut other = one;
            let played = echo;
            let run = |processor: &mut Processor, frame: &mut Frame| {
                let began = Instant::now();
                if step > 0 {
                    processor.play(&played);
                }
                processor.begin(frame, step % 50);
                let finished = processor.finish(frame);
                (finished.late, began.elapsed())
            };
            let (late, took) = run(&mut there, &mut one);
            there_took += took;
            assert!(!late);
            here_took += run(&mut here, &mut other).1;
            assert_eq!(one, other, "step {step}");
            echo = noise(if step % 90 < 70 { 0.5 } else { 0.0 });
        }
        assert!(!there.has_failed() && !here.has_failed());
        println!(
            "10 ms took {:?} here, and {:?} there and back",
            here_took / 400,
            there_took / 400
        );
    }

    #[test]
    fn nobody_is_woken_where_nothing_is_to_be_done() {
        let mut led = Led::new();
        led.in_time(sine(0));
        led.apart.change(Processing::NONE);
        // Fading takes two frames.
        for step in [1, 2] {
            assert_eq!(led.in_time(sine(step)).0, turned(sine(step)));
        }
        for step in 3..20 {
            assert_eq!(led.step(sine(step)).0, sine(step));
            led.apart.played = Some(sine(step));
        }
        assert_eq!(led.had.try_iter().count(), 3);
        led.apart.change(Processing::ALL);
        assert_eq!(led.in_time(sine(20)).0, turned(sine(20)));
        // Of what was played it has what belongs to this frame, and no more.
        let had: Vec<_> = led.had.try_iter().collect();
        assert_eq!(had, [(sine(20)[0], Some(sine(19)[0]))]);
    }

    #[test]
    fn what_is_late_is_thrown_away_and_makes_nothing_later() {
        let mut led = Led::new();
        let mut heard = Vec::new();
        for step in 0..20 {
            let is_late = [5, 6, 7, 12].contains(&step);
            let (frame, finished) = if is_late {
                led.late(sine(step))
            } else {
                led.in_time(sine(step))
            };
            assert_eq!(finished.late, is_late, "step {step}");
            heard.extend(frame);
            match step {
                6 | 7 => assert_eq!(frame, [0.0; FRAME_SAMPLES]),
                // Led out of silence at the first, it is the frame of its own step.
                8 | 13 => assert_eq!(frame.last(), turned(sine(step)).last()),
                5 | 12 => assert_eq!(frame.last(), Some(&0.0)),
                _ => assert_eq!(frame, turned(sine(step)), "step {step}"),
            }
        }
        // The sine moves by 0.0015 from sample to sample, and leading it in or out adds 0.001.
        let moves = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        let most = moves.fold(0.0, f32::max);
        assert!(most < 0.003, "it clicks: {most}");
        assert!(!led.apart.failed);
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out_with_what_was_played_before_it() {
        let mut led = Led::new();
        let steps = JOBS + 10;
        for step in 0..steps {
            assert!(led.late([step as f32; FRAME_SAMPLES]).1.late);
            led.apart.played = Some([step as f32 + 0.5; FRAME_SAMPLES]);
        }
        // It may have taken one out of the ring before that was full.
        led.behind = JOBS + 1;
        drop(std::mem::replace(&mut led.go, mpsc::channel().0));
        wait_until("it gets on", || led.apart.jobs.slots() == JOBS);
        let last = [steps as f32; FRAME_SAMPLES];
        led.apart.patience = SOON;
        assert_eq!(led.step(last).0.last(), turned(last).last());
        let had: Vec<_> = led.had.try_iter().collect();
        assert!((JOBS + 1..=JOBS + 2).contains(&had.len()), "{had:?}");
        for (said, played) in had {
            // Each had what was played in the step before it, and the first had nothing before it.
            assert_eq!(played, (said > 0.0).then_some(said - 0.5));
        }
    }

    #[test]
    fn who_does_not_come_back_is_given_up_and_sound_passes() {
        let mut led = Led::new();
        for step in 0..100 {
            assert!(!led.apart.failed, "step {step}");
            assert!(led.late(sine(step)).1.late, "step {step}");
        }
        assert!(led.apart.failed);
        let (frame, finished) = led.late(sine(100));
        assert_eq!(finished, Finished::default());
        assert_eq!(frame.last(), sine(100).last());
        assert_eq!(led.late(sine(101)).0, sine(101));
        // What it does after all is nothing to anybody.
        assert_eq!(led.in_time(sine(102)).0, sine(102));
    }

    /// How many steps it takes until it is given up, when one of so many is late.
    fn given_up_after(one_of: usize) -> Option<usize> {
        let mut led = Led::new();
        (0..2_000).find(|step| {
            if step % one_of == 0 {
                led.late(sine(*step));
            } else {
                led.in_time(sine(*step));
            }
            led.apart.failed
        })
    }

    #[test]
    fn who_is_late_more_often_than_one_time_in_five_is_given_up_in_the_end() {
        assert_eq!(given_up_after(5), None);
        // One point more each four steps, three of which are lost again before the next; the last four come at once.
        assert_eq!(given_up_after(4), Some(396 * 4));
        assert_eq!(given_up_after(1), Some(99));
    }

    #[test]
    fn a_fault_of_the_work_or_of_its_thread_lets_sound_pass_as_it_comes() {
        let mut faulty = voice();
        faulty.fault = true;
        let mut apart = start(faulty, &Arc::new(Common::new()));
        let died = |_: &mut (), _: &mut Job| -> bool { panic!("told to fail") };
        let pump = std::thread::current();
        let common = Arc::new(Common::new());
        let dead = Apart::start_with(Builder::new(), pump, &common, (), died);
        let mut dead = dead.expect("there is a thread");
        dead.patience = SOON;
        for step in 0..3 {
            for apart in [&mut apart, &mut dead] {
                let mut frame = sine(step);
                apart.begin(&frame, 0);
                assert!(!apart.finish(&mut frame).late);
                assert_eq!(frame, sine(step));
                assert!(apart.failed);
            }
        }
    }

    #[test]
    fn its_thread_ends_with_it_and_is_known_until_then() {
        let common = Arc::new(Common::new());
        let number = || common.voice_thread.load(Relaxed);
        let first = start(voice(), &common);
        let before = number();
        let second = start(voice(), &common);
        let after = number();
        if cfg!(target_os = "linux") {
            assert!(before > 0 && after > 0 && before != after);
        }
        // Ours, and one in each thread.
        assert_eq!(Arc::strong_count(&common), 3);
        drop(first);
        wait_until("the first one ends", || Arc::strong_count(&common) == 2);
        assert_eq!(number(), after);
        drop(second);
        wait_until("the second one ends", || Arc::strong_count(&common) == 1);
        assert_eq!(number(), 0);
        // One that hangs ends when it gets back.
        let mut led = Led::new();
        led.late(sine(0));
        let Led { apart, go, .. } = led;
        let over = Arc::clone(&apart.over);
        drop(apart);
        assert_eq!(Arc::strong_count(&over), 2);
        drop(go);
        wait_until("it ends", || Arc::strong_count(&over) == 1);
    }

    #[test]
    fn where_there_is_no_thread_it_is_done_here() {
        let common = Arc::new(Common::new());
        // More than there are addresses for.
        let none = || Builder::new().stack_size(isize::MAX as usize & !0xffff);
        assert!(none().spawn(|| ()).is_err());
        let mut processor = Processor::on(none(), voice(), std::thread::current(), &common);
        assert!(matches!(processor, Processor::Here(_)));
        assert_eq!(common.voice_thread.load(Relaxed), 0);
        let (mut there, mut here) = (sine(0), sine(0));
        processor.begin(&mut there, 0);
        assert_eq!(processor.finish(&mut there), Finished::default());
        voice().near_end(&mut here, 0);
        assert_eq!(there, here);
        assert_ne!(there, sine(0));
    }
}
