//! What is done to speech on its way from the microphone: the echo of the loudspeaker taken out, rumble and noise lowered,
//! the level made even.
//!
//! ```text
//!  capture ring ─► high-pass ─► echo control ─► noise ─► gain ─► the streams
//!                                    ▲
//!  playout ring ◄── the mix ─────────┘ exactly what is played, whoever says it
//! ```
//!
//! There is one for the pair of devices and none for a call: all calls have the same microphone and one loudspeaker, so
//! what was learned of the room serves the next call too, also one that wants something else done. The work is that of the crate `sonora` and its parts, WebRTC's audio
//! processing (M145) in Rust, with settings of our own for the echo (`voice/echo.rs`). Measured here by `cargo xtask bench echo`: a
//! sentence that leaks into the microphone at −6 dB is 40 dB down after two seconds (51 to 59 dB with all of it), for 0.2 ms of a
//! core in each 10 ms, all of it for 0.3. Of somebody who speaks at the same time, about as loud, one frame of 20 ms in ten is
//! swallowed, one in seven with all of it (PESQ 1.9 to 2.5; with the defaults a third, PESQ 1.3 to 1.5).
//!
//! It takes its time, for it works in windows: speech is 15 ms later for all of it, 9 ms for the echo alone and 7 ms for the
//! noise alone, and the crate has no smaller ones.
//!
//! It does not run on the pump's thread, for the crate allocates a hundred times in each 10 ms: it has one of its own, in step
//! with the pump, and what is not done in time is left out ([`PumpCounters::voice_late`](crate::PumpCounters::voice_late)). A
//! pump that is stepped by hand does it itself. The crate may panic over sound that nobody has tried it with, or not come back:
//! then it is off from there on, sound goes on as it comes, and
//! [`PumpCounters::voice_failed`](crate::PumpCounters::voice_failed) tells it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use machine::Machine;

use crate::FRAME_SAMPLES;

mod echo;
mod machine;

/// What is to be done to what the microphone hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processing {
    /// What the loudspeaker plays is taken out.
    pub echo: bool,
    /// Steady noise is lowered, by 12 dB.
    pub noise: bool,
    /// Quiet speech is made louder and loud speech is kept below full scale.
    pub gain: bool,
    /// What is below speech (100 Hz) is cut off.
    pub high_pass: bool,
}

impl Processing {
    /// Everything.
    pub const ALL: Self = Self {
        echo: true,
        noise: true,
        gain: true,
        high_pass: true,
    };

    /// Nothing.
    pub const NONE: Self = Self {
        echo: false,
        noise: false,
        gain: false,
        high_pass: false,
    };

    /// What either of them asks for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            echo: self.echo || other.echo,
            noise: self.noise || other.noise,
            gain: self.gain || other.gain,
            high_pass: self.high_pass || other.high_pass,
        }
    }
}

/// What lies between the playout ring and the capture ring besides what waits in them: two blocks of a sound card and the
/// way through the air. The true delay is found from the sound itself.
const CARDS_MS: i32 = 40;

/// The processing of one pair of devices, with what it has learned.
#[derive(Debug)]
pub struct Voice {
    machine: Machine,
    /// What the machine does, …
    processing: Processing,
    /// … and what it is to do from the next frame on.
    wanted: Processing,
    /// The last frame faded into silence.
    silent: bool,
    failed: bool,
    /// Fails at the next frame, so that it can be seen what happens.
    #[cfg(test)]
    pub(crate) fault: bool,
}

impl Voice {
    /// A new one that knows nothing of its room yet; none where nothing is to be done. Takes memory,
    /// so it is made on no thread that carries sound.
    #[must_use]
    pub fn new(processing: Processing) -> Option<Self> {
        if processing == Processing::NONE {
            return None;
        }
        let machine = catch_unwind(|| Machine::new(processing)).ok()?;
        Some(Self {
            machine,
            processing,
            wanted: processing,
            silent: false,
            failed: false,
            #[cfg(test)]
            fault: false,
        })
    }

    /// Does something else, or nothing, after the next frame: what was learned stays, also of what is not done for a while. Takes
    /// memory for what is done for the first time.
    ///
    /// Parts delay what they work on by more or less, and what comes out first of one that rested is of before it rested: so
    /// sound fades out and in again, 10 ms each.
    pub fn change(&mut self, processing: Processing) {
        self.wanted = processing;
    }

    /// Takes note of 10 ms that go to the loudspeaker. One such frame for each of [`near_end`](Self::near_end), silence too.
    pub fn far_end(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        let frame = sound(frame);
        self.guarded(|machine| machine.far_end(&frame));
    }

    /// Works on 10 ms from the microphone. `waiting_ms` is what waits in the rings between here and the devices.
    pub fn near_end(&mut self, frame: &mut [f32; FRAME_SAMPLES], waiting_ms: u64) {
        #[cfg(test)]
        let fault = std::mem::take(&mut self.fault);
        let mut clean = sound(frame);
        let done = self.guarded(|machine| {
            #[cfg(test)]
            assert!(!fault, "told to fail");
            let waiting_ms = i32::try_from(waiting_ms).unwrap_or(i32::MAX);
            machine.near_end(&mut clean, waiting_ms.saturating_add(CARDS_MS));
        });
        if done.is_some() && clean.iter().all(|sample| sample.is_finite()) {
            *frame = clean;
        }
        if std::mem::take(&mut self.silent) {
            fade(frame, |part| part);
        }
        if self.wanted != self.processing {
            fade(frame, |part| 1.0 - part);
            self.silent = true;
            let wanted = self.wanted;
            self.processing = wanted;
            self.guarded(|machine| machine.ask(wanted));
        }
    }

    /// What is done.
    pub(crate) fn processing(&self) -> Processing {
        self.processing
    }

    /// Whether a fault has ended it; sound then passes as it comes.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The one place where what the crate does cannot reach the pump.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        if self.failed {
            return None;
        }
        let machine = &mut self.machine;
        let done = catch_unwind(AssertUnwindSafe(|| work(machine))).ok();
        self.failed = done.is_none();
        done
    }
}

/// Multiplies each sample by what becomes of its place, of which the last is 1.0.
fn fade(frame: &mut [f32; FRAME_SAMPLES], gain: impl Fn(f32) -> f32) {
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample *= gain((n + 1) as f32 / FRAME_SAMPLES as f32);
    }
}

/// What a device may give and no sound is: numbers that are none, and beyond full scale. The crate panics over them.
fn sound(frame: &[f32; FRAME_SAMPLES]) -> [f32; FRAME_SAMPLES] {
    frame.map(|sample| {
        if sample.is_finite() {
            sample.clamp(-1.0, 1.0)
        } else {
            0.0
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_fault_sound_passes_as_it_comes() {
        let mut voice = Voice::new(Processing::ALL).expect("there is something to do");
        let said: [f32; FRAME_SAMPLES] =
            std::array::from_fn(|n| 0.3 * (n as f32 * 0.02).sin() + 0.2);
        let mut frame = said;
        voice.near_end(&mut frame, 0);
        assert_ne!(frame, said);
        voice.fault = true;
        for _ in 0..3 {
            frame = said;
            voice.far_end(&said);
            voice.near_end(&mut frame, 0);
            assert_eq!(frame, said);
            assert!(voice.has_failed());
        }
    }

    #[test]
    fn another_thing_is_done_without_a_click_and_what_did_nothing_passes_sound_as_it_is() {
        let echo = Processing {
            echo: true,
            ..Processing::NONE
        };
        let mut voice = Voice::new(Processing::ALL).expect("there is something to do");
        let mut before = 0.0f32;
        let mut most = 0.0f32;
        for step in 0..1_200usize {
            match step {
                300 => voice.change(echo),
                500 => voice.change(Processing::NONE),
                // One change while another is under way.
                700 => voice.change(Processing::ALL),
                701 => voice.change(echo),
                // And one that is taken back at once.
                900 => voice.change(Processing::ALL),
                901 => voice.change(echo),
                _ => {}
            }
            let said: [f32; FRAME_SAMPLES] = std::array::from_fn(|n| {
                0.3 * ((step * FRAME_SAMPLES + n) as f32 % 48_000.0 * 0.043_196_9).sin()
            });
            let mut frame = said;
            voice.far_end(&[0.0; FRAME_SAMPLES]);
            voice.near_end(&mut frame, 0);
            if (502..700).contains(&step) {
                assert_eq!(frame, said, "step {step}");
            }
            // Until it has settled.
            if step > 250 {
                for sample in frame {
                    most = most.max((sample - before).abs());
                    before = sample;
                }
            }
            before = frame[FRAME_SAMPLES - 1];
        }
        // The sine moves by 0.013 from sample to sample, with some gain; a jump would be of 0.3.
        println!("{most:.4} from sample to sample at most");
        assert!(most < 0.04, "{most}");
    }

    /// How much later than it went in, in ms, what was said comes out of it.
    fn delay(processing: Processing) -> f64 {
        let mut voice = Voice::new(processing).expect("there is something to do");
        let mut random = 1u32;
        // Speech has its strength at 100 Hz to 3 kHz and pauses; this is noise with both.
        let mut low = 0.0;
        let said: Vec<f32> = (0..48_000 * 4)
            .map(|n| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low += 0.2 * ((random >> 8) as f32 / (1 << 24) as f32 - 0.5 - low);
                if n / 9_600 % 3 == 0 { 0.0 } else { low }
            })
            .collect();
        let mut heard = Vec::new();
        for frame in said.chunks_exact(FRAME_SAMPLES) {
            let mut frame: [f32; FRAME_SAMPLES] = std::array::from_fn(|n| frame[n]);
            voice.far_end(&[0.0; FRAME_SAMPLES]);
            voice.near_end(&mut frame, 0);
            heard.extend(frame);
        }
        let likeness = |lag: usize| -> f32 {
            let pairs = said.iter().zip(&heard[lag..]).skip(96_000);
            pairs.map(|(said, heard)| said * heard).sum()
        };
        let best = (0..1_200).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
        best.unwrap_or(0) as f64 / 48.0
    }

    /// The delay of a call from here to the wire has this in it, so it is known of each part.
    #[test]
    fn no_part_takes_longer_than_its_blocks_and_windows_do() {
        let part = |change: fn(&mut Processing)| {
            let mut processing = Processing::NONE;
            change(&mut processing);
            delay(processing)
        };
        let echo = part(|p| p.echo = true);
        let noise = part(|p| p.noise = true);
        let gain = part(|p| p.gain = true);
        let high_pass = part(|p| p.high_pass = true);
        let all = delay(Processing::ALL);
        println!(
            "echo {echo:.1}, noise {noise:.1}, gain {gain:.1}, high-pass {high_pass:.1}, all {all:.1} ms"
        );
        // The echo's: bands, blocks of 4 ms, and windows of two of them. The noise's: bands, and windows of 16 ms every 10.
        assert!(gain < 0.5 && high_pass < 0.5);
        assert!(echo < 9.5 && noise < 7.5 && all < 15.5);
    }

    #[test]
    fn where_nothing_is_asked_for_nothing_is_made() {
        assert!(Voice::new(Processing::NONE).is_none());
        let echo = Processing {
            echo: true,
            ..Processing::NONE
        };
        let rest = Processing {
            echo: false,
            ..Processing::ALL
        };
        assert_eq!(echo.or(rest), Processing::ALL);
    }

    #[test]
    fn sound_that_is_none_does_no_lasting_harm() {
        let mut voice = Voice::new(Processing::ALL).expect("there is something to do");
        for odd in [f32::NAN, f32::INFINITY, f32::MAX, 1e9, 0.0] {
            for _ in 0..20 {
                voice.far_end(&[odd; FRAME_SAMPLES]);
                voice.near_end(&mut [odd; FRAME_SAMPLES], u64::MAX);
            }
        }
        let mut frame = [0.1; FRAME_SAMPLES];
        voice.near_end(&mut frame, 0);
        assert!(frame.iter().all(|sample| sample.is_finite()));
        assert!(!voice.has_failed());
    }
}
