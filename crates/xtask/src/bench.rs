//! `cargo xtask bench`: what it costs, measured beside others where others can be run.

#[cfg(target_os = "linux")]
mod carry;
mod echo;
mod figures;
mod impair;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod mouth;
#[cfg(target_os = "linux")]
mod peer;
mod pesq;
#[cfg(target_os = "linux")]
mod proc;
mod signalling;

use std::path::Path;

use self::figures::Figures;
use crate::shell::{self, Fault, misuse};

/// `cargo xtask bench [parse|signalling|register|calls|idle|talk|media|echo|impair|devices|load [MINUTES]|hours [HOURS]]`.
pub(crate) fn bench(args: &[String]) -> Result<(), Fault> {
    let mut figures = Figures::default();
    match args.first().map(String::as_str) {
        Some("parse") => parse()?,
        Some("echo") => return echo::echo(),
        Some("impair") => return impair::impair(),
        Some("load") => return load(args.get(1)),
        Some("hours") => return hours(args.get(1)),
        Some("devices") => return live("devices", &mut figures),
        Some("signalling") => signalling::signalling(&mut figures)?,
        None => {
            for word in ["register", "calls", "idle", "talk", "media"] {
                eprintln!("measuring {word} …");
                live(word, &mut figures)?;
            }
            eprintln!("measuring signalling …");
            signalling::signalling(&mut figures)?;
            parse()?;
            println!();
        }
        Some(word @ ("register" | "calls" | "idle" | "talk" | "media")) => {
            live(word, &mut figures)?;
        }
        Some(_) => {
            return Err(misuse(
                "bench takes parse, signalling, register, calls, idle, talk, media, echo, impair, \
                 devices, load with a number of minutes, hours with their number, or nothing",
            ));
        }
    }
    figures.print();
    figures.judge()
}

#[cfg(target_os = "linux")]
fn live(word: &str, figures: &mut Figures) -> Result<(), Fault> {
    match word {
        "register" => live::register(figures),
        "calls" => live::calls(figures),
        "idle" => live::idle(figures),
        "talk" => live::media(figures),
        "devices" => devices(),
        _ => carry::carry(figures),
    }
}

#[cfg(not(target_os = "linux"))]
fn live(_: &str, _: &mut Figures) -> Result<(), Fault> {
    Err(shell::failed(
        "this is measured through /proc, so on Linux only",
    ))
}

/// Fifty calls a second with logins for ten minutes, or as many as are asked for, through the built-in
/// switchboard and by the phone itself, one after the other: none lost, memory within a twentieth, all
/// counts back to zero. SIPp is needed.
fn load(minutes: Option<&String>) -> Result<(), Fault> {
    let minutes: u32 = match minutes {
        Some(text) => text
            .parse()
            .map_err(|_| misuse("bench load takes a number of minutes"))?,
        None => 10,
    };
    shell::run(shell::cargo().args(["build", "-p", "app"]))?;
    let program = shell::target_dir().join("debug/tipring");
    let lasts = (minutes * 60).to_string();
    tests_with(
        "fifty_calls_a_second",
        &program,
        ("TIPRING_LOAD_SECONDS", &lasts),
    )
}

/// One call of eight hours, or as many as are asked for, in virtual time, in which everything happens that can happen to one, to
/// its signalling and to its media: memory is flat, and nothing is left at the end.
fn hours(hours: Option<&String>) -> Result<(), Fault> {
    let hours: f64 = match hours {
        Some(text) => text
            .parse()
            .map_err(|_| misuse("bench hours takes a number of hours"))?,
        None => 8.0,
    };
    for half in ["sip-core", "media"] {
        shell::run(
            shell::cargo()
                .args(["test", "--profile", "bench", "--locked", "-p", half])
                .args(["--test", "hours", "--", "--nocapture"])
                .env("TIPRING_HOURS", hours.to_string()),
        )?;
    }
    Ok(())
}

/// How long sound takes from the microphone to the wire and from the wire to the speaker, through PulseAudio and PipeWire,
/// with all that is done to it on the way. Both are needed.
#[cfg(target_os = "linux")]
fn devices() -> Result<(), Fault> {
    tests_with("delays::", &live::build()?, ("TIPRING_DELAYS", "goal"))
}

/// Some of the end-to-end tests, one after the other, told by `variable` to measure.
fn tests_with(filter: &str, program: &Path, variable: (&str, &str)) -> Result<(), Fault> {
    shell::run(
        shell::cargo()
            .args(["test", "-p", "tests", "--test", "it"])
            .args([filter, "--", "--nocapture"])
            .args(["--test-threads", "1"])
            .env(variable.0, variable.1)
            .env("TIPRING_BIN", program),
    )
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
