//! Conversations in a room with a loudspeaker and a microphone: `echo FOLDER`. `cargo xtask bench echo` runs it and scores
//! what the other side hears of whoever is in the room while both speak.
//!
//! A row each: delay in ms, what is done, how far the echo is down in dB while one side speaks, and after both have spoken,
//! level of near speech in dB, its likeness, the share of it that is swallowed in per cent, microseconds for 10 ms, and pairs of files: what was said and what was heard.

use std::fmt::Write as _;
use std::path::Path;

use media::Processing;

#[path = "../tests/common/echo.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod echo;

fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("echo FOLDER");
        std::process::exit(1);
    };
    if let Err(error) = run(Path::new(&folder)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let only = Processing {
        echo: true,
        ..Processing::NONE
    };
    let mut table = String::new();
    for delay_ms in [40, 100, 200] {
        for (name, processing) in [("echo", only), ("all", Processing::ALL)] {
            let outcome = echo::conversation(&echo::Room::new(delay_ms), processing);
            write!(
                table,
                "{delay_ms}\t{name}\t{:.1}\t{:.1}\t{:.1}\t{:.3}\t{:.1}\t{}",
                outcome.down_db,
                outcome.after_db,
                outcome.near_db,
                outcome.likeness,
                outcome.swallowed * 100.0,
                outcome.cost.as_micros()
            )?;
            for rate_hz in [8_000, 16_000] {
                for (what, samples) in [("said", &outcome.said), ("heard", &outcome.sent)] {
                    let path = folder.join(format!("{what}-{name}-{delay_ms}-{rate_hz}.wav"));
                    media::wav::save(&path, samples, rate_hz)?;
                    write!(table, "\t{}", path.display())?;
                }
            }
            table.push('\n');
        }
    }
    std::fs::write(folder.join("echo.tsv"), table)?;
    Ok(())
}
