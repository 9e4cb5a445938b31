//! The built-in registrar, proxy and test numbers: for the demo, the tests, and the lab.
//!
//! A switchboard is usable from the first second without any file: everybody may register by any
//! name, names call each other, and a few numbers are answered by the switchboard itself
//! ([`NUMBERS`]). With a user file it asks for passwords; with a host table it forwards to other
//! machines by name. It is a registrar (RFC 3261 §10.3), a stateful forking proxy (§16) that stays
//! on the route, and a user agent server for its own numbers.
//!
//! [`exchange`](self) decides without sockets and clocks; [`Switchboard`] gives it both.

mod config;
mod exchange;
mod line;
mod location;
mod log;
mod net;
mod numbers;
mod proxy;
mod redact;
mod registrar;
mod seal;
mod sources;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, Hosts, LOG_BYTES, Users, parse_listen};
pub use exchange::Counts;
pub use location::{Aor, Binding, Location, Refusal, Update};
pub use net::{Happening, ShownCertificate, StartError, Switchboard};
pub use numbers::{NUMBERS, Number};
pub use wire::{Identity, TlsError};
