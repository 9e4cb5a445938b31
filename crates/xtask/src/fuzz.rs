//! `cargo xtask fuzz`: libFuzzer on the stable compiler. The coverage instrumentation is a set of
//! compiler passes that need no nightly switch, only the flags below.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::shell::{self, Fault, failed, misuse};

/// A target in tests/fuzz and the folders, beside its own seeds, that it starts from.
const TARGETS: &[(&str, &[&str])] = &[
    ("message", &["tests/data/torture"]),
    ("framer", &["tests/data/torture"]),
    ("uri", &[]),
    ("sdp", &[]),
    ("rtp", &[]),
    ("nat", &[]),
    ("auth", &[]),
    ("certificate", &[]),
    ("events", &[]),
    ("tape", &["tests/data/replay"]),
];

const INSTRUMENT: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// `cargo xtask fuzz [TARGET] [--seconds N]`.
pub(crate) fn fuzz(args: &[String]) -> Result<(), Fault> {
    let mut seconds = 60;
    let mut chosen = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            seconds = args
                .next()
                .and_then(|word| word.parse().ok())
                .ok_or_else(|| misuse("--seconds needs a number"))?;
        } else if let Some((name, _)) = TARGETS.iter().find(|(name, _)| name == arg) {
            chosen = Some(*name);
        } else {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            return Err(misuse(&format!(
                "there is no fuzz target {arg}, only {}",
                names.join(", ")
            )));
        }
    }
    let note = match chosen {
        Some(name) => {
            let folder = build()?;
            run_one(name, &folder, seconds)?
        }
        None => run_all(seconds)?,
    };
    println!("fuzz: {note}");
    Ok(())
}

/// Runs every target for `seconds`, two at a time.
pub(crate) fn run_all(seconds: u64) -> Result<String, Fault> {
    let folder = build()?;
    let mut notes = Vec::new();
    let mut faults = Vec::new();
    for pair in TARGETS.chunks(2) {
        let outcomes: Vec<Result<String, Fault>> = std::thread::scope(|scope| {
            let runs: Vec<_> = pair
                .iter()
                .map(|(name, _)| scope.spawn(|| run_one(name, &folder, seconds)))
                .collect();
            runs.into_iter()
                .map(|run| {
                    run.join()
                        .unwrap_or_else(|_| Err(failed("the run panicked")))
                })
                .collect()
        });
        for outcome in outcomes {
            match outcome {
                Ok(note) => notes.push(note),
                Err(fault) => faults.push(fault.text),
            }
        }
    }
    if faults.is_empty() {
        Ok(notes.join(", "))
    } else {
        Err(failed(&faults.join("; ")))
    }
}

/// Builds all targets and gives the folder of the executables.
fn build() -> Result<PathBuf, Fault> {
    let triple = host_triple()?;
    let target_dir = shell::target_dir().join("fuzz");
    let mut command = shell::cargo();
    command
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(shell::root().join("tests/fuzz/Cargo.toml"))
        // With a named target the flags do not reach build scripts.
        .args(["--target", &triple, "--target-dir"])
        .arg(&target_dir)
        .env("RUSTFLAGS", INSTRUMENT);
    shell::run(&mut command)?;
    Ok(target_dir.join(triple).join("release"))
}

fn host_triple() -> Result<String, Fault> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = shell::output(Command::new(rustc).arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| failed("rustc does not say what machine this is"))
}

fn run_one(name: &str, folder: &std::path::Path, seconds: u64) -> Result<String, Fault> {
    let home = shell::root().join("tests/fuzz");
    let artifacts = home.join("artifacts").join(name);
    let corpus = shell::target_dir().join("fuzz/corpus").join(name);
    fs::create_dir_all(&artifacts)?;
    fs::create_dir_all(&corpus)?;
    let mut command = Command::new(folder.join(name));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // A parse takes microseconds; five seconds are a loop.
        .args(["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .arg(format!("-dict={}", home.join("sip.dict").display()))
        .arg(&corpus)
        .arg(home.join("seeds").join(name));
    let shared = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .map_or(&[][..], |(_, folders)| *folders);
    command.args(
        shared
            .iter()
            .map(|folder| shell::root().join(folder))
            .filter(|folder| folder.is_dir()),
    );
    let mut runs = String::new();
    let log = shell::artifacts_dir()
        .join("logs")
        .join(format!("fuzz-{name}.log"));
    let limit = Duration::from_secs(seconds + 120);
    shell::watch(&mut command, &log, limit, |line| {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            runs = count.trim().to_owned();
        }
    })
    .map_err(|fault| {
        failed(&format!(
            "{name}: {fault}; the input is in {}",
            artifacts.display()
        ))
    })?;
    if runs.is_empty() {
        return Err(failed(&format!("{name}: ended without having run")));
    }
    Ok(format!("{name} {runs} runs"))
}
