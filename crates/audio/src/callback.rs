//! What runs on the sound system's real-time threads, and nothing else does.
//!
//! Here samples are copied, channels and rate converted, and counts taken. Nothing waits, locks, allocates,
//! frees, logs or calls the system but for its clock: all memory is there before the first callback. A test counts
//! allocations to keep it so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use media::resample::Converter;
use media::{Pace, SAMPLE_RATE_HZ};
use rtrb::{Consumer, Producer};

/// Samples that are handed to the ring at once.
const BLOCK: usize = 256;

/// Converted samples that may wait for the next callback: a ratio of 1:16 and some.
const PENDING: usize = 32;

/// A sample as devices have it.
pub trait Sample: Copy {
    /// Silence.
    const SILENCE: Self;

    /// To -1.0 to 1.0.
    fn to_float(self) -> f32;

    /// From -1.0 to 1.0; what is louder is cut off.
    fn from_float(value: f32) -> Self;
}

impl Sample for f32 {
    const SILENCE: Self = 0.0;

    fn to_float(self) -> f32 {
        self
    }

    fn from_float(value: f32) -> Self {
        value
    }
}

impl Sample for i16 {
    const SILENCE: Self = 0;

    fn to_float(self) -> f32 {
        f32::from(self) * (1.0 / 32_768.0)
    }

    fn from_float(value: f32) -> Self {
        // `as` saturates.
        (value * 32_768.0) as i16
    }
}

impl Sample for i32 {
    const SILENCE: Self = 0;

    fn to_float(self) -> f32 {
        self as f32 * (1.0 / 2_147_483_648.0)
    }

    fn from_float(value: f32) -> Self {
        (value * 2_147_483_648.0) as i32
    }
}

/// What a callback counts.
#[derive(Debug, Default)]
pub struct Counters {
    callbacks: AtomicU64,
    frames: AtomicU64,
    dropped: AtomicU64,
    missing: AtomicU64,
}

impl Counters {
    /// Callbacks so far; one that stands still is a device that has stopped.
    #[must_use]
    pub fn callbacks(&self) -> u64 {
        self.callbacks.load(Relaxed)
    }

    /// Frames of all channels that went through.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Captured samples for which the ring had no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Samples that had to be played and were not there.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing.load(Relaxed)
    }

    pub(crate) fn count(&self, frames: usize) {
        self.callbacks.fetch_add(1, Relaxed);
        self.frames.fetch_add(frames as u64, Relaxed);
    }
}

/// The device's end of the capture ring.
#[derive(Debug)]
pub struct Capture {
    ring: Producer<f32>,
    channels: usize,
    converter: Option<Converter>,
    pace: Arc<Pace>,
    counters: Arc<Counters>,
}

impl Capture {
    /// For a device of so many interleaved channels at some rate.
    #[must_use]
    pub fn new(
        ring: Producer<f32>,
        channels: u16,
        rate_hz: u32,
        pace: Arc<Pace>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            pace,
            ring,
            channels: usize::from(channels.max(1)),
            converter: (rate_hz != SAMPLE_RATE_HZ).then(|| Converter::new(rate_hz, SAMPLE_RATE_HZ)),
            counters,
        }
    }

    /// Takes what the device has heard.
    pub fn take<T: Sample>(&mut self, data: &[T]) {
        let mut block = Block {
            samples: [0.0; BLOCK],
            length: 0,
            pushed: 0,
            dropped: 0,
            ring: &mut self.ring,
        };
        let share = 1.0 / self.channels as f32;
        for frame in data.chunks_exact(self.channels) {
            let sum: f32 = frame.iter().map(|sample| sample.to_float()).sum();
            match &mut self.converter {
                None => block.push(sum * share),
                Some(converter) => converter.push(sum * share, |sample| block.push(sample)),
            }
        }
        block.flush();
        let (pushed, dropped) = (block.pushed, block.dropped as u64);
        self.pace.tell(pushed, pushed, Instant::now());
        self.counters.dropped.fetch_add(dropped, Relaxed);
        self.counters.count(data.len() / self.channels);
    }
}

/// Samples on their way to the ring.
struct Block<'a> {
    samples: [f32; BLOCK],
    length: usize,
    pushed: usize,
    dropped: usize,
    ring: &'a mut Producer<f32>,
}

impl Block<'_> {
    fn push(&mut self, sample: f32) {
        if let Some(slot) = self.samples.get_mut(self.length) {
            *slot = sample;
            self.length += 1;
        }
        if self.length == BLOCK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let samples = self.samples.get(..self.length).unwrap_or_default();
        let (taken, rest) = self.ring.push_partial_slice(samples);
        self.pushed += taken.len();
        self.dropped += rest.len();
        self.length = 0;
    }
}

/// The device's end of the playout ring.
#[derive(Debug)]
pub struct Playout {
    ring: Consumer<f32>,
    channels: usize,
    /// The device's rate; samples of the ring are at ours.
    rate_hz: u32,
    converter: Option<Converter>,
    /// Converted and not yet played.
    pending: [f32; PENDING],
    waiting: usize,
    /// Taken from the ring in this callback.
    fetched: usize,
    /// Something has come; before that nothing is missing.
    started: bool,
    pace: Arc<Pace>,
    counters: Arc<Counters>,
}

impl Playout {
    /// For a device of so many interleaved channels at some rate.
    #[must_use]
    pub fn new(
        ring: Consumer<f32>,
        channels: u16,
        rate_hz: u32,
        pace: Arc<Pace>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            pace,
            rate_hz,
            ring,
            channels: usize::from(channels.max(1)),
            converter: (rate_hz != SAMPLE_RATE_HZ).then(|| Converter::new(SAMPLE_RATE_HZ, rate_hz)),
            pending: [0.0; PENDING],
            waiting: 0,
            fetched: 0,
            started: false,
            counters,
        }
    }

    /// Fills what the device is going to play.
    pub fn fill<T: Sample>(&mut self, data: &mut [T]) {
        let mut missing = 0;
        let frames = data.len() / self.channels;
        let mut left = frames;
        self.fetched = 0;
        let mut block = [0.0; BLOCK];
        for part in data.chunks_mut(self.channels * BLOCK) {
            let wanted = left.min(BLOCK);
            left -= wanted;
            let block = block.get_mut(..wanted).unwrap_or_default();
            let got = self.pop(block);
            missing += wanted - got;
            block.get_mut(got..).unwrap_or_default().fill(0.0);
            part.fill(T::SILENCE);
            for (frame, sample) in part.chunks_exact_mut(self.channels).zip(block) {
                frame.fill(T::from_float(*sample));
            }
        }
        if self.started {
            self.counters.missing.fetch_add(missing as u64, Relaxed);
        }
        self.counters.count(frames);
        let wanted = frames as u64 * u64::from(SAMPLE_RATE_HZ) / u64::from(self.rate_hz.max(1));
        self.pace
            .tell(self.fetched, wanted as usize, Instant::now());
    }

    /// As many samples at the device's rate as there are.
    fn pop(&mut self, out: &mut [f32]) -> usize {
        let Some(converter) = &mut self.converter else {
            let (got, _) = self.ring.pop_partial_slice(out);
            self.started |= !got.is_empty();
            self.fetched += got.len();
            return got.len();
        };
        let mut got = 0;
        while got < out.len() {
            if self.waiting > 0 {
                let count = self.waiting.min(out.len() - got);
                for (slot, sample) in out.iter_mut().skip(got).zip(&self.pending[..count]) {
                    *slot = *sample;
                }
                self.pending.copy_within(count..self.waiting, 0);
                self.waiting -= count;
                got += count;
                continue;
            }
            let Ok(sample) = self.ring.pop() else {
                break;
            };
            self.started = true;
            self.fetched += 1;
            let (pending, waiting) = (&mut self.pending, &mut self.waiting);
            converter.push(sample, |value| {
                if let Some(slot) = pending.get_mut(*waiting) {
                    *slot = value;
                    *waiting += 1;
                }
            });
        }
        got
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

    fn sine(hz: f32, rate: f32, count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| 0.5 * (std::f32::consts::TAU * hz * i as f32 / rate).sin())
            .collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn stereo_is_averaged_and_counted() {
        let (producer, mut consumer) = RingBuffer::new(1_000);
        let counters = Arc::new(Counters::default());
        let mut capture = Capture::new(producer, 2, 48_000, Arc::default(), Arc::clone(&counters));
        let data: Vec<i16> = (0..700).flat_map(|_| [16_384i16, 0]).collect();
        capture.take(&data);
        let mut heard = vec![0.0; 700];
        consumer.pop_entire_slice(&mut heard).unwrap();
        assert!(heard.iter().all(|sample| (sample - 0.25).abs() < 1e-6));
        assert_eq!((counters.callbacks(), counters.frames()), (1, 700));
        // The ring takes a thousand.
        capture.take(&data);
        capture.take(&data);
        assert_eq!(counters.dropped(), 400);
    }

    #[test]
    fn mono_goes_to_all_channels_and_what_is_missing_is_silence() {
        let (mut producer, consumer) = RingBuffer::new(1_000);
        let counters = Arc::new(Counters::default());
        let mut playout = Playout::new(consumer, 2, 48_000, Arc::default(), Arc::clone(&counters));
        let mut data = [7i16; 20];
        playout.fill(&mut data);
        assert_eq!((data, counters.missing()), ([0; 20], 0));
        producer.push_entire_slice(&[0.5, -0.5, 2.0]).unwrap();
        playout.fill(&mut data);
        assert_eq!(
            data[..8],
            [16_384, 16_384, -16_384, -16_384, 32_767, 32_767, 0, 0]
        );
        assert_eq!(counters.missing(), 7);
        assert_eq!(counters.frames(), 20);
    }

    #[test]
    fn another_rate_is_converted_both_ways() {
        for rate in [44_100u32, 16_000, 96_000] {
            let (producer, mut consumer) = RingBuffer::new(60_000);
            let mut capture = Capture::new(producer, 1, rate, Arc::default(), Arc::default());
            for block in sine(1_000.0, rate as f32, rate as usize).chunks(441) {
                capture.take(block);
            }
            let got = consumer.slots();
            assert!(got.abs_diff(48_000) <= 2, "{rate}: {got}");
            let mut heard = vec![0.0; got];
            consumer.pop_entire_slice(&mut heard).unwrap();
            assert!((rms(&heard[1_000..]) - 0.353_55).abs() < 0.003, "{rate}");

            let (mut producer, consumer) = RingBuffer::new(60_000);
            producer
                .push_entire_slice(&sine(1_000.0, 48_000.0, 48_000))
                .unwrap();
            let counters = Arc::new(Counters::default());
            let mut playout =
                Playout::new(consumer, 1, rate, Arc::default(), Arc::clone(&counters));
            let mut played = vec![0.0f32; rate as usize - 4];
            for block in played.chunks_mut(441) {
                playout.fill(block);
            }
            assert_eq!(counters.missing(), 0, "{rate}");
            assert!((rms(&played[1_000..]) - 0.353_55).abs() < 0.003, "{rate}");
        }
    }

    #[test]
    fn odd_lengths_do_no_harm() {
        let (producer, consumer) = RingBuffer::new(100);
        let mut capture = Capture::new(producer, 2, 48_000, Arc::default(), Arc::default());
        capture.take::<f32>(&[]);
        capture.take(&[0.5f32; 3]);
        let mut playout = Playout::new(consumer, 3, 48_000, Arc::default(), Arc::default());
        playout.fill::<f32>(&mut []);
        let mut data = [9.0f32; 5];
        playout.fill(&mut data);
        assert_eq!(data, [0.5, 0.5, 0.5, 0.0, 0.0]);
    }
}
