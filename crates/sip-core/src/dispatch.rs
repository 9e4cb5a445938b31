//! Who a message is for: keys by which the transport side finds its owner.
//!
//! ```text
//!   response ── (Call-ID, From tag) ─────────────────────────► owner
//!   request ─┬─ branch + sent-by + method known ─────────────► owner of that server transaction
//!            ├─ To tag: (Call-ID, To tag) known ─────────────► owner of that dialog
//!            └─ neither: a new request, for an account by its Contact user, or answered
//!               statelessly (see crate::stateless)
//! ```
//!
//! Inside the owner, transactions match strictly by branch and method.
//!
//! A NOTIFY carries the From tag of its SUBSCRIBE as To tag, also when it comes before the answer
//! (RFC 6665 §4.4.1), so the key of a [`crate::events::Subscription`] finds it from the first
//! SUBSCRIBE on; one without a To tag belongs to nothing. MESSAGE, PUBLISH and a first SUBSCRIBE
//! are new requests for an account.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use sip_message::{HeaderName, Method, Request, Response, Via};

use crate::path::{Inbound, Transport};
pub use crate::transaction::ServerKey;

/// Names a top-level object: its dialogs, all early ones included, and its requests share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerKey {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag: From tag of what we sent first, To tag of what we answered.
    pub local_tag: String,
}

/// The owner of a response: (Call-ID, From tag), both of which the peer only copies (RFC 3261
/// §8.2.6.2). `None` when either is missing: such a response answers nothing that we sent.
pub fn response_owner(response: &Response) -> Option<OwnerKey> {
    Some(OwnerKey {
        call_id: response.headers.get(HeaderName::CallId)?.to_owned(),
        local_tag: response.headers.from().ok()?.tag()?.to_owned(),
    })
}

/// The owner of a request inside a dialog: (Call-ID, To tag). `None` without To tag.
pub fn request_owner(request: &Request) -> Option<OwnerKey> {
    Some(OwnerKey {
        call_id: request.headers.get(HeaderName::CallId)?.to_owned(),
        local_tag: request.headers.to().ok()?.tag()?.to_owned(),
    })
}

/// What a request is, as far as one can tell without knowing the owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestClass {
    /// Outside any dialog: starts something, or repeats what started it.
    Initial(ServerKey),
    /// Inside a dialog of this owner; the key finds the repeats.
    InDialog(OwnerKey, ServerKey),
    /// Cancels the request with this key (RFC 3261 §9.2).
    Cancel(ServerKey),
    /// An ACK: to a refusal when the key is known, else to a 2xx of the dialog of this owner.
    Ack(Option<OwnerKey>, ServerKey),
    /// Its Via cannot be read: counted and dropped.
    Hopeless,
}

impl RequestClass {
    /// Sorts a request.
    pub fn of(request: &Request) -> Self {
        let Some(key) = ServerKey::of(request) else {
            return Self::Hopeless;
        };
        match (&request.method, request_owner(request)) {
            (Method::Cancel, _) => Self::Cancel(key),
            (Method::Ack, owner) => Self::Ack(owner, key),
            (_, Some(owner)) => Self::InDialog(owner, key),
            (_, None) => Self::Initial(key),
        }
    }
}

/// Writes into the top Via where the request really came from: `received` when the address
/// differs from what the Via says or `rport` was asked for, and the port into `rport` (RFC 3261
/// §18.2.1, RFC 3581 §4). To be done once for each received request, before anything answers;
/// doing it twice changes nothing.
pub fn mark_received(request: &mut Request, inbound: &Inbound) {
    let Ok(mut via) = request.headers.via_top() else {
        return;
    };
    let source = inbound.path.remote;
    let asked = via.rport().is_some();
    if !asked && via.sent_by.ip() == Some(source.ip()) {
        return;
    }
    via.set_received(source.ip());
    if asked {
        via.set_rport(source.port());
    }
    request.headers.replace_first(HeaderName::Via, via);
}

/// Where the response to a request goes by datagram that came from `source`, by the topmost Via of
/// either (RFC 3261 §18.2.2, RFC 3581 §4): to the port it came from when the sender asked for that with
/// `rport`, else to the port that the Via names, 5060 when it names none; and to the address it came
/// from.
///
/// The address in `maddr` is where the standard sends it instead. Anybody can write anybody's address
/// there, so only for senders that are known `heeds_maddr` should be set; multicast is never followed.
pub fn answer_address(via: &Via, source: SocketAddr, heeds_maddr: bool) -> SocketAddr {
    let named = via.port.filter(|port| *port != 0);
    let named = named.unwrap_or(Transport::Udp.default_port());
    let maddr = via.maddr().and_then(|host| host.ip());
    let is_usable = |ip: &IpAddr| {
        heeds_maddr
            && ip.is_ipv4() == source.is_ipv4()
            && !ip.is_multicast()
            && !ip.is_unspecified()
    };
    if let Some(ip) = maddr.filter(is_usable) {
        return SocketAddr::new(ip, named);
    }
    let mut answer_to = source;
    if via.rport().is_none() {
        answer_to.set_port(named);
    }
    answer_to
}
