//! Logs: to stderr, without identities unless the user asks for them, as loud as asked.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::Cli;

/// Starts logging; `TIPRING_LOG` overrides what the command line says of loudness.
///
/// With identities masked, libraries may only warn: what they tell beyond that is not ours to mask.
pub(crate) fn start(cli: &Cli) {
    let level = match cli.common.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let shown = cli.common.log_identities;
    model::show_identities(shown);
    panic::set_hook(Box::new(tell_panic));
    let filter = EnvFilter::try_from_env("TIPRING_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let of_ours = filter_fn(move |line| {
        shown || is_ours(line.target()) || *line.level() <= LevelFilter::WARN
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(of_ours)
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .init();
}

/// Where our own lines come from: our crates, and the words that some of them log under.
fn is_ours(target: &str) -> bool {
    let origin = target.split("::").next().unwrap_or(target);
    OURS.contains(&origin)
}

const OURS: [&str; 19] = [
    "audio",
    "codecs",
    "control",
    "engine",
    "history",
    "media",
    "model",
    "rtp",
    "sdp",
    "secrets",
    "settings",
    "sip_core",
    "sip_message",
    "switchboard",
    "tipring",
    "trace",
    "ui",
    "window",
    "wire",
];

/// A panic is a log line like any other: its words may quote what was being worked on.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("no words");
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    eprintln!(
        "tipring: thread {name} panicked at {place}: {}",
        model::for_log(said)
    );
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        eprintln!("{backtrace}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_from_our_own_crates() {
        for ours in [
            "engine::tenant",
            "tipring",
            "secrets",
            "window",
            "wire::tls",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "zbus::connection",
            "hickory_resolver",
            "enginex::tenant",
            "",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }
}
