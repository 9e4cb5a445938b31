//! Changes of rate: 48 kHz to and from 8 kHz for G.711 and 16 kHz for G.722, and any rate to any other for files and devices.
//!
//! All of it is one windowed sinc. `rubato` was considered; its fixed-ratio resampler works in blocks by FFT
//! and its others take their buffers through adapters, while a tick here is 80 samples at a ratio of 1:6:
//! a polyphase filter of 32 taps a phase does that in place, in a few microseconds, with 2 ms of delay.

use std::f64::consts::PI;

use crate::stream::{to_float, to_int};
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// 10 ms at 16 kHz.
const LONGEST_LOW: usize = 160;

/// Taps per output sample.
const TAPS: usize = 32;

/// Outputs of an [`Upsampler`] that are made at a time: 8 kHz and 16 kHz have a multiple of it in 10 ms.
const LANES: usize = 8;

/// Kaiser window shape: about 70 dB of stop band.
const KAISER_BETA: f64 = 7.0;

/// The pass band's end, relative to half of the lower rate.
const CUTOFF: f64 = 0.94;

/// From 8 kHz (`RATIO` 6) or 16 kHz (3) to 48 kHz.
#[derive(Clone, Debug)]
pub struct Upsampler<const RATIO: usize> {
    /// One set of taps per phase, newest sample last.
    phases: Box<[[f32; TAPS]; RATIO]>,
    /// The last `TAPS - 1` samples, then room for a frame.
    line: [f32; TAPS - 1 + LONGEST_LOW],
}

impl<const RATIO: usize> Upsampler<RATIO> {
    /// The most input samples at a time: 10 ms.
    pub const LONGEST: usize = FRAME_SAMPLES / RATIO;

    /// An upsampler that has heard silence.
    #[must_use]
    pub fn new() -> Self {
        let mut phases = Box::new([[0.0; TAPS]; RATIO]);
        let length = (TAPS * RATIO) as f64;
        for (phase, taps) in phases.iter_mut().enumerate() {
            for (k, tap) in taps.iter_mut().enumerate() {
                // Tap k weighs the input that is TAPS-1-k behind the newest.
                let at = ((TAPS - 1 - k) * RATIO + phase) as f64 - (length - 1.0) / 2.0;
                *tap = (CUTOFF * sinc(CUTOFF * at / RATIO as f64) * kaiser(at / (length / 2.0)))
                    as f32;
            }
        }
        Self {
            phases,
            line: [0.0; TAPS - 1 + LONGEST_LOW],
        }
    }

    /// `RATIO` output samples for each input sample. Looks at up to [`LONGEST`](Self::LONGEST) of them, and
    /// at no more than `output` has room for.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        let count = input.len().min(Self::LONGEST).min(output.len() / RATIO);
        self.line[TAPS - 1..TAPS - 1 + count].copy_from_slice(&input[..count]);
        // So many outputs of one phase side by side: none has to be summed up across, which takes longer than the sums.
        let (line, output) = (&self.line[..TAPS - 1 + count], &mut output[..count * RATIO]);
        let together = count / LANES * LANES;
        let blocks = output.chunks_exact_mut(LANES * RATIO);
        for (out, window) in blocks.zip(line.windows(TAPS - 1 + LANES).step_by(LANES)) {
            for (phase, taps) in self.phases.iter().enumerate() {
                let mut sums = [0.0f32; LANES];
                for (tap, samples) in taps.iter().zip(window.windows(LANES)) {
                    for (sum, sample) in sums.iter_mut().zip(samples) {
                        *sum += tap * sample;
                    }
                }
                for (slot, sum) in out.iter_mut().skip(phase).step_by(RATIO).zip(sums) {
                    *slot = sum;
                }
            }
        }
        let rest = output[together * RATIO..].chunks_exact_mut(RATIO);
        for (out, window) in rest.zip(line[together..].windows(TAPS)) {
            for (taps, sample) in self.phases.iter().zip(out) {
                *sample = dot(taps, window);
            }
        }
        self.line.copy_within(count..count + TAPS - 1, 0);
    }

    /// Has heard silence, as at the beginning.
    pub fn forget(&mut self) {
        self.line.fill(0.0);
    }
}

impl<const RATIO: usize> Default for Upsampler<RATIO> {
    fn default() -> Self {
        Self::new()
    }
}

/// From 48 kHz to 8 kHz (`RATIO` 6) or 16 kHz (3).
#[derive(Clone, Debug)]
pub struct Downsampler<const RATIO: usize> {
    taps: Box<[f32]>,
    line: Box<[f32]>,
}

impl<const RATIO: usize> Downsampler<RATIO> {
    /// The most input samples at a time: 10 ms.
    pub const LONGEST: usize = FRAME_SAMPLES;

    /// A downsampler that has heard silence.
    #[must_use]
    pub fn new() -> Self {
        let mut taps = vec![0.0; TAPS * RATIO].into_boxed_slice();
        let length = (TAPS * RATIO) as f64;
        for (k, tap) in taps.iter_mut().enumerate() {
            let at = k as f64 - (length - 1.0) / 2.0;
            *tap = (CUTOFF / RATIO as f64
                * sinc(CUTOFF * at / RATIO as f64)
                * kaiser(at / (length / 2.0))) as f32;
        }
        Self {
            taps,
            line: vec![0.0; TAPS * RATIO - RATIO + Self::LONGEST].into(),
        }
    }

    /// One output sample for each `RATIO` of the input. Looks at up to [`LONGEST`](Self::LONGEST) of them
    /// (a multiple of it), and at no more than fill `output`.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        let past = TAPS * RATIO - RATIO;
        let frames = (input.len().min(Self::LONGEST) / RATIO).min(output.len());
        let count = frames * RATIO;
        self.line[past..past + count].copy_from_slice(&input[..count]);
        for (n, sample) in output.iter_mut().take(frames).enumerate() {
            *sample = dot(
                &self.taps[..],
                &self.line[n * RATIO..n * RATIO + TAPS * RATIO],
            );
        }
        self.line.copy_within(count..count + past, 0);
    }

    /// Has heard silence, as at the beginning.
    pub fn forget(&mut self) {
        self.line.fill(0.0);
    }
}

impl<const RATIO: usize> Default for Downsampler<RATIO> {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames of 10 ms at any codec's rate to 48 kHz.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToDevice {
    narrow: Upsampler<6>,
    wide: Upsampler<3>,
}

impl ToDevice {
    pub(crate) fn process(&mut self, frame: &[i16], rate_hz: u32, out: &mut [f32; FRAME_SAMPLES]) {
        if rate_hz == SAMPLE_RATE_HZ {
            return to_float(frame, out);
        }
        let mut low = [0.0; LONGEST_LOW];
        let count = frame.len().min(LONGEST_LOW);
        to_float(frame, &mut low);
        let low = low.get(..count).unwrap_or_default();
        if rate_hz == 16_000 {
            self.wide.process(low, out);
        } else {
            self.narrow.process(low, out);
        }
    }
}

/// Frames of 10 ms at 48 kHz to any codec's rate.
#[derive(Clone, Debug, Default)]
pub(crate) struct FromDevice {
    narrow: Downsampler<6>,
    wide: Downsampler<3>,
}

impl FromDevice {
    /// Fills `out`, whose length is that of 10 ms.
    pub(crate) fn process(&mut self, frame: &[f32; FRAME_SAMPLES], rate_hz: u32, out: &mut [i16]) {
        if rate_hz == SAMPLE_RATE_HZ {
            return to_int(frame, out);
        }
        let mut low = [0.0; LONGEST_LOW];
        self.lower(frame, rate_hz, &mut low);
        to_int(&low, out);
    }

    /// The same without rounding.
    pub(crate) fn lower(&mut self, frame: &[f32; FRAME_SAMPLES], rate_hz: u32, out: &mut [f32]) {
        match rate_hz {
            SAMPLE_RATE_HZ => {
                for (out, sample) in out.iter_mut().zip(frame) {
                    *out = *sample;
                }
            }
            16_000 => self.wide.process(frame, out),
            _ => self.narrow.process(frame, out),
        }
    }
}

/// Positions between two samples that the table of a [`Converter`] knows; in between it is a straight line.
const STEPS: usize = 256;

/// Any rate to any other, sample by sample. Makes its table when it is made and allocates nothing after.
#[derive(Clone, Debug)]
pub struct Converter {
    /// `STEPS + 1` rows of taps.
    table: Box<[f32]>,
    taps: usize,
    /// Twice the taps, so that a window is always contiguous.
    line: Box<[f32]>,
    /// Where in `line` the next sample goes.
    head: usize,
    /// Output position between the two middle samples, in input samples.
    position: f64,
    /// Input samples per output sample.
    step: f64,
}

impl Converter {
    /// Makes a converter; rates of zero count as one.
    #[must_use]
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let (from, to) = (f64::from(from_hz.max(1)), f64::from(to_hz.max(1)));
        // Downwards the filter gets wider with the ratio.
        let narrow = (to / from).min(1.0);
        let taps = (((TAPS as f64 / narrow) as usize).min(1024) / 2) * 2;
        let half = taps as f64 / 2.0;
        let mut table = vec![0.0; (STEPS + 1) * taps].into_boxed_slice();
        for (row, step) in table.chunks_exact_mut(taps).zip(0..) {
            let offset = f64::from(step) / STEPS as f64;
            for (k, tap) in row.iter_mut().enumerate() {
                let at = k as f64 - (half - 1.0) - offset;
                let cutoff = CUTOFF * narrow;
                *tap = (cutoff * sinc(cutoff * at) * kaiser(at / half)) as f32;
            }
        }
        Self {
            table,
            taps,
            line: vec![0.0; 2 * taps].into_boxed_slice(),
            head: 0,
            position: 0.0,
            step: from / to,
        }
    }

    /// Takes one sample and hands on those that can be told from it and its past.
    pub fn push(&mut self, sample: f32, mut give: impl FnMut(f32)) {
        if let Some(slot) = self.line.get_mut(self.head) {
            *slot = sample;
        }
        if let Some(slot) = self.line.get_mut(self.head + self.taps) {
            *slot = sample;
        }
        self.head = (self.head + 1) % self.taps;
        while self.position < 1.0 {
            give(self.sample());
            self.position += self.step;
        }
        self.position -= 1.0;
    }

    /// How many samples come out for so many in, at most.
    #[must_use]
    pub fn most_output(&self, input: usize) -> usize {
        (input as f64 / self.step).ceil() as usize + 1
    }

    fn sample(&self) -> f32 {
        let place = self.position * STEPS as f64;
        let row = (place as usize).min(STEPS - 1);
        let blend = (place - row as f64) as f32;
        let window = &self.line[self.head..self.head + self.taps];
        let low = &self.table[row * self.taps..(row + 1) * self.taps];
        let high = &self.table[(row + 1) * self.taps..(row + 2) * self.taps];
        dot(low, window) * (1.0 - blend) + dot(high, window) * blend
    }
}

/// Converts a whole recording; the filter's delay is taken out.
#[must_use]
pub fn convert_all(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let mut converter = Converter::new(from_hz, to_hz);
    let delay = converter.taps / 2;
    let wanted = (samples.len() as f64 / converter.step).round() as usize;
    // The first output lies half a window before the first sample: the grid is laid so that the output
    // after those that are skipped falls on that sample exactly.
    let skip = (delay as f64 / converter.step).floor();
    converter.position = delay as f64 - skip * converter.step;
    let skip = skip as usize;
    let mut out = Vec::with_capacity(wanted + skip + 2);
    for sample in samples.iter().copied().chain((0..=delay).map(|_| 0.0)) {
        converter.push(sample, |value| out.push(value));
    }
    out.drain(..skip.min(out.len()));
    out.truncate(wanted);
    out
}

/// Eight sums side by side, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The window at `x` from -1 to 1.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel(KAISER_BETA)
}

/// The modified Bessel function of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, rate: f64, count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| (0.5 * (2.0 * PI * hz * i as f64 / rate).sin()) as f32)
            .collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    fn down(input: &[f32]) -> Vec<f32> {
        let mut resampler = Downsampler::<6>::new();
        let mut out = Vec::new();
        for frame in input.chunks_exact(480) {
            let mut samples = [0.0; 80];
            resampler.process(frame, &mut samples);
            out.extend_from_slice(&samples);
        }
        out
    }

    fn up(input: &[f32]) -> Vec<f32> {
        let mut resampler = Upsampler::<6>::new();
        let mut out = Vec::new();
        for frame in input.chunks_exact(80) {
            let mut samples = [0.0; 480];
            resampler.process(frame, &mut samples);
            out.extend_from_slice(&samples);
        }
        out
    }

    #[test]
    fn pieces_of_any_length_make_the_same_sound() {
        let said = sine(700.0, 8_000.0, 800);
        let whole = up(&said);
        for length in [1, 7, 8, 9, 33] {
            let mut resampler = Upsampler::<6>::new();
            let mut out = vec![0.0; whole.len()];
            for (piece, out) in said.chunks(length).zip(out.chunks_mut(length * 6)) {
                resampler.process(piece, out);
            }
            for (n, (one, other)) in whole.iter().zip(&out).enumerate() {
                assert!((one - other).abs() < 1e-5, "{length}, {n}: {one} {other}");
            }
        }
    }

    #[test]
    fn speech_band_passes_and_what_lies_above_is_stopped() {
        let level = |hz| rms(&down(&sine(hz, 48_000.0, 48_000))[400..]) / 0.353_55;
        for hz in [100.0, 1_000.0, 3_000.0, 3_300.0] {
            assert!((level(hz) - 1.0).abs() < 0.03, "{hz} Hz: {}", level(hz));
        }
        for hz in [4_600.0, 5_000.0, 9_000.0, 20_000.0] {
            assert!(level(hz) < 0.004, "{hz} Hz: {}", level(hz));
        }
    }

    #[test]
    fn upwards_there_are_no_images() {
        let out = up(&sine(1_000.0, 8_000.0, 8_000));
        let settled = &out[4_800..43_200];
        assert!((rms(settled) - 0.353_55).abs() < 0.002, "{}", rms(settled));
        // What a sine of the same frequency and best phase leaves over is images and distortion.
        let (mut s, mut c) = (0.0f64, 0.0f64);
        for (i, v) in settled.iter().enumerate() {
            let angle = 2.0 * PI * 1_000.0 * i as f64 / 48_000.0;
            s += f64::from(*v) * angle.sin();
            c += f64::from(*v) * angle.cos();
        }
        let n = settled.len() as f64;
        let (s, c) = (2.0 * s / n, 2.0 * c / n);
        let rest: Vec<f32> = settled
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let angle = 2.0 * PI * 1_000.0 * i as f64 / 48_000.0;
                v - (s * angle.sin() + c * angle.cos()) as f32
            })
            .collect();
        assert!(rms(&rest) < 0.353_55 * 0.001, "{}", rms(&rest));
    }

    #[test]
    fn there_and_back_is_the_same_4_ms_later() {
        let input: Vec<f32> = sine(700.0, 8_000.0, 4_000);
        let back = down(&up(&input));
        let error = (28..36)
            .map(|delay| {
                let pairs = input[..3_000].iter().zip(&back[delay..]);
                pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            })
            .fold(f32::MAX, f32::min);
        // The delay is a fraction of a sample off a whole number, hence not exact.
        assert!(error < 0.3, "{error}");
        assert!((rms(&back[400..]) - rms(&input)).abs() < 0.005);
    }

    #[test]
    fn any_rate_converts_to_any_other() {
        for (from, to) in [
            (44_100u32, 48_000u32),
            (48_000, 44_100),
            (16_000, 48_000),
            (48_000, 8_000),
            (96_000, 48_000),
        ] {
            let input = sine(1_000.0, f64::from(from), from as usize);
            let out = convert_all(&input, from, to);
            assert_eq!(out.len(), to as usize, "{from} to {to}");
            let wanted = sine(1_000.0, f64::from(to), to as usize);
            let middle = to as usize / 10..to as usize * 9 / 10;
            let error: Vec<f32> = out[middle.clone()]
                .iter()
                .zip(&wanted[middle])
                .map(|(a, b)| a - b)
                .collect();
            assert!(rms(&error) < 0.01, "{from} to {to}: {}", rms(&error));
        }
    }
}
