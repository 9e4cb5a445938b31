//! Trying the devices without a call: a sentence that is played, or what the microphone hears, a moment later.

use std::sync::Arc;

use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// How much later the microphone is heard back: long enough to be told from one's own voice, and so that what comes
/// back in turn dies away.
const LATER_MS: usize = 1_500;

/// What comes back in the loop is quieter, or loudspeaker and microphone would howl.
const LOOP_GAIN: f32 = 0.7;

/// What is tried.
#[derive(Clone, Debug)]
pub enum Trial {
    /// Samples at 48 kHz are played, again and again with a pause of a second.
    Play(Arc<[f32]>),
    /// What the microphone hears is played a moment later.
    Loop,
}

/// The same, made ready for the pump.
pub(crate) enum Trying {
    Play { samples: Arc<[f32]>, at: usize },
    Loop { line: Box<[f32]>, at: usize },
}

impl Trying {
    pub(crate) fn new(trial: Trial) -> Self {
        match trial {
            Trial::Play(samples) => Self::Play { samples, at: 0 },
            Trial::Loop => {
                let length = SAMPLE_RATE_HZ as usize * LATER_MS / 1_000;
                Self::Loop {
                    line: vec![0.0; length.next_multiple_of(FRAME_SAMPLES)].into(),
                    at: 0,
                }
            }
        }
    }

    /// Adds 10 ms to what is played, given what the microphone heard in them.
    pub(crate) fn add(&mut self, heard: &[f32; FRAME_SAMPLES], mix: &mut [f32; FRAME_SAMPLES]) {
        match self {
            Self::Play { samples, at } => {
                for sample in mix {
                    *sample += samples.get(*at).copied().unwrap_or(0.0);
                    *at += 1;
                    if *at >= samples.len() + SAMPLE_RATE_HZ as usize {
                        *at = 0;
                    }
                }
            }
            Self::Loop { line, at } => {
                let Some(part) = line.get_mut(*at..*at + FRAME_SAMPLES) else {
                    *at = 0;
                    return;
                };
                for ((kept, heard), sample) in part.iter_mut().zip(heard).zip(mix) {
                    *sample += *kept * LOOP_GAIN;
                    *kept = *heard;
                }
                *at += FRAME_SAMPLES;
                if *at >= line.len() {
                    *at = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_gives_back_what_was_heard_a_moment_ago() {
        let mut trying = Trying::new(Trial::Loop);
        for step in 0..400u16 {
            let heard = [f32::from(step) / 1_000.0; FRAME_SAMPLES];
            let mut mix = [0.0; FRAME_SAMPLES];
            trying.add(&heard, &mut mix);
            let before = f32::from(step.saturating_sub(150)) / 1_000.0 * LOOP_GAIN;
            assert_eq!(mix, [before; FRAME_SAMPLES], "{step}");
        }
    }

    #[test]
    fn a_sentence_is_played_again_after_a_second() {
        let said: Arc<[f32]> = vec![0.5; 480].into();
        let mut trying = Trying::new(Trial::Play(said));
        let mut loud = Vec::new();
        for step in 0..203 {
            let mut mix = [0.0; FRAME_SAMPLES];
            trying.add(&[1.0; FRAME_SAMPLES], &mut mix);
            if mix[0] != 0.0 {
                loud.push(step);
            }
        }
        assert_eq!(loud, [0, 101, 202]);
    }
}
