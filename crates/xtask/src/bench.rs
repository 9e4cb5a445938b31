//! `cargo xtask bench`: what it costs, measured beside others where others can be run.

#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod proc;

use crate::shell::{self, Fault, misuse};

/// `cargo xtask bench parse|register|calls|idle|media`.
pub(crate) fn bench(args: &[String]) -> Result<(), Fault> {
    match args.first().map(String::as_str) {
        Some("parse") => parse(),
        #[cfg(target_os = "linux")]
        Some("register") => live::register(),
        #[cfg(target_os = "linux")]
        Some("calls") => live::calls(),
        #[cfg(target_os = "linux")]
        Some("idle") => live::idle(),
        #[cfg(target_os = "linux")]
        Some("media") => live::media(),
        #[cfg(not(target_os = "linux"))]
        Some("register" | "calls" | "idle" | "media") => Err(shell::failed(
            "this is measured through /proc, so on Linux only",
        )),
        _ => Err(misuse("bench takes parse, register, calls, idle or media")),
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
