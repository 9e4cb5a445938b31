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
//! what was learned of the room serves the next call too. The work is that of the crate `sonora`, WebRTC's audio
//! processing (M145) in Rust. Measured here by `cargo xtask bench echo`: a sentence that leaks into the microphone at −6 dB is
//! 40 dB down after two seconds (51 to 59 dB with all of it), for 0.3 ms of a core in each 10 ms, all of it for 0.4. Of somebody
//! who speaks at the same time, about as loud, the words are kept 1 to 4 dB quieter and audibly changed (PESQ 1.3).
//!
//! It runs on the pump. The crate allocates there in each 10 ms and frees it at once, which the rest of the
//! pump never does, and it may panic over sound that nobody has tried it with: then it is off from there on, sound goes
//! on as it comes, and [`PumpCounters::voice_failed`](crate::PumpCounters::voice_failed) tells it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate,
    NoiseSuppression, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

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

/// Quiet speech becomes louder by this much at most: 50 dB, the default of the crate, would fetch the next room.
const MOST_GAIN_DB: f32 = 24.0;

/// What lies between the playout ring and the capture ring besides what waits in them: two blocks of a sound card and the
/// way through the air. The true delay is found from the sound itself.
const CARDS_MS: i32 = 40;

/// The processing of one pair of devices, with what it has learned.
#[derive(Debug)]
pub struct Voice {
    machine: AudioProcessing,
    failed: bool,
    /// Fails at the next frame, so that it can be seen what happens.
    #[cfg(test)]
    fault: bool,
}

impl Voice {
    /// A new one that knows nothing of its room yet; none where nothing is to be done. Takes memory,
    /// so it is made on no thread that carries sound.
    #[must_use]
    pub fn new(processing: Processing) -> Option<Self> {
        if processing == Processing::NONE {
            return None;
        }
        let config = Config {
            pipeline: Pipeline {
                maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
                ..Pipeline::default()
            },
            high_pass_filter: processing.high_pass.then(HighPassFilter::default),
            echo_canceller: processing.echo.then(EchoCanceller::default),
            noise_suppression: processing.noise.then(NoiseSuppression::default),
            gain_controller2: processing.gain.then(|| GainController2 {
                adaptive_digital: Some(AdaptiveDigital {
                    max_gain_db: MOST_GAIN_DB,
                    initial_gain_db: 0.0,
                    ..AdaptiveDigital::default()
                }),
                ..GainController2::default()
            }),
            ..Config::default()
        };
        let format = StreamConfig::new(SAMPLE_RATE_HZ, 1);
        let build = || {
            AudioProcessing::builder()
                .config(config)
                .capture_config(format)
                .render_config(format)
                .build()
        };
        let machine = catch_unwind(AssertUnwindSafe(build)).ok()?;
        Some(Self {
            machine,
            failed: false,
            #[cfg(test)]
            fault: false,
        })
    }

    /// Takes note of 10 ms that go to the loudspeaker. One such frame for each of [`near_end`](Self::near_end), silence too.
    pub fn far_end(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        let frame = sound(frame);
        self.guarded(|machine| {
            let mut played = [0.0; FRAME_SAMPLES];
            // The only fault it knows is another format.
            let _ = machine.process_render_f32(&[&frame], &mut [&mut played]);
        });
    }

    /// Works on 10 ms from the microphone. `waiting_ms` is what waits in the rings between here and the devices.
    pub fn near_end(&mut self, frame: &mut [f32; FRAME_SAMPLES], waiting_ms: u64) {
        #[cfg(test)]
        let fault = std::mem::take(&mut self.fault);
        let mut clean = [0.0; FRAME_SAMPLES];
        let heard = sound(frame);
        let done = self.guarded(|machine| {
            #[cfg(test)]
            assert!(!fault, "told to fail");
            let waiting_ms = i32::try_from(waiting_ms).unwrap_or(i32::MAX);
            // More than it can think of is as much as it can think of.
            let _ = machine.set_stream_delay_ms(waiting_ms.saturating_add(CARDS_MS));
            machine
                .process_capture_f32(&[&heard], &mut [&mut clean])
                .is_ok()
        });
        if done == Some(true) && clean.iter().all(|sample| sample.is_finite()) {
            *frame = clean;
        }
    }

    /// Whether a fault has ended it; sound then passes as it comes.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The one place where what the crate does cannot reach the pump.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut AudioProcessing) -> T) -> Option<T> {
        if self.failed {
            return None;
        }
        let machine = &mut self.machine;
        let done = catch_unwind(AssertUnwindSafe(|| work(machine))).ok();
        self.failed = done.is_none();
        done
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
