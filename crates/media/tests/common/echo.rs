//! A room: what the loudspeaker plays comes back into the microphone, late and with the walls in it, and somebody speaks
//! there.

use std::path::Path;
use std::time::{Duration, Instant};

use media::{FRAME_SAMPLES, Processing, Voice};

const RATE: usize = 48_000;

/// The other side speaks alone for so long, …
pub(crate) const ALONE_S: usize = 8;
/// … and after whoever is in the room for so long again.
const AFTER_S: usize = 6;
/// Nobody measures in this time: what is there has to be learned first.
const LEARNING_S: usize = 2;

/// The microphone's own noise: −72 dB.
const HISS: f32 = 0.000_25;

/// The direct way and what four walls send back: milliseconds after it, and how loud.
const WALLS: [(usize, f32); 5] = [(0, 1.0), (3, 0.45), (7, -0.35), (13, 0.2), (29, -0.1)];

/// What is further from a microphone that somebody moves, in milliseconds, and what its walls then send back.
const MOVED_MS: usize = 6;
const MOVED_WALLS: [(usize, f32); 5] = [(0, 1.0), (2, -0.4), (5, 0.3), (17, 0.25), (23, -0.15)];

/// When somebody moves it, in seconds.
const MOVED_AT_S: usize = 4;

/// The way to the microphone: how many samples later, and how loud.
type Taps = Vec<(usize, f32)>;

/// How sound gets from the loudspeaker into the microphone, and what else is there.
#[derive(Clone)]
pub(crate) struct Room {
    taps: Taps,
    /// The way from [`MOVED_AT_S`] on.
    moved: Option<Taps>,
    /// How hard the loudspeaker is driven: what it plays of `x` is `tanh(drive x) / drive`.
    drive: Option<f32>,
    /// How much slower the microphone's clock is than the loudspeaker's.
    drift_ppm: f64,
    /// The peak of its noise, evenly spread.
    hiss: f32,
}

impl Room {
    /// Sound comes after this time and half as strong: −6 dB.
    pub(crate) fn new(delay_ms: usize) -> Self {
        Self {
            taps: taps(delay_ms, &WALLS),
            moved: None,
            drive: None,
            drift_ppm: 0.0,
            hiss: HISS,
        }
    }

    /// No way at all from the loudspeaker to the microphone: a headset.
    pub(crate) fn headset() -> Self {
        Self {
            taps: Vec::new(),
            ..Self::new(0)
        }
    }

    /// The same with an echo as much quieter.
    pub(crate) fn quieter(mut self, db: f32) -> Self {
        for (_, gain) in &mut self.taps {
            *gain *= 10f32.powf(-db / 20.0);
        }
        self
    }

    /// The same with an end of the sound that takes 0.4 s for 60 dB, and is 10 dB below what comes before it.
    pub(crate) fn reverberant(mut self) -> Self {
        const LATER_MS: f32 = 300.0;
        const TAPS: usize = 240;
        let Some(&(first, _)) = self.taps.first() else {
            return self;
        };
        let mut random = random(7);
        let tail: Taps = (0..TAPS)
            .map(|n| {
                let at_ms = LATER_MS * (n as f32 + 0.5 + 0.5 * random()) / TAPS as f32;
                let gain = 10f32.powf(-3.0 * at_ms / 400.0) * random().signum();
                (first + (at_ms * RATE as f32 / 1_000.0) as usize, gain)
            })
            .collect();
        let energy = |taps: &Taps| taps.iter().map(|(_, gain)| gain * gain).sum::<f32>();
        let scale = (0.1 * energy(&self.taps) / energy(&tail)).sqrt();
        self.taps
            .extend(tail.iter().map(|(later, gain)| (*later, gain * scale)));
        self
    }

    /// The same where somebody moves the microphone in the middle of the call.
    pub(crate) fn moved(mut self) -> Self {
        let first_ms = self.taps.first().map_or(0, |(at, _)| at * 1_000 / RATE);
        self.moved = Some(taps(first_ms + MOVED_MS, &MOVED_WALLS));
        self
    }

    /// The same with a small loudspeaker that is driven hard.
    pub(crate) fn driven(mut self, drive: f32) -> Self {
        self.drive = Some(drive);
        self
    }

    /// The same with a microphone whose clock is slower.
    pub(crate) fn drifting(mut self, ppm: f64) -> Self {
        self.drift_ppm = ppm;
        self
    }

    /// The same with noise of this level.
    pub(crate) fn noisy(mut self, db: f32) -> Self {
        // Evenly spread noise is 4.8 dB below its peak.
        self.hiss = 10f32.powf((db + 4.77) / 20.0);
        self
    }

    /// What the loudspeaker makes of what it is to play.
    fn loudspeaker(&self, played: &[f32]) -> Vec<f32> {
        let bend = |sample: &f32| match self.drive {
            Some(drive) => (drive * sample).tanh() / drive,
            None => *sample,
        };
        played.iter().map(bend).collect()
    }

    /// What comes back at one moment of all that the loudspeaker made until then.
    pub(crate) fn echo(&self, made: &[f32], at: usize) -> f32 {
        let taps = match &self.moved {
            Some(moved) if at >= MOVED_AT_S * RATE => moved,
            _ => &self.taps,
        };
        let late = at as f64 * self.drift_ppm * 1e-6;
        let (whole, part) = (late.floor() as usize, late.fract() as f32);
        let sample = |later: usize| {
            let sample = at.checked_sub(later).and_then(|at| made.get(at));
            sample.copied().unwrap_or(0.0)
        };
        let tap = |&(delay, gain): &(usize, f32)| {
            let later = delay + whole;
            let sound = if part == 0.0 {
                sample(later)
            } else {
                between([0, 1, 2, 3].map(|n| sample(later + n)), part)
            };
            sound * gain
        };
        taps.iter().map(tap).sum()
    }
}

/// A cubic through four samples, at this part of the way from the second to the third.
fn between([a, b, c, d]: [f32; 4], part: f32) -> f32 {
    let x = part + 1.0;
    -a * (x - 1.0) * (x - 2.0) * (x - 3.0) / 6.0 + b * x * (x - 2.0) * (x - 3.0) / 2.0
        - c * x * (x - 1.0) * (x - 3.0) / 2.0
        + d * x * (x - 1.0) * (x - 2.0) / 6.0
}

/// The direct way and its walls, −6 dB in all.
fn taps(delay_ms: usize, walls: &[(usize, f32)]) -> Taps {
    let energy: f32 = walls.iter().map(|(_, gain)| gain * gain).sum();
    let tap = |(later, gain): &(usize, f32)| {
        let at = (delay_ms + later) * RATE / 1_000;
        (at, gain * 0.5 / energy.sqrt())
    };
    walls.iter().map(tap).collect()
}

/// Numbers between −1 and 1.
fn random(mut seed: u32) -> impl FnMut() -> f32 {
    move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

/// A sentence of `tests/data/sound` at 48 kHz.
pub(crate) fn sentence(name: &str) -> Vec<f32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sound");
    let samples = media::wav::load(&folder.join(name)).expect("it belongs to the tests");
    samples.to_vec()
}

/// What became of one conversation.
pub(crate) struct Outcome {
    /// How far the echo is down while only the other side speaks, from the third second on or from the third after the
    /// microphone was moved, in dB.
    pub(crate) down_db: f32,
    /// The same after both have spoken at once.
    pub(crate) after_db: f32,
    /// How much quieter or louder near speech is while both speak, in dB.
    pub(crate) near_db: f32,
    /// How alike it is to what was said: correlation, 1.0 for the same.
    pub(crate) likeness: f32,
    /// The share of near speech, in frames of 20 ms, of which less than a third of its amplitude is left.
    pub(crate) swallowed: f32,
    /// What is said in the room while the other side speaks, …
    pub(crate) said: Vec<f32>,
    /// … and what the other side gets of it.
    pub(crate) sent: Vec<f32>,
    /// Time for 10 ms of sound, both ways.
    pub(crate) cost: Duration,
}

/// The other side speaks all the time, and in the middle somebody in the room does, too.
pub(crate) fn conversation(room: &Room, processing: Processing) -> Outcome {
    let far = sentence("far.wav");
    // As loud as the other side, so 6 dB louder in the microphone than the echo of it.
    let near = sentence("near.wav");
    let (from, until) = (ALONE_S * RATE, ALONE_S * RATE + near.len());
    let total = (until + AFTER_S * RATE).next_multiple_of(FRAME_SAMPLES);
    let played: Vec<f32> = far.iter().cycle().take(total).copied().collect();
    let made = room.loudspeaker(&played);
    let mut hiss = random(1);
    let echo: Vec<f32> = (0..total).map(|at| room.echo(&made, at)).collect();
    let heard: Vec<f32> = (0..total)
        .map(|at| {
            let said = at.checked_sub(from).and_then(|at| near.get(at));
            echo[at] + said.copied().unwrap_or(0.0) + room.hiss * hiss()
        })
        .collect();
    let mut voice = Voice::new(processing).expect("there is something to do");
    let mut sent = Vec::with_capacity(total);
    let mut cost = Duration::ZERO;
    let frames = played.chunks_exact(FRAME_SAMPLES);
    for (played, heard) in frames.zip(heard.chunks_exact(FRAME_SAMPLES)) {
        let mut frame: [f32; FRAME_SAMPLES] = heard.try_into().expect("a frame is a frame");
        let began = Instant::now();
        voice.far_end(played.try_into().expect("a frame is a frame"));
        voice.near_end(&mut frame, 0);
        cost += began.elapsed();
        sent.extend_from_slice(&frame);
    }
    assert!(!voice.has_failed());
    let learned_from = room.moved.as_ref().map_or(0, |_| MOVED_AT_S);
    let down =
        |from: usize, until: usize| level_db(&echo[from..until]) - level_db(&sent[from..until]);
    let (likeness, shift) = aligned(&near, &sent[from..]);
    let both = &sent[from + shift..until];
    Outcome {
        down_db: down((learned_from + LEARNING_S) * RATE, from),
        after_db: down(until + RATE / 2, total),
        near_db: level_db(both) - level_db(&near),
        likeness,
        swallowed: swallowed(&near, both),
        sent: both.to_vec(),
        said: near,
        cost: cost / (total / FRAME_SAMPLES) as u32,
    }
}

/// The likeness of a sound to a copy that is up to 20 ms late, and how late it is.
fn aligned(said: &[f32], sent: &[f32]) -> (f32, usize) {
    let length = said.len() - RATE / 50;
    let fit = |shift: usize| {
        let (mut both, mut one, mut other) = (0.0f64, 0.0f64, 0.0f64);
        for (a, b) in said[..length].iter().zip(&sent[shift..]) {
            both += f64::from(a * b);
            one += f64::from(a * a);
            other += f64::from(b * b);
        }
        (both / (one * other).sqrt().max(f64::MIN_POSITIVE)) as f32
    };
    (0..RATE / 50)
        .step_by(4)
        .map(|shift| (fit(shift), shift))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((0.0, 0))
}

/// The share of frames of 20 ms with speech in them of which what was sent is 10 dB quieter, or more.
fn swallowed(said: &[f32], sent: &[f32]) -> f32 {
    const FRAME: usize = RATE / 50;
    let loud = level_db(said) - 20.0;
    let frames = said.chunks_exact(FRAME).zip(sent.chunks_exact(FRAME));
    let losses: Vec<f32> = frames
        .map(|(said, sent)| (level_db(said), level_db(sent)))
        .filter(|(said, _)| *said > loud)
        .map(|(said, sent)| said - sent)
        .collect();
    let gone = losses.iter().filter(|loss| **loss > 10.0).count();
    gone as f32 / losses.len().max(1) as f32
}

/// Root mean square in dB of full scale.
pub(crate) fn level_db(samples: &[f32]) -> f32 {
    let sum: f64 = samples.iter().map(|s| f64::from(s * s)).sum();
    (10.0 * (sum / samples.len().max(1) as f64).max(1e-12).log10()) as f32
}
