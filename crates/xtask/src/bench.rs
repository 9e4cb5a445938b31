//! `cargo xtask bench`: what it costs, measured beside others where others can be run.

use crate::shell::{self, Fault, misuse};

/// `cargo xtask bench parse`.
pub(crate) fn bench(args: &[String]) -> Result<(), Fault> {
    match args.first().map(String::as_str) {
        Some("parse") => parse(),
        _ => Err(misuse("bench takes: parse")),
    }
}

/// Our parser and two others on the same message, in a package with a lock file of its own.
fn parse() -> Result<(), Fault> {
    shell::run(
        shell::cargo()
            .args(["run", "--release", "--locked", "--manifest-path"])
            .arg(shell::root().join("crates/bench-peers/Cargo.toml"))
            .arg("--target-dir")
            .arg(shell::target_dir().join("bench-peers")),
    )
}
