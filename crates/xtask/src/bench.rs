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

use self::figures::Figures;
use crate::shell::{self, Fault, misuse};

/// `cargo xtask bench [parse|signalling|register|calls|idle|talk|media|echo|impair|load [MINUTES]]`.
pub(crate) fn bench(args: &[String]) -> Result<(), Fault> {
    let mut figures = Figures::default();
    match args.first().map(String::as_str) {
        Some("parse") => parse()?,
        Some("echo") => return echo::echo(),
        Some("impair") => return impair::impair(),
        Some("load") => return load(args.get(1)),
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
                "bench takes parse, signalling, register, calls, idle, talk, media, echo, impair, load \
                 with a number of minutes, or nothing",
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
    shell::run(
        shell::cargo()
            .args(["test", "-p", "tests", "--test", "it"])
            .args(["fifty_calls_a_second", "--", "--nocapture"])
            .args(["--test-threads", "1"])
            .env("TIPRING_LOAD_SECONDS", (minutes * 60).to_string())
            .env("TIPRING_BIN", shell::target_dir().join("debug/tipring")),
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
