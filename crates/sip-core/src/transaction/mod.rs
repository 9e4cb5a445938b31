//! The four transactions of RFC 3261 §17, with the Accepted states of RFC 6026 and the
//! restraint of RFC 4320.
//!
//! Each is a value inside its owner: it is told what came in, asked with `poll_output` for what
//! to do, and asked with `deadline` when it wants to be woken. It knows bytes and timers, never
//! addresses: the owner knows the destination.
//!
//! A client transaction takes the finished request, with the Via that carries its branch. A
//! server transaction takes the received request after [`crate::dispatch::mark_received`], so
//! that the 100 it may send by itself finds its way back.

mod client_invite;
mod client_non_invite;
pub mod key;
mod server_invite;
mod server_non_invite;
#[cfg(test)]
mod tests;

use sip_message::{Request, Response, StatusCode};

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use key::{ServerKey, response_matches};
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;

use crate::path::TransportError;

/// What a client transaction wants done.
#[derive(Clone)]
pub enum ClientOutput {
    /// Send these bytes to the transaction's destination.
    Send(Vec<u8>),
    /// A response for the owner.
    Deliver(Response),
    /// Nobody answered in time (Timer B or F). [`ClientOutput::Terminated`] follows.
    TimedOut,
    /// The request, or the ACK, could not be sent. [`ClientOutput::Terminated`] follows.
    TransportFailed(TransportError),
    /// The transaction is over and may be dropped.
    Terminated,
}

/// What a server transaction wants done.
#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a queue holds one or two of these for a moment"
)]
pub enum ServerOutput {
    /// Send these bytes back to where the request came from.
    Send(Vec<u8>),
    /// An ACK that came while the 2xx is out: it belongs to the dialog (RFC 6026 §7.1).
    Ack(Request),
    /// The ACK to a non-2xx never came (Timer H), or the owner never said anything final and the
    /// peer has given up. [`ServerOutput::Terminated`] follows.
    TimedOut,
    /// A response could not be sent.
    TransportFailed(TransportError),
    /// The transaction is over and may be dropped.
    Terminated,
}

/// The three kinds of status that transactions tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Provisional,
    Success,
    /// 300 to 699.
    Failure,
}

impl Class {
    fn of(status: StatusCode) -> Self {
        if status.is_provisional() {
            Self::Provisional
        } else if status.is_success() {
            Self::Success
        } else {
            Self::Failure
        }
    }
}
