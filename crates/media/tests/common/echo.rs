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

/// How sound gets from the loudspeaker into the microphone.
pub(crate) struct Room {
    taps: Vec<(usize, f32)>,
}

impl Room {
    /// Sound comes after this time and half as strong: −6 dB.
    pub(crate) fn new(delay_ms: usize) -> Self {
        let energy: f32 = WALLS.iter().map(|(_, gain)| gain * gain).sum();
        let taps = WALLS
            .iter()
            .map(|(later, gain)| {
                (
                    (delay_ms + later) * RATE / 1_000,
                    gain * 0.5 / energy.sqrt(),
                )
            })
            .collect();
        Self { taps }
    }

    /// What comes back at one moment of all that was played until then.
    pub(crate) fn echo(&self, played: &[f32], at: usize) -> f32 {
        let tap = |&(delay, gain): &(usize, f32)| {
            let sample = at.checked_sub(delay).and_then(|at| played.get(at));
            sample.copied().unwrap_or(0.0) * gain
        };
        self.taps.iter().map(tap).sum()
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
    /// How far the echo is down while only the other side speaks, from the third second on, in dB.
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
pub(crate) fn conversation(delay_ms: usize, processing: Processing) -> Outcome {
    let room = Room::new(delay_ms);
    let far = sentence("far.wav");
    // As loud as the other side, so 6 dB louder in the microphone than the echo of it.
    let near = sentence("near.wav");
    let (from, until) = (ALONE_S * RATE, ALONE_S * RATE + near.len());
    let total = (until + AFTER_S * RATE).next_multiple_of(FRAME_SAMPLES);
    let played: Vec<f32> = far.iter().cycle().take(total).copied().collect();
    let mut seed = 1u32;
    let mut hiss = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        HISS * ((seed >> 8) as f32 / 8_388_608.0 - 1.0)
    };
    let echo: Vec<f32> = (0..total).map(|at| room.echo(&played, at)).collect();
    let heard: Vec<f32> = (0..total)
        .map(|at| {
            let said = at.checked_sub(from).and_then(|at| near.get(at));
            echo[at] + said.copied().unwrap_or(0.0) + hiss()
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
    let down =
        |from: usize, until: usize| level_db(&echo[from..until]) - level_db(&sent[from..until]);
    let (likeness, shift) = aligned(&near, &sent[from..]);
    let both = &sent[from + shift..until];
    Outcome {
        down_db: down(LEARNING_S * RATE, from),
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
