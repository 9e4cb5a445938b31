//! The binary `tipring`: a window, a script's tool and a small telephone exchange in one program.
//!
//! Each subcommand is a module; what they share is [`cli`] (words on the command line), [`account`]
//! (an account given in place), [`report`] (events on stdout) and [`session`] (an engine with a
//! listener). Logs go to stderr, events to stdout, and the exit status says what a script needs to
//! know: 0 done, 1 the call or request failed, 2 usage or configuration.

mod account;
mod answer;
mod ask;
mod call;
mod call_log;
mod cli;
mod ctl;
mod demo;
mod front;
mod headless;
mod icon;
mod logging;
mod menu;
mod message;
mod missing;
mod options;
mod register;
mod report;
mod send;
mod session;
mod sip_parse;
mod switchboard;
mod trace_cmd;
mod window;
mod words;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::cli::{Cli, Verb};

/// What a subcommand ends with.
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// The call or request failed; the reason is the last event.
    Failed,
}

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows that help and version are no mistakes.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    logging::start(&cli);
    match run(cli, started) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tipring: {}", words::sentence(&error));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli, started: Instant) -> anyhow::Result<Outcome> {
    let common = cli.common;
    if cli.link.is_some() && cli.verb.is_some() {
        anyhow::bail!("a link goes to the window; a subcommand does not take it");
    }
    match cli.verb {
        None => window::run(&common, false, cli.link, started),
        Some(Verb::Demo) => demo::run(&common, started),
        Some(Verb::Headless(args)) => headless::run(&common, &args),
        Some(Verb::Ctl(args)) => ctl::run(&common, &args),
        Some(Verb::Register(args)) => register::run(&common, &args),
        Some(Verb::Call(args)) => call::run(&common, &args),
        Some(Verb::Answer(args)) => answer::run(&common, &args),
        Some(Verb::Message(args)) => message::run(&common, &args),
        Some(Verb::Send(args)) => send::run(&common, &args),
        Some(Verb::Options(args)) => options::run(&common, &args),
        Some(Verb::Sip(args)) => sip_parse::run(&args),
        Some(Verb::Trace(args)) => trace_cmd::run(&common, &args),
        Some(Verb::Switchboard(args)) => switchboard::run(&common, &args),
    }
}
