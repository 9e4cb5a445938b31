//! Speech through every codec and a network with faults, in virtual time, and the same speech from one baresip to
//! another through the same faults. `cargo xtask bench impair` runs it and scores what comes out.
//!
//! ```text
//!  impair ours FOLDER SAID.wav…        writes FOLDER/ours.tsv and the sound it names
//!  impair baresip FOLDER SAID.wav…     the same with baresip, in real time
//! ```
//!
//! A row of the table: case, codec, lost share, 95th percentile of jitter in ms, delay from mouth to ear in ms, what the
//! buffer adds in ms (mean), concealed share, steepest change against that without faults, and then pairs of files: what
//! was said and what was heard, 8 s each, at 8 kHz and, for wideband codecs, at 16 kHz.

#[cfg(unix)]
mod baresip;
mod cases;
mod cut;
#[path = "../../tests/common/impaired.rs"]
mod impaired;
#[cfg(unix)]
mod relay;
mod virtually;

use std::path::Path;

/// Rate of everything inside.
const RATE_HZ: u32 = 48_000;

/// Length of a scored piece: what PESQ was made for.
const PIECE_S: usize = 8;

/// The buffer learns about the network before anything counts.
const LEAD_S: usize = 8;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.as_slice() {
        [verb, folder, said @ ..] if !said.is_empty() => run(verb, Path::new(folder), said),
        _ => Err("impair ours|baresip FOLDER SAID.wav…".to_owned()),
    };
    if let Err(words) = outcome {
        eprintln!("{words}");
        std::process::exit(1);
    }
}

fn run(verb: &str, folder: &Path, said: &[String]) -> Result<(), String> {
    let pieces = said
        .iter()
        .map(|path| cut::piece(Path::new(path)))
        .collect::<Result<Vec<_>, _>>()?;
    match verb {
        "ours" => virtually::run(folder, &pieces),
        #[cfg(unix)]
        "baresip" => baresip::run(folder, &pieces),
        _ => Err(format!("there is no {verb}")),
    }
}
