//! Recording both sides of a call, and the tone that tells both that it is recorded.
//!
//! ```text
//!  what we say, as it is sent ──► left  ┐
//!                                       ├► ring ─► the thread that writes ─► file
//!  what they say, as it is heard ► right┘
//!  the tone ─► into what we say, into what goes to the speaker, and into the conference
//! ```
//!
//! Who is recorded hears the tone: the peer, the person here, and in a conference the others, whose voices are on the left.
//! Whoever comes to one later has not heard the first tone, so it sounds again.
//!
//! Left is everything that the peer gets: in a conference the others too, while the microphone is muted nothing. What
//! is silent because the call is held is silence in the file, so that both sides stay together.
//!
//! The file is WAV, which any program makes of what it likes, or Ogg Opus, a fifth to a twentieth as long, where its name ends with
//! `.opus`. Either can be played wherever it was cut off.

use std::path::PathBuf;
use std::time::Duration;

use crate::FRAME_SAMPLES;
use crate::record::Recorder;
use crate::stream::{FRAME_MOST, to_float, to_int};
use crate::tone::{Player, Tone};

/// How both sides hear that the call is recorded: 1400 Hz for 0.2 s (ITU-T E.180 Supplement 2, 47 CFR 64.501).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsentTone {
    /// They do not.
    #[default]
    Off,
    /// When it begins.
    AtStart,
    /// When it begins, and again each time this has passed.
    Every(Duration),
}

/// A recording of both sides, as a stereo file: left what we say, right what the peer says. It is Ogg Opus where its name
/// ends with `.opus`, and WAV otherwise. Where it gets longer than a WAV file can be, 4 GiB, it goes on in another:
/// `name-2.wav`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// Whether both hear of it.
    pub tone: ConsentTone,
}

/// What the pump carries of a recording.
pub(crate) struct Tape {
    recorder: Recorder,
    tone: ConsentTone,
    /// How many others of a conference are recorded, once that is known.
    others: Option<u32>,
    /// Steps from one tone to the next; none for only one.
    every: Option<u32>,
    /// Steps until the next tone; none when there is none to come.
    due: Option<u32>,
    here: Option<Player>,
    there: Option<Player>,
}

impl Tape {
    pub(crate) fn new(recorder: Recorder, tone: ConsentTone) -> Self {
        let every = match tone {
            ConsentTone::Every(time) => {
                let steps = time.as_millis() / crate::TICK.as_millis();
                // Not so often that one follows the other at once.
                Some(u32::try_from(steps).unwrap_or(u32::MAX).max(100))
            }
            ConsentTone::Off | ConsentTone::AtStart => None,
        };
        Self {
            recorder,
            tone,
            others: None,
            every,
            due: (tone != ConsentTone::Off).then_some(0),
            here: None,
            there: None,
        }
    }

    /// So many others of a conference are recorded at present.
    pub(crate) fn meet(&mut self, others: u32) {
        let before = self.others.replace(others);
        if before.is_some_and(|before| others > before) && self.tone != ConsentTone::Off {
            self.due = Some(0);
        }
    }

    /// Begins a step, of a stream that speaks at this rate. Nobody is told of a recording that has ended.
    pub(crate) fn begin(&mut self, rate_hz: u32) {
        match self.due {
            Some(0) if self.recorder.is_over() => self.due = None,
            Some(0) => {
                self.here = Some(Player::new(Tone::Recorded, crate::SAMPLE_RATE_HZ));
                self.there = Some(Player::new(Tone::Recorded, rate_hz));
                self.due = self.every.map(|every| every.saturating_sub(1));
            }
            Some(steps) => self.due = Some(steps - 1),
            None => {}
        }
    }

    /// The tone of this step for all but the peer, while it sounds.
    pub(crate) fn sound_here(&mut self) -> Option<[f32; FRAME_SAMPLES]> {
        self.here.as_ref()?;
        let mut tone = [0.0; FRAME_SAMPLES];
        sound(&mut self.here, &mut tone);
        Some(tone)
    }

    /// Lets the peer hear it, in 10 ms at the codec's rate.
    pub(crate) fn sound_there(&mut self, spoken: &mut [i16]) {
        if self.there.is_none() {
            return;
        }
        let mut samples = [0.0; FRAME_MOST];
        let samples = &mut samples[..spoken.len().min(FRAME_MOST)];
        to_float(spoken, samples);
        sound(&mut self.there, samples);
        to_int(samples, spoken);
    }

    /// Takes 10 ms of both, each with its rate; answers how many samples there was no room for.
    pub(crate) fn write(&mut self, ours: (&[i16], u32), theirs: (&[i16], u32)) -> usize {
        self.recorder.write_both(ours, theirs)
    }
}

fn sound(player: &mut Option<Player>, samples: &mut [f32]) {
    if let Some(playing) = player
        && !playing.add(samples)
    {
        *player = None;
    }
}
