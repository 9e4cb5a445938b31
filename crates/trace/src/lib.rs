//! The flight recorder: store, query, ladder, redaction and export of SIP traffic.
//!
//! ```text
//! engine ─ record ─▶ store::Recorder ─┬▶ ring in memory ─▶ summary ─▶ query ─▶ list
//!                                     └▶ segment files             └▶ ladder ─▶ picture, text
//!                                                        redact ─▶ export, pcapng ─▶ text, JSON, Wireshark
//! ```
//!
//! Only [`store`] touches files; the rest is pure and works on [`model::TraceRecord`]s.
//!
//! What is recorded is what was on the wire: a trace that was tidied up before it was kept proves
//! nothing. Only secrets (digest answers, tokens, passwords, media keys) never reach a file: octet for
//! octet an `x` stands there, in files for their owner alone. What leaves is masked: secrets always
//! unless that is switched off by hand, identities by default.

pub mod export;
pub mod ladder;
pub mod pcapng;
pub mod phase;
pub mod query;
pub mod redact;
pub mod store;
mod summary;
#[cfg(test)]
mod testing;

pub use query::{Query, QueryError};
pub use store::{Recorder, RecorderLimits};
pub use summary::{Kind, Noise, PartySummary, Summary, summary};
