//! Logs: to stderr, without identities, as loud as asked.

use tracing_subscriber::EnvFilter;

use crate::cli::Cli;

/// Starts logging; `TIPRING_LOG` overrides what the command line says.
pub(crate) fn start(cli: &Cli) {
    let level = match cli.common.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("TIPRING_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
