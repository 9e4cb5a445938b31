//! Ours: from microphone to loudspeaker, in virtual time.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use codecs::CodecKind;
use media::{Codec, Source, StreamParameters};

use crate::cases::{self, Case, SEED};
use crate::impaired::{Impairment, Line, sharpest};
use crate::{LEAD_S, RATE_HZ, cut};

pub(crate) fn run(folder: &Path, pieces: &[Vec<f32>]) -> Result<(), String> {
    let mut table = String::new();
    for kind in cases::codecs() {
        for (number, case) in cases::all().iter().enumerate() {
            table += &row(folder, number, case, kind, pieces)?;
        }
    }
    let path = folder.join("ours.tsv");
    std::fs::write(&path, table).map_err(|e| format!("{}: {e}", path.display()))
}

fn row(
    folder: &Path,
    number: usize,
    case: &Case,
    kind: CodecKind,
    pieces: &[Vec<f32>],
) -> Result<String, String> {
    let said = cut::speech(pieces);
    let seconds = said.len() as u64 / u64::from(RATE_HZ);
    let parameters = parameters(kind);
    let mut line = Line::speaking(said, &parameters, case.impairment, SEED);
    let (mut buffer, mut looks, mut steps) = (0u64, 0u64, 0usize);
    line.run(Duration::from_secs(seconds), |counters| {
        steps += 1;
        if steps > LEAD_S * 100 {
            buffer += counters.buffer_us() / 1_000;
            looks += 1;
        }
    });
    let name = format!("ours-{kind}-{number}");
    let (files, delay) = cut::write(
        folder,
        &name,
        pieces,
        line.heard(),
        cut::LATEST_S,
        cases::scored_at(kind),
    )?;
    let counters = line.counters();
    let lost = line.fates.lost as f64 / line.sent().max(1) as f64;
    let mut row = format!(
        "{}\t{kind}\t{lost:.4}\t{:.1}\t{:.1}\t{:.1}\t{:.4}\t{:.2}",
        case.name,
        line.fates.p95().as_secs_f64() * 1e3,
        delay as f64 / 48.0,
        buffer as f64 / looks.max(1) as f64,
        counters.concealed_ms() as f64 / (seconds * 1_000) as f64,
        clicks(case, &parameters),
    );
    for file in files {
        let _ = write!(row, "\t{file}");
    }
    row.push('\n');
    Ok(row)
}

pub(crate) fn parameters(kind: CodecKind) -> StreamParameters {
    StreamParameters::new(Codec::new(kind, kind.static_payload_type().unwrap_or(111)))
}

/// How much steeper than over a perfect network and with right clocks a tone becomes. Only asked about drift: what is lost
/// is heard in any case.
fn clicks(case: &Case, parameters: &StreamParameters) -> f32 {
    if case.impairment.drift_ppm == 0.0 {
        return 0.0;
    }
    let tone = |impairment: Impairment| {
        let mut line = Line::new(Source::Tone { hz: 200.0 }, parameters, impairment, SEED);
        line.run(Duration::from_secs(120), |_| {});
        sharpest(line.heard().get(2 * RATE_HZ as usize..).unwrap_or_default())
    };
    tone(case.impairment) / tone(Impairment::NONE).max(1e-6)
}
