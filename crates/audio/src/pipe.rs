//! Programs in place of devices: what one writes is heard as from a microphone, and what would be played is
//! written to one.
//!
//! ```text
//!  program ─► bytes ─► a thread that reads ─► ring ─┐ by the  ┌─► ring ─► a thread that writes ─► bytes ─► program
//!                                                   └► clock ─┘
//! ```
//!
//! Samples are 16 bits, little-endian, 48 kHz, one channel. Both ways go at the pace of speech: what is written faster
//! waits, and a program that reads too slowly loses what it does not take within a second.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use media::{Pace, PumpHandle, SAMPLE_RATE_HZ};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::fault::AudioError;
use crate::timed::{Heard, Played, Timed, TimedEnd};

/// Between the clock and the pump, as with devices.
const RING: usize = SAMPLE_RATE_HZ as usize;
/// What is read ahead: a tenth of a second, so that a program that stops speaking is silent soon.
const AHEAD: usize = SAMPLE_RATE_HZ as usize / 10;
/// Samples read or written at once.
const BLOCK: usize = 480;
/// How long a full or an empty ring is left alone.
const REST: Duration = Duration::from_millis(5);

/// Programs that hear and speak; dropping it leaves the pump without sound.
pub struct Pipe {
    _timed: Timed,
}

/// Lets a program be heard by what it writes, and hear by what it reads.
///
/// The threads that read and write end by themselves: at the end of what is read, and when nobody takes what is
/// written.
///
/// # Errors
/// [`AudioError::Thread`], or the pump is busy.
pub fn pipe(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    pump: &PumpHandle,
) -> Result<Pipe, AudioError> {
    let (to_pump, capture) = RingBuffer::new(RING);
    let (playout, from_pump) = RingBuffer::new(RING);
    let (hears, plays) = (Arc::<Pace>::default(), Arc::<Pace>::default());
    let paces = (Arc::clone(&hears), Arc::clone(&plays));
    let timed = connect(input, output, to_pump, from_pump, paces)?;
    pump.attach_capture(capture, hears)?;
    pump.attach_playout(playout, plays)?;
    Ok(Pipe { _timed: timed })
}

fn connect(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    to_pump: Producer<f32>,
    from_pump: Consumer<f32>,
    paces: (Arc<Pace>, Arc<Pace>),
) -> Result<Timed, AudioError> {
    let (said, heard) = RingBuffer::new(AHEAD);
    let (played, told) = RingBuffer::new(RING);
    spawn("audio-read", move || read(input, said))?;
    spawn("audio-write", move || write(output, told))?;
    Timed::start(
        Some(TimedEnd {
            ring: to_pump,
            pace: paces.0,
            what: Heard::Pipe(heard),
        }),
        Some(TimedEnd {
            ring: from_pump,
            pace: paces.1,
            what: Played::Pipe(played),
        }),
    )
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), AudioError> {
    let named = name.to_owned();
    let work = move || {
        if let Err(error) = work() {
            tracing::info!(%error, thread = named, "the other program has gone away");
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(AudioError::Thread)
}

/// Reads samples until there are no more, or nobody listens.
fn read(mut input: impl Read, mut said: Producer<f32>) -> io::Result<()> {
    let mut bytes = [0; BLOCK * 2];
    // Half a sample that waits for its other half.
    let mut held = 0;
    loop {
        let Some(room) = bytes.get_mut(held..) else {
            return Ok(());
        };
        let more = match input.read(room) {
            Ok(0) => return Ok(()),
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let there = held + more;
        for pair in bytes.get(..there).unwrap_or_default().chunks_exact(2) {
            let sample = pair.try_into().map_or(0, i16::from_le_bytes);
            let mut sample = f32::from(sample) / 32_768.0;
            while let Err(rtrb::PushError::Full(back)) = said.push(sample) {
                if said.is_abandoned() {
                    return Ok(());
                }
                sample = back;
                std::thread::sleep(REST);
            }
        }
        held = there % 2;
        if held == 1 {
            bytes.swap(0, there - 1);
        }
    }
}

/// Writes samples until nobody takes them, or there will be no more.
fn write(mut output: impl Write, mut told: Consumer<f32>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BLOCK * 2);
    loop {
        let over = told.is_abandoned();
        bytes.clear();
        while let (true, Ok(sample)) = (bytes.len() < BLOCK * 2, told.pop()) {
            // `as` saturates.
            bytes.extend(((sample * 32_768.0) as i16).to_le_bytes());
        }
        if !bytes.is_empty() {
            output.write_all(&bytes)?;
            output.flush()?;
        } else if over {
            return Ok(());
        } else {
            std::thread::sleep(REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};
    use std::time::Instant;

    use super::*;

    /// Gives its bytes three at a time, so that samples are cut in half.
    struct Crumbs(Vec<u8>, usize);

    impl Read for Crumbs {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let rest = self.0.get(self.1..).unwrap_or_default();
            let length = rest.len().min(3).min(room.len());
            room[..length].copy_from_slice(&rest[..length]);
            self.1 += length;
            Ok(length)
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        /// The samples that are not silent.
        fn spoken(&self) -> Vec<i16> {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let pairs = kept.chunks_exact(2);
            let samples = pairs.map(|pair| pair.try_into().map_or(0, i16::from_le_bytes));
            samples.filter(|sample| *sample != 0).collect()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|s| s.to_le_bytes()).collect()
    }

    #[test]
    fn what_one_program_writes_is_heard_and_what_is_played_is_read_by_the_other() {
        let speech: Vec<i16> = (0..9_600)
            .map(|n| (n * 7 % 20_011) as i16 - 9_000)
            .collect();
        let (to_pump, mut capture) = RingBuffer::new(RING);
        let (mut playout, from_pump) = RingBuffer::new(RING);
        let kept = Kept::default();
        let input = Crumbs(bytes(&speech), 0);
        let started = Instant::now();
        let timed = connect(input, kept.clone(), to_pump, from_pump, Default::default())
            .expect("it starts");
        // What is heard is played, as by an echo; between samples that come late there is silence.
        let spoken: Vec<i16> = speech.into_iter().filter(|sample| *sample != 0).collect();
        while kept.spoken().len() < spoken.len() {
            while let Ok(sample) = capture.pop() {
                let _ = playout.push(sample);
            }
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(20), "nothing is written");
            std::thread::sleep(REST);
        }
        assert_eq!(kept.spoken(), spoken);
        // It went at the pace of speech and not at that of a file.
        assert!(started.elapsed() > Duration::from_millis(150));
        drop(timed);
    }

    #[test]
    fn threads_end_with_those_that_they_read_from_and_write_to() {
        let (said, heard) = RingBuffer::new(4);
        drop(heard);
        // More than the ring takes, and nobody listens.
        read(Crumbs(vec![1; 100], 0), said).expect("it ends");
        let (mut played, told) = RingBuffer::new(4);
        played.push(0.5).expect("there is room");
        drop(played);
        let kept = Kept::default();
        write(kept.clone(), told).expect("it ends");
        let kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*kept, bytes(&[16_384]));
    }
}
