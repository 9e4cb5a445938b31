//! Devices without hardware: silence, and WAV files, driven by a thread that keeps the time.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavSpec, WavWriter};
use media::{Pace, SAMPLE_RATE_HZ};
use rtrb::{Consumer, Producer};

use crate::fault::AudioError;

/// Like a sound card with blocks of 10 ms.
const PERIOD: Duration = Duration::from_millis(10);
const BLOCK: usize = 480;

/// After a pause longer than this (the machine was suspended) the time lost stays lost.
const LONGEST_LAG: Duration = Duration::from_millis(500);

/// What is heard.
pub(crate) enum Heard {
    Silence,
    File {
        samples: Arc<[f32]>,
        looped: bool,
    },
    /// What another program says.
    Pipe(Consumer<f32>),
}

/// What happens with what is played.
pub(crate) enum Played {
    Nothing,
    File(WavWriter<BufWriter<File>>, PathBuf),
    /// Another program hears it.
    Pipe(Producer<f32>),
}

/// The device's end of a ring, with the pace that it tells.
pub(crate) struct TimedEnd<Ring, What> {
    pub(crate) ring: Ring,
    pub(crate) pace: Arc<Pace>,
    pub(crate) what: What,
}

/// One device without hardware, or two in step.
pub(crate) struct Timed {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timed {
    pub(crate) fn start(
        capture: Option<TimedEnd<Producer<f32>, Heard>>,
        playout: Option<TimedEnd<Consumer<f32>, Played>>,
    ) -> Result<Self, AudioError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("audio-timed".to_owned())
            .spawn(move || run(capture, playout, &stopped))
            .map_err(AudioError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A file is complete when this returns; it takes 10 ms at most.
            let _ = thread.join();
        }
    }
}

/// Opens a WAV file to play into: 48 kHz mono.
pub(crate) fn create(path: &Path) -> Result<Played, AudioError> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let writer = WavWriter::create(path, spec).map_err(|error| AudioError::Target {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Played::File(writer, path.to_owned()))
}

fn run(
    mut capture: Option<TimedEnd<Producer<f32>, Heard>>,
    mut playout: Option<TimedEnd<Consumer<f32>, Played>>,
    stop: &AtomicBool,
) {
    let mut deadline = Instant::now();
    let mut position = 0;
    while !stop.load(Relaxed) {
        if let Some(end) = &mut capture {
            let mut block = [0.0; BLOCK];
            hear(&mut end.what, &mut position, &mut block);
            let (pushed, _) = end.ring.push_partial_slice(&block);
            end.pace.tell(pushed.len(), BLOCK, Instant::now());
        }
        if let Some(end) = &mut playout {
            let played = play(&mut end.ring, &mut end.what);
            end.pace.tell(played, BLOCK, Instant::now());
        }
        deadline += PERIOD;
        let now = Instant::now();
        if now.saturating_duration_since(deadline) > LONGEST_LAG {
            deadline = now;
        }
        while !stop.load(Relaxed) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
    }
    if let Some(Played::File(writer, path)) = playout.map(|end| end.what)
        && let Err(error) = writer.finalize()
    {
        tracing::error!(%error, path = %path.display(), "the sound file cannot be completed");
    }
}

fn hear(heard: &mut Heard, position: &mut usize, block: &mut [f32; BLOCK]) {
    let (samples, looped) = match heard {
        Heard::Silence => return,
        Heard::File { samples, looped } => (samples, looped),
        Heard::Pipe(ring) => {
            let _ = ring.pop_partial_slice(block);
            return;
        }
    };
    for slot in block {
        if *looped && *position >= samples.len() {
            *position = 0;
        }
        *slot = samples.get(*position).copied().unwrap_or(0.0);
        *position += 1;
    }
}

/// Plays a block; answers how much of it was there.
fn play(ring: &mut Consumer<f32>, played: &mut Played) -> usize {
    let mut block = [0.0; BLOCK];
    // What is not there is silence, as with a sound card.
    let count = ring.pop_partial_slice(&mut block).0.len();
    let (writer, path) = match played {
        Played::Nothing => return count,
        Played::File(writer, path) => (writer, path),
        Played::Pipe(ring) => {
            // Whoever does not listen for a second loses what comes then.
            let _ = ring.push_partial_slice(&block);
            return count;
        }
    };
    for sample in block {
        // `as` saturates.
        if let Err(error) = writer.write_sample((sample * 32_768.0) as i16) {
            tracing::error!(%error, path = %path.display(), "the sound file cannot be written");
            *played = Played::Nothing;
            return count;
        }
    }
    count
}
