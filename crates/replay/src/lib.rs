//! What went into a protocol object, written down as it went in, and played again.
//!
//! The objects of `sip-core` have no clock and no luck of their own: the same seed and the same inputs
//! give the same bytes out. So a fault in the field is its inputs, and a file with them is a test.
//!
//! ```text
//!   engine ──► Taped<Call> ──► Call                 tape ──► play() ──► a new Call
//!                  │  each input with its time,                            │
//!                  └─ and what came out ──► tape                 what comes out ──► the same?
//! ```
//!
//! # What is on a tape
//!
//! A tape is text, one JSON object on each line. Each line is one input of one object and what came out
//! of the object before the next one: the making of it with its configuration and seed, messages as
//! they were received with the flow and the path they came by, answers to questions for paths, what
//! could not be sent, timers, and what the user did, all with their times. A recorded message alone
//! would not do: nobody can tell from the wire when a person answered, what a name resolved to, or
//! where the branches come from.
//!
//! # What is not on a tape
//!
//! *Passwords and tokens*, ever. An object with a login is played with a stand-in for its secret, so
//! the one thing that a password decides, the `response` of a digest answer, comes out differently.
//! It is therefore withheld on the tape and left out of the comparison, and so are bearer tokens and
//! what a peer's `rspauth` says; the rest of the header (realm, nonce, cnonce, count, algorithm) is
//! compared. *Media keys* in session descriptions are overwritten, letter by letter, on the way in and
//! on the way out alike. The choice whether to answer a challenge at all does not depend on the secret, so the
//! stand-in takes the same way.
//!
//! The *seed* is on it, because without it nothing would be the same. Whoever has the tape of a call
//! that still lives could foresee its tags and branches, which stand in the recorded messages beside
//! it as well. Tapes are therefore kept like the trace itself, in files for their owner alone, and a
//! tape is no part of a masked export: with pseudonyms in it, it would be the tape of another call.
//!
//! # Bounds
//!
//! [`Taped`] stops after [`MOST_INPUTS`] inputs or [`MOST_BYTES`] bytes and says so on the tape; what
//! was written until then can still be played. An input that the tape has no word for is written as
//! [`Input::Unknown`], and the object can be played up to there.

mod config;
mod mask;
mod play;
mod tape;
mod taped;

pub use config::{CallFacts, RegistrationFacts};
pub use play::{Difference, Played, TapeError, play};
pub use tape::{Input, Line, Out, Text, Way};
pub use taped::{MOST_BYTES, MOST_INPUTS, Sink, Taped};
