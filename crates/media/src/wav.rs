//! WAV files in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{SAMPLE_RATE_HZ, resample};

/// A file longer than this is not loaded: an hour.
const LONGEST_S: u64 = 3_600;

/// Why a file cannot be played.
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
    /// It is longer than an hour.
    #[error("{0} is longer than an hour")]
    TooLong(PathBuf),
}

/// How long samples that were loaded take to play.
pub fn length(samples: &[f32]) -> Duration {
    Duration::from_secs_f64(samples.len() as f64 / f64::from(SAMPLE_RATE_HZ))
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
    let reader = hound::WavReader::open(path).map_err(unreadable)?;
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
