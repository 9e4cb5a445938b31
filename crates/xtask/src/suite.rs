//! `cargo xtask test`: everything that a change must pass, in one command.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::json::Json;
use crate::setup::{self, Need};
use crate::shell::{self, Fault, failed, misuse};
use crate::stages::Stages;
use crate::tally::Tally;
use crate::{features, fuzz, layers};

const STAGES: &[(&str, &str)] = &[
    ("setup", "system packages, with the real peers"),
    ("fmt", "rustfmt finds nothing to change"),
    ("layers", "no crate imports what it may not"),
    (
        "features",
        "tests/data/features.toml is complete and the README shows it",
    ),
    ("clippy", "no warning in any target"),
    ("build", "the program and all tests"),
    ("unit", "tests of every crate"),
    ("doc", "examples in the documentation"),
    (
        "fuzz",
        "every fuzz target for a minute (ten seconds with --quick)",
    ),
    (
        "e2e",
        "the program against real peers, with sound and a window",
    ),
    (
        "shown",
        "every test that features.toml names did run and pass",
    ),
];

/// Longest time one test executable may take.
const UNIT_LIMIT: Duration = Duration::from_secs(15 * 60);
const E2E_LIMIT: Duration = Duration::from_secs(25 * 60);

struct Options {
    quick: bool,
    only: Vec<String>,
    /// What stands behind `--`: goes to the test executables.
    passed: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Fault> {
        let mut options = Self {
            quick: false,
            only: Vec::new(),
            passed: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--only" => {
                    let name = args.next().ok_or_else(|| misuse("--only needs a stage"))?;
                    if STAGES.iter().all(|(stage, _)| stage != name) {
                        return Err(misuse(&format!("there is no stage {name}")));
                    }
                    options.only.push(name.clone());
                }
                "--" => options.passed = args.by_ref().cloned().collect(),
                other => return Err(misuse(&format!("test does not know {other}"))),
            }
        }
        Ok(options)
    }

    fn wants(&self, stage: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == stage)
    }

    /// Whether what the tests show is the whole of what they can show.
    fn is_whole(&self) -> bool {
        self.only.is_empty() && self.passed.is_empty()
    }
}

/// `cargo xtask test [--quick] [--only STAGE]… [-- FILTER…]`.
pub(crate) fn test(args: &[String]) -> Result<(), Fault> {
    if args == ["--list"] {
        for (name, what) in STAGES {
            println!("{name:<10} {what}");
        }
        return Ok(());
    }
    let options = Options::parse(args)?;
    let artifacts = shell::artifacts_dir();
    let logs = artifacts.join("logs");
    if logs.exists() {
        fs::remove_dir_all(&logs)?;
    }
    fs::create_dir_all(&logs)?;
    let mut stages = Stages::default();
    cheap_stages(&mut stages, &options);

    let mut passed = BTreeSet::new();
    let wants_tests = options.wants("unit") || options.wants("e2e");
    if options.wants("build") || wants_tests {
        let mut built = None;
        stages.run("build", || {
            let found = build()?;
            let note = format!("{} test executables", found.tests.len());
            built = Some(found);
            Ok(note)
        });
        run_tests(&mut stages, &options, built.as_ref(), &logs, &mut passed);
    }
    if options.wants("doc") {
        stages.run("doc", || {
            let words = "test --workspace --doc --locked --quiet";
            shell::watch(
                shell::cargo().args(words.split(' ')),
                &logs.join("doc.log"),
                UNIT_LIMIT,
                |_| {},
            )
            .map(|()| String::new())
        });
    }
    if options.wants("fuzz") {
        let seconds = if options.quick { 10 } else { 60 };
        stages.run("fuzz", || fuzz::run_all(seconds));
    }
    if options.is_whole() {
        stages.run("shown", || {
            features::check_against_run(&passed).map(|()| String::new())
        });
    }
    println!("\nlogs, pictures and recordings: {}", artifacts.display());
    stages.finish()
}

fn cheap_stages(stages: &mut Stages, options: &Options) {
    if options.wants("setup") {
        stages.run("setup", || {
            setup::ensure(Need::Test).map(|()| String::new())
        });
    }
    if options.wants("fmt") {
        stages.run("fmt", || {
            shell::run(shell::cargo().args(["fmt", "--all", "--check"])).map(|()| String::new())
        });
    }
    if options.wants("layers") {
        stages.run("layers", || layers::layers().map(|()| String::new()));
    }
    if options.wants("features") {
        stages.run("features", || {
            features::features(&[]).map(|()| String::new())
        });
    }
    if options.wants("clippy") {
        stages.run("clippy", || {
            let words = "clippy --workspace --all-targets --locked -- -D warnings";
            shell::run(shell::cargo().args(words.split(' '))).map(|()| String::new())
        });
    }
}

fn run_tests(
    stages: &mut Stages,
    options: &Options,
    built: Option<&Built>,
    logs: &Path,
    passed: &mut BTreeSet<String>,
) {
    if options.wants("unit") {
        match built {
            None => stages.not_run("unit", "the build failed"),
            Some(built) => {
                stages.run("unit", || unit(built, options, logs, passed));
            }
        }
    }
    if options.wants("e2e") {
        match built {
            None => stages.not_run("e2e", "the build failed"),
            Some(built) => {
                stages.run("e2e", || end_to_end(built, options, logs, passed));
            }
        }
    }
}

/// What cargo built for us.
struct Built {
    /// The program.
    tipring: PathBuf,
    tests: Vec<TestExecutable>,
}

struct TestExecutable {
    /// Folder name of the crate, and behind `::` the target's when it is not the crate's own.
    name: String,
    /// Folder of the crate: where cargo would run it.
    folder: PathBuf,
    path: PathBuf,
}

/// One call of cargo for everything, so that nothing is compiled twice with different features.
fn build() -> Result<Built, Fault> {
    let words = "build --workspace --all-targets --locked --message-format json-render-diagnostics";
    let mut command = shell::cargo();
    command.args(words.split(' ')).stderr(Stdio::inherit());
    let out = command
        .output()
        .map_err(|error| failed(&format!("{}: {error}", shell::show(&command))))?;
    if !out.status.success() {
        return Err(failed("the build failed"));
    }
    built_from(&String::from_utf8_lossy(&out.stdout))
}

fn built_from(messages: &str) -> Result<Built, Fault> {
    let mut tipring = None;
    let mut tests = Vec::new();
    for line in messages.lines() {
        let message = Json::parse(line)?;
        let Some(executable) = message.at("executable").text() else {
            continue;
        };
        let target = message.at("target");
        let target_name = target.at("name").text().unwrap_or_default();
        let manifest = PathBuf::from(message.at("manifest_path").text().unwrap_or_default());
        let Some(folder) = manifest.parent() else {
            continue;
        };
        let package = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !message.at("profile").at("test").is_true() {
            if target_name == "tipring" {
                tipring = Some(PathBuf::from(executable));
            }
            continue;
        }
        let is_own_target = target
            .at("kind")
            .list()
            .iter()
            .any(|kind| kind.text() == Some("test"));
        let name = if is_own_target {
            format!("{package}::{target_name}")
        } else {
            package
        };
        tests.push(TestExecutable {
            name,
            folder: folder.to_owned(),
            path: executable.into(),
        });
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Built {
        tipring: tipring.ok_or_else(|| failed("cargo built no program called tipring"))?,
        tests,
    })
}

/// The end-to-end tests are one executable of the package `tests`.
const E2E: &str = "tests::it";

fn unit(
    built: &Built,
    options: &Options,
    logs: &Path,
    passed: &mut BTreeSet<String>,
) -> Result<String, Fault> {
    let mut tally = Tally::default();
    for test in built.tests.iter().filter(|test| test.name != E2E) {
        let log = logs.join("unit.log");
        run(&mut tally, test, &options.passed, &[], &log, UNIT_LIMIT);
    }
    tally.finish(passed)
}

fn end_to_end(
    built: &Built,
    options: &Options,
    logs: &Path,
    passed: &mut BTreeSet<String>,
) -> Result<String, Fault> {
    let test = built
        .tests
        .iter()
        .find(|test| test.name == E2E)
        .ok_or_else(|| failed("the end-to-end tests were not built"))?;
    let artifacts = shell::artifacts_dir();
    let quick = if options.quick { "1" } else { "0" };
    let peers = shell::peers_dir();
    let env = [
        ("TIPRING_BIN", built.tipring.as_os_str()),
        ("TIPRING_PEERS", peers.as_os_str()),
        ("TIPRING_ARTIFACTS", artifacts.as_os_str()),
        ("TIPRING_QUICK", quick.as_ref()),
    ];
    let mut tally = Tally::default();
    let mut run = |args: &[String], log: &str| {
        run(&mut tally, test, args, &env, &logs.join(log), E2E_LIMIT);
    };
    if options.passed.is_empty() {
        let [together, alone] = end_to_end_runs();
        run(&together, "e2e.log");
        run(&alone, "e2e-alone.log");
    } else {
        let mut args = vec!["--test-threads=1".to_owned()];
        args.extend(options.passed.iter().cloned());
        run(&args, "e2e.log");
    }
    tally.finish(passed)
}

/// Runs one executable to its end and counts what it says.
fn run(
    tally: &mut Tally,
    test: &TestExecutable,
    args: &[String],
    env: &[(&str, &std::ffi::OsStr)],
    log: &Path,
    limit: Duration,
) {
    println!("--- {}", test.name);
    let mut command = std::process::Command::new(&test.path);
    command
        .args(args)
        .current_dir(&test.folder)
        .env("CARGO_MANIFEST_DIR", &test.folder)
        .env("RUST_BACKTRACE", "1")
        .envs(env.iter().copied());
    let failed_before = tally.failures();
    let outcome = shell::watch(&mut command, log, limit, |line| {
        tally.note(&test.name, line);
    });
    // A crash or a time-out has no line of its own.
    if let Err(fault) = outcome
        && tally.failures() == failed_before
    {
        tally.broke(&test.name, &fault);
    }
}

/// The end-to-end tests that need the machine for themselves, by what stands in their names: they count
/// what goes through in a second, or draw a window without a graphics card.
const ALONE: [&str; 7] = [
    "delays::",
    "devices::",
    "load::fifty",
    "load::sipp",
    "load::two_hundred",
    "window::",
    "rig::desktop::",
];

/// How many of the others run side by side. They wait for phones, timers and silent servers nearly all
/// the time, so two cores carry three of them.
const TOGETHER: usize = 3;

/// The arguments of the two runs that have all end-to-end tests between them, each once.
fn end_to_end_runs() -> [Vec<String>; 2] {
    let mut together = vec![format!("--test-threads={TOGETHER}")];
    let mut alone = vec!["--test-threads=1".to_owned()];
    for name in ALONE {
        together.extend(["--skip".to_owned(), name.to_owned()]);
        alone.push(name.to_owned());
    }
    [together, alone]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_run_of_the_end_to_end_tests_leaves_out_the_other_has() {
        let [together, alone] = end_to_end_runs();
        let skipped: Vec<_> = together
            .windows(2)
            .filter(|pair| pair[0] == "--skip")
            .map(|pair| pair[1].as_str())
            .collect();
        let chosen: Vec<_> = alone.iter().filter(|a| !a.starts_with("--")).collect();
        assert_eq!(skipped, ALONE);
        assert_eq!(chosen, skipped);
        assert_eq!(alone[0], "--test-threads=1");
    }

    #[test]
    fn executables_are_found_in_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/sdp/Cargo.toml","target":{"kind":["lib"],"name":"sdp"},"profile":{"test":true},"executable":"/t/sdp-1"}
{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/t/it-1"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/app/Cargo.toml","target":{"kind":["bin"],"name":"tipring"},"profile":{"test":false},"executable":"/t/tipring"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/app/Cargo.toml","target":{"kind":["bin"],"name":"tipring"},"profile":{"test":true},"executable":"/t/tipring-1"}
{"reason":"build-finished","success":true}"#;
        let built = built_from(messages).unwrap();
        assert_eq!(built.tipring, PathBuf::from("/t/tipring"));
        let names: Vec<&str> = built.tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["app", "sdp", E2E]);
    }

    #[test]
    fn stages_are_chosen_by_name() {
        let args = |words: &str| -> Vec<String> { words.split(' ').map(str::to_owned).collect() };
        let options = Options::parse(&args("--quick --only e2e -- kamailio")).unwrap();
        assert!(options.quick && options.wants("e2e") && !options.wants("fmt"));
        assert_eq!(options.passed, ["kamailio"]);
        assert!(Options::parse(&args("--only nothing")).is_err());
        assert!(Options::parse(&args("--fast")).is_err());
    }
}
