//! Configuration with migrations, secrets and the call history.
//!
//! Three things outlive a run of the program, and each has a home of its own, because they fail in
//! different ways and are worth different care:
//!
//! - [`Settings`]: what a person set. One readable TOML file, small, written whole and rarely.
//! - [`secrets::SecretStore`]: passwords. In the system's keystore, else in an encrypted vault, else in
//!   memory until the program ends. Never in plain text on a disk.
//! - [`history::History`]: finished calls. An SQLite database with one writer.
//!
//! None of them keeps the program from starting: what cannot be read is put aside, said in a sentence,
//! and replaced by something that works.

mod atomic;
mod config;
mod folders;

pub mod history;
pub mod secrets;

pub use atomic::private_dir;
pub use config::{Account, DeviceChoices, Loaded, Problem, SaveError, Settings, Tenant};
pub use folders::Folders;
