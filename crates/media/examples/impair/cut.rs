//! Pieces of speech: what was said, and where in what was heard it is.

use std::path::Path;

use crate::{PIECE_S, RATE_HZ};

/// The level that speech is brought to: root mean square over all of it, -28 dB.
const LEVEL: f32 = 0.04;

/// How much later than expected a piece may be.
pub(crate) const LATEST_S: usize = 2;

/// Silence around a piece.
const QUIET_S: f32 = 0.4;

/// Loads a recording, levels it and makes it exactly a piece long.
pub(crate) fn piece(path: &Path) -> Result<Vec<f32>, String> {
    let mut samples = media::wav::load(path).map_err(|e| e.to_string())?.to_vec();
    let sum: f32 = samples.iter().map(|s| s * s).sum();
    let gain = LEVEL / (sum / samples.len().max(1) as f32).sqrt().max(1e-6);
    for sample in &mut samples {
        *sample *= gain;
    }
    let mut piece = vec![0.0; (QUIET_S * RATE_HZ as f32) as usize];
    piece.extend_from_slice(&samples);
    piece.resize(PIECE_S * RATE_HZ as usize, 0.0);
    Ok(piece)
}

/// Everything that is said: a first piece that does not count, and then all of them.
pub(crate) fn speech(pieces: &[Vec<f32>]) -> Vec<f32> {
    let mut said = pieces.first().cloned().unwrap_or_default();
    said.extend(pieces.iter().flatten());
    // What is under way at the end is heard, too.
    said.resize(said.len() + LATEST_S * RATE_HZ as usize, 0.0);
    said
}

/// Finds a piece that was said at `begin` in what was heard; answers how many samples later it is there.
///
/// The shape of its loudness tells about where, the sound itself tells exactly.
fn delay(piece: &[f32], heard: &[f32], begin: usize, latest_s: usize) -> usize {
    const HOP: usize = 96;
    let loudness = |samples: &[f32]| -> Vec<f32> {
        let sums = samples
            .chunks(HOP)
            .map(|hop| (hop.iter().map(|s| s * s).sum::<f32>() + 1e-6).ln());
        sums.collect()
    };
    let end = (begin + piece.len() + latest_s * RATE_HZ as usize).min(heard.len());
    let around = heard.get(begin..end).unwrap_or_default();
    let (short, long) = (loudness(piece), loudness(around));
    let hops = latest_s * RATE_HZ as usize / HOP;
    let coarse = best((0..hops).map(|lag| (lag, likeness(&short, &long, lag, 1)))) * HOP;
    let reach = RATE_HZ as usize / 100;
    let from = coarse.saturating_sub(reach);
    let rough = best(
        (from..coarse + reach)
            .step_by(4)
            .map(|lag| (lag, likeness(piece, around, lag, 5))),
    );
    best((rough.saturating_sub(4)..rough + 5).map(|lag| (lag, likeness(piece, around, lag, 3))))
}

fn best(scores: impl Iterator<Item = (usize, f64)>) -> usize {
    scores
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(lag, _)| lag)
}

fn likeness(a: &[f32], b: &[f32], lag: usize, step: usize) -> f64 {
    let b = b.get(lag..).unwrap_or_default();
    let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 1e-12, 1e-12, 0.0);
    for (a, b) in a.iter().zip(b).step_by(step) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        n += 1.0;
        sa += a;
        sb += b;
        saa += a * a;
        sbb += b * b;
        sab += a * b;
    }
    let (va, vb) = (saa - sa * sa / n, sbb - sb * sb / n);
    (sab - sa * sb / n) / (va * vb).sqrt().max(1e-12)
}

/// Writes the pieces of what was heard beside what was said; answers the files as columns, and the median delay in
/// samples at 48 kHz.
pub(crate) fn write(
    folder: &Path,
    name: &str,
    pieces: &[Vec<f32>],
    heard: &[f32],
    latest_s: usize,
    rates_hz: &[u32],
) -> Result<(Vec<String>, usize), String> {
    let mut columns = Vec::new();
    let mut delays = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        let begin = (n + 1) * PIECE_S * RATE_HZ as usize;
        let delay = delay(piece, heard, begin, latest_s);
        delays.push(delay);
        let found = heard.get(begin + delay..).unwrap_or_default();
        let found = found.get(..piece.len()).unwrap_or(found);
        for rate_hz in rates_hz {
            let said_path = folder.join(format!("said-{n}-{rate_hz}.wav"));
            let heard_path = folder.join(format!("{name}-{n}-{rate_hz}.wav"));
            store(&said_path, piece, *rate_hz)?;
            store(&heard_path, found, *rate_hz)?;
            columns.push(said_path.display().to_string());
            columns.push(heard_path.display().to_string());
        }
    }
    delays.sort_unstable();
    let median = delays.get(delays.len() / 2).copied().unwrap_or(0);
    Ok((columns, median))
}

pub(crate) fn store(path: &Path, samples: &[f32], rate_hz: u32) -> Result<(), String> {
    media::wav::save(path, samples, rate_hz).map_err(|e| e.to_string())
}
