//! What signalling costs inside the core: one call on each side, the state of a call that talks, and
//! of a registration that rests. `crates/sip-core/examples/signalling.rs` is what runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::figures::{Figures, value};
use crate::shell::{self, Fault, failed};

const GROUP: &str = "signalling in the core";
/// A call on one side, in microseconds.
const MOST_MICROSECONDS: f64 = 100.0;
/// A call that talks, in bytes.
const MOST_FOR_A_CALL: f64 = 12_000.0;
/// A registration at rest, in bytes.
const MOST_FOR_A_REGISTRATION: f64 = 4_000.0;
/// Instructions are counted, not estimated, so a few calls tell them.
const CALLS_COUNTED: u64 = 50;

/// `cargo xtask bench signalling`.
pub(crate) fn signalling(figures: &mut Figures) -> Result<(), Fault> {
    let program = build()?;
    let time = said(&program, "time")?;
    let memory = said(&program, "memory")?;
    for side in ["caller", "callee"] {
        let figure = value(&time, &format!("{side}-microseconds"))?;
        let what = format!("a call, {side}");
        figures.add_with_goal(GROUP, &what, (figure, MOST_MICROSECONDS), "µs");
        figures.add(GROUP, "  instructions", instructions(&program, side)?);
    }
    for side in ["caller", "callee"] {
        let figure = value(&memory, &format!("{side}-bytes"))?;
        let what = format!("state of a call, {side}");
        figures.add_with_goal(GROUP, &what, (figure, MOST_FOR_A_CALL), "bytes");
    }
    let figure = value(&memory, "registration-bytes")?;
    let what = "state of a registration";
    figures.add_with_goal(GROUP, what, (figure, MOST_FOR_A_REGISTRATION), "bytes");
    Ok(())
}

/// With its symbols, so that the two sides can be told apart by their functions.
fn build() -> Result<PathBuf, Fault> {
    let mut command = shell::cargo();
    command
        .args(["build", "--locked", "--profile", "bench", "-p", "sip-core"])
        .args(["--example", "signalling"])
        .env("CARGO_PROFILE_BENCH_STRIP", "none")
        .env("CARGO_PROFILE_BENCH_DEBUG", "line-tables-only");
    shell::run(&mut command)?;
    Ok(shell::target_dir().join("release/examples/signalling"))
}

fn said(program: &Path, what: &str) -> Result<String, Fault> {
    shell::output(Command::new(program).arg(what))
}

/// Instructions of one call on one side, by valgrind: a virtual machine rarely lends out the counters
/// of its processor.
fn instructions(program: &Path, side: &str) -> Result<String, Fault> {
    if !shell::has_program("valgrind") {
        return Ok("valgrind is missing".to_owned());
    }
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*signalling*on_{side}*"))
        .arg(program)
        .args(["calls", &CALLS_COUNTED.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = collected(&said).filter(|_| output.status.success());
    let count = count.ok_or_else(|| failed(&format!("valgrind counted nothing: {said}")))?;
    Ok(format!("{} k", count / CALLS_COUNTED / 1_000))
}

/// What valgrind collected; nothing when the function was not found.
fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected : ")?;
    let count = rest.lines().next()?.trim().parse().ok()?;
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn a_count_of_nothing_is_no_count() {
        assert_eq!(
            collected("==1== Collected : 40319795\n==1== \n"),
            Some(40_319_795)
        );
        assert_eq!(collected("==1== Collected : 0\n"), None);
        assert_eq!(collected("valgrind: no such file"), None);
    }
}
