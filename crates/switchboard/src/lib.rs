//! The built-in registrar, proxy and test numbers: for the demo, the tests, and the lab.
//!
//! A switchboard is usable from the first second without any file: everybody may register by any
//! name, names call each other, and a few numbers are answered by the switchboard itself
//! ([`NUMBERS`]). With a user file it asks for passwords; with a host table it forwards to other
//! machines by name. It is
//!
//! - a registrar (RFC 3261 §10.3) that keeps several ways to a phone (RFC 5626), gives it URIs that
//!   reach it from anywhere (RFC 5627) and keeps the proxies in between (RFC 3327);
//! - a stateful forking proxy (§16) that stays on the route: what belongs to a dialog goes where the
//!   dialog was made, by a token that nobody else can write, and nobody is carried anywhere else;
//! - a teller of calls (RFC 4235), waiting messages (RFC 3842), presence (RFC 3856, RFC 3903) and
//!   bindings (RFC 3680);
//! - a user agent server for its own numbers, of which many are broken on purpose, one for each way
//!   that a call can fail. `tipring switchboard --numbers` prints them.
//!
//! Each source of messages has a bucket and a share of what can be kept, and those who have shown that
//! they get what is sent to them have theirs apart from strangers, whose addresses may be made up.
//! Questions, challenges and refusals are answered without keeping anything, so that a flood of them
//! takes nothing from others. What only servers may say of their users is taken out of what users send.
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
