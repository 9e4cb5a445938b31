//! What a developer types: `cargo xtask demo`, `test`, `layers`, `features`, `fuzz`, `bench`.
//!
//! Nothing outside the standard library is used, so that the first command in a fresh checkout
//! compiles in seconds and can then say what the machine lacks.

mod bench;
mod cases;
mod demo;
mod features;
mod fuzz;
mod json;
mod layers;
mod setup;
mod shell;
mod stages;
mod suite;
mod tally;
mod toml;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask VERB

  demo [-- ARGS]              install what is missing, build, and run `tipring demo`
  test [--quick] [--only STAGE]...
                              everything a change must pass; stages are listed by `test --list`
  setup [build|run|test]      install system packages only
  layers                      check the arrows between the crates
  features [--write]          check tests/data/features.toml and cases.toml; --write refreshes the
                              README's table
  fuzz [TARGET] [--seconds N] run the fuzz targets (60 seconds each)
  bench                       all of these figures, as one table
  bench impair                speech through every codec and bad networks, scored by PESQ, and
                              baresip beside it
  bench echo                  how far the echo of the loudspeaker is down, and what is left of near speech
  bench parse                 our parser beside others
  bench signalling            one call inside the core, and what calls and registrations hold
  bench media                 one to five hundred calls in one process: processor for a call, late
                              steps, allocations
  bench register|calls|idle|talk
                              the release program on loopback, measured through /proc; idle also from
                              the start to the first frame, talk also from mouth to ear and beside
                              baresip
  bench devices               from microphone to wire and from wire to speaker, by PulseAudio and PipeWire
  bench load [MINUTES]        fifty calls a second behind a login";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("demo") => demo::demo(rest),
        Some("test") => suite::test(rest),
        Some("setup") => setup::setup(rest),
        Some("layers") => layers::layers(),
        Some("features") => features::features(rest),
        Some("fuzz") => fuzz::fuzz(rest),
        Some("bench") => bench::bench(rest),
        Some("help" | "--help" | "-h") | None => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(shell::misuse(&format!("unknown verb {other}\n\n{USAGE}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {}", fault.text);
            ExitCode::from(fault.exit)
        }
    }
}
