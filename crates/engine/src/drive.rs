//! The one body of all protocol actors: after every input, drain the outputs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use ractor::ActorRef;
use sip_core::Output;

use crate::transport::{Owner, TransportMsg};

/// Where the outputs of a protocol object go.
pub(crate) struct Outlet<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) transport: &'a ActorRef<TransportMsg>,
    /// The local address that the account is bound to.
    pub(crate) bind: Option<SocketAddr>,
}

/// Polls until the object answers with its deadline: sends go out, questions are asked, events are
/// queued for the actor, which handles them one by one and drains again after each.
pub(crate) fn drain<E>(
    mut poll: impl FnMut() -> Output<E>,
    outlet: &Outlet<'_>,
    events: &mut VecDeque<E>,
) -> Option<Instant> {
    loop {
        match poll() {
            // A transport that has ended is being started again; timers send the request again.
            Output::Transmit(transmit) => {
                let _ = outlet.transport.cast(TransportMsg::Send {
                    from: outlet.owner.clone(),
                    transmit,
                });
            }
            Output::Resolve { id, uri, transport } => {
                let _ = outlet.transport.cast(TransportMsg::Resolve {
                    owner: outlet.owner.clone(),
                    id,
                    uri: *uri,
                    transport,
                    bind: outlet.bind,
                });
            }
            Output::Event(event) => events.push_back(event),
            Output::Deadline(deadline) => return deadline,
        }
    }
}
