//! WAV files in and out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{SAMPLE_RATE_HZ, resample};

/// A file longer than this is not loaded: an hour.
const LONGEST_S: u64 = 3_600;

/// Why a file cannot be played or written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// It cannot be read, or it is no WAV file.
    #[error("{path} cannot be played: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// It cannot be written.
    #[error("{path} cannot be written: {reason}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the writer says.
        reason: String,
    },
    /// It is longer than an hour.
    #[error("{0} is longer than an hour")]
    TooLong(PathBuf),
}

/// How long samples that were loaded take to play.
pub fn length(samples: &[f32]) -> Duration {
    Duration::from_secs_f64(samples.len() as f64 / f64::from(SAMPLE_RATE_HZ))
}

/// Saves samples at 48 kHz as a WAV file of another rate, mono, 16 bits.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, samples: &[f32], rate_hz: u32) -> Result<(), WavError> {
    let unwritable = |reason: hound::Error| WavError::Unwritable {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(unwritable)?;
    for sample in resample::convert_all(samples, SAMPLE_RATE_HZ, rate_hz) {
        // `as` saturates.
        let written = writer.write_sample((sample * 32_768.0) as i16);
        written.map_err(unwritable)?;
    }
    writer.finalize().map_err(unwritable)
}

/// Loads a WAV file of any rate, width and number of channels as 48 kHz mono.
///
/// # Errors
/// The file cannot be read, is no WAV file, or is longer than an hour.
pub fn load(path: &Path) -> Result<Arc<[f32]>, WavError> {
    let unreadable = |reason: hound::Error| WavError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let file = std::fs::File::open(path).map_err(|e| unreadable(e.into()))?;
    read(std::io::BufReader::new(file), path)
}

/// The same from memory.
///
/// # Errors
/// It is no WAV file, or longer than an hour.
pub fn parse(bytes: &[u8]) -> Result<Arc<[f32]>, WavError> {
    read(bytes, Path::new("sound"))
}

fn read(from: impl std::io::Read, path: &Path) -> Result<Arc<[f32]>, WavError> {
    let unreadable = |reason: hound::Error| WavError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let reader = hound::WavReader::new(from).map_err(unreadable)?;
    let spec = reader.spec();
    if spec.sample_rate == 0 || spec.channels == 0 {
        return Err(unreadable(hound::Error::FormatError(
            "no rate or no channels",
        )));
    }
    if u64::from(reader.duration()) > LONGEST_S * u64::from(spec.sample_rate) {
        return Err(WavError::TooLong(path.to_owned()));
    }
    let interleaved: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader
            .into_samples::<f32>()
            .collect::<Result<_, _>>()
            .map_err(unreadable)?,
        hound::SampleFormat::Int => {
            let full = (1u64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
            reader
                .into_samples::<i32>()
                .map(|sample| sample.map(|value| value as f32 / full))
                .collect::<Result<_, _>>()
                .map_err(unreadable)?
        }
    };
    let channels = usize::from(spec.channels);
    let mono: Vec<f32> = interleaved
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect();
    Ok(resample::convert_all(&mono, spec.sample_rate, SAMPLE_RATE_HZ).into())
}
