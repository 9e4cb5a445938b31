//! Speech to send, and the question whether what was heard is the same speech.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process;

/// Comparisons are made at this rate: telephone speech has nothing above its half.
const RATE_HZ: u32 = 8_000;

/// Writes some seconds of speech as a mono 16-bit WAV file.
pub(crate) fn speech(folder: &Path, rate_hz: u32) -> PathBuf {
    let raw = folder.join("espeak.wav");
    process::output(Command::new("espeak-ng").args(["-s", "150", "-w"]).arg(&raw).arg(
        "Tip and ring are the two wires of a telephone line. Seven zebras quickly jumped over nine \
         boxes of fresh fish, and nobody heard the echo.",
    ));
    let path = folder.join(format!("speech-{rate_hz}.wav"));
    process::output(
        Command::new("sox")
            .arg(&raw)
            .args(["-r", &rate_hz.to_string(), "-c", "1", "-b", "16"])
            .arg(&path)
            .args(["gain", "-n", "-6", "pad", "0.3", "0.5"]),
    );
    path
}

/// Reads a WAV file, its first channel at [`RATE_HZ`] for [`likeness`].
pub(crate) fn read(path: &Path) -> Vec<f32> {
    let mut reader =
        hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().map_while(Result::ok).collect(),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1_u32 << (spec.bits_per_sample - 1)) as f32;
            let values = reader.samples::<i32>().map_while(Result::ok);
            values.map(|value| value as f32 * scale).collect()
        }
    };
    let first: Vec<f32> = samples
        .into_iter()
        .step_by(usize::from(spec.channels))
        .collect();
    down(&first, spec.sample_rate)
}

/// Reads raw 16-bit little-endian mono samples, as `parec` writes them.
pub(crate) fn read_raw(path: &Path, rate_hz: u32) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let samples: Vec<f32> = bytes
        .chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect();
    down(&samples, rate_hz)
}

/// To [`RATE_HZ`], with a windowed-sinc low-pass before every sample that stays.
fn down(samples: &[f32], rate_hz: u32) -> Vec<f32> {
    if rate_hz == RATE_HZ {
        return samples.to_vec();
    }
    assert!(
        rate_hz.is_multiple_of(RATE_HZ),
        "{rate_hz} Hz is no multiple of {RATE_HZ}"
    );
    decimate(samples, (rate_hz / RATE_HZ) as usize)
}

fn decimate(samples: &[f32], factor: usize) -> Vec<f32> {
    let reach = 8 * factor as isize;
    let cutoff = 0.45 / factor as f32;
    let kernel: Vec<f32> = (-reach..=reach)
        .map(|at| {
            let x = 2.0 * cutoff * at as f32 * std::f32::consts::PI;
            let sinc = if at == 0 { 1.0 } else { x.sin() / x };
            let window = 0.5 + 0.5 * (std::f32::consts::PI * at as f32 / (reach + 1) as f32).cos();
            2.0 * cutoff * sinc * window
        })
        .collect();
    (0..samples.len() / factor)
        .map(|index| {
            let middle = (index * factor) as isize;
            let tap = |(k, weight): (usize, &f32)| {
                let at = middle + k as isize - reach;
                usize::try_from(at)
                    .ok()
                    .and_then(|at| samples.get(at))
                    .map_or(0.0, |s| s * weight)
            };
            kernel.iter().enumerate().map(tap).sum()
        })
        .collect()
}

/// How alike `heard` is to `original`: normalised cross-correlation after alignment, 1.0 for the same
/// sound at any level, 0 for an unrelated one. The alignment is made anew for each 400 ms, a word or two, weighted
/// by its loudness, for a jitter buffer may lengthen or shorten a pause by some steps of ten
/// milliseconds and is right to do so. Where one part was found, the next is looked for too.
pub(crate) fn likeness(original: &[f32], heard: &[f32]) -> f32 {
    let parts = parts(original, heard, 3_200);
    let weight: f32 = parts.iter().map(|part| part.loudness).sum();
    let sum: f32 = parts.iter().map(|part| part.likeness * part.loudness).sum();
    sum / weight
}

/// How alike the middle one of all parts of 100 ms is when they are sorted by likeness. For sound that goes through
/// devices: on a busy machine a clock is followed and a gap is filled in some of the parts, and the others say whether
/// it is the same speech.
pub(crate) fn typical_likeness(original: &[f32], heard: &[f32]) -> f32 {
    let mut parts = loud_parts(original, heard);
    parts.sort_by(|a, b| a.likeness.total_cmp(&b.likeness));
    parts.get(parts.len() / 2).map_or(0.0, |part| part.likeness)
}

/// The same of the first four seconds of a file of speech and of what was heard of it.
pub(crate) fn begins_like(speech: &Path, heard: &Path) -> f32 {
    let original = read(speech);
    typical_likeness(&original[..32_000.min(original.len())], &read(heard))
}

/// The same of the four seconds after the first thirteen, wherever they were heard.
pub(crate) fn goes_on_like(speech: &Path, heard: &Path) -> f32 {
    let original = read(speech);
    let some = original.get(104_000..136_000).unwrap_or_default();
    typical_likeness(some, &read(heard))
}

/// The same speech twice in a file, nineteen seconds of it.
pub(crate) fn twice(speech: &Path) -> PathBuf {
    let path = speech.with_extension("twice.wav");
    process::output(Command::new("sox").args([speech, speech]).arg(&path));
    path
}

fn loud_parts(original: &[f32], heard: &[f32]) -> Vec<Part> {
    let mut parts = parts(original, heard, 800);
    let loudest = parts.iter().map(|part| part.loudness).fold(0.0, f32::max);
    parts.retain(|part| part.loudness > loudest / 10.0);
    parts
}

/// How much of the speech, by its loud parts of 100 ms, was heard at all: everything that is more like it than noise.
pub(crate) fn heard_share(original: &[f32], heard: &[f32]) -> f32 {
    let parts = loud_parts(original, heard);
    let there = parts.iter().filter(|part| part.likeness > 0.5).count();
    there as f32 / parts.len().max(1) as f32
}

struct Part {
    likeness: f32,
    loudness: f32,
}

fn parts(original: &[f32], heard: &[f32], length: usize) -> Vec<Part> {
    let original = trimmed(original);
    assert!(!original.is_empty(), "the original is silent");
    let Some(start) = place_of(original, heard) else {
        return Vec::new();
    };
    let mut shift = 0_isize;
    let find = |(index, part): (usize, &[f32])| {
        let expected = (start + index * length) as isize;
        let fit = |at: isize| {
            let at = usize::try_from(at).ok()?;
            Some(correlation(part, heard.get(at..at + length)?))
        };
        let places = [expected, expected + shift]
            .into_iter()
            .flat_map(|middle| middle - SLACK..=middle + SLACK);
        let (best, at) = places
            .filter_map(|at| Some((fit(at)?, at)))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((0.0, expected));
        if best > 0.8 {
            shift = at - expected;
        }
        Part {
            likeness: best.max(0.0),
            loudness: loudness(part),
        }
    };
    original
        .chunks_exact(length)
        .enumerate()
        .map(find)
        .collect()
}

/// How far a part may be from where it is expected: 200 ms.
const SLACK: isize = 1_600;

/// Where the whole of `original` fits best into `heard`. A quarter of the rate is enough to see it.
fn place_of(original: &[f32], heard: &[f32]) -> Option<usize> {
    let (original, heard) = (decimate(original, 4), decimate(heard, 4));
    (0..=heard.len().checked_sub(original.len())?)
        .map(|at| {
            (
                correlation(&original, &heard[at..at + original.len()]),
                at * 4,
            )
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, at)| at)
}

fn trimmed(samples: &[f32]) -> &[f32] {
    let loud = |sample: &f32| sample.abs() > 0.01;
    let (Some(first), Some(last)) = (
        samples.iter().position(loud),
        samples.iter().rposition(loud),
    ) else {
        return &[];
    };
    &samples[first..=last]
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (x, y) in a.iter().zip(b) {
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa <= 0.0 || bb <= f32::EPSILON {
        0.0
    } else {
        ab / (aa * bb).sqrt()
    }
}

/// Root mean square of a sound: its loudness, 1.0 at most.
pub(crate) fn loudness(samples: &[f32]) -> f32 {
    let sum: f32 = samples.iter().map(|sample| sample * sample).sum();
    (sum / samples.len().max(1) as f32).sqrt()
}

#[test]
fn the_same_speech_is_found_late_quiet_and_coded_and_other_sound_is_not() {
    let folder = super::folder::Folder::new("sound");
    let original = read(&speech(&folder, 48_000));
    let mut late = vec![0.0; 3_457];
    // Eight bits a sample, as G.711 would leave it, and a quarter of the level.
    late.extend(
        original
            .iter()
            .map(|sample| (sample * 127.0).round() / 127.0 / 4.0),
    );
    let found = likeness(&original, &late);
    assert!(found > 0.97, "{found}");

    let mut seed = 1_u32;
    let noise: Vec<f32> = (0..late.len())
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect();
    let noise = likeness(&original, &noise);
    assert!(noise < 0.3, "{noise}");
    let backwards: Vec<f32> = late.iter().rev().copied().collect();
    let backwards = likeness(&original, &backwards);
    assert!(backwards < 0.6, "{backwards}");
    let typical = typical_likeness(&original, &late);
    assert!(typical > 0.97, "{typical}");
    let reversed: Vec<f32> = late.iter().rev().copied().collect();
    let typical = typical_likeness(&original, &reversed);
    assert!(typical < 0.6, "{typical}");
    // A machine that was busy for 150 ms in the middle of it: one part is lost, the rest is as it was.
    let mut broken = late.clone();
    let middle = broken.len() / 2;
    broken.splice(middle..middle, [0.0; 1_200]);
    let broken = likeness(&original, &broken);
    assert!(broken > 0.9, "{broken}");
    let mut gaps = late.clone();
    for (at, sample) in gaps.iter_mut().enumerate() {
        if at % 4_000 < 1_200 {
            *sample = 0.0;
        }
    }
    let gaps = likeness(&original, &gaps);
    assert!(gaps < 0.9, "{gaps}");
}
