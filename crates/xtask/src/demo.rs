//! `cargo xtask demo`: from a fresh checkout to a ringing phone.

use crate::setup::{self, Need};
use crate::shell::{self, Fault};

/// Builds and runs `tipring demo`; arguments behind `--` go to it.
pub(crate) fn demo(args: &[String]) -> Result<(), Fault> {
    let passed = match args.first().map(String::as_str) {
        Some("--") => args.get(1..).unwrap_or_default(),
        _ => args,
    };
    setup::ensure(Need::Run)?;
    // The developer profile: it shares its build with the tests, and links in seconds.
    shell::run(
        shell::cargo()
            .args(["run", "--package", "app", "--bin", "tipring", "--", "demo"])
            .args(passed),
    )
}
