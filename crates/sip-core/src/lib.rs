//! Sans-IO SIP: transactions, dialogs and calls, registration, digest, dispatch.
//!
//! Nothing in here reads a clock, asks for entropy, opens a socket or spawns anything. Time comes
//! in as `now`, randomness as a [`Seed`], bytes as parsed messages with the [`Inbound`] they came
//! by. Same seed and same inputs give the same bytes out.
//!
//! # The drain contract
//!
//! Each top-level object ([`registration::Registration`], [`options::Options`], a call) is used
//! the same way:
//!
//! ```text
//!   handle_*(now, input)  or a verb (register, hang_up …)
//!          │
//!          ▼
//!   poll_output() ──► Transmit   send these bytes there
//!          │     ──► Resolve    find the paths to this URI, answer with handle_resolved
//!          │     ──► Event      something the owner should know
//!          └── until ► Deadline  the next instant at which handle_timeout wants to be called
//! ```
//!
//! One input, then outputs until [`Output::Deadline`]. A debug assertion fires when an input
//! comes while outputs are still waiting, because an output forgotten is a message never sent.
//! The deadline replaces every earlier one; calling `handle_timeout` too early does no harm.
//!
//! What could not be sent comes back through `handle_transport_error` with the branch of its top
//! Via. `is_drained()` tells when the object holds nothing that still has to run: its owner may
//! drop it then.

pub mod auth;
pub mod call;
pub mod client;
pub mod dialog;
pub mod dispatch;
mod errand;
pub mod events;
pub mod inside;
pub mod locate;
mod masked;
pub mod options;
pub mod output;
pub mod path;
pub mod refresh;
pub mod registration;
pub mod spacing;
pub mod stateless;
pub mod timers;
pub mod tokens;
pub mod transaction;

pub use dispatch::{OwnerKey, RequestClass, ServerKey};
pub use output::{Outbox, Output};
pub use path::{
    Destination, FlowId, Inbound, Path, ResolveError, ResolveId, Transmit, Transport,
    TransportError,
};
pub use spacing::Spacing;
pub use timers::{Deadlines, Timer, Timers};
pub use tokens::{Seed, Tokens};
